"""What sockets and contexts have in common: a handle in C, and the verbs that send and receive.

The functions here are the fast path, and the place where a signal can do harm: see `_core/operation.py` for the rules that
each of them follows.
"""

from collections.abc import Iterator

from nngio._aio import Aio
from nngio._channel_async import AsyncChannel, AsyncReceiver, AsyncSender
from nngio._core.adapter import reclaim
from nngio._core.duration import DEFAULT, DEFAULT_MS, Timeout, milliseconds
from nngio._core.errors import Closed, ForkedError, NNGError, TimedOut, TryAgain
from nngio._core.library import AGAIN, NULL, ffi, lib, python
from nngio._core.operation import LOOK, operation_in, take_slot
from nngio._core.typing import TYPE_CHECKING, Any
from nngio._message import Message, as_bytes_like

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from nngio._core.library import Slot

__all__ = ["Channel", "Receiver", "Sender", "slot_to_send"]

new_slot, send, send_box, recv = python.new_slot, python.send, python.send_box, python.recv
wait, body, leave = python.wait, python.body, python.leave


class Channel(AsyncChannel):
    """A socket or a context: something with a handle that can be closed."""

    _handle: Any
    _owner: Any


def slot_to_send(data: "Buffer | Message") -> "Slot":
    """A slot for a call that is to send `data`; the error, when there is no memory for one, carries the message."""
    try:
        return take_slot()
    except NNGError as error:
        error.message = data if isinstance(data, Message) else None
        raise


def _check_aio(aio: object) -> None:
    if not isinstance(aio, Aio):
        raise TypeError(f"aio is an Aio, not {type(aio).__name__}")


class Sender(AsyncSender, Channel):
    """The verbs of a protocol that sends."""

    def send(self, data: "Buffer | Message", *, timeout: Timeout = DEFAULT) -> None:
        """Send one message, and return when NNG has accepted it: queued or on its way, not yet delivered.

        `data` is bytes, anything else with a buffer (its bytes are copied), or a `Message`, which is NNG's from then on.
        `timeout` is in seconds: None waits for ever, 0 is now or never; the default is the option `send_timeout`.

        Raises `TimedOut`, `Closed`, `BadState` where the protocol can't send now (a REP with nothing to reply to),
        `NoMemory`. The error's `message` is the message, not sent and yours again. Ctrl-C interrupts the call; a message
        that NNG had not accepted by then is yours again too.

        Thread-safe. NNG: `nng_sendmsg`, `nng_ctx_sendmsg`.
        """
        ms = DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout)
        slot = new_slot() or slot_to_send(data)
        try:
            if type(data) is bytes:
                code = send(slot, self._owner, data, ms)
            elif isinstance(data, Message):
                data._to_send()
                code = send_box(slot, self._owner, data._owner, ms)
            else:  # no variable: a traceback would pin data
                code = lib.nngio_send(operation_in(slot), self._handle, *as_bytes_like(data), ms)
            while code == AGAIN:
                code = wait(slot)
        except BaseException:
            lib.nngio_abandon(operation_in(slot), NULL)
            raise
        if code:
            raise self._send_error(code, operation_in(slot), data)
        slot.over = True

    def try_send(self, data: "Buffer | Message") -> None:
        """Send one message if that can be done at once; else raise `TryAgain`, which carries it. Otherwise as `send`.

        A REP or RESPONDENT whose peer is not ready is given a millisecond, and can't try a second time: the protocol allows
        one attempt at a reply.
        """
        try:
            self.send(data, timeout=0)
        except TimedOut as error:
            raise TryAgain(message=error.message) from None

    def send_aio(self, aio: "Aio") -> None:
        """Start sending the aio's message, and return at once; the aio tells the outcome.

        Takes over the message that `aio.set_msg` put there. When the aio is done and its result is not 0, `aio.get_msg()`
        has the message again. Raises `BadState` when the aio is busy, `InvalidArgument` when it has no message; all other
        errors are the aio's result. Thread-safe. NNG: `nng_send_aio`, `nng_ctx_send`.
        """
        _check_aio(aio)
        aio._send(self._handle)


class Receiver(AsyncReceiver, Channel):
    """The verbs of a protocol that receives."""

    def _go_on(self, slot: "Slot", code: int, ms: int) -> int:
        """Go on with a receive that C has interrupted, for Python to do its part; return the outcome."""
        if code == LOOK:
            reclaim(self._handle)
            code = recv(slot, self._owner, ms)
        while code == AGAIN:
            if lib.nngio_handle_on_loops(self._handle):
                reclaim(self._handle)
            code = wait(slot)
        return code

    def recv(self, *, timeout: Timeout = DEFAULT) -> bytes:
        """Receive one message and return its body.

        `timeout` is in seconds: None waits for ever, 0 is now or never; the default is the option `recv_timeout`.

        Raises `TimedOut`, `Closed`, `BadState` where the protocol can't receive now (a REQ that asked nothing). Ctrl-C
        interrupts the call; a message that arrives in that moment is kept for the next receive.

        Thread-safe. NNG: `nng_recvmsg`, `nng_ctx_recvmsg`.
        """
        ms = DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout)
        slot = new_slot() or take_slot()
        try:
            code = recv(slot, self._owner, ms)
            if code < 0:
                code = self._go_on(slot, code, ms)
            data = b"" if code else body(slot)
        except BaseException:
            leave(slot)
            raise
        slot.over = True
        if code:
            raise self._recv_error(code)
        return data

    def recv_msg(self, *, timeout: Timeout = DEFAULT) -> Message:
        """Receive one message as a `Message`, without a copy of its body. Otherwise as `recv`."""
        ms = DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout)
        message = Message._empty()
        slot = new_slot() or take_slot()
        try:
            code = recv(slot, self._owner, ms)
            if code < 0:
                code = self._go_on(slot, code, ms)
            lib.nngio_op_take(operation_in(slot), message._box)
        except BaseException:
            lib.nngio_leave(operation_in(slot), message._box)
            raise
        slot.over = True
        if code:
            raise self._recv_error(code)
        return message

    def recv_into(self, buffer: "Buffer", *, timeout: Timeout = DEFAULT) -> int:
        """Receive one message into `buffer`, a writable buffer of bytes, and return the number of bytes.

        Raises `ValueError` when the message is longer than the buffer: it is kept, and the next receive gets it. Otherwise
        as
        `recv`.
        """
        view = memoryview(buffer)
        if view.readonly or not view.c_contiguous:
            raise TypeError("recv_into needs a writable, contiguous buffer, such as a bytearray")
        view = view.cast("B")
        ms = DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout)
        slot = new_slot() or take_slot()
        op = operation_in(slot)
        try:
            code = recv(slot, self._owner, ms)
            if code < 0:
                code = self._go_on(slot, code, ms)
            length: int = op.len
            if not code:
                if length > len(view):
                    raise ValueError(f"the message has {length} bytes, the buffer only {len(view)}; the message is kept")
                ffi.memmove(ffi.from_buffer(view), op.body, length)
        except BaseException:
            lib.nngio_leave(op, NULL)
            view.release()  # or the traceback would pin the buffer
            raise
        slot.over = True
        if code:
            view.release()
            raise self._recv_error(code)
        return length

    def try_recv(self) -> bytes:
        """Return a message that has arrived; else raise `TryAgain`. Otherwise as `recv`."""
        try:
            return self.recv(timeout=0)
        except TimedOut:
            raise TryAgain() from None

    def recv_aio(self, aio: "Aio") -> None:
        """Start receiving a message, and return at once; the aio tells the outcome.

        When the aio is done and its result is 0, `aio.get_msg()` has the message. Raises `BadState` when the aio is busy;
        all other errors are the aio's result. Thread-safe. NNG: `nng_recv_aio`, `nng_ctx_recv`.
        """
        _check_aio(aio)
        aio._recv(self._handle)

    def __iter__(self) -> Iterator[bytes]:
        """The messages as they arrive, until the socket or context is closed."""
        while True:
            try:
                data = self.recv()
            except ForkedError:
                raise
            except Closed:
                return
            yield data
