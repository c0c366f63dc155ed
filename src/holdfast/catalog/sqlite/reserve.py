"""Room kept for the day when the disk is full: deleting must go on then, and deleting writes a little first.

What it writes goes to the log. A log that was copied into the database begins anew in the room that it has, and then
deleting needs no more: so the room kept has to be enough for the database to grow by what the log holds.
"""

from __future__ import annotations

import os
import threading

import apsw

__all__ = ["Reserve"]

_SMALL = 4 << 20
_LARGE = 20 << 20  # all that a log of opening.CHECKPOINT pages can hold, and some more
_YOUNG = 16 << 20  # a database below this many bytes keeps the small reserve, as it has made no more than that of it
_LEAST = 1 << 20
_MARGIN = 1 << 18


class Reserve:
    """A file beside the database; None as its path makes one that does nothing."""

    def __init__(self, database: str | None) -> None:
        self._database = database
        self._path = None if database is None else database + ".reserve"

    def make(self) -> bool:
        """Make the file, of as much as there is, or enlarge it; whether it is as large as it should be then."""
        if self._database is None or self._path is None:
            return True
        temporary = f"{self._path}.{os.getpid()}.{threading.get_ident()}"
        try:
            size = self._next_size()
            if size:
                file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    os.posix_fallocate(file, 0, size)
                finally:
                    os.close(file)
                os.rename(temporary, self._path)
            return self._size() >= self._wanted()
        except (OSError, AttributeError):
            # No room after all, or no such call on this system. The store works without.
            try:
                os.unlink(temporary)
            except FileNotFoundError:
                pass
            return False

    def _wanted(self) -> int:
        return _SMALL if os.stat(str(self._database)).st_size < _YOUNG else _LARGE

    def _size(self) -> int:
        return _file_size(str(self._path))

    def _next_size(self) -> int:
        """Size of the file to make now, 0 for none: what there is beside the old one."""
        size = min(self._wanted(), self._space() - _LEAST)
        return size if size >= _LEAST and size > self._size() else 0

    def leaves_enough(self, connection: apsw.Connection) -> bool:
        """Whether the database could still grow by all that the log holds, the open transaction included.

        One that need not grow, as it writes in pages that are free, can be copied into at any time: then the log's own
        room will do.
        """
        growth = self._growth(connection)
        room = self._space() + self._size() + (0 if growth else _file_size(f"{self._database}-wal"))
        return growth + _MARGIN <= room

    def release(self) -> bool:
        """Give the space back to the file system; False when there was none to give."""
        if self._path is None:
            return False
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            return False
        return True

    def relieve(self, connection: apsw.Connection, checkpoint: int) -> bool:
        """Let a connection that met a full disk write on: with the reserve, and in the log's own room.

        ``checkpoint`` is the number of pages after which it copies the log. It stops doing that while the database
        cannot grow by what the log holds: a copy that fails would use up the room and free none. True when the log
        begins anew, so that the reserve can be made again of what is left of it.
        """
        if self._database is None:
            return False
        self.release()
        try:
            growth = self._growth(connection)
            fits = not growth or growth + _MARGIN <= self._space()
            connection.wal_autocheckpoint(checkpoint if fits else 0)
            if fits:
                connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_RESTART)
            return fits
        except apsw.Error:
            return False  # it was a remedy; the statement tried again tells what is still wrong

    def _growth(self, connection: apsw.Connection) -> int:
        pages = connection.execute("PRAGMA page_count").get
        return int(pages) * 4096 - os.stat(str(self._database)).st_size

    def _space(self) -> int:
        space = os.statvfs(os.path.dirname(str(self._database)))
        return space.f_bavail * space.f_frsize


def _file_size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
