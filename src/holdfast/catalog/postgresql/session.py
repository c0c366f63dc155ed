"""An open transaction: what one commit is made of, in few round trips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from ...address import Path, format_path
from ...model import RecordRow
from ..sql.engine import Locks
from ..sql.places import Found, Known, known_scope
from ..sql.policies import BoundSession
from .connection import Link, Statement
from .schema import HASH
from .statements import (
    BEGIN,
    DELETE,
    EDIT,
    EXPIRED,
    HOLD,
    HOLD_BLOBS,
    HOLD_KEYS,
    KEPT,
    LOOK,
    MAKE_SCOPE,
    PUT_FULL,
    RECORD,
    RESOLVE,
    RESTORE,
    WRITE_PAST,
)  # fmt: skip

__all__ = ["Again", "Session", "resolving", "split"]

_MANY = 500  # keys; the server has room for some thousand locks
_QUEUE, _BYTES = 100, 1 << 20  # statements that wait to be sent together, and bytes of their values
_UNMARK = f"DELETE FROM marks WHERE place={HASH.format('$1::text')}"


class Again(Exception):
    """Another transaction was in between: roll back, and do all of it again."""


def resolving(path: Path) -> Statement:
    """The statement that gives epoch and id of a path, and its values."""
    return RESOLVE, ([sha256(f"{kind}\x01{name}".encode()).digest() for kind, name in path], len(path))


def split(data: bytes | int | None) -> tuple[int | None, bytes | None]:
    """Content as the two columns that hold it: the one of native integers, and the one of bytes."""
    return (data, None) if isinstance(data, int) else (None, data)


class Session(BoundSession):
    """See :class:`holdfast.catalog.sql.policies.BoundSession`. Writes whose result nobody waits for are sent together.

    Attributes:
        committing: whether the commit was sent.
    """

    KEPT = KEPT
    EXPIRED = EXPIRED
    SKIP = " FOR UPDATE OF p SKIP LOCKED"
    SKIP_RECORDS = " FOR UPDATE OF r SKIP LOCKED"

    def __init__(self, link: Link, known: Known, locks: Locks | None) -> None:
        super().__init__(known)
        self._link = link
        self._queue: list[Statement] = []
        self._slots: list[list[Any]] = []
        self._waiting = 0
        self._looked: dict[tuple[int, str], list[RecordRow]] = {}
        self._missing: set[Path] = set()
        self.committing = False
        if locks is None:
            _, ((self.epoch, self.now),) = link.batch([("BEGIN", ()), (BEGIN, ())])
            if known[0] != self.epoch:
                self.forget_scopes()
        else:
            self._begin(known, locks)

    def _begin(self, known: Known, locks: Locks) -> None:
        """Begin, take the locks, and look at what is under the keys: in one round trip where all scopes are known."""
        places = list(dict.fromkeys(locks.keys))
        alone = locks.alone or len(places) > _MANY
        ids = [known_scope(known, path) for path, _ in places]
        found: tuple[list[Any], list[str]] | None = None if None in ids else (ids, [key for _, key in places])
        held = (alone, known[0], locks.lease, locks.fence, *(([], []) if alone or found is None else found))
        statements: list[Statement] = [("BEGIN", ()), (HOLD, held)]
        if locks.look and found is not None:
            statements.append((LOOK, found))
        _, ((self.epoch, self.now),), *rows = self._link.batch(statements)
        if self.epoch != known[0]:
            self.forget_scopes()
        if found is None or self.epoch != known[0]:
            scopes = {path: self.scope(path) for path in dict.fromkeys(path for path, _ in places)}
            self._missing = {path for path, scope in scopes.items() if scope is None}
            there = [(scope, key) for path, key in places if (scope := scopes[path]) is not None]
            found, rows = ([scope for scope, _ in there], [key for _, key in there]), []
            statements = [] if alone else [(HOLD_KEYS, found)]
            if locks.look:
                statements.append((LOOK, found))
            if there and statements:
                rows = self._link.batch(statements)[-1:]
        if locks.look:
            self._looked = {place: [] for place in zip(*found, strict=True)}
            for row in rows[0] if rows else ():
                self._looked[row[0], row[1]].append(RecordRow._make(row[1:]))

    # --- statements ---------------------------------------------------------------------------------------------------

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Run a statement with its values and give its rows."""
        self._flush()
        return self._link.rows(sql.replace("?", "$"), values)

    def later(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        """Have a statement run before the next one, or with the commit; its rows come into the list given."""
        slot: list[Any] = []
        self._queue.append((sql.replace("?", "$"), values))
        self._slots.append(slot)
        self._waiting += sum(len(value) for value in values if value.__class__ is bytes)
        if len(self._queue) >= _QUEUE or self._waiting > _BYTES:
            self._flush()
        return slot

    def _flush(self, *more: Statement) -> None:
        queue, slots = self._queue, self._slots
        if queue or more:
            self._queue, self._slots, self._waiting = [], [], 0
            for slot, rows in zip(slots, self._link.batch([*queue, *more]), strict=False):
                slot += rows

    def commit(self) -> None:
        """Settle, send what waits, and commit."""
        self.settle()
        self.committing = True
        self._flush(("COMMIT", ()))

    # --- scopes -------------------------------------------------------------------------------------------------------

    def resolved(self, path: Path) -> Found:
        """See :meth:`BoundSession.resolved <holdfast.catalog.sql.policies.BoundSession.resolved>`."""
        return Found.of(self.rows(*resolving(path))[0])

    def scope(self, path: Path) -> int | None:
        """See :meth:`Session.scope <holdfast.catalog.sql.engine.Session.scope>`."""
        scope = super().scope(path)
        if scope is not None and path in self._missing:
            # Somebody else has made it since, and we hold no key in it; another thread may even have remembered it.
            raise Again
        return scope

    def make_scope(self, path: Path) -> int:
        """See :meth:`Session.make_scope <holdfast.catalog.sql.engine.Session.make_scope>`."""
        scope = self.scope(path)
        if scope is not None:
            return scope
        if not path:
            return 0
        parent = self.make_scope(path[:-1])
        made = self.rows(MAKE_SCOPE, (parent, *path[-1], self.now))
        if not made:
            raise Again  # somebody else has just made it
        self._missing.discard(path)
        self.later(_UNMARK, (format_path(path),))
        scope = self.found[path] = int(made[0][0])
        return scope

    # --- rows of a key ------------------------------------------------------------------------------------------------

    def visible(self, scope: int | None, key: str) -> int:
        """See :meth:`Session.visible <holdfast.catalog.sql.engine.Session.visible>`."""
        rows = [] if scope is None else self.records(scope, key)
        return max((row.version for row in rows if row.expires is None or row.expires > self.now), default=0)

    def records(self, scope: int, key: str) -> list[RecordRow]:
        """See :meth:`Session.records <holdfast.catalog.sql.engine.Session.records>`."""
        looked = self._looked.get((scope, key))
        if looked is None:
            looked = [RecordRow._make(row) for row in self.rows(RECORD, (scope, key, self.epoch))]
        return looked

    def number(self, scope: int, key: str) -> int | None:
        """See :meth:`Session.number <holdfast.catalog.sql.engine.Session.number>`."""
        rows = self.rows("SELECT number FROM records WHERE scope=$1 AND key=$2 AND tier=0", (scope, key))
        return rows[0][0] if rows else None

    def next_token(self) -> int:
        """See :meth:`Session.next_token <holdfast.catalog.sql.engine.Session.next_token>`."""
        return int(self.rows("SELECT nextval('tokens')")[0][0])

    def hold_blobs(self, digests: Sequence[bytes], ids: Sequence[int]) -> None:
        """See :meth:`Session.hold_blobs <holdfast.catalog.sql.engine.Session.hold_blobs>`."""
        self.rows(HOLD_BLOBS, (list(digests), list(ids)))

    def seen(self, scope: int, version: int) -> None:
        """See :meth:`Session.seen <holdfast.catalog.sql.engine.Session.seen>`; later versions are higher anyway."""

    def write_put(self, scope: int, key: str, tier: int, values: tuple[Any, ...]) -> Callable[[], tuple[int, float]]:
        """See :meth:`BoundSession.write_put <holdfast.catalog.sql.policies.BoundSession.write_put>`."""
        made = self._row(PUT_FULL, scope, key, tier, values)
        return lambda: made[0]

    def _row(self, sql: str, scope: int, key: str, tier: int, values: tuple[Any, ...], *more: Any) -> list[Any]:
        self._looked.pop((scope, key), None)
        return self.later(sql, (scope, key, tier, *values[:10], *split(values[10]), *values[11:], *more))

    def write_restore(
        self, scope: int, key: str, tier: int, version: int, created: float, values: tuple[Any, ...]
    ) -> None:
        """See :meth:`BoundSession.write_restore <holdfast.catalog.sql.policies.BoundSession.write_restore>`."""
        self._row(RESTORE, scope, key, tier, values, version, created)

    def write_past(
        self, scope: int, key: str, tier: int, version: int, created: float, values: tuple[Any, ...]
    ) -> None:
        """See :meth:`BoundSession.write_past <holdfast.catalog.sql.policies.BoundSession.write_past>`."""
        self._row(WRITE_PAST, scope, key, tier, values, version, created)

    def write_edit(self, scope: int, key: str, tier: int, values: tuple[Any, ...]) -> Callable[[], int]:
        """See :meth:`BoundSession.write_edit <holdfast.catalog.sql.policies.BoundSession.write_edit>`."""
        self._looked.pop((scope, key), None)
        made = self.later(EDIT, (scope, key, tier, *values))
        return lambda: int(made[0][0])

    def write_delete(self, scope: int, key: str, tier: int | None) -> None:
        """See :meth:`BoundSession.write_delete <holdfast.catalog.sql.policies.BoundSession.write_delete>`."""
        self._looked.pop((scope, key), None)
        self.later(DELETE, (scope, key, tier))
