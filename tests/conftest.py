"""What all tests share: addresses that nobody else uses, and a look for what a test has left open."""

import contextlib
import itertools
import signal
import socket as sockets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import nngio
from nngio._socket import open_sockets

settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a pause is no error
settings.load_profile("shared machine")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

_numbers = itertools.count()

TRANSPORTS = ("inproc", "ipc", "tcp", "ws")


@pytest.fixture
def address(tmp_path: Path) -> Callable[[str], str]:
    """A function that makes a URL to listen at, for a transport; tcp and ws get their port when they are bound."""

    def make(transport: str) -> str:
        number = next(_numbers)
        match transport:
            case "inproc":
                return f"inproc://test-{number}"
            case "ipc":
                return f"ipc://{tmp_path}/{number}"
            case "ws" | "wss":
                return f"{transport}://127.0.0.1:0/test-{number}"
            case _:
                return f"{transport}://127.0.0.1:0"

    return make


@pytest.fixture
def pair(address: Callable[[str], str]) -> Iterator[tuple[nngio.Pair0, nngio.Pair0]]:
    """Two sockets with a connection between them."""
    with nngio.Pair0(listen=address("inproc")) as left, nngio.Pair0(dial=left.listeners[0].url) as right:
        yield left, right


@pytest.fixture
def lonely() -> Iterator[nngio.Pair0]:
    """A socket without a peer: what is sent or received on it stays pending."""
    with nngio.Pair0() as socket:
        yield socket


@pytest.fixture
def black_hole() -> Iterator[int]:
    """The port of a listener that takes no more connections: one that is begun never comes about."""
    with sockets.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        while True:
            filler = stack.enter_context(sockets.socket())
            filler.settimeout(0.2)
            try:
                filler.connect(listener.getsockname())
            except TimeoutError:
                break
        yield listener.getsockname()[1]


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """Fails a test that leaves a socket open or a thread running."""
    threads = set(threading.enumerate())
    yield
    left = list(open_sockets)
    for socket in left:
        socket.close()
    assert not left, f"left open: {left}"
    # trio keeps its worker threads for ten seconds, in case that they are needed again.
    kept = ("nngio-callbacks", "Trio thread")
    new = [t for t in threading.enumerate() if t not in threads and not t.name.startswith(kept)]
    assert not new, f"still running: {new}"
