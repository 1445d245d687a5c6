"""Views of a message's body: whose memory they are, how long they last, and what they keep from being sent."""

import ctypes
import gc
from collections.abc import Callable

import pytest

import nngio
from nngio import Aio, Message

Address = Callable[[str], str]
Pair = tuple[nngio.Pair0, nngio.Pair0]
SECONDS = 10.0

BODY = bytes(range(256))


def test_the_body_is_a_writable_view() -> None:
    """All views are of the same memory, which is the message's."""
    message = Message(b"hello")
    one, other = message.body, message.body
    assert not one.readonly
    assert (one.format, one.itemsize, one.ndim, one.nbytes, one.contiguous) == ("B", 1, 1, 5, True)
    one[0:1] = b"j"
    assert other == b"jello"
    assert bytes(message) == b"jello"
    assert bytes(other[1:4]) == b"ell"


def test_a_view_outlives_its_message() -> None:
    """A view keeps the memory: the message object, its copies and the collector don't matter."""
    views = []
    for number in range(100):
        message = Message(bytes([number]) * 4096)
        views.append(message.body[1:4095].cast("H") if number % 2 else message.body.toreadonly())
        del message
    gc.collect()
    fill = [bytes([255]) * 4096 for _ in range(200)]
    for number, view in enumerate(views):
        assert set(view.tobytes()) == {number}
    assert len(fill) == 200


def hold_with_ctypes(view: memoryview) -> object:
    """An object of C's that holds the buffer, and no memoryview."""
    return (ctypes.c_char * len(view)).from_buffer(view)


@pytest.mark.parametrize(
    "look",
    [
        lambda view: view,
        lambda view: memoryview(view),
        lambda view: view[2:4],
        lambda view: view[::2],
        lambda view: view.cast("B").cast("H"),
        lambda view: view.toreadonly()[1:],
        hold_with_ctypes,
    ],
    ids=["view", "view of view", "slice", "steps", "cast", "readonly", "ctypes"],
)
def test_a_message_that_is_looked_at_is_not_sent(look: Callable[[memoryview], object], pair: Pair) -> None:
    """BufferError while anything looks at its body; the message stays, and is sent when nothing does."""
    left, right = pair
    message, aio = Message(b"123456"), Aio()
    aio.set_msg(message)
    held = look(message.body)
    for send in (lambda: left.send(message), lambda: left.try_send(message), lambda: left.send_aio(aio)):
        with pytest.raises(BufferError, match="release"):
            send()
    assert bytes(message) == b"123456"
    assert message.body == b"123456"
    assert not aio.busy
    del held
    left.send(message)
    assert right.recv(timeout=SECONDS) == b"123456"


def test_a_view_that_is_released_lets_the_message_go(pair: Pair) -> None:
    """At the end of a `with` block, or by `release`, though the object is still there."""
    left, right = pair
    message = Message(b"hello")
    with message.body as view:
        pass
    other = message.body
    other.release()
    left.send(message)
    assert right.recv(timeout=SECONDS) == b"hello"
    for released in (view, other):
        with pytest.raises(ValueError, match="released"):
            released[0]


def test_a_view_of_a_received_message_keeps_it(pair: Pair) -> None:
    """The sockets and the message object may go; the bytes stay."""
    left, right = pair
    left.send(BODY)
    view = right.recv_msg(timeout=SECONDS).body
    left.close()
    right.close()
    gc.collect()
    assert view == BODY


def test_a_received_message_is_the_receivers_alone(address: Address) -> None:
    """Writing to it changes no other receiver's message, though all have come of one send within the process."""
    with nngio.Pub0(listen=address("inproc")) as pub:
        url = pub.listeners[0].url
        with (
            nngio.Sub0(subscribe=b"", dial=url) as one,
            nngio.Sub0(subscribe=b"", dial=url) as other,
            one.context() as first,
            one.context() as second,
        ):
            first.subscribe()
            second.subscribe()
            receivers = [one, other, first, second]
            for receiver in receivers:  # each has its connection when it has received
                while True:
                    pub.send(b"begin")
                    try:
                        receiver.recv(timeout=0.1)
                        break
                    except nngio.TimedOut:
                        continue
            pub.send(BODY)
            messages = []
            for receiver in receivers:
                while len(message := receiver.recv_msg(timeout=SECONDS)) != len(BODY):
                    pass
                messages.append(message)
            for number, message in enumerate(messages):
                assert bytes(message) == BODY
                with message.body as view:
                    view[:] = bytes([number]) * len(BODY)
            assert [bytes(message)[0] for message in messages] == [0, 1, 2, 3]
