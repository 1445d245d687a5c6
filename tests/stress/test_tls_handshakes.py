"""TLS handshakes that never end, that are cancelled at any moment, and many of them at once."""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from loops import Loop, Tasks, on_all_loops
from programs import run_all
from races import RACES
from test_tls import PROGRAM, descriptors_come_back, gets_in, over_tls, patched
from tls import SECONDS, TRANSPORTS, certificates, client_hello, plain_client, plain_server, ssl_client, strangers

import nngio
from nngio import TLSConfig

Address = Callable[[str], str]

LONG = 60.0
"""Seconds after which a peer has long been sent away: NNG gives it ten."""


@patched
@pytest.mark.timeout(2 * LONG)
def test_a_peer_that_does_not_finish_its_handshake_is_sent_away(address: Address) -> None:
    """Having said nothing, or half of what it has to, or all but the last; meanwhile the listeners serve others."""
    hello = client_hello()
    with ExitStack() as stack:
        pulls = [stack.enter_context(nngio.Pull0(listen=address(transport), tls=certificates().server)) for transport in TRANSPORTS]
        begun = []
        for pull in pulls:
            for first in (b"", hello[:1], hello[:-1], hello):
                raw = stack.enter_context(socket.create_connection(("127.0.0.1", pull.listeners[0].port), timeout=LONG))
                raw.sendall(first)
                begun.append(raw)
        for pull in pulls:
            gets_in(pull)
        for raw in begun:
            with contextlib.suppress(ConnectionResetError):
                while raw.recv(65536):
                    pass
        for pull in pulls:
            gets_in(pull)


@patched
@over_tls
@pytest.mark.timeout(2 * LONG)
def test_a_dial_without_a_timeout_to_a_peer_that_says_nothing_fails(transport: str) -> None:
    """After NNG's own time for it."""
    with socket.create_server(("127.0.0.1", 0)) as mute, nngio.Pair0() as pair:
        with pytest.raises(nngio.TimedOut, match="TLS handshake in time"):
            pair.dial(f"{transport}://127.0.0.1:{mute.getsockname()[1]}", tls=plain_client())
        assert pair.dialers == ()


@on_all_loops
@over_tls
@pytest.mark.timeout(2 * LONG)
def test_dials_that_are_cancelled_at_any_moment_leave_nothing(loop: Loop, transport: str, address: Address) -> None:
    """Of the connection, the handshake, or afterwards; to a good listener, a wrong one, and where nobody is."""
    chance = random.Random(f"{loop.name} {transport}")
    with nngio.Pull0(tls=certificates().server) as pull, descriptors_come_back():
        good = pull.listen(address(transport)).url
        wrong = pull.listen(address(transport), tls=strangers().server).url
        nobody = pull.listen(address(transport))
        nobody.close()

        async def dial(url: str) -> None:
            async with nngio.Push0() as push:
                with contextlib.suppress(nngio.NNGError):
                    await push.adial(url, tls=certificates().client)

        async def main(tasks: Tasks) -> None:
            for _ in range(max(RACES // 20, 10)):
                dials = [tasks.start(dial, url) for url in (good, wrong, nobody.url)]
                await loop.sleep(chance.uniform(0, 0.01))
                for task in dials:
                    task.cancel()
                for task in dials:
                    outcome = await task.wait()
                    assert outcome.error is None, outcome.error

        loop.run(main)
        gets_in(pull)
        for listener in pull.listeners:
            listener.close()


@pytest.mark.timeout(2 * LONG)
def test_a_config_is_replaced_while_peers_come() -> None:
    """Listeners of `wss` that share a port share the config of the last one: peers come meanwhile, and each gets in with either."""
    both = TLSConfig(ca=certificates().ca_pem + strangers().ca_pem)
    stop = threading.Event()
    errors: list[BaseException] = []
    with nngio.Pull0(listen="wss://127.0.0.1:0/first", tls=plain_server()) as pull:
        url = pull.listeners[0].url

        def come() -> None:
            try:
                while not stop.is_set():
                    with nngio.Push0() as push:
                        push.dial(url, tls=both, timeout=SECONDS)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=come) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for i in range(max(RACES // 10, 20)):
                cert, key = (certificates() if i % 2 else strangers()).server_certificate
                pull.listen(url.replace("first", str(i)), tls=TLSConfig(cert=cert, key=key)).close()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert errors == []


@over_tls
@pytest.mark.timeout(2 * LONG)
def test_sockets_that_close_while_many_peers_shake_hands_come_to_their_end(transport: str, address: Address) -> None:
    """Raw peers in every state of the handshake, dialers that come and go."""
    chance = random.Random(transport)
    hello = client_hello()
    with descriptors_come_back():
        for _ in range(max(RACES // 10, 20)):
            with ExitStack() as stack:
                pull = stack.enter_context(nngio.Pull0(listen=address(transport), tls=plain_server()))
                port = pull.listeners[0].port
                for _ in range(3):
                    raw = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=SECONDS))
                    raw.sendall(hello[: chance.randrange(len(hello) + 1)])
                stack.enter_context(ssl_client(port))
                push = stack.enter_context(nngio.Push0(tls=plain_client()))
                push.dial(pull.listeners[0].url, block=False)
                time.sleep(chance.uniform(0, 0.004))  # the moment of the close is what differs


@over_tls
@pytest.mark.timeout(2 * LONG)
@pytest.mark.parametrize("how", ["exit", "fork"])
def test_programs_that_end_in_the_middle_of_handshakes_are_quiet(transport: str, how: str) -> None:
    """Fifty times: each ends as it was asked to."""
    certs = (certificates().ca_pem, *certificates().server_certificate)
    program = PROGRAM.replace("{certs!r}", repr(certs))
    for ended in run_all([(program, (transport, how))] * 50):
        ended.check(out="7\nb'on'\n" if how == "fork" else "", err="" if how == "fork" else None)
