"""What a serializer gives and a storage takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

__all__ = ["OUT_OF_BAND", "Buffer", "Payload"]

Buffer = Union[bytes, bytearray, memoryview]
"""A contiguous piece of bytes. Memoryviews must be one-dimensional, of format ``B``."""

OUT_OF_BAND = 65536
"""Buffers of at least this many bytes travel beside the in-band bytes; smaller ones are copied into them."""


class Payload:
    """A value as bytes: one in-band buffer, then any out-of-band buffers, never joined.

    Attributes:
        buffers: ``buffers[0]`` is the in-band part. The others are large arrays' memory, given without a copy;
            when read back they are views of a private map of the stored bytes, which can be written, or of memory
            that a cluster shares, which cannot.
        content_type: what the in-band bytes are, as a MIME type.
        encoding: the content encoding (compression), None for none.
        config: what the serializer needs beside the bytes to read them again; JSON, or None.
        trusted: set by the store when reading: the record's signature held (or the caller passed ``trust=True``).
            A serializer whose bytes can run code refuses a payload that is not trusted.
    """

    __slots__ = ("buffers", "config", "content_type", "encoding", "trusted")

    def __init__(
        self,
        buffers: Sequence[Buffer],
        content_type: str,
        encoding: str | None = None,
        config: Any = None,
        trusted: bool = False,
    ) -> None:
        self.buffers = buffers
        self.content_type = content_type
        self.encoding = encoding
        self.config = config
        self.trusted = trusted

    @property
    def size(self) -> int:
        """Bytes in all buffers together."""
        return sum(len(buffer) for buffer in self.buffers)

    def __repr__(self) -> str:
        return f"<Payload {self.content_type} of {self.size} bytes in {len(self.buffers)} buffers>"
