"""What is called with the wrong thing, or out of order, says so, and names it."""

import asyncio
import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nngio
from nngio import Message

ARGUMENTS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda _: nngio.Sub0(subscribe=5), "a topic is bytes, or another object with a buffer"),
    (lambda _: nngio.Sub0(subscribe=[5]), "a topic is bytes, or another object with a buffer"),
    (lambda _: setattr(Message(), "header", "x"), "a header is bytes, not str: encode it first"),
    (lambda _: setattr(Message(), "header", 5), "a header is bytes, or another object with a buffer"),
    (lambda _: Message().header_append("x"), "a header is bytes, not str"),
    (lambda _: Message().header_insert(5), "a header is bytes, or"),
    (lambda _: Message().append("x"), "a message is bytes, not str"),
    (lambda _: Message(Message(b"")), r"a message is bytes, not a Message: .*, and message.copy\(\) is another"),
    (lambda _: Message().append(Message()), r"a message is bytes, not a Message: bytes\(message\) has its body"),
    (lambda _: Message(size="x"), "size is a number of bytes, not str"),
    (lambda _: Message(size=1.5), "size is a number of bytes, not float"),
    (lambda _: setattr(Message(), "pipe", 5), "a message's pipe is a Pipe or None, not int"),
    (lambda pair: pair.recv_many("x"), "max is a number of messages, not str"),
    (lambda pair: pair.recv_many(1.5), "max is a number of messages, not float"),
    (lambda pair: pair.recv_many_msg(None), "max is a number of messages, not NoneType"),
    (lambda pair: asyncio.run(pair.arecv_many("x")), "max is a number of messages, not str"),
    (lambda pair: asyncio.run(pair.arecv_many_msg(1.5)), "max is a number of messages, not float"),
    (lambda pair: pair.send_aio(5), "aio is an Aio, not int"),
    (lambda pair: pair.recv_aio(None), "aio is an Aio, not NoneType"),
    (lambda pair: pair.wait_for_peers(timeout=nngio.DEFAULT), "the timeout of this call is a number of seconds or None"),
    (lambda pair: asyncio.run(pair.await_for_peers(timeout=nngio.DEFAULT)), "the timeout of this call is a number of seconds or None"),
    (lambda _: nngio.Pair0(dial_timeout=nngio.DEFAULT), "the timeout of this call is a number of seconds or None"),
    (lambda _: nngio.Socket(), "Socket has no protocol: use Pair0, .* or Respondent0"),
]


@pytest.mark.parametrize(("call", "said"), ARGUMENTS)
def test_an_argument_of_the_wrong_type_is_named(call: Callable[[Any], Any], said: str, lonely: nngio.Pair0) -> None:
    """In a TypeError, and nothing has happened."""
    with pytest.raises(TypeError, match=f"^{said}"):
        call(lonely)
    assert not lonely.closed


def test_a_number_may_be_of_another_type(pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
    """As long as it is whole: a size, a maximum."""

    class Five:
        def __index__(self) -> int:
            return 5

    five: Any = Five()
    message = Message(size=five)
    assert len(message) == 5
    pair[0].send(message)
    assert pair[1].recv_many(five, timeout=10) == [bytes(5)]


@pytest.mark.parametrize("of_a_context", [False, True])
def test_what_is_no_topic_is_told_so(of_a_context: bool) -> None:
    """By a socket and by a context."""
    with nngio.Sub0() as sub, sub.context() as context:
        thing: Any = context if of_a_context else sub
        for call in (thing.subscribe, thing.unsubscribe):
            with pytest.raises(TypeError, match=r"a topic is bytes, or another object with a buffer .*, not int"):
                call(5)


def test_a_context_is_of_its_protocol() -> None:
    """Another's socket is refused, and so is what is none; those that are derived from it will do."""

    class Mine(nngio.ReqContext):
        pass

    with nngio.Req0() as req, nngio.Rep0() as rep, nngio.Pair0() as pair:
        for context, of in ((nngio.ReqContext, "Req0"), (Mine, "Req0"), (nngio.RespondentContext, "Respondent0")):
            for other in (rep, pair, 5):
                with pytest.raises(TypeError, match=rf"Context is of a {of}, and this is a {type(other).__name__}: .* socket.context\(\)"):
                    context(other)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="Context is what all contexts have in common"):
            nngio.Context(req)
        with Mine(req) as mine:
            assert isinstance(mine, nngio.ReqContext)


def test_an_error_says_whose_it_is_and_what_to_do(lonely: nngio.Pair0, tmp_path: Path) -> None:
    """Where NNG has two words for it."""
    with nngio.Sub0() as sub:
        pass
    said: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: lonely.recv(timeout=0), nngio.TimedOut, "^timed out: this Pair0 received nothing$"),
        (lambda: lonely.send(b"x", timeout=0), nngio.TimedOut, "^timed out: this Pair0 could not send$"),
        (lambda: lonely.wait_for_peers(2, timeout=0), nngio.TimedOut, "^0 of 2 peers are connected; whoever speaks another protocol"),
        (lambda: lonely.dial("localhost:5"), nngio.InvalidArgument, "dial localhost:5: .* begins with a scheme, as in tcp://"),
        (lambda: lonely.listen(""), nngio.InvalidArgument, "listen at : .* begins with a scheme, as in tcp://"),
        (lambda: nngio.StreamDialer("/tmp/x"), nngio.InvalidArgument, "dial /tmp/x: .* begins with a scheme, as in tcp://"),
        (lambda: lonely.dial("tpc://localhost:5"), nngio.NotSupported, "knows that kind of URL; there are tcp, tls.tcp, ws, .* and inproc"),
        (lambda: lonely.listen(f"ipc://{tmp_path}/not/there"), nngio.NoEntry, "its folder is not there"),
        (sub.recv, nngio.Closed, "^this Sub0 is closed$"),
        (lambda: sub.subscribe(b"x"), nngio.Closed, "^this Sub0 is closed$"),
        (lambda: sub.recv_timeout, nngio.Closed, "^this Sub0 is closed$"),
    ]
    for call, error, text in said:
        with pytest.raises(error, match=text):
            call()
    with nngio.Req0(raw=True) as req, pytest.raises(nngio.NotSupported, match="a raw Req0 has no contexts"):
        req.context()
    with nngio.Pair1(raw=True) as pair1, pytest.raises(nngio.ProtocolError, match=r"message.header = bytes\(4\) for a new one"):
        pair1.send(b"x")


def test_an_error_without_a_code_says_no_more_than_it_knows() -> None:
    """0 is NNG's code for success, which it isn't."""
    error = nngio.NNGError()
    assert (str(error), error.code, error.name) == ("an operation of NNG failed", 0, "NNG_ERROR")
    assert str(nngio.NNGError("mine")) == "mine"


class Forgetful(nngio.Pair0):
    """Somebody's class that doesn't call `super().__init__`."""

    def __init__(self) -> None:
        self.mine = 5


USES: list[Callable[[Any], Any]] = [
    lambda sock: sock.send(b"x"),
    lambda sock: sock.send(Message(b"x")),
    lambda sock: sock.try_send(bytearray(b"x")),
    lambda sock: sock.send_many([b"x"]),
    lambda sock: sock.recv(),
    lambda sock: sock.recv_msg(),
    lambda sock: sock.recv_into(bytearray(5)),
    lambda sock: sock.recv_many(),
    lambda sock: sock.recv_many_msg(),
    lambda sock: sock.recv_aio(nngio.Aio()),
    lambda sock: next(iter(sock)),
    lambda sock: asyncio.run(sock.asend(b"x")),
    lambda sock: asyncio.run(sock.asend_many([b"x"])),
    lambda sock: asyncio.run(sock.arecv()),
    lambda sock: asyncio.run(sock.arecv_msg()),
    lambda sock: asyncio.run(sock.arecv_many()),
    lambda sock: sock.listen("inproc://x"),
    lambda sock: sock.dial("inproc://x"),
    lambda sock: sock.recv_timeout,
    lambda sock: setattr(sock, "recv_timeout", 5),
    lambda sock: sock.recv_fd,
    lambda sock: sock.id,
    lambda sock: sock.pipes,
    lambda sock: sock.listeners,
    lambda sock: sock.wait_for_peers(),
    lambda sock: sock.on_pipe(print),
    lambda sock: sock.statistics(),
    lambda sock: sock.__enter__(),
]


@pytest.mark.parametrize("use", USES)
def test_a_socket_that_was_not_made_says_so(use: Callable[[Any], Any]) -> None:
    """Whatever is done with it; it can be shown, and closed, which does nothing."""
    sock = Forgetful()
    with pytest.raises(RuntimeError, match=r"this Forgetful was not made: its __init__ has to call super\(\).__init__"):
        use(sock)
    assert repr(sock) == "<nngio.Forgetful, not made>"
    assert sock.mine == 5
    assert not sock.closed
    sock.close()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_pipe_is_not_copied(copied: Callable[[Any], Any], pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
    """Nor pickled: its `info` is what can be."""
    pipe = pair[1].pipes[0]
    with pytest.raises(TypeError, match=r"a Pipe can't be copied or pickled: .*; its info can"):
        copied(pipe)
    assert copied(pipe.info)
