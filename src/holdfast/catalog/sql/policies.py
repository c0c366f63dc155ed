"""What scopes ask for: replaced versions are kept, and there is no more in them than they allow.

Scopes that ask for something are known to a transaction by their accounts. What it does in them passes here, so that
nothing is looked up for the others.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any

from ...address import Path, format_path
from ...errors import InvalidArgumentError, QuotaExceededError
from ...model import DURABLE
from ..base import Policy
from .columns import KEPT_COLUMNS
from .engine import Locks, Session, refuse_root
from .places import Found, Known, Places

__all__ = ["CURRENT_PAST", "BoundSession", "Policies"]

CURRENT_PAST = (
    "r.version>coalesce((SELECT version FROM past WHERE scope=?1 AND key=?2 ORDER BY version DESC LIMIT 1 "
    "OFFSET coalesce((SELECT history FROM policies WHERE scope=?1),0)),0) AND(r.expires IS NULL OR r.expires>?4)"
)
"""Condition on a row of ``past`` of key ?2 in scope ?1, that it counts at ?4."""

_TRIM = (
    "DELETE FROM past WHERE scope=?1 AND key=?2 AND version<="
    "(SELECT version FROM past WHERE scope=?1 AND key=?2 ORDER BY version DESC LIMIT 1 OFFSET ?3)"
)
_SURPLUS = (
    "SELECT id FROM (SELECT id,row_number() OVER (PARTITION BY key ORDER BY version DESC) AS place "
    "FROM past WHERE scope=?1 AND key>=?2) p WHERE place>coalesce((SELECT history FROM policies WHERE scope=?1),0) "
    "LIMIT ?3"
)
_CHARGE = "UPDATE policies SET records=records+?2,bytes=bytes+?3 WHERE scope=?1 RETURNING records,bytes"
_COUNT = (
    "UPDATE policies SET (records,bytes)=(SELECT count(*),coalesce(sum(size),0) FROM records r WHERE r.scope=?1) "
    "WHERE scope=?1 AND (max_records IS NOT NULL OR max_bytes IS NOT NULL)"
)
_BATCH, _ALL = 1000, 2**62


class _Account:
    """What a transaction adds to one scope that asks for something."""

    __slots__ = ("bytes", "path", "policy", "records")

    def __init__(self, path: Path, policy: Policy) -> None:
        self.path, self.policy = path, policy
        self.records = self.bytes = 0

    @property
    def counted(self) -> bool:
        """Whether the scope has a quota, and so counters."""
        return self.policy.max_records is not None or self.policy.max_bytes is not None

    def excess(self, records: int, size: int) -> str | None:
        """What is wrong with so many records and bytes, if this transaction added to them."""
        _, most, largest = self.policy
        if most is not None and self.records > 0 and records > most:
            return f"may have {most:,} records, and would have {records:,}: delete some, or raise max_records"
        if largest is not None and self.bytes > 0 and size > largest:
            return f"may have {largest:,} bytes, and would have {size:,}: delete something, or raise max_bytes"
        return None


class BoundSession(Session):
    """Scopes as numbers, and the verbs on rows, each with what their scope asks for.

    Attributes:
        KEPT: as :data:`~holdfast.catalog.sql.columns.KEPT_COLUMNS`, with what the catalog adds to them.
        EXPIRED: statement that removes up to ?2 records that are expired at ?1, of the scope ?3 or (NULL) of any, and
            gives scope and size of each.
        SKIP: what makes a sub-select on ``past p`` pass over rows that others are about to remove.
        SKIP_RECORDS: the same for ``records r``.
        epoch: the epoch of the store, of the ids in use.
        found: ids of scopes that were looked up or made, and that ask for nothing.
        bound: those of the others.
    """

    KEPT = KEPT_COLUMNS
    EXPIRED: str
    SKIP = ""
    SKIP_RECORDS = ""

    epoch: int

    def __init__(self, known: Known) -> None:
        self._known = known
        self._accounts: dict[int, _Account] = {}
        self.found: dict[Path, int] = {}
        self.bound: dict[Path, tuple[int, Policy]] = {}

    # --- scopes -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def resolved(self, path: Path) -> Found:
        """What a path comes to, asked inside this transaction."""

    def scope(self, path: Path) -> int | None:
        """See :meth:`Session.scope <holdfast.catalog.sql.engine.Session.scope>`."""
        scope = self._known[1].get(path) or self.found.get(path)
        if scope is not None:
            return scope
        bound = self._known[2].get(path) or self.bound.get(path)
        if bound is None:
            _, scope, policy = self.resolved(path)
            if scope is None:
                return None
            if policy is None:
                self.found[path] = scope
                return scope
            bound = self.bound[path] = (scope, policy)
        self._accounts.setdefault(bound[0], _Account(path, bound[1]))
        return bound[0]

    def forget_scopes(self) -> None:
        """See :meth:`Session.forget_scopes <holdfast.catalog.sql.engine.Session.forget_scopes>`."""
        self._known = (self.epoch, {}, {})
        self.found.clear()
        self.bound.clear()

    def learned(self) -> Known:
        """The scopes that were looked up or made."""
        return self.epoch, self.found, self.bound

    # --- rows of a key ------------------------------------------------------------------------------------------------

    def put_row(self, scope: int, key: str, tier: int, values: tuple[Any, ...]) -> Callable[[], tuple[int, float]]:
        """See :meth:`Session.put_row <holdfast.catalog.sql.engine.Session.put_row>`."""
        if scope in self._accounts:
            self._replaces(scope, key, tier, values[6])
        return self.write_put(scope, key, tier, values)

    def restore_row(
        self, scope: int, key: str, tier: int, version: int, created: float, values: tuple[Any, ...]
    ) -> None:
        """See :meth:`Session.restore_row <holdfast.catalog.sql.engine.Session.restore_row>`."""
        if scope in self._accounts:
            self._replaces(scope, key, tier, values[6])
            self.later("DELETE FROM past WHERE scope=?1 AND key=?2 AND version=?3", (scope, key, version))
        self.write_restore(scope, key, tier, version, created, values)

    def edit_row(self, scope: int, key: str, tier: int, values: tuple[Any, ...]) -> Callable[[], int]:
        """See :meth:`Session.edit_row <holdfast.catalog.sql.engine.Session.edit_row>`."""
        if scope in self._accounts:
            self._keep(scope, key, tier)
        return self.write_edit(scope, key, tier, values)

    def delete_rows(self, scope: int, key: str, tier: int | None) -> None:
        """See :meth:`Session.delete_rows <holdfast.catalog.sql.engine.Session.delete_rows>`."""
        account = self._accounts.get(scope)
        if account is not None:
            if account.counted:
                gone = [row.size for row in self.records(scope, key) if tier is None or row.tier == tier]
                account.records -= len(gone)
                account.bytes -= sum(gone)
            self._keep(scope, key, tier)
        self.write_delete(scope, key, tier)

    def _replaces(self, scope: int, key: str, tier: int, size: int) -> None:
        account = self._accounts[scope]
        if account.counted:
            old = [row.size for row in self.records(scope, key) if row.tier == tier]
            account.records += 1 - len(old)
            account.bytes += size - sum(old)
        self._keep(scope, key, tier)

    def _keep(self, scope: int, key: str, tier: int | None) -> None:
        """Keep the row that is about to be replaced, unless it expired."""
        history = self._accounts[scope].policy.history
        if history and tier in (None, DURABLE):
            self.later(
                f"INSERT INTO past(scope,key,tier,{self.KEPT}) SELECT scope,key,tier,{self.KEPT} FROM records "
                f"WHERE scope=?1 AND key=?2 AND tier={DURABLE} AND(expires IS NULL OR expires>?3) "
                "ON CONFLICT DO NOTHING",
                (scope, key, self.now),
            )
            self.later(_TRIM, (scope, key, history))

    def has_room(self, scope: int, key: str, version: int) -> bool:
        """Whether a version of a key that comes from elsewhere would be kept: it is not there, and new enough."""
        account = self._accounts.get(scope)
        history = 0 if account is None else account.policy.history
        if not history or any(row.version == version for row in self.records(scope, key)):
            return False
        rows = self.rows(
            "SELECT version FROM past WHERE scope=?1 AND key=?2 AND version>=?3 ORDER BY version LIMIT ?4",
            (scope, key, version, history),
        )
        return len(rows) < history and (version,) not in [tuple(row) for row in rows]

    def keep_row(self, scope: int, key: str, tier: int, version: int, created: float, values: tuple[Any, ...]) -> None:
        """Keep a version that comes from elsewhere; ``values`` as :meth:`put_row` has them. The reference to its blob
        that was taken becomes the row's own."""
        self.write_past(scope, key, tier, version, created, values)
        self.later("UPDATE blobs SET refs=refs-1 WHERE id=?1", (values[-1],))
        self.later(_TRIM, (scope, key, self._accounts[scope].policy.history))
        self.seen(scope, version)

    @abstractmethod
    def write_put(self, scope: int, key: str, tier: int, values: tuple[Any, ...]) -> Callable[[], tuple[int, float]]:
        """:meth:`put_row`, whatever the scope asks for; so the others here."""

    @abstractmethod
    def write_restore(
        self, scope: int, key: str, tier: int, version: int, created: float, values: tuple[Any, ...]
    ) -> None:
        """:meth:`restore_row`."""

    @abstractmethod
    def write_past(
        self, scope: int, key: str, tier: int, version: int, created: float, values: tuple[Any, ...]
    ) -> None:
        """The row of :meth:`keep_row`."""

    @abstractmethod
    def write_edit(self, scope: int, key: str, tier: int, values: tuple[Any, ...]) -> Callable[[], int]:
        """:meth:`edit_row`."""

    @abstractmethod
    def write_delete(self, scope: int, key: str, tier: int | None) -> None:
        """:meth:`delete_rows`."""

    # --- what there is of them ----------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Before the commit: count what was added, in the order of scopes, so that no two wait for each other.

        Raises:
            QuotaExceededError: it is too much, also without what expired.
        """
        for scope, account in sorted(self._accounts.items()) if self._accounts else ():
            if not account.counted or not (account.records or account.bytes):
                continue
            counted = self.rows(_CHARGE, (scope, account.records, account.bytes))
            while counted and account.excess(*counted[0]):
                gone = self.rows(self.EXPIRED, (self.now, _BATCH, scope))
                if not gone:
                    problem = account.excess(*counted[0])
                    raise QuotaExceededError(f"{format_path(account.path)} {problem} with set_policy")
                counted = self.rows(_CHARGE, (scope, -len(gone), -sum(size for _, size in gone)))

    def sweep_expired(self, limit: int) -> int:
        """Remove expired records; gives their number."""
        gone = self.rows(self.EXPIRED, (self.now, limit, None))
        if gone:
            counted = {scope for (scope,) in self.rows("SELECT scope FROM policies WHERE records IS NOT NULL")}
            records = Counter(scope for scope, _ in gone)
            for scope in sorted(counted & records.keys()):
                size = sum(size for other, size in gone if other == scope)
                self.rows(_CHARGE, (scope, -records[scope], -size))
        return len(gone)

    def sweep_past(self, limit: int) -> int:
        """Remove kept versions that expired, are of dropped scopes, or are more than a scope asks for; their number."""
        done = 0
        for which, values in (("expires<=?2", (self.now,)), ("scope IN (SELECT scope FROM dropped)", ())):
            if done < limit:
                done += len(
                    self.rows(
                        "DELETE FROM past WHERE id IN "
                        f"(SELECT p.id FROM past p WHERE p.{which} LIMIT ?1{self.SKIP}) RETURNING 1",
                        (limit - done, *values),
                    )
                )
        if done < limit:
            for scope, key in self.rows("SELECT scope,key FROM surplus ORDER BY scope LIMIT 1"):
                done += self._trim_scope(scope, key, limit - done)
        return done

    def finish_surplus(self, scope: int) -> None:
        """Let go of all that is more than the scope asks for, before it asks for more: what is gone stays gone."""
        if self.rows("SELECT 1 FROM surplus WHERE scope=?1", (scope,)):
            self._trim_scope(scope, "", _ALL)

    def _trim_scope(self, scope: int, key: str, limit: int) -> int:
        # Unsorted: rows come in the order of the index, and what comes first is enough. A last look from the beginning
        # on does not rely on that; nor does it count, as writers of a key let go of its surplus, too.
        gone = self.rows(f"DELETE FROM past WHERE id IN ({_SURPLUS}) RETURNING key", (scope, key, limit))
        if len(gone) == limit or self.rows(_SURPLUS, (scope, key, 1)):
            last = max((key for (key,) in gone), key=str.encode, default=key)
            self.rows("UPDATE surplus SET key=?2 WHERE scope=?1", (scope, last))
        elif key:
            self.rows("UPDATE surplus SET key='' WHERE scope=?1", (scope,))
        else:
            self.rows("DELETE FROM surplus WHERE scope=?1", (scope,))
        return len(gone)

    def count(self, scope: int) -> None:
        """Count what is in a scope anew, if it has a quota."""
        self.rows(_COUNT, (scope,))


class Policies(Places):
    """``policy`` and ``set_policy``."""

    def policy(self, path: Path) -> Policy | None:
        """See :meth:`Catalog.policy <holdfast.catalog.base.Catalog.policy>`."""
        return self.find_scope(path).policy

    def set_policy(self, path: Path, policy: Policy | None, before: Policy | None = None) -> bool:
        """See :meth:`Catalog.set_policy <holdfast.catalog.base.Catalog.set_policy>`.

        A new epoch begins, so that no process goes on by what it remembers of the scope.
        """
        refuse_root(path, "ask for anything")
        wanted = policy or Policy()
        for name, number in zip(wanted._fields, wanted, strict=True):
            if number is not None and not 0 <= number < 2**63:
                raise InvalidArgumentError(f"{name} is {number}: it must be 0 or more")
        history = min(wanted.history, 2**31 - 1)

        def work(session: BoundSession) -> bool:
            scope = session.make_scope(path)
            rows = session.rows("SELECT history,max_records,max_bytes FROM policies WHERE scope=?1", (scope,))
            found = Policy(*rows[0]) if rows else Policy()
            if before not in (None, found):
                return False
            session.rows("UPDATE store SET epoch=epoch+1 WHERE id=1")
            if history > found.history:
                session.finish_surplus(scope)
            session.rows("DELETE FROM policies WHERE scope=?1", (scope,))
            if wanted != Policy():
                session.rows(
                    "INSERT INTO policies(scope,history,max_records,max_bytes) VALUES(?1,?2,?3,?4)",
                    (scope, history, *wanted[1:]),
                )
                session.count(scope)
            if found.history > history:
                session.rows(
                    "INSERT INTO surplus(scope,key) VALUES(?1,'') ON CONFLICT(scope) DO UPDATE SET key=''", (scope,)
                )
            session.forget_scopes()
            return True

        return self.transaction(work, spare=True, locks=Locks(alone=True))
