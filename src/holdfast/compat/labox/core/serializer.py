"""The contracts of serializers: whole values, and streams of them."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from typing import Any, BinaryIO, ClassVar, Generic, NotRequired, TypedDict, TypeVar

from ....errors import EncodeError
from ....payload import Buffer, Payload
from ....serializers.base import Serializer as NativeSerializer
from ....serializers.base import StreamSerializer as NativeStreamSerializer
from .component import Component

__all__ = ["SerializedData", "SerializedDataStream", "Serializer", "StreamSerializer"]

C = TypeVar("C")

_PIECE = 1 << 20


class _Described(TypedDict, Generic[C]):
    content_encoding: str | None
    content_type: str
    config: NotRequired[C]


class SerializedData(_Described[C], Generic[C]):
    """A value as bytes; ``config`` is what reading them needs beside."""

    data: bytes


class SerializedDataStream(_Described[C], Generic[C]):
    """A stream of values as one of bytes."""

    data_stream: AsyncIterator[bytes]


class _Configured(Component):
    content_types: ClassVar[tuple[str, ...]] = ()

    def serialize_config(self, config: Any) -> str:
        """What reading needs beside the bytes, as JSON text."""
        return json.dumps(config, separators=(",", ":"), allow_nan=False)

    def deserialize_config(self, config: str) -> Any:
        """The same back from that text."""
        return json.loads(config)


class Serializer(_Configured, NativeSerializer):
    """Turns values of ``types``, and of classes below them, into bytes and back."""

    types: ClassVar[Any] = ()

    @abstractmethod
    def serialize_data(self, value: Any, /) -> SerializedData[Any]:
        """The value as bytes."""

    @abstractmethod
    def deserialize_data(self, content: SerializedData[Any], /) -> Any:
        """The value back."""

    def serialize(self, value: Any) -> Payload:
        """See the native contract; ``encoding`` is whatever the author gives, and no compression of the store's."""
        content = self.serialize_data(value)
        data, content_type, encoding = _described(self, content, "data")
        if not isinstance(data, bytes | bytearray | memoryview):
            raise EncodeError(f"{self.name} gave {type(data).__name__} as data, not bytes")
        return Payload((bytes(data),), content_type, encoding, self.serialize_config(content.get("config")))

    def deserialize(self, payload: Payload) -> Any:
        """See the native contract; errors are the author's own."""
        config = None if payload.config is None else self.deserialize_config(payload.config)
        data = bytes(payload.buffers[0])
        return self.deserialize_data(
            {"data": data, "content_type": payload.content_type, "content_encoding": payload.encoding, "config": config}
        )


def _described(serializer: Any, content: Any, what: str) -> tuple[Any, str, str | None]:
    """The parts of what an author's serializer gave.

    Raises:
        EncodeError: it gave something else.
    """
    try:
        data, content_type, encoding = content[what], content["content_type"], content.get("content_encoding")
    except (TypeError, LookupError, AttributeError):
        data, content_type, encoding = None, None, None
    if not isinstance(content_type, str) or not isinstance(encoding, str | None):
        raise EncodeError(
            f"{serializer.name} gave {content!r}, not {{{what!r}: …, 'content_type': …, 'content_encoding': …}}"
        )
    return data, content_type, encoding


class StreamSerializer(_Configured, NativeStreamSerializer):
    """Turns asynchronous streams of such values into streams of bytes and back. To the store its items are the pieces
    of these bytes: the author's own methods run in the event loop of who saves and loads."""

    types: ClassVar[Any] = ()

    @abstractmethod
    def serialize_data_stream(self, stream: AsyncIterable[Any], /) -> SerializedDataStream[Any]:
        """The stream as one of bytes."""

    @abstractmethod
    def deserialize_data_stream(self, content: SerializedDataStream[Any], /) -> AsyncGenerator[Any]:
        """The stream of values back."""

    def told(self, stream: AsyncIterable[Any]) -> dict[str, Any]:
        """A stream as a content that the store takes."""
        content = self.serialize_data_stream(stream)
        pieces, content_type, encoding = _described(self, content, "data_stream")
        config = [encoding, content_type, self.serialize_config(content.get("config"))]
        return {"value_stream": pieces, "serializer": self.name, "content_type": content_type, "config": config}

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Buffer]:
        """See the native contract."""
        return values

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        """See the native contract."""
        return iter(lambda: file.read1(_PIECE), b"")  # type: ignore[attr-defined]
