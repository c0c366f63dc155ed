"""Where the results of one function lie: a scope of kind ``memo`` with its name.

======================  ================================================================
key                     value
======================  ================================================================
``call/CODE/CALL``      a result, tagged with what is remembered of each argument
``code/CODE``           what the code rests on: names to digests, or versions of packages
======================  ================================================================

CODE is a digest of the function's code and what it uses, CALL one of its arguments.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ..catalog.base import Edit
from ..errors import BusyError, ConflictError, DecodeError, NotFoundError, StoreError, ValueLost
from ..lease import Lease
from ..model import Record
from ..navigation import Navigation
from ..scope import BaseScope

if TYPE_CHECKING:
    from .binding import Argument  # the command line lists results without what hashing arguments takes

__all__ = ["CALLS", "CODES", "KIND", "MISSING", "Rules", "Shelf", "digests", "trim"]

KIND = "memo"
"""Kind of the scopes that hold results."""

CALLS = "call/"
"""How keys of results begin."""

CODES = "code/"
"""How keys of what the code rests on begin."""

MISSING: Any = object()
"""What :meth:`Shelf.get` gives when there is no result."""

_log = logging.getLogger("holdfast")


class Rules(NamedTuple):
    """How long results are kept, and how many.

    Attributes:
        expires: a timedelta after they were stored, or a moment; None for never.
        max_entries: at most so many of one function; None for any number.
        evict: ``"fifo"``: those stored first go first; ``"lru"``: those not used for the longest time.
        kept: called with the function's scope when a result was stored in it.
    """

    expires: timedelta | datetime | None = None
    max_entries: int | None = None
    evict: str = "fifo"
    kept: Callable[[BaseScope[Any]], object] | None = None


class Shelf:
    """The results of one function below one place of a store."""

    def __init__(self, place: Navigation[Any], name: str, rules: Rules) -> None:
        self.scope: BaseScope[Any] = place.scope(KIND, name)
        self._rules = rules
        self._described: set[str] = set()

    def get(self, key: str) -> Any:
        """A result, or :data:`MISSING`; one that is damaged counts as missing, and is told of in the log."""
        try:
            value = self.scope.get(key, MISSING)
        except (ValueLost, DecodeError) as error:
            _log.warning("a memoized result is not usable, and is computed again: %s", error)
            return MISSING
        if value is not MISSING and self._rules.evict == "lru":
            self._use(key)
        return value

    def _use(self, key: str) -> None:
        try:
            self.scope._change(Edit(self.scope.path, key))
        except NotFoundError:
            pass  # it was evicted after it was read
        except (StoreError, BusyError) as error:
            _log.warning("the use of a memoized result is not recorded: %s", error)

    def put(
        self, key: str, result: Any, arguments: Mapping[str, Argument], parts: Mapping[str, str], lease: Lease
    ) -> None:
        """Keep a result, and let others go for it.

        Raises:
            EncodeError: no serializer takes it.
            LeaseLost: somebody else computes it by now.
        """
        code = CODES + digests(key)[0]
        if code not in self._described:
            self.scope.put(code, dict(parts))
            self._described.add(code)
        tags = {name: " ".join(argument) for name, argument in arguments.items()}
        self.scope.put(key, result, tags=tags, expires=self._rules.expires, lease=lease)
        if self._rules.max_entries is not None:
            trim([self.scope], self._rules.max_entries)
        if self._rules.kept is not None:
            self._rules.kept(self.scope)

    def records(self) -> Iterator[Record]:
        """The records of all results, by key."""
        return self.scope.list(CALLS)

    def parts(self, code: str) -> dict[str, str]:
        """What the code of that digest rests on; empty when it is not known any more."""
        found: dict[str, str] = self.scope.get(CODES + code, {})
        return found

    def clear(self) -> int:
        """Remove all results; gives their number."""
        count = sum(self.scope.delete(key, missing_ok=True) is not None for key in self.scope.keys(CALLS))
        for key in self.scope.keys(CODES):
            self.scope.delete(key, missing_ok=True)
        self._described.clear()
        return count


def digests(key: str) -> tuple[str, str]:
    """CODE and CALL of the key of a result."""
    code, _, call = key.removeprefix(CALLS).partition("/")
    return code, call


def trim(scopes: Iterable[BaseScope[Any]], max_entries: int) -> None:
    """Remove the results that were stored or used first, until at most so many are left in all of the scopes."""
    scopes = list(scopes)
    count = sum(sum(1 for _ in scope.keys(CALLS)) for scope in scopes)
    if count <= max_entries:
        return
    oldest = [(record, scope) for scope in scopes for record in scope.list(CALLS, order="updated")]
    oldest.sort(key=lambda pair: pair[0].updated)
    for record, scope in oldest[: count - max_entries]:
        try:
            scope.delete(record.key, if_version=record.version, missing_ok=True)
        except ConflictError:
            pass  # it was used, or stored anew, in between
