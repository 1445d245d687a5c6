"""`Aio`: one asynchronous operation at a time, the message that goes with it, and its use again and again."""

import copy
import gc
import pickle
import threading
import weakref

import pytest
from aios import SECONDS, START, Address, Pair, eventually

import nngio
from nngio import Aio, Message
from nngio.lowlevel import lib

# Messages.


def test_a_message_set_on_one_aio_arrives_on_another(pair: Pair) -> None:
    """The message goes with the send; the receive brings one with its bytes and its pipe."""
    left, right = pair
    sender, receiver = Aio(), Aio()
    sent = Message(b"hello")
    sender.set_msg(sent)
    assert sender.get_msg() is sent
    left.send_aio(sender)
    right.recv_aio(receiver)
    for aio in (sender, receiver):
        aio.wait()
        assert aio.result() == 0
        aio.check()
    assert sender.get_msg() is None
    received = receiver.get_msg()
    assert received is not None
    assert bytes(received) == b"hello"
    assert received.pipe is not None
    assert receiver.get_msg() is received


def test_the_aio_owns_the_message_while_it_is_pending(lonely: nngio.Pair0) -> None:
    """From submission to completion the message can't be used, nor the aio be asked for it."""
    aio, message = Aio(), Message(b"hello")
    aio.set_msg(message)
    lonely.send_aio(aio)
    with pytest.raises(nngio.BadState, match="being sent"):
        message.body  # noqa: B018  # the access is what raises
    with pytest.raises(nngio.BadState, match="being sent"):
        lonely.send(message)
    for refused in (aio.get_msg, aio.result, aio.check, lambda: aio.set_msg(Message(b"other")), lambda: aio.set_msg(None)):
        with pytest.raises(nngio.BadState, match="busy"):
            refused()
    aio.cancel()
    aio.wait()
    assert aio.get_msg() is message
    assert bytes(message) == b"hello"


def test_a_received_message_is_sent_on_by_the_same_aio(pair: Pair) -> None:
    """What a receive leaves on the aio is what the next send takes, as in C: with or without looking at it."""
    left, right = pair
    aio = Aio()
    for look in (False, True):
        left.send(b"to and fro")
        right.recv_aio(aio)
        aio.wait()
        if look:
            assert aio.get_msg() is not None
        right.send_aio(aio)
        aio.wait()
        assert aio.result() == 0
        assert aio.get_msg() is None
        assert left.recv(timeout=SECONDS) == b"to and fro"


def test_set_msg_replaces_a_received_message(pair: Pair) -> None:
    """A message that was received and not taken is dropped for another, or for none, whatever the aio did in between."""
    left, right = pair
    aio = Aio()
    for replacement in (Message(b"new"), None):
        for sleep in (False, True):
            left.send(b"old")
            right.recv_aio(aio)
            aio.wait()
            if sleep:
                aio.sleep(0)
                aio.wait()
            aio.set_msg(replacement)
            assert aio.get_msg() is replacement


def test_a_send_without_a_message_is_refused(lonely: nngio.Pair0) -> None:
    """There is nothing to send on a fresh aio, and after a send that succeeded."""
    aio = Aio()
    with pytest.raises(nngio.InvalidArgument, match="set_msg"):
        lonely.send_aio(aio)
    assert not aio.busy
    with pytest.raises(TypeError, match="set_msg"):
        aio.set_msg(b"bytes")  # type: ignore[arg-type]


def test_a_message_that_was_sent_elsewhere_is_refused(pair: Pair) -> None:
    """One message on two aios is sent once; the other aio stays idle and has no message."""
    left, _ = pair
    first, second, message = Aio(), Aio(), Message(b"once")
    first.set_msg(message)
    second.set_msg(message)
    left.send_aio(first)
    first.wait()
    assert first.result() == 0
    with pytest.raises(nngio.InvalidArgument, match="set_msg"):
        left.send_aio(second)
    assert not second.busy
    assert second.get_msg() is None


def test_a_message_whose_body_is_looked_at_is_not_taken(pair: Pair) -> None:
    """BufferError, the aio stays idle with its message, and sends it when the view is released."""
    left, right = pair
    aio, message = Aio(), Message(b"hello")
    aio.set_msg(message)
    with message.body as view:
        with pytest.raises(BufferError, match="release"):
            left.send_aio(aio)
        assert not aio.busy
        view[0] = ord("j")
    left.send_aio(aio)
    aio.wait()
    assert aio.result() == 0
    assert right.recv() == b"jello"


# One operation at a time.


@pytest.mark.parametrize("callback", [False, True], ids=["no callback", "callback"])
@pytest.mark.parametrize("second", START)
@pytest.mark.parametrize("first", START)
def test_a_second_submission_raises_and_disturbs_nothing(first: str, second: str, callback: bool, pair: Pair, lonely: nngio.Pair0) -> None:
    """BadState; the first operation goes on as if nothing had been asked, to its one result and its one callback."""
    results: list[int] = []
    aio = Aio((lambda aio: results.append(aio.result())) if callback else None)
    message = Message(b"hello")
    aio.set_msg(message)
    START[first](aio, lonely)
    for _ in range(3):
        with pytest.raises(nngio.BadState, match="busy"):
            START[second](aio, lonely)
    assert aio.busy
    aio.cancel()
    aio.wait()
    assert aio.result() == lib.NNG_ECANCELED
    assert results == [lib.NNG_ECANCELED] * callback
    assert aio.get_msg() is (None if first == "receive" else message)
    left, right = pair
    aio.set_msg(message)
    left.send_aio(aio)
    aio.wait()
    assert aio.result() == 0
    assert right.recv(timeout=SECONDS) == b"hello"


def test_an_aio_does_all_its_work_from_its_own_callback(pair: Pair) -> None:
    """A callback submits the same aio again: to send, to receive and to sleep, on one socket and another."""
    left, right = pair
    steps: list[str] = []
    finished = threading.Event()

    def callback(aio: Aio) -> None:
        aio.check()
        steps.append(bytes(message).decode() if (message := aio.get_msg()) is not None else "nothing")
        match len(steps):
            case 1:
                right.recv_aio(aio)
            case 2:
                aio.sleep(0)
            case 3:
                right.send_aio(aio)
            case 4:
                left.recv_aio(aio)
            case _:
                finished.set()

    aio = Aio(callback)
    aio.set_msg(Message(b"hello"))
    left.send_aio(aio)
    assert finished.wait(SECONDS)
    aio.wait()
    assert steps == ["nothing", "hello", "hello", "nothing", "hello"]


class EchoServer:
    """Answers requests with aios and contexts alone: as many at a time as it has contexts."""

    def __init__(self, socket: nngio.Rep0, contexts: int) -> None:
        self.errors: list[BaseException] = []
        self._work = [(socket.context(), Aio(self._advance)) for _ in range(contexts)]
        self._context = {id(aio): context for context, aio in self._work}
        self._sends: set[int] = set()
        for context, aio in self._work:
            context.recv_aio(aio)

    def _advance(self, aio: Aio) -> None:
        context = self._context[id(aio)]
        try:
            aio.check()
        except nngio.Closed:
            return
        except nngio.NNGError as error:
            self.errors.append(error)
            return
        if id(aio) in self._sends:
            self._sends.remove(id(aio))
            context.recv_aio(aio)
            return
        message = aio.get_msg()
        assert message is not None
        answer = Message(bytes(message)[::-1])
        aio.set_msg(answer)
        self._sends.add(id(aio))
        context.send_aio(aio)

    def join(self) -> None:
        for _, aio in self._work:
            aio.wait()


@pytest.mark.parametrize("transport", ["inproc", "tcp"])
def test_a_server_is_made_of_aios_and_contexts_alone(transport: str, address: Address) -> None:
    """Each context's aio receives, answers and receives again from its callback; many clients get their own answers."""
    answers: list[bytes] = []
    with nngio.Rep0(listen=address(transport)) as rep:
        server = EchoServer(rep, 8)

        def client(number: int) -> None:
            with nngio.Req0(dial=rep.listeners[0].url) as req:
                for turn in range(50):
                    question = f"{number}:{turn}".encode()
                    if req.request(question, timeout=SECONDS) == question[::-1]:
                        answers.append(question)

        clients = [threading.Thread(target=client, args=(number,)) for number in range(6)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join(SECONDS)
    server.join()
    assert len(set(answers)) == 300
    assert not server.errors


def test_aios_are_collected_when_they_are_idle(lonely: nngio.Pair0) -> None:
    """Neither a finished operation nor a callback keeps an aio alive."""
    references = []
    for callback in (None, lambda _: None):
        aio = Aio(callback)
        lonely.recv_aio(aio)
        aio.cancel()
        aio.wait()
        references.append(weakref.ref(aio))
        del aio
    gc.collect()
    assert eventually(lambda: all(reference() is None for reference in references))  # a moment after `wait`


def test_aios_and_contexts_are_not_copied() -> None:
    """A copy would be the same operation twice, or close the context when it goes: copying and pickling are refused."""
    with nngio.Req0() as req, req.context() as context:
        for original in (Aio(), context):
            for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
                with pytest.raises(TypeError, match=f"{type(original).__name__} can't be copied"):
                    attempt(original)
        with pytest.raises(nngio.TimedOut):
            context.send(b"still open", timeout=0)
