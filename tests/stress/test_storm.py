"""Storms: numbered messages by the thousand, while the tasks that receive or send them are cancelled all the time, by every means.

Each message has to be received exactly once, and in the order of its pipe where one task receives at a time. What was not sent
never arrives, and what was sent arrives once. `NNGIO_STORM` is the number of messages in a case, 20,000 unless set.

Tasks are cancelled after a random time, and besides by a task that waits on a socket of its own (the trigger): that one goes on
in the same round of the loop as the one that it cancels, which is how a task comes to be cancelled between its result and its turn.
"""

import asyncio
import contextlib
import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio
import pytest
import trio
from loops import ASYNCIO, LOOPS, TRIO, Loop, Task, Tasks
from races import LONG, number_in, numbered, was_sent

import nngio
from nngio import Message

STORM = int(os.environ.get("NNGIO_STORM", "20000"))
WINDOW = 1000
"""The most messages under way at a time: less than what the buffers of SUB have room for."""
CONTEXTS = 8
CALM_SECONDS = 60.0
"""Without a message for so long, one was lost."""

pytestmark = pytest.mark.timeout(max(60, STORM // 200))

Address = Callable[[str], str]
Receive = Callable[[], Awaitable[None]]
Way = Callable[[Loop, Receive, float], Awaitable[None]]

PLAIN = [ASYNCIO, TRIO]
over_transports = pytest.mark.parametrize("transport", ["inproc", "ipc", "tcp"])
on_plain_loops = pytest.mark.parametrize("loop", PLAIN, ids=repr)
on_other_loops = pytest.mark.parametrize("loop", [loop for loop in LOOPS if loop not in PLAIN], ids=repr)


# The ways in which a task comes to be cancelled. Each runs `receive`, and ends it after some time.


async def pause(loop: Loop, seconds: float) -> None:
    """A few rounds of the loop, or some time."""
    if seconds > 0.001:
        await loop.sleep(seconds - 0.001)
        return
    for _ in range(int(seconds * 10000)):
        await loop.sleep(0)


async def by_timeout(loop: Loop, receive: Receive, seconds: float) -> None:
    """`asyncio.timeout`, `move_on_after`."""
    async with loop.timeout(seconds):
        await receive()


async def by_wait_for(_: Loop, receive: Receive, seconds: float) -> None:
    """asyncio's `wait_for`, which makes a task of its own of it in Python 3.11."""
    with suppress(TimeoutError):
        await asyncio.wait_for(receive(), seconds)


async def by_task_cancel(loop: Loop, receive: Receive, seconds: float) -> None:
    """A task's `cancel`."""
    task = asyncio.ensure_future(receive())
    try:
        await pause(loop, seconds)
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def by_failing_task_group(loop: Loop, receive: Receive, seconds: float) -> None:
    """A TaskGroup with another task that fails."""

    async def fail() -> None:
        await pause(loop, seconds)
        raise ZeroDivisionError

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(receive())  # type: ignore[arg-type]
            group.create_task(fail())
    except* ZeroDivisionError:
        pass


def by_failing_nursery(open_nursery: Callable[[], Any]) -> Way:
    """A nursery, or anyio's task group, with another task that fails."""

    async def way(loop: Loop, receive: Receive, seconds: float) -> None:
        async def fail() -> None:
            await pause(loop, seconds)
            raise ZeroDivisionError

        try:
            async with open_nursery() as nursery:
                nursery.start_soon(receive)
                nursery.start_soon(fail)
        except* ZeroDivisionError:
            pass

    return way


def by_nursery_cancel(open_nursery: Callable[[], Any]) -> Way:
    """The cancel scope of a nursery, or of anyio's task group."""

    async def way(loop: Loop, receive: Receive, seconds: float) -> None:
        async with open_nursery() as nursery:
            nursery.start_soon(receive)
            await pause(loop, seconds)
            nursery.cancel_scope.cancel()

    return way


def ways(loop: Loop) -> list[Way]:
    if loop.name == "trio":
        return [by_timeout, by_failing_nursery(trio.open_nursery), by_nursery_cancel(trio.open_nursery)]
    if loop.name.startswith("anyio"):
        return [by_timeout, by_failing_nursery(anyio.create_task_group), by_nursery_cancel(anyio.create_task_group)]
    return [by_timeout, by_wait_for, by_task_cancel, by_failing_task_group]


# The storm.


class Storm:
    """Runs something over and over, always cancels it, and counts what gets done nevertheless."""

    def __init__(
        self, loop: Loop, tasks: Tasks, trigger: nngio.Pair0, done: Callable[[], int], total: int, got: Callable[[], int] | None = None
    ) -> None:
        self.loop = loop
        self.tasks = tasks
        self.done = done
        self.total = total
        self.got = got or done
        self.patience = 1.0
        self.ways = ways(loop)
        self.current: dict[int, Task] = {}
        self.cancelled = 0
        tasks.start(self._cancel_when_triggered, trigger)

    async def _cancel_when_triggered(self, trigger: nngio.Pair0) -> None:
        async for _ in trigger:
            for task in list(self.current.values()):
                task.cancel()

    async def rage(self, receive: Receive, key: int = 0) -> None:
        """Run and cancel `receive`, until all is done."""
        last, last_at = self.done(), time.monotonic()
        while self.done() < self.total:
            way = random.choice(self.ways)
            seconds = random.random() * random.choice((0.001, 0.003)) * self.patience
            got = self.got()
            self.current[key] = self.tasks.start(way, self.loop, receive, seconds)
            outcome = await self.current[key].wait()
            if outcome.error is not None:
                raise outcome.error
            self.cancelled += 1
            # On a busy machine nothing would get done in so short a time: some of it has to, for there to be a race.
            self.patience = max(1.0, self.patience * 0.9) if self.got() > got else min(100.0, self.patience * 1.02)
            if self.done() > last:
                last, last_at = self.done(), time.monotonic()
            assert time.monotonic() - last_at < CALM_SECONDS, f"after {last} of {self.total} messages no more came"


@contextmanager
def beside(*functions: Callable[[], None]) -> Iterator[None]:
    """Run functions in threads of their own meanwhile. Raises what they raised."""
    errors: list[BaseException] = []

    def guard(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guard, args=[function]) for function in functions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()
    for error in errors:
        raise error


@contextmanager
def triggers() -> Iterator[tuple[nngio.Pair0, Callable[[], None]]]:
    """A socket to wait on, and what makes a message come there, now and then."""
    with nngio.Pair0(recv_buffer=64) as waits, nngio.Pair0(send_buffer=64) as fires:
        url = f"inproc://trigger-{waits.id}"
        waits.listen(url)
        fires.dial(url)

        def fire() -> None:
            if random.random() < 0.03:
                with suppress(nngio.TryAgain):
                    fires.try_send(b"")

        yield waits, fire


class Missing(AssertionError):
    """Says which messages are missing or too many, and no more than that."""


def check_exactly_once(seen: Iterable[int], expected: Iterable[int]) -> None:
    seen, expected = Counter(seen), Counter(expected)
    if seen != expected:
        missing, extra = expected - seen, seen - expected
        raise Missing(f"{missing.total()} lost: {sorted(missing)[:10]}; {extra.total()} too many: {sorted(extra)[:10]}")


def nothing_left(channel: Any) -> None:
    """What was received twice, or never sent, would be waiting."""
    with pytest.raises(nngio.TimedOut):
        channel.recv(timeout=0.05)


# Receives.


def storm_of_receives(loop: Loop, receiver: Any, senders: list[Any]) -> None:
    """Each sender numbers its share; the number's pipe is known by the remainder."""
    seen: list[int] = []
    total = STORM // len(senders) * len(senders)
    give_up = threading.Event()

    async def receive() -> None:
        while len(seen) < total:
            if random.random() < 0.5:
                seen.append(number_in(await receiver.arecv()))
            else:
                seen.append(number_in(await receiver.arecv_msg()))

    with triggers() as (trigger, fire):

        def send(first: int) -> None:
            for number in range(first, total, len(senders)):
                while number - len(seen) > WINDOW and not give_up.is_set():
                    time.sleep(0.0005)
                if give_up.is_set():
                    return
                senders[first].send(numbered(number), timeout=LONG)
                fire()

        async def main(tasks: Tasks) -> int:
            try:
                storm = Storm(loop, tasks, trigger, lambda: len(seen), total)
                await storm.rage(receive)
                return storm.cancelled
            finally:
                give_up.set()

        with beside(*[lambda first=first: send(first) for first in range(len(senders))]):  # type: ignore[misc]
            cancelled = loop.run(main)
    check_exactly_once(seen, range(total))
    for first in range(len(senders)):
        assert [number for number in seen if number % len(senders) == first] == list(range(first, total, len(senders)))
    assert cancelled > STORM / 2000
    nothing_left(receiver)


@on_plain_loops
@over_transports
def test_a_pair_receives_all_in_order(loop: Loop, transport: str, address: Address) -> None:
    """PAIR."""
    with nngio.Pair0(listen=address(transport)) as pair, nngio.Pair0(dial=pair.listeners[0].url) as peer:
        storm_of_receives(loop, pair, [peer])


@on_other_loops
def test_a_pair_receives_all_in_order_on_other_loops(loop: Loop, address: Address) -> None:
    """The same on the other loops, and with messages that wait in buffers."""
    url = address("inproc")
    with nngio.Pair0(listen=url, recv_buffer=100) as pair, nngio.Pair0(dial=url, send_buffer=100) as peer:
        storm_of_receives(loop, pair, [peer])


@on_plain_loops
@over_transports
def test_a_pull_receives_all_in_the_order_of_each_pipe(loop: Loop, transport: str, address: Address) -> None:
    """PULL, with two pipes."""
    with nngio.Pull0(listen=address(transport)) as pull:
        url = pull.listeners[0].url
        with nngio.Push0(dial=url) as one, nngio.Push0(dial=url) as two:
            storm_of_receives(loop, pull, [one, two])


@on_plain_loops
@over_transports
@pytest.mark.parametrize("kind", ["socket", "context"])
def test_a_sub_with_room_receives_all_in_order(loop: Loop, transport: str, kind: str, address: Address) -> None:
    """SUB, the socket or a context of it, whose buffer is never full."""
    sub = nngio.Sub0(listen=address(transport), recv_buffer=8192)
    with sub, nngio.Pub0(dial=sub.listeners[0].url, send_buffer=8192) as pub:
        channel = sub if kind == "socket" else sub.context()
        channel.subscribe(b"")
        channel.recv_buffer = 8192
        storm_of_receives(loop, channel, [pub])


# Exchanges on contexts.


@on_plain_loops
@over_transports
def test_rep_contexts_receive_each_request_and_send_each_reply_once(loop: Loop, transport: str, address: Address) -> None:
    """REP: receives and replies are both cancelled. A reply is sent if its message is empty; one that was given up never comes."""
    requests: list[int] = []
    sent: list[int] = []
    given_up: list[int] = []
    replies: list[int] = []
    held: dict[int, Message] = {}
    give_up = threading.Event()
    rep = nngio.Rep0(listen=address(transport))
    contexts = [rep.context() for _ in range(CONTEXTS)]
    req = nngio.Req0(raw=True, dial=rep.listeners[0].url)

    async def serve(index: int) -> None:
        context = contexts[index]
        while len(sent) + len(given_up) < STORM:
            message = held.pop(index, None)
            if message is None:
                message = await context.arecv_msg()
                requests.append(number_in(message))
            number = number_in(message)
            try:
                await context.asend(message)
                sent.append(number)
            except nngio.BadState:
                given_up.append(number)  # it was cancelled while it waited
            except BaseException:
                if was_sent(message):
                    sent.append(number)
                else:
                    held[index] = message
                raise

    with triggers() as (trigger, fire):

        def ask() -> None:
            for number in range(STORM):
                while number - len(sent) - len(given_up) > WINDOW and not give_up.is_set():
                    time.sleep(0.0005)
                if give_up.is_set():
                    return
                request = Message(numbered(number))
                request.header = (0x80000000 | number).to_bytes(4, "big")
                req.send(request, timeout=LONG)
                fire()

        def hear() -> None:
            while not (give_up.is_set() and len(replies) == len(sent)):
                try:
                    replies.append(number_in(req.recv(timeout=0.1 if not give_up.is_set() else LONG)))
                except nngio.TimedOut:
                    assert not (give_up.is_set() and len(replies) < len(sent)), "replies that were sent didn't come"

        async def main(tasks: Tasks) -> None:
            try:
                storm = Storm(loop, tasks, trigger, lambda: len(sent) + len(given_up), STORM)
                raging = [tasks.start(storm.rage, lambda i=i: serve(i), i) for i in range(CONTEXTS)]  # type: ignore[misc]
                for task in raging:
                    (await task.wait()).result()
            finally:
                give_up.set()

        with beside(ask, hear):
            loop.run(main)
    check_exactly_once(requests, range(STORM))
    check_exactly_once(sent + given_up, range(STORM))
    check_exactly_once(replies, sent)
    nothing_left(req)
    req.close()
    rep.close()


@on_plain_loops
@over_transports
def test_req_contexts_get_the_reply_to_their_own_request_once(loop: Loop, transport: str, address: Address) -> None:
    """REQ: requests and receives are both cancelled. What was sent arrives once, and no reply is taken for another's."""
    arrived: list[int] = []
    sent: list[int] = []
    received: list[int] = []
    given_up: list[int] = []
    numbers = iter(range(STORM))
    unsent: dict[int, Message] = {}
    waiting: dict[int, int] = {}
    rep = nngio.Rep0(listen=address(transport))
    req = nngio.Req0(dial=rep.listeners[0].url, resend_time=None)
    contexts = [req.context() for _ in range(CONTEXTS)]

    async def converse(index: int) -> None:
        context = contexts[index]
        while True:
            if index not in waiting:
                message = unsent.pop(index, None)
                if message is None:
                    number = next(numbers, None)
                    if number is None:
                        return
                    message = Message(numbered(number))
                number = number_in(message)
                try:
                    await context.asend(message)
                finally:
                    if was_sent(message):
                        sent.append(number)
                        waiting[index] = number
                    else:
                        unsent[index] = message
            try:
                reply = number_in(await context.arecv())
            except nngio.BadState:
                given_up.append(waiting.pop(index))  # its receive was cancelled, and with it the request
            else:
                assert reply == waiting.pop(index)
                received.append(reply)

    # asyncio's `wait_for` returns before its task has ended when it is cancelled twice (Python 3.11): a context is for one at a time.
    asking: set[int] = set()

    async def ask(index: int) -> None:
        while index in asking:
            await loop.sleep(0)
        asking.add(index)
        try:
            await converse(index)
        finally:
            asking.discard(index)

    with triggers() as (trigger, fire):

        def answer() -> None:
            for request in rep:
                arrived.append(number_in(request))
                with contextlib.suppress(nngio.Closed):  # whoever asked last may have given up, and then this is the end
                    rep.send(request, timeout=LONG)
                fire()

        async def main(tasks: Tasks) -> None:
            try:
                storm = Storm(loop, tasks, trigger, lambda: len(received) + len(given_up), STORM, lambda: len(received))
                raging = [tasks.start(storm.rage, lambda i=i: ask(i), i) for i in range(CONTEXTS)]  # type: ignore[misc]
                for task in raging:
                    (await task.wait()).result()
            finally:
                deadline = time.monotonic() + LONG
                while len(arrived) < len(sent) and time.monotonic() < deadline:
                    await loop.sleep(0.001)
                await rep.aclose()

        with beside(answer):
            loop.run(main)
    check_exactly_once(received + given_up, range(STORM))
    check_exactly_once(sent, range(STORM))
    check_exactly_once(arrived, sent)
    assert len(received) > STORM / 20
    req.close()


# Sends.


def storm_of_sends(loop: Loop, sender: Any, receiver: Any) -> None:
    sent: list[int] = []
    arrived: list[int] = []
    dropped: list[int] = []
    numbers = iter(range(STORM))
    held: list[Message] = []
    # The order of the sends is that in which they began. Most often they end in it too; but asyncio's `wait_for` returns before its task
    # has ended when it is cancelled twice, and then two can overlap.
    begun: dict[int, int] = {}
    counter = itertools.count()
    ended = threading.Event()

    async def send() -> None:
        while True:
            message = held.pop() if held else None
            if message is None:
                number = next(numbers, None)
                if number is None:
                    return
                message = Message(numbered(number))
            number = number_in(message)
            begun[number] = next(counter)
            try:
                await sender.asend(message)
            finally:
                if was_sent(message):
                    sent.append(number)
                elif random.random() < 0.5:
                    held.append(message)  # to be sent after all, next time
                else:
                    dropped.append(number)

    with triggers() as (trigger, fire):

        def receive() -> None:
            while not (ended.is_set() and len(arrived) >= len(sent)):
                try:
                    arrived.append(number_in(receiver.recv(timeout=0.1 if not ended.is_set() else LONG)))
                except nngio.TimedOut:
                    assert not (ended.is_set() and len(arrived) < len(sent)), "messages that were sent didn't come"
                fire()
                if random.random() < 0.1:
                    time.sleep(0.0002)  # sends have to wait meanwhile

        async def main(tasks: Tasks) -> None:
            try:
                storm = Storm(loop, tasks, trigger, lambda: len(sent) + len(dropped), STORM)
                await storm.rage(send)
            finally:
                ended.set()

        with beside(receive):
            loop.run(main)
    check_exactly_once(sent + dropped, range(STORM))
    check_exactly_once(arrived, sent)
    assert arrived == sorted(sent, key=begun.__getitem__)
    assert dropped
    nothing_left(receiver)


@on_plain_loops
@over_transports
def test_a_pair_sends_what_it_does_not_give_back(loop: Loop, transport: str, address: Address) -> None:
    """PAIR: a message that is whole after the cancellation never arrives, an empty one arrives once and in order."""
    with nngio.Pair0(listen=address(transport)) as receiver, nngio.Pair0(dial=receiver.listeners[0].url) as sender:
        storm_of_sends(loop, sender, receiver)


@on_plain_loops
@over_transports
def test_a_push_sends_what_it_does_not_give_back(loop: Loop, transport: str, address: Address) -> None:
    """PUSH, the same."""
    with nngio.Pull0(listen=address(transport)) as receiver, nngio.Push0(dial=receiver.listeners[0].url) as sender:
        storm_of_sends(loop, sender, receiver)


@on_other_loops
def test_a_pair_sends_what_it_does_not_give_back_on_other_loops(loop: Loop, address: Address) -> None:
    """The same on the other loops."""
    with nngio.Pair0(listen=address("inproc")) as receiver, nngio.Pair0(dial=receiver.listeners[0].url) as sender:
        storm_of_sends(loop, sender, receiver)
