"""Values whose canonical bytes are fixed for ever, by name; run as a program it prints their digests.

python -P tests/memoize/samples.py            # as JSON, what needs a library that is not installed left out
python -P tests/memoize/samples.py --write    # adds the new names to keys.json; those that are there stay
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import ipaddress
import json
import logging
import operator
import pathlib
import random
import re
import sys
import types
import uuid
import zoneinfo
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

from holdfast.memoize.canonical import Canonical

KEYS = pathlib.Path(__file__).with_name("keys.json")


def name_of(value: Any) -> bytes:
    """In place of what code says of itself: package and name only, so that these keys outlive new versions of both."""
    named = value if hasattr(value, "__qualname__") else type(value)
    package = str(getattr(named, "__module__", None)).partition(".")[0]
    return f"{'samples' if named.__module__ == __name__ else package}.{named.__qualname__}".encode()


class Colour(enum.Enum):
    RED = "r"


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    name: str
    tags: frozenset[str] = frozenset({"a", "b", "c", "d"})


class Pair(NamedTuple):
    left: int
    right: str


class Slotted:
    __slots__ = ("__secret", "other")

    def __init__(self) -> None:
        self.__secret, self.other = 1, {"x": 2}


class Stated:
    def __init__(self) -> None:
        self.lock = object()

    def __getstate__(self) -> dict[str, Any]:
        return {"kept": [1, 2]}


class Reduced:
    def __reduce__(self) -> tuple[Any, ...]:
        return Reduced, (), {"kept": 3}


class Bag(dict):
    pass


class Words(list):
    pass


class Node:
    def __init__(self, parent: Node | None = None) -> None:
        self.parent = parent
        self.children: list[Node] = []


def tree() -> Node:
    root = Node()
    root.children = [Node(root), Node(root)]
    return root


def circle() -> list[Any]:
    items: list[Any] = [1]
    items.append(items)
    return items


def with_attribute(value: Any) -> Any:
    value.note = "more"
    return value


ZONE = zoneinfo.ZoneInfo("Europe/Amsterdam")
WORDS = ["alpha", "beta", "gämma", "δ", "", "\ud800", "zeta"] * 20

PLAIN: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "1": lambda: 1,
    "-255": lambda: -255,
    "2**64": lambda: 2**64,
    "10**5000": lambda: 10**5000,
    "1.0": lambda: 1.0,
    "-0.0": lambda: -0.0,
    "nan": lambda: float("nan"),
    "1-2j": lambda: 1 - 2j,
    "text": lambda: "gämma δ 𝄞",
    "a surrogate": lambda: "\ud800",
    "long text": lambda: "word " * 1000,
    "bytes": lambda: b"\x00\xff",
    "long bytes": lambda: bytes(range(256)) * 40,
    "bytearray": lambda: bytearray(b"abc"),
    "memoryview": lambda: memoryview(b"abcdef").cast("B", (2, 3)),
    "...": lambda: ...,
    "NotImplemented": lambda: NotImplemented,
    "range": lambda: range(1, 10, 2),
    "slice": lambda: slice(None, 5),
    "list": lambda: [1, "1", 1.0, None, [b"1", (1,)]],
    "empty": lambda: [[], (), {}, set(), frozenset(), "", b""],
    "many integers": lambda: list(range(-50, 50)),
    "many large integers": lambda: [2**70 + number for number in range(100)],
    "many floats": lambda: tuple(number / 7 for number in range(100)),
    "many words": lambda: WORDS,
    "many things": lambda: [(number, str(number)) for number in range(200)],
    "dict": lambda: {"b": 1, "a": [2], 3: None, (4, 5): "x", None: True, 2.5: {}},
    "set": lambda: {"red", "green", "blue", 1, 2.5, None, (1, "x")},
    "frozenset": lambda: frozenset("abcdefghijk"),
    "date": lambda: datetime.date(2024, 2, 29),
    "datetime": lambda: datetime.datetime(2024, 2, 29, 12, 30, 1, 5, fold=1),
    "datetime with a zone": lambda: datetime.datetime(2024, 2, 29, 12, tzinfo=ZONE),
    "datetime in UTC": lambda: datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc),
    "time": lambda: datetime.time(1, 2, 3, tzinfo=datetime.timezone(datetime.timedelta(hours=2), "X")),
    "timedelta": lambda: datetime.timedelta(days=-1, microseconds=7),
    "Decimal": lambda: decimal.Decimal("1.10"),
    "Fraction": lambda: fractions.Fraction(2, 6),
    "UUID": lambda: uuid.UUID(int=5),
    "Pattern": lambda: re.compile("a+", re.IGNORECASE),
    "PurePosixPath": lambda: pathlib.PurePosixPath("a/b//c"),
    "PureWindowsPath": lambda: pathlib.PureWindowsPath("c:/a"),
    "PosixPath": lambda: pathlib.PosixPath("a/é"),
    "IPv4Address": lambda: ipaddress.ip_address("10.0.0.1"),
    "IPv6Network": lambda: ipaddress.ip_network("2001:db8::/32"),
    "deque": lambda: collections.deque([1, 2], 5),
    "OrderedDict": lambda: collections.OrderedDict(b=1, a=2),
    "defaultdict": lambda: collections.defaultdict(list, a=[1]),
    "Counter": lambda: collections.Counter("mississippi"),
    "ChainMap": lambda: collections.ChainMap({"a": 1}, {"b": 2}),
    "UserDict": lambda: collections.UserDict(a=1),
    "SimpleNamespace": lambda: types.SimpleNamespace(b=1, a=2),
    "mappingproxy": lambda: types.MappingProxyType({"a": 1}),
    "array of double": lambda: array.array("d", [0.5, -0.0]),
    "array of long": lambda: array.array("l", [1, -1]),
    "Enum": lambda: Colour.RED,
    "Flag": lambda: Mode.READ | Mode.WRITE,
    "IntEnum": lambda: Level.HIGH,
    "dataclass": lambda: Point(1),
    "dataclass with more": lambda: with_attribute(Point(1)),
    "dataclass, frozen, with slots": lambda: Frozen("x"),
    "named tuple": lambda: Pair(1, "x"),
    "slots": Slotted,
    "__getstate__": Stated,
    "__reduce__": Reduced,
    "subclass of dict": lambda: with_attribute(Bag(a=1)),
    "subclass of list": lambda: Words("ab"),
    "a tree with links to parents": tree,
    "a list in itself": circle,
    "exception": lambda: ValueError("wrong", 3),
    "OSError": lambda: FileNotFoundError(2, "none", "name"),
    "random.Random": lambda: random.Random(5),
    "list[int]": lambda: list[int],
    "itemgetter": lambda: operator.itemgetter(1, "a"),
    "logger": lambda: logging.getLogger("some.name"),
    "function": lambda: tree,
    "class": lambda: Point,
    "builtin": lambda: len,
    "partial": lambda: functools.partial(int, base=2),
}


def needs(library: str) -> Any:
    """The library; its values are left out where it is not installed."""
    return __import__(library)


def numpy_values() -> dict[str, Callable[[], Any]]:
    np = needs("numpy")
    grid = np.arange(12.0).reshape(3, 4)
    records = np.array([(1, 2.5, b"ab"), (2, -0.0, b"")], dtype=[("a", "<i4"), ("b", "<f8"), ("c", "S2")])
    padded = np.array([(1, 2.5)], dtype=np.dtype([("a", "i1"), ("b", "<f8")], align=True))
    return {
        "float64": lambda: np.float64(1.5),
        "datetime64": lambda: np.datetime64("2024-02-29T12", "ms"),
        "str_": lambda: np.str_("text"),
        "array": lambda: grid,
        "array by columns": lambda: np.asfortranarray(grid),
        "array of 0 dimensions": lambda: np.array(3),
        "array, empty": lambda: np.empty((0, 3), "<f4"),
        "array, large": lambda: np.arange(1_000_000, dtype="<i8"),
        "array, large, transposed": lambda: np.arange(1_000_000, dtype="<i8").reshape(1000, 1000).T,
        "array, other byte order": lambda: grid.astype(">f8"),
        "array of booleans": lambda: grid > 3,
        "array of text": lambda: np.array(["a", "bcd"]),
        "array of dates": lambda: np.array(["2024-01-01", "NaT"], "datetime64[D]"),
        "array of objects": lambda: np.array([1, "a", None], dtype=object),
        "array of records": lambda: records,
        "array of padded records": lambda: padded,
        "array of wide strings": lambda: np.array(["a", "b" * 40], dtype=np.dtypes.StringDType()),
        "masked array": lambda: np.ma.array([1, 2, 3], mask=[False, True, False]),
        "dtype": lambda: np.dtype([("a", "<i4"), ("b", "<f8", (2,))]),
        "generator": lambda: np.random.default_rng(5),
        "RandomState": lambda: np.random.RandomState(5),
        "ufunc": lambda: np.sin,
    }


def pandas_values() -> dict[str, Callable[[], Any]]:
    pd = needs("pandas")
    return {
        "DataFrame": lambda: pd.DataFrame({"a": [1, 2], "b": [0.5, None], "c": [True, False]}),
        "DataFrame of all kinds": lambda: pd.DataFrame(
            {
                "text": pd.Series(["x", None], dtype="object"),
                "str": pd.array(["x", None], dtype=pd.StringDtype("python")),
                "arrow": pd.array(["x", None], dtype=pd.StringDtype("pyarrow")),
                "category": pd.Categorical(["u", "v"], ["v", "u", "w"], ordered=True),
                "integer": pd.array([1, None], dtype="Int64"),
                "date": pd.to_datetime(["2024-01-01", None]).astype("datetime64[ns]"),
                "zone": pd.to_datetime(["2024-01-01", None]).tz_localize("Europe/Amsterdam").as_unit("ns"),
                "delta": pd.to_timedelta([1, 2], unit="s").astype("timedelta64[ns]"),
                "period": pd.PeriodIndex(["2024-01", "2024-02"], freq="M"),
                "interval": pd.interval_range(0.0, 2.0),
                "sparse": pd.arrays.SparseArray([0, 1]),
            },
            index=pd.MultiIndex.from_product([["p"], [1, 2]], names=["n", None]),
        ),
        "Series": lambda: pd.Series([1.5, 2.5], index=[3, 4], name="s"),
        "Index": lambda: pd.Index([3, 1, 2], name="i"),
        "RangeIndex": lambda: pd.RangeIndex(5),
        "DatetimeIndex": lambda: pd.date_range("2024-01-01", periods=3, freq="D", tz="UTC", unit="ns"),
        "Timestamp": lambda: pd.Timestamp("2024-01-01 12:00:00.000000001"),
        "NA": lambda: [pd.NA, pd.NaT],
    }


def arrow_values() -> dict[str, Callable[[], Any]]:
    pa = needs("pyarrow")
    rows = [{"a": 1, "b": ["x", None], "c": {"d": 0.5}, "e": b"z"}, {"a": None, "b": None, "c": None, "e": None}]
    return {
        "Table": lambda: pa.Table.from_pylist(rows),
        "RecordBatch": lambda: pa.RecordBatch.from_pylist(rows),
        "Array of text": lambda: pa.array(["x", None, "yz"]),
        "ChunkedArray": lambda: pa.chunked_array([[1, 2], [3]]),
        "Array of categories": lambda: pa.array(["x", "y", "x"]).dictionary_encode(),
        "map": lambda: pa.array([[("k", 1)], None], type=pa.map_(pa.string(), pa.int64())),
    }


def polars_values() -> dict[str, Callable[[], Any]]:
    needs("pyarrow")
    pl = needs("polars")
    return {
        "polars.DataFrame": lambda: pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [[1], []]}),
        "polars.Series": lambda: pl.Series("s", ["u", "v"], dtype=pl.Enum(["u", "v", "w"])),
    }


def image_values() -> dict[str, Callable[[], Any]]:
    needs("PIL")
    from PIL import Image

    return {"image": lambda: Image.new("RGB", (40, 30), "red"), "image with a palette": lambda: Image.new("P", (2, 2))}


def samples() -> dict[str, Callable[[], Any]]:
    """All builders by name; of libraries only those that are installed."""
    found = dict(PLAIN)
    for group in (numpy_values, pandas_values, arrow_values, polars_values, image_values):
        try:
            found.update(group())
        except ModuleNotFoundError:
            pass
    return found


def digests() -> dict[str, str]:
    canonical = Canonical(name_of)
    return {name: sha256(canonical.encode(build())).hexdigest()[:32] for name, build in samples().items()}


if __name__ == "__main__":
    given = digests()
    if "--write" in sys.argv:
        known = json.loads(KEYS.read_text()) if KEYS.exists() else {}
        KEYS.write_text(json.dumps({**given, **known}, indent=1, ensure_ascii=True) + "\n")
    else:
        print(json.dumps(given))
