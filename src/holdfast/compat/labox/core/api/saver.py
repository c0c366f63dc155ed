"""Saving objects, many at once."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from functools import partial
from typing import Any
from uuid import uuid4

from .....aio.driver import Driver
from .....api import Scope
from .....contents import named
from .....objects import put_contents, taken_apart
from .....storable.base import Storable, full_name
from .....streams import check_whole
from ...common.anyio import TaskFuture, Tasks
from ..database import ManifestRecord
from ..registry import Registry
from ..serializer import StreamSerializer
from ..session import bound

__all__ = ["DataSaver", "new_saver", "save_one"]

_NONE: Any = object()


async def save_one(
    obj: Storable, *, tags: Mapping[str, str] | None = None, registry: Registry, session: Any
) -> ManifestRecord:
    """Save an object, with tags to find it by, and give its manifest.

    Raises:
        NotRegisteredError: its class is not registered.
        ExceptionGroup: of what went wrong.
    """
    async with new_saver(registry, session) as saver:
        future = saver.save_soon(obj, tags=tags)
    return future.value


def new_saver(registry: Registry, session: Any) -> DataSaver:
    """A block in which objects are saved in the background; see :class:`DataSaver`."""
    return DataSaver(*bound(session, registry))


class DataSaver(Tasks):
    """A block at whose end all objects that were given to it are saved, but for those that failed: their errors come as
    a group. Each is committed by itself."""

    doing = "save"

    def __init__(self, scope: Scope, driver: Driver) -> None:
        super().__init__()
        self._scope, self._driver = scope, driver

    def save_soon(self, obj: Storable, *, tags: Mapping[str, str] | None = None) -> TaskFuture[ManifestRecord]:
        """Begin to save an object.

        Raises:
            NotRegisteredError: its class is not registered.
            TypeError: it is no storable.
        """
        self._scope._kernel.registry.has_storable(type(obj), raise_if_missing=True)  # type: ignore[attr-defined]
        return self._begin(self._save(obj, tags))

    async def _save(self, obj: Storable, tags: Mapping[str, str] | None) -> ManifestRecord:
        scope, kind, key = self._scope, type(obj), str(uuid4())
        kernel = scope._kernel
        registry: Any = kernel.registry
        thing, contents = taken_apart(kernel, obj)
        told = await _told(registry, kind, contents)
        where = (kernel, scope._ledger, scope.path, key)
        await self._driver.drive(partial(put_contents, *where, thing, told, scope._plan({"tags": tags})))
        return await self._driver.look(partial(ManifestRecord.read, scope, key))


async def _told(registry: Registry, kind: type, contents: Any) -> Any:
    """Contents with the serializers and storages that they do not name. What is none is refused by the store."""
    if not isinstance(contents, Mapping):
        return contents
    told = {}
    for name, content in contents.items():
        told[name] = content
        if isinstance(content, Mapping) and ("value" in content or "value_stream" in content):
            with named(f"{full_name(kind)}.{name}"):
                told[name] = await _one(registry, content)
    return told


async def _one(registry: Registry, content: Mapping[str, Any]) -> dict[str, Any]:
    told, serializer = dict(content), content.get("serializer")
    if told.get("storage") is None:
        told["storage"] = registry.get_default_storage()
    if "value" in told:
        told["serializer"] = serializer or registry.get_serializer_by_type(type(told["value"]))
        return told
    stream = told["value_stream"]
    check_whole(stream)
    if serializer is None and isinstance(stream, AsyncIterable):
        items = aiter(stream)
        first = await anext(items, _NONE)
        if first is not _NONE:
            serializer = registry.get_stream_serializer_by_type(type(first))
        told.update(value_stream=_with(first, items), serializer=serializer)
    if isinstance(serializer, StreamSerializer):
        told.update(serializer.told(told["value_stream"]))
    return told


async def _with(first: Any, others: AsyncIterator[Any]) -> AsyncIterator[Any]:
    try:
        if first is not _NONE:
            yield first
        async for item in others:
            yield item
    finally:
        if hasattr(others, "aclose"):
            await others.aclose()
