"""`Message`: its body, its header, its copies, and what it is after it was sent."""

import copy
import ctypes
import mmap
import pickle
import sys
from array import array
from collections.abc import Callable
from typing import Any

import pytest

import nngio
from nngio import Message

Address = Callable[[str], str]
Pair = tuple[nngio.Pair0, nngio.Pair0]
SECONDS = 10.0

BODY = bytes(range(256))


def anonymous_memory(data: bytes) -> mmap.mmap:
    """A piece of memory with these bytes at its beginning."""
    memory = mmap.mmap(-1, len(data))
    memory[:] = data
    return memory


# Making one.


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (BODY, BODY),
        (bytearray(BODY), BODY),
        (memoryview(BODY), BODY),
        (memoryview(BODY)[16:32], BODY[16:32]),
        (memoryview(BODY)[::2], BODY[::2]),
        (memoryview(BODY)[::-1], BODY[::-1]),
        (memoryview(BODY).cast("I"), BODY),
        (memoryview(BODY).cast("B", (16, 16)), BODY),
        (array("d", [0.5, 1.5]), array("d", [0.5, 1.5]).tobytes()),
        ((ctypes.c_uint16 * 2)(0x0102, 0x0304), bytes((ctypes.c_uint16 * 2)(0x0102, 0x0304))),
        (anonymous_memory(BODY), BODY),
        (b"", b""),
        (bytearray(), b""),
        (memoryview(b"").cast("B"), b""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_message_copies_any_buffer(data: Any, body: bytes, pair: Pair) -> None:
    """The body is the bytes of the buffer, in a piece; the same goes for sending the buffer itself."""
    message = Message(data)
    assert bytes(message) == body
    assert len(message) == len(body)
    left, right = pair
    left.send(data)
    assert right.recv(timeout=SECONDS) == body


def test_a_message_does_not_follow_its_source() -> None:
    """The bytes are copied once: what becomes of the source afterwards is nothing to the message."""
    source = bytearray(b"hello")
    message = Message(source)
    source[:] = b"other"
    source += b"and longer"
    assert bytes(message) == b"hello"


@pytest.mark.parametrize("size", [0, 1, 31, 1023, 1024, 1025, 4096, 1 << 20])
def test_a_message_of_a_size_is_all_zeros(size: int) -> None:
    """It is filled through its body."""
    message = Message(size=size)
    assert len(message) == size
    assert bytes(message) == bytes(size)
    with message.body as view:
        view[:] = b"x" * size
    assert bytes(message) == b"x" * size


def test_a_message_of_nothing_is_a_message() -> None:
    """No arguments make an empty body, which is still true."""
    for message in (Message(), Message(b""), Message(size=0), Message(None)):
        assert len(message) == 0
        assert bytes(message) == b""
        assert message.body == b""
        assert bool(message)


@pytest.mark.parametrize("size", [2**62, 2**63 - 4097, 2**63 - 4096, sys.maxsize, 2**63, 2**64, 2**100])
def test_a_huge_size_raises_no_memory(size: int) -> None:
    """Up to what C can count and beyond: it is a MemoryError as well."""
    with pytest.raises(nngio.NoMemory) as caught:
        Message(size=size)
    assert isinstance(caught.value, MemoryError)


def test_wrong_arguments_are_refused() -> None:
    """Text, numbers, negative sizes, and a size together with data."""
    for make in (lambda: Message("text"), lambda: setattr(Message(), "header", "text")):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="encode"):
            make()
    for wrong in (5, 1.5, [1, 2], object()):
        with pytest.raises(TypeError, match="buffer"):
            Message(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="0 bytes or more"):
        Message(size=-1)
    with pytest.raises(TypeError, match="not both"):
        Message(b"data", size=4)
    with pytest.raises(TypeError):
        Message(size="4")  # type: ignore[arg-type]


def test_text_is_refused_by_all_that_sends(pair: Pair) -> None:
    """The hint says what to do; the socket goes on."""
    left, right = pair
    for send in (left.send, left.try_send):
        with pytest.raises(TypeError, match="encode"):
            send("text")  # type: ignore[arg-type]
    left.send(b"bytes")
    assert right.recv(timeout=SECONDS) == b"bytes"


# Its header.


@pytest.mark.parametrize("length", [0, 1, 4, 32, 63, 64])
def test_a_header_has_up_to_64_bytes(length: int) -> None:
    """Any buffer sets it, replacing what was there; the body stays as it is."""
    message = Message(BODY)
    assert message.header == b""
    message.header = b"what was there"
    message.header = BODY[:length]
    assert message.header == BODY[:length]
    message.header = memoryview(bytearray(BODY[:length]))
    assert message.header == BODY[:length]
    assert bytes(message) == BODY


def test_a_longer_header_is_refused() -> None:
    """ValueError, and the old one stays."""
    message = Message(BODY)
    message.header = b"old"
    for length in (65, 1000):
        with pytest.raises(ValueError, match="64"):
            message.header = bytes(length)
    with pytest.raises(TypeError, match="buffer"):
        message.header = 4  # type: ignore[assignment]
    assert message.header == b"old"


# Its pipe.


def test_a_message_knows_the_pipe_that_it_came_by(address: Address) -> None:
    """None for one made here; a raw reply finds its way by it."""
    assert Message(b"mine").pipe is None
    with nngio.Rep0(raw=True, listen=address("tcp")) as rep, nngio.Req0(dial=rep.listeners[0].url) as req:
        req.send(b"question")
        question = rep.recv_msg(timeout=SECONDS)
        assert isinstance(question.pipe, nngio.Pipe)
        assert question.copy().pipe == question.pipe
        answer = Message(b"answer")
        answer.header = question.header
        answer.pipe = question.pipe
        assert answer.pipe == question.pipe
        rep.send(answer)
        assert req.recv(timeout=SECONDS) == b"answer"


# Comparing and copying.


def test_messages_are_equal_by_body_and_header() -> None:
    """Not by pipe; and not to bytes. They can change, so they have no hash."""
    one, other = Message(b"hello"), Message(bytearray(b"hello"))
    assert one == other
    assert one == one
    other.header = b"h"
    assert one != other
    one.header = b"h"
    assert one == other
    assert one != Message(b"hella")
    assert one != b"hello"
    with pytest.raises(TypeError, match="hash"):
        hash(one)


@pytest.mark.parametrize("make_copy", [Message.copy, copy.copy, copy.deepcopy])
def test_a_copy_is_another_message(make_copy: Callable[[Message], Message], pair: Pair) -> None:
    """It has the same body and header, and is written to, looked at and sent apart from the first."""
    left, right = pair
    message = Message(BODY)
    message.header = b"header"
    with message.body as view:
        other = make_copy(message)
        assert other == message
        view[0] = 255
        with other.body as its_view:
            its_view[1] = 254
    assert bytes(message) == b"\xff" + BODY[1:]
    assert bytes(other) == b"\x00\xfe" + BODY[2:]
    with other.body as its_view:
        left.send(message)
        assert right.recv(timeout=SECONDS) == b"\xff" + BODY[1:]
        assert its_view == b"\x00\xfe" + BODY[2:]
        with pytest.raises(BufferError):
            left.send(other)
    left.send(other)
    assert right.recv(timeout=SECONDS) == b"\x00\xfe" + BODY[2:]


def test_a_message_is_not_pickled() -> None:
    """The error says what to pickle instead."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match=r"bytes\(message\)"):
            pickle.dumps(Message(b"hello"), protocol)


def test_a_repr_tells_the_size_or_that_it_was_sent(pair: Pair) -> None:
    """It never raises."""
    message = Message(b"hello")
    assert repr(message) == "<nngio.Message of 5 bytes>"
    pair[0].send(message)
    assert repr(message) == "<nngio.Message, sent>"


# After it was sent.


@pytest.mark.parametrize(
    "use",
    [
        lambda message: message.body,
        lambda message: message.header,
        lambda message: setattr(message, "header", b"h"),
        lambda message: message.pipe,
        lambda message: message.copy(),
        copy.copy,
        copy.deepcopy,
        len,
        bytes,
    ],
    ids=["body", "header", "set header", "pipe", "copy", "copy.copy", "deepcopy", "len", "bytes"],
)
def test_a_message_that_was_sent_is_empty(use: Callable[[Message], object], pair: Pair) -> None:
    """Whatever needs its content raises BadState, with a text that says why."""
    message = Message(b"hello")
    pair[0].send(message)
    with pytest.raises(nngio.BadState, match="it was sent, or is being sent"):
        use(message)
    assert message == message
    assert message != Message(b"hello")
    assert Message(b"hello") != message
    assert bool(message)


def test_a_message_is_sent_once(pair: Pair) -> None:
    """A second send raises BadState and sends nothing."""
    left, right = pair
    message = Message(b"once")
    left.send(message)
    for send in (left.send, left.try_send, right.send):
        with pytest.raises(nngio.BadState, match="was sent"):
            send(message)
    assert right.recv(timeout=SECONDS) == b"once"
    with pytest.raises(nngio.TryAgain):
        right.try_recv()


def test_what_a_class_of_bytes_says_of_its_length_is_not_believed(pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
    """Nothing that lies behind it is sent."""

    class Longer(bytes):
        def __len__(self) -> int:
            return 100_000

    left, right = pair
    left.send(Longer(b"short"))
    assert right.recv() == b"short"
    assert bytes(nngio.Message(Longer(b"short"))) == b"short"
