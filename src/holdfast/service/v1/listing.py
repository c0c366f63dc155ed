"""``/v1/children`` and ``/v1/keys``: what is below a scope and in it, page by page."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import Any

from ...address import check_key, check_name, format_path
from ...errors import InvalidArgumentError
from ...model import Codec, Record, RecordRow
from ...tokens import SERVICE
from ..answer import Answer, json_answer
from ..base import Exchange
from .fields import record_json
from .scopes import scope_json

__all__ = ["MOST", "children", "cursor", "cursor_text", "keys"]

MOST = 1000
"""Of what one page has at most."""

_AT_ONCE = 100  # of what is listed in the loop
_ASKED = ("prefix", "start", "end", "tag", "order", "kind")


# --- cursors ----------------------------------------------------------------------------------------------------------


def _of(exchange: Exchange) -> str:
    """What tells one listing from another, so that no cursor is used for one that it is not of."""
    asked = {name: exchange.query[name] for name in _ASKED if name in exchange.query}
    text = json.dumps([exchange.raw_path.split(b"/", 3)[2].decode("latin-1"), format_path(exchange.path), asked])
    return sha256(text.encode()).hexdigest()[:12]


def cursor_text(exchange: Exchange, position: list[Any]) -> str:
    """The text by which the listing of this request goes on behind a position."""
    return urlsafe_b64encode(json.dumps([_of(exchange), *position]).encode()).decode().rstrip("=")


def cursor(exchange: Exchange, read: Callable[[list[Any]], Any]) -> Any:
    """What ``read`` makes of the position in the request's cursor; None where there is none.

    Raises:
        InvalidArgumentError: it is no cursor of this listing.
    """
    text = exchange.argument("cursor")
    if text is None:
        return None
    try:
        of, *position = json.loads(urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)))
        if of == _of(exchange):
            return read(position)
    except (TypeError, ValueError, LookupError, RecursionError):  # ours of illegal names too
        pass
    raise InvalidArgumentError("this is no cursor of this listing: leave it away to begin anew")


# --- the listings -----------------------------------------------------------------------------------------------------


async def children(exchange: Exchange) -> Answer:
    """The scopes directly below one, by kind and name."""
    kind = exchange.argument("kind")
    limit = exchange.whole_number("limit", MOST, MOST)
    after = None if kind is None else (check_name(kind, "-")[0], "")
    after = cursor(exchange, _pair) or after
    catalog, path = exchange.service.kernel.catalog, exchange.path
    page = await exchange.service.driver.away(partial(catalog.children, path, after, limit)) if limit else []
    shown = [info for info in page if (kind is None or info.kind == kind) and (path or info.kind != SERVICE)]
    more = len(page) == limit and (kind is None or page[-1].kind == kind) if page else False
    return json_answer(200, {
        "scopes": [scope_json(info) for info in shown],
        "cursor": cursor_text(exchange, [page[-1].kind, page[-1].name]) if more else None,
    })  # fmt: skip


def _pair(position: list[Any]) -> tuple[str, str]:
    kind, name = position
    return check_name(kind, name)


async def keys(exchange: Exchange) -> Answer:
    """The keys of a scope, or its records."""
    scope, order = exchange.scope, exchange.argument("order") or "key"
    limit, records = exchange.whole_number("limit", MOST, MOST), exchange.flag("records")
    prefix, start = exchange.argument("prefix", ""), exchange.argument("start", "")
    end, tags = exchange.argument("end"), _tags(exchange)
    after: Record | None = cursor(exchange, partial(_after, exchange))
    listing = partial(scope.list, prefix, start=start, end=end, tags=tags, order=order, after=after, limit=limit)  # type: ignore[arg-type]
    if not records and order == "key" and not tags:
        begin = start or ""
        if after is not None:
            begin = max(begin, after.key + "\0", key=str.encode)
        listing = partial(scope.keys, prefix, start=begin, end=end, limit=limit)  # type: ignore[assignment,arg-type]
    answer = partial(_page, exchange, listing, limit, records, order)
    at_once = limit <= _AT_ONCE and order == "key" and not tags
    driver = exchange.service.driver
    return await (driver.look(answer) if at_once else driver.away(answer))


def _page(exchange: Exchange, listing: Callable[[], Any], limit: int, records: bool, order: str) -> Answer:
    page = list(islice(listing(), limit))
    last = page[-1] if page and len(page) == limit else None
    position = None
    if isinstance(last, Record):
        position = [last.key, getattr(last.row, order.removeprefix("-"))]
    elif last is not None:
        position = [last, last]
    names = [item.key if isinstance(item, Record) else item for item in page]
    return json_answer(200, {
        **({"records": list(map(record_json, page))} if records else {"keys": names}),
        "cursor": None if position is None else cursor_text(exchange, position),
    })  # fmt: skip


def _tags(exchange: Exchange) -> dict[str, str] | None:
    tags = {}
    for text in exchange.query.get("tag", ()):
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidArgumentError(f"tag is a name and its value, as in tag=stage=eval, not {text!r:.80}")
        tags[name] = value
    return tags or None


def _after(exchange: Exchange, position: list[Any]) -> Record:
    """A record that stands for the last one of the page before."""
    key, value = position
    column = (exchange.argument("order") or "key").removeprefix("-")
    empty = RecordRow(check_key(key), 0, 0, 0, 0.0, 0.0, None, None, None, 0, None, 0, 0, None, None, None, None)
    if column != "key":
        if type(value) not in (int, float) or not abs(value) < 1 << 62:
            raise ValueError(value)
        empty = empty._replace(**{column: value})
    return Record(exchange.path, empty, Codec(None, ""), None)
