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
from .flights import Flight
from .memo import CALL, Failed, Memo, Place, Settings, Steps
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
        if self._print is not None and all(map(_is_brief, (*args, *kwargs.values()))):
            code, key = self._named(args, kwargs)
        else:
            code, key = await driver.away(partial(copy_context().run, self._named, args, kwargs))
        value = await self._find(shelf, driver, key)
        if value is MISSING:
            flight = self._flight(shelf, key)
            return await self._await(self._steps(shelf, key, code, flight, args, kwargs), flight, driver, args, kwargs)
        self._hits += 1
        return value

    async def _find(self, shelf: Shelf, driver: Driver, key: str) -> Any:
        if self._settings.rules.evict != "lru":
            try:
                return await AsyncScope(shelf.scope, driver).get(key, MISSING)
            except (ValueLost, DecodeError):
                pass  # the shelf tells of it
        return await driver.away(partial(shelf.get, key))

    async def _await(self, steps: Steps, flight: Flight, driver: Driver, args: Any, kwargs: Any) -> Any:
        failed: BaseException | None = None
        go_on: Any = steps.send
        given: Any = None
        try:
            while True:
                step = go_on(given)
                try:
                    if isinstance(step, float):
                        given = None
                        await asyncio.sleep(step)
                    elif isinstance(step, Future):
                        given = await asyncio.shield(asyncio.wrap_future(step))
                    elif step is CALL:
                        given = await self._function(*args, **kwargs)  # type: ignore[misc]
                    else:
                        step = partial(copy_context().run, step)  # what the caller gave may look for its context
                        given = await driver.away(step, must=go_on == steps.throw)  # what is left after an error
                    go_on = steps.send
                except BaseException as raised:
                    if isinstance(raised, GeneratorExit):  # nobody awaits this any more
                        return self._run(steps, flight, args, kwargs, raised)
                    go_on, given = steps.throw, raised
                    if step is CALL:
                        failed, given = raised, Failed()
        except StopIteration as end:
            return end.value
        except Failed:
            pass
        except BaseException as raised:
            if inspect.getgeneratorstate(steps) == inspect.GEN_CLOSED:
                raise
            return self._run(steps, flight, args, kwargs, raised)  # interrupted between two steps
        finally:
            flight.end()
        try:
            assert failed is not None
            raise failed
        finally:
            del failed  # which has this frame


def _is_brief(value: Any) -> bool:
    """Whether a value is surely hashed in microseconds."""
    kind = type(value)
    return kind in _SCALARS or (kind in (str, bytes) and len(value) < _BRIEF)
