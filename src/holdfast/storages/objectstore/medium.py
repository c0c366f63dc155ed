"""Whole objects, streams and ranges of a bucket, through obstore."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from ...errors import HoldfastError, StoreError, ValueLost
from ...payload import Buffer
from ..remote import Medium, Progress, Upload, together
from ..remote.medium import Entry
from .connection import Bucket
from .failures import explain, is_beyond_the_end, is_cut, is_not_known
from .library import Handle, load

__all__ = ["PART", "BucketMedium", "parts_of"]

T = TypeVar("T")

PART = 8 << 20
"""Bytes of a part of an upload, and of a large read; what is smaller is one request."""
_PARALLEL = 4  # parts under way
_PARTS = 9_000  # S3 and Google take 10,000, Azure 50,000
_MEMORY = 60 << 20  # bytes of all parts together that a stream has in memory
_COPIED_AT_ONCE = 5_000_000_000  # S3 and Azure copy no more by one request
_PIECE = 1 << 20  # of a stream, at least
_MOST = 4 << 20
_FIRST_PAUSE, _PAUSE = 0.1, 5.0  # seconds before a request that was cut is made again
_COPIED = 1 << 16  # up to here bytes are handed out as ``bytes``, above as a view of obstore's memory


def parts_of(size: int | None) -> tuple[int, int]:
    """Bytes of a part, and how many parts may be under way, for a stream of a size.

    Raises:
        StoreError: so many bytes do not go into one object within the memory that a stream may take.
    """
    if size is None or size <= PART * _PARTS:
        return PART, _PARALLEL
    part = -(-size // _PARTS)
    if part > _MEMORY // 3:
        most = _MEMORY // 3 * _PARTS >> 30
        raise StoreError(
            f"{size} bytes do not go into one object, which takes {most} GB in parts that fit memory: cut it"
        )
    return part, min(_PARALLEL, _MEMORY // part - 2)  # two more: the next one, and the one that is being filled


class BucketMedium(Medium):
    """Objects of a bucket below a prefix."""

    def __init__(self, bucket: Bucket, is_hasty: bool = False) -> None:
        self.shown = bucket.place.shown
        self._bucket = bucket
        self._hasty = is_hasty

    @property
    def _store(self) -> Any:
        return self._bucket.store(self._hasty)

    def hasty(self) -> Medium:
        """The same bucket, each request made once."""
        return BucketMedium(self._bucket, True)

    def _explain(self, error: Exception, name: str | None, writing: bool = False) -> Exception:
        """The error to raise: theirs as one of ours, and what is neither as it is."""
        known = isinstance(error, (OSError, ValueError)) or any(
            kind.__name__ == "BaseError" for kind in type(error).__mro__
        )
        if isinstance(error, HoldfastError) or not known:
            return error
        return explain(error, self.shown, name, writing=writing)

    # --- writing ----------------------------------------------------------------------------------------------------

    def put(self, name: str, buffers: Sequence[Buffer], size: int, progress: Progress | None = None) -> None:
        """One request for what fits into a part; else parts, several at once, from the memory where they are."""
        if size >= PART:
            upload = self.upload(name, size)
            try:
                for buffer in buffers:
                    upload.write(buffer) if progress is None else _tell(upload, buffer, progress)
                upload.finish()
            except BaseException:
                upload.abort()
                raise
            return
        data = buffers[0] if len(buffers) == 1 else b"".join(buffers)
        try:
            self._patiently(lambda: load().put(self._store, name, data, use_multipart=False))
        except Exception as error:
            raise self._explain(error, name, writing=True) from None
        if progress is not None:
            progress(size)

    def _patiently(self, request: Callable[[], T]) -> T:
        """Make a request, and again while it is cut: obstore gives up on some before their time."""
        end, pause = time.monotonic() + self._bucket.timeout, _FIRST_PAUSE
        while True:
            try:
                return request()
            except Exception as error:
                if self._hasty or not is_cut(error) or time.monotonic() + pause > end:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _PAUSE)

    def upload(self, name: str, size: int | None) -> Upload:
        """Begin an object; below a part's size it is made by one request when it is finished."""
        part, parallel = parts_of(size)
        try:
            file = load().open_writer(self._store, name, buffer_size=part, max_concurrency=parallel)
        except Exception as error:
            raise self._explain(error, name, writing=True) from None
        return _Upload(self, name, file, part)

    def create(self, name: str, buffers: Sequence[Buffer], size: int) -> bool:
        """Make an object by one request, unless there is one of that name (False): never over another's.

        A server that knows no conditional put is asked before.
        """
        data = buffers[0] if len(buffers) == 1 else b"".join(buffers)
        return self._unless_there(
            name,
            lambda: self._patiently(lambda: load().put(self._store, name, data, use_multipart=False, mode="create")),
            lambda: self.put(name, (data,), size),
        )

    def copy(self, source: str, target: str, size: int) -> bool:
        """Have the server copy an object of ``size`` bytes to another name, unless there is one of that name (False).

        What is larger than a server copies at once travels through this process, in parts.
        """

        def through_here() -> None:
            upload = self.upload(target, size)
            try:
                for piece in self.stream(source, 0, None):
                    upload.write(piece)
                upload.finish()
            except BaseException:
                upload.abort()
                raise

        copy: Callable[[], Any] | None = None
        if size <= _COPIED_AT_ONCE:
            copy = partial(load().copy, self._store, source, target, overwrite=False)
        return self._unless_there(target, copy, through_here)

    def _unless_there(self, name: str, conditionally: Callable[[], Any] | None, plainly: Callable[[], None]) -> bool:
        if conditionally is not None:
            try:
                conditionally()
                return True
            except Exception as error:
                if type(error).__name__ == "AlreadyExistsError":
                    return False
                if not is_not_known(error):
                    raise self._explain(error, name, writing=True) from None
        if self.size_of(name) is not None:
            return False
        plainly()
        return True

    # --- reading ----------------------------------------------------------------------------------------------------

    def size_of(self, name: str) -> int | None:
        """Bytes of an object; None when it is not there."""
        try:
            size: int = load().head(self._store, name)["size"]
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._explain(error, name) from None
        return size

    def get(self, name: str, progress: Progress | None = None, most: int | None = None) -> Buffer:
        """One request for what fits into a part; else ranges, several at once."""
        try:
            wanted = PART if most is None else min(PART, most)
            result, first = self._patiently(lambda: self._beginning(name, wanted))
            size = len(first) if len(first) < PART else result.meta["size"]
            size = size if most is None else min(size, most)
        except Exception as error:
            if is_beyond_the_end(error):  # of an object without bytes no range can be had
                return b""
            raise self._explain(error, name) from None
        if progress is not None:
            progress(len(first))
        if size <= _COPIED:
            return bytes(first)
        if size <= PART:
            return memoryview(first).cast("B")
        whole = bytearray(size)
        whole[:PART] = first
        spans = [(start, min(start + PART, size)) for start in range(PART, size, PART)]
        together([partial(self._fetch, name, whole, *span, progress) for span in spans], _PARALLEL)
        return whole

    def _beginning(self, name: str, end: int) -> tuple[Any, Any]:
        result = load().get(self._store, name, options={"range": (0, end)})
        return result, result.bytes()

    def _fetch(self, name: str, whole: bytearray, start: int, end: int, progress: Progress | None) -> None:
        try:
            data = self._patiently(lambda: load().get_range(self._store, name, start=start, end=end))
        except Exception as error:
            raise self._explain(error, name) from None
        if len(data) != end - start:
            raise ValueLost(f"{self.shown}/{name} has fewer bytes than it had: it was replaced by other means")
        whole[start:end] = data
        if progress is not None:
            progress(len(data))

    def stream(self, name: str, offset: int, length: int | None) -> Iterator[bytes]:
        """One request, read as it comes: what the server has begun to send, it sends to the end, whoever deletes the
        object meanwhile. obstore asks again from where it was if the connection breaks."""
        options: dict[str, Any] = {}
        if length is not None:
            options = {"range": (offset, offset + length)}
        elif offset:
            options = {"range": {"offset": offset}}
        try:
            result = load().get(self._store, name, options=options)
            pieces = Handle(result.stream(min_chunk_size=_PIECE))
            del result
            while (piece := next(pieces(), None)) is not None:
                yield from _cut(piece)
        except Exception as error:
            if not is_beyond_the_end(error):
                raise self._explain(error, name) from None

    def exists(self, name: str) -> bool:
        """Whether an object is there; StoreNotFoundError if not even the bucket is."""
        try:
            load().head(self._store, name)
        except FileNotFoundError:
            for _ in self.list(name.partition("/")[0]):  # an answer without a body does not tell the two apart
                break
            return False
        except Exception as error:
            raise self._explain(error, name) from None
        return True

    def list(self, folder: str) -> Iterator[list[Entry]]:
        """The objects of a folder, a thousand a request."""
        try:
            batches = Handle(load().list(self._store, folder, chunk_size=1000))
            while (batch := next(batches(), None)) is not None:
                yield [Entry(item["path"], item["last_modified"].timestamp()) for item in batch]
        except Exception as error:
            raise self._explain(error, None) from None

    def delete(self, name: str) -> None:
        """Remove an object."""
        try:
            load().delete(self._store, name)
        except Exception as error:
            told = self._explain(error, name, writing=True)
            if not isinstance(told, ValueLost):
                raise told from None


def _tell(upload: Upload, buffer: Buffer, progress: Progress) -> None:
    with memoryview(buffer) as view:
        for start in range(0, len(view), PART):
            piece = view[start : start + PART]
            upload.write(piece)
            progress(len(piece))


def _cut(piece: Any) -> Iterator[bytes]:
    data = bytes(piece)
    if len(data) <= _MOST:
        if data:
            yield data
    else:
        for start in range(0, len(data), _MOST):
            yield data[start : start + _MOST]


class _Aborted(Exception):
    """What a writer of obstore's is told to drop its parts."""


class _Upload(Upload):
    """Parts under way; obstore counts them, and keeps a piece until it is sent."""

    def __init__(self, medium: BucketMedium, name: str, file: Any, part: int) -> None:
        self._medium = medium
        self._name = name
        self._file: Handle[Any] | None = Handle(file)
        self._part = part
        self._room = self._whole = part * (_PARTS + 1_000)

    def write(self, piece: Buffer) -> None:
        assert self._file is not None
        file, view = self._file(), memoryview(piece)
        self._room -= len(view)
        if self._room < 0:
            raise StoreError(
                f"{self._medium.shown}: this stream is longer than 10,000 parts of {self._part >> 20} MB, which is all "
                "that an object of a size not known before can have: say its size when it begins"
            )
        try:
            for start in range(0, len(view), self._part):
                file.write(view[start : start + self._part])
        except Exception as error:
            raise self._medium._explain(error, self._name, writing=True) from None

    def finish(self) -> None:
        assert self._file is not None
        try:
            self._file().close()
        except Exception as error:
            told = self._medium._explain(error, self._name, writing=True)
            if not isinstance(told, ValueLost):
                raise told from None
            # asked again, because no answer came to the first time, a server may say that it knows no such upload
            if self._medium.size_of(self._name) != self._whole - self._room:
                where = f"{self._medium.shown}/{self._name}"
                raise StoreError(
                    f"the server dropped the parts of {where} before they were whole: write again"
                ) from None
        self._file = None

    def abort(self) -> None:
        file, self._file = self._file, None
        if file is not None and file.ours:
            try:
                file().__exit__(_Aborted, _Aborted(), None)
            except Exception:  # a failed finish has ended it already, or the place cannot be reached
                return
