"""HTTP clients and connections.

A call is one operation of `_ffi/shim/http.c`, or several: those are generators, which yield each operation and are given its result, and
are driven by a synchronous or an awaitable call. Whole responses are read here, in steps that can be interrupted; why NNG's
own transactions can't be used is told in C.

An interrupted call ends its connection, or the next call would take what is still to come for its own. In a step C sees to that.
Between two steps it is done here: from the end of the first one on, whatever gets out of a call closes the connection, by one call
into C, before which no signal handler runs. A call that fails before has begun nothing, and leaves the connection as it is.
"""

import re
import time
import warnings
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar
from urllib.parse import quote

from nngio._calls import Begin, acall, call, call_ms
from nngio._core import library
from nngio._core.closing import Closing
from nngio._core.duration import milliseconds
from nngio._core.errors import Closed, ConnectionShutdown, InvalidArgument, MessageTooLarge, NNGError, ProtocolError, TimedOut
from nngio._core.library import NULL, ffi, lib, python
from nngio._core.urls import encode_url, host_of, url_text
from nngio._http_message import (
    VISIBLE,
    Request,
    Response,
    build_request,
    build_response,
    new_message,
    no_http,
    read_request,
    read_response,
)
from nngio._streams import pointer_to, room
from nngio._tls import HANDSHAKE, TLSConfig, reason
from nngio._url import URL

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Client", "Connection", "check_url"]

T = TypeVar("T")

MAX_BODY = 16 * 2**20
"""What a response may have, unless it is told."""
CHUNK = 65536
STEP = 2**20
"""What is read of a body at a time, so that what a peer announces costs nothing until it comes."""
LARGEST = 2**30
LONGEST_LINE = 4096
MOST_TRAILERS = 64
MOST_INTERIM = 16
"""Responses of 100 to 199 that may come before the one that counts."""
_ADDRESS = ffi.typeof("uintptr_t")
_SCHEME = re.compile(r"(https?)[46]?://", re.IGNORECASE)
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\r\n]*)?\r\n")
_LENGTH = re.compile(r"[0-9]{1,18}")
_READS = (lib.NNGIO_HTTP_READ, lib.NNGIO_HTTP_READ_ALL, lib.NNGIO_HTTP_READ_REQUEST, lib.NNGIO_HTTP_READ_RESPONSE)
_cast = ffi.cast


class Step(NamedTuple):
    """One operation."""

    what: int
    message: Any = NULL
    data: Any = NULL
    size: int = 0


Steps = Generator[Step, Any, T]


def check_url(url: str, tls: TLSConfig | None) -> bool:
    """Refuse what is no URL of HTTP's, or has no fitting `tls`; whether it is one of TLS."""
    encode_url(url)
    scheme = _SCHEME.match(url)
    if scheme is None:
        raise InvalidArgument(f"{url!r} is no URL of HTTP's: it begins with http:// or https://")
    if tls is not None and not isinstance(tls, TLSConfig):
        raise TypeError(f"tls is a TLSConfig, not {type(tls).__name__}")
    secure = scheme[1].lower() == "https"
    if tls is not None and not secure:
        raise InvalidArgument(f"{url} takes no tls=: https:// is the same with TLS")
    return secure


class Client(Closing):
    """Asks an HTTP server.

    `Client(url)` takes http and https; with https, `tls` says whom to trust. It holds no connection: `transact` makes one for its
    request, `connect` one to be kept. Any number of calls may be under way at once, on any thread or loop.

    Args:
        url: where the server is. Its path is what `transact()` asks for.
        tls: a `TLSConfig`, for https.

    Raises:
        InvalidArgument: what is no URL of HTTP's; https without `tls`.

    NNG: `nng_http_client_alloc`, `nng_http_client_free`.
    """

    def __init__(self, url: str | URL, *, tls: TLSConfig | None = None) -> None:
        url = url_text(url)
        self._url = url
        self._secure = check_url(url, tls)
        parts = URL(url)
        if not parts.hostname:
            raise InvalidArgument(f"{url!r} has no host to connect to")
        self._host = parts.host or ""
        uri = (parts.request_uri or "/").partition("#")[0]
        uri = uri if uri.startswith("/") else f"/{uri}"
        self._uri = quote(uri, safe=VISIBLE, errors="surrogateescape")  # NNG has decoded what is no ASCII
        self._closed = False
        self._attempts: set[Any] = set()
        self.tls = tls

    @property
    def url(self) -> str:
        """The URL."""
        return self._url

    @property
    def tls(self) -> TLSConfig | None:
        """The `TLSConfig`; another one holds for connections that are made from then on.

        NNG: `nng_http_client_get_tls`, `nng_http_client_set_tls`.
        """
        return self._tls

    @tls.setter
    def tls(self, tls: TLSConfig | None) -> None:
        check_url(self._url, tls)
        if self._secure and tls is None:
            raise InvalidArgument(f"{self._url}: TLS has to know whom to trust; pass tls=nngio.TLSConfig(ca=...)")
        self._tls = tls

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def connect(self, *, timeout: float | None = None) -> "Connection":
        """Connect, and return the connection.

        `timeout` is in seconds, None for as long as the system tries; the shortest is a moment of 10 ms. Ctrl-C interrupts it.
        Thread-safe.

        Raises `ConnectionRefused`, `TimedOut`, `Unreachable`, `AddressInvalid` for a name that can't be resolved, `PeerAuthError` and
        `CryptoError` for what TLS says, `Closed`. NNG: `nng_http_client_connect`.
        """
        ms = call_ms(timeout)
        connection = Connection._new(self._url, self._host, self._tls, dialed=True)
        attempt = self._attempt()
        try:
            code, _ = call(_connect(attempt), connection._take_given, ms)
            connection._open = not code
        finally:
            self._end(attempt)
        self._check(code)
        return connection

    async def aconnect(self, *, timeout: float | None = None) -> "Connection":
        """Connect. The awaitable `connect`, on asyncio and trio; cancellation ends the attempt."""
        ms = call_ms(timeout)
        connection = Connection._new(self._url, self._host, self._tls, dialed=True)
        attempt = self._attempt()
        try:
            code, _ = await acall(_connect(attempt), connection._take_given, ms)
            connection._open = not code
        finally:
            self._end(attempt)
        self._check(code)
        return connection

    def _attempt(self) -> Any:
        code = ffi.new("int *")
        attempt = lib.nngio_http_client(encode_url(self._url), code)
        if attempt == NULL:
            no_http(code[0])
        attempt = ffi.gc(attempt, lib.nngio_http_free)
        if self._tls is not None:
            no_http(lib.nngio_http_set_tls(attempt, self._tls._for_dialer(host_of(self._url))))
        self._attempts.add(attempt)
        if self._closed:
            self._end(attempt)
        return attempt

    def _end(self, attempt: Any) -> None:
        lib.nngio_http_close(attempt)
        self._attempts.discard(attempt)

    def _check(self, code: int) -> None:
        if code == lib.NNG_ECLOSED:
            raise Closed("this client is closed")
        if code:
            error = NNGError.from_code(code)
            raise type(error)(f"{self._url}: {error}", code=code)

    def transact(self, request: Request | None = None, *, timeout: float | None = None, max_body: int = MAX_BODY) -> Response:
        """Connect, send a request, return the whole response, and close the connection.

        Args:
            request: what to ask for; None for a GET of the URL's path. It gets the header Host, if it has none.
            timeout: for all of it, in seconds; None for ever.
            max_body: the largest body that the response may have, in bytes.

        Raises:
            ProtocolError: what comes is no response of HTTP's, or more than 16 that only announce one.
            MessageTooLarge: the body is larger than `max_body`, or the headers than NNG takes, 8 KiB for each line.
            ConnectionShutdown: the server ended the connection in the middle.

        Otherwise as `connect`. Ctrl-C interrupts it; the server may have had the request then. Thread-safe. It does what NNG's function
        does, in steps that can be cancelled. NNG: `nng_http_client_transact`.
        """
        until = deadline(timeout)
        with self.connect(timeout=timeout) as connection:
            return connection._drive(connection._transaction(self._default(request), max_body), until)

    async def atransact(self, request: Request | None = None, *, timeout: float | None = None, max_body: int = MAX_BODY) -> Response:
        """Connect, send a request, return the whole response. The awaitable `transact`; cancellation ends the connection."""
        until = deadline(timeout)
        async with await self.aconnect(timeout=timeout) as connection:
            return await connection._adrive(connection._transaction(self._default(request), max_body), until)

    def _default(self, request: Request | None) -> Request:
        return Request(uri=self._uri) if request is None else request

    def close(self) -> None:
        """Close it: attempts to connect that are under way end with `Closed`. Connections that it made stay."""
        if library.forked:
            return
        self._closed = True
        for attempt in list(self._attempts):
            lib.nngio_http_close(attempt)

    def __repr__(self) -> str:
        state = ", its parent's" if library.forked else ", closed" if self._closed else ""
        return f"<nngio.http.Client {self._url}{state}>"


class Connection(Closing):
    """A connection of HTTP's, of a client's or one that a handler took over. `Client.connect` makes it.

    Reads are served in the order in which they begin, and so are writes. A call that is interrupted, by a timeout, a cancellation or
    Ctrl-C, ends the connection, unless it has begun nothing yet: NNG can't tell how far it came, and nobody what comes next. Later
    calls raise `Closed` then. One that is dropped while open is closed with a `ResourceWarning`. It doesn't survive a fork. Thread-safe.

    Timeouts are in seconds, None for ever; the shortest is a moment of 10 ms. Each method has an awaitable form, for asyncio and trio, with
    an `a` in front.
    """

    _open = False
    _c: Any
    _owner: Any

    def __init__(self) -> None:
        raise TypeError("connections are made by Client(url).connect()")

    @classmethod
    def _new(cls, url: str, host: str, tls: TLSConfig | None, *, dialed: bool) -> "Connection":
        connection = cls.__new__(cls)
        connection._url, connection._host, connection._tls, connection._dialed = url, host, tls, dialed
        return connection

    def _take_given(self, _: Any, op: Any) -> None:
        self._take(lib.nngio_http_given(op))

    def _take(self, c: Any) -> None:
        python.own_http(self, int(_cast(_ADDRESS, c)))
        self._c = c

    _url: str
    _host: str
    _tls: TLSConfig | None
    _dialed: bool
    _heard = False

    @property
    def closed(self) -> bool:
        """Whether it is closed: by `close`, by an interrupted call, or by an error of NNG's."""
        return not self._open or library.forked or bool(lib.nngio_http_closed(self._c))

    # Steps.

    def _one(self, step: Step, ms: int) -> Any:
        code, result = call(self._begin(step), partial(_result, step), ms)
        if code:
            self._fail(code)
        self._heard = self._heard or step.what in _READS
        return result

    async def _aone(self, step: Step, ms: int) -> Any:
        code, result = await acall(self._begin(step), partial(_result, step), ms)
        if code:
            self._fail(code)
        self._heard = self._heard or step.what in _READS
        return result

    def _begin(self, step: Step) -> Begin:
        c = self._c
        return lambda op, ms: lib.nngio_http_begin(op, c, *step, ms)

    def _drive(self, steps: Steps[T], until: float | None) -> T:
        begun = False
        try:
            step = next(steps)
            while True:
                try:
                    result = self._one(step, left(until))
                    begun = True
                except NNGError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            value: T = end.value
            return value
        except BaseException:
            if begun:
                lib.nngio_http_interrupt(self._c)
            raise

    async def _adrive(self, steps: Steps[T], until: float | None) -> T:
        begun = False
        try:
            step = next(steps)
            while True:
                try:
                    result = await self._aone(step, left(until))
                    begun = True
                except NNGError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            value: T = end.value
            return value
        except BaseException:
            if begun:
                lib.nngio_http_interrupt(self._c)
            raise

    def _fail(self, code: int) -> NoReturn:
        if self.closed:
            self.close()  # NNG may have, and may not: now the peer hears of it
        if code == lib.NNG_ECLOSED:
            interrupted = lib.nngio_http_interrupted(self._c)
            raise Closed("an interrupted call has ended this connection" if interrupted else "this connection is closed")
        # NNG makes the handshake of TLS with the first write.
        why = reason(code, self._url, self._tls) if self._dialed and not self._heard and code in HANDSHAKE else ""
        if code == lib.NNG_ECONNSHUT:
            raise ConnectionShutdown(f"the peer has ended the connection{why}")
        if code == lib.NNG_EPROTO and not (why and self._tls):
            raise ProtocolError("the peer doesn't speak HTTP, or sends a header with a character that none can have")
        if code == lib.NNG_EMSGSIZE:
            raise MessageTooLarge("a line of the headers is longer than the 8 KiB that NNG takes, or they are too many")
        error = NNGError.from_code(code)
        raise type(error)(f"{self._url}: {error}{why}", code=code) if why else error

    # Bytes.

    def read(self, max: int = CHUNK, *, timeout: float | None = None) -> bytes:  # noqa: A002  # as in Stream.recv
        """Read what has come, at least one byte and at most `max`.

        Raises `ConnectionShutdown` at the end of what the peer sends, `ConnectionReset`, `TimedOut`, `Closed`.
        NNG: `nng_http_conn_read`.
        """
        data: bytes = self._one(Step(lib.NNGIO_HTTP_READ, size=_room("max", max)), call_ms(timeout))
        return data

    def read_all(self, size: int, *, timeout: float | None = None) -> bytes:
        """Read so many bytes, and wait until they have come. Otherwise as `read`. NNG: `nng_http_conn_read_all`."""
        if not _room("size", size, least=0):
            return b""
        data: bytes = self._one(Step(lib.NNGIO_HTTP_READ_ALL, size=size), call_ms(timeout))
        return data

    def write(self, data: "Buffer", *, timeout: float | None = None) -> int:
        """Write as much as goes at once, at least one byte; return how many. The bytes are copied.

        Raises `ConnectionShutdown` or `ConnectionReset` when the peer has gone, `TimedOut`, `Closed`. NNG: `nng_http_conn_write`.
        """
        pointer, size = pointer_to(data)
        if not size:
            return 0
        written: int = self._one(Step(lib.NNGIO_HTTP_WRITE, NULL, pointer, min(size, STEP)), call_ms(timeout))
        return written

    def write_all(self, data: "Buffer", *, timeout: float | None = None) -> None:
        """Write all of the bytes. Otherwise as `write`. NNG: `nng_http_conn_write_all`."""
        self._drive(self._writing(data), deadline(timeout))

    async def aread(self, max: int = CHUNK, *, timeout: float | None = None) -> bytes:  # noqa: A002
        """Read what has come. The awaitable `read`; cancellation ends the connection."""
        data: bytes = await self._aone(Step(lib.NNGIO_HTTP_READ, size=_room("max", max)), call_ms(timeout))
        return data

    async def aread_all(self, size: int, *, timeout: float | None = None) -> bytes:
        """Read so many bytes. The awaitable `read_all`; cancellation ends the connection."""
        if not _room("size", size, least=0):
            return b""
        data: bytes = await self._aone(Step(lib.NNGIO_HTTP_READ_ALL, size=size), call_ms(timeout))
        return data

    async def awrite(self, data: "Buffer", *, timeout: float | None = None) -> int:
        """Write as much as goes at once. The awaitable `write`; cancellation ends the connection."""
        pointer, size = pointer_to(data)
        if not size:
            return 0
        written: int = await self._aone(Step(lib.NNGIO_HTTP_WRITE, NULL, pointer, min(size, STEP)), call_ms(timeout))
        return written

    async def awrite_all(self, data: "Buffer", *, timeout: float | None = None) -> None:
        """Write all of the bytes. The awaitable `write_all`; cancellation ends the connection."""
        await self._adrive(self._writing(data), deadline(timeout))

    def _writing(self, data: "Buffer") -> Steps[None]:
        pointer, size = pointer_to(data)
        if size > LARGEST:
            raise ValueError(f"a write has at most 1 GiB, not {size} bytes")
        if size:
            yield Step(lib.NNGIO_HTTP_WRITE_ALL, NULL, pointer, size)

    # Messages.

    def read_request(self, *, timeout: float | None = None) -> Request:
        """Read a request's first line and headers. Its body is still to be read, by `read_all`.

        Raises `ProtocolError`, `MessageTooLarge` for a line of more than 8 KiB; otherwise as `read`. NNG: `nng_http_conn_read_req`.
        """
        return self._drive(self._reading_request(), deadline(timeout))

    def read_response(self, *, timeout: float | None = None) -> Response:
        """Read a response's first line and headers. Otherwise as `read_request`. NNG: `nng_http_conn_read_res`."""
        return self._drive(self._reading_response(), deadline(timeout))

    def write_request(self, request: Request, *, timeout: float | None = None) -> None:
        """Write a request with its body; the connection of a client's adds the header Host. As `write`. NNG: `nng_http_conn_write_req`."""
        self._drive(self._writing_request(request), deadline(timeout))

    def write_response(self, response: Response, *, timeout: float | None = None) -> None:
        """Write a response with its body. Otherwise as `write`. NNG: `nng_http_conn_write_res`."""
        self._drive(self._writing_response(response), deadline(timeout))

    def transact(self, request: Request, *, timeout: float | None = None, max_body: int = MAX_BODY) -> Response:
        """Send a request, and return the whole response. As `Client.transact`, but for the connection, which stays open if the
        server leaves it so; one call at a time. NNG: `nng_http_conn_transact`."""
        return self._drive(self._transaction(request, max_body), deadline(timeout))

    async def aread_request(self, *, timeout: float | None = None) -> Request:
        """Read a request's first line and headers. The awaitable `read_request`; cancellation ends the connection."""
        return await self._adrive(self._reading_request(), deadline(timeout))

    async def aread_response(self, *, timeout: float | None = None) -> Response:
        """Read a response's first line and headers. The awaitable `read_response`; cancellation ends the connection."""
        return await self._adrive(self._reading_response(), deadline(timeout))

    async def awrite_request(self, request: Request, *, timeout: float | None = None) -> None:
        """Write a request with its body. The awaitable `write_request`; cancellation ends the connection."""
        await self._adrive(self._writing_request(request), deadline(timeout))

    async def awrite_response(self, response: Response, *, timeout: float | None = None) -> None:
        """Write a response with its body. The awaitable `write_response`; cancellation ends the connection."""
        await self._adrive(self._writing_response(response), deadline(timeout))

    async def atransact(self, request: Request, *, timeout: float | None = None, max_body: int = MAX_BODY) -> Response:
        """Send a request, and return the whole response. The awaitable `transact`; cancellation ends the connection."""
        return await self._adrive(self._transaction(request, max_body), deadline(timeout))

    def _reading_request(self) -> Steps[Request]:
        c = new_message(lib.nngio_http_request)
        yield Step(lib.NNGIO_HTTP_READ_REQUEST, c)
        request = read_request(c)
        assert request is not None
        return request

    def _reading_response(self) -> Steps[Response]:
        c = new_message(lib.nngio_http_response, 0)
        yield Step(lib.NNGIO_HTTP_READ_RESPONSE, c)
        return read_response(c)

    def _writing_request(self, request: Request) -> Steps[None]:
        if not isinstance(request, Request):
            raise TypeError(f"this takes a Request, not {type(request).__name__}")
        yield Step(lib.NNGIO_HTTP_WRITE_REQUEST, build_request(request, self._host or None))

    def _writing_response(self, response: Response) -> Steps[None]:
        if not isinstance(response, Response):
            raise TypeError(f"this takes a Response, not {type(response).__name__}")
        yield Step(lib.NNGIO_HTTP_WRITE_RESPONSE, build_response(response))

    def _transaction(self, request: Request, max_body: int) -> Steps[Response]:
        _room("max_body", max_body, least=0, most=2**62)
        yield from self._writing_request(request)
        try:
            response = yield from self._reading_final_response()
            yield from self._reading_body(request, response, max_body)
        except (MessageTooLarge, ProtocolError):
            self.close()  # nobody knows where the next response would begin
            raise
        return response

    def _reading_final_response(self) -> Steps[Response]:
        for _ in range(MOST_INTERIM + 1):
            response = yield from self._reading_response()
            if not 100 <= response._status < 200 or response._status == 101:
                return response
        raise ProtocolError(f"more than {MOST_INTERIM} responses have come that only announce one")

    def _reading_body(self, request: Request, response: Response, max_body: int) -> Steps[None]:
        if request._method == "HEAD" or response._status in (101, 204, 304):
            return
        encoding = response._headers.get("Transfer-Encoding")
        length = response._headers.get("Content-Length")
        body = bytearray()
        if encoding is not None:
            if encoding.lower() != "chunked":
                raise ProtocolError(f"the response has the transfer encoding {encoding[:80]!r}, and only chunked is known")
            yield from self._reading_chunks(body, max_body)
        elif length is not None:
            if not _LENGTH.fullmatch(length):
                raise ProtocolError(f"the response has the Content-Length {length[:80]!r}")
            if int(length) > max_body:
                raise MessageTooLarge(f"the response has {length} bytes, and max_body allows {max_body}")
            yield from self._reading_exactly(body, int(length))
        else:
            yield from self._reading_to_end(body, max_body)
        response._body = bytes(body)

    def _reading_exactly(self, body: bytearray, size: int) -> Steps[None]:
        while size:
            step = min(size, STEP)
            body += yield Step(lib.NNGIO_HTTP_READ_ALL, size=step)
            size -= step

    def _reading_to_end(self, body: bytearray, max_body: int) -> Steps[None]:
        while True:
            try:
                body += yield Step(lib.NNGIO_HTTP_READ, size=CHUNK)
            except ConnectionShutdown:
                return
            if len(body) > max_body:
                raise MessageTooLarge(f"the response has more bytes than the {max_body} that max_body allows")

    def _reading_chunks(self, body: bytearray, max_body: int) -> Steps[None]:
        while True:
            line = yield from self._reading_line(3)
            size = _SIZE.fullmatch(line)
            if size is None:
                raise ProtocolError(f"the response has a chunk with the size {line[:80]!r}")
            count = int(size[1], 16)
            if count == 0:
                break
            if len(body) + count > max_body:
                raise MessageTooLarge(f"the response has more bytes than the {max_body} that max_body allows")
            yield from self._reading_exactly(body, count)
            if (yield Step(lib.NNGIO_HTTP_READ_ALL, size=2)) != b"\r\n":
                raise ProtocolError("the response has a chunk that is longer than its size")
        for _ in range(MOST_TRAILERS):
            if (yield from self._reading_line(2)) == b"\r\n":
                return
        raise MessageTooLarge(f"the response has more than {MOST_TRAILERS} lines behind its body")

    def _reading_line(self, least: int) -> Steps[bytes]:
        """A line, and no byte of what follows."""
        line: bytes = yield Step(lib.NNGIO_HTTP_READ_ALL, size=least)
        while not line.endswith(b"\r\n"):
            if len(line) > LONGEST_LINE or b"\n" in line:
                raise ProtocolError("the response has a line in its chunks that doesn't end")
            line += yield Step(lib.NNGIO_HTTP_READ_ALL, size=1)
        return line

    # The end.

    def close(self) -> None:
        """Close it: calls that wait on it end with `Closed`. Closing it again does nothing; nor does it in a forked child, even once.

        NNG: `nng_http_conn_close`.
        """
        if self._open:
            lib.nngio_http_close(self._c)

    def __del__(self) -> None:
        if library.forked or self.closed:
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        if not library.exiting:
            self.close()

    def __repr__(self) -> str:
        state = ", its parent's" if library.forked else ", closed" if self.closed else ""
        return f"<nngio.http.Connection {self._url}{state}>"


def deadline(timeout: float | None) -> float | None:
    """When a call has to be over, by `time.monotonic`; all of its steps together have a moment at least."""
    ms = call_ms(timeout)
    return None if ms < 0 else time.monotonic() + ms / 1000


def left(until: float | None) -> int:
    """What is left of its time, in milliseconds. Raises `TimedOut` when that is nothing: a peer could make of a call so many steps
    that a moment for each would be for ever."""
    rest = None if until is None else until - time.monotonic()
    if rest is not None and rest <= 0:
        raise TimedOut
    return milliseconds(rest)


def _room(name: str, size: int, least: int = 1, most: int = LARGEST) -> int:
    if room(name, size, least) > most:
        raise ValueError(f"{name} is at most {most} bytes, not {size}")
    return size


def _connect(attempt: Any) -> Begin:
    return lambda op, ms: lib.nngio_http_begin(op, attempt, lib.NNGIO_HTTP_CONNECT, NULL, NULL, 0, ms)


def _result(step: Step, _: Any, op: Any) -> bytes | int:
    """What a step has brought: bytes that were read, or the number of those that were written."""
    if step.what in (lib.NNGIO_HTTP_READ, lib.NNGIO_HTTP_READ_ALL):
        data: bytes = ffi.unpack(op.body, op.len)
        return data
    size: int = op.len
    return size
