"""Socket addresses, as values."""

from typing import Any, NamedTuple

from nngio._core.library import ffi, lib

__all__ = ["AbstractAddress", "Address", "IPCAddress", "InprocAddress", "TCPAddress"]


class TCPAddress(NamedTuple):
    """An IP address and port, of tcp, tls, ws and wss."""

    host: str
    port: int
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


def _text(field: Any) -> str:
    raw: bytes = ffi.string(field)
    return raw.decode("utf-8", "surrogateescape")
