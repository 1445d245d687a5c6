"""Statistics: what NNG counts, as plain values that outlive what they tell of."""

import json
import pickle
import threading
import time
from collections.abc import Callable

import programs
import pytest
from hostile import Stranger
from tls import PATCHED, certificates, config, plain_client, strangers

import nngio
from nngio import Statistic, StatisticType, StatisticUnit

SECONDS = 10.0
COUNTING = ("tcp", "ipc")
"""The transports that the suite has whose pipes count what passes."""


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds: NNG counts a message when it has passed it on, which may be after it was received."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def pipe_of(socket: nngio.Socket) -> Statistic:
    """The statistics of a socket's one pipe, once it is there."""
    until(lambda: len(socket.statistics().all("pipe")) == 1)
    return socket.statistics()["pipe"]


@pytest.mark.parametrize("transport", COUNTING)
def test_pipes_count_the_messages_that_pass(transport: str, address: Callable[[str], str]) -> None:
    """Messages and bytes, sent and received, on either side."""
    with nngio.Push0(listen=address(transport)) as push, nngio.Pull0(dial=push.listeners[0].url) as pull:
        for _ in range(5):
            push.send(b"x" * 100)
            pull.recv(timeout=SECONDS)
        until(lambda: int(pipe_of(push)["tx_msgs"]) == 5)
        until(lambda: int(pipe_of(pull)["rx_msgs"]) == 5)
        sent, received = pipe_of(push), pipe_of(pull)
    assert sent["tx_bytes"].value == 500
    assert sent["rx_msgs"].value == 0
    assert received["rx_bytes"].value == 500
    assert received["tx_msgs"].value == 0


def test_a_pair1_counts_what_it_was_given_to_send_and_has_received(address: Callable[[str], str]) -> None:
    """The one protocol whose sockets count messages, on any transport; an attempt to send counts, too."""
    with nngio.Pair1(listen=address("inproc")) as left, nngio.Pair1(dial=left.listeners[0].url) as right:
        for _ in range(3):
            left.send(b"hello", timeout=SECONDS)
            right.recv(timeout=SECONDS)
        assert int(left.statistics()["tx_msgs"]) >= 3
        assert right.statistics()["rx_msgs"].value == 3


def test_dialers_and_listeners_count_connections(address: Callable[[str], str]) -> None:
    """What was connected, accepted and refused."""
    with nngio.Pair0(listen=address("tcp")) as left, nngio.Pair0(dial=left.listeners[0].url) as right:
        assert right.dialers[0].statistics()["connect"].value == 1
        until(lambda: left.listeners[0].statistics()["accept"].value == 1)
        dialer = right.dial(address("ipc"), block=False)  # where nobody listens
        until(lambda: int(dialer.statistics()["refused"]) >= 1)  # it tries again and again


@pytest.mark.parametrize("transport", ["inproc", "ipc", "tcp"])
def test_connections_that_a_socket_does_not_want_are_counted_as_rejected(transport: str, address: Callable[[str], str]) -> None:
    """A PAIR's second peer, one whom the rules refuse, one of another protocol: by the listener and its socket."""
    for rules, dials in ((None, nngio.Pair0), (nngio.Admission(max_peers=0), nngio.Pair0), (None, nngio.Req0)):
        with nngio.Pair0(listen=address(transport), admission=rules) as left, nngio.Pair0() as first, dials() as second:
            if rules is None and dials is nngio.Pair0:
                first.dial(left.listeners[0].url)
                left.wait_for_peers(timeout=SECONDS)
            second.dial(left.listeners[0].url, block=False, reconnect_time_min=0.01)  # again and again
            until(lambda: int(left.listeners[0].statistics()["reject"]) >= 2)
            assert int(left.statistics()["reject"]) >= 2
            if dials is nngio.Req0:  # which doesn't want the PAIR either
                until(lambda: int(second.dialers[0].statistics()["reject"]) >= 2)
                assert int(second.statistics()["reject"]) >= 2


@pytest.mark.skipif(not PATCHED, reason="this NNG tells what fails in a handshake with fewer codes")
@pytest.mark.parametrize("transport", ["tls+tcp", "wss"])
def test_peers_that_can_not_be_verified_are_counted(transport: str, address: Callable[[str], str]) -> None:
    """`auth` by who refuses a certificate, and `disconnect` by who was hung up on. A listener at wss sees no connection in either case."""
    for server, client, counter in (
        (config(strangers().server_certificate), plain_client(), "auth"),
        (certificates().server, plain_client(), "disconnect"),
    ):
        with nngio.Pull0(listen=address(transport), tls=server) as pull, nngio.Push0(tls=client) as push:
            dialer = push.dial(pull.listeners[0].url, block=False, reconnect_time_min=0.01)
            until(lambda: int(dialer.statistics()[counter]) >= 2)  # noqa: B023
            assert dialer.statistics()["connect"].value == 0
            listener = pull.listeners[0]
            if transport == "tls+tcp":
                until(lambda: int(listener.statistics()["auth"]) >= 2)  # noqa: B023
            assert listener.statistics()["accept"].value == 0


@pytest.mark.parametrize("transport", COUNTING)
def test_strangers_who_talk_nonsense_are_counted(transport: str, address: Callable[[str], str]) -> None:
    """`proto` has each of them, and they are no connections."""
    with nngio.Pull0(listen=address(transport)) as pull:
        listener = pull.listeners[0]
        for number in range(1, 4):
            with Stranger(listener.url) as stranger:
                stranger.say(b"\xff" * 8)
                until(lambda: int(listener.statistics()["proto"]) == number)  # noqa: B023
            if not PATCHED:
                time.sleep(0.2)  # NNG's own takes no notice of anybody for 100 ms
        assert listener.statistics()["accept"].value == 0


def test_a_socket_has_its_dialers_listeners_and_pipes(address: Callable[[str], str]) -> None:
    """Though NNG puts them side by side; and each tells of itself what it tells there."""
    with nngio.Pair0(listen=address("tcp")) as left, nngio.Pair0(dial=left.listeners[0].url) as right:
        left.send(b"hello")
        pipe = right.recv_msg(timeout=SECONDS).pipe
        assert pipe is not None
        pipe_of(right)
        everything = nngio.statistics()
        sockets = {int(socket): socket for socket in everything.all("socket")}
        assert sockets.keys() == {left.id, right.id}
        assert [listener.value for listener in sockets[left.id].all("listener")] == [left.listeners[0].id]
        assert [dialer.value for dialer in sockets[right.id].all("dialer")] == [right.dialers[0].id]
        assert [child.value for child in sockets[right.id].all("pipe")] == [pipe.id]
        for noun, name in ((left, "socket"), (left.listeners[0], "listener"), (right.dialers[0], "dialer"), (pipe, "pipe")):
            own = noun.statistics()
            assert (own.name, own.type, own.value) == (name, StatisticType.SCOPE, noun.id)
            assert everything.find(name, noun.id) is not None


def test_values_have_the_types_that_nng_gives_them(address: Callable[[str], str]) -> None:
    """Numbers, text, truth; units, and a description."""
    with nngio.Pair1(name="mine", listen=address("tcp")) as socket:
        stats = socket.statistics()
        listener = socket.listeners[0].statistics()
    assert (stats["id"].type, stats["id"].value) == (StatisticType.ID, stats.value)
    assert (stats["protocol"].type, stats["protocol"].value) == (StatisticType.STRING, "pair1")
    assert stats["name"].value == "mine"
    assert (stats["raw"].type, stats["raw"].value) == (StatisticType.BOOLEAN, False)
    assert (stats["pipes"].type, stats["pipes"].value) == (StatisticType.LEVEL, 0)
    assert (stats["tx_msgs"].type, stats["tx_msgs"].unit) == (StatisticType.COUNTER, StatisticUnit.MESSAGES)
    assert stats["tx_bytes"].unit is StatisticUnit.BYTES
    assert "sent" in stats["tx_msgs"].description
    assert str(listener["url"].value).startswith("tcp://127.0.0.1:")
    assert abs(stats.timestamp - time.monotonic()) < 60


def test_a_socket_s_name_is_its_number_unless_it_was_given_one() -> None:
    """As the option says."""
    with nngio.Pair0() as socket:
        assert socket.statistics()["name"].value == socket.name == str(socket.id)
        socket.name = "mine"
        assert socket.statistics()["name"].value == "mine"


def test_a_snapshot_outlives_what_it_tells_of(address: Callable[[str], str]) -> None:
    """It refers to nothing of NNG's: not to the snapshot in C, and not to a socket."""
    with nngio.Pair1(listen=address("inproc")) as socket:
        before, same = socket.statistics(), socket.statistics()
    for _ in range(50):
        with nngio.Pair1(listen=address("inproc")):
            nngio.statistics()
    assert before["protocol"].value == same["protocol"].value == "pair1"
    assert [child.description for child in before] == [child.description for child in same]


def test_what_is_connected_now_is_no_counter(address: Callable[[str], str]) -> None:
    """NNG says that a listener's pipes were; and Prometheus would take them for how many there have been."""
    with nngio.Pair0(listen=address("inproc")) as a, nngio.Pair0(dial=a.listeners[0].url) as b:
        for thing in (a.listeners[0], b.dialers[0]):
            assert thing.statistics()["pipes"].type is StatisticType.LEVEL


def test_it_is_a_value() -> None:
    """Compared, hashed and pickled by what it says; it can't be changed."""
    with nngio.Pair1() as socket:
        stats = socket.statistics()
    again = pickle.loads(pickle.dumps(stats))
    assert again == stats
    assert hash(again) == hash(stats)
    assert stats != stats["id"]
    assert stats != 1
    with pytest.raises(AttributeError, match="value can't be set"):
        stats.value = 2
    with pytest.raises(AttributeError, match="value can't be deleted"):
        del stats.value


def test_children_are_found_by_name() -> None:
    """And what isn't there is told together with what is."""
    with nngio.Pair1() as socket:
        stats = socket.statistics()
    assert "tx_msgs" in stats
    assert "nonsense" not in stats
    assert stats.get("tx_msgs", None) == 0
    assert stats.get("nonsense", 5) == 5
    assert stats.get("nonsense") is None
    assert stats.find("tx_msgs") == stats["tx_msgs"]
    assert stats.find("nonsense") is None
    assert stats.find("socket") is stats
    assert stats.find("socket", int(stats) + 1) is None
    assert stats.all("nonsense") == ()
    assert list(stats) == list(stats.children)
    assert list(stats.walk()) == [stats, *stats.children]
    with pytest.raises(KeyError, match=r"socket \d+ has no statistic 'nonsense'; it has id, name, protocol"):
        stats["nonsense"]
    with pytest.raises(KeyError, match="it has nothing"):
        stats["id"]["nonsense"]
    with pytest.raises(TypeError, match="protocol is text"):
        int(stats["protocol"])


def test_as_dict_is_what_json_can_have(address: Callable[[str], str]) -> None:
    """Values by name, and a list of groups for each kind of them."""
    with nngio.Pair1(listen=[address("inproc"), address("tcp")]) as socket:
        values = json.loads(json.dumps(nngio.statistics().as_dict()))
    (only,) = values["socket"]
    assert only["id"] == socket.id
    assert only["protocol"] == "pair1"
    assert only["raw"] is False
    assert [listener["id"] for listener in only["listener"]] == [listener.id for listener in socket.listeners]


def test_its_text_is_a_tree(address: Callable[[str], str]) -> None:
    """Four columns for each level, the unit behind the number."""
    with nngio.Pair1(listen=address("inproc")) as socket:
        text = str(nngio.statistics())
        lines = text.splitlines()
        listener = socket.listeners[0].id
    assert lines[0] == "all"
    assert lines[1] == f"    socket {socket.id}"
    assert '        protocol         "pair1"' in lines
    assert "        tx_msgs          0 messages" in lines
    assert "        tx_bytes         0 bytes" in lines
    assert "        raw              false" in lines
    assert "        dialers          0" in lines
    assert f"        listener {listener}" in lines
    assert f"            id               {listener}" in lines
    with nngio.Pair1() as other:
        stats = other.statistics()
    assert repr(stats) == f"<nngio.Statistic socket {other.id}, {len(stats.children)} children>"
    assert repr(stats["tx_msgs"]) == "<nngio.Statistic tx_msgs = 0 messages>"


def test_what_is_closed_has_no_statistics(address: Callable[[str], str]) -> None:
    """`Closed` of a socket, `NoEntry` of the rest; and the snapshot of everything is empty then."""
    with nngio.Pair0(listen=address("tcp")) as left, nngio.Pair0(dial=left.listeners[0].url) as right:
        left.send(b"hello")
        pipe = right.recv_msg(timeout=SECONDS).pipe
        assert pipe is not None
        dialer, listener = right.dialers[0], left.listeners[0]
        dialer.close()
        listener.close()
        until(lambda: not right.statistics().all("dialer"))  # NNG 1.5.2 goes on closing them when the call has returned
        until(lambda: not left.statistics().all("listener"))
        with pytest.raises(nngio.NoEntry, match=r"no statistics of dialer \d+: it is closed"):
            dialer.statistics()
        with pytest.raises(nngio.NoEntry):
            listener.statistics()
        until(lambda: not right.statistics().all("pipe"))
        with pytest.raises(nngio.NoEntry):
            pipe.statistics()
    with pytest.raises(nngio.Closed):
        left.statistics()
    assert nngio.statistics().children == ()


def test_snapshots_are_taken_while_sockets_come_and_go(address: Callable[[str], str]) -> None:
    """From several threads at once."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def watch() -> None:
        try:
            while not stop.is_set():
                for statistic in nngio.statistics().walk():
                    assert statistic.description
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=watch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        with nngio.Pair1(listen=address("tcp")) as left, nngio.Pair1(dial=left.listeners[0].url, name="a") as right:
            left.send(b"hello")
            right.recv(timeout=SECONDS)
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors


def test_statistics_do_not_start_nng_and_are_refused_in_a_forked_child() -> None:
    """Before the first socket there are none, and no threads; in the child of a fork there is an error."""
    programs.run(
        """
import nngio
print(nngio.statistics().children, len(os.listdir("/proc/self/task")))
nngio.Pair0().close()
pid = os.fork()
if pid == 0:
    try:
        nngio.statistics()
    except nngio.ForkedError:
        os._exit(3)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
main_ends()
""",
        options=programs.FORKS,
    ).check(out="() 1\n3\n")
