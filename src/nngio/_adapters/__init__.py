"""Event loops: how an operation that NNG has finished resumes the task that waits for it.

One `Adapter` for each running loop, made at the first awaitable call and ended with the loop. It has a completion queue in
C and watches the queue's descriptor; when that is readable, `drain` takes a batch of finished operations and resumes their
tasks. The verbs (`_channel_async.py`) know nothing of asyncio or trio; what they need of a loop is in `_adapter.py`.

`current()` finds the adapter of the loop that runs the caller. asyncio and trio are looked at only if the program has
imported them.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nngio._adapters._adapter import Adapter

__all__ = ["current"]

_sniffio: Any = None


def current() -> "Adapter":
    """The adapter of the event loop that runs the calling task. RuntimeError outside of one."""
    if "trio" in sys.modules and _in_trio():
        from nngio._adapters import _trio

        return _trio.current()
    loop = _running_loop()
    if loop is None:
        raise RuntimeError("no event loop is running here: an awaitable call needs asyncio or trio; `recv`, `send` do without")
    try:
        adapter: Adapter = loop._nngio  # set by the adapter when it is made
    except AttributeError:
        from nngio._adapters._asyncio import AsyncioAdapter

        return AsyncioAdapter(loop)
    return adapter


def _first_look() -> Any:
    """asyncio's running loop: none before the program has imported asyncio, whose own function is called from then on."""
    global _running_loop
    if "asyncio" not in sys.modules:
        return None
    from asyncio import _get_running_loop  # pyright: ignore[reportPrivateUsage]  # get_running_loop raises, which is slow

    _running_loop = _get_running_loop
    return _running_loop()


_running_loop: Callable[[], Any] = _first_look


def _in_trio() -> bool:
    """Whether a task of trio's is running in this thread, which in its guest mode may be inside asyncio."""
    global _sniffio
    if _sniffio is None:
        from sniffio import thread_local

        _sniffio = thread_local
    return bool(_sniffio.name == "trio")
