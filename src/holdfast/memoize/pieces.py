"""What each piece of code says, read once: functions by their code, classes by their source, C code by its file."""

from __future__ import annotations

import os
import threading
import weakref
from hashlib import sha256
from types import CodeType, FunctionType
from typing import Any

from .bytecode import read_code
from .source import Sources, interactive, unchanged
from .syntax import Syntax, read, read_decorators

__all__ = ["DOUBT", "NOTHING", "Pieces"]

DOUBT = Syntax(f"known in this process only: {os.urandom(8).hex()}", ())
"""Stands for source that was edited since this process began, or that is one of several: nobody else can know it."""

NOTHING = Syntax("no source", ())


class Pieces:
    """Reads pieces of code and remembers them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sources = Sources()
        self._functions: weakref.WeakKeyDictionary[CodeType, Syntax] = weakref.WeakKeyDictionary()
        self._classes: dict[int, tuple[weakref.ref[type], Syntax]] = {}

    def function(self, function: FunctionType) -> Syntax:
        """What a function says: its source where that is what runs, else its code."""
        code = function.__code__
        with self._lock:
            found = self._functions.get(code)
            if found is None:
                node = self._sources.function(code, function.__globals__)
                found = self._functions[code] = read_code(code) if node is None else read(node)
            return found

    def decorators(self, function: FunctionType) -> Syntax:
        """What a function's decorators say."""
        with self._lock:
            node = self._sources.function(function.__code__, function.__globals__)
        return read_decorators(node) if node and unchanged(function.__code__.co_filename) else DOUBT

    def klass(self, cls: type, methods: list[FunctionType], namespace: dict[str, Any]) -> Syntax:
        """What the source of a class says, whose own methods and whose module's globals are given."""
        mark = id(cls)
        known = self._classes.get(mark)
        if known is not None and known[0]() is cls:
            return known[1]
        with self._lock:
            found = self._find_class(cls.__qualname__, methods, namespace)
        self._classes[mark] = weakref.ref(cls, lambda _: self._classes.pop(mark, None)), found
        return found

    def _find_class(self, name: str, methods: list[FunctionType], namespace: dict[str, Any]) -> Syntax:
        file = methods[0].__code__.co_filename if methods else namespace.get("__file__")
        if file is None:  # typed in, without a method that would say where
            nodes = interactive(name)
        else:
            nodes = self._sources.classes(name, file, namespace)
            if nodes and not unchanged(file):
                return DOUBT
        if methods and nodes:
            found = [self._sources.function(method.__code__, namespace) for method in methods]
            lines = [node.lineno for node in found if node is not None]
            nodes = [node for node in nodes if any(node.lineno <= line <= (node.end_lineno or 0) for line in lines)]
            if not nodes:
                return DOUBT
        syntaxes = {read(node) for node in nodes}
        return syntaxes.pop() if len(syntaxes) == 1 else DOUBT if syntaxes else NOTHING

    def native(self, file: str) -> Syntax:
        """What stands for a module in C."""
        if not unchanged(file):
            return DOUBT
        with open(file, "rb") as content:
            return Syntax(sha256(content.read()).hexdigest()[:32], ())
