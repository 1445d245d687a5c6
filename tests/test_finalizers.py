"""What a reference cycle holds can be used by the finalizers of the same cycle: the collector runs those in any order."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

import nngio
from nngio import Aio, Message

OBJECTS = 200


class Cycle:
    """Refers to itself, and uses what it has when it is finalized."""

    used: "list[object]"

    def __init__(self, use: Callable[..., object], *things: object) -> None:
        self.me = self
        self.use = use
        self.things = things

    def __del__(self) -> None:
        try:
            Cycle.used.append(self.use(*self.things))
        except nngio.NNGError as error:
            Cycle.used.append(type(error))


def collect(make: Callable[[], tuple[object, ...]], use: Callable[..., object]) -> list[object]:
    """Let the collector find many such cycles, and return what their finalizers have seen."""
    Cycle.used = []
    gc.collect()
    for _ in range(OBJECTS):
        Cycle(use, *make())
    gc.collect()
    assert len(Cycle.used) == OBJECTS
    return Cycle.used


def test_a_finalizer_can_read_and_send_a_message_of_its_cycle(pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
    """Its body, header, copy; and it can be sent."""
    left, right = pair

    def use(message: Message) -> object:
        copy = message.copy()
        left.send(message)
        return right.recv(timeout=5) + bytes(copy) + message.__repr__().encode()

    assert set(collect(lambda: (Message(b"body"),), use)) == {b"bodybody<nngio.Message, sent>"}


def test_a_finalizer_can_read_a_view_of_its_cycle() -> None:
    """With the message in the same cycle, or not."""

    def looked_at() -> tuple[object, ...]:
        message = Message(b"body")
        return message, message.body, memoryview(message.body)

    assert set(collect(looked_at, lambda _, body, view: bytes(body) + bytes(view))) == {b"bodybody"}
    assert set(collect(lambda: looked_at()[1:2], bytes)) == {b"body"}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_finalizer_can_use_a_socket_of_its_cycle() -> None:
    """It is open, or has been closed; never anything else."""

    def use(socket: Any, context: Any) -> object:
        socket.send(b"x", timeout=0)
        context.send(b"x", timeout=0)
        return context.recv_timeout

    def make() -> tuple[object, ...]:
        socket = nngio.Req0()
        return socket, socket.context()

    assert set(collect(make, use)) <= {nngio.TimedOut, nngio.Closed}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_contexts_in_a_cycle_are_closed() -> None:
    """Whichever is finalized first, the context or its socket."""
    for _ in range(OBJECTS):
        socket: Any = nngio.Rep0()
        socket._contexts = [socket.context() for _ in range(3)]
        socket._me = socket
        del socket
    gc.collect()


def test_a_finalizer_can_use_an_aio_of_its_cycle(lonely: nngio.Pair0) -> None:
    """Idle, done, pending, with a callback and without."""

    def done() -> Aio:
        aio = Aio()
        aio.sleep(0)
        aio.wait()
        return aio

    def pending() -> Aio:
        aio = Aio()
        lonely.recv_aio(aio)
        return aio

    def use(idle: Aio, done: Aio, pending: Aio, called: Aio) -> object:
        pending.cancel()
        pending.wait()
        idle.sleep(0)
        idle.wait()
        return idle.result(), done.result(), pending.result(), called.busy

    seen = collect(lambda: (Aio(), done(), pending(), Aio(print)), use)
    assert set(seen) == {(0, 0, nngio.Canceled.code, False)}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_task_that_is_collected_with_its_loop_lets_go_of_its_receive(pair: tuple[nngio.Pair0, nngio.Pair0]) -> None:
    """A loop that is dropped while its tasks wait: the next receive gets the message."""
    left, right = pair
    for number in range(50):
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        tasks = [loop.create_task(right.arecv()) for _ in range(3)]
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.tasks = tasks  # type: ignore[attr-defined]
        del loop, tasks
        gc.collect()
        left.send(b"%d" % number)
        assert right.recv(timeout=5) == b"%d" % number


def test_a_socket_in_a_cycle_is_closed_with_a_warning() -> None:
    """The collector clears weak references before it finalizes; the socket still knows that it is open."""

    class Holder:
        def __init__(self) -> None:
            self.socket = nngio.Pair0(listen="inproc://collected")
            self.itself = self

    Holder()
    with pytest.warns(ResourceWarning, match="unclosed"):
        gc.collect()
    nngio.Pair0(listen="inproc://collected").close()  # the address is free again
