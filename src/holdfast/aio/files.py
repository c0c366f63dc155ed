"""Files of a scope for async programs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from ..model import Record
from .driver import AnyDriver, Serial

__all__ = ["AsyncFile", "Opening"]

T = TypeVar("T")
B = TypeVar("B")  # bytes or str

_ROOM = 1 << 20  # bytes that a file being written takes before it hands them on
_AHEAD = 1 << 16  # characters or bytes that are read ahead for a loop over lines


class AsyncFile(Generic[B]):
    """A file whose methods are to be awaited, one after the other; ``async for`` gives its lines.

    A file that is written becomes visible when it is closed, whole or not at all: leaving its ``async with`` block by
    an exception, or a cancellation in the middle of a write, discards it.
    """

    def __init__(self, driver: AnyDriver, file: Any) -> None:
        self._driver = Serial(driver)
        self._file: Any = file
        self._abort: Callable[[], object] | None = getattr(file, "abort", None)  # which files to read have not
        self._filled = 0
        self._lines: deque[B] = deque()
        self._given = 0
        self._before: Any = None  # where the lines read ahead begin

    @property
    def name(self) -> Any:
        """The address being written."""
        return self._file.name

    @property
    def closed(self) -> bool:
        """Whether it was closed or discarded."""
        return bool(self._file.closed)

    @property
    def record(self) -> Record | None:
        """After a successful ``close()`` of a file that was written, what was written."""
        found: Record | None = getattr(self._file, "record", None)
        return found

    async def _do(self, verb: Callable[[], T]) -> T:
        try:
            return await self._driver.away(verb)
        except asyncio.CancelledError:
            if self._abort is not None:
                await self._driver.away(self._abort, must=True)
            raise

    # --- writing ------------------------------------------------------------------------------------------------------

    async def write(self, data: B | bytearray | memoryview) -> int:
        """Append; gives how many characters or bytes it were."""
        given: Any = data
        size = 4 * len(given) if isinstance(given, str) else memoryview(given).nbytes
        if self._filled + size < _ROOM and self._driver.free:
            written: int = self._file.write(data)  # into memory
            self._filled += size
            return written

        def through() -> int:
            written: int = self._file.write(data)
            self._file.flush()
            return written

        self._filled = 0
        return await self._do(through)

    async def writelines(self, lines: Iterable[B]) -> None:
        """Append each of them."""
        for line in lines:
            await self.write(line)

    async def flush(self) -> None:
        """Hand on what was written so far; nothing of it is visible before the end."""
        await self._do(self._file.flush)

    async def abort(self) -> None:
        """Discard; does nothing after a ``close()``, nor to a file to read but close it."""
        await self._driver.away(self._abort or self._file.close, must=True)

    # --- reading ------------------------------------------------------------------------------------------------------

    async def read(self, size: int | None = -1) -> B:
        """At most so many characters or bytes; by default all that follow."""
        data: B = await self._do(partial(self._from_here, self._file.read, size))
        return data

    async def readline(self) -> B:
        """The next line with its end; empty at the end of the file."""
        if not self._lines:
            await self._do(self._read_ahead)
        if not self._lines:
            return self._file.read(0)  # type: ignore[no-any-return]
        self._given += 1
        return self._lines.popleft()

    def _read_ahead(self) -> None:
        if self._lines:
            return  # another task was faster
        self._before, self._given, room = self._file.tell(), 0, _AHEAD
        while room > 0 and (line := self._file.readline()):
            self._lines.append(line)
            room -= len(line)

    def _from_here(self, verb: Callable[..., T], *arguments: Any) -> T:
        if self._lines:
            self._file.seek(self._before)
            for _ in range(self._given):
                self._file.readline()
            self._lines.clear()
        return verb(*arguments)

    async def readlines(self) -> list[B]:
        """All lines that follow."""
        lines: list[B] = await self._do(partial(self._from_here, self._file.readlines))
        return lines

    async def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position, as with Python's files; a file being written has none."""
        position: int = await self._do(partial(self._from_here, self._file.seek, offset, whence))
        return position

    async def tell(self) -> int:
        """The position."""
        position: int = await self._do(partial(self._from_here, self._file.tell))
        return position

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> B:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    # --- the end ------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close; what was written is committed.

        Raises:
            HoldfastError: what a put would raise; then nothing is visible and nothing stays.
        """
        await self._do(self._file.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await (self.close() if kind is None else self.abort())


class Opening(Generic[B]):
    """A file that is opened by ``await``, or by ``async with`` for a block."""

    def __init__(self, driver: AnyDriver, begin: Callable[[], Any]) -> None:
        self._driver = driver
        self._begin = begin
        self._file: AsyncFile[B] | None = None

    async def _open(self) -> AsyncFile[B]:
        def undo(file: Any) -> None:
            getattr(file, "abort", file.close)()

        return AsyncFile(self._driver, await self._driver.away(self._begin, undo=undo))

    def __await__(self) -> Generator[Any, Any, AsyncFile[B]]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncFile[B]:
        self._file = await self._open()
        return self._file

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        await self._file.__aexit__(kind, error, trace)
