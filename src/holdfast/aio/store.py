"""``store.aio``: the verbs of a store, to be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Self
from weakref import WeakValueDictionary

from ..catalog.base import Fence
from ..collector import Collected, Collecting
from ..config import StoreConfig
from ..errors import BusyError
from ..lease import Lease
from ..store import BaseStore
from ..verifier import Verifying
from .scope import AsyncScope, AsyncTransaction, Below
from .transaction import AsyncAtomic
from .verbs import Colour, described, lifted

__all__ = ["AsyncLease", "AsyncStore"]

_POLL = 0.05  # seconds between two looks whether another collector has ended

_queues: WeakValueDictionary[tuple[Any, ...], asyncio.Lock] = WeakValueDictionary()


class AsyncLease(Colour):
    """A named lease for ``async with``; see :class:`~holdfast.Lease`. Waiting for it occupies no thread.

    Pass it as ``lease=`` to the verbs of either colour.
    """

    _sync: Lease

    @property
    def name(self) -> str:
        """What there may be only one of."""
        return self._sync.name

    @property
    def owner(self) -> str:
        """Who holds it, when it is held."""
        return self._sync.owner

    @property
    def expires(self) -> float:
        """When it ends unless it is renewed, by the catalog's clock."""
        return self._sync.expires

    @property
    def held(self) -> bool:
        """Whether it was acquired here and not given back or found lost since; it may have expired."""
        return self._sync.held

    @property
    def fence(self) -> Fence:
        """Name and fencing token.

        Raises:
            LeaseLost: the lease is not held.
        """
        return self._sync.fence

    @property
    def token(self) -> int:
        """The fencing token: greater for each new owner of this name."""
        return self._sync.token

    @described(Lease.acquire)
    async def acquire(self) -> Self:
        lease = self._sync
        wait = lease._wait
        if wait == 0:
            return await self._take(None)
        # Of one loop's tasks one looks at a time, so that a hundred do not get into each other's way.
        key = (asyncio.get_running_loop(), lease._kernel, lease.name)
        queue = _queues.setdefault(key, asyncio.Lock())
        end = None if wait is None else monotonic() + wait
        try:
            async with asyncio.timeout(wait):
                await queue.acquire()
        except TimeoutError:
            raise BusyError(f"lease {lease.name!r} is held by somebody else") from None
        try:
            return await self._take(end)
        finally:
            queue.release()

    async def _take(self, end: float | None) -> Self:
        attempts = self._sync.attempts()
        try:
            while (pause := await self._driver.away(partial(next, attempts, None))) is not None:
                if end is not None and monotonic() >= end:
                    raise BusyError(f"lease {self.name!r} is held by somebody else")
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
        return self if self._sync.held else await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()


class AsyncStore(Below):
    """A store for async programs: its verbs are those of :class:`~holdfast.Store`, to be awaited.

    It can be used from several loops, in several threads, one after the other or at once. As a context manager
    (``async with store.aio:``) it closes the store at the end.
    """

    _sync: BaseStore[Any]

    @property
    def id(self) -> str:
        """32 hex digits that were made with the store."""
        return self._sync.id

    @property
    def config(self) -> StoreConfig:
        """How it was opened."""
        return self._sync.config

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
    verify = lifted(Verifying.verify)

    @described(BaseStore.close)
    async def close(self) -> None:
        if not self._sync._kernel.closed:
            await self._driver.away(self._sync.close, must=True)

    @described(Collecting.gc)
    async def gc(
        self, *, dry_run: bool = False, wait: float = 0.0, progress: Callable[[int], object] | None = None
    ) -> Collected:
        sync: Any = self._sync
        end = monotonic() + wait
        while True:
            try:
                return await self._driver.away(partial(Collecting.gc, sync, dry_run=dry_run, progress=progress))
            except BusyError:
                if monotonic() >= end:
                    raise
            await asyncio.sleep(_POLL)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._sync, "aio")
