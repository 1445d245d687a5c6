"""Listeners: waiting for peers that dial."""

import re
from typing import TYPE_CHECKING

from nngio._core.library import lib
from nngio._endpoint import Endpoint
from nngio._options import AddressOption, IntOption

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Listener"]

_ANY_PORT = re.compile(r"((?:tcp|tls\+tcp|ws|wss)[46]?://[^/]*):0(|/.*)", re.IGNORECASE)


class Listener(Endpoint):
    """Accepts connections at a URL.

    `Listener(socket, url)` makes one to be configured and then started; `socket.listen(url)` does both. Thread-safe.
    NNG: `nng_listener_create`.
    """

    _option_kind = "listener"
    _noun = "listen at"

    port = IntOption("tcp-bound-port", "The port that it is bound to, of tcp, tls, ws and wss.", readonly=True)
    local_address = AddressOption("local-address", "The address that it is bound to.", readonly=True)

    def start(self) -> None:
        """Bind and accept. Raises `AddressInUse`, `AddressInvalid`, `PermissionDenied`. NNG: `nng_listener_start`."""
        self._begin()
        self._check(lib.nng_listener_start(self._c, 0), f"listen at {self._url}")
        self._started = True
        any_port = _ANY_PORT.fullmatch(self._url)
        if any_port:
            self._url = f"{any_port[1]}:{self.port}{any_port[2]}"

    def __enter__(self) -> "Self":
        return self
