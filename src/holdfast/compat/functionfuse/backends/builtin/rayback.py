"""Workflows on a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..... import executors
from .....errors import InvalidArgumentError
from .....graph.node import Node
from ...baseworkflow import BaseWorkflow
from ...places import join_ray
from ...workflow import plugged

__all__ = ["Query", "RayWorkflow"]

_LEAST = 0.001  # CPUs
_NAMES = {"num_cpus": "cpus", "num_gpus": "gpus", "memory": "memory"}


class Query:
    """Some nodes, to be told how Ray is to run them."""

    def __init__(self, nodes: list[Any], workflow: RayWorkflow) -> None:
        self.nodes = nodes
        self.workflow = workflow

    def set_plugin(self, plugin: Any) -> None:
        """Have a plugin prepare them; see :meth:`RayWorkflow.set_plugin`."""
        self.workflow._prepare_by(plugin, self.nodes)

    def set_remote_args(self, args: Mapping[str, Any]) -> Query:
        """Say what they take: ``num_cpus``, ``num_gpus``, ``memory`` (bytes) and ``resources``, as ``ray.remote`` has
        them, and how often they are tried again, ``max_retries``. Of no CPU a thousandth is taken. Gives the query
        back.

        Raises:
            InvalidArgumentError: another option, or one that is not legal.
        """
        if not isinstance(args, Mapping):
            raise InvalidArgumentError(f"remote args are options by name, as in {{'num_cpus': 2}}, not {args!r}")
        unknown = args.keys() - {*_NAMES, "resources", "max_retries"}
        if unknown:
            known = ", ".join([*_NAMES, "resources", "max_retries"])
            raise InvalidArgumentError(f"nodes have no remote arg {min(unknown)!r}: there are {known}")
        asked = {_NAMES[name]: args[name] for name in args if name in _NAMES}
        asked = {name: amount for name, amount in {**asked, **(args.get("resources") or {})}.items() if amount}
        if args.get("num_cpus") == 0:
            asked["cpus"] = _LEAST
        options: dict[str, Any] = {"resources": asked or None}
        if "max_retries" in args:
            options["retries"] = args["max_retries"]
        for node in self.nodes:
            Node.set(node, **options)
        return self


class RayWorkflow(BaseWorkflow):
    """Runs nodes on Ray, those that do not depend on each other at the same time. Results are stored where they are
    made.

    Args:
        nodes, workflow_name: as of :class:`~holdfast.compat.functionfuse.baseworkflow.BaseWorkflow`.
        ray_init_args: for ``ray.init``, which is called here, unless this process is in a cluster already.
    """

    def __init__(self, *nodes: Any, workflow_name: str, ray_init_args: Mapping[str, Any] | None = None) -> None:
        super().__init__(*nodes, workflow_name=workflow_name)
        self._plugins: dict[Any, Any] = {}
        join_ray(ray_init_args or {})

    def query(self, pattern: str | None = None) -> Query:
        """The nodes whose names a regular expression matches from their beginning to their end; all without one."""
        return Query(self.find_nodes(pattern), self)

    def set_plugin(self, pattern: str, plugin: Any) -> None:
        """Have a plugin prepare the nodes whose names a regular expression matches; of several the last counts.

        Raises:
            InvalidArgumentError: it is no plugin.
        """
        self._prepare_by(plugin, self.find_nodes(pattern))

    def _prepare_by(self, plugin: Any, nodes: list[Any]) -> None:
        for verb in ("local_initialize", "remote_initialize"):
            if not callable(getattr(plugin, verb, None)):
                raise InvalidArgumentError(f"a plugin has local_initialize and remote_initialize, not {plugin!r}")
        self._plugins.update(dict.fromkeys(nodes, plugin))

    def run(self, return_results: bool = False, max_pending_tasks: int = 0) -> Any:
        """Run what is not stored, and come back when all results are written.

        Args:
            return_results: give the result, or a list of them if there are several nodes; else None.
            max_pending_tasks: how many nodes Ray is given at a time; 0 for a thousand.
        """
        if type(max_pending_tasks) is not int or max_pending_tasks < 0:
            raise InvalidArgumentError(f"max_pending_tasks is a number from 0 on, not {max_pending_tasks!r}")
        with executors.open("ray") as executor, self._prepared():
            results = self._run(self.nodes if return_results else (), executor, max_pending_tasks or None)
        if not return_results:
            return None
        return results[0] if len(results) == 1 else results

    @contextmanager
    def _prepared(self) -> Iterator[None]:
        """A block in which plugins are in the nodes that they are for."""
        before: dict[Any, Any] = {}
        try:
            for _, node in self.graph_traversal():
                plugin = self._plugins.get(node)
                if plugin is not None and node._method in (None, "__init__"):
                    plugin.local_initialize()
                    before[node] = node._task
                    node._task = plugged(node, plugin.remote_initialize())
            yield
        finally:
            for node, task in before.items():
                node._task = task
