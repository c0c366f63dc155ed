"""Where faces keep things: what a protocol and a base path, as fsspec has them, name in Holdfast."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from ..api import Scope, Store, open
from ..catalog.base import Catalog
from ..config import MEMORY, find_config
from ..errors import InvalidArgumentError, StoreNotFoundError
from ..kernel import Kernel, shared_kernel
from ..storages.base import Storage
from ..store import OpenKernel
from ..verbs import current_store

__all__ = ["Place", "place_of", "s3_keys"]

_FOLDERS = ("file", "local")
_BUCKETS = ("s3", "gs", "az")
_KEYS = {"key": "access_key_id", "secret": "secret_access_key", "token": "session_token"}  # of S3, by fsspec's names
_FURTHER = {"endpoint_url": "endpoint", "region_name": "region"}
_ANYWAY = {"anon": False, "use_ssl": True}  # as it is if nothing is said

_memories: dict[str, Store] = {}
_storages: WeakKeyDictionary[Catalog, dict[tuple[str, str], Storage]] = WeakKeyDictionary()
_lock = threading.Lock()


class Place(NamedTuple):
    """Where things are.

    Attributes:
        root: what scopes are made in.
        protocol: as it is shown.
        base_path: as it is shown.
    """

    root: Store | Scope
    protocol: str
    base_path: str


def place_of(
    protocol: str = "", base_path: str | os.PathLike[str] = "", params: Mapping[str, Any] | None = None
) -> Place:
    """The place of a protocol and a base path; the current store when no path is given.

    ``memory`` is a store that ends with this process, one for each path, and a folder is a store. Any other protocol
    names a storage, whose bytes the current store knows. ``params`` are those of fsspec's file system: keys to S3, or
    what a protocol of fsspec's takes.

    Raises:
        StoreNotFoundError: no store is current, nor does the environment name one.
        InvalidArgumentError, StoreError, MissingExtraError: it cannot be opened.
    """
    if not isinstance(protocol, str):
        raise InvalidArgumentError(f"protocol is text such as 'file' or 's3', not {protocol!r}")
    base = os.fspath(base_path)
    if protocol == "memory":
        return Place(_memory(base), protocol, base)
    if protocol in ("", *_FOLDERS):
        if not base:
            return _current()
        return Place(Store(shared_kernel(OpenKernel, find_config(base))), "file", base.rstrip("/"))
    if not base:
        raise InvalidArgumentError(f"base_path says where on {protocol}:// to keep things, as in 'bucket/prefix'")
    url = f"{protocol}://{base.removeprefix(f'{protocol}://').strip('/')}"
    try:
        kernel = current_store()._kernel
    except StoreNotFoundError:
        raise StoreNotFoundError(
            f"{url} holds bytes, and a catalog has to know them: enter a store's context, or set HOLDFAST_STORE, such "
            "as to postgresql://... when several machines use it"
        ) from None
    return Place(
        Store(_beside(kernel, protocol, url, params or {})).scope("storage", url), protocol, url[len(protocol) + 3 :]
    )


def s3_keys(params: Mapping[str, Any]) -> dict[str, str]:
    """The keys among the options of fsspec's file system of S3, by the names that native storages have for them."""
    return {_KEYS[name]: params[name] for name in _KEYS if params.get(name)}


def _current() -> Place:
    store = current_store()
    name = store.config.store
    if name == MEMORY:
        return Place(store, "memory", "")
    protocol, there, rest = name.partition("://")
    return Place(store, protocol, rest) if there else Place(store, "file", name)


def _memory(base: str) -> Store:
    with _lock:
        store = _memories.get(base)
        if store is None or store._kernel.closed:
            store = _memories[base] = open(MEMORY)
        return store


def _beside(kernel: Kernel, protocol: str, url: str, params: Mapping[str, Any]) -> Kernel:
    """The store whose bytes lie at a URL; what is asked for in the same words is the same storage."""
    asked = (url, repr(sorted(params.items())))
    with _lock:
        storages = _storages.setdefault(kernel.catalog, {})
        if asked not in storages:
            seconds = min(max(kernel.config.timeout, 1.0), 3600.0)
            storages[asked] = _storage(protocol, url, params, seconds)
        return kernel.beside(storages[asked])


def _storage(protocol: str, url: str, params: Mapping[str, Any], seconds: float) -> Storage:
    further = {**params.get("client_kwargs", {}), **params}
    further.pop("client_kwargs", None)
    further = {name: value for name, value in further.items() if (name, value) not in _ANYWAY.items()}
    if further.get("endpoint_url"):
        further.pop("use_ssl", None)  # which the URL says
    if protocol in _BUCKETS and (not params or (protocol == "s3" and further.keys() <= {*_KEYS, *_FURTHER})):
        from urllib.parse import urlencode

        from ..storages.objectstore import ObjectStorage  # an extra

        options = urlencode({_FURTHER[name]: further[name] for name in _FURTHER if further.get(name)})
        keys = s3_keys(further) or None
        return ObjectStorage(f"{url}?{options}" if options else url, credentials=keys, timeout=seconds)
    from ..storages.fsspec import FsspecStorage  # an extra

    return FsspecStorage(url, options=params, timeout=seconds)
