"""A whole store whose bytes lie in an author's storage: any order of verbs, memoized calls, killed processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast.registry import Registry
from holdfast.testing.processes import in_child, killed_child
from holdfast.testing.state_machine import check_store

from .authors import FileStorage, MemoryStorage

LARGE = bytes(range(256)) * 200


def opened(folder: str | os.PathLike[str], **settings: Any) -> holdfast.Store:
    return holdfast.open(folder, storage=FileStorage(f"{folder}-bytes"), **settings)


def test_any_order_of_verbs() -> None:
    check_store(opened, max_examples=6, stateful_step_count=25)


def test_any_order_of_verbs_with_all_values_there() -> None:
    check_store(lambda folder: opened(folder, inline=0), max_examples=4)


def test_values_of_many_kinds(tmp_path: Path) -> None:
    array = np.arange(300_000, dtype="f8")
    with opened(tmp_path / "data") as store:
        scope = store.namespace("prod")
        scope.put("array", array)
        scope.put("nested", {"a": [array, "x" * 50_000]})
        scope.put("text", "größe" * 20_000, compression="zstd")
        again = scope.get("array")
        again[0] = 7  # writable, and the store is not changed by it
        assert np.array_equal(scope.get("array"), array)
        assert np.array_equal(scope.get("nested")["a"][0], array)
        assert scope.get("text") == "größe" * 20_000
        scope.put_file(_file(tmp_path, LARGE), "data.bin")
        scope.get_file("data.bin", tmp_path / "back.bin")
        assert (tmp_path / "back.bin").read_bytes() == LARGE
        scope.copy("array", "copy")
        scope.rename("copy", "moved")
        assert np.array_equal(scope.get("moved"), array)
        assert not store.verify().problems


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "local.bin"
    path.write_bytes(data)
    return path


def test_memoized_calls(tmp_path: Path) -> None:
    notes = str(tmp_path / "notes")
    with opened(tmp_path / "data") as store:

        @store.memoize
        def table(size: int) -> Any:
            with open(notes, "a") as file:
                file.write(f"{size} ")
            return np.zeros(size)

        @store.memoize
        async def other(size: int) -> bytes:
            with open(notes, "a") as file:
                file.write(f"{size} ")
            return bytes(size)

        async def main() -> None:
            for _ in range(2):
                assert await other(3_000_000) == bytes(3_000_000)

        for _ in range(2):
            assert table(100_000).shape == (100_000,)
            asyncio.run(main())
    assert Path(notes).read_text() == "100000 3000000 "


def test_other_processes_and_pickles(tmp_path: Path) -> None:
    import pickle

    with opened(tmp_path / "data") as store:
        scope = store.namespace("prod")
        scope.put("k", LARGE)
        assert in_child(lambda: scope.get("k") == LARGE)
        again = pickle.loads(pickle.dumps(scope))
        assert again.get("k") == LARGE


def test_a_memory_storage_ends_with_its_process(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data", storage=MemoryStorage()) as store:
        store.namespace("prod").put("k", LARGE)
        assert store.namespace("prod").get("k") == LARGE
    store = holdfast.open(tmp_path / "data", storage=MemoryStorage())
    with store, pytest.raises(holdfast.ValueLost, match=r"namespace:prod/k.*authors.memory@v1"):
        store.namespace("prod").get("k")


def test_a_storage_that_is_not_registered(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as store:
        store.namespace("prod").put("k", LARGE)
    with pytest.raises(holdfast.NotRegisteredError, match=r"authors.file@v1"):
        holdfast.open(tmp_path / "data")
    with holdfast.open(tmp_path / "data", storage="files") as store:
        assert store.namespace("prod").record("k").contents["value"].storage == FileStorage.name
        with pytest.raises(holdfast.NotRegisteredError, match=r"authors.file@v1"):
            store.namespace("prod").get("k")
    with pytest.raises(holdfast.NotRegisteredError, match=r"authors.file@v2.*did you mean authors.file@v1"):
        holdfast.open(tmp_path / "b", storage="authors.file@v2", registry=Registry(storages=[FileStorage]))


def test_kills(tmp_path: Path) -> None:
    """At any moment of puts, files and collections: what was acknowledged is there, whole, and nothing else shows."""
    folder, told = tmp_path / "data", tmp_path / "told"
    opened(folder).close()
    for round_number in range(3):

        def child(report: Any, number: int = round_number) -> None:
            report(True)
            _write_for_ever(folder, told, number)

        _killed_after(0.3 + 0.05 * round_number, child)
        with opened(folder) as store:
            scope = store.namespace("prod")
            for line in told.read_text().splitlines() if told.exists() else []:
                key, fill, size = json.loads(line)
                assert scope.get(key) == bytes([fill]) * size
            assert not store.verify().problems
            for key in scope:
                assert len(set(scope.get(key))) == 1
    with opened(folder) as store:
        assert len(list(store.namespace("prod").keys())) > 10, "hardly anything was written: the test is of no worth"


def _write_for_ever(folder: Path, told: Path, number: int) -> None:
    with opened(folder) as store, open(told, "a") as acknowledged:
        scope = store.namespace("prod")
        for count in range(10_000):
            fill, size = (number + count) % 5, 40_000 if count % 3 else 1_500_000
            key = f"{number}-{count}"
            if count % 2:
                scope.put(key, bytes([fill]) * size)
            else:
                scope.put_chunks(key, [bytes([fill]) * (size // 2)] * 2)
            acknowledged.write(json.dumps([key, fill, size]) + "\n")
            acknowledged.flush()
            scope.put("passing", bytes([count % 256]) * 50_000)
            scope.delete("passing")
            if count % 4 == 0:
                store.gc(wait=5)


def _killed_after(seconds: float, work: Any) -> None:
    child = os.fork()
    if not child:
        try:
            work(lambda answer: None)
        finally:
            os._exit(1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_what_a_killed_writer_left_is_its_author_s_affair(tmp_path: Path) -> None:
    """No record shows it, and nothing that others need is taken for it."""
    with opened(tmp_path / "data") as store:
        store.namespace("prod").put("k", LARGE)

    def child(report: Any) -> None:
        with opened(tmp_path / "data") as store:
            file = store.namespace("prod").open("half", "wb")
            file.write(bytes(3_000_000))
            file.flush()
            report(True)
            signal.pause()

    assert killed_child(child)
    with opened(tmp_path / "data") as store:
        store.gc()
        assert list(store.namespace("prod").keys()) == ["k"]
        assert store.namespace("prod").get("k") == LARGE
