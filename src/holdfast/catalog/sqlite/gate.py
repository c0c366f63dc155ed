"""The gate that writers queue at when the database is busy.

SQLite's own busy handler sleeps for longer and longer and is unfair: among eight writers one may wait half a second.
Here a writer that meets another one waits for an exclusive ``flock`` on a file of its own. Whoever has it writes into
that file that the next two milliseconds are its turn, and lets the next one to the head of the queue: during its turn
it alone writes, at the speed of a writer without neighbours, and everybody else sleeps. Without contention the gate is
not touched, and costs nothing. While space is short all moments are nobody's turn: then no put goes the quick way, so
that each is asked whether it leaves enough.
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
_TURN = 0.002
_SLACK = 1.0
_STATE = struct.Struct("dd")


class Crowd:
    """Whose turn it is and until when (by ``time.time()``), as all processes see it.

    Attributes:
        until: a sequence of that moment and the gate whose turn it is; reading it is all that a put has time for.
        path: the gate file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.until: Sequence[float] = (0.0, 0.0)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(file).st_size < _STATE.size:
                os.pwrite(file, bytes(_STATE.size), 0)
            # Only read through the map: a write into it on a full disk would be a signal, not an error.
            self.until = memoryview(mmap.mmap(file, _STATE.size, prot=mmap.PROT_READ)).cast("d")
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
            os.pwrite(file, _STATE.pack(math.inf if short else 0.0, 0.0), 0)
        except OSError:
            pass  # so short that this has no room: then puts have none either
        finally:
            os.close(file)


class Gate:
    """One connection's way to the gate file; used by one thread, closed by any."""

    __slots__ = ("_closed", "_crowd", "_file", "_id", "_lock", "_users", "path")

    def __init__(self, path: str, crowd: Crowd | None = None) -> None:
        self.path = path
        self._crowd = crowd
        self._file: int | None = None
        self._closed = False
        self._id = float(int.from_bytes(os.urandom(6), "big") + 1)
        self._lock = threading.RLock()  # held while the file is in use, by a finalizer within too
        self._users = 0

    def _turn(self) -> tuple[float, bool]:
        """How many seconds the present turn lasts, 0 for none, and whether it is ours."""
        if self._crowd is None:
            return 0.0, False
        left = self._crowd.until[0] - time.time()
        if _SLACK < left < math.inf:  # the clock was set back
            self._write(0.0, 0.0)
        return (left if 0 < left <= _SLACK else 0.0), self._crowd.until[1] == self._id

    def crowded(self) -> bool:
        """Whether it is somebody else's turn."""
        left, ours = self._turn()
        return left > 0 and not ours

    def has_turn(self) -> bool:
        """Whether it is our turn."""
        left, ours = self._turn()
        return left > 0 and ours

    def attempt(self, work: Callable[[], T], seconds: float, haste: Callable[[], bool] = bool) -> T:
        """Call ``work`` until it raises no busy error any more; after ``seconds``, or in ``haste``, its busy error is
        the caller's."""
        end = time.monotonic() + seconds

        def over() -> bool:
            return time.monotonic() >= end or haste()

        while self.has_turn():
            try:
                return work()
            except BUSY:  # somebody is in the middle of a statement that began before
                if haste():
                    raise
            time.sleep(_POLL)
        with self._lock:
            self._users += 1
            try:
                self._enter(over)  # inside: an interrupt may come as soon as it has the lock
                self._take_turn(over)
                while True:
                    try:
                        return work()
                    except BUSY:
                        if over():
                            raise
                    time.sleep(_POLL)
            finally:
                if self._file is not None:
                    fcntl.flock(self._file, fcntl.LOCK_UN)
                self._users -= 1
                if self._closed and not self._users:
                    self.abandon()

    def _enter(self, over: Callable[[], bool]) -> None:
        """Take the gate; not when the time is up, or the gate closed: then there is a last attempt without it."""
        if self._file is None and not self._closed:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while self._file is not None and not self._closed:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                # Not a blocking flock: that has no time-out, and its holder may be a stopped process.
                if over():
                    break
            time.sleep(_QUEUE_POLL)

    def _take_turn(self, over: Callable[[], bool]) -> None:
        """At the head of the queue: wait for the end of the present turn, and begin our own."""
        while not self._closed and not over():
            left, ours = self._turn()
            if ours or left <= 0:
                self._write(time.time() + _TURN, self._id)
                return
            time.sleep(min(left, _QUEUE_POLL))

    def _write(self, until: float, owner: float) -> None:
        if self._file is not None and self._crowd is not None and not self._crowd.short:
            try:
                os.pwrite(self._file, _STATE.pack(until, owner), 0)
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
