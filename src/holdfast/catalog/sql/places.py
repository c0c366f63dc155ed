"""Paths of scopes as ids, and what these ask for, remembered for as long as no scope is renamed, dropped or asks for
something else."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

from ...address import Path
from ..base import Policy
from .engine import Engine

__all__ = ["EPOCH", "Found", "Known", "Places", "known_scope", "with_policy"]

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


Known = tuple[int, dict[Path, int], dict[Path, tuple[int, Policy]]]
"""An epoch, and ids that are good in it: of scopes that ask for nothing; and of the others, with what they ask for."""


def known_scope(known: Known, path: Path) -> int | None:
    """The id of a path, None when it is not known."""
    scope = known[1].get(path)
    return scope if scope is not None or path not in known[2] else known[2][path][0]


class Places(Engine):
    """``resolve`` and ``in_scope``."""

    # One tuple, replaced as a whole. Scopes with a policy are apart: the quick ways of put, replace and add do not look
    # there, and so leave them to commits.
    _known: Known = (0, {}, {})

    @abstractmethod
    def resolving(self, path: Path) -> tuple[str, tuple[Any, ...]]:
        """The statement that gives what a path comes to, of one moment; and its values."""

    def remember(self, found: Known) -> None:
        """Remember ids and policies of one epoch."""
        known = self._known
        if found[0] == known[0] and len(known[1]) + len(known[2]) < _REMEMBERED:
            known[1].update(found[1])
            known[2].update(found[2])
        elif found[0] >= known[0]:
            self._known = (found[0], dict(found[1]), dict(found[2]))

    def find_scope(self, path: Path) -> Found:
        """What a path comes to, asked anew."""
        found = Found.of(self.read(*self.resolving(path))[0])
        if found.scope is not None and found.policy is None:
            self.remember((found.epoch, {path: found.scope}, {}))
        elif found.scope is not None and found.policy is not None:
            self.remember((found.epoch, {}, {path: (found.scope, found.policy)}))
        return found

    def resolve(self, path: Path) -> tuple[int, int | None]:
        """See :meth:`Engine.resolve <holdfast.catalog.sql.engine.Engine.resolve>`."""
        return self.find_scope(path)[:2]

    def in_scope(self, path: Path, sql: str, values: Callable[[int, int], tuple[Any, ...]], **how: Any) -> list[Any]:
        """See :meth:`Engine.in_scope <holdfast.catalog.sql.engine.Engine.in_scope>`; ``how`` is for the catalog's own
        :meth:`read`.

        An empty answer is one only when the epoch is still the same.
        """
        known = self._known
        epoch, scope = known[0], known_scope(known, path)
        while True:
            if scope is not None:
                rows = self.read(sql, values(scope, epoch), **how)
                if rows or self.read(EPOCH)[0][0] == epoch:
                    return rows
            epoch, scope = self.resolve(path)
            if scope is None:
                return []
