"""A watchdog of a loop: how long it was kept from running anything else."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from types import TracebackType

__all__ = ["Watchdog"]


class _Waited:
    """How long this thread was ready to run while other processes had the processors (0 where nobody tells)."""

    def __init__(self) -> None:
        try:
            self._file = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
        except FileNotFoundError:
            self._file = -1

    def seconds(self) -> float:
        return 0.0 if self._file < 0 else int(os.pread(self._file, 100, 0).split()[1]) / 1e9

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)


class Watchdog:
    """A task that sleeps a millisecond again and again, and notes how late it wakes at most.

    Python's own garbage collector, which stops everything for tens of milliseconds where a program has many objects,
    is off meanwhile.

    Attributes:
        longest: seconds of the largest gap between two of its turns, without the sleep, and without the time in which
            this thread could have run but other processes had the processors.
        wall: the largest gap with that time.
        turns: how often it came round.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget what was seen so far."""
        self.longest = self.wall = 0.0
        self.turns = 0

    async def _run(self) -> None:
        waited = _Waited()
        try:
            while True:
                ready, before = waited.seconds(), time.perf_counter()
                await asyncio.sleep(0.001)
                gap = time.perf_counter() - before - 0.001
                self.wall = max(self.wall, gap)
                self.longest = max(self.longest, gap - (waited.seconds() - ready))
                self.turns += 1
        finally:
            waited.close()

    async def __aenter__(self) -> Watchdog:
        gc.collect()
        gc.disable()
        self._task = asyncio.get_running_loop().create_task(self._run())
        await asyncio.sleep(0.01)
        self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.sleep(0.005)
        self._task.cancel()
        await asyncio.wait([self._task])
        gc.enable()
