"""trio: one adapter for each run, fed by a system task.

Cancellation goes by trio's own protocol, as in its `wait_overlapped`. `_abort` asks C to end the operation, and leaves it to the
system task to resume the task: with Cancelled if the operation did end so; if it had finished before, with the result, and trio
raises Cancelled at the next checkpoint. The run doesn't wait meanwhile.

A run stands still when it is the guest of a loop that does; for asyncio's loops that can be told.
"""

from collections.abc import Awaitable, Callable, Generator

import trio
from outcome import capture
from trio.lowlevel import Abort

from nngio._core import library, loops
from nngio._core.adapter import CANCELED, Adapter, AsyncOperation, clock
from nngio._core.errors import TimedOut
from nngio._core.typing import Any

__all__ = ["TrioAdapter", "current"]


class TrioOperation(AsyncOperation):
    """An operation that a task of trio's can await."""

    __slots__ = ("raise_cancel", "task")

    def __init__(self, adapter: "TrioAdapter") -> None:
        super().__init__(adapter)
        self.task: trio.lowlevel.Task | None = None
        self.raise_cancel: Callable[[], Any] | None = None

    def __await__(self) -> Generator[Any, Any, None]:
        self.task = trio.lowlevel.current_task()
        self.raise_cancel = None
        return trio.lowlevel.wait_task_rescheduled(self._abort).__await__()

    def _abort(self, raise_cancel: Callable[[], Any]) -> Abort:
        if self.adapter.queue is None:
            return Abort.SUCCEEDED  # the run ends, and the system task was the first to be cancelled
        if not self.ready:
            self.raise_cancel = raise_cancel
            self.adapter.abort(self)
        return Abort.FAILED


class Attendant(trio.abc.Instrument):
    """Sees to what finishes while trio's tasks run, and waits a moment for more when none is left to run.

    That is after the last one's step: what is rescheduled then is run in the next round, and trio doesn't sleep before.
    """

    def __init__(self, adapter: "TrioAdapter") -> None:
        self._adapter = adapter
        self._waiting: float = float("inf")
        """How many tasks are to run; that is known after the first round."""
        self._served = False
        """Whether it has been done in this round."""

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        del task
        self._waiting += 1

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        del task
        self._waiting -= 1

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        del task
        if self._waiting <= 0 and self._adapter.attend():
            self._adapter.serve()
            self._served = True

    def before_io_wait(self, timeout: float) -> None:
        if timeout > 0:
            self._waiting = 0
            self._adapter.leave()
            return
        if self._waiting > 2**30:
            self._waiting = trio.lowlevel.current_statistics().tasks_runnable
        if not self._served and self._adapter.finds():
            self._adapter.serve()  # in spite of tasks that never rest
        self._served = False


class TrioAdapter(Adapter):
    """One run of trio's."""

    operation_class = TrioOperation
    turn_seconds = 0.00025  # trio runs what is ready in any order, so one task may have two turns before another has one

    def __init__(self) -> None:
        super().__init__()
        self.host = loops.running_asyncio()  # or None, when the run is nobody's guest
        self.finishing: set[AsyncOperation] = set()

    async def watch(self) -> None:
        """The system task: drain whenever there is something, until the run ends."""
        attendant = Attendant(self)
        trio.lowlevel.add_instrument(attendant)
        try:
            while True:
                await trio.lowlevel.wait_readable(self.fd)
                self.serve()
        finally:
            trio.lowlevel.remove_instrument(attendant)
            self.close()

    def close(self) -> None:
        if self.queue is not None and not library.forked:  # the child's selector is its parent's too
            trio.lowlevel.notify_closing(self.fd)
        operations = self.operations
        super().close()
        for operation in operations:  # of other system tasks, which are being cancelled too
            assert isinstance(operation, TrioOperation)
            if operation.task is not None and operation in self.finishing:
                trio.lowlevel.reschedule(operation.task)  # nothing would wake it any more, nor cancel it: C goes on by itself
            elif operation.task is not None and operation.raise_cancel is not None:
                trio.lowlevel.reschedule(operation.task, capture(operation.raise_cancel))

    def running(self) -> bool:
        return self.host is None or self.host.is_running()  # until the system task ends, and that closes it

    def serve(self) -> None:
        self.new_turn()
        self.mind()
        with self._lock:
            finished = self.settle()
        for operation in self.begin_anew(finished) if self.some_lent else finished:
            assert isinstance(operation, TrioOperation)
            task, operation.task = operation.task, None
            if task is None or not operation.ready:
                continue
            operation.aborted = False
            if operation.raise_cancel is not None and operation.c.result == CANCELED:
                trio.lowlevel.reschedule(task, capture(operation.raise_cancel))
            else:
                trio.lowlevel.reschedule(task)

    looks_first = True

    def pause(self) -> Awaitable[None]:
        if self.budget >= 0 and clock() <= self.turn_ends:
            return trio.lowlevel.checkpoint_if_cancelled()
        self.new_turn()
        return trio.lowlevel.checkpoint()

    async def within(self, operation: AsyncOperation, seconds: float | None) -> None:
        with trio.move_on_after(float("inf") if seconds is None else seconds):
            await operation
            return
        raise TimedOut

    async def finish(self, operation: AsyncOperation) -> None:
        self.finishing.add(operation)
        try:
            with trio.CancelScope(shield=True):
                await operation
        finally:
            self.finishing.discard(operation)
        await trio.lowlevel.checkpoint_if_cancelled()

    async def in_thread(self, function: Any, *arguments: Any) -> Any:
        # Not cancelled before it has begun, which is what the thread would be: what closes something does so. The caller is afterwards.
        result: Any = None
        with trio.CancelScope(shield=True):
            result = await trio.to_thread.run_sync(lambda: function(*arguments))
        await trio.lowlevel.checkpoint_if_cancelled()
        return result


_adapter: trio.lowlevel.RunVar[TrioAdapter] = trio.lowlevel.RunVar("nngio")


def current() -> TrioAdapter:
    """The adapter of the run that the caller is a task of."""
    try:
        return _adapter.get()
    except LookupError:
        adapter = TrioAdapter()
        trio.lowlevel.spawn_system_task(adapter.watch, name="nngio")
        _adapter.set(adapter)
        return adapter
