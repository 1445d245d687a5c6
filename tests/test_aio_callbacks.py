"""The callbacks of aios: the thread that runs them, what they may do, what becomes of their exceptions, and `wait`."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from aios import SECONDS, START, Pair

import nngio
from nngio import Aio, Message
from nngio.lowlevel import lib


def test_callbacks_run_on_the_librarys_own_thread(pair: Pair) -> None:
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


def test_a_callback_finds_the_result_and_the_message(pair: Pair) -> None:
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


@pytest.mark.parametrize("callback", [None, lambda _: None], ids=["no callback", "callback"])
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


def test_an_exception_in_a_callback_goes_to_the_unraisable_hook_and_stops_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised is reported once, with the callback; the aio and all others go on."""
    left, right = pair
    reports: SimpleQueue[Any] = SimpleQueue()
    monkeypatch.setattr(sys, "unraisablehook", reports.put)
    done: SimpleQueue[int] = SimpleQueue()

    class Peculiar(BaseException):
        pass

    for error in (ValueError("mine"), KeyboardInterrupt(), Peculiar(), nngio.TimedOut()):

        def callback(_: Aio, error: BaseException = error) -> None:
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


def test_a_broken_unraisable_hook_stops_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A hook that raises is itself reported, by Python's own."""

    def hook(_: Any) -> None:
        raise RuntimeError("the hook's own error")

    monkeypatch.setattr(sys, "unraisablehook", hook)

    def callback(_: Aio) -> None:
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

    def callback(_: Aio) -> None:
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
