"""Dialers, listeners, URLs, addresses and pipes: how sockets find each other, and what they say when they don't."""

import asyncio
import pickle
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import TRANSPORTS
from tls import certificates

import nngio
from nngio._core.nng import patched as is_patched
from nngio.http import Client, Server
from nngio.lowlevel import check, ffi, lib, nng_version

Address = Callable[[str], str]


@contextmanager
def silent_server() -> Iterator[tuple[str, socket.socket]]:
    """The URL of a TCP port where connections are made and nothing is ever said, and its listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}", server


@pytest.fixture
def nobody(address: Address) -> Callable[[str], str]:
    """A function that makes a URL at which nobody listens, but could."""

    def make(transport: str) -> str:
        with nngio.Pair0(listen=address(transport)) as pair:
            return pair.listeners[0].url

    return make


def exchange(a: Any, b: Any) -> None:
    """Two PAIRs are connected."""
    a.send(b"ping", timeout=10)
    assert b.recv(timeout=10) == b"ping"
    b.send(b"pong", timeout=10)
    assert a.recv(timeout=10) == b"pong"


# Where to dial and to listen.


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_constructor_listens_and_dials(transport: str, address: Address) -> None:
    """`listen=` and `dial=` take a URL, and the endpoints are there to be asked."""
    with nngio.Pair0(listen=address(transport)) as a, nngio.Pair0(dial=a.listeners[0].url) as b:
        exchange(a, b)
        assert [len(a.listeners), len(a.dialers), len(b.listeners), len(b.dialers)] == [1, 0, 0, 1]
        assert b.dialers[0].url == a.listeners[0].url
        assert b.dialers[0].socket is b
        assert b.dialers[0].id > 0


@pytest.mark.parametrize("kind", [list, tuple])
def test_the_constructor_takes_several_urls(kind: type[Any], address: Address) -> None:
    """A list or a tuple of URLs is listened at, and dialed, in its order."""
    urls = [address(transport) for transport in TRANSPORTS]
    with nngio.Pull0(listen=kind(urls)) as pull:
        bound = [listener.url for listener in pull.listeners]
        assert [url.split(":")[0] for url in bound] == list(TRANSPORTS)
        with nngio.Push0(dial=kind(bound)) as push:
            assert [dialer.url for dialer in push.dialers] == bound
            for i in range(20):
                push.send(b"%d" % i, timeout=10)
            assert sorted(int(pull.recv(timeout=10)) for _ in range(20)) == list(range(20))
    with nngio.Pair0(listen=[], dial=()) as pair:
        assert pair.listeners == pair.dialers == ()


def test_the_constructor_sets_options_before_it_connects(address: Address) -> None:
    """Options are keyword arguments of sockets, of `dial` and of `listen`; one that isn't known is refused by name."""
    with nngio.Pair0(listen=address("tcp"), recv_max_size=100, recv_timeout=1.5, name="first") as a:
        assert a.recv_max_size == 100
        assert a.recv_timeout == 1.5
        assert a.name == "first"
        assert a.listeners[0].recv_max_size == 100
        listener = a.listen(address("ipc"), recv_max_size=7)
        assert listener.recv_max_size == 7
        with nngio.Pair0() as b:
            dialer = b.dial(listener.url, reconnect_time_min=0.5, reconnect_time_max=2)
            assert (dialer.reconnect_time_min, dialer.reconnect_time_max) == (0.5, 2)
            for refuse in (
                lambda: nngio.Pair0(buffer=3),
                lambda: a.listen(address("tcp"), buffer=3),
                lambda: b.dial(listener.url, buffer=3),
            ):
                with pytest.raises(TypeError, match="no option 'buffer'"):
                    refuse()
        assert len(a.listeners) == 2


def test_a_constructor_that_fails_closes_what_it_had_opened(address: Address) -> None:
    """When the second URL can't be listened at, the first is free again."""
    with nngio.Pair0(listen=address("tcp")) as taken:
        first = address("ipc")
        with pytest.raises(nngio.AddressInUse):
            nngio.Pair0(listen=[first, taken.listeners[0].url])
        with nngio.Pair0(listen=first):
            pass


def test_endpoints_are_made_configured_and_started(address: Address) -> None:
    """`Listener(socket, url)` and `Dialer(socket, url)` connect nothing until they are started, and are started once."""
    with nngio.Pair0() as a, nngio.Pair0() as b:
        listener = nngio.Listener(a, address("tcp"))
        listener.recv_max_size = 1000
        assert listener.recv_max_size == 1000
        with pytest.raises(nngio.BadState):
            _ = listener.port
        listener.start()
        dialer = nngio.Dialer(b, listener.url)
        dialer.reconnect_time_min = 0.01
        dialer.start()
        exchange(a, b)
        for endpoint in (listener, dialer):
            with pytest.raises(nngio.BadState, match="started before"):
                endpoint.start()
        assert repr(listener) == f"<nngio.Listener {listener.url}>"
        assert repr(dialer) == f"<nngio.Dialer {listener.url}>"


# Ports and addresses.


@pytest.mark.parametrize(
    "url",
    ["tcp://127.0.0.1:0", "TCP://127.0.0.1:0", "tcp4://127.0.0.1:0", "tcp6://[::1]:0", "tcp://[::1]:0", "ws://127.0.0.1:0/a/b"],
)
def test_a_listener_tells_the_port_that_it_got(url: str) -> None:
    """For port 0, `port` and `url` have the real one, and that URL can be dialed."""
    with nngio.Pair0(listen=url) as a, nngio.Pair0() as b:
        listener = a.listeners[0]
        assert listener.port > 0
        assert listener.url == url.replace(":0", f":{listener.port}")
        assert listener.local_address.port == listener.port
        b.dial(listener.url)
        exchange(a, b)


def test_a_given_port_stays_and_ipc_has_none(nobody: Callable[[str], str]) -> None:
    """A URL with a port is kept as it is; a path has no port."""
    url = nobody("tcp")
    with nngio.Pair0(listen=url) as pair:
        assert pair.listeners[0].url == url
        assert url.endswith(f":{pair.listeners[0].port}")
        path = nobody("ipc")
        listener = pair.listen(path)
        assert listener.url == path
        with pytest.raises(nngio.NotSupported):
            _ = listener.port


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_message_knows_the_addresses_of_its_pipe(transport: str, address: Address) -> None:
    """`Message.pipe` tells both ends of the connection, as values of the transport's own type."""
    with nngio.Pair0(listen=address(transport)) as a, nngio.Pair0(dial=a.listeners[0].url) as b:
        url = a.listeners[0].url
        b.send(b"hello")
        pipe = a.recv_msg(timeout=10).pipe
        assert pipe is not None
        assert pipe.id > 0
        local, remote = pipe.local_address, pipe.remote_address
        match transport:
            case "tcp" | "ws":
                port = a.listeners[0].port
                assert local == nngio.TCPAddress("127.0.0.1", port)
                assert isinstance(remote, nngio.TCPAddress)
                assert remote.host == "127.0.0.1"
                assert remote.port not in (0, port)
                assert str(local) == f"127.0.0.1:{port}"
            case "ipc":
                assert isinstance(local, nngio.IPCAddress)
                assert local.path == url.removeprefix("ipc://")
            case _:
                assert isinstance(local, nngio.InprocAddress)
                assert local.name.endswith(url.removeprefix("inproc://"))
        assert str(remote) in repr(pipe)


def test_an_ipv6_address_is_written_in_brackets() -> None:
    """A pipe over IPv6 has an address whose text can be told from its port."""
    with nngio.Pair0(listen="tcp://[::1]:0") as a, nngio.Pair0(dial=a.listeners[0].url) as b:
        b.send(b"hello")
        pipe = a.recv_msg(timeout=10).pipe
        assert pipe is not None
        assert pipe.local_address == nngio.TCPAddress("::1", a.listeners[0].port)
        assert str(pipe.local_address) == f"[::1]:{a.listeners[0].port}"


def test_messages_of_one_peer_have_the_same_pipe(address: Address) -> None:
    """Pipes are equal and hash alike by their number; those of two peers differ, and a message made here has none."""
    with nngio.Pull0(listen=address("tcp")) as pull:
        url = pull.listeners[0].url
        with nngio.Push0(dial=url) as one, nngio.Push0(dial=url) as two:
            pipes = []
            for push in (one, two, one, two):
                push.send(b"")
                pipes.append(pull.recv_msg(timeout=10).pipe)
            assert pipes[0] == pipes[2]
            assert pipes[1] == pipes[3]
            assert pipes[0] != pipes[1]
            assert len(set(pipes)) == 2
    assert nngio.Message(b"").pipe is None


def test_a_pipe_that_is_closed_is_dialed_again(address: Address) -> None:
    """Closing a pipe breaks that connection only: the dialer makes another one. Closing it again does nothing."""
    with nngio.Pair0(listen=address("tcp")) as a, nngio.Pair0() as b:
        b.dial(a.listeners[0].url, reconnect_time_min=0.01)
        exchange(b, a)
        b.send(b"hello")
        old = a.recv_msg(timeout=10).pipe
        assert old is not None
        old.close()
        old.close()
        while True:  # what is sent while the connection breaks is lost
            b.send(b"again", timeout=10)
            try:
                new = a.recv_msg(timeout=0.1).pipe
                break
            except nngio.TimedOut:
                pass
        assert new != old
        with pytest.raises((nngio.NoEntry, nngio.Closed)):
            _ = old.remote_address
        assert "gone" in repr(old)


# Dialing.


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_dial_to_nobody_is_refused(transport: str, nobody: Callable[[str], str]) -> None:
    """With `block`, the default, the first attempt counts; the error names the URL and what to do."""
    url = nobody(transport)
    with nngio.Pair0() as pair:
        with pytest.raises(ConnectionRefusedError, match=r"block=False") as caught:
            pair.dial(url)
        assert isinstance(caught.value, nngio.ConnectionRefused)
        assert url in str(caught.value)
        assert pair.dialers == ()
    with pytest.raises(nngio.ConnectionRefused):
        nngio.Pair0(dial=url)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_dial_in_the_background_finds_a_later_listener(transport: str, nobody: Callable[[str], str]) -> None:
    """With `block=False` it doesn't matter who comes first."""
    url = nobody(transport)
    with nngio.Pair0() as early, nngio.Pair0(dial=url, block=False, reconnect_time_min=0.01) as by_keyword:
        dialer = early.dial(url, block=False, reconnect_time_min=0.01)
        assert early.dialers == (dialer,)
        with pytest.raises(nngio.TimedOut):
            early.send(b"to nobody", timeout=0.05)
        with nngio.Pair0(listen=url) as late:
            # A PAIR takes one of them, and perhaps the other one after it.
            first = early if _reaches(early, late) else by_keyword
            exchange(first, late)


def _reaches(a: Any, b: Any) -> bool:
    try:
        a.send(b"first", timeout=1)
        return bool(b.recv(timeout=1) == b"first")
    except nngio.TimedOut:
        return False


@pytest.mark.parametrize("timeout", [0, 0.1])
def test_a_dial_that_gets_no_answer_times_out(timeout: float) -> None:
    """`timeout` bounds the wait for the first connection, and afterwards the dialer doesn't go on trying."""
    with silent_server() as (url, server), nngio.Pair0(reconnect_time_min=0.01) as pair:
        before = time.monotonic()
        with pytest.raises(TimeoutError) as caught:
            pair.dial(url, timeout=timeout)
        assert timeout - 0.002 <= time.monotonic() - before < timeout + 1
        assert isinstance(caught.value, nngio.TimedOut)
        assert url in str(caught.value)
        assert pair.dialers == ()
        server.settimeout(0.2)
        try:
            connection, _ = server.accept()
        except TimeoutError:
            assert timeout == 0  # it had not even connected
        else:
            with connection:
                connection.settimeout(10)
                while connection.recv(100):  # the connection was given up
                    pass
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_socket_that_dials_when_it_is_made_waits_so_long_at_most() -> None:
    """`dial_timeout` is what `timeout` is to `dial`; the socket is closed then. What is no timeout is refused, dialed or not."""
    with silent_server() as (url, _), pytest.raises(nngio.TimedOut, match=f"dial {url}"):
        nngio.Pair0(dial=url, dial_timeout=0.05)
    with nngio.Pair0(listen="inproc://dial-timeout") as listening:
        nngio.Pair0(dial=listening.listeners[0].url, dial_timeout=10).close()
    with pytest.raises(TypeError, match="a timeout is a number"):
        nngio.Pair0(dial_timeout="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="0 or more"):
        nngio.Pair0(dial_timeout=-1)


@pytest.mark.parametrize("close", ["socket", "dialer"])
def test_a_dial_that_waits_ends_when_its_socket_or_dialer_is_closed(close: str) -> None:
    """Another thread closes the socket, or the dialer alone, while `start` waits for an answer: it raises `Closed`."""
    with silent_server() as (url, server), nngio.Pair0() as pair:
        dialer = nngio.Dialer(pair, url)
        errors: list[BaseException] = []

        def run() -> None:
            try:
                dialer.start()
            except nngio.NNGError as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        connection, _ = server.accept()
        with connection:
            connection.recv(8)  # the dialer is connected, and waits for a greeting
            before = time.monotonic()
            (pair if close == "socket" else dialer).close()
            thread.join(10)
            assert time.monotonic() - before < 5
        assert [type(error) for error in errors] == [nngio.Closed]
        assert url in str(errors[0])


def test_many_dials_end_when_their_socket_is_closed_at_any_moment() -> None:
    """Dials that have just begun, and those that wait already, end alike when the socket is closed."""
    with silent_server() as (url, server):
        server.listen(128)
        for i in range(30):
            outcomes: list[type[BaseException]] = []
            with nngio.Pair0() as pair:

                def run(pair: nngio.Pair0 = pair, outcomes: list[type[BaseException]] = outcomes) -> None:
                    try:
                        pair.dial(url)
                    except nngio.NNGError as error:
                        outcomes.append(type(error))

                threads = [threading.Thread(target=run) for _ in range(3)]
                for thread in threads:
                    thread.start()
                threads[0].join(0.0005 * (i % 10))
                pair.close()
                for thread in threads:
                    thread.join(10)
            assert outcomes == [nngio.Closed] * 3


@pytest.mark.parametrize("timeout", [-1, "1", float("nan")])
def test_what_is_no_timeout_of_a_dial_is_refused(timeout: Any, nobody: Callable[[str], str]) -> None:
    """A dial's timeout is as any other: seconds, or None."""
    with nngio.Pair0() as pair, pytest.raises((TypeError, ValueError), match="timeout"):
        pair.dial(nobody("inproc"), timeout=timeout)


# Closing.


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_closed_listener_accepts_nobody_any_more(transport: str, address: Address) -> None:
    """After `close` the address is free, dials to it are refused, and a new listener can have it."""
    with nngio.Pull0() as pull, nngio.Push0() as push:
        with pull.listen(address(transport)) as listener:
            push.dial(listener.url).close()
        listener.close()
        with pytest.raises(nngio.ConnectionRefused):
            push.dial(listener.url)
        again = pull.listen(listener.url)
        push.dial(again.url)
        push.send(b"hello", timeout=10)
        assert pull.recv(timeout=10) == b"hello"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_closed_dialer_disconnects_and_stays_away(transport: str, address: Address) -> None:
    """After `close` the peer is gone, and nobody comes back; the socket can dial anew."""
    with nngio.Pair0(listen=address(transport)) as a, nngio.Pair0(reconnect_time_min=0.001) as b:
        url = a.listeners[0].url
        with b.dial(url) as dialer:
            exchange(a, b)
        dialer.close()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:  # what is sent before the connection is seen to be lost, is lost
            try:
                a.send(b"anyone?", timeout=0.1)
            except nngio.TimedOut:
                break
        else:
            pytest.fail("the peer is still there")
        while True:  # the old connection may be in the way for a moment
            b.dial(url)
            if _reaches(b, a):
                break
        exchange(a, b)


def test_endpoints_of_a_closed_socket_say_so(address: Address) -> None:
    """A closed socket neither dials nor listens, and closing its endpoints does nothing."""
    with nngio.Pair0(listen=address("tcp")) as a, nngio.Pair0(dial=a.listeners[0].url) as b:
        dialer, listener = b.dialers[0], a.listeners[0]
    for socket_ in (a, b):
        for attempt in (socket_.dial, socket_.listen):
            with pytest.raises(nngio.Closed):
                attempt("tcp://127.0.0.1:0")
    for endpoint in (dialer, listener):
        endpoint.close()
        with pytest.raises((nngio.Closed, nngio.NoEntry)):
            _ = endpoint.recv_max_size


# What goes wrong.

LONG = "x" * 200
BAD_URLS: list[tuple[str, type[Exception]]] = [
    ("", nngio.InvalidArgument),
    ("tcp", nngio.InvalidArgument),
    ("127.0.0.1:5555", nngio.InvalidArgument),
    ("tcp://[::1", nngio.InvalidArgument),
    ("tcp://127.0.0.1:http!", nngio.AddressInvalid),
    ("tcp://127.0.0.1:70000", nngio.AddressInvalid),
    ("tcp://127.0.0.1:-1", nngio.AddressInvalid),
    ("tcp://127.0.0.1:80/path", nngio.AddressInvalid),
    ("tcp://256.0.0.1:80", nngio.AddressInvalid),
    ("ws://127.0.0.1:99999/", nngio.AddressInvalid),
    (f"ipc://{LONG}", nngio.AddressInvalid),
    ("ipc://", nngio.AddressInvalid),
    ("http://127.0.0.1:80", nngio.NotSupported),
    ("carrier+pigeon://loft", nngio.NotSupported),
]


@pytest.mark.parametrize("verb", ["dial", "listen"])
@pytest.mark.parametrize(("url", "error"), BAD_URLS)
def test_a_bad_url_is_refused_by_name(verb: str, url: str, error: type[Exception]) -> None:
    """A URL that means nothing raises the error of its kind, which says what was attempted with which URL."""
    with nngio.Pair0() as pair, pytest.raises(error) as caught:
        getattr(pair, verb)(url)
    assert verb in str(caught.value)
    assert url in str(caught.value)
    if error is nngio.NotSupported:
        assert "no transport" in str(caught.value)
    else:
        assert isinstance(caught.value, ValueError)


FAULTS: list[tuple[str, str, str]] = [
    ("dial", "tcp://127.0.0.1", "it has no port, as in tcp://127.0.0.1:5555"),
    ("dial", "tcp://[::1]", "it has no port"),
    ("dial", "tcp://*:5555", "it has no host to dial"),
    ("dial", "tcp://:5555", "it has no host to dial"),
    ("dial", "tcp://192.0.2.1;127.0.0.1:5555", "192.0.2.1 is no address of this machine's to dial from"),
    ("listen", "tcp://192.0.2.1;127.0.0.1:5555", "a source address is for dialing"),
    ("listen", "tcp://192.0.2.1:5555", "192.0.2.1 is no address of this machine's"),
    ("listen", "tcp://", "neither a host nor a port"),
    ("both", "tcp://127.0.0.1:99999", "a port is 65535 at most, not 99999"),
    ("both", "ws://127.0.0.1:99999/x", "a port is 65535 at most, not 99999"),
    ("both", "tcp://127.0.0.1:no-such-service", "'no-such-service' is no port, and no service that this machine knows"),
    ("both", "tcp://127.0.0.1:0/path", "a URL of tcp has a host and a port, and nothing else"),
    ("both", "tcp://user@127.0.0.1:5555", "a URL of tcp has a host and a port, and nothing else"),
    ("both", "tcp://::1:5555", r"an IPv6 address stands in brackets, as in tcp://\[::1\]:5555"),
    ("both", "tcp://256.0.0.1:5555", "256.0.0.1 is no IP address"),
    ("both", "tcp://no-such-host.invalid:5555", "no address is known of the host 'no-such-host.invalid'"),
    ("both", "ipc:///tmp/" + 103 * "x", "has 107 bytes at most, and this one has 108"),
    ("both", "ipc:///tmp/" + 52 * "\u00e4", "has 107 bytes at most, and this one has 109"),
    ("both", "ipc://", "it has no path"),
    ("both", "abstract://" + 108 * "x", "has 107 bytes at most, and this one has 108"),
    ("both", "abstract://%4", "a % in it isn't followed by two hexadecimal digits"),
]


@pytest.mark.parametrize(("verb", "url", "said"), [(v, *rest) for kind, *rest in FAULTS for v in ("dial", "listen") if kind in (v, "both")])
def test_an_invalid_address_is_told_what_is_the_matter_with_it(verb: str, url: str, said: str) -> None:
    """In the error's words, awaited or not."""

    async def awaited() -> None:
        await getattr(pair, f"a{verb}")(url)

    with nngio.Pair0() as pair:
        for attempt in (lambda: getattr(pair, verb)(url), lambda: asyncio.run(awaited())):
            try:
                with pytest.raises(nngio.AddressInvalid, match=said):
                    attempt()
            except nngio.TryAgain:
                pytest.skip("there is no name server")


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:99999", "tcp://::1:5555", "tcp://256.0.0.1:5555", "ipc:///tmp/" + 103 * "x"])
def test_a_stream_s_invalid_address_is_told_what_is_the_matter_with_it(url: str) -> None:
    """By its dialer and its listener."""
    said = next(said for _, known, said in FAULTS if known == url)
    with pytest.raises(nngio.AddressInvalid, match=said), nngio.StreamDialer(url) as dialer:
        dialer.dial()
    with pytest.raises(nngio.AddressInvalid, match=said):
        nngio.StreamListener(url)


@pytest.mark.parametrize("verb", ["dial", "listen"])
def test_a_url_is_text_without_nul(verb: str) -> None:
    """A NUL, which would cut the URL short in C, is refused, and so is what isn't text."""
    with nngio.Pair0() as pair:
        with pytest.raises(nngio.InvalidArgument, match="NUL"):
            getattr(pair, verb)("inproc://a\0b")
        for wrong in (b"inproc://a", 7, None, Path("inproc://a")):
            said = f"a URL is text, not {type(wrong).__name__}"
            with pytest.raises(TypeError, match=said):
                getattr(pair, verb)(wrong)
            with pytest.raises(TypeError, match=said):
                asyncio.run(getattr(pair, f"a{verb}")(wrong))
            for made in (nngio.StreamDialer, nngio.StreamListener, nngio.URL):
                with pytest.raises(TypeError, match=said):
                    made(wrong)
            if wrong is not None:
                with pytest.raises(TypeError, match=said):
                    nngio.Pair0(**{verb: wrong})
                with pytest.raises(TypeError, match=said):
                    nngio.Pair0(**{verb: [wrong]})


def test_a_url_may_be_taken_apart_before_it_is_used(address: Address) -> None:
    """A `URL` is as good as its text, wherever there is one; dialers and listeners have the text."""

    async def awaited() -> None:
        async with nngio.Pair0() as a, nngio.Pair0() as b:
            listener = await a.alisten(nngio.URL("tcp://127.0.0.1:0"))
            assert (await b.adial(nngio.URL(listener.url))).url == listener.url

    url = nngio.URL(address("inproc"))
    with nngio.Pair0(listen=url) as a, nngio.Pair0(dial=url) as b:
        exchange(a, b)
        assert (a.listeners[0].url, b.dialers[0].url) == (url.raw, url.raw)
        other = nngio.URL(a.listen(nngio.URL("tcp://127.0.0.1:0")).url)
        assert type(nngio.Dialer(b, other).url) is str
        assert type(b.dial(other).url) is str
        assert type(nngio.Listener(b, nngio.URL("tcp://127.0.0.1:0")).url) is str
    with nngio.Push0(listen=[url, nngio.URL("tcp://127.0.0.1:0")]) as push, nngio.Pull0(dial=iter([url, push.listeners[1].url])) as pull:
        assert [dialer.url for dialer in pull.dialers] == [listener.url for listener in push.listeners]
    asyncio.run(awaited())
    with nngio.StreamListener(nngio.URL("tcp://127.0.0.1:0")) as listening, nngio.StreamDialer(nngio.URL(listening.url)) as dialer:
        assert dialer.url == listening.url
        dialer.dial().close()
        listening.accept().close()
    server = Server(nngio.URL("http://127.0.0.1:0"))
    server.close()
    with Client(nngio.URL("http://127.0.0.1:9")) as client:
        assert repr(client)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_address_in_use_is_refused(transport: str, address: Address) -> None:
    """Two listeners can't have the same address; the first one goes on."""
    with nngio.Pair0(listen=address(transport)) as taken, nngio.Pair0() as other, nngio.Pair0() as peer:
        url = taken.listeners[0].url
        for socket_ in (other, taken):
            with pytest.raises(OSError, match="in use") as caught:
                socket_.listen(url)
            assert isinstance(caught.value, nngio.AddressInUse)
            assert url in str(caught.value)
        peer.dial(url)
        exchange(peer, taken)


@pytest.mark.parametrize("greeting", [b"", b"\0SP\0", b"GET / HTTP/1.0\r\n\r\n"], ids=["nothing", "half", "nonsense"])
@pytest.mark.parametrize("transport", ["tcp", "ipc", "ws"])
def test_a_stranger_who_hangs_up_does_not_stop_a_listener(transport: str, greeting: bytes, address: Address) -> None:
    """Whatever connects, says nothing or nonsense, and goes, the listener accepts the next peer."""
    with nngio.Pair0(listen=address(transport)) as pair, nngio.Pair0() as peer:
        listener = pair.listeners[0]
        for _ in range(20):
            with socket.socket(socket.AF_UNIX if transport == "ipc" else socket.AF_INET) as stranger:
                stranger.connect(listener.url.removeprefix("ipc://") if transport == "ipc" else ("127.0.0.1", listener.port))
                stranger.sendall(greeting)
        peer.dial(listener.url, timeout=10)
        exchange(peer, pair)


def test_a_dialer_waits_before_it_dials_again() -> None:
    """A random part of the reconnect time: of thirty with a minute each, hardly any comes back at once."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server, nngio.Bus0(reconnect_time_min=60) as bus:
        for _ in range(30):
            bus.dial(f"tcp://127.0.0.1:{server.getsockname()[1]}", block=False)
        server.settimeout(10)
        for _ in range(30):
            server.accept()[0].close()
        server.settimeout(0.5)
        again = 0
        with suppress(TimeoutError):
            while again < 10:
                server.accept()[0].close()
                again += 1
        assert again < 10


def test_time_is_not_the_wall_clock_s() -> None:
    """It goes on evenly when the system's time is set."""
    assert abs(lib.nng_clock() / 1000 - time.monotonic()) < 60


WEBSOCKET = (
    b"GET /x HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: pair.sp.nanomsg.org\r\n\r\n"
)
HANDSHAKES = {
    "tcp": b"\0SP\0\0\x10\0\0",
    "ws": WEBSOCKET % b"127.0.0.1",
    "ws with another host": WEBSOCKET % b"x",  # NNG says that there is no such page
}
ANSWERS = {"tcp": b"\0SP\0\0\x10\0\0", "ws": b"HTTP/1.1 101 ", "ws with another host": b"HTTP/1.1 404 "}


def shake_hands(port: int, transport: str = "ws", peers: int = 3, answered: int = 0) -> list[socket.socket]:
    """Peers that have said what they have to, of which so many have had their answer."""
    begun = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(peers)]
    for peer in begun:
        peer.sendall(HANDSHAKES[transport])
    for peer in begun[:answered]:
        assert peer.recv(len(ANSWERS[transport]), socket.MSG_WAITALL) == ANSWERS[transport]
    return begun


# NNG's own keeps the descriptors, waits for ever, or ends the process.
patched_listener = pytest.mark.skipif(
    b" + " not in ffi.string(lib.nngio_build_nng_source) or nng_version() != "1.5.2", reason="this NNG isn't patched against it"
)


@pytest.mark.parametrize("transport", ["tcp", "ipc", "ws", "wss"])
@pytest.mark.parametrize("taken", ["by a socket", "by a program"])
def test_a_listener_whose_address_is_in_use_is_tried_again(transport: str, taken: str, address: Callable[[str], str]) -> None:
    """Nor do its options, or its socket's, do harm meanwhile. An NNG that would end the process closes the listener."""
    tls = {"tls": certificates().server} if transport == "wss" else {}
    with nngio.Pair0(name="first") as first, nngio.Pair0(name="second") as second:
        if taken == "by a socket" or transport == "ipc":
            holder: Any = first.listen(address(transport), **tls)
            url = holder.url
        else:
            holder = socket.create_server(("127.0.0.1", 0))
            url = f"{transport}://127.0.0.1:{holder.getsockname()[1]}/"
        listener = nngio.Listener(second, url if transport != "tcp" else url.rstrip("/"), **tls)
        for _ in range(3):
            with pytest.raises((nngio.AddressInUse, nngio.Closed, nngio.NoEntry)):
                listener.start()
            for use in (
                lambda: listener.recv_max_size,
                lambda: getattr(listener, "ws_protocol" if transport == "ipc" else "tcp_nodelay"),
                lambda: setattr(listener, "recv_max_size", 1000),
                lambda: setattr(second, "reconnect_time_min", 0.1),
                lambda: setattr(second, "recv_max_size", 1000),
            ):
                with suppress(nngio.NNGError, AttributeError):
                    use()
        holder.close()
        if not is_patched("websocket-unstarted-listener") and transport in ("ws", "wss"):
            return
        if taken == "by a socket" and transport in ("ws", "wss"):
            with pytest.raises(nngio.BadState, match="make another listener"):
                listener.start()
            listener.close()
            listener = nngio.Listener(second, url, **tls)
        listener.start()
        with nngio.Pair0(dial=listener.url, **({"tls": certificates().client} if tls else {})):
            second.wait_for_peers(timeout=10)


@pytest.mark.parametrize("transport", ["tcp", "ws with another host", pytest.param("ws", marks=patched_listener)])
def test_a_socket_that_closes_while_peers_shake_hands_comes_to_its_end(transport: str) -> None:
    """At whatever moment of the handshake, five hundred times: one of the peers gets in, the others are sent away."""
    chance = random.Random(transport)
    for _ in range(500):
        pair = nngio.Pair0(listen="tcp://127.0.0.1:0" if transport == "tcp" else "ws://127.0.0.1:0/x")
        peers = shake_hands(pair.listeners[0].port, transport, answered=chance.randrange(4))
        end = time.perf_counter() + chance.uniform(0, 0.0005)
        while time.perf_counter() < end:
            pass
        pair.close()
        for peer in peers:
            peer.close()


@contextmanager
def descriptors_come_back() -> Iterator[None]:
    """Afterwards the process has no more descriptors than before; NNG closes them in its own time, and tells nobody."""

    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    nngio.Pair0(listen="ws://127.0.0.1:0/x").close()  # and NNG is there
    before = count()
    yield
    end = time.monotonic() + 10
    while count() > before:
        assert time.monotonic() < end, f"{count()} descriptors, {before} before"
        time.sleep(0.01)  # nothing tells


@contextmanager
def stream_listener(response_header: bytes = b"") -> Iterator[int]:
    """The port of a listener of NNG's for websockets alone, without a socket: nobody fetches what it accepts."""
    out = ffi.new("nng_stream_listener **")
    check(lib.nng_stream_listener_alloc(out, b"ws://127.0.0.1:0/x"))
    check(lib.nng_stream_listener_set_string(out[0], b"ws:protocol", b"pair.sp.nanomsg.org"))
    if response_header:
        check(lib.nng_stream_listener_set_string(out[0], b"ws:response-header:X", response_header))
    check(lib.nng_stream_listener_listen(out[0]))
    port = ffi.new("int *")
    check(lib.nng_stream_listener_get_int(out[0], b"tcp-bound-port", port))
    try:
        yield port[0]
    finally:
        lib.nng_stream_listener_close(out[0])
        lib.nng_stream_listener_free(out[0])


@patched_listener
def test_websocket_listeners_that_ask_for_any_port_get_one_each() -> None:
    """Also when the second is made before the first is started: they would share a server, and one's TLS settings."""
    with nngio.Pair0() as pair:
        listeners = [nngio.Listener(pair, f"ws://127.0.0.1:0/{path}") for path in ("a", "b")]
        for listener in listeners:
            listener.start()
        assert listeners[0].port != listeners[1].port


@patched_listener
def test_websockets_that_nobody_fetched_go_with_their_listener() -> None:
    """Three hundred listeners, with two peers each that have had their answer."""
    with descriptors_come_back():
        for _ in range(300):
            with stream_listener() as port:
                peers = shake_hands(port, peers=2, answered=2)
            for peer in peers:
                peer.close()


@patched_listener
def test_a_websocket_that_comes_about_while_its_listener_closes_goes_with_it() -> None:
    """At whatever moment, three hundred times: it was on its way to the listener's socket, or hadn't got so far."""
    with descriptors_come_back():
        for answered in range(300):
            with nngio.Pair0(listen="ws://127.0.0.1:0/x") as pair:
                peers = shake_hands(pair.listeners[0].port, peers=2, answered=answered % 3)
            for peer in peers:
                peer.close()


@patched_listener
@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_peers_that_a_listener_has_greeted_go_with_it(transport: str, address: Address) -> None:
    """At whatever moment it closes, five hundred times: the greetings were under way, or done with and nobody had fetched the peer."""
    chance = random.Random(transport)
    with descriptors_come_back(), nngio.Pair0() as pair:
        for _ in range(500):
            listener = pair.listen(address(transport))
            if transport == "tcp":
                peers = shake_hands(listener.port, "tcp")
            else:
                peers = [socket.socket(socket.AF_UNIX) for _ in range(3)]
                for peer in peers:
                    peer.connect(listener.url.removeprefix("ipc://"))
                    peer.sendall(HANDSHAKES["tcp"])
            end = time.perf_counter() + chance.uniform(0, 0.0005)
            while time.perf_counter() < end:
                pass
            listener.close()
            for peer in peers:
                peer.close()


@patched_listener
def test_a_websocket_listener_that_closes_while_it_answers_comes_to_its_end() -> None:
    """A peer doesn't take in the answer, which is too long for the connection; closing takes it back."""
    with descriptors_come_back():
        for _ in range(20):
            with stream_listener(b"x" * 20_000_000) as port:
                peers = shake_hands(port, peers=1, answered=1)
            for peer in peers:
                peer.close()


@patched_listener
def test_a_websocket_listener_answers_with_the_header_that_it_was_told() -> None:
    """`NNG_OPT_WS_RESPONSE_HEADER`, which NNG has for its listeners too."""
    with stream_listener(b"hello") as port:
        (peer,) = shake_hands(port, peers=1)
        with peer, peer.makefile("rb") as answer:
            lines = list(iter(answer.readline, b"\r\n"))
    assert b"X: hello\r\n" in lines


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    """Listening below a folder that doesn't exist raises `NoEntry`; dialing there finds nobody."""
    url = f"ipc://{tmp_path}/missing/socket"
    with nngio.Pair0() as pair:
        with pytest.raises(nngio.NoEntry) as caught:
            pair.listen(url)
        assert url in str(caught.value)
        with pytest.raises(nngio.ConnectionRefused):
            pair.dial(url)


def test_a_stale_path_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    """A UNIX socket that its owner has left behind is no obstacle for a listener, and is removed when that is closed."""
    path = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.is_socket()
    with nngio.Pair0(listen=f"ipc://{path}") as a, nngio.Pair0(dial=f"ipc://{path}") as b:
        exchange(a, b)
    assert not path.exists()


def test_a_path_outside_ascii_is_fine(tmp_path: Path) -> None:
    """A path in UTF-8 is listened at, dialed and told as it is."""
    path = tmp_path / "größe ☃"
    with nngio.Pair0(listen=f"ipc://{path}") as a, nngio.Pair0(dial=f"ipc://{path}") as b:
        exchange(a, b)
        b.send(b"hello")
        pipe = a.recv_msg(timeout=10).pipe
        assert pipe is not None
        assert pipe.local_address == nngio.IPCAddress(str(path))


def test_errors_of_endpoints_are_pickled(address: Address, nobody: Callable[[str], str]) -> None:
    """What dialing and listening raises arrives in another process as the same error with the same text."""
    with nngio.Pair0(listen=address("tcp")) as pair:
        errors = []
        for attempt in (
            lambda: pair.listen(pair.listeners[0].url),
            lambda: pair.dial(nobody("tcp")),
            lambda: pair.dial("carrier+pigeon://loft"),
            lambda: pair.listen("tcp"),
            lambda: pair.dial("a\0b"),
        ):
            with pytest.raises(nngio.NNGError) as caught:
                attempt()
            errors.append(caught.value)
    for error in errors:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            copy = pickle.loads(pickle.dumps(error, protocol))
            assert type(copy) is type(error)
            assert (str(copy), copy.code, copy.name) == (str(error), error.code, error.name)
    assert len({type(error) for error in errors}) == 4


@pytest.mark.parametrize("listen", [lambda url: nngio.Pair0(listen=url), lambda url: nngio.StreamListener(url)], ids=["socket", "stream"])
def test_a_file_that_is_no_socket_is_left_alone(listen: Callable[[str], object], tmp_path: Path) -> None:
    """It is in use; NNG would remove it to listen there."""
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(nngio.AddressInUse, match="is no socket; it is left alone"):
        listen(f"ipc://{file}")
    assert file.read_text() == "precious"


def test_a_listener_without_a_port_tells_the_one_that_it_got() -> None:
    """And what is closed is no longer among a socket's."""
    with nngio.Pair0() as pair, nngio.Pair0() as peer:
        listener = pair.listen("tcp://127.0.0.1")
        assert listener.url == f"tcp://127.0.0.1:{listener.port}"
        dialer = peer.dial(listener.url, timeout=10)
        assert (pair.listeners, peer.dialers) == ((listener,), (dialer,))
        dialer.close()
        listener.close()
        assert (pair.listeners, peer.dialers) == ((), ())
        assert repr(listener).endswith(", closed>")


def test_a_dialer_whose_time_is_up_is_closed(black_hole: int) -> None:
    """And says so, after the call that waits and after the awaitable one."""
    with nngio.Pair0() as pair:
        dialer = nngio.Dialer(pair, f"tcp://127.0.0.1:{black_hole}")
        with pytest.raises(nngio.TimedOut):
            dialer.start(timeout=0.1)
        assert dialer.closed
        other = nngio.Dialer(pair, f"tcp://127.0.0.1:{black_hole}")
        with pytest.raises(nngio.TimedOut):
            asyncio.run(other.astart(timeout=0.1))
        assert other.closed
        assert not pair.dialers


def test_no_option_stands_behind_the_timeout_of_a_dial(address: Callable[[str], str]) -> None:
    """Nor of what else has no option for it: there is no DEFAULT."""
    with nngio.Pair0(listen=address("inproc")) as pair, nngio.StreamListener("tcp://127.0.0.1:0") as listener:
        for call in (lambda t: pair.dial(pair.listeners[0].url, timeout=t), lambda t: listener.accept(timeout=t)):
            with pytest.raises(TypeError, match="no DEFAULT"):
                call(nngio.DEFAULT)
