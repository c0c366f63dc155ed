"""From 1,000 records to 1,000,000 (``--huge``: 10,000,000): put and get, and pages among them, against diskcache."""

from __future__ import annotations

import math
import random
import time
from pathlib import Path

import diskcache

import holdfast

from .measure import Result, against, time_calls

__all__ = ["run"]

_VALUE = {"name": "x" * 100, "loads": list(range(20))}
_BATCH = 2000


def _fill(scope: holdfast.Scope, cache: diskcache.Cache, begin: int, end: int) -> None:
    for first in range(begin, end, _BATCH):
        last = min(end, first + _BATCH)
        scope.put_many((f"key-{number:09d}", _VALUE) for number in range(first, last))
        with cache.transact():
            for number in range(first, last):
                cache.set(f"key-{number:09d}", _VALUE)


def run(folder: Path, quick: bool, *, sizes: tuple[int, ...] = ()) -> list[Result]:
    """Medians at each size; pages at the largest."""
    sizes = sizes or ((1000, 10_000) if quick else (1000, 10_000, 100_000, 1_000_000))
    count = 500 if quick else 2000
    results, ours = [], {}
    store = holdfast.open(folder / "holdfast")
    scope = store.namespace("bench")
    cache = diskcache.Cache(str(folder / "diskcache"), eviction_policy="none", size_limit=1 << 40)
    filled, chance = 0, random.Random(1)
    for size in sizes:
        _fill(scope, cache, filled, size)
        filled = size
        keys = [f"key-{chance.randrange(size):09d}" for _ in range(count * 3)]
        put, put_control = against(
            lambda n, k=keys: scope.put(k[n], _VALUE), lambda n, k=keys: cache.set(k[n], _VALUE), count=count, rounds=3
        )
        get, get_control = against(
            lambda n, k=keys: scope.get(k[n]), lambda n, k=keys: cache.get(k[n]), count=count, rounds=3
        )
        ours[size] = put.median, get.median
        for what, mine, control in (("put", put, put_control), ("get", get, get_control)):
            detail = f"{mine.median:.1f} µs, diskcache {control.median:.1f} µs"
            ratio = mine.median / control.median
            results.append(Result(f"{what} among {size:,} records", ratio, "x diskcache", 1.0, True, detail))
    first, last = sizes[0], sizes[-1]
    steps = math.log10(last / first)
    for index, what in enumerate(("put", "get")):
        grown = (ours[last][index] / ours[first][index]) ** (1 / steps)
        detail = f"{ours[first][index]:.1f} to {ours[last][index]:.1f} µs"
        results.append(Result(f"growth of {what} for ten times the records", grown, "x", 1.6, True, detail))
    results += _pages(scope, filled, chance, 50 if quick else 500)
    cache.close()
    store.close()
    return results


def _pages(scope: holdfast.Scope, size: int, chance: random.Random, count: int) -> list[Result]:
    starts = [f"key-{chance.randrange(size - 200):09d}" for _ in range(count)]
    keys = time_calls(lambda n: list(scope.keys(start=starts[n], limit=100)), count)
    records = time_calls(lambda n: list(scope.list(start=starts[n], limit=100)), count)
    begin = time.perf_counter()
    number = sum(1 for _ in scope)
    whole = time.perf_counter() - begin
    note = f"mean {{:.0f}} µs; all {number:,} keys in {whole:.2f} s"
    return [
        Result(f"keys(): 100 of {size:,}, any depth", keys.median, "µs", 60, True, note.format(keys.mean)),
        Result(f"list(): 100 of {size:,}, any depth", records.median, "µs", 400, True, f"mean {records.mean:.0f} µs"),
    ]
