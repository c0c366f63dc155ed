"""The embedded catalog, put together from its parts."""

from __future__ import annotations

from ..base import EmbeddedCatalog
from ..sql.changes import Changes
from ..sql.leases import Leases
from ..sql.policies import Policies
from ..sql.sessions import Sessions
from ..sql.shared import Shared
from .blobs import Blobs
from .listing import Listing
from .machine import Machine
from .scopes import Scopes
from .values import Values

__all__ = ["SQLiteCatalog"]


class SQLiteCatalog(
    Shared, Values, Changes, Listing, Scopes, Policies, Leases, Sessions, Blobs, Machine, EmbeddedCatalog
):
    """A catalog in one SQLite file (with its log, a gate file and a reserve file beside it), or in memory.

    Args:
        path: the file; None: in memory, shared by all threads of this process and gone with it.
        create: make the file when it is missing.
        timeout: seconds to wait for other writers before a BusyError.

    Raises:
        StoreNotFoundError: no file and ``create`` is False, or no folder.
        NotAStoreError: the file is something else.
        ReadOnlyError: the file or its folder is not writable.
        SchemaError: it was written by a newer version, or is damaged.
        StoreError: the SQLite library is too old, or the file system cannot hold a database in WAL mode.
    """

    def close(self) -> None:
        """Close all connections of this process; later calls raise ClosedError."""
        self._pool.close()
