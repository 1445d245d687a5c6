"""One call of a stream's or of HTTP's: it begins an operation, waits for it, and takes what that was given.

What can interrupt a call is told in `_core/operation.py` and `_channel_async.py`. What was given stays in the operation until `over` is
set. From then on nothing must be called, or it could be interrupted and lost: so whoever uses these functions calls nothing either,
unless they have failed, and returns.
"""

from collections.abc import Callable

from nngio._core.duration import call_milliseconds
from nngio._core.library import AGAIN, NULL, lib, python
from nngio._core.loops import take
from nngio._core.operation import PENDING, operation_in, take_slot
from nngio._core.typing import Any

__all__ = ["Begin", "acall", "body", "call", "call_ms"]

MOMENT_MS = 10
"""The shortest time that a call has: NNG's threads need some for what can be done at once."""

Begin = Callable[[Any, int], int]
"""Begins an operation of C's, which takes so many milliseconds at most (-1: any time), and returns its result, or that it is pending."""

_result = python.result


def call_ms(timeout: float | None) -> int:
    """Milliseconds, -1 for ever; a moment at least."""
    ms = call_milliseconds(timeout)
    return ms if ms < 0 else max(ms, MOMENT_MS)


def call(begin: Begin, given: Callable[[Any, Any], Any], ms: int) -> tuple[int, Any]:
    """Let an operation run to its end; its result, and what `given` says of the Python and the C object if that is 0."""
    slot = take_slot()
    op = operation_in(slot)
    try:
        code = begin(op, ms)
        while code in (PENDING, AGAIN):
            code = lib.nngio_stream_wait(op)
        value = None if code else given(slot, op)
    except BaseException:  # Ctrl-C too: what was given is kept for the next call
        lib.nngio_abandon(op, NULL)
        raise
    slot.over = True
    return code, value


async def acall(begin: Begin, given: Callable[[Any, Any], Any], ms: int) -> tuple[int, Any]:
    """The same for the task of a loop."""
    operation = await take()
    try:
        code = begin(operation.c, -1)
        if code == PENDING:
            if ms < 0:
                await operation
            else:
                await operation.adapter.within(operation, ms / 1000)
            code = _result(operation)
        value = None if code else given(operation, operation.c)
    except BaseException:  # a cancellation too
        operation.adapter.abandon(operation)
        raise
    operation.over = True
    return code, value


def body(operation: Any, op: Any) -> bytes:
    """The bytes that an operation was given."""
    del op
    value: bytes = python.body(operation)
    return value
