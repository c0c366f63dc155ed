"""Finding and putting one value: the hot path."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import apsw

from ...address import Path, format_address
from ...errors import InvalidArgumentError
from ...hashing import NONE
from ...model import DURABLE, POWER, RecordRow
from .core import Core, Session, refuse_root
from .statements import ADD, FIND, FIND_INLINE, PUT, PUT_FULL, RECORD, REPLACE_AT

__all__ = ["Values", "put_full"]

_NO_BLOB = (None,) * 8  # the columns of a value row behind ``blob``, when that is None
_INTEGER = 8  # bytes, as the size of a native integer's record


class Values(Core):
    """``find``, ``put`` and ``add``: one statement on the connection that the thread holds."""

    def find(self, path: Path, key: str) -> Sequence[tuple[Any, ...]]:
        """See :meth:`Catalog.find <holdfast.catalog.base.Catalog.find>`."""
        epoch, known = self._known
        scope = known.get(path)
        if scope is not None:
            try:
                rows: list[tuple[Any, ...]] = self._pool.local.rows(FIND_INLINE, (scope, key, epoch))
            except (AttributeError, apsw.Error):  # a thread's first call, or trouble: the long way sorts it out
                rows = []
            if len(rows) == 1 and rows[0][10] is None:
                return (rows[0] + _NO_BLOB,)
        return self.in_scope(path, FIND, lambda scope, epoch: (scope, key, epoch))

    def put(self, path: Path, key: str, row: tuple[Any, ...], power: bool = False) -> tuple[int, float, float]:
        """See :meth:`Catalog.put <holdfast.catalog.base.Catalog.put>`."""
        epoch, known = self._known
        scope = known.get(path)
        now = time.time()
        if scope is not None and not power and (self._pool.until[0] < now or self._pool.has_turn()):
            try:
                rows = self._pool.local.rows(PUT, (scope, key, epoch, 0, now, *row))
                if rows:
                    version, created = rows[0]
                    return version, created, now
            except (AttributeError, apsw.Error, OverflowError):
                pass  # nothing was written; the long way below finds out why, waits for other writers, or raises
        values = (POWER if power else 0, now, *row, None, None)

        def work(session: Session) -> tuple[int, float]:
            return put_full(session, session.make_scope(path), key, DURABLE, values)

        refuse_root(path, "hold records")
        version, created = self.transaction(work, power=power)
        return version, created, now

    def replace(self, path: Path, key: str, row: tuple[Any, ...], if_version: int) -> tuple[int, float, float] | None:
        """See :meth:`Ledger.replace <holdfast.catalog.base.Ledger.replace>`."""
        epoch, known = self._known
        scope = known.get(path)
        now = time.time()
        if scope is None or not (self._pool.until[0] < now or self._pool.has_turn()):
            return None
        try:
            rows = self._pool.local.rows(REPLACE_AT, (scope, key, epoch, 0, now, *row, if_version))
        except (AttributeError, apsw.Error, OverflowError):
            return None  # as in put
        return (*rows[0], now) if rows else None

    def add(self, path: Path, key: str, amount: int, codec: int, power: bool = False) -> tuple[int, RecordRow]:
        """See :meth:`Catalog.add <holdfast.catalog.base.Catalog.add>`."""
        epoch, known = self._known
        scope = known.get(path)
        now = time.time()
        if scope is not None and not power and (self._pool.until[0] < now or self._pool.has_turn()):
            try:
                rows = self._pool.local.rows(ADD, (scope, key, epoch, now, amount, codec))
                if rows:
                    return rows[0][0], RecordRow._make(rows[0][1:])
            except (AttributeError, apsw.Error, OverflowError):
                pass  # as in put
        refuse_root(path, "hold records")
        return self.transaction(lambda session: self._add(session, path, key, amount, codec, power), power=power)

    def _add(
        self, session: Session, path: Path, key: str, amount: int, codec: int, power: bool
    ) -> tuple[int, RecordRow]:
        scope = session.make_scope(path)
        rows = [RecordRow._make(row) for row in session.rows(RECORD, (scope, key, session.epoch))]
        visible = [row for row in rows if row.expires is None or row.expires > session.now]
        total, tags, expires = amount, None, None
        if visible:
            record = max(visible, key=lambda row: row.version)
            number = session.rows(
                "SELECT data FROM records WHERE scope=? AND key=? AND tier=?", (scope, key, record.tier)
            )
            if record.codec != codec or record.tier != DURABLE or not isinstance(number[0][0], int):
                raise InvalidArgumentError(
                    f"{format_address(path, key)} is not a native integer: only those can be added to"
                )
            total += number[0][0]
            tags, expires = record.tags, record.expires
        if not -(2**63) <= total < 2**63:
            raise InvalidArgumentError(
                f"the sum at {format_address(path, key)} leaves 64 bits: store it with put instead"
            )
        flags = POWER if power else 0
        values = (flags, session.now, expires, tags, NONE, None, _INTEGER, codec, None, None, total, None, None)
        version, created = put_full(session, scope, key, DURABLE, values)
        times = (created, session.now, expires)
        row = (key, DURABLE, version, flags, *times, tags, None, NONE, None, _INTEGER, codec, None, None, None, None)
        return total, RecordRow._make(row)


def put_full(session: Session, scope: int, key: str, tier: int, values: tuple[Any, ...]) -> tuple[int, float]:
    """Put a row inside a transaction, whatever was there; gives version and created.

    ``values`` are flags, now, expires, tags, algorithm, digest, size, codec, config, signature, data, session, blob;
    the reference to the blob was taken already.
    """
    row = (scope, key, session.epoch, *values, tier)
    try:
        return session.rows(PUT_FULL, row)[0]  # type: ignore[no-any-return]
    except apsw.ConstraintError:
        session.raise_ceiling(scope, key)
        return session.rows(PUT_FULL, row)[0]  # type: ignore[no-any-return]
