"""The program whose instructions are counted: python -m benchmarks.instructions_program REGION.SO COUNT

Runs each operation COUNT times and then 2·COUNT times, each inside a call of `region`, which is what callgrind looks at and after
which it writes a file. The order is that of OPERATIONS.

NNG's threads run when they like, so nothing here may depend on that:

- what is sent goes into the buffer of a PAIR that has no peer;
- what is received is there already, in a buffer that was full before;
- a round trip is one of two PAIRs with buffers: a send is over at once, the other side waits already, and nothing else is on its
  way, so the loop is woken exactly twice. It takes a round for each message, as when something else waits for its turn there: how
  often it would find the next one without a round depends on the threads.

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
from functools import partial
from typing import Any

OPERATIONS = ("reference", "sync send", "sync receive", "asyncio send", "asyncio receive", "asyncio round trip")
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


async def asend(socket: Any, count: int) -> None:
    for _ in range(count):
        await socket.asend(PAYLOAD)


async def areceive(socket: Any, count: int) -> None:
    for _ in range(count):
        await socket.arecv()


async def round_trips(asking: Any, count: int) -> None:
    for _ in range(count):
        await asking.asend(PAYLOAD)
        await asking.arecv()


async def answer(answering: Any) -> None:
    while True:
        await answering.asend(await answering.arecv())


def main() -> None:
    region, count = Region(sys.argv[1]), int(sys.argv[2])
    import nngio
    from nngio._core.adapter import Adapter

    gc.disable()
    nngio.init(spin=0)
    # Under valgrind each turn of a task would be over before it has begun.
    Adapter.turn_seconds = 3600.0
    loop = asyncio.new_event_loop()
    run = loop.run_until_complete
    asking = nngio.Pair0(listen="inproc://round-trip", send_buffer=8, recv_buffer=8)
    answering = nngio.Pair0(dial="inproc://round-trip", send_buffer=8, recv_buffer=8)
    server = loop.create_task(answer(answering))
    run(round_trips(asking, 10))
    loop._nngio.others = [None]  # type: ignore[attr-defined]  # the adapter's: something seems to wait for its turn
    sockets = [asking, answering]

    def awaited(function: Callable[..., Any], *arguments: Any) -> None:
        run(function(*arguments))

    def send_socket(size: int) -> Any:
        sockets.append(nngio.Pair0(send_buffer=size + 10))
        send(sockets[-1], 5)
        run(asend(sockets[-1], 5))
        return sockets[-1]

    def receive_socket(size: int) -> Any:
        sender, receiver = full_socket(nngio, str(len(sockets)), size + 10)
        sockets.extend((sender, receiver))
        receive(receiver, 5)
        run(areceive(receiver, 5))
        return receiver

    for n in (count, 2 * count):
        region(partial(awaited, reference, n))
        region(partial(send, send_socket(n), n))
        region(partial(receive, receive_socket(n), n))
        region(partial(awaited, asend, send_socket(n), n))
        region(partial(awaited, areceive, receive_socket(n), n))
        region(partial(awaited, round_trips, asking, n))
    server.cancel()
    loop.run_until_complete(asyncio.gather(server, return_exceptions=True))
    loop.close()
    for socket in sockets:
        socket.close()


if __name__ == "__main__":
    main()
