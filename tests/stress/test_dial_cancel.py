"""Dials that are given up at any moment leave nothing behind: no dialer, no thread, no descriptor, and a socket that works.

Where they dial to: a listener whose backlog is full, which never answers; one that accepts and never says a word; a port, and a
path, where nobody listens; and listeners of NNG's. NNG numbers its dialers in order, so those that were made between two
others are known, and it can be asked for each whether it still has it.
"""

import asyncio
import gc
import random
import socket as sockets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import programs
import pytest
import uvloop
from loops import TRIO, UVLOOP, AsyncioLoop, Loop, Tasks

import nngio
from nngio.lowlevel import ffi, lib

Address = Callable[[str], str]

ASYNCIO = AsyncioLoop("asyncio", asyncio.new_event_loop)
each_loop = pytest.mark.parametrize("loop", [ASYNCIO, UVLOOP, TRIO], ids=repr)

# NNG's own ends the process when a WebSocket dial is cancelled in the moment in which it is answered. Ours is patched.
ANSWERING = ("tcp", "ws", "ipc") if b" + " in ffi.string(lib.nngio_build_nng_source) else ("tcp", "ipc")
DIALS = 2000
AT_ONCE = 20
ANYBODY = nngio.TLSConfig(auth="none")
SECONDS = 10
"""What NNG may take to tear down what is closed."""


@pytest.fixture
def silent(black_hole: int, tmp_path: Path) -> Iterator[list[str]]:
    """URLs where nobody answers."""
    path = str(tmp_path / "mute")
    with sockets.socket(sockets.AF_UNIX) as mute:
        mute.bind(path)
        mute.listen(DIALS)
        accepting = [f"tcp://127.0.0.1:{black_hole}", f"ws://127.0.0.1:{black_hole}/", f"tls+tcp://127.0.0.1:{black_hole}"]
        yield [*accepting, f"ipc://{path}"]


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[list[str]]:
    """URLs where nobody listens."""
    with sockets.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        yield [f"tcp://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/", f"ipc://{tmp_path}/nobody"]


def is_there(number: int) -> bool:
    """Whether NNG has a dialer of that number."""
    dialer = ffi.new("nng_dialer *", {"id": number})[0]
    code: int = lib.nng_dialer_get_ms(dialer, b"reconnect-time-min", ffi.new("nng_duration *"))
    assert code in (0, lib.NNG_ENOENT)
    return code == 0


def next_number() -> int:
    """The number after which the next dialers come."""
    with nngio.Bus0() as socket, nngio.Dialer(socket, "inproc://number") as dialer:
        return dialer.id


def held() -> tuple[int, int]:
    """The threads and the descriptors of this process."""
    return len(list(Path("/proc/self/task").iterdir())), len(list(Path("/proc/self/fd").iterdir()))


def check_nothing_left(before: tuple[int, int], first: int) -> None:
    """Wait until there are no more threads and descriptors than before, and none of the dialers made since; NNG tells nobody."""
    gc.collect()
    last = next_number()
    end = time.monotonic() + SECONDS
    while True:
        dialers = [number for number in range(first + 1, last) if is_there(number)]
        after = held()
        if not dialers and all(now <= then for now, then in zip(after, before, strict=True)):
            return
        assert time.monotonic() < end, f"threads, descriptors: {after}, {before} before; dialers left: {dialers}"
        time.sleep(0.01)


@pytest.mark.timeout(120)
@each_loop
def test_two_thousand_dials_given_up_at_random_moments_leave_nothing_behind(
    loop: Loop, address: Address, silent: list[str], nowhere: list[str]
) -> None:
    """By `adial` and by `Dialer.astart`; when the cancellation is raised, the dialer is closed."""
    chance = random.Random(20)
    ends: Counter[str] = Counter()

    async def start(dialer: nngio.Dialer, begun: list[nngio.Dialer]) -> nngio.Dialer:
        begun.append(dialer)
        try:
            await dialer.astart()
        except nngio.ConnectionRefused:
            await dialer.aclose()
            raise
        return dialer

    async def one(tasks: Tasks, socket: nngio.Bus0, url: str) -> None:
        dialer = nngio.Dialer(socket, url) if chance.random() < 0.5 else None
        begun: list[nngio.Dialer] = []
        task = tasks.start(socket.adial, url) if dialer is None else tasks.start(start, dialer, begun)
        if chance.random() < 0.9:
            await loop.sleep(chance.choice((0, chance.uniform(0, 0.002), chance.uniform(0, 0.03))))
        task.cancel()
        outcome = await task.wait()
        if outcome.value is not None:
            ends["connected"] += 1
            await outcome.value.aclose()
        elif outcome.cancelled:
            ends["cancelled"] += 1
        else:
            assert isinstance(outcome.error, nngio.ConnectionRefused), outcome
            assert url in nowhere
            ends["refused"] += 1
        if dialer is not None:
            if dialer not in begun:  # the task was cancelled before its first step
                await dialer.aclose()
            assert not is_there(dialer.id)

    async def main(tasks: Tasks) -> None:
        with nngio.Bus0(tls=ANYBODY) as server, nngio.Bus0(tls=ANYBODY) as socket:
            live = [server.listen(address(transport)).url for transport in ANSWERING]
            urls = [*silent, *nowhere, *live]

            async def some() -> None:
                for _ in range(DIALS // AT_ONCE):
                    await one(tasks, socket, chance.choice(urls))

            for task in [tasks.start(some) for _ in range(AT_ONCE)]:
                (await task.wait()).result()
            for url in live:
                dialer = await socket.adial(url, timeout=SECONDS)
                await socket.asend(url.encode())
                while await server.arecv(timeout=SECONDS) != url.encode():
                    pass
                await dialer.aclose()

    loop.run(main)  # what the libraries keep is there from now on
    before = held()
    first = next_number()
    ends.clear()
    loop.run(main)
    assert ends.total() == DIALS
    assert all(ends[end] > DIALS / 100 for end in ("connected", "cancelled", "refused")), ends
    check_nothing_left(before, first)


@pytest.mark.timeout(60)
@each_loop
def test_a_socket_that_closes_while_its_dials_are_given_up_ends_them_all(
    loop: Loop, address: Address, silent: list[str], nowhere: list[str]
) -> None:
    """Each dial is cancelled, refused, closed, or was there before; a hundred times, at random moments."""
    chance = random.Random(21)

    async def main(tasks: Tasks) -> None:
        with nngio.Bus0(tls=ANYBODY) as server:
            urls = [*silent, *nowhere, *(server.listen(address(transport)).url for transport in ANSWERING)]
            for _ in range(100):
                async with nngio.Bus0(tls=ANYBODY) as socket:
                    dials = [tasks.start(socket.adial, url) for url in urls]
                    await loop.sleep(chance.uniform(0, 0.03))
                    for task in chance.sample(dials, 5):
                        task.cancel()
                    await loop.sleep(chance.choice((0, 0, chance.uniform(0, 0.005))))
                for task in dials:
                    outcome = await task.wait()
                    assert (
                        outcome.cancelled or outcome.value is not None or isinstance(outcome.error, (nngio.Closed, nngio.ConnectionRefused))
                    )

    loop.run(main)
    before = held()
    first = next_number()
    loop.run(main)
    check_nothing_left(before, first)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_loop_that_closes_while_it_dials_is_not_held_up_and_closes_the_dialers(
    new_loop: Callable[[], asyncio.AbstractEventLoop], silent: list[str]
) -> None:
    """Its tasks are never resumed. The loop closes at once, and what it had begun ends in the background."""

    def scene() -> float:
        loop = new_loop()
        with nngio.Bus0(tls=ANYBODY) as socket:
            tasks = [loop.create_task(socket.adial(url)) for url in silent * 5]
            loop.run_until_complete(asyncio.sleep(0.01))
            begun = time.monotonic()
            loop.close()
            seconds = time.monotonic() - begun
            for task in tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                task.get_coro().close()  # type: ignore[union-attr]
            del tasks, task
            check_nothing_left((1000, 1000), first)
        return seconds

    first = next_number()
    scene()
    before = held()
    first = next_number()
    assert min(scene() for _ in range(3)) < 0.01
    check_nothing_left(before, first)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_coroutine_that_is_dropped_while_it_dials_closes_its_dialer(
    new_loop: Callable[[], asyncio.AbstractEventLoop], silent: list[str]
) -> None:
    """The operation is used again when it has come to its end."""

    async def main() -> None:
        with nngio.Bus0(tls=ANYBODY) as socket:
            first = next_number()
            for url in silent * 5:
                coroutine = socket.adial(url)
                coroutine.send(None)
                coroutine.close()
            await asyncio.to_thread(check_nothing_left, (1000, 1000), first)
            await socket.alisten("inproc://dropped")
            await (await socket.adial("inproc://dropped")).aclose()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


@each_loop
def test_a_listen_that_is_cancelled_leaves_no_listener(loop: Loop, address: Address) -> None:
    """When the cancellation is raised, what had begun to listen is closed."""
    chance = random.Random(23)
    ends: Counter[str] = Counter()

    async def main(tasks: Tasks) -> None:
        async with nngio.Bus0() as socket:
            for number in range(200):
                url = address(("tcp", "ws", "ipc", "inproc")[number % 4])
                task = tasks.start(socket.alisten, url)
                await loop.sleep(chance.choice((0, chance.uniform(0, 0.001))))
                task.cancel()
                outcome = await task.wait()
                ends["cancelled" if outcome.cancelled else "listens"] += 1
                if not outcome.cancelled:
                    await outcome.result().aclose()
            assert len(socket.listeners) == ends["listens"]
            last = await socket.alisten("inproc://last")
            listener = ffi.new("nng_listener *")
            for listener[0].id in range(last.id - 200, last.id):
                code = lib.nng_listener_get_size(listener[0], b"recv-size-max", ffi.new("size_t *"))
                assert code == lib.NNG_ENOENT

    loop.run(main)
    assert ends["cancelled"] > 10 or not loop.over_asyncio


EXITS = """
import asyncio, random, threading
import nngio

url, seconds = sys.argv[1], float(sys.argv[2])

async def give_up(socket):
    while True:
        task = asyncio.create_task(socket.adial(url))
        await asyncio.sleep(random.uniform(0, 0.02))
        task.cancel()
        await asyncio.wait([task])

async def main():
    socket = nngio.Bus0()
    await asyncio.gather(*(give_up(socket) for _ in range(10)))

threading.Thread(target=asyncio.run, args=[main()], daemon=True).start()
time.sleep(seconds)
main_ends()
"""


@pytest.mark.timeout(60)
def test_a_program_ends_while_another_thread_gives_up_dials(silent: list[str]) -> None:
    """At once, and without a word, whatever the moment."""
    chance = random.Random(22)
    for ended in programs.run_all([(EXITS, [url, str(chance.uniform(0.05, 0.2))]) for url in silent * 5]):
        ended.check(exit_seconds=1)
