"""What a library costs before it has done anything, and while it waits."""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.scenarios.side import Job

NAMES = {"nngio": "nngio", "python-nng": "nng", "pynng": "pynng", "pyzmq": "zmq"}
IMPORTS = 9
LOOPS = ("asyncio", "trio", "uvloop")


def start_python(code: str) -> tuple[float, str]:
    """The CPU seconds of an interpreter that runs this, which on an idle machine is what it takes, and what it prints."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout.strip()


def import_time(job: Job) -> dict[str, Any]:
    """What an interpreter that imports the library takes longer than one that does nothing."""
    code = f"import {NAMES[job.library.partition('@')[0]]}"
    start_python(code)  # compiles its modules, if need be
    more = sorted(start_python(code)[0] - start_python("pass")[0] for _ in range(IMPORTS))
    _, loops = start_python(f"{code}, sys; print(*(name for name in {LOOPS} if name in sys.modules))")
    return {
        "value": statistics.median(more),
        "least": more[0],
        "seconds": sum(more),
        "operations": IMPORTS,
        "loops_imported": loops.split(),
    }


def resident() -> int:
    """The bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def pending(library: Any, job: Job, report: Any) -> None:
    """The bytes that each of many receives takes that wait on one socket, without those of the tasks that await them."""

    async def wait_for_ever(future: asyncio.Future[None]) -> None:
        await future

    async def receive(recv: Any) -> None:
        await recv()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        count = job.count
        before = resident()
        tasks: list[Any] = [loop.create_task(wait_for_ever(loop.create_future())) for _ in range(count)]
        await asyncio.sleep(0)
        plain = resident() - before
        pull = library.open_socket("pull", job.listening())
        recv = library.calls(pull, "one", True)[1]
        before = resident()
        tasks += [loop.create_task(receive(recv)) for _ in range(count)]
        await asyncio.sleep(0.05)
        used = resident() - before
        report({"value": (used - plain) / count, "with_task": used / count, "operations": count, "seconds": 0.0})

    asyncio.run(main())
