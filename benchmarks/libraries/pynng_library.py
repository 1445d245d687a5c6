"""pynng."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pynng

MODES = ("sync", "asyncio", "uvloop", "trio")
KINDS = {
    "req": pynng.Req0,
    "rep": pynng.Rep0,
    "push": pynng.Push0,
    "pull": pynng.Pull0,
    "pair": pynng.Pair0,
    "pub": pynng.Pub0,
    "sub": pynng.Sub0,
}


def versions() -> dict[str, str]:
    found = {"pynng": version("pynng")}
    nng_version = getattr(pynng.lib, "nng_version", None)
    return found if nng_version is None else found | {"nng": pynng.ffi.string(nng_version()).decode()}


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
    options: dict[str, Any] = {"topics": [b""]} if kind == "sub" else {}
    if buffer:
        options |= {"send_buffer_size": buffer, "recv_buffer_size": buffer}
    if tls:
        config = pynng.TLSConfig
        if listen is not None:
            options["tls_config"] = config(config.MODE_SERVER, cert_key_file=f"{tls}/server.pem")
        else:
            options["tls_config"] = config(config.MODE_CLIENT, server_name="localhost", ca_files=f"{tls}/ca.pem")
    return KINDS[kind](listen=listen, dial=dial, block_on_dial=True if dial else None, **options)


def open_context(socket: Any) -> Any:
    return socket.new_context()


def calls(thing: Any, verbs: str, asynchronous: bool) -> tuple[Any, Any]:
    prefix = "a" if asynchronous else ""
    receive = "recv_msg" if verbs == "msg" else "recv"
    return getattr(thing, f"{prefix}send"), getattr(thing, prefix + receive)


def loops(verbs: str, asynchronous: bool) -> Any:
    return None


def exchange(verbs: str) -> Any:
    return None
