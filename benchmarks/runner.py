"""Runs cases: a process for each case, library and round, whose end is waited for only so long.

A library that crashes or hangs is a result too: it is noted, the others go on. After two failures an entry is not tried again.

Each outcome tells in `others` what share of the machine's CPU time went to anything else meanwhile.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import resource
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.cases import Case, Entry, measured_as
from benchmarks.environments import ROOT

FAILURES = 2
QUIET = 0.1
"""The share of CPU time that others may have for a measurement to be good."""


@dataclass(frozen=True)
class Place:
    """How to start a library."""

    python: Path
    path: Path | None = None  # where it is, if not in the environment


@dataclass
class Record:
    """What the rounds gave for one entry in one case."""

    entry: Entry
    case: Case
    rounds: list[dict[str, Any]]

    def failures(self) -> int:
        return sum("failed" in outcome for outcome in self.rounds)

    def unsupported(self) -> bool:
        return any("unsupported" in outcome for outcome in self.rounds)

    def as_dict(self) -> dict[str, Any]:
        return {"library": self.entry.library, "verbs": self.entry.verbs, **self.case.__dict__, "rounds": self.rounds}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        case = Case(*(data[name] for name in ("scenario", "transport", "size", "count", "mode", "placement")))
        return cls(Entry(data["library"], data["verbs"]), case, data["rounds"])


class Watch:
    """Finds out how busy the rest of the machine is while something runs. Says 0 where there is no /proc."""

    TICK = os.sysconf("SC_CLK_TCK")

    def __init__(self) -> None:
        self._started, self._busy, self._own = time.monotonic(), self.busy(), self.reaped()

    def busy(self) -> float:
        """CPU seconds of all CPUs since the system started that were not idle."""
        try:
            fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        except OSError:
            return 0.0
        user, nice, system, _, _, irq, softirq, steal = map(int, fields)
        return (user + nice + system + irq + softirq + steal) / self.TICK

    @staticmethod
    def reaped() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def alive(self, session: int) -> float:
        """What the processes of a session that still run have used."""
        used = 0
        for file in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = file.read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    used += int(fields[11]) + int(fields[12])
        return used / self.TICK

    def others(self, still_running: float) -> float:
        """The share of all CPUs' time that others had."""
        passed = (time.monotonic() - self._started) * (os.cpu_count() or 1)
        others = self.busy() - self._busy - (self.reaped() - self._own) - still_running
        return round(min(1.0, max(0.0, others / passed)), 3)


class Runner:
    """Starts the workers."""

    def __init__(self, places: Mapping[str, Place], program: Path, tls: Path | None, seconds: float, nice: int = 0) -> None:
        self.places = places
        self.program = program
        self.tls = tls
        self.seconds = seconds
        self.nice = nice
        self._numbers = itertools.count()
        self._folder = tempfile.TemporaryDirectory(prefix="nngio-bench-")

    def url(self, transport: str) -> str:
        number = next(self._numbers)
        if transport == "inproc":
            return f"inproc://{number}"
        if transport == "ipc":
            return f"ipc://{self._folder.name}/{number}"
        # Below the ports that the system gives to outgoing connections.
        while True:
            port = random.randrange(20000, 30000)
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return f"tcp://127.0.0.1:{port}" if transport == "tcp" else f"tls+tcp://127.0.0.1:{port}"

    def command(self, case: Case, entry: Entry) -> tuple[list[str], dict[str, str]]:
        url, tls = self.url(case.transport), str(self.tls) if case.transport == "tls" else ""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NNGIO_"))}
        if entry.library == "c":
            arguments = [case.scenario, case.placement, url, str(case.size), str(case.count), str(self.seconds), tls]
            return [str(self.program), *arguments], environ
        place = self.places["python-nng-tls" if entry.library == "python-nng" and tls else entry.library]
        job = {
            "library": entry.library,
            "verbs": entry.verbs,
            **case.__dict__,
            "url": url,
            "seconds": self.seconds,
            "tls": tls,
            "program": str(self.program),
        }
        paths = [str(path) for path in (place.path, ROOT) if path]
        environ["PYTHONPATH"] = os.pathsep.join(paths)
        return [str(place.python), "-m", "benchmarks.worker", json.dumps(job)], environ

    def run(self, case: Case, entry: Entry) -> dict[str, Any]:
        """One round: the figures, or `failed` or `unsupported` with the reason."""
        command, environ = self.command(case, entry)
        limit = 10 + 6 * self.seconds
        watch = Watch()
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+", errors="replace") as err:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environ,
                cwd=self._folder.name,
                start_new_session=True,
                preexec_fn=partial(os.nice, self.nice) if self.nice else None,
            )
            try:
                status: int | None = process.wait(limit)
            except subprocess.TimeoutExpired:
                status = None
            still_running = watch.alive(process.pid)
            # The other side's process goes with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            out.seek(0)
            err.seek(0)
            return outcome(status, out.read(), err.read(), limit) | {"others": watch.others(still_running)}


def outcome(status: int | None, out: str, err: str, limit: float) -> dict[str, Any]:
    if status is None:
        return {"failed": f"hung for {limit:.0f} s"}
    if status < 0:
        return {"failed": f"crashed with {signal.Signals(-status).name}", "stderr": err[-500:]}
    lines = out.splitlines()
    if status or not lines:
        last = err.strip().splitlines()[-1:] or [f"exit code {status}"]
        return {"failed": last[0][:200], "stderr": err[-500:]}
    figures: dict[str, Any] = json.loads(lines[-1])
    return figures


def run_rounds(
    runner: Runner,
    wanted: Sequence[tuple[Case, Entry]],
    rounds: int,
    progress: Callable[[str], None],
    patience: int = 0,
    after_round: Callable[[int, list[Record]], None] = lambda _number, _records: None,
) -> list[Record]:
    """Run everything once in each round; what is compared runs side by side, in an order that changes from round to round.

    `patience`: how often to repeat a measurement during which others were busy, until there is a quiet one. `after_round` is told
    what there is after each round, so that a run that is broken off was not for nothing.
    """
    records: dict[tuple[Case, Entry], Record] = {}
    for case, entry in wanted:
        real = measured_as(case, entry)
        records.setdefault((real, entry), Record(entry, real, []))
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records.values():
        case = record.case
        groups.setdefault((case.scenario, case.transport, case.size, case.count, case.placement == "processes"), []).append(record)
    order = random.Random(1)
    done, total = 0, rounds * len(records)
    for number in range(rounds):
        for group in groups.values():
            for record in order.sample(group, len(group)):
                done += 1
                if record.unsupported() or record.failures() >= FAILURES:
                    continue
                progress(f"round {number + 1}/{rounds}, {done}/{total}: {record.entry} {record.case}")
                outcomes = [runner.run(record.case, record.entry)]
                while outcomes[-1]["others"] > QUIET and "value" in outcomes[-1] and len(outcomes) <= patience:
                    outcomes.append(runner.run(record.case, record.entry))
                record.rounds.append(min(outcomes, key=lambda outcome: outcome["others"]))
        after_round(number + 1, list(records.values()))
    return list(records.values())
