"""Files as VIKTOR's jobs pass them on: from data, a path or a URL, or to be written; read when they are opened."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any, BinaryIO, TextIO, cast

from ...errors import InvalidArgumentError
from ...streams import check_text
from .errors import MissingFileError

__all__ = ["File"]

_PIECE = 1 << 20


class File:
    """Content by its source, read anew at each opening and in pieces.

    ``File()`` without a source is to be written. It lies in the temporary folder for as long as this object lives;
    opened, it goes on at its end.
    """

    class SourceType(Enum):
        """Where the content is."""

        DATA = "data"
        PATH = "path"
        URL = "url"
        WRITABLE = "writable"

    _data = b""
    _headers: Mapping[str, str] = {}

    def __init__(self, *, data: Any = None, path: Any = None, url: Any = None) -> None:
        """Name the source, at most one.

        Raises:
            InvalidArgumentError: more than one, or one that is not of its type.
            MissingFileError: no file at the path.
        """
        given = [source for source in (data, path, url) if source is not None]
        if len(given) > 1:
            raise InvalidArgumentError("a File has one source: data, path or url; or none, to be written")
        self._source: str | None = None
        if data is not None:
            self._type, self._data = File.SourceType.DATA, _bytes(data)
        elif path is not None:
            self._type, self._source = File.SourceType.PATH, _existing(path)
        elif url is not None:
            self._type, self._source = File.SourceType.URL, _web(url)
        else:
            self._type, self._source = File.SourceType.WRITABLE, _temporary(self)

    @classmethod
    def from_data(cls, data: str | bytes) -> File:
        """A file of these bytes, or of this text in UTF-8."""
        return cls(data=_bytes(data))

    @classmethod
    def from_path(cls, path: str | bytes | os.PathLike[str]) -> File:
        """A file of this machine; MissingFileError when there is none."""
        return cls(path=_existing(path))

    @classmethod
    def from_url(cls, url: str, *, headers: Mapping[str, str] | None = None) -> File:
        """What an HTTP server gives, fetched at each opening. The headers are for that server: redirected, they stay
        behind."""
        file = cls(url=_web(url))
        file._headers = dict(headers or {})
        if not all(isinstance(text, str) for text in (*file._headers, *file._headers.values())):
            raise InvalidArgumentError("headers must map names to text")
        return file

    @property
    def source(self) -> str | None:
        """Path or URL; None for data."""
        return self._source

    @property
    def source_type(self) -> SourceType:
        """Where the content is."""
        return self._type

    @property
    def writable(self) -> bool:
        """Whether it was made to be written."""
        return self._type is File.SourceType.WRITABLE

    def open(self, encoding: str | None = None) -> TextIO:
        """Open as text, UTF-8 if not told otherwise; line ends are read as ``\\n``.

        Raises:
            InvalidArgumentError: an unknown encoding.
            MissingFileError, StoreError: the source is gone, or cannot be read.
        """
        return _text(self.open_binary, encoding)

    def open_binary(self) -> BinaryIO:
        """Open as bytes; see :meth:`open`."""
        if not self.writable:
            return self._open()
        file = open(_existing(self._source), "r+b")  # noqa: SIM115  the caller closes it
        file.seek(0, os.SEEK_END)
        return file

    def getvalue(self, encoding: str | None = None) -> str:
        """All text; see :meth:`open`, which larger files than memory call for."""
        with _text(self._open, encoding) as file:
            return file.read()

    def getvalue_binary(self) -> bytes:
        """All bytes."""
        return b"".join(self._pieces())

    def copy(self, writable: bool = False) -> File:
        """A copy in the temporary folder for as long as it lives: a PATH to read, or WRITABLE."""
        copied = File()
        assert copied._source is not None
        with self._open() as source, open(copied._source, "wb") as target:
            shutil.copyfileobj(source, target, _PIECE)
        if not writable:
            copied._type = File.SourceType.PATH
        return copied

    def _open(self) -> BinaryIO:
        """Open to read, from the beginning."""
        if self._source is None:  # BytesIO alone would take writes, and lose them
            return io.BufferedReader(cast(io.RawIOBase, io.BytesIO(self._data)))
        if self._type is File.SourceType.URL:
            from .download import Download  # and with it all of HTTP

            return io.BufferedReader(Download(self._source, self._headers))
        return open(_existing(self._source), "rb")

    def _pieces(self) -> Iterator[bytes]:
        """All bytes, a MB at a time."""
        with self._open() as file:
            while piece := file.read(_PIECE):
                yield piece

    def __getstate__(self) -> dict[str, Any]:
        # A memoized function knows its arguments by their state: a file that was written to is another argument.
        return vars(self) | {"_stamp": self._changed()}

    def _changed(self) -> Any:
        if self._source is None or not os.path.isfile(self._source):
            return None
        status = os.stat(self._source)
        return status.st_size, status.st_mtime_ns

    def __repr__(self) -> str:
        return f"<File {self.source or self.source_type.value}>"


def _text(opener: Callable[[], BinaryIO], encoding: str | None) -> TextIO:
    check_text(encoding or "utf-8", None)
    return io.TextIOWrapper(opener(), encoding or "utf-8")


def _bytes(data: object) -> bytes:
    if isinstance(data, str | bytes | bytearray | memoryview):
        return data.encode() if isinstance(data, str) else bytes(data)
    raise InvalidArgumentError(f"data must be text or bytes, not {type(data).__name__}")


def _existing(path: Any) -> str:
    if not isinstance(path, str | bytes | os.PathLike) or not os.fspath(path) or "\0" in os.fsdecode(path):
        raise InvalidArgumentError(f"path must name a file, not {path!r}")
    if not os.path.isfile(path):
        raise MissingFileError(f"no file {os.fsdecode(path)}")
    return os.fsdecode(path)


def _web(url: object) -> str:
    if isinstance(url, str) and url.lower().startswith(("http://", "https://")):
        return url
    raise InvalidArgumentError(f"url must begin with http:// or https://, not {url!r}")


def _temporary(owner: File) -> str:
    handle, path = tempfile.mkstemp(prefix="holdfast-")
    os.close(handle)
    weakref.finalize(owner, _remove, path, os.getpid())
    return path


def _remove(path: str, process: int) -> None:
    if os.getpid() == process:  # a fork that ends leaves its parent's files alone
        with suppress(FileNotFoundError):
            os.unlink(path)
