"""Writes what a run measured into docs/benchmarks.md: its tables between two marks, its plots beside it. The prose is by hand."""

from __future__ import annotations

from pathlib import Path

from benchmarks import plots, report
from benchmarks.cases import TITLES
from benchmarks.results import Results
from benchmarks.targets import targets

BEGIN = "<!-- what follows is written by `python -m benchmarks --docs` -->"
END = "<!-- end of what is written -->"


def write(results: Results, docs: Path) -> None:
    """Replace the part of docs/benchmarks.md between the marks, and the plots in docs/benchmarks/."""
    drawn = plots.draw(results, docs / "benchmarks")
    file = docs / "benchmarks.md"
    before, mark, rest = file.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise SystemExit(f"{file} lacks the marks between which the tables go:\n{BEGIN}\n{END}")
    parts = [BEGIN, machine(results), what_holds(results)]
    shown = ""
    for scenario, mode, cases in report.groups(results):
        if scenario != shown:
            shown = scenario
            parts.append(f"## {TITLES[scenario]}")
            parts += [f"![{TITLES[scenario]}](benchmarks/{file.name})" for file in drawn if file.stem == scenario]
            if scenario == "pushpull":
                parts += [f"![Bytes per second](benchmarks/{file.name})" for file in drawn if file.stem == "sizes"]
        parts.append(f"**{mode}**" if scenario not in ("import", "pending") else "")
        parts.append(table(*report.rows(results, cases)))
        if scenario == "roundtrip":
            parts.append(details("Tails and CPU time", table(*report.tails(results, cases))))
        elif scenario not in ("import", "pending"):
            parts.append(details("CPU time for each message", table(*report.cpu(results, cases))))
    file.write_text(before + "\n\n".join(part for part in parts if part) + "\n\n" + END + after, encoding="utf-8")


def machine(results: Results) -> str:
    about, quiet = results.about, results.quiet()
    machine = about["machine"]
    versions = "; ".join(f"{library}: {', '.join(map(' '.join, v.items()))}" for library, v in results.versions().items())
    busy = f" The machine was busy with other things: {quiet:.0%} of the rounds were quiet."
    return (
        f"Measured on {about['started'][:10]}: {machine['processor']}, {machine['cpus']} CPUs, {machine['system']}, "
        f"{machine['libc']}, Python {machine['python']}; medians of {about['rounds']} rounds of {about['seconds']} s."
        f"{busy if quiet < 0.5 else ''} {versions}."
    )


def what_holds(results: Results) -> str:
    words = {True: "yes", False: "no", None: "not measured"}
    lines = [
        [
            target.claim,
            "-" if target.measured is None else f"{target.measured:.2f}",
            f"at {'most' if target.at_most else 'least'} {target.bound:g}",
            words[target.holds],
        ]
        for target in targets(results)
    ]
    return "## Targets\n\n" + table(["what nngio is to reach", "measured", "target", "reached"], lines)


def table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in (head, rule, *lines))


def details(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"
