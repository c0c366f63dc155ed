"""Whether a fingerprint still holds in the process that made it, whatever was put in the place of what it rests on."""

from __future__ import annotations

import functools
import gc
import importlib
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from holdfast.memoize.code import Codes

from .code_modules import Modules, modules  # noqa: F401

USER = """
import helper
import functools
from helper import scale as other
LIMIT = 3
def f(x):
    helper.absent if x < 0 else None
    g.n, size(x), MISSING, len([])
    return helper.scale(x), other(x), LIMIT, helper.TABLE, helper.Model.rate, helper.MODEL
def g(x):
    return x
g.n = 1
def make():
    k = 1
    def inner(x):
        return k + later(x) if x else 0
    def change(value):
        nonlocal k
        k = value
    def define():
        nonlocal later
        later = abs
    if 0:
        later = None
    return inner, change, define
inner, change, define = make()
@functools.singledispatch
def size(x):
    return inner(x)
UNUSED = 1
"""

HELPER = """
import numpy as np
TABLE = {"a": [1, 2]}
ARRAY = np.arange(3)
class Base:
    def run(self):
        return 1
class Other:
    def run(self):
        return 2
class Model(Base):
    rate = 2
    def __init__(self, n):
        self.n = n
        self.more = [n]
    def method(self):
        return ARRAY
MODEL = Model(3)
def scale(x, by=2, *, to=3):
    return x * by
def another(x, by=2, *, to=3):
    return x + by
"""


def set_code(helper: Any, _: Any) -> None:
    helper.scale.__code__ = helper.another.__code__


def change_array(helper: Any, _: Any) -> None:
    helper.ARRAY[1] = 9


def delete_global(helper: Any, _: Any) -> None:
    del helper.TABLE


CHANGES: dict[str, Callable[[Any, Any], Any]] = {
    "a global": lambda helper, user: setattr(user, "LIMIT", 4),
    "a global to an equal value of another type": lambda helper, user: setattr(user, "LIMIT", 3.0),
    "a function by its module": lambda helper, user: setattr(helper, "scale", helper.another),
    "a function by its alias": lambda helper, user: setattr(user, "other", helper.another),
    "a module": lambda helper, user: setattr(user, "helper", user),
    "code": set_code,
    "defaults": lambda helper, user: setattr(helper.scale, "__defaults__", (3,)),
    "keyword defaults": lambda helper, user: setattr(helper.scale, "__kwdefaults__", {"to": 4}),
    "a class attribute": lambda helper, user: setattr(helper.Model, "rate", 3),
    "a method": lambda helper, user: setattr(helper.Model, "method", lambda self: 2),
    "a method of a base class": lambda helper, user: setattr(helper.Base, "run", lambda self: 2),
    "a new method": lambda helper, user: setattr(helper.Model, "run", lambda self: 2),
    "a new special method that is no function": lambda helper, user: setattr(helper.Model, "__call__", len),
    "a new special method": lambda helper, user: setattr(helper.Model, "__call__", lambda self: 2),
    "a special method of a partial": lambda helper, user: setattr(helper.Model, "__len__", functools.partial(len, "a")),
    "the bases": lambda helper, user: setattr(helper.Model, "__bases__", (helper.Other,)),
    "a dictionary": lambda helper, user: helper.TABLE.update(b=1),
    "a list in a dictionary": lambda helper, user: helper.TABLE["a"].append(3),
    "an instance": lambda helper, user: setattr(helper.MODEL, "n", 4),
    "a list in an instance": lambda helper, user: helper.MODEL.more.append(4),
    "an array": change_array,
    "a name that was missing": lambda helper, user: setattr(user, "MISSING", 1),
    "an attribute that was missing": lambda helper, user: setattr(helper, "absent", 1),
    "a built-in": lambda helper, user: setattr(user, "len", helper.another),
    "an attribute of a function": lambda helper, user: setattr(user.g, "n", 2),
    "a variable of a closure": lambda helper, user: user.change(2),
    "a variable of a closure that was not set": lambda helper, user: user.define(),
    "a new kind of a generic function": lambda helper, user: user.size.register(int, helper.another),
    "deleting a global": delete_global,
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_put_in_place_is_noticed(modules: Modules, name: str) -> None:  # noqa: F811
    user = modules(user=USER, helper=HELPER)
    codes = Codes()
    before = codes.fingerprint(user.f)
    assert before.current()
    assert before.digest == codes.fingerprint(user.f).digest == Codes().fingerprint(user.f).digest
    CHANGES[name](user.helper, user)
    assert not before.current()
    after = codes.fingerprint(user.f)
    assert after.current()
    assert before.digest != after.digest
    assert before.parts != after.parts


def test_what_is_not_used_is_not_watched(modules: Modules) -> None:  # noqa: F811
    user = modules(user=USER, helper=HELPER)
    before = Codes().fingerprint(user.f)
    user.UNUSED = 2
    user.new = 1
    user.helper.another.__defaults__ = (4,)
    user.helper.Other.run = None
    user.g.m = 2
    assert before.current()
    assert before.digest == Codes().fingerprint(user.f).digest


def test_what_is_put_back_is_the_same_again(modules: Modules) -> None:  # noqa: F811
    user = modules(user=USER, helper=HELPER)
    codes = Codes()
    before = codes.fingerprint(user.f)
    user.LIMIT, user.helper.MODEL.n = 4, 4
    assert not before.current()
    user.LIMIT, user.helper.MODEL.n = 3, 3
    assert before.current()
    user.helper.TABLE = {"a": [1, 2]}  # another one, but equal
    assert not before.current()
    assert before.digest == codes.fingerprint(user.f).digest


def test_a_reloaded_module_is_noticed(modules: Modules) -> None:  # noqa: F811
    user = modules(user=USER, helper=HELPER)
    codes = Codes()
    before = codes.fingerprint(user.f)
    modules.write(helper=HELPER.replace("return x * by", "return x - by"))
    importlib.reload(user.helper)
    assert not before.current()
    changed = codes.fingerprint(user.f)
    assert changed.digest != before.digest


def test_an_array_is_read_again_only_where_it_is_used(modules: Modules) -> None:  # noqa: F811
    user = modules(user="import numpy as np\nA = np.zeros(3)\nB = (1, 'b', (2.0, None))\ndef f(): return A, B\n")
    before = Codes().fingerprint(user.f)
    assert before.current()
    user.A[0] = 1
    assert not before.current()
    user.A[0] = 0
    assert before.current()
    user.A = np.zeros(3)
    assert before.digest == Codes().fingerprint(user.f).digest


def test_another_object_in_the_place_of_one_that_is_gone_is_noticed(modules: Modules) -> None:  # noqa: F811
    module = modules(
        table="import functools\ndef h(x): return x\nTABLE = {'h': functools.partial(h, 0)}\ndef f(): return TABLE\n"
    )
    codes = Codes()
    for number in range(1, 12):
        before = codes.fingerprint(module.f)
        gc.collect()
        del module.TABLE["h"]  # whose memory the next one may get
        module.TABLE["h"] = functools.partial(module.h, number)
        assert not before.current()


# --- which function ---------------------------------------------------------------------------------------------------


def test_functions_of_one_name_are_told_apart() -> None:
    codes = Codes()

    def make(k: Any) -> Any:
        return lambda x: x + k

    table = {"a": lambda x: x + 1, "b": lambda x: x + 2}
    found = [make(1), make(2), make([1]), table["a"], table["b"], lambda: make(1), lambda: table]
    assert len({codes.fingerprint(function).digest for function in found}) == len(found)
    assert codes.fingerprint(make(1)).digest == codes.fingerprint(make(1)).digest


def test_two_functions_that_call_each_other_are_told_apart(modules: Modules) -> None:  # noqa: F811
    both = modules(both="def f(x): return x and g(x - 1)\ndef g(x): return not x or f(x - 1)\n")
    codes = Codes()
    one, other = codes.fingerprint(both.f), codes.fingerprint(both.g)
    assert one.digest != other.digest
    assert {name for name in one.parts if one.parts[name] != other.parts[name]} == {"function (name)"}


def test_a_redefined_function_is_another_one(modules: Modules) -> None:  # noqa: F811
    module = modules(again="def f(x): return x\nold = f\ndef f(x): return -x\ndef g(x): return f(x), old(x)\n")
    codes = Codes()
    assert codes.fingerprint(module.f).digest != codes.fingerprint(module.old).digest
    parts = codes.fingerprint(module.g).parts
    assert parts["again.old (name)"] == "again.f #2"
    assert parts["again.f"] != parts["again.f #2"]


# --- tags of code that is an argument ---------------------------------------------------------------------------------

TAGGED = """
import functools, enum
N = 1
def h(x): return x * N
def f(x): return h(x)
class A:
    def m(self, x): return h(x)
    @classmethod
    def c(cls): return 1
    @staticmethod
    def s(): return 2
class B(A):
    n = 1
class E(enum.Enum):
    X = 1
@functools.lru_cache
def cached(x): return h(x)
p = functools.partial(h, 1)
class Call:
    def __init__(self, k): self.k = k
    def __call__(self): return self.k
"""


def test_tags_are_by_what_code_does(modules: Modules) -> None:  # noqa: F811
    m = modules(tagged=TAGGED)
    codes = Codes()
    things = [
        *(m.f, m.h, m.A, m.B, m.E, m.A().m, m.B().m, m.A.c, m.B.c, m.A.s, m.cached, m.p, m, len, [].append, [1].append),
        *(str.upper, int, np.ndarray, np.sum, np.add, lambda: 1, lambda: 2, m.Call(1), m.Call(2), str.join, "a".join),
    ]
    tags = [codes.tag(thing) for thing in things]
    assert len(set(tags)) == len(things)
    assert {len(tag) for tag in tags} == {16}
    assert tags == [codes.tag(thing) for thing in things] == [Codes().tag(thing) for thing in things]
    m.N = 2
    changed = [thing for thing, tag in zip(things, tags, strict=True) if codes.tag(thing) != tag]
    assert changed == [thing for thing in things[:13] if thing is not m.E]


def test_the_tag_of_a_patched_class_is_another(modules: Modules) -> None:  # noqa: F811
    m = modules(tagged=TAGGED)
    codes = Codes()
    before = codes.tag(m.B)
    m.A.m = lambda self, x: 0
    assert codes.tag(m.B) != before


def test_nothing_that_was_tagged_in_passing_is_kept() -> None:
    codes = Codes()

    class Big:
        n = 1

        def __init__(self) -> None:
            self.n = 2

    def tag() -> Any:
        big = Big()
        codes.tag(lambda: big)
        return weakref.ref(big)

    gone = tag()
    gc.collect()
    assert gone() is None


def test_threads_make_the_same_fingerprints(modules: Modules) -> None:  # noqa: F811
    user = modules(user=USER, helper=HELPER)
    codes = Codes()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: codes.fingerprint(user.f).digest, range(40)))
    assert set(found) == {Codes().fingerprint(user.f).digest}


def test_what_python_adds_to_a_class_by_itself_is_no_change() -> None:
    from dataclasses import dataclass

    @dataclass
    class Beam:
        length: float

        def weight(self) -> float:
            return self.length

    found = Codes().fingerprint(Beam)
    assert Beam(1.0).__reduce_ex__(4)
    assert "__slotnames__" in vars(Beam)
    assert found.current()
    Beam.width = 2.0  # type: ignore[attr-defined]
    assert not found.current()
