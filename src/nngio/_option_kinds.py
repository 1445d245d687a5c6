"""Options by NNG's names for them, for those that nngio has no attribute for."""

from nngio._core.errors import NotSupported, describe
from nngio._core.typing import TYPE_CHECKING, Any
from nngio._options import (
    AddressOption,
    BoolOption,
    DurationOption,
    HasOptions,
    IntOption,
    NumberOption,
    Option,
    SizeOption,
    StringOption,
    options_of,
)

if TYPE_CHECKING:
    from nngio._options import OptionKind

__all__ = ["get_option", "set_option"]

_HEADERS = ("ws:request-header", "ws:response-header")


def get_option(target: HasOptions, name: str, kind: "OptionKind") -> Any:
    """See `HasOptions.get_option`."""
    option = _of_kind(name, kind)
    option.attribute = name
    try:
        return option.read(target)
    except NotSupported as error:
        raise _lacks(target, name, error) from None


def set_option(target: HasOptions, name: str, kind: "OptionKind", value: Any) -> None:
    """See `HasOptions.set_option`."""
    option = _of_kind(name, kind)
    known = next((attribute for attribute, known in options_of(type(target)).items() if known.option == option.option), None)
    if known is not None:
        setattr(target, known, value)  # which knows what NNG couldn't do with
        return
    if name.startswith(_HEADERS):
        raise NotSupported(f"{name} is not set by its name; the attributes request_headers and response_headers are there for that")
    option.attribute = name
    try:
        option.write(target, value)
    except NotSupported as error:
        raise _lacks(target, name, error) from None


def _lacks(target: HasOptions, name: str, error: NotSupported) -> NotSupported:
    return error if error.text != describe(error.code) else NotSupported(f"this {type(target).__name__} has no option {name!r}")


def _of_kind(name: str, kind: "OptionKind") -> Option[Any]:
    if not isinstance(name, str):
        raise TypeError(f"an option's name is text, not {type(name).__name__}")
    if "\0" in name:
        raise ValueError("an option's name can't hold a NUL character")
    if kind == "bool":
        return BoolOption(name, "")
    if kind == "int":
        return IntOption(name, "", least=-(2**31))
    if kind == "ms":
        return DurationOption(name, "")
    if kind == "size":
        return SizeOption(name, "")
    if kind == "string":
        return StringOption(name, "")
    if kind == "uint64":
        return NumberOption(name, "")
    if kind == "addr":
        return AddressOption(name, "")
    raise ValueError(f"an option's kind is bool, int, ms, size, string, uint64 or addr, not {kind!r}")
