"""Devices: what one raw socket receives is sent on by another."""

import warnings

from nngio._channel import Receiver
from nngio._core import library, operation
from nngio._core.adapter import reclaim
from nngio._core.duration import call_milliseconds
from nngio._core.errors import Busy, Closed, ForkedError, InvalidArgument, check
from nngio._core.library import BUSY, lib
from nngio._core.loops import take
from nngio._core.owner import own_device
from nngio._core.typing import TYPE_CHECKING, Any
from nngio._socket import Socket

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Device", "adevice", "device"]


class Device:
    """Forwards messages between two raw sockets, both ways where their protocols have both, until it is closed.

    `Device(a, b)` begins at once, and goes on in the background, on NNG's threads; no Python code runs for a message. The sockets
    must be of protocols that are each other's peers, such as REP and REQ, in whichever order, and opened with `raw=True`.
    `Device(a)` is a reflector, for PAIR and BUS: what the socket receives it sends itself; a BUS, to all peers but the sender.

    A device ends when it is closed, or one of its sockets is. The sockets stay open, and can be used again, in another device
    too. A message that it has received and not sent stays with the socket that has received it, and that one's next receive
    gets it, or its next device. Meanwhile others may send and receive on the sockets; each message is received once. But a
    socket can be in one device at a time.

    Use it in a `with` block, or `close()` it: one that is dropped while it runs is closed with a `ResourceWarning`. All methods
    are thread-safe. A device doesn't survive a fork.

    Raises `InvalidArgument` for sockets that aren't raw, that read ahead (`prefetch`), or whose protocols don't fit each other;
    `Busy` for one that is in a device already, `Closed` for one that is closed. In C, `nng_device` and `nng_device_aio` do the
    same with fewer promises; this one is nngio's own, the same with every release of NNG.
    """

    _owner: Any

    def __init__(self, a: Socket, b: Socket | None = None) -> None:
        b = a if b is None else b
        for socket in (a, b):
            _check_socket(socket)
        _check_peers(a, b)
        self._sockets = a, b
        self._device = own_device(self)
        for socket in (a, b):
            if lib.nngio_handle_on_loops(socket._handle):
                reclaim(socket._handle)
        forth, back = isinstance(a, Receiver), isinstance(b, Receiver) and a is not b
        code = lib.nngio_device_start(self._device, a._handle, b._handle, forth, back)
        if code == lib.NNG_EBUSY:
            raise Busy("a socket can be in one device at a time, and one of these is in another: close that first")
        check(code)

    @property
    def sockets(self) -> tuple[Socket, Socket]:
        """The two; a reflector has one, twice."""
        return self._sockets

    @property
    def running(self) -> bool:
        """Whether it still forwards."""
        if library.forked:
            raise ForkedError()
        return bool(lib.nngio_device_result(self._device) == BUSY)

    @property
    def forwarded(self) -> tuple[int, int]:
        """How many messages it has received on the first socket and sent, and how many on the second."""
        if library.forked:
            raise ForkedError()
        a, b = self._sockets
        forth = lib.nngio_device_forwarded(self._device, a._handle)
        return forth, 0 if a is b else lib.nngio_device_forwarded(self._device, b._handle)

    def join(self, *, timeout: float | None = None) -> None:
        """Wait until the device ends. Returns when it was closed, by `close`.

        `timeout` is in seconds; None waits for ever. Raises `Closed` when one of the sockets was closed, `NoMemory` when there was
        none for a message, `TimedOut` when it is still running: it goes on. Ctrl-C interrupts the call, and the device goes on.
        """
        self._ended(operation.join(self._device, call_milliseconds(timeout)))

    async def ajoin(self, *, timeout: float | None = None) -> None:
        """Wait until the device ends. The awaitable `join`, on asyncio and trio. A cancellation leaves the device running."""
        call_milliseconds(timeout)  # refuses what is no timeout
        op = await take()
        op.c.result = 0
        try:
            code = lib.nngio_begin_join(op.c, self._device)
            if code == operation.PENDING:
                await op.adapter.within(op, timeout)
                code = op.c.result
        finally:
            op.adapter.abandon(op)
        self._ended(code)

    def _ended(self, code: int) -> None:
        if code == lib.NNG_ECLOSED:
            raise Closed("a socket of this device is closed, so the device has ended")
        check(code)

    def close(self) -> None:
        """End it; the sockets stay open. Ending it again does nothing.

        When this returns nothing is forwarded any more, and a message that was on its way waits for the next receive. It takes
        microseconds, so there is no awaitable form: a task may call it.
        """
        lib.nngio_device_stop(self._device)

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> "Self":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_device") and not library.forked and lib.nngio_device_result(self._device) == BUSY:
            self._dropped()
            self.close()

    def _dropped(self) -> None:
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=3)

    def __repr__(self) -> str:
        a, b = self._sockets
        ends = f"of {a!r}" if a is b else f"between {a!r} and {b!r}"
        state = ", its parent's" if library.forked else "" if self.running else ", ended"
        return f"<nngio.Device {ends}{state}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Device can't be pickled: it belongs to this process")


class _OneCall(Device):
    """That of a call, which is dropped when that is interrupted before it could close it."""

    def _dropped(self) -> None:
        pass


def device(a: Socket, b: Socket | None = None, *, timeout: float | None = None) -> None:
    """Forward messages between two raw sockets, or reflect those of one. Blocks until one of the sockets is closed.

    The call is a `Device` that lasts as long as it: see there for what sockets it takes, what becomes of a message that is on its
    way at the end, and which errors they raise. It never returns; it raises `Closed` when a socket is closed, by another thread,
    and `TimedOut` after `timeout` seconds. Ctrl-C interrupts it. The sockets stay open. NNG: `nng_device`.
    """
    with _OneCall(a, b) as forwarder:
        forwarder.join(timeout=timeout)


async def adevice(a: Socket, b: Socket | None = None, *, timeout: float | None = None) -> None:
    """Forward messages between two raw sockets, or reflect those of one. The awaitable `device`, on asyncio and trio.

    A cancellation ends it, and the sockets stay open. NNG: `nng_device_aio`.
    """
    with _OneCall(a, b) as forwarder:
        await forwarder.ajoin(timeout=timeout)


def _check_socket(socket: Socket) -> None:
    if not isinstance(socket, Socket):
        raise TypeError(f"a device forwards between sockets, not {type(socket).__name__}")
    socket._check_open()
    name = type(socket).__name__
    if not socket.raw:
        raise InvalidArgument(f"a device takes raw sockets only; open this one as {name}(raw=True)")
    if socket.prefetch:
        raise InvalidArgument(f"this {name} reads ahead, which a device does anyway; open it without prefetch")


def _check_peers(a: Socket, b: Socket) -> None:
    if a.peer_protocol == b.protocol and b.peer_protocol == a.protocol:
        return
    name, fits = type(a).__name__, a.peer_protocol_name
    if a is b:
        raise InvalidArgument(f"a {name} can't be both ends of a device: give a raw socket of the protocol {fits} as the other")
    raise InvalidArgument(f"a device can't forward between {name} and {type(b).__name__}: with {name} goes the protocol {fits}")
