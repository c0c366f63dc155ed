"""What graphs have left in a scope, for async programs: the same verbs, to be awaited."""

from __future__ import annotations

from functools import partial
from typing import Any

from .verbs import Colour

__all__ = ["AsyncResults", "AsyncRuns"]


class _Awaited(Colour):
    async def _away(self, verb: str, *args: Any) -> Any:
        return await self._driver.away(partial(_listed, getattr(self._sync, verb), *args))


def _listed(verb: Any, *args: Any) -> Any:
    found = verb(*args)
    return list(found) if hasattr(found, "__next__") else found


class AsyncResults(_Awaited):
    """See :class:`holdfast.graph.results.Results`."""

    async def list(self, pattern: str = "*") -> Any:
        """Those of the nodes whose names match a glob pattern, by name, the newest first of equal ones."""
        return await self._away("list", pattern)

    async def names(self, pattern: str = "*") -> Any:
        """Names of nodes that match a glob pattern and have a result."""
        return await self._away("names", pattern)

    async def get(self, name: str) -> Any:
        """The newest result of the node of that name."""
        return await self._away("get", name)

    async def find(self, name: str) -> Any:
        """What is known of the newest result of the node of that name."""
        return await self._away("find", name)

    async def remove(self, pattern: str) -> int:
        """Remove those of the nodes whose names match a glob pattern; gives how many there were."""
        removed: int = await self._away("remove", pattern)
        return removed


class AsyncRuns(_Awaited):
    """See :class:`holdfast.graph.runs.Runs`."""

    async def list(self) -> Any:
        """All of them, the newest first."""
        return await self._away("list")

    async def get(self, id: str) -> Any:
        """One of them."""
        return await self._away("get", id)

    async def nodes(self, id: str) -> Any:
        """The nodes of a run, in an order in which they could be run."""
        return await self._away("nodes", id)

    async def remove(self, id: str) -> None:
        """Remove what is recorded of a run. The results stay."""
        await self._away("remove", id)
