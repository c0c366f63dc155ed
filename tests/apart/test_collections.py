"""Dask's arrays and frames and polars' lazy frames, piece by piece."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import dask
import dask.array as da
import dask.dataframe as dd
import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pytest

import holdfast
from holdfast import apart
from holdfast.apart.arrays import DaskArraySerializer

NUMBERS = da.arange(6_000, chunks=600).reshape(60, 100)

ARRAYS = {
    "integers": NUMBERS,
    "chunks of several sizes": NUMBERS.rechunk(((10, 50), (30, 0, 70))),
    "one chunk": NUMBERS.rechunk(-1),
    "a smaller last one": NUMBERS.rechunk((25, 30)),
    "other byte order": NUMBERS.astype(">i4"),
    "half floats": NUMBERS.astype("f2"),
    "complex": NUMBERS.astype("c8"),
    "long doubles": NUMBERS.astype("longdouble"),
    "booleans": NUMBERS % 2 == 0,
    "dates": NUMBERS.astype("M8[s]"),
    "spans": NUMBERS.astype("m8[ms]"),
    "bytes": NUMBERS.astype("S6"),
    "text": NUMBERS.astype("U6"),
    "records": da.from_array(np.array([(1, 2.5), (3, 4.5)], [("a", ">i4"), ("b", "f8")]), chunks=1),
    "records in records": da.from_array(np.zeros(3, [("a", [("x", "i4", (2,)), ("y", "M8[s]")])]), chunks=2),
    "no axes": NUMBERS.sum(),
    "nothing in it": NUMBERS[:0],
    "all zero": da.zeros((20, 20), chunks=10),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("protocol", [apart.FILE_PROTOCOL, apart.S3_PROTOCOL])
def test_arrays_come_back_as_they_were(files: holdfast.Store, protocol: str, name: str) -> None:
    array, scope = ARRAYS[name], files.workflow("flow")
    apart.put(scope, "array", {"it": array}, protocol=protocol)
    found = scope.get("array")["it"]
    assert type(found) is da.Array
    assert (found.dtype, found.shape, found.chunks) == (array.dtype, array.shape, array.chunks)
    np.testing.assert_array_equal(found.compute(), array.compute())
    assert found.compute().dtype == array.dtype


def test_files_get_hdf5_and_buckets_zarr(store: holdfast.Store) -> None:
    scope = store.workflow("flow")
    apart.put(scope, "array", NUMBERS)
    names = {name.partition(".")[2] for name in scope.contents("array")} - {""}
    if store._kernel.storage.remote:
        assert names == {"zarr/zarr.json", *(f"zarr/c/{row}/0" for row in range(10))}
    else:
        assert names == {"h5"}
    assert int(scope.get("array").sum().compute()) == int(NUMBERS.sum().compute())


def test_chunks_of_unknown_sizes_are_counted(files: holdfast.Store) -> None:
    scope = files.workflow("flow")
    some = NUMBERS.ravel()
    apart.put(scope, "some", some[some % 7 == 0])
    found = scope.get("some")
    assert sum(found.chunks[0]) == len(found) == len(range(0, 6000, 7))
    np.testing.assert_array_equal(found.compute(), np.arange(0, 6000, 7))


@pytest.mark.parametrize("protocol", [apart.FILE_PROTOCOL, apart.S3_PROTOCOL])
def test_a_lazy_array_can_be_pickled_and_worked_on(files: holdfast.Store, protocol: str) -> None:
    scope = files.workflow("flow")
    apart.put(scope, "array", NUMBERS, protocol=protocol)
    found = pickle.loads(pickle.dumps(scope.get("array")))
    assert int((found[5:20, ::3] + 1).sum().compute()) == int((NUMBERS[5:20, ::3] + 1).sum().compute())
    apart.put(scope, "twice", found * 2, protocol=protocol)
    assert int(scope.get("twice")[59, 99].compute()) == 2 * 5999


def test_a_record_that_was_replaced_is_told(files: holdfast.Store) -> None:
    scope = files.workflow("flow")
    apart.put(scope, "array", NUMBERS)
    found = scope.get("array")
    scope.put("array", 1)
    files.gc()
    with pytest.raises(holdfast.ValueLost, match="replaced or removed"):
        found.compute()


@pytest.mark.parametrize(
    "array, message",
    [
        (da.from_array(np.array([{}, []], object), chunks=1), "Python objects"),
        (da.ma.masked_equal(NUMBERS, 3), "MaskedArray"),
        (da.map_blocks(lambda block: 1 / 0, NUMBERS, dtype="f8"), None),
        # What dask was told of the chunks, and is not so.
        (da.map_blocks(lambda block: block + 0.5, NUMBERS, dtype="i8", meta=np.empty((0, 0), "i8")), "float64"),
        (da.map_blocks(lambda block: block.astype("U9"), NUMBERS, dtype="U2", meta=np.empty((0, 0), "U2")), "<U9"),
        (da.map_blocks(lambda block: block.max(keepdims=True), NUMBERS, dtype="i8"), r"shape \(1, 1\)"),
        (da.from_array(np.zeros(3, np.dtype([])), chunks=1), "no bytes"),
    ],
)
@pytest.mark.parametrize("protocol", [apart.FILE_PROTOCOL, apart.S3_PROTOCOL])
def test_what_cannot_be_kept_leaves_nothing(
    files: holdfast.Store, array: Any, message: str | None, protocol: str
) -> None:
    scope = files.workflow("flow")
    with pytest.raises(ZeroDivisionError if message is None else holdfast.EncodeError, match=message):
        apart.put(scope, "array", [NUMBERS, array], protocol=protocol)
    assert not scope.exists("array")


def test_chunks_of_another_type_of_the_same_values(files: holdfast.Store) -> None:
    scope = files.workflow("flow")
    array = da.map_blocks(lambda block: block.astype("f8"), NUMBERS, dtype="i8", meta=np.empty((0, 0), "i8"))
    apart.put(scope, "array", array)
    np.testing.assert_array_equal(scope.get("array").compute(), NUMBERS.compute())


def test_arrays_in_a_file_system_of_another_kind() -> None:
    protocols = {apart.S3_PROTOCOL: {"client": fsspec.filesystem("memory"), "folder": "/some/folder"}}
    for array in (NUMBERS, da.zeros((4, 6), chunks=3)):  # chunks of zeros alone are not written
        _, persistent_id = DaskArraySerializer.pickle(array, protocols)
        found = DaskArraySerializer.unpickle(persistent_id, protocols)
        np.testing.assert_array_equal(found.compute(), array.compute())


def test_an_altered_chunk_is_told(files: holdfast.Store, tmp_path: Path) -> None:
    scope = files.workflow("flow")
    apart.put(scope, "array", da.arange(100_000, chunks=50_000))
    found = scope.get("array")
    largest = max((tmp_path / "data" / "files").rglob("*"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[-1000] ^= 1
    largest.write_bytes(data)
    with pytest.raises(holdfast.IntegrityError):
        found.compute()


# --- what a cluster of dask computes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [apart.FILE_PROTOCOL, apart.S3_PROTOCOL])
def test_results_that_a_cluster_holds(files: holdfast.Store, dask_client: Any, protocol: str) -> None:
    scope = files.workflow("flow")
    held = (NUMBERS + 1).persist()
    frame = dd.from_pandas(pd.DataFrame({"a": range(100)}), npartitions=3).persist()
    apart.put(scope, "held", (held, frame), protocol=protocol)
    found, rows = scope.get("held")
    assert int(found.sum().compute()) == int(NUMBERS.sum().compute(scheduler="threads")) + 6000  # read by its workers
    assert int(rows.a.sum().compute()) == 4950


# --- frames -----------------------------------------------------------------------------------------------------------

FRAME = pd.DataFrame(
    {
        "number": range(1000),
        "text": [f"row {number}" for number in range(1000)],
        "kind": pd.Categorical(["x", "y"] * 500, categories=["y", "x", "z"], ordered=True),
        "when": pd.date_range("2020", periods=1000, tz="Europe/Vienna"),
        "maybe": pd.array([1, None] * 500, "Int32"),
    },
    index=pd.Index(range(1000), name="row"),
)


@pytest.mark.parametrize("protocol", [apart.FILE_PROTOCOL, apart.S3_PROTOCOL])
def test_dask_frames(files: holdfast.Store, protocol: str) -> None:
    scope = files.workflow("flow")
    frame = dd.from_pandas(FRAME, npartitions=4)
    apart.put(
        scope, "frame", {"frame": frame, "column": frame.text, "last": [frame[frame.number < 0]]}, protocol=protocol
    )
    found = cloudpickle.loads(cloudpickle.dumps(scope.get("frame")))
    assert type(found["frame"]) is dd.DataFrame
    assert found["frame"].divisions == frame.divisions
    pd.testing.assert_frame_equal(found["frame"].compute(), frame.compute())
    pd.testing.assert_frame_equal(found["frame"]._meta, frame._meta)
    pd.testing.assert_series_equal(found["column"].compute(), frame.text.compute())
    assert len(found["last"][0]) == 0
    assert int(found["frame"].loc[990:].number.sum().compute()) == sum(range(990, 1000))
    assert sum(name.endswith("part-000003.parquet") for name in scope.contents("frame")) == 3


def test_dask_frames_without_divisions_or_text_labels(files: holdfast.Store) -> None:
    scope = files.workflow("flow")
    frame = dd.from_pandas(pd.DataFrame(np.arange(20).reshape(10, 2)), npartitions=2).clear_divisions()
    apart.put(scope, "frame", (frame, frame[1].rename(None)))
    found, column = scope.get("frame")
    assert not found.known_divisions
    assert found.npartitions == 2
    pd.testing.assert_frame_equal(found.compute(), frame.compute())
    pd.testing.assert_series_equal(column.compute(), frame[1].compute().rename(None))


def test_categories_that_dask_does_not_know(files: holdfast.Store) -> None:
    scope = files.workflow("flow")
    known = pd.DataFrame({"a": list("abcd"), "b": range(4)})

    def indexed(part: pd.DataFrame) -> pd.DataFrame:
        return part.set_index(part.a.astype("category"))[["b"]]

    meta = indexed(known)[:0]
    meta.index = pd.CategoricalIndex([], categories=["__UNKNOWN_CATEGORIES__"], name="a")
    frame = dd.from_pandas(known, npartitions=2)
    apart.put(scope, "frame", frame.map_partitions(indexed, meta=meta, clear_divisions=True))
    assert list(scope.get("frame").compute().index) == list("abcd")


@pytest.mark.parametrize(
    "made, message",
    [
        ({"b": [1], "a": [2]}, "columns"),
        ({"a": [1.5], "b": [2]}, "float64"),
        ({"a": [1], "b": [2], "c": [3]}, "columns"),
    ],
)
def test_partitions_that_dask_was_told_wrong_of(files: holdfast.Store, made: Any, message: str) -> None:
    meta = pd.DataFrame({"a": [1], "b": [1]})[:0]
    frame = dd.from_map(lambda _: pd.DataFrame(made), [1, 2], meta=meta, enforce_metadata=False)
    scope = files.workflow("flow")
    with pytest.raises(holdfast.EncodeError, match=message):
        apart.put(scope, "frame", frame)
    assert not scope.exists("frame")


def test_a_lazy_frame_that_parquet_cannot_hold(files: holdfast.Store) -> None:
    with pytest.raises(holdfast.EncodeError, match="Parquet"):
        apart.put(files.workflow("flow"), "frame", pl.LazyFrame({"a": [object()]}, schema={"a": pl.Object}))


def test_a_frame_that_parquet_cannot_hold(files: holdfast.Store) -> None:
    scope = files.workflow("flow")
    with dask.config.set({"dataframe.convert-string": False}):
        meta = pd.DataFrame({"a": [object()]})[:0]
        frame = dd.from_map(lambda number: pd.DataFrame({"a": [{1, 2}, number]}), [1, 2], meta=meta)
        with pytest.raises(holdfast.EncodeError, match="Parquet"):
            apart.put(scope, "frame", frame)
    assert not scope.exists("frame")


@pytest.mark.parametrize("protocol", [apart.FILE_PROTOCOL, apart.S3_PROTOCOL])
def test_lazy_frames(files: holdfast.Store, monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    from holdfast.apart import lazy

    monkeypatch.setattr(lazy, "_PART", 1 << 18)
    scope = files.workflow("flow")
    frame = pl.LazyFrame({"a": range(100_000), "b": ["q"] * 100_000}).with_columns(c=pl.col("a") * 2)
    apart.put(scope, "frame", [frame, frame.filter(pl.col("a") < 0)], protocol=protocol)
    found, empty = scope.get("frame")
    assert type(found) is pl.LazyFrame
    assert found.collect_schema() == frame.collect_schema()
    assert found.collect().equals(frame.collect())
    assert found.filter(pl.col("a") > 99_997).select("c").collect()["c"].to_list() == [199_996, 199_998]
    assert found.head(3).collect().height == 3
    assert (empty.collect().height, empty.collect_schema()) == (0, frame.collect_schema())
    assert sum("part-" in name for name in scope.contents("frame")) > 4
    assert cloudpickle.loads(cloudpickle.dumps(found)).select(pl.len()).collect().item() == 100_000


# --- what fails in the middle -----------------------------------------------------------------------------------------

FAILING = """
import gc, resource, sys
import dask.array as da
import numpy as np
import polars as pl
import holdfast
from holdfast import apart

def fail(block, block_info=None):
    if block_info[0]["chunk-location"] == (3,):
        raise ZeroDivisionError
    return block

array = da.random.default_rng(1).random(2_000_000, chunks=100_000)
values = [array, array.rechunk(((500_000, 1_500_000),)), pl.LazyFrame({"a": np.random.rand(1_500_000)})]
with holdfast.open(sys.argv[1]) as store:
    scope = store.workflow("flow")
    for _ in range(3):
        try:
            apart.put(scope, "x", array.map_blocks(fail, dtype=array.dtype))
        except ZeroDivisionError:
            gc.collect()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 23, 1 << 23))
    for protocol in (apart.FILE_PROTOCOL, apart.S3_PROTOCOL):
        for value in values:
            try:
                apart.put(scope, "x", value, protocol=protocol)
            except holdfast.StoreError as error:
                assert "File too large" in str(error), error
                gc.collect()
            else:
                assert value is array and protocol == apart.S3_PROTOCOL
    assert scope.get("x").sum().compute() == array.sum().compute()
    assert list(scope) == ["x"]
"""


def test_files_that_fail_in_the_middle(tmp_path: Path) -> None:
    """Of threads that still write, and of what HDF5 leaves behind, the process would end."""
    command = [sys.executable, "-X", "faulthandler", "-c", FAILING, str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- memory -----------------------------------------------------------------------------------------------------------

BOUNDED = """
import sys
import dask
import dask.array as da
import holdfast
from holdfast import apart

size, folder = int(sys.argv[1]) << 20, sys.argv[2]
rows = size // (8 * 1000)
array = da.arange(rows * 1000, chunks=2_000_000, dtype="i8").reshape(rows, 1000)
with holdfast.open(folder) as store:
    scope = store.workflow("flow")
    apart.put(scope, "array", array)
    del array
    found = scope.get("array")
    total = int(found.sum().compute(scheduler="threads", num_workers=2))
count = rows * 1000
assert total == count * (count - 1) // 2, total
with open("/proc/self/status") as status:  # ru_maxrss would have what the process had that began this one
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024)
"""


@pytest.mark.parametrize(
    "megabytes, most",
    [(200, 400), pytest.param(4096, 512, marks=[pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(900)])],
)
def test_arrays_are_never_gathered(tmp_path: Path, megabytes: int, most: int) -> None:
    """Of it all a few chunks are in memory, beside what dask and h5py take themselves."""
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(megabytes), str(tmp_path / "data")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < most
