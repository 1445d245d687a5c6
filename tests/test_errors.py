"""The error classes: one for each of NNG's codes, each Python's own where the meaning is the same."""

import copy
import errno
import os
import pickle
from typing import Any

import pytest

import nngio
from nngio import Message, NNGError
from nngio.lowlevel import check, ffi, lib

CLASSES: dict[str, tuple[type[NNGError], tuple[type[Exception], ...]]] = {
    "NNG_EINTR": (nngio.Interrupted, (InterruptedError,)),
    "NNG_ENOMEM": (nngio.NoMemory, (MemoryError,)),
    "NNG_EINVAL": (nngio.InvalidArgument, (ValueError,)),
    "NNG_EBUSY": (nngio.Busy, ()),
    "NNG_ETIMEDOUT": (nngio.TimedOut, (TimeoutError,)),
    "NNG_ECONNREFUSED": (nngio.ConnectionRefused, (ConnectionRefusedError, ConnectionError)),
    "NNG_ECLOSED": (nngio.Closed, ()),
    "NNG_EAGAIN": (nngio.TryAgain, (BlockingIOError,)),
    "NNG_ENOTSUP": (nngio.NotSupported, ()),
    "NNG_EADDRINUSE": (nngio.AddressInUse, (OSError,)),
    "NNG_ESTATE": (nngio.BadState, ()),
    "NNG_ENOENT": (nngio.NoEntry, (LookupError,)),
    "NNG_EPROTO": (nngio.ProtocolError, ()),
    "NNG_EUNREACHABLE": (nngio.Unreachable, (OSError,)),
    "NNG_EADDRINVAL": (nngio.AddressInvalid, (ValueError,)),
    "NNG_EPERM": (nngio.PermissionDenied, (PermissionError,)),
    "NNG_EMSGSIZE": (nngio.MessageTooLarge, ()),
    "NNG_ECONNABORTED": (nngio.ConnectionAborted, (ConnectionAbortedError, ConnectionError)),
    "NNG_ECONNRESET": (nngio.ConnectionReset, (ConnectionResetError, ConnectionError)),
    "NNG_ECANCELED": (nngio.Canceled, ()),
    "NNG_ENOFILES": (nngio.OutOfFiles, (OSError,)),
    "NNG_ENOSPC": (nngio.OutOfSpace, (OSError,)),
    "NNG_EEXIST": (nngio.AlreadyExists, (FileExistsError,)),
    "NNG_EREADONLY": (nngio.ReadOnly, ()),
    "NNG_EWRITEONLY": (nngio.WriteOnly, ()),
    "NNG_ECRYPTO": (nngio.CryptoError, ()),
    "NNG_EPEERAUTH": (nngio.PeerAuthError, ()),
    "NNG_ENOARG": (nngio.NoArgument, ()),
    "NNG_EAMBIGUOUS": (nngio.Ambiguous, ()),
    "NNG_EBADTYPE": (nngio.BadType, (TypeError,)),
    "NNG_ECONNSHUT": (nngio.ConnectionShutdown, (ConnectionError,)),
    "NNG_EINTERNAL": (nngio.InternalError, ()),
}
KINDS = {"NNG_ESYSERR", "NNG_ETRANERR"}
"""Not codes but bits, added to a number of the system's or the transport's."""

_each_class = pytest.mark.parametrize(("name", "cls", "builtins"), [(name, *rest) for name, rest in CLASSES.items()], ids=list(CLASSES))


def test_every_code_of_nngs_has_its_class() -> None:
    """The codes in NNG's enumeration and the classes are one to one."""
    names = {name for name in dir(lib) if name.startswith("NNG_E")}
    assert names - KINDS == set(CLASSES)
    codes = [getattr(lib, name) for name in CLASSES]
    assert len(set(codes)) == len(codes)
    for code in codes:
        assert NNGError.from_code(code).code == code


def test_every_class_is_public() -> None:
    """Each one is in `nngio`, and there is none that has no code of its own, but for the child of a fork."""
    public = {cls for name in nngio.__all__ if isinstance(cls := getattr(nngio, name), type) and issubclass(cls, NNGError)}
    assert public == {cls for cls, _ in CLASSES.values()} | {NNGError, nngio.ForkedError}


@_each_class
def test_a_class_knows_its_code_and_is_pythons_own(name: str, cls: type[NNGError], builtins: tuple[type[Exception], ...]) -> None:
    """The class and its objects have NNG's number and name, and can be caught as what Python has for it."""
    code = getattr(lib, name)
    assert (cls.code, cls.name) == (code, name)
    error = NNGError.from_code(code)
    assert type(error) is cls
    assert (error.code, error.name, error.message) == (code, name, None)
    assert {base for base in cls.__mro__ if base.__module__ == "builtins"} >= {*builtins, Exception}
    for builtin in (*builtins, NNGError):
        with pytest.raises(builtin):
            raise error
    assert cls.__doc__


@_each_class
def test_an_error_says_what_nng_says(name: str, cls: type[NNGError], builtins: tuple[type[Exception], ...]) -> None:
    """Its text is NNG's own, or the one that it was given; so are its arguments."""
    del builtins
    error = cls()
    assert str(error) == ffi.string(lib.nng_strerror(getattr(lib, name))).decode()
    assert error.args == (str(error),)
    assert repr(error) == f"{cls.__name__}({str(error)!r})"
    given = cls("said otherwise")
    assert str(given) == "said otherwise"
    assert given.code == cls.code


@_each_class
def test_an_error_is_pickled_and_copied(name: str, cls: type[NNGError], builtins: tuple[type[Exception], ...]) -> None:
    """Class, code, name and text come back; the message stays with the process that has it."""
    del name, builtins
    for error in (cls(), cls("said otherwise"), cls(message=Message(b"not sent"))):
        copies = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
        for other in (*copies, copy.copy(error), copy.deepcopy(error)):
            assert type(other) is cls
            assert (other.code, other.name, str(other), other.args) == (error.code, error.name, str(error), error.args)
            assert other.message is None


@pytest.mark.parametrize(
    ("code", "name", "text"),
    [
        (4711, "NNG_ERROR", "4711"),
        (0x10000000 + errno.ENOENT, "NNG_ESYSERR", os.strerror(errno.ENOENT)),
        (0x10000000 + errno.EMFILE, "NNG_ESYSERR", os.strerror(errno.EMFILE)),
        (0x10000000, "NNG_ESYSERR", "system error 0"),
        (0x20000000 + 42, "NNG_ETRANERR", "42"),
        (2**31 - 1, "NNG_ETRANERR", ""),
    ],
)
def test_a_code_without_a_class_makes_a_plain_error(code: int, name: str, text: str) -> None:
    """A number of the system's or the transport's, or one that this release doesn't know, is an NNGError that tells it."""
    error = NNGError.from_code(code)
    assert type(error) is NNGError
    assert (error.code, error.name) == (code, name)
    assert text in str(error)
    other = pickle.loads(pickle.dumps(error))
    assert (type(other), other.code, other.name, str(other)) == (NNGError, code, name, str(error))
    with pytest.raises(NNGError) as caught:
        check(code)
    assert caught.value.code == code


def test_from_code_takes_a_text_and_a_message() -> None:
    """Both are the error's, whatever its class."""
    message = Message(b"not sent")
    for code in (lib.NNG_ETIMEDOUT, 4711):
        error = NNGError.from_code(code, "too late", message)
        assert str(error) == "too late"
        assert error.message is message
    assert NNGError.from_code(lib.NNG_ECLOSED, message=message).message is message


def test_zero_is_no_error() -> None:
    """`check` of 0 does nothing, and of anything else raises its class."""
    check(0)
    with pytest.raises(nngio.NoEntry):
        check(lib.NNG_ENOENT)


def test_an_error_of_a_fork_is_one_of_closing() -> None:
    """It says what to do, and survives pickling."""
    error = nngio.ForkedError()
    assert isinstance(error, nngio.Closed)
    assert error.code == lib.NNG_ECLOSED
    assert "spawn" in str(error)
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is nngio.ForkedError
    assert str(other) == str(error)


NUMBERS = {
    "NNG_EINTR": errno.EINTR,
    "NNG_ETIMEDOUT": errno.ETIMEDOUT,
    "NNG_ECONNREFUSED": errno.ECONNREFUSED,
    "NNG_EAGAIN": errno.EAGAIN,
    "NNG_EADDRINUSE": errno.EADDRINUSE,
    "NNG_EUNREACHABLE": errno.EHOSTUNREACH,
    "NNG_EPERM": errno.EACCES,
    "NNG_ECONNABORTED": errno.ECONNABORTED,
    "NNG_ECONNRESET": errno.ECONNRESET,
    "NNG_ENOFILES": errno.EMFILE,
    "NNG_ENOSPC": errno.ENOSPC,
    "NNG_EEXIST": errno.EEXIST,
    "NNG_ECONNSHUT": errno.ESHUTDOWN,
}


@_each_class
def test_an_os_error_has_the_number_of_the_systems(name: str, cls: type[NNGError], builtins: tuple[type[Exception], ...]) -> None:
    """`errno` and `strerror` are the system's, so that who catches OSError can go by them; `code` is NNG's, and the text too."""
    del builtins
    if not issubclass(cls, OSError):
        assert name not in NUMBERS
        assert not hasattr(cls(), "errno")
        return
    number = NUMBERS[name]
    made: list[Any] = [cls(), cls("said otherwise"), NNGError.from_code(cls.code)]
    for error in (*made, *(pickle.loads(pickle.dumps(error)) for error in made), copy.copy(made[0])):
        assert (error.errno, error.strerror, error.code) == (number, os.strerror(number), getattr(lib, name))
        assert error.filename is None
        assert error.args == (str(error),)
    if cls is not nngio.ConnectionShutdown:  # which no broken pipe is: the peer has said good-bye
        assert issubclass(cls, type(OSError(number, ""))), "what Python itself makes of that number"


def test_who_catches_os_errors_can_go_by_their_number() -> None:
    """Of a dial that is refused, an address in use, a time that is up."""
    with nngio.Pair0(listen="tcp://127.0.0.1:0") as pair:
        with pytest.raises(OSError, match="listen at") as caught:
            nngio.Pair0(listen=pair.listeners[0].url)
        assert caught.value.errno == errno.EADDRINUSE
        with pytest.raises(OSError, match="imed out") as caught:
            pair.recv(timeout=0)
        assert caught.value.errno == errno.ETIMEDOUT
        with pytest.raises(OSError, match="ry again") as caught:
            pair.try_recv()
        assert caught.value.errno == errno.EAGAIN
        url = pair.listeners[0].url
    with pytest.raises(OSError, match="nobody listens") as caught:
        nngio.Pair0(dial=url)
    assert caught.value.errno == errno.ECONNREFUSED


def test_an_error_of_ones_own_is_what_it_says() -> None:
    """A class derived from one of these keeps its code, and is pickled as itself."""
    error = _Mine("mine", message=Message(b"hello"))
    assert error.code == lib.NNG_ETIMEDOUT
    assert error.name == "NNG_ETIMEDOUT"
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is _Mine
    assert str(other) == "mine"


class _Mine(nngio.TimedOut):
    """Somebody's subclass."""
