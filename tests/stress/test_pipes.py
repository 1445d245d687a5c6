"""Peers by the thousand: each event once and in order, each rule as written and counted, and handlers that close things."""

import asyncio
import contextlib
import gc
import itertools
import os
import random
import signal
import socket as sockets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from loops import TRIO, UVLOOP, AsyncioLoop, Loop, Tasks
from programs import FORKS, run

import nngio
from nngio import Admission, Bus0, Closed, PipeEvent

PEERS = 5_000
THREADS = 4
SECONDS = 60
BUS = b"\0SP\0\0\x70\0\0"
"""What each side of a BUS says first."""

pytestmark = pytest.mark.timeout(300)


def check_order(events: list[PipeEvent], pipes: int | None = None) -> int:
    """Each pipe is connected once, and then disconnected once; returns how many there were."""
    connected: set[int] = set()
    seen: set[int] = set()
    for event in events:
        number = event.info.id
        if event.connected:
            assert number not in seen
            seen.add(number)
            connected.add(number)
        else:
            connected.remove(number)
    assert not connected
    assert pipes is None or len(seen) == pipes
    return len(seen)


def come_and_go(url: str, times: int) -> None:
    for _ in range(times):
        Bus0(dial=url).close()


@contextlib.contextmanager
def peers_of(url: str, times: int) -> Iterator[None]:
    """So many come and go, in several threads; waits for the last of them."""
    threads = [threading.Thread(target=come_and_go, args=(url, times // THREADS)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("transport", ["inproc", "ipc", "tcp"])
def test_five_thousand_peers_come_and_go_and_each_is_told_of_once_and_in_order(transport: str, address: Callable[[str], str]) -> None:
    """To a handler, to an iterator in a thread, and to one that reads when all is over."""
    told: list[PipeEvent] = []
    read: list[PipeEvent] = []
    with Bus0(listen=address(transport)) as server:
        handler = server.on_pipe(told.append)
        events, late = server.pipe_events(), server.pipe_events(limit=1_000_000)
        reader = threading.Thread(target=lambda: read.extend(events))
        reader.start()
        with peers_of(server.listeners[0].url, PEERS):
            pass
    reader.join()
    deadline = time.monotonic() + SECONDS
    while not handler.closed:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for events_told in (told, read, list(late)):
        check_order(events_told, PEERS)
    assert events.skipped == late.skipped == 0


@pytest.mark.parametrize("loop", [AsyncioLoop("asyncio", asyncio.new_event_loop), UVLOOP, TRIO], ids=repr)
def test_an_async_for_is_told_of_five_thousand_peers(loop: Loop, address: Callable[[str], str]) -> None:
    """While tasks that wait for an event are cancelled all the time, none is lost, and none told twice."""
    told: list[PipeEvent] = []

    async def main(tasks: Tasks) -> None:
        with Bus0(listen=address("inproc")) as server, server.pipe_events(limit=1_000_000) as events:

            async def read() -> None:
                told.append(await events.aget())

            with peers_of(server.listeners[0].url, PEERS):
                dice = random.Random(3)
                while len(told) < 2 * PEERS:
                    task = tasks.start(read)
                    for _ in range(dice.randrange(3)):
                        await loop.sleep(0)
                    if dice.randrange(2):
                        task.cancel()
                    await task.wait()

    loop.run(main)
    check_order(told, PEERS)


def test_signals_that_raise_lose_no_event(address: Callable[[str], str]) -> None:
    """A timer interrupts the main thread thousands of times, in and out of `get`; each event is still told exactly once."""

    class Interrupt(Exception):
        pass

    armed = False

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if armed:
            raise Interrupt

    told: list[PipeEvent] = []
    interrupted = 0
    before = signal.signal(signal.SIGALRM, interrupt)
    gc.disable()  # what is raised in a finalizer interrupts nobody, and is complained of
    try:
        with Bus0(listen=address("inproc")) as server, server.pipe_events(limit=1_000_000) as events:
            iterator = iter(events)
            with peers_of(server.listeners[0].url, PEERS):
                signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
                while len(told) < 2 * PEERS:
                    event = None
                    try:
                        armed = True
                        for event in iterator:  # noqa: B007
                            break
                        armed = False
                    except Interrupt:
                        interrupted += 1
                        armed = False
                    if event is not None:
                        told.append(event)
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()
    check_order(told, PEERS)
    assert interrupted > 10


# Admission.


def shake_hands(url: str, source: str | None = None) -> sockets.socket:
    """A connection like a BUS's, maybe from an address of the loopback, when the server has said what it is."""
    host, _, port = url.partition("://")[2].rpartition(":")
    connection = sockets.create_connection((host.strip("[]"), int(port)), timeout=SECONDS, source_address=source and (source, 0))
    connection.sendall(BUS)
    hello = b""
    while len(hello) < len(BUS):
        hello += connection.recv(len(BUS) - len(hello))
    assert hello == BUS
    return connection


def test_each_of_many_connections_is_judged_as_written_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """As fast as they come: those of one network are admitted, those of others refused, each by its own rule."""
    each = 2500
    rules = Admission(allow=["127.1.0.0/16", "127.2.0.0/16"], deny=["127.2.0.0/17"])
    told: list[PipeEvent] = []
    with Bus0(listen="tcp://127.0.0.1:0", admission=rules) as server:
        url = server.listeners[0].url
        events = server.pipe_events(limit=1_000_000)
        began = time.monotonic()

        def connect(network: int) -> None:
            for number in range(each):
                # 127.1.x.x is allowed, 127.2.0.0/17 denied, 127.2.128.0/17 allowed, 127.3.x.x not.
                source = f"127.{min(network, 3) if network < 4 else 2}.{(128 if network == 4 else 0) + number % 100}.{1 + number % 250}"
                with shake_hands(url, source) as connection:
                    if network in (2, 3):
                        assert connection.recv(1) == b""

        threads = [threading.Thread(target=connect, args=(network,)) for network in (1, 2, 3, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began
        while rules.counters.admitted < 2 * each:
            assert time.monotonic() < began + SECONDS * 4
            time.sleep(0.01)
        assert rules.counters == (2 * each, {"127.2.0.0/17": each}, each, 0)
        while server.pipes:
            time.sleep(0.01)
    told.extend(events)
    check_order(told, 2 * each)
    for event in told:
        address: Any = event.info.remote_address
        assert address.host.startswith("127.1.") or (address.host.startswith("127.2.") and int(address.host.split(".")[2]) >= 128)
    with capsys.disabled():
        print(f" {4 * each / seconds:.0f} connections per second ", end="")
    assert 4 * each / seconds >= 500 or "NNGIO_SANITIZED" in os.environ


FAMILIES = {
    "IPv4": ("tcp4://127.0.0.1:0", "127.0.0.1", "127.0.0.0/30"),
    "IPv6": ("tcp6://[::1]:0", "::1", "::/127"),
    "IPv4 as IPv6": ("tcp6://[::]:0", "127.0.0.1", "127.0.0.0/30"),
}
"""Where it listens, where they connect, and a network that they are in."""


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("admitted", [True, False], ids=["admitted", "refused"])
def test_connections_are_judged_as_fast_as_they_come(family: str, admitted: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand a second on a machine that has nothing else to do; here at least half as many."""
    each = 1000
    listen, host, network = FAMILIES[family]
    others = ["10.0.0.0/8", "fe80::/10", "2001:db8::/32", "192.168.0.0/16"]
    admission = Admission(allow=[*others, network] if admitted else others)
    try:
        server = Bus0(listen=listen, admission=admission)
    except nngio.NNGError as error:
        pytest.skip(f"this machine has no {listen}: {error}")
    with server:
        url = f"tcp://{host}:{server.listeners[0].port}"

        def connect() -> None:
            for _ in range(each):
                with shake_hands(url) as connection:
                    if not admitted:
                        assert connection.recv(1) == b""

        threads = [threading.Thread(target=connect) for _ in range(THREADS)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        while admission.counters.admitted + admission.counters.refused < THREADS * each:
            assert time.monotonic() < began + SECONDS
            time.sleep(0.001)
        rate = THREADS * each / (time.monotonic() - began)
        counters = admission.counters
        assert (counters.admitted, counters.refused) == ((THREADS * each, 0) if admitted else (0, THREADS * each))
        while server.pipes:
            assert time.monotonic() < began + SECONDS
            time.sleep(0.001)
    with capsys.disabled():
        print(f" {rate:.0f} connections per second ", end="")
    assert rate >= 500 or "NNGIO_SANITIZED" in os.environ


def test_a_limit_holds_exactly_while_many_come_and_go() -> None:
    """Never more than there may be; every place is used again; who was let in and who wasn't adds up."""
    limit, each = 5, 1500
    rules = Admission(max_peers=limit)
    attempts = itertools.count()
    with Bus0(listen="tcp://127.0.0.1:0", admission=rules) as server, server.pipe_events(limit=1_000_000) as events:
        url = server.listeners[0].url
        over = threading.Event()
        most = 0

        def look() -> None:
            nonlocal most
            while not over.is_set():
                most = max(most, len(server.pipes))

        def connect(seed: int) -> None:
            dice = random.Random(seed)
            held: list[sockets.socket] = []
            for _ in range(each):
                held.append(shake_hands(url, f"127.0.0.{seed + 1}"))
                next(attempts)
                if dice.randrange(3):
                    held.pop(dice.randrange(len(held))).close()
                if len(held) > 6:
                    for connection in held:
                        connection.close()
                    held.clear()
            for connection in held:
                connection.close()

        threads = [threading.Thread(target=connect, args=(seed,)) for seed in range(THREADS)]
        looker = threading.Thread(target=look)
        for thread in (looker, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        over.set()
        looker.join()
        total, deadline = next(attempts), time.monotonic() + SECONDS
        while rules.counters.admitted + rules.counters.over_limit < total or server.pipes:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert rules.counters.admitted + rules.counters.over_limit == total
        assert rules.counters.over_limit > 0
        assert most <= limit
        with contextlib.ExitStack() as stack:
            for _ in range(limit):
                stack.enter_context(Bus0(dial=url))
            server.wait_for_peers(limit, timeout=SECONDS)
        now = most_at_once = 0
        server.close()
        told = list(events)
    for event in told:
        now += 1 if event.connected else -1
        most_at_once = max(most_at_once, now)
    assert most_at_once <= limit
    check_order(told, total + limit - rules.counters.over_limit)


def test_rules_that_change_all_the_time_count_each_peer_once() -> None:
    """Each connection is judged by exactly one set of rules, the one before or the one after."""
    sets = [Admission(max_peers=1000), Admission(allow=[]), Admission(deny="127.0.0.0/8"), Admission(max_peers=0)]
    each = 1000
    with Bus0(listen="tcp://127.0.0.1:0", admission=sets[0]) as server:
        url = server.listeners[0].url
        over = threading.Event()

        def change() -> None:
            for rules in itertools.cycle(sets):
                if over.is_set():
                    return
                server.admission = rules
                time.sleep(0.0002)

        def connect() -> None:
            for _ in range(each):
                shake_hands(url, "127.0.0.1").close()

        threads = [threading.Thread(target=connect) for _ in range(THREADS)]
        changer = threading.Thread(target=change)
        for thread in (changer, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        over.set()
        changer.join()
        deadline = time.monotonic() + SECONDS
        while (counted := sum(rules.counters.admitted + rules.counters.refused for rules in sets)) < THREADS * each:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert counted == THREADS * each
        assert all(rules.counters.admitted + rules.counters.refused for rules in sets)


# Handlers.


@pytest.mark.parametrize("transport", ["inproc", "ipc", "tcp", "ws"])
def test_handlers_that_close_things_never_wait_for_themselves(transport: str, address: Callable[[str], str]) -> None:
    """Both sides have handlers that close sockets, endpoints and pipes of either, at random, while others do so too."""
    dice = random.Random(7)
    for _ in range(40 if transport == "ws" else 300):
        server, client = Bus0(listen=address(transport)), Bus0()
        listener = server.listeners[0]
        dialer = nngio.Dialer(client, listener.url)
        dialer.reconnect_time_min = 0.001
        calls = threading.Semaphore(0)

        choice = random.Random(dice.random())

        def close_something(event: PipeEvent) -> None:
            with contextlib.suppress(Closed):
                things: list[Callable[[], object]] = [server.close, client.close, dialer.close, listener.close, event.pipe.close]  # noqa: B023
                if choice.randrange(2):  # noqa: B023
                    choice.choice(things)()  # noqa: B023
            calls.release()  # noqa: B023

        handlers = [side.on_pipe(close_something) for side in (server, client, server)]
        with contextlib.suppress(nngio.NNGError):
            dialer.start(block=False)
            assert calls.acquire(timeout=SECONDS)
            dice.choice([server.close, client.close, listener.close, dialer.close, handlers[0].close])()
        server.close()
        client.close()
        deadline = time.monotonic() + SECONDS
        while not all(handler.closed for handler in handlers):
            assert time.monotonic() < deadline
            time.sleep(0.0001)


FORK = """
import gc, random, threading, nngio
server = nngio.Bus0(listen="inproc://fork", admission=nngio.Admission(max_peers=100))
counted = [0]
def count(event): counted[0] += 1
server.on_pipe(count)
events = server.pipe_events()
over = threading.Event()
def come_and_go():
    while not over.is_set():
        nngio.Bus0(dial="inproc://fork").close()
threads = [threading.Thread(target=come_and_go) for _ in range(2)]
for thread in threads: thread.start()
for number in range(60):
    events.get(timeout=20)
    pid = os.fork()
    if pid == 0:
        wrong = 0
        for what in (lambda: events.get(timeout=1), lambda: server.wait_for_peers(50), lambda: server.pipes, server.pipe_events):
            try:
                what()
                wrong = 1
            except nngio.ForkedError:
                pass
        if number % 2:
            del events, server
            gc.collect()
        os._exit(wrong)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
over.set()
for thread in threads: thread.join()
server.close()
assert counted[0] > 0
"""


def test_children_that_are_forked_while_peers_come_and_go_know_that_they_are() -> None:
    """Whatever lock NNG's threads hold in that moment, the child does not wait for it; the parent goes on."""
    run(FORK, options=FORKS, timeout=120).check()


EXIT = """
import random, threading, nngio
server = nngio.Bus0(listen="inproc://exit")
seen = threading.Semaphore(0)
for _ in range(3):
    server.on_pipe(lambda event: seen.release())
events = server.pipe_events()
def come_and_go():
    while True:
        nngio.Bus0(dial="inproc://exit").close()
def read():
    for event in events: pass
for target in (come_and_go, come_and_go, read):
    threading.Thread(target=target, daemon=True).start()
for _ in range(random.randrange(1, 50)):
    seen.acquire()
main_ends()
"""


def test_programs_end_in_silence_while_events_come() -> None:
    """Forty of them, each at another moment."""
    for _ in range(40):
        run(EXIT, timeout=60).check(err="")


def test_memory_stays_where_it_is_when_nobody_reads(address: Callable[[str], str]) -> None:
    """Ten thousand peers come and go past an iterator with a limit, and past rules that refuse them."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if sys.platform != "linux":
        pytest.skip("memory is read from /proc")
    with Bus0(listen=address("inproc")) as server:
        unread = server.pipe_events(limit=100)
        url = server.listeners[0].url
        for refuses in (False, True):
            if refuses:
                server.admission = Admission(max_peers=0)
            with peers_of(url, 2000):
                pass
            before = resident()
            with peers_of(url, PEERS):
                pass
            assert resident() - before < 8 * 1024 * 1024
        assert unread.skipped > 0
