"""``/v1/values``: the bytes of one record, there and back; and what is known of it, ``/v1/records`` and ``/v1/add``."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import lru_cache, partial
from typing import Any

from ...address import Path, format_address
from ...catalog.base import HEAD, Edit
from ...errors import DecodeError, InvalidArgumentError
from ...kernel import Kernel
from ...layout import packed_size, read_config
from ...model import Codec, Record
from ...options import Plan, PutOptions, check_content_type, expiry, tags_text
from ...payload import Payload
from ...reading import chunks, load
from ...registry import VALUE
from ...serializers.exact_json import dump
from ...serializers.exact_json import load as load_json
from ...serializers.value import ValueSerializer
from ...writing import Encoded, put_inline, put_stored
from ..answer import JSON, Answer, json_answer
from ..base import Exchange, Service
from ..problems import Refusal
from ..validation import check_length
from .conditions import expected_version, has_it, tag
from .content import Found, content_answer
from .fields import expiry_of, given_options, held_lease, only, put_status, record_fields, record_json, told

__all__ = [
    "JSON_NAME", "JSON_TYPE", "add", "body_json", "delete", "get", "is_json", "look", "made", "patch", "put",
    "put_object", "record", "shown", "store_body",
]  # fmt: skip

JSON_TYPE, JSON_NAME = "application/json", "holdfast.json@v1"
"""The content type of a body that is taken for a value, and the serializer that it then has."""
_AS_JSON = re.compile(JSON_TYPE + r'([ \t]*;[ \t]*charset[ \t]*=[ \t]*("utf-8"|utf-8))?', re.IGNORECASE)
_JSON_MOST = 4 << 20  # bytes of a body that is taken for a value, and of a value that is shown as JSON
_BRIEF = 1 << 14  # bytes that are put, or read as JSON, in the loop
_OF_BYTES = (b"content-type", b"accept-ranges", b"holdfast-digest")  # header fields that are not of a value as JSON
_SHOWN = (JSON_NAME, "holdfast.text@v1", "holdfast.int@v1", VALUE)
"""Serializers whose values are decoded here: reading their bytes runs no code of anybody's."""
_PLAIN = ValueSerializer()  # of one that knows no other serializer, so that nothing else is read inside of a value


# --- reading ----------------------------------------------------------------------------------------------------------


def is_json(content_type: str | None) -> bool:
    """Whether a body of this type is taken for a value."""
    return _AS_JSON.fullmatch(content_type or "") is not None


def look(service: Service, path: Path, key: str, version: int | None) -> Found:
    """A record with all that its answer needs, or this version of it."""
    scope = service.scope(path)
    row = scope._entry(key) if version is None else scope._version(key, version)
    return Found(row, service.kernel.catalog.codec(row[12]))


async def get(exchange: Exchange) -> Answer:
    """The bytes of a record, or with ``as=json`` its value as JSON."""
    version = content = None
    if exchange.query:
        version = exchange.whole_number("version", -1, (1 << 63) - 1) if "version" in exchange.query else None
        content = exchange.argument("content")
        shown = exchange.argument("as")
        if shown is not None:
            return await _as_json(exchange, shown, version)
    assert exchange.key is not None
    return await content_answer(
        exchange, partial(look, exchange.service, exchange.path, exchange.key, version), content
    )


async def _as_json(exchange: Exchange, wanted: str, version: int | None) -> Answer:
    if wanted != "json":
        raise InvalidArgumentError(f"as={wanted:.80}: a value is shown as json only")
    assert exchange.key is not None
    service, path, key = exchange.service, exchange.path, exchange.key
    found = await service.driver.look(partial(look, service, path, key, version))
    fields = [field for field in record_fields(found.row, found.codec) if field[0] not in _OF_BYTES]
    if has_it(exchange, found.row[2]):
        return Answer(304, fields)
    return Answer(200, [JSON, *fields], await service.driver.away(partial(_shown, service.kernel, path, key, found)))


def _shown(kernel: Kernel, path: Path, key: str, found: Found) -> bytes:
    where, row = format_address(path, key), found.row[HEAD:]
    if max(found.row[11], packed_size(read_config(row[7], where), where) or 0) > _JSON_MOST:
        raise Refusal(406, "not_acceptable", f"{where} has more than {_JSON_MOST} bytes: get them as they are")
    return dump(shown(kernel, path, key, row, found.codec))


def shown(kernel: Kernel, path: Path, key: str, row: tuple[Any, ...], codec: Codec) -> Any:
    """The value of a value row, where JSON can have it; reading it runs no code of anybody's.

    Raises:
        Refusal: 406, it has no form as JSON.
    """
    where, name = format_address(path, key), codec.serializer
    if name not in _SHOWN:
        told = f"{where} is {name or 'a file'} of {codec.content_type}, which has no form as JSON: get its bytes"
        raise Refusal(406, "not_acceptable", told)
    if name != VALUE:
        return load(kernel, path, key, row)
    try:
        if "parts" in read_config(row[7], where):
            raise TypeError("there are bytes, arrays or the like in it")
        value = _PLAIN.deserialize(Payload((b"".join(chunks(kernel, path, key, row)),), codec.content_type))
        dump(value)
    except (TypeError, DecodeError) as error:  # an EncodeError is a TypeError
        raise Refusal(406, "not_acceptable", f"{where} has no form as JSON: {error}") from None
    return value


async def record(exchange: Exchange) -> Answer:
    """What is known of a record, or with ``history=true`` of the versions that are kept beside it."""
    assert exchange.key is not None
    driver, scope, key = exchange.service.driver, exchange.scope, exchange.key
    if exchange.flag("history"):
        past = await driver.look(partial(scope.history, key))
        return json_answer(200, {"records": [record_json(old) for old in past]})
    found = await driver.look(partial(scope.record, key))
    return json_answer(200, record_json(found), [(b"etag", tag(found.version))])


# --- writing ----------------------------------------------------------------------------------------------------------


def made(exchange: Exchange, record: Record) -> Answer:
    """The answer to a put: 201 for a new key, 200 for one that was there."""
    exchange.service.wrote(exchange.path)
    return json_answer(put_status(record), record_json(record), [(b"etag", tag(record.version))])


async def put(exchange: Exchange) -> Answer:
    """Store the body."""
    options = given_options(exchange)
    if exchange.conditional:
        options["if_version"] = await expected_version(exchange)
    return made(exchange, await store_body(exchange, options))


async def store_body(exchange: Exchange, options: PutOptions) -> Record:
    """Store the body under the key that the route names: JSON as a value, all else as a file."""
    service, scope, key = exchange.service, exchange.scope, exchange.key
    assert key is not None
    as_json = is_json(options["content_type"])
    most = min(_JSON_MOST, service.limits.json) if as_json else min(_BRIEF, service.kernel.inline)
    first: list[bytes] = []
    while not exchange.whole and exchange.received <= most:
        first.append(await exchange.next_piece(service.limits.body))
        if as_json:
            exchange.hold(len(first[-1]))
    if not exchange.whole or exchange.received > most:
        return await scope.aio.put_chunks(key, _chained(first, exchange), **options)
    data = first[0] if len(first) == 1 else b"".join(first)
    plain = options.keys() == {"content_type"}
    plan = _typed(options["content_type"], service.kernel.power) if plain else scope._plan(options)
    return await _store(exchange, key, data, plan, as_json)


@lru_cache(1000)
def _typed(content_type: str, power: bool) -> Plan:
    """The plan of a put that is told no more than that."""
    return Plan(content_type=check_content_type(content_type), power=power)


async def put_object(exchange: Exchange, options: PutOptions) -> Record:
    """Store the body under the key that the route names; it must be a JSON object."""
    data, key = await exchange.body(min(_JSON_MOST, exchange.service.limits.json)), exchange.key
    assert key is not None
    if not isinstance(body_json(data), dict):
        raise InvalidArgumentError("the body must be a JSON object")
    if exchange.conditional:
        options["if_version"] = await expected_version(exchange)
    return await _store(exchange, key, data, exchange.scope._plan(options), True)


async def _store(exchange: Exchange, key: str, data: bytes, plan: Plan, as_json: bool) -> Record:
    service, size = exchange.service, len(data)
    driver = service.driver
    what = (service.kernel, exchange.path, key, data, plan, as_json)
    if size <= _BRIEF and size <= service.kernel.inline and not plan.power:
        return await driver.brief(partial(_put_small, *what))
    if size <= service.kernel.inline:
        return await driver.away(partial(_put_small, *what))
    encoded = await driver.away(partial(_encoded, service.kernel, data, plan, as_json))
    return await driver.drive(
        partial(put_stored, service.kernel, service.kernel.catalog, exchange.path, key, encoded[0], plan)
    )


async def _chained(first: list[bytes], exchange: Exchange) -> AsyncIterator[bytes]:
    """The pieces that have come and those to come; what may end in the catalog is in memory as a whole until then."""
    while first:
        yield first.pop(0)
    async for piece in exchange.pieces(exchange.service.limits.body):
        if exchange.received <= exchange.service.kernel.inline:
            exchange.hold(len(piece))
        yield piece


def body_json(data: bytes) -> Any:
    """A body that must be JSON, and such as the serializer would write.

    Raises:
        InvalidArgumentError: it is not JSON.
        EncodeError: it would not be read back exactly: too deep, or text that is no UTF-8.
    """
    try:
        value = load_json(data, "")
    except ValueError as error:
        told = f"the body is not JSON{error}; another content type than {JSON_TYPE} stores it as it is"
        raise InvalidArgumentError(told) from None
    dump(value)
    return value


def _encoded(kernel: Kernel, data: bytes, plan: Plan, as_json: bool) -> tuple[Encoded, int | None]:
    """A body as its record will have it: JSON is kept as it came, but for an integer that can be added to."""
    if as_json:
        value = body_json(data)
        if type(value) is int and -(1 << 63) <= value < 1 << 63 and str(value).encode() == data:
            return Encoded(kernel.integer, [], 8, None, None), value
    codec = kernel.codec_ids[JSON_NAME if as_json else None, plan.content_type or "", None]
    return Encoded(codec, [data], len(data), None, None), None


def _put_small(kernel: Kernel, path: Path, key: str, data: bytes, plan: Plan, as_json: bool) -> Record:
    encoded, integer = _encoded(kernel, data, plan, as_json)
    return put_inline(kernel, kernel.catalog, path, key, encoded, integer, plan)


async def patch(exchange: Exchange) -> Answer:
    """Change a record's tags, its expiry, or both, in one commit; its bytes stay."""
    given = await exchange.json()
    only(given, "tags", "expires")
    if not given:
        raise InvalidArgumentError("a record is changed by tags, expires, or both, in a JSON object")
    service, key = exchange.service, exchange.key
    assert key is not None
    columns: dict[str, Any] = {}
    if "tags" in given:
        if not isinstance(given["tags"], dict | None):
            raise InvalidArgumentError("tags must be a JSON object of strings, or null for none")
        columns["tags"] = check_length(tags_text(given["tags"]), "tags")
    if "expires" in given:
        columns["expires"] = expiry(expiry_of(given["expires"]), service.kernel.catalog.now)
    expected = await expected_version(exchange, missing_ok=False)
    change = Edit(exchange.path, key, **columns, if_version=expected)
    held = held_lease(exchange.header(b"holdfast-lease"))
    changed = await service.driver.brief(partial(exchange.scope._change, change, held))
    service.wrote(exchange.path)
    return json_answer(200, told(exchange.access, changed), [(b"etag", tag(changed.version))])


async def delete(exchange: Exchange) -> Answer:
    """Remove a record."""
    assert exchange.key is not None
    held = held_lease(exchange.header(b"holdfast-lease"))
    expected = await expected_version(exchange, missing_ok=False)
    await exchange.scope.aio.delete(exchange.key, if_version=expected, lease=held)
    exchange.service.wrote(exchange.path)
    return Answer(204, [])


async def add(exchange: Exchange) -> Answer:
    """Add to an integer."""
    given = await exchange.json()
    only(given, "amount")
    assert exchange.key is not None
    entry = await exchange.scope.aio.add(exchange.key, given.get("amount", 1))
    exchange.service.wrote(exchange.path)
    return json_answer(200, {"value": entry.value, "record": told(exchange.access, entry.record)})
