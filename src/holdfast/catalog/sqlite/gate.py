"""The gate that writers queue at when the database is busy.

SQLite's own busy handler sleeps for longer and longer and is unfair: among eight writers one may wait half a second.
Here a writer that meets another one waits for an exclusive ``flock`` on a file of its own, and whoever has it tries
again every few microseconds. Without contention the gate is not touched, and costs nothing.

Those who come anew and find the database free go first, which is what makes the throughput. Whoever was overtaken for
some milliseconds writes a moment into the gate file until which newcomers have to queue as well. While space is short
that moment is infinitely far: then no put goes the quick way, so that each is asked whether it leaves enough.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from .failures import BUSY

__all__ = ["Crowd", "Gate"]

T = TypeVar("T")

_POLL = 20e-6
_QUEUE_POLL = 0.0005
_PATIENCE = 0.005
_SPELL = 0.002
_SLACK = 1.0
_MOMENT = struct.Struct("d")


class Crowd:
    """The moment (by ``time.time()``) until which newcomers queue, as all processes see it.

    Attributes:
        until: a sequence whose first item is that moment; reading it is all that a put has time for.
        path: the gate file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.until: Sequence[float] = (0.0,)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if os.fstat(file).st_size < _MOMENT.size:
                os.pwrite(file, bytes(_MOMENT.size), 0)
            # Only read through the map: a write into it on a full disk would be a signal, not an error.
            self.until = memoryview(mmap.mmap(file, _MOMENT.size, prot=mmap.PROT_READ)).cast("d")
        except OSError:
            pass  # a full disk, or one without maps: who waits is then as fair as chance makes it
        finally:
            os.close(file)

    @property
    def short(self) -> bool:
        """Whether space is short."""
        return self.until[0] == math.inf

    def set_short(self, short: bool) -> None:
        """Tell all processes that space is short, or no longer is."""
        if short == self.short:
            return
        file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.pwrite(file, _MOMENT.pack(math.inf if short else 0.0), 0)
        except OSError:
            pass  # so short that this has no room: then puts have none either
        finally:
            os.close(file)


class Gate:
    """One connection's way to the gate file; used by one thread, closed by any."""

    __slots__ = ("_closed", "_crowd", "_file", "_lock", "_users", "path")

    def __init__(self, path: str, crowd: Crowd | None = None) -> None:
        self.path = path
        self._crowd = crowd
        self._file: int | None = None
        self._closed = False
        self._lock = threading.RLock()  # held while the file is in use, by a finalizer within too
        self._users = 0

    def crowded(self) -> bool:
        """Whether somebody has waited for so long that nobody should overtake them."""
        if self._crowd is None:
            return False
        left = self._crowd.until[0] - time.time()
        if _SLACK < left < math.inf:  # the clock was set back
            self._queue_until(0.0)
        return 0 < left <= _SLACK

    def attempt(self, work: Callable[[], T], seconds: float) -> T:
        """Call ``work`` until it raises no busy error any more; after ``seconds`` its busy error is the caller's."""
        began = time.monotonic()
        if self.crowded():
            time.sleep(_QUEUE_POLL)  # who leaves and comes back at once would find it open before the others do
        with self._lock:
            self._users += 1
            try:
                self._enter(began, seconds)  # inside: an interrupt may come as soon as it has the lock
                while True:
                    try:
                        return work()
                    except BUSY:
                        if self._waited(began) >= seconds:
                            raise
                    time.sleep(_POLL)
            finally:
                if self._file is not None:
                    fcntl.flock(self._file, fcntl.LOCK_UN)
                self._users -= 1
                if self._closed and not self._users:
                    self.abandon()

    def _enter(self, began: float, seconds: float) -> None:
        """Take the gate; not when the time is up, or the gate closed: then there is a last attempt without it."""
        if self._file is None and not self._closed:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        while self._file is not None and not self._closed:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                # Not a blocking flock: that has no time-out, and its holder may be a stopped process.
                if self._waited(began) >= seconds:
                    break
            time.sleep(_QUEUE_POLL)

    def _waited(self, began: float) -> float:
        """Seconds since ``began``; after some of them, let nobody overtake."""
        waited = time.monotonic() - began
        if waited > _PATIENCE:
            self._queue_until(time.time() + _SPELL)
        return waited

    def _queue_until(self, moment: float) -> None:
        if self._file is not None and self._crowd is not None and not self._crowd.short:
            try:
                os.pwrite(self._file, _MOMENT.pack(moment), 0)
            except OSError:
                pass  # a full disk, as above

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
