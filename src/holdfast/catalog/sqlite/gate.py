"""The gate that writers queue at when the database is busy.

SQLite's own busy handler sleeps for longer and longer and is unfair: among eight writers one may wait half a second.
Here a writer that meets another one waits for an exclusive ``flock`` on a file of its own, and whoever has it tries
again every few microseconds. Without contention the gate is not touched, and costs nothing.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from .failures import BUSY

__all__ = ["Gate"]

T = TypeVar("T")

_POLL = 20e-6
_QUEUE_POLL = 0.0005


class Gate:
    """One connection's way to the gate file; used by one thread, closed by any."""

    __slots__ = ("_closed", "_file", "_lock", "_users", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: int | None = None
        self._closed = False
        self._lock = threading.RLock()  # held while the file is in use, by a finalizer within too
        self._users = 0

    def attempt(self, work: Callable[[], T], seconds: float) -> T:
        """Call ``work`` until it raises no busy error any more; after ``seconds`` its busy error is the caller's."""
        deadline = time.monotonic() + seconds
        with self._lock:
            self._users += 1
            entered = self._enter(deadline)
            try:
                while True:
                    try:
                        return work()
                    except BUSY:
                        if time.monotonic() >= deadline:
                            raise
                    time.sleep(_POLL)
            finally:
                if entered is not None:
                    fcntl.flock(entered, fcntl.LOCK_UN)
                self._users -= 1
                if self._closed and not self._users:
                    self.abandon()

    def _enter(self, deadline: float) -> int | None:
        """Take the gate; None when the time is up, or the gate closed, for a last attempt without it."""
        if self._file is None and not self._closed:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        while self._file is not None and not self._closed:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return self._file
            except BlockingIOError:
                # Not a blocking flock: that has no time-out, and its holder may be a stopped process.
                if time.monotonic() >= deadline:
                    break
            time.sleep(_QUEUE_POLL)
        return None

    def close(self) -> None:
        """Close the gate file, or let the thread that is using it do so when it leaves."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                if not self._users:
                    self.abandon()
            finally:
                self._lock.release()

    def abandon(self) -> None:
        """Close this process' descriptor at once: in a forked child, whose parent keeps its lock through its own."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
