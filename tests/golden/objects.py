"""Objects of several contents, streams of values, and values by serializers that are chosen by name, as code. Only ever
added to, for the next format."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import polars as pl
import pyarrow as pa
import pydantic

import holdfast
from holdfast import StorableDataclass, StorableStream, StorableValue
from holdfast.storable.pydantic import StorableModel

__all__ = ["BY_NAME", "STREAMS", "Gauge", "Plan", "Station", "fill_objects", "objects"]

_TABLE = pa.table({"i": pa.array([1, None], pa.int32()), "s": ["a", "\u00fc"], "t": [[1], [2, 3]]})
_FRAME = pd.DataFrame({"i": [1, 2], "s": ["a", None], "d": pd.to_datetime(["2024-05-17", None])}, index=[3, 5])
_POLARS = pl.DataFrame({"i": [1, None], "s": ["a", "\u00fc"], "l": [[1, 2], []]})
_PIXELS = np.arange(60, dtype="u1").reshape(4, 5, 3)
_FIGURE = go.Figure(
    [go.Scatter(x=np.array(["2024-05-17", "NaT"], "M8[s]"), y=np.array([1, 2**40])), go.Bar(y=[1, None, float("inf")])],
    layout={"title": "\u00fc", "template": {"layout": {"paper_bgcolor": "white"}}},
)

BY_NAME: dict[str, Any] = {
    "holdfast.csv@v1": [["name", "note"], ['ü, "x"', "two\nlines"], ["", ""]],
    "holdfast.iso8601@v1": datetime(2024, 5, 17, 12, 30, tzinfo=timezone(timedelta(hours=2))),
    "holdfast.msgpack@v1": {"a": [1, None, b"\x00"], "b": 1.5},
    **dict.fromkeys(("holdfast.arrow-file@v1", "holdfast.parquet@v1"), _TABLE),
    **dict.fromkeys(("holdfast.pandas-arrow-file@v1", "holdfast.pandas-parquet@v1"), _FRAME),
    **dict.fromkeys(("holdfast.polars-arrow-file@v1", "holdfast.polars-parquet@v1"), _POLARS),
    "holdfast.plotly@v1": _FIGURE,
    "holdfast.png@v1": _PIXELS,
}
"""Values by the names of the serializers that are to store them."""

STREAMS: dict[str, list[Any]] = {
    "holdfast.value-stream@v1": [1, (2.5, {3}), None, {"a": np.arange(3, dtype="<i8")}],
    "holdfast.json-lines@v1": [{"a": [1, None]}, "ü", 3],
    "holdfast.msgpack-stream@v1": [{"a": b"\x00"}, [], 2**40],
    "holdfast.csv-rows@v1": [["a", "b"], ["1", 'x "y"']],
    **{f"holdfast.{kind}-stream@v1": [_TABLE, _TABLE.slice(1)] for kind in ("arrow", "parquet")},
    **{f"holdfast.pandas-{kind}-stream@v1": [_FRAME, _FRAME[1:], _FRAME[:0]] for kind in ("arrow", "parquet")},
    **{f"holdfast.polars-{kind}-stream@v1": [_POLARS, _POLARS[:1]] for kind in ("arrow", "parquet")},
    "holdfast.video@v1": [_PIXELS, _PIXELS + 100],
}
"""Items by the names of stream serializers."""


@dataclass
class Gauge(StorableDataclass, class_id="901de401"):
    """One of several in a station."""

    name: str
    levels: Any = None


class Plan(StorableModel, class_id="901de402"):
    """A model of pydantic's."""

    title: str
    steps: dict[str, int] = pydantic.Field(default_factory=dict)
    grid: np.ndarray | None = None


@dataclass
class Station(StorableDataclass, class_id="901de403"):
    """An object with contents of all kinds: plain ones, small and large ones, one that only a pickle holds, streams."""

    place: tuple[float, float]
    frame: pd.DataFrame | None = None
    gauges: list[Gauge] = field(default_factory=list)
    by_name: dict[str, Gauge] = field(default_factory=dict)
    plan: Plan | None = None
    rows: Any = field(default=None, metadata={"serializer": "holdfast.csv@v1"})
    ordered: OrderedDict[str, int] | None = None
    log: Any = field(default=None, metadata={"stream_serializer": "holdfast.json-lines@v1"})
    ticks: Iterator[int] | None = None


def _levels(seed: int) -> np.ndarray:
    return np.arange(4_200, dtype="<f8") / (7 + seed)


def objects() -> dict[str, Any]:
    """Objects by key; streams in them are lists here."""
    frame = pd.DataFrame({"a": _levels(1)})
    return {
        "gauge": Gauge(name="small"),
        "gauge/large": Gauge(name="large", levels=_levels(3)),
        "plan": Plan(title="ü", steps={"one": 1}, grid=np.eye(3)),
        "station": Station(
            place=(47.4, 8.5),
            frame=frame,
            gauges=[Gauge(name="one", levels=_levels(4)), Gauge(name="two")],
            by_name={"three": Gauge(name="three", levels=_levels(3))},
            plan=Plan(title="inner"),
            rows=[["a", "b"], ["1", "2"]],
            ordered=OrderedDict(b=1, a=2),
            log=[{"n": 1}, {"n": 2}],
            ticks=list(range(100_000, 107_000)),  # type: ignore[arg-type]
        ),
        "value": StorableValue(frame),
        "stream": StorableStream([1, 2, 3]),
    }


def fill_objects(scope: holdfast.Scope) -> None:
    """Put all of these, and old versions of some."""
    for name, value in BY_NAME.items():
        scope.put(f"by name/{name}", value, serializer=name)
    for name, items in STREAMS.items():
        scope.put_stream(f"stream/{name}", items, serializer=name)
    scope.put_stream("stream/large", ({"n": n, "text": "x" * 20} for n in range(1_000)))
    for key, value in objects().items():
        if isinstance(value, Station):
            value.log, value.ticks = iter(value.log), iter(value.ticks or ())
        scope.put(f"object/{key}", value, tags={"key": key})
    scope.copy("object/gauge/large", "copy")
    scope.put("object/packed", Gauge(name="packed", levels=np.zeros(20_000)), compression="zstd")
    kept = scope.scope("what", "kept")
    kept.set_policy(history=2)
    for number in range(4):
        kept.put("gauge", Gauge(name=str(number), levels=_levels(3 + number % 2)))
