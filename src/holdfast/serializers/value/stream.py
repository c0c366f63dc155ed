"""Streams of values of any kinds, each as ``holdfast.value@v1`` has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, ClassVar

from ...errors import DecodeError, UnsupportedValue
from ...payload import Buffer, Payload
from ..base import Serializer, StreamSerializer
from ..items import each, take

__all__ = ["ValueStreamSerializer"]

_MOST = 1 << 20  # buffers of an item
_PLAIN = 1 << 18  # an item of fewer bytes is one piece


class ValueStreamSerializer(StreamSerializer):
    """Items that ``holdfast.value@v1`` takes, also mixed: plain data, and what other serializers take that run no code.

    An item is the number of its buffers, the length of each, and the buffers; the numbers are of seven bits a byte,
    the lowest first, with the eighth bit where another one follows. A zero in place of an item ends the stream.

    Args:
        values: serializes an item.
    """

    name: ClassVar[str] = "holdfast.value-stream@v1"
    content_types: ClassVar[tuple[str, ...]] = ("application/vnd.holdfast.values",)

    def __init__(self, values: Serializer) -> None:
        self._values = values

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Buffer]:
        """Give each item behind its lengths; large buffers are given as they are."""
        for buffers in each(values, self._buffers):
            head = b"".join(map(_number, (len(buffers), *map(len, buffers))))
            if len(buffers) == 1 and len(buffers[0]) < _PLAIN:
                yield head + buffers[0]
            else:
                yield head
                yield from buffers
            del buffers
        yield b"\x00"

    def _buffers(self, value: Any) -> list[Buffer]:
        buffers = list(self._values.serialize(value).buffers)
        if len(buffers) > _MOST:
            raise UnsupportedValue(f"it has more than {_MOST} large parts")
        return buffers

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        """Give each item; arrays lie over memory of their own."""
        content_type = self._values.content_types[0]
        while count := self._number(file):
            if count > _MOST:
                raise DecodeError(f"these bytes are no {self.name}: an item of {count} parts")
            sizes = [self._number(file) for _ in range(count)]
            buffers: list[Buffer] = [take(file, size, f"these bytes are no {self.name}") for size in sizes]
            buffers[0] = bytes(buffers[0])
            yield self._values.deserialize(Payload(buffers, content_type))
            del buffers

    def _number(self, file: BinaryIO) -> int:
        number = shift = 0
        while True:
            byte = file.read(1)
            if not byte or shift > 56:
                raise DecodeError(f"these bytes are no {self.name}: they end, or have no length, where one should be")
            number |= (byte[0] & 127) << shift
            if byte[0] < 128:
                return number
            shift += 7


def _number(number: int) -> bytes:
    coded = bytearray()
    while number > 127:
        coded.append(number & 127 | 128)
        number >>= 7
    coded.append(number)
    return bytes(coded)
