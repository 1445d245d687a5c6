"""The awaitable verbs. Each is the synchronous one of the same name without the `a`, on whichever event loop runs.

All follow one pattern, for the sake of what can interrupt them: begin the operation in one call into C; await it, if that
left it pending; read the result; hand the operation back. Any exception on the way ends in `abandon`, which leaves nothing
undecided. Once the operation is `over`, a message is the caller's and not the operation's any more; between that store
and the return nothing can be raised. See `_core/adapter.py`.

What `asend` and `arecv` return is a coroutine in C (shim/coroutine.c). On asyncio, bytes go through the same steps there; it is `_asend`
and `_arecv` otherwise.
"""

from collections.abc import AsyncIterator

from nngio._core import library
from nngio._core.closing import Closing, UntilClosed
from nngio._core.duration import DEFAULT, DEFAULT_MS, Timeout, milliseconds
from nngio._core.errors import NNGError
from nngio._core.library import NULL, lib, python
from nngio._core.loops import current, take
from nngio._core.operation import LOOK, PENDING
from nngio._core.typing import TYPE_CHECKING, Any, ClassVar
from nngio._message import Message, as_bytes_like

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from typing_extensions import Buffer

    from nngio._core.adapter import AsyncOperation

__all__ = ["AsyncChannel", "AsyncReceiver", "AsyncSender", "send_error"]

sending, receiving = python.sending, python.receiving
take_now, begin_send, begin_send_box, begin_recv = python.take_now, python.begin_send, python.begin_send_box, python.begin_recv
result, body = python.result, python.body


def send_error(code: int, c: Any, data: "Buffer | Message", text: str | None = None) -> NNGError:
    """The error for a send that failed, with the message that was not sent, in these words or NNG's."""
    message = data if isinstance(data, Message) else None
    if message is None and c.body != NULL:
        message = Message._empty()
        lib.nngio_op_take(c, message._box)
    return NNGError.from_code(code, text, message)


_NOT_SENT = {lib.NNG_ECLOSED: "this {} is closed", lib.NNG_ETIMEDOUT: "timed out: this {} could not send"}
_NOT_RECEIVED = {lib.NNG_ECLOSED: "this {} is closed", lib.NNG_ETIMEDOUT: "timed out: this {} received nothing"}
"""What has gone wrong, whichever the protocol."""


class Explains:
    """What knows why its protocol refuses, where NNG only says that it does."""

    _why_not_send: ClassVar[dict[int, str]] = {}
    _why_not_recv: ClassVar[dict[int, str]] = {}
    """Why, by the codes of those errors; `{}` stands for the class."""
    _why_not_raw: ClassVar[dict[int, str]] = {}
    """The same of raw sockets, in place of both."""
    _is_raw = False

    def _send_error(self, code: int, c: Any, data: "Buffer | Message") -> NNGError:
        return send_error(code, c, data, self._words(self._why_not_send, _NOT_SENT, code))

    def _recv_error(self, code: int) -> NNGError:
        return NNGError.from_code(code, self._words(self._why_not_recv, _NOT_RECEIVED, code))

    def _words(self, known: dict[int, str], common: dict[int, str], code: int) -> str | None:
        text = (self._why_not_raw if self._is_raw else known).get(code) or common.get(code)
        return None if text is None else text.format(type(self).__name__)


class AsyncChannel(Explains, Closing):
    """What ends a socket or context without holding up the loop."""

    _handle: Any

    def _error(self, code: int, operation: "AsyncOperation", data: "Buffer | Message | None" = None) -> NNGError:
        return self._recv_error(code) if data is None else self._send_error(code, operation.c, data)

    def _closing(self) -> None:
        """Called when `aclose` has begun."""

    async def aclose(self) -> None:
        """Close it. The awaitable `close`, on asyncio and trio: the loop goes on while pipes are torn down.

        Calls that wait on it end with `Closed`. Closing it again does nothing. Cancellation doesn't stop it: the
        cancellation is raised when it is closed.
        """
        if library.forked:
            return
        adapter = current()
        if adapter.queue is None:  # trio's run is over, but for the asynchronous generators that it still closes
            closes: Any = self
            closes.close()
            return
        operation = adapter.take()
        try:
            if lib.nngio_begin_close(operation.c, self._handle) == PENDING:
                self._closing()
                await adapter.finish(operation)
        finally:
            adapter.abandon(operation)


class AsyncSender(Explains):
    """The awaitable verbs of a protocol that sends."""

    _handle: Any
    _owner: Any

    def asend(self, data: "Buffer | Message", *, timeout: Timeout = DEFAULT) -> "Coroutine[object, object, None]":
        """Send one message, and return when NNG has accepted it. The awaitable `send`, on asyncio and trio.

        Cancellation: a message that NNG had not accepted is yours again, and one that it had is on its way; a `Message`
        tells which, because it is empty when it was sent. A send that ends at once doesn't wait for other tasks, but lets
        them run every so often.
        """
        return sending(self, self._owner, data, DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout))

    async def _asend(self, data: "Buffer | Message", ms: int) -> None:
        operation = take_now() or await take()
        try:
            if type(data) is bytes:
                code = begin_send(operation, self._owner, data, ms)
            elif isinstance(data, Message):
                data._to_send()
                code = begin_send_box(operation, self._owner, data._owner, ms)
            else:  # no variable: a traceback would pin data
                code = lib.nngio_begin_send(operation.c, self._handle, *as_bytes_like(data), ms)
            if code == PENDING:
                await operation
                code = result(operation)
            error = self._send_error(code, operation.c, data) if code else None
        except BaseException:
            operation.adapter.abandon(operation)
            raise
        operation.over = True
        if error is not None:
            raise error


class AsyncReceiver(Explains):
    """The awaitable verbs of a protocol that receives."""

    _handle: Any
    _owner: Any

    def arecv(self, *, timeout: Timeout = DEFAULT) -> "Coroutine[object, object, bytes]":
        """Receive one message and return its body. The awaitable `recv`, on asyncio and trio.

        Cancellation: a message that has arrived by then is kept, and the next receive on this socket or context gets it,
        whoever calls it and from wherever. A receive that ends at once doesn't wait for other tasks, but lets them run every
        so often.
        """
        return receiving(self, self._owner, DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout))

    async def _arecv(self, ms: int) -> bytes:
        operation = await take()
        try:
            code = begin_recv(operation, self._owner, ms)
            if code == LOOK:
                code = self._look(operation, ms)
            if code == PENDING:
                operation.handle, operation.ms = self._handle, ms
                await operation
                code = result(operation)
            data = b"" if code else body(operation)
        except BaseException:
            operation.adapter.abandon(operation)
            raise
        operation.over = True
        if code:
            raise self._recv_error(code)
        return data

    def _look(self, operation: "AsyncOperation", ms: int) -> int:
        """Begin a receive anew that was told to LOOK."""
        operation.adapter.look(self._handle)
        return begin_recv(operation, self._owner, ms)

    async def arecv_msg(self, *, timeout: Timeout = DEFAULT) -> Message:
        """Receive one message as a `Message`, without a copy of its body. Otherwise as `arecv`."""
        ms = DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout)
        operation = take_now() or await take()
        message: Message | None = None
        try:
            message = Message._empty()
            code = begin_recv(operation, self._owner, ms)
            if code == LOOK:
                code = self._look(operation, ms)
            if code == PENDING:
                operation.handle, operation.ms = self._handle, ms
                await operation
                code = result(operation)
            lib.nngio_op_take(operation.c, message._box)
        except BaseException:
            operation.adapter.abandon(operation, NULL if message is None else message._box)
            raise
        operation.over = True
        if code:
            raise self._recv_error(code)
        return message

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The messages as they arrive, until the socket or context is closed."""
        return UntilClosed(self.arecv)
