"""The object store: values by key, in cluster memory, in an artifact, or wherever there is room."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Any

from ....artifact import METADATA
from ....errors import ConflictError, EncodeError, InvalidArgumentError, NotFoundError, StorageFullError, ValueLost
from ....filesystem.faults import FileMissing
from ....verbs import current_store
from .artifacts import Artifact, get_artifact
from .artifacts.dataset.utils import VALUE_TYPE
from .artifacts.interface import is_legal
from .cluster_memory import ClusterMemory, get_cluster_memory_backend
from .resources.workflow.context import current_namespace

__all__ = ["Strategy", "default_load_hook", "default_save_hook", "delete", "exists", "get", "put"]

_SERIALIZERS = {"pickle": "holdfast.pickle@v1", "json": "holdfast.json@v1"}  # by the names of the original
_FILE = "object"
_MARK = {"put": "fallback"}
"""Tags of the metadata of an artifact that a put wrote which would have had it in memory."""
_TURNS = 20  # in which others may be faster

_SaveHook = Callable[[Artifact, Any], Any]
_LoadHook = Callable[[Artifact], Any]


class Strategy(StrEnum):
    """Where a value is to be."""

    FALLBACK = "fallback"
    """In cluster memory, and where that cannot hold it in an artifact."""

    ARTIFACT = "artifact"
    """In an artifact, which lasts. The copy in memory, if there is one, is another one."""

    CLUSTER_MEMORY = "cluster_memory"
    """In cluster memory, or nowhere."""


def default_save_hook(serializer: Any = None) -> _SaveHook:
    """A hook that saves any value as the file ``object`` of an artifact.

    Args:
        serializer: ``pickle``, ``json`` or any registered name, or an object with ``dumps`` and ``loads``; by default
            it is the one for the value's type.
    """

    def hook(artifact: Artifact, value: Any) -> None:
        with artifact.transaction():
            artifact[VALUE_TYPE] = _FILE
            if hasattr(serializer, "dumps"):
                artifact.new_file(_FILE, serializer.dumps(value))
            else:
                artifact._scope.put(_FILE, value, serializer=_serializer(serializer))

    return hook


def default_load_hook(serializer: Any = None) -> _LoadHook:
    """A hook that loads what :func:`default_save_hook` has saved; the store knows the serializer, unless that was an
    object of one's own."""

    def hook(artifact: Artifact) -> Any:
        if not artifact.has_file(_FILE):
            raise FileMissing(
                f"{artifact!r} has no file {_FILE!r}, it holds a {artifact[VALUE_TYPE]}: load it by the hook that goes "
                "with the one that saved it, as in get(key, load_artifact_hook=dataframe_from_artifact())"
            )
        if hasattr(serializer, "loads"):
            return serializer.loads(artifact.get_file(_FILE).read())
        return artifact._scope.get(_FILE)

    return hook


def put(
    key: str,
    value: Any,
    *,
    namespace: str = "",
    artifact_only: bool = False,
    strategy: Strategy | str | None = None,
    executor: str | None = None,
    serializer: str | None = None,
    save_artifact_hook: _SaveHook | None = None,
    cluster_memory_params: Mapping[str, Any] | None = None,
    artifact_params: Mapping[str, Any] | None = None,
) -> None:
    """Store a value under a key.

    Args:
        key: its name in the namespace; that of an artifact has letters, digits, ``_`` and ``-`` only.
        value: any that can be serialised.
        namespace: that of the run by default.
        artifact_only: the same as ``strategy="artifact"``.
        strategy: see :class:`Strategy`; ``HOLDFAST_FLOWDAPT_STRATEGY`` names the default, else it is ``fallback``.
        executor: whose memory; that of the run by default.
        serializer: ``pickle``, ``json`` or any registered name, instead of the one for the value's type.
        save_artifact_hook: saves the value when it goes to an artifact; :func:`default_save_hook` by default.
        cluster_memory_params: of the memory.
        artifact_params: where the artifact is: ``protocol``, ``base_path`` and those of fsspec's file system.

    Raises:
        EncodeError: the value cannot be stored.
        StorageFullError: ``cluster_memory``, and there is no room for it.
        InvalidArgumentError: no such strategy or executor, or no name of an artifact.
    """
    how, namespace = _strategy(strategy, artifact_only), namespace or current_namespace()
    hook = save_artifact_hook or default_save_hook(serializer)
    if how is Strategy.ARTIFACT:
        _save(key, value, namespace, hook, artifact_params, None)
        return
    memory = get_cluster_memory_backend(executor, **(cluster_memory_params or {}))
    if how is Strategy.CLUSTER_MEMORY:
        memory.put(key, value, namespace=namespace, serializer=_serializer(serializer))
        return
    found = _artifact(key, namespace, artifact_params)
    before = None if found is None else _mark(found)
    try:
        memory.put(key, value, namespace=namespace, serializer=_serializer(serializer))
    except (StorageFullError, EncodeError):  # the hook may know a way
        _save(key, value, namespace, hook, artifact_params, memory)
    else:
        if found is not None and before is not None:
            _withdraw(found, before)


def get(
    key: str,
    *,
    namespace: str = "",
    artifact_only: bool = False,
    strategy: Strategy | str | None = None,
    executor: str | None = None,
    load_artifact_hook: _LoadHook | None = None,
    cluster_memory_params: Mapping[str, Any] | None = None,
    artifact_params: Mapping[str, Any] | None = None,
) -> Any:
    """The value of a key; with ``fallback`` that in memory, if there is one, else that of the artifact.

    Raises:
        FileMissing: there is none (a KeyError and a FileNotFoundError); of ``cluster_memory`` NotFoundError.
        ValueLost: it was in memory, and is gone with a worker.
        InvalidArgumentError: see :func:`put`.
    """
    how, namespace = _strategy(strategy, artifact_only), namespace or current_namespace()
    hook = load_artifact_hook or default_load_hook()
    if how is Strategy.ARTIFACT:
        return hook(get_artifact(key, namespace, **(artifact_params or {})))
    memory = get_cluster_memory_backend(executor, **(cluster_memory_params or {}))
    if how is Strategy.CLUSTER_MEMORY:
        return memory.get(key, namespace=namespace)
    lost: NotFoundError = FileMissing(
        f"no value {key!r} in the namespace {namespace!r}: put one first (in cluster memory it ends with its engine)"
    )
    for _ in range(2):  # a put may move it from one to the other meanwhile
        try:
            return memory.get(key, namespace=namespace)
        except ValueLost as error:
            lost = error
        except NotFoundError:
            pass
        found = _artifact(key, namespace, artifact_params)
        if found is not None:
            return hook(found)
    raise lost


def delete(
    key: str,
    *,
    namespace: str = "",
    artifact_only: bool = False,
    strategy: Strategy | str | None = None,
    executor: str | None = None,
    cluster_memory_params: Mapping[str, Any] | None = None,
    artifact_params: Mapping[str, Any] | None = None,
) -> None:
    """Remove a key, if it is there. With ``fallback`` it is gone from memory, and from an artifact if a put with
    ``fallback`` wrote that; an artifact that was put as such goes only with ``artifact_only=True``."""
    how, namespace = _strategy(strategy, artifact_only), namespace or current_namespace()
    if how is not Strategy.CLUSTER_MEMORY:
        found = _artifact(key, namespace, artifact_params)
        before = None if found is None else _mark(found)
        if found is not None and how is Strategy.ARTIFACT:
            with suppress(FileNotFoundError):
                found.delete()
        elif found is not None and before is not None:
            _withdraw(found, before)
    if how is not Strategy.ARTIFACT:
        get_cluster_memory_backend(executor, **(cluster_memory_params or {})).delete(key, namespace=namespace)


def exists(
    key: str,
    *,
    namespace: str = "",
    artifact_only: bool = False,
    strategy: Strategy | str | None = None,
    executor: str | None = None,
    cluster_memory_params: Mapping[str, Any] | None = None,
    artifact_params: Mapping[str, Any] | None = None,
) -> bool:
    """Whether :func:`get` finds a value."""
    how, namespace = _strategy(strategy, artifact_only), namespace or current_namespace()
    if how is not Strategy.ARTIFACT:
        memory = get_cluster_memory_backend(executor, **(cluster_memory_params or {}))
        if memory.exists(key, namespace=namespace):
            return True
    return how is not Strategy.CLUSTER_MEMORY and _artifact(key, namespace, artifact_params) is not None


def _strategy(strategy: Strategy | str | None, artifact_only: bool) -> Strategy:
    if artifact_only:
        return Strategy.ARTIFACT
    name = strategy or os.environ.get("HOLDFAST_FLOWDAPT_STRATEGY") or Strategy.FALLBACK
    try:
        return Strategy(name)
    except ValueError:
        known = ", ".join(each.value for each in Strategy)
        raise InvalidArgumentError(f"there is no strategy {name!r}: name one of {known}") from None


def _serializer(name: str | None) -> str | None:
    return name if name is None else _SERIALIZERS.get(name, name)


def _artifact(key: str, namespace: str, params: Mapping[str, Any] | None) -> Artifact | None:
    """The artifact of a key, if there is one and something was put into it."""
    if not is_legal(key):
        return None
    try:
        found = get_artifact(key, namespace, **(params or {}))
        return found if found._scope.exists(METADATA) or not found.is_empty else None
    except FileNotFoundError:
        return None


def _mark(artifact: Artifact) -> int | None:
    """The version of what says that a put with ``fallback`` wrote an artifact; None where it was another."""
    try:
        record = artifact._scope.record(METADATA)
    except NotFoundError:
        return None
    return record.version if record.tags == _MARK else None


def _withdraw(artifact: Artifact, version: int) -> None:
    """Remove what a put with ``fallback`` wrote, unless another one has written since."""
    with suppress(ConflictError, FileNotFoundError):
        with artifact.transaction():
            if _mark(artifact) != version:
                return
            artifact.clear()
        artifact._outside.drop(missing_ok=True, only_empty=True)


def _save(
    key: str,
    value: Any,
    namespace: str,
    hook: _SaveHook,
    params: Mapping[str, Any] | None,
    instead_of: ClusterMemory | None,
) -> None:
    """Have a value saved in an artifact, and with it in one commit removed from the memory that it is there in place
    of, if it is."""
    memory = current_store().namespace(namespace) if instead_of is not None else None
    for turn in range(_TURNS):
        artifact = get_artifact(key, namespace, create=True, **(params or {}))
        together = memory is not None and memory._kernel.same_store(artifact._outside._kernel)
        try:
            with artifact.transaction():
                hook(artifact, value)
                artifact._scope.update(METADATA, dict, {}, serializer=_SERIALIZERS["json"])
                artifact._scope.set_tags(METADATA, _MARK if instead_of is not None else None)
                if memory is not None and together and memory.exists(key, tier="memory"):
                    artifact._scope._at(memory.path).delete(key, tier="memory")
        except BaseException as error:
            gone = not artifact.exists  # somebody has withdrawn it meanwhile
            with suppress(ConflictError):
                artifact._outside.drop(missing_ok=True, only_empty=True)
            if turn == _TURNS - 1 or not (isinstance(error, ConflictError) or gone):
                raise
        else:
            if instead_of is not None and not together:
                instead_of.delete(key, namespace=namespace)
            return
