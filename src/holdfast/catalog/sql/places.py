"""Paths of scopes as ids, and what these ask for, remembered for as long as no scope is renamed, dropped or asks for
something else."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

from ...address import Path
from ..base import Policy
from .engine import Engine

__all__ = ["EPOCH", "Found", "Known", "Places", "with_policy"]

EPOCH = "SELECT epoch FROM store WHERE id=1"
"""The present epoch; an id of a scope is good for one."""

_REMEMBERED = 20_000  # scopes; then the memory of them starts anew


def with_policy(sql: str) -> str:
    """A statement that gives ``epoch`` and ``id`` of a scope, as one that gives its policy too: three columns, NULL
    where it has none."""
    return (
        f"SELECT f.epoch,f.id,p.history,p.max_records,p.max_bytes FROM ({sql}) f LEFT JOIN policies p ON p.scope=f.id"
    )


class Found(NamedTuple):
    """What a path came to: the epoch, the scope's id, and its policy, None for none."""

    epoch: int
    scope: int | None
    policy: Policy | None

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Found:
        """From a row of a statement :func:`with_policy`."""
        epoch, scope, *policy = row
        return cls(epoch, scope, None if policy[0] is None else Policy(*policy))


class Known(NamedTuple):
    """Ids that are good in one epoch: of scopes that ask for nothing, and of the others, with what they ask for."""

    epoch: int
    free: dict[Path, int]
    bound: dict[Path, tuple[int, Policy]]

    def scope(self, path: Path) -> int | None:
        """The id of a path, None when it is not known."""
        scope = self.free.get(path)
        return scope if scope is not None or path not in self.bound else self.bound[path][0]


class Places(Engine):
    """``resolve`` and ``in_scope``."""

    # Each one tuple, replaced as a whole: the epoch, and ids that are good in it. Scopes with a policy are apart: the
    # quick ways of put, replace and add know nothing of them, and so leave them to commits.
    _known: tuple[int, dict[Path, int]] = (0, {})
    _bound: tuple[int, dict[Path, tuple[int, Policy]]] = (0, {})

    @abstractmethod
    def resolving(self, path: Path) -> tuple[str, tuple[Any, ...]]:
        """The statement that gives what a path comes to, of one moment; and its values."""

    def memory(self) -> Known:
        """What is remembered."""
        (epoch, free), (bound_epoch, bound) = self._known, self._bound
        return Known(epoch, free, bound if epoch == bound_epoch else {})

    def remember(self, found: Known) -> None:
        """Remember ids and policies of one epoch."""
        epoch = found.epoch
        known_epoch, free = self._known
        if epoch == known_epoch and len(free) + len(self._bound[1]) < _REMEMBERED:
            free.update(found.free)
        elif epoch >= known_epoch:
            self._known = (epoch, dict(found.free))
        if self._bound[0] == epoch == known_epoch:
            self._bound[1].update(found.bound)
        elif epoch >= known_epoch:
            self._bound = (epoch, dict(found.bound))

    def find_scope(self, path: Path) -> Found:
        """What a path comes to, asked anew."""
        found = Found.of(self.read(*self.resolving(path))[0])
        if found.scope is not None and found.policy is None:
            self.remember(Known(found.epoch, {path: found.scope}, {}))
        elif found.scope is not None and found.policy is not None:
            self.remember(Known(found.epoch, {}, {path: (found.scope, found.policy)}))
        return found

    def resolve(self, path: Path) -> tuple[int, int | None]:
        """See :meth:`Engine.resolve <holdfast.catalog.sql.engine.Engine.resolve>`."""
        return self.find_scope(path)[:2]

    def in_scope(self, path: Path, sql: str, values: Callable[[int, int], tuple[Any, ...]], **how: Any) -> list[Any]:
        """See :meth:`Engine.in_scope <holdfast.catalog.sql.engine.Engine.in_scope>`; ``how`` is for the catalog's own
        :meth:`read`.

        An empty answer is one only when the epoch is still the same.
        """
        known = self.memory()
        epoch, scope = known.epoch, known.scope(path)
        while True:
            if scope is not None:
                rows = self.read(sql, values(scope, epoch), **how)
                if rows or self.read(EPOCH)[0][0] == epoch:
                    return rows
            epoch, scope = self.resolve(path)
            if scope is None:
                return []
