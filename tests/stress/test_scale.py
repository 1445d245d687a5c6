"""Ten thousand contexts that wait on one loop: what each costs while nothing comes, and how they end.

Measured in a process of its own, by the operating system's figures. Resident memory is that of everything: contexts, tasks,
coroutines, operations, NNG's own structures, and the lists that the program keeps them in.
"""

import functools
import json
from typing import TypedDict

import programs
import pytest

CONTEXTS = 10_000
BYTES_EACH = 4096
NNG_BUFFER = 1024
"""NNG gives each context of a SUB a buffer for 128 messages. It has nothing to do with waiting."""
IDLE_SECONDS = 1.5
END_SECONDS = 1.0
ATTEMPTS = 3
"""How often the end is tried, on a machine that may be busy with something else: one has to be in time."""

LIBRARIES = ["asyncio", "uvloop", "trio"]
PROTOCOLS = {"rep": BYTES_EACH, "respondent": BYTES_EACH, "sub": BYTES_EACH + NNG_BUFFER}

pytestmark = pytest.mark.timeout(90)

PROGRAM = """
import gc, json, resource, sys, time
from collections import Counter
from pathlib import Path
import nngio

library, protocol = sys.argv[1:3]
contexts, attempts, idle_seconds = int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
SOCKETS = {"rep": nngio.Rep0, "respondent": nngio.Respondent0, "sub": nngio.Sub0}
report = {"end_seconds": [], "outcomes": []}

def memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def threads():
    return len(list(Path("/proc/self/task").iterdir()))

def usage():
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime, now.ru_nvcsw

async def settle(sleep):
    # Until all of them wait, which shows in that nothing happens any more.
    busy = 1
    while busy > 0.001:
        before = usage()[0]
        await sleep(0.1)
        busy = usage()[0] - before

async def idle(sleep):
    before = usage()
    await sleep(idle_seconds)
    after = usage()
    report["idle_processor_seconds"] = after[0] - before[0]
    report["idle_wakeups"] = after[1] - before[1]

async def attempt(start, sleep, finish, count, measured):
    outcomes = Counter()
    async def wait(context):
        try:
            await context.arecv()
            outcomes["a message"] += 1
        except BaseException as error:
            outcomes[type(error).__name__] += 1
            if not isinstance(error, Exception):
                raise
    async with SOCKETS[protocol](listen=f"inproc://{count}-{len(report['outcomes'])}") as socket:
        gc.collect()
        before = memory()
        made = [socket.context() for _ in range(count)]
        tasks = [start(wait, context) for context in made]
        await settle(sleep)
        if measured and "bytes_each" not in report:
            gc.collect()
            report["bytes_each"] = (memory() - before) / count
            report["threads"] = threads()
            await idle(sleep)
        started = time.monotonic()
        await socket.aclose()
        await finish(tasks)
        if measured:
            report["end_seconds"].append(time.monotonic() - started)
            report["outcomes"].append(outcomes)

async def main(start, sleep, finish):
    await attempt(start, sleep, finish, 100, False)
    while len(report["outcomes"]) < attempts and not any(seconds < 1 for seconds in report["end_seconds"]):
        await attempt(start, sleep, finish, contexts, True)

if library == "trio":
    import trio
    async def run():
        async with trio.open_nursery() as nursery:
            async def finish(_tasks):
                while len(nursery.child_tasks) > 0:
                    await trio.sleep(0.001)
            await main(nursery.start_soon, trio.sleep, finish)
    trio.run(run)
else:
    import asyncio
    async def run():
        async def finish(tasks):
            await asyncio.wait(tasks)
        await main(lambda function, argument: asyncio.create_task(function(argument)), asyncio.sleep, finish)
    if library == "uvloop":
        import uvloop
        uvloop.run(run())
    else:
        asyncio.run(run())
print(json.dumps(report))
"""


class Report(TypedDict):
    """What the program measured."""

    bytes_each: float
    threads: int
    idle_processor_seconds: float
    idle_wakeups: int
    end_seconds: list[float]
    outcomes: list[dict[str, int]]


@functools.cache
def measure(library: str, protocol: str) -> Report:
    arguments = (library, protocol, str(CONTEXTS), str(ATTEMPTS), str(IDLE_SECONDS if protocol == "rep" else 0))
    report: Report = json.loads(programs.run(PROGRAM, *arguments, timeout=60).check(out=None).out)
    return report


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_waiting_context_costs_less_than_four_kilobytes(library: str, protocol: str) -> None:
    """In all: the context, its task, its operation, and what NNG has of them; NNG's own buffers for messages come on top."""
    assert measure(library, protocol)["bytes_each"] < PROTOCOLS[protocol]


@pytest.mark.parametrize("library", LIBRARIES)
def test_waiting_contexts_cost_no_processor_time(library: str) -> None:
    """For as long as nothing comes, nobody wakes up: not the loop, and no thread of the library's."""
    report = measure(library, "rep")
    assert report["idle_processor_seconds"] < 0.002
    assert report["idle_wakeups"] < 20


@pytest.mark.parametrize("library", LIBRARIES)
def test_closing_the_socket_ends_ten_thousand_receives_within_a_second(library: str) -> None:
    """From the call of `aclose` until the last of the tasks has ended."""
    assert min(measure(library, "rep")["end_seconds"]) < END_SECONDS


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_each_of_ten_thousand_receives_ends_with_closed(library: str, protocol: str) -> None:
    """Every one, and with nothing else."""
    for outcomes in measure(library, protocol)["outcomes"]:
        assert outcomes == {"Closed": CONTEXTS}


@pytest.mark.parametrize("library", LIBRARIES)
def test_waiting_takes_no_threads(library: str) -> None:
    """There are as many as without a single context: NNG's own, and the loop's."""
    assert measure(library, "rep")["threads"] < 32
