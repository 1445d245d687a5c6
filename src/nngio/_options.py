"""Options: typed attributes of sockets, contexts, dialers, listeners and pipes.

An option is a descriptor in its class. It knows NNG's name and type; the object knows which of NNG's functions read and
write that type for its kind (`nng_socket_get_int`, `nng_dialer_get_int`, ...) through `_option_kind` and `_c`.
"""

from typing import Any, Generic, TypeVar, overload

from nngio._address import Address, from_sockaddr
from nngio._core import library
from nngio._core.duration import milliseconds, seconds
from nngio._core.errors import ForkedError, check
from nngio._core.library import ffi, lib

__all__ = ["AddressOption", "BoolOption", "DurationOption", "HasOptions", "IntOption", "Option", "SizeOption", "StringOption"]

T = TypeVar("T")


class HasOptions:
    """An object with options: a kind ("socket", "ctx", "dialer", "listener", "pipe") and its C value."""

    _option_kind: str
    _c: Any

    def _get(self, ctype: str, suffix: str, name: bytes) -> Any:
        out = ffi.new(ctype)
        self._call("get", suffix, name, out)
        return out

    def _call(self, verb: str, suffix: str, name: bytes, value: Any) -> None:
        if library.forked:
            raise ForkedError()
        check(getattr(lib, f"nng_{self._option_kind}_{verb}_{suffix}")(self._c, name, value))


class Option(Generic[T]):
    """One option, to be read and, unless `readonly`, set."""

    def __init__(self, name: str, doc: str, *, readonly: bool = False) -> None:
        self.option = name.encode()
        self.readonly = readonly
        self.__doc__ = doc

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.attribute = attribute

    @overload
    def __get__(self, instance: None, owner: type) -> "Option[T]": ...
    @overload
    def __get__(self, instance: HasOptions, owner: type) -> T: ...
    def __get__(self, instance: HasOptions | None, owner: type) -> "Option[T] | T":
        if instance is None:
            return self
        return self.read(instance)

    def __set__(self, instance: HasOptions, value: T) -> None:
        if self.readonly:
            raise AttributeError(f"{self.attribute} can be read, not set")
        self.write(instance, value)

    def read(self, instance: HasOptions) -> T:
        raise NotImplementedError  # each type of option has its own

    def write(self, instance: HasOptions, value: T) -> None:
        raise NotImplementedError  # each type of option that can be set has its own

    def refuse(self, value: object, wanted: str) -> TypeError:
        return TypeError(f"{self.attribute} is {wanted}, not {type(value).__name__}")


class DurationOption(Option[float | None]):
    """Seconds; None where NNG has -1, for ever."""

    def read(self, instance: HasOptions) -> float | None:
        return seconds(instance._get("nng_duration *", "ms", self.option)[0])

    def write(self, instance: HasOptions, value: float | None) -> None:
        instance._call("set", "ms", self.option, milliseconds(value))


class IntOption(Option[int]):
    """A number from `least` to `most`."""

    def __init__(self, name: str, doc: str, *, least: int = 0, most: int = 2**31 - 1, readonly: bool = False) -> None:
        super().__init__(name, doc, readonly=readonly)
        self.least, self.most = least, most

    def read(self, instance: HasOptions) -> int:
        value: int = instance._get("int *", "int", self.option)[0]
        return value

    def write(self, instance: HasOptions, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refuse(value, "a whole number")
        if not self.least <= value <= self.most:
            raise ValueError(f"{self.attribute} is from {self.least} to {self.most}, not {value}")
        instance._call("set", "int", self.option, value)


class SizeOption(Option[int]):
    """A number of bytes; 0 for no limit."""

    def read(self, instance: HasOptions) -> int:
        value: int = instance._get("size_t *", "size", self.option)[0]
        return value

    def write(self, instance: HasOptions, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refuse(value, "a number of bytes")
        if not 0 <= value <= 2**32 - 1:
            raise ValueError(f"{self.attribute} is from 0 (no limit) to {2**32 - 1} bytes, not {value}")
        instance._call("set", "size", self.option, value)


class BoolOption(Option[bool]):
    """True or False."""

    def read(self, instance: HasOptions) -> bool:
        return bool(instance._get("bool *", "bool", self.option)[0])

    def write(self, instance: HasOptions, value: bool) -> None:
        if not isinstance(value, bool):
            raise self.refuse(value, "True or False")
        instance._call("set", "bool", self.option, value)


class StringOption(Option[str]):
    """Text, in UTF-8."""

    def __init__(self, name: str, doc: str, *, longest: int | None = None, readonly: bool = False) -> None:
        super().__init__(name, doc, readonly=readonly)
        self.longest = longest

    def read(self, instance: HasOptions) -> str:
        text = instance._get("char **", "string", self.option)[0]
        try:
            raw: bytes = ffi.string(text)
        finally:
            lib.nng_strfree(text)
        return raw.decode("utf-8", "surrogateescape")

    def write(self, instance: HasOptions, value: str) -> None:
        if not isinstance(value, str):
            raise self.refuse(value, "text")
        raw = value.encode()
        if b"\0" in raw:
            raise ValueError(f"{self.attribute} can't hold a NUL character")
        if self.longest is not None and len(raw) > self.longest:
            raise ValueError(f"{self.attribute} has at most {self.longest} bytes in UTF-8, not {len(raw)}")
        instance._call("set", "string", self.option, raw)


class AddressOption(Option[Address]):
    """An address; read only."""

    def read(self, instance: HasOptions) -> Address:
        return from_sockaddr(instance._get("nng_sockaddr *", "addr", self.option)[0])
