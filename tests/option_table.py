"""The options of sockets, contexts, dialers and listeners, for their tests.

`OPTIONS` has a row for each option of each class. The last column names the test that sees the option at work on a real exchange.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

import nngio
from nngio._core.library import lib
from nngio._core.nng import patched
from nngio._options import HasOptions
from nngio.lowlevel import nng_version

Address = Callable[[str], str]

NNG = tuple(map(int, nng_version().split(".")[:2]))
LONGEST = 2**31 / 1000
NUL = "a\0b"

SOCKETS = (
    "Bus0", "Pair0", "Pair1", "Pub0", "Pull0", "Push0", "Rep0", "Req0", "Respondent0", "Sub0", "Surveyor0",
)  # fmt: skip
CONTEXTS = ("RepContext", "ReqContext", "RespondentContext", "SubContext", "SurveyorContext")
SENDERS = tuple(name for name in SOCKETS if name not in ("Pull0", "Sub0"))
RECEIVERS = tuple(name for name in SOCKETS if name not in ("Push0", "Pub0"))
ENDPOINTS = ("Dialer", "Listener")
READ_ONLY = object()
ANYTHING = object()


@dataclass(frozen=True)
class Row:
    """What is true of an option in each of these classes."""

    classes: tuple[str, ...]
    option: str
    default: Any
    effect: str
    """The test that sees it at work."""
    values: tuple[Any, ...] = ()
    """What it can be set to; nothing for one that can only be read."""
    wrong: tuple[Any, ...] = ()
    """What is refused with a ValueError."""
    mistyped: tuple[Any, ...] = ("1", b"1", [1])
    """What is refused with a TypeError."""
    transport: str = "tcp"
    """One that has it, of a dialer's or listener's option."""
    raw: bool = False
    """Whether only raw sockets have it."""
    needs: str = ""
    """The macro without which this NNG doesn't have it."""
    patch: str = ""
    """The patch without which NNG doesn't have it."""


def duration(*values: Any) -> dict[str, Any]:
    return {
        "values": (*values, None, 0.0, 0.001, 2147483.0),
        "wrong": (-0.001, -1, -2, LONGEST, float("nan")),
        "mistyped": ("1", True, [1]),
    }


def seconds(*values: Any) -> dict[str, Any]:
    more = {"values": (*values, 0.0, 0.001, 2147483.0), "mistyped": ("1", True, None, nngio.DEFAULT)}
    return more | {"wrong": (-0.001, -1, -2, LONGEST, float("nan"), float("inf"))}


def size(*values: int) -> dict[str, Any]:
    return {"values": (*values, 0, 2**32 - 1), "wrong": (-1, 2**32, 2**64), "mistyped": ("1", 1.0, True, None)}


def count(least: int, most: int) -> dict[str, Any]:
    return {"values": (least, most, 5), "wrong": (least - 1, most + 1, -1, 2**31), "mistyped": ("1", 1.0, True, None)}


TRUTH: dict[str, Any] = {"values": (False, True), "mistyped": (1, 0, None, "yes")}
NAMES: dict[str, Any] = {
    "values": ("a", "x" * 63, "größe", "short again"),
    "wrong": ("", " ", "x" * 64, "ö" * 32, "x" * 5000, NUL),
    "mistyped": (b"bytes", 7, None),
}
HEADERS: dict[str, Any] = {
    "values": ({"X-A": "1", "X-B": "zwei, größer"}, {}, {"Host": "somebody.example"}),
    "wrong": ({"X A": "1"}, {"X": "a\r\nY: b"}, {"": "1"}, {"X": NUL}, {"upgrade": "h2c"}, {"Sec-WebSocket-Key": "1"}),
    "mistyped": ("X: 1", None, {"X": 1}, {1: "X"}, [("X", "1")]),
}
ADDRESSES: dict[str, Any] = {
    "values": (nngio.TCPAddress("127.0.0.2"), nngio.TCPAddress("::1"), nngio.TCPAddress("127.0.0.1", 0)),
    "wrong": (nngio.TCPAddress("127.0.0.1", 80), "localhost", "127.0.0.1:80", "", nngio.TCPAddress("256.0.0.1")),
    "mistyped": (None, 7, b"127.0.0.1", nngio.IPCAddress("/tmp/x"), ("127.0.0.1", 0)),
}
BUS_BUFFER = 16 if NNG >= (1, 6) else 0

OPTIONS = [
    Row(SOCKETS, "name", ANYTHING, "test_a_name_takes_the_place_of_the_one_before", **NAMES),
    Row(SOCKETS, "raw", False, "test_a_socket_tells_its_protocol_and_its_mode"),
    Row(SOCKETS, "protocol", ANYTHING, "test_a_socket_tells_its_protocol_and_its_mode"),
    Row(SOCKETS, "protocol_name", ANYTHING, "test_a_socket_tells_its_protocol_and_its_mode"),
    Row(SOCKETS, "peer_protocol", ANYTHING, "test_a_socket_tells_its_protocol_and_its_mode"),
    Row(SOCKETS, "peer_protocol_name", ANYTHING, "test_a_socket_tells_its_protocol_and_its_mode"),
    Row((*SOCKETS, "Listener"), "recv_max_size", 0, "test_a_peer_that_sends_too_much_is_cut_off", **size(100)),
    Row(("Dialer",), "recv_max_size", 0, "test_a_peer_that_sends_too_much_to_a_dialer_is_cut_off", **size(100)),
    Row((*SOCKETS, "Dialer"), "reconnect_time_min", 1.0, "test_a_dialer_tries_as_often_as_it_is_told", **seconds(0.25)),
    Row((*SOCKETS, "Dialer"), "reconnect_time_max", 0.0, "test_a_dialers_waits_grow_where_they_may", **seconds(0.25)),
    Row((*SENDERS, *CONTEXTS[:3], CONTEXTS[4]), "send_timeout", None, "test_a_send_takes_as_long_as_it_may", **duration(1.5)),
    Row((*RECEIVERS, *CONTEXTS), "recv_timeout", None, "test_a_receive_takes_as_long_as_it_may", **duration(1.5)),
    Row(SENDERS, "send_fd", ANYTHING, "test_send_fd_is_ready_when_a_message_can_be_sent"),
    Row(RECEIVERS, "recv_fd", ANYTHING, "test_recv_fd_is_ready_when_a_message_has_come"),
    Row(("Pair0", "Pair1", "Push0"), "send_buffer", 0, "test_so_many_messages_can_be_sent_without_a_peer", **count(0, 8192)),
    Row(("Req0",), "send_buffer", 0, "test_so_many_messages_can_be_sent_without_a_peer", **count(0, 8192), raw=True),
    Row(("Pub0",), "send_buffer", 16, "test_the_newest_messages_wait_for_a_slow_subscriber", **count(1, 8192)),
    Row(("Bus0",), "send_buffer", BUS_BUFFER, "test_so_many_messages_wait_for_a_slow_bus_peer", **count(1, 8192)),
    Row(("Pair0", "Pair1"), "recv_buffer", 0, "test_so_many_more_messages_can_be_sent_to_who_does_not_receive", **count(0, 8192)),
    Row(("Bus0",), "recv_buffer", BUS_BUFFER or 1, "test_so_many_messages_wait_on_a_bus", **count(1, 8192)),
    Row(("Sub0", "SubContext"), "recv_buffer", 128, "test_a_subscriber_keeps_as_many_messages_as_it_may", **count(1, 8192)),
    Row(
        ("Rep0", "Req0", "Respondent0", "Surveyor0"),
        "recv_buffer",
        1,
        "test_so_many_messages_wait_in_a_raw_socket",
        **count(0, 8192),
        raw=True,
    ),
    Row(("Sub0", "SubContext"), "prefer_new", True, "test_a_full_subscriber_keeps_the_new_or_the_old", **TRUTH),
    Row(("Rep0", "Respondent0", "Pair1"), "max_ttl", 8, "test_a_message_with_too_many_hops_is_dropped", **count(1, 15)),
    Row(("Req0", "ReqContext"), "resend_time", 60.0, "test_a_request_without_an_answer_is_sent_again", **duration(1.5)),
    Row(
        ("Req0",),
        "resend_tick",
        1.0,
        "test_requests_are_sent_again_at_every_tick",
        values=(0.001, 2.0, 2147483.0),
        wrong=(0, -1, LONGEST),
        mistyped=("1", True, None),
        needs="NNG_OPT_REQ_RESENDTICK",
    ),
    Row(("Surveyor0", "SurveyorContext"), "survey_time", 1.0, "test_a_survey_lasts_as_long_as_it_may", **seconds(2.5)),
    Row(ENDPOINTS, "tcp_nodelay", True, "test_tcp_options_are_those_of_the_connection", **TRUTH),
    Row(ENDPOINTS, "tcp_keepalive", False, "test_tcp_options_are_those_of_the_connection", **TRUTH),
    Row(("Dialer",), "local_address", None, "test_a_dialer_connects_from_the_address_that_it_is_given", **ADDRESSES),
    Row(("Listener",), "local_address", None, "test_a_listener_tells_where_it_is_bound"),
    Row(ENDPOINTS, "remote_address", ANYTHING, "test_an_inproc_endpoint_tells_its_name", transport="inproc"),
    Row(("Listener",), "port", READ_ONLY, "test_a_listener_tells_where_it_is_bound"),
    Row(
        ("Listener",),
        "ipc_permissions",
        None,
        "test_a_socket_file_has_the_permissions_that_it_is_given",
        values=(0o600, 0, 0o7777),
        wrong=(-1, 0o10000, 2**31),
        mistyped=("600", None, True, 1.0),
        transport="ipc",
    ),
    Row(("Dialer",), "request_headers", {}, "test_a_server_sees_the_headers_of_a_request", **HEADERS, transport="ws"),
    Row(
        ("Listener",),
        "response_headers",
        {},
        "test_a_client_sees_the_headers_of_a_response",
        **HEADERS,
        transport="ws",
        patch="websocket-response-header",
    ),
    Row(ENDPOINTS, "recv_max_frame", 2**20, "test_a_websocket_peer_with_too_large_a_frame_is_cut_off", **size(100), transport="ws"),
    Row(("Listener",), "send_max_frame", 2**16, "test_a_listener_sends_frames_of_the_size_that_it_may", **size(100), transport="ws"),
    Row(
        ("Dialer",),
        "send_max_frame",
        2**20,
        "test_a_dialer_sends_frames_of_the_size_that_it_may",
        **size(100),
        transport="ws",
        patch="websocket-size-limits",
    ),
]


def expand() -> list[Any]:
    return [pytest.param(name, row, id=f"{name}.{row.option}") for row in OPTIONS for name in row.classes]


EACH = expand()
SETTABLE = [param for param in EACH if param.values[1].values]
BY_CLASS: dict[str, dict[str, Row]] = {}
for row_ in OPTIONS:
    for name_ in row_.classes:
        assert row_.option not in BY_CLASS.setdefault(name_, {}), f"{name_}.{row_.option} is in the table twice"
        BY_CLASS[name_][row_.option] = row_


def public_classes() -> dict[str, type[HasOptions]]:
    """The public classes that have options, but for pipes and byte streams, which `stream_option_table` has, and classes to be derived
    from."""
    classes = {name: getattr(nngio, name) for name in nngio.__all__}
    return {
        name: cls
        for name, cls in classes.items()
        if isinstance(cls, type)
        and issubclass(cls, HasOptions)
        and name not in ("Pipe", "Socket", "Context", "Stream", "StreamDialer", "StreamListener")
    }


@contextmanager
def having(name: str, row: Row, address: Address) -> Iterator[Any]:
    """An object of a class, that has the option."""
    with ExitStack() as stack:
        if name in ENDPOINTS:
            pair = stack.enter_context(nngio.Pair0())
            url = address(row.transport)
            yield stack.enter_context(getattr(nngio, name)(pair, url.replace(":0", ":9") if name == "Dialer" else url))
        elif name in CONTEXTS:
            sock = stack.enter_context(getattr(nngio, name.replace("Context", "0"))())
            yield stack.enter_context(sock.context())
        else:
            yield stack.enter_context(getattr(nngio, name)(raw=row.raw))


def missing(row: Row) -> bool:
    """Whether this NNG lacks the option."""
    return bool((row.needs and not hasattr(lib, row.needs)) or (row.patch and not patched(row.patch)))


@contextmanager
def unless_missing(row: Row) -> Iterator[None]:
    """Expects `NotSupported` where this NNG lacks the option, with the reason."""
    if not missing(row):
        yield
        return
    with pytest.raises(nngio.NotSupported, match=rf"{row.option}.*(needs NNG|nngio builds)|does not heed {row.option}"):
        yield
