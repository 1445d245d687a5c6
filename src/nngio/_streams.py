"""Byte streams: connections without messages, over the transports that NNG has for its own use.

Each call is one operation of `_ffi/shim/stream.c`, where it is told how they work.
"""

import warnings
import weakref
from collections.abc import AsyncIterator, Iterator

from nngio._calls import acall, body, call, call_ms
from nngio._core import library
from nngio._core.closing import Closing
from nngio._core.errors import Closed, ConnectionShutdown, NNGError, NotSupported
from nngio._core.library import ffi, lib, python
from nngio._core.typing import TYPE_CHECKING, Any, NoReturn
from nngio._message import as_bytes_like
from nngio._options import AddressOption, BoolOption, NumberOption, StringOption, options_of
from nngio._pipe import CommonNameOption, HeadersOption
from nngio._stream_options import StreamObject
from nngio._tls import HANDSHAKE, TLSConfig, accept_reason, reason

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import Buffer

    from nngio._calls import Begin

__all__ = ["Stream", "open_streams", "pointer_to", "room"]

CHUNK = 65536
"""What a receive takes at most, unless it is told."""

open_streams: "weakref.WeakSet[StreamObject]" = weakref.WeakSet()
"""The streams and listeners that were not closed yet."""

_ADDRESS = ffi.typeof("uintptr_t")
_END: int = lib.NNG_ECONNSHUT
_cast = ffi.cast


class Stream(Closing, StreamObject):
    """A connection that carries bytes both ways, in order, without messages. `StreamDialer.dial` and `StreamListener.accept` make it.

    Receives take what has come, sends return when NNG has given the bytes to the system. Any number of calls may wait at once, on any
    thread or loop: sends are written one after the other, each in one piece, and receives are served in the order in which they began.

    An interrupted receive, by cancellation, a timeout or Ctrl-C, loses nothing: what had come for it is for the next receive. An
    interrupted send whose turn had come goes on: the stream has a copy of the bytes, and writes it to its end, before what is sent
    later; so don't send it again. One whose turn had not come sends nothing.

    Over TLS the handshake may come with the first send or receive, which raise its errors then. A stream that is dropped while open is
    closed with a `ResourceWarning`. It doesn't survive a fork. NNG: `nng_stream`.
    """

    _option_kind = "stream"
    _open = False
    _url: str
    _tls: TLSConfig | None
    _dialed: bool

    def __init__(self) -> None:
        raise TypeError("streams are made by StreamDialer(url).dial() and StreamListener(url).accept()")

    @classmethod
    def _new(cls, url: str, tls: TLSConfig | None, *, dialed: bool) -> "Stream":
        stream = cls.__new__(cls)
        stream._url, stream._tls, stream._dialed = url, tls, dialed
        return stream

    def _take(self, _: Any, op: Any) -> None:
        """Become the stream that an operation was given. It counts as open when `_open` is set, after the operation is over."""
        given = lib.nngio_stream_given(op)
        python.own_stream(self, int(_cast(_ADDRESS, given)))
        self._c = given
        open_streams.add(self)

    # Options.

    def _call(self, verb: str, suffix: str, name: bytes, value: Any) -> None:
        try:
            super()._call(verb, suffix, name, value)
        except NotSupported:
            attribute = next((each for each, option in options_of(type(self)).items() if name == option.option), name.decode())
            raise NotSupported(f"this stream of {self._url} has no {attribute}: its transport tells nothing of it") from None

    local_address = AddressOption("local-address", "This side's address.", readonly=True)
    remote_address = AddressOption("remote-address", "The peer's address; with ipc the path for both ends.", readonly=True)
    tcp_nodelay = BoolOption("tcp-nodelay", "Whether small pieces are sent at once, without waiting for more. TCP only.")
    tcp_keepalive = BoolOption("tcp-keepalive", "Whether the system looks now and then if the peer is there. TCP only.")
    peer_uid = NumberOption("ipc:peer-uid", "The user that the peer runs as. UNIX sockets only.", readonly=True)
    peer_gid = NumberOption("ipc:peer-gid", "The group that the peer runs as. UNIX sockets only.", readonly=True)
    peer_pid = NumberOption("ipc:peer-pid", "The peer's process. UNIX sockets only.", readonly=True)
    tls_verified = BoolOption("tls-verified", "Whether the peer's certificate was verified; False before the handshake.", readonly=True)
    tls_peer_cn = CommonNameOption("tls-peer-cn", "The common name in the peer's certificate, or None. NNG 1.6 or later.", readonly=True)
    ws_send_text = BoolOption("ws:send-text", "Whether frames are sent as text.", readonly=True)
    ws_recv_text = BoolOption("ws:recv-text", "Whether frames of text are accepted.", readonly=True)
    ws_request_headers = HeadersOption("ws:request-headers", "The headers of the handshake's request.", readonly=True)
    ws_response_headers = HeadersOption("ws:response-headers", "The headers of the handshake's response.", readonly=True)
    ws_request_uri = StringOption("ws:request-uri", "The path that was asked for, with its query.", readonly=True)

    @property
    def url(self) -> str:
        """The URL that was dialed, or listened at."""
        return self._url

    @property
    def closed(self) -> bool:
        """Whether `close` was called. An end that the peer has made is told by the receives."""
        return not self._open or bool(lib.nngio_stream_closed(self._c))

    # Receiving.

    def recv(self, max: int = CHUNK, *, timeout: float | None = None) -> bytes:  # noqa: A002  # as in recv_many
        """Receive what has come, at least one byte and at most `max`; b"" when the peer has ended the stream in good order.

        `timeout` is in seconds, None for ever; the shortest is a moment of 10 ms.

        Raises `TimedOut`, `Closed`, `ConnectionReset` where the connection broke. Ctrl-C interrupts it. Thread-safe.
        NNG: `nng_stream_recv`.
        """
        ms, most = call_ms(timeout), room("max", max)
        code, data = call(self._receive(1, most), body, ms)
        if code and code != _END:
            self._fail(code)
        return data or b""

    def recv_exactly(self, size: int, *, timeout: float | None = None) -> bytes:
        """Receive so many bytes, and wait until they have come.

        Raises `ConnectionShutdown` when the stream ends before; what has come until then is kept for `recv`, as it is after
        a timeout. Otherwise as `recv`.
        """
        ms = call_ms(timeout)
        if not room("size", size, least=0):
            return b""
        code, data = call(self._receive(size, size), body, ms)
        if code:
            self._fail(code, size)
        return data or b""

    def recv_into(self, buffer: "Buffer", *, timeout: float | None = None) -> int:
        """Receive what has come into a writable buffer, as much as it holds; return the number of bytes, 0 at the end of the stream.

        Otherwise as `recv`.
        """
        ms = call_ms(timeout)
        view = writable(buffer)
        try:
            code, size = call(self._receive(1, len(view)), lambda _, op: copy_into(view, op), ms)
        except BaseException:
            view.release()  # or the traceback would pin the buffer
            raise
        if code:
            self._filled_none(code, view)
        return size or 0

    async def arecv(self, max: int = CHUNK, *, timeout: float | None = None) -> bytes:  # noqa: A002
        """Receive what has come. The awaitable `recv`, on asyncio and trio.

        Cancellation: what has come by then is kept for the next receive, whoever calls it and from wherever.
        """
        ms, most = call_ms(timeout), room("max", max)
        code, data = await acall(self._receive(1, most), body, ms)
        if code and code != _END:
            self._fail(code)
        return data or b""

    async def arecv_exactly(self, size: int, *, timeout: float | None = None) -> bytes:
        """Receive so many bytes. The awaitable `recv_exactly`; cancellation as of `arecv`."""
        ms = call_ms(timeout)
        if not room("size", size, least=0):
            return b""
        code, data = await acall(self._receive(size, size), body, ms)
        if code:
            self._fail(code, size)
        return data or b""

    async def arecv_into(self, buffer: "Buffer", *, timeout: float | None = None) -> int:
        """Receive what has come into a writable buffer. The awaitable `recv_into`; cancellation as of `arecv`."""
        ms = call_ms(timeout)
        view = writable(buffer)
        try:
            code, size = await acall(self._receive(1, len(view)), lambda _, op: copy_into(view, op), ms)
        except BaseException:
            view.release()  # or the traceback would pin the buffer
            raise
        if code:
            self._filled_none(code, view)
        return size or 0

    def _receive(self, least: int, most: int) -> "Begin":
        c = self._c
        return lambda op, ms: lib.nngio_stream_begin_recv(op, c, least, most, ms)

    def _filled_none(self, code: int, view: memoryview) -> None:
        view.release()  # which `copy_into` has done otherwise
        if code != _END:
            self._fail(code)

    def __iter__(self) -> Iterator[bytes]:
        """What comes, as it comes, until the end of the stream."""
        while data := self.recv():
            yield data

    def __aiter__(self) -> AsyncIterator[bytes]:
        """What comes, as it comes, until the end of the stream."""
        return Chunks(self)

    # Sending.

    def send(self, data: "Buffer", *, timeout: float | None = None) -> int:
        """Send as much as goes at once, at least one byte; return how many. `send_all` sends all.

        `data` is bytes, or anything else with a buffer; its bytes are copied. `timeout` is in seconds, None for ever; the shortest
        is a moment of 10 ms.

        Raises `TimedOut`, `Closed`, `ConnectionShutdown` or `ConnectionReset` when the peer has gone, `NoMemory`. Ctrl-C interrupts it;
        what becomes of the bytes then is told at `Stream`. Thread-safe. NNG: `nng_stream_send`.
        """
        return self._send(data, timeout, whole=False)

    def send_all(self, data: "Buffer", *, timeout: float | None = None) -> None:
        """Send all of the bytes, and return when the last have been written. Otherwise as `send`."""
        self._send(data, timeout, whole=True)

    def _send(self, data: "Buffer", timeout: float | None, *, whole: bool) -> int:
        ms = call_ms(timeout)
        code, written = call(self._write(data, whole), _written, ms)
        if code:
            self._fail(code)
        return written or 0

    async def asend(self, data: "Buffer", *, timeout: float | None = None) -> int:
        """Send as much as goes at once. The awaitable `send`, on asyncio and trio.

        Cancellation: a send whose turn has come goes on to its end; see `Stream`.
        """
        return await self._asend(data, timeout, whole=False)

    async def asend_all(self, data: "Buffer", *, timeout: float | None = None) -> None:
        """Send all of the bytes. The awaitable `send_all`; cancellation as of `asend`."""
        await self._asend(data, timeout, whole=True)

    async def _asend(self, data: "Buffer", timeout: float | None, *, whole: bool) -> int:
        ms = call_ms(timeout)
        code, written = await acall(self._write(data, whole), _written, ms)
        if code:
            self._fail(code)
        return written or 0

    def _write(self, data: "Buffer", whole: bool) -> "Begin":
        c = self._c
        pointer, size = pointer_to(data)
        return lambda op, ms: lib.nngio_stream_begin_send(op, c, pointer, size, whole, ms)

    def _fail(self, code: int, size: int = 0) -> NoReturn:
        """Raise the error of a send, or of a receive of so many bytes."""
        if code == lib.NNG_ECLOSED:
            raise Closed("this stream is closed")
        why = self._reason(code)
        if code == _END and size:
            raise ConnectionShutdown(f"the stream ended before {size} bytes had come; recv() returns those that did{why}")
        if code == _END:
            raise ConnectionShutdown(f"the peer has ended the connection: nobody would read what is sent{why}")
        error = NNGError.from_code(code)
        raise type(error)(f"{self._url}: {error}{why}", code=code) if why else error

    def _reason(self, code: int) -> str:
        """Why the handshake, which NNG makes with the first send or receive, is likely to have failed; empty for what came later."""
        if code not in HANDSHAKE or lib.nngio_stream_heard(self._c):
            return ""
        return reason(code, self._url, self._tls) if self._dialed else accept_reason(code) if self._tls else ""

    # The end.

    def close(self) -> None:
        """Close it: calls that wait on it end with `Closed`. Closing it again does nothing; nor does it in a forked child, even once.

        What was sent, and not read by the peer yet, still arrives, but over TLS, where NNG drops the last 16 KiB if the peer is
        slow; let it answer first. What has come and was not received is gone. Thread-safe. NNG: `nng_stream_close`, `nng_stream_free`.
        """
        if self._open:
            lib.nngio_stream_close(self._c)
            open_streams.discard(self)

    def __del__(self) -> None:
        if library.forked or self.closed:
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        if not library.exiting:
            self.close()

    def __repr__(self) -> str:
        state = ", its parent's" if library.forked else ", closed" if self.closed else ""
        return f"<nngio.Stream {self._url}{state}>"


class Chunks:
    """Not an async generator, which whoever leaves a loop early would have to close."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __aiter__(self) -> "Self":
        return self

    async def __anext__(self) -> bytes:
        if data := await self._stream.arecv():
            return data
        raise StopAsyncIteration


# Steps of a call.


def room(name: str, size: int, least: int = 1) -> int:
    """What a receive may take."""
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"{name} is a number of bytes, not {type(size).__name__}")
    if size < least:
        raise ValueError(f"{name} is {least} or more bytes, not {size}")
    if size >= 2**62:
        raise ValueError(f"{name} is more than any memory: {size} bytes")
    return size


def pointer_to(data: "Buffer") -> tuple[Any, int]:
    """The bytes to be sent, for C."""
    if isinstance(data, str):
        raise TypeError("a stream carries bytes, not str: encode it first, as in text.encode()")
    return as_bytes_like(data)


def writable(buffer: "Buffer") -> memoryview:
    """A view of a buffer that is to be filled."""
    view = memoryview(buffer)
    if view.readonly or not view.c_contiguous:
        raise TypeError("recv_into needs a writable, contiguous buffer, such as a bytearray")
    if not view.nbytes:
        raise ValueError("recv_into needs a buffer with room for one byte at least")
    return view.cast("B")


def copy_into(view: memoryview, op: Any) -> int:
    """Copy what a receive has brought, and let the buffer go."""
    size: int = op.len
    with view:
        ffi.memmove(ffi.from_buffer(view), op.body, size)
    return size


def _written(_: Any, op: Any) -> int:
    size: int = op.bytes
    return size
