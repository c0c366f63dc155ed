"""JSON."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any, BinaryIO, ClassVar

from .....errors import DecodeError, UnsupportedValue
from .....payload import Buffer, Payload
from .....registry import VALUE
from .....registry import Registry as NativeRegistry
from .....serializers.exact_json import dump, load
from .....serializers.items import each
from .....storable.base import full_name
from ...core.own import OwnSerializer, OwnStreamSerializer

__all__ = ["JSON_TYPES", "JsonSerializer", "JsonStreamSerializer", "json_serializer", "json_stream_serializer"]

JSON_TYPES = (int, str, float, bool, type(None), dict, list, tuple)
"""The types of JSON values."""

_MARK = "holdfast"
_MARKED = f'"{_MARK}"'.encode()


class _Json:
    """Text of values. In it ``{"holdfast": [...]}`` stands for a plain value that JSON would give back as another: for
    a tuple, for a dict with other keys, or, as ``holdfast.value@v1`` has it in base64, for a number or moment.

    Args:
        encoder, decoder: of an author's own, who then says what comes back.
    """

    types: ClassVar[Any] = JSON_TYPES
    content_types: ClassVar[tuple[str, ...]] = ("application/json",)

    def __init__(self, encoder: json.JSONEncoder | None = None, decoder: json.JSONDecoder | None = None) -> None:
        self.encoder, self.decoder = encoder, decoder

    @property
    def keeps_plain_values(self) -> bool:
        """Whether all plain values come back as they were."""
        return self.encoder is None and self.decoder is None

    def _dump(self, value: Any) -> bytes:
        if self.encoder is not None:
            return self.encoder.encode(value).encode()
        try:
            data = dump(value)
            if _MARKED not in data:
                return data
        except UnsupportedValue:
            pass
        try:
            return dump(_marked(value, "value"))
        except RecursionError:
            raise UnsupportedValue("the value is nested too deeply, or refers to itself") from None

    def _load(self, data: Buffer, problem: str) -> Any:
        if self.decoder is not None:
            return self.decoder.decode(str(data, "utf-8"))
        value = load(data, problem)
        return value if _MARKED not in bytes(data) else _plain(value, problem)


class JsonSerializer(_Json, OwnSerializer):
    """JSON values."""

    name = "labox.json.value@v1"

    def serialize(self, value: Any) -> Payload:
        """Give the text."""
        return Payload((self._dump(value),), "application/json")

    def deserialize(self, payload: Payload) -> Any:
        """Read it."""
        return self._load(b"".join(payload.buffers), "the stored bytes are not the JSON of a value")


class JsonStreamSerializer(_Json, OwnStreamSerializer):
    """Streams of them, as an array with an item a line."""

    name = "labox.json.stream@v1"

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Buffer]:
        """Give each item as a line, without the line feeds that an encoder puts between parts of it."""
        before = b"["
        for data in each(values, self._dump):
            yield before + b"\n" + data.replace(b"\n", b" ")
            before = b","
        yield b"[]" if before == b"[" else b"\n]"

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        """Read each line."""
        line, number = file.readline(), 0
        if line == b"[\n":
            while (line := file.readline()) and line != b"]":
                number += 1
                yield self._load(line.rstrip(b",\n"), f"item {number} is not the JSON of a value")
        if line != (b"]" if number else b"[]") or file.read(1):
            raise DecodeError(f"the array of values does not end behind item {number}")


def _marked(value: Any, path: str) -> Any:
    kind = type(value)
    if kind is list or kind is tuple:
        items = [_marked(item, f"{path}[{number}]") for number, item in enumerate(value)]
        return items if kind is list else {_MARK: ["tuple", *items]}
    if kind is dict:
        values = {key: _marked(item, f"{path}[{key!r}]") for key, item in value.items()}
        if values.keys() != {_MARK} and all(type(key) is str for key in values):
            return values
        return {_MARK: ["dict", *([_marked(key, f"a key in {path}"), item] for key, item in values.items())]}
    try:
        dump(value)
        return value
    except UnsupportedValue:
        registry = NativeRegistry.default()
        if registry.for_type(kind) is None:
            raise UnsupportedValue(f"JSON would not give back the {full_name(kind)} at {path}") from None
    payload = registry.serializer(VALUE).serialize(value)
    if len(payload.buffers) > 1:
        raise UnsupportedValue(f"the {full_name(kind)} at {path} is too large to stand in JSON")
    return {_MARK: ["value", b64encode(payload.buffers[0]).decode()]}


def _plain(value: Any, problem: str) -> Any:
    if type(value) is list:
        return [_plain(item, problem) for item in value]
    if type(value) is not dict:
        return value
    if value.keys() != {_MARK}:
        return {key: _plain(item, problem) for key, item in value.items()}
    try:
        what, *items = value[_MARK]
        if what == "tuple":
            return tuple([_plain(item, problem) for item in items])
        if what == "dict":
            return {_plain(key, problem): _plain(item, problem) for key, item in items}
        if what != "value":
            raise ValueError(f"unknown mark {what!r}")
        (text,) = items
        payload = Payload((b64decode(text, validate=True),), "application/msgpack")
    except (TypeError, ValueError) as error:
        raise DecodeError(f"{problem}: {error}") from None
    return NativeRegistry.default().serializer(VALUE).deserialize(payload)


json_serializer = JsonSerializer()
"""The usual one."""

json_stream_serializer = JsonStreamSerializer()
"""The usual one."""
