"""Options: typed attributes of sockets, contexts, dialers, listeners and pipes.

An option is a descriptor in its class. It knows NNG's name and type, and what NNG takes; the object knows which of NNG's
functions read and write that type for its kind (`nng_socket_get_int`, `nng_dialer_get_int`, ...) through `_option_kind` and
`_c`, and which options it has in its state and with its transport (`_admit`).

NNG keeps what it doesn't know, overruns a buffer, or takes a number that it can't do with. So every value is checked here.
"""

from collections.abc import Mapping

from nngio._address import Address, TCPAddress, from_sockaddr, to_sockaddr
from nngio._core import library, nng
from nngio._core.duration import LONGEST_MS, milliseconds, seconds
from nngio._core.errors import Closed, ForkedError, NotSupported, check
from nngio._core.library import ffi, lib
from nngio._core.typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal, Never

    OptionKind = Literal["bool", "int", "ms", "size", "string", "uint64", "addr"]

__all__ = [
    "AddressOption", "BoolOption", "DurationOption", "FDOption", "HasOptions", "IntOption", "NameOption", "NumberOption", "Option",
    "PermissionsOption", "ReadOnly", "SecondsOption", "SizeOption", "StringOption", "assign", "either", "options_of", "set_options",
]  # fmt: skip

T = TypeVar("T")

assign = object.__setattr__
"""Sets an attribute that an object is known to have."""

_settable: set[str] = set()
"""The names of the options that can be set, of whatever class."""


class HasOptions:
    """An object with options: a kind ("socket", "ctx", "dialer", "listener", "pipe") and its C value."""

    _option_kind: str
    _c: Any
    _attributes: ClassVar[frozenset[str]] = frozenset()
    """What it keeps under a public name, beside what its class has."""

    if not TYPE_CHECKING:  # type checkers would take any name where they see this

        def __setattr__(self, name: str, value: Any) -> None:
            """Set an option, or what the class has else; AttributeError for a name that would be misspelt or of no effect.

            A class derived from one of nngio's may have attributes of its own, but none with the name of an option that it lacks.
            """
            if name[:1] != "_" and name not in self._attributes:
                known = getattr(type(self), name, None)
                if known is None:
                    self._check_attribute(name)
                elif callable(known) and (name == "on_pipe" or not callable(value)):
                    raise AttributeError(f"{name} is a method: call it, as in {name}({'function' if callable(value) else repr(value)})")
            assign(self, name, value)

    def _check_attribute(self, name: str) -> None:
        cls = type(self)
        if cls.__module__.partition(".")[0] == "nngio" or name in _settable:
            from nngio._option_hints import hint

            raise AttributeError(hint(cls, name, self._elsewhere(), making=False))

    def _elsewhere(self) -> Mapping[str, type]:
        """Who may have an option that this doesn't have, by what makes it."""
        socket = self.__dict__.get("socket", self)
        makes: dict[str, type] = getattr(socket, "_makes", {})
        whose: dict[str, type] = {} if socket is self else {type(socket).__name__: type(socket)}
        return whose | makes

    def get_option(self, name: str, kind: "OptionKind") -> Any:
        """Read an option by NNG's name for it, such as one of a newer NNG that there is no attribute for. Where there is one, take that.

        Args:
            name: NNG's, such as "recv-buffer".
            kind: the type that NNG has it in: "bool", "int", "ms" (read in seconds, None for ever), "size", "string", "uint64", "addr".

        Raises `NotSupported` for what it doesn't have, `BadType` for another kind than NNG's, `Closed`. Thread-safe.
        NNG: the functions named for the object and the kind, such as `nng_socket_get_bool`.
        """
        from nngio._option_kinds import get_option

        return get_option(self, name, kind)

    def set_option(self, name: str, kind: "OptionKind", value: Any) -> None:
        """Set an option by NNG's name for it. Otherwise as `get_option`.

        One that has an attribute is checked as that is. Of another one NNG alone says what it can be.
        """
        from nngio._option_kinds import set_option

        set_option(self, name, kind, value)

    def _get(self, ctype: str, suffix: str, name: bytes) -> Any:
        out = ffi.new(ctype)
        self._call("get", suffix, name, out)
        return out

    def _call(self, verb: str, suffix: str, name: bytes, value: Any) -> None:
        if library.forked:
            raise ForkedError()
        code = getattr(lib, f"nng_{self._option_kind}_{verb}_{suffix}")(self._c, name, value)
        if code == lib.NNG_ECLOSED:
            raise Closed(f"this {type(self).__name__} is closed")
        check(code)

    def _admit(self, option: "Option[Any]", setting: bool) -> None:
        """Refuse an option that an object like this one doesn't have, or not now."""


class ReadOnly(Generic[T]):
    """What type checkers see of an option that can only be read."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: type) -> "Option[T]": ...
        @overload
        def __get__(self, instance: HasOptions, owner: type) -> T: ...
        def __get__(self, instance: HasOptions | None, owner: type) -> "Option[T] | T": ...

        def __set__(self, instance: HasOptions, value: Never) -> None: ...


class Option(ReadOnly[T]):
    """One option, to be read and, unless `readonly`, set.

    Args:
        name: NNG's name for it, such as `recv-size-max`.
        doc: what it is for.
        nng: the macro that NNG has for the name; an NNG that lacks it doesn't have the option.
        default: what it is unless it is set, in words.
        transports: those whose dialers and listeners have it; none: all.
        settable: those where it can be set; none: all of `transports`.
        raw: True if only raw sockets have it, False if raw sockets don't; None: all.
        late: whether it can be read only once the dialer or listener is started.
        early: whether it has to be set before the dialer or listener is started.
        patch: without this patch of ours, websockets don't have it: NNG ignores it there, or worse.
    """

    kind: ClassVar[str] = ""
    """Its Python type, in words."""

    def __init__(
        self,
        name: str,
        doc: str,
        *,
        nng: str = "",
        default: str = "",
        readonly: bool = False,
        transports: tuple[str, ...] = (),
        settable: tuple[str, ...] = (),
        raw: bool | None = None,
        early: bool = False,
        late: bool = False,
        patch: str = "",
    ) -> None:
        self.option = name.encode()
        self.nng = nng
        self.readonly = readonly
        self.default = default
        self.transports = transports
        self.settable = settable or transports
        self.raw = raw
        self.early = early
        self.late = late
        self.patch = patch
        self.__doc__ = " ".join([doc, *self._details()])

    @property
    def allowed(self) -> str:
        """What it can be set to, in words."""
        return ""

    def _details(self) -> "Iterable[str]":
        if self.default and not self.readonly:
            yield f"{self.allowed}; {self.default} unless set."
        if self.raw is not None:
            yield "Of raw sockets only." if self.raw else "Not of raw sockets."
        if self.transports:
            yield f"Of {either(self.transports, 'and')}."
        if self.settable != self.transports:
            yield f"Can be set on {either(self.settable, 'and')}."
        if self.early:
            yield "Can be set until the start."
        if self.nng:
            yield f"NNG: `{self.nng}`."

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.attribute = attribute
        if not self.readonly:
            _settable.add(attribute)

    @overload
    def __get__(self, instance: None, owner: type) -> "Option[T]": ...
    @overload
    def __get__(self, instance: HasOptions, owner: type) -> T: ...
    def __get__(self, instance: HasOptions | None, owner: type) -> "Option[T] | T":
        if instance is None:
            return self
        self._check_present(instance, False)
        return self.read(instance)

    def __set__(self, instance: HasOptions, value: T) -> None:
        if self.readonly:
            raise AttributeError(f"{self.attribute} can be read, not set")
        self._check_present(instance, True)
        self.write(instance, value)

    def __delete__(self, instance: HasOptions) -> None:
        raise AttributeError(f"{self.attribute} can't be deleted")

    def _check_present(self, instance: HasOptions, setting: bool) -> None:
        if library.forked:
            raise ForkedError()
        instance._admit(self, setting)
        # NNG keeps what it doesn't know, and says nothing.
        if self.nng and not hasattr(lib, self.nng):
            try:
                getattr(nng.lib, self.nng)
            except NotSupported as error:
                raise NotSupported(f"{self.attribute}: {error}") from None

    def read(self, instance: HasOptions) -> T:
        raise NotImplementedError  # each type of option has its own

    def write(self, instance: HasOptions, value: T) -> None:
        raise NotImplementedError  # each type of option that can be set has its own

    def refuse(self, value: object, wanted: str) -> TypeError:
        return TypeError(f"{self.attribute} is {wanted}, not {type(value).__name__}")


class _MillisecondsOption(Option[T]):
    def __init__(self, name: str, doc: str, *, least: float = 0, **more: Any) -> None:
        self.least = least
        super().__init__(name, doc, **more)

    def check(self, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.refuse(value, self.allowed.lower().replace("none", "None"))
        if not self.least <= value <= LONGEST_MS / 1000:
            raise ValueError(f"{self.attribute} is from {self.least:g} to {LONGEST_MS // 1000} seconds, not {value!r}")


class DurationOption(_MillisecondsOption[float | None]):
    """Seconds; None where NNG has -1, for ever. `never` is what None means."""

    kind = "float or None"

    def __init__(self, name: str, doc: str, *, none: str = "for ever", **more: Any) -> None:
        self.none = none
        super().__init__(name, doc, **more)

    @property
    def allowed(self) -> str:
        return f"0 or more seconds, or None: {self.none}"

    def read(self, instance: HasOptions) -> float | None:
        return seconds(instance._get("nng_duration *", "ms", self.option)[0])

    def write(self, instance: HasOptions, value: float | None) -> None:
        if value is not None and value != float("inf"):
            self.check(value)
        instance._call("set", "ms", self.option, milliseconds(value))


class SecondsOption(_MillisecondsOption[float]):
    """Seconds, where NNG can't do with -1."""

    kind = "float"

    @property
    def allowed(self) -> str:
        return f"{self.least:g} or more seconds"

    def read(self, instance: HasOptions) -> float:
        ms: int = instance._get("nng_duration *", "ms", self.option)[0]
        return ms / 1000

    def write(self, instance: HasOptions, value: float) -> None:
        self.check(value)
        instance._call("set", "ms", self.option, milliseconds(value))


class IntOption(Option[int]):
    """A number from `least` to `most`."""

    kind = "int"

    def __init__(self, name: str, doc: str, *, least: int = 0, most: int = 2**31 - 1, **more: Any) -> None:
        self.least, self.most = least, most
        super().__init__(name, doc, **more)

    @property
    def allowed(self) -> str:
        return f"{self.least} to {self.most}"

    def read(self, instance: HasOptions) -> int:
        value: int = instance._get("int *", "int", self.option)[0]
        return value

    def write(self, instance: HasOptions, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refuse(value, "a whole number")
        if not self.least <= value <= self.most:
            raise ValueError(f"{self.attribute} is from {self.least} to {self.most}, not {value}")
        instance._call("set", "int", self.option, value)


class FDOption(IntOption):
    """A descriptor to be waited for, which remains NNG's."""

    def __init__(self, name: str, doc: str, **more: Any) -> None:
        super().__init__(
            name,
            f"{doc} It is NNG's: never read, write or close it; it ends with the socket. NNG makes it when it is first asked for.",
            readonly=True,
            **more,
        )


class PermissionsOption(Option[int | None]):
    """The mode of a file. NNG tells nobody what it was set to, so the object keeps it, None for never."""

    kind = "int or None"
    most = 0o7777

    @property
    def allowed(self) -> str:
        return f"0 to 0o{self.most:o}"

    def read(self, instance: HasOptions) -> int | None:
        mode: int | None = instance.__dict__.get(f"_{self.attribute}")
        return mode

    def write(self, instance: HasOptions, value: int | None) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refuse(value, "a mode, such as 0o600")
        if not 0 <= value <= self.most:
            raise ValueError(f"{self.attribute} is from 0 to 0o{self.most:o}, such as 0o600, not {value}")
        instance._call("set", "int", self.option, value)
        instance.__dict__[f"_{self.attribute}"] = value


class SizeOption(Option[int]):
    """A number of bytes; 0 for no limit."""

    kind = "int"

    @property
    def allowed(self) -> str:
        return f"0 (no limit) to {2**32 - 1} bytes"

    def read(self, instance: HasOptions) -> int:
        value: int = instance._get("size_t *", "size", self.option)[0]
        return value

    def write(self, instance: HasOptions, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refuse(value, "a number of bytes")
        if not 0 <= value <= 2**32 - 1:
            raise ValueError(f"{self.attribute} is from 0 (no limit) to {2**32 - 1} bytes, not {value}")
        instance._call("set", "size", self.option, value)


class NumberOption(Option[int]):
    """A whole number that isn't negative, of 64 bits."""

    kind = "int"

    def read(self, instance: HasOptions) -> int:
        number: int = instance._get("uint64_t *", "uint64", self.option)[0]
        return number

    def write(self, instance: HasOptions, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refuse(value, "a whole number")
        if not 0 <= value < 2**64:
            raise ValueError(f"{self.attribute} is from 0 to {2**64 - 1}, not {value}")
        instance._call("set", "uint64", self.option, value)


class BoolOption(Option[bool]):
    """True or False."""

    kind = "bool"

    @property
    def allowed(self) -> str:
        return "True or False"

    def read(self, instance: HasOptions) -> bool:
        return bool(instance._get("bool *", "bool", self.option)[0])

    def write(self, instance: HasOptions, value: bool) -> None:
        if not isinstance(value, bool):
            raise self.refuse(value, "True or False")
        instance._call("set", "bool", self.option, value)


class StringOption(Option[str]):
    """Text, in UTF-8."""

    kind = "str"

    def __init__(self, name: str, doc: str, *, longest: int | None = None, **more: Any) -> None:
        self.longest = longest
        super().__init__(name, doc, **more)

    @property
    def allowed(self) -> str:
        return f"1 to {self.longest} bytes in UTF-8"

    def read(self, instance: HasOptions) -> str:
        text = instance._get("char **", "string", self.option)[0]
        try:
            raw: bytes = ffi.string(text)
        finally:
            lib.nng_strfree(text)
        return raw.decode("utf-8", "surrogateescape")

    def write(self, instance: HasOptions, value: str) -> None:
        instance._call("set", "string", self.option, self.encoded(value))

    def encoded(self, value: str) -> bytes:
        if not isinstance(value, str):
            raise self.refuse(value, "text")
        raw = value.encode()
        if b"\0" in raw:
            raise ValueError(f"{self.attribute} can't hold a NUL character")
        if self.longest is not None and not 0 < len(raw) <= self.longest:
            raise ValueError(f"{self.attribute} has 1 to {self.longest} bytes in UTF-8, not {len(raw)}")
        return raw


class NameOption(StringOption):
    """A socket's name. An NNG without our patch leaves the end of a longer one behind it, so it gets blanks to write there."""

    def read(self, instance: HasOptions) -> str:
        name = super().read(instance)
        return name if nng.patched("socket-name") else name.rstrip(" ")

    def encoded(self, value: str) -> bytes:
        raw = super().encoded(value)
        if not value.strip(" "):
            raise ValueError(f"{self.attribute} can't be blank")
        return raw if nng.patched("socket-name") else raw.ljust(self.longest or 0)


class AddressOption(Option[Address]):
    """An address."""

    kind = "address"

    @property
    def allowed(self) -> str:
        return "A `TCPAddress` without a port, or an IP address as text"

    def read(self, instance: HasOptions) -> Address:
        return from_sockaddr(instance._get("nng_sockaddr *", "addr", self.option)[0])

    # What can be assigned is more than what is read.
    def __set__(self, instance: HasOptions, value: "Address | str") -> None:
        super().__set__(instance, value)  # type: ignore[arg-type]

    def write(self, instance: HasOptions, value: "Address | str") -> None:
        address = TCPAddress(value.removeprefix("[").removesuffix("]")) if isinstance(value, str) else value
        if not isinstance(address, TCPAddress):
            raise self.refuse(value, "a TCPAddress, or an IP address as text")
        if address.port:
            raise ValueError(f"{self.attribute} can't have a port, not {address.port}: the system takes a free one for each connection")
        instance._call("set", "addr", self.option, to_sockaddr(address))


def either(words: "Iterable[str]", conjunction: str = "or") -> str:
    *most, last = words
    return f"{', '.join(most)} {conjunction} {last}" if most else last


def options_of(cls: type) -> dict[str, Option[Any]]:
    """The options that a class has, by their names."""
    return {name: option for name in dir(cls) if isinstance(option := getattr(cls, name, None), Option)}


def set_options(target: HasOptions, options: Mapping[str, Any], elsewhere: Mapping[str, type] | None = None) -> None:
    """Set options by their names. `elsewhere` has the classes that another one may belong to, by who makes them."""
    for name, value in options.items():
        if not isinstance(getattr(type(target), name, None), Option):
            from nngio._option_hints import hint

            raise TypeError(hint(type(target), name, elsewhere or {}, making=True))
        setattr(target, name, value)
