"""Ids of instances: UUIDs of version 7, by whose order later ones are behind earlier ones.

That of a subflow follows from its caller's and the call, so that it is the same whenever the caller comes to that call,
and has its caller's time.
"""

from __future__ import annotations

import os
import time
from hashlib import sha256
from uuid import UUID

__all__ = ["id_below", "is_id", "new_id", "same_time"]

_TIME = len("01234567-89ab")


def new_id() -> str:
    """A new one."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    return _id(milliseconds, (rest * 4096 // 1_000_000).to_bytes(2, "big") + os.urandom(8))


def id_below(parent: str, branch: str) -> str:
    """That of a subflow, by what names the call among those of its caller."""
    return _id(UUID(parent).int >> 80, sha256(f"{parent}/{branch}".encode()).digest()[:10])


def is_id(text: str) -> bool:
    """Whether it is one, as they are written here."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def same_time(one: str, other: str) -> bool:
    """Whether one could be of a subflow of the other."""
    return one[:_TIME] == other[:_TIME]


def _id(milliseconds: int, more: bytes) -> str:
    number = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(more, "big")
    number = number & ~(0xF << 76) | 7 << 76
    return str(UUID(int=number & ~(0x3 << 62) | 2 << 62))
