"""Records as they are listed: whole pages, one statement each, nothing left open."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ...address import Path
from ...model import RecordRow
from ..base import EntryRow, Usage
from ..sql.engine import check_limit
from ..sql.listing import window
from .core import Core
from .statements import ENTRY, PAST, PAST_KEYS, RECORD, keys_statement, search_statement

__all__ = ["Listing"]

_KEYS = {bounded: keys_statement(bounded) for bounded in (False, True)}
_SEARCH = lru_cache(search_statement)

# ?1 scope, ?2 epoch, ?3 now
_USAGE = {
    expired: "SELECT count(*),ifnull(sum(CASE WHEN blob IS NULL THEN size END),0),"
    "ifnull(sum(CASE WHEN blob IS NOT NULL THEN size END),0) "
    f"FROM records WHERE scope=?1 AND({ones})HAVING(SELECT epoch FROM store WHERE id=1)=?2"
    for expired, ones in ((False, "expires IS NULL OR expires>?3"), (True, "expires<=?3"))
}


class Listing(Core):
    """``record``, ``entry``, ``past``, ``keys``, ``past_keys``, ``search`` and ``usage``."""

    def record(self, path: Path, key: str) -> Sequence[RecordRow]:
        """See :meth:`Catalog.record <holdfast.catalog.base.Catalog.record>`."""
        rows = self.in_scope(path, RECORD, lambda scope, epoch: (scope, key, epoch))
        return [RecordRow._make(row) for row in rows]

    def entry(self, path: Path, key: str) -> Sequence[EntryRow]:
        """See :meth:`Catalog.entry <holdfast.catalog.base.Catalog.entry>`."""
        return self.short(ENTRY, path, key) or self.in_scope(path, ENTRY, lambda scope, epoch: (scope, key, epoch))

    def past(self, path: Path, key: str) -> list[EntryRow]:
        """See :meth:`Catalog.past <holdfast.catalog.base.Ledger.past>`."""
        now = time.time()
        return self.in_scope(path, PAST, lambda scope, epoch: (scope, key, epoch, now))

    def past_keys(self, path: Path, start: str, end: str | None, limit: int) -> list[str]:
        """See :meth:`Catalog.past_keys <holdfast.catalog.base.Catalog.past_keys>`."""
        more = (time.time(), end, check_limit(limit))
        return [key for (key,) in self.in_scope(path, PAST_KEYS, lambda scope, epoch: (scope, start, epoch, *more))]

    def keys(self, path: Path, start: str, end: str | None, limit: int) -> list[str]:
        """See :meth:`Catalog.keys <holdfast.catalog.base.Catalog.keys>`."""
        now = time.time()
        last = () if end is None else (end,)
        rows = self.in_scope(
            path, _KEYS[end is not None], lambda scope, epoch: (scope, start, epoch, now, check_limit(limit), *last)
        )
        return [key for (key,) in rows]

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
        now, most = time.time(), check_limit(limit)
        wanted = (json.dumps(dict(tags)), len(tags)) if tags else (None, None)
        bounded, behind = page.end is not None, page.key is not None
        sql = _SEARCH(page.column, page.descending, bounded=bounded, after=behind, tagged=bool(tags))
        return self.in_scope(
            path, sql, lambda scope, epoch: (scope, page.start, epoch, now, most, page.end, *page[4:], *wanted)
        )

    def usage(self, path: Path, *, expired: bool = False) -> Usage:
        """See :meth:`Catalog.usage <holdfast.catalog.base.Catalog.usage>`."""
        now = time.time()
        rows = self.in_scope(path, _USAGE[expired], lambda scope, epoch: (scope, epoch, now))
        return Usage._make(rows[0]) if rows else Usage(0, 0, 0)
