"""Sockets, before they have a protocol."""

import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable

from nngio._admission import Admission
from nngio._channel import Channel, Receiver
from nngio._core import library
from nngio._core.duration import call_milliseconds
from nngio._core.errors import Closed, ForkedError, InvalidArgument, NotSupported, check
from nngio._core.library import ffi, lib
from nngio._core.loops import current, runs_here
from nngio._core.operation import new_operation
from nngio._core.owner import own_handle
from nngio._core.typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from nngio._core.urls import ParsedURL, url_text
from nngio._dialer import Dialer, DialerOptions
from nngio._events import close_handlers
from nngio._listener import Listener, ListenerOptions
from nngio._options import (
    BoolOption,
    FDOption,
    HasOptions,
    IntOption,
    NameOption,
    Option,
    ReadOnly,
    SecondsOption,
    SizeOption,
    StringOption,
    assign,
    set_options,
)
from nngio._peers import HasPeers
from nngio._tls import TLSConfig, check_tls

if TYPE_CHECKING:
    from typing import Self, Unpack

    from nngio._arguments import URLs
    from nngio._endpoint import Endpoint
    from nngio._stats import Statistic
    from nngio._url import URL

__all__ = ["Socket", "open_sockets", "sockets_by_id"]

MOST_PREFETCHED = 1_000_000

open_sockets: "weakref.WeakSet[Socket]" = weakref.WeakSet()
sockets_by_id: "weakref.WeakValueDictionary[int, Socket]" = weakref.WeakValueDictionary()
"""Those that were not closed yet, but for those that the collector is about to finalize."""


def _several(urls: "URLs") -> "Iterable[str | URL]":
    """The URLs in what may be one or several."""
    if urls is None:
        return ()
    if isinstance(urls, str | bytes | bytearray | ParsedURL) or not isinstance(urls, Iterable):
        return (url_text(urls),)
    return urls


class _NotMade:
    """What a socket has, of a class with an `__init__` of its own, until `Socket.__init__` has made it."""

    names = ("_c", "_dialers", "_endpoints", "_handle", "_handlers", "_listeners", "_owner")

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        raise RuntimeError(f"this {owner.__name__} was not made: its __init__ has to call super().__init__(...), and that has to succeed")


class Socket(Channel, HasPeers, HasOptions):
    """A socket of one of NNG's protocols; the classes named after those are what you make.

    `listen` and `dial` take one URL, as text or `URL`, or several, and are done once the options are set; any option of the class
    can be given by its name: `Pub0(listen="tcp://*:5555", send_buffer=64)`. `block` and `dial_timeout` are for each `dial`:
    whether it waits for the first connection, and how many seconds at most. `raw=True` opens the protocol's raw mode, where it
    has one. `prefetch` is how many messages to read ahead of the receives, for PAIR, PULL, SUB and BUS, and raw sockets: faster,
    where messages come faster than they are received one by one. See `docs/many.md` for what it means to load balancing.
    `admission` has rules for who may connect. `tls` is for those dialers and listeners of `tls+tcp://` and `wss://` that are not
    given one of their own.

    Use it in a `with` block, or `close()` it: one that is dropped while open is closed with a `ResourceWarning`.
    All methods are thread-safe, `close` included. A socket doesn't survive a fork.
    """

    _option_kind = "socket"
    _open: ClassVar[str] = ""
    _open_raw: ClassVar[str | None] = None
    _flags: int = 0
    _raw_flags: ClassVar[int] = lib.NNGIO_TRY_SEND | lib.NNGIO_TRY_RECV
    _handle: Any = None
    _listeners: list[Listener]
    _dialers: list[Dialer]
    _lately_closed: "deque[Endpoint]"
    """Of its own, those that were closed last, which the events of their pipes still name."""
    _tls: TLSConfig | None = None
    _prefetch = 0
    _context: ClassVar[type[Channel] | None] = None
    """The class of its contexts."""
    _makes: ClassVar[dict[str, type]] = {"dial": Dialer, "listen": Listener}
    """What may have an option that a socket doesn't have, by the method that makes it."""
    _closed = False

    def __init__(
        self,
        *,
        listen: "URLs" = None,
        dial: "URLs" = None,
        raw: bool = False,
        block: bool = True,
        dial_timeout: float | None = None,
        prefetch: int = 0,
        admission: Admission | None = None,
        tls: TLSConfig | None = None,
        **options: Any,
    ) -> None:
        check_tls(tls)
        if dial_timeout is not None:
            call_milliseconds(dial_timeout)  # refuses what is no timeout
        opener = self._opener(raw)
        # By `assign`, which is faster than the class's own; `__dict__` would be too, and make each later look at an attribute slower.
        if tls is not None:
            assign(self, "_tls", tls)
        if raw:
            assign(self, "_is_raw", True)
        assign(self, "_listeners", [])
        assign(self, "_dialers", [])
        assign(self, "_lately_closed", deque(maxlen=64))
        assign(self, "_endpoints", weakref.WeakValueDictionary())
        assign(self, "_handlers", set())
        code = ffi.new("int *")
        flags = self._raw_flags | lib.NNGIO_RAW | (self._flags & lib.NNGIO_KEEP_SEND) if raw else self._flags
        self._check_prefetch(prefetch, flags)
        handle = lib.nngio_socket_open(ffi.addressof(lib, opener), flags, code)
        check(code[0])
        assign(self, "_handle", own_handle(self, handle))
        assign(self, "_c", ffi.new("nng_socket *", {"id": lib.nngio_handle_id(handle)})[0])
        if prefetch:
            assign(self, "_prefetch", prefetch)
        open_sockets.add(self)
        sockets_by_id[self.id] = self
        try:
            set_options(self, options, self._makes)
            if admission is not None:
                self.admission = admission
            self._prepare()
            if prefetch:
                check(lib.nngio_prefetch(handle, prefetch))
            for url in _several(listen):
                self.listen(url)
            for url in _several(dial):
                self.dial(url, block=block, timeout=dial_timeout)
        except BaseException:
            self.close()
            raise

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        # Not in nngio's own classes, which have no use for it: looking up what stands before it takes longer.
        if "__init__" in vars(cls) and cls.__module__.partition(".")[0] != "nngio":
            for name in _NotMade.names:
                setattr(cls, name, _NotMade())

    def _check_prefetch(self, number: int, flags: int) -> None:
        name = type(self).__name__
        if not isinstance(number, int):
            raise TypeError(f"prefetch is a number of messages, not {type(number).__name__}")
        if not 0 <= number <= MOST_PREFETCHED:
            raise InvalidArgument(f"prefetch is 0 to {MOST_PREFETCHED} messages; got {number}")
        if number and not isinstance(self, Receiver):
            raise InvalidArgument(f"{name} receives nothing that it could prefetch")
        if number and flags & (lib.NNGIO_SEND_RESTARTS | lib.NNGIO_SEND_NEEDS_ONE):
            raise InvalidArgument(f"{name} can't prefetch: it receives one message for each that it sends")

    @property
    def prefetch(self) -> int:
        """How many messages it reads ahead; 0 if it doesn't."""
        return self._prefetch

    @property
    def tls(self) -> TLSConfig | None:
        """The TLS configuration of its dialers and listeners that have none of their own."""
        return self._tls

    def _prepare(self) -> None:
        """What a protocol has to do before the first peer may come."""

    def _opener(self, raw: bool) -> str:
        """The name of NNG's function that opens such a socket."""
        if not self._open:
            raise TypeError(
                f"{type(self).__name__} has no protocol: use Pair0, Pair1, Bus0, Pub0, Sub0, Push0, Pull0, Req0, Rep0, Surveyor0 or "
                "Respondent0, or derive from one of these"
            )
        if not raw:
            return self._open
        if self._open_raw is None:
            raise InvalidArgument(f"{type(self).__name__} has no raw mode")
        return self._open_raw

    # Options that every socket has.

    name = NameOption("socket-name", "A name for statistics and logs.", nng="NNG_OPT_SOCKNAME", default="its number", longest=63)
    raw: ReadOnly[bool] = BoolOption("raw", "Whether this is a raw socket.", nng="NNG_OPT_RAW", readonly=True)
    protocol: ReadOnly[int] = IntOption("protocol", "The protocol's number.", nng="NNG_OPT_PROTO", readonly=True)
    protocol_name: ReadOnly[str] = StringOption(
        "protocol-name", "The protocol's name, such as `req`.", nng="NNG_OPT_PROTONAME", readonly=True
    )
    peer_protocol: ReadOnly[int] = IntOption("peer", "The number of the protocol that peers must have.", nng="NNG_OPT_PEER", readonly=True)
    peer_protocol_name: ReadOnly[str] = StringOption(
        "peer-name", "The name of the protocol that peers must have.", nng="NNG_OPT_PEERNAME", readonly=True
    )
    recv_max_size = SizeOption(
        "recv-size-max",
        "The largest message that a peer may send, in bytes; a peer that sends more is disconnected. It is set on all dialers and "
        "listeners, those that come later included. Not for inproc, nor for dialed websockets of an NNG without nngio's patches.",
        nng="NNG_OPT_RECVMAXSZ",
        default="0",
    )
    reconnect_time_min = SecondsOption(
        "reconnect-time-min",
        "The longest wait before a dialer's first new attempt: each wait is a random part of it. It is set on all dialers, those "
        "that come later included.",
        nng="NNG_OPT_RECONNMINT",
        default="1",
    )
    reconnect_time_max = SecondsOption(
        "reconnect-time-max",
        "What that wait may grow to, doubling at each attempt; 0: it does not grow. It is set on all dialers, those that come later "
        "included.",
        nng="NNG_OPT_RECONNMAXT",
        default="0",
    )

    def _admit(self, option: Option[Any], setting: bool) -> None:  # noqa: ARG002
        if option.raw is not None and option.raw != self._is_raw:
            if option.raw:
                raise NotSupported(f"{option.attribute} is of raw sockets only: it has no effect on any other {type(self).__name__}")
            raise NotSupported(f"a raw {type(self).__name__} has no {option.attribute}")
        if self._prefetch and isinstance(option, FDOption) and option.option == b"recv-fd":
            raise NotSupported("recv_fd tells nothing of a socket with prefetch: its messages are taken from NNG as they come")

    @property
    def id(self) -> int:
        """NNG's number of it, positive. NNG: `nng_socket_id`."""
        number: int = lib.nngio_handle_id(self._handle)
        return number

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """The listeners made by `listen` that were not closed, in order."""
        return tuple(self._listeners)

    @property
    def dialers(self) -> tuple[Dialer, ...]:
        """The dialers made by `dial` that were not closed, in order."""
        return tuple(self._dialers)

    def _forget(self, endpoint: "Endpoint") -> None:
        """Called when one of them is closed; by itself, that is, and not with the socket."""
        made: list[Any] = self._listeners if isinstance(endpoint, Listener) else self._dialers
        try:
            made.remove(endpoint)
        except ValueError:
            return  # made by its class, or closed before
        self._lately_closed.append(endpoint)

    def _check_open(self) -> None:
        if library.forked:
            raise ForkedError()
        if self.closed:
            raise Closed("this socket is closed")
        self._handle  # noqa: B018  # raises where it was not made

    def listen(self, url: "str | URL", *, tls: TLSConfig | None = None, **options: "Unpack[ListenerOptions]") -> Listener:
        """Listen at a URL and return the listener; `port` and `url` tell the port that it got for 0.

        `tls` has the certificate to show, for `tls+tcp://` and `wss://`. `options` are the listener's.

        Raises `AddressInUse`, `AddressInvalid`, `InvalidArgument` for a malformed URL.
        NNG: `nng_listen`.
        """
        listener = self._listen(url, tls, {**options})
        self._listeners.append(listener)
        return listener

    def _listen(self, url: "str | URL", tls: TLSConfig | None, options: dict[str, Any]) -> Listener:
        listener = Listener(self, url, tls=tls, **options)
        try:
            listener.start()
        except BaseException:
            listener.close()
            raise
        return listener

    def dial(
        self,
        url: "str | URL",
        *,
        block: bool = True,
        timeout: float | None = None,
        tls: TLSConfig | None = None,
        **options: "Unpack[DialerOptions]",
    ) -> Dialer:
        """Connect to a peer that listens at a URL, and return the dialer, which reconnects by itself from then on.

        `block` waits for the first connection, at most `timeout` seconds, and raises `ConnectionRefused`, `TimedOut`, ...
        Without it the dialer goes on trying in the background, so the order in which peers start doesn't matter. `tls` says whom
        to trust, for `tls+tcp://` and `wss://`: `PeerAuthError`, `CryptoError` and others tell that the handshake failed. `options`
        are the dialer's. Ctrl-C interrupts the call.

        A connection isn't a peer yet: one of a protocol that doesn't go with this one, or that turns us away, is told apart when both
        have introduced themselves, and disconnected again. `wait_for_peers` waits for a peer. NNG: `nng_dial`.
        """
        dialer = Dialer(self, url, tls=tls, **options)
        try:
            dialer.start(block=block, timeout=timeout)
        except BaseException:
            dialer.close()
            raise
        self._dialers.append(dialer)
        return dialer

    def close(self) -> None:
        """Close it with its contexts, dialers, listeners and pipes. Closing it again does nothing.

        Calls that wait on it in other threads, and pending aios, end with `Closed`. Messages that are still queued are lost:
        NNG doesn't wait for them. Blocks while pipes are torn down, up to 100 ms for a websocket. NNG: `nng_close`.
        """
        if "_handle" in self.__dict__:
            close_handlers(self._handlers)
            lib.nngio_handle_close(self._handle)  # which is nothing in a forked child, and the second time
            self._ended()

    def statistics(self) -> "Statistic":
        """What NNG has counted for this socket, its dialers, listeners and pipes so far; raises `Closed` if it is closed.

        One part of `nngio.statistics()`. NNG: `nng_stat_find_socket`.
        """
        from nngio._stats import of_one

        self._check_open()
        return of_one("socket", self.id, Closed)

    def _closing(self) -> None:
        close_handlers(self._handlers)
        self._ended()

    def _ended(self) -> None:
        self._closed = True
        open_sockets.discard(self)
        sockets_by_id.pop(self.id, None)

    async def alisten(self, url: "str | URL", *, tls: TLSConfig | None = None, **options: "Unpack[ListenerOptions]") -> Listener:
        """Listen at a URL. The awaitable `listen`: resolving a host's name doesn't hold up the loop.

        A cancellation is raised when the name is resolved, and the listener closed by then.
        """
        listener = await made_in_thread(lambda: self._listen(url, tls, {**options}))
        self._listeners.append(listener)
        return listener

    async def adial(
        self,
        url: "str | URL",
        *,
        timeout: float | None = None,
        block: bool = True,
        tls: TLSConfig | None = None,
        **options: "Unpack[DialerOptions]",
    ) -> Dialer:
        """Connect to a peer that listens at a URL. The awaitable `dial`, on asyncio and trio.

        Cancellation and the timeout close the dialer.
        """
        # Only a URL with a source address needs the name server before the dialer is started.
        dialer = (
            await made_in_thread(lambda: Dialer(self, url, tls=tls, **options))
            if ";" in url_text(url)
            else Dialer(self, url, tls=tls, **options)
        )
        try:
            await dialer.astart(block=block, timeout=timeout)
        except BaseException as error:
            await dialer._give_up(error)
            raise
        self._dialers.append(dialer)
        return dialer

    def __enter__(self) -> "Self":
        self._check_open()
        return self

    def __del__(self) -> None:
        if "_handle" not in self.__dict__ or library.forked or self.closed:
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        if library.exiting:
            return
        if runs_here():  # the garbage collector must not hold up the loop; the closing goes on in C
            close_handlers(self._handlers)
            lib.nngio_begin_close(new_operation(-1), self._handle)
            self._ended()
        else:
            self.close()

    def __repr__(self) -> str:
        if "_handle" not in self.__dict__:
            return f"<nngio.{type(self).__name__}, not made>"
        if library.forked:
            state = ", its parent's"
        elif self.closed:
            state = ", closed"
        else:
            state = ""
        return f"<nngio.{type(self).__name__} {self.id}{state}>"

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} can't be pickled: it belongs to this process; pass its URL instead")


E = TypeVar("E", Dialer, Listener)


async def made_in_thread(make: Callable[[], E]) -> E:
    """Make an endpoint in a thread, because that may wait for a name server; it is closed when the caller is cancelled, or dropped."""
    made: list[E] = []
    dropped = False

    def in_thread() -> None:
        made.append(make())
        if dropped:
            made[0].close()

    try:
        await current().in_thread(in_thread)
    except BaseException as error:
        dropped = True
        for endpoint in made:
            await endpoint._give_up(error)
        raise
    return made[0]
