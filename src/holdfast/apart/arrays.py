"""Dask arrays, chunk by chunk: as HDF5 on files, as Zarr in buckets."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from typing import Any, BinaryIO
from uuid import uuid4

from ..errors import DecodeError, EncodeError, HoldfastError, MissingExtraError
from ..storable.base import full_name
from .contract import FILE_PROTOCOL, S3_PROTOCOL, open_in, opener
from .steady import steady

try:
    import dask.array as da
    import numpy as np
    from dask.highlevelgraph import HighLevelGraph
except ImportError as missing:
    raise MissingExtraError('dask arrays need dask and NumPy: pip install "holdfast[dask,numpy]"') from missing

__all__ = ["DaskArraySerializer", "on_cluster", "threads"]

_VERSION = 1
_AT_ONCE = 1 << 28  # bytes of chunks that are computed at once, if they are not larger themselves
_LARGEST = (1 << 32) - 1  # bytes of a chunk of HDF5


class DaskArraySerializer:
    """Keeps dask arrays of NumPy's, and gives them back as lazy ones of the same chunks.

    A chunk is computed, written and forgotten; those of arrays that a cluster of dask holds are fetched one by one.
    """

    name = "holdfast.dask-array@v1"
    serializer_class: type = da.Array

    @classmethod
    def pickle(cls, obj: Any, protocols: Mapping[str, Any], /) -> tuple[str, tuple[Any, str]]:
        """See :class:`~holdfast.apart.contract.PersistentSerializer`.

        Raises:
            EncodeError: its chunks are no NumPy arrays, or hold Python objects.
        """
        array, kind = _whole(obj), _Kind(obj.dtype)
        about = {"dtype": kind.described, "chunks": array.chunks}
        if FILE_PROTOCOL in protocols:
            filename = f"{uuid4().hex}.h5"
            with open_in(protocols, filename, "wb") as file:
                _write_hdf5(array, kind, about, file)
        else:
            filename = f"{uuid4().hex}.zarr"
            _write_zarr(array, kind, about, protocols, filename)
        return cls.name, (_VERSION, filename)

    @classmethod
    def unpickle(cls, persistent_id: tuple[Any, str], protocols: Mapping[str, Any], /) -> Any:
        """See the contract.

        Raises:
            DecodeError: a later version has written it, or it is none.
        """
        version, filename = persistent_id
        if version != _VERSION:
            raise DecodeError(f"{filename} was written as version {version!r} of {cls.name}: update Holdfast")
        if FILE_PROTOCOL in protocols:
            return _lazy_hdf5(opener(protocols, filename))
        return _lazy_zarr(protocols, filename)

    @classmethod
    def remove(cls, persistent_id: tuple[Any, str], protocols: Mapping[str, Any], /) -> None:
        """Nothing is kept outside of the record."""


class _Kind:
    """How elements lie: as they are, dates as integers, others as their bytes along one more axis."""

    def __init__(self, dtype: Any) -> None:
        if dtype.hasobject or not dtype.itemsize:
            what = "Python objects" if dtype.hasobject else "elements of no bytes"
            raise EncodeError(f"a dask array of {dtype} holds {what}: give its elements a type of fixed size")
        self.dtype = dtype
        self.described = np.lib.format.dtype_to_descr(dtype)
        self.raw = dtype.kind not in "biufcmM" or dtype.itemsize > (16 if dtype.kind == "c" else 8)
        self.stored: Any = dtype.newbyteorder("=")
        self.axis: tuple[int, ...] = ()
        if self.raw:
            self.stored, self.axis = np.dtype("u1"), (dtype.itemsize,)
        elif dtype.kind in "mM":
            self.stored = np.dtype("i8")

    def out(self, block: Any) -> Any:
        """A block as it is written.

        Raises:
            EncodeError: its values are none of the type that dask was told.
        """
        block = np.asarray(block)
        if not _fits(block, self.dtype):
            raise EncodeError(
                f"a chunk of this dask array has the type {block.dtype}, with values that are none of {self.dtype}, as "
                "dask was told: say the right dtype= where the array is made"
            )
        block = np.ascontiguousarray(block, self.dtype).reshape(np.shape(block))
        if self.raw:
            return np.frombuffer(block.tobytes(), "u1").reshape(*block.shape, *self.axis)
        if self.dtype.kind in "mM":
            return block.astype(self.dtype.newbyteorder("="), copy=False).view("i8")
        return block.astype(self.stored, copy=False)

    def back(self, block: Any, shape: tuple[int, ...]) -> Any:
        """And as it was."""
        if self.raw:
            block = np.frombuffer(bytearray(block.tobytes()), self.dtype)
        elif self.dtype.kind in "mM":
            block = block.view(self.dtype.newbyteorder("="))
        return block.astype(self.dtype, copy=False).reshape(shape)[()]  # without axes it is a scalar, as in dask


def _fits(block: Any, dtype: Any) -> bool:
    """Whether a block has that type, or its values are the same in it."""
    if np.can_cast(block.dtype, dtype, "safe"):
        return True
    try:
        same = block.astype(dtype).astype(block.dtype)
        return bool(((same == block) | ((same != same) & (block != block))).all())
    except (TypeError, ValueError):
        return False


def _whole(array: Any) -> Any:
    """The array, with its chunks' sizes known."""
    if type(array._meta) is not np.ndarray:
        raise EncodeError(
            f"a dask array of {full_name(type(array._meta))} is not kept chunk by chunk: map its blocks to NumPy arrays"
        )
    if any(size != size for axis in array.chunks for size in axis):  # not a number
        return array.copy().compute_chunk_sizes()
    return array


def _chunk_bytes(array: Any) -> int:
    sizes: list[int] = [max(axis, default=0) for axis in array.chunks]
    return math.prod(sizes) * int(array.dtype.itemsize)


def _is_regular(chunks: Any) -> bool:
    return all(axis and axis[0] > 0 and set(axis[:-1]) <= {axis[0]} and axis[-1] <= axis[0] for axis in chunks)


def on_cluster(collection: Any) -> bool:
    """Whether parts of a collection are results that a cluster of dask holds."""
    graph = collection.__dask_graph__()
    return any(_is_future(task) for task in dict(graph).values())


def _is_future(task: Any) -> bool:
    kind = type(getattr(task, "value", task))
    return kind.__module__.startswith("distributed.") and kind.__name__ == "Future"


def _store(array: Any, target: Any) -> None:
    """Compute all chunks, and hand each to the target."""
    if on_cluster(array):
        for index in product(*map(range, array.numblocks)):
            target[_slices(array.chunks, index)] = array.blocks[index].compute()
        return
    most = max(1, _AT_ONCE // max(1, _chunk_bytes(array)))
    with threads(most) as pool:
        da.store([array], [target], lock=False, compute=True, scheduler="threads", pool=pool)


@contextmanager
def threads(most: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for dask. When it is told that one failed, others go on: behind this block none does, and files can be
    closed."""
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, most))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _slices(chunks: Any, index: tuple[int, ...]) -> tuple[slice, ...]:
    begins = [sum(axis[:place]) for axis, place in zip(chunks, index, strict=True)]
    return tuple(slice(begin, begin + axis[place]) for axis, place, begin in zip(chunks, index, begins, strict=True))


def _blocks(chunks: Any) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Number and place of each chunk."""
    spans = []
    for axis in chunks:
        ends = np.cumsum(axis, dtype=int).tolist()
        spans.append([slice(end - size, end) for size, end in zip(axis, ends, strict=True)])
    for index in product(*(range(len(axis)) for axis in spans)):
        yield index, tuple(axis[place] for axis, place in zip(spans, index, strict=True))


class _Target:
    """What chunks are written to, one at a time."""

    def __init__(self, write: Callable[[tuple[slice, ...], Any], None], kind: _Kind, lock: bool) -> None:
        self._write, self._kind = write, kind
        self._lock = threading.Lock() if lock else None

    def __setitem__(self, place: Any, block: Any) -> None:
        place = place if isinstance(place, tuple) else (place,)
        shape = tuple(each.stop - each.start for each in place)
        if np.shape(block) != shape:
            raise EncodeError(
                f"a chunk of this dask array has the shape {np.shape(block)}, and dask was told that it has {shape}: "
                "say the right chunks= where the array is made"
            )
        if 0 in shape:
            return
        block = self._kind.out(block)
        if self._lock is None:
            self._write(place, block)
        else:
            with self._lock:
                self._write(place, block)


def _lazy(about: Mapping[str, Any], identity: str, task: Callable[[tuple[int, ...], tuple[slice, ...]], Any]) -> Any:
    """An array whose chunks are made by tasks."""
    chunks = tuple(tuple(axis) for axis in about["chunks"])
    dtype = np.lib.format.descr_to_dtype(_descr(about["dtype"]))
    name = f"holdfast-array-{identity}"
    graph: Any = {(name, *index): task(index, place) for index, place in _blocks(chunks)}
    make: Any = da.Array
    return make(HighLevelGraph.from_collections(name, graph, []), name, chunks, dtype=dtype)


def _descr(described: Any) -> Any:
    """Of JSON, which has no tuples."""
    if isinstance(described, list):
        return [tuple(_field(part) for part in field) for field in described]
    return described


def _field(part: Any) -> Any:
    if isinstance(part, list) and part and isinstance(part[0], list):
        return _descr(part)
    return tuple(part) if isinstance(part, list) else part


# --- HDF5 -------------------------------------------------------------------------------------------------------------


def _h5py() -> Any:
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError('dask arrays on files need h5py: pip install "holdfast[hdf5]"') from error
    return h5py


@contextmanager
def _hdf5(file: BinaryIO, mode: str) -> Iterator[Any]:
    """A file as HDF5 has it, which leaves things behind that end the process when one fails."""
    with steady(file) as given, _h5py().File(given, mode) as h5:
        yield h5


def _write_hdf5(array: Any, kind: _Kind, about: Mapping[str, Any], file: BinaryIO) -> None:
    chunks = None
    if array.ndim and _is_regular(array.chunks) and 0 < _chunk_bytes(array) < _LARGEST:
        chunks = (*(axis[0] for axis in array.chunks), *kind.axis)
    with _hdf5(file, "w") as h5:
        data = h5.create_dataset("data", (*array.shape, *kind.axis), kind.stored, chunks=chunks)
        h5.create_dataset("about", data=np.frombuffer(json.dumps(about).encode(), "u1"))

        def write(place: tuple[slice, ...], block: Any) -> None:
            data[place] = block  # each chunk once, and one at a time, as HDF5 has it

        _store(array, _Target(write, kind, lock=True))


def _lazy_hdf5(open_file: Callable[[], BinaryIO]) -> Any:
    with open_file() as file:
        try:
            with _hdf5(file, "r") as h5:
                about = json.loads(h5["about"][()].tobytes())
        except HoldfastError:
            raise
        except (KeyError, OSError, ValueError) as error:
            raise DecodeError(f"no dask array that Holdfast has written: {error}") from error
    identity = getattr(open_file, "identity", None) or uuid4().hex
    return _lazy(about, identity, lambda index, place: (_read_hdf5, open_file, place, about["dtype"]))


def _read_hdf5(open_file: Callable[[], BinaryIO], place: tuple[slice, ...], described: Any) -> Any:
    kind = _Kind(np.lib.format.descr_to_dtype(_descr(described)))
    shape = tuple(each.stop - each.start for each in place)
    if 0 in shape:
        return np.empty(shape, kind.dtype)
    with open_file() as file, _hdf5(file, "r") as h5:
        return kind.back(np.asarray(h5["data"][place]), shape)


# --- Zarr -------------------------------------------------------------------------------------------------------------


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise MissingExtraError('dask arrays in buckets need zarr: pip install "holdfast[zarr]"') from error
    return zarr


def _write_zarr(array: Any, kind: _Kind, about: Mapping[str, Any], protocols: Mapping[str, Any], filename: str) -> None:
    """One cell of Zarr for each chunk; where chunks are of several sizes, each begins a cell, and need not fill it."""
    s3 = protocols[S3_PROTOCOL]
    path = f"{s3['folder']}/{filename}"
    cells = tuple(max([*axis, 1]) for axis in array.chunks)
    regular = _is_regular(array.chunks)
    shape = array.shape if regular else tuple(len(axis) * cell for axis, cell in zip(array.chunks, cells, strict=True))
    data = _zarr().create_array(
        store=s3["client"].get_mapper(path), shape=(*shape, *kind.axis), chunks=(*cells, *kind.axis), dtype=kind.stored,
        fill_value=0, attributes={"holdfast": {**about, "regular": regular}},
    )  # fmt: skip
    cell_of = [{place[axis].start: index[axis] for index, place in _blocks(array.chunks)} for axis in range(array.ndim)]

    def write(place: tuple[slice, ...], block: Any) -> None:
        if not regular:
            begins = [known[each.start] * cell for known, each, cell in zip(cell_of, place, cells, strict=True)]
            place = tuple(slice(begin, begin + size) for begin, size in zip(begins, block.shape, strict=False))
        data[place or ()] = block

    _store(array, _Target(write, kind, lock=False))


def _lazy_zarr(protocols: Mapping[str, Any], filename: str) -> Any:
    with open_in(protocols, f"{filename}/zarr.json", "rb") as file:
        metadata = file.read()
    try:
        about = json.loads(metadata)["attributes"]["holdfast"]
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError(f"{filename} is no dask array that Holdfast has written: {error}") from error
    raw = bool(_Kind(np.lib.format.descr_to_dtype(_descr(about["dtype"]))).axis)

    def task(index: tuple[int, ...], place: tuple[slice, ...]) -> Any:
        key = "/".join(map(str, ("c", *index, *([0] if raw else []))))
        try:
            cell = opener(protocols, f"{filename}/{key}")
        except FileNotFoundError:  # all of it is zero
            cell = None
        shape = tuple(each.stop - each.start for each in place)
        return _read_zarr, metadata, key, cell, index, shape, about["dtype"]

    return _lazy(about, filename.partition(".")[0], task)


def _read_zarr(
    metadata: bytes, key: str, cell: Any, index: tuple[int, ...], shape: tuple[int, ...], described: Any
) -> Any:
    kind = _Kind(np.lib.format.descr_to_dtype(_descr(described)))
    if cell is None or 0 in shape:
        return np.zeros(shape, kind.dtype)
    try:
        with cell() as file:
            there = {"zarr.json": metadata, key: file.read()}
    except FileNotFoundError:  # likewise, of a file system that tells it only now
        return np.zeros(shape, kind.dtype)
    array = _zarr().open_array(store=_memory(there), mode="r")
    begins = [place * size for place, size in zip(index, array.chunks, strict=False)]
    block = array[tuple(slice(begin, begin + size) for begin, size in zip(begins, shape, strict=True))]
    return kind.back(np.asarray(block), shape)


def _memory(there: Mapping[str, bytes]) -> Any:
    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore

    buffer = default_buffer_prototype().buffer
    return MemoryStore({name: buffer.from_bytes(data) for name, data in there.items()})
