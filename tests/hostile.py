"""Peers that mean no good: what they say on each transport, byte by byte, and a server in a process of its own to say it to.

A `Server` has a listener for each of the sockets that it is told to make, all served by threads, and `check` converses with each
of them as a good peer does. It tells what it takes of the system, so that a test can compare before and after.
"""

import contextlib
import json
import os
import random
import resource
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import programs
import pytest
import trustme

import nngio
from nngio._core.nng import patched as is_patched
from nngio.lowlevel import ffi, lib, nng_version

SECONDS = 20.0
"""What one step may take: much more than it does."""

PATCHED = b" + " in ffi.string(lib.nngio_build_nng_source) and nng_version() == "1.5.2"

patched = pytest.mark.skipif(not PATCHED, reason="this NNG isn't patched against it")
"""For what an NNG without our patches does not withstand: it crashes, hangs, or takes all the memory there is."""

NUMBERS = {
    nngio.Pair0: 0x10,
    nngio.Pair1: 0x11,
    nngio.Pub0: 0x20,
    nngio.Sub0: 0x21,
    nngio.Req0: 0x30,
    nngio.Rep0: 0x31,
    nngio.Push0: 0x50,
    nngio.Pull0: 0x51,
    nngio.Surveyor0: 0x62,
    nngio.Respondent0: 0x63,
    nngio.Bus0: 0x70,
}
"""What each protocol calls itself in its greeting."""

SERVED = tuple(protocol for protocol in NUMBERS if is_patched("pair-pipe-close") or protocol not in (nngio.Pair0, nngio.Pair1))
"""What a server of all has: NNG's own PAIR may end its process when a peer leaves in the moment in which a message comes from it."""

PARTNERS: dict[type[nngio.Socket], type[nngio.Socket]] = {
    nngio.Pair0: nngio.Pair0,
    nngio.Pair1: nngio.Pair1,
    nngio.Pub0: nngio.Sub0,
    nngio.Sub0: nngio.Pub0,
    nngio.Req0: nngio.Rep0,
    nngio.Rep0: nngio.Req0,
    nngio.Push0: nngio.Pull0,
    nngio.Pull0: nngio.Push0,
    nngio.Surveyor0: nngio.Respondent0,
    nngio.Respondent0: nngio.Surveyor0,
    nngio.Bus0: nngio.Bus0,
}


# What is said.


def greeting(protocol: type[nngio.Socket]) -> bytes:
    """The first eight bytes on a stream, from a peer of that protocol."""
    return b"\0SP\0" + struct.pack(">HH", NUMBERS[protocol], 0)


def upgrade(protocol: type[nngio.Socket], path: str = "/x", host: str = "127.0.0.1", more: str = "") -> bytes:
    """The request of a WebSocket peer of that protocol: it names that of whom it wants to talk to."""
    partner = PARTNERS[protocol].__name__.lower()
    name = partner if partner == "pair1" else partner.rstrip("0")
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: {name}.sp.nanomsg.org\r\n{more}\r\n"
    ).encode()


def frame(
    body: bytes, *, op: int = 2, final: bool = True, reserved: int = 0, masked: bool = True, length: int | None = None, wide: bool = False
) -> bytes:
    """A WebSocket frame as a client sends it; `length` is what it says, if that isn't the truth, `wide` says it in eight bytes."""
    size = len(body) if length is None else length
    head = bytes([final << 7 | reserved << 4 | op])
    bit = masked << 7
    if wide or size > 0xFFFF:
        head += bytes([bit | 127]) + struct.pack(">Q", size)
    elif size > 125:
        head += bytes([bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([bit | size])
    return head + (b"\0\0\0\0" if masked else b"") + body


def message(transport: str, body: bytes, length: int | None = None) -> bytes:
    """A message on its way; `length` is what it says, if that isn't the truth."""
    if transport == "ws":
        return frame(body, length=length, wide=length is not None)
    return (b"\1" if transport == "ipc" else b"") + struct.pack(">Q", len(body) if length is None else length) + body


def opening(transport: str, protocol: type[nngio.Socket]) -> bytes:
    """What a peer of that protocol says first."""
    return upgrade(protocol) if transport == "ws" else greeting(protocol)


def wants(protocol: type[nngio.Socket]) -> bytes:
    """A body that a socket of that protocol's partner takes."""
    return {
        nngio.Req0: b"\x80\0\0\1ping",
        nngio.Surveyor0: b"\x80\0\0\1ping",
        nngio.Rep0: b"\x80\0\0\1pong",
        nngio.Respondent0: b"\x80\0\0\1pong",
        nngio.Pair1: b"\0\0\0\1ping",
    }.get(protocol, b"ping")


LENGTHS = (0, 1, 2**16 + 1, 2**20, 2**31 - 1, 2**31, 2**32, 2**32 + 1, 2**48, 2**62, 2**63 - 1, 2**63, 2**64 - 65, 2**64 - 32, 2**64 - 1)
"""What a peer may say that its message is long, where 2**16 is allowed."""


class Stranger:
    """A connection to a listener, without NNG at this end."""

    def __init__(self, url: str, timeout: float = SECONDS) -> None:
        transport, where = url.split("://", 1)
        self.transport = {"tls+tcp": "tls"}.get(transport, transport)
        if transport == "ipc":
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(where)  # waits where a listener has many waiting; with a timeout it would not
            self.socket.settimeout(timeout)
        else:
            host, port = where.split("/")[0].rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)), timeout=timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def encrypt(self) -> Self:
        """Shake hands for TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)
        return self

    def say(self, data: bytes) -> Self:
        """Send, whether the other end still listens or not."""
        with contextlib.suppress(OSError):
            self.socket.sendall(data)
        return self

    def hear(self, size: int) -> bytes:
        """So many bytes, or what came before the other end hung up."""
        data = b""
        with contextlib.suppress(ConnectionError):
            while len(data) < size and (more := self.socket.recv(size - len(data))):
                data += more
        return data

    def open(self, protocol: type[nngio.Socket]) -> Self:
        """Say what a peer says first, and hear the answer to it."""
        self.say(opening(self.transport, protocol))
        if self.transport == "ws":
            answer = self.answer()
            assert answer.startswith(b"HTTP/1.1 101 "), answer
        else:
            assert len(self.hear(8)) == 8
        return self

    def answer(self) -> bytes:
        """The lines of an answer in HTTP; what follows them is left."""
        data = b""
        while not data.endswith(b"\r\n\r\n") and (more := self.hear(1)):
            data += more
        return data

    def is_sent_away(self) -> bool:
        """Whether the other end hangs up, whatever it says before that."""
        with contextlib.suppress(ConnectionError):
            while self.socket.recv(65536):
                pass
        return True

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Hang up without a word: the other end gets a reset, where the transport has one."""
        if self.transport != "ipc":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.socket.close()


# TLS, as far as a test needs it.


class Certificate(NamedTuple):
    """A server's certificate with its key, and that of the authority behind it, in PEM."""

    own: bytes
    key: bytes
    authority: bytes


def certificate() -> Certificate:
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    return Certificate(b"".join(c.bytes() for c in own.cert_chain_pems), own.private_key_pem.bytes(), authority.cert_pem.bytes())


def tls_for(listens: bool, made: Certificate | None) -> nngio.TLSConfig | None:
    """What one end of a connection needs for TLS."""
    if made is None:
        return None
    return nngio.TLSConfig(cert=made.own, key=made.key) if listens else nngio.TLSConfig(ca=made.authority)


# A server in a process of its own.

SERVER = r"""
import json, resource, threading
import nngio
from nngio import Message
from nngio.lowlevel import check, ffi, lib

def again(step):
    def forever():
        while True:
            try:
                step()
            except nngio.Closed:
                return
            except nngio.NNGError:
                pass
    return forever

def echo(socket):
    m = socket.recv_msg()
    socket.send(m, timeout=0.2)

def hear(socket):
    seen.add(socket.recv()[:32])

def tick(socket):
    time.sleep(0.01)
    if socket.raw and isinstance(socket, (nngio.Req0, nngio.Surveyor0)):
        m = Message(b"tick")
        m.header = b"\x80\0\0\1"
        socket.send(m, timeout=0.2)
    else:
        socket.send(b"tick", timeout=0.2)

def ask(socket):
    time.sleep(0.01)
    seen.add(socket.request(b"tick", timeout=0.3)[:32])

def survey(socket):
    socket.survey_time = 0.05
    for answer in socket.survey(b"tick"):
        seen.add(answer[:32])

ROLES = {
    "Rep0": [echo], "Respondent0": [echo], "Pair0": [echo], "Pair1": [echo], "Bus0": [tick, hear], "Pull0": [hear], "Sub0": [hear],
    "Push0": [tick], "Pub0": [tick], "Req0": [ask], "Surveyor0": [survey],
}
seen = set()
sockets, urls, threads = [], [], []
for name, raw, options, url, pem in json.loads(sys.argv[1]):
    socket = getattr(nngio, name)(**options, **({"raw": True} if raw else {}), **({"subscribe": b""} if name == "Sub0" and not raw else {}))
    tls = nngio.TLSConfig(cert=pem[0], key=pem[1]) if pem else None
    listener = nngio.Listener(socket, url, tls=tls)
    listener.start()
    sockets.append(socket)
    urls.append(listener.url)
    roles = [tick, hear] if raw and name in ("Req0", "Surveyor0") else ROLES[name]
    if sys.argv[2] != "silent":
        for role in roles:
            threads.append(threading.Thread(target=again(lambda role=role, socket=socket: role(socket)), daemon=True))
            threads[-1].start()
print(json.dumps(urls), flush=True)

for line in sys.stdin:
    word, *rest = json.loads(line)
    if word == "seen":
        print(json.dumps(rest[0].encode() in seen), flush=True)
    elif word == "forget":
        seen.clear()
        print("null", flush=True)
    elif word == "received":
        n = 0
        while True:
            try:
                sockets[0].recv(timeout=rest[0])
            except nngio.TimedOut:
                break
            n += 1
        print(n, flush=True)
    elif word == "limit":
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (rest[0] or hard, hard))
        print("null", flush=True)
for socket in sockets:
    socket.close()
for thread in threads:
    thread.join(10)
main_ends()
"""


class Served(NamedTuple):
    """One socket of a server: its protocol, whether it is raw, and where it listens."""

    protocol: type[nngio.Socket]
    raw: bool
    url: str


class Server:
    """A process with a listener for each socket, all of them served; `with` ends it, and checks that nothing went wrong in it."""

    def __init__(self, sockets: list[tuple[type[nngio.Socket], str]], *, raw: bool = False, silent: bool = False, **options: Any) -> None:
        """`sockets` are protocols and URLs to listen at; with `silent` nobody serves them. `options` are the sockets'."""
        self._asking = threading.Lock()
        self.certificate = certificate() if any(url.startswith("tls") for _, url in sockets) else None
        wanted = [
            [
                protocol.__name__,
                raw,
                options,
                url,
                [self.certificate.own.decode(), self.certificate.key.decode()] if self.certificate and url.startswith("tls") else None,
            ]
            for protocol, url in sockets
        ]
        command = [sys.executable, "-S", "-E", "-X", "faulthandler", "-c", programs.PRELUDE + SERVER, json.dumps(wanted)]
        self.process = subprocess.Popen(
            [*command, "silent" if silent else "served"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.sockets = [Served(protocol, raw, url) for (protocol, _), url in zip(sockets, self._line(), strict=True)]

    def _line(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the server has ended: {self._end()}")
        return json.loads(line)

    def ask(self, *words: Any) -> Any:
        """Have the server do something, and return its answer."""
        assert self.process.stdin is not None
        with self._asking:
            try:
                self.process.stdin.write(json.dumps(words) + "\n")
                self.process.stdin.flush()
            except BrokenPipeError:
                raise AssertionError(f"the server has ended: {self._end()}") from None
            return self._line()

    def cost(self) -> dict[str, float]:
        """What the process has: bytes of memory (`virtual`, `resident`, its `peak`), `descriptors`, `threads`, `processor` seconds."""
        process = Path("/proc", str(self.process.pid))
        virtual, resident = (int(pages) * resource.getpagesize() for pages in (process / "statm").read_text().split()[:2])
        peak = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM:")).split()[1]
        times = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
        return {
            "virtual": virtual,
            "resident": resident,
            "peak": int(peak) * 1024,
            "descriptors": len(list((process / "fd").iterdir())),
            "threads": len(list((process / "task").iterdir())),
            "processor": sum(map(int, times)) / os.sysconf("SC_CLK_TCK"),
        }

    def has_not_grown(self, before: dict[str, float], most: int) -> None:
        """Assert that there were never so many bytes more in memory. A sanitizer keeps what was freed, and can't say."""
        if "NNGIO_SANITIZED" not in os.environ:
            cost = self.cost()
            assert cost["peak"] < before["peak"] + most, (before, cost)

    def gives_back(self, before: dict[str, float]) -> None:
        """Wait until it has no more descriptors than before. NNG closes them in its own time, and tells nobody."""
        end = time.monotonic() + SECONDS
        while (cost := self.cost())["descriptors"] > before["descriptors"]:
            assert time.monotonic() < end, f"{cost} now, {before} before"
            time.sleep(0.02)

    def check(self) -> None:
        """Converse with each of the sockets as a good peer does, with all at the same time."""
        with ThreadPoolExecutor(len(self.sockets)) as pool:
            list(pool.map(self.converse, self.sockets))

    def converse(self, served: Served) -> None:
        """A good peer comes, and has what it came for."""
        protocol, _raw, url = served
        partner = PARTNERS[protocol]
        word = random.randbytes(8).hex()
        options: dict[str, Any] = {"subscribe": b""} if partner is nngio.Sub0 else {}
        with partner(**options) as peer:
            good: Any = peer
            for option in ("recv_timeout", "send_timeout"):
                if hasattr(partner, option):
                    setattr(good, option, SECONDS)
            dialer = nngio.Dialer(peer, url, tls=tls_for(False, self.certificate if url.startswith("tls") else None))
            # A PAIR may be busy for a moment, with one that has gone.
            dialer.reconnect_time_min = 0.01
            dialer.start(block=False)
            if protocol is nngio.Rep0:
                assert good.request(word.encode()) == word.encode()
            elif protocol is nngio.Respondent0:
                good.wait_for_peers(1, timeout=SECONDS)
                self._until(lambda: _surveys(good, word.encode()), served)
            elif protocol in (nngio.Pair0, nngio.Pair1):
                self._until(lambda: _echoes(good, word.encode()), served)
            elif protocol in (nngio.Pull0, nngio.Sub0):
                self._until(lambda: good.send(word.encode()) or self.ask("seen", word), served)
            elif protocol is nngio.Bus0:
                assert good.recv() == b"tick"
                self._until(lambda: good.send(word.encode()) or self.ask("seen", word), served)
            else:
                assert good.recv() == b"tick"
                if protocol in (nngio.Req0, nngio.Surveyor0):
                    self._until(lambda: _answers(good, word.encode()) or self.ask("seen", word), served)

    @staticmethod
    def _until(done: Callable[[], object], served: Served) -> None:
        end = time.monotonic() + SECONDS
        while not done():
            assert time.monotonic() < end, f"{served} doesn't serve a good peer"
            time.sleep(0.002)

    def _end(self) -> str:
        assert self.process.stderr is not None
        try:
            code: object = self.process.wait(SECONDS * 3)  # a sanitizer looks through all its memory before it ends
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler tells where the threads are
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            self.process.kill()
            self.process.wait()
            code = "none, it had to be killed"
        return f"exit code {code}\n{self.process.stderr.read()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *exc_info: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        end = self._end()
        self.process.stdout.close()
        self.process.stderr.close()
        if kind is None:
            assert end == "exit code 0\n", end


def _surveys(peer: nngio.Surveyor0, word: bytes) -> bool:
    peer.survey_time = 0.5
    return any(answer == word for answer in peer.survey(word))


def _echoes(peer: Any, word: bytes) -> bool:
    with contextlib.suppress(nngio.TimedOut):
        peer.send(word, timeout=0.2)
        while peer.recv(timeout=0.2) != word:
            pass
        return True
    return False


def _answers(peer: Any, word: bytes) -> None:
    with contextlib.suppress(nngio.TimedOut):
        with contextlib.suppress(nngio.BadState):  # nobody has asked since the last answer
            peer.send(word, timeout=0.2)
        peer.recv(timeout=0.2)


# Listeners that mean no good.


@contextmanager
def false_listener(transport: str, path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The URL of a listener without NNG, and its socket."""
    with socket.socket(socket.AF_UNIX if transport == "ipc" else socket.AF_INET) as listener:
        if transport == "ipc":
            listener.bind(str(path))
            url = f"ipc://{path}"
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", 0))
            url = f"{transport}://127.0.0.1:{listener.getsockname()[1]}" + ("/x" if transport == "ws" else "")
        listener.listen(100)
        listener.settimeout(0.05)
        yield url, listener
    if transport == "ipc":
        path.unlink()
