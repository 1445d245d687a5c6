"""The event loops that awaitable tests run on, behind one small interface.

A test takes `loop` (with the mark `on_all_loops`) and gives its coroutine function to `loop.run`, which passes it a `Tasks`:

    @on_all_loops
    def test_something(loop: Loop) -> None:
        async def main(tasks: Tasks) -> None:
            task = tasks.start(socket.arecv)
            await loop.sleep(0.01)
            task.cancel()
            outcome = await task.wait()
            assert outcome.cancelled

        loop.run(main)

A task never lets an exception out: `wait` tells how it ended. Cancelling goes by each library's own means: `Task.cancel` on
asyncio, a cancel scope around the task on trio and anyio. What is left when `main` ends is cancelled and waited for.
"""

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import pytest
import trio
import uvloop

__all__ = ["ASYNCIO", "LOOPS", "TRIO", "UVLOOP", "Expiry", "Loop", "Outcome", "Task", "Tasks", "on_all_loops"]

T = TypeVar("T")


@dataclass
class Outcome:
    """How a task ended: with a value, with an error, or cancelled."""

    value: Any = None
    error: Exception | None = None
    cancelled: bool = False

    def result(self) -> Any:
        """The value. Raises the error; RuntimeError when the task was cancelled."""
        if self.cancelled:
            raise RuntimeError("the task was cancelled")
        if self.error is not None:
            raise self.error
        return self.value


@dataclass
class Expiry:
    """What a time limit tells afterwards."""

    expired: bool = False


class Task(ABC):
    """A coroutine that runs beside the others."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.outcome is not None

    @abstractmethod
    def cancel(self) -> bool | None:
        """Ask for it to be cancelled. Does not wait. Where the library says whether it will be, this returns that."""

    @abstractmethod
    async def wait(self) -> Outcome:
        """Wait until it has ended; a cancellation of the caller's is not passed on to it."""


class Tasks(ABC):
    """Where a test starts its tasks."""

    @abstractmethod
    def start(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Task:
        """Start `await function(*arguments)` as a task. Like each library's own way to do it, this doesn't wait."""


class Loop(ABC):
    """An event loop, and the library that runs it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    @abstractmethod
    def run(self, main: Callable[[Tasks], Awaitable[T]]) -> T:
        """Run `main` in a fresh loop, and return what it returns."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Let other tasks run; for 0, each one that is ready once."""

    @abstractmethod
    def timeout(self, seconds: float) -> AbstractAsyncContextManager[Expiry]:
        """Cancel the body after so long, by the library's own means; afterwards `expired` tells whether it was cut short."""

    @property
    def over_asyncio(self) -> bool:
        """Whether it is asyncio that cancels in the end."""
        return self.name not in ("trio", "anyio-trio")


# asyncio: its own loop, uvloop's, and either with eager tasks.


class AsyncioTask(Task):
    def __init__(self, function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> None:
        super().__init__()
        self.task = asyncio.get_running_loop().create_task(self._run(function, arguments))

    async def _run(self, function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> None:
        try:
            self.outcome = Outcome(value=await function(*arguments))
        except Exception as error:
            self.outcome = Outcome(error=error)

    def cancel(self) -> bool:
        return self.task.cancel()

    async def wait(self) -> Outcome:
        await asyncio.wait([self.task])
        if self.outcome is None:
            assert self.task.cancelled()
            self.outcome = Outcome(cancelled=True)
        return self.outcome


class AsyncioTasks(Tasks):
    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()

    def start(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> AsyncioTask:
        task = AsyncioTask(function, arguments)
        self.tasks.add(task.task)
        task.task.add_done_callback(self.tasks.discard)
        return task

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        while self.tasks:
            await asyncio.wait(self.tasks)


class AsyncioLoop(Loop):
    def __init__(self, name: str, factory: Callable[[], asyncio.AbstractEventLoop], *, debug: bool = False) -> None:
        super().__init__(name)
        self.factory = factory
        self.debug = debug

    def run(self, main: Callable[[Tasks], Awaitable[T]]) -> T:
        errors: list[BaseException] = []

        def fail(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            # What the loop would only log; with uvloop that includes the end of the test's time.
            errors.append(context.get("exception") or RuntimeError(context["message"]))
            loop.stop()

        async def run_all() -> T:
            asyncio.get_running_loop().set_exception_handler(fail)
            tasks = AsyncioTasks()
            try:
                return await main(tasks)
            finally:
                await tasks.end()

        try:
            with asyncio.Runner(debug=self.debug, loop_factory=self.factory) as runner:
                return runner.run(run_all())
        finally:
            if errors:
                raise errors[0]

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[Expiry]:
        expiry = Expiry()
        scope = asyncio.timeout(seconds)
        try:
            async with scope:
                yield expiry
        except TimeoutError:
            if not scope.expired():
                raise
            expiry.expired = True


def _eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]  # Python 3.12
    return loop


# trio, and anyio on either: a task is a child of one nursery, in a cancel scope of its own.


class ScopedTask(Task):
    def __init__(self, scope: Any, done: Any) -> None:
        super().__init__()
        self.scope = scope
        self._done = done

    async def run(self, function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> None:
        outcome = Outcome()
        try:
            with self.scope:
                try:
                    outcome.value = await function(*arguments)
                except Exception as error:
                    outcome.error = error
            outcome.cancelled = self.scope.cancelled_caught
        finally:
            self.outcome = outcome
            self._done.set()

    def cancel(self) -> None:
        self.scope.cancel()

    async def wait(self) -> Outcome:
        await self._done.wait()
        assert self.outcome is not None
        return self.outcome


class ScopedTasks(Tasks):
    def __init__(self, library: Any, group: Any) -> None:
        self.library = library
        self.group = group

    def start(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> ScopedTask:
        task = ScopedTask(self.library.CancelScope(), self.library.Event())
        self.group.start_soon(task.run, function, arguments)
        return task


class TrioLoop(Loop):
    library: Any = trio

    def run(self, main: Callable[[Tasks], Awaitable[T]]) -> T:
        results: list[T] = []
        errors: list[Exception] = []

        async def run_all() -> None:
            async with self.open_group() as group:
                try:
                    results.append(await main(ScopedTasks(self.library, group)))
                except Exception as error:
                    errors.append(error)  # else the group would wrap it
                group.cancel_scope.cancel()

        self.run_library(run_all)
        if errors:
            raise errors[0]
        return results[0]

    def open_group(self) -> Any:
        return trio.open_nursery()

    def run_library(self, main: Callable[[], Awaitable[None]]) -> None:
        trio.run(main)

    async def sleep(self, seconds: float) -> None:
        await self.library.sleep(seconds)

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[Expiry]:
        expiry = Expiry()
        with self.library.move_on_after(seconds) as scope:
            yield expiry
        expiry.expired = scope.cancelled_caught


class AnyioLoop(TrioLoop):
    library = anyio

    def __init__(self, name: str, backend: str) -> None:
        super().__init__(name)
        self.backend = backend

    def open_group(self) -> Any:
        return anyio.create_task_group()

    def run_library(self, main: Callable[[], Awaitable[None]]) -> None:
        anyio.run(main, backend=self.backend)


ASYNCIO = AsyncioLoop("asyncio", asyncio.new_event_loop, debug=True)
UVLOOP = AsyncioLoop("uvloop", uvloop.new_event_loop)
TRIO = TrioLoop("trio")

LOOPS: list[Loop] = [ASYNCIO, UVLOOP, TRIO, AnyioLoop("anyio-asyncio", "asyncio"), AnyioLoop("anyio-trio", "trio")]
if sys.version_info >= (3, 12):
    LOOPS.insert(2, AsyncioLoop("eager", _eager_loop))

on_all_loops = pytest.mark.parametrize("loop", LOOPS, ids=repr)
