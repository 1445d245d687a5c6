"""What nngio is to reach beside C and the other bindings, and whether a run shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.cases import LESS_IS_BETTER, MEGABYTE, SMALL, Case, Entry
from benchmarks.results import Results

C = Entry("c")
PEERS = ("python-nng", "pynng", "pyzmq")
TWO = ("inproc", "tcp")


@dataclass(frozen=True)
class Target:
    """One claim: `measured` is to be at most, or at least, `bound`. None: it could not be measured."""

    number: int
    claim: str
    measured: float | None
    bound: float
    at_most: bool = False

    @property
    def holds(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured <= self.bound if self.at_most else self.measured >= self.bound


class Judge:
    """Works out the ratios for one library, `nngio` or a variant of it."""

    def __init__(self, results: Results, library: str = "nngio") -> None:
        self.results = results
        self.library = library

    def of_c(self, case: Case, *verbs: str) -> float | None:
        """The best of these verbs over C: times for latencies, rates for rates."""
        return self._over(self._mine(case, verbs), self.results.figure(case, C))

    def faster(self, case: Case, peer: str, *verbs: str) -> float | None:
        """How many times faster than the best variant of a peer; `""` for the best of all peers."""
        theirs = self.results.best(case, self.results.peers(case, peer))
        ratio = self._over(self._mine(case, verbs), theirs[1] if theirs else None)
        return 1 / ratio if ratio and case.scenario in LESS_IS_BETTER else ratio

    def _mine(self, case: Case, verbs: tuple[str, ...]) -> float | None:
        best = self.results.best(case, [Entry(self.library, verb) for verb in verbs or ("one",)])
        return best[1] if best else None

    @staticmethod
    def _over(mine: float | None, theirs: float | None) -> float | None:
        return mine / theirs if mine is not None and theirs else None


def targets(results: Results, library: str = "nngio") -> Iterator[Target]:
    judge = Judge(results, library)
    for rules in (round_trips, awaited_round_trips, one_loop, from_a_process, many_contexts, throughput, large, importing):
        yield from rules(judge)


def case(scenario: str, transport: str, mode: str = "asyncio", placement: str = "loop", size: int = SMALL, count: int = 1) -> Case:
    return Case(scenario, transport, size, count, mode, placement)


def round_trips(judge: Judge) -> Iterator[Target]:
    for transport in ("inproc", "ipc", "tcp"):
        it = case("roundtrip", transport, "sync", "threads")
        yield Target(1, f"synchronous round trip, {transport}, C = 1", judge.of_c(it), 1.15, at_most=True)
        for peer in ("pynng", "python-nng"):
            yield Target(1, f"synchronous round trip, {transport}, faster than {peer}", judge.faster(it, peer), 1.0)


def awaited_round_trips(judge: Judge) -> Iterator[Target]:
    peers = {"python-nng": (1.25, 1.25), "pyzmq": (2.0, 1.3), "pynng": (5.0, 5.0)}
    for i, transport in enumerate(TWO):
        it = case("roundtrip", transport)
        yield Target(2, f"asyncio round trip, {transport}, C = 1", judge.of_c(it), (1.5, 1.35)[i], at_most=True)
        for peer, bounds in peers.items():
            yield Target(2, f"asyncio round trip, {transport}, faster than {peer}", judge.faster(it, peer), bounds[i])
        entry = Entry(judge.library)
        plain, uv = judge.results.figure(it, entry), judge.results.figure(case("roundtrip", transport, "uvloop"), entry)
        yield Target(2, f"uvloop round trip, {transport}, faster than asyncio's", plain / uv if plain and uv else None, 1.0)
        yield Target(
            2, f"trio round trip, {transport}, faster than pynng", judge.faster(case("roundtrip", transport, "trio"), "pynng"), 5.0
        )


def one_loop(judge: Judge) -> Iterator[Target]:
    for i, transport in enumerate(TWO):
        it = case("pushpull", transport)
        yield Target(3, f"asyncio PUSH/PULL, {transport}, C = 1", judge.of_c(it), 0.9)
        for peer in PEERS:
            yield Target(3, f"asyncio PUSH/PULL, {transport}, faster than {peer}", judge.faster(it, peer), 1.0)
        it = case("pair", transport)
        yield Target(3, f"asyncio buffered PAIR, many at once, {transport}, C = 1", judge.of_c(it, "many"), 0.85)
        fastest = judge.faster(it, "", "many")
        yield Target(3, f"asyncio buffered PAIR, many at once, {transport}, faster than any peer", fastest, (3.0, 2.0)[i])


def from_a_process(judge: Judge) -> Iterator[Target]:
    for scenario, name in (("pushpull", "PULL"), ("pair", "buffered PAIR")):
        it = case(scenario, "tcp", placement="processes")
        yield Target(4, f"asyncio {name} from a process, tcp, C = 1", judge.of_c(it, "iter", "many"), 0.9)
        ahead = judge.faster(it, "pyzmq", "iter", "many", "own")  # pyzmq receives from pyzmq, `own` from nngio
        yield Target(4, f"asyncio {name} from a process, tcp, faster than pyzmq", ahead, 1.0)


def many_contexts(judge: Judge) -> Iterator[Target]:
    for i, transport in enumerate(TWO):
        it, more = case("contexts", transport, count=64), case("contexts", transport, count=1000)
        faster = judge.faster(it, "python-nng")
        yield Target(5, f"64 contexts, {transport}, faster than python-nng", faster, (2.0, 1.6)[i])
        yield Target(5, f"64 contexts, {transport}, C = 1", judge.of_c(it), (0.5, 0.75)[i])
        entry = Entry(judge.library)
        at_64, at_1000 = judge.results.figure(it, entry), judge.results.figure(more, entry)
        yield Target(5, f"1,000 contexts, {transport}, 64 contexts = 1", at_1000 / at_64 if at_64 and at_1000 else None, 0.8)


def throughput(judge: Judge) -> Iterator[Target]:
    for scenario, name in (("pushpull", "PUSH/PULL"), ("pair", "buffered PAIR")):
        for transport in TWO:
            it = case(scenario, transport, "sync", "threads")
            yield Target(6, f"synchronous {name}, {transport}, C = 1", judge.of_c(it), 0.95)


def large(judge: Judge) -> Iterator[Target]:
    for transport in ("ipc", "tcp"):
        it = case("pushpull", transport, "sync", "threads", MEGABYTE)
        yield Target(7, f"1 MiB messages, {transport}, C = 1", judge.of_c(it, "msg"), 0.95)


def importing(judge: Judge) -> Iterator[Target]:
    it, entry = case("import", "inproc", "sync"), Entry(judge.library)
    value, record = judge.results.figure(it, entry), judge.results.record(it, entry)
    yield Target(8, "import, ms", value * 1e3 if value is not None else None, 40.0, at_most=True)
    loops = max((len(outcome.get("loops_imported", ())) for outcome in record.rounds), default=None) if record else None
    yield Target(8, "event-loop libraries imported", loops, 0, at_most=True)


def show_targets(results: Results, console: Console, library: str = "nngio") -> bool:
    """Print what holds; returns whether all does that could be measured."""
    table = Table(title=f"What {library} is to reach", title_justify="left", title_style="bold")
    for name, justify in (("", "right"), ("", "left"), ("measured", "right"), ("target", "right"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    found = list(targets(results, library))
    for target in found:
        measured = "-" if target.measured is None else f"{target.measured:.2f}"
        verdict = {True: "[green]holds[/]", False: "[red]misses[/]", None: "not measured"}[target.holds]
        bound = f"{'≤' if target.at_most else '≥'} {target.bound:g}"
        table.add_row(str(target.number), target.claim, measured, bound, verdict)
    console.print(table)
    held = sum(target.holds is True for target in found)
    console.print(f"{held} of {len(found)} hold, {sum(target.holds is None for target in found)} were not measured")
    return all(target.holds is not False for target in found)
