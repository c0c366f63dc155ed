"""Finding and putting one value: the hot path, one statement each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...address import Path
from ...model import DURABLE, EPHEMERAL, POWER, RecordRow
from ..sql.engine import Locks, refuse_root
from ..sql.numbers import add_to
from ..sql.places import known_scope
from .core import Core
from .session import Session, split
from .statements import ADD, FIND, PUT, PUT_ENDING, REPLACE_AT

__all__ = ["Values", "joined"]


def joined(row: tuple[Any, ...], place: int = 9) -> tuple[Any, ...]:
    """A row without the number at its end, which stands in the place of the data where there is one."""
    number = row[-1]
    return row[:-1] if number is None else (*row[:place], number, *row[place + 1 : -1])


class Values(Core):
    """``find``, ``put``, ``replace`` and ``add``."""

    def find(self, path: Path, key: str) -> Sequence[tuple[Any, ...]]:
        """See :meth:`Catalog.find <holdfast.catalog.base.Catalog.find>`."""
        known = self._known
        epoch, scope = known[0], known_scope(known, path)
        while True:
            if scope is not None:
                values = (scope, key, epoch)
                rows = self.read(FIND, values)
                if rows:
                    return [joined(row) for row in rows if row[0] is not None]
            epoch, scope = self.resolve(path)
            if scope is None:
                return []

    def put(
        self, path: Path, key: str, row: tuple[Any, ...], power: bool = False, session: str | None = None
    ) -> tuple[int, float, float]:
        """See :meth:`Catalog.put <holdfast.catalog.base.Catalog.put>`."""
        flags = POWER if power else 0
        values = (*row[:8], *split(row[8]))
        if session is None:
            made = self._quickly(PUT, path, key, (flags, *values))
        else:
            made = self._quickly(PUT_ENDING, path, key, (flags, *values, session))
        if made is not None:
            version, created, updated = made
            return version, created, updated
        refuse_root(path, "hold records")

        def work(bound: Session) -> Any:
            tier = DURABLE if session is None else EPHEMERAL
            put = bound.put_row(bound.make_scope(path), key, tier, (flags, bound.now, *row, session, None))
            return put, bound.now

        put, now = self.transaction(work, power=power, locks=Locks([(path, key)]))
        version, created = put()
        return version, created, now

    def replace(self, path: Path, key: str, row: tuple[Any, ...], if_version: int) -> tuple[int, float, float] | None:
        """See :meth:`Ledger.replace <holdfast.catalog.base.Ledger.replace>`."""
        made = self._quickly(REPLACE_AT, path, key, (0, *row[:8], *split(row[8]), if_version))
        return None if made is None else (made[0], made[1], made[2])

    def _quickly(self, sql: str, path: Path, key: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The row of a statement that writes in a scope whose id is known, None when it did nothing."""
        epoch, known, _ = self._known
        scope = known.get(path)
        if scope is None:
            return None
        values = (scope, key, epoch, *values)
        rows = self.attempt(lambda link: link.rows(sql, values))
        return rows[0] if rows else None

    def add(self, path: Path, key: str, amount: int, codec: int, power: bool = False) -> tuple[int, RecordRow]:
        """See :meth:`Catalog.add <holdfast.catalog.base.Catalog.add>`."""
        if -(2**63) <= amount < 2**63:
            made = self._quickly(ADD, path, key, (POWER if power else 0, amount, codec))
            if made is not None:
                return made[0], RecordRow._make(made[1:])
        refuse_root(path, "hold records")
        locks = Locks([(path, key)], look=True)
        return self.transaction(
            lambda session: add_to(session, path, key, amount, codec, power), power=power, locks=locks
        )()
