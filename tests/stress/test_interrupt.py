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
from functools import partial
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
        """Whether the main thread is in a call of ours, and waits."""
        assert self._main.ident is not None
        frame = sys._current_frames().get(self._main.ident)
        while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
            frame = frame.f_back
        status = Path(f"/proc/self/task/{self._main.native_id}/stat").read_text()
        return frame is not None and status.rpartition(")")[2].split()[0] == "S"

    def send(self) -> None:
        """Send one signal when the main thread sleeps, unless the call is over before."""
        while not self.asleep():
            if self.over.wait(0.001):
                return
        self.sent.append(time.monotonic())
        os.kill(os.getpid(), self.number)


def interrupt(call: Callable[[], object]) -> float:
    """Interrupt a call that waits for ever by SIGINT; the seconds from the signal to its KeyboardInterrupt."""
    signals = Signals()
    sender = threading.Thread(target=signals.send)
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
    name, _, context = name.partition(" ")
    kind = name if context == "context" else f"{name} {context}".strip()
    make, make_peer, before, feed = RECEIVERS[kind]
    with make() as sock, make_peer() as peer, ExitStack() as stack:
        channel = stack.enter_context(sock.context()) if context == "context" else sock
        if isinstance(peer, Surveyor0):
            peer.survey_time = 60.0
        # Whoever sends first dials, because a dial returns when the connection is there to send on.
        first, second = (sock, peer) if feed in (_answer, _request_by_hand) else (peer, sock)
        first.dial(second.listen("tcp://127.0.0.1:0").url)
        before(channel)
        yield channel, lambda data: feed(channel, peer, data)


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
        check_interruptible(receive)
        channel.recv_timeout = 10.0
        feed(b"after")
        assert receive() == b"after"


# Sends that wait: for a peer, or, for an answer, until the pipe is free.


def _by_hand(data: bytes, header: bytes) -> Message:
    message = Message(data)
    message.header = header
    return message


def _plain(data: bytes) -> Message:
    return Message(data)


# What waits for a peer, its peer, the message to send, and how the peer receives it.
SENDERS: dict[str, tuple[Callable[[], Any], Callable[[], Any], Callable[[bytes], Message]]] = {
    "Pair0": (Pair0, Pair0, _plain),
    "Pair1": (Pair1, Pair1, _plain),
    "Push0": (Push0, Pull0, _plain),
    "Req0": (Req0, Rep0, _plain),
    "Req0 context": (Req0, Rep0, _plain),
    "Pair0 raw": (lambda: Pair0(raw=True), Pair0, _plain),
    "Pair1 raw": (lambda: Pair1(raw=True), Pair1, lambda data: _by_hand(data, struct.pack(">I", 1))),
    "Push0 raw": (lambda: Push0(raw=True), Pull0, _plain),
    "Req0 raw": (lambda: Req0(raw=True), Rep0, lambda data: _by_hand(data, struct.pack(">I", 0x80000001))),
}


@pytest.mark.parametrize("name", SENDERS)
def test_ctrl_c_interrupts_a_send_and_the_message_is_yours_again(name: str) -> None:
    """Of every protocol that can wait for a peer, bytes and messages: within 100 ms, and the next send works."""
    make, make_peer, make_message = SENDERS[name]
    with make() as sock, make_peer() as peer, ExitStack() as stack:
        channel = stack.enter_context(sock.context()) if name.endswith(" context") else sock
        message = make_message(b"body")
        header = message.header
        check_interruptible(lambda: channel.send(message))
        assert (bytes(message), message.header) == (b"body", header)
        if not header:
            check_interruptible(lambda: channel.send(b"never arrives"))
        sock.dial(peer.listen("tcp://127.0.0.1:0").url)
        channel.send(message)
        assert peer.recv(timeout=10) == b"body"


HANDSHAKE = {Rep0: b"\0SP\0\0\x30\0\0", Respondent0: b"\0SP\0\0\x62\0\0"}
"""What a REQ and a SURVEYOR say first over TCP, to be told from a REP and a RESPONDENT."""


def _frame(number: int) -> bytes:
    body = struct.pack(">I", 0x80000000 | number) + b"question"
    return struct.pack(">Q", len(body)) + body


def _read(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = stream.recv(min(size - len(data), 1 << 20))
        assert more
        data += more
    return data


@pytest.mark.parametrize("context", [False, True], ids=["socket", "context"])
@pytest.mark.parametrize("protocol", [Rep0, Respondent0], ids=["Rep0", "Respondent0"])
def test_ctrl_c_interrupts_an_answer_that_waits_for_its_pipe(protocol: type, context: bool) -> None:
    """An answer behind one that the peer does not read: within 100 ms, the message is yours, and others are answered."""
    large = 32 << 20
    with protocol(listen="tcp://127.0.0.1:0") as sock, socket.create_connection(("127.0.0.1", sock.listeners[0].port)) as peer:
        peer.sendall(HANDSHAKE[protocol] + _frame(1) + _frame(2) + _frame(3))
        with ExitStack() as stack:
            channel = stack.enter_context(sock.context()) if context else sock
            assert channel.recv() == b"question"
            channel.send(bytes(large))  # accepted: it is on its way, and fills the connection
            channel.recv()
            message = Message(b"answer")
            times = [interrupt(lambda: channel.send(message))]
            assert bytes(message) == b"answer"
            channel.recv()  # an answer is tried once
            times.append(interrupt(lambda: channel.send(b"bytes")))
            assert max(times) < 5 * SOON
            assert min(times) < SOON
            peer.settimeout(10)
            _read(peer, 8 + 8 + 4 + large)
            peer.sendall(_frame(4))
            assert channel.recv() == b"question"
            channel.send(message)
            assert _read(peer, 8 + 4 + 6)[-6:] == b"answer"


# Other calls that wait.


def test_ctrl_c_interrupts_a_request_that_is_not_sent_and_one_that_is_not_answered() -> None:
    """`request` waits for a peer, then for the reply; after it the socket takes the next request."""
    with Req0() as req, Rep0() as rep, req.context() as context:
        for channel in (req, context):
            check_interruptible(partial(channel.request, b"nobody there"))
        req.dial(rep.listen("tcp://127.0.0.1:0").url)
        for channel in (req, context):
            check_interruptible(partial(channel.request, b"no answer"))
        while rep.recv(timeout=10) != b"no answer":
            pass
        thread = threading.Thread(target=_serve_one, args=(rep, b"at last"))
        thread.start()
        assert req.request(b"at last", timeout=10) == b"at last"
        thread.join()


def _serve_one(rep: Rep0, question: bytes) -> None:
    while (asked := rep.recv()) != question:
        rep.send(b"not " + asked)
    rep.send(question)


@contextmanager
def black_hole() -> Iterator[int]:
    """A port whose connections stay half open: it listens, and its backlog is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as stack:
        port = server.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port


@contextmanager
def mute(path: Path | None) -> Iterator[int]:
    """A listener, at a path or a port, whose connections are accepted, by the kernel, and told nothing."""
    with socket.socket(socket.AF_UNIX if path else socket.AF_INET) as server:
        server.bind(str(path) if path else ("127.0.0.1", 0))
        server.listen(64)
        yield 0 if path else server.getsockname()[1]


@pytest.mark.parametrize("deaf", ["black hole", "tcp", "ws", "ipc"])
def test_ctrl_c_interrupts_a_dial(deaf: str, tmp_path: Path, address: Callable[[str], str]) -> None:
    """To a port that answers nothing, and to listeners that accept and then never say a word; afterwards one can dial."""
    with ExitStack() as stack:
        if deaf == "black hole":
            url = f"tcp://127.0.0.1:{stack.enter_context(black_hole())}"
        elif deaf == "ipc":
            stack.enter_context(mute(tmp_path / "mute"))
            url = f"ipc://{tmp_path}/mute"
        else:
            url = f"{deaf}://127.0.0.1:{stack.enter_context(mute(None))}/path".removesuffix("/path" if deaf == "tcp" else "")
        left, right = stack.enter_context(Pair0()), stack.enter_context(Pair0())
        check_interruptible(lambda: left.dial(url))
        check_interruptible(lambda: Pair0(dial=url))
        dialer = nngio.Dialer(left, url)
        assert interrupt(dialer.start) < 5 * SOON
        assert left.dialers == ()
        left.dial(right.listen(address("tcp")).url)
        left.send(b"after")
        assert right.recv(timeout=10) == b"after"


@pytest.mark.parametrize("callback", [False, True], ids=["alone", "with a callback"])
@pytest.mark.parametrize("operation", ["recv_aio", "send_aio", "sleep"])
def test_ctrl_c_interrupts_the_wait_for_an_aio_and_leaves_its_operation_alone(operation: str, callback: bool) -> None:
    """`Aio.wait` on receives, sends and sleeps: within 100 ms; a later wait gets the result."""
    calls: list[Aio] = []
    aio = Aio(calls.append) if callback else Aio()
    with Pair0() as left, Pair0() as right:
        if operation == "sleep":
            aio.sleep(60)
        elif operation == "send_aio":
            aio.set_msg(Message(b"late"))
            left.send_aio(aio)
        else:
            left.recv_aio(aio)
        check_interruptible(aio.wait)
        assert aio.busy
        left.dial(right.listen("inproc://interrupted-wait").url)
        if operation == "sleep":
            aio.cancel()
        elif operation == "send_aio":
            assert right.recv(timeout=10) == b"late"
        else:
            right.send(b"late")
        aio.wait()
        message = aio.get_msg()
        assert aio.result() == (nngio.Canceled.code if operation == "sleep" else 0)
        assert message is None if operation != "recv_aio" else message is not None and bytes(message) == b"late"
        assert len(calls) == callback


def test_ctrl_c_interrupts_the_main_thread_only() -> None:
    """Threads that wait in receives of their own, on the same socket too, go on waiting."""
    got: list[bytes] = []
    with Pull0() as pull, Push0() as push:
        threads = [threading.Thread(target=lambda: got.append(pull.recv())) for _ in range(3)]
        for thread in threads:
            thread.start()
        check_interruptible(pull.recv)
        push.dial(pull.listen("inproc://others-wait").url)
        for number in range(4):
            push.send(b"%d" % number)
        for thread in threads:
            thread.join()
        assert sorted([*got, pull.recv()]) == [b"0", b"1", b"2", b"3"]


# The race: a message and a signal come at the same time. One thread sends both, in either order and some microseconds
# apart, so that the moment in which the receive is interrupted wanders over the moment in which the message arrives. The
# main thread sees exactly one KeyboardInterrupt for each message: in the call, or in the sleep after it.

RACE = """
import random, signal, threading
import nngio
from nngio import *

kind, verb, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.setswitchinterval(1e-5)
base, _, context = kind.partition(" ")
classes = {"Pair0": (Pair0, Pair0), "Pull0": (Pull0, Push0), "Sub0": (Sub0, Pub0), "Rep0": (Rep0, Req0), "Req0": (Req0, Rep0)}
here, there = (cls() for cls in classes[base])
asks, answers = base == "Req0", base == "Rep0"
channel = here.context() if context else here
if base == "Sub0":
    channel.subscribe()
first, second = (here, there) if asks else (there, here)
first.dial(second.listen("inproc://race").url)

main = threading.main_thread().ident
start = threading.Semaphore(0)
center = 0.0  # the delay, in microseconds, of the signal after the message at which both outcomes are as frequent
failures, replies = [], []

def spin(microseconds):
    end = time.perf_counter_ns() + 1000 * microseconds
    while time.perf_counter_ns() < end:
        pass

def peer():
    for number in range(count):
        start.acquire()
        if asks:
            assert int(there.recv()) == number
        delay = center + random.uniform(-40, 40)
        if delay < 0:
            signal.pthread_kill(main, signal.SIGINT)
            spin(-delay)
        there.send(b"%d" % number)
        if delay >= 0:
            spin(delay)
            signal.pthread_kill(main, signal.SIGINT)
        if answers:
            replies.append(int(there.recv(timeout=10)))

thread = threading.Thread(target=peer, daemon=True)
thread.start()
buffer = bytearray(16)
receive, receive_msg, receive_into = channel.recv, channel.recv_msg, channel.recv_into
numbers = []
interrupted = kept = streak = 0
last = None
for number in range(count):
    got = []
    if asks:
        channel.send(b"%d" % number)
    try:
        start.release()
        # What a call returned is on the list before Python looks at signals again.
        if verb == "recv":
            got.append(receive())
        elif verb == "recv_msg":
            got.append(receive_msg())
        else:
            got.append(receive_into(buffer))
        while True:
            time.sleep(0.001)  # a signal that comes just before a longer sleep would not end it
    except KeyboardInterrupt:
        pass
    # The oftener in a row it ends the same way, the farther it is to where it does not.
    streak = min(streak + 1, 30) if bool(got) == last else 1
    last = bool(got)
    if got:
        center -= streak
    else:
        interrupted += 1
        center += streak
        kept += nngio.lowlevel.lib.nngio_handle_parked(channel._handle)
        call = {"recv": receive, "recv_msg": receive_msg, "recv_into": lambda timeout: receive_into(buffer, timeout=timeout)}[verb]
        got.append(call(timeout=10))
    numbers.append(int(bytes(buffer[: got[0]]) if verb == "recv_into" else bytes(got[0])))
    if answers:
        channel.send(b"%d" % number)
thread.join()
try:
    print("and one more:", channel.recv(timeout=0))
except (TimedOut, BadState):
    pass
assert numbers == list(range(count)), [n for i, n in enumerate(numbers) if n != i][:5]
assert replies == (numbers if answers else [])
print(interrupted, kept)
here.close()
there.close()
"""

RACES = 2000


@pytest.mark.timeout(90)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", ["Pair0", "Pull0", "Sub0", "Sub0 context", "Rep0", "Rep0 context", "Req0", "Req0 context"])
def test_a_message_that_arrives_at_the_moment_of_ctrl_c_is_received_by_the_next_call(kind: str, verb: str) -> None:
    """2,000 real races, of which some end either way: every message is received, once, in order."""
    end = run("import nngio.lowlevel\n" + RACE, kind, verb, str(RACES), timeout=80).check(out=None)
    interrupted, kept = map(int, end.printed.split())
    assert RACES / 10 < interrupted < RACES * 9 / 10, f"no race: {interrupted} of {RACES} receives were interrupted"
    assert kept > RACES / 100, f"no race: {kept} of {RACES} messages had arrived when their receive was interrupted"


# The same from another process: it sends the message, and a signal to this one.

PEER = """
import random, signal
from nngio import *
main, url, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with Push0(dial=url) as push:
    center, streak, last = 0.0, 0, None
    for number in range(count):
        told = sys.stdin.buffer.read(1)  # how the one before ended
        streak = min(streak + 1, 30) if told == last else 1
        last = told
        center += {b"i": streak, b"g": -streak}.get(told, 0)
        delay = center + random.uniform(-50, 50)
        message, interrupt = lambda: push.send(b"%d" % number), lambda: os.kill(main, signal.SIGINT)
        first, second = (message, interrupt) if delay > 0 else (interrupt, message)
        first()
        end = time.perf_counter_ns() + 1000 * abs(delay)
        while time.perf_counter_ns() < end:
            pass
        second()
    sys.stdin.buffer.read(1)
"""

FROM_ANOTHER_PROCESS = """
import subprocess
from nngio import *
peer, count = sys.argv[1], int(sys.argv[2])
with Pull0(listen=f"ipc:///tmp/nngio-interrupt-{os.getpid()}") as pull:
    command = [sys.executable, "-S", "-E", "-c", peer, str(os.getpid()), pull.listeners[0].url, str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    numbers, interrupted, ended = [], 0, b"x"
    for number in range(count):
        got = []
        try:
            os.write(process.stdin.fileno(), ended)
            got.append(pull.recv())
            while True:
                time.sleep(0.001)  # a signal that comes just before a longer sleep would not end it
        except KeyboardInterrupt:
            pass
        ended = b"g" if got else b"i"
        if not got:
            interrupted += 1
            got.append(pull.recv(timeout=10))
        numbers.append(int(got[0]))
    process.communicate(b"x")
    assert numbers == list(range(count))
    print(interrupted)
"""


@pytest.mark.timeout(90)
def test_a_message_and_a_ctrl_c_from_another_process_race_too() -> None:
    """2,000 messages over ipc, each with a SIGINT by `os.kill` just before or after it: all are received, in order."""
    from programs import PRELUDE

    end = run(FROM_ANOTHER_PROCESS, PRELUDE + PEER, str(RACES), timeout=80).check(out=None)
    interrupted = int(end.printed)
    assert RACES / 20 < interrupted < RACES * 19 / 20, f"no race: {interrupted} of {RACES} receives were interrupted"


# Sends: the peer begins to receive at the moment of the signal.

SEND_RACE = """
import random, signal, threading
import nngio
from nngio import *

kind, count = sys.argv[1], int(sys.argv[2])
sys.setswitchinterval(1e-5)
base, _, context = kind.partition(" ")
classes = {"Pair0": (Pair0, Pair0), "Push0": (Push0, Pull0), "Req0": (Req0, Rep0)}
here, there = (cls() for cls in classes[base])
here.dial(there.listen("inproc://race").url)
channel = here.context() if context else here
asks = base == "Req0"

# Fill what is between the two, so that a send has to wait for the peer to receive. A REQ waits while another context's
# request is on its way to a REP that does not take it.
filled = 0
others = []
while True:
    sender = here.context() if asks else here
    others.append(sender)
    try:
        sender.send(b"filler", timeout=0.1)
    except TimedOut:
        break
    filled += 1
for other in others[filled:]:
    if asks:
        other.close()

main = threading.main_thread().ident
start = threading.Semaphore(0)
center = 0.0
arrived = []

def spin(microseconds):
    end = time.perf_counter_ns() + 1000 * microseconds
    while time.perf_counter_ns() < end:
        pass

def peer():
    for number in range(count):
        start.acquire()
        delay = center + random.uniform(-40, 40)
        if delay < 0:
            signal.pthread_kill(main, signal.SIGINT)
            spin(-delay)
        arrived.append(there.recv(timeout=10))
        if delay >= 0:
            spin(delay)
            signal.pthread_kill(main, signal.SIGINT)

thread = threading.Thread(target=peer, daemon=True)
thread.start()
interrupted = sent = 0
for number in range(count):
    message = Message(b"%d" % number)
    done = []
    try:
        start.release()
        done.append(channel.send(message))
        while True:
            time.sleep(0.001)  # a signal that comes just before a longer sleep would not end it
    except KeyboardInterrupt:
        pass
    if done:
        sent += 1
        center -= 1
        continue
    interrupted += 1
    center += 1
    # Either it was sent, and arrives, or it is whole, and to be sent again.
    try:
        body = bytes(message)
    except BadState:
        continue
    assert body == b"%d" % number, body
    channel.send(message, timeout=10)
thread.join()
while len(arrived) < filled + count:
    arrived.append(there.recv(timeout=10))
try:
    print("and one more:", there.recv(timeout=0.01))
except TimedOut:
    pass
assert arrived[:filled] == [b"filler"] * filled
numbers = [int(body) for body in arrived[filled:]]
assert numbers == list(range(count)), [(i, n) for i, n in enumerate(numbers) if n != i][:5]
print(interrupted, sent)
here.close()
there.close()
"""


@pytest.mark.timeout(90)
@pytest.mark.parametrize("kind", ["Pair0", "Push0"])
def test_a_message_that_leaves_at_the_moment_of_ctrl_c_was_sent_or_is_yours(kind: str) -> None:
    """2,000 real races: it arrives once, or the Message is whole, can be sent again, and arrives then. In order."""
    end = run(SEND_RACE, kind, str(RACES), timeout=80).check(out=None)
    interrupted, sent = map(int, end.printed.split())
    assert min(interrupted, sent) > RACES / 10, f"no race: {interrupted} of {RACES} sends were interrupted"


def test_callbacks_go_on_after_thousands_of_ctrl_c_at_any_moment() -> None:
    """While the main thread begins operations with callbacks, and waits for them: none is left with a lock that others need."""
    run(
        """
import random, signal, threading
import nngio

signal.signal(signal.SIGALRM, signal.default_int_handler)
aio, interrupts = nngio.Aio(lambda aio: None), 0
end = time.monotonic() + 3
while time.monotonic() < end:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00005, 0.0005))
        while True:
            try:
                aio.sleep(0)
                aio.wait()
            except nngio.BadState:
                pass
    except KeyboardInterrupt:
        interrupts += 1
signal.setitimer(signal.ITIMER_REAL, 0)
called = threading.Event()
with nngio.Pull0(listen="inproc://callbacks") as pull, nngio.Push0() as push:
    pull.on_pipe(lambda event: called.set())
    push.dial("inproc://callbacks")
    assert called.wait(10)
aio.wait()
assert interrupts > 500, interrupts
main_ends()
"""
    ).check()
