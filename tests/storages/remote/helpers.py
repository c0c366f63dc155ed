"""Short ways to write and read in tests of storages."""

from __future__ import annotations

import hashlib
from typing import Any

from holdfast.payload import Buffer, Payload
from holdfast.storages.base import Storage


def no_digest() -> tuple[int, bytes]:
    return 0, b""


def put(storage: Storage, *buffers: Buffer, **options: Any) -> Any:
    """Write buffers as one payload."""
    return storage.write(Payload(buffers, "application/octet-stream"), no_digest, {}, **options)


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes of which no two pieces are alike."""
    return hashlib.shake_128(b"%d" % seed).digest(size)


def names_in(storage: Any, folder: str) -> list[str]:
    """What lies in a folder of a remote storage."""
    return [entry.name for batch in storage.medium.list(folder) for entry in batch]
