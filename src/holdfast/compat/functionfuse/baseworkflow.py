"""What all backends have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from ...address import check_name
from ...errors import EncodeError, InvalidArgumentError, TaskFailed
from ...graph.node import Item, Node, reachable
from ...graph.task import task
from ...graph.verbs import run_nowhere
from .storage.base import Storage
from .workflow import _Named

__all__ = ["BaseWorkflow"]


class BaseWorkflow:
    """The graph that some nodes are part of.

    Args:
        nodes: whose results are wanted. What is run is the whole graph: all nodes that depend on what these depend on.
        workflow_name: under which results are stored.

    Raises:
        InvalidArgumentError: no nodes, or a name that is not legal.
    """

    executor: ClassVar[str]

    def __init__(self, *nodes: Any, workflow_name: str) -> None:
        strange = [node for node in nodes if not isinstance(node, _Named | Item)]
        if strange or not nodes:
            what = repr(strange[0]) if strange else "nothing"
            raise InvalidArgumentError(f"a workflow is of nodes, as calls of @workflow functions give them, not {what}")
        check_name("workflow", workflow_name)
        self.nodes = nodes
        self.workflow_name = workflow_name
        self.object_storage: Storage | None = None

    def set_storage(self, object_storage: Storage) -> None:
        """Store results there, and take those that are there instead of running their nodes.

        Raises:
            InvalidArgumentError: it is none that ``storage_factory`` gives.
        """
        if not isinstance(object_storage, Storage):
            raise InvalidArgumentError(f"a storage is what storage_factory gives, not {object_storage!r}")
        self.object_storage = object_storage

    def graph_traversal(self) -> Iterator[tuple[str, Any]]:
        """Names and nodes of the whole graph, each behind those that it depends on."""
        nodes = reachable(*self.nodes)
        return ((node.get_name(), node) for node in nodes if isinstance(node, _Named))  # not the ends of other runs

    def find_nodes(self, pattern: str | None = None) -> list[Any]:
        """The nodes whose names a regular expression matches from their beginning to their end; all without one.

        Raises:
            InvalidArgumentError: it is no regular expression.
        """
        try:
            wanted = re.compile(".*" if pattern is None else pattern)
        except (TypeError, re.error) as error:
            raise InvalidArgumentError(f"{pattern!r} is no regular expression: {error}") from error
        return [node for name, node in self.graph_traversal() if wanted.fullmatch(name)]

    def log_nodes(self, pattern: str) -> None:
        """Have the nodes whose names a regular expression matches run each time, and not stored."""
        for node in self.find_nodes(pattern):
            Node.set(node, keep=False)

    def _run(self, wanted: tuple[Any, ...], executor: Any, most: int | None = None) -> list[Any]:
        """Run the whole graph, and give the results of these nodes."""
        end = _end.using(name=self._unused(), keep=False)().after(*self.find_nodes())
        try:
            if self.object_storage is None:
                return run_nowhere(*wanted, end, executor=executor, most=most)[:-1]
            scope = self.object_storage.scope(self.workflow_name)
            results: list[Any] = scope.run(*wanted, end, executor=executor, reuse="name", most=most)
            return results[:-1]
        except TaskFailed as error:
            raise self._own(error, end.name) from _cause(error.__cause__)

    def _unused(self) -> str:
        names = {name for name, _ in self.graph_traversal()}
        return next(name for name in (f"end{'_' * n}" for n in range(len(names) + 1)) if name not in names)

    def _own(self, error: TaskFailed, end: str | None) -> BaseException:
        """The error that a node raised, with a note of what became of the graph."""
        first = error.__cause__
        if not isinstance(first, Exception):
            return error
        failed, skipped = list(error.failures), [name for name in error.skipped if name != end]
        note = f"this was raised in {failed[0]!r} of the workflow {self.workflow_name!r}"
        note += f"; {', '.join(map(repr, failed[1:]))} failed, too" if len(failed) > 1 else ""
        note += f"; not run, as they depend on it: {', '.join(map(repr, skipped))}" if skipped else ""
        note += "; nodes that log_nodes() names are not stored" if isinstance(first, EncodeError) else ""
        first.add_note(note)
        return first


@task
def _end() -> None:
    """What comes after all nodes."""


def _cause(error: BaseException | None) -> BaseException | None:
    return None if error is None else error.__cause__
