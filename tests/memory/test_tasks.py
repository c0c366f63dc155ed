"""What tasks of an executor hand each other in its memory, also when the worker that put it dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import holdfast
from holdfast import executors
from holdfast.errors import TaskLost, ValueLost

from ..clusters.dask_cluster import DaskCluster

ROWS = 100_000


def puts(key: str, value: Any = None) -> int:
    frame = pd.DataFrame({"a": np.arange(ROWS), "b": 1.5}) if value is None else value
    assert holdfast.put(key, frame, tier="memory").tier == "ephemeral"
    return os.getpid()


def gets(key: str) -> Any:
    value = holdfast.get(key)
    return float(value["a"].sum()) if isinstance(value, pd.DataFrame) else value


def _run(engine: executors.Executor, function: Any, key: str) -> Any:
    """A cluster may give a task to a worker whose death it has not seen yet."""
    for _ in range(3):
        try:
            return engine.submit(function, key).result(60)
        except TaskLost:
            time.sleep(0.5)
    return engine.submit(function, key).result(60)


def _is_there(key: str) -> bool:
    try:
        gets(key)
    except ValueLost:
        return False
    return True


SUM = float(np.arange(ROWS).sum())


@pytest.fixture(params=["threads", "processes", "ray", "dask"])
def engine(request: pytest.FixtureRequest) -> Iterator[executors.Executor]:
    with ExitStack() as stack:
        address: dict[str, Any] = {}
        if request.param == "ray":
            request.getfixturevalue("ray_driver")
        elif request.param == "dask":
            address = {"address": stack.enter_context(DaskCluster()).address}
        elif request.param == "processes":
            address = {"workers": 2}
        yield stack.enter_context(executors.open(request.param, **address))


def test_from_task_to_task(engine: executors.Executor, tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store, store.context(namespace="prod", workflow="w") as scope:
        for key, value in (("frame", None), ("zero", 0), ("empty", ""), ("none", None.__class__)):
            engine.submit(puts, key, value).result(60)
            assert engine.submit(gets, key).result(60) == (SUM if value is None else value)
        assert gets("frame") == SUM, "the driver finds it as well"
        scope.put("durable", [1])
        scope.put("mine", ["driver's"], tier="memory")
        assert engine.gather([engine.submit(gets, key) for key in ("durable", "mine")], timeout=60) == [
            [1],
            ["driver's"],
        ]
        assert scope.record("mine").row.session == scope.record("frame").row.session
        engine.submit(holdfast.delete, "frame").result(60)
        assert not scope.exists("frame")


def test_the_worker_that_put_it_dies(engine: executors.Executor, tmp_path: Path) -> None:
    if engine.name == "threads":
        return  # its workers are this process
    with holdfast.open(tmp_path / "data") as store, store.context(namespace="prod") as scope:
        durable = scope.put("frame", {"a": [1]}).version
        process = engine.submit(puts, "frame").result(60)
        os.kill(process, signal.SIGKILL)
        end = time.monotonic() + 60
        if engine.name == "dask":  # it had the only copy
            while _is_there("frame"):
                assert time.monotonic() < end
                time.sleep(0.1)
            with pytest.raises(ValueLost, match=f"version {durable} is durable"):
                gets("frame")
        else:
            assert gets("frame") == SUM
            assert _run(engine, gets, "frame") == SUM
        assert scope.get("frame", tier="durable") == {"a": [1]}
        _run(engine, puts, "frame")
        assert gets("frame") == SUM
