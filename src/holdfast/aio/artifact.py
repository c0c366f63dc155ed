"""Artifacts for async programs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any, Generic, Self, TypeVar

from ..artifact import Artifact, Metadata
from ..scope import BaseScope
from .driver import AnyDriver
from .files import Opening
from .transaction import AsyncAtomic
from .verbs import Colour, brief, described, lifted, paged, pages, uncoloured

__all__ = ["AsyncArtifact", "AsyncMetadata"]

S = TypeVar("S", bound=Colour)


class AsyncMetadata(Colour):
    """An artifact's metadata; see :class:`~holdfast.artifact.Metadata`. ``await metadata["author"]`` gives an entry."""

    _sync: Metadata

    __getitem__ = lifted(Metadata.__getitem__)
    merge = lifted(Metadata.merge)

    async def read(self) -> dict[str, Any]:
        """All entries, from one read."""
        return await self._driver.look(self._sync._read)

    async def get(self, key: str, default: Any = None) -> Any:
        """An entry, or the default."""
        return (await self.read()).get(key, default)

    async def remove(self, key: str) -> None:
        """Remove an entry, as ``del metadata[key]`` does.

        Raises:
            NotFoundError: there is none.
        """
        await self._driver.away(partial(self._sync.__delitem__, key))


class AsyncArtifact(Colour, Generic[S]):
    """A named set of files and their metadata, for async programs; see :class:`~holdfast.artifact.Artifact`.

    Attributes:
        scope: the scope that it is; everything that a scope can do can be done to it.
        metadata: see :class:`AsyncMetadata`.
    """

    _sync: Artifact

    def __init__(self, sync: Artifact, driver: AnyDriver, scope: Callable[[BaseScope[Any], AnyDriver], S]) -> None:
        super().__init__(sync, driver)
        self._colour = scope
        self.scope: S = scope(sync.scope, driver)
        self.metadata = AsyncMetadata(sync.metadata, driver)

    @property
    def name(self) -> str:
        """Name among the artifacts of the scope above."""
        return self._sync.name

    @property
    def exists(self) -> Coroutine[Any, Any, bool]:
        """To be awaited: whether it was created or written to, and not deleted since."""
        return self._driver.look(lambda: self._sync.exists)

    @property
    def is_empty(self) -> Coroutine[Any, Any, bool]:
        """To be awaited: whether it has no file; metadata does not count."""
        return self._driver.look(lambda: self._sync.is_empty)

    read = lifted(Artifact.read)
    read_text = lifted(Artifact.read_text)
    write = lifted(Artifact.write)
    delete = brief(Artifact.delete)
    list = paged(Artifact.list)
    add_file = lifted(Artifact.add_file)
    add_dir = lifted(Artifact.add_dir)
    download = lifted(Artifact.download)
    drop = lifted(Artifact.drop)

    @described(Artifact.create)
    async def create(self, *, exist_ok: bool = False) -> Self:
        await self._driver.brief(partial(self._sync.create, exist_ok=exist_ok))
        return self

    @described(Artifact.open)
    def open(self, name: str, mode: str = "r", **options: Any) -> Opening[Any]:
        return Opening(self._driver, partial(self._sync.open, name, mode, **options))

    @described(Artifact.copy)
    async def copy(self, name: str, *, to: Any = None) -> AsyncArtifact[S]:
        made = await self._driver.away(partial(self._sync.copy, name, to=uncoloured(to)))
        return AsyncArtifact(made, self._driver, self._colour)

    @described(Artifact.transaction)
    def transaction(self, *, durability: str | None = None) -> AsyncAtomic[AsyncArtifact[S]]:
        atomic = self._sync.transaction(durability=durability)
        return AsyncAtomic(self._driver, atomic, lambda inside, driver: AsyncArtifact(inside, driver, self._colour))

    def __aiter__(self) -> AsyncIterator[str]:
        begin = partial(iter, self._sync)
        return pages(self._driver, begin, begin())
