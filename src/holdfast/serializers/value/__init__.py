"""Nested plain data as strict msgpack: reading it runs no code and gives back the very types that were put."""

from __future__ import annotations

from typing import Any, ClassVar

from msgpack import Packer

from ...errors import DecodeError, HoldfastError
from ...payload import OUT_OF_BAND, Payload
from ..base import Serializer
from .decode import ByName, decode, plain
from .encode import PREFIX, ForType, encode, is_native

__all__ = ["ValueSerializer"]

_CONTENT_TYPE = "application/msgpack"
_KEEP = 1 << 18  # a packer's buffer never shrinks: one that grew beyond this is not kept

# A packer may not be used by two threads at once, nor again from within. pop and append are atomic, so whoever has
# taken one has it alone. Making one costs 0.15 us and, worse, 256 KB.
_packers: list[Packer] = []


class ValueSerializer(Serializer):
    """None, bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, dates and times,
    Decimal, UUID and paths, nested in any way.

    Values of other types may stand inside when a registered serializer takes them and runs no code (arrays, frames,
    images); their large buffers stay out of band. Everything else is :class:`~holdfast.errors.UnsupportedValue`, with
    the path to it. Equal objects stay equal; that two places hold the *same* list is not kept.

    Args:
        for_type: gives the serializer for values of a type inside others, None for none.
        by_name: gives the serializer of a name that a stored value mentions; raises NotRegisteredError.
    """

    name: ClassVar[str] = "holdfast.value@v1"
    types: ClassVar[tuple[str, ...]] = (
        "builtins.NoneType",
        "builtins.bool",
        "builtins.float",
        "builtins.complex",
        "builtins.dict",
        "builtins.list",
        "builtins.tuple",
        "builtins.set",
        "builtins.frozenset",
        "builtins.bytearray",
        "datetime.date",
        "datetime.datetime",
        "datetime.time",
        "datetime.timedelta",
        "decimal.Decimal",
        "uuid.UUID",
        "pathlib.PosixPath",
        "pathlib.PurePosixPath",
        "pathlib.PureWindowsPath",
        "pathlib.WindowsPath",
        "pathlib._local.PosixPath",  # their place in Python 3.13
        "pathlib._local.PurePosixPath",
        "pathlib._local.PureWindowsPath",
        "pathlib._local.WindowsPath",
    )
    content_types: ClassVar[tuple[str, ...]] = (_CONTENT_TYPE,)

    def __init__(self, for_type: ForType | None = None, by_name: ByName | None = None) -> None:
        self._for_type = for_type
        self._by_name = by_name

    def serialize(self, value: Any) -> Payload:
        """Give the value as msgpack; plain JSON-like data needs one pass in C."""
        try:
            packer = _packers.pop()
        except IndexError:
            packer = Packer(strict_types=True)
        try:
            packed: bytes = packer.pack(value)
        except (TypeError, ValueError, OverflowError):  # not plain enough; the packer is dropped with what it held
            return self._with_extensions(value)
        if len(packed) < _KEEP:
            _packers.append(packer)
        # Only bytes (196 to 198) and extensions (199 to 201, 212 to 216) can be another type in disguise. Text and
        # small numbers have none of these bytes; a false alarm costs a look at the types.
        # fmt: off
        if (196 in packed or 197 in packed or 198 in packed or 199 in packed or 200 in packed or 201 in packed
                or 212 in packed or 213 in packed or 214 in packed or 215 in packed or 216 in packed
                ) and not is_native(value, len(packed) >= OUT_OF_BAND):
            return self._with_extensions(value)
        # fmt: on
        return Payload((packed,), _CONTENT_TYPE)

    def _with_extensions(self, value: Any) -> Payload:
        packed, buffers = encode(value, self._for_type)
        return Payload((packed, *buffers), _CONTENT_TYPE)

    def deserialize(self, payload: Payload) -> Any:
        """Give the value back."""
        buffers = payload.buffers
        try:
            if len(buffers) == 1 and buffers[0][:4] != PREFIX:
                return plain(buffers[0])
            if not buffers or buffers[0][:4] != PREFIX:
                raise ValueError("out-of-band buffers that no part of the value uses")
            return decode(buffers, self._by_name)
        except (HoldfastError, MemoryError):
            raise
        except Exception as error:
            raise DecodeError(f"these bytes are no {self.name}: {str(error) or type(error).__name__}") from error
