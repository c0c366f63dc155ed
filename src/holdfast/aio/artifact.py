"""Artifacts for async programs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Generic, Self, TypeVar

from ..artifact import Artifact, Metadata
from .files import Opening
from .transaction import AsyncAtomic
from .verbs import Colour, Looked, Shown, brief, described, lifted, paged, pages
from .ways import Ways

__all__ = ["AsyncArtifact", "AsyncMetadata"]

S = TypeVar("S", bound=Colour)


class AsyncMetadata(Colour):
    """An artifact's metadata; see :class:`~holdfast.artifact.Metadata`. ``await metadata["author"]`` gives an entry."""

    __getitem__ = lifted(Metadata.__getitem__)
    merge = lifted(Metadata.merge)

    async def read(self) -> dict[str, Any]:
        """All entries, from one read."""
        found: dict[str, Any] = await self._driver.look(self._sync._read)
        return found

    async def get(self, key: str, default: Any = None) -> Any:
        """An entry, or the default."""
        return (await self.read()).get(key, default)

    async def remove(self, key: str) -> None:
        """Remove an entry, as ``del metadata[key]`` does; NotFoundError when there is none."""
        await self._driver.away(partial(self._sync.__delitem__, key))


class AsyncArtifact(Colour, Generic[S]):
    """A named set of files and their metadata, for async programs; see :class:`~holdfast.artifact.Artifact`.

    Attributes:
        scope: the scope that it is; everything that a scope can do can be done to it.
        metadata: see :class:`AsyncMetadata`.
        name: name among the artifacts of the scope above.
        exists, is_empty: to be awaited.
    """

    def __init__(self, sync: Artifact, driver: Ways, colour: Callable[[Any, Ways], S]) -> None:
        super().__init__(sync, driver)
        self._colour = colour
        self.scope: S = colour(sync.scope, driver)
        self.metadata = AsyncMetadata(sync.metadata, driver)

    name = Shown[str]()
    exists = Looked[bool]()
    is_empty = Looked[bool]()
    read = lifted(Artifact.read)
    read_text = lifted(Artifact.read_text)
    write = lifted(Artifact.write)
    delete = brief(Artifact.delete)
    list = paged(Artifact.list)
    add_file = lifted(Artifact.add_file)
    add_dir = lifted(Artifact.add_dir)
    download = lifted(Artifact.download)
    drop = lifted(Artifact.drop)
    _copy = lifted(Artifact.copy)

    @described(Artifact.create)
    async def create(self, *, exist_ok: bool = False) -> Self:
        await self._driver.brief(partial(self._sync.create, exist_ok=exist_ok))
        return self

    @described(Artifact.open)
    def open(self, name: str, mode: str = "r", **options: Any) -> Opening[Any]:
        return Opening(self._driver, partial(self._sync.open, name, mode, **options))

    @described(Artifact.copy)
    async def copy(self, name: str, *, to: Any = None) -> AsyncArtifact[S]:
        return AsyncArtifact(await self._copy(name, to=to), self._driver, self._colour)

    @described(Artifact.transaction)
    def transaction(self, *, durability: str | None = None) -> AsyncAtomic[AsyncArtifact[S]]:
        atomic = self._sync.transaction(durability=durability)
        return AsyncAtomic(self._driver, atomic, lambda inside, driver: AsyncArtifact(inside, driver, self._colour))

    def __aiter__(self) -> AsyncIterator[str]:
        begin = partial(iter, self._sync)
        return pages(self._driver, begin, begin())
