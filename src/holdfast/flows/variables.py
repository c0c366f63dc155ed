"""Variables as getters and setters see them: read as JSON, and written as bytes with a MIME type."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any, NamedTuple
from uuid import uuid4

from ..address import check_key
from ..errors import InvalidArgumentError, NotFoundError, ValueLost
from ..options import check_content_type
from ..reading import chunks, read_current
from ..scope import BaseScope
from ..storages.base import OCTETS
from .failures import Codes, Failure
from .json_text import encode, from_bytes
from .place import Place, is_name

__all__ = ["LARGEST", "Found", "Write", "as_json", "check_name", "find", "read", "to_write"]

LARGEST = 32 << 20
"""Most bytes of the variables that a getter reads, and of the data of an instance."""


class Found(NamedTuple):
    """A variable that was read: its version, 0 for none, and its bytes."""

    version: int
    data: bytes


class Write(NamedTuple):
    """A variable to write; ``data`` is None to delete it."""

    scope: str
    key: str
    mime_type: str
    data: bytes | None


def check_name(key: str) -> str:
    """Give the name of a variable back.

    Raises:
        Failure: ``direktiv.var.invalidKey``.
    """
    if is_name(key):
        return key
    raise Failure(Codes.INVALID_KEY, f"{key!r:.200} is no name of a variable: letters, digits, and _-. within")


def read(place: Place, scope: str, key: str) -> bytes:
    """The bytes of a variable, a file or a fact of the system; none for one that is missing.

    Raises:
        Failure: the key is not legal, or the variable is too large.
    """
    if scope == "system":
        return _system(place, key)
    if scope != "file":
        return find(place.scope(scope), check_name(key)).data
    try:
        return find(place.tree, check_key(key.removeprefix("/"))).data
    except InvalidArgumentError as error:
        raise Failure(Codes.INVALID_KEY, f"{key!r:.200} is no path of a file: {error}") from None


def _system(place: Place, key: str) -> bytes:
    if key == "epoch":
        return encode(int(place.namespace._kernel.catalog.now()))
    if key == "uuid":
        return encode(str(uuid4()))
    if key == "instance":
        return encode(place.instance)
    raise Failure(Codes.INVALID_KEY, f"the scope system has no {key!r:.200}: it has instance, uuid and epoch")


def find(scope: BaseScope[Any], key: str) -> Found:
    """Version and bytes of a variable, as of one moment.

    Raises:
        Failure: ``direktiv.var.tooLarge``.
    """
    try:
        row = scope._row(key)
        return read_current(row, lambda: scope._row(key), lambda row: Found(row[1], _joined(scope, key, row)))
    except ValueLost:
        raise
    except NotFoundError:
        return Found(0, b"")


def _joined(scope: BaseScope[Any], key: str, row: tuple[Any, ...]) -> bytes:
    found = bytearray()
    for piece in chunks(scope._kernel, scope.path, key, row):
        found += piece
        if len(found) > LARGEST:
            raise Failure(
                Codes.TOO_LARGE, f"the variable {key} has more than {LARGEST:,} bytes: give it to a function as a file"
            )
    return bytes(found)


def as_json(data: bytes) -> Any:
    """What a getter gives for bytes: null for none, JSON, or base64."""
    return from_bytes(data) if data else None


def to_write(scope: str, key: str, mime_type: str, value: Any, deletes: bool) -> Write:
    """What a setter does with a value; ``deletes`` says that it is a null that the definition has.

    Raises:
        Failure: the key is not legal, or the value is none of the MIME type.
    """
    check_name(key)
    try:
        check_content_type(mime_type)
    except InvalidArgumentError as error:
        raise Failure(Codes.INVALID_MIME_TYPE, str(error)) from None
    if deletes:
        return Write(scope, key, mime_type, None)
    kind, _, parameters = mime_type.partition(";")
    try:
        data = _bytes(kind.strip().lower(), parameters, value)
    except UnicodeEncodeError:
        raise Failure(Codes.NOT_STRING, f"the value of {key} has characters that are none") from None
    return Write(scope, key, mime_type, data)


def _bytes(kind: str, parameters: str, value: Any) -> bytes:
    if kind == OCTETS and isinstance(value, str):
        try:
            return b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise Failure(Codes.BAD_COMMAND, f"the value of an {OCTETS} variable is base64: {error}") from None
    if isinstance(value, str) and kind.startswith("text/"):
        return value.encode()
    return encode(value)
