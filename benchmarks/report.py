"""The tables: absolute figures, and how many times C's they are."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from benchmarks.cases import LESS_IS_BETTER, LIBRARIES, SMALL, TITLES, Case, Entry
from benchmarks.results import Results

NOISY = 0.5
C = Entry("c")


def number(scenario: str, value: float, size: int = SMALL) -> str:
    """A figure with its unit: time, memory, messages or bytes per second."""
    if scenario == "roundtrip":
        return f"{value * 1e6:,.1f} µs" if value < 0.01 else f"{value * 1e3:,.1f} ms"
    if scenario == "import":
        return f"{value * 1e3:,.1f} ms"
    if scenario == "pending":
        return f"{value:,.0f} B"
    if size > 1024:
        return f"{value * size / 1e6:,.0f} MB/s"
    return f"{value / 1e3:,.1f} k/s"


def label(case: Case) -> str:
    words = [case.transport] if case.scenario not in ("import", "pending") else []
    if case.placement != "loop":
        words.append(case.placement)
    if case.count != 1 and case.scenario != "pending":
        words.append(f"{case.count:,} at once")
    if case.size != SMALL:
        words.append(f"{case.size:,} B")
    return " ".join(words)


def groups(results: Results) -> Iterator[tuple[str, str, list[Case]]]:
    """The cases by scenario and mode, which is a table each."""
    cases = list(results.cases())
    for scenario in TITLES:
        for mode in ("sync", "asyncio", "uvloop", "trio"):
            of_group = [case for case in cases if (case.scenario, case.mode) == (scenario, mode)]
            if of_group:
                yield scenario, mode, of_group


def columns(results: Results, cases: list[Case]) -> list[Entry]:
    found = {entry for case in cases for entry in results.entries(case)}
    found = {entry for entry in found if any(results.figure(case, entry) or results.failure(case, entry) for case in cases)}
    return sorted(found, key=lambda entry: (LIBRARIES.index(entry.library.partition("@")[0]), entry.library, entry.verbs != "one", entry))


def cell(results: Results, case: Case, entry: Entry) -> str:
    value = results.figure(case, entry)
    failure = results.failure(case, entry)
    if value is None:
        return failure or "-"
    text = number(case.scenario, value, case.size)
    ratio = results.ratio(case, entry, C)
    if ratio is not None and entry != C:
        text += f" ({ratio:.2f})"
    if results.spread(case, entry) > NOISY:
        text += " ~"
    return text + (" !" if failure else "")


def advantage(results: Results, case: Case) -> str:
    """How many times better the best of nngio is than the best of the others."""
    ours = results.best(case, [entry for entry in results.entries(case) if entry.library == "nngio"])
    theirs = results.best(case, results.peers(case))
    if ours is None or theirs is None or not ours[1] or not theirs[1]:
        return "-"
    ratio = theirs[1] / ours[1] if case.scenario in LESS_IS_BETTER else ours[1] / theirs[1]
    return f"{ratio:.2f} x {theirs[0]}"


def rows(results: Results, cases: list[Case]) -> tuple[list[str], list[list[str]]]:
    """One table's head and lines."""
    entries = columns(results, cases)
    head = ["", *map(str, entries), "nngio's best is"]
    lines = [[label(case), *(cell(results, case, entry) for entry in entries), advantage(results, case)] for case in cases]
    return head, lines


def tails(results: Results, cases: list[Case]) -> tuple[list[str], list[list[str]]]:
    """Latencies beyond the median, and CPU time, of a group's cases."""
    lines = []
    for case in cases:
        for entry in columns(results, [case]):
            figures = [results.figure(case, entry, name) for name in ("value", "mean", "p99", "p999", "cpu")]
            texts = ["-" if figure is None else number("roundtrip", figure) for figure in figures]
            lines.append([label(case), str(entry), *texts])
    return ["", "", "median", "mean", "99 %", "99.9 %", "CPU"], lines


def cpu(results: Results, cases: list[Case]) -> tuple[list[str], list[list[str]]]:
    """CPU time for each message, of all threads of the process that is measured."""
    entries = columns(results, cases)
    lines = []
    for case in cases:
        figures = [results.figure(case, entry, "cpu") for entry in entries]
        lines.append([label(case), *("-" if figure is None else number("roundtrip", figure) for figure in figures)])
    return ["", *map(str, entries)], lines


def show(results: Results, console: Console, verbose: bool = False) -> None:
    """Print all tables."""
    for scenario, mode, cases in groups(results):
        console.print(_table(f"{TITLES[scenario]}: {mode}", *rows(results, cases)))
        if verbose and scenario == "roundtrip":
            console.print(_table("median and tail, and CPU time for each round trip", *tails(results, cases)))
        elif verbose and scenario not in ("import", "pending"):
            console.print(_table("CPU time for each message", *cpu(results, cases)))
    about = results.about
    machine = about["machine"]
    console.print(
        f"{machine['processor']}, {machine['cpus']} CPUs, {machine['system']}, Python {machine['python']}, medians of "
        f"{about['rounds']} rounds of {about['seconds']} s, {SMALL} B unless said. In brackets: how many times C's."
    )
    console.print("; ".join(f"{library}: {', '.join(map(' '.join, v.items()))}" for library, v in results.versions().items()))
    console.print(
        f"~ the rounds differ by more than {NOISY:.0%}; ! some rounds failed. {results.quiet():.0%} of the rounds were quiet: "
        f"little else ran, and their medians are what counts where there are any."
    )
    if results.quiet() < 0.5:
        console.print(f"[bold]The machine was busy with other things (load {about['load'][0]:.1f}): only large ratios mean anything.[/]")


def _table(title: str, head: list[str], lines: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i == 0 else "right", no_wrap=i == 0)
    for line in lines:
        table.add_row(*line)
    return table
