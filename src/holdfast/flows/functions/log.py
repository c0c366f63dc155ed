"""What a function writes into the log of its instance: lines, not too long, and not without end."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

__all__ = ["Log"]

_LONGEST = 8_000  # characters of a line
_COST = 50  # bytes that a line takes beside its text


class Log:
    """The log of one action."""

    def __init__(self, write: Callable[[str], None], size: int) -> None:
        """``write`` takes a line; ``size`` bytes are taken in all."""
        self._write, self._left = write, size
        self._lock = Lock()
        self._held = b""

    def add(self, text: str) -> None:
        """Lines, of the function or about it. Empty ones are left out."""
        for line in text.splitlines():
            if line.strip():
                self._line(line)

    def _line(self, line: str) -> None:
        shown = line if len(line) <= _LONGEST else line[:_LONGEST] + " …"
        with self._lock:
            if self._left < 0:
                return
            self._left -= len(shown) + _COST
            if self._left < 0:
                shown = "the rest of what the function logs is left out: raise log in [actions]"
            self._write(shown)

    def feed(self, piece: bytes) -> None:
        """Bytes of a stream, which may end within a line."""
        if self._left < 0:
            return
        *lines, self._held = (self._held + piece).split(b"\n")
        if len(self._held) > 4 * _LONGEST:
            lines, self._held = [*lines, self._held], b""
        for line in lines:
            self.add(line.decode(errors="replace"))

    def finish(self) -> None:
        """The stream has ended."""
        self.feed(b"\n")
