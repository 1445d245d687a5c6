"""The compiled module, and what becomes of it at a fork and at the interpreter's exit.

Fork: NNG's threads don't exist in the child and its locks may be held for ever, so nothing of the parent's can be used
there. The C side notices by itself (`nngio_forked`) and refuses every call; `forked` is the same fact for Python code
that would otherwise not ask C. Closing and finalizing are silent in the child.

Exit: `at_exit` runs before Python takes itself apart. From then on no thread but the one that exits returns from a wait
to Python, and all sockets are closed, in a bounded time. Nothing of NNG's runs Python code, so its threads may go on until
the process ends.
"""

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

from nngio._nng import ffi, lib

__all__ = ["AGAIN", "BUSY", "FORKED", "NULL", "before_closing", "ffi", "forked", "lib", "open_sockets"]

AGAIN: int = lib.NNGIO_AGAIN
BUSY: int = lib.NNGIO_BUSY
FORKED: int = lib.NNGIO_FORKED
NULL = ffi.NULL

EXIT_SECONDS = 0.5
"""The most that closing the sockets may hold up the interpreter's exit."""

forked = False
"""True in the child of a fork that took place after NNG had started."""


class _Closable(Protocol):
    def close(self) -> None: ...


open_sockets: "weakref.WeakSet[_Closable]" = weakref.WeakSet()
before_closing: list[Callable[[], None]] = []
"""What has to stop at exit before the sockets are closed."""


def _after_fork_in_child() -> None:
    global forked
    forked = bool(lib.nngio_forked())


def _close_all() -> None:
    deadline = time.monotonic() + EXIT_SECONDS
    for socket in list(open_sockets):
        if time.monotonic() < deadline:
            socket.close()


def _at_exit() -> None:
    if forked or not lib.nngio_started():
        return
    lib.nngio_exit_begins()
    for stop in before_closing:
        stop()
    # Closing a websocket waits for its peer, so many of them take a while: they get a thread, and a limit.
    closer = threading.Thread(target=_close_all, name="nngio-exit", daemon=True)
    try:
        closer.start()
    except RuntimeError:  # Python 3.12 starts no thread any more at this point
        _close_all()
    else:
        closer.join(EXIT_SECONDS)


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
