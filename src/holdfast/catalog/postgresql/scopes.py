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
        tables = ("kept", "past", "records")  # the same version in two of them stays the same
        renumbered = ",".join(
            f"new_{table} AS (UPDATE {table} t SET version=n.new FROM numbers n WHERE t.scope=?1 AND t.version=n.old)"
            for table in tables
        )
        versions = " UNION ".join(f"SELECT version FROM {table} WHERE scope=?1" for table in tables)
        session.rows(
            "WITH numbers AS MATERIALIZED (SELECT version AS old,nextval('versions') AS new FROM "
            f"({versions} ORDER BY version) v),{renumbered} SELECT 1",
            (scope,),
        )
