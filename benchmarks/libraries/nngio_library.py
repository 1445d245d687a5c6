"""nngio."""

from __future__ import annotations

from typing import Any

import nngio
from benchmarks.libraries import Unsupported, Wants
from nngio.lowlevel import nng_version

MODES = ("sync", "asyncio", "uvloop", "trio")
KINDS = {
    "req": nngio.Req0,
    "rep": nngio.Rep0,
    "push": nngio.Push0,
    "pull": nngio.Pull0,
    "pair": nngio.Pair0,
    "pub": nngio.Pub0,
    "sub": nngio.Sub0,
}
MANY = 64
"""Messages at most for each call of `send_many` and `recv_many`."""


def versions() -> dict[str, str]:
    return {"nngio": nngio.__version__, "nng": nng_version()}


def open_socket(kind: str, wants: Wants) -> Any:
    options: dict[str, Any] = {"subscribe": b""} if kind == "sub" else {}
    if wants.buffer:
        options |= {"send_buffer": wants.buffer, "recv_buffer": wants.buffer}
    if wants.prefetch:
        if not hasattr(KINDS[kind], "prefetch"):
            raise Unsupported("prefetch")
        options["prefetch"] = wants.prefetch
    if wants.tls:
        options |= tls_options(wants)
    return KINDS[kind](listen=wants.listen, dial=wants.dial, **options)


def tls_options(wants: Wants) -> dict[str, Any]:
    """The options of a socket that uses TLS: `server.pem` for one that listens, `ca.pem` for one that dials to `localhost`."""
    if wants.listen:
        return {"tls": nngio.TLSConfig(cert=f"{wants.tls}/server.pem")}
    return {"tls": nngio.TLSConfig(ca=f"{wants.tls}/ca.pem", server_name="localhost")}


def open_context(socket: Any) -> Any:
    return socket.context()


def calls(thing: Any, verbs: str, asynchronous: bool) -> tuple[Any, Any]:
    prefix = "a" if asynchronous else ""
    receive = "recv_msg" if verbs == "msg" else "recv"
    return getattr(thing, f"{prefix}send", None), getattr(thing, prefix + receive, None)


async def send_each(socket: Any, payload: bytes, count: int) -> None:
    for _ in range(count):
        await socket.asend(payload)


async def receive_iterating(socket: Any, count: int) -> None:
    async for _ in socket:
        count -= 1
        if count == 0:
            return


async def send_many(socket: Any, payload: bytes, count: int) -> None:
    batch = [payload] * MANY
    while count >= MANY:
        await socket.asend_many(batch)
        count -= MANY
    if count:
        await socket.asend_many(batch[:count])


async def receive_many(socket: Any, count: int) -> None:
    while count > 0:
        count -= len(await socket.arecv_many(min(MANY, count)))


def send_each_sync(socket: Any, payload: bytes, count: int) -> None:
    for _ in range(count):
        socket.send(payload)


def receive_iterating_sync(socket: Any, count: int) -> None:
    for _ in socket:
        count -= 1
        if count == 0:
            return


def send_many_sync(socket: Any, payload: bytes, count: int) -> None:
    batch = [payload] * MANY
    while count >= MANY:
        socket.send_many(batch)
        count -= MANY
    if count:
        socket.send_many(batch[:count])


def receive_many_sync(socket: Any, count: int) -> None:
    while count > 0:
        count -= len(socket.recv_many(min(MANY, count)))


LOOPS: dict[tuple[str, bool], Any] = {
    ("iter", False): (send_each_sync, receive_iterating_sync),
    ("iter", True): (send_each, receive_iterating),
}
EXCHANGES: dict[str, Any] = {}

if hasattr(nngio.Push0, "send_many"):
    LOOPS["many", False] = send_many_sync, receive_many_sync
    LOOPS["many", True] = send_many, receive_many
    LOOPS["own", False] = send_each_sync, receive_many_sync
    LOOPS["own", True] = send_each, receive_many
