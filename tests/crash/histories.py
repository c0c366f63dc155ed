"""What many processes did to the same keys, and whether it can have happened one after the other.

Every write has its version, so the order is known, and the check is a look at times: what had ended before something
else began was before it.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .deeds import Meant, same


class Impossible(AssertionError):
    """No order of the events explains what was seen."""


class Event(NamedTuple):
    """One call that was answered.

    Attributes:
        begin, end: nanoseconds on the machine's own clock.
        kind: ``write``, ``read``, ``delete``, or ``remove`` (a scope was dropped or renamed).
        where: scope and key; of a removed scope the key is empty.
        version: written, read or deleted; None when there was none.
        meant: the value.
    """

    begin: int
    end: int
    kind: str
    where: tuple[str, str]
    version: int | None = None
    meant: Meant | None = None


class Notes:
    """The events of one process.

    Attributes:
        events: those that were answered.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []

    def note(self, kind: str, where: tuple[str, str], work: Callable[[], tuple[int | None, Meant | None]]) -> None:
        """Call ``work``, which gives version and value, and note it unless it raises."""
        begin = time.monotonic_ns()
        version, meant = work()
        self.events.append(Event(begin, time.monotonic_ns(), kind, where, version, meant))


def from_json(events: Iterable[Any]) -> list[Event]:
    """Events that came through a pipe."""
    return [
        Event(begin, end, kind, tuple(where), version, None if meant is None else tuple(meant))
        for begin, end, kind, where, version, meant in events
    ]


def check(events: Iterable[Event]) -> int:
    """Raise :class:`Impossible` when no order of the events explains them; gives their number."""
    by_slot: dict[tuple[str, str], list[Event]] = defaultdict(list)
    removed: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        (removed[event.where[0]] if event.kind == "remove" else by_slot[event.where]).append(event)
    for slot, of_slot in by_slot.items():
        _check_slot(slot, of_slot, removed[slot[0]])
    return sum(map(len, by_slot.values()))


def _check_slot(slot: tuple[str, str], events: list[Event], removed: list[Event]) -> None:
    writes: dict[int, Event] = {}
    deletes: dict[int, Event] = {}
    for event in events:
        if event.version is None:
            continue
        known = writes if event.kind == "write" else deletes if event.kind == "delete" else None
        if known is not None:
            if event.version in known:
                raise Impossible(f"{slot}: version {event.version} came twice: {known[event.version]}, {event}")
            known[event.version] = event
    for event in events:
        if event.kind == "read" and event.version is not None:
            _check_value(slot, event, writes, deletes)
    _check_order(slot, [event for event in events if event.version is not None])
    endings = [*deletes.values(), *removed]
    for event in events:
        if event.kind != "write" and event.version is None:
            _check_missing(slot, event, writes, endings)


def _check_value(slot: tuple[str, str], read: Event, writes: dict[int, Event], deletes: dict[int, Event]) -> None:
    assert read.version is not None
    write = writes.get(read.version)
    if write is None:
        raise Impossible(f"{slot}: nobody wrote version {read.version}, and it was read")
    if not same(write.meant, read.meant):
        raise Impossible(f"{slot}: version {read.version} is {write.meant}, and {read.meant} was read")
    if write.begin > read.end:
        raise Impossible(f"{slot}: version {read.version} was read before it was written")
    if read.version in deletes and deletes[read.version].end < read.begin:
        raise Impossible(f"{slot}: version {read.version} was read after it was deleted")


def _check_order(slot: tuple[str, str], events: list[Event]) -> None:
    """What began after another event had ended does not have a lower version, nor, a write, the same."""
    ended: list[tuple[int, int]] = []
    highest = 0
    for event in sorted(events):
        assert event.version is not None
        while ended and ended[0][0] < event.begin:
            highest = max(highest, heapq.heappop(ended)[1])
        if event.version < highest or (event.kind == "write" and event.version == highest):
            raise Impossible(f"{slot}: version {event.version} came after version {highest}: {event}")
        heapq.heappush(ended, (event.end, event.version))


def _check_missing(slot: tuple[str, str], event: Event, writes: dict[int, Event], endings: list[Event]) -> None:
    """A key that was not there had not been written yet, or something ended what had been."""
    before = [write for write in writes.values() if write.end < event.begin]
    if not before:
        return
    newest = max(before, key=lambda write: write.version or 0)
    if not any(
        ending.begin < event.end
        and ending.end > newest.begin
        and (ending.version is None or ending.version >= (newest.version or 0))
        for ending in endings
    ):
        raise Impossible(f"{slot}: {newest} was written, nobody deleted it, and it was missing: {event}")
