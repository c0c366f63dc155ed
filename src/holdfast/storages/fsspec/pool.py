"""File systems of this process, each used by one thread at a time.

Many of fsspec's file systems are one connection, which threads cannot share and which a forked child must not touch.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from .failures import is_broken

__all__ = ["Pool"]

T = TypeVar("T")

_KEPT = 8

_pools: weakref.WeakSet[Pool] = weakref.WeakSet()
_inherited: list[Any] = []


class Pool:
    """Makes file systems when they are needed, and keeps a few.

    Args:
        make: makes one.
        timeout: seconds in which what fails for a broken connection is done again.
    """

    def __init__(self, make: Callable[[], Any], timeout: float) -> None:
        self._make = make
        self._timeout = timeout
        self._idle: list[Any] = []
        _pools.add(self)

    def _take(self) -> tuple[Any, bool]:
        """A file system for the caller alone, and whether it was just made."""
        try:
            return self._idle.pop(), False
        except IndexError:
            return self._make(), True

    def give_back(self, system: Any, pid: int) -> None:
        """Keep a file system that still works, and was taken in the process ``pid``, for the next one."""
        if len(self._idle) < _KEPT and pid == os.getpid():
            self._idle.append(system)

    def new(self, work: Callable[[Any], T]) -> tuple[Any, T]:
        """``work`` with a new file system, which is the caller's until it is given back."""

        def begin() -> tuple[Any, T]:
            system = self._make()
            return system, work(system)

        return self._patiently(begin)

    def _patiently(self, work: Callable[[], T]) -> T:
        """``work``, again and again while no connection holds, with growing pauses. All that is done here is the same
        when it is done twice."""
        deadline, pause = time.monotonic() + self._timeout, 0.1
        while True:
            try:
                return work()
            except Exception as error:
                if not is_broken(error) or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, 5.0)

    def hold(self, work: Callable[[Any], T]) -> tuple[Any, T]:
        """``work`` with a file system, which is the caller's until it is given back; with a new one if that one's
        connection had ended while it lay here. So ``work`` may be done twice."""
        return self._patiently(lambda: self._hold(work))

    def _hold(self, work: Callable[[Any], T]) -> tuple[Any, T]:
        while True:
            pid = os.getpid()
            system, fresh = self._take()
            try:
                return system, work(system)
            except FileNotFoundError:
                self.give_back(system, pid)
                raise
            except Exception as error:
                if fresh or not is_broken(error):
                    raise
                self._idle.clear()  # the others are no younger

    def use(self, work: Callable[[Any], T]) -> T:
        """The same, given back at the end."""
        pid = os.getpid()
        system, result = self.hold(work)
        self.give_back(system, pid)
        return result

    def clear(self) -> None:
        """Let go of all that nobody uses."""
        self._idle.clear()


def _after_fork_in_child() -> None:
    for pool in list(_pools):
        _inherited.extend(pool._idle)  # freeing them could say goodbye on the parent's connections
        pool._idle = []


os.register_at_fork(after_in_child=_after_fork_in_child)
