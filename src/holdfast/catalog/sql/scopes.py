"""The tree of scopes: made, listed, renamed and dropped, each in one commit."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from ...address import Path, check_name, format_path
from ...errors import ConflictError, ExistsError, InvalidArgumentError, NotFoundError
from ...model import ScopeInfo
from .engine import Engine, Locks, Session, check_limit, refuse_root

__all__ = ["Scopes", "tree_statement"]

_NAMED = "replace(replace(replace({0},'%','%25'),'/','%2F'),':','%3A')"


def tree_statement(path: str) -> str:
    """The scopes from ?1 down with their paths as text (address.format_path's encoding), the first one's being ?2."""
    return (
        f"WITH RECURSIVE tree(id,path) AS (SELECT CAST(?1 AS BIGINT),{path} UNION ALL SELECT s.id,t.path||'/'||"
        f"{_NAMED.format('s.kind')}||':'||{_NAMED.format('s.name')} FROM tree t JOIN scopes s ON s.parent=t.id)"
    )


_HOLDS = (
    "SELECT 1 WHERE EXISTS(SELECT 1 FROM records WHERE scope=?1 AND (expires IS NULL OR expires>?2)) "
    "OR EXISTS(SELECT 1 FROM scopes WHERE parent=?1)"
)

_ALONE = Locks(alone=True)


class Scopes(Engine):
    """``scope_id``, ``scope``, ``create_scope``, ``children``, ``rename_scope``, ``drop_scope`` and ``was_dropped``.

    A path that a scope has left is marked, and what is made there later has higher versions. How a catalog sees to that
    and finds its marks is told by the methods and texts below.

    Attributes:
        TREE: the scopes from ?1 down with their paths, the first one's being ?2, as the table ``tree(id,path)``.
        CHILDREN: statement for a page of the children of ?1 in epoch ?4, from behind the pair ?2, ?3, at most ?5.
        MARK: the column of ``marks`` by which one is found.
        MARK_OF: what stands in that column for the path {0}.
        BELOW: condition on a row of ``marks`` that its path is from ?1 on and before ?2.
    """

    TREE = tree_statement("?2")
    CHILDREN: str
    MARK = "path"
    MARK_OF = "{0}"
    BELOW = "path>=?1 AND path<?2"

    @abstractmethod
    def raise_versions(self, session: Session, tree: str, values: tuple[Any, ...]) -> None:
        """The scopes of this ``tree`` go from their paths: begin a new epoch, and versions above theirs."""

    @abstractmethod
    def lift(self, session: Session, scope: int) -> None:
        """Move the versions in a scope above those that were ever seen at its new path."""

    def scope_id(self, path: Path) -> int | None:
        """See :meth:`Catalog.scope_id <holdfast.catalog.base.Catalog.scope_id>`."""
        return self.resolve(path)[1]

    def scope(self, path: Path) -> ScopeInfo | None:
        """See :meth:`Catalog.scope <holdfast.catalog.base.Catalog.scope>`."""
        if not path:
            return ScopeInfo((), self.read("SELECT created FROM store WHERE id=1")[0][0], {})
        rows = self.in_scope(
            path,
            "SELECT created,properties FROM scopes WHERE id=?1 AND (SELECT epoch FROM store WHERE id=1)=?2",
            lambda scope, epoch: (scope, epoch),
        )
        return ScopeInfo(path, rows[0][0], _loaded(rows[0][1])) if rows else None

    def create_scope(
        self,
        path: Path,
        properties: Mapping[str, Any] | None = None,
        *,
        exist_ok: bool = True,
        created: float | None = None,
    ) -> None:
        """See :meth:`Catalog.create_scope <holdfast.catalog.base.Catalog.create_scope>`."""
        refuse_root(path, "be created")
        try:
            text = None if properties is None else json.dumps(dict(properties), ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise InvalidArgumentError(f"properties must be JSON: {error}") from error

        def work(session: Session) -> None:
            if not exist_ok and session.scope(path) is not None:
                raise ExistsError(f"the scope {format_path(path)} exists already")
            scope = session.make_scope(path)
            if text is not None:
                session.rows("UPDATE scopes SET properties=?1 WHERE id=?2", (text, scope))
            if created is not None:
                session.rows("UPDATE scopes SET created=?1 WHERE id=?2", (created, scope))

        self.transaction(work, locks=Locks())

    def children(self, path: Path, after: tuple[str, str] | None, limit: int) -> list[ScopeInfo]:
        """See :meth:`Catalog.children <holdfast.catalog.base.Catalog.children>`."""
        check_limit(limit)
        kind, name = after or ("", "")
        rows = self.in_scope(path, self.CHILDREN, lambda scope, epoch: (scope, kind, name, epoch, limit))
        return [ScopeInfo((*path, (kind, name)), created, _loaded(text)) for kind, name, created, text in rows]

    def rename_scope(self, path: Path, name: str) -> None:
        """See :meth:`Catalog.rename_scope <holdfast.catalog.base.Catalog.rename_scope>`.

        The records stay as they are, unless another scope had the new path before: then their versions are moved above
        those of that scope's records, in the same commit and so at the cost of one update a record.
        """
        refuse_root(path, "be renamed")
        new = (*path[:-1], check_name(path[-1][0], name))

        def work(session: Session) -> None:
            scope = session.scope(path)
            if scope is None:
                raise NotFoundError(f"no scope {format_path(path)}")
            if session.scope(new) is not None:
                raise ExistsError(f"a scope {format_path(new)} is there already")
            session.rows("UPDATE scopes SET name=?1 WHERE id=?2", (name, scope))
            self._leave(session, scope, path, dropped=False)
            self._move_marks(session, path, new)
            self._arrive(session, scope, new)

        if new == path:
            if self.scope_id(path) is None:
                raise NotFoundError(f"no scope {format_path(path)}")
            return
        self.transaction(work, locks=_ALONE)

    def drop_scope(self, path: Path, *, only_empty: bool = False) -> None:
        """See :meth:`Catalog.drop_scope <holdfast.catalog.base.Catalog.drop_scope>`."""
        refuse_root(path, "be dropped")

        def work(session: Session) -> None:
            scope = session.scope(path)
            if scope is None:
                raise NotFoundError(f"no scope {format_path(path)}")
            if only_empty and session.rows(_HOLDS, (scope, session.now)):
                raise ConflictError(f"the scope {format_path(path)} is not empty")
            self._leave(session, scope, path, dropped=True)
            session.rows(self.TREE + "INSERT INTO dropped SELECT id FROM tree", (scope, ""))
            session.rows("DELETE FROM scopes WHERE id IN (SELECT scope FROM dropped)")
            for table in ("policies", "surplus"):
                session.rows(f"DELETE FROM {table} WHERE scope IN (SELECT scope FROM dropped)")

        self.transaction(work, spare=True, locks=_ALONE)

    def was_dropped(self, path: Path) -> bool:
        """See :meth:`Catalog.was_dropped <holdfast.catalog.base.Catalog.was_dropped>`."""
        sql = f"SELECT 1 FROM marks WHERE {self.MARK}={self.MARK_OF.format('?1')} AND dropped=1"
        return bool(self.read(sql, (format_path(path),)))

    def _leave(self, session: Session, scope: int, path: Path, *, dropped: bool) -> None:
        """The scopes from here down are no longer found under their paths: what is made there is higher in versions."""
        tree = (scope, format_path(path))
        mark = f"SELECT path,CAST(?3 AS INTEGER) FROM tree WHERE true {self._replaced()}"
        session.rows(f"{self.TREE}INSERT INTO marks(path,dropped) {mark}", (*tree, int(dropped)))
        self.raise_versions(session, self.TREE, tree)
        session.forget_scopes()

    def _replaced(self) -> str:
        """What makes a new mark replace an earlier one."""
        return f"ON CONFLICT({self.MARK}) DO UPDATE SET dropped=excluded.dropped"

    def _move_marks(self, session: Session, path: Path, new: Path) -> None:
        """Marks of what was dropped below a renamed scope go along with it."""
        old, moved = format_path(path) + "/", format_path(new) + "/"
        span = (old, old[:-1] + "0")  # "0" follows "/"
        session.rows(
            "INSERT INTO marks(path,dropped) SELECT CAST(?3 AS TEXT)||substr(path,length(CAST(?1 AS TEXT))+1),1 "
            f"FROM marks WHERE {self.BELOW} AND dropped=1 {self._replaced()}",
            (*span, moved),
        )
        session.rows(f"UPDATE marks SET dropped=0 WHERE {self.BELOW} AND dropped=1", span)

    def _arrive(self, session: Session, scope: int, path: Path) -> None:
        """Scopes that take the paths of earlier ones move their versions above those that were seen there."""
        tree, place = (scope, format_path(path)), self.MARK_OF.format("t.path")
        reused = session.rows(f"{self.TREE}SELECT t.id FROM tree t JOIN marks m ON m.{self.MARK}={place}", tree)
        session.rows(f"{self.TREE}DELETE FROM marks WHERE {self.MARK} IN (SELECT {place} FROM tree t)", tree)
        for (below,) in reused:
            self.lift(session, below)


def _loaded(text: str | None) -> dict[str, Any]:
    properties: dict[str, Any] = json.loads(text) if text else {}
    return properties
