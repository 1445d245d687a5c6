"""Statistics for Prometheus: a collector for `prometheus_client`, which the extra `nngio[prometheus]` brings.

    from prometheus_client import start_http_server
    from nngio.prometheus import NNGCollector

    NNGCollector()
    start_http_server(9100)

How the numbers come about. NNG counts for each pipe what has passed, and a pipe's count ends with it; for sockets it counts by
protocol PAIR1 only, and attempts. So a socket's traffic is the sum of its pipes': of those that there are, and what those that have
gone had counted when they were last seen. Hence a total never goes down while its socket is open, and what a pipe carried between the
last look and its end is missing.
"""

import threading
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nngio._core.errors import ForkedError
from nngio._stats import Statistic, StatisticType, statistics

__all__ = ["NNGCollector"]

TRAFFIC = {
    "tx_msgs": ("nng_socket_tx_messages", "Messages sent."),
    "rx_msgs": ("nng_socket_rx_messages", "Messages received."),
    "tx_bytes": ("nng_socket_tx_bytes", "Bytes sent."),
    "rx_bytes": ("nng_socket_rx_bytes", "Bytes received, protocol headers included."),
}
"""The counters of pipes."""

EVENTS = {
    "socket": ("nng_socket_events", "What has happened to a socket's pipes and messages: reject, ..."),
    "dialer": ("nng_dialer_events", "How attempts to connect, and connections, have ended: connect, refused, disconnect, ..."),
    "listener": ("nng_listener_events", "How connections were made and have ended: accept, disconnect, ..."),
}
"""The counters of these, each a value of the label `event`."""

LEVELS = {
    "pipe": ("nng_socket_pipes", "Connections that are open."),
    "dialer": ("nng_socket_dialers", "Dialers that are open."),
    "listener": ("nng_socket_listeners", "Listeners that are open."),
}

UNCOUNTED = ("inproc", "ws", "wss")
"""The transports whose pipes count nothing; some of them have a 4 or 6 at the end."""

Labels = tuple[str, ...]


class _Key(NamedTuple):
    """A time series: a metric and its labels."""

    metric: str
    labels: Labels


class _Total:
    """The sum of counters that come and go."""

    def __init__(self) -> None:
        self.gone = 0
        self.parts: dict[tuple[str, int], int] = {}

    def update(self, parts: dict[tuple[str, int], int]) -> int:
        """Take what the counters say now, and return the sum."""
        for part, before in self.parts.items():
            if parts.get(part, -1) < before:  # it has gone, or another has its number
                self.gone += before
        self.parts = parts
        return self.gone + sum(parts.values())


class NNGCollector(Collector):
    """Exports what NNG counts for the sockets of this process; registers itself with `registry` unless that is None.

    Every metric has the labels `socket`, which is the socket's `name` if it was given one, else its number, and `protocol`. Sockets
    with the same name and protocol are added up, so name those that a program opens and closes again and again: each number would be
    a time series of its own. What is closed vanishes. In a forked child, which has no sockets, there is nothing to see.

    Args:
        registry: where to register; `prometheus_client.REGISTRY` unless given.

    Thread safety: the registry may collect on any thread. NNG: `nng_stats_get`.
    """

    def __init__(self, registry: CollectorRegistry | None = REGISTRY) -> None:
        self._lock = threading.Lock()
        self._totals: dict[_Key, _Total] = {}
        if registry is not None:
            registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """The metrics without samples, so that the registry sees who else has these names."""
        return _families().values()

    def collect(self) -> Iterable[Metric]:
        """Take a snapshot and return the metrics; called by the registry."""
        families = _families()
        with self._lock:
            for key, value in self._series(_sockets()):
                families[key.metric].add_metric(key.labels, value)
        return families.values()

    def _series(self, sockets: list[Statistic]) -> Iterator[tuple[_Key, int]]:
        levels: dict[_Key, int] = {}
        counters: dict[_Key, dict[tuple[str, int], int]] = {}
        for socket in sockets:
            labels = _labels(socket)
            for noun, (metric, _) in LEVELS.items():
                key = _Key(metric, labels)
                levels[key] = levels.get(key, 0) + len(socket.all(noun))
            for key, part, value in _counts(socket, labels):
                counters.setdefault(key, {})[part] = value
            if _counts_traffic(socket):
                for metric, _ in TRAFFIC.values():
                    counters.setdefault(_Key(metric, labels), {})
        # A total that has no parts now is kept for as long as there are sockets with its labels.
        open_labels = {key.labels for key in levels}
        self._totals = {key: total for key, total in self._totals.items() if key.labels[:2] in open_labels}
        for key in {*self._totals, *counters}:
            yield key, self._totals.setdefault(key, _Total()).update(counters.get(key, {}))
        yield from levels.items()


def _families() -> dict[str, CounterMetricFamily | GaugeMetricFamily]:
    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for metric, text in LEVELS.values():
        families[metric] = GaugeMetricFamily(metric, text, labels=["socket", "protocol"])
    for metric, text in TRAFFIC.values():
        families[metric] = CounterMetricFamily(metric, text, labels=["socket", "protocol"])
    for metric, text in EVENTS.values():
        families[metric] = CounterMetricFamily(metric, text, labels=["socket", "protocol", "event"])
    return families


def _sockets() -> list[Statistic]:
    try:
        return list(statistics().all("socket"))
    except ForkedError:
        return []


def _labels(socket: Statistic) -> Labels:
    return str(socket.get("name", "") or socket.value), str(socket.get("protocol", ""))


def _counts(socket: Statistic, labels: Labels) -> Iterator[tuple[_Key, tuple[str, int], int]]:
    """The counters below a socket, with the series that each is a part of."""
    counting = _counts_traffic(socket)
    for group in socket.walk():
        for counter in group:
            if counter.type is not StatisticType.COUNTER:
                continue
            part = (group.name, int(group))
            if counter.name in TRAFFIC:
                if group.name == "pipe" and counting:
                    yield _Key(TRAFFIC[counter.name][0], labels), part, int(counter)
            elif group.name in EVENTS:
                yield _Key(EVENTS[group.name][0], (*labels, counter.name)), part, int(counter)


def _counts_traffic(socket: Statistic) -> bool:
    """Whether any of a socket's transports counts."""
    urls = [str(endpoint["url"].value) for noun in ("dialer", "listener") for endpoint in socket.all(noun)]
    return any(url.partition("://")[0].lower().rstrip("46") not in UNCOUNTED for url in urls)
