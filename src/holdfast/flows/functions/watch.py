"""How long a call may go on."""

from __future__ import annotations

import math
import time
from threading import Event

from ..failures import Failure
from .codes import CANCELLED, TIMEOUT

__all__ = ["Watch"]

_LOOK = 0.05  # seconds between two looks at whether somebody wants it to end


class Watch:
    """Whether a call may go on: until one of the events is set, or its time is over."""

    def __init__(self, *ends: Event) -> None:
        self._ends = ends
        self._seconds = 0.0
        self._deadline: float | None = None

    def begin(self, seconds: float) -> None:
        """Its time begins now."""
        self._seconds, self._deadline = seconds, time.monotonic() + seconds

    def until(self, end: Event) -> None:
        """It may go on until this is set, too; and has no time of its own any more."""
        self._ends += (end,)
        self.rest()

    def rest(self) -> None:
        """What is done from here on takes no time of the call."""
        self._deadline = None

    def look(self) -> None:
        """Asked now and then by all that may take long.

        Raises:
            Failure: it may not go on.
        """
        if any(end.is_set() for end in self._ends):
            raise Failure(CANCELLED, "the call of the function was cancelled")
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise Failure(TIMEOUT, f"the function took more than its {self._seconds:g} seconds: raise its timeout")

    def left(self) -> float:
        """Seconds until its time is over."""
        return math.inf if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def pause(self) -> float:
        """Seconds to wait for something before the next look."""
        return min(_LOOK, self.left())
