"""Runs of graphs of tasks: how each node fared."""

from __future__ import annotations

import time
from typing import Any, NoReturn

from ..api import Scope
from ..errors import InvalidArgumentError
from ..graph.plan import STATES
from ..graph.runs import UNDER_WAY, NodeInfo
from .printing import print_columns, remark, time_json
from .recorded import Recorded
from .wording import shown, size_text

__all__ = ["GraphRun"]

_PAUSE = 0.5  # seconds between two looks at a run that is followed


class GraphRun(Recorded):
    """A run of a graph of tasks."""

    kind = "graph"

    def __init__(self, scope: Scope, id: str) -> None:
        """Look at it.

        Raises:
            NotFoundError, KeyError, TypeError: there is no such run.
        """
        self._info = info = scope.runs.get(id)
        super().__init__(scope, info.id, info.state, info.begun, info.ended)

    @property
    def goes_on(self) -> bool:
        """See :class:`Recorded`."""
        return self.state == UNDER_WAY

    @property
    def how_to_end(self) -> str:
        """See :class:`Recorded`."""
        return "end its program, or press Ctrl-C there"

    @property
    def within(self) -> bool:
        """See :class:`Recorded`."""
        return False

    @property
    def what(self) -> str:
        """How many nodes are in which state."""
        counts = self._info.counts
        return ", ".join(f"{counts[state]:,} {state}" for state in reversed(STATES) if counts.get(state))

    def own_facts(self) -> dict[str, Any]:
        """See :class:`Recorded`."""
        info = self._info
        return {
            "reuse": info.reuse, "executor": info.executor, "targets": list(info.targets), "counts": dict(info.counts),
            **info.where,
        }  # fmt: skip

    def details(self, log: bool) -> dict[str, Any]:
        """Its nodes."""
        _no_log(log)
        return {"nodes": [_node_facts(node) for node in self.scope.runs.nodes(self.id)]}

    def show(self, log: bool) -> None:
        """See :class:`Recorded`."""
        _no_log(log)
        info, where = self._info, self._info.where
        print(
            f"{self.times()}; {info.executor or 'no executor was needed'}; reuse {info.reuse or 'nothing'}; "
            f"process {where.get('process')} of {shown(str(where.get('host')))}, Python {where.get('python')}, "
            f"Holdfast {where.get('holdfast')}"
        )
        print(f"asked for {shown(', '.join(info.targets[:10]))}{' and more' if info.targets[10:] else ''}")
        print_columns([_node_row(node) for node in self.scope.runs.nodes(self.id)], right=(3, 4))

    def follow(self, as_json: bool) -> GraphRun:
        """Tell which nodes come to an end."""
        known: set[str] = set()
        while True:
            run = GraphRun(self.scope, self.id)
            for node in self.scope.runs.nodes(self.id):
                if node.ended is not None and node.name not in known:
                    known.add(node.name)
                    remark(as_json, _node_facts(node), "  ".join(cell for cell in _node_row(node) if cell))
            if not run.goes_on:
                return run
            time.sleep(_PAUSE)

    def cancel(self) -> NoReturn:
        """See :class:`Recorded`."""
        raise InvalidArgumentError(f"{self.id} is a run of a graph: {self.how_to_end}")

    def resume(self, functions: str | None, as_json: bool, quiet: bool) -> NoReturn:
        """See :class:`Recorded`."""
        raise InvalidArgumentError(
            f"{self.id} is a run of a graph: run its program again, it goes on with what is stored"
        )

    def remove(self) -> None:
        """See :class:`Recorded`."""
        self.scope.runs.remove(self.id)


def _no_log(log: bool) -> None:
    if log:
        raise InvalidArgumentError("a run of a graph has no log: without --log its nodes are shown")


def _node_row(node: NodeInfo) -> list[str]:
    seconds = "" if node.seconds is None else f"{node.seconds:.2f} s"
    size = "" if node.size is None else size_text(node.size)
    tries = f"{node.tries} tries" if node.tries > 1 else ""
    return [node.state, shown(node.name), shown(node.task), seconds, size, tries, shown(node.error or "")]


def _node_facts(node: NodeInfo) -> dict[str, Any]:
    facts = node._asdict()
    return {**facts, "begun": time_json(node.begun), "ended": time_json(node.ended), "needs": list(node.needs)}
