"""A socket's peers: who is connected, who may be, and who comes and goes."""

import weakref
from collections.abc import Callable

from nngio._admission import Admission
from nngio._core import library
from nngio._core.duration import call_milliseconds
from nngio._core.errors import Closed, ForkedError, InvalidArgument, NNGError, TimedOut, check
from nngio._core.library import NULL, ffi, lib
from nngio._core.loops import take
from nngio._core.operation import PENDING, complete
from nngio._core.typing import Any
from nngio._events import LIMIT, PipeEvent, PipeEvents, PipeHandler
from nngio._pipe import Pipe

__all__ = ["HasPeers"]

MOST = 2**31 - 1


class HasPeers:
    """What sockets have for the peers that they are connected with."""

    _handle: Any
    _endpoints: "weakref.WeakValueDictionary[tuple[str, int], Any]"  # dialers and listeners, by kind and number
    _handlers: set[PipeHandler]
    _admission: Admission | None = None

    def _check_open(self) -> None:
        raise NotImplementedError  # the socket's

    @property
    def pipes(self) -> tuple[Pipe, ...]:
        """The pipes that are connected now, in the order in which they came; none when the socket is closed.

        Each property of one tells what it is now, and raises `NoEntry` once it has gone. Thread-safe.
        """
        if library.forked:
            raise ForkedError()
        room, number = 0, lib.nngio_pipes(self._handle, NULL, 0)
        ids: Any = []
        while number > room:
            room = number + 8
            ids = ffi.new("uint32_t[]", room)
            number = lib.nngio_pipes(self._handle, ids, room)
        return tuple(Pipe._from_id(ids[i]) for i in range(number))

    def on_pipe(self, callback: Callable[[PipeEvent], object]) -> PipeHandler:
        """Have a function called with a `PipeEvent` for each peer that is connected now, and each that comes or goes from now on.

        The calls are made on a thread of the library's own, one after the other, with those of `Aio`; each event is told once,
        in order. The function may do anything with the socket, closing it included. What it raises goes to
        `sys.unraisablehook`. It is called until `close` of what this returns, or of the socket, after the disconnections that
        the latter brings.

        Raises `Closed`. Thread-safe. NNG: `nng_pipe_notify`.
        """
        self._check_open()
        return PipeHandler(self, callback)

    def pipe_events(self, *, limit: int = LIMIT) -> PipeEvents:
        """The peers that are connected now, and what comes and goes from now on, for `for` and `async for`.

        Recording begins with this call. `limit` is how many unread events are kept before a pipe that has come and gone unread
        is left out.

        Raises `Closed`. Thread-safe. NNG: `nng_pipe_notify`.
        """
        self._check_open()
        _check_number(limit, "limit", "events", 1)
        return PipeEvents(self, limit)

    def wait_for_peers(self, n: int = 1, *, timeout: float | None = None) -> None:
        """Return when at least `n` peers are connected at the same time.

        Peers can be sent to then: a PUB doesn't drop what it publishes next. `timeout` is in seconds: None waits for ever.
        Raises `TimedOut`, and `Closed` when the socket is closed. Ctrl-C interrupts the call. Thread-safe.
        """
        _check_number(n, "n", "peers", 0)
        ms = call_milliseconds(timeout)
        self._check_open()
        self._peers_outcome(complete(ms, lib.nngio_begin_peers, self._handle, n), n)

    async def await_for_peers(self, n: int = 1, *, timeout: float | None = None) -> None:
        """Return when at least `n` peers are connected. The awaitable `wait_for_peers`, on asyncio and trio; can be cancelled."""
        _check_number(n, "n", "peers", 0)
        call_milliseconds(timeout)  # refuses what is no timeout
        self._check_open()
        operation = await take()
        try:
            code = lib.nngio_begin_peers(operation.c, self._handle, n)
            if code == PENDING:
                await operation.adapter.within(operation, timeout)
                code = operation.c.result
        except BaseException:
            operation.adapter.abandon(operation)
            raise
        operation.over = True
        self._peers_outcome(code, n)

    def _peers_outcome(self, code: int, n: int) -> None:
        if code == lib.NNG_ECLOSED:
            raise Closed(f"the socket was closed before {n} {'peer was' if n == 1 else 'peers were'} connected")
        if code == lib.NNG_ETIMEDOUT:
            there = len(self.pipes)
            raise TimedOut(f"{there} of {n} peers {'is' if there == 1 else 'are'} connected; whoever speaks another protocol is none")
        if code:
            raise NNGError.from_code(code)

    @property
    def admission(self) -> Admission | None:
        """The rules for who may connect, or None if anybody may.

        Setting it is one step: each peer that connects is judged by the old rules or by the new ones. Peers that are connected
        stay. Thread-safe.
        """
        return self._admission

    @admission.setter
    def admission(self, rules: Admission | None) -> None:
        if rules is not None and not isinstance(rules, Admission):
            raise TypeError(f"admission is an Admission or None, not {type(rules).__name__}")
        self._check_open()
        check(lib.nngio_admission_set(self._handle, NULL if rules is None else rules._rules))
        self._admission = rules


def _check_number(number: object, name: str, what: str, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{name} is a number of {what}, not {type(number).__name__}")
    if not least <= number <= MOST:
        raise InvalidArgument(f"{name} is {least} to {MOST} {what}; got {number}")
