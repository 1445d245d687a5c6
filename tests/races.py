"""Channels whose next message comes, or goes, at the moment that a test chooses: what the tests of cancellation race against.

Messages are numbered. A `Receiving` lets a given number arrive at its channel. A `Sending` is kept full, so that a send on it
waits until one message is taken at the far end. Both are synchronous. A `moment` starts neither of the two that race, but says in
which order, and how far apart, they get going.
"""

import itertools
import os
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from typing import Any, Self

from loops import Loop, Outcome, Task

import nngio
from nngio import Message
from nngio.lowlevel import lib

__all__ = [
    "LONG",
    "MOMENTS",
    "RACES",
    "RECEIVING",
    "SENDING",
    "FromPeer",
    "FromPublisher",
    "Helper",
    "Receiving",
    "Sending",
    "ToPeer",
    "cancel_at_some_moment",
    "number_in",
    "numbered",
    "until_it_waits",
    "was_sent",
]

RACES = int(os.environ.get("NNGIO_RACES", "1000"))
LONG = 15.0
"""Seconds that nothing takes here, unless a message was lost."""

_addresses = itertools.count()


def address() -> str:
    """An address that nobody else uses."""
    return f"inproc://race-{next(_addresses)}"


def numbered(number: int) -> bytes:
    """A message's body."""
    return number.to_bytes(8, "big")


def was_sent(message: Message) -> bool:
    """Whether a message is empty, because it was sent."""
    return repr(message) == "<nngio.Message, sent>"


def number_in(body: "bytes | Message") -> int:
    """The number in a message's body."""
    return int.from_bytes(bytes(body), "big")


# Messages that come.


class Receiving(ABC):
    """A channel to receive on. The peer that sends has dialed, so that it knows its pipe."""

    channel: Any

    @abstractmethod
    def feed(self, number: int) -> None:
        """Let this message come."""

    @abstractmethod
    def close(self) -> None:
        """Close all sockets."""


class FromPeer(Receiving):
    """One socket sends, the other receives, or a context of the other."""

    def __init__(
        self, sender: Callable[..., Any], receiver: Callable[..., Any], *, on_context: bool = False, url: str | None = None
    ) -> None:
        self.receiver = receiver(listen=url or address())
        self.sender = sender(dial=self.receiver.listeners[0].url)
        self.channel = self.receiver.context() if on_context else self.receiver

    def feed(self, number: int) -> None:
        self.sender.send(numbered(number), timeout=LONG)

    def close(self) -> None:
        self.sender.close()
        self.receiver.close()


class FromPublisher(FromPeer):
    """Room for many messages, so that none is dropped."""

    def __init__(self, *, on_context: bool = False) -> None:
        super().__init__(
            lambda dial: nngio.Pub0(dial=dial, send_buffer=1024),
            lambda listen: nngio.Sub0(listen=listen, recv_buffer=1024),
            on_context=on_context,
        )
        self.channel.subscribe(b"")


RECEIVING: dict[str, Callable[[], Receiving]] = {
    "pair0": lambda: FromPeer(nngio.Pair0, nngio.Pair0),
    "sub0 context": lambda: FromPublisher(on_context=True),
    "pair1": lambda: FromPeer(nngio.Pair1, nngio.Pair1),
    "pull0": lambda: FromPeer(nngio.Push0, nngio.Pull0),
    "bus0": lambda: FromPeer(nngio.Bus0, nngio.Bus0),
    "pull0 that prefetches": lambda: FromPeer(nngio.Push0, lambda listen: nngio.Pull0(listen=listen, prefetch=3)),
    "sub0": FromPublisher,
    "rep0": lambda: FromPeer(nngio.Req0, nngio.Rep0),
    "rep0 context": lambda: FromPeer(nngio.Req0, nngio.Rep0, on_context=True),
    "respondent0": lambda: FromPeer(nngio.Surveyor0, nngio.Respondent0),
    "respondent0 context": lambda: FromPeer(nngio.Surveyor0, nngio.Respondent0, on_context=True),
}
"""By name: the first two stand for sockets and contexts in general."""


# Messages that go.


class Sending(ABC):
    """A channel to send on, and the far end, which takes messages one by one. Remembers what was accepted, and what arrived."""

    def __init__(self) -> None:
        self.accepted: list[int] = []
        self.arrived: list[int] = []
        self.room = 0

    @abstractmethod
    def ready(self) -> Any:
        """The channel that the next send may go by."""

    @abstractmethod
    def receive(self, timeout: float) -> "bytes | Message":
        """What arrives next at the far end."""

    @abstractmethod
    def close(self) -> None:
        """Close all sockets."""

    def take(self) -> None:
        """Take the oldest message at the far end, so that there is room for another."""
        self.arrived.append(number_in(self.receive(LONG)))

    def measure(self, number: int) -> int:
        """Send until there is no more room, and so find out how much there is. Returns the number after the last."""
        rooms = []
        for _ in range(6):  # raw sockets now and then have room for one more
            number = self.fill(number)
            rooms.append(len(self.accepted) - len(self.arrived))
            self.take()
        self.room = min(rooms)
        return self.refill(None, number)

    def fill(self, number: int) -> int:
        """Send until there is no more room. Returns the number after the last."""
        while True:
            try:
                self.ready().send(numbered(number), timeout=0.05)
            except nngio.TimedOut:
                assert self.accepted
                return number
            self.accepted.append(number)
            number += 1

    def refill(self, message: "Message | None", number: int) -> int:
        """Send until it is full again, `message` first if there is one. Returns the number after the last."""
        while len(self.accepted) - len(self.arrived) < self.room:
            if message is not None:
                self.accepted.append(number_in(message))
                self.ready().send(message, timeout=LONG)
                message = None
            else:
                self.accepted.append(number)
                self.ready().send(numbered(number), timeout=LONG)
                number += 1
        return number

    def take_all(self) -> None:
        """Take all that was accepted, and wait whether there is more."""
        while len(self.arrived) < len(self.accepted):
            self.take()
        try:
            extra = self.receive(0.05)
        except nngio.TimedOut:
            return
        raise AssertionError(f"{number_in(extra)} arrived and was not accepted")


class ToPeer(Sending):
    """One socket sends, the other takes."""

    def __init__(self, sender: Callable[..., Any], receiver: Callable[..., Any]) -> None:
        super().__init__()
        self.receiver = receiver(listen=address())
        self.sender = sender(dial=self.receiver.listeners[0].url)
        self.receiver.wait_for_peers(1, timeout=LONG)  # or what is sent is lost, should the sender be closed before

    def ready(self) -> Any:
        return self.sender

    def receive(self, timeout: float) -> "bytes | Message":
        return self.receiver.recv_msg(timeout=timeout)  # type: ignore[no-any-return]

    def close(self) -> None:
        self.sender.close()
        self.receiver.close()


class Requests(ToPeer):
    """Each request goes by a context of its own, in turn."""

    def __init__(self) -> None:
        super().__init__(nngio.Req0, nngio.Rep0)
        self.contexts = itertools.cycle([self.sender.context() for _ in range(8)])

    def ready(self) -> Any:
        return next(self.contexts)


class Answers(Sending):
    """Replies, or answers to surveys: each goes by a context that has just received a question. The far end is raw."""

    def __init__(self, asker: Callable[..., Any], answerer: Callable[..., Any]) -> None:
        super().__init__()
        self.answerer = answerer(listen=address())
        self.asker = asker(raw=True, dial=self.answerer.listeners[0].url)
        self.contexts = itertools.cycle([self.answerer.context() for _ in range(200)])
        self.questions = itertools.count()

    def ready(self) -> Any:
        question = Message(b"?")
        question.header = (0x80000000 | next(self.questions)).to_bytes(4, "big")
        self.asker.send(question, timeout=LONG)
        context = next(self.contexts)
        context.recv(timeout=LONG)
        return context

    def receive(self, timeout: float) -> "bytes | Message":
        return self.asker.recv_msg(timeout=timeout)  # type: ignore[no-any-return]

    def close(self) -> None:
        self.asker.close()
        self.answerer.close()


SENDING: dict[str, Callable[[], Sending]] = {
    "pair0": lambda: ToPeer(nngio.Pair0, nngio.Pair0),
    "req0 context": Requests,
    "pair1": lambda: ToPeer(nngio.Pair1, nngio.Pair1),
    "push0": lambda: ToPeer(nngio.Push0, nngio.Pull0),
    "rep0 context": lambda: Answers(nngio.Req0, nngio.Rep0),
    "respondent0 context": lambda: Answers(nngio.Surveyor0, nngio.Respondent0),
}
"""By name: the first two stand for sockets and contexts in general."""


# Two things at the same time.


async def until_it_waits(loop: Loop, channel: Any, tasks: int = 1) -> None:
    """Let tasks run until one of them, or so many, wait for a message on this channel."""
    while lib.nngio_handle_on_loops(channel._handle) < tasks:
        await loop.sleep(0)


class Helper:
    """A thread that does one thing at a time, when it is asked to. Use it in a `with` block."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException as error:
                self._error = error
            self._idle.set()

    def start(self, job: Callable[[], None]) -> None:
        """Have it done."""
        self._idle.clear()
        self._jobs.put(job)

    def wait(self) -> None:
        """Wait until it is done. Raises what it raised."""
        self._idle.wait()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._jobs.put(None)
        self._thread.join()


Action = Callable[[], Any]
Moment = Callable[[Loop, Helper, Action, Action], Awaitable[None]]


def spin(longest: float) -> None:
    """Be busy for some time, so that the loop doesn't turn."""
    end = time.perf_counter() + random.random() * longest
    while time.perf_counter() < end:
        pass


async def cancel_at_once(_: Loop, __: Helper, act: Action, cancel: Action) -> None:
    """Before the task has started, except where tasks start eagerly."""
    cancel()
    act()


async def cancel_first(loop: Loop, _: Helper, act: Action, cancel: Action) -> None:
    """While it waits."""
    await loop.sleep(0)
    cancel()
    spin(0.00002)
    act()


async def cancel_meanwhile(loop: Loop, _: Helper, act: Action, cancel: Action) -> None:
    """While NNG works on it, or when it has finished and the loop has not seen it yet."""
    await loop.sleep(0)
    act()
    spin(0.0001)
    cancel()


async def cancel_from_beside(loop: Loop, helper: Helper, act: Action, cancel: Action) -> None:
    """While another thread acts."""
    await loop.sleep(0)
    helper.start(act)
    time.sleep(random.random() * 0.0001)  # noqa: ASYNC251  # the loop is to stand still
    cancel()
    helper.wait()


async def cancel_a_turn_later(loop: Loop, _: Helper, act: Action, cancel: Action) -> None:
    """When the loop has been round once, and may have seen it."""
    await loop.sleep(0)
    act()
    spin(0.0001)
    await loop.sleep(0)
    cancel()


async def cancel_later(loop: Loop, _: Helper, act: Action, cancel: Action) -> None:
    """When it has most likely ended."""
    await loop.sleep(0)
    act()
    await loop.sleep(0.002)
    cancel()


MOMENTS: list[Moment] = [cancel_at_once, cancel_first, *[cancel_meanwhile] * 6, *[cancel_from_beside] * 3]
MOMENTS += [*[cancel_a_turn_later] * 4, cancel_later]
"""As often as each is of interest."""


async def cancel_at_some_moment(loop: Loop, helper: Helper, act: Action, task: Task) -> Outcome:
    """Race an action against the cancellation of a task, and return how the task ended."""
    promised: list[bool | None] = []
    await random.choice(MOMENTS)(loop, helper, act, lambda: promised.append(task.cancel()))
    outcome = await task.wait()
    if promised[0] is not None:
        assert outcome.cancelled == promised[0], "the task's end and the answer of `cancel` disagree"
    return outcome
