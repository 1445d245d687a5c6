"""What NNG blocks in never holds up the loop: name servers that don't answer, peers that don't, and closing.

How it is measured. A task that only yields goes round with the loop all the time, and notes how long each round took: by the clock,
without the time in which its thread was ready and the machine ran something else, which the system keeps account of
(`schedstat`). So a round lasts for as long as its callbacks computed or were stuck in a call. A round of more than 5 ms is a
hold-up. What the library would do to the loop it would do every time, so a scene that has one is played again, up to three
times, and one of those has to be without. The same measurement finds a call that does block (`test_a_call_that_blocks_is_found`).

Nothing here leaves the machine. A black hole is a listener on loopback whose backlog is full. A dead name server is a silent
socket in a network namespace of its own; a slow one is a `getaddrinfo` of our own, preloaded.
"""

import asyncio
import base64
import contextlib
import ctypes
import fcntl
import gc
import hashlib
import os
import re
import shutil
import socket as sockets
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import programs
import pytest
from loops import TRIO, UVLOOP, AsyncioLoop, Loop, Tasks

import nngio

Address = Callable[[str], str]
Scene = Callable[[Loop, Tasks], Awaitable[None]]

HOLD_UP_MS = 5.0
ATTEMPTS = 3
ANYBODY = nngio.TLSConfig(auth="none")
SHORT = 0.25
"""Seconds after which what goes on for ever is given up."""

LOOPS: list[Loop] = [AsyncioLoop("asyncio", asyncio.new_event_loop), UVLOOP, TRIO]

each_loop = pytest.mark.parametrize("loop", LOOPS, ids=repr)


# The measurement.


class Rounds:
    """Goes round with the loop inside of an `async with`, and notes the longest round, in milliseconds."""

    def __init__(self, loop: Loop, tasks: Tasks) -> None:
        self.loop = loop
        self.tasks = tasks
        self.longest = 0.0
        self.count = 0
        self.going = True

    async def __aenter__(self) -> Self:
        self.task = self.tasks.start(self._go)
        for _ in range(20):
            await self.loop.sleep(0)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for _ in range(20):
            await self.loop.sleep(0)
        self.going = False
        (await self.task.wait()).result()

    async def _go(self) -> None:
        account = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        try:
            last = self._now(account)
            while self.going:
                await self.loop.sleep(0)
                now = self._now(account)
                self.longest = max(self.longest, (now - last) / 1e6)
                self.count += 1
                last = now
        finally:
            os.close(account)

    @staticmethod
    def _now(account: int) -> int:
        """Nanoseconds, without those in which the thread waited for a processor."""
        while True:
            waited = int(os.pread(account, 100, 0).split()[1])
            now = time.monotonic_ns()
            if int(os.pread(account, 100, 0).split()[1]) == waited:  # else the one may be of before a wait, and the other not
                return now - waited


def longest_round(loop: Loop, scene: Scene) -> float:
    """Play a scene, and return the longest round of the loop meanwhile, in milliseconds."""

    async def main(tasks: Tasks) -> float:
        async with Rounds(loop, tasks) as rounds:
            await scene(loop, tasks)
        assert rounds.count > 20
        return rounds.longest

    gc.collect()
    gc.disable()
    try:
        return loop.run(main)
    finally:
        gc.enable()


async def nothing(loop: Loop, _tasks: Tasks) -> None:
    """The idle baseline."""
    await loop.sleep(0.1)


def check_no_hold_up(loop: Loop, scene: Scene) -> None:
    """Play a scene, and find one time in which it did not hold up the loop."""
    found = []
    for _ in range(ATTEMPTS):
        idle = longest_round(loop, nothing)
        found.append((longest_round(loop, scene), idle))
        if found[-1][0] <= max(HOLD_UP_MS, idle):
            return
    raise AssertionError("rounds of " + ", ".join(f"{busy:.1f} ms ({idle:.1f} when idle)" for busy, idle in found))


async def all_of(tasks: Tasks, *functions: Callable[[], Awaitable[None]]) -> None:
    """Play several scenes at the same time."""
    for task in [tasks.start(function) for function in functions]:
        (await task.wait()).result()


@each_loop
def test_a_call_that_blocks_is_found(loop: Loop) -> None:
    """The measurement itself: a sleep of 20 ms in a task is a round of 20 ms."""

    async def scene(_loop: Loop, _tasks: Tasks) -> None:
        time.sleep(0.02)  # noqa: ASYNC251  # to be found

    assert longest_round(loop, scene) > 15
    with pytest.raises(AssertionError, match=r"rounds of (2\d\.\d ms .*, ){2}2\d\.\d ms"):
        check_no_hold_up(loop, scene)


# Peers that don't answer.


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of a server that accepts connections, and never says a word."""
    with sockets.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server.getsockname()[1]


@pytest.fixture
def silent(black_hole: int, mute: int) -> list[str]:
    """URLs where nobody answers, in one way or the other."""
    return [f"{transport}://127.0.0.1:{port}" for transport in ("tcp", "ws", "tls+tcp") for port in (black_hole, mute)]


@each_loop
def test_a_dial_that_gets_no_answer_does_not_hold_up_the_loop(loop: Loop, silent: list[str]) -> None:
    """Neither its beginning, nor its timeout, nor what is left of it when the socket is closed."""

    async def dial(url: str) -> None:
        async with nngio.Pair0(tls=ANYBODY) as socket:
            with pytest.raises(nngio.TimedOut):
                await socket.adial(url, timeout=SHORT)

    check_no_hold_up(loop, lambda _loop, tasks: all_of(tasks, *(partial(dial, url) for url in silent)))


@each_loop
def test_a_dial_that_is_cancelled_does_not_hold_up_the_loop(loop: Loop, silent: list[str]) -> None:
    """At whatever stage the connection is: after one, three, ten, thirty milliseconds."""

    async def scene(loop: Loop, tasks: Tasks) -> None:
        async with nngio.Bus0(tls=ANYBODY) as socket:
            for milliseconds in (1, 3, 10, 30):
                started = [tasks.start(socket.adial, url) for url in silent]
                await loop.sleep(milliseconds / 1000)
                for task in started:
                    task.cancel()
                    await loop.sleep(0)
                for task in started:
                    assert (await task.wait()).cancelled

    check_no_hold_up(loop, scene)


@each_loop
def test_a_dial_in_the_background_does_not_hold_up_the_loop(loop: Loop, silent: list[str]) -> None:
    """Begun, left alone for a while, and ended with its socket."""

    async def dial(url: str) -> None:
        async with nngio.Pair0(tls=ANYBODY) as socket:
            await socket.adial(url, block=False)
            await loop.sleep(0.05)

    check_no_hold_up(loop, lambda _loop, tasks: all_of(tasks, *(partial(dial, url) for url in silent)))


@each_loop
def test_closing_a_socket_under_a_dial_does_not_hold_up_the_loop(loop: Loop, silent: list[str]) -> None:
    """Each dial ends with Closed, within a second."""

    async def scene(loop: Loop, tasks: Tasks) -> None:
        async with nngio.Bus0(tls=ANYBODY) as socket:
            started = [tasks.start(socket.adial, url) for url in silent]
            await loop.sleep(0.05)
            begun = time.monotonic()
            await socket.aclose()
            for task in started:
                assert isinstance((await task.wait()).error, nngio.Closed)
            assert time.monotonic() - begun < 1

    check_no_hold_up(loop, scene)


# Closing.


class RudeServer:
    """A websocket server that opens connections for one of NNG's protocols, and ignores whatever comes then, CLOSE included."""

    GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    def __init__(self) -> None:
        self.server = sockets.create_server(("127.0.0.1", 0), backlog=50)
        self.url = f"ws://127.0.0.1:{self.server.getsockname()[1]}/"
        self.connections: list[sockets.socket] = []
        self.thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.server.shutdown(sockets.SHUT_RDWR)
        self.thread.join()
        for connection in (self.server, *self.connections):
            connection.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # shut down
            while True:
                connection, _ = self.server.accept()
                self.connections.append(connection)
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += connection.recv(4096)
                headers = dict(re.findall(rb"(?im)^(sec-websocket-\w+): *(.*?)\r$", request))
                fields = {name.lower(): value for name, value in headers.items()}
                accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + self.GUID).digest())
                connection.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + accept + b"\r\n"
                    b"Sec-WebSocket-Protocol: " + fields[b"sec-websocket-protocol"] + b"\r\n\r\n"
                )


@each_loop
def test_closing_a_websocket_does_not_hold_up_the_loop(loop: Loop, address: Address) -> None:
    """With a peer that answers: NNG exchanges CLOSE with it."""

    async def scene(_loop: Loop, _tasks: Tasks) -> None:
        with nngio.Pair0(listen=address("ws")) as left:
            async with nngio.Pair0() as right:
                await right.adial(left.listeners[0].url)
                await right.asend(b"hello")
                assert await left.arecv() == b"hello"
            await left.aclose()

    check_no_hold_up(loop, scene)


@each_loop
def test_closing_websockets_whose_peers_ignore_it_does_not_hold_up_the_loop(loop: Loop) -> None:
    """NNG waits for their answers, for a tenth of a second each, and the loop goes on."""

    async def scene(loop: Loop, _tasks: Tasks) -> None:
        async with nngio.Bus0() as socket:
            for _ in range(5):
                await socket.adial(server.url)
            await loop.sleep(0.02)

    with RudeServer() as server:
        check_no_hold_up(loop, scene)


@each_loop
def test_closing_dialers_and_listeners_does_not_hold_up_the_loop(loop: Loop, address: Address) -> None:
    """Alone, with peers that answer, and with peers that don't."""

    async def scene(_loop: Loop, tasks: Tasks) -> None:
        async with nngio.Bus0() as bus, nngio.Bus0() as peer:
            listeners = [await bus.alisten(address(transport)) for transport in ("tcp", "ws", "ipc", "inproc")]
            dialers = [await peer.adial(url) for url in [*(listener.url for listener in listeners), *[server.url] * 3]]
            await all_of(tasks, *(dialer.aclose for dialer in dialers[::2]))
            await all_of(tasks, *(listener.aclose for listener in listeners))
            await all_of(tasks, *(dialer.aclose for dialer in dialers))

    with RudeServer() as server:
        check_no_hold_up(loop, scene)


@each_loop
def test_dropping_an_open_socket_does_not_hold_up_the_loop(loop: Loop, address: Address) -> None:
    """Where a loop runs, its finalizer only begins to close its hundred pipes."""

    async def scene(_loop: Loop, _tasks: Tasks) -> None:
        socket = nngio.Bus0()
        url = (await socket.alisten(address("ws"))).url
        peers = [nngio.Bus0() for _ in range(100)]
        for peer in peers:
            await peer.adial(url)
        socket._listeners.clear()  # they refer to it, and looking for cycles would take its own time
        with pytest.warns(ResourceWarning, match="unclosed <nngio.Bus0"):
            del socket
        for peer in peers:
            await peer.aclose()

    check_no_hold_up(loop, scene)


@each_loop
@pytest.mark.parametrize("transport", ["tcp", "ws"])
def test_closing_a_socket_with_many_peers_does_not_hold_up_the_loop(loop: Loop, address: Address, transport: str) -> None:
    """Forty pipes are torn down, with messages queued in each."""

    async def scene(_loop: Loop, tasks: Tasks) -> None:
        async with nngio.Bus0() as bus:
            url = (await bus.alisten(address(transport))).url
            peers = [nngio.Bus0() for _ in range(40)]
            for peer in peers:
                await peer.adial(url)
            for _ in range(10):
                await bus.asend(bytes(1000))
            await bus.aclose()
            await all_of(tasks, *(peer.aclose for peer in peers))

    check_no_hold_up(loop, scene)


@each_loop
def test_closing_contexts_does_not_hold_up_the_loop(loop: Loop, address: Address) -> None:
    """Fifty of them, all at once, each with a task that waits on it."""

    async def scene(loop: Loop, tasks: Tasks) -> None:
        async with nngio.Rep0(listen=address("inproc")) as rep:
            contexts = [rep.context() for _ in range(50)]
            waiting = [tasks.start(context.arecv) for context in contexts]
            await loop.sleep(0.05)
            await all_of(tasks, *(context.aclose for context in contexts))
            for task in waiting:
                assert isinstance((await task.wait()).error, nngio.Closed)

    check_no_hold_up(loop, scene)


# Name servers. Each scene is played in a process of its own: `python test_blocking.py SCENE LOOP`.


HOST = "nowhere.example"


async def dial_with_a_timeout(transport: str, _loop: Loop) -> None:
    async with nngio.Pair0() as socket:
        with pytest.raises(nngio.TimedOut):
            await socket.adial(f"{transport}://{HOST}:5555", timeout=SHORT)


async def dial_and_cancel(transport: str, loop: Loop) -> None:
    async with nngio.Pair0() as socket, loop.timeout(0.05) as expiry:
        await socket.adial(f"{transport}://{HOST}:5555")
    assert expiry.expired


async def dial_in_the_background(transport: str, loop: Loop) -> None:
    async with nngio.Pair0() as socket:
        await socket.adial(f"{transport}://{HOST}:5555", block=False)
        await loop.sleep(0.05)


async def dial_until_the_answer(transport: str, _loop: Loop) -> None:
    async with nngio.Pair0() as socket:
        with pytest.raises(nngio.NNGError):
            await socket.adial(f"{transport}://{HOST}:5555")


async def dial_from_an_address(transport: str, _loop: Loop) -> None:
    if transport == "tcp":
        async with nngio.Pair0() as socket:
            with pytest.raises(nngio.NNGError):
                await socket.adial(f"tcp://127.0.0.1;{HOST}:5555", timeout=5)


async def listen(transport: str, _loop: Loop) -> None:
    async with nngio.Pair0() as socket:
        with pytest.raises(nngio.NNGError):
            await socket.alisten(f"{transport}://{HOST}:5555")


NamedScene = Callable[[str, Loop], Awaitable[None]]

# A name server that never answers costs the system ten seconds before it gives up; the slow one here less than half of one.
DEAD: list[NamedScene] = [dial_with_a_timeout, dial_and_cancel, dial_in_the_background]
SLOW: list[NamedScene] = [*DEAD, dial_until_the_answer, dial_from_an_address, listen]


def play(loop: Loop) -> None:
    """Play all scenes of the name server that this process has, each over tcp and ws, and print the longest round of each."""
    for scene in SLOW if os.environ.get("LD_PRELOAD") else DEAD:

        async def both(loop: Loop, tasks: Tasks, scene: NamedScene = scene) -> None:
            await all_of(tasks, lambda: scene("tcp", loop), lambda: scene("ws", loop))

        print(scene.__name__, f"{longest_round(loop, both):.1f}", flush=True)


def dead_name_server() -> sockets.socket:
    """In this process's own namespaces, bring up loopback, and make all names depend on a server that never answers."""
    with sockets.socket() as any_socket:
        request = struct.pack("16sh", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, request + bytes(64))  # SIOCSIFFLAGS
    server = sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    settings = Path(os.environ["NNGIO_TEST_FOLDER"]) / "resolv.conf"
    settings.write_text("nameserver 127.0.0.1\noptions timeout:5 attempts:2\n")
    libc = ctypes.CDLL(None, use_errno=True)
    bind = 0x1000
    if libc.mount(bytes(settings), b"/etc/resolv.conf", None, bind, None) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    return server


def run_scenes(loop: Loop, folder: Path, *before: str, **environment: str) -> dict[str, float]:
    """Play the scenes in a process, and return the longest round of each."""
    folders = [*programs.FOLDERS, str(Path(programs.__file__).parent)]
    environment = {**os.environ, **environment, "NNGIO_TEST_FOLDER": str(folder), "PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run(
        [*before, sys.executable, __file__, repr(loop)], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return {name: float(longest) for name, longest in (line.split() for line in done.stdout.splitlines())}


def check_scenes(play_all: Callable[[], dict[str, float]], scenes: list[NamedScene]) -> None:
    """Each scene has to be played without a hold-up once."""
    best = {scene.__name__: float("inf") for scene in scenes}
    for _ in range(ATTEMPTS):
        played = play_all()
        assert played.keys() == best.keys()
        best = {scene: min(longest, played[scene]) for scene, longest in best.items()}
        if max(best.values()) <= HOLD_UP_MS:
            return
    raise AssertionError(f"rounds of so many milliseconds: {best}")


SLOW_GETADDRINFO = """
#include <netdb.h>
#include <unistd.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
    (void) node; (void) service; (void) hints; (void) result;
    usleep(300000);
    return EAI_NONAME;
}
"""


@pytest.mark.timeout(90)
@each_loop
def test_a_slow_name_server_does_not_hold_up_the_loop(loop: Loop, tmp_path: Path) -> None:
    """Dialing in all ways, and listening, where each look-up takes 0.3 s and finds nothing."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler is not None, "this test compiles a slow getaddrinfo: install a C compiler"
    (tmp_path / "slow.c").write_text(SLOW_GETADDRINFO)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "slow.so", tmp_path / "slow.c"], check=True)
    check_scenes(lambda: run_scenes(loop, tmp_path, LD_PRELOAD=str(tmp_path / "slow.so")), SLOW)


@pytest.mark.timeout(90)
@each_loop
def test_a_dead_name_server_does_not_hold_up_the_loop(loop: Loop, tmp_path: Path) -> None:
    """The system's own resolver waits for a server that never answers, and dials are given up meanwhile."""
    unshare = shutil.which("unshare")
    assert unshare is not None, "this test needs unshare, of util-linux"
    namespaces = [unshare, "--mount", "--net", *(["--map-root-user"] if os.getuid() != 0 else [])]
    check_scenes(lambda: run_scenes(loop, tmp_path, *namespaces), DEAD)


if __name__ == "__main__":
    name_server = dead_name_server() if "LD_PRELOAD" not in os.environ else None
    play(next(loop for loop in LOOPS if repr(loop) == sys.argv[1]))
    os._exit(0)  # a look-up that goes on would hold up the exit, which is not the matter here
