"""What a piece of source says, apart from how it is written: a digest of its syntax, and the names that it uses.

The digest is the same under every Python version that parses the source: it is taken over our own walk of the tree,
which leaves out positions, comments, docstrings, annotations of functions, and fields that are empty.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

__all__ = ["NAME", "Function", "Syntax", "Use", "read", "read_decorators"]

NAME = -1
"""The level of a use that is no import."""

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
"""The nodes that become functions."""

_LEFT_OUT = frozenset(("ctx", "kind", "simple", "type_comment", "type_ignores"))


class Use(NamedTuple):
    """A name from outside that a piece of source loads, with the attributes that follow it.

    Attributes:
        name: a global, or a variable of an enclosing function; of an import in the source itself, the module.
        attributes: those read from it, one from the other.
        level: :data:`NAME`; or of an import, its dots.
    """

    name: str
    attributes: tuple[str, ...]
    level: int = NAME


class Syntax(NamedTuple):
    """What a piece of source says, as 32 hex digits; what it uses, in the order of the source; and the names of all
    attributes that it reads, from whatever."""

    digest: str
    uses: tuple[Use, ...]
    attributes: frozenset[str] = frozenset()


def read(node: Function | ast.ClassDef) -> Syntax:
    """The syntax of a function or class.

    A function's decorators and defaults are left out: they ran when it was made, and what they made is there to see.
    """
    reader = _Reader()
    if isinstance(node, ast.ClassDef):
        reader.visit(node)
    else:
        reader.body_of(node)
    return reader.done()


def read_decorators(node: Function) -> Syntax:
    """The syntax of a function's decorators and annotations, which only other packages' decorators read.

    Those that memoize are left out: their options are no part of the code.
    """
    reader = _Reader()
    for decorator in getattr(node, "decorator_list", ()):
        name = decorator.func if isinstance(decorator, ast.Call) else decorator
        if not (isinstance(name, ast.Attribute) and name.attr == "memoize"):
            reader.visit(decorator)
    if not isinstance(node, ast.Lambda):
        groups = node.args.posonlyargs, node.args.args, node.args.kwonlyargs, [node.args.vararg, node.args.kwarg]
        reader.value([argument and argument.annotation for group in groups for argument in group] + [node.returns])
    return reader.done()


class _Scope:
    """The names of one scope, while it is read."""

    __slots__ = ("bound", "imports", "is_class", "loads", "nonlocals", "outer", "up", "whole")

    def __init__(self, current: _Scope | None, is_class: bool = False, whole: _Scope | None = None) -> None:
        # The next scope outward that is seen.
        self.up: _Scope | None = current.up if current and current.is_class else current
        self.whole = whole or self  # where an assignment expression binds
        self.is_class: bool = is_class
        self.loads: dict[Use, None] = {}
        self.bound: set[str] = set()
        # One name may stand for several, under conditions; each with what is used when the name itself is not.
        self.imports: dict[str, dict[Use, Use]] = {}
        self.outer: set[str] = set()  # declared global
        self.nonlocals: set[str] = set()


class _Reader:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.scope = _Scope(None)
        self.uses = self.scope.loads
        self.attributes: set[str] = set()

    def done(self) -> Syntax:
        text = "\0".join(self.said).encode("utf-8", "surrogatepass")
        return Syntax(sha256(text).hexdigest()[:32], tuple(self.uses), frozenset(self.attributes))

    def visit(self, node: Any) -> None:
        kind = type(node)
        special = _SPECIAL.get(kind)
        if special is not None:
            special(self, node)
        else:
            self.plain(node, kind)

    def plain(self, node: Any, kind: Any) -> None:
        self.said.append(kind.__name__)
        for field in _fields(kind):
            value = getattr(node, field, None)
            if value is not None and value != []:
                self.said.append(field)
                self.value(value)
        self.said.append(")")

    def value(self, value: Any) -> None:
        if isinstance(value, ast.AST):
            self.visit(value)
        elif isinstance(value, list):
            self.said.append("[")
            for item in value:
                self.value(item)
            self.said.append("]")
        else:
            self.said.append("-" if value is None else str(value))

    def inside(self, scope: _Scope, nodes: Iterable[ast.AST]) -> None:
        """Read nodes in a scope of their own, and hand outward what they load and do not bind."""
        before, self.scope = self.scope, scope
        self.said.append("[")
        for node in nodes:
            self.visit(node)
        self.said.append("]")
        self.scope = before
        above = scope.up
        assert above is not None
        loaded = set()
        for use in scope.loads:
            name = use.name
            loaded.add(name)
            if name in scope.outer:
                self.uses[use] = None
            elif name in scope.nonlocals or (name not in scope.bound and name not in scope.imports) or scope.is_class:
                above.loads[use] = None
            for module, attributes, level in scope.imports.get(name, ()):
                self.uses[Use(module, attributes + use.attributes, level)] = None
        for name, imported in scope.imports.items():
            if name not in loaded:  # imported for what that does
                self.uses.update(dict.fromkeys(imported.values()))

    # --- names --------------------------------------------------------------------------------------------------------

    def name(self, node: ast.Name) -> None:
        self.said += "Name", node.id
        if type(node.ctx) is ast.Load:
            self.scope.loads[Use(node.id, ())] = None
        else:
            self.scope.bound.add(node.id)

    def attribute(self, node: ast.Attribute) -> None:
        chain = [node.attr]
        base = node.value
        while type(base) is ast.Attribute:
            chain.append(base.attr)
            base = base.value
        chain.reverse()
        read = chain if type(node.ctx) is ast.Load else chain[:-1]
        self.attributes.update(read)
        self.said += "Attribute", ".".join(chain)
        if type(base) is ast.Name:
            self.said += "Name", base.id
            self.scope.loads[Use(base.id, tuple(read))] = None
        else:
            self.visit(base)

    def call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            names = [part.value for part in node.args[1:2] if isinstance(part, ast.Constant)]
            self.attributes.update(name for name in names if isinstance(name, str))
        self.plain(node, type(node))

    def constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, str):
            self.said.append(f"str {len(value)} {value}")
        elif type(value) is int:
            self.said.append(hex(value))  # the decimal digits of a large one may be refused
        else:
            self.said.append(repr(value))

    def joined(self, node: ast.JoinedStr) -> None:
        self.said.append("JoinedStr")
        self.value([part for part in node.values if getattr(part, "value", None) != ""])  # 3.12 adds empty ones

    def assigned(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.scope.loads[Use(node.target.id, ())] = None
        self.plain(node, type(node))

    def annotated(self, node: ast.AnnAssign) -> None:
        self.said.append("AnnAssign")
        self.visit(node.target)
        if self.scope.is_class:  # where libraries read it; elsewhere nothing does
            for quoted in ast.walk(node.annotation):
                if isinstance(quoted, ast.Constant) and isinstance(quoted.value, str):
                    self.quoted(quoted.value)
            self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)

    def quoted(self, text: str) -> None:
        try:
            self.visit(ast.parse(text, mode="eval"))
        except SyntaxError:
            pass  # a text in an annotation, which names nothing

    def bind(self, node: Any) -> None:
        """Nodes whose name is text: ``except ... as``, and captures of ``match``."""
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name is not None:
            self.scope.bound.add(name)
        self.plain(node, type(node))

    def walrus(self, node: ast.NamedExpr) -> None:
        self.scope.whole.bound.add(node.target.id)
        self.said += "NamedExpr", node.target.id
        self.visit(node.value)

    def declared(self, node: ast.Global | ast.Nonlocal) -> None:
        (self.scope.outer if isinstance(node, ast.Global) else self.scope.nonlocals).update(node.names)
        self.plain(node, type(node))

    def imported(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                name, use = alias.name, Use(node.module or "", (alias.name,), node.level)
                whole = use
            else:
                name = alias.name.partition(".")[0]  # "import a.b" binds a
                use, whole = Use(alias.name if alias.asname else name, (), 0), Use(alias.name, (), 0)
            self.scope.imports.setdefault(alias.asname or name, {})[use] = whole
        self.plain(node, type(node))

    # --- scopes -------------------------------------------------------------------------------------------------------

    def function(self, node: Function) -> None:
        """A function within the piece: making it is part of what the piece does."""
        self.value(getattr(node, "decorator_list", []))
        self.value([*node.args.defaults, *node.args.kw_defaults])
        if not isinstance(node, ast.Lambda):
            self.scope.bound.add(node.name)
            self.said.append(node.name)
        self.body_of(node)

    def body_of(self, node: Function) -> None:
        self.said.append(type(node).__name__)
        scope = _Scope(self.scope)
        names = node.args
        groups = names.posonlyargs, names.args, names.kwonlyargs, [names.vararg], [names.kwarg]
        for group in groups:
            found = [argument.arg for argument in group if argument is not None]
            scope.bound.update(found)
            self.said += "[", *found, "]"
        self.said.append(f"{len(names.defaults)} {[default is None for default in names.kw_defaults]}")
        self.inside(scope, [node.body] if isinstance(node, ast.Lambda) else _without_docstring(node.body))

    def klass(self, node: ast.ClassDef) -> None:
        self.scope.bound.add(node.name)
        self.said += "ClassDef", node.name
        for group in (node.decorator_list, node.bases, node.keywords, getattr(node, "type_params", [])):
            self.value(group)
        self.inside(_Scope(self.scope, is_class=True), _without_docstring(node.body))

    def comprehension(self, node: Any) -> None:
        first, *others = node.generators
        self.said.append(type(node).__name__)
        self.visit(first.iter)  # belongs to the scope around
        parts = [first.target, *first.ifs, *others]
        parts += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self.said.append(f"{len(first.ifs)} {len(others)} {first.is_async}")
        self.inside(_Scope(self.scope, whole=self.scope.whole), parts)


@cache
def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    """The fields of a node that say something."""
    return tuple(name for name in kind._fields if name not in _LEFT_OUT)


def _without_docstring(body: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body


_SPECIAL: dict[type[ast.AST], Callable[[_Reader, Any], None]] = {
    ast.Name: _Reader.name,
    ast.Attribute: _Reader.attribute,
    ast.Call: _Reader.call,
    ast.Constant: _Reader.constant,
    ast.JoinedStr: _Reader.joined,
    ast.AugAssign: _Reader.assigned,
    ast.AnnAssign: _Reader.annotated,
    ast.NamedExpr: _Reader.walrus,
    ast.ClassDef: _Reader.klass,
    **dict.fromkeys((ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping), _Reader.bind),
    **dict.fromkeys((ast.Global, ast.Nonlocal), _Reader.declared),
    **dict.fromkeys((ast.Import, ast.ImportFrom), _Reader.imported),
    **dict.fromkeys((ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda), _Reader.function),
    **dict.fromkeys((ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp), _Reader.comprehension),
}
