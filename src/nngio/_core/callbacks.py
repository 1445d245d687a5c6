"""The thread that runs users' callbacks.

NNG finishes an operation on one of its own threads, where a callback in C pushes it on a queue. One Python thread,
started with the first callback, drains that queue and runs the callbacks one after the other, in the order in which the
operations finished. A callback that raises is reported by `sys.unraisablehook` and stops nothing. One that calls
`sys.exit` ends the program: the exit is raised in the main thread, and when that doesn't answer, because it is deep in
somebody else's C code, the process is ended from here.
"""

import atexit
import itertools
import os
import sys
import threading
from collections.abc import Callable

from nngio._core.errors import NoMemory, check
from nngio._core.library import NULL, before_exit, ffi, lib, python
from nngio._core.typing import Any, NoReturn, Protocol

__all__ = ["Finished", "attach", "lock", "on_callback_thread", "pending", "sources", "start", "tags", "waiting"]

BATCH = 64
GRACE_SECONDS = 0.3


class Finished(Protocol):
    """What can be in `pending`."""

    def _finish(self) -> None:
        """Run the callback. Called on the callback thread, when the operation is off the queue."""


pending: dict[int, Finished] = {}
"""By tag, whoever waits for an operation on the queue; the entry keeps it alive."""
tags = itertools.count(1)
lock = threading.RLock()
"""Held for `pending` and `waiting`. It is C's, like those that wait: a signal's handler raises where Python's own code runs, and would
leave a `threading.Condition` as no thread may find it."""
waiting: "list[threading.Lock]" = []
"""Who waits for a callback to end: released after each."""
sources: list[Callable[[], object]] = []
"""What else the thread looks at whenever its queue is woken; they let no exception out."""

_start = threading.Lock()
_runs = threading.Lock()  # taken by the thread for ever
_queue: Any = None
_thread: threading.Thread | None = None
_stopping = False


def attach(op: Any, tag: int) -> None:
    """Send an operation's results to the callback thread, under this tag."""
    check(lib.nngio_op_attach(op, start(), tag))


def start() -> Any:
    """Start the thread, if it doesn't run yet, and return its queue."""
    global _queue, _thread
    check(lib.nngio_init())
    with _start:
        if _queue is None:
            queue = ffi.gc(lib.nngio_queue_new(), lib.nngio_queue_free)
            if queue == NULL:
                raise NoMemory("no descriptor or memory for the callback queue")
            _queue = queue
        if _thread is None:
            import signal  # which takes time; and not by the thread, which could hold the lock of imports for ever when the program ends

            _thread = threading.Thread(target=_run, args=(signal,), name="nngio-callbacks", daemon=True)
            try:
                _thread.start()
            except BaseException:
                _thread = None  # after Ctrl-C it may run all the same, and says so then
                raise
    return _queue


def stopping() -> bool:
    """Whether the program ends, and no callback is called any more."""
    return _stopping


def on_callback_thread() -> bool:
    """Whether the caller is a callback."""
    return threading.current_thread() is _thread


def _run(signal: Any) -> None:
    global _thread
    if not _runs.acquire(blocking=False):
        return
    _thread = threading.current_thread()
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are the main thread's
    ops = ffi.new(f"nngio_op *[{BATCH}]")
    while not _stopping:
        lib.nngio_queue_wait(_queue, -1)
        for i in range(lib.nngio_queue_drain(_queue, ops, BATCH)):
            if _stopping:
                return
            finished = pending.get(lib.nngio_op_tag(ops[i]))
            if finished is not None:  # else whoever waited for it was interrupted when it had begun
                finished._finish()
            del finished  # nothing keeps it
        for look in sources:
            look()


def call(callback: Callable[[Any], object], argument: Any) -> None:
    """Run a user's callback, and let nothing of it through."""
    try:
        callback(argument)
    except SystemExit as request:
        _exit_program(request)
    except BaseException as error:
        python.report_unraisable(error, callback)


def _exit_program(request: SystemExit) -> None:
    """Raise SystemExit in the main thread; end the process when that thread doesn't get to it.

    The main thread may be in a destructor, or in a weak reference's callback. Python drops what is raised there, so it is raised
    again when that has ended.
    """

    def leave() -> None:
        if _program_runs():
            _answered.set()
            error = SystemExit(request.code)
            sys.unraisablehook = python.insist(error, leave, sys.unraisablehook)
            raise error

    _answered.clear()
    if _stopping:
        return
    python.call_in_main_thread(leave)
    if not _answered.wait(GRACE_SECONDS):
        _end_process(request.code)


_answered = threading.Event()
"""The program is about to exit, so no callback has to see to that."""


def _program_runs() -> bool:
    """Called in the main thread: whether what it runs is the program, and not what Python does at its end, where an exception
    would only be complained of."""
    frame = sys._getframe(2) if sys._getframe(1).f_back else None
    if frame is None or not threading.main_thread().is_alive():
        return False
    while frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code is not _WAITS_FOR_THREADS


_WAITS_FOR_THREADS = threading._shutdown.__code__  # type: ignore[attr-defined]  # the first thing that Python runs at its end


def _end_process(code: object) -> NoReturn:
    status = 0 if code is None else code if isinstance(code, int) else 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
    try:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        lib.nngio_end()
    finally:
        os._exit(status & 0xFF)


def _stop() -> None:
    """At exit: no callback starts any more; the one that runs has a moment to end."""
    global _stopping
    _stopping = True
    _answered.set()
    if _thread is not None and threading.current_thread() is not _thread:
        lib.nngio_queue_wake(_queue)
        _thread.join(0.2)


before_exit.append(_stop)
