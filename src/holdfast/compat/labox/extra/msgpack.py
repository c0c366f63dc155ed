"""MessagePack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, ClassVar

from msgpack import Packer, Unpacker

from ....payload import Buffer, Payload
from ....serializers.value.messages import MsgpackSerializer, MsgpackStreamSerializer
from ..core.own import NativeSerializer, NativeStreamSerializer

__all__ = [
    "MSG_PACK_TYPES", "MsgPackSerializer", "MsgPackStreamSerializer", "MsgPackType", "msgpack_serializer",
    "msgpack_stream_serializer",
]  # fmt: skip

MsgPackType = Any
"""What MessagePack has: None, bool, int, float, str, bytes, and lists and dicts of them."""

MSG_PACK_TYPES = (int, str, float, bool, type(None), dict, list)
"""The types of such values."""

_CONTENT_TYPE = "application/msgpack"
_PIECE = 1 << 16


class _MsgPack:
    """Values as messages.

    Args:
        packer, unpacker: make those of an author's own, who then says what comes back.
    """

    types: ClassVar[Any] = MSG_PACK_TYPES
    content_types: ClassVar[tuple[str, ...]] = (_CONTENT_TYPE,)

    def __init__(
        self, *, packer: Callable[[], Packer] | None = None, unpacker: Callable[[], Unpacker] | None = None
    ) -> None:
        self._packer, self._unpacker = packer, unpacker


class MsgPackSerializer(_MsgPack, NativeSerializer):
    """Values as one message."""

    name = "labox.msgpack.value@v1"
    native = MsgpackSerializer()

    def serialize(self, value: Any) -> Payload:
        """Give the message."""
        return (
            super().serialize(value) if self._packer is None else Payload((self._packer().pack(value),), _CONTENT_TYPE)
        )

    def deserialize(self, payload: Payload) -> Any:
        """Read it."""
        if self._unpacker is None:
            return super().deserialize(payload)
        unpacker = self._unpacker()
        unpacker.feed(b"".join(payload.buffers))
        return unpacker.unpack()


class MsgPackStreamSerializer(_MsgPack, NativeStreamSerializer):
    """Streams of values as one message each."""

    name = "labox.msgpack.stream@v1"
    native = MsgpackStreamSerializer()

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Buffer]:
        """Give each message."""
        return super().serialize_stream(values) if self._packer is None else map(self._packer().pack, values)

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        """Read each message."""
        if self._unpacker is None:
            yield from super().deserialize_stream(file)
            return
        unpacker = self._unpacker()
        while piece := file.read(_PIECE):
            unpacker.feed(piece)
            yield from unpacker


msgpack_serializer = MsgPackSerializer()
"""The usual one."""

msgpack_stream_serializer = MsgPackStreamSerializer()
"""The usual one."""
