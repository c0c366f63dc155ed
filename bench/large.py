"""An array and a DataFrame of 256 MB, against ``np.save`` on the same disk."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from blake3 import blake3

import holdfast
from holdfast.hashing import HASH_THREADS

from .measure import Result, peak_growth

__all__ = ["run"]

_MB = 1 << 20


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _bare(path: Path, array: np.ndarray) -> None:
    """The least that a hashed put must do: the floor under ours on this machine."""
    data = memoryview(array).cast("B")
    state = blake3(max_threads=HASH_THREADS)
    thread = threading.Thread(target=state.update, args=(data,))
    thread.start()
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL)
    os.posix_fallocate(file, 0, len(data))
    os.writev(file, [data])
    os.close(file)
    thread.join()
    state.digest()


def run(folder: Path, quick: bool) -> list[Result]:
    """Speed and memory of put and get."""
    size = (32 if quick else 256) * _MB
    array = np.random.default_rng(1).random(size // 8).reshape(-1, 64)
    frame = pd.DataFrame(array, columns=[f"c{index}" for index in range(64)])
    results = []
    with holdfast.open(folder / "holdfast") as store:
        for what, value, get_goal in (("array", array, 0.5), ("DataFrame", frame, 1.0)):
            results += _one(store, folder / "control.npy", what, value, array, get_goal, 3 if quick else 7)
            store.gc()
    return results


def _one(
    store: holdfast.Store, control: Path, what: str, value: Any, array: np.ndarray, get_goal: float, rounds: int
) -> list[Result]:
    mb = array.nbytes / _MB
    scope = store.namespace("bench")
    scope.put("warm", value)
    np.save(control, array)
    ours, theirs, bare = [], [], []
    for turn in range(rounds):
        value[0:1] += 1.0  # other bytes each time: nothing is deduplicated
        control.unlink()
        theirs.append(_seconds(lambda: np.save(control, array)))
        control.unlink()  # and ours below: else the disk's own pace, which both wait for, is all that is measured
        control.touch()
        ours.append(_seconds(lambda turn=turn: scope.put(f"{what}-{turn}", value)))
        scope.delete(f"{what}-{turn}")
        store.gc()
        bare.append(_seconds(lambda: _bare(control.with_name("bare"), array)))
        control.with_name("bare").unlink()
    control.unlink()
    _, put_memory = peak_growth(lambda: scope.put(what, value))
    got, get_memory = peak_growth(lambda: scope.get(what))
    assert np.array_equal(np.asarray(got)[:10], np.asarray(value)[:10])
    gets = [_seconds(lambda: scope.get(what)) * 1e3 for _ in range(50)]
    put_ratio = statistics.median(theirs) / statistics.median(ours)
    mean_ratio = statistics.fmean(theirs) / statistics.fmean(ours)
    speeds = f"{mb / statistics.median(ours):.0f} MB/s, np.save {mb / statistics.median(theirs):.0f} MB/s, "
    speeds += f"bare writev with BLAKE3 beside {mb / statistics.median(bare):.0f} MB/s"
    return [
        Result(f"put of a {mb:.0f} MB {what} (median)", put_ratio, "x np.save's speed", 0.85, False, speeds),
        Result(
            f"put of a {mb:.0f} MB {what} (mean)", mean_ratio, "x np.save's speed", 0.85, False, "means of the same"
        ),
        Result(f"put of a {mb:.0f} MB {what}, extra memory", put_memory / _MB, "MB", 10, True, "peak above the start"),
        Result(
            f"get of a {mb:.0f} MB {what}", statistics.median(gets), "ms", get_goal, True, f"longest {max(gets):.2f} ms"
        ),
        Result(f"get of a {mb:.0f} MB {what}, extra memory", get_memory / _MB, "MB", 10, True, "peak above the start"),
    ]
