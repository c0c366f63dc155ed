"""``/v1/batch`` and ``/v1/transactions``: many operations in one request, each for itself, or all in one commit."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

from ...address import Path, parse_address
from ...api import Scope
from ...catalog.base import HEAD, EntryRow, Expect
from ...errors import ConflictError, HoldfastError, InvalidArgumentError
from ...options import PutOptions, check_version, tags_text
from ...reading import chunks, make_record, read_current
from ...transaction import Transaction
from ..answer import Answer, json_answer
from ..base import Exchange
from ..problems import Refusal, problem, public, status_and_code
from ..validation import check_length
from .fields import expiry_of, held_lease, only, put_status, record_json, told
from .values import JSON_NAME, shown

__all__ = ["batch", "transaction"]

_MOST = 1000  # operations
_ATTEMPTS = 10  # of a transaction, whose reads others made stale
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "get": (),
    "record": (),
    "put": ("value", "data", "content_type", "tags", "expires", "if_version"),
    "delete": ("if_version",),
    "add": ("amount",),
}


class _Operation:
    """One operation, checked."""

    def __init__(self, exchange: Exchange, given: Any) -> None:
        if not isinstance(given, dict):
            raise InvalidArgumentError('an operation is an object such as {"op": "get", "address": ...}')
        self.given, self.op = given, given.get("op")
        if not isinstance(self.op, str) or self.op not in _FIELDS:
            raise InvalidArgumentError(f"op must be one of {', '.join(_FIELDS)}, not {self.op!r:.80}")
        only(given, "op", "address", *_FIELDS[self.op])
        self.exchange, self.access = exchange, exchange.access
        self.path, self.key = _address(given.get("address"))
        exchange.need("read" if self.op in ("get", "record") else "write", self.path)

    def options(self) -> PutOptions:
        """What a put is told."""
        given = self.given
        options: PutOptions = {"if_version": check_version(given.get("if_version")), "tags": given.get("tags")}
        if "expires" in given:
            options["expires"] = expiry_of(given["expires"])
        if given.get("content_type") is not None:
            options["content_type"] = given["content_type"]
        return options

    def run(self, scope: Scope, room: list[int]) -> tuple[int, dict[str, Any]]:
        """Do it, in a scope of its path: the status, and what it came to."""
        given, key = self.given, self.key
        if self.op == "get":
            return 200, _value(scope, key, room, self.exchange.hold)
        if self.op == "record":
            return 200, {"record": record_json(scope.record(key))}
        if self.op == "delete":
            scope.delete(key, if_version=check_version(given.get("if_version")))
            return 204, {}
        if self.op == "add":
            entry = scope.add(key, given.get("amount", 1))
            return 200, {"value": entry.value, "record": told(self.access, entry.record)}
        options = self.options()
        check_length(tags_text(options["tags"]), "tags")
        if ("value" in given) == ("data" in given):
            raise InvalidArgumentError("put takes a JSON value, or data in base64; one of them")
        if "data" in given:
            record = scope.put_chunks(key, [_bytes(given["data"])], **options)
        else:
            value = given["value"]
            if type(value) is not int or not -(1 << 63) <= value < 1 << 63:  # else a native integer
                options["serializer"] = JSON_NAME
            record = scope.put(key, value, **options)
        return put_status(record), {"record": record_json(record)}


def _address(text: Any) -> tuple[Path, str]:
    path, key = parse_address(text)
    if key is None:
        raise InvalidArgumentError(f"{text!r:.200} names a scope and no key: add one, as in namespace:prod/model")
    return path, key


def _bytes(text: Any) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (TypeError, ValueError):
        raise InvalidArgumentError("data must be bytes in base64") from None


def _value(scope: Scope, key: str, room: list[int], hold: Callable[[int], None]) -> dict[str, Any]:
    """A record with its value, where that is JSON, or its bytes."""
    kernel, path = scope._kernel, scope.path

    def read(entry: EntryRow) -> dict[str, Any]:
        record = make_record(kernel, path, entry[:HEAD])
        if record.unpacked_size > room[0]:
            raise Refusal(413, "too_large", "the operations give more bytes than one answer may have: get it by itself")
        hold(record.unpacked_size)
        room[0] -= record.unpacked_size
        found: dict[str, Any] = {"record": record_json(record)}
        with suppress(Refusal):
            return {**found, "value": shown(kernel, path, key, entry[HEAD:], kernel.catalog.codec(entry[12]))}
        return {**found, "data": b64encode(b"".join(chunks(kernel, path, key, entry[HEAD:]))).decode()}

    return read_current(scope._entry(key), lambda: scope._entry(key), read)


async def _operations(exchange: Exchange, *more: str) -> tuple[list[Any], dict[str, Any]]:
    given = await exchange.json()
    only(given, "operations", *more)
    operations = given.get("operations")
    if not isinstance(operations, list) or len(operations) > _MOST:
        raise InvalidArgumentError(f"operations must be an array of at most {_MOST} of them")
    return operations, given


def _wrote(exchange: Exchange, paths: Iterator[Path]) -> None:
    for path in set(paths):
        exchange.service.wrote(path)


async def batch(exchange: Exchange) -> Answer:
    """Do each operation for itself, one after the other, and give what each came to."""
    operations, _ = await _operations(exchange)
    paths: list[Path] = []

    def all_of_them() -> Answer:
        room = [exchange.service.limits.json]
        return json_answer(200, {"results": [_alone(exchange, given, room, paths) for given in operations]})

    try:
        return await exchange.service.driver.away(all_of_them)
    finally:
        _wrote(exchange, iter(paths))


def _alone(exchange: Exchange, given: Any, room: list[int], paths: list[Path]) -> dict[str, Any]:
    try:
        operation = _Operation(exchange, given)
        paths.append(operation.path)
        status, found = operation.run(exchange.service.scope(operation.path), room)
        return {"status": status, **found}
    except (HoldfastError, Refusal) as error:
        status, code = status_and_code(error)
        return {"status": status, "error": {"code": code, "message": str(public(error))}}


class _Failed(Exception):
    """An operation of a transaction failed, or, without a number, what was expected."""

    def __init__(self, number: int | None, error: HoldfastError | Refusal) -> None:
        self.number, self.error = number, error


async def transaction(exchange: Exchange) -> Answer:
    """Do all operations in one commit, or none: the first error is the answer, with the number of its operation."""
    operations, more = await _operations(exchange, "expect", "durability", "lease")
    expect, lease = more.get("expect", {}), more.get("lease")
    if not isinstance(expect, dict):
        raise InvalidArgumentError("expect must be an object of addresses and their versions, 0 for none")
    held = held_lease(lease if isinstance(lease, str | None) else "")
    checked: list[_Operation] = []
    for number, given in enumerate(operations):
        try:
            checked.append(_Operation(exchange, given))
        except (HoldfastError, Refusal) as error:
            return _failed(exchange, number, error)
    expects = [
        Expect(exchange.need("read", path), key, check_version(version, "a version in expect") or 0)
        for (path, key), version in ((_address(text), version) for text, version in expect.items())
    ]
    work = partial(_together, exchange, checked, expects, held, more.get("durability"))
    try:
        results = await exchange.service.driver.away(work)
    except _Failed as failed:
        return _failed(exchange, failed.number, failed.error)
    _wrote(exchange, (operation.path for operation in checked))
    return json_answer(200, {"results": results})


def _failed(exchange: Exchange, number: int | None, error: HoldfastError | Refusal) -> Answer:
    status, code = status_and_code(error)
    which = {} if number is None else {"operation": number}
    return json_answer(status, {**problem(code, str(public(error)), exchange.id), **which})


def _together(
    exchange: Exchange, operations: list[_Operation], expects: list[Expect], lease: Any, durability: Any
) -> list[dict[str, Any]]:
    held = exchange.held
    for attempt in count(1):
        exchange.release(held)  # what another attempt read
        atomic = exchange.service.store.transaction(durability=durability)
        try:
            with atomic as inside:
                results = _inside(exchange, inside, operations, expects, lease)
        except ConflictError:  # of the commit: another one wrote what was read here
            if attempt == _ATTEMPTS:
                raise
            continue
        records = iter(atomic.records)
        for operation, result in zip(operations, results, strict=True):
            if operation.op in ("put", "add"):
                record = next(records)
                result["record"] = told(operation.access, record)
                if operation.op == "put":
                    result["status"] = put_status(record)
        return results
    raise AssertionError


def _inside(
    exchange: Exchange, inside: Transaction[Scope], operations: list[_Operation], expects: list[Expect], lease: Any
) -> list[dict[str, Any]]:
    room = [exchange.service.limits.json]
    results: list[dict[str, Any]] = []
    number: int | None = None
    try:
        inside.ledger.commit(expects, fence=None if lease is None else lease.fence)
        for operation in operations:
            number = len(results)
            scope = exchange.service.scope(operation.path).within(inside)
            status, found = operation.run(scope, room)
            results.append({"status": status, **found})
    except (HoldfastError, Refusal) as error:
        raise _Failed(number, error) from error
    return results
