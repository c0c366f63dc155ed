"""PyArrow tables and record batches in Arrow's other formats and in Parquet, whole and as streams."""

from __future__ import annotations

from typing import Any, ClassVar

from ...errors import UnsupportedValue
from ..tables import ArrowFile, ArrowStream, Converter, Parquet, ParquetStream, pyarrow

__all__ = ["ArrowFileSerializer", "ArrowStreamSerializer", "ParquetSerializer", "ParquetStreamSerializer"]

_TYPES = ("pyarrow.lib.Table", "pyarrow.lib.RecordBatch")


class _Tables(Converter):
    def to_table(self, value: Any) -> tuple[Any, str]:
        pa = pyarrow()
        if type(value) is pa.Table:
            return value, "table"
        if type(value) is pa.RecordBatch:
            return pa.Table.from_batches([value]), "batch"
        raise UnsupportedValue(f"it is a {type(value).__name__} and no pyarrow.Table or RecordBatch")

    def from_table(self, table: Any, note: str) -> Any:
        if note == "table":
            return table
        if note != "batch":
            raise ValueError(f"neither a table nor a batch but {note!r}")
        batches = table.to_batches()
        if len(batches) > 1:
            raise ValueError("a record batch in pieces")
        return batches[0] if batches else pyarrow().RecordBatch.from_pylist([], schema=table.schema)


class ArrowFileSerializer(ArrowFile):
    """``pyarrow.Table`` and ``RecordBatch`` as an Arrow IPC file. Chosen by name only."""

    name: ClassVar[str] = "holdfast.arrow-file@v1"
    tables = _Tables()


class ArrowStreamSerializer(ArrowStream):
    """Streams of ``pyarrow.Table`` or ``RecordBatch`` of one schema as an Arrow IPC stream."""

    name: ClassVar[str] = "holdfast.arrow-stream@v1"
    types: ClassVar[tuple[str, ...]] = _TYPES
    tables = _Tables()


class ParquetSerializer(Parquet):
    """``pyarrow.Table`` and ``RecordBatch`` as a Parquet file. Chosen by name only."""

    name: ClassVar[str] = "holdfast.parquet@v1"
    tables = _Tables()


class ParquetStreamSerializer(ParquetStream):
    """Streams of ``pyarrow.Table`` or ``RecordBatch`` of one schema as a Parquet file. Chosen by name only."""

    name: ClassVar[str] = "holdfast.parquet-stream@v1"
    tables = _Tables()
