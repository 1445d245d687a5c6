"""Options by NNG's names for them, for those that nngio has no attribute for."""

from nngio._core.errors import BadType, NotSupported, describe
from nngio._core.typing import TYPE_CHECKING, Any
from nngio._options import (
    AddressOption,
    BoolOption,
    DurationOption,
    HasOptions,
    IntOption,
    NumberOption,
    Option,
    PermissionsOption,
    SecondsOption,
    SizeOption,
    StringOption,
    options_of,
)

if TYPE_CHECKING:
    from nngio._options import OptionKind

__all__ = ["get_option", "set_option"]

_KINDS: "dict[str, tuple[type[Option[Any]], ...]]" = {
    "bool": (BoolOption,),
    "int": (IntOption, PermissionsOption),
    "ms": (DurationOption, SecondsOption),
    "size": (SizeOption,),
    "string": (StringOption,),
    "uint64": (NumberOption,),
    "addr": (AddressOption,),
}
"""The options of each kind: what is made of one that there is no attribute for, and what others with attributes are."""
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
    for attribute, known in options_of(type(target)).items():
        if known.option == option.option:
            of = next((of for of, types in _KINDS.items() if isinstance(known, types)), None)
            if of is not None and of != kind:
                raise BadType(f"{name} is of the kind {of!r}, not {kind!r}")
            setattr(target, attribute, value)  # which knows what NNG couldn't do with
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
    if kind == "int":
        return IntOption(name, "", least=-(2**31))
    if kind in _KINDS:
        return _KINDS[kind][0](name, "")
    raise ValueError(f"an option's kind is bool, int, ms, size, string, uint64 or addr, not {kind!r}")
