"""Loops come and go, and sockets outlive them: what a loop leaves behind, and who gets the messages that it was given."""

import asyncio
import contextlib
import gc
import os
import random
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import programs
import pytest
import trio
import trio.testing
import uvloop

import nngio
from nngio._core.adapter import Adapter

Address = Callable[[str], str]
Pair = tuple[nngio.Pair0, nngio.Pair0]
Loop = asyncio.AbstractEventLoop

SECONDS = 5.0
FACTORIES: dict[str, Callable[[], Loop]] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def pair(address: Address) -> Iterator[Pair]:
    """Two sockets with a connection between them, and room for what the tests send before anybody receives."""
    with (
        nngio.Pair0(listen=address("inproc"), recv_buffer=256, send_buffer=256) as left,
        nngio.Pair0(dial=left.listeners[0].url, recv_buffer=256, send_buffer=256) as right,
    ):
        yield left, right


def wait_until(condition: Callable[[], bool]) -> None:
    """For what happens on NNG's threads and tells nobody."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def numbers(*range_arguments: int) -> list[bytes]:
    return [b"%d" % number for number in range(*range_arguments)]


def collect() -> None:
    """Collect what nobody refers to any more, and what that was the last to refer to."""
    for _ in range(3):
        gc.collect()


def begin(loop: Loop, socket: Any, count: int) -> "list[asyncio.Task[bytes]]":
    """Run the loop until `count` of its tasks wait to receive, and stop it."""
    tasks = [loop.create_task(socket.arecv()) for _ in range(count)]

    async def turn() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    loop.run_until_complete(turn())
    assert not any(task.done() for task in tasks)
    return tasks


def adapter_of(loop: Loop) -> Adapter:
    adapter: Adapter = loop._nngio  # type: ignore[attr-defined]
    return adapter


def holding(loop: Loop) -> int:
    """The number of messages that NNG has given to this loop's receives."""
    return sum(operation.c.len > 0 for operation in adapter_of(loop).operations)


def end(loop: Loop, tasks: "list[asyncio.Task[bytes]]") -> None:
    """Cancel what is left, and close the loop as one should."""
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()


def receive_by_socket(socket: Any, count: int) -> list[bytes]:
    return [socket.recv(timeout=SECONDS) for _ in range(count)]


def receive_by_message(socket: Any, count: int) -> list[bytes]:
    return [bytes(socket.recv_msg(timeout=SECONDS)) for _ in range(count)]


def receive_by_trying(socket: Any, count: int) -> list[bytes]:
    received: list[bytes] = []

    def all_received() -> bool:
        with contextlib.suppress(nngio.TryAgain):  # those sent last may still be on their way, on NNG's threads
            while len(received) < count:
                received.append(socket.try_recv())
        return len(received) == count

    wait_until(all_received)
    return received


def receive_by_thread(socket: Any, count: int) -> list[bytes]:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(receive_by_socket, socket, count).result()


def receive_by_loop(socket: Any, count: int) -> list[bytes]:
    async def main() -> list[bytes]:
        return [await socket.arecv(timeout=SECONDS) for _ in range(count)]

    return asyncio.run(main())


def receive_by_tasks(socket: Any, count: int) -> list[bytes]:
    async def main() -> list[bytes]:
        return await asyncio.gather(*(socket.arecv(timeout=SECONDS) for _ in range(count)))

    return asyncio.run(main())


def receive_by_trio(socket: Any, count: int) -> list[bytes]:
    async def main() -> list[bytes]:
        return [await socket.arecv(timeout=SECONDS) for _ in range(count)]

    return trio.run(main)


def receive_by_aio(socket: Any, count: int) -> list[bytes]:
    received = []
    for _ in range(count):
        aio = nngio.Aio()
        aio.set_timeout(SECONDS)
        socket.recv_aio(aio)
        aio.wait()
        aio.check()
        received.append(bytes(aio.get_msg() or b""))
    return received


Receive = Callable[[Any, int], list[bytes]]
USERS: dict[str, Receive] = {
    name.removeprefix("receive_by_"): function for name, function in globals().items() if name.startswith("receive_by_")
}


each_loop = pytest.mark.parametrize("new_loop", FACTORIES.values(), ids=FACTORIES)
each_user = pytest.mark.parametrize(
    ("new_loop", "receive"),
    [
        *(pytest.param(asyncio.new_event_loop, receive, id=f"asyncio-{name}") for name, receive in USERS.items()),
        pytest.param(uvloop.new_event_loop, receive_by_socket, id="uvloop-socket"),
    ],
)


# Many runs.


class Census:
    """What the process has of descriptors, threads, and objects of ours. Equal: nothing was added."""

    def __init__(self) -> None:
        collect()
        self.descriptors = len(list(Path("/proc/self/fd").iterdir()))
        self.threads = len(list(Path("/proc/self/task").iterdir()))
        self.objects = Counter(type(o).__qualname__ for o in gc.get_objects() if str(type(o).__module__).startswith("nngio"))

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Census)  # what was there before; of its threads some may have ended, such as trio's idle ones
        return (self.descriptors, self.objects) == (other.descriptors, other.objects) and self.threads <= other.threads

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(vars(self))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def some_of_everything_on_asyncio(left: nngio.Pair0, right: nngio.Pair0, number: int) -> None:
    """A message at once, a receive that is given up, one that waits; and one is left for the loop's end."""
    await left.asend(b"%d" % number)
    assert await right.arecv() == b"%d" % number
    given_up = asyncio.ensure_future(right.arecv_msg())
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    waiting = asyncio.ensure_future(right.arecv())
    await asyncio.sleep(0)
    await left.asend(b"and")
    assert await waiting == b"and"
    waiting = asyncio.ensure_future(right.arecv())
    await asyncio.sleep(0)


async def some_of_everything_on_trio(left: nngio.Pair0, right: nngio.Pair0, number: int) -> None:
    """The same for trio, where a run can't end before its tasks."""

    async def receive() -> None:
        assert await right.arecv() == b"and"

    await left.asend(b"%d" % number)
    assert await right.arecv() == b"%d" % number
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        await left.asend(b"and")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(right.arecv_msg)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


RUNS: dict[str, Callable[[nngio.Pair0, nngio.Pair0, int], None]] = {
    "asyncio": lambda left, right, number: asyncio.run(some_of_everything_on_asyncio(left, right, number)),
    "uvloop": lambda left, right, number: uvloop.run(some_of_everything_on_asyncio(left, right, number)),
    "trio": lambda left, right, number: trio.run(some_of_everything_on_trio, left, right, number),
}


@pytest.mark.parametrize("library", list(RUNS))
def test_a_thousand_runs_over_one_socket_leave_nothing(pair: Pair, library: str) -> None:
    """No descriptor, no thread, no object, and no memory to speak of, although each run ends with a receive pending."""
    run = RUNS[library]
    for number in range(100):
        run(*pair, number)
    before, grown = Census(), []
    while len(grown) < 3 and (not grown or grown[-1] >= 1000 * 512):  # a leak grows each time, what the process had to do anyway once
        bytes_before = resident_bytes()
        for number in range(1000):
            run(*pair, number)
        assert Census() == before
        # AddressSanitizer keeps what is freed, and tells of what isn't.
        grown.append(0 if os.environ.get("NNGIO_SANITIZED") else resident_bytes() - bytes_before)
    assert grown[-1] < 1000 * 512, grown


def test_runs_in_many_threads_leave_nothing(pair: Pair) -> None:
    """A loop for each of four threads at a time, each in a thread that ends: nothing is left, and nobody is in the way."""
    left, right = pair
    each = 25

    async def main() -> list[bytes]:
        return [await right.arecv(timeout=SECONDS) for _ in range(each)]

    def round_trip() -> list[bytes]:
        received: list[list[bytes]] = []
        threads = [threading.Thread(target=lambda: received.append(asyncio.run(main()))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for message in numbers(4 * each):
            left.send(message, timeout=SECONDS)
        for thread in threads:
            thread.join()
        return [message for part in received for message in part]

    round_trip()
    before = Census()
    for _ in range(25):
        assert sorted(round_trip()) == sorted(numbers(4 * each))
    assert Census() == before


# A loop that is closed.


@each_user
def test_a_closed_loop_s_messages_go_to_the_next_user(pair: Pair, new_loop: Callable[[], Loop], receive: Receive) -> None:
    """Closed with receives pending, some of which had been given a message: each is received once, and in order."""
    left, right = pair
    loop = new_loop()
    tasks = begin(loop, right, 5)
    for message in numbers(3):
        left.send(message)
    wait_until(lambda: holding(loop) == 3)
    loop.close()
    for message in numbers(3, 10):
        left.send(message)
    assert receive(right, 10) == numbers(10)
    assert not any(task.done() for task in tasks)


@each_user
def test_messages_that_a_closed_loop_held_are_first(pair: Pair, new_loop: Callable[[], Loop], receive: Receive) -> None:
    """Those that wait in the socket's own buffer are younger than those that the loop had been given."""
    left, right = pair
    loop = new_loop()
    begin(loop, right, 2)
    for message in numbers(10):
        left.send(message)
    wait_until(lambda: holding(loop) == 2)
    loop.close()
    assert receive(right, 10) == numbers(10)


@each_loop
def test_a_closed_loop_s_request_can_be_answered(address: Address, new_loop: Callable[[], Loop]) -> None:
    """A request that the loop's receive had been given is the context's next one, and its reply gets to who asked."""
    with nngio.Rep0(listen=address("inproc")) as rep, rep.context() as context, nngio.Req0(dial=rep.listeners[0].url) as req:
        loop = new_loop()
        begin(loop, context, 1)
        req.send(b"question")
        wait_until(lambda: holding(loop) == 1)
        loop.close()
        assert context.recv(timeout=SECONDS) == b"question"
        context.send(b"answer")
        assert req.recv(timeout=SECONDS) == b"answer"


@each_loop
def test_a_loop_can_be_closed_twice_and_not_while_it_runs(pair: Pair, new_loop: Callable[[], Loop]) -> None:
    """As ever: closing it again does nothing, closing it from within raises, and the tasks go on."""
    left, right = pair
    loop = new_loop()

    async def main() -> bytes:
        waiting = asyncio.ensure_future(right.arecv())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match=r"running"):
            loop.close()
        await left.asend(b"hello")
        return await waiting

    assert loop.run_until_complete(main()) == b"hello"
    loop.close()
    loop.close()
    assert loop.is_closed()


@each_loop
def test_a_task_that_outlives_its_loop_is_let_go(pair: Pair, new_loop: Callable[[], Loop]) -> None:
    """A coroutine that is closed when its loop has long been closed has nothing to give back, and says nothing."""
    _, right = pair
    for how in ("close", "throw", "collect"):
        loop = new_loop()
        coroutine = right.arecv()

        async def main(coroutine: Any = coroutine) -> None:
            waiting = coroutine.__await__()
            assert next(waiting) is not None  # what a task would be given to wait for

        loop.run_until_complete(main())
        loop.close()
        if how == "close":
            coroutine.close()
        elif how == "throw":
            with pytest.raises(ZeroDivisionError):
                coroutine.throw(ZeroDivisionError())
        del coroutine, loop
        gc.collect()
    with pytest.raises(nngio.TryAgain):
        right.try_recv()


# A loop that is stopped, and neither closed nor run on.


@each_user
def test_a_stopped_loop_s_messages_go_to_the_next_user(pair: Pair, new_loop: Callable[[], Loop], receive: Receive) -> None:
    """Each message is received once and in order, whether it came before the loop stopped, after that, or later still."""
    left, right = pair
    loop = new_loop()
    tasks = begin(loop, right, 5)
    for message in numbers(3):
        left.send(message)
    wait_until(lambda: holding(loop) == 3)
    assert receive(right, 3) == numbers(3)
    for message in numbers(3, 10):
        left.send(message)
    assert receive(right, 7) == numbers(3, 10)
    end(loop, tasks)


@each_user
def test_messages_that_a_stopped_loop_holds_are_first(pair: Pair, new_loop: Callable[[], Loop], receive: Receive) -> None:
    """A receive that finds a message in the socket's own buffer must not overtake those that the loop was given before."""
    left, right = pair
    loop = new_loop()
    tasks = begin(loop, right, 2)
    for message in numbers(10):
        left.send(message)
    wait_until(lambda: holding(loop) == 2)
    try:
        assert receive(right, 10) == numbers(10)
    finally:
        end(loop, tasks)


@each_loop
def test_a_loop_that_stops_itself_in_a_batch_keeps_no_message(pair: Pair, new_loop: Callable[[], Loop]) -> None:
    """Forty tasks are given a message at once and the first stops the loop: what they have not seen, others get."""
    left, right = pair
    loop = new_loop()
    seen: list[bytes] = []

    async def receive() -> None:
        seen.append(await right.arecv())
        if len(seen) == 1:
            loop.stop()
            until = time.monotonic() + 0.002
            while time.monotonic() < until:  # the turn is over then, and not all the others are resumed
                pass

    tasks = [loop.create_task(receive()) for _ in range(40)]
    loop.run_until_complete(asyncio.sleep(0))
    for message in numbers(40):
        left.send(message)
    wait_until(lambda: holding(loop) == 40)
    loop.run_forever()
    assert 0 < len(seen) < 40
    left.send(b"last")
    try:
        while (message := right.recv(timeout=SECONDS)) != b"last":
            seen.append(message)
        assert seen == numbers(40)
    finally:
        end(loop, tasks)


@each_user
def test_a_stopped_loop_that_runs_on_goes_on_receiving(pair: Pair, new_loop: Callable[[], Loop], receive: Receive) -> None:
    """Its tasks still wait when others have had their messages meanwhile, and they get the next ones, in order."""
    left, right = pair
    loop = new_loop()
    tasks = begin(loop, right, 3)
    for message in numbers(2):
        left.send(message)
    assert receive(right, 2) == numbers(2)
    for message in numbers(2, 5):
        left.send(message)
    assert loop.run_until_complete(asyncio.wait_for(asyncio.gather(*tasks), SECONDS)) == numbers(2, 5)
    loop.close()


@each_loop
def test_tasks_can_be_cancelled_when_a_stopped_loop_runs_on(pair: Pair, new_loop: Callable[[], Loop]) -> None:
    """Also those whose receive was given up for another user meanwhile; the loop's next receive finds all in order."""
    left, right = pair
    loop = new_loop()
    tasks = begin(loop, right, 3)
    left.send(b"one")
    assert right.recv(timeout=SECONDS) == b"one"
    for task in tasks:
        task.cancel()
    results = loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    assert [type(result) for result in results] == [asyncio.CancelledError] * 3
    left.send(b"two")
    assert loop.run_until_complete(right.arecv(timeout=SECONDS)) == b"two"
    loop.close()


@each_loop
def test_a_timeout_is_kept_when_a_stopped_loop_runs_on(pair: Pair, new_loop: Callable[[], Loop]) -> None:
    """A receive that was given up for another user, and begun anew, still ends by its own timeout."""
    left, right = pair
    loop = new_loop()
    task = loop.create_task(right.arecv(timeout=0.2))
    loop.run_until_complete(asyncio.sleep(0))
    left.send(b"one")
    assert right.recv(timeout=SECONDS) == b"one"
    with pytest.raises(nngio.TimedOut):
        loop.run_until_complete(asyncio.wait_for(task, SECONDS))
    loop.close()


@each_loop
def test_closing_the_socket_ends_the_receives_of_a_stopped_loop(pair: Pair, new_loop: Callable[[], Loop]) -> None:
    """They learn of it when the loop runs on, whether or not they had been given up for another user."""
    left, right = pair
    loop = new_loop()
    tasks = begin(loop, right, 3)
    left.send(b"one")
    assert right.recv(timeout=SECONDS) == b"one"
    right.close()
    results = loop.run_until_complete(asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SECONDS))
    assert [type(result) for result in results] == [nngio.Closed] * 3
    loop.close()


@pytest.mark.filterwarnings("ignore:unclosed")  # asyncio's and uvloop's own complaint
@each_user
def test_a_stopped_loop_that_is_dropped_gives_back_its_messages(pair: Pair, new_loop: Callable[[], Loop], receive: Receive) -> None:
    """Collected, without ever having been closed: its messages are received once and in order, and no object is left.

    uvloop keeps a loop that has run, and so what belongs to it, until it is closed; its messages are given back all the same.
    """
    left, right = pair
    before = Census()

    def use_a_loop() -> None:
        loop = new_loop()
        begin(loop, right, 5)
        for message in numbers(3):
            left.send(message)
        wait_until(lambda: holding(loop) == 3)

    use_a_loop()
    collect()
    for message in numbers(3, 10):
        left.send(message)
    assert receive(right, 10) == numbers(10)
    if new_loop is not uvloop.new_event_loop:
        assert Census().objects == before.objects


def test_a_receive_with_a_stopped_loop_beside_it_costs_no_time(pair: Pair) -> None:
    """One that finds nothing ends by its timeout; one whose message comes later gets it as soon as ever."""
    left, right = pair
    loop = asyncio.new_event_loop()
    tasks = begin(loop, right, 1)
    started = time.monotonic()
    with pytest.raises(nngio.TimedOut):
        right.recv(timeout=0.1)
    assert time.monotonic() - started < 1
    delays = []
    for _ in range(20):
        timer = threading.Timer(0.01, lambda: left.send(b"%f" % time.monotonic()))
        timer.start()
        delays.append(time.monotonic() - float(right.recv(timeout=SECONDS)))
        timer.join()
    assert sorted(delays)[len(delays) // 2] < 0.01
    end(loop, tasks)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("seed", range(2))
@each_loop
def test_nothing_is_lost_while_loops_stop_and_run_on(pair: Pair, new_loop: Callable[[], Loop], seed: int) -> None:
    """A loop that runs a little and stops a little, its tasks cancelled at random, and a thread that receives beside it.

    Each message is received once.
    """
    left, right = pair
    chance = random.Random(seed)
    total = 3000
    by_thread: list[bytes] = []
    by_loop: list[bytes] = []

    def take_by_thread() -> None:
        while (message := right.recv(timeout=SECONDS)) != b"end":
            by_thread.append(message)

    def send() -> None:
        for message in numbers(total):
            left.send(message, timeout=SECONDS)

    async def take() -> None:
        by_loop.append(await right.arecv())

    loop = new_loop()
    tasks = [loop.create_task(take()) for _ in range(10)]
    loop.run_until_complete(asyncio.sleep(0))
    receiver, sender = threading.Thread(target=take_by_thread), threading.Thread(target=send)
    receiver.start()
    sender.start()
    while sender.is_alive():
        tasks = [task for task in tasks if not task.done()]
        tasks += [loop.create_task(take()) for _ in range(10 - len(tasks))]
        loop.run_until_complete(asyncio.sleep(chance.choice((0, 0, 0.001))))
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
        time.sleep(chance.choice((0, 0.0005, 0.002)))
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    left.send(b"end", timeout=SECONDS)
    receiver.join()
    loop.close()
    assert Counter(by_thread + by_loop) == Counter(numbers(total))


def test_loops_may_be_made_while_others_look_for_messages(pair: Pair) -> None:
    """Threads that make and close loops do not disturb receives that ask all loops there are."""
    left, right = pair
    stopped = asyncio.new_event_loop()
    tasks = begin(stopped, right, 1)
    stop = threading.Event()
    failures: list[BaseException] = []

    async def use() -> None:
        await left.asend(b"x")

    def make_loops() -> None:
        try:
            while not stop.is_set():
                asyncio.run(use())
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=make_loops) for _ in range(3)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 1.5
    try:
        while time.monotonic() < until:
            assert right.recv(timeout=SECONDS) == b"x"
            while True:
                try:
                    right.recv(timeout=0)
                except nngio.TimedOut:
                    break
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        end(stopped, tasks)
    assert not failures


# A loop whose thread has died.


def in_a_thread_that_dies(new_loop: Callable[[], Loop], socket: Any) -> Loop:
    """Start a loop in a thread, where three tasks wait to receive, and a callback ends the thread; return the loop."""
    loops: list[Loop] = []

    async def main() -> None:
        tasks = [asyncio.ensure_future(socket.arecv()) for _ in range(3)]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(sys.exit)
        await asyncio.wait(tasks)

    def run() -> None:
        loops.append(new_loop())
        with pytest.raises(SystemExit):
            loops[0].run_until_complete(main())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return loops[0]


@each_user
def test_a_dead_thread_s_messages_go_to_the_next_user(pair: Pair, new_loop: Callable[[], Loop], receive: Receive) -> None:
    """The loop's thread has ended, by an exception and without closing the loop: nothing is lost, nothing hangs."""
    left, right = pair
    loop = in_a_thread_that_dies(new_loop, right)
    for message in numbers(6):
        left.send(message)
    try:
        assert receive(right, 6) == numbers(6)
    finally:
        loop.close()


@pytest.mark.filterwarnings("ignore:unclosed")
@each_user
def test_a_dead_thread_s_loop_that_is_dropped_gives_back_its_messages(pair: Pair, new_loop: Callable[[], Loop], receive: Receive) -> None:
    """The same, and the loop is collected."""
    left, right = pair
    in_a_thread_that_dies(new_loop, right)
    for message in numbers(6):
        left.send(message)
    collect()
    assert receive(right, 6) == numbers(6)


@pytest.mark.filterwarnings("ignore:unclosed")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <function BaseEventLoop.__del__")  # that of its sockets may come first
def test_loops_that_another_thread_collects_give_back_their_messages(pair: Pair) -> None:
    """The collector runs in a thread of its own, and lets others run while it is at a loop: 1,000 of them, in order each time."""
    left, right = pair
    done = threading.Event()

    def collect_all() -> None:
        while not done.wait(0.0003):
            gc.collect()

    gc.collect()
    gc.freeze()  # else it has so much to look at that it is rarely in the way
    collector = threading.Thread(target=collect_all)
    collector.start()
    try:
        for _ in range(1000):
            in_a_thread_that_dies(asyncio.new_event_loop, right)
            for message in numbers(6):
                left.send(message)
            assert receive_by_socket(right, 6) == numbers(6)
    finally:
        done.set()
        collector.join()
        gc.unfreeze()
        collect()


# trio.


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_a_trio_run_that_crashes_loses_no_message(pair: Pair, error: type[BaseException]) -> None:
    """Its tasks are cancelled when they have been given a message and not seen it: they get it, or the next user does."""
    left, right = pair
    seen: list[bytes] = []

    async def receive() -> None:
        seen.append(await right.arecv())

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(receive)
                await trio.testing.wait_all_tasks_blocked()  # one after the other: trio starts tasks in any order
            for message in numbers(3):
                left.send(message)
            if error is SystemExit:  # in one case some have seen it already
                await trio.lowlevel.checkpoint()
            raise error

    with pytest.raises(BaseExceptionGroup) as raised:
        trio.run(main)
    assert raised.group_contains(error)
    for message in numbers(3, 10):
        left.send(message)
    assert sorted(seen) + receive_by_socket(right, 10 - len(seen)) == numbers(10)  # trio resumes tasks in any order


def test_trio_runs_in_threads_that_end_leave_nothing(pair: Pair) -> None:
    """A hundred runs, each in a thread of its own and cancelled from outside: the messages wait for the next user."""
    left, right = pair

    def run(started: "SimpleQueue[Callable[[], None]]") -> None:
        async def main() -> None:
            token = trio.lowlevel.current_trio_token()
            with trio.CancelScope() as scope:
                started.put(lambda: token.run_sync_soon(scope.cancel))
                await right.arecv()

        trio.run(main)

    def run_once() -> None:
        started: SimpleQueue[Callable[[], None]] = SimpleQueue()
        thread = threading.Thread(target=run, args=(started,))
        thread.start()
        cancel = started.get(timeout=SECONDS)
        cancel()
        thread.join()
        left.send(b"hello")
        assert right.recv(timeout=SECONDS) == b"hello"

    for _ in range(10):
        run_once()
    before = Census()
    for _ in range(100):
        run_once()
    assert Census() == before


def start_guest(loop: Loop, main: Callable[[], Any]) -> "asyncio.Future[Any]":
    """Run trio in a running loop of asyncio's; the future has its outcome."""
    done: asyncio.Future[Any] = loop.create_future()
    trio.lowlevel.start_guest_run(
        main,
        run_sync_soon_threadsafe=loop.call_soon_threadsafe,
        done_callback=done.set_result,
        strict_exception_groups=True,
    )
    return done


def test_trio_as_a_guest_of_asyncio_has_a_queue_of_its_own(pair: Pair) -> None:
    """In one thread, tasks of both receive on one socket; each is resumed by its own loop."""
    left, right = pair
    received: list[bytes] = []

    async def guest() -> None:
        received.append(await right.arecv())

    async def host() -> None:
        done = start_guest(asyncio.get_running_loop(), guest)
        await left.asend(b"one")
        await done
        await left.asend(b"two")
        received.append(await right.arecv())

    asyncio.run(asyncio.wait_for(host(), SECONDS))
    assert received == [b"one", b"two"]


@contextlib.contextmanager
def standing_still(verb: Callable[[], Awaitable[Any]], received: list[Any]) -> Iterator[None]:
    """A guest of trio's that awaits this, and whose host stands still meanwhile; at the end it is cancelled, and ends."""
    loop = asyncio.new_event_loop()
    scope = trio.CancelScope()

    async def guest() -> None:
        with scope:
            waiting.set()
            received.append(await verb())

    async def host() -> "asyncio.Future[Any]":
        done = start_guest(loop, guest)
        await waiting.wait()
        await asyncio.sleep(0.05)  # for the receive to begin: of that nobody is told
        return done

    async def finish() -> None:
        scope.cancel()
        (await asyncio.wait_for(done, SECONDS)).unwrap()

    waiting = asyncio.Event()
    done = loop.run_until_complete(host())
    try:
        yield
    finally:
        loop.run_until_complete(finish())
        loop.close()


def test_a_guest_whose_host_has_stopped_gives_back_its_messages(pair: Pair) -> None:
    """A trio run that nobody runs on any more: its messages, too, go to the socket's next user."""
    left, right = pair
    with standing_still(right.arecv, []):
        for message in numbers(4):
            left.send(message)
        assert receive_by_socket(right, 4) == numbers(4)


@pytest.mark.parametrize("verb", ["arecv", "arecv_msg", "arecv_many"])
def test_a_guest_that_is_cancelled_has_no_message_that_was_given_back(pair: Pair, verb: str) -> None:
    """It had come while the host stood still, and another has received it: the guest is cancelled, and gets nothing."""
    left, right = pair
    received: list[Any] = []
    with standing_still(getattr(right, verb), received):
        left.send(b"for another")
        assert receive_by_socket(right, 1) == [b"for another"]
    assert received == []


# Programs that end with loops in whatever state they are.


PROLOGUE = """
import asyncio, gc, sys, threading, time
import nngio
a = nngio.Pair0(listen="inproc://x", recv_buffer=64)
b = nngio.Pair0(dial="inproc://x", recv_buffer=64)
loop = asyncio.new_event_loop()
async def start():
    global tasks
    tasks = [asyncio.ensure_future(b.arecv()) for _ in range(3)]
    await asyncio.sleep(0.01)
def finish():
    a.send(b"last")
    messages = list(iter(lambda: b.recv(timeout=5), b"last"))
    a.close(); b.close()
    print(*(m.decode() for m in messages))
"""

PROGRAMS = {
    "a loop closed with receives pending": """
        loop.run_until_complete(start())
        a.send(b"1"); a.send(b"2")
        loop.close()
        finish()
    """,
    "a loop stopped and kept": """
        loop.run_until_complete(start())
        a.send(b"1"); a.send(b"2")
        finish()
    """,
    "a loop stopped and dropped": """
        loop.run_until_complete(start())
        a.send(b"1"); a.send(b"2")
        del loop, tasks
        gc.collect()
        finish()
    """,
    "a loop in a thread that has died": """
        def run():
            async def main():
                await start()
                asyncio.get_running_loop().call_later(0.05, sys.exit)
                await asyncio.sleep(5)
            try:
                loop.run_until_complete(main())
            except SystemExit:
                pass
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        a.send(b"1"); a.send(b"2")
        finish()
    """,
    "a loop that runs in a daemon thread at exit": """
        async def main():
            await start()
            ready.set()
            await asyncio.gather(*tasks)
        ready = threading.Event()
        threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True).start()
        ready.wait()
        print("1 2")
    """,
    "loops that share their last reference with the interpreter": """
        loop.run_until_complete(start())
        a.send(b"1"); a.send(b"2")
        sys.loop, sys.tasks, sys.a, sys.b = loop, tasks, a, b
        print("1 2")
    """,
    "a socket closed under a loop that is stopped": """
        loop.run_until_complete(start())
        a.send(b"1"); a.send(b"2")
        a.close(); b.close()
        print("1 2")
    """,
    "a trio run abandoned in the middle": """
        import trio, trio.testing
        async def main():
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(b.arecv)
                await trio.testing.wait_all_tasks_blocked()
                raise KeyboardInterrupt
        try:
            trio.run(main)
        except BaseException:
            pass
        a.send(b"1"); a.send(b"2")
        finish()
    """,
}

ASYNCIO_S_OWN = (
    "Task was destroyed but it is pending!",
    "task: <Task pending",
    "ResourceWarning: unclosed event loop",
    "  _warn(f",
    "ResourceWarning: Enable tracemalloc",
)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_end_in_silence(name: str) -> None:
    """With exit status 0, in bounded time, all messages received, and nothing on stderr but asyncio's own complaints."""
    program = PROLOGUE + textwrap.dedent(PROGRAMS[name]) + "main_ends()\n"
    ended = programs.run(program, options=("-W", "default")).check(out="1 2\n", err=None, exit_seconds=1)
    others = [line for line in ended.err.splitlines() if not any(text in line for text in ASYNCIO_S_OWN)]
    assert not others
