"""Attempts to get a wrong result, a hang or a loss out of memoized functions, each by a small program of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from holdfast.memoize.memo import _canonical


def all_different(values: list[Any]) -> None:
    encoded = [_canonical.encode(value) for value in values]
    assert len(set(encoded)) == len(values)


def noted(value: Any, unit: str) -> Any:
    value.unit = unit
    return value


# --- arguments --------------------------------------------------------------------------------------------------------


def test_what_is_missing_in_a_series_of_objects_counts() -> None:
    missing = [None, np.nan, pd.NA, pd.NaT, np.datetime64("NaT"), 0, False, ""]
    all_different([pd.Series([item], dtype=object) for item in missing])
    all_different([pd.Index([item], dtype=object) for item in missing])
    all_different([pd.Series([number]) for number in (0.0, -0.0, np.nan)])


def test_attributes_that_were_set_on_objects_of_libraries_count() -> None:
    for make in (
        lambda: pd.DataFrame({"a": [1]}),
        lambda: pd.Series([1]),
        lambda: pd.Index([1]),
        lambda: np.ma.array([1]),
        lambda: pl.DataFrame({"a": [1]}),
    ):
        all_different([make(), noted(make(), "m"), noted(make(), "s")])
        assert _canonical.encode(noted(make(), "m")) == _canonical.encode(noted(make(), "m"))
    used = pd.Series(["a"])
    assert used.str.upper().item() == "A"  # accessors are no attributes, wherever a version keeps them
    assert _canonical.encode(used) == _canonical.encode(pd.Series(["a"]))


def test_the_order_of_ordered_categories_counts_in_arrow() -> None:
    def array(numbers: list[int], words: list[str], ordered: bool) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(numbers), pa.array(words), ordered=ordered)

    first, second = array([0, 1], ["a", "b"], True), array([1, 0], ["b", "a"], True)
    assert first.to_pylist() == second.to_pylist()
    all_different([first, second, array([0, 1], ["a", "b", "c"], True), array([0, 1], ["a", "b"], False)])
    # Without an order it is a way to lie in memory, which depends on how the column came about.
    assert _canonical.encode(array([0, 1], ["a", "b"], False)) == _canonical.encode(array([1, 0], ["b", "a"], False))


def test_the_fold_of_a_timestamp_counts() -> None:
    all_different([pd.Timestamp(2024, 10, 27, 1, 30, fold=fold, tz=zone) for fold in (0, 1) for zone in (None, "Europe/London")])
