"""Messages: a body, a header, and the pipe that brought them.

A `Message` owns a box in C, and the box owns an `nng_msg` or nothing. To send is to empty the box; a send that fails
fills it again. What reads a body through a view keeps the box alive: each view is made over a pointer whose keeper refers
to the box, so memory that can be seen is never freed. And a message that is being looked at is not handed to NNG: the
body's buffer is weakly known here, and for as long as it lives, so does a view.
"""

import weakref
from typing import TYPE_CHECKING, Any

from nngio._core import library
from nngio._core.errors import BadState, ForkedError, NoMemory, check
from nngio._core.library import NULL, ffi, lib

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from nngio._pipe import Pipe

__all__ = ["MAX_HEADER", "Message", "as_bytes_like"]

MAX_HEADER = 64


class _Keeper:
    """The "destructor" of a body's pointer: does nothing, but refers to the box for as long as the pointer lives."""

    __slots__ = ("box",)

    def __init__(self, box: Any) -> None:
        self.box = box

    def __call__(self, pointer: Any) -> None:
        pass


def as_bytes_like(data: "Buffer") -> tuple[Any, int]:
    """What cffi passes as a pointer for `data`, and its size in bytes; TypeError for what has no buffer.

    A `bytes` is passed as it is. Anything else is pinned for as long as the pointer lives; one whose bytes don't lie in
    one piece is copied into one.
    """
    if isinstance(data, bytes):
        return data, len(data)
    if isinstance(data, str):
        raise TypeError("a message is bytes, not str: encode it first, as in text.encode()")
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(
            f"a message is bytes, or another object with a buffer (bytearray, memoryview, array, ...), not {type(data).__name__}"
        ) from None
    if not view.c_contiguous:
        copy = view.tobytes()
        return copy, len(copy)
    return ffi.from_buffer(view), view.nbytes


class Message:
    """A message: its body, its protocol header, and the pipe that it came by.

    `Message(data)` copies `data`, any object with a buffer, into a new message; `Message(size=n)` makes one of `n` zero
    bytes to be filled through `body`, which saves that copy for large messages.

    A message that is sent becomes NNG's: until the send has failed it is empty here, and using it raises `BadState`.
    After a failed send it is whole again, header included, and can be sent once more, on the same or another socket.

    Not thread-safe: two threads must not use one message at once. A message of the parent's can't be used in a forked
    child. NNG: `nng_msg_alloc`, `nng_msg_free`.
    """

    __slots__ = ("__weakref__", "_box", "_buffer")

    def __init__(self, data: "Buffer | None" = None, *, size: int | None = None) -> None:
        if library.forked:
            raise ForkedError()
        self._buffer: weakref.ref[Any] | None = None
        self._box = _new_box()
        if size is None:
            check(lib.nngio_box_fill(self._box, *as_bytes_like(b"" if data is None else data)))
            return
        if data is not None:
            raise TypeError("give data or size, not both: the size of data is its own")
        if size < 0:
            raise ValueError(f"a message has 0 bytes or more, not {size}")
        if size > MAX_SIZE:
            raise NoMemory(f"a message of {size} bytes is more than there can be memory for")
        check(lib.nngio_box_alloc(self._box, size))

    @classmethod
    def _empty(cls) -> "Message":
        """One whose box is still to be filled, by a receive."""
        message = cls.__new__(cls)
        message._buffer = None
        message._box = _new_box()
        return message

    def _msg(self) -> Any:
        """The `nng_msg *`, for the moment."""
        if library.forked:
            raise ForkedError()
        msg = self._box.msg
        if msg == NULL:
            raise BadState("this message is not here: it was sent, or is being sent and NNG has it")
        return msg

    def _to_send(self) -> Any:
        """The box, of a message that can be given away now."""
        self._msg()
        if self._buffer is not None and self._buffer() is not None:
            raise BufferError("this message's body is being looked at: release the memoryview (and what was made over it) before you send")
        return self._box

    @property
    def body(self) -> memoryview:
        """The body as a writable view of bytes, without a copy.

        The view stays valid whatever becomes of the message object, and while it lives, the message can't be sent: release
        it (`with message.body as view:`), or let it go, first. NNG: `nng_msg_body`, `nng_msg_len`.
        """
        msg = self._msg()
        buffer = self._buffer() if self._buffer is not None else None
        if buffer is None:
            pointer = ffi.gc(ffi.cast("char *", lib.nng_msg_body(msg)), _Keeper(self._box))
            buffer = ffi.buffer(pointer, lib.nng_msg_len(msg))
            self._buffer = weakref.ref(buffer)
        return memoryview(buffer)

    @property
    def header(self) -> bytes:
        """The protocol's part of the message, at most 64 bytes. Raw sockets show it and need it; others replace it.

        NNG: `nng_msg_header`.
        """
        msg = self._msg()
        data: bytes = ffi.unpack(ffi.cast("char *", lib.nng_msg_header(msg)), lib.nng_msg_header_len(msg))
        return data

    @header.setter
    def header(self, data: "Buffer") -> None:
        msg = self._msg()
        pointer, length = as_bytes_like(data)
        if length > MAX_HEADER:
            raise ValueError(f"a header has at most {MAX_HEADER} bytes, not {length}")
        lib.nng_msg_header_clear(msg)
        check(lib.nng_msg_header_append(msg, pointer, length))

    @property
    def pipe(self) -> "Pipe | None":
        """The pipe that the message came by; None for one that was made here. NNG: `nng_msg_get_pipe`."""
        from nngio._pipe import Pipe

        pipe = lib.nng_msg_get_pipe(self._msg())
        return Pipe._from_id(pipe.id) if lib.nng_pipe_id(pipe) > 0 else None

    @pipe.setter
    def pipe(self, pipe: "Pipe") -> None:
        lib.nng_msg_set_pipe(self._msg(), pipe._c)

    def copy(self) -> "Message":
        """Another message with the same body, header and pipe. NNG: `nng_msg_dup`."""
        self._msg()
        other = Message._empty()
        check(lib.nngio_box_copy(other._box, self._box))
        return other

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> "Message":
        return self.copy()

    def __reduce__(self) -> Any:
        raise TypeError("a Message can't be pickled: it belongs to this process; pickle bytes(message) instead")

    def __len__(self) -> int:
        """The size of the body in bytes."""
        length: int = lib.nng_msg_len(self._msg())
        return length

    def __bytes__(self) -> bytes:
        """A copy of the body."""
        msg = self._msg()
        data: bytes = ffi.unpack(ffi.cast("char *", lib.nng_msg_body(msg)), lib.nng_msg_len(msg))
        return data

    def __bool__(self) -> bool:
        """True: a message of no bytes is a message."""
        return True

    def __eq__(self, other: object) -> bool:
        """Whether both have the same body and header. One that was sent equals nothing but itself."""
        if not isinstance(other, Message):
            return NotImplemented
        if self is other:
            return True
        if library.forked:
            raise ForkedError()
        if NULL in (self._box.msg, other._box.msg):
            return False
        return bytes(self) == bytes(other) and self.header == other.header

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __repr__(self) -> str:
        if library.forked or self._box.msg == NULL:
            return "<nngio.Message, sent>"
        return f"<nngio.Message of {len(self)} bytes>"


MAX_SIZE = 2 ** (8 * ffi.sizeof("size_t") - 1) - 4096


def _new_box() -> Any:
    box = ffi.gc(lib.nngio_box_new(), lib.nngio_box_free)
    if box == NULL:
        raise NoMemory()
    return box
