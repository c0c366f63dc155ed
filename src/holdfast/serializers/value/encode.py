"""From a nested value to one that msgpack takes as it is.

msgpack has no tuple, set or reference to a buffer. Such a thing becomes a list whose first item is a *mark*, an
extension without content that says what the list is; so nesting stays in one message that is packed and unpacked in
one pass, whatever the depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgpack import ExtType, Packer, Timestamp

from ...errors import EncodeError, UnsupportedValue
from ...payload import OUT_OF_BAND, Buffer
from ..base import Serializer
from .scalars import SCALARS, Unencodable, encode_scalar

__all__ = [
    "BUFFER",
    "BYTEARRAY",
    "DICT",
    "FROZENSET",
    "MARKS",
    "NESTED",
    "PREFIX",
    "SET",
    "TUPLE",
    "ForType",
    "encode",
    "is_native",
]

TUPLE, SET, FROZENSET, DICT, BUFFER, BYTEARRAY, NESTED = range(1, 8)
"""Codes of the marks: part of the format, for ever."""

MARKS = {code: ExtType(code, b"\x00") for code in range(1, 8)}
"""The marks themselves, by code."""

PREFIX = b"\x92\xd4\x00\x00"
"""Start of a message that has extensions: a list of two, the extension 0, and then the value."""

_MAX_DEPTH = 256
_NATIVE = frozenset({type(None), bool, float, str, int})
_NATIVE_NO_INT = _NATIVE - {int}
_CONTAINERS = frozenset({dict, list})
_DISGUISED = frozenset({bytearray, memoryview, ExtType, Timestamp})  # msgpack packs these, as something else

ForType = Callable[[type], "Serializer | None"]
"""Gives the serializer for values of a type that stand inside others."""


class _Refused(Exception):
    def __init__(self, culprit: Any, reason: str) -> None:
        super().__init__(reason)
        self.culprit = culprit
        self.reason = reason


def is_native(value: Any, large: bool) -> bool:
    """Whether a value that msgpack packed has nothing in it that would come back as another type.

    With ``large``, bytes that ought to travel out of band count as not native.
    """
    stack = [value]
    while stack:
        item = stack.pop()
        kind = type(item)
        if kind is dict:
            kinds = set(map(type, item))
            if not kinds.isdisjoint(_DISGUISED):
                return False
            children = item.values()
        elif kind is list:
            children = item
        else:
            children = (item,)
        kinds = set(map(type, children))
        if not kinds.isdisjoint(_DISGUISED):
            return False
        if large and bytes in kinds and any(type(child) is bytes and len(child) >= OUT_OF_BAND for child in children):
            return False
        if kind in _CONTAINERS and not kinds.isdisjoint(_CONTAINERS):
            stack.extend(child for child in children if type(child) in _CONTAINERS)
    return True


def encode(value: Any, for_type: ForType | None) -> tuple[bytes, list[Buffer]]:
    """In-band bytes and out-of-band buffers of any value that this format holds.

    Raises:
        UnsupportedValue: with the path to the part that it does not hold, and why.
    """
    try:
        try:
            return _pack(value, _NATIVE, for_type)
        except OverflowError:  # an integer beyond 64 bits is somewhere: now look at each
            return _pack(value, _NATIVE_NO_INT, for_type)
    except _Refused as refused:
        culprit, reason = refused.culprit, refused.reason
    except RecursionError:
        culprit, reason = value, "it is nested too deeply"
    raise UnsupportedValue(f"holdfast.value@v1 cannot hold {_path_to(culprit, value)}: {reason}") from None


def _pack(value: Any, native: frozenset[type], for_type: ForType | None) -> tuple[bytes, list[Buffer]]:
    encoder = _Encoder(native, for_type)
    plain = encoder.convert(value, 0)
    try:
        packed = Packer(strict_types=True).pack(plain)
    except UnicodeEncodeError as error:
        raise _Refused(error.object, f"the str has a lone surrogate at position {error.start}") from None
    except (TypeError, ValueError) as error:  # more than 4 GB of text, or a nested serializer's config that is no JSON
        raise _Refused(value, str(error)) from None
    return PREFIX + packed, encoder.buffers


class _Encoder:
    __slots__ = ("buffers", "for_type", "native")

    def __init__(self, native: frozenset[type], for_type: ForType | None) -> None:
        self.native = native
        self.for_type = for_type
        self.buffers: list[Buffer] = []

    def convert(self, value: Any, depth: int) -> Any:
        """The value with everything unknown to msgpack replaced; parts that need nothing are not copied."""
        kind = type(value)
        if kind in self.native:
            return value
        if kind is bytes:
            return value if len(value) < OUT_OF_BAND else [MARKS[BUFFER], self._out_of_band(value), len(value)]
        if depth > _MAX_DEPTH:
            raise _Refused(value, f"it is nested more than {_MAX_DEPTH} levels deep, or refers to itself")
        if kind is dict:
            return self._dict(value, depth)
        if kind is list:
            return value if self.native.issuperset(map(type, value)) else self._items([], value, depth)
        if kind is tuple:
            return self._items([MARKS[TUPLE]], value, depth)
        if kind is set or kind is frozenset:
            return self._items([MARKS[SET if kind is set else FROZENSET]], value, depth)
        if kind in SCALARS:
            return self._scalar(value)
        return self._nested(value)

    def _items(self, result: list[Any], items: Any, depth: int) -> list[Any]:
        if self.native.issuperset(map(type, items)):
            result.extend(items)
        else:
            for item in items:  # no comprehension: its frame would halve the depth that Python allows
                result.append(self.convert(item, depth + 1))  # noqa: PERF401
        return result

    def _dict(self, value: dict[Any, Any], depth: int) -> Any:
        if self.native.issuperset(map(type, value)):
            if self.native.issuperset(map(type, value.values())):
                return value
            converted = {}
            for key, item in value.items():
                converted[key] = self.convert(item, depth + 1)
            return converted
        pairs: list[Any] = [MARKS[DICT]]  # keys such as tuples become lists, which no dict could have as keys
        for key, item in value.items():
            pairs.append(self.convert(key, depth + 1))
            pairs.append(self.convert(item, depth + 1))
        return pairs

    def _scalar(self, value: Any) -> Any:
        kind = type(value)
        if kind is int and -(2**63) <= value < 2**64:
            return value
        if kind is bytearray and len(value) >= OUT_OF_BAND:
            return [MARKS[BYTEARRAY], self._out_of_band(value), len(value)]
        try:
            return encode_scalar(value)
        except Unencodable as error:
            raise _Refused(value, str(error)) from None
        except UnicodeEncodeError:
            raise _Refused(value, "its text has a lone surrogate") from None

    def _nested(self, value: Any) -> list[Any]:
        serializer = self.for_type(type(value)) if self.for_type else None
        if serializer is None:
            kind = type(value)
            raise _Refused(value, f"no serializer without code takes a {kind.__module__}.{kind.__qualname__}")
        try:
            payload = serializer.serialize(value)
        except EncodeError as error:
            raise _Refused(value, str(error)) from None
        first, *others = payload.buffers
        start = len(self.buffers) + 1
        inline = bytes(first) if len(first) < OUT_OF_BAND else None
        self.buffers.extend(others if inline is not None else payload.buffers)
        count = len(self.buffers) + 1 - start
        head = [serializer.name, payload.content_type, payload.encoding, payload.config]
        return [MARKS[NESTED], *head, inline, start, count]

    def _out_of_band(self, buffer: Buffer) -> int:
        self.buffers.append(buffer)
        return len(self.buffers)


def _path_to(culprit: Any, value: Any) -> str:
    """Where in the value the culprit is, as ``value['a'][3]``."""
    seen: set[int] = set()
    stack: list[tuple[str, Any]] = [("value", value)]
    while stack:
        path, item = stack.pop()
        if item is culprit:
            return path
        if id(item) in seen:
            continue
        seen.add(id(item))
        stack.extend(_children(path, item))
    return "a part of value"


def _children(path: str, item: Any) -> Iterator[tuple[str, Any]]:
    kind = type(item)
    if kind is dict:
        for key, child in item.items():
            yield f"{path}[{_show(key)}]", child
            yield f"the key {_show(key)} of {path}", key
    elif kind is list or kind is tuple:
        for index, child in enumerate(item):
            yield f"{path}[{index}]", child
    elif kind is set or kind is frozenset:
        for child in item:
            yield f"an item of {path}", child


def _show(key: Any) -> str:
    if type(key) not in _NATIVE:
        return f"<{type(key).__qualname__}>"
    shown = ascii(key)
    return shown if len(shown) <= 60 else shown[:57] + "..."
