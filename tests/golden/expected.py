"""What every golden store holds: scopes, keys and values, as code. Only ever added to, for the next format."""

from __future__ import annotations

import array
from collections import OrderedDict
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from http import HTTPStatus
from pathlib import PosixPath, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from PIL import Image

FAR = datetime(2100, 1, 1, tzinfo=timezone.utc)
PAST = datetime(2001, 1, 1, tzinfo=timezone.utc)

ODD_SCOPE = (("namespace", "a/b:c%"), ("any kind", "Zürich 北京"), ("n" * 512, "é" * 512))
ODD_KEYS = ("/", "a/b/c", "50%:off/x:y", ".", "..", "ключ", "🔑", " space ", "k" * 512, "\U0010ffff")

LARGE = bytes(range(256)) * 129  # 33 KB: above the inline limit, below what goes out of band


def _numbers(count: int) -> np.ndarray:
    return np.arange(count, dtype="<f8") / 7


def plain() -> dict[str, Any]:
    """Values of the base install, by key."""
    return {
        "none": None,
        "true": True,
        "false": False,
        "integer": 42,
        "integer/least": -(2**63),
        "integer/most": 2**63 - 1,
        "integer/large": 2**64 + 1,
        "integer/text": -(10**600),
        "float": 0.1,
        "float/negative zero": -0.0,
        "float/infinite": float("-inf"),
        "complex": complex(1.5, -2.5),
        "text": "Bjørn & 北京 🔑\x00\n",
        "text/empty": "",
        "text/large": "résumé " * 3_700,
        "bytes": b"\x00\xff",
        "bytes/empty": b"",
        "bytes/large": LARGE,
        "bytearray": bytearray(b"xyz"),
        "list": [1, [2, [3, []]], {"a": [None]}],
        "tuple": (1, (), ("two", (3.0,))),
        "set": {1, "two", (3,)},
        "frozenset": frozenset({b"a", None}),
        "dict": {"a": 1, 2: "b", 3.5: None, None: True, b"c": False},
        "dict/keys": {(1, "two"): "tuple", frozenset({3}): "set", date(2024, 2, 29): "date"},
        "date": date(1, 1, 1),
        "time": time(23, 59, 59, 999999, fold=1),
        "datetime": datetime(2024, 5, 17, 12, 30, 15, 250),
        "datetime/offset": datetime(2024, 5, 17, 12, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
        "datetime/named offset": datetime(2024, 5, 17, 12, tzinfo=timezone(timedelta(hours=1), "here")),
        "datetime/zone": datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Paris")),
        "timedelta": timedelta(days=-3, seconds=5, microseconds=7),
        "decimal": Decimal("-1.2300E+7"),
        "decimal/nan": Decimal("sNaN12"),
        "uuid": UUID("12345678-1234-5678-1234-567812345678"),
        "path": PosixPath("/var/lib/x y"),
        "path/pure": PurePosixPath("a/../b"),
        "path/windows": PureWindowsPath(r"C:\a\b"),
        "nested": {"tuple": (1, {2, 3}), "large": [2**70, -(2**70)], "deep": [[[[[(None,)]]]]]},
        "out of band": {"bytes": LARGE * 2, "bytearray": bytearray(b"ab" * 32_768), "small": (1,)},
    }


def pickled() -> dict[str, Any]:
    """Values that only a signed pickle holds."""
    return {
        "fraction": Fraction(1, 3),
        "ordered": OrderedDict([("b", 1), ("a", 2)]),
        "range": range(1, 10, 2),
        "enum": HTTPStatus.NOT_FOUND,
        "array": array.array("d", [1.5, 2.5]),
        "surrogate": "lone \ud800",
        "inside": [1, (range(3), {"status": HTTPStatus.OK})],
        "out of band": {"range": range(2), "numbers": _numbers(8_200)},
    }


def numpy_values() -> dict[str, Any]:
    """Arrays and scalars."""
    structure = np.dtype([("x", "<f4"), ("name", "<U3"), ("pair", "<i2", (2,))], align=True)
    return {
        "small": np.arange(6, dtype="<i4").reshape(2, 3),
        "large": _numbers(8_200),
        "big-endian": np.arange(4, dtype=">u2"),
        "fortran": np.asfortranarray(np.arange(12, dtype="<f8").reshape(3, 4)),
        "empty": np.zeros((0, 3), dtype="<c16"),
        "zero-dimensional": np.array(1.5),
        "booleans": np.array([True, False]),
        "text": np.array(["a", "bcd", ""]),
        "bytes": np.array([b"a", b"bc"]),
        "moments": np.array(["2024-05-17", "NaT"], dtype="<M8[D]"),
        "spans": np.array([1, -5], dtype="<m8[ms]"),
        "structure": np.array([(1.5, "abc", (1, 2)), (2.5, "d", (3, 4))], dtype=structure),
        "scalar": np.float32(1.5),
        "scalar/moment": np.datetime64("2024-05-17T12:30:00", "s"),
        "nested": {"step": 3, "fields": (np.arange(3, dtype="<i8"), [_numbers(8_200) * 2])},
    }


def pandas_values() -> dict[str, Any]:
    """Frames, series and indexes."""
    days = pd.date_range("2024-05-17", periods=3, freq="D")
    mixed = pd.DataFrame(
        {
            "integer": [1, 2, 3],
            "nullable": pd.array([1, None, 3], dtype="Int16"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "text": pd.array(["a", None, "c"], dtype="string[python]"),
            "object": pd.Series(["x", 1, None], dtype=object),
            "category": pd.Categorical(["u", "v", "u"], categories=["v", "u"], ordered=True),
            "moment": days.tz_localize("Europe/Paris"),
            "span": pd.to_timedelta([1, 2, 3], unit="s"),
            "period": pd.period_range("2024-01", periods=3, freq="M"),
            "interval": pd.interval_range(0, 3),
        }
    )
    mixed.attrs["source"] = "golden"
    return {
        "numbers": pd.DataFrame(_numbers(8_400).reshape(-1, 4), columns=["a", "b", "c", "d"]),
        "mixed": mixed,
        "rows": pd.DataFrame(
            {"v": [1.5, 2.5]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["k", None])
        ),
        "same names": pd.DataFrame([[1, 2]], columns=["x", "x"]),
        "series": pd.Series([1.5, None], index=["a", "b"], name="s"),
        "index": pd.Index([3, 1, 2], name="i"),
        "index/range": pd.RangeIndex(0, 10, 3, name="r"),
        "index/days": days,
    }


def frames() -> dict[str, Any]:
    """Polars and Arrow."""
    numbers = _numbers(8_200)
    return {
        "polars": pl.DataFrame({"i": [1, None], "s": ["a", "ü"], "l": [[1, 2], []], "d": [date(2024, 5, 17), None]}),
        "polars/large": pl.DataFrame({"n": numbers}),
        "polars/series": pl.Series("s", [1.5, None]),
        "arrow": pa.table({"i": pa.array([1, None], pa.int32()), "s": pa.array(["a", "ü"]), "t": [[1], [2, 3]]}),
        "arrow/large": pa.table({"n": numbers}),
        "arrow/batch": pa.record_batch({"x": [1, 2, 3]}),
    }


def images() -> dict[str, Any]:
    """Pillow: as PNG, as raw pixels, in band and out of band."""
    gradient = Image.new("RGB", (16, 16))
    gradient.putdata([(x * 16, y * 16, 128) for y in range(16) for x in range(16)])
    gradient.info["comment"] = "golden"
    palette = gradient.convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    noise = np.random.Generator(np.random.PCG64(1)).integers(0, 256, (148, 149, 3), dtype=np.uint8)
    heights = Image.fromarray(_numbers(17_000).astype("<f4").reshape(100, 170))
    return {
        "rgb": gradient,
        "palette": palette,
        "large": Image.fromarray(noise),
        "cmyk": gradient.convert("CMYK"),
        "heights": heights,
    }


GROUPS = {
    "plain": plain,
    "pickled": pickled,
    "numpy": numpy_values,
    "pandas": pandas_values,
    "frames": frames,
    "images": images,
}
"""Names of workflows in ``namespace:golden`` to what they hold."""


def values() -> Iterator[tuple[str, str, Any]]:
    """Every value with its workflow and key."""
    for group, make in GROUPS.items():
        for key, value in make().items():
            yield group, key, value
