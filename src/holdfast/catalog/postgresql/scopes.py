"""What the tree of scopes is in PostgreSQL: versions of one sequence, marks by the hash of their path."""

from __future__ import annotations

from typing import Any

from ..sql.engine import Session
from ..sql.scopes import Scopes as AnyScopes
from ..sql.scopes import tree_statement
from .core import Core
from .schema import HASH
from .statements import CHILDREN

__all__ = ["Scopes"]


class Scopes(AnyScopes, Core):
    """See :class:`holdfast.catalog.sql.scopes.Scopes`."""

    TREE = tree_statement('CAST(?2 AS text) COLLATE "C"')
    CHILDREN = CHILDREN
    MARK = "place"
    MARK_OF = HASH.format("CAST({0} AS text)")
    BELOW = "left(path,600)>=left(CAST(?1 AS text),600) AND left(path,600)<=left(CAST(?2 AS text),600) " + (
        "AND path>=?1 AND path<?2"
    )

    def raise_versions(self, session: Session, tree: str, values: tuple[Any, ...]) -> None:
        """See :meth:`Scopes.raise_versions <holdfast.catalog.sql.scopes.Scopes.raise_versions>`: all later versions are
        higher."""
        session.rows("UPDATE store SET epoch=epoch+1 WHERE id=1")

    def lift(self, session: Session, scope: int) -> None:
        """See :meth:`Scopes.lift <holdfast.catalog.sql.scopes.Scopes.lift>`."""
        session.rows(
            "UPDATE kept SET version=n.version FROM (SELECT id,nextval('versions') AS version FROM "
            "(SELECT id FROM kept WHERE scope=?1 ORDER BY version) o) n WHERE kept.id=n.id",
            (scope,),
        )
        session.rows("UPDATE records SET version=nextval('versions') WHERE scope=?1", (scope,))
