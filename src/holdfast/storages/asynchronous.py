"""The contract of a storage for authors: four coroutine methods, from which the bridge makes a
:class:`~holdfast.storages.base.Storage`.

::

    class MyStorage(AsyncStorage):
        name = "my.storage@v1"

        async def write_data(self, data, digest, tags): ...
        async def read_data(self, config): ...
        async def write_data_stream(self, stream, get_digest, tags): ...
        async def read_data_stream(self, config): ...
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, ClassVar, Protocol, TypedDict

__all__ = ["AsyncStorage", "Digest", "GetStreamDigest", "StreamDigest"]


class Digest(TypedDict):
    """What is known of a piece of bytes, as a dict: its type and encoding, hash (hex), and size in bytes."""

    content_type: str
    content_encoding: str | None
    content_hash: str
    content_hash_algorithm: str
    content_size: int


class StreamDigest(Digest):
    """The same of a stream: of all its bytes, or (``is_complete`` is False) of those that were taken so far."""

    is_complete: bool


class GetStreamDigest(Protocol):
    """Gives the digest of the stream that is being written."""

    def __call__(self, allow_incomplete: bool = False) -> StreamDigest:
        """The digest.

        Raises:
            ValueError: the stream was not read to its end, and ``allow_incomplete`` is not set.
        """


class AsyncStorage(ABC):
    """A storage by its author: bytes in, a *config* out, with which the bytes are read again.

    A config is any JSON value, and alone enough to read by: a folder or prefix that may change belongs into it. Equal
    bytes may be given an equal config (content-addressed); other bytes never one that was given before. A piece is
    whole when its write returns. Each half reads what the other wrote.

    Methods are called in the caller's event loop by the verbs of ``aio``, in one of the store's own by synchronous
    ones, many at once: a client that belongs to one loop is made inside the methods, once for each running loop.

    Errors that they raise reach the caller as a StoreError that names the storage: a FileNotFoundError on reading as a
    ValueLost, one for a full medium (``ENOSPC``) as a StorageFullError. Those of :mod:`holdfast.errors` stay as they
    are.

    Attributes:
        name: permanent and unique, ``owner.what@v1``; the record of each content names it.
        ephemeral: True when what it holds ends with this process.
    """

    name: ClassVar[str]
    ephemeral: ClassVar[bool] = False

    @abstractmethod
    async def write_data(self, data: bytes, digest: Digest, tags: dict[str, str], /) -> Any:
        """Write a piece of bytes (up to 1 MB) and give its config."""

    @abstractmethod
    async def read_data(self, config: Any, /) -> bytes:
        """All bytes of a config."""

    @abstractmethod
    async def write_data_stream(
        self, stream: AsyncIterator[bytes], get_digest: GetStreamDigest, tags: dict[str, str], /
    ) -> Any:
        """Write a stream, read to its end, and give its config. If this is cancelled, nothing should be left."""

    @abstractmethod
    def read_data_stream(self, config: Any, /) -> AsyncGenerator[bytes]:
        """The bytes of a config in pieces: an async generator."""

    async def delete_data(self, config: Any, /) -> None:
        """Remove the bytes of a config that no record needs any more; one that is gone already is no error.

        An author who leaves this away keeps the bytes: the collector then forgets their row, and nothing else.
        """

    def serialize_config(self, config: Any) -> str:
        """A config as text, equal ones as equal texts; by default JSON."""
        return json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def deserialize_config(self, text: str) -> Any:
        """The config of a text that :meth:`serialize_config` gave.

        Raises:
            ValueError: it gave no such text.
        """
        if text != text.strip():
            raise ValueError("space around it")
        return json.loads(text)
