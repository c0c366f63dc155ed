"""What a piece of source says, apart from how it is written: a digest over its syntax, and the names that it uses.

The digest is the same under every Python version that parses the source: it is taken over our own walk of the tree,
which leaves out positions, comments, docstrings and annotations of functions, and all that is empty.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

__all__ = ["NAME", "Function", "Syntax", "Use", "read", "read_decorators"]

NAME = -1
"""The level of a use that is no import."""

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
"""The nodes that become functions."""


class Use(NamedTuple):
    """A name from outside that a piece of source loads, with the attributes that follow it.

    Attributes:
        name: a global or a variable of an enclosing function; of an import in the source itself, the module.
        attributes: those read from it, one from the other.
        level: :data:`NAME`; or of an import, its dots.
    """

    name: str
    attributes: tuple[str, ...]
    level: int = NAME


class Syntax(NamedTuple):
    """A digest (32 hex digits) of what a piece of source says, and what it uses, in the order of the source."""

    digest: str
    uses: tuple[Use, ...]


def read(node: Function | ast.ClassDef) -> Syntax:
    """The syntax of a function or class.

    Of a function without its decorators and defaults: they ran when it was made, and what they made can be looked at.
    """
    reader = _Reader()
    if isinstance(node, ast.ClassDef):
        reader.klass(node)
    else:
        reader.function(node)
    return reader.done()


def read_decorators(node: Function) -> Syntax:
    """The syntax of a function's decorators, those of this library aside (what they say is no part of the code)."""
    reader = _Reader()
    for decorator in getattr(node, "decorator_list", ()):
        name = decorator.func if isinstance(decorator, ast.Call) else decorator
        if not (isinstance(name, ast.Attribute) and name.attr == "memoize"):
            reader.visit(decorator)
    return reader.done()


class _Scope:
    """The names of one scope while it is read; ``up`` is the next scope outward whose names it sees."""

    __slots__ = ("bound", "imports", "loads", "outer", "up", "whole")

    def __init__(self, up: _Scope | None, whole: _Scope | None = None) -> None:
        self.up = up
        self.whole = whole or self  # where an assignment expression binds
        self.loads: dict[Use, None] = {}
        self.bound: set[str] = set()
        self.imports: dict[str, Use] = {}
        self.outer: set[str] = set()  # declared global or nonlocal


class _Reader:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.root = self.scope = _Scope(None)
        self.in_class = False

    def done(self) -> Syntax:
        self.close(self.root)
        text = "\0".join(self.said).encode("utf-8", "surrogatepass")
        return Syntax(sha256(text).hexdigest()[:32], tuple(self.root.loads))

    # --- scopes -------------------------------------------------------------------------------------------------------

    def close(self, scope: _Scope) -> None:
        """Hand outward what a scope loads and does not bind."""
        above = scope.up
        loads, found = scope.loads, self.root.loads
        if above is None:
            scope.loads = found = {}
        elif above.up is not None:
            found = above.loads
        for use in loads:
            name = use.name
            if use.level != NAME:
                self.root.loads[use] = None
            elif name in scope.outer:
                found[use] = None
            elif name in scope.imports:
                module, attributes, level = scope.imports[name]
                self.root.loads[Use(module, attributes + use.attributes, level)] = None
            elif name not in scope.bound:
                found[use] = None

    def inside(self, scope: _Scope, nodes: list[Any], in_class: bool = False) -> None:
        before = self.scope, self.in_class
        self.scope, self.in_class = scope, in_class
        for node in nodes:
            self.visit(node)
        self.scope, self.in_class = before
        self.close(scope)
