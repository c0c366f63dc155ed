"""Every shipped serializer passes the suite that ships for serializers."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from holdfast.registry import BUILT_IN, Registry
from holdfast.testing.serializer_suite import SerializerSuite

from .equality import identical, same_figure, same_image
from .values import ARRAYS, ARROW, FIGURES, FRAMES, IMAGES, INDEXES, MIXED, NESTED, PIXELS, PLAIN, POLARS, figures


class Suite(SerializerSuite):
    name = ""

    @pytest.fixture
    def serializer(self):
        return Registry.default().serializer(self.name)

    def equal(self, one, other):
        return identical(one, other)


class TestBytes(Suite):
    name = "holdfast.bytes@v1"
    values = (b"", b"abc", bytes(range(256)) * 500)
    delimited = False


class TestText(Suite):
    name = "holdfast.text@v1"
    values = ("", "abc", "naïve \U0001f9ed \x00", "x" * 100_000)
    delimited = False


class TestInt(Suite):
    name = "holdfast.int@v1"
    values = (0, 1, -1, 2**64, -(10**600))
    delimited = False


class TestValue(Suite):
    name = "holdfast.value@v1"
    values = (*PLAIN, *NESTED)


class TestJson(Suite):
    name = "holdfast.json@v1"
    values = (None, True, "text", [], {}, {"a": [1, -2.5, None, {"b": "é"}], "": 10**300}, [[[]]])


MESSAGES: Any = (
    None, True, 1.5, "text", b"bytes", 2**64 - 1, -(2**63), {}, [], [[1], {"a": b"\xc4", 2: None, b"k": -0.0}],
    "x" * 70_000,
)  # fmt: skip


class TestMsgpack(Suite):
    name = "holdfast.msgpack@v1"
    values = MESSAGES


ROWS = [
    ["name", "note"],
    ["", ' "quoted", \r\n and more\n'],
    [],
    [""],
    ["é\u2028", "a\0b", "=1+1"],
    [" a ", "'", "\ufeff"],
]


class TestCsv(Suite):
    name = "holdfast.csv@v1"
    values = ([], ROWS, [["\r"]], [[str(row), "x" * row] for row in range(300)])
    delimited = False


class TestIso8601(Suite):
    name = "holdfast.iso8601@v1"
    values = (
        dt.datetime(2024, 5, 17, 12, 30),
        dt.datetime(1, 1, 1),
        dt.datetime.max,
        dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc),
        dt.datetime(2024, 1, 1, 0, 0, 0, 1, dt.timezone(dt.timedelta(hours=-3, seconds=7, microseconds=1))),
    )
    delimited = False


class TestNumpy(Suite):
    name = "holdfast.numpy@v1"
    values = ARRAYS


class TestPandas(Suite):
    name = "holdfast.pandas@v1"
    values = (*FRAMES, *INDEXES)


class TestPolars(Suite):
    name = "holdfast.polars@v1"
    values: ClassVar[Any] = POLARS

    def equal(self, one, other):
        kinds = (one.schema, other.schema) if hasattr(one, "schema") else (one.dtype, other.dtype)
        return kinds[0] == kinds[1] and one.equals(other, null_equal=True)


class TestArrow(Suite):
    name = "holdfast.arrow@v1"
    values: ClassVar[Any] = ARROW

    def equal(self, one, other):
        return one.schema.equals(other.schema, check_metadata=True) and one.equals(other)


TABLES = [table for table in ARROW if "dictionary" not in table.column_names]
PLAIN_TABLE = ARROW[0].drop_columns(["dictionary"])


class TestArrowFile(TestArrow):
    name = "holdfast.arrow-file@v1"


class TestParquet(TestArrow):
    name = "holdfast.parquet@v1"
    values = (*TABLES, PLAIN_TABLE, PLAIN_TABLE.slice(1, 1), PLAIN_TABLE.slice(0, 0), PLAIN_TABLE.to_batches()[0])


KEPT = MIXED.drop(columns=["object", "python text"])
KEPT.attrs = {"source": ["a", 1]}
ARROW_FRAMES = [
    KEPT.iloc[:6],
    KEPT.iloc[:0],
    KEPT.iloc[5:9],
    KEPT.iloc[:8].set_index(["int", "text"]),
    KEPT.iloc[:8].set_index("zone"),
    pd.DataFrame({"bytes": [b"x", None], "days": [dt.date(2020, 1, 1), None], "text": ["a", None]}),
    *(FRAMES[number] for number in (5, 6, 7, 10, 11, 17, 19)),
]


@pytest.mark.long  # what is more in it than in the others is tested as streams
class TestPandasArrowFile(Suite):
    name = "holdfast.pandas-arrow-file@v1"
    values = ARROW_FRAMES


@pytest.mark.long  # what is more in it than in the others is tested as streams
class TestPandasParquet(Suite):
    name = "holdfast.pandas-parquet@v1"
    values = tuple(
        frame.drop(columns="category", errors="ignore") for frame in ARROW_FRAMES if "<M8[s]" not in list(frame.dtypes)
    )


@pytest.mark.long
class TestPolarsArrowFile(TestPolars):
    name = "holdfast.polars-arrow-file@v1"
    values = tuple(value for value in POLARS if hasattr(value, "columns"))


@pytest.mark.long
class TestPolarsParquet(TestPolars):
    name = "holdfast.polars-parquet@v1"
    values = tuple(value for value in POLARS if hasattr(value, "columns") and (value.columns or not value.height))


class TestPillow(Suite):
    name = "holdfast.pillow@v1"
    values = IMAGES

    def equal(self, one, other):
        return same_image(one, other)


class TestPlotly(Suite):
    name = "holdfast.plotly@v1"
    values = FIGURES

    def equal(self, one, other):
        return same_figure(one, other)

    def test_putting_changes_nothing(self, serializer):
        for value, before in zip(self.values, figures(), strict=True):
            serializer.serialize(value)
            assert same_figure(value, before)


class TestPng(Suite):
    name = "holdfast.png@v1"
    values = tuple(PIXELS)


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __eq__(self, other):
        return (self.x, self.y) == (other.x, other.y)


class TestPickle(Suite):
    name = "holdfast.pickle@v1"
    values = (
        Point(1, [2]),
        {"point": Point(1, 2)},
        "\ud800",
        [Decimal(1)],
        np.ma.array([1, 2], mask=[False, True]),
        range(3),
    )

    def equal(self, one, other):
        return bool(np.all(one == other))


def test_every_serializer_is_here():
    kinds = [*Suite.__subclasses__(), *TestArrow.__subclasses__(), *TestPolars.__subclasses__()]
    tested = {cls.name for cls in kinds}
    assert tested == set(BUILT_IN)


def test_equality_sees_differences():
    """The comparison of these tests is not the lenient one of ``==``."""
    for one, other in [
        (1, True),
        (0.0, -0.0),
        ((1,), [1]),
        ({1: 2, 3: 4}, {3: 4, 1: 2}),
        (np.zeros(2), np.zeros(2, "f4")),
    ]:
        assert not identical(one, other)
    assert identical(math.nan, math.nan)
