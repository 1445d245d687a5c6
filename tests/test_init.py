"""What can be set before NNG starts: its threads."""

import os

import programs
import pytest

import nngio
from nngio.lowlevel import nng_version

OLD = tuple(int(part) for part in nng_version().split(".")[:2]) < (1, 7)

COUNT = """
import os, sys, time
import nngio
def names():
    return [open(f"/proc/self/task/{thread}/comm").read() for thread in os.listdir("/proc/self/task")]
def count(kind):
    while names().count(open("/proc/self/comm").read()) > 1:
        time.sleep(0.001)  # a thread of NNG's names itself when it runs
    return sum(kind in name for name in names())
"""


def program_prints(text: str) -> str:
    """Run a program that counts threads, and return what it prints."""
    return programs.run(COUNT + text + "\nmain_ends()").check(out=None).printed.strip()


@pytest.mark.parametrize("cores", sorted({1, len(os.sched_getaffinity(0))}))
def test_there_is_a_task_thread_for_each_core_and_two_at_least(cores: int) -> None:
    """The cores that the process may use, not those that the machine has."""
    some = sorted(os.sched_getaffinity(0))[:cores]
    started = program_prints(f"os.sched_setaffinity(0, {some}); nngio.Pair0().close(); print(count('nng:task'))")
    assert started == str(min(max(cores, 2), 16))


def test_importing_starts_no_thread() -> None:
    """So that there is time to call `init`."""
    assert program_prints("print(len(os.listdir('/proc/self/task')))") == "1"


@pytest.mark.parametrize("number", [2, 5, 20])
def test_as_many_task_threads_start_as_are_asked_for(number: int) -> None:
    """Also where NNG itself would have a limit; what is asked for last counts."""
    assert program_prints(f"""
nngio.init(num_task_threads=3)
nngio.init(num_task_threads={number})
with nngio.Pair0(listen="inproc://x") as a, nngio.Pair0(dial="inproc://x") as b:
    a.send(b"hello")
    assert b.recv(timeout=10) == b"hello"
    print(count("nng:task"))
""") == str(number)


def test_threads_for_timeouts_can_be_chosen_too() -> None:
    """As many as are asked for, and the default of task threads stays."""
    assert program_prints("nngio.init(num_expire_threads=5); nngio.Pair0().close(); print(count('nng:aio:expi'))") == "5"


@pytest.mark.parametrize("kind", ["num_poller_threads", "num_resolver_threads"])
def test_other_threads_can_be_chosen_where_nng_can(kind: str) -> None:
    """NNG before 1.7 can't, and the error says so."""
    text = f"nngio.init({kind}=1); nngio.Pair0().close(); print('started')"
    if OLD:
        text = f"try: nngio.init({kind}=1)\nexcept nngio.NotSupported as e: print('1.7.0' in str(e))"
        assert program_prints(text) == "True"
    else:
        assert program_prints(text) == "started"


def test_nothing_can_be_set_once_nng_has_started() -> None:
    """The error says what to do."""
    nngio.Message(b"")
    nngio.Pair0().close()
    with pytest.raises(nngio.BadState, match="before the first socket"):
        nngio.init(num_task_threads=2)


@pytest.mark.parametrize("number", [-1, 0, 1, 257, 2**64])
def test_what_can_not_be_is_refused(number: int) -> None:
    """A single task thread would wait for itself."""
    with pytest.raises(nngio.InvalidArgument, match=f"2 to 256; got {number}"):
        nngio.init(num_task_threads=number)


def test_a_number_is_a_number() -> None:
    """And nothing that only looks like one."""
    with pytest.raises(TypeError, match="num_expire_threads is a whole number, not str"):
        nngio.init(num_expire_threads="2")  # type: ignore[arg-type]  # on purpose


def test_init_without_arguments_does_nothing() -> None:
    """At any time."""
    nngio.init()
