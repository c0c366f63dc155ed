"""Each writer has a folder of its own, and holds a lock in it as long as it lives."""

from __future__ import annotations

import itertools
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress

from ..base import Abandoned
from .locks import FileLock
from .place import explain
from .room import Room

__all__ = ["AbandonedFolder", "Mark", "abandoned_folders", "remove_empty"]

_WRITER = re.compile(r"[0-9a-f]{16}")
_VALUE = re.compile(r"[0-9]+(-[0-9]+){1,2}")
_BATCH = 1000


class Mark:
    """The folder of one writer, which is one storage object in one process, and the sign that it lives.

    Attributes:
        writer: its name.
        folder: where its values are.
        numbers: the next value's number; safe between threads, each number once.
        lock: open while the writer lives, and never in a forked child.
    """

    __slots__ = ("folder", "lock", "numbers", "writer")

    def __init__(self, room: Room) -> None:
        """Make the folder. OSError as it comes."""
        self.writer = secrets.token_hex(8)
        self.folder = f"{room.folder}/{self.writer}"
        self.numbers = itertools.count()
        with room.count():  # nobody looks for dead writers meanwhile
            os.mkdir(self.folder, 0o700)
            self.lock = FileLock(f"{self.folder}/lock", os.O_RDWR | os.O_CREAT | os.O_EXCL)
            self.lock.exclusive()

    def end(self) -> None:
        """End the writer; a collector looks through the folder, once, if there is anything in it."""
        if self.lock.fd >= 0:
            with suppress(OSError):  # what stays goes with the session
                if os.listdir(self.folder) == ["lock"]:
                    os.unlink(f"{self.folder}/lock")
                    os.rmdir(self.folder)
            self.lock.release()


class AbandonedFolder(Abandoned):
    """A dead writer's folder; its lock is held until :meth:`release` or the object's end."""

    def __init__(self, session: str, folder: str, lock: FileLock) -> None:
        self._prefix = f"{session}/{os.path.basename(folder)}"
        self._folder = folder
        self._lock = lock

    def configs(self) -> Iterator[list[str]]:
        """Its values, in batches of at most 1,000."""
        try:
            with os.scandir(self._folder) as entries:
                names = (entry.name for entry in entries if _VALUE.fullmatch(entry.name))
                while batch := list(itertools.islice(names, _BATCH)):
                    yield [f"{self._prefix}/{name}" for name in batch]
        except FileNotFoundError:
            pass  # the session ended
        except OSError as error:
            raise explain(error, self._folder) from error

    def release(self) -> None:
        """Report this writer no more, and remove its folder when it is empty."""
        if self._lock.fd >= 0:
            with suppress(FileNotFoundError):
                os.unlink(f"{self._folder}/lock")
            remove_empty(self._folder)
            self._lock.release()


def abandoned_folders(session: str, room: Room) -> Iterator[AbandonedFolder]:
    """Take the lock of each dead writer; what it had begun to write is freed. OSError as it comes."""
    try:
        names = [name for name in sorted(os.listdir(room.folder)) if _WRITER.fullmatch(name)]
    except FileNotFoundError:
        return
    for name in names:
        folder = f"{room.folder}/{name}"
        try:
            with room.count():
                lock = FileLock(f"{folder}/lock")
                dead = lock.exclusive()
        except FileNotFoundError:
            remove_empty(folder)  # swept before, or its maker was killed at it
            continue
        if dead:
            room.free_unfinished(folder)
            yield AbandonedFolder(session, folder, lock)


def remove_empty(folder: str) -> None:
    """Remove a folder if it is empty: never one of a writer that lives or was not swept, which has its lock in it."""
    with suppress(OSError):
        os.rmdir(folder)
