"""Arrow's own formats: the file, which is read over the stored bytes without a copy, and the stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, ClassVar

from ...errors import DecodeError
from ...payload import Buffer, Payload
from ..base import Serializer, StreamSerializer
from ..items import each
from .base import Converter, Source, TableWriter, damage, only_bytes, payload_of, pyarrow

__all__ = ["ArrowFile", "ArrowStream"]

_NOTE = b"holdfast"  # in the metadata of the last batch of an item
_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # readers do not ask for it, and so miss a cut between batches


class _StreamWriter(TableWriter):
    def __init__(self, tables: Converter, options: Any) -> None:
        super().__init__(tables)
        self._options = options

    def open(self, schema: Any) -> None:
        pa = pyarrow()
        self._writer = pa.ipc.new_stream(pa.PythonFile(self.sink, "w"), schema, options=self._options)

    def write(self, table: Any, note: str) -> None:
        batches = _batches(table)
        for batch in batches[:-1]:
            self._writer.write_batch(batch)
        self._writer.write_batch(batches[-1], custom_metadata={_NOTE: note.encode()})

    def close(self) -> None:
        self._writer.close()


def _batches(table: Any) -> list[Any]:
    """The batches of a table, one at least, which has the values of dictionaries that no row uses."""
    pa = pyarrow()
    empty = [column.chunk(0) if column.num_chunks else pa.array([], column.type) for column in table.columns]
    return table.to_batches() or [pa.RecordBatch.from_arrays(empty, schema=table.schema)]


class ArrowStream(StreamSerializer):
    """A stream of tables of one schema as one Arrow IPC stream, which every Arrow library reads. An item is one or more
    record batches; the last of them has a note in its metadata. Others read the batches.

    Args:
        options: PyArrow's ``IpcWriteOptions``, such as a compression.
    """

    content_types: ClassVar[tuple[str, ...]] = ("application/vnd.apache.arrow.stream",)
    tables: ClassVar[Converter]

    def __init__(self, options: Any = None) -> None:
        self._options = options

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Buffer]:
        """Give the schema with the first item, and then the batches; the columns' memory is not copied."""
        writer = _StreamWriter(self.tables, self._options)
        for pieces in each(values, writer.add):
            yield from pieces
            del pieces
        yield from writer.end()

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        """Give each item over memory of its own."""
        pa, source = pyarrow(), Source(file)
        with damage(self.name, source):
            reader = pa.ipc.open_stream(pa.PythonFile(source, "r"))
        while True:
            with damage(self.name, source):
                found = _next_item(pa, reader)
                if found is None:
                    if source.tail != _END:
                        raise DecodeError(f"these bytes are no {self.name}: the stream has no end")
                    return
                value = self.tables.from_table(*found)
            del found
            yield value
            del value


def _next_item(pa: Any, reader: Any) -> tuple[Any, str] | None:
    """The table and the note of an item, None at the end."""
    batches: list[Any] = []
    while True:
        try:
            batch, metadata = reader.read_next_batch_with_custom_metadata()
        except StopIteration:
            if batches:
                raise ValueError("record batches that belong to no item") from None
            return None
        batch.validate(full=True)
        batches.append(batch)
        if metadata is not None and _NOTE in metadata:
            return pa.Table.from_batches(batches, reader.schema), metadata[_NOTE].decode()


class ArrowFile(Serializer):
    """A table as an Arrow IPC file, also known as Feather: columns are found without reading the others.

    Args:
        options: PyArrow's ``IpcWriteOptions``, such as a compression.
    """

    content_types: ClassVar[tuple[str, ...]] = ("application/vnd.apache.arrow.file",)
    tables: ClassVar[Converter]

    def __init__(self, options: Any = None) -> None:
        self._options = options

    def serialize(self, value: Any) -> Payload:
        """Give the file; the columns' memory is copied once."""
        writer = _FileWriter(self.tables, self._options)
        pieces = writer.add(value) + writer.end()
        return payload_of(pieces, self.content_types[0], {"note": writer.note})

    def deserialize(self, payload: Payload) -> Any:
        """Give the value over the payload's memory, as far as its library allows."""
        pa, data = pyarrow(), only_bytes(payload, self.name)
        with damage(self.name):
            table = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(data))).read_all()
            table.validate(full=True)
            return self.tables.from_table(table, str(payload.config["note"]))


class _FileWriter(_StreamWriter):
    note = ""

    def open(self, schema: Any) -> None:
        pa = pyarrow()
        self._writer = pa.ipc.new_file(pa.PythonFile(self.sink, "w"), schema, options=self._options)

    def write(self, table: Any, note: str) -> None:
        self.note = note
        for batch in _batches(table.unify_dictionaries()):  # a file has one dictionary for each column
            self._writer.write_batch(batch)
