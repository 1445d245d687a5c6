"""Valid conversations, mutated at random, are said to listeners of all protocols, which go on to serve good peers.

NNGIO_FUZZ_SECONDS is how long it takes altogether, 20 by default. What was said follows from a seed, which a failure tells;
NNGIO_FUZZ_SEED is one to start with. The servers are processes of their own, so that the tests outlive them; run it with
`make sanitize ARGS=tests/stress/test_fuzz.py`, which sees far more than a crash.
"""

import contextlib
import os
import random
import socket
import struct
import time
from pathlib import Path

import pytest
from hostile import LENGTHS, NUMBERS, PARTNERS, Server, Stranger, frame, message, opening, patched, upgrade, wants

import nngio

TOTAL = float(os.environ.get("NNGIO_FUZZ_SECONDS", "20"))
SEED = os.environ.get("NNGIO_FUZZ_SEED") or str(random.SystemRandom().randrange(10**9))
SANITIZED = "NNGIO_SANITIZED" in os.environ
BATCH = 300
"""Connections between two looks at the server."""
LIMIT = 1 << 16
"""The largest message that the servers take."""

RAW = (nngio.Pair0, nngio.Pair1, nngio.Req0, nngio.Rep0, nngio.Surveyor0, nngio.Respondent0, nngio.Bus0, nngio.Pull0)
SERVERS = [(transport, raw) for transport in ("tcp", "ipc", "ws") for raw in (False, True)]

INTERESTING = (
    b"",
    b"\0",
    b"\xff" * 4,
    b"\x80\0\0\0",
    b"\0\0\0\1" * 20,
    b"\x7f\xff\xff\xff",
    b"\r\n",
    b"%41",
    b"%",
    b"HTTP/1.1 ",
    b"\0" * 300,
)
HEADERS = (
    "Content-Length: 5\r\n",
    "Content-Length: 18446744073709551615\r\n",
    "Content-Length: -1\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Upgrade: h2c\r\n",
    "Expect: 100-continue\r\n",
    "A: " + "b" * 9000 + "\r\n",
    "A: b\r\n" * 300,
    "no colon\r\n",
    ": no name\r\n",
)
PATHS = ("/x", "/x%41", "/%78", "/%", "/%4", "*", "http://a/x", "http://a", "/x?y", "/" * 5000, "//x", "/x/../x", "", "/x\x00y")


def conversation(chance: random.Random, transport: str, protocol: type[nngio.Socket]) -> list[bytes]:
    """What a peer says, valid or nearly so, in the parts that it consists of."""
    peer = PARTNERS[protocol]
    if chance.random() < 0.1:
        peer = chance.choice(list(NUMBERS))
    parts = [opening(transport, peer)]
    if transport == "ws" and chance.random() < 0.3:
        more = "".join(chance.choices(HEADERS, k=chance.randrange(3)))
        parts = [upgrade(peer, chance.choice(PATHS), chance.choice(("127.0.0.1", "x", "", "127.0.0.1:99999")), more)]
    for _ in range(chance.randrange(5)):
        body = wants(peer)
        match chance.randrange(8):
            case 0:
                body = body[: chance.randrange(len(body) + 1)]
            case 1:
                body = b"\0\0\0\2" * chance.randrange(20) + body
            case 2:
                body = chance.randbytes(chance.randrange(40))
            case 3:
                body += chance.randbytes(chance.choice((10, 1000, LIMIT - 50, LIMIT + 50)))
        match chance.randrange(6):
            case 0:
                parts.append(message(transport, body, chance.choice(LENGTHS)))
            case 1 if transport == "ws":
                parts.append(
                    frame(
                        body[: chance.choice((200, LIMIT))],
                        op=chance.randrange(16),
                        final=chance.random() < 0.5,
                        reserved=chance.choice((0, 0, 0, 1, 7)),
                        masked=chance.random() < 0.9,
                        length=chance.choice((None, None, None, *LENGTHS)),
                        wide=chance.random() < 0.1,
                    )
                )
            case 2 if transport == "ws":
                pieces = [frame(bytes([b]), op=0, final=False) for b in body[:50]]
                parts.append(frame(b"", op=2, final=False) + b"".join(pieces) + frame(b"", op=0))
            case _:
                parts.append(message(transport, body))
    return parts


def mutate(chance: random.Random, parts: list[bytes]) -> list[bytes]:
    """The same, with a few mistakes."""
    parts = list(parts)
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(parts))
        data = bytearray(parts[at])
        place = chance.randrange(len(data) + 1)
        match chance.randrange(9):
            case 0 if data:
                data[place % len(data)] ^= 1 << chance.randrange(8)
            case 1 if data:
                data[place % len(data)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del data[place:]
            case 3:
                del data[place : place + chance.randrange(1, 9)]
            case 4:
                data[place:place] = chance.randbytes(chance.randrange(1, 17))
            case 5:
                data[place:place] = chance.choice(INTERESTING)
            case 6:
                data[place : place + 8] = struct.pack(">Q", chance.choice(LENGTHS))
            case 7:
                parts.insert(chance.randrange(len(parts) + 1), bytes(data))
            case 8:
                del parts[at]
                parts = parts or [b""]
                continue
        parts[min(at, len(parts) - 1)] = bytes(data)
    return parts


def talk(chance: random.Random, url: str, parts: list[bytes]) -> Stranger | None:
    """Say it all, in one piece or many, and hang up in one way or another; or return the connection, to be held for a while."""
    data = b"".join(parts)
    stranger = Stranger(url)
    match chance.randrange(4):
        case 0:
            pieces = parts
        case 1:
            cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(6)))
            pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        case _:
            pieces = [data]
    for piece in pieces:
        stranger.say(piece)
        if chance.random() < 0.3:
            stranger.socket.settimeout(0.003)
            with contextlib.suppress(OSError):
                stranger.socket.recv(chance.choice((1, 8, 65536)))
            stranger.socket.settimeout(20)
    match chance.randrange(5):
        case 0:
            stranger.reset()
        case 1:
            with contextlib.suppress(OSError):
                stranger.socket.shutdown(socket.SHUT_WR)
            return stranger
        case 2:
            return stranger
        case _:
            stranger.close()
    return None


@patched
@pytest.mark.timeout(TOTAL * 2 + 120)
@pytest.mark.parametrize(("transport", "raw"), SERVERS, ids=[f"{transport}{' raw' * raw}" for transport, raw in SERVERS])
def test_listeners_withstand_whatever_is_said_to_them(transport: str, raw: bool, tmp_path: Path) -> None:
    """A batch of mutated conversations, then a good peer for each socket; descriptors and memory are what they were."""
    protocols = RAW if raw else tuple(NUMBERS)
    url = {"ipc": f"ipc://{tmp_path}/%d", "ws": "ws://127.0.0.1:0/x"}.get(transport, "tcp://127.0.0.1:0")
    sockets = [(protocol, url % number if "%" in url else url) for number, protocol in enumerate(protocols)]
    with Server(sockets, raw=raw, recv_max_size=LIMIT) as server:
        server.check()
        before = server.cost()
        after_some = None
        end = time.monotonic() + TOTAL / len(SERVERS)
        batch = 0
        while time.monotonic() < end or after_some is None:
            batch += 1
            name = f"{SEED} {transport} {raw} {batch}"
            chance = random.Random(name)
            held = []
            try:
                for _ in range(BATCH):
                    served = chance.choice(server.sockets)
                    stranger = talk(chance, served.url, mutate(chance, conversation(chance, transport, served.protocol)))
                    if stranger is not None:
                        held.append(stranger)
                for stranger in held:
                    stranger.close()
                server.check()
                server.gives_back(before)
                server.ask("forget")
                cost = server.cost()
                assert cost["threads"] <= before["threads"]
                if batch == 3:
                    after_some = cost
                elif after_some is not None and not SANITIZED:
                    assert cost["resident"] < after_some["resident"] + 48 * 2**20, (after_some, cost)
            except BaseException as error:
                error.add_note(f"NNGIO_FUZZ_SEED={SEED}, batch {batch} of {transport}{' raw' * raw}")
                raise
        print(f"{batch * BATCH} conversations, {before} before, {server.cost()} after")
