"""Dialers: connecting to a peer that listens."""

from collections.abc import Mapping

from nngio._address import Address, TCPAddress
from nngio._core import operation
from nngio._core.duration import call_milliseconds
from nngio._core.errors import ConnectionRefused, TimedOut
from nngio._core.library import lib
from nngio._core.loops import current
from nngio._core.typing import TYPE_CHECKING, TypedDict
from nngio._core.urls import is_tls, url_text
from nngio._endpoint import FILES, IP, NAMES, WEB, Endpoint
from nngio._headers import HeadersOption
from nngio._options import AddressOption, BoolOption, ReadOnly, SecondsOption, SizeOption
from nngio._tls import TLSConfig

if TYPE_CHECKING:
    from typing import Self, Unpack

    from nngio._socket import Socket
    from nngio._url import URL

__all__ = ["Dialer", "DialerOptions"]


class DialerOptions(TypedDict, total=False):
    """The options of a dialer, as keyword arguments."""

    local_address: TCPAddress | str
    reconnect_time_max: float
    reconnect_time_min: float
    recv_max_frame: int
    recv_max_size: int
    request_headers: Mapping[str, str]
    send_max_frame: int
    tcp_keepalive: bool
    tcp_nodelay: bool


class Dialer(Endpoint):
    """Keeps one connection to a peer that listens at a URL, and makes it anew whenever it is lost.

    `Dialer(socket, url, **options)` makes one to be configured and then started; `socket.dial(url, **options)` does both.
    `tls` says whom to trust, for `tls+tcp://` and `wss://`.
    An option that is set later counts for the connections that are made from then on. Thread-safe. NNG: `nng_dialer_create`.
    """

    _option_kind = "dialer"
    _noun = "dial"

    recv_max_size = SizeOption(
        "recv-size-max",
        "The largest message that the peer may send, in bytes; a peer that sends more is disconnected.",
        nng="NNG_OPT_RECVMAXSZ",
        default="the socket's",
        transports=(*FILES, *IP),
        patch="websocket-size-limits",
    )
    reconnect_time_min = SecondsOption(
        "reconnect-time-min",
        "The longest wait before the first new attempt: each wait is a random part of it.",
        nng="NNG_OPT_RECONNMINT",
        default="the socket's",
    )
    reconnect_time_max = SecondsOption(
        "reconnect-time-max",
        "What that wait may grow to, doubling at each attempt; 0: it does not grow.",
        nng="NNG_OPT_RECONNMAXT",
        default="the socket's",
    )
    local_address = AddressOption(
        "local-address",
        "The address of this host to connect from; None: the system chooses.",
        nng="NNG_OPT_LOCADDR",
        default="None",
        transports=(*IP, *NAMES),
        settable=IP,
    )
    remote_address: ReadOnly[Address] = AddressOption(
        "remote-address", "The peer's address.", nng="NNG_OPT_REMADDR", readonly=True, transports=NAMES
    )
    tcp_nodelay = BoolOption(
        "tcp-nodelay",
        "Whether each message is sent at once (TCP_NODELAY); if not, small ones wait to be sent together.",
        nng="NNG_OPT_TCP_NODELAY",
        default="True",
        transports=IP,
    )
    tcp_keepalive = BoolOption(
        "tcp-keepalive",
        "Whether the system looks now and then if a silent peer is still there (SO_KEEPALIVE).",
        nng="NNG_OPT_TCP_KEEPALIVE",
        default="False",
        transports=IP,
    )
    request_headers = HeadersOption(
        "ws:request-headers",
        "HTTP headers to be sent when the connection is made, such as `Authorization`.",
        nng="NNG_OPT_WS_REQUEST_HEADERS",
        default="none",
        transports=WEB,
    )
    recv_max_frame = SizeOption(
        "ws:rxframe-max",
        "The largest frame that the peer may send, in bytes; a peer that sends more is disconnected.",
        nng="NNG_OPT_WS_RECVMAXFRAME",
        default="1048576",
        transports=WEB,
    )
    send_max_frame = SizeOption(
        "ws:txframe-max",
        "The largest frame to send, in bytes: a larger message is sent in several.",
        nng="NNG_OPT_WS_SENDMAXFRAME",
        default="1048576",
        transports=WEB,
        patch="websocket-size-limits",
    )

    def __init__(self, socket: "Socket", url: "str | URL", *, tls: TLSConfig | None = None, **options: "Unpack[DialerOptions]") -> None:
        super().__init__(socket, url_text(url), tls, {**options})

    def start(self, *, block: bool = True, timeout: float | None = None) -> None:
        """Connect.

        With `block`, return when the first connection stands; raise `ConnectionRefused` and the like when it can't be made,
        and
        `TimedOut` after `timeout` seconds: the dialer is closed then, because it would go on trying. Without `block`, return
        at once and go on trying for as long as the dialer lives. Ctrl-C interrupts the call and closes the dialer.

        NNG: `nng_dialer_start`; the timeout is nngio's own.
        """
        ms = call_milliseconds(timeout)
        self._begin()
        if block:
            try:
                code = operation.dial(self.socket._handle, self.id, ms)
            except BaseException:
                self.close()
                raise
            self._outcome(code, timed=timeout is not None)
        else:
            self._outcome(lib.nng_dialer_start(self._c, lib.NNG_FLAG_NONBLOCK))

    async def astart(self, *, block: bool = True, timeout: float | None = None) -> None:
        """Connect. The awaitable `start`, on asyncio and trio; cancellation and the timeout close the dialer."""
        call_milliseconds(timeout)  # refuses what is no timeout
        self._begin()
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
                self._has_ended()  # C has closed it; else the attempt had ended before the cancellation
            await self._give_up(error)
            if not isinstance(error, TimedOut):
                raise
            code = error.code
        self._outcome(code, timed=timeout is not None)

    def close(self) -> None:
        """Close it and its pipe. Closing it again does nothing. In a forked child, neither does closing it once."""
        lib.nngio_dialer_close(self.socket._handle, self.id)
        self._has_ended()

    def _outcome(self, code: int, *, timed: bool = False) -> None:
        if timed and code == lib.NNG_ETIMEDOUT:
            self._has_ended()  # C has closed it
        if code == lib.NNG_ECONNREFUSED and not is_tls(self._url):
            raise ConnectionRefused(
                f"dial {self._url}: nobody listens there (Connection refused); pass block=False to go on trying in the background"
            )
        self._check(code, f"dial {self._url}")
        self._started = True

    def __enter__(self) -> "Self":
        return self
