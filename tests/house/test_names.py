"""``__all__`` is the public API of each module, and all of it is described."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from .graph import module_files

ROOT = Path(__file__).parents[2] / "src"

FILES = {
    name: path
    for name, path in module_files(ROOT, "holdfast").items()
    if not any(part.startswith("_") for part in name.split("."))
}
TYPE_VARIABLES = (typing.TypeVar, typing.ParamSpec, typing.TypeVarTuple)


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those under ``if`` and ``try`` included."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            for part in (node.body, node.orelse, *([handler.body for handler in getattr(node, "handlers", [])])):
                yield from statements(part)


def assigned(node: ast.stmt) -> set[str]:
    """Names that a statement binds by assignment."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


def defined(path: Path) -> set[str]:
    """Public names that a file defines; what it imports is another module's."""
    names: set[str] = set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        names |= assigned(node)
    return {name for name in names if not name.startswith("_")}


def described_constants(path: Path) -> set[str]:
    """Names assigned in a block of lines that a string follows."""
    found: set[str] = set()
    block: set[str] = set()
    end = 0
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = assigned(node)
        if names:
            block = names if node.lineno > end + 1 else block | names
            end = node.end_lineno or node.lineno
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found |= block
        else:
            block = set()
    return found


def described(cls: type, name: str) -> bool:
    """Whether a member of a class, or what it overrides, has a docstring of its own."""
    for base in cls.__mro__:
        member = base.__dict__.get(name)
        member = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if (getattr(member, "__doc__", None) or "").strip():
            return base is not object
    return False


def bare_members(cls: type) -> list[str]:
    """Public methods and properties that a class defines without a docstring."""
    fields = set(getattr(cls, "_fields", ())) | set(getattr(cls, "__slots__", ()))
    return [
        name
        for name, member in vars(cls).items()
        if not name.startswith(("_", "test_"))  # a test's name says what it is
        and name not in fields
        and (callable(member) or isinstance(member, property | classmethod | staticmethod))
        and not isinstance(member, type)
        and not described(cls, name)
    ]


def bare(module: ModuleType, path: Path) -> list[str]:
    """Public names of a module that nothing describes, members of its classes included."""
    constants = described_constants(path)
    found = [] if (module.__doc__ or "").strip() or not module.__all__ else [f"{module.__name__} itself"]
    for name in module.__all__:
        value: Any = getattr(module, name)
        if getattr(value, "__module__", module.__name__) != module.__name__:
            continue  # described where it is defined
        if isinstance(value, type):
            text = vars(value).get("__doc__") or ""
            if not text or text.startswith(f"{name}("):  # what NamedTuple and dataclass write themselves
                found.append(f"{module.__name__}.{name}")
            found += [f"{module.__name__}.{name}.{member}" for member in bare_members(value)]
        elif inspect.isroutine(value):
            if not value.__doc__:
                found.append(f"{module.__name__}.{name}")
        elif name in defined(path) and name not in constants:
            found.append(f"{module.__name__}.{name}")
    return found


@pytest.mark.parametrize("name", FILES)
def test_all_is_the_public_api(name: str) -> None:
    module, path = importlib.import_module(name), FILES[name]
    own = {item for item in defined(path) if not isinstance(getattr(module, item, None), TYPE_VARIABLES)}
    listed = list(getattr(module, "__all__", []))
    assert len(set(listed)) == len(listed)
    assert [item for item in listed if not hasattr(module, item)] == []
    if path.name == "__init__.py":  # a folder's own names, and those that it passes on
        assert own - set(listed) == set()
        assert set(listed) - set(dir(module)) == set()
    else:
        assert set(listed) == own


@pytest.mark.parametrize("name", FILES)
def test_every_public_name_is_described(name: str) -> None:
    module = importlib.import_module(name)
    if hasattr(module, "__all__"):
        assert bare(module, FILES[name]) == []


FAULTY = '''
"""A module."""
from typing import NamedTuple, TypeVar
__all__ = ["A", "B", "LIMIT", "NAMES", "OTHER", "f", "gone"]
T = TypeVar("T")
LIMIT = 1
NAMES = ()
"""Described together."""

OTHER = 2
if LIMIT:
    def forgotten(): ...
def f(): ...
class A:
    """Described."""
    def method(self): ...
    @property
    def prop(self): ...
    @classmethod
    def made(cls): ...
    def told(self):
        """Described."""
    def _private(self): ...
class B(NamedTuple):
    x: int
class C(A):
    """Described."""
    def told(self): ...
'''


def test_planted_faults_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "faulty_module.py"
    path.write_text(FAULTY)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("faulty_module")
    monkeypatch.delitem(sys.modules, "faulty_module")
    assert defined(path) == {"T", "LIMIT", "NAMES", "OTHER", "forgotten", "f", "A", "B", "C"}
    module.__all__.remove("gone")
    faults = ["A.method", "A.prop", "A.made", "B", "OTHER", "f"]
    assert bare(module, path) == [f"faulty_module.{name}" for name in faults]
    assert bare_members(module.C) == []
