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
        self._codes: dict[Any, tuple[Any, str, str]] = {}

    def of(self, node: Node, known: Mapping[Node, str]) -> tuple[str, str]:
        """The key of a node, and the digest of its code; ``known`` has the keys of the nodes that it depends on.

        Raises:
            UnhashableError: an argument, or something that the function uses, has no reliable hash.
            InvalidArgumentError: the function does not say which arguments it takes.
        """
        binding, code, name = self._code(node)
        given = [_said(one, known) for one in node._inputs]
        args, kwargs = node._args, node._kwargs
        if given:
            args = tuple([fill(value, given) for value in args])
            kwargs = {name: fill(value, given) for name, value in kwargs.items()}
        if node._before is not None:  # in place of the object
            args = ((_NODE, known[node._before]), *args)
        said = f"{code} {node._method or ''} {binding.digest(args, kwargs)}"
        return f"{name}/{sha256(said.encode()).hexdigest()[:32]}", code

    def _code(self, node: Node) -> tuple[Any, str, str]:
        task, method = node._task, node._method
        found = self._codes.get((task, method))
        if found is not None:
            return found
        function: Any = task.function
        try:
            code = task.counting.identity(function).code().digest.hex()
        except UnhashableError as error:
            raise UnhashableError(f"{task.name} cannot be told apart by its code: {error.message}") from error
        is_method = method not in (None, MAKE)
        called = getattr(function, str(method)) if is_method else function
        binding = task.counting.identity(called, some=is_method).binding
        module = getattr(function, "__module__", None) or "builtins"
        name = f"{_script(module)}.{task.name}" + ("" if method in (None, MAKE) else f".{method}")
        found = self._codes[task, method] = binding, code, name[-_MOST:]
        return found


def _said(given: Input, known: Mapping[Node, str]) -> tuple[Any, ...]:
    return (_NODE, known[given.node], given.state, *given.path)


def _script(module: str) -> str:
    """The name of a module; that of a script as others import it."""
    if module not in ("__main__", "__mp_main__"):
        return module
    import sys

    from ..memoize.origin import module_name

    return module_name(vars(sys.modules[module]))
