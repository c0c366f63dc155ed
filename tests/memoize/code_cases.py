"""Small packages, in each of which ``main.f`` reaches a piece of code in its own way, and a change to that piece.

Each is written as files, ``main.py`` first; a change is the file, the text in it, the text that takes its place, and
what of the fingerprint's parts it changes.
"""

from __future__ import annotations

import re
from textwrap import dedent
from typing import NamedTuple

__all__ = ["CASES", "Case"]


class Case(NamedTuple):
    """A package, by the names of its files, and a change to it."""

    files: dict[str, str]
    file: str
    old: str
    new: str
    parts: tuple[str, ...]

    def changed(self) -> dict[str, str]:
        """The files after the change."""
        assert self.files[self.file].count(self.old) == 1
        return {**self.files, self.file: self.files[self.file].replace(self.old, self.new)}


CASES: dict[str, Case] = {}
"""By name; ``{}`` in a file stands for the name of the package."""


def case(name: str, text: str, file: str, old: str, new: str, *parts: str) -> None:
    """``text`` has the files one after the other, each below a line ``# --- name``."""
    pieces = re.split(r"^# --- (\S+)\n", dedent(text).lstrip(), flags=re.MULTILINE)
    files = {"__init__.py": "", "main.py": pieces[0], **dict(zip(pieces[1::2], pieces[2::2], strict=True))}
    CASES[name] = Case(files, file, old, new, parts)


case(
    "attribute",
    """
    from . import middle
    def f(x):
        return middle.g(x)
    # --- middle.py
    from . import deep
    def g(x):
        return deep.h(x)
    # --- deep.py
    def h(x):
        return x + 1
    def unrelated(x):
        return x
    """,
    "deep.py",
    "x + 1",
    "x + 2",
    "deep.h",
)

case(
    "attribute_of_package",
    """
    import {}.middle
    def f(x):
        return {}.middle.g(x)
    # --- middle.py
    from . import deep
    def g(x):
        return deep.h(x)
    # --- deep.py
    def h(x):
        return x + 1
    def unrelated(x):
        return x
    """,
    "deep.py",
    "x + 1",
    "x + 2",
    "deep.h",
)

case(
    "imported_as",
    """
    from .middle import g as other
    def f(x):
        return other(x)
    # --- middle.py
    from . import deep
    def g(x):
        return deep.h(x)
    # --- deep.py
    def h(x):
        return x + 1
    def unrelated(x):
        return x
    """,
    "deep.py",
    "x + 1",
    "x + 2",
    "deep.h",
)

case(
    "assigned_alias",
    """
    from .middle import g
    k = g
    def f(x):
        return k(x)
    # --- middle.py
    from . import deep
    def g(x):
        return deep.h(x)
    # --- deep.py
    def h(x):
        return x + 1
    def unrelated(x):
        return x
    """,
    "deep.py",
    "x + 1",
    "x + 2",
    "deep.h",
)

case(
    "alias_of_another",
    """
    from .middle import g
    def f(x):
        return g(x)
    # --- middle.py
    from .deep import a, b
    both = a, b
    g = a
    # --- deep.py
    def a(x):
        return x
    def b(x):
        return -x
    """,
    "middle.py",
    "g = a",
    "g = b",
    "deep.a",
    "deep.b",
    "main.g (name)",
)

case(
    "swapped",
    """
    from .middle import p, q
    def f(x):
        return p(x) + 2 * q(x)
    # --- middle.py
    from .deep import a, b
    p, q = a, b
    # --- deep.py
    def a(x):
        return x
    def b(x):
        return -x
    """,
    "middle.py",
    "p, q = a, b",
    "p, q = b, a",
    "main.p (name)",
    "main.q (name)",
)

case(
    "swapped_closures",
    """
    from .deep import make
    p, q = make(1), make(2)
    def f(x):
        return p(x) + 2 * q(x)
    # --- deep.py
    def make(k):
        def inner(x):
            return x + k
        return inner
    """,
    "main.py",
    "make(1), make(2)",
    "make(2), make(1)",
    "deep.make.<locals>.inner #2:k",
    "deep.make.<locals>.inner:k",
)

case(
    "standard_alias",
    """
    from math import sin as g
    def f(x):
        return g(x)
    """,
    "main.py",
    "sin",
    "cos",
    "main.g (name)",
)

case(
    "standard_module_alias",
    """
    import posixpath as p
    def f(x):
        return p.join(x, '')
    """,
    "main.py",
    "import posixpath",
    "import ntpath",
    "main.p (name)",
)

case(
    "decorator_closure",
    """
    from .middle import g
    def f(x):
        return g(x)
    # --- middle.py
    from .deep import *
    # --- deep.py
    def twice(function):
        def call(x):
            return function(x) * 2
        return call
    @twice
    def g(x):
        return x
    """,
    "deep.py",
    "function(x) * 2",
    "function(x) * 3",
    "deep.twice.<locals>.call",
)

case(
    "decorated_body",
    """
    from .middle import g
    def f(x):
        return g(x)
    # --- middle.py
    from .deep import *
    # --- deep.py
    def twice(function):
        def call(x):
            return function(x) * 2
        return call
    @twice
    def g(x):
        return x
    """,
    "deep.py",
    "    return x\n",
    "    return x + 1\n",
    "deep.g",
)

case(
    "decorator_wraps",
    """
    from .middle import g
    def f(x):
        return g(x)
    # --- middle.py
    from .deep import *
    # --- deep.py
    import functools
    def twice(function):
        @functools.wraps(function)
        def call(x):
            return function(x) * 2
        return call
    @twice
    def g(x):
        return h(x)
    def h(x):
        return x
    """,
    "deep.py",
    "    return x\n",
    "    return x + 1\n",
    "deep.h",
)

case(
    "decorator_argument",
    """
    from .middle import g
    def f(x):
        return g(x)
    # --- middle.py
    from .deep import *
    # --- deep.py
    def times(n):
        def decorate(function):
            return lambda x: function(x) * n
        return decorate
    @times(2)
    def g(x):
        return x
    """,
    "deep.py",
    "@times(2)",
    "@times(3)",
    "deep.times.<locals>.decorate.<locals>.<lambda>:n",
)

case(
    "decorator_cache",
    """
    from .middle import g
    def f(x):
        return g(x)
    # --- middle.py
    from .deep import *
    # --- deep.py
    import functools
    @functools.lru_cache(maxsize=8)
    def g(x):
        return x
    """,
    "deep.py",
    "return x",
    "return -x",
    "deep.g",
)

case(
    "decorator_partial",
    """
    from .middle import g
    def f(x):
        return g(x)
    # --- middle.py
    from .deep import *
    # --- deep.py
    import functools
    def times(n, function):
        return lambda x: function(x) * n
    twice = functools.partial(times, 2)
    @twice
    def g(x):
        return x
    """,
    "deep.py",
    "partial(times, 2)",
    "partial(times, 3)",
    "deep.times.<locals>.<lambda>:n",
)

case(
    "decorator_class",
    """
    from .middle import g
    def f(x):
        return g(x)
    # --- middle.py
    from .deep import *
    # --- deep.py
    class Twice:
        def __init__(self, function):
            self.function = function
        def __call__(self, x):
            return self.function(x) * 2
    @Twice
    def g(x):
        return x
    """,
    "deep.py",
    "return x\n",
    "return x + 1\n",
    "deep.g",
)

case(
    "decorator_class_call",
    """
    from .middle import g
    def f(x):
        return g(x)
    # --- middle.py
    from .deep import *
    # --- deep.py
    class Twice:
        def __init__(self, function):
            self.function = function
        def __call__(self, x):
            return self.function(x) * 2
    @Twice
    def g(x):
        return x
    """,
    "deep.py",
    "(x) * 2",
    "(x) * 3",
    "deep.Twice",
    "deep.Twice.__call__",
)

case(
    "context_manager",
    """
    from .middle import g
    def f(x):
        return g(x)
    # --- middle.py
    from .deep import *
    # --- deep.py
    import contextlib
    @contextlib.contextmanager
    def c():
        yield 1
    def g(x):
        with c() as y:
            return x + y
    """,
    "deep.py",
    "yield 1",
    "yield 2",
    "deep.c",
)

case(
    "singledispatch",
    """
    from .middle import g
    def f(x):
        return g(x)
    # --- middle.py
    from .deep import *
    # --- deep.py
    import functools
    @functools.singledispatch
    def g(x):
        return x
    @g.register(int)
    def _(x):
        return h(x)
    def h(x):
        return 1
    """,
    "deep.py",
    "return 1",
    "return 2",
    "deep.h",
)

case(
    "partial",
    """
    from .middle import p
    def f(x):
        return p(x)
    # --- middle.py
    import functools
    from .deep import h
    p = functools.partial(h, 1, c=2)
    # --- deep.py
    def h(a, b, c):
        return a + b + c
    """,
    "deep.py",
    "a + b + c",
    "a + b - c",
    "deep.h",
)

case(
    "partial_argument",
    """
    from .middle import p
    def f(x):
        return p(x)
    # --- middle.py
    import functools
    from .deep import h
    p = functools.partial(h, 1, c=2)
    # --- deep.py
    def h(a, b, c):
        return a + b + c
    """,
    "middle.py",
    "c=2",
    "c=3",
    "main.p (partial)",
)

case(
    "default",
    """
    from .middle import g
    def f(x):
        return g(x)
    # --- middle.py
    from .deep import h
    def g(x, by=h):
        return by(x)
    # --- deep.py
    def h(x):
        return x
    """,
    "deep.py",
    "return x",
    "return -x",
    "deep.h",
)

case(
    "default_value",
    """
    from .middle import g
    def f(x):
        return g(x)
    # --- middle.py
    def g(x, y=1, z=2):
        return x + y + z
    """,
    "middle.py",
    "z=2",
    "z=3",
    "middle.g:z",
)

case(
    "keyword_default",
    """
    from .middle import g
    def f(x):
        return g(x)
    # --- middle.py
    from .deep import N
    def g(x, *, y=N):
        return x + y
    # --- deep.py
    N = 1
    """,
    "deep.py",
    "N = 1",
    "N = 2",
    "middle.g:y",
)

case(
    "own_default",
    """
    def f(x, y=1):
        return x + y
    """,
    "main.py",
    "y=1",
    "y=2",
    "main.f:y",
)

case(
    "base_class",
    """
    from .middle import C
    def f(x):
        return C().m(x)
    # --- middle.py
    from .deep import B
    class C(B):
        pass
    # --- deep.py
    class A:
        def m(self, x):
            return x
    class B(A):
        pass
    """,
    "deep.py",
    "return x",
    "return -x",
    "deep.A",
    "deep.A.m",
)

case(
    "other_base",
    """
    from .middle import C
    def f(x):
        return C().m(x)
    # --- middle.py
    from .deep import A, B
    class C(A):
        pass
    # --- deep.py
    class A:
        def m(self, x):
            return x
    class B:
        def m(self, x):
            return -x
    """,
    "middle.py",
    "C(A)",
    "C(B)",
    "deep.A",
    "deep.A.m",
    "deep.B",
    "deep.B.m",
    "middle.A (name)",
    "middle.B (name)",
    "middle.C",
    "middle.C (bases)",
)

case(
    "metaclass",
    """
    from .middle import C
    def f(x):
        return C(x)
    # --- middle.py
    from .deep import M
    class C(metaclass=M):
        pass
    # --- deep.py
    class M(type):
        def __call__(cls, x):
            return x
    """,
    "deep.py",
    "return x",
    "return -x",
    "deep.M",
    "deep.M.__call__",
)

case(
    "class_attribute",
    """
    from .middle import C
    def f(x):
        return C.n
    # --- middle.py
    from .deep import N
    class C:
        n = N
    # --- deep.py
    N = 1
    """,
    "deep.py",
    "N = 1",
    "N = 2",
    "middle.C.n",
    "middle.N",
)

case(
    "property",
    """
    from .middle import C
    def f(x):
        return C().p
    # --- middle.py
    from .deep import h
    class C:
        @property
        def p(self):
            return h(1)
    # --- deep.py
    def h(x):
        return x
    """,
    "deep.py",
    "return x",
    "return -x",
    "deep.h",
)

case(
    "cached_property",
    """
    from .middle import C
    def f(x):
        return C().p
    # --- middle.py
    from functools import cached_property
    from .deep import h
    class C:
        @cached_property
        def p(self):
            return h(1)
    # --- deep.py
    def h(x):
        return x
    """,
    "deep.py",
    "return x",
    "return -x",
    "deep.h",
)

case(
    "static_method",
    """
    from .middle import C
    def f(x):
        return C.s(x)
    # --- middle.py
    from .deep import h
    class C:
        @staticmethod
        def s(x):
            return h(x)
        @classmethod
        def c(cls, x):
            return cls.s(x)
    # --- deep.py
    def h(x):
        return x
    """,
    "deep.py",
    "return x",
    "return -x",
    "deep.h",
)

case(
    "partial_method",
    """
    from .middle import C
    def f(x):
        return C().m()
    # --- middle.py
    from functools import partialmethod
    from .deep import N
    class C:
        def n(self, x):
            return x
        m = partialmethod(n, N)
    # --- deep.py
    N = 1
    """,
    "deep.py",
    "N = 1",
    "N = 2",
    "middle.C.m (partialmethod)",
    "middle.N",
)

case(
    "bound_method",
    """
    from .middle import m
    def f(x):
        return m(x)
    # --- middle.py
    from .deep import C
    m = C(3).m
    # --- deep.py
    class C:
        def __init__(self, n):
            self.n = n
        def m(self, x):
            return x * self.n
    """,
    "middle.py",
    "C(3)",
    "C(4)",
    "main.m (method)",
)

case(
    "nested_class",
    """
    from .middle import C
    def f(x):
        return C.D().m(x)
    # --- middle.py
    class C:
        class D:
            def m(self, x):
                return x
    """,
    "middle.py",
    "return x",
    "return -x",
    "middle.C",
    "middle.C.D",
    "middle.C.D.m",
)

case(
    "class_decorator",
    """
    from .middle import C
    def f(x):
        return C().m(x)
    # --- middle.py
    from .deep import patched
    @patched
    class C:
        pass
    # --- deep.py
    def patched(cls):
        cls.m = lambda self, x: x
        return cls
    """,
    "deep.py",
    "self, x: x",
    "self, x: -x",
    "deep.patched",
    "deep.patched.<locals>.<lambda>",
)

case(
    "patched_class",
    """
    from . import middle
    from .deep import C
    def f(x):
        return C().m(x)
    # --- middle.py
    from .deep import C
    def m(self, x):
        return -x
    C.m = m
    # --- deep.py
    class C:
        def m(self, x):
            return x
    """,
    "middle.py",
    "return -x",
    "return x + 1",
    "middle.m",
)

case(
    "dataclass",
    """
    from .middle import C
    def f(x):
        return C(x).y
    # --- middle.py
    from dataclasses import dataclass, field
    @dataclass(order=True)
    class C:
        x: int
        y: list = field(default_factory=list)
        z: int = 2
    """,
    "middle.py",
    "order=True",
    "order=False",
    "middle.C",
)

case(
    "dataclass_factory",
    """
    from .middle import C
    def f(x):
        return C(x).y
    # --- middle.py
    from dataclasses import dataclass, field
    from .deep import h
    @dataclass
    class C:
        x: int
        y: list = field(default_factory=h)
    # --- deep.py
    def h():
        return []
    """,
    "deep.py",
    "return []",
    "return [1]",
    "deep.h",
)

case(
    "enum",
    """
    from .middle import Color
    def f(x):
        return Color.RED.value
    # --- middle.py
    import enum
    from .deep import N
    class Color(enum.Enum):
        RED = N
        BLUE = 'b'
        def __str__(self):
            return self.name.lower()
    class Flags(enum.IntFlag):
        A = enum.auto()
        B = enum.auto()
    # --- deep.py
    N = 1
    """,
    "deep.py",
    "N = 1",
    "N = 2",
    "middle.Color (members)",
    "middle.N",
)

case(
    "enum_with_new",
    """
    from .middle import Color, Flags
    def f(x):
        return Color.RED.value, Flags.A
    # --- middle.py
    import enum
    class Color(bytes, enum.Enum):
        def __new__(cls, value):
            made = bytes.__new__(cls, [value])
            made._value_ = value + 1
            return made
        RED = 1
    class Flags(enum.IntFlag):
        A = enum.auto()
        B = enum.auto()
    """,
    "middle.py",
    "value + 1",
    "value + 2",
    "middle.Color",
    "middle.Color (members)",
)

case(
    "named_tuple",
    """
    from .middle import P, Q
    def f(x):
        return P(x), Q(x)
    # --- middle.py
    from collections import namedtuple
    from typing import NamedTuple
    class P(NamedTuple):
        x: int
        y: int = 1
        def m(self):
            return self.x
    Q = namedtuple('Q', 'x y', defaults=[2])
    """,
    "middle.py",
    "defaults=[2]",
    "defaults=[3]",
    "middle.Q._field_defaults",
)

case(
    "abstract",
    """
    from .middle import C
    def f(x):
        return C().m(x)
    # --- middle.py
    from abc import ABC, abstractmethod
    from typing import Generic, Protocol, TypeVar
    T = TypeVar('T')
    class P(Protocol):
        def m(self, x): ...
    class A(ABC, Generic[T]):
        @abstractmethod
        def m(self, x):
            return x
    class C(A[int], P):
        def m(self, x):
            return super().m(x)
    """,
    "middle.py",
    "        return x\n",
    "        return -x\n",
    "middle.A",
    "middle.A.m",
)

case(
    "dictionary_of_functions",
    """
    from .middle import TABLE
    def f(x):
        return TABLE['h'](x)
    # --- middle.py
    from .deep import h, k
    TABLE = {'h': h, 'k': [k]}
    # --- deep.py
    def h(x):
        return x
    def k(x):
        return 1
    """,
    "deep.py",
    "return x",
    "return -x",
    "deep.h",
)

case(
    "configured_instance",
    """
    from .middle import MODEL
    def f(x):
        return MODEL.run(x)
    # --- middle.py
    from .deep import Model
    MODEL = Model(3, {'a': [1.5]})
    # --- deep.py
    class Model:
        def __init__(self, n, more):
            self.n = n
            self.more = more
        def run(self, x):
            return x * self.n
    """,
    "middle.py",
    "1.5",
    "2.5",
    "main.MODEL",
)

case(
    "class_of_instance",
    """
    from .middle import MODEL
    def f(x):
        return MODEL.run(x)
    # --- middle.py
    from .deep import Model
    MODEL = Model()
    # --- deep.py
    class Model:
        def run(self, x):
            return x
    """,
    "deep.py",
    "return x",
    "return -x",
    "deep.Model",
    "deep.Model.run",
)

case(
    "regular_expression",
    """
    from .middle import WORD
    def f(x):
        return WORD.match(x)
    # --- middle.py
    import re
    WORD = re.compile('a+')
    """,
    "middle.py",
    "'a+'",
    "'a*'",
    "main.WORD",
)

case(
    "nested_function",
    """
    from .middle import g
    def f(x):
        def inner(y):
            return g(y)
        return inner(x)
    # --- middle.py
    from . import deep
    def g(x):
        return deep.h(x)
    # --- deep.py
    def h(x):
        return x + 1
    def unrelated(x):
        return x
    """,
    "deep.py",
    "x + 1",
    "x + 2",
    "deep.h",
)

case(
    "lambda",
    """
    from .middle import g
    f = lambda x: [g(x)]
    # --- middle.py
    from . import deep
    def g(x):
        return deep.h(x)
    # --- deep.py
    def h(x):
        return x + 1
    def unrelated(x):
        return x
    """,
    "deep.py",
    "x + 1",
    "x + 2",
    "deep.h",
)

case(
    "lambda_on_one_line",
    """
    from .middle import p
    def f(x):
        return p(x)
    # --- middle.py
    q, p = lambda x: x + 1, (lambda x: x + 2)
    """,
    "middle.py",
    "x + 2",
    "x + 3",
    "middle.<lambda>",
)

case(
    "comprehension",
    """
    from .middle import g
    def f(x):
        return [g(y) for y in range(x) if g(y)]
    # --- middle.py
    from . import deep
    def g(x):
        return deep.h(x)
    # --- deep.py
    def h(x):
        return x + 1
    def unrelated(x):
        return x
    """,
    "deep.py",
    "x + 1",
    "x + 2",
    "deep.h",
)

case(
    "generator",
    """
    from .middle import g
    def f(x):
        return sum(g(x))
    # --- middle.py
    from .deep import h
    def g(x):
        yield from (h(y) for y in range(x))
    async def unused():
        pass
    # --- deep.py
    def h(x):
        return x
    """,
    "deep.py",
    "return x",
    "return -x",
    "deep.h",
)

case(
    "class_in_function",
    """
    from .middle import g
    def f(x):
        class C:
            y = g(x)
        return C.y
    # --- middle.py
    from . import deep
    def g(x):
        return deep.h(x)
    # --- deep.py
    def h(x):
        return x + 1
    def unrelated(x):
        return x
    """,
    "deep.py",
    "x + 1",
    "x + 2",
    "deep.h",
)

case(
    "import_in_body",
    """
    def f(x):
        from .middle import g
        return g(x)
    # --- middle.py
    from . import deep
    def g(x):
        return deep.h(x)
    # --- deep.py
    def h(x):
        return x + 1
    def unrelated(x):
        return x
    """,
    "deep.py",
    "x + 1",
    "x + 2",
    "deep.h",
)

case(
    "import_of_module_in_body",
    """
    def f(x):
        from . import middle as m
        return m.g(x)
    # --- middle.py
    from . import deep
    def g(x):
        return deep.h(x)
    # --- deep.py
    def h(x):
        return x + 1
    def unrelated(x):
        return x
    """,
    "deep.py",
    "x + 1",
    "x + 2",
    "deep.h",
)

case(
    "import_by_full_name_in_body",
    """
    def f(x):
        import {}.middle
        return {}.middle.g(x)
    # --- middle.py
    from . import deep
    def g(x):
        return deep.h(x)
    # --- deep.py
    def h(x):
        return x + 1
    def unrelated(x):
        return x
    """,
    "deep.py",
    "x + 1",
    "x + 2",
    "deep.h",
)

case(
    "global_value",
    """
    from . import middle
    def f(x):
        return middle.g(x)
    # --- middle.py
    from .deep import RATE
    def g(x):
        return x * RATE
    # --- deep.py
    RATE = 1.5
    """,
    "deep.py",
    "1.5",
    "2.5",
    "middle.RATE",
)

case(
    "computed_value",
    """
    from .middle import TABLE
    def f(x):
        return TABLE[x]
    # --- middle.py
    from .deep import h
    TABLE = [h(x) for x in range(3)]
    # --- deep.py
    def h(x):
        return x
    """,
    "deep.py",
    "return x",
    "return -x",
    "main.TABLE",
)

case(
    "global_statement",
    """
    n = 1
    def f(x):
        global n
        n += x
        return n
    """,
    "main.py",
    "n = 1",
    "n = 2",
    "main.n",
)

case(
    "function_attribute",
    """
    from .middle import g
    def f(x):
        return g.n
    # --- middle.py
    def g(x):
        return x
    g.n = 1
    """,
    "middle.py",
    "g.n = 1",
    "g.n = 2",
    "main.g.n",
)

case(
    "shadowed_builtin",
    """
    from .middle import len
    def f(x):
        return len(x)
    # --- middle.py
    def len(x):
        return 1
    """,
    "middle.py",
    "return 1",
    "return 2",
    "middle.len",
)

case(
    "module_as_a_whole",
    """
    from . import middle
    def f(x):
        return getattr(middle, 'g')(x)
    # --- middle.py
    from . import deep
    def g(x):
        return deep.h(x)
    # --- deep.py
    def h(x):
        return x + 1
    def unrelated(x):
        return x
    """,
    "deep.py",
    "x + 1",
    "x + 2",
    "deep.h",
)

case(
    "mutual_recursion",
    """
    from .middle import even
    def f(x):
        return even(x)
    # --- middle.py
    def even(x):
        return x == 0 or odd(x - 1)
    def odd(x):
        return x != 0 and even(x - 1)
    """,
    "middle.py",
    "x != 0",
    "x > 0",
    "middle.odd",
)

case(
    "recursive_closure",
    """
    from .middle import make
    g = make(2)
    def f(x):
        return g(x)
    # --- middle.py
    def make(n):
        def count(x):
            return 0 if x == 0 else count(x - 1) + n
        return count
    """,
    "main.py",
    "make(2)",
    "make(3)",
    "middle.make.<locals>.count:n",
)

case(
    "lazy_module",
    """
    from . import middle
    def f(x):
        return middle.h(x)
    # --- middle.py
    def __getattr__(name):
        from . import deep
        return getattr(deep, name)
    # --- deep.py
    def h(x):
        return x
    """,
    "deep.py",
    "return x",
    "return -x",
    "deep.h",
)

case(
    "method_and_self",
    """
    from .middle import C
    f = C.m
    # --- middle.py
    class C:
        def m(self, x):
            return self.n(x)
        def n(self, x):
            return x
    """,
    "middle.py",
    "return x",
    "return -x",
    "middle.C",
    "middle.C.n",
)

case(
    "pydantic",
    """
    from .middle import M
    def f(x):
        return M(x=x).x
    # --- middle.py
    from pydantic import BaseModel, field_validator
    from .deep import h
    class M(BaseModel):
        x: int
        y: float = 1.0
        @field_validator('x')
        @classmethod
        def check(cls, v):
            return h(v)
    # --- deep.py
    def h(x):
        return x
    """,
    "deep.py",
    "return x",
    "return -x",
    "deep.h",
)

case(
    "pydantic_field",
    """
    from .middle import M
    def f(x):
        return M(x=x).x
    # --- middle.py
    from pydantic import BaseModel, Field
    class M(BaseModel):
        x: int = Field(ge=1)
    """,
    "middle.py",
    "ge=1",
    "ge=2",
    "middle.M",
)

case(
    "array",
    """
    from .middle import A
    def f(x):
        return A * x
    # --- middle.py
    import numpy as np
    A = np.arange(3)
    """,
    "middle.py",
    "arange(3)",
    "arange(4)",
    "main.A",
)

case(
    "attributes_of_the_same_names",
    """
    from .middle import C, g, E
    def f(x):
        return C.members, C.fields, g(x), g.n, g.k, E.members
    # --- middle.py
    import enum
    from .deep import A, B, D
    C = type("C", (), {"members": 1, "fields": A})
    class E(enum.Enum):
        members = 1
    def g(x, n=1):
        return x
    g.n = B
    g.k = D
    # --- deep.py
    A = 1
    B = 2
    D = 3
    """,
    "deep.py",
    "A = 1\nB = 2",
    "A = 3\nB = 4",
    "main.g.n",
    "middle.C.fields",
)

case(
    "sentinel",
    """
    from .middle import MISSING, other, g
    def f(x):
        return g(x, MISSING), other
    # --- middle.py
    from .deep import MISSING, OTHER
    other = {"a": [OTHER], "b": MISSING}
    def g(x, y=MISSING):
        return 1 if y is MISSING else 2
    # --- deep.py
    MISSING = object()
    class Other:
        pass
    OTHER = Other()
    """,
    "middle.py",
    "y=MISSING",
    "y=OTHER",
    "middle.g:y (name)",
)

case(
    "subclass_of_partial",
    """
    from .middle import p, s
    def f(x):
        return p(x), s
    # --- middle.py
    import functools
    from .deep import h, k
    class Partial(functools.partial):
        pass
    class Static(staticmethod):
        pass
    p = Partial(h, 1)
    s = [Static(k)]
    # --- deep.py
    def h(x):
        return x
    def k(x):
        return 1
    """,
    "deep.py",
    "return 1",
    "return 2",
    "deep.k",
)

case(
    "special_method_of_a_class",
    """
    from .middle import C
    def f(x):
        return C() + x
    # --- middle.py
    import functools
    from .deep import N
    def add(self, other, n):
        return other + n
    class C:
        __add__ = functools.partialmethod(add, N)
        __slots__ = ("a", "b")
    # --- deep.py
    N = 1
    """,
    "deep.py",
    "N = 1",
    "N = 2",
    "middle.C.__add__ (partialmethod)",
    "middle.N",
)

case(
    "class_under_a_condition",
    """
    from .middle import C
    def f(x):
        return C
    # --- middle.py
    from .deep import N
    if N:
        class C:
            n: int
    else:
        class C:
            n: str
    # --- deep.py
    N = 1
    """,
    "middle.py",
    "n: int",
    "n: bool",
    "middle.C",
)

case(
    "many_things_of_the_standard_library",
    """
    import collections.abc, contextlib, datetime, decimal, enum, itertools, logging, os, pathlib, re, threading, typing
    from functools import cached_property, reduce, singledispatchmethod, total_ordering, wraps
    from pathlib import Path
    from typing import Any, Optional
    log = logging.getLogger(__name__)
    lock = threading.RLock()
    HOME = Path("a") / "b"
    WHEN = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc), decimal.Decimal("1.5")
    KINDS = (int, str, Path, Optional[int], list[int], int | None, Any)
    class Kind(enum.StrEnum):
        A = enum.auto()
        B = "b"
    class Flag(enum.Flag):
        X = 1
        Y = 2
    class Error(ValueError):
        pass
    class Table(typing.TypedDict, total=False):
        a: int
    @total_ordering
    class C(collections.abc.Sequence):
        def __init__(self, items=()):
            self.items = items
        def __len__(self):
            return len(self.items)
        def __getitem__(self, at):
            return self.items[at]
        def __lt__(self, other):
            return self.items < other.items
        @singledispatchmethod
        def m(self, x):
            return x
        @m.register(int)
        def _(self, x):
            return -x
        @contextlib.contextmanager
        def c(self):
            yield self
    def f(x, *more, path=HOME, kind=Kind.A, flag=Flag.X | Flag.Y):
        with lock, C([x]).c() as c:
            log.info("%s", os.path.join("a", str(path)))
            if isinstance(x, KINDS[:2]) and re.match("a", str(x)):
                raise Error(reduce(max, itertools.chain(more)))
        return c, WHEN, Table(a=1), path
    """,
    "main.py",
    "return -x",
    "return +x",
    "main.C",
    "main.C._",
)

case(
    "imported_under_conditions",
    """
    def f(x):
        try:
            from .fast import h
        except ImportError:
            from .slow import h
        if x:
            from . import fast as m
        else:
            from . import slow as m
        return h(x), m.g(x)
    # --- fast.py
    def h(x):
        return x + 1
    def g(x):
        return x
    # --- slow.py
    def h(x):
        return x
    def g(x):
        return x
    """,
    "fast.py",
    "return x + 1",
    "return x + 2",
    "fast.h",
)

case(
    "imported_for_its_effect",
    """
    from .registry import TABLE
    def f(x):
        import {}.plugin
        return TABLE["h"](x)
    # --- registry.py
    TABLE = dict()
    # --- plugin.py
    from .registry import TABLE
    def h(x):
        return x + 1
    TABLE["h"] = h
    """,
    "plugin.py",
    "x + 1",
    "x + 2",
    "plugin.h",
)

case(
    "mangled_names",
    """
    def _C__h(x):
        return x + 1
    class C:
        def m(self, x):
            return __h(x)
    def f(x):
        return C().m(x)
    """,
    "main.py",
    "x + 1",
    "x + 2",
    "main._C__h",
)

case(
    "global_below_a_variable_of_that_name",
    """
    def h(x):
        return x + 1
    def f(x):
        h = x
        def g():
            global h
            return h(x)
        return g(), h
    """,
    "main.py",
    "x + 1",
    "x + 2",
    "main.h",
)

case(
    "attributes_of_functions_in_a_list",
    """
    from functools import partial
    def rank(number):
        def decorate(function):
            function.rank = number
            function.unread = object
            return function
        return decorate
    @rank(1)
    def a(x):
        return x
    b = partial(a, 1)
    b.weight = 7
    steps = [a, b]
    def f(x):
        return [step.rank for step in steps[:1]], [getattr(step, "weight", 0) for step in steps]
    """,
    "main.py",
    "@rank(1)",
    "@rank(2)",
    "main.a.rank",
)

case(
    "attribute_of_a_partial",
    """
    from functools import partial
    def a(x):
        return x
    b = partial(a, 1)
    b.weight = 7
    steps = [b]
    def f(x):
        return [getattr(step, "weight", 0) for step in steps]
    """,
    "main.py",
    "weight = 7",
    "weight = 8",
    "main.steps (partial).weight",
)

case(
    "names_of_a_module_as_a_whole",
    """
    from . import settings
    def read(module):
        return module.__version__
    def f(x):
        return read(settings)
    # --- settings.py
    __version__ = "1"
    """,
    "settings.py",
    '"1"',
    '"2"',
    "settings.__version__",
)

case(
    "default_of_a_context_variable",
    """
    from contextvars import ContextVar
    DEPTH = ContextVar("depth", default=3)
    def f(x):
        return DEPTH.get() + x
    """,
    "main.py",
    "default=3",
    "default=4",
    "main.DEPTH",
)
