"""A synchronous verb as an asynchronous one of the same name, arguments and description: one line each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial, update_wrapper
from itertools import islice
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from .ways import LATER, Ways

__all__ = ["Colour", "Looked", "Shown", "brief", "described", "lifted", "look", "paged", "pages"]

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_PAGE = 1000  # as many as the kernel reads at once


class Colour:
    """The asynchronous side of something: its verbs are those of ``_sync``, run by ``_driver``."""

    def __init__(self, sync: Any, driver: Ways) -> None:
        self._sync = sync
        self._driver = driver

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bool(self._sync == other._sync)

    def __hash__(self) -> int:
        return hash(self._sync)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._sync!r}>"


class Shown(Generic[T]):
    """An attribute of the twin's that takes no I/O."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, colour: Any, kind: Any = None) -> T:
        found: Any = self if colour is None else getattr(colour._sync, self._name)
        return found  # type: ignore[no-any-return]


class Looked(Shown[Coroutine[Any, Any, T]]):
    """An attribute that takes a look into the catalog, and is to be awaited."""

    def __get__(self, colour: Any, kind: Any = None) -> Coroutine[Any, Any, T]:
        found: Any = self if colour is None else colour._driver.look(partial(getattr, colour._sync, self._name))
        return found  # type: ignore[no-any-return]


def lifted(verb: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """The verb, in a thread."""
    return _lifted(verb, "away")  # type: ignore[no-any-return]


def brief(verb: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """The verb, a write of a few bytes: in the loop, unless it would have to wait."""
    return _lifted(verb, "brief")  # type: ignore[no-any-return]


def look(verb: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """The verb, a read of a few bytes: in the loop, unless it would have to wait."""
    return _lifted(verb, "look")  # type: ignore[no-any-return]


def _lifted(verb: Any, way: str) -> Any:
    async def awaited(self: Colour, /, *args: Any, **options: Any) -> Any:
        # A scope given as an argument may be of either colour.
        args = tuple([given._sync if isinstance(given, Colour) else given for given in args])
        if isinstance(options.get("to"), Colour):
            options["to"] = options["to"]._sync
        return await getattr(self._driver, way)(partial(verb, self._sync, *args, **options))

    return update_wrapper(awaited, verb)


def paged(verb: Callable[Concatenate[Any, P], Iterator[T]]) -> Callable[Concatenate[Any, P], AsyncIterator[T]]:
    """The verb, a listing: its first page read in the loop, unless that takes long, and the others in a thread."""

    def listing(self: Colour, /, *args: P.args, **options: P.kwargs) -> AsyncIterator[T]:
        begin = partial(verb, self._sync, *args, **options)
        return pages(self._driver, begin, begin())  # which tells of wrong arguments

    update_wrapper(listing, verb)
    return listing


async def pages(driver: Ways, begin: Callable[[], Iterator[T]], items: Iterator[T]) -> AsyncIterator[T]:
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
