"""Whether what was read is exactly what was put: type by type, to the last bit."""

from __future__ import annotations

import json
from datetime import datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import polars as pl
import pyarrow as pa
from PIL import Image

__all__ = ["same"]


def same(one: Any, other: Any) -> bool:
    """Equal, of the same type all the way down, and equal in what ``==`` does not look at."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(a, b)
            for pair, again in zip(one.items(), other.items(), strict=True)
            for a, b in zip(pair, again, strict=True)
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (set, frozenset)):
        return bool(one == other) and sorted(map(repr, one)) == sorted(map(repr, other))
    if isinstance(one, (float, complex, Decimal)):
        return repr(one) == repr(other)
    if isinstance(one, (datetime, time)):
        return (repr(one), one.fold) == (repr(other), other.fold)
    return _same_of_library(one, other)


def _same_of_library(one: Any, other: Any) -> bool:
    if isinstance(one, (np.ndarray, np.generic)):
        flags = [(array.dtype.str, array.dtype, array.shape, array.flags.c_contiguous) for array in (one, other)]
        return flags[0] == flags[1] and one.tobytes() == other.tobytes()
    if isinstance(one, (pd.DataFrame, pd.Series, pd.Index)):
        return _same_pandas(one, other)
    if isinstance(one, pl.DataFrame):
        return one.schema == other.schema and one.equals(other, null_equal=True)
    if isinstance(one, pl.Series):
        return one.equals(other, check_dtypes=True, check_names=True, null_equal=True)
    if isinstance(one, (pa.Table, pa.RecordBatch)):
        return bool(one.equals(other, check_metadata=True))
    if isinstance(one, Image.Image):
        return (one.mode, one.size, one.info, one.tobytes(), one.getpalette()) == (
            other.mode, other.size, other.info, other.tobytes(), other.getpalette(),
        )  # fmt: skip
    if isinstance(one, go.Figure):  # whose own equality has no NaT
        return bool(json.loads(one.to_json()) == json.loads(other.to_json()))
    return bool(one == other)


def _same_pandas(one: Any, other: Any) -> bool:
    try:
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, other, check_exact=True)
        elif isinstance(one, pd.Series):
            pd.testing.assert_series_equal(one, other, check_exact=True)
        else:
            pd.testing.assert_index_equal(one, other, exact=True, check_exact=True)
            return getattr(one, "freq", None) == getattr(other, "freq", None)
    except AssertionError:
        return False
    return bool(one.attrs == other.attrs)
