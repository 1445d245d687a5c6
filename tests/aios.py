"""What the tests of `Aio` share: its operations by their names, and threads that run at once."""

import threading
import time
from collections.abc import Callable

import nngio
from nngio import Aio

__all__ = ["SECONDS", "START", "Address", "Pair", "eventually", "run"]

Address = Callable[[str], str]
Pair = tuple[nngio.Pair0, nngio.Pair0]

SECONDS = 10.0
"""What no step takes, unless something hangs."""

START: dict[str, Callable[[Aio, nngio.Pair0], None]] = {
    "send": lambda aio, socket: socket.send_aio(aio),
    "receive": lambda aio, socket: socket.recv_aio(aio),
    "sleep": lambda aio, _: aio.sleep(60),
}
"""Each operation of an aio, to be started on a socket where it stays pending."""


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether it comes true in time, of something that nobody tells when it does."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.0005)
    return True


def run(*functions: Callable[[], None]) -> None:
    """Run them all at once, each in a thread, and raise what one of them raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(functions))

    def guarded(function: Callable[[], None]) -> None:
        try:
            start.wait(SECONDS)
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for error in errors:
        raise error
