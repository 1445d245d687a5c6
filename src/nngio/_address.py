"""Socket addresses, as values."""

from nngio._core.library import ffi, lib
from nngio._core.typing import Any, NamedTuple

__all__ = ["AbstractAddress", "Address", "IPCAddress", "InprocAddress", "TCPAddress", "from_sockaddr", "to_sockaddr"]


class TCPAddress(NamedTuple):
    """An IP address and port, of tcp, tls, ws and wss."""

    host: str
    """In numbers: an address, not a name."""
    port: int = 0
    scope: int = 0
    """The zone of a link-local IPv6 address."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class IPCAddress(NamedTuple):
    """The path of a UNIX socket."""

    path: str

    def __str__(self) -> str:
        return self.path


class AbstractAddress(NamedTuple):
    """A name in Linux's abstract namespace of UNIX sockets."""

    name: bytes

    def __str__(self) -> str:
        return self.name.decode("ascii", "backslashreplace")


class InprocAddress(NamedTuple):
    """A name within this process."""

    name: str

    def __str__(self) -> str:
        return self.name


Address = TCPAddress | IPCAddress | AbstractAddress | InprocAddress | None


def from_sockaddr(sa: Any) -> Address:
    """The value for an `nng_sockaddr`; None for one that says nothing."""
    import socket  # it takes as long to import as half of nngio, and not every program asks for an address

    family = sa.s_family
    if family == lib.NNG_AF_INET:
        raw = bytes(ffi.buffer(ffi.addressof(sa.s_in, "sa_addr"), 4))
        return TCPAddress(socket.inet_ntop(socket.AF_INET, raw), socket.ntohs(sa.s_in.sa_port))
    if family == lib.NNG_AF_INET6:
        raw = bytes(ffi.buffer(sa.s_in6.sa_addr, 16))
        return TCPAddress(socket.inet_ntop(socket.AF_INET6, raw), socket.ntohs(sa.s_in6.sa_port), sa.s_in6.sa_scope)
    if family == lib.NNG_AF_IPC:
        return IPCAddress(_text(sa.s_ipc.sa_path))
    if family == lib.NNG_AF_INPROC:
        return InprocAddress(_text(sa.s_inproc.sa_name))
    if family == lib.NNG_AF_ABSTRACT:
        return AbstractAddress(bytes(ffi.buffer(sa.s_abstract.sa_name, sa.s_abstract.sa_len)))
    return None


def to_sockaddr(address: Address) -> Any:
    """A new `nng_sockaddr` with the value: what `from_sockaddr` reads back. Raises ValueError for what doesn't fit into one."""
    sa = ffi.new("nng_sockaddr *")
    match address:
        case None:
            sa.s_family = lib.NNG_AF_UNSPEC
        case TCPAddress():
            _put_ip(sa, address)
        case IPCAddress(path):
            sa.s_ipc.sa_family = lib.NNG_AF_IPC
            sa.s_ipc.sa_path = _fits(path.encode("utf-8", "surrogateescape"), sa.s_ipc.sa_path, address)
        case InprocAddress(name):
            sa.s_inproc.sa_family = lib.NNG_AF_INPROC
            sa.s_inproc.sa_name = _fits(name.encode("utf-8", "surrogateescape"), sa.s_inproc.sa_name, address)
        case AbstractAddress(name):
            room = ffi.sizeof(sa.s_abstract.sa_name)
            if len(name) > room:
                raise ValueError(f"{address!r} is too long: an abstract name has at most {room} bytes")
            sa.s_abstract.sa_family = lib.NNG_AF_ABSTRACT
            sa.s_abstract.sa_len = len(name)
            ffi.memmove(sa.s_abstract.sa_name, name, len(name))
        case _:
            raise TypeError(f"an address is a TCPAddress, IPCAddress, AbstractAddress or InprocAddress, not {type(address).__name__}")
    return sa


def _put_ip(sa: Any, address: TCPAddress) -> None:
    import socket

    if not 0 <= address.port <= 65535:
        raise ValueError(f"a port is from 0 to 65535, not {address.port}")
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        raw = socket.inet_pton(family, address.host)
    except OSError:
        raise ValueError(f"{address.host!r} is no IP address, such as 192.0.2.1 or 2001:db8::1; a name has to be resolved first") from None
    if family == socket.AF_INET:
        sa.s_in.sa_family = lib.NNG_AF_INET
        sa.s_in.sa_port = socket.htons(address.port)
        ffi.memmove(ffi.addressof(sa.s_in, "sa_addr"), raw, 4)
    else:
        sa.s_in6.sa_family = lib.NNG_AF_INET6
        sa.s_in6.sa_port = socket.htons(address.port)
        sa.s_in6.sa_scope = address.scope
        ffi.memmove(sa.s_in6.sa_addr, raw, 16)


def _fits(raw: bytes, field: Any, address: Address) -> bytes:
    room = ffi.sizeof(field) - 1
    if len(raw) > room or b"\0" in raw:
        raise ValueError(f"{address!r} has at most {room} bytes in UTF-8, and no NUL")
    return raw


def _text(field: Any) -> str:
    raw: bytes = ffi.string(field)
    return raw.decode("utf-8", "surrogateescape")
