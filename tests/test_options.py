"""Options of sockets, contexts, dialers and listeners: default, set, read back, seen at work on a real exchange, refused.

`OPTIONS` has a row for each option of each class. What all options have in common is tested with it; the last column names the
test that sees the option at work.
"""

import base64
import contextlib
import hashlib
import importlib.util
import os
import select
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import nngio
from nngio import _arguments
from nngio._core.library import lib
from nngio._core.nng import patched
from nngio._options import HasOptions, options_of
from nngio.lowlevel import ffi, nng_version

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
    """The public classes that have options, but for pipes, which `test_endpoints` is for, byte streams, which have tests of their own,
    and classes to be derived from."""
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


# The table.


def test_every_option_of_every_public_class_is_in_the_table() -> None:
    """Nothing is forgotten: each descriptor of each class has a row, each row a descriptor, and each effect a test."""
    described = {name: set(options_of(cls)) for name, cls in public_classes().items()}
    assert described == {name: set(rows) for name, rows in BY_CLASS.items()}
    for row in OPTIONS:
        assert callable(globals().get(row.effect)), f"{row.option}: no {row.effect}"


def test_nng_calls_the_options_so() -> None:
    """The macro and the name that an option has are NNG's."""
    for name, cls in public_classes().items():
        for attribute, option in options_of(cls).items():
            assert option.nng, f"{name}.{attribute}"
            text = getattr(lib, option.nng, None)
            if text is None:
                assert BY_CLASS[name][attribute].needs == option.nng
            else:
                assert ffi.string(text) == option.option


def test_options_are_what_dir_shows_and_documents() -> None:
    """Each option has a docstring that says what it can be and what it is; what a protocol doesn't have is not there."""
    for name, cls in public_classes().items():
        for attribute, option in options_of(cls).items():
            doc = option.__doc__
            assert doc
            assert doc.endswith(f"NNG: `{option.nng}`."), doc
            if not option.readonly:
                assert f"{option.allowed}; {option.default} unless set." in doc, f"{name}.{attribute}: {doc}"
    assert not hasattr(nngio.Pull0, "recv_buffer")  # which NNG takes, and does nothing with
    assert not hasattr(nngio.Req0, "max_ttl")
    assert not hasattr(nngio.Pub0, "recv_fd")
    assert not hasattr(nngio.Listener, "reconnect_time_min")


def test_the_page_about_options_has_them_all() -> None:
    """Its tables are what `python tools/options.py` writes."""
    spec = importlib.util.spec_from_file_location("options_tool", Path(__file__).parent.parent / "tools" / "options.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(), "run python tools/options.py"


CONSTRUCTOR = {"admission", "listen", "dial", "raw", "block", "prefetch", "tls"}


def test_type_checkers_see_the_keyword_arguments_that_there_are() -> None:
    """Those of a class are its options that can be set, and what makes a socket."""
    for name, cls in public_classes().items():
        module, suffix, more = _arguments, "Arguments", CONSTRUCTOR
        if name in ENDPOINTS:
            module, suffix, more = sys.modules[cls.__module__], "Options", set()
        elif name in CONTEXTS:
            suffix, more = "Options", set()
        settable = {attribute for attribute, option in options_of(cls).items() if not option.readonly}
        assert set(getattr(module, f"{name}{suffix}").__annotations__) == settable | more, name


@pytest.mark.parametrize(("name", "row"), EACH)
def test_an_option_has_its_default(name: str, row: Row, address: Address) -> None:
    """Nobody has set it."""
    with having(name, row, address) as thing, unless_missing(row):
        if row.default is READ_ONLY:
            with pytest.raises(nngio.BadState, match=f"{row.option} is known once"):
                getattr(thing, row.option)
            return
        value = getattr(thing, row.option)
        if row.default is not ANYTHING:
            assert value == row.default
            assert type(value) is type(row.default) or row.option.endswith("headers")


@pytest.mark.parametrize(("name", "row"), SETTABLE)
def test_an_option_that_is_set_is_read_back(name: str, row: Row, address: Address) -> None:
    """Each value comes back as it was set, the least and the most among them."""
    with having(name, row, address) as thing, unless_missing(row):
        for value in row.values:
            setattr(thing, row.option, value)
            assert getattr(thing, row.option) == value
        with pytest.raises(AttributeError, match=f"{row.option} can't be deleted"):
            delattr(thing, row.option)


@pytest.mark.parametrize(("name", "row"), SETTABLE)
def test_an_option_is_a_keyword_argument(name: str, row: Row, address: Address) -> None:
    """Of the class, and of the `dial`, `listen` and `context` that make its object."""
    options = {row.option: row.values[0]}
    with unless_missing(row):
        if name in CONTEXTS:
            with getattr(nngio, name.replace("Context", "0"))() as sock, sock.context(**options) as context:
                assert getattr(context, row.option) == row.values[0]
            return
        if name not in ENDPOINTS:
            with getattr(nngio, name)(raw=row.raw, **options) as sock:
                assert getattr(sock, row.option) == row.values[0]
            return
        with nngio.Pair0() as pair:
            url = address(row.transport)
            if name == "Listener":
                made = [nngio.Listener(pair, url, **options), pair.listen(address(row.transport), **options)]
            else:
                url = url.replace(":0", ":9")
                made = [nngio.Dialer(pair, url, **options), pair.dial(url, block=False, **options)]
            for endpoint in made:
                assert getattr(endpoint, row.option) == row.values[0]
            assert [endpoint.started for endpoint in made] == [False, True]


@pytest.mark.parametrize(("name", "row"), SETTABLE)
def test_an_option_refuses_what_it_can_not_be(name: str, row: Row, address: Address) -> None:
    """A wrong value is a ValueError, a wrong type a TypeError, both name the option; it stays what it was."""
    if missing(row):
        pytest.skip("this NNG doesn't have it")
    with having(name, row, address) as thing:
        before = getattr(thing, row.option)
        before = dict(before) if row.option.endswith("headers") else before
        said = "header" if row.option.endswith("headers") else f"{row.option}|IP address" if row.option == "local_address" else row.option
        for values, error in ((row.wrong, ValueError), (row.mistyped, TypeError)):
            for value in values:
                with pytest.raises(error, match=said):
                    setattr(thing, row.option, value)
                assert getattr(thing, row.option) == before


@pytest.mark.parametrize(("name", "row"), [param for param in EACH if not param.values[1].values])
def test_an_option_that_can_only_be_read_is_not_set(name: str, row: Row, address: Address) -> None:
    """It says so, and so does the constructor."""
    with having(name, row, address) as thing, pytest.raises(AttributeError, match=f"{row.option} can be read, not set"):
        setattr(thing, row.option, 1)
    if name in SOCKETS and row.option != "raw":
        with pytest.raises(AttributeError, match=f"{row.option} can be read, not set"):
            getattr(nngio, name)(**{row.option: 1})


TRANSPORTS = {"inproc", "ipc", "tcp", "ws", "tls+tcp", "wss"}


@pytest.mark.parametrize("transport", sorted(TRANSPORTS))
@pytest.mark.parametrize("name", ENDPOINTS)
def test_an_option_of_another_transport_is_refused(name: str, transport: str, address: Address) -> None:
    """The error names the option, the URL and its transport, and those that have the option."""
    with nngio.Pair0() as pair:
        url = address(transport).replace(":0", ":9") if name == "Dialer" else address(transport)
        endpoint = getattr(nngio, name)(pair, url)
        for attribute, option in options_of(type(endpoint)).items():
            row = BY_CLASS[name][attribute]
            wanted = not option.transports or transport in option.transports
            attempts: list[Callable[[], Any]] = [lambda a=attribute: getattr(endpoint, a)]  # type: ignore[misc]
            if row.values:
                attempts.append(lambda a=attribute, v=row.values[0]: setattr(endpoint, a, v))  # type: ignore[misc]
            for attempt in attempts:
                if wanted and attempt is attempts[0]:
                    if not option.patch or patched(option.patch):
                        with contextlib.suppress(nngio.BadState):
                            attempt()
                elif not wanted:
                    with pytest.raises(nngio.NotSupported) as caught:
                        attempt()
                    for said in (attribute, url, f"is {transport}", option.transports[0]):
                        assert said in str(caught.value)


def test_other_names_of_a_transport_are_known(tmp_path: Path) -> None:
    """`unix` is ipc, and `tcp4`, `TCP`, `ws4` are what they are."""
    with nngio.Pair0() as pair:
        assert nngio.Listener(pair, f"unix://{tmp_path}/a", ipc_permissions=0o600).ipc_permissions == 0o600
        for url in ("tcp4://127.0.0.1:0", "TCP://127.0.0.1:0", "ws4://127.0.0.1:0/x", "tcp6://[::1]:0"):
            assert nngio.Listener(pair, url, tcp_keepalive=True).tcp_keepalive
        with pytest.raises(nngio.NotSupported, match="ipc_permissions is of ipc only, and abstract://x is abstract"):
            nngio.Listener(pair, "abstract://x", ipc_permissions=0o600)


def test_an_unknown_option_is_refused_with_a_hint(address: Address) -> None:
    """The closest name, the object that has it, or else all that there are."""
    with nngio.Pair0() as pair, nngio.Sub0() as sub:
        for attempt, said in (
            (lambda: nngio.Pair0(send_bufer=1), "Pair0 has no option 'send_bufer'; did you mean 'send_buffer'?"),
            (lambda: nngio.Pair0(recv_max_sise=1), "did you mean 'recv_max_size'"),
            (lambda: nngio.Pub0(tcp_nodelay=True), r"Pub0 has no option 'tcp_nodelay': it is for dial\(..., tcp_nodelay=...\) or listen\("),
            (lambda: pair.dial("tcp://127.0.0.1:9", tcp_nodely=True), "Dialer has no option 'tcp_nodely'; did you mean 'tcp_nodelay'?"),
            (lambda: pair.listen(address("tcp"), reconnect_time_min=1), r"it is for dial\(..., reconnect_time_min=...\)"),
            (lambda: nngio.Listener(pair, address("tcp"), send_buffer=1), r"it is for Pair0\(..., send_buffer=...\)"),
            (lambda: nngio.Dialer(pair, "tcp://127.0.0.1:9", zzz=1), "it has local_address, reconnect_time_max, .* and tcp_nodelay"),
            (lambda: nngio.Pull0(recv_buffer=1), "Pull0 has no option 'recv_buffer'"),
            (lambda: sub.context(recv_bufer=1), "SubContext has no option 'recv_bufer'; did you mean 'recv_buffer'?"),
            (lambda: sub.context(recv_max_size=1), r"it is for Sub0\(..., recv_max_size=...\)"),
        ):
            with pytest.raises(TypeError, match=said):
                attempt()  # type: ignore[no-untyped-call]
        assert pair.dialers == pair.listeners == ()


def test_an_endpoint_with_a_bad_option_is_closed(address: Address) -> None:
    """Nothing of it remains: its address is free."""
    url = address("inproc")
    with nngio.Pair0() as pair, nngio.Pair0() as other:
        with pytest.raises(TypeError):
            nngio.Listener(pair, url, ipc_permission=1)
        with pytest.raises(nngio.NotSupported):
            pair.listen(url, recv_max_size=100)
        other.listen(url)
        opened = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(50):
            with pytest.raises(ValueError, match="recv_max_size"):
                pair.listen(address("ipc"), recv_max_size=-1)
        assert len(list(Path("/proc/self/fd").iterdir())) <= opened + 5


def test_an_option_of_a_closed_object_says_so(address: Address) -> None:
    """Reading and setting raise `Closed`, or `NoEntry` for an endpoint."""
    with nngio.Pair0() as pair, nngio.Sub0() as sub:
        context = sub.context()
        listener = pair.listen(address("tcp"))
        dialer = nngio.Dialer(pair, listener.url)
        assert not listener.closed
        assert not dialer.closed
        for closed in (context, listener, dialer):
            closed.close()
    assert listener.closed
    assert dialer.closed
    for thing, option, value in (
        (pair, "send_buffer", 1),
        (context, "recv_buffer", 1),
        (listener, "recv_max_size", 1),
        (dialer, "tcp_nodelay", True),
        (dialer, "reconnect_time_min", 1),
    ):
        with pytest.raises((nngio.Closed, nngio.NoEntry)):
            getattr(thing, option)
        with pytest.raises((nngio.Closed, nngio.NoEntry)):
            setattr(thing, option, value)


def test_raw_sockets_have_the_options_of_their_mode() -> None:
    """What NNG would take and forget is refused: a raw REQ resends nothing, and only a raw one has a buffer."""
    for cls, raw, option, value in (
        (nngio.Req0, True, "resend_time", 1),
        (nngio.Req0, True, "resend_tick", 1),
        (nngio.Surveyor0, True, "survey_time", 1),
        (nngio.Sub0, True, "prefer_new", False),
        (nngio.Req0, False, "send_buffer", 1),
        (nngio.Req0, False, "recv_buffer", 1),
        (nngio.Rep0, False, "recv_buffer", 1),
        (nngio.Respondent0, False, "recv_buffer", 1),
        (nngio.Surveyor0, False, "recv_buffer", 1),
    ):
        with cls(raw=raw) as sock:
            for attempt in (lambda s=sock, o=option: getattr(s, o), lambda s=sock, o=option, v=value: setattr(s, o, v)):  # type: ignore[misc]
                with pytest.raises(nngio.NotSupported, match=f"raw.*{option}|{option}.*raw"):
                    attempt()
    with nngio.Sub0(raw=True) as sub, pytest.raises(nngio.NotSupported, match="a raw SUB has no topics"):
        sub.subscribe(b"x")


# Names and numbers.


def test_a_name_takes_the_place_of_the_one_before() -> None:
    """A shorter name is that name alone, for NNG too; one without our patch has blanks behind it."""
    with nngio.Pair0() as pair:
        assert pair.name == str(pair.id)
        for name in ("a long name", "short", "x" * 63, "ä"):
            before = len(pair.name.encode())
            pair.name = name
            assert pair.name == name
            text = ffi.new("char **")
            assert lib.nng_socket_get_string(pair._c, b"socket-name", text) == 0
            told = ffi.string(text[0]).decode()
            lib.nng_strfree(text[0])
            assert told.rstrip(" ") == name
            if patched("socket-name"):
                assert told == name
                for long in (64, 5000):  # which NNG's own would write beyond its field
                    assert lib.nng_socket_set_string(pair._c, b"socket-name", b"x" * long) == lib.NNG_EINVAL
            else:
                assert len(told.encode()) >= before


@pytest.mark.parametrize("name", SOCKETS)
def test_a_socket_tells_its_protocol_and_its_mode(name: str) -> None:
    """The numbers and names are those of the protocol; two that belong together are each other's peers."""
    peers = {"Pub0": "Sub0", "Push0": "Pull0", "Req0": "Rep0", "Surveyor0": "Respondent0"}
    peers |= {peer: name for name, peer in peers.items()} | {"Pair0": "Pair0", "Pair1": "Pair1", "Bus0": "Bus0"}
    for raw in (False, True):
        with getattr(nngio, name)(raw=raw) as one, getattr(nngio, peers[name])() as other:
            assert one.raw is raw
            assert one.protocol_name == {"Pair0": "pair", "Pair1": "pair1"}.get(name, name.lower()[:-1])
            assert (one.peer_protocol, one.peer_protocol_name) == (other.protocol, other.protocol_name)
            assert (other.peer_protocol, other.peer_protocol_name) == (one.protocol, one.protocol_name)


# Times.


@contextmanager
def times_out(least: float) -> Iterator[None]:
    before = time.monotonic()
    with pytest.raises(nngio.TimedOut):
        yield
    assert time.monotonic() - before >= least - 0.002


@pytest.mark.parametrize("name", ["Pair0", "Pair1", "Push0", "Req0", "ReqContext"])
def test_a_send_takes_as_long_as_it_may(name: str) -> None:
    """There is no peer, so it times out; its own timeout goes before the option. A context has what the socket had when it came."""
    with ExitStack() as stack:
        sock = stack.enter_context(getattr(nngio, name.replace("Context", "0"))(send_timeout=0.05))
        channel = stack.enter_context(sock.context()) if name.endswith("Context") else sock
        assert channel.send_timeout == 0.05
        with times_out(0.05):
            channel.send(b"")
        channel.send_timeout = 10
        with times_out(0.02):
            channel.send(b"", timeout=0.02)
        channel.send_timeout = 0
        with times_out(0):
            channel.send(b"")


@pytest.mark.parametrize("name", ["Bus0", "Pair0", "Pair1", "Pull0", "Rep0", "RepContext", "Respondent0", "Sub0", "SubContext"])
def test_a_receive_takes_as_long_as_it_may(name: str) -> None:
    """There is nobody to send, so it times out; its own timeout goes before the option."""
    with ExitStack() as stack:
        sock = stack.enter_context(getattr(nngio, name.replace("Context", "0"))(recv_timeout=0.05))
        channel = stack.enter_context(sock.context()) if name.endswith("Context") else sock
        assert channel.recv_timeout == 0.05
        with times_out(0.05):
            channel.recv()
        channel.recv_timeout = 10
        with times_out(0.02):
            channel.recv(timeout=0.02)
        channel.recv_timeout = 0
        with times_out(0):
            channel.recv()


@pytest.mark.parametrize("kind", ["socket", "context"])
def test_a_survey_lasts_as_long_as_it_may(kind: str, address: Address) -> None:
    """Nobody answers, so a receive ends with the survey."""
    with ExitStack() as stack:
        surveyor = stack.enter_context(nngio.Surveyor0(listen=address("inproc")))
        channel = surveyor if kind == "socket" else stack.enter_context(surveyor.context())
        channel.survey_time = 0.1
        before = time.monotonic()
        assert list(channel.survey(b"anybody?")) == []
        assert time.monotonic() - before >= 0.098
        channel.survey_time = 60
        respondent = stack.enter_context(nngio.Respondent0(dial=surveyor.listeners[0].url))
        channel.send(b"still?")
        respondent.recv(timeout=10)
        with times_out(0.3):  # longer than the survey before
            channel.recv(timeout=0.3)


@pytest.mark.parametrize("kind", ["socket", "context"])
def test_a_request_without_an_answer_is_sent_again(kind: str, address: Address) -> None:
    """The peer gets a second copy, after the time and not before; without a time, never."""
    with ExitStack() as stack:
        rep = stack.enter_context(nngio.Rep0(raw=True, listen=address("inproc")))
        req = stack.enter_context(nngio.Req0(dial=rep.listeners[0].url))
        if hasattr(lib, "NNG_OPT_REQ_RESENDTICK"):
            req.resend_tick = 0.05
        channel = req if kind == "socket" else stack.enter_context(req.context())
        channel.resend_time = 0.2
        channel.send(b"hello?")
        first = rep.recv_msg(timeout=10)
        before = time.monotonic()
        second = rep.recv_msg(timeout=10)
        assert time.monotonic() - before > 0.05
        assert (bytes(first), bytes(first.header)) == (bytes(second), bytes(second.header))
        channel.resend_time = None
        assert channel.resend_time is None
        channel.send(b"once")
        while bytes(rep.recv_msg(timeout=10)) != b"once":
            pass
        with pytest.raises(nngio.TimedOut):
            rep.recv(timeout=0.5)


def test_requests_are_sent_again_at_every_tick(address: Address) -> None:
    """A request's time is up, and it is sent again at the next tick: with a long one, later. From NNG 1.7 on."""
    with nngio.Rep0(raw=True, listen=address("inproc")) as rep, nngio.Req0(dial=rep.listeners[0].url, resend_time=0.05) as req:
        if not hasattr(lib, "NNG_OPT_REQ_RESENDTICK"):
            with pytest.raises(nngio.NotSupported, match=r"resend_tick: NNG_OPT_REQ_RESENDTICK needs NNG 1\.7"):
                req.resend_tick = 1
            return
        req.resend_tick = 0.5
        req.send(b"hello?")
        rep.recv(timeout=10)
        before = time.monotonic()
        rep.recv(timeout=10)
        assert time.monotonic() - before > 0.2


@contextmanager
def hanging_up() -> Iterator[tuple[str, Callable[[float], bool]]]:
    """The URL of a server that hangs up on whoever comes, and a function that waits for one, and tells if one came in time."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:

        def come(seconds: float) -> bool:
            server.settimeout(seconds)
            try:
                server.accept()[0].close()
            except TimeoutError:
                return False
            return True

        yield f"tcp://127.0.0.1:{server.getsockname()[1]}", come


@pytest.mark.parametrize("where", ["socket", "dialer"])
def test_a_dialer_tries_as_often_as_it_is_told(where: str) -> None:
    """A hundred times in ten seconds, where the default would take four times as long; set on its socket, or on itself."""
    with hanging_up() as (url, come), nngio.Pair0() as pair:
        if where == "socket":
            pair.reconnect_time_min = 0.001
            dialer = pair.dial(url, block=False)
        else:
            dialer = pair.dial(url, block=False, reconnect_time_min=0.001)
        assert dialer.reconnect_time_min == 0.001
        before = time.monotonic()
        for _ in range(100):
            assert come(10)
        assert time.monotonic() - before < 10


@pytest.mark.parametrize("where", ["socket", "dialer", "nowhere"])
def test_a_dialers_waits_grow_where_they_may(where: str) -> None:
    """With a great maximum, of the socket's or of its own, the attempts soon become rare; without one, they go on as they began."""
    most = 1_000_000
    with hanging_up() as (url, come), nngio.Pair0(reconnect_time_min=0.001) as pair:
        if where == "socket":
            pair.reconnect_time_max = most
        dialer = pair.dial(url, block=False, **{"reconnect_time_max": most} if where == "dialer" else {})
        assert dialer.reconnect_time_max == (0 if where == "nowhere" else most)
        came = 0
        while came < 200 and come(10 if where == "nowhere" else 0.7):
            came += 1
        assert (came == 200) is (where == "nowhere")


def test_times_of_a_socket_reach_the_dialers_that_it_has() -> None:
    """What is set on the socket later is set on its dialers."""
    with nngio.Pair0() as pair:
        dialer = nngio.Dialer(pair, "tcp://127.0.0.1:9", reconnect_time_min=5)
        assert (dialer.reconnect_time_min, pair.reconnect_time_min) == (5, 1)
        pair.reconnect_time_min, pair.reconnect_time_max, pair.recv_max_size = 3, 4, 5
        assert (dialer.reconnect_time_min, dialer.reconnect_time_max, dialer.recv_max_size) == (3, 4, 5)


# Descriptors.


def readable(fd: int, seconds: float = 10) -> bool:
    return bool(select.select([fd], [], [], seconds)[0])


@pytest.mark.parametrize("name", RECEIVERS)
def test_recv_fd_is_ready_when_a_message_has_come(name: str, address: Address) -> None:
    """And not before, nor after it was received."""
    peers: dict[str, Any] = {"Pull0": nngio.Push0, "Sub0": nngio.Pub0, "Rep0": nngio.Req0, "Respondent0": nngio.Surveyor0}
    with getattr(nngio, name)(listen=address("inproc")) as sock:
        peer = peers.get(name, getattr(nngio, {"Req0": "Rep0", "Surveyor0": "Respondent0"}.get(name, name)))
        with peer(dial=sock.listeners[0].url) as other:
            fd = sock.recv_fd
            assert not readable(fd, 0)
            if name == "Sub0":
                sock.subscribe(b"")
            if name in ("Req0", "Surveyor0"):
                sock.send(b"question")
                other.recv(timeout=10)
            other.send(b"here", timeout=10)
            assert readable(fd)
            assert sock.recv(timeout=10) == b"here"
            assert not readable(fd, 0)
            assert sock.recv_fd == fd


@pytest.mark.parametrize("name", SENDERS)
def test_send_fd_is_ready_when_a_message_can_be_sent(name: str, address: Address) -> None:
    """A peer has come, or none is needed; a REP and a RESPONDENT have been asked before."""
    needs = {"Pair0": nngio.Pair0, "Pair1": nngio.Pair1, "Push0": nngio.Pull0, "Req0": nngio.Rep0}
    asks = {"Rep0": nngio.Req0, "Respondent0": nngio.Surveyor0}
    with getattr(nngio, name)(listen=address("inproc")) as sock, ExitStack() as stack:
        fd = sock.send_fd
        if name in needs:
            assert not readable(fd, 0)
            stack.enter_context(needs[name](dial=sock.listeners[0].url))
        if name in asks:
            asker = stack.enter_context(asks[name](dial=sock.listeners[0].url))
            assert not readable(fd, 0)
            asker.send(b"question", timeout=10)
            sock.recv(timeout=10)
        if name != "Bus0" or NNG >= (1, 6):
            assert readable(fd)
        sock.send(b"now", timeout=10)


@pytest.mark.parametrize("name", ["Pair0", "Pull0", "Sub0"])
def test_a_socket_with_prefetch_has_no_descriptor_to_receive_by(name: str) -> None:
    """It would never be ready, since the messages are taken from NNG as they come."""
    with getattr(nngio, name)(prefetch=4) as sock, pytest.raises(nngio.NotSupported, match="recv_fd tells nothing"):
        _ = sock.recv_fd


def test_a_descriptor_has_what_a_thread_waits_for(address: Address) -> None:
    """`try_recv` until `TryAgain`, then wait: two hundred messages come through."""
    with nngio.Pull0(listen=address("tcp")) as pull, nngio.Push0(dial=pull.listeners[0].url) as push:
        got = []
        sent = 0
        while len(got) < 200:
            try:
                got.append(int(pull.try_recv()))
            except nngio.TryAgain:
                if sent < 200:
                    push.send(b"%d" % sent, timeout=10)
                    sent += 1
                assert readable(pull.recv_fd)
        assert got == list(range(200))


# Buffers.


def sends(sock: Any, most: int = 10_000) -> int:
    """How many messages can be sent before a send has to wait for long."""
    for number in range(most):
        try:
            sock.send(struct.pack("!I", number | 0x80000000), timeout=0.2)
        except nngio.TimedOut:
            return number
    return most


def receives(sock: Any, seconds: float = 0.3) -> list[int]:
    """The numbers of the messages that are there, until none comes for so long."""
    numbers = []
    with contextlib.suppress(nngio.TimedOut):
        while True:
            numbers.append(struct.unpack("!I", sock.recv(timeout=seconds))[0] & 0x7FFFFFFF)
    return numbers


@pytest.mark.parametrize("name", ["Pair0", "Pair1", "Push0", "Req0"])
def test_so_many_messages_can_be_sent_without_a_peer(name: str) -> None:
    """As many as the buffer holds, then a send waits. It can be changed at any time."""
    with getattr(nngio, name)(raw=name == "Req0", send_buffer=7) as sock:
        assert sends(sock) == 7
        sock.send_buffer = 10
        assert sends(sock) == 3


@pytest.mark.parametrize("name", ["Pair0", "Pair1"])
def test_so_many_more_messages_can_be_sent_to_who_does_not_receive(name: str, address: Address) -> None:
    """Those that are underway anyway, and those that the buffer holds; all of them arrive in order."""
    sent = []
    for buffer in (0, 20):
        with (
            getattr(nngio, name)(listen=address("inproc"), recv_buffer=buffer) as sock,
            getattr(nngio, name)(dial=sock.listeners[0].url) as peer,
        ):
            sent.append(sends(peer))
            assert receives(sock) == list(range(sent[-1]))
    assert sent[1] - sent[0] == 20


def exactly(sock: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer if the peer hangs up."""
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data


def greet(sock: socket.socket, protocol: int) -> None:
    """Shake hands as a peer over TCP with this protocol."""
    sock.settimeout(10)
    sock.sendall(b"\0SP\0" + struct.pack("!HH", protocol, 0))
    assert exactly(sock, 8)[:4] == b"\0SP\0"


def frame(data: bytes) -> bytes:
    """A message as it is on TCP."""
    return struct.pack("!Q", len(data)) + data


def hangs_up(sock: socket.socket) -> bool:
    """Whether the peer closes the connection, whatever it may send before."""
    sock.settimeout(10)
    try:
        while sock.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


def slow_peer(sender: Any, protocol: int) -> list[int]:
    """The numbers of 100 large messages that a peer gets who reads nothing until all have been sent."""
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", sender.listeners[0].port))
        greet(peer, protocol)
        while True:  # until it belongs to the socket
            sender.send(struct.pack("!I", 1000))
            if readable(peer.fileno(), 0.01):
                break
        for number in range(100):
            sender.send(struct.pack("!I", number) + bytes(300_000), timeout=10)
        numbers = []
        peer.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while True:
                (size,) = struct.unpack("!Q", exactly(peer, 8))
                (number,) = struct.unpack("!I", exactly(peer, size)[:4])
                numbers.append(number)
        return [number for number in numbers if number != 1000]


def test_the_newest_messages_wait_for_a_slow_subscriber(address: Address) -> None:
    """A PUB drops the oldest, and keeps as many as the buffer holds."""
    buffer = 30
    with nngio.Pub0(listen=address("tcp"), send_buffer=buffer) as pub:
        numbers = slow_peer(pub, 0x21)
    assert numbers == sorted(numbers)
    assert numbers[-buffer:] == list(range(100 - buffer, 100))
    assert 100 - buffer - 1 not in numbers


def test_so_many_messages_wait_for_a_slow_bus_peer(address: Address) -> None:
    """A BUS drops the newest: the more room, the more arrive. With NNG 1.5 it is always 16."""
    arrived = []
    for buffer in (1, 50):
        with nngio.Bus0(listen=address("tcp"), send_buffer=buffer) as bus:
            numbers = slow_peer(bus, 0x70)
        assert numbers == sorted(numbers)
        arrived.append(len(numbers))
    # What the system holds isn't always the same.
    assert abs(arrived[1] - arrived[0] - (49 if NNG >= (1, 6) else 0)) < 12


def test_so_many_messages_wait_on_a_bus(address: Address) -> None:
    """Those that find no room are dropped."""
    assert wait_on_a_bus(address, 1) < 40
    # NNG 1.5 drops them here too when this peer's thread falls behind by 16 messages.
    assert any(wait_on_a_bus(address, 40) == 40 for _ in range(1 if NNG >= (1, 6) else 10))


def wait_on_a_bus(address: Address, buffer: int) -> int:
    """How many of forty messages a peer has that receives nothing before. Another, who does, tells when the next one can be sent."""
    with (
        nngio.Bus0(listen=address("inproc"), send_buffer=100) as bus,
        nngio.Bus0(dial=bus.listeners[0].url, recv_buffer=buffer) as peer,
        nngio.Bus0(dial=bus.listeners[0].url) as other,
    ):
        for meets in (peer, other):
            meets.send(b"here", timeout=10)
            assert bus.recv(timeout=10) == b"here"
        for number in range(40):
            bus.send(struct.pack("!I", number), timeout=10)
            other.recv(timeout=10)
        return len(receives(peer))


@pytest.mark.parametrize("kind", ["socket", "context"])
def test_a_subscriber_keeps_as_many_messages_as_it_may(kind: str, address: Address) -> None:
    """The newest, while nobody receives. A second subscription, which gets each message later, tells when all have come."""
    with ExitStack() as stack:
        sub = stack.enter_context(nngio.Sub0(listen=address("inproc")))
        channel = sub if kind == "socket" else stack.enter_context(sub.context())
        last = stack.enter_context(sub.context())
        for subscriber in (channel, last):
            subscriber.subscribe(b"")
        pub = stack.enter_context(nngio.Pub0(dial=sub.listeners[0].url, send_buffer=100))
        for buffer in (3, 11):
            channel.recv_buffer = buffer
            for number in range(20):
                pub.send(struct.pack("!I", number))
                last.recv(timeout=10)
            assert receives(channel, 0.1) == list(range(20 - buffer, 20))


@pytest.mark.parametrize("kind", ["socket", "context"])
def test_a_full_subscriber_keeps_the_new_or_the_old(kind: str, address: Address) -> None:
    """`prefer_new` decides which of them are dropped."""
    with ExitStack() as stack:
        sub = stack.enter_context(nngio.Sub0(listen=address("inproc")))
        channel = sub if kind == "socket" else stack.enter_context(sub.context())
        last = stack.enter_context(sub.context())
        for subscriber in (channel, last):
            subscriber.subscribe(b"")
        channel.recv_buffer = 4
        pub = stack.enter_context(nngio.Pub0(dial=sub.listeners[0].url, send_buffer=100))
        for newest in (True, False):
            channel.prefer_new = newest
            for number in range(10):
                pub.send(struct.pack("!I", number))
                last.recv(timeout=10)
            assert receives(channel, 0.1) == (list(range(6, 10)) if newest else list(range(4)))


RAW = {"Rep0": "Req0", "Req0": "Rep0", "Respondent0": "Surveyor0", "Surveyor0": "Respondent0", "Sub0": "Pub0"}


def arrive_of_120(name: str, url: str, buffer: int, pause: float) -> int:
    """How many wait in a raw socket in the end. A peer that doesn't wait drops what comes too fast, and nothing tells what would."""
    with (
        getattr(nngio, name)(raw=True, listen=url, recv_buffer=buffer) as sock,
        getattr(nngio, RAW[name])(raw=True) as peer,
    ):
        peer.dial(sock.listeners[0].url)
        to = meet(sock, peer) if name in ("Req0", "Surveyor0") else b""
        for number in range(120):
            message = nngio.Message(struct.pack("!I", number))
            if name != "Sub0":
                message.header = to + b"\x80\0\0\1"
            try:
                peer.send(message, timeout=0.2)
            except nngio.TimedOut:
                break
            if not number % 4:
                time.sleep(pause)
        return len(receives(sock))


@pytest.mark.parametrize("name", RAW)
def test_so_many_messages_wait_in_a_raw_socket(name: str, address: Address) -> None:
    """Of many that come slowly, those that find no room are lost or not sent; with room, all are there."""
    assert arrive_of_120(name, address("inproc"), 1, 0.005) < 110
    # A machine that is busy needs longer pauses.
    assert any(arrive_of_120(name, address("inproc"), 120, pause) == 120 for pause in (0.005, 0.02, 0.1))


def meet(asks: Any, answers: Any) -> bytes:
    """What a raw peer has to put before the header of an answer, so that it comes to the one that asks."""
    question = nngio.Message(b"?")
    question.header = b"\x80\0\0\1"
    asks.send(question, timeout=10)
    header = bytes(answers.recv_msg(timeout=10).header)
    return header[:-4]


# Hops and sizes.


@pytest.mark.parametrize("name", ["Rep0", "Rep0 raw", "Respondent0", "Respondent0 raw", "Pair1", "Pair1 raw", "Pair1 poly"])
def test_a_message_with_too_many_hops_is_dropped(name: str, address: Address) -> None:
    """One that has made as many as it may arrives, one with another hop doesn't."""
    name, _, mode = name.partition(" ")
    peer = {"Rep0": nngio.Req0, "Respondent0": nngio.Surveyor0, "Pair1": nngio.Pair1}[name]
    options = {mode: True} if mode else {}
    with getattr(nngio, name)(listen=address("inproc"), max_ttl=3, **options) as sock, peer(raw=True) as other:
        other.dial(sock.listeners[0].url)
        for ttl in (3, 1, 15):
            sock.max_ttl = ttl
            for hops in (ttl + 1, ttl):
                message = nngio.Message(b"%d hops" % hops)
                if name == "Pair1":  # which counts those that were made before this one
                    message.header = struct.pack("!I", hops - 1)
                else:
                    message.header = b"\0\0\0\7" * (hops - 1) + b"\x80\0\0\1"
                other.send(message, timeout=10)
            assert sock.recv(timeout=10) == b"%d hops" % ttl


@contextmanager
def raw_peer(listener: nngio.Listener) -> Iterator[socket.socket]:
    """A connection to a listener of tcp or ipc, which says nothing."""
    ipc = listener.url.startswith("ipc")
    with socket.socket(socket.AF_UNIX if ipc else socket.AF_INET) as peer:
        peer.connect(listener.url.removeprefix("ipc://") if ipc else ("127.0.0.1", listener.port))
        yield peer


def sp_message(transport: str, data: bytes) -> bytes:
    return (b"\1" if transport == "ipc" else b"") + frame(data)


@pytest.mark.parametrize("where", ["socket", "listener"])
@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_a_peer_that_sends_too_much_is_cut_off(transport: str, where: str, address: Address) -> None:
    """A message of the largest size arrives; with one byte more the connection ends, and the next peer is welcome."""
    options = {"recv_max_size": 100}
    with nngio.Pull0(**options if where == "socket" else {}) as pull:
        listener = pull.listen(address(transport), **options if where == "listener" else {})
        assert listener.recv_max_size == 100
        for _ in range(2):
            with raw_peer(listener) as peer:
                greet(peer, 0x50)
                peer.sendall(sp_message(transport, b"x" * 100))
                assert pull.recv(timeout=10) == b"x" * 100
                peer.sendall(sp_message(transport, b"y" * 101))
                assert hangs_up(peer)
        with pytest.raises(nngio.TimedOut):
            pull.recv(timeout=0.05)


def test_a_websocket_peer_that_sends_too_much_is_cut_off(address: Address) -> None:
    """The same for a listener of ws, from a client that is not NNG's."""
    with nngio.Pull0(recv_max_size=100, listen=address("ws")) as pull, websocket_client(pull.listeners[0], "pull") as (client, _):
        client.sendall(websocket_frame(b"x" * 100))
        assert pull.recv(timeout=10) == b"x" * 100
        client.sendall(websocket_frame(b"y" * 101))
        assert hangs_up(client)


@pytest.mark.parametrize("where", ["socket", "dialer"])
@pytest.mark.parametrize("transport", ["tcp", "ipc", "ws"])
def test_a_peer_that_sends_too_much_to_a_dialer_is_cut_off(transport: str, where: str, address: Address) -> None:
    """The connection ends, and the dialer makes another. An NNG that doesn't heed it for websockets says so."""
    options: dict[str, Any] = {"recv_max_size": 100}
    with nngio.Push0(listen=address(transport)) as push, nngio.Pull0(reconnect_time_min=0.01) as pull:
        if transport == "ws" and not patched("websocket-size-limits"):
            with pytest.raises(nngio.NotSupported, match="does not heed recv_max_size on ws"):
                pull.dial(push.listeners[0].url, **options)
            return
        if where == "socket":
            pull.recv_max_size = 100
        pull.dial(push.listeners[0].url, **options if where == "dialer" else {})
        push.send(b"x" * 100, timeout=10)
        before = pull.recv_msg(timeout=10)
        assert len(before) == 100
        push.send(b"y" * 101, timeout=10)
        while True:  # what is sent while the connection ends is lost
            push.send(b"z", timeout=10)
            with contextlib.suppress(nngio.TimedOut):
                after = pull.recv_msg(timeout=0.1)
                assert bytes(after) == b"z"
                if after.pipe != before.pipe:
                    break


# TCP.


def connections(port: int) -> dict[str, socket.socket]:
    """This process's own ends of the TCP connection to a port of its own: `dialer` and `listener`."""
    found = {}
    numbers = []
    for entry in list(Path("/proc/self/fd").iterdir()):  # the last of which was for the look itself
        with contextlib.suppress(OSError):
            if str(entry.readlink()).startswith("socket:"):
                numbers.append(int(entry.name))
    for number in numbers:
        sock = socket.socket(fileno=os.dup(number))
        with contextlib.suppress(OSError):
            here, there = sock.getsockname(), sock.getpeername()
            if sock.family == socket.AF_INET and port in (here[1], there[1]):
                found["listener" if here[1] == port else "dialer"] = sock
                continue
        sock.close()
    return found


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("transport", ["tcp", "ws"])
def test_tcp_options_are_those_of_the_connection(transport: str, value: bool, address: Address) -> None:
    """The system has what was set for either side: TCP_NODELAY and SO_KEEPALIVE."""
    options = {"tcp_nodelay": value, "tcp_keepalive": not value}
    with nngio.Pair0() as a, nngio.Pair0() as b:
        listener = a.listen(address(transport), **options)
        b.dial(listener.url, **options)
        b.send(b"hello", timeout=10)
        a.recv(timeout=10)
        ends = connections(listener.port)
        try:
            assert set(ends) == {"dialer", "listener"}
            for end in ends.values():
                assert bool(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is value
                assert bool(end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is not value
        finally:
            for end in ends.values():
                end.close()


def test_an_option_that_is_set_later_is_for_later_connections(address: Address) -> None:
    """A listener that runs gives the next peer what was set meanwhile."""
    with nngio.Pull0(listen=address("tcp")) as pull:
        listener = pull.listeners[0]
        for keepalive in (False, True, False):
            listener.tcp_keepalive = keepalive
            with nngio.Push0(dial=listener.url) as push:
                push.send(b"hello", timeout=10)
                pull.recv(timeout=10)
                ends = connections(listener.port)
                assert bool(ends["listener"].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is keepalive
                for end in ends.values():
                    end.close()


@pytest.mark.parametrize("given", ["127.0.0.2", nngio.TCPAddress("127.0.0.3")])
@pytest.mark.parametrize("transport", ["tcp", "ws"])
def test_a_dialer_connects_from_the_address_that_it_is_given(transport: str, given: Any, address: Address) -> None:
    """The peer sees it."""
    with nngio.Pair0(listen=address(transport)) as a, nngio.Pair0() as b:
        dialer = b.dial(a.listeners[0].url, local_address=given)
        wanted = nngio.TCPAddress(given) if isinstance(given, str) else given
        assert dialer.local_address == wanted
        b.send(b"hello", timeout=10)
        pipe = a.recv_msg(timeout=10).pipe
        assert pipe is not None
        assert isinstance(pipe.remote_address, nngio.TCPAddress)
        assert pipe.remote_address.host == wanted.host


def test_an_ipv6_source_address_may_have_brackets() -> None:
    """As in a URL; the peer sees it."""
    with nngio.Pair0(listen="tcp://[::1]:0") as a, nngio.Pair0() as b:
        b.dial(a.listeners[0].url, local_address="[::1]")
        b.send(b"hello", timeout=10)
        pipe = a.recv_msg(timeout=10).pipe
        assert pipe is not None
        assert isinstance(pipe.remote_address, nngio.TCPAddress)
        assert pipe.remote_address.host == "::1"


def test_a_listener_tells_where_it_is_bound(address: Address, tmp_path: Path) -> None:
    """Its port, and the address of its transport."""
    with nngio.Pair0() as pair:
        for transport in ("tcp", "ws", "tls+tcp", "wss"):
            listener = nngio.Listener(pair, address(transport))
            if transport in ("tcp", "ws"):
                listener.start()
                assert listener.local_address == nngio.TCPAddress("127.0.0.1", listener.port)
                assert f":{listener.port}" in listener.url
            else:
                assert listener.local_address is None
        path = f"{tmp_path}/socket"
        assert pair.listen(f"ipc://{path}").local_address == nngio.IPCAddress(path)
        assert pair.listen(f"abstract://{tmp_path.name}-x").local_address == nngio.AbstractAddress(f"{tmp_path.name}-x".encode())


def test_an_inproc_endpoint_tells_its_name(address: Address) -> None:
    """Both addresses of both ends are that name."""
    with nngio.Pair0(listen=address("inproc")) as a, nngio.Pair0(dial=a.listeners[0].url) as b:
        for endpoint in (a.listeners[0], b.dialers[0]):
            for named in (endpoint.local_address, endpoint.remote_address):
                assert isinstance(named, nngio.InprocAddress)
                assert a.listeners[0].url.endswith(named.name.removeprefix("inproc://"))


ADDRESS_VALUES = [
    None,
    nngio.TCPAddress("127.0.0.1", 65535),
    nngio.TCPAddress("255.255.255.255"),
    nngio.TCPAddress("::1", 80),
    nngio.TCPAddress("fe80::1", 0, 3),
    nngio.IPCAddress("/tmp/größe"),
    nngio.IPCAddress("x" * 127),
    nngio.InprocAddress("name"),
    nngio.AbstractAddress(b"a\0b"),
    nngio.AbstractAddress(b""),
    nngio.AbstractAddress(b"x" * 107),
]


@pytest.mark.parametrize("value", ADDRESS_VALUES)
def test_an_address_goes_to_c_and_comes_back(value: nngio.Address) -> None:
    """Every kind, with the longest names."""
    from nngio._address import from_sockaddr, to_sockaddr

    assert from_sockaddr(to_sockaddr(value)[0]) == value


def test_an_address_that_does_not_fit_is_refused() -> None:
    """Nothing is cut short."""
    from nngio._address import to_sockaddr

    for value, said in (
        (nngio.IPCAddress("x" * 128), "127 bytes"),
        (nngio.IPCAddress("a\0b"), "NUL"),
        (nngio.InprocAddress("ö" * 64), "127 bytes"),
        (nngio.AbstractAddress(b"x" * 108), "107 bytes"),
        (nngio.TCPAddress("localhost", 1), "no IP address"),
        (nngio.TCPAddress("127.0.0.1", 65536), "0 to 65535"),
        (nngio.TCPAddress("127.0.0.1", -1), "0 to 65535"),
    ):
        with pytest.raises(ValueError, match=said):
            to_sockaddr(value)
    with pytest.raises(TypeError, match="TCPAddress"):
        to_sockaddr("127.0.0.1")  # type: ignore[arg-type]


# Files.


@pytest.mark.parametrize("scheme", ["ipc", "unix"])
def test_a_socket_file_has_the_permissions_that_it_is_given(scheme: str, tmp_path: Path) -> None:
    """Its mode is that, and they can't be changed once it is there."""
    with nngio.Pair0() as pair:
        for mode in (0o600, 0o666, 0o740):
            listener = pair.listen(f"{scheme}://{tmp_path}/{mode}", ipc_permissions=mode)
            assert stat.S_IMODE((tmp_path / str(mode)).stat().st_mode) == mode
            with pytest.raises(nngio.BadState, match="ipc_permissions has to be set before the listener is started"):
                listener.ipc_permissions = 0o777
            assert listener.ipc_permissions == mode
        umask = os.umask(0o077)
        try:
            listener = pair.listen(f"{scheme}://{tmp_path}/default")
        finally:
            os.umask(umask)
        assert listener.ipc_permissions is None
        assert not (tmp_path / "default").stat().st_mode & 0o077


# Websockets.


def http_head(sock: socket.socket) -> tuple[str, dict[str, str]]:
    """The first line of a request or response, and its headers, with their names in lower case."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        more = sock.recv(1)
        assert more, data
        data += more
    first, *lines = data.decode().split("\r\n")[:-2]
    pairs = [line.split(":", 1) for line in lines]
    assert len({name.lower() for name, _ in pairs}) == len(pairs), f"a header twice: {lines}"
    return first, {name.lower(): value.strip() for name, value in pairs}


@contextmanager
def websocket_client(listener: nngio.Listener, protocol: str) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """A client of ours with a listener, and the headers of the response that it got."""
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as client:
        path = "/" + listener.url.split("/", 3)[3]
        client.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n"
            f"Sec-WebSocket-Protocol: {protocol}.sp.nanomsg.org\r\n\r\n".encode()
        )
        first, headers = http_head(client)
        assert first.startswith("HTTP/1.1 101 ")
        yield client, headers


@contextmanager
def websocket_server() -> Iterator[tuple[str, Callable[[], tuple[socket.socket, dict[str, str]]]]]:
    """The URL of a server of ours, and a function that accepts a client and returns the connection and its headers."""
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as stack:
        server.settimeout(10)

        def accept() -> tuple[socket.socket, dict[str, str]]:
            connection = stack.enter_context(server.accept()[0])
            connection.settimeout(10)
            _, headers = http_head(connection)
            key = headers["sec-websocket-key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accepted = base64.b64encode(hashlib.sha1(key).digest()).decode()
            connection.sendall(
                f"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accepted}\r\n"
                f"Sec-WebSocket-Protocol: {headers['sec-websocket-protocol']}\r\n\r\n".encode()
            )
            return connection, headers

        yield f"ws://127.0.0.1:{server.getsockname()[1]}/x", accept


def websocket_frame(data: bytes, *, masked: bool = True) -> bytes:
    """One final binary frame; a client's is masked, with zeros, which change nothing."""
    bit = 0x80 if masked else 0
    size = bytes([bit | len(data)]) if len(data) < 126 else bytes([bit | 126]) + struct.pack("!H", len(data))
    return b"\x82" + size + (bytes(4) if masked else b"") + data


def websocket_frames(sock: socket.socket) -> list[int]:
    """The sizes of the frames of one message."""
    sizes = []
    while True:
        first, second = exactly(sock, 2)
        size = second & 127
        if size > 125:
            size = int.from_bytes(exactly(sock, 2 if size == 126 else 8), "big")
        exactly(sock, size + (4 if second & 128 else 0))
        sizes.append(size)
        if first & 128:
            return sizes


def test_a_server_sees_the_headers_of_a_request() -> None:
    """All of them once, as they are at the start; a change counts for the next connection, and one can't be taken back."""
    with websocket_server() as (url, accept), nngio.Pair0(reconnect_time_min=0.01) as pair:
        dialer = nngio.Dialer(pair, url, request_headers={"X-Token": "old", "X-Gone": "1", "Host": "somebody.example"})
        headers = dialer.request_headers
        headers["x-token"] = "größer"
        del headers["X-GONE"]
        assert "X-Token" in headers
        assert dict(headers) == {"x-token": "größer", "Host": "somebody.example"}
        assert repr(headers) == "Headers({'x-token': 'größer', 'Host': 'somebody.example'})"
        dialer.start(block=False)
        connection, seen = accept()
        assert seen["x-token"] == "größer"
        assert seen["host"] == "somebody.example"
        assert "x-gone" not in seen
        headers["X-Token"] = "new"
        headers["X-More"] = "2"
        connection.close()
        _, seen = accept()
        assert (seen["x-token"], seen["x-more"]) == ("new", "2")
        with pytest.raises(nngio.BadState, match="can't be removed"):
            del headers["X-More"]
        with pytest.raises(nngio.BadState, match="can't be removed"):
            dialer.request_headers = {"X-Token": "alone"}
        with pytest.raises(KeyError):
            del headers["X-Never"]
        assert headers["x-more"] == "2"


def test_a_client_sees_the_headers_of_a_response(address: Address) -> None:
    """All of them once, as they are at the start; a change counts for the next connection."""
    with nngio.Pair0() as pair:
        listener = nngio.Listener(pair, address("ws"))
        if not patched("websocket-response-header"):
            with pytest.raises(nngio.NotSupported, match="does not heed response_headers on ws"):
                listener.response_headers = {"X-A": "1"}
            return
        listener.response_headers = {"X-A": "1"}
        listener.response_headers = {"X-B": "zwei, größer", "Server": "somebody"}
        listener.start()
        with websocket_client(listener, "pair") as (_, seen):
            assert (seen["x-b"], seen["server"]) == ("zwei, größer", "somebody")
            assert "x-a" not in seen
        listener.response_headers["X-C"] = "3"
        with websocket_client(listener, "pair") as (_, seen):
            assert (seen["x-b"], seen["x-c"]) == ("zwei, größer", "3")


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_websocket_peer_with_too_large_a_frame_is_cut_off(name: str, address: Address) -> None:
    """A frame of the largest size arrives; with one byte more, the connection ends."""
    with nngio.Pull0() as pull, ExitStack() as stack:
        if name == "Listener":
            listener = pull.listen(address("ws"), recv_max_frame=100)
            peer, _ = stack.enter_context(websocket_client(listener, "pull"))
        else:
            url, accept = stack.enter_context(websocket_server())
            pull.dial(url, block=False, recv_max_frame=100)
            peer, _ = accept()
        peer.sendall(websocket_frame(b"x" * 100, masked=name == "Listener"))
        assert pull.recv(timeout=10) == b"x" * 100
        peer.sendall(websocket_frame(b"y" * 101, masked=name == "Listener"))
        assert hangs_up(peer)
        with pytest.raises(nngio.TimedOut):
            pull.recv(timeout=0.05)


@pytest.mark.parametrize("size", [100, 1000, 0])
def test_a_listener_sends_frames_of_the_size_that_it_may(size: int, address: Address) -> None:
    """A larger message comes in as many as it takes; without a limit, in one."""
    with nngio.Push0() as push:
        listener = push.listen(address("ws"), send_max_frame=size)
        with websocket_client(listener, "push") as (client, _):
            push.send(b"x" * 2500, timeout=10)
            assert websocket_frames(client) == ([size] * (2500 // size) + [2500 % size] * bool(2500 % size) if size else [2500])


@pytest.mark.parametrize("size", [100, 1000, 0])
def test_a_dialer_sends_frames_of_the_size_that_it_may(size: int) -> None:
    """The same for one that dials; an NNG that doesn't heed it says so."""
    with websocket_server() as (url, accept), nngio.Push0() as push:
        if not patched("websocket-size-limits"):
            with pytest.raises(nngio.NotSupported, match="does not heed send_max_frame on ws"):
                push.dial(url, block=False, send_max_frame=size)
            return
        push.dial(url, block=False, send_max_frame=size)
        server, _ = accept()
        push.send(b"x" * 2500, timeout=10)
        assert websocket_frames(server) == ([size] * (2500 // size) + [2500 % size] * bool(2500 % size) if size else [2500])


# Descriptors of connections.


def test_a_listener_takes_connections_by_their_descriptors() -> None:
    """Both ends of a pair are given to listeners, and the sockets talk. From NNG 1.7 on."""
    if not hasattr(lib, "nng_socket_pair"):
        with pytest.raises(nngio.NotSupported, match=r"nng_socket_pair needs NNG 1\.7"):
            nngio.socket_pair()
        with nngio.Pair0() as pair, pytest.raises(nngio.NotSupported, match="no transport of this build"):
            pair.listen("socket://")
        return
    with nngio.Pair0() as a, nngio.Pair0() as b:
        one, other = nngio.socket_pair()
        waiting = nngio.Listener(a, "socket://")
        with pytest.raises(nngio.BadState, match="has to be started"):
            waiting.add_fd(one)
        waiting.start()
        waiting.add_fd(one)
        b.listen("socket://", recv_max_size=1000).add_fd(other)
        a.send(b"hello", timeout=10)
        assert b.recv(timeout=10) == b"hello"


def test_a_listener_takes_descriptors_and_nothing_else(address: Address) -> None:
    """A socket has to give its own away, and only a listener at `socket://` takes one."""
    with nngio.Pair0(listen=address("tcp")) as pair, socket.socket() as sock:
        listener = pair.listeners[0]
        for wrong in (sock, "1", None, True):
            with pytest.raises(TypeError, match=r"a number.*detach\(\)"):
                listener.add_fd(wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="0 or more"):
            listener.add_fd(-1)
        with pytest.raises(nngio.NotSupported, match="socket:// only, and this is tcp://"):
            listener.add_fd(sock.fileno())
