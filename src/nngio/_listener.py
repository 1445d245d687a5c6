"""Listeners: waiting for peers that dial."""

from collections.abc import Mapping

from nngio._address import Address
from nngio._core import library, nng
from nngio._core.errors import AddressInUse, BadState, ForkedError, NotSupported, check
from nngio._core.library import ffi, lib
from nngio._core.typing import TYPE_CHECKING, TypedDict
from nngio._core.urls import NO_SOCKET, any_port, no_socket, transport_of, url_text
from nngio._endpoint import FILES, IP, NAMES, WEB, Endpoint
from nngio._headers import HeadersOption
from nngio._options import AddressOption, BoolOption, IntOption, PermissionsOption, ReadOnly, SizeOption
from nngio._tls import TLSConfig

if TYPE_CHECKING:
    from typing import Self, Unpack

    from nngio._socket import Socket
    from nngio._url import URL

__all__ = ["Listener", "ListenerOptions", "socket_pair"]


class ListenerOptions(TypedDict, total=False):
    """The options of a listener, as keyword arguments."""

    ipc_permissions: int
    recv_max_frame: int
    recv_max_size: int
    response_headers: Mapping[str, str]
    send_max_frame: int
    tcp_keepalive: bool
    tcp_nodelay: bool


class Listener(Endpoint):
    """Accepts connections at a URL.

    `Listener(socket, url, **options)` makes one to be configured and then started; `socket.listen(url, **options)` does both.
    `tls` has the certificate to show, for `tls+tcp://` and `wss://`.
    An option that is set later counts for the connections that are made from then on. Thread-safe. NNG: `nng_listener_create`.
    """

    _option_kind = "listener"
    _noun = "listen at"

    recv_max_size = SizeOption(
        "recv-size-max",
        "The largest message that a peer may send, in bytes; a peer that sends more is disconnected.",
        nng="NNG_OPT_RECVMAXSZ",
        default="the socket's",
        transports=(*FILES, *IP, "socket"),
    )
    port: ReadOnly[int] = IntOption(
        "tcp-bound-port",
        "The port that it is bound to, once it is started.",
        nng="NNG_OPT_TCP_BOUND_PORT",
        readonly=True,
        transports=IP,
        late=True,
    )
    local_address: ReadOnly[Address] = AddressOption(
        "local-address",
        "The address that it is bound to, once it is started.",
        nng="NNG_OPT_LOCADDR",
        readonly=True,
        transports=(*FILES, *IP, *NAMES),
    )
    remote_address: ReadOnly[Address] = AddressOption(
        "remote-address", "Its own address.", nng="NNG_OPT_REMADDR", readonly=True, transports=NAMES
    )
    tcp_nodelay = BoolOption(
        "tcp-nodelay",
        "Whether each message is sent at once (TCP_NODELAY); if not, small ones wait to be sent together.",
        nng="NNG_OPT_TCP_NODELAY",
        default="True",
        transports=IP,
    )
    tcp_keepalive = BoolOption(
        "tcp-keepalive",
        "Whether the system looks now and then if a silent peer is still there (SO_KEEPALIVE).",
        nng="NNG_OPT_TCP_KEEPALIVE",
        default="False",
        transports=IP,
    )
    ipc_permissions = PermissionsOption(
        "ipc:permissions",
        "The mode of its socket file, which says who may connect; None: what the umask leaves.",
        nng="NNG_OPT_IPC_PERMISSIONS",
        default="None",
        transports=("ipc",),
        early=True,
    )
    response_headers = HeadersOption(
        "ws:response-headers",
        "HTTP headers to be sent when a connection is accepted.",
        nng="NNG_OPT_WS_RESPONSE_HEADERS",
        default="none",
        transports=WEB,
        patch="websocket-response-header",
    )
    recv_max_frame = SizeOption(
        "ws:rxframe-max",
        "The largest frame that a peer may send, in bytes; a peer that sends more is disconnected.",
        nng="NNG_OPT_WS_RECVMAXFRAME",
        default="1048576",
        transports=WEB,
    )
    send_max_frame = SizeOption(
        "ws:txframe-max",
        "The largest frame to send, in bytes: a larger message is sent in several.",
        nng="NNG_OPT_WS_SENDMAXFRAME",
        default="65536",
        transports=WEB,
    )

    def __init__(self, socket: "Socket", url: "str | URL", *, tls: TLSConfig | None = None, **options: "Unpack[ListenerOptions]") -> None:
        super().__init__(socket, url_text(url), tls, {**options})

    def start(self) -> None:
        """Bind and accept.

        With ipc, a socket file that nobody listens at any more is replaced; any other file is left alone, and in use.

        Raises `AddressInUse`, `AddressInvalid`, `PermissionDenied`. NNG: `nng_listener_start`.
        """
        self._begin()
        if no_socket(self._url):
            raise AddressInUse(f"listen at {self._url}: {NO_SOCKET}")
        code = lib.nng_listener_start(self._c, 0)
        if code and transport_of(self._url) in WEB and not nng.patched("websocket-unstarted-listener"):
            self.close()  # that NNG would end the process at its next use
        if code == lib.NNG_ESTATE and transport_of(self._url) in WEB and not self._started:
            raise BadState(f"listen at {self._url}: its server was that of who had the address, and closed since: make another listener")
        self._check(code, f"listen at {self._url}")
        self._started = True
        if around := any_port(self._url):
            self._url = f"{around[0]}:{self.port}{around[1]}"

    def add_fd(self, fd: int) -> None:
        """Take over the connection behind a descriptor, of a listener at `socket://`, which is started.

        The descriptor is NNG's from then on, and closed by it; after an error it is still yours. A `socket.socket` gives its own
        away with `detach()`. Raises `OutOfSpace` for more than NNG can begin at a time. NNG: `NNG_OPT_SOCKET_FD`, from 1.7 on.

        Args:
            fd: a connected stream socket, such as one of `socket_pair()`.
        """
        if isinstance(fd, bool) or not isinstance(fd, int):
            raise TypeError(f"a descriptor is a number, not {type(fd).__name__}; a socket gives its own away with detach()")
        if fd < 0:
            raise ValueError(f"a descriptor is 0 or more, not {fd}")
        if not self._url.lower().startswith("socket://"):
            raise NotSupported(f"descriptors can be given to a listener at socket:// only, and this is {self._url}")
        if not self._started:
            raise BadState("the listener has to be started before it is given descriptors")
        self._call("set", "int", b"socket:fd", fd)

    def __enter__(self) -> "Self":
        return self


def socket_pair() -> tuple[int, int]:
    """Two descriptors, connected with each other, for `Listener.add_fd` here and in another process.

    They are yours, to be closed with `os.close`, until a listener takes them. Raises `NotSupported` with an NNG before 1.7.
    NNG: `nng_socket_pair`.
    """
    make = nng.lib.nng_socket_pair
    fds = ffi.new("int[2]")
    if library.forked:
        raise ForkedError()
    check(make(fds))
    return fds[0], fds[1]
