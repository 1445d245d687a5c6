"""Scenarios with calls that wait: the sides are two threads, or two processes. One PUB and its SUBs share a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from benchmarks.libraries import oneway_loops
from benchmarks.meter import Meter
from benchmarks.scenarios.side import Job, start_peer

BURST = 8
SETTLE_SECONDS = 0.3
"""What a PUB is given to get to know its SUBs."""


def roundtrip(library: Any, job: Job) -> dict[str, Any]:
    """One request at a time, each of them timed."""
    if job.peer:
        rep = library.open_socket("rep", job.dialing())
        answer_for_ever(*library.calls(rep, job.verbs, False))
    req = library.open_socket("req", job.listening())
    if job.placement == "processes":
        start_peer(job)
    else:
        rep = library.open_socket("rep", job.dialing())
        threading.Thread(target=answer_for_ever, args=library.calls(rep, job.verbs, False), daemon=True).start()
    send, recv = library.calls(req, job.verbs, False)
    payload, meter, times = job.payload, Meter(job.seconds), []
    for count in meter:
        times = []
        meter.start()
        for _ in range(count):
            start = perf_counter_ns()
            send(payload)
            recv()
            times.append(perf_counter_ns() - start)
        meter.stop()
    return meter.times(times)


def answer_for_ever(send: Callable[[Any], object], recv: Callable[[], Any]) -> None:
    while True:
        send(recv())


def oneway(library: Any, job: Job, sends: str, receives: str) -> dict[str, Any]:
    """One side sends as fast as it is let, the other receives."""
    if job.peer:
        send, _ = library.calls(library.open_socket(sends, job.dialing()), "one", False)
        payload = job.payload
        while True:
            send(payload)
    receiver = library.open_socket(receives, job.listening())
    sender = None
    if job.placement == "processes":
        start_peer(job)
    else:
        sender = library.open_socket(sends, job.dialing())
    send_all, receive_all = oneway_loops(library, job.verbs, False) or (
        send_each(library, job.verbs),
        receive_each(library, job.verbs),
    )
    payload, meter = job.payload, Meter(job.seconds)
    for count in meter:
        meter.start()
        if sender is None:
            receive_all(receiver, count)
        else:
            thread = threading.Thread(target=receive_all, args=(receiver, count))
            thread.start()
            send_all(sender, payload, count)
            thread.join()
        meter.stop()
    return meter.rate()


def send_each(library: Any, verbs: str) -> Callable[[Any, bytes, int], None]:
    def send_all(socket: Any, payload: bytes, count: int) -> None:
        send, _ = library.calls(socket, verbs, False)
        for _ in range(count):
            send(payload)

    return send_all


def receive_each(library: Any, verbs: str) -> Callable[[Any, int], None]:
    def receive_all(socket: Any, count: int) -> None:
        _, recv = library.calls(socket, verbs, False)
        for _ in range(count):
            recv()

    return receive_all


def pubsub(library: Any, job: Job) -> dict[str, Any]:
    """Bursts that fill no queue, each of which every SUB has received before the next begins."""
    pub = library.open_socket("pub", job.listening())
    subs = [library.open_socket("sub", job.dialing()) for _ in range(job.count)]
    time.sleep(SETTLE_SECONDS)
    send = library.calls(pub, job.verbs, False)[0]
    receives = [library.calls(sub, job.verbs, False)[1] for sub in subs]
    payload, meter = job.payload, Meter(job.seconds, BURST)
    for count in meter:
        meter.start()
        for _ in range(count // BURST):
            for _ in range(BURST):
                send(payload)
            for recv in receives:
                for _ in range(BURST):
                    recv()
        meter.stop()
    return meter.rate(job.count)
