"""What the bytes in storages ask of PostgreSQL: rows that others hold are passed over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..base import Blob
from ..sql.blobs import Blobs as AnyBlobs
from ..sql.blobs import storages
from ..sql.columns import BLOB_COLUMNS
from ..sql.engine import check_limit
from .core import Core
from .schema import HASH
from .session import Session

__all__ = ["Blobs"]

_MARK = (
    "UPDATE blobs SET state=1 WHERE id IN (SELECT id FROM blobs WHERE refs=0 AND storage BETWEEN $1 AND $2 "
    "ORDER BY storage,id LIMIT $3 "
    f"FOR UPDATE SKIP LOCKED) RETURNING {BLOB_COLUMNS}"
)
_BUNDLES = (
    "SELECT 1 FROM blobs WHERE id IN (SELECT bundle FROM members WHERE blob=ANY(?1::int8[]))AND synced=0 "
    "ORDER BY id FOR UPDATE"
)
_SYNCED = "UPDATE blobs SET synced=1 WHERE id=ANY(?1::int8[])AND synced=0 AND state=0"
_HASHED = HASH.format("{0}")
_KNOWN = (
    "SELECT place FROM blobs b JOIN unnest($2::text[]) AS wanted(p) "
    f"ON b.storage=$1 AND {_HASHED.format('b.place')}={_HASHED.format('wanted.p')} AND b.place=wanted.p"
)


class Blobs(AnyBlobs, Core):
    """See :class:`holdfast.catalog.sql.blobs.Blobs`."""

    DROPPED = (
        "DELETE FROM records r USING (SELECT r.scope,r.key,r.tier FROM dropped d JOIN records r ON r.scope=d.scope "
        "LIMIT ?1 FOR UPDATE OF r SKIP LOCKED) o WHERE r.scope=o.scope AND r.key=o.key AND r.tier=o.tier RETURNING 1"
    )
    IDS = "SELECT unnest(?1::int8[])"
    UNHELD = "SELECT id FROM blobs WHERE refs=0 AND storage=0 ORDER BY id LIMIT ?1"
    SKIP_HELD = " FOR UPDATE SKIP LOCKED"

    def listed(self, items: Sequence[Any]) -> list[Any]:
        """See :meth:`Blobs.listed <holdfast.catalog.sql.blobs.Blobs.listed>`."""
        return list(items)

    def mark_synced(self, ids: Sequence[int]) -> None:
        """See :meth:`Catalog.mark_synced <holdfast.catalog.base.Catalog.mark_synced>`."""

        def work(session: Session) -> None:
            session.hold_blobs([], ids)
            session.rows(_BUNDLES, (list(ids),))
            session.rows(_SYNCED, (list(ids),))

        if ids:
            self.transaction(work)

    def garbage(self, limit: int = 1000, storage: int | None = None) -> list[Blob]:
        """See :meth:`Catalog.garbage <holdfast.catalog.base.Catalog.garbage>`."""
        rows = self.write(_MARK, (*storages(storage), check_limit(limit)))
        return [Blob._make(row) for row in sorted(rows)]

    def known(self, storage: int, configs: Sequence[str]) -> set[str]:
        """See :meth:`Catalog.known <holdfast.catalog.base.Catalog.known>`."""
        return {place for (place,) in self.read(_KNOWN, (storage, list(configs)))}

    def barrier(self) -> None:
        """See :meth:`Catalog.barrier <holdfast.catalog.base.Catalog.barrier>`.

        Each commit was on disk when it was made, and the server tidies its files by itself.
        """
        self.read("SELECT 1")
