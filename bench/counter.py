"""One counter, eight processes, against ``diskcache.Cache.incr``."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    updates, adds, incrs = [], [], []
    for _ in range(rounds):
        incrs.append(_race(_incr, theirs, count))
        updates.append(_race(_update, ours, count))
        adds.append(_race(_add, ours, count))
    with holdfast.open(ours) as store:
        scope = store.namespace("bench")
        expected = _PROCESSES * count * rounds
        lost = 2 * expected - scope.get("counter") - scope.get("added")
    # By medians: who gets the lock from diskcache's busy handler is luck, and its rounds differ by five times.
    control, update, add = (statistics.median(rate for rate, _ in times) for times in (incrs, updates, adds))
    wait = statistics.median(longest for _, longest in updates)
    incr_wait, worst = (max(longest for _, longest in times) * 1e3 for times in (incrs, updates))
    spread = f"{min(rate for rate, _ in incrs):.0f} to {max(rate for rate, _ in incrs):.0f}"
    note = f"diskcache.incr {control:.0f}/s ({spread}), longest wait {incr_wait:.0f} ms"
    rate = "x diskcache.incr"
    return [
        Result("8 processes, one counter by update", update / control, rate, 1.1, False, f"{update:.0f}/s; {note}"),
        Result("8 processes, one counter by add", add / control, rate, 1.5, False, f"{add:.0f}/s; {note}"),
        Result("8 processes, counts lost", lost, "", 0, True, f"of {2 * expected}"),
        Result("8 processes, longest wait of an update", wait * 1e3, "ms", 100, True, f"worst round {worst:.0f} ms"),
    ]
