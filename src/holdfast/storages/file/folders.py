"""Each writer has a folder of its own, and holds a lock in it as long as it lives.

A writer is one storage object in one process. While its lock is held nobody else removes a file of the folder that
no record names: it may be about to be named. When the process ends, however it ends, the kernel lets go of the lock,
and a collector that takes it sweeps the folder, once.

The folder is made under another name and renamed into place, so that a writer's folder is never seen without its
held lock. A collector may remove such a half-made folder under its maker's hands (it cannot know); the maker then
makes another.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import re
import secrets
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ...errors import StoreError
from ..base import Abandoned
from ..forking import not_forking
from .disk import explain, make_folders

__all__ = [
    "AbandonedFolder",
    "HeldLock",
    "WriterFolder",
    "abandoned_folders",
    "new_writer_id",
    "remove_empty",
]

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # sorts as it counts, and has no capitals: some file systems fold them
_LOCK = "lock"
_NEW = "new-"
_WRITER = re.compile(r"[0-9a-z]{18}")
_FILE = re.compile(r"0|[1-9][0-9]{0,18}")
_BATCH = 1000

_held: weakref.WeakSet[HeldLock] = weakref.WeakSet()


class HeldLock:
    """An exclusive lock on a file, held by this process until :meth:`close`, the object's end or the process' end.

    Attributes:
        held: False once closed.
        inherited: True in a forked child, to which the lock, and what it protects, does not belong.
    """

    __slots__ = ("__weakref__", "_fd", "held", "inherited")
    _close = staticmethod(os.close)  # when the interpreter ends, the module's own names may be gone before its objects

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.held = True
        self.inherited = False
        _held.add(self)

    @classmethod
    def take(cls, path: str, flags: int = 0) -> HeldLock | None:
        """Lock the file at ``path``; None when another holds it. OSError as it comes, also when there is no file."""
        with not_forking():
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | flags, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.fstat(fd).st_nlink:  # its last holder removed it between our two calls
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            except BlockingIOError:
                os.close(fd)
                return None
            except BaseException:
                os.close(fd)
                raise
            return cls(fd)

    def close(self) -> None:
        """Let go; does nothing the second time. In a forked child the parent keeps the lock."""
        fd, self._fd, self.held = self._fd, -1, False
        if fd >= 0:
            self._close(fd)  # never LOCK_UN: that would take the lock from the process that shares this description

    def __del__(self) -> None:
        self.close()


def _after_fork_in_child() -> None:
    for lock in list(_held):
        lock.inherited = True
        lock.close()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _base32(number: int, digits: int) -> str:
    return "".join(_DIGITS[number >> shift & 31] for shift in range(5 * (digits - 1), -1, -5))


def new_writer_id() -> str:
    """18 characters: the time in milliseconds, so that folders list in the order they were made, then 45 random
    bits."""
    return _base32(time.time_ns() // 1_000_000, 9) + _base32(secrets.randbits(45), 9)


class WriterFolder:
    """The folder that one storage object of one process writes to.

    Attributes:
        writer: its name.
        path: where it is.
        numbers: the next file's number; safe between threads, each number once.
        lock: held while the writer lives.
    """

    __slots__ = ("lock", "numbers", "path", "writer")

    def __init__(self, root: str, writer: str, lock: HeldLock) -> None:
        self.writer = writer
        self.path = f"{root}/{writer}"
        self.numbers = itertools.count()
        self.lock = lock

    @classmethod
    def make(cls, root: str) -> WriterFolder:
        """Make a folder with its lock held. OSError as it comes."""
        make_folders(root)
        for _ in range(1000):
            writer = new_writer_id()
            made = f"{root}/{_NEW}{writer}"
            os.mkdir(made, 0o700)
            lock = None
            try:
                lock = HeldLock.take(f"{made}/{_LOCK}", os.O_CREAT | os.O_EXCL)
                if lock is not None:
                    os.rename(made, f"{root}/{writer}")
                    return cls(root, writer, lock)
            except FileNotFoundError:
                pass  # a collector took it for the leavings of a dead process; make another
            except BaseException as error:
                _discard(made, lock)
                if isinstance(error, OSError) and error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise StoreError(
                        f"the file system of {root} has no file locks (flock), which tell live writers from dead ones: "
                        "use a folder on a local disk"
                    ) from error
                raise
        raise StoreError(f"no writer's folder could be made in {root}: something removes each one at once")

    def close(self) -> None:
        """End the writer. An empty folder is removed; else a collector looks through it, once."""
        if self.lock.held:
            with suppress(OSError):  # what stays is swept by the collector
                with os.scandir(self.path) as entries:
                    empty = all(entry.name == _LOCK for entry in entries)
                if empty:
                    _remove(self.path)
            self.lock.close()


def _discard(made: str, lock: HeldLock | None) -> None:
    """Remove a half-made folder after another error, which is the one to be told."""
    with suppress(OSError):
        _remove(made)
    if lock is not None:
        lock.close()


def _remove(folder: str) -> None:
    """Remove the lock file, whose lock the caller holds, then the folder when nothing else is in it."""
    with suppress(FileNotFoundError):
        os.unlink(f"{folder}/{_LOCK}")
    remove_empty(folder)


def _clear(folder: str) -> None:
    """Remove the files of a folder that never got its name, whose lock the caller holds. It has some when a power cut
    took back the folder's renaming and not what was in it; no config can name them."""
    for name in os.listdir(folder):
        if _FILE.fullmatch(name):
            with suppress(FileNotFoundError):
                os.unlink(f"{folder}/{name}")


def remove_empty(folder: str) -> None:
    """Remove a folder if it is empty: never one of a live or an unswept writer, as those have their lock file in it."""
    try:
        os.rmdir(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise


class AbandonedFolder(Abandoned):
    """A dead writer's folder; its lock is held until :meth:`release` or the object's end."""

    def __init__(self, root: str, writer: str, lock: HeldLock) -> None:
        self.writer = writer
        self._path = f"{root}/{writer}"
        self._lock = lock

    def configs(self) -> Iterator[list[str]]:
        """Its files, in batches of at most 1,000."""
        with _explained(self._path), os.scandir(self._path) as entries:
            names = (entry.name for entry in entries if _FILE.fullmatch(entry.name))
            while batch := list(itertools.islice(names, _BATCH)):
                yield [f"{self.writer}/{name}" for name in batch]

    def release(self) -> None:
        """Report this writer no more, and remove its folder when it is empty."""
        if self._lock.held:
            try:
                with _explained(self._path):
                    _remove(self._path)
            finally:
                self._lock.close()  # what could not be removed is found again


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Tell an OSError as one of our errors."""
    try:
        yield
    except OSError as error:
        raise explain(error, path, writing=True) from error


def abandoned_folders(root: str) -> Iterator[AbandonedFolder]:
    """Take the lock of each dead writer; remove what died half made. OSError as it comes."""
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError:
        return
    for name in names:
        half_made = name.startswith(_NEW) and _WRITER.fullmatch(name, len(_NEW)) is not None
        if not half_made and not _WRITER.fullmatch(name):
            continue  # not ours
        if os.path.islink(f"{root}/{name}"):
            continue  # not ours, and what lies behind it may be of another store
        try:
            lock = HeldLock.take(f"{root}/{name}/{_LOCK}")
        except FileNotFoundError:
            # Swept before, or removed meanwhile; empty when who removed its last file or its lock died at that.
            remove_empty(f"{root}/{name}")
            continue
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO):
                continue  # not ours: no writer makes these
            raise
        if lock is None:
            continue  # alive, or another collector is at it
        if half_made:
            try:
                _clear(f"{root}/{name}")
                _remove(f"{root}/{name}")
            finally:
                lock.close()
        else:
            yield AbandonedFolder(root, name, lock)
