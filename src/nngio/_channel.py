"""What sockets and contexts have in common: a handle in C, and the verbs that send and receive.

The functions here are the fast path, and the place where a signal can do harm: see `_core/operation.py` for the rules that
each of them follows.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nngio._channel_async import AsyncChannel, AsyncReceiver, AsyncSender, send_error
from nngio._core.adapter import reclaim
from nngio._core.duration import DEFAULT, DEFAULT_MS, Timeout, milliseconds
from nngio._core.errors import Closed, ForkedError, NNGError, TimedOut, TryAgain
from nngio._core.library import AGAIN, NULL, ffi, lib
from nngio._core.operation import KEEP_BYTES, LOOK, Operation, local, new_operation
from nngio._message import Message, as_bytes_like

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from nngio._aio import Aio

__all__ = ["Channel", "Receiver", "Sender"]


class Channel(AsyncChannel):
    """A socket or a context: something with a handle that can be closed."""

    _handle: Any


def _operation_for(data: "Buffer | Message") -> Operation:
    """A new operation that is to send `data`; the error, when there is no memory for one, carries the message."""
    try:
        return new_operation()
    except NNGError as error:
        error.message = data if isinstance(data, Message) else None
        raise


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
        op = local.op
        local.op = None
        if op is None:
            op = _operation_for(data)
        try:
            if type(data) is bytes:
                code = lib.nngio_send(op, self._handle, data, len(data), ms)
            elif isinstance(data, Message):
                code = lib.nngio_send_box(op, self._handle, data._to_send(), ms)
            else:
                code = lib.nngio_send(op, self._handle, *as_bytes_like(data), ms)  # no variable: a traceback would pin data
            while code == AGAIN:
                code = lib.nngio_wait(op)
        except BaseException:
            lib.nngio_abandon(op, NULL)
            raise
        if code:
            raise send_error(code, op, data)
        op.kind = 0
        local.op = op

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
        aio._send(self._handle)


class Receiver(AsyncReceiver, Channel):
    """The verbs of a protocol that receives."""

    def _go_on(self, op: Operation, code: int, ms: int) -> int:
        """Go on with a receive that C has interrupted, for Python to do its part; return the outcome."""
        if code == LOOK:
            reclaim(self._handle)
            code = lib.nngio_recv(op, self._handle, ms)
        while code == AGAIN:
            if lib.nngio_handle_on_loops(self._handle):
                reclaim(self._handle)
            code = lib.nngio_wait(op)
        return code

    def recv(self, *, timeout: Timeout = DEFAULT) -> bytes:
        """Receive one message and return its body.

        `timeout` is in seconds: None waits for ever, 0 is now or never; the default is the option `recv_timeout`.

        Raises `TimedOut`, `Closed`, `BadState` where the protocol can't receive now (a REQ that asked nothing). Ctrl-C
        interrupts the call; a message that arrives in that moment is kept for the next receive.

        Thread-safe. NNG: `nng_recvmsg`, `nng_ctx_recvmsg`.
        """
        ms = DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout)
        op = local.op
        local.op = None
        if op is None:
            op = new_operation()
        try:
            code = lib.nngio_recv(op, self._handle, ms)
            if code < 0:
                code = self._go_on(op, code, ms)
            data: bytes = b"" if code else ffi.unpack(op.body, op.len)
        except BaseException:
            lib.nngio_leave(op, NULL)
            raise
        op.kind = 0
        if code:
            raise NNGError.from_code(code)
        if op.len <= KEEP_BYTES:
            local.op = op
        return data

    def recv_msg(self, *, timeout: Timeout = DEFAULT) -> Message:
        """Receive one message as a `Message`, without a copy of its body. Otherwise as `recv`."""
        ms = DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout)
        message = Message._empty()
        op = local.op
        local.op = None
        if op is None:
            op = new_operation()
        try:
            code = lib.nngio_recv(op, self._handle, ms)
            if code < 0:
                code = self._go_on(op, code, ms)
            lib.nngio_op_take(op, message._box)
        except BaseException:
            lib.nngio_leave(op, message._box)
            raise
        op.kind = 0
        if code:
            raise NNGError.from_code(code)
        local.op = op
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
        op = local.op
        local.op = None
        if op is None:
            op = new_operation()
        try:
            code = lib.nngio_recv(op, self._handle, ms)
            if code < 0:
                code = self._go_on(op, code, ms)
            length: int = op.len
            if not code:
                if length > len(view):
                    raise ValueError(f"the message has {length} bytes, the buffer only {len(view)}; the message is kept")
                ffi.memmove(ffi.from_buffer(view), op.body, length)
        except BaseException:
            lib.nngio_leave(op, NULL)
            view.release()  # or the traceback would pin the buffer
            raise
        op.kind = 0
        if code:
            view.release()
            raise NNGError.from_code(code)
        local.op = op
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
