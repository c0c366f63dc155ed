"""What the bytes in storages ask of SQLite: its own ways of syncing, and lists of ids as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import apsw

from ..base import Blob
from ..sql.blobs import Blobs as AnyBlobs
from ..sql.blobs import storages
from ..sql.columns import BLOB_COLUMNS
from ..sql.engine import check_limit
from .core import Core, Session
from .failures import is_full, translated
from .opening import CHECKPOINT

__all__ = ["Blobs"]

_FREE = "FROM blobs INDEXED BY blobs_free WHERE refs=0 AND storage BETWEEN ?1 AND ?2"
_MARK = (
    f"UPDATE blobs SET state=1 WHERE id IN (SELECT id {_FREE} ORDER BY storage,id LIMIT ?3) RETURNING {BLOB_COLUMNS}"
)
_TALLY = "UPDATE store SET tally=tally+1 WHERE id=1"  # changes something, so that there is a commit to put on disk


class Blobs(AnyBlobs, Core):
    """See :class:`holdfast.catalog.sql.blobs.Blobs`. Everything here works on a full disk."""

    UNSYNCED = "blobs INDEXED BY blobs_unsynced"
    OF_DROPPED = "dropped d CROSS JOIN records r ON r.scope=d.scope"  # in this order
    DROPPED = f"DELETE FROM records WHERE id IN (SELECT r.id FROM {OF_DROPPED} LIMIT ?1)RETURNING 1"
    UNHELD = "SELECT id FROM blobs INDEXED BY blobs_unheld WHERE refs=0 AND storage=0 ORDER BY id LIMIT ?1"
    IDS = "SELECT value FROM json_each(?1)"

    def listed(self, items: Sequence[Any]) -> str:
        """See :meth:`Blobs.listed <holdfast.catalog.sql.blobs.Blobs.listed>`."""
        return json.dumps(list(items))

    def garbage(self, limit: int = 1000, storage: int | None = None) -> list[Blob]:
        """See :meth:`Catalog.garbage <holdfast.catalog.base.Catalog.garbage>`."""
        span = storages(storage)
        values = (*span, check_limit(limit))
        if not self.read(f"SELECT 1 {_FREE} LIMIT 1", span):
            return []

        def work(session: Session) -> list[Blob]:
            rows = session.rows(_MARK, values)
            # Those of a collector that died may be marked, but not on disk; and SQLite writes, and so syncs, nothing
            # for a row that is put as it was.
            if storage is None:
                session.rows(_TALLY)
            return [Blob._make(row) for row in sorted(rows)]

        return self.transaction(work, power=storage is None, spare=True)

    def forget(self, ids: Sequence[int]) -> None:
        """See :meth:`Catalog.forget <holdfast.catalog.base.Catalog.forget>`."""
        super().forget(ids)
        if ids:
            self.make_reserve()

    def known(self, storage: int, configs: Sequence[str]) -> set[str]:
        """See :meth:`Catalog.known <holdfast.catalog.base.Catalog.known>`."""
        sql = "SELECT b.place FROM json_each(?2) j CROSS JOIN blobs b ON b.storage=?1 AND b.place=j.value"
        return {place for (place,) in self.read(sql, (storage, self.listed(configs)))}

    def barrier(self) -> None:
        """See :meth:`Catalog.barrier <holdfast.catalog.base.Catalog.barrier>`.

        The log is copied into the database and begun anew, where readers and writers leave room for that.
        """
        self.transaction(lambda session: session.rows(_TALLY), power=True, spare=True)
        link = self._pool.link()
        with link.lock:
            link.connection.wal_autocheckpoint(CHECKPOINT)  # a full disk may have stopped it
            for mode in (apsw.SQLITE_CHECKPOINT_PASSIVE, apsw.SQLITE_CHECKPOINT_RESTART):
                try:
                    link.connection.wal_checkpoint("main", mode)
                except apsw.BusyError:
                    pass  # somebody reads or writes: the next barrier may find a gap
                except apsw.Error as error:
                    # Full: the log is on disk, which is what was promised; the copy waits for space.
                    if not is_full(error, link.connection):
                        raise translated(error, link.connection, self._where) from error
        self.make_reserve()
