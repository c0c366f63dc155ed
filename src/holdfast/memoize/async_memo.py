"""A memoized coroutine function: the same steps, awaited."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from ..aio.driver import Driver, driver_of
from ..aio.scope import AsyncScope
from ..errors import DecodeError, ValueLost
from .memo import CALL, Memo, Miss, Place, Settings
from .shelf import MISSING, Shelf

__all__ = ["AsyncMemo"]

P = ParamSpec("P")
R = TypeVar("R")

_SCALARS = (type(None), bool, int, float)
_BRIEF = 1 << 14  # bytes of text that are hashed in the loop


class AsyncMemo(Memo[P, R]):
    """A coroutine function whose results are kept. Awaited like the function itself."""

    def __init__(self, function: Callable[P, R], place: Place, settings: Settings) -> None:
        super().__init__(function, place, settings)
        # What asks whether a function is one to await asks for these.
        if hasattr(inspect, "markcoroutinefunction"):
            inspect.markcoroutinefunction(self)
        else:
            self._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        result: Any = self._awaited(args, kwargs)
        return result  # type: ignore[no-any-return]

    async def _awaited(self, args: Any, kwargs: Any) -> Any:
        shelf = self._shelf()
        driver = driver_of(shelf.scope._kernel)
        if self._identity.is_read and all(map(_is_brief, (*args, *kwargs.values()))):
            code, key = self._named(args, kwargs)
        else:
            code, key = await driver.away(partial(copy_context().run, self._named, args, kwargs))
        value = await self._find(shelf, driver, key)
        if value is MISSING:
            return await self._compute(Miss(self, shelf, code, key, args, kwargs), driver, args, kwargs)
        self._hits += 1
        return value

    async def _find(self, shelf: Shelf, driver: Driver, key: str) -> Any:
        if self._settings.rules.evict != "lru":
            try:
                return await AsyncScope(shelf.scope, driver).get(key, MISSING)
            except (ValueLost, DecodeError):
                pass  # the shelf tells of it
        return await driver.away(partial(shelf.get, key))

    async def _compute(self, miss: Miss, driver: Driver, args: Any, kwargs: Any) -> Any:
        with miss:
            while True:
                step = miss.step()
                try:
                    if isinstance(step, float):
                        miss.made(await asyncio.sleep(step, None))
                    elif isinstance(step, Future):
                        miss.made(await asyncio.shield(asyncio.wrap_future(step)))
                    elif step is CALL:
                        miss.made(await self._function(*args, **kwargs))  # type: ignore[misc]
                    else:
                        step = partial(copy_context().run, step)  # what the caller gave may look for its context
                        miss.made(await driver.away(step, must=miss.failing))
                except GeneratorExit:  # nobody awaits this any more
                    raise
                except BaseException as error:
                    miss.failed(step, error)
        return miss.outcome()


def _is_brief(value: Any) -> bool:
    """Whether a value is surely hashed in microseconds."""
    kind = type(value)
    return kind in _SCALARS or (kind in (str, bytes) and len(value) < _BRIEF)
