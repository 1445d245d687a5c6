"""Which pipe a message came by, with several peers: each verb tells the one whose it is, over each transport, read ahead or not."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from loops import Loop, Tasks, on_all_loops
from tls import SECONDS, certificates

import nngio
from nngio import Message, Pipe

Address = Callable[[str], str]
Peers = dict[Pipe, Any]

TRANSPORTS = ("inproc", "ipc", "tcp", "ws", "tls+tcp", "wss")
PEERS = 4
EACH = 25


def tls(transport: str, *, dials: bool = False) -> dict[str, Any]:
    """The keyword argument with which a socket has TLS, if its transport does."""
    if transport not in ("tls+tcp", "wss"):
        return {}
    return {"tls": certificates().client if dials else certificates().server}


@contextmanager
def with_peers(
    listens: Callable[..., Any], dials: Callable[..., Any], transport: str, address: Address, **options: Any
) -> Iterator[tuple[Any, Peers]]:
    """A socket that listens, and its peers, by the pipe that it has to each."""
    with ExitStack() as stack:
        server = stack.enter_context(listens(listen=address(transport), **tls(transport), **options))
        peers: Peers = {}
        for number in range(PEERS):
            peer = stack.enter_context(dials(dial=server.listeners[0].url, **tls(transport, dials=True)))
            server.wait_for_peers(number + 1, timeout=SECONDS)
            (pipe,) = set(server.pipes) - set(peers)
            peers[pipe] = peer
        yield server, peers


@contextmanager
def all_send(peers: Peers) -> Iterator[None]:
    """Each sends its messages, all at the same time: the number of its pipe, and a count."""

    def send(pipe: Pipe, peer: Any) -> None:
        for number in range(EACH):
            peer.send(b"%d %d" % (pipe.id, number), timeout=SECONDS)

    threads = [threading.Thread(target=send, args=item) for item in peers.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()


def check(messages: list[Message], peers: Peers) -> None:
    """Each came by the pipe that it names, and those of one pipe in order."""
    counts = dict.fromkeys(peers, 0)
    for message in messages:
        assert message.pipe is not None
        number, count = map(int, bytes(message).split())
        assert message.pipe.id == number
        assert count == counts[message.pipe]
        counts[message.pipe] += 1
    assert counts == dict.fromkeys(peers, EACH)


def by_recv_msg(pull: Any) -> list[Message]:
    return [pull.recv_msg(timeout=SECONDS)]


def by_recv_many_msg(pull: Any) -> list[Message]:
    return list(pull.recv_many_msg(7, timeout=SECONDS))


def by_aio(pull: Any) -> list[Message]:
    aio = nngio.Aio()
    pull.recv_aio(aio)
    aio.wait()
    message = aio.get_msg()
    assert message is not None
    return [message]


@pytest.mark.parametrize("verb", [by_recv_msg, by_recv_many_msg, by_aio])
@pytest.mark.parametrize("prefetch", [0, 8], ids=["one by one", "read ahead"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_message_is_of_the_pipe_that_it_came_by(
    transport: str, prefetch: int, verb: Callable[[Any], list[Message]], address: Address
) -> None:
    """Whatever verb takes it."""
    with with_peers(nngio.Pull0, nngio.Push0, transport, address, prefetch=prefetch) as (pull, peers), all_send(peers):
        received: list[Message] = []
        while len(received) < PEERS * EACH:
            received += verb(pull)
        check(received, peers)


@on_all_loops
@pytest.mark.parametrize("prefetch", [0, 8], ids=["one by one", "read ahead"])
@pytest.mark.parametrize("transport", ["tcp", "tls+tcp"])
def test_a_message_that_is_awaited_is_of_its_pipe(transport: str, prefetch: int, loop: Loop, address: Address) -> None:
    """One at a time, many, and by several tasks at once."""

    async def main(tasks: Tasks) -> None:
        with with_peers(nngio.Pull0, nngio.Push0, transport, address, prefetch=prefetch) as (pull, peers), all_send(peers):
            received: list[Message] = []
            while len(received) < PEERS * EACH // 2:
                received.append(await pull.arecv_msg(timeout=SECONDS))
                received += await pull.arecv_many_msg(3, timeout=SECONDS)

            async def receive() -> None:
                received.append(await pull.arecv_msg(timeout=SECONDS))

            for task in [tasks.start(receive) for _ in range(PEERS * EACH - len(received))]:
                (await task.wait()).result()
            received.sort(key=lambda message: int(bytes(message).split()[1]))  # tasks take turns as the loop likes
            check(received, peers)

    loop.run(main)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("answers", "asks"), [(nngio.Rep0, nngio.Req0), (nngio.Respondent0, nngio.Surveyor0)])
def test_each_context_tells_who_has_asked(answers: type[Any], asks: type[Any], transport: str, address: Address) -> None:
    """And the answer goes back there, in whatever order they answer; the answer too is of the pipe that it came by."""
    with with_peers(answers, asks, transport, address) as (server, peers), ExitStack() as stack:
        contexts = [stack.enter_context(server.context()) for _ in peers]
        for pipe, peer in peers.items():
            peer.send(b"%d" % pipe.id, timeout=SECONDS)
        questions = [(context, context.recv_msg(timeout=SECONDS)) for context in contexts]
        assert {question.pipe for _, question in questions} == set(peers)
        for context, question in reversed(questions):
            assert question.pipe is not None
            assert bytes(question) == b"%d" % question.pipe.id
            context.send(b"to " + bytes(question), timeout=SECONDS)
        for pipe, peer in peers.items():
            answer = peer.recv_msg(timeout=SECONDS)
            assert bytes(answer) == b"to %d" % pipe.id
            assert (answer.pipe,) == peer.pipes


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_surveyor_is_told_who_answers(transport: str, address: Address) -> None:
    """Each answer is of the pipe to its respondent; by the socket, and by contexts that ask at the same time."""
    with with_peers(nngio.Surveyor0, nngio.Respondent0, transport, address) as (surveyor, peers), ExitStack() as stack:
        surveyor.survey_time = SECONDS
        channels = [surveyor, *(stack.enter_context(surveyor.context()) for _ in range(2))]
        for number, channel in enumerate(channels):
            channel.send(b"%d" % number, timeout=SECONDS)
        for pipe, peer in peers.items():
            for _ in channels:
                question = peer.recv(timeout=SECONDS)
                peer.send(b"%d to %b" % (pipe.id, question), timeout=SECONDS)
        for number, channel in enumerate(channels):
            heard = {}
            for _ in peers:
                answer = channel.recv_msg(timeout=SECONDS)
                heard[answer.pipe] = bytes(answer)
            assert heard == {pipe: b"%d to %d" % (pipe.id, number) for pipe in peers}


@pytest.mark.parametrize("prefetch", [0, 4], ids=["one by one", "read ahead"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_subscriber_is_told_who_has_published(transport: str, prefetch: int, address: Address) -> None:
    """By the socket, and by a context, which gets the same messages."""
    with (
        with_peers(nngio.Sub0, nngio.Pub0, transport, address, prefetch=prefetch, subscribe=b"") as (sub, peers),
        sub.context(recv_buffer=1000) as context,
    ):
        context.subscribe(b"")
        for pipe, peer in peers.items():
            for number in range(EACH):
                peer.send(b"%d %d" % (pipe.id, number), timeout=SECONDS)
                assert sub.recv_msg(timeout=SECONDS).pipe == pipe
        check([context.recv_msg(timeout=SECONDS) for _ in range(PEERS * EACH)], peers)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_pipe_is_where_an_answer_goes(transport: str, address: Address) -> None:
    """A polyamorous PAIR sends to the peer whose pipe the message has, and a message tells whose it was when that peer has gone."""
    with with_peers(nngio.Pair1, lambda **options: nngio.Pair1(poly=True, **options), transport, address, poly=True) as (pair, peers):
        for pipe, peer in peers.items():
            peer.send(b"%d" % pipe.id, timeout=SECONDS)
        messages = [pair.recv_msg(timeout=SECONDS) for _ in peers]
        for message in messages:
            assert bytes(message) == b"%d" % message.pipe.id
            answer = Message(b"to " + bytes(message))
            answer.pipe = message.pipe
            pair.send(answer, timeout=SECONDS)
        for pipe, peer in peers.items():
            assert peer.recv(timeout=SECONDS) == b"to %d" % pipe.id
        for peer in peers.values():
            peer.close()
        assert {message.pipe for message in messages} == set(peers)


def test_a_message_s_pipe_is_set_from_another_s_and_taken_off() -> None:
    """None is one that came by no pipe."""
    with nngio.Pair1(poly=True, listen="inproc://message-pipe-of-none") as one, nngio.Pair1(dial=one.listeners[0].url) as other:
        other.send(b"question", timeout=10)
        question, reply = one.recv_msg(timeout=10), nngio.Message(b"reply")
        reply.pipe = question.pipe
        assert reply.pipe == question.pipe
        question.pipe = None
        assert question.pipe is None
        one.send(reply)
        assert other.recv(timeout=10) == b"reply"
