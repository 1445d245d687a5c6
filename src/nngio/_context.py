"""Contexts: independent exchanges over one socket."""

from nngio._channel import Channel
from nngio._core import library
from nngio._core.errors import Closed, NotSupported, check
from nngio._core.library import ffi, lib
from nngio._core.owner import own_handle
from nngio._core.typing import TYPE_CHECKING, Any
from nngio._options import HasOptions, assign, set_options

if TYPE_CHECKING:
    from typing import Self

    from nngio._socket import Socket

__all__ = ["Context"]


_CTYPES = {"bool": "bool", "int": "int", "ms": "nng_duration", "size": "size_t", "uint64": "uint64_t"}


class Context(Channel, HasOptions):
    """A protocol's state of its own over a socket's pipes: one request or survey at a time, beside those of other contexts.

    `socket.context()` makes it. It ends with `close()`, with its `with` block, or with the socket. Contexts are cheap: a
    server takes one for each request that it works on at the same time. Thread-safe. NNG: `nng_ctx`.
    """

    _option_kind = "ctx"
    _attributes = frozenset({"socket"})
    _handle: Any = None

    socket: "Socket"
    """The socket that it is of."""

    def __init__(self, socket: "Socket", options: dict[str, Any] | None = None) -> None:
        kind = getattr(socket, "_context", None)
        if kind is None or not isinstance(self, kind):
            raise TypeError(_misfit(self, socket))
        socket._check_open()
        code = ffi.new("int *")
        handle = lib.nngio_context_open(socket._handle, socket._flags, code)
        if code[0] == lib.NNG_ENOTSUP and socket._is_raw:
            raise NotSupported(f"a raw {type(socket).__name__} has no contexts: it has no state to be held apart")
        check(code[0])
        assign(self, "_handle", own_handle(self, handle))
        assign(self, "_c", ffi.new("nng_ctx *", {"id": lib.nngio_handle_id(handle)})[0])
        assign(self, "socket", socket)
        if options:
            try:
                set_options(self, options, {type(socket).__name__: type(socket)} | socket._makes)
            except BaseException:
                self.close()
                raise

    @property
    def id(self) -> int:
        """NNG's number of it, positive. NNG: `nng_ctx_id`."""
        number: int = lib.nngio_handle_id(self._handle)
        return number

    def _call(self, verb: str, suffix: str, name: bytes, value: Any) -> None:
        if suffix not in _CTYPES:
            raise NotSupported("no option of a context's is text or an address")
        ctype = _CTYPES[suffix]
        if verb == "set":
            value = ffi.new(f"{ctype} *", value)
            check(lib.nngio_ctx_set(self._handle, name, value, ffi.sizeof(ctype)))
        else:
            check(lib.nngio_ctx_get(self._handle, name, value, ffi.new("size_t *", ffi.sizeof(ctype))))

    @property
    def closed(self) -> bool:
        """Whether it was closed, by itself or with its socket."""
        return self._handle is None or bool(lib.nngio_handle_closed(self._handle))

    def __enter__(self) -> "Self":
        if self.closed and not library.forked:
            raise Closed("this context is closed")
        return super().__enter__()

    def close(self) -> None:
        """End it: calls that wait on it, and pending aios, end with `Closed`. Closing it again does nothing.

        NNG: `nng_ctx_close`.
        """
        if self._handle is not None:
            lib.nngio_handle_close(self._handle)

    def __del__(self) -> None:
        if not library.exiting:
            self.close()

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} can't be copied or pickled: it is one context, of this process")

    def __repr__(self) -> str:
        state = ", closed" if self.closed and not library.forked else ""
        return f"<nngio.{type(self).__name__} {self.id} of {self.socket!r}{state}>"


def _misfit(context: Context, socket: object) -> str:
    name = next(cls.__name__ for cls in type(context).__mro__ if cls.__module__.startswith("nngio."))
    made = f"a {name} is of a {name.removesuffix('Context')}0" if name != "Context" else "Context is what all contexts have in common"
    return f"{made}, and this is a {type(socket).__name__}: make contexts with socket.context()"
