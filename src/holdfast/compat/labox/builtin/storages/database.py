"""Small JSON in the catalog itself."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any
from warnings import warn

from .....errors import InvalidArgumentError
from ...common.types import TagMap
from ...core.storage import Digest, GetStreamDigest, Storage

__all__ = ["DatabaseStorage", "database_storage"]

_JSON = re.compile(r"application/(?:json|[^;]*\+json|json\+[^;]*)(?:;.*)?")


class DatabaseStorage(Storage):
    """JSON of few bytes, which is its own config. It takes no streams.

    Args:
        warn_size: bytes above which it warns.
        error_size: bytes above which it refuses; above 1 MB it always does, as a value is then written as a stream.
    """

    name = "labox.json_storage_data@v1"

    def __init__(self, *, warn_size: int = 10 * 1024, error_size: int = 100 * 1024) -> None:
        self.warn_size, self.error_size = warn_size, error_size

    async def write_data(self, data: bytes, digest: Digest, tags: TagMap, /) -> str:
        """Give the text back.

        Raises:
            InvalidArgumentError: it is no JSON, or too much.
        """
        if not _JSON.fullmatch(digest["content_type"]):
            raise InvalidArgumentError(f"{self.name} takes JSON, not {digest['content_type']}: name another storage")
        if len(data) > self.error_size:
            raise InvalidArgumentError(
                f"{self.name} takes up to {self.error_size} bytes, not {len(data)}: name another storage"
            )
        if len(data) > self.warn_size:
            warn(f"{self.name} has {len(data)} bytes to keep, more than {self.warn_size}", UserWarning, stacklevel=2)
        return data.decode()

    async def read_data(self, config: str, /) -> bytes:
        """The text as bytes."""
        return config.encode()

    async def write_data_stream(
        self, data_stream: AsyncIterable[bytes], get_digest: GetStreamDigest, tags: TagMap, /
    ) -> str:
        """Refuse: InvalidArgumentError."""
        raise InvalidArgumentError(f"{self.name} takes no streams, nor more than 1 MB: name another storage")

    async def read_data_stream(self, config: str, /) -> AsyncGenerator[bytes]:
        """The text as one piece."""
        yield config.encode()

    def serialize_config(self, config: Any, /) -> str:
        """The text as it is."""
        return str(config)

    def deserialize_config(self, text: str, /) -> str:
        """The text as it is."""
        return text


database_storage = DatabaseStorage()
"""One with the usual sizes."""
