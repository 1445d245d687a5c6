"""The verbs for many messages, cancelled, timed out and interrupted by the thousand while messages come and go.

What a send of many reports as not sent never arrives, and all else does, once and in order. What comes is received once and in
order, whichever receive it was given to at first. `NNGIO_RACES` sets how often each test runs its race, a thousand times unless set.
"""

import itertools
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from loops import Loop, Tasks, on_all_loops
from programs import run
from races import (
    LONG,
    RACES,
    FromPeer,
    FromPublisher,
    Helper,
    Receiving,
    ToPeer,
    cancel_at_some_moment,
    number_in,
    numbered,
    was_sent,
)

import nngio
from nngio import Message

pytestmark = pytest.mark.timeout(60)

ROOM = 64
"""Messages that may wait to be received: more than are ever left to wait."""

RECEIVES_MANY: dict[str, Callable[[], Receiving]] = {
    "pair0": lambda: FromPeer(nngio.Pair0, partial(nngio.Pair0, recv_buffer=ROOM)),
    "pair1": lambda: FromPeer(nngio.Pair1, partial(nngio.Pair1, recv_buffer=ROOM)),
    "bus0": lambda: FromPeer(partial(nngio.Bus0, send_buffer=ROOM), partial(nngio.Bus0, recv_buffer=ROOM)),
    "pull0": lambda: FromPeer(nngio.Push0, nngio.Pull0, url="tcp://127.0.0.1:0"),  # the system's buffers are its own
    "sub0": FromPublisher,
    "sub0 context": lambda: FromPublisher(on_context=True),
}
SENDS_MANY: dict[str, Callable[[], ToPeer]] = {
    "pair0": lambda: ToPeer(partial(nngio.Pair0, send_buffer=4), partial(nngio.Pair0, recv_buffer=4)),
    "pair1": lambda: ToPeer(partial(nngio.Pair1, send_buffer=4), partial(nngio.Pair1, recv_buffer=4)),
    "push0": lambda: ToPeer(nngio.Push0, nngio.Pull0),
}

that_receives = pytest.mark.parametrize("protocol", RECEIVES_MANY)
that_sends = pytest.mark.parametrize("protocol", SENDS_MANY)


# Receives.


async def race_receives(loop: Loop, tasks: Tasks, kit: Receiving) -> None:
    """Messages come in bursts, each while a receive is cancelled. Some are left to wait for the next round."""
    channel = kit.channel
    counts = {"received": 0, "cancelled": 0}
    batches: list[int] = []
    fed = taken = 0

    def take(batch: Sequence[bytes | Message]) -> None:
        nonlocal taken
        expected = range(taken, taken + len(batch))
        assert [number_in(body) for body in batch] == list(expected)
        taken = expected.stop
        batches.append(len(batch))

    async def take_next() -> None:
        verb, most = random.choice((channel.arecv_many, channel.arecv_many_msg, channel.recv_many, channel.arecv)), random.randrange(1, 9)
        if verb == channel.arecv:
            take([await verb(timeout=LONG)])
        elif verb == channel.recv_many:
            take(verb(most, timeout=LONG))
        else:
            take(await verb(most, timeout=LONG))

    with Helper() as helper:
        for _ in range(RACES):
            burst = range(fed, fed + random.randrange(1, 9))

            def feed(burst: range = burst) -> None:
                for number in burst:
                    kit.feed(number)

            fed = burst.stop
            task = tasks.start(random.choice((channel.arecv_many, channel.arecv_many_msg)), random.randrange(1, 9))
            outcome = await cancel_at_some_moment(loop, helper, feed, task)
            counts["cancelled" if outcome.cancelled else "received"] += 1
            if not outcome.cancelled:
                take(outcome.result())
            left = random.choice((0, 0, 0, 3))
            while taken < fed - left:
                await take_next()
        while taken < fed:
            await take_next()
    with pytest.raises(nngio.TimedOut):
        channel.recv_many(timeout=0)
    assert min(counts.values()) > RACES / 100, counts
    assert max(batches) > 1


@on_all_loops
@that_receives
def test_a_receive_of_many_that_is_cancelled_leaves_what_came_to_the_next(loop: Loop, protocol: str) -> None:
    """Every message is received, once and in order, by whatever verb comes next."""
    kit = RECEIVES_MANY[protocol]()
    loop.run(lambda tasks: race_receives(loop, tasks, kit))
    kit.close()


# Sends.

END = 2**64 - 1
"""Sent when a list has been sent, cancelled or given up: what was sent of it has arrived when this has."""


class FarEnd:
    """The numbers that have arrived there of a list, taken one by one."""

    def __init__(self, kit: ToPeer) -> None:
        self.kit = kit
        self.arrived: list[int] = []

    def take_some(self) -> None:
        """Take what is there, or less."""
        with suppress(nngio.TimedOut):
            for _ in range(random.randrange(1, 12)):
                self.arrived.append(number_in(self.kit.receive(0)))

    def take_all(self) -> None:
        """Take all up to the end."""
        while (number := number_in(self.kit.receive(LONG))) != END:
            self.arrived.append(number)


def some_of(numbers: "itertools.count[int]") -> list[bytes | Message]:
    """Messages, or messages and bytes: more than there is room for, or fewer."""
    kinds = random.choice(((Message,), (Message, bytes, bytes, bytes)))
    return [random.choice(kinds)(numbered(next(numbers))) for _ in range(random.randrange(1, random.choice((4, 24))))]


def those_sent(messages: list[bytes | Message]) -> tuple[int, int]:
    """How many of a list were sent, at least and at most, as its messages tell."""
    told = [(position, was_sent(message)) for position, message in enumerate(messages) if isinstance(message, Message)]
    least = max((position + 1 for position, sent in told if sent), default=0)
    most = min((position for position, sent in told if not sent), default=len(messages))
    return least, most


async def race_sends(loop: Loop, tasks: Tasks, kit: ToPeer) -> None:
    """Of the messages that a list has left, half are sent with the next one, and half never."""
    counts = {"all": 0, "some": 0, "none": 0}
    numbers = itertools.count()
    messages: list[bytes | Message] = []
    with Helper() as helper:
        for _ in range(RACES):
            messages += some_of(numbers)
            listed = [number_in(data) for data in messages]
            far_end = FarEnd(kit)
            task = tasks.start(kit.sender.asend_many, messages)
            outcome = await cancel_at_some_moment(loop, helper, far_end.take_some, task)
            helper.start(far_end.take_all)
            await kit.sender.asend(numbered(END), timeout=LONG)
            helper.wait()
            sent = len(far_end.arrived)
            assert far_end.arrived == listed[:sent]
            least, most = those_sent(messages)
            assert least <= sent <= most
            if not outcome.cancelled:
                outcome.result()
                assert sent == len(listed)
            counts["none" if sent == 0 else "some" if sent < len(listed) else "all"] += 1
            assert all(number_in(data) == number for data, number in zip(messages[sent:], listed[sent:], strict=True))
            messages = [data for data in messages[sent:] if isinstance(data, Message) and random.random() < 0.5]
    assert min(counts.values()) > RACES / 100, counts


@on_all_loops
@that_sends
def test_a_send_of_many_that_is_cancelled_has_sent_the_first_of_them_and_messages_tell_how_many(loop: Loop, protocol: str) -> None:
    """They arrive once and in order, bytes among them too. A whole message never arrives, unless it is sent once more."""
    kit = SENDS_MANY[protocol]()
    loop.run(lambda tasks: race_sends(loop, tasks, kit))
    kit.close()


class Lists:
    """Lists that are sent with a timeout, one after the other. Half of what one has left is sent with the next one."""

    def __init__(self, kit: ToPeer) -> None:
        self.kit = kit
        self.numbers = itertools.count()
        self.messages: list[bytes | Message] = []
        self.listed: list[int] = []
        self.counts = {"all": 0, "some": 0, "none": 0}

    def begin(self) -> FarEnd:
        """The next list is in `messages`."""
        self.messages += some_of(self.numbers)
        self.listed = [number_in(data) for data in self.messages]
        return FarEnd(self.kit)

    def end(self, far_end: FarEnd, error: Exception | None) -> None:
        """What has arrived is what the error doesn't have, nor anything of what lists before this one have left for good."""
        unsent: list[Any] = []
        if error is not None:
            assert type(error) is nngio.TimedOut
            unsent = error.unsent
            assert unsent
            assert number_in(error.message or b"") == number_in(unsent[0])
        sent = len(self.messages) - len(unsent)
        assert all(left is given for left, given in zip(unsent, self.messages[sent:], strict=True))
        assert [number_in(data) for data in unsent] == self.listed[sent:]
        assert far_end.arrived == self.listed[:sent]
        self.counts["none" if sent == 0 else "some" if unsent else "all"] += 1
        self.messages = unsent if random.random() < 0.5 else []


def take_later(far_end: FarEnd) -> None:
    time.sleep(random.random() * 0.0015)  # the moment is what is raced
    far_end.take_some()


@on_all_loops
@that_sends
def test_an_awaited_send_of_many_that_times_out_tells_exactly_what_it_has_not_sent(loop: Loop, protocol: str) -> None:
    """The error's `unsent`, bytes and messages, never arrives unless it is sent once more; all else does, once and in order."""
    kit = SENDS_MANY[protocol]()
    lists = Lists(kit)

    async def main(tasks: Tasks) -> None:
        with Helper() as helper:
            for _ in range(RACES):
                far_end = lists.begin()
                helper.start(partial(take_later, far_end))
                outcome = await tasks.start(partial(kit.sender.asend_many, lists.messages, timeout=0.001)).wait()
                helper.wait()
                helper.start(far_end.take_all)
                await kit.sender.asend(numbered(END), timeout=LONG)
                helper.wait()
                lists.end(far_end, outcome.error)

    loop.run(main)
    assert min(lists.counts["all"], lists.counts["some"]) > RACES / 100, lists.counts
    kit.close()


@that_sends
def test_a_send_of_many_that_times_out_tells_exactly_what_it_has_not_sent(protocol: str) -> None:
    """The same without a loop."""
    kit = SENDS_MANY[protocol]()
    lists = Lists(kit)
    with Helper() as helper:
        for _ in range(RACES):
            far_end = lists.begin()
            helper.start(partial(take_later, far_end))
            error: Exception | None = None
            try:
                kit.sender.send_many(lists.messages, timeout=0.001)
            except nngio.TimedOut as timed_out:
                error = timed_out
            helper.wait()
            helper.start(far_end.take_all)
            kit.sender.send(numbered(END), timeout=LONG)
            helper.wait()
            lists.end(far_end, error)
    assert min(lists.counts["all"], lists.counts["some"]) > RACES / 100, lists.counts
    kit.close()


# A signal whose handler raises, as that of Ctrl-C does. One thread sends it, and lets messages come or go at that moment; the main
# thread sees exactly one KeyboardInterrupt for each round, in the call or in the sleep after it.

SIGNALS = """
import random, signal, threading
import nngio.lowlevel
from nngio import *

kind, verb, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.setswitchinterval(1e-5)
main = threading.main_thread().ident
start = threading.Semaphore(0)

def interrupt():
    signal.pthread_kill(main, signal.SIGINT)

def spin(microseconds):
    end = time.perf_counter_ns() + 1000 * microseconds
    while time.perf_counter_ns() < end:
        pass

def until_interrupted():
    while True:
        time.sleep(0.001)  # a signal that comes just before a longer sleep would not end it
"""

# The peer sends each round's burst in one call. Some of it is left to wait for the next round.
RECEIVE_RACE = """
base, _, context = kind.partition(" ")
here, there = {
    "Pair0": lambda: (Pair0(recv_buffer=64), Pair0()),
    "Pull0": lambda: (Pull0(), Push0()),
    "Sub0": lambda: (Sub0(), Pub0(send_buffer=64)),
}[base]()
channel = here.context() if context else here
if base == "Sub0":
    channel.subscribe()
there.dial(here.listen("tcp://127.0.0.1:0" if base == "Pull0" else "inproc://race").url)
sizes = [random.randrange(1, 9) for _ in range(count)]
center = 0.0  # the delay, in microseconds, of the signal after the burst at which both outcomes are as frequent

def peer():
    first = 0
    for size in sizes:
        burst = [b"%d" % number for number in range(first, first + size)]
        first += size
        start.acquire()
        delay = center + random.uniform(-40, 40)
        if delay < 0:
            interrupt()
            spin(-delay)
        there.send_many(burst)
        if delay >= 0:
            spin(delay)
            interrupt()

thread = threading.Thread(target=peer, daemon=True)
thread.start()
receive = getattr(channel, verb)
numbers = []
fed = interrupted = kept = 0
for size in sizes:
    got = []
    alone = len(numbers) == fed
    fed += size
    try:
        most = random.randrange(1, 9)
        start.release()
        got.append(receive(most))  # what a call returned is on the list before Python looks at signals again
        until_interrupted()
    except KeyboardInterrupt:
        pass
    if got:
        center -= alone
    else:
        interrupted += 1
        center += alone
        kept += nngio.lowlevel.lib.nngio_handle_parked(channel._handle) > 1
    for batch in got:
        numbers += map(int, map(bytes, batch))
    left = random.choice((0, 0, 3))
    while len(numbers) < fed - left:
        numbers += map(int, map(bytes, getattr(channel, random.choice(("recv_many", "recv_many_msg")))(timeout=10)))
thread.join()
while len(numbers) < fed:
    numbers += map(int, channel.recv_many(timeout=10))
try:
    print("and more:", channel.recv_many(timeout=0.01))
except TimedOut:
    pass
assert numbers == list(range(fed)), [(i, n) for i, n in enumerate(numbers) if n != i][:5]
print(interrupted, kept)
here.close()
there.close()
"""


@pytest.mark.parametrize("verb", ["recv_many", "recv_many_msg"])
@pytest.mark.parametrize("kind", ["Pair0", "Pull0", "Sub0", "Sub0 context"])
def test_a_batch_that_arrives_at_the_moment_of_ctrl_c_is_received_by_the_next_calls(kind: str, verb: str) -> None:
    """Real races, of which some end either way: every message is received, once, in order, though many were in the call already."""
    end = run(SIGNALS + RECEIVE_RACE, kind, verb, str(RACES), timeout=55).check(out=None)
    interrupted, kept = map(int, end.printed.split())
    assert RACES / 20 < interrupted < RACES * 19 / 20, f"no race: {interrupted} of {RACES} receives were interrupted"
    assert kept > RACES / 100, f"no race: {kept} of {RACES} receives had more than one message when they were interrupted"


# The peer takes some of each round's list, sends the signal, and takes the rest, up to a message that is sent after the list.
SEND_RACE = """
here, there = {
    "Pair0": lambda: (Pair0(send_buffer=2), Pair0(recv_buffer=2)),
    "Push0": lambda: (Push0(), Pull0()),
}[kind]()
here.dial(there.listen("inproc://race").url)
arrived = []
ended = threading.Semaphore(0)

def take(timeout):
    arrived.append(there.recv(timeout=timeout))
    return arrived[-1] != b"end"

def peer():
    for _ in range(count):
        start.acquire()
        try:
            for _ in range(random.randrange(12)):
                take(timeout=0.001)
        except TimedOut:
            pass
        spin(random.uniform(0, 40))
        interrupt()
        while take(timeout=10):
            pass
        ended.release()

thread = threading.Thread(target=peer, daemon=True)
thread.start()
numbers = iter(range(10**9))
messages = []
counts = {"all": 0, "some": 0, "none": 0}
kinds = [Message] if verb == "messages" else [Message, bytes, bytes, bytes]
for number in range(count):
    messages += [random.choice(kinds)(b"%d" % next(numbers)) for _ in range(random.randrange(1, 16))]
    listed = [bytes(data) for data in messages]
    done = []
    try:
        start.release()
        done.append(here.send_many(messages))
        until_interrupted()
    except KeyboardInterrupt:
        pass
    here.send(b"end", timeout=10)
    ended.acquire()
    assert arrived.pop() == b"end"
    sent = len(arrived)
    assert arrived == listed[:sent], (arrived, listed)
    assert sent == len(listed) or not done, (arrived, listed)
    counts["all" if sent == len(listed) else "some" if sent else "none"] += 1
    told = [repr(data) == "<nngio.Message, sent>" for data in messages if isinstance(data, Message)]
    assert told == [number < sent for number, data in enumerate(messages) if isinstance(data, Message)], (told, sent)
    left = [data for data in messages[sent:] if isinstance(data, Message)]
    assert all(bytes(data) in listed[sent:] for data in left)
    messages = left if random.random() < 0.5 else []  # to be sent once more, or never
    arrived.clear()
thread.join()
print(*counts.values())
here.close()
there.close()
"""


@pytest.mark.parametrize("what", ["messages", "messages and bytes"])
@pytest.mark.parametrize("kind", ["Pair0", "Push0"])
def test_a_send_of_many_that_ctrl_c_interrupts_has_sent_the_first_of_them_and_messages_tell_how_many(kind: str, what: str) -> None:
    """Real races: what was sent arrives once and in order; a whole message never does, unless it is sent once more."""
    end = run(SIGNALS + SEND_RACE, kind, what, str(RACES), timeout=55).check(out=None)
    counts = [int(count) for count in end.printed.split()]
    assert min(counts[:2]) > RACES / 100, f"no race: of {RACES} lists {counts} were sent whole, in part, not at all"
