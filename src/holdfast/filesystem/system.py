"""The file system: opening, moving and removing."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from glob import has_magic
from itertools import islice
from typing import Any

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.compression import compr
from fsspec.core import get_compression

from ..address import Path
from ..catalog.base import ABSENT, HEAD, Delete, Edit
from ..errors import ConflictError, InvalidArgumentError, InvalidKeyError, NotFoundError
from ..options import PutOptions
from ..reading import make_record, open_bytes, read_current, visible_record
from ..scope import BaseScope
from ..storages.file.scratch import Scratch
from ..streams import Draft, TextFileWriter, check_text, guess_type
from .faults import FileMissing, FileThere, FolderNotEmpty, IsFolder, NotFolder, as_file_errors
from .names import place_of
from .opened import Packer, Reader, Updater, Writer
from .tree import Tree

__all__ = ["HoldfastFileSystem"]

_KINDS = ("r", "w", "x", "a", "r+", "w+", "x+")
_BATCH = 10_000


class HoldfastFileSystem(Tree):
    """A store for the tools above fsspec; ``docs/filesystem.md`` says what each verb does here.

    Args:
        store: a folder, ``"memory:"`` or an open store; by default that of the run context, else the configured one.
        create: make the store if the folder is missing or empty.
        options: ``storage``, ``durability``, ``inline`` and ``timeout``, as of :func:`holdfast.open`.

    Raises:
        StoreNotFoundError: no store is named, or none is there and ``create`` is False.
        InvalidArgumentError: an option that is not legal.
    """

    def start_transaction(self) -> Any:
        self.transaction.start()
        return self.transaction

    # --- opening ------------------------------------------------------------------------------------------------------

    @as_file_errors
    def open(
        self, path: Any, mode: str = "rb", block_size: Any = None, compression: str | None = None, **options: Any
    ) -> Any:
        """A file: ``rb`` shows one version and can be sought in; ``wb`` and ``xb`` stream; ``ab``, ``r+b``, ``w+b`` and
        ``x+b`` write the whole anew. What is written is visible when the file is closed, whole or not at all.

        To write, the options of ``put`` may be given.

        Raises:
            FileMissing, IsFolder, FileThere: see the errors.
            ConflictError: on closing, and the record to append to or to change was replaced meanwhile.
        """
        scope, key = self._file(path)
        encoding, errors, newline = (options.pop(each, None) for each in ("encoding", "errors", "newline"))
        kind, encoding = mode.replace("t", "").replace("b", ""), encoding or "utf-8"
        packing = get_compression(key, compression)
        if kind not in _KINDS or (packing is not None and "+" in kind):
            raise InvalidArgumentError(f"mode {mode!r}: there are {', '.join(_KINDS)}, with b or t; + not compressed")
        given = sorted(options.keys() & PutOptions.__annotations__.keys())
        if kind == "r" and given:
            raise InvalidArgumentError(f"{given[0]} is for writing; this file is opened to read")
        if "b" not in mode:
            check_text(encoding, newline)
            if kind[0] in "wx" and packing is None:
                options.setdefault("content_type", guess_type(key, encoding))
        if kind == "r":
            read = compr[packing](self._read(scope, key), mode="r")
            return read if "b" in mode else io.TextIOWrapper(read, encoding, errors, newline)
        options = {name: value for name, value in options.items() if name not in ("autocommit", "cache_options")}
        written = self._write(scope, key, kind, options)
        if self._intrans:
            self.transaction.files.add(written)
        file: Any = written if packing is None else Packer(compr[packing], written)
        return file if "b" in mode else TextFileWriter(file, encoding, newline, errors)

    def _read(self, scope: BaseScope[Any], key: str) -> Reader:
        def read(row: tuple[Any, ...]) -> Reader:
            place = (self._kernel, scope.path, key, row[HEAD:])
            return Reader(open_bytes(*place), self, self._describe(scope.path, row[:HEAD]))

        return read_current(self._entry(scope, key), lambda: self._entry(scope, key), read)

    def _write(self, scope: BaseScope[Any], key: str, mode: str, options: Any) -> Any:
        if "x" in mode:
            if scope.exists(key):
                raise FileThere(f"{scope}/{key} exists already")
            options["if_absent"] = True
        plan, before = scope._plan(options), None
        if mode == "r+":
            before = self._entry(scope, key)
        elif mode == "a":
            before = visible_record(self._kernel, self._ledger.entry(scope.path, key))
        if before is not None:
            record = make_record(self._kernel, scope.path, before[:HEAD])
            kept = {"tags": before[7], "expires": before[6], "content_type": record.content_type}
            plan = plan._replace(**{name: value for name, value in kept.items() if name not in options})
        if mode in ("a", "r+") and plan.if_version is None:
            plan = plan._replace(if_version=ABSENT if before is None else before[2] or None)
        draft = Draft(self._kernel, self._ledger, scope.path, key, plan)
        if "+" in mode:
            file: Any = Updater(draft, Scratch(self._kernel.folder))
        else:
            file = Writer(draft)
        try:
            for piece in () if before is None else scope._chunks(key, before[HEAD:]):
                file.write(piece)
            if "+" in mode:
                file.seek(0)
        except BaseException:
            file.abort()
            raise
        return file

    # --- whole files and ranges ---------------------------------------------------------------------------------------

    @as_file_errors
    def cat_file(self, path: Any, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        scope, key = self._file(path)
        if start is None and end is None:
            return b"".join(scope._chunks(key, self._entry(scope, key)[HEAD:]))
        with self._read(scope, key) as file:
            begin, stop, _ = slice(start, end).indices(file.size)
            file.seek(begin)
            return file.read(max(0, stop - begin))

    @as_file_errors
    def pipe_file(self, path: Any, value: Any, mode: str = "overwrite", **options: Any) -> None:
        scope, key = self._file(path)
        scope.put_chunks(key, [value], **_conditions(mode, options))

    def put_file(
        self, lpath: Any, rpath: Any, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite", **options: Any
    ) -> None:
        super().put_file(lpath, rpath, callback=callback, **_conditions(mode, options))

    def get_file(self, rpath: Any, lpath: Any = None, **options: Any) -> None:
        if ".." in str(lpath).split("/") and ".." in self._strip_protocol(rpath).split("/"):
            raise InvalidKeyError(f"{rpath!r} has no safe path in a local folder")  # not every fsspec sees to it
        super().get_file(rpath, lpath, **options)

    @as_file_errors
    def touch(self, path: Any, truncate: bool = True, **options: Any) -> None:
        scope, key = self._file(path)
        if truncate or not scope.exists(key):
            scope.put_chunks(key, [], **options)
        else:
            scope._change(Edit(scope.path, key))

    # --- copying and moving -------------------------------------------------------------------------------------------

    @as_file_errors
    def cp_file(self, path1: Any, path2: Any, move: bool = False, **options: Any) -> None:
        """Make the same bytes known under another address, with ``move`` no longer under this one; none are copied."""
        if self.isdir(path1):
            self.makedirs(path2, exist_ok=True)
            return
        (scope, key), (target, new_key) = self._file(path1), self._file(path2)
        (scope.rename if move else scope.copy)(key, new_key, to=target, replace=True)

    @as_file_errors
    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **options: Any) -> None:
        """Rename a file, or a folder with all below it, in one commit; no bytes are copied.

        Raises:
            ConflictError: what is in the folder was written to meanwhile; nothing is moved.
        """
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        if source == target:
            return
        one = isinstance(source, str) and not has_magic(source)
        folder = one and self.isdir(source)
        options = {"recursive": recursive or folder, "maxdepth": maxdepth, "on_error": "raise", "move": True}
        if self._intrans or (one and not folder):
            self.copy(path1, path2, **options)
            return
        place, key = place_of(source) if one else ((), None)
        if place and key is None and isinstance(target, str) and not self.exists(target):
            new, new_key = place_of(target)
            if new_key is None and new[:-1] == place[:-1] and new[-1][0] == place[-1][0]:
                self._scope(place).rename_scope(new[-1][1])
                return
        fs = self._on(self._kernel)
        with fs.transaction:
            fs.copy(path1, path2, **options)
        for each in self._scopes(place) if place and key is None else ():
            with suppress(ConflictError, NotFoundError):
                self._scope(each).drop(only_empty=True)

    def _scopes(self, place: Path) -> Iterator[Path]:
        """A scope and all below it, the innermost first."""
        for child in self._children(place):
            yield from self._scopes(child)
        yield place

    # --- making and removing ------------------------------------------------------------------------------------------

    @as_file_errors
    def mkdir(self, path: Any, create_parents: bool = True, **options: Any) -> None:
        """Make a scope; what keys begin with is a folder by itself, as soon as there is such a key."""
        name = self._strip_protocol(path)
        if self.exists(name):
            raise FileThere(f"{name!r} exists already")
        place, key = place_of(name)
        if key is not None or self._intrans:  # in a transaction a scope comes with what is put into it
            return
        if not create_parents and not self._is_folder(place[:-1], None):
            raise FileMissing(f"no scope above {name}")
        self._scope(place).create(exist_ok=False)

    def makedirs(self, path: Any, exist_ok: bool = False) -> None:
        try:
            self.mkdir(path)
        except FileExistsError:
            if not exist_ok or not self.isdir(path):
                raise

    @as_file_errors
    def rmdir(self, path: Any) -> None:
        """Remove a scope that holds nothing."""
        place, key = place_of(self._strip_protocol(path))
        kind = self._type(path)
        if kind is None or kind == "file":
            raise NotFolder(f"{path} is a file") if kind else FileMissing(f"no folder {path}")
        try:
            if key is not None:
                raise ConflictError(f"{path} is not empty")
            self._scope(place).drop(only_empty=True)
        except ConflictError as error:
            raise FolderNotEmpty(error.message) from error

    @as_file_errors
    def rm_file(self, path: Any) -> None:
        scope, key = self._file(path)
        scope.delete(key)

    _rm = rm_file

    @as_file_errors
    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files, and with ``recursive`` folders: a scope is dropped with all below it in one commit, files go in
        commits of up to 10,000. Patterns are matched."""
        names = self.expand_path(path, recursive=recursive and maxdepth is not None, maxdepth=maxdepth)
        scopes: list[Path] = []
        doomed = (
            Delete(place, key)
            for name in (names if maxdepth is None else filter(self.isfile, names))
            for place, key in self._doomed(name, recursive and maxdepth is None, scopes)
        )
        while batch := dict.fromkeys(islice(doomed, _BATCH)):
            try:
                self._ledger.commit(list(batch), power=self._kernel.power)
            except NotFoundError:  # somebody else removed one meanwhile
                for change in batch:
                    with suppress(NotFoundError):
                        self._ledger.commit([change], power=self._kernel.power)
        for place in scopes:
            self._scope(place).drop()

    def _doomed(self, name: str, recursive: bool, scopes: list[Path]) -> Iterator[tuple[Path, str]]:
        """The records that an address stands for; a scope that can be dropped goes to ``scopes``."""
        place, key = place_of(name)
        kind = self._type(name)
        if kind is None:
            raise FileMissing(f"no file and no folder {name}")
        if kind == "directory" and not (recursive and place):
            raise IsFolder(f"{name!r} is a folder: it is removed with recursive=True, and the root never")
        if key is None and not self._intrans:
            scopes.append(place)
        elif key is None:
            yield from ((each, found) for each in self._scopes(place) for found in self._scope(each))
        else:
            if kind == "file":
                yield place, key
            if recursive:
                yield from ((place, found) for found in self._scope(place).keys(f"{key}/"))


def _conditions(mode: str, options: dict[str, Any]) -> dict[str, Any]:
    if mode not in ("overwrite", "create"):
        raise InvalidArgumentError(f"mode must be 'overwrite' or 'create', not {mode!r}")
    return {**options, "if_absent": True} if mode == "create" else options
