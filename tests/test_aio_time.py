"""When operations end: sleeps, timeouts, `cancel` and `abort`."""

import time

import pytest
from aios import SECONDS, START, Pair

import nngio
from nngio import Aio, Message
from nngio.lowlevel import lib

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
        with pytest.raises(ValueError, match=r"timeout|sleep"):
            aio.sleep(endless)  # type: ignore[arg-type]
    assert not aio.busy
    with pytest.raises(TypeError, match="timeout"):
        aio.set_timeout("soon")  # type: ignore[arg-type]


# Cancel and abort.


def test_cancelling_an_idle_aio_does_nothing(pair: Pair) -> None:
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
