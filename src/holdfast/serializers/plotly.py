"""Plotly figures as Plotly's own JSON, with a note of what JSON alone would not give back."""

from __future__ import annotations

import base64
import json
import math
import re
from datetime import date, datetime
from typing import Any, ClassVar

from ..errors import DecodeError, MissingExtraError, UnsupportedValue
from ..payload import Payload
from .base import Serializer
from .exact_json import dump, load

__all__ = ["PlotlySerializer"]

_CONTENT_TYPE = "application/vnd.plotly.v1+json"
_NOTE = "holdfast"  # beside the keys that Plotly knows; it passes over others
_TYPED = ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8")  # arrays that Plotly's JavaScript takes as bytes
_LISTED = {"geojson", "layer", "layers", "range"}  # but not under these keys
_KIND = re.compile(r"[<>|]([biuf]\d+|O|M8(\[\w+\])?)", re.ASCII)


class PlotlySerializer(Serializer):
    """``plotly.graph_objects.Figure``, with arrays of the types that they had, and the grid of its subplots.

    A figure with values in it that are neither plain nor arrays of numbers, moments and such values is
    :class:`~holdfast.errors.UnsupportedValue`.
    """

    name: ClassVar[str] = "holdfast.plotly@v1"
    types: ClassVar[tuple[str, ...]] = ("plotly.graph_objs._figure.Figure",)
    content_types: ClassVar[tuple[str, ...]] = (_CONTENT_TYPE,)

    def serialize(self, value: Any) -> Payload:
        """Give JSON in UTF-8 that every Plotly shows."""
        kind = type(value)
        if f"{kind.__module__}.{kind.__qualname__}" not in self.types:
            raise UnsupportedValue(
                f"{self.name} takes plotly.graph_objects.Figure, not {kind.__module__}.{kind.__qualname__}"
            )
        data = _dump(value)
        try:
            same = _sorted(_dump(self._read(data))) == _sorted(data)  # as the order of keys says nothing
        except DecodeError as error:
            raise UnsupportedValue(f"the figure would not be read again: {error}") from error
        if not same:
            raise UnsupportedValue("the figure would not come back as it is")
        return Payload((data,), _CONTENT_TYPE)

    def deserialize(self, payload: Payload) -> Any:
        """Give the figure, validated by Plotly."""
        if len(payload.buffers) != 1:
            raise DecodeError(f"{self.name} reads one buffer, not {len(payload.buffers)}")
        return self._read(payload.buffers[0])

    def _read(self, data: Any) -> Any:
        kind = _figure_class()
        try:
            return _figure(kind, load(data, "no JSON"))
        except MemoryError:
            raise
        except Exception as error:
            problem = str(error).strip() or type(error).__name__
            raise DecodeError(f"these bytes are no {self.name} that this Plotly knows: {problem:.500}") from error


def _figure_class() -> Any:
    try:
        from plotly.graph_objs import Figure
    except ImportError as error:
        raise MissingExtraError('this value needs Plotly: pip install "holdfast[plotly]"') from error
    return Figure


def _dump(figure: Any) -> bytes:
    try:
        parts = {
            "data": [trace.to_plotly_json() for trace in figure.data],
            "layout": figure.layout.to_plotly_json(),
            **({"frames": [frame.to_plotly_json() for frame in figure.frames]} if figure.frames else {}),
        }
        document, exact = _encode(parts)
        grid, exact_grid = _encode([figure._grid_str, _plain_grid(figure._grid_ref)])
        note = {} if exact is None else {"exact": exact}
        note |= {} if grid == [None, None] else {"grid": grid, "exact_grid": exact_grid}
        return dump({**document, **({_NOTE: note} if note else {})})
    except RecursionError:
        raise UnsupportedValue("the figure is nested too deep, or refers to itself") from None


def _sorted(data: bytes) -> str:
    return json.dumps(json.loads(data), sort_keys=True)


def _figure(kind: Any, document: Any) -> Any:
    note = document.pop(_NOTE, {})
    parts = _decode(document, note.get("exact"))
    if not {"data", "layout"} <= set(parts) <= {"data", "layout", "frames"}:
        raise ValueError("no figure: it has data, layout and perhaps frames")
    text, grid = _decode(note.get("grid", [None, None]), note.get("exact_grid"))
    if text is not None and type(text) is not str:
        raise ValueError("a grid of subplots that is no text")
    figure = kind({**parts, "_grid_str": text, "_grid_ref": _grid(grid)})
    template = parts["layout"].get("template")
    if (
        not template
    ):  # none, which Plotly takes for that of the program that reads; or an empty one, for another one yet
        figure.layout.template = None
        if template is not None:
            figure.update_layout(template=None)
    return figure


def _plain_grid(grid: Any) -> Any:
    """The grid that ``make_subplots`` makes (and ``add_trace(row=, col=)`` needs) without classes of Plotly's."""
    return grid and [[None if cell is None else [list(ref) for ref in cell] for cell in row] for row in grid]


def _grid(plain: Any) -> Any:
    from plotly._subplots import SubplotRef

    def ref(kind: Any, keys: Any, options: Any) -> Any:
        if (type(kind), type(keys), type(options)) != (str, tuple, dict):
            raise ValueError("an impossible grid of subplots")
        return SubplotRef(kind, keys, options)

    return plain and [[None if cell is None else tuple(ref(*one) for one in cell) for cell in row] for row in plain]


def _encode(value: Any, listed: bool = False) -> tuple[Any, Any]:
    """A value as JSON, and what is to be said of it beside that: None, or its kind, or of a container a dict with that
    of its items and, under an empty key, its own kind."""
    kind = type(value)
    if kind is dict:
        pairs = {key: _encode(item, key in _LISTED) for key, item in value.items()}
        return {key: made for key, (made, _) in pairs.items()}, _marks(pairs.items())
    if kind is list or kind is tuple:
        items = [_encode(item, listed) for item in value]
        return [made for made, _ in items], _marks(enumerate(items), "tuple" if kind is tuple else None)
    if kind is float and not math.isfinite(value):
        return None, repr(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name == "numpy.ndarray" and value.ndim:
        return _encode_array(value, listed)
    if kind is date or kind is datetime or (name.startswith("pandas.") and kind.__name__ == "Timestamp"):
        mark = kind.__name__ if kind is date or kind is datetime else f"Timestamp {value.unit}"
        text = value.isoformat()
        if repr(_leaf(text, mark)) == repr(value):  # not where a named zone or a fold would be lost
            return text, mark
    return value, None  # what JSON does not hold is refused when it is written


def _marks(pairs: Any, own: str | None = None) -> dict[str, Any] | None:
    marks = {str(key): mark for key, (_, mark) in pairs if mark is not None}
    return {**marks, "": own} if own is not None else marks or None


def _encode_array(array: Any, listed: bool) -> tuple[Any, Any]:
    import numpy as np

    mark = f"{array.dtype.str} {','.join(map(str, array.shape))}"
    kind = None if listed or not array.size else _typed(np, array)
    if kind is not None:
        spec = {"dtype": kind, "bdata": base64.b64encode(array.astype(f"<{kind}").tobytes()).decode()}
        return (spec if array.ndim == 1 else {**spec, "shape": ", ".join(map(str, array.shape))}), mark
    if array.dtype.kind == "M":
        texts = np.datetime_as_string(array).astype(object)
        texts[np.isnat(array)] = None
        return texts.tolist(), mark
    if not _KIND.fullmatch(array.dtype.str):
        return array, None
    made, marks = _encode(array.tolist())
    return made, {**(marks or {}), "": mark}


def _typed(np: Any, array: Any) -> str | None:
    """The smallest type of numbers that Plotly's JavaScript knows and that holds these; of floats their own."""
    own = f"{array.dtype.kind}{array.dtype.itemsize}"
    if own in _TYPED or own not in ("i8", "u8"):
        return own if own in _TYPED else None
    for kind in (f"{own[0]}{size}" for size in (1, 2, 4)):
        limits = np.iinfo(kind)
        if limits.min <= array.min() and array.max() <= limits.max:
            return kind
    return None


def _decode(value: Any, mark: Any) -> Any:
    """The value that :func:`_encode` was given."""
    if mark is None or type(mark) is str:
        return value if mark is None else _leaf(value, mark)
    for key, inner in mark.items():
        if key:
            at = int(key) if type(value) is list else key
            value[at] = _decode(value[at], inner)
    return value if mark.get("") is None else _leaf(value, mark[""])


def _leaf(value: Any, mark: str) -> Any:
    if mark in ("nan", "inf", "-inf") and value is None:
        return float(mark)
    if mark == "tuple" and type(value) is list:
        return tuple(value)
    if mark in ("date", "datetime"):
        return (date if mark == "date" else datetime).fromisoformat(value)
    kind, _, how = mark.partition(" ")
    if kind != "Timestamp":
        return _array(value, kind, tuple(map(int, how.split(","))))
    import pandas as pd

    if type(value) is not str:
        raise ValueError("a moment that is no text")
    return pd.Timestamp(value).as_unit(how)


def _array(value: Any, kind: str, shape: tuple[int, ...]) -> Any:
    import numpy as np

    if not _KIND.fullmatch(kind) or min(shape) < 0:
        raise ValueError("an array of an impossible type or shape")
    if type(value) is dict:
        if value["dtype"] not in _TYPED:
            raise ValueError("an array of an impossible type")
        data = base64.b64decode(value["bdata"], validate=True)
        return np.frombuffer(data, f"<{value['dtype']}").astype(kind).reshape(shape)
    for _ in shape[1:]:
        value = [item for row in value for item in row]
    if type(value) is not list:
        raise ValueError("an array that is no list")
    if "O" not in kind:
        return np.array(["NaT" if item is None else item for item in value] if "M" in kind else value, kind).reshape(
            shape
        )
    array = np.empty(len(value), object)
    for number, item in enumerate(value):
        array[number] = item
    return array.reshape(shape)
