"""VIKTOR's memoize: Holdfast's own, with an expiry, and in development with a limit over all functions together."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ...errors import InvalidArgumentError
from ...memoize.decorator import below, memoized
from ...scope import BaseScope
from ...verbs import current_store

if TYPE_CHECKING:
    from ...memoize.memo import Memo

__all__ = ["memoize"]

P = ParamSpec("P")
R = TypeVar("R")

_SCOPE = "viktor:memoize"
_NEWEST = 10
_DAY = 86400.0


def memoize(func: Callable[P, R]) -> Memo[P, R]:
    """Keep a function's results in the current store: a later call with equal arguments gives the stored one.

    Results expire after 24 hours, or the seconds in ``HOLDFAST_VIKTOR_EXPIRES`` when the function is defined. Unless
    ``HOLDFAST_ENV`` is ``production`` the 10 newest of all functions of the store are kept, the oldest go first.

    Raises:
        InvalidArgumentError: no function, or one that cannot be memoized.
    """
    from ...memoize.memo import Settings  # with all that reads code: only for those who memoize
    from ...memoize.shelf import Rules

    rules = Rules(expires=timedelta(seconds=_seconds()), kept=_trim)
    return memoized(func, partial(below, current_store, _SCOPE), Settings(rules))


def _seconds() -> float:
    text = os.environ.get("HOLDFAST_VIKTOR_EXPIRES") or _DAY
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 1e9:
        raise InvalidArgumentError(f"HOLDFAST_VIKTOR_EXPIRES must be a number of seconds up to 1e9, not {text!r}")
    return seconds


def _trim(scope: BaseScope[Any]) -> None:
    from ...memoize.shelf import KIND, trim

    if os.environ.get("HOLDFAST_ENV") != "production":
        trim(scope._at(scope.path[:-1]).children(KIND), _NEWEST)
