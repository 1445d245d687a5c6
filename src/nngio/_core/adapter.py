"""Adapters: how an operation that NNG has finished resumes the task that waits for it, on any event loop.

One `Adapter` for each running loop, made at the first awaitable call (see `loops.py`) and ended with the loop. It has a
completion queue in C and watches the queue's descriptor; when that is readable, `serve` takes a batch of finished operations
and resumes their tasks. Here is what all loops share, and the contract for the rest. An adapter for a loop is a subclass that

- makes the loop call `serve()`, on the loop's thread, whenever the descriptor `self.fd` is readable, for as long as the
  loop lives, and `close()` when it ends;
- has an `operation_class` whose instances can be awaited when the operation is pending, and are resumed by `serve()`;
- has `pause()`: let every other task that is ready run once.

Life of an operation. `take()` gives an idle one; one call into C begins it. Either that finishes it at once, or it is
pending and the task awaits it. NNG's thread puts it on the queue, `serve` settles it in C, marks it `ready`, and resumes the
task. The task reads the result and hands it back by setting `over`. A task that is interrupted instead, by whatever
exception, calls `abandon()`, which cancels the operation in C, waits the microseconds until NNG has let go of it, and keeps
a message that had arrived for the next receive: after it, nothing is undecided. The operation may still be on the queue
then; it is `stale` until `serve` has seen it, and only then used again.

Fairness. A call that finishes at once doesn't give way to other tasks, so each one takes from `budget`; at 0, or after
`turn_seconds`, the next call pauses first. Resuming tasks takes from the same budget, so a batch of them can't starve the
rest of the loop either.

Attending. A round of a loop costs more than a message, and waking a thread that sleeps in its selector more than both. So when a
batch has been served, and nothing else is ready to run, the loop's thread looks at the queue itself for a moment before it goes back
to sleep (shim/spin.c says for how long, and when not); NNG's threads need not write to the descriptor then. A turn ends as ever.

Loops that stand still. A loop that is stopped, and neither closed nor run on, would keep the messages that its receives are
given. So a receive elsewhere on such a socket first lets such loops `lend` (C asks for it: LOOK): their receives on that
socket are abandoned, what they had been given is received before anything else, and they are begun anew, in the same order,
when the loop runs again. What a turn had no time to resume goes back on the queue, where it can be lent as well. A loop that is
dropped without having been closed leaves its `Estate`.

An adapter and its operations belong to their loop's thread. Only `lend`, and `abandon`, may be called elsewhere: the latter by
the garbage collector, when it closes a coroutine whose loop is gone. It may do so at any moment, hence the reentrant lock.
"""

import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Generator

from nngio._core.errors import ForkedError, NoMemory, check
from nngio._core.library import NULL, ffi, lib, python
from nngio._core.operation import LOOK, PENDING
from nngio._core.owner import own_operation
from nngio._core.typing import Any, ClassVar

__all__ = ["BATCH", "CANCELED", "Adapter", "AsyncOperation", "clock", "reclaim"]

clock = python.clock
CANCELED: int = lib.NNG_ECANCELED
BATCH = 32  # half of what may pass between two turns of another task, because trio may let one run twice before another
BUDGET = BATCH - 1  # calls of a turn, after its first
NEVER = float("inf")


class AsyncOperation(python.Operation, ABC):
    """An operation of an adapter's: the C side, and what resumes the task that awaits it.

    In C it has, beside others, `ready`, whether the task may go on; `aborted`, whether that is being cancelled; and `handle` and `ms`,
    the timeout, of a pending receive, to begin it anew. Setting `over` makes it idle: the caller has what it had.
    """

    __slots__ = ()

    def __init__(self, adapter: "Adapter") -> None:
        self.adapter = adapter
        self.c = own_operation(self, -1)
        self.bind(self._owner, adapter)

    @abstractmethod
    def __await__(self) -> Generator[Any, Any, None]:
        """Wait until the operation is ready. Raises what the loop raises to cancel the task."""


class Estate:
    """What an adapter has in C. It outlives an adapter that is collected, until it has given back what it holds.

    The collector takes the adapter's reference away before anything else, and lets other threads run while it destroys one
    operation after the other: a receive in such a thread, which asks for what loops hold, still finds it here.
    """

    def __init__(self, adapter: "Adapter") -> None:
        self.adapter = weakref.ref(adapter, _inherit)
        self.lock = threading.RLock()  # between the loop's thread and one that lends
        self.operations: list[Any] = []
        self.owners: list[Any] = []
        estates[self.adapter] = self

    def add(self, operation: AsyncOperation) -> None:
        """Keep an operation's C half."""
        self.operations.append(operation.c)
        self.owners.append(operation._owner)

    def abandon(self) -> None:
        """Cancel what is pending, and keep what had arrived for others."""
        with self.lock:
            lib.nngio_abandon_all(self.operations, len(self.operations))
            self.operations = []
            self.owners = []


estates: "dict[weakref.ref[Adapter], Estate]" = {}
"""Of all adapters that there are. Copying a dict's values is one step for other threads, which a WeakSet's iteration isn't."""


def _after_fork_in_child() -> None:
    """A thread that the child doesn't have may have held a lock."""
    for reference, estate in estates.items():
        estate.lock = threading.RLock()
        if adapter := reference():
            adapter._lock = estate.lock


os.register_at_fork(after_in_child=_after_fork_in_child)


def _inherit(reference: "weakref.ref[Any]", estates: "dict[weakref.ref[Any], Estate]" = estates) -> None:
    estates[reference].abandon()
    del estates[reference]


class Adapter(python.Turns, ABC):
    """One event loop's side of NNG."""

    operation_class: ClassVar[type[AsyncOperation]]
    turn_seconds: ClassVar[float] = 0.0005

    def __init__(self) -> None:
        self.queue = ffi.gc(lib.nngio_queue_new(), lib.nngio_queue_free)
        if self.queue == NULL:
            raise ForkedError if lib.nngio_forked() else NoMemory("no descriptor or memory for the loop's completion queue")
        self.fd: int = lib.nngio_queue_fd(self.queue)
        self.operations = []
        self.idle = []
        self.others = None
        self.bind(int(ffi.cast("uintptr_t", self.queue)), BUDGET, self.turn_seconds)
        self.new_turn()
        self._estate = Estate(self)
        self._lock = self._estate.lock

    # Called by verbs.

    def take(self) -> AsyncOperation:
        """An idle operation."""
        operation: AsyncOperation = self.take_idle() or self._make()
        return operation

    def _make(self) -> AsyncOperation:
        operation = self.operation_class(self)
        check(lib.nngio_op_attach(operation.c, self.queue, len(self.operations)))
        self.operations.append(operation)
        self._estate.add(operation)
        return operation

    def abandon(self, operation: AsyncOperation, box: Any = NULL) -> None:
        """End an operation whose task was interrupted, whatever state it is in."""
        with self._lock:
            operation.ready = operation.lent = operation.aborted = False
            lib.nngio_abandon(operation.c, box)
            if lib.nngio_op_busy(operation.c):
                operation.stale = True
            else:
                operation.over = True

    def abort(self, operation: AsyncOperation) -> None:
        """Ask for a pending operation to end. Its task is resumed as ever: with the result Canceled, or what came before that.

        It is not begun anew meanwhile: it counts as `aborted` until it is abandoned, or the loop says that its task goes on.
        """
        with self._lock:
            if not operation.lent:
                lib.nngio_op_abort(operation.c, CANCELED)
            operation.lent = False
            operation.aborted = True

    def give_up(self, operation: AsyncOperation) -> None:
        """The same, finished or not, if it is certain that the task will abandon it then.

        What it was given, or is given now, is for the next receive at once: one that another task begins before this one has
        its turn would overtake it.
        """
        with self._lock:
            if not operation.lent:
                lib.nngio_op_give_up(operation.c)
            operation.lent = False
            operation.aborted = True

    def expire(self, operation: AsyncOperation) -> None:
        """The same when its time is up: the result is TimedOut, or what came before that."""
        lib.nngio_op_abort(operation.c, lib.NNG_ETIMEDOUT)

    def look(self, handle: Any) -> None:
        """For a receive that is told to LOOK. The time that it takes is not the task's: it would lose its place to others."""
        reclaim(handle)
        self.turn_ends = clock() + self.turn_seconds

    def new_turn(self) -> None:
        """The loop has been round."""
        self.budget = BUDGET
        self.turn_ends = NEVER

    # Called by loops.

    def attend(self) -> bool:
        """Wait a moment for operations to finish. True if some have: there may be nothing to tell the loop then but the caller."""
        return self.queue is not None and bool(lib.nngio_queue_attend(self.queue))

    def mind(self) -> None:
        """From now on the loop looks whether something has finished, before it sleeps, and the descriptor is left as it is."""
        lib.nngio_queue_mind(self.queue)

    def finds(self) -> bool:
        """Whether something has finished."""
        return bool(lib.nngio_queue_finds(self.queue))

    def leave(self) -> None:
        """The loop is going to sleep until the descriptor is readable."""
        lib.nngio_queue_leave(self.queue)

    def begin_anew(self, finished: list[AsyncOperation]) -> list[AsyncOperation]:
        """Begin those of them anew that had been lent. Returns those that have finished."""
        for operation in finished:
            if operation.lent:
                operation.ready = self._begin_anew(operation) != PENDING
        return [operation for operation in finished if operation.ready]

    def _begin_anew(self, operation: AsyncOperation) -> int:
        operation.lent = False
        code: int = LOOK
        while code == LOOK:
            code = lib.nngio_begin_recv(operation.c, operation.handle, operation.ms)
            if code == LOOK:
                reclaim(operation.handle)
        if code != PENDING:  # else it may have its result already
            operation.c.result = code
        return code

    def lend(self, handle: Any) -> None:
        """Called on any thread: if the loop stands still, give back what its receives on this handle have or would get."""
        with self._lock:
            if self.running():
                return
            lent = [operation for operation in self.operations if lib.nngio_op_receives_on(operation.c, handle)]
            if lent:
                lib.nngio_lend(self.queue, [operation.c for operation in lent], len(lent))
            for operation in lent:
                operation.lent = not operation.aborted

    def close(self) -> None:
        """The loop ends: cancel what is pending, and keep what had arrived for others."""
        with self._lock:
            self._estate.abandon()
            self.operations = []
            self.idle = []
            self.bind(0, BUDGET, self.turn_seconds)
            self.queue = None

    # What a loop has to bring.

    @abstractmethod
    def running(self) -> bool:
        """Whether the loop runs, and so will see to what its operations bring. Asked on any thread."""

    looks_first: ClassVar[bool] = False
    """Whether `pause` is to be awaited before every call, because the loop's tasks look there whether they are cancelled."""

    @abstractmethod
    def pause(self) -> Awaitable[None]:
        """Before a call: if the turn is over, let every other task that is ready run, and begin a new turn."""

    @abstractmethod
    async def within(self, operation: AsyncOperation, seconds: float | None) -> None:
        """Await an operation, for so long at most: abort it with TimedOut then."""

    @abstractmethod
    async def finish(self, operation: AsyncOperation) -> None:
        """Wait for an operation that must not be cancelled; a cancellation meanwhile is raised afterwards."""

    @abstractmethod
    async def in_thread(self, function: Any, *arguments: Any) -> Any:
        """Call a function that may block in another thread, and wait for it; not cancellable."""


def reclaim(handle: Any) -> None:
    """For a receive that is told to LOOK: let loops that stand still give back what they hold of this handle's messages."""
    for estate in list(estates.values()):
        adapter = estate.adapter()
        if adapter is not None:
            adapter.lend(handle)
        else:
            estate.abandon()
