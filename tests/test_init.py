"""What can be set before NNG starts: its threads; and at any time, how those that wait do so."""

import os
import time

import programs
import pytest

import nngio
from nngio._core.nng import patched as is_patched
from nngio.lowlevel import ffi, lib, nng_version

OLD = tuple(int(part) for part in nng_version().split(".")[:2]) < (1, 7)

COUNT = """
import os, sys, time
import nngio
def threads(file="comm"):
    for thread in os.listdir("/proc/self/task"):
        try:
            yield open(f"/proc/self/task/{thread}/comm").read(), open(f"/proc/self/task/{thread}/{file}").read()
        except OSError:
            pass  # it has just ended
def names():
    return [name for name, _ in threads()]
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


CONVERSATIONS = """
import asyncio, threading, nngio
nngio.init(spin={spin})

async def answer(rep):
    for _ in range(300):
        await rep.asend(await rep.arecv())

async def ask(req):
    for i in range(300):
        await req.asend(b"%d" % i)
        assert await req.arecv() == b"%d" % i

async def on_asyncio(rep, req):
    await asyncio.gather(answer(rep), ask(req))

async def on_trio(rep, req):
    import trio
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, rep)
        nursery.start_soon(ask, req)

def in_threads(rep, req):
    def serve():
        for _ in range(300):
            rep.send(rep.recv())
    thread = threading.Thread(target=serve)
    thread.start()
    for i in range(300):
        req.send(b"%d" % i)
        assert req.recv() == b"%d" % i
    thread.join()

with nngio.Rep0(listen="{url}") as rep, nngio.Req0(dial=rep.listeners[0].url) as req:
    {talk}
print("done")
"""


@pytest.mark.parametrize("spin", [0, 0.0001, 0.01])
@pytest.mark.parametrize("url", ["inproc://x", "tcp://127.0.0.1:0"])
@pytest.mark.parametrize(
    "talk",
    ["in_threads(rep, req)", "asyncio.run(on_asyncio(rep, req))", "import trio; trio.run(on_trio, rep, req)"],
    ids=["threads", "asyncio", "trio"],
)
def test_messages_come_whether_those_who_wait_look_or_sleep(spin: float, url: str, talk: str) -> None:
    """Not at all, for the usual moment, and for longer than any message takes."""
    assert program_prints(CONVERSATIONS.format(spin=spin, url=url, talk=talk)) == "done"


def test_how_long_to_look_can_be_set_at_any_time() -> None:
    """Unlike the threads, of which it says nothing."""
    before = lib.nngio_spin_get()
    nngio.Pair0().close()
    try:
        for seconds, nanoseconds in ((0, 0), (0.000_02, 20_000), (0.01, 10_000_000)):
            nngio.init(spin=seconds)
            assert lib.nngio_spin_get() == nanoseconds
    finally:
        nngio.init(spin=before / 1e9)


@pytest.mark.parametrize("seconds", [-0.001, 0.02, float("nan"), float("inf")])
def test_a_look_is_short(seconds: float) -> None:
    """The error names what may be; nothing has changed."""
    before = lib.nngio_spin_get()
    with pytest.raises(nngio.InvalidArgument, match=r"spin is 0 to 0\.01 seconds"):
        nngio.init(spin=seconds)
    assert lib.nngio_spin_get() == before


@pytest.mark.parametrize("wrong", ["0.1", True])
def test_a_look_is_a_number_of_seconds(wrong: object) -> None:
    """As all durations are."""
    with pytest.raises(TypeError, match="number of seconds"):
        nngio.init(spin=wrong)  # type: ignore[arg-type]  # on purpose


def seconds_of_seldom_messages(spin: float) -> tuple[float, float]:
    """For 499 messages of which each is longer away than the loop looks: of the processor, on the loop's thread, and in all."""
    spent, passed = program_prints(f"""
import asyncio, threading
nngio.init(spin={spin})

async def main():
    with nngio.Pair0(listen="inproc://x") as a, nngio.Pair0(dial="inproc://x") as b:
        def send():
            for _ in range(500):
                a.send(b"")
                time.sleep(0.0025)  # how seldom they come is what is tested
        thread = threading.Thread(target=send)
        thread.start()
        await b.arecv()
        begun, began = time.thread_time(), time.monotonic()
        for _ in range(499):
            await b.arecv()
        print(time.thread_time() - begun, time.monotonic() - began)
        thread.join()

asyncio.run(main())
""").split()
    return float(spent), float(passed)


def test_a_loop_whose_messages_are_seldom_sleeps() -> None:
    """It has looked in vain often enough soon: what that takes is bounded, however long it goes on."""
    without, _ = seconds_of_seldom_messages(0)
    spent, passed = seconds_of_seldom_messages(0.002)
    epochs = passed / 0.1 + 1  # in each it looks for 17 messages, and sleeps while the others come
    assert spent - without < epochs * 17 * 0.002 * 1.3  # were it not so, it would be twice as much


patched = pytest.mark.skipif(
    b" + " not in ffi.string(lib.nngio_build_nng_source) or nng_version() != "1.5.2", reason="this NNG wakes it for each request"
)


@patched
def test_a_request_does_not_wake_the_thread_of_timers() -> None:
    """It sleeps until the first request would be sent again, and sees the others then."""
    wakes = program_prints("""
def wakes():
    for name, status in threads("status"):
        if "timer" in name:
            return int(status.split("voluntary_ctxt_switches:")[1].split()[0])

with nngio.Rep0(listen="inproc://x") as rep, nngio.Req0(dial="inproc://x") as req:
    names()
    for i in range(1100):
        if i == 100:
            before = wakes()
        req.send(b"")
        rep.send(rep.recv())
        req.recv()
    print(wakes() - before)
""")
    assert int(wakes) < 100


# How often NNG's threads of that name ran, and how many seconds it took.
THREADS_RAN = """
def ran(name):
    return sum(int(schedstat.split()[2]) for thread, schedstat in threads("schedstat") if name in thread)

async def go(name, scheme):
    with nngio.Rep0(listen=scheme) as rep, nngio.Req0(dial=rep.listeners[0].url) as req:
        for i in range(1100):
            if i == 100:
                before, began = ran(name), time.monotonic()
            await req.asend(b"")
            await rep.asend(await rep.arecv())
            await req.arecv()
        print(ran(name) - before, time.monotonic() - began)
"""


def ran_in_a_loop(loop: str, name: str, url: str) -> tuple[int, float]:
    """How often they ran for 1,000 round trips between two sockets of one loop, and the seconds that those took."""
    begun = f"run(go({name!r}, {url!r}))" if loop == "asyncio" else f"run(go, {name!r}, {url!r})"
    ran, seconds = program_prints(f"{THREADS_RAN}import {loop}, time; {loop}.{begun}").split()
    return int(ran), float(seconds)


@pytest.mark.skipif(not is_patched("work-at-once"), reason="this NNG wakes a thread for each step of a message")
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("url", ["inproc://x", "tcp://127.0.0.1:0"])
def test_a_loop_s_messages_wake_no_task_thread(loop: str, url: str) -> None:
    """What the loop's calls lead to is done by its own thread, and what comes from a connection by the one that reads from it."""
    ran, _ = ran_in_a_loop(loop, "task", url)
    assert ran < 200


@pytest.mark.skipif(not is_patched("work-at-once"), reason="this NNG wakes a thread for each message that comes")
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_loop_that_reads_its_messages_itself_does_not_wake_the_thread_that_would(loop: str) -> None:
    """It rests meanwhile, a millisecond at a time. One of several attempts, since others may use the cores.

    A loop whose round trips take more than 200 microseconds, as they do with sanitizers, may look too seldom to let it rest.
    """
    attempts = (ran_in_a_loop(loop, "poll", "tcp://127.0.0.1:0") for _ in range(10))
    assert any(ran < 800 or seconds > 0.2 for ran, seconds in attempts)


def test_a_request_is_sent_again_in_time_whichever_timer_was_set_first() -> None:
    """Timers for later, for sooner, and again for later, with those before them ended."""
    with nngio.Rep0(listen="inproc://timers") as rep, nngio.Req0(dial="inproc://timers") as req, rep.context() as server:
        for resend in (30, 0.05, 20, 0.03, 40, 0.02):
            with req.context() as client:
                client.resend_time = resend
                client.send(b"%f" % resend)
                assert server.recv(timeout=10) == b"%f" % resend
                if resend < 1:
                    begun = time.monotonic()
                    server.recv(timeout=10)  # the one before is dropped: its peer asks again
                    assert time.monotonic() - begun >= resend * 0.5
                server.send(b"")
                client.recv(timeout=10)


def test_threads_may_be_the_first_to_use_a_type_while_the_garbage_collector_runs() -> None:
    """All at once, and the collector lets others run in the middle of it, as it does where it frees a socket."""
    programs.run("""
import gc, threading
import nngio

def let_others_run(phase, info):
    if phase == "start" and threading.current_thread() is not threading.main_thread():
        time.sleep(0.001)

def use():
    together.wait()
    assert listener.local_address.port == listener.port

with nngio.StreamListener("tcp://127.0.0.1:0") as listener:
    together = threading.Barrier(4)
    threads = [threading.Thread(target=use) for _ in range(4)]
    gc.callbacks.append(let_others_run)
    gc.set_threshold(1)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
main_ends()
""").check(out=None)
