"""The ways to run verbs for async programs, whatever runs them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from functools import partial
from inspect import GEN_SUSPENDED, getgeneratorstate
from typing import Any, Final, Literal, TypeVar

from ..kernel import Kernel
from ..steps import Steps, Transfer, advance

__all__ = ["LATER", "Later", "Serial", "Ways"]

T = TypeVar("T")


class Later(Enum):
    """Type of :data:`LATER`."""

    LATER = 0


LATER: Final = Later.LATER
"""Given for what cannot be done at once."""


def _apart(step: Transfer) -> bool:
    return hasattr(step.target, "awaited") or hasattr(step.target, "alone")


def _advance(steps: Steps[T], resume: Callable[[], Transfer]) -> tuple[Transfer | None, T | None]:
    try:
        return advance(steps, resume, _apart), None
    except StopIteration as end:
        return None, end.value


class Ways(ABC):
    """The ways to run verbs: functions without arguments, of one store, or of a transaction or file in it."""

    kernel: Kernel

    @abstractmethod
    async def here(self, verb: Callable[[], T]) -> T | Literal[Later.LATER]:
        """Call it in the loop, in its turn; LATER where it would have to wait for somebody, with nothing done."""

    @abstractmethod
    async def brief_if(self, fits: Callable[[], bool], verb: Callable[[], T]) -> T | Literal[Later.LATER]:
        """A brief write: in the loop, if it need not wait; else behind others in a thread of their own. LATER, with
        nothing done, if it does not fit there."""

    @abstractmethod
    async def away(self, verb: Callable[[], T], must: bool = False) -> T:
        """Call it in a thread. Cancelled, it is withdrawn if it has not begun (unless it ``must`` be done), else told
        to stop and waited for."""

    @abstractmethod
    async def alone(self, verb: Callable[[], T]) -> T:
        """Call it in a thread that nobody waits for, as it may wait for others, and does not touch the catalog.
        Cancelled, it is told to stop and waited for."""

    async def look(self, verb: Callable[[], T]) -> T:
        """A brief read: in the loop, if it need not wait."""
        found = await self.here(verb)
        return await self.away(verb) if found is LATER else found

    async def brief(self, verb: Callable[[], T]) -> T:
        """A brief write, as of :meth:`brief_if`."""
        done = await self.brief_if(lambda: True, verb)
        return await self.away(verb) if done is LATER else done

    async def drive(self, begin: Callable[[], Steps[T]]) -> T:
        """Make the steps of a verb: in a thread, but for the transfers of a storage that has a twin ``awaited``, whose
        verbs are coroutines of the same arguments: those are awaited here; and for those that say ``alone``."""
        steps = begin()
        resume: Callable[[], Transfer] = partial(next, steps)
        begun = False
        made: Any
        try:
            while True:
                step, result = await self.away(partial(_advance, steps, resume), must=begun)
                if step is None:
                    return result  # type: ignore[return-value]
                begun = True
                try:
                    if hasattr(step.target, "alone"):
                        made = await self.alone(step.__call__)
                    else:
                        made = await getattr(step.target.awaited, step.verb)(*step.arguments, **step.options)
                except BaseException as error:
                    resume = partial(steps.throw, error)
                else:
                    resume = partial(steps.send, made)
        except asyncio.CancelledError:
            if getgeneratorstate(steps) == GEN_SUSPENDED:
                await self.away(steps.close, must=True)
            raise


class Serial(Ways):
    """The ways of what two threads may not use at once: one call waits for the other."""

    def __init__(self, driver: Ways) -> None:
        self.kernel = driver.kernel
        self._driver = driver
        self._lock = asyncio.Lock()

    @property
    def free(self) -> bool:
        """Whether no call is under way."""
        return not self._lock.locked()

    async def here(self, verb: Callable[[], T]) -> T | Literal[Later.LATER]:
        async with self._lock:
            return await self._driver.here(verb)

    async def brief_if(self, fits: Callable[[], bool], verb: Callable[[], T]) -> T | Literal[Later.LATER]:
        async with self._lock:
            return await self._driver.brief_if(fits, verb)

    async def away(self, verb: Callable[[], T], must: bool = False) -> T:
        cancelled: asyncio.CancelledError | None = None
        while True:
            try:
                await self._lock.acquire()
                break
            except asyncio.CancelledError as error:
                if not must:
                    raise
                cancelled = error  # what must be done waits for its turn nevertheless
        try:
            return await self._driver.away(verb, must)
        finally:
            self._lock.release()
            if cancelled is not None:
                raise cancelled

    async def alone(self, verb: Callable[[], T]) -> T:
        return await self._driver.alone(verb)
