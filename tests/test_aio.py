"""`Aio`: one asynchronous operation at a time, with its message, its callback, its timeout and its result."""

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

import nngio
from nngio import Aio, Message
from nngio.lowlevel import lib

Address = Callable[[str], str]
SECONDS = 10.0


@pytest.fixture
def pair(address: Address) -> Iterator[tuple[nngio.Pair0, nngio.Pair0]]:
    """Two sockets with a connection between them."""
    with nngio.Pair0(listen=address("inproc")) as left, nngio.Pair0(dial=left.listeners[0].url) as right:
        yield left, right


@pytest.fixture
def lonely() -> Iterator[nngio.Pair0]:
    """A socket without a peer: what is sent or received on it stays pending."""
    with nngio.Pair0() as socket:
        yield socket


START: dict[str, Callable[[Aio, nngio.Pair0], None]] = {
    "send": lambda aio, socket: socket.send_aio(aio),
    "receive": lambda aio, socket: socket.recv_aio(aio),
    "sleep": lambda aio, _: aio.sleep(60),
}


# Messages.


def test_a_message_set_on_one_aio_arrives_on_another(pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
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


def test_a_received_message_is_sent_on_by_the_same_aio(pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
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


def test_set_msg_replaces_a_received_message(pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
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


def test_a_message_that_was_sent_elsewhere_is_refused(pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
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


def test_a_message_whose_body_is_looked_at_is_not_taken(pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
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


# Callbacks.


def test_callbacks_run_on_the_librarys_own_thread(pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
    """One thread of Python's runs all callbacks: not the caller's, and none of NNG's."""
    left, right = pair
    done: SimpleQueue[tuple[Aio, threading.Thread, str]] = SimpleQueue()

    def callback(aio: Aio) -> None:
        thread = threading.current_thread()
        done.put((aio, thread, Path(f"/proc/self/task/{thread.native_id}/comm").read_text()))

    sender, receiver, sleeper = (Aio(callback) for _ in range(3))
    sender.set_msg(Message(b"hello"))
    right.recv_aio(receiver)
    left.send_aio(sender)
    sleeper.sleep(0.01)
    calls = [done.get(timeout=SECONDS) for _ in range(3)]
    assert {id(aio) for aio, _, _ in calls} == {id(sender), id(receiver), id(sleeper)}
    (thread,) = {thread for _, thread, _ in calls}
    assert thread.name == "nngio-callbacks"
    assert thread in threading.enumerate()
    assert thread is not threading.current_thread()
    assert not any(name.startswith("nng:") for _, _, name in calls)


def test_a_callback_finds_the_result_and_the_message(pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
    """In its callback the aio has finished: it tells the result and hands out the message."""
    left, right = pair
    done: SimpleQueue[tuple[int, Message | None]] = SimpleQueue()
    receiver = Aio(lambda aio: done.put((aio.result(), aio.get_msg())))
    right.recv_aio(receiver)
    left.send(b"hello")
    result, message = done.get(timeout=SECONDS)
    assert result == 0
    assert message is not None
    assert bytes(message) == b"hello"
    receiver.set_timeout(0)
    right.recv_aio(receiver)
    assert done.get(timeout=SECONDS) == (lib.NNG_ETIMEDOUT, None)


def test_a_submission_returns_before_its_callback_runs() -> None:
    """Even an operation that fails at once is reported by the callback, never by an exception or in the caller's thread."""
    rep = nngio.Rep0()
    rep.close()
    done: SimpleQueue[int] = SimpleQueue()
    aio = Aio(lambda aio: done.put(aio.result()))
    aio.set_msg(Message(b"hello"))
    rep.send_aio(aio)
    assert done.get(timeout=SECONDS) == lib.NNG_ECLOSED
    rep.recv_aio(aio)
    assert done.get(timeout=SECONDS) == lib.NNG_ECLOSED


def test_an_aio_is_busy_until_its_callback_has_returned(lonely: nngio.Pair0) -> None:
    """`busy` covers the operation and the callback, and `wait` waits for both."""
    entered, leave = threading.Event(), threading.Event()
    order: list[str] = []

    def callback(aio: Aio) -> None:
        order.append("busy" if aio.busy else "idle")
        entered.set()
        leave.wait(SECONDS)
        order.append("callback")

    aio = Aio(callback)
    assert not aio.busy
    assert repr(aio) == "<nngio.Aio idle>"
    lonely.recv_aio(aio)
    assert aio.busy
    assert repr(aio) == "<nngio.Aio busy>"
    aio.cancel()
    assert entered.wait(SECONDS)
    assert aio.busy
    for start in START.values():  # while its callback runs, only that may use it again
        with pytest.raises(nngio.BadState, match="busy"):
            start(aio, lonely)
    with pytest.raises(nngio.BadState, match="busy"):
        aio.set_msg(Message(b"hello"))

    def wait() -> None:
        aio.wait()
        order.append("wait")

    waiter = threading.Thread(target=wait)
    waiter.start()
    leave.set()
    waiter.join(SECONDS)
    assert order == ["busy", "callback", "wait"]
    assert not aio.busy


@pytest.mark.parametrize("callback", [None, lambda aio: None], ids=["no callback", "callback"])
def test_many_threads_wait_for_one_aio(callback: Callable[[Aio], None] | None, lonely: nngio.Pair0) -> None:
    """Each of them goes on when the operation has finished; a wait on an idle aio returns at once."""
    aio = Aio(callback)
    aio.wait()
    lonely.recv_aio(aio)
    ready, results = threading.Barrier(9), []

    def wait() -> None:
        ready.wait(SECONDS)
        aio.wait()
        results.append(aio.result())

    threads = [threading.Thread(target=wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    ready.wait(SECONDS)
    aio.cancel()
    for thread in threads:
        thread.join(SECONDS)
    assert results == [lib.NNG_ECANCELED] * 8
    aio.wait()


def test_wait_in_a_callback_raises(lonely: nngio.Pair0) -> None:
    """It would wait for itself: for its own aio and for any other, busy or not."""
    errors: SimpleQueue[Exception] = SimpleQueue()
    other = Aio()
    lonely.recv_aio(other)

    def callback(aio: Aio) -> None:
        for which in (aio, other, Aio()):
            try:
                which.wait()
            except Exception as error:
                errors.put(error)

    aio = Aio(callback)
    aio.sleep(0)
    for _ in range(3):
        error = errors.get(timeout=SECONDS)
        assert isinstance(error, nngio.BadState)
        assert "in a callback" in str(error)
    other.cancel()
    other.wait()


def test_an_exception_in_a_callback_goes_to_the_unraisable_hook_and_stops_nothing(
    pair: tuple[nngio.Pair0, nngio.Pair0], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is raised is reported once, with the callback; the aio and all others go on."""
    left, right = pair
    reports: SimpleQueue[Any] = SimpleQueue()
    monkeypatch.setattr(sys, "unraisablehook", reports.put)
    done: SimpleQueue[int] = SimpleQueue()

    class Peculiar(BaseException):
        pass

    for error in (ValueError("mine"), KeyboardInterrupt(), Peculiar(), nngio.TimedOut()):

        def callback(aio: Aio, error: BaseException = error) -> None:
            raise error

        aio = Aio(callback)
        aio.set_msg(Message(b"hello"))
        left.send_aio(aio)
        report = reports.get(timeout=SECONDS)
        assert report.exc_value is error
        assert report.exc_type is type(error)
        assert report.exc_traceback is not None
        assert report.object is callback
        aio.wait()
        assert aio.result() == 0
        assert right.recv(timeout=SECONDS) == b"hello"
        after = Aio(lambda aio: done.put(aio.result()))
        after.sleep(0)
        assert done.get(timeout=SECONDS) == 0
        del report, aio
    assert reports.empty()


def test_a_broken_unraisable_hook_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hook that raises is itself reported, by Python's own."""

    def hook(report: Any) -> None:
        raise RuntimeError("the hook's own error")

    monkeypatch.setattr(sys, "unraisablehook", hook)

    def callback(aio: Aio) -> None:
        raise ValueError("the callback's error")

    aio = Aio(callback)
    aio.sleep(0)
    aio.wait()
    assert "the hook's own error" in capsys.readouterr().err
    done: SimpleQueue[int] = SimpleQueue()
    Aio(lambda aio: done.put(aio.result())).sleep(0)
    assert done.get(timeout=SECONDS) == 0


def test_callbacks_never_overlap() -> None:
    """They run one after the other, however many operations finish at once."""
    inside, most, done = 0, 0, threading.Semaphore(0)

    def callback(aio: Aio) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0)  # let another thread in, if there is one
        inside -= 1
        done.release()

    aios = [Aio(callback) for _ in range(300)]
    for aio in aios:
        aio.sleep(0.01)
    for _ in aios:
        assert done.acquire(timeout=SECONDS)
    assert most == 1


def test_a_callback_must_be_callable() -> None:
    """Anything else is refused when the aio is made."""
    with pytest.raises(TypeError, match="callback"):
        Aio(b"not callable")  # type: ignore[arg-type]


# One operation at a time.


@pytest.mark.parametrize("callback", [False, True], ids=["no callback", "callback"])
@pytest.mark.parametrize("second", START)
@pytest.mark.parametrize("first", START)
def test_a_second_submission_raises_and_disturbs_nothing(
    first: str, second: str, callback: bool, pair: tuple[nngio.Pair0, nngio.Pair0], lonely: nngio.Pair0
) -> None:
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


def test_an_aio_does_all_its_work_from_its_own_callback(pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
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


# Time.


def test_a_sleep_takes_its_time() -> None:
    """The result of a sleep is 0, not before its time."""
    aio = Aio()
    begin = time.monotonic()
    aio.sleep(0.1)
    assert aio.busy
    aio.wait()
    assert aio.result() == 0
    assert 0.099 <= time.monotonic() - begin < 1


def test_a_shorter_timeout_ends_a_sleep() -> None:
    """The result is then TimedOut; cancelling it gives Canceled."""
    aio = Aio()
    aio.set_timeout(0.02)
    aio.sleep(60)
    aio.wait()
    assert aio.result() == lib.NNG_ETIMEDOUT
    aio.set_timeout(None)
    aio.sleep(60)
    aio.cancel()
    aio.wait()
    assert aio.result() == lib.NNG_ECANCELED


@pytest.mark.parametrize("verb", ["send", "receive"])
@pytest.mark.parametrize("timeout", [0, 0.001, 0.05])
def test_an_operation_ends_when_its_time_is_up(timeout: float, verb: str, lonely: nngio.Pair0) -> None:
    """The timeout holds for each operation that follows; 0 is now or never."""
    aio, message = Aio(), Message(b"hello")
    aio.set_timeout(timeout)
    for _ in range(2):
        aio.set_msg(message)
        begin = time.monotonic()
        START[verb](aio, lonely)
        aio.wait()
        assert timeout * 0.9 <= time.monotonic() - begin < timeout + 1
        assert aio.result() == lib.NNG_ETIMEDOUT
        with pytest.raises(nngio.TimedOut) as caught:
            aio.check()
        assert caught.value.message is (message if verb == "send" else None)


def test_the_default_timeout_is_the_sockets(lonely: nngio.Pair0) -> None:
    """DEFAULT, which a new aio has, is the option as it is at the time of each operation; None overrides it."""
    aio, message = Aio(), Message(b"hello")
    lonely.send_timeout = lonely.recv_timeout = 0.02
    for _ in range(2):
        for verb in ("send", "receive"):
            aio.set_msg(message)
            START[verb](aio, lonely)
            aio.wait()
            assert aio.result() == lib.NNG_ETIMEDOUT
    for longer in (None, 60):
        aio.set_timeout(longer)
        aio.set_msg(message)
        lonely.send_aio(aio)
        other = Aio()
        lonely.recv_aio(other)
        other.wait()
        assert aio.busy
        aio.cancel()
        aio.wait()
        assert aio.result() == lib.NNG_ECANCELED
    aio.set_timeout(nngio.DEFAULT)
    lonely.send_aio(aio)
    aio.wait()
    assert aio.result() == lib.NNG_ETIMEDOUT


def test_the_default_timeout_is_the_contexts() -> None:
    """A context has timeouts of its own, and an aio with DEFAULT takes those."""
    with nngio.Rep0(recv_timeout=60) as rep:
        context = rep.context()
        context.recv_timeout = 0.02
        aio = Aio()
        context.recv_aio(aio)
        aio.wait()
        assert aio.result() == lib.NNG_ETIMEDOUT


@pytest.mark.parametrize("wrong", [-1, -0.5, float("nan"), 10**9])
def test_a_timeout_out_of_range_is_refused(wrong: float) -> None:
    """A negative or far too long timeout raises ValueError, and so does a sleep, which must have an end as well."""
    aio = Aio()
    with pytest.raises(ValueError, match="timeout"):
        aio.set_timeout(wrong)
    for endless in (wrong, float("inf"), None, nngio.DEFAULT):
        with pytest.raises(ValueError, match="timeout|sleep"):
            aio.sleep(endless)  # type: ignore[arg-type]
    assert not aio.busy
    with pytest.raises(TypeError, match="timeout"):
        aio.set_timeout("soon")  # type: ignore[arg-type]


# Cancel and abort.


def test_cancelling_an_idle_aio_does_nothing(pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
    """Neither its last result nor its next operation is touched."""
    left, right = pair
    aio = Aio()
    aio.cancel()
    for _ in range(3):
        aio.set_msg(Message(b"hello"))
        left.send_aio(aio)
        aio.wait()
        aio.cancel()
        aio.abort(nngio.Closed)
        assert aio.result() == 0
        assert right.recv(timeout=SECONDS) == b"hello"


@pytest.mark.parametrize("operation", START)
@pytest.mark.parametrize("code", [1, 5, 7, 17, 18, 20, 31, 1000, 12345, 0x10000001, 0x20000002])
def test_an_operation_is_aborted_with_any_code(code: int, operation: str, lonely: nngio.Pair0) -> None:
    """The code becomes the result, and `check` raises its class, with the message of a send."""
    aio, message = Aio(), Message(b"hello")
    aio.set_msg(message)
    START[operation](aio, lonely)
    aio.abort(code)
    aio.wait()
    assert aio.result() == code
    with pytest.raises(nngio.NNGError) as caught:
        aio.check()
    assert caught.value.code == code
    assert type(caught.value) is type(nngio.NNGError.from_code(code))
    assert caught.value.message is (None if operation == "receive" else message)


def test_abort_takes_an_error_class(lonely: nngio.Pair0) -> None:
    """The class stands for its code; what has no code is refused, and the operation goes on."""
    aio = Aio()
    lonely.recv_aio(aio)
    for wrong in (0, -1, nngio.NNGError):
        with pytest.raises(ValueError, match="code"):
            aio.abort(wrong)
    for mistaken in (ValueError, "NNG_ECLOSED", None):
        with pytest.raises(TypeError, match="code"):
            aio.abort(mistaken)  # type: ignore[arg-type]
    assert aio.busy
    aio.abort(nngio.ConnectionReset)
    aio.wait()
    with pytest.raises(ConnectionResetError):
        aio.check()


def test_the_first_abort_decides(lonely: nngio.Pair0) -> None:
    """What is aborted can't be aborted again: one code, one completion."""
    results: list[int] = []
    aio = Aio(lambda aio: results.append(aio.result()))
    aio.set_msg(Message(b"hello"))
    lonely.send_aio(aio)
    aio.abort(nngio.NoMemory)
    for _ in range(10):
        aio.cancel()
    aio.wait()
    assert results == [lib.NNG_ENOMEM]


def test_aios_are_collected_when_they_are_idle(lonely: nngio.Pair0) -> None:
    """Neither a finished operation nor a callback keeps an aio alive."""
    import weakref

    references = []
    for callback in (None, lambda aio: None):
        aio = Aio(callback)
        lonely.recv_aio(aio)
        aio.cancel()
        aio.wait()
        references.append(weakref.ref(aio))
        del aio
    gc.collect()
    deadline = time.monotonic() + SECONDS  # the callback thread lets go of it a moment after `wait`
    while any(reference() is not None for reference in references) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert [reference() for reference in references] == [None, None]


def test_an_aio_is_not_copied() -> None:
    """A copy would be the same operation twice: copying and pickling are refused."""
    import copy
    import pickle

    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="Aio"):
            attempt(Aio())
