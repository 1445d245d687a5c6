"""Messages: a body, a header, and the pipe that brought them.

A `Message` owns a box in C, and the box owns an `nng_msg` or nothing. To send is to empty the box; a send that fails
fills it again. The box's owner (`_core/owner.py`) is the body's buffer too: each view refers to it, so memory that can be seen
is never freed. And a message that is being looked at is not handed to NNG: the box counts its views.
"""

from operator import index

from nngio._core import library
from nngio._core.errors import BadState, ForkedError, NoMemory, check
from nngio._core.library import NULL, ffi, lib
from nngio._core.owner import own_box
from nngio._core.typing import TYPE_CHECKING, Any
from nngio._message_edit import MAX_HEADER, EditableMessage, as_bytes_like

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from nngio._pipe import Pipe

__all__ = ["MAX_HEADER", "Message", "as_bytes_like"]


class Message(EditableMessage):
    """A message: its body, its protocol header, and the pipe that it came by.

    `Message(data)` copies `data`, any object with a buffer, into a new message; `Message(size=n)` makes one of `n` zero
    bytes to be filled through `body`, which saves that copy for large messages.

    A message that is sent becomes NNG's: until the send has failed it is empty here, and using it raises `BadState`.
    After a failed send it is whole again, header included, and can be sent once more, on the same or another socket.

    Not thread-safe: two threads must not use one message at once. A message of the parent's can't be used in a forked
    child. NNG: `nng_msg_alloc`, `nng_msg_free`.
    """

    __slots__ = ("__weakref__", "_box", "_owner")

    _owner: Any

    def __init__(self, data: "Buffer | None" = None, *, size: int | None = None) -> None:
        if library.forked:
            raise ForkedError()
        self._box = own_box(self)
        if size is None:
            check(lib.nngio_box_fill(self._box, *as_bytes_like(b"" if data is None else data)))
            return
        if data is not None:
            raise TypeError("give data or size, not both: the size of data is its own")
        try:
            size = index(size)
        except TypeError:
            raise TypeError(f"size is a number of bytes, not {type(size).__name__}") from None
        if size < 0:
            raise ValueError(f"a message has 0 bytes or more, not {size}")
        if size > MAX_SIZE:
            raise NoMemory(f"a message of {size} bytes is more than there can be memory for")
        check(lib.nngio_box_alloc(self._box, size))

    @classmethod
    def _empty(cls) -> "Message":
        """One whose box is still to be filled, by a receive."""
        message = cls.__new__(cls)
        message._box = own_box(message)
        return message

    @classmethod
    def _of_size(cls, size: int) -> "Message":
        return cls(size=size)

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
        if self._box.views:
            raise BufferError("this message's body is being looked at: release the memoryview (and what was made over it) before you send")
        return self._box

    @property
    def body(self) -> memoryview:
        """The body as a writable view of bytes, without a copy.

        The view stays valid whatever becomes of the message object, and while it lives, the message can't be sent: release
        it (`with message.body as view:`), or let it go, first. NNG: `nng_msg_body`, `nng_msg_len`.
        """
        self._msg()
        return memoryview(self._owner)

    @property
    def header(self) -> bytes:
        """The protocol's part of the message, at most 64 bytes. Raw sockets show it and need it; others replace it.

        NNG: `nng_msg_header`, `nng_msg_header_len`.
        """
        msg = self._msg()
        data: bytes = ffi.unpack(ffi.cast("char *", lib.nng_msg_header(msg)), lib.nng_msg_header_len(msg))
        return data

    @header.setter
    def header(self, data: "Buffer") -> None:
        msg = self._msg()
        pointer, length = as_bytes_like(data, "a header")
        if length > MAX_HEADER:
            raise ValueError(f"a header has at most {MAX_HEADER} bytes, not {length}")
        lib.nng_msg_header_clear(msg)
        check(lib.nng_msg_header_append(msg, pointer, length))

    @property
    def pipe(self) -> "Pipe | None":
        """The pipe that the message came by; None for one that was made here.

        Setting it is for a polyamorous `Pair1`, which sends the message to that peer: `reply.pipe = question.pipe`.
        NNG: `nng_msg_get_pipe`, `nng_msg_set_pipe`.
        """
        from nngio._pipe import Pipe

        pipe = lib.nng_msg_get_pipe(self._msg())
        return Pipe._from_id(pipe.id) if lib.nng_pipe_id(pipe) > 0 else None

    @pipe.setter
    def pipe(self, pipe: "Pipe | None") -> None:
        from nngio._pipe import Pipe

        if pipe is None:
            lib.nng_msg_set_pipe(self._msg(), ffi.new("nng_pipe *")[0])
            return
        if not isinstance(pipe, Pipe):
            raise TypeError(f"a message's pipe is a Pipe or None, not {type(pipe).__name__}")
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
