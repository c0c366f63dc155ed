"""Validates names and rows from clients by the rules local callers are held to; one bad row would break listings for
all."""

from __future__ import annotations

import re
from typing import Any

from ..address import Path, check_key, check_name, format_address
from ..catalog.base import UNCHANGED
from ..errors import IntegrityError, InvalidArgumentError, SchemaError
from ..kernel import Kernel
from ..layout import packed_size, read_config
from ..model import DURABLE, EPHEMERAL, Codec, from_epoch
from ..options import check_version, tags_text
from ..serializers.exact_json import load

__all__ = ["check_codec", "check_length", "check_names", "check_row", "check_session", "check_time", "properties_of"]

_LONG = 2000  # characters of a codec: each is kept for ever
_LONGEST = 1 << 16  # characters of tags or properties: a page of a listing has those of a thousand
_SESSION = re.compile("[!-~]{1,100} [!-~]{1,200}")
_TEXT = re.compile("[^\x00-\x1f\x7f-\x9f]*")


def check_names(path: Path, key: str | None = None) -> None:
    """Refuse a path or a key that is not legal.

    Raises:
        InvalidScopeError, InvalidKeyError: with what is wrong about it.
    """
    for kind, name in path:
        check_name(kind, name)
    if key is not None:
        check_key(key)


def check_time(seconds: float | None) -> None:
    """Refuse a time that no record can tell.

    Raises:
        InvalidArgumentError: no number, or beyond the years that there are.
    """
    try:
        from_epoch(seconds)
    except (OverflowError, ValueError, OSError):
        raise InvalidArgumentError(f"the time {seconds} is beyond the years 1 to 9999") from None


def check_length(text: str | None, what: str) -> str | None:
    """Give a record's tags or a scope's properties back, as JSON, when they are not too long to be listed.

    Raises:
        InvalidArgumentError: they are.
    """
    if text is None or len(text) <= _LONGEST:
        return text
    raise InvalidArgumentError(f"{what} have more than {_LONGEST} characters: put what is long into a record")


def check_session(session: str, tier: int = EPHEMERAL) -> None:
    """Refuse what is no session, and a durable record that would end with one.

    Raises:
        InvalidArgumentError: it is one.
    """
    if tier != EPHEMERAL:
        raise InvalidArgumentError("a durable record ends with no session")
    if not _SESSION.fullmatch(session):
        raise InvalidArgumentError(f"{session!r:.100} is no session: the name of a memory, and what that calls it")


def check_codec(codec: Codec) -> None:
    """Refuse a codec that could not be told in a header field, or is too long.

    Raises:
        InvalidArgumentError: it is one.
    """
    parts = [part or "" for part in codec]
    if sum(map(len, parts)) > _LONG or not all(map(_TEXT.fullmatch, parts)):
        raise InvalidArgumentError(f"a codec is printable text of at most {_LONG} characters")


def properties_of(text: str) -> dict[str, Any]:
    """The properties of a scope, from their JSON.

    Raises:
        InvalidArgumentError: they are no JSON object.
    """
    return _object_of(check_length(text, "properties") or "", "properties of a scope")


def check_row(kernel: Kernel, path: Path, key: str, row: Any) -> None:
    """Refuse a row, of a put or an edit, that says of a record what none of the library's would.

    Raises:
        InvalidArgumentError: its codec, config, tags, expiry, tier or version.
    """
    where = format_address(path, key)
    changed = {name: value for name, value in row._asdict().items() if value is not UNCHANGED}
    check_time(changed.get("expires"))
    check_version(changed.get("if_version"))
    if changed.get("tags") is not None:
        tags_text(_object_of(check_length(changed["tags"], "tags") or "", f"the tags of {where}"))
    if changed.get("tier") not in (None, DURABLE, EPHEMERAL):
        raise InvalidArgumentError(f"{where} has the tier {changed['tier']}, which there is not")
    try:
        if "codec" in changed:
            kernel.catalog.codec(changed["codec"])
    except SchemaError:
        raise InvalidArgumentError(f"{where} names codec {changed['codec']}, which there is not") from None
    try:
        packed_size(read_config(changed.get("config"), where), where)
    except IntegrityError as error:
        raise InvalidArgumentError(str(error)) from None


def _object_of(text: str, what: str) -> dict[str, Any]:
    try:
        found = load(text.encode(), "")
    except ValueError as error:
        raise InvalidArgumentError(f"{what} are not JSON{error}") from None
    if isinstance(found, dict):
        return found
    raise InvalidArgumentError(f"{what} are a JSON object")
