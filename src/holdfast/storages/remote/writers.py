"""Signs of life of writers, and what dead ones left.

There are no locks in a bucket. So each writer (one storage object in one process) keeps an object ``writers/<mark>``
and writes it anew from time to time; its pieces lie under a folder of its own, ``<writer>/``. A writer whose mark has
grown old is dead, and a collector looks through its folder, once. Ages are told by the place's clock where it has
one, so that clocks of machines that differ do no harm.

A mark's name says where its writer runs. On that machine a collector need not wait: it sees whether the process is
there.

A writer that could not renew its mark for long (its machine slept) takes itself for dead before others do, and goes
on as another one.
"""

from __future__ import annotations

import atexit
import itertools
import os
import re
import secrets
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from hashlib import sha256
from typing import NamedTuple

from ...errors import StoreError, ValueLost
from ..base import Abandoned
from ..places import boot_id, machine_id
from .medium import Entry, Medium

__all__ = ["MARKS", "AbandonedWriter", "LiveWriter", "abandoned_writers", "owner_mark"]

MARKS = "writers"
"""Folder of the marks; writers' own names are longer."""

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # sorts as it counts
_MARK = re.compile(
    MARKS + r"/(?P<writer>[0-9a-z]{18})\.(?P<owner>[0-9a-f]{16})\."
    r"(?:(?P<ended>ended)|(?P<patience>[0-9]{1,9})\.(?P<place>[0-9a-f]{16})\.(?P<pid>[0-9]+)\.(?P<start>[0-9]+))"
)
_CLOCK = re.compile(MARKS + r"/clock-[0-9a-z]{18}")
_BEATS = 12  # in the time after which a silent writer is taken for dead
_CLOSING = 5.0  # seconds that a process waits at its end for a mark that is being written


def _new_id() -> str:
    """18 characters: the time in milliseconds, so that names list in the order they were made, then 45 random bits."""
    numbers = (time.time_ns() // 1_000_000, secrets.randbits(45))
    return "".join(_DIGITS[number >> shift & 31] for number in numbers for shift in range(40, -1, -5))


def owner_mark(owner: str) -> str:
    """What marks say of the store that their writers write for."""
    return sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:16]


if hasattr(time, "CLOCK_BOOTTIME"):

    def _clock() -> float:
        """Seconds that go on while the machine sleeps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    _clock = time.time  # macOS: its monotonic clock stands still while the machine sleeps


@cache
def _place() -> str:
    """The processes that this one can see, as 16 hex digits: this start of this machine, and this container."""
    try:
        container = os.readlink("/proc/self/ns/pid")
    except OSError:
        container = ""
    return sha256(f"{machine_id()}\n{boot_id()}\n{container}".encode()).hexdigest()[:16]


def _started(pid: int) -> int | None:
    """When a process of this machine was started, in the system's own units; None if there is none, or it is a zombie,
    0 where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except (FileNotFoundError, ProcessLookupError):
        if os.path.exists("/proc/self/stat"):
            return None
    except (OSError, ValueError, IndexError):
        return 0
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass  # it is another user's
    return 0


class LiveWriter:
    """A writer of this process.

    Attributes:
        writer: its name.
        used: whether it has been given a name for a piece.
    """

    def __init__(self, medium: Medium, owner: str, patience: float) -> None:
        """Make the mark. The thread that renews it ends with this object."""
        self.writer = _new_id()
        self.used = False
        self._medium = medium
        self._numbers = itertools.count()
        self._patience = patience
        self._prefix = f"{MARKS}/{self.writer}.{owner}"
        self._mark = f"{self._prefix}.{round(patience)}.{_place()}.{os.getpid()}.{_started(os.getpid()) or 0}"
        self._seen = 0.0
        self._stop = threading.Event()
        self.beat()
        thread = threading.Thread(
            target=_pulse, args=(weakref.ref(self), self._stop, patience / _BEATS), name="holdfast-pulse", daemon=True
        )
        weakref.finalize(self, self._stop.set).atexit = False
        thread.start()
        _pulses[thread] = self._stop

    def next_name(self) -> str:
        """A name that no piece had before."""
        self.used = True
        return f"{self.writer}/{next(self._numbers)}"

    def beat(self) -> None:
        """Renew the mark; one that is lost stays so, as others may have looked through its folder already."""
        if self._seen and self.lost:
            return
        now, text = _clock(), b"%.3f" % time.time()
        self._medium.put(self._mark, (text,), len(text))
        self._seen = now

    @property
    def lost(self) -> bool:
        """Whether others may soon take this writer for dead: nothing may be given out in its name any more."""
        return _clock() - self._seen > self._patience / 2

    def end(self) -> None:
        """Say that this writer writes no more; if the place cannot be reached, its silence will say so."""
        self._stop.set()
        with suppress(StoreError):
            hasty = self._medium.hasty()
            if self.used:
                hasty.put(f"{self._prefix}.ended", (b"ended",), 5)
            hasty.delete(self._mark)


_pulses: weakref.WeakKeyDictionary[threading.Thread, threading.Event] = weakref.WeakKeyDictionary()


def _pulse(which: weakref.ref[LiveWriter], stop: threading.Event, seconds: float) -> None:
    while not stop.wait(seconds):
        writer = which()
        if writer is None:
            return
        with suppress(StoreError):  # the next one may succeed; if none does, the writer sees that it is lost
            writer.beat()
        del writer


def _quieten() -> None:
    """At the end of the process: a thread must not be inside a client library when the interpreter is taken down."""
    for stop in list(_pulses.values()):
        stop.set()
    for thread in list(_pulses):
        thread.join(_CLOSING)


atexit.register(_quieten)
os.register_at_fork(after_in_child=_pulses.clear)


class _Mark(NamedTuple):
    """One mark in a listing, and for how many seconds it has not been renewed."""

    name: str
    writer: str
    ended: bool
    patience: float
    place: str
    pid: int
    start: int
    age: float

    @property
    def dead(self) -> bool:
        if self.ended or self.age > self.patience:
            return True
        if self.place != _place():
            return False
        started = _started(self.pid)
        return started is None or bool(started and self.start and started != self.start)


class AbandonedWriter(Abandoned):
    """A dead writer's pieces."""

    def __init__(self, medium: Medium, writer: str, marks: list[str]) -> None:
        self.writer = writer
        self._medium = medium
        self._marks = marks

    def configs(self) -> Iterator[list[str]]:
        """Its pieces, in batches of at most 1,000."""
        for batch in self._medium.list(self.writer):
            if batch:
                yield [entry.name for entry in batch]

    def release(self) -> None:
        """Report this writer no more."""
        for mark in self._marks:
            self._medium.delete(mark)


def abandoned_writers(medium: Medium, owner: str) -> Iterator[AbandonedWriter]:
    """The writers of an owner that have ended or died."""
    marks: dict[str, list[_Mark]] = {}
    for mark in _read_marks(medium, owner):
        marks.setdefault(mark.writer, []).append(mark)
    for writer, found in sorted(marks.items()):
        if any(mark.ended for mark in found) or all(mark.dead for mark in found):
            yield AbandonedWriter(medium, writer, [mark.name for mark in found])


def _read_marks(medium: Medium, owner: str) -> Iterator[_Mark]:
    clock = f"{MARKS}/clock-{_new_id()}"
    text = b"%.3f" % time.time()
    medium.put(clock, (text,), len(text))
    try:
        entries = [entry for batch in medium.list(MARKS) for entry in batch]
    finally:
        with suppress(StoreError):  # another error is on its way, or the next collector removes it
            medium.delete(clock)
    now = next((entry.written for entry in entries if entry.name == clock), None)
    for entry in entries:
        found = _MARK.fullmatch(entry.name)
        if found is not None and found["owner"] == owner:
            if found["ended"]:
                yield _Mark(entry.name, found["writer"], True, 0, "", 0, 0, 0)
            else:
                age = _age(medium, entry, now)
                numbers = int(found["pid"]), int(found["start"]), age
                yield _Mark(entry.name, found["writer"], False, int(found["patience"]), found["place"], *numbers)
        elif _CLOCK.fullmatch(entry.name) and entry.name != clock and _age(medium, entry, now) > 3600:
            medium.delete(entry.name)  # of a collector that was killed


def _age(medium: Medium, entry: Entry, now: float | None) -> float:
    """Seconds since a mark was written, by the place's clock, else by those of the two machines."""
    if entry.written is not None and now is not None:
        return now - entry.written
    try:
        return time.time() - float(bytes(medium.get(entry.name)))
    except (ValueError, ValueLost):  # half written, or removed meanwhile: one that is renewed
        return 0.0
