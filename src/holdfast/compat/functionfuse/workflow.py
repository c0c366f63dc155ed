"""``@workflow``: calls become nodes of a graph, which a backend runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import InvalidArgumentError
from ...graph import node as graph
from ...graph.options import Counting, Options
from ...graph.task import Task

__all__ = ["ClassNode", "Node", "Workflow", "plugged", "workflow"]


class _Named:
    """What nodes of both kinds have of their own."""

    def __init__(self: Any, *args: Any) -> None:
        super().__init__(*args)
        self._behind: list[Any] = []
        for node in self._needs():
            if isinstance(node, _Named):
                node._behind.append(self)  # as long as that one lives, this one is of its graph

    def set_name(self: Any, name: str) -> Any:
        """Give it a name, under which its result is stored; gives it back.

        Raises:
            InvalidArgumentError: the name is not legal.
        """
        return graph.Node.set(self, name=name)

    def get_name(self: Any) -> str:
        """Its name: the one that was set, else the function's and a number."""
        return str(self.name)


class Node(_Named, graph.Node):
    """A call of a function, or of an object's method."""


class ClassNode(_Named, graph.Instance):
    """An object that is made when the graph is run. Calls of its methods are nodes, and are made in the order in which
    they were written."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        for name in ("after", "method", "set"):  # which nodes have, too: the object's come first
            if callable(getattr(self._task.function, name, None)):
                vars(self)[name] = self._calling(name)

    def __getattr__(self, name: str) -> Callable[..., Node]:
        if name[:1] == "_":
            raise AttributeError(name)
        return self._calling(name)

    def _calling(self, name: str) -> Callable[..., Node]:
        """A method, to be called."""
        graph.Instance.method(self, name)  # raises where there is none
        task = self._task
        assert isinstance(task, Workflow)

        def call(*args: Any, **kwargs: Any) -> Node:
            options = Options(name=task.next_name(name), keep=False)
            node = Node(task, args, kwargs, options, name, self._last)
            self._last = node
            return node

        return call


class Workflow(Task[..., Any]):
    """A function, or a class, that was decorated."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function, Options(), Counting((), {}, None))
        self._numbers: dict[str, Any] = {}

    def next_name(self, method: str = "") -> str:
        """A name for the next node of the function, or of that method."""
        name = getattr(self.function, "__qualname__", None) or type(self.function).__qualname__
        numbers = self._numbers.setdefault(method, itertools.count())
        return f"{name}{method and '.'}{method}_{next(numbers):04}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A node: this call, not yet made.

        Raises:
            TypeError: the function would not take these arguments.
        """
        self._check(args, kwargs)
        options = Options(name=self.next_name())
        if isinstance(self.function, type):
            return ClassNode(self, args, kwargs, options)
        return Node(self, args, kwargs, options)

    def __reduce__(self) -> Any:
        found = super().__reduce__()
        return found if isinstance(found, str) else (Workflow, (self.function,))


def workflow(func: Callable[..., Any]) -> Workflow:
    """Make the calls of a function, or of a class, nodes of a graph.

    Raises:
        InvalidArgumentError: it is neither.
    """
    if isinstance(func, Task | classmethod | staticmethod | property) or not callable(func):
        raise InvalidArgumentError(f"workflow decorates a function or a class, once, not {func!r}")
    return Workflow(func)


def plugged(node: Any, remote: Callable[[], Any] | None) -> Task[..., Any]:
    """The task of a node, with a function that is called before it where it runs, if there is one."""
    if remote is None:
        task: Task[..., Any] = node._task
        return task
    function = node._task.function
    return Task(_Plugged(function, remote), node._task.options, node._task.counting)


class _Plugged:
    """A function that calls another one first."""

    def __init__(self, function: Any, before: Callable[[], Any]) -> None:
        self._function, self._before = function, before
        self.__qualname__ = getattr(function, "__qualname__", type(function).__qualname__)
        self.__wrapped__ = function

    def __call__(self, *args: Any, **kwargs: Mapping[str, Any]) -> Any:
        self._before()
        return self._function(*args, **kwargs)
