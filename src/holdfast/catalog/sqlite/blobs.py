"""Bytes in storages: which may not be on disk yet, which nobody needs, which are gone."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import apsw

from ...errors import InvalidArgumentError
from ..base import Blob, NewBlob
from .core import Core, Session
from .failures import is_full, translated
from .opening import CHECKPOINT
from .statements import REPLACE

__all__ = ["Blobs"]

_COLUMNS = "id,storage,place,algo,hash,bytes"
_MARK = (
    f"UPDATE blobs SET state=1 WHERE id IN (SELECT id FROM blobs WHERE refs=0 ORDER BY id LIMIT ?) RETURNING {_COLUMNS}"
)
_TALLY = "UPDATE store SET tally=tally+1 WHERE id=1"  # changes something, so that there is a commit to put on disk


class Blobs(Core):
    """For the sync thread, the recovery and the collector. Everything here works on a full disk."""

    def unsynced(self, *, boot: str, earlier: bool, after: int = 0, limit: int = 1000) -> list[Blob]:
        """See :meth:`Catalog.unsynced <holdfast.catalog.base.Catalog.unsynced>`.

        With ``earlier``, the bytes of an adopted store are left out: each is checked when it is read.
        """
        # IS NOT also takes those whose boot is not known.
        which = "boot IS NOT ?1 AND boot IS NOT ''" if earlier else "boot=?1"
        rows = self.read(
            f"SELECT {_COLUMNS} FROM blobs INDEXED BY blobs_unsynced WHERE synced=0 AND {which} AND state=0 AND refs>0 "
            "AND id>?2 ORDER BY id LIMIT ?3",
            (boot, after, _checked(limit)),
        )
        return [Blob._make(row) for row in rows]

    def mark_synced(self, ids: Sequence[int]) -> None:
        """See :meth:`Catalog.mark_synced <holdfast.catalog.base.Catalog.mark_synced>`."""
        if ids:
            sql = "UPDATE blobs SET synced=1 WHERE id IN (SELECT value FROM json_each(?)) AND synced=0 AND state=0"
            self.write(sql, (json.dumps(list(ids)),), spare=True)

    def trust(self, id: int, blob: NewBlob) -> None:
        """See :meth:`Catalog.trust <holdfast.catalog.base.Catalog.trust>`."""
        self.write(
            "UPDATE blobs SET place=?,synced=?,boot=?,device=?,inode=?,mtime=?,ctime=? WHERE id=? AND state=0",
            (blob.config, int(blob.synced), blob.boot, blob.device, blob.inode, blob.mtime, blob.ctime, id),
            spare=True,
        )

    def mark_lost(self, id: int) -> int:
        """See :meth:`Catalog.mark_lost <holdfast.catalog.base.Catalog.mark_lost>`.

        A kept version whose own sync is not recorded is gone back to as well, since its bytes may be on disk; the ones
        below it stay kept, and are next should those bytes turn out to be lost too.
        """
        return self.transaction(lambda session: _mark_lost(session, id), spare=True)

    def sweep(self, limit: int = 1000) -> int:
        """See :meth:`Catalog.sweep <holdfast.catalog.base.Catalog.sweep>`."""
        _checked(limit)
        while True:
            done, finished = self.transaction(lambda session: _sweep(session, limit), spare=True)
            if done or finished:
                return done

    def garbage(self, limit: int = 1000) -> list[Blob]:
        """See :meth:`Catalog.garbage <holdfast.catalog.base.Catalog.garbage>`."""
        values = (_checked(limit),)
        if not self.read("SELECT 1 FROM blobs WHERE refs=0 LIMIT 1"):
            return []

        def work(session: Session) -> list[Blob]:
            rows = session.rows(_MARK, values)
            # Those of a collector that died may be marked, but not on disk; and SQLite writes, and so syncs, nothing
            # for a row that is put as it was.
            session.rows(_TALLY)
            return [Blob._make(row) for row in sorted(rows)]

        return self.transaction(work, power=True, spare=True)

    def forget(self, ids: Sequence[int]) -> None:
        """See :meth:`Catalog.forget <holdfast.catalog.base.Catalog.forget>`."""
        if ids:
            sql = "DELETE FROM blobs WHERE id IN (SELECT value FROM json_each(?)) AND state=1 AND refs=0"
            self.write(sql, (json.dumps(list(ids)),), spare=True)
            self.make_reserve()

    def known(self, storage: int, configs: Sequence[str]) -> set[str]:
        """See :meth:`Catalog.known <holdfast.catalog.base.Catalog.known>`."""
        sql = "SELECT b.place FROM json_each(?2) j CROSS JOIN blobs b ON b.storage=?1 AND b.place=j.value"
        return {place for (place,) in self.read(sql, (storage, json.dumps(list(configs))))}

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

    def garbage_size(self) -> tuple[int, int, int]:
        """See :meth:`Catalog.garbage_size <holdfast.catalog.base.Catalog.garbage_size>`."""
        # A blob will be garbage too when the records that go are all that refer to it.
        row: tuple[int, int, int] = self.read(
            "WITH gone AS (SELECT blob FROM records WHERE expires<=?1 AND scope NOT IN (SELECT scope FROM dropped)"
            " UNION ALL SELECT r.blob FROM dropped d CROSS JOIN records r ON r.scope=d.scope),"
            "freed AS (SELECT b.bytes FROM (SELECT blob,count(*) n FROM gone WHERE blob IS NOT NULL GROUP BY blob) g "
            "JOIN blobs b ON b.id=g.blob WHERE b.refs=g.n UNION ALL SELECT bytes FROM blobs WHERE refs=0)"
            "SELECT (SELECT count(*) FROM gone),count(*),ifnull(sum(bytes),0) FROM freed",
            (time.time(),),
        )[0]
        return row


def _mark_lost(session: Session, blob: int) -> int:
    if not session.rows("UPDATE blobs SET state=2 WHERE id=? AND state IN (0,2) RETURNING id", (blob,)):
        return 0
    session.rows("DELETE FROM kept WHERE blob=?", (blob,))
    records = session.rows("SELECT id,scope,key,tier,version FROM records WHERE blob=?", (blob,))
    for record, scope, key, tier, version in records:
        kept = session.rows(
            "SELECT id,blob FROM kept WHERE scope=? AND key=? AND tier=? ORDER BY version DESC LIMIT 1",
            (scope, key, tier),
        )
        if not kept:
            session.rows("DELETE FROM records WHERE id=?", (record,))
            continue
        # The version that is lost was seen: those to come stay above it.
        session.rows("UPDATE scopes SET floor=?1 WHERE id=?2 AND floor<?1", (version, scope))
        row, place = kept[0]
        session.rows("UPDATE blobs SET refs=refs+1 WHERE id=?", (place,))
        session.rows(REPLACE, (row, record))
        session.rows("DELETE FROM kept WHERE id=?", (row,))
    return len(records)


def _sweep(session: Session, limit: int) -> tuple[int, bool]:
    """How many records were removed, and whether none are left that could be."""
    rows = session.rows(
        "DELETE FROM records WHERE id IN (SELECT id FROM records INDEXED BY records_expires WHERE expires<=? LIMIT ?) "
        "RETURNING 1",
        (session.now, limit),
    )
    done = len(rows)
    if done < limit:
        rows = session.rows(
            "DELETE FROM records WHERE id IN "
            "(SELECT r.id FROM dropped d CROSS JOIN records r ON r.scope=d.scope LIMIT ?)"
            "RETURNING 1",
            (limit - done,),
        )
        done += len(rows)
    session.rows(
        "DELETE FROM dropped WHERE scope IN (SELECT scope FROM dropped d "
        "WHERE NOT EXISTS(SELECT 1 FROM records WHERE scope=d.scope) LIMIT ?)",
        (max(limit, 1000),),
    )
    session.rows("DELETE FROM leases WHERE expires<=?", (session.now,))  # of owners who died
    return done, not session.rows("SELECT 1 FROM dropped LIMIT 1")


def _checked(limit: int) -> int:
    if limit < 1:
        raise InvalidArgumentError(f"limit is {limit}: it must be 1 or more")
    return limit
