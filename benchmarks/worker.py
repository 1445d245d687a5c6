"""Runs one case for one library, in the environment of that library, and prints one line of JSON.

    python -m benchmarks.worker '{"library": "pynng", ...}'

The process ends as soon as the line is out, whatever the library has still running.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from typing import Any

from benchmarks import libraries
from benchmarks.scenarios import asynchronous, costs, sync
from benchmarks.scenarios.side import Job

KINDS = {"pushpull": ("push", "pull"), "pair": ("pair", "pair")}


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    if job.scenario == "import":
        report(costs.import_time(job))
    library = libraries.load(job.library)
    versions = library.versions() | {"python": platform.python_version()}

    def with_versions(figures: dict[str, Any]) -> None:
        report(figures | {"versions": versions})

    try:
        run(library, job, with_versions)
    except libraries.Unsupported as lacking:
        report({"unsupported": f"it has no {lacking}"})


def run(library: Any, job: Job, report: Any) -> None:
    if job.mode not in library.MODES:
        raise libraries.Unsupported(f"calls for {job.mode}")
    if job.scenario == "pending":
        costs.pending(library, job, report)
    elif job.scenario in KINDS:
        if job.asynchronous:
            asynchronous.oneway(library, job, *KINDS[job.scenario], report)
        else:
            report(sync.oneway(library, job, *KINDS[job.scenario]))
    elif job.asynchronous:
        getattr(asynchronous, job.scenario)(library, job, report)
    else:
        report(getattr(sync, job.scenario)(library, job))


def report(figures: dict[str, Any]) -> None:
    print(json.dumps(figures), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
