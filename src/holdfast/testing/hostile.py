"""What the suites of serializers try: bytes that are cut, altered or traps, and values that nobody knows."""

from __future__ import annotations

import pickle
import random
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["NAME", "Stranger", "altered", "lengths", "sprung", "traps"]

NAME = re.compile(r"[a-z0-9_.-]+@v[0-9]+", re.ASCII)
"""What names are like."""


class Stranger:
    """A class that no serializer knows."""


sprung: list[str] = []
"""Has something in it when a trap was loaded."""


def _spring() -> None:
    sprung.append("sprung")


class _Trap:
    """Unpickling it calls a function of this module."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _spring, ()


def traps() -> Iterator[bytes]:
    """Pickles of every protocol, that run code when they are loaded."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.dumps(_Trap(), protocol)


def lengths(size: int) -> list[int]:
    """Where to cut so many bytes: everywhere near the ends, here and there between."""
    near = {*range(min(size, 40)), *range(max(0, size - 12), size)}
    return sorted(near | {size * part // 16 for part in range(16)} - {size})


def altered(original: bytes, chance: random.Random, count: int = 300) -> Iterator[bytes]:
    """The bytes with a few of them changed, removed, repeated or added, so many times."""
    for _ in range(count):
        data = bytearray(original)
        for _ in range(chance.choice((1, 1, 2, 4))):
            place = chance.randrange(min(len(data), 4096)) if data else 0
            act = chance.randrange(4)
            if act <= 1:
                data[place : place + 1] = bytes([chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))])
            elif act == 2:
                del data[place : place + chance.randrange(1, 9)]
            else:
                data[place:place] = data[place : place + chance.randrange(1, 9)]
        yield bytes(data)
