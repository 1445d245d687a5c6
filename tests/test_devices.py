"""Devices: what raw sockets receive is sent on by others, through each protocol, from beginning to end."""

import copy
import gc
import itertools
import pickle
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import pytest
from aios import eventually
from loops import ASYNCIO, Loop, Tasks, on_all_loops
from programs import FORKS, run
from races import LONG

import nngio
from nngio import Device, Message, adevice, device

Address = Callable[[str], str]


class Kind(NamedTuple):
    """A client and a server, and what faces each of them in a device."""

    client: Callable[..., Any]
    front: Callable[..., Any]
    back: Callable[..., Any]
    server: Callable[..., Any]
    answers: bool = True


def subscriber(**arguments: Any) -> nngio.Sub0:
    return nngio.Sub0(subscribe=b"", **arguments)


KINDS = {
    "reqrep": Kind(nngio.Req0, nngio.Rep0, nngio.Req0, nngio.Rep0),
    "survey": Kind(nngio.Surveyor0, nngio.Respondent0, nngio.Surveyor0, nngio.Respondent0),
    "pubsub": Kind(nngio.Pub0, nngio.Sub0, nngio.Pub0, subscriber, answers=False),
    "pipeline": Kind(nngio.Push0, nngio.Pull0, nngio.Push0, nngio.Pull0, answers=False),
    "pair0": Kind(nngio.Pair0, nngio.Pair0, nngio.Pair0, nngio.Pair0),
    "pair1": Kind(nngio.Pair1, nngio.Pair1, nngio.Pair1, nngio.Pair1),
    "bus": Kind(nngio.Bus0, nngio.Bus0, nngio.Bus0, nngio.Bus0),
}
REPEATS = {"pubsub", "bus", "survey"}
"""What drops messages as long as there is nobody to send them to."""


class Line:
    """A client, raw sockets in pairs, and a server, connected one after the other; `options` are for those that have them."""

    def __init__(self, stack: ExitStack, address: Address, kind: str, transport: str, number: int, **options: Any) -> None:
        self.kind = kind
        what = KINDS[kind]

        def opened(opens: Callable[..., Any], **arguments: Any) -> Any:
            has = {name: value for name, value in options.items() if hasattr(opens, name)}
            return stack.enter_context(opens(**arguments, **has))

        self.server = opened(what.server, listen=address(transport))
        url = self.server.listeners[0].url
        self.pairs: list[tuple[Any, Any]] = []
        for _ in range(number):
            back = opened(what.back, raw=True, dial=url)
            front = opened(what.front, raw=True, listen=address(transport))
            url = front.listeners[0].url
            self.pairs.insert(0, (front, back))
        self.client = opened(what.client, dial=url)

    def send(self, body: bytes) -> None:
        """From the client to the server."""
        until = time.monotonic() + LONG
        while True:
            self.client.send(body, timeout=LONG)
            try:
                got = self.server.recv(timeout=0.2 if self.kind in REPEATS else LONG)
            except nngio.TimedOut:
                assert time.monotonic() < until
                continue
            assert got == body
            return

    def answer(self, body: bytes) -> None:
        """From the server to the client."""
        self.server.send(body, timeout=LONG)
        assert self.client.recv(timeout=LONG) == body

    def converse(self, times: int = 3) -> None:
        """Messages there, and answers back if the protocol has any."""
        if self.kind == "survey":
            self.client.survey_time = LONG
        for number in range(times):
            self.send(b"question %d" % number)
            if KINDS[self.kind].answers:
                self.answer(b"answer %d" % number)


@contextmanager
def line(address: Address, kind: str, transport: str = "inproc", number: int = 1, **options: Any) -> Iterator[Line]:
    with ExitStack() as stack:
        yield Line(stack, address, kind, transport, number, **options)


def numbers(socket: Any, many: int) -> list[int]:
    return [int(socket.recv(timeout=LONG)) for _ in range(many)]


# What a device forwards.


@pytest.mark.parametrize("transport", ["inproc", "ipc", "tcp"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["front first", "back first"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_device_carries_a_protocol_whichever_socket_comes_first(
    address: Address, kind: str, order: tuple[int, int], transport: str
) -> None:
    """Questions there and answers back, where the protocol has any, and both are counted."""
    with line(address, kind, transport) as it:
        ends = it.pairs[0]
        with Device(ends[order[0]], ends[order[1]]) as forwarder:
            it.converse()
            assert eventually(lambda: sum(forwarder.forwarded) >= (6 if KINDS[kind].answers else 3))
            there, back = (forwarder.forwarded[i] for i in order)
            assert there >= 3
            assert (back >= 3) if KINDS[kind].answers else (back == 0)


@pytest.mark.parametrize("transport", ["inproc", "ipc", "tcp"])
def test_a_request_goes_through_two_devices_and_back(address: Address, transport: str) -> None:
    """Each in a thread of its own, in `device`, until its sockets are closed."""
    ends: list[BaseException] = []

    def forward(front: Any, back: Any) -> None:
        try:
            device(front, back)
        except nngio.Closed as error:
            ends.append(error)

    with line(address, "reqrep", transport, number=2) as it:
        threads = [threading.Thread(target=forward, args=pair) for pair in it.pairs]
        for thread in threads:
            thread.start()
        it.converse(50)
    for thread in threads:
        thread.join(LONG)
    assert [str(error) for error in ends] == ["a socket of this device is closed, so the device has ended"] * 2


@pytest.mark.parametrize("transport", ["inproc", "ipc", "tcp"])
@on_all_loops
def test_a_request_goes_through_two_devices_on_a_loop_and_back(loop: Loop, address: Address, transport: str) -> None:
    """As tasks, beside those that ask and answer; cancelling them ends the devices, and leaves the sockets open."""

    async def main(tasks: Tasks) -> None:
        with line(address, "reqrep", transport, number=2) as it:
            forwarders = [tasks.start(adevice, *pair) for pair in it.pairs]

            async def serve() -> None:
                async for request in it.server:
                    await it.server.asend(b"to " + request)

            server = tasks.start(serve)
            for number in range(20):
                assert await it.client.arequest(b"%d" % number, timeout=LONG) == b"to %d" % number
            for task in (*forwarders, server):
                task.cancel()
                assert (await task.wait()).cancelled
            with Device(*it.pairs[0]), Device(*it.pairs[1]):
                task = tasks.start(serve)
                assert await it.client.arequest(b"again", timeout=LONG) == b"to again"
                task.cancel()
                await task.wait()

    loop.run(main)


def test_each_answer_finds_its_client(address: Address) -> None:
    """Many clients on one device, which has two servers behind it: a broker."""
    clients, requests = 8, 30
    with ExitStack() as stack:
        front = stack.enter_context(nngio.Rep0(raw=True, listen=address("tcp")))
        back = stack.enter_context(nngio.Req0(raw=True, listen=address("tcp")))
        stack.enter_context(Device(front, back))
        servers = [stack.enter_context(nngio.Rep0(dial=back.listeners[0].url)) for _ in range(2)]

        def serve(rep: nngio.Rep0) -> None:
            for request in rep:
                rep.send(b"to " + request)

        threads = [threading.Thread(target=serve, args=(rep,)) for rep in servers]
        for thread in threads:
            thread.start()
        wrong: list[object] = []

        def ask(number: int) -> None:
            with nngio.Req0(dial=front.listeners[0].url) as req:
                for i in range(requests):
                    body = b"%d of %d" % (i, number)
                    reply = req.request(body, timeout=LONG)
                    if reply != b"to " + body:
                        wrong.append((body, reply))

        asking = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join(LONG)
        assert not wrong
    for thread in threads:
        thread.join(LONG)


@pytest.mark.parametrize("transport", ["inproc", "tcp"])
@pytest.mark.parametrize("kind", ["reqrep", "survey", "pair1"])
def test_the_longest_line_of_devices_brings_the_body_there_and_back_as_it_was(address: Address, kind: str, transport: str) -> None:
    """14 devices, and the header is nearly as long as there is room for it."""
    with line(address, kind, transport, number=14, max_ttl=15) as it, ExitStack() as stack:
        forwarders = [stack.enter_context(Device(*pair)) for pair in it.pairs]
        for size in (0, 1, 31, 100, 960, 1024, 5000):
            it.send(b"q" * size)
            for answer in (b"a" * size, Message(b"m" * size)):
                it.server.send(answer, timeout=LONG)
                assert it.client.recv(timeout=LONG) == (b"a" if isinstance(answer, bytes) else b"m") * size
                if kind != "pair1":
                    break
        assert all(forwarder.running for forwarder in forwarders)


def test_an_answer_that_is_a_message_has_room_for_a_long_way_back(address: Address) -> None:
    """Also one that had come from elsewhere, with a context of the socket's."""
    with line(address, "reqrep", number=12, max_ttl=15) as it, ExitStack() as stack:
        for pair in it.pairs:
            stack.enter_context(Device(*pair))
        pull = stack.enter_context(nngio.Pull0(listen=address("tcp")))
        push = stack.enter_context(nngio.Push0(dial=pull.listeners[0].url))
        context = it.server.context()
        for size in (0, 1, 40, 100, 1023, 1024, 2000):
            it.client.send(b"question")
            assert context.recv(timeout=LONG) == b"question"
            push.send(b"x" * size)
            context.send(pull.recv_msg(timeout=LONG))
            assert it.client.recv(timeout=LONG) == b"x" * size


# Loops of devices.


@pytest.mark.parametrize("hops", [1, 3, 8, 15])
@pytest.mark.parametrize("kind", ["reqrep", "survey"])
def test_a_message_that_goes_round_in_devices_is_stopped_by_its_hops(address: Address, kind: str, hops: int) -> None:
    """Two devices, each behind the other: a request makes as many hops as `max_ttl` allows, and no more."""
    what = KINDS[kind]
    with ExitStack() as stack:
        fronts = [stack.enter_context(what.front(raw=True, listen=address("inproc"), max_ttl=hops)) for _ in range(2)]
        urls = [front.listeners[0].url for front in fronts]
        backs = [stack.enter_context(what.back(raw=True, dial=url)) for url in reversed(urls)]
        forwarders = [stack.enter_context(Device(*ends)) for ends in zip(fronts, backs, strict=True)]
        client = stack.enter_context(what.client(dial=urls[0]))

        def made() -> int:
            return sum(sum(forwarder.forwarded) for forwarder in forwarders)

        client.send(b"round and round")
        assert eventually(lambda: made() == hops)
        with nngio.Pair0(recv_timeout=0.1) as lonely, pytest.raises(nngio.TimedOut):
            lonely.recv()
        assert made() == hops


@pytest.mark.parametrize("hops", [1, 3, 8, 15])
def test_a_pair1_message_that_goes_round_in_devices_is_stopped_by_its_hops(address: Address, hops: int) -> None:
    """A ring of two devices, into which one of the sockets sends."""
    with ExitStack() as stack:
        listening = [stack.enter_context(nngio.Pair1(raw=True, listen=address("inproc"), max_ttl=hops)) for _ in range(2)]
        dialing = [stack.enter_context(nngio.Pair1(raw=True, dial=s.listeners[0].url, max_ttl=hops)) for s in reversed(listening)]
        forwarders = [stack.enter_context(Device(*ends)) for ends in zip(listening, dialing, strict=True)]
        message = Message(b"round and round")
        message.header = bytes(4)
        dialing[0].send(message)

        def made() -> int:
            return sum(sum(forwarder.forwarded) for forwarder in forwarders)

        assert eventually(lambda: made() == hops)
        with nngio.Pair0(recv_timeout=0.1) as lonely, pytest.raises(nngio.TimedOut):
            lonely.recv()
        assert made() == hops


# Reflectors.


@pytest.mark.parametrize("ends", [lambda s: (s,), lambda s: (s, None), lambda s: (s, s)], ids=["one", "one and None", "twice"])
@pytest.mark.parametrize("kind", [nngio.Pair0, nngio.Pair1])
def test_a_reflected_pair_hears_itself(address: Address, kind: Callable[..., Any], ends: Callable[[Any], tuple[Any, ...]]) -> None:
    """What it sends comes back."""
    with kind(raw=True, listen=address("tcp")) as mirror, kind(dial=mirror.listeners[0].url) as pair, Device(*ends(mirror)) as forwarder:
        for number in range(10):
            pair.send(b"%d" % number)
            assert pair.recv(timeout=LONG) == b"%d" % number
        assert eventually(lambda: forwarder.forwarded == (10, 0))
        assert forwarder.sockets == (mirror, mirror)


def test_a_reflected_bus_is_a_hub(address: Address) -> None:
    """Each hears what the others say, though they are not connected, and not what it says itself."""
    with nngio.Bus0(raw=True, listen=address("tcp")) as hub, ExitStack() as stack:
        buses = [stack.enter_context(nngio.Bus0(dial=hub.listeners[0].url)) for _ in range(3)]
        for bus in buses:  # a peer that the hub has heard is there
            bus.send(b"here")
            assert hub.recv(timeout=LONG) == b"here"
        stack.enter_context(Device(hub))
        for speaker in buses:
            speaker.send(b"hello")
            for bus in buses:
                if bus is not speaker:
                    assert bus.recv(timeout=LONG) == b"hello"
        for bus in buses:
            with pytest.raises(nngio.TryAgain):
                bus.try_recv()


# The end of a device.


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_a_device_ends_when_one_of_its_sockets_is_closed(address: Address, kind: str, which: int) -> None:
    """With Closed, for all who wait for it; the other socket stays open."""
    with line(address, kind) as it:
        ends = it.pairs[0]
        forwarder = Device(*ends)
        errors: list[BaseException] = []

        def join() -> None:
            try:
                forwarder.join(timeout=LONG)
            except nngio.NNGError as error:
                errors.append(error)

        threads = [threading.Thread(target=join) for _ in range(3)]
        for thread in threads:
            thread.start()
        it.converse(1)
        ends[which].close()
        for thread in threads:
            thread.join(LONG)
        assert [type(error) for error in errors] == [nngio.Closed] * 3
        assert not forwarder.running
        with pytest.raises(nngio.Closed):
            forwarder.join()
        forwarder.close()
        with pytest.raises(nngio.Closed):
            forwarder.join()
        assert not ends[1 - which].closed
        with pytest.raises(nngio.Closed):
            Device(*ends)


@pytest.mark.parametrize("which", [0, 1])
@on_all_loops
def test_a_task_hears_that_a_socket_is_closed(loop: Loop, which: int, address: Address) -> None:
    """Whichever of the two."""

    async def main(tasks: Tasks) -> None:
        with line(address, "pipeline") as it:
            ends = it.pairs[0]
            task = tasks.start(adevice, *ends)
            await it.client.asend(b"forwarded", timeout=LONG)
            assert await it.server.arecv(timeout=LONG) == b"forwarded"
            await ends[which].aclose()
            assert isinstance((await task.wait()).error, nngio.Closed)
            assert not ends[1 - which].closed

    loop.run(main)


def test_a_device_that_is_closed_leaves_its_sockets_open(address: Address) -> None:
    """They can be in the next device, and be received from by hand."""
    with line(address, "pipeline") as it:
        front, back = it.pairs[0]
        for _ in range(3):
            with Device(front, back) as forwarder:
                it.converse()
                assert forwarder.running
            assert not forwarder.running
            forwarder.close()
            forwarder.join()  # returns at once, because it was closed
            it.client.send(b"by hand", timeout=LONG)
            back.send(front.recv_msg(timeout=LONG))
            assert it.server.recv(timeout=LONG) == b"by hand"


def test_a_device_has_a_timeout(address: Address) -> None:
    """`device` ends with it; who only waits for one leaves it running."""
    with line(address, "pair0") as it:
        ends = it.pairs[0]
        with pytest.raises(nngio.TimedOut):
            device(*ends, timeout=0.05)
        with Device(*ends) as forwarder:
            for timeout in (0, 0.01):
                with pytest.raises(nngio.TimedOut):
                    forwarder.join(timeout=timeout)
            it.converse()
        with pytest.raises(ValueError, match="0 or more seconds"):
            device(*ends, timeout=-1)


@on_all_loops
def test_a_device_on_a_loop_has_a_timeout(loop: Loop, address: Address) -> None:
    """Its own, or the loop's; and waiting can be cancelled by itself."""

    async def main(tasks: Tasks) -> None:
        with line(address, "pair0") as it:
            ends = it.pairs[0]
            with pytest.raises(nngio.TimedOut):
                await adevice(*ends, timeout=0.05)
            async with loop.timeout(0.05) as limit:
                await adevice(*ends)
            assert limit.expired
            async with Device(*ends) as forwarder:
                for timeout in (0, 0.01):
                    with pytest.raises(nngio.TimedOut):
                        await forwarder.ajoin(timeout=timeout)
                waiting = [tasks.start(forwarder.ajoin) for _ in range(3)]
                await loop.sleep(0.01)
                waiting[1].cancel()
                assert (await waiting[1].wait()).cancelled
                it.converse()
            for task in (waiting[0], waiting[2]):
                assert (await task.wait()).error is None
            await forwarder.ajoin()

    loop.run(main)


def test_a_loop_that_ends_leaves_the_device_running(address: Address) -> None:
    """Whoever waited for it there."""
    with line(address, "pair0") as it, Device(*it.pairs[0]) as forwarder:

        async def main(tasks: Tasks) -> None:
            tasks.start(forwarder.ajoin)
            await ASYNCIO.sleep(0.01)

        ASYNCIO.run(main)
        it.converse()


# What is on its way.


def test_a_message_that_was_on_its_way_stays_with_the_socket_that_received_it(address: Address) -> None:
    """As it was, with its header; a receive gets it, or the next device."""
    with (
        nngio.Rep0(raw=True, listen=address("inproc")) as front,
        nngio.Req0(raw=True) as back,
        nngio.Req0(dial=front.listeners[0].url) as client,
        nngio.Req0(dial=front.listeners[0].url) as other,
    ):
        with Device(front, back):  # with nobody behind it
            client.send(b"first")
            other.send(b"second")
        messages = {bytes(m): m for m in (front.recv_msg(timeout=LONG), front.recv_msg(timeout=LONG))}
        assert set(messages) == {b"first", b"second"}
        for message in messages.values():
            pipe = message.pipe
            assert pipe is not None
            assert len(message.header) == 8
            assert message.header[:4] == pipe.id.to_bytes(4, "big")
            front.send(message)
        assert client.recv(timeout=LONG) == b"first"
        assert other.recv(timeout=LONG) == b"second"

        client.send(b"third")
        with Device(front, back):
            pass
        with Device(front, back), nngio.Rep0(listen=address("inproc")) as server:
            back.dial(server.listeners[0].url)
            assert server.recv(timeout=LONG) == b"third"
            server.send(b"answer")
            assert client.recv(timeout=LONG) == b"answer"


def test_a_pair1_message_that_was_on_its_way_keeps_its_hops(address: Address) -> None:
    """A device that gave it back has not forwarded it."""
    with line(address, "pair1") as it:
        front, back = it.pairs[0]
        lonely = nngio.Pair1(raw=True)
        with lonely:
            for _ in range(3):
                with Device(front, lonely):
                    pass
            it.client.send(b"a hop", timeout=LONG)
            for _ in range(3):
                with Device(front, lonely) as forwarder:
                    assert forwarder.forwarded == (0, 0)
            message = front.recv_msg(timeout=LONG)
            assert message.header == (1).to_bytes(4, "big")
            back.send(message)
            assert it.server.recv(timeout=LONG) == b"a hop"


@pytest.mark.parametrize("transport", ["inproc", "tcp"])
@pytest.mark.parametrize("kind", ["pipeline", "pair0", "pair1"])
def test_devices_that_come_and_go_lose_nothing(address: Address, kind: str, transport: str) -> None:
    """Each message arrives once, in order, though the device ends and begins anew a hundred times meanwhile."""
    with line(address, kind, transport) as it:
        ends = it.pairs[0]
        enough = threading.Event()

        def send() -> None:
            for number in itertools.count():
                it.client.send(b"%d" % number, timeout=LONG)
                if enough.is_set():
                    it.client.send(b"", timeout=LONG)
                    return

        def receive() -> None:
            while body := it.server.recv(timeout=LONG):
                got.append(int(body))

        got: list[int] = []
        threads = [threading.Thread(target=send), threading.Thread(target=receive)]
        for thread in threads:
            thread.start()
        for device in range(100):
            with Device(*ends) as forwarder:
                until = forwarder.forwarded[0] + device % 7
                while forwarder.forwarded[0] < until:
                    assert all(thread.is_alive() for thread in threads)
                    time.sleep(0)
        enough.set()
        with Device(*ends):
            for thread in threads:
                thread.join(LONG)
        assert got == list(range(len(got)))
        assert len(got) >= 250  # the devices forwarded that many at least


@on_all_loops
def test_devices_that_are_cancelled_lose_nothing(loop: Loop, address: Address) -> None:
    """As tasks, at whatever moment."""
    many = 300

    async def main(tasks: Tasks) -> None:
        with line(address, "pipeline") as it:

            async def send() -> None:
                for number in range(many):
                    await it.client.asend(b"%d" % number, timeout=LONG)

            async def receive() -> list[int]:
                return [int(await it.server.arecv(timeout=LONG)) for _ in range(many)]

            sender, receiver = tasks.start(send), tasks.start(receive)
            for number in itertools.count():
                task = tasks.start(adevice, *it.pairs[0])
                for _ in range(number % 5):
                    await loop.sleep(0)
                await loop.sleep(0.0005)
                task.cancel()
                assert (await task.wait()).cancelled
                if receiver.done:
                    break
            assert (await sender.wait()).error is None
            assert (await receiver.wait()).result() == list(range(many))

    loop.run(main)


def test_others_may_receive_beside_a_device(address: Address) -> None:
    """Each message goes to one of them, and none is lost."""
    many = 2000
    with line(address, "pipeline") as it:
        front, back = it.pairs[0]
        by_hand: list[int] = []

        def take() -> None:
            while len(by_hand) < 5:
                by_hand.append(int(front.recv(timeout=LONG)))

        thread = threading.Thread(target=take)
        thread.start()
        with Device(front, back):

            def send() -> None:
                for number in range(many):
                    it.client.send(b"%d" % number, timeout=LONG)

            sender = threading.Thread(target=send)
            sender.start()
            got: list[int] = []
            while len(got) + len(by_hand) < many:
                got += numbers(it.server, 1)
            sender.join(LONG)
            thread.join(LONG)
        assert sorted(got + by_hand) == list(range(many))
        assert len(by_hand) == 5


def test_a_device_gets_what_a_loop_that_stands_still_has(address: Address) -> None:
    """A receive that waits on such a loop does not keep the message that it was given."""
    with line(address, "pipeline") as it:
        front, back = it.pairs[0]
        loop = ASYNCIO.factory()
        try:
            task = loop.create_task(front.arecv())
            loop.call_later(0.01, loop.stop)
            loop.run_forever()
            it.client.send(b"for whom?", timeout=LONG)
            with Device(front, back):
                assert it.server.recv(timeout=LONG) == b"for whom?"
            task.cancel()
            loop.call_later(0.01, loop.stop)
            loop.run_forever()
        finally:
            loop.close()


def test_peers_come_and_go_behind_a_device(address: Address) -> None:
    """A device with nobody there holds what it has received until somebody is."""
    with nngio.Pull0(raw=True, listen=address("tcp")) as front, nngio.Push0(raw=True, listen=address("tcp")) as back, Device(front, back):
        for number in range(20):
            with nngio.Push0(dial=front.listeners[0].url) as client:
                client.send(b"%d" % number, timeout=LONG)
                with nngio.Pull0(dial=back.listeners[0].url) as server:
                    assert server.recv(timeout=LONG) == b"%d" % number


# What it refuses.


SOCKETS = [
    nngio.Pair0,
    nngio.Pair1,
    nngio.Bus0,
    nngio.Pub0,
    nngio.Sub0,
    nngio.Push0,
    nngio.Pull0,
    nngio.Req0,
    nngio.Rep0,
    nngio.Surveyor0,
    nngio.Respondent0,
]
PEERS = {frozenset((kind.front, kind.back)) for kind in KINDS.values()}


@pytest.mark.parametrize(("one", "other"), list(itertools.product(SOCKETS, SOCKETS)))
def test_only_protocols_that_are_each_others_peers_make_a_device(one: Callable[..., Any], other: Callable[..., Any]) -> None:
    """The error names what fits."""
    with one(raw=True) as a, other(raw=True) as b:
        if frozenset((one, other)) in PEERS:
            Device(a, b).close()
            return
        with pytest.raises(nngio.InvalidArgument, match=f"goes the protocol {a.peer_protocol_name}"):
            Device(a, b)
        with pytest.raises(nngio.InvalidArgument):
            device(a, b)


@pytest.mark.parametrize("kind", SOCKETS)
def test_only_what_is_its_own_peer_can_be_reflected(kind: Callable[..., Any]) -> None:
    """PAIR and BUS."""
    with kind(raw=True) as socket:
        if frozenset((kind,)) in PEERS:
            Device(socket).close()
            return
        with pytest.raises(nngio.InvalidArgument, match=f"protocol {socket.peer_protocol_name} as the other"):
            Device(socket)


def test_what_is_no_raw_socket_is_refused() -> None:
    """A socket that isn't raw, one that is closed, one that reads ahead, a context, something else."""
    with nngio.Rep0(raw=True) as front, nngio.Req0(raw=True) as back, nngio.Req0() as cooked:
        with pytest.raises(nngio.InvalidArgument, match=r"open this one as Req0\(raw=True\)"):
            Device(front, cooked)
        with nngio.Rep0(raw=True, prefetch=5) as ahead, pytest.raises(nngio.InvalidArgument, match="without prefetch"):
            Device(ahead, back)
        with nngio.Rep0(raw=True) as closed:
            closed.close()
        with pytest.raises(nngio.Closed, match="this socket is closed"):
            Device(closed, back)
        for other in (cooked.context(), "inproc://x", 5):
            with pytest.raises(TypeError, match="between sockets"):
                Device(front, other)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="between sockets"):
            Device(None)  # type: ignore[arg-type]
        Device(front, back).close()


def test_a_socket_is_in_one_device_at_a_time(address: Address) -> None:
    """Both of a device's are, until it ends; a refusal leaves the other one free."""
    with line(address, "pair0") as it, nngio.Pair0(raw=True) as third:
        front, back = it.pairs[0]
        with Device(front, back):
            for a, b in ((front, back), (back, front), (third, front), (back, third), (front, front)):
                with pytest.raises(nngio.Busy, match="one device at a time"):
                    Device(a, b)
            Device(third).close()
            it.converse()
        with Device(front, third), pytest.raises(nngio.Busy):
            device(front, back)
        with Device(third, back), pytest.raises(nngio.Busy):
            ASYNCIO.run(lambda _tasks: adevice(front, back))
        with Device(back, front):
            it.converse()


def test_a_device_is_neither_copied_nor_pickled() -> None:
    """The error says why."""
    with nngio.Pair0(raw=True) as socket, Device(socket) as forwarder:
        for act in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="belongs to this process"):
                act(forwarder)


# Lifetime.


def test_a_device_tells_what_it_is() -> None:
    """Its sockets, and whether it has ended."""
    with nngio.Push0(raw=True) as push, nngio.Pull0(raw=True) as pull:
        with Device(push, pull) as forwarder:
            assert repr(forwarder) == f"<nngio.Device between {push!r} and {pull!r}>"
            assert forwarder.sockets == (push, pull)
        assert repr(forwarder) == f"<nngio.Device between {push!r} and {pull!r}, ended>"
    with nngio.Bus0(raw=True) as bus, Device(bus) as forwarder:
        assert repr(forwarder) == f"<nngio.Device of {bus!r}>"


def test_a_device_that_is_dropped_is_closed_with_a_warning(address: Address) -> None:
    """And one that has ended without."""
    with line(address, "pair0") as it:
        ends = it.pairs[0]
        with pytest.warns(ResourceWarning, match="unclosed <nngio.Device between"):
            Device(*ends)
        Device(*ends).close()
        gc.collect()


def test_a_running_device_keeps_its_sockets() -> None:
    """Nobody else need refer to them."""
    forwarder = Device(nngio.Pair0(raw=True), nngio.Pair0(raw=True))
    sockets = [weakref.ref(socket) for socket in forwarder.sockets]
    gc.collect()
    assert all(reference() is not None for reference in sockets)
    for socket in forwarder.sockets:
        socket.close()
    with pytest.raises(nngio.Closed):
        forwarder.join(timeout=LONG)


def test_ctrl_c_interrupts_a_device(address: Address) -> None:
    """The sockets stay open, and nothing that was on its way is lost."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    with ExitStack() as stack, line(address, "pipeline") as it:
        stack.callback(signal.signal, signal.SIGINT, before)
        front, back = it.pairs[0]
        for _ in range(3):
            timer = threading.Timer(0.1, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT))
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                device(front, back, timeout=LONG)
            timer.join()
            with Device(front, back):
                it.converse()


FORWARDS = """
import signal
import nngio
front = nngio.Rep0(raw=True, listen="inproc://front")
back = nngio.Req0(raw=True, listen="inproc://back")
client, server = nngio.Req0(dial="inproc://front"), nngio.Rep0(dial="inproc://back")
"""


@pytest.mark.parametrize(
    "ending",
    [
        "device = nngio.Device(front, back)",
        "import threading; threading.Thread(target=nngio.device, args=(front, back), daemon=True).start()",
        "import threading; threading.Thread(target=nngio.device, args=(front, back), daemon=True).start(); device = client.send(b'x')",
        "device = nngio.Device(front, back); threads = device.forwarded; client.send(b'x'); server.recv(); server.send(b'y'); sys.exit(0)",
    ],
)
def test_a_program_exits_with_a_device_running(ending: str) -> None:
    """Soon and in silence."""
    run(f"{FORWARDS}\n{ending}\nmain_ends()" if "exit" not in ending else f"{FORWARDS}\n{ending}").check()


def test_a_forked_child_has_no_use_for_its_parents_device() -> None:
    """It raises ForkedError, its end is silent, and the parent's goes on."""
    program = """
device = nngio.Device(front, back)
child = os.fork()
if child == 0:
    def raises(function):
        try:
            function()
        except nngio.ForkedError:
            return
        os._exit(1)
    raises(lambda: device.join())
    raises(lambda: device.running)
    raises(lambda: device.forwarded)
    raises(lambda: nngio.Device(front, back))
    raises(lambda: nngio.device(front, back))
    device.close()
    assert repr(device).endswith(", its parent's>"), repr(device)
    del device
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
client.send(b"question")
assert server.recv(timeout=10) == b"question"
server.send(b"answer")
assert client.recv(timeout=10) == b"answer"
device.close()
main_ends()
"""
    run(FORWARDS + program, options=FORKS).check()


def test_devices_of_two_processes_make_one_line(address: Address) -> None:
    """A request goes through this one's, then through another's."""
    program = """
import nngio
front = nngio.Rep0(raw=True, listen=sys.argv[1])
with front, nngio.Req0(raw=True, dial=sys.argv[2]) as back, nngio.Pair0(dial=sys.argv[3]) as control, nngio.Device(front, back) as device:
    control.send(front.listeners[0].url.encode())
    control.recv(timeout=15)
    assert device.forwarded == (10, 10), device.forwarded
"""
    with (
        nngio.Rep0(listen=address("tcp")) as server,
        nngio.Rep0(raw=True, listen=address("ipc")) as front,
        nngio.Pair0(listen=address("ipc")) as control,
        nngio.Req0(raw=True) as back,
    ):
        urls = [address("ipc"), server.listeners[0].url, control.listeners[0].url]
        ended = []
        thread = threading.Thread(target=lambda: ended.append(run(program, *urls)))
        thread.start()
        back.dial(control.recv(timeout=LONG).decode())
        with Device(back, front) as forwarder, nngio.Req0(dial=front.listeners[0].url) as client:
            for number in range(10):
                client.send(b"%d" % number)
                assert server.recv(timeout=LONG) == b"%d" % number
                server.send(b"answer")
                assert client.recv(timeout=LONG) == b"answer"
            assert eventually(lambda: forwarder.forwarded == (10, 10))
        control.send(b"end")
        thread.join()
        ended[0].check()
