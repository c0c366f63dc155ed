"""What each piece of code says, read once: functions by their code, classes by their source, C code by its file."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from hashlib import sha256
from types import CodeType, FunctionType
from typing import Any

from .bytecode import mangled, read_code
from .source import Sources, interactive, unchanged
from .syntax import Syntax, read, read_decorators

__all__ = ["Pieces"]


class Pieces:
    """Reads pieces of code and remembers them. Thread-safe.

    Source that is not known to be that of what runs, as it was edited since this process began or is one of several, is
    replaced by a digest that no other process has, nor another object of this one.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sources = Sources()
        self._functions: weakref.WeakKeyDictionary[CodeType, Syntax] = weakref.WeakKeyDictionary()
        self._others: dict[int, tuple[weakref.ref[Any], Syntax | None]] = {}

    def function(self, function: FunctionType) -> Syntax:
        """What a function says: its source where that is what runs, else its code."""
        code = function.__code__
        with self._lock:
            found = self._functions.get(code)
            if found is None:
                node = self._sources.function(code, function.__globals__)
                found = read_code(code) if node is None else read(node)
                found = self._functions[code] = found._replace(uses=(*found.uses, *mangled(code)))
            return found

    def decorators(self, function: FunctionType) -> Syntax | None:
        """What a function's decorators say."""
        return self._once(function, lambda: self._find_decorators(function))

    def klass(self, cls: type, methods: list[FunctionType], namespace: dict[str, Any]) -> Syntax | None:
        """What the source of a class says, whose own methods and whose module's globals are given; None without any."""
        return self._once(cls, lambda: self._find_class(cls.__qualname__, methods, namespace))

    def native(self, module: Any) -> Syntax | None:
        """What stands for a module in C."""
        return self._once(module, lambda: _native(module.__file__))

    def _once(self, owner: Any, find: Callable[[], Syntax | None]) -> Syntax | None:
        mark = id(owner)
        with self._lock:
            known = self._others.get(mark)
            if known is None or known[0]() is not owner:
                known = weakref.ref(owner, lambda _: self._others.pop(mark, None)), find()
                self._others[mark] = known
            return known[1]

    def _find_decorators(self, function: FunctionType) -> Syntax:
        node = self._sources.function(function.__code__, function.__globals__)
        syntax = read_decorators(node) if node else _doubt()
        return syntax if unchanged(function.__code__.co_filename) else _doubt(syntax)

    def _find_class(self, name: str, methods: list[FunctionType], namespace: dict[str, Any]) -> Syntax | None:
        file = methods[0].__code__.co_filename if methods else namespace.get("__file__")
        if file is None:  # typed in, without a method that would say where
            nodes = interactive(name)
        else:
            nodes = self._sources.classes(name, file, namespace)
        syntaxes = [read(node) for node in nodes]
        if methods and nodes:
            found = [self._sources.function(method.__code__, namespace) for method in methods]
            lines = [node.lineno for node in found if node is not None]
            nodes = [node for node in nodes if any(node.lineno <= line <= (node.end_lineno or 0) for line in lines)]
        certain = dict.fromkeys(map(read, nodes))
        if certain and (len(certain) == 1 if file is None else unchanged(file)):
            return _joined(*certain)  # one, but where a module has several under conditions
        return _doubt(*syntaxes) if syntaxes else None


def _joined(first: Syntax, *others: Syntax) -> Syntax:
    if not others:
        return first
    said = " ".join(syntax.digest for syntax in (first, *others))
    uses = dict.fromkeys(use for syntax in (first, *others) for use in syntax.uses)
    attributes = first.attributes.union(*(syntax.attributes for syntax in others))
    return Syntax(sha256(said.encode()).hexdigest()[:32], tuple(uses), attributes)


def _doubt(*syntaxes: Syntax) -> Syntax:
    return _joined(Syntax("", ()), *syntaxes)._replace(digest=f"of this process only: {os.urandom(16).hex()}")


def _native(file: str) -> Syntax:
    if not unchanged(file):
        return _doubt()
    with open(file, "rb") as content:
        return Syntax(sha256(content.read()).hexdigest()[:32], ())
