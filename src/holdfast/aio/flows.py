"""The flows of a namespace, for async programs: the same verbs, to be awaited."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from ..errors import HoldfastError
from .verbs import Colour

__all__ = ["AsyncFlows"]


class AsyncFlows(Colour):
    """See :class:`holdfast.flows.verbs.Flows`."""

    async def _away(self, verb: str, *args: Any) -> Any:
        return await self._driver.away(partial(getattr(self._sync, verb), *args))

    async def register(self, path: str, text: str) -> str:
        """Make a text the definition of a workflow, and give its path."""
        return str(await self._away("register", path, text))

    async def unregister(self, path: str) -> None:
        """Remove the workflow of a path, and its variables with it."""
        await self._away("unregister", path)

    async def run(self, path: str, given: Any = None) -> Any:
        """Run an instance of a workflow, and give its output; cancelled, it cancels the instance."""
        begun: list[str] = []
        try:
            await self._driver.away(lambda: begun.append(self._sync.start(path, given)))
            return await self.wait(begun[0])
        except Exception:
            raise
        except BaseException:
            for id in begun:  # also where it was cancelled before its start was told
                with suppress(HoldfastError):
                    await self._driver.away(partial(self._sync.cancel, id), must=True)
            raise

    async def start(self, path: str, given: Any = None) -> str:
        """Begin an instance of a workflow in the background, and give its id."""
        return str(await self._away("start", path, given))

    async def wait(self, id: str, timeout: float | None = None) -> Any:
        """Wait for the end of an instance, whoever runs it, and give its output."""
        return await self._away("wait", id, timeout)

    async def resume(self, id: str) -> None:
        """Go on with an instance that crashed, in the background."""
        await self._away("resume", id)

    async def cancel(self, id: str) -> None:
        """End an instance, whoever runs it."""
        await self._away("cancel", id)

    async def remove(self, id: str) -> None:
        """Remove what is recorded of an instance that does not go on; what it has written stays."""
        await self._away("remove", id)

    async def list(self, limit: int | None = None, skip: int = 0) -> Any:
        """So many instances behind those that are skipped, the newest first."""
        return await self._away("list", limit, skip)

    async def get(self, id: str) -> Any:
        """One instance."""
        return await self._away("get", id)

    async def output(self, id: str) -> Any:
        """The output of an instance that is complete."""
        return await self._away("output", id)

    async def log(self, id: str) -> Any:
        """The log of an instance, from the beginning, as a list."""
        return await self._driver.away(lambda: list(self._sync.log(id)))
