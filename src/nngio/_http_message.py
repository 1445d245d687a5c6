"""Requests and responses of HTTP, as values, and their way to NNG and back.

NNG keeps the text of a request or response that it has written, so one that is changed and written again would go out as it was. Hence
what users have are plain Python objects, and each that is sent is made anew in C. Everything that could break out of its line is refused
when it is set.

NNG finds a received header by its name, and doesn't list them, but in its own functions. Where those are at hand, as in the NNG that
is built in, all headers are copied when a message comes. With a system's library a message keeps NNG's half, to ask it.
"""

import re
from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Self

from nngio._core.errors import BadState, InvalidArgument, NNGError, NoMemory, NotSupported, check
from nngio._core.library import NULL, ffi, lib, python
from nngio._message import as_bytes_like

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Headers", "Request", "Response", "build_request", "build_response", "new_message", "read_request", "read_response", "text_of"]

VISIBLE = "".join(map(chr, range(33, 127)))
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_URI = re.compile(r"[!-~]+")
_LINE = re.compile(r"[\t -~]*")
_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]")
LARGEST_BODY = 2**32 - 1
"""NNG writes the Content-Length with 32 bits."""
_WITHOUT_BODY = (204, 304)

_ADDRESS = ffi.typeof("uintptr_t")


class Headers(MutableMapping[str, str]):
    """The headers of a request or response: a mapping from names to values, in which case doesn't tell names apart.

    A header that comes several times is one, with the values joined by `", "`; so is what `add` makes. Values are ASCII, without
    line breaks and other control characters; what breaks that, or is no name, is refused with `InvalidArgument`.

    Those of a received message can be listed with the NNG that is built in; a system's library only finds one by its name, and
    iterating raises `NotSupported`.

    NNG: `nng_http_req_get_header`, `nng_http_req_set_header`, `nng_http_req_add_header`, `nng_http_req_del_header`,
    `nng_http_res_get_header`, `nng_http_res_set_header`, `nng_http_res_add_header`, `nng_http_res_del_header`.
    """

    __slots__ = ("_deleted", "_items", "_kept")

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self._items: dict[str, tuple[str, str]] = {}
        self._kept: Kept | None = None
        self._deleted: set[str] = set()
        for name, value in (headers or {}).items():
            self.add(name, value)

    def __getitem__(self, name: str) -> str:
        item = self._items.get(name.lower())
        if item is not None:
            return item[1]
        if self._kept is None or name.lower() in self._deleted:
            raise KeyError(name)
        value = self._kept.header(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        _check_header(name, value)
        self._items[name.lower()] = (name, value)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._items.pop(name.lower(), None)
        self._deleted.add(name.lower())

    def add(self, name: str, value: str) -> None:
        """Add a value to those that the header has, or the header."""
        _check_header(name, value)
        had = self.get(name)
        self[name] = value if had is None else f"{had}, {value}"

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            self[name]
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        if self._kept is not None:
            raise NotSupported("this NNG doesn't list the headers that it received: ask for one by its name")
        return (name for name, _ in self._items.values())

    def __len__(self) -> int:
        if self._kept is not None:
            raise NotSupported("this NNG doesn't count the headers that it received: ask for one by its name")
        return len(self._items)

    def __repr__(self) -> str:
        return "Headers(<as received>)" if self._kept is not None else f"Headers({dict(self)!r})"


class Kept:
    """NNG's half of a message that was received."""

    __slots__ = ("_c", "_owner")

    def __init__(self, c: Any) -> None:
        python.own_http_message(self, int(ffi.cast(_ADDRESS, c)))
        self._c = c

    def header(self, name: str) -> str | None:
        """The value of a header."""
        _check_header(name, "")
        value = text_of(self._c, lib.NNGIO_HTTP_HEADER, name.encode())
        if value is None and text_of(self._c, lib.NNGIO_HTTP_VERSION) is None:
            raise BadState("this request has been answered, and this NNG keeps no headers after that: look at them before")
        return value


class _HTTPMessage:
    """What requests and responses have in common."""

    __slots__ = ("_body", "_headers", "_version")

    def __init__(self, headers: "Mapping[str, str] | None", body: "Buffer", version: str) -> None:
        self.headers = headers if headers is not None else {}
        self.body = body
        self.version = version

    @property
    def headers(self) -> Headers:
        """The headers. Any mapping from names to values can be assigned."""
        return self._headers

    @headers.setter
    def headers(self, headers: Mapping[str, str]) -> None:
        if not isinstance(headers, Mapping):
            raise TypeError(f"headers are a mapping from names to values, not {type(headers).__name__}")
        self._headers = headers if type(headers) is Headers else Headers(headers)

    @property
    def body(self) -> bytes:
        """The body. What is assigned is bytes, or has a buffer, and is copied; less than 4 GiB. Its Content-Length is seen to.

        NNG: `nng_http_req_get_data`, `nng_http_req_set_data`, `nng_http_req_copy_data`, `nng_http_res_get_data`,
        `nng_http_res_set_data`, `nng_http_res_copy_data`.
        """
        return self._body

    @body.setter
    def body(self, body: "Buffer") -> None:
        if isinstance(body, str):
            raise TypeError("a body is bytes, not str: encode it first, as in text.encode()")
        size = memoryview(body).nbytes
        if size > LARGEST_BODY:
            raise InvalidArgument(f"a body has less than 4 GiB, not {size} bytes")
        self._body = bytes(body)

    @property
    def version(self) -> str:
        """The version, such as `"HTTP/1.1"`.

        NNG: `nng_http_req_get_version`, `nng_http_req_set_version`, `nng_http_res_get_version`, `nng_http_res_set_version`.
        """
        return self._version

    @version.setter
    def version(self, version: str) -> None:
        self._version = _fits("version", version, _VERSION, "HTTP/1.1 or HTTP/1.0")


class Request(_HTTPMessage):
    """What a client asks for.

    A plain value: it can be changed, sent any number of times, and used on any thread, by one at a time. A `Client` adds the header
    Host. What would break a line, or end it, is refused with `InvalidArgument`.

    Args:
        method: such as GET, HEAD or POST.
        uri: the path with its query, in ASCII; `urllib.parse.quote` encodes what isn't.
        headers: a mapping from names to values.
        body: bytes, or what has a buffer.
        version: HTTP/1.1 or HTTP/1.0.

    NNG: `nng_http_req_alloc`, `nng_http_req_free`.
    """

    __slots__ = ("_method", "_uri")

    def __init__(
        self,
        method: str = "GET",
        uri: str = "/",
        *,
        headers: Mapping[str, str] | None = None,
        body: "Buffer" = b"",
        version: str = "HTTP/1.1",
    ) -> None:
        self.method = method
        self.uri = uri
        super().__init__(headers, body, version)

    @property
    def method(self) -> str:
        """The method. NNG: `nng_http_req_get_method`, `nng_http_req_set_method`."""
        return self._method

    @method.setter
    def method(self, method: str) -> None:
        self._method = _fits("method", method, TOKEN, "a word such as GET")

    @property
    def uri(self) -> str:
        """What is asked for: the path with its query, as it is sent.

        In what a server receives, NNG 1.12.4 has made the path canonical: without `//`, `.` and `..`, and quoted where it must be.

        NNG: `nng_http_req_get_uri`, `nng_http_req_set_uri`.
        """
        return self._uri

    @uri.setter
    def uri(self, uri: str) -> None:
        self._uri = _fits("uri", uri, _URI, "visible ASCII without spaces, such as /a?b=c; urllib.parse.quote encodes the rest")

    @property
    def path(self) -> str:
        """The path that is asked for, decoded and without the query."""
        from urllib.parse import unquote, urlsplit

        target = self._uri if self._uri.lower().startswith(("http://", "https://")) else f"http://h/{self._uri.removeprefix('/')}"
        try:
            return unquote(urlsplit(target).path) or "/"
        except ValueError:
            return "/"

    @property
    def query(self) -> str:
        """The query: what is behind the `?`, not decoded; `urllib.parse.parse_qs` takes it apart."""
        return self._uri.partition("?")[2].partition("#")[0]

    def reset(self) -> None:
        """Make it what `Request()` is. NNG: `nng_http_req_reset`."""
        self.__init__()  # type: ignore[misc]  # a subclass with other arguments has a reset of its own

    def __repr__(self) -> str:
        return f"<nngio.http.Request {self._method} {self._uri}>"


class Response(_HTTPMessage):
    """What a server answers.

    A plain value, as `Request`.

    Args:
        status: the number, from 100 to 999.
        body: bytes, or what has a buffer.
        headers: a mapping from names to values.
        reason: the words behind the status; None for NNG's.
        version: HTTP/1.1 or HTTP/1.0.

    NNG: `nng_http_res_alloc`, `nng_http_res_free`.
    """

    __slots__ = ("_error", "_reason", "_status")

    def __init__(
        self,
        status: int = 200,
        body: "Buffer" = b"",
        *,
        headers: Mapping[str, str] | None = None,
        reason: str | None = None,
        version: str = "HTTP/1.1",
    ) -> None:
        self._error = False
        self.status = status
        self.reason = reason
        super().__init__(headers, body, version)

    @classmethod
    def error(cls, status: int) -> Self:
        """A response with a page that tells the status. A server that has a page of its own for it (`Server.error_page`) shows that.

        NNG: `nng_http_res_alloc_error`.
        """
        response = cls(status)
        c = new_message(lib.nngio_http_response, status)
        response.body = body_of(c)
        response.headers["Content-Type"] = text_of(c, lib.NNGIO_HTTP_HEADER, b"Content-Type") or "text/html"
        response._error = True
        return response

    @property
    def status(self) -> int:
        """The number that says what became of the request. NNG: `nng_http_res_get_status`, `nng_http_res_set_status`."""
        return self._status

    @status.setter
    def status(self, status: int) -> None:
        self._status = status_number(status)
        self._error = False

    @property
    def reason(self) -> str:
        """The words for the status; None can be assigned, for NNG's. NNG: `nng_http_res_get_reason`, `nng_http_res_set_reason`."""
        if self._reason is None:
            c = new_message(lib.nngio_http_response, 0)
            check(lib.nng_http_res_set_status(c.res, self._status))
            return text_of(c, lib.NNGIO_HTTP_REASON) or ""
        return self._reason

    @reason.setter
    def reason(self, reason: str | None) -> None:
        self._reason = None if reason is None else _fits("reason", reason, _LINE, "ASCII without line breaks")

    @property
    def body(self) -> bytes:
        """The body; as of a request."""
        return self._body

    @body.setter
    def body(self, body: "Buffer") -> None:
        _HTTPMessage.body.fset(self, body)  # type: ignore[attr-defined]  # a property, which mypy takes for its value
        self._error = False

    def reset(self) -> None:
        """Make it what `Response()` is. NNG: `nng_http_res_reset`."""
        self.__init__()  # type: ignore[misc]  # a subclass with other arguments has a reset of its own

    def __repr__(self) -> str:
        return f"<nngio.http.Response {self._status}, {len(self._body)} bytes>"


# What users set.


def _fits(what: str, value: str, pattern: "re.Pattern[str]", like: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"the {what} is text, not {type(value).__name__}")
    if not pattern.fullmatch(value):
        raise InvalidArgument(f"the {what} is {like}; not {value[:80]!r}")
    return value


def _check_header(name: str, value: str) -> None:
    for text, what in ((name, "name"), (value, "value")):
        if not isinstance(text, str):
            raise TypeError(f"a header's {what} is text, not {type(text).__name__}")
    if not TOKEN.fullmatch(name):
        raise InvalidArgument(f"{name[:80]!r} is no name of a header: it has letters, digits and any of !#$%&'*+.^_`|~-")
    if not _LINE.fullmatch(value):
        raise InvalidArgument(f"the header {name!r} has ASCII as its value, without line breaks and other control characters")


def status_number(status: int) -> int:
    """A status, checked."""
    if isinstance(status, bool) or not isinstance(status, int):
        raise TypeError(f"a status is a number, not {type(status).__name__}")
    if not 100 <= status <= 999:
        raise InvalidArgument(f"a status is from 100 to 999, not {status}")
    return int(status)


# To NNG.


def new_message(make: Any, *arguments: Any) -> Any:
    """A request or response in C, for a function to use."""
    code = ffi.new("int *")
    c = make(*arguments, code)
    if c == NULL:
        no_http(code[0])
    return ffi.gc(c, lib.nngio_http_message_free)


def no_http(code: int) -> None:
    """Raise the error for a code, if it is one."""
    if code == lib.NNG_ENOTSUP:
        raise NotSupported("this build of NNG has no HTTP")
    if code:
        raise NNGError.from_code(code)


def build_request(request: Request, host: str | None = None) -> Any:
    """A request in C. `host` is for the header Host, where there is none."""
    c = new_message(lib.nngio_http_request)
    req = c.req
    check(lib.nng_http_req_set_method(req, request._method.encode()))
    check(lib.nng_http_req_set_uri(req, request._uri.encode()))
    check(lib.nng_http_req_set_version(req, request._version.encode()))
    headers = request._headers
    if host is not None and "Host" not in headers:
        check(lib.nng_http_req_set_header(req, b"Host", host.encode()))
    _give_headers(headers, request._body, req, lib.nng_http_req_set_header)
    if request._body:
        check(lib.nng_http_req_copy_data(req, *as_bytes_like(request._body)))
    return c


def build_response(response: Response) -> Any:
    """A response in C."""
    c = new_message(lib.nngio_http_response, response._status if response._error else 0)
    res = c.res
    check(lib.nng_http_res_set_status(res, response._status))
    check(lib.nng_http_res_set_version(res, response._version.encode()))
    if response._reason is not None:
        check(lib.nng_http_res_set_reason(res, response._reason.encode()))
    headers = response._headers
    _give_headers(headers, response._body, res, lib.nng_http_res_set_header)
    if response._error:
        return c
    if response._body:
        check(lib.nng_http_res_copy_data(res, *as_bytes_like(response._body)))
    elif (
        response._status >= 200
        and response._status not in _WITHOUT_BODY
        and "Content-Length" not in headers
        and "Transfer-Encoding" not in headers
    ):
        check(lib.nng_http_res_set_data(res, NULL, 0))
    return c


def _give_headers(headers: Headers, body: bytes, c: Any, give: Any) -> None:
    if headers._kept is not None:
        raise InvalidArgument(
            "this message was received, and this NNG doesn't list its headers: make a new one with those that are to go on"
        )
    for name, value in headers.items():
        lower = name.lower()
        if body and lower == "transfer-encoding":
            raise InvalidArgument(
                "a body is sent with its length, not with a Transfer-Encoding: delete that header, or write the body yourself"
            )
        if body and lower == "content-length":
            if value != str(len(body)):
                raise InvalidArgument(f"the Content-Length is {value!r}, and the body has {len(body)} bytes: delete that header")
            continue
        check(give(c, name.encode(), value.encode()))


# From NNG.


def text_of(c: Any, which: int, name: Any = NULL) -> str | None:
    """A text of a message in C."""
    text = lib.nngio_http_text(c, which, name)
    if text == NULL:
        return None
    try:
        raw: bytes = ffi.string(text)
    finally:
        lib.nngio_http_text_free(text)
    return raw.decode("latin-1")


def body_of(c: Any) -> bytes:
    """The body of a message in C."""
    size = ffi.new("size_t *")
    data = lib.nngio_http_body(c, size)
    if data == NULL:
        if size[0]:
            raise NoMemory()
        return b""
    try:
        body: bytes = ffi.unpack(ffi.cast("char *", data), size[0])
    finally:
        lib.nngio_http_text_free(data)
    return body


def _read_headers(c: Any) -> Headers:
    headers = Headers()
    text = text_of(c, lib.NNGIO_HTTP_HEADERS)
    if text is None:
        headers._kept = Kept(c)
        return headers
    for line in text.split("\r\n"):
        name, separator, value = line.partition(": ")
        if separator:
            headers._items[name.lower()] = (name, value)
    return headers


def _quoted(uri: str) -> str:
    """The URI as it was sent: NNG 1.12.4 has decoded what is no ASCII."""
    from urllib.parse import quote

    return quote(uri, safe=VISIBLE, encoding="latin-1")


def read_request(c: Any) -> Request | None:
    """What was received; None when it is a call that was answered meanwhile."""
    texts = [text_of(c, which) for which in (lib.NNGIO_HTTP_METHOD, lib.NNGIO_HTTP_URI, lib.NNGIO_HTTP_VERSION)]
    if None in texts:
        return None
    request = Request.__new__(Request)
    request._method, uri, request._version = (text or "" for text in texts)
    request._uri = uri if uri.isascii() else _quoted(uri)
    request._headers = _read_headers(c)
    request._body = body_of(c)
    return request


def read_response(c: Any) -> Response:
    """What was received."""
    response = Response.__new__(Response)
    response._status = int(lib.nng_http_res_get_status(c.res))
    response._reason = text_of(c, lib.NNGIO_HTTP_REASON)
    response._version = text_of(c, lib.NNGIO_HTTP_VERSION) or ""
    response._headers = _read_headers(c)
    response._body = body_of(c)
    response._error = False
    return response
