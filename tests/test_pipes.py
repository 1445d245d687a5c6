"""Pipes: what is known of them, who is told that they come and go, and who waits for them."""

import contextlib
import gc
import os
import pickle
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme
from conftest import TRANSPORTS
from loops import Loop, Tasks, on_all_loops
from programs import FORKS, run

import nngio
from nngio import Bus0, Closed, InvalidArgument, NotSupported, PipeEvent, TimedOut

SECONDS = 15


class Recorder:
    """A handler that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[PipeEvent] = []
        self.threads: set[str] = set()
        self._changed = threading.Condition()

    def __call__(self, event: PipeEvent) -> None:
        with self._changed:
            self.threads.add(threading.current_thread().name)
            self.events.append(event)
            self._changed.notify_all()

    def wait(self, number: int) -> list[PipeEvent]:
        """The events, when there are so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.events) >= number, SECONDS), self.events
            return list(self.events)


def check_order(events: list[PipeEvent], pipes: int) -> None:
    """Each pipe is connected once, and then disconnected once, with the same values."""
    connected: dict[int, nngio.PipeInfo] = {}
    seen: set[int] = set()
    for event in events:
        number = event.info.id
        if event.connected:
            assert number not in seen
            seen.add(number)
            connected[number] = event.info
        else:
            assert connected.pop(number) == event.info
    assert not connected
    assert len(seen) == pipes


def collect_until(gone: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not gone():
        assert time.monotonic() < deadline
        gc.collect()


def come_and_go(url: str, times: int) -> None:
    for _ in range(times):
        Bus0(dial=url).close()


# Events.


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_both_sides_are_told_of_a_connection_and_of_its_end(transport: str, address: Callable[[str], str]) -> None:
    """With the addresses, the URL, and the endpoint that made it; the values outlive the pipe."""
    with Bus0(listen=address(transport)) as server, server.pipe_events() as events:
        client = Bus0()
        seen = client.pipe_events()
        dialer = client.dial(server.listeners[0].url)
        here, there = events.get(timeout=SECONDS), seen.get(timeout=SECONDS)
        assert here.connected
        assert there.connected
        assert (here.listener, here.dialer) == (server.listeners[0], None)
        assert (there.listener, there.dialer) == (None, dialer)
        assert (here.info.listener_id, here.info.dialer_id) == (server.listeners[0].id, None)
        assert here.info.url == there.info.url == dialer.url
        assert here.info.local_address == there.info.remote_address
        assert here.info.remote_address == there.info.local_address
        assert here.info == here.pipe.info
        assert server.pipes == (here.pipe,)
        client.close()
        ends = events.get(timeout=SECONDS)
        assert not ends.connected
        assert ends.info == here.info
        assert not seen.get(timeout=SECONDS).connected
        with pytest.raises(Closed):
            seen.get(timeout=SECONDS)


def test_an_event_is_a_value(address: Callable[[str], str]) -> None:
    """It can be compared, pickled and printed, and keeps neither pipe nor socket."""
    with Bus0(listen=address("ipc")) as server, server.pipe_events() as events, Bus0(dial=server.listeners[0].url):
        event = events.get(timeout=SECONDS)
        assert event.listener is server.listeners[0]
    copy = pickle.loads(pickle.dumps(event))
    assert copy == event
    assert len({copy, event}) == 1
    assert copy.listener is None
    assert repr(copy).startswith("<nngio.PipeEvent: connected, PipeInfo(id=")
    assert copy != PipeEvent(False, event.info)
    server_reference = weakref.ref(server)
    del server, events
    gc.collect()
    assert server_reference() is None
    assert event.listener is None
    assert event.info.url == copy.info.url


def test_handlers_and_iterators_are_each_told_everything_exactly_once(address: Callable[[str], str]) -> None:
    """While some hundred peers come and go: two iterators, one in another thread, and two handlers, on the library's one thread."""
    times, threads = 50, 4
    first, second = Recorder(), Recorder()
    with Bus0(listen=address("tcp")) as server:
        server.on_pipe(first)
        server.on_pipe(second)
        events, others = server.pipe_events(), server.pipe_events()
        collected: list[PipeEvent] = []
        reader = threading.Thread(target=lambda: collected.extend(others))
        reader.start()
        peers = [threading.Thread(target=come_and_go, args=(server.listeners[0].url, times)) for _ in range(threads)]
        for peer in peers:
            peer.start()
        for peer in peers:
            peer.join()
        first.wait(2 * times * threads)
    reader.join()
    second.wait(2 * times * threads)
    assert first.threads == second.threads == {"nngio-callbacks"}
    for told in (list(events), collected, first.events, second.events):
        check_order(told, times * threads)


@on_all_loops
def test_an_async_for_is_told_everything_exactly_once(loop: Loop, address: Callable[[str], str]) -> None:
    """While some hundred peers come and go, in threads and in the loop; it ends with the socket."""
    times = 40
    told: list[PipeEvent] = []

    async def main(tasks: Tasks) -> None:
        async with Bus0(listen=address("inproc")) as server:
            url = server.listeners[0].url

            async def read() -> None:
                told.extend([event async for event in events])

            async def dial() -> None:
                for _ in range(times):
                    async with Bus0() as peer:
                        await peer.adial(url)

            events = server.pipe_events()
            reader = tasks.start(read)
            thread = threading.Thread(target=come_and_go, args=(url, times))
            thread.start()
            for task in [tasks.start(dial) for _ in range(2)]:
                (await task.wait()).result()
            while thread.is_alive():
                await loop.sleep(0.01)
            thread.join()
        (await reader.wait()).result()

    loop.run(main)
    check_order(told, 3 * times)


def test_what_is_connected_already_comes_first(address: Callable[[str], str]) -> None:
    """A handler or iterator that comes late is told of those that are there, and not of those that have gone."""
    recorder = Recorder()
    with Bus0(listen=address("inproc")) as server, server.pipe_events() as events:
        url = server.listeners[0].url
        come_and_go(url, 1)
        assert [events.get(timeout=SECONDS).connected for _ in range(2)] == [True, False]
        with Bus0(dial=url), Bus0(dial=url):
            server.wait_for_peers(2, timeout=SECONDS)
            late = server.pipe_events()
            server.on_pipe(recorder)
            assert {late.get(timeout=0).info.id, late.get(timeout=0).info.id} == {pipe.id for pipe in server.pipes}
            assert {event.info.id for event in recorder.wait(2)} == {pipe.id for pipe in server.pipes}
    check_order(recorder.wait(4), 2)


def test_events_end_with_the_socket_after_the_disconnections_that_closing_makes(address: Callable[[str], str]) -> None:
    """Whoever waits is told, and so is whoever looks later."""
    recorder = Recorder()
    server = Bus0(listen=address("ipc"))
    events = server.pipe_events()
    handler = server.on_pipe(recorder)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(Bus0(dial=server.listeners[0].url))
        server.wait_for_peers(3, timeout=SECONDS)
        server.close()
        assert server.pipes == ()
        check_order(list(events), 3)
        check_order(recorder.wait(6), 3)
    assert list(events) == []
    with pytest.raises(Closed, match="no more events"):
        events.get()
    with pytest.raises(Closed):
        server.on_pipe(recorder)
    with pytest.raises(Closed):
        server.pipe_events()
    while not handler.closed:  # it is, when the callback thread has seen the end
        time.sleep(0.001)


def test_the_last_events_reach_a_handler_whose_socket_nobody_has(address: Callable[[str], str]) -> None:
    """Closing delivers them, though the socket may be dropped in the next moment."""
    recorder = Recorder()
    with Bus0(listen=address("inproc")) as keeps:

        def open_and_close() -> None:
            with Bus0(dial=keeps.listeners[0].url) as socket:
                socket.on_pipe(recorder)

        open_and_close()
        gc.collect()
        check_order(recorder.wait(2), 1)


def test_a_pair_that_refuses_a_second_peer_tells_nothing_of_it(address: Callable[[str], str]) -> None:
    """It was never connected."""
    with nngio.Pair0(listen=address("inproc")) as server, server.pipe_events() as events:
        with nngio.Pair0(dial=server.listeners[0].url):
            server.wait_for_peers(timeout=SECONDS)
            for _ in range(3):
                with nngio.Pair0() as other, other.pipe_events() as seen:
                    other.dial(server.listeners[0].url, block=False, reconnect_time_min=1_000_000)
                    assert [seen.get(timeout=SECONDS).connected for _ in range(2)] == [True, False]
        assert [events.get(timeout=SECONDS).connected for _ in range(2)] == [True, False]
        with nngio.Pair0(dial=server.listeners[0].url):
            assert events.get(timeout=SECONDS).connected
        server.close()
        assert [event.connected for event in events] == [False]


def test_get_waits_for_so_long(lonely: nngio.Pair0) -> None:
    """TimedOut then; a timeout that makes no sense is refused."""
    events = lonely.pipe_events()
    for timeout in (0, 0.01, 0.07):
        with pytest.raises(TimedOut):
            events.get(timeout=timeout)
    with pytest.raises(ValueError, match="0 or more"):
        events.get(timeout=-1)


def test_closing_events_ends_whoever_waits_for_one(lonely: nngio.Pair0) -> None:
    """In other threads too; the socket goes on, and other iterators are not concerned."""
    events, others = lonely.pipe_events(), lonely.pipe_events()
    told: list[list[PipeEvent]] = []
    threads = [threading.Thread(target=lambda: told.append(list(events))) for _ in range(3)]
    for thread in threads:
        thread.start()
    events.close()
    events.close()
    for thread in threads:
        thread.join()
    assert told == [[], [], []]
    with pytest.raises(TimedOut):
        others.get(timeout=0)


def test_unread_events_are_bounded_and_stay_in_order(address: Callable[[str], str]) -> None:
    """Beyond the limit, pipes that have come and gone are left out in pairs, and counted; who is connected is not forgotten."""
    with Bus0(listen=address("inproc")) as server:
        url = server.listeners[0].url
        events = server.pipe_events(limit=10)
        with Bus0(dial=url):
            server.wait_for_peers(timeout=SECONDS)
            come_and_go(url, 50)
            with Bus0(dial=url):
                server.wait_for_peers(2, timeout=SECONDS)
        server.close()
        told = list(events)
        assert len(told) <= 14
        check_order(told, 52 - events.skipped)
        assert events.skipped > 0


@on_all_loops
def test_a_cancelled_aget_loses_no_event(loop: Loop, address: Callable[[str], str]) -> None:
    """Whether it is cancelled before or after the event; the next one gets it. A timeout is the same."""
    told: list[PipeEvent] = []

    async def main(tasks: Tasks) -> None:
        async with Bus0(listen=address("inproc")) as server:
            events = server.pipe_events()

            async def read() -> None:
                told.append(await events.aget())

            for number in range(60):
                task = tasks.start(read)
                await loop.sleep(0)
                peer = Bus0(dial=server.listeners[0].url)
                peer.close()
                if number % 3 == 0:
                    await loop.sleep(0)
                task.cancel()
                await task.wait()
            with pytest.raises(TimedOut):
                async with Bus0() as other:
                    await other.pipe_events().aget(timeout=0.01)
        told.extend([event async for event in events])
        with pytest.raises(Closed):
            await events.aget(timeout=SECONDS)

    loop.run(main)
    check_order(told, 60)


# Handlers.


@contextlib.contextmanager
def unraisable() -> Iterator[list[Any]]:
    """What `sys.unraisablehook` is told."""
    told: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda report: told.append(report.exc_value)
    try:
        yield told
    finally:
        sys.unraisablehook = hook


def test_what_a_handler_raises_is_reported_and_stops_nothing(address: Callable[[str], str]) -> None:
    """`sys.unraisablehook` gets it, and the handler the next event."""
    recorder = Recorder()

    def handle(event: PipeEvent) -> None:
        recorder(event)
        raise RuntimeError(f"handler {len(recorder.events)}")

    with unraisable() as told:
        with Bus0(listen=address("inproc")) as server:
            server.on_pipe(handle)
            come_and_go(server.listeners[0].url, 3)
        recorder.wait(6)
        last = Recorder()  # the callback thread is through with the others when it runs this
        with Bus0(listen=address("inproc")) as server, Bus0(dial=server.listeners[0].url):
            server.on_pipe(last)
            last.wait(1)
        last.wait(2)
    check_order(recorder.events, 3)
    assert [str(error) for error in told] == [f"handler {i}" for i in range(1, 7)]


def test_a_handler_that_is_closed_is_not_called_any_more(address: Callable[[str], str]) -> None:
    """By others, by itself, or at the end of a `with` block; the other handlers go on."""
    recorder, once = Recorder(), Recorder()

    def handle_once(event: PipeEvent) -> None:
        once(event)
        handler.close()

    with Bus0(listen=address("inproc")) as server:
        url = server.listeners[0].url
        handler = server.on_pipe(handle_once)
        with server.on_pipe(once.events.append) as other:
            assert not other.closed
        assert other.closed
        server.on_pipe(recorder)
        come_and_go(url, 3)
        recorder.wait(6)
        other.close()
    assert len(once.events) == 1
    assert handler.closed
    assert once.events[0].connected


HANDLERS = ("on_pipe", "iterator", "aio")
CLOSED = ("server", "client", "pipe", "listener", "dialer", "handler", "all")


@pytest.mark.parametrize("closes", CLOSED)
@pytest.mark.parametrize("kind", HANDLERS)
@pytest.mark.parametrize("transport", ["inproc", "tcp"])
def test_a_handler_may_close_whatever_it_likes(transport: str, kind: str, closes: str, address: Callable[[str], str]) -> None:
    """Its socket, the peer's, the pipe, the endpoints, itself: while events come from both sides, nothing waits for itself."""
    for _ in range(5):
        server, client = Bus0(listen=address(transport)), Bus0(recv_timeout=SECONDS)
        url = server.listeners[0].url
        dialer = nngio.Dialer(client, url)
        dialer.reconnect_time_min = 0.01
        done = threading.Event()
        recorder = Recorder()
        kept: list[Any] = []

        def close(event: PipeEvent | None = None) -> None:
            if event is None or event.connected:
                things = {"server": server, "client": client, "listener": server.listeners[0], "dialer": dialer, "handler": kept[0]}  # noqa: B023
                for pipe in server.pipes + client.pipes if closes in ("pipe", "all") else ():  # noqa: B023
                    pipe.close()
                for name, thing in things.items():
                    if closes in (name, "all"):
                        thing.close()
                done.set()  # noqa: B023

        server.on_pipe(recorder)
        client.on_pipe(recorder)
        thread: threading.Thread | None = None
        if kind == "on_pipe":
            ready = threading.Event()
            kept.append(server.on_pipe(lambda event: close(event) if ready.wait(SECONDS) else None))  # noqa: B023
            ready.set()
        elif kind == "iterator":
            events = server.pipe_events()
            kept.append(events)
            thread = threading.Thread(target=lambda: [close(event) for event in events])  # noqa: B023
            thread.start()
        else:
            aio = nngio.Aio(lambda aio: close() if not aio.result() else None)
            kept.append(server.on_pipe(recorder))
            server.recv_aio(aio)
        dialer.start()
        if kind == "aio":
            with contextlib.suppress(Closed):
                client.send(b"now")
        assert done.wait(SECONDS)
        server.close()
        client.close()
        if thread is not None:
            thread.join()


@on_all_loops
def test_a_loop_may_close_whatever_it_likes_when_it_hears_of_a_pipe(loop: Loop, address: Callable[[str], str]) -> None:
    """The socket, awaited or not, the peer's, the pipe: in the middle of an `async for`, which ends then."""

    async def main(tasks: Tasks) -> None:  # noqa: ARG001
        for what in ("close", "aclose", "pipe", "peer"):
            async with Bus0(listen=address("tcp")) as server, Bus0() as client:
                events = server.pipe_events()
                await client.adial(server.listeners[0].url)
                number = 0
                async for event in events:
                    number += 1
                    if not event.connected:
                        events.close()
                    elif what == "close":
                        server.close()
                    elif what == "aclose":
                        await server.aclose()
                    elif what == "pipe":
                        event.pipe.close()
                    else:
                        await client.aclose()
                assert number == 2

    loop.run(main)


def test_a_socket_with_handlers_is_collected(address: Callable[[str], str]) -> None:
    """Though a handler refers to its socket: it is closed with a ResourceWarning, and the handler is told of the end."""
    recorder = Recorder()

    class Service:
        def __init__(self, url: str) -> None:
            self.socket = Bus0(dial=url)
            self.handler = self.socket.on_pipe(self.handle)

        def handle(self, event: PipeEvent) -> None:
            recorder(event)

    with Bus0(listen=address("inproc")) as server:
        service = Service(server.listeners[0].url)
        recorder.wait(1)
        reference = weakref.ref(service)
        del service
        with pytest.warns(ResourceWarning, match="unclosed"):
            collect_until(lambda: reference() is None)  # the callback thread may have been in the handler
        check_order(recorder.wait(2), 1)


def test_a_handler_lives_with_its_socket(address: Callable[[str], str]) -> None:
    """Whoever made it need not keep it."""
    recorder = Recorder()
    with Bus0(listen=address("inproc")) as server:
        server.on_pipe(recorder.__call__)
        gc.collect()
        come_and_go(server.listeners[0].url, 2)
        check_order(recorder.wait(4), 2)


def test_events_that_are_dropped_are_not_recorded_any_more(address: Callable[[str], str]) -> None:
    """An iterator keeps its socket while it lives, and nothing afterwards."""
    with Bus0(listen=address("inproc")) as server:
        url = server.listeners[0].url
        for _ in range(20):
            server.pipe_events()
            events = iter(server.pipe_events())
            come_and_go(url, 1)
            next(events)
        assert [event.connected for event in [next(events)]] == [False]


def test_what_on_pipe_cannot_call_is_refused(lonely: nngio.Pair0) -> None:
    """What isn't callable, and an `async def`, which nobody would await."""

    async def handle(event: PipeEvent) -> None: ...

    with pytest.raises(TypeError, match="not str"):
        lonely.on_pipe("handle")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="async for"):
        lonely.on_pipe(handle)
    with pytest.raises(InvalidArgument, match="limit is 1 to"):
        lonely.pipe_events(limit=0)
    for thing in (lonely.pipe_events(), lonely.on_pipe(print)):
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(thing)


# Waiting for peers.


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_wait_for_peers_returns_when_so_many_are_connected(transport: str, address: Callable[[str], str]) -> None:
    """What is published after that reaches each of them."""
    with nngio.Pub0(listen=address(transport)) as pub, contextlib.ExitStack() as stack:
        pub.wait_for_peers(0)
        subs = [nngio.Sub0(subscribe=b"", recv_timeout=SECONDS) for _ in range(3)]
        for sub in subs:
            stack.enter_context(sub)
            threading.Thread(target=sub.dial, args=(pub.listeners[0].url,)).start()
        pub.wait_for_peers(3, timeout=SECONDS)
        pub.wait_for_peers(timeout=0)
        pub.send(b"hello")
        assert [sub.recv() for sub in subs] == [b"hello"] * 3
        with pytest.raises(TimedOut):
            pub.wait_for_peers(4, timeout=0.01)


def test_wait_for_peers_ends_when_the_socket_is_closed() -> None:
    """In whatever thread it waits; and afterwards it says so at once."""
    errors: list[Exception] = []

    def wait() -> None:
        try:
            socket.wait_for_peers(2)
        except Closed as error:
            errors.append(error)

    with Bus0() as socket:
        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        with pytest.raises(TimedOut):
            socket.wait_for_peers(timeout=0.05)
    for thread in threads:
        thread.join()
    assert len(errors) == 3
    with pytest.raises(Closed):
        socket.wait_for_peers()


@pytest.mark.parametrize(
    ("n", "error"), [(-1, InvalidArgument), (2**31, InvalidArgument), (1.0, TypeError), ("1", TypeError), (True, TypeError)]
)
def test_the_number_of_peers_is_a_number(n: Any, error: type[Exception], lonely: nngio.Pair0) -> None:
    """Of a size that NNG could have; a timeout is checked as everywhere."""
    with pytest.raises(error):
        lonely.wait_for_peers(n)
    with pytest.raises(ValueError, match="0 or more"):
        lonely.wait_for_peers(timeout=-1)


@on_all_loops
def test_await_for_peers_lets_the_loop_go_on(loop: Loop, address: Callable[[str], str]) -> None:
    """It returns when so many are connected, can be cancelled, times out, and ends with the socket."""

    async def main(tasks: Tasks) -> None:
        async with Bus0(listen=address("inproc")) as server, Bus0() as one, Bus0() as two:
            first, both, more, cancelled = (tasks.start(server.await_for_peers, n) for n in (1, 2, 3, 4))
            await loop.sleep(0)
            with pytest.raises(TimedOut):
                await server.await_for_peers(timeout=0.01)
            await one.adial(server.listeners[0].url)
            (await first.wait()).result()
            assert not both.done
            await two.adial(server.listeners[0].url)
            (await both.wait()).result()
            await server.await_for_peers(2, timeout=0)
            cancelled.cancel()
            assert (await cancelled.wait()).cancelled
            async with loop.timeout(0.01) as expiry:
                await server.await_for_peers(3)
            assert expiry.expired
            await server.aclose()
            assert isinstance((await more.wait()).error, Closed)
            with pytest.raises(Closed):
                await server.await_for_peers()

    loop.run(main)


def test_ctrl_c_interrupts_the_waits_and_loses_nothing(address: Callable[[str], str]) -> None:
    """Both `wait_for_peers` and `get`; a peer that came meanwhile is told of by the next call."""
    interrupted = 0
    with Bus0(listen=address("inproc")) as server, server.pipe_events() as events:
        for wait in (lambda: server.wait_for_peers(1000), events.get, lambda: server.wait_for_peers(1000, timeout=SECONDS)):
            timer = threading.Timer(0.1, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                wait()
            timer.join()
            interrupted += 1
        come_and_go(server.listeners[0].url, 1)
        assert [events.get(timeout=SECONDS).connected for _ in range(2)] == [True, False]
    assert interrupted == 3


# Pipes.


def test_pipes_are_those_that_are_connected_now(address: Callable[[str], str]) -> None:
    """In the order in which they came; closing one disconnects its peer, and a dialer connects anew."""
    with Bus0(listen=address("tcp")) as server, server.pipe_events() as events, contextlib.ExitStack() as stack:
        for number in range(30):
            stack.enter_context(Bus0(dial=server.listeners[0].url))
            server.wait_for_peers(number + 1, timeout=SECONDS)
        pipes = server.pipes
        assert [pipe.id for pipe in pipes] == [events.get(timeout=0).info.id for _ in range(30)]
        with Bus0() as client, client.pipe_events() as seen:
            dialer = client.dial(server.listeners[0].url, reconnect_time_min=0.01)
            (pipe,) = client.pipes
            assert (pipe.socket, pipe.dialer, pipe.listener, pipe.url) == (client, dialer, None, dialer.url)
            pipe.close()
            pipe.close()
            told = [seen.get(timeout=SECONDS) for _ in range(3)]
            assert [event.connected for event in told] == [True, False, True]
            assert told[0].pipe == pipe != told[2].pipe
            assert pipe.socket is None
            assert pipe.dialer is None
            with pytest.raises(nngio.NoEntry):
                _ = pipe.info


def test_an_ipc_pipe_tells_who_the_peer_is(address: Callable[[str], str]) -> None:
    """User, group and process: here all ours. Other transports say that they don't know, and `info` has None."""
    with Bus0(listen=address("ipc")) as server, Bus0(dial=server.listeners[0].url):
        server.wait_for_peers(timeout=SECONDS)
        (pipe,) = server.pipes
        assert (pipe.peer_uid, pipe.peer_gid, pipe.peer_pid) == (os.getuid(), os.getgid(), os.getpid())
        info = pipe.info
        assert (info.peer_uid, info.peer_gid, info.peer_pid) == (os.getuid(), os.getgid(), os.getpid())
    with Bus0(listen=address("tcp")) as server, Bus0(dial=server.listeners[0].url):
        server.wait_for_peers(timeout=SECONDS)
        (pipe,) = server.pipes
        for name in ("peer_uid", "peer_gid", "peer_pid", "tls_verified", "ws_request_uri", "ws_request_headers", "ws_response_headers"):
            with pytest.raises(NotSupported, match=f"this pipe has no {name}: .* only (ipc|tls|ws)"):
                getattr(pipe, name)
            assert getattr(pipe.info, name, None) is None
        with pytest.raises(NotSupported):
            _ = pipe.tls_peer_cn
        with pytest.raises(NotSupported):
            _ = pipe.tls_peer_alt_names


def test_a_websocket_pipe_tells_its_headers(address: Callable[[str], str]) -> None:
    """Of the request and the response, on both sides, and the URI that was asked for."""
    with Bus0(listen=address("ws")) as server, Bus0(dial=server.listeners[0].url) as client:
        server.wait_for_peers(timeout=SECONDS)
        for pipe in server.pipes + client.pipes:
            request, response = dict(pipe.ws_request_headers), dict(pipe.ws_response_headers)
            assert request["Sec-WebSocket-Protocol"] == "bus.sp.nanomsg.org"
            assert response["Upgrade"].lower() == "websocket"
        assert server.pipes[0].ws_request_uri.startswith("/test-")


@pytest.mark.parametrize("names", [True, False], ids=["with a certificate", "without"])
def test_a_tls_pipe_tells_who_was_verified(names: bool, tmp_path: Any) -> None:
    """Whether the peer was, its common name and its alternative names; the latter two from NNG 1.6 on."""
    authority, other = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(other)
    for name, certificate in (
        ("server", authority.issue_cert("127.0.0.1", "localhost", common_name="the server")),
        ("client", authority.issue_cert("client.example", "alias.example", common_name="the client")),
    ):
        certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / name)
    with Bus0() as server, Bus0() as client:
        trusted, shown = (other, tmp_path / "client") if names else (None, None)
        listener = server.listen("tls+tcp://127.0.0.1:0", tls=nngio.TLSConfig(cert=tmp_path / "server", ca=trusted))
        dialer = client.dial(listener.url, tls=nngio.TLSConfig(ca=other, cert=shown, server_name="localhost"), timeout=SECONDS)
        server.wait_for_peers(timeout=SECONDS)
        (here,), (there,) = server.pipes, client.pipes
        assert there.tls_verified
        assert here.tls_verified is names
        assert here.info.tls_verified is names
        if not hasattr(nngio._core.library.lib, "NNG_OPT_TLS_PEER_CN"):
            with pytest.raises(NotSupported, match=r"1\.6"):
                _ = here.tls_peer_cn
            with pytest.raises(NotSupported, match=r"1\.6"):
                _ = here.tls_peer_alt_names
            with pytest.raises(NotSupported, match=r"1\.6"):
                nngio.Admission(allow_subjects=["the client"])
            return
        assert there.tls_peer_cn == there.info.tls_peer_cn == "the server"
        assert here.tls_peer_cn == here.info.tls_peer_cn == ("the client" if names else None)
        assert here.tls_peer_alt_names == (("client.example", "alias.example") if names else ())
        check_subjects(server, client, dialer, admitted=names)


def check_subjects(server: Bus0, client: Bus0, dialer: nngio.Dialer, *, admitted: bool) -> None:
    """A rule that allows a subject admits who has a verified certificate with that name, and one that denies it refuses."""
    for rules, admits in (
        (nngio.Admission(allow_subjects=["the client"]), admitted),
        (nngio.Admission(allow_subjects=["the Client", "client"]), False),
        (nngio.Admission(deny_subjects=["the client"]), not admitted),
        (nngio.Admission(deny_subjects=["somebody"]), True),
    ):
        server.admission = rules
        dialer.reconnect_time_min = 0.01
        client.pipes[0].close()
        deadline = time.monotonic() + SECONDS
        while not rules.counters.admitted + rules.counters.refused:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert bool(rules.counters.admitted) is admits
        server.admission = None
        server.wait_for_peers(timeout=SECONDS)
        client.wait_for_peers(timeout=SECONDS)


def test_a_message_tells_what_it_came_by(pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
    """Its pipe is the one that the events tell of."""
    left, right = pair
    right.send(b"hello")
    pipe = left.recv_msg(timeout=SECONDS).pipe
    assert pipe is not None
    assert (pipe,) == left.pipes
    assert pipe.info == left.pipe_events().get(timeout=SECONDS).info
    assert pipe.listener is left.listeners[0]


# Fork and exit.


def test_a_forked_child_is_told_that_events_are_its_parent_s() -> None:
    """Reading, waiting, handling, rules: each raises ForkedError; what is closed or collected there is closed in silence."""
    run(
        """
import gc, nngio
server = nngio.Bus0(listen="inproc://fork", admission=nngio.Admission(max_peers=5))
client = nngio.Bus0(dial="inproc://fork")
server.wait_for_peers(timeout=10)
events, handler, (pipe,) = server.pipe_events(), server.on_pipe(lambda event: None), server.pipes
pid = os.fork()
if pid == 0:
    try:
        def set_rules(): server.admission = None
        for what in (lambda: server.pipes, events.get, lambda: list(events), server.pipe_events, lambda: server.on_pipe(print),
                     server.wait_for_peers, set_rules, lambda: pipe.info, lambda: pipe.socket, lambda: pipe.peer_uid, pipe.close):
            try:
                what()
            except nngio.ForkedError:
                continue
            os._exit(1)
        handler.close()
        events.close()
        events.skipped
        server.admission.counters
        del events, handler, server
        gc.collect()
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(2)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert events.get(timeout=10).connected
client.close()
assert not events.get(timeout=10).connected
server.close()
""",
        options=FORKS,
    ).check(err="")


@pytest.mark.parametrize("ends", ["", "sys.exit(0)", "server.close()", "raise SystemExit"])
def test_a_program_ends_in_silence_while_handlers_are_called(ends: str) -> None:
    """With peers that come and go in other threads, handlers registered, iterators that wait, and sockets open."""
    run(
        f"""
import threading, nngio
server = nngio.Bus0(listen="inproc://exit")
seen = threading.Event()
for _ in range(3):
    server.on_pipe(lambda event: seen.set())
def come_and_go():
    while True:
        nngio.Bus0(dial="inproc://exit").close()
def dial():
    try:
        come_and_go()
    except nngio.NNGError:
        pass
for target in (dial, dial, lambda: list(server.pipe_events()), lambda: server.wait_for_peers(1000)):
    def daemon(target=target):
        try:
            target()
        except nngio.Closed:
            pass
    threading.Thread(target=daemon, daemon=True).start()
assert seen.wait(10)
main_ends()
{ends}
"""
    ).check(err="")
