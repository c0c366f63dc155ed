"""The files that the file system opens."""

from __future__ import annotations

import io
import sys
from typing import Any

from ..address import format_address
from ..errors import ConflictError
from ..model import Record
from ..streams import Draft, FileWriter, Whole, put_chunks
from .faults import as_file_errors

__all__ = ["Packer", "Reader", "Updater", "Writer"]

_BUFFER = 1 << 17
_PIECE = 1 << 20


class Reader(io.BufferedReader):
    """One version of a record, opened to read: it stays as it is when the record is replaced or removed.

    Attributes:
        fs: the file system.
        details: what its ``info`` says of this version.
        path: its address.
        size: bytes.
    """

    mode = "rb"

    def __init__(self, raw: Any, fs: Any, details: dict[str, Any]) -> None:
        super().__init__(raw, _BUFFER)
        self.fs, self.details = fs, details
        self.path: str = details["name"]
        self.size: int = details["size"]

    @property
    def name(self) -> str:
        """The address, with ``holdfast://``."""
        return str(self.fs.unstrip_protocol(self.path))

    def __del__(self) -> None:  # without a warning: pyarrow leaves what it reads to be collected
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.fs, self.path, self.details["version"], self.tell())


def _reopen(fs: Any, path: str, version: int, place: int) -> Reader:
    file: Reader = fs.open(path, "rb")
    if file.details["version"] != version:
        file.close()
        raise ConflictError(f"{path} was replaced since it was opened where this file was pickled: open it again")
    file.seek(place)
    return file


def _left_by(before: BaseException | None) -> bool:
    """Whether an exception, other than ``before``, is just leaving a ``with`` block.

    ``fsspec.open``, pandas and pyarrow close what they opened at the end of such a block as if all were well; but the
    exception is among the arguments of their ``__exit__``.
    """
    error, frame = sys.exc_info()[1], sys._getframe(1).f_back
    if error is None or error is before:
        return False
    while frame is not None:
        if frame.f_code.co_name == "__exit__":
            for value in frame.f_locals.values():
                if value is error or (isinstance(value, tuple) and any(item is error for item in value)):
                    return True
        frame = frame.f_back
    return False


class Writer(FileWriter):
    """A file being put; an exception that leaves a ``with`` block around it discards it, whoever closes it then."""

    mode = "wb"

    def __init__(self, draft: Draft) -> None:
        self._before = sys.exc_info()[1]
        super().__init__(draft)

    @as_file_errors
    def close(self) -> None:
        if not self.closed and _left_by(self._before):
            self.abort()
        super().close()


class Updater(Whole, io.BufferedRandom):
    """A file opened to be read and changed: a copy beside the store's files, put as a whole when it is closed.

    Attributes:
        record: after a successful ``close()``, what was written.
    """

    mode = "rb+"

    def __init__(self, draft: Draft, copy: Any) -> None:
        self._draft = draft
        self._before = sys.exc_info()[1]
        self.record: Record | None = None
        super().__init__(copy, _PIECE)

    @property
    def name(self) -> str:
        """The address being written."""
        return format_address(self._draft.path, self._draft.key)

    @as_file_errors
    def close(self) -> None:
        if self.closed:
            return
        try:
            if not _left_by(self._before):
                self.seek(0)
                self.record = put_chunks(self._draft, iter(lambda: self.read(_PIECE), b""))
        finally:
            self.abort()

    def abort(self) -> None:
        """Discard; does nothing after a ``close()``."""
        if self.record is None:
            self._draft.abort()
        super().close()


class Packer(Whole, io.BufferedIOBase):
    """A file being put through a compressor, which would not close it."""

    def __init__(self, compress: Any, file: Writer) -> None:
        self._file = file
        self._packed = compress(file, mode="w")
        self.name = file.name

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        count: int = self._packed.write(data)
        return count

    def close(self) -> None:
        if not self.closed:
            try:
                self._packed.close()
                self._file.close()
            finally:
                self.abort()

    def abort(self) -> None:
        """Discard; does nothing after a ``close()``."""
        self._file._sink.discard = True  # what the compressor still has to say
        try:
            self._packed.close()
        finally:
            self._file.abort()
            super().close()
