"""One column, or one index, as plain data and NumPy arrays, and back. The kinds are part of the format, for ever."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from typing import Any

from ...errors import MissingExtraError, UnsupportedValue

__all__ = ["build", "build_index", "memory_of", "take", "take_index"]

_ZONE = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*", re.ASCII)
_INDEXES = frozenset(
    {
        "Index",
        "RangeIndex",
        "MultiIndex",
        "CategoricalIndex",
        "DatetimeIndex",
        "TimedeltaIndex",
        "PeriodIndex",
        "IntervalIndex",
    }
)
_SMALL = 65536  # text below this many bytes is cheaper as plain data than as an Arrow stream of its own


def memory_of(thing: Any) -> Any:
    """The values of a series or index without a copy: an extension array, or the NumPy array itself."""
    import numpy as np

    return thing.to_numpy() if isinstance(thing.dtype, np.dtype) else thing.array


def take(array: Any, where: str) -> list[Any]:
    """A NumPy array or pandas extension array as ``[kind, ...]``.

    Raises:
        UnsupportedValue: an array of a kind that has no exact form here; ``where`` names it.
    """
    import numpy as np
    import pandas as pd

    dtype = array.dtype
    if isinstance(dtype, np.dtype):
        values = np.asarray(array)
        if dtype.kind in "biufcmM":
            return ["numpy", values]
        if dtype == np.dtype(object):
            return ["object", values.tolist()]
    elif type(dtype) is pd.DatetimeTZDtype:
        return ["datetime", array.view("i8"), dtype.unit, _take_zone(dtype.tz, where)]
    elif type(dtype) is pd.CategoricalDtype:
        return ["categorical", np.asarray(array.codes), take_index(dtype.categories, where), bool(dtype.ordered)]
    elif type(array) in (pd.arrays.IntegerArray, pd.arrays.FloatingArray, pd.arrays.BooleanArray):
        return ["masked", array._data, array._mask]  # public ways lose what lies below the mask
    elif type(dtype) is pd.StringDtype:
        return _take_text(array)
    elif type(dtype) is pd.ArrowDtype:
        return ["arrow", _arrow_table(array)]
    elif type(dtype) is pd.PeriodDtype:
        return ["period", array.asi8, dtype.name[len("period[") : -1]]
    elif type(dtype) is pd.IntervalDtype:
        return ["interval", take_index(array.left, where), take_index(array.right, where), array.closed]
    raise UnsupportedValue(f"{where} has the type {dtype}, which has no exact form without code")


def build(taken: Any) -> Any:
    """The inverse of :func:`take`: a NumPy array or a pandas extension array.

    Raises:
        Exception: of any kind, for what :func:`take` cannot have given.
    """
    import numpy as np
    import pandas as pd

    kind, *rest = taken
    if kind == "numpy":
        (array,) = rest
        return _vector(array)
    if kind == "object":
        (items,) = rest
        if type(items) is not list:
            raise ValueError("no list of objects")
        return np.fromiter(items, dtype=object, count=len(items))
    if kind == "datetime":
        stamps, unit, zone = rest
        return pd.array(_vector(stamps, "i8"), dtype=pd.DatetimeTZDtype(unit, _build_zone(zone)), copy=False)
    if kind == "categorical":
        codes, categories, ordered = rest
        dtype = pd.CategoricalDtype(build_index(categories), ordered=ordered is True)
        return pd.Categorical.from_codes(_vector(codes), dtype=dtype)
    if kind == "masked":
        return _build_masked(*rest)
    if kind == "text":
        return _build_text(*rest)
    if kind == "arrow":
        (table,) = rest
        column = _column(table)
        return pd.ArrowDtype(column.type).__from_arrow__(column)
    if kind == "period":
        ordinals, freq = rest
        return pd.arrays.PeriodArray(_vector(ordinals, "i8"), dtype=pd.PeriodDtype(freq))
    if kind == "interval":
        left, right, closed = rest
        return pd.arrays.IntervalArray.from_arrays(build_index(left), build_index(right), closed=closed)
    raise ValueError(f"unknown kind of array {kind!r}")


def _vector(array: Any, dtype: str | None = None) -> Any:
    import numpy as np

    if type(array) is not np.ndarray or array.ndim != 1 or array.dtype.kind not in "biufcmM":
        raise ValueError("a column that is no array of numbers")
    if dtype is not None and array.dtype != dtype:
        raise ValueError(f"a column of {array.dtype} where {dtype} must be")
    return array


def _build_masked(data: Any, mask: Any) -> Any:
    import pandas as pd

    made = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}.get(data.dtype.kind, pd.arrays.IntegerArray)
    if len(data) != len(mask):
        raise ValueError("a mask of another length than its data")
    return made(_vector(data), _vector(mask, "?"), copy=False)


def _take_text(array: Any) -> list[Any]:
    import numpy as np

    dtype = array.dtype
    storage = str(dtype.storage)
    nan = storage == "pyarrow_numpy" or isinstance(getattr(dtype, "na_value", None), float)  # the former: pandas 2.2
    storage = "pyarrow" if storage.startswith("pyarrow") else storage
    missing = "nan" if nan else "NA"
    if storage == "pyarrow" and array.nbytes >= _SMALL:
        return ["text", storage, missing, _arrow_table(array)]
    items = np.asarray(array, dtype=object)
    gaps = np.asarray(array.isna())
    if gaps.any():
        items = items.copy()
        items[gaps] = None
    return ["text", storage, missing, items.tolist()]


def _build_text(storage: Any, missing: Any, content: Any) -> Any:
    import pandas as pd

    if storage not in ("python", "pyarrow") or missing not in ("nan", "NA"):
        raise ValueError("unknown type of text")
    try:
        dtype = pd.StringDtype(storage, na_value=float("nan") if missing == "nan" else pd.NA)
    except TypeError:  # pandas 2.2 has no na_value
        dtype = pd.StringDtype(storage if missing == "NA" else "pyarrow_numpy")
    except ImportError as error:
        raise MissingExtraError('this frame needs PyArrow: pip install "holdfast[arrow]"') from error
    if type(content) is list:
        if not all(item is None or type(item) is str for item in content):
            raise ValueError("a text column with other things in it")
        return pd.array(content, dtype=dtype)
    return dtype.__from_arrow__(_column(content))


def _arrow_table(array: Any) -> Any:
    import pyarrow as pa

    column = array.__arrow_array__()
    return pa.table({"": column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])})


def _column(table: Any) -> Any:
    import pyarrow as pa

    if type(table) is not pa.Table or table.num_columns != 1:
        raise ValueError("a column that is no Arrow table of one column")
    return table.column(0)


def _take_zone(zone: tzinfo, where: str) -> Any:
    """A time zone as a moment in it, which the value serializer knows; one of pytz as the name that pandas 2 reads."""
    import pandas as pd

    if type(zone).__module__.partition(".")[0] != "pytz":
        return datetime(2000, 1, 1, tzinfo=zone)
    name = getattr(zone, "zone", None)
    if type(name) is str and _ZONE.fullmatch(name) and type(pd.DatetimeTZDtype("ns", name).tz) is type(zone):
        return name
    raise UnsupportedValue(f"{where} has the time zone {zone!r}, which pandas would not read from its name")


def _build_zone(taken: Any) -> Any:
    if type(taken) is datetime and taken.tzinfo is not None:
        return taken.tzinfo
    if type(taken) is not str or not _ZONE.fullmatch(taken):
        raise ValueError("unknown form of time zone")
    return taken


def take_index(index: Any, where: str) -> list[Any]:
    """An index as ``[kind, ...]``, names and frequency included; raises UnsupportedValue."""
    import pandas as pd

    kind = type(index)
    if kind.__name__ not in _INDEXES or kind is not getattr(pd, kind.__name__):
        raise UnsupportedValue(
            f"{where} is a {kind.__module__}.{kind.__qualname__}, which has no exact form without code"
        )
    if kind is pd.RangeIndex:
        return ["range", index.start, index.stop, index.step, index.name]
    if kind is pd.MultiIndex:
        levels = [take_index(level, where) for level in index.levels]
        return ["multi", levels, [_codes(code) for code in index.codes], list(index.names)]
    return ["index", take(memory_of(index), where), index.name, _take_freq(index, where)]


def _codes(codes: Any) -> Any:
    import numpy as np

    return np.asarray(codes)


def _take_freq(index: Any, where: str) -> str | None:
    import pandas as pd

    if type(index) not in (pd.DatetimeIndex, pd.TimedeltaIndex) or index.freq is None:
        return None
    text: str = index.freqstr
    if pd.tseries.frequencies.to_offset(text) != index.freq:
        raise UnsupportedValue(f"{where} has the frequency {index.freq!r}, which its name {text!r} does not tell")
    return text


def build_index(taken: Any) -> Any:
    """The inverse of :func:`take_index`; raises whatever pandas does for what that cannot have given."""
    import pandas as pd

    kind, *rest = taken
    if kind == "range":
        start, stop, step, name = rest
        return pd.RangeIndex(start, stop, step, name=name)
    if kind == "multi":
        levels, codes, names = rest
        built = [build_index(level) for level in levels]
        return pd.MultiIndex(levels=built, codes=[_vector(code) for code in codes], names=names, verify_integrity=True)
    if kind != "index":
        raise ValueError(f"unknown kind of index {kind!r}")
    taken_array, name, freq = rest
    array = build(taken_array)
    if freq is not None:
        made = pd.TimedeltaIndex if array.dtype.kind == "m" else pd.DatetimeIndex
        return made(array, freq=freq, name=name, copy=False)
    return pd.Index(array, dtype=array.dtype, name=name, copy=False)
