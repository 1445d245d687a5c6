"""The program whose instructions are counted: python -m benchmarks.instructions_program REGION.SO COUNT

Runs each operation COUNT times and then 2·COUNT times, each inside a call of `region`, which is what callgrind looks at and after which
it writes a file. The order is that of OPERATIONS.

NNG's threads run when they like, so nothing here may depend on that:

- what is sent goes into the buffer of a PAIR that has no peer;
- what is received is there already, in a buffer that was full before;
- a round trip has one message on its way at a time, and valgrind runs one thread at a time: the loop's thread goes on until it waits.

What the interpreter itself costs is known from `reference`, which has nothing of nngio's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import sys
import time
from collections.abc import Callable
from typing import Any

OPERATIONS = ("reference", "sync send", "sync receive", "asyncio round trip")
PAYLOAD = b"x" * 64


class Region:
    """Calls a function inside the C function that callgrind watches."""

    def __init__(self, library: str) -> None:
        self.type = ctypes.CFUNCTYPE(None)
        self.function = ctypes.CDLL(library).region

    def __call__(self, function: Callable[[], object]) -> None:
        failed: list[BaseException] = []

        def call() -> None:
            try:
                function()
            except BaseException as error:
                failed.append(error)

        self.function(self.type(call))
        if failed:
            raise failed[0]


class Echo:
    """Something with methods, to call and to await."""

    def __init__(self) -> None:
        self.items: list[bytes] = []
        self.lock = contextlib.nullcontext()

    def put(self, data: bytes, *, timeout: float | None = None) -> int:
        with self.lock:
            try:
                self.items.append(data if timeout is None else bytes(data))
            except ValueError:
                return 1
        return len(self.items)

    async def get(self) -> bytes:
        return self.items.pop()


async def reference(count: int) -> None:
    """Python's own work: calls, attributes, exceptions' frames, coroutines."""
    echo = Echo()
    for _ in range(count):
        for _ in range(10):
            echo.put(PAYLOAD)
            await echo.get()


def full_socket(nngio: Any, name: str, count: int) -> tuple[Any, Any]:
    """Two PAIRs, the second of which has `count` messages waiting for it."""
    receiver = nngio.Pair0(listen=f"inproc://{name}", recv_buffer=count)
    sender = nngio.Pair0(dial=f"inproc://{name}")
    full = 0
    while full < 3:  # nothing moves any more, and has not for a while
        try:
            sender.try_send(PAYLOAD)
            full = 0
        except nngio.TryAgain:
            full += 1
            time.sleep(0.05)
    return sender, receiver


def send(socket: Any, count: int) -> None:
    for _ in range(count):
        socket.send(PAYLOAD)


def receive(socket: Any, count: int) -> None:
    for _ in range(count):
        socket.recv()


async def round_trips(req: Any, count: int) -> None:
    for _ in range(count):
        await req.asend(PAYLOAD)
        await req.arecv()


async def answer(rep: Any) -> None:
    while True:
        await rep.asend(await rep.arecv())


def main() -> None:
    region, count = Region(sys.argv[1]), int(sys.argv[2])
    import nngio
    from nngio._adapters._adapter import Adapter

    gc.disable()
    # Under valgrind each turn of a task would be over before it has begun.
    Adapter.turn_seconds = 3600.0
    loop = asyncio.new_event_loop()
    req = nngio.Req0(listen="inproc://round-trip")
    rep = nngio.Rep0(dial="inproc://round-trip")
    server = loop.create_task(answer(rep))
    loop.run_until_complete(round_trips(req, 20))
    sockets = [req, rep]
    for repeat in (count, 2 * count):
        region(lambda repeat=repeat: loop.run_until_complete(reference(repeat)))  # type: ignore[misc]

        alone = nngio.Pair0(send_buffer=repeat + 10)
        send(alone, 10)
        region(lambda socket=alone, repeat=repeat: send(socket, repeat))  # type: ignore[misc]

        sender, receiver = full_socket(nngio, str(repeat), repeat + 10)
        receive(receiver, 10)
        region(lambda socket=receiver, repeat=repeat: receive(socket, repeat))  # type: ignore[misc]

        region(lambda repeat=repeat: loop.run_until_complete(round_trips(req, repeat)))  # type: ignore[misc]
        sockets += [alone, sender, receiver]
    server.cancel()
    loop.run_until_complete(asyncio.gather(server, return_exceptions=True))
    loop.close()
    for socket in sockets:
        socket.close()


if __name__ == "__main__":
    main()
