"""Datagrams, exchanged with Python's own sockets; on an NNG that has none, a clear refusal."""

import gc
import os
import socket as sockets
import threading
import time
import tracemalloc
from collections.abc import Iterator

import programs
import pytest
from loops import Loop, Tasks, on_all_loops

import nngio
from nngio import UDP, Datagram, TCPAddress
from nngio.lowlevel import lib

try:
    lib.nng_udp_open  # noqa: B018
    HAS_UDP = True
except nngio.NotSupported:
    HAS_UDP = False

with_udp = pytest.mark.skipif(not HAS_UDP, reason="NNG before 1.9 has no UDP")
without_udp = pytest.mark.skipif(HAS_UDP, reason="this NNG has UDP")

SECONDS = 10.0
HOST = "127.0.0.1"


@pytest.fixture
def udp() -> Iterator[UDP]:
    """A socket of ours."""
    with UDP((HOST, 0)) as udp:
        yield udp


@pytest.fixture
def peer() -> Iterator[sockets.socket]:
    """A socket of Python's."""
    with sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM) as peer:
        peer.bind((HOST, 0))
        peer.settimeout(SECONDS)
        yield peer


def address_of(peer: sockets.socket) -> TCPAddress:
    host, port = peer.getsockname()
    return TCPAddress(host, port)


@without_udp
def test_an_nng_without_udp_says_which_has_it() -> None:
    """The release is named."""
    with pytest.raises(nngio.NotSupported, match=r"nng_udp_open needs NNG 1\.9\.0 or later; this build has 1\.[5-8]"):
        UDP((HOST, 0))


@with_udp
def test_datagrams_are_exchanged_with_any_udp_socket(udp: UDP, peer: sockets.socket) -> None:
    """The sender's address comes with each, and is where the answer goes."""
    peer.sendto(b"hello", udp.local_address[:2])
    data, sender = udp.recv(timeout=SECONDS)
    assert (data, sender) == (b"hello", address_of(peer))
    udp.send(b"hello yourself", sender)
    assert peer.recvfrom(100) == (b"hello yourself", udp.local_address[:2])


@with_udp
@pytest.mark.parametrize("size", [0, 1, 1472, 65_507])
def test_datagrams_of_any_size_are_whole(size: int, udp: UDP, peer: sockets.socket) -> None:
    """None is cut, and one of no bytes is one."""
    data = os.urandom(size)
    peer.sendto(data, udp.local_address[:2])
    assert udp.recv(timeout=SECONDS) == Datagram(data, address_of(peer))
    udp.send(data, address_of(peer))
    assert peer.recv(70_000) == data


@with_udp
def test_what_is_too_large_for_the_network_is_refused(udp: UDP) -> None:
    """By the system, which says so; and by Python what no datagram can have."""
    with pytest.raises(nngio.MessageTooLarge):
        udp.send(bytes(65_508), udp.local_address)
    with pytest.raises(nngio.InvalidArgument, match="at most 65527 bytes, not 65528"):
        udp.send(bytes(65_528), udp.local_address)
    udp.send(b"hello", udp.local_address)
    assert udp.recv(timeout=SECONDS).data == b"hello"


@with_udp
def test_addresses_have_three_forms(udp: UDP) -> None:
    """A pair, text, and what `local_address` is; a host name is none."""
    bound = udp.local_address
    for to in (bound, (bound.host, bound.port), f"{bound.host}:{bound.port}"):
        udp.send(b"hello", to)
        assert udp.recv(timeout=SECONDS) == (b"hello", bound)
    for bad, why in (
        ("localhost:5", "no IP address; of a name, socket.getaddrinfo"),
        ("127.0.0.1", "has no port"),
        ("127.0.0.1:http", "has no port"),
        ("::1", "written in brackets"),
        ("127.0.0.1:70000", "a port is a number from 0 to 65535"),
        ((HOST, -1), "a port is a number"),
    ):
        with pytest.raises(nngio.AddressInvalid, match=why):
            udp.send(b"hello", bad)
    for bad in (None, 5, (HOST,), (HOST, 1, 2), (1, 2)):
        with pytest.raises(TypeError, match="an address is a TCPAddress, a pair"):
            udp.send(b"hello", bad)  # type: ignore[arg-type]


@with_udp
def test_ipv6_works_as_well() -> None:
    """Where the machine has it."""
    try:
        udp = UDP("[::1]:0")
    except nngio.NNGError:
        pytest.skip("no IPv6 on this machine")
    with udp:
        assert udp.local_address.host == "::1"
        udp.send(b"hello", udp.local_address)
        assert udp.recv(timeout=SECONDS) == (b"hello", udp.local_address)


@with_udp
def test_an_address_in_use_is_refused(udp: UDP) -> None:
    """With the address in the message."""
    with pytest.raises(nngio.AddressInUse, match=rf"bind to {udp.local_address}: "):
        UDP(udp.local_address)


@with_udp
def test_receiving_ends_in_time(udp: UDP) -> None:
    """`TimedOut` after the timeout, at once for 0; `try_recv` returns None."""
    with pytest.raises(nngio.TimedOut):
        udp.recv(timeout=0.01)
    with pytest.raises(nngio.TimedOut):
        udp.recv(timeout=0)
    assert udp.try_recv() is None
    udp.send(b"hello", udp.local_address)
    assert udp.recv(timeout=SECONDS).data == b"hello"


@with_udp
def test_closing_ends_what_waits(udp: UDP) -> None:
    """With `Closed`; a loop over the datagrams just ends."""
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            udp.recv()
        except nngio.Closed as error:
            errors.append(error)

    threads = [threading.Thread(target=wait), threading.Thread(target=lambda: list(udp))]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    udp.close()
    udp.close()
    for thread in threads:
        thread.join(SECONDS)
    assert len(errors) == 1
    assert udp.closed
    assert repr(udp) == "<nngio.UDP closed>"
    for call in (udp.recv, lambda: udp.send(b"", (HOST, 1)), lambda: udp.local_address, lambda: udp.join("239.1.2.3")):
        with pytest.raises(nngio.Closed):
            call()
    assert list(udp) == []


@with_udp
def test_threads_share_what_comes(udp: UDP, peer: sockets.socket) -> None:
    """Each datagram goes to one of them."""
    got: list[bytes] = []
    lock = threading.Lock()

    def take() -> None:
        for data, _ in udp:
            with lock:
                got.append(data)

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(60):
        peer.sendto(b"%d" % number, udp.local_address[:2])
        if number % 20 == 19:  # so that the system's buffer has room
            until = time.monotonic() + SECONDS
            while len(got) <= number and time.monotonic() < until:
                time.sleep(0.001)
    udp.close()
    for thread in threads:
        thread.join(SECONDS)
    assert sorted(got, key=int) == [b"%d" % number for number in range(60)]


@with_udp
@on_all_loops
def test_the_awaitable_verbs_do_the_same(loop: Loop, udp: UDP, peer: sockets.socket) -> None:
    """On every loop: send, receive, `async for`, `async with`."""

    async def main(_: Tasks) -> None:
        async with UDP((HOST, 0)) as other:
            await other.asend(b"one", udp.local_address)
            assert await udp.arecv(timeout=SECONDS) == (b"one", other.local_address)
            await udp.asend(b"two", address_of(peer))
            assert peer.recv(100) == b"two"
            with pytest.raises(nngio.TimedOut):
                await other.arecv(timeout=0.01)
            with pytest.raises(nngio.MessageTooLarge):
                await other.asend(bytes(65_508), udp.local_address)
            await udp.asend(b"three", other.local_address)
            async for data, sender in other:
                assert (data, sender) == (b"three", udp.local_address)
                await other.aclose()
        with pytest.raises(nngio.Closed):
            await other.arecv()

    loop.run(main)


@with_udp
@on_all_loops
def test_a_cancelled_receive_takes_no_datagram(loop: Loop, udp: UDP) -> None:
    """Whether it came before the cancellation or after it; the next receive gets it, in order."""

    async def main(tasks: Tasks) -> None:
        for number in range(50):
            task = tasks.start(udp.arecv)
            await loop.sleep(0)
            if number % 2:
                udp.send(b"%d" % number, udp.local_address)
            task.cancel()
            outcome = await task.wait()
            if number % 2 == 0:
                udp.send(b"%d" % number, udp.local_address)
            datagram = await udp.arecv(timeout=SECONDS) if outcome.cancelled else outcome.result()
            assert datagram.data == b"%d" % number

    loop.run(main)


@with_udp
@on_all_loops
def test_tasks_that_wait_are_resumed_as_datagrams_come(loop: Loop, udp: UDP, peer: sockets.socket) -> None:
    """Each by one of them; and closing ends the rest."""

    async def main(tasks: Tasks) -> None:
        waiting = [tasks.start(udp.arecv) for _ in range(5)]
        await loop.sleep(0.01)
        for number in range(3):
            peer.sendto(b"%d" % number, udp.local_address[:2])
        while sum(task.done for task in waiting) < 3:
            await loop.sleep(0.001)
        udp.close()
        outcomes = [await task.wait() for task in waiting]
        assert sorted(o.value.data for o in outcomes if o.value) == [b"0", b"1", b"2"]
        assert [type(o.error) for o in outcomes if not o.value] == [nngio.Closed] * 2

    loop.run(main)


@with_udp
def test_a_loop_that_is_dropped_with_a_receive_pending_wakes_nobody(udp: UDP) -> None:
    """What comes later is for others, and their operations are left alone."""
    import asyncio

    for number in range(5):
        loop = asyncio.new_event_loop()
        task = loop.create_task(udp.arecv())  # type: ignore[arg-type,unused-ignore]
        loop.call_soon(loop.stop)
        loop.run_forever()
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()
        with nngio.Pair0(listen=f"inproc://udp-{number}") as left, nngio.Pair0(dial=f"inproc://udp-{number}") as right:
            aio = nngio.Aio()
            left.recv_aio(aio)
            udp.send(b"%d" % number, udp.local_address)
            assert udp.recv(timeout=SECONDS).data == b"%d" % number
            right.send(b"hello")
            aio.wait()
            assert aio.result() == 0
        del task, loop
        gc.collect()


@with_udp
def test_more_than_is_kept_waits_with_the_system(peer: sockets.socket) -> None:
    """Or is lost there; what is received is in order."""
    with UDP((HOST, 0), recv_buffer=2) as udp:
        for number in range(20):
            peer.sendto(b"%d" % number, udp.local_address[:2])
        got = [int(udp.recv(timeout=SECONDS).data) for _ in range(20)]
    assert got == list(range(20))


GROUP = "239.255.77.1"


def has_multicast() -> bool:
    """Whether a socket of Python's gets what is sent to a group that it has joined."""
    with sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM) as member, sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM) as sender:
        member.bind(("0.0.0.0", 0))
        member.settimeout(1)
        try:
            member.setsockopt(sockets.IPPROTO_IP, sockets.IP_ADD_MEMBERSHIP, sockets.inet_aton(GROUP) + bytes(4))
            sender.sendto(b"hello", (GROUP, member.getsockname()[1]))
            return member.recv(10) == b"hello"
        except OSError:
            return False


@with_udp
def test_what_is_sent_to_a_group_comes_to_its_members() -> None:
    """Until they leave it."""
    if not has_multicast():
        pytest.skip("this machine has no multicast")
    with UDP(("0.0.0.0", 0)) as udp, sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM) as sender:
        to = GROUP, udp.local_address.port
        udp.join(GROUP)
        sender.sendto(b"hello", to)
        assert udp.recv(timeout=SECONDS).data == b"hello"
        udp.leave(GROUP)
        sender.sendto(b"to nobody", to)
        udp.send(b"direct", (HOST, udp.local_address.port))
        assert udp.recv(timeout=SECONDS).data == b"direct"
        with pytest.raises(nngio.AddressInvalid, match=r"10\.0\.0\.1 is no multicast address"):
            udp.join("10.0.0.1")
        with pytest.raises(nngio.AddressInvalid, match="no IP address"):
            udp.join("group")
        with pytest.raises(TypeError, match="a group is the text of an IP address"):
            udp.join(5)  # type: ignore[arg-type]
        with pytest.raises(nngio.NNGError):
            udp.leave(GROUP)  # it is no member any more


@with_udp
def test_one_left_open_warns() -> None:
    """And is closed."""
    udp = UDP((HOST, 0))
    bound = udp.local_address
    with pytest.warns(ResourceWarning, match=r"unclosed <nngio\.UDP 127"):  # noqa: PT031
        del udp
        gc.collect()
    with UDP(bound):
        pass


@with_udp
def test_ctrl_c_interrupts_a_receive_and_loses_nothing() -> None:
    """The datagram that comes afterwards is for the next one."""
    programs.run(
        """
import signal, nngio
udp = nngio.UDP("127.0.0.1:0")
signal.setitimer(signal.ITIMER_REAL, 0.1)
signal.signal(signal.SIGALRM, signal.default_int_handler)
try:
    udp.recv()
except KeyboardInterrupt:
    print("interrupted")
udp.send(b"hello", udp.local_address)
print(udp.recv(timeout=10).data.decode())
udp.close()
main_ends()
"""
    ).check(out="interrupted\nhello\n")


@with_udp
def test_a_storm_of_interrupts_loses_nothing() -> None:
    """A signal handler that raises at any moment, while datagrams come."""
    programs.run(
        """
import random, signal, nngio
class Stop(Exception): pass
def stop(*_): raise Stop
signal.signal(signal.SIGALRM, stop)
udp = nngio.UDP("127.0.0.1:0")
for number in range(300):
    udp.send(b"%d" % number, udp.local_address)
    got = None
    while got is None:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 3e-4))
            got = udp.recv(timeout=10)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Stop:
            pass
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Stop:
        pass
    if int(got.data) != number:
        print("lost", number, got)
        break
udp.close()
main_ends()
"""
    ).check(out="")


@with_udp
def test_it_is_refused_in_a_forked_child_and_a_program_ends_with_one_open() -> None:
    """Silently, at the exit of both."""
    programs.run(
        """
import nngio
udp = nngio.UDP("127.0.0.1:0")
pid = os.fork()
if pid == 0:
    refused = 0
    for call in (udp.recv, lambda: udp.send(b"", "127.0.0.1:1"), lambda: udp.local_address, lambda: nngio.UDP("127.0.0.1:0"), udp.try_recv):
        try:
            call()
        except nngio.ForkedError:
            refused += 1
    udp.close()
    repr(udp)
    os._exit(refused)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
main_ends()
""",
        options=programs.FORKS,
    ).check(out="5\n", exit_seconds=5)


@with_udp
def test_memory_stays_flat(udp: UDP) -> None:
    """Over sends, receives, and receives that time out."""

    def work(rounds: int) -> None:
        for _ in range(rounds):
            udp.send(b"x" * 1000, udp.local_address)
            udp.recv(timeout=SECONDS)
            udp.try_recv()

    work(200)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work(500)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 50_000
    finally:
        tracemalloc.stop()


@with_udp
@pytest.mark.parametrize("wrong", [0, -1, 1_000_001])
def test_a_buffer_of_no_size_is_refused(wrong: int) -> None:
    """And one that is no number."""
    with pytest.raises(ValueError, match="recv_buffer is 1 to 1000000 datagrams"):
        UDP((HOST, 0), recv_buffer=wrong)
    with pytest.raises(TypeError, match="recv_buffer is a number of datagrams, not str"):
        UDP((HOST, 0), recv_buffer="9")  # type: ignore[arg-type]
