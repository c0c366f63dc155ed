"""Ray and Dask do what every executor does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from holdfast import executors
from holdfast.errors import InvalidArgumentError, StoreError
from holdfast.executors import Executor, base

from ..clusters.ray_cluster import RayCluster
from . import deeds
from .suite import ExecutorSuite


class TestRay(ExecutorSuite):
    """On a cluster that was there before."""

    name: ClassVar[str] = "ray"
    memory: ClassVar[str] = "ray"
    cpus: ClassVar[int] = 4
    delay: ClassVar[float] = 0.5

    @classmethod
    def first(cls, request: pytest.FixtureRequest) -> Executor:
        cluster: RayCluster = request.getfixturevalue("ray_cluster")
        return executors.open("ray", address=cluster.address, log_to_driver=False)

    def opened(self, executor: Executor) -> Executor:
        return executors.open("ray")


class TestDask(ExecutorSuite):
    """On a cluster that the executor started."""

    name: ClassVar[str] = "dask"
    memory: ClassVar[str] = "dask"
    delay: ClassVar[float] = 0.5

    @classmethod
    def first(cls, request: pytest.FixtureRequest) -> Executor:
        return executors.open("dask", workers=2)

    def opened(self, executor: Executor) -> Executor:
        return executors.open("dask")

    def test_another_client_leaves_the_cluster_running(self, executor: Any) -> None:
        address = executor._client.scheduler.address
        with executors.open("dask", address=address) as other:
            assert other.submit(deeds.add, 1).result(60) == 2
        assert executor.submit(deeds.add, 2).result(60) == 3
        with pytest.raises(InvalidArgumentError, match="is there already"):
            executors.open("dask", address=address, workers=3)

    def test_what_no_worker_has_is_told_at_once(self, executor: Executor) -> None:
        with pytest.raises(InvalidArgumentError, match=r"asks for 2 cpus, and each worker .* has 1"):
            executor.submit(deeds.add, 1, resources={"cpus": 2})
        with pytest.raises(InvalidArgumentError, match="asks for 1 gpus"):
            executor.submit(deeds.add, 1, resources={"gpus": 1})

    def test_dask_itself_computes_there(self, executor: Executor) -> None:
        from dask.delayed import delayed

        with executors.using(executor):
            assert delayed(os.getpid)().compute() != os.getpid()


class TestWithoutWorkers:
    def test_closing_dask_does_not_wait_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import distributed

        monkeypatch.setattr(base, "_PATIENCE", 0.5)
        with distributed.LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as cluster:
            executor = executors.open("dask", address=cluster.scheduler_address)
            future = executor.submit(deeds.add, 1)
            begun = time.monotonic()
            executor.close()
            assert time.monotonic() - begun < 30
            with pytest.raises(StoreError, match=r"add was not run before its executor was closed: no worker"):
                future.result(0)

    def test_closing_ray_does_not_wait_for_ever(self, ray_cluster: RayCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(base, "_PATIENCE", 0.5)
        executor = executors.open("ray", address=ray_cluster.address, log_to_driver=False)
        future = executor.submit(deeds.add, 1, resources={"quantum": 1})
        executor.close()
        with pytest.raises(StoreError, match="add was not run"):
            future.result(0)


QUIET = """
import sys
import numpy as np
import holdfast
from holdfast import executors

def keep():
    holdfast.put("array", np.zeros(100_000), tier="memory")

executor = executors.open("dask", workers=1)
with holdfast.open(sys.argv[1]).context(namespace="prod"):
    executor.submit(keep).result()
    with executors.using(executor):
        assert holdfast.get("array", tier="memory").shape == (100_000,)
if sys.argv[2] == "close":
    executor.close()
"""


@pytest.mark.parametrize("end", ["close", "forget"])
def test_dask_says_nothing_when_its_cluster_ends_with_the_program(end: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DASK_")}
    command = [sys.executable, "-c", QUIET, str(tmp_path / "data"), end]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


STARTED = """
import os, sys, time
from holdfast import executors

executor = executors.open(sys.argv[1], workers=2, resources={"licences": 1})
def where():
    return os.getpid()
assert executor.resources.cpus == 2
assert executor.resources.named["licences"] >= 1
print(*executor.gather([executor.submit(where) for _ in range(4)]), flush=True)
executor.submit(where, resources={"licences": 1}).result()
try:
    executor.submit(where, resources={"licences": 3})
except ValueError as error:
    assert "asks for 3 licences" in str(error), error
if sys.argv[2] == "close":
    executor.close()
elif sys.argv[2] == "wait":
    time.sleep(100)
"""


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("end", ["close", "forget", "wait"])
@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_a_cluster_that_is_started_ends(engine: str, end: str, tmp_path: Path) -> None:
    """With its executor, with the program, and with a program that is killed; the program guards no main module."""
    program = tmp_path / "program.py"
    program.write_text(STARTED)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "DASK_"))}
    command = [sys.executable, str(program), engine, end]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as driver:
        assert driver.stdout is not None
        processes = {int(word) for word in driver.stdout.readline().split()}
        if end == "wait":
            driver.send_signal(signal.SIGKILL)
        assert driver.wait(120) == (-signal.SIGKILL if end == "wait" else 0)
    assert processes
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{process}").exists() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [process for process in processes if Path(f"/proc/{process}").exists()] == []
