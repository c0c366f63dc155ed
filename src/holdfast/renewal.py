"""Leases that are renewed while their owner works: one thread a process, asleep until the next one is due."""

from __future__ import annotations

import heapq
import os
import threading
import time
from itertools import count
from typing import Protocol

from .errors import ClosedError, HoldfastError, LeaseLost

__all__ = ["Renewable", "renew_in_time"]

_SHARE = 3  # a lease is renewed after a third of its time, so that two failures in a row lose nothing


class Renewable(Protocol):
    """What is renewed: a lease."""

    name: str

    @property
    def held(self) -> bool:
        """Whether it is held, and so still to be renewed."""

    def renew(self) -> None:
        """Extend it."""


class _Renewer:
    def __init__(self) -> None:
        self._due: list[tuple[float, int, Renewable, float]] = []
        self._order = count()
        # Taken by itself: a condition takes it in Python, where an interrupt may come before its block.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    def add(self, lease: Renewable, seconds: float) -> None:
        item = (time.monotonic() + seconds / _SHARE, next(self._order), lease, seconds)
        with self._lock:
            heapq.heappush(self._due, item)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="holdfast-leases", daemon=True)
                self._thread.start()
            elif self._due[0] is item:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._due or self._due[0][0] > time.monotonic():
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                _, _, lease, seconds = heapq.heappop(self._due)
            if lease.held:
                try:
                    lease.renew()
                except (LeaseLost, ClosedError):
                    continue  # its owner learns of it when it commits
                except HoldfastError as error:
                    import logging  # 5 ms that nobody else needs

                    logging.getLogger("holdfast").warning("lease %r could not be renewed: %s", lease.name, error)
                self.add(lease, seconds)
            del lease


_renewer = _Renewer()


def renew_in_time(lease: Renewable, seconds: float) -> None:
    """Renew a lease of so many seconds again and again, for as long as it is held."""
    _renewer.add(lease, seconds)


def _after_fork_in_child() -> None:
    global _renewer
    _renewer = _Renewer()  # the thread stayed with the parent, whose leases these are


os.register_at_fork(after_in_child=_after_fork_in_child)
