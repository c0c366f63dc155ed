"""Loading objects, many at once."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, TypeVar, cast

from .....aio.driver import Driver
from .....api import Scope
from .....storable.base import full_name
from ...common.anyio import TaskFuture, Tasks
from ..database import ManifestRecord
from ..registry import Registry
from ..session import bound, opened

__all__ = ["DataLoader", "load_one", "new_loader"]

S = TypeVar("S")


async def load_one(
    manifest: ManifestRecord,
    cls: type[S] | None,
    *,
    registry: Registry,
    session: Any,
    stack: AsyncExitStack | None = None,
) -> S:
    """Load the object of a manifest.

    Args:
        manifest: its manifest, or another one with its id.
        cls: what it is to be; None for any class.
        registry, session: as it was saved by.
        stack: closes the streams of it; needed where it has any.

    Raises:
        TypeError: it is another class' object.
        NotRegisteredError: its class is not registered.
        ExceptionGroup: of what else went wrong.
    """
    loader = new_loader(registry, session, stack)
    _check(registry, manifest, cls)
    async with loader:
        future: TaskFuture[S] = loader._begin(loader._load(manifest))
    return future.value


def new_loader(registry: Registry, session: Any, stack: AsyncExitStack | None = None) -> DataLoader:
    """A block in which objects are loaded in the background; see :class:`DataLoader`."""
    return DataLoader(*bound(session, registry), registry, stack)


class DataLoader(Tasks):
    """A block at whose end all objects that were asked for are loaded, but for those that failed: their errors come as
    a group."""

    doing = "load"

    def __init__(self, scope: Scope, driver: Driver, registry: Registry, stack: AsyncExitStack | None) -> None:
        super().__init__()
        self._scope, self._driver, self._registry, self._stack = scope, driver, registry, stack

    def load_soon(self, manifest: ManifestRecord, cls: type[Any] | None = None, /) -> TaskFuture[Any]:
        """Begin to load the object of a manifest, which is to be of a class, or of any."""
        return self._begin(self._load_as(manifest, cls))

    async def _load_as(self, manifest: ManifestRecord, cls: type[Any] | None) -> Any:
        _check(self._registry, manifest, cls)
        return await self._load(manifest)

    async def _load(self, manifest: ManifestRecord) -> Any:
        streams: list[Any] = []
        opened.set(None if self._stack is None else streams)  # of this task
        try:
            return await self._scope.aio.get(str(manifest.id))
        finally:
            for stream in streams:
                cast(AsyncExitStack, self._stack).push_async_callback(stream.aclose)


def _check(registry: Registry, manifest: ManifestRecord, cls: type[Any] | None) -> None:
    kind = registry.get_storable(manifest.class_id)
    if cls is not None and not issubclass(kind, cls):
        raise TypeError(f"{manifest} is a {full_name(kind)}, and no {full_name(cls)}")
