"""The verbs for many messages at once: one crossing into C, one release of the GIL and one wakeup for all of them.

They follow the rules of the verbs for one (`_core/operation.py`, `_channel_async.py`). A batch stays in its operation, in C, until the
caller has it; its bodies are copied from there, or its messages moved, in one call. Each `except BaseException` is for what may
interrupt a verb, Ctrl-C and cancellation above all: it gives the batch back, and raises again.
"""

import time
from collections.abc import Callable, Iterable
from operator import index

from nngio._channel import Receiver, Sender, slot_to_send
from nngio._channel_async import send_error
from nngio._core.adapter import BATCH
from nngio._core.duration import DEFAULT, DEFAULT_MS, Timeout, milliseconds
from nngio._core.errors import NNGError
from nngio._core.library import AGAIN, NULL, ffi, lib, python
from nngio._core.loops import current
from nngio._core.operation import LOOK, PENDING, operation_in, take_slot
from nngio._core.typing import TYPE_CHECKING, Any
from nngio._message import Message, as_bytes_like

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ManyReceiver", "ManySender"]

OTHER: int = lib.NNGIO_OTHER
MOST: int = lib.NNGIO_BATCH
MAX = 2**31 - 1

_ADDRESS = ffi.typeof("uintptr_t")
_cast = ffi.cast
leave = python.leave
_batch_bytes: Callable[[int], list[bytes]] = python.batch_bytes
_send_bytes: Callable[[int, int, list[Any], int, int, int], int] = python.send_bytes


def _listed(messages: "Iterable[Buffer | Message]") -> "list[Buffer | Message]":
    """A list of our own."""
    if isinstance(messages, str | bytes | bytearray | memoryview | Message):
        raise TypeError(
            f"send_many takes an iterable of messages, and a {type(messages).__name__} is one message: use send, or a list of it"
        )
    return list(messages)


def _most(limit: int) -> int:
    try:
        limit = index(limit)
    except TypeError:
        raise TypeError(f"max is a number of messages, not {type(limit).__name__}") from None
    if limit < 1:
        raise ValueError(f"max is 1 or more, not {limit}")
    return min(limit, MAX)


class _Clock:
    """What is left of a call's timeout, in milliseconds."""

    __slots__ = ("_ends", "ms")

    def __init__(self, timeout: Timeout) -> None:
        self.ms = DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout)
        self._ends = time.monotonic() + self.ms / 1000 if self.ms > 0 else 0.0

    def look(self) -> None:
        if self.ms > 0:
            self.ms = max(0, round((self._ends - time.monotonic()) * 1000))


def _begin(op: Any, handle: Any, items: "list[Any]", start: int, most: int, ms: int) -> int:
    """Send what can be sent at once, from `start` on; `op.count` is the number of those sent."""
    code: int = _send_bytes(int(_cast(_ADDRESS, op)), int(_cast(_ADDRESS, handle)), items, start, most, ms)
    if code != OTHER:
        return code
    if isinstance(items[start], Message):
        code = lib.nngio_begin_send_box(op, handle, *_given(items, start), ms)
    else:  # no variable: a traceback would pin the item
        code = lib.nngio_begin_send(op, handle, *_given(items, start), ms)
    op.count = code == 0
    return code


def _given(items: "list[Any]", index: int) -> tuple[Any, ...]:
    """What C takes for an item, whose turn it is. The error of one that is refused has it and those behind it in `unsent`."""
    data = items[index]
    try:
        return (data._to_send(),) if isinstance(data, Message) else as_bytes_like(data)
    except Exception as error:
        vars(error)["unsent"] = items[index:]
        raise


def _unsent(error: NNGError, items: "list[Any]", sent: int) -> NNGError:
    error.unsent = items[sent:]
    return error


class ManySender(Sender):
    """Sends many messages in one call."""

    def send_many(self, messages: "Iterable[Buffer | Message]", *, timeout: Timeout = DEFAULT) -> None:
        """Send messages in their order, and return when NNG has accepted the last. Otherwise as `send`, one after the other.

        `timeout` is for all of them together; the option `send_timeout` is for each. Raises what `send` does; the error's `unsent`
        has what was not sent, in order, to be passed to `send_many` again, and its `message` the first of those. What is refused,
        such as a str, a `Message` that was sent or one that is being looked at, is so when its turn comes, and is the first in
        the `unsent` of that `TypeError`, `BadState` or `BufferError`. When Ctrl-C interrupts the call, a `Message` tells whether it
        was sent; bytes don't.
        """
        items = _listed(messages)
        clock = _Clock(timeout)
        slot = slot_to_send(items[0] if items else b"")
        op = operation_in(slot)
        handle = self._handle
        sent, code = 0, 0
        try:
            while sent < len(items):
                code = _begin(op, handle, items, sent, MOST, clock.ms)
                sent += op.count
                if code == PENDING:
                    code = lib.nngio_wait(op)
                    while code == AGAIN:
                        code = lib.nngio_wait(op)
                    sent += code == 0
                    clock.look()
                if code:
                    break
        except BaseException:
            lib.nngio_abandon(op, NULL)
            raise
        if code:
            raise _unsent(send_error(code, op, items[sent]), items, sent)
        slot.over = True

    async def asend_many(self, messages: "Iterable[Buffer | Message]", *, timeout: Timeout = DEFAULT) -> None:
        """Send messages in their order, and return when NNG has accepted the last. The awaitable `send_many`, on asyncio and trio.

        Cancellation: those that NNG had accepted by then are on their way; a `Message` tells, because it is empty when it was sent.
        """
        items = _listed(messages)
        clock = _Clock(timeout)
        adapter = current()
        handle = self._handle
        sent, code = 0, 0
        error: NNGError | None = None
        while sent < len(items):
            if adapter.over_budget() or adapter.looks_first:
                await adapter.pause()
            operation = adapter.take()
            c = operation.c
            try:
                code = _begin(c, handle, items, sent, BATCH, clock.ms)
                done: int = c.count
                sent += done
                adapter.budget -= done
                if code == PENDING:
                    await operation
                    code = c.result
                    sent += code == 0
                    clock.look()
                error = _unsent(send_error(code, c, items[sent]), items, sent) if code else None
            except BaseException:
                adapter.abandon(operation)
                raise
            operation.over = True
            if error is not None:
                raise error


class ManyReceiver(Receiver):
    """Receives many messages in one call."""

    def recv_many(self, max: int = 64, *, timeout: Timeout = DEFAULT) -> list[bytes]:  # noqa: A002  # what it is in the queue module
        """Receive what has arrived, up to `max` messages, and return their bodies; wait for the first if there is none.

        There is at least one. A batch ends early where its messages are long: with the one that makes it 128 KiB. Otherwise as
        `recv`.
        """
        most = _most(max)
        ms = DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout)
        slot = take_slot()
        op = operation_in(slot)
        address = int(_cast(_ADDRESS, op))
        try:
            code = lib.nngio_recv_many(op, self._handle, most, ms)
            if code < 0:
                code = self._go_on(slot, code, ms)
                if not code:
                    lib.nngio_recv_more(op, most)
            data: list[bytes] = [] if code else _batch_bytes(address)
        except BaseException:
            leave(slot)
            raise
        slot.over = True
        if code:
            raise NNGError.from_code(code)
        return data

    def recv_many_msg(self, max: int = 64, *, timeout: Timeout = DEFAULT) -> list[Message]:  # noqa: A002
        """Receive what has arrived as `Message` objects, without a copy of their bodies. Otherwise as `recv_many`."""
        most = _most(max)
        ms = DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout)
        slot = take_slot()
        op = operation_in(slot)
        messages: list[Message] = []
        boxes: list[Any] = []
        try:
            code = lib.nngio_recv_many(op, self._handle, most, ms)
            if code < 0:
                code = self._go_on(slot, code, ms)
                if not code:
                    lib.nngio_recv_more(op, most)
            if not code:
                messages = [Message._empty() for _ in range(op.count)]
                boxes = [message._box for message in messages]
                lib.nngio_batch_take(op, boxes)
        except BaseException:
            try:
                if boxes:
                    lib.nngio_batch_return(op, boxes)
            finally:  # a second signal may strike
                leave(slot)
            raise
        slot.over = True
        if code:
            raise NNGError.from_code(code)
        return messages

    async def arecv_many(self, max: int = 64, *, timeout: Timeout = DEFAULT) -> list[bytes]:  # noqa: A002
        """Receive what has arrived, up to `max` messages. The awaitable `recv_many`, on asyncio and trio.

        To be fair to other tasks it returns 32 at most. Cancellation: messages that have arrived by then are kept, and the next
        receives get them.
        """
        most = min(_most(max), BATCH)
        ms = DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout)
        adapter = current()
        if adapter.over_budget() or adapter.looks_first:
            await adapter.pause()
        operation = adapter.take()
        c = operation.c
        address = int(_cast(_ADDRESS, c))
        try:
            code = lib.nngio_begin_recv_many(c, self._handle, most, ms)
            if code == LOOK:
                adapter.look(self._handle)
                code = lib.nngio_begin_recv_many(c, self._handle, most, ms)
            if code == PENDING:
                operation.handle, operation.ms = self._handle, ms
                await operation
                code = c.result
                if not code:
                    lib.nngio_recv_more(c, most)
            data: list[bytes] = [] if code else _batch_bytes(address)
            adapter.budget -= len(data)
        except BaseException:
            adapter.abandon(operation)
            raise
        operation.over = True
        if code:
            raise NNGError.from_code(code)
        return data

    async def arecv_many_msg(self, max: int = 64, *, timeout: Timeout = DEFAULT) -> list[Message]:  # noqa: A002
        """Receive what has arrived as `Message` objects, without a copy of their bodies. Otherwise as `arecv_many`."""
        most = min(_most(max), BATCH)
        ms = DEFAULT_MS if timeout is DEFAULT else milliseconds(timeout)
        adapter = current()
        if adapter.over_budget() or adapter.looks_first:
            await adapter.pause()
        operation = adapter.take()
        c = operation.c
        messages: list[Message] = []
        boxes: list[Any] = []
        try:
            code = lib.nngio_begin_recv_many(c, self._handle, most, ms)
            if code == LOOK:
                adapter.look(self._handle)
                code = lib.nngio_begin_recv_many(c, self._handle, most, ms)
            if code == PENDING:
                operation.handle, operation.ms = self._handle, ms
                await operation
                code = c.result
                if not code:
                    lib.nngio_recv_more(c, most)
            if not code:
                messages = [Message._empty() for _ in range(c.count)]
                boxes = [message._box for message in messages]
                lib.nngio_batch_take(c, boxes)
            adapter.budget -= len(messages)
        except BaseException:
            try:
                if boxes:
                    lib.nngio_batch_return(c, boxes)
            finally:
                adapter.abandon(operation)
            raise
        operation.over = True
        if code:
            raise NNGError.from_code(code)
        return messages
