"""URLs on their way to NNG: what they say, and what would do harm there."""

import os
import stat

from nngio._core.errors import InvalidArgument
from nngio._core.library import lib

__all__ = [
    "NO_SOCKET", "ParsedURL", "any_port", "encode_url", "fault", "host_of", "is_tls", "known_schemes", "no_socket", "transport_of",
    "url_text",
]  # fmt: skip

_PATHS = ("ipc", "unix", "abstract", "inproc")
"""What stands behind these is a name, not a host."""
NO_SOCKET = "there is a file that is no socket; it is left alone"
_PORTS = ("tcp", "tls+tcp", "ws", "wss")
_ANY = ("tcp", "tls+tcp")
"""Those of them that have no port of their own, so that any is taken where none is named."""
_FILES = ("ipc", "unix")
_WEB = ("ws", "wss")
LONGEST_PATH = 107
MOST_PORT = 65535


def transport_of(url: str) -> str:
    """The transport that a URL is for, whichever version of IP it asks for."""
    return url.partition("://")[0].lower().rstrip("46")


def is_tls(url: str) -> bool:
    """Whether it is a URL of a transport over TLS."""
    return transport_of(url) in ("tls+tcp", "wss")


def _authority(url: str) -> str:
    """What stands between the scheme and the path: host and port, and maybe a user before them."""
    rest = url.partition("://")[2]
    for end in "/?#":
        rest = rest.partition(end)[0]
    return rest


def host_of(url: str) -> str:
    """The host that a URL names; that of a dialer's may have a source address before it."""
    authority = _authority(url).rpartition("@")[2].rpartition(";")[2]
    if authority.startswith("["):
        return authority[1:].partition("]")[0].partition("%")[0]
    return authority.rpartition(":")[0] or authority


def any_port(url: str) -> tuple[str, str] | None:
    """What stands before and behind the `:0` of a URL that asks for any port, by leaving it out too; None for any other."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    transport = transport_of(url)
    if transport in _PORTS and authority.endswith(":0"):
        return f"{scheme}://{authority[:-2]}", slash + path
    if transport in _ANY and ":" not in authority.rpartition("]")[2]:
        return f"{scheme}://{authority}", slash + path
    return None


def no_socket(url: str) -> bool:
    """Whether there is something else than a socket at the path of an `ipc://` URL, which NNG would remove to listen there."""
    if transport_of(url) not in _FILES:
        return False
    try:
        return not stat.S_ISSOCK(os.stat(url.partition("://")[2]).st_mode)  # noqa: PTH116  # as quick to import as can be
    except (OSError, ValueError):
        return False


class ParsedURL:
    """What was taken apart, and knows the text of it."""

    __slots__ = ()

    raw: str


def url_text(url: object) -> str:
    """The text of a URL, be it that or a `nngio.URL`. Raises `TypeError` for anything else."""
    if isinstance(url, str):
        return url
    if isinstance(url, ParsedURL):
        return url.raw
    raise TypeError(f"a URL is text, not {type(url).__name__}")


def encode_url(url: str) -> bytes:
    """The URL as NNG takes it. Raises `TypeError` or `InvalidArgument` for what it could not do with."""
    url = url_text(url)
    if "\0" in url:
        raise InvalidArgument("a URL can't hold a NUL character")
    if transport_of(url) not in _PATHS:
        # NNG doesn't look at the character behind the @: where the text ends there, it reads on.
        _, at, host = _authority(url).partition("@")
        if at and (not host or host.startswith("@")):
            raise InvalidArgument(f"{url!r} is no URL that NNG takes: there is no host behind its @")
    try:
        return url.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"a URL can't hold half a surrogate pair: {url!r}") from None


def fault(code: int, url: str, noun: str) -> str:
    """What is the matter with a URL that NNG found no valid address in, to be added to its words; empty for another error.

    `noun` is what was attempted, "dial" or "listen at".
    """
    if code == lib.NNG_EINVAL and "://" not in url:
        return ": a URL begins with a scheme, as in tcp://127.0.0.1:5555"
    if code == lib.NNG_ENOENT and transport_of(url) in ("ipc", "unix"):
        return ": its folder is not there"
    if code != lib.NNG_EADDRINVAL:
        return ""
    transport = transport_of(url)
    if transport in _PORTS:
        return f": {_fault_of_host(url, transport, dials=noun == 'dial')}"
    path = url.partition("://")[2]
    if not path:
        return ": it has no path"
    if transport == "abstract":
        from urllib.parse import unquote_to_bytes

        length = len(unquote_to_bytes(path))
        if length <= LONGEST_PATH:
            return ": a % in it isn't followed by two hexadecimal digits"
    else:
        length = len(path.encode())
    if length > LONGEST_PATH:
        return f": the path of a UNIX socket, or the name of an abstract one, has {LONGEST_PATH} bytes at most, and this one has {length}"
    return ""


def known_schemes(url: str) -> str:
    """Which schemes there are, to be added to the error of one that there isn't; empty where a build may lack one of them."""
    there = [*_PORTS, *_PATHS]
    return "" if transport_of(url) in there else f"; there are {', '.join(there[:-1])} and {there[-1]}"


def _fault_of_host(url: str, transport: str, *, dials: bool) -> str:
    authority = _authority(url)
    behind = url.partition("://")[2][len(authority) :]
    source, _, place = authority.rpartition("@")[2].rpartition(";")
    if transport not in _WEB and (behind.strip("/") or "@" in authority):
        return f"a URL of {transport} has a host and a port, and nothing else"
    if source and not dials:
        return "a source address is for dialing, not for listening"
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        port = port.removeprefix(":")
    elif place.count(":") > 1:
        return f"an IPv6 address stands in brackets, as in {transport}://[::1]:5555"
    else:
        host, _, port = place.partition(":")
    if dials and host in ("", "*"):
        return "it has no host to dial"
    if dials and not port and transport not in _WEB:
        return f"it has no port, as in {transport}://127.0.0.1:5555"
    return _fault_of_port(port) or _fault_of_name(host, source, dials=dials)


def _fault_of_port(port: str) -> str:
    import socket

    if port.isascii() and port.isdigit():
        return f"a port is {MOST_PORT} at most, not {port}" if int(port) > MOST_PORT else ""
    try:
        socket.getservbyname(port)
    except (OSError, ValueError):
        return f"{port!r} is no port, and no service that this machine knows" if port else ""
    return ""


def _fault_of_name(host: str, source: str, *, dials: bool) -> str:
    """What a resolver couldn't do with a host, or the system with its address. It isn't asked again: that could take long."""
    if not host:
        return "it has neither a host nor a port"
    if not host.strip("0123456789.") and not _is_ip(host):
        return f"{host} is no IP address"
    if not _is_ip(host):
        return f"no address is known of the host {host!r}" + ("" if dials else ", or it is none of this machine's")
    if source:
        return f"{source} is no address of this machine's to dial from"
    return f"{host} can't be dialed from here" if dials else f"{host} is no address of this machine's"


def _is_ip(host: str) -> bool:
    import socket

    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
        return True
    return False
