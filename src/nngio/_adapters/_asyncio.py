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
from collections import deque
from contextvars import Context
from functools import partial

from nngio._core import library
from nngio._core.adapter import Adapter, AsyncOperation
from nngio._core.library import python
from nngio._core.typing import Any

__all__ = ["AsyncioAdapter"]


class AsyncioOperation(python.Future, AsyncOperation):
    """An operation that a task of asyncio's can await. What a task calls most is in C: shim/verbs.c."""

    __slots__ = ()

    adapter: "AsyncioAdapter"

    def __init__(self, adapter: "AsyncioAdapter") -> None:
        super().__init__(adapter)
        self.loop = adapter.loop

    def cancel(self, msg: Any = None) -> bool:
        if not self.waited_for:
            return False
        self._cancelled = True
        self._message = msg
        self.adapter.give_up(self)
        return True

    def raise_cancelled(self) -> None:
        raise asyncio.CancelledError() if self._message is None else asyncio.CancelledError(self._message)


class AsyncioAdapter(Adapter):
    """One loop of asyncio's."""

    operation_class = AsyncioOperation

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        others = getattr(loop, "_ready", None)
        self.others = others if isinstance(others, deque) else None
        self.nests = hasattr(asyncio, "_nest_patched")
        # A reader that is within its call isn't called again; a task that it runs may wait for that, if it runs the loop.
        # It is kept as long as the loop is, so it is not in the context of the task that happens to be the first.
        Context().run(loop.add_reader, self.fd, partial(loop.call_soon, self.serve) if self.nests else self.serve)
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
            if not library.forked:  # the child's selector is its parent's too, which would hear of nothing any more
                loop.remove_reader(self.fd)
            del loop._nngio  # type: ignore[attr-defined]
            del loop.close
        super().close()

    def running(self) -> bool:
        return self.loop.is_running()

    def serve_again(self) -> None:
        self.loop.call_soon(self.serve_more)

    async def pause(self) -> None:
        self.paused += 1
        try:
            await asyncio.sleep(0)  # until here other tasks' calls pause too, so they keep their order
        finally:
            self.paused -= 1
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
