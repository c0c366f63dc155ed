"""Dask's frames and arrays: each partition or block is written, and later read, where it is computed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any

from ......api import Scope
from ......errors import ConflictError, EncodeError, InvalidArgumentError, MissingExtraError
from ..interface import Artifact
from .arrays import check_format as check_array_format
from .arrays import get_array, put_array
from .dataframes import INDEX, check_format, get_frame, index_levels, put_frame
from .handler import register_handler
from .utils import check_parts, check_type, parts_of

__all__ = [
    "dask_array_from_artifact",
    "dask_array_to_artifact",
    "dask_dataframe_from_artifact",
    "dask_dataframe_to_artifact",
]

_FRAMES = (  # by the versions of Dask
    "dask.dataframe.dask_expr._collection.DataFrame",
    "dask_expr._collection.DataFrame",
    "dask.dataframe.core.DataFrame",
)
_ARRAYS = ("dask.array.core.Array",)
_CHUNKS = "chunks"
_DTYPE = "dtype"
_AT_MOST = timedelta(days=1)  # that writing an artifact takes: what a killed program leaves is collected then


def dask_dataframe_to_artifact(
    artifact: Artifact, dataframe: Any, format: str = "parquet", num_parts: int | None = None
) -> Artifact:
    """Write each partition as ``partition-<i>.<format>``; ``num_parts`` makes as many of them.

    Raises:
        EncodeError: it is no Dask frame, or the format would not give it back.
        NoPartsError: fewer than one part.
    """
    if not isinstance(dataframe, _dask("dask.dataframe").DataFrame):
        raise EncodeError(f"this saves a Dask DataFrame, not a {type(dataframe).__name__}")
    if num_parts is not None:
        dataframe = dataframe.repartition(npartitions=check_parts(num_parts))
    # Parts number their rows each from 0: that is an index, by which rows of several are told apart.
    levels = max(1, index_levels(dataframe._meta, format))
    with artifact.transaction():
        artifact[INDEX] = levels
        _write(artifact, dataframe.to_delayed(), format, put_frame, format, levels)
    return artifact


def dask_dataframe_from_artifact(artifact: Artifact, format: str = "parquet") -> Any:
    """A Dask frame of the files of a format, each read when it is needed. One that was replaced by then is a
    ConflictError.

    Raises:
        NotAssertedError: the artifact holds no Dask frame (an AssertionError).
        InvalidArgumentError: it has no file of that format (a ValueError).
    """
    check_type(artifact, *_FRAMES)
    frames, levels = _dask("dask.dataframe"), artifact[INDEX]
    reads = _reads(artifact, check_format(format), get_frame, format, levels)
    meta = get_frame(artifact._scope, parts_of(artifact, format)[0].name, format, levels).iloc[:0]
    return frames.from_delayed(reads, meta=meta, verify_meta=False)


def dask_array_to_artifact(
    artifact: Artifact, array: Any, format: str = "npy", num_parts: int | None = None
) -> Artifact:
    """Write each block as ``partition-<i>.npy``; ``num_parts`` cuts the first axis anew into as many chunks.

    Raises:
        EncodeError: it is no Dask array, or one of Python objects.
        NoPartsError: fewer than one part.
    """
    if not isinstance(array, _dask("dask.array").Array):
        raise EncodeError(f"this saves a Dask Array, not a {type(array).__name__}")
    check_array_format(format)
    if num_parts is not None and array.ndim:
        array = _cut(array, check_parts(num_parts))
    with artifact.transaction():
        shapes = _write(artifact, array.to_delayed().ravel(), format, put_array)
        at = dict(zip(product(*map(range, array.numblocks)), shapes, strict=True))
        edges = [[(0,) * axis + (n,) + (0,) * (array.ndim - axis - 1) for n in range(count)]
                 for axis, count in enumerate(array.numblocks)]  # fmt: skip
        artifact[_CHUNKS] = [[at[place][axis] for place in places] for axis, places in enumerate(edges)]
        artifact[_DTYPE] = array.dtype.str
    return artifact


def dask_array_from_artifact(artifact: Artifact, format: str = "npy") -> Any:
    """A Dask array of the blocks as they were saved, each read when it is needed. One that was replaced by then is a
    ConflictError.

    Raises:
        NotAssertedError: the artifact holds no Dask array (an AssertionError).
        InvalidArgumentError: files of it are missing (a ValueError).
    """
    check_type(artifact, *_ARRAYS)
    arrays, chunks, dtype = _dask("dask.array"), artifact[_CHUNKS], artifact[_DTYPE]
    reads = iter(_reads(artifact, check_array_format(format), get_array))
    try:

        def block(*place: int) -> Any:
            shape = tuple(chunks[axis][n] for axis, n in enumerate(place))
            return arrays.from_delayed(next(reads), shape, dtype=dtype)

        return arrays.block(_nested(chunks, block))
    except StopIteration:
        raise InvalidArgumentError(f"{artifact!r} has fewer files than the array has blocks") from None


def _cut(array: Any, parts: int) -> Any:
    """The array in this many chunks along the first axis, or as many as it has rows."""
    rows = array.shape[0]
    if math.isnan(rows):
        raise InvalidArgumentError(
            "the array's chunks are of unknown sizes: call its compute_chunk_sizes(), or leave num_parts away"
        )
    parts = max(1, min(parts, rows))
    sizes = tuple(rows // parts + (number < rows % parts) for number in range(parts))
    return array.rechunk({0: sizes, **dict.fromkeys(range(1, array.ndim), -1)})


def _nested(chunks: list[list[int]], block: Callable[..., Any], *place: int) -> Any:
    if len(place) == len(chunks):
        return block(*place)
    return [_nested(chunks, block, *place, n) for n in range(len(chunks[len(place)]))]


def _write(artifact: Artifact, pieces: Any, format: str, put: Callable[..., Any], *options: Any) -> list[Any]:
    """Have each piece written where it is computed, and take the files into the artifact with its transaction; gives
    what ``put`` gave. Until then they lie in a scope beside it: so the pieces may be computed from the files that they
    replace, and by other processes, which the transaction does not reach."""
    dask, joined = _dask("dask"), artifact._joined
    assert joined is not None
    staging = artifact._outside._at((*artifact._outside.path[:-1], ("upload", os.urandom(8).hex())))
    staging.create()
    joined.staged.append(staging)
    target, names = staging.using(expires=_AT_MOST), [f"partition-{n}.{format}" for n in range(len(pieces))]
    task = dask.delayed(_put, pure=False)
    tasks = [task(target, put, name, piece, *options) for name, piece in zip(names, pieces, strict=True)]
    results = _compute(dask, tasks)
    inside = joined.scope
    for name in names:
        inside._at(staging.path).rename(name, to=inside, replace=True)
        inside.touch(name, None)
    return results


def _put(scope: Scope, put: Callable[..., Any], name: str, piece: Any, *options: Any) -> Any:
    with scope.transaction() as inside:
        if inside._ledger.scope_id(scope.path) is None:  # from here on, a drop makes the commit fail
            raise ConflictError(f"{name} is not needed any more: saving the artifact was given up")
        return put(inside, name, piece, *options)


def _compute(dask: Any, tasks: list[Any]) -> list[Any]:
    try:
        from distributed import get_worker, worker_client

        get_worker()
    except (ImportError, ValueError):  # no task of a cluster
        return list(dask.compute(*tasks))
    with worker_client() as client:
        return list(client.gather(client.compute(tasks)))


def _reads(artifact: Artifact, format: str, get: Callable[..., Any], *options: Any) -> list[Any]:
    scope = artifact._outside
    read = _dask("dask").delayed(_read, pure=False)
    names = [file.name for file in parts_of(artifact, format)]
    return [read(scope, name, artifact._scope.record(name).version, get, *options) for name in names]


def _read(scope: Scope, name: str, version: int, get: Callable[..., Any], *options: Any) -> Any:
    value = get(scope, name, *options)
    if scope.record(name).version != version:
        raise ConflictError(f"{scope}/{name} was replaced since the artifact was loaded: load it again")
    return value


def _dask(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(f'this needs {module}: pip install "holdfast[dask]" "dask[array,dataframe]"') from error


for _names, _to, _from in (
    (_FRAMES, dask_dataframe_to_artifact, dask_dataframe_from_artifact),
    (_ARRAYS, dask_array_to_artifact, dask_array_from_artifact),
):
    for _name in _names:
        register_handler("*", _name, "to_artifact", _to)
        register_handler("*", _name, "from_artifact", _from)
