"""Drivers and workers that are killed, and drivers of the same graph at the same time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import holdfast
from holdfast.testing.postgresql import Server

from .programs import SCOPE
from .samples import ran

ROOT = Path(__file__).parents[2]
STEPS = 12
WIDTH = 20_000


def expected(width: int) -> list[float]:
    """The results of the program's graph, whose arrays have so many elements."""
    return [float(width) * (number + (number + 1) % STEPS) for number in range(STEPS)]


EXPECTED = expected(WIDTH)


def begin(store: Path | str, log: Path, executor: str = "processes", width: int = WIDTH) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.graph.programs", str(store), str(log), str(STEPS), executor, str(width)]
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "DASK_"))}
    return subprocess.Popen(command, cwd=ROOT, env=alone, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(program: subprocess.Popen[str]) -> list[float]:
    out, err = program.communicate(timeout=180)
    assert program.returncode == 0, err
    return [float(word) for word in out.split()]


def children(process: int) -> list[int]:
    found = subprocess.run(["ps", "--ppid", str(process), "-o", "pid="], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def kill(program: subprocess.Popen[str], dice: random.Random, longest: float = 1.3) -> None:
    """Kill a worker, or the driver, in the middle of whatever it does."""
    end = time.monotonic() + dice.uniform(0.1, longest)
    while time.monotonic() < end and program.poll() is None:
        time.sleep(0.005)
    if dice.random() < 0.3:
        for worker in children(program.pid)[:1]:
            try:
                os.kill(worker, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(dice.uniform(0, 0.2))
    program.kill()
    program.communicate(timeout=100)  # until nothing is left of it, its workers included


@pytest.mark.parametrize("rounds", [4, pytest.param(50, marks=pytest.mark.long)])
def test_no_node_is_run_after_its_result_was_stored(tmp_path: Path, rounds: int) -> None:
    store, log, dice = tmp_path / "store", tmp_path / "log", random.Random(rounds)
    runs = 0
    with holdfast.open(store) as opened:
        scope = opened.scope(SCOPE)
        for _ in range(rounds):
            there: set[str] = set(scope.results.names())
            before = len(ran(log))
            program = begin(store, log)
            kill(program, dice)
            deadline = time.monotonic() + 20
            while children(program.pid) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert there.isdisjoint(ran(log)[before:])
            assert there <= set(scope.results.names())
            runs += 1
            if len(scope.results.names()) == 3 * STEPS:
                scope.results.remove(f"*{dice.randrange(STEPS)}")
                scope.results.remove("summed*")
        there, before = set(scope.results.names()), len(ran(log))
        assert finished(begin(store, log)) == EXPECTED
        assert there.isdisjoint(ran(log)[before:])
        assert scope.results.get("summed 3") == EXPECTED[3]
        assert {run.state for run in scope.runs.list()} <= {"broken off", "done", "failed"}
        assert list(scope.scope("graph", "running")) == []


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("executor", ["processes", "ray", "dask"])
def test_a_pipeline_of_much_data_finishes_on_each_executor(tmp_path: Path, executor: str) -> None:
    """24 arrays of 16 MB; a cluster is started by each program, and ends with it."""
    store, log, dice, width = tmp_path / "store", tmp_path / "log", random.Random(executor), 2_000_000
    with holdfast.open(store) as opened:
        scope = opened.scope(SCOPE)
        for _ in range(6):
            there, before = set(scope.results.names()), len(ran(log))
            kill(begin(store, log, executor, width), dice, 4.0 if executor == "processes" else 20.0)
            assert there.isdisjoint(ran(log)[before:])
        there, before = set(scope.results.names()), len(ran(log))
        assert finished(begin(store, log, executor, width)) == expected(width)
        assert there.isdisjoint(ran(log)[before:])
        assert sum(result.record.size for result in scope.results.list()) > 300 << 20


def test_two_drivers_share_one_graph(tmp_path: Path) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    programs = [begin(store, log) for _ in range(2)]
    assert [finished(program) for program in programs] == [EXPECTED, EXPECTED]
    assert len(ran(log)) == len(set(ran(log))) == 3 * STEPS


def test_a_graph_in_postgresql(postgresql: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PGPASSWORD", postgresql.password)
    log, url = tmp_path / "log", f"{postgresql.url()}?schema=graphs"
    programs = [begin(url, log) for _ in range(2)]
    assert [finished(program) for program in programs] == [EXPECTED, EXPECTED]
    assert len(ran(log)) == len(set(ran(log))) == 3 * STEPS


def test_what_a_dead_driver_was_about_is_taken_over(tmp_path: Path) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    first = begin(store, log)
    deadline = time.monotonic() + 60
    while len(ran(log)) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    second = begin(store, log)
    time.sleep(0.7)
    first.kill()
    first.communicate(timeout=60)
    assert finished(second) == EXPECTED
    with holdfast.open(store) as opened:
        assert len(opened.scope(SCOPE).results.names()) == 3 * STEPS
