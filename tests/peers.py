"""Real peers: `nngcat` and `nanocat` as processes, what they print, and a conversation in each protocol.

Both tools print a message that they receive as a msgpack "bin": its length, then its bytes as they are. So bodies can be told
from their neighbours whatever they hold, an empty one too, and 16 MiB are printed as fast as they are read.

A tool that listens needs a port that is known beforehand: it is bound here as well, without listening, so that nobody
else gets it, while SO_REUSEADDR lets the tool have it. The socket dials in the background until the tool is there.

No tool says when it is connected. Where a protocol drops what is sent to nobody, the tools repeat their message (--interval),
and what is sent to them begins with probes, until one of those is printed.
"""

import fcntl
import functools
import itertools
import os
import random
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

import nngio

SECONDS = 15.0
"""What one step of a conversation may take: much more than it does."""
PROBE = b"are you there?"
KIB, MIB = 1024, 1024 * 1024

_PACKAGES = {"nngcat": "nng-utils", "nanocat": "nanomsg-utils"}
_PREFIXES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
"""By the first byte of a msgpack "bin", the size of its length."""
_numbers = itertools.count()


class Peer:
    """A process of one of the tools; stopped at the end of the `with` block at the latest."""

    def __init__(self, tool: str, *arguments: str, port: socket.socket | None = None) -> None:
        """Start it. `port` keeps the port that it listens at, and is closed when the process has ended."""
        path = shutil.which(tool)
        if path is None:
            pytest.fail(f"{tool} is not installed: it is in Debian's package {_PACKAGES[tool]}")
        self.tool = tool
        self._port = port
        self._read = bytearray()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by stop
        self._process = subprocess.Popen((path, *arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors)
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        fcntl.fcntl(self._out, fcntl.F_SETPIPE_SZ, MIB)

    def printed(self, timeout: float = SECONDS) -> bytes:
        """The body of the next message that the tool prints."""
        deadline = time.monotonic() + timeout
        while (place := self._frame()) is None:
            if not self._wait_for_output(deadline - time.monotonic()):
                raise AssertionError(f"{self.tool} printed no message within {timeout} s. {self._said()}")
            data = os.read(self._out, MIB)
            if not data:
                raise AssertionError(f"{self.tool} ended with code {self.ended()}, without printing. {self._said()}")
            self._read += data
        body = bytes(memoryview(self._read)[place[0] : place[1]])
        del self._read[: place[1]]
        return body

    def prints(self, timeout: float) -> bool:
        """Whether something was printed that has not been read, or is within `timeout` seconds."""
        return bool(self._read) or self._wait_for_output(timeout)

    def ended(self, timeout: float = SECONDS) -> int:
        """Wait until the process ends by itself, and return its exit code."""
        return self._process.wait(timeout)

    def stop(self) -> None:
        """End the process, and wait until it is gone."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()
        if self._port is not None:
            self._port.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _wait_for_output(self, timeout: float) -> bool:
        return bool(select.select([self._out], [], [], max(0.0, timeout))[0])

    def _frame(self) -> tuple[int, int] | None:
        """Where the body of the first message in `_read` begins and ends; None as long as it isn't all there."""
        if not self._read:
            return None
        if self._read[0] not in _PREFIXES:
            raise AssertionError(f"{self.tool} printed {bytes(self._read[:80])!r}. {self._said()}")
        begin = 1 + _PREFIXES[self._read[0]]
        end = begin + int.from_bytes(self._read[1:begin], "big")
        return (begin, end) if len(self._read) >= end else None

    def _said(self) -> str:
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace").strip()
        return f"Its standard error: {text}" if text else "Its standard error is empty."


def meet(tool: str, protocol: str, sock: nngio.Socket, transport: str, directory: Path, *arguments: str, listens: bool) -> Peer:
    """Start a tool with a protocol and connect it with a socket: the tool listens, or the socket does."""
    command = [f"--{protocol}", *arguments, *_TIMING[tool].get(protocol, ())]
    if protocol not in ("pub", "push"):  # nngcat refuses a format for what receives nothing
        command.append("--msgpack")
    if not listens:
        url = f"ipc://{directory}/{next(_numbers)}" if transport == "ipc" else f"{transport}://127.0.0.1:0"
        return Peer(tool, *command, "--connect", sock.listen(url).url)
    if transport == "ipc":
        port, url = None, f"ipc://{directory}/{next(_numbers)}"
    else:
        port = socket.socket()
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.bind(("127.0.0.1", 0))
        url = f"{transport}://127.0.0.1:{port.getsockname()[1]}"
    if protocol in ("surveyor", "bus") and tool == "nngcat":
        command += ["--delay", "1"]  # or else it asks before anyone can be there
    sock.dial(url, block=False, reconnect_time_min=0.01)
    return Peer(tool, *command, "--bind", url, port=port)


_TIMING: dict[str, dict[str, tuple[str, ...]]] = {
    # A PUSH with an interval does not exit while its message is on its way. A SURVEYOR of nngcat's has a second for its survey;
    # the interval is longer, because it fails when a message comes in the very moment in which the interval is over.
    "nngcat": {
        "push": ("--interval", "3600"),
        "pub": ("--interval", "1"),
        "surveyor": ("--interval", "3"),
        "bus": ("--interval", "5"),
    },
    # nanocat does not wait until it is connected.
    "nanocat": {
        "push": ("--interval", "3600"),
        "pub": ("--interval", "0.2"),
        "surveyor": ("--delay", "0.2", "--interval", "1.5"),
        "bus": ("--delay", "0.2", "--interval", "1"),
    },
}


# Bodies.


@functools.cache
def body(size: int, whose: str) -> bytes:
    """A body of this size, the same each time, unlike that of another size or owner."""
    return random.Random(f"{whose} {size}").randbytes(size)


def check_same(got: bytes, expected: bytes) -> None:
    """Fail unless two bodies are the same; says where they differ, without printing 16 MiB."""
    if got == expected:
        return
    at = next((i for i, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b), min(len(got), len(expected)))
    raise AssertionError(
        f"{len(got)} bytes instead of {len(expected)}, from byte {at} on {got[at : at + 20]!r} instead of {expected[at : at + 20]!r}"
    )


# Conversations: the socket's side, by the protocol of the tool's. `theirs` is what the tool was given to send.


def _with_req(sock: Any, peer: Peer, ours: bytes, theirs: bytes) -> None:
    check_same(sock.recv(timeout=SECONDS), theirs)
    sock.send(ours, timeout=SECONDS)
    check_same(peer.printed(), ours)
    assert peer.ended() == 0


def _with_rep(sock: Any, peer: Peer, ours: bytes, theirs: bytes) -> None:
    sock.send(ours, timeout=SECONDS)
    check_same(peer.printed(), ours)  # it prints the request before it replies
    check_same(sock.recv(timeout=SECONDS), theirs)


def _with_sender(sock: Any, _peer: Peer, _ours: bytes, theirs: bytes) -> None:
    check_same(sock.recv(timeout=SECONDS), theirs)


def _with_pull(sock: Any, peer: Peer, ours: bytes, _theirs: bytes) -> None:
    sock.send(ours, timeout=SECONDS)
    check_same(peer.printed(), ours)


def probe(peer: Peer, send: Callable[[bytes], object]) -> None:
    """Send probes until the tool has printed one: then it is connected."""
    deadline = time.monotonic() + SECONDS
    send(PROBE)
    while not peer.prints(0.02):
        assert time.monotonic() < deadline, f"{peer.tool} prints no probe within {SECONDS} s"
        send(PROBE)


def printed_after_probes(peer: Peer) -> bytes:
    """The body of the next message that the tool prints and that isn't a probe."""
    while (data := peer.printed()) == PROBE:
        pass
    return data


def _with_sub(sock: Any, peer: Peer, ours: bytes, _theirs: bytes) -> None:
    probe(peer, sock.send)
    sock.send(ours)
    check_same(printed_after_probes(peer), ours)


def _with_surveyor(sock: Any, peer: Peer, ours: bytes, theirs: bytes) -> None:
    while True:  # again, if the survey had run out before the answer was there
        check_same(sock.recv(timeout=SECONDS), theirs)
        sock.send(ours, timeout=SECONDS)
        if peer.prints(1):
            check_same(peer.printed(), ours)
            return


def _with_respondent(sock: Any, peer: Peer, ours: bytes, theirs: bytes) -> None:
    probe(peer, sock.send)
    answer = None
    for sock.survey_time in (0.5, 1, 2, 4, 8):  # again, if nanocat has dropped its answer because one to a probe was on its way
        answers = sock.survey(ours)
        check_same(printed_after_probes(peer), ours)  # it prints the survey before it answers
        if (answer := next(answers, None)) is not None:
            break
    assert answer is not None, f"{peer.tool} has not answered"
    check_same(answer, theirs)


def _with_pair(sock: Any, peer: Peer, ours: bytes, theirs: bytes) -> None:
    sock.send(ours, timeout=SECONDS)
    check_same(sock.recv(timeout=SECONDS), theirs)
    check_same(peer.printed(), ours)


def _with_bus(sock: Any, peer: Peer, ours: bytes, theirs: bytes) -> None:
    check_same(sock.recv(timeout=SECONDS), theirs)  # from then on they are connected
    sock.send(ours, timeout=SECONDS)
    check_same(peer.printed(), ours)


PARTNERS: dict[str, tuple[Callable[[], nngio.Socket], Callable[[Any, Peer, bytes, bytes], None]]] = {
    "req": (nngio.Rep0, _with_req),
    "rep": (nngio.Req0, _with_rep),
    "pub": (functools.partial(nngio.Sub0, subscribe=b""), _with_sender),
    "sub": (nngio.Pub0, _with_sub),
    "push": (nngio.Pull0, _with_sender),
    "pull": (nngio.Push0, _with_pull),
    "surveyor": (nngio.Respondent0, _with_surveyor),
    "respondent": (nngio.Surveyor0, _with_respondent),
    "pair": (nngio.Pair0, _with_pair),
    "pair0": (nngio.Pair0, _with_pair),
    "pair1": (nngio.Pair1, _with_pair),
    "bus": (nngio.Bus0, _with_bus),
}
"""By the protocol of the tool: what makes the socket that talks to it, and how they talk."""

SILENT = ("sub", "pull")
"""The protocols that send nothing."""


def converse(
    tool: str, protocol: str, transport: str, directory: Path, data: list[tuple[bytes, bytes, tuple[str, ...]]], *, listens: bool
) -> None:
    """Let a tool and a socket exchange each pair of bodies: ours, theirs, and the arguments that make the tool send that.

    Each pair has a process and a socket of its own. The processes run at the same time, so that they wait together.
    """
    make, talk = PARTNERS[protocol]
    with ExitStack() as stack:
        meetings = []
        for ours, theirs, arguments in data:
            sock = stack.enter_context(make())
            given = () if protocol in SILENT else arguments
            peer = stack.enter_context(meet(tool, protocol, sock, transport, directory, *given, listens=listens))
            meetings.append((sock, peer, ours, theirs))
        for meeting in meetings:
            talk(*meeting)
