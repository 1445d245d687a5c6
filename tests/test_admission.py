"""Rules for who may connect: they admit and refuse as they say, and count it."""

import contextlib
import ipaddress
import os
import random
import re
import socket as sockets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from tls import plain_client, plain_server

import nngio
from nngio import Admission, InvalidArgument

SECONDS = 15

FAR = "203.0.113.0/24"
"""A network that nobody here is in."""


def connect(server: nngio.Bus0, url: str, tls: nngio.TLSConfig | None = None) -> bool:
    """Dial to a server that has no other peers; whether it admits the caller. Closed again when this returns.

    The dialer connects in any case. Then either the server does, or the dialer is disconnected, and may try again. Over TLS it has to,
    now and then: what the server says last before it hangs up may be lost with the connection.
    """
    told: SimpleQueue[tuple[str, bool]] = SimpleQueue()
    before = counted(server)
    with nngio.Bus0() as peer, server.on_pipe(lambda event: told.put(("server", event.connected))):
        peer.on_pipe(lambda event: told.put(("peer", event.connected)))
        peer.dial(url, block=False, reconnect_time_min=0.05 if tls else 1_000_000, tls=tls)
        first = {told.get(timeout=SECONDS), told.get(timeout=SECONDS)}
        assert ("peer", True) in first
        (verdict,) = first - {("peer", True)}
        assert verdict in (("server", True), ("peer", False))
        admitted = verdict == ("server", True)
        assert len(server.pipes) == admitted
        peer.close()
        while admitted and told.get(timeout=SECONDS) != ("server", False):
            pass
    admitted_now, refused_now = counted(server)
    assert (admitted_now - before[0], refused_now > before[1]) == (admitted, not admitted)
    return admitted


def counted(server: nngio.Socket) -> tuple[int, int]:
    counters = Admission().counters if server.admission is None else server.admission.counters
    return counters.admitted, counters.refused


@pytest.fixture(scope="module")
def has_ipv6() -> None:
    try:
        nngio.Bus0(listen="tcp6://[::1]:0").close()
    except nngio.NNGError as error:
        pytest.skip(f"this machine has no IPv6: {error}")


V4 = [
    ({"allow": "127.0.0.0/8"}, True),
    ({"allow": "127.0.0.1"}, True),
    ({"allow": ipaddress.ip_address("127.0.0.1")}, True),
    ({"allow": ipaddress.ip_network("127.0.0.0/31")}, True),
    ({"allow": ["10.0.0.0/8", "127.0.0.1/32"]}, True),
    ({"allow": "127.0.0.2/31"}, False),
    ({"allow": "10.0.0.0/8"}, False),
    ({"allow": "0.0.0.0/0"}, True),
    ({"allow": []}, False),
    ({"deny": []}, True),
    ({"deny": FAR}, True),
    ({"deny": "127.0.0.0/8"}, False),
    ({"deny": "0.0.0.0/0"}, False),
    ({"allow": "127.0.0.1", "deny": "127.0.0.0/8"}, False),
    ({"allow": "127.0.0.0/8", "deny": "127.0.0.2"}, True),
    ({"allow": "::/0"}, False),
    ({"deny": "::/0"}, True),
    ({"allow": "::ffff:127.0.0.0/104"}, True),
    ({"allow": "::ffff:127.0.0.1"}, True),
    ({"deny": "::ffff:0.0.0.0/96"}, False),
    ({"max_peers": 1}, True),
    ({"max_peers": 0}, False),
    ({"allow_uids": [os.getuid()]}, False),
    ({"deny_uids": [os.getuid()]}, True),
    ({}, True),
]
V6 = [
    ({"allow": "::1"}, True),
    ({"allow": "::/0"}, True),
    ({"allow": "::/127"}, True),
    ({"allow": ["10.0.0.0/8", ipaddress.ip_network("::1/128")]}, True),
    ({"allow": "::2/127"}, False),
    ({"allow": "2001:db8::/32"}, False),
    ({"allow": "0.0.0.0/0"}, False),
    ({"deny": "0.0.0.0/0"}, True),
    ({"deny": "::/64"}, False),
    ({"deny": "::1", "allow": "::/0"}, False),
    ({"deny": "2001:db8::/32"}, True),
]


@pytest.mark.parametrize(("rules", "admitted"), V4, ids=str)
def test_an_ipv4_peer_is_judged_by_the_networks_that_it_is_in(rules: dict[str, Any], admitted: bool) -> None:
    """First those that deny, then those that allow, if there are any; IPv6 networks are other peers' business."""
    with nngio.Bus0(listen="tcp4://127.0.0.1:0", admission=Admission(**rules)) as server:
        assert connect(server, server.listeners[0].url) is admitted


@pytest.mark.parametrize(("rules", "admitted"), V4, ids=str)
@pytest.mark.usefixtures("has_ipv6")
def test_an_ipv4_peer_that_comes_as_an_ipv6_address_is_judged_as_ipv4(rules: dict[str, Any], admitted: bool) -> None:
    """A listener for both sees `::ffff:127.0.0.1`; that makes no difference."""
    with nngio.Bus0(listen="tcp6://[::]:0", admission=Admission(**rules)) as server:
        assert connect(server, f"tcp4://127.0.0.1:{server.listeners[0].port}") is admitted


@pytest.mark.parametrize(("rules", "admitted"), V6, ids=str)
@pytest.mark.usefixtures("has_ipv6")
def test_an_ipv6_peer_is_judged_by_the_networks_that_it_is_in(rules: dict[str, Any], admitted: bool) -> None:
    """And IPv4 networks are other peers' business."""
    with nngio.Bus0(listen="tcp6://[::1]:0", admission=Admission(**rules)) as server:
        assert connect(server, server.listeners[0].url) is admitted


@pytest.mark.parametrize("transport", ["ws", "wss", "inproc", "ipc"])
def test_networks_are_for_whoever_has_an_ip_address(transport: str, address: Callable[[str], str]) -> None:
    """A websocket's peer has one; one by inproc or ipc has none, so no network matches it."""
    listens, dials = (plain_server(), plain_client()) if transport == "wss" else (None, None)
    with nngio.Bus0(listen=address(transport), tls=listens, admission=Admission(allow="127.0.0.0/8")) as server:
        assert connect(server, server.listeners[0].url, dials) is (transport in ("ws", "wss"))
        server.admission = Admission(deny="127.0.0.0/8")
        assert connect(server, server.listeners[0].url, dials) is (transport not in ("ws", "wss"))


@pytest.mark.parametrize(("rules", "admitted"), V4, ids=str)
def test_a_peer_is_judged_by_its_networks_over_tls(rules: dict[str, Any], admitted: bool) -> None:
    """As it is without; who is refused has shaken hands before."""
    with nngio.Bus0(listen="tls+tcp://127.0.0.1:0", tls=plain_server(), admission=Admission(**rules)) as server:
        assert connect(server, server.listeners[0].url, plain_client()) is admitted


@pytest.mark.parametrize(("rules", "admitted"), V6, ids=str)
@pytest.mark.usefixtures("has_ipv6")
def test_an_ipv6_peer_is_judged_by_its_networks_over_tls(rules: dict[str, Any], admitted: bool) -> None:
    """Of either family."""
    with nngio.Bus0(listen="tls+tcp://[::1]:0", tls=plain_server(), admission=Admission(**rules)) as server:
        assert connect(server, server.listeners[0].url, plain_client()) is admitted


def test_networks_of_every_size_match_what_they_contain() -> None:
    """Peers from all over 127.0.0.0/8, and networks around them: as Python's `ipaddress` says."""
    dice = random.Random(5)
    with nngio.Bus0(listen="tcp4://127.0.0.1:0") as server:
        for bits in range(8, 33):
            source = ipaddress.ip_address(0x7F000001 + dice.randrange(1 << 24))
            other = ipaddress.ip_address(int(source) ^ (1 << dice.randrange(24)))
            network = ipaddress.ip_network((int(dice.choice([source, other])), bits), strict=False)
            if source.packed[-1] in (0, 255):
                continue
            url = f"tcp4://{source};127.0.0.1:{server.listeners[0].port}"
            server.admission = Admission(allow=network)
            assert connect(server, url) is (source in network), f"{source} in {network}"
            server.admission = Admission(deny=network)
            assert connect(server, url) is (source not in network), f"{source} in {network}"


@pytest.mark.usefixtures("has_ipv6")
def test_ipv6_networks_of_every_size_match_what_they_contain() -> None:
    """Networks around `::1`, and around addresses that differ from it in one bit, before or behind the end of the prefix."""
    dice = random.Random(6)
    source = ipaddress.IPv6Address("::1")
    with nngio.Bus0(listen="tcp6://[::1]:0") as server:
        url = server.listeners[0].url
        for bits in range(129):
            inside = bits == 0 or bool(dice.randrange(2))
            if inside:
                other = int(source) ^ (dice.getrandbits(128 - bits) if bits < 128 else 0)
            else:
                other = int(source) ^ (1 << (127 - dice.choice([bits - 1, dice.randrange(bits)])))
            network = ipaddress.ip_network((other, bits), strict=False)
            assert (source in network) is inside
            server.admission = Admission(allow=network)
            assert connect(server, url) is inside, f"{source} in {network}"
            server.admission = Admission(deny=network)
            assert connect(server, url) is not inside, f"{source} in {network}"


UID, GID, PID = os.getuid(), os.getgid(), os.getpid()
IPC = [
    ({"allow_uids": [UID]}, True),
    ({"allow_uids": [UID + 1]}, False),
    ({"deny_uids": [UID]}, False),
    ({"deny_uids": [UID + 1]}, True),
    ({"allow_gids": [GID]}, True),
    ({"allow_gids": [GID + 1, GID + 2]}, False),
    ({"deny_gids": [GID]}, False),
    ({"allow_pids": [PID, 1]}, True),
    ({"allow_pids": [1]}, False),
    ({"deny_pids": [PID]}, False),
    ({"allow_uids": [UID], "deny_pids": [PID]}, False),
    ({"allow_uids": [UID + 1], "allow_gids": [GID]}, True),
    ({"allow_uids": [], "allow": FAR}, False),
    ({"allow_uids": [UID], "allow": FAR, "max_peers": 1}, True),
    ({"allow_uids": [UID], "max_peers": 0}, False),
]


@pytest.mark.parametrize(("rules", "admitted"), IPC, ids=lambda value: re.sub(rf"\b{PID}\b(?!\.)", "PID", str(value)))
@pytest.mark.parametrize("scheme", ["ipc", "abstract"])
def test_an_ipc_peer_is_judged_by_its_user_group_and_process(scheme: str, rules: dict[str, Any], admitted: bool, tmp_path: Path) -> None:
    """One rule that denies is enough, and one that allows, of whatever kind."""
    if scheme == "abstract" and sys.platform != "linux":
        pytest.skip("abstract addresses are Linux's")
    with nngio.Bus0(listen=f"{scheme}://{tmp_path}/x", admission=Admission(**rules)) as server:
        assert connect(server, server.listeners[0].url) is admitted


SOMEBODY_ELSE = r"""
import os, socket, sys
os.setgroups([])
os.setgid(65533)
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as peer:
    peer.connect(bytes.fromhex(sys.argv[1]))
    peer.sendall(b"\0SP\0\0\x70\0\0")  # a BUS
    while peer.recv(100):
        pass
"""


@pytest.mark.skipif(UID != 0 or sys.platform != "linux", reason="only root can be somebody else, and abstract addresses are Linux's")
def test_another_user_s_process_is_told_from_ours(tmp_path: Path) -> None:
    """User, group and process are those of who dials: here another user, in a process of its own."""
    rules = Admission(allow_uids=[65534])
    with nngio.Bus0(listen=f"abstract://{tmp_path}/x", admission=rules) as server, server.pipe_events() as events:
        assert not connect(server, server.listeners[0].url)
        with subprocess.Popen([sys.executable, "-c", SOMEBODY_ELSE, f"\0{tmp_path}/x".encode().hex()]) as process:
            try:
                pipe = events.get(timeout=SECONDS).pipe
                assert (pipe.peer_uid, pipe.peer_gid, pipe.peer_pid) == (65534, 65533, process.pid)
                server.admission = Admission(deny_gids=[65533])
                pipe.close()
                assert process.wait(SECONDS) == 0
            finally:
                process.kill()
        with subprocess.Popen([sys.executable, "-c", SOMEBODY_ELSE, f"\0{tmp_path}/x".encode().hex()]) as process:
            try:
                assert process.wait(SECONDS) == 0  # it was disconnected
            finally:
                process.kill()
        assert server.admission.counters.denied == {"gid 65533": 1}


def test_a_limit_holds_and_a_peer_that_leaves_frees_its_place(address: Callable[[str], str]) -> None:
    """Two may come; a third is refused until one of them has left."""
    rules = Admission(max_peers=2)
    with nngio.Bus0(listen=address("ipc"), admission=rules) as server, server.pipe_events() as events:
        url = server.listeners[0].url
        with nngio.Bus0(dial=url) as first, nngio.Bus0(dial=url):
            server.wait_for_peers(2, timeout=SECONDS)
            with nngio.Bus0() as third, third.pipe_events() as seen:
                third.dial(url, reconnect_time_min=0.01)
                assert [seen.get(timeout=SECONDS).connected for _ in range(4)] == [True, False, True, False]
                assert len(server.pipes) == 2
                assert rules.counters.admitted == 2
                assert rules.counters.over_limit >= 2
                assert [events.get(timeout=SECONDS).connected for _ in range(2)] == [True, True]
                first.close()
                assert [events.get(timeout=SECONDS).connected for _ in range(2)] == [False, True]
                server.wait_for_peers(2, timeout=SECONDS)
                assert rules.counters.admitted == 3


def test_a_peer_that_the_protocol_refuses_takes_no_place(address: Callable[[str], str]) -> None:
    """A PAIR has one peer; others are let in by the rules, refused by the PAIR, and none of them counts afterwards."""
    rules = Admission(max_peers=2)
    with nngio.Pair0(listen=address("inproc"), admission=rules) as server, server.pipe_events() as events:
        with nngio.Pair0(dial=server.listeners[0].url):
            server.wait_for_peers(timeout=SECONDS)
            for _ in range(5):
                with nngio.Pair0() as other, other.pipe_events() as seen:
                    other.dial(server.listeners[0].url, block=False, reconnect_time_min=1_000_000)
                    assert [seen.get(timeout=SECONDS).connected for _ in range(2)] == [True, False]
            assert len(server.pipes) == 1
        assert [events.get(timeout=SECONDS).connected for _ in range(2)] == [True, False]
        with nngio.Pair0(dial=server.listeners[0].url):
            assert events.get(timeout=SECONDS).connected
        assert rules.counters.refused == 0


def test_rules_change_at_any_time_and_for_new_peers_only(address: Callable[[str], str]) -> None:
    """Who is connected stays; None admits anybody again; the old rules' counters stand still."""
    nobody = Admission(allow=[])
    with nngio.Bus0(listen=address("ipc")) as server:
        url = server.listeners[0].url
        assert server.admission is None
        with nngio.Bus0(dial=url) as stays:
            server.wait_for_peers(timeout=SECONDS)
            server.admission = nobody
            assert server.admission is nobody
            with nngio.Bus0() as refused, refused.pipe_events() as seen:
                refused.dial(url, block=False, reconnect_time_min=1_000_000)
                assert [seen.get(timeout=SECONDS).connected for _ in range(2)] == [True, False]
            assert nobody.counters.not_allowed >= 1
            assert nobody.counters.admitted == 0
            assert len(server.pipes) == 1
            server.send(b"still here")
            assert stays.recv(timeout=SECONDS) == b"still here"
            server.admission = None
            with nngio.Bus0(dial=url):
                server.wait_for_peers(2, timeout=SECONDS)
        assert nobody.counters.admitted == 0


def test_rules_hold_for_those_who_are_dialed_too(address: Callable[[str], str]) -> None:
    """The peer that listens is refused by the one that dials."""
    with (
        nngio.Bus0(listen=address("ipc")) as server,
        nngio.Bus0(admission=Admission(deny_uids=[UID])) as client,
        client.pipe_events() as seen,
    ):
        client.dial(server.listeners[0].url, block=False, reconnect_time_min=0.01)
        with pytest.raises(nngio.TimedOut):
            seen.get(timeout=0.2)
        assert not client.pipes
        assert counted(client)[1] >= 1


def refused_once(port: int, source: str) -> None:
    """Connect as a BUS would, once: be told what the server is, and be disconnected."""
    with sockets.create_connection(("127.0.0.1", port), timeout=SECONDS, source_address=(source, 0)) as peer:
        peer.sendall(b"\0SP\0\0\x70\0\0")
        said = b""
        while data := peer.recv(100):
            said += data
        assert said == b"\0SP\0\0\x70\0\0"


def test_counters_tell_which_rule_refused() -> None:
    """The first rule that denies, or that none allowed, or that there was no place."""
    rules = Admission(allow="127.0.0.0/30", deny=["127.0.0.2", "127.0.0.0/31", "127.0.0.3"], max_peers=0)
    with nngio.Bus0(listen="tcp4://127.0.0.1:0", admission=rules) as server:
        for last, times in ((1, 3), (2, 2), (3, 1), (9, 4)):
            for _ in range(times):
                refused_once(server.listeners[0].port, f"127.0.0.{last}")
        counters = rules.counters
        assert counters == (0, {"127.0.0.2/32": 2, "127.0.0.0/31": 3, "127.0.0.3/32": 1}, 4, 0)
        assert counters.refused == 10


def test_pipes_that_a_closing_listener_cuts_off_keep_no_place(address: Callable[[str], str]) -> None:
    """NNG tells of some that they have come, and never that they have gone: their listener was closed in between."""
    with nngio.Bus0(admission=Admission(max_peers=1)) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(nngio.Bus0()) for _ in range(4)]
        for _ in range(4000):
            listener = server.listen(address("inproc"))
            dialers = [client.dial(listener.url, block=False) for client in clients]
            listener.close()
            for dialer in dialers:
                dialer.close()
        listener = server.listen(address("inproc"))
        clients[0].dial(listener.url, reconnect_time_min=0.01)
        server.wait_for_peers(timeout=SECONDS)


def test_one_set_of_rules_serves_many_sockets_with_a_limit_for_each(address: Callable[[str], str]) -> None:
    """Places are a socket's, counters the rules'."""
    rules = Admission(max_peers=1)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            server = stack.enter_context(nngio.Bus0(listen=address("inproc"), admission=rules))
            stack.enter_context(nngio.Bus0(dial=server.listeners[0].url))
            server.wait_for_peers(timeout=SECONDS)
        assert rules.counters.admitted == 3


def test_rules_outlive_whoever_dropped_them(address: Callable[[str], str]) -> None:
    """The socket has them in C, and gives them back; a socket that is gone leaves its rules as they are."""
    with nngio.Bus0(listen=address("inproc"), admission=Admission(max_peers=0)) as server:
        server._admission = None
        with nngio.Bus0() as refused, refused.pipe_events() as seen:
            refused.dial(server.listeners[0].url, block=False, reconnect_time_min=1_000_000)
            assert [seen.get(timeout=SECONDS).connected for _ in range(2)] == [True, False]
    rules = Admission(max_peers=7)
    nngio.Bus0(admission=rules).close()
    assert rules.counters.refused == 0


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"allow": "10.0.0.1/8"}, InvalidArgument, "do you mean '10.0.0.0/8'"),
        ({"deny": ["localhost"]}, InvalidArgument, "like '10.0.0.0/8'"),
        ({"allow": "10.0.0.0/33"}, InvalidArgument, "10.0.0.0/33"),
        ({"allow": "fe80::1%eth0"}, InvalidArgument, "zone"),
        ({"allow": [b"10.0.0.0/8"]}, TypeError, "not bytes"),
        ({"deny": [167772160]}, TypeError, "not int"),
        ({"max_peers": -1}, InvalidArgument, "max_peers is 0 to"),
        ({"max_peers": "3"}, TypeError, "not str"),
        ({"max_peers": True}, TypeError, "not bool"),
        ({"allow_uids": 1000}, TypeError, r"such as \[1000\]"),
        ({"deny_uids": ["root"]}, TypeError, "whole number, not str"),
        ({"allow_gids": [-1]}, InvalidArgument, "allow_gids is 0 to"),
        ({"allow_pids": [2**32]}, InvalidArgument, "allow_pids is 0 to"),
        ({"allow_users": [1]}, TypeError, "allow_users"),
    ],
    ids=str,
)
def test_rules_that_make_no_sense_are_refused(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    """The error names the rule, and what to write instead."""
    with pytest.raises(error, match=text):
        Admission(**arguments)


def test_admission_is_an_admission(lonely: nngio.Pair0) -> None:
    """Or None; nothing else is taken for rules, neither by the attribute nor by the constructor."""
    with pytest.raises(TypeError, match="not dict"):
        lonely.admission = {"max_peers": 1}  # type: ignore[assignment]
    with pytest.raises(TypeError, match="not str"):
        nngio.Pair0(admission="10.0.0.0/8")  # type: ignore[arg-type]
    lonely.close()
    with pytest.raises(nngio.Closed):
        lonely.admission = None


def test_rules_say_what_they_are() -> None:
    """Their `repr` is what an operator would want to see in a log; they can't be copied, because they count."""
    assert repr(Admission()) == "<nngio.Admission of anybody>"
    assert repr(Admission(allow=[])) == "<nngio.Admission allows nobody>"
    rules = Admission(allow="10.0.0.0/8", deny="10.1.0.0/16", deny_uids=[5], max_peers=1)
    assert repr(rules) == "<nngio.Admission denies 10.1.0.0/16, uid 5; allows 10.0.0.0/8; at most 1 peer>"
    with pytest.raises(TypeError, match="counts"):
        rules.__reduce__()
