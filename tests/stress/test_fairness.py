"""Fairness: a task whose socket is never empty lets the others run.

What is promised: while one task receives (or sends) without ever having to wait, another gets a turn at least every 64 messages
and every millisecond. The messages are counted, and that bound holds exactly. Time is measured on a machine that does other
things too, so it is that of the loop's thread's processor, in which being preempted doesn't count, and nine of ten turns have to
keep to it; by the clock on the wall, half of them. Garbage collections are kept out.

Turns are per task: with N busy tasks another one waits for a turn of each (on trio two, because trio runs the tasks that are
ready in any order).
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import pytest
from loops import ASYNCIO, LOOPS, TRIO, UVLOOP, AsyncioLoop, Loop, Tasks

import nngio

Address = Callable[[str], str]
Pair = tuple[nngio.Pair0, nngio.Pair0]

MESSAGES = 64
SECONDS = 0.001
ROOM = 8192
LONG = 10.0

TIMED = [AsyncioLoop("asyncio", asyncio.new_event_loop), UVLOOP, TRIO, *(loop for loop in LOOPS if loop.name == "eager")]
"""Loops as they are in use: asyncio's debug mode takes time of its own."""

timed = pytest.mark.parametrize("loop", TIMED, ids=repr)
counted = pytest.mark.parametrize("loop", [*TIMED, *(loop for loop in LOOPS if loop.name not in ("uvloop", "trio", "eager"))], ids=repr)


@pytest.fixture
def full(address: Address) -> Iterator[nngio.Pair0]:
    """A socket with 12,000 messages waiting, more than any test receives: it is never empty."""
    with (
        nngio.Pair0(listen=address("inproc"), send_buffer=ROOM) as left,
        nngio.Pair0(dial=left.listeners[0].url, recv_buffer=ROOM) as right,
    ):
        for _ in range(12_000):
            left.send(b"hello", timeout=LONG)
        yield right


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Garbage collections take their time, and are nobody's turn."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Turn(NamedTuple):
    """When the other task had a turn."""

    messages: int
    processor: float
    clock: float


class Race:
    """Busy tasks that count their messages, and one other that notes when it gets a turn."""

    def __init__(self, loop: Loop, until: int) -> None:
        self.loop = loop
        self.until = until
        self.messages = 0
        self.turns: list[Turn] = []

    @property
    def over(self) -> bool:
        return self.messages >= self.until

    async def other(self) -> None:
        while not self.over:
            self.turns.append(Turn(self.messages, time.thread_time(), time.monotonic()))
            await self.loop.sleep(0)

    def run(self, *busy: Callable[[], Awaitable[None]]) -> None:
        async def main(tasks: Tasks) -> None:
            started = [tasks.start(function) for function in busy]
            other = tasks.start(self.other)
            for task in (*started, other):
                (await task.wait()).result()

        self.loop.run(main)

    def between(self, what: Callable[[Turn], float]) -> list[float]:
        """By how much it went on between two turns of the other task, in order of size."""
        assert len(self.turns) > 5
        return sorted(what(later) - what(earlier) for earlier, later in pairwise(self.turns))

    def check_messages(self, most: int = MESSAGES) -> None:
        assert self.between(lambda turn: turn.messages)[-1] <= most

    def check_time(self, most: float = SECONDS) -> None:
        by_processor = self.between(lambda turn: turn.processor)
        assert by_processor[len(by_processor) * 9 // 10] <= most
        by_clock = self.between(lambda turn: turn.clock)
        assert by_clock[len(by_clock) // 2] <= most


def work(seconds: float) -> None:
    """Keep the processor busy, as a task does with its messages."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


# One busy task.


async def by_arecv(race: Race, socket: nngio.Pair0) -> None:
    while not race.over:
        await socket.arecv()
        race.messages += 1


async def by_arecv_msg(race: Race, socket: nngio.Pair0) -> None:
    while not race.over:
        await socket.arecv_msg()
        race.messages += 1


async def by_async_for(race: Race, socket: nngio.Pair0) -> None:
    async for _ in socket:
        race.messages += 1
        if race.over:
            break


async def by_a_timeout_of_zero(race: Race, socket: nngio.Pair0) -> None:
    while not race.over:
        await socket.arecv(timeout=0)
        race.messages += 1


RECEIVERS = [by_arecv, by_arecv_msg, by_async_for, by_a_timeout_of_zero]


@timed
@pytest.mark.parametrize("receive", RECEIVERS)
@pytest.mark.usefixtures("no_collection")
def test_a_task_that_never_waits_to_receive_lets_others_run(
    full: nngio.Pair0, loop: Loop, receive: Callable[[Race, nngio.Pair0], Awaitable[None]]
) -> None:
    """At least every 64 messages, and every millisecond, by whatever verb it receives."""
    race = Race(loop, 8000)
    race.run(lambda: receive(race, full))
    race.check_messages()
    race.check_time()


@timed
@pytest.mark.usefixtures("no_collection")
def test_a_task_that_never_waits_to_send_lets_others_run(loop: Loop) -> None:
    """The same for a publisher, whose sends are always accepted at once."""
    race = Race(loop, 8000)
    with nngio.Pub0() as pub:

        async def send() -> None:
            while not race.over:
                await pub.asend(b"hello")
                race.messages += 1

        race.run(send)
    race.check_messages()
    race.check_time()


@timed
@pytest.mark.usefixtures("no_collection")
def test_a_task_that_works_on_each_message_lets_others_run_in_time(full: nngio.Pair0, loop: Loop) -> None:
    """With a tenth of a millisecond for each message, it is the time that ends a turn."""
    race = Race(loop, 2000)

    async def receive() -> None:
        while not race.over:
            await full.arecv()
            work(0.0001)
            race.messages += 1

    race.run(receive)
    race.check_messages(16)
    race.check_time()


@counted
def test_receives_that_fail_at_once_let_others_run(loop: Loop) -> None:
    """A task that asks an empty socket again and again is as busy as one that always gets something."""
    race = Race(loop, 3000)
    with nngio.Pull0() as empty:

        async def poll() -> None:
            while not race.over:
                with pytest.raises(nngio.TimedOut):
                    await empty.arecv(timeout=0)
                race.messages += 1

        race.run(poll)
    race.check_messages()


@counted
def test_sends_that_fail_at_once_let_others_run(loop: Loop) -> None:
    """Nor does a task that sends without a peer hold up the loop."""
    race = Race(loop, 3000)
    with nngio.Push0() as lonely:

        async def poll() -> None:
            while not race.over:
                with pytest.raises(nngio.TimedOut):
                    await lonely.asend(b"hello", timeout=0)
                race.messages += 1

        race.run(poll)
    race.check_messages()


@counted
def test_a_busy_receiver_can_be_cancelled(full: nngio.Pair0, loop: Loop) -> None:
    """By another task, at its next turn."""
    received = 0

    async def receive() -> None:
        nonlocal received
        while True:
            await full.arecv()
            received += 1

    async def main(tasks: Tasks) -> None:
        task = tasks.start(receive)
        await loop.sleep(0)
        await loop.sleep(0)
        before = received
        task.cancel()
        assert (await task.wait()).cancelled
        assert received - before <= MESSAGES

    loop.run(main)


@counted
def test_a_busy_receiver_ends_by_a_timeout(full: nngio.Pair0, loop: Loop) -> None:
    """The loop gets to its timers, although the receiver never waits."""

    async def main(tasks: Tasks) -> None:  # noqa: ARG001
        started = time.monotonic()
        async with loop.timeout(0.01) as expiry:
            while time.monotonic() < started + LONG:
                await full.arecv()
        assert expiry.expired

    loop.run(main)


# Many busy tasks.


@counted
def test_many_busy_tasks_have_turns_alike(full: nngio.Pair0, loop: Loop) -> None:
    """None of ten takes more than 64 messages in a row, and none goes short."""
    turns: list[tuple[int, int]] = []  # who, and how many messages in a row
    race = Race(loop, 6000)

    def busy(who: int) -> Callable[[], Awaitable[None]]:
        async def receive() -> None:
            while not race.over:
                await full.arecv()
                race.messages += 1
                if turns and turns[-1][0] == who:
                    turns[-1] = (who, turns[-1][1] + 1)
                else:
                    turns.append((who, 1))

        return receive

    race.run(*(busy(who) for who in range(10)))
    assert max(count for _, count in turns) <= MESSAGES
    received = [sum(count for other, count in turns if other == who) for who in range(10)]
    assert min(received) > 200


@timed
@pytest.mark.usefixtures("no_collection")
def test_another_task_waits_for_one_turn_of_each_busy_task(full: nngio.Pair0, loop: Loop) -> None:
    """With ten of them ten times as long, and no longer: on trio, which may let each have two turns, still no more than 64 each."""
    race = Race(loop, 8000)
    race.run(*[lambda: by_arecv(race, full)] * 10)
    race.check_messages(10 * MESSAGES)
    race.check_time(10 * SECONDS)


# Tasks that do wait, all resumed at once.


def resumed_at_once(race: Race, address: Address, tasks_count: int, receive: Callable[[Race, nngio.RepContext], Awaitable[None]]) -> None:
    """Let so many tasks wait, each on a context of its own, and give each its message while the loop is held up."""
    loop = race.loop
    with nngio.Rep0(listen=address("inproc")) as rep, nngio.Req0(dial=rep.listeners[0].url) as req:
        contexts = [rep.context() for _ in range(tasks_count)]
        requests = [req.context() for _ in range(tasks_count)]

        async def main(tasks: Tasks) -> None:
            started = [tasks.start(receive, race, context) for context in contexts]
            for _ in range(tasks_count // 10):
                await loop.sleep(0)
            other = tasks.start(race.other)
            await loop.sleep(0)
            await loop.sleep(0)
            for request in requests:
                request.send(b"hello")
            time.sleep(0.05)  # noqa: ASYNC251  # the loop is held up on purpose, until all have arrived
            for task in (*started, other):
                (await task.wait()).result()

        loop.run(main)
        for context in (*contexts, *requests):
            context.close()


@counted
def test_tasks_are_resumed_in_bounded_batches(address: Address, loop: Loop) -> None:
    """Five hundred tasks whose messages arrive at once do not all run before another task has a turn."""

    async def receive(race: Race, context: nngio.RepContext) -> None:
        await context.arecv()
        race.messages += 1

    race = Race(loop, 500)
    resumed_at_once(race, address, 500, receive)
    assert race.messages == 500
    race.check_messages()


@timed
@pytest.mark.usefixtures("no_collection")
def test_batches_are_bounded_in_time_too(address: Address, loop: Loop) -> None:
    """When each of the resumed tasks works for a while, fewer of them are resumed at a time, on loops that let us choose."""

    async def receive(race: Race, context: nngio.RepContext) -> None:
        await context.arecv()
        work(0.0002)
        race.messages += 1

    race = Race(loop, 300)
    resumed_at_once(race, address, 300, receive)
    if loop.over_asyncio:
        race.check_messages(8)
        race.check_time()
    else:
        race.check_messages()  # trio runs all that is ready before it looks for more


@counted
def test_a_batch_does_not_grow_by_tasks_that_go_on_receiving(full: nngio.Pair0, address: Address, loop: Loop) -> None:
    """Tasks that are resumed and find more without waiting have one turn each, as if they had never waited."""

    async def receive(race: Race, context: nngio.RepContext) -> None:
        await context.arecv()
        for _ in range(100):
            await full.arecv()
            race.messages += 1

    race = Race(loop, 4000)
    resumed_at_once(race, address, 40, receive)
    assert race.messages == 4000
    race.check_messages(40 * MESSAGES)


def test_one_s_own_debug_mode_is_fair_too(full: nngio.Pair0) -> None:
    """asyncio's debug mode is slower, and gives the same turns."""
    race = Race(ASYNCIO, 4000)
    race.run(lambda: by_arecv(race, full))
    race.check_messages()
