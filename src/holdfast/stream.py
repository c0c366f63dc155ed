"""A stream of values as it is read: item by item, each when it is asked for."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO, Generic, NoReturn, Self, TypeVar

from .errors import ClosedError, DecodeError, EncodeError, InvalidArgumentError
from .payload import Buffer
from .serializers.base import StreamSerializer
from .stopping import go_on

__all__ = ["Forward", "Stream"]

T = TypeVar("T")

_RUNS = "generator already executing"  # what Python says to the second thread that asks one
_process: object = object()  # stands for this one


def _forked() -> None:
    global _process
    _process = object()


os.register_at_fork(after_in_child=_forked)


class Stream(Generic[T]):
    """The items of a stream that was put: an iterator, to be used once. It goes on when its record is replaced or
    deleted meanwhile. As a context manager it is closed at the end of the block; nobody needs to who reads it to its
    end. Not for two threads at once, nor for a fork of the process that got it.

    Bytes that are read as they come are checked at the end of the stream: an IntegrityError there says that the items
    before it are not to be relied on. ``get(verify=True)`` checks them first.
    """

    def __init__(self, serializer: StreamSerializer, file: BinaryIO, where: str) -> None:
        self._serializer = serializer
        self._file = file
        self._where = where
        self._taken = 0
        self._ended = False
        self._process = _process
        self._items: Iterator[T] = serializer.deserialize_stream(file)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._ended:
            raise StopIteration
        if self._process is not _process:  # both would go on in one file, each without the other's items
            raise ClosedError(f"the stream {self._where} is read by the process that got it: get it again in the fork")
        if self._file.closed:
            raise ClosedError(f"the stream {self._where} was closed: get it again")
        try:
            go_on()
            item = next(self._items)
        except StopIteration:
            self._end()
            raise
        except DecodeError as error:
            self.close()
            if type(error) is not DecodeError:
                raise
            raise DecodeError(f"{self._where}, after {self._taken} items: {error}") from error
        except BaseException as error:
            if str(error) == _RUNS:
                raise self._busy() from None
            self.close()
            raise
        self._taken += 1
        return item

    def _end(self) -> None:
        try:
            if not self._serializer.random_access and self._file.read(1):
                raise DecodeError(f"{self._where} has bytes after the end of its {self._taken} items")
            self._ended = True
        except ValueError:
            if not self._ended:  # by another thread, which closed the file
                raise
        finally:
            self.close()

    def check_whole(self) -> None:
        """Asked before it is put as a stream, or in an object.

        Raises:
            EncodeError: items were read, which would not be put.
        """
        if self._taken or self._ended:
            raise EncodeError(
                f"the stream {self._where} was read already, and its first {self._taken} items would be missing: "
                "get it again, or give (item for item in stream) to put the rest"
            )

    def close(self) -> None:
        """Read no more of it.

        Raises:
            ClosedError: another thread is reading it; it goes on.
        """
        try:
            for part in (self._items, self._file):
                if hasattr(part, "close"):  # which iterators may have
                    part.close()
        except ValueError as error:
            if str(error) == _RUNS:
                raise self._busy() from None
            raise

    def _busy(self) -> ClosedError:
        return ClosedError(f"the stream {self._where} is being read by another thread: get one for each")

    def __del__(self) -> None:
        with suppress(AttributeError):  # it was never made
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *how: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise InvalidArgumentError(f"the stream {self._where} is no value: give it to put_stream, or put list(stream)")

    def __repr__(self) -> str:
        return f"<Stream of {self._where} by {self._serializer.name}, {self._taken} items taken>"


class Forward(io.RawIOBase):
    """Pieces of bytes as a file that is read from its beginning to its end, the ``first`` of them taken already."""

    def __init__(self, first: Buffer, pieces: Iterator[Buffer]) -> None:
        super().__init__()
        self._rest = memoryview(first)
        self._pieces = pieces

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any, /) -> int:
        """Fill a part of ``target``; gives how much, 0 at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._rest = memoryview(b"")
            if hasattr(self._pieces, "close"):
                self._pieces.close()
        super().close()
