"""Values of 1 KB in one process, against ``diskcache.Cache`` with its defaults."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import diskcache

import holdfast

from .measure import Result, against, ratios

__all__ = ["run", "sample"]

_KEYS = 100


def sample(number: int) -> dict[str, object]:
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
    values = [sample(number) for number in range(_KEYS)]
    blobs = [os.urandom(1024) for _ in range(_KEYS)]
    for number in range(_KEYS):
        for kind, value in (("dict", values[number]), ("bytes", blobs[number])):
            scope.put(f"{kind}-{number}", value)
            cache.set(f"{kind}-{number}", value)

    line = partial(ratios, control="diskcache")
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
