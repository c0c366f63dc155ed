"""How much of a disk one action may still take."""

from __future__ import annotations

from ..failures import Failure
from .watch import Watch

__all__ = ["Room"]


class Room:
    """Bytes and entries that are left, and whether to go on at all."""

    def __init__(self, code: str, what: str, size: int, entries: int, setting: str, watch: Watch) -> None:
        """When nothing is left, ``what`` is too large and ``setting`` to be raised; ``code`` is that of the failure."""
        self._code, self._what, self._setting, self._watch = code, what, setting, watch
        self._size, self._entries = size, entries
        self._left, self._more = size, entries

    def take(self, size: int) -> None:
        """So many bytes more.

        Raises:
            Failure: those are too many, or the call may not go on.
        """
        self._watch.look()
        self._left -= size
        if self._left < 0:
            raise self._too_much(f"{self._size} bytes", self._setting)

    def enter(self) -> None:
        """One file or directory more.

        Raises:
            Failure: that is one too many, or the call may not go on.
        """
        self._watch.look()
        self._more -= 1
        if self._more < 0:
            raise self._too_much(f"{self._entries} files and directories", "entries")

    def _too_much(self, most: str, setting: str) -> Failure:
        return Failure(self._code, f"{self._what} has more than {most}: raise {setting} in [actions]")
