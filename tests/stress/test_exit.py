"""The interpreter exits with the code that the program asked for, soon and silently, whatever is still going on."""

import re
import signal
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from programs import Ended, run, run_all
from races import RACES

RUNS = max(RACES // 5, 20)
SOON = 1.0

# What each program below is run with: the exit code it shall ask for, and so that two runs differ, its number.
CODES = (0, 1, 3, 77, 255)


def runs(program: str, *, options: Sequence[str] = ()) -> list[Ended]:
    """Run a program 200 times, or a fifth of `NNGIO_RACES`; its arguments are the number of the run and an exit code."""
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

silent = [Pull0() for _ in range(5)]
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


# The callback that ends the program, and what the main thread does meanwhile: waits in a call of ours, sleeps, waits for
# a lock that nobody releases, has ended but for a thread of its own, computes.
SYS_EXIT = """
import threading
import nngio
from nngio import *

number, code = sys.argv[1:]

def leave(aio):
    if int(number) % 10 == 9:
        threading.main_thread().join()  # it has ended, and Python waits for the other thread
    main_ends()
    sys.exit(int(code))

socket = Pair0(listen="tcp://127.0.0.1:0")
aio = Aio(leave)
aio.sleep(0.01)
match int(number) % 10:
    case 0 | 1 | 2:
        socket.recv()
    case 3:
        socket.send(Message(b"x"))
    case 4:
        deaf = __import__("socket").create_server(("127.0.0.1", 0))
        Pair0().dial(f"tcp://127.0.0.1:{deaf.getsockname()[1]}")
    case 5 | 6:
        while True:
            len(sys.modules)
    case 7:
        time.sleep(30)
    case 8:
        lock = threading.Lock(); lock.acquire(); lock.acquire()
    case 9:
        threading.Thread(target=socket.recv).start()
"""


@pytest.mark.timeout(90)
def test_sys_exit_in_a_callback_ends_the_program_with_that_code() -> None:
    """Wherever the main thread is: its code, within a second, silently."""
    check_all(runs(SYS_EXIT))


# Python drops what is raised in a destructor, and in a weak reference's callback, which importing a module has.
IN_DESTRUCTORS = """
import weakref
import nngio

class Long:
    def __del__(self):
        for _ in range(20_000):
            pass

class Weak:
    pass

number, code = sys.argv[1:]
aio = nngio.Aio(lambda aio: sys.exit(int(code)))
aio.sleep(0.01)
while True:
    if int(number) % 2:
        Long()
    else:
        weak = Weak()
        reference = weakref.ref(weak, Long.__del__)
        del weak
"""


@pytest.mark.timeout(90)
def test_sys_exit_in_a_callback_ends_a_program_that_runs_destructors() -> None:
    """Though Python drops the exception there: its code, silently."""
    for i, end in enumerate(runs(IN_DESTRUCTORS)):
        end.check(CODES[i % len(CODES)])


def test_sys_exit_in_a_callback_unwinds_the_main_thread() -> None:
    """`finally` clauses and exit handlers of a main thread that waits in a call of ours run, and it sees SystemExit."""
    program = """
    import atexit
    import nngio
    atexit.register(print, "handler")
    with nngio.Pair0(listen="inproc://x") as socket:
        nngio.Aio(lambda aio: sys.exit(5)).sleep(0.01)
        try:
            socket.recv()
        except SystemExit as exit:
            print("code", exit.code)
            raise
        finally:
            print("finally", socket.closed)
    """
    run(textwrap.dedent(program)).check(5, out="code 5\nfinally False\nhandler\n")


def test_sys_exit_with_a_text_in_a_callback_prints_it() -> None:
    """As in the main thread: the text on standard error, and exit code 1."""
    run(
        textwrap.dedent("""
    import nngio
    nngio.Aio(lambda aio: sys.exit("so long")).sleep(0)
    nngio.Pair0().recv()
    """)
    ).check(1, err="so long\n")


# The callback calls sys.exit while, or just after, the main program has come to its end.
SYS_EXIT_AT_EXIT = """
import nngio
from nngio import *

number, code = sys.argv[1:]

def leave(aio):
    time.sleep(int(number) % 20 / 1000)
    main_ends()
    sys.exit(int(code))

aio = Aio(leave)
aio.sleep(0)
time.sleep(int(number) % 7 / 1000)
main_ends()
"""


@pytest.mark.timeout(60)
def test_sys_exit_in_a_callback_while_the_program_exits_is_silent() -> None:
    """A program that comes to its end in that moment: its own code, 0, or the callback's, and not a word."""
    for i, end in enumerate(runs(SYS_EXIT_AT_EXIT)):
        end.check(end.code, exit_seconds=SOON)
        assert end.code in (0, CODES[i % len(CODES)]), f"another exit code: {end}"


RAISING = """
import nngio
from nngio import *

number, code = sys.argv[1:]
socket = Pair0(listen="inproc://x")
running = __import__("threading").Event()

def fail(aio):
    running.set()
    time.sleep(int(number) % 10 / 1000)
    raise RuntimeError("from a callback")

aios = [Aio(fail) for _ in range(3)]
for aio in aios:
    socket.recv_aio(aio)
late = Aio(fail)
late.sleep(0)
if int(number) % 2:
    running.wait()
main_ends()
sys.exit(int(code))
"""
REPORT = re.compile(
    r"(Exception ignored in: <function fail at 0x\w+>\nTraceback \(most recent call last\):\n(  .*\n)+RuntimeError: from a callback\n)?"
)


@pytest.mark.timeout(60)
def test_a_callback_that_raises_at_exit_is_reported_once_or_not_at_all() -> None:
    """Pending callbacks don't run any more; the one that runs is reported as ever; the exit code stands."""
    for i, end in enumerate(runs(RAISING)):
        end.check(CODES[i % len(CODES)], err=None, exit_seconds=SOON)
        assert REPORT.fullmatch(end.err), f"more than the report of one callback: {end}"


LEFT_BY_AN_EXCEPTION = """
import threading
import nngio
from nngio import *

number, code = sys.argv[1:]

def wait(rep):
    try:
        while True:
            rep.recv_msg()
    except Closed:
        pass

with Rep0(listen="tcp://127.0.0.1:0") as rep, Req0(dial=rep.listeners[0].url) as req, req.context() as context:
    threading.Thread(target=wait, args=[rep], daemon=True).start()
    context.recv_aio(Aio(lambda aio: None))
    context.send(b"question")
    main_ends()
    raise KeyError("the program's own")
"""


@pytest.mark.timeout(60)
def test_a_with_block_left_by_an_exception_adds_nothing_to_it() -> None:
    """The exception's own traceback, and exit code 1. A thread that waited in recv is told that the socket is closed."""
    for end in runs(LEFT_BY_AN_EXCEPTION):
        end.check(1, err=None, exit_seconds=SOON)
        assert re.fullmatch(r"Traceback .*\n(  .*\n)+KeyError: \"the program's own\"\n", end.err), f"more than its own exception: {end}"


KILLED = (
    CALLBACKS
    + """
import signal
main_ends()
os.kill(os.getpid(), int(signal.SIGTERM if int(number) % 2 else signal.SIGINT))
pull.recv(timeout=5) if False else time.sleep(5)
"""
)


@pytest.mark.timeout(60)
def test_sigterm_and_ctrl_c_end_a_program_as_they_end_any_other() -> None:
    """SIGTERM by its default kills silently; Ctrl-C prints KeyboardInterrupt's traceback, and the exit code is the signal's."""
    for i, end in enumerate(runs(KILLED)):
        if i % 2:
            end.check(-signal.SIGTERM, exit_seconds=SOON)
        else:
            end.check(-signal.SIGINT, err=None, exit_seconds=SOON)
            assert end.err.startswith("Traceback (most recent call last):\n"), f"more than a traceback: {end}"
            assert end.err.endswith("KeyboardInterrupt\n"), f"more than a traceback: {end}"
            assert end.err.count("Traceback") == 1, f"more than a traceback: {end}"


def test_an_exit_handler_that_closes_a_socket_and_joins_its_thread_ends() -> None:
    """Also one that runs after ours, because it was registered before nngio was imported."""
    run(
        textwrap.dedent("""
    import atexit, threading
    def stop():
        socket.close()
        thread.join()
        print("stopped")
    atexit.register(stop)
    import nngio
    socket = nngio.Pair0(listen="inproc://x")
    def serve():
        try:
            while True:
                socket.recv()
        except nngio.Closed:
            pass
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    main_ends()
    """),
        timeout=5,
    ).check(out="stopped\n", exit_seconds=SOON)


def test_an_exit_handler_may_use_sockets() -> None:
    """Whether it was registered before nngio was imported or after: what is open is still open, and more can be opened."""
    run(
        textwrap.dedent("""
    import atexit
    def converse(question):
        with nngio.Req0(dial="inproc://x") as req:
            req.send(question)
            rep.send(rep.recv_msg())
            print(req.recv())
    atexit.register(converse, b"late")
    import nngio
    atexit.register(converse, b"early")
    rep = nngio.Rep0(listen="inproc://x")
    main_ends()
    """)
    ).check(out="b'early'\nb'late'\n", exit_seconds=SOON)


def test_peers_of_a_program_that_ends_are_told_and_its_files_are_removed(tmp_path: Path) -> None:
    """Sockets that were left open are closed at the very end: the file of a UNIX socket does not stay."""
    file = tmp_path / "socket"
    program = f'import nngio; socket = nngio.Pair0(listen="ipc://{file}"); print({str(file)!r} in os.popen("ls {file}").read())'
    run(program + "; main_ends()").check(out="True\n", exit_seconds=SOON)
    assert not file.exists()
    leaving = program + "; nngio.Aio(lambda aio: sys.exit(3)).sleep(0); time.sleep(9)"
    run(leaving).check(3, out="True\n")
    assert not file.exists()


def test_a_slow_callback_does_not_hold_up_the_exit() -> None:
    """A callback that would run for long is left alone after a moment."""
    run(
        textwrap.dedent("""
    import nngio, threading
    running = threading.Event()
    nngio.Aio(lambda aio: (running.set(), time.sleep(60))).sleep(0)
    running.wait()
    main_ends()
    """)
    ).check(exit_seconds=SOON)


def test_many_open_websockets_do_not_hold_up_the_exit() -> None:
    """Closing a websocket waits for its peer; closing many of them at exit takes no longer than allowed."""
    run(
        textwrap.dedent("""
    from nngio import *
    listening = [Pair0(listen="ws://127.0.0.1:0/x") for _ in range(20)]
    dialing = [Pair0(dial=socket.listeners[0].url) for socket in listening]
    main_ends()
    """)
    ).check(exit_seconds=SOON)
