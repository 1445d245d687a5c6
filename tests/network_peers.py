"""The process that runs in each host of test_network.py, and does what it is told: it opens sockets, makes calls, and keeps traffic going.

It reads commands from its standard input and answers each with a line; both are JSON. `Remote` is the other end, in the test. A thread
of traffic (a flow) notes what happens in lists, which have names; commands wait until a list is long enough, or return it.

Calls and flows are made in one of three styles: the synchronous verbs, or the awaitable ones on asyncio or trio. They are written once:
the coroutine of a synchronous flow never waits, so one step runs it to its end.
"""

import asyncio
import contextlib
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nngio

if TYPE_CHECKING:
    from network import Host

__all__ = ["Called", "Remote"]

STYLES = ("sync", "asyncio", "trio")


# In the test.


@dataclass(frozen=True)
class Called:
    """How a call ended: its value, or the name of its error; and the seconds that it took."""

    value: Any
    error: str | None
    seconds: float


class Remote:
    """A process in a host, from outside."""

    def __init__(self, host: "Host") -> None:
        path = os.pathsep.join([str(Path(nngio.__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.program = host.start(["env", f"PYTHONPATH={path}", sys.executable, "-u", "-X", "faulthandler", __file__])

    def open(self, name: str, protocol: str, **arguments: Any) -> None:
        """Open a socket. `listen`, `dial` and `block` are as ever; `keepalive` sets TCP's for its dialers and listeners."""
        self.program.ask("open", name, protocol, arguments)

    def begin(self, name: str, verb: str, *data: str, style: str = "sync", **keywords: Any) -> None:
        """Begin a call of one of the socket's methods; `ended` waits for its end. Text stands for bytes."""
        self.program.tell("call", name, verb, data, style, keywords)

    def ended(self) -> Called:
        """Wait for the end of the call that was begun."""
        return Called(*json.loads(self.program.line()))

    def call(self, name: str, verb: str, *data: str, style: str = "sync", **keywords: Any) -> Called:
        """Call one of the socket's methods."""
        self.begin(name, verb, *data, style=style, **keywords)
        return self.ended()

    def start(self, kind: str, name: str, style: str, **settings: Any) -> None:
        """Start a flow on a socket: send, recv, ask, answer, survey or respond."""
        self.program.ask("start", kind, name, style, settings)

    def length(self, list_name: str) -> int:
        """How long a list is."""
        return int(self.program.ask("length", list_name))

    def until_more(self, list_name: str, count: int) -> None:
        """Wait until a list has got so many more."""
        self.program.ask("until_length", list_name, self.length(list_name) + count)

    def until(self, list_name: str, value: int) -> None:
        """Wait until the last in a list is at least this."""
        self.program.ask("until_value", list_name, value)

    def stop(self) -> None:
        """Let the flows that send or ask come to their end, and wait for that."""
        self.program.ask("stop")

    def lists(self) -> dict[str, list[Any]]:
        """All that was noted."""
        lists: dict[str, list[Any]] = self.program.ask("lists")
        return lists

    def end(self) -> None:
        """Close all sockets, and wait for the process's end."""
        assert self.program.ask("end") == "ended"
        assert self.program.process.wait(30) == 0, self.program.errors


# In the host.


class Peer:
    """What the process has: sockets, flows, and lists of what happened."""

    def __init__(self) -> None:
        self.sockets: dict[str, Any] = {}
        self.lists: dict[str, list[Any]] = {}
        self.changed = threading.Condition()
        self.stopping = threading.Event()
        self.ending = threading.Event()
        self.threads: list[tuple[bool, threading.Thread]] = []

    def note(self, list_name: str, value: Any) -> None:
        with self.changed:
            self.lists.setdefault(list_name, []).append(value)
            self.changed.notify_all()

    # The commands; what they return is the answer.

    def open(self, name: str, protocol: str, arguments: dict[str, Any]) -> None:
        listen, dial = arguments.pop("listen", None), arguments.pop("dial", None)
        keepalive, block = arguments.pop("keepalive", False), arguments.pop("block", True)
        socket = self.sockets[name] = getattr(nngio, protocol)(**arguments)
        if listen:
            listener = nngio.Listener(socket, listen)
            listener.tcp_keepalive = keepalive
            listener.start()
        for url in [dial] if isinstance(dial, str) else dial or ():
            dialer = nngio.Dialer(socket, url)
            dialer.tcp_keepalive = keepalive
            dialer.start(block=block)

    def call(self, name: str, verb: str, data: list[str], style: str, keywords: dict[str, Any]) -> list[Any]:
        body = [item if verb in ("dial", "adial") else item.encode() for item in data]
        started = time.monotonic()
        value: Any = None
        error = None
        try:
            method = getattr(self.sockets[name], verb if style == "sync" else f"a{verb}")
            value = method(*body, **keywords) if style == "sync" else run(style, lambda: method(*body, **keywords))
            value = value.decode() if isinstance(value, bytes) else None
        except nngio.NNGError as raised:
            error = type(raised).__name__
        return [value, error, time.monotonic() - started]

    def start(self, kind: str, name: str, style: str, settings: dict[str, Any]) -> None:
        flow = Flow(self, name, Verbs(style), **settings)
        thread = threading.Thread(target=run, args=(style, getattr(flow, kind)), name=f"{name} {kind}")
        self.threads.append((kind in ("send", "ask", "survey"), thread))
        thread.start()

    def length(self, list_name: str) -> int:
        with self.changed:
            return len(self.lists.get(list_name, ()))

    def until_length(self, list_name: str, length: int) -> None:
        with self.changed:
            self.changed.wait_for(lambda: len(self.lists.get(list_name, ())) >= length)

    def until_value(self, list_name: str, value: int) -> None:
        with self.changed:
            self.changed.wait_for(lambda: (noted := self.lists.get(list_name)) and noted[-1] >= value)

    def stop(self) -> None:
        self.stopping.set()
        for active, thread in self.threads:
            if active:
                thread.join()

    def all_lists(self) -> dict[str, list[Any]]:
        with self.changed:
            return {name: list(noted) for name, noted in self.lists.items()}

    def end(self) -> str:
        self.stop()
        self.ending.set()
        for socket in self.sockets.values():
            socket.close()
        for _, thread in self.threads:
            thread.join()
        return "ended"


class Verbs:
    """The verbs that wait, in one of the styles."""

    def __init__(self, style: str) -> None:
        self.style = style

    async def do(self, socket: Any, verb: str, *data: bytes, timeout: float) -> Any:
        if self.style == "sync":
            return getattr(socket, verb)(*data, timeout=timeout)
        return await getattr(socket, f"a{verb}")(*data, timeout=timeout)

    async def sleep(self, seconds: float) -> None:
        if self.style == "sync":
            time.sleep(seconds)  # noqa: ASYNC251  # nothing else runs in this thread
        elif self.style == "asyncio":
            await asyncio.sleep(seconds)
        else:
            import trio

            await trio.sleep(seconds)


def run(style: str, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine to its end."""
    if style == "asyncio":
        return asyncio.run(function())
    if style == "trio":
        import trio

        return trio.run(function)
    try:
        function().send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("a synchronous flow has waited")


class Flow:
    """One thread's traffic on a socket. `pace` is how long it rests after each message, `size` how long those are."""

    def __init__(self, peer: Peer, name: str, verbs: Verbs, *, timeout: float = 0.5, pace: float = 0.005, size: int = 8) -> None:
        self.peer = peer
        self.name = name
        self.verbs = verbs
        self.socket = peer.sockets[name]
        self.timeout = timeout
        self.pace = pace
        self.size = size

    def note(self, what: str, value: Any) -> None:
        self.peer.note(f"{self.name} {what}", value)

    def body(self, number: int) -> bytes:
        return number.to_bytes(8, "big").ljust(self.size, b".")

    @staticmethod
    def number(body: bytes) -> int:
        return int.from_bytes(body[:8], "big")

    async def do(self, socket: Any, verb: str, *data: bytes) -> Any:
        """Make a call; one that takes much longer than its timeout is noted."""
        started = time.monotonic()
        try:
            return await self.verbs.do(socket, verb, *data, timeout=self.timeout)
        finally:
            took = time.monotonic() - started
            if took > self.timeout + 10:
                self.note("late", took)

    async def send(self) -> None:
        """Send numbers, each until it is accepted."""
        for number in itertools.count():
            while True:
                if self.peer.stopping.is_set():
                    return
                try:
                    await self.do(self.socket, "send", self.body(number))
                    break
                except nngio.TimedOut:
                    self.note("send timed out", number)
            self.note("sent", number)
            await self.verbs.sleep(self.pace)

    async def recv(self) -> None:
        """Receive numbers."""
        with contextlib.suppress(nngio.Closed):
            while not self.peer.ending.is_set():
                try:
                    self.note("received", self.number(await self.do(self.socket, "recv")))
                except nngio.TimedOut:
                    self.note("recv timed out", 0)

    async def ask(self) -> None:
        """Ask numbers, one after another, in a context."""
        with self.socket.context() as context:
            for number in itertools.count():
                if self.peer.stopping.is_set():
                    return
                try:
                    answer = await self.do(context, "request", self.body(number))
                except nngio.TimedOut:
                    self.note("asked in vain", number)
                else:
                    self.note("answered", self.number(answer))
                await self.verbs.sleep(self.pace)

    async def answer(self) -> None:
        """Answer each request or survey with itself."""
        with contextlib.suppress(nngio.Closed), self.socket.context() as context:
            while not self.peer.ending.is_set():
                try:
                    request = await self.do(context, "recv")
                    self.note("asked", self.number(request))
                    await self.do(context, "send", request)
                except nngio.TimedOut:
                    pass

    async def survey(self) -> None:
        """Survey numbers, one after another, and note which answers each got."""
        for number in itertools.count():
            if self.peer.stopping.is_set():
                return
            answers = []
            await self.do(self.socket, "send", self.body(number))
            with contextlib.suppress(nngio.TimedOut, nngio.BadState):
                while True:
                    answers.append(self.number(await self.do(self.socket, "recv")))
            self.note("surveyed", [number, answers])
            if answers:
                self.note("answered", number)


def main() -> None:
    peer = Peer()
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        answer = getattr(peer, "all_lists" if command == "lists" else command)(*arguments)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
        if command == "end":
            return
    os._exit(1)  # the test is gone


if __name__ == "__main__":
    main()
