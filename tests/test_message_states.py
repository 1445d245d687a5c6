"""A machine that does anything with messages, in any order, and compares what it sees with a model of them.

The model of a body is a bytearray; a view of the body is modelled by a memoryview of the same slice and format over that
bytearray. Whatever becomes of a message, its sockets and its aios: a view has the model's bytes for as long as it lives, a
message that is looked at can't be sent, and one that was not sent is whole. Under AddressSanitizer, a byte that is read or
written after its memory was given back ends the test.
"""

import ctypes
import gc
import itertools
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import nngio
from nngio import Aio, Message
from nngio.lowlevel import lib

SECONDS = 10.0
BODIES = st.one_of(st.binary(max_size=40), st.integers(0, 3000).map(lambda size: bytes(i % 251 for i in range(size))))
HEADERS = st.binary(max_size=64)
NUMBERS = st.integers(0, 2**16)
_names = itertools.count()
SETTINGS = settings(
    max_examples=100,
    stateful_step_count=50,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@dataclass(eq=False)
class Held:
    """A message, or what is left of it, and what it should be."""

    message: Message | None
    body: bytearray
    header: bytes
    views: list["View"] = field(default_factory=list)
    aio: Aio | None = None
    """The aio that is sending it."""

    @property
    def looked_at(self) -> bool:
        return any(view.alive for view in self.views)


@dataclass(eq=False)
class View:
    """A view of a body, and the same view of the model."""

    real: Any
    model: memoryview
    holder: object = None
    """What holds the buffer in place of the view, if that was not kept."""

    @property
    def alive(self) -> bool:
        return self.real is not None or self.holder is not None

    def bytes(self) -> bytes:
        return bytes(self.holder) if self.holder is not None else self.real.tobytes()  # type: ignore[call-overload,no-any-return]

    def let_go(self) -> None:
        self.real = self.holder = None


class Messages(RuleBasedStateMachine):
    """Some messages, two sockets with a connection, one without, and some aios."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Held] = []
        self.left = nngio.Pair0(send_timeout=SECONDS)
        self.right = nngio.Pair0(recv_timeout=SECONDS)
        self.lonely = nngio.Pair0()
        self.connect()

    def connect(self) -> None:
        url = f"inproc://messages-{next(_names)}"
        self.left.listen(url)
        self.right.dial(url)

    def teardown(self) -> None:
        for socket in (self.left, self.right, self.lonely):
            socket.close()
        for held in self.held:
            self.settle(held, lib.NNG_ECLOSED)
        self.views_have_the_bytes_of_the_model()
        self.messages_have_the_bytes_of_the_model()
        for held in self.held:
            held.message = None
        gc.collect()
        self.views_have_the_bytes_of_the_model()
        self.held.clear()
        gc.collect()

    # Choosing one that fits.

    def pick(self, number: int, *, here: bool = True) -> Held | None:
        """One of the messages; with `here`, one that exists and is not being sent."""
        fitting = [held for held in self.held if not here or (held.message is not None and held.aio is None)]
        return fitting[number % len(fitting)] if fitting else None

    def pick_view(self, number: int) -> tuple[Held, View] | None:
        fitting = [(held, view) for held in self.held for view in held.views if view.real is not None]
        return fitting[number % len(fitting)] if fitting else None

    def keep(self, message: Message, body: bytes, header: bytes) -> None:
        self.held.append(Held(message, bytearray(body), header))

    # Messages.

    @precondition(lambda self: len(self.held) < 12)
    @rule(body=BODIES, header=HEADERS, way=st.sampled_from(["data", "bytearray", "size"]))
    def make(self, body: bytes, header: bytes, way: str) -> None:
        if way == "size":
            message = Message(size=len(body))
            if body:
                with message.body as view:
                    view[:] = body
        else:
            message = Message(body if way == "data" else bytearray(body))
        message.header = header
        self.keep(message, body, header)

    @precondition(lambda self: len(self.held) < 12)
    @rule(number=NUMBERS)
    def copy(self, number: int) -> None:
        if (held := self.pick(number)) is not None and held.message is not None:
            self.keep(held.message.copy(), bytes(held.body), held.header)

    @rule(number=NUMBERS, header=HEADERS)
    def set_header(self, number: int, header: bytes) -> None:
        if (held := self.pick(number)) is not None and held.message is not None:
            held.message.header = header
            held.header = header

    @rule(number=NUMBERS)
    def drop_message(self, number: int) -> None:
        if (held := self.pick(number)) is not None:
            held.message = None  # its views live on

    @rule()
    def collect(self) -> None:
        gc.collect()
        self.held = [held for held in self.held if held.message is not None or held.looked_at]

    # Views.

    @rule(number=NUMBERS)
    def look(self, number: int) -> None:
        if (held := self.pick(number)) is not None and held.message is not None:
            held.views.append(View(held.message.body, memoryview(held.body)))

    @rule(number=NUMBERS, start=NUMBERS, stop=NUMBERS, step=st.sampled_from([1, 1, 2, 3]))
    def slice(self, number: int, start: int, stop: int, step: int) -> None:
        if (found := self.pick_view(number)) is not None:
            held, view = found
            start, stop = start % (len(view.real) + 1), stop % (len(view.real) + 1)
            held.views.append(View(view.real[start:stop:step], view.model[start:stop:step]))

    @rule(number=NUMBERS, format=st.sampled_from("bHiQ"))
    def cast(self, number: int, format: str) -> None:  # noqa: A002  # as Python calls it
        if (found := self.pick_view(number)) is not None:
            held, view = found
            fits = view.real.contiguous and view.real.nbytes % ctypes.sizeof(ctypes.c_uint64) == 0
            if fits and view.real.format == "B":
                held.views.append(View(view.real.cast(format), view.model.cast(format)))
            elif fits:
                held.views.append(View(view.real.cast("B"), view.model.cast("B")))

    @rule(number=NUMBERS)
    def read_only(self, number: int) -> None:
        if (found := self.pick_view(number)) is not None:
            held, view = found
            held.views.append(View(memoryview(view.real).toreadonly(), view.model))

    @rule(number=NUMBERS)
    def hold_in_c(self, number: int) -> None:
        if (found := self.pick_view(number)) is not None:
            held, view = found
            if view.real.contiguous and not view.real.readonly and view.real.nbytes:
                holder = (ctypes.c_char * view.real.nbytes).from_buffer(view.real)
                held.views.append(View(None, view.model, holder))

    @rule(number=NUMBERS, position=NUMBERS, value=st.integers(0, 255))
    def write(self, number: int, position: int, value: int) -> None:
        if (found := self.pick_view(number)) is not None:
            _, view = found
            if len(view.real) and not view.real.readonly:
                position %= len(view.real)
                item = memoryview(bytes([value % 128]) * view.real.itemsize).cast(view.real.format)[0]
                view.real[position] = item
                view.model[position] = item

    @rule(number=NUMBERS, properly=st.booleans())
    def stop_looking(self, number: int, properly: bool) -> None:
        views = [view for held in self.held for view in held.views if view.alive]
        if views:
            view = views[number % len(views)]
            if properly and view.real is not None:
                try:
                    view.real.release()
                except BufferError:  # one of C's holds on to it
                    return
            view.let_go()

    @rule(number=NUMBERS)
    def stop_looking_at_all(self, number: int) -> None:
        if (held := self.pick(number, here=False)) is not None:
            for view in held.views:
                view.let_go()
            held.views.clear()

    # Sending.

    def refused_while_looked_at(self, held: Held, send: Any) -> bool:
        if held.looked_at:
            with pytest.raises(BufferError):
                send()
            return True
        return False

    @rule(number=NUMBERS)
    def send(self, number: int) -> None:
        held = self.pick(number)
        if held is None or self.refused_while_looked_at(held, lambda: self.left.send(held.message)):
            return
        self.left.send(held.message)
        self.was_sent(held)

    @rule(number=NUMBERS)
    def send_in_vain(self, number: int) -> None:
        held = self.pick(number)
        if held is None or self.refused_while_looked_at(held, lambda: self.lonely.send(held.message, timeout=0)):
            return
        with pytest.raises(nngio.TimedOut) as caught:
            self.lonely.send(held.message, timeout=0)
        assert caught.value.message is held.message

    @rule(number=NUMBERS)
    def send_a_view(self, number: int) -> None:
        if (found := self.pick_view(number)) is not None:
            _, view = found
            self.left.send(view.real)
            assert self.right.recv() == view.model.tobytes()

    @rule(number=NUMBERS)
    def send_a_view_in_vain(self, number: int) -> None:
        if (found := self.pick_view(number)) is not None:
            _, view = found
            with pytest.raises(nngio.TimedOut) as caught:
                self.lonely.send(view.real, timeout=0)
            message = caught.value.message
            assert message is not None
            self.keep(message, view.model.tobytes(), b"")
            del caught  # its traceback would hold the view until the garbage collector comes

    @rule(number=NUMBERS)
    def send_by_aio(self, number: int) -> None:
        aio = Aio()
        held = self.pick(number)
        if held is None:
            return
        aio.set_msg(held.message)
        if self.refused_while_looked_at(held, lambda: self.left.send_aio(aio)):
            assert aio.get_msg() is held.message
            return
        self.left.send_aio(aio)
        aio.wait()
        assert aio.result() == 0
        assert aio.get_msg() is None
        self.was_sent(held)

    def was_sent(self, held: Held) -> None:
        assert held.message is not None
        with pytest.raises(nngio.BadState):
            held.message.body  # noqa: B018  # the access is what raises
        held.message = None
        received = self.right.recv_msg()
        assert bytes(received) == held.body
        self.keep(received, bytes(held.body), b"")

    @rule(number=NUMBERS)
    def begin_to_send(self, number: int) -> None:
        aio = Aio()
        held = self.pick(number)
        if held is None:
            return
        aio.set_msg(held.message)
        if self.refused_while_looked_at(held, lambda: self.lonely.send_aio(aio)):
            return
        self.lonely.send_aio(aio)
        held.aio = aio

    @rule(number=NUMBERS)
    def cancel(self, number: int) -> None:
        pending = [held for held in self.held if held.aio is not None]
        if pending:
            held = pending[number % len(pending)]
            assert held.aio is not None
            held.aio.cancel()
            self.settle(held, lib.NNG_ECANCELED)

    def settle(self, held: Held, code: int) -> None:
        """The aio has ended, and the message is here again."""
        if held.aio is not None:
            held.aio.wait()
            assert held.aio.result() == code
            assert held.aio.get_msg() is held.message
            held.aio = None

    @rule(number=NUMBERS)
    def drop_aio(self, number: int) -> None:
        pending = [held for held in self.held if held.aio is not None]
        if pending:
            held = pending[number % len(pending)]
            held.aio = None
            deadline = time.monotonic() + SECONDS
            while "sent" in repr(held.message):  # nobody tells when it is back
                assert time.monotonic() < deadline
                time.sleep(0.0002)

    @rule(number=NUMBERS)
    def drop_message_and_aio(self, number: int) -> None:
        pending = [held for held in self.held if held.aio is not None]
        if pending:
            self.held.remove(pending[number % len(pending)])

    # Receiving.

    @rule(number=NUMBERS, body=BODIES)
    def receive_into_a_view(self, number: int, body: bytes) -> None:
        if (found := self.pick_view(number)) is not None:
            _, view = found
            if view.real.readonly or not view.real.contiguous or view.real.format != "B":
                return
            self.left.send(body)
            if len(body) > view.real.nbytes:
                with pytest.raises(ValueError, match="kept"):
                    self.right.recv_into(view.real)
                assert self.right.recv() == body
            else:
                assert self.right.recv_into(view.real) == len(body)
                view.model[: len(body)] = body

    @precondition(lambda self: len(self.held) < 12)
    @rule(body=BODIES, dropped=st.booleans())
    def receive_by_aio(self, body: bytes, dropped: bool) -> None:
        aio = Aio()
        self.right.recv_aio(aio)
        if dropped:  # then the next receive gets it
            del aio
            aio = Aio()
            self.left.send(body)
            self.right.recv_aio(aio)
        else:
            self.left.send(body)
        aio.wait()
        assert aio.result() == 0
        message = aio.get_msg()
        assert message is not None
        self.keep(message, body, b"")

    # Closing.

    @rule()
    def close_the_connected(self) -> None:
        self.left.close()
        self.right.close()
        self.left = nngio.Pair0(send_timeout=SECONDS)
        self.right = nngio.Pair0(recv_timeout=SECONDS)
        self.connect()

    @rule()
    def close_the_lonely(self) -> None:
        self.lonely.close()
        self.lonely = nngio.Pair0()
        for held in self.held:
            self.settle(held, lib.NNG_ECLOSED)

    # What holds at all times.

    @invariant()
    def views_have_the_bytes_of_the_model(self) -> None:
        for held in self.held:
            for view in held.views:
                if view.alive:
                    assert view.bytes() == view.model.tobytes()

    @invariant()
    def messages_have_the_bytes_of_the_model(self) -> None:
        for held in self.held:
            if held.message is None:
                continue
            if held.aio is not None:
                assert held.aio.busy
                with pytest.raises(nngio.BadState):
                    bytes(held.message)
                continue
            assert bytes(held.message) == held.body
            assert held.message.header == held.header


@settings(max_examples=1, database=None)
@given(st.none())
def let_hypothesis_begin(_: None) -> None:
    """At its first use Hypothesis asks `gc` who refers to its random numbers, and `gc` knows nothing of what is frozen."""


@pytest.mark.timeout(120)
def test_no_order_of_events_reads_memory_that_was_given_back() -> None:
    """Messages, views, sends that fail and succeed, aios, receives, collections and closed sockets, the same way each time."""
    let_hypothesis_begin()
    gc.freeze()  # what the tests before have left needs no looking through at each collection
    try:
        run_state_machine_as_test(Messages, settings=SETTINGS)
    finally:
        gc.unfreeze()
