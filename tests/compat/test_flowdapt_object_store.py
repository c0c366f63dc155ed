"""The object store and cluster memory through the Flowdapt face, on each engine (P1, P2, P4, P5, P6)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import holdfast
from holdfast import EncodeError, InvalidArgumentError, NotFoundError, NotRegisteredError, StorageFullError, executors
from holdfast.compat.flowdapt.compute import object_store
from holdfast.compat.flowdapt.compute.artifacts import get_artifact, list_artifacts, new_artifact
from holdfast.compat.flowdapt.compute.artifacts.dataset import dataframe_from_artifact, dataframe_to_artifact
from holdfast.compat.flowdapt.compute.cluster_memory import (
    check_for_key_in_cluster_memory,
    delete_from_cluster_memory,
    get_cluster_memory,
    get_cluster_memory_backend,
    get_from_cluster_memory,
    put_in_cluster_memory,
)
from holdfast.compat.flowdapt.compute.executor.dask.cluster_memory import DaskClusterMemory
from holdfast.compat.flowdapt.compute.executor.local.cluster_memory import LocalClusterMemory
from holdfast.compat.flowdapt.compute.executor.ray.cluster_memory import RayClusterMemory
from holdfast.compat.flowdapt.compute.object_store import (
    Strategy,
    default_load_hook,
    default_save_hook,
    delete,
    exists,
    get,
    put,
)
from holdfast.compat.flowdapt.compute.resources.workflow.context import (
    WorkflowRunContext,
    reset_run_context,
    set_run_context,
)

from ..clusters.ray_cluster import QUIET
from .flowdapt_engines import run
from .jobs import python

FRAME = pd.DataFrame({"a": np.arange(20_000), "b": np.arange(20_000) * 0.5})


class Thing:
    """What a serializer for plain data does not take."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and self.value == other.value

    def __hash__(self) -> int:
        return self.value


VALUES: dict[str, Any] = {
    "zero": 0, "empty": "", "list": [], "none": None, "false": False, "dict": {"a": (1, {2})}, "bytes": b"\0" * 100_000,
    "array": np.arange(50_000.0), "frame": FRAME, "thing": Thing(7),
}  # fmt: skip


def same(left: Any, right: Any) -> bool:
    if isinstance(right, pd.DataFrame):
        return bool(left.equals(right))
    return bool(np.array_equal(left, right)) if isinstance(right, np.ndarray) else bool(left == right)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[holdfast.Store]:
    """A store whose memory has room for little."""
    with holdfast.open(tmp_path / "small", memory_size=1_000_000) as opened:
        yield opened


@pytest.fixture
def on(engine: executors.Executor, store: holdfast.Store) -> Iterator[executors.Executor]:
    """An engine whose memory is in force, with a store that is current."""
    with store.context(), executors.using(engine):
        yield engine


@pytest.fixture
def here(store: holdfast.Store) -> Iterator[holdfast.Store]:
    """A store that is current, where the engine is all the same."""
    with store.context():
        yield store


def unfit() -> Iterator[int]:
    yield 1


LARGE = np.arange(1_000_000.0)


# --- P1, P5: values of any type ---------------------------------------------------------------------------------------


def test_p01_p05_values_of_any_type_on_each_engine(on: executors.Executor, store: holdfast.Store) -> None:
    for strategy in (None, *Strategy, "fallback", "artifact", "cluster_memory"):
        for name, value in VALUES.items():
            assert put(name, value, strategy=strategy) is None  # type: ignore[func-returns-value]
            assert same(get(name, strategy=strategy), value), (strategy, name)
            assert exists(name, strategy=strategy)
    for name in VALUES:
        assert store.namespace("default").record(name).tier == "ephemeral"
        assert store.namespace("default").artifact(name).exists


def test_p01_what_is_missing_is_an_error_and_its_deletion_is_none(here: holdfast.Store) -> None:
    ways: list[Any] = [{}, {"strategy": "artifact"}, {"artifact_only": True}, {"strategy": Strategy.CLUSTER_MEMORY}]
    for how in ways:
        with pytest.raises(KeyError, match="missing"):
            get("missing", **how)
        assert not exists("missing", **how)
        delete("missing", **how)
    for how in ({}, {"artifact_only": True}):
        with pytest.raises(FileNotFoundError):
            get("missing", **how)  # type: ignore[arg-type]
    assert list_artifacts() == []


def test_p01_namespaces_and_engines_are_named(here: holdfast.Store) -> None:
    put("k", 1, namespace="a")
    put("k", 2, namespace="b", artifact_only=True)
    put("k", 3, executor="local", cluster_memory_params={})
    assert (get("k", namespace="a"), get("k", namespace="b"), get("k")) == (1, 2, 3)
    delete("k", namespace="a")
    assert not exists("k", namespace="a")
    put("k", 4, artifact_only=True, artifact_params={"protocol": "memory", "base_path": "beside"})
    assert get("k", artifact_only=True, artifact_params={"protocol": "memory", "base_path": "beside"}) == 4
    assert not exists("k", artifact_only=True)
    token = set_run_context(WorkflowRunContext(namespace="b", executor="local"))
    try:
        assert get("k") == 2
    finally:
        reset_run_context(token)


def test_p01_hooks_save_and_load(here: holdfast.Store) -> None:
    put("k", FRAME, artifact_only=True, save_artifact_hook=dataframe_to_artifact("csv", num_parts=12))
    assert len(get_artifact("k").list_files()) == 12
    assert get("k", load_artifact_hook=dataframe_from_artifact("csv")).equals(FRAME)
    with pytest.raises(FileNotFoundError, match="load_artifact_hook"):
        get("k")
    default_save_hook()(made := new_artifact("by-hand"), [1])
    assert (default_load_hook()(made), made["value_type"], get("by-hand")) == ([1], "object", [1])


def test_p01_bad_input(here: holdfast.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for call in (get, delete, exists, lambda key, **how: put(key, 1, **how)):
        with pytest.raises(ValueError, match="no strategy 'nonsense': name one of fallback, artifact, cluster_memory"):
            call("k", strategy="nonsense")
        with pytest.raises(ValueError, match=r"no executor 'nonsense'.*local, ray, dask"):
            call("k", executor="nonsense")
        with pytest.raises(InvalidArgumentError, match="no parameter 'x'"):
            call("k", cluster_memory_params={"x": 1})
    for key in ("a b", "../a"):
        with pytest.raises(ValueError, match="letters, digits"):
            put(key, 1, artifact_only=True)
        put(key, 1)
        assert get(key) == 1
        delete(key)
        assert not exists(key)
    with pytest.raises(AssertionError):
        put("", 1, artifact_only=True)
    assert list_artifacts() == []
    monkeypatch.setenv("HOLDFAST_FLOWDAPT_STRATEGY", "artifact")
    put("k", 1)
    assert [artifact.name for artifact in list_artifacts()] == ["k"]
    assert not exists("k", strategy="cluster_memory")


# --- P2: two copies ---------------------------------------------------------------------------------------------------


def test_p02_each_copy_is_acted_on_alone(on: executors.Executor) -> None:
    put("k", "memory")
    put("k", "artifact", artifact_only=True)
    assert (get("k"), get("k", artifact_only=True)) == ("memory", "artifact")
    assert get("k", strategy="cluster_memory") == "memory"
    delete("k")
    assert not exists("k", strategy="cluster_memory")
    assert exists("k", artifact_only=True)
    put("k", "again", strategy="cluster_memory")
    delete("k", artifact_only=True)
    assert (get("k"), exists("k", artifact_only=True)) == ("again", False)
    delete("k", strategy="cluster_memory")
    assert not exists("k")
    with pytest.raises(KeyError):
        get("k")


def test_p02_what_memory_cannot_hold_is_an_artifact(small: holdfast.Store) -> None:
    with small.context() as scope:
        with pytest.raises(StorageFullError):
            put("k", LARGE, strategy="cluster_memory")
        put("k", LARGE)
        assert not scope.exists("k", tier="memory")
        assert np.array_equal(get("k"), LARGE)
        assert exists("k")
        delete("k")
        assert not exists("k")
        assert not exists("k", artifact_only=True)
        assert list_artifacts() == []


def test_p02_a_put_takes_the_place_of_one_in_the_other_tier(small: holdfast.Store) -> None:
    with small.context():
        put("k", "small")
        put("k", LARGE)
        assert not exists("k", strategy="cluster_memory")
        assert np.array_equal(get("k"), LARGE)
        put("k", "small again")
        assert get("k") == "small again"
        assert not exists("k", artifact_only=True)
        delete("k")
        assert not exists("k")


def test_p02_a_copy_that_was_put_as_an_artifact_stays_one(small: holdfast.Store) -> None:
    with small.context():
        put("k", "kept", artifact_only=True)
        put("k", "small")
        delete("k")
        assert get("k") == get("k", artifact_only=True) == "kept"
        put("k", LARGE)
        put("k", "kept", artifact_only=True)
        delete("k")
        assert get("k") == "kept"
        delete("k", artifact_only=True)
        assert not exists("k")


def test_p02_a_put_that_fails_changes_nothing(small: holdfast.Store) -> None:
    def fail(artifact: Any, value: Any) -> None:
        artifact.new_file("half", "x")
        raise ZeroDivisionError

    with small.context():
        for key in ("old", "new"):
            if key == "old":
                put(key, "old")
            for how in ({}, {"artifact_only": True}):
                with pytest.raises(ZeroDivisionError):
                    put(key, LARGE, save_artifact_hook=fail, **how)  # type: ignore[arg-type]
            with pytest.raises(EncodeError):
                put(key, unfit())
        assert (get("old"), exists("new"), list_artifacts()) == ("old", False, [])
        put("new", unfit(), save_artifact_hook=lambda artifact, value: artifact.new_file("f", "x"))
        assert get("new", load_artifact_hook=lambda artifact: artifact.get_file("f").read()) == b"x"


def test_p02_puts_at_once_leave_one_value(small: holdfast.Store) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def work(number: int) -> None:
        with small.context():
            for _ in range(4):
                put("k", LARGE if number % 2 else "small")
                found = get("k")
                assert isinstance(found, str) or len(found) == len(LARGE)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    with small.context():
        assert exists("k")
        delete("k")
        assert not exists("k")


# --- P5: serializers --------------------------------------------------------------------------------------------------


def test_p05_a_serializer_is_asked_for_by_name(here: holdfast.Store) -> None:
    for name, native in (
        ("pickle", "holdfast.pickle@v1"), ("json", "holdfast.json@v1"), ("holdfast.msgpack@v1", "holdfast.msgpack@v1"),
    ):  # fmt: skip
        put("k", {"a": [1, "x"]}, serializer=name)
        put("k", {"a": [1, "x"]}, serializer=name, artifact_only=True)
        scope = here.namespace("default")
        assert scope.record("k", tier="memory").serializer == native
        assert scope.artifact("k").scope.record("object").serializer == native
        assert get("k") == get("k", artifact_only=True) == {"a": [1, "x"]}
    for how in ({}, {"artifact_only": True}):
        with pytest.raises(NotRegisteredError, match="nonsense"):
            put("k", 1, serializer="nonsense", **how)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="tuple"):
            put("k", {"a": (1,)}, serializer="json", **how)  # type: ignore[arg-type]


def test_p05_a_serializer_of_ones_own(here: holdfast.Store) -> None:
    class Reversed:
        @staticmethod
        def dumps(value: str) -> bytes:
            return value[::-1].encode()

        @staticmethod
        def loads(data: bytes) -> str:
            return data.decode()[::-1]

    put("k", "abc", artifact_only=True, save_artifact_hook=default_save_hook(Reversed))
    assert get_artifact("k").get_file("object").read() == b"cba"
    assert get("k", artifact_only=True, load_artifact_hook=default_load_hook(Reversed)) == "abc"


# --- P3, P4: from stage to stage --------------------------------------------------------------------------------------


def test_p03_p04_what_a_stage_puts_a_later_run_gets(
    engine: executors.Executor,
    here: holdfast.Store,
) -> None:
    def prepare() -> str:
        import numpy as np
        import pandas as pd

        from holdfast.compat.flowdapt.compute.artifacts import new_artifact
        from holdfast.compat.flowdapt.compute.artifacts.dataset import dataframe_to_artifact
        from holdfast.compat.flowdapt.compute.cluster_memory import get_cluster_memory
        from holdfast.compat.flowdapt.compute.object_store import put

        frame = pd.DataFrame({"a": np.arange(20_000)})
        put("frame", frame)
        put("frame", pd.DataFrame({"a": np.arange(3)}), artifact_only=True)
        put("parts", frame, artifact_only=True, save_artifact_hook=dataframe_to_artifact(num_parts=11))
        get_cluster_memory().put("cities", ["Moab"], namespace="prod")
        new_artifact("files").new_file("f", "text")
        return type(get_cluster_memory()).__name__

    def use() -> list[Any]:
        from holdfast.compat.flowdapt.compute.artifacts import get_artifact
        from holdfast.compat.flowdapt.compute.artifacts.dataset import dataframe_from_artifact
        from holdfast.compat.flowdapt.compute.cluster_memory import get_cluster_memory
        from holdfast.compat.flowdapt.compute.object_store import delete, exists, get

        assert get("parts", load_artifact_hook=dataframe_from_artifact()).equals(get("frame"))
        assert len(get_artifact("parts").list_files()) == 11
        found: list[Any] = [len(get("frame")), len(get("frame", artifact_only=True))]
        found += get_cluster_memory().get("cities", namespace="prod")
        found += [get_artifact("files").namespace, get_artifact("files").get_file("f").read()]
        delete("frame")
        return [*found, exists("frame", strategy="cluster_memory"), len(get("frame"))]

    name = "LocalClusterMemory" if engine.memory == "local" else f"{engine.name.title()}ClusterMemory"
    assert run(prepare, executor=engine, namespace="prod") == name
    with executors.using(engine):  # in this process, which is no worker
        assert len(get("frame", namespace="prod")) == 20_000
    assert run(use, executor=engine, namespace="prod") == [20_000, 3, "Moab", "prod", b"text", False, 3]
    with pytest.raises(KeyError):
        run(lambda: object_store.get("frame"), executor="threads", namespace="other")


# --- P6: cluster memory -----------------------------------------------------------------------------------------------


def test_p06_cluster_memory_on_each_engine(on: executors.Executor) -> None:
    memory = get_cluster_memory()
    kinds = {"local": LocalClusterMemory, "ray": RayClusterMemory, "dask": DaskClusterMemory}
    assert type(memory) is type(get_cluster_memory_backend(on.memory)) is kinds[on.memory]
    for name, value in VALUES.items():
        memory.put(name, value)
        assert memory.exists(name)
        assert same(memory.get(name), value), name
    memory.put("list", "other", namespace="other")
    assert (memory.get("list"), memory.get("list", namespace="other")) == ([], "other")
    memory.delete("list")
    memory.delete("list")
    assert (memory.exists("list"), memory.exists("list", namespace="other")) == (False, True)
    for key in ("list", "missing"):
        with pytest.raises(KeyError, match=key):
            memory.get(key)
    memory.clear()
    assert not any(memory.exists(name) for name in VALUES)
    assert not memory.exists("list", namespace="other")


def test_p06_clear_leaves_what_lasts(here: holdfast.Store) -> None:
    scope = here.namespace("default")
    scope.put("both", "durable")
    scope.put("durable", 1)
    get_cluster_memory().put("both", "memory")
    put("artifact", 1, artifact_only=True)
    get_cluster_memory().clear()
    assert (scope.get("both"), scope.get("durable"), get("artifact")) == ("durable", 1, 1)


def test_p06_functions_by_engine_and_namespace(here: holdfast.Store) -> None:
    put_in_cluster_memory("k", 0, namespace="n", backend="local")
    assert get_from_cluster_memory("k", namespace="n", backend="local") == 0
    assert check_for_key_in_cluster_memory("k", namespace="n", backend="local")
    assert not check_for_key_in_cluster_memory("k")
    delete_from_cluster_memory("k", namespace="n")
    with pytest.raises(NotFoundError):
        get_from_cluster_memory("k", namespace="n")
    for backend in ("nonsense", 7):
        with pytest.raises(ValueError, match="name one of local, ray, dask"):
            get_cluster_memory_backend(backend)  # type: ignore[arg-type]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ["threads", *(pytest.param(name, marks=pytest.mark.long) for name in ("ray", "dask"))])
def test_p06_values_end_with_the_engine(tmp_path: Path, name: str) -> None:
    code = """
import sys, holdfast
from holdfast import executors
from holdfast.compat.flowdapt.compute.cluster_memory import get_cluster_memory
with holdfast.open(sys.argv[1]) as store, store.context(), executors.open(sys.argv[2], workers=1):
    memory = get_cluster_memory()
    print(memory.exists("small"), memory.exists("large"))
    memory.put("small", 0)
    memory.put("large", bytes(1_000_000))
    print(memory.get("small"), len(memory.get("large")))
"""
    more: dict[str, Any] = {"RAY_ADDRESS": "local", **QUIET}
    for _ in range(2):  # on an engine of its own each
        done = python("-c", code, tmp_path / "data", name, seconds=100, **more)
        assert done.stdout == "False False\n0 1000000\n"
