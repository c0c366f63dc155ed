"""The import graph of a source tree, read from its syntax: nothing of the tree is run.

An import counts wherever it stands: at the top, inside a function, under ``TYPE_CHECKING``, and as a string that names
a module of the tree, as ``importlib.import_module`` and tables of lazy names take it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

_DOTTED = re.compile(r"\.*[A-Za-z_]\w*(?:\.\w+)*(?::\w+)?")


class Import(NamedTuple):
    """One import of one module of the tree by another."""

    source: str
    line: int
    target: str


def module_files(root: Path, package: str) -> dict[str, Path]:
    """Every module below ``root/package`` by its dotted name; a package goes by its own name."""
    files = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


@cache
def imports(root: Path, package: str) -> tuple[Import, ...]:
    """Every import between modules of the tree, in the order of files and lines; a module's own name is left out."""
    files = module_files(root, package)
    found = []
    for name, path in files.items():
        base = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            targets = [target for target in _targets(node, base, files) if target != name]
            found += [Import(name, getattr(node, "lineno", 0), target) for target in targets]
    return tuple(sorted(set(found)))


def brought(items: Iterable[Import], files: dict[str, Path]) -> Iterator[Import]:
    """What else is loaded by these imports: the packages that a target is in, and its source is not."""
    for item in items:
        above = item.target.rpartition(".")[0]
        while above and not f"{item.source}.".startswith(f"{above}."):
            if above in files:
                yield item._replace(target=above)
            above = above.rpartition(".")[0]


def _targets(node: ast.AST, base: str, files: dict[str, Path]) -> Iterator[str]:
    """The modules that a syntax node names, also ones that are not there; relative names start at ``base``."""
    package = base.partition(".")[0]

    def inside(name: str) -> bool:
        return name == package or name.startswith(f"{package}.")

    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if inside(alias.name))
    elif isinstance(node, ast.ImportFrom):
        origin = _absolute("." * node.level + (node.module or ""), base)
        for alias in node.names if inside(origin) else ():
            # "from .a import b" is of the module a.b where there is one, else of a name in a
            yield f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in files else origin
    elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
        for argument in node.args[:1]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                name = _absolute(argument.value, base)
                if inside(name):
                    yield name
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _DOTTED.fullmatch(node.value):
        # ".payload" in a table of lazy names, or "holdfast.store:Store" in one of entry points
        named = _absolute(node.value.partition(":")[0], base)
        if "." in node.value and named in files:
            yield named


def _called(node: ast.Call) -> str | None:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else None


def _absolute(name: str, base: str) -> str:
    rest = name.lstrip(".")
    level = len(name) - len(rest)
    if level == 0:
        return name
    parts = base.split(".")
    kept = parts[: len(parts) - level + 1]
    return ".".join([*kept, rest] if rest else kept)
