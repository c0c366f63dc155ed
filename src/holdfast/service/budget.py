"""What requests hold in memory, all of them together."""

from __future__ import annotations

import threading
from typing import Final

from .problems import Refusal

__all__ = ["FREE", "MemoryBudget"]

FREE: Final = 1 << 16
"""Sizes up to this are not counted; the limit on concurrent requests bounds them."""


class MemoryBudget:
    """MemoryBudget for bodies and answers that are in memory as a whole. Thread-safe.

    Args:
        most: bytes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._lock = threading.Lock()

    def take(self, size: int, own: int) -> None:
        """Reserve ``size`` bytes for a request that already holds ``own``. A request that is alone always gets them.

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
