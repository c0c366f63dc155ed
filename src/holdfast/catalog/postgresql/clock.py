"""The server's clock, read here without asking for it each time."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Clock"]

_GOOD = 5.0  # seconds for which the distance to the server's clock is taken to stay the same
_STEP = 0.001  # seconds; a clock of this machine that moved by more against the other was set


class Clock:
    """Never ahead of the server's clock, and behind it by less than a round trip.

    Attributes:
        latest: a time that the server has said: it is at least that late.
    """

    def __init__(self, ask: Callable[[], float]) -> None:
        self._ask = ask
        self._state = (0.0, 0.0, 0.0)  # distance to the server, this machine's two clocks apart, good until
        self.latest = 0.0

    def now(self) -> float:
        """The time; every few seconds the server is asked."""
        distance, apart, until = self._state
        here, steady = time.time(), time.monotonic()
        if steady < until and abs(here - steady - apart) < _STEP:
            return max(here + distance, self.latest)
        told = self._ask()
        here, steady = time.time(), time.monotonic()  # later than the server's answer: so we are not ahead of it
        self._state = (told - here, here - steady, steady + _GOOD)
        self.latest = told
        return told
