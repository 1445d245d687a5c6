"""The collector for Prometheus, scraped over HTTP while sockets work."""

import itertools
import time
import urllib.request
from collections.abc import Callable, Iterator

import programs
import pytest
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families

import nngio
from nngio.prometheus import NNGCollector

SECONDS = 10.0

Scraped = dict[tuple[str, tuple[str, ...]], float]
"""Values by a sample's name and the values of its labels, in the order of LABELS."""

LABELS = ("socket", "protocol", "event")

_names = itertools.count()


@pytest.fixture
def scrape() -> Iterator[Callable[[], Scraped]]:
    """A function that asks a server of prometheus_client's for the metrics, as Prometheus does."""
    registry = CollectorRegistry(auto_describe=False)
    NNGCollector(registry)
    server, thread = start_http_server(0, "127.0.0.1", registry)

    def get() -> Scraped:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=SECONDS) as answer:
            text = answer.read().decode()
        return {
            (sample.name, tuple(sample.labels[name] for name in LABELS if name in sample.labels)): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    yield get
    server.shutdown()
    server.server_close()
    thread.join(SECONDS)


@pytest.fixture
def name() -> str:
    """A socket's name that no other test has."""
    return f"prometheus-{next(_names)}"


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_traffic_is_scraped(scrape: Callable[[], Scraped], name: str) -> None:
    """Messages and bytes, by the socket's name and its protocol."""
    with nngio.Push0(name=name, listen="tcp://127.0.0.1:0") as push, nngio.Pull0(name=name, dial=push.listeners[0].url) as pull:
        for _ in range(7):
            push.send(b"x" * 10)
            pull.recv(timeout=SECONDS)
        until(lambda: scrape().get(("nng_socket_tx_messages_total", (name, "push"))) == 7)
        until(lambda: scrape().get(("nng_socket_rx_messages_total", (name, "pull"))) == 7)
        values = scrape()
        assert values["nng_socket_tx_bytes_total", (name, "push")] == 70
        assert values["nng_socket_rx_bytes_total", (name, "pull")] == 70
        assert values["nng_socket_pipes", (name, "push")] == 1
        assert values["nng_socket_listeners", (name, "push")] == 1
        assert values["nng_socket_dialers", (name, "push")] == 0
        assert values["nng_socket_dialers", (name, "pull")] == 1
        assert values["nng_listener_events_total", (name, "push", "accept")] == 1
        assert ("nng_listener_events_total", (name, "push", "pipes")) not in values
        assert values["nng_dialer_events_total", (name, "pull", "connect")] == 1
        assert values["nng_socket_events_total", (name, "push", "reject")] == 0


def test_a_socket_without_a_name_goes_by_its_number(scrape: Callable[[], Scraped]) -> None:
    """Which is what its name says, too."""
    with nngio.Pair0() as socket:
        assert scrape()["nng_socket_pipes", (str(socket.id), "pair")] == 0


def test_a_closed_socket_vanishes(scrape: Callable[[], Scraped], name: str) -> None:
    """With all of its series."""
    with nngio.Pair1(name=name, listen="tcp://127.0.0.1:0"):
        assert any(labels[0] == name for _, labels in scrape())
    assert not any(labels[:1] == (name,) for _, labels in scrape())


def test_totals_do_not_go_down_when_pipes_end(scrape: Callable[[], Scraped], name: str) -> None:
    """What a pipe had counted at the last scrape stays; a new one is added."""
    series = "nng_socket_rx_messages_total", (name, "pull")
    connects = "nng_listener_events_total", (name, "pull", "accept")
    with nngio.Pull0(name=name, listen="tcp://127.0.0.1:0") as pull:
        for number in (1, 2, 3):
            with nngio.Push0(dial=pull.listeners[0].url) as push:
                push.send(b"hello")
                pull.recv(timeout=SECONDS)
                until(lambda number=number: scrape()[series] == number)  # type: ignore[misc]
            until(lambda: not pull.statistics().all("pipe"))
            assert scrape()[series] == number
        pull.listeners[0].close()
        values = scrape()
        assert values[series] == 3
        assert values[connects] == 3


def test_sockets_of_one_name_and_protocol_are_added_up(scrape: Callable[[], Scraped], name: str) -> None:
    """There would be two samples of one series otherwise; and it goes on when one of them is closed."""
    with nngio.Pair0(name=name, listen="tcp://127.0.0.1:0") as first, nngio.Pair0(name=name, dial=first.listeners[0].url) as second:
        for socket, other in ((first, second), (second, first)):
            socket.send(b"hello")
            other.recv(timeout=SECONDS)
        series = "nng_socket_tx_messages_total", (name, "pair")
        until(lambda: scrape()[series] == 2)
        assert scrape()["nng_socket_listeners", (name, "pair")] == 1
        assert scrape()["nng_socket_dialers", (name, "pair")] == 1
        first.close()
        assert scrape()[series] == 2


@pytest.mark.parametrize("transport", ["inproc", "ws"])
def test_traffic_that_nng_does_not_count_is_not_said_to_be_nothing(
    transport: str, scrape: Callable[[], Scraped], name: str, address: Callable[[str], str]
) -> None:
    """Of inproc and websockets there are connections, and no series for messages."""
    with nngio.Pair0(name=name, listen=address(transport)) as left, nngio.Pair0(dial=left.listeners[0].url) as right:
        right.send(b"hello")
        left.recv(timeout=SECONDS)
        until(lambda: scrape()["nng_socket_pipes", (name, "pair")] == 1)
        assert not [metric for metric, labels in scrape() if metric.endswith("messages_total") and labels[0] == name]


def test_series_are_as_many_as_sockets_not_as_connections(scrape: Callable[[], Scraped], name: str) -> None:
    """However many peers come and go."""
    with nngio.Pull0(name=name, listen="tcp://127.0.0.1:0") as pull:

        def series() -> int:
            return sum(labels[:1] == (name,) for _, labels in scrape())

        before = series()
        for _ in range(5):
            with nngio.Push0(dial=pull.listeners[0].url) as push:
                push.send(b"hello")
                pull.recv(timeout=SECONDS)
                assert series() == before


def test_a_second_collector_is_refused_by_the_registry() -> None:
    """Its metrics would be there twice."""
    registry = CollectorRegistry()
    collector = NNGCollector(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        NNGCollector(registry)
    registry.unregister(collector)
    assert NNGCollector(None).collect()


def test_a_collector_starts_no_thread_of_nng_s_and_shows_nothing_in_a_forked_child() -> None:
    """A server that forks its workers can make one before."""
    folders = ":".join(sorted({str(p) for p in __import__("prometheus_client").__path__}))
    programs.run(
        f"""
sys.path.append(os.path.dirname({folders!r}))
from prometheus_client import CollectorRegistry, generate_latest
from nngio.prometheus import NNGCollector
import nngio
registry = CollectorRegistry()
NNGCollector(registry)
generate_latest(registry)
print(len(os.listdir("/proc/self/task")))
nngio.Pair0().close()
pid = os.fork()
if pid == 0:
    os._exit(3 if b"{{" not in generate_latest(registry) else 4)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
main_ends()
""",
        options=programs.FORKS,
    ).check(out="1\n3\n")
