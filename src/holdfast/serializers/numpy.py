"""NumPy arrays and scalars of any fixed-size type, without a copy of the memory in either direction."""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar

import msgpack

from ..errors import DecodeError, HoldfastError, MissingExtraError, UnsupportedValue
from ..payload import OUT_OF_BAND, Buffer, Payload
from .base import Serializer

__all__ = ["NumpySerializer"]

_CONTENT_TYPE = "application/vnd.holdfast.numpy"

# The forms of dtype.str that are written, "q" and "Q" added for the C type that has the size of another one here.
_SIMPLE = re.compile(
    r"[<>|](?:b1|[iu][1248]|[qQ]|f(?:2|4|8|12|16)|c(?:8|16|24|32)|[SUV][0-9]{1,10}"
    r"|[Mm]8(?:\[(?:[1-9][0-9]{0,8})?(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?)",
    re.ASCII,
)
_MAX_NESTING = 32  # of structured types in one another


def _numpy() -> Any:
    try:
        import numpy
    except ImportError as error:
        raise MissingExtraError('this value needs NumPy: pip install "holdfast[numpy]"') from error
    return numpy


class NumpySerializer(Serializer):
    """``numpy.ndarray`` and NumPy's scalars.

    In band is a msgpack list ``[what, type, shape, order]``, followed by the memory when it is small; large memory is
    the one out-of-band buffer. Order (C or Fortran) and byte order are kept; a non-contiguous array is copied once, in
    C order. Object arrays, variable-width strings, types with metadata and subclasses of ndarray are
    :class:`~holdfast.errors.UnsupportedValue`. Arrays read back are writable and lie over the payload's buffer.
    """

    name: ClassVar[str] = "holdfast.numpy@v1"
    types: ClassVar[tuple[str, ...]] = tuple(
        "numpy." + kind
        for kind in (
            *(
                "ndarray",
                "bool",
                "int8",
                "int16",
                "int32",
                "int64",
                "uint8",
                "uint16",
                "uint32",
                "uint64",
                "intc",
                "uintc",
            ),
            *("longlong", "ulonglong", "float16", "float32", "float64", "longdouble", "complex64", "complex128"),
            *("clongdouble", "datetime64", "timedelta64", "str_", "bytes_", "void"),
        )
    )
    content_types: ClassVar[tuple[str, ...]] = (_CONTENT_TYPE,)

    def serialize(self, value: Any) -> Payload:
        """Give header and memory."""
        np = _numpy()
        kind = type(value)
        if kind is np.ndarray:
            array, what = value, "array"
        elif isinstance(value, np.generic) and kind.__module__ == "numpy":
            array, what = np.asarray(value), "scalar"
            restored = array[()]
            if type(restored) is not kind or (array.dtype.kind in "SU" and len(restored) != len(value)):
                raise UnsupportedValue(f"this numpy.{kind.__qualname__} would not come back as it is")
        else:
            raise UnsupportedValue(
                f"{self.name} takes numpy.ndarray and NumPy scalars, not {kind.__module__}.{kind.__qualname__}"
            )
        dtype = _describe(np, array.dtype, 0)
        order = "C"
        if not array.flags.c_contiguous:
            if array.flags.f_contiguous:
                order, array = "F", array.T
            else:
                array = array.copy(order="C")
        shape = array.shape if order == "C" else array.shape[::-1]
        header = msgpack.packb([what, dtype, list(shape), order])
        memory = array.reshape(-1).view(np.uint8).data if array.nbytes else b""
        if len(memory) < OUT_OF_BAND:
            return Payload((header + memory,), _CONTENT_TYPE)
        return Payload((header, memory), _CONTENT_TYPE)

    def deserialize(self, payload: Payload) -> Any:
        """Give the array over the payload's memory, or the scalar."""
        np = _numpy()
        try:
            return _read(np, payload)
        except (HoldfastError, MemoryError):
            raise
        except Exception as error:
            raise DecodeError(f"these bytes are no {self.name}: {str(error) or type(error).__name__}") from error


def _read(np: Any, payload: Payload) -> Any:
    buffers = payload.buffers
    if not 1 <= len(buffers) <= 2:
        raise ValueError(f"{len(buffers)} buffers")
    unpacker = msgpack.Unpacker(
        strict_map_key=True, max_buffer_size=max(len(buffers[0]), 1)
    )  # else it takes a megabyte
    unpacker.feed(buffers[0])
    what, described, shape, order = unpacker.unpack()
    if what not in ("array", "scalar") or order not in ("C", "F") or type(shape) is not list:
        raise ValueError("not a header of an array")
    if not all(type(length) is int and length >= 0 for length in shape) or (what == "scalar" and shape):
        raise ValueError(f"impossible shape {shape}")
    dtype = _build(np, described, 0)
    rest = memoryview(buffers[0])[unpacker.tell() :]
    if len(buffers) == 2 and len(rest):
        raise ValueError("bytes after the header")
    memory: Buffer = buffers[1] if len(buffers) == 2 else rest
    size = math.prod(shape) * dtype.itemsize
    if size != len(memory):
        raise ValueError(f"{len(memory)} bytes of memory where the shape needs {size}")
    array = _over(np, memory, shape, dtype, order, copy=len(buffers) == 1)
    _check_text(np, array)
    return array if what == "array" else array[()]


def _over(np: Any, memory: Buffer, shape: list[int], dtype: Any, order: str, copy: bool) -> Any:
    """An array over the memory, which can be written as far as that can; a copy when it is small or unaligned."""
    if not copy:
        array = np.ndarray(shape, dtype, memory, order=order)
        if array.flags.aligned:
            return array
    array = np.empty(shape, dtype, order=order)
    if array.nbytes:
        flat = array.reshape(-1) if order == "C" else array.T.reshape(-1)
        flat.view(np.uint8)[:] = np.frombuffer(memory, np.uint8)
    return array


def _describe(np: Any, dtype: Any, depth: int) -> Any:
    """A dtype as msgpack data: its ``str``, or for a structure a map, or for a sub-array ``[base, shape]``."""
    if dtype.metadata:  # an empty one comes with some unpickled types
        raise UnsupportedValue(f"the array type {dtype} has metadata, which would be lost")
    if depth > _MAX_NESTING:
        raise UnsupportedValue(f"the array type is nested more than {_MAX_NESTING} levels deep")
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [_describe(np, base, depth + 1), list(shape)]
    if dtype.names is not None:
        fields = [dtype.fields[name] for name in dtype.names]
        titles = [field[2] if len(field) == 3 else None for field in fields]
        if dtype.type is not np.void or not all(title is None or type(title) is str for title in titles):
            raise UnsupportedValue(f"the array type {dtype} is a record, or has titles that are no text")
        return {
            "names": list(dtype.names),
            "formats": [_describe(np, field[0], depth + 1) for field in fields],
            "offsets": [field[1] for field in fields],
            "titles": titles,
            "itemsize": dtype.itemsize,
            "aligned": dtype.isalignedstruct,
        }
    text: str = dtype.str
    if dtype.char in "qQ" and np.dtype(text).char != dtype.char:
        text = text[0] + dtype.char
    if not _SIMPLE.fullmatch(text) or np.dtype(text) != dtype or np.dtype(text).type is not dtype.type:
        raise UnsupportedValue(f"arrays of {dtype!r} have no fixed-size form")
    if dtype.char in "gG":
        return [text, "longdouble", int(np.finfo(np.longdouble).nmant)]  # its layout differs by machine
    return text


def _build(np: Any, described: Any, depth: int) -> Any:
    """The inverse of :func:`_describe`; raises ValueError or TypeError for anything else."""
    if depth > _MAX_NESTING:
        raise ValueError("an array type nested too deeply")
    if type(described) is str:
        if not _SIMPLE.fullmatch(described):
            raise ValueError(f"unknown array type {described!r}")
        return np.dtype(described)
    if type(described) is list and len(described) == 3:
        text, marker, digits = described
        if type(text) is not str or not _SIMPLE.fullmatch(text) or marker != "longdouble":
            raise ValueError("unknown array type")
        if digits != int(np.finfo(np.longdouble).nmant):
            raise ValueError("long doubles of another kind of machine")
        return np.dtype(text)
    if type(described) is list:
        base, shape = described
        if type(shape) is not list or not all(type(length) is int and length >= 0 for length in shape):
            raise ValueError("impossible shape of a sub-array")
        return np.dtype((_build(np, base, depth + 1), tuple(shape)))
    names, offsets, titles, itemsize = (described[key] for key in ("names", "offsets", "titles", "itemsize"))
    formats = [_build(np, entry, depth + 1) for entry in described["formats"]]
    if not (type(itemsize) is int and all(type(name) is str for name in names)):
        raise ValueError("impossible structure")
    for offset, entry in zip(offsets, formats, strict=True):
        if type(offset) is not int or offset < 0 or offset + entry.itemsize > itemsize:
            raise ValueError("a field outside its structure")
    spec = {"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize}
    if any(title is not None for title in titles):
        spec["titles"] = titles
    return np.dtype(spec, align=described["aligned"] is True)


def _check_text(np: Any, array: Any) -> None:
    """NumPy keeps text as code points and fails much later on ones that do not exist; refuse them here."""
    dtype = array.dtype
    if dtype.names is not None:
        for name in dtype.names:
            _check_text(np, array[name])
    elif dtype.kind == "U" and array.size and dtype.itemsize:
        points = np.ascontiguousarray(array).reshape(-1).view(np.dtype("u4").newbyteorder(dtype.byteorder))
        if points.max() > 0x10FFFF:
            raise ValueError("text with code points that do not exist")
