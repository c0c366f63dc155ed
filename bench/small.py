"""Values of 1 KB in one process, against ``diskcache.Cache`` with its defaults."""

from __future__ import annotations

import os
from pathlib import Path

import diskcache

import holdfast

from .measure import Result, Timing, against

__all__ = ["run"]

_KEYS = 100


def _value(number: int) -> dict[str, object]:
    """A dict of 1 KB as msgpack: what a task's result or a record of settings is like."""
    return {
        "name": f"run-{number}",
        "loads": [number / 7 + step for step in range(40)],
        "notes": "the quick brown fox jumps over the lazy dog " * 8,
        "steps": list(range(60)),
        "tags": {f"key{index}": f"value {index}" for index in range(10)},
        "ok": True,
        "parent": None,
    }


def run(folder: Path, quick: bool) -> list[Result]:
    """Put, overwrite and get of dicts and of bytes; one counter."""
    count = 500 if quick else 4000
    store = holdfast.open(folder / "holdfast")
    scope = store.namespace("bench")
    cache = diskcache.Cache(str(folder / "diskcache"))
    values = [_value(number) for number in range(_KEYS)]
    blobs = [os.urandom(1024) for _ in range(_KEYS)]
    for number in range(_KEYS):
        for kind, value in (("dict", values[number]), ("bytes", blobs[number])):
            scope.put(f"{kind}-{number}", value)
            cache.set(f"{kind}-{number}", value)

    def line(what: str, goal: float, pair: tuple[Timing, Timing]) -> list[Result]:
        mine, theirs = pair
        results = []
        for kind, a, b in (("median", mine.median, theirs.median), ("mean", mine.mean, theirs.mean)):
            detail = f"{a:.1f} µs, diskcache {b:.1f} µs"
            results.append(Result(f"{what} ({kind})", a / b, "x diskcache", goal, True, detail))
        return results

    results = line(
        "put of a 1 KB dict, new key",
        0.6,
        against(
            lambda n: scope.put(f"new-{n}", values[n % _KEYS]),
            lambda n: cache.set(f"new-{n}", values[n % _KEYS]),
            count=count,
        ),
    )
    results += line(
        "put of a 1 KB dict, overwrite",
        0.5,
        against(
            lambda n: scope.put(f"dict-{n % _KEYS}", values[n % _KEYS]),
            lambda n: cache.set(f"dict-{n % _KEYS}", values[n % _KEYS]),
            count=count,
        ),
    )
    results += line(
        "get of a 1 KB dict",
        0.9,
        against(lambda n: scope.get(f"dict-{n % _KEYS}"), lambda n: cache.get(f"dict-{n % _KEYS}"), count=count),
    )
    results += line(
        "get of 1 KB bytes",
        1.0,
        against(lambda n: scope.get(f"bytes-{n % _KEYS}"), lambda n: cache.get(f"bytes-{n % _KEYS}"), count=count),
    )
    cache.close()
    store.close()
    return results
