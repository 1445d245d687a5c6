"""Owners: what frees the C half of an object, and not before the last code has run that could use it.

The object has a bare pointer in one attribute, and its owner in `_owner`. Why cffi's own `ffi.gc` won't do, which is fine for
what only a running function has, is told in shim/python.c.
"""

from typing import Any

from nngio._core.errors import ForkedError, NoMemory
from nngio._core.library import NULL, ffi, lib

__all__ = ["own_box", "own_handle", "own_operation"]

BOX: int = lib.NNGIO_OWN_BOX
HANDLE: int = lib.NNGIO_OWN_HANDLE
OPERATION: int = lib.NNGIO_OWN_OP

_ANY = ffi.typeof("void *")
_cast, _own = ffi.cast, lib.nngio_own


def own_box(owner: Any) -> Any:
    """A new box, the object's."""
    box = lib.nngio_box_new()
    if not box or not _own(_cast(_ANY, id(owner)), box, BOX):
        lib.nngio_box_free(box)
        raise NoMemory()
    return box


def own_handle(owner: Any, handle: Any) -> Any:
    """A handle that was just made, the object's from now on."""
    if not _own(_cast(_ANY, id(owner)), handle, HANDLE):
        lib.nngio_handle_close(handle)
        lib.nngio_handle_free(handle)
        raise NoMemory()
    return handle


def own_operation(owner: Any, slice_ms: int) -> Any:
    """A new operation, the object's."""
    op = lib.nngio_op_new(slice_ms)
    if op == NULL:
        raise ForkedError() if lib.nngio_forked() else NoMemory()
    if not _own(_cast(_ANY, id(owner)), op, OPERATION):
        lib.nngio_op_free(op)
        raise NoMemory()
    return op
