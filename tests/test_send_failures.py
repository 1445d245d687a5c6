"""A synchronous send that fails raises an error that carries the message: the same object, or a new one with the bytes."""

import os
import threading
from array import array
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

import nngio
from nngio import Message, NNGError, Sender

Address = Callable[[str], str]
Send = Callable[[Any], None]
SECONDS = 10.0

BODY = bytes(range(256)) * 5
HEADER = bytes.fromhex("80000001")


# How sends fail: each function sends what it is given, and makes that fail.


def _time_is_up(data: Any) -> None:
    with nngio.Push0() as push:
        push.send(data, timeout=0.01)


def _no_time_at_all(data: Any) -> None:
    with nngio.Pair0() as pair:
        pair.send(data, timeout=0)


def _sockets_time_is_up(data: Any) -> None:
    with nngio.Req0(send_timeout=0.01) as req:
        req.send(data)


def _contexts_time_is_up(data: Any) -> None:
    with nngio.Req0() as req, req.context() as context:
        context.send_timeout = 0.01
        context.send(data)


def _raw(data: Any) -> nngio.Req0 | nngio.Push0:
    """A raw socket that sends this: a REQ's message has a header."""
    return nngio.Req0(raw=True) if isinstance(data, Message) and data.header else nngio.Push0(raw=True)


def _raw_sockets_time_is_up(data: Any) -> None:
    with _raw(data) as socket:
        socket.send(data, timeout=0.01)


def _cannot_be_done_at_once(data: Any) -> None:
    with nngio.Push0() as push:
        push.try_send(data)


def _was_closed(data: Any) -> None:
    with nngio.Push0() as push:
        pass
    push.send(data)


def _context_was_closed(data: Any) -> None:
    with nngio.Req0() as req:
        context = req.context()
    context.send(data)


def _is_closed(data: Any) -> None:
    with nngio.Push0() as push:
        closer = threading.Timer(0.02, push.close)  # before or during the send: the outcome is the same
        closer.start()
        try:
            push.send(data)
        finally:
            closer.join()


def _raw_socket_is_closed(data: Any) -> None:
    with _raw(data) as socket:
        closer = threading.Timer(0.02, socket.close)
        closer.start()
        try:
            socket.send(data)
        finally:
            closer.join()


def _can_only_receive(data: Any) -> None:
    with nngio.Sub0() as sub:
        Sender.send(sub, data)  # type: ignore[arg-type]


def _context_can_only_receive(data: Any) -> None:
    with nngio.Sub0() as sub, sub.context() as context:
        Sender.send(context, data)  # type: ignore[arg-type]


def _nothing_to_reply_to(data: Any) -> None:
    with nngio.Rep0() as rep:
        rep.send(data)


def _no_request_on_the_context(data: Any) -> None:
    with nngio.Rep0() as rep, rep.context() as context:
        context.send(data)


def _no_survey(data: Any) -> None:
    with nngio.Respondent0() as respondent:
        respondent.send(data)


def _replaced_by_another_request(data: Any) -> None:
    """Two threads send on one context until the first is pushed aside by the second."""
    errors: list[NNGError] = []
    with nngio.Req0() as req, req.context() as context:
        aside = threading.Event()

        def first() -> None:
            try:
                context.send(data)
            except NNGError as error:
                errors.append(error)
                aside.set()

        thread = threading.Thread(target=first)
        thread.start()
        while not aside.is_set():
            with pytest.raises((nngio.TimedOut, nngio.Canceled)):
                context.send(b"another request", timeout=0.01)
        thread.join(SECONDS)
    raise errors[0]


CAUSES: list[tuple[type[NNGError], Send]] = [
    (nngio.TimedOut, _time_is_up),
    (nngio.TimedOut, _no_time_at_all),
    (nngio.TimedOut, _sockets_time_is_up),
    (nngio.TimedOut, _contexts_time_is_up),
    (nngio.TimedOut, _raw_sockets_time_is_up),
    (nngio.TryAgain, _cannot_be_done_at_once),
    (nngio.Closed, _was_closed),
    (nngio.Closed, _context_was_closed),
    (nngio.Closed, _is_closed),
    (nngio.Closed, _raw_socket_is_closed),
    (nngio.NotSupported, _can_only_receive),
    (nngio.NotSupported, _context_can_only_receive),
    (nngio.BadState, _nothing_to_reply_to),
    (nngio.BadState, _no_request_on_the_context),
    (nngio.BadState, _no_survey),
    (nngio.Canceled, _replaced_by_another_request),
]
_causes = pytest.mark.parametrize(("error", "send"), CAUSES, ids=lambda value: value.__name__.lstrip("_"))


def arrives(message: Message, header: bytes, url: str) -> None:
    """Send a message from one raw socket to another, and find its body and header there."""
    message.header = message.header or HEADER
    with nngio.Rep0(raw=True, listen=url) as rep, nngio.Req0(raw=True, dial=rep.listeners[0].url) as req:
        req.send(message, timeout=SECONDS)
        received = rep.recv_msg(timeout=SECONDS)
        assert bytes(received) == BODY
        assert received.header[4:] == header


@_causes
def test_a_failed_send_raises_with_the_very_same_message(error: type[NNGError], send: Send, address: Address) -> None:
    """The error's message is the one that was passed, whole, and it is sent on another socket and received there."""
    message = Message(BODY)
    message.header = HEADER
    with pytest.raises(error) as caught:
        send(message)
    assert type(caught.value) is error
    assert caught.value.message is message
    assert bytes(message) == BODY
    assert message.header == HEADER
    arrives(message, HEADER, address("tcp"))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: array("I", data)], ids=["1", "2", "3", "4"])
@_causes
def test_a_failed_send_of_bytes_raises_with_them_in_a_message(
    error: type[NNGError], send: Send, kind: Callable[[bytes], Any], address: Address
) -> None:
    """The error's message has the bytes, and no header."""
    with pytest.raises(error) as caught:
        send(kind(BODY))
    message = caught.value.message
    assert message is not None
    assert bytes(message) == BODY
    assert message.header == b""
    arrives(message, HEADER, address("inproc"))


def test_the_header_of_a_raw_message_must_be_the_protocols(address: Address) -> None:
    """A raw PAIR1 refuses a message without its four bytes of header with ProtocolError, and hands it back as it was."""
    with nngio.Pair1(raw=True, listen=address("inproc")) as left, nngio.Pair1(raw=True, dial=left.listeners[0].url) as right:
        for header in (b"", b"two", bytes(8), b"\0\0\1\0"):
            message = Message(BODY)
            message.header = header
            with pytest.raises(nngio.ProtocolError) as caught:
                left.send(message)
            assert caught.value.message is message
            assert message.header == header
        message.header = b"\0\0\0\1"
        left.send(message)
        received = right.recv_msg(timeout=SECONDS)
        assert bytes(received) == BODY
        assert received.header == b"\0\0\0\2"


@pytest.mark.parametrize("size", [0, 1, 32, 100, 1000, 1024, 4096, 65536, 1 << 20])
@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 48, 63, 64])
def test_a_raw_header_of_any_length_leaves_the_body_as_it_is(length: int, size: int, address: Address) -> None:
    """A raw PUSH sends header and body as one, also within the process, where NNG moves the header in front of the body."""
    body, header = os.urandom(size), bytes(range(length))
    with nngio.Pull0(listen=address("inproc")) as pull, nngio.Push0(raw=True, dial=pull.listeners[0].url) as push:
        for message in (Message(body), Message(size=size), Message(body).copy()):
            with message.body as view:
                view[:] = body
            message.header = header
            push.send(message)
            received = pull.recv_msg(timeout=SECONDS)
            assert bytes(received) == header + body
            received.header = header
            push.send(received)
            assert pull.recv(timeout=SECONDS) == header + header + body


def test_a_header_from_elsewhere_stays_behind(address: Address) -> None:
    """What a message was received with is not sent in front of its body by a protocol that has no header."""
    with ExitStack() as stack:
        left = stack.enter_context(nngio.Pair1(listen=address("inproc")))
        right = stack.enter_context(nngio.Pair1(dial=left.listeners[0].url))
        pull = stack.enter_context(nngio.Pull0(listen=address("inproc")))
        push = stack.enter_context(nngio.Push0(dial=pull.listeners[0].url))
        left.send(BODY)
        message = right.recv_msg(timeout=SECONDS)
        assert len(message.header) == 4
        push.send(message)
        assert pull.recv(timeout=SECONDS) == BODY
        left.send(BODY)
        aio = nngio.Aio()
        right.recv_aio(aio)
        aio.wait()
        push.send_aio(aio)
        aio.wait()
        assert aio.result() == 0
        assert pull.recv(timeout=SECONDS) == BODY


def test_an_error_does_not_hold_the_buffer() -> None:
    """While it is handled, the buffer that was passed can be resized, and a message whose view was passed be sent."""
    with nngio.Pair0(send_timeout=0.01, recv_timeout=0.01) as pair, nngio.Pair0() as other:
        buffer, message = bytearray(b"hello"), Message(b"hello")
        for attempt in (pair.send, pair.try_send, pair.recv_into):
            try:
                attempt(buffer)
            except (nngio.TimedOut, nngio.TryAgain):
                buffer += b"more"
            with message.body as view:
                try:
                    attempt(view)
                except (nngio.TimedOut, nngio.TryAgain):
                    view.release()
                    with pytest.raises(nngio.TimedOut):
                        other.send(message, timeout=0)
