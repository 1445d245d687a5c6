"""How often to repeat a phase, and how long it took; the same as c/meter.c.

A phase runs an operation a given number of times. One phase warms up (connections, caches, the allocator), further ones grow until
one is long enough to tell the rate, and the last, which is made as long as asked for, counts.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any


def cpu_seconds() -> float:
    """What all threads of this process have used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Meter:
    """`for count in meter: meter.start(); <the phase>; meter.stop()`, then `rate()` or `times()`."""

    def __init__(self, seconds: float, step: int = 1) -> None:
        self.seconds = seconds
        self.step = step
        self.count = self.elapsed = self.cpu = 0.0

    def _multiple(self, count: float) -> int:
        return max(1, round(count / self.step)) * self.step

    def __iter__(self) -> Iterator[int]:
        enough = self.seconds / 8
        count = self._multiple(16)
        yield count
        yield count
        while self.elapsed < enough:
            count = self._multiple(count * min(10, max(2, 1.2 * enough / self.elapsed)))
            yield count
        count = self._multiple(count / self.elapsed * self.seconds)
        self.count = count
        yield count

    def start(self) -> None:
        self._cpu_started = cpu_seconds()
        self._started = perf_counter()

    def stop(self) -> None:
        self.elapsed = perf_counter() - self._started
        self.cpu = cpu_seconds() - self._cpu_started

    def rate(self, each: int = 1) -> dict[str, Any]:
        """Messages per second, where one count is `each` of them."""
        messages = int(self.count) * each
        return {"value": messages / self.elapsed, "operations": messages, "seconds": self.elapsed, "cpu": self.cpu / messages}

    def times(self, nanoseconds: Sequence[int]) -> dict[str, Any]:
        """The median and the tail of single operations, in seconds."""
        ordered = sorted(nanoseconds)
        n = len(ordered)
        return {
            "value": ordered[n // 2] / 1e9,
            "p99": ordered[n * 99 // 100] / 1e9,
            "p999": ordered[n * 999 // 1000] / 1e9,
            "mean": self.elapsed / n,
            "operations": n,
            "seconds": self.elapsed,
            "cpu": self.cpu / n,
        }
