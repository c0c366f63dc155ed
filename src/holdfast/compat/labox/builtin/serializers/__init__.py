"""Serializers that come with labox."""

from __future__ import annotations

from .csv import CsvOptions, CsvSerializer, csv_serializer
from .datetime import Iso8601Serializer, iso8601_serializer
from .json import JsonSerializer, JsonStreamSerializer, json_serializer, json_stream_serializer

__all__ = [
    "CsvOptions", "CsvSerializer", "Iso8601Serializer", "JsonSerializer", "JsonStreamSerializer", "csv_serializer",
    "iso8601_serializer", "json_serializer", "json_stream_serializer",
]  # fmt: skip
