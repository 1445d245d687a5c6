"""Read-ahead: `prefetch=N`."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from loops import ASYNCIO, Loop, Tasks, on_all_loops
from races import LONG

import nngio
from nngio import Aio

Address = Callable[[str], str]
Sockets = tuple[Any, Any]

KINDS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "pair0": (nngio.Pair0, nngio.Pair0),
    "pair1": (nngio.Pair1, nngio.Pair1),
    "pull0": (nngio.Push0, nngio.Pull0),
    "bus0": (nngio.Bus0, nngio.Bus0),
    "sub0": (lambda **arguments: nngio.Pub0(**arguments, send_buffer=100), lambda **arguments: nngio.Sub0(subscribe=b"", **arguments)),
    "raw pair1": (lambda **arguments: nngio.Pair1(**arguments, raw=True), lambda **arguments: nngio.Pair1(**arguments, raw=True)),
}


def connect(address: Address, kind: str, prefetch: int, transport: str = "inproc", **options: Any) -> Sockets:
    """One that sends, and one that reads ahead."""
    opens_sender, opens_receiver = KINDS[kind]
    receiver = opens_receiver(listen=address(transport), prefetch=prefetch, **options)
    return opens_sender(dial=receiver.listeners[0].url), receiver


def send_numbers(sender: Any, count: int) -> None:
    for number in range(count):
        message = nngio.Message(b"%d" % number)
        if isinstance(sender, nngio.Pair1) and sender.raw:
            message.header = (1).to_bytes(4, "big")
        sender.send(message, timeout=LONG)


def sending(sender: Any, count: int) -> threading.Thread:
    """A thread that sends numbers."""
    thread = threading.Thread(target=send_numbers, args=(sender, count))
    thread.start()
    return thread


def taken(socket: Any) -> bytes:
    """By an aio."""
    aio = Aio()
    socket.recv_aio(aio)
    aio.wait()
    assert aio.result() == 0
    message = aio.get_msg()
    assert message is not None
    return bytes(message)


def tried(socket: Any) -> bytes:
    """By attempts."""
    while True:
        try:
            return socket.try_recv()  # type: ignore[no-any-return]  # any socket
        except nngio.TryAgain:
            threading.Event().wait(0.001)


SYNC: list[Callable[[Any], list[bytes]]] = [
    lambda s: [s.recv(timeout=LONG)],
    lambda s: [s.recv(timeout=None)],
    lambda s: [bytes(s.recv_msg(timeout=LONG))],
    lambda s: s.recv_many(7, timeout=LONG),  # type: ignore[no-any-return]  # any socket
    lambda s: [bytes(m) for m in s.recv_many_msg(3, timeout=None)],
    lambda s: [taken(s)],
    lambda s: [tried(s)],
    lambda s: [next(iter(s))],
]


@pytest.mark.parametrize("transport", ["inproc", "ipc", "tcp"])
@pytest.mark.parametrize("number", [1, 2, 50])
def test_every_way_of_receiving_takes_what_was_read_ahead_in_order(address: Address, transport: str, number: int) -> None:
    """One after the other, while messages go on coming."""
    sender, receiver = connect(address, "pull0", number, transport)
    with sender, receiver:
        thread = sending(sender, 2000)
        received: list[bytes] = []
        while len(received) < 1990:
            received += SYNC[len(received) % len(SYNC)](receiver)
        while len(received) < 2000:
            received.append(receiver.recv(timeout=LONG))
        assert received == [b"%d" % n for n in range(2000)]
        thread.join()


@on_all_loops
@pytest.mark.parametrize("transport", ["inproc", "tcp"])
def test_so_does_every_way_of_awaiting(loop: Loop, address: Address, transport: str) -> None:
    """With and without a timeout, one message and many, and `async for`."""
    sender, receiver = connect(address, "pull0", 10, transport)

    async def main(_: Tasks) -> None:
        received: list[bytes] = []
        while len(received) < 1000:
            received.append(await receiver.arecv())
            received.append(await receiver.arecv(timeout=LONG))
            received.append(bytes(await receiver.arecv_msg()))
            received += await receiver.arecv_many(5)
            received += [bytes(message) for message in await receiver.arecv_many_msg(5, timeout=LONG)]
            async for body in receiver:
                received.append(body)
                if len(received) % 7 == 0:
                    break
        while len(received) < 1500:
            received.append(await receiver.arecv())
        assert received == [b"%d" % n for n in range(1500)]

    with sender, receiver:
        thread = sending(sender, 1500)
        loop.run(main)
        thread.join()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_for_every_protocol_without_state(address: Address, kind: str) -> None:
    """And for raw sockets."""
    sender, receiver = connect(address, kind, 100)
    with sender, receiver:
        for _ in range(5):
            send_numbers(sender, 10)  # a BUS drops what it can't put into a queue of 16
            assert [bytes(receiver.recv_msg(timeout=LONG)) for _ in range(10)] == [b"%d" % n for n in range(10)]


def room(address: Address, prefetch: int) -> int:
    """How many messages can be sent that nobody receives."""
    sender, receiver = connect(address, "pull0", prefetch)
    with sender, receiver:
        count = 0
        while True:
            try:
                sender.send(b"", timeout=0.3)
            except nngio.TimedOut:
                return count
            count += 1


def test_it_waits_for_as_long_as_it_takes(address: Address) -> None:
    """Whatever the socket's timeout is: that is for receives that don't name one."""
    sender, receiver = connect(address, "pull0", 10, recv_timeout=0.05)
    with sender, receiver, ThreadPoolExecutor(1) as pool:
        for timeout in (None, LONG):
            with pytest.raises(nngio.TimedOut):
                receiver.recv()
            waiting = pool.submit(receiver.recv, timeout=timeout)
            time.sleep(0.2)
            sender.send(b"late", timeout=LONG)
            assert waiting.result(LONG) == b"late"
        time.sleep(0.2)
        for number in range(10):
            sender.send(b"%d" % number, timeout=LONG)  # there is room, though nobody receives
        assert [receiver.recv(timeout=LONG) for _ in range(10)] == [b"%d" % number for number in range(10)]


@pytest.mark.parametrize("number", [1, 7, 100])
def test_it_reads_so_many_messages_ahead_and_no_more(address: Address, number: int) -> None:
    """There is room for that many more than without it."""
    assert room(address, number) == room(address, 0) + number


def test_a_receive_that_waits_gets_the_message_at_once(address: Address) -> None:
    """Those that wait are served in the order of their calls, with a timeout or without."""
    sender, receiver = connect(address, "pair0", 4)

    async def main(_: Tasks) -> None:
        for _ in range(50):
            waiting = [asyncio.ensure_future(receiver.arecv(timeout=None if n % 2 else LONG)) for n in range(10)]
            await asyncio.sleep(0)
            for number in range(10):
                await sender.asend(b"%d" % number)
            assert await asyncio.gather(*waiting) == [b"%d" % number for number in range(10)]

    with sender, receiver:
        ASYNCIO.run(main)


@on_all_loops
def test_a_receive_that_waits_ends_with_its_timeout(loop: Loop, address: Address) -> None:
    """Not with something else, and the next message goes to the next receive."""
    sender, receiver = connect(address, "pair0", 4)

    async def main(_: Tasks) -> None:
        for number in range(20):
            with pytest.raises(nngio.TimedOut):
                await receiver.arecv(timeout=0.002)
            with pytest.raises(nngio.TimedOut):
                receiver.recv(timeout=0.002)
            with pytest.raises(nngio.TryAgain):
                receiver.try_recv()
            sender.send(b"%d" % number)
            assert await receiver.arecv(timeout=LONG) == b"%d" % number

    with sender, receiver:
        loop.run(main)


@on_all_loops
def test_closing_ends_what_waits(loop: Loop, address: Address) -> None:
    """Awaited or in a thread, with a timeout or without: each with `Closed`."""
    sender, receiver = connect(address, "pair0", 4)
    ended: list[BaseException] = []

    def wait_in_thread() -> None:
        try:
            receiver.recv()
        except nngio.Closed as error:
            ended.append(error)

    async def main(tasks: Tasks) -> None:
        waiting = [tasks.start(lambda n=n: receiver.arecv(timeout=None if n % 2 else LONG)) for n in range(6)]  # type: ignore[misc]  # a lambda
        await loop.sleep(0.05)
        await receiver.aclose()
        for task in waiting:
            outcome = await task.wait()
            assert isinstance(outcome.error, nngio.Closed)

    with sender, receiver:
        thread = threading.Thread(target=wait_in_thread)
        thread.start()
        loop.run(main)
        thread.join()
        assert len(ended) == 1


def test_sockets_can_be_closed_at_any_moment(address: Address) -> None:
    """While messages come, wait to be received, and are waited for."""
    for turn in range(200):
        sender, receiver = connect(address, "pull0", 1 + turn % 5)
        aio = Aio()
        with sender, receiver:
            for _ in range(turn % 6 % (2 + turn % 5)):
                sender.send(b"x" * 100, timeout=LONG)
            receiver.recv_aio(aio)
        aio.wait()
        assert aio.result() in (0, nngio.Closed().code)


def test_what_was_read_ahead_is_freed_with_the_socket(address: Address) -> None:
    """Messages that nobody received are gone with it, as NNG's own."""
    for _ in range(20):
        sender, receiver = connect(address, "pull0", 50)
        with sender, receiver:
            for _ in range(20):
                sender.send(bytes(1_000_000), timeout=LONG)
    gc.collect()


@pytest.mark.parametrize("kind", [nngio.Req0, nngio.Rep0, nngio.Surveyor0, nngio.Respondent0], ids=lambda kind: kind.__name__)
def test_a_protocol_with_state_refuses(kind: Any) -> None:
    """Its raw mode doesn't have that state."""
    with pytest.raises(nngio.InvalidArgument, match=f"{kind.__name__} can't prefetch: it receives one message for each"):
        kind(prefetch=1)
    with kind(raw=True, prefetch=1) as socket:
        assert socket.prefetch == 1


@pytest.mark.parametrize("kind", [nngio.Pub0, nngio.Push0], ids=lambda kind: kind.__name__)
def test_what_does_not_receive_refuses(kind: Any) -> None:
    """Raw or not."""
    for raw in (False, True):
        with pytest.raises(nngio.InvalidArgument, match=f"{kind.__name__} receives nothing that it could prefetch"):
            kind(raw=raw, prefetch=1)


def test_its_number_is_checked() -> None:
    """Before a socket is opened; 0 is none."""
    for number in (-1, 1_000_001):
        with pytest.raises(nngio.InvalidArgument, match=f"prefetch is 0 to 1000000 messages; got {number}"):
            nngio.Pull0(prefetch=number)
    with pytest.raises(TypeError, match="prefetch is a number of messages, not str"):
        nngio.Pull0(prefetch="1")  # type: ignore[arg-type]  # on purpose
    with nngio.Pull0() as pull:
        assert pull.prefetch == 0
