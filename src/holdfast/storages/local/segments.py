"""A piece of memory that is being written: a file under its exclusive lock, new or used before.

Pages of a new file cost several times what a copy into pages that are there and mapped does. So a segment that nobody
needs is kept to be written again, and who writes keeps the maps of those that it wrote.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
from collections.abc import Sequence

from ...payload import Buffer
from ...stopping import go_on
from .copying import copy
from .locks import FileLock

__all__ = ["Maps", "Segment", "capacities"]

_WRITTEN = 4 << 20  # bytes written at once; between two, the writer may be told to stop
_MAPPED = 1 << 20  # from so many bytes on, a map pays
_MAPS = 64
_POPULATE = getattr(mmap, "MAP_POPULATE", 0)


def capacities(size: int) -> list[int]:
    """Bytes of the segments that may hold ``size`` bytes, the best first: eight sizes between a power of two and the
    next, so that a new one has at most an eighth too many, and a used one a quarter."""
    found = [_capacity(size)]
    while (larger := _capacity(found[-1] + 1)) * 4 <= size * 5:
        found.append(larger)
    return found


def _capacity(size: int) -> int:
    step = max(mmap.PAGESIZE, 1 << max(0, (size - 1).bit_length() - 4))
    return max(1, -(-size // step)) * step


class Maps:
    """The segments that this process has mapped for writing, by inode; the last recently used ones.

    A map keeps its file's inode, so that no other file has that number; what is removed is truncated first, so that a
    map of it takes no memory.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._maps: dict[int, mmap.mmap] = {}
        self._lock = threading.Lock()

    def __contains__(self, inode: int) -> bool:
        return inode in self._maps

    def of(self, inode: int, path: str, size: int) -> mmap.mmap:
        """The first ``size`` bytes of a file whose blocks are all there. OSError as it comes."""
        with self._lock:
            found = self._maps.pop(inode, None)
        if found is None or len(found) != size:
            # Opened anew: the map keeps a copy of the descriptor, which must not be the one that is locked.
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                found = mmap.mmap(fd, size, flags=mmap.MAP_SHARED | _POPULATE)
            finally:
                os.close(fd)
        return found

    def keep(self, inode: int, found: mmap.mmap) -> None:
        """Have it ready for the next write."""
        with self._lock:
            self._maps[inode] = found
            total = sum(map(len, self._maps.values()))
            while len(self._maps) > _MAPS or total > self._most:
                total -= len(self._maps.pop(next(iter(self._maps))))

    def clear(self) -> None:
        """Unmap all."""
        with self._lock:
            self._maps.clear()

    def after_fork(self) -> None:
        """In a child: another thread may have held the lock."""
        self._lock = threading.Lock()
        self._maps = {}


class Segment:
    """A file of which this object has the exclusive lock, under a name that no reader knows.

    Attributes:
        lock: the file; closed in a forked child, which must leave it alone.
        path: its name now.
        capacity: its bytes.
        used: how many are written, or left out at its beginning.
        fresh: its blocks are not there before they are written.
    """

    __slots__ = ("capacity", "fresh", "lock", "path", "used")

    def __init__(self, lock: FileLock, path: str, *, fresh: bool) -> None:
        self.lock = lock
        self.path = path
        self.capacity = os.fstat(lock.fd).st_size
        self.used = 0
        self.fresh = fresh

    @property
    def inode(self) -> int:
        """The number of the file, whatever its name is."""
        return os.fstat(self.lock.fd).st_ino

    def fill(self, buffers: Sequence[Buffer], maps: Maps) -> None:
        """Write buffers, for which there is room, one after the other. OSError as it comes."""
        if self.fresh or self.capacity < _MAPPED or sys.platform == "darwin":
            for buffer in buffers:
                self.append(buffer)
            return
        inode = self.inode
        target = maps.of(inode, self.path, self.capacity)
        with memoryview(target) as view:
            for buffer in buffers:
                go_on()
                with memoryview(buffer) as source:
                    copy(view, self.used, source)
                self.used += len(buffer)
        maps.keep(inode, target)

    def append(self, data: Buffer) -> None:
        """Write bytes, for which there is room, after the last. OSError as it comes."""
        with memoryview(data) as source:
            done = 0
            while done < len(source):
                go_on()
                count = os.pwrite(self.lock.fd, source[done : done + _WRITTEN], self.used)
                self.used += count
                done += count

    def complete(self) -> None:
        """Have the blocks of all its bytes, so that whoever writes to it again by a map finds them. OSError as it
        comes: a map of blocks that are not there would kill the process when the disk is full."""
        if self.fresh and self.used < self.capacity:
            if sys.platform == "darwin":
                os.pwrite(self.lock.fd, bytes(self.capacity - self.used), self.used)
            else:
                os.posix_fallocate(self.lock.fd, self.used, self.capacity - self.used)
        self.fresh = False

    def publish(self, path: str, now: int) -> None:
        """Give it the name by which readers know it. OSError as it comes."""
        os.utime(self.lock.fd, ns=(now, now))
        os.rename(self.path, path)
        self.lock.release()
