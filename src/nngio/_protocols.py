"""The eleven protocols: which verbs, options and contexts each has, and what NNG must be spared.

The flags say how the C side may treat a protocol (shim/nngio_shim.h). A send or receive may be tried first, without
blocking, where a failed attempt changes nothing:

- REP and RESPONDENT give up the right to answer before they find that they can't send now.
- A SURVEYOR's receive without blocking waits for the end of the survey, from NNG 1.7 on.
- PUB frees the message even when its send is canceled.
- Where sends go through a queue of NNG's (raw sockets but PAIR, PUSH and PUB, a PAIR1 with many peers, BUS up to NNG 1.5), an
  attempt can end up behind sends that wait, and stay there.
"""

from collections.abc import AsyncIterator, Iterable, Iterator

from nngio._channel import Receiver, Sender
from nngio._channel_many import ManyReceiver, ManySender
from nngio._context import Context
from nngio._core import library
from nngio._core.duration import DEFAULT, Timeout
from nngio._core.errors import BadState, Closed, ForkedError, NNGError, NoEntry, NotSupported, TimedOut, check
from nngio._core.library import lib
from nngio._core.typing import TYPE_CHECKING, Any, ClassVar
from nngio._message import Message, as_bytes_like
from nngio._options import BoolOption, DurationOption, FDOption, HasOptions, IntOption, ReadOnly, SecondsOption
from nngio._socket import Socket

if TYPE_CHECKING:
    from typing import Self, Unpack

    from typing_extensions import Buffer

    from nngio._arguments import (
        Bus0Arguments,
        Pair0Arguments,
        Pair1Arguments,
        Pub0Arguments,
        Pull0Arguments,
        Push0Arguments,
        Rep0Arguments,
        RepContextOptions,
        Req0Arguments,
        ReqContextOptions,
        Respondent0Arguments,
        RespondentContextOptions,
        Sub0Arguments,
        SubContextOptions,
        Surveyor0Arguments,
        SurveyorContextOptions,
    )

__all__ = [
    "Bus0",
    "Pair0",
    "Pair1",
    "Pub0",
    "Pull0",
    "Push0",
    "Rep0",
    "RepContext",
    "Req0",
    "ReqContext",
    "Respondent0",
    "RespondentContext",
    "Sub0",
    "SubContext",
    "Surveyor0",
    "SurveyorContext",
]

TRY_SEND: int = lib.NNGIO_TRY_SEND
TRY_RECV: int = lib.NNGIO_TRY_RECV
KEEP_SEND: int = lib.NNGIO_KEEP_SEND
INLINE_SEND: int = lib.NNGIO_INLINE_SEND
SEND_RESTARTS: int = lib.NNGIO_SEND_RESTARTS
SEND_NEEDS_ONE: int = lib.NNGIO_SEND_NEEDS_ONE
SURVEYS: int = lib.NNGIO_SURVEYS
NUMBERED: int = lib.NNGIO_NUMBERED
ADDRESSED: int = lib.NNGIO_ADDRESSED

BAD_STATE: int = lib.NNG_ESTATE
CANCELED: int = lib.NNG_ECANCELED

MOST_BUFFERED = 8192


_SMALLER = "made smaller than what it holds, it drops what has no room"


def _send_buffer(
    doc: str = f"How many messages may wait to be sent; {_SMALLER}.", *, default: str = "0", least: int = 0, raw: bool | None = None
) -> IntOption:
    return IntOption("send-buffer", doc, nng="NNG_OPT_SENDBUF", default=default, least=least, most=MOST_BUFFERED, raw=raw)


def _recv_buffer(
    doc: str = f"How many messages may wait to be received; {_SMALLER}.", *, default: str = "0", least: int = 0, raw: bool | None = None
) -> IntOption:
    return IntOption("recv-buffer", doc, nng="NNG_OPT_RECVBUF", default=default, least=least, most=MOST_BUFFERED, raw=raw)


class _Sends(Sender, HasOptions):
    send_timeout = DurationOption(
        "send-timeout", "How long a send may take, unless it says otherwise.", nng="NNG_OPT_SENDTIMEO", default="None"
    )


class _Receives(Receiver, HasOptions):
    recv_timeout = DurationOption(
        "recv-timeout", "How long a receive may take, unless it says otherwise.", nng="NNG_OPT_RECVTIMEO", default="None"
    )


class _SendFD(HasOptions):
    send_fd: ReadOnly[int] = FDOption("send-fd", "A descriptor that can be read while a message could be sent.", nng="NNG_OPT_SENDFD")


class _RecvFD(HasOptions):
    recv_fd: ReadOnly[int] = FDOption(
        "recv-fd",
        "A descriptor that can be read while a message waits in NNG. Receive with `try_recv` until it raises `TryAgain` before you "
        "wait: it knows nothing of messages that nngio has, such as that of a receive that was cancelled. With `prefetch`, that is "
        "where they all are, and there is no such descriptor.",
        nng="NNG_OPT_RECVFD",
    )


class _BothFD(_SendFD, _RecvFD):
    pass


class _Both(_Sends, _Receives):
    pass


class _Asks(_Both):
    _why_not_raw: ClassVar[dict[int, str]] = {
        lib.NNG_EPROTO: "a raw {} asks with a number, the last four bytes of the header: "
        "message.header = (number | 0x80000000).to_bytes(4, 'big')"
    }

    def _check_cooked(self) -> None:
        if self._is_raw:
            raise NotSupported(
                f"a raw {type(self).__name__} doesn't number what it asks, nor look for the answers: send a Message with a header, and "
                "match what is received yourself; or open it without raw=True"
            )


class _Replies(_Both):
    _why_not_raw: ClassVar[dict[int, str]] = {
        lib.NNG_EPROTO: "a raw {} answers with the header of what it received: answer.header = question.header"
    }
    _why_not_send: ClassVar[dict[int, str]] = {BAD_STATE: "this {} has no request to reply to: receive one first, and reply once"}
    _why_not_recv: ClassVar[dict[int, str]] = {
        BAD_STATE: "another receive on this {} waits already; use socket.context() for several at a time"
    }


class _Answers(_Both):
    _why_not_send: ClassVar[dict[int, str]] = {BAD_STATE: "this {} has no survey to answer: receive one first, and answer once"}
    _why_not_recv = _Replies._why_not_recv
    _why_not_raw = _Replies._why_not_raw


class _SendsMany(_Sends, ManySender):
    pass


class _ReceivesMany(_Receives, ManyReceiver):
    pass


class _BothMany(_SendsMany, _ReceivesMany):
    pass


class _HopsOption(IntOption):
    def write(self, instance: HasOptions, value: int) -> None:
        super().write(instance, value)
        if isinstance(instance, Socket):
            lib.nngio_handle_set_hops(instance._handle, value)


class _Hops(HasOptions):
    max_ttl = _HopsOption(
        "ttl-max",
        "The most hops, the last one included, that a message may have made through devices; one with more is dropped.",
        nng="NNG_OPT_MAXTTL",
        default="8",
        least=1,
        most=15,
    )


class _RawBuffer(HasOptions):
    recv_buffer = _recv_buffer(default="1", raw=True)


class _Requests(_Asks):
    _why_not_send: ClassVar[dict[int, str]] = {
        CANCELED: "another request on this {} took its place; use socket.context() for several at a time"
    }
    _why_not_recv: ClassVar[dict[int, str]] = _why_not_send | {
        BAD_STATE: "this {} has no request under way: send one first (or another receive waits for its reply already)"
    }

    resend_time = DurationOption(
        "req:resend-time",
        "When an unanswered request is sent again, so that it may arrive twice. Without that, one whose connection is lost fails.",
        nng="NNG_OPT_REQ_RESENDTIME",
        default="60",
        none="never",
        raw=False,
    )

    def request(self, data: "Buffer | Message", *, timeout: Timeout = DEFAULT) -> bytes:
        """Send a request and return the reply: `send` and `recv`, each with this timeout.

        A socket or context has one request at a time: another, of whatever thread or task, takes the place of the one that waits
        for its reply, which raises `Canceled`. Use a `context()` for each. Ctrl-C gives up the request. Raises `NotSupported` on a raw
        socket.
        """
        self._check_cooked()
        try:
            self.send(data, timeout=timeout)
            return self.recv(timeout=timeout)
        except NNGError:
            raise
        except BaseException:
            self._give_up_request()
            raise

    def _give_up_request(self) -> None:
        """For who was interrupted after the send, and before the receive with which NNG ends a request."""
        from nngio._aio import Aio

        try:
            receive = Aio()
            self.recv_aio(receive)
            receive.cancel()
            receive.wait()
        except NNGError:
            pass  # there was none, or nothing is left that could have one

    async def arequest(self, data: "Buffer | Message", *, timeout: Timeout = DEFAULT) -> bytes:
        """Send a request and return the reply. The awaitable `request`; a context for each that waits at the same time.

        Cancellation gives up the request.
        """
        self._check_cooked()
        try:
            await self.asend(data, timeout=timeout)
            return await self.arecv(timeout=timeout)
        except NNGError:
            raise
        except BaseException:
            self._give_up_request()
            raise


class _Surveys(_Asks):
    _why_not_send: ClassVar[dict[int, str]] = {
        CANCELED: "another survey on this {} took its place; use socket.context() for several at a time"
    }
    _why_not_recv: ClassVar[dict[int, str]] = _why_not_send | {
        BAD_STATE: "this {} has no survey under way: none was sent yet, or the survey_time of the last one is over; send one first"
    }

    survey_time = SecondsOption(
        "surveyor:survey-time",
        "How long respondents have to answer a survey.",
        nng="NNG_OPT_SURVEYOR_SURVEYTIME",
        default="1",
        raw=False,
    )

    def survey(self, data: "Buffer | Message") -> Iterator[bytes]:
        """Send a survey at once, and iterate over the answers as they arrive, until `survey_time` is over.

        Raises `NotSupported` on a raw socket.
        """
        self._check_cooked()
        self.send(data)
        return self._answers()

    def _answers(self) -> Iterator[bytes]:
        while True:
            try:
                answer = self.recv(timeout=None)
            except (TimedOut, BadState):
                return
            yield answer

    def asurvey(self, data: "Buffer | Message") -> AsyncIterator[bytes]:
        """Send a survey when the iteration begins, and iterate over the answers. The awaitable `survey`, for `async for`."""
        self._check_cooked()
        return _AsyncAnswers(self, data)


class _AsyncAnswers:
    """Not an async generator, which whoever leaves a loop early would have to close."""

    __slots__ = ("_asks", "_data")

    def __init__(self, asks: _Surveys, data: "Buffer | Message") -> None:
        self._asks = asks
        self._data: Buffer | Message | None = data

    def __aiter__(self) -> "Self":
        return self

    async def __anext__(self) -> bytes:
        data, self._data = self._data, None
        if data is not None:
            await self._asks.asend(data)
        try:
            return await self._asks.arecv(timeout=None)
        except (TimedOut, BadState):
            raise StopAsyncIteration from None


class _Subscribes(_ReceivesMany):
    prefer_new = BoolOption(
        "sub:prefnew",
        "Whether a full buffer drops its oldest message for a new one; if not, it drops the new one.",
        nng="NNG_OPT_SUB_PREFNEW",
        default="True",
        raw=False,
    )
    recv_buffer = _recv_buffer(default="128 (raw: 1)", least=1)

    def subscribe(self, topic: "Buffer | str" = b"") -> None:
        """Receive messages that begin with `topic`, from now on; `b""`: all. A `str` is encoded as UTF-8.

        Subscribing twice is the same as once. NNG: `nng_sub0_socket_subscribe`, `nng_sub0_ctx_subscribe`.
        """
        self._topic(b"sub:subscribe", topic)

    def unsubscribe(self, topic: "Buffer | str" = b"") -> None:
        """Undo `subscribe`, and drop what waits and isn't subscribed to any more. Raises `NoEntry` for an unknown topic.

        NNG: `nng_sub0_socket_unsubscribe`, `nng_sub0_ctx_unsubscribe`.
        """
        self._topic(b"sub:unsubscribe", topic)

    def _topic(self, option: bytes, topic: "Buffer | str") -> None:
        if library.forked:
            raise ForkedError()
        if self._is_raw:
            raise NotSupported("a raw SUB has no topics: it receives everything")
        pointer, length = as_bytes_like(topic.encode() if isinstance(topic, str) else topic, "a topic")
        code = self._set_topic(option, pointer, length)
        if code == lib.NNG_ENOENT:
            raise NoEntry(f"it isn't subscribed to {topic!r}")
        if code == lib.NNG_ECLOSED:
            raise Closed(f"this {type(self).__name__} is closed")
        check(code)

    def _set_topic(self, option: bytes, pointer: Any, length: int) -> int:
        code: int = lib.nng_socket_set(self._c, option, pointer, length)
        return code


class ReqContext(_Requests, Context):
    """One request at a time, beside those of the socket's other contexts."""


class RepContext(_Replies, Context):
    """One request to be answered at a time, beside those of the socket's other contexts."""


class SubContext(_Subscribes, Context):
    """Subscriptions and a buffer of its own. It does not have those of its socket."""

    def _set_topic(self, option: bytes, pointer: Any, length: int) -> int:
        code: int = lib.nngio_ctx_set(self._handle, option, pointer, length)
        return code


class SurveyorContext(_Surveys, Context):
    """One survey at a time, beside those of the socket's other contexts."""


class RespondentContext(_Answers, Context):
    """One survey to be answered at a time, beside those of the socket's other contexts."""


class Pair0(_BothMany, _BothFD, Socket):
    """One peer, both ways. NNG: `nng_pair0_open`."""

    _open, _open_raw = "nng_pair0_open", "nng_pair0_open_raw"
    _flags = TRY_SEND | TRY_RECV
    send_buffer = _send_buffer()
    recv_buffer = _recv_buffer()

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[Pair0Arguments]) -> None: ...


class Pair1(_BothMany, _Hops, _BothFD, Socket):
    """One peer, both ways, through devices if need be. NNG: `nng_pair1_open`.

    `poly=True` admits many peers: a message goes to the pipe that it names (`Message.pipe`), or to the first. NNG
    discourages it and drops what it can't send at once.
    """

    _open, _open_raw = "nng_pair1_open", "nng_pair1_open_raw"
    _flags = TRY_SEND | TRY_RECV
    _why_not_raw: ClassVar[dict[int, str]] = {
        lib.NNG_EPROTO: "a raw {} sends messages with a header of 4 bytes, the hops so far: message.header = bytes(4) for a new one"
    }
    send_buffer = _send_buffer()
    recv_buffer = _recv_buffer(default="0 (with poly: 1)")
    _poly = False

    def __init__(self, *, poly: bool = False, **arguments: "Unpack[Pair1Arguments]") -> None:
        if poly and arguments.get("raw"):
            raise TypeError("poly and raw exclude each other: NNG has no raw mode with many peers")
        self._poly = poly
        if poly:
            self._flags = INLINE_SEND | TRY_RECV
        super().__init__(**arguments)

    def _opener(self, raw: bool) -> str:
        return "nng_pair1_open_poly" if self._poly else super()._opener(raw)

    @property
    def poly(self) -> bool:
        """Whether it admits many peers."""
        return self._poly


class Bus0(_BothMany, _BothFD, Socket):
    """All peers that are directly connected: a message goes to each of them. NNG: `nng_bus0_open`."""

    _open, _open_raw = "nng_bus0_open", "nng_bus0_open_raw"
    _flags = _raw_flags = INLINE_SEND | TRY_RECV
    send_buffer = _send_buffer(
        "How many messages may wait for each peer. With NNG 1.5 that is 16, and this is how many may wait to be shared out.",
        default="16 (NNG 1.5: 0)",
        least=1,
    )
    recv_buffer = _recv_buffer(default="16 (NNG 1.5: 1)", least=1)

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[Bus0Arguments]) -> None: ...


class Pub0(_SendsMany, _SendFD, Socket):
    """Sends to all subscribers. A send never waits: a peer that is too slow loses its oldest messages. NNG:
    `nng_pub0_open`."""

    _open, _open_raw = "nng_pub0_open", "nng_pub0_open_raw"
    _flags = TRY_SEND | KEEP_SEND
    send_buffer = _send_buffer("How many messages may wait for each peer.", default="16", least=1)

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[Pub0Arguments]) -> None: ...


class Sub0(_Subscribes, _RecvFD, Socket):
    """Receives from publishers what it has subscribed to: `subscribe=` takes a topic or several, in a list or what else can be iterated
    over, and the method one.

    NNG: `nng_sub0_open`.
    """

    _open, _open_raw = "nng_sub0_open", "nng_sub0_open_raw"
    _context = SubContext
    _flags = TRY_RECV

    def __init__(self, *, subscribe: "Buffer | str | Iterable[Buffer | str] | None" = None, **arguments: "Unpack[Sub0Arguments]") -> None:
        self._first_topics = [] if subscribe is None else _topics(subscribe)
        super().__init__(**arguments)

    def _prepare(self) -> None:
        for topic in self._first_topics:
            self.subscribe(topic)

    def context(self, **options: "Unpack[SubContextOptions]") -> SubContext:
        """A context, with subscriptions of its own; `options` are its own. NNG: `nng_ctx_open`."""
        return SubContext(self, {**options})


def _topics(given: "Buffer | str | Iterable[Buffer | str]") -> "list[Buffer | str]":
    """The topics in what may be one or several."""
    if not isinstance(given, str):
        try:
            memoryview(given)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        except TypeError:
            if isinstance(given, Iterable):
                return list(given)
    return [given]  # type: ignore[list-item]  # pyright: ignore[reportReturnType]


class Push0(_SendsMany, _SendFD, Socket):
    """Sends each message to one of its peers, in turn among those that can take it. NNG: `nng_push0_open`."""

    _open, _open_raw = "nng_push0_open", "nng_push0_open_raw"
    _flags = TRY_SEND
    send_buffer = _send_buffer()

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[Push0Arguments]) -> None: ...


class Pull0(_ReceivesMany, _RecvFD, Socket):
    """Receives from all its peers, in turn. NNG: `nng_pull0_open`."""

    _open, _open_raw = "nng_pull0_open", "nng_pull0_open_raw"
    _flags = TRY_RECV

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[Pull0Arguments]) -> None: ...


class Req0(_Requests, _RawBuffer, _BothFD, Socket):
    """Sends a request, then receives its reply. NNG: `nng_req0_open`."""

    _open, _open_raw = "nng_req0_open", "nng_req0_open_raw"
    _context = ReqContext
    _flags = TRY_SEND | TRY_RECV | SEND_RESTARTS
    _raw_flags = INLINE_SEND | TRY_RECV | NUMBERED
    send_buffer = _send_buffer(raw=True)
    resend_tick = SecondsOption(
        "req:resend-tick",
        "How often it looks for requests to be sent again.",
        nng="NNG_OPT_REQ_RESENDTICK",
        default="1",
        least=0.001,
        raw=False,
    )

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[Req0Arguments]) -> None: ...

    def context(self, **options: "Unpack[ReqContextOptions]") -> ReqContext:
        """A context, for a request beside others; `options` are its own. NNG: `nng_ctx_open`."""
        return ReqContext(self, {**options})


class Rep0(_Replies, _Hops, _RawBuffer, _BothFD, Socket):
    """Receives a request, then sends its reply. NNG: `nng_rep0_open`."""

    _open, _open_raw = "nng_rep0_open", "nng_rep0_open_raw"
    _context = RepContext
    _flags = TRY_RECV | INLINE_SEND | SEND_NEEDS_ONE
    _raw_flags = INLINE_SEND | TRY_RECV | NUMBERED | ADDRESSED

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[Rep0Arguments]) -> None: ...

    def context(self, **options: "Unpack[RepContextOptions]") -> RepContext:
        """A context, for a request beside others; `options` are its own. NNG: `nng_ctx_open`."""
        return RepContext(self, {**options})


class Surveyor0(_Surveys, _RawBuffer, _BothFD, Socket):
    """Asks all its peers, and receives their answers for a time. NNG: `nng_surveyor0_open`."""

    _open, _open_raw = "nng_surveyor0_open", "nng_surveyor0_open_raw"
    _context = SurveyorContext
    _flags = TRY_SEND | SEND_RESTARTS | SURVEYS
    _raw_flags = INLINE_SEND | TRY_RECV | NUMBERED

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[Surveyor0Arguments]) -> None: ...

    def context(self, **options: "Unpack[SurveyorContextOptions]") -> SurveyorContext:
        """A context, for a survey beside others; `options` are its own. NNG: `nng_ctx_open`."""
        return SurveyorContext(self, {**options})


class Respondent0(_Answers, _Hops, _RawBuffer, _BothFD, Socket):
    """Receives a survey, then sends its answer. NNG: `nng_respondent0_open`."""

    _open, _open_raw = "nng_respondent0_open", "nng_respondent0_open_raw"
    _context = RespondentContext
    _flags = TRY_RECV | INLINE_SEND | SEND_NEEDS_ONE
    _raw_flags = INLINE_SEND | TRY_RECV | NUMBERED | ADDRESSED

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[Respondent0Arguments]) -> None: ...

    def context(self, **options: "Unpack[RespondentContextOptions]") -> RespondentContext:
        """A context, for a survey beside others; `options` are its own. NNG: `nng_ctx_open`."""
        return RespondentContext(self, {**options})
