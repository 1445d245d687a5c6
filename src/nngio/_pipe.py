"""Pipes: the connections of a socket."""

from nngio._address import Address, from_sockaddr
from nngio._core import library, nng
from nngio._core.errors import Closed, ForkedError, NNGError, NoEntry, NotSupported
from nngio._core.library import NULL, ffi, lib
from nngio._core.typing import TYPE_CHECKING, Any, NamedTuple
from nngio._options import AddressOption, BoolOption, HasOptions, NumberOption, Option, StringOption, assign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nngio._dialer import Dialer
    from nngio._listener import Listener
    from nngio._options import OptionKind
    from nngio._socket import Socket
    from nngio._stats import Statistic

    Endpoints = Mapping[tuple[str, int], Any]  # dialers and listeners of a socket, by kind and number

__all__ = ["Pipe", "PipeInfo", "info_of"]

_IPC, _TLS, _WS = "ipc, unix and abstract", "tls+tcp and wss", "ws and wss"
_TRANSPORTS = {
    b"ipc:peer-uid": _IPC,
    b"ipc:peer-gid": _IPC,
    b"ipc:peer-pid": _IPC,
    b"tls-verified": _TLS,
    b"tls-peer-cn": _TLS,
    b"tls-peer-alt-names": _TLS,
    b"ws:request-uri": _WS,
    b"ws:request-headers": _WS,
    b"ws:response-headers": _WS,
}
"""Which transports have an option that not all of them have."""


class PipeInfo(NamedTuple):
    """What a pipe was when it was made: values, which outlive it.

    Where there is nothing to be told of something, that is None. They can be pickled, and keep nothing open.
    """

    id: int
    """NNG's number of it, positive."""
    local_address: Address
    """This side's address."""
    remote_address: Address
    """The peer's address."""
    url: str | None
    """The URL of the dialer or listener that made it."""
    dialer_id: int | None
    """The number of the dialer that made it."""
    listener_id: int | None
    """The number of the listener that made it."""
    peer_uid: int | None
    """The user who runs the peer; of ipc."""
    peer_gid: int | None
    """The group that the peer runs in; of ipc."""
    peer_pid: int | None
    """The peer's process; of ipc."""
    tls_verified: bool | None
    """Whether the peer's certificate was verified; of tls+tcp and wss."""
    tls_peer_cn: str | None
    """The common name in the peer's certificate, as `Pipe.tls_peer_cn`; None also before NNG 1.6."""
    tls_peer_alt_names: tuple[str, ...] | None
    """The alternative names in the peer's certificate; None also before NNG 1.6."""


def info_of(peer: Any, endpoints: "Endpoints") -> PipeInfo:
    """The values in an `nngio_peer`."""
    url = _text(peer.url)
    if peer.listener and url is not None and ":0" in url:
        listener = endpoints.get(("listener", peer.listener))
        url = url if listener is None else listener.url  # NNG doesn't know the port that a websocket's listener got
    return PipeInfo(
        peer.id,
        from_sockaddr(peer.local),
        from_sockaddr(peer.remote),
        url,
        peer.dialer or None,
        peer.listener or None,
        peer.uid if peer.has_uid else None,
        peer.gid if peer.has_gid else None,
        peer.pid if peer.has_pid else None,
        peer.verified if peer.tls else None,
        _text(peer.subject),
        None if peer.names == NULL else _texts(peer.names),
    )


def _text(chars: Any) -> str | None:
    return None if chars == NULL else ffi.string(chars).decode("utf-8", "surrogateescape")


def _texts(array: Any) -> tuple[str, ...]:
    texts: list[str] = []
    while array[len(texts)] != NULL:
        texts.append(ffi.string(array[len(texts)]).decode("utf-8", "surrogateescape"))
    return tuple(texts)


class CommonNameOption(Option[str | None]):
    kind = "str or None"

    def read(self, instance: HasOptions) -> str | None:
        nng.lib.NNG_OPT_TLS_PEER_CN  # noqa: B018  # says which release has it
        text = instance._get("char **", "string", self.option)[0]
        try:
            return _text(text)
        finally:
            lib.nng_strfree(text)


class AlternativeNamesOption(Option[tuple[str, ...]]):
    kind = "tuple of str"

    def read(self, instance: HasOptions) -> tuple[str, ...]:
        nng.lib.NNG_OPT_TLS_PEER_ALT_NAMES  # noqa: B018  # says which release has it
        assert isinstance(instance, Pipe)
        try:
            instance._get("bool *", "bool", b"tls-verified")  # says whether there is a certificate; NNG's list is the caller's to free
        except NotSupported as error:
            raise NotSupported(str(error).replace("tls_verified", self.attribute)) from None
        return instance.info.tls_peer_alt_names or ()


class HeadersOption(Option[tuple[tuple[str, str], ...]]):
    kind = "tuple of pairs of str"

    def read(self, instance: HasOptions) -> tuple[tuple[str, str], ...]:
        text = instance._get("char **", "string", self.option)[0]
        try:
            lines = (_text(text) or "").split("\r\n")
        finally:
            lib.nng_strfree(text)
        split = (line.partition(":") for line in lines if line)
        return tuple((name.strip(), value.strip()) for name, _, value in split)


class Pipe(HasOptions):
    """One connection between a socket and a peer, for as long as it lasts.

    A pipe is a number of NNG's; two `Pipe` objects with the same number are equal. Reading a property of one that has gone
    raises `NoEntry` or `Closed`, and one that its transport doesn't have `NotSupported`; `info` has all that there is, as values
    that stay. Thread-safe. NNG: `nng_pipe`.
    """

    __slots__ = ("_c", "id")
    _option_kind = "pipe"

    id: int
    """NNG's number of it, positive."""

    def __init__(self) -> None:
        raise TypeError("pipes are made by NNG: Socket.pipes has those that are connected, Message.pipe the one that a message came by")

    @classmethod
    def _from_id(cls, number: int) -> "Pipe":
        pipe = cls.__new__(cls)
        assign(pipe, "id", number)
        assign(pipe, "_c", ffi.new("nng_pipe *", {"id": number})[0])
        return pipe

    def _call(self, verb: str, suffix: str, name: bytes, value: Any) -> None:
        try:
            super()._call(verb, suffix, name, value)
        except NotSupported:
            if name not in _TRANSPORTS:
                raise
            attribute = name.decode().removeprefix("ipc:").replace(":", "_").replace("-", "_")
            raise NotSupported(f"this pipe has no {attribute}: its transport tells nothing of it, only {_TRANSPORTS[name]} do") from None
        except (NoEntry, Closed) as error:
            raise type(error)("this pipe has gone; `info`, if you have it from before, tells still what it was", code=error.code) from None

    def set_option(self, name: str, kind: "OptionKind", value: Any) -> None:  # noqa: ARG002
        """There is none of a pipe that could be set: raises `NotSupported`."""
        raise NotSupported(f"{name} can't be set: of a pipe NNG lets nothing be; set it on the dialer or listener, or on a Stream")

    local_address = AddressOption("local-address", "This side's address.", readonly=True)
    remote_address = AddressOption("remote-address", "The peer's address.", readonly=True)
    peer_uid = NumberOption("ipc:peer-uid", "The user who runs the peer; of ipc.", readonly=True)
    peer_gid = NumberOption("ipc:peer-gid", "The group that the peer runs in; of ipc.", readonly=True)
    peer_pid = NumberOption("ipc:peer-pid", "The peer's process; of ipc.", readonly=True)
    tls_verified = BoolOption("tls-verified", "Whether the peer's certificate was verified; of tls+tcp and wss.", readonly=True)
    tls_peer_cn = CommonNameOption(
        "tls-peer-cn",
        "The common name in the peer's certificate: what follows `CN=` in its subject, to the end. None if there is none. "
        "Of tls+tcp and wss, from NNG 1.6 on.",
        readonly=True,
    )
    tls_peer_alt_names = AlternativeNamesOption(
        "tls-peer-alt-names", "The alternative names in the peer's certificate. Of tls+tcp and wss, from NNG 1.6 on.", readonly=True
    )
    ws_request_uri = StringOption("ws:request-uri", "The URI that the peer who dialed asked for; of ws and wss.", readonly=True)
    ws_request_headers = HeadersOption(
        "ws:request-headers", "The headers of the request that made it, names and values; of ws and wss.", readonly=True
    )
    ws_response_headers = HeadersOption(
        "ws:response-headers", "The headers of the response that made it, names and values; of ws and wss.", readonly=True
    )

    @property
    def url(self) -> str | None:
        """The URL of the dialer or listener that made it. Raises `NoEntry` when it has gone."""
        return self.info.url

    @property
    def info(self) -> PipeInfo:
        """What there is to know of it, as values that outlive it. Raises `NoEntry` when it has gone."""
        if library.forked:
            raise ForkedError()
        peer = lib.nngio_peer_of(self.id)
        if peer == NULL:
            raise NoEntry("this pipe has gone")
        socket = self.socket
        return info_of(ffi.gc(peer, lib.nngio_peer_free), {} if socket is None else socket._endpoints)

    @property
    def socket(self) -> "Socket | None":
        """The socket that has it; None when the pipe has gone. NNG: `nng_pipe_socket`."""
        from nngio._socket import sockets_by_id

        if library.forked:
            raise ForkedError()
        number = lib.nng_pipe_socket(self._c).id
        return sockets_by_id.get(number)

    @property
    def dialer(self) -> "Dialer | None":
        """The dialer that made it; None if a listener did, or the pipe has gone. NNG: `nng_pipe_dialer`."""
        socket = self.socket
        dialer: Dialer | None = socket._endpoints.get(("dialer", lib.nng_pipe_dialer(self._c).id)) if socket else None
        return dialer

    @property
    def listener(self) -> "Listener | None":
        """The listener that made it; None if a dialer did, or the pipe has gone. NNG: `nng_pipe_listener`."""
        socket = self.socket
        listener: Listener | None = socket._endpoints.get(("listener", lib.nng_pipe_listener(self._c).id)) if socket else None
        return listener

    def close(self) -> None:
        """Disconnect, without waiting. A dialer's pipe will be dialed again. Closing one that has gone does nothing.

        NNG: `nng_pipe_close`.
        """
        if library.forked:
            raise ForkedError()
        lib.nng_pipe_close(self._c)

    def statistics(self) -> "Statistic":
        """What NNG has counted for it so far; raises `NoEntry` if it has gone, or isn't quite there. One part of `nngio.statistics()`."""
        from nngio._stats import of_one

        return of_one("pipe", self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipe) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> Any:
        raise TypeError("a Pipe can't be copied or pickled: it is a connection of this process; its info can")

    def __repr__(self) -> str:
        peer: Address | str
        try:
            peer = self.remote_address
        except NNGError:
            peer = "gone"
        return f"<nngio.Pipe {self.id}, {peer}>"
