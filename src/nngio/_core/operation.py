"""Synchronous calls, and how they lose nothing when a signal handler raises in the middle.

Python runs signal handlers between bytecodes: after any call has returned, so also between the C call that received a
message and the line that stores it. Hence the order in every function that uses an operation:

- The result stays in the operation, in C, until the last call has been made; what follows are plain stores, between
  which nothing can be raised.
- Any exception before that ends in `nngio_abandon`, one C call that cancels what is pending and keeps a message that had
  arrived for the next receive.
- Each call takes an operation from C's pool, in a `Slot`, and lets it go at the end. One whose slot is dropped before `over` was
  set keeps what it received for the next receive.

The main thread waits in slices of 50 ms: a signal ends the wait, and the slice bounds the moment in which a signal comes
after Python has looked and before the thread sleeps.
"""

import math
import os
import threading

from nngio._core.errors import ForkedError, NoMemory
from nngio._core.library import AGAIN, NULL, ffi, lib, python
from nngio._core.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nngio._core.library import Slot

__all__ = ["LOOK", "PENDING", "Operation", "complete", "new_operation", "operation_in", "take_slot"]

PENDING: int = lib.NNGIO_PENDING
LOOK: int = lib.NNGIO_LOOK
"""A receive has to look first, with `adapter.reclaim`, for messages that loops hold, and is called again then."""
SLICE_MS = 50
Operation = Any
"""A `nngio_op *` that returns to C's pool when it is dropped."""


_OP, _ADDRESS = ffi.typeof("nngio_op *"), ffi.typeof("uintptr_t")
_cast, _new_slot = ffi.cast, python.new_slot


def take_slot() -> "Slot":
    """An idle operation for one call of the calling thread."""
    slot = _new_slot()
    if slot is None:
        raise ForkedError() if lib.nngio_forked() else NoMemory()
    return slot


def operation_in(slot: "Slot") -> Operation:
    """What C calls take. It is good for as long as the slot is there."""
    return _cast(_OP, slot.address)


def _set_main_thread() -> None:
    ident = threading.main_thread().ident
    assert ident is not None
    python.set_main_thread(ident)


_set_main_thread()
os.register_at_fork(after_in_child=_set_main_thread)


def new_operation(slice_ms: int | None = None) -> Operation:
    """An idle operation for the calling thread."""
    if slice_ms is None:
        slice_ms = SLICE_MS if threading.current_thread() is threading.main_thread() else -1
    op = ffi.gc(lib.nngio_op_new(slice_ms), lib.nngio_op_free)
    if op == NULL:
        raise ForkedError() if lib.nngio_forked() else NoMemory()
    return op


def dial(handle: Any, dialer_id: int, timeout_ms: int) -> int:
    """Start a dialer of the socket's, wait for its first connection, and return NNG's code; when it isn't there in time, close the
    dialer."""
    return complete(timeout_ms, lib.nngio_begin_dial, handle, dialer_id)


def join(device: Any, timeout_ms: int) -> int:
    """Wait until a device has ended, and return the code that it has ended with, or NNG_ETIMEDOUT."""
    return complete(timeout_ms, lib.nngio_begin_join, device)


def complete(timeout_ms: int, begin: Any, *arguments: Any) -> int:
    """Begin an operation that has no timeout of its own, `begin(op, *arguments)`, and wait for its outcome; abort it when time is up."""
    import time

    deadline = None if timeout_ms < 0 else time.monotonic() + timeout_ms / 1000
    op = new_operation(SLICE_MS if timeout_ms < 0 else _slice(timeout_ms))
    try:
        code = begin(op, *arguments)
        while code in (PENDING, AGAIN):
            if deadline is not None and time.monotonic() >= deadline:
                lib.nngio_op_abort(op, lib.NNG_ETIMEDOUT)
            code = lib.nngio_wait(op)
    except BaseException:
        lib.nngio_abandon(op, NULL)
        raise
    outcome: int = code
    return outcome


def _slice(timeout_ms: int) -> int:
    """Equal slices, so that the last one ends when time is up."""
    return max(1, math.ceil(timeout_ms / max(1, math.ceil(timeout_ms / SLICE_MS))))
