"""The asynchronous colour: ``store.aio`` and ``scope.aio`` have the same verbs, to be awaited.

Nothing of asyncio is imported before the first of them is asked for.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import InvalidArgumentError
from ..transaction import Buffered

if TYPE_CHECKING:
    from .scope import AsyncScope
    from .store import AsyncStore

__all__ = ["ScopeAwaited", "StoreAwaited"]


class ScopeAwaited:
    """The attribute that a scope has from here."""

    @cached_property
    def aio(self: Any) -> AsyncScope:
        """This scope for async programs: the same verbs, to be awaited."""
        from .driver import driver_of
        from .scope import AsyncScope

        if isinstance(self._ledger, Buffered):
            raise InvalidArgumentError(f"{self} acts in a synchronous transaction: begin it by aio.transaction()")
        return AsyncScope(self, driver_of(self._kernel))


class StoreAwaited:
    """The attribute that a store has from here."""

    @cached_property
    def aio(self: Any) -> AsyncStore:
        """This store for async programs: the same verbs, to be awaited."""
        from .driver import driver_of
        from .store import AsyncStore

        return AsyncStore(self, driver_of(self._kernel))
