"""What is decorated by ``@holdfast.task``: called, it gives nodes and runs nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

from ..errors import InvalidArgumentError
from .node import Called, Instance, Node
from .options import COUNTS, Counting, Options, checked, counted

__all__ = ["Task", "TaskOptions", "natural", "task"]

P = ParamSpec("P")
R = TypeVar("R")

_MAIN = ("__main__", "__mp_main__")


class TaskOptions(TypedDict, total=False):
    """The keyword arguments of :func:`holdfast.task` and :meth:`Task.using`.

    Attributes:
        name, resources, retries, timeout, keep: of its nodes; see :class:`~holdfast.graph.options.Options`.
        ignore: names of parameters that do not count, where results are found by their inputs.
        key: by the name of a parameter, a function from its argument to what counts of it.
        version: stands for the function's code and all that it uses, which are then not looked at.
    """

    name: str | None
    resources: Mapping[str, float] | None
    retries: int
    timeout: float | None
    keep: bool
    ignore: Iterable[str]
    key: Mapping[str, Callable[[Any], Any]]
    version: str | int | None


class Task(Generic[P, R]):
    """A function, or a class, whose calls are nodes of a graph.

    Made by :func:`holdfast.task`.

    Attributes:
        function: what was decorated.
    """

    __wrapped__: Callable[P, R]

    def __init__(self, function: Callable[P, R], options: Options, counting: Counting) -> None:
        self.function = function
        self.options = options
        self.counting = counting
        self._takes: Any = None
        self._counts = range(0)  # of positional arguments that it takes
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            if hasattr(function, name):
                setattr(self, name, getattr(function, name))
        self.__wrapped__ = function

    @property
    def name(self) -> str:
        """What the function is called in messages and names of nodes: its qualified name."""
        name = getattr(self.function, "__qualname__", None) or type(self.function).__qualname__
        return str(name).replace("<locals>.", "")

    def __call__(self, *args: Any, **kwargs: Any) -> Node:
        """A node: this call, not yet made. Arguments may be nodes, and have them in lists, tuples and dicts.

        Raises:
            TypeError: the function would not take these arguments.
        """
        self._check(args, kwargs)
        if isinstance(self.function, type):
            return Instance(self, args, kwargs, self.options)
        return Node(self, args, kwargs, self.options)

    def call(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, here and now."""
        return self.function(*args, **kwargs)

    def using(self, **options: Unpack[TaskOptions]) -> Task[P, R]:
        """The same function with other options: ``clean.using(name="clean", retries=2)(raw)``.

        Raises:
            InvalidArgumentError: an option that is not legal.
            TypeError: an option that there is not.
        """
        counts: Any = {name: options[name] for name in COUNTS if name in options}  # type: ignore[literal-required]
        others = {name: value for name, value in options.items() if name not in COUNTS}
        known = self.counting
        counting = known
        if counts:
            counting = counted({"ignore": known.ignore, "key": known.key, "version": known.version, **counts})
        return Task(self.function, checked(self.options, others), counting)

    def _check(self, args: Any, kwargs: Any) -> None:
        if self._takes is None:
            self._takes, self._counts = _taking(self.function)
        if not kwargs and len(args) in self._counts:
            return
        try:
            self._takes(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}(): {error}") from None

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        raise InvalidArgumentError(
            f"{self.name} is a method, which is no task by itself: decorate its class, whose methods' calls are then "
            "nodes, or a function that takes the object"
        )

    def __reduce__(self) -> Any:
        # By its name, as functions are pickled; of a script or notebook, which another process has not, by value.
        if natural(self) is self:
            return str(self.__qualname__)  # type: ignore[attr-defined]
        return Task, (self.function, self.options, self.counting)

    def __repr__(self) -> str:
        return f"<task {self.name}>"


def _taking(function: Any) -> tuple[Any, range]:
    """What raises TypeError for arguments that a function does not take, and how many without names it does take."""
    import inspect

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of C, and says nothing
        return lambda *args, **kwargs: None, range(0)
    found = list(signature.parameters.values())
    kinds = inspect.Parameter
    positional = [each for each in found if each.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    least = sum(each.default is kinds.empty for each in positional)
    named = any(each.kind is kinds.KEYWORD_ONLY and each.default is kinds.empty for each in found)
    return signature.bind, range(0) if named else range(least, len(positional) + 1)


def natural(task: Called) -> Task[..., Any] | None:
    """The task that the module of its function has under that name, if it is one of the same function; None in a script
    or notebook, which another process has not."""
    module, name = getattr(task, "__module__", None), str(getattr(task, "__qualname__", ""))
    if module in _MAIN:
        return None
    found: Any = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, Task) and found.function is task.function else None


@overload
def task(function: Callable[P, R], /, **options: Unpack[TaskOptions]) -> Task[P, R]: ...
@overload
def task(function: None = None, /, **options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(function: Any = None, /, **options: Unpack[TaskOptions]) -> Any:
    """Make the calls of a function, or of a class, nodes of a graph, that :meth:`Scope.run <holdfast.Scope.run>` runs.

    ::

        @holdfast.task
        def add(a, b):
            return a + b

        scope.run(add(add(1, 2), 3))

    See :class:`TaskOptions`.

    Raises:
        InvalidArgumentError: an option that is not legal, or nothing that can be called.
        TypeError: an option that there is not.
    """
    counts: Any = {name: value for name, value in options.items() if name in COUNTS}
    others = {name: value for name, value in options.items() if name not in COUNTS}
    counting, chosen = counted(counts), checked(Options(), others)

    def decorate(function: Any) -> Task[..., Any]:
        if isinstance(function, Task):
            raise InvalidArgumentError(f"{function.name} is a task already: using() gives it with other options")
        if isinstance(function, (classmethod, staticmethod, property)) or not callable(function):
            raise InvalidArgumentError(f"task takes a function or a class, not {function!r}")
        return Task(function, chosen, counting)

    return decorate if function is None else decorate(function)
