"""Leases: who may be the only one, for a time, with a token that grows with each new owner of any."""

from __future__ import annotations

from ...errors import InvalidArgumentError, LeaseLost
from ..base import Fence, LeaseRow
from .engine import Engine, Locks, Session

__all__ = ["Leases"]

_LEASE = "SELECT name,owner,token,expires FROM leases WHERE name=?1"


class Leases(Engine):
    """Calls of leases. All tokens are of one counter: a lease given back leaves no row."""

    def acquire(self, name: str, owner: str, seconds: float, *, dead: str = "") -> LeaseRow:
        """See :meth:`Catalog.acquire <holdfast.catalog.base.Catalog.acquire>`."""
        if not owner:
            raise InvalidArgumentError("a lease needs an owner: a text that no other owner has")

        def work(session: Session) -> LeaseRow:
            rows = session.rows(_LEASE, (name,))
            if rows:
                held = LeaseRow._make(rows[0])
                if held.expires > session.now and held.owner != dead:
                    return held
            taken = LeaseRow(name, owner, session.next_token(), session.now + seconds)
            session.rows(
                "INSERT INTO leases(name,owner,token,expires) VALUES(?1,?2,?3,?4) ON CONFLICT(name) "
                "DO UPDATE SET owner=excluded.owner,token=excluded.token,expires=excluded.expires",
                tuple(taken),
            )
            return taken

        return self.transaction(work, spare=True, locks=Locks(lease=name))

    def holder(self, name: str) -> LeaseRow | None:
        """See :meth:`Catalog.holder <holdfast.catalog.base.Catalog.holder>`."""
        rows = [LeaseRow._make(row) for row in self.read(_LEASE, (name,))]
        return rows[0] if rows and rows[0].expires > self.now() else None

    def renew(self, fence: Fence, seconds: float) -> LeaseRow:
        """See :meth:`Catalog.renew <holdfast.catalog.base.Catalog.renew>`."""

        def work(session: Session) -> LeaseRow:
            rows = session.rows(
                "UPDATE leases SET expires=?1 WHERE name=?2 AND token=?3 AND expires>?4 "
                "RETURNING name,owner,token,expires",
                (session.now + seconds, fence.name, fence.token, session.now),
            )
            if not rows:
                raise LeaseLost(f"lease {fence.name!r} is no longer held with token {fence.token}: acquire it again")
            return LeaseRow._make(rows[0])

        return self.transaction(work, spare=True)

    def release(self, fence: Fence) -> None:
        """See :meth:`Catalog.release <holdfast.catalog.base.Catalog.release>`."""
        self.write("DELETE FROM leases WHERE name=?1 AND token=?2", (fence.name, fence.token), spare=True)
