"""How canonical bytes are put one after the other so that they can be told apart again."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import UnhashableError
from ..hashing import BLAKE3, digest_buffers, hasher
from ..payload import Buffer

__all__ = ["LIMIT", "content", "framed", "memory", "refusal", "streamed", "type_name"]

LIMIT = 1024
"""Up to so many bytes stand as they are, more of them as their length and digest. Part of every key, for ever."""

_LENGTHS = [b"%d:" % length for length in range(LIMIT + 1)]


def framed(tag: bytes, body: Buffer) -> bytes:
    """A tag of one byte, the length, and the body or its digest."""
    length = len(body)
    if length <= LIMIT:
        return tag + _LENGTHS[length] + body
    return b"%b#%d:%b" % (tag, length, digest_buffers((body,), length)[1])


def content(buffers: Sequence[Buffer], size: int) -> bytes:
    """Buffers of ``size`` bytes together, as one string of bytes: themselves, or their digest, without a copy."""
    if size <= LIMIT:
        return b"=" + b"".join(buffers)
    return b"#%d:%b" % (size, digest_buffers(buffers, size)[1])


def streamed(chunks: Iterable[Buffer], size: int) -> bytes:
    """As :func:`content`, for more than 4096 bytes in chunks, each of which may be overwritten by the next."""
    state = hasher(BLAKE3)
    for chunk in chunks:
        state.update(chunk)
    return b"#%d:%b" % (size, state.digest())


def memory(numbers: array[Any]) -> memoryview:
    """The memory of an array, little-endian on every machine."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return memoryview(numbers).cast("B")


def type_name(kind: type) -> str:
    """``module.Name`` of a type, ``Name`` of a built-in one."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def refusal(value: Any, reason: object = "") -> UnhashableError:
    """The error for a value, as yet without the path to it, which goes in front."""
    name = type_name(type(value))
    text = f": {'an' if name[0] in 'aeiou' else 'a'} {name} has no hash that is the same in every process"
    return UnhashableError(f"{text} ({reason})" if reason else text)
