"""``store.aio``: the verbs of a store, to be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, Self
from weakref import WeakValueDictionary

from ..catalog.base import Fence
from ..config import StoreConfig
from ..errors import BusyError
from ..exchange import Exchanging
from ..lease import Lease, held_by_another
from ..store import BaseStore
from ..upkeep.collector import Collected, Collecting
from ..upkeep.verifier import Verifying
from .scope import AsyncScope, AsyncTransaction, Below
from .transaction import AsyncAtomic
from .verbs import Colour, Shown, described, lifted

__all__ = ["AsyncLease", "AsyncStore"]

_POLL = 0.05  # seconds between two looks whether another collector has ended

_queues: WeakValueDictionary[tuple[Any, ...], asyncio.Lock] = WeakValueDictionary()


class AsyncLease(Colour):
    """A named lease for ``async with``; see :class:`~holdfast.Lease`. Waiting for it occupies no thread.

    Pass it as ``lease=`` to the verbs of either colour.

    Attributes:
        name, owner, expires, held, fence, token: as of a lease; the last two raise LeaseLost while it is not held.
    """

    name = Shown[str]()
    owner = Shown[str]()
    expires = Shown[float]()
    held = Shown[bool]()
    fence = Shown[Fence]()
    token = Shown[int]()

    @described(Lease.acquire)
    async def acquire(self) -> Self:
        lease, began = self._sync, monotonic()
        if lease._wait == 0:
            return await self._take(began)
        # Of one loop's tasks one looks at a time, so that a hundred do not get into each other's way.
        queue = _queues.setdefault((asyncio.get_running_loop(), lease._kernel, lease.name), asyncio.Lock())
        try:
            async with asyncio.timeout(lease._wait):
                await queue.acquire()
        except TimeoutError:
            raise held_by_another(self.name) from None
        try:
            return await self._take(began)
        finally:
            queue.release()

    async def _take(self, began: float) -> Self:
        attempts = self._sync.attempts(began)
        try:
            while (pause := await self._driver.away(partial(next, attempts, None))) is not None:
                await asyncio.sleep(pause)
        except (asyncio.CancelledError, Exception):
            await self._driver.away(attempts.close, must=True)
            await self.release()
            raise
        return self

    renew = lifted(Lease.renew)

    @described(Lease.release)
    async def release(self) -> None:
        await self._driver.away(self._sync.release, must=True)

    async def __aenter__(self) -> Self:
        return self if self.held else await self.acquire()

    async def __aexit__(self, *how: object) -> None:
        await self.release()


class AsyncStore(Below):
    """A store for async programs: its verbs are those of :class:`~holdfast.Store`, to be awaited.

    It can be used from several loops, in several threads, one after the other or at once. As a context manager
    (``async with store.aio:``) it closes the store at the end.

    Attributes:
        id, config, path: as of the store itself.
    """

    id = Shown[str]()
    config = Shown[StoreConfig]()

    @described(BaseStore.find)
    def find(self, address: str) -> tuple[AsyncScope, str]:
        scope, key = self._sync.find(address)
        return AsyncScope(scope, self._driver), key

    @described(BaseStore.transaction)
    def transaction(self, *, durability: str | None = None) -> AsyncAtomic[AsyncTransaction]:
        return AsyncAtomic(self._driver, self._sync.transaction(durability=durability), AsyncTransaction)

    @described(BaseStore.lease)
    def lease(self, name: str, *, seconds: float = 30.0, wait: float | None = None, renew: bool = False) -> AsyncLease:
        return AsyncLease(self._sync.lease(name, seconds=seconds, wait=wait, renew=renew), self._driver)

    sync = lifted(BaseStore.sync)
    export_to = lifted(Exchanging.export_to)
    import_from = lifted(Exchanging.import_from)
    sync_to = lifted(Exchanging.sync_to)
    verify = lifted(Verifying.verify)
    _gc = lifted(Collecting.gc)

    @described(Collecting.gc)
    async def gc(
        self, *, dry_run: bool = False, wait: float = 0.0, progress: Callable[[int], object] | None = None
    ) -> Collected:
        end = monotonic() + wait
        while True:
            try:
                return await self._gc(dry_run=dry_run, progress=progress)
            except BusyError:
                if monotonic() >= end:
                    raise
            await asyncio.sleep(_POLL)

    @described(BaseStore.close)
    async def close(self) -> None:
        if not self._sync._kernel.closed:
            await self._driver.away(self._sync.close, must=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *how: object) -> None:
        await self.close()
