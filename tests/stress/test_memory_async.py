"""Memory stays flat over a million failed sends that are awaited, and each gives its message back.

Measured as in test_memory.py, and on one loop of asyncio's and one of trio's.
"""

import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from loops import TRIO, UVLOOP, Loop, Task, Tasks
from races import number_in, numbered, was_sent
from test_memory import MILLION, handed_out, stays_flat

import nngio
from nngio import Message
from nngio.lowlevel import lib

pytestmark = pytest.mark.timeout(300)

on_two_loops = pytest.mark.parametrize("loop", [UVLOOP, TRIO], ids=repr)

BODY = b"x" * 1000
AT_ONCE = 50


def stays_flat_on(loop: Loop, rounds: int, work: Callable[[Tasks, int], Awaitable[None]]) -> None:
    """Each share of the rounds in a run of its own, so that what belongs to the loop is gone too."""
    stays_flat(rounds, lambda share: loop.run(lambda tasks: work(tasks, share)))


@on_two_loops
def test_a_million_awaited_sends_that_fail_at_once_leave_no_trace(loop: Loop) -> None:
    """Of bytes, whose error has them in a new Message, and of one Message: refused for lack of a peer, of a request, of a socket."""
    with nngio.Push0() as push, nngio.Rep0() as rep, rep.context() as context, nngio.Pair0() as closed:
        closed.close()
        message = Message(BODY)
        message.header = b"header"

        async def work(_: Tasks, rounds: int) -> None:
            failed = 0
            for _ in range(rounds // 4):
                for channel, data in ((push, BODY), (push, message), (context, message), (closed, BODY)):
                    try:
                        await channel.asend(data, timeout=0)
                    except nngio.NNGError as error:
                        failed += error.message is message or bytes(error.message) == BODY  # type: ignore[arg-type]
            assert failed == rounds // 4 * 4

        stays_flat_on(loop, MILLION, work)
        assert bytes(message) == BODY
        assert message.header == b"header"


async def fail_all(loop: Loop, tasks: Tasks, rounds: int, send: Callable[[Message], Awaitable[None]], end: Callable[[Task], Any]) -> None:
    """Start sends that wait, by the dozen, end each, and look whether its message is whole."""
    for number in range(0, rounds, AT_ONCE):
        messages = [Message(numbered(number + i) + BODY) for i in range(AT_ONCE)]
        sending = [tasks.start(send, message) for message in messages]
        while not all(task.done or was_sent(message) for task, message in zip(sending, messages, strict=True)):
            await loop.sleep(0)  # until NNG has them
        for task in sending:
            end(task)
        for i, task in enumerate(sending):
            outcome = await task.wait()
            assert outcome.cancelled or isinstance(outcome.error, nngio.TimedOut)
            assert number_in(bytes(messages[i])[:8]) == number + i


@on_two_loops
def test_sends_that_are_cancelled_while_they_wait_leave_no_trace(loop: Loop) -> None:
    """Each message is whole again after its task was cancelled."""
    with nngio.Push0() as push:

        async def work(tasks: Tasks, rounds: int) -> None:
            await fail_all(loop, tasks, rounds, push.asend, lambda task: task.cancel())

        stays_flat_on(loop, MILLION // 10, work)


@on_two_loops
def test_sends_that_time_out_while_they_wait_leave_no_trace(loop: Loop) -> None:
    """Each message is whole again, and in its error."""
    with nngio.Push0() as push:

        async def send(message: Message) -> None:
            await push.asend(message, timeout=0.001)

        async def work(tasks: Tasks, rounds: int) -> None:
            await fail_all(loop, tasks, rounds, send, lambda _: None)

        stays_flat_on(loop, MILLION // 20, work)


@on_two_loops
def test_receives_that_are_cancelled_leave_no_trace(loop: Loop) -> None:
    """Also those that had their message: the next receive has it then, and nobody keeps a copy."""
    with nngio.Pair0(listen="inproc://memory-receives") as pair, nngio.Pair0(dial="inproc://memory-receives") as peer:

        async def work(tasks: Tasks, rounds: int) -> None:
            for number in range(rounds):
                receiving = tasks.start(pair.arecv)
                await loop.sleep(0)
                peer.send(numbered(number) + BODY)
                if number % 2:
                    await loop.sleep(0)
                receiving.cancel()
                outcome = await receiving.wait()
                body = await pair.arecv() if outcome.cancelled else outcome.value
                assert number_in(body[:8]) == number

        stays_flat_on(loop, MILLION // 20, work)


@on_two_loops
def test_what_was_received_is_not_kept(loop: Loop, address: Callable[[str], str]) -> None:
    """The memory of many large messages, received at the same time, is free for others as soon as they are dropped."""
    size, count = 1_000_000, 50

    async def main(tasks: Tasks) -> None:
        with nngio.Pull0(listen=address("inproc")) as pull, nngio.Push0(dial=pull.listeners[0].url) as push:
            before = handed_out()
            receiving = [tasks.start(pull.arecv) for _ in range(count)]
            while lib.nngio_handle_on_loops(pull._handle) < count:
                await loop.sleep(0)
            for _ in range(count):
                push.send(bytes(size))
            while receiving:
                assert len((await receiving.pop().wait()).result()) == size
            gc.collect()
            assert handed_out() - before < 3 * size

    loop.run(main)
