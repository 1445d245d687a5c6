"""Many messages in one call: what `send_many` and `recv_many` do, and that they lose nothing."""

import asyncio
import gc
import itertools
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import pytest
from loops import Loop, Tasks, on_all_loops
from races import was_sent

import nngio
from nngio import Message
from nngio.lowlevel import lib

Address = Callable[[str], str]
Pair = tuple[nngio.Pair0, nngio.Pair0]

LONG = 10.0
"""Seconds that nothing here takes, unless it hangs."""


@pytest.fixture
def roomy(address: Address) -> Iterator[Pair]:
    """Two connected sockets with room for 500 messages between them."""
    with (
        nngio.Pair0(listen=address("inproc"), send_buffer=250) as left,
        nngio.Pair0(dial=left.listeners[0].url, recv_buffer=250) as right,
    ):
        yield left, right


def numbers(*range_arguments: int) -> list[bytes]:
    return [b"%d" % number for number in range(*range_arguments)]


def receive(socket: Any, count: int) -> list[bytes]:
    received: list[bytes] = []
    while len(received) < count:
        received += socket.recv_many(count - len(received), timeout=LONG)
    return received


# Synchronous.


@pytest.mark.parametrize("transport", ["inproc", "ipc", "tcp", "ws"])
def test_many_messages_arrive_in_order(transport: str, address: Address) -> None:
    """More of them than there is room for: the sender waits, and nothing is lost."""
    with nngio.Pair0(listen=address(transport)) as left, nngio.Pair0(dial=left.listeners[0].url) as right:
        sender = threading.Thread(target=left.send_many, args=(numbers(3000),))
        sender.start()
        assert receive(right, 3000) == numbers(3000)
        sender.join()


@pytest.mark.parametrize(
    ("sends", "receives"),
    [(nngio.Pair0, nngio.Pair0), (nngio.Pair1, nngio.Pair1), (nngio.Bus0, nngio.Bus0), (nngio.Push0, nngio.Pull0)],
)
def test_protocols_send_and_receive_many(sends: Any, receives: Any, address: Address) -> None:
    """Each that has no state for a single message."""
    with sends(listen=address("inproc")) as left, receives(dial=left.listeners[0].url) as right:
        left.wait_for_peers(timeout=LONG)  # a BUS drops what has nobody to go to
        sender = threading.Thread(target=left.send_many, args=(numbers(10),))
        sender.start()
        assert receive(right, 10) == numbers(10)
        sender.join()


@pytest.mark.parametrize("of_a_context", [False, True])
def test_subscribers_receive_many(of_a_context: bool, address: Address) -> None:
    """By the socket or a context."""
    with nngio.Pub0(listen=address("inproc"), send_buffer=200) as pub, nngio.Sub0(dial=pub.listeners[0].url) as sub:
        receiver = sub.context() if of_a_context else sub
        receiver.subscribe(b"")
        pub.wait_for_peers(timeout=LONG)
        pub.send_many(numbers(10))
        assert receive(receiver, 10) == numbers(10)


def test_what_has_arrived_comes_in_one_call(roomy: Pair) -> None:
    """Up to the maximum that the call names."""
    left, right = roomy
    left.send_many(numbers(300))
    assert right.recv() == b"0"  # by then the others follow
    received = right.recv_many(100, timeout=LONG)
    assert received == numbers(1, 1 + len(received))
    rest = 299 - len(received)
    assert receive(right, rest) == numbers(300 - rest, 300)


def test_it_waits_for_the_first_only(roomy: Pair) -> None:
    """One message is enough."""
    left, right = roomy
    threading.Timer(0.02, left.send, [b"one"]).start()
    assert right.recv_many(timeout=LONG) == [b"one"]


def test_messages_keep_their_identity(roomy: Pair) -> None:
    """`recv_many_msg` gives messages, with the pipe that brought each."""
    left, right = roomy
    left.send_many([Message(b"a"), b"b", bytearray(b"c"), memoryview(b"d")])
    received: list[Message] = []
    while len(received) < 4:
        received += right.recv_many_msg(timeout=LONG)
    assert [bytes(message) for message in received] == [b"a", b"b", b"c", b"d"]
    assert all(message.pipe is not None for message in received)


def test_a_batch_ends_with_the_message_that_makes_it_long(roomy: Pair) -> None:
    """128 KiB: so that a batch is no burden to a loop."""
    left, right = roomy
    left.send_many([bytes(50_000)] * 10)
    sizes: list[int] = []
    while sum(sizes) < 10:
        sizes.append(len(right.recv_many(timeout=LONG)))
    assert max(sizes) <= 3


def test_empty_lists_and_empty_messages() -> None:
    """Nothing to send is sent at once, also without a peer; a message of no bytes is a message."""
    with nngio.Pair0(send_buffer=5) as socket:
        socket.send_many([])
        socket.send_many([b"", b""])


def test_a_send_that_fails_names_what_was_not_sent() -> None:
    """In order, as it was passed; sending that again sends the rest."""
    with nngio.Pair0(send_buffer=5) as socket:
        messages = [b"0", Message(b"1"), *numbers(2, 8)]
        with pytest.raises(nngio.TimedOut) as caught:
            socket.send_many(iter(messages), timeout=0.01)
        assert caught.value.unsent == messages[5:]
        assert bytes(caught.value.message or b"") == b"5"
        assert isinstance(messages[1], Message)
        assert repr(messages[1]) == "<nngio.Message, sent>"
        with pytest.raises(nngio.TimedOut) as caught:
            socket.send_many([Message(b"5"), b"6"], timeout=0)
        assert [bytes(data) for data in caught.value.unsent] == [b"5", b"6"]  # type: ignore[arg-type]  # a Message has bytes
        assert caught.value.message is caught.value.unsent[0]


def test_the_timeout_is_for_all_of_them(address: Address) -> None:
    """A peer that takes a message now and then doesn't prolong it."""
    with nngio.Push0(listen=address("inproc")) as push, nngio.Pull0(dial=push.listeners[0].url) as pull:
        done = threading.Event()

        def slowly() -> None:
            while not done.wait(0.02):
                try:
                    pull.recv(timeout=0)
                except nngio.TimedOut:
                    continue

        slow = threading.Thread(target=slowly)
        slow.start()
        try:
            with pytest.raises(nngio.TimedOut) as caught:
                push.send_many(numbers(1000), timeout=0.2)
        finally:
            done.set()
            slow.join()
        assert len(caught.value.unsent) < 1000


def test_a_closed_socket_refuses() -> None:
    """With everything unsent."""
    socket = nngio.Pair0()
    socket.close()
    with pytest.raises(nngio.Closed) as caught:
        socket.send_many([b"a", b"b"])
    assert caught.value.unsent == [b"a", b"b"]
    with pytest.raises(nngio.Closed):
        socket.recv_many()


@pytest.mark.parametrize("data", [b"abc", "abc", bytearray(b"abc"), Message(b"abc")])
def test_one_message_is_not_taken_for_many(data: Any, lonely: nngio.Pair0) -> None:
    """A bytes object is an iterable of numbers, a str of str."""
    with pytest.raises(TypeError, match="is one message: use send"):
        lonely.send_many(data)


def test_what_is_no_message_is_refused_where_it_stands(roomy: Pair) -> None:
    """Those before it are sent."""
    left, right = roomy
    with pytest.raises(TypeError, match="encode it first"):
        left.send_many([b"a", "b", b"c"])  # type: ignore[list-item]  # on purpose
    assert receive(right, 1) == [b"a"]


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize(
    "kind", ["a str", "a number", "a message that was sent", "a message twice", "a message looked at", "a released view"]
)
def test_what_is_refused_is_the_first_of_what_was_not_sent(kind: str, awaited: bool, roomy: Pair) -> None:
    """Sending the rest of `unsent`, and the item that was refused once it is mended, neither loses nor doubles any."""
    left, right = roomy
    good = Message(b"mended")
    refused: dict[str, tuple[type[Exception], Any]] = {
        "a str": (TypeError, "text"),
        "a number": (TypeError, 5),
        "a message that was sent": (nngio.BadState, Message(b"sent")),
        "a message twice": (nngio.BadState, good),
        "a message looked at": (BufferError, good),
        "a released view": (ValueError, memoryview(b"x")),
    }
    error, item = refused[kind]
    before: list[Any] = numbers(70)
    view: Any = None
    if kind == "a message that was sent":
        left.send(item)
        assert right.recv(timeout=LONG) == b"sent"
    elif kind == "a message twice":
        before[30] = good
    elif kind == "a message looked at":
        view = good.body
    elif kind == "a released view":
        item.release()
    expected = [bytes(data) for data in before]
    behind: list[Any] = [b"behind", bytearray(b"it"), *numbers(5)]
    send: Callable[[Any], Any] = (lambda items: asyncio.run(left.asend_many(items))) if awaited else left.send_many
    with pytest.raises(error) as caught:
        send(iter([*before, item, *behind]))
    unsent = caught.value.unsent  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    assert len(unsent) == 1 + len(behind)
    assert unsent[0] is item
    with pytest.raises(error) as again:
        send(unsent)
    assert again.value.unsent == unsent  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    if kind == "a message looked at":
        view.release()
        send(unsent)
        expected.append(b"mended")
    else:
        send(unsent[1:])
    assert receive(right, len(expected) + len(behind)) == [*expected, *map(bytes, behind)]
    with pytest.raises(nngio.TimedOut):
        right.recv(timeout=0)


def test_a_maximum_below_one_is_refused(lonely: nngio.Pair0) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        lonely.recv_many(0)


def test_the_list_may_change_meanwhile(roomy: Pair) -> None:
    """It is copied before the first message is sent."""
    left, right = roomy
    messages = [bytes(1000) for _ in range(200)]
    sender = threading.Thread(target=left.send_many, args=(messages,))
    sender.start()
    messages.clear()
    gc.collect()
    assert len(receive(right, 1)) == 1
    sender.join()


def test_sending_lists_of_large_messages_does_not_keep_them(roomy: Pair) -> None:
    """Nor does receiving them: what an idle thread holds is bounded."""
    left, right = roomy
    for _ in range(3):
        left.send_many([bytes(100_000)] * 4)
        assert sum(len(body) for body in receive(right, 4)) == 400_000


# Awaited.


@on_all_loops
@pytest.mark.parametrize("transport", ["inproc", "tcp"])
def test_awaited_many_messages_arrive_in_order(loop: Loop, transport: str, address: Address) -> None:
    """More than there is room for, both sides in one loop."""
    count = 2000

    async def main(tasks: Tasks) -> None:
        async with nngio.Pair0(listen=address(transport)) as left, nngio.Pair0(dial=left.listeners[0].url) as right:
            sending = tasks.start(left.asend_many, numbers(count))
            received: list[bytes] = []
            while len(received) < count:
                received += await right.arecv_many(timeout=LONG)
            assert received == numbers(count)
            (await sending.wait()).result()

    loop.run(main)


@on_all_loops
def test_awaited_messages_are_messages(loop: Loop, roomy: Pair) -> None:
    """`arecv_many_msg`."""
    left, right = roomy

    async def main(_: Tasks) -> None:
        await left.asend_many([Message(b"a"), b"b", bytearray(b"c")])
        received: list[Message] = []
        while len(received) < 3:
            received += await right.arecv_many_msg(timeout=LONG)
        assert [bytes(message) for message in received] == [b"a", b"b", b"c"]

    loop.run(main)


@on_all_loops
def test_awaited_batches_are_bounded(loop: Loop, roomy: Pair) -> None:
    """32 at most, so that other tasks have their turn."""
    left, right = roomy
    left.send_many(numbers(200))

    async def main(_: Tasks) -> None:
        received = 0
        while received < 200:
            batch = await right.arecv_many(1000)
            assert 1 <= len(batch) <= 32
            received += len(batch)

    loop.run(main)


@on_all_loops
def test_an_awaited_send_that_fails_names_what_was_not_sent(loop: Loop) -> None:
    """As the synchronous one."""

    async def main(_: Tasks) -> None:
        async with nngio.Pair0(send_buffer=5) as socket:
            with pytest.raises(nngio.TimedOut) as caught:
                await socket.asend_many(numbers(8), timeout=0.01)
            assert caught.value.unsent == numbers(5, 8)
            assert bytes(caught.value.message or b"") == b"5"

    loop.run(main)


@on_all_loops
def test_a_cancelled_batch_loses_nothing(loop: Loop, address: Address) -> None:
    """Receives of many, cancelled at random while a stream flows: each message once, in order, by whatever verb comes next."""
    count = 4000
    rng = random.Random(count)

    async def main(tasks: Tasks) -> None:
        async with (
            nngio.Pair0(listen=address("inproc"), send_buffer=50) as left,
            nngio.Pair0(dial=left.listeners[0].url, recv_buffer=50) as right,
        ):
            received: list[bytes] = []

            async def receive_some() -> None:
                verb = rng.randrange(3)
                if verb == 0:
                    received.extend(await right.arecv_many(rng.randrange(1, 40)))
                elif verb == 1:
                    received.extend(bytes(m) for m in await right.arecv_many_msg(rng.randrange(1, 40)))
                else:
                    received.append(await right.arecv())

            async def send() -> None:
                for start in itertools.count(0, 20):
                    if start >= count:
                        break
                    await left.asend_many(numbers(start, start + 20))

            sending = tasks.start(send)
            while len(received) < count:
                receiving = tasks.start(receive_some)
                for _ in range(rng.randrange(3)):
                    await loop.sleep(0)
                if rng.random() < 0.5:
                    receiving.cancel()
                await receiving.wait()
            (await sending.wait()).result()
            assert received == numbers(count)

    loop.run(main)


def test_a_batch_whose_loop_is_dropped_goes_to_the_next(roomy: Pair) -> None:
    """Messages that a task had been given and not seen."""
    left, right = roomy
    loop = asyncio.new_event_loop()
    task = loop.create_task(right.arecv_many())
    loop.run_until_complete(asyncio.sleep(0))
    left.send_many(numbers(10))
    loop.close()
    assert not task.done()
    assert receive(right, 10) == numbers(10)


# A signal whose handler raises. Python looks for signals when a call has returned, so here one comes after each call in turn.


@contextmanager
def interrupt_after(calls: int) -> Iterator[list[bool]]:
    """Raise KeyboardInterrupt in a verb for many when so many of its calls into C have returned; tell whether it came to that."""
    returned = itertools.count(1)
    interrupted: list[bool] = []

    def look(frame: FrameType, event: str, _: object) -> None:
        if event == "c_return" and frame.f_code.co_filename == nngio._channel_many.__file__ and next(returned) == calls:
            raise KeyboardInterrupt

    sys.setprofile(look)
    try:
        yield interrupted
    except KeyboardInterrupt:
        interrupted.append(True)
    finally:
        sys.setprofile(None)


# A sender without a buffer: when its fifth message is taken, the first three have arrived, so that a batch has more than one.


@pytest.fixture
def prompt(address: Address) -> Iterator[Pair]:
    """Two connected sockets, with room at the receiver alone."""
    with (
        nngio.Pair0(listen=address("inproc"), send_buffer=0) as left,
        nngio.Pair0(dial=left.listeners[0].url, recv_buffer=250) as right,
    ):
        yield left, right


@pytest.mark.parametrize("verb", ["recv_many", "recv_many_msg"])
def test_a_receive_that_is_interrupted_after_any_call_into_c_loses_nothing(verb: str, prompt: Pair) -> None:
    """The whole batch that it had already is received by the next ones, in order."""
    left, right = prompt
    received: list[bytes] = []
    kept: list[int] = []
    for calls in itertools.count(1):
        left.send_many(numbers(len(received), len(received) + 5))
        received.append(right.recv(timeout=LONG))
        with interrupt_after(calls) as interrupted:
            received += [bytes(body) for body in getattr(right, verb)(3, timeout=LONG)]
        kept.append(lib.nngio_handle_parked(right._handle))
        received += receive(right, 5 * calls - len(received))
        assert received == numbers(5 * calls)
        if not interrupted:
            break
    assert max(kept) > 1


@on_all_loops
@pytest.mark.parametrize("verb", ["arecv_many", "arecv_many_msg"])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("waits", [False, True])
def test_an_awaited_receive_that_is_interrupted_after_any_call_into_c_loses_nothing(
    loop: Loop, waits: bool, large: bool, verb: str, prompt: Pair
) -> None:
    """Whether it had to wait or not, and large messages, which are not kept for long, too."""
    left, right = prompt
    received: list[bytes] = []
    kept: list[int] = []

    def burst(calls: int) -> list[bytes]:
        return [body.ljust(30_000) if large else body for body in numbers(5 * calls - 5, 5 * calls)]

    async def send(bodies: list[bytes]) -> None:
        await loop.sleep(0)
        for body in bodies:
            left.send(body)

    async def main(tasks: Tasks) -> None:
        for calls in itertools.count(1):
            sending = tasks.start(send, burst(calls))
            if not waits:
                received.append(await right.arecv(timeout=LONG))
            with interrupt_after(calls) as interrupted:
                received.extend([bytes(body) for body in await getattr(right, verb)(3, timeout=LONG)])
            kept.append(lib.nngio_handle_parked(right._handle))
            (await sending.wait()).result()
            received.extend(receive(right, 5 * calls - len(received)))
            assert received[-5:] == burst(calls)
            if not interrupted:
                break

    loop.run(main)
    assert max(kept) > 1


def check_what_was_sent(messages: list[Any], right: nngio.Pair0) -> int:
    """What has arrived before the end is the first of them, as messages tell. Returns how many they are."""
    arrived = list(iter(partial(right.recv, timeout=LONG), b"end"))
    assert arrived == numbers(len(arrived))
    for number, message in enumerate(messages):
        assert not isinstance(message, Message) or was_sent(message) == (number < len(arrived))
    return len(arrived)


def test_a_send_that_is_interrupted_after_any_call_into_c_has_sent_the_first_of_them(roomy: Pair) -> None:
    """As messages tell: those that were sent are empty."""
    left, right = roomy
    for calls in itertools.count(1):
        messages = [Message(b"0"), b"1", bytearray(b"2"), Message(b"3"), Message(b"4")]
        with interrupt_after(calls) as interrupted:
            left.send_many(messages)
        left.send(b"end")
        sent = check_what_was_sent(messages, right)
        if not interrupted:
            break
    assert sent == 5
    assert calls > sent


@on_all_loops
def test_an_awaited_send_that_is_interrupted_after_any_call_into_c_has_sent_the_first_of_them(loop: Loop, roomy: Pair) -> None:
    """The same on loops."""
    left, right = roomy

    async def main(_: Tasks) -> None:
        for calls in itertools.count(1):
            messages = [Message(b"0"), b"1", bytearray(b"2"), Message(b"3"), Message(b"4")]
            with interrupt_after(calls) as interrupted:
                await left.asend_many(messages)
            left.send(b"end")
            sent = check_what_was_sent(messages, right)
            if not interrupted:
                break
        assert sent == 5
        assert calls > sent

    loop.run(main)
