"""URLs, in parts, as NNG understands them."""

from nngio._core.errors import InvalidArgument, check
from nngio._core.library import NULL, ffi, lib
from nngio._core.typing import TYPE_CHECKING, Any, final
from nngio._core.urls import ParsedURL, encode_url, url_text

if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["URL"]

_FIELDS = ("scheme", "userinfo", "host", "hostname", "port", "path", "query", "fragment", "request_uri", "raw")


@final
class URL(ParsedURL):
    """An address of NNG's, taken apart by the parser that NNG's dialers and listeners use.

    `URL(text)` raises `InvalidArgument` for what isn't one; it doesn't look whether the transport exists, or the host. NNG lowers the
    case of scheme and host, decodes what needn't be encoded, and tidies the path (`//`, `/./`, `/../`). Of `ipc`, `unix`, `abstract`
    and `inproc` there are only the scheme and the path, which is left as it is.

    `str()` is the URL put together again from its parts, and URLs with the same parts are equal. It is a plain value: it can't be
    changed, can be pickled, and used on any thread and in a forked child. NNG: `nng_url_parse`, `nng_url_free`.
    """

    __slots__ = _FIELDS

    scheme: str
    """The transport, such as `tcp`."""
    userinfo: str | None
    """What stands before an `@`."""
    host: str | None
    """The host with its port, as given; empty for any host (`*`), None where there are none."""
    hostname: str | None
    """The host alone, an IPv6 address without its brackets; empty for any host."""
    port: int | None
    """The port; where none is given that of `ws`, `wss`, `http`, ...; None where there is none, or a service's name."""
    path: str
    """The path, from its `/` on; the file of `ipc`, the name of `inproc`. Empty if there is none."""
    query: str | None
    """What stands after a `?`."""
    fragment: str | None
    """What stands after a `#`."""
    request_uri: str | None
    """Path, query and fragment together: what a websocket's client asks for."""
    raw: str
    """The text that it was made from."""

    def __init__(self, text: str) -> None:
        text = url_text(text)
        raw = encode_url(text)
        out = ffi.new("nng_url **")
        try:
            code = lib.nng_url_parse(out, raw)
            if code == lib.NNG_EINVAL:
                raise InvalidArgument(_fault(text))
            check(code)
            _fill(self, out[0], text)
        finally:
            if out[0] != NULL:
                lib.nng_url_free(out[0])

    def __str__(self) -> str:
        if self.host is None:
            return f"{self.scheme}://{self.path}"
        # Any host, which is the empty one, has to be written out behind a user.
        host = self.host if self.userinfo is None else f"{self.userinfo}@{self.host or '*'}"
        return f"{self.scheme}://{host}{self.request_uri}"

    def __repr__(self) -> str:
        return f"nngio.URL({self.raw!r})"

    def _parts(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field) for field in _FIELDS[:-1])

    def __eq__(self, other: object) -> bool:
        return self._parts() == other._parts() if isinstance(other, URL) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._parts())

    def __copy__(self) -> "URL":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "URL":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (URL, (self.raw,))

    def __setattr__(self, name: str, value: object) -> "NoReturn":
        raise AttributeError(f"a URL's {name} can't be set: make another, from text")

    def __delattr__(self, name: str) -> "NoReturn":
        raise AttributeError(f"a URL's {name} can't be deleted")


def _fill(url: URL, c: Any, text: str) -> None:
    host = _text(c.u_host)
    port = _text(c.u_port) or ""
    parts = {
        "scheme": _text(c.u_scheme),
        "userinfo": _text(c.u_userinfo),
        "host": host,
        "hostname": _text(c.u_hostname),
        "port": int(port) if port.isascii() and port.isdecimal() and len(port) <= MOST_DIGITS else None,
        "path": _text(c.u_path) or "",
        "query": _text(c.u_query),
        "fragment": _text(c.u_fragment),
        "request_uri": _text(c.u_requri),
        "raw": text,
    }
    for name, value in parts.items():
        object.__setattr__(url, name, value)


MOST_DIGITS = 10


def _text(pointer: Any) -> str | None:
    return ffi.string(pointer).decode("utf-8", "surrogateescape") if pointer != NULL else None


def _fault(text: str) -> str:
    """What NNG, which only says that something is wrong, may have meant."""
    scheme, separator, rest = text.partition("://")
    if not separator or ":" in scheme:
        return f"{text!r} is no URL: it has no scheme; begin it with one, as in tcp://127.0.0.1:5555"
    authority = rest.partition("/")[0]
    if authority.count("@") > 1:
        why = "it has more than one @ before the path"
    elif authority.rpartition("@")[2].startswith("[") and "]" not in authority:
        why = "the ] of its IPv6 address is missing"
    elif authority.endswith(":"):
        why = "it has a colon, and no port behind it"
    else:
        why = "a % in its path isn't followed by two hexadecimal digits, or its text isn't UTF-8 when decoded, or its host is malformed"
    return f"{text!r} is no URL that NNG takes: {why}"
