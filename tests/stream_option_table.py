"""The options of byte streams, of what makes them, and of pipes, for their tests, as `option_table` has them for sockets.

`OPTIONS` has a row for each option of each class. `effect` names the test that sees the option at work on a real exchange.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pytest
from option_table import ADDRESSES, ANYTHING, HEADERS, NUL, TRUTH, Address, size
from tls import SECONDS, certificates

import nngio
from nngio._core.library import lib
from nngio._core.nng import patched
from nngio._options import HasOptions

CLASSES: dict[str, type[HasOptions]] = {
    "Pipe": nngio.Pipe,
    "Stream": nngio.Stream,
    "StreamDialer": nngio.StreamDialer,
    "StreamListener": nngio.StreamListener,
}
ENDPOINTS = ("StreamDialer", "StreamListener")
TCP = ("tcp", "tls+tcp", "ws", "wss")
IPC = ("ipc", "unix", "abstract")
TLS = ("tls+tcp", "wss")
WS = ("ws", "wss")
ALL = (*TCP, *IPC)


@dataclass(frozen=True)
class Row:
    """What is true of an option in each of these classes."""

    classes: tuple[str, ...]
    option: str
    transports: tuple[str, ...]
    """Those that have it."""
    default: Any
    effect: str
    """The test that sees it at work."""
    values: tuple[Any, ...] = ()
    """What it can be set to; nothing for one that can only be read."""
    wrong: tuple[Any, ...] = ()
    """What is refused with a ValueError."""
    mistyped: tuple[Any, ...] = ("1", b"1", [1])
    """What is refused with a TypeError."""
    early: bool = False
    """Whether it can only be a keyword argument: it is too late once there is an object."""
    kept: bool = False
    """Whether it is the object that tells what was set, on any transport."""
    needs: str = ""
    """The macro without which this NNG doesn't have it."""
    patch: str = ""
    """The patch without which NNG doesn't have it."""


TEXT: dict[str, Any] = {"values": ("p", "a.long-one.example"), "wrong": (NUL,), "mistyped": (b"p", 7, None)}
STREAM_HEADERS = HEADERS | {"values": HEADERS["values"][:1], "wrong": HEADERS["wrong"][:4]}
BOTH = (*ENDPOINTS, "Stream")
PEER = "test_an_ipc_pipe_tells_who_the_peer_is"
VERIFIED = "test_a_tls_pipe_tells_who_was_verified"

OPTIONS = [
    Row(BOTH, "tcp_nodelay", TCP, True, "test_tcp_options_are_those_of_the_streams", **TRUTH),
    Row(BOTH, "tcp_keepalive", TCP, False, "test_tcp_options_are_those_of_the_streams", **TRUTH),
    Row(ENDPOINTS, "ws_protocol", WS, "", "test_both_ends_name_the_same_subprotocol_or_there_is_no_stream", **TEXT),
    Row(ENDPOINTS, "ws_send_text", WS, False, "test_text_is_for_who_accepts_it", **TRUTH),
    Row(ENDPOINTS, "ws_recv_text", WS, False, "test_text_is_for_who_accepts_it", **TRUTH),
    Row(("StreamDialer",), "send_max_frame", WS, ANYTHING, "test_a_stream_sends_frames_of_the_size_that_it_may", **size(100)),
    Row(("StreamListener",), "send_max_frame", WS, 2**16, "test_a_stream_sends_frames_of_the_size_that_it_may", **size(100)),
    Row(ENDPOINTS, "recv_max_frame", WS, 2**20, "test_a_stream_ends_when_its_peer_sends_too_large_a_frame", **size(100)),
    Row(("StreamDialer",), "local_address", TCP, None, "test_a_stream_is_dialed_from_the_address_that_is_given", **ADDRESSES),
    Row(("StreamDialer",), "request_headers", WS, MappingProxyType({}), "test_headers_are_read_on_both_sides", **STREAM_HEADERS, kept=True),
    Row(
        ("StreamListener",),
        "response_headers",
        WS,
        MappingProxyType({}),
        "test_headers_are_read_on_both_sides",
        **STREAM_HEADERS,
        kept=True,
        patch="websocket-response-header",
    ),
    Row(
        ("StreamListener",),
        "ipc_permissions",
        IPC,
        None,
        "test_a_unix_sockets_file_has_the_permissions_asked_for",
        values=(0o600, 0, 0o7777),
        wrong=(-1, 0o10000, 2**31),
        mistyped=("600", None, True, 1.0),
        early=True,
        kept=True,
    ),
    Row(("StreamListener",), "local_address", ALL, ANYTHING, "test_a_listener_tells_where_it_listens"),
    Row(("StreamListener",), "port", TCP, ANYTHING, "test_a_listener_tells_where_it_listens"),
    Row(("Stream",), "local_address", ALL, ANYTHING, "test_a_stream_tells_who_is_there"),
    Row(("Stream",), "remote_address", ALL, ANYTHING, "test_a_stream_tells_who_is_there"),
    Row(("Stream",), "peer_uid", IPC, ANYTHING, "test_a_stream_tells_who_is_there"),
    Row(("Stream",), "peer_gid", IPC, ANYTHING, "test_a_stream_tells_who_is_there"),
    Row(("Stream",), "peer_pid", IPC, ANYTHING, "test_a_stream_tells_who_is_there"),
    Row(("Stream",), "tls_verified", TLS, True, "test_a_stream_tells_whether_its_peer_is_verified"),
    Row(("Stream",), "tls_peer_cn", TLS, ANYTHING, "test_a_stream_tells_whether_its_peer_is_verified", needs="NNG_OPT_TLS_PEER_CN"),
    Row(("Stream",), "ws_send_text", WS, False, "test_text_is_for_who_accepts_it"),
    Row(("Stream",), "ws_recv_text", WS, False, "test_text_is_for_who_accepts_it"),
    Row(("Stream",), "ws_request_headers", WS, ANYTHING, "test_headers_are_read_on_both_sides"),
    Row(("Stream",), "ws_response_headers", WS, ANYTHING, "test_headers_are_read_on_both_sides"),
    Row(("Stream",), "ws_request_uri", WS, ANYTHING, "test_headers_are_read_on_both_sides"),
    Row(("Pipe",), "local_address", ALL, ANYTHING, "test_a_message_knows_the_addresses_of_its_pipe"),
    Row(("Pipe",), "remote_address", ALL, ANYTHING, "test_a_message_knows_the_addresses_of_its_pipe"),
    Row(("Pipe",), "peer_uid", IPC, ANYTHING, PEER),
    Row(("Pipe",), "peer_gid", IPC, ANYTHING, PEER),
    Row(("Pipe",), "peer_pid", IPC, ANYTHING, PEER),
    Row(("Pipe",), "tls_verified", TLS, True, VERIFIED),
    Row(("Pipe",), "tls_peer_cn", TLS, ANYTHING, VERIFIED, needs="NNG_OPT_TLS_PEER_CN"),
    Row(("Pipe",), "tls_peer_alt_names", TLS, ANYTHING, VERIFIED, needs="NNG_OPT_TLS_PEER_ALT_NAMES"),
    Row(("Pipe",), "ws_request_uri", WS, ANYTHING, "test_a_websocket_pipe_tells_its_headers"),
    Row(("Pipe",), "ws_request_headers", WS, ANYTHING, "test_a_websocket_pipe_tells_its_headers"),
    Row(("Pipe",), "ws_response_headers", WS, ANYTHING, "test_a_websocket_pipe_tells_its_headers"),
]

EACH: list[Any] = [pytest.param(name, row, id=f"{name}.{row.option}") for row in OPTIONS for name in row.classes]
SETTABLE = [param for param in EACH if param.values[1].values]
BY_CLASS: dict[str, dict[str, Row]] = {}
for row_ in OPTIONS:
    for name_ in row_.classes:
        assert row_.option not in BY_CLASS.setdefault(name_, {}), f"{name_}.{row_.option} is in the table twice"
        BY_CLASS[name_][row_.option] = row_


def lacking(row: Row) -> bool:
    """Whether this NNG lacks the option."""
    return bool((row.needs and not hasattr(lib, row.needs)) or (row.patch and not patched(row.patch)))


def url_of(transport: str, address: Address) -> str:
    """A URL to listen at."""
    match transport:
        case "abstract":
            return address("ipc").replace("ipc:", "abstract:")
        case "unix":
            return address("ipc").replace("ipc:", "unix:")
        case _:
            return address(transport)


def tls_of(name: str, transport: str) -> dict[str, Any]:
    """The keyword argument with which a listener or a dialer has TLS, if its transport does."""
    if transport not in TLS:
        return {}
    return {"tls": certificates().client if name.endswith("Dialer") else certificates().server}


def make(name: str, transport: str, address: Address, **options: Any) -> Any:
    """A dialer, of nobody, or a listener."""
    url = url_of(transport, address)
    return getattr(nngio, name)(url.replace(":0", ":9") if name == "StreamDialer" else url, **tls_of(name, transport), **options)


@contextmanager
def streams(transport: str, address: Address, dialer: Any = None, listener: Any = None) -> Iterator[tuple[nngio.Stream, nngio.Stream]]:
    """Both ends of a connection after the handshake, who has dialed first; with options of the dialer's and the listener's."""
    with (
        nngio.StreamListener(url_of(transport, address), **tls_of("Listener", transport) | (listener or {})) as listens,
        nngio.StreamDialer(listens.url, **tls_of("Dialer", transport) | (dialer or {})) as dials,
        dials.dial(timeout=SECONDS) as near,
        listens.accept(timeout=SECONDS) as far,
    ):
        sending = threading.Thread(target=near.send_all, args=(b"hello",), kwargs={"timeout": SECONDS})
        sending.start()
        try:
            assert far.recv_exactly(5, timeout=SECONDS) == b"hello"
        finally:
            sending.join()
        yield near, far


@contextmanager
def having(name: str, transport: str, address: Address) -> Iterator[Any]:
    """An object of a class, over a transport."""
    with ExitStack() as stack:
        if name in ENDPOINTS:
            yield stack.enter_context(make(name, transport, address))
        elif name == "Stream":
            yield stack.enter_context(streams(transport, address))[0]
        else:
            a = stack.enter_context(nngio.Pair0(listen=url_of(transport, address), **tls_of("Listener", transport)))
            b = stack.enter_context(nngio.Pair0(dial=a.listeners[0].url, **tls_of("Dialer", transport)))
            b.send(b"hello", timeout=SECONDS)
            yield a.recv_msg(timeout=SECONDS).pipe
