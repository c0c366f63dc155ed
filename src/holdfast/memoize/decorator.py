"""The verb that stores and scopes have from here. What it needs is loaded when the first function is decorated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypedDict, TypeVar, Unpack, overload

from ..errors import InvalidArgumentError
from ..navigation import Navigation
from ..options import expiry
from ..scope import BaseScope

if TYPE_CHECKING:
    from .memo import Memo, Place, Settings

__all__ = ["MemoOptions", "Memoizing", "below", "memoize", "memoized"]

P = ParamSpec("P")
R = TypeVar("R")


class MemoOptions(TypedDict, total=False):
    """The keyword arguments of ``memoize``.

    Attributes:
        scope: where the results lie instead: a scope, or a path of one below this store or scope.
        expires: a timedelta after a result was stored, or an aware datetime, when it is computed anew.
        max_entries: keep at most so many results of this function.
        evict: which then go first: ``"fifo"`` those stored first, ``"lru"`` those not used for the longest time (each
            hit is then a small write).
        ignore: names of parameters that do not count.
        key: by the name of a parameter, a function from its argument to what counts of it.
        version: stands for the function's code and all that it uses, which are then not looked at.
    """

    scope: BaseScope[Any] | str | None
    expires: timedelta | datetime | None
    max_entries: int | None
    evict: str
    ignore: Iterable[str]
    key: Mapping[str, Callable[[Any], Any]]
    version: str | int | None


class Memoizing:
    """The verb that a store and a scope have from here."""

    @overload
    def memoize(self, function: Callable[P, R], /, **options: Unpack[MemoOptions]) -> Memo[P, R]: ...
    @overload
    def memoize(
        self, function: None = None, /, **options: Unpack[MemoOptions]
    ) -> Callable[[Callable[P, R]], Memo[P, R]]: ...
    def memoize(self: Any, function: Any = None, /, **options: Unpack[MemoOptions]) -> Any:
        """Keep a function's results: a later call with equal arguments, by whichever process, gives the stored one.

        Equal means: the same values, however passed, and the same code, in the function and all that it uses. One
        caller computes, others wait for the result. Exceptions are not kept; None and other false results are. See
        :class:`MemoOptions`.

        Raises:
            InvalidArgumentError: an option that is not legal, or no function.
        """
        if isinstance(self, BaseScope):
            self._outside()
        return memoize(self, function, options)


def memoize(place: Place, function: Any, options: MemoOptions) -> Any:
    """Memoize below a place; without a function the decorator that does.

    Raises:
        InvalidArgumentError: an option that is not legal, or no function.
        TypeError: an option that there is not.
    """
    place = _place(place, options.get("scope"))
    settings = _settings(options)
    if function is None:
        return lambda function: memoized(function, place, settings)
    return memoized(function, place, settings)


def memoized(function: Any, place: Place, settings: Settings) -> Memo[Any, Any]:
    """A function memoized below a place, by settings that are known to be legal.

    Raises:
        InvalidArgumentError: no function, or one that cannot be memoized.
    """
    import inspect

    if isinstance(function, (classmethod, staticmethod, property)):
        raise InvalidArgumentError(f"put @{type(function).__name__} above @memoize, not below it")
    if not callable(function):
        raise InvalidArgumentError(f"memoize takes a function, not {function!r}")
    if isinstance(function, type):
        raise InvalidArgumentError(f"memoize takes a function, and {function.__qualname__} is a class")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        name = getattr(function, "__qualname__", repr(function))
        raise InvalidArgumentError(f"{name} is a generator, which cannot be kept: let it return a list")
    if inspect.iscoroutinefunction(function):
        from .async_memo import AsyncMemo  # and asyncio with it

        return AsyncMemo(function, place, settings)
    from .memo import Memo

    return Memo(function, place, settings)


def _place(place: Place, scope: BaseScope[Any] | str | None) -> Place:
    if scope is None:
        return place
    if isinstance(scope, BaseScope):
        scope._outside()
        return scope
    if not isinstance(scope, str):
        raise InvalidArgumentError(f"scope must be a scope, or a path such as 'namespace:prod', not {scope!r}")
    return place.scope(scope) if isinstance(place, Navigation) else partial(below, place, scope)


def below(place: Callable[[], Navigation[Any]], path: str) -> Navigation[Any]:
    """The scope of a path below a place that is found at each call."""
    return place().scope(path)  # type: ignore[no-any-return]


_NAMES = MemoOptions.__annotations__.keys()


def _settings(options: MemoOptions) -> Settings:
    from .memo import Settings
    from .shelf import Rules

    unknown = options.keys() - _NAMES
    if unknown:
        raise TypeError(f"unexpected option {min(unknown)!r}; there are {', '.join(sorted(_NAMES))}")
    expires, most, evict = options.get("expires"), options.get("max_entries"), options.get("evict", "fifo")
    expiry(expires, lambda: 0.0)
    if isinstance(expires, timedelta) and expires <= timedelta():
        raise InvalidArgumentError(f"expires must be a time above 0, not {expires!r}")
    if most is not None and (type(most) is not int or most < 1):
        raise InvalidArgumentError(f"max_entries must be a number from 1 on, or None for any, not {most!r}")
    if evict not in ("fifo", "lru"):
        raise InvalidArgumentError(f"evict must be 'fifo' or 'lru', not {evict!r}")
    version, ignore = options.get("version"), options.get("ignore", ())
    key: Any = options.get("key") or {}
    if version is not None and type(version) not in (str, int):
        raise InvalidArgumentError(f"version must be a text or a number, not {version!r}")
    if not isinstance(key, Mapping) or not all(map(callable, key.values())):
        raise InvalidArgumentError(f"key must map names of parameters to functions, not {key!r}")
    if not isinstance(ignore, Iterable):
        raise InvalidArgumentError(f"ignore must name parameters, not {ignore!r}")
    ignore = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    return Settings(Rules(expires, most, evict), ignore, dict(key), None if version is None else str(version))
