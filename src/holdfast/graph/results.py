"""The results of a scope's graphs, by the names of the nodes that gave them."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from ..errors import InvalidArgumentError, NotFoundError
from ..model import Record
from ..scope import BaseScope
from .shelf import records

__all__ = ["Result", "Results"]


class Result(NamedTuple):
    """A stored result.

    Attributes:
        name: of the node that gave it.
        task: what its function is called.
        run: the run that stored it.
        record: its record, which has its size, version and times.
    """

    name: str
    task: str
    run: str
    record: Record


_Names = list[str]  # the class has a verb of the name list


class Results:
    """What :meth:`Scope.run <holdfast.Scope.run>` has stored in a scope, however it is found.

    Where results are found by their inputs there may be several of one name: with other inputs, or of other code.
    """

    def __init__(self, scope: BaseScope[Any]) -> None:
        self._scope = scope

    def list(self, pattern: str = "*") -> list[Result]:
        """Those of the nodes whose names match a glob pattern, by name, the newest first of equal ones."""
        found = [_shown(record) for _, record in self._matching(pattern)]
        return sorted(found, key=lambda result: (result.name, -result.record.updated.timestamp()))

    def names(self, pattern: str = "*") -> _Names:
        """Names of nodes that match a glob pattern and have a result."""
        return sorted({record.tags["node"] for _, record in self._matching(pattern)})

    def get(self, name: str) -> Any:
        """The newest result of the node of that name.

        Raises:
            NotFoundError: there is none.
            IntegrityError, SignatureError, DecodeError, ValueLost: it is not what was put.
        """
        scope, record = self._newest(name)
        return scope.get(record.key)

    def find(self, name: str) -> Result:
        """What is known of the newest result of the node of that name.

        Raises:
            NotFoundError: there is none.
        """
        return _shown(self._newest(name)[1])

    def remove(self, pattern: str) -> int:
        """Remove those of the nodes whose names match a glob pattern; gives how many there were."""
        going = list(self._matching(pattern))
        return sum(scope.delete(record.key, missing_ok=True) is not None for scope, record in going)

    def _newest(self, name: str) -> tuple[BaseScope[Any], Record]:
        if not isinstance(name, str):
            raise InvalidArgumentError(f"a result goes by the name of its node, not by {name!r}")
        found = [pair for pair in records(self._scope) if pair[1].tags["node"] == name]
        if not found:
            raise NotFoundError(f"no result of a node {name!r} in {self._scope}: scope.results.names() shows them")
        return max(found, key=lambda pair: (pair[1].updated, pair[1].version))

    def _matching(self, pattern: str) -> Iterator[tuple[BaseScope[Any], Record]]:
        if not isinstance(pattern, str):
            raise InvalidArgumentError(f"a pattern is a text such as 'clean*', not {pattern!r}")
        return (pair for pair in records(self._scope) if fnmatchcase(pair[1].tags["node"], pattern))


def _shown(record: Record) -> Result:
    tags = record.tags
    return Result(tags["node"], tags.get("task", ""), tags["run"], record)
