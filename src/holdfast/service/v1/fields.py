"""The header fields by which requests say what a put is told beside its bytes, and answers what a record is."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from email.utils import formatdate
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from ...address import format_address, format_path, parse_path
from ...catalog.base import Fence
from ...errors import InvalidArgumentError
from ...hashing import ALGORITHMS
from ...model import STORABLE, Codec, Record, from_epoch
from ...options import PutOptions
from ...serializers.exact_json import load as load_json
from ...storages.base import OCTETS
from ...tokens import Access
from ..answer import Headers
from ..base import Exchange
from .conditions import tag

__all__ = [
    "Held", "expiry_of", "given_options", "held_lease", "only", "put_status", "record_fields", "record_json",
    "time_text", "told",
]  # fmt: skip

_TAG = b"holdfast-tag-"
_NAME = re.compile("[a-z0-9_.-]{1,60}")  # of a tag that can be part of a header field's name
_LONGEST = 4096  # bytes of tags in one field; longer ones are in the record only, as many clients take no more
_MALFORMED = re.compile("%(?![0-9A-Fa-f]{2})")
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_PLAIN: Headers = [
    (b"accept-ranges", b"bytes"),
    (b"cache-control", b"private, no-cache"),
    # What somebody stored is never run as a page of this service, nor taken for what it is not.
    (b"content-security-policy", b"sandbox"),
    (b"x-content-type-options", b"nosniff"),
]


class Held(NamedTuple):
    """A lease that a client says it holds; the commit checks that."""

    fence: Fence


# --- what a request says ----------------------------------------------------------------------------------------------


def only(given: dict[str, Any], *names: str) -> None:
    """Refuse an object that has other fields than these.

    Raises:
        InvalidArgumentError: it has; the message names one.
    """
    for name in given:
        if name not in names:
            raise InvalidArgumentError(f"there is no {name!r:.80} here, but {', '.join(names)}")


def given_options(exchange: Exchange) -> PutOptions:
    """The options of a put, its conditions aside.

    Raises:
        InvalidArgumentError: a header field is malformed.
    """
    content_type = exchange.header(b"content-type")
    options: PutOptions = {"content_type": OCTETS if content_type is None else content_type}
    tags: dict[str, str] = {}
    for name, raw in exchange.fields():
        if not name.startswith(b"holdfast-"):
            continue
        value = raw.decode("latin-1")
        if name.startswith(_TAG):
            tags[name[len(_TAG) :].decode("latin-1")] = _unquoted(name, value)
        elif name == b"holdfast-tags":
            tags.update(_json_object(name, _unquoted(name, value)))
        elif name == b"holdfast-expires":
            options["expires"] = expiry_of(value.strip())
        elif name == b"holdfast-durability":
            options["durability"] = value.strip()
        elif name == b"holdfast-lease":
            options["lease"] = held_lease(value)
        else:
            raise InvalidArgumentError(f"a put has no header field {name.decode('latin-1')}")
    if tags:
        options["tags"] = tags
    return options


def _unquoted(name: bytes, text: str) -> str:
    try:
        if _MALFORMED.search(text):
            raise ValueError("malformed escape")
        return unquote_to_bytes(text.encode("latin-1")).decode()
    except ValueError as error:
        raise InvalidArgumentError(f"{name.decode('latin-1')} is not percent-encoded UTF-8: {error}") from None


def _json_object(name: bytes, text: str) -> dict[str, Any]:
    try:
        found = load_json(text.encode(), "")
    except ValueError as error:
        raise InvalidArgumentError(f"{name.decode()} is not JSON{error}") from None
    if not isinstance(found, dict):
        raise InvalidArgumentError(f"{name.decode()} must be a JSON object of strings")
    return found


def expiry_of(given: Any) -> timedelta | datetime | None:
    """When a record is to end: seconds from now, or a time with its zone as of RFC 3339; None for never.

    Raises:
        InvalidArgumentError: it is neither.
    """
    if given is None:
        return None
    try:
        if isinstance(given, str) and not _SECONDS.fullmatch(given):
            when = datetime.fromisoformat(given)
            if when.tzinfo is not None:
                return when
        elif not isinstance(given, bool) and 0 <= float(given) < 1e12:
            return timedelta(seconds=float(given))
    except (TypeError, ValueError, OverflowError):
        pass
    told = "expires is a number of seconds from now, or a time such as 2031-01-31T12:00:00Z"
    raise InvalidArgumentError(f"{told}, not {given!r:.100}")


def held_lease(text: str | None) -> Held | None:
    """The lease of a header field ``name;token``, the name percent-encoded; None for no field.

    Raises:
        InvalidArgumentError: it is malformed.
    """
    if text is None:
        return None
    name, semicolon, token = text.rpartition(";")
    token = token.strip()
    if not semicolon or not token.isdecimal() or not token.isascii() or len(token) > 18:
        raise InvalidArgumentError(f"holdfast-lease is a lease's name and token, as in nightly;7, not {text!r:.100}")
    return Held(Fence(_unquoted(b"holdfast-lease", name.strip()), int(token)))


# --- what an answer says ----------------------------------------------------------------------------------------------


def record_fields(row: tuple[Any, ...], codec: Codec) -> Headers:
    """The header fields that tell of a record, or an entry, row."""
    version = row[2]
    fields = [
        (b"content-type", codec.content_type.encode("latin-1", "replace")),
        (b"etag", tag(version)),
        (b"last-modified", _http_date(int(row[5]))),
        (b"holdfast-version", b"%d" % version),
        (b"holdfast-created", _time(row[4])),
        (b"holdfast-updated", _time(row[5])),
        *_PLAIN,
    ]
    if row[10] is not None:
        fields.append((b"holdfast-digest", f"{ALGORITHMS.get(row[9], row[9])}:{row[10].hex()}".encode()))
    if codec.serializer is not None:
        fields.append((b"holdfast-serializer", codec.serializer.encode()))
    if row[6] is not None:
        fields.append((b"holdfast-expires", _time(row[6])))
    if row[7]:
        fields += _tag_fields(row[7])
    return fields


def _tag_fields(text: str) -> Headers:
    whole = quote(text, safe="").encode()
    if len(whole) > _LONGEST:
        return []
    tags: dict[str, str] = json.loads(text)
    each = [(_TAG + name.encode(), quote(value).encode()) for name, value in tags.items() if _NAME.fullmatch(name)]
    return [(b"holdfast-tags", whole), *each]


@lru_cache(1000)
def _http_date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()


@lru_cache(1000)
def time_text(seconds: float | None) -> str | None:
    """A time of the catalog as RFC 3339 has it, in UTC."""
    if seconds is None:
        return None
    whole, millionths = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{_second(whole)}.{millionths:06}Z"


@lru_cache(1000)
def _second(seconds: int) -> str:
    when = from_epoch(seconds)
    return "" if when is None else when.isoformat()[:19]


def _time(seconds: float) -> bytes:
    return (time_text(seconds) or "").encode()


_scope_text = lru_cache(1000)(format_path)


def put_status(record: Record) -> int:
    """The status of a put: 201 for a new key, 200 for one that was there."""
    row = record.row
    return 201 if row.created == row.updated else 200


def told(access: Access, record: Record) -> dict[str, Any]:
    """JSON for the writer of a record: all of it if the token may read there, else key, scope, address and version."""
    found = record_json(record)
    if access.allows(parse_path(record.scope), "read"):
        return found
    return {name: found[name] for name in ("key", "scope", "address", "version")}


def record_json(record: Record) -> dict[str, Any]:
    """A record as JSON."""
    row, scope = record.row, _scope_text(record.path)
    found = {
        "key": row.key,
        "scope": scope,
        "address": f"{scope}/{format_address((), row.key)}",
        "version": row.version,
        "size": row.size,
        "content_type": record.content_type,
        "serializer": record.serializer,
        "encoding": record.encoding,
        "digest": None if row.digest is None else f"{ALGORITHMS.get(row.algorithm, row.algorithm)}:{row.digest.hex()}",
        "created": time_text(row.created),
        "updated": time_text(row.updated),
        "expires": time_text(row.expires),
        "tags": json.loads(row.tags) if row.tags else {},
        "storage": record._storage,
    }
    if record.serializer == STORABLE:
        found["contents"] = list(record.contents)
    return found
