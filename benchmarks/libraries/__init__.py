"""One module for each library: how its users open sockets, and what they call to send and to receive.

The scenarios hold the bound methods that a module gives them and call those, so that no layer of the harness is measured. Each
module has

- `MODES`: a subset of sync, asyncio, uvloop and trio;
- `versions()`: of the library and what it is built on;
- `open_socket(kind, wants)`: `kind` is req, rep, push, pull, pair, pub or sub (subscribed to everything); see `Wants`;
- `open_context(socket)`: for a request beside others, where the library has that;
- `calls(thing, verbs, asynchronous)`: what sends one message and what receives one, to be called, or awaited, as they are;
- `LOOPS`: by (verbs, asynchronous), for verbs that have a form of their own: two functions, `(socket, payload, count)` which sends
  that many and `(socket, count)` which receives them;
- `EXCHANGES`: by verbs, the same for round trips: `(req, payload)` makes one and `(rep)` answers for ever.

`verbs` is `one`, a message at each call, or a variant of the library's: `cases.variants` has them all. `Unsupported` says that a
library hasn't got something.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

MODULES = {
    "nngio": "nngio_library",
    "python-nng": "python_nng_library",
    "pynng": "pynng_library",
    "pyzmq": "pyzmq_library",
}


class Unsupported(Exception):
    """The library doesn't have what a case asks for."""


@dataclass(frozen=True)
class Wants:
    """What a socket is to be like."""

    asynchronous: bool
    listen: str | None = None
    dial: str | None = None
    tls: str = ""  # the folder with `server.pem` and `ca.pem`, or no TLS
    buffer: int = 0  # messages that may wait on each side
    prefetch: int = 0


def load(library: str) -> Any:
    """The module for a library, in whose environment this runs. A variant of nngio is named `nngio@something`."""
    return importlib.import_module(f"benchmarks.libraries.{MODULES[library.partition('@')[0]]}")


def oneway_loops(library: Any, verbs: str, asynchronous: bool) -> Any:
    """What the library has for these verbs, or None where its calls are to be made one by one."""
    found = library.LOOPS.get((verbs, asynchronous))
    if found is None and verbs not in ("one", "msg", "prefetch"):
        raise Unsupported(verbs)
    return found
