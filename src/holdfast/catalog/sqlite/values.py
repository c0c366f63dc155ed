"""Finding and putting one value: the hot path."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import apsw

from ...address import Path
from ...model import DURABLE, EPHEMERAL, POWER, RecordRow
from ..sql.engine import refuse_root
from ..sql.numbers import add_to
from .core import Core, Session
from .statements import ADD, FIND, FIND_INLINE, PUT, PUT_ENDING, REPLACE_AT

__all__ = ["Values"]

_NO_BLOB = (None,) * 8  # the columns of a value row behind ``blob``, when that is None


class Values(Core):
    """``find``, ``put`` and ``add``: one statement on the connection that the thread holds."""

    def find(self, path: Path, key: str) -> Sequence[tuple[Any, ...]]:
        """See :meth:`Catalog.find <holdfast.catalog.base.Catalog.find>`."""
        rows = self.short(FIND_INLINE, path, key)
        if len(rows) == 1 and rows[0][10] is None:
            return (rows[0] + _NO_BLOB,)
        return self.in_scope(path, FIND, lambda scope, epoch: (scope, key, epoch))

    def put(
        self, path: Path, key: str, row: tuple[Any, ...], power: bool = False, session: str | None = None
    ) -> tuple[int, float, float]:
        """See :meth:`Catalog.put <holdfast.catalog.base.Catalog.put>`."""
        epoch, known, _ = self._known
        scope = known.get(path)
        now = time.time()
        self.look(now)
        if scope is not None and not power and (self._pool.until[0] < now or self._pool.has_turn()):
            try:
                if session is None:
                    rows = self._pool.local.rows(PUT, (scope, key, epoch, 0, now, *row))
                else:
                    rows = self._pool.local.rows(PUT_ENDING, (scope, key, epoch, 0, now, *row, session))
                if rows:
                    version, created = rows[0]
                    return version, created, now
            except (AttributeError, apsw.Error, OverflowError):
                pass  # nothing was written; the long way below finds out why, waits for other writers, or raises

        def work(bound: Session) -> tuple[int, float, float]:
            values = (POWER if power else 0, bound.now, *row, session, None)
            tier = DURABLE if session is None else EPHEMERAL
            return *bound.put_row(bound.make_scope(path), key, tier, values)(), bound.now

        refuse_root(path, "hold records")
        return self.transaction(work, power=power)

    def replace(self, path: Path, key: str, row: tuple[Any, ...], if_version: int) -> tuple[int, float, float] | None:
        """See :meth:`Ledger.replace <holdfast.catalog.base.Ledger.replace>`."""
        epoch, known, _ = self._known
        scope = known.get(path)
        now = time.time()
        self.look(now)
        if scope is None or not (self._pool.until[0] < now or self._pool.has_turn()):
            return None
        try:
            rows = self._pool.local.rows(REPLACE_AT, (scope, key, epoch, 0, now, *row, if_version))
        except (AttributeError, apsw.Error, OverflowError):
            return None  # as in put
        return (*rows[0], now) if rows else None

    def add(self, path: Path, key: str, amount: int, codec: int, power: bool = False) -> tuple[int, RecordRow]:
        """See :meth:`Catalog.add <holdfast.catalog.base.Catalog.add>`."""
        epoch, known, _ = self._known
        scope = known.get(path)
        now = time.time()
        self.look(now)
        if scope is not None and not power and (self._pool.until[0] < now or self._pool.has_turn()):
            try:
                rows = self._pool.local.rows(ADD, (scope, key, epoch, now, amount, codec))
                if rows:
                    return rows[0][0], RecordRow._make(rows[0][1:])
            except (AttributeError, apsw.Error, OverflowError):
                pass  # as in put
        refuse_root(path, "hold records")
        return self.transaction(lambda session: add_to(session, path, key, amount, codec, power), power=power)()
