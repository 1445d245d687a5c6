"""URLs on their way to NNG: what would do harm there is refused."""

import re

from nngio._core.errors import InvalidArgument

__all__ = ["encode_url"]

_USER_WITHOUT_HOST = re.compile(r"(?!(?:ipc|unix|abstract|inproc)://)[^:]*://[^/?#@]*@(?![^/?#@])", re.IGNORECASE)
"""NNG doesn't look at the character behind the `@`: where the text ends there, it reads on."""


def encode_url(url: str) -> bytes:
    """The URL as NNG takes it. Raises `TypeError` or `InvalidArgument` for what it could not do with."""
    if not isinstance(url, str):
        raise TypeError(f"a URL is text, not {type(url).__name__}")
    if "\0" in url:
        raise InvalidArgument("a URL can't hold a NUL character")
    if _USER_WITHOUT_HOST.match(url):
        raise InvalidArgument(f"{url!r} is no URL that NNG takes: there is no host behind its @")
    try:
        return url.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"a URL can't hold half a surrogate pair: {url!r}") from None
