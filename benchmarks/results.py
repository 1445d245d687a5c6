"""What came out: medians over the rounds, ratios, and the file that keeps everything."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import LESS_IS_BETTER, Case, Entry, measured_as
from benchmarks.runner import QUIET, Record

FIGURES = ("value", "p99", "p999", "mean", "cpu", "least", "with_task")


class Results:
    """The records of one run, or of one read back."""

    def __init__(self, records: Sequence[Record], about: dict[str, Any]) -> None:
        self.records = {(record.case, record.entry): record for record in records}
        self.about = about

    def record(self, case: Case, entry: Entry) -> Record | None:
        return self.records.get((measured_as(case, entry), entry))

    def values(self, case: Case, entry: Entry, name: str = "value") -> list[float]:
        """The figures of the rounds: of the quiet ones if there are any, else of all."""
        record = self.record(case, entry)
        outcomes = [outcome for outcome in record.rounds if name in outcome] if record else []
        quiet = [outcome for outcome in outcomes if outcome.get("others", 0.0) <= QUIET]
        return [outcome[name] for outcome in quiet or outcomes]

    def figure(self, case: Case, entry: Entry, name: str = "value") -> float | None:
        """The median over the rounds; None when it was not measured, or never came to an end."""
        values = self.values(case, entry, name)
        return statistics.median(values) if values else None

    def quiet(self) -> float:
        """The share of the rounds during which nothing else used the machine much."""
        shares = [outcome.get("others", 0.0) for record in self.records.values() for outcome in record.rounds]
        return sum(share <= QUIET for share in shares) / max(1, len(shares))

    def spread(self, case: Case, entry: Entry) -> float:
        """How far the rounds are apart: the largest over the smallest, minus 1."""
        values = self.values(case, entry)
        return max(values) / min(values) - 1 if values and min(values) > 0 else 0.0

    def failure(self, case: Case, entry: Entry) -> str | None:
        """Why there is no figure, or why there is one for some of the rounds only."""
        record = self.record(case, entry)
        return next((outcome["failed"] for outcome in record.rounds if "failed" in outcome), None) if record else None

    def ratio(self, case: Case, entry: Entry, to: Entry) -> float | None:
        mine, theirs = self.figure(case, entry), self.figure(case, to)
        return mine / theirs if mine is not None and theirs else None

    def entries(self, case: Case) -> list[Entry]:
        return [entry for real, entry in self.records if real == measured_as(case, entry)]

    def best(self, case: Case, entries: Sequence[Entry]) -> tuple[Entry, float] | None:
        """Which of these did best, and its figure."""
        known = [(figure, entry) for entry in entries if (figure := self.figure(case, entry)) is not None]
        if not known:
            return None
        figure, entry = (min if case.scenario in LESS_IS_BETTER else max)(known)
        return entry, figure

    def peers(self, case: Case, library: str = "") -> list[Entry]:
        """Every variant of the other bindings, or of one."""
        theirs = [entry for entry in self.entries(case) if entry.library != "c" and not entry.library.startswith("nngio")]
        return [entry for entry in theirs if library in ("", entry.library)]

    def cases(self) -> Iterator[Case]:
        """The cases that any binding was measured in."""
        yield from sorted({case for case, entry in self.records if entry.library != "c"})

    def versions(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for record in self.records.values():
            for outcome in record.rounds:
                if "versions" in outcome:
                    found.setdefault(record.entry.library, outcome["versions"])
        return found

    def save(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        summaries = []
        for (case, entry), record in self.records.items():
            medians = {name: self.figure(case, entry, name) for name in FIGURES}
            medians = {name: value for name, value in medians.items() if value is not None}
            summaries.append(record.as_dict() | {"median": medians, "spread": round(self.spread(case, entry), 3)})
        data = self.about | {"versions": self.versions(), "results": summaries}
        file.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> Results:
        data = json.loads(file.read_text(encoding="utf-8"))
        records = [Record.from_dict(item) for item in data.pop("results")]
        return cls(records, data)


def machine() -> dict[str, Any]:
    """What the figures depend on, as far as the system tells."""
    model, governor = platform.processor(), ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text(encoding="utf-8").strip()
    except (OSError, StopIteration):
        pass
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": model,
        "cpus": cpus,
        "governor": governor,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libc": " ".join(platform.libc_ver()),
    }
