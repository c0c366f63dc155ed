"""From running code to the piece of source that it was compiled from, and only to that.

A file may have been edited since it was imported. So a function's source counts only if it compiles to the very code
that the function has; a class has no code, so its source counts only if the file is older than this process.
"""

from __future__ import annotations
import __future__

import ast
import linecache
import os
import time
import warnings
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property
from types import CodeType
from typing import Any

from .syntax import Function

__all__ = ["Sources", "interactive", "unchanged"]

_FUTURE = sum(
    getattr(__future__, name).compiler_flag for name in __future__.all_feature_names if name != "nested_scopes"
)
_KEPT_LINES = 10_000  # of files whose syntax trees are kept: some 35 MB


class _File:
    """The syntax of one file, and the code that its statements compile to."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name = name
        self.lines = lines
        try:
            with warnings.catch_warnings(action="ignore"):
                self.tree = ast.parse("".join(lines), name)
        except (SyntaxError, ValueError):  # being edited, or no Python
            self.tree = ast.Module([], [])
        self.starts = [_first_line(node) for node in self.tree.body]
        self.compiled: dict[tuple[int, int], set[CodeType]] = {}
        self.functions: dict[int, dict[tuple[str, int], list[Function]]] = {}

    def find(self, code: CodeType) -> Function | None:
        """The function that compiles to this code."""
        at = bisect_right(self.starts, code.co_firstlineno) - 1
        flags = code.co_flags & _FUTURE
        # Notebooks compile each statement by itself, and what is known to be a module is compiled otherwise.
        if at < 0 or (code not in self._codes(-1, flags) and code not in self._codes(at, flags)):
            return None
        wanted = code.co_name, code.co_firstlineno
        statement: Any = self.tree.body[at]
        for node in (statement, *getattr(statement, "body", ())):  # most are here, and to walk the rest takes long
            if isinstance(node, ast.FunctionDef) and (node.name, _first_line(node)) == wanted:
                return node
        if at not in self.functions:
            found = self.functions[at] = {}
            for node in ast.walk(statement):
                if isinstance(node, Function):
                    found.setdefault((getattr(node, "name", "<lambda>"), _first_line(node)), []).append(node)
        nodes = self.functions[at].get(wanted, [])
        return nodes[0] if len(nodes) == 1 else _around(code, nodes)

    def _codes(self, at: int, flags: int) -> set[CodeType]:
        """All code of the file (-1), or of one of its statements."""
        codes = self.compiled.get((at, flags))
        if codes is None:
            tree = self.tree if at < 0 else ast.Module([self.tree.body[at]], [])
            with warnings.catch_warnings(action="ignore"):  # they were told when it was imported
                code = compile(tree, self.name, "exec", flags, dont_inherit=True)
            codes = self.compiled[at, flags] = set(_nested(code))
        return codes

    @cached_property
    def classes(self) -> dict[str, list[ast.ClassDef]]:
        """All classes by qualified name."""
        found: dict[str, list[ast.ClassDef]] = {}
        _collect(self.tree.body, "", found)
        return found


class Sources:
    """The files whose code runs, read when first asked for and again when they change. Not thread-safe."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, _File] = OrderedDict()

    def function(self, code: CodeType, namespace: dict[str, Any]) -> Function | None:
        """The source that compiles to this code; None when there is none, as the file was edited or never was."""
        file = self._file(code.co_filename, namespace)
        return None if file is None else file.find(code)

    def classes(self, name: str, filename: str, namespace: dict[str, Any]) -> list[ast.ClassDef]:
        """All classes of a file that have this qualified name."""
        file = self._file(filename, namespace)
        return [] if file is None else file.classes.get(name, [])

    def _file(self, name: str, namespace: dict[str, Any]) -> _File | None:
        linecache.checkcache(name)
        lines = linecache.getlines(name, namespace)
        file = self._files.get(name)
        if file is None or (file.lines is not lines and file.lines != lines):
            if not lines:
                return None
            file = self._files[name] = _File(name, lines)
            total = sum(len(other.lines) for other in self._files.values())
            while total > _KEPT_LINES and len(self._files) > 1:
                total -= len(self._files.popitem(last=False)[1].lines)
        else:
            self._files.move_to_end(name)
        return file


def unchanged(filename: str) -> bool:
    """Whether the text that is there now is the one that this process imported."""
    entry = linecache.cache.get(filename)
    if entry is not None and len(entry) > 1 and entry[1] is None:
        return True  # kept in memory: a notebook's cell, a line of the interactive interpreter, a file of an archive
    try:
        status = os.stat(filename)
    except OSError:
        return False
    return max(status.st_mtime, status.st_ctime) < _STARTED


def interactive(name: str) -> list[ast.ClassDef]:
    """Every class of this qualified name that was typed into this process."""
    head = f"class {name.partition('.')[0]}"
    found: list[ast.ClassDef] = []
    for filename, entry in list(linecache.cache.items()):
        if len(entry) > 1 and entry[1] is None and any(head in line for line in entry[2]):
            found += _File(filename, entry[2]).classes.get(name, [])
    return found


def _first_line(node: Any) -> int:
    """The line that a definition's code begins at, that of its first decorator."""
    first: int = min([node, *getattr(node, "decorator_list", ())], key=lambda part: part.lineno).lineno
    return first


def _nested(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _nested(constant)


def _around(code: CodeType, nodes: list[Function]) -> Function | None:
    """Which of several lambdas on a line has this code: the innermost that all its instructions lie in."""
    spots = [spot for spot in code.co_positions() if None not in spot and spot[3]]
    best: tuple[tuple[int, int], Function] | None = None
    for node in nodes:
        body: Any = node.body
        begin, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
        inside = all(
            begin <= (line, column) and (end_line, end_column) <= end for line, end_line, column, end_column in spots
        )
        if spots and inside and (best is None or begin > best[0]):
            best = begin, node
    return best and best[1]


def _collect(body: list[ast.stmt], prefix: str, found: dict[str, list[ast.ClassDef]]) -> None:
    for node in body:
        if isinstance(node, ast.ClassDef):
            found.setdefault(prefix + node.name, []).append(node)
            _collect(node.body, f"{prefix}{node.name}.", found)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            _collect(node.body, f"{prefix}{node.name}.<locals>.", found)
        else:
            for field in ("body", "orelse", "finalbody", "handlers", "cases"):
                _collect(getattr(node, field, []), prefix, found)


def _started() -> float:
    """When this process began, in the clock of files; 0.0 when nobody says."""
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        # Ticks are rounded down; it takes longer than one of them until the first module is imported.
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + (ticks + 1) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        pass
    import subprocess

    try:  # days-hours:minutes:seconds since then
        text = subprocess.run(["ps", "-o", "etime=", "-p", str(os.getpid())], capture_output=True, text=True).stdout
    except OSError:
        return 0.0
    days, _, clock = text.strip().rpartition("-")
    seconds = 0
    for number in clock.split(":"):
        seconds = seconds * 60 + int(number or 0)
    return time.time() - seconds - 86400 * int(days or 0) - 1 if clock else 0.0


_STARTED = _started()  # at import, so that children made by fork have it from the parent whose modules they share
