"""What to say of an option that a class doesn't have: where it belongs, or how it is spelled. Imported when it is needed."""

import difflib
from collections.abc import Mapping

from nngio._core.typing import Any
from nngio._options import Option, either, options_of

__all__ = ["hint"]

_DIRECTIONS = {"send": "sends", "recv": "receives"}
_SAME = {
    "bind": ("listen",),
    "block_on_dial": ("block",),
    "connect": ("dial",),
    "connect_timeout": ("dial_timeout",),
    "polyamorous": ("poly",),
    "rcvhwm": ("recv_buffer",),
    "rcvtimeo": ("recv_timeout",),
    "recv_buffer_size": ("recv_buffer",),
    "send_buffer_size": ("send_buffer",),
    "sndhwm": ("send_buffer",),
    "sndtimeo": ("send_timeout",),
    "timeout": ("send_timeout", "recv_timeout"),
    "topic": ("subscribe",),
    "tls_config": ("tls",),
    "topics": ("subscribe",),
    "ttl_max": ("max_ttl",),
}
"""What somebody may call it who comes from elsewhere."""


def hint(cls: type, name: str, elsewhere: Mapping[str, type], *, making: bool) -> str:
    """What is wrong with an option that a class doesn't have: of an object that is being made, or of one that there is."""
    text = f"{cls.__name__} has no option {name!r}"
    absent = _absent(cls)
    if name in absent:
        return absent[name]
    places = [place for place, other in elsewhere.items() if _is_settable(getattr(other, name, None))]
    if places:
        return f"{text}: it is for {either(f'{place}(..., {name}=...)' for place in places)}"
    settable = [known for known, option in options_of(cls).items() if not option.readonly and not option.raw]
    more = _arguments(cls) if making else [known for known in dir(cls) if getattr(getattr(cls, known, None), "fset", None)]
    candidates = [*settable, *more]
    if meant := [known for known in _SAME.get(name, ()) if known in candidates]:
        return f"{text}; did you mean {either(map(repr, meant))}?"
    if owners := _owners(name):
        instead = "; prefetch=N receives ahead" if name == "recv_buffer" and "prefetch" in more else ""
        return f"{text}: {either(owners, 'and')} {'has' if len(owners) == 1 else 'have'} it{instead}"
    if close := difflib.get_close_matches(name, [*candidates, *absent], 1):
        return f"{text}: {absent[close[0]]}" if close[0] in absent else f"{text}; did you mean {close[0]!r}?"
    return f"{text}; it has {either(candidates, 'and')}" if candidates else f"{text}, nor any that can be set"


def _is_settable(option: object, *, raw: bool = True) -> bool:
    return isinstance(option, Option) and not option.readonly and (raw or not option.raw)


def _owners(name: str) -> list[str]:
    """The sockets that have an option, but for those that have it in raw mode only; or such an argument."""
    from nngio import _protocols
    from nngio._socket import Socket

    classes = [cls for cls in vars(_protocols).values() if isinstance(cls, type) and issubclass(cls, Socket) and cls is not Socket]
    return [cls.__name__ for cls in classes if _is_settable(getattr(cls, name, None), raw=False) or name in _arguments(cls)]


def _absent(cls: type) -> dict[str, str]:
    """The options of sending that a class hasn't that only receives, and the other way round; why, in words."""
    if hasattr(cls, "send") == hasattr(cls, "recv"):
        return {}
    verb = "send" if hasattr(cls, "recv") else "recv"
    names = [f"{verb}_timeout", f"{verb}_buffer", f"{verb}_fd"]
    return {name: f"{cls.__name__} {_DIRECTIONS[verb]} nothing, so it has no {name}" for name in names}


def _arguments(cls: type) -> list[str]:
    """The keyword arguments that make an object, but for its options."""
    codes: list[Any] = [code for base in cls.__mro__ if (code := getattr(vars(base).get("__init__"), "__code__", None))]
    return [name for code in codes for name in code.co_varnames[code.co_argcount :][: code.co_kwonlyargcount]]
