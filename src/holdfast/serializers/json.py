"""JSON text, for values that other languages and tools are to read, and lines of it. Chosen by name only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, ClassVar

from ..errors import DecodeError
from ..payload import Buffer, Payload
from .base import Serializer, StreamSerializer
from .exact_json import dump, load
from .items import each

__all__ = ["JsonLinesSerializer", "JsonSerializer"]


class JsonSerializer(Serializer):
    """None, bool, int, finite float, str, list, and dict with str keys. Anything that JSON would not give back exactly
    (a tuple, NaN, a number as key) is :class:`~holdfast.errors.UnsupportedValue`, with the path to it."""

    name: ClassVar[str] = "holdfast.json@v1"
    types: ClassVar[tuple[str, ...]] = ()
    content_types: ClassVar[tuple[str, ...]] = ("application/json",)

    def serialize(self, value: Any) -> Payload:
        """Give compact JSON in UTF-8; keys stay in their order."""
        return Payload((dump(value),), "application/json")

    def deserialize(self, payload: Payload) -> Any:
        """Read strictly: no NaN, no equal keys, no other encoding than UTF-8."""
        if len(payload.buffers) != 1:
            raise DecodeError(f"{self.name} reads one buffer, not {len(payload.buffers)}")
        return load(payload.buffers[0], "the stored bytes are not the JSON of a value")


class JsonLinesSerializer(StreamSerializer):
    """A stream of values that :class:`JsonSerializer` takes, one a line. That lines at the end are missing is not seen
    in the bytes, but by the size and digest in the record."""

    name: ClassVar[str] = "holdfast.json-lines@v1"
    content_types: ClassVar[tuple[str, ...]] = ("application/jsonl",)

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Buffer]:
        """Give each item as compact JSON with a line feed."""
        for line in each(values, dump):
            yield line + b"\n"

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        """Read each line strictly; the last one has its line feed, too."""
        for number, line in enumerate(file, 1):
            problem = f"line {number} is not the JSON of a value"
            if line[-1:] != b"\n":
                raise DecodeError(f"{problem}: it has no end")
            yield load(line, problem)
