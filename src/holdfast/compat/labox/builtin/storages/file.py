"""Files in a folder."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from .....errors import StoreError
from .....storages.base import Storage as NativeStorage
from .....storages.file import FileStorage as NativeFileStorage
from .....storages.file.disk import explain
from .....storages.file.folders import WriterFolder
from .....storages.file.storage import path_of
from ...core.own_storage import OwnStorage

__all__ = ["FileStorage", "file_storage"]


class FileStorage(OwnStorage, NativeFileStorage):
    """Bytes as files, those of each store in a folder of their own below ``path``; a config is a file's whole path.

    Args:
        path: the folder.
        mkdir: make it, if need be.
        chunk_size: for labox' sake.

    Raises:
        StoreError: there is no such folder, and it is not to be made.
    """

    name = "labox.file@v1"

    def __init__(self, path: str | os.PathLike[str], *, mkdir: bool = False, chunk_size: int = 5 << 20) -> None:
        NativeFileStorage.__init__(self, os.path.abspath(path))
        self.path, self.url, self.mkdir, self.chunk_size = Path(path), self.root, mkdir, chunk_size
        if mkdir:
            self.path.mkdir(parents=True, exist_ok=True)
        elif not self.path.is_dir():
            raise StoreError(f"there is no folder {path}: FileStorage(..., mkdir=True) makes it")

    def of(self, store: str) -> Self:
        """See :meth:`OwnStorage.of`."""
        made = copy(self)
        NativeFileStorage.__init__(made, f"{self.root}/{store}")
        made.url, made.mkdir = made.root, True  # made at the first write
        return made

    def located(self, config: Any) -> str:
        """See :meth:`OwnStorage.located`."""
        return path_of(self.root, config)

    def found(self, config: Any) -> tuple[NativeStorage, Any]:
        """See :meth:`OwnStorage.found`."""
        folder, *rest = str(config).rsplit("/", 2)
        return NativeFileStorage(folder), "/".join(rest)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), mkdir=self.mkdir, chunk_size=self.chunk_size), (self.root,)


class _Passing(FileStorage):
    """One whose folder, for this user only, is made at the first write."""

    def __init__(self, path: str, **options: Any) -> None:
        NativeFileStorage.__init__(self, path)
        self.path, self.url, self.mkdir, self.chunk_size = Path(path), self.root, True, 5 << 20

    def _begin(self, instead: WriterFolder | None = None) -> WriterFolder:
        try:
            self.path.mkdir(0o700, exist_ok=True)
        except OSError as error:
            raise explain(error, str(self.path), writing=True) from error
        return super()._begin(instead)


def _remove(folder: str, maker: int) -> None:
    """Remove the files of a process, unless this is a child that goes before it."""
    if os.getpid() == maker:
        shutil.rmtree(folder, ignore_errors=True)


_folder = f"{tempfile.gettempdir()}/holdfast-labox-{uuid4().hex}"
atexit.register(_remove, _folder, os.getpid())

file_storage: FileStorage = _Passing(_folder)
"""Files of the process that imported it, removed when that ends."""
