"""Durations: seconds in Python, milliseconds in NNG."""

import enum
import math
from typing import Final

__all__ = ["DEFAULT", "DEFAULT_MS", "Default", "Timeout", "milliseconds", "seconds"]


class Default(enum.Enum):
    """The one value of this type, `DEFAULT`, stands for "as the socket's own option says"."""

    DEFAULT = "DEFAULT"

    def __repr__(self) -> str:
        return self.name


DEFAULT: Final = Default.DEFAULT
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


def seconds(ms: int) -> float | None:
    """Seconds for NNG's number, None where it means for ever."""
    return None if ms < 0 else ms / 1000
