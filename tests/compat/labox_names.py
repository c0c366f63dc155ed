"""The names that labox 0.1 has, by module."""

from __future__ import annotations

__all__ = ["NAMES"]

_TEXT = """
builtin: CsvOptions CsvSerializer DatabaseStorage FileStorage Iso8601Serializer JsonSerializer JsonStreamSerializer
  MemoryStorage StorableDataclass StorableStream StorableValue csv_serializer database_storage file_storage
  iso8601_serializer json_serializer json_stream_serializer memory_storage
builtin.serializers: CsvOptions CsvSerializer Iso8601Serializer JsonSerializer JsonStreamSerializer csv_serializer
  iso8601_serializer json_serializer json_stream_serializer
builtin.serializers.csv: CsvOptions CsvSerializer csv_serializer
builtin.serializers.datetime: Iso8601Serializer iso8601_serializer
builtin.serializers.json: JSON_TYPES JsonSerializer JsonStreamSerializer json_serializer json_stream_serializer
builtin.storables: StorableDataclass StorableStream StorableValue
builtin.storables.dataclasses: StorableDataclass StorableDataclassUnpacker
builtin.storables.simple: StorableStream StorableStreamUnpacker StorableValue StorableValueUnpacker
builtin.storages: DatabaseStorage FileStorage MemoryStorage database_storage file_storage memory_storage
builtin.storages.database: DatabaseStorage database_storage
builtin.storages.file: FileStorage file_storage
builtin.storages.memory: MemoryStorage memory_storage
common.anyio: TaskFuture
common.exceptions: NoStorageData NotRegistered
common.types: JsonType TagMap
core: BaseRecord ContentRecord DataLoader DataSaver Digest GetStreamDigest ManifestRecord Registry SerializedData
  SerializedDataStream Serializer Storage StreamDigest StreamSerializer UnpackedValue UnpackedValueStream Unpacker
  load_one new_loader new_saver save_one
core.api.loader: DataLoader load_one new_loader
core.api.saver: DataSaver new_saver save_one
core.database: BaseRecord ContentRecord ManifestRecord SerializerTypeEnum
core.registry: Registry
core.serializer: SerializedData SerializedDataStream Serializer StreamSerializer
core.storable: Storable StorableConfig StorableConfigDict
core.storage: Digest GetStreamDigest Storage StreamDigest
core.unpacker: AnyUnpackedValue UnpackedValue UnpackedValueStream Unpacker
extra.aws: S3Pointer S3Router S3Storage simple_s3_router
extra.azure: BlobPointer BlobRouter BlobStorage simple_blob_router
extra.google: BlobPointer BlobRouter BlobStorage simple_blob_router
extra.imageio: Media MediaSerializer media_serializer
extra.msgpack: MSG_PACK_TYPES MsgPackSerializer MsgPackStreamSerializer MsgPackType msgpack_serializer
  msgpack_stream_serializer
extra.numpy: NpyDumpArgs NpyLoadArgs NpySerializer npy_serializer
extra.pandas: ArrowDataFrameSerializer ArrowDataFrameStreamSerializer ParquetDataFrameSerializer
  ParquetDataFrameStreamSerializer ParquetReadOptions ParquetWriteOptions arrow_dataframe_serializer
  arrow_dataframe_stream_serializer parquet_dataframe_serializer parquet_dataframe_stream_serializer
extra.plotly: FigureDumpArgs FigureLoadArgs FigureSerializer figure_serializer
extra.polars: ParquetDataFrameSerializer ParquetDumpArgs ParquetLoadArgs parquet_dataframe_serializer
extra.pyarrow: ArrowRecordBatchStreamSerializer ArrowTableSerializer ParquetReadOptions
  ParquetRecordBatchStreamSerializer ParquetTableSerializer ParquetWriteOptions arrow_record_batch_stream_serializer
  arrow_table_serializer parquet_record_batch_stream_serializer parquet_table_serializer
extra.pydantic: StorableModel StorableModelUnpacker StorableSpec
"""

NAMES = {
    module: names.split()
    for module, _, names in (entry.partition(": ") for entry in _TEXT.replace("\n  ", " ").strip().splitlines())
}
"""Of each module those that programs import."""
