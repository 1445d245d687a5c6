"""Owners: what frees the C half of an object, and not before the last code has run that could use it.

The object has a bare pointer in one attribute, and its owner in `_owner`. Why cffi's own `ffi.gc` won't do, which is fine for
what only a running function has, is told in shim/python.c.
"""

from typing import Any

from nngio._core.errors import ForkedError, NoMemory
from nngio._core.library import NULL, ffi, lib, python

__all__ = ["own_box", "own_handle", "own_operation"]

_BOX, _ADDRESS = ffi.typeof("nngio_box *"), ffi.typeof("uintptr_t")
_cast, _own_box = ffi.cast, python.own_box


def own_box(owner: Any) -> Any:
    """A new box, the object's."""
    try:
        return _cast(_BOX, _own_box(owner))
    except MemoryError:
        raise NoMemory() from None


def own_handle(owner: Any, handle: Any) -> Any:
    """A handle that was just made, the object's from now on."""
    try:
        python.own_handle(owner, int(_cast(_ADDRESS, handle)))
    except MemoryError:
        lib.nngio_handle_close(handle)
        lib.nngio_handle_free(handle)
        raise NoMemory() from None
    return handle


def own_operation(owner: Any, slice_ms: int) -> Any:
    """A new operation, the object's."""
    op = lib.nngio_op_new(slice_ms)
    if op == NULL:
        raise ForkedError() if lib.nngio_forked() else NoMemory()
    try:
        python.own_operation(owner, int(_cast(_ADDRESS, op)))
    except MemoryError:
        lib.nngio_op_free(op)
        raise NoMemory() from None
    return op
