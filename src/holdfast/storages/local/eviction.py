"""Which segments make room for others: those that nobody needs, then values that were not used for longest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from .locks import FileLock

__all__ = ["LASTING", "Candidates", "Value", "note", "take", "unfinished", "unused", "was_evicted"]

_WRITER = re.compile(r"[0-9a-f]{16}")
_NEW = "new-"
LASTING = "k"
"""At the end of the name of a value that does not go for others."""

_NOTED = 1 << 20  # bytes of names of values that had to go; there are at most two such files


def take(path: str, target: str, used: int | None = None) -> FileLock | None:
    """Lock a segment that nobody has, and rename it; None when somebody has it, when it is gone, or when it was used
    at another time than ``used``. OSError as it comes."""
    try:
        lock = FileLock(path)
        if lock.exclusive():
            if used is None or os.fstat(lock.fd).st_mtime_ns == used:
                os.rename(path, target)
                return lock
            lock.release()
    except FileNotFoundError:
        pass
    return None


class Value(NamedTuple):
    """A value as it was seen: when it was last used, bytes of its segment, and its path."""

    used: int
    size: int
    path: str


class Candidates:
    """The values of a session in the order in which they were last used. One look serves many calls: those used
    since are passed over, and what was written since is newer than all of them."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._values: list[Value] = []  # the last used first

    def look(self) -> int:
        """See all segments anew, without those of dead writers that were never finished, which are removed; gives the
        bytes of all. To be called under the lock of the total. OSError as it comes."""
        with suppress(FileNotFoundError):
            os.unlink(f"{self._folder}/drop")  # its remover was killed
        sizes: dict[int, int] = {}  # by inode: segments go round meanwhile, and none may be missed
        writers = [path for path in _folders(self._folder) if _WRITER.fullmatch(os.path.basename(path))]
        sizes.update(_unused_sizes(self._folder))
        for writer in writers:
            sizes.update(self._unfinished_sizes(writer))
        values = {inode: value for writer in writers for inode, value in _values(writer)}
        sizes.update((inode, value.size) for inode, value in values.items())
        sizes.update(_unused_sizes(self._folder))
        for writer in writers:
            sizes.update(self._unfinished_sizes(writer))
        self._values = sorted((value for value in values.values() if not value.path.endswith(LASTING)), reverse=True)
        return sum(sizes.values())

    def _unfinished_sizes(self, writer: str) -> Iterator[tuple[int, int]]:
        """By inode; those of dead writers are removed."""
        for path in list(unfinished(writer)):
            lock = take(path, f"{self._folder}/drop")
            if lock is not None:
                os.unlink(f"{self._folder}/drop")
                os.ftruncate(lock.fd, 0)
                lock.release()
                continue
            with suppress(FileNotFoundError):
                found = os.lstat(path)
                yield found.st_ino, found.st_size

    def choose(self, need: int) -> list[Value]:
        """Values that are to make room for ``need`` bytes, those first that were not used for longest, and none that
        somebody reads; empty when those that were seen are not enough. OSError as it comes."""
        chosen, seen, found = [], [], 0
        while self._values and found < need:
            value = self._values.pop()
            try:
                lock = FileLock(value.path)
            except FileNotFoundError:
                continue
            try:
                if os.fstat(lock.fd).st_mtime_ns != value.used:
                    continue
                seen.append(value)
                if lock.exclusive():
                    chosen.append(value)
                    found += value.size
            finally:
                lock.release()
        self._values += reversed(seen)
        return chosen if found >= need else []


def unused(folder: str) -> Iterator[str]:
    """The paths of a session's segments that have no value. OSError as it comes."""
    for kind in ("free", "gone"):
        for sized in _folders(f"{folder}/{kind}"):
            for name in os.listdir(sized):
                yield f"{sized}/{name}"


def unfinished(writer: str) -> Iterator[str]:
    """The paths of what is being written in a writer's folder, or was when that died. OSError as it comes."""
    with suppress(FileNotFoundError):
        for name in os.listdir(writer):
            if name.startswith(_NEW):
                yield f"{writer}/{name}"


def _unused_sizes(folder: str) -> Iterator[tuple[int, int]]:
    for path in unused(folder):
        size, inode = path.split("/")[-2:]
        yield int(inode), int(size)


def _values(writer: str) -> Iterator[tuple[int, Value]]:
    """By inode."""
    with suppress(FileNotFoundError), os.scandir(writer) as entries:
        for entry in entries:
            if "-" in entry.name and not entry.name.startswith(_NEW):
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield found.st_ino, Value(found.st_mtime_ns, found.st_size, entry.path)


def _folders(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def note(folder: str, path: str) -> None:
    """Note that a value had to make room, for who asks for it later. OSError as it comes."""
    noted = f"{folder}/evicted"
    with open(noted, "a", encoding="ascii") as file:
        file.write(_noted(path))
        full = file.tell() > _NOTED
    if full:
        os.replace(noted, f"{noted}-before")


def was_evicted(folder: str, path: str) -> bool:
    """Whether that is noted; False too when it is long ago. OSError as it comes."""
    for name in ("evicted", "evicted-before"):
        with suppress(FileNotFoundError), open(f"{folder}/{name}", encoding="ascii") as file:
            if _noted(path) in file:
                return True
    return False


def _noted(path: str) -> str:
    return f"{os.path.basename(os.path.dirname(path))}/{os.path.basename(path)}\n"
