"""Frames in Arrow's formats and in Parquet: what others read of them, and what is refused."""

from __future__ import annotations

import struct
import sys
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from holdfast.errors import DecodeError, MissingExtraError, UnsupportedValue
from holdfast.registry import Registry

from .equality import identical

DEFAULT = Registry.default()
FRAMES = [pd.DataFrame({"a": np.arange(3) + number, "b": ["x", None, "z"]}).iloc[number:] for number in range(3)]
ROWS = [int(n) for frame in FRAMES for n in frame["a"]]


def written(name: str, items: list[Any]) -> bytes:
    return b"".join(map(bytes, DEFAULT.stream_serializer(f"holdfast.{name}@v1").serialize_stream(iter(items))))


def read(name: str, data: bytes) -> list[Any]:
    return list(DEFAULT.stream_serializer(f"holdfast.{name}@v1").deserialize_stream(BytesIO(data)))


def test_others_read_streams_as_one_table():
    arrow, parquet = written("pandas-arrow-stream", FRAMES), written("pandas-parquet-stream", FRAMES)
    table = pa.ipc.open_stream(arrow).read_all()
    assert table["a"].to_pylist() == ROWS
    assert table.to_pandas()["a"].tolist() == ROWS
    assert pl.read_ipc_stream(arrow)["a"].to_list() == ROWS
    assert pq.read_table(BytesIO(parquet))["a"].to_pylist() == ROWS
    assert pd.read_parquet(BytesIO(parquet))["a"].tolist() == ROWS
    assert pl.read_parquet(BytesIO(parquet))["a"].to_list() == ROWS
    whole = DEFAULT.serializer("holdfast.pandas-parquet@v1").serialize(FRAMES[0])
    assert pd.read_parquet(BytesIO(whole.buffers[0])).equals(FRAMES[0])
    feather = DEFAULT.serializer("holdfast.pandas-arrow-file@v1").serialize(FRAMES[0])
    assert pd.read_feather(BytesIO(feather.buffers[0])).equals(FRAMES[0])


@pytest.mark.parametrize("name", ["pandas-arrow-stream", "pandas-parquet-stream"])
def test_each_frame_keeps_its_own_rows_labels_and_attrs(name):
    frames = [frame.copy() for frame in FRAMES]
    for number, frame in enumerate(frames):
        frame.attrs = {"step": number}
    assert identical(read(name, written(name, frames)), frames)
    assert [frame.index.start for frame in read(name, written(name, frames))] == [0, 1, 2]
    hours = [pd.DataFrame({"v": [1.0, 2.0]}, index=pd.date_range(day, periods=2, freq="h")) for day in ("2024", "2025")]
    assert identical(read(name, written(name, hours)), hours)


def test_categories_are_kept_or_refused():
    frames = [pd.DataFrame({"c": pd.Categorical([first], categories=["b", "a", "unused"])}) for first in "ab"]
    frames.append(pd.DataFrame({"c": pd.Categorical(["z"], categories=["z"])}))
    assert identical(read("pandas-arrow-stream", written("pandas-arrow-stream", frames)), frames)
    with pytest.raises(UnsupportedValue, match="item 1 of the stream: Parquet would not give back the categories"):
        written("pandas-parquet-stream", frames)
    with pytest.raises(UnsupportedValue, match="Parquet would not give back the categories"):
        DEFAULT.serializer("holdfast.parquet@v1").serialize(pa.table({"c": pa.array(["a"]).dictionary_encode()}))
    enums = [pl.DataFrame({"c": pl.Series(["a"], dtype=pl.Enum(["b", "a"]))})]
    (back,) = read("polars-parquet-stream", written("polars-parquet-stream", enums))
    assert (back.schema, back.rows()) == (enums[0].schema, enums[0].rows())


@pytest.mark.parametrize(
    ("name", "items", "message"),
    [
        ("pandas-arrow", [FRAMES[0], FRAMES[0].assign(a=1.5)], r"item 2 .*\(a: double, b: .*first item \(a: int64"),
        (
            "polars-arrow",
            [pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [None]})],
            r"item 2 .*value-stream@v1 takes both",
        ),
        ("arrow", [pa.table({"a": [1]}), pa.table({"b": [1]})], r"item 2 .*\(b: int64\)"),
        ("parquet", [pa.table({"a": [1]}), "text"], "item 2 of the stream: it is a str and no pyarrow.Table"),
        ("pandas-parquet", [pl.DataFrame({"a": [1]})], "item 1 .*no pandas.DataFrame"),
        ("polars-parquet", [FRAMES[0]], "item 1 .*no polars.DataFrame"),
        ("pandas-arrow", [pd.DataFrame({"a": [(1, 2)]})], r"objects of 'a': holdfast\.pandas@v1 keeps them"),
        ("pandas-arrow", [pd.DataFrame({"a": pd.Series([1, 2], dtype=object)})], "objects of 'a'"),
        ("pandas-arrow", [pd.DataFrame({"a": [1j]})], "no form in Arrow"),
        ("pandas-arrow", [pd.DataFrame([[1, 2]], columns=["a", "a"])], "no form in Arrow"),
        ("pandas-arrow", [pd.DataFrame([[1, 2]], columns=["a", 1])], "labels of several types"),
        ("pandas-arrow", [FRAMES[0].set_flags(allows_duplicate_labels=False)], "flags"),
        ("parquet", [pa.table({"a": pa.array([1], pa.timestamp("s"))})], r"columns \(a: timestamp\[s\]\)"),
        ("parquet", [pa.table({"a": pa.array([{}], pa.struct([]))})], "does not hold it"),
    ],
)
def test_what_would_come_back_changed_is_refused(name, items, message):
    with pytest.raises(UnsupportedValue, match=message):
        written(f"{name}-stream", items)


def test_lengths_that_are_only_claimed_take_no_memory():
    data = written("arrow-stream", [pa.table({"a": np.arange(1000)})])
    at = data.index(struct.pack("<q", 8000))  # the length of the batch's memory, in its message
    hostile = data[:at] + struct.pack("<q", 1 << 60) + data[at + 8 :]
    with pytest.raises(DecodeError):
        read("arrow-stream", hostile)
    parquet = written("parquet-stream", [pa.table({"a": np.arange(1000)})])
    with pytest.raises(DecodeError):
        read("parquet-stream", parquet[:-8] + struct.pack("<I", 1 << 31) + parquet[-4:])


def test_streams_of_others_are_refused():
    sink = BytesIO()
    with pa.ipc.new_stream(sink, pa.schema([("a", pa.int64())])) as writer:
        writer.write(pa.record_batch({"a": [1]}))
    with pytest.raises(DecodeError, match="record batches that belong to no item"):
        read("arrow-stream", sink.getvalue())
    sink = BytesIO()
    pq.write_table(pa.table({"a": [1]}), sink)
    with pytest.raises(DecodeError):
        read("parquet-stream", sink.getvalue())


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("arrow-stream", "pyarrow", "arrow"),
        ("parquet-stream", "pyarrow.parquet", "arrow"),
        ("pandas-arrow-stream", "pandas", "pandas"),
        ("polars-parquet-stream", "polars", "polars"),
    ],
)
def test_missing_libraries_are_named(name, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    serializer = DEFAULT.stream_serializer(f"holdfast.{name}@v1")
    with pytest.raises(MissingExtraError, match=rf'pip install "holdfast\[{extra}\]"'):
        list(serializer.serialize_stream(iter([1])))
