"""Records as they are listed: whole pages, one statement each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ...address import Path
from ...model import RecordRow
from ..base import HEAD, EntryRow, Usage
from ..sql.engine import check_limit
from ..sql.listing import window
from .core import Core
from .statements import ENTRY, PAST, RECORD, USAGE, keys_statement, past_keys_statement, search_statement
from .values import joined

__all__ = ["Listing"]

_KEYS = lru_cache(keys_statement)
_PAST_KEYS = lru_cache(past_keys_statement)
_SEARCH = lru_cache(search_statement)


def _bound(text: str) -> str:
    """The same bound among keys, which have no control characters, without the NUL that text cannot have here."""
    before, nul, _ = text.partition("\0")
    return before + "\x01" if nul else text


class Listing(Core):
    """``record``, ``entry``, ``past``, ``keys``, ``past_keys``, ``search`` and ``usage``."""

    def record(self, path: Path, key: str) -> Sequence[RecordRow]:
        """See :meth:`Catalog.record <holdfast.catalog.base.Catalog.record>`."""
        rows = self.in_scope(path, RECORD, lambda scope, epoch: (scope, key, epoch))
        return [RecordRow._make(row) for row in rows]

    def entry(self, path: Path, key: str) -> Sequence[EntryRow]:
        """See :meth:`Catalog.entry <holdfast.catalog.base.Catalog.entry>`."""
        rows = self.in_scope(path, ENTRY, lambda scope, epoch: (scope, key, epoch))
        return [joined(row, HEAD + 9) for row in rows]

    def past(self, path: Path, key: str) -> list[EntryRow]:
        """See :meth:`Catalog.past <holdfast.catalog.base.Ledger.past>`."""
        now = self.now()
        rows = self.in_scope(path, PAST, lambda scope, epoch: (scope, key, epoch, now))
        return [joined(row, HEAD + 9) for row in rows]

    def past_keys(self, path: Path, start: str, end: str | None, limit: int) -> list[str]:
        """See :meth:`Catalog.past_keys <holdfast.catalog.base.Catalog.past_keys>`."""
        sql, more = _PAST_KEYS(check_limit(limit)), (self.now(), end if end is None else _bound(end))
        rows = self.in_scope(path, sql, lambda scope, epoch: (scope, _bound(start), epoch, *more))
        return [key for (key,) in rows]

    def keys(self, path: Path, start: str, end: str | None, limit: int) -> list[str]:
        """See :meth:`Catalog.keys <holdfast.catalog.base.Catalog.keys>`."""
        sql = _KEYS(check_limit(limit), bounded=end is not None)
        start = _bound(start)
        last: tuple[str, ...] = () if end is None else (_bound(end),)
        return [key for (key,) in self.in_scope(path, sql, lambda scope, epoch: (scope, start, epoch, *last))]

    def search(
        self,
        path: Path,
        *,
        start: str = "",
        end: str | None = None,
        tags: Mapping[str, str] | None = None,
        order: str = "key",
        after: RecordRow | None = None,
        limit: int = 1000,
    ) -> list[tuple[Any, ...]]:
        """See :meth:`Catalog.search <holdfast.catalog.base.Catalog.search>`."""
        page = window(order, start, end, after)
        bounded, behind, tagged = page.end is not None, page.key is not None, bool(tags)
        sql = _SEARCH(page.column, page.descending, check_limit(limit), bounded=bounded, after=behind, tagged=tagged)
        start = _bound(page.start)
        more: tuple[Any, ...] = () if page.end is None else (_bound(page.end),)
        if behind:
            more += (page.value, page.key)
        if tags:
            more += (json.dumps(dict(tags)),)
        return self.in_scope(path, sql, lambda scope, epoch: (scope, start, epoch, *more), once=tagged)

    def usage(self, path: Path, *, expired: bool = False) -> Usage:
        """See :meth:`Catalog.usage <holdfast.catalog.base.Catalog.usage>`."""
        rows = self.in_scope(path, USAGE[expired], lambda scope, epoch: (scope, epoch))
        return Usage._make(rows[0]) if rows else Usage(0, 0, 0)
