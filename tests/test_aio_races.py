"""Aios that end early: dropped in any state, and canceled in the moment in which a message arrives."""

import gc
import random
import signal
import threading
import time
import weakref
from queue import SimpleQueue

import pytest
from aios import SECONDS, Address, Pair, eventually, run

import nngio
from nngio import Aio, Message
from nngio.lowlevel import lib

# Dropped.


def test_an_aio_that_nobody_keeps_still_calls_back(pair: Pair) -> None:
    """With a callback an operation needs no reference: it goes on, and the aio is gone when it is over."""
    left, right = pair
    done: SimpleQueue[int] = SimpleQueue()
    references = []
    for start in (left.send_aio, right.recv_aio, lambda aio: aio.sleep(0.01)):
        aio = Aio(lambda aio: done.put(aio.result()))
        aio.set_msg(Message(b"hello"))
        start(aio)
        references.append(weakref.ref(aio))
        del aio
        gc.collect()
    assert [done.get(timeout=SECONDS) for _ in range(3)] == [0, 0, 0]
    assert eventually(lambda: all(reference() is None for reference in references))


def test_a_send_that_is_dropped_without_a_callback_is_canceled() -> None:
    """The message is not sent, and whoever has kept it has it whole again."""
    with nngio.Pair0() as pair:
        messages = [Message(bytes([number])) for number in range(100)]
        for number, message in enumerate(messages):
            message.header = bytes([number])
            aio = Aio()
            aio.set_msg(message)
            pair.send_aio(aio)
            del aio
        for number, message in enumerate(messages):
            assert eventually(lambda message=message: "sent" not in repr(message))
            assert bytes(message) == message.header == bytes([number])


def test_an_aio_whose_wait_was_interrupted_can_be_dropped(pair: Pair) -> None:
    """A signal handler raises in `wait`: the receive is over then, and does not take the message."""

    def interrupt(*_: object) -> None:
        raise InterruptedError

    left, right = pair
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        aio = Aio()
        right.recv_aio(aio)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(InterruptedError):
            aio.wait()
        del aio
        gc.collect()  # the traceback
    finally:
        signal.signal(signal.SIGALRM, before)
    left.send(b"for the next")
    assert right.recv(timeout=SECONDS) == b"for the next"


def test_a_receive_that_is_dropped_does_not_take_the_message(pair: Pair) -> None:
    """The next receive gets it."""
    left, right = pair
    for number in range(100):
        for _ in range(3):
            right.recv_aio(Aio())
        left.send(b"%d" % number)
        assert right.recv(timeout=SECONDS) == b"%d" % number


@pytest.mark.timeout(60)
def test_a_receive_that_is_dropped_while_a_message_arrives_loses_nothing(pair: Pair) -> None:
    """Dropped before, in and after that moment, thousands of times: each message is received, in order, by the next receive."""
    left, right = pair
    rounds = 3000
    turns = threading.Semaphore(0)

    def send() -> None:
        for number in range(rounds):
            assert turns.acquire(timeout=SECONDS)
            left.send(b"%d" % number)

    def receive() -> None:
        for number in range(rounds):
            aio = Aio()
            right.recv_aio(aio)
            turns.release()
            for _ in range(random.randrange(60)):
                pass
            del aio
            assert right.recv(timeout=SECONDS) == b"%d" % number

    run(send, receive)


def test_a_message_that_was_seen_to_arrive_goes_with_its_aio(pair: Pair) -> None:
    """Whoever knows that a receive has finished, and drops the aio, drops the message: it doesn't come again."""
    left, right = pair

    def wait(aio: Aio) -> None:
        aio.wait()

    def see_result(aio: Aio) -> None:
        assert eventually(lambda: not aio.busy)
        assert aio.result() == 0

    for see in (wait, see_result):
        aio = Aio()
        right.recv_aio(aio)
        left.send(b"dropped")
        see(aio)
        del aio
        left.send(b"received")
        assert right.recv(timeout=SECONDS) == b"received"


# Canceled.


@pytest.mark.timeout(60)
@pytest.mark.parametrize("callback", [False, True], ids=["no callback", "callback"])
def test_a_message_that_arrives_while_its_receive_is_canceled_is_not_lost(callback: bool, pair: Pair) -> None:
    """Either the aio has it, or the next receive does; never both, never neither, thousands of times."""
    left, right = pair
    rounds = 3000
    turns = threading.Semaphore(0)
    outcomes = {"received": 0, "canceled": 0}

    def send() -> None:
        for number in range(rounds):
            assert turns.acquire(timeout=SECONDS)
            left.send(b"%d" % number)

    def receive() -> None:
        aio = Aio((lambda _: None) if callback else None)
        for number in range(rounds):
            right.recv_aio(aio)
            turns.release()
            for _ in range(random.randrange(200)):
                pass
            aio.cancel()
            aio.wait()
            if aio.result() == 0:
                message = aio.get_msg()
                assert message is not None
                assert bytes(message) == b"%d" % number
                outcomes["received"] += 1
            else:
                assert aio.result() == lib.NNG_ECANCELED
                assert aio.get_msg() is None
                assert right.recv(timeout=SECONDS) == b"%d" % number
                outcomes["canceled"] += 1

    run(send, receive)
    assert sum(outcomes.values()) == rounds


@pytest.mark.timeout(60)
def test_a_request_that_arrives_while_its_receive_is_canceled_is_answered(address: Address) -> None:
    """On a context the request and the right to answer it stay together, whichever receive gets it."""
    rounds = 1500
    with nngio.Rep0(listen=address("inproc")) as rep, nngio.Req0(dial=rep.listeners[0].url) as req:
        turns = threading.Semaphore(0)

        def ask() -> None:
            for number in range(rounds):
                assert turns.acquire(timeout=SECONDS)
                assert req.request(b"%d" % number, timeout=SECONDS) == b"answer %d" % number

        def answer() -> None:
            context = rep.context()
            aio = Aio()
            for number in range(rounds):
                context.recv_aio(aio)
                turns.release()
                for _ in range(random.randrange(200)):
                    pass
                aio.cancel()
                aio.wait()
                if aio.result() != 0:
                    context.recv_aio(aio)
                    aio.wait()
                aio.check()
                assert bytes(aio.get_msg() or b"") == b"%d" % number
                context.send(b"answer %d" % number)
            context.close()

        run(ask, answer)


@pytest.mark.timeout(60)
def test_a_message_that_arrives_as_time_runs_out_is_not_lost(pair: Pair) -> None:
    """The same for a timeout in place of the cancellation."""
    left, right = pair
    rounds = 500
    turns = threading.Semaphore(0)

    def send() -> None:
        for number in range(rounds):
            assert turns.acquire(timeout=SECONDS)
            time.sleep(random.random() * 0.003)  # where the receiver's time runs out, now before, now after
            left.send(b"%d" % number)

    def receive() -> None:
        aio = Aio()
        aio.set_timeout(0.001)
        for number in range(rounds):
            right.recv_aio(aio)
            turns.release()
            aio.wait()
            if aio.result() == 0:
                assert bytes(aio.get_msg() or b"") == b"%d" % number
            else:
                assert aio.result() == lib.NNG_ETIMEDOUT
                assert right.recv(timeout=SECONDS) == b"%d" % number

    run(send, receive)


@pytest.mark.timeout(60)
def test_a_send_that_is_canceled_as_it_is_accepted_is_sent_or_given_back(address: Address) -> None:
    """Its result tells which: no message arrives twice, and none is lost."""
    rounds = 3000
    with nngio.Push0() as push, nngio.Pull0(recv_timeout=SECONDS) as pull:
        push.listen(url := address("inproc"))
        pull.dial(url)
        accepted: list[bytes] = []
        received: list[bytes] = []

        def send() -> None:
            aio = Aio()
            for number in range(rounds):
                message = Message(b"%d" % number)
                aio.set_msg(message)
                push.send_aio(aio)
                for _ in range(random.randrange(20)):
                    pass
                aio.cancel()
                aio.wait()
                if aio.result() == 0:
                    assert aio.get_msg() is None
                    accepted.append(b"%d" % number)
                else:
                    assert aio.result() == lib.NNG_ECANCELED
                    assert aio.get_msg() is message
                    assert bytes(message) == b"%d" % number
            push.send(b"end", timeout=SECONDS)

        def receive() -> None:
            received.extend(iter(pull.recv, b"end"))

        run(send, receive)
        assert received == accepted
