"""Arrow tables and record batches, in Arrow's formats and in Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypedDict

import pyarrow as pa

from ....serializers.arrow import tables
from ..core.own import NativeSerializer, NativeStreamSerializer, passed_over

__all__ = [
    "ArrowRecordBatchStreamSerializer", "ArrowSerializer", "ArrowTableSerializer", "ParquetReadOptions",
    "ParquetRecordBatchStreamSerializer", "ParquetSerializer", "ParquetTableSerializer", "ParquetWriteOptions",
    "arrow_record_batch_stream_serializer", "arrow_table_serializer", "parquet_record_batch_stream_serializer",
    "parquet_table_serializer",
]  # fmt: skip

_ABOUT_READING = (
    "memory_map", "buffer_size", "pre_buffer", "thrift_string_size_limit", "thrift_container_size_limit",
    "page_checksum_verification",
)  # fmt: skip


class ParquetWriteOptions(TypedDict, total=False):
    """Options of ``pyarrow.parquet.ParquetWriter``."""

    version: str
    use_dictionary: bool | list[str]
    compression: Literal["NONE", "SNAPPY", "GZIP", "BROTLI", "LZ4", "ZSTD"] | dict[str, str]
    write_statistics: bool | list[str]
    coerce_timestamps: str
    allow_truncated_timestamps: bool
    data_page_size: int
    flavor: str
    filesystem: Any
    compression_level: int | dict[str, int]
    use_byte_stream_split: bool | list[str]
    column_encoding: str | dict[str, str]
    data_page_version: str
    use_compliant_nested_type: bool
    encryption_properties: Any
    write_batch_size: int
    dictionary_pagesize_limit: int
    store_schema: bool
    write_page_index: bool
    write_page_checksum: bool
    sorting_columns: Sequence[Any]
    store_decimal_as_integer: bool


class ParquetReadOptions(TypedDict, total=False):
    """Options of ``pyarrow.parquet.ParquetFile``."""

    metadata: Any
    common_metadata: Any
    read_dictionary: list[str]
    memory_map: bool
    buffer_size: int
    pre_buffer: bool
    coerce_int96_timestamp_unit: str
    decryption_properties: Any
    thrift_string_size_limit: int
    thrift_container_size_limit: int
    filesystem: Any
    page_checksum_verification: bool


class ArrowSerializer:
    """In Arrow's own format.

    Args:
        write_options: PyArrow's ``IpcWriteOptions``.
        read_options: of which none may be given, as they would change what comes back.
    """

    kind: ClassVar[Any]

    def __init__(self, write_options: Any = None, read_options: Any = None) -> None:
        passed_over(self, None if read_options is None else {"read_options": read_options}, ())
        self.native = self.kind(write_options)


class ParquetSerializer:
    """In Parquet. Options that would change what comes back are an error when a value is written.

    Args:
        write_options, write_option_extras: of ``ParquetWriter``.
        read_options: those about buffers and limits, which are not heeded.

    Raises:
        InvalidArgumentError: others of ``read_options``.
    """

    kind: ClassVar[Any]

    def __init__(
        self,
        *,
        write_options: ParquetWriteOptions | None = None,
        write_option_extras: Mapping[str, Any] | None = None,
        read_options: ParquetReadOptions | None = None,
    ) -> None:
        passed_over(self, read_options, _ABOUT_READING)
        self.native = self.kind(**(write_options or {}), **(write_option_extras or {}))


class ArrowTableSerializer(ArrowSerializer, NativeSerializer):
    """Tables as a file."""

    name = "labox.pyarrow.arrow.file@v1"
    kind = tables.ArrowFileSerializer
    types = (pa.Table,)
    content_types = kind.content_types


class ArrowRecordBatchStreamSerializer(ArrowSerializer, NativeStreamSerializer):
    """Streams of record batches."""

    name = "labox.arrow.record_batch.stream@v1"
    kind = tables.ArrowStreamSerializer
    types = (pa.RecordBatch,)
    content_types = kind.content_types


class ParquetTableSerializer(ParquetSerializer, NativeSerializer):
    """Tables."""

    name = "labox.pyarrow.parquet@v1"
    kind = tables.ParquetSerializer
    types = (pa.Table,)
    content_types = kind.content_types


class ParquetRecordBatchStreamSerializer(ParquetSerializer, NativeStreamSerializer):
    """Streams of record batches as one file."""

    name = "labox.arrow.parquet.record_batch.stream@v1"
    kind = tables.ParquetStreamSerializer
    types = (pa.RecordBatch,)
    content_types = kind.content_types
    random_access = True


arrow_table_serializer = ArrowTableSerializer()
"""The usual one."""

arrow_record_batch_stream_serializer = ArrowRecordBatchStreamSerializer()
"""The usual one."""

parquet_table_serializer = ParquetTableSerializer()
"""The usual one."""

parquet_record_batch_stream_serializer = ParquetRecordBatchStreamSerializer()
"""The usual one."""
