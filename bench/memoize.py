"""Memoized calls that hit, against ``diskcache.Cache.memoize`` and ``joblib.Memory`` with their defaults.

joblib alone is told something: not to print each call (``verbose=0``).
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import diskcache
import joblib
import numpy as np

import holdfast

from .measure import Result, against, ratios
from .small import sample

__all__ = ["run"]

_CALLS = 100
_PROCESSES = 16
_SECONDS = 1.0


def _settings(speed: int, place: str, *, load: float) -> dict[str, object]:
    """A result of 1 KB."""
    return sample(speed)


def _number(speed: int, place: str, *, load: float) -> float:
    """A small result."""
    return speed * load


def _sum(array: np.ndarray, times: int) -> float:
    """A large argument."""
    return float(array.sum()) * times


def _trivial(number: int) -> int:
    return number + 1


def _call(memoized: Callable[..., object], number: int) -> object:
    return memoized(number % _CALLS, "moab", load=0.5)


def _controls(folder: Path) -> tuple[diskcache.Cache, joblib.Memory]:
    return diskcache.Cache(str(folder / "diskcache")), joblib.Memory(folder / "joblib", verbose=0)


def _hits(store: holdfast.Store, folder: Path, quick: bool) -> list[Result]:
    cache, memory = _controls(folder)
    results = []
    for function, what in ((_settings, "1 KB result"), (_number, "small result")):
        ours, disk, job = store.memoize(function), cache.memoize()(function), memory.cache(function)
        for memoized in (ours, disk, job):
            for number in range(_CALLS):
                _call(memoized, number)
        count = 300 if quick else 3000
        pair = against(partial(_call, ours), partial(_call, disk), count=count)
        results += ratios(f"memoize hit, {what}", 0.6, pair, "diskcache.memoize")
        pair = against(partial(_call, ours), partial(_call, job), count=count // 5)
        results += ratios(f"memoize hit, {what}", 0.12, pair, "joblib.Memory")
        assert ours.stats().misses == _CALLS
    cache.close()
    return results


def _large(store: holdfast.Store, folder: Path, quick: bool) -> list[Result]:
    cache, memory = _controls(folder)
    array = np.random.default_rng(1).random(10 * (1 << 20) // 8)
    ours, job = store.memoize(_sum), memory.cache(_sum)
    for number in range(3):
        ours(array, number)
        job(array, number)
    pair = against(
        lambda number: ours(array, number % 3), lambda number: job(array, number % 3), count=10 if quick else 50
    )
    cache.close()
    return ratios("memoize hit, argument an array of 10 MB", 0.2, pair, "joblib.Memory")


def _misses(store: holdfast.Store, folder: Path, quick: bool) -> list[Result]:
    cache, memory = _controls(folder)
    ours, disk, job = store.memoize(_trivial), cache.memoize()(_trivial), memory.cache(_trivial)
    count = 100 if quick else 500
    results = ratios("memoize miss, trivial function", None, against(ours, disk, count=count), "diskcache.memoize")
    pair = against(lambda number: ours(-1 - number), job, count=count // 5)
    results += ratios("memoize miss, trivial function", None, pair, "joblib.Memory")
    cache.close()
    return results


# --- sixteen processes ------------------------------------------------------------------------------------------------


def _slow(runs: str, number: int) -> int:
    with open(runs, "a") as file:
        file.write(".")
    time.sleep(_SECONDS)
    return number


def _work(folder: str, rounds: int, gate: Any, results: Any) -> None:
    with holdfast.open(folder) as store:
        slow = store.memoize(_slow)
        slow.explain(f"{folder}.runs", -1)  # its code is looked at
        misses = 0
        for number in range(rounds):
            gate.wait()
            began, cpu = time.perf_counter(), time.process_time()
            slow(f"{folder}.runs", number)
            end, cpu = time.perf_counter(), time.process_time() - cpu
            results.put((number, began, end, None if slow.stats().misses > misses else cpu * 1e3))
            misses = slow.stats().misses


def _race(folder: Path, quick: bool) -> list[Result]:
    rounds = 1 if quick else 5
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(_PROCESSES), context.Queue()
    ours = str(folder / "race")
    workers = [context.Process(target=_work, args=(ours, rounds, gate, results)) for _ in range(_PROCESSES)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=300) for _ in range(_PROCESSES * rounds)]
    for worker in workers:
        worker.join()
    runs = os.path.getsize(f"{ours}.runs")
    waiting = [cpu for *_, cpu in found if cpu is not None]
    spans = []
    for number in range(rounds):
        turn = [each for each in found if each[0] == number]
        spans.append(max(end for _, _, end, _ in turn) - min(began for _, began, _, _ in turn))
    what = f"{_PROCESSES} processes, one call of {_SECONDS:g} s"
    told = f"of CPU for each of the {_PROCESSES - 1} that wait; the most {max(waiting):.1f} ms"
    return [
        Result(f"{what}: runs", runs / rounds, "", 1, True, f"{runs} in {rounds} rounds of {_PROCESSES} calls"),
        Result(f"{what}: waiting", statistics.median(waiting), "ms", 5, True, told),
        Result(f"{what}: all have it", statistics.median(spans), "s", None, True, f"the longest {max(spans):.3f} s"),
    ]


# --- the first call of a process --------------------------------------------------------------------------------------

_WORK = """
import math

STEPS = 100

def curve(step, load):
    return math.sin(step / STEPS) * load

def simulate(speed, load):
    return [curve(step, load) for step in range(STEPS)]
"""

_FIRST = """
import time
began = time.perf_counter()
{setup}
from work import simulate
memoized = {decorated}
ready = time.perf_counter()
memoized(3, 4)
print(ready - began, time.perf_counter() - ready)
"""

_SETUPS = {
    "holdfast": ("import holdfast; store = holdfast.open('ours')", "store.memoize(simulate)"),
    "diskcache": ("import diskcache; cache = diskcache.Cache('disk')", "cache.memoize()(simulate)"),
    "joblib": ("import joblib; memory = joblib.Memory('job', verbose=0)", "memory.cache(simulate)"),
}


def _first(folder: Path, quick: bool) -> list[Result]:
    (folder / "work.py").write_text(_WORK)
    # With compiled modules kept, as they are wherever a package is installed.
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def times(name: str) -> list[float]:
        setup, decorated = _SETUPS[name]
        command = [sys.executable, "-c", _FIRST.format(setup=setup, decorated=decorated)]
        done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
        return [float(text) * 1e3 for text in done.stdout.split()]

    found: dict[str, list[list[float]]] = {name: [] for name in _SETUPS}
    for turn in range(4 if quick else 16):
        for name, rows in found.items():
            row = times(name)
            if turn:  # the very first one computes
                rows.append(row)
    typical = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    told = "; ".join(f"{name} {ready:.1f} + {first:.1f}" for name, (ready, first) in typical.items())
    detail = f"import, open and decorate + first hit, ms: {told}"
    ready, first = typical["holdfast"]
    return [Result("first memoized call of a process", ready + first, "ms", None, True, detail)]


def run(folder: Path, quick: bool) -> list[Result]:
    """Hits, misses, many processes at once, and the first call of a process."""
    with holdfast.open(folder / "holdfast") as store:
        results = _hits(store, folder, quick) + _large(store, folder, quick) + _misses(store, folder, quick)
    return results + _race(folder, quick) + _first(folder, quick)
