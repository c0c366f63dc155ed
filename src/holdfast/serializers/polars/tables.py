"""Polars frames in Arrow's formats and in Parquet, whole and as streams. Chosen by name only."""

from __future__ import annotations

import io
from typing import Any, ClassVar

from ...errors import DecodeError, UnsupportedValue
from ..tables import ArrowFile, ArrowStream, Converter, Parquet, ParquetStream
from . import frame_of, libraries, table_of

__all__ = [
    "PolarsArrowFileSerializer",
    "PolarsArrowStreamSerializer",
    "PolarsParquetSerializer",
    "PolarsParquetStreamSerializer",
]


class _Frames(Converter):
    def to_table(self, value: Any) -> tuple[Any, str]:
        pl, pa = libraries()
        if type(value) is not pl.DataFrame:
            raise UnsupportedValue(f"it is a {type(value).__name__} and no polars.DataFrame")
        target = io.BytesIO()
        try:
            # A handle of our own, and types of Arrow that all that read it know: see PolarsSerializer.
            value.clone().write_ipc_stream(target, compat_level=pl.CompatLevel.oldest())
            table = table_of(pa, target.getbuffer()).combine_chunks()
            back = frame_of(pl, table)
        except (pl.exceptions.PolarsError, pa.ArrowException, ValueError) as error:
            raise UnsupportedValue(f"this frame has no form in Arrow: {error}") from error
        if (back.schema, back.shape) != (value.schema, value.shape):
            raise UnsupportedValue(f"this Polars frame of {value.schema} would come back as one of {back.schema}")
        return table, ""

    def lost(self, schema: Any, kept: Any) -> str | None:
        pl, _ = libraries()
        one, other = (frame_of(pl, columns.empty_table()).schema for columns in (schema, kept))
        # Polars' types have all that there is to know of categories.
        return None if one == other else f"the columns {one} but {other}"

    def from_table(self, table: Any, note: str) -> Any:
        pl, _ = libraries()
        if note:
            raise ValueError("a note, which Polars frames have not")
        try:
            return frame_of(pl, table)
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # how Polars reports an assertion of its own
                raise
            raise DecodeError(f"these columns are no Polars frame: {error}") from None


class PolarsArrowFileSerializer(ArrowFile):
    """``polars.DataFrame`` as an Arrow IPC file (Feather)."""

    name: ClassVar[str] = "holdfast.polars-arrow-file@v1"
    tables = _Frames()


class PolarsArrowStreamSerializer(ArrowStream):
    """Streams of ``polars.DataFrame`` of the same columns as an Arrow IPC stream."""

    name: ClassVar[str] = "holdfast.polars-arrow-stream@v1"
    tables = _Frames()


class PolarsParquetSerializer(Parquet):
    """``polars.DataFrame`` as a Parquet file."""

    name: ClassVar[str] = "holdfast.polars-parquet@v1"
    tables = _Frames()


class PolarsParquetStreamSerializer(ParquetStream):
    """Streams of ``polars.DataFrame`` of the same columns as a Parquet file."""

    name: ClassVar[str] = "holdfast.polars-parquet-stream@v1"
    tables = _Frames()
