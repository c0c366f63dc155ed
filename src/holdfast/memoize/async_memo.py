"""A memoized coroutine function: the same steps, awaited."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from .memo import CALL, Memo, Place, Settings, Steps
from .shelf import MISSING

__all__ = ["AsyncMemo"]

P = ParamSpec("P")
R = TypeVar("R")

_QUICK = (bool, int, float, type(None))


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
        if self._print is not None and all(type(value) in _QUICK for value in (*args, *kwargs.values())):
            key = self._key(args, kwargs)
        else:
            key = await asyncio.to_thread(self._key, args, kwargs)
        value = await asyncio.to_thread(shelf.get, key)
        if value is MISSING:
            return await self._await(self._steps(shelf, key, args, kwargs), args, kwargs)
        self._hits += 1
        return value

    async def _await(self, steps: Steps, args: Any, kwargs: Any) -> Any:
        go_on, given = steps.send, None
        try:
            while True:
                step = go_on(given)
                try:
                    if isinstance(step, float):
                        given = await asyncio.sleep(step)
                    elif isinstance(step, Future):
                        given = await asyncio.shield(asyncio.wrap_future(step))
                    elif step is CALL:
                        given = await self._function(*args, **kwargs)  # type: ignore[misc]
                    else:
                        given = await asyncio.to_thread(step)
                    go_on = steps.send
                except BaseException as error:
                    go_on, given = steps.throw, error
        except StopIteration as end:
            return end.value
