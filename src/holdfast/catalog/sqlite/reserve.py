"""Room kept for the day when the disk is full: deleting must go on then, and deleting writes a little first."""

from __future__ import annotations

import os

__all__ = ["Reserve"]

SIZE = 4 << 20


class Reserve:
    """A file of :data:`SIZE` bytes beside the database; None as path makes one that does nothing."""

    def __init__(self, path: str | None) -> None:
        self._path = path

    def make(self) -> None:
        """Make the file when it is missing and there is ample space; does nothing otherwise."""
        if self._path is None or os.path.exists(self._path):
            return
        space = os.statvfs(os.path.dirname(self._path))
        if space.f_bavail * space.f_frsize < 4 * SIZE:
            return
        temporary = f"{self._path}.{os.getpid()}"
        try:
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                os.posix_fallocate(file, 0, SIZE)
            finally:
                os.close(file)
            os.rename(temporary, self._path)
        except OSError:
            # No room after all, or no such call on this file system. The store works without.
            try:
                os.unlink(temporary)
            except FileNotFoundError:
                pass

    def release(self) -> bool:
        """Give the space back to the file system; False when it was given already."""
        if self._path is None:
            return False
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            return False
        return True
