"""Serializers that come with the face, with labox' methods as well; most leave the work to Holdfast's own."""

from __future__ import annotations

import json
from abc import abstractmethod
from asyncio import get_running_loop, to_thread
from collections.abc import AsyncGenerator, AsyncIterable, Collection, Iterator, Mapping
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO

from ....errors import InvalidArgumentError
from ....layout import lay_out, take_apart
from ....payload import Buffer, Payload
from ....storages.loops import at_home, drawn
from .serializer import SerializedData, SerializedDataStream, Serializer, StreamSerializer

__all__ = ["NativeSerializer", "NativeStreamSerializer", "OwnSerializer", "OwnStreamSerializer", "passed_over"]

_HELD = 1 << 23
_END: Any = object()


class OwnSerializer(Serializer):
    """Base of those that do the native contract's work: labox' methods are by that."""

    @abstractmethod
    def serialize(self, value: Any) -> Payload:
        """See the native contract."""

    @abstractmethod
    def deserialize(self, payload: Payload) -> Any:
        """See the native contract."""

    def serialize_data(self, value: Any, /) -> SerializedData[Any]:
        """The value as bytes; ``config`` says where its parts lie in them."""
        payload = self.serialize(value)
        layout = lay_out(payload)
        config = None if layout.config is None else json.loads(layout.config)
        return {
            "data": b"".join(layout.buffers), "content_type": payload.content_type,
            "content_encoding": payload.encoding, "config": config,
        }  # fmt: skip

    def deserialize_data(self, content: SerializedData[Any], /) -> Any:
        """The value back."""
        data, config = bytearray(content["data"]), content.get("config") or {}
        buffers = take_apart(memoryview(data), config, self.name) if "parts" in config else [bytes(data)]
        about = (content["content_type"], content["content_encoding"], config.get("config"))
        return self.deserialize(Payload(buffers, *about))


class NativeSerializer(OwnSerializer):
    """One that leaves the work to a native serializer, ``native``."""

    native: Any

    def serialize(self, value: Any) -> Payload:
        """See the native contract."""
        return self.native.serialize(value)  # type: ignore[no-any-return]

    def deserialize(self, payload: Payload) -> Any:
        """See the native contract."""
        return self.native.deserialize(payload)


class OwnStreamSerializer(StreamSerializer):
    """The same of streams."""

    def told(self, stream: AsyncIterable[Any]) -> dict[str, Any]:
        """A stream as a content that the store takes: its items go there as they are."""
        return {}

    @abstractmethod
    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Buffer]:
        """See the native contract."""

    @abstractmethod
    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        """See the native contract."""

    def serialize_data_stream(self, stream: AsyncIterable[Any], /) -> SerializedDataStream[Any]:
        """The stream as one of bytes."""
        return {"data_stream": self._pieces(stream), "content_type": self.content_types[0], "content_encoding": None}

    async def _pieces(self, stream: AsyncIterable[Any]) -> AsyncGenerator[bytes]:
        held = ExitStack()
        try:
            items = await to_thread(at_home, get_running_loop(), held.enter_context, drawn(stream))
            pieces = self.serialize_stream(items)
            while (piece := await to_thread(next, pieces, None)) is not None:
                yield bytes(piece)
        finally:
            await to_thread(held.close)

    async def deserialize_data_stream(self, content: SerializedDataStream[Any], /) -> AsyncGenerator[Any]:
        """The stream of values back; the bytes wait on disk, where there are many, until all have come."""
        with SpooledTemporaryFile(_HELD) as file:
            async for piece in content["data_stream"]:
                await to_thread(file.write, piece)
            file.seek(0)
            items = self.deserialize_stream(file)  # type: ignore[arg-type]
            while (item := await to_thread(next, items, _END)) is not _END:
                yield item


class NativeStreamSerializer(OwnStreamSerializer):
    """One that leaves the work to a native stream serializer, ``native``."""

    native: Any

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Buffer]:
        """See the native contract."""
        return self.native.serialize_stream(values)  # type: ignore[no-any-return]

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        """See the native contract."""
        return self.native.deserialize_stream(file)  # type: ignore[no-any-return]


def passed_over(
    component: Any, options: Mapping[str, Any] | None, names: Collection[str], off: Collection[str] = ()
) -> None:
    """Check that options are among these, which change nothing in what comes back, or are ``off`` and False.

    Raises:
        InvalidArgumentError: one is not.
    """
    for name, value in (options or {}).items():
        if name not in names and not (name in off and value is False):
            known = ", ".join(names) or "none"
            raise InvalidArgumentError(f"{component.name} does not take {name}; of options like it: {known}")
