"""Byte streams: what goes in at one end comes out at the other, whoever is there, and whatever interrupts the calls."""

import asyncio
import contextlib
import gc
import hashlib
import os
import pickle
import random
import signal
import socket
import ssl
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tls as tls_files
import trio
import trustme
from loops import Loop, Tasks, on_all_loops
from programs import run
from websockets.sync.client import connect
from websockets.sync.server import serve
from websockets.typing import Subprotocol

import nngio
import nngio.http
from nngio._core.library import AGAIN, NULL, ffi, lib
from nngio._core.nng import nng_version
from nngio._core.nng import patched as is_patched
from nngio._core.operation import PENDING, operation_in, take_slot
from nngio._streams import open_streams

Address = Callable[[str], str]
SECONDS = 20.0
"""What any step may take: much more than it does."""
TRANSPORTS = ("tcp", "ipc", "unix", "abstract", "ws")
patched = pytest.mark.skipif(
    b" + " not in ffi.string(lib.nngio_build_nng_source) or nng_version() != "1.5.2", reason="this NNG tells all ends of a websocket alike"
)


@pytest.fixture(autouse=True)
def no_stream_left_open() -> Iterator[None]:
    """Fails a test that leaves a stream or a listener open."""
    yield
    gc.collect()
    left = list(open_streams)
    for stream in left:
        stream.close()  # type: ignore[attr-defined]
    assert not left, f"left open: {left}"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for what has to go on beside the test."""
    with ThreadPoolExecutor(8) as executor:
        yield executor


def url_for(transport: str, address: Address) -> str:
    match transport:
        case "abstract":
            return "abstract://"
        case "unix":
            return address("ipc").replace("ipc:", "unix:")
        case _:
            return address(transport)


@contextlib.contextmanager
def connected(url: str, **options: Any) -> Iterator[tuple[nngio.Stream, nngio.Stream]]:
    """Both ends of a connection: who dialed, and who accepted."""
    with nngio.StreamListener(url, **options) as listener, nngio.StreamDialer(listener.url) as dialer:
        near = dialer.dial(timeout=SECONDS)
        with near, listener.accept(timeout=SECONDS) as far:
            yield near, far


@pytest.fixture
def ends(address: Address) -> Iterator[tuple[nngio.Stream, nngio.Stream]]:
    """Both ends of a TCP connection."""
    with connected(address("tcp")) as pair:
        yield pair


@contextlib.contextmanager
def with_socket() -> Iterator[tuple[nngio.Stream, socket.socket]]:
    """A stream, and the plain socket at its other end."""
    with nngio.StreamListener("tcp://127.0.0.1:0") as listener, socket.create_connection(("127.0.0.1", listener.port)) as plain:
        plain.settimeout(SECONDS)
        with listener.accept(timeout=SECONDS) as stream:
            yield stream, plain


def reset(plain: socket.socket) -> None:
    """End a connection the hard way."""
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain.close()


def recv_all(stream: nngio.Stream, received: list[bytes]) -> None:
    """Add to a list what comes until the end, however that is told."""
    while data := stream.recv(400, timeout=SECONDS):
        received.append(data)


# Bytes.


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_bytes_go_both_ways_over_each_transport(transport: str, address: Address) -> None:
    """Each end receives what the other sends, and b"" when the other has closed."""
    with connected(url_for(transport, address)) as (near, far):
        near.send_all(b"there", timeout=SECONDS)
        assert far.recv_exactly(5, timeout=SECONDS) == b"there"
        assert far.send(b"back", timeout=SECONDS) == 4
        assert near.recv(timeout=SECONDS) == b"back"
        near.close()
        if transport == "ws" and nng_version() != "1.5.2":
            with pytest.raises(nngio.ConnectionReset):
                far.recv(timeout=SECONDS)
        else:
            assert far.recv(timeout=SECONDS) == b""
            assert far.recv(timeout=SECONDS) == b""  # and again


@pytest.mark.parametrize("transport", TRANSPORTS)
@on_all_loops
def test_bytes_go_both_ways_on_each_loop(transport: str, loop: Loop, address: Address) -> None:
    """The awaitable forms do the same on every loop."""

    async def main(tasks: Tasks) -> None:
        async with nngio.StreamListener(url_for(transport, address)) as listener, nngio.StreamDialer(listener.url) as dialer:
            accepting = tasks.start(listener.aaccept)
            async with await dialer.adial(timeout=SECONDS) as near, (await accepting.wait()).result() as far:
                await near.asend_all(b"there")
                assert await far.arecv_exactly(5) == b"there"
                assert await far.asend(b"back") == 4
                buffer = bytearray(10)
                assert await near.arecv_into(buffer) == 4
                assert buffer[:4] == b"back"
                with pytest.raises(nngio.TimedOut):
                    await near.arecv(timeout=0.02)
                await far.asend_all(b"last words")
                await far.aclose()
                chunks = []
                with contextlib.suppress(nngio.ConnectionReset if transport == "ws" and nng_version() != "1.5.2" else ()):
                    async for chunk in near:
                        chunks.append(chunk)  # noqa: PERF401  # the loop may end in an error
                assert b"".join(chunks) == b"last words"

    loop.run(main)


def test_websockets_may_be_closed_as_soon_as_their_end_is_told(pool: ThreadPoolExecutor) -> None:
    """Hundreds of times on each of eight threads: NNG's thread of timers tells that end, and has to have let go of the websocket."""

    def end_many(listener: nngio.StreamListener) -> int:
        with listener, nngio.StreamDialer(listener.url) as dialer:
            for number in range(500):
                near, far = dialer.dial(timeout=SECONDS), listener.accept(timeout=SECONDS)
                far.send_all(b"last words", timeout=SECONDS)
                far.close()
                time.sleep(0.0005)  # so that the end is known, as a rule, when the receive asks for it
                assert near.recv_exactly(10, timeout=SECONDS) == b"last words"
                with contextlib.suppress(() if is_patched("websocket-stream-end") else nngio.ConnectionReset):
                    assert near.recv(timeout=SECONDS) == b"", number
                near.close()
        return number

    listeners = [nngio.StreamListener("ws://127.0.0.1:0/end") for _ in range(8)]
    assert [end.result() for end in [pool.submit(end_many, listener) for listener in listeners]] == [499] * 8


def test_what_is_closed_in_a_cancelled_scope_is_closed(address: Address) -> None:
    """The cancellation is raised when it is closed, as the end of a block closes it."""

    async def main() -> None:
        made = [nngio.StreamListener(address("tcp")), nngio.StreamDialer("tcp://127.0.0.1:1"), nngio.http.Server("http://127.0.0.1:0")]
        for closing in made:
            with trio.CancelScope() as scope:
                async with closing:
                    scope.cancel()
            assert scope.cancelled_caught
            assert closing.closed

    trio.run(main)


def pieces(total: int, seed: int) -> list[bytes]:
    """Random bytes, cut at random."""
    chance = random.Random(seed)
    cut: list[bytes] = []
    while total:
        size = min(total, chance.choice((1, 100, 5000, 70_000, 1_000_000)))
        cut.append(chance.randbytes(size))
        total -= size
    return cut


def send_pieces(stream: nngio.Stream, cut: list[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in cut:
        digest.update(piece)
        stream.send_all(piece, timeout=SECONDS)
    return digest.hexdigest()


def recv_pieces(stream: nngio.Stream, total: int, seed: int) -> str:
    digest, chance = hashlib.sha256(), random.Random(seed)
    while total:
        size = min(total, chance.choice((1, 333, 65536, 300_000)))
        data = stream.recv_exactly(size, timeout=SECONDS) if chance.random() < 0.3 else stream.recv(size, timeout=SECONDS)
        assert data
        digest.update(data)
        total -= len(data)
    return digest.hexdigest()


@pytest.mark.parametrize("transport", ["tcp", "ipc", "ws"])
def test_large_transfers_both_ways_arrive_unchanged(transport: str, address: Address, pool: ThreadPoolExecutor) -> None:
    """20 MB each way at the same time, in pieces of any size, have the checksums that they had."""
    cut = [pieces(20_000_000, seed) for seed in (1, 2)]
    with connected(url_for(transport, address)) as (near, far):
        sent = [pool.submit(send_pieces, near, cut[0]), pool.submit(send_pieces, far, cut[1])]
        received = [pool.submit(recv_pieces, far, 20_000_000, 3), pool.submit(recv_pieces, near, 20_000_000, 4)]
        assert [future.result() for future in received] == [future.result() for future in sent]


@on_all_loops
def test_one_large_send_arrives_in_one_exact_receive(loop: Loop, address: Address) -> None:
    """Tens of megabytes in one call each."""
    data = random.Random(5).randbytes(30_000_000)

    async def main(tasks: Tasks) -> None:
        with connected(address("tcp")) as (near, far):
            sending = tasks.start(near.asend_all, data)
            assert await far.arecv_exactly(len(data), timeout=SECONDS) == data
            (await sending.wait()).result()

    loop.run(main)


# Other people's ends.


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_plain_sockets_are_peers_in_both_roles(transport: str, address: Address) -> None:
    """Python's own sockets connect and accept."""
    family = socket.AF_INET if transport == "tcp" else socket.AF_UNIX
    with nngio.StreamListener(address(transport)) as listener, socket.socket(family) as plain:
        plain.settimeout(SECONDS)
        plain.connect(("127.0.0.1", listener.port) if transport == "tcp" else listener.url.removeprefix("ipc://"))
        with listener.accept(timeout=SECONDS) as stream:
            plain.sendall(b"from a socket")
            assert stream.recv(timeout=SECONDS) == b"from a socket"
            stream.send_all(b"to a socket")
            assert plain.recv(100) == b"to a socket"
    path = address("ipc").removeprefix("ipc://")
    with socket.socket(family) as server:
        server.settimeout(SECONDS)
        server.bind(("127.0.0.1", 0) if transport == "tcp" else path)
        server.listen()
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}" if transport == "tcp" else f"ipc://{path}"
        with nngio.StreamDialer(url).dial(timeout=SECONDS) as stream, server.accept()[0] as plain:
            plain.settimeout(SECONDS)
            stream.send_all(b"to a server")
            assert plain.recv(100) == b"to a server"
            plain.close()
            assert stream.recv(timeout=SECONDS) == b""


@pytest.mark.parametrize("transport", ["tcp", "ipc", "tls+tcp"])
@on_all_loops
def test_asyncios_streams_are_peers_in_both_roles(loop: Loop, transport: str, address: Address, pool: ThreadPoolExecutor) -> None:
    """asyncio's own server and client, on a loop of their own: over TCP, a UNIX socket, and with its TLS."""
    data = random.Random(6).randbytes(3_000_000 if transport == "tcp" else 500_000)
    secure = transport == "tls+tcp"
    path = address("ipc").removeprefix("ipc://")
    listens, dials = ({"tls": tls_files.plain_server()}, {"tls": tls_files.plain_client()}) if secure else ({}, {})

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(10_000):
            writer.write(chunk)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def server(started: Callable[[tuple[str, Callable[[], object]]], object]) -> None:
        done = asyncio.Event()
        if transport == "ipc":
            serving = await asyncio.start_unix_server(echo, path)
        else:
            serving = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=tls_files.server_context() if secure else None)
        async with serving:
            here = asyncio.get_running_loop()
            at = path if transport == "ipc" else f"127.0.0.1:{serving.sockets[0].getsockname()[1]}"
            started((f"{transport}://{at}", lambda: here.call_soon_threadsafe(done.set)))
            await done.wait()

    async def client(listener: nngio.StreamListener) -> bytes:
        if transport == "ipc":
            reader, writer = await asyncio.open_unix_connection(listener.url.removeprefix("ipc://"))
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=tls_files.client_context() if secure else None)
        writer.write(data)
        if writer.can_write_eof():  # which TLS can't
            writer.write_eof()
            answer = await reader.read()
        else:
            answer = await reader.readexactly(len(data))
        writer.close()
        await writer.wait_closed()
        return answer

    async def main(tasks: Tasks) -> None:
        stream = await nngio.StreamDialer(url, **dials).adial(timeout=SECONDS)
        async with stream:
            sending = tasks.start(stream.asend_all, data)
            assert await stream.arecv_exactly(len(data), timeout=SECONDS) == data
            (await sending.wait()).result()
        with nngio.StreamListener(address(transport), **listens) as listener:
            answer = pool.submit(asyncio.run, client(listener))
            async with await listener.aaccept(timeout=SECONDS) as stream:
                async for chunk in stream:
                    await stream.asend_all(chunk)
            assert answer.result() == data

    box: list[tuple[str, Callable[[], object]]] = []
    ready = threading.Event()
    serving = pool.submit(asyncio.run, server(lambda it: (box.append(it), ready.set())))
    assert ready.wait(SECONDS)
    url, stop = box[0]
    try:
        loop.run(main)
    finally:
        stop()
        serving.result()


@pytest.mark.parametrize("transport", ["ws", "wss"])
def test_a_websocket_library_is_a_peer_in_both_roles(transport: str, pool: ThreadPoolExecutor) -> None:
    """`websockets` dials and listens, with a subprotocol, and large messages in frames; with Python's TLS too."""
    data = random.Random(7).randbytes(500_000)
    secure = transport == "wss"
    listens, dials = ({"tls": tls_files.plain_server()}, {"tls": tls_files.plain_client()}) if secure else ({}, {})

    def echo(peer: Any) -> None:
        for message in peer:
            peer.send(message)

    shown = tls_files.server_context() if secure else None
    with serve(echo, "127.0.0.1", 0, subprotocols=[Subprotocol("echo")], ssl=shown) as server:
        serving = pool.submit(server.serve_forever)
        url = f"{transport}://127.0.0.1:{server.socket.getsockname()[1]}/path"
        with nngio.StreamDialer(url, ws_protocol="echo", **dials).dial(timeout=SECONDS) as stream:
            stream.send_all(data)
            assert stream.recv_exactly(len(data), timeout=SECONDS) == data
        server.shutdown()
        serving.result()

    with (
        nngio.StreamListener(f"{transport}://127.0.0.1:0/path", ws_protocol="echo", **listens) as listener,
        connect(
            listener.url, subprotocols=[Subprotocol("echo")], max_size=None, ssl=tls_files.client_context() if secure else None
        ) as peer,
        listener.accept(timeout=SECONDS) as stream,
    ):
        peer.send(data[:60_000])
        assert stream.recv_exactly(60_000, timeout=SECONDS) == data[:60_000]
        stream.send_all(data)
        answer = b""
        while len(answer) < len(data):
            part = peer.recv(SECONDS)
            assert isinstance(part, bytes)
            answer += part
        assert answer == data


def test_a_websocket_carries_text(pool: ThreadPoolExecutor) -> None:
    """In text mode frames are text in both directions, never cut in the middle of a character."""
    text = "aé€😀" * 30_000
    options = {"ws_send_text": True, "ws_recv_text": True}
    with (
        nngio.StreamListener("ws://127.0.0.1:0/text", **options) as listener,
        connect(listener.url, max_size=None) as peer,
        listener.accept(timeout=SECONDS) as stream,
    ):
        assert stream.ws_send_text
        assert stream.ws_recv_text
        sending = pool.submit(stream.send_all, text.encode())
        parts = []
        while sum(map(len, parts)) < len(text):
            part = peer.recv(SECONDS)
            assert isinstance(part, str)
            parts.append(part)
        assert "".join(parts) == text
        sending.result()
        peer.send("zurück")
        assert stream.recv(timeout=SECONDS).decode() == "zurück"
    with (
        nngio.StreamListener("ws://127.0.0.1:0/text", **options) as listener,
        nngio.StreamDialer(listener.url, **options) as dialer,
        dialer.dial(timeout=SECONDS) as near,
        listener.accept(timeout=SECONDS) as far,
    ):
        near.send_all("日本".encode())
        assert far.recv(timeout=SECONDS).decode() == "日本"


@patched
def test_a_websocket_that_its_peer_closes_has_ended_in_good_order() -> None:
    """Also for a receive that begins when the close frame has come; and the peer is answered."""
    with (
        nngio.StreamListener("ws://127.0.0.1:0/close") as listener,
        connect(listener.url) as peer,
        listener.accept(timeout=SECONDS) as stream,
    ):
        peer.send(b"all there is")
        assert stream.recv(timeout=SECONDS) == b"all there is"  # NNG reads on from here
        peer.close()
        assert peer.protocol.close_code == 1000  # it has seen our answer, in which the code is
        assert stream.recv(timeout=SECONDS) == b""
        with pytest.raises(nngio.ConnectionShutdown):
            stream.send_all(b"too late", timeout=SECONDS)


@patched
def test_what_came_before_a_websockets_end_is_received(pool: ThreadPoolExecutor) -> None:
    """NNG reads the close frame when there is room for it."""
    with (
        nngio.StreamListener("ws://127.0.0.1:0/close") as listener,
        connect(listener.url) as peer,
        listener.accept(timeout=SECONDS) as stream,
    ):
        peer.send(b"first")
        assert stream.recv(timeout=SECONDS) == b"first"
        peer.send(b"last")
        closing = pool.submit(peer.close)
        assert stream.recv(timeout=SECONDS) == b"last"
        assert stream.recv(timeout=SECONDS) == b""
        closing.result()


@patched
def test_a_websocket_that_breaks_has_not_ended_in_good_order() -> None:
    """A connection that is cut, a frame that is too large and a text that nobody wants are errors, each its own."""
    with nngio.StreamListener("ws://127.0.0.1:0/break", recv_max_frame=1000) as listener:
        with connect(listener.url) as peer, listener.accept(timeout=SECONDS) as stream:
            peer.socket.shutdown(socket.SHUT_RDWR)
            with pytest.raises(nngio.ConnectionReset):
                stream.recv(timeout=SECONDS)
        with connect(listener.url) as peer, listener.accept(timeout=SECONDS) as stream:
            peer.send(bytes(1001))
            with pytest.raises(nngio.MessageTooLarge):
                stream.recv(timeout=SECONDS)
        with connect(listener.url) as peer, listener.accept(timeout=SECONDS) as stream:
            peer.send("text")
            with pytest.raises(nngio.ProtocolError):
                stream.recv(timeout=SECONDS)
            with pytest.raises(nngio.ProtocolError):
                stream.recv(timeout=SECONDS)


# TLS.


class Config:
    """An authority, and what dialers and listeners have of it."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        issued = self.authority.issue_cert("localhost")
        self.trusts = nngio.TLSConfig(ca=self.authority.cert_pem.bytes())
        self.shows = nngio.TLSConfig(cert=b"".join(blob.bytes() for blob in issued.cert_chain_pems), key=issued.private_key_pem.bytes())


@pytest.fixture(scope="module")
def config() -> Config:
    """One authority for all tests."""
    return Config()


@pytest.mark.parametrize("transport", ["tls+tcp", "wss"])
def test_bytes_go_both_ways_over_tls(transport: str, config: Config, pool: ThreadPoolExecutor) -> None:
    """20 MB each way over tls+tcp and wss."""
    url = "tls+tcp://localhost:0" if transport == "tls+tcp" else "wss://localhost:0/tls"
    with nngio.StreamListener(url, tls=config.shows) as listener, nngio.StreamDialer(listener.url, tls=config.trusts) as dialer:
        assert listener.tls is config.shows
        with dialer.dial(timeout=SECONDS) as near, listener.accept(timeout=SECONDS) as far:
            cut = [pieces(5_000_000, seed) for seed in (1, 2)]
            sent = [pool.submit(send_pieces, near, cut[0]), pool.submit(send_pieces, far, cut[1])]
            received = [pool.submit(recv_pieces, far, 5_000_000, 3), pool.submit(recv_pieces, near, 5_000_000, 4)]
            assert [future.result() for future in received] == [future.result() for future in sent]
            if transport == "tls+tcp":
                assert near.tls_verified


def test_tls_has_to_be_told_of_certificates(config: Config) -> None:
    """And what has no TLS isn't."""
    with pytest.raises(nngio.InvalidArgument, match=r"pass tls=nngio.TLSConfig\(ca="):
        nngio.StreamDialer("tls+tcp://localhost:1")
    with pytest.raises(nngio.InvalidArgument, match=r"pass tls=nngio.TLSConfig\(cert="):
        nngio.StreamListener("wss://localhost:0/")
    with pytest.raises(nngio.InvalidArgument, match="takes no tls="):
        nngio.StreamDialer("tcp://localhost:1", tls=config.trusts)
    with pytest.raises(TypeError, match="tls is a TLSConfig"):
        nngio.StreamDialer("wss://localhost:1", tls=5)  # type: ignore[arg-type]


def test_a_certificate_that_is_not_trusted_ends_the_connection(config: Config, pool: ThreadPoolExecutor) -> None:
    """The first receive says so."""
    with (
        nngio.StreamListener("tls+tcp://localhost:0", tls=config.shows) as listener,
        nngio.StreamDialer(listener.url, tls=Config().trusts) as dialer,
        dialer.dial(timeout=SECONDS) as near,
        listener.accept(timeout=SECONDS) as far,
    ):
        failing = pool.submit(far.recv, timeout=SECONDS)
        with pytest.raises((nngio.PeerAuthError, nngio.CryptoError)):
            near.recv(timeout=SECONDS)
        with contextlib.suppress(nngio.NNGError):
            failing.result()


def test_pythons_ssl_is_a_peer_in_both_roles(config: Config, pool: ThreadPoolExecutor) -> None:
    """Python's TLS connects and accepts, and we see that it ends in good order."""
    client = ssl.create_default_context()
    config.authority.configure_trust(client)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    config.authority.issue_cert("localhost").configure_cert(server)

    def dial(port: int) -> bytes:
        with (
            socket.create_connection(("localhost", port), SECONDS) as plain,
            client.wrap_socket(plain, server_hostname="localhost") as peer,
        ):
            peer.sendall(b"from ssl")
            answer = peer.recv(100)
            with contextlib.suppress(OSError):
                peer.unwrap().close()  # waits for our notice
            return answer

    with nngio.StreamListener("tls+tcp://localhost:0", tls=config.shows) as listener:
        answer = pool.submit(dial, listener.port)
        with listener.accept(timeout=SECONDS) as stream:
            assert stream.recv_exactly(8, timeout=SECONDS) == b"from ssl"
            stream.send_all(b"to ssl", timeout=SECONDS)
            assert stream.recv(timeout=SECONDS) == b""
        assert answer.result() == b"to ssl"

    def accept(plain: socket.socket) -> bytes:
        peer = server.wrap_socket(plain.accept()[0], server_side=True)
        with peer:
            data = peer.recv(100)
            peer.sendall(b"to a dialer")
            with contextlib.suppress(OSError):
                peer.unwrap().close()
            return data

    with socket.create_server(("localhost", 0)) as plain:
        plain.settimeout(SECONDS)
        seen = pool.submit(accept, plain)
        with nngio.StreamDialer(f"tls+tcp://localhost:{plain.getsockname()[1]}", tls=config.trusts).dial(timeout=SECONDS) as stream:
            stream.send_all(b"from a dialer", timeout=SECONDS)
            assert seen
            assert stream.recv_exactly(11, timeout=SECONDS) == b"to a dialer"
            assert stream.recv(timeout=SECONDS) == b""
        assert seen.result() == b"from a dialer"


@on_all_loops
def test_a_cancelled_receive_leaves_a_tls_stream_as_it_is(loop: Loop, config: Config) -> None:
    """NNG ends a TLS connection whose receive is cancelled: so it isn't."""

    async def main(tasks: Tasks) -> None:
        with (
            nngio.StreamListener("tls+tcp://localhost:0", tls=config.shows) as listener,
            nngio.StreamDialer(listener.url, tls=config.trusts) as dialer,
        ):
            async with await dialer.adial() as near, await listener.aaccept() as far:
                for number in range(5):
                    receiving = tasks.start(far.arecv)
                    await loop.sleep(0.01)
                    receiving.cancel()
                    assert (await receiving.wait()).cancelled
                    sending = tasks.start(near.asend_all, b"%d" % number)
                    assert await far.arecv(timeout=SECONDS) == b"%d" % number
                    (await sending.wait()).result()

    loop.run(main)


# Peers that break off, stop half-way, or are slow.


def test_what_came_before_a_reset_is_received_before_the_error() -> None:
    """A reset is an error and no end of the stream; the bytes that had come are not lost to it."""
    with with_socket() as (stream, plain):
        plain.sendall(b"x" * 1000)
        assert stream.recv(1, timeout=SECONDS) == b"x"  # the rest is with the system
        reset(plain)
        received: list[bytes] = []
        with pytest.raises(nngio.ConnectionReset):
            recv_all(stream, received)
        assert b"".join(received) == b"x" * 999
        with pytest.raises(nngio.ConnectionReset):
            stream.recv(timeout=SECONDS)
        with pytest.raises((nngio.ConnectionShutdown, nngio.ConnectionReset)):
            stream.send_all(bytes(50_000_000), timeout=SECONDS)


def test_a_reset_ends_a_receive_and_a_send_that_wait(pool: ThreadPoolExecutor) -> None:
    """Both raise an error of the connection."""
    with with_socket() as (stream, plain):
        receiving = pool.submit(stream.recv)
        sending = pool.submit(stream.send_all, bytes(50_000_000))
        plain.recv(1000)
        reset(plain)
        with pytest.raises(nngio.ConnectionReset):
            receiving.result(SECONDS)
        with pytest.raises((nngio.ConnectionShutdown, nngio.ConnectionReset)):
            sending.result(SECONDS)


def test_a_peer_that_ends_its_half_still_receives() -> None:
    """The end of what comes in is not the end of what goes out."""
    with with_socket() as (stream, plain):
        plain.sendall(b"all I have to say")
        plain.shutdown(socket.SHUT_WR)
        assert b"".join(stream) == b"all I have to say"
        stream.send_all(b"one moment")
        stream.send_all(b", here it is")
        stream.close()
        answer = b""
        while part := plain.recv(1000):
            answer += part
        assert answer == b"one moment, here it is"


def test_single_bytes_add_up(pool: ThreadPoolExecutor) -> None:
    """A peer that trickles fills an exact receive; a plain one takes what there is."""
    data = bytes(range(200))

    def trickle(plain: socket.socket) -> None:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in data:
            plain.sendall(bytes([byte]))
            time.sleep(0)

    with with_socket() as (stream, plain):
        done = pool.submit(trickle, plain)
        assert stream.recv_exactly(150, timeout=SECONDS) == data[:150]
        rest = b""
        while len(rest) < 50:
            rest += stream.recv(7, timeout=SECONDS)
        assert rest == data[150:]
        done.result()


def test_a_stream_that_ends_too_early_keeps_what_came() -> None:
    """An exact receive says so, and the bytes are there for the next."""
    with with_socket() as (stream, plain):
        plain.sendall(b"half")
        plain.close()
        with pytest.raises(nngio.ConnectionShutdown, match="before 8 bytes"):
            stream.recv_exactly(8, timeout=SECONDS)
        assert stream.recv_exactly(2, timeout=SECONDS) == b"ha"
        assert stream.recv(timeout=SECONDS) == b"lf"
        assert stream.recv(timeout=SECONDS) == b""


# Interrupted calls.


@on_all_loops
def test_a_cancelled_receive_loses_no_byte(loop: Loop, ends: tuple[nngio.Stream, nngio.Stream]) -> None:
    """What came for it, before the cancellation or after, is for the next one, in order."""
    near, far = ends

    async def main(tasks: Tasks) -> None:
        for receive in (lambda: far.arecv(), lambda: far.arecv_exactly(10), lambda: far.arecv_into(bytearray(3))):
            task = tasks.start(receive)
            await loop.sleep(0.01)
            await near.asend_all(b"01234")
            task.cancel()
            outcome = await task.wait()
            assert outcome.cancelled or not outcome.error
            await near.asend_all(b"56789")
            rest = b""
            taken = 0 if outcome.cancelled else outcome.value if isinstance(outcome.value, int) else len(outcome.value)
            while len(rest) < 10 - taken:
                rest += await far.arecv(timeout=SECONDS)
            assert rest == b"0123456789"[taken:]

    loop.run(main)


def test_a_receive_whose_time_is_up_loses_no_byte(ends: tuple[nngio.Stream, nngio.Stream]) -> None:
    """Half of an exact receive is there for the next, at once."""
    near, far = ends
    near.send_all(b"half")
    with pytest.raises(nngio.TimedOut):
        far.recv_exactly(8, timeout=0.05)
    assert far.recv(timeout=SECONDS) == b"half"
    near.send_all(b"other")
    assert far.recv(2, timeout=SECONDS) == b"ot"
    assert far.recv_exactly(3, timeout=SECONDS) == b"her"


def test_no_time_is_a_moment(ends: tuple[nngio.Stream, nngio.Stream]) -> None:
    """With a timeout of 0, what can be done at once is done, soon if not the first time."""
    near, far = ends
    near.send_all(b"here", timeout=SECONDS)
    deadline = time.monotonic() + SECONDS
    data = b""
    while not data:
        assert time.monotonic() < deadline
        with contextlib.suppress(nngio.TimedOut):
            data = far.recv(timeout=0)
    assert data == b"here"
    with pytest.raises(nngio.TimedOut):
        far.recv(timeout=0)


@on_all_loops
def test_a_cancelled_send_that_has_begun_goes_on(loop: Loop, ends: tuple[nngio.Stream, nngio.Stream]) -> None:
    """Its bytes arrive whole, before those of the next; one whose turn has not come sends nothing."""
    near, far = ends
    first, second, third = (letter * 30_000_000 for letter in (b"1", b"2", b"3"))

    async def main(tasks: Tasks) -> None:
        begun = tasks.start(near.asend_all, first)
        await loop.sleep(0.05)
        waiting = tasks.start(near.asend_all, second)
        await loop.sleep(0.05)
        for task in (begun, waiting):
            task.cancel()
            assert (await task.wait()).cancelled
        last = tasks.start(near.asend_all, third)
        assert await far.arecv_exactly(len(first), timeout=SECONDS) == first
        assert await far.arecv_exactly(len(third), timeout=SECONDS) == third
        (await last.wait()).result()
        near.close()
        assert await far.arecv(timeout=SECONDS) == b""

    loop.run(main)


def test_sends_of_many_threads_arrive_each_in_one_piece(ends: tuple[nngio.Stream, nngio.Stream], pool: ThreadPoolExecutor) -> None:
    """However large."""
    near, far = ends
    size = 400_000
    sending = [pool.submit(near.send_all, bytes([number]) * size) for number in range(7)]
    seen = [far.recv_exactly(size, timeout=SECONDS) for _ in sending]
    assert sorted(seen) == [bytes([number]) * size for number in range(7)]
    for future in sending:
        future.result()


def test_ctrl_c_interrupts_a_receive_that_loses_nothing(ends: tuple[nngio.Stream, nngio.Stream]) -> None:
    """And a send, an accept and a dial."""
    near, far = ends

    def interrupt(call: Callable[[], object]) -> None:
        def handler(_number: int, _frame: object) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            with pytest.raises(KeyboardInterrupt):
                call()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    interrupt(far.recv)
    near.send_all(b"after all")
    assert far.recv(timeout=SECONDS) == b"after all"
    with nngio.StreamListener("tcp://127.0.0.1:0") as listener:
        interrupt(listener.accept)
        with nngio.StreamDialer(listener.url).dial(timeout=SECONDS), listener.accept(timeout=SECONDS):
            pass
    interrupt(lambda: near.send_all(bytes(50_000_000)))


@on_all_loops
def test_a_cancelled_accept_loses_no_connection(loop: Loop) -> None:
    """Who had connected for it is accepted by the next."""

    async def main(tasks: Tasks) -> None:
        with nngio.StreamListener("tcp://127.0.0.1:0") as listener, nngio.StreamDialer(listener.url) as dialer:
            for _ in range(10):
                task = tasks.start(listener.aaccept)
                await loop.sleep(0)
                async with await dialer.adial() as near:
                    task.cancel()
                    outcome = await task.wait()
                    far = await listener.aaccept(timeout=SECONDS) if outcome.cancelled else outcome.result()
                    async with far:
                        await near.asend_all(b"hello")
                        assert await far.arecv(timeout=SECONDS) == b"hello"

    loop.run(main)


@pytest.mark.skipif(not is_patched("tcp-dial"), reason="with this NNG a dial may succeed before it is answered")
@on_all_loops
def test_a_dial_that_gets_no_answer_can_be_ended(loop: Loop, black_hole: int) -> None:
    """By a timeout, a cancellation, and by closing the dialer."""

    async def main(tasks: Tasks) -> None:
        async with nngio.StreamDialer(f"tcp://127.0.0.1:{black_hole}") as dialer:
            with pytest.raises(nngio.TimedOut):
                await dialer.adial(timeout=0.05)
            task = tasks.start(dialer.adial)
            await loop.sleep(0.05)
            task.cancel()
            assert (await task.wait()).cancelled
            task = tasks.start(dialer.adial)
            await loop.sleep(0.05)
            await dialer.aclose()
            assert isinstance((await task.wait()).error, nngio.Closed)
            with pytest.raises(nngio.Closed):
                await dialer.adial()

    loop.run(main)


# The end.


@pytest.mark.parametrize("transport", ["tcp", "ipc", "ws"])
def test_closing_ends_calls_that_wait(transport: str, address: Address, pool: ThreadPoolExecutor) -> None:
    """A receive, a send, and an accept, in other threads, raise Closed; so does each later call."""
    with (
        nngio.StreamListener(address(transport)) as listener,
        nngio.StreamDialer(listener.url) as dialer,
        dialer.dial(timeout=SECONDS) as near,
        listener.accept(timeout=SECONDS) as far,
    ):
        waiting = [pool.submit(near.recv), pool.submit(near.send_all, bytes(50_000_000)), pool.submit(listener.accept)]
        time.sleep(0.05)
        near.close()
        listener.close()
        for future in waiting:
            with pytest.raises(nngio.Closed):
                future.result(SECONDS)
        assert near.closed
        assert listener.closed
        assert not far.closed
        for call in (near.recv, lambda: near.send(b"x"), listener.accept, lambda: near.remote_address):
            with pytest.raises(nngio.Closed):
                call()
        near.close()


@on_all_loops
def test_closing_ends_tasks_that_wait(loop: Loop, ends: tuple[nngio.Stream, nngio.Stream]) -> None:
    """With Closed, and iteration over a listener just ends."""
    near, _ = ends

    async def main(tasks: Tasks) -> None:
        listener = await nngio.StreamListener.alisten("tcp://localhost:0")

        async def accept() -> int:
            count = 0
            async for stream in listener:
                stream.close()
                count += 1
            return count

        accepting, receiving, sending = tasks.start(accept), tasks.start(near.arecv), tasks.start(near.asend_all, bytes(50_000_000))
        with await nngio.StreamDialer(listener.url).adial(timeout=SECONDS) as stream:
            assert await stream.arecv(timeout=SECONDS) == b""
        await near.aclose()
        await listener.aclose()
        assert (await accepting.wait()).result() == 1
        assert isinstance((await receiving.wait()).error, nngio.Closed)
        assert isinstance((await sending.wait()).error, nngio.Closed)

    loop.run(main)


def test_iterating_over_a_listener_accepts_until_it_is_closed(pool: ThreadPoolExecutor) -> None:
    """One stream after the other."""
    with nngio.StreamListener("tcp://127.0.0.1:0") as listener:

        def serve_all() -> list[bytes]:
            seen = []
            for stream in listener:
                with stream:
                    seen.append(stream.recv(timeout=SECONDS))
                    stream.send_all(b"seen")
            return seen

        serving = pool.submit(serve_all)
        for number in range(5):
            with nngio.StreamDialer(listener.url).dial(timeout=SECONDS) as stream:
                stream.send_all(b"%d" % number)
                assert stream.recv(timeout=SECONDS) == b"seen"
        listener.close()
        assert serving.result() == [b"%d" % number for number in range(5)]


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("transport", ["tcp", "ipc", "ws"])
def test_no_descriptor_is_left_behind(transport: str, address: Address) -> None:
    """Connections that were used, dropped before they were accepted, or cut off while a call waited, leave none."""
    with connected(address(transport)):
        pass
    gc.collect()
    before = descriptors()
    for _ in range(20):
        with nngio.StreamListener(address(transport)) as listener, nngio.StreamDialer(listener.url) as dialer:
            with dialer.dial(timeout=SECONDS) as near, listener.accept(timeout=SECONDS) as far:
                with pytest.raises(nngio.TimedOut):
                    far.recv(timeout=0.01)
                near.send_all(b"unread")
            with dialer.dial(timeout=SECONDS):
                listener.accept(timeout=SECONDS).close()
            with pytest.raises(nngio.TimedOut):
                listener.accept(timeout=0.01)
            dialer.dial(timeout=SECONDS).close()
    deadline = time.monotonic() + SECONDS
    while descriptors() > before and time.monotonic() < deadline:
        time.sleep(0.01)  # a thread of NNG's closes them
    assert descriptors() <= before


def test_one_that_is_dropped_open_is_closed_with_a_warning() -> None:
    """A stream, and a listener."""
    listener = nngio.StreamListener("tcp://127.0.0.1:0")
    near = nngio.StreamDialer(listener.url).dial(timeout=SECONDS)
    with listener.accept(timeout=SECONDS) as far:
        with pytest.warns(ResourceWarning, match="unclosed <nngio.Stream "):  # noqa: PT031
            del near
            gc.collect()
        assert far.recv(timeout=SECONDS) == b""
    with pytest.warns(ResourceWarning, match="unclosed <nngio.StreamListener "):  # noqa: PT031
        del listener
        gc.collect()


def test_a_loop_that_ends_gives_back_what_its_receive_had(ends: tuple[nngio.Stream, nngio.Stream]) -> None:
    """The receive of a task that is dropped with its loop loses nothing."""
    near, far = ends
    loop = asyncio.new_event_loop()
    task = loop.create_task(far.arecv())
    loop.run_until_complete(asyncio.sleep(0.01))
    near.send_all(b"for whom?")
    time.sleep(0.05)
    loop.close()
    assert far.recv(timeout=SECONDS) == b"for whom?"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        del task
        gc.collect()


FORKS = """
import nngio, warnings
warnings.simplefilter("error")
listener = nngio.StreamListener("tcp://127.0.0.1:0")
dialer = nngio.StreamDialer(listener.url)
near = dialer.dial(timeout=10)
far = listener.accept(timeout=10)
pid = os.fork()
if not pid:
    for call in (near.recv, lambda: near.send(b"x"), dialer.dial, listener.accept, lambda: near.remote_address,
                 lambda: nngio.StreamListener("tcp://127.0.0.1:0"), near.__enter__):
        try:
            call()
        except nngio.ForkedError:
            continue
        os._exit(1)
    near.close(), far.close(), listener.close(), dialer.close(), repr(near), repr(listener)
    del near, far, listener, dialer
    (os._exit if "NNGIO_SANITIZED" in os.environ else sys.exit)(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
near.send_all(b"still here")
assert far.recv(timeout=10) == b"still here"
for it in (near, far, listener, dialer):
    it.close()
"""


def test_a_forked_child_gets_an_error() -> None:
    """From every call; closing and dropping do nothing there, and the parent goes on."""
    run(FORKS).check()


EXITS = """
import nngio, threading, atexit
listener = nngio.StreamListener("ipc://" + sys.argv[1])
dialer = nngio.StreamDialer(listener.url)
near, far = dialer.dial(timeout=10), listener.accept(timeout=10)
for call in (near.recv, listener.accept, lambda: near.send_all(bytes(20_000_000))):
    threading.Thread(target=call, daemon=True).start()
time.sleep(0.1)
atexit.register(lambda: print(far.closed, len(far.recv(1))))
main_ends()
"""


def test_a_program_ends_with_streams_open(tmp_path: Path) -> None:
    """At once and in silence, with calls waiting; its exit handlers find them open, and the UNIX socket's file is gone."""
    path = tmp_path / "socket"
    run(EXITS, str(path)).check(out="False 1\n", exit_seconds=5)
    assert not path.exists()


# Addresses and options.


def test_a_listener_tells_where_it_listens() -> None:
    """`url` and `port` have what port 0 became."""
    with nngio.StreamListener("tcp://127.0.0.1:0") as listener:
        assert listener.url == f"tcp://127.0.0.1:{listener.port}"
        assert listener.local_address == nngio.TCPAddress("127.0.0.1", listener.port)
        with pytest.raises(nngio.AddressInUse):
            nngio.StreamListener(listener.url)
    with nngio.StreamListener("ws://127.0.0.1:0/a") as listener:
        assert listener.url == f"ws://127.0.0.1:{listener.port}/a"
    with nngio.StreamListener("abstract://") as listener:
        assert isinstance(listener.local_address, nngio.AbstractAddress)
        assert listener.url == f"abstract://{listener.local_address}"


def test_a_stream_tells_who_is_there(address: Address) -> None:
    """Addresses over TCP; user, group and process over a UNIX socket."""
    with connected(address("tcp")) as (near, far):
        assert near.local_address == far.remote_address
        assert near.remote_address == far.local_address
        assert repr(near) == f"<nngio.Stream {near.url}>"
        near.close()
        assert repr(near) == f"<nngio.Stream {near.url}, closed>"
    with connected(address("ipc")) as (near, far):
        assert (far.peer_uid, far.peer_gid, far.peer_pid) == (os.getuid(), os.getgid(), os.getpid())
        with pytest.raises(nngio.NotSupported):
            near.tcp_nodelay  # noqa: B018


def test_options_of_tcp_are_set_and_read(address: Address) -> None:
    """On the dialer and the listener for all of their streams, and on each stream."""
    for value in (True, False):
        with nngio.StreamListener(address("tcp"), tcp_nodelay=value, tcp_keepalive=value) as listener:
            dialer = nngio.StreamDialer(listener.url, tcp_nodelay=value, tcp_keepalive=value)
            assert dialer.tcp_nodelay is dialer.tcp_keepalive is listener.tcp_nodelay is value
            with dialer.dial(timeout=SECONDS) as near, listener.accept(timeout=SECONDS) as far:
                for stream in (near, far):
                    assert stream.tcp_nodelay is stream.tcp_keepalive is value
                    stream.tcp_nodelay = not value
                    assert stream.tcp_nodelay is not value
            dialer.close()


def test_a_dialer_connects_from_where_it_is_told(address: Address) -> None:
    """`local_address` is the source."""
    with nngio.StreamListener(address("tcp")) as listener:
        with (
            nngio.StreamDialer(listener.url, local_address=nngio.TCPAddress("127.0.0.2", 0)) as dialer,
            dialer.dial(timeout=SECONDS),
            listener.accept(timeout=SECONDS) as far,
        ):
            assert isinstance(far.remote_address, nngio.TCPAddress)
            assert far.remote_address.host == "127.0.0.2"
        with pytest.raises(TypeError, match="local_address is a TCPAddress"):
            nngio.StreamDialer(listener.url, local_address=5)
        with pytest.raises(ValueError, match="can't have a port"):
            nngio.StreamDialer(listener.url, local_address=nngio.TCPAddress("127.0.0.1", 80))


def test_a_unix_sockets_file_has_the_permissions_asked_for(tmp_path: Path) -> None:
    """As the mode of a file."""
    with nngio.StreamListener(f"ipc://{tmp_path}/s", ipc_permissions=0o600) as listener:
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
        assert listener.ipc_permissions == 0o600


def test_a_websockets_handshake_carries_headers() -> None:
    """Each side's are read on both sides' streams. An NNG that would write a listener's through a null pointer gets none."""
    url = "ws://127.0.0.1:0/headers?a=b"
    headers: dict[str, Any] = {"response_headers": {"X-Here": "yes"}}
    answers = headers["response_headers"]
    if not is_patched("websocket-response-header"):
        with pytest.raises(nngio.NotSupported, match="does not heed response_headers; the one that nngio builds does"):
            nngio.StreamListener(url.partition("?")[0], **headers)
        headers = answers = {}
    with nngio.StreamListener(url.partition("?")[0], **headers) as listener:
        dialer = nngio.StreamDialer(f"{listener.url}?a=b", request_headers={"X-There": "no", "X-More": "1"})
        assert dialer.request_headers == {"X-There": "no", "X-More": "1"}
        with dialer.dial(timeout=SECONDS) as near, listener.accept(timeout=SECONDS) as far:
            for stream in (near, far):
                assert dict(stream.ws_request_headers)["X-There"] == "no"
                assert dict(stream.ws_request_headers)["X-More"] == "1"
                assert answers.items() <= dict(stream.ws_response_headers).items()
                assert stream.ws_request_uri == "/headers?a=b"
    for bad, text in (({"a b": "x"}, "no name"), ({"a": "x\r\nb: y"}, "line break"), ({"Upgrade": "h2c"}, "NNG's own")):
        with pytest.raises(ValueError, match=text):
            nngio.StreamDialer("ws://127.0.0.1:1/", request_headers=bad)
    with pytest.raises(TypeError, match="a mapping"):
        nngio.StreamDialer("ws://127.0.0.1:1/", request_headers="a: b")
    with pytest.raises(TypeError, match="text"):
        nngio.StreamDialer("ws://127.0.0.1:1/", request_headers={"a": 1})


# What is refused.


def test_bad_urls_and_options_are_refused() -> None:
    """With errors that name what is wrong."""
    with pytest.raises(nngio.NotSupported, match="dial inproc://x: no transport of this build has byte streams"):
        nngio.StreamDialer("inproc://x")
    with pytest.raises(nngio.InvalidArgument):
        nngio.StreamListener("nonsense")
    with pytest.raises(nngio.InvalidArgument, match="NUL"):
        nngio.StreamDialer("tcp://\0")
    with pytest.raises(TypeError, match="a URL is text"):
        nngio.StreamDialer(b"tcp://127.0.0.1:1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no option 'nodelay'"):
        nngio.StreamDialer("tcp://127.0.0.1:1", nodelay=True)
    with pytest.raises(nngio.NotSupported, match="that transport has no option 'ws_protocol'"):
        nngio.StreamDialer("tcp://127.0.0.1:1", ws_protocol="x")
    with pytest.raises(TypeError, match="True or False"):
        nngio.StreamDialer("tcp://127.0.0.1:1", tcp_nodelay=1)
    with pytest.raises(nngio.ConnectionRefused, match=r"dial tcp://127\.0\.0\.1:1"):
        nngio.StreamDialer("tcp://127.0.0.1:1").dial(timeout=SECONDS)
    with pytest.raises(TypeError, match=r"StreamDialer\(url\).dial"):
        nngio.Stream()


def test_bad_arguments_of_calls_are_refused(ends: tuple[nngio.Stream, nngio.Stream]) -> None:
    """Before anything is done."""
    near, far = ends
    with pytest.raises(TypeError, match="encode it first"):
        near.send("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        near.send_all(5)  # type: ignore[arg-type]
    for size in (0, -1, 2**62):
        with pytest.raises(ValueError, match="bytes"):
            near.recv(size)
    with pytest.raises(TypeError, match="a number of bytes"):
        near.recv(1.5)  # type: ignore[arg-type]
    with pytest.raises(nngio.NoMemory):
        near.recv_exactly(2**61, timeout=SECONDS)
    with pytest.raises(TypeError, match="writable"):
        near.recv_into(b"const")
    with pytest.raises(ValueError, match="room for one byte"):
        near.recv_into(bytearray())
    with pytest.raises(ValueError, match="timeout"):
        near.recv(timeout=-1)
    with pytest.raises(TypeError, match="belongs to this process"):
        pickle.dumps(near)
    assert near.recv_exactly(0) == b""
    assert near.send(b"") == 0
    near.send_all(b"")
    near.send_all(memoryview(b"abcdef")[::2])
    assert far.recv_exactly(3, timeout=SECONDS) == b"ace"


def test_an_operation_that_was_interrupted_is_nothing_to_the_next_call_that_gets_it() -> None:
    """It goes back to the pool with what it was given still to be taken; and the next call is interrupted before it begins."""
    with (
        nngio.StreamListener("tcp://127.0.0.1:0") as listener,
        nngio.StreamDialer(listener.url) as dialer,
        dialer.dial(timeout=SECONDS) as near,
        listener.accept(timeout=SECONDS) as far,
    ):
        near.send_all(b"hello")
        slot = take_slot()
        op = operation_in(slot)
        code = lib.nngio_stream_begin_recv(op, far._c, 5, 5, -1)
        while code in (PENDING, AGAIN):
            code = lib.nngio_stream_wait(op)
        assert code == 0
        del slot, op
        slots = [take_slot() for _ in range(3)]
        lib.nngio_abandon(operation_in(slots[0]), NULL)
        del slots
        assert far.recv_exactly(5, timeout=SECONDS) == b"hello"
