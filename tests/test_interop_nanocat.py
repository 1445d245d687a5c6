"""Every protocol that nanomsg knows talks to `nanocat`, nanomsg's tool, on either side of the protocol and of the connection.

What nanocat can't do, found with version 1.1.5:

- An empty file makes it abort (an assertion in its options.c), so it is told to send nothing by `--data ""`.
- It disconnects a peer that announces more than 1 MiB, nanomsg's default for NN_RCVMAXSIZE, which it has no option to raise. So it
  sends 16 MiB, but the largest body that it is sent is 1 MiB, less the 4 bytes that some protocols put before it. That it refuses
  more is a test of its own.
- It has no PAIR1, and the only PAIR is version 0.
"""

from pathlib import Path

import pytest
from peers import KIB, MIB, SECONDS, body, check_same, converse, meet

import nngio

TRANSPORTS = ("tcp", "ipc")
PROTOCOLS = ("req", "rep", "pub", "sub", "push", "pull", "surveyor", "respondent", "pair", "bus")
SIZES = (0, 1, 64 * KIB, 16 * MIB)
MOST = MIB - 4
"""The largest body that nanocat receives in each protocol."""


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[str, ...]]:
    """By size, the arguments that make nanocat send a body of it."""
    directory = tmp_path_factory.mktemp("nanocat")
    arguments: dict[int, tuple[str, ...]] = {0: ("--data", "")}
    for size in SIZES[1:]:
        path = directory / str(size)
        path.write_bytes(body(size, "theirs"))
        arguments[size] = ("--file", str(path))
    return arguments


@pytest.mark.parametrize("listens", [True, False], ids=["nanocat-listens", "nanocat-dials"])
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nanocat_and_a_socket_exchange_bodies_of_all_sizes(
    protocol: str, transport: str, listens: bool, given: dict[int, tuple[str, ...]], tmp_path: Path
) -> None:
    """What nanocat sends, of 0 B to 16 MiB, and what it is sent, of 0 B to nearly 1 MiB, arrives byte for byte."""
    data = [(body(min(size, MOST), "ours"), body(size, "theirs"), arguments) for size, arguments in given.items()]
    converse("nanocat", protocol, transport, tmp_path, data, listens=listens)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("size", [MIB + 1, 16 * MIB])
def test_nanocat_disconnects_a_sender_of_more_than_1_mib_which_comes_back(size: int, transport: str, tmp_path: Path) -> None:
    """A message too large for nanocat is lost with its connection; the socket gets a new one, and the next messages through.

    Here nanocat listens. One that dials connects anew all the time, but hangs up each time before it has received anything.
    """
    with nngio.Push0() as push, meet("nanocat", "pull", push, transport, tmp_path, listens=True) as peer:
        push.send(body(size, "ours"), timeout=SECONDS)
        push.send(b"after", timeout=SECONDS)
        while not peer.prints(0.05):  # what was sent before the connection was seen to be lost, is lost too
            push.send(b"after", timeout=SECONDS)
        check_same(peer.printed(), b"after")
