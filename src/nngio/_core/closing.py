"""What can be closed, for `with` and `async with`."""

from nngio._core import library
from nngio._core.errors import Closed, ForkedError
from nngio._core.typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Self

__all__ = ["Closing", "UntilClosed"]

T = TypeVar("T")


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


class UntilClosed(Generic[T]):
    """What comes, one after the other, until what it comes from is closed, for `async for`.

    Not an async generator, which whoever leaves a loop early would have to close.
    """

    __slots__ = ("_receive",)

    def __init__(self, receive: "Callable[[], Coroutine[Any, Any, T]]") -> None:
        self._receive = receive

    def __aiter__(self) -> "Self":
        return self

    async def __anext__(self) -> T:
        try:
            return await self._receive()
        except ForkedError:
            raise
        except Closed:
            raise StopAsyncIteration from None
