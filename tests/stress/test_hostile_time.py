"""Peers that take their time: who hasn't said what is wanted after ten seconds is sent away, and leaves nothing behind."""

import time
from pathlib import Path

import pytest
from hostile import PARTNERS, Server, Stranger, opening, patched

import nngio

pytestmark = pytest.mark.timeout(120)

PEERS = 300


@pytest.mark.parametrize("transport", ["tcp", "ipc", pytest.param("ws", marks=patched), pytest.param("tls", marks=patched)])
def test_half_a_handshake_lasts_ten_seconds(transport: str, tmp_path: Path) -> None:
    """Three hundred peers hold one, each at another place of it; good peers are served beside them and afterwards."""
    url = {"ipc": f"ipc://{tmp_path}/x", "ws": "ws://127.0.0.1:0/x", "tls": "tls+tcp://127.0.0.1:0"}.get(transport, "tcp://127.0.0.1:0")
    with Server([(nngio.Rep0, url)]) as server:
        server.check()
        before = server.cost()
        served = server.sockets[0]
        said = opening(transport, PARTNERS[served.protocol])
        if transport == "tls":
            said = b"\x16\3\1\2\0\1\0\1\xfc\3\3"  # the beginning of a hello
        began = time.monotonic()
        held = [Stranger(served.url, timeout=60).say(said[: number % len(said)]) for number in range(PEERS)]
        server.check()
        if transport == "tls":
            held += [Stranger(served.url, timeout=60).encrypt().say(b"\0SP\0\0"[:number]) for number in range(5)]
        for stranger in held:
            assert stranger.is_sent_away()
        assert time.monotonic() - began > 9
        server.gives_back(before)
        server.check()
        server.has_not_grown(before, 100 * 2**20)
        for stranger in held:
            stranger.close()


@patched
def test_a_dialer_outlives_listeners_that_never_answer() -> None:
    """Five hundred WebSocket dials at a time run out of time, again and again, and are closed while they do."""
    with Server([(nngio.Rep0, "tcp://127.0.0.1:0")]) as server:
        # Its greeting is not an answer in HTTP, and for ten seconds it says nothing else.
        url = server.sockets[0].url.replace("tcp://", "ws://") + "/x"
        for seconds in (2.5, 4.5, 2.0, 1.9):
            sockets = [nngio.Pair0() for _ in range(10)]
            for sock in sockets:
                for _ in range(50):
                    sock.dial(url, block=False, reconnect_time_min=0.01)
            time.sleep(seconds)  # NNG gives an answer two seconds
            for sock in sockets:
                sock.close()
