"""`nng` by Axel Davy, on PyPI; python-nng here, because NNG itself has that name too.

Its receive gives a Message, whose bytes are not copied; the benchmarks leave it at that.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import nng

from benchmarks.libraries import Wants

MODES = ("sync", "asyncio", "uvloop")
KINDS = {
    "req": nng.ReqSocket,
    "rep": nng.RepSocket,
    "push": nng.PushSocket,
    "pull": nng.PullSocket,
    "pair": lambda: nng.PairSocket(v0=True),
    "pub": nng.PubSocket,
    "sub": nng.SubSocket,
}


def versions() -> dict[str, str]:
    try:
        found = {"python-nng": version("nng")}
    except PackageNotFoundError:
        found = {"python-nng": version("nng-ssl")}
    nng_version = getattr(nng, "nng_version", None) or getattr(nng, "version", None)
    return found | {"nng": str(nng_version())} if callable(nng_version) else found


def open_socket(kind: str, wants: Wants) -> Any:
    socket = KINDS[kind]()
    if wants.buffer:
        socket.send_buf = socket.recv_buf = wants.buffer
    if kind == "sub":
        socket.subscribe(b"")
    if wants.listen:
        config = nng.TlsConfig.for_server(cert_file=f"{wants.tls}/server.pem") if wants.tls else None
        socket.add_listener(wants.listen, tls=config).start()
    if wants.dial:
        config = nng.TlsConfig.for_client(server_name="localhost", ca_file=f"{wants.tls}/ca.pem") if wants.tls else None
        socket.add_dialer(wants.dial, tls=config).start(block=True)
    return socket


def open_context(socket: Any) -> Any:
    return socket.open_context()


def calls(thing: Any, verbs: str, asynchronous: bool) -> tuple[Any, Any]:  # noqa: ARG001
    return (thing.asend, thing.arecv) if asynchronous else (thing.send, thing.recv)


# Its documentation recommends these generators for the lowest latency.

watchers: dict[tuple[Any, bool], Any] = {}


def watcher(socket: Any, sends: bool) -> Any:
    key = id(socket), sends
    if key not in watchers:
        watchers[key] = socket.asend_ready() if sends else socket.arecv_ready()
    return watchers[key]


async def send_when_ready(socket: Any, payload: bytes, count: int) -> None:
    async for _ in watcher(socket, sends=True):
        socket.send(payload, nonblock=True)
        count -= 1
        if count == 0:
            return


async def receive_when_ready(socket: Any, count: int) -> None:
    async for _ in watcher(socket, sends=False):
        socket.recv(nonblock=True)
        count -= 1
        if count == 0:
            return


async def ask_when_ready(req: Any, payload: bytes) -> None:
    await anext(watcher(req, sends=True))
    req.send(payload, nonblock=True)
    await anext(watcher(req, sends=False))
    req.recv(nonblock=True)


async def answer_when_ready(rep: Any) -> None:
    ready = watcher(rep, sends=True)
    async for _ in watcher(rep, sends=False):
        message = rep.recv(nonblock=True)
        await anext(ready)
        rep.send(message, nonblock=True)


LOOPS: dict[tuple[str, bool], Any] = {("ready", True): (send_when_ready, receive_when_ready)}
EXCHANGES: dict[str, Any] = {"ready": (ask_when_ready, answer_when_ready)}
