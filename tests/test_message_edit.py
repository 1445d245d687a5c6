"""The parts of a message, changed from either end; beside a bytearray that has the same done to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nngio
from nngio import Message

PARTS = {"": "body", "header_": "header"}
BITS = (16, 32, 64)


def part(message: Message, prefix: str) -> bytes:
    return bytes(message) if prefix == "" else message.header


@pytest.mark.parametrize("prefix", PARTS)
def test_bytes_are_put_on_either_end_and_taken_off(prefix: str) -> None:
    """The other part stays as it is."""
    message = Message()
    getattr(message, f"{prefix}append")(b"cd")
    getattr(message, f"{prefix}append")(bytearray(b"ef"))
    getattr(message, f"{prefix}insert")(memoryview(b"ab"))
    assert part(message, prefix) == b"abcdef"
    assert getattr(message, f"{prefix}trim")(1) == b"a"
    assert getattr(message, f"{prefix}chop")(2) == b"ef"
    assert part(message, prefix) == b"bcd"
    getattr(message, f"{prefix}clear")()
    assert (bytes(message), message.header) == (b"", b"")


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("prefix", PARTS)
def test_numbers_are_big_endian(prefix: str, bits: int) -> None:
    """As in a protocol's header, and as NNG's own functions read and write them."""
    message, size = Message(), bits // 8
    getattr(message, f"{prefix}append_u{bits}")(1)
    getattr(message, f"{prefix}insert_u{bits}")(2**bits - 1)
    assert part(message, prefix) == b"\xff" * size + b"\0" * (size - 1) + b"\1"
    assert getattr(message, f"{prefix}chop_u{bits}")() == 1
    assert getattr(message, f"{prefix}trim_u{bits}")() == 2**bits - 1
    assert part(message, prefix) == b""
    for wrong in (-1, 2**bits):
        with pytest.raises(ValueError, match=rf"append_u{bits} takes a number from 0 to {2**bits - 1}, not {wrong}"):
            getattr(message, f"{prefix}append_u{bits}")(wrong)
    with pytest.raises(TypeError, match="takes a whole number, not str"):
        getattr(message, f"{prefix}insert_u{bits}")("1")
    with pytest.raises(nngio.InvalidArgument, match=rf"{size} bytes can't be taken off a {PARTS[prefix]} of 0"):
        getattr(message, f"{prefix}trim_u{bits}")()


@pytest.mark.parametrize("prefix", PARTS)
@pytest.mark.parametrize("operation", ["trim", "chop"])
def test_no_more_is_taken_than_there_is(prefix: str, operation: str) -> None:
    """And nothing when it is refused."""
    message = Message(b"body")
    message.header = b"head"
    take = getattr(message, f"{prefix}{operation}")
    for wrong in (-1, 5):
        with pytest.raises(nngio.InvalidArgument, match=rf"{wrong} bytes can't be taken off a {PARTS[prefix]} of 4"):
            take(wrong)
    with pytest.raises(TypeError, match="a size is a number of bytes"):
        take("1")
    assert (bytes(message), message.header) == (b"body", b"head")
    assert take(4) == (b"body" if prefix == "" else b"head")


def test_a_header_has_64_bytes_at_most() -> None:
    """What doesn't fit changes nothing."""
    message = Message()
    message.header_append(bytes(63))
    for put in (message.header_append, message.header_insert):
        with pytest.raises(ValueError, match="at most 64 bytes, not 65"):
            put(b"ab")
    message.header_insert(b"x")
    assert message.header == b"x" + bytes(63)


def test_a_body_that_is_looked_at_is_not_moved() -> None:
    """The header may be changed all the while."""
    message = Message(b"body")
    calls = [message.append, message.insert], [message.trim, message.chop]
    with message.body as view:
        for put in calls[0]:
            with pytest.raises(BufferError, match="being looked at"):
                put(b"x")
        for take in calls[1]:
            with pytest.raises(BufferError, match="being looked at"):
                take(1)
        with pytest.raises(BufferError, match="being looked at"):
            message.clear()
        message.header_append(b"h")
        assert bytes(view) == b"body"
    message.append(b"!")
    assert bytes(message) == b"body!"


def test_a_message_that_was_sent_can_not_be_changed(pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
    """It is NNG's; and what was received can."""
    left, right = pair
    message = Message(b"ody")
    message.insert(b"b")
    left.send(message)
    for call in (lambda: message.append(b"x"), lambda: message.trim(0), message.clear, message.header_clear):
        with pytest.raises(nngio.BadState):
            call()
    received = right.recv_msg(timeout=10)
    received.append_u16(0x2121)
    assert bytes(received) == b"body!!"


def test_a_raw_reply_is_made_of_the_request_s_header() -> None:
    """What the numbers are for: pipe and request of a raw REP's message."""
    with nngio.Rep0(listen="inproc://message-edit", raw=True) as rep, nngio.Req0(dial="inproc://message-edit") as req:
        req.send(b"question")
        request = rep.recv_msg(timeout=10)
        assert request.pipe is not None
        pipe, number = request.header_trim_u32(), request.header_trim_u32()
        assert pipe == request.pipe.id
        assert number & 0x80000000
        reply = Message(b"answer")
        reply.header_append_u32(pipe)
        reply.header_append_u32(number)
        rep.send(reply)
        assert req.recv(timeout=10) == b"answer"


@given(
    st.binary(max_size=300),
    st.lists(st.tuples(st.sampled_from(["append", "insert", "trim", "chop", "clear"]), st.binary(max_size=200)), max_size=30),
)
def test_a_body_is_what_a_bytearray_would_be(start: bytes, steps: list[tuple[str, bytes]]) -> None:
    """Through any sequence of operations."""
    message, model = Message(start), bytearray(start)
    for operation, data in steps:
        size = min(len(data), len(model))
        match operation:
            case "append":
                message.append(data)
                model += data
            case "insert":
                message.insert(data)
                model[:0] = data
            case "trim":
                assert message.trim(size) == model[:size]
                del model[:size]
            case "chop":
                assert message.chop(size) == model[len(model) - size :]
                del model[len(model) - size :]
            case _:
                message.clear()
                model.clear()
        assert bytes(message) == model
        assert len(message) == len(model)
