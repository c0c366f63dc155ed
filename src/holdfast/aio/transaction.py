"""Blocks whose writes are one commit, for async programs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from ..model import Record
from ..transaction import Atomic
from .verbs import Shown
from .ways import Serial, Ways

__all__ = ["AsyncAtomic"]

A = TypeVar("A")


class AsyncAtomic(Generic[A]):
    """An ``async with`` block that commits all writes made through what it gives, or none if it raises or is cancelled.

    Verbs in it run one after the other, also those of several tasks.

    Attributes:
        records: after the block, the records of its puts and edits, in their order.
    """

    records = Shown[list[Record]]()

    def __init__(self, driver: Ways, atomic: Atomic[Any], colour: Callable[[Any, Ways], A]) -> None:
        self._driver = driver
        self._sync = atomic
        self._colour = colour

    async def __aenter__(self) -> A:
        inside = self._sync.__enter__()
        self._driver = Serial(self._driver)
        return self._colour(inside, self._driver)

    async def __aexit__(self, *how: Any) -> None:
        leave = self._sync.__exit__
        try:
            await self._driver.away(partial(leave, *how), must=how[0] is not None)
        except asyncio.CancelledError as end:
            await self._driver.away(partial(leave, type(end), end, None), must=True)  # if it did not commit
            raise
