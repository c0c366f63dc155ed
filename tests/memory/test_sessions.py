"""What is in memory ends with its session, however that ends, and nothing of it is shown any more."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast.errors import NotFoundError, StoreError, ValueLost
from holdfast.storages.dask import DaskMemory
from holdfast.storages.local import LocalMemory
from holdfast.testing.processes import in_child
from holdfast.values import put_of

from ..clusters.dask_cluster import DaskCluster
from ..clusters.ray_cluster import RayCluster
from .programs import Program

PUTS = """
import sys, numpy as np, holdfast
scope = holdfast.open(sys.argv[1], memory=sys.argv[2]).namespace("prod")
scope.put("both", "durable")
scope.put("large", np.arange(100_000.0), tier="memory")
scope.put("small", 1, tier="memory")
scope.put("both", "memory", tier="memory")
print("put")
for line in sys.stdin:
    print(float(scope.get("large").sum()))
"""
READS = """
import sys, holdfast
scope = holdfast.open(sys.argv[1], memory=sys.argv[2]).namespace("prod")
print(float(scope.get("large").sum()), scope.get("small"), scope.get("both"))
for line in sys.stdin:
    print(scope.exists("large"))
"""
SUM = float(np.arange(100_000.0).sum())


def _nothing_is_left(scope: holdfast.Scope) -> None:
    assert not scope.exists("large")
    assert not scope.exists("small", tier="memory")
    assert list(scope.keys()) == ["both"]
    assert [(record.key, record.tier) for record in scope.list()] == [("both", "durable")]
    assert scope.get("both") == "durable"
    assert scope.record("both").tier == "durable"
    assert scope.entry("both").value == "durable"
    assert scope.usage().records == 1
    for verb in (scope.get, scope.record, scope.entry, scope.delete):
        with pytest.raises(NotFoundError):
            verb("large")
    scope.put("large", 1, if_absent=True)
    assert scope.get("large") == 1


@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_the_last_process_of_this_machine(tmp_path: Path, how: str) -> None:
    folder = str(tmp_path / "data")
    with Program(PUTS, folder, "local") as puts:
        assert puts.says() == "put"
        with holdfast.open(folder) as store:
            assert store.namespace("prod").exists("large")
        if how == "ends":
            assert puts.end() == 0
        else:
            puts.kill()
    with holdfast.open(folder) as store:
        _nothing_is_left(store.namespace("prod"))
        id = store.id
    assert _files(id) == []


def _files(store: str) -> list[str]:
    """What is in the memory of this machine of a store."""
    LocalMemory.sweep()
    folder = f"/dev/shm/holdfast-{os.geteuid()}"
    return [name for name in os.listdir(folder) if name.startswith(store)] if os.path.isdir(folder) else []


def test_a_reader_goes_on_when_who_put_is_killed(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    with ExitStack() as stack:
        puts = stack.enter_context(Program(PUTS, folder, "local"))
        assert puts.says() == "put"
        reads = stack.enter_context(Program(READS, folder, "local"))
        assert reads.says() == f"{SUM} 1 memory"
        puts.kill()
        reads.tell()
        assert reads.says() == "True", "it is part of the session"
        again = stack.enter_context(Program(READS, folder, "local"))
        assert again.says() == f"{SUM} 1 memory"


def test_what_was_mapped_outlives_the_session(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    with holdfast.open(folder) as store:
        store.namespace("prod").put("key", np.arange(100_000.0), tier="memory")
        array = store.namespace("prod").get("key")
    assert array.sum() == SUM
    with holdfast.open(folder) as store:
        assert not store.namespace("prod").exists("key")


def test_a_new_session_does_not_show_what_was_of_the_last(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    with Program(PUTS, folder, "local") as puts:
        assert puts.says() == "put"
        puts.kill()
    with holdfast.open(folder) as store:
        scope = store.namespace("prod")
        scope.put("new", np.zeros(100_000), tier="memory")
        assert list(scope.keys()) == ["both", "new"]
        assert not scope.exists("small")


def test_nothing_of_an_ended_session_stands_in_the_way(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with holdfast.open(folder) as store:
        store.namespace("prod").put("sum", 1)
    code = """
import sys, holdfast
store = holdfast.open(sys.argv[1])
for name in ("prod", "empty"):
    store.namespace(name).put("new", 5, tier="memory")
    store.namespace(name).put("sum", 7, tier="memory")
print("put")
input()
"""
    with holdfast.open(folder) as store:
        store.namespace("prod").set_policy(max_records=3)
    for what in ("add", "drop", "absent", "stream", "quota", "await"):
        with Program(code, str(folder)) as program:
            assert program.says() == "put"
            program.kill()
        with holdfast.open(folder) as store:
            if what == "drop":
                store.namespace("empty").drop(only_empty=True)
                continue
            scope = store.namespace("prod")
            if what == "quota":
                scope.put("other", 1)
            elif what == "absent":
                scope.put("new", 1, if_absent=True)
            elif what == "stream":
                scope.put_chunks("new", [b"x"], if_absent=True)
            elif what == "await":
                asyncio.run(store.aio.namespace("prod").put("new", 1, if_absent=True))
            else:
                assert scope.add("new").value == 1
                assert scope.add("sum").value == 2
            for key in ("new", "other"):
                scope.delete(key, missing_ok=True)


def test_a_forked_child_is_of_the_same_session(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("prod")
        scope.put("mine", np.arange(100_000.0), tier="memory")

        def child() -> float:
            scope.put("his", np.arange(100_000.0) + 1, tier="memory")
            return float(scope.get("mine").sum())

        assert in_child(child) == SUM
        assert scope.get("his").sum() == SUM + 100_000


def test_a_full_memory_makes_room_and_says_so(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data", memory_size=4_000_000) as store:
        scope = store.namespace("prod")
        first = scope.put("first", "durable").version
        scope.put("first", np.zeros(125_000), tier="memory")
        for number in range(2):
            scope.put(f"key{number}", np.full(125_000, number), tier="memory")
        mapped = scope.get("key1")
        for number in range(2, 6):
            scope.put(f"key{number}", np.full(125_000, number), tier="memory")
        assert (mapped == 1).all()
        assert (scope.get("key1") == 1).all(), "what is mapped made room"
        with pytest.raises(ValueLost, match=rf"make room.*version {first} is durable"):
            scope.get("first")
        with pytest.raises(holdfast.StorageFullError, match=r"memory_size"):
            scope.put("large", np.zeros(1_000_000), tier="memory")
        assert not scope.exists("large")
        record = scope.put("large", np.zeros(1_000_000), tier="auto")
        assert (record.tier, record.durability) == ("durable", "process")
        assert (scope.get("key5") == 5).all()


@dataclass(eq=False)
class Sample(holdfast.StorableDataclass, class_id="e0000702"):
    """An object with a content of its own."""

    array: np.ndarray


def test_what_an_object_has_replaced_makes_room_before_what_is_needed(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data", memory_size=16 << 20) as store:
        scope = store.namespace("prod")
        scope.put("needed", np.arange(250_000.0), tier="memory")
        for number in range(12):
            scope.put("object", Sample(array=np.full(250_000, float(number))), tier="memory")
        for number in range(12):
            scope.put(f"object {number}", Sample(array=np.full(250_000, 1.0)), tier="memory")
            scope.delete(f"object {number}")
        assert scope.get("needed").sum() == np.arange(250_000.0).sum()
        assert scope.get("object").array[0] == 11.0


@pytest.mark.parametrize("how", ["expired", "dropped"])
def test_what_nobody_can_get_makes_room_before_what_is_needed(tmp_path: Path, how: str) -> None:
    with holdfast.open(tmp_path / "data", memory_size=16 << 20) as store:
        scope = store.namespace("prod")
        scope.put("needed", np.arange(250_000.0), tier="memory")
        for number in range(5):
            other = store.namespace(f"of {number}")
            other.put("key", np.zeros(250_000), tier="memory", expires=timedelta(seconds=0.1))
            if how == "dropped":
                other.drop()
        time.sleep(0.6)
        for number in range(4):
            scope.put(f"key {number}", np.zeros(250_000), tier="memory")
        assert scope.get("needed").sum() == np.arange(250_000.0).sum()


def test_a_put_that_is_committed_does_not_fail_by_what_it_has_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: LocalMemory, configs: Any) -> None:
        raise StoreError("too many open files")

    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("prod")
        scope.put("key", np.zeros(250_000), tier="memory")
        with monkeypatch.context() as patch:
            patch.setattr(LocalMemory, "delete_many", fail)
            scope.put("key", np.ones(250_000), tier="memory")
        assert scope.get("key")[0] == 1.0
        assert store.gc().blobs == 1


FAR = "holdfast.dask@v1 tcp://{}:9|Scheduler-11111111-1111-1111-1111-111111111111"


def _of_session(scope: holdfast.Scope, session: str) -> None:
    """Put a record as who has that session would."""
    scope.put("key", b"x", tier="memory")
    row = scope._kernel.catalog.entry(scope.path, "key")[0]
    scope._kernel.catalog.commit([put_of(scope.path, "key", row)._replace(session=session)])


def test_no_cluster_is_asked_in_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def alive(self: DaskMemory, session: str) -> bool:
        asked.append(threading.current_thread())
        return True

    monkeypatch.setattr(DaskMemory, "alive", alive)

    async def look(store: holdfast.Store) -> None:
        scope = store.aio.namespace("prod")
        assert [key async for key in scope] == ["key"]
        assert await scope.exists("key")
        assert await scope.get("key") == b"x"
        assert (await scope.record("key")).tier == "ephemeral"
        await scope.set_tags("key", {"a": "b"})

    with holdfast.open(tmp_path / "data") as store:
        _of_session(store.namespace("prod"), FAR.format("127.0.0.1"))
        asyncio.run(look(store))
    assert asked
    assert threading.main_thread() not in asked


@pytest.mark.parametrize("host", ["a..b", "a" * 70, "%"])
def test_a_session_of_no_address_is_in_nobodys_way(tmp_path: Path, host: str) -> None:
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("prod")
        _of_session(scope, FAR.format(host))
        assert list(scope.keys()) == ["key"]
        assert scope.get("key") == b"x"
        scope.delete("key")


def test_a_copy_of_the_store_leaves_its_memory_alone(tmp_path: Path) -> None:
    folder, copy = tmp_path / "data", tmp_path / "copy"
    with holdfast.open(folder) as store:
        store.namespace("prod").put("large", np.zeros(100_000), tier="memory")
    with holdfast.open(folder) as store:
        scope = store.namespace("prod")
        scope.put("own", np.zeros(100_000), tier="memory")
        with Program(PUTS, str(folder), "local") as program:
            assert program.says() == "put"
            assert scope.get("large").sum() == SUM
            program.kill()
        assert scope.get("large").sum() == SUM, "its session is this process's too"
        shutil.copytree(folder, copy)
        with holdfast.open(copy) as twin:
            other = twin.namespace("prod")
            assert list(other.keys()) == ["both"]
            other.put("own", np.ones(100_000), tier="memory")
            twin.gc()
            assert other.get("own").sum() == 100_000
        assert scope.get("own").sum() == 0
        assert scope.get("large").sum() == SUM


def test_what_is_put_by_auto_stays(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data", memory_size=4_500_000) as store:
        scope = store.namespace("prod")
        scope.put("goes", np.zeros(125_000), tier="memory")
        tiers = [scope.put(f"key{n}", np.full(125_000, n), tier="auto").tier for n in range(6)]
        assert tiers == ["ephemeral"] * 3 + ["durable"] * 3, "auto made others go"
        scope.put("other", np.ones(125_000), tier="memory")
        with pytest.raises(ValueLost):
            scope.get("goes")
        with pytest.raises(holdfast.StorageFullError):
            scope.put("large", np.ones(250_000), tier="memory")
        assert all((scope.get(f"key{n}") == n).all() for n in range(6))
        scope.delete("key0")
        assert scope.put("key6", np.full(125_000, 6), tier="auto").tier == "ephemeral", "what was deleted makes room"
        assert store.verify().problems == [], "what had to make room is no damage"


def test_where_there_is_no_shared_memory(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data", memory_folder=tmp_path / "memory") as store:
        scope = store.namespace("prod")
        scope.put("key", np.arange(100_000.0), tier="memory")
        assert scope.get("key").sum() == SUM
        assert any((tmp_path / "memory").iterdir())
    assert list((tmp_path / "memory").iterdir()) == []


# --- clusters ---------------------------------------------------------------------------------------------------------


def _wait(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_dask_cluster(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    with DaskCluster() as cluster:
        environment = {"DASK_SCHEDULER_ADDRESS": cluster.address}
        with Program(PUTS, folder, "dask", environment=environment) as puts:
            assert puts.says() == "put"
            assert puts.end() == 0
        with Program(READS, folder, "dask", environment=environment) as reads:
            assert reads.says() == f"{SUM} 1 memory", "it ended with the client that put it"
            cluster.kill()
            with holdfast.open(folder) as store:
                scope = store.namespace("prod")
                _wait(lambda: not scope.exists("large"))
                _nothing_is_left(scope)


class Counted:
    """Counts how often it is pickled."""

    times = 0

    def __reduce__(self) -> Any:
        Counted.times += 1
        return bytes, (bytes(1_000_000),)


def test_what_has_no_room_is_made_into_bytes_once(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data", memory_size=300_000) as store:
        before = Counted.times
        assert store.namespace("prod").put("key", Counted(), tier="auto").tier == "durable"
        assert Counted.times == before + 1


@pytest.mark.long
def test_a_ray_cluster(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    with ExitStack() as stack:
        with RayCluster() as cluster:
            with Program(PUTS, folder, "ray", environment=cluster.environment) as puts:
                assert puts.says() == "put"
                puts.kill()
            reads = stack.enter_context(Program(READS, folder, "ray", environment=cluster.environment))
            assert reads.says() == f"{SUM} 1 memory", "it ended with the driver that put it"
            reads.kill()
        with holdfast.open(folder) as store:
            scope = store.namespace("prod")
            _wait(lambda: not scope.exists("large"))
            _nothing_is_left(scope)


@pytest.mark.parametrize("memory", ["ray", "dask"])
def test_no_cluster_is_told_so(tmp_path: Path, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "DASK_SCHEDULER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    program = f"""
import holdfast
scope = holdfast.open({str(tmp_path / "data")!r}, memory={memory!r}).namespace("prod")
try:
    scope.put("key", 1, tier="memory")
except holdfast.StoreError as error:
    print(type(error).__name__, error)
print(scope.exists("key"))
"""
    with Program(program, environment={"RAY_TMPDIR": str(tmp_path)}) as puts:
        told = puts.says()
        assert told.startswith("StoreError")
        assert "executor" in told
        assert puts.says() == "False"


# --- catalogs ---------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite+files", "postgresql+inline", "service+files"])
def stores(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two objects on one store, wherever its catalog is."""
    from ..kernel.places import opener_of, set_keys

    set_keys(monkeypatch)
    opener = opener_of(request.param, request)
    with opener(tmp_path / "data") as one:
        yield one, lambda: holdfast.open(one.config.store)


def test_any_catalog(stores: Any) -> None:
    store, again = stores
    scope = store.namespace("prod")
    scope.put("key", "durable")
    scope.put("key", np.arange(100_000.0), tier="memory")
    scope.put("small", {"a": 1}, tier="memory")
    with again() as other:
        there = other.namespace("prod")
        assert there.get("key").sum() == SUM
        assert there.get("small") == {"a": 1}
        assert there.record("key").tier == "ephemeral"
        assert sorted(there.keys()) == ["key", "small"]
    scope.delete("small")
    store._kernel.catalog.end_session(scope.record("key").row.session)
    assert list(scope.keys()) == ["key"]
    assert scope.get("key") == "durable"
