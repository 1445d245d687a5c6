"""Closing a socket or context from another thread while eight threads send and receive on it: each call ends with Closed.

Threads are started once for each kind; in each round they all get the same new channel, use it until it is closed, and say how
their last call ended. The closing thread closes it as soon as any of them has begun, some microseconds later in each round.
`NNGIO_RACES` is half the number of rounds, a thousand unless set.
"""

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest
from races import RACES

import nngio
from nngio import Aio, Message

ROUNDS = 2 * RACES
THREADS = 8
_addresses = itertools.count()


def send(channel: Any) -> None:
    channel.send(b"from a thread")


def send_message(channel: Any) -> None:
    channel.send(Message(b"from a thread"), timeout=None)


def receive(channel: Any) -> None:
    channel.recv()


def receive_message(channel: Any) -> None:
    channel.recv_msg(timeout=60)


def receive_into(channel: Any) -> None:
    channel.recv_into(bytearray(64))


def receive_at_once(channel: Any) -> None:
    channel.recv(timeout=0)


def send_by_aio(channel: Any) -> None:
    aio = Aio()
    aio.set_msg(Message(b"from an aio"))
    channel.send_aio(aio)
    aio.wait()
    aio.check()


def receive_by_aio(channel: Any) -> None:
    aio = Aio()
    channel.recv_aio(aio)
    aio.wait()
    aio.check()


SENDS: tuple[Callable[[Any], None], ...] = (send, send_message, send_by_aio, send)
RECEIVES: tuple[Callable[[Any], None], ...] = (receive, receive_message, receive_into, receive_by_aio)
MIXED = SENDS + RECEIVES

# By name: the socket that is closed, or whose context is; its peer; what the threads do; whether the peer sends by itself.
KINDS: dict[str, tuple[Callable[[], Any], Callable[[], Any], tuple[Callable[[Any], None], ...], bool]] = {
    "pair0": (nngio.Pair0, nngio.Pair0, MIXED, True),
    "pair1": (nngio.Pair1, nngio.Pair1, MIXED, True),
    "bus0": (nngio.Bus0, nngio.Bus0, MIXED, True),
    "pub0": (nngio.Pub0, lambda: nngio.Sub0(subscribe=b""), SENDS + SENDS, False),
    "sub0": (lambda: nngio.Sub0(subscribe=b""), nngio.Pub0, RECEIVES + RECEIVES, True),
    "push0": (nngio.Push0, nngio.Pull0, SENDS + SENDS, False),
    "pull0": (nngio.Pull0, nngio.Push0, RECEIVES + RECEIVES, True),
    "req0": (nngio.Req0, nngio.Rep0, MIXED, False),
    "rep0": (nngio.Rep0, nngio.Req0, MIXED, True),
    "surveyor0": (nngio.Surveyor0, nngio.Respondent0, MIXED, False),
    "respondent0": (nngio.Respondent0, nngio.Surveyor0, MIXED, True),
    "pair0, receives that don't wait": (nngio.Pair0, nngio.Pair0, (receive_at_once, send) * 4, True),
}
CONTEXTS = ("sub0", "req0", "rep0", "surveyor0", "respondent0")
GO_ON = (nngio.BadState, nngio.TimedOut, nngio.Canceled)
"""What threads that disturb each other's exchanges are told, and a receive that doesn't wait."""


class Crowd:
    """Eight threads that use whatever channel they are given until it is closed."""

    def __init__(self, verbs: tuple[Callable[[Any], None], ...]) -> None:
        assert len(verbs) == THREADS
        self.channels: list[SimpleQueue[Any]] = [SimpleQueue() for _ in verbs]
        self.ended: SimpleQueue[object] = SimpleQueue()
        self.begun = threading.Semaphore(0)
        self.threads = [threading.Thread(target=self._run, args=pair) for pair in zip(self.channels, verbs, strict=True)]
        for thread in self.threads:
            thread.start()

    def _run(self, channels: "SimpleQueue[Any]", verb: Callable[[Any], None]) -> None:
        while (channel := channels.get()) is not None:
            self.begun.release()
            try:
                while True:
                    with contextlib.suppress(*GO_ON):
                        verb(channel)
            except BaseException as error:
                self.ended.put(error)
            del channel

    def use(self, channel: Any) -> None:
        for channels in self.channels:
            channels.put(channel)

    def ends(self) -> list[object]:
        """How each thread's use of the channel ended."""
        return [self.ended.get(timeout=15) for _ in self.threads]

    def leave(self) -> None:
        for channels in self.channels:
            channels.put(None)
        for thread in self.threads:
            thread.join(15)


def spin(microseconds: float) -> None:
    end = time.perf_counter() + microseconds / 1e6
    while time.perf_counter() < end:
        pass


def feed(peer: Any) -> None:
    """Give the channel something to receive; what has no room is dropped."""
    for _ in range(2):
        try:
            peer.send(b"from the peer", timeout=0)
        except GO_ON:
            return


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [*KINDS, *(f"{name} context" for name in CONTEXTS)])
def test_closing_while_eight_threads_use_a_channel_ends_each_call_with_closed(name: str) -> None:
    """Some two thousand times over sockets of every protocol, and contexts: every thread is told Closed, nothing hangs or crashes."""
    make, make_peer, verbs, feeds = KINDS[name.removesuffix(" context")]
    crowd = Crowd(verbs)
    random_ = random.Random(name)
    transport = ("inproc", "tcp")
    peer = make_peer()
    try:
        with peer:
            urls = [peer.listen(url).url for url in (f"inproc://close-{next(_addresses)}", "tcp://127.0.0.1:0")]
            for number in range(ROUNDS):
                sock = make()
                # Over TCP now and then: a connection takes as long as the rest of the round.
                sock.dial(urls[number % 8 == 0], block=number % 2 == 0)
                channel = sock.context() if name.endswith(" context") else sock
                if isinstance(channel, nngio.SubContext):
                    channel.subscribe(b"")
                if feeds:
                    feed(peer)
                crowd.use(channel)
                crowd.begun.acquire(timeout=15)
                spin(random_.uniform(0, 300))
                (channel if number % 3 else sock).close()
                ends = crowd.ends()
                wrong = [end for end in ends if not isinstance(end, nngio.Closed)]
                assert not wrong, f"round {number} over {transport[number % 8 == 0]}: {wrong}"
                while crowd.begun.acquire(blocking=False):
                    pass
                sock.close()
    finally:
        crowd.leave()
