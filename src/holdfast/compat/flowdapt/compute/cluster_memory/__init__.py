"""Cluster memory: values that the worker processes of an engine share, for as long as that lasts."""

from __future__ import annotations

from typing import Any

from .....errors import InvalidArgumentError
from .....memory import in_force
from .....verbs import current_store
from ...errors import OutsideRunError
from ..executor.dask.cluster_memory import DaskClusterMemory
from ..executor.local.cluster_memory import LocalClusterMemory
from ..executor.memory import ClusterMemory
from ..executor.ray.cluster_memory import RayClusterMemory
from ..resources.workflow.context import current_namespace, get_run_context

__all__ = [
    "ClusterMemory",
    "check_for_key_in_cluster_memory",
    "delete_from_cluster_memory",
    "get_cluster_memory",
    "get_cluster_memory_backend",
    "get_from_cluster_memory",
    "put_in_cluster_memory",
]

_KINDS: dict[str, type[ClusterMemory]] = {
    kind.engine: kind for kind in (LocalClusterMemory, RayClusterMemory, DaskClusterMemory)
}


def get_cluster_memory() -> ClusterMemory:
    """The memory of the engine that the current stage runs on; outside of runs that of the executor in use, or of the
    current store."""
    return get_cluster_memory_backend()


def get_cluster_memory_backend(backend: str | None = None, **params: Any) -> ClusterMemory:
    """The memory of an engine, ``local``, ``ray`` or ``dask``; of none that is named as :func:`get_cluster_memory`.

    Raises:
        InvalidArgumentError: there is no such engine, or it has no such parameter.
    """
    name = backend or _current()
    if name not in _KINDS:
        raise InvalidArgumentError(f"there is no executor {name!r} with a memory: name one of {', '.join(_KINDS)}")
    if params:
        raise InvalidArgumentError(f"the memory of {name} has no parameter {min(params)!r}: it has none")
    return _KINDS[name]()


def put_in_cluster_memory(
    key: str, value: Any, *, namespace: str = "", backend: str | None = None, **params: Any
) -> None:
    """Keep a value in a memory; see :meth:`ClusterMemory.put`. The namespace is the run's by default."""
    get_cluster_memory_backend(backend, **params).put(key, value, namespace=namespace or current_namespace())


def get_from_cluster_memory(key: str, *, namespace: str = "", backend: str | None = None, **params: Any) -> Any:
    """A value of a memory; see :meth:`ClusterMemory.get`."""
    return get_cluster_memory_backend(backend, **params).get(key, namespace=namespace or current_namespace())


def delete_from_cluster_memory(key: str, *, namespace: str = "", backend: str | None = None, **params: Any) -> None:
    """Remove a key from a memory, if it is there."""
    get_cluster_memory_backend(backend, **params).delete(key, namespace=namespace or current_namespace())


def check_for_key_in_cluster_memory(
    key: str, *, namespace: str = "", backend: str | None = None, **params: Any
) -> bool:
    """Whether a memory has a key."""
    return get_cluster_memory_backend(backend, **params).exists(key, namespace=namespace or current_namespace())


def _current() -> str:
    try:
        return get_run_context().executor
    except OutsideRunError:
        return in_force.get() or current_store().config.memory
