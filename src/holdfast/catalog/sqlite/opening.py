"""Opening a catalog file: what may be there, what is made, and how each connection is set."""

from __future__ import annotations

import os
from collections.abc import Callable

import apsw

from ...errors import NotAStoreError, ReadOnlyError, SchemaError, StoreError, StoreNotFoundError
from .failures import BUSY, translated
from .gate import Gate
from .schema import check, is_current, migrate, missing_tables

__all__ = ["CHECKPOINT", "Preparation", "connector", "require_library"]

_OLDEST = (3, 51, 3)
CHECKPOINT = 4000
"""Pages in the log after which it is copied into the database: 16 MB, which gave the best means."""


def require_library() -> None:
    """Refuse an SQLite that can corrupt a database in WAL mode.

    Raises:
        StoreError: the library is older than 3.51.3.
    """
    found = apsw.sqlite_lib_version()
    if tuple(int(part) for part in found.split(".")) < _OLDEST:
        raise StoreError(
            f"SQLite {found} can corrupt a database that two connections write to; 3.51.3 or later is needed: "
            "pip install --upgrade apsw"
        )


def connector(path: str | None, *, create: bool, timeout: float) -> Callable[..., apsw.Connection]:
    """Make or check the catalog at ``path``, bring it to the present schema, and give what opens connections to it: a
    function that may be told that there is haste, and then raises a busy error instead of waiting.

    In memory (None) the function given back opens the one connection, which is the catalog.
    """
    if path is None:
        return _open_memory
    where = path
    _inspect(where, create)
    flags = apsw.SQLITE_OPEN_READWRITE
    with _Opened(where, flags | apsw.SQLITE_OPEN_CREATE * create) as connection:
        if create:
            _make_private(connection, where)
        Preparation(connection, where, create).run(timeout)

    def attempt() -> apsw.Connection:
        connection = None
        try:
            connection = apsw.Connection(where, flags=flags)
            _configure(connection)
        except apsw.Error as error:
            # The connection knows the system's error number.
            told = None if isinstance(error, BUSY) else translated(error, connection, where)
            if connection is not None:
                connection.close()
            if told is None:
                raise
            raise told from error
        return connection

    def connect(haste: Callable[[], bool] = bool) -> apsw.Connection:
        try:
            return attempt()
        except BUSY:  # another process recovers the log, or was the last one and removes it
            if haste():
                raise
        gate = Gate(where + ".gate")
        try:
            return gate.attempt(attempt, timeout, haste)
        except BUSY as error:
            raise translated(error, None, where) from error
        finally:
            gate.close()

    return connect


def _open_memory(haste: Callable[[], bool] = bool) -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    _configure(connection)
    migrate(connection, "the catalog in memory")
    return connection


def _inspect(path: str, create: bool) -> None:
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise StoreNotFoundError(f"the folder {folder} does not exist: make it first")
    if os.path.isdir(path):
        raise NotAStoreError(f"{path} is a folder, not a catalog file")
    if os.path.exists(path):
        if not os.path.isfile(path):
            raise NotAStoreError(f"{path} is not a regular file")
        if not os.access(path, os.R_OK | os.W_OK) or not os.access(folder, os.W_OK):
            raise ReadOnlyError(f"{path} and its folder must be readable and writable by this user")
    elif not create:
        raise StoreNotFoundError(f"no catalog at {path}: holdfast put, or create=True, makes one")
    elif not os.access(folder, os.W_OK):
        raise ReadOnlyError(f"the folder {folder} may not be written by this user")


def _make_private(connection: apsw.Connection, path: str) -> None:
    """Let this user only read the file while it is empty: it will hold values and the signing key, and the log takes
    its rights. By its name: opening and closing it would drop the locks that other connections here have on it."""
    try:
        connection.execute("PRAGMA schema_version").fetchall()  # makes the file
    except apsw.Error:
        return  # the preparation waits, or tells what is wrong
    if os.stat(path).st_size == 0:
        os.chmod(path, 0o600)


class _Opened:
    """A connection for the time of a ``with`` block, its errors translated."""

    def __init__(self, path: str, flags: int) -> None:
        self._path = path
        try:
            self._connection = apsw.Connection(path, flags=flags)
        except apsw.Error as error:
            raise translated(error, None, path) from error

    def __enter__(self) -> apsw.Connection:
        return self._connection

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if isinstance(error, apsw.Error):
                raise translated(error, self._connection, self._path) from error
        finally:
            self._connection.close()


class Preparation:
    """The first connection's work: WAL mode, schema, and a look at whether all is well."""

    def __init__(self, connection: apsw.Connection, path: str, create: bool) -> None:
        self._connection = connection
        self._path = path
        self._create = create

    def run(self, timeout: float) -> None:
        """Check, and where something has to be made or migrated do so while holding the gate.

        Raises:
            StoreNotFoundError: the file is empty and must not be made a catalog.
            SchemaError: newer than this version, or damaged.
        """
        gate = Gate(self._path + ".gate")
        try:
            try:
                ready = self._ready()
            except BUSY:  # another process is recovering the log, or making the schema
                ready = gate.attempt(self._ready, timeout)
            if not ready:
                if not self._create and self._connection.pragma("user_version") == 0:
                    raise StoreNotFoundError(f"{self._path} is empty: create=True makes it a catalog")
                gate.attempt(self._make, timeout)
        finally:
            gate.close()
        missing = missing_tables(self._connection)
        if missing:
            raise SchemaError(f"{self._path} is damaged: it has no table {', '.join(missing)}; restore it from a copy")

    def _ready(self) -> bool:
        _configure(self._connection)
        version = check(self._connection, self._path)
        if self._connection.readonly("main"):
            raise ReadOnlyError(f"{self._path} and its folder must be writable by this user")
        return is_current(version) and self._connection.pragma("journal_mode") == "wal"

    def _make(self) -> None:
        mode = self._connection.pragma("journal_mode", "wal")
        if mode != "wal":
            raise StoreError(f"{self._path} is on a file system without shared memory maps ({mode}): use a local disk")
        migrate(self._connection, self._path)


def _configure(connection: apsw.Connection) -> None:
    # First of all: without it, plans that depend on a parameter are made anew at every bind (three times the put).
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
    connection.set_busy_timeout(0)  # the gate waits instead
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT}")
    connection.execute("PRAGMA temp_store=MEMORY")
