"""Pipe events: peers that come and go, as an iterator and as calls of a handler.

Each reader has a watch in C, where NNG's threads leave the events (shim/pipes.c). An event that was taken from there goes back, if
the call that took it is interrupted before it returns: the last thing that can be interrupted comes before what is only a store.

A handler is called on the callback thread. Between calls an operation of the handler's waits for the next event; it finishes on the
queue of that thread, as an `Aio` with a callback does. What waits there refers to its handler weakly: the handler belongs to the
socket, so that both, and what the handler refers to, can be collected. From the moment in which the socket is closed it is the
other way round, so that the last events are delivered whoever has the socket.
"""

import weakref
from collections.abc import AsyncIterator, Callable, Iterator

from nngio._core import callbacks, library
from nngio._core.duration import call_milliseconds, milliseconds
from nngio._core.errors import Closed, ForkedError, NNGError, check
from nngio._core.library import NULL, ffi, lib, python
from nngio._core.loops import take
from nngio._core.operation import PENDING, complete
from nngio._core.owner import own_operation, own_watch
from nngio._core.typing import TYPE_CHECKING, Any
from nngio._pipe import Pipe, PipeInfo, info_of

if TYPE_CHECKING:
    from typing import Self

    from nngio._dialer import Dialer
    from nngio._listener import Listener
    from nngio._peers import HasPeers
    from nngio._pipe import Endpoints

__all__ = ["PipeEvent", "PipeEvents", "PipeHandler", "close_handlers"]

LIMIT = 10_000
BATCH = 64
COROUTINE = 0x80
"""The flag of an `async def` in its code."""


class PipeEvent:
    """A peer was connected, or is not connected any more. Can be pickled, and keeps nothing open."""

    __slots__ = ("_endpoints", "connected", "info")
    __match_args__ = ("connected", "info")

    connected: bool
    """Which of the two."""
    info: PipeInfo
    """What the pipe was: values, which outlive it."""

    def __init__(self, connected: bool, info: PipeInfo, endpoints: "Endpoints | None" = None) -> None:
        self.connected = connected
        self.info = info
        self._endpoints: Endpoints = {} if endpoints is None else endpoints

    @property
    def pipe(self) -> Pipe:
        """The pipe itself, to be closed, for example; it may have gone by now."""
        return Pipe._from_id(self.info.id)

    @property
    def dialer(self) -> "Dialer | None":
        """The dialer that made the pipe; None if a listener did, or if nobody has the dialer any more."""
        dialer: Dialer | None = self._endpoints.get(("dialer", self.info.dialer_id or 0))
        return dialer

    @property
    def listener(self) -> "Listener | None":
        """The listener that made the pipe; None if a dialer did, or if nobody has the listener any more."""
        listener: Listener | None = self._endpoints.get(("listener", self.info.listener_id or 0))
        return listener

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PipeEvent) and (self.connected, self.info) == (other.connected, other.info)

    def __hash__(self) -> int:
        return hash((self.connected, self.info))

    def __reduce__(self) -> Any:
        return (PipeEvent, (self.connected, self.info))

    def __repr__(self) -> str:
        return f"<nngio.PipeEvent: {'' if self.connected else 'dis'}connected, {self.info}>"


class PipeEvents:
    """The peers of a socket that come and go, for `for` and `async for`; made by `Socket.pipe_events`.

    First come those that were connected when it was made, then what has happened since, each exactly once and in order: for each
    pipe that it is connected, and later that it isn't any more. When the socket is closed it ends, after the disconnections that
    this brings. Each one gets all events.

    Events that are not read are kept. When there are more than `limit`, a pipe that has come and gone without being read of
    is skipped, both its events; `skipped` says how many were. `close` it, or drop it, to stop recording.

    Thread-safe: several threads or tasks that read one share its events. NNG: `nng_pipe_notify`.
    """

    __slots__ = ("_endpoints", "_owner", "_socket", "_watch")

    def __init__(self, socket: "HasPeers", limit: int, *, keep: bool = True) -> None:
        self._watch = own_watch(self, socket._handle, limit)
        self._endpoints = socket._endpoints
        self._socket = socket if keep else None

    @property
    def skipped(self) -> int:
        """How many pipes it has left out, because too many events were not read."""
        number: int = lib.nngio_watch_skipped(self._watch)
        return number

    def get(self, *, timeout: float | None = None) -> PipeEvent:
        """The next event; waits for it, at most `timeout` seconds, None for ever.

        Raises `TimedOut`, and `Closed` when there will be none any more. Ctrl-C interrupts the call, and loses no event.
        """
        deadline = _deadline(timeout)
        out = _new_out()
        try:
            while (event := self._take(out)) is None:
                _check(complete(milliseconds(_left(deadline)), lib.nngio_begin_events, self._watch))
        except BaseException:
            lib.nngio_watch_return(self._watch, out)
            raise
        return event

    async def aget(self, *, timeout: float | None = None) -> PipeEvent:
        """The next event. The awaitable `get`, on asyncio and trio; a cancellation loses no event."""
        deadline = _deadline(timeout)
        out = _new_out()
        while True:
            operation = await take()
            code = 0
            try:
                event = self._take(out)
                if event is None:
                    code = lib.nngio_begin_events(operation.c, self._watch)
                    if code == PENDING:
                        await operation.adapter.within(operation, _left(deadline))
                        code = operation.c.result
                    _check(code)
            except BaseException:
                lib.nngio_watch_return(self._watch, out)
                operation.adapter.abandon(operation)
                raise
            operation.over = True
            if event is not None:
                return event

    def _take(self, out: Any) -> PipeEvent | None:
        """The oldest event, if there is one; `out` has it in C until it is collected."""
        lib.nngio_watch_take(self._watch, out)
        event = out[0]
        return None if event == NULL else PipeEvent(event.connected, info_of(event.peer, self._endpoints), self._endpoints)

    def _ended(self) -> bool:
        return bool(lib.nngio_watch_ended(self._watch))

    def close(self) -> None:
        """Stop recording, and drop what was not read; whoever waits in `get` gets `Closed`. Closing it again does nothing."""
        lib.nngio_watch_close(self._watch)

    def __iter__(self) -> Iterator[PipeEvent]:
        return self

    def __next__(self) -> PipeEvent:
        try:
            return self.get()
        except ForkedError:
            raise
        except Closed:
            raise StopIteration from None

    def __aiter__(self) -> AsyncIterator[PipeEvent]:
        return self

    async def __anext__(self) -> PipeEvent:
        try:
            return await self.aget()
        except ForkedError:
            raise
        except Closed:
            raise StopAsyncIteration from None

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError("PipeEvents can't be copied or pickled: they are a socket's, of this process")


def _new_out() -> Any:
    """Where C puts an event; it is freed with this."""
    return ffi.gc(ffi.new("nngio_event **"), lib.nngio_event_free)


def _deadline(timeout: float | None) -> float | None:
    return None if call_milliseconds(timeout) < 0 or timeout is None else python.clock() + timeout


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - python.clock())


def _check(code: int) -> None:
    if code == lib.NNG_ECLOSED:
        raise Closed("no more events: the socket is closed, or its events are")
    if code:
        raise NNGError.from_code(code)


class PipeHandler:
    """A function that is called for each peer that comes or goes; made by `Socket.on_pipe`. `close` it to have no more calls.

    The socket keeps it, so it may be dropped. Thread-safe.
    """

    __slots__ = ("__weakref__", "_bell", "_closed", "_events", "_handlers", "callback")

    callback: Callable[[PipeEvent], object]
    """The function."""

    def __init__(self, socket: "HasPeers", callback: Callable[[PipeEvent], object]) -> None:
        if not callable(callback):
            raise TypeError(f"on_pipe takes a function of a PipeEvent, not {type(callback).__name__}")
        if getattr(getattr(callback, "__code__", None), "co_flags", 0) & COROUTINE:
            raise TypeError("on_pipe calls a function on a thread, where nothing can be awaited; use `async for event in pipe_events()`")
        self.callback = callback
        self._closed = False
        self._handlers = socket._handlers
        self._events = PipeEvents(socket, LIMIT, keep=False)
        self._bell = _Bell(self)
        self._handlers.add(self)
        try:
            self._bell.wait_for(self._events._watch)
        except BaseException:
            self.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether there will be no more calls: it was closed, or the socket was and has nothing more to tell."""
        return self._closed

    def close(self) -> None:
        """No call begins any more; one that runs goes on, and isn't waited for. Closing it again does nothing.

        It may be called by the handler itself. In a forked child it does nothing.
        """
        self._end()
        self._events.close()

    def _end(self) -> None:
        self._closed = True
        self._handlers.discard(self)

    def _socket_closes(self) -> None:
        """The last events will be delivered, though nobody may have the socket."""
        self._bell.handler = lambda: self

    def _deliver(self) -> bool:
        """Make some calls. Called on the callback thread; False when there is nothing to wait for any more."""
        for _ in range(BATCH):
            ended = self._events._ended()
            event = None if self._closed else self._events._take(_new_out())
            if event is None:
                if ended:
                    self._end()
                break
            callbacks.call(self.callback, event)
        return not self._closed and self._bell.wait_for(self._events._watch)

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError("a PipeHandler can't be copied or pickled: it is a socket's, of this process")

    def __repr__(self) -> str:
        return f"<nngio.PipeHandler {self.callback!r}{', closed' if self._closed else ''}>"


class _Bell:
    """What waits for a handler's events, on the queue of the callback thread."""

    __slots__ = ("_op", "_owner", "_tag", "handler")

    handler: Callable[[], PipeHandler | None]

    def __init__(self, handler: PipeHandler) -> None:
        self.handler = weakref.ref(handler)
        self._tag = next(callbacks.tags)
        self._op = own_operation(self, -1)
        callbacks.attach(self._op, self._tag)

    def wait_for(self, watch: Any) -> bool:
        callbacks.pending[self._tag] = self
        try:
            check(lib.nngio_ring_events(self._op, watch))
        except BaseException:
            if not lib.nngio_op_busy(self._op):
                del callbacks.pending[self._tag]
            raise
        return True

    def _finish(self) -> None:
        lib.nngio_op_settle(self._op)
        handler = self.handler()
        if handler is None or not handler._deliver():
            del callbacks.pending[self._tag]


def close_handlers(handlers: "set[PipeHandler]") -> None:
    """The socket is about to be closed."""
    if not library.forked:
        for handler in list(handlers):
            handler._socket_closes()
