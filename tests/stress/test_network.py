"""Several hosts: what becomes of messages when a cable is cut, a link goes down, gets slow or loses packets, and when it heals.

Each statement of docs/delivery.md is tested here, in network namespaces (network.py) with a process in each (network_peers.py). This
needs root, and is skipped where namespaces can't be had.

All protocols run at the same time, numbered messages in each, while the network fails (the scenes); the tests look at what was noted,
protocol by protocol. `NNGIO_NETWORK_ROUNDS` is how often it fails in a scene, 1 unless set.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import network
import pytest
from network import Host, Network
from network_peers import Remote

ROUNDS = int(os.environ.get("NNGIO_NETWORK_ROUNDS", "1"))
LONG = 30.0
"""Seconds that nothing takes here, unless it hangs."""

pytestmark = [
    pytest.mark.timeout(120 + 60 * ROUNDS),
    pytest.mark.skipif(network.why_not() is not None, reason=f"no several hosts here: {network.why_not()}"),
]

each_style = pytest.mark.parametrize("style", ["sync", "asyncio", "trio"])

Lists = dict[str, list[Any]]


def until(condition: Callable[[], bool]) -> None:
    """Wait for what only the kernel knows."""
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "it never came to be so"
        time.sleep(0.05)


def give_up_soon(*hosts: Host) -> None:
    """Let the kernels give up a connection after a few seconds without an answer, not after a quarter of an hour; dials too."""
    for host in hosts:
        host.sysctl(tcp_retries2=2, tcp_keepalive_time=1, tcp_keepalive_intvl=1, tcp_keepalive_probes=1, tcp_syn_retries=1)


def established(host: Host) -> int:
    """How many connections a host believes to have."""
    return len(host.run("ss", "-Htn", "state", "established").splitlines())


def all_read(host: Host) -> bool:
    """Whether nothing waits in the host's kernel, neither to be sent and acknowledged nor to be read."""
    return all(line.split()[:2] == ["0", "0"] for line in host.run("ss", "-Htn", "state", "established").splitlines())


@contextmanager
def hosts(*names: str) -> Iterator[list[Any]]:
    """Hosts, each with a process: the hosts first, then the processes."""
    with Network(*names) as net:
        give_up_soon(*net.hosts)
        remotes = [Remote(host) for host in net.hosts]
        yield [*net.hosts, *remotes]
        for remote in remotes:
            remote.end()


# The scenes.


class Scene:
    """All protocols between two hosts, in one style, until `finish`: then `left` and `right` have what was noted."""

    left: Lists
    right: Lists

    def __init__(self, net: Network, style: str) -> None:
        self.hosts = net.hosts
        give_up_soon(*net.hosts)
        self.near, self.far = (Remote(host) for host in net.hosts)
        near, far = self.near, self.far
        fast: dict[str, Any] = {"keepalive": True, "reconnect_time_min": 0.1}
        to_near, to_far = (f"tcp://{host.address}" for host in net.hosts)
        far.open("push", "Pull0", listen="tcp://*:1", **fast)
        near.open("push", "Push0", dial=f"{to_far}:1", **fast)
        near.open("push that listens", "Push0", listen="tcp://*:2", **fast)
        far.open("push that listens", "Pull0", dial=f"{to_near}:2", **fast)
        far.open("pair", "Pair1", listen="tcp://*:3", **fast)
        near.open("pair", "Pair1", dial=f"{to_far}:3", **fast)
        near.open("pub", "Pub0", listen="ws://*:4/pub", send_buffer=8192, **fast)
        far.open("pub", "Sub0", subscribe="", recv_buffer=8192, dial=f"ws://{net.hosts[0].address}:4/pub", **fast)
        far.open("bus", "Bus0", listen="tcp://*:5", **fast)
        near.open("bus", "Bus0", dial=f"{to_far}:5", **fast)
        far.open("req", "Rep0", listen="tcp://*:6", **fast)
        near.open("req", "Req0", dial=f"{to_far}:6", resend_time=0.5, **fast)
        near.open("survey", "Surveyor0", listen="tcp://*:7", survey_time=0.4, **fast)
        far.open("survey", "Respondent0", dial=f"{to_near}:7", **fast)

        for name in ("push", "push that listens", "pair", "pub", "bus"):
            far.start("recv", name, style)
        for name in ("pair", "bus"):
            near.start("recv", name, style)
            far.start("send", name, style)
        for name in ("req", "req", "survey"):
            far.start("answer", name, style)
        for name in ("push", "push that listens", "pair", "pub", "bus"):
            near.start("send", name, style)
        for _ in range(2):
            near.start("ask", "req", style, timeout=LONG)
        near.start("survey", "survey", style, timeout=LONG)

    def goes_on(self) -> None:
        """Wait until traffic goes on everywhere: what is sent from now on arrives."""
        both = [(self.near, self.far, name) for name in ("push", "push that listens", "pair", "pub", "bus")]
        for sender, receiver, name in [*both, (self.far, self.near, "pair"), (self.far, self.near, "bus")]:
            sender.until_more(f"{name} sent", 10)
            receiver.until(f"{name} received", sender.length(f"{name} sent") - 1)
        self.near.until_more("req answered", 10)
        self.near.until_more("survey answered", 1)

    def finish(self) -> None:
        """Let it end: no more is sent, and what arrives is waited for."""
        self.near.stop()
        self.far.stop()
        for sender, receiver in ((self.near, self.far), (self.far, self.near)):
            for list_name, sent in sender.lists().items():
                if list_name.endswith(" sent"):
                    receiver.until(list_name.replace(" sent", " received"), sent[-1])
        self.left, self.right = self.near.lists(), self.far.lists()
        self.near.end()
        self.far.end()

    def both_ways(self, name: str) -> list[tuple[list[int], list[int]]]:
        """What was sent and what was received, each way."""
        ways = [(self.left, self.right), (self.right, self.left)]
        return [(a[f"{name} sent"], b[f"{name} received"]) for a, b in ways if f"{name} sent" in a]


def unplugged(host: Host) -> None:
    host.unplug()
    time.sleep(1.2)
    host.plug()


def link_down(host: Host) -> None:
    host.link(up=False)
    time.sleep(1.2)
    host.link(up=True)


def slow_and_lossy(host: Host) -> None:
    host.slow("256kbit")
    host.lose(10)
    time.sleep(2)
    host.heal()


TROUBLES = [(unplugged, "sync"), (link_down, "asyncio"), (slow_and_lossy, "trio")]


@pytest.fixture(scope="module", params=TROUBLES, ids=[f"{trouble.__name__}-{style}" for trouble, style in TROUBLES])
def survived(request: pytest.FixtureRequest) -> Scene:
    """A scene whose connections survive, because the trouble is over before a kernel gives up."""
    trouble, style = request.param
    with Network("left", "right") as net:
        scene = Scene(net, style)
        scene.goes_on()
        for _ in range(ROUNDS):
            trouble(net.hosts[1])
            scene.goes_on()
        scene.finish()
    return scene


@pytest.fixture(scope="module", params=["sync", "trio"])
def lost(request: pytest.FixtureRequest) -> Scene:
    """A scene whose connections are lost: a cable is out until both kernels have given up all of them."""
    with Network("left", "right") as net:
        scene = Scene(net, request.param)
        scene.goes_on()
        for _ in range(ROUNDS):
            net.hosts[1].unplug()
            until(lambda: established(net.hosts[0]) == established(net.hosts[1]) == 0)
            net.hosts[1].plug()
            scene.goes_on()
        scene.finish()
    return scene


def runs(numbers: Sequence[int]) -> int:
    """How many runs of consecutive numbers there are."""
    return bool(numbers) + sum(after != before + 1 for before, after in pairwise(numbers))


def in_order_and_once(numbers: Sequence[int]) -> bool:
    """Whether each number is greater than the one before it."""
    return all(after > before for before, after in pairwise(numbers))


# A trouble that the connections survive.


@pytest.mark.parametrize("name", ["push", "push that listens", "pair"])
def test_while_the_connection_lives_all_arrives_in_order_and_once(survived: Scene, name: str) -> None:
    """PUSH and PAIR: TCP sends again what was dropped."""
    for sent, received in survived.both_ways(name):
        assert len(sent) > 20
        assert received == sent


def test_while_the_connection_lives_pub_loses_only_what_finds_a_buffer_full(survived: Scene) -> None:
    """There is room for all here, so all arrive, from the first that found the peer connected."""
    [(sent, received)] = survived.both_ways("pub")
    assert received == sent[received[0] :]


def test_while_the_connection_lives_bus_comes_in_order_and_once(survived: Scene) -> None:
    """With gaps, where a buffer was full."""
    for sent, received in survived.both_ways("bus"):
        assert in_order_and_once(received)
        assert set(received) <= set(sent)


def test_while_the_connection_lives_each_request_gets_its_answer(survived: Scene) -> None:
    """And each of two contexts gets its own, in turn."""
    check_requests(survived)


def test_while_the_connection_lives_a_survey_gets_no_answer_but_its_own(survived: Scene) -> None:
    """One from each respondent, or none when that came too late."""
    check_surveys(survived)


def test_no_call_takes_much_longer_than_its_timeout(survived: Scene) -> None:
    """Whatever the network does."""
    check_none_was_late(survived)


# Connections that are lost.


@pytest.mark.parametrize("name", ["push", "push that listens"])
def test_push_loses_what_the_lost_connection_had_and_nothing_else(lost: Scene, name: str) -> None:
    """One run of messages for each loss; what follows arrives by the new connection, in order, and nothing comes twice."""
    [(sent, received)] = lost.both_ways(name)
    assert in_order_and_once(received)
    assert set(received) <= set(sent)
    missing = sorted(set(sent) - set(received))
    assert runs(missing) <= ROUNDS
    assert received[-1] == sent[-1]


def test_push_and_pair_wait_for_a_connection(lost: Scene) -> None:
    """Their sends time out while there is none, and the same message is sent later."""
    assert lost.left["push send timed out"]
    assert lost.left["pair send timed out"]
    assert set(lost.left["push send timed out"]) <= set(lost.left["push sent"])


def test_pub_and_bus_never_wait_for_a_connection(lost: Scene) -> None:
    """They have nobody to send to, and drop it."""
    assert "pub send timed out" not in lost.left
    assert "bus send timed out" not in lost.left
    assert len(lost.right["pub received"]) < len(lost.left["pub sent"])


@pytest.mark.parametrize("name", ["pair", "pub", "bus"])
def test_after_a_loss_messages_come_in_order_and_once(lost: Scene, name: str) -> None:
    """With gaps where they were lost."""
    for sent, received in lost.both_ways(name):
        assert in_order_and_once(received)
        assert set(received) <= set(sent)
        assert received[-1] == sent[-1]


def test_after_a_loss_each_request_gets_its_answer(lost: Scene) -> None:
    """A request is sent again by the new connection, and so answered at least once."""
    check_requests(lost)


def test_after_a_loss_surveys_are_answered_again(lost: Scene) -> None:
    """Those meanwhile get no answer, and are not sent again."""
    check_surveys(lost)
    assert [] in [answers for _, answers in lost.left["survey surveyed"]]


def test_without_a_connection_no_call_takes_much_longer_than_its_timeout(lost: Scene) -> None:
    """Neither while the kernel has not given up, nor when it has."""
    check_none_was_late(lost)


def check_requests(scene: Scene) -> None:
    answered = scene.left["req answered"]
    assert "req asked in vain" not in scene.left
    # Two contexts count on their own: each number is there twice, but for those after the last of one of them.
    assert set(answered) == set(range(max(answered) + 1))
    assert all(answered.count(number) <= 2 for number in answered)
    asked = scene.right["req asked"]
    assert all(asked.count(number) >= answered.count(number) for number in answered)


def check_surveys(scene: Scene) -> None:
    for number, answers in scene.left["survey surveyed"]:
        assert answers in ([], [number])


def check_none_was_late(scene: Scene) -> None:
    assert not [name for name in (*scene.left, *scene.right) if name.endswith(" late")]


def test_what_waits_in_buffers_outlives_a_connection() -> None:
    """What has arrived is received without a connection; what a PAIR had no peer for goes by the next."""
    with hosts("left", "right") as (left, right, near, far):
        near.open("push", "Push0", dial=[], reconnect_time_min=0.1)
        far.open("push", "Pull0", listen="tcp://*:1", prefetch=10)
        near.open("pair", "Pair1", send_buffer=10, reconnect_time_min=0.1)
        far.open("pair", "Pair1", listen="tcp://*:2", recv_buffer=10)
        for number in range(5):
            assert near.call("pair", "send", f"{number}", timeout=LONG).error is None  # with nobody there
        for name, port in (("push", 1), ("pair", 2)):
            assert near.call(name, "dial", f"tcp://{right.address}:{port}", timeout=LONG).error is None
        for number in range(5):
            assert near.call("push", "send", f"{number}", timeout=LONG).error is None
        until(lambda: all_read(left) and all_read(right))
        right.unplug()
        right.reset_connections()
        for number in range(5):
            for name in ("push", "pair"):
                assert far.call(name, "recv", timeout=LONG).value == f"{number}"


# Who notices that a connection is dead.


def test_a_side_that_only_receives_does_not_notice_a_dead_connection() -> None:
    """A PULL that dialed hears nothing for ever, though the cable is whole again: it has nothing to send that would fail."""
    with hosts("left", "right") as (left, right, near, far):
        near.open("push", "Push0", listen="tcp://*:1")
        far.open("push", "Pull0", dial=f"tcp://{left.address}:1", reconnect_time_min=0.1)
        assert near.call("push", "send", "before", timeout=LONG).error is None
        assert far.call("push", "recv", timeout=LONG).value == "before"
        lose(left, right, near, "push")
        assert established(right) == 1
        # The one that dials would have to dial again, and sees no reason to.
        assert near.call("push", "send", "after", timeout=2).error == "TimedOut"
        assert far.call("push", "recv", timeout=0.2).error == "TimedOut"
        assert established(right) == 1
        # A reset is a reason.
        right.reset_connections()
        assert near.call("push", "send", "after", timeout=LONG).error is None
        assert far.call("push", "recv", timeout=LONG).value == "after"


def test_keepalive_lets_it_notice() -> None:
    """The same with tcp_keepalive: the PULL dials again, and goes on."""
    with hosts("left", "right") as (left, right, near, far):
        near.open("push", "Push0", listen="tcp://*:1")
        far.open("push", "Pull0", dial=f"tcp://{left.address}:1", reconnect_time_min=0.1, keepalive=True)
        assert near.call("push", "send", "before", timeout=LONG).error is None
        assert far.call("push", "recv", timeout=LONG).value == "before"
        lose(left, right, near, "push")
        assert near.call("push", "send", "after", timeout=LONG).error is None
        assert far.call("push", "recv", timeout=LONG).value == "after"


def test_a_pair_refuses_its_peers_new_connection_until_it_notices_that_the_old_one_is_dead() -> None:
    """It admits one peer, and takes the dead one for it; with keepalive, or when it sends itself, it notices."""
    with hosts("left", "right") as (left, right, near, far):
        far.open("pair", "Pair0", listen="tcp://*:1")
        near.open("pair", "Pair0", dial=f"tcp://{right.address}:1", reconnect_time_min=0.1)
        assert near.call("pair", "send", "before", timeout=LONG).error is None
        assert far.call("pair", "recv", timeout=LONG).value == "before"
        lose(left, right, near, "pair")
        assert established(right) == 1
        for _ in range(5):
            near.call("pair", "send", "refused", timeout=0.2)  # a connection that is about to be refused may take it
        assert far.call("pair", "recv", timeout=0.5).error == "TimedOut"
        assert far.call("pair", "send", "are you there?", timeout=LONG).error is None  # and nobody acknowledges it
        until(
            lambda: near.call("pair", "send", "after", timeout=0.5).error is None and far.call("pair", "recv", timeout=0.5).value == "after"
        )


def lose(left: Host, right: Host, near: Remote, name: str) -> None:
    """Let the left side give up a connection; the right side is not told."""
    assert established(left) == established(right) == 1
    right.unplug()
    near.call(name, "send", "lost", timeout=1)
    until(lambda: established(left) == 0)
    right.plug()


# REQ.


def test_a_request_goes_to_another_server_when_its_own_is_cut_off() -> None:
    """After resend_time, long before anybody knows that the connection is dead."""
    with hosts("client", "first", "second") as (client, first, second, asking, *answering):
        for remote in answering:
            remote.open("req", "Rep0", listen="tcp://*:1")
            remote.start("answer", "req", "sync")
        client.sysctl(tcp_retries2=15)
        asking.open("req", "Req0", resend_time=0.3, dial=[f"tcp://{host.address}:1" for host in (first, second)])
        for number in range(4):
            assert asking.call("req", "request", f"{number:8}", timeout=LONG).error is None
        assert all(remote.length("req asked") for remote in answering)
        first.unplug()
        for number in range(4, 8):
            assert asking.call("req", "request", f"{number:8}", timeout=LONG).error is None
        assert established(client) == 2
        first.plug()


@each_style
def test_without_resend_time_a_request_ends_with_its_connection(style: str) -> None:
    """At most once then: ConnectionReset tells that there will be no answer, and the next request goes by the new connection."""
    with hosts("left", "right") as (left, right, near, far):
        far.open("req", "Rep0", listen="tcp://*:1")
        near.open("req", "Req0", dial=f"tcp://{right.address}:1", resend_time=None, reconnect_time_min=0.1)
        assert near.call("req", "send", "lost", timeout=LONG, style=style).error is None
        assert far.call("req", "recv", timeout=LONG, style=style).value == "lost"
        near.begin("req", "recv", timeout=LONG, style=style)
        left.reset_connections()
        assert near.ended().error == "ConnectionReset"
        assert far.call("req", "send", "to nobody", timeout=LONG, style=style).error is None  # and is dropped
        near.begin("req", "request", "again", timeout=LONG, style=style)
        assert far.call("req", "recv", timeout=LONG, style=style).value == "again"
        assert far.call("req", "send", "answer", timeout=LONG, style=style).error is None
        assert near.ended().value == "answer"


def test_a_service_that_moves_to_another_host_with_its_address_is_found_there() -> None:
    """The new host knows nothing of the connections, and resets them; requests under way are sent again."""
    with hosts("client", "old", "new") as (_, old, new, asking, *answering):
        for remote in answering:
            remote.open("req", "Rep0", listen="tcp://*:1")
            remote.start("answer", "req", "sync")
        asking.open("req", "Req0", dial=f"tcp://{old.address}:1", resend_time=0.5, reconnect_time_min=0.1)
        asking.start("ask", "req", "sync", timeout=LONG)
        asking.until_more("req answered", 10)
        assert answering[1].length("req asked") == 0
        new.take_address(old)
        asking.until_more("req answered", 10)
        assert answering[1].length("req asked") > 0
        asking.stop()
        answered = asking.lists()["req answered"]
        assert answered == list(range(len(answered)))


def test_nngcat_is_asked_again_when_the_cable_is_whole() -> None:
    """Another implementation's REP, in its own process: a request of meanwhile gets its answer."""
    with hosts("left", "right") as (_, right, near, _):
        nngcat = right.start(["stdbuf", "-oL", "nngcat", "--rep", "--listen", "tcp://*:1", "--data", "yes", "--quoted"])
        near.open("req", "Req0", dial=f"tcp://{right.address}:1", block=False, resend_time=0.5, reconnect_time_min=0.1)
        assert near.call("req", "request", "one?", timeout=LONG).value == "yes"
        assert nngcat.line() == '"one?"'
        right.unplug()
        near.begin("req", "request", "two?", timeout=LONG)
        until(lambda: established(right) == 1)
        right.plug()
        assert near.ended().value == "yes"
        assert nngcat.line() == '"two?"'


# Calls that end in time, and dials.


@each_style
def test_calls_end_in_time_while_the_cable_is_out(style: str) -> None:
    """Receives, sends that find no room, requests, surveys, dials, and closing."""
    with hosts("left", "right") as (_, right, near, far):
        for number, (here, there) in enumerate(PARTNERS, 1):
            far.open(there, there, listen=f"tcp://*:{number}")
            near.open(here, here, dial=f"tcp://{right.address}:{number}")
        near.open("Sub0", "Sub0", subscribe="", dial=f"ws://{right.address}:{open_at(far)}/")
        right.unplug()
        for name in ("Pair0", "Bus0", "Sub0"):
            assert near.call(name, "recv", timeout=0.3, style=style).error == "TimedOut"
        while near.call("Push0", "send", "x" * 1_000_000, timeout=0.3, style=style).error is None:
            pass  # the kernel has room for some
        assert near.call("Req0", "request", "anybody?", timeout=0.3, style=style).error == "TimedOut"
        assert near.call("Surveyor0", "send", "anybody?", timeout=0.3, style=style).error is None
        assert near.call("Surveyor0", "recv", timeout=0.3, style=style).error == "TimedOut"
        dialed = near.call("Bus0", "dial", f"tcp://{right.address}:99", timeout=0.3, style=style)
        assert dialed.error == "TimedOut"
        assert dialed.seconds < LONG
        for name in ("Pair0", "Push0", "Sub0", "Req0"):
            closed = near.call(name, "close", style=style)
            assert closed.error is None
            assert closed.seconds < 10


PARTNERS = [("Pair0", "Pair0"), ("Bus0", "Bus0"), ("Push0", "Pull0"), ("Req0", "Rep0"), ("Surveyor0", "Respondent0")]


def open_at(remote: Remote) -> int:
    """Open a PUB that listens for websockets; its port."""
    remote.open("Pub0", "Pub0", listen="ws://*:90/")
    return 90


@each_style
def test_a_dial_that_does_not_block_finds_a_host_that_comes_up_later(style: str) -> None:
    """It goes on trying, and what waits to be sent is sent then."""
    with hosts("left", "right") as (_, right, near, far):
        right.link(up=False)
        far.open("push", "Pull0", listen="tcp://*:1")
        near.open("push", "Push0", dial=f"tcp://{right.address}:1", block=False, reconnect_time_min=0.1)
        assert near.call("push", "send", "too early", timeout=0.5, style=style).error == "TimedOut"
        near.begin("push", "send", "hello", timeout=LONG, style=style)
        right.link(up=True)
        assert near.ended().error is None
        assert far.call("push", "recv", timeout=LONG, style=style).value == "hello"


# A link that is slower than what is sent.


def test_on_a_slow_link_push_waits_and_pub_drops() -> None:
    """A PUSH sends at the link's pace, and all arrives; a PUB goes on, and its SUB gets what there was room for, in order."""
    with hosts("left", "right") as (_, right, near, far):
        for number, (here, there) in enumerate((("Push0", "Pull0"), ("Pub0", "Sub0")), 1):
            far.open(here, there, listen=f"tcp://*:{number}", **({"subscribe": ""} if there == "Sub0" else {}))
            near.open(here, here, dial=f"tcp://{right.address}:{number}")
            far.start("recv", here, "sync")
        right.slow("8mbit")
        for name in ("Push0", "Pub0"):
            near.start("send", name, "sync", timeout=0.1, pace=0.001, size=100_000)
        near.until_more("Push0 send timed out", 3)
        near.until_more("Pub0 sent", 100)
        near.stop()
        right.heal()
        lists = near.lists()
        for name in ("Push0", "Pub0"):
            far.until(f"{name} received", lists[f"{name} sent"][-1])
        received = far.lists()
        assert received["Push0 received"] == lists["Push0 sent"]
        assert "Pub0 send timed out" not in lists
        assert in_order_and_once(received["Pub0 received"])
        assert len(received["Pub0 received"]) < len(lists["Pub0 sent"])


# Nothing is left behind.


def test_nothing_is_left_of_a_network_whose_test_was_killed() -> None:
    """Neither a process nor a namespace."""
    program = """if True:
        import json, os, sys, time
        from network import Network
        with Network("left", "right") as network:
            sleeper = network.hosts[0].start(["sh", "-c", "echo here; exec sleep 1000"])
            sleeper.line()
            pids = [network.switch.pid, *(host.pid for host in network.hosts), sleeper.process.pid]
            print(json.dumps([pids, [os.readlink(f"/proc/{pid}/ns/net") for pid in pids]]), flush=True)
            time.sleep(1000)
    """
    where = {"PYTHONPATH": str(Path(network.__file__).parent), "PATH": os.environ["PATH"]}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=where) as test:
        assert test.stdout is not None
        told = test.stdout.readline()
        test.kill()
        pids, namespaces = json.loads(told)
        assert len(set(namespaces)) == 3
    until(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()])
    assert not set(namespaces) & set(all_namespaces())


def all_namespaces() -> Iterator[str]:
    """The network namespaces in which anything runs."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield str((process / "ns/net").readlink())
        except OSError:
            continue  # it has ended
