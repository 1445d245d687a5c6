"""Which event loop runs: finding the adapter of the loop that runs the caller.

asyncio and trio are looked at only if the program has imported them, and the adapter for a loop is loaded when that loop is
found running. This is the one place that knows which loops there are.
"""

import sys
from collections.abc import Callable

from nngio._core import library
from nngio._core.errors import ForkedError
from nngio._core.library import python
from nngio._core.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nngio._core.adapter import Adapter, AsyncOperation

__all__ = ["current", "running_asyncio", "runs_here", "take"]


def current() -> "Adapter":
    """The adapter of the event loop that runs the calling task. RuntimeError outside of one, ForkedError where it is the parent's."""
    if "trio" in sys.modules and _in_trio():
        return _current_of_trio()
    loop = running_asyncio()
    if loop is None:
        if library.forked:  # by a task, perhaps: asyncio says that its loop runs in the parent only
            raise ForkedError
        raise RuntimeError("no event loop is running here: an awaitable call needs asyncio or trio; `recv`, `send` do without")
    try:
        adapter: Adapter = loop._nngio  # set by the adapter when it is made
    except AttributeError:
        from nngio._adapters._asyncio import AsyncioAdapter

        return AsyncioAdapter(loop)
    return adapter


async def take() -> "AsyncOperation":
    """An idle operation of the loop that runs the calling task, which has had to give way to others if its turn was over."""
    adapter = current()
    if adapter.over_budget() or adapter.looks_first:
        await adapter.pause()
    return adapter.take()


def _first_look() -> Any:
    """Before the program has imported asyncio there is no loop; asyncio's own function is called from then on."""
    global running_asyncio
    if "asyncio" not in sys.modules:
        return None
    from asyncio import _get_running_loop  # pyright: ignore[reportPrivateUsage]  # get_running_loop raises, which is slow

    running_asyncio = _get_running_loop
    python.set_running_loop(_get_running_loop)
    return running_asyncio()


def runs_here() -> bool:
    """Whether the caller's thread is one that a loop runs in."""
    return running_asyncio() is not None or ("trio" in sys.modules and _in_trio())


running_asyncio: Callable[[], Any] = _first_look
"""The loop of asyncio's that runs in this thread, or None. To be called as an attribute of this module: it changes."""


def _first_trio() -> "Adapter":
    global _current_of_trio
    from nngio._adapters._trio import current

    _current_of_trio = current
    return _current_of_trio()


_current_of_trio: "Callable[[], Adapter]" = _first_trio
_sniffio: Any = None


def _in_trio() -> bool:
    """Whether a task of trio's is running in this thread, which in its guest mode may be inside asyncio."""
    global _sniffio
    if _sniffio is None:
        from sniffio import thread_local

        _sniffio = thread_local
        python.set_library(thread_local)
    return bool(_sniffio.name == "trio")
