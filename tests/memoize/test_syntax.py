"""What source says: every difference that can matter counts, and every name from outside is seen.

Checked on the standard library, whose code was written for other purposes.
"""

from __future__ import annotations

import argparse
import ast
import asyncio.base_events
import collections
import concurrent.futures.process
import copy
import dataclasses
import dis
import enum
import functools
import inspect
import json.decoder
import logging
import pathlib
import statistics
import tempfile
import textwrap
import typing
import zipfile
from collections.abc import Iterator
from types import CodeType, ModuleType
from typing import Any

import pytest

from holdfast.memoize.bytecode import read_code
from holdfast.memoize.source import Sources
from holdfast.memoize.syntax import NAME, Syntax, Use, read, read_decorators

MODULES = [
    *(argparse, asyncio.base_events, collections, concurrent.futures.process, copy, dataclasses, enum, functools),
    *(inspect, json.decoder, logging, pathlib, statistics, tempfile, textwrap, typing, zipfile),
]


def codes(module: ModuleType) -> Iterator[CodeType]:
    """The code of every function in a module's file, as it is compiled whole."""
    stack = [compile(inspect.getsource(module), module.__file__ or "", "exec", dont_inherit=True)]
    while stack:
        code = stack.pop()
        stack += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        is_function = code.co_flags & inspect.CO_NEWLOCALS and code.co_flags & inspect.CO_OPTIMIZED
        if is_function and (code.co_name == "<lambda>" or code.co_name[0] != "<"):
            yield code


def said(text: str) -> Syntax:
    node: Any = ast.parse(text).body[0]
    return read(getattr(node, "value", node))  # of a lambda, which stands in a statement


def names(text: str) -> set[str]:
    return {".".join((use.name, *use.attributes)) for use in said(text).uses}


# --- every function is found in its source ----------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_running_code_is_found_in_its_source(module: ModuleType) -> None:
    sources, count = Sources(), 0
    for code in codes(module):
        node = sources.function(code, vars(module))
        assert node is not None, code
        assert getattr(node, "name", "<lambda>") == code.co_name
        assert node.lineno - len(getattr(node, "decorator_list", ())) * 9 <= code.co_firstlineno <= node.lineno
        arguments = node.args.posonlyargs + node.args.args
        assert tuple(argument.arg for argument in arguments) == code.co_varnames[: code.co_argcount]
        count += 1
    assert count > 8


def loaded(code: CodeType, free: frozenset[str]) -> set[str]:
    """Names from outside that instructions load."""
    found = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS") or (
            "DEREF" in instruction.opname and instruction.opname.startswith("LOAD") and instruction.argval in free
        ):
            found.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= loaded(constant, free & frozenset(constant.co_freevars))
    return found


def in_annotations(node: ast.AST) -> set[str]:
    noted: list[Any] = []
    for part in ast.walk(node):
        if isinstance(part, ast.arg | ast.AnnAssign):
            noted.append(part.annotation)
        elif isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            noted.append(part.returns)
    return {name.id for note in noted if note for name in ast.walk(note) if isinstance(name, ast.Name)}


IMPLICIT = {"__name__", "__class__", "__classdict__", "__annotations__", "__conditional_annotations__"}
"""What the compiler itself puts into the body of a class."""


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_name_that_the_code_loads_is_seen(module: ModuleType) -> None:
    sources, total = Sources(), 0
    for code in codes(module):
        node = sources.function(code, vars(module))
        assert node is not None
        theirs = loaded(code, frozenset(code.co_freevars)) - IMPLICIT - in_annotations(node)
        ours = {use.name for use in read(node).uses if use.level == NAME}
        assert theirs - ours == set(), code
        bytecode = {use.name for use in read_code(code).uses if use.level == NAME}
        assert loaded(code, frozenset()) <= bytecode
        total += len(theirs)
    assert total > 10


# --- every difference counts ------------------------------------------------------------------------------------------

SAMPLE = '''
def sample(a, b, /, *c, d, e, **f):
    """What it does."""
    global g
    x, *y = a
    x += 2; x @= h.i.j
    for k in range(10):
        while k: break
        else: continue
    else: pass
    async def m(n=3, /, MM=4, *, NN=5, OO):
        async with o as p, q: await r
        async for s in t: yield s
        return [u async for u in v if w if u]
    class A(B, metaclass=C):
        z: "D" = 1
        @E(1)
        def __init__(self): super().__init__(); nonlocal x
    try: raise F from G
    except (H, I) as J: del J, x[1:2:3], x.K
    except* L: ...
    finally: assert M, "N"
    with O(): import P.Q as R, S; from ..T import U as V
    match W:
        case X(1, y=[2, *Y], z={"k": Z, **AA}) | None if BB: pass
        case CC.DD | -1 | "s" | True as EE: pass
        case _: pass
    return (lambda FF, *, GG=1: FF)(*a, **f), {1: 2, **f}, {1, 2}, f"{x!r:>{y}} {z}", b"x", 1.5, 2j, 10**5, ...
    return a if not b else ~c, a < b <= c is not d not in e, (HH := 1), [II for II in JJ], {KK: 1 for KK in LL}, None
'''.replace("    except* L: ...\n", "")


def mutants(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The tree with one thing changed, for each thing in it but the name at the top, which is the part's."""
    count = sum(1 for _ in ast.walk(tree))
    for at in range(count):
        for field in list(ast.walk(tree))[at]._fields[not at :]:
            for change in (_drop, _replace, _swap, _empty):
                twin = copy.deepcopy(tree)
                node = list(ast.walk(twin))[at]
                value = getattr(node, field, None)
                changed = change(value)
                if changed is not None:
                    setattr(node, field, changed[0])
                    yield f"{type(node).__name__}.{field} by {change.__name__}: {ast.dump(node)[:80]}", twin


def _drop(value: Any) -> tuple[Any] | None:
    return (value[1:],) if isinstance(value, list) and value else None


def _empty(value: Any) -> tuple[Any] | None:
    return (None,) if isinstance(value, ast.expr | str) else None


def _swap(value: Any) -> tuple[Any] | None:
    return (value[::-1],) if isinstance(value, list) and value != value[::-1] else None


def _replace(value: Any) -> tuple[Any] | None:
    if isinstance(value, ast.operator | ast.cmpop | ast.unaryop | ast.boolop):
        return (ast.Sub() if isinstance(value, ast.Add) else ast.Add(),)
    if isinstance(value, bool | int | float | complex | str | bytes):
        return (f"{value}_" if isinstance(value, str) else b"other" if isinstance(value, bytes) else value + 1,)
    return (ast.Constant("other"),) if isinstance(value, ast.expr) else None


NOT_COUNTED = ("AnnAssign.simple", "Constant.kind")


@pytest.mark.long
def test_whatever_is_changed_changes_the_digest() -> None:
    tree: Any = ast.parse(SAMPLE).body[0]
    tree.body = tree.body[1:]  # its docstring, which does not count
    tree.decorator_list = []
    original, seen, count = read(tree).digest, set(), 0
    for what, twin in mutants(tree):
        try:
            digest = read(twin).digest  # type: ignore[arg-type]
        except (AttributeError, IndexError, TypeError, ValueError):
            continue  # no tree that any source has
        count += 1
        if digest == original:
            assert what.startswith(NOT_COUNTED), what
        seen.add(digest)
    assert count > 350
    assert len(seen) > 300


PAIRS = [
    ("def f(x): return {None: x}", "def f(x): return {**x}"),
    ("def f(x): return (x, 1)", "def f(x): return [x, 1]"),
    ("def f(x): return 1", "def f(x): return 1.0"),
    ("def f(x): return 1", "def f(x): return True"),
    ("def f(x): return 0.0", "def f(x): return -0.0"),
    ("def f(x): return 'a'", "def f(x): return b'a'"),
    ("def f(x): return 'a', 'b'", "def f(x): return 'a\\0b',"),
    ("def f(x): return None", "def f(x): return 'None'"),
    ("def f(x): return x", "def f(x): return 'x'"),
    ("def f(x, y): pass", "def f(x, *, y): pass"),
    ("def f(x, y): pass", "def f(x, y, /): pass"),
    ("def f(x, y): pass", "def f(x, *y): pass"),
    ("def f(*x): pass", "def f(**x): pass"),
    ("def f(x): yield x", "async def f(x): yield x"),
    ("def f(x): return [y for y in x]", "def f(x): return {y for y in x}"),
    ("def f(x): return [y for y in x if y if x]", "def f(x): return [y for y in x if y for y in x]"),
    ("def f(x): return x.a.b", "def f(x): return x.a(b)"),
    ("def f(x): return (x.a).b", "def f(x): return x.ab"),
    ("def f(x): x.y = 1", "def f(x): x.y"),
    ("def f(x):\n if x:\n  a()\n b()", "def f(x):\n if x:\n  a()\n  b()"),
    ("def f(x): return f'{x}'", "def f(x): return f'{x!r}'"),
    ("def f(x): return f'{x}'", "def f(x): return 'x'"),
    ("def f(x): from a import b", "def f(x): from .a import b"),
    ("def f(x): import a.b", "def f(x): import a.b as a"),
    ("lambda x: x", "lambda: x"),
    ("def f(x):\n def g(y=1): pass", "def f(x):\n def g(y=2): pass"),
    ("def f(x):\n @a\n def g(): pass", "def f(x):\n @b\n def g(): pass"),
    ("class A:\n x: int", "class A:\n x: str"),
    ("class A:\n x: 'int'", "class A:\n x: int"),
    ("@a\nclass A: pass", "@b\nclass A: pass"),
    ("class A(x): pass", "class A(metaclass=x): pass"),
    ("class A:\n def m(self): pass", "class A:\n def m(this): pass"),
]


@pytest.mark.parametrize("one, other", PAIRS)
def test_these_are_not_the_same(one: str, other: str) -> None:
    assert said(one).digest != said(other).digest


@pytest.mark.parametrize(
    "one, other",
    [
        ("def f(x): return x+1", "def f(x):\n    # a comment\n    return (\n        x +\n 1 )"),
        ("def f(x): return 'ab'", 'def f(x): return "a" "b"'),
        ("def f(x): return 255", "def f(x): return 0xFF"),
        ("def f(x): return x", 'def f(x):\n    """It does."""\n    return x'),
        ("def f(x): return x", "def f(x: int) -> 'str': return x"),
        ("def f(x): return x", "@a(1)\ndef f(x): return x"),
        ("def f(x=1): return x", "def f(x=2): return x"),
        ("def f(x): y = 1", "def f(x): y = (1)"),
        ("def f(x):\n def g(a): return a", "def f(x):\n def g(a: int): return a"),
        ("def f(x): return u'a'", "def f(x): return 'a'"),
        ("class A:\n x = 1", 'class A:\n "What it is."\n x = 1'),
        ("class A:\n def m(self): pass", "class A:\n def m(self: 'A') -> None: pass"),
    ],
)
def test_these_are_the_same(one: str, other: str) -> None:
    assert said(one).digest == said(other).digest


# --- names ------------------------------------------------------------------------------------------------------------


def test_names_are_those_from_outside() -> None:
    assert names("def f(a, *b, c, **d): return a, b, c, d, e") == {"e"}
    assert names("def f(x):\n for i in x: j = i\n return i, j, k.l.m, k.l(1).n") == {"k.l.m", "k.l"}
    assert names("def f(x): return [y + z for y in x if w]") == {"z", "w"}
    assert names("def f(x): return [x for x in x]") == set()
    assert names("def f(): return [x for x in x]") == {"x"}
    assert names("def f(x):\n global y\n y = 1\n return y") == {"y"}
    assert names("def f(x):\n global y\n y += 1") == {"y"}
    assert names("def f(x):\n def g():\n  nonlocal x\n  x = 1\n return g") == set()
    assert names("def f(x):\n def g(): return y\n y = 1\n return g") == set()
    assert names("def f(x):\n class A:\n  y = 1\n  def m(self): return y\n return A") == {"y"}
    assert names("def f(x):\n try: pass\n except E as e: return e") == {"E"}
    assert names("def f(x): return (y := x), y, [z := w for w in x], z") == set()
    assert names(
        "def f(x):\n match x:\n  case [a, *b]: return a, b\n  case {'k': c, **d}: return c, d\n  case E(): pass"
    ) == {"E"}
    assert names("def f(x):\n with a as b: return b") == {"a"}
    assert names("def f(x, y=z):\n def g(v=w): pass") == {"w"}
    assert names("class A(B):\n x: C = D\n y: 'E.F'\n @G\n def m(self, v: H = I) -> J: return K") == {
        *("B", "C", "D", "E.F", "G", "I", "K")
    }


def test_imports_are_followed_by_what_is_read_of_them() -> None:
    assert said("def f():\n from .a import b as c\n return c.d").uses == (Use("a", ("b", "d"), 1),)
    assert said("def f():\n from .. import a\n return lambda: a.b").uses == (Use("", ("a", "b"), 2),)
    assert said("def f():\n import a.b\n return a.b.c").uses == (Use("a", ("b", "c"), 0),)
    assert said("def f():\n import a.b as c\n return c.d").uses == (Use("a.b", ("d",), 0),)
    assert said("def f():\n import a.b\n return 1").uses == (Use("a.b", (), 0),)
    assert said("def f():\n if x:\n  import a as c\n else:\n  from b import c\n return c.d").uses == (
        *(Use("x", ()), Use("a", ("d",), 0), Use("b", ("c", "d"), 0)),
    )


def test_decorators_that_memoize_do_not_count() -> None:
    def decorators(text: str) -> Syntax:
        node: Any = ast.parse(text).body[0]
        return read_decorators(node)

    plain = decorators("@a.b(c)\ndef f(): pass")
    assert decorators("@store.memoize(expires=day)\n@a.b(c)\ndef f(): pass") == plain
    assert decorators("@store.memoize\n@a.b(c)\ndef f(): pass") == plain
    assert {use.name for use in plain.uses} == {"a", "c"}
    assert decorators("@a.b(d)\ndef f(): pass") != plain
