"""Listeners: waiting for peers that dial."""

from typing import TYPE_CHECKING

from nngio._core.library import lib
from nngio._endpoint import TCP_PORT, Endpoint
from nngio._options import AddressOption

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Listener"]


class Listener(Endpoint):
    """Accepts connections at a URL.

    `Listener(socket, url)` makes one to be configured and then started; `socket.listen(url)` does both. Thread-safe.
    NNG: `nng_listener_create`.
    """

    _option_kind = "listener"
    _noun = "listen at"

    port = TCP_PORT
    local_address = AddressOption("local-address", "The address that it is bound to.", readonly=True)

    def start(self) -> None:
        """Bind and accept. Raises `AddressInUse`, `AddressInvalid`, `PermissionDenied`. NNG: `nng_listener_start`."""
        self._begin()
        self._check(lib.nng_listener_start(self._c, 0), f"listen at {self._url}")
        self._started = True

    def __enter__(self) -> "Self":
        return self
