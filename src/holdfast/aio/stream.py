"""Streams of values for async programs, as they are read."""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import Generic, Self, TypeVar

from ..errors import ClosedError
from ..stream import Stream
from .ways import Serial, Ways

__all__ = ["AsyncStream"]

T = TypeVar("T")

_SHARE = 0.0005  # seconds that a thread goes on taking items after the first one: many small ones, or one large one


class AsyncStream(Generic[T]):
    """The items of a stream that was put, for ``async for``; see :class:`~holdfast.Stream`. They are read in threads,
    some ahead where they are small. A cancellation in the middle of a read closes it.
    """

    def __init__(self, driver: Ways, stream: Stream[T]) -> None:
        self._driver = Serial(driver)
        self._sync = stream
        self._ahead: deque[T] = deque()
        self._error: Exception | None = None  # what comes after those
        self._dropped = False  # whether some of those were given up by closing

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if not self._ahead:
            await self._driver.away(self._read)
        if not self._ahead:
            raise StopAsyncIteration
        return self._ahead.popleft()

    def _read(self) -> None:
        if self._ahead:
            return  # another task was faster
        if self._dropped:
            raise ClosedError(f"{self._sync!r} was closed: get it again")
        error, self._error = self._error, None
        if error is not None:
            raise error
        late = perf_counter() + _SHARE
        try:
            for item in self._sync:
                self._ahead.append(item)
                if perf_counter() > late:
                    return
        except Exception as problem:
            if not self._ahead:
                raise
            self._error = problem

    def check_whole(self) -> None:
        """See :meth:`holdfast.Stream.check_whole`."""
        self._sync.check_whole()

    async def close(self) -> None:
        """Read no more of it."""
        self._dropped = self._dropped or bool(self._ahead)
        self._ahead.clear()
        await self._driver.away(self._sync.close, must=True)

    aclose = close  # as asynchronous generators have it

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *how: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncStream of {self._sync!r}>"
