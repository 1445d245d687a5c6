"""UDP: datagrams, by NNG's own means.

What NNG receives is kept in C until a call takes it (shim/udp.c), so a call that waits has nothing of its own. It waits on an
operation that ends when something has happened to the socket, and looks again then.
"""

import time
import warnings
from collections.abc import AsyncIterator, Iterator

from nngio._address import TCPAddress, from_sockaddr
from nngio._core import library
from nngio._core.closing import Closing, UntilClosed
from nngio._core.duration import call_milliseconds, milliseconds
from nngio._core.errors import SYSTEM_ERROR, AddressInvalid, Closed, ForkedError, InvalidArgument, NNGError, TimedOut, check
from nngio._core.library import AGAIN, NULL, ffi, lib
from nngio._core.loops import take
from nngio._core.nng import lib as nng
from nngio._core.operation import PENDING, new_operation
from nngio._core.typing import TYPE_CHECKING, Any, NamedTuple
from nngio._message import as_bytes_like

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["UDP", "Datagram"]

LARGEST = 65_527
"""Bytes that IPv6's datagram has at most; what the network takes may be less, and it says so."""
MOST_KEPT = 1_000_000


class Datagram(NamedTuple):
    """What was received, and from whom."""

    data: bytes
    """Its bytes."""
    address: TCPAddress
    """Who has sent it; `send(data, address)` answers."""


class UDP(Closing):
    """A UDP socket, bound to an address. Experimental in NNG; needs NNG 1.9 or later.

    An address is a `TCPAddress`, a pair of host and port, or text such as `"127.0.0.1:5555"` and `"[::1]:0"`; the host is a number,
    not a name. Datagrams may be lost on their way, come twice and in another order; one that has been received is not lost here: a
    receive that times out, is cancelled or interrupted by Ctrl-C takes none. It receives ahead of being asked to, and is a plain
    datagram socket: other programs' are its peers.

    Use it in a `with` or `async with` block, or `close()` it: one that is dropped while open is closed with a `ResourceWarning`.
    All methods are thread-safe, `close` included. A socket doesn't survive a fork. NNG: `nng_udp_open`.

    Args:
        address: the address to bind to; port 0 for any.
        recv_buffer: how many datagrams to keep, beside what the system keeps, until they are received.
    """

    _id = 0

    def __init__(self, address: "TCPAddress | tuple[str, int] | str", *, recv_buffer: int = 128) -> None:
        if isinstance(recv_buffer, bool) or not isinstance(recv_buffer, int):
            raise TypeError(f"recv_buffer is a number of datagrams, not {type(recv_buffer).__name__}")
        if not 1 <= recv_buffer <= MOST_KEPT:
            raise ValueError(f"recv_buffer is 1 to {MOST_KEPT} datagrams, not {recv_buffer}")
        nng.nng_udp_open  # noqa: B018  # says what is missing
        bound = _sockaddr(address)
        code = ffi.new("int *")
        number: int = lib.nngio_udp_open(bound, recv_buffer, code)
        if code[0]:
            error = NNGError.from_code(code[0])
            raise type(error)(f"bind to {_shown(address)}: {error}", code=code[0])
        self._id = number
        self._closed = False

    @property
    def local_address(self) -> TCPAddress:
        """The address that it is bound to, with the port that it got for 0. NNG: `nng_udp_sockname`."""
        sa = ffi.new("nng_sockaddr *")
        check(lib.nngio_udp_address(self._id, sa))
        return _address(sa[0])

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def send(self, data: "Buffer", to: "TCPAddress | tuple[str, int] | str") -> None:
        """Send a datagram, and return when the system has taken it.

        That takes microseconds, unless its buffers are full. Whatever interrupts the call, the datagram goes out. Raises
        `AddressInvalid` for what is no IP address, `MessageTooLarge`, `Unreachable`, `PermissionDenied`, `Closed`, and what else the
        system says. NNG: `nng_udp_send`.
        """
        waiting = _Waiting(None)
        ticket = ffi.new("uint64_t *")
        try:
            self._begin_send(data, to, ticket)
            while (code := self._sent(waiting, ticket)) == PENDING:
                waiting.wait()
        except BaseException:
            self._forget(waiting, ticket)
            raise
        _check_sent(code)

    def recv(self, *, timeout: float | None = None) -> Datagram:
        """Receive a datagram and the address of who has sent it: `data, sender = udp.recv()`.

        Raises `TimedOut` after `timeout` seconds, `Closed`. Ctrl-C interrupts the call. NNG: `nng_udp_recv`.
        """
        waiting = _Waiting(timeout)
        try:
            while (code := self._recv(waiting)) == PENDING:
                waiting.wait()
            if code == 0:
                datagram = waiting.datagram()
                waiting.c.taken = True
                return datagram
        except BaseException:
            waiting.forget()
            raise
        raise NNGError.from_code(code)

    def try_recv(self) -> Datagram | None:
        """Receive a datagram if there is one now, else return None."""
        try:
            return self.recv(timeout=0)
        except TimedOut:
            return None

    async def asend(self, data: "Buffer", to: "TCPAddress | tuple[str, int] | str") -> None:
        """Send a datagram. The awaitable `send`, on asyncio and trio; after a cancellation the datagram still goes out."""
        waiting = _Waiting(None)
        await waiting.begin()
        ticket = ffi.new("uint64_t *")
        try:
            self._begin_send(data, to, ticket)
            while (code := self._sent(waiting, ticket)) == PENDING:
                await waiting.awhile()
        except BaseException:
            self._forget(waiting, ticket)
            raise
        waiting.end()
        _check_sent(code)

    async def arecv(self, *, timeout: float | None = None) -> Datagram:
        """Receive a datagram. The awaitable `recv`, on asyncio and trio; a cancelled one takes none."""
        waiting = _Waiting(timeout)
        await waiting.begin()
        try:
            while (code := self._recv(waiting)) == PENDING:
                await waiting.awhile()
            if code == 0:
                datagram = waiting.datagram()
                c, operation = waiting.c, waiting.operation
                c.taken = True
                operation.over = True
                return datagram
            waiting.end()
        except BaseException:
            waiting.forget()
            raise
        raise NNGError.from_code(code)

    def join(self, group: str) -> None:
        """Join a multicast group, such as `"239.1.2.3"`: what is sent there to the socket's port comes here, too.

        It is joined on the interface that the socket is bound to. Raises `AddressInvalid` for what is no multicast address.
        NNG: `nng_udp_multicast_membership`.
        """
        self._member(group, join=True)

    def leave(self, group: str) -> None:
        """Leave a multicast group. NNG: `nng_udp_multicast_membership`."""
        self._member(group, join=False)

    def _member(self, group: str, *, join: bool) -> None:
        if not isinstance(group, str):
            raise TypeError(f"a group is the text of an IP address, not {type(group).__name__}")
        import ipaddress

        sa = _sockaddr((group, 0))
        if not ipaddress.ip_address(group).is_multicast:
            raise AddressInvalid(f"{group} is no multicast address: those are 224.0.0.0 to 239.255.255.255, and ff00::/8")
        check(lib.nngio_udp_member(self._id, sa, join))

    def close(self) -> None:
        """Close it. Closing it again does nothing.

        Calls that wait on it end with `Closed`; what was not received yet is dropped. NNG: `nng_udp_close`.
        """
        lib.nngio_udp_close(self._id)  # which is nothing in a forked child, and the second time
        self._closed = True

    async def aclose(self) -> None:
        """Close it. The same as `close`, which doesn't wait for anything, for `async with` and its like."""
        self.close()

    def _begin_send(self, data: "Buffer", to: "TCPAddress | tuple[str, int] | str", ticket: Any) -> None:
        pointer, length = as_bytes_like(data)
        if length > LARGEST:
            raise InvalidArgument(f"a datagram has at most {LARGEST} bytes, not {length}")
        check(lib.nngio_udp_send(self._id, pointer, length, _sockaddr(to), ticket))

    def _recv(self, waiting: "_Waiting") -> int:
        code: int = lib.nngio_udp_recv(self._id, waiting.c, waiting.ms())
        return code

    def _sent(self, waiting: "_Waiting", ticket: Any) -> int:
        code: int = lib.nngio_udp_sent(self._id, waiting.c, ticket[0], waiting.ms())
        return code

    def _forget(self, waiting: "_Waiting", ticket: Any) -> None:
        """The end of a send that nobody waits for any more; C drops its result."""
        waiting.forget()
        if ticket[0]:
            lib.nngio_udp_sent(self._id, NULL, ticket[0], 0)

    def __iter__(self) -> Iterator[Datagram]:
        """All datagrams that come, until it is closed."""
        try:
            while True:
                yield self.recv()
        except Closed as error:
            if isinstance(error, ForkedError):
                raise

    def __aiter__(self) -> AsyncIterator[Datagram]:
        """All datagrams that come, until it is closed."""
        return UntilClosed(self.arecv)

    def __del__(self) -> None:
        if not self._id or self._closed or library.forked or library.exiting:
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        self.close()

    def __repr__(self) -> str:
        try:
            where = str(self.local_address)
        except ForkedError:
            where = "its parent's"
        except NNGError:
            where = "closed"
        return f"<nngio.UDP {where}>"

    def __reduce__(self) -> Any:
        raise TypeError("a UDP socket can't be pickled: it belongs to this process")


class _Waiting:
    """The operation that one call waits on, and the time that it has."""

    def __init__(self, timeout: float | None) -> None:
        call_milliseconds(timeout)  # refuses what is no timeout
        if library.forked:
            raise ForkedError()
        self.until = None if timeout is None else time.monotonic() + timeout
        self.operation: Any = None
        self._c: Any = None

    @property
    def c(self) -> Any:
        """The operation for C; a call that doesn't belong to a loop has one of its own."""
        if self._c is None:
            self._c = new_operation()
        return self._c

    def ms(self) -> int:
        """What is left of the time."""
        return milliseconds(None if self.until is None else max(self.until - time.monotonic(), 0))

    def wait(self) -> None:
        """Sleep until something has happened."""
        while lib.nngio_wait(self._c) == AGAIN:
            pass
        lib.nngio_udp_forget(self._c)

    def datagram(self) -> Datagram:
        """A copy of what the operation was given."""
        c = self._c.datagram
        return Datagram(ffi.unpack(c.data, c.len), _address(getattr(c, "from")))

    async def begin(self) -> None:
        """Take an operation of the running loop's."""
        self.operation = await take()
        self._c = self.operation.c

    async def awhile(self) -> None:
        """The same as `wait`, without holding up the loop."""
        await self.operation
        lib.nngio_udp_forget(self._c)
        self.end()
        await self.begin()

    def end(self) -> None:
        """The call has what it wanted."""
        if self.operation is not None:
            self.operation.over = True
            self.operation = self._c = None  # another task may have it now

    def forget(self) -> None:
        """The call is interrupted, or has failed."""
        if self._c is None or library.forked:
            return
        lib.nngio_udp_forget(self._c)
        if self.operation is not None:
            self.operation.adapter.abandon(self.operation)
        else:
            lib.nngio_abandon(self._c, NULL)


def _check_sent(code: int) -> None:
    import errno

    if code == SYSTEM_ERROR + errno.EMSGSIZE:
        code = lib.NNG_EMSGSIZE  # NNG knows it of what was received only
    check(code)


def _address(sa: Any) -> TCPAddress:
    address = from_sockaddr(sa)
    assert isinstance(address, TCPAddress)
    return address


def _shown(address: "TCPAddress | tuple[str, int] | str") -> str:
    return address if isinstance(address, str) else str(TCPAddress(address[0], address[1]))


def _sockaddr(address: "TCPAddress | tuple[str, int] | str") -> Any:
    """The `nng_sockaddr *` of an IP address and a port."""
    host, port, scope = _parts(address)
    import socket

    sa = ffi.new("nng_sockaddr *")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise AddressInvalid(f"a port is a number from 0 to 65535, not {port!r}")
    try:
        if ":" in host:
            ffi.buffer(sa.s_in6.sa_addr)[:] = socket.inet_pton(socket.AF_INET6, host)
            sa.s_in6.sa_family = lib.NNG_AF_INET6
            sa.s_in6.sa_port = socket.htons(port)
            sa.s_in6.sa_scope = scope
        else:
            ffi.buffer(ffi.addressof(sa.s_in, "sa_addr"))[:] = socket.inet_pton(socket.AF_INET, host)
            sa.s_in.sa_family = lib.NNG_AF_INET
            sa.s_in.sa_port = socket.htons(port)
    except (OSError, ValueError, UnicodeError):
        raise AddressInvalid(f"{host!r} is no IP address; of a name, socket.getaddrinfo tells the address") from None
    return sa


def _parts(address: "TCPAddress | tuple[str, int] | str") -> tuple[str, int, int]:
    if isinstance(address, str):
        host, colon, port = address.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise AddressInvalid(f"{address!r}: an IPv6 address is written in brackets, as in [::1]:5555")
        if not colon or not (port.isascii() and port.isdecimal()) or len(port) > 5:
            raise AddressInvalid(f"{address!r} has no port; write it as in 127.0.0.1:5555")
        return host, int(port), 0
    is_pair = isinstance(address, TCPAddress) or (isinstance(address, tuple) and len(address) == 2)
    if not is_pair or not isinstance(address[0], str):
        raise TypeError(f"an address is a TCPAddress, a pair of host and port, or text such as '127.0.0.1:5555', not {address!r}")
    return address[0], address[1], address.scope if isinstance(address, TCPAddress) else 0
