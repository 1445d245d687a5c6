"""pyzmq: no NNG, but what many would take instead."""

from __future__ import annotations

from typing import Any

import zmq
import zmq.asyncio

from benchmarks.libraries import Unsupported, Wants

MODES = ("sync", "asyncio", "uvloop")
KINDS = {
    "req": zmq.REQ,
    "rep": zmq.REP,
    "push": zmq.PUSH,
    "pull": zmq.PULL,
    "pair": zmq.PAIR,
    "pub": zmq.PUB,
    "sub": zmq.SUB,
}
LOOPS: dict[tuple[str, bool], Any] = {}
EXCHANGES: dict[str, Any] = {}


def versions() -> dict[str, str]:
    return {"pyzmq": zmq.__version__, "libzmq": zmq.zmq_version()}


def open_socket(kind: str, wants: Wants) -> Any:
    if wants.tls:
        raise Unsupported("TLS")
    context = zmq.Context.instance()
    socket = (zmq.asyncio.Context(context) if wants.asynchronous else context).socket(KINDS[kind])
    if wants.buffer:
        socket.set_hwm(wants.buffer)
    if kind == "sub":
        socket.subscribe(b"")
    if wants.listen:
        socket.bind(wants.listen)
    if wants.dial:
        socket.connect(wants.dial)
    return socket


def open_context(socket: Any) -> Any:  # noqa: ARG001
    raise Unsupported("contexts")


def calls(thing: Any, verbs: str, asynchronous: bool) -> tuple[Any, Any]:
    if verbs == "msg":
        # As pyzmq's documentation has it for large messages: frames, which are not copied.
        if asynchronous:
            return (lambda data: thing.send(data, copy=False)), (lambda: thing.recv(copy=False))
        return (lambda data: thing.send(data, 0, False)), (lambda: thing.recv(0, False))
    return thing.send, thing.recv
