"""Scenarios with calls that are awaited: in one loop, on two threads with a loop each, or in two processes.

A scenario gives its figures to `report`, from within the loop, which ends the process: how a library stops is not measured.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter_ns
from typing import Any

from benchmarks.libraries import oneway_loops
from benchmarks.meter import Meter
from benchmarks.scenarios.loops import Loop, Main, loop_for
from benchmarks.scenarios.side import Job, start_peer
from benchmarks.scenarios.sync import BURST, SETTLE_SECONDS

Report = Callable[[dict[str, Any]], None]


def roundtrip(library: Any, job: Job, report: Report) -> None:
    """One request at a time, each of them timed."""
    loop = loop_for(job.mode)
    exchange = library.EXCHANGES.get(job.verbs)

    def server() -> Main:
        rep = library.open_socket("rep", job.dialing())
        if exchange:
            return partial(exchange[1], rep)
        return partial(answer_for_ever, *library.calls(rep, job.verbs, True))

    async def client() -> None:
        payload, meter, times = job.payload, Meter(job.seconds), []
        send, recv = library.calls(req, job.verbs, True)
        for count in meter:
            times = []
            meter.start()
            if exchange:
                ask = exchange[0]
                for _ in range(count):
                    start = perf_counter_ns()
                    await ask(req, payload)
                    times.append(perf_counter_ns() - start)
            else:
                for _ in range(count):
                    start = perf_counter_ns()
                    await send(payload)
                    await recv()
                    times.append(perf_counter_ns() - start)
            meter.stop()
        report(meter.times(times))

    if job.peer:
        loop.run(server())
    req = library.open_socket("req", job.listening())
    match job.placement:
        case "loop":
            loop.run(lambda: loop.beside([server()], client))
        case "threads":
            threading.Thread(target=loop_for(job.mode).run, args=(server(),), daemon=True).start()
            loop.run(client)
        case "processes":
            start_peer(job)
            loop.run(client)


async def answer_for_ever(send: Callable[[Any], Awaitable[object]], recv: Callable[[], Awaitable[Any]]) -> None:
    while True:
        await send(await recv())


def oneway(library: Any, job: Job, sends: str, receives: str, report: Report) -> None:
    """One side sends as fast as it is let, the other receives."""
    loop = loop_for(job.mode)
    receiver = library.open_socket(receives, job.listening())
    sender = None
    if job.placement == "processes":
        start_peer(job)
    else:
        sender = library.open_socket(sends, job.dialing())
    send_all, receive_all = oneway_loops(library, job.verbs, True) or (
        send_each(library, job.verbs),
        receive_each(library, job.verbs),
    )
    payload = job.payload
    phases: queue.SimpleQueue[int] = queue.SimpleQueue()
    received: queue.SimpleQueue[None] = queue.SimpleQueue()

    async def receiving_thread() -> None:
        while True:
            await receive_all(receiver, phases.get())
            received.put(None)

    async def phase(count: int) -> None:
        if job.placement == "loop":
            await loop.together([partial(receive_all, receiver, count)], partial(send_all, sender, payload, count))
        elif job.placement == "threads":
            phases.put(count)
            await send_all(sender, payload, count)
            received.get()
        else:
            await receive_all(receiver, count)

    async def main() -> None:
        meter = Meter(job.seconds)
        for count in meter:
            meter.start()
            await phase(count)
            meter.stop()
        report(meter.rate())

    if job.placement == "threads":
        threading.Thread(target=loop_for(job.mode).run, args=(receiving_thread,), daemon=True).start()
    loop.run(main)


def send_each(library: Any, verbs: str) -> Callable[[Any, bytes, int], Awaitable[None]]:
    async def send_all(socket: Any, payload: bytes, count: int) -> None:
        send, _ = library.calls(socket, verbs, True)
        for _ in range(count):
            await send(payload)

    return send_all


def receive_each(library: Any, verbs: str) -> Callable[[Any, int], Awaitable[None]]:
    async def receive_all(socket: Any, count: int) -> None:
        _, recv = library.calls(socket, verbs, True)
        for _ in range(count):
            await recv()

    return receive_all


def contexts(library: Any, job: Job, report: Report) -> None:
    """Many requests at once over one REQ and one REP socket, in one loop: a task and a context for each, on both sides."""
    loop = loop_for(job.mode)
    rep = library.open_socket("rep", job.listening())
    req = library.open_socket("req", job.dialing())
    payload = job.payload

    async def ask(send: Any, recv: Any, count: int) -> None:
        for _ in range(count):
            await send(payload)
            await recv()

    async def main() -> None:
        clients = [library.calls(library.open_context(req), job.verbs, True) for _ in range(job.count)]
        meter = Meter(job.seconds, job.count)
        for count in meter:
            meter.start()
            first, *others = [partial(ask, send, recv, count // job.count) for send, recv in clients]
            await loop.together(others, first)
            meter.stop()
        report(meter.rate())

    async def start() -> None:
        servers = [library.calls(library.open_context(rep), job.verbs, True) for _ in range(job.count)]
        await loop.beside([partial(answer_for_ever, *calls) for calls in servers], main)

    loop.run(start)


def pubsub(library: Any, job: Job, report: Report) -> None:
    """Bursts that fill no queue, each of which every SUB, a task each, has received before the next begins."""
    loop: Loop = loop_for(job.mode)
    pub = library.open_socket("pub", job.listening())
    subs = [library.open_socket("sub", job.dialing()) for _ in range(job.count)]
    send = library.calls(pub, job.verbs, True)[0]
    receives = [library.calls(sub, job.verbs, True)[1] for sub in subs]
    payload = job.payload
    left, delivered = 0, loop.event()

    async def receive(recv: Any, count: int) -> None:
        nonlocal left
        for _ in range(count):
            await recv()
            left -= 1
            if left == 0:
                delivered.set()

    async def publish(count: int) -> None:
        nonlocal left, delivered
        for _ in range(count // BURST):
            left, delivered = BURST * job.count, loop.event()
            for _ in range(BURST):
                await send(payload)
            await delivered.wait()

    async def main() -> None:
        meter = Meter(job.seconds, BURST)
        for count in meter:
            meter.start()
            await loop.together([partial(receive, recv, count) for recv in receives], partial(publish, count))
            meter.stop()
        report(meter.rate(job.count))

    time.sleep(SETTLE_SECONDS)
    loop.run(main)
