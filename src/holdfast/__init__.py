"""Holdfast keeps everything a workflow makes in one place: values, files, artifacts, results.

::

    import holdfast

    store = holdfast.open("data")
    flow = store.namespace("prod").workflow("forecast")
    flow.put("model", {"weights": [0.2, 0.8]}, tags={"stage": "eval"})
    flow.get("model")
"""

from __future__ import annotations

from .api import Scope, Store, open
from .artifact import Artifact
from .collector import Collected
from .errors import (
    BusyError,
    ClosedError,
    ConflictError,
    DecodeError,
    EncodeError,
    ExistsError,
    HoldfastError,
    IntegrityError,
    InvalidArgumentError,
    InvalidKeyError,
    InvalidScopeError,
    LeaseLost,
    MissingExtraError,
    NetworkFilesystemError,
    NotAStoreError,
    NotFoundError,
    NotRegisteredError,
    OtherHostError,
    ReadOnlyError,
    SchemaError,
    ScopeDroppedError,
    SignatureError,
    StorageFullError,
    StoreError,
    StoreNotFoundError,
    UnsupportedValue,
    ValueLost,
)
from .lease import Lease
from .model import Content, Entry, Record, ScopeInfo
from .registry import Registry
from .verifier import Problem, Verified

__all__ = [
    "Artifact",
    "BusyError",
    "ClosedError",
    "Collected",
    "ConflictError",
    "Content",
    "DecodeError",
    "EncodeError",
    "Entry",
    "ExistsError",
    "HoldfastError",
    "IntegrityError",
    "InvalidArgumentError",
    "InvalidKeyError",
    "InvalidScopeError",
    "Lease",
    "LeaseLost",
    "MissingExtraError",
    "NetworkFilesystemError",
    "NotAStoreError",
    "NotFoundError",
    "NotRegisteredError",
    "OtherHostError",
    "Problem",
    "ReadOnlyError",
    "Record",
    "Registry",
    "SchemaError",
    "Scope",
    "ScopeDroppedError",
    "ScopeInfo",
    "SignatureError",
    "StorageFullError",
    "Store",
    "StoreError",
    "StoreNotFoundError",
    "UnsupportedValue",
    "ValueLost",
    "Verified",
    "__version__",
    "open",
]

__version__ = "0.1.0"
