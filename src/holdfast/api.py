"""The front door: Store and Scope with the verbs of every view, and ``open``."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from .aio import ScopeAwaited, StoreAwaited
from .artifact import Artifacts
from .config import find_config
from .context import Contexts
from .exchange import Exchanging
from .flows.verbs import Flowing
from .graph.verbs import Graphs
from .history import Histories
from .memoize.decorator import Memoizing
from .registry import Registry
from .scope import BaseScope
from .storages.asynchronous import AsyncStorage
from .storages.base import Storage
from .store import OpenKernel
from .upkeep.collector import Collecting
from .upkeep.verifier import Verifying

__all__ = ["Scope", "Store", "open"]


class Scope(Artifacts, Flowing, Graphs, Memoizing, Histories, ScopeAwaited, BaseScope["Scope"]):
    """A node of the store's tree: records by key, scopes and artifacts below it.

    Made by naming it from a store or a scope; see :class:`~holdfast.navigation.Navigation` for the names there are.
    It is a path and not a row: it comes into being when something is put into it.
    """

    def _store(self) -> Store:
        return Store(self._kernel)


class Store(Collecting, Exchanging, Memoizing, StoreAwaited, Verifying, Contexts[Scope]):
    """An open store: one catalog, its storages and serializers. Made by :func:`holdfast.open`."""

    _scope_type: ClassVar[type[Scope]] = Scope


def open(
    store: str | os.PathLike[str] | None = None,
    *,
    create: bool = True,
    storage: str | Storage | AsyncStorage | None = None,
    durability: str | None = None,
    inline: int | None = None,
    timeout: float | None = None,
    cache: str | os.PathLike[str] | None = None,
    cache_size: int | None = None,
    memory: str | None = None,
    memory_size: int | None = None,
    memory_folder: str | os.PathLike[str] | None = None,
    token: str | None = None,
    registry: Registry | None = None,
) -> Store:
    """Open a store, making it if need be.

    What is not given comes from the environment and from ``holdfast.toml``; see :mod:`holdfast.config`.

    Args:
        store: a folder; ``postgresql://user@host/database?schema=name`` for many machines; ``https://host:8080`` of a
            service that keeps it; or ``"memory:"`` for one that ends with this process.
        create: make the store if the folder or schema is missing or empty.
        storage: where larger bytes go: ``"files"`` beside the catalog (the default of a folder), a URL such as
            ``"s3://bucket/prefix"``, ``"inline"`` for the catalog itself (the default in PostgreSQL; values up to
            256 MB), ``"memory:"``, or a storage of one's own: an object, or the name of a registered one.
        durability: what a put has survived when it returns: ``"process"`` (the death of any process) or ``"power"``
            (a power cut); the default of each put.
        inline: values up to this many bytes lie in the catalog.
        timeout: seconds to wait for other writers, and for servers that do not answer.
        cache: folder for copies of bytes that lie in a remote storage, by their digest; ``"off"`` for none. By default
            ``~/.cache/holdfast``.
        cache_size: bytes that all copies in it may take together; 10 GB by default.
        memory: what ``tier="memory"`` means where no executor says it: ``"local"`` (the default), ``"ray"``,
            ``"dask"``.
        memory_size: bytes that the memory of this machine may take; half of what its place has by default.
        memory_folder: folder for the memory of this machine; by default in ``/dev/shm``, or where temporary files are.
        token: who asks, of a store that a service keeps; it comes into no message and no pickle.
        registry: serializers and storages beyond the built-in ones.

    Raises:
        AccessError: the service does not know the token.
        StoreNotFoundError: no store is named, or none is there and ``create`` is False.
        InvalidArgumentError: a setting that is not legal.
        StoreError: one of its other kinds: not writable, a network file system, another live host, a newer schema.
    """
    settings: dict[str, Any] = {"storage": storage, "durability": durability, "inline": inline, "timeout": timeout}
    settings |= {"cache": cache, "cache_size": cache_size, "token": token}
    settings |= {"memory": memory, "memory_size": memory_size, "memory_folder": memory_folder}
    config = find_config(store, registry=registry, **settings)
    return Store(OpenKernel(config, create=create))
