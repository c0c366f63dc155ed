"""Nodes: calls that have not been made yet. An argument of one may be the result of another, or an item of that."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from ..errors import InvalidArgumentError
from .options import Counting, Options, checked

__all__ = ["MAKE", "Called", "Filled", "Input", "Instance", "Item", "Node", "Slot", "fill", "reachable", "target_of"]

MAKE = "__init__"
"""The method that a node is which makes an object."""

_numbers = itertools.count()


class Called(Protocol):
    """What a node calls: a task, as nodes see it.

    Attributes:
        function: the function, or the class.
        counting: what counts of its calls.
    """

    function: Any
    counting: Counting

    @property
    def name(self) -> str:
        """What it is called."""


class Input(NamedTuple):
    """What of another node an argument is.

    Attributes:
        node: the other node.
        path: what is taken of its result: ``(0, "x")`` for ``result[0]["x"]``.
        state: whether it is the object whose method the other node calls, as that leaves it.
    """

    node: Node
    path: tuple[Any, ...] = ()
    state: bool = False


class Slot(NamedTuple):
    """The place of an input among the arguments of a node."""

    number: int


class Filled(NamedTuple):
    """A list, tuple or dict that has slots in it."""

    kind: type
    parts: Any


class Item:
    """One item of the result of a node, to be an argument of another: ``node[0]``, ``node["x"][1]``."""

    __iter__ = None  # else iteration would try one item after the other, for ever

    def __init__(self, node: Node, path: tuple[Any, ...]) -> None:
        self._node, self._path = node, path

    def __getitem__(self, item: Any) -> Item:
        return Item(self._node, (*self._path, item))

    def __repr__(self) -> str:
        return f"{self._node!r}{''.join(f'[{item!r}]' for item in self._path)}"

    def __reduce__(self) -> Any:
        raise _stays(self._node)


class Node:
    """A call that has not been made yet. Made by calling what :func:`holdfast.task` decorates; run by
    :meth:`Scope.run <holdfast.Scope.run>`.

    Arguments may be nodes and items of nodes, also in lists, tuples and dicts: the call gets their results.
    """

    __iter__ = None

    def __init__(
        self,
        task: Called,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: Options,
        method: str | None = None,
        before: Node | None = None,
    ) -> None:
        self._task = task
        self._options = options
        self._method = method
        self._before = before
        self._inputs: list[Input] = []
        self._after: list[Node] = []
        self._users: list[weakref.ref[Node]] = []
        self._number = next(_numbers)
        try:
            self._args = tuple([_taken(value, self._inputs) for value in args])
            self._kwargs = {name: _taken(value, self._inputs) for name, value in kwargs.items()}
        except RecursionError:
            raise InvalidArgumentError(f"an argument of {task.name} is nested too deeply to look for nodes") from None
        for node in self._needs():
            node._users.append(weakref.ref(self))

    @property
    def name(self) -> str | None:
        """What it is called, None if it has no name of its own."""
        return self._options.name

    def set(self, **options: Any) -> Node:
        """Change :class:`~holdfast.graph.options.Options` of this node, and give it back, as in
        ``clean(raw).set(name="clean", retries=2)``.

        Raises:
            InvalidArgumentError: an option that is not legal.
            TypeError: an option that there is not.
        """
        self._options = checked(self._options, options)
        return self

    def after(self, *others: Node) -> Node:
        """Have it run after others whose results it does not take, and only if these succeed; gives it back."""
        for other in others:
            node = target_of(other).node
            self._after.append(node)
            node._users.append(weakref.ref(self))
        return self

    def _needs(self) -> Iterator[Node]:
        """The nodes that are run before it."""
        for given in self._inputs:
            yield given.node
        if self._before is not None:
            yield self._before
        yield from self._after

    def __getitem__(self, item: Any) -> Item:
        return Item(self, (item,))

    def __repr__(self) -> str:
        called = self._task.name if self._method in (None, MAKE) else f"{self._task.name}.{self._method}"
        return f"<node {self._options.name or called}>"

    def __reduce__(self) -> Any:
        raise _stays(self)


class Instance(Node):
    """A node that makes an object. Its methods, called, give nodes: these calls are made on the one object, in the
    order in which they were written. As an argument it is the object, after the calls that were written before."""

    def __init__(self, task: Called, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Options) -> None:
        super().__init__(task, args, kwargs, options, MAKE)
        self._last: Node = self

    def method(self, name: str) -> Callable[..., Node]:
        """A method, to be called; for those whose names nodes have themselves.

        Raises:
            AttributeError: the class has none of this name.
        """
        function = getattr(self._task.function, name, None)
        if not callable(function):
            kind = "no method" if function is None else "something that is no method"
            raise AttributeError(
                f"{self._task.name} has {kind} {name!r}: of an object of a graph methods can be called"
            )

        def call(*args: Any, **kwargs: Any) -> Node:
            node = Node(self._task, args, kwargs, self._options._replace(name=None), name, self._last)
            self._last = node
            return node

        return call

    def __getattr__(self, name: str) -> Callable[..., Node]:
        if name[:1] == "_":
            raise AttributeError(name)
        return self.method(name)


def target_of(value: Any) -> Input:
    """A node, or an item of one, as an input.

    Raises:
        InvalidArgumentError: it is neither.
    """
    if isinstance(value, Instance):
        return Input(value._last, state=True)
    if isinstance(value, Node):
        return Input(value)
    if isinstance(value, Item):
        node = value._node
        return target_of(node)._replace(path=value._path)
    raise InvalidArgumentError(f"a graph is run for its nodes, as calls of @holdfast.task give them, not for {value!r}")


def _taken(value: Any, inputs: list[Input]) -> Any:
    """The value with slots in place of nodes, which are added to the inputs; the value itself if there are none."""
    if isinstance(value, (Node, Item)):
        inputs.append(target_of(value))
        return Slot(len(inputs) - 1)
    kind = type(value)
    if kind is list or kind is tuple:
        before = len(inputs)
        parts: Any = [_taken(part, inputs) for part in value]
    elif kind is dict:
        before = len(inputs)
        parts = {key: _taken(part, inputs) for key, part in value.items()}
    else:
        return value
    return Filled(kind, parts) if len(inputs) > before else value


def fill(value: Any, given: list[Any]) -> Any:
    """The value with what is given in place of slots."""
    kind = type(value)
    if kind is Slot:
        return given[value.number]
    if kind is not Filled:
        return value
    if value.kind is dict:
        return {key: fill(part, given) for key, part in value.parts.items()}
    return value.kind([fill(part, given) for part in value.parts])


def reachable(*nodes: Node | Item) -> list[Node]:
    """All nodes that depend on what the given ones depend on, these included, in the order in which they were made:
    the whole graph that they are part of, as far as it is still in use."""
    found: dict[Node, None] = {}
    new = [target_of(node).node for node in nodes]
    while new:
        node = new.pop()
        if node not in found:
            found[node] = None
            new += node._needs()
            new += _alive(node._users)
    return sorted(found, key=lambda node: node._number)


def _alive(users: Iterable[weakref.ref[Node]]) -> Iterator[Node]:
    for user in users:
        node = user()
        if node is not None:
            yield node


def _stays(node: Node) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{node!r} is where it is not looked for: nodes may be arguments, and stand in lists, tuples and dicts that "
        "are arguments, not in sets or in objects of other classes; nor does one leave its process"
    )
