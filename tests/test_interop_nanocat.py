"""Every protocol that nanomsg knows talks to `nanocat`, nanomsg's tool, on either side of the protocol and of the connection.

What nanocat can't do, found with version 1.1.5:

- An empty file makes it abort (an assertion in its options.c), so it is told to send nothing by `--data ""`.
- It disconnects a peer that announces more than 1 MiB, nanomsg's default for NN_RCVMAXSIZE, which it has no option to raise. So it
  sends 16 MiB, but the largest body that it is sent is 1 MiB; that it refuses more is a test of its own.
- It has no PAIR1, and the only PAIR is version 0.
"""

from pathlib import Path

import pytest
from peers import KIB, MIB, SECONDS, body, check_same, converse, meet

import nngio

TRANSPORTS = ("tcp", "ipc")
PROTOCOLS = ("req", "rep", "pub", "sub", "push", "pull", "surveyor", "respondent", "pair", "bus")
SIZES = (0, 1, 64 * KIB, 16 * MIB)
MOST = MIB
"""The largest message that nanocat receives."""


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
    """What nanocat sends, of 0 B to 16 MiB, and what it is sent, of 0 B to 1 MiB, arrives byte for byte."""
    data = [(body(min(size, MOST), "ours"), body(size, "theirs"), arguments) for size, arguments in given.items()]
    converse("nanocat", protocol, transport, tmp_path, data, listens=listens)


@pytest.mark.parametrize("listens", [True, False], ids=["nanocat-listens", "nanocat-dials"])
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("size", [MOST + 1, 16 * MIB])
def test_nanocat_disconnects_a_sender_of_more_than_1_mib_which_comes_back(
    size: int, transport: str, listens: bool, tmp_path: Path
) -> None:
    """A message too large for nanocat is lost with its connection; the socket gets a new one, and the next messages through."""
    with (
        nngio.Pair0() as pair,
        meet("nanocat", "pair", pair, transport, tmp_path, "--data", "hello", listens=listens) as peer,
    ):
        check_same(pair.recv(timeout=SECONDS), b"hello")
        pair.send(body(size, "ours"), timeout=SECONDS)
        while not peer.prints(0.1):  # what is sent before the socket knows of its loss is lost, too
            pair.send(b"after", timeout=SECONDS)
        check_same(peer.printed(), b"after")
