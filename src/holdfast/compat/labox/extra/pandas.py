"""pandas' frames, in Arrow's formats and in Parquet."""

from __future__ import annotations

import pandas as pd

from ....serializers.pandas import tables
from ..core.own import NativeSerializer, NativeStreamSerializer
from .pyarrow import ArrowSerializer, ParquetSerializer
from .pyarrow import ParquetReadOptions as ParquetReadOptions
from .pyarrow import ParquetWriteOptions as ParquetWriteOptions

__all__ = [
    "ArrowDataFrameSerializer", "ArrowDataFrameStreamSerializer", "ParquetDataFrameSerializer",
    "ParquetDataFrameStreamSerializer", "arrow_dataframe_serializer", "arrow_dataframe_stream_serializer",
    "parquet_dataframe_serializer", "parquet_dataframe_stream_serializer",
]  # fmt: skip


class ArrowDataFrameSerializer(ArrowSerializer, NativeSerializer):
    """Frames as a file of Arrow's."""

    name = "labox.pandas.arrow.file@v1"
    kind = tables.PandasArrowFileSerializer
    types = (pd.DataFrame,)
    content_types = kind.content_types


class ArrowDataFrameStreamSerializer(ArrowSerializer, NativeStreamSerializer):
    """Streams of frames of the same columns."""

    name = "labox.pandas.arrow.stream@v1"
    kind = tables.PandasArrowStreamSerializer
    types = (pd.DataFrame,)
    content_types = kind.content_types


class ParquetDataFrameSerializer(ParquetSerializer, NativeSerializer):
    """Frames as Parquet."""

    name = "labox.pandas.parquet.file@v1"
    kind = tables.PandasParquetSerializer
    types = (pd.DataFrame,)
    content_types = kind.content_types


class ParquetDataFrameStreamSerializer(ParquetSerializer, NativeStreamSerializer):
    """Streams of frames of the same columns as one file."""

    name = "labox.pandas.parquet.stream@v1"
    kind = tables.PandasParquetStreamSerializer
    types = (pd.DataFrame,)
    content_types = kind.content_types
    random_access = True


arrow_dataframe_serializer = ArrowDataFrameSerializer()
"""The usual one."""

arrow_dataframe_stream_serializer = ArrowDataFrameStreamSerializer()
"""The usual one."""

parquet_dataframe_serializer = ParquetDataFrameSerializer()
"""The usual one."""

parquet_dataframe_stream_serializer = ParquetDataFrameStreamSerializer()
"""The usual one."""
