"""Sessions that ephemeral records end with."""

from __future__ import annotations

from .engine import Engine, Locks
from .policies import BoundSession

__all__ = ["Sessions"]

_BATCH = 1000
_PATIENCE = 100  # times that rows are looked at which others hold

# From one to the next by the index, however many records each has.
_ALL = (
    "WITH RECURSIVE s(name) AS (SELECT min(session) FROM records WHERE session IS NOT NULL UNION ALL "
    "SELECT (SELECT min(session) FROM records WHERE session>s.name) FROM s WHERE s.name IS NOT NULL) "
    "SELECT name FROM s WHERE name IS NOT NULL"
)

_ONE = "SELECT 1 FROM records WHERE session=?1 LIMIT 1"


class Sessions(Engine):
    """``sessions`` and ``end_session``. What ends is expired, and so is hidden and collected as all that is."""

    def sessions(self) -> list[str]:
        """See :meth:`Catalog.sessions <holdfast.catalog.base.Catalog.sessions>`."""
        return [name for (name,) in self.read(_ALL)]

    def end_session(self, session: str) -> int:
        """See :meth:`Catalog.end_session <holdfast.catalog.base.Catalog.end_session>`."""

        def work(bound: BoundSession) -> int:
            some = f"SELECT scope,key,tier FROM records r WHERE session=?1 LIMIT ?3{bound.SKIP_RECORDS}"
            return len(
                bound.rows(
                    f"UPDATE records SET expires=?2,session=NULL WHERE (scope,key,tier) IN ({some}) RETURNING 1",
                    (session, bound.now, _BATCH),
                )
            )

        total, patience = 0, _PATIENCE
        while True:
            done = self.transaction(work, spare=True, locks=Locks())
            total, patience = total + done, patience - (not done)
            # Rows that were passed over are being put or deleted just now.
            if not done and not (patience and self.read(_ONE, (session,))):
                return total
