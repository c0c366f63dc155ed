"""How much the copies take together, and which of them make room."""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from .pins import Pins

__all__ = ["FILLING", "SEEN", "Copy", "Room", "copies"]

FILLING = "new"
"""Folder of copies that are being fetched."""

SEEN = ".seen"
"""Ending of the file beside a copy; its time is when the copy was last used."""

_NAME = re.compile(r"[0-9]+-[0-9a-f]+-[0-9]{1,18}")
_TOTAL = struct.Struct("<q")
_SLACK = 10  # a tenth of the limit is freed beyond what is needed, so that not every copy looks for room


class Copy(NamedTuple):
    """A copy in the folder, with when it was last used."""

    used: float
    size: int
    name: str
    path: str


def copies(folder: str) -> Iterator[Copy]:
    """All whole copies in a folder. OSError as it comes."""
    for shelf in os.scandir(folder):
        if len(shelf.name) != 2 or not shelf.is_dir(follow_symlinks=False):
            continue
        for entry in os.scandir(shelf.path):
            if entry.name.endswith(SEEN):
                continue
            try:
                size = entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
            used = 0.0
            with suppress(FileNotFoundError):
                used = os.stat(entry.path + SEEN).st_mtime
            yield Copy(used, size, entry.name, entry.path)


class Room:
    """The bytes that all copies in a folder take, counted in a file that processes lock to change it.

    Bytes are counted before they are written, so that what a killed process leaves is counted too much rather than too
    little; each look at the folder itself corrects the count.
    """

    def __init__(self, folder: str, limit: int, pins: Pins) -> None:
        self._folder = folder
        self._limit = limit
        self._pins = pins
        self._path = f"{folder}/total"

    @contextmanager
    def _total(self) -> Iterator[tuple[int, int | None]]:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            data = os.pread(fd, _TOTAL.size, 0)
            yield fd, _TOTAL.unpack(data)[0] if len(data) == _TOTAL.size else None
        finally:
            os.close(fd)

    def take(self, name: str, size: int) -> bool:
        """Count in ``size`` bytes of a copy that is to be fetched, and remove those least recently used where the limit
        asks for it; False when what is mapped leaves no room."""
        with self._total() as (fd, total):
            if total is None or total < 0 or total + size > self._limit:
                total = self._make(name, size)
                if total + size > self._limit:
                    os.pwrite(fd, _TOTAL.pack(total), 0)
                    return False
            os.pwrite(fd, _TOTAL.pack(total + size), 0)
            return True

    def give_back(self, size: int) -> None:
        """Count bytes out that were not written after all, or were removed."""
        with self._total() as (fd, total):
            if total is not None:
                os.pwrite(fd, _TOTAL.pack(total - size), 0)

    def _make(self, name: str, size: int) -> int:
        """Remove copies until ``size`` more bytes fit; gives what the remaining ones take."""
        total = self._filling(name)  # first: what is finished meanwhile is counted twice, and not missed
        found = sorted(copies(self._folder))
        total += sum(copy.size for copy in found)
        if total + size <= self._limit:
            return total
        wanted = max(0, self._limit - self._limit // _SLACK - size)
        for copy in found:
            if total <= wanted:
                break
            if self._pins.remove(copy.name, [copy.path, copy.path + SEEN]):
                total -= copy.size
        return total

    def _filling(self, name: str) -> int:
        """Bytes of all other copies that are being fetched; what killed processes left of such is removed."""
        total = 0
        for entry in os.scandir(f"{self._folder}/{FILLING}"):
            if entry.name == name or not _NAME.fullmatch(entry.name):
                continue
            with suppress(FileNotFoundError):
                fd = os.open(entry.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(entry.path)
                except BlockingIOError:
                    total += int(entry.name.rpartition("-")[2])
                finally:
                    os.close(fd)
        return total
