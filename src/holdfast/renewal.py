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

    @property
    def fence(self) -> object:
        """Another one each time that it is taken."""

    def renew(self) -> None:
        """Extend it."""


class _Renewer:
    def __init__(self) -> None:
        self._due: list[tuple[float, int, Renewable, object, float]] = []  # each as it was taken, and for how long
        self._order = count()
        # Taken by itself: a condition takes it in Python, where an interrupt may come before its block.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    def add(self, lease: Renewable, fence: object, seconds: float) -> None:
        item = (time.monotonic() + seconds / _SHARE, next(self._order), lease, fence, seconds)
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
                _, _, lease, fence, seconds = heapq.heappop(self._due)
            if _renewed(lease, fence):
                self.add(lease, fence, seconds)
            del lease, fence


def _renewed(lease: Renewable, fence: object) -> bool:
    """Renew a lease, and tell whether to go on with that."""
    try:
        if not lease.held or lease.fence is not fence:
            return False  # it was given back, and maybe taken anew, for which it is renewed by itself
        lease.renew()
    except (LeaseLost, ClosedError):
        return False  # its owner learns of it when it commits
    except HoldfastError as error:
        import logging  # 5 ms that nobody else needs

        logging.getLogger("holdfast").warning("lease %r could not be renewed: %s", lease.name, error)
    return True


_renewer = _Renewer()


def renew_in_time(lease: Renewable, seconds: float) -> None:
    """Renew a lease of so many seconds again and again, for as long as it is held."""
    _renewer.add(lease, lease.fence, seconds)


def _after_fork_in_child() -> None:
    global _renewer
    _renewer = _Renewer()  # the thread stayed with the parent, whose leases these are


os.register_at_fork(after_in_child=_after_fork_in_child)
