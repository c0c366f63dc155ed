"""JSON text, for values that other languages and tools are to read, and lines of it. Chosen by name only."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, BinaryIO, ClassVar

from ..errors import DecodeError, UnsupportedValue
from ..payload import Buffer, Payload
from .base import Serializer, StreamSerializer
from .items import each

__all__ = ["JsonLinesSerializer", "JsonSerializer"]

_MAX_DEPTH = 200
_LIMIT = 10**640  # Python converts this many digits whatever limit a program sets


class JsonSerializer(Serializer):
    """None, bool, int, finite float, str, list, and dict with str keys. Anything that JSON would not give back exactly
    (a tuple, NaN, a number as key) is :class:`~holdfast.errors.UnsupportedValue`, with the path to it."""

    name: ClassVar[str] = "holdfast.json@v1"
    types: ClassVar[tuple[str, ...]] = ()
    content_types: ClassVar[tuple[str, ...]] = ("application/json",)

    def serialize(self, value: Any) -> Payload:
        """Give compact JSON in UTF-8; keys stay in their order."""
        return Payload((_dump(value),), "application/json")

    def deserialize(self, payload: Payload) -> Any:
        """Read strictly: no NaN, no equal keys, no other encoding than UTF-8."""
        if len(payload.buffers) != 1:
            raise DecodeError(f"{self.name} reads one buffer, not {len(payload.buffers)}")
        return _load(payload.buffers[0], "the stored bytes are not the JSON of a value")


class JsonLinesSerializer(StreamSerializer):
    """A stream of values that :class:`JsonSerializer` takes, one a line. That lines at the end are missing is not seen
    in the bytes, but by the size and digest in the record."""

    name: ClassVar[str] = "holdfast.json-lines@v1"
    content_types: ClassVar[tuple[str, ...]] = ("application/jsonl",)

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Buffer]:
        """Give each item as compact JSON with a line feed."""
        for line in each(values, _dump):
            yield line + b"\n"

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        """Read each line strictly; the last one has its line feed, too."""
        for number, line in enumerate(file, 1):
            problem = f"line {number} is not the JSON of a value"
            if line[-1:] != b"\n":
                raise DecodeError(f"{problem}: it has no end")
            yield _load(line, problem)


def _dump(value: Any) -> bytes:
    _check(value, "value", 0)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UnsupportedValue("a str inside the value has a lone surrogate: it is no UTF-8") from None


def _load(data: Buffer, problem: str) -> Any:
    try:
        text = str(data, "utf-8")
        return json.loads(text, parse_constant=_refuse, parse_float=_float, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"{problem}: {error}") from None


def _check(value: Any, path: str, depth: int) -> None:
    kind = type(value)
    if kind is dict or kind is list:
        if depth > _MAX_DEPTH:
            raise UnsupportedValue(f"the value is nested more than {_MAX_DEPTH} levels deep, or refers to itself")
        for key, item in value.items() if kind is dict else enumerate(value):
            if kind is dict and type(key) is not str:
                raise UnsupportedValue(f"JSON cannot hold a key of type {type(key).__name__}, in {path}")
            if type(item) is not str:
                _check(item, f"{path}[{key!r}]", depth + 1)
    elif kind is float:
        if not math.isfinite(value):
            raise UnsupportedValue(f"JSON cannot hold {value}, at {path}")
    elif kind is int:
        if not -_LIMIT < value < _LIMIT:
            raise UnsupportedValue(f"the integer at {path} has more than 640 digits")
    elif kind is not str and kind is not bool and value is not None:
        raise UnsupportedValue(f"JSON would not give back the {kind.__name__} at {path}")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object with equal keys")
    return result
