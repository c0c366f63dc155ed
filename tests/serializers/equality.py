"""Whether two values are the same to the last detail that the libraries show."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pandas as pd


def identical(one: Any, other: Any) -> bool:
    """Equal, of the same types throughout; NaN is NaN, 0.0 is not -0.0, and dicts have one order."""
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is float:
        return struct.pack(">d", one) == struct.pack(">d", other)
    if kind is complex:
        return identical(one.real, other.real) and identical(one.imag, other.imag)
    if kind in (list, tuple):
        return len(one) == len(other) and all(map(identical, one, other))
    if kind is dict:
        return len(one) == len(other) and identical(list(one.items()), list(other.items()))
    if kind in (set, frozenset):
        return len(one) == len(other) and all(any(identical(a, b) for b in other) for a in one)
    if isinstance(one, np.ndarray | np.generic):
        return same_array(one, other)
    if isinstance(one, pd.DataFrame | pd.Series | pd.Index):
        return same_frame(one, other)
    if kind.__name__ == "Decimal":
        return bool(one.as_tuple() == other.as_tuple())
    if kind.__name__ == "UUID":
        return bool((one, one.is_safe) == (other, other.is_safe))
    if kind.__name__ in ("datetime", "time"):
        zones = (one.tzinfo, type(one.tzinfo), one.fold) == (other.tzinfo, type(other.tzinfo), other.fold)
        return zones and one.replace(tzinfo=None) == other.replace(tzinfo=None) and one.tzname() == other.tzname()
    if kind.__name__.endswith("Path"):
        return str(one) == str(other)
    return bool(one == other)


def same_array(one: Any, other: Any) -> bool:
    """The same type of elements, shape, order and bytes."""
    a, b = np.asarray(one), np.asarray(other)
    order = a.flags.c_contiguous == b.flags.c_contiguous or not (a.flags.forc and b.flags.forc)
    aligned = a.dtype.isalignedstruct == b.dtype.isalignedstruct
    if a.dtype.char == "O":
        return bool(b.dtype.char == "O" and a.shape == b.shape and identical(a.tolist(), b.tolist()))
    if a.dtype.char in "gG":  # their padding holds whatever was in memory
        return bool(a.dtype == b.dtype and a.shape == b.shape and order and np.array_equal(a, b, equal_nan=True))
    return a.dtype == b.dtype and a.shape == b.shape and order and aligned and a.tobytes() == b.tobytes()


def same_frame(one: Any, other: Any) -> bool:
    """The same values, types, labels, names, frequencies, attributes and flags."""
    try:
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, other, check_exact=True, check_index_type="equiv")
            return (
                list(one.dtypes) == list(other.dtypes)
                and identical(one.index, other.index)
                and identical(one.columns, other.columns)
                and identical(one.attrs, other.attrs)
                and one.flags == other.flags
            )
        if isinstance(one, pd.Series):
            pd.testing.assert_series_equal(one, other, check_exact=True)
            return one.dtype == other.dtype and identical(one.index, other.index) and one.flags == other.flags
        pd.testing.assert_index_equal(one, other, exact=True)
    except AssertionError:
        return False
    if isinstance(one, pd.MultiIndex):
        return all(map(same_frame, one.levels, other.levels))
    return bool(one.dtype == other.dtype and getattr(one, "freq", None) == getattr(other, "freq", None))


def same_image(one: Any, other: Any) -> bool:
    """The same mode, size, pixels, palette and info."""
    mine, its = ((image.mode, image.size, image.tobytes(), image.getpalette(), image.info) for image in (one, other))
    return mine == its


def same_figure(one: Any, other: Any) -> bool:
    """The same traces, layout and frames to the last type (in any order of names), and the same grid of subplots."""
    mine, its = (
        {
            "data": [trace.to_plotly_json() for trace in figure.data],
            "layout": figure.layout.to_plotly_json(),
            "frames": [frame.to_plotly_json() for frame in figure.frames],
        }
        for figure in (one, other)
    )
    grids = one._grid_str == other._grid_str and one._grid_ref == other._grid_ref
    return grids and identical(_sorted(mine), _sorted(its))


def _sorted(value: Any) -> Any:
    if type(value) is dict:
        return {key: _sorted(value[key]) for key in sorted(value)}
    return type(value)(map(_sorted, value)) if type(value) in (list, tuple) else value


def is_nan(value: Any) -> bool:
    """Whether a value is a float that is not a number."""
    return isinstance(value, float) and math.isnan(value)
