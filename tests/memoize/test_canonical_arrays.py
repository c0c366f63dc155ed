"""Canonical bytes of arrays, frames and images: by content and types, whatever the layout."""

from __future__ import annotations

import copy
import io
import pickle
import tracemalloc
from collections.abc import Callable
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr
import zarr
from dask.delayed import delayed
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from holdfast.errors import UnhashableError
from holdfast.memoize.canonical import Canonical

from .samples import arrow_values, image_values, name_of, numpy_values, pandas_values, polars_values

encode = Canonical(name_of).encode

LIBRARIES = {**numpy_values(), **pandas_values(), **arrow_values(), **polars_values(), **image_values()}


def refused(value: Any) -> str:
    with pytest.raises(UnhashableError) as caught:
        encode(value)
    return str(caught.value)


def all_different(values: list[Any]) -> None:
    seen: dict[bytes, Any] = {}
    for value in values:
        data = encode(value)
        assert data not in seen, f"{value!r} has the bytes of {seen[data]!r}"
        seen[data] = value


@pytest.mark.parametrize("name", LIBRARIES)
def test_made_again_copied_and_pickled(name: str) -> None:
    value = LIBRARIES[name]()
    assert encode(LIBRARIES[name]()) == encode(value)
    assert encode(copy.deepcopy(value)) == encode(value)
    if name != "array, other byte order":  # which pickling loses
        assert encode(pickle.loads(pickle.dumps(value))) == encode(value)


# NumPy

DTYPES = st.one_of(
    hnp.scalar_dtypes(),
    hnp.array_dtypes(hnp.scalar_dtypes(), max_size=3),
    st.sampled_from(["longdouble", "clongdouble", "S0", "U3", "V5", ">i4", "O", "M8[D]", "m8[ns]"]).map(np.dtype),
)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    dtype = draw(DTYPES)
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    if dtype == np.dtype(object):
        return draw(hnp.arrays(dtype, shape, elements=st.one_of(st.integers(), st.text(max_size=2), st.none())))
    if dtype == np.dtype("V5"):
        return draw(hnp.arrays("S5", shape)).view(dtype)
    return draw(hnp.arrays(dtype, shape))


@given(arrays(), st.data())
def test_layout_does_not_count(array: Any, data: st.DataObject) -> None:
    expected = encode(array)
    assert encode(np.asfortranarray(array) if array.ndim else array.copy()) == expected
    axes = data.draw(st.permutations(range(array.ndim)))
    assert encode(array.transpose(axes).copy(order="C").transpose(np.argsort(axes).astype(int))) == expected
    wide = np.empty([2 * side for side in array.shape], array.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in array.shape)] if array.ndim else wide
    view[...] = array
    assert encode(view) == expected
    assert encode(array[::-1][::-1] if array.ndim else array) == expected


@given(arrays(), arrays())
def test_different_content_shape_or_type_counts(first: Any, second: Any) -> None:
    same = first.dtype == second.dtype and first.shape == second.shape and first.tolist() == second.tolist()
    if not same and repr(first.tolist()) != repr(second.tolist()):
        assert encode(first) != encode(second)


LARGE = [
    np.arange(600_000, dtype="<f8").reshape(600, 1000),
    np.arange(600_000, dtype="<c16").reshape(100, 6, 1000),
    np.arange(600_000).astype("U9").reshape(600, 1000),
    np.arange(300_000).astype("M8[s]").reshape(300, 1000),
    np.array([(n, n / 3, b"x") for n in range(200_000)], dtype="<i4,<f8,S3").reshape(200, 1000),
    (np.arange(3_000_000) % 3 == 0).reshape(3, 1000, 1000),
    np.arange(600_000, dtype=">i4").reshape(600, 1000),
]


@pytest.mark.parametrize("array", LARGE, ids=lambda array: array.dtype.str)
def test_layout_of_large_arrays_does_not_count(array: Any) -> None:
    """These are put in order piece by piece."""
    expected = encode(array)
    assert encode(np.asfortranarray(array)) == expected
    assert encode(np.repeat(array, 2, axis=-1)[..., ::2]) == expected
    assert encode(array[::-1].copy()[::-1]) == expected
    assert encode(np.broadcast_to(array, (2, *array.shape))) == encode(np.stack([array, array], dtype=array.dtype))
    changed = np.asfortranarray(array)
    changed[-1, -1] = changed[0, 0]
    assert encode(changed) != expected


def test_different_arrays() -> None:
    zero = np.zeros(2)
    all_different(
        [
            zero,
            -zero,
            np.zeros((2, 1)),
            np.zeros((1, 2)),
            np.zeros(2, "f4"),
            np.zeros(2, ">f8"),
            np.zeros(2, "i8"),
            np.zeros(2, "u8"), np.zeros(2, "M8[s]"), np.zeros(2, "M8[ms]"), np.zeros(2, "m8[s]"), np.zeros(2, "S8"),
            np.zeros(2, "V8"), np.zeros(2, "c8"), np.zeros(2, object), np.zeros(2, [("a", "f8")]), zero.tolist(),
            np.zeros(2, [("b", "f8")]), np.zeros(2, [("a", "f4"), ("b", "f4")]), np.zeros(2, [(("t", "a"), "f8")]),
            np.zeros(2, [("a", "f4", (2,))]), np.zeros(2, np.dtype("f8", metadata={"unit": "m"})), np.array(0.0),
            np.float64(0), np.float32(0), np.int64(0), np.bool_(False), np.str_(""), np.bytes_(b""), np.void(b"\0"),
            0.0,
            np.datetime64("NaT"),
            np.datetime64("NaT", "s"),
            np.timedelta64("NaT"),
            np.empty(0),
            np.empty((0, 2)),
            np.array(["a"]), np.array(["a"], "U2"), np.array(["a"], "T"), np.array(["a"], object), np.array([b"a"]),
            np.array(["a"], np.dtypes.StringDType(na_object=None)),
            np.array([None], np.dtypes.StringDType(na_object=None)),
            np.zeros(2).view(np.recarray), np.zeros(2, [("a", "f8")]).view(np.recarray),
            np.ma.array(zero), np.ma.array(zero, mask=[False, True]), np.ma.array(zero, mask=True),
            np.ma.masked,
            np.ma.array(zero, fill_value=3), np.ma.array(zero, hard_mask=True), np.zeros(2, "g"), np.zeros(1, "G"),
            np.array([np.nan]),
            np.array([-np.nan]),
            np.array([1, "a", None], object),
            np.array([1, "a", "None"], object),
            np.dtype("f8"), np.dtype("f4"), np.dtype("f8,f8"), np.dtype([("f0", "f8"), ("f1", "f8")], align=True),
            np.dtype({"names": ["a"], "formats": ["f8"], "itemsize": 16}), np.dtype([("a", "f8")]), np.dtype("T"),
            np.sin, np.cos, np.mean, np.linalg.norm, np.float64, np.random.default_rng(1), np.random.default_rng(2),
            np.random.Generator(np.random.MT19937(1)), np.random.PCG64(1), np.random.SeedSequence(1),
            np.random.RandomState(1), np.random.RandomState(2), np.random.SeedSequence(1, spawn_key=(1,)),
        ]
    )  # fmt: skip


def test_equal_arrays() -> None:
    masked = np.ma.array([1.0, 2.0])
    assert encode(masked) == encode(np.ma.array([1.0, 2.0], mask=[False, False]))
    assert encode(np.zeros(2, "l")) == encode(np.zeros(2, "q"))  # NumPy takes them for the same on this platform
    generator = np.random.default_rng(3)
    before = encode(generator)
    generator.random()
    assert encode(generator) != before
    again = np.random.default_rng(3)
    assert encode(again) == before
    again.spawn(1)  # so that what it spawns next will be another one
    assert encode(again) != before


def test_what_lies_between_the_fields_does_not_count() -> None:
    dtype = np.dtype([("a", "i1"), ("b", "f8"), ("c", "g", (2,))], align=True)
    zeros, ones = (np.frombuffer(bytearray([fill]) * dtype.itemsize * 3, dtype) for fill in (0, 255))
    for array in (zeros, ones):
        array["a"], array["b"], array["c"] = 1, 2.5, 3
    assert zeros.tobytes() != ones.tobytes()
    assert encode(zeros) == encode(ones)
    assert encode(zeros[0]) == encode(ones[0])
    ones["c"][1, 1] = 4
    assert encode(zeros) != encode(ones)


@pytest.mark.parametrize(("offsets", "size"), [([0, 2], 6), ([2, 0], 8), ([0, 4], 8), ([2, 6], 8)])
def test_fields_that_overlap_or_leave_gaps(offsets: list[int], size: int) -> None:
    dtype = np.dtype({"names": ["a", "b"], "formats": ["<i4", "<i2"], "offsets": offsets, "itemsize": size})
    zeros, ones = (np.frombuffer(bytearray([fill]) * size * 2, dtype) for fill in (0, 255))
    for array in (zeros, ones):
        array["a"], array["b"] = 7, 9
    assert zeros.tobytes() != ones.tobytes()
    assert encode(zeros) == encode(ones)
    ones["a"] = 1 << 24
    assert encode(zeros) != encode(ones)


def test_the_unused_bytes_of_long_doubles_do_not_count() -> None:
    size, used = np.longdouble().itemsize, 10 if np.finfo(np.longdouble).nmant == 63 else np.longdouble().itemsize
    number = np.longdouble(1.5).tobytes()[:used]
    first, second = (np.frombuffer(number + bytes([fill]) * (size - used), np.longdouble) for fill in (0, 255))
    assert encode(first) == encode(second) == encode(np.array([1.5], np.longdouble))
    assert encode(first[0]) == encode(np.longdouble(1.5)) != encode(np.longdouble(1.25))
    assert encode(np.array([1.5], ">g")) != encode(first)
    assert encode(np.array([1.5 + 2j], "G")) != encode(np.array([1.5 + 3j], "G"))


def test_element_types_of_other_packages() -> None:
    from numpy._core._rational_tests import rational  # type: ignore[import-not-found]

    half = np.array([rational(1, 2)])
    assert encode(half) == encode(half.copy()) != encode(half.view("V8"))


def test_subclasses_of_arrays_count_with_their_attributes(tmp_path: Any) -> None:
    class Quantity(np.ndarray):
        unit: str

    first, second = np.zeros(2).view(Quantity), np.zeros(2).view(Quantity)
    first.unit, second.unit = "m", "m"
    assert encode(first) == encode(second) != encode(np.zeros(2))
    second.unit = "s"
    assert encode(first) != encode(second)

    class Length(np.float64):
        unit = "m"

    long, longer = Length(1), Length(1)
    longer.unit = "km"
    assert encode(long) == encode(Length(1)) != encode(longer)
    mapped = np.memmap(tmp_path / "a", dtype="f8", mode="w+", shape=(2,))
    again = np.memmap(tmp_path / "b", dtype="f8", mode="w+", shape=(2,))
    assert encode(mapped) == encode(again)


def test_objects_in_arrays_are_named_by_their_place() -> None:
    assert refused([np.array([[1, object()]], dtype=object)]).startswith("[0].flat[1]: an object has no hash")
    records = np.array([(1, object())], dtype=[("a", "i4"), ("b", object)])
    assert refused(records).startswith("['b'][0]: an object has no hash")
    circle = np.array([None, 1], dtype=object)
    circle[0] = circle
    assert encode(circle)
    assert "has no hash" in refused(np.frompyfunc(len, 1, 1))


def test_large_arrays_are_not_copied() -> None:
    array = np.zeros(8 << 20)
    frame = pd.DataFrame({"a": array, "b": array}, copy=False)
    table = pa.table({"a": array})
    strided = np.zeros((2, 8 << 20)).T
    tracemalloc.start()
    try:
        for value, most in ((array, 1), (frame, 1), (table, 1), (strided, 10)):
            tracemalloc.reset_peak()
            before, arrow = tracemalloc.get_traced_memory()[0], pa.total_allocated_bytes()
            assert len(encode(value)) < 1000
            assert tracemalloc.get_traced_memory()[1] - before < most << 20
            assert pa.total_allocated_bytes() - arrow < 1 << 20
    finally:
        tracemalloc.stop()


# pandas


def test_blocks_do_not_count() -> None:
    together = pd.DataFrame(np.arange(12.0).reshape(3, 4), columns=list("abcd"))
    apart = pd.DataFrame({name: together[name].copy() for name in "abcd"})
    inserted = together[["a", "c"]].copy()
    inserted.insert(1, "b", together["b"])
    inserted["d"] = together["d"]
    by_rows = pd.DataFrame(np.arange(12.0).reshape(3, 4), columns=list("abcd"), copy=False)
    assert encode(together) == encode(apart) == encode(inserted) == encode(by_rows) == encode(together.T.T)
    large = np.arange(400_000.0).reshape(100_000, 4)
    by_columns = pd.DataFrame({number: large[:, number].copy() for number in range(4)})
    by_columns.columns = pd.RangeIndex(4)
    assert encode(pd.DataFrame(large, copy=False)) == encode(by_columns)


def test_different_frames() -> None:
    base = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    noted = base.copy()
    noted.attrs["unit"] = "m"
    dates = pd.date_range("2024-01-01", periods=2, unit="ns")
    text = pd.Series(["x", None], dtype=object)
    category = pd.Series(pd.Categorical(["u", "v"]))
    all_different(
        [
            base, noted, base[["b", "a"]], base.rename(columns={"a": "c"}), base.set_axis([1, 0]), base.iloc[::-1],
            base.astype({"a": "i4"}), base.astype("u8"), base.astype(float), base.astype("Int64"),
            base.astype("int64[pyarrow]"),
            base.astype(object), base.set_flags(allows_duplicate_labels=False), base.set_axis(["a", "a"], axis=1),
            base.rename_axis("i"), base.rename_axis("i", axis=1), base.set_index("a"), base.set_index(["a", "b"]),
            base.iloc[:0], base[[]], pd.DataFrame(), base["a"], base["a"].rename("b"), base["a"].to_numpy(),
            base.index,
            pd.Index([0, 1]), pd.Index([0, 1], name="n"), pd.Index([0.0, 1.0]), pd.Index(["0", "1"]), dates,
            pd.Index(["0", "1"], dtype=object), pd.RangeIndex(0, 4, 2), pd.Index([0, 2]), dates.tz_localize("UTC"),
            dates.as_unit("s"), dates._with_freq(None), pd.Series(dates), pd.Series(dates.tz_localize("Asia/Tokyo")),
            dates.to_period("D"), dates.to_period("h"), dates - dates[0], dates.array, pd.interval_range(0, 2),
            pd.interval_range(0, 2, closed="left"), pd.CategoricalIndex(["u", "v"]), category,
            category.cat.reorder_categories(["v", "u"]), category.cat.as_ordered(), category.cat.add_categories("w"),
            text, text.astype("str"), text.astype(pd.StringDtype("python")), text.astype(pd.StringDtype("pyarrow")),
            text.astype("category"), text.fillna("y"), text.astype(pd.ArrowDtype(pa.large_string())),
            pd.array([1, None], "Int64"), pd.array([1, 0], "Int64"), pd.array([1, None], "Float64"),
            pd.array([True, None], "boolean"), pd.arrays.SparseArray([0, 1]),
            pd.arrays.SparseArray([0, 1], fill_value=1),
            pd.arrays.SparseArray([0, 1, 0]), pd.MultiIndex.from_tuples([(1, "a")]),
            pd.MultiIndex.from_tuples([(1.0, "a")]),
            pd.MultiIndex.from_tuples([(1, "a")], names=["x", "y"]), pd.MultiIndex.from_tuples([(1, "a"), (1, "a")]),
            pd.MultiIndex([[1]], [[0, -1]]), pd.MultiIndex([[1.0]], [[0, -1]]),
            pd.NA, pd.NaT, None, pd.Timestamp("2024"), pd.Timestamp("2024", tz="UTC"),
            pd.Timestamp("2024").to_pydatetime(),
            pd.Timestamp("2024").as_unit("ns"), pd.Timestamp("2024") + pd.Timedelta(1, "ns"), pd.Timedelta(1, "s"),
            pd.Period("2024"), pd.Period("2024", "M"), pd.Interval(0, 1), pd.Interval(0, 1, "left"),
            pd.offsets.Day(2),
            pd.offsets.Day(3), pd.offsets.MonthEnd(), pd.DateOffset(months=1), pd.DateOffset(months=2),
            pd.Int64Dtype(),
            pd.Int32Dtype(), pd.CategoricalDtype(["a"]), pd.CategoricalDtype(["b"]), pd.StringDtype("python"),
            pd.DatetimeTZDtype("ns", "UTC"), pd.DatetimeTZDtype("ns", "Asia/Tokyo"), pd.PeriodDtype("D"),
            pd.ArrowDtype(pa.int8()),
        ]
    )  # fmt: skip


def test_what_lies_under_gaps_and_unused_levels_do_not_count() -> None:
    first = pd.arrays.IntegerArray(np.array([1, 7]), np.array([False, True]))
    second = pd.arrays.IntegerArray(np.array([1, 8]), np.array([False, True]))
    assert encode(first) == encode(second) == encode(pd.array([1, None], "Int64"))
    whole = pd.MultiIndex.from_product([[1, 2, 3], ["a", "b"]])
    assert encode(whole[:2]) == encode(pd.MultiIndex.from_tuples([(1, "a"), (1, "b")]))
    gaps = pd.Series(["x", np.nan], dtype=pd.StringDtype("python"))
    assert encode(gaps) == encode(pd.Series(["x", None], dtype=pd.StringDtype("python")))


def test_a_subclass_of_frame_counts_with_its_metadata() -> None:
    class Noted(pd.DataFrame):  # type: ignore[misc]
        _metadata = ["unit"]  # noqa: RUF012

    first, second = Noted({"a": [1]}), Noted({"a": [1]})
    first.unit = second.unit = "m"
    assert encode(first) == encode(second) != encode(pd.DataFrame({"a": [1]}))
    second.unit = "s"
    assert encode(first) != encode(second)


def test_objects_in_frames_are_named_by_their_place() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [1, object()]})
    assert refused(frame).startswith(".iloc[:, 1][1]: an object has no hash")
    noted = pd.DataFrame({"a": [1]})
    noted.attrs["x"] = [object()]
    assert refused(noted).startswith(".attrs['x'][0]: an object has no hash")


# Polars, Arrow

ROWS: list[Any] = [
    {"i": 1, "s": "ab", "l": [1, None], "d": {"x": 1.5, "y": "z"}, "b": True, "y": b"q", "n": None},
    {"i": None, "s": None, "l": None, "d": None, "b": None, "y": None, "n": None},
    {"i": 3, "s": "", "l": [], "d": {"x": None, "y": "w"}, "b": False, "y": b"", "n": None},
    {"i": 4, "s": "cde", "l": [7], "d": {"x": 0.5, "y": None}, "b": True, "y": b"xyz", "n": None},
]


def test_chunks_and_slices_do_not_count() -> None:
    table = pa.Table.from_pylist(ROWS)
    expected = encode(table)
    assert encode(pa.concat_tables([table[:1], table[1:3], table[3:]])) == expected
    assert encode(pa.concat_tables([table, table])[1:5]) == encode(pa.Table.from_pylist([*ROWS[1:], ROWS[0]]))
    assert encode(pa.concat_tables([table[2:], table[:2]])[:2]) == encode(pa.Table.from_pylist(ROWS[2:], table.schema))
    for column in table.columns:
        array = pa.concat_arrays([*column.chunks, *column.chunks])
        assert encode(array[2:6]) == encode(pa.array(column.to_pylist()[2:] + column.to_pylist()[:2], column.type))
        assert encode(pa.chunked_array([array[:3], array[3:3], array[3:]])) == encode(pa.chunked_array([array]))
    frame = pl.DataFrame(ROWS)
    assert encode(frame) == encode(pl.concat([frame[:1], frame[1:]], rechunk=False))
    assert encode(frame[1:3]) == encode(pl.DataFrame(ROWS[1:3], schema=frame.schema))
    assert encode(pa.chunked_array([], pa.string())) == encode(pa.chunked_array([[]], pa.string()))


def test_every_arrow_type() -> None:
    words = [None, "a" * 20, "b", "", "a" * 20]
    numbers = [1, None, 3, 250 % 128, 5]
    kinds: list[tuple[Any, list[Any]]] = [
        (pa.string(), words), (pa.large_string(), words), (pa.string_view(), words), (pa.binary_view(), words),
        (pa.dictionary(pa.int8(), pa.string()), words), (pa.list_(pa.string()), [[word] for word in words]),
        (pa.int8(), numbers), (pa.uint64(), numbers), (pa.float16(), numbers), (pa.date32(), numbers),
        (pa.timestamp("ns", "UTC"), numbers), (pa.duration("s"), numbers), (pa.time64("us"), numbers),
        (pa.decimal128(5, 2), numbers), (pa.decimal256(50, 2), numbers), (pa.null(), [None] * 5),
        (pa.binary(1), [b"a", None, b"b", b"c", b"d"]), (pa.month_day_nano_interval(), [(1, 2, 3)] * 4 + [None]),
        (pa.list_(pa.int8(), 2), [[1, 2], None, [3, None], [4, 5], [6, 7]]),
        (pa.bool_(), [True, None, False, True, True]),
        (pa.list_view(pa.int8()), [[1], None, [], [2, 3], [4]]),
        (pa.large_list(pa.int8()), [[1], None, [], [2], [3]]),
        (pa.map_(pa.string(), pa.int8()), [[("k", 1)], None, [], [("k", 2)], [("l", None)]]),
        (pa.struct([("a", pa.list_(pa.string()))]), [{"a": ["x"]}, None, {"a": None}, {"a": []}, {"a": ["y"]}]),
        (pa.run_end_encoded(pa.int32(), pa.int8()), numbers),
        (pa.uuid(), [b"0" * 16, None, b"1" * 16, b"2" * 16, None]),
    ]  # fmt: skip
    seen = set()
    for kind, items in kinds:
        storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
        whole = pa.array(items, storage)
        twice = pa.array([*items, *items], storage)
        part, alone = twice[3:7], pa.array([*items, *items][3:7], storage)
        if storage is not kind:
            whole, part, alone = (pa.ExtensionArray.from_storage(kind, array) for array in (whole, part, alone))
        assert encode(part) == encode(alone), kind
        seen |= {encode(whole), encode(part), encode(kind)}
        if not pa.types.is_null(kind):
            assert encode(part) != encode(whole[:4]), kind
    assert len(seen) == 3 * len(kinds)


def test_what_lies_under_null_slots_does_not_count() -> None:
    bitmap = pa.py_buffer(bytes([0b101]))
    first, second = (
        pa.Array.from_buffers(pa.int32(), 3, [bitmap, pa.py_buffer(np.array([1, hidden, 3], "i4"))])
        for hidden in (7, 8)
    )
    assert encode(first) == encode(second) == encode(pa.array([1, None, 3], pa.int32()))
    structs = [
        pa.StructArray.from_arrays([child], ["a"], mask=pa.array([False, False, True])) for child in (first, second)
    ]
    assert encode(structs[0]) == encode(structs[1])
    offsets = pa.py_buffer(np.array([0, 1, 3, 4], "i4"))
    texts = [
        pa.Array.from_buffers(pa.string(), 3, [bitmap, offsets, pa.py_buffer(data)]) for data in (b"axxb", b"ayyb")
    ]
    assert encode(texts[0]) == encode(texts[1]) == encode(pa.array(["a", None, "b"]))


def test_different_arrow_and_polars_values() -> None:
    table = pa.table({"a": [1, 2]})
    one = pl.DataFrame({"a": [1, 2]})
    all_different(
        [
            table, table.rename_columns(["b"]), table.replace_schema_metadata({"k": "v"}), pa.table({"a": [1, 3]}),
            pa.table({"a": pa.array([1, 2], pa.int32())}), table.to_batches()[0], table["a"], table["a"].chunk(0),
            pa.table({"a": [1, 2], "b": [1, 2]}), table.schema, table.schema.field(0), pa.int64(), pa.scalar(1),
            pa.scalar(1, pa.int32()), pa.array([["a"], ["b"]]), pa.array([["a", "b"], []]), pa.array([["ab"], []]),
            pa.array(["ab", ""]), pa.array(["a", "b"]), pa.array([None, "ab"]), pa.array(["", "ab"]), pa.nulls(2),
            pa.nulls(3), pa.array([None, None], pa.int8()), pa.array([0, 0], pa.int8()),
            pa.struct([("a", pa.int8())]),
            pa.struct([("b", pa.int8())]), pa.struct([pa.field("a", pa.int8(), nullable=False)]),
            table.select([]), table[:1].select([]), pa.schema([pa.field("a", pa.int8(), metadata={"k": "v"})]),
            pa.schema([("a", pa.int8())]), one, one.rename({"a": "b"}),
            one["a"], one["a"].cast(pl.Int32), one["a"].cast(pl.Int128), one["a"].rename("b"),
            one.head(0), pl.DataFrame(),
            pl.Series(["u"], dtype=pl.Enum(["u"])), pl.Series(["u"], dtype=pl.Enum(["u", "v"])), pl.Int8, pl.Int8(),
            pl.Series(["u"], dtype=pl.Categorical), pl.Series(["u"]), pl.Series([{"u": 1}]), pl.Series([[1]]),
            pl.Series([1], dtype=pl.Object), pl.Series(["1"], dtype=pl.Object), pl.Series([None]), pl.Series([b"u"]),
            pl.Series([[["a"]]], dtype=pl.List(pl.List(pl.Enum(["a"])))), pl.Series([[["a"]]]),
            pl.Series([[["a"]]], dtype=pl.List(pl.List(pl.Enum(["a", "b"])))), pl.Series([{}], dtype=pl.Struct({})),
            pl.Series([[1, 2]], dtype=pl.Array(pl.Int128, 2)), pl.Series([[1, 3]], dtype=pl.Array(pl.Int128, 2)),
            pl.Datetime("us"), pl.Datetime("us", "UTC"), pl.List(pl.Int8), pl.Struct({"a": pl.Int8}),
        ]
    )  # fmt: skip


def test_programs_and_what_arrow_cannot_tell_are_refused() -> None:
    assert "polars.lazyframe.frame.LazyFrame has no hash" in refused({"a": pl.LazyFrame({"a": [1]})})
    assert "polars.expr.expr.Expr has no hash" in refused(pl.col("a") + 1)
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    assert "it is a union" in refused([union])
    assert refused(pl.Series([1, object()], dtype=pl.Object)).startswith("[1]: an object has no hash")


# xarray, Dask, zarr


def test_labelled_arrays() -> None:
    def make(**changes: Any) -> Any:
        given = {"data": np.arange(6.0).reshape(2, 3), "dims": ("x", "y"), "name": "n", "attrs": {"unit": "m"}}
        return xr.DataArray(**{**given, "coords": {"x": [1, 2], "z": ("x", ["a", "b"])}, **changes})

    base = make()
    assert base.sel(x=1).size == 3  # what looking into it leaves behind does not count
    assert encode(base) == encode(make()) == encode(make(data=np.asfortranarray(base.to_numpy())))
    assert encode(base.to_dataset()) == encode(make().to_dataset())
    others = [make(name="o"), make(attrs={}), make(coords={"x": [1, 3]}), make(dims=("x", "z"), coords=None)]
    stacked = base.stack(s=("x", "y"))
    all_different([base, *others, make(data=np.ones((2, 3))), base.T, base.variable, base.to_dataset(), stacked])
    assert len({encode(base), encode(base.drop_indexes("x")), encode(base.set_xindex("z"))}) == 3
    assert encode(stacked) == encode(make().stack(s=("x", "y")))
    assert ".flat[0]: an object has no hash" in refused(xr.DataArray(np.array([[object()]], dtype=object)))


def test_what_reads_from_elsewhere_is_refused() -> None:
    lazy = da.ones((3,))
    for value in (lazy, delayed(len)([1]), dd.from_pandas(pd.DataFrame({"a": [1]}), npartitions=1), zarr.ones((3,))):
        assert "has no hash that is the same in every process (" in refused(value)
    assert "compute it first" in refused(xr.DataArray(lazy))


# Pillow


def test_images() -> None:
    red = Image.new("RGB", (3, 2), "red")
    palette = Image.new("P", (3, 2))
    palette.putpalette([9] * 768)
    noted = red.copy()
    noted.info["transparency"] = 3
    others = [Image.new("L", (3, 2)), Image.new("P", (3, 2)), Image.new("RGB", (2, 3), "red"), red.convert("RGBA")]
    all_different([red, *others, palette, noted])
    file = io.BytesIO()
    red.save(file, "PNG")
    first, second = (Image.open(io.BytesIO(file.getvalue())) for _ in range(2))
    second.load()
    assert encode(first) == encode(second)
    frames = io.BytesIO()
    red.save(frames, "GIF", save_all=True, append_images=[Image.new("RGB", (3, 2), "blue")])
    assert "it has several frames" in refused(Image.open(frames))


def test_tensors_are_refused_by_the_name_of_their_class() -> None:
    """Torch is not among the libraries of the tests: a class that says it is Torch's stands for it."""
    tensor = type("Tensor", (), {"__module__": "torch", "__reduce_ex__": lambda self, protocol: (object, ())})
    assert "give its numpy()" in refused([tensor()])


@pytest.mark.parametrize("make", [lambda: np.zeros(3), lambda: pd.DataFrame({"a": [1]}), lambda: pl.Series([1])])
def test_the_class_and_so_the_version_of_its_package_counts(make: Callable[[], Any]) -> None:
    def versioned(number: int) -> Callable[[Any], bytes]:
        return lambda value: name_of(value) + str(number).encode()

    assert Canonical(versioned(1)).encode(make()) != Canonical(versioned(2)).encode(make())
