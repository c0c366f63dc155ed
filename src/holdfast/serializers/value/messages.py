"""Plain MessagePack without extensions, for data that other programs are to read: one message, or one after the other.
Chosen by name only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, ClassVar

from msgpack import OutOfData, Packer, Unpacker

from ...errors import DecodeError, UnsupportedValue
from ...payload import Buffer, Payload
from ..base import Serializer, StreamSerializer
from ..items import each
from .decode import plain
from .encode import is_native

__all__ = ["MsgpackSerializer", "MsgpackStreamSerializer"]

_CONTENT_TYPE = "application/msgpack"
_STEP = 1 << 14  # bytes that are read at once, at least
_MOST = (1 << 31) - 1  # bytes of a message in a stream


class MsgpackSerializer(Serializer):
    """None, bool, integers of 64 bits, float, str, bytes, list and dict, nested in any way. What MessagePack would give
    back as something else (a tuple, a set) is :class:`~holdfast.errors.UnsupportedValue`."""

    name: ClassVar[str] = "holdfast.msgpack@v1"
    content_types: ClassVar[tuple[str, ...]] = (_CONTENT_TYPE,)

    def serialize(self, value: Any) -> Payload:
        """Give the message."""
        return Payload((_pack(value),), _CONTENT_TYPE)

    def deserialize(self, payload: Payload) -> Any:
        """Read the message; extensions are refused."""
        if len(payload.buffers) != 1:
            raise DecodeError(f"{self.name} reads one buffer, not {len(payload.buffers)}")
        return _unpack(payload.buffers[0], "the stored bytes are")


class MsgpackStreamSerializer(StreamSerializer):
    """A stream of values that :class:`MsgpackSerializer` takes, one message after the other. That messages at the end
    are missing is not seen in the bytes, but by the size and digest in the record."""

    name: ClassVar[str] = "holdfast.msgpack-stream@v1"
    content_types: ClassVar[tuple[str, ...]] = ("application/x-msgpack-stream",)

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Buffer]:
        """Give a message for each item."""
        return each(values, _pack)

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        """Read message by message."""
        held, number = b"", 0
        while True:
            piece = file.read(max(_STEP, len(held)))  # as much again, where one message is longer than what is here
            held += piece
            messages, at = Unpacker(max_buffer_size=_MOST), 0
            try:
                messages.feed(held)
                while True:
                    messages.skip()  # finds the end of a message, and makes nothing of what it claims to hold
                    end = messages.tell()
                    number += 1
                    yield _unpack(held[at:end], f"item {number} is")
                    at = end
            except OutOfData:
                held = held[at:]
            except (ValueError, BufferError) as error:
                if isinstance(error, DecodeError):
                    raise
                raise DecodeError(f"after item {number} the bytes are no MessagePack: {error}") from None
            if not piece:
                break
        if held:
            raise DecodeError(f"the bytes end in the middle of item {number + 1}")


def _pack(value: Any) -> bytes:
    try:
        packed: bytes = Packer(strict_types=True).pack(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnsupportedValue(f"MessagePack would not give back this {type(value).__name__}: {error}") from None
    if len(packed) > _MOST or not is_native(value, large=False):
        raise UnsupportedValue(f"MessagePack would not keep all of this {type(value).__name__}, or it is too large")
    return packed


def _unpack(data: Buffer, what: str) -> Any:
    try:
        return plain(data)
    except MemoryError:
        raise
    except Exception as error:
        raise DecodeError(f"{what} not the MessagePack of a value: {error}") from None
