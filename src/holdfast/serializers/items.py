"""What serializers of streams stand on: items with their numbers, and exactly so many bytes of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeVar

from ..errors import DecodeError, EncodeError

__all__ = ["each", "take"]

T = TypeVar("T")

_STEP = 1 << 20  # bytes for which memory is taken before it is known that there are so many


def each(values: Iterator[Any], encode: Callable[[Any], T]) -> Iterator[T]:
    """What each item comes to; an error says which item it was of.

    Raises:
        EncodeError: what ``encode`` raises, of the same class.
    """
    for number, value in enumerate(values, 1):
        try:
            made = encode(value)
        except EncodeError as error:
            raise type(error)(f"item {number} of the stream: {error}") from error
        del value  # not to be held while the next one is made
        yield made
        del made


def take(file: BinaryIO, size: int, where: str) -> bytearray:
    """The next ``size`` bytes of a file.

    Raises:
        DecodeError: there are fewer; ``where`` begins the message.
    """
    whole, at = bytearray(min(size, _STEP)), 0
    while at < size:
        if at == len(whole):
            whole.extend(bytes(min(at, size - at)))
        with memoryview(whole) as view:
            count = file.readinto(view[at:])  # type: ignore[attr-defined]
        if not count:
            raise DecodeError(f"{where}: the bytes end in the middle of an item")
        at += count
    return whole
