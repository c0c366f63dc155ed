"""What the tests of the local memory have in common."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from holdfast.payload import Payload
from holdfast.storages.local import LocalMemory

MB = 1 << 20


def digest() -> tuple[int, bytes]:
    return 0, b""


def put(memory: LocalMemory, *buffers: Any) -> str:
    return memory.write(Payload(buffers, "text/plain"), digest, {})


def stream(memory: LocalMemory, megabytes: int) -> Any:
    """The config of a stream of so many pieces of one pattern; on an error nobody ends the writer."""
    writer = memory.writer({})
    for _ in range(megabytes):
        writer.write(pattern(MB, "stream"))
    return writer.commit(digest)


def pattern(size: int, seed: object = 0) -> bytes:
    """Bytes that tell which value, and which part of it, they are of: a piece of another one shows."""
    piece = hashlib.shake_128(repr(seed).encode()).digest(min(size, 4099))
    return (piece * (size // len(piece) + 1))[:size] if size else b""


def segments(folder: str | Path) -> dict[int, str]:
    """The paths of all segments below a folder, by inode."""
    found = {}
    for path in Path(folder).rglob("*"):
        if path.is_file() and path.name not in ("gate", "living", "session", "room", "lock", "evicted"):
            found[path.stat().st_ino] = str(path)
    return found


def taken(folder: str | Path) -> int:
    """The bytes of all segments below a folder."""
    return sum(os.path.getsize(path) for path in segments(folder).values())


def counted(folder: str | Path) -> int:
    """The bytes that the memory itself counts."""
    (room,) = Path(folder).rglob("room")
    return int.from_bytes(room.read_bytes(), "little")
