"""What all segments of a session take together: given out, taken back, and counted.

A segment is counted before it is made, and until it is removed. What a killed process leaves may be counted too much,
never too little; each look at the folders corrects that. A write that takes a free segment need not count.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from ...errors import StorageFullError
from .eviction import Candidates, note, take, unfinished, unused
from .locks import FileLock, locked
from .segments import Maps, Segment, capacities

__all__ = ["Room", "Total"]

_TOTAL = struct.Struct("<q")
_GONE_AT_ONCE = 8  # of those deleted while they were read, looked at by one write


class Total:
    """The bytes of all segments, while the lock on it is held."""

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock
        data = os.pread(lock.fd, _TOTAL.size, 0)
        self.bytes: int = _TOTAL.unpack(data)[0] if len(data) == _TOTAL.size else 0

    def set(self, value: int) -> None:
        """Note another total. OSError as it comes."""
        if value != self.bytes:
            os.pwrite(self._lock.fd, _TOTAL.pack(value), 0)
            self.bytes = value


class Room:
    """The segments of one session.

    Attributes:
        folder: where they are.
        limit: bytes that they may take together.
        maps: those that this process has ready to be written again.
    """

    def __init__(self, folder: str, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self.maps = Maps(limit)
        self._free: dict[int, list[str]] = {}  # names seen, which others may have taken meanwhile
        self._candidates = Candidates(folder)

    @contextmanager
    def count(self) -> Iterator[Total]:
        """The total, for this process and thread alone. OSError as it comes."""
        with locked(f"{self.folder}/room", make=True) as lock:
            yield Total(lock)

    # --- giving ------------------------------------------------------------------------------------------------------

    def segment(self, size: int, path: str, lasting: bool = False) -> Segment:
        """A segment for ``size`` bytes under the name ``path``: used before, if there is one. For what is ``lasting``
        no value has to go. OSError as it comes.

        Raises:
            StorageFullError: there is no room, and what could make some is mapped by readers.
        """
        fitting = capacities(size)
        lock = self._take_unused(fitting, path)
        if lock is not None:
            return Segment(lock, path, fresh=False)
        capacity = self._within_limit(size)
        with self.count() as total:
            if total.bytes + capacity > self.limit:
                lock = self._make_room(total, self.limit - capacity, fitting, path, lasting)
                if lock is not None:
                    return Segment(lock, path, fresh=False)
            total.set(total.bytes + capacity)
            lock = FileLock(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            lock.exclusive()
            os.ftruncate(lock.fd, capacity)
        return Segment(lock, path, fresh=True)

    def _within_limit(self, size: int) -> int:
        capacity = capacities(size)[0]
        if size > self.limit:
            raise StorageFullError(
                f"{size:,} bytes are more than the memory of this store may keep, {self.limit:,}: set memory_size= "
                "higher, with memory_folder= where more space is"
            )
        return min(capacity, self.limit)

    def _take_unused(self, fitting: Sequence[int], path: str) -> FileLock | None:
        for capacity in fitting:
            for kind, look in (("free", self._seen_free), ("free", self._look_for_free), ("gone", self._look_for_gone)):
                names = look(capacity)
                while names:
                    with suppress(IndexError):  # another thread took the last
                        lock = take(f"{self.folder}/{kind}/{capacity}/{names.pop()}", path)
                        if lock is not None:
                            return lock
        return None

    def _seen_free(self, capacity: int) -> list[str]:
        return self._free.setdefault(capacity, [])

    def _look_for_gone(self, capacity: int) -> list[str]:
        return _names(f"{self.folder}/gone/{capacity}")[:_GONE_AT_ONCE]

    def _look_for_free(self, capacity: int) -> list[str]:
        """The names of free segments, those last that this process has mapped."""
        names = _names(f"{self.folder}/free/{capacity}")
        names.sort(key=lambda name: int(name) in self.maps)
        self._free[capacity] = names
        return names

    def grow(self, segment: Segment, size: int) -> None:
        """Have a segment that is being written hold ``size`` bytes. OSError as it comes.

        Raises:
            StorageFullError: as for :meth:`segment`.
        """
        capacity = self._within_limit(size)
        more = capacity - segment.capacity
        with self.count() as total:
            if total.bytes + more > self.limit:
                self._make_room(total, self.limit - more)
            total.set(total.bytes + more)
            os.ftruncate(segment.lock.fd, capacity)
        segment.capacity, segment.fresh = capacity, True

    def trim(self, segment: Segment) -> None:
        """Give back what a segment has beyond what was written. OSError as it comes."""
        fitting = capacities(segment.used)
        if segment.capacity > fitting[-1]:
            with self.count() as total:
                os.ftruncate(segment.lock.fd, fitting[0])
                total.set(total.bytes + fitting[0] - segment.capacity)
            segment.capacity = fitting[0]

    # --- taking back -------------------------------------------------------------------------------------------------

    def free(self, path: str) -> None:
        """Take a value's name away, and keep its segment to be written again, once its last reader let go. OSError as
        it comes: FileNotFoundError when it is gone."""
        lock = FileLock(path)
        found = os.fstat(lock.fd)
        if lock.exclusive():
            self._move(path, "free", found)
            lock.release()
            self._free.setdefault(found.st_size, []).append(str(found.st_ino))
        else:
            self._move(path, "gone", found)
            lock.close()

    def _move(self, path: str, kind: str, found: os.stat_result) -> None:
        folder = f"{self.folder}/{kind}/{found.st_size}"
        try:
            os.rename(path, f"{folder}/{found.st_ino}")
        except FileNotFoundError:
            with suppress(FileExistsError):
                os.mkdir(folder, 0o700)
            os.rename(path, f"{folder}/{found.st_ino}")

    def discard(self, segment: Segment) -> None:
        """Take back a segment of which nothing is to be kept. OSError as it comes."""
        if segment.lock.fd < 0:
            return
        if segment.fresh:
            with self.count() as total:
                os.unlink(segment.path)
                os.ftruncate(segment.lock.fd, 0)
                total.set(total.bytes - segment.capacity)
        else:
            self._move(segment.path, "free", os.fstat(segment.lock.fd))
        segment.lock.release()

    def free_unfinished(self, writer: str) -> None:
        """Take back what a dead writer had begun. OSError as it comes."""
        with self.count() as total:
            for path in unfinished(writer):
                lock = take(path, f"{self.folder}/drop")
                if lock is None:
                    continue
                found = os.fstat(lock.fd)
                if found.st_blocks * 512 < found.st_size:  # to write what it lacks by a map could kill a process
                    self._drop(total, lock)
                else:
                    self._move(f"{self.folder}/drop", "free", found)
                    lock.release()

    # --- making room -------------------------------------------------------------------------------------------------

    def make_way(self, size: int, lasting: bool = False) -> None:
        """Give back ``size`` bytes to the file system, which has no more. OSError as it comes.

        Raises:
            StorageFullError: as for :meth:`segment`.
        """
        with self.count() as total:
            total.set(self._candidates.look())
            if total.bytes < size:
                raise StorageFullError(
                    f"the file system of {self.folder} has no {size:,} bytes left, of which this memory has "
                    f"{total.bytes:,}: free some, or set memory_folder= to a place that has more"
                )
            self._make_room(total, total.bytes - size, lasting=lasting)

    def _make_room(
        self, total: Total, target: int, fitting: Sequence[int] = (), path: str = "", lasting: bool = False
    ) -> FileLock | None:
        """Remove what nobody needs, then, but for what is ``lasting``, the values that were not used for longest and
        that no reader has, until all take at most ``target``. Gives one that fits, if such is the next, renamed to
        ``path``."""
        for look in (False, True):
            if look:
                total.set(self._candidates.look())
            self._drop_each(total, unused(self.folder), target)
            while total.bytes > target and not lasting:
                chosen = self._candidates.choose(total.bytes - target)
                if not chosen:
                    break
                for value in chosen:
                    fits = value.size in fitting
                    lock = take(value.path, path if fits else f"{self.folder}/drop", value.used)
                    if lock is None:
                        continue  # somebody reads it now
                    note(self.folder, value.path)
                    if fits:
                        return lock
                    self._drop(total, lock)
            if total.bytes <= target:
                return None
        raise StorageFullError(
            f"the memory of this store may keep {self.limit:,} bytes, and {total.bytes:,} are in use, too many of them "
            "mapped by readers, or to stay: let go of some values, or set memory_size= higher, with memory_folder= "
            "where more space is"
        )

    def _drop_each(self, total: Total, paths: Iterator[str], target: int) -> None:
        for path in paths:
            if total.bytes <= target:
                return
            lock = take(path, f"{self.folder}/drop")
            if lock is not None:
                self._drop(total, lock)

    def _drop(self, total: Total, lock: FileLock) -> None:
        """Remove what was renamed to be removed."""
        size = os.fstat(lock.fd).st_size
        os.unlink(f"{self.folder}/drop")
        os.ftruncate(lock.fd, 0)  # a map that some process keeps of it, to write again, takes no memory then
        lock.release()
        total.set(total.bytes - size)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
