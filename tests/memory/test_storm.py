"""Many processes put and get large frames under the same keys, some of them are killed, and nobody sees a torn or a
stale one; at the end nothing is left in the memory of the machine."""

from __future__ import annotations

import os
import random
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import holdfast
from holdfast.storages.local import LocalMemory

from .programs import Program

# A frame's rows all tell its number and its key; a counter tells which number a key had at least.
WORKER = """
import random, sys, numpy as np, pandas as pd, holdfast
folder, seed, rounds, rows, size = sys.argv[1], *map(int, sys.argv[2:])
store = holdfast.open(folder, memory_size=size)
scope, numbers = store.namespace("storm"), store.namespace("numbers")
dice = random.Random(seed)
held = []
for turn in range(rounds):
    key = dice.randrange(6)
    if dice.random() < 0.5:
        number = numbers.add(f"next{key}").value
        frame = pd.DataFrame({"number": np.full(rows, number), "key": np.full(rows, float(key)), "n": np.arange(rows)})
        try:
            version = scope.put(f"frame{key}", frame, tier="memory").version
        except holdfast.StorageFullError:
            held.clear()
            continue
        numbers.update(f"seen{key}", lambda old: max(old, (version, number)), default=(0, 0))
    else:
        least = numbers.get(f"seen{key}", (0, 0))
        try:
            entry = scope.entry(f"frame{key}")
        except holdfast.ValueLost:
            continue                                   # it had to make room
        except holdfast.NotFoundError:
            continue
        frame = entry.value
        assert (frame["number"] == frame["number"].iloc[0]).all(), "torn"
        assert (frame["key"] == key).all() and (frame["n"] == np.arange(rows)).all(), "torn"
        assert entry.version > least[0] or (entry.version, frame["number"].iloc[0]) == least, ("stale", key, least)
        held.append((frame, int(frame["number"].iloc[0])))
        for kept, number in held:
            assert (kept["number"] == number).all(), "what was mapped changed"
        del held[:-3]
print("done")
"""


def _files() -> set[str]:
    folder = f"/dev/shm/holdfast-{os.geteuid()}"
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return {name.partition("-")[0] for name in names}  # the ids of stores


def storm(folder: Path, *, workers: int, rounds: int, kills: int, rows: int, seed: int) -> None:
    """Run it; some workers are killed and replaced meanwhile."""
    dice, made = random.Random(seed), 0
    with ExitStack() as stack, holdfast.open(folder / "data") as store:
        store.namespace("storm").put("warm", 1, tier="memory")
        size = 24 * rows * 14  # of some frames more than there are keys, so that some make room
        assert store.id in _files()

        def begin() -> Program:
            nonlocal made
            made += 1
            arguments = (str(folder / "data"), *map(str, (seed + made, rounds, rows, size)))
            return stack.enter_context(Program(WORKER, *arguments))

        running = [begin() for _ in range(workers)]
        for _ in range(kills):
            time.sleep(dice.random() * 1.0)
            number = dice.randrange(workers)
            running[number].kill()
            running[number] = begin()
        for program in running:
            assert program.says() == "done"
        assert store.namespace("storm").get("warm") == 1
    LocalMemory.sweep()
    assert store.id not in _files()


@pytest.mark.timeout(240)
def test_a_small_storm(tmp_path: Path) -> None:
    storm(tmp_path, workers=4, rounds=25, kills=4, rows=40_000, seed=1)


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", [10_000, 20_000])
def test_a_thousand_frames_by_eight_processes(tmp_path: Path, seed: int) -> None:
    storm(tmp_path, workers=8, rounds=250, kills=40, rows=400_000, seed=seed)
