"""SQLite's errors as ours: one error for one cause, with what to do about it."""

from __future__ import annotations

import errno
import os

import apsw

from ...errors import (
    BusyError,
    ClosedError,
    HoldfastError,
    InvalidArgumentError,
    NotAStoreError,
    ReadOnlyError,
    SchemaError,
    StorageFullError,
    StoreError,
    StoreNotFoundError,
)

__all__ = ["BUSY", "from_system", "is_full", "translated"]

BUSY = (apsw.BusyError, apsw.LockedError, apsw.ProtocolError, apsw.InterruptError)
"""Another connection is at work, or the caller is in haste; the statement did nothing and may be tried again."""

# The commit is in the log when its sync fails, and may be found there after the death of all processes: nobody may be
# told that nothing was stored, and delete what the commit names.
_SYNCS = (apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC)

_FULL_ERRNO = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_MISSING = (errno.ENOENT, errno.ENOTDIR)


def _errno(connection: apsw.Connection | None) -> int:
    """The system's error number behind the last I/O error, 0 when there is none to ask for."""
    try:
        return connection.system_errno if connection is not None else 0
    except apsw.Error:  # closed in the meantime
        return 0


def is_full(error: BaseException, connection: apsw.Connection | None) -> bool:
    """Whether the medium is full; SQLite reports that as FULL or, for some files, as an I/O error."""
    if isinstance(error, apsw.FullError):
        return True
    if getattr(error, "extendedresult", 0) in _SYNCS:
        return False
    return isinstance(error, (apsw.IOError, apsw.CantOpenError)) and _errno(connection) in _FULL_ERRNO


def translated(error: apsw.Error, connection: apsw.Connection | None, where: str) -> HoldfastError:
    """The error of our tree for one of apsw's; ``where`` is the catalog's path, for the message."""
    number = _errno(connection)
    why = f" ({os.strerror(number)})" if number else ""
    if isinstance(error, BUSY):
        return BusyError(
            f"{where} is held by another writer for longer than the time-out: try again, or raise timeout="
        )
    if is_full(error, connection):
        return StorageFullError(f"no space left for {where}{why}: nothing of this call was stored")
    if isinstance(error, (apsw.ConnectionClosedError, apsw.CursorClosedError)):
        return ClosedError("the catalog is closed: open the store again")
    if isinstance(error, apsw.NotADBError):
        return NotAStoreError(f"{where} is not an SQLite database: name another folder")
    if isinstance(error, apsw.CorruptError):
        return SchemaError(f"{where} is damaged ({error}): restore it from a copy")
    if isinstance(error, (apsw.ReadOnlyError, apsw.PermissionsError)) or number in _FORBIDDEN:
        return ReadOnlyError(f"{where} and its folder must be writable by this user{why}")
    if isinstance(error, apsw.CantOpenError):
        if number in _MISSING:
            return StoreNotFoundError(f"{where} cannot be opened{why}: its folder does not exist")
        if number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            return StoreError(f"{where} cannot be opened{why}: close files, or raise the limit (ulimit -n)")
        return ReadOnlyError(f"{where} or a file beside it cannot be opened{why}: it and its folder must be writable")
    if isinstance(error, apsw.TooBigError):
        return InvalidArgumentError(f"too large to be kept in {where}: values of this size belong into a storage")
    if isinstance(error, apsw.SQLError) and str(error).startswith("no such"):
        return SchemaError(f"{where} is damaged ({error}): restore it from a copy")
    return StoreError(f"{where}: {error}{why}")


def from_system(error: OSError, where: str) -> HoldfastError:
    """The error of our tree for the system's, on one of the files beside the catalog at ``where``."""
    why = f"{where}: {error.strerror}" + (f" ({error.filename})" if error.filename else "")
    if error.errno in _FULL_ERRNO:
        return StorageFullError(why)
    if error.errno in _FORBIDDEN:
        return ReadOnlyError(f"{why}: the catalog's files and folder must be writable by this user")
    return StoreError(why)
