"""What can be set before NNG starts."""

from nngio._core.errors import BadState, InvalidArgument, check
from nngio._core.library import lib as _lib
from nngio._core.nng import lib

__all__ = ["init"]

FEWEST_TASK_THREADS = 2
LONGEST_SPIN = 0.01
MOST_THREADS = 256


def init(
    *,
    num_task_threads: int | None = None,
    num_expire_threads: int | None = None,
    num_poller_threads: int | None = None,
    num_resolver_threads: int | None = None,
    spin: float | None = None,
) -> None:
    """Set how many threads NNG is to have, before the first socket, message or aio; and at any time how those that wait do so.

    NNG starts with the first object that needs it, and not when `nngio` is imported. What is not given is left as it was. A
    program that never calls this gets as many task threads as it has cores, two at least and 16 at most: with NNG's own default, two for
    each core, small messages take longer.

    Before a thread or an event loop goes to sleep for a message, it looks for `spin` seconds whether there is one: an answer that is
    microseconds away comes sooner so, and costs less, than one that has to wake somebody. After 16 more looks in vain than with success,
    whoever waits sleeps at once for the rest of that tenth of a second. One core is always left to those who work.

    Args:
        num_task_threads: threads that run NNG's work for each message, 2 to 256. One would wait for itself.
        num_expire_threads: threads that end what has timed out, 1 to 256.
        num_poller_threads: threads that wait for the descriptors of tcp, ipc and ws, 1 to 256. NNG 1.7 or later.
        num_resolver_threads: threads that ask name servers, 1 to 256. NNG 1.7 or later.
        spin: seconds for which to look before sleeping, 0 to 0.01; at first 0.0001. 0: sleep at once, always.

    Raises:
        BadState: NNG has started.
        InvalidArgument: there can't be so many threads, or so few, or `spin` is out of its range.
        NotSupported: this NNG's number was settled when it was compiled.

    Thread safety: may be called on any thread. In C: `nng_init_set_parameter`, which is a part of NNG from 1.7 on; the 1.5.2 that
    is built with nngio has it for task and expire threads.
    """
    given = {
        "TASK": num_task_threads,
        "EXPIRE": num_expire_threads,
        "POLLER": num_poller_threads,
        "RESOLVER": num_resolver_threads,
    }
    wanted: list[tuple[int, int]] = []
    for kind, number in given.items():
        if number is None:
            continue
        name = f"num_{kind.lower()}_threads"
        fewest = FEWEST_TASK_THREADS if kind == "TASK" else 1
        if not isinstance(number, int):
            raise TypeError(f"{name} is a whole number, not {type(number).__name__}")
        if not fewest <= number <= MOST_THREADS:
            raise InvalidArgument(f"{name} is {fewest} to {MOST_THREADS}; got {number}")
        wanted.append((getattr(lib, f"NNG_INIT_NUM_{kind}_THREADS"), number))
        most = getattr(_lib, f"NNG_INIT_MAX_{kind}_THREADS", None)  # NNG's own limit would make it fewer, without a word
        if most is not None:
            wanted.append((most, number))
    if spin is not None:
        if isinstance(spin, bool) or not isinstance(spin, (int, float)):
            raise TypeError(f"spin is a number of seconds, not {type(spin).__name__}")
        if not 0 <= spin <= LONGEST_SPIN:
            raise InvalidArgument(f"spin is 0 to {LONGEST_SPIN} seconds; got {spin}")
    for parameter, number in wanted:
        code = _lib.nngio_init_set_parameter(parameter, number)
        if code == _lib.NNG_ESTATE:
            raise BadState("NNG has started already; call nngio.init before the first socket, message or aio is made")
        check(code)
    if spin is not None:
        _lib.nngio_spin_set(round(spin * 1e9))
