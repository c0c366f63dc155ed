"""Locks on files, which the system lets go of with the process, and what a fork does to them.

The lock (``flock``) belongs to the open file, which a forked child shares: it lasts until both have closed it, unless
one unlocks it for both.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["FileLock", "locked"]

# A fork between opening a file and noting it would leave the child with a lock that it does not know of.
_forking = threading.RLock()
_open: weakref.WeakSet[FileLock] = weakref.WeakSet()


class _Mine(threading.local):
    """What this thread has locked by :func:`locked`."""

    def __init__(self) -> None:
        self.paths: set[str] = set()


_mine = _Mine()


class FileLock:
    """An open file that can be locked; closed with the object.

    Attributes:
        fd: -1 once closed.
        shared: whether a forked child keeps it too; else it is closed there, and is the parent's alone.
    """

    __slots__ = ("__weakref__", "fd", "shared")
    _close = staticmethod(os.close)  # when the interpreter ends, the module's own names may be gone before its objects

    def __init__(self, path: str, flags: int = os.O_RDWR, *, shared: bool = False) -> None:
        """Open the file. OSError as it comes."""
        self.fd = -1
        self.shared = shared
        with _forking:
            self.fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
            _open.add(self)

    def exclusive(self, *, wait: bool = False) -> bool:
        """Lock it for this file object alone; False when another has it and ``wait`` is not set."""
        return self._lock(fcntl.LOCK_EX, wait)

    def share(self, *, wait: bool = False) -> bool:
        """Lock it against :meth:`exclusive`; False when another has it exclusively and ``wait`` is not set."""
        return self._lock(fcntl.LOCK_SH, wait)

    def _lock(self, how: int, wait: bool) -> bool:
        try:
            fcntl.flock(self.fd, how if wait else how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_at(self, path: str) -> bool:
        """Whether the path is this very file."""
        try:
            there = os.lstat(path)
        except FileNotFoundError:
            return False
        here = os.fstat(self.fd)
        return (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev)

    def release(self) -> None:
        """Unlock at once, also where a process that is being started still shares the file, and close. Not for what
        a forked child needs as well."""
        if self.fd >= 0:
            fcntl.flock(self.fd, fcntl.LOCK_UN)
            self.close()

    def close(self) -> None:
        """Close; does nothing the second time. The lock lasts while a forked child shares it."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            self._close(fd)

    def __del__(self) -> None:
        self.close()


@contextmanager
def locked(path: str, *, make: bool = False) -> Iterator[FileLock]:
    """The file under an exclusive lock, for which this waits; ``make`` makes it. OSError as it comes, also when this
    thread has it: the garbage collector may come at any time, with an object that is to be ended behind that lock."""
    if path in _mine.paths:
        raise OSError(errno.EDEADLK, os.strerror(errno.EDEADLK), path)
    while True:
        lock = FileLock(path, os.O_RDWR | os.O_CREAT if make else os.O_RDWR)
        try:
            lock.exclusive(wait=True)
            if lock.is_at(path):  # else its last holder removed it meanwhile
                _mine.paths.add(path)
                try:
                    yield lock
                finally:
                    _mine.paths.discard(path)
                return
        finally:
            lock.release()


def _after_fork_in_child() -> None:
    global _forking, _mine
    _mine = _Mine()
    _forking = threading.RLock()
    for lock in list(_open):
        if not lock.shared:
            lock.close()


os.register_at_fork(
    before=lambda: _forking.acquire() and None,
    after_in_parent=lambda: _forking.release(),
    after_in_child=_after_fork_in_child,
)
