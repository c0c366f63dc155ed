"""The tree of scopes: made, listed, renamed and dropped, each in one commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...address import Path, check_name, format_path
from ...errors import ConflictError, ExistsError, InvalidArgumentError, NotFoundError
from ...model import ScopeInfo
from ..sql.engine import refuse_root
from .core import Core, Session

__all__ = ["Scopes"]

# The scopes from ?1 down with their paths as text, the first one's being ?2 (address.format_path's encoding).
_NAMED = "replace(replace(replace({0},'%','%25'),'/','%2F'),':','%3A')"
_TREE = (
    "WITH RECURSIVE tree(id,path) AS (SELECT ?1,?2 UNION ALL SELECT s.id,t.path||'/'||"
    f"{_NAMED.format('s.kind')}||':'||{_NAMED.format('s.name')} FROM tree t JOIN scopes s ON s.parent=t.id)"
)

_HOLDS = (
    "SELECT EXISTS(SELECT 1 FROM records WHERE scope=?1 AND (expires IS NULL OR expires>?2)) "
    "OR EXISTS(SELECT 1 FROM scopes WHERE parent=?1)"
)


class Scopes(Core):
    """``scope_id``, ``scope``, ``create_scope``, ``children``, ``rename_scope``, ``drop_scope`` and ``was_dropped``."""

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

    def create_scope(self, path: Path, properties: Mapping[str, Any] | None = None, *, exist_ok: bool = True) -> None:
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
                session.rows("UPDATE scopes SET properties=? WHERE id=?", (text, scope))

        self.transaction(work)

    def children(self, path: Path, after: tuple[str, str] | None, limit: int) -> list[ScopeInfo]:
        """See :meth:`Catalog.children <holdfast.catalog.base.Catalog.children>`."""
        if limit < 1:
            raise InvalidArgumentError(f"limit is {limit}: it must be 1 or more")
        kind, name = after or ("", "")
        rows = self.in_scope(
            path,
            "SELECT kind,name,created,properties FROM scopes WHERE parent=?1 AND (kind,name)>(?2,?3) "
            "AND (SELECT epoch FROM store WHERE id=1)=?4 ORDER BY kind,name LIMIT ?5",
            lambda scope, epoch: (scope, kind, name, epoch, limit),
        )
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
            session.rows("UPDATE scopes SET name=? WHERE id=?", (name, scope))
            _leave(session, scope, path, dropped=False)
            _move_marks(session, path, new)
            _arrive(session, scope, new)

        if new == path:
            if self.scope_id(path) is None:
                raise NotFoundError(f"no scope {format_path(path)}")
            return
        self.transaction(work)

    def drop_scope(self, path: Path, *, only_empty: bool = False) -> None:
        """See :meth:`Catalog.drop_scope <holdfast.catalog.base.Catalog.drop_scope>`."""
        refuse_root(path, "be dropped")

        def work(session: Session) -> None:
            scope = session.scope(path)
            if scope is None:
                raise NotFoundError(f"no scope {format_path(path)}")
            if only_empty and session.rows(_HOLDS, (scope, session.now))[0][0]:
                raise ConflictError(f"the scope {format_path(path)} is not empty")
            _leave(session, scope, path, dropped=True)
            tree = (scope, "")
            session.rows(_TREE + "INSERT INTO dropped SELECT id FROM tree", tree)
            session.rows("DELETE FROM scopes WHERE id IN (SELECT scope FROM dropped)")

        self.transaction(work, spare=True)

    def was_dropped(self, path: Path) -> bool:
        """See :meth:`Catalog.was_dropped <holdfast.catalog.base.Catalog.was_dropped>`."""
        return bool(self.read("SELECT 1 FROM marks WHERE path=? AND dropped=1", (format_path(path),)))


def _leave(session: Session, scope: int, path: Path, *, dropped: bool) -> None:
    """The scopes from here down are no longer found under their paths: what is made there later has higher versions."""
    tree = (scope, format_path(path))
    session.rows(_TREE + "INSERT OR REPLACE INTO marks SELECT path,?3 FROM tree", (*tree, int(dropped)))
    session.rows(
        _TREE + "UPDATE store SET epoch=epoch+1,floor=max(floor,(SELECT max(ceiling) FROM scopes "
        "WHERE id IN (SELECT id FROM tree WHERE path>=?2)))WHERE id=1",
        tree,
    )
    session.found.clear()


def _move_marks(session: Session, path: Path, new: Path) -> None:
    """Marks of what was dropped below a renamed scope go along with it."""
    old, moved = format_path(path) + "/", format_path(new) + "/"
    below = "path>=?1 AND path<?2 AND dropped=1"
    span = (old, old[:-1] + "0")  # "0" follows "/"
    session.rows(
        f"INSERT OR REPLACE INTO marks SELECT ?3||substr(path,length(?1)+1),1 FROM marks WHERE {below}", (*span, moved)
    )
    session.rows(f"UPDATE marks SET dropped=0 WHERE {below}", span)


def _arrive(session: Session, scope: int, path: Path) -> None:
    """Scopes that take the paths of earlier ones move their versions above those that were seen there."""
    tree = (scope, format_path(path))
    reused = session.rows(_TREE + "SELECT t.id FROM tree t JOIN marks m ON m.path=t.path", tree)
    session.rows(_TREE + "DELETE FROM marks WHERE path IN (SELECT path FROM tree)", tree)
    floor = session.rows("SELECT floor FROM store WHERE id=1")[0][0]
    for (below,) in reused:
        session.rows("UPDATE records SET version=version+? WHERE scope=?", (floor, below))
        session.rows("UPDATE kept SET version=version+? WHERE scope=?", (floor, below))
        session.rows("UPDATE scopes SET floor=floor+?1,ceiling=ceiling+?1 WHERE id=?2", (floor, below))


def _loaded(text: str | None) -> dict[str, Any]:
    properties: dict[str, Any] = json.loads(text) if text else {}
    return properties
