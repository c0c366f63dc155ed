"""The catalog in PostgreSQL, put together from its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...address import Path
from ..base import Catalog, Change, Committed, Fence, Put
from ..sql.changes import Changes, conflict
from ..sql.engine import Locks
from ..sql.leases import Leases
from ..sql.policies import Policies
from ..sql.sessions import Sessions
from ..sql.shared import Shared
from .blobs import Blobs
from .listing import Listing
from .schema import HASH
from .scopes import Scopes
from .values import Values

__all__ = ["PostgreSQLCatalog"]

_AHEAD = 10_000  # versions that are passed by at once, so that not each record of a copy takes the store's lock


class _Changes(Changes, Listing):
    """See :class:`holdfast.catalog.sql.changes.Changes`."""

    SAME_PLACE = f"{HASH.format('place')}={HASH.format('?2::text')} AND place=?2"

    def commit(
        self,
        changes: Sequence[Change],
        *,
        began: Mapping[Path, int | None] | None = None,
        fence: Fence | None = None,
        power: bool = False,
    ) -> list[Committed]:
        """See :meth:`Catalog.commit <holdfast.catalog.base.Catalog.commit>`."""
        if len(changes) == 1 and began is None and fence is None:
            self._refuse_late(changes[0])
        return super().commit(changes, began=began, fence=fence, power=power)

    def _refuse_late(self, change: Change) -> None:
        """Tell an update that came too late so at once: no version comes again, and the locks of a commit would hold up
        those that are in time."""
        if isinstance(change, Put) and change.path and change.if_version and change.blob is None:
            now = self.now()
            live = [row for row in self.record(change.path, change.key) if row.expires is None or row.expires > now]
            found = max((row.version for row in live), default=0)
            if found != change.if_version:
                raise conflict(change, found, change.if_version)

    def pass_by(self, version: int) -> None:
        """See :meth:`Changes.pass_by <holdfast.catalog.sql.changes.Changes.pass_by>`.

        Whoever takes a number from the sequence holds the store's lock, shared: alone, none can be given between the
        look at the last one and the new one, which would then be lower.
        """
        if self.read("SELECT last_value FROM versions")[0][0] <= version:
            sql = "SELECT setval('versions',greatest(last_value,?1)) FROM versions"
            self.transaction(lambda session: session.rows(sql, (version + _AHEAD,)), locks=Locks(alone=True))


class PostgreSQLCatalog(Shared, Values, _Changes, Listing, Scopes, Policies, Leases, Sessions, Blobs, Catalog):
    """A catalog in one schema of a PostgreSQL database, shared by processes of many machines.

    What an acknowledgement means: each commit is in the log on the server's disk before the call returns (and on the
    disks of its standbys where the server is told to wait for them), whatever ``power`` says: with less, the death of
    the server would take back writes that no process' death may take. A connection that breaks while a write is on its
    way leaves it open whether that was committed: then, and only then, a write ends in a StoreError that says so.

    Args:
        url: ``postgresql://user@host:port/database?schema=name``, with libpq's parameters; without schema it is
            ``holdfast``. The password may come from where libpq looks for it, too (PGPASSWORD, ~/.pgpass, a service).
        create: make the schema and its tables when they are missing.
        timeout: seconds to wait for other writers before a BusyError, and for a server that went away before a
            StoreError.

    Raises:
        InvalidArgumentError: no such URL.
        StoreNotFoundError: no database of that name, or no catalog in it and ``create`` is False.
        NotAStoreError: the schema holds something else.
        ReadOnlyError: this user may not make or write it.
        SchemaError: it was written by a newer version, or is damaged.
        StoreError: no server answers, it lets nobody in, is too old, or the database is not in UTF-8.
    """

    def close(self) -> None:
        """Close all connections of this process; later calls raise ClosedError."""
        self._pool.close()
