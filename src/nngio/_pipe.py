"""Pipes: the connections of a socket."""

from nngio._address import Address
from nngio._core import library
from nngio._core.errors import ForkedError, NNGError
from nngio._core.library import ffi, lib
from nngio._options import AddressOption, HasOptions

__all__ = ["Pipe"]


class Pipe(HasOptions):
    """One connection between a socket and a peer, for as long as it lasts.

    A pipe is a number of NNG's; two `Pipe` objects with the same number are equal. Reading a property of one that has gone
    raises `NoEntry` or `Closed`. NNG: `nng_pipe`.
    """

    __slots__ = ("_c", "id")
    _option_kind = "pipe"

    id: int
    """NNG's number of it, positive."""

    def __init__(self) -> None:
        raise TypeError("pipes are made by NNG: Message.pipe tells the one that a message came by")

    @classmethod
    def _from_id(cls, number: int) -> "Pipe":
        pipe = cls.__new__(cls)
        pipe.id = number
        pipe._c = ffi.new("nng_pipe *", {"id": number})[0]
        return pipe

    local_address = AddressOption("local-address", "This side's address.", readonly=True)
    remote_address = AddressOption("remote-address", "The peer's address.", readonly=True)

    def close(self) -> None:
        """Disconnect, without waiting. A dialer's pipe will be dialed again. Closing one that has gone does nothing.

        NNG: `nng_pipe_close`.
        """
        if library.forked:
            raise ForkedError()
        lib.nng_pipe_close(self._c)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipe) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        peer: Address | str
        try:
            peer = self.remote_address
        except NNGError:
            peer = "gone"
        return f"<nngio.Pipe {self.id}, {peer}>"
