"""Holdfast keeps everything a workflow makes in one place: values, files, artifacts, results.

::

    import holdfast

    store = holdfast.open("data")
    flow = store.namespace("prod").workflow("forecast")
    flow.put("model", {"weights": [0.2, 0.8]}, tags={"stage": "eval"})
    flow.get("model")
"""

from __future__ import annotations

from . import errors
from .api import Scope, Store, open
from .artifact import Artifact
from .catalog.base import Policy
from .errors import *  # noqa: F403  each is public, and named there
from .graph.task import task
from .lease import Lease
from .model import Content, Entry, Record, ScopeInfo
from .registry import Registry
from .storable.base import Storable, Unpacker
from .storable.dataclasses import StorableDataclass
from .storable.simple import StorableStream, StorableValue
from .stream import Stream
from .upkeep.collector import Collected
from .upkeep.verifier import Problem, Verified
from .verbs import current, delete, entry, exists, get, memoize, put, update

__all__ = [
    "Artifact",
    "Collected",
    "Content",
    "Entry",
    "Lease",
    "Policy",
    "Problem",
    "Record",
    "Registry",
    "Scope",
    "ScopeInfo",
    "Storable",
    "StorableDataclass",
    "StorableStream",
    "StorableValue",
    "Store",
    "Stream",
    "Unpacker",
    "Verified",
    "__version__",
    "current",
    "delete",
    "entry",
    "exists",
    "get",
    "memoize",
    "open",
    "put",
    "task",
    "update",
]
__all__ += errors.__all__

__version__ = "0.1.0"
