"""The eleven protocols between two sockets, synchronously: what each carries, which verbs it has, raw modes, patterns, timeouts.

The first of each pair of sockets dials the second: when `dial` has returned, the one that dialed is connected, so what it sends
isn't lost. For the other one that is certain only once it has received something.
"""

import array
import asyncio
import ctypes
import mmap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import pytest

import nngio
from nngio.lowlevel import lib

Address = Callable[[str], str]

PAIRS: dict[str, tuple[type[nngio.Socket], type[nngio.Socket]]] = {
    "pair0": (nngio.Pair0, nngio.Pair0),
    "pair1": (nngio.Pair1, nngio.Pair1),
    "bus": (nngio.Bus0, nngio.Bus0),
    "pubsub": (nngio.Pub0, nngio.Sub0),
    "pipeline": (nngio.Push0, nngio.Pull0),
    "reqrep": (nngio.Req0, nngio.Rep0),
    "survey": (nngio.Surveyor0, nngio.Respondent0),
}
TWO_WAY = [name for name in PAIRS if name not in ("pubsub", "pipeline")]

SENDS = {"send", "try_send", "send_aio", "asend"}
RECEIVES = {"recv", "recv_msg", "recv_into", "try_recv", "recv_aio", "arecv", "arecv_msg", "__iter__", "__aiter__"}
VERBS: dict[type[nngio.Socket], set[str]] = {
    nngio.Pair0: SENDS | RECEIVES,
    nngio.Pair1: SENDS | RECEIVES,
    nngio.Bus0: SENDS | RECEIVES,
    nngio.Pub0: SENDS,
    nngio.Sub0: RECEIVES | {"subscribe", "unsubscribe", "context"},
    nngio.Push0: SENDS,
    nngio.Pull0: RECEIVES,
    nngio.Req0: SENDS | RECEIVES | {"request", "arequest", "context"},
    nngio.Rep0: SENDS | RECEIVES | {"context"},
    nngio.Surveyor0: SENDS | RECEIVES | {"survey", "asurvey", "context"},
    nngio.Respondent0: SENDS | RECEIVES | {"context"},
}
ALL_VERBS = set().union(*VERBS.values())


@contextmanager
def connected(name: str, url: str, *, raw: tuple[bool, bool] = (False, False)) -> Iterator[tuple[Any, Any]]:
    """The two sockets of a protocol; the first has dialed the second."""
    first, second = PAIRS[name]
    options: dict[str, Any] = {"subscribe": b""} if name == "pubsub" and not raw[1] else {}
    with second(listen=url, raw=raw[1], **options) as b, first(dial=b.listeners[0].url, raw=raw[0]) as a:
        yield a, b


def soon(attempt: Callable[[], Any]) -> Any:
    """What an attempt returns once it doesn't raise `TryAgain` any more: a message is on its way."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return attempt()
        except nngio.TryAgain:
            assert time.monotonic() < deadline, "nothing has arrived in 10 s"
            time.sleep(0.001)


@contextmanager
def takes(seconds: float) -> Iterator[Any]:
    """Checks that the block takes this long, and raises `TimedOut` in the end, whose `ExceptionInfo` it is given."""
    before = time.monotonic()
    with pytest.raises(nngio.TimedOut) as caught:
        yield caught
    elapsed = time.monotonic() - before
    assert seconds - 0.002 <= elapsed < seconds + 1, f"{elapsed} s instead of {seconds}"


@pytest.mark.parametrize("protocol", VERBS)
def test_a_class_has_the_verbs_of_its_protocol_and_no_others(protocol: type[nngio.Socket]) -> None:
    """A PUB has no `recv`, a SUB no `send`, only a REQ has `request`, and so on."""
    assert {verb for verb in ALL_VERBS if hasattr(protocol, verb)} == VERBS[protocol]


@pytest.mark.parametrize("transport", ["inproc", "tcp"])
@pytest.mark.parametrize("name", PAIRS)
def test_every_way_to_send_and_to_receive_carries_the_message(name: str, transport: str, address: Address) -> None:
    """`send` and `try_send`, of bytes and of a `Message`, `recv`, `recv_msg`, `recv_into`, `try_recv` and iteration, with each
    kind of timeout."""
    with connected(name, address(transport)) as (a, b):
        receive: list[Callable[[], bytes]] = [
            b.recv,
            lambda: b.recv(timeout=None),
            lambda: b.recv(timeout=10),
            lambda: soon(b.try_recv),
            lambda: bytes(b.recv_msg(timeout=10)),
            lambda: bytes(into[: b.recv_into(into)]),
            lambda: next(iter(b)),
        ]
        send: list[Callable[[bytes], object]] = [
            a.send,
            lambda data: a.send(data, timeout=None),
            lambda data: a.send(data, timeout=10),
            lambda data: a.send(nngio.Message(data), timeout=10),
            lambda data: soon(lambda: a.try_send(data)),
            lambda data: soon(lambda: a.try_send(nngio.Message(data))),
        ]
        into = bytearray(100)
        for i in range(42):
            data = b"message %d" % i
            send[i % 6](data)
            assert receive[i % 7]() == data
            if name == "reqrep":  # or else the next request would take the place of this one before it was sent
                b.send(data)
                assert a.recv() == data


@pytest.mark.parametrize("name", TWO_WAY)
def test_every_way_to_answer_carries_the_answer(name: str, address: Address) -> None:
    """What the second socket of a protocol sends back arrives at the first, however it is sent and received."""
    with connected(name, address("tcp")) as (a, b):
        into = bytearray(100)
        send: list[Callable[[bytes], object]] = [
            b.send,
            b.try_send if name in ("reqrep", "survey") else lambda data: soon(lambda: b.try_send(data)),
            lambda data: b.send(nngio.Message(data), timeout=10),
        ]
        receive: list[Callable[[], bytes]] = [
            a.recv,
            lambda: soon(a.try_recv) if name != "survey" else a.recv(),  # there, to try once ends the survey
            lambda: bytes(a.recv_msg()),
            lambda: bytes(into[: a.recv_into(into)]),
        ]
        for i in range(12):

            def answered(i: int = i) -> bool:
                a.send(b"question %d" % i)
                assert b.recv() == b"question %d" % i
                send[i % 3](b"answer %d" % i)
                return True

            # The pipe may be busy with the answer before, and to answer is tried once only: so it has to be asked again.
            assert soon(answered)
            assert receive[i % 4]() == b"answer %d" % i


def test_request_sends_and_receives(address: Address) -> None:
    """`request` returns the reply to what it has sent, bytes or a `Message`."""
    with connected("reqrep", address("inproc")) as (req, rep):
        echo = threading.Thread(target=lambda: [rep.send(data.upper()) for data in rep])
        echo.start()
        assert req.request(b"one") == b"ONE"
        assert req.request(nngio.Message(b"two"), timeout=10) == b"TWO"
        assert req.request(bytearray(b"three"), timeout=None) == b"THREE"
        rep.close()
        echo.join()


@pytest.mark.parametrize("name", ["pair0", "pipeline", "pubsub", "bus"])
def test_iteration_ends_when_the_socket_is_closed(name: str, address: Address) -> None:
    """A `for` loop over a socket gets each message, and ends when another thread closes the socket."""
    with connected(name, address("tcp")) as (a, b):
        got: list[bytes] = []
        third = threading.Event()

        def collect() -> None:
            for data in b:
                got.append(data)
                if data == b"3":
                    third.set()

        thread = threading.Thread(target=collect)
        thread.start()
        for data in (b"1", b"2", b"3"):
            a.send(data)
        assert third.wait(10)
        b.close()
        thread.join(10)
        assert got == [b"1", b"2", b"3"]


# Buffers.


class Bytes(bytes):
    """Bytes of a class of one's own."""


def _mapped(data: bytes) -> mmap.mmap:
    mapped = mmap.mmap(-1, len(data))
    mapped[:] = data
    return mapped


BUFFERS: dict[str, Callable[[], tuple[Any, bytes]]] = {
    "bytes": lambda: (b"data", b"data"),
    "a subclass of bytes": lambda: (Bytes(b"data"), b"data"),
    "a bytearray": lambda: (bytearray(b"data"), b"data"),
    "a memoryview": lambda: (memoryview(b"xdatax")[1:5], b"data"),
    "a memoryview with gaps": lambda: (memoryview(b"d-a-t-a-")[::2], b"data"),
    "a memoryview backwards": lambda: (memoryview(b"atad")[::-1], b"data"),
    "a memoryview in two dimensions": lambda: (memoryview(b"data").cast("B", (2, 2)), b"data"),
    "an array": lambda: (array.array("H", [1, 2]), array.array("H", [1, 2]).tobytes()),
    "a ctypes array": lambda: ((ctypes.c_char * 4)(*b"data"), b"data"),
    "a mapped file": lambda: (_mapped(b"data"), b"data"),
    "an empty bytearray": lambda: (bytearray(), b""),
    "an empty memoryview": lambda: (memoryview(b"data")[4:], b""),
    "an empty array": lambda: (array.array("d"), b""),
}


@pytest.mark.parametrize("kind", BUFFERS)
def test_any_buffer_can_be_sent(kind: str, address: Address) -> None:
    """`send`, `try_send` and `Message` take the bytes of any object that has a buffer; it may be changed right after."""
    data, expected = BUFFERS[kind]()
    with connected("pair0", address("inproc")) as (a, b):
        a.send(data)
        assert b.recv() == expected
        soon(lambda: a.try_send(data))
        assert b.recv() == expected
        a.send(nngio.Message(data))
        if isinstance(data, bytearray):
            data.clear()  # it is not exported any more
        elif isinstance(data, mmap.mmap):
            data.close()
        assert b.recv() == expected


@pytest.mark.parametrize("data", ["text", "", 7, None, 1.5, ["a"], object()])
def test_what_has_no_buffer_is_refused_with_a_hint(data: Any) -> None:
    """Text is refused with the advice to encode it, and other objects with the name of their type."""
    hint = "encode" if isinstance(data, str) else f"buffer.*{type(data).__name__}"
    with nngio.Pub0() as pub:
        with pytest.raises(TypeError, match=hint):
            pub.send(data)
        with pytest.raises(TypeError, match=hint):
            pub.try_send(data)
        if data is not None:
            with pytest.raises(TypeError, match=hint):
                nngio.Message(data)


@pytest.mark.parametrize("kind", ["a bytearray", "a part of one", "an array", "a ctypes array", "a mapped file", "two dimensions"])
def test_a_message_is_received_into_any_writable_buffer(kind: str, address: Address) -> None:
    """`recv_into` writes the body to the beginning of the buffer, and returns its size; the rest stays as it was."""
    whole = bytearray(b"........")
    target: Any = {
        "a bytearray": lambda: whole,
        "a part of one": lambda: memoryview(whole)[2:],
        "an array": lambda: array.array("H", bytes(whole)),
        "a ctypes array": lambda: (ctypes.c_char * 8)(*whole),
        "a mapped file": lambda: _mapped(whole),
        "two dimensions": lambda: memoryview(whole).cast("B", (2, 4)),
    }[kind]()
    with connected("pair0", address("inproc")) as (a, b):
        for data in (b"data", b"", b"123456"):
            a.send(data)
            assert b.recv_into(target, timeout=10) == len(data)
        assert memoryview(target).tobytes() == b"123456.."[: memoryview(target).nbytes]


def test_a_message_too_long_for_the_buffer_is_kept(address: Address) -> None:
    """`recv_into` raises `ValueError` for a buffer that is too small, and the next receive gets the message."""
    with connected("pair0", address("inproc")) as (a, b):
        a.send(b"12345")
        target = bytearray(b"....")
        for _ in range(3):
            with pytest.raises(ValueError, match="5 bytes, the buffer only 4"):
                b.recv_into(target)
        assert target == b"...."
        a.send(b"next")
        assert b.recv() == b"12345"
        assert b.recv_into(target) == 4
        assert target == b"next"


@pytest.mark.parametrize("target", [b"read only", memoryview(bytearray(8))[::2], memoryview(b"read only"), "text", None])
def test_what_can_not_be_received_into_is_refused_before_a_message_is_taken(target: Any, address: Address) -> None:
    """`recv_into` wants a writable buffer in one piece; the message waits for the next receive."""
    with connected("pair0", address("inproc")) as (a, b):
        a.send(b"data")
        with pytest.raises(TypeError):
            b.recv_into(target)
        assert b.recv() == b"data"


# Timeouts.


@pytest.mark.parametrize("seconds", [0, 0.001, 0.1])
@pytest.mark.parametrize("name", PAIRS)
def test_a_receive_of_nothing_times_out(name: str, seconds: float, address: Address) -> None:
    """`timeout` bounds each receive, to the millisecond below and within the machine's moods above."""
    with connected(name, address("inproc")) as (a, b):
        for receive in (b.recv, b.recv_msg, lambda **options: b.recv_into(bytearray(9), **options)):
            with takes(seconds):
                receive(timeout=seconds)
        with pytest.raises(nngio.TryAgain):
            b.try_recv()
        if name == "survey":
            a.survey_time = 10
        if name in ("reqrep", "survey"):
            a.send(b"unanswered")
            with takes(seconds):
                a.recv(timeout=seconds)
        elif name in TWO_WAY:
            with takes(seconds):
                a.recv(timeout=seconds)


@pytest.mark.parametrize("seconds", [0, 0.001, 0.1])
@pytest.mark.parametrize("protocol", [nngio.Pair0, nngio.Pair1, nngio.Push0, nngio.Req0])
def test_a_send_to_nobody_times_out_and_hands_the_message_back(protocol: Any, seconds: float) -> None:
    """Where a send has to wait for a peer, `timeout` bounds it, and the error carries what was not sent."""
    with protocol() as socket:
        message = nngio.Message(b"to nobody")
        with takes(seconds) as timed_out:
            socket.send(message, timeout=seconds)
        assert timed_out.value.message is message
        with takes(seconds) as timed_out:
            socket.send(b"bytes to nobody", timeout=seconds)
        assert bytes(timed_out.value.message) == b"bytes to nobody"
        with pytest.raises(nngio.TryAgain) as caught:
            socket.try_send(message)
        assert caught.value.message is message
        assert bytes(message) == b"to nobody"


@pytest.mark.parametrize("protocol", [nngio.Pub0, nngio.Bus0, nngio.Surveyor0])
def test_a_send_to_nobody_succeeds_where_the_protocol_drops_it(protocol: Any) -> None:
    """PUB, BUS and SURVEYOR send to whoever is there, be it nobody."""
    with protocol() as socket:
        for _ in range(10):
            socket.send(b"to nobody")
            socket.send(nngio.Message(b"to nobody"), timeout=1)
            soon(lambda: socket.try_send(b"to nobody"))  # the BUS of NNG 1.5 takes a moment between two of them


@pytest.mark.parametrize("protocol", [p for p in VERBS if "recv" in VERBS[p]])
def test_the_option_is_the_default_timeout_of_a_receive(protocol: Any) -> None:
    """`recv_timeout` holds for receives that name no timeout, and for iteration, as soon as it is set."""
    with protocol(recv_timeout=0.05, raw=protocol in (nngio.Req0, nngio.Surveyor0)) as socket:
        with takes(0.05):
            socket.recv()
        with takes(0.1):
            socket.recv(timeout=0.1)
        socket.recv_timeout = 0.1
        assert socket.recv_timeout == 0.1
        for receive in (socket.recv_msg, lambda: socket.recv_into(bytearray(9)), lambda: next(iter(socket))):
            with takes(0.1):
                receive()


@pytest.mark.parametrize("protocol", [nngio.Pair0, nngio.Pair1, nngio.Push0, nngio.Req0])
def test_the_option_is_the_default_timeout_of_a_send(protocol: Any) -> None:
    """`send_timeout` holds for sends that name no timeout."""
    with protocol(send_timeout=0.05) as socket:
        with takes(0.05):
            socket.send(b"")
        with takes(0.1):
            socket.send(b"", timeout=0.1)


def test_none_waits_longer_than_the_option_says(address: Address) -> None:
    """With `timeout=None` a call waits for ever, whatever the socket's own timeout."""
    with connected("pair0", address("inproc")) as (a, b):
        a.recv_timeout = b.send_timeout = 0.01
        timer = threading.Timer(0.1, lambda: b.send(b"late"))
        timer.start()
        assert a.recv(timeout=None) == b"late"
        timer.join()
        while True:  # until all buffers are full
            try:
                b.try_send(b"more")
            except nngio.TryAgain:
                break
        timer = threading.Timer(0.1, a.recv)
        timer.start()
        b.send(b"last", timeout=None)
        timer.join()


@pytest.mark.parametrize(
    ("timeout", "error"), [(-1, ValueError), (-0.001, ValueError), (float("nan"), ValueError), (3e6, ValueError), ("1", TypeError)]
)
def test_what_is_no_timeout_is_refused(timeout: Any, error: type[Exception]) -> None:
    """A negative, endless or absurd number of seconds is refused before anything is sent or received."""
    with nngio.Pair0() as socket:
        with pytest.raises(error, match="timeout"):
            socket.recv(timeout=timeout)
        with pytest.raises(error, match="timeout"):
            socket.send(b"", timeout=timeout)
        with pytest.raises(error):
            socket.recv_timeout = timeout


# The states of REQ, REP, SURVEYOR and RESPONDENT.


def test_a_verb_out_of_turn_raises_bad_state(address: Address) -> None:
    """No reply without a request, no receive without having asked; and one reply to each request."""
    for name in ("reqrep", "survey"):
        with connected(name, address("inproc")) as (a, b):
            with pytest.raises(nngio.BadState):
                a.recv(timeout=1)
            with pytest.raises(nngio.BadState) as caught:
                b.send(b"answer to what?")
            assert bytes(caught.value.message) == b"answer to what?"
            a.send(b"question")
            b.recv()
            b.send(b"answer")
            with pytest.raises(nngio.BadState):
                b.send(b"answer")
            assert a.recv() == b"answer"
    with connected("reqrep", address("inproc")) as (req, _rep), pytest.raises(nngio.BadState):
        req.recv(timeout=1)


OUT_OF_TURN: dict[str, tuple[str, str]] = {
    "Req0": ("recv", "this {} has no request under way: send one first"),
    "Rep0": ("send", "this {} has no request to reply to: receive one first"),
    "Surveyor0": ("recv", "this {} has no survey under way: none was sent yet, or the survey_time of the last one is over"),
    "Respondent0": ("send", "this {} has no survey to answer: receive one first"),
}


@pytest.mark.parametrize("name", OUT_OF_TURN)
def test_a_verb_out_of_turn_says_what_has_to_come_first(name: str) -> None:
    """Of a socket and of a context, whichever form of the verb it is; the message that was not sent is with the error."""
    verb, said = OUT_OF_TURN[name]
    with getattr(nngio, name)() as sock, sock.context() as context:
        for thing in (sock, context):
            attempts: list[Callable[[], Any]] = [
                lambda thing=thing: thing.send(b"x"),  # type: ignore[misc]
                lambda thing=thing: thing.send(nngio.Message(b"x")),  # type: ignore[misc]
                lambda thing=thing: thing.send(bytearray(b"x")),  # type: ignore[misc]
                lambda thing=thing: thing.try_send(b"x"),  # type: ignore[misc]
                lambda thing=thing: asyncio.run(thing.asend(b"x")),  # type: ignore[misc]
                lambda thing=thing: asyncio.run(thing.asend(nngio.Message(b"x"))),  # type: ignore[misc]
            ]
            if verb == "recv":
                attempts = [
                    lambda thing=thing: thing.recv(timeout=5),  # type: ignore[misc]
                    lambda thing=thing: thing.recv_msg(timeout=5),  # type: ignore[misc]
                    lambda thing=thing: thing.recv_into(bytearray(9), timeout=5),  # type: ignore[misc]
                    lambda thing=thing: thing.try_recv(),  # type: ignore[misc]
                    lambda thing=thing: asyncio.run(thing.arecv(timeout=5)),  # type: ignore[misc]
                    lambda thing=thing: asyncio.run(thing.arecv_msg(timeout=5)),  # type: ignore[misc]
                ]
            for attempt in attempts:
                with pytest.raises(nngio.BadState, match=f"^{said.format(type(thing).__name__)}") as caught:
                    attempt()
                assert (bytes(caught.value.message or b""), caught.value.code) == (b"x" if verb == "send" else b"", 11)


def test_a_second_receive_of_what_answers_is_told_of_the_first(address: Address) -> None:
    """A REP or RESPONDENT, or a context of one, receives one at a time; the first goes on waiting."""
    for kind in (nngio.Rep0, nngio.Respondent0):
        with kind(listen=address("inproc")) as sock, sock.context() as context:
            for thing in (sock, context):
                first = nngio.Aio()
                thing.recv_aio(first)
                with pytest.raises(nngio.BadState, match=f"another receive on this {type(thing).__name__} waits already"):
                    thing.recv(timeout=5)
                assert first.busy


@pytest.mark.parametrize("name", ["reqrep", "survey"])
def test_who_waits_for_an_answer_is_told_that_another_took_its_place(name: str, address: Address) -> None:
    """Its receive's error says so, synchronously and awaited; and so does the error of a send that waits for a peer."""
    what = "request" if name == "reqrep" else "survey"
    said = f"another {what} on this %s took its place; use socket.context"
    with connected(name, address("inproc")) as (sock, other), sock.context() as context:
        for thing in (sock, context):
            match = said % type(thing).__name__

            async def awaited(thing: Any = thing, match: str = match) -> None:
                await thing.asend(b"first")
                waiting = asyncio.ensure_future(thing.arecv(timeout=10))
                while not lib.nngio_handle_on_loops(thing._handle):  # noqa: ASYNC110  # until it waits
                    await asyncio.sleep(0)
                assert await other.arecv(timeout=10) == b"first"
                await thing.asend(b"second")
                with pytest.raises(nngio.Canceled, match=match):
                    await waiting
                assert await other.arecv(timeout=10) == b"second"

            asyncio.run(awaited())
            errors: list[nngio.NNGError] = []

            def synchronous(thing: Any = thing, errors: list[nngio.NNGError] = errors) -> None:
                try:
                    thing.recv(timeout=10)
                except nngio.NNGError as error:
                    errors.append(error)

            thing.send(b"first")
            waiting = threading.Thread(target=synchronous)
            waiting.start()
            while not errors:  # another may be sent before the thread has begun to receive
                assert other.recv(timeout=10)
                thing.send(b"next")
                waiting.join(0.01)
            assert other.recv(timeout=10) == b"next"
            waiting.join()
            assert isinstance(errors[0], nngio.Canceled)
            assert match in str(errors[0])
    if name == "reqrep":
        with nngio.Req0() as req, pytest.raises(nngio.Canceled, match=said % "Req0"):
            asyncio.run(_sends_twice(req))


async def _sends_twice(req: nngio.Req0) -> None:
    waiting = asyncio.ensure_future(req.asend(b"first"))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(req.asend(b"second"))
    try:
        await waiting
    finally:
        second.cancel()
        await asyncio.wait([second])


def test_a_new_request_takes_the_place_of_the_old_one(address: Address) -> None:
    """A receive that waits for the reply to a request ends with `Canceled` when another is sent; only that one's reply comes."""
    with connected("reqrep", address("tcp")) as (req, rep):
        req.send(b"first")
        aio = nngio.Aio()
        req.recv_aio(aio)
        req.send(b"second")
        aio.wait()
        with pytest.raises(nngio.Canceled):
            aio.check()
        for request in (b"first", b"second"):
            assert rep.recv(timeout=10) == request
            rep.send(b"to " + request)
        assert req.recv(timeout=10) == b"to second"


# Raw mode.


HEADERS = {"reqrep": b"\x80\0\0\x07", "survey": b"\x80\0\0\x07", "pair1": b"\0\0\0\0"}
"""What a raw socket has to put before a message to a cooked one: a number for what it asks, or hops made so far."""
ONE_HOP = b"\0\0\0\x01"


@pytest.mark.parametrize("name", PAIRS)
def test_a_raw_socket_talks_to_a_cooked_one(name: str, address: Address) -> None:
    """The header that a raw socket writes and reads is what the protocol puts before its messages."""
    with connected(name, address("tcp"), raw=(True, False)) as (a, b):
        assert a.raw
        assert not b.raw
        message = nngio.Message(b"question")
        message.header = HEADERS.get(name, b"")
        a.send(message)
        assert b.recv() == b"question"
        if name in TWO_WAY:
            b.send(b"answer")
            answer = a.recv_msg()
            assert bytes(answer) == b"answer"
            pipe = answer.pipe.id.to_bytes(4, "big")
            assert answer.header == {**HEADERS, "pair1": ONE_HOP, "bus": pipe}.get(name, b"")


@pytest.mark.parametrize("name", PAIRS)
def test_a_cooked_socket_talks_to_a_raw_one(name: str, address: Address) -> None:
    """A raw socket sees which pipe a message came by, and what the answer has to begin with."""
    with connected(name, address("tcp"), raw=(False, True)) as (a, b):
        a.send(b"question")
        question = b.recv_msg()
        assert bytes(question) == b"question"
        pipe = question.pipe.id.to_bytes(4, "big")
        if name in ("reqrep", "survey"):
            assert question.header[:4] == pipe
            assert len(question.header) == 8
            assert question.header[4] & 0x80
        else:
            assert question.header == {"pair1": ONE_HOP, "bus": pipe}.get(name, b"")
        if name in TWO_WAY:
            answer = nngio.Message(b"answer")
            answer.header = question.header if name != "bus" else b""  # on a BUS it would name the pipe to be left out
            b.send(answer)
            assert a.recv(timeout=10) == b"answer"


def test_a_raw_answer_goes_to_the_pipe_that_its_header_names(address: Address) -> None:
    """A raw REP answers two requests in the reverse order, each to the REQ that has asked."""
    with nngio.Rep0(raw=True, listen=address("tcp")) as rep:
        url = rep.listeners[0].url
        with nngio.Req0(dial=url) as one, nngio.Req0(dial=url) as two:
            one.send(b"one")
            first = rep.recv_msg()
            two.send(b"two")
            second = rep.recv_msg()
            for request in (second, first):
                rep.send(request)  # the very message, back with its header
            assert one.recv() == b"one"
            assert two.recv() == b"two"


def test_a_raw_message_without_its_header_is_refused(address: Address) -> None:
    """A raw PAIR1 refuses a message without a hop count, and hands it back."""
    with connected("pair1", address("inproc"), raw=(True, False)) as (a, _b):
        message = nngio.Message(b"no header")
        with pytest.raises(nngio.ProtocolError) as caught:
            a.send(message)
        assert caught.value.message is message


@pytest.mark.parametrize("header", [b"", b"\x80\0\0", bytes(4), bytes(64)], ids=["none", "short", "zero", "zeros"])
@pytest.mark.parametrize("answers", [False, True], ids=["asks", "answers"])
@pytest.mark.parametrize("name", ["reqrep", "survey"])
def test_a_raw_message_without_a_number_is_refused(name: str, answers: bool, header: bytes, address: Address) -> None:
    """NNG would drop it, or the peer take it for garbage and disconnect."""
    with connected(name, address("inproc"), raw=(not answers, answers)) as both:
        a = both[answers]
        a.wait_for_peers(timeout=10)
        pipes = a.pipes
        message = nngio.Message(b"no number")
        message.header = header
        aio = nngio.Aio()
        aio.set_msg(message)
        a.send_aio(aio)
        aio.wait()
        with pytest.raises(nngio.ProtocolError):
            aio.check()
        assert aio.get_msg() is message
        for send in (a.send, a.try_send):
            with pytest.raises(nngio.ProtocolError, match="header") as caught:
                send(message)
            assert caught.value.message is message
            assert message.header == header
            assert bytes(message) == b"no number"
        with pytest.raises(nngio.ProtocolError):
            a.send(b"no header at all")
        assert a.pipes == pipes


def test_a_raw_message_s_number_may_be_in_its_body(address: Address) -> None:
    """The peer sees no difference."""
    for name, header in (("reqrep", b""), ("survey", b""), ("survey", bytes(4))):
        with connected(name, address("inproc"), raw=(True, True)) as (a, b):
            message = nngio.Message(b"\x80\0\0\1question")
            message.header = header
            a.wait_for_peers(timeout=10)
            a.send(message)
            received = b.recv_msg(timeout=10)
            assert (bytes(received), received.header[4:]) == (b"question", header + b"\x80\0\0\1")
            answer = nngio.Message(received.header[4:] + b"answer")
            answer.header = received.header[:4]
            b.send(answer)
            assert bytes(a.recv_msg(timeout=10)) == b"answer"


# Patterns.


def test_a_polyamorous_pair_talks_to_each_of_its_peers(address: Address) -> None:
    """A poly PAIR1 sends a message to the pipe that it names; an answer may simply be the message that came."""
    with nngio.Pair1(poly=True, listen=address("tcp")) as poly, ExitStack() as stack:
        assert poly.poly
        peers = [stack.enter_context(nngio.Pair1(dial=poly.listeners[0].url)) for _ in range(3)]
        pipes = {}
        for i, peer in enumerate(peers):
            peer.send(b"%d" % i)
            message = poly.recv_msg()
            assert bytes(message) == b"%d" % i
            pipes[i] = message.pipe
        assert len(set(pipes.values())) == 3
        for i in (2, 0, 1):
            message = nngio.Message(b"for %d" % i)
            message.pipe = pipes[i]
            poly.send(message)
            assert peers[i].recv(timeout=10) == b"for %d" % i
        for i in (1, 2, 0):
            peers[i].send(b"echo")
            poly.send(poly.recv_msg())
            assert peers[i].recv(timeout=10) == b"echo"


@pytest.mark.parametrize("protocol", [nngio.Req0, nngio.Surveyor0])
def test_a_raw_socket_asks_nothing(protocol: type[nngio.Req0] | type[nngio.Surveyor0]) -> None:
    """`request` and `survey` would send without a header, and nobody would answer; the error says what to do."""
    verb = "request" if protocol is nngio.Req0 else "survey"

    async def ask(socket: Any) -> None:
        if verb == "request":
            await socket.arequest(b"x")
        else:
            async for _ in socket.asurvey(b"x"):
                pass

    with protocol(raw=True) as socket:
        with pytest.raises(nngio.NotSupported, match=r"send a Message with a header.*without raw=True"):
            getattr(socket, verb)(b"x")
        with pytest.raises(nngio.NotSupported, match=r"send a Message with a header.*without raw=True"):
            asyncio.run(ask(socket))


def test_poly_and_raw_exclude_each_other() -> None:
    """NNG has no raw mode of a polyamorous PAIR1, and the error says so."""
    with pytest.raises(TypeError, match="poly and raw"):
        nngio.Pair1(poly=True, raw=True)


def test_a_bus_of_three_reaches_everybody_else(address: Address) -> None:
    """In a full mesh each message arrives once at each of the others, and not at its sender."""
    with nngio.Bus0(listen=address("tcp")) as a, nngio.Bus0(listen=address("ipc")) as b, nngio.Bus0() as c:
        b.dial(a.listeners[0].url)
        b.send(b"b is there")
        assert a.recv() == b"b is there"
        c.dial(a.listeners[0].url)
        c.dial(b.listeners[0].url)
        c.send(b"c is there")
        assert a.recv() == b.recv() == b"c is there"
        for sender, others in ((a, (b, c)), (b, (a, c)), (c, (a, b))):
            sender.send(b"from %d" % sender.id)
            for other in others:
                assert other.recv(timeout=10) == b"from %d" % sender.id
        for socket in (a, b, c):
            with pytest.raises(nngio.TimedOut):
                socket.recv(timeout=0.02)


def test_push_deals_out_to_all_pulls(address: Address) -> None:
    """Each message goes to one PULL; with two that take them as they come, both get some, and none is lost."""
    with nngio.Pull0(listen=address("tcp")) as one, nngio.Pull0(listen=address("ipc")) as two:
        with nngio.Push0(dial=[one.listeners[0].url, two.listeners[0].url]) as push:
            got: dict[Any, list[bytes]] = {one: [], two: []}
            for i in range(100):
                push.send(b"%d" % i)
            while sum(map(len, got.values())) < 100:
                for pull, messages in got.items():
                    with suppress(nngio.TimedOut):
                        messages.append(pull.recv(timeout=0.01))
        assert sorted(got[one] + got[two], key=int) == [b"%d" % i for i in range(100)]
        assert got[one]
        assert got[two]
        assert all(messages == sorted(messages, key=int) for messages in got.values())


# Topics.


def test_a_subscription_is_a_prefix_of_bytes(address: Address) -> None:
    """A SUB gets what begins with one of its topics: text in UTF-8, bytes, or anything with a buffer."""
    with nngio.Sub0(subscribe=["größe", "a"], listen=address("inproc")) as sub, nngio.Pub0(dial=sub.listeners[0].url) as pub:
        sub.subscribe(b"\xff\0\xfe")
        sub.subscribe(bytearray(b"array"))
        sub.subscribe("a")  # again, which changes nothing
        for data in ("größe", "größer", "gröss", "Größe", "", "ab", "a", "ba"):
            pub.send(data.encode())
        pub.send(b"\xff\0\xfe\0")
        pub.send(b"\xff\0")
        pub.send(b"array")
        assert [sub.recv(timeout=10) for _ in range(6)] == [
            *(text.encode() for text in ("größe", "größer", "ab", "a")),
            b"\xff\0\xfe\0",
            b"array",
        ]
        with pytest.raises(nngio.TimedOut):
            sub.recv(timeout=0.02)


def test_the_empty_topic_is_every_message_and_none_is_no_message(address: Address) -> None:
    """A SUB without a topic gets nothing; with the empty one it gets all, the empty message too."""
    with nngio.Sub0(listen=address("inproc")) as sub, nngio.Pub0(dial=sub.listeners[0].url) as pub:
        pub.send(b"unheard")
        pub.send(b"")
        with pytest.raises(nngio.TimedOut):
            sub.recv(timeout=0.05)
        sub.subscribe()
        pub.send(b"heard")
        pub.send(b"")
        assert [sub.recv(timeout=10), sub.recv(timeout=10)] == [b"heard", b""]


@pytest.mark.parametrize(
    "topics",
    [
        ["a", b"b"],
        ("a", bytearray(b"b")),
        {"a", "b"},
        frozenset([b"a", b"b"]),
        {"a": 1, "b": 2},
        [memoryview(b"a"), array.array("b", b"b")],
    ],
)
def test_a_subscriber_is_made_with_topics(topics: Any, address: Address) -> None:
    """Several, in whatever can be iterated over; or one, be it text or any bytes."""
    for given, wanted in ((topics, [b"a", b"b"]), (iter(list(topics)), [b"a", b"b"]), (array.array("b", b"a"), [b"a"]), ("a", [b"a"])):
        with nngio.Pub0(listen=address("inproc")) as pub, nngio.Sub0(subscribe=given, recv_timeout=10) as sub:
            sub.dial(pub.listeners[0].url)
            pub.wait_for_peers(timeout=10)
            for message in (b"c", b"a", b"b", b"a"):
                pub.send(message)
            assert [sub.recv() for _ in range(1 + len(wanted))] == [*wanted, b"a"]
    for nothing in ([], (), None):
        with nngio.Sub0(subscribe=nothing) as sub, pytest.raises(nngio.NoEntry):
            sub.unsubscribe(b"")


def test_unsubscribing_stops_the_topic_and_drops_what_waits(address: Address) -> None:
    """After `unsubscribe` the topic doesn't come any more, not even what had arrived; another one stays."""
    with nngio.Sub0(subscribe=["a", "b"], listen=address("inproc")) as sub, nngio.Pub0(dial=sub.listeners[0].url) as pub:
        for data in (b"a1", b"b1", b"a2", b"b2"):
            pub.send(data)
        assert sub.recv(timeout=10) == b"a1"
        sub.unsubscribe("a")
        pub.send(b"a3")
        pub.send(b"b3")
        assert [sub.recv(timeout=10) for _ in range(3)] == [b"b1", b"b2", b"b3"]
        for unknown in ("a", b"", "ö"):
            with pytest.raises(nngio.NoEntry):
                sub.unsubscribe(unknown)


def test_a_raw_subscriber_gets_everything(address: Address) -> None:
    """A raw SUB does not filter, and has no subscriptions."""
    with nngio.Sub0(raw=True, listen=address("inproc")) as sub, nngio.Pub0(dial=sub.listeners[0].url) as pub:
        pub.send(b"anything")
        assert sub.recv(timeout=10) == b"anything"
        with pytest.raises(nngio.NotSupported):
            sub.subscribe("a")


# Surveys.


def test_a_survey_gathers_answers_until_its_time_is_over(address: Address) -> None:
    """`survey` iterates over the answers of all respondents, and ends when the survey's time has run out."""
    with ExitStack() as stack:
        respondents = [stack.enter_context(nngio.Respondent0(listen=address(t))) for t in ("inproc", "tcp", "ipc")]
        silent = stack.enter_context(nngio.Respondent0(listen=address("inproc")))
        urls = [respondent.listeners[0].url for respondent in (*respondents, silent)]
        surveyor = stack.enter_context(nngio.Surveyor0(dial=urls, survey_time=0.3))
        before = time.monotonic()
        answers = surveyor.survey(b"who?")  # it is sent now, not at the first `next`
        for i, respondent in enumerate(respondents):
            assert respondent.recv(timeout=10) == b"who?"
            respondent.send(b"%d" % i)
        assert silent.recv(timeout=10) == b"who?"
        assert sorted(answers) == [b"0", b"1", b"2"]
        assert 0.298 <= time.monotonic() - before < 2
        with pytest.raises(nngio.BadState):
            surveyor.recv()


def test_a_survey_that_has_run_out_is_told_by_timed_out(address: Address) -> None:
    """A receive that waits when the survey's time runs out raises `TimedOut`; one after that, `BadState`; late answers are lost."""
    with connected("survey", address("inproc")) as (surveyor, respondent):
        surveyor.survey_time = 0.1
        with takes(0.1):
            surveyor.send(b"who?")
            respondent.recv()
            surveyor.recv(timeout=None)
        surveyor.survey_time = 10
        respondent.send(b"late")
        with pytest.raises(nngio.BadState):
            surveyor.recv()
        surveyor.send(b"again")
        assert respondent.recv() == b"again"
        respondent.send(b"in time")
        assert surveyor.recv() == b"in time"


def test_answers_to_an_earlier_survey_are_dropped(address: Address) -> None:
    """What a respondent says to a survey that another one has replaced does not count as an answer to that."""
    with connected("survey", address("inproc")) as (surveyor, respondent), closing(respondent.context()) as context:
        surveyor.survey_time = 10
        surveyor.send(b"first")
        assert respondent.recv() == b"first"
        surveyor.send(b"second")
        assert context.recv(timeout=10) == b"second"
        respondent.send(b"to the first")
        context.send(b"to the second")
        assert surveyor.recv() == b"to the second"
