"""What the tree of scopes is in SQLite: floors and ceilings of versions, marks by their path."""

from __future__ import annotations

from typing import Any

from ..sql.engine import Session
from ..sql.scopes import Scopes as AnyScopes
from .core import Core

__all__ = ["Scopes"]

_TABLES = ("records", "kept", "past")
_BY = (
    "SELECT(SELECT floor FROM store WHERE id=1)-min(v) FROM(SELECT floor v FROM scopes WHERE id=?1"
    + "".join(f" UNION ALL SELECT min(version)-1 FROM {table} WHERE scope=?1" for table in _TABLES)
    + ")"
)


class Scopes(AnyScopes, Core):
    """See :class:`holdfast.catalog.sql.scopes.Scopes`."""

    CHILDREN = (
        "SELECT kind,name,created,properties FROM scopes WHERE parent=?1 AND (kind,name)>(?2,?3) "
        "AND (SELECT epoch FROM store WHERE id=1)=?4 ORDER BY kind,name LIMIT ?5"
    )

    def raise_versions(self, session: Session, tree: str, values: tuple[Any, ...]) -> None:
        """See :meth:`Scopes.raise_versions <holdfast.catalog.sql.scopes.Scopes.raise_versions>`."""
        session.rows(
            tree + "UPDATE store SET epoch=epoch+1,floor=max(floor,(SELECT max(ceiling) FROM scopes "
            "WHERE id IN (SELECT id FROM tree WHERE path>=?2)))WHERE id=1",
            values,
        )

    def lift(self, session: Session, scope: int) -> None:
        """See :meth:`Scopes.lift <holdfast.catalog.sql.scopes.Scopes.lift>`."""
        # No more than is needed: else renames back and forth double it each time.
        ((by,),) = session.rows(_BY, (scope,))
        if by <= 0:
            return
        for table in _TABLES:
            session.rows(f"UPDATE {table} SET version=version+?1 WHERE scope=?2", (by, scope))
        session.rows("UPDATE scopes SET floor=floor+?1,ceiling=ceiling+?1 WHERE id=?2", (by, scope))
