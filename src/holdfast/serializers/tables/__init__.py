"""What serializers of tables stand on: the formats of Arrow and Parquet, whole and as streams, for whatever a
:class:`Converter` makes tables of."""

from __future__ import annotations

from .base import Converter, pyarrow
from .ipc import ArrowFile, ArrowStream
from .parquet import Parquet, ParquetStream

__all__ = ["ArrowFile", "ArrowStream", "Converter", "Parquet", "ParquetStream", "pyarrow"]
