"""A fork: the child gets a clear error for whatever it inherited, and is silent otherwise; the parent goes on.

Each test is a program of its own. Python 3.12 and later warn of a fork while there are threads; those warnings are turned off.
"""

import textwrap
from pathlib import Path

import pytest
from programs import FORKS, Ended, run


def program(text: str, *, timeout: float = 15, file: Path | None = None) -> Ended:
    """Run one."""
    return run(textwrap.dedent(text), options=FORKS, timeout=timeout, file=file)


# One object of every kind, idle and in use, and `in_child`: what a function returned or raised in a forked child, or how the
# child died of it.
OBJECTS = """
import asyncio, signal
import nngio
from nngio import *

rep, req = Rep0(listen="inproc://rep"), Req0(dial="inproc://rep")
sub = Sub0(listen="tcp://127.0.0.1:0")
pub = Pub0(dial=sub.listeners[0].url)
left = Pair0(listen="inproc://pair")
right = Pair0(dial="inproc://pair")
surveyor = Surveyor0()
contexts = [req.context(), rep.context(), sub.context(), surveyor.context()]
right.send(b"one")
message = left.recv_msg()
view, pipe = message.body, message.pipe
made = Message(b"made")
dialer, listener = right.dialers[0], left.listeners[0]
idle, called = Aio(), Aio(lambda aio: None)
loaded = Aio()
loaded.set_msg(Message(b"loaded"))
received = Aio()
right.send(b"two")
left.recv_aio(received)
received.wait()
pull = Pull0()
pending, pending_called = Aio(), Aio(lambda aio: None)
pull.recv_aio(pending)
pull.recv_aio(pending_called)

def in_child(function):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(5)
        try:
            text = f"returned {function()!r}"
        except BaseException as error:
            text = f"{type(error).__name__}, {isinstance(error, Closed)}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as told:
        text = told.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return text if status == 0 else f"died with {status}"

def call(verb, arguments):
    result = verb(*arguments)
    return asyncio.run(result) if asyncio.iscoroutine(result) else result

def check(touches):
    for name, function in touches.items():
        if (text := in_child(function)) != "ForkedError, True":
            print(f"{name}: {text}")

def parent_goes_on():
    req.send(b"question")
    rep.send(rep.recv())
    print(req.recv())
"""


def test_a_child_that_touches_a_socket_or_context_gets_a_forked_error() -> None:
    """Every verb, option, and way to open something on it, of sockets and contexts; and the parent goes on."""
    program(
        OBJECTS
        + """
touches = {}
for thing in (rep, req, sub, pub, left, surveyor, pull, *contexts):
    name = type(thing).__name__
    for verb, arguments in {
        "send": [b"x"], "try_send": [b"x"], "recv": [], "try_recv": [], "recv_msg": [], "recv_into": [bytearray(9)],
        "request": [b"x"], "survey": [b"x"], "subscribe": [b""], "unsubscribe": [b""], "dial": ["inproc://rep"],
        "listen": ["inproc://other"], "context": [], "send_aio": [loaded], "recv_aio": [idle], "__enter__": [],
        "send_many": [[b"x", made]], "recv_many": [], "recv_many_msg": [], "asend": [b"x"], "arecv": [], "arecv_msg": [],
        "arequest": [b"x"], "asend_many": [[b"x", made]], "arecv_many": [], "arecv_many_msg": [],
    }.items():
        if hasattr(thing, verb):
            touches[f"{name}.{verb}"] = lambda thing=thing, verb=verb, arguments=arguments: call(getattr(thing, verb), arguments)
    if hasattr(thing, "recv"):
        touches[f"for in {name}"] = lambda thing=thing: list(thing)
        touches[f"{name}.recv_aio with a callback"] = lambda thing=thing: thing.recv_aio(called)
    for option in ("recv_timeout", "send_timeout", "name", "recv_max_size"):
        if isinstance(getattr(type(thing), option, None), nngio._options.Option):
            touches[f"{name}.{option}"] = lambda thing=thing, option=option: getattr(thing, option)
            value = "x" if option == "name" else 1
            touches[f"{name}.{option} ="] = lambda thing=thing, option=option, value=value: setattr(thing, option, value)
check(touches)
parent_goes_on()
"""
    ).check(out="b'question'\n")


def test_a_child_that_a_task_forks_gets_a_forked_error_from_each_verb_for_many() -> None:
    """While other tasks of the parent wait in these verbs, on the same sockets: they go on, and get or send all of theirs."""
    program(
        OBJECTS
        + """
push = Push0()

async def main():
    receiving = [asyncio.create_task(verb()) for verb in (left.arecv_many, left.arecv_many_msg)]
    sending = asyncio.create_task(push.asend_many([b"1", b"2", b"3"]))
    await asyncio.sleep(0)

    def go_on(result):
        if asyncio.iscoroutine(result):
            for _ in range(3):  # after a pause or two, as the loop would do it
                result.send(None)
        return result

    check({
        f"{verb.__self__!r}.{verb.__name__}": lambda verb=verb, arguments=arguments: go_on(verb(*arguments))
        for verb, arguments in [
            (left.recv_many, []), (left.recv_many_msg, []), (left.send_many, [[b"x", made]]), (push.send_many, [[b"x", made]]),
            (left.arecv_many, []), (left.arecv_many_msg, []), (left.asend_many, [[b"x", made]]), (push.asend_many, [[b"x", made]]),
        ]
    })
    print(*[task.done() for task in [*receiving, sending]])
    await right.asend_many([b"first", b"second"])
    print(*[bytes(body) for task in receiving for body in await task])
    puller = Pull0(listen="inproc://puller")
    push.dial("inproc://puller")
    print(*[await puller.arecv() for _ in range(3)], await sending)

asyncio.run(main())
parent_goes_on()
"""
    ).check(out="False False False\nb'first' b'second'\nb'1' b'2' b'3' None\nb'question'\n")


def test_a_child_that_touches_a_message_or_aio_gets_a_forked_error() -> None:
    """Bodies, headers and copies of messages; every method of aios, idle, done and busy, with and without callbacks."""
    program(
        OBJECTS
        + """
touches = {}
for name, thing in {"received": message, "made": made}.items():
    touches[f"{name}.body"] = lambda thing=thing: thing.body
    touches[f"{name}.header"] = lambda thing=thing: thing.header
    touches[f"{name}.header ="] = lambda thing=thing: setattr(thing, "header", b"x")
    touches[f"{name}.pipe"] = lambda thing=thing: thing.pipe
    touches[f"{name}.copy"] = lambda thing=thing: thing.copy()
    touches[f"len({name})"] = lambda thing=thing: len(thing)
    touches[f"bytes({name})"] = lambda thing=thing: bytes(thing)
    touches[f"{name} =="] = lambda thing=thing: thing == Message.__new__(Message)
for name, aio in {
    "idle": idle, "called": called, "loaded": loaded, "received": received, "pending": pending, "pending_called": pending_called
}.items():
    for method, arguments in {
        "wait": [], "cancel": [], "abort": [5], "sleep": [1], "get_msg": [], "set_msg": [None], "result": [], "check": []
    }.items():
        touches[f"{name}.{method}"] = lambda aio=aio, method=method, arguments=arguments: getattr(aio, method)(*arguments)
    touches[f"{name}.busy"] = lambda aio=aio: aio.busy
check(touches)
parent_goes_on()
"""
    ).check(out="b'question'\n")


def test_a_child_that_touches_a_dialer_listener_or_pipe_gets_a_forked_error() -> None:
    """Their options, starting them, and closing a pipe."""
    program(
        OBJECTS
        + """
unstarted = Dialer(req, "inproc://rep"), Listener(rep, "inproc://unstarted")
check({
    "Dialer": lambda: Dialer(req, "inproc://rep"),
    "Listener": lambda: Listener(rep, "inproc://other"),
    "dialer.start": unstarted[0].start,
    "dialer.start without block": lambda: unstarted[0].start(block=False),
    "listener.start": unstarted[1].start,
    "dialer.reconnect_time_min": lambda: dialer.reconnect_time_min,
    "dialer.recv_max_size =": lambda: setattr(dialer, "recv_max_size", 9),
    "listener.port": lambda: sub.listeners[0].port,
    "listener.local_address": lambda: listener.local_address,
    "pipe.remote_address": lambda: pipe.remote_address,
    "pipe.close": pipe.close,
})
parent_goes_on()
"""
    ).check(out="b'question'\n")


def test_a_child_of_a_parent_that_used_nng_can_open_nothing() -> None:
    """New sockets, contexts, aios and messages raise ForkedError, which says what to do instead."""
    program(
        OBJECTS
        + """
check({cls.__name__: cls for cls in (Pair0, Pair1, Bus0, Pub0, Sub0, Push0, Pull0, Req0, Rep0, Surveyor0, Respondent0, Aio)})
check({"Message": lambda: Message(b"x"), "Aio with a callback": lambda: Aio(print), "raw": lambda: Pair0(raw=True)})
pid = os.fork()
if pid == 0:
    try:
        Pair0()
    except ForkedError as error:
        print(error)
        sys.exit()
os.waitpid(pid, 0)
"""
    ).check(
        out="this process was forked after NNG had started: its sockets, contexts and messages belong to the parent. Use "
        "multiprocessing's spawn or forkserver, or fork before the first socket is opened\n"
    )


def test_closing_and_describing_what_was_inherited_is_harmless() -> None:
    """`close`, leaving a `with` block, `repr`, `id` and `closed` raise nothing in the child, and do nothing to the parent's."""
    program(
        OBJECTS
        + """
def harmless():
    things = [rep, req, sub, pub, left, right, surveyor, pull, *contexts, dialer, listener]
    for thing in things:
        thing.close()
        thing.__exit__(None, None, None)
        thing.id
    for thing in [*things, message, made, pipe, idle, called, pending, pending_called]:
        repr(thing)
    return [thing.closed for thing in (rep, req)] and bytes(view)
print(in_child(harmless))
parent_goes_on()
left.send(b"three")
print(right.recv())
"""
    ).check(out="returned b'one'\nb'question'\nb'three'\n")


def test_a_child_of_a_parent_that_only_imported_nngio_can_use_it() -> None:
    """And so can that child's own children, until it has opened a socket."""
    program(
        """
        import nngio
        from nngio import *
        def converse(name):
            with Rep0(listen=f"inproc://{name}") as rep, Req0(dial=f"inproc://{name}") as req:
                done = []
                aio = Aio(done.append)
                rep.recv_aio(aio)
                req.send(b"question")
                aio.wait()
                rep.send(bytes(aio.get_msg()) + b" answered")
                print(name, req.recv(), len(done), flush=True)
        for name in "child", "grandchild":
            pid = os.fork()
            if pid:
                break
        else:
            name = "youngest"
        if pid:
            os.waitpid(pid, 0)
        converse({"child": "parent", "grandchild": "child", "youngest": "grandchild"}[name])
        """
    ).check(out="grandchild b'question answered' 1\nchild b'question answered' 1\nparent b'question answered' 1\n")


# Traffic of every kind goes on in threads of the parent while it forks, 200 times; each child leaves in one of the ways in
# which a process ends, with an exit code of its own.
UNDER_TRAFFIC = """
import gc, threading
import nngio
from nngio import *

stop = threading.Event()
counts = {}

def repeat(name, call):
    counts[name] = 0
    def run():
        while not stop.is_set():
            call()
            counts[name] += 1
    thread = threading.Thread(target=run)
    thread.start()
    return thread

rep = Rep0(listen="tcp://127.0.0.1:0")
req = Req0(dial=rep.listeners[0].url)
push, pull = Push0(listen="inproc://push", send_timeout=5.0), Pull0(dial="inproc://push", recv_timeout=5.0)
context = req.context()
waiting = Pull0()
threads = [
    repeat("requests", lambda: req.request(b"question", timeout=10)),
    repeat("pushed", lambda: push.send(Message(b"x" * 1000), timeout=10)),
    repeat("pushed in lists", lambda: push.send_many([Message(b"x" * 1000), *[b"y"] * 9], timeout=10)),
]
producers = list(threads)

def serve():
    while True:
        try:
            rep.send(rep.recv())
        except Closed:
            return

def drain(receive):
    while True:
        try:
            receive(timeout=10)
        except Closed:
            return

drains = [lambda receive=receive: drain(receive) for receive in (pull.recv_msg, pull.recv_many, pull.recv_many_msg)]
for call in (serve, *drains):
    threads.append(threading.Thread(target=call))
    threads[-1].start()
ticks = []

def tick(aio):
    ticks.append(1)
    if not stop.is_set():
        aio.sleep(0.0005)

ticking = Aio(tick)
ticking.sleep(0)
pending = Aio(lambda aio: print("this callback is the parent's"))
waiting.recv_aio(pending)
message = Message(b"inherited")

class Cycle:
    def __init__(self):
        self.me, self.things = self, [Pair0(), Message(b"x"), Aio(), req.context()]

cycles = [Cycle() for _ in range(3)]

def leave(number):
    code = number % 100
    match number % 6:
        case 0:
            sys.exit(code)
        case 1:
            os._exit(code)
        case 2:
            globals().clear()
            __import__("gc").collect()
            __import__("os")._exit(code)
        case 3:
            cycles.clear()
            gc.collect()
            with req, context, message.body:
                pass
        case 4:
            refused = 0
            for call in (lambda: req.send(b"x"), lambda: push.send_many([b"x"]), pull.recv_many, pull.recv_many_msg):
                try:
                    call()
                except ForkedError:
                    refused += 1
            sys.exit(code if refused == 4 else 255)
        case 5:
            for thing in (rep, req, push, pull, context, waiting):
                thing.close()
            sys.exit(code)

for number in range(200):
    pid = os.fork()
    if pid == 0:
        try:
            leave(number)
        except ForkedError:
            sys.exit(number % 100)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status != number % 100:
        print(f"child {number} ended with {status}")
before = dict(counts, ticks=len(ticks))
deadline = time.monotonic() + 10
while any(now <= before[name] for name, now in dict(counts, ticks=len(ticks)).items()):
    if time.monotonic() > deadline:
        print("something stands still:", before, counts, len(ticks))
        break
    time.sleep(0.001)
print("the parent went on", flush=True)
stop.set()
for thread in producers:
    thread.join()
for socket in (rep, req, push, pull):
    socket.close()
for thread in threads:
    thread.join()
os._exit(0)
"""


@pytest.mark.timeout(90)
def test_two_hundred_children_under_traffic_end_silently_with_the_code_asked_for() -> None:
    """By falling off, sys.exit, os._exit, collecting all garbage, an error, closing what was inherited; the parent goes on."""
    end = program(UNDER_TRAFFIC, timeout=80)
    assert end.code == 0, f"the parent failed: {end}"
    assert end.printed == "the parent went on\n", f"a child or the parent: {end}"
    assert end.err == "", f"not silent: {end}"


@pytest.mark.parametrize(
    "end", ["loop.close(); os._exit(0)", "del loop; sys.exit(0)", "loop._nngio.attend(); loop._nngio.serve(); os._exit(0)"]
)
def test_a_child_that_has_to_do_with_its_parents_loop_takes_nothing_from_it(end: str) -> None:
    """It closes it, by itself or at its exit, or looks what has come: the selector, and NNG's connections, are its parent's too."""
    program(
        f"""
import os
from asyncio import new_event_loop, wait_for
from threading import Timer
from nngio import Pull0, Push0
pull = Pull0(listen="tcp://127.0.0.1:0")
push = Push0(dial=pull.listeners[0].url)

async def next_message(body):
    Timer(0.05, push.send, [body]).start()  # the loop sleeps in its selector by then
    return await wait_for(pull.arecv(), 10)

loop = new_event_loop()
print(loop.run_until_complete(next_message(b"before")), flush=True)
push.send(b"meanwhile")
if (child := os.fork()) == 0:
    {end}
os.waitpid(child, 0)
print(loop.run_until_complete(pull.arecv()), loop.run_until_complete(next_message(b"after")))
loop.close()
push.close()
pull.close()
"""
    ).check(out="b'before'\nb'meanwhile' b'after'\n")


def test_a_child_finds_no_lock_of_its_parents_threads_taken() -> None:
    """A thread lends what a loop has at the moment of the fork; the child closes that loop, and looks what it holds."""
    program(
        """
import asyncio, os, signal
from contextlib import suppress
from threading import Event, Thread
import nngio
from nngio._core.adapter import reclaim

async def begin():
    with suppress(TimeoutError):
        await asyncio.wait_for(pull.arecv(), 0.01)

def hold():
    with loop._nngio._lock:
        taken.set()
        forked.wait()

pull = nngio.Pull0()
loop = asyncio.new_event_loop()
loop.run_until_complete(begin())
taken, forked = Event(), Event()
thread = Thread(target=hold)
thread.start()
taken.wait()
if (child := os.fork()) == 0:
    signal.alarm(10)
    reclaim(pull._handle)
    loop.close()
    os._exit(0)
forked.set()
thread.join()
_, status = os.waitpid(child, 0)
assert status == 0, status
loop.close()
pull.close()
"""
    ).check(out="")


def test_a_child_that_ends_by_an_exception_prints_only_that() -> None:
    """Its traceback, exit code 1, and nothing of nngio's."""
    end = program(
        OBJECTS
        + """
pid = os.fork()
if pid == 0:
    raise KeyError("the child's own")
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
parent_goes_on()
"""
    ).check(out="1\nb'question'\n", err=None)
    assert end.err.startswith("Traceback (most recent call last):\n"), f"more than a traceback: {end}"
    assert end.err.endswith('KeyError: "the child\'s own"\n'), f"more than a traceback: {end}"


# multiprocessing, each of its ways as a real program.
MULTIPROCESSING = """
import multiprocessing
import nngio
from nngio import *

def work(url):
    with Req0(dial=url) as req:
        print(req.request(b"from a worker"), flush=True)

def touch(socket):
    try:
        socket.send(b"x")
    except ForkedError:
        print("ForkedError", flush=True)

if __name__ == "__main__":
    way = multiprocessing.get_context(sys.argv[1])
    early = way.Process(target=print, args=("early", ), kwargs={"flush": True})
    early.start()
    early.join()
    with Rep0(listen="tcp://127.0.0.1:0") as rep:
        worker = way.Process(target=work, args=(rep.listeners[0].url,))
        worker.start()
        try:
            rep.send(rep.recv(timeout=10))
        except TimedOut:
            print("no request")
        worker.join()
        print(worker.exitcode)
        other = way.Process(target=touch, args=(rep,))
        try:
            other.start()
        except TypeError as error:
            print("TypeError", error)
        else:
            other.join()
            print(other.exitcode)
    print("done")
"""


@pytest.mark.parametrize("way", ["spawn", "forkserver"])
def test_multiprocessing_with_spawn_and_forkserver_works(way: str, tmp_path: Path) -> None:
    """Workers open sockets of their own and talk to the parent; a socket can't be passed to them, and the error says so."""
    run(MULTIPROCESSING, way, options=FORKS, file=tmp_path / "program.py").check(
        out="early\nb'from a worker'\n0\nTypeError a Rep0 can't be pickled: it belongs to this process; pass its URL instead\ndone\n"
    )


def test_multiprocessing_with_fork_works_until_the_parent_opens_a_socket(tmp_path: Path) -> None:
    """A worker forked afterwards fails with ForkedError as its own traceback, whether it opens a socket or uses its parent's."""
    quick = MULTIPROCESSING.replace("recv(timeout=10)", "recv(timeout=0.5)")
    end = run(quick, "fork", options=FORKS, file=tmp_path / "program.py").check(
        out="early\nno request\n1\nForkedError\n0\ndone\n", err=None
    )
    assert "nngio._core.errors.ForkedError: this process was forked after NNG had started" in end.err
    assert end.err.count("Traceback") == 1, f"more than the worker's traceback: {end}"


def test_multiprocessing_pools_of_forked_workers_may_use_nngio_when_they_start_first(tmp_path: Path) -> None:
    """A pool that is made before the parent opens anything: its workers talk to the parent."""
    run(
        textwrap.dedent(
            """
            import multiprocessing
            from nngio import *
            def work(url):
                with Req0(dial=url) as req:
                    return req.request(b"question", timeout=10)
            if __name__ == "__main__":
                with multiprocessing.get_context("fork").Pool(2) as pool, Rep0(listen="tcp://127.0.0.1:0") as rep:
                    results = pool.map_async(work, [rep.listeners[0].url] * 4)
                    for number in range(4):
                        rep.recv(timeout=10)
                        rep.send(b"%d" % number)
                    print(sorted(results.get(10)))
            """
        ),
        options=FORKS,
        file=tmp_path / "program.py",
    ).check(out="[b'0', b'1', b'2', b'3']\n")
