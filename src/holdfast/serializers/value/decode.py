"""From a message with extensions back to the nested value. Trusts nothing: the bytes may be anyone's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgpack import unpackb
from msgspec.msgpack import Decoder

from ...errors import DecodeError, NotRegisteredError
from ...payload import Buffer, Payload
from ..base import Serializer
from .encode import BUFFER, BYTEARRAY, DICT, FROZENSET, MARKS, NESTED, PREFIX, SET, TUPLE
from .scalars import decode_scalar

__all__ = ["ByName", "decode", "plain"]

ByName = Callable[[str], Serializer]
"""Gives the serializer of a name, or raises NotRegisteredError."""


def _refuse(code: int, data: Any) -> Any:
    raise ValueError(f"extension {code} in a message that has none")


_decode = Decoder(ext_hook=_refuse).decode  # twice as fast as unpackb; decision 0010


def plain(data: Buffer) -> Any:
    """The value of a message that has no extensions.

    Raises:
        Exception: of any kind, for hostile bytes; the caller turns it into a DecodeError.
    """
    try:
        return _decode(data)
    except RecursionError:
        # Its depth is what is left of the caller's stack, unpackb's is always the packer's own.
        return unpackb(data, strict_map_key=False, timestamp=3, ext_hook=_refuse)


class _Mark:
    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        self.code = code


_MARK_OBJECTS = {code: _Mark(code) for code in MARKS}


def decode(buffers: Sequence[Buffer], by_name: ByName | None) -> Any:
    """The value of a message that begins with the prefix.

    Raises:
        Exception: of any kind, for hostile bytes; the caller turns it into a DecodeError.
    """
    decoder = _Decoder(buffers, by_name)
    value = unpackb(
        memoryview(buffers[0])[len(PREFIX) :],
        strict_map_key=False,
        timestamp=3,  # msgpack's own time stamps, which are never written, are read as datetimes
        ext_hook=decoder.extension,
        list_hook=decoder.list,
    )
    decoder.finish()
    return value


class _Decoder:
    """The state of one message: marks met and used, and buffers claimed."""

    __slots__ = ("buffers", "by_name", "claimed", "loose")

    def __init__(self, buffers: Sequence[Buffer], by_name: ByName | None) -> None:
        self.buffers = buffers
        self.by_name = by_name
        self.claimed = bytearray(len(buffers))
        self.loose = 0  # marks that no list has taken yet

    def extension(self, code: int, data: bytes) -> Any:
        mark = _MARK_OBJECTS.get(code)
        if mark is None:
            return decode_scalar(code, data)
        if data != b"\x00":
            raise ValueError("a mark with content")
        self.loose += 1
        return mark

    def list(self, items: list[Any]) -> Any:
        if not items or items[0].__class__ is not _Mark:
            return items
        self.loose -= 1
        code = items[0].code
        del items[0]
        if code == TUPLE:
            return tuple(items)
        if code in (SET, FROZENSET):
            result = set(items) if code == SET else frozenset(items)
            return self._whole(result, len(items))
        if code == DICT:
            pairs = dict(zip(items[::2], items[1::2], strict=True))
            return self._whole(pairs, len(items) // 2)
        if code in (BUFFER, BYTEARRAY):
            index, size = items
            buffer = self._claim(index)
            if len(buffer) != size:
                raise ValueError(f"a buffer of {len(buffer)} bytes where {size!r} were written")
            return (bytes if code == BUFFER else bytearray)(buffer)
        assert code == NESTED
        return self._nested(*items)

    def _whole(self, result: Any, count: int) -> Any:
        if len(result) != count:
            raise ValueError("equal items in a set, or equal keys in a dict")
        return result

    def _claim(self, index: Any) -> Buffer:
        if type(index) is not int or not 0 < index < len(self.claimed) or self.claimed[index]:
            raise ValueError(f"the out-of-band buffer {index!r} is not there, or is used twice")
        self.claimed[index] = 1
        return self.buffers[index]

    def _nested(
        self, name: Any, content_type: Any, encoding: Any, config: Any, inline: Any, start: Any, count: Any
    ) -> Any:
        if type(name) is not str or type(content_type) is not str or not (encoding is None or type(encoding) is str):
            raise ValueError("a nested value without the name of its serializer")
        if type(start) is not int or type(count) is not int or not 0 <= count < len(self.claimed):
            raise ValueError("a nested value with a wrong number of buffers")
        if not (inline is None or type(inline) is bytes):
            raise ValueError("a nested value whose bytes are not bytes")
        if self.by_name is None:
            raise ValueError(f"a nested value of {name}, where none may be")
        try:
            serializer = self.by_name(name)
        except NotRegisteredError as error:
            raise DecodeError(f"a nested value cannot be read: {error}") from error
        if serializer.executable or name == "holdfast.value@v1":  # a chain of itself could exhaust the C stack
            raise ValueError(f"{name} may not be nested")
        buffers: list[Buffer] = [] if inline is None else [inline]
        buffers.extend(self._claim(start + offset) for offset in range(count))
        if not buffers:
            raise ValueError("a nested value without bytes")
        return serializer.deserialize(Payload(buffers, content_type, encoding, config))

    def finish(self) -> None:
        """Refuse marks that stand alone and buffers that nothing names."""
        if self.loose:
            raise ValueError("a mark that is not the first item of a list")
        if sum(self.claimed) != len(self.claimed) - 1:
            raise ValueError("out-of-band buffers that no part of the value uses")
