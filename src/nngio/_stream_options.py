"""Options of byte streams, and of what makes them: the types that only they have, and how they are read and set."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from nngio._core.errors import check
from nngio._core.library import ffi, lib
from nngio._core.typing import Any
from nngio._headers import check_header
from nngio._options import HasOptions, Option, StringOption

__all__ = ["HeadersOption", "StreamObject", "SubprotocolOption"]

_CTYPES = {
    "bool": "bool",
    "int": "int",
    "ms": "nng_duration",
    "size": "size_t",
    "uint64": "uint64_t",
    "ptr": "void *",
    "addr": "nng_sockaddr",
}


class StreamObject(HasOptions):
    """A stream, or what makes streams: a pointer in C, with options."""

    _c: Any
    _owner: Any

    def _call(self, verb: str, suffix: str, name: bytes, value: Any) -> None:
        if verb == "get" and suffix == "string":
            code = lib.nngio_stream_get_string(self._c, name, value)
        elif verb == "get":
            code = lib.nngio_stream_get(self._c, name, value, ffi.new("size_t *", ffi.sizeof(_CTYPES[suffix])))
        elif suffix == "string":
            code = lib.nngio_stream_set(self._c, name, value, len(value) + 1)
        else:
            box = value if suffix == "addr" else ffi.new(f"{_CTYPES[suffix]} *", value)
            code = lib.nngio_stream_set(self._c, name, box, ffi.sizeof(_CTYPES[suffix]))
        check(code)

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} can't be copied or pickled: it belongs to this process; pass its URL instead")


class SubprotocolOption(StringOption):
    """The name of a websocket's subprotocol."""

    def write(self, instance: HasOptions, value: str) -> None:
        if isinstance(value, str) and not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", value):
            raise ValueError(
                f"{self.attribute}: {value!r} is no name of a subprotocol, which has letters, digits and any of !#$%&'*+.^_`|~-"
            )
        super().write(instance, value)


class HeadersOption(Option[Mapping[str, str]]):
    """Headers of a websocket's handshake that are sent; NNG gives each a name and a value."""

    kind = "mapping"

    def read(self, instance: HasOptions) -> Mapping[str, str]:
        given: dict[str, str] = vars(instance).get(f"_{self.attribute}", {})
        return MappingProxyType(given)  # what is set in it would not be sent

    def write(self, instance: HasOptions, value: Mapping[str, str]) -> None:
        if not isinstance(value, Mapping):
            raise self.refuse(value, "a mapping of names to values")
        for name, text in value.items():
            if not isinstance(name, str) or not isinstance(text, str):
                raise TypeError(f"{self.attribute} has names and values that are text; got {name!r}: {text!r}")
            check_header(name, text)
        for name, text in value.items():
            instance._call("set", "string", self.option + name.encode(), text.encode())
        vars(instance)[f"_{self.attribute}"] = {**self.read(instance), **value}
