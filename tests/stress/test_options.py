"""Options are set and read by some threads while others send, receive, connect and close: nobody crashes, nothing hangs."""

import itertools
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import pytest

import nngio
from nngio._core.nng import patched
from nngio._options import options_of

Address = Callable[[str], str]

SECONDS = 3
PAIRS: dict[str, tuple[type[Any], type[Any]]] = {
    "pair0": (nngio.Pair0, nngio.Pair0),
    "pair1": (nngio.Pair1, nngio.Pair1),
    "bus": (nngio.Bus0, nngio.Bus0),
    "pubsub": (nngio.Pub0, nngio.Sub0),
    "pipeline": (nngio.Push0, nngio.Pull0),
    "reqrep": (nngio.Req0, nngio.Rep0),
    "survey": (nngio.Surveyor0, nngio.Respondent0),
}


def values(option: Any) -> Any:
    """Values for an option, one after the other, for ever."""
    kinds = {"bool": (True, False), "float": (0.01, 0.02), "float or None": (None, 5.0), "str": ("a", "longer")}
    if option.attribute == "name" and not patched("socket-name"):
        return itertools.cycle(["x" * 60, "y" * 60])
    if option.attribute == "max_ttl":
        return itertools.cycle([3, 15])
    return itertools.cycle(kinds.get(option.kind, (1, 300, 5)))


def fiddle(thing: Any, stop: threading.Event, errors: list[BaseException]) -> None:
    """Set and read all options of an object that it has here."""
    options = {name: values(option) for name, option in options_of(type(thing)).items()}
    try:
        while not stop.is_set():
            for name, cycle in options.items():
                with suppress(nngio.NotSupported, nngio.BadState, nngio.Closed, nngio.NoEntry):
                    getattr(thing, name)
                    option = getattr(type(thing), name)
                    if not option.readonly and option.kind not in ("address", "Headers") and not option.early and name != "recv_max_size":
                        setattr(thing, name, next(cycle))
    except BaseException as error:
        errors.append(error)


def run(work: list[Callable[[threading.Event, list[BaseException]], None]], seconds: float) -> None:
    stop = threading.Event()
    errors: list[BaseException] = []
    threads = [threading.Thread(target=part, args=(stop, errors)) for part in work]
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert not errors, errors


@pytest.mark.timeout(60)
@pytest.mark.parametrize("transport", ["inproc", "tcp"])
@pytest.mark.parametrize("name", PAIRS)
def test_options_change_while_messages_flow(name: str, transport: str, address: Address) -> None:
    """Buffers are resized, times change, on both sockets and their endpoints, while both send and receive."""
    first, second = PAIRS[name]
    with second(listen=address(transport)) as b, first(dial=b.listeners[0].url) as a:
        if name == "pubsub":
            b.subscribe(b"")

        def talk(sock: Any) -> Callable[[threading.Event, list[BaseException]], None]:
            def go(stop: threading.Event, errors: list[BaseException]) -> None:
                try:
                    while not stop.is_set():
                        for verb in ("send", "recv"):
                            if hasattr(sock, verb):
                                with suppress(nngio.TimedOut, nngio.BadState, nngio.Canceled, nngio.ConnectionReset):
                                    getattr(sock, verb)(*([b"x" * 100] if verb == "send" else []), timeout=0.01)
                except BaseException as error:
                    errors.append(error)

            return go

        fiddlers = [lambda s, e, t=thing: fiddle(t, s, e) for thing in (a, b, a.dialers[0], b.listeners[0])]  # type: ignore[misc]
        run([talk(a), talk(b), *fiddlers], SECONDS)


@pytest.mark.timeout(60)
def test_options_are_asked_for_while_their_objects_are_closed(address: Address) -> None:
    """Sockets, contexts, dialers and listeners are closed under the hands of who sets and reads their options."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with ExitStack() as stack:
            sub = stack.enter_context(nngio.Sub0(listen=address("tcp")))
            pub = stack.enter_context(nngio.Pub0(dial=sub.listeners[0].url))
            context = sub.context()
            stop = threading.Event()
            errors: list[BaseException] = []
            things: list[Any] = [sub, pub, context, pub.dialers[0], sub.listeners[0]]
            threads = [threading.Thread(target=fiddle, args=(thing, stop, errors)) for thing in things]
            for thread in threads:
                thread.start()
            for thing in reversed(things):
                thing.close()
            stop.set()
            for thread in threads:
                thread.join(30)
                assert not thread.is_alive()
            assert not errors, errors


@pytest.mark.timeout(60)
def test_headers_change_while_connections_are_made(address: Address) -> None:
    """A dialer and a listener of websockets are given other headers while they shake hands again and again."""
    with nngio.Pair0(listen=address("ws")) as a, nngio.Pair0(reconnect_time_min=0.001) as b:
        listener = a.listeners[0]
        dialer = b.dial(listener.url)

        def change(stop: threading.Event, errors: list[BaseException]) -> None:
            try:
                for number in itertools.count():
                    if stop.is_set():
                        return
                    dialer.request_headers[f"X-{number % 20}"] = "x" * (number % 200)
                    if patched("websocket-response-header"):
                        listener.response_headers[f"X-{number % 20}"] = "y" * (number % 200)
            except BaseException as error:
                errors.append(error)

        def connect(stop: threading.Event, errors: list[BaseException]) -> None:
            try:
                while not stop.is_set():
                    with suppress(nngio.TimedOut):
                        b.send(b"x", timeout=0.2)
                        pipe = a.recv_msg(timeout=0.2).pipe
                        if pipe is not None:
                            pipe.close()
            except BaseException as error:
                errors.append(error)

        run([change, change, connect], SECONDS)
