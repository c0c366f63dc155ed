"""Which instances a list has, and how many: by parameters of the query, those of Direktiv's among them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from ...flows.instances import InstanceInfo
from ..base import Exchange
from .bodies import clean, number, query
from .problems import invalid

__all__ = ["limit_of", "selection_of"]

_MOST = 1000  # items of one page

_FIELDS: dict[str, Callable[[InstanceInfo], Any]] = {
    "AS": lambda info: info.path,
    "STATUS": lambda info: info.status,
    "TRIGGER": lambda info: info.invoker,
    "CREATED": lambda info: info.begun,
}
_KINDS: dict[str, Callable[[Any, Any], bool]] = {
    "CONTAINS": lambda has, wanted: wanted in has,
    "PREFIX": lambda has, wanted: has.startswith(wanted),
    "MATCH": lambda has, wanted: has == wanted,
    "WORKFLOW": lambda has, wanted: has == wanted,
    "AFTER": lambda has, wanted: has > wanted,
    "BEFORE": lambda has, wanted: has < wanted,
}
_OF_TIMES = ("AFTER", "BEFORE")

_Choice = Callable[[InstanceInfo], bool]


def limit_of(exchange: Exchange) -> int:
    """How many at most.

    Raises:
        Problem: it is no number.
    """
    return min(number(exchange, "limit") or _MOST, _MOST)


def selection_of(exchange: Exchange) -> _Choice | None:
    """Whether an instance is among those that are asked for; None if all are.

    ``status`` and ``path`` name one of these; ``filter.field``, ``filter.type`` and ``filter.val`` say more, and may be
    there several times.

    Raises:
        Problem: there is no such filter.
    """
    wanted = [(_FIELDS[field], _KINDS["MATCH"], text) for field, text in _named(exchange) if text]
    parts = [exchange.query.get(f"filter.{part}", []) for part in ("field", "type", "val")]
    if len({len(part) for part in parts}) > 1:
        raise invalid("bad filtering arguments")
    for field, kind, text in zip(*parts, strict=True):
        if field not in _FIELDS or kind not in _KINDS or (field == "CREATED") != (kind in _OF_TIMES):
            raise invalid(f"no filter has the field {field:.40} and the type {kind:.40}")
        wanted.append((_FIELDS[field], _KINDS[kind], _time(text) if field == "CREATED" else text))
    if not wanted:
        return None
    return lambda info: all(fits(value(info), text) for value, fits, text in wanted)


def _named(exchange: Exchange) -> list[tuple[str, Any]]:
    path = query(exchange, "path")
    return [("STATUS", query(exchange, "status")), ("AS", path and clean(f"/{path}"))]


def _time(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"invalid filter value: {text:.80} is no time") from None
    return when if when.tzinfo is not None else when.replace(tzinfo=timezone.utc)
