"""HTTP headers that a dialer or listener of websockets sends when a connection is made."""

from collections.abc import Iterator, Mapping, MutableMapping

from nngio._core.errors import BadState
from nngio._core.typing import TYPE_CHECKING
from nngio._options import HasOptions, Option

if TYPE_CHECKING:
    from nngio._endpoint import Endpoint

__all__ = ["Headers", "HeadersOption", "check_header"]

_NAME = frozenset("!#$%&'*+.^_`|~-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_CONTROL = frozenset(chr(code) for code in (*range(32), 127) if code != 9)
_OURS = ("upgrade", "connection", "content-length", "transfer-encoding")


class Headers(MutableMapping[str, str]):
    """The headers of a websocket dialer's requests, or of a listener's responses: a mapping from names to values.

    Names are told apart without regard to case. A change counts for the connections that are made from then on. After the start
    a header can be added and changed, not removed: NNG doesn't forget one. Those that make the connection a websocket
    are NNG's own and refused.
    """

    def __init__(self, endpoint: "Endpoint", prefix: bytes) -> None:
        self._endpoint = endpoint
        self._prefix = prefix
        self._items: dict[str, tuple[str, str]] = {}
        self._given: set[str] = set()  # what NNG has been told
        self._live = False

    def __getitem__(self, name: str) -> str:
        return self._items[name.lower()][1]

    def __setitem__(self, name: str, value: str) -> None:
        check_header(name, value)
        if self._live:
            self._give(name, value)
        self._items[name.lower()] = (name, value)

    def __delitem__(self, name: str) -> None:
        if name.lower() in self._items and name.lower() in self._given:
            raise BadState(f"the header {name!r} can't be removed: NNG has it since the start; set it to another value")
        del self._items[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._items

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self)!r})"

    def _replace(self, headers: Mapping[str, str]) -> None:
        """Have these and no others."""
        for name, value in headers.items():
            check_header(name, value)
        names = {name.lower() for name in headers}
        for name in [name for name in self if name.lower() not in names]:
            del self[name]
        self.update(headers)

    def _give_all(self) -> None:
        """Tell NNG, at the start."""
        for name, value in self.items():
            self._give(name, value)
        self._live = True

    def _give(self, name: str, value: str) -> None:
        self._endpoint._call("set", "string", self._prefix + name.encode(), value.encode())
        self._given.add(name.lower())


def check_header(name: str, value: str) -> None:
    """Refuse what can't be a header of a websocket's handshake."""
    for text, what in ((name, "name"), (value, "value")):
        if not isinstance(text, str):
            raise TypeError(f"a header's {what} is text, not {type(text).__name__}")
    if not name or not _NAME.issuperset(name):
        raise ValueError(f"{name!r} is no name of a header: it has letters, digits and any of !#$%&'*+.^_`|~-")
    if name.lower() in _OURS or name.lower().startswith("sec-websocket-"):
        raise ValueError(f"the header {name!r} is NNG's own")
    if not _CONTROL.isdisjoint(value):
        raise ValueError(f"the header {name!r} can't have a line break, a NUL or another control character in its value")


class HeadersOption(Option[Headers]):
    """Headers, which can be set as a whole to any mapping."""

    kind = "Headers"

    @property
    def allowed(self) -> str:
        return "A mapping from names to values"

    def read(self, instance: HasOptions) -> Headers:
        # An endpoint, as only dialers and listeners have this option.
        made = Headers(instance, self.option.removesuffix(b"s") + b":")  # type: ignore[arg-type]
        headers: Headers = instance.__dict__.setdefault("_headers", made)
        return headers

    # What can be assigned is more than what is read.
    def __set__(self, instance: HasOptions, value: Mapping[str, str]) -> None:
        super().__set__(instance, value)  # type: ignore[arg-type]

    def write(self, instance: HasOptions, value: Mapping[str, str]) -> None:
        if not isinstance(value, Mapping):
            raise self.refuse(value, "a mapping from names to values")
        self.read(instance)._replace(value)
