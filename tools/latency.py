"""What `make bench` measures for now: one round trip at a time between two processes, per transport and size.

    python tools/latency.py [--count N]

This is no set of benchmarks yet: that will be in benchmarks/, with throughput, asyncio and trio, and other bindings beside
this one. Take the figures for what they are, those of one run on a machine that does other things too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

import nngio
from nngio.lowlevel import nng_version

ECHO = """
import sys, nngio
with nngio.Rep0(dial=sys.argv[1]) as rep:
    for request in rep:
        rep.send(request)
"""
SIZES = (64, 65536)
WARM_UP = 200


def measure(url: str, size: int, count: int) -> tuple[float, float]:
    """The median and the 99th percentile of `count` round trips, in microseconds."""
    with nngio.Req0(listen=url) as req:
        process = subprocess.Popen([sys.executable, "-c", ECHO, req.listeners[0].url])
        try:
            request, times = bytes(size), []
            for i in range(WARM_UP + count):
                start = time.perf_counter_ns()
                req.request(request, timeout=10)
                if i >= WARM_UP:
                    times.append(time.perf_counter_ns() - start)
        finally:
            process.kill()
            process.wait()
    times.sort()
    return times[count // 2] / 1000, times[count * 99 // 100] / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000, help="round trips for each line (%(default)s)")
    count = max(1, parser.parse_args().count)
    print("benchmarks/ doesn't exist yet; it will hold throughput, asyncio and trio, and comparisons. Until then:\n")
    print(f"REQ/REP round trips, two Python processes, NNG {nng_version()}, {os.cpu_count()} CPUs, {count:,} each\n")
    print(f"{'transport':<12}{'bytes':>8}{'median':>12}{'99 %':>12}")
    with tempfile.TemporaryDirectory() as folder:
        for url in (f"ipc://{folder}/latency", "tcp://127.0.0.1:0"):
            for size in SIZES:
                median, slow = measure(url, size, count)
                print(f"{url.partition(':')[0]:<12}{size:>8,}{median:>9,.0f} µs{slow:>9,.0f} µs")


if __name__ == "__main__":
    main()
