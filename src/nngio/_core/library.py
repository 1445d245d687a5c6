"""The compiled module, and what becomes of it at a fork and at the interpreter's exit.

Fork: NNG's threads don't exist in the child and its locks may be held for ever, so nothing of the parent's can be used
there. The C side notices by itself (`nngio_forked`) and refuses every call; `forked` is the same fact for Python code
that would otherwise not ask C. Closing and finalizing are silent in the child.

Exit: Python's exit handlers find everything as it was, whenever they were registered. Sockets that are still open are
closed in C when no Python code runs any more (shim/lifecycle.c), so no thread that waits in a call hears of it. Until
then nothing of NNG's runs Python code, and `exiting` tells finalizers to leave closing to that.
"""

import atexit
import os
from collections.abc import Callable

from nngio import _nng
from nngio._core.typing import TYPE_CHECKING, Any
from nngio._nng import ffi, lib

__all__ = ["AGAIN", "BUSY", "FORKED", "NULL", "before_exit", "exiting", "ffi", "forked", "lib", "python"]

AGAIN: int = lib.NNGIO_AGAIN
BUSY: int = lib.NNGIO_BUSY
FORKED: int = lib.NNGIO_FORKED
NULL = ffi.NULL

forked = False
"""True in the child of a fork that took place after NNG had started."""
exiting = False
"""True when the interpreter has begun to exit."""
before_exit: list[Callable[[], None]] = []
"""What has to stop before the interpreter takes itself apart."""


def _complete_types() -> None:
    """Have cffi make all types of structures now, which it would do at the first use of each.

    It ends the process when a second thread comes to that meanwhile: the garbage collector, which may run in the middle of it, lets
    other threads run where it frees something of ours.
    """
    typedefs, structs, unions = ffi.list_types()
    for name in (*typedefs, *(f"struct {name}" for name in structs), *(f"union {name}" for name in unions)):
        if ffi.typeof(name).kind in ("struct", "union"):
            try:
                ffi.new(f"{name} *")
            except TypeError:
                continue  # it has no known size


_complete_types()


def _after_fork_in_child() -> None:
    global forked
    forked = bool(lib.nngio_forked())


def _at_exit() -> None:
    global exiting
    exiting = True
    if not forked:
        for stop in before_exit:
            stop()


def _load_python() -> Any:
    """What shim/python.c and shim/verbs.c have: a second module in the file of the first."""
    spec: Any = _nng.__spec__
    loader = type(spec.loader)("nngio._python", _nng.__file__)
    module = loader.create_module(type(spec)(loader.name, loader, origin=_nng.__file__))
    loader.exec_module(module)
    return module


if TYPE_CHECKING:
    from nngio import _python as python  # pyright: ignore[reportMissingModuleSource]
    from nngio._python import Slot as Slot  # pyright: ignore[reportMissingModuleSource]
else:
    python = _load_python()
os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
