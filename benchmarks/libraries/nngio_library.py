"""nngio."""

from __future__ import annotations

from typing import Any

import nngio
from nngio.lowlevel import nng_version

from benchmarks.libraries import Unsupported

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


def open_socket(
    kind: str,
    asynchronous: bool,
    *,
    listen: str | None = None,
    dial: str | None = None,
    tls: str = "",
    buffer: int = 0,
    prefetch: int = 0,
) -> Any:
    options: dict[str, Any] = {"subscribe": b""} if kind == "sub" else {}
    if buffer:
        options |= {"send_buffer": buffer, "recv_buffer": buffer}
    if prefetch:
        if not hasattr(KINDS[kind], "prefetch"):
            raise Unsupported("prefetch")
        options["prefetch"] = prefetch
    if tls:
        options |= tls_options(tls, server=listen is not None)
    return KINDS[kind](listen=listen, dial=dial, **options)


def tls_options(folder: str, server: bool) -> dict[str, Any]:
    """The options of a socket that uses TLS. To be filled in when nngio has such options."""
    raise Unsupported("TLS")


def open_context(socket: Any) -> Any:
    return socket.context()


def calls(thing: Any, verbs: str, asynchronous: bool) -> tuple[Any, Any]:
    prefix = "a" if asynchronous else ""
    receive = "recv_msg" if verbs == "msg" else "recv"
    return getattr(thing, f"{prefix}send", None), getattr(thing, prefix + receive, None)


def loops(verbs: str, asynchronous: bool) -> Any:
    if verbs == "iter":
        return (send_each, receive_iterating) if asynchronous else (send_each_sync, receive_iterating_sync)
    if verbs == "many":
        if not hasattr(nngio.Push0, "send_many"):
            raise Unsupported("send_many and recv_many")
        return (send_many, receive_many) if asynchronous else (send_many_sync, receive_many_sync)
    return None


def exchange(verbs: str) -> Any:
    return None


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
