"""Connections of HTTP's whose calls are interrupted at any moment, thousands of times: each answer is that of its own request."""

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable

import pytest
from http_peers import Answers
from loops import Loop, Tasks, on_all_loops
from races import Helper

import nngio
from nngio.http import Client, Connection, Request

TIMES = int(os.environ.get("NNGIO_RACES", "3000"))
SECONDS = 30.0
ENDS = (nngio.Closed, nngio.ConnectionShutdown, nngio.ConnectionReset)


class Asking:
    """One connection after the other, each used until an interrupted call has ended it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.number = self.interrupted = self.answered = 0
        self.connection: Connection | None = None

    def open(self, connect: Callable[..., Connection]) -> Connection:
        if self.connection is None or self.connection.closed:
            self.connection = connect(timeout=SECONDS)
        return self.connection

    def next(self) -> Request:
        self.number += 1
        return Request(uri=f"/{self.number}")

    def check(self, bodies: list[bytes]) -> None:
        """What came of the last request: its answer, or nothing."""
        assert bodies in ([], [b"/%d" % self.number])
        self.answered += len(bodies)
        self.interrupted += not bodies

    def end(self) -> None:
        """It was a race. The last connection, if it is still there, has nothing on it that isn't asked for."""
        if self.connection is not None:
            if not self.connection.closed:
                request = self.next()
                self.check([self.connection.transact(request, timeout=SECONDS).body])
            self.connection.close()
        assert self.interrupted > self.number / 100
        assert self.answered > self.number / 100


@pytest.mark.timeout(300)
@on_all_loops
def test_cancelled_transactions_mix_up_no_answers(loop: Loop) -> None:
    """Cancelled after some turns of the loop, or some time, or when the loop has stood still while the answer came."""
    chance = random.Random(11)

    async def main(tasks: Tasks) -> None:
        with Answers() as server, Client(server.url) as client:
            asking = Asking(client)
            for _ in range(TIMES):
                if asking.connection is None or asking.connection.closed:
                    asking.connection = await client.aconnect(timeout=SECONDS)
                task = tasks.start(asking.connection.atransact, asking.next())
                for _ in range(chance.randrange(7)):
                    await loop.sleep(0)
                match chance.randrange(4):
                    case 0:
                        await loop.sleep(chance.random() * 0.001)
                    case 1:
                        time.sleep(chance.random() * 0.001)  # noqa: ASYNC251  # the loop is to stand still
                task.cancel()
                outcome = await task.wait()
                asking.check([] if outcome.cancelled else [outcome.result().body])
            asking.end()

    loop.run(main)


@pytest.mark.timeout(300)
@on_all_loops
def test_calls_that_wait_for_their_turn_end_once(loop: Loop) -> None:
    """Cancelled while the one before them ends, by its own cancellation or the peer's hanging up; writes beside them."""
    chance = random.Random(12)

    async def main(tasks: Tasks) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, Client(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            for _ in range(max(TIMES // 10, 20)):
                connection = await client.aconnect(timeout=SECONDS)
                with listener.accept()[0] as peer, Helper() as helper:
                    calls = [tasks.start(connection.aread) for _ in range(4)]
                    calls += [tasks.start(connection.awrite_all, bytes(chance.choice((10, 4_000_000)))) for _ in range(3)]
                    for _ in range(chance.randrange(1, 4)):
                        await loop.sleep(0)
                    helper.start(peer.close)
                    if chance.randrange(2):
                        await loop.sleep(chance.random() * 0.0005)
                    chance.shuffle(calls)
                    for call in calls[: chance.randrange(8)]:
                        call.cancel()
                        if chance.randrange(2):
                            await loop.sleep(0)
                    for call in calls:
                        outcome = await call.wait()
                        assert outcome.cancelled or outcome.error is None or isinstance(outcome.error, ENDS)
                    helper.wait()
                await connection.aclose()

    loop.run(main)


@pytest.mark.timeout(300)
def test_ctrl_c_mixes_up_no_answers() -> None:
    """Its signal comes to the main thread at any moment of a transaction, or just after it."""
    main = threading.get_ident()

    def interrupt() -> None:
        time.sleep(random.random() * 0.001)
        signal.pthread_kill(main, signal.SIGINT)

    with Answers() as server, Client(server.url) as client, Helper() as helper:
        asking = Asking(client)
        for _ in range(TIMES):
            connection, request, bodies = asking.open(client.connect), asking.next(), []
            try:
                helper.start(interrupt)
                bodies.append(connection.transact(request, timeout=SECONDS).body)
                while True:
                    time.sleep(0.001)  # a signal that comes just before a longer sleep would not end it
            except KeyboardInterrupt:
                pass
            helper.wait()
            asking.check(bodies)
        asking.end()


@pytest.mark.timeout(300)
def test_timeouts_mix_up_no_answers() -> None:
    """The answer comes about when the time is up."""
    with Answers(latest=0.02) as server, Client(server.url) as client:
        asking = Asking(client)
        for _ in range(TIMES // 5):
            connection, request, bodies = asking.open(client.connect), asking.next(), []
            try:
                bodies.append(connection.transact(request, timeout=0.01).body)
            except nngio.TimedOut:
                assert connection.closed
            asking.check(bodies)
        asking.end()
