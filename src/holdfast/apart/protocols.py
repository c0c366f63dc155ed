"""What persistent serializers open their files by: a record's files while it is written, and afterwards."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import IO, Any, BinaryIO, Protocol

from ..errors import InvalidArgumentError, MissingExtraError, NotFoundError
from .contract import FILE_PROTOCOL, S3_PROTOCOL
from .outgoing import Outgoing, writable
from .stored import Stored

__all__ = ["FOLDER", "FileProtocol", "Incoming", "RecordFiles", "protocols_over"]

FOLDER = "record"
"""The folder that files of a record are in, for those that see it as a file system."""


class RecordFiles(Protocol):
    """The files of one record."""

    def names(self) -> list[str]:
        """Those that there are."""

    def stored(self, name: str) -> Stored:
        """One of them, to read."""


class Incoming:
    """The files of a record that was read."""

    def __init__(self, files: Mapping[str, Stored], where: str) -> None:
        self._files, self._where = files, where

    def names(self) -> list[str]:
        """Those that there are."""
        return list(self._files)

    def stored(self, name: str) -> Stored:
        """One of them.

        Raises:
            NotFoundError: there is none of that name.
        """
        if name not in self._files:
            raise NotFoundError(f"{self._where} has no file {name!r}")
        return self._files[name]


class FileProtocol:
    """What is under :data:`FILE_PROTOCOL`: the files of one record, by name."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def open(self, filename: str, mode: str = "r") -> IO[Any]:
        """A file: ``r``, and while the record is written ``w``, ``x``, ``a`` and ``r+``, with ``b`` or as text.

        Raises:
            NotFoundError: reading, and there is none of that name.
            InvalidArgumentError: another mode, or writing to a record that is whole.
        """
        kind = mode.replace("b", "").replace("t", "")
        if kind not in ("r", "w", "x", "a", "r+", "w+", "x+", "a+"):
            raise InvalidArgumentError(f"mode {mode!r}: there are r, w, x and a, with + and b or t")
        file: BinaryIO
        if kind == "r":
            file = self._files.stored(filename)()
        else:
            outgoing = writable(self._files, filename)
            there = filename in outgoing.names()
            if kind[0] == "x" and there:
                raise InvalidArgumentError(f"{filename} was written already: give each file a name of its own")
            if kind == "r+" and not there:
                raise NotFoundError(f"no file {filename} was written")
            file = outgoing.staged(filename, fresh=kind[0] in "wx" or not there)
            if kind == "r+":
                file.seek(0)
        return file if "b" in mode else io.TextIOWrapper(file, "utf-8")

    def opener(self, filename: str) -> Stored:
        """What opens a file to read later."""
        found: Stored = self._files.stored(filename)
        return found

    def remove(self, filename: str) -> None:
        """Take a file back while the record is written. Those of a record that is whole are removed with it: then this
        does nothing."""
        if isinstance(self._files, Outgoing):
            self._files.remove(filename)


def protocols_over(files: Any, protocol: str) -> dict[str, Any]:
    """The protocols of a record whose files are opened by that one.

    Raises:
        MissingExtraError: fsspec is not installed.
    """
    if protocol == FILE_PROTOCOL:
        return {FILE_PROTOCOL: FileProtocol(files)}
    try:
        from .folder import RecordFolder
    except ImportError as error:
        raise MissingExtraError('values beside a record in a bucket need fsspec: pip install "holdfast[fsspec]"') from (
            error
        )
    return {S3_PROTOCOL: {"client": RecordFolder(files), "folder": FOLDER}}
