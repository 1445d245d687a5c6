"""Durations: seconds in Python, milliseconds in NNG."""

import math

from nngio._core.typing import TYPE_CHECKING

__all__ = ["DEFAULT", "DEFAULT_MS", "Default", "Timeout", "call_milliseconds", "milliseconds", "seconds"]


if TYPE_CHECKING:
    import enum
    from typing import Final

    class Default(enum.Enum):
        DEFAULT = "DEFAULT"

    DEFAULT: Final = Default.DEFAULT
else:  # `enum` takes time to import

    class Default:
        """The one value of this type, `DEFAULT`, stands for "as the socket's own option says"."""

        def __new__(cls):
            return DEFAULT

        def __repr__(self):
            return "DEFAULT"

        def __reduce__(self):
            return "DEFAULT"

    DEFAULT = object.__new__(Default)

DEFAULT_MS = -2
INFINITE_MS = -1
LONGEST_MS = 2**31 - 1

Timeout = float | None | Default
"""Seconds, None for ever, 0 for now or never, DEFAULT for the socket's or context's own timeout."""


def milliseconds(timeout: Timeout) -> int:
    """NNG's number for a timeout: rounded up, so that a short one doesn't become "now or never"."""
    if timeout is DEFAULT:
        return DEFAULT_MS
    if timeout is None:
        return INFINITE_MS
    if not isinstance(timeout, (int, float)):
        raise TypeError(f"a timeout is a number of seconds or None, not {type(timeout).__name__}")
    if not timeout >= 0:
        raise ValueError(f"a timeout is 0 or more seconds, or None to wait for ever; got {timeout!r}")
    if timeout > LONGEST_MS / 1000:
        if timeout == math.inf:
            return INFINITE_MS
        raise ValueError(f"the longest timeout is {LONGEST_MS // 1000} seconds (24 days); use None to wait for ever")
    return math.ceil(timeout * 1000)


def call_milliseconds(timeout: Timeout) -> int:
    """The same for a call that no option has a timeout for: DEFAULT is none."""
    if timeout is DEFAULT:
        raise TypeError("the timeout of this call is a number of seconds or None: no option stands behind it, so there is no DEFAULT")
    return milliseconds(timeout)


def seconds(ms: int) -> float | None:
    """Seconds for NNG's number, None where it means for ever."""
    return None if ms < 0 else ms / 1000
