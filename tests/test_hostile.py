"""Peers that mean no good: what they say and when they go, a listener serves the good ones, and a dialer finds a better listener.

Longer ones are in `tests/stress`: those that wait for NNG's own timeouts, and conversations with random mistakes.
"""

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hostile import (
    LENGTHS,
    NUMBERS,
    PARTNERS,
    PATCHED,
    SECONDS,
    SERVED,
    Server,
    Stranger,
    certificate,
    false_listener,
    frame,
    greeting,
    message,
    opening,
    patched,
    tls_for,
    upgrade,
    wants,
)
from tls import client_hello

import nngio
from nngio._core.nng import patched as is_patched
from nngio.lowlevel import check, ffi, lib

MIB = 1 << 20
LIMIT = 1 << 16
"""The largest message that the servers take."""

URLS = {"tcp": "tcp://127.0.0.1:0", "ws": "ws://127.0.0.1:0/x", "tls": "tls+tcp://127.0.0.1:0"}


def url_for(transport: str, directory: Path, number: int = 0) -> str:
    return URLS.get(transport, f"ipc://{directory}/{number}")


@pytest.fixture(scope="module", params=["tcp", "ipc", "ws", "tls"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a socket of each protocol, for one transport after the other; it is alive and well at the end."""
    directory = tmp_path_factory.mktemp("server")
    with Server(
        [
            (protocol, url_for(request.param, directory, number))
            for number, protocol in enumerate(SERVED)
            if PATCHED or request.param != "tls" or protocol not in (nngio.Pair0, nngio.Pair1)  # NNG's own may keep its one peer for ever
        ],
        recv_max_size=LIMIT,
    ) as server:
        server.check()
        yield server


@pytest.fixture(scope="module")
def web() -> Iterator[Server]:
    """A server with a REP and a PULL for WebSocket peers; it has nothing of the strangers', and is alive and well, at the end."""
    with Server([(nngio.Rep0, URLS["ws"]), (nngio.Pull0, URLS["ws"])], recv_max_size=LIMIT) as server:
        server.check()
        before = server.cost()
        yield server
        server.gives_back(before)
        server.check()


def gives_back(server: Server, before: dict[str, float]) -> None:
    """It has no more descriptors than before. NNG's own may keep those of TLS and WebSocket handshakes that broke off."""
    if PATCHED or server.sockets[0].url.startswith(("tcp", "ipc")):
        server.gives_back(before)


def meet(url: str, protocol: type[nngio.Socket]) -> Stranger:
    """A peer that has said what a peer of that protocol says first, and heard the answer."""
    stranger = Stranger(url)
    if stranger.transport == "tls":
        stranger.encrypt()
    return stranger.open(protocol)


# Listeners among strangers.


def test_a_listener_serves_good_peers_whatever_strangers_say_first(server: Server) -> None:
    """Nothing, half of it, something else, in one piece or byte by byte: those who hang up are gone, those who stay don't matter."""
    before = server.cost()
    chance = random.Random(1)
    kept = []
    for protocol, _, url in server.sockets:
        right = opening("ws" if url.startswith("ws") else "tcp", PARTNERS[protocol])
        for said in (b"", right[:4], right[:-1], b"\0" * 100, b"\xff" * 8, b"GET / HTTP/1.1\r\n\r\n", b"\n" * 10, chance.randbytes(10_000)):
            with Stranger(url) as stranger:
                stranger.say(said)
            kept.append(Stranger(url).say(said))
        with Stranger(url) as stranger:
            for place in range(min(len(right), 20)):
                stranger.say(right[place : place + 1])
    server.check()
    for stranger in kept:
        stranger.close()
    gives_back(server, before)
    server.check()


@pytest.mark.parametrize("server", ["tcp", "ipc", "ws"], indirect=True)
def test_a_peer_of_a_protocol_that_does_not_fit_is_sent_away(server: Server) -> None:
    """Whatever number it has, and whatever version of the greeting."""
    for protocol, _, url in server.sockets:
        wrong = [other for other in NUMBERS if other is not PARTNERS[protocol]]
        if url.startswith("ws"):
            for other in wrong:
                with Stranger(url) as stranger:
                    assert stranger.say(upgrade(other)).answer().startswith(b"HTTP/1.1 400 ")
            continue
        first = [greeting(other) for other in wrong]
        right = greeting(PARTNERS[protocol])
        first += [right[:place] + b"\x05" + right[place + 1 :] for place in range(8)]
        first += [b"\0SP\0\xff\xff\0\0", b"\0SP\0\0\0\0\0"]
        for said in first:
            with Stranger(url) as stranger:
                if stranger.transport == "tls":
                    stranger.encrypt()
                assert stranger.say(said).is_sent_away()
    server.check()


@pytest.mark.parametrize("server", ["tcp", "ipc", "ws"], indirect=True)
def test_a_length_that_is_not_allowed_ends_its_connection_alone(server: Server) -> None:
    """From one byte more than `recv_max_size` to all that a length can say; before a byte of the message has come."""
    before = server.cost()
    served = next(served for served in server.sockets if served.protocol is nngio.Rep0)
    short = wants(nngio.Req0)
    for length in LENGTHS:
        with meet(served.url, nngio.Req0) as stranger:
            stranger.say(message(stranger.transport, short, length))
            if length > LIMIT:
                assert stranger.is_sent_away()
    with meet(served.url, nngio.Req0) as stranger:
        body = wants(nngio.Req0) + b"x" * (LIMIT - len(short))
        stranger.say(message(stranger.transport, body))
        assert stranger.hear(len(body)).endswith(b"x" * 1000)  # as much as is allowed comes back
        stranger.say(message(stranger.transport, body + b"x"))
        assert stranger.is_sent_away()
    server.gives_back(before)
    server.has_not_grown(before, 32 * MIB)
    server.check()


def test_a_conversation_may_break_off_at_any_byte(server: Server) -> None:
    """By a reset, after each byte of a greeting and two messages, with and without having heard the answer."""
    before = server.cost()
    chance = random.Random(2)
    for protocol, _, url in server.sockets:
        peer = PARTNERS[protocol]
        transport = "ws" if url.startswith("ws") else "ipc" if url.startswith("ipc") else "tcp"
        said = opening(transport, peer) + message(transport, wants(peer)) * 2
        first = 200 if transport == "ws" else 0  # of the request itself, which is the same for all, a tenth
        places = [*range(first, len(said) + 1), *(chance.randrange(first) for _ in range(first // 10))]
        for place in places if not url.startswith("tls") else places[::6]:
            stranger = Stranger(url)
            if stranger.transport == "tls" and place % 12:
                stranger.encrypt()
            stranger.say(said[:place])
            if place % 2 and place >= len(opening(transport, peer)):
                stranger.hear(1)
            stranger.reset()
    gives_back(server, before)
    server.check()


BODIES = (
    b"",
    b"\0",
    b"\x80\0\0",
    b"\x80\0\0\0",
    b"\0\0\0\1" * 5,
    b"\0\0\0\1" * 16,
    b"\0\0\0\1" * 17,
    b"\0\0\0\1" * 20 + b"\x80\0\0\1",
    b"\0\0\0\1" * 1000,
    b"\xff" * 64,
    b"\x80\xff\xff\xff nobody has asked",
    b"\0\0\0\xffhops",
    b"\0\0\1\0hops",
    b"\x7f\xff\xff\xff",
)
"""Too short for a header, without its end, through too many devices, answers to nothing."""


@pytest.mark.parametrize("raw", [False, True], ids=["cooked", "raw"])
def test_a_body_that_no_protocol_can_read_does_no_harm(raw: bool) -> None:
    """Each is dropped, or its connection ended, or it is just data; good peers are served by each socket."""
    with Server([(protocol, URLS["tcp"]) for protocol in SERVED], raw=raw) as server:
        before = server.cost()
        for protocol, _, url in server.sockets:
            for body in BODIES:
                with meet(url, PARTNERS[protocol]) as stranger:
                    stranger.say(message("tcp", body) * 3)
            with meet(url, PARTNERS[protocol]) as stranger:
                for body in BODIES:
                    stranger.say(message("tcp", body))
        server.gives_back(before)
        server.check()


def test_a_thousand_idle_connections_are_just_that(server: Server) -> None:
    """A third says nothing, a third half a greeting, a third all of it; good peers are served beside them, and their descriptors freed.

    With TLS there are three hundred, of which a third says half of the first that is said, and a third shakes hands.
    """
    before = server.cost()
    served = [served for served in server.sockets if served.protocol in (nngio.Rep0, nngio.Pull0)]
    hello = client_hello()
    held = []
    for number in range(300 if served[0].url.startswith("tls") else 1000):
        protocol, _, url = served[number % 2]
        stranger = Stranger(url)
        held.append(stranger)
        if number % 3 == 1 and stranger.transport == "tls":
            stranger.say(hello[: len(hello) // 2])
        elif number % 3 and stranger.transport == "tls":
            stranger.encrypt().say(opening("tls", PARTNERS[protocol]))
        elif number % 3:
            said = opening(stranger.transport, PARTNERS[protocol])
            stranger.say(said[: len(said) // (number % 3)])
    for one in served:
        server.converse(one)
    server.has_not_grown(before, 300 * MIB)
    for number, stranger in enumerate(held):
        if number % 2:
            stranger.close()
        else:
            stranger.reset()
    gives_back(server, before)
    server.check()


def test_a_peer_that_is_connected_hears_nothing_of_strangers(server: Server) -> None:
    """It asks all the time, and is answered soon, over one and the same connection, while others talk nonsense, go or stay."""
    served = next(served for served in server.sockets if served.protocol is nngio.Rep0)
    transport = "ws" if served.url.startswith("ws") else "ipc" if served.url.startswith("ipc") else "tcp"
    first = opening(transport, nngio.Req0)
    body = wants(nngio.Req0)
    chance = random.Random(6)
    answered, longest = 0, 0.0
    over = threading.Event()

    def ask(req: nngio.Req0) -> None:
        nonlocal answered, longest
        while not over.is_set():
            began = time.monotonic()
            assert req.request(b"%d" % answered, timeout=SECONDS) == b"%d" % answered
            longest = max(longest, time.monotonic() - began)
            answered += 1

    def goes_on() -> None:
        """A few more answers come."""
        wanted = answered + 3
        end = time.monotonic() + SECONDS
        while answered < wanted:
            assert time.monotonic() < end
            assert not asking.done(), asking.result()
            time.sleep(0.001)

    with nngio.Req0(resend_time=None) as req, ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as stack:
        req.dial(served.url, tls=tls_for(False, server.certificate), timeout=SECONDS)
        pipes = req.pipes
        asking = pool.submit(ask, req)
        try:
            for said in (b"", b"\xff" * 100, first[:-1], chance.randbytes(10_000), first + chance.randbytes(10_000)):
                for _ in range(10):
                    with Stranger(served.url) as stranger:
                        stranger.say(said)
                    stack.enter_context(Stranger(served.url)).say(said)
                goes_on()
            for place in range(0, len(first), 1 + len(first) // 20):
                Stranger(served.url).say(first[:place]).reset()
            goes_on()
            for length in LENGTHS:
                stranger = stack.enter_context(meet(served.url, nngio.Req0))
                stranger.say(message(transport, body, length))
                if length > LIMIT:
                    assert stranger.is_sent_away()
            goes_on()
            for _ in range(100):
                stack.enter_context(Stranger(served.url))
            goes_on()
        finally:
            over.set()
        asking.result()
        assert req.pipes == pipes
    assert longest < 5, f"{answered} answers"


# Memory.


def test_conversations_that_break_off_cost_no_memory(server: Server) -> None:
    """Hundreds of resets, at any byte: it takes no more after the last than after the first of them."""
    served = [served for served in server.sockets if served.protocol in (nngio.Rep0, nngio.Pull0)]
    transport = served[0].url.partition(":")[0]
    chance = random.Random(7)

    def break_off(times: int) -> None:
        for number in range(times):
            protocol, _, url = served[number % 2]
            peer = PARTNERS[protocol]
            said = opening(transport, peer) + message(transport, wants(peer) + bytes(30_000)) * 2
            stranger = Stranger(url)
            if stranger.transport == "tls" and number % 4 < 2:
                stranger.encrypt()
            stranger.say(said[: chance.randrange(len(said))]).reset()
        server.check()

    times = 100 if transport == "tls+tcp" else 300
    break_off(times)
    before = server.cost()
    break_off(times * 2)
    gives_back(server, before)
    server.has_not_grown(before, 8 * MIB)


@patched
@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_a_message_gets_memory_as_it_arrives(transport: str, tmp_path: Path) -> None:
    """Two hundred peers announce 24 MiB each: nearly five GiB, of which they send nothing. One that does is heard."""
    with Server([(nngio.Pull0, url_for(transport, tmp_path))]) as server:
        server.check()
        with nngio.Push0(dial=server.sockets[0].url) as push:
            push.send(b"x" * 24 * MIB, timeout=SECONDS)  # from now on that is no size that is out of the ordinary
        server.check()
        before = server.cost()
        held = [meet(server.sockets[0].url, nngio.Push0).say(message(transport, b"x", 24 * MIB)) for _ in range(200)]
        server.check()
        assert server.cost()["virtual"] < before["virtual"] + 1000 * MIB
        server.has_not_grown(before, 100 * MIB)
        for stranger in held:
            stranger.close()
        server.gives_back(before)


@pytest.mark.parametrize("transport", ["tcp", "ipc", "tls"])
def test_a_message_arrives_whole_whatever_room_it_had_first(transport: str, tmp_path: Path) -> None:
    """Sizes around those at which a message gets more room, back and forth."""
    made = certificate() if transport == "tls" else None
    with nngio.Pair0() as a, nngio.Pair0() as b:
        listener = a.listen(url_for(transport, tmp_path), tls=tls_for(True, made))
        b.dial(listener.url, tls=tls_for(False, made))
        chance = random.Random(3)
        for size in (0, 1, 31, 1023, 1024, MIB - 1, MIB, MIB + 1, 4 * MIB, 4 * MIB + 1, 16 * MIB + 5):
            body = chance.randbytes(size)
            b.send(body, timeout=SECONDS)
            got = a.recv_msg(timeout=SECONDS)
            assert bytes(got) == body
            a.send(got, timeout=SECONDS)
            assert b.recv(timeout=SECONDS) == body


@patched
def test_a_message_longer_than_all_memory_is_refused() -> None:
    """Up to 2**64 - 1, where the room for headers would make it a short one."""
    out = ffi.new("nng_msg **")
    for size in (2**63, 2**64 - 65, 2**64 - 64, 2**64 - 33, 2**64 - 32, 2**64 - 1):
        assert lib.nng_msg_alloc(out, size) == lib.NNG_ENOMEM
    check(lib.nng_msg_alloc(out, 5))
    for size in (2**63, 2**64 - 32, 2**64 - 5, 2**64 - 1):
        assert lib.nng_msg_realloc(out[0], size) == lib.NNG_ENOMEM
        assert lib.nng_msg_reserve(out[0], size) == lib.NNG_ENOMEM
        assert lib.nng_msg_append(out[0], ffi.NULL, size) == lib.NNG_ENOMEM
    assert lib.nng_msg_len(out[0]) == 5
    lib.nng_msg_free(out[0])


@patched
def test_a_length_that_wraps_around_is_not_written_to_over_tls() -> None:
    """Without a limit for messages: 2**64 - 1 bytes are announced, and as many sent as the connection takes."""
    with Server([(nngio.Pull0, URLS["tls"])]) as server:
        server.check()
        before = server.cost()
        for length in (2**63, 2**64 - 65, 2**64 - 64, 2**64 - 32, 2**64 - 1):
            with meet(server.sockets[0].url, nngio.Push0) as stranger:
                stranger.say(message("tls", b"\xff" * MIB, length))
                assert stranger.is_sent_away()
        server.gives_back(before)
        server.check()


# Descriptors.


@pytest.mark.parametrize("transport", ["tcp", "ipc", pytest.param("ws", marks=patched), "tls"])
def test_a_listener_that_was_out_of_descriptors_goes_on(transport: str, tmp_path: Path) -> None:
    """While it has none it hardly uses the processor, and when it has some again it accepts who is waiting."""
    with Server([(nngio.Rep0, url_for(transport, tmp_path))]) as server:
        server.check()
        before = server.cost()
        server.ask("limit", int(before["descriptors"]) + 5)
        held = [Stranger(server.sockets[0].url) for _ in range(20)]
        end = time.monotonic() + SECONDS
        while server.cost()["descriptors"] < before["descriptors"] + 4:
            assert time.monotonic() < end
        began, used = time.monotonic(), server.cost()["processor"]
        time.sleep(0.3)  # to see what it does all the time
        assert server.cost()["processor"] - used < (time.monotonic() - began) / 4
        for stranger in held[:18]:
            stranger.close()
        server.converse(server.sockets[0])
        server.ask("limit", 0)
        for stranger in held[18:]:
            stranger.close()
        server.gives_back(before)
        server.check()


@pytest.mark.parametrize("transport", ["tcp", "ipc", pytest.param("ws", marks=patched)])
def test_a_peer_that_goes_while_nobody_receives_is_missed_later(transport: str, tmp_path: Path) -> None:
    """What it had sent is received first; then its descriptor is given back."""
    with Server([(nngio.Pull0, url_for(transport, tmp_path))], silent=True) as server:
        before = server.cost()
        for end in (b"", frame(b"\3\xe8", op=8), frame(b"", op=3)):
            with meet(server.sockets[0].url, nngio.Push0) as stranger:
                stranger.say(message(transport, b"one") + message(transport, b"two") + (end if transport == "ws" else b""))
        assert server.ask("received", 0.2) == 6
        server.gives_back(before)


# HTTP and WebSocket.

REQUEST = upgrade(nngio.Req0).decode()


def changed(old: str, new: str) -> bytes:
    """A request that is right but for this."""
    assert old in REQUEST
    return REQUEST.replace(old, new).encode()


NO_LENGTH = b"411" if is_patched("http-unread-body") else b"413"
REQUESTS = {
    "no method": (b" /x HTTP/1.1\r\n\r\n", b"400"),
    "no HTTP": (b"hello\r\n\r\n", b""),
    "an empty line": (b"\r\n" + REQUEST.encode(), b"400"),
    "a control character": (changed("/x", "/\x01x"), b""),
    "a line ended by CR": (changed("\r\nHost", "\rHost"), b""),
    "a header without a colon": (changed("Upgrade: websocket", "Upgrade websocket"), b""),
    "HTTP 0.9": (changed("HTTP/1.1", "HTTP/0.9"), b"505"),
    "HTTP 1.0": (changed("HTTP/1.1", "HTTP/1.0"), b"505"),
    "HTTP 2": (changed("HTTP/1.1", "HTTP/2.0"), b"505"),
    "another path": (changed("/x ", "/y "), b"404"),
    "a path below": (changed("/x ", "/x/y "), b"404"),
    "POST": (changed("GET", "POST"), b"405"),
    "HEAD": (changed("GET", "HEAD"), b"400"),
    "no host": (changed("Host: 127.0.0.1\r\n", ""), b"400"),
    "another host": (changed("127.0.0.1", "example.org"), b"404"),
    "no upgrade": (changed("Upgrade: websocket\r\n", ""), b"400"),
    "another upgrade": (changed("Upgrade: websocket", "Upgrade: h2c"), b"400"),
    "a key that is too short": (changed("AAAA==", "=="), b"400"),
    "no key": (changed("Sec-WebSocket-Key", "X"), b"400"),
    "version 8": (changed("Version: 13", "Version: 8"), b"400"),
    "no protocol": (changed("Sec-WebSocket-Protocol", "X"), b"400"),
    "a body": (changed("Host:", "Content-Length: 5\r\nHost:") + b"hello", b"413"),
    "a body that is too long": (changed("Host:", "Content-Length: 2000000\r\nHost:"), b"400"),
    "a body of no length": (changed("Host:", "Content-Length: -1\r\nHost:"), b"400"),
    "chunks": (
        changed("Host:", "Transfer-Encoding: chunked\r\nHost:") + b"5\r\nhello\r\n0\r\n\r\n",
        b"411" if is_patched("http-unread-body") else b"413",
    ),
    "a long line": (changed("Host:", "X: " + "x" * 10_000 + "\r\nHost:"), b""),
    "a long path": (changed("/x ", "/" + "x" * 10_000 + " "), b""),
}
"""What is wrong, the request, and the status that it gets; none: the connection ends without an answer."""


@pytest.mark.parametrize("what", REQUESTS)
def test_a_request_that_is_wrong_is_refused(what: str, web: Server) -> None:
    """By its status."""
    request, status = REQUESTS[what]
    with Stranger(web.sockets[0].url) as stranger:
        assert stranger.say(request).answer()[9:12] == status


@patched
def test_headers_have_a_limit_all_together(web: Server) -> None:
    """One may have nearly 8 KiB, all of them 64 KiB; more ends the connection, before there is an end to them."""
    url = web.sockets[0].url
    with Stranger(url) as stranger:
        more = "".join(f"X-{number}: {'x' * 5000}\r\n" for number in range(10))
        assert stranger.say(upgrade(nngio.Req0, more=more)).answer().startswith(b"HTTP/1.1 101 ")
    for header in (f"X: {'x' * 100}\r\n", "".join(f"X-{number}: x\r\n" for number in range(10)), "A:\r\n"):
        with Stranger(url) as stranger:
            stranger.say(b"GET /x HTTP/1.1\r\n" + header.encode() * (1 + 70_000 // len(header)))
            assert stranger.is_sent_away()
    web.check()


@patched
@pytest.mark.parametrize("path", ["/%78", "%2Fx", "%2f%78", "http://127.0.0.1/%78"])
def test_a_path_may_be_escaped_to_its_end(path: str, web: Server) -> None:
    """It is the same path."""
    with Stranger(web.sockets[0].url) as stranger:
        assert stranger.say(upgrade(nngio.Req0, path)).answer().startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("path", ["/%", "/%7", "/%g8", "/x%00%", "%", "/%41", "/" + "%41" * 2000, "http://a%", "*"])
def test_a_path_that_is_badly_escaped_does_no_harm(path: str, web: Server) -> None:
    """It is another one, or the same. An NNG that isn't ours may hang up in place of an answer."""
    with Stranger(web.sockets[0].url) as stranger:
        answer = stranger.say(upgrade(nngio.Req0, path)).answer()
        assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 101 ")) or (not PATCHED and answer == b"")


FRAMES = {
    "a length of 2**63": frame(b"x", length=2**63, wide=True),
    "a length of 2**64 - 1": frame(b"x", length=2**64 - 1, wide=True),
    "a length just above the limit": frame(b"x", length=LIMIT + 1, wide=True),
    "a short length in eight bytes": frame(b"x", wide=True),
    "reserved bits": frame(b"x", reserved=7),
    "one reserved bit": frame(b"x", reserved=1),
    "an unknown kind": frame(b"x", op=3),
    "an unknown kind of control": frame(b"x", op=11),
    "text": frame(b"x", op=1),
    "no mask": frame(b"x", masked=False),
    "a continuation without a start": frame(b"x", op=0),
    "a start within a message": frame(b"x", final=False) + frame(b"y"),
    "a ping that is too long": frame(b"x" * 126, op=9),
    "a pong that is too long": frame(b"x" * 1000, op=10),
    "fragments that are too long together": frame(b"x" * 60_000, final=False) + frame(b"y" * 6_000, op=0),
    "many fragments that are too long together": frame(b"x", final=False) + frame(b"y" * 7000, op=0, final=False) * 10,
    "a close frame": frame(b"\3\xe8", op=8),
    "an empty close frame": frame(b"", op=8),
    "a long close frame": frame(b"x" * 2000, op=8),
}
"""What ends a connection."""


@pytest.mark.parametrize("what", FRAMES)
@pytest.mark.parametrize("place", [0, 1], ids=["rep", "pull"])
def test_a_frame_that_is_wrong_ends_its_connection(what: str, place: int, web: Server) -> None:
    """By a close frame or without one."""
    served = web.sockets[place]
    with meet(served.url, PARTNERS[served.protocol]) as stranger:
        stranger.say(FRAMES[what])
        assert stranger.is_sent_away()


def test_a_message_may_come_in_the_smallest_of_frames(web: Server) -> None:
    """A byte in each, or none, and pings between them, each with its pong; together they are one message."""
    body = random.Random(4).randbytes(3000)
    said = frame(wants(nngio.Req0)[:4], final=False)
    for place in range(len(body)):
        said += frame(body[place : place + 1], op=0, final=False)
        if place % 100 == 0:
            said += frame(b"", op=0, final=False) * 3 + frame(b"x" * 300 + body[:100], op=0, final=False)
    said += frame(b"", op=0)
    expected = b"".join(body[p : p + 1] + (b"x" * 300 + body[:100] if p % 100 == 0 else b"") for p in range(len(body)))
    with meet(web.sockets[0].url, nngio.Req0) as stranger:
        stranger.say(frame(b"hello", op=9))
        assert stranger.hear(7) == b"\x8a\5hello"
        stranger.say(said)
        head = stranger.hear(4)
        assert head == b"\x82\x7e" + struct.pack(">H", len(expected) + 4)
        assert stranger.hear(len(expected) + 4)[4:] == expected


@patched
@pytest.mark.parametrize(
    ("said", "end"),
    [
        pytest.param(frame(b"x" * 125, op=9), b"", id="pings, whose pongs nobody reads"),
        pytest.param(frame(b"", op=0, final=False), frame(b"", final=False), id="empty fragments"),
        pytest.param(frame(b"x", op=0, final=False), frame(b"", final=False), id="fragments of one byte"),
    ],
)
def test_frames_take_no_more_memory_than_they_bring(said: bytes, end: bytes) -> None:
    """Sixty thousand of them; without a limit for messages."""
    with Server([(nngio.Pull0, URLS["ws"])]) as server:
        server.check()
        before = server.cost()
        with meet(server.sockets[0].url, nngio.Push0) as stranger:
            stranger.say(end + said * 60_000 + frame(b"the end", op=9))
            heard = b""
            while not heard.endswith(b"the end"):
                heard = heard[-20:] + stranger.socket.recv(1 << 16)
            server.has_not_grown(before, 4 * MIB)
        server.gives_back(before)
        server.check()


@patched
@pytest.mark.parametrize(
    ("chunk", "code"),
    [
        ("5", "0"),
        ("10000000000000005", "NNG_EMSGSIZE"),
        ("ffffffffffffffff", "NNG_EMSGSIZE"),
        ("fffffffffffffffe", "NNG_EMSGSIZE"),
        ("7fffffffffffffff", "NNG_EMSGSIZE"),
        ("-5", "NNG_EPROTO"),
        ("g", "NNG_EPROTO"),
    ],
)
def test_a_chunk_that_is_longer_than_memory_is_refused(chunk: str, code: str, tmp_path: Path) -> None:
    """An HTTP client gets an error, and never five bytes for 2**64 + 5."""
    with false_listener("http", tmp_path) as (url, listener):
        listener.settimeout(SECONDS)
        parsed, client, request, response, aio = (
            ffi.new(f"{kind} **") for kind in ("nng_url", "nng_http_client", "nng_http_req", "nng_http_res", "nng_aio")
        )
        check(lib.nng_url_parse(parsed, url.encode()))
        check(lib.nng_http_client_alloc(client, parsed[0]))
        check(lib.nng_http_req_alloc(request, parsed[0]))
        check(lib.nng_http_res_alloc(response))
        check(lib.nng_aio_alloc(aio, ffi.NULL, ffi.NULL))
        lib.nng_aio_set_timeout(aio[0], int(SECONDS * 1000))
        lib.nng_http_client_transact(client[0], request[0], response[0], aio[0])
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}\r\nhello\r\n0\r\n\r\n".encode())
            lib.nng_aio_wait(aio[0])
            assert lib.nng_aio_result(aio[0]) == (0 if code == "0" else getattr(lib, code))
            if code == "0":
                data, size = ffi.new("void **"), ffi.new("size_t *")
                lib.nng_http_res_get_data(response[0], data, size)
                assert ffi.buffer(data[0], size[0])[:] == b"hello"
        lib.nng_aio_free(aio[0])
        lib.nng_http_res_free(response[0])
        lib.nng_http_req_free(request[0])
        lib.nng_http_client_free(client[0])
        lib.nng_url_free(parsed[0])


# Dialers.

ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: pair.sp.nanomsg.org\r\n\r\n"
)


class Script:
    """A listener that treats each connection in the same way, and counts them."""

    def __init__(self, transport: str, path: Path, act: Callable[[socket.socket, int], object]) -> None:
        self.count = 0
        self.ended = threading.Event()
        self._context = false_listener(transport, path)
        self._act = act
        self.url, self._listener = self._context.__enter__()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        held = []
        while not self.ended.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listener.accept()
                self.count += 1
                connection.settimeout(SECONDS)
                held.append(connection)
                with contextlib.suppress(OSError):
                    if self._act(connection, self.count):
                        held.remove(connection)
        for connection in held:
            connection.close()

    def end(self) -> None:
        """Listen no more, and end all connections; once."""
        if self.ended.is_set():
            return
        self.ended.set()
        self._thread.join()
        self._context.__exit__(None, None, None)


def close_at_once(connection: socket.socket, _number: int) -> bool:
    connection.close()
    return True


def reset(connection: socket.socket) -> bool:
    if connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    return True


def says(data: bytes, *, end: bool = False) -> Callable[[socket.socket, int], bool]:
    """Say this; hang up, or wait."""

    def act(connection: socket.socket, _number: int) -> bool:
        connection.sendall(data)
        return end and reset(connection)

    return act


def real_answer(connection: socket.socket) -> bytes:
    """The answer that a WebSocket peer's key asks for."""
    import base64
    import hashlib

    request = b""
    while not request.endswith(b"\r\n\r\n") and (more := connection.recv(4096)):
        request += more
    key = next((line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")), b"")
    return ANSWER % base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def breaks_off(transport: str) -> Callable[[socket.socket, int], bool]:
    """Break off by a reset, after one byte more each time of what a good peer would say."""

    def act(connection: socket.socket, number: int) -> bool:
        if transport == "ws":
            said = (real_answer(connection) if number % 3 else b"") + frame(b"one", masked=False) * 2
        else:
            said = greeting(nngio.Pair0) + message(transport, b"one") * 2
        connection.sendall(said[: number % (len(said) + 1)])
        return reset(connection)

    return act


def then(*said: bytes) -> Callable[[socket.socket, int], bool]:
    """Answer a WebSocket peer as it should be, and say this."""

    def act(connection: socket.socket, _number: int) -> bool:
        connection.sendall(real_answer(connection) + b"".join(said))
        return False

    return act


def scripts(transport: str) -> list[Callable[[socket.socket, int], object]]:
    """What a listener may do to a dialer."""
    common: list[Callable[[socket.socket, int], object]] = [
        close_at_once,
        lambda connection, _: reset(connection),
        says(b"\xff" * 20, end=True),
        says(random.Random(5).randbytes(100_000)),
        breaks_off(transport),
    ]
    if transport == "ws":
        return [
            *common,
            says(b"HTTP/1.1 404 Not Found\r\n\r\n"),
            says(b"HTTP/1.1 101\r\n\r\n", end=True),
            says(b"HTTP/1.1 101 x\r\n" + b"X: x\r\n" * 20_000),
            says(ANSWER % b"x"),
            then(frame(b"x")),  # masked, as only a client's are
            then(frame(b"x", masked=False, reserved=7)),
            then(frame(b"x", masked=False, length=2**63)),
            then(frame(b"x", masked=False, op=8)),
            then(frame(b"x" * 60_000, masked=False, final=False), frame(b"x" * 60_000, masked=False, op=0)),
        ]
    return [
        *common,
        says(greeting(nngio.Req0), end=True),
        says(greeting(nngio.Req0)),
        says(greeting(nngio.Pair0) + message(transport, b"x", 2**63)),
        says(greeting(nngio.Pair0) + message(transport, b"x", 2**64 - 1)),
        says(greeting(nngio.Pair0) + message(transport, b"x", LIMIT + 1)),
    ]


@pytest.mark.parametrize("transport", ["tcp", "ipc", pytest.param("ws", marks=patched)])
def test_a_dialer_is_patient_with_a_false_listener_and_finds_a_good_one(transport: str, tmp_path: Path) -> None:
    """It dials again in its own time, not at once, and when a good listener takes the place it is connected."""
    acting = [Script(transport, tmp_path / str(number), act) for number, act in enumerate(scripts(transport))]
    sockets: list[Any] = []
    try:
        for script in acting:
            sockets.append(nngio.Pair0(recv_max_size=LIMIT))
            sockets[-1].dial(script.url, block=False, reconnect_time_min=0.02)
        began = time.monotonic()
        for number, (script, sock) in enumerate(zip(acting, sockets, strict=True)):
            while script.count < 20:
                assert time.monotonic() < began + SECONDS, f"script {number}: {script.count} connections"
                with contextlib.suppress(nngio.TimedOut):
                    sock.recv(timeout=0.01)  # as long as nobody receives, who has gone isn't missed
        rates = [script.count / (time.monotonic() - began) for script in acting]
        assert max(rates) < 1000, rates  # on an average there are 10 ms from one to the next
        for script, sock in zip(acting, sockets, strict=True):
            script.end()
            with nngio.Pair0(listen=script.url) as good:
                got = b""
                while got != b"welcome":
                    assert time.monotonic() < began + SECONDS, f"{script.url} is not found"
                    with contextlib.suppress(nngio.TimedOut):
                        good.send(b"welcome", timeout=0.02)
                    with contextlib.suppress(nngio.TimedOut):
                        got = sock.recv(timeout=0.02)  # perhaps what the one before has said
    finally:
        for sock in sockets:
            sock.close()
        for script in acting:
            script.end()
