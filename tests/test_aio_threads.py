"""Aios that threads share: any of them may call any method at any time."""

import random
import threading
import time

import pytest
from aios import SECONDS, Address, Pair, run

import nngio
from nngio import Aio, Message
from nngio.lowlevel import lib


@pytest.mark.timeout(60)
@pytest.mark.parametrize("callback", [False, True], ids=["no callback", "callback"])
def test_one_of_many_submissions_wins(callback: bool) -> None:
    """Threads that submit one aio at once: one does, the others get BadState; each operation has one result and one callback."""
    calls: list[int] = []
    started: list[int] = []
    with nngio.Pair0(recv_timeout=0.0005, send_timeout=0.0005) as pair:
        message = Message(b"hello")
        aio = Aio((lambda aio: calls.append(aio.result())) if callback else None)
        aio.set_msg(message)

        def submit() -> None:
            for number in range(400):
                try:
                    if number % 4 == 0:
                        aio.sleep(0.0002)
                    else:
                        pair.send_aio(aio)
                    started.append(1)
                except nngio.BadState:
                    aio.wait()

        run(submit, submit, submit, submit)
        aio.wait()
        assert aio.get_msg() is message
        assert bytes(message) == b"hello"
        if callback:
            assert len(calls) == len(started)
            assert set(calls) <= {0, lib.NNG_ETIMEDOUT}


@pytest.mark.timeout(60)
def test_a_message_is_taken_off_once(pair: Pair) -> None:
    """Threads that ask an aio for what it has received all get the same object."""
    left, right = pair
    for number in range(300):
        aio = Aio()
        right.recv_aio(aio)
        left.send(b"%d" % number)
        aio.wait()
        messages: list[Message | None] = []
        run(*[lambda aio=aio, messages=messages: messages.append(aio.get_msg())] * 3)
        assert all(message is messages[0] for message in messages)
        assert bytes(messages[0] or b"") == b"%d" % number


@pytest.mark.timeout(60)
def test_one_message_on_the_aios_of_many_threads_is_sent_once(pair: Pair) -> None:
    """The others are refused, at once or as their result, and nothing crashes."""
    left, right = pair
    for number in range(300):
        message = Message(b"%d" % number)
        aios = [Aio() for _ in range(3)]
        for aio in aios:
            aio.set_msg(message)
        sent: list[Aio] = []

        def send(aio: Aio, sent: list[Aio] = sent) -> None:
            try:
                left.send_aio(aio)
            except (nngio.InvalidArgument, nngio.BadState):
                return
            aio.wait()
            if aio.result() == 0:
                sent.append(aio)
            else:
                assert aio.result() == lib.NNG_ESTATE

        run(*[lambda aio=aio, send=send: send(aio) for aio in aios])
        assert len(sent) == 1
        assert right.recv(timeout=SECONDS) == b"%d" % number
    with pytest.raises(nngio.TryAgain):
        right.try_recv()


@pytest.mark.timeout(60)
def test_aios_are_canceled_waited_for_and_submitted_by_threads_at_once(address: Address) -> None:
    """Any mixture of the methods of an aio, on sockets that come and go, ends: no crash, no hang, no message lost to it."""
    calls: list[int] = []
    stop, waited = threading.Event(), threading.Event()
    aios = [Aio(lambda aio: calls.append(aio.result())) for _ in range(4)] + [Aio() for _ in range(4)]
    home = nngio.Pair0()
    sockets: list[nngio.Pair0] = [home]

    def submit() -> None:
        while not stop.is_set():
            aio, socket = random.choice(aios), random.choice(sockets)
            try:
                match random.randrange(4):
                    case 0:
                        aio.set_msg(Message(b"hello"))
                        socket.send_aio(aio)
                    case 1:
                        socket.recv_aio(aio)
                    case 2:
                        aio.sleep(0.0001)
                    case _:
                        aio.get_msg()
            except (nngio.BadState, nngio.InvalidArgument):
                pass

    def disturb() -> None:
        while not waited.is_set():
            aio = random.choice(aios)
            match random.randrange(3):
                case 0:
                    aio.cancel()
                case 1:
                    aio.abort(nngio.ConnectionReset)
                case _:
                    repr(aio)

    def open_and_close() -> None:
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            with nngio.Pair0(listen=address("inproc")) as left, nngio.Pair0(dial=left.listeners[0].url) as right:
                sockets[1:] = [left, right]
                time.sleep(0.002)  # lets the others do something with them
        stop.set()

    def wait() -> None:
        while not stop.is_set():
            aio = random.choice(aios)
            aio.cancel()
            aio.wait()  # another may have submitted it since; who disturbs it ends that too
        waited.set()

    run(submit, submit, disturb, open_and_close, wait)
    home.close()
    for aio in aios:
        aio.cancel()
        aio.wait()
        assert aio.result() >= 0
    assert calls
