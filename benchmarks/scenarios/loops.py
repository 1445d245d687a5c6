"""asyncio, uvloop and trio, as far as the scenarios need them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

Main = Callable[[], Awaitable[Any]]


class Loop(Protocol):
    """What runs tasks."""

    def run(self, main: Main) -> Any:
        """Run a loop until `main` is over."""

    async def together(self, tasks: Sequence[Main], main: Main) -> None:
        """Run `main` in the current task beside these, and wait until all are over."""

    async def beside(self, tasks: Sequence[Main], main: Main) -> Any:
        """Run `main` in the current task beside these, which never end."""

    def event(self) -> Any:
        """An `Event`."""


class AsyncioLoop:
    """asyncio with its own loop, or with uvloop's."""

    def __init__(self, uvloop: bool) -> None:
        self.factory: Any = None
        if uvloop:
            from uvloop import new_event_loop

            self.factory = new_event_loop

    def run(self, main: Main) -> Any:
        with asyncio.Runner(loop_factory=self.factory) as runner:
            return runner.run(self._as_coroutine(main))

    async def _as_coroutine(self, main: Main) -> Any:
        return await main()

    async def together(self, tasks: Sequence[Main], main: Main) -> None:
        others = [asyncio.create_task(self._as_coroutine(task)) for task in tasks]
        await main()
        for other in others:
            await other

    async def beside(self, tasks: Sequence[Main], main: Main) -> Any:
        others = [asyncio.create_task(self._as_coroutine(task)) for task in tasks]
        result = await main()
        del others
        return result

    def event(self) -> asyncio.Event:
        return asyncio.Event()


class TrioLoop:
    """trio."""

    def run(self, main: Main) -> Any:
        import trio

        return trio.run(main)

    async def together(self, tasks: Sequence[Main], main: Main) -> None:
        import trio

        async with trio.open_nursery() as nursery:
            for task in tasks:
                nursery.start_soon(task)
            await main()

    async def beside(self, tasks: Sequence[Main], main: Main) -> Any:
        import trio

        async with trio.open_nursery() as nursery:
            for task in tasks:
                nursery.start_soon(task)
            result = await main()
            nursery.cancel_scope.cancel()
        return result

    def event(self) -> Any:
        import trio

        return trio.Event()


def loop_for(mode: str) -> Loop:
    return TrioLoop() if mode == "trio" else AsyncioLoop(uvloop=mode == "uvloop")
