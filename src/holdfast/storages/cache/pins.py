"""Which copies are mapped by some process: those give no room when they are removed.

Each is a shared lock on one byte of a file, at a place that follows from the copy's name. The system lets go of them
with the process, however it ends, and a thousand of them need one file descriptor.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections import deque
from hashlib import sha256

__all__ = ["Pins"]

_made: dict[tuple[int, int], Pins] = {}
_making = threading.Lock()


class Pins:
    """The pins of this process in one folder: one object for all, as closing any descriptor of the file would drop
    all locks of the process on it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._counts: dict[int, int] = {}
        self._lock = threading.Lock()
        self._released: deque[int] = deque()

    @classmethod
    def of(cls, path: str) -> Pins:
        """The pins in a file, which is made when it is not there. OSError as it comes."""
        with _making:
            try:
                there = os.stat(path)
            except FileNotFoundError:
                there = None
            found = None if there is None else _made.get((there.st_dev, there.st_ino))
            if found is None:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                there = os.fstat(fd)
                found = _made.setdefault((there.st_dev, there.st_ino), cls(fd))
            return found

    @staticmethod
    def _byte(name: str) -> int:
        return int.from_bytes(sha256(name.encode()).digest()[:7], "big")

    def pin(self, name: str) -> int:
        """Keep a copy from being removed for room; waits while it is being removed. Gives what to release."""
        byte = self._byte(name)
        with self._lock:
            count = self._counts.get(byte, 0)
            if not count:
                fcntl.lockf(self._fd, fcntl.LOCK_SH, 1, byte)
            self._counts[byte] = count + 1
        self._drain()
        return byte

    def release(self, byte: int) -> None:
        """Take back one pin. May be called at any moment, by the garbage collector too."""
        self._released.append(byte)
        self._drain()

    def _drain(self) -> None:
        while self._released and self._lock.acquire(blocking=False):  # else whoever holds it does this afterwards
            try:
                while self._released:
                    self._take_back(self._released.popleft())
            finally:
                self._lock.release()

    def _take_back(self, byte: int) -> None:
        count = self._counts.get(byte, 0) - 1
        if count > 0:
            self._counts[byte] = count
        else:
            self._counts.pop(byte, None)
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, byte)

    def remove(self, name: str, paths: list[str]) -> bool:
        """Remove the files of a copy unless somebody has it mapped; gives whether they are gone."""
        byte = self._byte(name)
        with self._lock:
            if byte in self._counts:
                return False  # our own lock would not stop us
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise
                return False
            try:
                for path in paths:
                    try:
                        os.unlink(path)
                    except FileNotFoundError:
                        continue
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, byte)
        self._drain()
        return True

    def _after_fork(self) -> None:
        """In a child: its maps are its own, and the parent's locks are not."""
        self._lock = threading.Lock()
        for byte in self._counts:
            fcntl.lockf(self._fd, fcntl.LOCK_SH, 1, byte)


def _after_fork_in_child() -> None:
    global _making
    _making = threading.Lock()
    for pins in list(_made.values()):
        pins._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
