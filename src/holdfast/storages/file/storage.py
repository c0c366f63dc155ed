"""The file storage: one file per piece, never rewritten, under the folder of the process that wrote it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from io import FileIO
from typing import Any, ClassVar

from ...errors import ClosedError, HoldfastError, InvalidArgumentError, StoreNotFoundError, ValueLost
from ...payload import Buffer, Payload
from ..base import OCTETS, GetDigest, Identity, MappedStorage, check_size, check_span
from ..forking import not_forking
from ..mapping import map_private
from .disk import check_path, explain, open_file, sync_folder, sync_path
from .folders import AbandonedFolder, WriterFolder, abandoned_folders, remove_empty
from .writing import ALLOCATE, FileWriter, NewFile, write_all

__all__ = ["FileStorage", "path_of"]

_CONFIG = re.compile(r"([0-9a-z]{18})/(?:0|[1-9][0-9]{0,18})")
_PIECE = 1 << 20  # of a stream; larger ones are slower here, as each is fresh memory
_ONE_READ = 1 << 30


def path_of(root: str, config: str) -> str:
    """The path of the file that a config names, below a storage's root."""
    return f"{root}/{config}"


class FileStorage(MappedStorage):
    """Bytes as files ``<root>/<writer>/<number>``; the config is ``"<writer>/<number>"``.

    A file's name is used once, a file is never rewritten or truncated, and it is complete when its config is given.
    What a write leaves when its process is killed is found by :meth:`abandoned`.

    Args:
        root: the folder, made at the first write. The whole folder can be moved while no storage is open on it.

    Raises:
        InvalidArgumentError: ``root`` is not a path.
    """

    name: ClassVar[str] = "holdfast.file@v1"

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = check_path(root)
        self._folder: WriterFolder | None = None
        self._closed = False
        self._on_disk: set[str] = set()  # writers whose folder's own name is on disk

    def __repr__(self) -> str:
        return f"FileStorage({self.root!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return FileStorage, (self.root,)

    # --- writing ----------------------------------------------------------------------------------------------------

    def write(self, payload: Payload, get_digest: GetDigest, tags: Mapping[str, str], *, sync: bool = False) -> str:
        """Write a payload into a file of its own."""
        buffers = payload.buffers
        size = payload.size
        file = self._create()
        try:
            if size >= ALLOCATE:
                file.allocate(0, size)
            if size:
                write_all(file.fd, buffers, size)
            return file.finish(sync, self._register)
        except BaseException as error:
            file.discard()
            if isinstance(error, OSError) and not isinstance(error, HoldfastError):
                raise explain(error, file.path, writing=True) from error
            raise

    def writer(
        self,
        tags: Mapping[str, str],
        *,
        size: int | None = None,
        content_type: str = OCTETS,
        encoding: str | None = None,
    ) -> FileWriter:
        """Begin to write a stream. ``size`` is a hint: the blocks are set aside, and what is not used is given back."""
        check_size(size)
        return FileWriter(self._create(), size, self._register)

    def _create(self) -> NewFile:
        folder = self._folder
        if folder is None or not folder.lock.held:
            folder = self._begin()
        try:
            try:
                return NewFile(folder)
            except FileNotFoundError:
                # somebody removed the folder, lock and all: what was in it is lost, what comes now need not be
                return NewFile(self._begin(instead=folder))
        except OSError as error:
            if isinstance(error, HoldfastError):
                raise
            raise explain(error, folder.path, writing=True) from error

    def _begin(self, instead: WriterFolder | None = None) -> WriterFolder:
        """This process' folder, made when there is none (or it is ``instead``)."""
        with not_forking():
            if self._closed:
                raise ClosedError(f"the storage of {self.root} is closed: open it again")
            folder = self._folder
            if folder is None or folder is instead or not folder.lock.held:
                try:
                    folder = WriterFolder.make(self.root)
                except OSError as error:
                    if isinstance(error, HoldfastError):
                        raise
                    raise explain(error, self.root, writing=True) from error
                self._folder = folder
            return folder

    def _register(self, folder: WriterFolder) -> None:
        """Put a writer's folder's own name on disk, once."""
        if folder.writer not in self._on_disk:
            sync_folder(self.root)
            self._on_disk.add(folder.writer)

    # --- reading ----------------------------------------------------------------------------------------------------

    def read(self, config: Any) -> Buffer:
        """All bytes of a file, in memory."""
        path = self._path(config)
        fd = self._open(path)
        try:
            size = os.fstat(fd).st_size
            if size <= _ONE_READ:
                data = os.read(fd, size)
                if len(data) == size:
                    return data
            whole = bytearray(size)
            view = memoryview(whole)
            done = 0
            while done < size:
                count = os.preadv(fd, [view[done : done + _ONE_READ]], done)
                if not count:
                    raise ValueLost(f"{path} became shorter while it was read")
                done += count
            return whole
        except OSError as error:
            raise explain(error, path, writing=False) from error
        finally:
            os.close(fd)

    def read_stream(self, config: Any, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes of a file in pieces of 1 MB; the file is opened at the first, and closed with the iterator."""
        check_span(offset, length)
        return self._pieces(self._path(config), offset, length)

    def _pieces(self, path: str, position: int, length: int | None) -> Iterator[bytes]:
        fd = self._open(path)
        try:
            while length is None or length > 0:
                piece = os.pread(fd, _PIECE if length is None else min(length, _PIECE), position)
                if not piece:
                    return
                yield piece
                position += len(piece)
                if length is not None:
                    length -= len(piece)
        except OSError as error:
            raise explain(error, path, writing=False) from error
        finally:
            os.close(fd)

    def map(self, config: Any, size: int) -> memoryview:
        """A private map of the file; ValueLost when it has fewer than ``size`` bytes."""
        if size < 0:
            raise InvalidArgumentError(f"a size is a number of bytes, not {size}")
        path = self._path(config)
        fd = self._open(path)
        try:
            found = os.fstat(fd).st_size
            if found < size:  # touching a page beyond the end would kill the process with SIGBUS
                raise ValueLost(f"{path} has {found} bytes of {size}: it was truncated")
            return map_private(fd, size) if size else memoryview(bytearray())
        except OSError as error:
            raise explain(error, path, writing=False) from error
        finally:
            os.close(fd)

    def open(self, config: Any) -> FileIO:
        """The file, for reading."""
        path = self._path(config)
        fd = self._open(path)
        try:
            return FileIO(fd, "rb")
        except BaseException as error:
            os.close(fd)
            if isinstance(error, OSError):
                raise explain(error, path, writing=False) from error
            raise

    def identity(self, config: Any) -> Identity | None:
        """The file as it is now; None when it is gone."""
        path = self._path(config)
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            self._check_root()
            return None
        except OSError as error:
            raise explain(error, path, writing=False) from error
        if not stat.S_ISREG(found.st_mode):
            return None
        return Identity(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def _open(self, path: str) -> int:
        try:
            return open_file(path)
        except FileNotFoundError:
            self._check_root()
            raise ValueLost(f"{path} is gone: it was removed by other means than this library") from None
        except OSError as error:
            raise explain(error, path, writing=False) from error

    def _path(self, config: Any) -> str:
        if isinstance(config, str) and _CONFIG.fullmatch(config):
            return path_of(self.root, config)
        raise InvalidArgumentError(f"no file storage gave the config {config!r}: it must be like '<writer>/<number>'")

    def _check_root(self) -> None:
        """A folder that is not there as a whole (not mounted, moved) does not mean that each value in it is lost."""
        if not os.path.isdir(self.root):
            raise StoreNotFoundError(f"the storage's folder {self.root} is missing: mount it, or move it back")

    # --- keeping and removing ---------------------------------------------------------------------------------------

    def sync(self, configs: Sequence[Any]) -> list[bool]:
        """Put files on disk, and each folder that names them once."""
        paths = [self._path(config) for config in configs]
        there: list[bool] = []
        writers: dict[str, None] = {}
        for config, path in zip(configs, paths, strict=True):
            try:
                sync_path(path)
            except FileNotFoundError:
                self._check_root()
                there.append(False)
            except ValueLost:
                there.append(False)
            except OSError as error:
                raise explain(error, path, writing=False) from error
            else:
                there.append(True)
                writers[config.partition("/")[0]] = None
        try:
            for writer in writers:
                sync_folder(f"{self.root}/{writer}")
            if not writers.keys() <= self._on_disk:
                sync_folder(self.root)
                self._on_disk.update(writers)
        except OSError as error:
            raise explain(error, self.root, writing=True) from error
        return there

    def delete(self, config: Any) -> None:
        """Remove a file, and the folder of a dead writer with its last file."""
        path = self._path(config)
        writer = config.partition("/")[0]
        # What somebody has put in the place of the file or of its folder is not ours to remove, and with a link as the
        # folder it would be a file that lies elsewhere, of another store perhaps.
        if os.path.islink(f"{self.root}/{writer}"):
            return
        try:
            os.unlink(path)
        except FileNotFoundError:
            self._check_root()
            return
        except OSError as error:
            if os.path.isdir(path):
                return
            raise explain(error, path, writing=True) from error
        folder = self._folder
        if folder is None or folder.writer != writer:
            try:
                remove_empty(f"{self.root}/{writer}")
            except OSError as error:
                raise explain(error, path, writing=True) from error

    def abandoned(self) -> Iterator[AbandonedFolder]:
        """The folders of writers that are dead; each is locked against other collectors while its object lives."""
        try:
            yield from abandoned_folders(self.root)
        except OSError as error:
            raise explain(error, self.root, writing=True) from error

    def close(self) -> None:
        """End this storage's writer; reading goes on working.

        Close only when every config that this object gave is committed: others may sweep the writer's folder then.
        """
        with not_forking():
            self._closed = True
            folder, self._folder = self._folder, None
        if folder is not None:
            folder.close()
