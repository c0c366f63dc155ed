"""Storages of Holdfast's own, with labox' methods as well."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any, ClassVar, Self

from ....hashing import BLAKE3, digest_buffers, hasher
from ....payload import Payload
from ....storages.base import Storage as NativeStorage
from ..common.types import TagMap
from .storage import Digest, GetStreamDigest, Storage

__all__ = ["OwnStorage"]

_METHODS = "write_data", "read_data", "write_data_stream", "read_data_stream"


class OwnStorage(Storage, NativeStorage):
    """A storage whose bytes Holdfast writes and reads itself: mapped, hashed beside, and collected.

    Attributes:
        url: by which a catalog knows the place; "" where configs say it.
    """

    ephemeral: ClassVar[bool] = False
    url: str = ""

    @property
    def is_altered(self) -> bool:
        """Whether a class below has methods of its own, which are then to be called."""
        kind, own = type(self), OwnStorage
        return any(getattr(kind, name) is not getattr(own, name) for name in _METHODS)

    def of(self, store: str) -> Self:
        """The same for a store of that id. As each collects what it does not need, those that share a place must not
        share a folder in it."""
        return self

    def located(self, config: Any) -> Any:
        """A native config with all that is needed to read it, wherever this storage is."""
        return config

    def found(self, config: Any) -> tuple[NativeStorage, Any]:
        """Where it is: a storage, and the config there."""
        return self, config

    async def write_data(self, data: bytes, digest: Digest, tags: TagMap, /) -> Any:
        """Write bytes, and give their config."""
        payload = Payload((data,), digest["content_type"], digest["content_encoding"])
        known = digest_buffers((data,), len(data))
        return self.located(await to_thread(self.write, payload, lambda: known, tags))

    async def read_data(self, config: Any, /) -> bytes:
        """The bytes of a config."""
        storage, config = self.found(config)
        return bytes(await to_thread(storage.read, config))

    async def write_data_stream(
        self, data_stream: AsyncIterable[bytes], get_digest: GetStreamDigest, tags: TagMap, /
    ) -> Any:
        """Write a stream, and give its config."""
        known, state = get_digest(allow_incomplete=True), hasher(BLAKE3)
        kind = {"content_type": known["content_type"], "encoding": known["content_encoding"]}
        with await to_thread(self.writer, tags, **kind) as writer:  # type: ignore[arg-type]
            async for piece in data_stream:
                state.update(piece)
                await to_thread(writer.write, piece)
            return self.located(await to_thread(writer.commit, lambda: (BLAKE3, state.digest())))

    async def read_data_stream(self, config: Any, /) -> AsyncGenerator[bytes]:
        """The bytes of a config, in pieces."""
        storage, config = self.found(config)
        pieces = storage.read_stream(config)
        while piece := await to_thread(next, pieces, b""):
            yield piece
