"""Dialers and listeners of byte streams."""

import warnings
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote_from_bytes

from nngio._address import AbstractAddress
from nngio._calls import acall, call, call_ms
from nngio._core import library
from nngio._core.closing import Closing, UntilClosed
from nngio._core.errors import AddressInUse, Closed, ForkedError, NNGError, NotSupported
from nngio._core.library import ffi, lib, python
from nngio._core.loops import current
from nngio._core.nng import nng_version, patched
from nngio._core.typing import TYPE_CHECKING, Any, NoReturn
from nngio._core.urls import NO_SOCKET, any_port, encode_url, fault, no_socket, transport_of, url_text
from nngio._options import (
    AddressOption,
    BoolOption,
    IntOption,
    Option,
    PermissionsOption,
    SizeOption,
    options_of,
    set_options,
)
from nngio._stream_options import HeadersOption, StreamObject, SubprotocolOption
from nngio._streams import Stream, open_streams
from nngio._tls import TLSConfig, check_tls, configure, reason

if TYPE_CHECKING:
    from typing import Self

    from nngio._url import URL

__all__ = ["StreamDialer", "StreamListener"]

_ADDRESS = ffi.typeof("uintptr_t")
_TCP = ("tcp", "tls+tcp", "ws", "wss")
_cast = ffi.cast


class StreamEndpoint(Closing, StreamObject):
    """What a dialer and a listener of streams have in common: a URL, an object in C that is made for it, and its options."""

    _noun: str
    _closed = False

    tcp_nodelay = BoolOption(
        "tcp-nodelay", "Whether its streams send small pieces at once, without waiting for more, as they do unless told. Not of ipc."
    )
    tcp_keepalive = BoolOption("tcp-keepalive", "Whether the system looks now and then if the peer is there. Not of ipc.")
    ws_protocol = SubprotocolOption("ws:protocol", "The websocket subprotocol that both sides must name; by default there is none.")
    ws_send_text = BoolOption("ws:send-text", "Whether frames are sent as text, which has to be UTF-8 then.")
    ws_recv_text = BoolOption("ws:recv-text", "Whether frames of text are accepted; else they end the stream.")
    send_max_frame = SizeOption("ws:txframe-max", "The largest frame to send, in bytes; a longer send is several. 0: no limit.")
    recv_max_frame = SizeOption("ws:rxframe-max", "The largest frame that the peer may send, in bytes; 1 MiB. 0: no limit.")

    def _make(self, url: str, tls: TLSConfig | None) -> None:
        encoded = encode_url(url)
        if library.forked:
            raise ForkedError()
        check_tls(tls, url)
        self._url, self._tls = url, tls
        code = ffi.new("int *")
        c = getattr(lib, f"nngio_stream_{self._option_kind}")(encoded, code)
        self._check(code[0])
        python.own_endpoint(self, int(_cast(_ADDRESS, c)))
        self._c = c
        if transport_of(url) in _TCP:
            self._call("set", "bool", b"tcp-nodelay", True)

    def _admit(self, option: Option[Any], setting: bool) -> None:
        if setting and option.patch and self._url[:2].lower() == "ws" and not patched(option.patch):
            unheeded = f"NNG {nng_version()} as it is here does not heed {option.attribute}; the one that nngio builds does"
            raise NotSupported(f"{self._noun} {self._url}: {unheeded}")

    def _call(self, verb: str, suffix: str, name: bytes, value: Any) -> None:
        try:
            super()._call(verb, suffix, name, value)
        except NotSupported:
            attribute = next((each for each, option in options_of(type(self)).items() if name.startswith(option.option)), name.decode())
            raise NotSupported(f"{self._noun} {self._url}: that transport has no option {attribute!r}") from None

    def _check(self, code: int) -> None:
        """Raise the error of an attempt, in words that say what was attempted."""
        if code == lib.NNG_ENOTSUP:
            raise NotSupported(f"{self._noun} {self._url}: no transport of this build has byte streams for that kind of URL")
        if code == lib.NNG_ECLOSED:
            raise Closed(f"{self._noun} {self._url}: this {type(self).__name__} is closed")
        if code:
            error = NNGError.from_code(code)
            why = reason(code, self._url, self._tls) + fault(code, self._url, self._noun)
            raise type(error)(f"{self._noun} {self._url}: {error}{why}", code=code)

    @property
    def url(self) -> str:
        """The URL."""
        return self._url

    @property
    def tls(self) -> TLSConfig | None:
        """The `TLSConfig` that it was made with."""
        return self._tls

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """What `aclose` is the awaitable form of."""
        raise NotImplementedError  # each has its own

    async def aclose(self) -> None:
        """Close it. The awaitable `close`: the loop goes on meanwhile.

        Cancellation doesn't stop it: the cancellation is raised when it is closed.
        """
        if not library.forked and not self._closed:
            await current().in_thread(self.close)

    def __repr__(self) -> str:
        state = ", its parent's" if library.forked else ", closed" if self._closed else ""
        return f"<nngio.{type(self).__name__} {self._url}{state}>"


class StreamDialer(StreamEndpoint):
    """Connects to a listener at a URL, once for each `dial`.

    `StreamDialer(url, **options)` takes tcp, tls+tcp, ipc, unix, abstract, ws and wss, and the options below by their names; with TLS,
    `tls` says whom to trust. It holds no connection. Thread-safe. NNG: `nng_stream_dialer_alloc`.
    """

    _option_kind = "dialer"
    _noun = "dial"

    local_address = AddressOption("local-address", "The address to connect from. Not of ipc.")
    request_headers = HeadersOption("ws:request-header:", "Headers to send with the request, by their names; setting it adds to them.")

    def __init__(self, url: "str | URL", *, tls: TLSConfig | None = None, **options: Any) -> None:
        self._options: dict[tuple[str, bytes], Any] = {}
        self._attempts: set[Attempt] = set()
        self._make(url_text(url), tls)
        configure(self, tls)
        set_options(self, options)

    def _call(self, verb: str, suffix: str, name: bytes, value: Any) -> None:
        super()._call(verb, suffix, name, value)
        if verb == "set":
            self._options[suffix, name] = value

    @property
    def url(self) -> str:
        """The URL, as it was given."""
        return self._url

    def dial(self, *, timeout: float | None = None) -> Stream:
        """Connect, and return the stream.

        `timeout` is in seconds; None waits as long as the system does. Any number of dials may be under way at a time. Ctrl-C
        interrupts it.

        Raises `ConnectionRefused`, `TimedOut`, `Unreachable`, `AddressInvalid` for a name that can't be resolved, `TryAgain` while
        a UNIX socket's queue is full, `PermissionDenied` and `ProtocolError` for what a web server says, `Closed`.
        NNG: `nng_stream_dialer_dial`.
        """
        ms = call_ms(timeout)
        stream = Stream._new(self._url, self._tls, dialed=True)
        attempt = Attempt(self)
        try:
            code, _ = call(attempt.begin, stream._take, ms)
            stream._open = not code
        finally:
            attempt.end()
        self._check(code)
        return stream

    async def adial(self, *, timeout: float | None = None) -> Stream:
        """Connect. The awaitable `dial`, on asyncio and trio; cancellation ends the attempt."""
        ms = call_ms(timeout)
        stream = Stream._new(self._url, self._tls, dialed=True)
        attempt = Attempt(self)
        try:
            code, _ = await acall(attempt.begin, stream._take, ms)
            stream._open = not code
        finally:
            attempt.end()
        self._check(code)
        return stream

    def close(self) -> None:
        """Close it: attempts that are under way end with `Closed`. Streams that it made stay. Closing it again does nothing.

        NNG: `nng_stream_dialer_close`, `nng_stream_dialer_free`.
        """
        if library.forked:
            return
        self._closed = True
        lib.nngio_stream_close(self._c)
        for attempt in list(self._attempts):
            attempt.end()


class Attempt(StreamObject):
    """One dial, with a dialer of NNG's to itself: NNG's own doesn't keep one dial apart from the next, when one is cancelled."""

    def __init__(self, dialer: StreamDialer) -> None:
        code = ffi.new("int *")
        c = lib.nngio_stream_dialer(encode_url(dialer._url), code)
        dialer._check(code[0] or (lib.NNG_ECLOSED if dialer._closed else 0))
        python.own_endpoint(self, int(_cast(_ADDRESS, c)))
        self._c = c
        self._dialer = dialer
        for (suffix, name), value in list(dialer._options.items()):
            self._call("set", suffix, name, value)
        dialer._attempts.add(self)
        if dialer._closed:
            self.end()

    def begin(self, op: Any, ms: int) -> int:
        """Begin it with an operation of C's, for at most so many milliseconds, -1 for any."""
        code: int = lib.nngio_stream_begin_recv(op, self._c, 1, 1, ms)
        return code

    def end(self) -> None:
        """End it, whatever has become of it. The stream that it has made stays."""
        lib.nngio_stream_close(self._c)
        self._dialer._attempts.discard(self)


class StreamListener(StreamEndpoint):
    """Accepts connections at a URL; it listens as soon as it is made.

    `StreamListener(url, **options)` takes tcp, tls+tcp, ipc, unix, abstract, ws and wss, and the options below by their names; with TLS,
    `tls` has the certificate to show. Port 0 is any port that is free: `port` and `url` tell which. A host's name is looked up
    meanwhile; `await StreamListener.alisten(url)` doesn't hold up the loop for that. Raises `AddressInUse`, `AddressInvalid`,
    `PermissionDenied`, `InvalidArgument`.

    Iterating over it accepts one stream after the other until it is closed. One that is dropped while open is closed with a
    `ResourceWarning`. Thread-safe. NNG: `nng_stream_listener_alloc`, `nng_stream_listener_listen`.
    """

    _option_kind = "listener"
    _noun = "listen at"
    _closed = True

    port = IntOption("tcp-bound-port", "The port that it is bound to, of tcp, tls, ws and wss.", readonly=True)
    local_address = AddressOption("local-address", "The address that it is bound to.", readonly=True)
    ipc_permissions = PermissionsOption("ipc:permissions", "The mode of a UNIX socket's file, such as 0o600; None unless it was set.")
    response_headers = HeadersOption(
        "ws:response-header:",
        "Headers to send with the response, by their names; setting it adds to them.",
        patch="websocket-response-header",
    )

    def __init__(self, url: "str | URL", *, tls: TLSConfig | None = None, **options: Any) -> None:
        self._closed = True
        url = url_text(url)
        self._make(url, tls)
        try:
            configure(self, tls)
            set_options(self, options)
            if no_socket(url):
                raise AddressInUse(f"listen at {url}: {NO_SOCKET}")
            self._check(lib.nngio_stream_listen(self._c))
        except BaseException:
            lib.nngio_stream_close(self._c)
            raise
        open_streams.add(self)
        self._closed = False
        if around := any_port(url):
            self._url = f"{around[0]}:{self.port}{around[1]}"
        elif url.lower() == "abstract://":
            address = self.local_address
            assert isinstance(address, AbstractAddress)
            self._url = f"abstract://{quote_from_bytes(address.name, safe='')}"

    @classmethod
    async def alisten(cls, url: "str | URL", *, tls: TLSConfig | None = None, **options: Any) -> "Self":
        """Make one. What looks up a host's name doesn't hold up the loop.

        A cancellation is raised when the name is resolved, and the listener closed by then.
        """
        made: list[Self] = []
        dropped = False

        def in_thread() -> None:
            made.append(cls(url, tls=tls, **options))
            if dropped:
                made[0].close()

        try:
            await current().in_thread(in_thread)
        except BaseException:
            dropped = True
            for listener in made:
                listener.close()
            raise
        return made[0]

    @property
    def url(self) -> str:
        """The URL; port 0 has become the port that it got, and an empty abstract name the one that it got."""
        return self._url

    def accept(self, *, timeout: float | None = None) -> Stream:
        """Wait for a peer to connect, and return the stream.

        `timeout` is in seconds, None for ever. An accept that is interrupted, by Ctrl-C too, loses no connection: the next one gets it.

        Raises `TimedOut`, `Closed`, `OutOfFiles`. NNG: `nng_stream_listener_accept`.
        """
        ms = call_ms(timeout)
        stream = Stream._new(self._url, self._tls, dialed=False)
        code, _ = call(self._begin, stream._take, ms)
        stream._open = not code
        if code:
            self._fail(code)
        return stream

    async def aaccept(self, *, timeout: float | None = None) -> Stream:
        """Wait for a peer to connect. The awaitable `accept`; a cancelled one loses no connection: the next one gets it."""
        ms = call_ms(timeout)
        stream = Stream._new(self._url, self._tls, dialed=False)
        code, _ = await acall(self._begin, stream._take, ms)
        stream._open = not code
        if code:
            self._fail(code)
        return stream

    def _begin(self, op: Any, ms: int) -> int:
        code: int = lib.nngio_stream_begin_recv(op, self._c, 1, 1, ms)
        return code

    def _fail(self, code: int) -> NoReturn:
        if code == lib.NNG_ECLOSED:
            raise Closed("this listener is closed")
        raise NNGError.from_code(code)

    def __iter__(self) -> Iterator[Stream]:
        """Those who connect, one after the other, until the listener is closed."""
        while True:
            try:
                stream = self.accept()
            except ForkedError:
                raise
            except Closed:
                return
            yield stream

    def __aiter__(self) -> AsyncIterator[Stream]:
        """Those who connect, one after the other, until the listener is closed."""
        return UntilClosed(self.aaccept)

    def close(self) -> None:
        """Close it: accepts that wait end with `Closed`. Streams that were accepted stay. Closing it again does nothing.

        A connection that nobody has accepted is closed with it. The file of a UNIX socket is removed. Blocks while a websocket's
        handshakes are ended. NNG: `nng_stream_listener_close`, `nng_stream_listener_free`.
        """
        if library.forked:
            return
        self._closed = True
        lib.nngio_stream_close(self._c)  # though it was closed before: Ctrl-C may have come just before this
        open_streams.discard(self)

    def __del__(self) -> None:
        if library.forked or self._closed:
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        if not library.exiting:
            self.close()
