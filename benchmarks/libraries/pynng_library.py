"""pynng."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pynng

from benchmarks.libraries import Wants

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
LOOPS: dict[tuple[str, bool], Any] = {}
EXCHANGES: dict[str, Any] = {}


def versions() -> dict[str, str]:
    found = {"pynng": version("pynng")}
    nng_version = getattr(pynng.lib, "nng_version", None)
    return found if nng_version is None else found | {"nng": pynng.ffi.string(nng_version()).decode()}


def open_socket(kind: str, wants: Wants) -> Any:
    options: dict[str, Any] = {"topics": [b""]} if kind == "sub" else {}
    if wants.buffer:
        options |= {"send_buffer_size": wants.buffer, "recv_buffer_size": wants.buffer}
    if wants.tls:
        config = pynng.TLSConfig
        if wants.listen is not None:
            options["tls_config"] = config(config.MODE_SERVER, cert_key_file=f"{wants.tls}/server.pem")
        else:
            options["tls_config"] = config(config.MODE_CLIENT, server_name="localhost", ca_files=f"{wants.tls}/ca.pem")
    return KINDS[kind](listen=wants.listen, dial=wants.dial, block_on_dial=True if wants.dial else None, **options)


def open_context(socket: Any) -> Any:
    return socket.new_context()


def calls(thing: Any, verbs: str, asynchronous: bool) -> tuple[Any, Any]:
    prefix = "a" if asynchronous else ""
    receive = "recv_msg" if verbs == "msg" else "recv"
    return getattr(thing, f"{prefix}send"), getattr(thing, prefix + receive)
