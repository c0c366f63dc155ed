"""Every error that Holdfast raises, grouped by what a caller would do about it.

::

    HoldfastError
    ├── NotFoundError (KeyError)             ask for another key, or pass default=
    │   └── ValueLost                        the record is there, its bytes are not
    ├── ConflictError                        read again and retry
    │   ├── ExistsError                      if_absent= or create, and it is there already
    │   ├── ScopeDroppedError                the scope was dropped or renamed during the call
    │   └── LeaseLost                        somebody else holds the lease now
    ├── InvalidArgumentError (ValueError)    mend the call
    │   ├── InvalidKeyError
    │   └── InvalidScopeError
    ├── EncodeError (TypeError)              this value cannot be stored this way
    │   ├── UnsupportedValue                 this serializer does not take it, another may
    │   └── UnhashableError                  no reliable hash: give key= or ignore= for it, or version=
    ├── DecodeError (ValueError)             these bytes are not what they should be
    │   ├── IntegrityError                   they do not match their digest
    │   └── SignatureError                   running them is not allowed: no valid signature
    ├── NotRegisteredError (KeyError)        name a serializer or storage that exists
    ├── MissingExtraError (ImportError)      install the extra that the message names
    ├── StoreError (OSError)                 look at the machine, the folder or the disk
    │   ├── StoreNotFoundError
    │   ├── NotAStoreError
    │   ├── ReadOnlyError
    │   ├── NetworkFilesystemError
    │   ├── OtherHostError
    │   ├── SchemaError
    │   └── StorageFullError
    │       └── QuotaExceededError       the scope's own limit: raise it, or delete something
    ├── BusyError (TimeoutError)             wait and retry
    ├── RecursiveCallError (RecursionError)  a memoized call that needs its own result: mend the function
    └── ClosedError                          open the store again

Every class has a stable ``code`` for logs and for other languages, and survives pickling with its message.
"""

from __future__ import annotations

__all__ = [
    "BusyError",
    "ClosedError",
    "ConflictError",
    "DecodeError",
    "EncodeError",
    "ExistsError",
    "HoldfastError",
    "IntegrityError",
    "InvalidArgumentError",
    "InvalidKeyError",
    "InvalidScopeError",
    "LeaseLost",
    "MissingExtraError",
    "NetworkFilesystemError",
    "NotAStoreError",
    "NotFoundError",
    "NotRegisteredError",
    "OtherHostError",
    "QuotaExceededError",
    "ReadOnlyError",
    "RecursiveCallError",
    "SchemaError",
    "ScopeDroppedError",
    "SignatureError",
    "StorageFullError",
    "StoreError",
    "StoreNotFoundError",
    "UnhashableError",
    "UnsupportedValue",
    "ValueLost",
]


class HoldfastError(Exception):
    """Base of every error of this library; ``code`` is stable and never reused."""

    code = "holdfast"

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:  # KeyError would show the repr, OSError its errno
        return self.message


class NotFoundError(HoldfastError, KeyError):
    """No record, scope or artifact of that name (also a :class:`KeyError`)."""

    code = "not_found"


class ValueLost(NotFoundError):
    """The record exists, but the bytes it names are gone."""

    code = "value_lost"


class ConflictError(HoldfastError):
    """The state is not the one the caller named: read again and retry."""

    code = "conflict"


class ExistsError(ConflictError):
    """Something of that name is there already."""

    code = "exists"


class ScopeDroppedError(ConflictError):
    """The scope was dropped or renamed between the begin and the commit of this write."""

    code = "scope_dropped"


class LeaseLost(ConflictError):
    """The lease expired or was taken over; nothing of what it protected was committed."""

    code = "lease_lost"


class InvalidArgumentError(HoldfastError, ValueError):
    """The call is not well formed; nothing was written."""

    code = "invalid_argument"


class InvalidKeyError(InvalidArgumentError):
    """A key that is empty, longer than 512 characters, or has control characters or surrogates."""

    code = "invalid_key"


class InvalidScopeError(InvalidArgumentError):
    """A scope path, kind or name, or an address, that is not well formed."""

    code = "invalid_scope"


class EncodeError(HoldfastError, TypeError):
    """The value cannot be turned into bytes; the message names the type and, where known, the path to it."""

    code = "encode"


class UnsupportedValue(EncodeError):
    """This serializer does not take this value; the store then asks the next one."""

    code = "unsupported_value"


class UnhashableError(EncodeError):
    """An argument of a memoized call, or something that its function uses, has no hash that is the same in every
    process; the message names it."""

    code = "unhashable"


class DecodeError(HoldfastError, ValueError):
    """The stored bytes cannot be turned into a value; nothing of them was run."""

    code = "decode"


class IntegrityError(DecodeError):
    """The stored bytes do not match the digest in their record: truncated or altered."""

    code = "integrity"


class SignatureError(DecodeError):
    """Loading this value could run code, and its record carries no valid signature of this store."""

    code = "signature"


class NotRegisteredError(HoldfastError, KeyError):
    """No serializer or storage is registered under that name."""

    code = "not_registered"


class MissingExtraError(HoldfastError, ImportError):
    """An optional dependency is not installed; the message gives the command that installs it."""

    code = "missing_extra"


class StoreError(HoldfastError, OSError):
    """The store cannot be opened or used on this machine as it is."""

    code = "store"


class StoreNotFoundError(StoreError):
    """No store is there, or none is configured."""

    code = "store_not_found"


class NotAStoreError(StoreError):
    """The path exists and is something else than a store."""

    code = "not_a_store"


class ReadOnlyError(StoreError):
    """The folder, the mount or the file may not be written by this user."""

    code = "read_only"


class NetworkFilesystemError(StoreError):
    """An embedded store cannot live on a network file system: use PostgreSQL or the service."""

    code = "network_filesystem"


class OtherHostError(StoreError):
    """Another live machine holds this embedded store."""

    code = "other_host"


class SchemaError(StoreError):
    """The catalog was written by a newer version of Holdfast, or is damaged."""

    code = "schema"


class StorageFullError(StoreError):
    """No space is left; what was being written is discarded, everything stored before is kept."""

    code = "storage_full"


class QuotaExceededError(StorageFullError):
    """The scope may not hold more records or bytes, by the limits set for it; nothing of the call was stored."""

    code = "quota_exceeded"


class BusyError(HoldfastError, TimeoutError):
    """Another writer held the store, or another owner the lease, for longer than the time-out."""

    code = "busy"


class RecursiveCallError(HoldfastError, RecursionError):
    """A memoized function was called with the arguments of a call that is being computed, by that very computation."""

    code = "recursive_call"


class ClosedError(HoldfastError):
    """The store, file or transaction was closed before."""

    code = "closed"
