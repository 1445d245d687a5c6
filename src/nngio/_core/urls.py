"""URLs on their way to NNG: what they say, and what would do harm there."""

import os
import stat

from nngio._core.errors import InvalidArgument

__all__ = ["NO_SOCKET", "any_port", "encode_url", "host_of", "is_tls", "no_socket", "transport_of"]

_PATHS = ("ipc", "unix", "abstract", "inproc")
"""What stands behind these is a name, not a host."""
NO_SOCKET = "there is a file that is no socket; it is left alone"
_PORTS = ("tcp", "tls+tcp", "ws", "wss")
_ANY = ("tcp", "tls+tcp")
"""Those of them that have no port of their own, so that any is taken where none is named."""
_FILES = ("ipc", "unix")


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


def encode_url(url: str) -> bytes:
    """The URL as NNG takes it. Raises `TypeError` or `InvalidArgument` for what it could not do with."""
    if not isinstance(url, str):
        raise TypeError(f"a URL is text, not {type(url).__name__}")
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
