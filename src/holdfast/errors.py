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
    │   ├── InvalidScopeError
    │   └── DefinitionError              mend the definition of the flow, at the line that the message names
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
    │   ├── AccessError                  get a token of the service that allows it
    │   ├── TaskLost                     the worker that ran it died: look at its machine, submit it again
    │   └── StorageFullError
    │       └── QuotaExceededError       the scope's own limit: raise it, or delete something
    ├── BusyError (TimeoutError)             wait and retry
    ├── TaskFailed                           look at the errors of the nodes that failed, and run the graph again
    ├── FlowFailed                           look at the instance's log: its flow raised an error, or was cancelled
    ├── RecursiveCallError (RecursionError)  a memoized call that needs its own result: mend the function
    └── ClosedError                          open the store again

Every class has a stable ``code`` for logs and for other languages, and survives pickling with its message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "AccessError",
    "BusyError",
    "ClosedError",
    "ConflictError",
    "DecodeError",
    "DefinitionError",
    "EncodeError",
    "ExistsError",
    "FlowFailed",
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
    "TaskFailed",
    "TaskLost",
    "UnhashableError",
    "UnsupportedValue",
    "ValueLost",
]


class HoldfastError(Exception):
    """Base of every error of this library; ``code`` is stable and never reused."""

    code = "holdfast"

    def __init_subclass__(cls, code: str | None = None, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.code = code or cls.code  # that of the class above, where no other is said

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:  # of our own: that of two built-in bases is not taken for sound by tblib
        return type(self), self.args, self.__dict__

    def __str__(self) -> str:  # KeyError would show the repr, OSError its errno
        return self.message


class NotFoundError(HoldfastError, KeyError, code="not_found"):
    """No record, scope or artifact of that name (also a :class:`KeyError`)."""


class ValueLost(NotFoundError, code="value_lost"):
    """The record exists, but the bytes it names are gone."""


class ConflictError(HoldfastError, code="conflict"):
    """The state is not the one the caller named: read again and retry."""


class ExistsError(ConflictError, code="exists"):
    """Something of that name is there already."""


class ScopeDroppedError(ConflictError, code="scope_dropped"):
    """The scope was dropped or renamed between the begin and the commit of this write."""


class LeaseLost(ConflictError, code="lease_lost"):
    """The lease expired or was taken over; nothing of what it protected was committed."""


class InvalidArgumentError(HoldfastError, ValueError, code="invalid_argument"):
    """The call is not well formed; nothing was written."""


class InvalidKeyError(InvalidArgumentError, code="invalid_key"):
    """A key that is empty, longer than 512 characters, or has control characters or surrogates."""


class InvalidScopeError(InvalidArgumentError, code="invalid_scope"):
    """A scope path, kind or name, or an address, that is not well formed."""


class DefinitionError(InvalidArgumentError, code="definition"):
    """The definition of a flow is not legal; nothing of it was run. The message has its file, line and field."""


class EncodeError(HoldfastError, TypeError, code="encode"):
    """The value cannot be turned into bytes; the message names the type and, where known, the path to it."""


class UnsupportedValue(EncodeError, code="unsupported_value"):
    """This serializer does not take this value; the store then asks the next one."""


class UnhashableError(EncodeError, code="unhashable"):
    """An argument of a memoized call, or something that its function uses, has no hash that is the same in every
    process; the message names it."""


class DecodeError(HoldfastError, ValueError, code="decode"):
    """The stored bytes cannot be turned into a value; nothing of them was run."""


class IntegrityError(DecodeError, code="integrity"):
    """The stored bytes do not match the digest in their record: truncated or altered."""


class SignatureError(DecodeError, code="signature"):
    """Loading this value could run code, and its record carries no valid signature of this store."""


class NotRegisteredError(HoldfastError, KeyError, code="not_registered"):
    """No serializer or storage is registered under that name."""


class MissingExtraError(HoldfastError, ImportError, code="missing_extra"):
    """An optional dependency is not installed; the message gives the command that installs it."""


class StoreError(HoldfastError, OSError, code="store"):
    """The store cannot be opened or used on this machine as it is."""


class StoreNotFoundError(StoreError, code="store_not_found"):
    """No store is there, or none is configured."""


class NotAStoreError(StoreError, code="not_a_store"):
    """The path exists and is something else than a store."""


class ReadOnlyError(StoreError, code="read_only"):
    """The folder, the mount or the file may not be written by this user."""


class NetworkFilesystemError(StoreError, code="network_filesystem"):
    """An embedded store cannot live on a network file system: use PostgreSQL or the service."""


class OtherHostError(StoreError, code="other_host"):
    """Another live machine holds this embedded store."""


class SchemaError(StoreError, code="schema"):
    """The catalog was written by a newer version of Holdfast, or is damaged."""


class AccessError(StoreError, code="forbidden"):
    """The service knows no such token, or the token does not allow this; nothing was done."""


class TaskLost(StoreError, code="task_lost"):
    """The worker that ran a task died before it had answered; part of the task's work may be done."""


class StorageFullError(StoreError, code="storage_full"):
    """No space is left; what was being written is discarded, everything stored before is kept."""


class QuotaExceededError(StorageFullError, code="quota_exceeded"):
    """The scope may not hold more records or bytes, by the limits set for it; nothing of the call was stored."""


class BusyError(HoldfastError, TimeoutError, code="busy"):
    """Another writer held the store, or another owner the lease, for longer than the time-out."""


class RecursiveCallError(HoldfastError, RecursionError, code="recursive_call"):
    """A memoized function was called with the arguments of a call that is being computed, by that very computation."""


class TaskFailed(HoldfastError, code="task_failed"):
    """Nodes of a graph of tasks failed; all that does not depend on them was run, and is stored.

    Attributes:
        run: which run it was, as ``holdfast runs show`` takes it.
        failures: what the nodes raised, by their names; each with the traceback of where that was.
        skipped: names of the nodes that were not run, as they depend on one that failed.
    """

    run: str = ""
    failures: Mapping[str, BaseException] = {}
    skipped: tuple[str, ...] = ()


class FlowFailed(HoldfastError, code="flow_failed"):
    """An instance of a flow ended without completing; what its states stored before is kept.

    Attributes:
        instance: its id, as ``holdfast runs show`` takes it.
        error_code: the code of the error that the flow raised, such as ``direktiv.jq.badCommand``.
        status: ``failed``, ``crashed`` or ``cancelled``.
    """

    instance: str = ""
    error_code: str = ""
    status: str = "failed"


class ClosedError(HoldfastError, code="closed"):
    """The store, file or transaction was closed before."""
