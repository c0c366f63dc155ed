"""PostgreSQL's errors as ours: one error for one cause, with what to do about it."""

from __future__ import annotations

import psycopg

from ...errors import (
    BusyError,
    HoldfastError,
    InvalidArgumentError,
    ReadOnlyError,
    SchemaError,
    StorageFullError,
    StoreError,
    StoreNotFoundError,
)
from .target import Target

__all__ = ["is_crowded", "is_passing", "is_starting", "is_taken", "not_connected", "translated", "unknown_outcome"]

# Nothing was committed, and the same may succeed at once: serialization failure, deadlock, a plan that a change of the
# tables has outdated, a statement that the server has forgotten.
_PASSING = ("40001", "40P01", "0A000", "26000")
_TAKEN = "23505"  # somebody else made the row first
_BUSY = ("55P03", "57014")  # the lock time-out, the statement time-out
_FULL = ("53100",)
_READ_ONLY = ("25006", "42501")
_DAMAGED = ("42P01", "42703", "42883", "3F000", "XX001", "XX002")
_ILLEGAL = {
    "22003": "a number does not fit in 64 bits",
    "22021": "text in PostgreSQL has no NUL character",
    "22P05": "text in PostgreSQL has no NUL character",
    "54000": "it is too large for a row: values of this size belong into a storage",
}


def _state(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""


def is_passing(error: BaseException) -> bool:
    """Whether nothing was committed, and trying again at once may succeed."""
    return _state(error) in _PASSING


def is_taken(error: BaseException) -> bool:
    """Whether somebody else made a row in the meantime that was to be made."""
    return _state(error) == _TAKEN


def is_crowded(error: BaseException) -> bool:
    """Whether a connection failed as the server has too many of them."""
    return _state(error) == "53300" or "too many clients" in str(error) or "remaining connection slots" in str(error)


def is_starting(error: BaseException) -> bool:
    """Whether a connection failed as the server is just starting, stopping or recovering."""
    return _state(error) == "57P03" or "database system is" in str(error) or "not yet accepting" in str(error)


def _reason(error: BaseException) -> str:
    """What libpq or the server said, in one line."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    return " ".join((primary or str(error)).split())


def not_connected(error: psycopg.Error, target: Target) -> HoldfastError:
    """The error of our tree for a connection that did not come about."""
    reason, where = _reason(error), target.where
    if is_crowded(error):
        return BusyError(f"{where}: the server has no connection left: close some, or raise max_connections ({reason})")
    if "No space left" in reason:
        return StorageFullError(f"no space left for {where}: the server cannot go on ({reason})")
    if "no password supplied" in reason:
        how = "give it in the URL; in another process, as no pickle has it, by HOLDFAST_STORE, PGPASSWORD or .pgpass"
        return StoreError(f"{where} asks for a password: {how}")
    if "FATAL" not in reason:
        return StoreError(f"no server answers for {where}: start it, or mend host and port in the URL ({reason})")
    if 'database "' in reason and "does not exist" in reason:
        return StoreNotFoundError(f"{where}: create that database, or mend its name in the URL ({reason})")
    return StoreError(f"{where} let nobody in: mend user and password in the URL, or the server's rules ({reason})")


def unknown_outcome(error: BaseException, where: str) -> StoreError:
    """The connection broke after a write was sent and before its answer came."""
    return StoreError(
        f"the connection to {where} broke during a write: whether it was committed is not known; read it to find out "
        f"({_reason(error)})"
    )


def translated(error: BaseException, where: str) -> HoldfastError:
    """The error of our tree for one of psycopg's."""
    state, reason = _state(error), _reason(error)
    if state in _BUSY or is_passing(error) or is_taken(error):
        return BusyError(f"{where}: other writers did not let go within the time-out: try again, or raise timeout=")
    if state in _FULL:
        return StorageFullError(f"no space left for {where} ({reason}): nothing of this call was stored")
    if state in _READ_ONLY:
        return ReadOnlyError(f"{where} may not be written by this user or on this server ({reason})")
    if state in _DAMAGED:
        return SchemaError(f"{where} is damaged ({reason}): restore it from a copy")
    if state in _ILLEGAL or state.startswith("54"):
        return InvalidArgumentError(f"{_ILLEGAL.get(state, _ILLEGAL['54000'])} ({reason})")
    if isinstance(error, psycopg.DataError) and "NUL" in reason:
        return InvalidArgumentError(f"{_ILLEGAL['22021']}: {reason}")
    if isinstance(error, UnicodeEncodeError):
        return InvalidArgumentError(f"text that is no UTF-8: {reason}")
    return StoreError(f"{where}: {reason}")
