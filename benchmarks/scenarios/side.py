"""The other side of a case whose sides are processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.libraries import Wants

BUFFER = 128
"""Messages that a PAIR may hold on each side."""


@dataclass(frozen=True)
class Job:
    """One case for one library, as the worker gets it."""

    library: str
    verbs: str
    scenario: str
    mode: str
    placement: str
    transport: str
    size: int
    count: int
    url: str
    seconds: float
    tls: str
    program: str  # the C program
    peer: bool = False  # this process is the other side

    @property
    def asynchronous(self) -> bool:
        return self.mode != "sync"

    @property
    def payload(self) -> bytes:
        return b"x" * self.size

    def listening(self) -> Wants:
        """For the socket that listens; the one that receives."""
        prefetch = BUFFER if self.verbs == "prefetch" else 0
        return Wants(self.asynchronous, listen=self.url, tls=self.tls, buffer=self._buffer(), prefetch=prefetch)

    def dialing(self) -> Wants:
        """For the socket that dials."""
        return Wants(self.asynchronous, dial=self.url, tls=self.tls, buffer=self._buffer())

    def _buffer(self) -> int:
        return BUFFER if self.scenario == "pair" else 0


def start_peer(job: Job) -> None:
    """Start the process that dials `job.url`: the same library, on the same loop.

    A one-way sender is the C program, so that all bindings receive from the same; only ZeroMQ's is pyzmq, and that of nngio's `own` is
    nngio, both with calls that wait. It needn't be stopped: the runner kills the whole group of processes.
    """
    kinds = {"pushpull": "push", "pair": "pair"}
    if job.scenario in kinds and job.library != "pyzmq" and job.verbs != "own":
        sender = [job.program, f"send-{kinds[job.scenario]}", "-", job.url, str(job.size), "0", "0", job.tls]
        subprocess.Popen(sender, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return
    mode = "sync" if job.scenario in kinds else job.mode
    other = replace(job, peer=True, mode=mode, verbs=job.verbs if job.scenario == "roundtrip" else "one")
    command = [sys.executable, "-m", "benchmarks.worker", json.dumps(other.__dict__)]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path and Path(path).is_dir())}
    subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environ)
