"""trio: one adapter for each run, fed by a system task.

Cancellation goes by trio's own protocol. `abort` cancels the operation in C and learns the outcome at once: if NNG let go of
it, the abort has succeeded and trio raises Cancelled; if it had finished, the abort has failed, the system task will resume
the task with the result, and trio raises Cancelled at the next checkpoint.
"""

from collections.abc import Awaitable, Generator
from time import monotonic
from typing import Any

import trio
from trio.lowlevel import Abort

from nngio._adapters._adapter import Adapter, AsyncOperation
from nngio._core.errors import TimedOut
from nngio._core.library import lib

__all__ = ["TrioAdapter", "current"]


class TrioOperation(AsyncOperation):
    """An operation that a task of trio's can await."""

    __slots__ = ("task",)

    def __init__(self, adapter: "TrioAdapter", c: Any) -> None:
        super().__init__(adapter, c)
        self.task: trio.lowlevel.Task | None = None

    def __await__(self) -> Generator[Any, Any, None]:
        self.task = trio.lowlevel.current_task()
        return trio.lowlevel.wait_task_rescheduled(self._abort).__await__()

    def _abort(self, _raise_cancel: object) -> Abort:
        if self.ready or lib.nngio_cancel(self.c) != lib.NNG_ECANCELED:
            return Abort.FAILED
        self.task = None
        return Abort.SUCCEEDED


class TrioAdapter(Adapter):
    """One run of trio's."""

    operation_class = TrioOperation
    turn_seconds = 0.00025  # trio runs what is ready in any order, so one task may have two turns before another has one

    async def watch(self) -> None:
        """The system task: drain whenever there is something, until the run ends."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self.fd)
                self.drain()
        finally:
            self.close()

    def close(self) -> None:
        if self.queue is not None:
            trio.lowlevel.notify_closing(self.fd)
        super().close()

    def running(self) -> bool:
        return True  # until the system task ends, and that closes it

    def resume(self, finished: list[AsyncOperation]) -> None:
        for operation in finished:
            assert isinstance(operation, TrioOperation)
            task, operation.task = operation.task, None
            if task is not None and operation.ready:
                trio.lowlevel.reschedule(task)

    looks_first = True

    def pause(self) -> Awaitable[None]:
        if self.budget >= 0 and monotonic() <= self.turn_ends:
            return trio.lowlevel.checkpoint_if_cancelled()
        self.new_turn()
        return trio.lowlevel.checkpoint()

    async def within(self, operation: AsyncOperation, seconds: float | None) -> None:
        with trio.move_on_after(float("inf") if seconds is None else seconds):
            await operation
            return
        raise TimedOut

    async def finish(self, operation: AsyncOperation) -> None:
        with trio.CancelScope(shield=True):
            await operation
        await trio.lowlevel.checkpoint_if_cancelled()

    async def in_thread(self, function: Any, *arguments: Any) -> Any:
        return await trio.to_thread.run_sync(lambda: function(*arguments))


_adapter: trio.lowlevel.RunVar[TrioAdapter] = trio.lowlevel.RunVar("nngio")


def current() -> TrioAdapter:
    """The adapter of the run that the caller is a task of."""
    try:
        return _adapter.get()
    except LookupError:
        adapter = TrioAdapter()
        _adapter.set(adapter)
        trio.lowlevel.spawn_system_task(adapter.watch, name="nngio")
        return adapter
