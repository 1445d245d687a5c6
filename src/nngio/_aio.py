"""`Aio`: one asynchronous operation at a time, as in C.

Life of an operation with a callback. `send_aio` enters the aio in `callbacks.pending`, which keeps it alive, and submits.
NNG's thread finishes it in C: message and result go into the operation, the operation on the queue. The callback thread
drains it, takes it out of `pending` and calls `_finish`: the operation is settled first, so that the callback may submit
anew, and `wait` goes by the Python side (`pending`, `_running`), so that it ends after the callback and not before.
Without a callback, `wait` sleeps in C and nothing else is involved.

The lock of an aio makes each of its methods one step for other threads: the message is taken off once, a submission that is
refused changes nothing, and an operation isn't aborted while it becomes the next one. `callbacks.lock` is taken inside
it, never the other way round; `wait` and the callback thread don't take it.
"""

import threading
from collections.abc import Callable

from nngio._core import callbacks, library
from nngio._core.adapter import reclaim
from nngio._core.duration import DEFAULT_MS, Timeout, milliseconds
from nngio._core.errors import BadState, ForkedError, InvalidArgument, NNGError, check
from nngio._core.library import AGAIN, BUSY, NULL, lib
from nngio._core.operation import LOOK, SLICE_MS
from nngio._core.owner import own_operation
from nngio._core.typing import Any
from nngio._message import Message

__all__ = ["Aio"]


class Aio:
    """An asynchronous operation: a send, a receive or a sleep, its message, its timeout and its result.

    `Aio(callback)` calls `callback(aio)` each time an operation has finished, on a thread of the library's own; callbacks
    run one after the other, so one that takes long holds up the others. In it the aio may be used again, `wait` may not be
    called. What it raises goes to `sys.unraisablehook`. Without a callback, `wait()` makes the operation synchronous.

    An aio does one operation at a time: starting another raises `BadState`. An aio without a callback that is dropped before
    you know that it has finished is canceled; a message that it had received by then waits for the next receive.

    `result()` and `get_msg()` tell what became of it. After a send that failed, for whatever reason, the message is yours
    again: `get_msg()` returns the very object that was sent, to be sent once more on the same or another socket. Each method
    may be called on any thread. NNG: `nng_aio_alloc`.
    """

    __slots__ = ("__weakref__", "_callback", "_lock", "_message", "_ms", "_op", "_owner", "_running", "_tag")

    def __init__(self, callback: "Callable[[Aio], object] | None" = None) -> None:
        if callback is not None and not callable(callback):
            raise TypeError(f"the callback must be callable with the Aio as its argument, not {type(callback).__name__}")
        self._callback = callback
        self._lock = threading.RLock()
        self._message: Message | None = None
        self._ms = DEFAULT_MS
        self._running = False
        self._tag = next(callbacks.tags)
        self._op = own_operation(self, SLICE_MS)
        if callback is not None:
            callbacks.attach(self._op, self._tag)

    # What C calls the aio's properties.

    def set_msg(self, message: Message | None) -> None:
        """Put a message on the aio, to be sent; None takes it off. NNG: `nng_aio_set_msg`.

        The aio and you both have it until it is sent. Raises `BadState` while the aio is busy.
        """
        if message is not None and not isinstance(message, Message):
            raise TypeError(f"an aio carries a Message, not {type(message).__name__}: set_msg(Message(data))")
        with self._its_lock:
            self._check_free("set_msg")
            self._message = message
            lib.nngio_op_drop(self._op)

    def get_msg(self) -> Message | None:
        """The message on the aio, or None: what a receive has brought, or what a send has not sent.

        None after a send that succeeded. Raises `BadState` while the aio is busy. NNG: `nng_aio_get_msg`.
        """
        with self._its_lock:
            self._check_idle("get_msg")
            if self._op.body != NULL:
                # The message is on the aio before it leaves the operation: whatever interrupts this finds it here again.
                message = Message._empty()
                self._message = message
                lib.nngio_op_take(self._op, message._box)
            elif self._message is not None and self._message._box.msg == NULL:
                self._message = None
            return self._message

    def set_timeout(self, timeout: Timeout) -> None:
        """Set the time that each later operation has, in seconds; None for ever, 0 now or never.

        DEFAULT, the initial value, is the socket's or context's own timeout. NNG: `nng_aio_set_timeout`.
        """
        self._ms = milliseconds(timeout)

    def result(self) -> int:
        """NNG's code for the operation that has finished: 0 for success. `check()` raises it instead.

        Raises `BadState` while the aio is busy. NNG: `nng_aio_result`.
        """
        with self._its_lock:
            self._check_idle("result")
            code: int = self._op.result
            return code

    def check(self) -> None:
        """Raise the operation's error, if it failed; the error carries the message that was not sent."""
        with self._its_lock:
            code = self.result()
            if code:
                raise NNGError.from_code(code, message=self.get_msg())

    @property
    def busy(self) -> bool:
        """Whether an operation is pending or its callback has not returned. NNG: `nng_aio_busy`."""
        if library.forked:
            raise ForkedError()
        if self._callback is not None:
            return self._running or self._tag in callbacks.pending
        return not self._look()

    # What C calls with the aio.

    def wait(self) -> None:
        """Wait until the aio is not busy: the operation has finished, and its callback has returned.

        Ctrl-C interrupts the wait, and leaves the operation as it is. Raises `BadState` in a callback, where it could wait
        for itself. NNG: `nng_aio_wait`.
        """
        if library.forked:
            raise ForkedError()
        if callbacks.on_callback_thread():
            raise BadState("wait() in a callback waits for the thread that it runs on; look at the result in the callback instead")
        if self._callback is None:
            while lib.nngio_wait(self._op) == AGAIN:
                handle = lib.nngio_op_waits_on(self._op)
                if handle != NULL:
                    reclaim(handle)
            self._look()
            return
        while not callbacks.stopping():
            ends = threading.Lock()
            ends.acquire()
            with callbacks.lock:
                if not self.busy:
                    return
                callbacks.waiting.append(ends)
            ends.acquire()  # until a callback has ended, whosever it is
        while lib.nngio_wait(self._op) == AGAIN:
            pass

    def cancel(self) -> None:
        """Ask for the pending operation to end with `Canceled`; it may have succeeded by then.

        Returns at once; the outcome arrives as always. A PUB's send is never canceled: it finishes at once anyway. Nothing
        happens when none is pending. NNG: `nng_aio_cancel`.
        """
        self.abort(lib.NNG_ECANCELED)

    def abort(self, error: int | type[NNGError]) -> None:
        """Ask for the pending operation to end with this code, or this class's. Otherwise as `cancel`. NNG:
        `nng_aio_abort`."""
        if not isinstance(error, int) and not (isinstance(error, type) and issubclass(error, NNGError)):
            raise TypeError(f"an operation is aborted with a code, a number, or with the class of an error, not with {error!r}")
        code = error if isinstance(error, int) else error._code
        if code <= 0:
            raise ValueError(f"an operation is aborted with one of NNG's error codes, a positive number, not {error!r}")
        with self._its_lock:
            check(lib.nngio_op_abort(self._op, code))

    def sleep(self, duration: float) -> None:
        """Start a sleep of so many seconds; the result is 0 afterwards, or `TimedOut` if the timeout is shorter.

        NNG: `nng_sleep_aio`.
        """
        ms = milliseconds(duration)
        if ms < 0:
            raise ValueError(f"a sleep takes a number of seconds, and comes to an end; got {duration!r}")
        with self._its_lock:
            self._check_free("sleep")
            self._start(lib.nngio_submit_sleep, ms, self._ms)

    # Called by sockets and contexts.

    def _send(self, handle: Any) -> None:
        with self._its_lock:
            self._check_free("send_aio")
            message = self.get_msg()
            if message is None:
                raise InvalidArgument("this aio has no message to send: call set_msg first")
            self._start(lib.nngio_submit_send, handle, message._to_send(), self._ms)

    def _recv(self, handle: Any) -> None:
        with self._its_lock:
            self._check_free("recv_aio")
            self._message = None
            if self._start(lib.nngio_submit_recv, handle, self._ms) == LOOK:
                reclaim(handle)
                self._start(lib.nngio_submit_recv, handle, self._ms)

    @property
    def _its_lock(self) -> threading.RLock:
        """The lock; in a forked child, where a thread that is no more may hold it, the error."""
        if library.forked:
            raise ForkedError()
        return self._lock

    def _start(self, submit: Any, *arguments: Any) -> int:
        if self._callback is None:
            code = submit(self._op, *arguments)
        else:
            with callbacks.lock:
                callbacks.pending[self._tag] = self  # if it is busy, the entry is there already
                try:
                    code = submit(self._op, *arguments)
                finally:  # Ctrl-C may come before it, and after it
                    if not lib.nngio_op_busy(self._op):
                        callbacks.pending.pop(self._tag, None)
        if code == BUSY:
            raise BadState(_BUSY)
        if code != LOOK:
            check(code)
        return int(code)

    def _finish(self) -> None:
        with callbacks.lock:
            self._running = True
            del callbacks.pending[self._tag]
            lib.nngio_op_settle(self._op)
        assert self._callback is not None
        callbacks.call(self._callback, self)
        with callbacks.lock:
            self._running = False
            for ends in callbacks.waiting:
                ends.release()
            callbacks.waiting.clear()

    def _look(self) -> bool:
        """Whether it is idle. If so, the caller knows now that a receive has finished: its message is his, to take or to
        drop."""
        with self._its_lock:
            idle = not lib.nngio_op_busy(self._op)
            if idle:
                self._op.kind = 0
            return idle

    def _check_idle(self, what: str) -> None:
        if not self._look():
            raise BadState(f"{what}: {_BUSY}")

    def _check_free(self, what: str) -> None:
        """Like `_check_idle`, for what changes the aio: while its callback runs, that is up to the callback alone."""
        self._check_idle(what)
        if self._running and not callbacks.on_callback_thread():  # looked at last: it is set before the aio becomes idle
            raise BadState(f"{what}: {_BUSY}")

    def __reduce__(self) -> Any:
        raise TypeError("an Aio can't be copied or pickled: it is one operation, of this process")

    def __repr__(self) -> str:
        state = "its parent's" if library.forked else "busy" if self.busy else "idle"
        return f"<nngio.Aio {state}>"


_BUSY = "this aio is busy with an operation; wait for it, or use another aio"
