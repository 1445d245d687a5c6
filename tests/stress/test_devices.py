"""Devices by the thousand: cancelled under traffic, with nothing lost, and with no memory."""

import gc
import itertools
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loops import Loop, Tasks, on_all_loops
from races import LONG

import nngio
from nngio import Device, adevice

Address = Callable[[str], str]
KINDS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "pipeline": (nngio.Push0, nngio.Pull0),
    "pair0": (nngio.Pair0, nngio.Pair0),
    "pair1": (nngio.Pair1, nngio.Pair1),
}
ENDS = 2000
"""How often the device ends."""


def resident() -> int:
    """The process's memory in KiB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError


@pytest.mark.timeout(300)
@pytest.mark.parametrize("transport", ["inproc", "ipc", "tcp"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_device_that_ends_thousands_of_times_loses_nothing(address: Address, kind: str, transport: str) -> None:
    """Each message arrives once, and in order."""
    sends, receives = KINDS[kind]
    with (
        receives(raw=True, listen=address(transport)) as front,
        sends(raw=True, listen=address(transport)) as back,
        sends(dial=front.listeners[0].url) as client,
        receives(dial=back.listeners[0].url) as server,
    ):
        sent, received, over = 0, 0, threading.Event()
        wrong: list[bytes] = []

        def send() -> None:
            nonlocal sent
            while not over.is_set():
                client.send(b"%d" % sent, timeout=LONG)
                sent += 1
            client.send(b"end", timeout=LONG)

        def receive() -> None:
            nonlocal received
            while (body := server.recv(timeout=LONG)) != b"end":
                if body != b"%d" % received:
                    wrong.append(body)
                received += 1

        threads = [threading.Thread(target=send), threading.Thread(target=receive)]
        for thread in threads:
            thread.start()
        pause = threading.Event()
        for number in range(ENDS):
            with Device(front, back):
                if number % 3:
                    pause.wait(random.random() * 0.001)
        over.set()
        with Device(front, back):
            for thread in threads:
                thread.join()
        assert not wrong
        assert received == sent
        assert sent > 100


@pytest.mark.timeout(300)
@on_all_loops
def test_a_device_that_is_cancelled_thousands_of_times_loses_nothing(loop: Loop, address: Address) -> None:
    """On each loop, and each request gets its answer."""

    async def main(tasks: Tasks) -> None:
        with (
            nngio.Rep0(raw=True, listen=address("inproc")) as front,
            nngio.Req0(raw=True, listen=address("inproc")) as back,
            nngio.Req0(dial=front.listeners[0].url) as client,
            nngio.Rep0(dial=back.listeners[0].url) as server,
        ):
            over = False

            async def serve() -> None:
                async for request in server:
                    await server.asend(b"to " + request)

            async def ask() -> int:
                for number in itertools.count():
                    if over:
                        return number
                    assert await client.arequest(b"%d" % number, timeout=LONG) == b"to %d" % number
                raise AssertionError

            serving, asking = tasks.start(serve), tasks.start(ask)
            for number in range(ENDS):
                task = tasks.start(adevice, front, back)
                for _ in range(number % 4):
                    await loop.sleep(0)
                if number % 5 == 0:
                    await loop.sleep(0.001)
                task.cancel()
                assert (await task.wait()).cancelled
            over = True
            task = tasks.start(adevice, front, back)
            assert (await asking.wait()).result() > 100
            for running in (task, serving):
                running.cancel()
                await running.wait()

    loop.run(main)


@pytest.mark.timeout(300)
def test_devices_and_what_they_forward_take_no_memory(address: Address) -> None:
    """Devices that come and go with their sockets, and messages of 100 kB that pass or are given back."""

    def once() -> None:
        with (
            nngio.Pull0(raw=True, listen=address("inproc")) as front,
            nngio.Push0(raw=True, listen=address("inproc")) as back,
            nngio.Push0(dial=front.listeners[0].url) as client,
        ):
            client.send(bytes(100_000), timeout=LONG)
            with Device(front, back) as forwarder, pytest.raises(nngio.TimedOut):
                forwarder.join(timeout=0)
            with Device(front, back), nngio.Pull0(dial=back.listeners[0].url) as server:
                for _ in range(5):
                    client.send(bytes(100_000), timeout=LONG)
                    assert len(server.recv(timeout=LONG)) == 100_000
                server.recv(timeout=LONG)
            client.send(bytes(100_000), timeout=LONG)
            with Device(front, back):
                pass

    for _ in range(200):
        once()
    gc.collect()
    before = resident()
    for _ in range(600):
        once()
    gc.collect()
    assert resident() - before < 20_000  # one lost message each time would be 60 MB
