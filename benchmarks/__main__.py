"""Measure nngio beside other bindings and C. Makes the environments that it needs below build/bench.

python -m benchmarks --short                          what `make bench` does
python -m benchmarks --scenario pair --transport tcp  all that there is of these
python -m benchmarks --targets                        measure what the project has set itself, and say what holds
python -m benchmarks --from results.json --targets    the same of an earlier run
python -m benchmarks --short --library c --library nngio --against before=/tmp/before
                                                      beside another build of nngio: a folder with the package
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from benchmarks import cases, environments
from benchmarks.environments import BENCH, HARNESS, ROOT


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="what the targets need and little else, in under 5 minutes")
    parser.add_argument("--targets", action="store_true", help="say which of the targets hold; measures the short form unless more")
    parser.add_argument("--scenario", action="append", choices=cases.TITLES, help="only these; so for all that follow")
    parser.add_argument("--mode", action="append", choices=cases.MODES)
    parser.add_argument("--placement", action="append", choices=("loop", "threads", "processes"))
    parser.add_argument("--transport", action="append", choices=cases.TRANSPORTS)
    parser.add_argument("--size", action="append", type=int, choices=cases.SIZES)
    parser.add_argument("--count", action="append", type=int, help="of contexts, subscribers")
    parser.add_argument("--library", action="append", choices=cases.LIBRARIES)
    parser.add_argument("--verbs", action="append", help="of one, many, iter, prefetch, own, msg, ready; C has one")
    parser.add_argument("--against", action="append", default=[], metavar="NAME=FOLDER", help="another build of nngio")
    parser.add_argument("--rounds", type=int, help="3 in the short form, else 5")
    parser.add_argument("--seconds", type=float, help="of each measurement: 0.3 in the short form, else 0.7")
    parser.add_argument("--nice", type=int, default=0, help="for the programs that are measured; below 0 needs root")
    parser.add_argument("--patience", type=int, default=0, help="repeat so often what others disturbed, until it is quiet")
    parser.add_argument("--upgrade", action="store_true", help="make the environments anew, with the newest versions")
    parser.add_argument("--json", type=Path, default=BENCH / "results.json", help="where the figures go (%(default)s)")
    parser.add_argument("--plots", type=Path, help="a folder for plots")
    parser.add_argument("--docs", action="store_true", help="write the tables and plots of docs/benchmarks.md")
    parser.add_argument("--from", dest="source", type=Path, help="read an earlier run's figures, measure nothing")
    parser.add_argument("--verbose", "-v", action="store_true", help="tails of latencies and CPU time too")
    parser.add_argument("--list", action="store_true", help="say what would be measured")
    return parser.parse_args()


def in_harness() -> None:
    """Go on in the environment that has what this program itself needs."""
    if Path(sys.prefix).resolve() != HARNESS.resolve():
        python = environments.environment("harness", upgrade="--upgrade" in sys.argv)
        os.chdir(ROOT)
        os.execv(python, [str(python), "-m", "benchmarks", *sys.argv[1:]])


def selected(options: argparse.Namespace) -> list[tuple[cases.Case, cases.Entry]]:
    short = options.short or (options.targets and not any((options.scenario, options.mode, options.transport, options.size)))
    libraries = tuple(options.library or cases.LIBRARIES) + tuple(f"nngio@{item.partition('=')[0]}" for item in options.against)
    chosen = []
    for case in dict.fromkeys(cases.short() if short else cases.full()):
        limits = ("scenario", "mode", "placement", "transport", "size", "count")
        if any(getattr(options, name) and getattr(case, name) not in getattr(options, name) for name in limits):
            continue
        for entry in cases.entries(case, libraries):
            if short and not cases.in_short(case, entry):
                continue
            if options.verbs and entry.library != "c" and entry.verbs not in options.verbs:
                continue
            chosen.append((case, entry))
    return chosen


def measure(options: argparse.Namespace) -> object:
    """Run what is selected. Returns `Results`."""
    from benchmarks.results import Results, machine
    from benchmarks.runner import Place, Record, Runner, run_rounds

    wanted = selected(options)
    short = options.short or options.targets
    rounds, seconds = options.rounds or (3 if short else 5), options.seconds or (0.3 if short else 0.7)
    tls = any(case.transport == "tls" for case, _ in wanted)
    places: dict[str, Place] = {}
    for library in sorted({entry.library for _, entry in wanted} - {"c"}):
        kind, _, variant = library.partition("@")
        path = None
        if variant:
            path = Path(next(item for item in options.against if item.startswith(f"{variant}=")).partition("=")[2]).resolve()
        elif library == "nngio":
            path = environments.build_nngio()
        places[library] = Place(environments.environment(kind, options.upgrade), path)
    if tls and "python-nng" in places:
        places["python-nng-tls"] = Place(environments.environment("python-nng-tls", options.upgrade))
    program = environments.build_program()
    certificates = environments.certificates() if tls else None

    about = {
        "machine": machine(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "load": os.getloadavg(),
        "rounds": rounds,
        "seconds": seconds,
        "nice": options.nice,
    }

    def progress(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif text:
            print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)

    began = time.monotonic()

    def after_round(number: int, records: list[Record]) -> None:
        about.update(rounds=number, took=round(time.monotonic() - began))
        Results(records, about).save(options.json)

    runner = Runner(places, program, certificates, seconds, options.nice)
    records = run_rounds(runner, wanted, rounds, progress, options.patience, after_round)
    progress("")
    return Results(records, about)


def main() -> None:
    options = arguments()
    if options.list:
        for case, entry in selected(options):
            print(f"{entry}: {case}")
        return
    in_harness()
    from rich.console import Console

    from benchmarks.report import show
    from benchmarks.results import Results
    from benchmarks.targets import show_targets

    if options.source:
        results = Results.load(options.source)
    else:
        measured = measure(options)
        assert isinstance(measured, Results)
        results = measured
    console = Console(width=None if sys.stdout.isatty() else 180)
    show(results, console, options.verbose)
    if options.targets:
        show_targets(results, console)
    if options.plots or options.docs:
        from benchmarks import document, plots

        if options.plots:
            plots.draw(results, options.plots)
        if options.docs:
            document.write(results, ROOT / "docs")
    if not options.source:
        console.print(f"It took {results.about['took']} s. All figures: {options.json}")


if __name__ == "__main__":
    main()
