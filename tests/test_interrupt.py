"""Ctrl-C gets through to every call that waits, soon, and nothing is lost with it; other signals don't disturb a call."""

import os
import signal
import socket
import statistics
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from programs import run

import nngio
from nngio import (
    Aio,
    Bus0,
    Message,
    Pair0,
    Pair1,
    Pub0,
    Pull0,
    Push0,
    Rep0,
    Req0,
    Respondent0,
    Sub0,
    Surveyor0,
)

SOON = 0.1
TIMES = 5
"""Interrupts of each call. Their median is what counts, so that a busy machine fails no test, and a call that isn't woken does."""

PACKAGE = str(Path(nngio.__file__).parent)


class Signals:
    """Sends a signal to this process from another thread, each time when the main thread has gone to sleep in nngio."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        self.number = number
        self.sent: list[float] = []
        self.over = threading.Event()
        self._main = threading.main_thread()

    def asleep(self) -> bool:
        """Whether the main thread runs our code, and waits in it."""
        assert self._main.ident is not None
        frame = sys._current_frames().get(self._main.ident)
        if frame is None or not frame.f_code.co_filename.startswith(PACKAGE):
            return frame is not None and frame.f_code.co_filename == threading.__file__ and self._sleeps()
        return self._sleeps()

    def _sleeps(self) -> bool:
        status = Path(f"/proc/self/task/{self._main.native_id}/stat").read_text()
        return status.rpartition(")")[2].split()[0] == "S"

    def send(self, until: Callable[[], bool]) -> None:
        """Send one signal when the main thread sleeps, unless the call is over before."""
        deadline = time.monotonic() + 10
        while not (until() and self.asleep()):
            if self.over.wait(0.001) or time.monotonic() > deadline:
                return
        self.sent.append(time.monotonic())
        os.kill(os.getpid(), self.number)


def interrupt(call: Callable[[], object], until: Callable[[], bool] = lambda: True) -> float:
    """Interrupt a call that waits for ever by SIGINT; the seconds from the signal to its KeyboardInterrupt."""
    signals = Signals()
    sender = threading.Thread(target=signals.send, args=(until,))
    sender.start()
    try:
        result = call()
    except KeyboardInterrupt:
        woken = time.monotonic()
    else:
        signals.over.set()
        raise AssertionError(f"the call has returned {result!r}")
    finally:
        signals.over.set()
        sender.join()
    return woken - signals.sent[0]


def check_interruptible(call: Callable[[], object]) -> None:
    """Interrupt it several times."""
    times = [interrupt(call) for _ in range(TIMES)]
    assert statistics.median(times) < SOON, f"KeyboardInterrupt took {[f'{1000 * t:.1f} ms' for t in times]}"


# Receives. A socket under test listens; its peer has dialed, and `feed` makes it send something there.


def _request_by_hand(sock: Any, peer: Any, data: bytes) -> None:
    """The peer answers what a raw socket asks: its message has the number of a request as header."""
    message = Message(b"question")
    message.header = struct.pack(">I", 0x80000001)
    sock.send(message)
    peer.recv()
    peer.send(data)


def _answer(_sock: Any, peer: Any, data: bytes) -> None:
    """The peer answers what was asked before."""
    assert peer.recv() == b"question"
    peer.send(data)


def _send(_sock: Any, peer: Any, data: bytes) -> None:
    peer.send(data)


def _ask(sock: Any) -> None:
    sock.send(b"question")


def _subscribe(sock: Any) -> None:
    sock.subscribe()


def _nothing(sock: Any) -> None:
    pass


Step = Callable[[Any], None]
Feed = Callable[[Any, Any, bytes], None]

# What receives, its peer, what comes before a receive, and what makes the peer send.
RECEIVERS: dict[str, tuple[Callable[[], Any], Callable[[], Any], Step, Feed]] = {
    "Pair0": (Pair0, Pair0, _nothing, _send),
    "Pair1": (Pair1, Pair1, _nothing, _send),
    "Pair1 poly": (lambda: Pair1(poly=True), Pair1, _nothing, _send),
    "Bus0": (Bus0, Bus0, _nothing, _send),
    "Sub0": (Sub0, Pub0, _subscribe, _send),
    "Pull0": (Pull0, Push0, _nothing, _send),
    "Req0": (Req0, Rep0, _ask, _answer),
    "Rep0": (Rep0, Req0, _nothing, _send),
    "Surveyor0": (lambda: Surveyor0(survey_time=60.0), Respondent0, _ask, _answer),
    "Respondent0": (Respondent0, Surveyor0, _nothing, _send),
    "Pair0 raw": (lambda: Pair0(raw=True), Pair0, _nothing, _send),
    "Pair1 raw": (lambda: Pair1(raw=True), Pair1, _nothing, _send),
    "Bus0 raw": (lambda: Bus0(raw=True), Bus0, _nothing, _send),
    "Sub0 raw": (lambda: Sub0(raw=True), Pub0, _nothing, _send),
    "Pull0 raw": (lambda: Pull0(raw=True), Push0, _nothing, _send),
    "Req0 raw": (lambda: Req0(raw=True), Rep0, _nothing, _request_by_hand),
    "Rep0 raw": (lambda: Rep0(raw=True), Req0, _nothing, _send),
    "Surveyor0 raw": (lambda: Surveyor0(raw=True), Respondent0, _nothing, _request_by_hand),
    "Respondent0 raw": (lambda: Respondent0(raw=True), Surveyor0, _nothing, _send),
}
CONTEXTS = ("Sub0", "Req0", "Rep0", "Surveyor0", "Respondent0")


@contextmanager
def receiver(name: str) -> Iterator[tuple[Any, Callable[[bytes], None]]]:
    """Something that is ready to receive, and a function that makes its peer send."""
    name, _, context = name.partition(" context")
    with ExitStack() as stack:
        make, make_peer, before, feed = RECEIVERS[name]
        sock = stack.enter_context(make())
        sock.listen("tcp://127.0.0.1:0")
        sock.recv_timeout = 10.0
        channel = sock
        peer = stack.enter_context(make_peer())
        if context := context or "":
            channel = stack.enter_context(sock.context())
            channel.recv_timeout = 10.0
        _join(sock, peer)
        if isinstance(peer, Surveyor0):
            peer.survey_time = 60.0
        before(channel)
        yield channel, lambda data: feed(channel, peer, data)


def _join(sock: Any, peer: Any) -> None:
    """Dial, and wait until both sides know: what is sent to a peer that isn't known yet is dropped by some protocols."""
    peer.dial(sock.listeners[0].url)
    eventually_connected(sock.listeners[0])


def eventually_connected(_listener: object) -> None:
    """There is no event for the listening side's pipe yet: it takes less than this."""
    time.sleep(0.02)


VERBS: dict[str, Callable[[Any], Callable[[], bytes]]] = {
    "recv": lambda channel: channel.recv,
    "recv_msg": lambda channel: lambda: bytes(channel.recv_msg()),
    "recv_into": lambda channel: lambda: _into(channel, bytearray(16)),
}


def _into(channel: Any, buffer: bytearray) -> bytes:
    return bytes(buffer[: channel.recv_into(buffer)])


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", [*RECEIVERS, *(f"{name} context" for name in CONTEXTS)])
def test_ctrl_c_interrupts_a_receive_and_the_next_one_gets_the_message(name: str, verb: str) -> None:
    """On every socket type and context: KeyboardInterrupt within 100 ms, and the socket works as before."""
    with receiver(name) as (channel, feed):
        receive = VERBS[verb](channel)
        channel.recv_timeout = None
        check_interruptible(receive)
        channel.recv_timeout = 10.0
        feed(b"after")
        assert receive() == b"after"
