"""What requests hold in memory, all of them together."""

from __future__ import annotations

import threading
from typing import Final

from .problems import Refusal

__all__ = ["FREE", "Room"]

FREE: Final = 1 << 16
"""Bytes of a body or an answer that are not counted: there are only so many requests."""


class Room:
    """Room for bodies and answers that are in memory as a whole. Thread-safe.

    Args:
        most: bytes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._lock = threading.Lock()

    def take(self, size: int, own: int) -> None:
        """Take room for so many bytes more, for a request that has ``own``; the only one is given what it asks for.

        Raises:
            Refusal: 503, there is too little left.
        """
        with self._lock:
            if self._held + size > self._most and self._held > own:
                told = "the requests of this moment hold more in memory than this service gives them: try again"
                raise Refusal(503, "busy", told, [(b"retry-after", b"1")])
            self._held += size

    def give(self, size: int) -> None:
        """Give it back."""
        with self._lock:
            self._held -= size
