"""Dask's frames and series, partition by partition, as Parquet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from ..errors import DecodeError, EncodeError, MissingExtraError, UnsupportedValue
from ..layout import lay_out, read_config, take_apart
from ..payload import Payload
from ..registry import Registry
from ..serializers.pandas.tables import _check_objects
from ..storable.base import full_name
from .arrays import on_cluster, threads
from .contract import open_in
from .parts import about, begin_folder, end_folder, part_opener, write_part

try:
    import dask.dataframe as dd
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    from dask.base import compute
    from dask.delayed import delayed
except ImportError as missing:
    raise MissingExtraError(
        'dask frames need dask, pandas and pyarrow: pip install "holdfast[dask,pandas]"'
    ) from missing

__all__ = ["DaskFrameSerializer", "DaskSeriesSerializer"]

_VERSION = 1
_PANDAS = "holdfast.pandas@v1"
_COLUMN = "value"


class DaskFrameSerializer:
    """Keeps dask's frames of pandas', and gives them back as lazy ones of the same partitions and divisions."""

    name = "holdfast.dask-frame@v1"
    serializer_class: type = dd.DataFrame

    @classmethod
    def pickle(cls, obj: Any, protocols: Mapping[str, Any], /) -> tuple[str, tuple[Any, str]]:
        """See :class:`~holdfast.apart.contract.PersistentSerializer`.

        Raises:
            EncodeError: its partitions are not pandas', or Parquet cannot hold a column.
        """
        filename = begin_folder()
        if not isinstance(obj._meta, pd.DataFrame | pd.Series):
            raise EncodeError(f"a dask frame of {full_name(type(obj._meta))} is not kept: make it one of pandas'")
        known = obj.known_divisions
        frames = {"meta": obj._meta, "divisions": pd.Series(list(obj.divisions) if known else [None])}
        layouts = {what: _write_exactly(protocols, f"{filename}/{what}", frame) for what, frame in frames.items()}

        def write(partition: Any, number: int) -> None:
            _check(partition, obj._meta)
            write_part(protocols, filename, number, lambda file: _write(partition, file))

        partitions = obj.to_delayed()
        if on_cluster(obj):
            for number, partition in enumerate(partitions):
                write(partition.compute(), number)
        else:
            written = [delayed(write)(partition, number) for number, partition in enumerate(partitions)]
            computing: Any = compute
            with threads(len(written)) as pool:
                computing(*written, scheduler="threads", pool=pool, optimize_graph=False)
        end_folder(protocols, filename, parts=len(partitions), known=known, layouts=layouts)
        return cls.name, (_VERSION, filename)

    @classmethod
    def unpickle(cls, persistent_id: tuple[Any, str], protocols: Mapping[str, Any], /) -> Any:
        """See the contract.

        Raises:
            DecodeError: a later version has written it, or it is none.
        """
        version, filename = persistent_id
        told = about(protocols, filename, version, _VERSION)
        try:
            layouts, known = told["layouts"], told["known"]
            meta = _read_exactly(protocols, f"{filename}/meta", layouts["meta"])
            divisions = _read_exactly(protocols, f"{filename}/divisions", layouts["divisions"]) if known else None
        except (KeyError, TypeError) as error:
            raise DecodeError(f"{filename} is no dask frame that Holdfast has written: {error}") from error
        openers = [part_opener(protocols, filename, number) for number in range(told["parts"])]
        making: Any = dd.from_map
        return making(
            _read, openers, meta=meta, like=meta, divisions=None if divisions is None else tuple(divisions),
            label="holdfast", enforce_metadata=False,
        )  # fmt: skip

    @classmethod
    def remove(cls, persistent_id: tuple[Any, str], protocols: Mapping[str, Any], /) -> None:
        """Nothing is kept outside of the record."""


class DaskSeriesSerializer(DaskFrameSerializer):
    """Likewise of series."""

    name = "holdfast.dask-series@v1"
    serializer_class: type = dd.Series


def _write_exactly(protocols: Mapping[str, Any], filename: str, frame: Any) -> str | None:
    """Write a frame without rows, or a short one; gives how its bytes lie."""
    try:
        layout = lay_out(Registry.default().serializer(_PANDAS).serialize(frame))
    except UnsupportedValue as error:
        raise EncodeError(f"a dask frame with these types is not kept: {error}") from error
    with open_in(protocols, filename, "wb") as file:
        file.writelines(layout.buffers)
    return layout.config


def _read_exactly(protocols: Mapping[str, Any], filename: str, layout: str | None) -> Any:
    with open_in(protocols, filename, "rb") as file:
        data = file.read()
    serializer, config = Registry.default().serializer(_PANDAS), read_config(layout, filename)
    buffers = take_apart(memoryview(bytearray(data)), config, filename) if "parts" in config else [data]
    return serializer.deserialize(Payload(buffers, serializer.content_types[0], None, config.get("config")))


def _check(frame: Any, told: Any) -> None:
    """Raise EncodeError where a partition has other columns than dask was told, or values that their types have not."""
    if isinstance(told, pd.Series):
        frame, told = frame.to_frame(_COLUMN), told.to_frame(_COLUMN)
    if not frame.columns.equals(told.columns):
        raise EncodeError(
            f"a partition of a dask frame has the columns {list(frame.columns)}, and dask was told that it has "
            f"{list(told.columns)}: say the right meta= where the frame is made"
        )
    for at, (found, wanted) in enumerate(zip(frame.dtypes, told.dtypes, strict=True)):
        if found != wanted and not _fits(frame.iloc[:, at], wanted):
            raise EncodeError(
                f"a partition of a dask frame has the type {found} in {frame.columns[at]!r}, with values that are none "
                f"of {wanted}, as dask was told: say the right meta= where the frame is made"
            )


def _fits(column: Any, wanted: Any) -> bool:
    """Whether numbers are the same in another type. Of other values it is told when they are read."""
    found = column.dtype
    if not (isinstance(found, np.dtype) and isinstance(wanted, np.dtype) and {found.kind, wanted.kind} <= set("biufc")):
        return True
    try:
        return np.can_cast(found, wanted, "safe") or bool(column.astype(wanted).astype(found).equals(column))
    except ValueError:
        return False


def _write(frame: Any, file: BinaryIO) -> None:
    if isinstance(frame, pd.Series):
        frame = frame.to_frame(_COLUMN)
    try:
        _check_objects(frame)  # of which Arrow would make others
        table = pa.Table.from_pandas(frame, preserve_index=True)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise EncodeError(f"a partition of a dask frame cannot be kept in Parquet: {error}") from error
    pq.write_table(table, file, compression="zstd")


def _read(open_file: Callable[[], BinaryIO], like: Any) -> Any:
    """A partition, with the types and names of ``like``, which Parquet does not know all of."""
    with open_file() as file:
        frame = pq.read_table(file, use_threads=False).to_pandas(use_threads=False)
    if isinstance(like, pd.Series):
        frame = frame.iloc[:, 0].rename(like.name)
        if _differs(frame.dtype, like.dtype):
            frame = frame.astype(like.dtype)
    else:
        wrong = {
            name: there
            for name, found, there in zip(frame.columns, frame.dtypes, like.dtypes, strict=True)
            if _differs(found, there)
        }
        frame = frame.astype(wrong) if wrong else frame
        frame.columns = like.columns
    if frame.index.nlevels == 1 and _differs(frame.index.dtype, like.index.dtype):
        frame.index = frame.index.astype(like.index.dtype)
    return frame


def _differs(found: Any, wanted: Any) -> bool:
    """Whether a column, or an index, is to be converted; not to categories that dask itself does not know."""
    unknown = isinstance(wanted, pd.CategoricalDtype) and "__UNKNOWN_CATEGORIES__" in wanted.categories
    return bool(found != wanted) and not unknown
