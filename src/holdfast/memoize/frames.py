"""Arrays, frames, images and their kin, each taken apart into plain parts and the memory of its numbers.

No library is imported here before a value of its own is met. What counts is the content and its types, not how they lie
in memory: the order of axes, blocks, chunks and slices, and what lies under Arrow's and pandas' gaps, are left out.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

from ..payload import Buffer
from .framing import content, refusal, streamed
from .parts import Take, attributes, table

__all__ = ["FOREIGN"]

_STRIDED = 1 << 20  # bytes from here on are put in order piece by piece
_PIECE = 1 << 22


def _reduced(value: Any) -> dict[str, Any]:
    given = value.__reduce_ex__(4)
    return {"": given if isinstance(given, str) else given[1:]}


def _refused(reason: str) -> Take:
    def take(value: Any) -> dict[str, Any]:
        raise refusal(value, reason)

    return take


_PROGRAM = _refused("it is a program, which may read what has changed: compute it first")


# NumPy


def _describe(dtype: Any) -> Any:
    """An element type as plain data; types that NumPy takes for the same one are the same."""
    parts: list[Any] = [dtype.str]
    if dtype.subdtype is not None:
        parts += ["array", _describe(dtype.subdtype[0]), dtype.shape]
    elif dtype.names is not None:
        fields = [(name, _describe(dtype.fields[name][0]), *dtype.fields[name][1:]) for name in dtype.names]
        parts += ["structure", fields, dtype.itemsize, dtype.isalignedstruct, dtype.type.__name__]
    elif dtype.kind == "T":
        parts += ["text", hasattr(dtype, "na_object"), getattr(dtype, "na_object", None), dtype.coerce]
    elif dtype.type.__module__ != "numpy":
        parts += ["user", dtype.type.__module__, dtype.type.__qualname__]
    if dtype.metadata:
        parts += ["metadata", dict(dtype.metadata)]
    return parts if len(parts) > 1 else dtype.str


def _is_dense(dtype: Any) -> bool:
    """Whether every byte of an element counts: no references, and no gaps with whatever happened to lie there."""
    if dtype.subdtype is not None:
        return _is_dense(dtype.subdtype[0])
    if dtype.names is None:
        return dtype.kind in "biufcmMSUV" and dtype.char not in "gG"
    end = 0
    for field, start in sorted((dtype.fields[name][:2] for name in dtype.names), key=itemgetter(1)):
        if start != end or not _is_dense(field):
            return False
        end += field.itemsize
    return bool(end == dtype.itemsize)


def _memory(array: Any) -> Buffer:
    import numpy as np

    return array.reshape(-1).view(np.uint8).data if array.nbytes else b""


def _in_order(array: Any) -> Iterator[Buffer]:
    import numpy as np

    if array.dtype.names is not None:
        array = array.view(f"V{array.itemsize}")
    flags, size = ["external_loop", "buffered"], max(1, _PIECE // array.itemsize)
    for piece in np.nditer(array, flags, [["readonly", "contig"]], order="C", buffersize=size):  # type: ignore[call-overload]
        yield _memory(piece)


def _content(array: Any) -> Any:
    """The elements of a plain array in C order."""
    import numpy as np

    dtype = array.dtype
    if _is_dense(dtype):
        if not array.flags.c_contiguous:
            if array.nbytes > _STRIDED:
                return streamed(_in_order(array), array.nbytes)
            array = np.ascontiguousarray(array)
        return content((_memory(array),), array.nbytes)
    if dtype.names is not None:
        return {name: _content(array[name]) for name in dtype.names}
    if dtype.char in "gG":  # an x87 number is ten bytes, the rest of its place is anything
        numbers = np.ascontiguousarray(array, dtype.newbyteorder("=")).reshape(-1).view(np.longdouble)
        used = 10 if np.finfo(np.longdouble).nmant == 63 else numbers.itemsize
        return _content(numbers.view(np.uint8).reshape(-1, numbers.itemsize)[:, :used])
    return array.ravel(order="C").tolist()


def _array(value: Any) -> dict[str, Any]:
    import numpy as np

    elements = _content(np.asarray(value))
    place = ".flat" if type(elements) is list and value.ndim != 1 else ""
    parts = {"dtype": _describe(value.dtype), "shape": value.shape, place: elements}
    return parts if type(value) is np.memmap else {**parts, **attributes(object.__getstate__(value))}


def _masked(value: Any) -> dict[str, Any]:
    import numpy as np

    parts = {"mask": np.ma.getmaskarray(value), "fill_value": value.fill_value, "hard": value.hardmask}
    return {**parts, **_array(np.asarray(value.data)), **_set_on(value)}


def _scalar(value: Any) -> dict[str, Any]:
    import numpy as np

    return {**_array(np.asarray(value)), **attributes(object.__getstate__(value))}


def _set_on(value: Any) -> dict[str, Any]:
    """Attributes that somebody set on an object of a library, which has its own in private ones; no accessors."""
    kind, items = type(value), getattr(value, "__dict__", {}).copy().items()
    return attributes(
        {key: item for key, item in items if key[:1] != "_" and getattr(kind, key, None) is not type(item)}
    )


def _function(value: Any) -> dict[str, Any]:
    name = value.__name__
    for module in (getattr(value, "__module__", None), "numpy", "scipy.special"):
        if module and getattr(sys.modules.get(module), name, None) is value:
            return {"": f"{module}.{name}"}
    raise refusal(value, f"no module has it as {name!r}")


# pandas


def _timestamp(value: Any) -> dict[str, Any]:
    return {**_reduced(value), **({"fold": 1} if value.fold and value.tzinfo is None else {})}


def _extension(array: Any) -> dict[str, Any]:
    import numpy as np

    dtype = array.dtype
    kinds = {kind.__name__ for kind in type(dtype).__mro__}
    if isinstance(dtype, np.dtype) or kinds & {"NumpyEADtype", "PandasDtype"}:
        return _array(array.to_numpy())
    values: Any
    if kinds & {"DatetimeTZDtype", "PeriodDtype"}:
        values = array.asi8
    elif "CategoricalDtype" in kinds:
        values = np.asarray(array.codes)
    elif "IntervalDtype" in kinds:
        values = [array.left, array.right]
    elif "SparseDtype" in kinds:
        values = [len(array), array.sp_values, array.sp_index.to_int_index().indices]
    elif "BaseMaskedDtype" in kinds:
        numbers = dtype.numpy_dtype
        values = [np.asarray(array.isna()), array.to_numpy(dtype=numbers, na_value=numbers.type(0))]
    elif "ArrowDtype" in kinds or ("StringDtype" in kinds and dtype.storage != "python"):
        values = array.__arrow_array__()
    else:
        values = np.array(array, dtype=object)
        values[np.asarray(array.isna())] = None
    return {"dtype": dtype, "": values}


def _extension_dtype(dtype: Any) -> dict[str, Any]:
    names = [name for name in dtype._metadata if name != "freq"]  # which the text has
    return {"": str(dtype), **{name: getattr(dtype, name, None) for name in names}}


def _index(value: Any) -> dict[str, Any]:
    parts = {"names": list(value.names), "freq": getattr(value, "freqstr", None), **_set_on(value)}
    if hasattr(value, "levels"):
        parts["dtypes"] = [getattr(level.dtype, "str", level.dtype) for level in value.levels]
        return {**parts, "": [value.get_level_values(level).array for level in range(value.nlevels)]}
    return {**parts, "": range(value.start, value.stop, value.step) if hasattr(value, "step") else value.array}


def _labelled(value: Any) -> dict[str, Any]:
    flags = value.flags.allows_duplicate_labels
    extra = {f".{name}": getattr(value, name, None) for name in value._metadata if name != "_name"}
    return {"index": value.index, "attrs": dict(value.attrs), "duplicates": flags, **_set_on(value), **extra}


def _series(value: Any) -> dict[str, Any]:
    return {"name": value.name, "": value.array, **_labelled(value)}


def _frame(value: Any) -> dict[str, Any]:
    """Columns of numbers are one content, all others a part each."""
    import numpy as np

    parts, dtypes, numbers = _labelled(value), [], []
    for number, (_, column) in enumerate(value.items()):
        array = column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array
        if isinstance(array, np.ndarray) and _is_dense(array.dtype):
            numbers.append(array)
            dtypes.append(_describe(array.dtype))
        else:
            parts[f".iloc[:, {number}]"] = array
            dtypes.append(None)
    size = sum(array.nbytes for array in numbers)
    if size > _STRIDED and not all(array.flags.c_contiguous for array in numbers):
        memory = streamed((_memory(np.ascontiguousarray(array)) for array in numbers), size)
    else:
        memory = content([_memory(np.ascontiguousarray(array)) for array in numbers], size)
    return {**parts, "columns": value.columns, "dtypes": dtypes, "": memory}


# Polars and Arrow


def _polars_series(value: Any) -> dict[str, Any]:
    parts = {"name": value.name, "dtype": value.dtype, **_set_on(value)}
    if any(name in str(value.dtype) for name in ("Object", "Int128")):  # which Arrow does not have
        return {**parts, "": value.to_list()}
    return {**parts, "": value.to_arrow()}


def _polars_frame(value: Any) -> dict[str, Any]:
    return {"shape": value.shape, ".get_columns()": value.get_columns(), **_set_on(value)}


def _arrow_type(kind: Any) -> Any:
    import pyarrow as pa

    inner = [_arrow_field(kind.field(number)) for number in range(kind.num_fields)]
    if isinstance(kind, pa.DictionaryType):
        inner = [_arrow_type(kind.value_type), _arrow_type(kind.index_type), kind.ordered]
    elif isinstance(kind, pa.BaseExtensionType):
        inner = [kind.extension_name, _arrow_type(kind.storage_type), bytes(pa.schema([("", kind)]).serialize())]
    return [str(kind), inner] if inner else str(kind)


def _arrow_field(field: Any) -> Any:
    return field.name, _arrow_type(field.type), field.nullable, field.metadata


def _arrow_schema(schema: Any) -> Any:
    return [_arrow_field(field) for field in schema], schema.metadata


def _arrow_content(array: Any) -> Any:
    """Arrow's columns without what lies under gaps and outside a slice, as nested contents."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, types = array.type, pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _arrow_content(array.storage)
    if types.is_dictionary(kind):
        decoded = _arrow_content(array.dictionary_decode())
        return (decoded, _arrow_content(array.dictionary)) if kind.ordered else decoded
    if types.is_union(kind):
        raise refusal(array, "it is a union")
    if types.is_string_view(kind) or types.is_binary_view(kind):
        array = array.cast(pa.large_string() if types.is_string_view(kind) else pa.large_binary())
    if types.is_null(kind):
        return None
    if array.null_count:
        return _arrow_content(array.is_null()), _arrow_content(array.drop_null())
    return _arrow_values(array, pa, pc)


def _arrow_values(array: Any, pa: Any, pc: Any) -> Any:
    kind, types = array.type, pa.types
    if types.is_boolean(kind):
        array = array.cast(pa.uint8())
    elif types.is_struct(kind):
        return [_arrow_content(child) for child in array.flatten()]
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _arrow_content(pc.list_value_length(array)), _arrow_content(array.flatten())
    first, count, (_, *buffers) = array.offset, len(array), array.buffers()
    if types.is_large_string(kind) or types.is_large_binary(kind) or types.is_string(kind) or types.is_binary(kind):
        lengths = _arrow_content(pc.binary_length(array).cast(pa.int64()))
        if not count:
            return lengths, b""
        code, size = ("<q", 8) if "large" in str(kind) else ("<i", 4)
        begin, end = (struct.unpack_from(code, buffers[0], at * size)[0] for at in (first, first + count))
        return lengths, content((memoryview(buffers[1])[begin:end],) if end > begin else (), end - begin)
    if types.is_primitive(array.type) or types.is_fixed_size_binary(kind) or types.is_decimal(kind):
        width = array.type.bit_width // 8
        data = memoryview(buffers[0])[first * width : (first + count) * width] if count * width else b""
        return content((data,), count * width)
    return array.to_pylist()  # maps, runs and views of lists


def _arrow_array(value: Any) -> dict[str, Any]:
    import pyarrow as pa

    array = value
    if isinstance(value, pa.ChunkedArray):
        wide = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}.get(value.type)
        chunks = value.num_chunks
        array = value if wide is None or chunks < 2 else value.cast(wide)  # together they may pass 2 GB
        array = array.chunk(0) if chunks == 1 else array.combine_chunks()
    return {"type": _arrow_type(value.type), "length": len(value), "": _arrow_content(array)}


def _arrow_table(value: Any) -> dict[str, Any]:
    columns = {f".column({number})": column for number, column in enumerate(value.columns)}
    return {"schema": _arrow_schema(value.schema), "rows": value.num_rows, **columns}


# Others


def _image(value: Any) -> dict[str, Any]:
    if getattr(value, "n_frames", 1) > 1:
        raise refusal(value, "it has several frames: give its file's bytes")
    value.load()
    data, palette = value.tobytes(), value.palette
    colours = (palette.mode, palette.tobytes()) if palette and palette.tobytes() else None
    parts = {"mode": value.mode, "size": value.size, "palette": colours, ".info": dict(value.info)}
    return {**parts, "": content((data,), len(data))}


def _struct(value: Any) -> dict[str, Any]:
    more = getattr(value, "__dict__", {})
    return {**attributes({**more}), **{f".{name}": getattr(value, name) for name in value.__struct_fields__}}


def _coordinates(value: Any) -> dict[str, Any]:
    indexes = {name: type(index) for name, index in value.xindexes.items()}
    return {"indexes": indexes, ".coords": {name: array.variable for name, array in value.coords.items()}}


FOREIGN: Mapping[str, Take] = {
    "numpy.MaskedConstant": lambda value: {},
    "numpy.MaskedArray": _masked,
    "numpy.ndarray": _array,
    "numpy.generic": _scalar,
    "numpy.dtype": lambda value: {"": _describe(value)},
    **table("numpy", ("ufunc", "_ArrayFunctionDispatcher"), _function),
    "numpy.Generator": lambda value: {"": value.bit_generator},
    "numpy.BitGenerator": lambda value: {"": value.state, "seed": value.seed_seq},
    "numpy.SeedSequence": lambda value: {"": value.state},
    "numpy.RandomState": lambda value: {"": value.get_state(legacy=False)},
    "pandas.DataFrame": _frame,
    "pandas.Series": _series,
    "pandas.Index": _index,
    "pandas.ExtensionArray": _extension,
    "pandas.ExtensionDtype": _extension_dtype,
    "pandas.Timestamp": _timestamp,
    **table("pandas", ("Timedelta", "Period", "Interval", "NaTType", "NAType", "BaseOffset"), _reduced),
    "polars.DataFrame": _polars_frame,
    "polars.Series": _polars_series,
    "polars.Categories": lambda value: {"": (value.name(), value.namespace(), str(value.physical()))},
    **table("polars", ("LazyFrame", "Expr"), _PROGRAM),
    **table("pyarrow", ("Table", "RecordBatch"), _arrow_table),
    **table("pyarrow", ("Array", "ChunkedArray"), _arrow_array),
    "pyarrow.Schema": lambda value: {"": _arrow_schema(value)},
    "pyarrow.Field": lambda value: {"": _arrow_field(value)},
    "pyarrow.DataType": lambda value: {"": _arrow_type(value)},
    "pyarrow.Scalar": lambda value: {"type": _arrow_type(value.type), "": value.as_py()},
    "PIL.Image": _image,
    "xarray.Variable": lambda value: {"dims": value.dims, "": value.data, ".attrs": dict(value.attrs)},
    "xarray.DataArray": lambda value: {"name": value.name, "": value.variable, **_coordinates(value)},
    "xarray.Dataset": lambda value: {"": dict(value.variables), ".attrs": dict(value.attrs), **_coordinates(value)},
    "dask.DaskMethodsMixin": _PROGRAM,
    **table("zarr", ("Array", "AsyncArray", "Group", "AsyncGroup"), _refused("what it reads may change: read it")),
    **table(
        "torch", ("Tensor", "TypedStorage", "UntypedStorage"), _refused("it pickles in many ways: give its numpy()")
    ),
    "msgspec.Struct": _struct,
    **table("pydantic_core", ("Url", "MultiHostUrl"), lambda value: {"": str(value)}),
}
"""Types, or base classes, by the name of their library and their own."""
