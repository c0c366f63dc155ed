"""A record's files as a file system of fsspec, for zarr and others that write many files below a folder."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from fsspec.spec import AbstractFileSystem

from ..errors import InvalidArgumentError, NotFoundError
from .outgoing import Outgoing, writable
from .stored import Stored

__all__ = ["FileMissing", "RecordFolder"]


class FileMissing(NotFoundError, FileNotFoundError):
    """No such file in the record."""


class RecordFolder(AbstractFileSystem):  # type: ignore[misc]
    """What is under ``"client"``: written while the record is, and to be read afterwards.

    A path is a folder of any name, a slash, and the name of the file.
    """

    protocol = "holdfast-record"
    cachable = False

    def __init__(self, files: Any) -> None:
        super().__init__()
        self._files = files

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self._files, Outgoing):
            raise InvalidArgumentError("a record that is being written stays in its process")
        return RecordFolder, (self._files,)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        return str(path).removeprefix(f"{cls.protocol}://").strip("/")

    def _name(self, path: Any) -> str:
        return str(self._strip_protocol(path).partition("/")[2])

    def opener(self, path: str) -> Stored:
        """What opens a file to read later."""
        try:
            found: Stored = self._files.stored(self._name(path))
        except NotFoundError as error:
            raise FileMissing(error.message) from error
        return found

    def open(self, path: Any, mode: str = "rb", block_size: Any = None, **options: Any) -> Any:
        """A file: ``r``, and while the record is written ``w``, with ``b`` or as text."""
        kind = mode.replace("b", "").replace("t", "")
        if kind not in ("r", "w", "x"):
            raise InvalidArgumentError(f"mode {mode!r}: there are r, w and x, with b or t")
        name = self._name(path)
        file = self.opener(path)() if kind == "r" else writable(self._files, name).direct(name)
        return file if "b" in mode else io.TextIOWrapper(file, "utf-8")

    def cat_file(self, path: Any, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        with self.opener(path)() as file:
            if start is None and end is None:
                return file.read()
            size = file.seek(0, io.SEEK_END)
            begin, stop, _ = slice(start, end).indices(size)
            file.seek(begin)
            return file.read(max(0, stop - begin))

    def pipe_file(self, path: Any, value: Any, mode: str = "overwrite", **options: Any) -> None:
        name = self._name(path)
        writable(self._files, name).take(name, [memoryview(value).cast("B")])

    def rm_file(self, path: Any) -> None:
        """Take a file back while the record is written. Those of a record that is whole are removed with it: then this
        does nothing."""
        if isinstance(self._files, Outgoing):
            try:
                self._files.remove(self._name(path))
            except NotFoundError as error:
                raise FileMissing(error.message) from error

    _rm = rm_file

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Likewise, of several; with ``recursive`` of all below a folder."""
        if isinstance(self._files, Outgoing):
            for each in self.expand_path(path, recursive=recursive, maxdepth=maxdepth):
                if self.isfile(each) or not recursive:
                    self.rm_file(each)

    def _entries(self, path: str) -> Iterator[dict[str, Any]]:
        top, _, below = path.partition("/")
        prefix = f"{below}/" if below else ""
        folders = set()
        for name in self._files.names():
            if name.startswith(prefix):
                head, slash, _ = name[len(prefix) :].partition("/")
                if not slash:
                    yield self._describe(top, name)
                elif head not in folders:
                    folders.add(head)
                    yield {"name": f"{top}/{prefix}{head}", "size": 0, "type": "directory"}

    def _describe(self, top: str, name: str) -> dict[str, Any]:
        return {"name": f"{top}/{name}", "size": self._files.stored(name).size, "type": "file"}

    def info(self, path: Any, **options: Any) -> dict[str, Any]:
        stripped = self._strip_protocol(path)
        top, _, name = stripped.partition("/")
        if name in self._files.names():
            return self._describe(top, name)
        if name and next(self._entries(stripped), None) is None:
            raise FileMissing(f"no file {name} in the record")
        return {"name": stripped, "size": 0, "type": "directory"}

    def exists(self, path: Any, **options: Any) -> bool:
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def ls(self, path: Any, detail: bool = True, **options: Any) -> list[Any]:
        stripped = self._strip_protocol(path)
        found = list(self._entries(stripped)) or [self.info(stripped)]
        found = [each for each in found if each["name"] != stripped or each["type"] == "file"]
        return found if detail else [each["name"] for each in found]

    def mkdir(self, path: Any, create_parents: bool = True, **options: Any) -> None:
        """Does nothing: what names begin with is a folder."""

    def makedirs(self, path: Any, exist_ok: bool = False) -> None:
        """Does nothing, likewise."""
