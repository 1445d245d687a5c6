"""Synchronous calls, and how they lose nothing when a signal handler raises in the middle.

Python runs signal handlers between bytecodes: after any call has returned, so also between the C call that received a
message and the line that stores it. Hence the order in every function that uses an operation:

- The result stays in the operation, in C, until the last call has been made; what follows are plain stores, between
  which nothing can be raised.
- Any exception before that ends in `nngio_abandon`, one C call that cancels what is pending and keeps a message that had
  arrived for the next receive.
- An operation goes back to its thread's slot (`local.op`) at the end. One that was not put back is let go, and C pools
  it. A handler that calls nngio itself finds the slot empty and takes another operation.

The main thread waits in slices of 50 ms: a signal ends the wait, and the slice bounds the moment in which a signal comes
after Python has looked and before the thread sleeps.
"""

import threading
from typing import Any

from nngio._core.errors import ForkedError, NoMemory
from nngio._core.library import AGAIN, NULL, ffi, lib

__all__ = ["KEEP_BYTES", "KEEP_BYTES_EACH", "LOOK", "PENDING", "Operation", "local", "new_operation"]

PENDING: int = lib.NNGIO_PENDING
LOOK: int = lib.NNGIO_LOOK
"""A receive has to look first, with `adapter.reclaim`, for messages that loops hold, and is called again then."""
SLICE_MS = 50
KEEP_BYTES = 65536
"""A thread's operation holds the last message received until the next one, if it is no larger than this."""
KEEP_BYTES_EACH = 4096
"""The same for each of a loop's operations, of which there may be many."""

Operation = Any
"""A `nngio_op *` that returns to C's pool when it is dropped."""


class _Local(threading.local):
    op: Operation = None


local = _Local()


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
    import time

    deadline = None if timeout_ms < 0 else time.monotonic() + timeout_ms / 1000
    op = new_operation(SLICE_MS)
    try:
        code = lib.nngio_begin_dial(op, handle, dialer_id)
        while code in (PENDING, AGAIN):
            if deadline is not None and time.monotonic() >= deadline:
                lib.nngio_op_abort(op, lib.NNG_ETIMEDOUT)
            code = lib.nngio_wait(op)
    except BaseException:
        lib.nngio_abandon(op, NULL)
        raise
    outcome: int = code
    return outcome
