"""What can be done to the two parts of a message, from either end: bytes and big-endian numbers, put on and taken off."""

from collections.abc import Callable

from nngio._core.errors import InvalidArgument, check
from nngio._core.library import ffi, lib
from nngio._core.typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["MAX_HEADER", "EditableMessage", "as_bytes_like"]

F = TypeVar("F", bound=Callable[..., Any])

MAX_HEADER = 64


def as_bytes_like(data: "Buffer", what: str = "a message") -> tuple[Any, int]:
    """What cffi passes as a pointer for `data`, and its size in bytes; TypeError for what has no buffer, which is to be `what`.

    A `bytes` is passed as it is. Anything else is pinned for as long as the pointer lives; one whose bytes don't lie in
    one piece is copied into one.
    """
    if type(data) is bytes:  # one of a class of somebody else's may tell another length
        return data, len(data)
    if isinstance(data, str):
        raise TypeError(f"{what} is bytes, not str: encode it first, as in text.encode()")
    try:
        view = memoryview(data)
    except TypeError:
        if isinstance(data, EditableMessage):
            raise TypeError(f"{what} is bytes, not a Message: bytes(message) has its body, and message.copy() is another Message") from None
        raise TypeError(
            f"{what} is bytes, or another object with a buffer (bytearray, memoryview, array, ...), not {type(data).__name__}"
        ) from None
    if not view.c_contiguous:
        copy = view.tobytes()
        return copy, len(copy)
    return ffi.from_buffer(view), view.nbytes


def _put(name: str) -> "Callable[[EditableMessage, int], None]":
    """The method that puts a number on a part of the message."""
    size, part, where = _described(name)

    def put(self: "EditableMessage", number: int) -> None:
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"{name} takes a whole number, not {type(number).__name__}")
        if not 0 <= number < 1 << (8 * size):
            raise ValueError(f"{name} takes a number from 0 to {(1 << (8 * size)) - 1}, not {number}")
        getattr(self, name.rpartition("_")[0])(number.to_bytes(size, "big"))

    return _named(put, name, f"Put a number of {size} bytes, big-endian, {where} the {part}. NNG: `nng_msg_{name}`.")


def _take(name: str) -> "Callable[[EditableMessage], int]":
    """The method that takes a number off a part of the message."""
    size, part, where = _described(name)

    def take(self: "EditableMessage") -> int:
        return int.from_bytes(getattr(self, name.rpartition("_")[0])(size), "big")

    return _named(take, name, f"Take a number of {size} bytes, big-endian, off {where} the {part}. NNG: `nng_msg_{name}`.")


def _described(name: str) -> tuple[int, str, str]:
    operation, _, bits = name.rpartition("_u")
    part = "header" if operation.startswith("header_") else "body"
    where = {"append": "at the end of", "insert": "before", "trim": "the beginning of", "chop": "the end of"}
    return int(bits) // 8, part, where[operation.removeprefix("header_")]


def _named(function: F, name: str, doc: str) -> F:
    function.__name__ = name
    function.__qualname__ = f"EditableMessage.{name}"
    function.__doc__ = doc
    return function


class EditableMessage:
    """The operations on a message's body and header."""

    __slots__ = ()

    _box: Any

    def _msg(self) -> Any:
        raise NotImplementedError  # a message has it

    @classmethod
    def _of_size(cls, size: int) -> "EditableMessage":
        raise NotImplementedError  # a message knows how to make another

    def _body_to_change(self) -> Any:
        """The `nng_msg *`, of a message whose body may move."""
        msg = self._msg()
        if self._box.views:
            raise BufferError(
                "this message's body is being looked at: release the memoryview (and what was made over it) before you change it"
            )
        return msg

    # The body.

    def append(self, data: "Buffer") -> None:
        """Put bytes at the end of the body.

        What changes the body's size raises `BufferError` while there is a view of it. NNG: `nng_msg_append`.
        """
        pointer, length = as_bytes_like(data)
        check(lib.nng_msg_append(self._body_to_change(), pointer, length))

    def insert(self, data: "Buffer") -> None:
        """Put bytes before the body. This copies all of it: NNG's own way to do it is broken. NNG: `nng_msg_insert`."""
        front, length = as_bytes_like(data)
        msg = self._body_to_change()
        new = type(self)._of_size(length + lib.nng_msg_len(msg))
        body = ffi.cast("char *", lib.nng_msg_body(new._msg()))
        ffi.memmove(body, front, length)
        ffi.memmove(body + length, lib.nng_msg_body(msg), lib.nng_msg_len(msg))
        check(lib.nng_msg_header_append(new._msg(), lib.nng_msg_header(msg), lib.nng_msg_header_len(msg)))
        lib.nng_msg_set_pipe(new._msg(), lib.nng_msg_get_pipe(msg))
        mine, other, inserted = self._box, new._box, new._msg()
        mine.msg = inserted
        other.msg = msg  # to be dropped; nothing can interrupt these two

    def trim(self, size: int) -> bytes:
        """Take bytes off the beginning of the body, and return them; `InvalidArgument` if there are fewer. NNG: `nng_msg_trim`."""
        msg = self._body_to_change()
        _check_size(size, lib.nng_msg_len(msg), "body")
        data: bytes = ffi.unpack(ffi.cast("char *", lib.nng_msg_body(msg)), size)
        check(lib.nng_msg_trim(msg, size))
        return data

    def chop(self, size: int) -> bytes:
        """Take bytes off the end of the body, and return them; `InvalidArgument` if there are fewer. NNG: `nng_msg_chop`."""
        msg = self._body_to_change()
        length = lib.nng_msg_len(msg)
        _check_size(size, length, "body")
        data: bytes = ffi.unpack(ffi.cast("char *", lib.nng_msg_body(msg)) + length - size, size)
        check(lib.nng_msg_chop(msg, size))
        return data

    def clear(self) -> None:
        """Leave no byte in the body. NNG: `nng_msg_clear`."""
        lib.nng_msg_clear(self._body_to_change())

    append_u16, append_u32, append_u64 = _put("append_u16"), _put("append_u32"), _put("append_u64")
    insert_u16, insert_u32, insert_u64 = _put("insert_u16"), _put("insert_u32"), _put("insert_u64")
    trim_u16, trim_u32, trim_u64 = _take("trim_u16"), _take("trim_u32"), _take("trim_u64")
    chop_u16, chop_u32, chop_u64 = _take("chop_u16"), _take("chop_u32"), _take("chop_u64")

    # The header.

    def header_append(self, data: "Buffer") -> None:
        """Put bytes at the end of the header; ValueError if there would be more than 64. NNG: `nng_msg_header_append`."""
        self._header_put(lib.nng_msg_header_append, data)

    def header_insert(self, data: "Buffer") -> None:
        """Put bytes before the header; ValueError if there would be more than 64. NNG: `nng_msg_header_insert`."""
        self._header_put(lib.nng_msg_header_insert, data)

    def _header_put(self, function: Any, data: "Buffer") -> None:
        msg = self._msg()
        pointer, length = as_bytes_like(data, "a header")
        there = lib.nng_msg_header_len(msg)
        if there + length > MAX_HEADER:
            raise ValueError(f"a header has at most {MAX_HEADER} bytes, not {there + length}")
        check(function(msg, pointer, length))

    def header_trim(self, size: int) -> bytes:
        """Take bytes off the beginning of the header, and return them; `InvalidArgument` if there are fewer.

        NNG: `nng_msg_header_trim`.
        """
        msg = self._msg()
        _check_size(size, lib.nng_msg_header_len(msg), "header")
        data: bytes = ffi.unpack(ffi.cast("char *", lib.nng_msg_header(msg)), size)
        check(lib.nng_msg_header_trim(msg, size))
        return data

    def header_chop(self, size: int) -> bytes:
        """Take bytes off the end of the header, and return them; `InvalidArgument` if there are fewer. NNG: `nng_msg_header_chop`."""
        msg = self._msg()
        length = lib.nng_msg_header_len(msg)
        _check_size(size, length, "header")
        data: bytes = ffi.unpack(ffi.cast("char *", lib.nng_msg_header(msg)) + length - size, size)
        check(lib.nng_msg_header_chop(msg, size))
        return data

    def header_clear(self) -> None:
        """Leave no byte in the header. NNG: `nng_msg_header_clear`."""
        lib.nng_msg_header_clear(self._msg())

    header_append_u16, header_append_u32 = _put("header_append_u16"), _put("header_append_u32")
    header_append_u64, header_insert_u16 = _put("header_append_u64"), _put("header_insert_u16")
    header_insert_u32, header_insert_u64 = _put("header_insert_u32"), _put("header_insert_u64")
    header_trim_u16, header_trim_u32, header_trim_u64 = _take("header_trim_u16"), _take("header_trim_u32"), _take("header_trim_u64")
    header_chop_u16, header_chop_u32, header_chop_u64 = _take("header_chop_u16"), _take("header_chop_u32"), _take("header_chop_u64")


def _check_size(size: int, there: int, part: str) -> None:
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"a size is a number of bytes, not {type(size).__name__}")
    if not 0 <= size <= there:
        raise InvalidArgument(f"{size} bytes can't be taken off a {part} of {there}")
