"""Dialers: connecting to a peer that listens."""

from typing import TYPE_CHECKING

from nngio._core import operation
from nngio._core.duration import milliseconds
from nngio._core.errors import ConnectionRefused, TimedOut
from nngio._core.library import lib
from nngio._core.loops import current
from nngio._endpoint import Endpoint
from nngio._options import DurationOption

if TYPE_CHECKING:
    from typing import Self

    from nngio._socket import Socket

__all__ = ["Dialer"]


class Dialer(Endpoint):
    """Keeps one connection to a peer that listens at a URL, and makes it anew whenever it is lost.

    `Dialer(socket, url)` makes one to be configured and then started; `socket.dial(url)` does both. Thread-safe.
    NNG: `nng_dialer_create`.
    """

    _option_kind = "dialer"
    _noun = "dial"

    reconnect_time_min = DurationOption("reconnect-time-min", "The longest wait before the first new attempt; 1 s.")
    reconnect_time_max = DurationOption(
        "reconnect-time-max", "What that wait may grow to, doubling at each attempt; 0, the default: it does not grow."
    )

    def __init__(self, socket: "Socket", url: str) -> None:
        super().__init__(socket, url)

    def start(self, *, block: bool = True, timeout: float | None = None) -> None:
        """Connect.

        With `block`, return when the first connection stands; raise `ConnectionRefused` and the like when it can't be made,
        and
        `TimedOut` after `timeout` seconds: the dialer is closed then, because it would go on trying. Without `block`, return
        at once and go on trying for as long as the dialer lives. Ctrl-C interrupts the call and closes the dialer.

        NNG: `nng_dialer_start`; the timeout is nngio's own.
        """
        self._begin()
        ms = milliseconds(timeout)
        if block:
            try:
                code = operation.dial(self.socket._handle, self.id, ms)
            except BaseException:
                self.close()
                raise
            self._outcome(code)
        else:
            self._outcome(lib.nng_dialer_start(self._c, lib.NNG_FLAG_NONBLOCK))

    async def astart(self, *, block: bool = True, timeout: float | None = None) -> None:
        """Connect. The awaitable `start`, on asyncio and trio; cancellation and the timeout close the dialer."""
        self._begin()
        milliseconds(timeout)  # refuses what is no timeout
        if not block:
            self._outcome(lib.nng_dialer_start(self._c, lib.NNG_FLAG_NONBLOCK))
            return
        adapter = current()
        op = adapter.take()
        op.c.result = 0
        try:
            code = lib.nngio_begin_dial(op.c, self.socket._handle, self.id)
            if code == operation.PENDING:
                await adapter.within(op, timeout)
                code = op.c.result
            adapter.abandon(op)
        except BaseException as error:
            adapter.abandon(op)
            if op.c.result == lib.NNG_ECANCELED:
                self._ended = True  # C has closed it; else the attempt had ended before the cancellation
            await self._give_up(error)
            if not isinstance(error, TimedOut):
                raise
            code = error.code
        self._outcome(code)

    def close(self) -> None:
        """Close it and its pipe. Closing it again does nothing. In a forked child, neither does closing it once."""
        lib.nngio_dialer_close(self.socket._handle, self.id)
        self._ended = True

    def _outcome(self, code: int) -> None:
        if code == lib.NNG_ECONNREFUSED:
            raise ConnectionRefused(
                f"dial {self._url}: nobody listens there (Connection refused); pass block=False to go on trying in the background"
            )
        self._check(code, f"dial {self._url}")
        self._started = True

    def __enter__(self) -> "Self":
        return self
