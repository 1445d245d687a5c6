"""Memory stays flat over a million failed sends: nothing of a message, an error or an operation is left behind.

Three measures, because each misses something: what the C library has handed out and not been given back (of all threads),
what Python has allocated, and what the process has in memory. Under AddressSanitizer its allocator is asked, which knows to
the byte, and a tenth of the rounds are enough.
"""

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

import nngio
from nngio import Aio, Message
from nngio.lowlevel import lib

pytestmark = pytest.mark.timeout(300)

_libc = ctypes.CDLL(None)
SANITIZED = hasattr(_libc, "__sanitizer_get_current_allocated_bytes")
MILLION = 100_000 if SANITIZED else 1_000_000
BODY = b"x" * 100


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]


def handed_out() -> int:
    """Bytes that the C library's allocator has given to anybody."""
    if SANITIZED:
        _libc.__sanitizer_get_current_allocated_bytes.restype = ctypes.c_size_t
        size: int = _libc.__sanitizer_get_current_allocated_bytes()
        return size
    _libc.mallinfo2.restype = _Mallinfo2
    info = _libc.mallinfo2()
    total: int = info.uordblks + info.hblkhd
    return total


def resident() -> int:
    """Bytes of the process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def stays_flat(rounds: int, work: Callable[[int], None]) -> None:
    """Do the work for that many rounds, and compare what memory is used with what was used after the first few."""
    work(max(rounds // 50, 200))
    gc.collect()
    before = handed_out(), sys.getallocatedblocks(), resident()
    work(rounds)
    gc.collect()
    after = handed_out(), sys.getallocatedblocks(), resident()
    allocated, blocks, memory = (late - early for early, late in zip(before, after, strict=True))
    assert allocated < 100_000
    assert blocks < 1_000
    if not SANITIZED:  # its allocator keeps what was freed for a while
        assert memory < 6_000_000


def test_a_million_failed_sends_of_bytes_leave_no_trace() -> None:
    """Each makes a message, fails, and hands it back in an error that is dropped."""
    with nngio.Push0() as push:

        def work(rounds: int) -> None:
            send = push.send
            failed = 0
            for _ in range(rounds):
                try:
                    send(BODY, timeout=0)
                except nngio.TimedOut:
                    failed += 1
            assert failed == rounds

        stays_flat(MILLION, work)


def test_a_million_failed_sends_of_one_message_leave_no_trace() -> None:
    """The same message is refused a million times, and then it is still whole."""
    with nngio.Push0() as push:
        message = Message(BODY)
        message.header = b"header"

        def work(rounds: int) -> None:
            send = push.send
            failed = 0
            for _ in range(rounds):
                try:
                    send(message, timeout=0)
                except nngio.TimedOut as error:
                    failed += error.message is message
            assert failed == rounds

        stays_flat(MILLION, work)
        assert bytes(message) == BODY
        assert message.header == b"header"


def test_a_million_failed_sends_of_aios_leave_no_trace() -> None:
    """Timeouts, refusals by the protocol, and closed sockets, of aios that keep their messages."""
    with ExitStack() as stack:
        push = stack.enter_context(nngio.Push0())
        replier = stack.enter_context(stack.enter_context(nngio.Rep0()).context())
        closed = nngio.Push0()
        closed.close()
        causes = ((push, lib.NNG_ETIMEDOUT), (replier, lib.NNG_ESTATE), (closed, lib.NNG_ECLOSED))
        work_of = []
        for number in range(96):
            aio, message = Aio(), Message(BODY)
            aio.set_msg(message)
            aio.set_timeout(0)
            work_of.append((aio, message, *causes[number % len(causes)]))

        def work(rounds: int) -> None:
            for _ in range(rounds // len(work_of)):
                for aio, _, channel, _ in work_of:
                    channel.send_aio(aio)
                for aio, _, _, _ in work_of:
                    aio.wait()

        stays_flat(MILLION, work)
        for aio, message, _, code in work_of:
            assert aio.result() == code
            assert aio.get_msg() is message
            assert bytes(message) == BODY


def test_canceled_and_dropped_aios_leave_no_trace() -> None:
    """New aios with new messages each time: canceled, dropped while they are busy, and dropped with a callback."""
    with nngio.Pair0() as pair:

        def ignore(_: Aio) -> None:
            pass

        def work(rounds: int) -> None:
            for _ in range(rounds // 4):
                for callback in (None, ignore):
                    aio = Aio(callback)
                    aio.set_msg(Message(BODY))
                    pair.send_aio(aio)
                    aio.cancel()
                    aio.wait()
                aio = Aio()
                pair.recv_aio(aio)
                aio = Aio()
                aio.set_msg(Message(BODY))
                pair.send_aio(aio)
            aio.cancel()
            aio.wait()

        stays_flat(MILLION // 25, work)


def test_messages_that_are_looked_at_and_dropped_leave_no_trace() -> None:
    """Views, copies, headers, and messages that are received and dropped in every state."""
    with nngio.Pair0(listen="inproc://dropped") as left, nngio.Pair0(dial="inproc://dropped") as right:

        def work(rounds: int) -> None:
            for _ in range(rounds // 2):
                message = Message(BODY)
                message.header = b"header"
                view = message.body[10:20]
                del message
                assert view == BODY[10:20]
                message = Message(view).copy()
                left.send(message)
                view = right.recv_msg().body
                left.send(view)
                assert right.recv() == BODY[10:20]

        stays_flat(MILLION // 20, work)


def test_failed_allocations_leave_no_trace() -> None:
    """A message that is too large for memory leaves nothing of itself."""

    def work(rounds: int) -> None:
        for _ in range(rounds):
            with pytest.raises(nngio.NoMemory):
                Message(size=2**62)

    stays_flat(MILLION // 50, work)
