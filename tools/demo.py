"""What `make run` shows: a REQ socket in this process asks a REP in another one, over TCP.

    python tools/demo.py [--python] [--count N]

The other side is NNG's own command-line program `nngcat`, where it is installed: C on one end, Python on the other. Without
it, or with `--python`, it is a second Python process. Round trips are timed one after the other, from `send` to the reply.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence

import nngio
from nngio.lowlevel import ffi, lib, nng_version

QUESTION = b"Is anybody there?"
ANSWER = b"Yes, over here."
COUNT = 5000
START_SECONDS = 10.0
"""How long the other process may take to start and connect."""

REPLIER = """
import sys, nngio
with nngio.Rep0(dial=sys.argv[1]) as rep:
    for _ in rep:
        rep.send(sys.argv[2].encode())
"""

BOLD, DIM, CYAN, GREEN, RESET = (
    ("\033[1m", "\033[2m", "\033[36m", "\033[32m", "\033[0m")
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ
    else ("", "", "", "", "")
)


def text(pointer: object) -> str:
    """A C string as text."""
    raw: bytes = ffi.string(pointer)
    return raw.decode()


def replier(url: str, nngcat: str | None) -> list[str]:
    """The command of a process that answers every request that it gets from `url`."""
    if nngcat:
        return [nngcat, "--rep", "--dial", url, "--data", ANSWER.decode(), "--silent"]
    return [sys.executable, "-c", REPLIER, url, ANSWER.decode()]


def line(label: str, value: str) -> None:
    print(f"  {DIM}{label:<13}{RESET}{value}")


def microseconds(times: Sequence[int], part: float) -> str:
    """The time that `part` of the round trips don't exceed."""
    return f"{times[min(len(times) - 1, int(len(times) * part))] / 1000:,.0f} µs"


def show_versions() -> None:
    source, tls = text(lib.nngio_build_nng_source), text(lib.nngio_build_mbedtls)
    print(f"\n{BOLD}nngio {nngio.__version__}{RESET}\n")
    line("NNG", f"{nng_version()}, built from: {source}")
    line("TLS", f"mbedTLS, built from: {tls}" if tls else "the system library's")
    line("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def exchange(req: nngio.Req0, other: str, pid: int, count: int) -> None:
    """Ask once and show it, then ask `count` times and show how long that took."""
    line("this side", f"REQ  Python, process {os.getpid()}, listens at {req.listeners[0].url}")
    line("other side", f"REP  {other}, process {pid}")
    answer = req.request(QUESTION, timeout=START_SECONDS)
    print(f"\n  {CYAN}REQ ──▶{RESET} {QUESTION.decode()}")
    print(f"  {GREEN}    ◀── REP{RESET} {answer.decode()}\n")
    if answer != ANSWER:
        raise SystemExit(f"that is not the answer: {answer!r}")

    times = []
    for _ in range(count):
        start = time.perf_counter_ns()
        req.request(QUESTION, timeout=START_SECONDS)
        times.append(time.perf_counter_ns() - start)
    times.sort()
    median, slow = microseconds(times, 0.5), microseconds(times, 0.99)
    line("round trip", f"{BOLD}{median}{RESET} median, {slow} for the slowest hundredth, of {count:,} over TCP\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="store_true", help="talk to a second Python process, not to nngcat")
    parser.add_argument("--count", type=int, default=COUNT, help="round trips to time (%(default)s)")
    arguments = parser.parse_args()

    show_versions()
    nngcat = None if arguments.python else shutil.which("nngcat")
    if nngcat:
        version = subprocess.run([nngcat, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        other = f"nngcat, C, with NNG {version}"
    else:
        other = "Python"
        if not arguments.python:
            line("", "nngcat is not installed, so a second Python process answers (Debian: apt install nng-utils)")
    with nngio.Req0(listen="tcp://127.0.0.1:0") as req:
        process = subprocess.Popen(replier(req.listeners[0].url, nngcat), stdout=subprocess.DEVNULL)
        try:
            exchange(req, other, process.pid, max(1, arguments.count))
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
