"""Files of a scope for async programs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import Any, Generic, Self, TypeVar

from ..model import Record
from .verbs import Shown
from .ways import Serial, Ways

__all__ = ["AsyncFile", "Opening"]

B = TypeVar("B")  # bytes or str

_ROOM = 1 << 20  # bytes that a file being written takes before it hands them on
_AHEAD = 1 << 16  # characters or bytes that are read ahead for a loop over lines


class AsyncFile(Generic[B]):
    """A file whose methods are to be awaited, one after the other; ``async for`` gives its lines.

    A file that is written becomes visible when it is closed, whole or not at all: leaving its ``async with`` block by
    an exception, or a cancellation in the middle of a write, discards it.

    Attributes:
        name: the address being written.
        closed: whether it was closed or discarded.
    """

    name = Shown[Any]()
    closed = Shown[bool]()

    def __init__(self, driver: Ways, file: Any) -> None:
        self._driver = Serial(driver)
        self._sync = file
        self._discard: Callable[[], object] | None = getattr(file, "abort", None)  # which files to read have not
        self._filled = 0
        self._lines: deque[B] = deque()  # read ahead
        self._given = 0
        self._before: Any = None  # the position before those, and those that were given

    @property
    def record(self) -> Record | None:
        """After a successful ``close()`` of a file that was written, what was written."""
        found: Record | None = getattr(self._sync, "record", None)
        return found

    async def _do(self, verb: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await self._driver.away(partial(verb, *arguments))
        except asyncio.CancelledError:
            if self._discard is not None:
                await self._driver.away(self._discard, must=True)
            raise

    async def write(self, data: B | bytearray | memoryview) -> int:
        """Append; gives how many characters or bytes it were."""
        given: Any = data
        size = 4 * len(given) if isinstance(given, str) else memoryview(given).nbytes
        if self._filled + size < _ROOM and self._driver.free:
            self._filled += size
            written: int = self._sync.write(given)  # into memory
            return written
        self._filled = 0
        return await self._do(self._write_through, given)  # type: ignore[no-any-return]

    def _write_through(self, data: Any) -> Any:
        written = self._sync.write(data)
        self._sync.flush()
        return written

    async def writelines(self, lines: Iterable[B]) -> None:
        """Append each of them."""
        for line in lines:
            await self.write(line)

    async def flush(self) -> None:
        """Hand on what was written so far; nothing of it is visible before the end."""
        await self._do(self._sync.flush)

    async def read(self, size: int | None = -1) -> B:
        """At most so many characters or bytes; by default all that follow."""
        return await self._do(self._from_here, self._sync.read, size)  # type: ignore[no-any-return]

    async def readline(self) -> B:
        """The next line with its end; empty at the end of the file."""
        if not self._lines:
            await self._do(self._read_ahead)
        if not self._lines:
            return self._sync.read(0)  # type: ignore[no-any-return]
        self._given += 1
        return self._lines.popleft()

    async def readlines(self) -> list[B]:
        """All lines that follow."""
        return await self._do(self._from_here, self._sync.readlines)  # type: ignore[no-any-return]

    async def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position, as with Python's files; a file being written has none."""
        return await self._do(self._from_here, self._sync.seek, offset, whence)  # type: ignore[no-any-return]

    async def tell(self) -> int:
        """The position."""
        return await self._do(self._from_here, self._sync.tell)  # type: ignore[no-any-return]

    def _read_ahead(self) -> None:
        if self._lines:
            return  # another task was faster
        self._before, self._given, room = self._sync.tell(), 0, _AHEAD
        while room > 0 and (line := self._sync.readline()):
            self._lines.append(line)
            room -= len(line)

    def _from_here(self, verb: Callable[..., Any], *arguments: Any) -> Any:
        if self._lines:
            self._sync.seek(self._before)
            for _ in range(self._given):
                self._sync.readline()
            self._lines.clear()
        return verb(*arguments)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> B:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    async def close(self) -> None:
        """Close; what was written is committed.

        Raises:
            HoldfastError: what a put would raise; then nothing is visible and nothing stays.
        """
        await self._do(self._sync.close)

    async def abort(self) -> None:
        """Discard; does nothing after a ``close()``. A file to read is closed."""
        await self._driver.away(self._discard or self._sync.close, must=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *how: object) -> None:
        await (self.close() if kind is None else self.abort())


class Opening(Generic[B]):
    """A file that is opened by ``await``, or by ``async with`` for a block."""

    def __init__(self, driver: Ways, begin: Callable[[], Any]) -> None:
        self._driver = driver
        self._begin = begin

    async def _open(self) -> AsyncFile[B]:
        made: list[Any] = []
        try:
            await self._driver.away(lambda: made.append(self._begin()))
        except asyncio.CancelledError:
            for file in made:
                await self._driver.away(getattr(file, "abort", file.close), must=True)
            raise
        self._file: AsyncFile[B] = AsyncFile(self._driver, made[0])
        return self._file

    def __await__(self) -> Generator[Any, Any, AsyncFile[B]]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncFile[B]:
        return await self._open()

    async def __aexit__(self, *how: Any) -> None:
        await self._file.__aexit__(*how)
