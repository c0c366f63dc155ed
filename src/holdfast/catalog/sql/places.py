"""Paths of scopes as ids, remembered for as long as no scope is renamed or dropped."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from ...address import Path
from .engine import Engine

__all__ = ["EPOCH", "Places"]

EPOCH = "SELECT epoch FROM store WHERE id=1"
"""The present epoch; an id of a scope is good for one."""

_REMEMBERED = 20_000  # scopes; then the memory of them starts anew


class Places(Engine):
    """``resolve`` and ``in_scope``."""

    # One tuple, replaced as a whole: the epoch, and ids that are good in it.
    _known: tuple[int, dict[Path, int]] = (0, {})

    @abstractmethod
    def resolving(self, path: Path) -> tuple[str, tuple[Any, ...]]:
        """The statement that gives epoch and id of a path, of one moment; and its values."""

    def _remember(self, epoch: int, found: dict[Path, int]) -> None:
        known_epoch, known = self._known
        if epoch == known_epoch and len(known) < _REMEMBERED:
            known.update(found)
        elif epoch >= known_epoch:
            self._known = (epoch, dict(found))

    def resolve(self, path: Path) -> tuple[int, int | None]:
        """See :meth:`Engine.resolve <holdfast.catalog.sql.engine.Engine.resolve>`."""
        epoch, scope = self.read(*self.resolving(path))[0]
        if scope is not None:
            self._remember(epoch, {path: scope})
        return epoch, scope

    def in_scope(self, path: Path, sql: str, values: Callable[[int, int], tuple[Any, ...]], **how: Any) -> list[Any]:
        """See :meth:`Engine.in_scope <holdfast.catalog.sql.engine.Engine.in_scope>`; ``how`` is for the catalog's own
        :meth:`read`.

        An empty answer is one only when the epoch is still the same.
        """
        epoch, known = self._known
        scope = known.get(path)
        if scope is not None:
            rows = self.read(sql, values(scope, epoch), **how)
            if rows or self.read(EPOCH)[0][0] == epoch:
                return rows
        while True:
            epoch, scope = self.resolve(path)
            if scope is None:
                return []
            rows = self.read(sql, values(scope, epoch), **how)
            if rows or self.read(EPOCH)[0][0] == epoch:
                return rows
