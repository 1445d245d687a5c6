"""Options of sockets and contexts, and of dialers' times, seen at work on a real exchange: times, descriptors, buffers."""

import contextlib
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from option_table import NNG, RECEIVERS, SENDERS, Address
from raw_peers import exactly, frame, greet

import nngio
from nngio._core.library import lib
from nngio._core.nng import patched as is_patched

# Times.


@contextmanager
def times_out(least: float) -> Iterator[None]:
    """After that time, and not much later."""
    before = time.monotonic()
    with pytest.raises(nngio.TimedOut):
        yield
    assert least - 0.002 <= time.monotonic() - before < least + 3


@pytest.mark.parametrize("name", ["Pair0", "Pair1", "Push0", "Req0", "ReqContext"])
def test_a_send_takes_as_long_as_it_may(name: str) -> None:
    """There is no peer, so it times out; its own timeout goes before the option. A context has what the socket had when it came."""
    with ExitStack() as stack:
        sock = stack.enter_context(getattr(nngio, name.replace("Context", "0"))(send_timeout=0.05))
        channel = stack.enter_context(sock.context()) if name.endswith("Context") else sock
        assert channel.send_timeout == 0.05
        with times_out(0.05):
            channel.send(b"")
        channel.send_timeout = 10
        with times_out(0.02):
            channel.send(b"", timeout=0.02)
        channel.send_timeout = 0
        with times_out(0):
            channel.send(b"")


@pytest.mark.parametrize("name", ["Rep0", "RepContext", "Respondent0", "RespondentContext"])
def test_an_answer_takes_as_long_as_it_may(name: str, address: Address) -> None:
    """The peer who has asked reads nothing, so it times out; its own timeout goes before the option."""
    with (
        getattr(nngio, name.replace("Context", "0"))(listen=address("tcp"), send_timeout=0.05) as sock,
        sock.context() if name.endswith("Context") else contextlib.nullcontext(sock) as channel,
        slow_reader(sock, 0x30 if name.startswith("Rep") else 0x62) as peer,
    ):
        assert channel.send_timeout == 0.05

        def is_asked() -> None:
            peer.sendall(frame(b"\x80\0\0\1?"))
            assert channel.recv(timeout=10) == b"?"

        is_asked()
        with times_out(0.05):
            while True:  # until the system holds no more
                before = time.monotonic()
                try:
                    channel.send(bytes(500_000))
                except nngio.TimedOut:
                    assert 0.048 <= time.monotonic() - before < 3
                    raise
                is_asked()
        channel.send_timeout = 10
        is_asked()
        with times_out(0.02):
            channel.send(b"", timeout=0.02)
        channel.send_timeout = 0
        is_asked()
        with times_out(0):
            channel.send(b"")


@pytest.mark.parametrize("name", ["Bus0", "Pair0", "Pair1", "Pull0", "Rep0", "RepContext", "Respondent0", "Sub0", "SubContext"])
def test_a_receive_takes_as_long_as_it_may(name: str) -> None:
    """There is nobody to send, so it times out; its own timeout goes before the option."""
    with ExitStack() as stack:
        sock = stack.enter_context(getattr(nngio, name.replace("Context", "0"))(recv_timeout=0.05))
        channel = stack.enter_context(sock.context()) if name.endswith("Context") else sock
        assert channel.recv_timeout == 0.05
        with times_out(0.05):
            channel.recv()
        channel.recv_timeout = 10
        with times_out(0.02):
            channel.recv(timeout=0.02)
        channel.recv_timeout = 0
        with times_out(0):
            channel.recv()


@pytest.mark.parametrize("kind", ["socket", "context"])
def test_a_survey_lasts_as_long_as_it_may(kind: str, address: Address) -> None:
    """Nobody answers, so a receive ends with the survey."""
    with ExitStack() as stack:
        surveyor = stack.enter_context(nngio.Surveyor0(listen=address("inproc")))
        channel = surveyor if kind == "socket" else stack.enter_context(surveyor.context())
        channel.survey_time = 0.1
        before = time.monotonic()
        assert list(channel.survey(b"anybody?")) == []
        assert time.monotonic() - before >= 0.098
        channel.survey_time = 60
        respondent = stack.enter_context(nngio.Respondent0(dial=surveyor.listeners[0].url))
        surveyor.wait_for_peers(1, timeout=10)
        channel.send(b"still?")
        respondent.recv(timeout=10)
        with times_out(0.3):  # longer than the survey before
            channel.recv(timeout=0.3)


@pytest.mark.parametrize("kind", ["socket", "context"])
def test_a_request_without_an_answer_is_sent_again(kind: str, address: Address) -> None:
    """The peer gets a second copy, after the time and not before; without a time, never."""
    with ExitStack() as stack:
        rep = stack.enter_context(nngio.Rep0(raw=True, listen=address("inproc")))
        req = stack.enter_context(nngio.Req0(dial=rep.listeners[0].url))
        if hasattr(lib, "NNG_OPT_REQ_RESENDTICK"):
            req.resend_tick = 0.05
        channel = req if kind == "socket" else stack.enter_context(req.context())
        channel.resend_time = 0.2
        channel.send(b"hello?")
        first = rep.recv_msg(timeout=10)
        before = time.monotonic()
        second = rep.recv_msg(timeout=10)
        assert time.monotonic() - before > 0.05
        assert (bytes(first), bytes(first.header)) == (bytes(second), bytes(second.header))
        channel.resend_time = None
        assert channel.resend_time is None
        channel.send(b"once")
        while bytes(rep.recv_msg(timeout=10)) != b"once":
            pass
        with pytest.raises(nngio.TimedOut):
            rep.recv(timeout=0.5)


def test_requests_are_sent_again_at_every_tick(address: Address) -> None:
    """A request's time is up, and it is sent again at the next tick: with a long one, later. From NNG 1.7 on."""
    with nngio.Rep0(raw=True, listen=address("inproc")) as rep, nngio.Req0(dial=rep.listeners[0].url, resend_time=0.05) as req:
        if not hasattr(lib, "NNG_OPT_REQ_RESENDTICK"):
            with pytest.raises(nngio.NotSupported, match=r"resend_tick: NNG_OPT_REQ_RESENDTICK needs NNG 1\.7"):
                req.resend_tick = 1
            return
        req.resend_tick = 0.5
        req.send(b"hello?")
        rep.recv(timeout=10)
        before = time.monotonic()
        rep.recv(timeout=10)
        assert time.monotonic() - before > 0.2


@contextmanager
def hanging_up() -> Iterator[tuple[str, Callable[[float], bool]]]:
    """The URL of a server that hangs up on whoever comes, and a function that waits for one, and tells if one came in time."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:

        def come(seconds: float) -> bool:
            server.settimeout(seconds)
            try:
                server.accept()[0].close()
            except TimeoutError:
                return False
            return True

        yield f"tcp://127.0.0.1:{server.getsockname()[1]}", come


@pytest.mark.parametrize("where", ["socket", "dialer"])
def test_a_dialer_tries_as_often_as_it_is_told(where: str) -> None:
    """A hundred times in ten seconds, where the default would take four times as long; set on its socket, or on itself."""
    with hanging_up() as (url, come), nngio.Pair0() as pair:
        if where == "socket":
            pair.reconnect_time_min = 0.001
            dialer = pair.dial(url, block=False)
        else:
            dialer = pair.dial(url, block=False, reconnect_time_min=0.001)
        assert dialer.reconnect_time_min == 0.001
        before = time.monotonic()
        for _ in range(100):
            assert come(10)
        assert time.monotonic() - before < 10


@pytest.mark.parametrize("where", ["socket", "dialer", "nowhere"])
def test_a_dialers_waits_grow_where_they_may(where: str) -> None:
    """With a great maximum, of the socket's or of its own, the attempts soon become rare; without one, they go on as they began."""
    most = 1_000_000
    with hanging_up() as (url, come), nngio.Pair0(reconnect_time_min=0.001) as pair:
        if where == "socket":
            pair.reconnect_time_max = most
        dialer = pair.dial(url, block=False, **{"reconnect_time_max": most} if where == "dialer" else {})
        assert dialer.reconnect_time_max == (0 if where == "nowhere" else most)
        came = 0
        while came < 200 and come(10 if where == "nowhere" else 0.7):
            came += 1
        assert (came == 200) is (where == "nowhere")


def test_times_of_a_socket_reach_the_dialers_that_it_has() -> None:
    """What is set on the socket later is set on its dialers."""
    with nngio.Pair0() as pair:
        dialer = nngio.Dialer(pair, "tcp://127.0.0.1:9", reconnect_time_min=5)
        assert (dialer.reconnect_time_min, pair.reconnect_time_min) == (5, 1)
        pair.reconnect_time_min, pair.reconnect_time_max, pair.recv_max_size = 3, 4, 5
        assert (dialer.reconnect_time_min, dialer.reconnect_time_max, dialer.recv_max_size) == (3, 4, 5)


# Descriptors.


def readable(fd: int, seconds: float = 10) -> bool:
    return bool(select.select([fd], [], [], seconds)[0])


@pytest.mark.parametrize("name", RECEIVERS)
def test_recv_fd_is_ready_when_a_message_has_come(name: str, address: Address) -> None:
    """And not before, nor after it was received."""
    peers: dict[str, Any] = {"Pull0": nngio.Push0, "Sub0": nngio.Pub0, "Rep0": nngio.Req0, "Respondent0": nngio.Surveyor0}
    with getattr(nngio, name)(listen=address("inproc")) as sock:
        peer = peers.get(name, getattr(nngio, {"Req0": "Rep0", "Surveyor0": "Respondent0"}.get(name, name)))
        with peer(dial=sock.listeners[0].url) as other:
            fd = sock.recv_fd
            assert not readable(fd, 0)
            if name == "Sub0":
                sock.subscribe(b"")
            if name in ("Req0", "Surveyor0"):
                sock.wait_for_peers(1, timeout=10)  # a survey is for those who are there
                sock.send(b"question")
                other.recv(timeout=10)
            other.send(b"here", timeout=10)
            assert readable(fd)
            assert sock.recv(timeout=10) == b"here"
            assert not readable(fd, 0)
            assert sock.recv_fd == fd


@pytest.mark.parametrize("name", SENDERS)
def test_send_fd_is_ready_when_a_message_can_be_sent(name: str, address: Address) -> None:
    """A peer has come, or none is needed; a REP and a RESPONDENT have been asked before."""
    needs = {"Pair0": nngio.Pair0, "Pair1": nngio.Pair1, "Push0": nngio.Pull0, "Req0": nngio.Rep0}
    asks = {"Rep0": nngio.Req0, "Respondent0": nngio.Surveyor0}
    with getattr(nngio, name)(listen=address("inproc")) as sock, ExitStack() as stack:
        fd = sock.send_fd
        if name in needs:
            assert not readable(fd, 0)
            stack.enter_context(needs[name](dial=sock.listeners[0].url))
        if name in asks:
            asker = stack.enter_context(asks[name](dial=sock.listeners[0].url))
            assert not readable(fd, 0)
            asker.send(b"question", timeout=10)
            sock.recv(timeout=10)
        if name != "Bus0" or NNG >= (1, 6):
            assert readable(fd)
        sock.send(b"now", timeout=10)


@pytest.mark.parametrize("name", ["Pair0", "Pull0", "Sub0"])
def test_a_socket_with_prefetch_has_no_descriptor_to_receive_by(name: str) -> None:
    """It would never be ready, since the messages are taken from NNG as they come."""
    with getattr(nngio, name)(prefetch=4) as sock, pytest.raises(nngio.NotSupported, match="recv_fd tells nothing"):
        _ = sock.recv_fd


def test_a_descriptor_has_what_a_thread_waits_for(address: Address) -> None:
    """`try_recv` until `TryAgain`, then wait: two hundred messages come through."""
    with nngio.Pull0(listen=address("tcp")) as pull, nngio.Push0(dial=pull.listeners[0].url) as push:
        got = []
        sent = 0
        while len(got) < 200:
            try:
                got.append(int(pull.try_recv()))
            except nngio.TryAgain:
                if sent < 200:
                    push.send(b"%d" % sent, timeout=10)
                    sent += 1
                assert readable(pull.recv_fd)
        assert got == list(range(200))


# Buffers.


def sends(sock: Any, most: int = 10_000) -> int:
    """How many messages can be sent before a send has to wait for long."""
    for number in range(most):
        message = nngio.Message(struct.pack("!I", number | 0x80000000))
        if sock.raw and isinstance(sock, nngio.Pair1):
            message.header = struct.pack("!I", 1)
        try:
            sock.send(message, timeout=0.2)
        except nngio.TimedOut:
            return number
    return most


def receives(sock: Any, seconds: float = 0.3) -> list[int]:
    """The numbers of the messages that are there, until none comes for so long."""
    numbers = []
    with contextlib.suppress(nngio.TimedOut):
        while True:
            numbers.append(struct.unpack("!I", sock.recv(timeout=seconds))[0] & 0x7FFFFFFF)
    return numbers


@pytest.mark.parametrize("name", ["Pair0", "Pair0 raw", "Pair1", "Pair1 raw", "Pair1 poly", "Push0", "Push0 raw", "Req0 raw"])
def test_so_many_messages_can_be_sent_without_a_peer(name: str) -> None:
    """As many as the buffer holds, then a send waits. It can be changed at any time."""
    name, _, mode = name.partition(" ")
    with getattr(nngio, name)(send_buffer=7, **{mode: True} if mode else {}) as sock:
        assert sends(sock) == 7
        sock.send_buffer = 10
        assert sends(sock) == 3


@pytest.mark.parametrize("name", ["Pair0", "Pair0 raw", "Pair1", "Pair1 raw"])
def test_so_many_more_messages_can_be_sent_to_who_does_not_receive(name: str, address: Address) -> None:
    """Those that are underway anyway, and those that the buffer holds; all of them arrive in order."""
    name, _, mode = name.partition(" ")
    options = {mode: True} if mode else {}
    sent = []
    for buffer in (0, 20):
        with (
            getattr(nngio, name)(listen=address("inproc"), recv_buffer=buffer, **options) as sock,
            getattr(nngio, name)(dial=sock.listeners[0].url, **options) as peer,
        ):
            sent.append(sends(peer))
            assert receives(sock) == list(range(sent[-1]))
    assert sent[1] - sent[0] == 20


def test_so_many_more_messages_wait_in_a_polyamorous_pair(address: Address) -> None:
    """Its peer drops what finds no room, and never waits."""
    arrived = []
    for buffer in (0, 20):
        with (
            nngio.Pair1(poly=True, listen=address("inproc"), recv_buffer=buffer) as pair,
            nngio.Pair1(poly=True, dial=pair.listeners[0].url) as peer,
        ):
            peer.wait_for_peers(timeout=10)
            for number in range(1000):
                peer.send(struct.pack("!I", number), timeout=10)
            numbers = receives(pair)
            assert numbers == sorted(numbers)
            arrived.append(len(numbers))
    assert abs(arrived[1] - arrived[0] - 20) <= 2  # one more or less is underway when the first is dropped


@contextmanager
def slow_reader(sender: Any, protocol: int) -> Iterator[socket.socket]:
    """A peer without much room for what it doesn't read."""
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", sender.listeners[0].port))
        greet(peer, protocol)
        yield peer


def slow_peer(sender: Any, protocol: int) -> list[int]:
    """The numbers of 100 large messages that a peer gets who reads nothing until all have been sent."""
    with slow_reader(sender, protocol) as peer:
        while True:  # until it belongs to the socket
            sender.send(struct.pack("!I", 1000))
            if readable(peer.fileno(), 0.01):
                break
        for number in range(100):
            sender.send(struct.pack("!I", number) + bytes(300_000), timeout=10)
        numbers = []
        peer.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while True:
                (size,) = struct.unpack("!Q", exactly(peer, 8))
                (number,) = struct.unpack("!I", exactly(peer, size)[:4])
                numbers.append(number)
        return [number for number in numbers if number != 1000]


def test_the_newest_messages_wait_for_a_slow_subscriber(address: Address) -> None:
    """A PUB drops the oldest, and keeps as many as the buffer holds."""
    buffer = 30
    with nngio.Pub0(listen=address("tcp"), send_buffer=buffer) as pub:
        numbers = slow_peer(pub, 0x21)
    assert numbers == sorted(numbers)
    assert numbers[-buffer:] == list(range(100 - buffer, 100))
    assert 100 - buffer - 1 not in numbers


def test_so_many_messages_wait_for_a_slow_bus_peer(address: Address) -> None:
    """A BUS drops the newest: the more room, the more arrive. With NNG 1.5 it is always 16."""
    arrived = []
    for buffer in (1, 50):
        with nngio.Bus0(listen=address("tcp"), send_buffer=buffer) as bus:
            numbers = slow_peer(bus, 0x70)
        assert numbers == sorted(numbers)
        arrived.append(len(numbers))
    # What the system holds isn't always the same.
    assert abs(arrived[1] - arrived[0] - (49 if NNG >= (1, 6) else 0)) < 12


def test_so_many_messages_wait_on_a_bus(address: Address) -> None:
    """Those that find no room are dropped."""
    assert wait_on_a_bus(address, 1) < 40
    # NNG 1.5 drops them here too when this peer's thread falls behind by 16 messages.
    assert any(wait_on_a_bus(address, 40) == 40 for _ in range(1 if NNG >= (1, 6) else 10))


def wait_on_a_bus(address: Address, buffer: int) -> int:
    """How many of forty messages a peer has that receives nothing before. Another, who does, tells when the next one can be sent."""
    with (
        nngio.Bus0(listen=address("inproc"), send_buffer=100) as bus,
        nngio.Bus0(dial=bus.listeners[0].url, recv_buffer=buffer) as peer,
        nngio.Bus0(dial=bus.listeners[0].url) as other,
    ):
        for meets in (peer, other):
            meets.send(b"here", timeout=10)
            assert bus.recv(timeout=10) == b"here"
        for number in range(40):
            bus.send(struct.pack("!I", number), timeout=10)
            other.recv(timeout=10)
        return len(receives(peer))


@pytest.mark.parametrize("kind", ["socket", "context"])
def test_a_subscriber_keeps_as_many_messages_as_it_may(kind: str, address: Address) -> None:
    """The newest, while nobody receives. A second subscription, which gets each message later, tells when all have come."""
    with ExitStack() as stack:
        sub = stack.enter_context(nngio.Sub0(listen=address("inproc")))
        channel = sub if kind == "socket" else stack.enter_context(sub.context())
        last = stack.enter_context(sub.context())
        for subscriber in (channel, last):
            subscriber.subscribe(b"")
        pub = stack.enter_context(nngio.Pub0(dial=sub.listeners[0].url, send_buffer=100))
        for buffer in (3, 11):
            channel.recv_buffer = buffer
            for number in range(20):
                pub.send(struct.pack("!I", number))
                last.recv(timeout=10)
            assert receives(channel, 0.1) == list(range(20 - buffer, 20))


@pytest.mark.parametrize("kind", ["socket", "context"])
def test_a_full_subscriber_keeps_the_new_or_the_old(kind: str, address: Address) -> None:
    """`prefer_new` decides which of them are dropped."""
    with ExitStack() as stack:
        sub = stack.enter_context(nngio.Sub0(listen=address("inproc")))
        channel = sub if kind == "socket" else stack.enter_context(sub.context())
        last = stack.enter_context(sub.context())
        for subscriber in (channel, last):
            subscriber.subscribe(b"")
        channel.recv_buffer = 4
        pub = stack.enter_context(nngio.Pub0(dial=sub.listeners[0].url, send_buffer=100))
        for newest in (True, False):
            channel.prefer_new = newest
            for number in range(10):
                pub.send(struct.pack("!I", number))
                last.recv(timeout=10)
            assert receives(channel, 0.1) == (list(range(6, 10)) if newest else list(range(4)))


RAW = {"Rep0": "Req0", "Req0": "Rep0", "Respondent0": "Surveyor0", "Surveyor0": "Respondent0", "Sub0": "Pub0"}


RESIZED: dict[str, tuple[Any, dict[str, Any], Any, str]] = {
    "recv_buffer of a Pair0": (nngio.Pair0, {}, nngio.Pair0, "recv_buffer"),
    "send_buffer of a Pair0": (nngio.Pair0, {}, nngio.Pair0, "send_buffer"),
    "recv_buffer of a Pair1": (nngio.Pair1, {}, nngio.Pair1, "recv_buffer"),
    "send_buffer of a Push0": (nngio.Push0, {}, nngio.Pull0, "send_buffer"),
    "recv_buffer of a Sub0": (nngio.Sub0, {"subscribe": b""}, nngio.Pub0, "recv_buffer"),
    "recv_buffer of a SubContext": (nngio.Sub0, {}, nngio.Pub0, "recv_buffer"),
}


@pytest.mark.skipif(not is_patched("queue-resize"), reason="this NNG isn't patched against it")
@pytest.mark.parametrize("size", [2, 4, 64])
@pytest.mark.parametrize("of", RESIZED)
def test_a_buffer_is_changed_to_just_what_it_holds(of: str, size: int, address: Address) -> None:
    """None is lost, and none comes twice: a queue of NNG's that was full then went on behind its end."""
    cls, more, peers, name = RESIZED[of]
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(cls(listen=address("inproc"), **({} if "Context" in of else {name: size}), **more))
        channel = sock
        if "Context" in of:
            channel = stack.enter_context(sock.context(recv_buffer=size))
            channel.subscribe(b"")
        if name == "recv_buffer":
            sender, receiver = stack.enter_context(peers(dial=sock.listeners[0].url)), channel
            sender.wait_for_peers(timeout=10)
        else:
            sender = sock
        for number in range(size):
            sender.send(b"%d" % number, timeout=10)
        if name == "recv_buffer":
            time.sleep(0.02)  # for the last one to be there: nothing tells
        setattr(channel, name, size)
        if name == "send_buffer":
            receiver = stack.enter_context(peers(dial=sock.listeners[0].url))
        for number in range(4 * size):
            assert receiver.recv(timeout=10) == b"%d" % number
            sender.send(b"%d" % (number + size), timeout=10)


def arrive_of_120(name: str, url: str, buffer: int, pause: float, at_once: int = 4) -> int:
    """How many wait in a raw socket in the end. A peer that doesn't wait drops what comes too fast, and nothing tells what would."""
    with (
        getattr(nngio, name)(raw=True, listen=url, recv_buffer=buffer) as sock,
        getattr(nngio, RAW[name])(raw=True) as peer,
    ):
        peer.dial(sock.listeners[0].url)
        to = meet(sock, peer) if name in ("Req0", "Surveyor0") else b""
        for number in range(120):
            message = nngio.Message(struct.pack("!I", number))
            if name != "Sub0":
                message.header = to + b"\x80\0\0\1"
            try:
                peer.send(message, timeout=0.2)
            except nngio.TimedOut:
                break
            if not number % at_once:
                time.sleep(pause)
        return len(receives(sock))


@pytest.mark.parametrize("name", RAW)
def test_so_many_messages_wait_in_a_raw_socket(name: str, address: Address) -> None:
    """Of many that come slowly, those that find no room are lost or not sent; with room, all are there."""
    assert arrive_of_120(name, address("inproc"), 1, 0.005) < 110
    # A machine that is busy needs longer pauses.
    assert any(arrive_of_120(name, address("inproc"), 120, pause, at_once) == 120 for pause, at_once in ((0.005, 4), (0.01, 1), (0.05, 1)))


def meet(asks: Any, answers: Any) -> bytes:
    """What a raw peer has to put before the header of an answer, so that it comes to the one that asks."""
    question = nngio.Message(b"?")
    question.header = b"\x80\0\0\1"
    asks.wait_for_peers(timeout=10)  # a survey is for those who are there
    asks.send(question, timeout=10)
    header = bytes(answers.recv_msg(timeout=10).header)
    return header[:-4]
