"""pandas frames, series and indexes, exactly, and numbers without a copy in either direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ...errors import DecodeError, HoldfastError, MissingExtraError, UnsupportedValue
from ...payload import Payload
from ..base import Serializer
from .arrays import build, build_index, memory_of, take, take_index

__all__ = ["PandasSerializer"]

_CONTENT_TYPE = "application/vnd.holdfast.pandas"


class PandasSerializer(Serializer):
    """``pandas.DataFrame``, ``Series`` and the indexes.

    A frame is taken apart into plain data and NumPy arrays, which another serializer turns into bytes: a frame of one
    numeric type is one array, else each column is one. Kept are the types of columns and labels, text and missing
    values, categories, time zones, frequencies, names, equal column names and ``attrs``. Frames with sparse columns, or
    with objects that plain data cannot hold, are :class:`~holdfast.errors.UnsupportedValue`.

    Args:
        parts: serializes nested plain data in which NumPy arrays and Arrow tables stand.
    """

    name: ClassVar[str] = "holdfast.pandas@v1"
    types: ClassVar[tuple[str, ...]] = tuple(
        package + "." + kind
        for package, kind in (
            *(("pandas", kind) for kind in ("DataFrame", "Series", "Index", "RangeIndex", "MultiIndex")),
            *(("pandas", kind) for kind in ("CategoricalIndex", "DatetimeIndex", "TimedeltaIndex", "PeriodIndex")),
            ("pandas", "IntervalIndex"),
            ("pandas.core.frame", "DataFrame"),  # their places up to pandas 2
            ("pandas.core.series", "Series"),
            ("pandas.core.indexes.base", "Index"),
            ("pandas.core.indexes.range", "RangeIndex"),
            ("pandas.core.indexes.multi", "MultiIndex"),
            ("pandas.core.indexes.category", "CategoricalIndex"),
            ("pandas.core.indexes.datetimes", "DatetimeIndex"),
            ("pandas.core.indexes.timedeltas", "TimedeltaIndex"),
            ("pandas.core.indexes.period", "PeriodIndex"),
            ("pandas.core.indexes.interval", "IntervalIndex"),
        )
    )
    content_types: ClassVar[tuple[str, ...]] = (_CONTENT_TYPE,)

    def __init__(self, parts: Serializer) -> None:
        self._parts = parts

    def serialize(self, value: Any) -> Payload:
        """Give the parts; numeric memory is not copied."""
        pd = _pandas()
        kind = type(value)
        if kind is pd.DataFrame:
            taken = _take_frame(value)
        elif kind is pd.Series:
            flags = [dict(value.attrs), value.flags.allows_duplicate_labels]
            taken = [
                "series",
                take(memory_of(value), "the series"),
                take_index(value.index, "the index"),
                value.name,
                *flags,
            ]
        elif isinstance(value, pd.Index):
            taken = ["labels", take_index(value, "the index")]
        else:
            raise UnsupportedValue(f"{self.name} takes pandas objects, not {kind.__module__}.{kind.__qualname__}")
        try:
            payload = self._parts.serialize(taken)
        except UnsupportedValue as error:
            raise UnsupportedValue(f"this pandas object holds something that is no plain data: {error}") from error
        return Payload(payload.buffers, _CONTENT_TYPE)

    def deserialize(self, payload: Payload) -> Any:
        """Put the parts together; numbers lie over the payload's memory."""
        _pandas()
        taken = self._parts.deserialize(Payload(payload.buffers, self._parts.content_types[0]))
        try:
            kind, *rest = taken
            return _BUILDERS[kind](*rest)
        except (HoldfastError, MemoryError):
            raise
        except Exception as error:
            raise DecodeError(f"these bytes are no {self.name}: {str(error) or type(error).__name__}") from error


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError('this value needs pandas: pip install "holdfast[pandas]"') from error
    return pandas


def _take_frame(frame: Any) -> list[Any]:
    columns = take_index(frame.columns, "the columns")
    index = take_index(frame.index, "the index")
    block = _one_block(frame)
    arrays = None
    if block is None:
        arrays = [take(memory_of(column), f"the column {label!r}") for label, column in frame.items()]
    return ["frame", columns, index, block, arrays, dict(frame.attrs), frame.flags.allows_duplicate_labels]


def _one_block(frame: Any) -> Any:
    """All values as one array, when pandas keeps them as one and so gives them without a copy; else None."""
    import numpy as np

    dtypes = set(frame.dtypes)
    if len(dtypes) != 1:
        return None
    (dtype,) = dtypes
    if not isinstance(dtype, np.dtype) or dtype.kind not in "biufcmM":
        return None
    first, last = frame.iloc[:, 0].to_numpy(), frame.iloc[:, -1].to_numpy()
    if frame.shape[1] > 1 and (first.base is None or first.base is not last.base):
        return None
    return frame.to_numpy()


def _build_frame(columns: Any, index: Any, block: Any, arrays: Any, attrs: Any, duplicates: Any) -> Any:
    import numpy as np
    import pandas as pd

    labels, rows = build_index(columns), build_index(index)
    if block is not None:
        if type(block) is not np.ndarray or block.ndim != 2 or block.dtype.kind not in "biufcmM":
            raise ValueError("values that are no table of numbers")
        frame = pd.DataFrame(block, index=rows, columns=labels, copy=False)
    elif arrays:
        built = {number: _column(build(taken), rows) for number, taken in enumerate(arrays)}
        frame = pd.DataFrame(built, index=rows, copy=False)
        frame.columns = labels
    else:
        if len(labels):
            raise ValueError("columns without values")
        frame = pd.DataFrame(index=rows, columns=labels)
    return _finish(frame, attrs, duplicates)


def _column(array: Any, rows: Any) -> Any:
    """pandas would guess the type of an array of objects; a series with a given type is left as it is."""
    import pandas as pd

    return pd.Series(array, index=rows, dtype=object, copy=False) if array.dtype == object else array


def _build_series(taken: Any, index: Any, name: Any, attrs: Any, duplicates: Any) -> Any:
    import pandas as pd

    array = build(taken)
    series = pd.Series(array, index=build_index(index), dtype=array.dtype, name=name, copy=False)
    return _finish(series, attrs, duplicates)


def _finish(built: Any, attrs: Any, duplicates: Any) -> Any:
    if attrs:
        built.attrs.update(attrs)
    return built if duplicates is True else built.set_flags(allows_duplicate_labels=False)


_BUILDERS: dict[str, Callable[..., Any]] = {"frame": _build_frame, "series": _build_series, "labels": build_index}
