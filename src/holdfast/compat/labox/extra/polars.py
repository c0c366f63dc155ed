"""Polars' frames as Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypedDict

import polars as pl

from ....serializers.polars.tables import PolarsParquetSerializer
from ..core.own import NativeSerializer, passed_over

__all__ = ["ParquetDataFrameSerializer", "ParquetDumpArgs", "ParquetLoadArgs", "parquet_dataframe_serializer"]

_WRITTEN = {
    "compression": "compression", "compression_level": "compression_level", "statistics": "write_statistics",
    "data_page_size": "data_page_size",
}  # fmt: skip
_ABOUT_WRITING = "row_group_size", "use_pyarrow", "credential_provider", "retries"
_ABOUT_READING = (
    "parallel", "use_statistics", "hive_partitioning", "glob", "try_parse_hive_dates", "rechunk", "low_memory",
    "credential_provider", "retries", "use_pyarrow", "memory_map", "allow_missing_columns",
)  # fmt: skip


class ParquetDumpArgs(TypedDict, total=False):
    """Options of ``DataFrame.write_parquet``."""

    compression: str
    compression_level: int | None
    statistics: bool | str | dict[str, bool]
    row_group_size: int | None
    data_page_size: int | None
    use_pyarrow: bool
    pyarrow_options: dict[str, Any] | None
    partition_by: str | Sequence[str] | None
    partition_chunk_size_bytes: int
    credential_provider: Any
    retries: int


class ParquetLoadArgs(TypedDict, total=False):
    """Options of ``polars.read_parquet``."""

    columns: list[int] | list[str] | None
    n_rows: int | None
    row_index_name: str | None
    row_index_offset: int
    parallel: str
    use_statistics: bool
    hive_partitioning: bool | None
    glob: bool
    try_parse_hive_dates: bool
    rechunk: bool
    low_memory: bool
    credential_provider: Any
    retries: int
    use_pyarrow: bool
    pyarrow_options: dict[str, Any] | None
    memory_map: bool
    include_file_paths: str | None
    allow_missing_columns: bool


class ParquetDataFrameSerializer(NativeSerializer):
    """Frames as Parquet.

    Args:
        dump_args: of which those of compression, statistics and pages are heeded.
        load_args: those about memory and requests, which are not heeded.

    Raises:
        InvalidArgumentError: others, as they would change what comes back.
    """

    name = "labox.polars.parquet.file@v1"
    types: ClassVar[Any] = (pl.DataFrame,)
    content_types = PolarsParquetSerializer.content_types

    def __init__(self, *, dump_args: ParquetDumpArgs | None = None, load_args: ParquetLoadArgs | None = None) -> None:
        passed_over(self, dump_args, [*_WRITTEN, *_ABOUT_WRITING])
        passed_over(self, load_args, _ABOUT_READING)
        options = {_WRITTEN[name]: value for name, value in (dump_args or {}).items() if name in _WRITTEN}
        if options.get("compression") == "uncompressed":
            options["compression"] = "none"
        self.native = PolarsParquetSerializer(**options)


parquet_dataframe_serializer = ParquetDataFrameSerializer()
"""The usual one."""
