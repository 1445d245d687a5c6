"""The plots: scalable, readable on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from benchmarks.cases import COUNTS, LESS_IS_BETTER, LIBRARIES, SIZES, SMALL, TITLES, Case
from benchmarks.results import Results

matplotlib.use("svg")
from matplotlib import pyplot

COLOURS = {"c": "#7f7f7f", "nngio": "#d62728", "python-nng": "#1f77b4", "pynng": "#2ca02c", "pyzmq": "#ff9f1c"}
INK = "#808890"
SETTINGS = {
    "svg.hashsalt": "nngio",  # the same figures make the same file
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Write what the results have enough of. Returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with pyplot.rc_context(SETTINGS):
        for name, plot in PLOTS.items():
            figure = plot(results)
            if figure is not None:
                figure.savefig(folder / f"{name}.svg", transparent=True, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
                pyplot.close(figure)
                made.append(folder / f"{name}.svg")
    return made


def best(results: Results, case: Case, library: str) -> float | None:
    """The figure of a library's best variant."""
    found = results.best(case, [entry for entry in results.entries(case) if entry.library == library])
    return found[1] if found else None


def bars(results: Results, groups: Sequence[tuple[str, Case]], unit: str, scale: float) -> Any:
    """A group of bars for each case, a bar for each library."""
    groups = [(label, case) for label, case in groups if best(results, case, "nngio") is not None]
    if not groups:
        return None
    figure, axes = pyplot.subplots(figsize=(8, 0.5 + 0.75 * len(groups)))
    height = 0.8 / len(LIBRARIES)
    for i, library in enumerate(LIBRARIES):
        values = [(best(results, case, library) or 0.0) * scale for _, case in groups]
        places = [row + (i - (len(LIBRARIES) - 1) / 2) * height for row in range(len(groups))]
        drawn = axes.barh(places, values, height, color=COLOURS[library], label=library)
        axes.bar_label(drawn, [f"{value:,.0f}" if value else "" for value in values], padding=2, fontsize=7)
    axes.set_yticks(range(len(groups)), [label for label, _ in groups])
    axes.invert_yaxis()
    better = "less" if groups[0][1].scenario in LESS_IS_BETTER else "more"
    axes.set_xlabel(f"{unit} ({better} is better)")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.set_title(TITLES[groups[0][1].scenario])
    return figure


def lines(
    results: Results, title: str, values: Sequence[int], case: Callable[[int], Case], scale: Callable[[int], float], labels: Any
) -> Any:
    """A line for each library."""
    figure, axes = pyplot.subplots(figsize=(6, 3.5))
    drawn = False
    for library in LIBRARIES:
        points = [(value, figure_ * scale(value)) for value in values if (figure_ := best(results, case(value), library)) is not None]
        if len(points) > 1:
            axes.plot(*zip(*points, strict=True), marker="o", color=COLOURS[library], label=library)
            drawn = True
    axes.set(xscale="log", yscale="log", title=title, xlabel=labels[0], ylabel=labels[1])
    axes.set_xticks(values, [f"{value:,}" for value in values])
    axes.minorticks_off()
    axes.legend()
    if not drawn:
        pyplot.close(figure)
    return figure if drawn else None


def in_all_modes(scenario: str, transports: Sequence[str] = ("inproc", "tcp")) -> list[tuple[str, Case]]:
    placements = (("sync", "threads"), ("asyncio", "loop"), ("uvloop", "loop"), ("trio", "loop"))
    found = [
        (f"{mode}, {transport}", Case(scenario, transport, SMALL, 1, mode, placement))
        for mode, placement in placements
        for transport in transports
    ]
    return [*found, ("asyncio, tcp, two processes", Case(scenario, "tcp", SMALL, 1, "asyncio", "processes"))]


PLOTS: dict[str, Callable[[Results], Any]] = {
    "roundtrip": lambda results: bars(results, in_all_modes("roundtrip"), "µs", 1e6),
    "pushpull": lambda results: bars(results, in_all_modes("pushpull"), "thousand messages a second", 1e-3),
    "pair": lambda results: bars(results, in_all_modes("pair"), "thousand messages a second", 1e-3),
    "contexts": lambda results: lines(
        results,
        "Requests on many contexts, asyncio, tcp",
        COUNTS,
        lambda count: Case("contexts", "tcp", SMALL, count, "asyncio", "loop"),
        lambda _: 1e-3,
        ("contexts", "thousand requests a second"),
    ),
    "sizes": lambda results: lines(
        results,
        "PUSH/PULL, two threads, tcp",
        SIZES,
        lambda size: Case("pushpull", "tcp", size, 1, "sync", "threads"),
        lambda size: size / 1e6,
        ("bytes in a message", "MB/s"),
    ),
}
