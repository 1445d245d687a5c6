"""Statistics: what NNG has counted, as values.

NNG's snapshot is a tree in C that is to be freed as a whole. It is copied here in one go and freed before anything is returned, so
a `Statistic` refers to nothing of NNG's. NNG's tree is flat: sockets, dialers, listeners and pipes stand side by side, and the last
three say by a number whose they are. Here each is among its socket's children. What refers to a socket that isn't in the snapshot,
because one of the two is about to end, stays at the top.
"""

import enum
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, final, overload

from nngio._core.errors import ForkedError, NNGError, NoEntry, NotSupported, check
from nngio._core.library import NULL, ffi, lib
from nngio._core.nng import patched

if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["Statistic", "StatisticType", "StatisticUnit", "of_one", "statistics"]

T = TypeVar("T")


class StatisticType(enum.Enum):
    """What a statistic's value is. NNG: `nng_stat_type`."""

    SCOPE = lib.NNG_STAT_SCOPE
    """A group, of a socket, dialer, listener or pipe; the value is its number."""
    LEVEL = lib.NNG_STAT_LEVEL
    """A number that goes up and down."""
    COUNTER = lib.NNG_STAT_COUNTER
    """A number that only grows."""
    STRING = lib.NNG_STAT_STRING
    """Text."""
    BOOLEAN = lib.NNG_STAT_BOOLEAN
    """True or False."""
    ID = lib.NNG_STAT_ID
    """The number of a socket, dialer, listener or pipe."""


class StatisticUnit(enum.Enum):
    """What a statistic counts. NNG: `nng_stat_unit`."""

    NONE = lib.NNG_UNIT_NONE
    """Nothing in particular."""
    BYTES = lib.NNG_UNIT_BYTES
    """Bytes."""
    MESSAGES = lib.NNG_UNIT_MESSAGES
    """Messages."""
    MILLIS = lib.NNG_UNIT_MILLIS
    """Milliseconds."""
    EVENTS = lib.NNG_UNIT_EVENTS
    """Events of some other kind."""


_BY_NUMBER = {kind.value: kind for kind in StatisticType}
_UNITS = {unit.value: unit for unit in StatisticUnit}


@final
class Statistic:
    """One statistic, or a group of them, as it was when the snapshot was taken.

    A group's members are its `children`: `group["tx_msgs"]` is the first of that name, `"tx_msgs" in group` tells whether there is
    one, and a `for` loop goes over all. `str()` shows the tree, `int()` the value of a number. It is a plain value: it doesn't change,
    and can be pickled, compared and used on any thread. NNG: `nng_stat_child`, `nng_stat_next`.
    """

    __slots__ = ("children", "description", "name", "timestamp", "type", "unit", "value")

    name: str
    """What it is called, such as `tx_msgs`; empty for the whole library. NNG: `nng_stat_name`."""
    type: StatisticType
    """What its value is."""
    value: int | str | bool
    """The value; of a group, the number of the socket, dialer, listener or pipe, and 0 for the whole library.

    NNG: `nng_stat_value`, `nng_stat_string`, `nng_stat_bool`.
    """
    unit: StatisticUnit
    """What is counted."""
    description: str
    """NNG's own words for it. NNG: `nng_stat_desc`."""
    timestamp: float
    """When it was read, in seconds of NNG's clock. NNG: `nng_stat_timestamp`."""
    children: "tuple[Statistic, ...]"
    """The members of a group, in NNG's order."""

    def __init__(
        self,
        name: str,
        type: StatisticType,  # noqa: A002
        value: int | str | bool,
        unit: StatisticUnit = StatisticUnit.NONE,
        description: str = "",
        timestamp: float = 0.0,
        children: "tuple[Statistic, ...]" = (),
    ) -> None:
        for field, given in zip(_FIELDS, (name, type, value, unit, description, timestamp, children), strict=True):
            object.__setattr__(self, field, given)

    def __getitem__(self, name: str) -> "Statistic":
        """The first child of this name; KeyError if there is none."""
        for child in self.children:
            if child.name == name:
                return child
        there = ", ".join(dict.fromkeys(child.name for child in self.children)) or "nothing"
        raise KeyError(f"{self._title} has no statistic {name!r}; it has {there}")

    def __contains__(self, name: object) -> bool:
        return any(child.name == name for child in self.children)

    def __iter__(self) -> "Iterator[Statistic]":
        return iter(self.children)

    @overload
    def get(self, name: str) -> "int | str | bool | None": ...
    @overload
    def get(self, name: str, default: T) -> "int | str | bool | T": ...
    def get(self, name: str, default: Any = None) -> Any:
        """The value of the first child of this name; `default` if there is none."""
        return self[name].value if name in self else default

    def all(self, name: str) -> "tuple[Statistic, ...]":
        """The children of this name: `statistics().all("socket")`."""
        return tuple(child for child in self.children if child.name == name)

    def find(self, name: str, number: int | None = None) -> "Statistic | None":
        """The first statistic of this name in the whole tree below, itself included; None if there is none.

        With a number, a group: `find("pipe", message.pipe.id)`.
        NNG: `nng_stat_find`, `nng_stat_find_socket`, `nng_stat_find_dialer`, `nng_stat_find_listener`.
        """
        for statistic in self.walk():
            if statistic.name == name and (number is None or (statistic.type is StatisticType.SCOPE and statistic.value == number)):
                return statistic
        return None

    def walk(self) -> "Iterator[Statistic]":
        """It, and all that is below it, each before its children."""
        yield self
        for child in self.children:
            yield from child.walk()

    def as_dict(self) -> dict[str, Any]:
        """The values by name, as JSON can have them; groups are dicts themselves, in a list for each of their names."""
        values: dict[str, Any] = {}
        for child in self.children:
            if child.type is StatisticType.SCOPE:
                values.setdefault(child.name, []).append(child.as_dict())
            else:
                values[child.name] = child.value
        return values

    def __int__(self) -> int:
        if isinstance(self.value, str):
            raise TypeError(f"{self.name} is text: {self.value!r}")
        return int(self.value)

    def __str__(self) -> str:
        return "\n".join(self._lines(""))

    def _lines(self, indent: str) -> Iterator[str]:
        if self.type is not StatisticType.SCOPE:
            yield f"{indent}{self.name:<16} {self._shown}"
            return
        yield indent + self._title
        for child in self.children:
            yield from child._lines(indent + "    ")

    @property
    def _title(self) -> str:
        return f"{self.name} {self.value}" if self.name else "all"

    @property
    def _shown(self) -> str:
        if self.type is StatisticType.STRING:
            return f'"{self.value}"'
        if self.type is StatisticType.BOOLEAN:
            return "true" if self.value else "false"
        return f"{self.value} {_WORDS[self.unit]}".rstrip()

    def __repr__(self) -> str:
        if self.type is StatisticType.SCOPE:
            return f"<nngio.Statistic {self._title}, {len(self.children)} children>"
        return f"<nngio.Statistic {self.name} = {self._shown}>"

    def _fields(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field) for field in _FIELDS)

    def __eq__(self, other: object) -> bool:
        return self._fields() == other._fields() if isinstance(other, Statistic) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._fields())

    def __reduce__(self) -> tuple[Any, ...]:
        return (Statistic, self._fields())

    def __setattr__(self, name: str, value: object) -> "NoReturn":
        raise AttributeError(f"a Statistic is what was counted once; its {name} can't be set")

    def __delattr__(self, name: str) -> "NoReturn":
        raise AttributeError(f"a Statistic is what was counted once; its {name} can't be deleted")


_FIELDS = ("name", "type", "value", "unit", "description", "timestamp", "children")
_WORDS = {
    StatisticUnit.NONE: "",
    StatisticUnit.BYTES: "bytes",
    StatisticUnit.MESSAGES: "messages",
    StatisticUnit.MILLIS: "ms",
    StatisticUnit.EVENTS: "events",
}


def statistics() -> Statistic:
    """What NNG has counted so far: one group for each open socket, with its dialers, listeners and pipes in it.

    A snapshot, which costs a few microseconds for each statistic and doesn't hold up those who send and receive. What NNG counts
    depends on protocol and transport: see `docs/statistics.md`.

    Raises:
        NotSupported: this NNG was compiled without statistics.

    Thread safety: may be called on any thread. NNG: `nng_stats_get`, `nng_stats_free`.
    """
    if lib.nngio_forked():
        raise ForkedError()
    if not lib.nngio_started():
        return Statistic("", StatisticType.SCOPE, 0)  # there is nothing yet to count, and to ask would start NNG's threads
    snapshot = ffi.new("nng_stat **")
    try:
        code = lib.nng_stats_get(snapshot)
        if code == lib.NNG_ENOTSUP:
            raise NotSupported("this NNG was compiled without statistics (NNG_ENABLE_STATS=OFF)")
        check(code)
        return _with_owners(_copy(snapshot[0]))
    finally:
        if snapshot[0] != NULL:
            lib.nng_stats_free(snapshot[0])


def of_one(kind: str, number: int, gone: type[NNGError] = NoEntry) -> Statistic:
    """The group of one socket, dialer, listener or pipe; `gone` is raised if it isn't there any more."""
    found = statistics().find(kind, number)
    if found is None or found.type is not StatisticType.SCOPE:
        raise gone(f"NNG has no statistics of {kind} {number}: it is closed")
    return found


def _copy(stat: Any) -> Statistic:
    children: list[Statistic] = []
    child = lib.nng_stat_child(stat)
    while child != NULL:
        children.append(_copy(child))
        child = lib.nng_stat_next(child)
    kind = _BY_NUMBER[lib.nng_stat_type(stat)]
    name = _text(lib.nng_stat_name(stat))
    if name == "pipes":
        kind = StatisticType.LEVEL  # NNG calls those of a listener a counter
    value: int | str | bool
    if kind is StatisticType.STRING:
        value = _text(lib.nng_stat_string(stat))
    elif kind is StatisticType.BOOLEAN:
        value = bool(lib.nng_stat_bool(stat))
    elif kind is StatisticType.SCOPE:
        value = next((int(child) for child in children if child.name == "id"), 0)  # 1.5.2 doesn't tell it of a socket otherwise
    else:
        value = lib.nng_stat_value(stat)
    return Statistic(
        name,
        kind,
        value,
        _UNITS.get(lib.nng_stat_unit(stat), StatisticUnit.NONE),
        _text(lib.nng_stat_desc(stat)),
        lib.nng_stat_timestamp(stat) / 1000,
        tuple(children),
    )


def _text(pointer: Any) -> str:
    return ffi.string(pointer).decode("utf-8", "replace") if pointer != NULL else ""


def _with_owners(root: Statistic) -> Statistic:
    """The same with what belongs to a socket among that socket's children."""
    owned: dict[int, list[Statistic]] = {int(child): [] for child in root if child.name == "socket"}
    others: list[Statistic] = []
    for child in root:
        if child.name != "socket":
            owned.get(int(child.get("socket", 0)), others).append(child)
    sockets = [_replace(child, (*map(_named(child), child), *owned[int(child)])) for child in root if child.name == "socket"]
    return _replace(root, (*sockets, *others))


def _named(socket: Statistic) -> Callable[[Statistic], Statistic]:
    """What puts a socket's name right: NNG 1.5.2 leaves it empty, and a name may have been set with blanks behind it."""

    def fill(child: Statistic) -> Statistic:
        if child.name != "name" or (child.value and patched("socket-name")):
            return child
        name = str(child.value) or _asked(int(socket))
        return Statistic(child.name, child.type, name.rstrip(" "), child.unit, child.description, child.timestamp)

    return fill


def _asked(socket: int) -> str:
    """The name of a socket; empty if it has been closed."""
    out = ffi.new("char **")
    if lib.nng_socket_get_string(ffi.new("nng_socket *", {"id": socket})[0], b"socket-name", out):
        return ""
    try:
        return _text(out[0])
    finally:
        lib.nng_strfree(out[0])


def _replace(statistic: Statistic, children: tuple[Statistic, ...]) -> Statistic:
    s = statistic
    return Statistic(s.name, s.type, s.value, s.unit, s.description, s.timestamp, children)
