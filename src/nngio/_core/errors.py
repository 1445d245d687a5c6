"""NNG's error codes as exceptions: one class for each code, and one way from a code to its class."""

import errno
import os
from collections.abc import Callable, Sequence

from nngio._core.library import FORKED, ffi, lib
from nngio._core.typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from nngio._message import Message

__all__ = [
    "CLASSES", "SYSTEM_ERROR", "AddressInUse", "AddressInvalid", "AlreadyExists", "Ambiguous", "BadState", "BadType", "Busy", "Canceled",
    "Closed", "ConnectionAborted", "ConnectionRefused", "ConnectionReset", "ConnectionShutdown", "CryptoError", "ForkedError",
    "InternalError", "Interrupted", "InvalidArgument", "MessageTooLarge", "NNGError", "NoArgument", "NoEntry", "NoMemory",
    "NotSupported", "OutOfFiles", "OutOfSpace", "PeerAuthError", "PermissionDenied", "ProtocolError", "ReadOnly", "TimedOut",
    "TryAgain", "Unreachable", "WriteOnly", "check", "describe",
]  # fmt: skip

SYSTEM_ERROR = 0x10000000
TRANSPORT_ERROR = 0x20000000


def describe(code: int) -> str:
    """NNG's own words for a code."""
    if code & SYSTEM_ERROR and not code & TRANSPORT_ERROR:
        return f"system error {code - SYSTEM_ERROR}: {os.strerror(code - SYSTEM_ERROR)}"
    if code & TRANSPORT_ERROR:
        return f"transport error {code - TRANSPORT_ERROR}"  # nng_strerror is not thread-safe for these
    text: bytes = ffi.string(lib.nng_strerror(code))
    return text.decode()


class NNGError(Exception):
    """An operation of NNG failed.

    Each of NNG's codes has a class of its own, which is also Python's own exception where the meaning is the same: a
    `TimedOut` is a `TimeoutError`. Catch the one that you can handle, or this one for all of them.

    `code` is NNG's number, `name` NNG's name for it. `message` is, for a send that failed, the message that was not
    sent, yours again: the same `Message` object that was passed, or a new one with the bytes that were. `unsent` is, for one of
    many messages at once, what was not sent, as it was passed. One that is an `OSError` has the system's number in `errno`.
    """

    code: int = 0
    name: str = ""
    message: "Message | None" = None
    unsent: "Sequence[Buffer | Message]" = ()
    _code: ClassVar[int] = 0
    _name: ClassVar[str] = ""

    def __init__(self, text: str | None = None, *, code: int | None = None, message: "Message | None" = None) -> None:
        self.code = self._code if code is None else code
        self.name = self._name or _other_name(self.code)
        self.message = message
        self.text = text if text is not None else describe(self.code) if self.code else "an operation of NNG failed"
        super().__init__(self.text)

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[Any, ...]:
        # A message stays with the process that has it.
        return (_rebuild, (type(self), self.text, self.code))

    @classmethod
    def from_code(cls, code: int, text: str | None = None, message: "Message | None" = None) -> "NNGError":
        """The exception for one of NNG's codes, to be raised."""
        if code == FORKED:
            return ForkedError(message=message)
        return _classes.get(code, NNGError)(text, code=code, message=message)


def _rebuild(cls: type[NNGError], text: str, code: int) -> NNGError:
    return cls(text, code=code)


def _other_name(code: int) -> str:
    if code & TRANSPORT_ERROR:
        return "NNG_ETRANERR"
    return "NNG_ESYSERR" if code & SYSTEM_ERROR else "NNG_ERROR"


_classes: dict[int, type[NNGError]] = {}


def _for(name: str, number: int | None = None) -> Callable[[type[NNGError]], type[NNGError]]:
    """Make a class the one for the code that NNG calls `name`, and, if it is an OSError, for a number of the system's."""

    def enter(cls: type[NNGError]) -> type[NNGError]:
        cls._code = cls.code = getattr(lib, name)
        cls._name = cls.name = name
        if number is not None:
            # The class's, where an OSError has its own for each object: nobody has to set them, and `args` is the text alone.
            cls.errno, cls.strerror = number, os.strerror(number)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        _classes[cls._code] = cls
        return cls

    return enter


@_for("NNG_EINTR", errno.EINTR)
class Interrupted(NNGError, InterruptedError):
    """The operation was interrupted."""


@_for("NNG_ENOMEM")
class NoMemory(NNGError, MemoryError):
    """There was not enough memory, or no identifier or thread was left."""


@_for("NNG_EINVAL")
class InvalidArgument(NNGError, ValueError):
    """An argument has a value that NNG does not take: a malformed URL, an option out of range."""


@_for("NNG_EBUSY")
class Busy(NNGError):
    """The resource is in use: a TLS configuration after its first connection, a PAIR that has its peer."""


@_for("NNG_ETIMEDOUT", errno.ETIMEDOUT)
class TimedOut(NNGError, TimeoutError):
    """The time was up before the operation was done; also a survey that has run out."""


@_for("NNG_ECONNREFUSED", errno.ECONNREFUSED)
class ConnectionRefused(NNGError, ConnectionRefusedError):
    """Nobody listens at that address."""


@_for("NNG_ECLOSED")
class Closed(NNGError):
    """The socket, context or endpoint is closed, or was closed while the operation waited."""


@_for("NNG_EAGAIN", errno.EAGAIN)
class TryAgain(NNGError, BlockingIOError):
    """It could not be done at once; for a dial, the name server gave no answer for now."""


@_for("NNG_ENOTSUP")
class NotSupported(NNGError):
    """The protocol, the transport or this build of NNG cannot do that."""


@_for("NNG_EADDRINUSE", errno.EADDRINUSE)
class AddressInUse(NNGError, OSError):
    """Somebody listens at that address already."""


@_for("NNG_ESTATE")
class BadState(NNGError):
    """Not at this point: a reply without a request, a receive without a survey, an aio that is busy."""


@_for("NNG_ENOENT")
class NoEntry(NNGError, LookupError):
    """There is no such thing: a dialer, listener or pipe that has gone, a topic not subscribed to, a file."""


@_for("NNG_EPROTO")
class ProtocolError(NNGError):
    """The peer broke the protocol, or a raw message has not the header that its protocol wants."""


@_for("NNG_EUNREACHABLE", errno.EHOSTUNREACH)
class Unreachable(NNGError, OSError):
    """The host or its network cannot be reached."""


@_for("NNG_EADDRINVAL")
class AddressInvalid(NNGError, ValueError):
    """The address is malformed, too long, or its name cannot be resolved."""


@_for("NNG_EPERM", errno.EACCES)
class PermissionDenied(NNGError, PermissionError):
    """The system does not allow it."""


@_for("NNG_EMSGSIZE")
class MessageTooLarge(NNGError):
    """The message is larger than the limit."""


@_for("NNG_ECONNABORTED", errno.ECONNABORTED)
class ConnectionAborted(NNGError, ConnectionAbortedError):
    """The connection was aborted."""


@_for("NNG_ECONNRESET", errno.ECONNRESET)
class ConnectionReset(NNGError, ConnectionResetError):
    """The peer reset the connection, or a request's connection was lost and it is not to be sent again."""


@_for("NNG_ECANCELED")
class Canceled(NNGError):
    """The operation was canceled: by `Aio.cancel`, or because a new request or survey took its place."""


@_for("NNG_ENOFILES", errno.EMFILE)
class OutOfFiles(NNGError, OSError):
    """The process has as many files open as it may."""


@_for("NNG_ENOSPC", errno.ENOSPC)
class OutOfSpace(NNGError, OSError):
    """There is no room left."""


@_for("NNG_EEXIST", errno.EEXIST)
class AlreadyExists(NNGError, FileExistsError):
    """It exists already."""


@_for("NNG_EREADONLY")
class ReadOnly(NNGError):
    """The option can only be read."""


@_for("NNG_EWRITEONLY")
class WriteOnly(NNGError):
    """The option can only be set."""


@_for("NNG_ECRYPTO")
class CryptoError(NNGError):
    """TLS failed for a reason that has no code of its own."""


@_for("NNG_EPEERAUTH")
class PeerAuthError(NNGError):
    """The peer's certificate could not be verified."""


@_for("NNG_ENOARG")
class NoArgument(NNGError):
    """A command-line option lacks its argument."""


@_for("NNG_EAMBIGUOUS")
class Ambiguous(NNGError):
    """A command-line option matches several."""


@_for("NNG_EBADTYPE")
class BadType(NNGError, TypeError):
    """The option has another type."""


@_for("NNG_ECONNSHUT", errno.ESHUTDOWN)
class ConnectionShutdown(NNGError, ConnectionError):
    """The peer closed the connection in good order."""


@_for("NNG_EINTERNAL")
class InternalError(NNGError):
    """NNG found itself in a state that it did not expect."""


class ForkedError(Closed):
    """This process is a fork, and the object belongs to its parent.

    NNG's threads did not come along, so nothing that the parent opened works here, and nothing new can be opened
    either. Start worker processes with `spawn` or `forkserver`, or fork before the first socket is opened.
    """

    def __init__(self, text: str | None = None, *, code: int | None = None, message: "Message | None" = None) -> None:
        super().__init__(
            text
            or "this process was forked after NNG had started: its sockets, contexts and messages belong to the parent. "
            "Use multiprocessing's spawn or forkserver, or fork before the first socket is opened",
            code=code,
            message=message,
        )


def check(code: int) -> None:
    """Raise the exception for a code of NNG's, unless it is 0."""
    if code:
        raise NNGError.from_code(code)


CLASSES: dict[str, type[NNGError]] = {cls.__name__: cls for cls in (*_classes.values(), ForkedError)}
