"""Options of transports seen at work on a real exchange: sizes, TCP, files, websockets, descriptors."""

import base64
import contextlib
import hashlib
import os
import socket
import ssl
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from option_table import ENDPOINTS, Address
from raw_peers import exactly, frame, greet, hangs_up
from tls import certificates, server_context, ssl_client

import nngio
from nngio._core.library import lib
from nngio._core.nng import patched

over_websockets = pytest.mark.parametrize("transport", ["ws", "wss"])


def tls(transport: str, *, dials: bool = False) -> dict[str, Any]:
    """The keyword argument with which an endpoint has TLS, if its transport does."""
    if transport not in ("tls+tcp", "wss"):
        return {}
    return {"tls": certificates().client if dials else certificates().server}


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
    """A connection to a listener of tcp, tls+tcp or ipc, which says nothing."""
    ipc = listener.url.startswith("ipc")
    if listener.url.startswith("tls"):
        with ssl_client(listener.port) as peer:
            yield peer
        return
    with socket.socket(socket.AF_UNIX if ipc else socket.AF_INET) as peer:
        peer.connect(listener.url.removeprefix("ipc://") if ipc else ("127.0.0.1", listener.port))
        yield peer


def sp_message(transport: str, data: bytes) -> bytes:
    return (b"\1" if transport == "ipc" else b"") + frame(data)


@pytest.mark.parametrize("where", ["socket", "listener"])
@pytest.mark.parametrize("transport", ["tcp", "ipc", "tls+tcp"])
def test_a_peer_that_sends_too_much_is_cut_off(transport: str, where: str, address: Address) -> None:
    """A message of the largest size arrives; with one byte more the connection ends, and the next peer is welcome."""
    options = {"recv_max_size": 100}
    with nngio.Pull0(**options if where == "socket" else {}) as pull:
        listener = pull.listen(address(transport), **tls(transport), **options if where == "listener" else {})
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


@over_websockets
def test_a_websocket_peer_that_sends_too_much_is_cut_off(transport: str, address: Address) -> None:
    """The same for a listener of ws or wss, from a client that is not NNG's."""
    with (
        nngio.Pull0(recv_max_size=100, listen=address(transport), **tls(transport)) as pull,
        websocket_client(pull.listeners[0], "pull") as (client, _),
    ):
        client.sendall(websocket_frame(b"x" * 100))
        assert pull.recv(timeout=10) == b"x" * 100
        client.sendall(websocket_frame(b"y" * 101))
        assert hangs_up(client)


@pytest.mark.parametrize("where", ["socket", "dialer"])
@pytest.mark.parametrize("transport", ["tcp", "ipc", "ws", "tls+tcp", "wss"])
def test_a_peer_that_sends_too_much_to_a_dialer_is_cut_off(transport: str, where: str, address: Address) -> None:
    """The connection ends, and the dialer makes another. An NNG that doesn't heed it for websockets says so."""
    options: dict[str, Any] = {"recv_max_size": 100}
    security = tls(transport, dials=True)
    with nngio.Push0(listen=address(transport), **tls(transport)) as push, nngio.Pull0(reconnect_time_min=0.01) as pull:
        if transport in ("ws", "wss") and not patched("websocket-size-limits"):
            with pytest.raises(nngio.NotSupported, match="does not heed recv_max_size on ws"):
                pull.dial(push.listeners[0].url, **security, **options)
            return
        if where == "socket":
            pull.recv_max_size = 100
        pull.dial(push.listeners[0].url, **security, **options if where == "dialer" else {})
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
        try:
            sock = socket.socket(fileno=os.dup(number))
        except OSError:
            continue  # another test's, which NNG has closed meanwhile
        with contextlib.suppress(OSError):
            here, there = sock.getsockname(), sock.getpeername()
            if sock.family == socket.AF_INET and port in (here[1], there[1]):
                found["listener" if here[1] == port else "dialer"] = sock
                continue
        sock.close()
    return found


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("transport", ["tcp", "ws", "tls+tcp", "wss"])
def test_tcp_options_are_those_of_the_connection(transport: str, value: bool, address: Address) -> None:
    """The system has what was set for either side: TCP_NODELAY and SO_KEEPALIVE."""
    options = {"tcp_nodelay": value, "tcp_keepalive": not value}
    with nngio.Pair0() as a, nngio.Pair0() as b:
        listener = a.listen(address(transport), **tls(transport), **options)
        b.dial(listener.url, **tls(transport, dials=True), **options)
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
@pytest.mark.parametrize("transport", ["tcp", "ws", "tls+tcp", "wss"])
def test_a_dialer_connects_from_the_address_that_it_is_given(transport: str, given: Any, address: Address) -> None:
    """The peer sees it."""
    with nngio.Pair0(listen=address(transport), **tls(transport)) as a, nngio.Pair0() as b:
        dialer = b.dial(a.listeners[0].url, local_address=given, **tls(transport, dials=True))
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
def websocket_client(listener: nngio.Listener | nngio.StreamListener, protocol: str) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """A client of ours with a listener, and the headers of the response that it got."""
    with (
        ssl_client(listener.port)
        if listener.url.startswith("wss")
        else socket.create_connection(("127.0.0.1", listener.port), 10) as client
    ):
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
def websocket_server(transport: str = "ws") -> Iterator[tuple[str, Callable[[], tuple[socket.socket, dict[str, str]]]]]:
    """The URL of a server of ours, and a function that accepts a client and returns the connection and its headers."""
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as stack:
        server.settimeout(10)

        def accept() -> tuple[socket.socket, dict[str, str]]:
            connection = server.accept()[0]
            connection.settimeout(10)
            if transport == "wss":
                connection = server_context().wrap_socket(connection, server_side=True)
            stack.enter_context(connection)
            _, headers = http_head(connection)
            key = headers["sec-websocket-key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accepted = base64.b64encode(hashlib.sha1(key).digest()).decode()
            connection.sendall(
                f"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accepted}\r\n"
                f"Sec-WebSocket-Protocol: {headers['sec-websocket-protocol']}\r\n\r\n".encode()
            )
            return connection, headers

        yield f"{transport}://127.0.0.1:{server.getsockname()[1]}/x", accept


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


@over_websockets
def test_a_server_sees_the_headers_of_a_request(transport: str) -> None:
    """All of them once, as they are at the start; a change counts for the next connection, and one can't be taken back."""
    with websocket_server(transport) as (url, accept), nngio.Pair0(reconnect_time_min=0.01, **tls(transport, dials=True)) as pair:
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
        if isinstance(connection, ssl.SSLSocket):
            connection.unwrap()  # NNG 1.12 may not notice the end of a connection that is merely cut
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


@over_websockets
def test_a_client_sees_the_headers_of_a_response(transport: str, address: Address) -> None:
    """All of them once, as they are at the start; a change counts for the next connection."""
    with nngio.Pair0(**tls(transport)) as pair:
        listener = nngio.Listener(pair, address(transport))
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


@over_websockets
@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_websocket_peer_with_too_large_a_frame_is_cut_off(name: str, transport: str, address: Address) -> None:
    """A frame of the largest size arrives; with one byte more, the connection ends."""
    with nngio.Pull0() as pull, ExitStack() as stack:
        if name == "Listener":
            listener = pull.listen(address(transport), recv_max_frame=100, **tls(transport))
            peer, _ = stack.enter_context(websocket_client(listener, "pull"))
        else:
            url, accept = stack.enter_context(websocket_server(transport))
            pull.dial(url, block=False, recv_max_frame=100, **tls(transport, dials=True))
            peer, _ = accept()
        peer.sendall(websocket_frame(b"x" * 100, masked=name == "Listener"))
        assert pull.recv(timeout=10) == b"x" * 100
        peer.sendall(websocket_frame(b"y" * 101, masked=name == "Listener"))
        assert hangs_up(peer)
        with pytest.raises(nngio.TimedOut):
            pull.recv(timeout=0.05)


@over_websockets
@pytest.mark.parametrize("size", [100, 1000, 0])
def test_a_listener_sends_frames_of_the_size_that_it_may(size: int, transport: str, address: Address) -> None:
    """A larger message comes in as many as it takes; without a limit, in one."""
    with nngio.Push0() as push:
        listener = push.listen(address(transport), send_max_frame=size, **tls(transport))
        with websocket_client(listener, "push") as (client, _):
            push.send(b"x" * 2500, timeout=10)
            assert websocket_frames(client) == ([size] * (2500 // size) + [2500 % size] * bool(2500 % size) if size else [2500])


@over_websockets
@pytest.mark.parametrize("size", [100, 1000, 0])
def test_a_dialer_sends_frames_of_the_size_that_it_may(size: int, transport: str) -> None:
    """The same for one that dials; an NNG that doesn't heed it says so."""
    with websocket_server(transport) as (url, accept), nngio.Push0(**tls(transport, dials=True)) as push:
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
