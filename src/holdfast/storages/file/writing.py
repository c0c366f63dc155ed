"""A new file: complete and named when it is finished, or gone."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from ...errors import ClosedError, HoldfastError
from ...payload import Buffer
from ...stopping import go_on
from ..base import GetDigest, Writer
from .disk import explain, sync_folder, to_disk
from .folders import WriterFolder

__all__ = ["ALLOCATE", "FileWriter", "NewFile", "write_all"]

ALLOCATE = 1 << 17
"""Files of at least this many bytes get their blocks before the bytes: 15 % quicker here, 40 % for large ones."""

_AHEAD = 64 << 20  # at most so many blocks are set aside beyond what has come of a stream of unknown size
_MOST = 1 << 26  # bytes in one system call; between two the writer may be told to stop
_VECTORS = min(os.sysconf("SC_IOV_MAX"), 1024) if os.sysconf("SC_IOV_MAX") > 0 else 16
_FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY


class NewFile:
    """A file of a name that none had before, in the folder of a live writer. Unless :meth:`finish` returned it is
    removed with the object, so that an interrupt at any instruction leaves nothing behind.

    Attributes:
        config: ``writer/number``, what reads it back once it is finished.
        path: where it is.
        fd: open for writing.
    """

    __slots__ = ("_folder", "config", "fd", "path")

    def __init__(self, folder: WriterFolder) -> None:
        number = next(folder.numbers)
        self.fd = -1
        self.config = f"{folder.writer}/{number}"
        self.path = f"{folder.path}/{number}"
        self._folder: WriterFolder | None = folder
        try:
            # 0o600: as private as the folder; the umask can only take more
            self.fd = os.open(self.path, _FLAGS, 0o600)
        except FileExistsError:  # not made by us, so not ours to remove
            self._folder = None
            raise
        except BaseException:  # an interrupt may come just after the call
            self.discard()
            raise

    @property
    def held(self) -> bool:
        """Whether the file may go on: neither finished nor discarded, and its writer lives in this process."""
        return self._folder is not None and self._folder.lock.held

    def allocate(self, start: int, size: int) -> bool:
        """Give the file ``size`` bytes of disk from ``start`` on, so that a lack of space shows now; False where
        there is no such thing."""
        if sys.platform == "darwin":
            return False
        try:
            os.posix_fallocate(self.fd, start, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
            return False
        return True

    def finish(self, sync: bool, register: Callable[[WriterFolder], None]) -> str:
        """Close the file, on disk if ``sync``, and keep it. ``register`` puts the folder's own name on disk."""
        folder = self._folder
        assert folder is not None
        if sync:
            to_disk(self.fd)
        fd, self.fd = self.fd, -1
        os.close(fd)
        if sync:
            sync_folder(folder.path)
            register(folder)
        self._folder = None
        return self.config

    def discard(self) -> None:
        """Close and remove the file, unless it is finished."""
        folder, self._folder = self._folder, None
        fd, self.fd = self.fd, -1
        # Errors are not told: another one is on its way, and what stays is swept after the writer's end.
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)
        if folder is not None and not folder.lock.inherited:  # in a forked child the file is the parent's
            with suppress(OSError):
                os.unlink(self.path)

    def __del__(self) -> None:
        if getattr(self, "_folder", None) is not None:  # an interrupt may come before it is set
            self.discard()


def write_all(fd: int, buffers: Sequence[Buffer], size: int) -> None:
    """Write buffers of ``size`` bytes together one after the other, however many system calls it takes."""
    if len(buffers) <= _VECTORS and size <= _MOST:
        written = os.writev(fd, buffers)
        if written == size:
            return
    else:
        written = 0
    for group in _groups(buffers, written):
        go_on()
        while group:
            done = os.writev(fd, group)
            group = list(_skip(group, done))


def _skip(buffers: Sequence[Buffer], count: int) -> Iterator[Buffer]:
    """The buffers without their first ``count`` bytes, and without empty ones."""
    for buffer in buffers:
        if count >= len(buffer):
            count -= len(buffer)
        elif count:
            yield memoryview(buffer)[count:]
            count = 0
        else:
            yield buffer


def _groups(buffers: Sequence[Buffer], skip: int) -> Iterator[list[Buffer]]:
    """What one system call can take, each."""
    pieces = (
        memoryview(buffer)[start : start + _MOST]
        for buffer in _skip(buffers, skip)
        for start in range(0, len(buffer), _MOST)
    )
    group: list[Buffer] = []
    total = 0
    for piece in pieces:
        if len(group) == _VECTORS or (group and total + len(piece) > _MOST):
            yield group
            group, total = [], 0
        group.append(piece)
        total += len(piece)
    if group:
        yield group


class FileWriter(Writer):
    """A stream into a new file.

    Args:
        size: the number of bytes to come, as far as it is known; more or fewer may come.
        register: puts the folder's own name on disk.
    """

    def __init__(self, file: NewFile, size: int | None, register: Callable[[WriterFolder], None]) -> None:
        self._file: NewFile | None = file
        self._register = register
        self._written = 0
        self._reserved = 0
        self._ahead = size is None
        if size is not None and size >= ALLOCATE:
            with self._failing(file):
                if file.allocate(0, size):
                    self._reserved = size

    def _current(self) -> NewFile:
        if self._file is None:
            raise ClosedError("this writer was committed or aborted before: begin another")
        if not self._file.held:
            raise ClosedError(
                f"the writer of {self._file.config} does not go on in a forked process, or after its storage was "
                "closed: begin another"
            )
        return self._file

    @contextmanager
    def _failing(self, file: NewFile) -> Iterator[None]:
        """Discard the file on any error, and tell it as one of ours."""
        try:
            yield
        except BaseException as error:
            self.abort()
            if isinstance(error, OSError) and not isinstance(error, HoldfastError):
                raise explain(error, file.path, writing=True) from error
            raise

    def write(self, data: Buffer) -> None:
        """Append bytes."""
        file = self._current()
        size = len(data)
        with self._failing(file):
            if self._ahead and self._written + size > max(self._reserved, ALLOCATE):
                self._reserve(file, size)
            if size:
                write_all(file.fd, (data,), size)
            self._written += size

    def _reserve(self, file: NewFile, size: int) -> None:
        """Set blocks aside for what comes, and for as much as has come already, as more may follow."""
        start = max(self._reserved, self._written)
        self._reserved = self._written + size + min(self._written, _AHEAD)
        try:
            self._ahead = file.allocate(start, self._reserved - start)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._ahead = False  # what is to be written may fit nevertheless

    def commit(self, get_digest: GetDigest, *, sync: bool = False) -> str:
        """Finish, and give the config."""
        file = self._current()
        with self._failing(file):
            if self._reserved > self._written:
                os.ftruncate(file.fd, self._written)
            config = file.finish(sync, self._register)
        self._file = None
        return config

    def abort(self) -> None:
        """Discard what was written, unless it is committed."""
        file, self._file = self._file, None
        if file is not None:
            file.discard()
