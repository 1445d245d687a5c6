"""The table of docs/cancellation.md, cell by cell, as races: what has completed, been cancelled, timed out or been closed when a
message comes or goes at that very moment; who owns the message then, what is raised, and what the next call sees.

Each test runs its race a thousand times (`NNGIO_RACES` sets how often), on every loop.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from loops import ASYNCIO, LOOPS, UVLOOP, Loop, Outcome, Task, Tasks, on_all_loops
from races import (
    LONG,
    MOMENTS,
    RACES,
    RECEIVING,
    SENDING,
    FromPeer,
    Helper,
    Receiving,
    Sending,
    cancel_at_some_moment,
    number_in,
    numbered,
    until_it_waits,
    was_sent,
)

import nngio
from nngio import Message

pytestmark = pytest.mark.timeout(60)

Address = Callable[[str], str]

socket_or_context = pytest.mark.parametrize("kind", ["socket", "context"])
RECEIVES_ON = {"socket": "pair0", "context": "sub0 context"}
SENDS_ON = {"socket": "pair0", "context": "req0 context"}


# Receives.


@on_all_loops
@socket_or_context
def test_a_receive_that_completes_owns_its_message_whenever_it_comes(loop: Loop, kind: str) -> None:
    """Receive, completed: the caller has the message, nothing is raised, and the next receive gets the next message."""

    async def main(tasks: Tasks) -> None:
        with Helper() as helper:
            for number in range(RACES):
                task = tasks.start(random.choice((kit.channel.arecv, kit.channel.arecv_msg)))
                if random.random() < 0.5:
                    await loop.sleep(0)
                helper.start(lambda number=number: kit.feed(number))  # type: ignore[misc]
                assert number_in((await task.wait()).result()) == number
                helper.wait()

    kit = RECEIVING[RECEIVES_ON[kind]]()
    loop.run(main)
    kit.close()


async def race_receives(loop: Loop, tasks: Tasks, kit: Receiving) -> None:
    counts = {"received": 0, "cancelled": 0}
    with Helper() as helper:
        for number in range(RACES):
            task = tasks.start(random.choice((kit.channel.arecv, kit.channel.arecv_msg)))
            outcome = await cancel_at_some_moment(loop, helper, lambda number=number: kit.feed(number), task)  # type: ignore[misc]
            if outcome.cancelled:
                outcome.value = await kit.channel.arecv(timeout=LONG)
                counts["cancelled"] += 1
            else:
                counts["received"] += 1
                outcome.result()
            assert number_in(outcome.value) == number
    assert min(counts.values()) > RACES / 100, counts


@on_all_loops
@socket_or_context
def test_a_receive_that_is_cancelled_leaves_its_message_to_the_next(loop: Loop, kind: str) -> None:
    """Receive, cancelled: raised, unless the caller has the message; what had come by then, the next receive gets first."""
    kit = RECEIVING[RECEIVES_ON[kind]]()
    loop.run(lambda tasks: race_receives(loop, tasks, kit))
    kit.close()


@on_all_loops
@pytest.mark.parametrize("protocol", [name for name in RECEIVING if name not in RECEIVES_ON.values()])
def test_no_protocol_loses_a_message_to_a_cancelled_receive(loop: Loop, protocol: str) -> None:
    """The same on every other protocol where a message that was not received waits for the next receive."""
    kit = RECEIVING[protocol]()
    loop.run(lambda tasks: race_receives(loop, tasks, kit))
    kit.close()


@on_all_loops
@socket_or_context
def test_a_message_that_a_cancelled_receive_left_goes_to_whoever_receives_next(loop: Loop, kind: str) -> None:
    """Another task that waits already, a thread, or the same socket in another run."""
    kit = RECEIVING[RECEIVES_ON[kind]]()

    async def main(tasks: Tasks) -> None:
        with Helper() as helper:
            for number in range(RACES):
                task = tasks.start(kit.channel.arecv)
                other = tasks.start(kit.channel.arecv) if number % 2 else None
                outcome = await cancel_at_some_moment(loop, helper, lambda number=number: kit.feed(number), task)  # type: ignore[misc]
                if other is None:
                    got = kit.channel.recv(timeout=LONG) if outcome.cancelled else outcome.result()
                else:
                    if not outcome.cancelled:
                        kit.feed(number)
                    got = (await other.wait()).result()
                assert number_in(got) == number

    loop.run(main)
    kit.close()


async def race_timeouts(tasks: Tasks, kit: Receiving) -> None:
    """Several receives at once would not be in order, so each race waits for its own millisecond."""
    counts = {"received": 0, "timed out": 0}
    with Helper() as helper:
        for number in range(RACES):

            def feed(number: int = number) -> None:
                time.sleep(random.random() * 0.0015)
                kit.feed(number)

            helper.start(feed)
            outcome = await tasks.start(lambda: kit.channel.arecv(timeout=0.001)).wait()
            if type(outcome.error) is nngio.TimedOut:
                outcome = Outcome(await kit.channel.arecv(timeout=LONG))
                counts["timed out"] += 1
            else:
                counts["received"] += 1
            assert number_in(outcome.result()) == number
            helper.wait()
    assert min(counts.values()) > 0, counts


@on_all_loops
@socket_or_context
def test_a_receive_that_times_out_leaves_its_message_to_the_next(loop: Loop, kind: str) -> None:
    """Receive, timed out: TimedOut, and whatever comes after that is for the next receive."""
    kit = RECEIVING[RECEIVES_ON[kind]]()
    loop.run(lambda tasks: race_timeouts(tasks, kit))
    kit.close()


@on_all_loops
def test_a_receive_whose_socket_is_closed_has_its_message_or_raises(loop: Loop) -> None:
    """Receive, closed, socket: a message or Closed; what nobody had received is gone with the socket. The next call: Closed."""
    races_end_closed(loop, lambda: FromPeer(nngio.Pair0, nngio.Pair0), RACES)


@on_all_loops
def test_a_receive_whose_context_is_closed_has_its_message_or_raises(loop: Loop) -> None:
    """Receive, closed, context: the same; the socket goes on, and its other contexts have their messages."""
    with nngio.Sub0(listen="inproc://closing-contexts", recv_buffer=8192) as sub, sub.context() as other:
        other.recv_buffer = 8192
        other.subscribe(b"")
        rounds = itertools.count()
        with nngio.Pub0(dial="inproc://closing-contexts", send_buffer=8192) as pub:

            class OneContext(Receiving):
                def __init__(self) -> None:
                    self.channel = sub.context()
                    self.channel.subscribe(numbered(next(rounds)))  # not what is still on its way from the round before

                def feed(self, number: int) -> None:
                    pub.send(numbered(number))

                def close(self) -> None:
                    pass

            races_end_closed(loop, OneContext, RACES)
            for number in range(RACES):
                assert number_in(other.recv(timeout=LONG)) == number


def races_end_closed(loop: Loop, make: Callable[[], Receiving], rounds: int) -> None:
    counts = {"received": 0, "closed": 0}

    async def main(tasks: Tasks) -> None:
        with Helper() as helper:
            for number in range(rounds):
                kit = make()
                receiving = tasks.start(kit.channel.arecv)
                await loop.sleep(0)

                def feed(kit: Receiving = kit, number: int = number) -> None:
                    if isinstance(kit, FromPeer):
                        with suppress(nngio.TimedOut):  # its peer has gone
                            kit.sender.send(numbered(number), timeout=0)
                    else:
                        kit.feed(number)

                if number % 2:
                    helper.start(feed)
                else:
                    feed()
                await loop.sleep(0)
                closing = tasks.start(kit.channel.aclose)
                outcome = await receiving.wait()
                helper.wait()
                (await closing.wait()).result()
                with pytest.raises(nngio.Closed):
                    await kit.channel.arecv(timeout=LONG)
                kit.close()
                if outcome.error is None:
                    assert number_in(outcome.result()) == number
                    counts["received"] += 1
                else:
                    assert type(outcome.error) is nngio.Closed
                    counts["closed"] += 1

    loop.run(main)
    assert counts["received"] > 0


# Sends.


@on_all_loops
@socket_or_context
def test_a_send_that_completes_has_given_its_message_away(loop: Loop, kind: str) -> None:
    """Send, completed: the Message is empty, nothing is raised, and it arrives once, in its turn."""
    kit = SENDING[SENDS_ON[kind]]()

    async def main(tasks: Tasks) -> None:
        with Helper() as helper:
            number = kit.measure(0)
            for number in range(number, number + RACES):  # noqa: B020, PLR1704, RUF100
                message = Message(numbered(number))
                task = tasks.start(kit.ready().asend, message)
                if random.random() < 0.5:
                    await loop.sleep(0)
                helper.start(kit.take)
                (await task.wait()).result()
                assert was_sent(message)
                kit.accepted.append(number)
                helper.wait()

    loop.run(main)
    kit.take_all()
    assert kit.arrived == kit.accepted
    kit.close()


async def race_sends(loop: Loop, tasks: Tasks, kit: Sending) -> dict[str, int]:
    counts = {"sent": 0, "cancelled": 0, "cancelled, sent": 0}
    number = kit.measure(0)
    with Helper() as helper:
        for _ in range(RACES):
            message = Message(numbered(number))
            task = tasks.start(kit.ready().asend, message)
            outcome = await cancel_at_some_moment(loop, helper, kit.take, task)
            if outcome.cancelled and not was_sent(message):
                assert number_in(message) == number
                counts["cancelled"] += 1
                number = kit.refill(message, number + 1)  # it can be sent once more
                assert was_sent(message)
                continue
            if not outcome.cancelled:
                outcome.result()
            assert was_sent(message)
            kit.accepted.append(number)
            counts["cancelled, sent" if outcome.cancelled else "sent"] += 1
            number = kit.refill(None, number + 1)
    kit.take_all()
    assert kit.arrived == kit.accepted
    assert min(counts["sent"], counts["cancelled"]) > RACES / 100, counts
    return counts


@on_all_loops
@socket_or_context
def test_a_send_that_is_cancelled_was_sent_if_and_only_if_its_message_was_sent(loop: Loop, kind: str) -> None:
    """Send, cancelled: raised. A whole message never arrives and can be sent once more; an empty one arrives once.

    On trio a send that was accepted returns, and the cancellation is raised at the task's next checkpoint.
    """
    kit = SENDING[SENDS_ON[kind]]()
    counts = loop.run(lambda tasks: race_sends(loop, tasks, kit))
    assert loop.over_asyncio or counts["cancelled, sent"] == 0
    kit.close()


@on_all_loops
@pytest.mark.parametrize("protocol", [name for name in SENDING if name not in SENDS_ON.values()])
def test_no_protocol_sends_a_message_that_it_gave_back(loop: Loop, protocol: str) -> None:
    """The same on every other protocol whose sends can wait."""
    kit = SENDING[protocol]()
    loop.run(lambda tasks: race_sends(loop, tasks, kit))
    kit.close()


@on_all_loops
@socket_or_context
def test_a_send_that_times_out_gives_its_message_back(loop: Loop, kind: str) -> None:
    """Send, timed out: TimedOut with the message, which never arrives unless it is sent once more; else it is empty and does."""
    kit = SENDING[SENDS_ON[kind]]()

    async def main(tasks: Tasks) -> None:
        counts = {"sent": 0, "timed out": 0}
        number = kit.measure(0)
        with Helper() as helper:
            for _ in range(RACES):

                def take() -> None:
                    time.sleep(random.random() * 0.0015)
                    kit.take()

                message: Message | None = Message(numbered(number))
                channel = kit.ready()
                helper.start(take)
                outcome = await tasks.start(lambda: channel.asend(message, timeout=0.001)).wait()  # noqa: B023
                if outcome.error is not None:
                    assert type(outcome.error) is nngio.TimedOut
                    assert outcome.error.message is message
                    assert number_in(message) == number
                    counts["timed out"] += 1
                else:
                    assert was_sent(message)
                    message = None
                    kit.accepted.append(number)
                    counts["sent"] += 1
                helper.wait()
                number = kit.refill(message, number + 1)
        assert min(counts.values()) > 0, counts

    loop.run(main)
    kit.take_all()
    assert kit.arrived == kit.accepted
    kit.close()


@on_all_loops
@socket_or_context
def test_a_send_whose_channel_is_closed_gives_its_message_back_or_has_sent_it(loop: Loop, kind: str) -> None:
    """Send, closed: Closed with the message, which never arrives; or it is empty: accepted, and lost if it was still queued."""
    counts = {"sent": 0, "closed": 0}

    async def main(tasks: Tasks) -> None:
        with Helper() as helper:
            for _ in range(RACES):
                kit = SENDING[SENDS_ON[kind]]()
                channel = kit.ready()
                message = Message(numbered(0))
                filled = 0
                while True:  # until it waits; two are under way by then
                    sending = tasks.start(channel.asend, message)
                    await loop.sleep(0)
                    await loop.sleep(0)
                    if not sending.done or filled == 2:
                        break
                    (await sending.wait()).result()
                    filled += 1
                    channel = kit.ready()
                    message = Message(numbered(filled))
                if random.random() < 0.5:
                    helper.start(kit.take)
                closing = tasks.start(channel.aclose)
                outcome = await sending.wait()
                (await closing.wait()).result()
                if outcome.error is None:
                    assert was_sent(message)
                    counts["sent"] += 1
                else:
                    assert type(outcome.error) is nngio.Closed
                    assert outcome.error.message is message
                    assert number_in(message) == filled
                    counts["closed"] += 1
                with pytest.raises(nngio.Closed):
                    await channel.asend(b"next")
                helper.wait()
                while len(kit.arrived) < filled + was_sent(message):
                    try:
                        kit.arrived.append(number_in(kit.receive(0)))
                    except nngio.TimedOut:
                        break  # what was accepted and still queued is lost
                assert kit.arrived == list(range(len(kit.arrived)))
                assert len(kit.arrived) <= filled + was_sent(message)
                kit.close()

    loop.run(main)
    assert counts["closed"] > 0, counts


# Where protocols differ.


@on_all_loops
@socket_or_context
def test_a_req_whose_receive_is_cancelled_has_its_reply_or_none(loop: Loop, kind: str) -> None:
    """REQ: the reply that had come is kept; else the request is over, the next receive says BadState, the next request works."""
    rep = nngio.Rep0(listen="inproc://req-cancelled")
    req = nngio.Req0(dial="inproc://req-cancelled")
    channel = req if kind == "socket" else req.context()
    counts = {"received": 0, "kept": 0, "over": 0, "replaced": 0}

    async def main(tasks: Tasks) -> None:
        with Helper() as helper:
            for number in range(RACES):
                await channel.asend(numbered(number), timeout=LONG)
                assert number_in(await rep.arecv(timeout=LONG)) == number
                task = tasks.start(channel.arecv)

                def reply(number: int = number) -> None:
                    rep.send(numbered(number), timeout=LONG)

                outcome = await cancel_at_some_moment(loop, helper, reply, task)
                if not outcome.cancelled:
                    assert number_in(outcome.result()) == number
                    counts["received"] += 1
                elif number % 3 == 0:  # a new request takes the old one's place, and that of its reply
                    counts["replaced"] += 1
                else:
                    try:
                        assert number_in(await channel.arecv(timeout=LONG)) == number
                        counts["kept"] += 1
                    except nngio.BadState:
                        counts["over"] += 1

    loop.run(main)
    assert min(counts["received"], counts["over"], counts["replaced"]) > 0, counts
    if loop.over_asyncio:
        assert counts["kept"] > 0, counts
    req.close()
    rep.close()


@on_all_loops
@socket_or_context
def test_a_req_whose_receive_times_out_gives_up_its_request(loop: Loop, kind: str) -> None:
    """REQ: TimedOut, after which the next receive says BadState, and a late reply is never taken for the next one's."""
    rep = nngio.Rep0(listen="inproc://req-timeout")
    req = nngio.Req0(dial="inproc://req-timeout")
    channel = req if kind == "socket" else req.context()
    counts = {"received": 0, "timed out": 0}

    async def main(_: Tasks) -> None:
        with Helper() as helper:
            for number in range(RACES):
                await channel.asend(numbered(number), timeout=LONG)
                assert number_in(await rep.arecv(timeout=LONG)) == number

                def reply(number: int = number) -> None:
                    time.sleep(random.random() * 0.0015)
                    rep.send(numbered(number), timeout=LONG)

                helper.start(reply)
                try:
                    assert number_in(await channel.arecv(timeout=0.001)) == number
                    counts["received"] += 1
                except nngio.TimedOut:
                    counts["timed out"] += 1
                    with pytest.raises(nngio.BadState):
                        await channel.arecv(timeout=LONG)
                helper.wait()

    loop.run(main)
    assert min(counts.values()) > 0, counts
    req.close()
    rep.close()


@on_all_loops
@socket_or_context
def test_a_new_request_ends_the_receive_of_the_old_one(loop: Loop, kind: str) -> None:
    """REQ: the old receive has its own reply or raises Canceled, which is no cancellation of the task; the new one gets its own."""
    rep = nngio.Rep0(listen="inproc://req-again")
    req = nngio.Req0(dial="inproc://req-again")
    channel = req if kind == "socket" else req.context()
    counts = {"received": 0, "canceled": 0}

    async def main(tasks: Tasks) -> None:
        with Helper() as helper:
            for number in range(0, 2 * RACES, 2):
                await channel.asend(numbered(number), timeout=LONG)
                assert number_in(await rep.arecv(timeout=LONG)) == number
                waiting = tasks.start(channel.arecv)
                await until_it_waits(loop, channel)

                def reply(number: int = number) -> None:
                    rep.send(numbered(number), timeout=LONG)

                if random.random() < 0.5:
                    helper.start(reply)
                    time.sleep(random.random() * 0.0001)  # noqa: ASYNC251  # the loop is to stand still
                await channel.asend(numbered(number + 1), timeout=LONG)
                outcome = await waiting.wait()
                assert not outcome.cancelled
                if outcome.error is None:
                    assert number_in(outcome.value) == number
                    counts["received"] += 1
                else:
                    assert type(outcome.error) is nngio.Canceled
                    counts["canceled"] += 1
                helper.wait()
                assert number_in(await rep.arecv(timeout=LONG)) == number + 1
                await rep.asend(numbered(number + 1), timeout=LONG)
                assert number_in(await channel.arecv(timeout=LONG)) == number + 1

    loop.run(main)
    assert min(counts.values()) > 0, counts
    req.close()
    rep.close()


@on_all_loops
@socket_or_context
@pytest.mark.parametrize("protocol", ["rep0", "respondent0"])
def test_a_question_that_a_cancelled_receive_left_is_answered_after_it_is_received(loop: Loop, kind: str, protocol: str) -> None:
    """REP, RESPONDENT: it waits for the next receive; until then there is nothing to answer, and BadState says so."""
    answerer = {"rep0": nngio.Rep0, "respondent0": nngio.Respondent0}[protocol](listen=f"inproc://left-{protocol}")
    asker = {"rep0": nngio.Req0, "respondent0": nngio.Surveyor0}[protocol](dial=f"inproc://left-{protocol}")
    channel = answerer if kind == "socket" else answerer.context()
    counts = {"received": 0, "cancelled": 0}

    async def main(tasks: Tasks) -> None:
        with Helper() as helper:
            for number in range(RACES):
                task = tasks.start(channel.arecv)

                def ask(number: int = number) -> None:
                    asker.send(numbered(number), timeout=LONG)

                outcome = await cancel_at_some_moment(loop, helper, ask, task)
                if outcome.cancelled:
                    counts["cancelled"] += 1
                    message = Message(b"to what?")
                    with pytest.raises(nngio.BadState) as caught:
                        await channel.asend(message)
                    assert caught.value.message is message
                    assert bytes(message) == b"to what?"
                    outcome = Outcome(await channel.arecv(timeout=LONG))
                else:
                    counts["received"] += 1
                assert number_in(outcome.result()) == number
                await channel.asend(numbered(number), timeout=LONG)
                assert number_in(await asker.arecv(timeout=LONG)) == number

    loop.run(main)
    assert min(counts.values()) > 0, counts
    asker.close()
    answerer.close()


@on_all_loops
@pytest.mark.parametrize("protocol", ["rep0 context", "respondent0 context"])
def test_an_answer_that_is_cancelled_while_it_waits_is_given_up(loop: Loop, protocol: str) -> None:
    """REP, RESPONDENT: its message is whole, but there is no second attempt: the next send says BadState."""
    kit = SENDING[protocol]()

    async def main(tasks: Tasks) -> None:
        kit.fill(0)
        for number in range(min(RACES, 150)):  # a context each
            channel = kit.ready()
            message = Message(numbered(number))
            task = tasks.start(channel.asend, message)
            while not was_sent(message):  # until NNG has it
                await loop.sleep(0)
            assert not task.done
            task.cancel()
            assert (await task.wait()).cancelled
            assert number_in(message) == number
            with pytest.raises(nngio.BadState) as caught:
                await channel.asend(message)
            assert caught.value.message is message

    loop.run(main)
    kit.take_all()
    assert kit.arrived == kit.accepted
    kit.close()


@on_all_loops
@socket_or_context
def test_a_surveyor_whose_receive_is_cancelled_has_its_answer_or_no_survey(loop: Loop, kind: str) -> None:
    """SURVEYOR: the answer that had come is kept; else the survey is over, the next receive says BadState, a new survey works."""
    respondent = nngio.Respondent0(listen="inproc://survey-cancelled")
    surveyor = nngio.Surveyor0(dial="inproc://survey-cancelled")
    channel = surveyor if kind == "socket" else surveyor.context()
    channel.survey_time = LONG
    counts = {"received": 0, "kept": 0, "over": 0, "replaced": 0}

    async def main(tasks: Tasks) -> None:
        with Helper() as helper:
            for number in range(RACES):
                await channel.asend(numbered(number), timeout=LONG)
                assert number_in(await respondent.arecv(timeout=LONG)) == number
                task = tasks.start(channel.arecv)

                def answer(number: int = number) -> None:
                    respondent.send(numbered(number), timeout=LONG)

                outcome = await cancel_at_some_moment(loop, helper, answer, task)
                if not outcome.cancelled:
                    assert number_in(outcome.result()) == number
                    counts["received"] += 1
                elif number % 3 == 0:
                    counts["replaced"] += 1
                else:
                    try:
                        assert number_in(await channel.arecv(timeout=LONG)) == number
                        counts["kept"] += 1
                    except nngio.BadState:
                        counts["over"] += 1

    loop.run(main)
    assert min(counts["received"], counts["over"], counts["replaced"]) > 0, counts
    surveyor.close()
    respondent.close()


@on_all_loops
def test_a_pub_has_sent_what_it_took(loop: Loop) -> None:
    """PUB: a send that has begun is never undone, nor does it wait; cancelled before that, the message is whole."""
    sub = nngio.Sub0(listen="inproc://pub-cancelled", recv_buffer=8192, subscribe=b"")
    pub = nngio.Pub0(dial="inproc://pub-cancelled", send_buffer=8192)
    expected: list[int] = []

    async def main(tasks: Tasks) -> None:
        with Helper() as helper:
            for number in range(RACES):
                message = Message(numbered(number))
                task = tasks.start(pub.asend, message)
                await cancel_at_some_moment(loop, helper, lambda: None, task)
                if was_sent(message):
                    expected.append(number)
                else:
                    assert number_in(message) == number

    loop.run(main)
    pub.send(b"end")
    received = []
    while (body := sub.recv(timeout=LONG)) != b"end":
        received.append(number_in(body))
    assert received == expected
    assert expected
    pub.close()
    sub.close()


@on_all_loops
@socket_or_context
def test_a_sub_does_not_receive_again_what_it_unsubscribed_from_meanwhile(loop: Loop, kind: str) -> None:
    """SUB: a message that a cancelled receive left was received before, and still comes; what waits in the buffer doesn't."""
    sub = nngio.Sub0(listen="inproc://sub-unsubscribes", recv_buffer=1024)
    pub = nngio.Pub0(dial="inproc://sub-unsubscribes", send_buffer=1024)
    channel = sub if kind == "socket" else sub.context()

    async def main(tasks: Tasks) -> None:
        for number in range(RACES):
            channel.subscribe(b"a")
            channel.subscribe(b"b")
            task = tasks.start(channel.arecv)
            await loop.sleep(0)
            pub.send(b"a%d" % number)
            pub.send(b"a again")
            pub.send(b"b")
            task.cancel()
            outcome = await task.wait()
            async with loop.timeout(LONG) as limit:
                got = [outcome.value] if not outcome.cancelled else []
                while got[-1:] != [b"b"]:
                    if len(got) == 1:
                        channel.unsubscribe(b"a")
                    got.append(await channel.arecv())
                if len(got) == 1:
                    channel.unsubscribe(b"a")
            assert not limit.expired
            assert got[0] == b"a%d" % number
            assert got[1:] in ([b"a again", b"b"], [b"b"])

    loop.run(main)
    pub.close()
    sub.close()


# What asyncio's tasks say.


over_asyncio = pytest.mark.parametrize("loop", [x for x in LOOPS if x.over_asyncio and not x.name.startswith("anyio")], ids=repr)


@over_asyncio
@pytest.mark.parametrize("library_wait", ["task.cancel", "timeout", "wait_for", "task group"])
def test_asyncio_s_own_means_lose_nothing(loop: Loop, library_wait: str) -> None:
    """However asyncio cancels a receive: the message is its result, or is left to the next receive; never both, never neither."""
    kit = RECEIVING["pair0"]()

    async def wait(seconds: float) -> bytes | None:
        match library_wait:
            case "task.cancel":
                task = asyncio.ensure_future(kit.channel.arecv())
                await asyncio.sleep(seconds)
                task.cancel()
                await asyncio.wait([task])
                return None if task.cancelled() else task.result()
            case "timeout":
                try:
                    async with asyncio.timeout(seconds):
                        return await kit.channel.arecv()  # type: ignore[no-any-return]
                except TimeoutError:
                    return None
            case "wait_for":
                try:
                    return await asyncio.wait_for(kit.channel.arecv(), seconds)  # type: ignore[no-any-return]
                except TimeoutError:
                    return None
            case _:
                return await in_a_group_that_fails(seconds)

    async def in_a_group_that_fails(seconds: float) -> bytes | None:
        result: bytes | None = None

        async def receive() -> None:
            nonlocal result
            result = await kit.channel.arecv()

        async def fail() -> None:
            await asyncio.sleep(seconds)
            raise ZeroDivisionError

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(receive())
                group.create_task(fail())
        except* ZeroDivisionError:
            pass
        return result

    async def main(_: Tasks) -> None:
        with Helper() as helper:
            for number in range(RACES):

                def feed(number: int = number) -> None:
                    time.sleep(random.random() * 0.0015)
                    kit.feed(number)

                helper.start(feed)
                result = await wait(random.choice((0, 0.0005, 0.001)))
                if result is None:
                    result = await kit.channel.arecv(timeout=LONG)
                assert number_in(result) == number
                helper.wait()

    loop.run(main)
    kit.close()


@over_asyncio
def test_a_cancellation_is_never_swallowed(loop: Loop) -> None:
    """`cancelling()` counts it if and only if CancelledError is raised in the task, whatever the operation's own outcome was."""
    kit = RECEIVING["pair0"]()

    async def main(_: Tasks) -> None:
        async def receive() -> tuple[bytes | None, int]:
            task = asyncio.current_task()
            assert task is not None
            try:
                got: bytes | None = await kit.channel.arecv()
            except asyncio.CancelledError:
                got = None
            return got, task.cancelling()

        with Helper() as helper:
            for number in range(RACES):
                task = asyncio.ensure_future(receive())

                def feed(number: int = number) -> None:
                    kit.feed(number)

                await random.choice(MOMENTS[1:])(loop, helper, feed, task.cancel)
                await asyncio.wait([task])
                if task.cancelled():  # before it had begun
                    got = None
                else:
                    got, cancelling = task.result()
                    assert cancelling == (got is None)
                if got is None:
                    got = await kit.channel.arecv(timeout=LONG)
                assert number_in(got) == number

    loop.run(main)
    kit.close()


@over_asyncio
def test_a_task_that_is_cancelled_between_its_result_and_its_turn_raises(loop: Loop) -> None:
    """Two receives have ended and the loop has taken both: the first task to go on cancels the second, whose message is kept."""
    first, second = RECEIVING["pair0"](), RECEIVING["pair0"]()
    counts = {"in the window": 0, "before": 0, "after": 0}

    async def main(_: Tasks) -> None:
        for number in range(RACES):
            receiving = asyncio.ensure_future(second.channel.arecv())

            async def cancel_other(receiving: asyncio.Task[bytes] = receiving) -> None:
                await first.channel.arecv()
                waits_for = getattr(receiving, "_fut_waiter", None)
                when = "after" if waits_for is None else "in the window" if waits_for.ready else "before"
                counts[when] += 1
                assert receiving.cancel() == (when != "after")

            cancelling = asyncio.ensure_future(cancel_other())
            await until_it_waits(loop, first.channel)
            await until_it_waits(loop, second.channel)
            first.feed(number)
            second.feed(number)
            time.sleep(0.0002)  # noqa: ASYNC251  # both end while the loop stands still
            await cancelling
            await asyncio.wait([receiving])
            cancelling.result()
            got = await second.channel.arecv(timeout=LONG) if receiving.cancelled() else receiving.result()
            assert number_in(got) == number

    loop.run(main)
    assert counts["in the window"] > RACES / 20, counts
    first.close()
    second.close()


@on_all_loops
def test_the_task_whose_result_stands_is_cancelled_by_another_s_turn(loop: Loop) -> None:
    """The same on every loop: in the window between result and turn a message is the task's, or the next receive's."""
    first, second = RECEIVING["pair0"](), RECEIVING["pair0"]()

    async def main(tasks: Tasks) -> None:
        for number in range(RACES):
            receiving = tasks.start(second.channel.arecv)

            async def cancel_other(receiving: Task = receiving) -> None:
                await first.channel.arecv()
                receiving.cancel()

            cancelling = tasks.start(cancel_other)
            await until_it_waits(loop, first.channel)
            await until_it_waits(loop, second.channel)
            first.feed(number)
            second.feed(number)
            time.sleep(0.0002)  # noqa: ASYNC251  # both end while the loop stands still
            (await cancelling.wait()).result()
            outcome = await receiving.wait()
            got = outcome.result() if not outcome.cancelled else await second.channel.arecv(timeout=LONG)
            assert number_in(got) == number

    loop.run(main)
    first.close()
    second.close()


@pytest.mark.parametrize("loop", [ASYNCIO, UVLOOP], ids=repr)
def test_a_wait_for_that_is_cancelled_itself_loses_nothing(loop: Loop) -> None:
    """Python 3.11's own `wait_for` may return a result although its task was cancelled: then the message is that result."""
    kit = RECEIVING["pair0"]()

    async def main(_: Tasks) -> None:
        results: list[bytes] = []

        async def receive() -> None:
            results.append(await asyncio.wait_for(kit.channel.arecv(), LONG))

        with Helper() as helper:
            for number in range(RACES):
                results.clear()
                task = asyncio.ensure_future(receive())

                def feed(number: int = number) -> None:
                    kit.feed(number)

                await random.choice(MOMENTS)(loop, helper, feed, task.cancel)
                await asyncio.wait([task])
                if not results:
                    assert task.cancelled()
                    results.append(await kit.channel.arecv(timeout=LONG))
                assert [number_in(body) for body in results] == [number]

    loop.run(main)
    kit.close()
