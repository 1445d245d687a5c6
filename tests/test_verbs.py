"""What each message pays for in a verb: the C half of the verbs, which keeps the GIL."""

import gc
import sys
import threading
from typing import Any

import pytest

import nngio
from nngio._core.library import python
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
