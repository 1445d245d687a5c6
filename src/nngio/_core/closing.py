"""What can be closed, for `with` and `async with`."""

from nngio._core import library
from nngio._core.errors import ForkedError
from nngio._core.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Closing"]


class Closing:
    """Has `close`, which a `with` block ends with. A forked child can't enter one with what is its parent's."""

    __slots__ = ()

    def close(self) -> None:
        """Close it."""
        raise NotImplementedError  # each class has its own

    async def aclose(self) -> None:
        """Close it. The awaitable `close`, which doesn't wait either."""
        self.close()

    def __enter__(self) -> "Self":
        if library.forked:
            raise ForkedError()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> "Self":
        return self.__enter__()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()
