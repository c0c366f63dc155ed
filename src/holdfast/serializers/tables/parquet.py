"""Parquet: compact files that every tool for data reads, whole and as streams, of which each item is row groups."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any, BinaryIO, ClassVar

from ...errors import DecodeError, UnsupportedValue
from ...payload import Buffer, Payload
from ..base import Serializer, StreamSerializer
from ..items import each
from .base import Converter, Sink, Source, TableWriter, damage, only_bytes, payload_of, pyarrow

__all__ = ["Parquet", "ParquetStream"]

_CONTENT_TYPE = "application/vnd.apache.parquet"
_ITEMS = "holdfast.items"  # in the file's metadata: of each item how many rows it has, and its note
_ROWS = 1 << 20  # of a row group
# Checksums find what is damaged before it is decoded; without the last one items of lists would change their names.
_OPTIONS = {
    "compression": "zstd",
    "use_dictionary": False,  # five times as slow, and larger, where values are not repeated
    "write_page_checksum": True,
    "use_compliant_nested_type": False,
}


class _Writer(TableWriter):
    def __init__(self, tables: Converter, options: Mapping[str, Any]) -> None:
        super().__init__(tables)
        self._options = options
        self._items: list[tuple[int, str]] = []

    def open(self, schema: Any) -> None:
        pa = pyarrow()
        if (lost := self.tables.lost(schema, _kept(pa, schema, self._options))) is not None:
            raise UnsupportedValue(f"Parquet would not give back {lost}")
        self._writer = _open(pa, self.sink, schema, self._options)

    def write(self, table: Any, note: str) -> None:
        if table.num_rows:
            if not table.num_columns:
                raise UnsupportedValue("Parquet does not keep rows without columns")
            self._writer.write_table(table, row_group_size=_ROWS)
        self._items.append((table.num_rows, note))

    def close(self) -> None:
        self._writer.add_key_value_metadata({_ITEMS: json.dumps(self._items, separators=(",", ":"))})
        self._writer.close()


def _open(pa: Any, sink: Sink, schema: Any, options: Mapping[str, Any]) -> Any:
    return pa.parquet.ParquetWriter(pa.PythonFile(sink, "w"), schema, **{**_OPTIONS, **options})


def _kept(pa: Any, schema: Any, options: Mapping[str, Any]) -> Any:
    """The schema as it comes back."""
    sink = Sink()
    _open(pa, sink, schema, options).close()
    return _schema(pa.parquet.ParquetFile(BytesIO(b"".join(sink.taken()))))


def _schema(file: Any) -> Any:
    schema = file.schema_arrow
    metadata = {key: value for key, value in (schema.metadata or {}).items() if key != _ITEMS.encode()}
    return schema.with_metadata(metadata or None)


def _read(pa: Any, file: BinaryIO, name: str) -> Iterator[tuple[Any, str]]:
    """The table and the note of each item."""
    source = Source(file)
    with damage(name, source):
        opened = pa.parquet.ParquetFile(pa.PythonFile(source, "r"), page_checksum_verification=True)
        schema, group = _schema(opened), 0
        items = json.loads(opened.metadata.metadata[_ITEMS.encode()])
    for item in items if type(items) is list else [items]:
        with damage(name, source):
            rows, note = item
            parts: list[Any] = []
            while sum(part.num_rows for part in parts) < rows:
                parts.append(opened.read_row_group(group).replace_schema_metadata(schema.metadata))
                group += 1
            table = pa.concat_tables(parts) if parts else schema.empty_table()
            del parts
            table.validate(full=True)
            if type(note) is not str or table.num_rows != rows or table.schema != schema:
                raise ValueError("row groups that are not those of the items")
        yield table, note
        del table
    if group != opened.num_row_groups:
        raise DecodeError(f"these bytes are no {name}: row groups that belong to no item")


class ParquetStream(StreamSerializer):
    """A stream of tables of one schema as one Parquet file, each item in row groups of its own. Others read all rows as
    one table.

    Args:
        options: of PyArrow's ``ParquetWriter``, which go before our own, such as ``compression``.
    """

    content_types: ClassVar[tuple[str, ...]] = (_CONTENT_TYPE,)
    random_access: ClassVar[bool] = True
    tables: ClassVar[Converter]

    def __init__(self, **options: Any) -> None:
        self._options = options

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Buffer]:
        """Give the row groups of each item, and at the end what is in the file where."""
        writer = _Writer(self.tables, self._options)
        for pieces in each(values, writer.add):
            yield from pieces
            del pieces
        yield from writer.end()

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        """Read the row groups of each item."""
        for table, note in _read(pyarrow(), file, self.name):
            with damage(self.name):
                value = self.tables.from_table(table, note)
            del table
            yield value
            del value


class Parquet(Serializer):
    """A table as a Parquet file, compressed by zstd.

    Args:
        options: of PyArrow's ``ParquetWriter``, which go before our own, such as ``compression``.
    """

    content_types: ClassVar[tuple[str, ...]] = (_CONTENT_TYPE,)
    tables: ClassVar[Converter]

    def __init__(self, **options: Any) -> None:
        self._options = options

    def serialize(self, value: Any) -> Payload:
        """Give the file."""
        writer = _Writer(self.tables, self._options)
        return payload_of(writer.add(value) + writer.end(), _CONTENT_TYPE)

    def deserialize(self, payload: Payload) -> Any:
        """Read the file."""
        data = only_bytes(payload, self.name)
        found = list(_read(pyarrow(), BytesIO(data), self.name))
        if len(found) != 1:
            raise DecodeError(f"these bytes are no {self.name}: {len(found)} tables")
        with damage(self.name):
            return self.tables.from_table(*found[0])
