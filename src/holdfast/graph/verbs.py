"""The verbs that a scope has from here. What they need is loaded when the first graph is run."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..scope import BaseScope

if TYPE_CHECKING:
    from ..executors.base import Executor
    from .node import Item, Node
    from .progress import Watcher
    from .results import Results
    from .runs import Runs

__all__ = ["Graphs", "run_nowhere"]


class Graphs:
    """The verbs that a scope has from here."""

    def run(
        self: Any,
        *nodes: Node | Item,
        executor: Executor | str | None = None,
        reuse: str | None = "inputs",
        again: str | None = None,
        progress: Watcher | bool | None = None,
        most: int | None = None,
    ) -> list[Any]:
        """Give the results of nodes, in their order: those that are stored as they are, the others after running them.

        What they depend on is run first, if it is not stored and something needs it; what does not depend on each other
        runs at the same time. Each result is stored by the worker that made it, as soon as it exists: a run that broke
        off is gone on with by the next one. Nodes that another run of this scope is about are waited for. In a node
        ``holdfast.current()`` is this scope. Results are stored with the options of ``scope.using(...)``, if it is one.

        Args:
            nodes: what calls of :func:`holdfast.task` gave, or items of these.
            executor: a name for :func:`holdfast.executors.open`, by default ``local``; or one that is open. None is
                opened when all is stored.
            reuse: a stored result is that of a node if its function's code and its inputs are the same (``"inputs"``,
                as with memoize), or if its name is (``"name"``); with None nothing is looked up, and nothing kept.
            again: a glob pattern: stored results of nodes with such names, and of all that depend on them, are removed
                first.
            progress: True for a line on stderr, or a function that is called with a
                :class:`~holdfast.graph.progress.Status` a few times a second.
            most: how many nodes are handed to the executor at a time; 1,000 by default.

        Raises:
            TaskFailed: nodes failed; it has their errors. What does not depend on them was run, and is stored.
            InvalidArgumentError: nodes wait for each other, two have one name, or something else has a node's name.
            UnhashableError: ``reuse="inputs"``, and an argument or something that a function uses has no reliable hash.
        """
        self._outside()
        return _run(self._store(), self, nodes, executor, reuse, again, progress, most)

    @cached_property
    def results(self: Any) -> Results:
        """The stored results of this scope's graphs, by the names of their nodes."""
        from .results import Results

        return Results(self)

    @cached_property
    def runs(self: Any) -> Runs:
        """The runs of this scope's graphs."""
        from .runs import Runs

        return Runs(self)


def run_nowhere(
    *nodes: Node | Item,
    executor: Executor | str | None = None,
    progress: Watcher | bool | None = None,
    most: int | None = None,
) -> list[Any]:
    """Run nodes without a store: all of them, keeping nothing. What large results need is this process's memory.

    Raises:
        TaskFailed: nodes failed; it has their errors.
        InvalidArgumentError: nodes wait for each other, or two have one name.
    """
    return _run(None, None, nodes, executor, None, None, progress, most)


def _run(
    store: Any,
    scope: BaseScope[Any] | None,
    nodes: tuple[Any, ...],
    executor: Any,
    reuse: str | None,
    again: str | None,
    progress: Any,
    most: int | None,
) -> list[Any]:
    from .node import target_of
    from .running import Run

    return Run(store, scope, [target_of(node) for node in nodes], reuse, again, progress, most).results(executor)
