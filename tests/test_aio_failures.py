"""A send that fails gives the message back: each code from its real cause, and the very same message sent again elsewhere.

The table `CAUSES` has one function for each way in which an asynchronous send can fail. It starts the send of an aio's
message, and brings the failure about. What holds afterwards is the same for all: the aio's result, the same `Message` object
with its body and its header, and a second send of it that arrives.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import nngio
from nngio import Aio, Message, Sender
from nngio.lowlevel import lib

Address = Callable[[str], str]
Cause = Callable[[Aio, ExitStack], None]
SECONDS = 10.0

BODY = bytes(range(256)) * 5
HEADER = bytes.fromhex("80000001")
"""What a raw REQ's message must have: a request's number."""


# How sends fail.


def _context(stack: ExitStack, socket: Any) -> Any:
    """A context, closed before its socket at the end of the test."""
    return stack.enter_context(stack.enter_context(socket).context())


def _canceled(aio: Aio, stack: ExitStack) -> None:
    stack.enter_context(nngio.Push0()).send_aio(aio)
    aio.cancel()


def _canceled_on_a_context(aio: Aio, stack: ExitStack) -> None:
    _context(stack, nngio.Req0()).send_aio(aio)
    aio.cancel()


def _replaced_by_another_request(aio: Aio, stack: ExitStack) -> None:
    context = _context(stack, nngio.Req0())
    context.send_aio(aio)
    other = Aio()
    other.set_msg(Message(b"another request"))
    context.send_aio(other)
    stack.callback(other.wait)
    stack.callback(other.cancel)


def _canceled_on_a_raw_socket(aio: Aio, stack: ExitStack) -> None:
    stack.enter_context(nngio.Req0(raw=True)).send_aio(aio)
    aio.cancel()


def _socket_was_closed(aio: Aio, _: ExitStack) -> None:
    with nngio.Push0() as push:
        pass
    push.send_aio(aio)


def _socket_is_closed(aio: Aio, _: ExitStack) -> None:
    with nngio.Push0() as push:
        push.send_aio(aio)


def _context_was_closed(aio: Aio, stack: ExitStack) -> None:
    with _context(stack, nngio.Req0()) as context:
        pass
    context.send_aio(aio)


def _context_is_closed(aio: Aio, stack: ExitStack) -> None:
    with _context(stack, nngio.Req0()) as context:
        context.send_aio(aio)


def _contexts_socket_is_closed(aio: Aio, _: ExitStack) -> None:
    with nngio.Req0() as req:
        context = req.context()
        context.send_aio(aio)


def _raw_socket_is_closed(aio: Aio, _: ExitStack) -> None:
    with nngio.Req0(raw=True) as req:
        req.send_aio(aio)


def _too_large(aio: Aio, stack: ExitStack) -> None:
    # NNG refuses no message that is sent for its size: the code is as real as it gets.
    stack.enter_context(nngio.Push0()).send_aio(aio)
    aio.abort(nngio.MessageTooLarge)


def _too_large_for_a_context(aio: Aio, stack: ExitStack) -> None:
    _context(stack, nngio.Req0()).send_aio(aio)
    aio.abort(nngio.MessageTooLarge)


def _socket_can_only_receive(aio: Aio, stack: ExitStack) -> None:
    Sender.send_aio(stack.enter_context(nngio.Pull0()), aio)  # type: ignore[arg-type]


def _raw_socket_can_only_receive(aio: Aio, stack: ExitStack) -> None:
    Sender.send_aio(stack.enter_context(nngio.Sub0(raw=True)), aio)  # type: ignore[arg-type]


def _context_can_only_receive(aio: Aio, stack: ExitStack) -> None:
    Sender.send_aio(_context(stack, nngio.Sub0()), aio)  # type: ignore[arg-type]


def _nothing_to_reply_to(aio: Aio, stack: ExitStack) -> None:
    stack.enter_context(nngio.Rep0()).send_aio(aio)


def _no_request_on_the_context(aio: Aio, stack: ExitStack) -> None:
    _context(stack, nngio.Rep0()).send_aio(aio)


def _no_survey_on_the_context(aio: Aio, stack: ExitStack) -> None:
    _context(stack, nngio.Respondent0()).send_aio(aio)


def _aios_time_is_up(aio: Aio, stack: ExitStack) -> None:
    aio.set_timeout(0.01)
    stack.enter_context(nngio.Push0()).send_aio(aio)


def _no_time_at_all(aio: Aio, stack: ExitStack) -> None:
    aio.set_timeout(0)
    stack.enter_context(nngio.Push0()).send_aio(aio)


def _no_time_at_all_on_a_context(aio: Aio, stack: ExitStack) -> None:
    aio.set_timeout(0)
    _context(stack, nngio.Req0()).send_aio(aio)


def _sockets_time_is_up(aio: Aio, stack: ExitStack) -> None:
    stack.enter_context(nngio.Push0(send_timeout=0.01)).send_aio(aio)


def _contexts_time_is_up(aio: Aio, stack: ExitStack) -> None:
    context = _context(stack, nngio.Req0())
    context.send_timeout = 0.01
    context.send_aio(aio)


def _raw_sockets_time_is_up(aio: Aio, stack: ExitStack) -> None:
    stack.enter_context(nngio.Req0(raw=True, send_timeout=0.01)).send_aio(aio)


def _header_is_not_the_protocols(aio: Aio, stack: ExitStack) -> None:
    stack.enter_context(nngio.Pair1(raw=True)).send_aio(aio)


def _aborted_with_a_code_of_ones_own(aio: Aio, stack: ExitStack) -> None:
    stack.enter_context(nngio.Pair0()).send_aio(aio)
    aio.abort(4711)


CAUSES: list[tuple[int, Cause]] = [
    (lib.NNG_ECANCELED, _canceled),
    (lib.NNG_ECANCELED, _canceled_on_a_context),
    (lib.NNG_ECANCELED, _canceled_on_a_raw_socket),
    (lib.NNG_ECANCELED, _replaced_by_another_request),
    (lib.NNG_ECLOSED, _socket_was_closed),
    (lib.NNG_ECLOSED, _socket_is_closed),
    (lib.NNG_ECLOSED, _context_was_closed),
    (lib.NNG_ECLOSED, _context_is_closed),
    (lib.NNG_ECLOSED, _contexts_socket_is_closed),
    (lib.NNG_ECLOSED, _raw_socket_is_closed),
    (lib.NNG_EMSGSIZE, _too_large),
    (lib.NNG_EMSGSIZE, _too_large_for_a_context),
    (lib.NNG_ENOTSUP, _socket_can_only_receive),
    (lib.NNG_ENOTSUP, _raw_socket_can_only_receive),
    (lib.NNG_ENOTSUP, _context_can_only_receive),
    (lib.NNG_ESTATE, _nothing_to_reply_to),
    (lib.NNG_ESTATE, _no_request_on_the_context),
    (lib.NNG_ESTATE, _no_survey_on_the_context),
    (lib.NNG_ETIMEDOUT, _aios_time_is_up),
    (lib.NNG_ETIMEDOUT, _no_time_at_all),
    (lib.NNG_ETIMEDOUT, _no_time_at_all_on_a_context),
    (lib.NNG_ETIMEDOUT, _sockets_time_is_up),
    (lib.NNG_ETIMEDOUT, _contexts_time_is_up),
    (lib.NNG_ETIMEDOUT, _raw_sockets_time_is_up),
    (lib.NNG_EPROTO, _header_is_not_the_protocols),
    (4711, _aborted_with_a_code_of_ones_own),
]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes what a cause has opened, at the end of the test."""
    with ExitStack() as stack:
        yield stack


def a_message() -> Message:
    """One with a body and a header."""
    message = Message(BODY)
    message.header = HEADER
    return message


def arrives(message: Message, url: str, aio: Aio | None = None) -> None:
    """Send the message from one raw socket to another, with the aio or without, and find its body and header there."""
    with nngio.Rep0(raw=True, listen=url) as rep, nngio.Req0(raw=True, dial=rep.listeners[0].url) as req:
        if aio is None:
            req.send(message, timeout=SECONDS)
        else:
            aio.set_timeout(SECONDS)
            req.send_aio(aio)
            aio.wait()
            assert aio.result() == 0
            assert aio.get_msg() is None
        received = rep.recv_msg(timeout=SECONDS)
        assert bytes(received) == BODY
        assert received.pipe is not None
        assert received.header == received.pipe.id.to_bytes(4, "big") + HEADER


@pytest.mark.parametrize("callback", [False, True], ids=["no callback", "callback"])
@pytest.mark.parametrize(("code", "cause"), CAUSES, ids=lambda value: value.__name__.lstrip("_") if callable(value) else "")
def test_a_failed_send_gives_back_the_message_to_be_sent_elsewhere(
    code: int, cause: Cause, callback: bool, stack: ExitStack, address: Address
) -> None:
    """Whatever the cause, the same object is on the aio, whole, and the same aio sends it on another socket."""
    results: list[tuple[int, Message | None]] = []
    aio = Aio((lambda aio: results.append((aio.result(), aio.get_msg()))) if callback else None)
    message = a_message()
    aio.set_msg(message)
    cause(aio, stack)
    aio.wait()
    assert aio.result() == code
    assert aio.get_msg() is message
    assert results == [(code, message)] * callback
    assert bytes(message) == BODY
    assert message.header == HEADER
    with pytest.raises(type(nngio.NNGError.from_code(code))) as caught:
        aio.check()
    assert caught.value.code == code
    assert caught.value.message is message
    arrives(message, address("tcp"), aio)


@pytest.mark.parametrize(("code", "cause"), CAUSES, ids=lambda value: value.__name__.lstrip("_") if callable(value) else "")
def test_a_message_given_back_outlives_its_aio(code: int, cause: Cause, stack: ExitStack, address: Address) -> None:
    """The message is the sender's, not the aio's: it is sent by other means when the aio is gone."""
    aio, message = Aio(), a_message()
    aio.set_msg(message)
    cause(aio, stack)
    aio.wait()
    assert aio.result() == code
    del aio
    with message.body as view:
        assert view == BODY
    arrives(message, address("inproc"))


def test_a_send_is_tried_again_on_the_same_socket(address: Address) -> None:
    """One that timed out is submitted once more and arrives, once."""
    with nngio.Push0() as push, nngio.Pull0(listen=address("ipc")) as pull:
        aio, message = Aio(), Message(BODY)
        aio.set_msg(message)
        aio.set_timeout(0.01)
        for _ in range(3):
            push.send_aio(aio)
            aio.wait()
            assert aio.result() == lib.NNG_ETIMEDOUT
            assert aio.get_msg() is message
        push.dial(pull.listeners[0].url)
        aio.set_timeout(SECONDS)
        push.send_aio(aio)
        aio.wait()
        assert aio.result() == 0
        assert pull.recv(timeout=SECONDS) == BODY
        with pytest.raises(nngio.TryAgain):
            pull.try_recv()


def test_a_callback_retries_until_the_message_is_accepted(address: Address) -> None:
    """The callback of a failed send submits its message on the next socket, down to one that has a peer."""
    with ExitStack() as stack:
        pull = stack.enter_context(nngio.Pull0(listen=address("tcp")))
        lonely = [stack.enter_context(nngio.Push0(send_timeout=0.01)) for _ in range(3)]
        connected = stack.enter_context(nngio.Push0(dial=pull.listeners[0].url))
        closed = nngio.Push0()
        closed.close()
        ways = iter([*lonely, closed, connected])
        codes: list[int] = []
        done = threading.Event()
        message = a_message()

        def callback(aio: Aio) -> None:
            codes.append(aio.result())
            if aio.result() == 0:
                done.set()
                return
            assert aio.get_msg() is message
            assert message.header == HEADER
            next(ways).send_aio(aio)

        aio = Aio(callback)
        aio.set_msg(message)
        next(ways).send_aio(aio)
        assert done.wait(SECONDS)
        aio.wait()
        assert codes == [lib.NNG_ETIMEDOUT] * 3 + [lib.NNG_ECLOSED, 0]
        assert pull.recv(timeout=SECONDS) == BODY


@pytest.mark.parametrize("size", [0, 1, 4096, 1024 * 1024])
def test_a_request_given_back_has_its_own_header_again(size: int, stack: ExitStack) -> None:
    """The protocol writes its number into the header of a request; a failed send restores what was there, or nothing."""
    context = _context(stack, nngio.Req0())
    for header in (b"", b"mine", bytes(range(64))):
        message = Message(size=size)
        message.header = header
        aio = Aio()
        aio.set_msg(message)
        context.send_aio(aio)
        aio.cancel()
        aio.wait()
        assert aio.get_msg() is message
        assert message.header == header
        assert bytes(message) == bytes(size)
        with pytest.raises(nngio.TimedOut) as caught:
            context.send(message, timeout=0)
        assert caught.value.message is message
        assert message.header == header


def test_a_closed_pub_gives_back_the_message() -> None:
    """A PUB's send can't be canceled, but on a closed socket it fails like any other."""
    with nngio.Pub0() as pub:
        aio, message = Aio(), a_message()
        for _ in range(100):
            aio.set_msg(Message(b"hello"))
            pub.send_aio(aio)
            aio.cancel()
            aio.wait()
            assert aio.result() == 0
            assert aio.get_msg() is None
    aio.set_msg(message)
    pub.send_aio(aio)
    aio.wait()
    assert aio.result() == lib.NNG_ECLOSED
    assert aio.get_msg() is message
    assert message.header == HEADER
