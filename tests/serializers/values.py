"""Values of every kind that the shipped serializers take."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import polars as pl
import pyarrow as pa
from PIL import Image
from plotly.subplots import make_subplots

BERLIN = ZoneInfo("Europe/Berlin")

PLAIN: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    2**64 - 1,
    2**64,
    -(2**63) - 1,
    10**400,
    0.0,
    -0.0,
    math.inf,
    math.nan,
    5e-324,
    complex(-0.0, math.nan),
    "",
    "naïve \U0001f9ed \x00",
    b"",
    b"\xc4\xd4",
    bytearray(b"abc"),
    bytearray(b"a" * 70_000),
    b"b" * 70_000,
    [],
    (),
    {},
    set(),
    frozenset(),
    (1, (2, [3, (4,)]), {"a": ()}),
    {1: "a", "1": "b", None: "c", (1, (2,)): "d", frozenset({1}): "e", b"1": "f", 1.5: "g", True + 1: "h"},
    {1, "1", (1, 2), frozenset({None}), 2.5, b"x"},
    {dt.date(2024, 2, 29): Decimal("1.10"), uuid.UUID(int=5): PurePosixPath("a/b")},
    dt.datetime(2024, 10, 27, 2, 30, 0, 1, fold=1, tzinfo=BERLIN),
    dt.datetime(1, 1, 1),
    dt.datetime.max,
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc),
    dt.datetime(2024, 1, 1, fold=1),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3, seconds=7, microseconds=1), "odd | name")),
    dt.time(1, 2, 3, 4, tzinfo=dt.timezone(dt.timedelta(hours=2)), fold=1),
    dt.time(0),
    dt.timedelta.min,
    dt.timedelta(days=-1, microseconds=1),
    Decimal("-0.00"),
    Decimal("sNaN12"),
    Decimal("-Infinity"),
    Decimal("1E+999999"),
    uuid.UUID("12345678123456781234567812345678", is_safe=uuid.SafeUUID.unsafe),
    uuid.uuid4(),
    Path("/tmp/x"),
    Path("a\udcff"),
    PurePosixPath("."),
    PureWindowsPath("c:/x/Y"),
    {"deep": [[[[[[{"x": [(1,)]}]]]]]], "bytes": [b"q", bytearray(b"q")]},
    [(n, n + 0.5) for n in range(2_000)],
    {f"key {n}": n for n in range(1_000)},
]
"""Plain data at the edges of each type."""

NESTED: list[Any] = [
    {"array": np.arange(20_000), "small": np.ones((2, 3), "f4"), "list": [np.float32(1.5), (np.array("x"),)]},
    {"frame": pd.DataFrame({"a": [1, 2]}), "table": pa.table({"x": [1]}), "blob": b"z" * 70_000},
    [np.zeros(9_000), np.zeros(9_000, ">f8"), {"deep": (np.zeros((200, 200), order="F"),)}],
]
"""Plain data with values of other serializers in it."""

STRUCTURE = np.dtype([("x", "<f8"), ("name", "<U4"), ("inner", [("t", "<M8[us]"), ("flags", "?", (2, 2))])], align=True)

_TYPES = (
    *("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"),
    *("c8", "c16", "g", "G", ">i4", ">f8", ">U3", "S5", "U3", "V7", "M8[ns]", "M8[25s]"),
    *("M8", "m8[D]", "q", "Q"),
)

ARRAYS: list[Any] = [
    *(np.zeros(3, kind) for kind in _TYPES),
    *(np.zeros((), kind) for kind in _TYPES),
    *(np.zeros((0, 4), kind) for kind in _TYPES),
    *(np.zeros((), kind)[()] for kind in _TYPES if kind[0] != ">"),
    np.arange(60_000, dtype="f8").reshape(200, 300),
    np.asfortranarray(np.arange(60_000, dtype="f8").reshape(200, 300)),
    np.arange(60_000)[::3],
    np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0),
    np.array(["naïve", "\U0001f9ed"] * 20_000),
    np.zeros(5, STRUCTURE),
    np.zeros(5_000, STRUCTURE),
    np.zeros(1, STRUCTURE)[0],
    np.array([math.nan, -0.0, math.inf]),
    np.str_("text"),
    np.bytes_(b"by\x00tes"),
    np.void(b"raw"),
    np.datetime64("NaT"),
    np.timedelta64(5, "D"),
]
"""Arrays and scalars of every kind; both small and large ones."""

_ROWS = 12_000
_TICKS = pd.date_range("2020-01-01", periods=_ROWS, freq="h", tz="Europe/Berlin")


def _columns(rows: int) -> dict[str, Any]:
    half = rows // 2
    return {
        "int": np.arange(rows),
        "float": np.arange(rows) / 3,
        "bool": np.arange(rows) % 2 == 0,
        "text": [f"text {n}" if n % 3 else None for n in range(rows)],
        "object": pd.Series([None, "x", (1, 2), {"a": [math.inf]}] * (rows // 4), dtype=object),
        "stamp": pd.date_range("2020", periods=rows),
        "zone": _TICKS[:rows],
        "utc": pd.date_range("2020", periods=rows, tz="UTC"),
        "span": pd.to_timedelta(np.arange(rows), unit="s"),
        "category": pd.Categorical.from_codes(np.arange(rows) % 3 - 1, ["b", "a"], ordered=True),
        "Int32": pd.array([1, None] * half, dtype="Int32"),
        "boolean": pd.array([True, None] * half, dtype="boolean"),
        "Float64": pd.array([1.5, None] * half, dtype="Float64"),
        "python text": pd.array(["a", None] * half, dtype="string[python]"),
        "arrow text": pd.array(["a" * 9, None] * half, dtype="string[pyarrow]"),
        "arrow": pd.array([1, None] * half, dtype="int64[pyarrow]"),
        "period": pd.period_range("1020", periods=rows, freq="D"),
        "interval": pd.interval_range(0, rows),
    }


MIXED = pd.DataFrame(_columns(_ROWS))
MIXED.attrs = {"source": ("a", 1)}

FRAMES: list[Any] = [
    MIXED,
    MIXED.iloc[:6],
    MIXED.iloc[:0],
    MIXED.iloc[:8].set_index(["int", "text"]),
    MIXED.iloc[:8].set_index("zone"),
    pd.DataFrame(),
    pd.DataFrame(index=[1, 2]),
    pd.DataFrame(columns=["a"]),
    pd.DataFrame(columns=pd.Index([], dtype=object)),
    pd.DataFrame([[1, 2.5]], columns=["a", "a"]),
    pd.DataFrame(np.zeros((3, 2)), columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", None])),
    pd.DataFrame(np.zeros((3, 2)), index=pd.date_range("2020", periods=3, freq="ME", name="t")),
    pd.DataFrame(np.zeros((3, 2)), columns=[1.5, "x"]),
    pd.DataFrame(np.zeros((3, 2)), columns=[dt.date(2020, 1, 1), None]),
    pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
    pd.DataFrame(np.zeros((4, 4)))[::2],
    pd.DataFrame(np.zeros((100, 4)), columns=list("abcd"))[["a", "c"]],
    pd.DataFrame(np.random.default_rng(1).random((9_000, 3))),
    pd.DataFrame({name: np.arange(9_000.0) for name in "abc"}),
    pd.DataFrame({"a": np.arange(0, 9_000).astype("M8[s]"), "b": np.arange(0, 9_000).astype("M8[s]")}),
    *(MIXED[name] for name in MIXED),
    *(MIXED[name].iloc[:7] for name in MIXED),
    pd.Series([1, 2], name=("a", 1)),
    pd.Series(dtype=object),
    pd.Series(pd.Categorical([1, 2], ordered=True)),
]
"""Frames and series."""

INDEXES: list[Any] = [
    *(pd.Index(MIXED[name]) for name in MIXED if name != "object"),
    pd.timedelta_range("1D", periods=4),
    pd.RangeIndex(2, 10, 3, name="q"),
    pd.Index(["a", 1], dtype=object),
    pd.Index([True, False]),
    pd.date_range("2020", periods=3, tz=dt.timezone(dt.timedelta(hours=2))),
    pd.CategoricalIndex(["a", None]),
    pd.MultiIndex.from_product([[1, 2], ["a", "b"]], names=["n", ("x", 1)]),
]
"""Indexes by themselves."""

POLARS_FRAME = pl.DataFrame(
    {
        "int": [1, None],
        "text": ["x" * 100, None],
        "category": pl.Series(["a", "b"], dtype=pl.Categorical),
        "enum": pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"])),
        "list": [[1], [2, 3]],
        "struct": [{"a": 1}, {"a": None}],
        "zone": pl.Series([dt.datetime(2020, 1, 1)] * 2, dtype=pl.Datetime("ms", "Europe/Berlin")),
        "span": [dt.timedelta(1)] * 2,
        "time": [None, dt.time(1)],
        "decimal": pl.Series([Decimal("1.20")] * 2, dtype=pl.Decimal(10, 2)),
        "bytes": [b"x", None],
        "array": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int32, 2)),
        "bool": [True, None],
        "u8": pl.Series([1, 2], dtype=pl.UInt8),
        "null": [None, None],
    }
)

POLARS: list[Any] = [
    POLARS_FRAME,
    *POLARS_FRAME.get_columns(),
    pl.DataFrame(),
    pl.DataFrame({"a": []}),
    pl.DataFrame({"n": range(20_000), "t": ["x"] * 20_000}),
    pl.Series("", [], dtype=pl.Int8),
    pl.DataFrame({"a": [1, 2]}).drop("a"),
]
"""Polars frames and series."""

_TABLE = pa.table(
    {
        "int": pa.array([1, None, 3]),
        "text": ["a", None, "c"],
        "list": [[1], None, []],
        "struct": [{"x": 1}, None, {"x": None}],
        "dictionary": pa.array(["a", "b", "a"]).dictionary_encode(),
        "stamp": pa.array([dt.datetime(2020, 1, 1)] * 3, pa.timestamp("us", "UTC")),
        "decimal": pa.array([Decimal("1.20")] * 3),
    }
).replace_schema_metadata({"key": "value"})

ARROW: list[Any] = [
    _TABLE,
    _TABLE.to_batches()[0],
    _TABLE.slice(1, 1),
    pa.table({}),
    pa.concat_tables([_TABLE, _TABLE]),
    pa.table({"n": np.arange(20_000)}),
    pa.record_batch({"n": np.arange(20_000)}),
    _TABLE.schema.empty_table(),
]
"""Arrow tables and record batches."""


def _image(mode: str, size: tuple[int, int]) -> Any:
    blank = Image.new(mode, size)
    pixels = np.random.default_rng(len(mode)).bytes(len(blank.tobytes())) if all(size) else b""
    image = Image.frombytes(mode, size, pixels) if pixels else blank
    if mode in ("P", "PA"):
        image.putpalette(bytes(range(256)) * 3)
    image.info = {"dpi": (72, 72.5), "profile": b"abc", "text": "é"}
    return image


_MODES = (
    *("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F", "PA", "RGBX", "RGBa"),
    *("La", "CMYK", "YCbCr", "LAB", "HSV", "I;16B"),
)

IMAGES: list[Any] = [
    *(_image(mode, size) for mode in _MODES for size in ((7, 5), (0, 3))),
    *(_image(mode, (300, 200)) for mode in ("L", "RGB", "F", "P")),
]
"""Images of every mode."""

_CHANCE = np.random.default_rng(7)

PIXELS: list[Any] = [
    *(_CHANCE.integers(0, 256, shape, "u1") for shape in ((5, 7), (5, 7, 2), (5, 7, 3), (1, 1, 4), (300, 200, 3))),
    _CHANCE.integers(0, 65_536, (4, 3), "u2"),
]
"""Arrays that PNGs hold."""

FRAMES_OF_VIDEO: list[list[Any]] = [
    [_CHANCE.integers(0, 256, (24, 31, 3), "u1") for _ in range(12)],
    [_CHANCE.integers(0, 256, (17, 3), "u1") for _ in range(3)],
    [_CHANCE.integers(0, 256, (8, 16, 4), "u1")],
    [_CHANCE.integers(0, 65_536, (16, 8), "u2") for _ in range(2)],
    [_CHANCE.integers(0, 65_536, (2, 2, 3), "u2")],
    [_CHANCE.integers(0, 65_536, (9, 5, 4), "u2") for _ in range(2)],
]
"""Arrays that videos hold."""


def figures() -> list[Any]:
    """Plotly figures, the same whenever they are made: copies of them that Plotly makes are not."""
    plain = go.Figure(go.Scatter(x=["a", "b", "\u00e9"], y=[1, 2.5, None, math.nan, -math.inf]))
    arrays = go.Figure(
        [
            go.Scatter(x=pd.date_range("2024", periods=5, unit="ns"), y=np.arange(5)),
            go.Scatter(x=np.array(["2024", "NaT"], "M8[D]"), y=np.array([2**40, -1]), customdata=np.zeros((0, 2))),
            go.Heatmap(
                z=np.linspace(0, 1, 12).reshape(3, 4).astype(">f4"),
                customdata=np.array([[1, "x", None, math.nan]], object),
            ),
            go.Scatter(y=np.array([1, math.nan], "f2"), x=np.array([2**63], "u8"), ids=np.array(["a", "b"])),
        ],
        layout={"template": "none", "xaxis": {"range": np.array([0.5, 2.5])}, "title": "arrays"},
    )
    arrays.update_layout(template=None)
    moments = [dt.datetime(2024, 1, 1), dt.date(2024, 1, 2), pd.Timestamp("2024-01-01T00:00:00.000000001")]
    bare = go.Figure(go.Scatter(x=moments, y=("1", True), meta=(1, {"a": (2, [3])})))
    bare.layout.template = None
    grid = make_subplots(2, 2, specs=[[{}, {"type": "domain"}], [{"colspan": 2}, None]])
    grid.add_trace(go.Pie(values=[1, 2], labels=("a", "b")), row=1, col=2)
    moving = go.Figure(go.Scatter(y=[1]), frames=[go.Frame(data=[go.Scatter(y=np.array([1.5]))], name="1")])
    return [plain, arrays, bare, grid, moving, go.Figure()]


FIGURES: list[Any] = figures()
"""Plotly figures."""
