"""Whether a thread may wait: calls of a catalog by who may be told to give up."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["ASK", "Patience"]

ASK = 0.05
"""Seconds between two questions. What takes no longer is not given up, so that a call in haste from the start can be
done."""


class Patience(threading.local):
    """What this thread's calls of one catalog ask where they wait.

    Attributes:
        haste: tells whether to give up; None: wait as ever.
    """

    haste: Callable[[], bool] | None = None

    def is_over(self) -> bool:
        """Whether this thread is to wait no longer."""
        return self.haste is not None and self.haste()
