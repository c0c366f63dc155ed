"""Which worker has memory for a piece."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from ...errors import StorageFullError, StoreError

__all__ = ["Room"]

_FRESH = 2.0
"""Seconds for which what the workers said of themselves is used, and after which they have counted a new piece."""
_FULL = 0.8
"""The part of its limit at which a worker pauses, by Dask's own default. What it spills it no longer counts, but room
for a piece must be there when it comes."""


class Room:
    """What is known of the workers of a cluster."""

    def __init__(self) -> None:
        self._free: dict[str, float] = {}
        self._given: list[tuple[float, str, int]] = []
        self._until = 0.0

    async def choose(self, client: Any, size: int, own: str | None, seconds: float) -> list[str]:
        """Addresses of workers that have ``size`` bytes free: the own one, then those with the most room.

        Raises:
            StorageFullError: none has.
            StoreError: there is none.
        """
        deadline = time.monotonic() + seconds
        while True:
            if time.monotonic() >= self._until or not self._fits(size):
                await self._look(client)
            fitting = self._fits(size)
            if fitting:
                fitting.sort(key=lambda address: (address == own, self._free[address], random.random()), reverse=True)
                self._free[fitting[0]] -= size
                self._given.append((time.monotonic(), fitting[0], size))
                return fitting
            if self._free and not self._given:
                most = max(0, int(max(self._free.values())))
                raise StorageFullError(
                    f"no worker of the Dask cluster has room for {size} bytes, the most is {most}: give the workers "
                    'more memory (memory_limit), delete what is not needed, or put it with tier="auto"'
                )
            if time.monotonic() > deadline:
                raise StoreError(f"no worker runs in the Dask cluster: start some ({seconds:.0f} seconds were waited)")
            await asyncio.sleep(0.2)  # for workers, or until they have counted what they were given

    def forget(self) -> None:
        """Look again the next time: a worker has gone."""
        self._until = 0.0

    def _fits(self, size: int) -> list[str]:
        return [address for address, free in self._free.items() if size <= free]

    async def _look(self, client: Any) -> None:
        workers = (await client.scheduler.identity())["workers"]
        now = time.monotonic()
        self._free = {
            address: _free(worker)
            for address, worker in workers.items()
            if worker.get("status", "running") == "running"
        }
        self._given = [given for given in self._given if given[0] > now - _FRESH]
        for _, address, size in self._given:
            if address in self._free:
                self._free[address] -= size
        self._until = now + _FRESH


def _free(worker: dict[str, Any]) -> float:
    """Bytes that a worker can take before it pauses."""
    limit = worker.get("memory_limit")
    return float(limit * _FULL - worker.get("metrics", {}).get("memory", 0)) if limit else float("inf")
