"""What the classes of the protocols and their contexts take as keyword arguments, for type checkers: each its own options."""

from typing import TYPE_CHECKING, TypeAlias, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nngio._admission import Admission
    from nngio._tls import TLSConfig
    from nngio._url import URL

__all__ = [
    "Bus0Arguments", "Pair0Arguments", "Pair1Arguments", "Pub0Arguments", "Pull0Arguments", "Push0Arguments", "Rep0Arguments",
    "RepContextOptions", "Req0Arguments", "ReqContextOptions", "Respondent0Arguments", "RespondentContextOptions", "Sub0Arguments",
    "SubContextOptions", "Surveyor0Arguments", "SurveyorContextOptions",
]  # fmt: skip

URLs: TypeAlias = "str | URL | Iterable[str | URL] | None"


class _Arguments(TypedDict, total=False):
    listen: URLs
    dial: URLs
    raw: bool
    block: bool
    dial_timeout: float | None
    prefetch: int
    admission: "Admission | None"
    tls: "TLSConfig | None"
    name: str
    reconnect_time_max: float
    reconnect_time_min: float
    recv_max_size: int


class _Sends(TypedDict, total=False):
    send_timeout: float | None


class _Receives(TypedDict, total=False):
    recv_timeout: float | None


class _SendBuffer(TypedDict, total=False):
    send_buffer: int


class _RecvBuffer(TypedDict, total=False):
    recv_buffer: int


class _Hops(TypedDict, total=False):
    max_ttl: int


class _Requests(TypedDict, total=False):
    resend_time: float | None


class _Surveys(TypedDict, total=False):
    survey_time: float


class _Subscribes(TypedDict, total=False):
    prefer_new: bool


class Bus0Arguments(_Arguments, _Sends, _Receives, _SendBuffer, _RecvBuffer): ...


class Pair0Arguments(_Arguments, _Sends, _Receives, _SendBuffer, _RecvBuffer): ...


class Pair1Arguments(_Arguments, _Sends, _Receives, _SendBuffer, _RecvBuffer, _Hops): ...


class Pub0Arguments(_Arguments, _Sends, _SendBuffer): ...


class Pull0Arguments(_Arguments, _Receives): ...


class Push0Arguments(_Arguments, _Sends, _SendBuffer): ...


class Rep0Arguments(_Arguments, _Sends, _Receives, _RecvBuffer, _Hops): ...


class Req0Arguments(_Arguments, _Sends, _Receives, _SendBuffer, _RecvBuffer, _Requests, total=False):
    resend_tick: float


class Respondent0Arguments(_Arguments, _Sends, _Receives, _RecvBuffer, _Hops): ...


class Sub0Arguments(_Arguments, _Receives, _RecvBuffer, _Subscribes): ...


class Surveyor0Arguments(_Arguments, _Sends, _Receives, _RecvBuffer, _Surveys): ...


class RepContextOptions(_Sends, _Receives): ...


class ReqContextOptions(_Sends, _Receives, _Requests): ...


class RespondentContextOptions(_Sends, _Receives): ...


class SubContextOptions(_Receives, _RecvBuffer, _Subscribes): ...


class SurveyorContextOptions(_Sends, _Receives, _Surveys): ...
