"""The libraries that people use it from, as they spell addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr as typed_zarr
from fsspec.generic import rsync
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

import holdfast
from holdfast.filesystem import HoldfastFileSystem

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame")  # dask to pandas

zarr: Any = typed_zarr  # what an array may give is too much to write down
FRAME = pd.DataFrame({"a": np.arange(1000), "b": [f"é{number}" for number in range(1000)]})
SPELLED = ("holdfast://namespace:prod", "holdfast:///namespace:prod", "holdfast://namespace%3Aprod")


@pytest.fixture(autouse=True)
def configured(store: holdfast.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_STORE", store.config.store)


@pytest.mark.parametrize("at", SPELLED)
def test_pandas(at: str, store: holdfast.Store) -> None:
    FRAME.to_parquet(f"{at}/frame.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(f"{at}/frame.parquet"), FRAME)
    assert pd.read_parquet(f"{at}/frame.parquet", columns=["a"], filters=[("a", "<", 3)]).a.tolist() == [0, 1, 2]
    FRAME.assign(c=FRAME.a % 3).to_parquet(f"{at}/parts", partition_cols=["c"])
    assert len(pd.read_parquet(f"{at}/parts", filters=[("c", "=", 1)])) == 333
    for name in ("frame.csv", "frame.csv.gz", "frame.csv.zip"):
        FRAME.to_csv(f"{at}/{name}", index=False)
        pd.testing.assert_frame_equal(pd.read_csv(f"{at}/{name}"), FRAME)
    FRAME.to_csv(f"{at}/frame.csv", index=False, header=False, mode="a")
    assert len(pd.read_csv(f"{at}/frame.csv")) == 2000
    assert sum(len(part) for part in pd.read_csv(f"{at}/frame.csv", chunksize=300)) == 2000
    FRAME.to_json(f"{at}/frame.json", orient="records", lines=True)
    assert len(pd.read_json(f"{at}/frame.json", orient="records", lines=True)) == 1000
    FRAME.to_feather(f"{at}/frame.feather")
    assert len(pd.read_feather(f"{at}/frame.feather")) == 1000
    assert store.namespace("prod").record("frame.csv").content_type == "text/csv"


def test_pandas_with_a_store(tmp_path: Path) -> None:
    options = {"store": str(tmp_path / "other")}
    FRAME.to_parquet("holdfast://namespace:prod/frame.parquet", storage_options=options)
    found = pd.read_parquet("holdfast://namespace:prod/frame.parquet", storage_options=options)
    pd.testing.assert_frame_equal(found, FRAME)
    FRAME.to_csv("holdfast://namespace:prod/frame.csv", storage_options=options)
    with holdfast.open(tmp_path / "other") as store:
        assert list(store.namespace("prod")) == ["frame.csv", "frame.parquet"]


def test_pandas_that_fails_leaves_what_was_there(fs: HoldfastFileSystem) -> None:
    at = "holdfast://namespace:prod/frame.csv"
    FRAME.to_csv(at)
    with pytest.raises(UnicodeEncodeError):
        pd.DataFrame({"a": ["x"] * 100_000 + ["é"]}).to_csv(at, encoding="ascii")
    assert fs.info(at)["version"] == 1
    with pytest.raises(FileNotFoundError):
        pd.read_csv("holdfast://namespace:prod/no.csv")
    with pytest.raises(holdfast.InvalidScopeError, match="names no scope"):
        FRAME.to_csv("holdfast://frame.csv")


@pytest.mark.parametrize("at", SPELLED[1:])
def test_polars_by_address(at: str, fs: HoldfastFileSystem) -> None:
    """Its own reader knows the clouds' addresses only; with ``use_pyarrow`` fsspec opens the file."""
    frame = pl.DataFrame({"a": range(1000)})
    for name, write in (("f.parquet", frame.write_parquet), ("f.csv", frame.write_csv), ("f.ipc", frame.write_ipc)):
        with fs.open(f"{at}/{name}", "wb") as file:
            write(file)
    assert pl.read_parquet(f"{at}/f.parquet", use_pyarrow=True).equals(frame)
    assert pl.read_csv(f"{at}/f.csv", use_pyarrow=True).equals(frame)
    assert pl.read_ipc(f"{at}/f.ipc", use_pyarrow=True).equals(frame)


def test_polars_by_file(fs: HoldfastFileSystem) -> None:
    for size in (10, 50_000):  # in the catalog, in a file
        frame = pl.DataFrame({"a": range(size)})
        for name, write, read, scan in (
            ("f.parquet", frame.write_parquet, pl.read_parquet, pl.scan_parquet),
            ("f.csv", frame.write_csv, pl.read_csv, pl.scan_csv),
            ("f.ipc", frame.write_ipc, pl.read_ipc, pl.scan_ipc),
        ):
            at = f"namespace:prod/{name}"
            with fs.open(at, "wb") as file:
                write(file)
            with fs.open(at) as file:
                assert read(file).equals(frame)
            with fs.open(at) as file:
                assert scan(file).filter(pl.col("a") < 3).collect().height == 3
        with fs.open("namespace:prod/sunk", "wb") as file:
            frame.lazy().sink_parquet(file)
        scanned = pl.scan_pyarrow_dataset(ds.dataset("namespace:prod/sunk", filesystem=fs))
        assert scanned.collect().equals(frame)


@pytest.mark.parametrize("at", SPELLED)
@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_dask(at: str, scheduler: str) -> None:
    with dask.config.set(scheduler=scheduler):
        _dask(at)


@pytest.mark.long
def test_dask_in_processes() -> None:
    with dask.config.set(scheduler="processes", num_workers=2):
        _dask(SPELLED[0])


def _dask(at: str) -> None:
    frame = dd.from_pandas(FRAME, npartitions=4)
    frame.to_parquet(f"{at}/frame", write_metadata_file=True)
    assert len(fsspec.filesystem("holdfast").glob(f"{at}/frame/*.parquet")) == 4
    found = dd.read_parquet(f"{at}/frame").compute()
    pd.testing.assert_frame_equal(found, FRAME, check_dtype=False)  # its own kind of text
    assert dd.read_parquet(f"{at}/frame", filters=[("a", "<", 3)]).a.sum().compute() == 3
    frame.to_csv(f"{at}/frame-*.csv", index=False)
    assert len(dd.read_csv(f"{at}/frame-*.csv").compute()) == 1000
    assert len(dd.read_csv(f"{at}/frame-0.csv", blocksize=500).compute()) == 250


@pytest.mark.parametrize("at", SPELLED)
def test_zarr(at: str, fs: HoldfastFileSystem) -> None:
    values = np.arange(10_000, dtype="f8").reshape(100, 100)
    array = zarr.create_array(f"{at}/array.zarr", shape=(100, 100), chunks=(30, 30), dtype="f8")
    array[:] = values
    array[50:60, 5] = -1
    again = zarr.open_array(f"{at}/array.zarr", mode="r")
    values[50:60, 5] = -1
    assert (again[:] == values).all()
    assert fs.exists("namespace:prod/array.zarr/c/0/0")
    group = zarr.open_group(f"{at}/group.zarr", mode="w")
    group.create_group("sub").create_array("x", shape=(4,), dtype="i4")[:] = 5
    group.create_array("y", shape=(4,), chunks=(2,), shards=(4,), dtype="i4")[:] = range(4)
    found = zarr.open_group(f"{at}/group.zarr", mode="r")
    assert sorted(found) == ["sub", "y"]
    assert (found["sub/x"][:].tolist(), found["y"][:].tolist()) == ([5] * 4, [0, 1, 2, 3])
    del zarr.open_group(f"{at}/group.zarr")["sub"]
    assert sorted(zarr.open_group(f"{at}/group.zarr", mode="r")) == ["y"]


def test_zarr_by_store(fs: HoldfastFileSystem) -> None:
    place = zarr.storage.FsspecStore(AsyncFileSystemWrapper(fs, asynchronous=True), path="namespace:prod/a.zarr")
    zarr.create_array(place, shape=(4,), dtype="i4")[:] = 7
    assert zarr.open_array(place)[:].tolist() == [7] * 4
    mapped = fs.get_mapper("namespace:prod/a.zarr")
    assert sorted(mapped) == ["c/0", "zarr.json"]
    assert zarr.open_array(mapped, mode="r")[:].tolist() == [7] * 4


def test_zarr_sees_lost_bytes(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    """A missing chunk is zeros, a lost one is an error."""
    array = zarr.create_array("holdfast://namespace:prod/a", shape=(10_000,), dtype="f8", compressors=None)
    assert array[:].sum() == 0
    array[:] = 1
    (blob,) = Path(store.config.store, "files").glob("*/*[0-9]")
    blob.unlink()
    with pytest.raises(holdfast.ValueLost):
        array[:]


@pytest.mark.parametrize("at", SPELLED)
def test_xarray(at: str) -> None:
    data = xr.Dataset({"t": (("x", "y"), np.random.rand(40, 50))}, coords={"x": range(40)})
    data.to_zarr(f"{at}/data.zarr", consolidated=False)
    assert xr.open_zarr(f"{at}/data.zarr", consolidated=False).load().equals(data)
    data.assign_coords(x=range(40, 80)).to_zarr(f"{at}/data.zarr", append_dim="x", consolidated=False)
    found = xr.open_dataset(f"{at}/data.zarr", engine="zarr", consolidated=False, chunks={})
    assert found.sizes == {"x": 80, "y": 50}
    assert float(found.t.sum()) == pytest.approx(2 * float(data.t.sum()))


def test_pyarrow(fs: HoldfastFileSystem) -> None:
    table = pa.table({"a": range(100), "b": [f"{number % 4}" for number in range(100)]})
    pq.write_table(table, "namespace:prod/t.parquet", filesystem=fs)
    assert pq.read_table("namespace:prod/t.parquet", filesystem=fs).equals(table)
    assert pq.ParquetFile("namespace:prod/t.parquet", filesystem=fs).metadata.num_rows == 100
    for _ in range(2):
        ds.write_dataset(
            table, "namespace:prod/parts", filesystem=fs, format="parquet", partitioning=["b"],
            existing_data_behavior="delete_matching",
        )  # fmt: skip
    found = ds.dataset("namespace:prod/parts", filesystem=fs, partitioning=["b"])
    assert len(found.files) == 4
    assert found.to_table(filter=ds.field("b") == 1).num_rows == 25
    ds.write_dataset(table, "namespace:prod/workflow:w", filesystem=fs, format="ipc")
    assert ds.dataset("namespace:prod/workflow:w", filesystem=fs, format="ipc").to_table().equals(table)
    for at in SPELLED[:2]:
        assert pq.read_table(f"fsspec+{at}/t.parquet").equals(table)
        assert ds.dataset(f"fsspec+{at}/parts", partitioning=["b"]).count_rows() == 100


def test_pyarrow_as_a_file_system(fs: HoldfastFileSystem) -> None:
    arrow = pafs.PyFileSystem(pafs.FSSpecHandler(fs))
    with arrow.open_output_stream("namespace:prod/a/x") as file:
        file.write(b"one")
    with arrow.open_append_stream("namespace:prod/a/x") as file:
        file.write(b"two")
    with arrow.open_input_file("namespace:prod/a/x") as file:
        assert (file.size(), file.read_at(3, 2)) == (6, b"etw")
    arrow.copy_file("namespace:prod/a/x", "namespace:prod/a/y")
    arrow.move("namespace:prod/a", "namespace:prod/b")
    arrow.create_dir("namespace:prod/b")
    (info,) = arrow.get_file_info(["namespace:prod/b/x"])
    assert (info.type, info.size) == (pafs.FileType.File, 6)
    assert info.mtime == fs.modified("namespace:prod/b/x")
    assert [each.path for each in arrow.get_file_info(pafs.FileSelector("namespace:prod", recursive=True))] == [
        "namespace:prod/b", "namespace:prod/b/x", "namespace:prod/b/y",
    ]  # fmt: skip
    assert arrow.get_file_info("namespace:prod/no").type == pafs.FileType.NotFound
    arrow.delete_file("namespace:prod/b/x")
    arrow.delete_dir("namespace:prod/b")
    assert fs.find("") == []


def test_fsspec_itself(fs: HoldfastFileSystem, tmp_path: Path) -> None:
    fs.pipe({f"namespace:prod/{number}.txt": b"%d\n" % number for number in range(3)})
    with fsspec.open("holdfast://namespace:prod/1.txt", "rt") as file:
        assert file.read() == "1\n"
    opened = fsspec.open_files("holdfast://namespace:prod/*.txt")
    assert [each.path for each in opened] == fs.glob("namespace:prod/*.txt")
    with fsspec.open("simplecache::holdfast://namespace:prod/2.txt") as file:
        assert file.read() == b"2\n"
    with fsspec.open("simplecache::holdfast://namespace:prod/3.txt", "wb") as file:
        file.write(b"3")
    assert fs.cat_file("namespace:prod/3.txt") == b"3"
    assert fs.read_block("namespace:prod/2.txt", 0, 1, b"\n") == b"2\n"
    below: Any = fsspec.filesystem("dir", path="namespace:prod", fs=fs)
    assert below.ls("", detail=False) == ["0.txt", "1.txt", "2.txt", "3.txt"]
    mapped = fsspec.get_mapper("holdfast://namespace:prod/map")
    mapped["a/b"] = b"x"
    assert (list(mapped), mapped["a/b"], "no" in mapped) == (["a/b"], b"x", False)
    with pytest.raises(KeyError):
        mapped["no"]
    del mapped["a/b"]
    assert len(mapped) == 0


def test_rsync(fs: HoldfastFileSystem, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("a")
    (tmp_path / "in" / "deep" / "b.txt").write_text("b")
    there, here = "holdfast://namespace:prod/copy", f"file://{tmp_path}/in"
    assert len(rsync(here, there)) == 2
    assert rsync(here, there) == {}
    (tmp_path / "in" / "a.txt").unlink()
    rsync(here, there, delete_missing=True)
    assert fs.find("") == ["namespace:prod/copy/deep/b.txt"]
    rsync(there, f"file://{tmp_path}/out")
    assert (tmp_path / "out" / "deep" / "b.txt").read_text() == "b"


def test_in_a_run_context(tmp_path: Path) -> None:
    """Also where the library works in a thread of its own."""
    with holdfast.open(tmp_path / "other") as store, store.context(namespace="prod"):
        FRAME.to_parquet("holdfast://namespace:prod/frame.parquet")
        zarr.create_array("holdfast://namespace:prod/a", shape=(4,), dtype="i4")[:] = 7
        assert {key.partition("/")[0] for key in store.namespace("prod")} == {"a", "frame.parquet"}
