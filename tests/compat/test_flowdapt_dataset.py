"""Hooks that save frames, arrays, JSON and pickles in artifacts, through the Flowdapt face (P12)."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

import holdfast
from holdfast import ConflictError, DecodeError, EncodeError, InvalidArgumentError, SignatureError
from holdfast.compat.flowdapt.compute.artifacts import Artifact, dataset, new_artifact
from holdfast.compat.flowdapt.compute.artifacts.dataset import (
    array_from_artifact,
    array_to_artifact,
    dataframe_from_artifact,
    dataframe_to_artifact,
    get_handler_func,
    register_handler,
)
from holdfast.compat.flowdapt.compute.artifacts.dataset.arrays import (
    numpy_array_from_artifact,
    numpy_array_to_artifact,
    read_array_from_artifact,
    write_array_to_artifact,
)
from holdfast.compat.flowdapt.compute.artifacts.dataset.dataframes import (
    pandas_dataframe_from_artifact,
    pandas_dataframe_to_artifact,
    read_dataframe_from_artifact,
    write_dataframe_to_artifact,
)
from holdfast.compat.flowdapt.compute.artifacts.dataset.utils import split_dataframe
from holdfast.compat.flowdapt.compute.artifacts.misc import (
    json_from_artifact,
    json_to_artifact,
    pickle_from_artifact,
    pickle_to_artifact,
)
from holdfast.compat.flowdapt.compute.resources.workflow.context import (
    WorkflowRunContext,
    reset_run_context,
    set_run_context,
)

from .flowdapt_places import PLACES, place_of
from .jobs import python

ROWS = 1300
FRAME = pd.DataFrame(
    {
        "number": np.random.default_rng(7).random(ROWS) * 10.0 ** np.arange(-ROWS // 2, ROWS // 2).clip(-200, 200),
        "text": [f'row {row}, "ä"' for row in range(ROWS)],
        "whole": np.arange(ROWS),
    }
)
ARRAY = np.random.default_rng(7).random((ROWS, 7))


@pytest.fixture(params=PLACES)
def artifact(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Artifact]:
    with place_of(request.param, tmp_path) as where:
        yield new_artifact("values", **where)


@pytest.fixture
def kept(store: holdfast.Store) -> Iterator[Artifact]:
    """One in a folder, where that is all the same."""
    with store.context():
        yield new_artifact("values")


def names(artifact: Artifact) -> list[str]:
    return [file.name for file in artifact.list_files()]


def partitions(count: int, format: str) -> set[str]:
    return {f"partition-{number}.{format}" for number in range(count)}


def same(left: Any, right: pd.DataFrame, **options: Any) -> None:
    pd.testing.assert_frame_equal(left, right, **options)


# --- pandas -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["parquet", "csv"])
@pytest.mark.parametrize("parts", [1, 12])
def test_p12_a_frame_comes_back_from_its_parts_in_numeric_order(artifact: Artifact, format: str, parts: int) -> None:
    artifact.new_file("other.csv", "x")
    artifact["other"] = 1
    dataframe_to_artifact(format=format, num_parts=parts)(artifact, FRAME)
    assert set(names(artifact)) == partitions(parts, format)
    assert artifact["value_type"] in ("pandas.DataFrame", "pandas.core.frame.DataFrame")
    assert artifact["other"] is None
    same(dataframe_from_artifact(format=format)(artifact), FRAME)


def test_p12_the_usual_format_is_one_parquet_file_that_others_read(kept: Artifact) -> None:
    dataframe_to_artifact()(kept, FRAME)
    assert names(kept) == ["partition-0.parquet"]
    with kept.get_file("partition-0.parquet").open("rb") as file:
        same(pd.read_parquet(io.BytesIO(file.read())), FRAME)
    dataframe_to_artifact("csv")(kept, FRAME)
    assert kept.get_file("partition-0.csv").read().startswith(b"number,text,whole\n")


@pytest.mark.parametrize("version", ["pandas.DataFrame", "pandas.core.frame.DataFrame"])
def test_p12_what_one_version_of_pandas_saved_the_other_loads(kept: Artifact, version: str) -> None:
    dataframe_to_artifact(num_parts=3)(kept, FRAME)
    kept["value_type"] = version
    same(dataframe_from_artifact()(kept), FRAME)
    for operation in ("to_artifact", "from_artifact"):
        assert callable(get_handler_func("ray", version, operation))


@pytest.mark.parametrize("format", ["parquet", "csv"])
@pytest.mark.parametrize(
    "index",
    [
        pd.Index([f"k{row}" for row in range(ROWS)], name="key"),
        pd.RangeIndex(10, 10 + ROWS),
        pd.Index(np.arange(ROWS)[::-1]),
        pd.MultiIndex.from_arrays([np.arange(ROWS) // 10, np.arange(ROWS) % 10], names=["a", "b"]),
    ],
    ids=["text", "offset", "reversed", "levels"],
)
def test_p12_the_index_comes_back(kept: Artifact, format: str, index: Any) -> None:
    frame = FRAME.set_index(index)
    dataframe_to_artifact(format, num_parts=12)(kept, frame)
    same(dataframe_from_artifact(format)(kept), frame)


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_p12_few_rows_in_many_parts(kept: Artifact, format: str) -> None:
    for rows in (5, 1):
        dataframe_to_artifact(format, num_parts=12)(kept, FRAME[:rows])
        assert set(names(kept)) == partitions(12, format)
        same(dataframe_from_artifact(format)(kept), FRAME[:rows])
    dataframe_to_artifact(format, num_parts=3)(kept, FRAME[:0])
    assert list(dataframe_from_artifact(format)(kept).columns) == list(FRAME.columns)


def test_p12_frames_as_others_have_written_them(kept: Artifact) -> None:
    kept["value_type"] = "pandas.core.frame.DataFrame"
    for number in (10, 9, 2):
        with kept.new_file(f"partition-{number}.parquet").open("wb") as file:
            FRAME[FRAME.index % 11 == number].to_parquet(file)
        kept.new_file(f"{number}.csv", f"a,b\n{number},x\n")
    order = [2, 9, 10]
    same(dataframe_from_artifact()(kept), pd.concat([FRAME[FRAME.index % 11 == number] for number in order]))
    assert list(dataframe_from_artifact("csv")(kept).a) == order


def test_p12_handlers_and_single_files_have_the_original_names(kept: Artifact) -> None:
    kept["value_type"] = "pandas.DataFrame"
    pandas_dataframe_to_artifact(kept, FRAME, "csv", 2)
    same(pandas_dataframe_from_artifact(kept, format="csv"), FRAME)
    for format in ("parquet", "csv"):
        file = kept.new_file(f"single.{format}")
        write_dataframe_to_artifact(file, FRAME, format)
        same(read_dataframe_from_artifact(file, format), FRAME)
    assert [len(part) for part in split_dataframe(FRAME[:8], 3)] == [3, 3, 2]
    same(pd.concat(split_dataframe(FRAME, 12)), FRAME)


# --- NumPy ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [1, 12])
def test_p12_an_array_comes_back_from_its_parts_in_numeric_order(artifact: Artifact, parts: int) -> None:
    array_to_artifact(num_parts=parts)(artifact, ARRAY)
    assert set(names(artifact)) == partitions(parts, "npy")
    assert artifact["value_type"] == "numpy.ndarray"
    found = array_from_artifact()(artifact)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, ARRAY)
    with artifact.get_file(f"partition-{parts - 1}.npy").open("rb") as file:
        np.testing.assert_array_equal(np.load(file), np.array_split(ARRAY, parts)[-1])


@pytest.mark.parametrize(
    "array",
    [
        np.array(7.5), np.arange(0), np.zeros((0, 3)), np.arange(3), np.array(["ä", "long text"]),
        np.array(["2026-01-01", "NaT"], "M8[s]"), np.asfortranarray(np.arange(24.0).reshape(4, 3, 2)),
        np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")]),
    ],
    ids=str,
)  # fmt: skip
def test_p12_any_array_of_fixed_size(kept: Artifact, array: Any) -> None:
    array_to_artifact(num_parts=5)(kept, array)
    found = array_from_artifact()(kept)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)


def test_p12_array_handlers_and_single_files_have_the_original_names(kept: Artifact) -> None:
    kept["value_type"] = "numpy.ndarray"
    numpy_array_to_artifact(kept, ARRAY, "npy", 12)
    np.testing.assert_array_equal(numpy_array_from_artifact(kept, format="npy"), ARRAY)
    write_array_to_artifact(kept.get_file("partition-0.npy"), ARRAY[:1])
    np.testing.assert_array_equal(read_array_from_artifact(kept.get_file("partition-0.npy")), ARRAY[:1])


def iter_values() -> Iterator[int]:
    yield 1


class Bomb:
    def __reduce__(self) -> Any:
        return (Path("exploded").write_text, ("x",))


def test_p12_no_array_runs_code(kept: Artifact) -> None:
    with pytest.raises(EncodeError, match="pickle_to_artifact"):
        array_to_artifact()(kept, np.array([Bomb()], object))
    array_to_artifact()(kept, ARRAY)
    with kept.get_file("partition-0.npy").open("wb") as file:
        np.save(file, np.array([Bomb()], object), allow_pickle=True)
    with pytest.raises(DecodeError, match=r"partition-0\.npy"):
        array_from_artifact()(kept)
    kept.get_file("partition-0.npy").write(b"")
    with pytest.raises(DecodeError):
        array_from_artifact()(kept)
    assert not Path("exploded").exists()


# --- Dask -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_p12_a_dask_frame_comes_back_lazily_part_by_part(artifact: Artifact, format: str) -> None:
    frame = dd.from_pandas(FRAME, npartitions=12)
    dataframe_to_artifact(format=format)(artifact, frame)
    assert set(names(artifact)) == partitions(12, format)
    assert artifact["value_type"] == "dask.dataframe.dask_expr._collection.DataFrame"
    found = dataframe_from_artifact(format=format)(artifact)
    assert isinstance(found, dd.DataFrame)
    assert found.npartitions == 12
    same(found.compute(), frame.compute() if format == "parquet" else FRAME, check_dtype=format == "parquet")
    assert found.whole.sum().compute() == FRAME.whole.sum()
    assert [scope.kind for scope in artifact._outside._at(artifact._outside.path[:-1]).children()] == ["artifact"]
    dataframe_to_artifact(format=format, num_parts=3)(artifact, frame)
    assert set(names(artifact)) == partitions(3, format)


@pytest.mark.parametrize("chunks", [(109, 7), (109, 3), (ROWS, 2), ROWS])
def test_p12_a_dask_array_comes_back_lazily_block_by_block(artifact: Artifact, chunks: Any) -> None:
    array = da.from_array(ARRAY, chunks=chunks)
    array_to_artifact()(artifact, array)
    assert set(names(artifact)) == partitions(array.npartitions, "npy")
    assert artifact["value_type"] == "dask.array.core.Array"
    found = array_from_artifact()(artifact)
    assert isinstance(found, da.Array)
    assert (found.chunks, found.dtype) == (array.chunks, array.dtype)
    np.testing.assert_array_equal(found.compute(), ARRAY)


def test_p12_dask_arrays_of_any_shape(kept: Artifact) -> None:
    for array in (da.from_array(ARRAY.T.reshape(7, 13, 100), chunks=(2, 5, 30)), da.from_array(np.array(7.5)),
                  da.from_array(np.arange(10), chunks=1), da.zeros((0, 3))):  # fmt: skip
        array_to_artifact()(kept, array)
        found = array_from_artifact()(kept)
        assert found.shape == array.shape
        np.testing.assert_array_equal(found.compute(), array.compute())
    unknown = da.from_array(ARRAY, chunks=(109, 3))
    unknown = unknown[unknown[:, 0] > 0.5]
    array_to_artifact()(kept, unknown)
    found = array_from_artifact()(kept)
    assert found.shape == ARRAY[ARRAY[:, 0] > 0.5].shape
    np.testing.assert_array_equal(found.compute(), ARRAY[ARRAY[:, 0] > 0.5])
    array_to_artifact(num_parts=5)(kept, found)
    assert set(names(kept)) == partitions(5, "npy")
    np.testing.assert_array_equal(array_from_artifact()(kept).compute(), ARRAY[ARRAY[:, 0] > 0.5])
    with pytest.raises(InvalidArgumentError, match="compute_chunk_sizes"):
        array_to_artifact(num_parts=5)(kept, unknown)


def test_p12_a_lazy_value_may_replace_what_it_is_computed_from(kept: Artifact) -> None:
    dataframe_to_artifact()(kept, dd.from_pandas(FRAME, npartitions=12))
    lazy = dataframe_from_artifact()(kept)
    dataframe_to_artifact()(kept, lazy[lazy.whole >= 700])
    found = dataframe_from_artifact()(kept)
    assert found.whole.compute().tolist() == list(range(700, ROWS))
    with pytest.raises(ConflictError, match="load it again"):
        lazy.compute()
    kept.delete()
    with pytest.raises(holdfast.NotFoundError):
        found.compute()


def test_p12_a_failure_in_a_part_leaves_the_old_value(artifact: Artifact) -> None:
    dataframe_to_artifact(num_parts=2)(artifact, FRAME)

    def fail(part: pd.DataFrame) -> pd.DataFrame:
        if 700 in part.index:
            raise ZeroDivisionError
        return part

    broken = dd.from_pandas(FRAME, npartitions=12).map_partitions(fail, meta=FRAME[:0])
    with pytest.raises(ZeroDivisionError):
        dataframe_to_artifact()(artifact, broken)
    odd = FRAME.astype(object).assign(text=[*["x"] * (ROWS - 1), object()])
    for options in ({}, {"format": "csv", "num_parts": 0}):
        with pytest.raises((EncodeError, ZeroDivisionError)):
            dataframe_to_artifact(**options)(artifact, odd)  # type: ignore[arg-type]
    same(dataframe_from_artifact()(artifact), FRAME)
    assert [scope.kind for scope in artifact._outside._at(artifact._outside.path[:-1]).children()] == ["artifact"]


def test_p12_hooks_take_part_in_a_transaction(artifact: Artifact) -> None:
    array_to_artifact(num_parts=2)(artifact, ARRAY)
    with pytest.raises(ZeroDivisionError), artifact.transaction():  # noqa: PT012
        dataframe_to_artifact()(artifact, dd.from_pandas(FRAME, npartitions=3))
        assert set(names(artifact)) == partitions(3, "parquet")
        raise ZeroDivisionError
    np.testing.assert_array_equal(array_from_artifact()(artifact), ARRAY)
    with artifact.transaction():
        dataframe_to_artifact()(artifact, dd.from_pandas(FRAME, npartitions=3))
        artifact["by"] = "me"
    assert (artifact["by"], set(names(artifact))) == ("me", partitions(3, "parquet"))
    assert artifact._outside.record("partition-0.parquet").expires is None
    assert len(dataframe_from_artifact()(artifact).compute()) == ROWS


CLUSTER = """
import sys
import dask.array as da, dask.dataframe as dd, numpy as np, pandas as pd
from distributed import Client, LocalCluster
from holdfast.compat.flowdapt.compute.artifacts import get_artifact
from holdfast.compat.flowdapt.compute.artifacts.dataset import *

def nested(path):
    artifact = get_artifact("nested", base_path=path, create=True)
    frame = dd.from_pandas(pd.DataFrame({"a": np.arange(100)}), npartitions=12)
    dataframe_to_artifact(executor="dask")(artifact, frame)
    return int(dataframe_from_artifact(executor="dask")(artifact).a.sum().compute())

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            artifact = get_artifact("x", base_path=sys.argv[1], create=True)
            array = np.arange(1200.0).reshape(100, 12)
            array_to_artifact()(artifact, da.from_array(array, chunks=(9, 5)))
            assert (array_from_artifact()(artifact).compute() == array).all()
            assert client.submit(nested, sys.argv[1]).result() == 4950
            print(len(artifact.list_files()))
"""


@pytest.mark.long
@pytest.mark.timeout(240)
def test_p12_on_a_cluster_of_dask_its_workers_write_and_read(tmp_path: Path) -> None:
    Path("cluster.py").write_text(CLUSTER)
    assert python("cluster.py", tmp_path / "artifacts", seconds=200).stdout == "36\n"


# --- JSON and pickles -------------------------------------------------------------------------------------------------


def test_p12_json(artifact: Artifact) -> None:
    value = {"a": [1, None, 2.5, {"ä": True}]}
    json_to_artifact()(artifact, value)
    assert names(artifact) == ["file.json"]
    assert artifact["value_type"] == "json"
    assert json_from_artifact()(artifact) == value
    json_to_artifact("other")(artifact, [])
    assert (json_from_artifact(name="other")(artifact), json_from_artifact()(artifact)) == ([], value)
    artifact.get_file("file.json").write('{"by": "hand"}')
    assert json_from_artifact()(artifact) == {"by": "hand"}
    with pytest.raises(TypeError, match="tuple"):
        json_to_artifact()(artifact, {"a": (1,)})
    with pytest.raises(FileNotFoundError, match=r"missing\.json"):
        json_from_artifact("missing")(artifact)


def test_p12_pickles(artifact: Artifact) -> None:
    pickle_to_artifact()(artifact, lambda number: number + 1)
    assert (names(artifact), artifact["value_type"]) == (["file.pkl"], "pickle")
    assert pickle_from_artifact()(artifact)(1) == 2
    pickle_to_artifact("other")(artifact, {(1, 2): {3}})
    assert pickle_from_artifact("other")(artifact) == {(1, 2): {3}}
    with pytest.raises(TypeError):
        pickle_to_artifact()(artifact, iter_values())
    assert pickle_from_artifact()(artifact)(1) == 2


def test_p12_a_pickle_that_was_not_saved_here_is_not_run(artifact: Artifact) -> None:
    pickle_to_artifact()(artifact, 1)
    artifact.get_file("file.pkl").write(pickle.dumps(Bomb()))
    with pytest.raises(SignatureError):
        pickle_from_artifact()(artifact)
    assert not Path("exploded").exists()


# --- which function ---------------------------------------------------------------------------------------------------


class Thing:
    pass


def test_p12_handlers_are_found_by_executor_and_type(kept: Artifact) -> None:
    name = f"{Thing.__module__}.Thing"
    with pytest.raises(ValueError, match=f"{name}.*there is .*numpy.ndarray.*register_handler"):
        array_to_artifact()(kept, Thing())
    calls: list[Any] = []
    for executor in ("*", "ray"):
        register_handler(executor, name, "to_artifact", lambda *given, at=executor, **more: calls.append((at, more)))
        register_handler(executor, name, "from_artifact", lambda artifact, at=executor, **more: (at, more))
    array_to_artifact("npy", executor="ray", num_parts=2)(kept, Thing())
    array_to_artifact("npy")(kept, Thing())
    token = set_run_context(WorkflowRunContext(executor="ray"))
    try:
        dataframe_to_artifact("csv")(kept, Thing())
        assert dataframe_from_artifact()(kept) == ("ray", {"format": "parquet"})
    finally:
        reset_run_context(token)
    assert calls == [("ray", {"format": "npy", "num_parts": 2}), ("*", {"format": "npy"}), ("ray", {"format": "csv"})]
    assert kept["value_type"] == name
    assert array_from_artifact(executor="dask")(kept) == ("*", {"format": "npy"})
    with pytest.raises(InvalidArgumentError, match="handler is a function"):
        register_handler("*", name, "to_artifact", "no function")  # type: ignore[arg-type]
    assert dataset.get_handler_func is get_handler_func


# --- bad input --------------------------------------------------------------------------------------------------------


def test_p12_bad_input(kept: Artifact) -> None:
    array_to_artifact()(kept, ARRAY)
    for parts in (0, -1, 1.5, True, "2"):
        for hook, value in ((dataframe_to_artifact, FRAME), (array_to_artifact, ARRAY)):
            with pytest.raises(ZeroDivisionError, match="num_parts"):
                hook(num_parts=parts)(kept, value)
    for hook, value in ((dataframe_to_artifact, FRAME), (array_to_artifact, ARRAY)):
        with pytest.raises(ValueError, match=r"format of an? .*'nonsense'"):
            hook("nonsense")(kept, value)
    np.testing.assert_array_equal(array_from_artifact()(kept), ARRAY)
    kept.get_file("partition-0.npy").remove()
    with pytest.raises(ValueError, match=r"no file that ends in \.npy"):
        array_from_artifact()(kept)
    for load in (pandas_dataframe_from_artifact, json_from_artifact(), pickle_from_artifact()):
        with pytest.raises(AssertionError, match=r"numpy\.ndarray"):
            load(kept)
    kept.clear()
    for load in (dataframe_from_artifact(), array_from_artifact()):
        with pytest.raises(ValueError, match="does not say the type"):
            load(kept)
    for handler in (pandas_dataframe_to_artifact, numpy_array_to_artifact):
        with pytest.raises(TypeError, match="not a Thing"):
            handler(kept, Thing())
    kept.delete()
    for save in (dataframe_to_artifact(), json_to_artifact()):
        with pytest.raises(FileNotFoundError):
            save(kept, FRAME)


def test_p12_blocks_that_are_missing_are_told(kept: Artifact) -> None:
    array_to_artifact()(kept, da.from_array(ARRAY, chunks=(109, 7)))
    kept.get_file("partition-3.npy").remove()
    with pytest.raises(ValueError, match="fewer files than"):
        array_from_artifact()(kept)


def test_the_scheduler_of_these_tests_is_that_of_threads() -> None:
    assert dask.base.get_scheduler() is None
