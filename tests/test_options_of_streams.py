"""Options of byte streams, of what makes them, and of pipes: default, set, read back, refused, by the table; and at work."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import test_endpoints
import test_pipes
import test_streams
from option_table import ANYTHING, Address, public_classes
from raw_peers import hangs_up
from stream_option_table import (
    ALL,
    BY_CLASS,
    CLASSES,
    EACH,
    ENDPOINTS,
    OPTIONS,
    SETTABLE,
    TCP,
    TLS,
    WS,
    Row,
    having,
    lacking,
    make,
    streams,
    tls_of,
    url_of,
)
from test_options_of_transports import connections, websocket_client, websocket_frame, websocket_frames, websocket_server
from tls import SECONDS, certificates, plain_client, plain_server

import nngio
from nngio._core.nng import patched
from nngio._options import HasOptions, options_of

# The table.


def test_every_option_of_a_stream_or_a_pipe_is_in_the_table() -> None:
    """Nothing is forgotten: each descriptor of each class has a row, each row a descriptor, and each effect a test."""
    described = {name: set(options_of(cls)) for name, cls in CLASSES.items()}
    assert described == {name: set(rows) for name, rows in BY_CLASS.items()}
    for row in OPTIONS:
        places = (globals(), vars(test_streams), vars(test_endpoints), vars(test_pipes))
        assert any(callable(place.get(row.effect)) for place in places), f"{row.option}: no {row.effect}"


def test_every_public_class_with_options_has_a_table() -> None:
    """This one or that of the sockets; but for those that are only derived from."""
    named = {name for name in nngio.__all__ if isinstance(cls := getattr(nngio, name), type) and issubclass(cls, HasOptions)}
    assert named == {*CLASSES, *public_classes(), "Socket", "Context"}
    for row in OPTIONS:
        for name in row.classes:
            assert bool(row.values) is not getattr(CLASSES[name], row.option).readonly


@pytest.mark.parametrize(("name", "row"), EACH)
def test_a_streams_option_has_its_default(name: str, row: Row, address: Address) -> None:
    """On each transport that has it, nobody having set it."""
    for transport in row.transports:
        with having(name, transport, address) as thing:
            if row.needs and lacking(row):
                with pytest.raises(nngio.NotSupported, match="needs NNG"):
                    getattr(thing, row.option)
                continue
            value = getattr(thing, row.option)
            if row.default is not ANYTHING:
                assert value == row.default
                assert type(value) is type(row.default)


@pytest.mark.parametrize(("name", "row"), SETTABLE)
def test_a_streams_option_that_is_set_is_read_back(name: str, row: Row, address: Address) -> None:
    """As a keyword argument, and as an attribute, on each transport that has it."""
    for transport in row.transports:
        if lacking(row):
            with pytest.raises(nngio.NotSupported, match=f"does not heed {row.option}"):
                make(name, transport, address, **{row.option: row.values[0]})
            continue
        if name in ENDPOINTS:
            for value in row.values:
                with make(name, transport, address, **{row.option: value}) as thing:
                    assert getattr(thing, row.option) == value
        with having(name, transport, address) as thing:
            for value in () if row.early else row.values:
                setattr(thing, row.option, value)
                assert getattr(thing, row.option) == value
            with pytest.raises(AttributeError, match=f"{row.option} can't be deleted"):
                delattr(thing, row.option)


@pytest.mark.parametrize(("name", "row"), SETTABLE)
def test_a_streams_option_refuses_what_it_can_not_be(name: str, row: Row, address: Address) -> None:
    """A wrong value is a ValueError, a wrong type a TypeError, both name the option; it stays what it was."""
    if lacking(row):
        pytest.skip("this NNG doesn't have it")
    said = "header" if row.option.endswith("headers") else f"{row.option}|IP address" if row.option == "local_address" else row.option
    with having(name, row.transports[0], address) as thing:
        before = getattr(thing, row.option)
        for values, error in ((row.wrong, ValueError), (row.mistyped, TypeError)):
            for value in values:
                with pytest.raises(error, match=said):
                    setattr(thing, row.option, value)
                assert getattr(thing, row.option) == before
                if name in ENDPOINTS:
                    with pytest.raises(error, match=said):
                        make(name, row.transports[0], address, **{row.option: value})


@pytest.mark.parametrize(("name", "row"), [param for param in EACH if not param.values[1].values])
def test_a_streams_option_that_can_only_be_read_is_not_set(name: str, row: Row, address: Address) -> None:
    """It says so."""
    with having(name, row.transports[0], address) as thing, pytest.raises(AttributeError, match=f"{row.option} can be read, not set"):
        setattr(thing, row.option, 1)


@pytest.mark.parametrize("transport", ALL)
@pytest.mark.parametrize("name", CLASSES)
def test_a_streams_option_of_another_transport_is_refused(name: str, transport: str, address: Address) -> None:
    """A dialer's or listener's error names the option and the URL, a pipe's what it is that its transport lacks."""
    with having(name, transport, address) as thing:
        for option, row in BY_CLASS[name].items():
            if transport in row.transports:
                continue
            said = f"{thing.url}: that transport has no option '{option}'" if name in ENDPOINTS else ""
            if name == "Pipe" and not lacking(row):
                said = f"no {option}: its transport tells nothing of it"
            if not row.kept:
                with pytest.raises(nngio.NotSupported) as caught:
                    getattr(thing, option)
                assert said in str(caught.value)
            if row.values and not lacking(row):
                before = getattr(thing, option) if row.kept else None
                with pytest.raises(nngio.NotSupported) as caught:
                    setattr(thing, option, row.values[0])
                assert said in str(caught.value)
                assert not row.kept or getattr(thing, option) == before


# At work.


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("transport", TCP)
def test_tcp_options_are_those_of_the_streams(transport: str, value: bool, address: Address) -> None:
    """The system has what was set for either side, TCP_NODELAY and SO_KEEPALIVE; and what is set on the streams themselves."""
    options = {"tcp_nodelay": value, "tcp_keepalive": not value}
    with streams(transport, address, options, options) as (near, far):
        for nodelay in (value, not value):
            for stream in (near, far):
                if nodelay is not value:
                    stream.tcp_nodelay, stream.tcp_keepalive = nodelay, not nodelay
                assert (stream.tcp_nodelay, stream.tcp_keepalive) == (nodelay, not nodelay)
            assert isinstance(far.local_address, nngio.TCPAddress)
            ends = connections(far.local_address.port)
            try:
                assert set(ends) == {"dialer", "listener"}
                for end in ends.values():
                    assert bool(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is nodelay
                    assert bool(end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is not nodelay
            finally:
                for end in ends.values():
                    end.close()
        far.send_all(b"bye", timeout=SECONDS)
        assert near.recv_exactly(3, timeout=SECONDS) == b"bye"


@pytest.mark.parametrize("given", ["127.0.0.2", nngio.TCPAddress("127.0.0.3")])
@pytest.mark.parametrize("transport", TCP)
def test_a_stream_is_dialed_from_the_address_that_is_given(transport: str, given: Any, address: Address) -> None:
    """Both sides see it."""
    with streams(transport, address, {"local_address": given}) as (near, far):
        wanted = given if isinstance(given, str) else given.host
        for seen in (near.local_address, far.remote_address):
            assert isinstance(seen, nngio.TCPAddress)
            assert seen.host == wanted


@pytest.mark.parametrize("transport", WS)
def test_both_ends_name_the_same_subprotocol_or_there_is_no_stream(transport: str, address: Address) -> None:
    """Another, none where there is one, or one where there is none: ProtocolError; and the listener serves on."""
    for listens in ("chat.example", ""):
        options = {"ws_protocol": listens} if listens else {}
        with nngio.StreamListener(url_of(transport, address), **tls_of("Listener", transport), **options) as listener:
            for dials in ("other.example", "chat.exampl", "", "chat.example"):
                options = {"ws_protocol": dials} if dials else {}
                with nngio.StreamDialer(listener.url, **tls_of("Dialer", transport), **options) as dialer:
                    if dials != listens:
                        with pytest.raises(nngio.ProtocolError, match=f"dial {listener.url}: "):
                            dialer.dial(timeout=SECONDS)
                        continue
                    with dialer.dial(timeout=SECONDS) as near, listener.accept(timeout=SECONDS) as far:
                        near.send_all(b"hello", timeout=SECONDS)
                        assert far.recv(timeout=SECONDS) == b"hello"
                        for stream in (near, far):
                            for headers in (stream.ws_request_headers, stream.ws_response_headers):
                                assert dict(headers).get("Sec-WebSocket-Protocol", "") == listens


@pytest.mark.parametrize("transport", WS)
def test_text_is_for_who_accepts_it(transport: str, address: Address) -> None:
    """What is sent as text arrives where it is accepted, and ends the stream where it isn't; the streams tell which they do."""
    text = "größer, 日本".encode()
    for sends, accepts in ((True, True), (True, False), (False, True), (False, False)):
        with streams(transport, address, {"ws_recv_text": accepts}, {"ws_send_text": sends}) as (near, far):
            assert (far.ws_send_text, far.ws_recv_text) == (sends, False)
            assert (near.ws_send_text, near.ws_recv_text) == (False, accepts)
            far.send_all(text, timeout=SECONDS)
            if sends and not accepts:
                with pytest.raises(nngio.ProtocolError if patched("websocket-stream-end") else nngio.ConnectionReset):
                    near.recv(timeout=SECONDS)
            else:
                assert near.recv_exactly(len(text), timeout=SECONDS) == text


@contextmanager
def with_websocket(name: str, transport: str, address: Address, **options: Any) -> Iterator[tuple[nngio.Stream, socket.socket]]:
    """A stream that was dialed or accepted, and the plain websocket at its other end."""
    options |= {"ws_protocol": "x.sp.nanomsg.org"}
    if name == "StreamListener":
        with (
            nngio.StreamListener(address(transport), **tls_of(name, transport), **options) as listener,
            websocket_client(listener, "x") as (peer, _),
            listener.accept(timeout=SECONDS) as stream,
        ):
            yield stream, peer
        return
    with websocket_server(transport) as (url, accept), ThreadPoolExecutor(1) as pool:
        accepting = pool.submit(accept)
        with nngio.StreamDialer(url, **tls_of(name, transport), **options) as dialer, dialer.dial(timeout=SECONDS) as stream:
            yield stream, accepting.result()[0]


@pytest.mark.parametrize("transport", WS)
@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_stream_sends_frames_of_the_size_that_it_may(name: str, transport: str, address: Address) -> None:
    """A longer send is as many as it takes; without a limit, one."""
    if name == "StreamDialer" and not patched("websocket-size-limits"):
        pytest.skip("this NNG doesn't heed it")
    for largest in (100, 1000, 0):
        with with_websocket(name, transport, address, send_max_frame=largest) as (stream, peer):
            stream.send_all(b"x" * 2500, timeout=SECONDS)
            sizes: list[int] = []
            while sum(sizes) < 2500:
                sizes += websocket_frames(peer)
            assert sizes == ([largest] * (2500 // largest) + [2500 % largest] * bool(2500 % largest) if largest else [2500])


@pytest.mark.parametrize("transport", WS)
@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_stream_ends_when_its_peer_sends_too_large_a_frame(name: str, transport: str, address: Address) -> None:
    """A frame of the largest size arrives; one byte more is an error, and ends the connection."""
    with with_websocket(name, transport, address, recv_max_frame=100) as (stream, peer):
        for data in (b"x" * 100, b"y", b"z" * 100):
            peer.sendall(websocket_frame(data, masked=name == "StreamListener"))
            assert stream.recv(timeout=SECONDS) == data
        peer.sendall(websocket_frame(b"x" * 101, masked=name == "StreamListener"))
        with pytest.raises(nngio.MessageTooLarge if patched("websocket-stream-end") else nngio.ConnectionReset):
            stream.recv(timeout=SECONDS)
        assert hangs_up(peer)


@pytest.mark.parametrize("transport", WS)
def test_headers_are_read_on_both_sides(transport: str, address: Address) -> None:
    """Those of the request and those of the response, and the path that was asked for."""
    answers = {"X-Here": "yes"} if patched("websocket-response-header") else {}
    listens = {"response_headers": answers} if answers else {}
    with streams(transport, address, {"request_headers": {"X-There": "1", "X-More": "a, b"}}, listens) as ends:
        for stream in ends:
            assert {"X-There": "1", "X-More": "a, b"}.items() <= dict(stream.ws_request_headers).items()
            assert answers.items() <= dict(stream.ws_response_headers).items()
            assert stream.url.endswith(stream.ws_request_uri)


def test_headers_that_are_set_in_what_was_read_are_refused() -> None:
    """They would not be sent; an assignment adds to those before."""
    with nngio.StreamDialer("ws://127.0.0.1:1/x", request_headers={"X-There": "1"}) as dialer:
        with pytest.raises(TypeError):
            dialer.request_headers["X-More"] = "2"  # type: ignore[index]
        dialer.request_headers = {"X-More": "2"}
        assert dict(dialer.request_headers) == {"X-There": "1", "X-More": "2"}


@pytest.mark.parametrize("transport", TLS)
@pytest.mark.parametrize("shows", [True, False], ids=["with a certificate", "without"])
def test_a_stream_tells_whether_its_peer_is_verified(shows: bool, transport: str, address: Address) -> None:
    """The listener is; who dials is if it has a certificate that the listener looks at. Its name is told from NNG 1.6 on."""
    server = certificates().server if shows else plain_server()
    client = certificates().client if shows else plain_client()
    with streams(transport, address, {"tls": client}, {"tls": server}) as (near, far):
        assert near.tls_verified
        assert far.tls_verified is shows
