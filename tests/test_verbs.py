"""What each message pays for in a verb: the C half of the verbs, which keeps the GIL."""

import asyncio
import contextlib
import gc
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trio

import nngio
from nngio._core.library import ffi, python
from nngio._core.operation import take_slot

Pair = tuple[nngio.Pair0, nngio.Pair0]


@pytest.mark.parametrize("name", ["begin_send", "begin_send_box", "begin_recv", "send", "send_box", "recv"])
def test_the_c_half_takes_nothing_but_what_it_is_for(pair: Pair, name: str) -> None:
    """Whatever is passed to it: a TypeError, and no access to what is something else."""
    function = getattr(python, name)
    sends = "send" in name
    data: Any = nngio.Message(b"")._owner if "box" in name else b"x"
    good = [take_slot(), pair[0]._owner, data, -1] if sends else [take_slot(), pair[0]._owner, -1]
    wrong: list[Any] = [None, 1, "x", object(), take_slot(), pair[0], nngio.Message(b"")._owner]
    for position in range(len(good) - 1):
        for other in wrong:
            if type(other) is type(good[position]) and other is not wrong[6]:
                continue
            arguments = [*good]
            arguments[position] = other
            if position == 2 and "box" in name and other is wrong[6]:
                continue
            with pytest.raises(TypeError):
                function(*arguments)
    for arguments in (good[:-1], [*good, 1], []):
        with pytest.raises(TypeError, match="wrong number of arguments"):
            function(*arguments)
    with pytest.raises(TypeError):
        function(*good[:-1], "x")
    with pytest.raises(OverflowError):
        function(*good[:-1], 2**70)


def test_a_slot_that_is_dropped_keeps_its_message_for_the_next_receive(pair: Pair) -> None:
    """As when a signal handler raises after C has received it and before the caller has it."""
    left, right = pair
    left.send(b"1")
    left.send(b"2")
    slot = take_slot()
    assert python.recv(slot, right._owner, 5000) == 0
    assert python.body(slot) == b"1"
    del slot
    assert right.recv(timeout=5) == b"1"
    assert right.recv(timeout=5) == b"2"


def test_no_reference_is_lost_or_left(pair: Pair) -> None:
    """Whatever is called, as often as you like."""
    left, right = pair
    body = b"x" * 100

    def all_of_it() -> None:
        left.send(body)
        right.recv()
        left.send(nngio.Message(body))
        right.recv_msg()
        with pytest.raises(nngio.TimedOut):
            right.recv(timeout=0)

    def references() -> list[int]:
        gc.collect()
        return [sys.getrefcount(o) for o in (body, left, right, left._owner, right._owner, python.Slot)]

    all_of_it()
    before = references()
    for _ in range(100):
        all_of_it()
    assert references() == before


def test_a_long_body_is_copied_without_the_gil(pair: Pair) -> None:
    """Other threads run meanwhile: both copies of a message of 200 MB let at least one of them count."""
    left, right = pair
    body = bytes(200_000_000)
    counts: list[int] = [0]
    stop = threading.Event()

    def count() -> None:
        while not stop.is_set():
            counts[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    before = counts[0]
    left.send(body)
    assert right.recv() == body
    assert counts[0] > before
    stop.set()
    thread.join()


def on_a_warm_loop(pair: Pair, then: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """The loop has an idle operation, and the task a new turn, so what follows goes through its steps in C."""

    async def main() -> None:
        left, right = pair
        for _ in range(3):
            await left.asend(b"warm")
            await right.arecv()
        asyncio.get_running_loop()._nngio.new_turn()  # type: ignore[attr-defined]  # the adapter's
        await then()

    asyncio.run(main())


class Interrupted(BaseException):
    """What a signal handler might raise."""


@pytest.mark.parametrize("how", ["throw", "throw a class", "close", "drop", "go on"])
@pytest.mark.parametrize("arrived", [False, True])
def test_a_receive_that_is_interrupted_between_its_steps_keeps_its_message(pair: Pair, how: str, arrived: bool) -> None:
    """Before the message has arrived, or after that and before its task had its turn: the next receive gets it."""
    left, right = pair

    def steps(coroutine: Coroutine[Any, Any, Any]) -> None:
        future = coroutine.send(None)
        assert isinstance(future, python.Future)
        assert not future.done()
        if arrived:
            left.send(b"hello")
            while future.c.body == ffi.NULL:
                time.sleep(0.0001)  # NNG's thread brings it
        if how == "throw":
            with pytest.raises(Interrupted, match="now"):
                coroutine.throw(Interrupted("now"))
        elif how == "throw a class":
            with pytest.raises(Interrupted):
                coroutine.throw(Interrupted)
        elif how == "close":
            coroutine.close()
        elif how == "go on":
            with pytest.raises(RuntimeError, match="there was none"):
                coroutine.send(None)

    async def interrupted() -> None:
        coroutine = right.arecv()
        steps(coroutine)
        del coroutine
        if not arrived:
            left.send(b"hello")
        assert await right.arecv(timeout=5) == b"hello"

    on_a_warm_loop(pair, interrupted)


@pytest.mark.parametrize("how", ["throw", "close", "drop"])
def test_a_send_that_is_interrupted_between_its_steps_is_undone(address: Callable[[str], str], how: str) -> None:
    """NNG had not accepted it: nobody gets it, and the next one is the first."""
    with (
        nngio.Push0(listen=address("inproc")) as push,
        nngio.Pair0(listen=address("inproc")) as a,
        nngio.Pair0(dial=a.listeners[0].url) as b,
    ):

        async def interrupted() -> None:
            coroutine = push.asend(b"not this one")
            assert isinstance(coroutine.send(None), python.Future)
            if how == "throw":
                with pytest.raises(Interrupted):
                    coroutine.throw(Interrupted())
            elif how == "close":
                coroutine.close()
            del coroutine
            with nngio.Pull0(dial=push.listeners[0].url) as pull:
                await push.asend(b"this one")
                assert await pull.arecv(timeout=5) == b"this one"

        on_a_warm_loop((a, b), interrupted)


def test_what_makes_a_coroutine_refuses_what_is_no_sockets(pair: Pair) -> None:
    """A TypeError, and nothing that was never awaited."""
    left = pair[0]
    for wrong in (None, left, object(), nngio.Message(b"")._owner):
        with pytest.raises(TypeError):
            python.sending(left, wrong, b"", -1)
        with pytest.raises(TypeError):
            python.receiving(left, wrong, -1)
    for arguments in ((), (left,), (left, left._owner, b"", -1, 1)):
        with pytest.raises(TypeError, match="wrong number"):
            python.sending(*arguments)
        with pytest.raises(TypeError, match="wrong number"):
            python.receiving(*arguments)
    with pytest.raises(OverflowError):
        python.receiving(left, left._owner, 2**70)
    with pytest.raises(TypeError):
        python.Coroutine()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="0 or more seconds"):
        left.arecv(timeout=-1)


# What `asend` and `arecv` return.


def test_a_verb_returns_a_coroutine(pair: Pair) -> None:
    """For asyncio, for what looks at abstract base classes, and for whoever prints it."""
    for coroutine, name in ((pair[0].asend(b""), "asend"), (pair[0].arecv(), "arecv")):
        assert isinstance(coroutine, Coroutine)
        assert asyncio.iscoroutine(coroutine)
        assert (coroutine.__name__, coroutine.__qualname__) == (name, f"Pair0.{name}")
        assert repr(coroutine).startswith(f"<coroutine object Pair0.{name} at 0x")
        assert not hasattr(coroutine, "cr_await")  # with it, asyncio takes it for one of Python's that has a frame
        coroutine.close()
        coroutine.close()


def test_a_verb_that_is_not_awaited_warns_and_does_nothing(pair: Pair) -> None:
    """As any coroutine does; not when it was closed."""
    left, right = pair
    with pytest.warns(RuntimeWarning, match="coroutine 'Pair0.asend' was never awaited"):
        left.asend(b"lost")
    with pytest.warns(RuntimeWarning, match="coroutine 'Pair0.arecv' was never awaited"):
        right.arecv()
    left.asend(b"closed").close()
    with pytest.raises(nngio.TimedOut):
        right.recv(timeout=0.05)


def test_a_verb_is_awaited_once(pair: Pair) -> None:
    """After that, and while somebody awaits it, awaiting it again is an error and does nothing."""
    left, right = pair

    async def again() -> None:
        sent = left.asend(b"once")
        await sent
        for use in (sent.__await__, lambda: sent.send(None), lambda: sent.throw(Interrupted())):
            with pytest.raises(RuntimeError, match="already awaited"):
                use()
        assert await right.arecv() == b"once"
        waits = right.arecv()
        task = asyncio.create_task(waits)
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="being awaited already"):
            await waits
        await left.asend(b"twice")
        assert await task == b"twice"

    asyncio.run(again())


def test_a_verb_that_is_thrown_into_before_it_begins_does_nothing(pair: Pair) -> None:
    """The exception comes out, and it is over."""
    left, right = pair
    coroutine = left.asend(b"not sent")
    with pytest.raises(Interrupted):
        coroutine.throw(Interrupted())
    with pytest.raises(RuntimeError, match="already awaited"):
        coroutine.send(None)
    with pytest.raises(nngio.TimedOut):
        right.recv(timeout=0.05)


def test_a_verb_may_be_a_task_and_be_cancelled(pair: Pair) -> None:
    """`create_task` and `run` take it as it is; a cancelled one loses nothing."""
    left, right = pair

    async def cancelled() -> None:
        for i in range(100):
            task = asyncio.create_task(right.arecv())
            await asyncio.sleep(0)
            if i % 2:
                await left.asend(b"%d" % i)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            if not i % 2:
                await left.asend(b"%d" % i)
            assert (await right.arecv() if task.cancelled() else task.result()) == b"%d" % i

    asyncio.run(cancelled())
    asyncio.run(left.asend(b"whole"))
    assert asyncio.run(right.arecv()) == b"whole"


def test_a_verb_belongs_to_the_loop_that_awaits_it(pair: Pair) -> None:
    """Not to the one in which it was called."""
    left, right = pair

    async def elsewhere(coroutine: Any) -> Any:
        return await coroutine

    async def call() -> None:
        await left.asend(b"a loop has begun")
        await right.arecv()
        receiving, sending = right.arecv(), left.asend(b"from afar")
        await asyncio.to_thread(asyncio.run, elsewhere(sending))
        assert await asyncio.to_thread(asyncio.run, elsewhere(receiving)) == b"from afar"

    asyncio.run(call())


def test_a_verb_that_is_collected_in_the_middle_loses_nothing(pair: Pair) -> None:
    """Its frame is gone, and so is the task; in a cycle, too. What it had received goes to the next."""
    left, right = pair

    async def dropped() -> None:
        await left.asend(b"a loop has begun")
        await right.arecv()
        for cycle in (False, True):
            waits = right.arecv()
            assert isinstance(waits.send(None), python.Future)
            kept: list[Any] = [waits]
            if cycle:
                kept.append(kept)
            await left.asend(b"kept")
            del waits, kept
            gc.collect()
            assert await right.arecv(timeout=5) == b"kept"

    asyncio.run(dropped())


def test_a_loop_that_is_dropped_with_a_task_in_a_verb_is_silent(pair: Pair) -> None:
    """It is collected, with the task, the verb, and what that waits for, in whatever order; a message that came is the next one's."""
    left, right = pair
    errors: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, errors.append
    try:
        for _ in range(3):
            loop = asyncio.new_event_loop()

            async def begin(loop: asyncio.AbstractEventLoop) -> None:
                for _ in range(3):
                    await left.asend(b"warm")
                    await right.arecv()
                loop._nngio.new_turn()  # type: ignore[attr-defined]  # the adapter's
                loop.kept = asyncio.create_task(right.arecv())  # type: ignore[attr-defined,arg-type]
                await asyncio.sleep(0.01)

            loop.run_until_complete(begin(loop))
            left.send(b"left")
            loop.set_exception_handler(lambda *_: None)
            with contextlib.suppress(ResourceWarning):
                del loop
                gc.collect()
            assert right.recv(timeout=5) == b"left"
    finally:
        sys.unraisablehook = hook
    assert [error.exc_value for error in errors if not isinstance(error.exc_value, ResourceWarning)] == []


@pytest.mark.parametrize("what", ["no exception", 42, int])
def test_only_exceptions_can_be_thrown(pair: Pair, what: Any) -> None:
    """Into one that waits, or that has not begun."""

    async def throw() -> None:
        for begun in (True, False):
            coroutine: Any = pair[0].arecv()
            if begun:
                coroutine.send(None)
            with pytest.raises(TypeError, match="BaseException"):
                coroutine.throw(what)
            coroutine.close()

    on_a_warm_loop(pair, throw)


@pytest.mark.parametrize("ends", ["close", "throw"])
@pytest.mark.parametrize("verb", ["arecv", "arecv_msg"])
def test_a_task_whose_verb_is_ended_by_hand_has_nothing_to_do_with_who_comes_next(pair: Pair, verb: str, ends: str) -> None:
    """It goes on, with an error; and cancelling it cancels nobody else."""
    left, right = pair

    async def main() -> None:
        coroutine = getattr(right, verb)()
        first = asyncio.create_task(coroutine)
        await asyncio.sleep(0.01)
        if ends == "close":
            coroutine.close()
        else:
            with pytest.raises(Interrupted):
                coroutine.throw(Interrupted())
        second = asyncio.create_task(right.arecv())
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0.01)
        await left.asend(b"for the second")
        assert await asyncio.wait_for(second, 5) == b"for the second"
        await asyncio.wait([first], timeout=5)
        assert first.done()
        assert first.cancelled() or isinstance(first.exception(), RuntimeError)

    asyncio.run(main())


def test_a_verb_on_trio_is_for_a_nursery(pair: Pair) -> None:
    """`start_soon` takes it as it is."""
    left, right = pair

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(left.asend, b"x")
            assert await right.arecv() == b"x"
            assert await trio.to_thread.run_sync(trio.run, lambda: left.asend(b"y")) is None
            assert await right.arecv() == b"y"

    trio.run(main)


def test_a_callback_that_outlives_its_adapter_does_nothing() -> None:
    """The loop may still have one when the adapter is closed."""
    loop = asyncio.new_event_loop()
    with nngio.Pair0() as lonely:
        with pytest.raises(nngio.TimedOut):
            loop.run_until_complete(lonely.arecv(timeout=0))
        adapter = loop._nngio  # type: ignore[attr-defined]  # the adapter's
        loop.close()
        assert adapter.serve() is None
        assert adapter.serve_more() is None
        assert adapter.settle() == []


def test_an_errand_leaves_no_reference(pair: Pair) -> None:
    """Not to the socket, not to what was sent: neither after success nor after failure."""
    left, right = pair
    body = b"x" * 100

    async def references() -> tuple[int, ...]:
        for _ in range(50):
            await left.asend(body)
            await right.arecv()
            for timeout in (0, 0.001):
                with pytest.raises(nngio.TimedOut):
                    await right.arecv(timeout=timeout)
        gc.collect()
        return sys.getrefcount(body), sys.getrefcount(left), sys.getrefcount(right)

    async def in_a_loop() -> None:
        before = await references()
        assert await references() == before

    on_a_warm_loop(pair, in_a_loop)
