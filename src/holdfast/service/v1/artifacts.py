"""``/v1/artifacts``: a named set of files with metadata, as one thing, and file by file."""

from __future__ import annotations

from functools import partial
from typing import Any

from ...artifact import METADATA
from ...catalog.base import HEAD
from ...errors import InvalidArgumentError, NotFoundError
from ...reading import load, visible_record
from ..answer import Answer, json_answer
from ..base import Exchange
from . import values
from .fields import given_options, record_json
from .listing import MOST, cursor, cursor_text
from .values import JSON_NAME, JSON_TYPE, is_json

__all__ = ["delete", "get", "put"]


def _check(exchange: Exchange) -> bool:
    """Whether a file is named, and not the artifact."""
    if not exchange.path or exchange.path[-1][0] != "artifact":
        raise InvalidArgumentError("an artifact is named by its scope, as in namespace:prod/artifact:run-7")
    if exchange.key == METADATA:
        raise InvalidArgumentError(f"{METADATA} holds the artifact's metadata: get and put it at the artifact itself")
    return exchange.key is not None


async def get(exchange: Exchange) -> Answer:
    """A file; or the manifest of the artifact, its files page by page."""
    if _check(exchange):
        return await values.get(exchange)
    limit, start = exchange.whole_number("limit", MOST, MOST), cursor(exchange, lambda position: str(position[0])) or ""
    return await exchange.service.driver.away(partial(_manifest, exchange, start, limit))


def _manifest(exchange: Exchange, start: str, limit: int) -> Answer:
    scope, kernel = exchange.scope, exchange.service.kernel
    if not scope.present:
        raise NotFoundError(f"no artifact {scope}")
    row = visible_record(kernel, kernel.catalog.entry(exchange.path, METADATA))
    metadata: Any = {}
    if row is not None:
        ours = kernel.catalog.codec(row[12]).serializer == JSON_NAME
        metadata = load(kernel, exchange.path, METADATA, row[HEAD:]) if ours else None
    page = list(scope.list(start=start, limit=limit))
    more = limit and len(page) == limit
    return json_answer(200, {
        "artifact": scope.name,
        "scope": str(scope),
        "metadata": metadata,
        "version": None if row is None else row[2],
        "files": [record_json(file) for file in page if file.key != METADATA],
        "cursor": cursor_text(exchange, [page[-1].key + "\0"]) if more else None,
    })  # fmt: skip


async def put(exchange: Exchange) -> Answer:
    """A file; or the metadata of the artifact, which is made by it: a JSON object in place of what it was."""
    if _check(exchange):
        return await values.put(exchange)
    exchange.key = METADATA
    options = given_options(exchange)
    if not is_json(options["content_type"]):
        raise InvalidArgumentError(f"metadata is a JSON object of the type {JSON_TYPE}")
    return values.made(exchange, await values.put_object(exchange, options))


async def delete(exchange: Exchange) -> Answer:
    """A file; or the artifact with all its files, in one commit."""
    if _check(exchange):
        return await values.delete(exchange)
    if exchange.conditional or b"holdfast-lease" in exchange.headers:
        raise InvalidArgumentError("an artifact is removed as a whole, without conditions")
    await exchange.service.driver.away(exchange.scope.drop)
    exchange.service.wrote(exchange.path)
    return Answer(204, [])
