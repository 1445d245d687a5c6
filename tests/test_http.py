"""HTTP: NNG's client and server, against Python's own, against each other, and against peers that break the rules."""

import asyncio
import contextlib
import gc
import http.client
import http.server
import random
import signal
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import pytest
import tls as tls_files
from http_peers import Answers
from loops import ASYNCIO, TRIO, Loop, Tasks, on_all_loops
from programs import FORKS, run
from races import RACES, Helper

import nngio
from nngio._core.nng import patched as is_patched
from nngio.http import Client, Connection, Handler, Headers, Request, Response, Server

SECONDS = 20.0
"""What any step may take: much more than it does."""
patched = pytest.mark.skipif(not is_patched("http-unread-body"), reason="this NNG takes such a body for a request")

TOO_LONG = nngio.MessageTooLarge if is_patched("http-unread-body") else nngio.ConnectionShutdown
"""What a line of more than 8 KiB is for NNG."""


def url(server: Server, path: str = "") -> str:
    return f"http://127.0.0.1:{server.port}{path}"


def get(server: Server, path: str, **more: Any) -> Response:
    """One request of NNG's client."""
    with Client(url(server)) as client:
        return client.transact(Request(uri=path, **more), timeout=SECONDS)


def fetch(server: Server, path: str, data: bytes | None = None) -> tuple[int, bytes]:
    """The same of urllib's."""
    try:
        with urllib.request.urlopen(url(server, path), data, timeout=SECONDS) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def echo(request: Request) -> Response:
    """What was asked, as text."""
    lines = [request.method, request.path, request.query, request.headers.get("X-Test", ""), request.body.decode("latin-1")]
    return Response(200, "|".join(lines).encode(), headers={"X-Answer": "yes"})


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that echoes."""
    with Server(
        "http://127.0.0.1:0",
        Handler("/echo", echo),
        Handler("/echo", echo, method="POST"),
        Handler.static("/fixed", b"always the same", "text/plain"),
    ) as server:
        server.start()
        yield server


class Raw:
    """A server that sends what a test says, byte for byte, to each who connects."""

    def __init__(self, *answers: bytes, read: bool = True, linger: bool = False) -> None:
        self.answers, self.read, self.linger = answers, read, linger
        self.seen: list[bytes] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(SECONDS)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        for answer in self.answers:
            with contextlib.suppress(OSError):
                peer, _ = self.socket.accept()
                with peer:
                    peer.settimeout(SECONDS)
                    begun, more = len(self.seen), self.read
                    while more and b"\r\n\r\n" not in b"".join(self.seen[begun:]):
                        self.seen.append(peer.recv(65536))
                        more = bool(self.seen[-1])
                    peer.sendall(answer)
                    if self.linger:
                        self.done.wait(SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.done.set()
        self.socket.close()
        self.thread.join(SECONDS)


def send_raw(server: Server, data: bytes, *, until: bytes | None = None) -> bytes:
    """All that a server sends to someone who sends this, until it closes or has sent `until`."""
    with socket.create_connection(("127.0.0.1", server.port), SECONDS) as peer:
        peer.sendall(data)
        if until is None:
            peer.shutdown(socket.SHUT_WR)
        got = b""
        while until is None or until not in got:
            try:
                part = peer.recv(65536)
            except ConnectionResetError:
                break
            if not part:
                break
            got += part
        return got


# Messages.


def test_a_request_has_what_it_was_made_with() -> None:
    """Method, URI, headers, body and version; the path is decoded, the query is not."""
    request = Request("POST", "/a%20b/c?x=%20", headers={"X-One": "1"}, body=bytearray(b"body"), version="HTTP/1.0")
    assert (request.method, request.uri, request.body, request.version) == ("POST", "/a%20b/c?x=%20", b"body", "HTTP/1.0")
    assert (request.path, request.query, request.headers["x-one"]) == ("/a b/c", "x=%20", "1")
    assert Request(uri="http://host:80/p?q").path == "/p"
    request.reset()
    assert (request.method, request.uri, request.body, len(request.headers)) == ("GET", "/", b"", 0)


def test_a_response_has_what_it_was_made_with() -> None:
    """The words for a status are NNG's unless there are others; an error has a page."""
    response = Response(404, b"no", headers={"A": "b"})
    assert (response.status, response.reason, response.body, response.version) == (404, "Not Found", b"no", "HTTP/1.1")
    response.reason = "Gone Fishing"
    assert response.reason == "Gone Fishing"
    response.reset()
    assert (response.status, response.reason) == (200, "OK")
    error = Response.error(503)
    assert error.status == 503
    assert b"503" in error.body
    assert error.headers["content-type"].startswith("text/html")


def test_headers_are_told_apart_without_regard_to_case() -> None:
    """Set, add, delete, list."""
    headers = Headers({"One": "1"})
    headers["ONE"] = "2"
    headers.add("one", "3")
    headers.add("Two", "x")
    assert dict(headers) == {"one": "2, 3", "Two": "x"}
    del headers["oNe"]
    assert list(headers) == ["Two"]
    assert "two" in headers
    assert 2 not in headers
    with pytest.raises(KeyError):
        headers["one"]
    with pytest.raises(KeyError):
        del headers["one"]


@pytest.mark.parametrize("bad", ["a\r\nb", "a\nb", "a\rb", "a\0b", "a\x7fb", "\u20ac", "\udc80"])
def test_nothing_breaks_out_of_its_line(bad: str) -> None:
    """Line breaks, NULs and what isn't ASCII are refused everywhere in what is written before the body."""
    attempts: list[Callable[[], object]] = [
        lambda: Request(bad),
        lambda: Request(uri=f"/{bad}"),
        lambda: Request(version=bad),
        lambda: Request(headers={bad: "x"}),
        lambda: Request(headers={"x": bad}),
        lambda: Response(reason=bad),
        lambda: Response(version=bad),
        lambda: Headers().add("x", bad),
        lambda: Handler(f"/{bad}", echo) if "\u20ac" not in bad and "\udc80" not in bad else Handler("x", echo),
        lambda: Handler("/", echo, method=bad),
        lambda: Handler("/", echo, host=bad),
        lambda: Handler.static("/", b"", bad),
        lambda: Handler.redirect("/", f"/{bad}"),
    ]
    for attempt in attempts:
        with pytest.raises(nngio.InvalidArgument):
            attempt()


def test_what_makes_no_sense_is_refused() -> None:
    """With an error that says what would."""
    for attempt in (
        lambda: Request(uri="/a b"),
        lambda: Request("GET /"),
        lambda: Request(uri=""),
        lambda: Response(99),
        lambda: Response(1000),
        lambda: Headers({"": "x"}),
        lambda: Headers({"a b": "x"}),
        lambda: Handler("relative", echo),
        lambda: Handler("/", echo, max_body=-1),
        lambda: Handler.redirect("/", "/x", 200),
        lambda: Client("tcp://127.0.0.1:1"),
        lambda: Client("https://127.0.0.1:1"),
        lambda: Client("http://:1"),
        lambda: Server("https://127.0.0.1:0"),
        lambda: Client("http://127.0.0.1:1", tls=nngio.TLSConfig(auth="none")),
    ):
        with pytest.raises(nngio.InvalidArgument):
            attempt()
    for wrong in (
        lambda: Request(body="text"),  # type: ignore[arg-type]
        lambda: Request(5),  # type: ignore[arg-type]
        lambda: Request(headers=[("a", "b")]),  # type: ignore[arg-type]
        lambda: Response("200"),  # type: ignore[arg-type]
        lambda: Response(True),
        lambda: Headers({"a": 5}),  # type: ignore[dict-item]
        lambda: Handler("/", 5),  # type: ignore[arg-type]
        lambda: Handler("/", echo, max_body=1.5),  # type: ignore[arg-type]
        lambda: Handler.static("/", "text"),  # type: ignore[arg-type]
        lambda: Client("http://x", tls=5),  # type: ignore[arg-type]
        lambda: Connection(),
    ):
        with pytest.raises(TypeError):
            wrong()


# Clients.


class Standard(http.server.BaseHTTPRequestHandler):
    """Python's own server, which keeps connections open."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{self.command} {self.path} {self.headers['Host']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201, "Made")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(0, len(body), 1000):
            part = body[i : i + 1000]
            self.wfile.write(b"%X;ext=1\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\nTrailer: x\r\n\r\n")

    def log_message(self, *args: object) -> None:
        """Not to the terminal."""


@contextlib.contextmanager
def standard_server(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of one of Python's."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Standard) as server:
        server.daemon_threads = False
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_python_s_server_answers_our_client() -> None:
    """GET, HEAD and POST, on a connection each and on one for all; a body in chunks comes whole."""
    body = bytes(random.Random(1).randbytes(12345))
    with standard_server() as port, Client(f"http://127.0.0.1:{port}/from-url?x") as client:
        host = f"127.0.0.1:{port}"
        assert client.transact(timeout=SECONDS).body == f"GET /from-url?x {host}".encode()
        assert client.transact(Request(uri="/a", headers={"Host": "other"}), timeout=SECONDS).body == b"GET /a other"
        with client.connect(timeout=SECONDS) as connection:
            for _ in range(3):
                assert connection.transact(Request(uri="/b"), timeout=SECONDS).body == f"GET /b {host}".encode()
                head = connection.transact(Request("HEAD", "/b"), timeout=SECONDS)
                assert (head.body, int(head.headers["content-length"])) == (b"", len(f"HEAD /b {host}"))
                made = connection.transact(Request("POST", "/c", body=body), timeout=SECONDS)
                assert (made.status, made.reason, made.body) == (201, "Made", body)
            assert not connection.closed


@on_all_loops
def test_clients_can_be_awaited(loop: Loop, server: Server) -> None:
    """Each call has its awaitable form."""

    async def main(tasks: Tasks) -> None:
        async with Client(url(server)) as client:
            assert (await client.atransact(Request(uri="/echo?q"), timeout=SECONDS)).body == b"GET|/echo|q||"
            async with await client.aconnect(timeout=SECONDS) as connection:
                response = await connection.atransact(Request("POST", "/echo", body=b"x" * 100), timeout=SECONDS)
                assert response.body.endswith(b"x" * 100)
                await connection.awrite_request(Request(uri="/fixed"), timeout=SECONDS)
                response = await connection.aread_response()
                assert await connection.aread_all(int(response.headers["Content-Length"])) == b"always the same"
                await connection.awrite_all(b"GET /fixed HTTP/1.1\r\nHost: x\r\n")
                assert await connection.awrite(b"\r\n") == 2
                assert (await connection.aread(9)).startswith(b"HTTP/1.1"[:1])
            assert connection.closed
            many = [tasks.start(client.atransact, Request(uri=f"/echo?{i}")) for i in range(20)]
            for i, task in enumerate(many):
                assert (await task.wait()).result().body == b"GET|/echo|%d||" % i

    loop.run(main)


def test_a_connection_can_be_used_piece_by_piece(server: Server) -> None:
    """Bytes and messages, as NNG's own functions."""
    with Client(url(server)).connect(timeout=SECONDS) as connection:
        connection.write_request(Request(uri="/fixed"), timeout=SECONDS)
        response = connection.read_response(timeout=SECONDS)
        assert (response.status, response.headers["Content-Type"], response.body) == (200, "text/plain", b"")
        assert connection.read_all(7, timeout=SECONDS) == b"always "
        rest = b""
        while len(rest) < 8:
            rest += connection.read(3, timeout=SECONDS)
        assert rest == b"the same"
        assert connection.read_all(0) == b""
        assert connection.write(b"") == 0
        connection.write_all(b"")
        with pytest.raises(ValueError, match="size is at most"):
            connection.read_all(2**40)


def test_a_response_without_a_length_is_read_to_its_end() -> None:
    """As servers that close the connection send them; nothing is cut short."""
    body = bytes(range(256)) * 500
    with Raw(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n" + body) as raw, Client(raw.url) as client:
        assert client.transact(timeout=SECONDS).body == body


def test_a_message_may_have_no_headers() -> None:
    """Neither a response nor, with HTTP/1.0, a request needs one."""
    with Raw(b"HTTP/1.1 204 No\r\n\r\n") as raw, Client(raw.url) as client:
        assert client.transact(timeout=SECONDS).headers.get("Content-Type") is None
    with Server("http://127.0.0.1:0", Handler("/", lambda r: repr(r.headers.get("Host")))) as server:
        server.start()
        assert send_raw(server, b"GET / HTTP/1.0\r\n\r\n").endswith(b"None")


def test_what_comes_before_a_response_is_skipped() -> None:
    """100 Continue and its like are no answers."""
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with Raw(answer) as raw, Client(raw.url) as client:
        assert client.transact(timeout=SECONDS).body == b"ok"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", nngio.ConnectionShutdown),
        (b"HTTP/1.1 200", nngio.ConnectionShutdown),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", nngio.ConnectionShutdown),
        (b"nonsense\r\n\r\n", nngio.ProtocolError),
        (b"HTTP/1.1 abc OK\r\n\r\n", nngio.ProtocolError),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", nngio.ProtocolError),
        (b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", nngio.ProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n", nngio.ProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", nngio.ProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n", nngio.ProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", nngio.MessageTooLarge),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70000, nngio.MessageTooLarge),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", nngio.ProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", nngio.ProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n", nngio.MessageTooLarge),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", nngio.ProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n", nngio.ProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;" + b"x" * 9000 + b"\r\n", nngio.ProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 100, nngio.MessageTooLarge),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9000 + b"\r\n\r\n", TOO_LONG),
    ],
)
def test_a_server_that_breaks_the_rules_gets_an_error_raised(answer: bytes, error: type[Exception]) -> None:
    """Half of a response, lengths that are none, chunks that don't end, too much of anything."""
    with Raw(answer) as raw, Client(raw.url) as client, pytest.raises((error, nngio.ConnectionReset)):
        client.transact(timeout=SECONDS, max_body=65536)


def test_a_client_says_why_it_can_not_connect(server: Server) -> None:
    """Refused, unresolved, closed."""
    port = server.port
    server.close()
    with Client(f"http://127.0.0.1:{port}") as client, pytest.raises(nngio.ConnectionRefused, match=f"127.0.0.1:{port}"):
        client.transact(timeout=SECONDS)
    with Client("http://nobody.invalid:1") as client, pytest.raises((nngio.AddressInvalid, nngio.TryAgain, nngio.TimedOut)):
        client.connect(timeout=SECONDS)
    client.close()
    with pytest.raises(nngio.Closed):
        client.connect()
    with pytest.raises(nngio.TimedOut), Raw(b"x", read=False, linger=True) as raw, Client(raw.url) as client:
        client.transact(timeout=0.1)


def test_a_timeout_ends_the_connection_and_all_that_waits_on_it() -> None:
    """NNG can't tell how far it came."""
    with Raw(b"x", read=False, linger=True) as raw, Client(raw.url).connect(timeout=SECONDS) as connection:
        assert connection.read(timeout=SECONDS) == b"x"
        with pytest.raises(nngio.TimedOut):
            connection.read(timeout=0.05)
        assert connection.closed
        with pytest.raises(nngio.Closed, match="an interrupted call has ended"):
            connection.write(b"x")


def test_calls_have_their_turns_on_a_connection() -> None:
    """Of whatever kind: each reads what comes after that of the one before, and what one writes comes before that of the next."""

    async def begin(*calls: Any) -> list[asyncio.Task[Any]]:
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0)  # each begins, in this order
        return tasks

    async def main() -> None:
        async with Client(f"http://127.0.0.1:{listener.getsockname()[1]}") as client, await client.aconnect(timeout=SECONDS) as connection:
            peer = listener.accept()[0]
            with peer, peer.makefile("rb") as come:
                for _ in range(10):
                    reads = (connection.aread_all(5), connection.aread_response(), connection.aread(2), connection.aread_response())
                    waiting = await begin(*reads)
                    for part in (b"12345HTTP/1.1 2", b"04 None\r\n\r\nab", b"HTTP/1.1 404 No\r\n\r\n"):
                        peer.sendall(part)
                        await asyncio.sleep(0.01)
                    results = await asyncio.wait_for(asyncio.gather(*waiting), SECONDS)
                    assert [results[0], results[1].status, results[2], results[3].status] == [b"12345", 204, b"ab", 404]
                    waiting = await begin(*map(connection.awrite_all, (bytes(3_000_000), b"tail", b"end")))
                    assert await asyncio.to_thread(come.read, 3_000_007) == bytes(3_000_000) + b"tailend"
                    await asyncio.wait_for(asyncio.gather(*waiting), SECONDS)
                waiting = await begin(connection.aread(), connection.aread(timeout=0.05))
                with pytest.raises(nngio.TimedOut):
                    await waiting[1]
                with pytest.raises(nngio.Closed):
                    await asyncio.wait_for(waiting[0], SECONDS)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(main())


def test_closing_ends_what_waits() -> None:
    """With Closed, in whatever thread."""
    with Raw(b"", read=False, linger=True) as raw, ThreadPoolExecutor(4) as pool:
        connection = Client(raw.url).connect(timeout=SECONDS)
        waiting = [pool.submit(connection.read, timeout=SECONDS) for _ in range(3)]
        time.sleep(0.05)
        connection.close()
        for future in waiting:
            with pytest.raises(nngio.Closed):
                future.result(SECONDS)
        connection.close()


def test_a_client_closes_attempts_to_connect(black_hole: int) -> None:
    """One that never comes about ends with Closed."""
    raises = pytest.raises if tls_files.PATCHED else contextlib.suppress  # NNG 1.12's own may say that it is connected before it is
    with ThreadPoolExecutor(1) as pool:
        client = Client(f"http://127.0.0.1:{black_hole}")
        attempt = pool.submit(client.connect)
        while not client._attempts and not attempt.done():
            time.sleep(0.01)
        time.sleep(0.05)
        client.close()
        with raises(nngio.Closed):
            attempt.result(SECONDS).close()
        with raises(nngio.TimedOut):
            Client(f"http://127.0.0.1:{black_hole}").connect(timeout=0.05).close()


def test_ctrl_c_interrupts_a_call() -> None:
    """At once, and leaves nothing behind."""
    with Raw(b"", linger=True) as raw:
        main = threading.get_ident()
        timer = threading.Timer(0.2, lambda: signal.pthread_kill(main, signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            Client(raw.url).transact(timeout=SECONDS)
        timer.join()


@on_all_loops
def test_a_cancelled_call_ends_its_connection(loop: Loop) -> None:
    """The task is cancelled, and the next call says that the connection is closed."""
    with Raw(b"", read=False, linger=True) as raw:

        async def main(tasks: Tasks) -> None:
            connection = await Client(raw.url).aconnect(timeout=SECONDS)
            task = tasks.start(connection.aread)
            await loop.sleep(0.02)
            task.cancel()
            assert (await task.wait()).cancelled
            assert connection.closed
            with pytest.raises(nngio.Closed):
                await connection.aread()
            await connection.aclose()

        loop.run(main)


@on_all_loops
def test_a_transaction_that_is_cancelled_between_its_steps_ends_its_connection(loop: Loop) -> None:
    """The loop has stood still for so long that the step had finished: the next call never gets the answer to the one before."""

    async def main(tasks: Tasks) -> None:
        ended = 0
        for turns in range(9):
            with Answers() as server, await Client(server.url).aconnect(timeout=SECONDS) as connection:
                task = tasks.start(connection.atransact, Request(uri="/one"))
                for _ in range(turns):
                    await loop.sleep(0)
                time.sleep(0.02)  # noqa: ASYNC251  # the loop is to stand still
                task.cancel()
                outcome = await task.wait()
                if not outcome.cancelled:
                    assert outcome.result().body == b"/one"
                elif connection.closed:
                    ended += 1
                    assert server.ended.acquire(timeout=SECONDS)
                    with pytest.raises(nngio.Closed, match="an interrupted call has ended this connection"):
                        await connection.atransact(Request(uri="/two"), timeout=SECONDS)
                    continue
                else:
                    assert not server.asked  # nothing was begun
                assert (await connection.atransact(Request(uri="/two"), timeout=SECONDS)).body == b"/two"
        assert ended > 1

    loop.run(main)


@on_all_loops
def test_a_read_that_is_cancelled_when_its_bytes_have_come_ends_its_connection_or_returns_them(loop: Loop) -> None:
    """They aren't lost in silence."""

    async def main(tasks: Tasks) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            await Client(f"http://127.0.0.1:{listener.getsockname()[1]}").aconnect(timeout=SECONDS) as connection,
            listener.accept()[0] as peer,
        ):
            task = tasks.start(connection.aread)
            await loop.sleep(0.02)
            peer.sendall(b"first")
            time.sleep(0.02)  # noqa: ASYNC251  # the loop is to stand still
            task.cancel()
            outcome = await task.wait()
            if outcome.cancelled:
                assert connection.closed
                peer.settimeout(SECONDS)
                assert peer.recv(1) == b""
            else:
                assert outcome.result() == b"first"
                peer.sendall(b"second")
                assert await connection.aread(timeout=SECONDS) == b"second"

    loop.run(main)


@pytest.mark.parametrize("loop", [ASYNCIO, TRIO], ids=repr)
def test_a_call_that_has_begun_nothing_leaves_its_connection_as_it_is(loop: Loop) -> None:
    """One that is cancelled before its first step, and one that is refused."""

    async def main(tasks: Tasks) -> None:
        with Answers() as server, await Client(server.url).aconnect(timeout=SECONDS) as connection:
            for _ in range(3):
                task = tasks.start(connection.atransact, Request(uri="/never"))
                task.cancel()
                assert (await task.wait()).cancelled
            with pytest.raises(TypeError):
                await connection.atransact("/")  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                connection.transact("/")  # type: ignore[arg-type]
            with pytest.raises(nngio.InvalidArgument):
                connection.transact(Request("POST", body=b"1", headers={"Content-Length": "2"}))
            assert connection.transact(Request(uri="/one"), timeout=SECONDS).body == b"/one"
            assert server.asked == ["/one"]

    loop.run(main)


def test_ctrl_c_at_any_moment_of_a_transaction_mixes_up_no_answers() -> None:
    """Either the connection is ended, or the next request on it gets its own answer."""
    main = threading.get_ident()
    interrupted = 0

    def interrupt() -> None:
        time.sleep(random.random() * 0.001)
        signal.pthread_kill(main, signal.SIGINT)

    with Answers() as server, Client(server.url) as client, Helper() as helper:
        connection = client.connect(timeout=SECONDS)
        for number in range(RACES):
            bodies = []
            try:
                helper.start(interrupt)
                bodies.append(connection.transact(Request(uri=f"/{number}"), timeout=SECONDS).body)
                while True:
                    time.sleep(0.001)
            except KeyboardInterrupt:
                interrupted += not bodies
            helper.wait()
            assert bodies in ([], [b"/%d" % number])
            if connection.closed:
                connection = client.connect(timeout=SECONDS)
        connection.close()
    assert interrupted


@contextlib.contextmanager
def trickle(head: bytes, piece: bytes) -> Iterator[str]:
    """The URL of a server that sends a little, every two milliseconds, to each who connects, until they leave."""
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), listener.accept()[0] as peer:
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer.sendall(head)
                while not over.wait(0.002):
                    peer.sendall(piece)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            socket.create_connection(listener.getsockname()).close()
            thread.join()


TRICKLES = [
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
]


@pytest.mark.parametrize(("head", "piece"), TRICKLES, ids=["chunks", "to the end"])
def test_a_timeout_is_for_all_of_a_transaction(head: bytes, piece: bytes) -> None:
    """A server that always sends a little more can't make it longer."""
    with trickle(head, piece) as target, Client(target).connect(timeout=SECONDS) as connection:
        begun = time.monotonic()
        with pytest.raises(nngio.TimedOut):
            connection.transact(Request(), timeout=0.2)
        assert 0.2 <= time.monotonic() - begun < 2
        with pytest.raises(nngio.Closed, match="interrupted"):
            connection.read()
        with pytest.raises(nngio.TimedOut), Client(target) as client:
            client.transact(timeout=0)


@pytest.mark.parametrize(("head", "piece"), TRICKLES, ids=["chunks", "to the end"])
@on_all_loops
def test_a_timeout_is_for_all_of_an_awaited_transaction(loop: Loop, head: bytes, piece: bytes) -> None:
    """The same on loops."""

    async def main(_: Tasks) -> None:
        async with await Client(target).aconnect(timeout=SECONDS) as connection:
            with pytest.raises(nngio.TimedOut):
                await connection.atransact(Request(), timeout=0.2)
            with pytest.raises(nngio.Closed, match="interrupted"):
                await connection.aread()

    with trickle(head, piece) as target:
        begun = time.monotonic()
        loop.run(main)
        assert 0.2 <= time.monotonic() - begun < 3


def test_only_so_many_responses_come_before_the_one_that_counts() -> None:
    """Sixteen; with one more the connection is closed."""
    before, answer = b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with Raw(before * 16 + answer, before * 17 + answer) as raw, Client(raw.url) as client:
        assert client.transact(timeout=SECONDS).body == b"ok"
        with client.connect(timeout=SECONDS) as connection:
            with pytest.raises(nngio.ProtocolError, match="more than 16"):
                connection.transact(Request(), timeout=SECONDS)
            with pytest.raises(nngio.Closed, match="this connection is closed"):
                connection.read()


def test_a_cancellation_at_any_moment_does_no_harm(server: Server) -> None:
    """A thousand transactions, each cancelled somewhere between its start and its end; then the server still answers."""
    ends = {"cancelled": 0, "done": 0}

    async def main(tasks: Tasks) -> None:
        chance = random.Random(7)
        with Client(url(server)) as client:
            for _ in range(RACES):
                task = tasks.start(client.atransact, Request("POST", "/echo", body=b"x" * 50))
                await ASYNCIO.sleep(chance.choice((0, 0, 0.0002, 0.0005, 0.001, 0.002)) * chance.random())
                task.cancel()
                outcome = await task.wait()
                if outcome.cancelled:
                    ends["cancelled"] += 1
                else:
                    assert outcome.result().status == 200
                    ends["done"] += 1

    ASYNCIO.run(main)
    assert ends["cancelled"]
    assert fetch(server, "/echo")[0] == 200


def test_threads_share_a_client_and_a_server(server: Server) -> None:
    """A hundred requests in ten threads, on both sides ours, each with its own answer."""
    with ThreadPoolExecutor(10) as pool, Client(url(server)) as client:
        bodies = list(pool.map(lambda i: client.transact(Request(uri=f"/echo?{i}"), timeout=SECONDS).body, range(100)))
    assert bodies == [b"GET|/echo|%d||" % i for i in range(100)]


# What is sent.


def test_lengths_are_seen_to() -> None:
    """A Content-Length is that of the body; one that isn't, or another encoding beside a body, is refused."""
    with Raw(b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n") as raw, Client(raw.url) as client:
        client.transact(Request("POST", body=b"12345", headers={"content-length": "5"}), timeout=SECONDS)
        assert raw.seen[0].lower().count(b"content-length: 5\r\n") == 1
        with pytest.raises(nngio.InvalidArgument, match="Content-Length"):
            client.transact(Request("POST", body=b"12345", headers={"Content-Length": "4"}), timeout=SECONDS)
        with pytest.raises(nngio.InvalidArgument, match="Transfer-Encoding"), client.connect(timeout=SECONDS) as connection:
            connection.write_request(Request("POST", body=b"1", headers={"Transfer-Encoding": "chunked"}))


def test_a_request_may_be_changed_and_sent_again(server: Server) -> None:
    """What goes out is what it says now."""
    with Client(url(server)).connect(timeout=SECONDS) as connection:
        request = Request(uri="/echo", headers={"X-Test": "one"})
        assert connection.transact(request, timeout=SECONDS).body == b"GET|/echo||one|"
        request.headers["X-Test"] = "two"
        request.method, request.body = "POST", b"more"
        assert connection.transact(request, timeout=SECONDS).body == b"POST|/echo||two|more"
        request.headers["X-Test"] = "3"
        request.body = b""
        assert connection.transact(request, timeout=SECONDS).body == b"POST|/echo||3|"


# Servers.


def test_python_s_client_is_answered(server: Server) -> None:
    """GET, POST, HEAD, what isn't there, a method that isn't; many on one connection."""
    assert fetch(server, "/echo?a=b") == (200, b"GET|/echo|a=b||")
    assert fetch(server, "/echo", b"data") == (200, b"POST|/echo|||data")
    assert fetch(server, "/nowhere")[0] == 404
    assert fetch(server, "/fixed", b"data")[0] == 405
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    with contextlib.closing(client):
        for i in range(5):
            client.request("GET", f"/echo?{i}", headers={"X-Test": "x"})
            answer = client.getresponse()
            assert (answer.read(), answer.headers["X-Answer"]) == (b"GET|/echo|%d|x|" % i, "yes")
            client.request("HEAD", "/echo")
            answer = client.getresponse()
            assert (answer.read(), answer.headers["Content-Length"]) == (b"", str(len("HEAD|/echo|||")))


def test_a_handler_may_return_bytes_or_text(server: Server) -> None:
    """With status 200, and a type."""
    server.add(Handler("/bytes", lambda _: b"\x00\x01"))
    server.add(Handler("/text", lambda _: "gr\u00fc\u00df"))
    server.add(Handler("/empty", lambda _: b""))
    for path, body, kind in (
        ("/bytes", b"\x00\x01", "application/octet-stream"),
        ("/text", "gr\u00fc\u00df".encode(), "text/plain; charset=utf-8"),
        ("/empty", b"", "application/octet-stream"),
    ):
        response = get(server, path)
        assert (response.status, response.body, response.headers["Content-Type"]) == (200, body, kind)


def test_a_handler_that_fails_gives_500_and_a_report(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hook hears of the exception and of the function; the server goes on."""
    reports: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)

    def broken(request: Request) -> bytes:
        raise ZeroDivisionError(request.path)

    server.add(Handler("/broken", broken))
    server.add(Handler("/none", lambda _: None))  # type: ignore[arg-type, return-value]
    server.add(Handler("/kept", lambda _: Response(headers={"Content-Length": "7"}, body=b"x")))
    for path in ("/broken", "/none", "/kept"):
        assert fetch(server, path)[0] == 500
    assert [type(report.exc_value) for report in reports] == [ZeroDivisionError, TypeError, nngio.InvalidArgument]
    assert reports[0].object is broken
    reports.clear()
    assert fetch(server, "/echo")[0] == 200


def test_handlers_run_on_the_callback_thread(server: Server) -> None:
    """Never on a thread of NNG's."""
    names = []
    server.add(Handler("/who", lambda _: names.append(threading.current_thread().name) or b""))  # type: ignore[func-returns-value]
    get(server, "/who")
    assert names == ["nngio-callbacks"]


def test_trees_hosts_and_methods_choose_the_handler() -> None:
    """The longest path that fits, for the host and the method; None is any."""
    with Server("http://127.0.0.1:0") as server:
        server.add(Handler("/", lambda _: "root"))
        server.add(Handler("/tree", lambda r: f"tree {r.path}", tree=True))
        server.add(Handler("/tree/deep/", lambda _: "deep"))
        server.add(Handler("/tree/host", lambda _: "host", host="example.com"))
        server.add(Handler("/any", lambda r: r.method, method=None))
        server.add(Handler("/only", lambda _: "only", tree_exclusive=True))
        server.start()
        for path, body in (
            ("/", b"root"),
            ("/tree", b"tree /tree"),
            ("/tree/a/b", b"tree /tree/a/b"),
            ("/tree/deep", b"deep"),
            ("/tree/deep/", b"deep"),
            ("/tree/%64eep", b"deep"),
            ("/tree/host", b"tree /tree/host"),
            ("/only/x", b"only"),
        ):
            assert fetch(server, path) == (200, body), path
        assert get(server, "/tree/host", headers={"Host": "Example.com:80"}).body == b"host"
        assert get(server, "/any", method="PURGE").body == b"PURGE"
        assert fetch(server, "/treehouse")[0] == 404
        for handler in (Handler("/tree", echo, tree=True), Handler("/tree/", echo), Handler("/only/below", echo)):
            with pytest.raises(nngio.AddressInUse, match="already"):
                server.add(handler)
        assert len(server.handlers) == 6


def test_files_directories_and_redirections_are_served(tmp_path: Path) -> None:
    """Nothing of a directory's outside, whatever the path or link says."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "root-beside").mkdir()
    (tmp_path / "root-beside/file").write_bytes(b"secret")
    (root / "a b.html").write_bytes(b"<p>")
    (root / "empty.txt").write_bytes(b"")
    (root / "sub/index.html").write_bytes(b"index")
    (root / "link").symlink_to(tmp_path / "secret")
    with Server(
        "http://127.0.0.1:0",
        Handler.directory("/files", root),
        Handler.file("/one", root / "sub/index.html"),
        Handler.file("/none", root / "none"),
        Handler.file("/empty", root / "empty.txt"),
        Handler.redirect("/old", "/one"),
        Handler.redirect("/moved", "http://example.invalid/new", 307, tree=True),
    ) as server:
        server.start()
        response = get(server, "/files/a%20b.html")
        assert (response.body, response.headers["Content-Type"]) == (b"<p>", "text/html")
        assert get(server, "/files/empty.txt").body == b""
        assert get(server, "/files/sub").body == get(server, "/files/sub/").body == get(server, "/one").body == b"index"
        assert fetch(server, "/old") == (200, b"index")
        assert get(server, "/moved/a?b").headers["Location"] == "http://example.invalid/new/a?b"
        assert get(server, "/moved").status == 307
        assert get(server, "/none").status == 404
        if is_patched("http-unread-body"):  # else NNG takes an empty file for a lack of memory
            assert get(server, "/empty").body == b""
        for path in ("", "/", "/none", "/../secret", "/sub/../../secret", "/%2e%2e/secret", "/..%2fsecret", "/link", "//etc/passwd"):
            response = get(server, f"/files{path}")
            assert (response.status, b"secret" in response.body) == (404, False), path
        for path in ("/../root-beside/file", "/%2e%2e%2froot-beside%2ffile", "/a%00b"):
            assert get(server, f"/files{path}").status == 404, path


def test_errors_have_the_server_s_pages(tmp_path: Path) -> None:
    """Where NNG answers with one, and where a handler does; before the start only."""
    (tmp_path / "405.html").write_bytes(b"<p>from a file")
    (tmp_path / "empty").write_bytes(b"")
    with Server(
        "http://127.0.0.1:0", Handler("/busy", lambda _: Response.error(503)), Handler("/own", lambda _: Response(503, b"own"))
    ) as server:
        server.error_page(404, "<p>lost")
        server.error_page(404, "<p>lost again")
        server.error_page(503, "<p>busy")
        server.error_file(405, tmp_path / "405.html")
        with pytest.raises(FileNotFoundError):
            server.error_file(404, tmp_path / "none")
        for bad in ("", "a\0b"):
            with pytest.raises(nngio.InvalidArgument):
                server.error_page(404, bad)
        with pytest.raises(nngio.InvalidArgument):
            server.error_file(404, tmp_path / "empty")
        server.start()
        assert fetch(server, "/nowhere") == (404, b"<p>lost again")
        assert fetch(server, "/busy", b"") == (405, b"<p>from a file")
        assert fetch(server, "/busy") == (503, b"<p>busy")
        assert fetch(server, "/own") == (503, b"own")
        assert server.error(404).body == b"<p>lost again"
        assert server.error(400).status == 400
        with pytest.raises(nngio.BadState):
            server.error_page(400, "<p>late")


def test_a_body_has_a_limit() -> None:
    """One that is larger is refused, with an answer, before it is read."""
    with Server("http://127.0.0.1:0", Handler("/", lambda r: b"%d" % len(r.body), method="POST", max_body=1000)) as server:
        server.start()
        assert fetch(server, "/", b"x" * 1000) == (200, b"1000")
        answer = send_raw(server, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", until=b"</html>")
        assert answer.startswith(b"HTTP/1.1 400")


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@patched
@pytest.mark.parametrize(
    "request_head",
    [
        b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
        b"POST /fixed HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: %d\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5, %d\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX: %d\r\n\r\n",
        b"POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX: %d\r\n\r\n",
    ],
)
def test_a_body_that_nobody_reads_is_no_request(server: Server, request_head: bytes) -> None:
    """The connection ends after the answer: what hides in a body is never answered."""
    seen: list[str] = []
    server.add(Handler("/smuggled", lambda r: seen.append(r.path) or b"smuggled"))  # type: ignore[func-returns-value]
    answer = send_raw(server, request_head % len(SMUGGLED) + SMUGGLED)
    assert answer.count(b"HTTP/1.1 ") == 1 or not answer
    assert not seen


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n\r\n",
        b"\0\1\2\3",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100000 + b"\r\n\r\n",
        b"GET /%",
        b"GET /echo% HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ],
)
@pytest.mark.parametrize("reset", [False, True])
def test_peers_that_break_the_rules_do_no_harm(server: Server, data: bytes, reset: bool) -> None:
    """Half a request, none, too long a one, with an end in good order or a reset; others are served."""
    with socket.create_connection(("127.0.0.1", server.port), SECONDS) as peer:
        with contextlib.suppress(ConnectionError):
            peer.sendall(data)
        if reset:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert fetch(server, "/echo")[0] == 200


def test_a_client_that_leaves_before_its_answer_does_no_harm(server: Server) -> None:
    """A handler whose client has gone answers into nothing."""
    entered, leave = threading.Event(), threading.Event()

    def slow(_: Request) -> bytes:
        entered.set()
        leave.wait(SECONDS)
        return b"x" * 1000000

    server.add(Handler("/slow", slow))
    with pytest.raises(nngio.TimedOut), Client(url(server)) as client:
        client.transact(Request(uri="/slow"), timeout=0.3)
    assert entered.wait(SECONDS)
    leave.set()
    assert fetch(server, "/echo")[0] == 200


# The end of servers.


def test_closing_waits_for_no_handler(server: Server) -> None:
    """A request that is being answered is dropped with its connection; the handler's answer then goes nowhere."""
    entered, leave, returned = threading.Event(), threading.Event(), threading.Event()

    def slow(request: Request) -> str:
        entered.set()
        leave.wait(SECONDS)
        returned.set()
        return request.headers.get("X-Test", "none")

    server.add(Handler("/slow", slow))
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(get, server, "/slow")]
        assert entered.wait(SECONDS)
        waiting += [pool.submit(get, server, path) for path in ("/slow", "/echo")]
        time.sleep(0.05)
        server.close()
        for future in waiting:
            with pytest.raises((nngio.ConnectionShutdown, nngio.ConnectionReset, nngio.ConnectionRefused)):
                future.result(SECONDS)
        assert not returned.is_set()
        leave.set()
        assert returned.wait(SECONDS)
    with pytest.raises(nngio.Closed):
        server.start()
    server.close()


def test_a_handler_may_close_its_server(server: Server) -> None:
    """On the callback thread, without waiting for itself."""
    server.add(Handler("/end", lambda _: server.close() or b"never sent"))  # type: ignore[func-returns-value]
    with pytest.raises((nngio.ConnectionShutdown, nngio.ConnectionReset)):
        get(server, "/end")
    assert server.closed


def test_handlers_come_and_go_while_requests_do(server: Server) -> None:
    """A removed handler is never called again, nor used by a request whose body was still coming in."""
    calls = 0

    def count(request: Request) -> bytes:
        nonlocal calls
        calls += 1
        return b"%d" % len(request.body)

    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            with contextlib.suppress(nngio.NNGError):
                assert get(server, "/gone", method="POST", body=b"x" * 100).status in (200, 404)

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        for _ in range(100):
            handler = server.add(Handler("/gone", count, method="POST"))
            with socket.create_connection(("127.0.0.1", server.port), SECONDS) as peer:
                peer.sendall(b"POST /gone HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
                server.remove(handler)
                peer.sendall(b"67890")
                assert peer.recv(100).startswith((b"HTTP/1.1 404", b"HTTP/1.1 200"))
        stop.set()
        for future in asking:
            future.result(SECONDS)
    with pytest.raises(nngio.NoEntry):
        server.remove(handler)
    calls = 0
    assert fetch(server, "/gone", b"x")[0] == 404
    assert calls == 0


def test_servers_stop_while_they_are_asked() -> None:
    """Thirty servers, closed at any moment of requests to Python and to NNG's own handlers, which are never not found."""
    chance = random.Random(3)
    statuses = set()
    for _ in range(30):
        with Server("http://127.0.0.1:0", Handler("/", echo), Handler.static("/fixed", b"x" * 100000)) as server:
            server.start()
            target = url(server)

            def ask(path: str, target: str = target) -> None:
                with contextlib.suppress(nngio.NNGError), Client(target) as client:
                    for _ in range(100):
                        statuses.add(client.transact(Request(uri=path), timeout=SECONDS).status)

            with ThreadPoolExecutor(4) as pool:
                for path in ("/", "/fixed", "/", "/fixed"):
                    pool.submit(ask, path)
                time.sleep(chance.random() * 0.02)
                server.close()
    assert statuses == {200}


def test_a_server_that_is_dropped_warns_and_stops() -> None:
    """Also one that its own handler refers to; and a connection."""

    def dropped_server() -> tuple[str, "weakref.ref[Server]"]:
        server = Server("http://127.0.0.1:0")
        server.add(Handler("/", lambda _: server.url))
        server.start()
        return url(server), weakref.ref(server)

    target, gone = dropped_server()
    connections = [Client(target).connect(timeout=SECONDS)]
    with pytest.warns(ResourceWarning, match=r"unclosed <nngio\.http\.Connection"):
        connections.clear()
    with pytest.warns(ResourceWarning, match=r"unclosed <nngio\.http\.Server"):
        gc.collect()
    assert gone() is None
    with pytest.raises(nngio.ConnectionRefused):
        Client(target).transact(timeout=SECONDS)


@on_all_loops
def test_a_server_can_be_closed_by_a_loop(loop: Loop) -> None:
    """`async with` closes it without holding up the loop."""

    async def main(_: Tasks) -> None:
        async with Server("http://127.0.0.1:0", Handler("/", lambda _: "here")) as server:
            server.start()
            assert (await Client(url(server)).atransact(timeout=SECONDS)).body == b"here"
        assert server.closed

    loop.run(main)


def test_a_server_tells_its_address() -> None:
    """Once it is started; an address that is taken is refused."""
    with Server("http://127.0.0.1:0/path") as server:
        assert (server.url, server.tls, server.closed) == ("http://127.0.0.1:0/path", None, False)
        with pytest.raises(nngio.BadState):
            _ = server.port
        server.start()
        server.start()
        assert server.address == nngio.TCPAddress("127.0.0.1", server.port)
        assert server.url == f"http://127.0.0.1:{server.port}/path"
        with (
            socket.create_server(("127.0.0.1", 0)) as taken,
            Server(f"http://127.0.0.1:{taken.getsockname()[1]}") as other,
            pytest.raises(nngio.AddressInUse, match=r"127\.0\.0\.1"),
        ):
            other.start()
        assert repr(server).startswith("<nngio.http.Server http://127.0.0.1:")
    assert repr(server).endswith(", closed>")
    with pytest.raises(nngio.Closed):
        server.add(Handler("/", echo))


# Taking over.


def test_a_handler_can_take_over_its_connection(server: Server) -> None:
    """The connection is its own from then on, on any thread, and outlives the server."""
    taken: list[tuple[Request, Connection]] = []
    there = threading.Event()

    def take(request: Request, connection: Connection) -> None:
        taken.append((request, connection))
        there.set()

    server.add(Handler("/raw", take, hijack=True))
    with socket.create_connection(("127.0.0.1", server.port), SECONDS) as peer:
        peer.sendall(b"GET /raw HTTP/1.1\r\nHost: x\r\nX-Test: y\r\n\r\nmore")
        assert there.wait(SECONDS)
        request, connection = taken.pop()
        server.close()
        with connection:
            assert (request.path, request.headers["X-Test"]) == ("/raw", "y")
            assert connection.read_all(4, timeout=SECONDS) == b"more"
            connection.write_response(Response(101, headers={"Upgrade": "x"}), timeout=SECONDS)
            connection.write_all(b"raw", timeout=SECONDS)
            assert peer.makefile("rb").read(3 + len(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")).endswith(b"raw")
            peer.sendall(b"GET /again HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.read_request(timeout=SECONDS).path == "/again"
        assert peer.recv(10) == b""


def test_a_take_over_that_fails_closes_the_connection(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is reported."""
    reports: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)
    server.add(Handler("/raw", lambda _, connection: 1 / 0, hijack=True))  # noqa: ARG005
    assert send_raw(server, b"GET /raw HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    assert fetch(server, "/echo")[0] == 200  # the callback thread is done with it
    assert [type(report.exc_value) for report in reports] == [ZeroDivisionError]
    reports.clear()


# Beside websockets.


def test_a_server_answers_on_the_port_of_a_websocket_listener() -> None:
    """The listener was first: both answer, and the listener goes on when the server is closed."""
    with nngio.Pair0(listen="ws://127.0.0.1:0/socket") as near:
        port = near.listeners[0].port
        with Server(f"http://127.0.0.1:{port}", Handler("/health", lambda _: "fine")) as server:
            server.start()
            assert server.port == port
            with nngio.Pair0(dial=f"ws://127.0.0.1:{port}/socket") as far:
                far.send(b"one", timeout=SECONDS)
                assert near.recv(timeout=SECONDS) == b"one"
                assert fetch(server, "/health") == (200, b"fine")
                server.close()
                far.send(b"two", timeout=SECONDS)
                assert near.recv(timeout=SECONDS) == b"two"
                with pytest.raises(urllib.error.HTTPError, match="404") as caught:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=SECONDS)
                caught.value.close()


def test_a_websocket_listener_joins_a_server() -> None:
    """The server was first: both answer, and the server goes on when the listener is closed."""
    with Server("http://127.0.0.1:0", Handler("/health", lambda _: "fine")) as server:
        server.start()
        with nngio.Pair0(listen=f"ws://127.0.0.1:{server.port}/socket") as near, nngio.Pair0(dial=near.listeners[0].url) as far:
            far.send(b"one", timeout=SECONDS)
            assert near.recv(timeout=SECONDS) == b"one"
            assert fetch(server, "/health") == (200, b"fine")
        assert fetch(server, "/health") == (200, b"fine")


def test_two_servers_share_an_address() -> None:
    """Each has its handlers, and goes by itself."""
    with Server("http://127.0.0.1:0", Handler("/one", lambda _: "one")) as one:
        one.start()
        with Server(f"http://127.0.0.1:{one.port}", Handler("/two", lambda _: "two")) as two:
            two.start()
            assert fetch(one, "/two") == (200, b"two")
        assert fetch(one, "/one") == (200, b"one")
        assert fetch(one, "/two")[0] == 404


@pytest.mark.parametrize(
    ("rest", "asked"), [("/caf%C3%A9?x=%E2%82%AC", "/caf%C3%A9?x=%E2%82%AC"), ("?x=1", "/?x=1"), ("/a/b#c", "/a/b"), ("", "/")]
)
def test_a_client_asks_for_what_its_url_says(rest: str, asked: str) -> None:
    """As it is written there, quoted, and with a path."""
    with Server("http://127.0.0.1:0", Handler("/", lambda request: request.uri, tree=True)) as server:
        server.start()
        with Client(f"http://127.0.0.1:{server.port}{rest}") as client:
            assert client.transact(timeout=SECONDS).body == asked.encode()


def test_a_server_takes_the_path_apart_whichever_letters_it_has() -> None:
    """The URI is ASCII, and the path decoded once, whatever NNG has made of it."""
    seen: list[Request] = []
    with Server("http://127.0.0.1:0", Handler("/", lambda request: seen.append(request) or "", tree=True)) as server:
        server.start()
        assert fetch(server, "/caf%C3%A9/%E2%82%AC/a%20b/%25?x=%C3%A9")[0] == 200
    assert seen[0].path == "/café/€/a b/%"
    assert (seen[0].uri, seen[0].query) == ("/caf%C3%A9/%E2%82%AC/a%20b/%25?x=%C3%A9", "x=%C3%A9")


def test_fixed_content_is_bytes_and_not_their_number() -> None:
    """As any body."""
    for wrong in (5, "text", None):
        with pytest.raises(TypeError):
            Handler.static("/x", wrong)  # type: ignore[arg-type]
    assert Handler.static("/x", memoryview(b"abcdef")[::2])


def test_a_server_that_was_not_started_answers_nobody() -> None:
    """Though NNG has one server for both of the same address."""
    called: list[Request] = []
    with Server("http://127.0.0.1:0", Handler("/one", lambda _: "one")) as one:
        one.start()
        with Server(f"http://127.0.0.1:{one.port}", Handler("/two", lambda request: called.append(request) or "two")) as two:
            assert fetch(one, "/two")[0] == 404
            two.start()
            assert fetch(one, "/two") == (200, b"two")
        assert fetch(one, "/one") == (200, b"one")
    assert len(called) == 1


# TLS.


def test_https_both_ways(certificates: Any) -> None:
    """Our client to Python's server and to ours, Python's client to ours; a stranger is refused."""
    context = tls_files.server_context()
    with standard_server(context) as port, Client(f"https://localhost:{port}", tls=certificates.client) as client:
        assert client.transact(timeout=SECONDS).body == f"GET / localhost:{port}".encode()
        assert client.transact(Request("POST", body=b"x" * 5000), timeout=SECONDS).body == b"x" * 5000
    with Server("https://127.0.0.1:0", Handler("/", lambda r: r.method), tls=certificates.server) as server:
        server.start()
        assert server.tls is certificates.server
        with urllib.request.urlopen(server.url, timeout=SECONDS, context=tls_files.client_context()) as answer:
            assert answer.read() == b"GET"
        with Client(server.url, tls=certificates.client) as client:
            assert client.tls is certificates.client
            with client.connect(timeout=SECONDS) as connection:
                for _ in range(3):
                    assert connection.transact(Request(), timeout=SECONDS).body == b"GET"
            client.tls = nngio.TLSConfig(ca=tls_files.strangers().ca_pem)
            with pytest.raises((nngio.PeerAuthError, nngio.CryptoError, nngio.ConnectionShutdown)):
                client.transact(timeout=SECONDS)
        with pytest.raises(nngio.InvalidArgument, match="https"):
            Server(f"http://127.0.0.1:{server.port}")
        with Server(server.url, Handler("/two", lambda _: "two"), tls=certificates.server) as two:
            two.start()
            with Client(server.url, tls=certificates.client) as client:
                assert client.transact(Request(uri="/two"), timeout=SECONDS).body == b"two"
        assert Client(server.url, tls=certificates.client).transact(timeout=SECONDS).body == b"GET"


@patched
def test_an_answer_over_tls_comes_whole(certificates: Any) -> None:
    """Also the last one of a connection, for clients that ask for its end."""
    context = tls_files.client_context()
    bodies = [b"end", random.Random(5).randbytes(100000)]
    with Server("https://127.0.0.1:0", Handler("/", lambda r: bodies[len(r.query) % 2]), tls=certificates.server) as server:
        server.start()

        def ask(number: int) -> bool:
            with urllib.request.urlopen(f"{server.url}/?{'x' * (number % 2)}", timeout=SECONDS, context=context) as answer:
                return bool(answer.read() == bodies[number % 2])

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(ask, range(100)))


@patched
def test_an_answer_to_what_is_not_read_arrives() -> None:
    """The client hears it, though it is still sending its body."""
    with Server("http://127.0.0.1:0", Handler("/", echo, method="POST", max_body=10)) as server:
        server.start()
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port), SECONDS) as peer:
                peer.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50000)
                assert peer.recv(100).startswith(b"HTTP/1.1 400")


@pytest.fixture
def certificates() -> Any:
    """An authority's, that both sides trust."""
    return tls_files.certificates()


# Fork and exit.

PROGRAM = """
import threading, nngio
from nngio.http import *
entered = threading.Event()
def slow(request):
    entered.set()
    time.sleep(100)
server = Server("http://127.0.0.1:0", Handler("/", lambda r: b"here"), Handler("/slow", slow))
server.start()
client = Client(server.url)
connection = client.connect(timeout=10)
"""


def test_a_forked_child_gets_an_error() -> None:
    """From whatever it inherited; the parent goes on."""
    run(
        PROGRAM
        + """
if (child := os.fork()) == 0:
    for call in (server.start, lambda: server.add(Handler("/x", slow)), lambda: server.port, client.connect,
                 lambda: client.transact(), connection.read, lambda: connection.write(b"x"), server.__enter__,
                 lambda: Server("http://127.0.0.1:0"), lambda: Response.error(404)):
        try:
            call()
        except nngio.ForkedError:
            continue
        os._exit(1)
    connection.close(); client.close(); server.close()
    del connection, client, server
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(connection.transact(Request(), timeout=10).body)
connection.close(); server.close()
""",
        options=FORKS,
    ).check(out="b'here'\n")


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "raise SystemExit"])
def test_a_program_exits_with_requests_pending(end: str) -> None:
    """A handler that runs, clients that wait in threads, everything open: it ends at once, in silence."""
    run(
        PROGRAM
        + f"""
for _ in range(3):
    threading.Thread(target=lambda: Client(server.url).transact(Request(uri="/slow")), daemon=True).start()
threading.Thread(target=connection.read, daemon=True).start()
entered.wait(10)
main_ends()
{end}
""",
    ).check(exit_seconds=5)


def test_a_loop_may_be_dropped_with_requests_pending(server: Server) -> None:
    """Its calls are abandoned with it."""
    import asyncio

    entered, leave = threading.Event(), threading.Event()
    server.add(Handler("/slow", lambda _: (entered.set(), leave.wait(SECONDS), b"x")[2]))
    loop = asyncio.new_event_loop()
    task = loop.create_task(Client(url(server)).atransact(Request(uri="/slow")))
    while not entered.is_set():
        loop.run_until_complete(asyncio.sleep(0.01))
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    leave.set()
    assert fetch(server, "/echo")[0] == 200


def test_importing_nngio_imports_no_http() -> None:
    """Neither ours nor Python's."""
    run("import nngio; print([name for name in sys.modules if 'http' in name])").check(out="[]\n")


def test_descriptors_do_not_pile_up(server: Server) -> None:
    """After hundreds of requests there are as many as after some."""

    def ask(times: int) -> int:
        for _ in range(times):
            get(server, "/echo")
        return len(list(Path("/proc/self/fd").iterdir()))

    ask(10)
    before = ask(10)
    after = ask(200)
    end = time.monotonic() + SECONDS
    while after > before + 5 and time.monotonic() < end:
        time.sleep(0.05)
        after = len(list(Path("/proc/self/fd").iterdir()))
    assert after <= before + 5
