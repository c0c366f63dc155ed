"""Small packages, in each of which ``main.f`` reaches a piece of code in its own way, and a change to that piece.

Each is written as files, ``main.py`` first; a change is the file, the text in it, the text that takes its place, and
what of the fingerprint's parts it changes.
"""

from __future__ import annotations

import re
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


def case(text: str, file: str, old: str, new: str, *parts: str) -> Case:
    """``text`` has the files one after the other, each below a line ``# --- name``."""
    pieces = re.split(r"^# --- (\S+)\n", text.lstrip("\n"), flags=re.MULTILINE)
    files = {"__init__.py": "", "main.py": pieces[0], **dict(zip(pieces[1::2], pieces[2::2], strict=True))}
    return Case(files, file, old, new, parts)


DEEP = """
# --- middle.py
from . import deep
def g(x):
    return deep.h(x)
# --- deep.py
def h(x):
    return x + 1
def unrelated(x):
    return x
"""

DECORATED = """
from .middle import g
def f(x):
    return g(x)
# --- middle.py
from .deep import *
"""

CASES: dict[str, Case] = {
    "attribute": case(
        f"from . import middle\ndef f(x):\n    return middle.g(x)\n{DEEP}", "deep.py", "x + 1", "x + 2", "deep.h"
    ),
    "attribute_of_package": case(
        f"import {{}}.middle\ndef f(x):\n    return {{}}.middle.g(x)\n{DEEP}", "deep.py", "x + 1", "x + 2", "deep.h"
    ),
    "imported_as": case(
        f"from .middle import g as other\ndef f(x):\n    return other(x)\n{DEEP}", "deep.py", "x + 1", "x + 2", "deep.h"
    ),
    "assigned_alias": case(
        f"from .middle import g\nk = g\ndef f(x):\n    return k(x)\n{DEEP}", "deep.py", "x + 1", "x + 2", "deep.h"
    ),
    "alias_of_another": case(
        "from .middle import g\ndef f(x):\n    return g(x)\n"
        "# --- middle.py\nfrom .deep import a, b\nboth = a, b\ng = a\n"
        "# --- deep.py\ndef a(x):\n    return x\ndef b(x):\n    return -x\n",
        "middle.py",
        "g = a",
        "g = b",
        "deep.a",  # which is no longer used
        "deep.b",
        "main.g (name)",
    ),
    "swapped": case(
        "from .middle import p, q\ndef f(x):\n    return p(x) + 2 * q(x)\n"
        "# --- middle.py\nfrom .deep import a, b\np, q = a, b\n"
        "# --- deep.py\ndef a(x):\n    return x\ndef b(x):\n    return -x\n",
        "middle.py",
        "p, q = a, b",
        "p, q = b, a",
        "main.p (name)",
        "main.q (name)",
    ),
    "swapped_closures": case(
        "from .deep import make\np, q = make(1), make(2)\ndef f(x):\n    return p(x) + 2 * q(x)\n"
        "# --- deep.py\ndef make(k):\n    def inner(x):\n        return x + k\n    return inner\n",
        "main.py",
        "make(1), make(2)",
        "make(2), make(1)",
        "deep.make.<locals>.inner #2:k",
        "deep.make.<locals>.inner:k",
    ),
    "standard_alias": case(
        "from math import sin as g\ndef f(x):\n    return g(x)\n", "main.py", "sin", "cos", "main.g (name)"
    ),
    "standard_module_alias": case(
        "import posixpath as p\ndef f(x):\n    return p.join(x, '')\n",
        "main.py",
        "import posixpath",
        "import ntpath",
        "main.p (name)",
    ),
    "decorator_closure": case(
        DECORATED
        + "# --- deep.py\ndef twice(function):\n    def call(x):\n        return function(x) * 2\n    return call\n"
        "@twice\ndef g(x):\n    return x\n",
        "deep.py",
        "function(x) * 2",
        "function(x) * 3",
        "deep.twice.<locals>.call",
    ),
    "decorated_body": case(
        DECORATED
        + "# --- deep.py\ndef twice(function):\n    def call(x):\n        return function(x) * 2\n    return call\n"
        "@twice\ndef g(x):\n    return x\n",
        "deep.py",
        "    return x\n",
        "    return x + 1\n",
        "deep.g",
    ),
    "decorator_wraps": case(
        DECORATED + "# --- deep.py\nimport functools\ndef twice(function):\n    @functools.wraps(function)\n"
        "    def call(x):\n        return function(x) * 2\n    return call\n@twice\ndef g(x):\n    return h(x)\n"
        "def h(x):\n    return x\n",
        "deep.py",
        "    return x\n",
        "    return x + 1\n",
        "deep.h",
    ),
    "decorator_argument": case(
        DECORATED
        + "# --- deep.py\ndef times(n):\n    def decorate(function):\n        return lambda x: function(x) * n\n"
        "    return decorate\n@times(2)\ndef g(x):\n    return x\n",
        "deep.py",
        "@times(2)",
        "@times(3)",
        "deep.times.<locals>.decorate.<locals>.<lambda>:n",
    ),
    "decorator_cache": case(
        DECORATED + "# --- deep.py\nimport functools\n@functools.lru_cache(maxsize=8)\ndef g(x):\n    return x\n",
        "deep.py",
        "return x",
        "return -x",
        "deep.g",
    ),
    "decorator_partial": case(
        DECORATED + "# --- deep.py\nimport functools\ndef times(n, function):\n    return lambda x: function(x) * n\n"
        "twice = functools.partial(times, 2)\n@twice\ndef g(x):\n    return x\n",
        "deep.py",
        "partial(times, 2)",
        "partial(times, 3)",
        "deep.times.<locals>.<lambda>:n",
    ),
    "decorator_class": case(
        DECORATED + "# --- deep.py\nclass Twice:\n    def __init__(self, function):\n        self.function = function\n"
        "    def __call__(self, x):\n        return self.function(x) * 2\n@Twice\ndef g(x):\n    return x\n",
        "deep.py",
        "return x\n",
        "return x + 1\n",
        "deep.g",
    ),
    "decorator_class_call": case(
        DECORATED + "# --- deep.py\nclass Twice:\n    def __init__(self, function):\n        self.function = function\n"
        "    def __call__(self, x):\n        return self.function(x) * 2\n@Twice\ndef g(x):\n    return x\n",
        "deep.py",
        "(x) * 2",
        "(x) * 3",
        "deep.Twice",
        "deep.Twice.__call__",
    ),
    "context_manager": case(
        DECORATED + "# --- deep.py\nimport contextlib\n@contextlib.contextmanager\ndef c():\n    yield 1\n"
        "def g(x):\n    with c() as y:\n        return x + y\n",
        "deep.py",
        "yield 1",
        "yield 2",
        "deep.c",
    ),
    "singledispatch": case(
        DECORATED + "# --- deep.py\nimport functools\n@functools.singledispatch\ndef g(x):\n    return x\n"
        "@g.register(int)\ndef _(x):\n    return h(x)\ndef h(x):\n    return 1\n",
        "deep.py",
        "return 1",
        "return 2",
        "deep.h",
    ),
    "partial": case(
        "from .middle import p\ndef f(x):\n    return p(x)\n"
        "# --- middle.py\nimport functools\nfrom .deep import h\np = functools.partial(h, 1, c=2)\n"
        "# --- deep.py\ndef h(a, b, c):\n    return a + b + c\n",
        "deep.py",
        "a + b + c",
        "a + b - c",
        "deep.h",
    ),
    "partial_argument": case(
        "from .middle import p\ndef f(x):\n    return p(x)\n"
        "# --- middle.py\nimport functools\nfrom .deep import h\np = functools.partial(h, 1, c=2)\n"
        "# --- deep.py\ndef h(a, b, c):\n    return a + b + c\n",
        "middle.py",
        "c=2",
        "c=3",
        "main.p (partial)",
    ),
    "default": case(
        "from .middle import g\ndef f(x):\n    return g(x)\n"
        "# --- middle.py\nfrom .deep import h\ndef g(x, by=h):\n    return by(x)\n"
        "# --- deep.py\ndef h(x):\n    return x\n",
        "deep.py",
        "return x",
        "return -x",
        "deep.h",
    ),
    "default_value": case(
        "from .middle import g\ndef f(x):\n    return g(x)\n# --- middle.py\ndef g(x, y=1, z=2):\n    return x + y + z\n",
        "middle.py",
        "z=2",
        "z=3",
        "middle.g:z",
    ),
    "keyword_default": case(
        "from .middle import g\ndef f(x):\n    return g(x)\n"
        "# --- middle.py\nfrom .deep import N\ndef g(x, *, y=N):\n    return x + y\n# --- deep.py\nN = 1\n",
        "deep.py",
        "N = 1",
        "N = 2",
        "middle.g:y",
    ),
    "own_default": case("def f(x, y=1):\n    return x + y\n", "main.py", "y=1", "y=2", "main.f:y"),
    "base_class": case(
        "from .middle import C\ndef f(x):\n    return C().m(x)\n"
        "# --- middle.py\nfrom .deep import B\nclass C(B):\n    pass\n"
        "# --- deep.py\nclass A:\n    def m(self, x):\n        return x\nclass B(A):\n    pass\n",
        "deep.py",
        "return x",
        "return -x",
        "deep.A",
        "deep.A.m",
    ),
    "other_base": case(
        "from .middle import C\ndef f(x):\n    return C().m(x)\n"
        "# --- middle.py\nfrom .deep import A, B\nclass C(A):\n    pass\n"
        "# --- deep.py\nclass A:\n    def m(self, x):\n        return x\nclass B:\n    def m(self, x):\n        return -x\n",
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
    ),
    "metaclass": case(
        "from .middle import C\ndef f(x):\n    return C(x)\n"
        "# --- middle.py\nfrom .deep import M\nclass C(metaclass=M):\n    pass\n"
        "# --- deep.py\nclass M(type):\n    def __call__(cls, x):\n        return x\n",
        "deep.py",
        "return x",
        "return -x",
        "deep.M",
        "deep.M.__call__",
    ),
    "class_attribute": case(
        "from .middle import C\ndef f(x):\n    return C.n\n# --- middle.py\nfrom .deep import N\nclass C:\n    n = N\n"
        "# --- deep.py\nN = 1\n",
        "deep.py",
        "N = 1",
        "N = 2",
        "middle.C.n",
        "middle.N",
    ),
    "property": case(
        "from .middle import C\ndef f(x):\n    return C().p\n"
        "# --- middle.py\nfrom .deep import h\nclass C:\n    @property\n    def p(self):\n        return h(1)\n"
        "# --- deep.py\ndef h(x):\n    return x\n",
        "deep.py",
        "return x",
        "return -x",
        "deep.h",
    ),
    "cached_property": case(
        "from .middle import C\ndef f(x):\n    return C().p\n"
        "# --- middle.py\nfrom functools import cached_property\nfrom .deep import h\nclass C:\n    @cached_property\n"
        "    def p(self):\n        return h(1)\n# --- deep.py\ndef h(x):\n    return x\n",
        "deep.py",
        "return x",
        "return -x",
        "deep.h",
    ),
    "static_method": case(
        "from .middle import C\ndef f(x):\n    return C.s(x)\n"
        "# --- middle.py\nfrom .deep import h\nclass C:\n    @staticmethod\n    def s(x):\n        return h(x)\n"
        "    @classmethod\n    def c(cls, x):\n        return cls.s(x)\n# --- deep.py\ndef h(x):\n    return x\n",
        "deep.py",
        "return x",
        "return -x",
        "deep.h",
    ),
    "partial_method": case(
        "from .middle import C\ndef f(x):\n    return C().m()\n"
        "# --- middle.py\nfrom functools import partialmethod\nfrom .deep import N\nclass C:\n    def n(self, x):\n"
        "        return x\n    m = partialmethod(n, N)\n# --- deep.py\nN = 1\n",
        "deep.py",
        "N = 1",
        "N = 2",
        "middle.C.m (partialmethod)",
        "middle.N",
    ),
    "bound_method": case(
        "from .middle import m\ndef f(x):\n    return m(x)\n"
        "# --- middle.py\nfrom .deep import C\nm = C(3).m\n"
        "# --- deep.py\nclass C:\n    def __init__(self, n):\n        self.n = n\n    def m(self, x):\n"
        "        return x * self.n\n",
        "middle.py",
        "C(3)",
        "C(4)",
        "main.m (method)",
    ),
    "nested_class": case(
        "from .middle import C\ndef f(x):\n    return C.D().m(x)\n"
        "# --- middle.py\nclass C:\n    class D:\n        def m(self, x):\n            return x\n",
        "middle.py",
        "return x",
        "return -x",
        "middle.C",
        "middle.C.D",
        "middle.C.D.m",
    ),
    "class_decorator": case(
        "from .middle import C\ndef f(x):\n    return C().m(x)\n"
        "# --- middle.py\nfrom .deep import patched\n@patched\nclass C:\n    pass\n"
        "# --- deep.py\ndef patched(cls):\n    cls.m = lambda self, x: x\n    return cls\n",
        "deep.py",
        "self, x: x",
        "self, x: -x",
        "deep.patched",
        "deep.patched.<locals>.<lambda>",
    ),
    "patched_class": case(
        "from . import middle\nfrom .deep import C\ndef f(x):\n    return C().m(x)\n"
        "# --- middle.py\nfrom .deep import C\ndef m(self, x):\n    return -x\nC.m = m\n"
        "# --- deep.py\nclass C:\n    def m(self, x):\n        return x\n",
        "middle.py",
        "return -x",
        "return x + 1",
        "middle.m",
    ),
    "dataclass": case(
        "from .middle import C\ndef f(x):\n    return C(x).y\n"
        "# --- middle.py\nfrom dataclasses import dataclass, field\n@dataclass(order=True)\nclass C:\n    x: int\n"
        "    y: list = field(default_factory=list)\n    z: int = 2\n",
        "middle.py",
        "order=True",
        "order=False",
        "middle.C",
    ),
    "dataclass_factory": case(
        "from .middle import C\ndef f(x):\n    return C(x).y\n"
        "# --- middle.py\nfrom dataclasses import dataclass, field\nfrom .deep import h\n@dataclass\nclass C:\n"
        "    x: int\n    y: list = field(default_factory=h)\n# --- deep.py\ndef h():\n    return []\n",
        "deep.py",
        "return []",
        "return [1]",
        "deep.h",
    ),
    "enum": case(
        "from .middle import Color\ndef f(x):\n    return Color.RED.value\n"
        "# --- middle.py\nimport enum\nfrom .deep import N\nclass Color(enum.Enum):\n    RED = N\n    BLUE = 'b'\n"
        "    def __str__(self):\n        return self.name.lower()\n"
        "class Flags(enum.IntFlag):\n    A = enum.auto()\n    B = enum.auto()\n# --- deep.py\nN = 1\n",
        "deep.py",
        "N = 1",
        "N = 2",
        "middle.Color (members)",
        "middle.N",
    ),
    "enum_with_new": case(
        "from .middle import Color, Flags\ndef f(x):\n    return Color.RED.value, Flags.A\n"
        "# --- middle.py\nimport enum\nclass Color(bytes, enum.Enum):\n    def __new__(cls, value):\n"
        "        made = bytes.__new__(cls, [value])\n        made._value_ = value + 1\n        return made\n    RED = 1\n"
        "class Flags(enum.IntFlag):\n    A = enum.auto()\n    B = enum.auto()\n",
        "middle.py",
        "value + 1",
        "value + 2",
        "middle.Color",
        "middle.Color (members)",
    ),
    "named_tuple": case(
        "from .middle import P, Q\ndef f(x):\n    return P(x), Q(x)\n"
        "# --- middle.py\nfrom collections import namedtuple\nfrom typing import NamedTuple\nclass P(NamedTuple):\n"
        "    x: int\n    y: int = 1\n    def m(self):\n        return self.x\nQ = namedtuple('Q', 'x y', defaults=[2])\n",
        "middle.py",
        "defaults=[2]",
        "defaults=[3]",
        "middle.Q._field_defaults",
    ),
    "abstract": case(
        "from .middle import C\ndef f(x):\n    return C().m(x)\n"
        "# --- middle.py\nfrom abc import ABC, abstractmethod\nfrom typing import Generic, Protocol, TypeVar\n"
        "T = TypeVar('T')\nclass P(Protocol):\n    def m(self, x): ...\nclass A(ABC, Generic[T]):\n    @abstractmethod\n"
        "    def m(self, x):\n        return x\nclass C(A[int], P):\n    def m(self, x):\n        return super().m(x)\n",
        "middle.py",
        "        return x\n",
        "        return -x\n",
        "middle.A",
        "middle.A.m",
    ),
    "dictionary_of_functions": case(
        "from .middle import TABLE\ndef f(x):\n    return TABLE['h'](x)\n"
        "# --- middle.py\nfrom .deep import h, k\nTABLE = {'h': h, 'k': [k]}\n"
        "# --- deep.py\ndef h(x):\n    return x\ndef k(x):\n    return 1\n",
        "deep.py",
        "return x",
        "return -x",
        "deep.h",
    ),
    "configured_instance": case(
        "from .middle import MODEL\ndef f(x):\n    return MODEL.run(x)\n"
        "# --- middle.py\nfrom .deep import Model\nMODEL = Model(3, {'a': [1.5]})\n"
        "# --- deep.py\nclass Model:\n    def __init__(self, n, more):\n        self.n = n\n        self.more = more\n"
        "    def run(self, x):\n        return x * self.n\n",
        "middle.py",
        "1.5",
        "2.5",
        "main.MODEL",
    ),
    "class_of_instance": case(
        "from .middle import MODEL\ndef f(x):\n    return MODEL.run(x)\n"
        "# --- middle.py\nfrom .deep import Model\nMODEL = Model()\n"
        "# --- deep.py\nclass Model:\n    def run(self, x):\n        return x\n",
        "deep.py",
        "return x",
        "return -x",
        "deep.Model",
        "deep.Model.run",
    ),
    "regular_expression": case(
        "from .middle import WORD\ndef f(x):\n    return WORD.match(x)\n# --- middle.py\nimport re\nWORD = re.compile('a+')\n",
        "middle.py",
        "'a+'",
        "'a*'",
        "main.WORD",
    ),
    "nested_function": case(
        f"from .middle import g\ndef f(x):\n    def inner(y):\n        return g(y)\n    return inner(x)\n{DEEP}",
        "deep.py",
        "x + 1",
        "x + 2",
        "deep.h",
    ),
    "lambda": case(f"from .middle import g\nf = lambda x: [g(x)]\n{DEEP}", "deep.py", "x + 1", "x + 2", "deep.h"),
    "lambda_on_one_line": case(
        "from .middle import p\ndef f(x):\n    return p(x)\n# --- middle.py\nq, p = lambda x: x + 1, (lambda x: x + 2)\n",
        "middle.py",
        "x + 2",
        "x + 3",
        "middle.<lambda>",
    ),
    "comprehension": case(
        f"from .middle import g\ndef f(x):\n    return [g(y) for y in range(x) if g(y)]\n{DEEP}",
        "deep.py",
        "x + 1",
        "x + 2",
        "deep.h",
    ),
    "generator": case(
        "from .middle import g\ndef f(x):\n    return sum(g(x))\n"
        "# --- middle.py\nfrom .deep import h\ndef g(x):\n    yield from (h(y) for y in range(x))\n"
        "async def unused():\n    pass\n# --- deep.py\ndef h(x):\n    return x\n",
        "deep.py",
        "return x",
        "return -x",
        "deep.h",
    ),
    "class_in_function": case(
        f"from .middle import g\ndef f(x):\n    class C:\n        y = g(x)\n    return C.y\n{DEEP}",
        "deep.py",
        "x + 1",
        "x + 2",
        "deep.h",
    ),
    "import_in_body": case(
        f"def f(x):\n    from .middle import g\n    return g(x)\n{DEEP}", "deep.py", "x + 1", "x + 2", "deep.h"
    ),
    "import_of_module_in_body": case(
        f"def f(x):\n    from . import middle as m\n    return m.g(x)\n{DEEP}", "deep.py", "x + 1", "x + 2", "deep.h"
    ),
    "import_by_full_name_in_body": case(
        f"def f(x):\n    import {{}}.middle\n    return {{}}.middle.g(x)\n{DEEP}", "deep.py", "x + 1", "x + 2", "deep.h"
    ),
    "global_value": case(
        "from . import middle\ndef f(x):\n    return middle.g(x)\n"
        "# --- middle.py\nfrom .deep import RATE\ndef g(x):\n    return x * RATE\n# --- deep.py\nRATE = 1.5\n",
        "deep.py",
        "1.5",
        "2.5",
        "middle.RATE",
    ),
    "computed_value": case(
        "from .middle import TABLE\ndef f(x):\n    return TABLE[x]\n"
        "# --- middle.py\nfrom .deep import h\nTABLE = [h(x) for x in range(3)]\n# --- deep.py\ndef h(x):\n    return x\n",
        "deep.py",
        "return x",
        "return -x",
        "main.TABLE",
    ),
    "global_statement": case(
        "n = 1\ndef f(x):\n    global n\n    n += x\n    return n\n", "main.py", "n = 1", "n = 2", "main.n"
    ),
    "function_attribute": case(
        "from .middle import g\ndef f(x):\n    return g.n\n# --- middle.py\ndef g(x):\n    return x\ng.n = 1\n",
        "middle.py",
        "g.n = 1",
        "g.n = 2",
        "main.g.n",
    ),
    "shadowed_builtin": case(
        "from .middle import len\ndef f(x):\n    return len(x)\n# --- middle.py\ndef len(x):\n    return 1\n",
        "middle.py",
        "return 1",
        "return 2",
        "middle.len",
    ),
    "module_as_a_whole": case(
        f"from . import middle\ndef f(x):\n    return getattr(middle, 'g')(x)\n{DEEP}",
        "deep.py",
        "x + 1",
        "x + 2",
        "deep.h",
    ),
    "mutual_recursion": case(
        "from .middle import even\ndef f(x):\n    return even(x)\n"
        "# --- middle.py\ndef even(x):\n    return x == 0 or odd(x - 1)\ndef odd(x):\n    return x != 0 and even(x - 1)\n",
        "middle.py",
        "x != 0",
        "x > 0",
        "middle.odd",
    ),
    "recursive_closure": case(
        "from .middle import make\ng = make(2)\ndef f(x):\n    return g(x)\n"
        "# --- middle.py\ndef make(n):\n    def count(x):\n        return 0 if x == 0 else count(x - 1) + n\n    return count\n",
        "main.py",
        "make(2)",
        "make(3)",
        "middle.make.<locals>.count:n",
    ),
    "lazy_module": case(
        "from . import middle\ndef f(x):\n    return middle.h(x)\n"
        "# --- middle.py\ndef __getattr__(name):\n    from . import deep\n    return getattr(deep, name)\n"
        "# --- deep.py\ndef h(x):\n    return x\n",
        "deep.py",
        "return x",
        "return -x",
        "deep.h",
    ),
    "method_and_self": case(
        "from .middle import C\nf = C.m\n"
        "# --- middle.py\nclass C:\n    def m(self, x):\n        return self.n(x)\n    def n(self, x):\n        return x\n",
        "middle.py",
        "return x",
        "return -x",
        "middle.C",
        "middle.C.n",
    ),
    "pydantic": case(
        "from .middle import M\ndef f(x):\n    return M(x=x).x\n"
        "# --- middle.py\nfrom pydantic import BaseModel, field_validator\nfrom .deep import h\nclass M(BaseModel):\n"
        "    x: int\n    y: float = 1.0\n    @field_validator('x')\n    @classmethod\n    def check(cls, v):\n"
        "        return h(v)\n# --- deep.py\ndef h(x):\n    return x\n",
        "deep.py",
        "return x",
        "return -x",
        "deep.h",
    ),
    "pydantic_field": case(
        "from .middle import M\ndef f(x):\n    return M(x=x).x\n"
        "# --- middle.py\nfrom pydantic import BaseModel, Field\nclass M(BaseModel):\n    x: int = Field(ge=1)\n",
        "middle.py",
        "ge=1",
        "ge=2",
        "middle.M",
    ),
    "array": case(
        "from .middle import A\ndef f(x):\n    return A * x\n# --- middle.py\nimport numpy as np\nA = np.arange(3)\n",
        "middle.py",
        "arange(3)",
        "arange(4)",
        "main.A",
    ),
}
"""By name; ``{}`` in a file stands for the name of the package."""
