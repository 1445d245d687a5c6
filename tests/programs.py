"""Runs Python programs in fresh interpreters, and tells how they ended.

What kills, hangs, forks or ends a process is tested on a process of its own. A program is a text; it starts without `site`
and without the environment's Python settings, which is twice as fast, and with `nngio` on its path. One that takes too
long is made to say where each of its threads is, killed with all its children, and reported.

Each program can call `main_ends()` as its last act, and `Ended.exit_seconds` is the time from there to its end.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import _cffi_backend

import nngio

__all__ = ["FORKS", "Ended", "run", "run_all"]

FORKS = ("-W", "ignore::DeprecationWarning")
"""Options for a program that forks, though it has threads: Python 3.12 and later warn."""

PARALLEL = 4
"""Programs at a time: most of them wait now and then."""

EXIT_FACTOR = 5 if os.environ.get("NNGIO_SANITIZED") else 1
"""At its exit a program under LeakSanitizer looks through all its memory, which takes about a second by itself."""

FOLDERS = list(dict.fromkeys(str(Path(file).resolve().parent) for file in (_cffi_backend.__file__, Path(nngio.__file__).parent)))

PRELUDE = f"""\
import os, sys, time; sys.path[:0] = {FOLDERS!r}
def main_ends(): os.write(1, b"main ends at %r\\n" % time.monotonic())
"""
MARK = "main ends at "


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, negative for a signal, and what it printed."""

    program: str
    code: int
    out: str
    err: str
    started: float
    ended: float

    @property
    def seconds(self) -> float:
        """From its start to its end, the interpreter's start included."""
        return self.ended - self.started

    @property
    def exit_seconds(self) -> float:
        """From the end of its main program to its own."""
        marks = [line for line in self.out.splitlines() if line.startswith(MARK)]
        assert marks, f"it never came to the end of its main program: {self}"
        return self.ended - float(marks[-1].removeprefix(MARK))

    @property
    def printed(self) -> str:
        """Its standard output without the mark."""
        return "".join(line for line in self.out.splitlines(keepends=True) if not line.startswith(MARK))

    def check(self, code: int = 0, out: str | None = "", err: str | None = "", exit_seconds: float | None = None) -> Self:
        """Assert that it ended so; None for what may be anything."""
        assert self.code == code, f"exit code {self.code}, not {code}: {self}"
        assert out is None or self.printed == out, f"other output: {self}"
        assert err is None or self.err == err, f"other errors: {self}"
        in_time = exit_seconds is None or self.exit_seconds < exit_seconds * EXIT_FACTOR
        assert in_time, f"it took {self.exit_seconds:.3f} s to exit: {self}"
        return self

    def __str__(self) -> str:
        return (
            f"exit code {self.code} after {self.seconds:.3f} s\n--- standard output\n{self.out}--- standard error\n{self.err}"
            f"--- program\n{self.program}"
        )


def run(text: str, *arguments: str, options: Iterable[str] = (), timeout: float = 15, file: Path | None = None) -> Ended:
    """Run a program and wait for its end; AssertionError when that takes longer than `timeout` seconds.

    `arguments` are in its `sys.argv[1:]`, `options` are the interpreter's. With `file` it is written there and run from
    there, as `multiprocessing` wants it.
    """
    program = PRELUDE + text
    if file is not None:
        file.write_text(program)
    what = ["-c", program] if file is None else [str(file)]
    command = [sys.executable, "-S", "-E", "-X", "faulthandler", *options, *what, *arguments]
    started = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # faulthandler tells where the threads are
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
        _kill_group(process)
        out, err = process.communicate()
        hung = Ended(text, process.returncode, out, err, started, time.monotonic())
        raise AssertionError(f"it hung: {hung}") from None
    finally:
        _kill_group(process)
    return Ended(text, process.returncode, out, err, started, time.monotonic())


def run_all(programs: Sequence[tuple[str, Sequence[str]]], *, options: Iterable[str] = (), timeout: float = 15) -> list[Ended]:
    """Run many programs, each a text and its arguments, several at a time; how they ended, in their order."""
    options = list(options)
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(lambda p: run(p[0], *p[1], options=options, timeout=timeout), programs))


def _kill_group(process: subprocess.Popen[str]) -> None:
    """Kill what is left of a program: it has a session of its own, so its children are of its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
