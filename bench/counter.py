"""One counter, eight processes, against ``diskcache.Cache.incr``."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import diskcache

import holdfast

from .measure import Result

__all__ = ["run"]

_PROCESSES = 8


def _update(folder: str) -> Callable[[], object]:
    scope = holdfast.open(folder).namespace("bench")
    return lambda: scope.update("counter", lambda number: number + 1, default=0)


def _add(folder: str) -> Callable[[], object]:
    scope = holdfast.open(folder).namespace("bench")
    return lambda: scope.add("added")


def _incr(folder: str) -> Callable[[], object]:
    cache = diskcache.Cache(folder)
    return lambda: cache.incr("counter")


def _bare(folder: str, *statements: str) -> Callable[[], object]:
    """The least that a fair counter must do: its statements on a table of one row, and a place in a queue."""
    Path(folder).mkdir(exist_ok=True)
    connection = apsw.Connection(f"{folder}/bare.sqlite")
    connection.set_busy_timeout(10_000)
    connection.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000")
    connection.execute("CREATE TABLE IF NOT EXISTS counter(id INTEGER PRIMARY KEY, n INTEGER, data)")
    connection.execute("INSERT INTO counter VALUES(1,0,zeroblob(100)) ON CONFLICT DO NOTHING")
    connection.set_busy_timeout(0)
    queue = os.open(f"{folder}/queue", os.O_CREAT | os.O_RDWR)

    def statement(text: str) -> object:
        try:
            return connection.execute(text).fetchall()
        except apsw.BusyError:
            fcntl.flock(queue, fcntl.LOCK_EX)
            try:
                while True:
                    try:
                        return connection.execute(text).fetchall()
                    except apsw.BusyError:
                        time.sleep(20e-6)
            finally:
                fcntl.flock(queue, fcntl.LOCK_UN)

    return lambda: [statement(text) for text in statements]


_ADD = "UPDATE counter SET n=n+1 WHERE id=1 RETURNING n"


def _bare_add(folder: str) -> Callable[[], object]:
    return _bare(folder, _ADD)


def _bare_update(folder: str) -> Callable[[], object]:
    return _bare(folder, "SELECT n FROM counter WHERE id=1", _ADD)


def _work(make: Callable[[str], Callable[[], object]], folder: str, count: int, gate: Any, results: Any) -> None:
    call = make(folder)
    clock = time.perf_counter
    longest = 0.0
    gate.wait()
    began = clock()
    for _ in range(count):
        before = clock()
        call()
        longest = max(longest, clock() - before)
    results.put((began, clock(), longest))


def _race(make: Callable[[str], Callable[[], object]], folder: Path, count: int) -> tuple[float, float]:
    """Calls a second of all processes together, and the longest wait in seconds."""
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(_PROCESSES), context.Queue()
    workers = [context.Process(target=_work, args=(make, str(folder), count, gate, results)) for _ in range(_PROCESSES)]
    for worker in workers:
        worker.start()
    times = [results.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join()
    span = max(end for _, end, _ in times) - min(begin for begin, _, _ in times)
    return _PROCESSES * count / span, max(longest for _, _, longest in times)


def run(folder: Path, quick: bool) -> list[Result]:
    """Throughput, lost counts and the longest wait."""
    count, rounds = (100, 1) if quick else (1500, 7)
    ours, theirs = folder / "holdfast", folder / "diskcache"
    updates, adds, incrs, bare_updates, bare_adds = [], [], [], [], []
    for _ in range(rounds):
        incrs.append(_race(_incr, theirs, count))
        updates.append(_race(_update, ours, count))
        adds.append(_race(_add, ours, count))
        bare_updates.append(_race(_bare_update, folder / "bare", count))
        bare_adds.append(_race(_bare_add, folder / "bare", count))
    with holdfast.open(ours) as store:
        scope = store.namespace("bench")
        expected = _PROCESSES * count * rounds
        lost = 2 * expected - scope.get("counter") - scope.get("added")
    # By medians: who gets the lock from diskcache's busy handler is luck, and its rounds differ by five times.
    control, update, add, bare_update, bare_add = (
        statistics.median(rate for rate, _ in times) for times in (incrs, updates, adds, bare_updates, bare_adds)
    )
    wait = statistics.median(longest for _, longest in updates)
    incr_wait, worst = (max(longest for _, longest in times) * 1e3 for times in (incrs, updates))
    spread = f"{min(rate for rate, _ in incrs):.0f} to {max(rate for rate, _ in incrs):.0f}"
    note = f"diskcache.incr {control:.0f}/s ({spread}), longest wait {incr_wait:.0f} ms"
    rate = "x diskcache.incr"

    def behind(ours: float, bare: float) -> str:
        return f"{ours:.0f}/s; bare prototype {bare:.0f}/s; {note}"

    return [
        Result(
            "8 processes, one counter by update",
            update / control,
            rate,
            1.1,
            False,
            behind(update, bare_update),
        ),
        Result(
            "8 processes, one counter by add",
            add / control,
            rate,
            1.5,
            False,
            behind(add, bare_add),
        ),
        Result("8 processes, counts lost", lost, "", 0, True, f"of {2 * expected}"),
        Result("8 processes, longest wait of an update", wait * 1e3, "ms", 100, True, f"worst round {worst:.0f} ms"),
    ]
