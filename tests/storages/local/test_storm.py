"""Many processes at once that are killed at random: no stale or torn view, and nothing is left."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.storages.local import LocalMemory

from .programs import MB, counted, pattern, put, taken

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder() -> Iterator[str]:
    """In shared memory, where the system has such a place."""
    path = tempfile.mkdtemp(prefix="storm-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    yield path
    shutil.rmtree(path)


def start(folder, board, seed, rounds):
    words = [sys.executable, "-m", "tests.storages.local.storm", folder, str(board), str(seed), str(rounds)]
    return subprocess.Popen(words, cwd=ROOT)


@pytest.mark.parametrize(
    ("processes", "rounds", "kills"),
    [(4, 40, 6), pytest.param(8, 1000, 120, marks=[pytest.mark.long, pytest.mark.timeout(900)])],
)
def test_a_storm(folder, tmp_path, processes, rounds, kills):
    choice = random.Random(rounds)
    seeds = iter(range(1_000_000))
    running = [start(folder, tmp_path, next(seeds), rounds) for _ in range(processes)]
    ended = []
    killed = 0
    try:
        while running:
            time.sleep(choice.uniform(0.1, 0.4))
            if killed < kills and running:
                victim = choice.choice(running)
                victim.send_signal(signal.SIGKILL)
                killed += 1
                running.append(start(folder, tmp_path, next(seeds), rounds))
            for program in [program for program in running if program.poll() is not None]:
                running.remove(program)
                ended.append(program.returncode)
    finally:
        for program in running:
            program.kill()
            program.wait()
    assert set(ended) <= {0, -signal.SIGKILL}, f"a view was stale or torn, or a process failed: {ended}"
    assert ended.count(0) >= 1
    assert ended.count(-signal.SIGKILL) >= kills // 2

    last = LocalMemory("storm", folder=folder, size=48 * MB)
    config = put(last, pattern(MB))
    assert taken(folder) == counted(folder) == MB, "what killed processes left was not removed"
    assert bytes(last.read(config)) == pattern(MB)
    last.close()
    assert os.listdir(folder) == []
