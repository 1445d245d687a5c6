"""TLS of byte streams and of HTTP: who is let in, who isn't and what each side is told, and that whoever listens serves on."""

import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from loops import Loop, Tasks, on_all_loops
from tls import (
    DAY,
    NOT_TLS,
    NOT_VERIFIED,
    NOW,
    PATCHED,
    SECONDS,
    certificates,
    config,
    context_showing,
    failures,
    good,
    plain_client,
    plain_server,
    server_context,
    ssl_client,
    strangers,
)

import nngio
from nngio import TLSConfig
from nngio.http import Client, Handler, Request, Server

PLAIN = {"tls+tcp": "tcp", "wss": "ws", "https": "http"}

patched = pytest.mark.skipif(not PATCHED, reason="a handshake that fails there may stop this NNG for good")
everywhere = pytest.mark.parametrize("kind", ["tls+tcp", *(pytest.param(kind, marks=patched) for kind in ("wss", "https"))])


# Who listens.


class Service:
    """Answers each peer with what it says, and keeps the errors of those streams that have heard nothing."""

    def __init__(self, url: str, tls: TLSConfig | None) -> None:
        self.errors: list[nngio.NNGError] = []
        self._stack = ExitStack()
        if url.startswith("http"):
            answer = Handler("/", lambda request: request.body, method="POST")
            server = self._stack.enter_context(Server(url, answer, tls=tls))
            server.start()
            self.url, self.port = server.url, server.port
            return
        listener = self._stack.enter_context(nngio.StreamListener(url, tls=tls))
        self.url, self.port = listener.url, listener.port
        self._pool = self._stack.enter_context(ThreadPoolExecutor(16))
        self._peers: list[Future[None]] = []
        self._accepting = self._pool.submit(self._accept, listener)
        self._stack.callback(wait, [self._accepting])  # it needs the pool for whom it has accepted
        self._stack.callback(listener.close)

    def _accept(self, listener: nngio.StreamListener) -> None:
        for stream in listener:
            self._peers.append(self._pool.submit(self._echo, stream))

    def _echo(self, stream: nngio.Stream) -> None:
        heard = False
        with stream:
            try:
                while data := stream.recv(timeout=SECONDS):
                    heard = True
                    stream.send_all(data, timeout=SECONDS)
            except nngio.NNGError as error:
                if not heard:
                    self.errors.append(error)

    def close(self) -> None:
        """When all peers have gone; raises what went wrong with the streams."""
        self._stack.close()
        if hasattr(self, "_peers"):
            for future in (self._accepting, *self._peers):
                future.result()


@contextmanager
def serving(kind: str, tls: TLSConfig | None) -> Iterator[Service]:
    """A service of streams over a transport, or of HTTP."""
    service = Service(f"{kind}://127.0.0.1:0{'' if kind.endswith('tcp') else '/'}", tls)
    try:
        yield service
    finally:
        service.close()


# Who dials.


@contextmanager
def asking(url: str, tls: TLSConfig | None) -> Iterator[Callable[[bytes], bytes]]:
    """A connection, as a function that gives the peer's answer."""
    if url.startswith("http"):
        with Client(url, tls=tls) as client, client.connect(timeout=SECONDS) as connection:
            yield lambda data: connection.transact(Request("POST", body=data), timeout=SECONDS).body
        return

    def ask(data: bytes) -> bytes:
        stream.send_all(data, timeout=SECONDS)
        return stream.recv_exactly(len(data), timeout=SECONDS)

    with nngio.StreamDialer(url, tls=tls) as dialer, dialer.dial(timeout=SECONDS) as stream:
        yield ask


def gets_in(service: Service, tls: TLSConfig | None) -> None:
    """A good peer is served."""
    with asking(service.url, tls) as ask:
        assert ask(b"good") == b"good"


def first_calls(kind: str) -> list[Callable[[Any], object]]:
    """What may be the first that a connection is used for; each would wait if there were no error."""
    if kind == "https":
        return [lambda connection: connection.transact(Request(), timeout=SECONDS)] * 2
    if kind == "wss":
        return [lambda _: None] * 2  # the handshake comes with the dial
    calls: list[Callable[[Any], object]] = [lambda stream: stream.recv_exactly(1, timeout=SECONDS)]
    if PATCHED:  # NNG's own takes some failures for an end in good order, and then forgets them
        calls += [
            lambda stream: stream.recv(timeout=SECONDS),
            lambda stream: stream.recv_into(bytearray(9), timeout=SECONDS),
            lambda stream: next(iter(stream)),
            lambda stream: [stream.send(b"hello", timeout=SECONDS), stream.recv(timeout=SECONDS)],
            lambda stream: [stream.send_all(b"hello", timeout=SECONDS), stream.recv_exactly(1, timeout=SECONDS)],
        ]
    return calls


def use(url: str, tls: TLSConfig | None, call: Callable[[Any], object]) -> None:
    """Connect, and use the connection."""
    if url.startswith("http"):
        with Client(url, tls=tls) as client, client.connect(timeout=SECONDS) as connection:
            call(connection)
    else:
        with nngio.StreamDialer(url, tls=tls) as dialer, dialer.dial(timeout=SECONDS) as stream:
            call(stream)


def fits_who_accepted(error: BaseException, errors: Any) -> bool:
    """Whether it is what an accepted stream may end with, of a dialer that gets those errors.

    Who refuses a certificate says so and hangs up in one go: it may be the latter alone that is seen.
    """
    fitting = (nngio.CryptoError, nngio.ConnectionReset) if errors is NOT_VERIFIED else nngio.PeerAuthError
    return not PATCHED or (isinstance(error, fitting) and says_why(error))


def says_why(error: BaseException) -> bool:
    """Whether the words say more than that it failed."""
    return any(words in str(error) for words in ("certificate", "handshake", "hung up"))


# Failure.


@everywhere
@pytest.mark.parametrize("case", list(failures()))
def test_a_failed_handshake_is_told_and_who_listens_serves_on(case: str, kind: str) -> None:
    """Whatever the first use is, with a good peer before, during and after: that one keeps its connection, and others get in."""
    server, client, errors = failures()[case]
    with serving(kind, server) as service, asking(service.url, good()) as steady:
        for number, call in enumerate(first_calls(kind)):
            with pytest.raises(errors) as caught:
                use(service.url, client, call)
            assert says_why(caught.value), caught.value
            assert service.url in str(caught.value)
            if errors is NOT_VERIFIED:
                assert "ca=" in str(caught.value)
            assert steady(b"%d" % number) == b"%d" % number
            gets_in(service, good())
    if kind == "tls+tcp":
        assert len(service.errors) == len(first_calls(kind))
        for error in service.errors:
            assert fits_who_accepted(error, errors), error
    else:
        assert service.errors == []  # who is not let in is not accepted


@on_all_loops
@everywhere
@pytest.mark.parametrize("case", ["the server is another host", "the client has no certificate", "the client's certificate is revoked"])
def test_a_failed_handshake_is_told_to_who_awaits(case: str, kind: str, loop: Loop) -> None:
    """The same errors with the same words, on each loop, and for who has accepted it too."""
    server, client, errors = failures()[case]

    async def use(url: str) -> None:
        if kind == "https":
            async with Client(url, tls=client) as asker, await asker.aconnect(timeout=SECONDS) as connection:
                await connection.atransact(Request(), timeout=SECONDS)
        else:
            async with nngio.StreamDialer(url, tls=client) as dialer, await dialer.adial(timeout=SECONDS) as stream:
                await stream.arecv_exactly(1, timeout=SECONDS)

    async def main(tasks: Tasks) -> None:
        with serving(kind, server) as service:
            for _ in range(2):
                with pytest.raises(errors) as caught:
                    await use(service.url)
                assert says_why(caught.value), caught.value
                assert service.url in str(caught.value)
        if kind != "tls+tcp":
            return
        async with await nngio.StreamListener.alisten("tls+tcp://127.0.0.1:0", tls=server) as listener:
            using = tasks.start(use, listener.url)
            async with await listener.aaccept(timeout=SECONDS) as stream:
                with pytest.raises(nngio.NNGError) as caught:
                    await stream.arecv_exactly(1, timeout=SECONDS)
            assert isinstance((await using.wait()).error, errors)
            assert fits_who_accepted(caught.value, errors), caught.value

    loop.run(main)


# One end speaks TLS, the other doesn't.


@everywhere
def test_a_plain_peer_at_a_tls_port_is_told(kind: str) -> None:
    """With what it might dial instead, where it learns anything at all; and the port serves on."""

    def call(peer: Any) -> object:
        return peer.transact(Request()) if kind == "https" else [peer.send_all(b"x" * 500), peer.recv_exactly(500)]

    with serving(kind, plain_server()) as service, asking(service.url, good()) as steady:
        url = service.url.replace(kind, PLAIN[kind])
        for _ in range(3):
            with pytest.raises((nngio.ConnectionShutdown, nngio.ConnectionReset, nngio.ProtocolError)) as caught:
                use(
                    url,
                    None,
                    lambda peer: peer.transact(Request()) if kind == "https" else (peer.send_all(b"x" * 500), peer.recv_exactly(500)),
                )
            assert f"dial {kind}://" in str(caught.value)
            assert steady(b"on") == b"on"
            gets_in(service, plain_client())
    if kind == "tls+tcp":
        assert len(service.errors) == 3
        for error in service.errors:
            if PATCHED:
                assert isinstance(error, nngio.ProtocolError | nngio.ConnectionReset)
                assert "speaks no TLS" in str(error) or "hung up" in str(error)


@everywhere
@pytest.mark.parametrize("plain", ["tcp", "ws", "http"])
def test_a_tls_peer_at_a_plain_port_is_told(kind: str, plain: str) -> None:
    """That nobody speaks TLS there; and the port serves on."""
    errors: list[type[nngio.NNGError]] = [*NOT_TLS, nngio.ConnectionShutdown, nngio.ConnectionReset]
    if plain == "tcp":
        errors.append(nngio.CryptoError)  # its own words come back, which are TLS
    with serving(plain, None) as service, asking(service.url, None) as steady:
        for _ in range(3):
            with pytest.raises(tuple(errors)) as caught:
                use(f"{kind}://127.0.0.1:{service.port}/", plain_client(), first_calls(kind)[0])
            assert "speaks no TLS" in str(caught.value)
            assert steady(b"on") == b"on"
            gets_in(service, None)


# Peers that are not NNG: Python's own ssl.


def say_hello(port: int, context: ssl.SSLContext) -> None:
    """Raises an error where the peer hangs up."""
    with ssl_client(port, context) as raw:
        raw.sendall(b"hello")
        if not raw.recv(1):
            raise ConnectionError("it was hung up on")


@everywhere
@pytest.mark.parametrize("what", ["none", "expired", "not valid yet", "revoked", "a stranger's"])
def test_a_raw_client_with_a_bad_certificate_is_sent_away(what: str, kind: str) -> None:
    """In its handshake, or when it uses the connection; with a good one it is let in, before and afterwards."""
    certs = certificates()
    shown = {
        "none": None,
        "expired": certs.issue("me.test", not_before=NOW - 9 * DAY, not_after=NOW - DAY),
        "not valid yet": certs.issue("me.test", not_before=NOW + DAY, not_after=NOW + 9 * DAY),
        "revoked": certs.issue("me.test"),
        "a stranger's": strangers().client_certificate,
    }[what]
    revoked = [shown] if what == "revoked" and shown else []
    server = config(certs.server_certificate, ca=certs.ca_pem, crl=certs.revoke(*revoked))
    with serving(kind, server) as service:
        for _ in range(2):
            with ssl_client(service.port) as raw:
                assert raw.version()
            with pytest.raises((ssl.SSLError, ConnectionError)):
                say_hello(service.port, context_showing(shown))
            gets_in(service, good())
    for error in service.errors:
        assert not PATCHED or isinstance(error, nngio.PeerAuthError | nngio.ConnectionReset | nngio.ConnectionShutdown), error


@everywhere
@pytest.mark.parametrize("what", ["expired", "another host's", "revoked", "a stranger's"])
def test_a_raw_server_with_a_bad_certificate_is_not_trusted(what: str, kind: str) -> None:
    """By a stream's dialer, nor by an HTTP client; and with a good one it is."""
    certs = certificates()
    hosts = ("localhost", "127.0.0.1")
    shown = {
        "expired": certs.issue(*hosts, not_before=NOW - 9 * DAY, not_after=NOW - DAY),
        "another host's": certs.issue("elsewhere.test"),
        "revoked": certs.issue(*hosts),
        "a stranger's": strangers().server_certificate,
    }[what]
    client = TLSConfig(ca=certs.ca_pem, crl=certs.revoke(shown))
    shaken: list[bool] = []

    def serve(certificate: nngio.testing.Certificate) -> None:
        connection, _ = listener.accept()
        connection.settimeout(SECONDS)
        with connection:
            try:
                with server_context(certificate).wrap_socket(connection, server_side=True) as raw:
                    shaken.append(True)
                    raw.sendall(b"hello\r\n\r\n")
            except OSError:
                shaken.append(False)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(SECONDS)
        url = f"{kind}://127.0.0.1:{listener.getsockname()[1]}/"
        done = pool.submit(serve, shown)
        with pytest.raises(NOT_VERIFIED, match=r"certificate can't be verified"):
            use(url, client, first_calls(kind)[0])
        done.result()
        done = pool.submit(serve, certs.server_certificate)
        with suppress(nngio.ProtocolError, nngio.ConnectionShutdown):  # it is no web server
            use(url, client, first_calls(kind)[0])
        done.result()
    assert shaken == [False, True]
