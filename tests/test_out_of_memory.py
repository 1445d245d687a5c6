"""Being out of memory, which no code can fake: buffers larger than any memory, and sends in a process that has none left."""

import ctypes
import mmap
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

import nngio
from nngio import Message
from nngio.lowlevel import ffi, lib

Address = Callable[[str], str]
SECONDS = 10.0
SYSTEM_LIBRARY = ffi.string(lib.nngio_build_nng_source) == b"system library"


def test_a_buffer_larger_than_memory_raises_no_memory(address: Address) -> None:
    """NNG can't allocate the message, the error has none, and the socket goes on."""
    with nngio.Push0(listen=address("inproc")) as push, nngio.Pull0(dial=push.listeners[0].url) as pull:
        for exponent in range(50, 38, -1):
            try:  # half of the address space, of which nothing is touched; for the other half there is no room
                huge = mmap.mmap(-1, 1 << exponent, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)
                break
            except (OSError, ValueError):
                continue
        for verb in (push.send, push.try_send, Message):
            with pytest.raises(nngio.NoMemory) as caught:
                verb(huge)
            assert caught.value.message is None
        huge.close()
        push.send(b"small", timeout=SECONDS)
        assert pull.recv(timeout=SECONDS) == b"small"


OUT_OF_MEMORY = """
import mmap, resource, sys, time
import nngio
from nngio.lowlevel import ffi, lib

how, where, sanitized = sys.argv[1], sys.argv[2], sys.argv[3] == "True"
BODY, HEADER = bytes(range(256)), bytes.fromhex("80000001")
blocks = ffi.NULL
limits = resource.getrlimit(resource.RLIMIT_AS)


def can_allocate(size):
    block = lib.nng_alloc(size)
    if block != ffi.NULL:
        lib.nng_free(block, size)
    return block != ffi.NULL


def exhaust():
    # From here on C gets no memory, but for small pieces. Objects of Python's own are small, and do not come from there.
    global blocks, filling, places
    if sanitized:  # its allocator refuses when more than a limit is in memory, which it looks at every now and then
        filling = mmap.mmap(-1, 400 << 20)
        for position in range(0, len(filling), mmap.PAGESIZE):
            filling[position] = 1
        while can_allocate(1024):
            time.sleep(0.01)
        return
    places = [bytes(size) for size in range(1, 512, 16) for _ in range(400)][::2]  # free places for objects of each size
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(), limits[1]))
    for size in (1 << 20, 1 << 16, 1 << 12, 1 << 10):
        while (block := lib.nng_alloc(size)) != ffi.NULL:
            ffi.cast("void **", block)[0] = blocks
            blocks = block


def recover():
    global blocks
    if sanitized:
        filling.close()
        while not can_allocate(1024):
            time.sleep(0.01)
        return
    while blocks != ffi.NULL:
        block, blocks = blocks, ffi.cast("void **", blocks)[0]
        lib.nng_free(block, 0)
    resource.setrlimit(resource.RLIMIT_AS, limits)


def new_message():
    message = nngio.Message(BODY)
    message.header = HEADER
    aio = nngio.Aio()
    aio.set_msg(message)
    return aio, message


rep = nngio.Rep0(raw=True, listen="inproc://elsewhere")
elsewhere = nngio.Req0(raw=True, dial="inproc://elsewhere")
req = nngio.Req0()
channel = req if where == "socket" else req.context()
aio, message = new_message()
flood = [(req.context(), *new_message()) for _ in range(1000)]
error = None

exhaust()
for its_context, its_aio, _ in flood:  # NNG's table of requests has to grow sooner or later
    its_context.send_aio(its_aio)
deadline = time.monotonic() + 20
failed = False
while not failed and time.monotonic() < deadline:
    for _, its_aio, _ in flood:
        if not its_aio.busy:
            failed = True
            break
if how == "send":
    try:
        channel.send(message, timeout=0)
    except nngio.NNGError as raised:
        error = raised
else:
    channel.send_aio(aio)
    aio.wait()
recover()

assert failed, "it never ran out of memory"
if how == "aio":
    assert aio.result() == lib.NNG_ENOMEM, aio.result()
    assert aio.get_msg() is message
    try:
        aio.check()
    except nngio.NNGError as raised:
        error = raised
assert type(error) is nngio.NoMemory, repr(error)
assert isinstance(error, MemoryError)
assert error.message is message
assert bytes(message) == BODY and message.header == HEADER
if how == "aio":
    elsewhere.send_aio(aio)
    aio.wait()
    aio.check()
else:
    elsewhere.send(message)
received = rep.recv_msg(timeout=10)
assert bytes(received) == BODY and received.header[4:] == HEADER

req.close()
for _, its_aio, its_message in flood:
    its_aio.wait()
    assert its_aio.result() in (lib.NNG_ECLOSED, lib.NNG_ENOMEM)
    assert its_aio.get_msg() is its_message
    assert its_message.header == HEADER
elsewhere.close()
rep.close()
print("received elsewhere")
"""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("where", ["socket", "context"])
@pytest.mark.parametrize("how", ["send", "aio"])
def test_a_send_without_memory_gives_back_the_message(how: str, where: str) -> None:
    """NNG's own allocation fails in the middle of a send; the message is sent elsewhere when there is memory again.

    NNG from 1.8 on, as it is and compiled with its assertions, asserts something of the id that it could not allocate: a
    system's library may end the process there. Ours is patched.
    """
    sanitized = hasattr(ctypes.CDLL(None), "__asan_init")
    environment = dict(os.environ)
    if sanitized:
        options = "allocator_may_return_null=1:soft_rss_limit_mb=400:detect_leaks=0"
        environment["ASAN_OPTIONS"] = f"{environment.get('ASAN_OPTIONS', '')}:{options}"
        environment["PYTHONMALLOC"] = "pymalloc"
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY, how, where, str(sanitized)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if SYSTEM_LIBRARY and done.returncode == -signal.SIGABRT:
        assert re.match(r"panic: .*idhash\.c: \d+: assert err: id < \(1ULL << 32\)\n", done.stderr), done.stderr
        return
    assert (done.stdout, done.returncode) == ("received elsewhere\n", 0), done.stderr
