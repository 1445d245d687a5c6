"""A process of the soak (soak.py): the home, which serves on every transport, or a guest, whose activities come and go.

    python tools/soak_worker.py home|sync|asyncio|trio FOLDER SEED SHARE

It reads commands, JSON, from its standard input, and answers each with a line: `lap URLS` lets its activities run, `pause` lets each
finish its round and tells what was done and how much memory Python has, `end` ends it. An activity runs in rounds. Each round opens its
own sockets, exchanges messages whose arrival its protocol promises, checks that they arrived, and closes all; so between two laps a
process has nothing open but what it had at the start, and what is left then was forgotten by somebody.

Activities are written once, as coroutines, for three styles: the synchronous verbs on threads, asyncio, trio.
"""

import asyncio
import contextlib
import ctypes
import faulthandler
import gc
import itertools
import json
import os
import random
import signal
import socket as sockets
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import nngio
from nngio._socket import open_sockets

LONG = 60.0
"""Seconds that nothing takes, unless a message was lost: a call that takes them fails the soak."""

TRANSPORTS = ("ipc", "tcp", "ws", "tls+tcp", "wss")
"""Those that reach other processes."""

_libc = ctypes.CDLL(None)
_numbers = itertools.count()

Function = Callable[[], Coroutine[Any, Any, Any]]


# Styles.


class Style(ABC):
    """How an activity waits."""

    @abstractmethod
    async def call(self, target: Any, verb: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a verb of a socket or a context, for at most `LONG` seconds unless it says otherwise."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Rest."""

    @abstractmethod
    async def all(self, *functions: Function) -> None:
        """Run all at the same time."""

    @abstractmethod
    async def within(self, seconds: float, function: Function) -> bool:
        """Run it, and cancel it after so long; whether it came to its end. Where nothing can be cancelled, it runs to its end."""

    @abstractmethod
    def run(self, function: Function) -> None:
        """Run it in a thread of its own, from its beginning to its end."""


def _timed(keywords: dict[str, Any]) -> dict[str, Any]:
    return {"timeout": LONG, **keywords}


class Sync(Style):
    async def call(self, target: Any, verb: str, *arguments: Any, **keywords: Any) -> Any:
        return getattr(target, verb)(*arguments, **_timed(keywords))

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251  # nothing else runs in this thread

    async def all(self, *functions: Function) -> None:
        errors: list[BaseException] = []

        def run(function: Function) -> None:
            try:
                self.run(function)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=run, args=(function,)) for function in functions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    async def within(self, seconds: float, function: Function) -> bool:
        del seconds
        await function()
        return True

    def run(self, function: Function) -> None:
        with contextlib.suppress(StopIteration):
            function().send(None)  # it never waits, so this is all of it
            raise RuntimeError("a synchronous activity has waited")


class Asyncio(Style):
    async def call(self, target: Any, verb: str, *arguments: Any, **keywords: Any) -> Any:
        return await getattr(target, f"a{verb}")(*arguments, **_timed(keywords))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def all(self, *functions: Function) -> None:
        async with asyncio.TaskGroup() as group:
            for function in functions:
                group.create_task(function())

    async def within(self, seconds: float, function: Function) -> bool:
        scope = asyncio.timeout(seconds)
        try:
            async with scope:
                await function()
        except TimeoutError:
            if not scope.expired():
                raise
            return False
        return True

    def run(self, function: Function) -> None:
        try:
            import uvloop
        except ImportError:
            asyncio.run(function())
        else:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(function())


class Trio(Style):
    async def call(self, target: Any, verb: str, *arguments: Any, **keywords: Any) -> Any:
        return await getattr(target, f"a{verb}")(*arguments, **_timed(keywords))

    async def sleep(self, seconds: float) -> None:
        import trio

        await trio.sleep(seconds)

    async def all(self, *functions: Function) -> None:
        import trio

        async with trio.open_nursery() as nursery:
            for function in functions:
                nursery.start_soon(function)

    async def within(self, seconds: float, function: Function) -> bool:
        import trio

        with trio.move_on_after(seconds) as scope:
            await function()
        return not scope.cancelled_caught

    def run(self, function: Function) -> None:
        import trio

        trio.run(function)


STYLES: dict[str, type[Style]] = {"sync": Sync, "asyncio": Asyncio, "trio": Trio}


# Sockets.


class Addresses:
    """Where to listen, and how to be encrypted. Whoever dials needs the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def local(self, transport: str) -> str:
        """A URL that nobody else listens at; where that needs a port, any free one."""
        name = f"{os.getpid()}-{next(_numbers)}"
        match transport:
            case "inproc":
                return f"inproc://{name}"
            case "ipc":
                return f"ipc://{self.folder}/{name}"
            case "ws" | "wss":
                return f"{transport}://localhost:0/{name}"
            case _:
                return f"{transport}://localhost:0"

    def listen(self, socket: Any, transport: str) -> str:
        """Let a socket listen, and return the URL to dial."""
        with self._lock:  # NNG without our patch lets websocket listeners share a server that has no port yet
            return self._listen(socket, transport)

    def _listen(self, socket: Any, transport: str) -> str:
        tls = nngio.TLSConfig(cert=self.folder / "server.pem") if transport in ("tls+tcp", "wss") else None
        listener = nngio.Listener(socket, self.local(transport), tls=tls)
        listener.start()
        return listener.url

    async def dial(self, style: Style, socket: Any, url: str) -> None:
        """Let a socket dial, and wait until it is connected; on a busy machine a websocket needs more than the 2 s that NNG allows."""
        while True:
            try:
                await self._dial(style, socket, url)
            except nngio.TimedOut:
                if not url.startswith("ws"):
                    raise
            else:
                return

    async def _dial(self, style: Style, socket: Any, url: str) -> None:
        tls = nngio.TLSConfig(ca=self.folder / "ca.pem") if url.startswith(("tls", "wss")) else None
        dialer = nngio.Dialer(socket, url, tls=tls)
        try:
            await style.call(dialer, "start")
        except nngio.NNGError:
            dialer.close()
            raise


# The home.


class Home:
    """Sockets on every transport, that serve for as long as the process lives, in each style."""

    def __init__(self, addresses: Addresses) -> None:
        self.streams: Counter[bytes] = Counter()
        self.disorder: list[str] = []
        self.failures: list[str] = []
        self.done = Counter[str]()
        self.rep = nngio.Rep0()
        self.pull = nngio.Pull0(prefetch=64)
        self.respondent = nngio.Respondent0()
        self.pub = nngio.Pub0(send_buffer=4096)
        self.sockets = {"rep": self.rep, "pull": self.pull, "respondent": self.respondent, "pub": self.pub}
        self.urls = {name: [addresses.listen(socket, t) for t in TRANSPORTS] for name, socket in self.sockets.items()}
        self.lock = threading.Lock()
        servers = [(name, self._answer, self.rep) for name in STYLES] + [(name, self._respond, self.respondent) for name in STYLES]
        self.threads = [threading.Thread(target=self._serve, args=(STYLES[name](), serve, socket)) for name, serve, socket in servers]
        self.threads.append(threading.Thread(target=self._pull))
        for thread in self.threads:
            thread.start()

    def _serve(self, style: Style, serve: Callable[[Style, Any], Awaitable[None]], socket: Any) -> None:
        async def one() -> None:
            with socket.context() as context:
                while True:
                    await serve(style, context)

        async def several() -> None:
            await style.all(one, one, one)

        try:
            style.run(several)
        except* nngio.Closed:
            pass
        except* BaseException:
            self.failures.append(traceback.format_exc())

    async def _answer(self, style: Style, context: Any) -> None:
        request: bytes = await style.call(context, "recv", timeout=None)
        match request.split(b" ", 2):
            case [b"arrived", stream]:
                answer = b"%d" % self.streams[stream]
            case [b"forget", stream]:
                answer = b"%d" % self.streams.pop(stream, 0)
            case [b"publish", topic, count]:
                await style.call(self.pub, "send_many", [topic + b" %d" % number for number in range(int(count))])
                answer = b""
            case _:
                answer = request[::-1]
        self.done["answers"] += 1
        await style.call(context, "send", answer)

    async def _respond(self, style: Style, context: Any) -> None:
        survey = await style.call(context, "recv", timeout=None)
        self.done["responses"] += 1
        await style.call(context, "send", survey)

    def _pull(self) -> None:
        try:
            while True:
                for message in self.pull.recv_many(100):
                    stream, number = message.split(b" ", 2)[:2]
                    if self.streams[stream] != int(number):
                        self.disorder.append(f"stream {stream!r} has {int(number)} after {self.streams[stream]} messages")
                    self.streams[stream] += 1
                    self.done["pulled"] += 1
        except nngio.Closed:
            pass

    def pause(self) -> None:
        self.streams.clear()  # those of guests that were killed

    def end(self) -> None:
        for socket in self.sockets.values():
            socket.close()
        for thread in self.threads:
            thread.join()


# The guests.


@contextlib.contextmanager
def taken() -> Iterator[int]:
    """A port where nobody listens, and nobody else will: not even a connection's own end, which would be one to itself."""
    with sockets.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


class Guest:
    """Activities, each in rounds, for as long as a lap takes."""

    def __init__(self, addresses: Addresses, style: Style, seed: int, share: float) -> None:
        self.addresses = addresses
        self.style = style
        self.share = share
        self.random = random.Random(seed)
        self.urls: dict[str, list[str]] = {}
        self.failures: list[str] = []
        self.done = Counter[str]()
        self.began: dict[str, float] = {}
        self.running = threading.Event()
        self.ending = False
        self.idle = 0
        self.changed = threading.Condition()
        self.activities = {
            name: getattr(self, name)
            for name in ("requests", "stream", "surveys", "topics", "pair", "pair_of_aios", "buses", "pushed", "reopened", "refused")
        }
        self.threads = [threading.Thread(target=self._run, name=f"{type(style).__name__} activities")]
        for thread in self.threads:
            thread.start()

    def _run(self) -> None:
        async def everything() -> None:
            await self.style.all(*(lambda name=name: self._rounds(name) for name in self.activities))  # type: ignore[misc]

        try:
            self.style.run(everything)
        except BaseException:
            self.failures.append(traceback.format_exc())

    async def _rounds(self, name: str) -> None:
        while not self.ending:
            if not self.running.is_set():
                with self.changed:
                    self.idle += 1
                    self.changed.notify_all()
                while not self.running.is_set() and not self.ending:
                    await self.style.sleep(0.02)
                with self.changed:
                    self.idle -= 1
                continue
            self.began[name] = time.monotonic()
            try:
                await self.activities[name]()
            except Exception:
                self.failures.append(f"{type(self.style).__name__} {name}: {traceback.format_exc()}")
                await self.style.sleep(0.5)
            took = time.monotonic() - self.began.pop(name)
            self.done[name] += 1
            await self.style.sleep(self.random.random() * 0.02)
            rested = time.monotonic() + took * (1 / self.share - 1)
            while time.monotonic() < rested and self.running.is_set():
                await self.style.sleep(0.1)

    def lap(self, urls: dict[str, list[str]]) -> None:
        self.urls = urls
        self.running.set()

    def pause(self) -> None:
        self.running.clear()
        with self.changed:
            if not self.changed.wait_for(lambda: self.idle == len(self.activities), timeout=2 * LONG):
                now = time.monotonic()
                stuck = ", ".join(f"{name} for {now - began:.0f} s" for name, began in self.began.items())
                self.failures.append(f"{type(self.style).__name__}: these activities have stalled: {stuck}")
                faulthandler.dump_traceback(all_threads=True)

    def end(self) -> None:
        self.ending = True
        for thread in self.threads:
            thread.join()

    # What several activities need.

    def body(self) -> bytes:
        """A message of some length."""
        length = self.random.choice((0, 1, 8, 100, 1000, 10_000, 100_000))
        return bytes(self.random.getrandbits(8) for _ in range(16)) + b"." * length

    def anywhere(self, *more: str) -> str:
        """Some transport."""
        return self.random.choice((*TRANSPORTS, *more))

    async def dial(self, socket: Any, service: str) -> None:
        """Connect to the home."""
        await self.addresses.dial(self.style, socket, self.random.choice(self.urls[service]))

    @contextlib.asynccontextmanager
    async def open(self, *sockets: Any) -> Any:
        """Sockets for a round. They are closed in a thread, or awaited."""
        try:
            yield sockets[0] if len(sockets) == 1 else sockets
        finally:
            for socket in sockets:
                if isinstance(self.style, Sync):
                    socket.close()
                else:
                    await socket.aclose()

    async def connect(self, here: Any, there: Any) -> None:
        """Connect two sockets of this process."""
        await self.addresses.dial(self.style, there, self.addresses.listen(here, self.anywhere("inproc")))

    # The activities. What a protocol doesn't promise isn't asked for: no buffer is overrun, and connections live.

    async def requests(self) -> None:
        """Contexts that ask, some of which are cancelled and ask something else: each gets its own answer."""

        async def ask() -> None:
            with req.context() as context:
                for _ in range(5):
                    question = self.body()

                    async def once(question: bytes = question) -> None:
                        assert await self.style.call(context, "request", question) == question[::-1]

                    if self.random.random() < 0.3:
                        await self.style.within(self.random.random() * 0.003, once)
                    else:
                        await once()

        async with self.open(nngio.Req0()) as req:
            await self.dial(req, "rep")
            await self.style.all(*[ask] * 6)

    async def stream(self) -> None:
        """A PUSH to the home, one by one and in batches: all arrives, in order and once."""
        name = b"%d-%d" % (os.getpid(), next(_numbers))
        total = 0
        async with self.open(nngio.Push0(), nngio.Req0()) as (push, req):
            await self.dial(push, "pull")
            await self.dial(req, "rep")
            for _ in range(10):
                if self.random.random() < 0.5:
                    await self.style.call(push, "send", b"%s %d %s" % (name, total, self.body()))
                    total += 1
                else:
                    count = self.random.randrange(1, 100)
                    await self.style.call(push, "send_many", [b"%s %d " % (name, total + i) for i in range(count)])
                    total += count
            end = time.monotonic() + LONG
            while (arrived := int(await self.style.call(req, "request", b"arrived " + name))) < total:
                assert time.monotonic() < end, f"of {total} messages {arrived} have arrived"
                await self.style.sleep(0.01)
            assert int(await self.style.call(req, "request", b"forget " + name)) == total

    async def surveys(self) -> None:
        """A survey of the home: it answers once."""
        async with self.open(nngio.Surveyor0(survey_time=LONG)) as surveyor:
            await self.dial(surveyor, "respondent")
            for _ in range(5):
                survey = self.body()
                await self.style.call(surveyor, "send", survey)
                assert await self.style.call(surveyor, "recv") == survey

    async def topics(self) -> None:
        """A SUB and a context, which have their topics published by the home: all arrives that there is room for, and nothing else."""
        topics = [b"%d-%d" % (os.getpid(), next(_numbers)) for _ in range(2)]
        count = 50
        async with self.open(nngio.Sub0(subscribe=[topics[0]], recv_buffer=1024), nngio.Req0()) as (sub, req):
            await self.dial(req, "rep")
            with sub.context() as context:
                context.recv_buffer = 1024
                context.subscribe(topics[1])
                await self.dial(sub, "pub")
                for topic, receiver in zip(topics, (sub, context), strict=True):
                    end = time.monotonic() + LONG
                    while True:  # until the home's PUB has the connection
                        await self.style.call(req, "request", b"publish %s 1" % topic)
                        with contextlib.suppress(nngio.TimedOut):
                            await self.style.call(receiver, "recv", timeout=0.05)
                            break
                        assert time.monotonic() < end, "nothing of what was published has arrived"
                    with contextlib.suppress(nngio.TimedOut):
                        while True:  # what was only late
                            await self.style.call(receiver, "recv", timeout=0.2)
                    await self.style.call(req, "request", b"publish %s %d" % (topic, count))
                    for number in range(count):
                        assert await self.style.call(receiver, "recv") == topic + b" %d" % number

    async def pair(self) -> None:
        """Two sockets of this process, and receives that are cancelled now and then: all arrives, in order and once."""
        make = self.random.choice((nngio.Pair0, nngio.Pair1))
        prefetch = self.random.choice((0, 0, 10))
        count = 100
        received: list[bytes] = []
        bodies = [b"%d %s" % (number, self.body()) for number in range(count)]

        async def send() -> None:
            for body in bodies:
                await self.style.call(left, "send", body)

        async def receive() -> None:
            async def some() -> None:
                while len(received) < count:
                    received.append(await self.style.call(right, "recv"))

            while not await self.style.within(self.random.random() * 0.01, some):
                pass

        async with self.open(make(), make(prefetch=prefetch)) as (left, right):
            await self.connect(left, right)
            await self.style.all(send, receive)
            assert received == bodies

    async def pair_of_aios(self) -> None:
        """One side echoes with a callback, the other waits for aios."""
        async with self.open(nngio.Pair0(), nngio.Pair0()) as (here, there):
            await self.connect(here, there)
            echoed = threading.Event()
            state = {"receiving": True}

            def echo(aio: nngio.Aio) -> None:
                if aio.result():
                    echoed.set()
                    return
                state["receiving"] = not state["receiving"]
                if state["receiving"]:
                    there.recv_aio(aio)
                else:
                    there.send_aio(aio)

            echoing = nngio.Aio(echo)
            there.recv_aio(echoing)
            for _ in range(20):
                body = self.body()
                await self.style.call(here, "send", nngio.Message(body))
                assert await self.style.call(here, "recv") == body
            end = time.monotonic() + LONG
            while not echoed.is_set():
                echoing.cancel()  # which is nothing between two operations: the callback then starts the next
                assert time.monotonic() < end, "the callback of a cancelled aio was not called"
                await self.style.sleep(0.005)

    async def buses(self) -> None:
        """Three of them: what one says, the two others hear, as long as there is room for it."""
        async with self.open(*(nngio.Bus0() for _ in range(3))) as buses:
            for first, second in itertools.combinations(buses, 2):
                await self.connect(first, second)
            for speaker in buses:
                others = [bus for bus in buses if bus is not speaker]
                heard = [False] * len(others)
                end = time.monotonic() + LONG
                while not all(heard):  # until both ends of each connection have it
                    await self.style.call(speaker, "send", b"hello")
                    for i, other in enumerate(others):
                        with contextlib.suppress(nngio.TimedOut):
                            heard[i] |= await self.style.call(other, "recv", timeout=0.05) == b"hello"
                    assert time.monotonic() < end, "nobody has heard it"
                await self.style.call(speaker, "send", b"news")
                for other in others:
                    while (said := await self.style.call(other, "recv")) == b"hello":
                        pass
                    assert said == b"news"

    async def pushed(self) -> None:
        """A PUSH with two PULLs of this process, of which one prefetches: each message comes to one of them."""
        count = 200
        received: list[int] = []

        async def send() -> None:
            for number in range(count):
                await self.style.call(push, "send", b"%d" % number)

        def pull(socket: Any) -> Function:
            async def receive() -> None:
                while len(received) < count:
                    with contextlib.suppress(nngio.TimedOut):
                        received.extend(int(body) for body in await self.style.call(socket, "recv_many", timeout=0.05))

            return receive

        async with self.open(nngio.Push0(), nngio.Pull0(), nngio.Pull0(prefetch=8)) as (push, plain, prefetching):
            await self.connect(push, plain)
            await self.connect(push, prefetching)
            await self.style.all(send, pull(plain), pull(prefetching))
            assert sorted(received) == list(range(count))

    async def reopened(self) -> None:
        """Sockets and contexts that are closed under whoever waits for them."""
        for _ in range(5):
            async with self.open(nngio.Pair0(), nngio.Pull0(prefetch=5), nngio.Rep0()) as sockets:
                for socket in sockets:
                    self.addresses.listen(socket, self.anywhere("inproc"))
                context = sockets[2].context()

                async def wait(channel: Any) -> None:
                    try:
                        await self.style.call(channel, "recv")
                    except nngio.Closed:
                        return
                    raise AssertionError("a receive on a closed socket has ended otherwise")

                async def close(targets: Any = (context, *sockets)) -> None:
                    await self.style.sleep(self.random.random() * 0.01)
                    for target in targets:
                        if isinstance(target, nngio.Context) or isinstance(self.style, Sync):
                            target.close()
                        else:
                            await target.aclose()

                waiting = [lambda channel=channel: wait(channel) for channel in (context, *sockets)]
                await self.style.all(close, *waiting)  # type: ignore[arg-type]

    async def refused(self) -> None:
        """What fails: times that are up, dials that nobody takes, sends that are cancelled; each message is whole afterwards."""
        async with self.open(nngio.Push0(), nngio.Req0(), nngio.Pair0()) as (push, req, pair):
            for _ in range(20):
                body = self.body()
                message = nngio.Message(body)
                failed: Any = None
                try:
                    await self.style.call(push, "send", message, timeout=self.random.random() * 0.003)
                except nngio.TimedOut as error:
                    failed = error.message
                assert failed is message
                assert bytes(message) == body

                async def send(message: nngio.Message = message) -> None:
                    with contextlib.suppress(nngio.TimedOut):
                        await self.style.call(req, "send", message, timeout=0.005)

                await self.style.within(self.random.random() * 0.003, send)
                assert bytes(message) == body
                with contextlib.suppress(nngio.TimedOut):
                    await self.style.call(pair, "recv", timeout=self.random.random() * 0.003)
            for transport in TRANSPORTS:
                with taken() as port:
                    await self._dial_nobody(pair, f"{transport}://localhost:{port}/" if transport != "ipc" else self.addresses.local("ipc"))

    async def _dial_nobody(self, socket: Any, url: str) -> None:
        try:
            await self.addresses.dial(self.style, socket, url)
        except (nngio.ConnectionRefused, nngio.NoEntry):
            return
        raise AssertionError(f"{url} was dialed, where nobody listens")


# The process.


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]


def measures() -> dict[str, int]:
    """What Python, the C library and nngio have given out, when all that can be given back has been."""
    gc.collect()
    _libc.malloc_trim(0)
    _libc.mallinfo2.restype = _Mallinfo2
    info = _libc.mallinfo2()
    return {"malloc": info.uordblks + info.hblkhd, "blocks": sys.getallocatedblocks(), "sockets": len(open_sockets)}


def main() -> None:
    kind, folder, seed, share = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=False)
    addresses = Addresses(folder)
    worker = Home(addresses) if kind == "home" else Guest(addresses, STYLES[kind](), seed, share)
    trace = "NNGIO_SOAK_TRACE" in os.environ
    if trace:
        import tracemalloc

        tracemalloc.start(10)
        first = None
        pauses = 0
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        answer: Any = None
        if command == "urls" and isinstance(worker, Home):
            answer = worker.urls
        elif command == "lap" and isinstance(worker, Guest):
            worker.lap(*arguments)
        elif command == "pause":
            worker.pause()
            failures = worker.failures + (worker.disorder if isinstance(worker, Home) else [])
            answer = {"done": worker.done, "failures": failures, "measures": measures()}
            if trace:
                pauses += 1
                now = tracemalloc.take_snapshot()
                if pauses == 4:
                    first = now
                elif first:
                    for statistic in now.compare_to(first, "traceback")[:5]:
                        print(kind, statistic, *statistic.traceback.format(), sep="\n", file=sys.stderr)
        elif command == "end":
            worker.end()
        print(json.dumps(answer), flush=True)
        if command == "end":
            return
    os._exit(1)  # whoever gives the commands is gone


if __name__ == "__main__":
    main()
