"""Dialers and listeners: how a socket gets its pipes."""

from typing import TYPE_CHECKING, Any

from nngio._core import library
from nngio._core.errors import BadState, ForkedError, InvalidArgument, NNGError
from nngio._core.library import ffi, lib
from nngio._core.loops import current
from nngio._core.operation import PENDING, new_operation
from nngio._options import HasOptions, SizeOption

if TYPE_CHECKING:
    from nngio._socket import Socket

__all__ = ["Endpoint"]


class Endpoint(HasOptions):
    """What a dialer and a listener have in common: a URL, options, a start and an end."""

    _noun: str
    _ended = False
    """Whether it is closed for certain; it may be so otherwise, with its socket."""

    def __init__(self, socket: "Socket", url: str) -> None:
        self.socket = socket
        if not isinstance(url, str):
            raise TypeError(f"a URL is text, not {type(url).__name__}")
        if "\0" in url:
            raise InvalidArgument("a URL can't hold a NUL character")
        self._c = ffi.new(f"nng_{self._option_kind} *")[0]
        out = ffi.new(f"nng_{self._option_kind} *")
        socket._check_open()
        self._check(getattr(lib, f"nng_{self._option_kind}_create")(out, socket._c, url.encode()), f"{self._noun} {url}")
        self._c = out[0]
        self._url = url
        self._started = False

    recv_max_size = SizeOption(
        "recv-size-max",
        "The largest message that a peer may send, in bytes; a peer that sends more is disconnected. 0, the default: no limit.",
    )

    @property
    def url(self) -> str:
        """The URL, as it was given; in that of a started listener, port 0 has become the port that it got."""
        return self._url

    @property
    def id(self) -> int:
        """NNG's number of it, positive."""
        number: int = getattr(lib, f"nng_{self._option_kind}_id")(self._c)
        return number

    def _check(self, code: int, doing: str) -> None:
        """Raise the error of an attempt, in words that say what was attempted."""
        if code == lib.NNG_ENOTSUP:
            raise NNGError.from_code(code, f"{doing}: no transport of this build knows that kind of URL")
        if code:
            error = NNGError.from_code(code)
            raise type(error)(f"{doing}: {error}", code=code)

    def close(self) -> None:
        """Close it and its pipes. Closing it again does nothing. In a forked child, neither does closing it once."""
        if not library.forked:
            getattr(lib, f"nng_{self._option_kind}_close")(self._c)
            self._ended = True

    async def aclose(self) -> None:
        """Close it. The awaitable `close`, on asyncio and trio: the loop goes on meanwhile.

        Cancellation doesn't stop it: the cancellation is raised when it is closed.
        """
        if library.forked or self._ended:
            return
        adapter = current()
        op = adapter.take()
        try:
            if self._begin_close(op.c) == PENDING:
                self._ended = True
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
            self._begin_close(new_operation(-1))  # its coroutine is dropped, so nobody can wait; the closing goes on in C

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<nngio.{type(self).__name__} {self._url}>"

    def _begin(self) -> None:
        if library.forked:
            raise ForkedError()
        if self._started:
            raise BadState(f"this {type(self).__name__.lower()} was started before")
