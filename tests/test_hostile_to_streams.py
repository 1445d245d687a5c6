"""Peers that mean no good, of byte streams and of TLS: a listener goes on serving, and a dialer is told, wherever they break off."""

import asyncio
import contextlib
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hostile import Stranger, certificate, false_listener, tls_for
from tls import PATCHED, SECONDS, certificates, client_context, client_hello, plain_client, plain_server, server_context

import nngio

patched = pytest.mark.skipif(not PATCHED, reason="this NNG isn't patched against it")
TRANSPORTS = ("tcp", "ipc", "ws", "tls+tcp", "wss")


# Listeners.


@contextmanager
def echoing(url: str, tls: nngio.TLSConfig | None) -> Iterator[nngio.StreamListener]:
    """A listener whose streams say what they hear, each until it ends, on a loop of its own."""

    async def echo(stream: nngio.Stream) -> None:
        async with stream:
            with contextlib.suppress(nngio.NNGError):
                async for data in stream:
                    await stream.asend_all(data)

    async def serve() -> None:
        tasks: dict[asyncio.Task[None], nngio.Stream] = {}
        async for stream in listener:
            tasks[task := asyncio.create_task(echo(stream))] = stream
            task.add_done_callback(tasks.pop)
        for stream in tasks.values():
            stream.close()
        await asyncio.gather(*tasks)

    with nngio.StreamListener(url, tls=tls) as listener:
        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        thread.start()
        try:
            yield listener
        finally:
            listener.close()
            thread.join()


def descriptors() -> int:
    """How many sockets the process has."""
    found = 0
    for file in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(OSError):  # that of the folder is gone
            found += str(file.readlink()).startswith("socket:")
    return found


def memory() -> int:
    """How many bytes the process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("transport", [*TRANSPORTS[:3], *(pytest.param(each, marks=patched) for each in TRANSPORTS[3:])])
def test_a_stream_listener_serves_good_peers_whatever_strangers_do(transport: str, address: Callable[[str], str]) -> None:
    """Those who say nothing, nonsense, or half of what they should, and stay or leave, are nothing to a good one, new or connected."""
    made = certificate()
    secure = transport in ("tls+tcp", "wss")
    request = b"GET /x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    hello = client_hello()
    half = hello[: len(hello) // 2] if secure else request
    with (
        echoing(address(transport), tls_for(True, made if secure else None)) as listener,
        nngio.StreamDialer(listener.url, tls=tls_for(False, made if secure else None)) as dialer,
        dialer.dial(timeout=SECONDS) as steady,
    ):

        def good() -> None:
            with dialer.dial(timeout=SECONDS) as new:
                for stream in (new, steady):
                    stream.send_all(b"hello", timeout=SECONDS)
                    assert stream.recv_exactly(5, timeout=SECONDS) == b"hello"

        good()
        before = descriptors()
        with ExitStack() as stack:
            for said in (b"", b"\xff" * 100, half, random.Random(8).randbytes(20_000)):
                for number in range(25):
                    stack.enter_context(Stranger(listener.url)).say(said)
                    leaving = Stranger(listener.url).say(said)
                    if number % 2:
                        leaving.reset()
                    else:
                        leaving.close()
                good()
        end = time.monotonic() + SECONDS
        while descriptors() > before:
            assert time.monotonic() < end, f"{descriptors()} sockets, {before} before"
            time.sleep(0.01)  # a thread of NNG's closes them, and nothing tells
        good()


@pytest.mark.parametrize("transport", ["tcp", "ws", pytest.param("tls+tcp", marks=patched)])
def test_strangers_of_a_stream_listener_cost_no_memory(transport: str, address: Callable[[str], str]) -> None:
    """Hundreds who connect and close: they take no more after the last than after the first of them."""
    made = certificate()
    secure = transport == "tls+tcp"
    with echoing(address(transport), tls_for(True, made if secure else None)) as listener:

        def flood(times: int) -> None:
            for number in range(times):
                Stranger(listener.url).say(b"\xff" * (number % 3) * 1000).reset()
                if number % 50:
                    continue
                with (  # which comes to its turn when those before have been accepted
                    nngio.StreamDialer(listener.url, tls=tls_for(False, made if secure else None)) as dialer,
                    dialer.dial(timeout=SECONDS) as stream,
                ):
                    stream.send_all(b"hello", timeout=SECONDS)
                    assert stream.recv_exactly(5, timeout=SECONDS) == b"hello"

        flood(200)
        before = memory()
        flood(500)
        assert memory() < before + (8 << 20) or "NNGIO_SANITIZED" in os.environ  # which keeps what was freed


# Dialers.


def shake_hands(connection: socket.socket, most: int) -> int:
    """Shake hands as a server does, but say no more than so many bytes; returns how many were said."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context().wrap_bio(incoming, outgoing, server_side=True)
    said, done = 0, False
    while True:
        with contextlib.suppress(ssl.SSLWantReadError):
            server.do_handshake()
            done = True
        data = outgoing.read()[: most - said]
        connection.sendall(data)
        said += len(data)
        if done or said >= most or not (more := connection.recv(65536)):
            return said
        incoming.write(more)


@patched
def test_a_send_to_a_peer_that_has_said_goodbye_and_reads_on_comes_to_its_end() -> None:
    """With an error, and so do those behind it: NNG would take what is sent, and let it lie."""
    with (
        nngio.StreamListener("tls+tcp://127.0.0.1:0", tls=plain_server()) as listener,
        socket.create_connection(("127.0.0.1", listener.port), SECONDS) as raw,
        ThreadPoolExecutor(4) as pool,
    ):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        peer = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        accepting = pool.submit(listener.accept, timeout=SECONDS)
        while True:
            try:
                peer.do_handshake()
                break
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                incoming.write(raw.recv(65536))
        raw.sendall(outgoing.read())
        with accepting.result(SECONDS) as stream:
            receiving = pool.submit(stream.recv, timeout=SECONDS)
            sending = [pool.submit(stream.send_all, bytes(4_000_000), timeout=SECONDS) for _ in range(2)]
            raw.recv(65536)
            with pytest.raises(ssl.SSLWantReadError):
                peer.unwrap()
            raw.sendall(outgoing.read())
            assert receiving.result(SECONDS) == b""
            raw.settimeout(0.5)
            with contextlib.suppress(TimeoutError, ConnectionError):
                while raw.recv(1 << 20):
                    pass
            for future in sending:
                assert isinstance(future.exception(5), nngio.ConnectionShutdown)


class Breaker:
    """A listener with TLS that breaks off after so many bytes, or says something else; one connection after the other."""

    def __init__(self, url: str, listener: socket.socket) -> None:
        self.url = url
        self.act: Callable[[socket.socket], object] = socket.socket.close
        self._listener = listener
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listener.accept()
                connection.settimeout(SECONDS)
                with connection, contextlib.suppress(OSError):
                    self.act(connection)

    def close(self) -> None:
        """Listen no more."""
        self._over.set()
        self._thread.join()
        self._listener.close()


@pytest.fixture(params=["tls+tcp", "wss"])
def breaker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Breaker]:
    """One for each transport that has TLS."""
    with false_listener(request.param, tmp_path) as (url, listener):
        breaker = Breaker(url, listener)
        try:
            yield breaker
        finally:
            breaker.close()


def says(data: bytes) -> Callable[[socket.socket], object]:
    """Says that, when it has been spoken to, and hangs up when it is hung up on."""

    def act(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(data)
        while connection.recv(65536):
            pass

    return act


def record(kind: int, body: bytes, length: int | None = None) -> bytes:
    """What TLS sends at a time."""
    return bytes([kind, 3, 3]) + (len(body) if length is None else length).to_bytes(2, "big") + body


NONSENSE = {
    "text": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "bytes": random.Random(9).randbytes(50_000),
    "nothing but zeros": bytes(10_000),
    "a fatal alert": record(21, b"\2\x28"),
    "a hello that is too short": record(22, b"\2\0\0\4" + bytes(4)),
    "a message of another kind": record(22, b"\x0e\0\0\0"),
    "a record that is too long": record(22, bytes(100), 0xFFFF),
    "an empty record": record(22, b""),
    "data before there is a key": record(23, b"hello"),
    "the hello of a client": client_hello(),
}
"""What it says to a hello, in place of one."""


def calls(breaker: Breaker) -> list[Callable[[], object]]:
    """What may be tried: a dial of a socket's, and that of a stream, which is received from."""

    def by_socket() -> None:
        with nngio.Pair0(tls=plain_client()) as pair:
            pair.dial(breaker.url, timeout=SECONDS)

    def by_stream() -> object:
        with nngio.StreamDialer(breaker.url, tls=plain_client()) as dialer, dialer.dial(timeout=SECONDS) as stream:
            return stream.recv(timeout=SECONDS)

    return [by_socket, by_stream]


@patched
def test_a_dialer_is_told_wherever_the_handshake_breaks_off(breaker: Breaker) -> None:
    """After any byte of it, by a dial of a socket and of a stream; nothing is taken for an end in good order."""
    whole: list[int] = []
    breaker.act = lambda connection: whole.append(shake_hands(connection, 1 << 20))
    for call in calls(breaker)[:1]:
        with pytest.raises(nngio.NNGError):
            call()
    assert whole[0] > 1000
    whole[0] -= 8  # signatures are a few bytes longer or shorter each time
    places = {*range(12), *range(0, whole[0], 1 + whole[0] // 25), whole[0]}
    for place in sorted(places):
        breaker.act = lambda connection, place=place: shake_hands(connection, place)  # type: ignore[misc]
        for call in calls(breaker):
            with pytest.raises((nngio.ConnectionReset, nngio.CryptoError, nngio.ConnectionShutdown)) as caught:
                call()
            assert "hung up" in str(caught.value) or "handshake" in str(caught.value), (place, caught.value)


@patched
@pytest.mark.parametrize("what", NONSENSE)
def test_a_dialer_is_told_of_who_speaks_nonsense_in_place_of_tls(what: str, breaker: Breaker) -> None:
    """By a dial of a socket and of a stream."""
    breaker.act = says(NONSENSE[what])
    for call in calls(breaker):
        with pytest.raises((nngio.ProtocolError, nngio.CryptoError, nngio.PeerAuthError)) as caught:
            call()
        assert "speaks no TLS" in str(caught.value) or "nothing that both sides could agree on" in str(caught.value)


def within_tls(*said: bytes) -> Callable[[socket.socket], object]:
    """Says that after the handshake, and hangs up when it is hung up on."""

    def act(connection: socket.socket) -> None:
        with server_context().wrap_socket(connection, server_side=True) as peer:
            for data in said:
                peer.sendall(data)
            while peer.recv(65536):
                pass

    return act


@patched
def test_a_dialer_is_told_of_who_speaks_nonsense_within_tls(breaker: Breaker) -> None:
    """A handshake in good order is not all: what follows has to be of the protocol. A stream over tls+tcp has none."""
    for said in (b"\xff" * 100, b"\0SP\1\0\x10\0\0", b"\r\n" * 4, random.Random(10).randbytes(20_000)):
        breaker.act = within_tls(said)
        for call in calls(breaker)[: 1 if breaker.url.startswith("tls") else 2]:
            with pytest.raises(nngio.NNGError, match=r"within TLS another protocol|speaks another protocol") as caught:
                call()
            assert not isinstance(caught.value, nngio.TimedOut)


@patched
def test_a_dialer_in_the_background_outlasts_who_breaks_off(breaker: Breaker) -> None:
    """It dials on, though each handshake ends after a few bytes more than the last; and then a good listener is there."""
    came = 0
    often = threading.Event()

    def act(connection: socket.socket) -> None:
        nonlocal came
        came += 1
        shake_hands(connection, came * 41)
        if came >= 40:
            often.set()

    breaker.act = act
    with nngio.Pair0(tls=plain_client()) as pair:
        pair.dial(breaker.url, block=False, reconnect_time_min=0.001)
        assert often.wait(SECONDS)
        assert not pair.pipes
        breaker.close()
        with nngio.Pair0(listen=breaker.url, tls=certificates().server) as good:
            with pytest.raises(nngio.TimedOut):
                good.recv(timeout=0.05)  # without a certificate it isn't let in
            good.listeners[0].close()
            for _ in range(1000):
                try:
                    good.listen(breaker.url, tls=plain_server())
                    break
                except nngio.AddressInUse:  # the one that was closed is being torn down
                    time.sleep(0.01)
            good.send(b"at last", timeout=SECONDS)
            assert pair.recv(timeout=SECONDS) == b"at last"
