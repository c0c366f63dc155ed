"""Where the results of a scope's graphs lie.

========  =============================  ==============================  ===========================
reuse     scope                          key                             tags
========  =============================  ==============================  ===========================
inputs    ``graph:results`` below it     ``MODULE.FUNCTION/IDENTITY``    run, node, task, code
name      the scope itself               the node's name                 run, node, task
========  =============================  ==============================  ===========================

IDENTITY is a digest of the function's code and of what it is given; an input that is itself a node counts by its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from ..catalog.base import InlineRow, Put
from ..errors import InvalidArgumentError, NotFoundError
from ..model import Record, RecordRow
from ..options import PutOptions
from ..scope import BaseScope
from .plan import Step
from .work import Place

__all__ = ["KIND", "RESULTS", "Shelf", "records"]

KIND = "graph"
"""Kind of the scopes that a scope's graphs have for themselves."""

RESULTS = "results"
"""Name of the one with results by inputs."""

_TAGS = {"run", "node", "task"}
_MANY = 16  # keys that are looked up together
_NONE: Any = object()
_VERSION = RecordRow._fields.index("version")
_PAGES = 4  # times as many keys are listed, before they are looked up one by one


class Shelf:
    """The results of the graphs of one scope, as they are found in one way.

    Args:
        reuse: ``inputs`` or ``name``.
    """

    def __init__(self, scope: BaseScope[Any], reuse: str) -> None:
        self._by_name = reuse == "name"
        self._options: PutOptions = {**(scope._defaults or {})}
        self._options.pop("lease", None)  # which stays in its process
        self.scope: BaseScope[Any] = scope if self._by_name else scope.scope(KIND, RESULTS)

    def place(self, step: Step, run: str) -> Place:
        """Where the result of a step goes."""
        tags = {**(self._options.get("tags") or {}), "run": run, "node": step.name, "task": step.task}
        if step.code:
            tags["code"] = step.code
        return Place(self.scope.path, str(step.key), {**self._options, "tags": tags})

    def stored(self, steps: Iterable[Step]) -> set[Step]:
        """Those of the steps whose results are there.

        Raises:
            InvalidArgumentError: under a node's name there is something else.
        """
        groups: dict[str, list[Step]] = {}
        for step in steps:
            group = "" if self._by_name else str(step.key).rpartition("/")[0]
            groups.setdefault(group, []).append(step)
        found: set[Step] = set()
        for some in groups.values():
            tasks = self._tasks(sorted(str(step.key) for step in some))
            for step in some:
                task = tasks.get(str(step.key), _NONE)
                if task is not _NONE and self._by_name:
                    self._check(step, task)
                if task is not _NONE:
                    found.add(step)
        return found

    def _tasks(self, keys: list[str]) -> dict[str, str | None]:
        """Which of these keys exist, each with the task that gave it, where that is looked at: from one listing, unless
        there are far more between them."""
        if len(keys) < _MANY:
            return dict(self._one_by_one(keys))
        most = _PAGES * len(keys) + 1000
        ends: Any = {"start": keys[0], "end": f"{keys[-1]}\0", "limit": most}
        if self._by_name:
            listed = {record.key: record.tags.get("task") for record in self.scope.list(**ends)}
        else:
            listed = dict.fromkeys(self.scope.keys(**ends))
        if len(listed) == most:
            last = next(reversed(listed))
            listed.update(self._one_by_one([key for key in keys if key > last]))
        return listed

    def _one_by_one(self, keys: Iterable[str]) -> Iterator[tuple[str, str | None]]:
        for key in keys:
            if self._by_name:
                with suppress(NotFoundError):
                    yield key, self.scope.record(key).tags.get("task")
            elif self.scope.exists(key):
                yield key, None

    def _check(self, step: Step, task: str | None) -> None:
        if task != step.task:
            what = f"is a result of {task}" if task is not None else "was put there, and is no result"
            raise InvalidArgumentError(
                f"the value of {self.scope}/{step.key} {what}, while the node of this name is a call of {step.task}: "
                "name the node otherwise, or remove what is there by scope.results.remove or scope.delete"
            )

    def commit(self, changes: Sequence[Put]) -> list[int]:
        """Store several results at once, or none, and give their versions."""
        catalog, power = self.scope._kernel.catalog, self.scope._kernel.power
        if len(changes) == 1:  # which is quicker so
            (change,) = changes
            row = tuple(getattr(change, name) for name in InlineRow._fields)
            done = catalog.put(change.path, change.key, row, power)
            if done is not None:
                return [done[0]]
        rows: list[Any] = [one.row for one in catalog.commit(changes, power=power)]
        return [row[_VERSION] for row in rows]

    def get(self, step: Step) -> Any:
        """A result.

        Raises:
            NotFoundError: it is not there.
            IntegrityError, SignatureError, DecodeError, ValueLost: it is not what was put.
        """
        return self.scope.get(str(step.key))

    def remove(self, steps: Iterable[Step]) -> None:
        """Remove results.

        Raises:
            InvalidArgumentError: as of :meth:`stored`; nothing was removed.
        """
        for step in self.stored(step for step in steps if step.kept):
            self.scope.delete(str(step.key), missing_ok=True)


def records(scope: BaseScope[Any]) -> Iterator[tuple[BaseScope[Any], Record]]:
    """All results of a scope's graphs, each with the scope that it lies in."""
    below = scope.scope(KIND, RESULTS)
    for where in (scope, below):
        for record in where.list():
            tags = record.tags
            # In the scope itself are others' values, whatever their tags.
            if tags.keys() >= _TAGS and (where is below or tags["node"] == record.key):
                yield where, record
