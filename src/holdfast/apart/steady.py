"""Files for libraries that do not bear one which fails, or hide what it said: that is told when they are done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

__all__ = ["steady"]


class _Steady:
    """A file that never fails.

    Attributes:
        error: the first error, which it did not raise.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: Exception | None = None

    def _do(self, verb: str, *args: Any) -> Any:
        if self.error is None:
            try:
                return getattr(self._file, verb)(*args)
            except Exception as error:
                self.error = error
        return None

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._do("seek", offset, whence) or 0

    def tell(self) -> int:
        return self._do("tell") or 0

    def read(self, size: int = -1) -> bytes:
        return self._do("read", size) or b""

    def readinto(self, buffer: Any) -> int:
        return self._do("readinto", buffer) or 0

    def write(self, data: Any) -> int:
        self._do("write", data)
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        return self._do("truncate", size) or 0

    def flush(self) -> None:
        self._do("flush")


@contextmanager
def steady(file: BinaryIO) -> Iterator[Any]:
    """A block with the file as one that never fails; what it raised meanwhile is raised at the end, in place of what
    came of it."""
    given = _Steady(file)
    try:
        yield given
    except Exception:
        if given.error is None:
            raise
    if given.error is not None:
        raise given.error
