"""Single values that msgpack does not know, as extension types.

The codes are part of the format ``holdfast.value@v1`` and stay for ever. Every form is canonical: what does not come
out again as the same bytes was not written by :func:`encode_scalar`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID, SafeUUID

from msgpack import ExtType

__all__ = ["SCALARS", "Unencodable", "decode_scalar", "encode_scalar"]

_INT, _COMPLEX, _DATE, _TIME, _DATETIME, _TIMEDELTA, _DECIMAL, _UUID, _PATH, _BYTEARRAY = range(32, 42)

_PAIR = struct.Struct(">dd")
_ZONE_KEY = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*", re.ASCII)
_MICROSECOND = timedelta(microseconds=1)


class Unencodable(Exception):
    """Why a value of a known type has no exact form here."""


def _int(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _read_int(data: bytes) -> int:
    value = int.from_bytes(data, "big", signed=True)
    if -(2**63) <= value < 2**64:
        raise ValueError("an integer that fits in 64 bits is no extension")
    return value


def _complex(value: complex) -> bytes:
    return _PAIR.pack(value.real, value.imag)


def _read_complex(data: bytes) -> complex:
    return complex(*_PAIR.unpack(data))


def _zone(zone: tzinfo | None) -> str:
    """``""`` for none, ``O<microseconds>[ <name>]`` for a fixed offset, ``Z<key>`` for a zone by name."""
    if zone is None:
        return ""
    kind = type(zone)
    if kind is timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]  # offset, and the name if it was given one
        return f"O{offset // _MICROSECOND}" + (f" {name[0]}" if name else "")
    if kind.__name__ == "ZoneInfo" and kind.__module__ == "zoneinfo":
        key = getattr(zone, "key", None)
        if type(key) is str and _ZONE_KEY.fullmatch(key):
            return "Z" + key
        raise Unencodable("its time zone has no key, so it cannot be found again by name")
    raise Unencodable(
        f"its time zone is a {kind.__module__}.{kind.__qualname__}, not a zoneinfo.ZoneInfo or a fixed offset"
    )


def _read_zone(text: str) -> tzinfo | None:
    if not text:
        return None
    if text[0] == "O":
        offset, space, name = text[1:].partition(" ")
        delta = timedelta(microseconds=int(offset))
        return timezone(delta, name) if space else timezone(delta)
    if text[0] != "Z" or not _ZONE_KEY.fullmatch(text, 1):
        raise ValueError("no such form of time zone")
    from zoneinfo import ZoneInfo  # imports much, and few values need it

    try:
        return ZoneInfo(text[1:])
    except Exception:  # a folder, an unreadable or a broken file, or simply no such zone
        raise ValueError(f"the time zone {text[1:]} is not known on this machine; install tzdata") from None


def _moment(iso: str, fold: int, zone: tzinfo | None) -> bytes:
    where = _zone(zone)
    return (f"{iso}|{fold}{where}" if fold or where else iso).encode()


def _datetime(value: datetime) -> bytes:
    return _moment(value.replace(tzinfo=None).isoformat(), value.fold, value.tzinfo)


def _time(value: time) -> bytes:
    return _moment(value.replace(tzinfo=None).isoformat(), value.fold, value.tzinfo)


def _read_datetime(data: bytes) -> datetime:
    iso, bar, rest = data.decode().partition("|")
    value = datetime.fromisoformat(iso)
    return value.replace(fold=int(rest[0]), tzinfo=_read_zone(rest[1:])) if bar else value


def _read_time(data: bytes) -> time:
    iso, bar, rest = data.decode().partition("|")
    value = time.fromisoformat(iso)
    return value.replace(fold=int(rest[0]), tzinfo=_read_zone(rest[1:])) if bar else value


def _date(value: date) -> bytes:
    return value.isoformat().encode()


def _read_date(data: bytes) -> date:
    return date.fromisoformat(data.decode())


def _timedelta(value: timedelta) -> bytes:
    return b"%d,%d,%d" % (value.days, value.seconds, value.microseconds)


def _read_timedelta(data: bytes) -> timedelta:
    days, seconds, microseconds = data.split(b",")
    return timedelta(int(days), int(seconds), int(microseconds))


def _decimal(value: Decimal) -> bytes:
    return str(value).upper().encode()  # upper: the decimal context of the thread may ask for "e"


def _read_decimal(data: bytes) -> Decimal:
    return Decimal(data.decode())


def _uuid(value: UUID) -> bytes:
    safe = value.is_safe
    return value.bytes if safe is SafeUUID.unknown else value.bytes + (b"\x01" if safe is SafeUUID.safe else b"\x00")


def _read_uuid(data: bytes) -> UUID:
    if len(data) == 16:
        return UUID(bytes=data)
    return UUID(bytes=data[:16], is_safe=SafeUUID.safe if data[16:] == b"\x01" else SafeUUID.unsafe)


# PurePosixPath, PosixPath, PureWindowsPath, WindowsPath; the concrete one of the other system is read as its pure one.
_CONCRETE = type(Path())
_PATHS: dict[bytes, type[PurePath]] = {
    b"p": PurePosixPath,
    b"P": PosixPath if _CONCRETE is PosixPath else PurePosixPath,
    b"w": PureWindowsPath,
    b"W": WindowsPath if _CONCRETE is WindowsPath else PureWindowsPath,
}
_PATH_LETTERS: dict[type, bytes] = {PurePosixPath: b"p", PosixPath: b"P", PureWindowsPath: b"w", WindowsPath: b"W"}


def _path(value: PurePath) -> bytes:
    text = str(value)
    if str(type(value)(text)) != text:
        raise Unencodable(f"the path {text!r} does not read as itself")
    return _PATH_LETTERS[type(value)] + text.encode("utf-8", "surrogatepass")  # file names may be any bytes


def _read_path(data: bytes) -> PurePath:
    text = data[1:].decode("utf-8", "surrogatepass")
    value = _PATHS[data[:1]](text)
    if str(value) != text:
        raise ValueError("the path is not in its normal form")
    return value


SCALARS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    int: (_INT, _int),
    complex: (_COMPLEX, _complex),
    date: (_DATE, _date),
    time: (_TIME, _time),
    datetime: (_DATETIME, _datetime),
    timedelta: (_TIMEDELTA, _timedelta),
    Decimal: (_DECIMAL, _decimal),
    UUID: (_UUID, _uuid),
    PurePosixPath: (_PATH, _path),
    PosixPath: (_PATH, _path),
    PureWindowsPath: (_PATH, _path),
    WindowsPath: (_PATH, _path),
    bytearray: (_BYTEARRAY, bytes),
}
"""Exact type to extension code and the function that gives its data; it raises :class:`Unencodable` with the reason."""

_READERS: dict[int, Callable[[bytes], Any]] = {
    _INT: _read_int,
    _COMPLEX: _read_complex,
    _DATE: _read_date,
    _TIME: _read_time,
    _DATETIME: _read_datetime,
    _TIMEDELTA: _read_timedelta,
    _DECIMAL: _read_decimal,
    _UUID: _read_uuid,
    _PATH: _read_path,
    _BYTEARRAY: bytearray,
}


def decode_scalar(code: int, data: bytes) -> Any:
    """The value of an extension.

    Raises:
        Exception: of any kind, for an unknown code or data that no value has; the caller turns it into a DecodeError.
    """
    value = _READERS[code](data)
    if code != _PATH and SCALARS[type(value)][1](value) != data:
        raise ValueError(f"extension {code} is not in its canonical form")
    return value


def encode_scalar(value: Any) -> ExtType:
    """The extension of a value whose type is a key of :data:`SCALARS`."""
    code, encode = SCALARS[type(value)]
    return ExtType(code, encode(value))
