"""What a node is by its inputs and its code: the same key in every process, and for as long as both are the same.

What counts of an input that is itself a node is that node's key, not its result: so keys are known before anything is
run, and a node whose result is stored needs none of its inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from ..errors import UnhashableError
from .node import MAKE, Input, Node, fill

__all__ = ["Keys"]

_NODE = "holdfast.graph.node"
_MOST = 440  # characters of a function's name in a key, which has room for more than those


class Keys:
    """Makes the keys of one graph. What code is, is looked at once."""

    def __init__(self) -> None:
        self._codes: dict[Any, tuple[Any, tuple[str, ...], str, str]] = {}

    def of(self, node: Node, known: Mapping[Node, str]) -> tuple[str, str]:
        """The key of a node, and the digest of its code; ``known`` has the keys of the nodes that it depends on.

        Raises:
            UnhashableError: an argument, or something that the function uses, has no reliable hash.
            InvalidArgumentError: the function does not say which arguments it takes.
        """
        binding, takes, code, name = self._code(node)
        given = [_said(one, known) for one in node._inputs]
        args, kwargs = node._args, node._kwargs
        if given:
            args = tuple([fill(value, given) for value in args])
            kwargs = {name: fill(value, given) for name, value in kwargs.items()}
        before = "" if node._before is None else known[node._before]
        digest = binding.digest((*takes, *args), kwargs, stands_in=_stands_in if given else None)
        said = f"{code} {node._method or ''} {before} {digest}"
        return f"{name}/{sha256(said.encode()).hexdigest()[:32]}", code

    def _code(self, node: Node) -> tuple[Any, tuple[str, ...], str, str]:
        """How a node takes its arguments, and what stands for an object before them; its code, and its name."""
        task, method = node._task, node._method
        found = self._codes.get((task, method))
        if found is not None:
            return found
        function: Any = task.function
        try:
            code = task.counting.identity(function).code().digest.hex()
        except UnhashableError as error:
            raise UnhashableError(f"{task.name} cannot be told apart by its code: {error.message}") from error
        called, is_method = function, method not in (None, MAKE)
        takes: tuple[str, ...] = ()
        if is_method:
            from inspect import getattr_static

            called = getattr(function, str(method))
            if not isinstance(getattr_static(function, str(method)), (staticmethod, classmethod)):
                takes = ("",)
        binding = task.counting.identity(called, some=is_method).binding
        module = getattr(function, "__module__", None) or "builtins"
        name = f"{_script(module)}.{task.name}" + (f".{method}" if is_method else "")
        found = self._codes[task, method] = binding, takes, code, name[-_MOST:]
        return found


def _said(given: Input, known: Mapping[Node, str]) -> tuple[Any, ...]:
    return (_NODE, known[given.node], given.state, *given.path)


def _stands_in(value: Any) -> bool:
    """Whether an argument is the result of a node, or has one in it: ``key=`` takes no stand-ins for values."""
    kind = type(value)
    if kind is tuple and value and type(value[0]) is str and value[0] == _NODE:
        return True
    parts = value.values() if kind is dict else value if kind in (tuple, list) else ()
    return any(map(_stands_in, parts))


def _script(module: str) -> str:
    """The name of a module; that of a script as others import it."""
    if module not in ("__main__", "__mp_main__"):
        return module
    import sys

    from ..memoize.origin import module_name

    return module_name(vars(sys.modules[module]))
