"""asyncio, and loops that keep to its interface, such as uvloop.

An operation is its own future. A task that awaits it is given the operation itself, with the attributes that tasks look for
in a future; the task leaves its wakeup function there, and `resume` calls that directly, in the callback that found the
descriptor readable. A real future would put the wakeup on the loop's list, for one more round of the loop and one more look
at the selector for each message.

Cancellation. `Task.cancel` calls `cancel()` here, and that gives the operation up in C: it is aborted, which takes NNG's threads
some microseconds, and a message that it has, or is given after all, goes to the next receive. When it comes back through the
queue, the task is woken, `result()` raises the CancelledError in it, and the verb abandons the operation. The loop doesn't wait
meanwhile, and where many tasks are cancelled together, none is given a message that another gives back. Once the task is being
woken, `cancel()` says no, and the task raises the CancelledError by itself: that ends in `abandon` too.
"""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from functools import partial
from time import monotonic
from typing import Any

from nngio._core.adapter import Adapter, AsyncOperation

__all__ = ["AsyncioAdapter"]


class AsyncioOperation(AsyncOperation):
    """An operation that a task of asyncio's can await."""

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_message", "_suspended", "_wakeup")

    adapter: "AsyncioAdapter"

    def __init__(self, adapter: "AsyncioAdapter") -> None:
        super().__init__(adapter)
        self._asyncio_future_blocking = False
        self._wakeup: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._cancelled = False
        self._message: Any = None
        self._suspended = False

    # The task's side: an iterator that yields itself once.

    def __await__(self) -> Generator[Any, Any, None]:
        self._suspended = False
        self._cancelled = False
        return self  # type: ignore[return-value]  # an iterator is enough for `await`

    def __iter__(self) -> "AsyncioOperation":
        return self

    def __next__(self) -> "AsyncioOperation":
        if self._suspended or self.ready:
            raise StopIteration
        self._suspended = True
        self._asyncio_future_blocking = True
        return self

    # What a task wants of a future.

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self.adapter.loop

    def add_done_callback(self, wakeup: Callable[[Any], object], *, context: Context | None = None) -> None:
        self._wakeup = wakeup
        self._context = context

    def remove_done_callback(self, _wakeup: Callable[[Any], object]) -> int:
        self._wakeup = None
        return 1

    def cancel(self, msg: Any = None) -> bool:
        if self._wakeup is None:
            return False
        self._cancelled = True
        self._message = msg
        self.adapter.give_up(self)
        return True

    def cancelled(self) -> bool:
        return self._cancelled

    def done(self) -> bool:
        return self.ready or self._cancelled

    def result(self) -> None:
        if self._cancelled:
            raise asyncio.CancelledError() if self._message is None else asyncio.CancelledError(self._message)

    def exception(self) -> BaseException | None:
        return None


class AsyncioAdapter(Adapter):
    """One loop of asyncio's."""

    operation_class = AsyncioOperation

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        loop.add_reader(self.fd, self.drain)
        self._close_loop = loop.close
        # The adapter lives and ends with its loop; there is no other way to hear of either.
        loop._nngio = self  # type: ignore[attr-defined]
        loop.close = self._loop_closes  # type: ignore[method-assign]

    def _loop_closes(self) -> None:
        if not self.loop.is_running():
            self.close()
        self._close_loop()

    def close(self) -> None:
        if self.queue is not None:
            loop = self.loop
            loop.remove_reader(self.fd)
            del loop._nngio  # type: ignore[attr-defined]
            del loop.close
        super().close()

    def running(self) -> bool:
        return self.loop.is_running()

    def resume(self, finished: list[AsyncOperation]) -> None:
        until = self.turn_ends = monotonic() + self.turn_seconds
        for position, operation in enumerate(finished, 1):
            assert isinstance(operation, AsyncioOperation)
            wakeup, context = operation._wakeup, operation._context
            if wakeup is None or not operation.ready:
                continue  # its task was interrupted
            operation._wakeup = None
            try:
                assert context is not None
                context.run(wakeup, operation)
            except BaseException:  # KeyboardInterrupt, SystemExit: they end the loop, but not the other tasks
                self.put_back(finished[position:])
                raise
            self.budget -= 1
            if self.budget < 0 or monotonic() > until:  # a task that was resumed may have begun a new turn for itself
                self.put_back(finished[position:])
                return

    async def pause(self) -> None:
        await asyncio.sleep(0)  # until here other tasks' calls pause too, so they keep their order
        self.new_turn()

    async def within(self, operation: AsyncOperation, seconds: float | None) -> None:
        if seconds is None:
            return await operation
        timer = self.loop.call_later(seconds, self.expire, operation)
        try:
            await operation
        finally:
            timer.cancel()

    async def finish(self, operation: AsyncOperation) -> None:
        cancelled: asyncio.CancelledError | None = None
        while not operation.ready:
            try:
                await operation
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def in_thread(self, function: Any, *arguments: Any) -> Any:
        future = self.loop.run_in_executor(None, partial(function, *arguments))
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            if not future.cancelled():
                future.exception()  # nobody will ask for it
            raise cancelled
        return future.result()
