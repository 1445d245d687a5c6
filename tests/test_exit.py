"""The interpreter exits with the code that the program asked for, soon and silently, whatever is still going on."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import pytest
from programs import Ended, run, run_all

RUNS = 200
SOON = 1.0

# What each program below is run with: the exit code it shall ask for, and so that two runs differ, its number.
CODES = (0, 1, 3, 77, 255)


def runs(program: str, *, options: Sequence[str] = ()) -> list[Ended]:
    """Run a program 200 times; its arguments are the number of the run and an exit code."""
    ends = run_all([(program, (str(i), str(CODES[i % len(CODES)]))) for i in range(RUNS)], options=options)
    assert len(ends) == RUNS
    return ends


def check_all(ends: list[Ended], code: Callable[[int], int] = lambda i: CODES[i % len(CODES)]) -> None:
    """Each exited soon and silently, with its code."""
    wrong = []
    for i, end in enumerate(ends):
        try:
            end.check(code(i), exit_seconds=SOON)
        except AssertionError as error:
            wrong.append(error)
    if wrong:
        raise AssertionError(f"{len(wrong)} of {len(ends)} runs went wrong, the first so: {wrong[0]}")


# Sockets of every protocol over several transports, connected, with messages under way; contexts, dialers, listeners,
# pipes, messages and their views, aios: in globals, in a class, in reference cycles, and in an object whose finalizer uses
# one of them.
LEFT_OPEN = """
import tempfile
import nngio
from nngio import *

number, code = sys.argv[1:]
ipc = f"ipc:///tmp/nngio-exit-{os.getpid()}"
pairs = [(Pair0, Pair0), (Pair1, Pair1), (Bus0, Bus0), (Pub0, Sub0), (Push0, Pull0), (Req0, Rep0), (Surveyor0, Respondent0)]
opened, contexts = [], []
for n, (a, b) in enumerate(pairs):
    first = a(listen=["tcp://127.0.0.1:0", f"inproc://{n}"][(n + int(number)) % 2])
    second = b(dial=first.listeners[0].url)
    opened += [first, second]
    contexts += [s.context() for s in (first, second) if hasattr(s, "context")]
websocket = Pair0(listen="ws://127.0.0.1:0/x")
browser = Pair0(dial=websocket.listeners[0].url)
folder = tempfile.TemporaryDirectory()
local = Pair0(listen=f"ipc://{folder.name}/s")
neighbour = Pair0(dial=local.listeners[0].url)
neighbour.send(b"hello")
got = local.recv_msg()
pipe, view, listener = got.pipe, got.body, local.listeners[0]
neighbour.send(Message(b"never read"))
unsent = Message(b"kept")
done = Aio(); done.sleep(0); done.wait()
busy = Aio(); local.recv_aio(Aio()); websocket.recv_aio(busy)
called = Aio(lambda aio: None); called.set_timeout(30); browser.recv_aio(called)

class Cycle:
    pass

for thing in (Pair0(), Req0().context(), Message(b"x"), Aio(), Aio(print), Push0(listen="tcp://127.0.0.1:0")):
    cycle = Cycle()
    cycle.own, cycle.thing = cycle, thing
del cycle, thing

class Last:
    sockets = [Pull0()]
    def __init__(self):
        self.socket = Pair0()
        self.me = self
    def __del__(self):
        try:
            self.socket.send(b"too late", timeout=0)
        except nngio.NNGError:
            pass
        self.socket.close()

last = Last()
folder.cleanup()
"""


@pytest.mark.timeout(90)
def test_open_sockets_and_module_level_objects_do_not_disturb_the_exit() -> None:
    """Objects of every class, alive in globals, cycles and finalizers: the exit is silent and has the code asked for."""
    check_all(runs(LEFT_OPEN + "main_ends(); sys.exit(int(code))"))


RESOURCE_WARNING = re.compile(r"(.*ResourceWarning: unclosed <nngio\.\w+ \d+>.*\n(  .*\n|Object allocated at.*\n|ResourceWarning:.*\n)*)*")


@pytest.mark.timeout(120)
def test_only_resource_warnings_are_printed_at_exit_when_they_are_on() -> None:
    """The same in development mode: nothing but ResourceWarnings of sockets that were left open."""
    for i, end in enumerate(runs(LEFT_OPEN + "main_ends(); sys.exit(int(code))", options=("-X", "dev"))):
        end.check(CODES[i % len(CODES)], err=None, exit_seconds=SOON)
        assert RESOURCE_WARNING.fullmatch(end.err), f"more than ResourceWarnings: {end}"


# Daemon threads in every call that blocks, and some that never stop sending, receiving, opening and closing.
THREADS = """
import threading
import nngio
from nngio import *

number, code = sys.argv[1:]
ready = threading.Semaphore(0)

def blocked(call, *arguments):
    def run():
        ready.release()
        call(*arguments)
    threading.Thread(target=run, daemon=True).start()

req, rep = Req0(), Rep0(listen="inproc://rep")
asked = Req0(dial="inproc://rep").context()
asked.send(b"question")
aio, callback = Aio(), Aio(lambda aio: None)
rep.context().recv_aio(aio)
rep.context().recv_aio(callback)
deaf = __import__("socket").create_server(("127.0.0.1", 0))
blocked(Pair0(listen="tcp://127.0.0.1:0").recv)
blocked(Pull0().recv_msg)
blocked(Sub0(subscribe=b"").recv_into, bytearray(9))
blocked(rep.recv)
blocked(rep.context().recv)
blocked(asked.recv)
blocked(Bus0().recv)
blocked(list, Respondent0())
blocked(Push0().send, b"x")
blocked(Pair1().send, Message(b"x"))
blocked(req.request, b"x")
blocked(req.context().send, b"x")
blocked(aio.wait)
blocked(callback.wait)
blocked(Pair0().dial, f"tcp://127.0.0.1:{deaf.getsockname()[1]}")
for _ in range(15):
    ready.acquire()

stream = Push0(listen="inproc://stream")
drain = Pull0(dial="inproc://stream")

def forever(call):
    def run():
        while True:
            call()
    threading.Thread(target=run, daemon=True).start()

forever(lambda: stream.send(b"x" * 100))
forever(drain.recv_msg)
forever(lambda: Pair0(listen=f"inproc://{threading.get_ident()}").close())
forever(lambda: Message(b"x").copy())
time.sleep(int(number) / 20000)
main_ends()
sys.exit(int(code))
"""


@pytest.mark.timeout(90)
def test_daemon_threads_blocked_in_calls_do_not_disturb_the_exit() -> None:
    """Daemon threads that block in every blocking call, or never stop working: silent, soon, with the code asked for."""
    check_all(runs(THREADS))


# Aios with callbacks: pending for ever, finishing all the time, raising, and in the middle of a slow callback.
CALLBACKS = """
import threading
import nngio
from nngio import *

number, code = sys.argv[1:]
started = threading.Event()
pull = Pull0(listen="inproc://x")
push = Push0(dial="inproc://x")

def again(aio):
    aio.sleep(0)

def receive(aio):
    if aio.result() == 0:
        pull.recv_aio(aio)

def send(aio):
    if aio.result() == 0:
        aio.set_msg(Message(b"more"))
        push.send_aio(aio)

def slow(aio):
    started.set()
    time.sleep(0.005 * (int(number) % 4))
    len(sys.modules)

silent = [Pull0() for _ in range(20)]
for socket in silent:
    socket.recv_aio(Aio(lambda aio: print("a callback after the end")))
sleeping = Aio(lambda aio: print("a callback after the end"))
sleeping.sleep(60)
unsent = Aio(lambda aio: print("a callback after the end"))
unsent.set_msg(Message(b"kept"))
nobody = Push0()
nobody.send_aio(unsent)
for callback in (again, receive, slow):
    Aio(callback).sleep(0.001)
first = Aio(send)
first.set_msg(Message(b"first"))
push.send_aio(first)
if int(number) % 2:
    started.wait()
time.sleep(int(number) / 20000)
main_ends()
"""


@pytest.mark.timeout(90)
def test_pending_aios_with_callbacks_do_not_disturb_the_exit() -> None:
    """Callbacks that wait, run, or start the next operation all the time: no callback, no word after the end."""
    check_all(runs(CALLBACKS + "sys.exit(int(code))"))


def test_os_exit_ends_the_process_at_once() -> None:
    """`os._exit` with sockets open, threads blocked and aios pending, in the main thread and in a callback."""
    in_main = CALLBACKS + "os._exit(int(code))"
    in_callback = CALLBACKS + "Aio(lambda aio: os._exit(int(code))).sleep(0); time.sleep(10)"
    numbers = [(str(i), str(CODES[i % len(CODES)])) for i in range(RUNS)]
    check_all(run_all([((in_main, in_callback)[i % 2], numbers[i]) for i in range(RUNS)]))
