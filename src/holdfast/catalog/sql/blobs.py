"""Bytes in storages: which may not be on disk yet, which nobody needs, which are gone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from ..base import Blob, MemberRow, NewBlob, Put, Since
from .changes import DAY
from .columns import BLOB_COLUMNS, MEMBERS
from .engine import Engine, Locks, check_limit
from .policies import BoundSession

__all__ = ["Blobs", "storages"]

_ALONE = Locks(alone=True)

_VACATED = (  # refs: neither garbage nor needed
    "INSERT INTO blobs(storage,place,algo,bytes,refs,state,synced,mtime)VALUES(?1,?2,0,0,?3,3,0,?4)"
)
# What is dying comes to be collected once more after that; nobody takes it meanwhile who wrote before.
_COLLECT_AGAIN = "UPDATE blobs SET refs=0,algo=CASE WHEN state=1 THEN -1 ELSE 0 END WHERE id=?1 AND(state=3 OR state=1)"
_GARBAGE = "INSERT INTO blobs(storage,place,algo,hash,bytes,refs,synced)VALUES(?1,?2,?3,?4,?5,0,1)"
_OF = "SELECT ?1 AS blob UNION SELECT bundle FROM members WHERE blob=?1"


def storages(one: int | None) -> tuple[int, int]:
    """The lowest and the highest id of the storages that are meant: of one, or of all."""
    return (1, 2**31 - 1) if one is None else (one, one)


class Blobs(Engine):
    """For the sync thread, the recovery and the collector.

    Attributes:
        UNSYNCED: the table of blobs, by the index of those whose sync is not recorded.
        DROPPED: statement that removes up to ?1 records of dropped scopes, with a row for each.
        OF_DROPPED: join of ``dropped d`` with the ``records r`` of its scopes.
        IDS: the ids in the list ?1.
        UNHELD: ids of up to ?1 bundles that nobody needs.
        SKIP_HELD: what makes a sub-select pass over rows that others hold, and take those that it gives.
    """

    UNSYNCED = "blobs"
    UNHELD: str
    SKIP_HELD = ""
    DROPPED: str
    OF_DROPPED = "dropped d JOIN records r ON r.scope=d.scope"
    IDS: str

    @abstractmethod
    def listed(self, items: Sequence[Any]) -> Any:
        """A list as the value of a statement."""

    def members(self, blob: int) -> list[MemberRow]:
        """See :meth:`Catalog.members <holdfast.catalog.base.Ledger.members>`."""
        return [MemberRow._make(row) for row in self.read(MEMBERS, (blob,))]

    def unsynced(self, *, boot: str, earlier: bool, after: int = 0, limit: int = 1000) -> list[Blob]:
        """See :meth:`Catalog.unsynced <holdfast.catalog.base.Catalog.unsynced>`.

        With ``earlier``, the bytes of an adopted store are left out: each is checked when it is read.
        """
        # Those whose boot is not known are of an earlier one, too.
        which = "boot IS DISTINCT FROM ?1 AND boot IS DISTINCT FROM ''" if earlier else "boot=?1"
        rows = self.read(
            f"SELECT {BLOB_COLUMNS} FROM {self.UNSYNCED} WHERE synced=0 AND {which} AND state=0 AND refs>0 AND id>?2 "
            "AND storage<>0 ORDER BY id LIMIT ?3",
            (boot, after, check_limit(limit)),
        )
        return [Blob._make(row) for row in rows]

    def mark_synced(self, ids: Sequence[int]) -> None:
        """See :meth:`Catalog.mark_synced <holdfast.catalog.base.Catalog.mark_synced>`."""
        if ids:
            sql = f"UPDATE blobs SET synced=1 WHERE id IN ({self.IDS}) AND synced=0 AND state=0"
            self.write(sql, (self.listed(ids),), spare=True)

    def trust(self, id: int, blob: NewBlob) -> None:
        """See :meth:`Catalog.trust <holdfast.catalog.base.Catalog.trust>`."""
        self.write(
            "UPDATE blobs SET place=?1,synced=?2,boot=?3,device=?4,inode=?5,mtime=?6,ctime=?7 WHERE id=?8 AND state=0",
            (blob.config, int(blob.synced), blob.boot, blob.device, blob.inode, blob.mtime, blob.ctime, id),
            spare=True,
        )

    def mark_lost(self, id: int) -> int:
        """See :meth:`Catalog.mark_lost <holdfast.catalog.base.Catalog.mark_lost>`.

        A kept version whose own sync is not recorded is gone back to as well, since its bytes may be on disk; the ones
        below it stay kept, and are next should those bytes turn out to be lost too.
        """

        def work(session: BoundSession) -> int:
            if not session.rows("UPDATE blobs SET state=2 WHERE id=?1 AND state IN (0,2) RETURNING id", (id,)):
                return 0
            session.rows(f"UPDATE blobs SET state=2 WHERE id IN ({_OF})", (id,))
            session.rows(f"DELETE FROM kept WHERE blob IN ({_OF})", (id,))
            session.rows(f"DELETE FROM past WHERE blob IN ({_OF})", (id,))
            records = session.rows(f"SELECT scope,key,tier,version FROM records WHERE blob IN ({_OF})", (id,))
            for scope, key, tier, version in records:
                self._go_back(session, (scope, key, tier), version)
            for scope in {row[0] for row in records}:
                session.count(scope)
            return len(records)

        return self.transaction(work, spare=True, locks=_ALONE)

    def _go_back(self, session: BoundSession, record: tuple[int, str, int], version: int) -> None:
        """Put the newest row that was kept for a record in its place, or remove the record where there is none."""
        kept = session.rows(
            "SELECT id,blob,version FROM kept WHERE scope=?1 AND key=?2 AND tier=?3 ORDER BY version DESC LIMIT 1",
            record,
        )
        if not kept:
            session.write_delete(*record)
            return
        session.seen(record[0], version)
        row, blob, back = kept[0]
        session.rows("UPDATE blobs SET refs=refs+1 WHERE id=?1", (blob,))
        session.rows(
            f"UPDATE records SET ({session.KEPT})=(SELECT {session.KEPT} FROM kept WHERE id=?4) "
            "WHERE scope=?1 AND key=?2 AND tier=?3",
            (*record, row),
        )
        session.rows("DELETE FROM kept WHERE id=?1", (row,))
        # It is the record again, and no longer a version before it.
        session.rows("DELETE FROM past WHERE scope=?1 AND key=?2 AND version=?3", (*record[:2], back))

    def sweep(self, limit: int = 1000) -> int:
        """See :meth:`Catalog.sweep <holdfast.catalog.base.Catalog.sweep>`."""
        check_limit(limit)

        def work(session: BoundSession) -> tuple[int, bool]:
            """How many records were removed, and whether nothing is left that could be."""
            done = session.sweep_expired(limit)
            if done < limit:
                done += len(session.rows(self.DROPPED, (limit - done,)))
            if done < limit:
                done += session.sweep_past(limit - done)
            session.rows(
                "DELETE FROM dropped WHERE scope IN (SELECT scope FROM dropped d "
                "WHERE NOT EXISTS(SELECT 1 FROM records WHERE scope=d.scope) "
                "AND NOT EXISTS(SELECT 1 FROM past WHERE scope=d.scope) LIMIT ?1)",
                (max(limit, 1000),),
            )
            session.rows("DELETE FROM leases WHERE expires<=?1", (session.now,))  # of owners who died
            found = session.rows(self.UNHELD, (limit,))
            gone = self._let_members_go(session, [id for (id,) in found]) if found else []
            more = (gone and len(found) == limit) or session.rows(
                "SELECT 1 FROM dropped UNION ALL SELECT 1 FROM surplus LIMIT 1"
            )
            return done, not more

        while True:
            done, finished = self.transaction(work, spare=True, locks=Locks())
            if done or finished:
                return done

    def _let_members_go(self, session: BoundSession, bundles: list[int]) -> list[Any]:
        """Remove bundles that nobody needs, unless others are at them just now; members are taken before bundles."""
        ids = self.listed(bundles)
        members = session.rows(f"SELECT blob FROM members WHERE bundle IN ({self.IDS})", (ids,))
        session.hold_blobs([], [blob for (blob,) in members])
        gone = session.rows(
            f"DELETE FROM blobs WHERE id IN (SELECT id FROM blobs WHERE id IN ({self.IDS})AND refs=0{self.SKIP_HELD})"
            "RETURNING id",
            (ids,),
        )
        if gone:
            ids = self.listed([id for (id,) in gone])
            session.rows(f"DELETE FROM members WHERE bundle IN ({self.IDS})", (ids,))
        return gone

    def forget(self, ids: Sequence[int]) -> None:
        """See :meth:`Catalog.forget <holdfast.catalog.base.Catalog.forget>`."""
        if ids:
            sql = f"DELETE FROM blobs WHERE id IN ({self.IDS}) AND state=1 AND refs=0"
            self.write(sql, (self.listed(ids),), spare=True)

    def begin(self) -> Since:
        """See :meth:`Catalog.begin <holdfast.catalog.base.Catalog.begin>`."""
        now = self.now()  # first: neither may be later than the bytes
        return Since(self.read("SELECT coalesce(max(id),0) FROM blobs")[0][0], now)

    def vacate(self, ids: Sequence[int]) -> None:
        """See :meth:`Catalog.vacate <holdfast.catalog.base.Catalog.vacate>`."""

        def work(session: BoundSession) -> None:
            rows = session.rows(
                f"DELETE FROM blobs WHERE id IN ({self.IDS}) AND state=1 AND refs=0 RETURNING storage,place,algo",
                (self.listed(ids),),
            )
            for storage, place, algorithm in rows:
                session.rows(_VACATED, (storage, place, 0 if algorithm < 0 else -1, int(session.now)))
            # By the index of what is not synced, where few rows are.
            old = f"SELECT id FROM {self.UNSYNCED} WHERE synced=0 AND state=3 AND mtime<?1"
            session.rows(f"DELETE FROM blobs WHERE id IN ({old})", (int(session.now) - DAY,))

        self.transaction(work, spare=True)

    def abandon(self, put: Put) -> None:
        """See :meth:`Catalog.abandon <holdfast.catalog.base.Catalog.abandon>`."""
        new = put.blob
        assert isinstance(new, NewBlob)

        def work(session: BoundSession) -> None:
            place = (new.storage, new.config)
            there = session.rows(f"SELECT id FROM blobs WHERE storage=?1 AND {self.SAME_PLACE}", place)
            if not there:
                session.rows(_GARBAGE, (*place, put.algorithm, put.digest, put.size))
            else:  # written, it may be, after equal ones were deleted there
                session.rows(_COLLECT_AGAIN, (there[0][0],))

        self.transaction(work, spare=True)

    def garbage_size(self) -> tuple[int, int, int]:
        """See :meth:`Catalog.garbage_size <holdfast.catalog.base.Catalog.garbage_size>`."""
        # A blob will be garbage too when the records that go are all that refer to it.
        row: tuple[int, int, int] = self.read(
            "WITH gone AS (SELECT blob FROM records WHERE expires<=?1 AND scope NOT IN (SELECT scope FROM dropped)"
            f" UNION ALL SELECT r.blob FROM {self.OF_DROPPED}"
            " UNION ALL SELECT blob FROM past WHERE expires<=?1 AND scope NOT IN (SELECT scope FROM dropped)"
            " UNION ALL SELECT blob FROM past WHERE scope IN (SELECT scope FROM dropped)"
            " UNION ALL SELECT blob FROM (SELECT s.scope,o.blob,o.expires,row_number() OVER (PARTITION BY o.scope,o.key"
            " ORDER BY o.version DESC) AS place FROM surplus s JOIN past o ON o.scope=s.scope) n"
            " WHERE place>coalesce((SELECT history FROM policies p WHERE p.scope=n.scope),0)"
            " AND (expires IS NULL OR expires>?1)),"
            "free AS (SELECT blob,count(*) AS n FROM gone WHERE blob IS NOT NULL GROUP BY blob),"
            "unheld AS (SELECT id FROM free JOIN blobs ON id=blob WHERE storage=0 AND refs=n"
            " UNION ALL SELECT id FROM blobs WHERE refs=0 AND storage=0),"
            "ends AS (SELECT blob,n FROM free UNION ALL"
            " SELECT m.blob,count(*) FROM unheld JOIN members m ON m.bundle=unheld.id GROUP BY m.blob),"
            "freed AS (SELECT b.bytes FROM (SELECT blob,sum(n) AS n FROM ends GROUP BY blob) g"
            " JOIN blobs b ON b.id=g.blob WHERE b.refs=g.n AND b.storage<>0"
            " UNION ALL SELECT bytes FROM blobs WHERE refs=0 AND storage>0)"
            "SELECT (SELECT count(*) FROM gone),count(*),CAST(coalesce(sum(bytes),0) AS BIGINT) FROM freed",
            (self.now(),),
        )[0]
        return row
