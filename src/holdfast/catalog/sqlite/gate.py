"""The gate that writers queue at when the database is busy.

SQLite's own busy handler sleeps for longer and longer and is unfair: among eight writers one may wait half a second.
Here a writer that meets another one waits for an exclusive ``flock`` on a file of its own, and whoever has it tries
again every few microseconds. Without contention the gate is not touched, and costs nothing.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from typing import TypeVar

from .failures import BUSY

__all__ = ["Gate"]

T = TypeVar("T")

_POLL = 20e-6
_QUEUE_POLL = 0.0005


class Gate:
    """One connection's way to the gate file; used by one thread at a time."""

    __slots__ = ("_file", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: int | None = None

    def attempt(self, work: Callable[[], T], seconds: float) -> T:
        """Call ``work`` until it raises no busy error any more; after ``seconds`` its busy error is the caller's."""
        deadline = time.monotonic() + seconds
        file = self._enter(deadline)
        try:
            while True:
                try:
                    return work()
                except BUSY:
                    if time.monotonic() >= deadline:
                        raise
                time.sleep(_POLL)
        finally:
            if file is not None:
                fcntl.flock(file, fcntl.LOCK_UN)

    def _enter(self, deadline: float) -> int | None:
        """Take the gate; None when the time is up, for a last attempt without it."""
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return self._file
            except BlockingIOError:
                # Not a blocking flock: that has no time-out, and its holder may be a stopped process.
                if time.monotonic() >= deadline:
                    return None
            time.sleep(_QUEUE_POLL)

    def close(self) -> None:
        """Close the gate file; after a fork too, since a lock of the parent stays with the parent's descriptor."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
