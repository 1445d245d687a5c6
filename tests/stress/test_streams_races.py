"""Byte streams whose calls are interrupted at any moment, thousands of times: no byte is lost, doubled or out of place."""

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from loops import Loop, Tasks, on_all_loops

import nngio

TIMES = int(os.environ.get("NNGIO_RACES", "3000"))
SECONDS = 30.0
DATA = random.Random(1).randbytes(1 << 16)
"""What is sent, again and again: each place in it is easily told from others."""


def expected(place: int, size: int) -> bytes:
    start = place % len(DATA)
    return (DATA[start:] + DATA * (size // len(DATA) + 1))[:size]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("transport", ["tcp", "ipc", "ws"])
@on_all_loops
def test_cancelled_receives_lose_and_double_no_byte(transport: str, loop: Loop, address: Callable[[str], str]) -> None:
    """Receives of all kinds, cancelled before, while and after bytes come for them, give the stream as it was sent."""
    chance = random.Random(2)

    async def main(tasks: Tasks) -> None:
        async with (
            nngio.StreamListener(address(transport)) as listener,
            nngio.StreamDialer(listener.url) as dialer,
            await dialer.adial() as near,
            await listener.aaccept() as far,
        ):
            sent = received = cancelled = 0
            for _ in range(TIMES // 5):
                size = chance.choice((1, 10, 1000))
                buffer = bytearray(chance.choice((1, 50, 5000)))
                receive: Callable[[], object] = chance.choice(
                    (
                        far.arecv,
                        lambda b=buffer: far.arecv(len(b)),
                        lambda s=size: far.arecv_exactly(s),
                        lambda b=buffer: far.arecv_into(b),
                    )
                )
                task = tasks.start(receive)  # type: ignore[arg-type]
                for _ in range(chance.randrange(3)):
                    await loop.sleep(0)
                sending = tasks.start(near.asend_all, expected(sent, size))
                sent += size
                for _ in range(chance.randrange(6)):
                    await loop.sleep(0)
                if chance.random() < 0.2:
                    await loop.sleep(0.0005)
                task.cancel()
                outcome = await task.wait()
                (await sending.wait()).result()
                if outcome.cancelled:
                    cancelled += 1
                else:
                    value = outcome.result()
                    data = bytes(buffer[:value]) if isinstance(value, int) else value
                    assert data == expected(received, len(data))
                    received += len(data)
                if chance.random() < 0.5:
                    while received < sent:
                        data = await far.arecv(chance.choice((1, 100, 5000)), timeout=SECONDS)
                        assert data == expected(received, len(data))
                        received += len(data)
            if sent > received:
                assert await far.arecv_exactly(sent - received, timeout=SECONDS) == expected(received, sent - received)
            assert cancelled
            with pytest.raises(nngio.TimedOut):
                await far.arecv(timeout=0.02)

    loop.run(main)


@pytest.mark.timeout(300)
@on_all_loops
def test_cancelled_accepts_lose_no_connection(loop: Loop) -> None:
    """Each connection is accepted once, and by somebody who keeps it."""
    chance = random.Random(3)

    async def main(tasks: Tasks) -> None:
        async with nngio.StreamListener("tcp://127.0.0.1:0") as listener, nngio.StreamDialer(listener.url) as dialer:
            for _ in range(TIMES // 20):
                task = tasks.start(listener.aaccept)
                for _ in range(chance.randrange(3)):
                    await loop.sleep(0)
                dialing = tasks.start(dialer.adial)
                for _ in range(chance.randrange(8)):
                    await loop.sleep(0)
                task.cancel()
                outcome = await task.wait()
                async with (await dialing.wait()).result() as near:
                    far = await listener.aaccept(timeout=SECONDS) if outcome.cancelled else outcome.result()
                    async with far:
                        await near.asend_all(b"it is me")
                        assert await far.arecv_exactly(8, timeout=SECONDS) == b"it is me"

    loop.run(main)


@pytest.mark.timeout(300)
@on_all_loops
def test_cancelled_dials_leave_nothing_behind(loop: Loop) -> None:
    """Whatever has become of them by then."""
    chance = random.Random(4)

    async def main(tasks: Tasks) -> None:
        async with nngio.StreamListener("tcp://127.0.0.1:0") as listener, nngio.StreamDialer(listener.url) as dialer:
            for _ in range(TIMES // 20):
                task = tasks.start(dialer.adial)
                for _ in range(chance.randrange(8)):
                    await loop.sleep(0)
                task.cancel()
                outcome = await task.wait()
                if not outcome.cancelled:
                    outcome.result().close()
                while True:
                    try:
                        (await listener.aaccept(timeout=0)).close()
                    except nngio.TimedOut:
                        break

    loop.run(main)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("transport", ["tcp", "ipc", "ws"])
def test_receives_whose_time_is_up_lose_no_byte(transport: str, address: Callable[[str], str]) -> None:
    """A thread that receives with timeouts too short gets everything, while another sends."""
    total = 2_000_000

    def send(stream: nngio.Stream) -> None:
        place, chance = 0, random.Random(5)
        while place < total:
            size = min(chance.choice((1, 100, 3000)), total - place)
            stream.send_all(expected(place, size), timeout=SECONDS)
            place += size
            if chance.random() < 0.02:
                time.sleep(0.012)

    with (
        nngio.StreamListener(address(transport)) as listener,
        nngio.StreamDialer(listener.url) as dialer,
        ThreadPoolExecutor(1) as pool,
        dialer.dial() as near,
        listener.accept() as far,
    ):
        sending = pool.submit(send, near)
        place, chance = 0, random.Random(6)
        while place < total:
            size = min(chance.choice((1, 1000, 20_000)), total - place)
            with contextlib.suppress(nngio.TimedOut):
                data = far.recv_exactly(size, timeout=0.01) if chance.random() < 0.5 else far.recv(size, timeout=0.01)
                assert data == expected(place, len(data))
                place += len(data)
        sending.result()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("transport", ["tcp", "ipc", "ws"])
def test_streams_are_closed_while_all_is_going_on(transport: str, address: Callable[[str], str]) -> None:
    """Threads that send, receive, accept and ask for options, and one that closes: each call ends, with Closed or with what it had."""
    chance = random.Random(7)
    errors: list[BaseException] = []

    def go_on(call: Callable[[], object]) -> None:
        try:
            while call() != b"":
                pass
        except (nngio.Closed, nngio.ConnectionShutdown, nngio.ConnectionReset):
            pass
        except BaseException as error:
            errors.append(error)

    for _ in range(TIMES // 60):
        listener = nngio.StreamListener(address(transport))
        dialer = nngio.StreamDialer(listener.url)
        near = dialer.dial()
        far = listener.accept()
        calls = (
            near.recv,
            lambda s=near: s.send_all(bytes(100_000)),
            far.recv,
            lambda s=far: s.send(bytes(1000)),
            listener.accept,
            lambda s=near: s.local_address,
            lambda s=far: s.url and s.local_address,
        )
        threads = [threading.Thread(target=go_on, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        time.sleep(chance.random() * 0.005)
        closers = [near.close, far.close, listener.close, dialer.close]
        chance.shuffle(closers)
        for close in closers:
            close()
        for thread in threads:
            thread.join(SECONDS)
            assert not thread.is_alive()
    assert not errors
