"""HTTP servers, and the handlers that answer their requests.

NNG calls a handler on a thread of its own. C puts the call on a list (`_ffi/shim/http_server.c`), which the callback thread looks at
whenever it is woken. There the handler's function is called, and what it returns goes back to NNG.
"""

import contextlib
import itertools
import os
import re
import warnings
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from nngio._address import TCPAddress, from_sockaddr
from nngio._core import callbacks, library
from nngio._core.closing import Closing
from nngio._core.errors import AddressInUse, BadState, Closed, ForkedError, InvalidArgument, NNGError, NoEntry
from nngio._core.library import NULL, ffi, lib, python
from nngio._core.loops import current
from nngio._core.nng import patched
from nngio._core.urls import encode_url, url_text
from nngio._http_client import Connection, check_url
from nngio._http_message import (
    TOKEN,
    Request,
    Response,
    body_of,
    build_response,
    new_message,
    no_http,
    read_request,
    status_number,
    text_of,
)
from nngio._message import as_bytes_like
from nngio._tls import TLSConfig

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from nngio._url import URL

__all__ = ["Handler", "Server"]

Function = Callable[[Request], "Response | bytes | str"]
Takeover = Callable[[Request, Connection], object]

MAX_BODY = 2**20
"""What a request may have, unless it is told: NNG's own default."""
BATCH = 16
"""Requests that the callback thread sees to before it looks at what else there is."""
_ADDRESS = ffi.typeof("uintptr_t")
_PATH = re.compile(r"/[^\0-\x20\x7f?#]*")
_ANY_PORT = re.compile(r"(https?[46]?://[^/]*):0(|/.*)", re.IGNORECASE)
_TYPE = re.compile(r"[!-~][ -~]*")

_tags = itertools.count(1)
_registered: "weakref.WeakValueDictionary[int, Added]" = weakref.WeakValueDictionary()
"""By tag, what servers have for functions."""


class Handler:
    """What a server answers requests for a path with: a function of yours, or one of `static`, `file`, `directory` and `redirect`.

    The function is called with the `Request` and returns a `Response`; bytes or text are one with status 200. It runs on the thread
    that runs nngio's callbacks, one after the other, so it must not take long, and must not wait for a request to the same process. When
    it raises, `sys.unraisablehook` is called, and the client gets status 500. A HEAD comes to the handler for GET, and its response
    goes out without the body.

    With `hijack` the function is called with the `Request` and the `Connection`, which is its own from then on; what it returns
    is ignored.

    Handlers are values: the same one may be added to several servers.

    Args:
        path: the path to answer for, without a query; decoded, as requests' paths are before they are compared.
        function: what is called.
        method: the one method to answer; None for all.
        host: the one host to answer for, by the header Host; None for all.
        tree: whether all paths below are answered too. The handler with the longest path that fits is the one.
        tree_exclusive: the same, and no other handler may be below.
        max_body: the largest body that is accepted, in bytes. More is answered with status 400.
        hijack: whether the function takes the connection over.

    NNG: `nng_http_handler_alloc`, `nng_http_handler_free`, `nng_http_handler_set_method`, `nng_http_handler_set_host`,
    `nng_http_handler_set_tree`, `nng_http_handler_set_tree_exclusive`, `nng_http_handler_collect_body`, `nng_http_hijack`.
    """

    __slots__ = ("_fixed", "_function", "_hijack", "_host", "_max_body", "_method", "_path", "_target", "_tree", "_type")

    def __init__(
        self,
        path: str,
        function: "Function | Takeover",
        *,
        method: str | None = "GET",
        host: str | None = None,
        tree: bool = False,
        tree_exclusive: bool = False,
        max_body: int = MAX_BODY,
        hijack: bool = False,
    ) -> None:
        if not callable(function):
            raise TypeError(f"a handler's function is called with a request, and {type(function).__name__} can't be")
        if isinstance(max_body, bool) or not isinstance(max_body, int):
            raise TypeError(f"max_body is a number of bytes, not {type(max_body).__name__}")
        if not 0 <= max_body < 2**31:
            raise InvalidArgument(f"max_body is from 0 to 2 GiB, not {max_body}")
        self._set(path, method, host, tree, tree_exclusive)
        self._function: Function | Takeover | None = function
        self._max_body = max_body
        self._hijack = hijack

    def _set(self, path: str, method: str | None, host: str | None, tree: bool, tree_exclusive: bool) -> None:
        self._path = _check_path(path)
        if method is not None and (not isinstance(method, str) or not TOKEN.fullmatch(method)):
            raise InvalidArgument(f"the method is a word such as GET, or None for all; not {method!r}")
        if host is not None and (not isinstance(host, str) or not re.fullmatch(r"[!-~]+", host)):
            raise InvalidArgument(f"the host is a name or an address, in ASCII, or None for all; not {host!r}")
        self._method, self._host = method, host
        self._tree = "exclusive" if tree_exclusive else "tree" if tree else ""
        self._function = None
        self._fixed: bytes | None = None
        self._type = ""
        self._target: tuple[bytes, int] | None = None
        self._max_body = 0
        self._hijack = False

    @classmethod
    def static(
        cls,
        path: str,
        body: "Buffer",
        content_type: str = "application/octet-stream",
        *,
        method: str | None = "GET",
        host: str | None = None,
    ) -> Self:
        """Answer with fixed bytes, without Python. What NNG has for it may free the bytes while they are sent, so this doesn't use it.

        NNG: `nng_http_handler_alloc_static`.
        """
        handler = cls.__new__(cls)
        handler._set(path, method, host, tree=False, tree_exclusive=False)
        if isinstance(body, str):
            raise TypeError("a body is bytes, not str: encode it first, as in text.encode()")
        handler._fixed = bytes(memoryview(body))
        handler._type = _check_type(content_type)
        return handler

    @classmethod
    def file(cls, path: str, file: "str | os.PathLike[str]", *, host: str | None = None) -> Self:
        """Answer with a file, which NNG reads each time, whole, on a thread of its own; its type is guessed from its name.

        The answer is 404 while there is no such file. NNG: `nng_http_handler_alloc_file`.
        """
        handler = cls.__new__(cls)
        handler._set(path, "GET", host, tree=False, tree_exclusive=False)
        handler._target = (_file_name(file), 0)
        return handler

    @classmethod
    def directory(cls, path: str, directory: "str | os.PathLike[str]", *, host: str | None = None) -> Self:
        """Answer with the files below a directory: for a folder with its index.html or index.htm, and with 404 for what isn't there.

        Nothing outside of the directory is shown, also not by a symbolic link. Files are read whole, on the thread that runs
        callbacks. What NNG has for it shows what is outside, so this doesn't use it. NNG: `nng_http_handler_alloc_directory`.
        """
        root = os.path.realpath(os.fsdecode(_file_name(directory)))
        base = "" if path == "/" else path.rstrip("/")
        return cls(path, lambda request: _from_directory(root, request.path[len(base) :]), tree_exclusive=True, max_body=0, host=host)

    @classmethod
    def redirect(cls, path: str, location: str, status: int = 301, *, host: str | None = None, tree: bool = False) -> Self:
        """Send clients to another URL. What is behind the path, and a query, is added to it. NNG: `nng_http_handler_alloc_redirect`."""
        handler = cls.__new__(cls)
        handler._set(path, None, host, tree=tree, tree_exclusive=False)
        if not isinstance(location, str) or not re.fullmatch(r"[!-~]+", location):
            raise InvalidArgument(f"the location is a URL, in ASCII and without spaces; not {location!r}")
        if not 300 <= status_number(status) <= 399:
            raise InvalidArgument(f"the status of a redirection is from 300 to 399, not {status}")
        if tree and path == "/" and not location.endswith("/"):
            location += "/"  # NNG adds what is behind the first one
        handler._target = (location.encode(), status)
        return handler

    @property
    def path(self) -> str:
        """The path."""
        return self._path

    @property
    def method(self) -> str | None:
        """The method, or None for all."""
        return self._method

    @property
    def function(self) -> "Function | Takeover | None":
        """The function; None for what NNG answers by itself. NNG: `nng_http_handler_get_data`, `nng_http_handler_set_data`."""
        return self._function

    def _make(self, tag: int) -> Any:
        """NNG's handler, for a function to use."""
        code = ffi.new("int *")
        path = self._path.encode()
        if self._target is not None:
            c = lib.nngio_http_handler_own(path, *self._target, code)
        elif self._fixed is not None:
            c = lib.nngio_http_handler_new(path, 0, self._type.encode(), *as_bytes_like(self._fixed), code)
        else:
            c = lib.nngio_http_handler_new(path, tag, NULL, NULL, 0, code)
        if c == NULL:
            no_http(code[0])
        c = ffi.gc(c, lib.nngio_http_handler_free)
        own = lib.nngio_http_handler_c(c)
        no_http(lib.nng_http_handler_set_method(own, NULL if self._method is None else self._method.encode()))
        if self._host is not None:
            no_http(lib.nng_http_handler_set_host(own, self._host.encode()))
        if self._tree == "tree":
            no_http(lib.nng_http_handler_set_tree(own))
        elif self._tree:
            no_http(lib.nng_http_handler_set_tree_exclusive(own))
        if self._function is not None or self._fixed is not None:
            no_http(lib.nng_http_handler_collect_body(own, True, self._max_body))
        return c

    def __repr__(self) -> str:
        return f"<nngio.http.Handler {self._method or 'any method'} {self._path}>"


class Added:
    """A handler that a server has."""

    def __init__(self, server: "Server", handler: Handler) -> None:
        self.tag = next(_tags)
        self.handler = handler
        self.server = weakref.ref(server)
        self.c = handler._make(self.tag)


class Server(Closing):
    """Answers requests at an address, with handlers.

    `Server(url)` takes http and https; with https, `tls` has the certificate to show. Add handlers, then `start` it. NNG has one
    HTTP server for each host and port: a server that is made for those of a `ws://` listener that has started, or the other way round,
    shares it, so that both answer on one port. Write the host in the same way then. With TLS, the `TLSConfig` of whoever
    was first holds.

    A server that is dropped while open is closed with a `ResourceWarning`. It doesn't survive a fork. Thread-safe.

    Args:
        url: where to listen. Port 0 is any that is free: `port` and `url` tell which after the start. The path counts for nothing.
        handlers: what to answer with; `add` takes more.
        tls: a `TLSConfig`, for https.

    Raises:
        InvalidArgument: what is no URL of HTTP's; https without `tls`; http where the address is one of https already.
        AddressInvalid: the host's name can't be resolved.

    NNG: `nng_http_server_hold`.
    """

    _closed = True

    def __init__(self, url: "str | URL", *handlers: Handler, tls: TLSConfig | None = None) -> None:
        url = url_text(url)
        secure = check_url(url, tls)
        if library.forked:
            raise ForkedError()
        if secure and tls is None:
            raise InvalidArgument(f"{url}: TLS needs a certificate to show; pass tls=nngio.TLSConfig(cert=..., key=...)")
        self._url, self._tls = url, tls
        self._added: dict[Handler, Added] = {}
        self._started = False
        config = tls._for_listener() if tls is not None else NULL
        code = ffi.new("int *")
        c = lib.nngio_http_server_new(encode_url(url), code)
        if c == NULL:
            no_http(code[0])
        python.own_http_server(self, int(ffi.cast(_ADDRESS, c)))
        self._c = c
        self._closed = False
        try:
            code = lib.nngio_http_server_tls(c, config)
            if tls is None and code == 0:
                raise InvalidArgument(f"{url}: somebody serves https:// there already, with which this would be one server")
            if tls is not None and code != lib.NNG_EBUSY:  # which one that runs already says
                no_http(code)
            for handler in handlers:
                self.add(handler)
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """The URL; port 0 has become the port that it got, after the start."""
        any_port = _ANY_PORT.fullmatch(self._url)
        return f"{any_port[1]}:{self.port}{any_port[2]}" if any_port and self._started and not self._closed else self._url

    @property
    def address(self) -> TCPAddress:
        """The address that it is bound to, after the start. NNG: `nng_http_server_get_addr`."""
        sa = ffi.new("nng_sockaddr *")
        self._check(lib.nngio_http_server_address(self._c, sa))
        address = from_sockaddr(sa)
        if not self._started or not isinstance(address, TCPAddress):
            raise BadState("the server has no address before start() has been called")
        return address

    @property
    def port(self) -> int:
        """The port that it is bound to, after the start."""
        return self.address.port

    @property
    def tls(self) -> TLSConfig | None:
        """The `TLSConfig` that it was made with. NNG: `nng_http_server_get_tls`, `nng_http_server_set_tls`."""
        return self._tls

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """The handlers that were added, in that order."""
        return tuple(self._added)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def add(self, handler: Handler) -> Handler:
        """Add a handler, before the start or after it; return it.

        Raises `AddressInUse` when there is one for that path, method and host, also of somebody who shares the address; `Closed`.
        NNG: `nng_http_server_add_handler`.
        """
        if not isinstance(handler, Handler):
            raise TypeError(f"this takes a Handler, not {type(handler).__name__}")
        if library.forked:
            raise ForkedError()
        added = Added(self, handler)
        if handler._function is not None:
            queue = callbacks.start()
            if _serve not in callbacks.sources:
                callbacks.sources.append(_serve)
            lib.nngio_http_wakes(queue)
            _registered[added.tag] = added
        code = lib.nngio_http_server_add(self._c, added.c)
        if code == lib.NNG_EADDRINUSE:
            raise AddressInUse(f"the server has a handler for {handler.method or 'any method'} {handler.path} already")
        self._check(code)
        self._added[handler] = added
        return handler

    def remove(self, handler: Handler) -> None:
        """Remove a handler. What its function has been called for is answered still, what comes later with 404. Raises `NoEntry`.

        NNG: `nng_http_server_del_handler`.
        """
        added = self._added.get(handler)
        if added is None:
            raise NoEntry(f"the server doesn't have {handler!r}")
        self._check(lib.nngio_http_server_remove(self._c, added.c, patched("http-unread-body")))
        self._added.pop(handler, None)

    def start(self) -> None:
        """Listen, and answer. Starting it again does nothing.

        Raises `AddressInUse`, `PermissionDenied`, `Closed`. NNG: `nng_http_server_start`.
        """
        code = lib.nngio_http_server_start(self._c)
        if code and code not in (lib.NNG_ECLOSED, lib.NNGIO_FORKED):
            error = NNGError.from_code(code)
            raise type(error)(f"{self._url}: {error}", code=code)
        self._check(code)
        self._started = True

    def error_page(self, status: int, html: str) -> None:
        """Show this page with a status, where NNG answers with it, or a handler with `Response.error`; before the start.

        Raises `BadState` after it. NNG: `nng_http_server_set_error_page`.
        """
        if not isinstance(html, str):
            raise TypeError(f"a page is text, not {type(html).__name__}")
        if not html or "\0" in html:
            raise InvalidArgument("a page has text, without NUL characters")
        self._page(status, html.encode(), NULL)

    def error_file(self, status: int, path: "str | os.PathLike[str]") -> None:
        """The same with a file, which is read at once. Raises `NoEntry` where there is none. NNG: `nng_http_server_set_error_file`."""
        with open(_file_name(path), "rb") as file:  # noqa: PTH123  # an error of Python's says more
            if not file.read(1):
                raise InvalidArgument(f"{os.fspath(path)} is empty, and no page")
        self._page(status, NULL, _file_name(path))

    def _page(self, status: int, html: Any, path: Any) -> None:
        code = lib.nngio_http_server_page(self._c, status_number(status), html, path)
        if code == lib.NNG_ESTATE:
            raise BadState("pages for errors are set before the start")
        self._check(code)

    def error(self, status: int) -> Response:
        """A response with this server's page for a status. NNG: `nng_http_server_res_error`."""
        c = new_message(lib.nngio_http_response, status_number(status))
        self._check(lib.nngio_http_server_error(self._c, c))
        content_type = text_of(c, lib.NNGIO_HTTP_HEADER, b"Content-Type") or "text/html"
        return Response(status, body_of(c), headers={"Content-Type": content_type})

    def _check(self, code: int) -> None:
        if code == lib.NNG_ECLOSED:
            raise Closed("this server is closed")
        no_http(code)

    def close(self) -> None:
        """Stop it: requests that are being answered are dropped with their connections, and handlers go. Closing it again does nothing.

        Who shares the address goes on. Connections that handlers took over stay. Waits until NNG's threads have let go, but for no
        handler: one may call it. NNG: `nng_http_server_stop`, `nng_http_server_release`.
        """
        if library.forked:
            return
        self._closed = True
        lib.nngio_http_server_close(self._c, patched("http-unread-body"))  # even if it was: Ctrl-C may have come just before this
        self._added.clear()

    async def aclose(self) -> None:
        """Stop it. The awaitable `close`: the loop goes on meanwhile. Cancellation doesn't stop it, and is raised afterwards."""
        if not library.forked and not self._closed:
            await current().in_thread(self.close)

    def __del__(self) -> None:
        if library.forked or self._closed:
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        if not library.exiting:
            self.close()

    def __repr__(self) -> str:
        state = ", its parent's" if library.forked else ", closed" if self._closed else ""
        return f"<nngio.http.Server {self._url}{state}>"


# On the callback thread.


def _serve() -> None:
    """See to requests that wait."""
    tag = ffi.new("uint64_t *")
    for _ in range(BATCH):
        c = lib.nngio_http_next(tag)
        if c == NULL:
            return
        call = ffi.gc(c, lib.nngio_http_call_end)
        added = _registered.get(tag[0])
        if added is not None:
            _answer(added, call)
        else:
            _apologize(call, 404)  # it was removed meanwhile
        ffi.release(call)
    lib.nngio_queue_wake(callbacks.start())  # there may be more


def _answer(added: Added, call: Any) -> None:
    handler = added.handler
    try:
        request = read_request(call)
        if request is None or lib.nngio_http_answered(call):
            return  # the server was closed, perhaps before all of the request was read
        if handler._hijack:
            _hand_over(added, request, call)
        else:
            lib.nngio_http_answer(call, build_response(_response(handler._function(request))))  # type: ignore[misc, call-arg]  # which of the two it takes is checked when it is made
    except BaseException as error:
        if isinstance(error, BadState) and lib.nngio_http_answered(call):
            return  # the same, with an NNG that doesn't list headers
        if not isinstance(error, SystemExit):
            python.report_unraisable(error, handler._function)
        _apologize(call, 500)
        if isinstance(error, SystemExit):
            callbacks.call(_raise, error)


def _apologize(call: Any, status: int) -> None:
    with contextlib.suppress(NNGError):  # the connection ends then
        lib.nngio_http_answer(call, new_message(lib.nngio_http_response, status))


def _raise(error: BaseException) -> None:
    raise error


def _response(answer: object) -> Response:
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, str):
        return Response(200, answer.encode(), headers={"Content-Type": "text/plain; charset=utf-8"})
    if isinstance(answer, bytes | bytearray):
        return Response(200, answer, headers={"Content-Type": "application/octet-stream"})
    raise TypeError(f"a handler returns a Response, bytes or str, not {type(answer).__name__}")


def _hand_over(added: Added, request: Request, call: Any) -> None:
    server = added.server()
    connection = Connection._new(server._url if server is not None else "", "", None, dialed=False)
    code = ffi.new("int *")
    c = lib.nngio_http_take_over(call, code)
    if c == NULL:
        if code[0] == lib.NNG_ECLOSED:
            return
        raise NNGError.from_code(code[0])
    connection._take(ffi.gc(c, lib.nngio_http_let_go))
    connection._open = True
    try:
        added.handler._function(request, connection)  # type: ignore[misc, call-arg]  # which of the two it takes is checked when it is made
    except BaseException:
        connection.close()
        raise


def _from_directory(root: str, path: str) -> Response:
    try:
        target = os.path.realpath(os.path.join(root, path.lstrip("/")))  # noqa: PTH118  # as fast as it gets
        if target != root and not target.startswith(os.path.join(root, "")):  # noqa: PTH118
            return Response.error(404)
        if os.path.isdir(target):  # noqa: PTH112
            return next(
                (_from_file(index) for index in (f"{target}/index.html", f"{target}/index.htm") if os.path.isfile(index)),  # noqa: PTH113
                Response.error(404),
            )
        return _from_file(target) if os.path.isfile(target) else Response.error(404)  # noqa: PTH113
    except PermissionError:
        return Response.error(403)
    except (OSError, ValueError):
        return Response.error(404)


def _from_file(path: str) -> Response:
    import mimetypes

    kind, encoding = mimetypes.guess_type(path)
    with open(path, "rb") as file:  # noqa: PTH123
        body = file.read()
    return Response(200, body, headers={"Content-Type": kind if kind and not encoding else "application/octet-stream"})


# What users set.


def _check_path(path: str) -> str:
    if not isinstance(path, str):
        raise TypeError(f"a path is text, not {type(path).__name__}")
    if not _PATH.fullmatch(path):
        raise InvalidArgument(f"a path begins with / and has no query, space or control character; not {path[:80]!r}")
    return path.rstrip("/") or "/"


def _check_type(content_type: str) -> str:
    if not isinstance(content_type, str) or not _TYPE.fullmatch(content_type):
        raise InvalidArgument(f"a content type is a line of ASCII such as text/plain, not {content_type!r}")
    return content_type


def _file_name(path: "str | os.PathLike[str]") -> bytes:
    raw = os.fsencode(path)
    if b"\0" in raw:
        raise InvalidArgument(f"a file's name can't hold a NUL character: {path!r}")
    return raw
