"""A synchronous verb as an asynchronous one of the same name, arguments and description: one line each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial, update_wrapper
from itertools import islice
from typing import Any, Concatenate, ParamSpec, TypeVar

from .driver import LATER, AnyDriver

__all__ = ["Colour", "brief", "described", "lifted", "look", "paged", "pages", "uncoloured"]

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_PAGE = 1000  # as many as the kernel reads at once


class Colour:
    """The asynchronous side of something: its verbs are those of ``_sync``, run by ``_driver``."""

    _sync: Any
    _driver: AnyDriver

    def __init__(self, sync: Any, driver: AnyDriver) -> None:
        self._sync = sync
        self._driver = driver

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bool(self._sync == other._sync)

    def __hash__(self) -> int:
        return hash(self._sync)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._sync!r}>"


def uncoloured(thing: Any) -> Any:
    """What synchronous verbs take: the thing itself, or what it is the asynchronous side of."""
    return thing._sync if isinstance(thing, Colour) else thing


def lifted(verb: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """The verb, in a thread."""

    async def awaited(self: Colour, /, *args: P.args, **options: P.kwargs) -> T:
        return await self._driver.away(partial(verb, self._sync, *args, **options))

    return _like(verb, awaited)


def brief(verb: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """The verb, a write of a few bytes: in the loop, unless it would have to wait."""

    async def awaited(self: Colour, /, *args: P.args, **options: P.kwargs) -> T:
        return await self._driver.brief(partial(verb, self._sync, *args, **options))

    return _like(verb, awaited)


def look(verb: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """The verb, a read of a few bytes: in the loop, unless it would have to wait."""

    async def awaited(self: Colour, /, *args: P.args, **options: P.kwargs) -> T:
        return await self._driver.look(partial(verb, self._sync, *args, **options))

    return _like(verb, awaited)


def paged(verb: Callable[Concatenate[Any, P], Iterator[T]]) -> Callable[Concatenate[Any, P], AsyncIterator[T]]:
    """The verb, a listing: its first page read in the loop, unless that takes long, and the others in a thread."""

    def listing(self: Colour, /, *args: P.args, **options: P.kwargs) -> AsyncIterator[T]:
        begin = partial(verb, self._sync, *args, **options)
        return pages(self._driver, begin, begin())  # which tells of wrong arguments

    return _like(verb, listing)


async def pages(driver: AnyDriver, begin: Callable[[], Iterator[T]], items: Iterator[T]) -> AsyncIterator[T]:
    """What a listing gives, whole pages at a time."""
    page: Any = await driver.here(lambda: list(islice(items, _PAGE)))
    if page is LATER:
        items = begin()
        page = await driver.away(lambda: list(islice(items, _PAGE)))
    while page:
        for item in page:
            yield item
        page = await driver.away(lambda: list(islice(items, _PAGE))) if len(page) == _PAGE else []


def described(verb: Any) -> Callable[[F], F]:
    """Give a verb that is written out the description of its twin."""

    def describe(own: F) -> F:
        own.__doc__ = verb.__doc__
        return own

    return describe


def _like(verb: Callable[..., Any], own: F) -> F:
    update_wrapper(own, verb)
    return own
