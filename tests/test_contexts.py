"""Contexts: several exchanges at once over one socket, none of which knows of the others."""

import gc
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

import nngio

Address = Callable[[str], str]

SENDS = {"send", "try_send", "send_aio", "asend"}
RECEIVES = {"recv", "recv_msg", "recv_into", "try_recv", "recv_aio", "arecv", "arecv_msg", "__iter__", "__aiter__"}
VERBS: dict[type[nngio.Context], set[str]] = {
    nngio.ReqContext: SENDS | RECEIVES | {"request", "arequest"},
    nngio.RepContext: SENDS | RECEIVES,
    nngio.SubContext: RECEIVES | {"subscribe", "unsubscribe"},
    nngio.SurveyorContext: SENDS | RECEIVES | {"survey", "asurvey"},
    nngio.RespondentContext: SENDS | RECEIVES,
}
SOCKETS: list[type[Any]] = [nngio.Req0, nngio.Rep0, nngio.Sub0, nngio.Surveyor0, nngio.Respondent0]


@contextmanager
def req_and_rep(url: str) -> Iterator[tuple[nngio.Req0, nngio.Rep0]]:
    with nngio.Rep0(listen=url) as rep, nngio.Req0(dial=rep.listeners[0].url) as req:
        yield req, rep


@contextmanager
def survey(url: str) -> Iterator[tuple[nngio.Surveyor0, nngio.Respondent0]]:
    with nngio.Respondent0(listen=url) as respondent, nngio.Surveyor0(dial=respondent.listeners[0].url) as surveyor:
        yield surveyor, respondent


@contextmanager
def pub_and_sub(url: str) -> Iterator[tuple[nngio.Pub0, nngio.Sub0]]:
    with nngio.Sub0(listen=url) as sub, nngio.Pub0(dial=sub.listeners[0].url) as pub:
        yield pub, sub


@contextmanager
def open_contexts(protocol: type[Any], count: int) -> Iterator[tuple[Any, list[Any]]]:
    """A socket with nobody to talk to, and contexts of it, each of which can wait for a message."""
    with protocol() as socket, ExitStack() as stack:
        contexts = [stack.enter_context(socket.context()) for _ in range(count)]
        if protocol is nngio.Surveyor0:
            for context in contexts:
                context.survey_time = 60
                context.send(b"survey")
        if protocol is nngio.Req0:
            rep = stack.enter_context(nngio.Rep0(listen="inproc://contexts"))
            socket.dial("inproc://contexts")
            answering = [stack.enter_context(rep.context()) for _ in contexts]
            for context, other in zip(contexts, answering, strict=True):
                context.send(b"request")
                assert other.recv(timeout=10) == b"request"
        yield socket, contexts


def waiting(action: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    """Run in a thread what is to be ended by an error, and collect the error."""
    errors: list[BaseException] = []
    started = threading.Event()

    def run() -> None:
        started.set()
        try:
            action()
        except nngio.NNGError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    thread.join(0.02)  # nothing tells that it waits in NNG; if it doesn't yet, the test is only a little easier
    return thread, errors


@pytest.mark.parametrize("kind", VERBS)
def test_a_context_has_the_verbs_of_its_protocol_and_no_others(kind: type[nngio.Context]) -> None:
    """A context sends and receives what its socket does; it neither dials nor listens, and has no contexts of its own."""
    every = set().union(*VERBS.values(), {"dial", "listen", "context"})
    assert {verb for verb in every if hasattr(kind, verb)} == VERBS[kind]


@pytest.mark.parametrize(("protocol", "kind"), list(zip(SOCKETS, VERBS, strict=True)))
def test_a_context_knows_its_socket_and_its_number(protocol: Any, kind: type[nngio.Context]) -> None:
    """`context()` makes the class of the protocol; each has a number of its own."""
    with protocol() as socket, socket.context() as one, socket.context() as two:
        assert type(one) is kind
        assert one.socket is socket
        assert one.id > 0
        assert one.id != two.id
        assert str(one.id) in repr(one)


@pytest.mark.parametrize("protocol", SOCKETS)
def test_a_raw_socket_has_no_contexts(protocol: Any) -> None:
    """Contexts are the state that a raw socket doesn't keep."""
    with protocol(raw=True) as socket, pytest.raises(nngio.NotSupported):
        socket.context()


# Independence.


def test_requests_of_several_contexts_are_answered_in_any_order(address: Address) -> None:
    """Each context gets the reply to its own request, whichever comes first, and so does the socket itself."""
    with req_and_rep(address("tcp")) as (req, rep), ExitStack() as stack:
        asking: list[Any] = [req, *(stack.enter_context(req.context()) for _ in range(5))]
        answering: list[Any] = [rep, *(stack.enter_context(rep.context()) for _ in range(5))]
        for i, (question, answer) in enumerate(zip(asking, answering, strict=True)):
            question.send(b"question %d" % i)
            assert answer.recv(timeout=10) == b"question %d" % i
        for i in (4, 0, 5, 2, 1, 3):
            answering[i].send(b"answer %d" % i)
            assert asking[i].recv(timeout=10) == b"answer %d" % i


def test_a_state_out_of_turn_is_the_contexts_own(address: Address) -> None:
    """A context that has asked nothing can't receive, while another one waits for its reply."""
    with req_and_rep(address("inproc")) as (req, rep), req.context() as asks, req.context() as idle, rep.context() as other:
        asks.send(b"question")
        rep.recv()
        for receiver in (idle, req):
            with pytest.raises(nngio.BadState):
                receiver.recv(timeout=1)
        with pytest.raises(nngio.BadState):
            other.send(b"answer")
        rep.send(b"answer")
        assert asks.recv() == b"answer"


def test_a_request_that_is_given_up_leaves_the_others_alone(address: Address) -> None:
    """When one context's receive times out, its request is over; the reply to another's still comes."""
    with req_and_rep(address("inproc")) as (req, rep), req.context() as hasty, req.context() as patient, rep.context() as other:
        hasty.send(b"hasty")
        assert rep.recv() == b"hasty"
        patient.send(b"patient")
        assert other.recv() == b"patient"
        with pytest.raises(nngio.TimedOut):
            hasty.recv(timeout=0.02)
        with pytest.raises(nngio.BadState):
            hasty.recv(timeout=1)
        rep.send(b"too late")
        other.send(b"in time")
        assert patient.recv() == b"in time"


def tried(call: Callable[[], Any]) -> Any:
    """What the call returns that can be made at once, when it can be."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return call()
        except nngio.TryAgain:
            assert time.monotonic() < deadline


def test_a_context_has_all_the_ways_to_send_and_receive(address: Address) -> None:
    """`request`, `recv_into`, `recv_msg`, `try_recv` and iteration work on a context as on a socket."""
    with req_and_rep(address("inproc")) as (req, rep), req.context() as asks, rep.context() as answers:
        thread = threading.Thread(target=lambda: [answers.send(data.upper()) for data in answers])
        thread.start()
        assert asks.request(b"one", timeout=10) == b"ONE"
        asks.send(nngio.Message(b"two"))
        assert bytes(asks.recv_msg(timeout=10)) == b"TWO"
        asks.send(bytearray(b"three"))
        into = bytearray(10)
        assert asks.recv_into(into, timeout=10) == 5
        assert into[:5] == b"THREE"
        tried(lambda: asks.try_send(b"four"))  # the pipe may not have told yet that it is done with the one before
        assert tried(asks.try_recv) == b"FOUR"
        answers.close()
        thread.join(10)
        with req.context() as last:
            last.send(b"to nobody")
            with pytest.raises(nngio.TimedOut):
                last.recv(timeout=0.02)


def test_subscriptions_are_the_contexts_own(address: Address) -> None:
    """A context of a SUB gets what it has subscribed to itself, and neither the socket's topics nor another context's."""
    with pub_and_sub(address("inproc")) as (pub, sub), sub.context() as a, sub.context() as b, sub.context() as none:
        sub.subscribe("s")
        a.subscribe("a")
        a.subscribe("ä")
        b.subscribe("")
        for text in ("s1", "a1", "ä1", "x1"):
            pub.send(text.encode())
        for receiver, expected in ((sub, ["s1"]), (a, ["a1", "ä1"]), (b, ["s1", "a1", "ä1", "x1"]), (none, [])):
            assert [receiver.recv(timeout=10).decode() for _ in expected] == expected
            with pytest.raises(nngio.TimedOut):
                receiver.recv(timeout=0.01)
        a.unsubscribe("ä")
        for one in (b, sub):
            with pytest.raises(nngio.NoEntry, match="it isn't subscribed to 'a'"):
                one.unsubscribe("a")
        for text in ("ä2", "a2"):
            pub.send(text.encode())
        assert a.recv(timeout=10) == b"a2"
        assert b.recv(timeout=10).decode() == "ä2"


def test_a_full_buffer_of_one_context_costs_the_others_nothing(address: Address) -> None:
    """`recv_buffer` and `prefer_new` are a context's own: one keeps the oldest messages, one the newest, one all."""
    with pub_and_sub(address("inproc")) as (pub, sub), sub.context() as old, sub.context() as new, sub.context() as all_of_them:
        for context, size, newest in ((old, 2, False), (new, 2, True), (all_of_them, 100, True)):
            context.recv_buffer = size
            context.prefer_new = newest
            context.subscribe()
            assert (context.recv_buffer, context.prefer_new) == (size, newest)
        for i in range(10):
            pub.send(b"%d" % i)
            assert all_of_them.recv(timeout=10) == b"%d" % i
        assert [old.recv(timeout=1), old.recv(timeout=1)] == [b"0", b"1"]
        assert [new.recv(timeout=1), new.recv(timeout=1)] == [b"8", b"9"]


def test_several_surveys_at_once_get_their_own_answers(address: Address) -> None:
    """Each surveying context gets the answers to its own survey, given in the reverse order, within its own time."""
    with survey(address("tcp")) as (surveyor, respondent), ExitStack() as stack:
        asking = [stack.enter_context(surveyor.context()) for _ in range(4)]
        answering = [stack.enter_context(respondent.context()) for _ in range(4)]
        surveys = []
        for i, (question, answer) in enumerate(zip(asking, answering, strict=True)):
            question.survey_time = 10
            surveys.append(question.survey(b"question %d" % i))
            assert answer.recv(timeout=10) == b"question %d" % i
        with surveyor.context() as short:
            short.survey_time = 0.05
            assert list(short.survey(b"short")) == []
        for i in (3, 2, 0, 1):
            answering[i].send(b"answer %d" % i)
            assert next(surveys[i]) == b"answer %d" % i


@pytest.mark.parametrize("protocol", SOCKETS)
def test_a_receive_of_each_kind_of_context_times_out(protocol: Any) -> None:
    """`timeout` and `recv_timeout` bound a context's receive; the socket's `recv_timeout` at its birth is its default."""
    with open_contexts(protocol, 3) as (_socket, contexts):
        for context, options in zip(contexts, ({"timeout": 0}, {"timeout": 0.1}, {}), strict=True):
            context.recv_timeout = 0.1 if not options else 60
            before = time.monotonic()
            with pytest.raises(nngio.TimedOut):
                context.recv(**options)
            assert options.get("timeout", 0.1) - 0.002 <= time.monotonic() - before < 1
    with protocol(recv_timeout=0.25) as socket, socket.context() as context:
        assert context.recv_timeout == 0.25
        socket.recv_timeout = 1
        assert context.recv_timeout == 0.25


def test_a_send_that_fails_hands_the_message_back() -> None:
    """A context's send to nobody times out with the message, which another context can send."""
    with nngio.Req0() as req, req.context() as one, req.context() as two, nngio.Rep0() as rep:
        message = nngio.Message(b"question")
        with pytest.raises(nngio.TimedOut) as caught:
            one.send(message, timeout=0.02)
        assert caught.value.message is message
        with pytest.raises(nngio.TryAgain) as again:
            two.try_send(message)
        assert again.value.message is message
        rep.listen("inproc://contexts-retry")
        req.dial("inproc://contexts-retry")
        two.send(message)
        assert rep.recv() == b"question"


# Many at once.


def test_many_contexts_ask_and_answer_at_once_in_threads(address: Address) -> None:
    """16 threads ask with a context each, 8 answer, over one connection; everyone gets the replies to its own requests."""
    asking, answering, rounds = 16, 8, 100
    failures: list[object] = []
    with req_and_rep(address("tcp")) as (req, rep):

        def answer() -> None:
            with rep.context() as context:
                for data in context:
                    context.send(data[::-1])

        def ask(number: int) -> None:
            with req.context() as context:
                for i in range(rounds):
                    data = b"%d from %d" % (i, number)
                    if (reply := context.request(data, timeout=10)) != data[::-1]:
                        failures.append((data, reply))

        answerers = [threading.Thread(target=answer) for _ in range(answering)]
        askers = [threading.Thread(target=ask, args=(number,)) for number in range(asking)]
        for thread in (*answerers, *askers):
            thread.start()
        for thread in askers:
            thread.join()
        rep.close()
        for thread in answerers:
            thread.join(10)
    assert not failures


def test_many_contexts_survey_and_respond_at_once_in_threads(address: Address) -> None:
    """8 threads make surveys with a context each, and every one gets the answers of both respondents to its own."""
    results: list[bool] = []
    with (
        nngio.Respondent0(listen=address("tcp")) as one,
        nngio.Respondent0(listen=address("ipc")) as two,
        nngio.Surveyor0(dial=[one.listeners[0].url, two.listeners[0].url]) as surveyor,
    ):

        def respond(respondent: nngio.Respondent0, name: bytes) -> None:
            with respondent.context() as context:
                for data in context:
                    context.send(name + data)

        def ask(number: int) -> None:
            with surveyor.context() as context:
                context.survey_time = 10
                for i in range(20):
                    data = b"%d from %d" % (i, number)
                    answers = context.survey(data)
                    results.append({next(answers), next(answers)} == {b"one" + data, b"two" + data})

        # As many contexts answer as ask: a respondent without a free one would still queue, but here nobody has to wait.
        responders = [threading.Thread(target=respond, args=arguments) for arguments in ((one, b"one"), (two, b"two")) for _ in range(8)]
        askers = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in (*responders, *askers):
            thread.start()
        for thread in askers:
            thread.join()
        one.close()
        two.close()
        for thread in responders:
            thread.join(10)
    assert results == [True] * 160


def test_a_thousand_contexts_can_be_open(address: Address) -> None:
    """A thousand requests wait at once over one connection, and each gets its reply."""
    with req_and_rep(address("tcp")) as (req, rep), ExitStack() as stack:
        contexts = [stack.enter_context(req.context()) for _ in range(1000)]
        for i, context in enumerate(contexts):
            context.send(b"%d" % i)
        for _ in contexts:
            rep.send(rep.recv(timeout=10))
        for i, context in enumerate(contexts):
            assert context.recv(timeout=10) == b"%d" % i


# Closing.


@pytest.mark.parametrize("protocol", SOCKETS)
def test_closing_a_context_ends_what_waits_on_it_alone(protocol: Any) -> None:
    """A receive that waits on the context ends with `Closed`; one on another context goes on waiting."""
    with open_contexts(protocol, 2) as (_socket, (one, other)):
        thread, errors = waiting(one.recv)
        untouched, others = waiting(other.recv)
        one.close()
        thread.join(10)
        assert [type(error) for error in errors] == [nngio.Closed]
        assert untouched.is_alive()
        one.close()
        other.close()
        untouched.join(10)
        assert [type(error) for error in others] == [nngio.Closed]


@pytest.mark.parametrize("protocol", SOCKETS)
def test_closing_the_socket_ends_what_waits_on_its_contexts(protocol: Any) -> None:
    """All receives on all contexts end with `Closed` when the socket is closed under them."""
    with open_contexts(protocol, 4) as (socket, contexts):
        waits = [waiting(context.recv) for context in contexts]
        socket.close()
        for thread, errors in waits:
            thread.join(10)
            assert [type(error) for error in errors] == [nngio.Closed]
        with pytest.raises(nngio.Closed):
            socket.context()
        for context in contexts:
            with pytest.raises(nngio.Closed):
                context.recv(timeout=1)
            context.close()


def test_closing_the_socket_ends_a_send_that_waits_on_a_context() -> None:
    """A request that waits for a peer ends with `Closed`, and the error has it."""
    with nngio.Req0() as req, req.context() as context:
        thread, errors = waiting(lambda: context.send(b"to nobody"))
        req.close()
        thread.join(10)
        (error,) = errors
        assert isinstance(error, nngio.Closed)
        assert bytes(error.message) == b"to nobody"  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", SOCKETS)
def test_a_closed_context_says_so(protocol: Any) -> None:
    """Every verb of a closed context raises `Closed`, and a send hands the message back; iteration just ends."""
    with protocol() as socket:
        with socket.context() as context:
            pass
        for receive in (context.recv, context.recv_msg, context.try_recv, lambda: context.recv_into(bytearray(1))):
            with pytest.raises(nngio.Closed):
                receive()
        assert list(context) == []
        if hasattr(context, "send"):
            message = nngio.Message(b"data")
            for send in (context.send, context.try_send):
                with pytest.raises(nngio.Closed) as caught:
                    send(message)
                assert caught.value.message is message
                assert bytes(message) == b"data"
        if hasattr(context, "subscribe"):
            with pytest.raises(nngio.Closed):
                context.subscribe("topic")
        with pytest.raises(nngio.Closed):
            _ = context.recv_timeout
        socket.context().close()  # the socket goes on


def test_a_context_that_is_dropped_is_closed(address: Address) -> None:
    """A context that nobody has any more gives up its turn: the request that it would have got goes to another one."""
    with req_and_rep(address("inproc")) as (req, rep):
        req.send(b"first")
        context = rep.context()
        assert context.recv(timeout=10) == b"first"
        number = context.id
        del context
        req.send(b"second")
        with rep.context() as other:
            assert other.id != number
            assert other.recv(timeout=10) == b"second"
            other.send(b"answer")
        assert req.recv(timeout=10) == b"answer"


def test_a_context_tells_whether_it_is_closed(address: Address) -> None:
    """By itself or with its socket; a block can't begin with it then."""
    with nngio.Rep0(listen=address("inproc")) as rep:
        one, other = rep.context(), rep.context()
        assert not one.closed
        with one:
            assert repr(one) == f"<nngio.RepContext {one.id} of {rep!r}>"
        assert (one.closed, other.closed) == (True, False)
        assert repr(one).endswith(", closed>")
    assert other.closed
    for context in (one, other):
        with pytest.raises(nngio.Closed, match="this context is closed"), context:
            raise AssertionError("the block has begun")


@pytest.mark.parametrize("make", [nngio.UDP, nngio.StreamListener, nngio.StreamDialer, nngio.Listener])
def test_what_was_not_made_for_want_of_arguments_is_dropped_in_silence(make: Callable[[], object]) -> None:
    """Only the error of the call is told of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError, match="argument"):
            make()
        gc.collect()
