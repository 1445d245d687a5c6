"""nngio: NNG (nanomsg-next-generation) for Python."""

from nngio._address import AbstractAddress, Address, InprocAddress, IPCAddress, TCPAddress
from nngio._admission import Admission, AdmissionCounters
from nngio._aio import Aio
from nngio._channel import Receiver, Sender
from nngio._context import Context
from nngio._core.duration import DEFAULT, Timeout
from nngio._core.errors import (
    AddressInUse,
    AddressInvalid,
    AlreadyExists,
    Ambiguous,
    BadState,
    BadType,
    Busy,
    Canceled,
    Closed,
    ConnectionAborted,
    ConnectionRefused,
    ConnectionReset,
    ConnectionShutdown,
    CryptoError,
    ForkedError,
    InternalError,
    Interrupted,
    InvalidArgument,
    MessageTooLarge,
    NNGError,
    NoArgument,
    NoEntry,
    NoMemory,
    NotSupported,
    OutOfFiles,
    OutOfSpace,
    PeerAuthError,
    PermissionDenied,
    ProtocolError,
    ReadOnly,
    TimedOut,
    TryAgain,
    Unreachable,
    WriteOnly,
)
from nngio._core.typing import TYPE_CHECKING
from nngio._dialer import Dialer
from nngio._events import PipeEvent, PipeEvents, PipeHandler
from nngio._headers import Headers
from nngio._init import init
from nngio._listener import Listener, socket_pair
from nngio._message import Message
from nngio._pipe import Pipe, PipeInfo
from nngio._protocols import (
    Bus0,
    Pair0,
    Pair1,
    Pub0,
    Pull0,
    Push0,
    Rep0,
    RepContext,
    Req0,
    ReqContext,
    Respondent0,
    RespondentContext,
    Sub0,
    SubContext,
    Surveyor0,
    SurveyorContext,
)
from nngio._socket import Socket

if TYPE_CHECKING:
    from nngio import http as http
    from nngio import lowlevel as lowlevel
    from nngio import testing as testing
    from nngio._device import Device, adevice, device
    from nngio._log import disable_logging, enable_logging, log
    from nngio._stats import Statistic, StatisticType, StatisticUnit, statistics
    from nngio._stream_endpoints import StreamDialer, StreamListener
    from nngio._streams import Stream
    from nngio._tls import TLSConfig
    from nngio._udp import UDP, Datagram
    from nngio._url import URL

# Imported when they are asked for: most programs don't, and each takes a millisecond.
_LATER = {
    "Datagram": "_udp",
    "Device": "_device",
    "Statistic": "_stats",
    "StatisticType": "_stats",
    "StatisticUnit": "_stats",
    "Stream": "_streams",
    "StreamDialer": "_stream_endpoints",
    "StreamListener": "_stream_endpoints",
    "TLSConfig": "_tls",
    "UDP": "_udp",
    "URL": "_url",
    "adevice": "_device",
    "device": "_device",
    "disable_logging": "_log",
    "enable_logging": "_log",
    "log": "_log",
    "statistics": "_stats",
}
_MODULES = ("http", "lowlevel", "testing")


def __getattr__(name: str) -> object:
    import importlib

    if name in _MODULES:
        return importlib.import_module(f"nngio.{name}")
    if name not in _LATER:
        raise AttributeError(f"module 'nngio' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"nngio.{_LATER[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_MODULES} - {"TYPE_CHECKING"})


__version__ = "0.1.0.dev0"

__all__ = [
    "DEFAULT",
    "UDP",
    "URL",
    "AbstractAddress",
    "Address",
    "AddressInUse",
    "AddressInvalid",
    "Admission",
    "AdmissionCounters",
    "Aio",
    "AlreadyExists",
    "Ambiguous",
    "BadState",
    "BadType",
    "Bus0",
    "Busy",
    "Canceled",
    "Closed",
    "ConnectionAborted",
    "ConnectionRefused",
    "ConnectionReset",
    "ConnectionShutdown",
    "Context",
    "CryptoError",
    "Datagram",
    "Device",
    "Dialer",
    "ForkedError",
    "Headers",
    "IPCAddress",
    "InprocAddress",
    "InternalError",
    "Interrupted",
    "InvalidArgument",
    "Listener",
    "Message",
    "MessageTooLarge",
    "NNGError",
    "NoArgument",
    "NoEntry",
    "NoMemory",
    "NotSupported",
    "OutOfFiles",
    "OutOfSpace",
    "Pair0",
    "Pair1",
    "PeerAuthError",
    "PermissionDenied",
    "Pipe",
    "PipeEvent",
    "PipeEvents",
    "PipeHandler",
    "PipeInfo",
    "ProtocolError",
    "Pub0",
    "Pull0",
    "Push0",
    "ReadOnly",
    "Receiver",
    "Rep0",
    "RepContext",
    "Req0",
    "ReqContext",
    "Respondent0",
    "RespondentContext",
    "Sender",
    "Socket",
    "Statistic",
    "StatisticType",
    "StatisticUnit",
    "Stream",
    "StreamDialer",
    "StreamListener",
    "Sub0",
    "SubContext",
    "Surveyor0",
    "SurveyorContext",
    "TCPAddress",
    "TLSConfig",
    "TimedOut",
    "Timeout",
    "TryAgain",
    "Unreachable",
    "WriteOnly",
    "__version__",
    "adevice",
    "device",
    "disable_logging",
    "enable_logging",
    "init",
    "log",
    "socket_pair",
    "statistics",
]
