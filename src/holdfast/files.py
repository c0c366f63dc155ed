"""Files and folders in a scope: a file is a record whose content has no serializer."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import AsyncIterable, Callable, Container, Iterable, Iterator
from contextlib import suppress
from typing import IO, Any, BinaryIO, Literal, NoReturn, TextIO, Unpack, overload

from .address import check_key, format_address
from .contents import one_of, read_object
from .errors import ExistsError, InvalidArgumentError, InvalidKeyError, NotFoundError, StorageFullError, StoreError
from .listing import Listing
from .model import STORABLE, Record
from .options import PutOptions
from .payload import Buffer
from .reading import chunks, missing, open_bytes, read_current, seen
from .streams import (
    Draft,
    FileWriter,
    TextFileWriter,
    check_text,
    check_values,
    guess_type,
    parse_mode,
    put_chunks,
    put_values,
)

__all__ = ["Files", "Progress", "local_path", "make_folder"]

_PIECE = 1 << 20

Progress = Callable[[int], object] | None
"""A function called with the number of bytes of each piece moved."""


class Files(Listing):
    """Verbs on streams of bytes and of values, and on local files."""

    @overload
    def open(self, key: str, mode: Literal["rb"], **options: Unpack[PutOptions]) -> BinaryIO: ...
    @overload
    def open(self, key: str, mode: Literal["wb", "xb"], **options: Unpack[PutOptions]) -> FileWriter: ...
    @overload
    def open(
        self, key: str, mode: Literal["w", "x", "wt", "xt"], *, encoding: str = ..., newline: str | None = ...,
        **options: Unpack[PutOptions],
    ) -> TextFileWriter: ...  # fmt: skip
    @overload
    def open(
        self, key: str, mode: Literal["r", "rt"] = "r", *, encoding: str = ..., newline: str | None = ...,
        **options: Unpack[PutOptions],
    ) -> TextIO: ...  # fmt: skip
    @overload
    def open(
        self, key: str, mode: str, *, encoding: str = ..., newline: str | None = ..., **options: Unpack[PutOptions]
    ) -> IO[Any]: ...
    def open(
        self,
        key: str,
        mode: str = "r",
        *,
        encoding: str = "utf-8",
        newline: str | None = None,
        **options: Unpack[PutOptions],
    ) -> IO[Any]:
        """A record's bytes as a Python file: ``r``, ``w`` or ``x`` (only if absent), with ``b`` or as text.

        Written bytes are streamed to the storage. They become visible when the file is closed, whole or not at all:
        leaving a ``with`` block by an exception discards them. Any size takes a few MB of memory.

        The content type, unless it is given, is that of the key's ending.

        Raises:
            NotFoundError: reading, and no such record.
            ExistsError: mode ``x``, on closing, and the key exists.
            InvalidArgumentError: another mode, or an unknown encoding or newline.
        """
        kind, text = parse_mode(mode)
        if text:
            check_text(encoding, newline)
        if kind == "r":
            if options:
                raise InvalidArgumentError("options are for writing; this file is opened to read")
            file = self._open_to_read(check_key(key))
            return io.TextIOWrapper(file, encoding, newline=newline) if text else file
        if kind == "x":
            options["if_absent"] = True
        plan = self._plan(options)
        check_key(key)
        if plan.content_type is None:
            plan = plan._replace(content_type=guess_type(key, encoding if text else None))
        writer = FileWriter(Draft(self._kernel, self._ledger, self.path, key, plan))
        return TextFileWriter(writer, encoding, newline) if text else writer

    def _open_to_read(self, key: str) -> BinaryIO:
        kernel, path = self._kernel, self.path

        def read(row: tuple[Any, ...]) -> BinaryIO:
            return io.BufferedReader(open_bytes(kernel, path, key, row), _PIECE)

        return read_current(self._row(key), lambda: self._row(key), read)

    def _row(self, key: str, content: str | None = None) -> tuple[Any, ...]:
        def find() -> tuple[Any, ...]:
            row = seen(self._kernel, self._ledger, self.path, key)
            if row is None:
                raise missing(self.path, key)
            return row

        return read_current(find(), find, lambda row: one_of(self._kernel, self._ledger, self.path, key, row, content))

    def put_chunks(self, key: str, chunks: Iterable[Buffer], **options: Unpack[PutOptions]) -> Record:
        """Store the bytes of an iterable as a file; if it raises, nothing is stored."""
        return put_chunks(Draft(self._kernel, self._ledger, self.path, check_key(key), self._plan(options)), chunks)

    def put_stream(self, key: str, values: Iterable[Any] | AsyncIterable[Any], **options: Unpack[PutOptions]) -> Record:
        """Store a stream of values, taken and written one at a time; :meth:`get` gives a :class:`~holdfast.Stream` of
        them. If anything fails on the way, nothing is stored.

        Args:
            values: an iterable or an asynchronous one, which is run in an event loop of another thread, and asked for
                a value when the one before is written.
            options: as of :meth:`put`. ``serializer`` names a stream serializer; else it is the one for the exact type
                of the first value, which the others have, too.

        Raises:
            EncodeError: a value that the serializer does not take, or of another type; the message gives its number.
            NotRegisteredError: no stream serializer has that name.
            InvalidArgumentError: no iterable, or one value that happens to be one, such as a str or a frame; an
                asynchronous one while a loop runs in this thread.
        """
        plan = self._plan(options)
        check_values(self._kernel.registry, values)
        return put_values(Draft(self._kernel, self._ledger, self.path, check_key(key), plan), values)

    def get_chunks(self, key: str, *, content: str | None = None) -> Iterator[bytes]:
        """The bytes of a record in pieces of at most 4 MB; bytes that fail their digest raise at the end.

        Of an object of several contents it is one of them, by its name.

        Raises:
            NotFoundError: no such record, or content.
            InvalidArgumentError: an object, and no content is named; the message has their names.
        """
        return self._chunks(key, self._row(check_key(key), content), content)

    def _chunks(self, key: str, row: tuple[Any, ...], content: str | None = None) -> Iterator[bytes]:
        def begin(row: tuple[Any, ...]) -> tuple[bytes, Iterator[bytes]]:
            pieces = chunks(self._kernel, self.path, key, row)
            return next(pieces, b""), pieces  # the file is open now: it can be read to its end, deleted or not

        first, pieces = read_current(row, lambda: self._row(key, content), begin)
        if first:
            yield first
        yield from pieces

    # --- local files --------------------------------------------------------------------------------------------------

    def put_file(
        self,
        source: str | os.PathLike[str],
        key: str | None = None,
        *,
        progress: Progress = None,
        **options: Unpack[PutOptions],
    ) -> Record:
        """Store a local file, by default under its own name and with the content type of its ending.

        ``progress`` is called with the number of bytes of each piece.

        Raises:
            NotFoundError: no such file.
            StoreError: it cannot be read, or is no regular file.
        """
        name = os.path.basename(os.path.abspath(local_path(source)))
        options.setdefault("content_type", guess_type(key or name) or guess_type(name))
        key = check_key(name if key is None else key)
        with _local(source) as file:
            size = os.fstat(file.fileno()).st_size
            draft = Draft(self._kernel, self._ledger, self.path, key, self._plan(options), size)
            return put_chunks(draft, _pieces(file, os.fspath(source), progress))

    def put_dir(
        self,
        source: str | os.PathLike[str],
        prefix: str = "",
        *,
        progress: Progress = None,
        **options: Unpack[PutOptions],
    ) -> list[Record]:
        """Store all files below a local folder under ``prefix`` and their relative paths with ``/``.

        Links to files are followed, links to folders are not; each file is its own commit (use a transaction for one).

        Raises:
            NotFoundError: no such folder.
            StoreError: a folder or file below it cannot be read; those before it are stored.
        """
        source = local_path(source)
        if not os.path.isdir(source):
            raise NotFoundError(f"no folder {source}")
        records = []
        for folder, below, names in os.walk(source, onerror=_unreadable):
            below.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                key = prefix + os.path.relpath(path, source).replace(os.sep, "/")
                records.append(self.put_file(path, key, progress=progress, **options))
        return records

    def get_file(
        self,
        key: str,
        target: str | os.PathLike[str],
        *,
        content: str | None = None,
        progress: Progress = None,
        replace: bool = True,
    ) -> str:
        """Write a record's bytes to a local file and give its path; an existing folder takes it under its own name.

        The file appears whole or not at all: it is written beside and moved into place. Of an object of several
        contents it is one of them, by its name.

        Raises:
            NotFoundError: no such record, or content.
            InvalidArgumentError: an object, and no content is named.
            IntegrityError: the bytes are not what was put; the target is untouched.
            ExistsError: the target exists and ``replace`` is False.
            StoreError: it cannot be written.
        """
        path = local_path(target)
        check_key(key)
        if os.path.isdir(path):
            path = os.path.join(path, _safe_name(content or key.rpartition("/")[2], key))
        if not replace and os.path.lexists(path):
            raise ExistsError(f"{path} exists already")

        def write(row: tuple[Any, ...]) -> str:
            _write_local(path, chunks(self._kernel, self.path, key, row), progress)
            return path

        return read_current(self._row(key, content), lambda: self._row(key, content), write)

    def get_dir(
        self,
        prefix: str,
        target: str | os.PathLike[str],
        *,
        progress: Progress = None,
        leave_out: Container[str] = (),
    ) -> list[str]:
        """Write all records whose keys begin with ``prefix`` below a local folder, by the rest of their keys.

        Keys in ``leave_out`` are passed over. A folder is made where a key asks for it, and for an object of several
        contents, which are the files in it.

        Raises:
            InvalidKeyError: a key that would leave the folder; nothing of it is written.
            StoreError: a folder or file cannot be written, such as a key that is a folder for another key.
        """
        paths = []
        for key in self.keys(prefix):
            if key in leave_out:
                continue
            rest = key[len(prefix) :] if prefix.endswith("/") or not prefix else key[len(prefix) :].lstrip("/")
            parts = [_safe_name(part, key) for part in (rest or key.rpartition("/")[2]).split("/")]
            path = os.path.join(local_path(target), *parts)
            for content in self._contents(key):
                make_folder((path if content else os.path.dirname(path)) or ".")
                paths.append(self.get_file(key, path, content=content, progress=progress))
        return paths

    def _contents(self, key: str) -> Iterable[str | None]:
        """The names of an object's contents; None for the one of anything else."""
        row = seen(self._kernel, self._ledger, self.path, key)
        if row is None or self._kernel.catalog.codec(row[6]).serializer != STORABLE:
            return (None,)
        return [part.name for part in read_object(row[7], format_address(self.path, key))[3]]

    def get_bytes(self, key: str, *, content: str | None = None) -> bytes:
        """The bytes of a record, or of this content of an object, whatever serializer wrote them, checked against their
        digest; see :meth:`get_chunks`."""
        return b"".join(self.get_chunks(key, content=content))


def local_path(place: str | os.PathLike[str]) -> str:
    """The path of a local file or folder.

    Raises:
        InvalidArgumentError: it is none.
    """
    try:
        path: object = os.fspath(place)
    except TypeError:
        path = place
    if not isinstance(path, str) or not path or "\0" in path:
        raise InvalidArgumentError(f"a local file or folder is named by a path, not {place!r}")
    return path


def make_folder(path: str) -> None:
    """Make a local folder and those above it.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise _failed(error, f"the folder {path} cannot be made") from error


def _failed(error: OSError, what: str) -> StoreError:
    kind = StorageFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
    return kind(f"{what}: {error.strerror}")


def _unreadable(error: OSError) -> NoReturn:
    raise _failed(error, f"{error.filename} cannot be read") from error


def _safe_name(part: str, key: str) -> str:
    if part in ("", ".", "..") or os.sep in part or (os.altsep and os.altsep in part):
        raise InvalidKeyError(f"the key {key!r} has no safe path in a local folder")
    return part


def _local(source: str | os.PathLike[str]) -> BinaryIO:
    try:
        if not stat.S_ISREG(os.stat(source).st_mode):
            raise StoreError(f"{os.fspath(source)} is no regular file: use put_dir for a folder")
        return open(source, "rb", buffering=0)
    except FileNotFoundError as error:
        raise NotFoundError(f"no file {os.fspath(source)}") from error
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise _failed(error, f"{os.fspath(source)} cannot be read") from error


def _pieces(file: BinaryIO, path: str, progress: Progress) -> Iterator[bytes]:
    while True:
        try:
            piece = file.read(_PIECE)
        except OSError as error:
            raise _failed(error, f"{path} cannot be read") from error
        if not piece:
            return
        yield piece
        if progress is not None:
            progress(len(piece))


def _write_local(path: str, pieces: Iterator[bytes], progress: Progress) -> None:
    folder, name = os.path.split(os.path.abspath(path))
    beside = os.path.join(folder, f".{name[:100]}.{os.urandom(6).hex()}.part")
    try:
        with open(beside, "xb", buffering=0) as file:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[file.write(view) :]
                if progress is not None:
                    progress(len(piece))
        os.replace(beside, path)
    except BaseException as error:
        with suppress(FileNotFoundError):
            os.unlink(beside)
        if not isinstance(error, OSError) or isinstance(error, StoreError):
            raise
        raise _failed(error, f"{path} cannot be written") from error
