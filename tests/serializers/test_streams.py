"""Every shipped serializer of streams passes the suite that ships for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from holdfast.registry import BUILT_IN_STREAMS, Registry
from holdfast.testing.stream_suite import StreamSuite

from .equality import identical
from .test_conformance import ARROW_FRAMES, KEPT, MESSAGES, PLAIN_TABLE, ROWS
from .values import ARRAYS, ARROW, FRAMES, FRAMES_OF_VIDEO, NESTED, PLAIN, POLARS_FRAME


class Suite(StreamSuite):
    name = ""

    @pytest.fixture
    def serializer(self):
        return Registry.default().stream_serializer(self.name)

    def equal(self, one, other):
        return identical(one, other)


class TestValues(Suite):
    name = "holdfast.value-stream@v1"
    streams = (
        [1, "two", None],
        PLAIN,
        [NESTED[0], ARRAYS[-1], FRAMES[1], b"", {}],
        [{"n": number, "half": number / 2} for number in range(300)],
        [b"x" * 300, b"y" * 70_000, b"z" * 270_000],
    )


JSON: list[Any] = [None, True, "text", [], {}, {"a": [1, -2.5, None, {"b": "é"}], "": 10**300}, [[[]]], "\u2028\n\r"]


class TestJsonLines(Suite):
    name = "holdfast.json-lines@v1"
    streams = (JSON, [{"n": number} for number in range(200)], [1])
    delimited = False


class TestMsgpack(Suite):
    name = "holdfast.msgpack-stream@v1"
    streams = (MESSAGES, [{"n": number} for number in range(200)], [b"x" * 200_000, 1, "y" * 70_000])
    delimited = False


class TestCsv(Suite):
    name = "holdfast.csv-rows@v1"
    streams = (ROWS, [[str(row), "x" * row] for row in range(300)], [["\r"]])
    delimited = False


class TestVideo(Suite):
    name = "holdfast.video@v1"
    streams = FRAMES_OF_VIDEO


ROWS_OF_ARROW = pa.table({"n": range(2000), "text": [f"row {number}" for number in range(2000)]})
ARROW_STREAMS: Any = (
    [PLAIN_TABLE, PLAIN_TABLE.slice(1, 1), PLAIN_TABLE.slice(0, 0), PLAIN_TABLE.slice(2)],
    [ROWS_OF_ARROW.slice(begin, 200) for begin in range(0, 2000, 200)],
    ROWS_OF_ARROW.to_batches(max_chunksize=150),
    [pa.table({"n": np.arange(70_000)})],
)


class TestArrow(Suite):
    name = "holdfast.arrow-stream@v1"
    streams = (*ARROW_STREAMS, [ARROW[0], ARROW[2], ARROW[7]], [pa.concat_tables([PLAIN_TABLE] * 2)])

    def equal(self, one, other):
        return one.schema.equals(other.schema, check_metadata=True) and one.equals(other)


class TestParquet(TestArrow):
    name = "holdfast.parquet-stream@v1"
    streams = ARROW_STREAMS


NUMBERS = [pd.DataFrame(np.random.default_rng(number).random((200, 3)), columns=list("abc")) for number in range(12)]
FRAME_STREAMS: Any = (
    NUMBERS,
    ARROW_FRAMES[:3],
    [KEPT[["zone", "int"]].iloc[:24].set_index("zone"), KEPT[["zone", "int"]].iloc[24:30].set_index("zone")],
    [pd.DataFrame({"a": [1.5]}, index=[number]) for number in range(5)],
)
for number, frame in enumerate(NUMBERS):
    frame.attrs = {"step": number}


class TestPandasArrow(Suite):
    name = "holdfast.pandas-arrow-stream@v1"
    streams = FRAME_STREAMS


class TestPandasParquet(Suite):
    name = "holdfast.pandas-parquet-stream@v1"
    streams = tuple([frame.drop(columns="category", errors="ignore") for frame in frames] for frames in FRAME_STREAMS)


class TestPolarsArrow(Suite):
    name = "holdfast.polars-arrow-stream@v1"
    streams = (
        [POLARS_FRAME, POLARS_FRAME.head(1), POLARS_FRAME.head(0)],
        [pl.DataFrame({"n": range(number), "t": ["x"] * number}) for number in range(1, 6)],
    )

    def equal(self, one, other):
        return one.schema == other.schema and one.equals(other, null_equal=True)


class TestPolarsParquet(TestPolarsArrow):
    name = "holdfast.polars-parquet-stream@v1"


def test_every_one_is_here():
    kinds: Any = [*Suite.__subclasses__(), TestParquet, TestPolarsParquet]
    assert {cls.name for cls in kinds} == set(BUILT_IN_STREAMS)
