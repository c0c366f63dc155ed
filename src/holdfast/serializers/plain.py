"""The plainest values: bytes, text and integers, stored as themselves."""

from __future__ import annotations

from typing import Any, ClassVar

from ..errors import DecodeError, UnsupportedValue
from ..payload import Payload
from .base import Serializer

__all__ = ["BytesSerializer", "IntSerializer", "TextSerializer"]

_MAX_DIGITS = 640  # Python converts this many whatever limit a program sets against slow conversions
_LIMIT = 10**_MAX_DIGITS


def _only_buffer(payload: Payload, name: str) -> Any:
    """The only buffer of a payload that has no others.

    Raises:
        DecodeError: there are out-of-band buffers, or none at all.
    """
    if len(payload.buffers) != 1:
        raise DecodeError(f"{name} reads one buffer, not {len(payload.buffers)}")
    return payload.buffers[0]


class BytesSerializer(Serializer):
    """``bytes``, as they are."""

    name: ClassVar[str] = "holdfast.bytes@v1"
    types: ClassVar[tuple[str, ...]] = ("builtins.bytes",)
    content_types: ClassVar[tuple[str, ...]] = ("application/octet-stream",)

    def serialize(self, value: Any) -> Payload:
        """Give the bytes themselves as the one buffer."""
        if type(value) is not bytes:
            raise UnsupportedValue(f"{self.name} takes bytes, not {type(value).__name__}")
        return Payload((value,), "application/octet-stream")

    def deserialize(self, payload: Payload) -> bytes:
        """Give the one buffer as bytes; a copy only when it is not bytes already."""
        data = payload.buffers[0] if len(payload.buffers) == 1 else _only_buffer(payload, self.name)
        return data if type(data) is bytes else bytes(data)


class TextSerializer(Serializer):
    """``str`` as UTF-8. Text with lone surrogates is not UTF-8 and is left to another serializer."""

    name: ClassVar[str] = "holdfast.text@v1"
    types: ClassVar[tuple[str, ...]] = ("builtins.str",)
    content_types: ClassVar[tuple[str, ...]] = ("text/plain; charset=utf-8",)

    def serialize(self, value: Any) -> Payload:
        """Give the text as UTF-8."""
        if type(value) is not str:
            raise UnsupportedValue(f"{self.name} takes str, not {type(value).__name__}")
        try:
            return Payload((value.encode(),), "text/plain; charset=utf-8")
        except UnicodeEncodeError as error:
            raise UnsupportedValue(f"the str has a lone surrogate at position {error.start}: it is no UTF-8") from None

    def deserialize(self, payload: Payload) -> str:
        """Decode strictly."""
        data = _only_buffer(payload, self.name)
        try:
            return str(data, "utf-8")
        except UnicodeDecodeError as error:
            raise DecodeError(f"the stored text is no UTF-8 at byte {error.start}") from None


class IntSerializer(Serializer):
    """``int`` of at most 640 digits as decimal text, which is JSON too. (Stores keep 64-bit ones natively.)"""

    name: ClassVar[str] = "holdfast.int@v1"
    types: ClassVar[tuple[str, ...]] = ("builtins.int",)
    content_types: ClassVar[tuple[str, ...]] = ("application/json",)

    def serialize(self, value: Any) -> Payload:
        """Give the decimal digits."""
        if type(value) is not int:
            raise UnsupportedValue(f"{self.name} takes int, not {type(value).__name__}")
        if not -_LIMIT < value < _LIMIT:
            raise UnsupportedValue(f"{self.name} takes integers of at most {_MAX_DIGITS} digits")
        return Payload((b"%d" % value,), "application/json")

    def deserialize(self, payload: Payload) -> int:
        """Read the digits; exactly the form that :meth:`serialize` gives, nothing looser."""
        data = bytes(_only_buffer(payload, self.name)[: _MAX_DIGITS + 2])
        digits = data[1:] if data[:1] == b"-" else data
        if len(digits) > _MAX_DIGITS or not digits.isdigit() or (digits[:1] == b"0" and data != b"0"):
            raise DecodeError("the stored integer is not a decimal number")
        return int(data)
