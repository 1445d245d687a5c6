"""Instructions per operation, counted by callgrind, against a baseline: a measure of speed that no other load disturbs.

    python -m benchmarks.instructions             count, compare, fail when an operation takes over 10 % more than it did
    python -m benchmarks.instructions --update    make what it counts the baseline, for this Python and this NNG

Runs in the Python whose nngio is to be measured. Needs valgrind and a C compiler; takes about ten seconds.

Only the calling thread is counted. An operation's figure is what 2·N of them take beyond N of them, divided by N, in two parts:
what the interpreter does, and what the extension with NNG and libc does. Two builds of the same Python differ in the first, so
that is scaled by what either needs for a piece of Python that has nothing to do with nngio.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.instructions_program import OPERATIONS

HERE = Path(__file__).resolve().parent
BASELINE = HERE / "instructions.json"
COUNT = 200
TOLERANCE = 0.10
EXTENSION = ("_nng", "libnng", "libc", "libpthread", "ld-linux", "libm", "[vdso]")


@dataclass(frozen=True)
class Cost:
    """Instructions for one operation."""

    python: float
    native: float

    @property
    def total(self) -> float:
        return self.python + self.native


class CountError(Exception):
    """Why nothing could be counted, and what to do."""


def key() -> str:
    """What a baseline is for."""
    from nngio.lowlevel import nng_version

    return f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}, NNG {nng_version()}"


def count(operations: int = COUNT) -> dict[str, Cost]:
    """Count. Raises CountError."""
    if shutil.which("valgrind") is None:
        raise CountError("valgrind is not installed (Debian: apt install valgrind)")
    compiler = os.environ.get("CC") or "cc"
    with tempfile.TemporaryDirectory(prefix="nngio-instructions-") as name:
        folder = Path(name)
        region = folder / "region.so"
        subprocess.run([*compiler.split(), "-shared", "-fPIC", "-o", region, HERE / "instructions_region.c"], check=True)
        command = [
            "valgrind",
            "--tool=callgrind",
            "--instr-atstart=no",
            "--collect-atstart=no",
            f"--callgrind-out-file={folder}/out",
            "--fair-sched=yes",
            sys.executable,
            "-m",
            "benchmarks.instructions_program",
            str(region),
            str(operations),
        ]
        paths = [str(HERE.parent), *filter(None, sys.path)]
        environ = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, cwd=folder)
        if done.returncode:
            raise CountError(f"the program failed under valgrind:\n{done.stderr[-3000:]}")
        dumps = [folder / f"out.{number}" for number in range(1, 2 * len(OPERATIONS) + 1)]
        costs = [cost_of(dump) for dump in dumps]
    once, twice = costs[: len(OPERATIONS)], costs[len(OPERATIONS) :]
    return {
        name: Cost((b.python - a.python) / operations, (b.native - a.native) / operations)
        for name, a, b in zip(OPERATIONS, once, twice, strict=True)
    }


def cost_of(dump: Path) -> Cost:
    """What one of callgrind's files says: its own format, of which only objects and costs matter."""
    python = native = 0
    for binary, cost in costs_by_object(dump.read_text(encoding="utf-8", errors="replace").splitlines()):
        if Path(binary).name.startswith(EXTENSION):
            native += cost
        else:
            python += cost
    return Cost(python, native)


def costs_by_object(lines: list[str]) -> Iterator[tuple[str, int]]:
    names: dict[str, str] = {}
    current, inclusive = "", False
    for line in lines:
        if line.startswith("ob="):
            number, _, name = line[3:].partition(" ")
            current = names.setdefault(number, name)
        elif line.startswith("cob="):
            number, _, name = line[4:].partition(" ")
            names.setdefault(number, name)
        elif line.startswith("calls="):
            inclusive = True  # the next line is what the called function took, which is listed there
        elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            if not inclusive:
                yield current, int(line.split()[1])
            inclusive = False


def expected(baseline: dict[str, dict[str, float]], reference: Cost) -> dict[str, float]:
    """The baseline's totals, for an interpreter that needs so much for the reference."""
    scale = reference.python / baseline["reference"]["python"]
    return {name: cost["python"] * scale + cost["native"] for name, cost in baseline.items() if name != "reference"}


def compare(costs: dict[str, Cost], baseline: dict[str, dict[str, float]]) -> dict[str, float]:
    """How many times the baseline's each operation's instructions are."""
    return {name: costs[name].total / total for name, total in expected(baseline, costs["reference"]).items()}


def baselines() -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = json.loads(BASELINE.read_text(encoding="utf-8"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write the baseline for this Python and this NNG")
    parser.add_argument("--count", type=int, default=COUNT, help="operations (%(default)s, and twice as many)")
    options = parser.parse_args()
    try:
        costs = count(options.count)
    except CountError as error:
        raise SystemExit(str(error)) from None
    known = baselines() if BASELINE.exists() else {}
    ratios = compare(costs, known[key()]) if key() in known else {}
    for name, cost in costs.items():
        ratio = f"{ratios[name]:6.3f} x the baseline" if name in ratios else ""
        print(f"{name:<22}{cost.total:>10,.0f} = {cost.python:>8,.0f} Python + {cost.native:>8,.0f} native  {ratio}")
    if options.update:
        known[key()] = {name: {"python": round(cost.python), "native": round(cost.native)} for name, cost in costs.items()}
        BASELINE.write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n", encoding="utf-8")
    elif not ratios:
        raise SystemExit(f"there is no baseline for {key()}: make one with --update")
    elif any(ratio > 1 + TOLERANCE for ratio in ratios.values()):
        raise SystemExit(f"more than {TOLERANCE:.0%} above the baseline")


if __name__ == "__main__":
    main()
