"""Owners: what frees the C half of an object, and not before the last code has run that could use it.

The object has a bare pointer in one attribute, and its owner in `_owner`. Why cffi's own `ffi.gc` won't do, which is fine for
what only a running function has, is told in shim/python.c.
"""

from nngio._core.errors import ForkedError, NoMemory
from nngio._core.library import NULL, ffi, lib, python
from nngio._core.typing import Any

__all__ = ["own_admission", "own_box", "own_device", "own_handle", "own_operation", "own_watch"]

_BOX, _DEVICE, _ADDRESS = ffi.typeof("nngio_box *"), ffi.typeof("nngio_device *"), ffi.typeof("uintptr_t")
_cast, _own_box = ffi.cast, python.own_box


def own_box(owner: Any) -> Any:
    """A new box, the object's."""
    try:
        return _cast(_BOX, _own_box(owner))
    except MemoryError:
        raise NoMemory() from None


def own_device(owner: Any) -> Any:
    """A new device, the object's."""
    try:
        return _cast(_DEVICE, python.own_device(owner))
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


def own_watch(owner: Any, handle: Any, limit: int) -> Any:
    """A new watch on a socket's pipes, the object's."""
    watch = lib.nngio_watch_new(handle, limit)
    if watch == NULL:
        raise ForkedError() if lib.nngio_forked() else NoMemory()
    try:
        python.own_watch(owner, int(_cast(_ADDRESS, watch)))
    except MemoryError:
        lib.nngio_watch_free(watch)
        raise NoMemory() from None
    return watch


def own_admission(owner: Any, count: int, allows: bool, most: int) -> Any:
    """New rules, the object's, so many, to be filled in; whether some allow, and how many peers there may be."""
    admission = lib.nngio_admission_new(count, allows, most)
    if admission == NULL:
        raise NoMemory()
    try:
        python.own_admission(owner, int(_cast(_ADDRESS, admission)))
    except MemoryError:
        lib.nngio_admission_free(admission)
        raise NoMemory() from None
    return admission
