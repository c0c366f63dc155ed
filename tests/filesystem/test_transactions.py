"""``with fs.transaction:`` is one commit."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pytest
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

import holdfast
from holdfast.filesystem import HoldfastFileSystem
from tests.filesystem.test_files import leave
from tests.kernel.tools import LARGE, blob_files, in_fork


@pytest.fixture
def outside(store: holdfast.Store) -> HoldfastFileSystem:
    """What another thread has: the same store, another file system."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(HoldfastFileSystem, store).result()


def test_all_files_are_one_commit(fs: HoldfastFileSystem, outside: HoldfastFileSystem, store: holdfast.Store) -> None:
    fs.pipe({"namespace:a/old": b"old", "namespace:a/d/gone": b"gone"})
    with fs.transaction:
        with fs.open("namespace:a/one", "wb") as file:
            file.write(LARGE)
        with fs.open("namespace:b/workflow:w/two", "w") as file:
            file.write("two")
        fs.pipe_file("namespace:a/old", b"new")
        fs.mv("namespace:a/one", "namespace:a/three")
        fs.cp_file("namespace:a/three", "namespace:a/four")
        fs.rm("namespace:a/d", recursive=True)
        fs.touch("namespace:a/five")
        fs.makedirs("namespace:c", exist_ok=True)
        with fs.open("namespace:a/five", "ab") as file:
            file.write(b"5")
        inside = [f"namespace:a/{name}" for name in ("five", "four", "old", "three")]
        assert fs.find("namespace:a") == fs.ls("namespace:a", detail=False) == inside
        assert fs.cat_file("namespace:a/three") == fs.open("namespace:a/four").read() == LARGE
        assert fs.cat_file("namespace:a/five") == b"5"
        assert fs.isdir("namespace:b/workflow:w")
        assert fs.info("namespace:b/workflow:w/two")["size"] == 3
        assert outside.find("") == ["namespace:a/d/gone", "namespace:a/old"]
        assert outside.cat_file("namespace:a/old") == b"old"
    assert outside.find("") == fs.find("") == [*inside, "namespace:b/workflow:w/two"]
    assert outside.cat_file("namespace:a/three") == LARGE
    assert len(blob_files(store)) == 1
    fs.pipe_file("namespace:a/after", b"")
    assert outside.exists("namespace:a/after")


def test_an_exception_leaves_nothing(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    fs.pipe_file("namespace:a/x", b"before")

    def work(given: object) -> None:
        fs.pipe({"namespace:a/x": LARGE, "namespace:b/y": LARGE[::-1]})
        fs.rm("namespace:a/x")
        fs.open("namespace:a/z", "wb").write(LARGE)

    with pytest.warns(ResourceWarning, match="namespace:a/z was never closed"):
        leave(fs.transaction, work)
    assert fs.find("") == ["namespace:a/x"]
    assert fs.info("namespace:a/x")["version"] == 1
    assert blob_files(store) == []
    fs.pipe_file("namespace:a/x", b"after")
    assert fs.info("namespace:a/x")["version"] == 2


def test_an_open_file_stops_the_commit(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    transaction, files = fs.transaction, []

    def work() -> None:
        with transaction:
            fs.pipe_file("namespace:a/y", LARGE)
            files.append(fs.open("namespace:a/x", "wb"))

    with pytest.raises(holdfast.InvalidArgumentError, match="namespace:a/x is still open"):
        work()
    assert files[0].closed
    assert fs.find("") == []
    assert blob_files(store) == []
    with pytest.raises(holdfast.ClosedError, match="has ended"), transaction:
        pass


def test_what_was_read_must_still_hold(fs: HoldfastFileSystem, outside: HoldfastFileSystem) -> None:
    fs.pipe_file("namespace:a/count", b"1")

    def work() -> None:
        with fs.transaction:
            number = int(fs.cat_file("namespace:a/count"))
            outside.pipe_file("namespace:a/count", b"7")
            fs.pipe({"namespace:a/count": b"%d" % (number + 1), "namespace:a/more": b""})

    with pytest.raises(holdfast.ConflictError):
        work()
    assert fs.cat("namespace:a/count") == b"7"
    assert not fs.exists("namespace:a/more")


def test_scopes_in_a_transaction(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    fs.pipe({"namespace:a/x": b"", "namespace:a/workflow:w/y": b"", "namespace:b/z": b""})
    with fs.transaction:
        fs.rm("namespace:a", recursive=True)
        fs.mv("namespace:b", "namespace:c", recursive=True)
        with pytest.raises(holdfast.InvalidArgumentError, match="outside of transactions"):
            fs.rmdir("namespace:b")
        assert len(list(store.namespace("a"))) == 1
        fs.pipe({"namespace:d/workflow:w/instance:i/x": b"", "namespace:c/workflow:v/y": b"", "namespace:d/kept": b""})
        assert fs.find("") == fs.find("namespace:c") + fs.find("namespace:d")
        assert fs.glob("namespace:*") == [f"namespace:{name}" for name in "abcd"]
        assert fs.isdir("namespace:d/workflow:w")
        assert fs.ls("namespace:d/workflow:w", detail=False) == ["namespace:d/workflow:w/instance:i"]
        fs.rm("namespace:d/workflow:w", recursive=True)
        assert not fs.exists("namespace:d/workflow:w")
    assert fs.find("") == ["namespace:c/workflow:v/y", "namespace:c/z", "namespace:d/kept"]
    assert store.namespace("a").present, "a scope is dropped outside of transactions only"


def test_one_at_a_time(fs: HoldfastFileSystem) -> None:
    with fs.transaction:
        with pytest.raises(holdfast.InvalidArgumentError, match="in a transaction already"), fs.transaction:
            pass
        with pytest.raises(holdfast.InvalidArgumentError, match="in a transaction already"):
            fs.start_transaction()
        with pytest.raises(holdfast.InvalidArgumentError, match="stays in its process"):
            pickle.dumps(fs)
        fs.pipe_file("namespace:a/x", b"1")
    fs.start_transaction()
    fs.pipe_file("namespace:a/y", b"1")
    assert fs.transaction.ledger is not None
    fs.end_transaction()
    assert fs.find("") == ["namespace:a/x", "namespace:a/y"]
    fs.end_transaction()
    transaction = fs.start_transaction()
    transaction.complete(commit=False)
    with pytest.raises(holdfast.ClosedError, match="has ended"):
        transaction.complete()


def test_addresses_take_part(
    fs: HoldfastFileSystem, outside: HoldfastFileSystem, store: holdfast.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this thread writes by address is written by this file system; other threads have theirs."""
    monkeypatch.setenv("HOLDFAST_STORE", store.config.store)
    frame = pd.DataFrame({"a": range(10)})
    fs = fsspec.filesystem("holdfast")
    with fs.transaction:
        frame.to_parquet("holdfast://namespace:a/frame.parquet")
        frame.to_csv("holdfast://namespace:a/frame.csv")
        with fsspec.open("holdfast://namespace:a/text", "w") as file:
            file.write("text")
        place = zarr.storage.FsspecStore(AsyncFileSystemWrapper(fs, asynchronous=True), path="namespace:a/array")
        zarr.create_array(place, shape=(4, 4), chunks=(2, 2), dtype="f8")[:] = np.ones((4, 4))
        table = pa.table({"a": range(100), "b": [str(n % 10) for n in range(100)]})
        pa.dataset.write_dataset(table, "namespace:a/parts", filesystem=fs, format="parquet", partitioning=["b"])
        with ThreadPoolExecutor(1) as other:
            other.submit(fsspec.filesystem("holdfast").pipe_file, "namespace:b/joins", b"").result()
            other.submit(lambda: fsspec.filesystem("holdfast").pipe_file("namespace:b/apart", b"")).result()
        assert outside.find("") == ["namespace:b/apart"]
    assert len(outside.find("namespace:a/parts")) == 10
    assert outside.find("namespace:b") == ["namespace:b/apart", "namespace:b/joins"]
    pd.testing.assert_frame_equal(pd.read_parquet("holdfast://namespace:a/frame.parquet"), frame)
    assert zarr.open_array("holdfast://namespace:a/array", mode="r")[3, 3] == 1
    assert outside.cat_file("namespace:a/text") == b"text"


def test_many_threads_write_in_one_transaction(fs: HoldfastFileSystem, outside: HoldfastFileSystem) -> None:
    names = [f"namespace:a/{number:03}" for number in range(200)]

    def write(name: str) -> None:
        with fs.open(name, "wb") as file:
            file.write(name.encode() * (1 if name[-1] != "0" else 4000))
        assert fs.exists(name)
        assert name in fs.ls("namespace:a", detail=False)

    with fs.transaction, ThreadPoolExecutor(8) as pool:
        list(pool.map(write, names))
        assert outside.find("") == []
    assert outside.find("") == names
    assert {fs.cat_file(name)[:15].decode() for name in names} == set(names)


def test_a_fork_takes_no_part(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    def child() -> None:
        with pytest.raises(holdfast.InvalidArgumentError, match="stays in the process"):
            fs.pipe_file("namespace:a/child", b"")
        with pytest.raises(holdfast.InvalidArgumentError, match="stays in the process"):
            fs.transaction.complete()
        mine = HoldfastFileSystem(store)
        assert mine is not fs
        mine.pipe_file("namespace:a/mine", b"")

    def unwinds() -> None:
        transaction.__exit__(RuntimeError, RuntimeError(), None)
        fs.pipe_file("namespace:a/later", b"")

    with fs.transaction as transaction:
        fs.pipe_file("namespace:a/parent", LARGE)
        assert in_fork(child) == 0
        assert in_fork(unwinds) == 0
        assert len(blob_files(store)) == 1
        assert not fs.exists("namespace:a/child")
    assert fs.find("") == ["namespace:a/later", "namespace:a/mine", "namespace:a/parent"]
    assert fs.cat_file("namespace:a/parent") == LARGE
