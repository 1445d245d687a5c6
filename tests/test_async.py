"""The awaitable verbs: what each does, with one body of tests for every event loop."""

import asyncio
import contextvars
import gc
import inspect
import itertools
import re
import select
import socket as system_socket
import sys
import sysconfig
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trio
from loops import ASYNCIO, TRIO, UVLOOP, Loop, Tasks, on_all_loops
from programs import run
from races import until_it_waits

import nngio
from nngio import Message
from nngio._core.loops import current

Address = Callable[[str], str]
Pair = tuple[nngio.Pair0, nngio.Pair0]

SOON = 0.02
"""Seconds after which what was to wait must be waiting."""
LONG = 10.0
"""Seconds that nothing here takes, unless it hangs."""

on_all_transports = pytest.mark.parametrize("transport", ["inproc", "ipc", "tcp", "ws"])


@pytest.fixture
def mute() -> Iterator[str]:
    """The URL of a server that accepts connections and says nothing, so that dialing it takes long."""
    with system_socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """A URL where nobody listens."""
    with system_socket.create_server(("127.0.0.1", 0)) as server:
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"


# Sending and receiving.


@on_all_loops
@on_all_transports
def test_what_is_sent_arrives(loop: Loop, transport: str, address: Address) -> None:
    """Bytes and whatever else has a buffer, empty ones and large ones, over each transport."""
    bodies: list[Any] = [b"bytes", b"", bytearray(b"bytearray"), memoryview(b"memoryview")[::2], bytes(1_000_000)]

    async def main(_: Tasks) -> None:
        async with nngio.Pair0() as left, nngio.Pair0() as right:
            listener = await left.alisten(address(transport))
            await right.adial(listener.url)
            for body in bodies:
                await right.asend(body, timeout=LONG)
                assert await left.arecv(timeout=LONG) == bytes(body)

    loop.run(main)


@on_all_loops
def test_a_message_goes_with_its_send_and_comes_with_its_pipe(loop: Loop, pair: Pair) -> None:
    """A Message that was sent is empty; the received one is another, which knows the pipe that it came by."""
    left, right = pair

    async def main(_: Tasks) -> None:
        message = Message(b"hello")
        await left.asend(message)
        with pytest.raises(nngio.BadState, match="was sent"):
            len(message)
        received = await right.arecv_msg(timeout=LONG)
        assert received is not message
        assert bytes(received) == b"hello"
        assert received.pipe is not None

    loop.run(main)


@on_all_loops
def test_a_receive_waits_while_other_tasks_run(loop: Loop, pair: Pair) -> None:
    """It ends when a message comes, and not before."""
    left, right = pair

    async def main(tasks: Tasks) -> None:
        waiting = tasks.start(right.arecv)
        waiting_too = tasks.start(left.arecv_msg)
        await loop.sleep(SOON)
        assert not waiting.done
        assert not waiting_too.done
        await left.asend(b"one")
        await right.asend(b"two")
        assert (await waiting.wait()).result() == b"one"
        assert bytes((await waiting_too.wait()).result()) == b"two"

    loop.run(main)


@on_all_loops
def test_a_send_waits_until_there_is_a_peer(loop: Loop, address: Address) -> None:
    """The message of a send that waits can't be used; when a peer comes, it is on its way."""

    async def main(tasks: Tasks) -> None:
        async with nngio.Pair0() as left, nngio.Pair0() as right:
            listener = await left.alisten(address("inproc"))
            message = Message(b"hello")
            sending = tasks.start(left.asend, message)
            await loop.sleep(SOON)
            assert not sending.done
            with pytest.raises(nngio.BadState, match="being sent"):
                bytes(message)
            await right.adial(listener.url)
            assert await right.arecv(timeout=LONG) == b"hello"
            (await sending.wait()).result()

    loop.run(main)


@on_all_loops
def test_each_of_many_receives_gets_one_message(loop: Loop, address: Address) -> None:
    """A hundred tasks that receive on one socket share a hundred messages."""

    async def main(tasks: Tasks) -> None:
        async with nngio.Pull0(listen=address("inproc")) as pull, nngio.Push0(dial=pull.listeners[0].url) as push:
            waiting = [tasks.start(pull.arecv) for _ in range(100)]
            await loop.sleep(SOON)
            for number in range(100):
                await push.asend(number.to_bytes(4, "big"))
            received = [(await task.wait()).result() for task in waiting]
            assert sorted(int.from_bytes(body, "big") for body in received) == list(range(100))

    loop.run(main)


PROTOCOLS: dict[str, tuple[Callable[[], Any], Callable[[], Any], bool]] = {
    "pair0": (nngio.Pair0, nngio.Pair0, False),
    "pair1": (nngio.Pair1, nngio.Pair1, False),
    "bus0": (nngio.Bus0, nngio.Bus0, False),
    "pub0-sub0": (nngio.Pub0, lambda: nngio.Sub0(subscribe=b""), False),
    "push0-pull0": (nngio.Push0, nngio.Pull0, False),
    "req0-rep0": (nngio.Req0, nngio.Rep0, True),
    "surveyor0-respondent0": (nngio.Surveyor0, nngio.Respondent0, True),
}


@on_all_loops
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_can_be_awaited(loop: Loop, protocol: str, address: Address) -> None:
    """One message from the one side to the other, and an answer where the protocol wants one."""
    sender, receiver, answers = PROTOCOLS[protocol]

    async def main(tasks: Tasks) -> None:
        async with sender() as asks, receiver() as hears:
            listener = await hears.alisten(address("inproc"))
            waiting = tasks.start(hears.arecv)
            await asks.adial(listener.url)
            await loop.sleep(SOON)  # the listening side of BUS and PUB has to know its peer too
            await asks.asend(b"question", timeout=LONG)
            assert (await waiting.wait()).result() == b"question"
            if answers:
                await hears.asend(b"answer", timeout=LONG)
                assert await asks.arecv(timeout=LONG) == b"answer"

    loop.run(main)


@pytest.mark.parametrize("name", [n for n in dir(nngio) if isinstance(getattr(nngio, n), type)])
def test_a_class_has_the_awaitable_verbs_whose_plain_ones_it_has(name: str) -> None:
    """`asend` goes with `send`, and so on: what a protocol can't do can't be awaited either."""
    cls = getattr(nngio, name)
    if not hasattr(cls, "close"):
        return
    for verb in ("send", "recv", "recv_msg", "request", "survey", "listen", "dial"):
        if (name, verb) == ("StreamListener", "listen"):
            continue  # that is what its constructor does
        assert hasattr(cls, verb) == hasattr(cls, f"a{verb}"), verb
    for verb in ("asend", "arecv", "arecv_msg", "arequest", "asurvey", "adial", "alisten", "aclose"):
        method = getattr(cls, verb, None)
        if method is None or inspect.iscoroutinefunction(method):
            continue
        # Or a coroutine that is made in C, see test_verbs; or an iterator.
        assert re.match(
            "(typing.)?(Coroutine|AsyncIterator)\\[", str(inspect.signature(method).return_annotation).removeprefix("collections.abc.")
        )


# Iterating.


@on_all_loops
def test_iterating_ends_when_the_socket_is_closed(loop: Loop, pair: Pair) -> None:
    """`async for` brings what arrives, in order, and then stops without an error."""
    left, right = pair

    async def main(tasks: Tasks) -> None:
        received: list[bytes] = []
        three = threading.Event()

        async def iterate() -> None:
            async for body in right:
                received.append(body)
                if len(received) == 3:
                    three.set()

        iterating = tasks.start(iterate)
        for body in (b"1", b"2", b"3"):
            await left.asend(body)
        async with loop.timeout(LONG):
            while not three.is_set():
                await loop.sleep(0)
        await right.aclose()
        (await iterating.wait()).result()
        assert received == [b"1", b"2", b"3"]

    loop.run(main)


@on_all_loops
def test_iterating_over_a_context_ends_when_it_is_closed(loop: Loop, address: Address) -> None:
    """The same for a context, whose socket stays open."""

    async def main(tasks: Tasks) -> None:
        async with nngio.Pub0(listen=address("inproc")) as pub, nngio.Sub0(dial=pub.listeners[0].url) as sub:
            received: list[bytes] = []

            async with sub.context() as context:
                context.subscribe("a")

                async def iterate() -> None:
                    async for body in context:
                        received.append(body)  # noqa: PERF401  # looked at before the iteration ends

                iterating = tasks.start(iterate)
                async with loop.timeout(LONG):
                    while not received:
                        await pub.asend(b"b")
                        await pub.asend(b"a")
                        await loop.sleep(0.001)
            (await iterating.wait()).result()
            assert set(received) == {b"a"}
            assert not sub.closed

    loop.run(main)


# Requests and surveys.


@on_all_loops
def test_a_request_returns_its_reply(loop: Loop, address: Address) -> None:
    """On a socket, and on many of its contexts at once, where every request gets the reply to itself."""

    async def main(tasks: Tasks) -> None:
        async with nngio.Rep0(listen=address("tcp")) as rep, nngio.Req0(dial=rep.listeners[0].url) as req:

            async def serve() -> None:
                async with rep.context() as context:
                    async for question in context:
                        await context.asend(question.upper())

            async def ask(number: int) -> None:
                async with req.context() as context:
                    for turn in range(5):
                        assert await context.arequest(b"n%d.%d" % (number, turn), timeout=LONG) == b"N%d.%d" % (number, turn)

            for _ in range(4):
                tasks.start(serve)
            assert await req.arequest(b"hello", timeout=LONG) == b"HELLO"
            for asking in [tasks.start(ask, number) for number in range(20)]:
                (await asking.wait()).result()

    loop.run(main)


@on_all_loops
def test_a_survey_yields_answers_until_its_time_is_over(loop: Loop, address: Address) -> None:
    """One answer from each respondent, on a socket and on a context."""

    async def main(tasks: Tasks) -> None:
        async with nngio.Surveyor0(listen=address("inproc"), survey_time=0.2) as surveyor:
            respondents = [nngio.Respondent0(dial=surveyor.listeners[0].url) for _ in range(3)]

            async def respond(respondent: nngio.Respondent0, name: bytes) -> None:
                async for question in respondent:
                    await respondent.asend(question + name)

            responding = [tasks.start(respond, r, b"%d" % i) for i, r in enumerate(respondents)]
            await loop.sleep(SOON)  # the surveyor has to know all three
            async with surveyor.context() as context:
                context.survey_time = 0.2
                for asker in (surveyor, context):
                    began = time.monotonic()
                    assert sorted([a async for a in asker.asurvey(b"who?")]) == [b"who?0", b"who?1", b"who?2"]
                    assert 0.15 < time.monotonic() - began < LONG
            for respondent in respondents:
                await respondent.aclose()
            for task in responding:
                (await task.wait()).result()

    loop.run(main)


@on_all_loops
def test_a_second_request_tells_the_waiting_receive_that_it_was_canceled(loop: Loop, address: Address) -> None:
    """That is an error of the receive, not a cancellation of its task; the reply goes to the second request's receive."""

    async def main(tasks: Tasks) -> None:
        async with nngio.Rep0(listen=address("inproc")) as rep, nngio.Req0(dial=rep.listeners[0].url) as req:
            for asker in (req, req.context()):
                await asker.asend(b"first")
                waiting = tasks.start(asker.arecv)
                assert await rep.arecv(timeout=LONG) == b"first"
                await until_it_waits(loop, asker)
                await asker.asend(b"second")
                outcome = await waiting.wait()
                assert not outcome.cancelled
                assert type(outcome.error) is nngio.Canceled
                await rep.asend(b"to the first")
                assert await rep.arecv(timeout=LONG) == b"second"
                await rep.asend(b"to the second")
                assert await asker.arecv(timeout=LONG) == b"to the second"

    loop.run(main)


# Opening and closing.


@on_all_loops
@on_all_transports
def test_closing_ends_what_waits(loop: Loop, transport: str, address: Address) -> None:
    """Receives and sends on the socket and on its contexts end with Closed, and the message of a send is whole again."""

    async def main(tasks: Tasks) -> None:
        pair = nngio.Pair0(listen=address(transport))
        req = nngio.Req0()
        context = req.context()
        messages = [Message(b"one"), Message(b"two"), Message(b"three")]
        waiting = [
            tasks.start(pair.arecv),
            tasks.start(pair.arecv_msg),
            tasks.start(pair.asend, messages[0]),
            tasks.start(req.asend, messages[1]),
            tasks.start(context.asend, messages[2]),
        ]
        await loop.sleep(SOON)
        async with loop.timeout(LONG) as limit:
            await pair.aclose()
            await req.aclose()
        assert not limit.expired
        assert pair.closed
        for task in waiting:
            assert type((await task.wait()).error) is nngio.Closed
        assert [bytes(m) for m in messages] == [b"one", b"two", b"three"]

    loop.run(main)


@on_all_loops
def test_a_request_that_is_cancelled_when_it_was_just_sent_is_given_up(loop: Loop, address: Address) -> None:
    """In the moment between its send and its receive: the server isn't asked again, and there is no reply to receive."""

    async def main(tasks: Tasks) -> None:
        async with nngio.Rep0(listen=address("inproc")) as rep, nngio.Req0(resend_time=0.05) as req:
            asking = tasks.start(req.arequest, b"question")
            await loop.sleep(SOON)
            req.dial(rep.listeners[0].url)  # the send, which has waited for a peer, goes; nobody has told the task
            assert rep.recv(timeout=LONG) == b"question"
            asking.cancel()
            assert (await asking.wait()).cancelled
            rep.send(b"answer")
            with pytest.raises(nngio.BadState, match="no request under way"):
                await req.arecv(timeout=LONG)
            with pytest.raises(nngio.TimedOut):
                await rep.arecv(timeout=0.2)

    loop.run(main)


@on_all_loops
def test_a_survey_may_be_left_early(loop: Loop, address: Address) -> None:
    """By a `break`: nothing has to be closed, and nobody is warned."""

    async def main(tasks: Tasks) -> None:
        async with nngio.Respondent0(listen=address("inproc")) as one, nngio.Surveyor0(dial=one.listeners[0].url) as surveyor:

            async def answer() -> None:
                await one.arecv()
                await one.asend(b"me")

            answering = tasks.start(answer)
            async for body in surveyor.asurvey(b"who"):
                assert body == b"me"
                break
            assert (await answering.wait()).error is None
            gc.collect()

    loop.run(main)


def test_a_coroutine_that_runs_is_not_closed_in_the_middle(address: Address) -> None:
    """By a tracer, a signal's handler or another thread: it goes on to its end, and who closes it gets what Python's own say."""
    refusals: list[Exception] = []

    async def main() -> None:
        async with nngio.Pair0(listen=address("inproc")) as left, nngio.Pair0(dial=left.listeners[0].url) as right:
            sending = right.asend(Message(b"body"))

            def tracer(frame: Any, event: str, _: object) -> None:
                if event == "call" and frame.f_code.co_name == "_asend":
                    for step in (sending.close, lambda: sending.send(None), lambda: sending.throw(KeyError())):
                        try:
                            step()
                        except ValueError as error:
                            refusals.append(error)

            sys.setprofile(tracer)
            try:
                await sending
            finally:
                sys.setprofile(None)
            assert await left.arecv() == b"body"

    asyncio.run(main())
    assert [str(error) for error in refusals] == ["coroutine already executing"] * 3


@pytest.mark.parametrize("warm", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("end", ["close", "a second task"])
def test_a_task_whose_coroutine_is_ended_by_somebody_else_ends(end: str, warm: bool, address: Address) -> None:
    """With the error that tells so, and without anything of another task's: what that one waits for, it gets."""

    async def main() -> None:
        async with nngio.Pair0(listen=address("inproc")) as left, nngio.Pair0(dial=left.listeners[0].url) as right:
            if warm:
                await right.asend(b"before")
                assert await left.arecv() == b"before"
            receiving = left.arecv()
            first = asyncio.create_task(receiving)
            await asyncio.sleep(SOON)
            if end == "close":
                receiving.close()
            else:
                with pytest.raises(RuntimeError, match="there was none"):
                    await asyncio.create_task(receiving)
            other = asyncio.create_task(left.arecv())
            await asyncio.sleep(SOON)
            first.cancel()
            with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
                await asyncio.wait_for(first, LONG)
            await right.asend(b"after")
            assert await asyncio.wait_for(other, LONG) == b"after"

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="nest_asyncio doesn't know this Python")
def test_a_task_may_run_the_loop_where_nest_asyncio_lets_it() -> None:
    """One that goes on since its message has come, as notebooks do it: the loop within the loop is told of the next."""
    program = f"""
import sys
sys.path.append({sysconfig.get_path("purelib")!r})
import asyncio, nest_asyncio, nngio, threading
nest_asyncio.apply()

async def main():
    with nngio.Pair0(listen="inproc://nested") as left, nngio.Pair0(dial="inproc://nested") as right:
        for body in (b"1", b"2", b"3"):
            threading.Timer(0.02, right.send, [body]).start()
            print(await left.arecv())
            threading.Timer(0.02, right.send, [body * 2]).start()
            print(asyncio.get_event_loop().run_until_complete(left.arecv()))

asyncio.run(main())
"""
    run(program).check(out="b'1'\nb'11'\nb'2'\nb'22'\nb'3'\nb'33'\n")


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="nest_asyncio doesn't know this Python")
def test_a_loop_within_the_loop_wakes_who_was_to_be_woken_next() -> None:
    """Two messages have come at once, and the task that gets the first waits for the other one's."""
    program = f"""
import sys
sys.path.append({sysconfig.get_path("purelib")!r})
import asyncio, nest_asyncio, nngio, time
nest_asyncio.apply()

async def main():
    sockets = [(nngio.Pair0(listen=f"inproc://{{n}}"), nngio.Pair0(dial=f"inproc://{{n}}")) for n in range(3)]
    loop = asyncio.get_event_loop()

    async def first():
        print(await sockets[0][0].arecv())
        print(loop.run_until_complete(others[0]), loop.run_until_complete(others[1]))

    for _ in range(3):
        task = asyncio.ensure_future(first())
        others = [asyncio.ensure_future(pair[0].arecv()) for pair in sockets[1:]]
        await asyncio.sleep(0.01)
        for n, (_, peer) in enumerate(sockets):
            peer.send(b"%d" % n)
        time.sleep(0.05)
        await task
    for pair in sockets:
        for socket in pair:
            socket.close()

asyncio.run(main())
"""
    run(program).check(out="b'0'\nb'1' b'2'\n" * 3)


@on_all_loops
def test_a_block_can_not_begin_with_a_closed_socket(loop: Loop) -> None:
    """As without a loop."""

    async def main(_: Tasks) -> None:
        pair = nngio.Pair0()
        await pair.aclose()
        with pytest.raises(nngio.Closed, match="this socket is closed"):
            async with pair:
                raise AssertionError("the block has begun")

    loop.run(main)


@on_all_loops
def test_closing_a_context_leaves_its_socket_alone(loop: Loop, address: Address) -> None:
    """Only the context's own receive ends."""

    async def main(tasks: Tasks) -> None:
        async with nngio.Rep0(listen=address("inproc")) as rep, nngio.Req0(dial=rep.listeners[0].url) as req:
            context = rep.context()
            on_context = tasks.start(context.arecv)
            await loop.sleep(SOON)
            await context.aclose()
            assert type((await on_context.wait()).error) is nngio.Closed
            on_socket = tasks.start(rep.arecv)
            await req.asend(b"hello")
            assert (await on_socket.wait()).result() == b"hello"

    loop.run(main)


@on_all_loops
def test_closing_twice_does_nothing(loop: Loop, lonely: nngio.Pair0) -> None:
    """One after the other, all at once, and after a plain `close`."""

    async def main(tasks: Tasks) -> None:
        for closing in [tasks.start(lonely.aclose) for _ in range(10)]:
            (await closing.wait()).result()
        await lonely.aclose()
        with nngio.Pair0() as other:
            other.close()
            await other.aclose()

    loop.run(main)


@on_all_loops
def test_a_closed_socket_refuses_every_verb(loop: Loop, lonely: nngio.Pair0) -> None:
    """At once and with Closed; the message is still the caller's."""

    async def main(_: Tasks) -> None:
        await lonely.aclose()
        message = Message(b"hello")
        for call in (lonely.arecv(), lonely.arecv_msg(), lonely.asend(b"bytes"), lonely.asend(message)):
            with pytest.raises(nngio.Closed):
                await call
        assert bytes(message) == b"hello"
        for call in (lonely.adial("inproc://nowhere"), lonely.alisten("inproc://nowhere")):
            with pytest.raises(nngio.Closed):
                await call

    loop.run(main)


@on_all_loops
def test_an_async_with_block_closes_also_after_an_error(loop: Loop) -> None:
    """The error goes on, and the socket is closed."""

    async def main(_: Tasks) -> None:
        socket = nngio.Req0()

        async def fail() -> None:
            async with socket as itself, socket.context() as context:
                assert itself is socket
                assert context.socket is socket
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert socket.closed

    loop.run(main)


@on_all_loops
def test_dialing_connects(loop: Loop, address: Address) -> None:
    """Through the socket, through a dialer that was configured first, and without waiting for the peer to be there."""

    async def main(_: Tasks) -> None:
        async with nngio.Pull0() as pull:
            listener = await pull.alisten(address("tcp"), recv_max_size=1000)
            assert listener in pull.listeners
            assert listener.port
            async with nngio.Push0() as push:
                dialer = await push.adial(listener.url, reconnect_time_min=0.01, timeout=LONG)
                assert dialer in push.dialers
                assert dialer.reconnect_time_min == 0.01
                await push.asend(b"one", timeout=LONG)
            async with nngio.Push0() as push:
                await nngio.Dialer(push, listener.url).astart()
                await push.asend(b"two", timeout=LONG)
            assert [await pull.arecv(timeout=LONG) for _ in range(2)] == [b"one", b"two"]
            late = address("inproc")
            async with nngio.Push0() as push:
                await push.adial(late, block=False, reconnect_time_min=0.01)
                await pull.alisten(late)
                await push.asend(b"three", timeout=LONG)
                assert await pull.arecv(timeout=LONG) == b"three"

    loop.run(main)


@on_all_loops
def test_dialing_where_nobody_listens_says_so(loop: Loop, nobody: str, lonely: nngio.Pair0) -> None:
    """The error names the URL and what else could be done; the dialer is gone."""

    async def main(_: Tasks) -> None:
        with pytest.raises(nngio.ConnectionRefused, match=rf"{nobody}: nobody listens.*block=False"):
            await lonely.adial(nobody)
        assert not lonely.dialers

    loop.run(main)


@on_all_loops
def test_dialing_ends_with_its_timeout(loop: Loop, mute: str, lonely: nngio.Pair0) -> None:
    """Also where the peer accepts and then says nothing; the loop goes on meanwhile."""

    async def main(tasks: Tasks) -> None:
        began = time.monotonic()
        dialing = tasks.start(lambda: lonely.adial(mute, timeout=0.1))
        turns = 0
        while not dialing.done:
            await loop.sleep(0.005)
            turns += 1
        outcome = await dialing.wait()
        assert type(outcome.error) is nngio.TimedOut
        assert 0.09 < time.monotonic() - began < LONG
        assert turns > 5
        assert not lonely.dialers

    loop.run(main)


@on_all_loops
def test_a_dial_that_is_cancelled_ends_at_once(loop: Loop, mute: str, lonely: nngio.Pair0) -> None:
    """The dialer is closed, and the cancellation raised."""

    async def main(tasks: Tasks) -> None:
        dialing = tasks.start(lonely.adial, mute)
        await loop.sleep(SOON)
        began = time.monotonic()
        dialing.cancel()
        assert (await dialing.wait()).cancelled
        assert time.monotonic() - began < 1
        assert not lonely.dialers

    loop.run(main)


@on_all_loops
def test_a_close_that_is_cancelled_has_closed(loop: Loop, address: Address) -> None:
    """The socket is closed before the cancellation is raised, and what waited on it has ended."""

    async def main(tasks: Tasks) -> None:
        for _ in range(20):
            socket = nngio.Pair0(listen=address("ipc"))
            waiting = tasks.start(socket.arecv)
            await loop.sleep(0)
            closing = tasks.start(socket.aclose)
            await loop.sleep(0)
            closing.cancel()
            outcome = await closing.wait()
            if not outcome.cancelled:
                outcome.result()
            assert socket.closed
            with pytest.raises(nngio.Closed):
                socket.recv(timeout=0)
            assert type((await waiting.wait()).error) is nngio.Closed

    loop.run(main)


@pytest.mark.parametrize("loop", [ASYNCIO, UVLOOP], ids=repr)
def test_a_listen_that_is_dropped_leaves_no_listener(loop: Loop, lonely: nngio.Pair0) -> None:
    """Its coroutine is closed while another thread looks the host up; when that has come to its end, the port is free."""
    ports: list[int] = []

    async def main(_: Tasks) -> None:
        running = asyncio.get_running_loop()
        running.set_default_executor(ThreadPoolExecutor(1))
        for turns in range(5):
            with system_socket.create_server((host, 0)) as server:
                ports.append(server.getsockname()[1])
            begun = threading.Event()
            running.run_in_executor(None, begun.wait)
            listening = lonely.alisten(f"tcp://{host}:{ports[-1]}")
            listening.send(None)
            begun.set()
            for _turn in range(turns):
                await loop.sleep(0.0005)
            listening.close()
            assert not lonely.listeners
        await running.shutdown_default_executor()

    host = "127.0.77.1"  # which nobody else uses
    loop.run(main)
    for port in ports:
        system_socket.create_server((host, port)).close()


@pytest.mark.parametrize("kept", [False, True], ids=["dropped", "kept"])
def test_an_asynchronous_generator_that_trio_closes_when_its_run_ends_closes_its_socket(kept: bool) -> None:
    """Before the adapter's task has ended, or after it: the run comes to its end, and the socket is closed."""
    sockets: list[nngio.Pull0] = []

    async def messages(url: str) -> AsyncIterator[bytes]:
        pull = nngio.Pull0(dial=url)
        sockets.append(pull)
        try:
            while True:
                yield await pull.arecv()
        finally:
            await pull.aclose()

    async def main() -> None:
        url = f"inproc://generator-{next(numbers)}"
        with nngio.Push0(listen=url) as push:
            generator = messages(url)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(push.asend, b"hello")
                async for body in generator:
                    assert body == b"hello"
                    break
            generators.append(generator)
            if not kept:
                generators.clear()

    numbers = itertools.count()
    for _ in range(20):
        generators: list[AsyncIterator[bytes]] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # trio's, of the generator
            trio.run(main)
            generators.clear()
    until = time.monotonic() + LONG
    while not all(socket.closed for socket in sockets):  # a thread of NNG's closes them
        assert time.monotonic() < until
        time.sleep(0.001)


@on_all_loops
def test_listening_where_somebody_listens_says_so(loop: Loop, address: Address, lonely: nngio.Pair0) -> None:
    """The error names the URL; the listener is gone."""

    async def main(_: Tasks) -> None:
        async with nngio.Pair0() as first:
            listener = await first.alisten(address("tcp"))
            with pytest.raises(nngio.AddressInUse, match=listener.url):
                await lonely.alisten(listener.url)
            with pytest.raises(nngio.NNGError, match="nothing://"):
                await lonely.alisten("nothing://here")
            with pytest.raises(TypeError, match="no option 'speed'"):
                await lonely.alisten(address("tcp"), speed=1)
        assert not lonely.listeners

    loop.run(main)


# Timeouts and errors.


@on_all_loops
def test_a_receive_ends_with_its_timeout(loop: Loop, lonely: nngio.Pair0) -> None:
    """With the one given, or the socket's; 0 is now or never. TimedOut is Python's own TimeoutError."""

    async def main(_: Tasks) -> None:
        for receive in (lonely.arecv, lonely.arecv_msg):
            for timeout, least in ((0, 0.0), (0.05, 0.045)):
                began = time.monotonic()
                with pytest.raises(nngio.TimedOut) as caught:
                    await receive(timeout=timeout)
                assert least <= time.monotonic() - began < LONG
                assert isinstance(caught.value, TimeoutError)
        lonely.recv_timeout = 0.01
        with pytest.raises(nngio.TimedOut):
            await lonely.arecv()
        for wrong in (-1, float("nan"), "soon"):
            with pytest.raises((TypeError, ValueError)):
                await lonely.arecv(timeout=wrong)  # type: ignore[arg-type]

    loop.run(main)


@on_all_loops
def test_a_send_that_fails_gives_the_message_back(loop: Loop, lonely: nngio.Pair0) -> None:
    """The error carries it: the very Message, header included, or a new one with the bytes. It can be sent once more."""

    async def main(_: Tasks) -> None:
        message = Message(b"hello")
        message.header = b"header"
        for timeout in (0, 0.01):
            with pytest.raises(nngio.TimedOut) as caught:
                await lonely.asend(message, timeout=timeout)
            assert caught.value.message is message
            assert bytes(message) == b"hello"
            assert message.header == b"header"
            with pytest.raises(nngio.TimedOut) as caught:
                await lonely.asend(b"bytes", timeout=timeout)
            assert bytes(caught.value.message) == b"bytes"  # type: ignore[arg-type]
        async with nngio.Rep0() as rep, rep.context() as context:
            for channel in (rep, context):
                with pytest.raises(nngio.BadState) as caught_state:
                    await channel.asend(message)
                assert caught_state.value.message is message

    loop.run(main)


@on_all_loops
def test_an_error_on_a_closed_socket_carries_what_was_to_be_sent(loop: Loop, pair: Pair) -> None:
    """And not what the same operation had received before."""
    left, right = pair

    async def main(_: Tasks) -> None:
        await left.asend(b"old")
        assert await right.arecv(timeout=LONG) == b"old"
        await right.aclose()
        with pytest.raises(nngio.Closed) as caught:
            await right.asend(b"new")
        assert bytes(caught.value.message) == b"new"  # type: ignore[arg-type]

    loop.run(main)


@on_all_loops
def test_what_is_no_message_is_refused_with_a_hint(loop: Loop, pair: Pair) -> None:
    """Text, numbers, a message that is sent already and one that is being looked at; the next call works."""
    left, right = pair

    async def main(_: Tasks) -> None:
        with pytest.raises(TypeError, match="encode"):
            await left.asend("text")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="not int"):
            await left.asend(1)  # type: ignore[arg-type]
        message = Message(b"hello")
        with message.body, pytest.raises(BufferError, match="release"):
            await left.asend(message)
        await left.asend(message)
        with pytest.raises(nngio.BadState, match="sent"):
            await left.asend(message)
        assert await right.arecv(timeout=LONG) == b"hello"
        with pytest.raises(nngio.TimedOut):
            await right.arecv(timeout=0.01)

    loop.run(main)


@on_all_loops
def test_a_receive_out_of_turn_says_so(loop: Loop) -> None:
    """A REQ that asked nothing, and a surveyor without a survey, raise BadState at once."""

    async def main(_: Tasks) -> None:
        async with nngio.Req0() as req, nngio.Surveyor0() as surveyor:
            for channel in (req, req.context(), surveyor, surveyor.context()):
                with pytest.raises(nngio.BadState):
                    await channel.arecv(timeout=LONG)

    loop.run(main)


# Where a call runs.


def test_a_call_outside_of_a_loop_says_what_it_needs(lonely: nngio.Pair0) -> None:
    """Every verb raises RuntimeError and names the libraries, and the calls that do without."""
    calls: list[Any] = [
        lonely.asend(b"hello"),
        lonely.arecv(),
        lonely.arecv_msg(),
        lonely.adial("inproc://nowhere"),
        lonely.alisten("inproc://nowhere"),
        lonely.aclose(),
        aiter(lonely).__anext__(),
    ]
    with nngio.Req0() as req, nngio.Surveyor0() as surveyor:
        calls += [req.arequest(b"hello"), surveyor.asurvey(b"hello").__anext__()]
        for call in calls:
            with pytest.raises(RuntimeError, match=r"no event loop is running.*asyncio or trio.*recv"):
                call.send(None)


@on_all_loops
def test_a_task_keeps_its_context_variables(loop: Loop, pair: Pair) -> None:
    """What a task has set is still set after it has waited, whichever other tasks went on in between."""
    left, right = pair
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")

    async def main(tasks: Tasks) -> None:
        async def receive(number: int) -> None:
            variable.set(number)
            for _ in range(3):
                await right.arecv()
                assert variable.get() == number

        receiving = [tasks.start(receive, number) for number in range(20)]
        for _ in range(60):
            await left.asend(b"hello")
        for task in receiving:
            (await task.wait()).result()

    loop.run(main)


@on_all_loops
def test_one_socket_outlives_many_loops(loop: Loop, pair: Pair) -> None:
    """Each run has its own adapter; what waited in one run is over with it, and takes no message along."""
    left, right = pair

    async def main(tasks: Tasks) -> None:
        tasks.start(right.arecv)
        await loop.sleep(0.001)

    async def receive(_: Tasks) -> bytes:
        return await right.arecv(timeout=LONG)

    for number in range(10):
        loop.run(main)
        left.send(b"%d" % number, timeout=LONG)
        assert loop.run(receive) == b"%d" % number


@pytest.mark.timeout(60)
def test_threads_and_loops_share_one_socket(address: Address) -> None:
    """Two threads and four loops receive what two threads and three loops send; each message comes once."""
    each = 1000
    loops = [ASYNCIO, UVLOOP, TRIO, ASYNCIO]
    received: list[list[int]] = [[] for _ in range(len(loops) + 2)]
    errors: list[BaseException] = []
    with nngio.Pull0(listen=address("inproc")) as pull, nngio.Push0(dial=pull.listeners[0].url) as push:

        def guard(function: Callable[..., None], *arguments: Any) -> threading.Thread:
            def run() -> None:
                try:
                    function(*arguments)
                except BaseException as error:
                    errors.append(error)

            thread = threading.Thread(target=run)
            thread.start()
            return thread

        def receive(into: list[int]) -> None:
            into.extend(int(body) for body in pull)

        def areceive(loop: Loop, into: list[int]) -> None:
            async def one() -> None:
                async for body in pull:
                    into.append(int(body))  # noqa: PERF401  # looked at before the iteration ends

            async def main(tasks: Tasks) -> None:
                for task in [tasks.start(one) for _ in range(4)]:
                    (await task.wait()).result()

            loop.run(main)

        def send(first: int) -> None:
            for number in range(first, first + each):
                push.send(b"%d" % number, timeout=LONG)

        def asend(loop: Loop, first: int) -> None:
            async def main(_: Tasks) -> None:
                for number in range(first, first + each):
                    await push.asend(b"%d" % number, timeout=LONG)

            loop.run(main)

        receivers = [guard(receive, received[0]), guard(receive, received[1])]
        receivers += [guard(areceive, loop, into) for loop, into in zip(loops, received[2:], strict=True)]
        senders = [guard(send, 0), guard(send, each)]
        senders += [guard(asend, loop, (2 + i) * each) for i, loop in enumerate(loops[:3])]
        for thread in senders:
            thread.join()
        deadline = time.monotonic() + LONG
        while sum(map(len, received)) < 5 * each and time.monotonic() < deadline:
            time.sleep(0.001)
        pull.close()
        for thread in receivers:
            thread.join()
    assert not errors
    assert sorted(number for numbers in received for number in numbers) == list(range(5 * each))


@on_all_loops
def test_a_receive_in_a_thread_and_one_on_the_loop_both_get_their_message(loop: Loop, pair: Pair) -> None:
    """A plain receive that waits in a thread takes nothing from the loop, nor the loop from it."""
    left, right = pair
    in_thread: list[bytes] = []

    async def main(tasks: Tasks) -> None:
        thread = threading.Thread(target=lambda: in_thread.append(right.recv(timeout=LONG)))
        waiting = tasks.start(right.arecv)
        await loop.sleep(SOON)
        thread.start()
        await loop.sleep(SOON)
        await left.asend(b"one")
        await left.asend(b"two")
        on_loop = (await waiting.wait()).result()
        thread.join()
        assert {on_loop, *in_thread} == {b"one", b"two"}

    loop.run(main)


def test_trio_as_a_guest_of_asyncio_is_told_from_its_host(pair: Pair) -> None:
    """Both run in one thread; each call waits on the loop that its task belongs to."""
    left, right = pair

    async def guest() -> bytes:
        with trio.fail_after(LONG):
            await left.asend(b"to the host")
            return await left.arecv()

    async def host() -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Any] = loop.create_future()
        trio.lowlevel.start_guest_run(guest, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=ended.set_result)
        assert await right.arecv(timeout=LONG) == b"to the host"
        await right.asend(b"to the guest")
        assert (await ended).unwrap() == b"to the guest"

    asyncio.run(host())


@on_all_loops
def test_a_coroutine_that_is_dropped_leaves_nothing_behind(loop: Loop, pair: Pair) -> None:
    """One that is closed in the middle of its wait gives up the receive, and the message is for the next."""
    left, right = pair

    async def main(_: Tasks) -> None:
        await right.asend(b"warm")
        assert await left.arecv(timeout=LONG) == b"warm"
        coroutine = right.arecv()
        if loop.over_asyncio:  # trio's own wait can't be stepped by hand
            coroutine.send(None)
        coroutine.close()
        del coroutine
        gc.collect()
        await left.asend(b"hello")
        assert await right.arecv(timeout=LONG) == b"hello"

    loop.run(main)


@pytest.mark.parametrize("loop", [ASYNCIO, UVLOOP], ids=repr)
def test_the_waits_of_asyncio_take_an_awaitable_verb(loop: Loop, pair: Pair) -> None:
    """`gather`, `wait`, `shield`, `as_completed`, `wait_for`: each makes a task of it."""
    left, right = pair

    async def main(_: Tasks) -> None:
        async def feed() -> None:
            for number in range(5):
                await left.asend(b"%d" % number)

        feeding = asyncio.create_task(feed())
        assert await asyncio.gather(right.arecv(), right.arecv()) == [b"0", b"1"]
        done, _pending = await asyncio.wait([asyncio.ensure_future(right.arecv())])
        assert [task.result() for task in done] == [b"2"]
        assert await asyncio.shield(right.arecv()) == b"3"
        assert await asyncio.wait_for(right.arecv(), LONG) == b"4"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(right.arecv(), 0.01)
        await feeding

    loop.run(main)


@pytest.mark.parametrize("loop", [ASYNCIO, UVLOOP], ids=repr)
def test_receives_get_their_messages_in_the_order_of_their_calls(loop: Loop, address: Address) -> None:
    """More of them than a turn has room for, begun together: those behind one that lets others run are not served before it."""
    count = 500
    with (
        nngio.Pair0(listen=address("inproc"), send_buffer=count) as left,
        nngio.Pair0(dial=left.listeners[0].url, recv_buffer=count) as right,
    ):
        for number in range(count):
            left.send(b"%d" % number)

        async def main(_: Tasks) -> None:
            received = await asyncio.gather(*(right.arecv() for _ in range(count)))
            assert received == [b"%d" % number for number in range(count)]

        loop.run(main)


@pytest.mark.parametrize("loop", [ASYNCIO, UVLOOP], ids=repr)
def test_no_receive_overtakes_a_message_that_a_cancelled_one_was_given(loop: Loop, pair: Pair) -> None:
    """The task that is cancelled hasn't had its turn when another one begins to receive."""
    left, right = pair

    async def main(_: Tasks) -> None:
        other = asyncio.create_task(right.arecv())
        await until_it_waits(loop, right)
        left.send(b"1")
        left.send(b"2")
        select.select([current().fd], [], [], LONG)
        other.cancel()
        assert [await right.arecv(), await right.arecv()] == [b"1", b"2"]
        with pytest.raises(asyncio.CancelledError):
            await other

    for _ in range(100):
        loop.run(main)


@pytest.mark.parametrize("loop", [ASYNCIO, UVLOOP], ids=repr)
def test_nor_one_that_waits_for_its_turn_beside_the_task_that_cancels_it(loop: Loop, pair: Pair) -> None:
    """Both were given their messages, and the loop has seen both."""
    left, right = pair
    cancelled: list[bool] = []

    async def main(_: Tasks) -> None:
        async def cancel_the_other() -> None:
            assert await right.arecv() == b"1"
            cancelled.append(other.cancel())
            if cancelled[-1]:
                assert await right.arecv() == b"2"
            assert await right.arecv() == b"3"

        task = asyncio.create_task(cancel_the_other())
        await asyncio.sleep(0)
        other = asyncio.create_task(right.arecv())
        await until_it_waits(loop, right, tasks=2)
        for body in (b"1", b"2", b"3"):
            left.send(body)
        time.sleep(SOON)  # noqa: ASYNC251  # the loop stands still until both are there, which nothing tells
        await task
        await asyncio.wait([other])

    for _ in range(30):
        loop.run(main)
    assert any(cancelled)


@on_all_loops
def test_a_task_that_never_rests_keeps_nobody_from_a_message(loop: Loop, pair: Pair) -> None:
    """Neither from one that a thread sends, nor from another task's."""
    left, right = pair
    over = False

    async def restless() -> None:
        while not over:
            await loop.sleep(0)

    async def main(tasks: Tasks) -> None:
        nonlocal over
        running = tasks.start(restless)
        for _ in range(50):
            thread = threading.Thread(target=left.send, args=(b"from a thread",))
            thread.start()
            assert await right.arecv(timeout=10) == b"from a thread"
            thread.join()
            receiver = tasks.start(right.arecv)
            await loop.sleep(0)
            await left.asend(b"from a task")
            assert (await receiver.wait()).result() == b"from a task"
        over = True
        (await running.wait()).result()

    loop.run(main)
