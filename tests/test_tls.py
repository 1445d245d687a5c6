"""TLS over real connections: who is let in, who isn't and what each side is told, and that a listener serves on whatever happens."""

import contextlib
import gc
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from loops import Loop, Tasks, on_all_loops
from peers import Peer
from programs import FORKS, run
from tls import (
    GREETING,
    HAS_TLS_1_3,
    NOT_TLS,
    NOT_VERIFIED,
    PATCHED,
    REFUSED,
    SECONDS,
    TRANSPORTS,
    certificates,
    client_context,
    client_hello,
    config,
    exchange,
    expired_list,
    failures,
    framed,
    good,
    plain_client,
    plain_server,
    server_context,
    ssl_client,
    strangers,
)

import nngio
from nngio import TLSConfig
from nngio.lowlevel import check, ffi, lib

Address = Callable[[str], str]

over_tls = pytest.mark.parametrize("transport", TRANSPORTS)
patched = pytest.mark.skipif(not PATCHED, reason="this NNG isn't patched against it")


@pytest.fixture
def listening(address: Address) -> Iterator[Callable[..., nngio.Pull0]]:
    """A function that makes a PULL that listens; it takes in whoever comes."""
    with ExitStack() as stack:
        yield lambda transport, tls: stack.enter_context(nngio.Pull0(listen=address(transport), tls=tls))


def gets_in(pull: nngio.Pull0, tls: TLSConfig | None = None) -> None:
    """A good peer is served."""
    with nngio.Push0() as push:
        push.dial(pull.listeners[0].url, tls=tls or certificates().client, timeout=SECONDS)
        push.send(b"good", timeout=SECONDS)
        assert pull.recv(timeout=SECONDS) == b"good"


# Success.


@over_tls
@pytest.mark.parametrize("mutual", [False, True], ids=["server", "mutual"])
def test_peers_that_trust_each_other_talk(transport: str, mutual: bool, address: Address) -> None:
    """Only the server has a certificate, or both; the config is given to the socket, the call or the endpoint."""
    server = certificates().server if mutual else plain_server()
    client = certificates().client if mutual else plain_client()
    with nngio.Pair0(listen=address(transport), tls=server) as a, nngio.Pair0(dial=a.listeners[0].url, tls=client) as b:
        exchange(a, b)
        assert (a.tls, a.listeners[0].tls, b.dialers[0].tls) == (server, server, client)
    with nngio.Pair0() as a, nngio.Pair0() as b:
        b.dial(a.listen(address(transport), tls=server).url, tls=client, timeout=SECONDS)
        exchange(a, b)
    with nngio.Pair0() as a, nngio.Pair0() as b, nngio.Listener(a, address(transport), tls=server) as listener:
        listener.start()
        with nngio.Dialer(b, listener.url, tls=client) as dialer:
            dialer.start(timeout=SECONDS)
            exchange(a, b)


@over_tls
def test_a_large_message_arrives_byte_for_byte(transport: str, address: Address) -> None:
    """Larger than what TLS takes at a time, and than NNG's buffers for it, in both directions at once."""
    body = bytes(range(256)) * 20_000
    server, client = certificates().server, certificates().client
    with nngio.Pair0(listen=address(transport), tls=server) as a, nngio.Pair0(dial=a.listeners[0].url, tls=client) as b:
        for size in (0, 1, 16383, 16384, 16385, len(body)):
            a.send(body[:size], timeout=SECONDS)
            b.send(body[:size], timeout=SECONDS)
            assert a.recv(timeout=SECONDS) == body[:size]
            assert b.recv(timeout=SECONDS) == body[:size]


@over_tls
def test_every_verb_works_over_tls(transport: str, address: Address) -> None:
    """Once each: they know nothing of it."""
    server, client = certificates().server, certificates().client
    with nngio.Pair0(listen=address(transport), tls=server) as a, nngio.Pair0(dial=a.listeners[0].url, tls=client) as b:
        exchange(a, b)
        a.send(b"1", timeout=SECONDS)
        assert bytes(b.recv_msg(timeout=SECONDS)) == b"1"
        a.send(b"2", timeout=SECONDS)
        buffer = bytearray(1)
        assert b.recv_into(buffer, timeout=SECONDS) == 1
        a.send_many([b"3", b"4"], timeout=SECONDS)
        received: list[bytes] = []
        while len(received) < 2:
            received += b.recv_many(timeout=SECONDS)
        assert [bytes(buffer), *received] == [b"2", b"3", b"4"]
        send, recv = nngio.Aio(), nngio.Aio()
        b.recv_aio(recv)
        send.set_msg(nngio.Message(b"5"))
        a.send_aio(send)
        recv.wait()
        message = recv.get_msg()
        assert message is not None
        assert bytes(message) == b"5"
        a.send(b"6", timeout=SECONDS)
        assert next(iter(b)) == b"6"
    with (
        nngio.Rep0(listen=address(transport), tls=server) as rep,
        nngio.Req0(dial=rep.listeners[0].url, tls=client) as req,
        rep.context() as left,
        req.context() as right,
    ):
        right.send(b"question", timeout=SECONDS)
        left.send(left.recv(timeout=SECONDS) + b"!", timeout=SECONDS)
        assert right.recv(timeout=SECONDS) == b"question!"
    with nngio.Respondent0(listen=address(transport), tls=server) as one, nngio.Surveyor0(dial=one.listeners[0].url, tls=client) as all_:
        answers = all_.survey(b"who")
        one.send(one.recv(timeout=SECONDS), timeout=SECONDS)
        assert next(answers) == b"who"
    with nngio.Pub0(listen=address(transport), tls=server) as pub, nngio.Sub0(subscribe=b"", tls=client) as sub:
        sub.dial(pub.listeners[0].url, timeout=SECONDS)
        pub.wait_for_peers(timeout=SECONDS)
        pub.try_send(b"news")
        assert select.select([sub.recv_fd], [], [], SECONDS)[0]
        assert sub.try_recv() == b"news"


@on_all_loops
@over_tls
def test_every_awaitable_verb_works_over_tls(loop: Loop, transport: str, address: Address) -> None:
    """Once each, `adial` and `alisten` too."""
    server, client = certificates().server, certificates().client

    async def main(tasks: Tasks) -> None:
        async with nngio.Pair0(tls=server) as a, nngio.Pair0() as b:
            listener = await a.alisten(address(transport))
            await b.adial(listener.url, tls=client, timeout=SECONDS)
            await a.asend(b"1", timeout=SECONDS)
            assert await b.arecv(timeout=SECONDS) == b"1"
            await a.asend(b"2", timeout=SECONDS)
            assert bytes(await b.arecv_msg(timeout=SECONDS)) == b"2"
            await a.asend_many([b"3", b"4"], timeout=SECONDS)
            received: list[bytes] = []
            while len(received) < 2:
                received += await b.arecv_many(timeout=SECONDS)
            assert received == [b"3", b"4"]
        async with nngio.Rep0() as rep, nngio.Req0() as req:
            listener = await rep.alisten(address(transport), tls=server)
            await req.adial(listener.url, tls=client, timeout=SECONDS)
            task = tasks.start(req.arequest, b"question")
            await rep.asend(await rep.arecv(timeout=SECONDS))
            assert (await task.wait()).result() == b"question"
            with pytest.raises(NOT_VERIFIED, match=r"dial .*can't be verified"):
                await req.adial(listener.url, tls=strangers().client, timeout=SECONDS)

    loop.run(main)


@over_tls
def test_an_optional_certificate_is_looked_at_and_not_insisted_on(transport: str, address: Address) -> None:
    """With auth="optional" a peer without one gets in, and one with a wrong one too; the pipe tells which is verified."""
    certs = certificates()
    server = config(certs.server_certificate, ca=certs.ca_pem, auth="optional")
    other = strangers().client_certificate
    for tls, verified in (
        (certs.client, True),
        (plain_client(), False),
        (config(other, ca=certs.ca_pem), False),
    ):
        with nngio.Pair0(listen=address(transport), tls=server) as a, nngio.Pair0(dial=a.listeners[0].url, tls=tls) as b:
            b.send(b"hello", timeout=SECONDS)
            pipe = a.recv_msg(timeout=SECONDS).pipe
            assert pipe is not None
            assert pipe.tls_verified is verified


@over_tls
def test_a_dialer_that_verifies_nobody_gets_in_everywhere(transport: str, address: Address) -> None:
    """auth="none" needs no authority and no name: for tests."""
    server = config(strangers().issue("elsewhere.test"))
    with nngio.Pair0(listen=address(transport), tls=server) as a, nngio.Pair0(tls=TLSConfig(auth="none")) as b:
        b.dial(a.listeners[0].url, timeout=SECONDS)
        exchange(a, b)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "127.0.0.1;localhost"])
def test_the_name_to_verify_is_the_host_of_the_url(host: str) -> None:
    """A name, an address of either family, a host after a source address."""
    listen = host.rpartition(";")[2]
    with nngio.Pair0(listen=f"tls+tcp://{listen}:0", tls=certificates().server) as a, nngio.Pair0() as b:
        b.dial(a.listeners[0].url.replace(listen, host), tls=certificates().client, timeout=SECONDS)
        exchange(a, b)


def test_a_server_name_replaces_the_host(address: Address) -> None:
    """For a certificate of another name than the one that it is dialed by; a name outside ASCII is written as certificates have it."""
    certs = certificates()
    with nngio.Pull0(listen=address("tls+tcp"), tls=config(certs.issue("far.test", "xn--bcher-kva.test"))) as pull:
        for name in ("far.test", "FAR.test", "bücher.test"):
            gets_in(pull, TLSConfig(ca=certs.ca_pem, server_name=name))
        with nngio.Push0() as push, pytest.raises(NOT_VERIFIED, match=r"'near\.test'"):
            push.dial(pull.listeners[0].url, tls=TLSConfig(ca=certs.ca_pem, server_name="near.test"), timeout=SECONDS)


def chained() -> tuple[bytes, list[bytes], bytes]:
    """An authority, a certificate and those of the authorities between the two, the nearest first, and its key."""
    root = trustme.CA()
    issued = root.create_child_ca().create_child_ca().issue_cert("localhost", "127.0.0.1")
    return root.cert_pem.bytes(), [pem.bytes() for pem in issued.cert_chain_pems], issued.private_key_pem.bytes()


@over_tls
def test_a_chain_leads_from_a_certificate_to_the_authority(transport: str, address: Address) -> None:
    """With those in between behind the certificate, a server and a client are trusted; without one of them, neither is."""
    root, chain, key = chained()
    assert len(chain) == 3
    whole = TLSConfig(cert=b"".join(chain), key=key, ca=root)
    with nngio.Pair0(listen=address(transport), tls=whole) as a, nngio.Pair0(dial=a.listeners[0].url, tls=whole) as b:
        exchange(a, b)
        a.send(b"who?", timeout=SECONDS)
        pipe = b.recv_msg(timeout=SECONDS).pipe
        assert pipe is not None
        assert pipe.tls_verified
    for lacking in (chain[:1], chain[:2], [chain[0], chain[2]]):
        part = TLSConfig(cert=b"".join(lacking), key=key, ca=root)
        for server, client, errors in ((part, whole, NOT_VERIFIED), (whole, part, REFUSED)):
            with nngio.Pair0(listen=address(transport), tls=server) as a, nngio.Pair0() as b, pytest.raises(errors):
                b.dial(a.listeners[0].url, tls=client, timeout=SECONDS)


# Failure: each is an error of the dialer's, in time, and the listener serves on.


@over_tls
@pytest.mark.parametrize("case", list(failures()))
def test_a_failed_handshake_is_told_and_the_listener_serves_on(case: str, transport: str, listening: Callable[..., nngio.Pull0]) -> None:
    """Again and again, with a good peer before, during and after: that one keeps its connection, and others get in."""
    server, client, errors = failures()[case]
    pull = listening(transport, server)
    url = pull.listeners[0].url
    with nngio.Push0(dial=url, tls=good()) as steady, nngio.Push0() as bad:
        for i in range(5):
            with pytest.raises(errors) as caught:
                bad.dial(url, tls=client, timeout=SECONDS)
            assert str(caught.value).startswith(f"dial {url}: ")
            assert "certificate" in str(caught.value) or "handshake" in str(caught.value)
            if errors is NOT_VERIFIED:
                assert "ca=" in str(caught.value)
            steady.send(b"%d" % i, timeout=SECONDS)
            assert pull.recv(timeout=SECONDS) == b"%d" % i
            gets_in(pull, good())
        assert bad.dialers == ()


@over_tls
def test_a_listener_whose_revocation_list_has_expired_lets_nobody_in(transport: str, address: Address) -> None:
    """It can't tell any more who is revoked. One with a list that is new lets the same peers in."""
    certs = certificates()
    with nngio.Pull0() as pull, nngio.Push0() as push:
        for expired in (True, False):
            server = config(certs.server_certificate, ca=certs.ca_pem, crl=expired_list(certs) if expired else certs.revoke())
            listener = pull.listen(address(transport), tls=server)
            for client in (certs.client, good()):
                with pytest.raises(REFUSED) if expired else contextlib.nullcontext():
                    push.dial(listener.url, tls=client, timeout=SECONDS)


@over_tls
def test_a_dialer_in_the_background_gets_in_when_its_peer_is_as_it_should_be(transport: str, address: Address) -> None:
    """It goes on trying after a failed handshake."""
    certs = certificates()
    with nngio.Pull0(listen=address(transport), tls=config(certs.issue("elsewhere.test"))) as pull, nngio.Push0() as push:
        url = pull.listeners[0].url
        push.dial(url, tls=certs.client, block=False, reconnect_time_min=0.01)
        with nngio.Push0() as other, pytest.raises(NOT_VERIFIED):  # and by then the first has failed too, more than once
            other.dial(url, tls=certs.client, timeout=SECONDS)
        pull.listeners[0].close()
        for _ in range(1000):
            try:
                pull.listen(url, tls=certs.server)
                break
            except nngio.AddressInUse:  # the one that was closed is being torn down
                time.sleep(0.01)
        push.send(b"at last", timeout=SECONDS)
        assert pull.recv(timeout=SECONDS) == b"at last"


@pytest.mark.parametrize(("plain", "secure"), [("tcp", "tls+tcp"), ("ws", "wss")])
def test_a_plain_dialer_at_a_tls_port_is_told(plain: str, secure: str, listening: Callable[..., nngio.Pull0]) -> None:
    """With what it might dial instead; and the listener serves on."""
    pull = listening(secure, plain_server())
    url = pull.listeners[0].url
    for _ in range(5):
        with nngio.Push0() as push, pytest.raises((nngio.ConnectionShutdown, nngio.ConnectionReset, nngio.ProtocolError)) as caught:
            push.dial(url.replace(secure, plain), timeout=SECONDS)
        if not isinstance(caught.value, nngio.ConnectionReset):
            assert f"dial {secure}://" in str(caught.value)
        gets_in(pull)


@pytest.mark.parametrize("plain", ["tcp", "ws"])
@over_tls
def test_a_tls_dialer_at_a_plain_port_is_told(transport: str, plain: str, address: Address) -> None:
    """That nobody speaks TLS there; and the listener serves on."""
    with nngio.Pull0(listen=address(plain)) as pull:
        url = f"{transport}://127.0.0.1:{pull.listeners[0].port}/"
        for _ in range(5):
            with nngio.Push0() as push, pytest.raises((*NOT_TLS, nngio.ConnectionShutdown, nngio.ConnectionReset)) as caught:
                push.dial(url, tls=plain_client(), timeout=SECONDS)
            assert "speaks no TLS" in str(caught.value)
            with nngio.Push0(dial=pull.listeners[0].url) as push:
                push.send(b"good", timeout=SECONDS)
                assert pull.recv(timeout=SECONDS) == b"good"


@over_tls
def test_a_dial_to_nobody_is_refused(transport: str, address: Address) -> None:
    """As without TLS."""
    with nngio.Pair0() as pair:
        url = pair.listen(address(transport), tls=certificates().server).url
        pair.listeners[0].close()
        with pytest.raises(nngio.ConnectionRefused, match="nobody listens there"):
            pair.dial(url, tls=certificates().client, timeout=SECONDS)


@pytest.mark.parametrize("transport", ["tls+tcp", pytest.param("wss", marks=patched)])
def test_a_dial_to_a_peer_that_says_nothing_times_out(transport: str) -> None:
    """After the time that it was given; whatever the peer does, closing doesn't wait for it. NNG's own may wait for ever."""
    with socket.create_server(("127.0.0.1", 0)) as mute, nngio.Pair0(tls=plain_client()) as pair:
        url = f"{transport}://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(nngio.TimedOut, match=r"TLS handshake"):
            pair.dial(url, timeout=0.2)
        if PATCHED:
            pair.dial(url, block=False)


# Peers that are not NNG: Python's own ssl.


@over_tls
def test_raw_peers_that_break_off_do_not_stop_a_listener(transport: str, listening: Callable[..., nngio.Pull0]) -> None:
    """Nothing, half a handshake, nonsense, a whole handshake and then nothing, or nonsense: others get in meanwhile and afterwards."""
    pull = listening(transport, certificates().server)
    port = pull.listeners[0].port
    hello = client_hello()
    with ExitStack() as stack:
        for first in (b"", hello[:3], hello[: len(hello) // 2], hello, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 9999):
            for _ in range(3):
                raw = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=SECONDS))
                raw.sendall(first)
            gets_in(pull)
            raw.close()
            gets_in(pull)
        for then in (b"", b"\0SP\0", b"\0SP\0\0\x30\0\0", b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff" * 100):
            done = stack.enter_context(ssl_client(port))
            done.sendall(then)
            gets_in(pull)
            done.close()
            gets_in(pull)
        abrupt = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=SECONDS))
        abrupt.sendall(hello)
        abrupt.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        abrupt.close()
        gets_in(pull)


def test_a_raw_peer_talks_to_a_listener(address: Address) -> None:
    """Python's ssl, and NNG's few bytes around a message."""
    with (
        nngio.Pair0(listen=address("tls+tcp"), tls=certificates().server) as pair,
        ssl_client(pair.listeners[0].port) as raw,
        raw.makefile("rb") as incoming,
    ):
        raw.sendall(GREETING + framed(b"from ssl"))
        assert pair.recv(timeout=SECONDS) == b"from ssl"
        pair.send(b"from NNG", timeout=SECONDS)
        assert incoming.read(8 + 16) == GREETING + framed(b"from NNG")


def test_a_dialer_talks_to_a_raw_peer_and_names_its_host() -> None:
    """The name goes along with the handshake, for servers that have several."""
    names: list[str | None] = []
    context = server_context()
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with socket.create_server(("127.0.0.1", 0)) as server, nngio.Pair0() as pair:
        server.settimeout(SECONDS)
        received: list[bytes] = []

        def serve() -> None:
            connection, _ = server.accept()
            with context.wrap_socket(connection, server_side=True) as raw, raw.makefile("rb") as incoming:
                raw.sendall(GREETING + framed(b"from ssl"))
                received.append(incoming.read(8 + 16))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            pair.dial(f"tls+tcp://localhost:{server.getsockname()[1]}", tls=certificates().client, timeout=SECONDS)
            assert pair.recv(timeout=SECONDS) == b"from ssl"
            pair.send(b"from NNG", timeout=SECONDS)
        finally:
            thread.join()
        assert received == [GREETING + framed(b"from NNG")]
        assert names == ["localhost"]


BOTH = ("1.2", "1.3") if HAS_TLS_1_3 else ("1.2",)
RAW = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def agreed(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str | None:
    """The version that both sides have, the highest."""
    return max((version for version in ours if version in theirs), default=None)


@pytest.mark.parametrize("theirs", [("1.2",), ("1.3",), ("1.2", "1.3")], ids="-".join)
@pytest.mark.parametrize("ours", [(None, None), ("1.2", "1.2"), ("1.2", "1.3"), ("1.3", "1.3"), (None, "1.2"), ("1.3", None)])
def test_the_versions_of_a_listener_are_what_a_raw_peer_sees(ours: tuple[Any, Any], theirs: tuple[str, ...], address: Address) -> None:
    """The highest that both have; without one, the peer is sent away, and the listener serves on."""
    least, most = ours
    if least == "1.3" and not HAS_TLS_1_3:
        pytest.skip("this NNG has no TLS 1.3")
    have = tuple(version for version in BOTH if (least or "1.2") <= version <= (most or "1.3"))
    certs = certificates()
    tls = config(certs.server_certificate, min_version=least, max_version=most)
    context = client_context()
    context.minimum_version, context.maximum_version = RAW[theirs[0]], RAW[theirs[-1]]
    with nngio.Pull0(listen=address("tls+tcp"), tls=tls) as pull:
        version = agreed(have, theirs)
        if version is None:
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                ssl_client(pull.listeners[0].port, context)
        else:
            with ssl_client(pull.listeners[0].port, context) as raw:
                assert raw.version() == f"TLSv{version}"
        gets_in(pull)


@pytest.mark.parametrize("theirs", [("1.2",), ("1.3",)], ids="-".join)
@pytest.mark.parametrize("ours", [(None, None), ("1.2", "1.2"), ("1.3", "1.3")])
def test_the_versions_of_a_dialer_are_what_a_raw_peer_sees(ours: tuple[Any, Any], theirs: tuple[str, ...]) -> None:
    """The same from the other side; without a version in common the dial fails with an error that says so."""
    least, most = ours
    if least == "1.3" and not HAS_TLS_1_3:
        pytest.skip("this NNG has no TLS 1.3")
    have = tuple(version for version in BOTH if (least or "1.2") <= version <= (most or "1.3"))
    context = server_context()
    context.minimum_version, context.maximum_version = RAW[theirs[0]], RAW[theirs[-1]]
    seen: list[str | None] = []
    with socket.create_server(("127.0.0.1", 0)) as server, nngio.Pair0() as pair:
        server.settimeout(SECONDS)

        def serve() -> None:
            connection, _ = server.accept()
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as raw:
                seen.append(raw.version())
                raw.sendall(GREETING)
                raw.recv(len(GREETING))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            tls = TLSConfig(ca=certificates().ca_pem, min_version=least, max_version=most)
            url = f"tls+tcp://127.0.0.1:{server.getsockname()[1]}"
            version = agreed(have, theirs)
            if version is None:
                with pytest.raises((*REFUSED, *NOT_VERIFIED)) as caught:
                    pair.dial(url, tls=tls, timeout=SECONDS)
                assert "version" in str(caught.value) or "TLS" in str(caught.value)
            else:
                pair.dial(url, tls=tls, timeout=SECONDS)
                assert seen == [f"TLSv{version}"]
        finally:
            thread.join()


@patched
@pytest.mark.parametrize("goodbye", [True, False], ids=["orderly", "abrupt"])
def test_a_peer_that_hangs_up_while_nobody_receives_is_noticed(goodbye: bool, address: Address) -> None:
    """What it had sent is received first; then its place is free for another."""
    with nngio.Pair0(listen=address("tls+tcp"), tls=certificates().server, recv_buffer=1) as pair, nngio.Pair0() as next_:
        with ssl_client(pair.listeners[0].port) as raw:
            raw.sendall(GREETING + framed(b"1"))
            assert raw.recv(len(GREETING)) == GREETING  # or else hanging up is a reset, which loses what is on its way
            for body in (b"2", b"3", b"4", b"5"):
                raw.sendall(framed(body))
            if goodbye:
                raw.settimeout(0.1)  # for the answer, which the listener has no reason to give before it receives
                with contextlib.suppress(OSError):
                    raw.unwrap()
        for body in (b"1", b"2", b"3", b"4", b"5"):
            assert pair.recv(timeout=SECONDS) == body
        next_.dial(pair.listeners[0].url, tls=certificates().client, block=False, reconnect_time_min=0.01)
        next_.send(b"next", timeout=SECONDS)
        assert pair.recv(timeout=SECONDS) == b"next"


@patched
def test_a_server_name_that_tls_can_not_look_for_fails_the_connection(address: Address) -> None:
    """One that is too long for it, set with NNG's own call; `TLSConfig` has refused it before."""
    with nngio.Pair0(listen=address("tls+tcp"), tls=plain_server()) as a, nngio.Pair0() as b:
        out = ffi.new("nng_tls_config **")
        check(lib.nng_tls_config_alloc(out, lib.NNG_TLS_MODE_CLIENT))
        try:
            check(lib.nng_tls_config_auth_mode(out[0], lib.NNG_TLS_AUTH_MODE_NONE))
            check(lib.nng_tls_config_server_name(out[0], b"a" * 300))
            dialer = ffi.new("nng_dialer *")
            check(lib.nng_dialer_create(dialer, b._c, a.listeners[0].url.encode()))
            check(lib.nng_dialer_set_ptr(dialer[0], b"tls-config", out[0]))
            assert lib.nng_dialer_start(dialer[0], 0) == lib.NNG_ECRYPTO
        finally:
            lib.nng_tls_config_free(out[0])


# Whatever is closed, dropped, forked or ended in the middle of a handshake.


def descriptors() -> int:
    """How many sockets the process has; event loops keep other descriptors for as long as it lives."""
    found = 0
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the folder is gone
            found += str(file.readlink()).startswith("socket:")
    return found


@contextlib.contextmanager
def descriptors_come_back() -> Iterator[None]:
    """Afterwards the process has no more sockets than before; NNG closes them in its own time, and tells nobody.

    Its own, unpatched, keeps those of peers that were greeted when a listener closed.
    """
    nngio.Pair0(listen="wss://127.0.0.1:0/x", tls=certificates().server).close()  # and NNG is there
    before = descriptors()
    yield
    end = time.monotonic() + SECONDS
    while PATCHED and descriptors() > before:
        assert time.monotonic() < end, f"{descriptors()} sockets, {before} before"
        time.sleep(0.01)  # nothing tells


@over_tls
def test_failed_handshakes_keep_no_descriptor(transport: str, listening: Callable[..., nngio.Pull0]) -> None:
    """Neither ours as a dialer, nor ours as a listener."""
    pull = listening(transport, certificates().server)
    with descriptors_come_back():
        for tls in (plain_client(), strangers().client):
            for _ in range(20):
                with nngio.Push0() as push, pytest.raises(nngio.NNGError):
                    push.dial(pull.listeners[0].url, tls=tls, timeout=SECONDS)
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", pull.listeners[0].port)) as raw:
                raw.sendall(client_hello())


@patched
@over_tls
def test_what_closes_in_the_middle_of_a_handshake_comes_to_its_end(transport: str, address: Address) -> None:
    """Fifty times, at whatever moment: the dialer's socket, the listener's, or both at once."""
    certs = certificates()
    with descriptors_come_back():
        for i in range(50):
            listener = nngio.Pull0(listen=address(transport), tls=certs.server)
            dialers = [nngio.Push0(tls=certs.client) for _ in range(2)]
            for push in dialers:
                push.dial(listener.listeners[0].url, block=False)
            end = time.perf_counter() + i * 0.00016
            while time.perf_counter() < end:
                pass
            order = [listener, *dialers] if i % 2 else [*dialers, listener]
            for sock in order:
                sock.close()


@patched
@over_tls
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_is_dropped_in_the_middle_of_a_handshake_is_collected(transport: str, address: Address) -> None:
    """With its config, which only it has; a ResourceWarning tells that it was open."""
    certs = certificates()
    with descriptors_come_back():
        for _ in range(10):
            server = config(certs.server_certificate)
            pull = nngio.Pull0(listen=address(transport), tls=server)
            push = nngio.Push0(tls=TLSConfig(ca=certs.ca_pem))
            push.dial(pull.listeners[0].url, block=False)
            del pull, push, server
            gc.collect()


PROGRAM = """
import nngio, gc
certs = {certs!r}
transport, how = sys.argv[1:]
server = nngio.TLSConfig(cert=certs[1], key=certs[2])
client = nngio.TLSConfig(ca=certs[0])
pull = nngio.Pull0(listen=transport + "://127.0.0.1:0", tls=server)
pushes = [nngio.Push0(tls=client) for _ in range(5)]
for push in pushes:
    push.dial(pull.listeners[0].url, block=False)
if how == "fork":
    child = os.fork()
    if child == 0:
        for use in (lambda: pull.listen(transport + "://127.0.0.1:0"), lambda: pushes[0].dial("tls+tcp://127.0.0.1:1"), nngio.Pair0):
            try:
                use()
            except nngio.ForkedError:
                pass
            else:
                os._exit(1)
        del pull, pushes, push, server, client
        gc.collect()
        (os._exit if "NNGIO_SANITIZED" in os.environ else sys.exit)(7)  # what the parent's threads have is no leak
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    pushes[0].send(b"on", timeout=15)
    print(pull.recv(timeout=15))
    for push in pushes: push.close()
    pull.close()
main_ends()
"""


@over_tls
@pytest.mark.parametrize("how", ["fork", "exit"])
def test_a_fork_and_an_exit_in_the_middle_of_a_handshake_are_quiet(transport: str, how: str) -> None:
    """In the child all is ForkedError and nothing is freed; the parent goes on. An exit neither waits nor crashes."""
    certs = (certificates().ca_pem, *certificates().server_certificate)
    ended = run(PROGRAM.replace("{certs!r}", repr(certs)), transport, how, options=FORKS)
    ended.check(out="7\nb'on'\n" if how == "fork" else "", err="" if how == "fork" else None)


# nngcat.


@over_tls
@pytest.mark.parametrize("insecure", [False, True], ids=["verified", "insecure"])
def test_nngcat_dials_a_listener_of_ours(transport: str, insecure: bool, tmp_path: Path) -> None:
    """With our authority's certificate, and one of its own for a listener that wants one; or without looking."""
    certs = certificates()
    files = certs.write(tmp_path)
    if insecure:
        server, how = plain_server(), ["--insecure"]
    else:
        server, how = certs.server, ["--cacert", str(files.ca), "--cert", str(files.client_cert), "--key", str(files.client_key)]
    with (
        nngio.Pair0(listen=f"{transport}://localhost:0", tls=server) as pair,
        Peer("nngcat", "--pair0", "--data", "from nngcat", "--msgpack", *how, "--connect", pair.listeners[0].url) as peer,
    ):
        assert pair.recv(timeout=SECONDS) == b"from nngcat"
        pair.send(b"from nngio", timeout=SECONDS)
        assert peer.printed() == b"from nngio"


@over_tls
def test_nngcat_listens_for_a_dialer_of_ours(transport: str, tmp_path: Path) -> None:
    """With a certificate of our authority's; the socket dials in the background until nngcat is there."""
    certs = certificates()
    files = certs.write(tmp_path)
    with socket.socket() as port, nngio.Pair0(tls=certs.client) as pair:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.bind(("127.0.0.1", 0))
        url = f"{transport}://127.0.0.1:{port.getsockname()[1]}"
        pair.dial(url, block=False, reconnect_time_min=0.01)
        how = ["--cert", str(files.server_cert), "--key", str(files.server_key)]
        with Peer("nngcat", "--pair0", "--data", "from nngcat", "--msgpack", *how, "--bind", url) as peer:
            assert pair.recv(timeout=SECONDS) == b"from nngcat"
            pair.send(b"from nngio", timeout=SECONDS)
            assert peer.printed() == b"from nngio"
