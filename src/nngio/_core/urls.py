"""URLs on their way to NNG: what they say, and what would do harm there."""

from nngio._core.errors import InvalidArgument

__all__ = ["any_port", "encode_url", "host_of", "is_tls", "transport_of"]

_PATHS = ("ipc", "unix", "abstract", "inproc")
"""What stands behind these is a name, not a host."""
_PORTS = ("tcp", "tls+tcp", "ws", "wss")


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
    """What stands before and behind the `:0` of a URL that asks for any port; None for any other."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if transport_of(url) not in _PORTS or not authority.endswith(":0"):
        return None
    return f"{scheme}://{authority[:-2]}", slash + path


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
