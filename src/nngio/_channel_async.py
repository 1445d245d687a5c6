"""The awaitable verbs. Each is the synchronous one of the same name without the `a`, on whichever event loop runs.

All follow one pattern, for the sake of what can interrupt them: begin the operation in one call into C; await it, if that
left it pending; read the result; hand the operation back. Any exception on the way ends in `abandon`, which leaves nothing
undecided. Once the operation's `kind` is 0, a message is the caller's and not the operation's any more; between that store
and the return nothing can be raised. See `_core/adapter.py`.
"""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from nngio._core import library
from nngio._core.duration import DEFAULT, DEFAULT_MS, Timeout, milliseconds
from nngio._core.errors import Closed, ForkedError, NNGError
from nngio._core.library import NULL, ffi, lib
from nngio._core.loops import current
from nngio._core.operation import KEEP_BYTES_EACH, LOOK, PENDING
from nngio._message import Message, as_bytes_like

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import Buffer

__all__ = ["AsyncChannel", "AsyncReceiver", "AsyncSender", "send_error"]


def send_error(code: int, c: Any, data: "Buffer | Message") -> NNGError:
    """The error for a send that failed, with the message that was not sent."""
    message = data if isinstance(data, Message) else None
    if message is None and c.body != NULL:
        message = Message._empty()
        lib.nngio_op_take(c, message._box)
    return NNGError.from_code(code, message=message)


class AsyncChannel:
    """What ends a socket or context without holding up the loop."""

    _handle: Any

    def close(self) -> None:
        """What `aclose` is the awaitable form of."""
        raise NotImplementedError  # sockets and contexts each have their own

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
        operation = adapter.take()
        try:
            if lib.nngio_begin_close(operation.c, self._handle) == PENDING:
                self._closing()
                await adapter.finish(operation)
        finally:
            adapter.abandon(operation)

    async def __aenter__(self) -> "Self":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


class AsyncSender:
    """The awaitable verbs of a protocol that sends."""

    _handle: Any

    async def asend(self, data: "Buffer | Message", *, timeout: Timeout = DEFAULT) -> None:
        """Send one message, and return when NNG has accepted it. The awaitable `send`, on asyncio and trio.

        Cancellation: a message that NNG had not accepted is yours again, and one that it had is on its way; a `Message`
        tells which, because it is empty when it was sent. A send that ends at once doesn't wait for other tasks, but lets
        them run every so often.
        """
        ms = DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout)
        adapter = current()
        if adapter.over_budget() or adapter.looks_first:
            await adapter.pause()
        operation = adapter.take()
        c = operation.c
        try:
            if type(data) is bytes:
                code = lib.nngio_begin_send(c, self._handle, data, len(data), ms)
            elif isinstance(data, Message):
                code = lib.nngio_begin_send_box(c, self._handle, data._to_send(), ms)
            else:
                code = lib.nngio_begin_send(c, self._handle, *as_bytes_like(data), ms)  # no variable: a traceback would pin data
            if code == PENDING:
                await operation
                code = c.result
            error = send_error(code, c, data) if code else None
            adapter.give(operation)
        except BaseException:
            adapter.abandon(operation)
            raise
        c.kind = 0
        if error is not None:
            raise error


class AsyncReceiver:
    """The awaitable verbs of a protocol that receives."""

    _handle: Any

    async def arecv(self, *, timeout: Timeout = DEFAULT) -> bytes:
        """Receive one message and return its body. The awaitable `recv`, on asyncio and trio.

        Cancellation: a message that has arrived by then is kept, and the next receive on this socket or context gets it,
        whoever calls it and from wherever. A receive that ends at once doesn't wait for other tasks, but lets them run every
        so often.
        """
        ms = DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout)
        adapter = current()
        if adapter.over_budget() or adapter.looks_first:
            await adapter.pause()
        operation = adapter.take()
        c = operation.c
        box = NULL
        try:
            code = lib.nngio_begin_recv(c, self._handle, ms)
            if code == LOOK:
                adapter.look(self._handle)
                code = lib.nngio_begin_recv(c, self._handle, ms)
            if code == PENDING:
                operation.handle, operation.ms = self._handle, ms
                await operation
                code = c.result
            data: bytes = b"" if code else ffi.unpack(c.body, c.len)
            if len(data) > KEEP_BYTES_EACH:
                box = Message._empty()._box  # freed on return, with what is in it
                lib.nngio_op_take(c, box)
            adapter.give(operation)
        except BaseException:
            adapter.abandon(operation, box)
            raise
        c.kind = 0
        if code:
            raise NNGError.from_code(code)
        return data

    async def arecv_msg(self, *, timeout: Timeout = DEFAULT) -> Message:
        """Receive one message as a `Message`, without a copy of its body. Otherwise as `arecv`."""
        ms = DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout)
        adapter = current()
        if adapter.over_budget() or adapter.looks_first:
            await adapter.pause()
        message = Message._empty()
        operation = adapter.take()
        c = operation.c
        try:
            code = lib.nngio_begin_recv(c, self._handle, ms)
            if code == LOOK:
                adapter.look(self._handle)
                code = lib.nngio_begin_recv(c, self._handle, ms)
            if code == PENDING:
                operation.handle, operation.ms = self._handle, ms
                await operation
                code = c.result
            lib.nngio_op_take(c, message._box)
            adapter.give(operation)
        except BaseException:
            adapter.abandon(operation, message._box)
            raise
        c.kind = 0
        if code:
            raise NNGError.from_code(code)
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The messages as they arrive, until the socket or context is closed."""
        while True:
            try:
                data = await self.arecv()
            except ForkedError:
                raise
            except Closed:
                return
            yield data
