"""Dialers and listeners: how a socket gets its pipes."""

from nngio._core import library
from nngio._core.errors import BadState, ForkedError, NNGError, NotSupported
from nngio._core.library import ffi, lib
from nngio._core.loops import current
from nngio._core.nng import nng_version, patched
from nngio._core.operation import PENDING, new_operation
from nngio._core.typing import TYPE_CHECKING, Any
from nngio._core.urls import encode_url, fault, is_tls, known_schemes, transport_of
from nngio._headers import Headers
from nngio._options import HasOptions, Option, either, set_options
from nngio._tls import TLSConfig, check_tls, configure, reason

if TYPE_CHECKING:
    from nngio._socket import Socket
    from nngio._stats import Statistic

__all__ = ["FILES", "IP", "NAMES", "WEB", "Endpoint"]

IP = ("tcp", "tls+tcp", "ws", "wss")
WEB = ("ws", "wss")
FILES = ("ipc", "abstract")
NAMES = ("inproc",)
_ALIASES = {"unix": "ipc"}


class Endpoint(HasOptions):
    """What a dialer and a listener have in common: a URL, options, a start and an end."""

    _noun: str
    _attributes = frozenset({"socket"})
    _ended = False
    """Whether it is closed for certain; it may be so otherwise, with its socket."""

    _headers: Headers | None = None

    def __init__(self, socket: "Socket", url: str, tls: TLSConfig | None, options: dict[str, Any]) -> None:
        self.socket = socket
        encoded = encode_url(url)
        check_tls(tls, url)
        self._tls = tls or (socket._tls if is_tls(url) else None)
        self._c = ffi.new(f"nng_{self._option_kind} *")[0]
        out = ffi.new(f"nng_{self._option_kind} *")
        socket._check_open()
        self._url = url
        self._check(getattr(lib, f"nng_{self._option_kind}_create")(out, socket._c, encoded), f"{self._noun} {url}")
        self._c = out[0]
        self._started = False
        socket._endpoints[self._option_kind, self.id] = self
        try:
            set_options(self, options, socket._makes | {type(socket).__name__: type(socket)})
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """The URL, as it was given; in that of a started listener, port 0 has become the port that it got."""
        return self._url

    @property
    def started(self) -> bool:
        """Whether it was started."""
        return self._started

    @property
    def closed(self) -> bool:
        """Whether it was closed, by itself or with its socket."""
        return self._ended or self.socket.closed

    @property
    def tls(self) -> TLSConfig | None:
        """Its TLS configuration: its own, or the socket's; None for a URL without TLS."""
        return self._tls

    @property
    def id(self) -> int:
        """NNG's number of it, positive."""
        number: int = getattr(lib, f"nng_{self._option_kind}_id")(self._c)
        return number

    def _admit(self, option: Option[Any], setting: bool) -> None:
        if not option.transports:
            transports: tuple[str, ...] = ()
        else:
            transports = option.settable if setting else option.transports
        scheme = self._url.partition("://")[0]
        transport = transport_of(self._url)
        transport = _ALIASES.get(transport, transport)
        doing = f"{option.attribute} can be set on" if setting and option.settable != option.transports else f"{option.attribute} is of"
        if transports and transport not in transports:
            raise NotSupported(f"{doing} {either(transports, 'and')} only, and {self._url} is {scheme}")
        if option.patch and transport in WEB and not patched(option.patch):
            raise NotSupported(
                f"NNG {nng_version()} as it is here does not heed {option.attribute} on {scheme}; the one that nngio builds does"
            )
        if option.late and not self._started:
            raise BadState(f"{option.attribute} is known once the {type(self).__name__.lower()} is started")
        if setting and option.early and self._started:
            raise BadState(f"{option.attribute} has to be set before the {type(self).__name__.lower()} is started")

    def statistics(self) -> "Statistic":
        """What NNG has counted for it so far; raises `NoEntry` if it is closed.

        One part of `nngio.statistics()`. NNG: `nng_stat_find_dialer`, `nng_stat_find_listener`.
        """
        from nngio._stats import of_one

        return of_one(self._option_kind, self.id)

    def _check(self, code: int, doing: str) -> None:
        """Raise the error of an attempt, in words that say what was attempted."""
        if code == lib.NNG_ENOTSUP:
            raise NNGError.from_code(code, f"{doing}: no transport of this build knows that kind of URL{known_schemes(self._url)}")
        if code:
            error = NNGError.from_code(code)
            raise type(error)(f"{doing}: {error}{reason(code, self._url, self._tls)}{fault(code, self._url, self._noun)}", code=code)

    def close(self) -> None:
        """Close it and its pipes. Closing it again does nothing. In a forked child, neither does closing it once."""
        if not library.forked:
            getattr(lib, f"nngio_{self._option_kind}_close")(self.socket._handle, self.id)
            self._has_ended()

    def _has_ended(self) -> None:
        self._ended = True
        self.socket._forget(self)

    async def aclose(self) -> None:
        """Close it. The awaitable `close`, on asyncio and trio: the loop goes on meanwhile.

        Cancellation doesn't stop it: the cancellation is raised when it is closed.
        """
        if library.forked or self._ended:
            return
        adapter = current()
        if adapter.queue is None:  # trio's run is over, but for the asynchronous generators that it still closes
            self.close()
            return
        op = adapter.take()
        try:
            if self._begin_close(op.c) == PENDING:
                self._has_ended()
                await adapter.finish(op)
        finally:
            adapter.abandon(op)

    def _begin_close(self, c: Any) -> int:
        code: int = getattr(lib, f"nngio_begin_{self._option_kind}_close")(c, self.socket._handle, self.id)
        return code

    async def _give_up(self, error: BaseException) -> None:
        """Close it because of an error, without holding up the loop."""
        if not isinstance(error, GeneratorExit):
            await self.aclose()
        elif not (library.forked or self._ended):
            self._has_ended()
            self._begin_close(new_operation(-1))  # its coroutine is dropped, so nobody can wait; the closing goes on in C

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = ", its parent's" if library.forked else ", closed" if self.closed else ""
        return f"<nngio.{type(self).__name__} {self._url}{state}>"

    def _begin(self) -> None:
        if library.forked:
            raise ForkedError()
        if self._started:
            raise BadState(f"this {type(self).__name__.lower()} was started before")
        configure(self, self._tls)
        if self._headers is not None:
            self._headers._give_all()
