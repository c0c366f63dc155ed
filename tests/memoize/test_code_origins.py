"""What is followed: the project's code, editable installs included; other packages go by their versions; and what has
no hash is told, or does no harm."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import logging
import multiprocessing
import os
import sys
import threading
import typing
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import UnhashableError
from holdfast.memoize.canonical import Canonical
from holdfast.memoize.code import Codes

from .code_modules import Modules, modules, run  # noqa: F401
from .code_packages import install

USER = """
import json, site, sys
site.addsitedir(sys.argv[1])
import kit.tools as t
from kit.tools import scale
from kit import Base, deco
class Mine(Base):
    pass
@deco(3)
def inner(x): return x
def f(x): return t.scale(x), scale(x), Mine(), inner(x)
from holdfast.memoize.code import Codes
print(json.dumps(Codes().fingerprint(f).parts))
"""

KIT = {
    "kit/__init__.py": "class Base:\n    def m(self): return 1\n"
    "def deco(n):\n    def decorate(function):\n        return lambda x: function(x) * n\n    return decorate\n",
    "kit/tools.py": "def scale(x): return x\n",
}


def parts(folder: Path, site: Path, program: str = USER) -> dict[str, str]:
    import json

    (folder / "user.py").write_text(program)
    found: dict[str, str] = json.loads(run("user.py", site, folder=folder))
    return found


def test_another_package_goes_by_its_version(tmp_path: Path) -> None:
    site = install(tmp_path / "a", "the-kit", "1.0", KIT)
    one = parts(tmp_path, site)
    assert one["the-kit"] == "1.0"
    assert not any(name.startswith("kit.") and len(text) == 32 for name, text in one.items())
    assert "user.inner" in one  # what its decorator was given

    newer = parts(tmp_path, install(tmp_path / "b", "the-kit", "1.1", KIT))
    assert {name for name in one if one[name] != newer[name]} == {"the-kit"}
    changed = {**KIT, "kit/tools.py": "def scale(x): return -x\n"}
    assert parts(tmp_path, install(tmp_path / "c", "the-kit", "1.0", changed)) == one
    other = parts(tmp_path, site, USER.replace("@deco(3)", "@deco(4)"))
    assert one != other


def test_an_editable_install_is_the_project(tmp_path: Path) -> None:
    site = install(tmp_path / "a", "the-kit", "1.0", KIT, editable=True)
    one = parts(tmp_path, site)
    assert "the-kit" not in one
    assert {"kit.tools.scale", "kit.Base", "kit.Base.m"} <= one.keys()
    changed = {**KIT, "kit/tools.py": "def scale(x): return -x\n"}
    other = parts(tmp_path, install(tmp_path / "b", "the-kit", "1.0", changed, editable=True))
    assert {name for name in one if one[name] != other[name]} == {"kit.tools.scale"}


def test_a_package_that_nobody_installed_is_followed_or_goes_by_the_version_it_has(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    for name, text in KIT.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    assert "kit.tools.scale" in parts(tmp_path, site)
    (site / "kit" / "__init__.py").write_text(KIT["kit/__init__.py"] + "__version__ = '7'\n")
    assert parts(tmp_path, site)["kit"] == "7"


def test_a_version_that_was_loaded_before_another_was_installed(tmp_path: Path) -> None:
    versioned = {**KIT, "kit/__init__.py": KIT["kit/__init__.py"] + "__version__ = '1.0'\n"}
    site = install(tmp_path / "a", "the-kit", "1.1", versioned)
    assert parts(tmp_path, site)["the-kit"] == "1.1 (loaded: 1.0)"


def test_this_library_does_not_count(tmp_path: Path, modules: Modules) -> None:  # noqa: F811
    module = modules(
        uses="import holdfast\nfrom holdfast import NotFoundError as E\ndef f(x):\n    try:\n"
        "        return holdfast.open(x)\n    except E:\n        return None\n"
    )
    assert set(Codes().fingerprint(module.f).parts) == {
        "function (name)",
        "uses.E (name)",
        "uses.f",
        "uses.holdfast (name)",
    }


def test_a_memoized_function_goes_by_what_it_memoizes(tmp_path: Path, modules: Modules) -> None:  # noqa: F811
    text = (
        "import holdfast\nstore = holdfast.open({path!r})\n@store.memoize{options}\ndef g(x): return x\n"
        "def f(x): return g(x), store.get('a')\n"
    )

    def made(name: str, options: str = "", body: str = "return x\n") -> dict[str, str]:
        module = modules(**{name: text.format(path=str(tmp_path / "s"), options=options).replace("return x\n", body)})
        parts = Codes().fingerprint(module.f).parts
        module.store.close()
        return {part.replace(name, "m"): value.replace(name, "m") for part, value in parts.items()}

    plain = made("memo_1")
    assert made("memo_2", "(max_entries=3)") == plain
    assert made("memo_3", body="return -x\n") != plain
    versioned = made("memo_4", "(version=1)")
    assert versioned != plain
    assert made("memo_5", "(version=1)", body="return -x\n") == versioned
    assert made("memo_6", "(version=2)") != versioned


def test_a_memoized_function_in_a_value_or_an_argument_goes_by_what_it_memoizes(
    tmp_path: Path,
    modules: Modules,  # noqa: F811
) -> None:
    text = "import holdfast\nstore = holdfast.open({path!r})\n@store.memoize\ndef g(x): return x\nclass A:\n"
    text += "    @store.memoize\n    def m(self): return 1\nTABLE = {{'g': [g], 'm': A().m}}\n"
    text += "def f(x): return TABLE['g'][0](x)\n"
    found = []
    for old, new in [("", ""), ("return x\n", "return -x\n"), ("return 1\n", "return 2\n"), ("", "")]:
        module = modules(memo=text.format(path=str(tmp_path / "s")).replace(old, new))
        codes = Codes()
        digests = codes.tag(module.f), codes.tag(module.g), codes.tag(module.A().m)
        for function in (module.g, module.A().m):
            assert codes.tag(function) in Canonical(codes.tag).encode([function])
        found.append([digest.hex() for digest in digests])
        module.store.close()
    (f, g, m), (other_f, other_g, same_m), (another_f, same_g, other_m), again = found
    assert len({f, other_f, another_f}) == 3
    assert g == same_g != other_g
    assert m == same_m != other_m
    assert [f, g, m] == again


OPAQUE = """
import json, site, sys
site.addsitedir(sys.argv[1])
import fast
N = 1
@fast.compiled(level=N)
def inner(x: int) -> int: return x
@fast.checked
def other(x: int): return x
def f(x): return inner(x), other(x)
from holdfast.memoize.code import Codes
print(json.dumps(Codes().fingerprint(f).parts))
"""

FAST = """
import functools
class Compiled:
    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.__dict__["machine_code"] = iter([])
    def __call__(self, x): return self.__wrapped__(x)
def compiled(level): return Compiled
def checked(function):
    @functools.wraps(function)
    def call(*args): return function(*args)
    return call
"""


def test_what_another_packages_decorator_was_told_counts(tmp_path: Path) -> None:
    site = install(tmp_path, "fast", "1", {"fast.py": FAST})
    one = parts(tmp_path, site, OPAQUE)
    assert parts(tmp_path, site, OPAQUE.replace("return x\n", "return x  # so\n")) == one
    for old, new, part in [
        ("level=N", "level=-N", "user.inner (Compiled) (decorators)"),
        ("N = 1", "N = 2", "user.N"),
        ("x: int) ->", "x: str) ->", "user.inner (Compiled) (decorators)"),
        ("inner(x: int) -> int: return x", "inner(x: int) -> int: return -x", "user.inner"),
        ("other(x: int)", "other(x: str)", "user.other (fast.checked.<locals>.call) (decorators)"),
    ]:
        assert OPAQUE.count(old) == 1
        changed = parts(tmp_path, site, OPAQUE.replace(old, new))
        assert [name for name in one if one[name] != changed[name]] == [part]


# --- what has no hash -------------------------------------------------------------------------------------------------

BROKEN = """
import sqlite3
import functools
CONNECTION = sqlite3.connect(":memory:")
class A:
    connection = sqlite3.connect(":memory:")
class B:
    def __init__(self): self.path = {"a": [CONNECTION]}
MODEL = B()
def by_global(x): return CONNECTION.execute(x)
def by_helper(x): return by_global(x)
def by_default(x, to=CONNECTION): return to
def by_class(): return A
def by_instance(): return MODEL
def make(connection): return lambda: connection
by_closure = make(CONNECTION)
part = functools.partial(by_helper, CONNECTION)
def by_partial(): return part
"""

SAID = {
    "by_global": "the global 'CONNECTION' of module broken: a sqlite3.Connection has no hash",
    "by_helper": "broken.by_global uses it",
    "by_default": "the default of 'to' of broken.by_default: a sqlite3.Connection",
    "by_class": "the attribute 'connection' of class broken.A: a sqlite3.Connection",
    "by_instance": "the global 'MODEL' of module broken.path['a'][0]: a sqlite3.Connection",
    "by_closure": "the variable 'connection' around broken.make.<locals>.<lambda>: a sqlite3.Connection",
    "by_partial": "args of broken.part (partial)[0]: a sqlite3.Connection",
}


@pytest.mark.parametrize("name", SAID)
def test_what_has_no_hash_is_told(name: str, modules: Modules) -> None:  # noqa: F811
    module = modules(broken=BROKEN)
    with pytest.raises(UnhashableError) as caught:
        Codes().fingerprint(getattr(module, name))
    assert SAID[name] in str(caught.value)
    assert "pass version=" in str(caught.value)
    module.CONNECTION.close()
    module.A.connection.close()


T = typing.TypeVar("T")

HARMLESS: dict[str, Callable[[], Any]] = {
    "a logger": lambda: logging.getLogger("a"),
    "the root logger": lambda: logging.getLogger(),
    "an adapter of a logger": lambda: logging.LoggerAdapter(logging.getLogger("a"), {}),
    "a lock": threading.Lock,
    "a lock that can be taken twice": threading.RLock,
    "an event": threading.Event,
    "a condition": threading.Condition,
    "a semaphore": threading.BoundedSemaphore,
    "values of a thread": threading.local,
    "a lock of asyncio": asyncio.Lock,
    "an event of asyncio": asyncio.Event,
    "a semaphore of asyncio": lambda: asyncio.Semaphore(3),
    "a lock of processes": multiprocessing.Lock,
    "an event of processes": multiprocessing.Event,
    "a context variable": lambda: contextvars.ContextVar("x"),
    "a pool": lambda: concurrent.futures.ThreadPoolExecutor(1),
    "a type variable": lambda: T,
    "an annotation": lambda: typing.Optional[list[int]],  # noqa: UP045
    "a standard stream": lambda: sys.stdout,
    "a weak dictionary": weakref.WeakKeyDictionary,
    "the environment": lambda: os.environ,
    "a union": lambda: int | str,
    "all of them": lambda: [threading.Lock(), {"log": logging.getLogger("b")}],
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_can_change_no_result_does_no_harm(name: str) -> None:
    value, other = HARMLESS[name](), HARMLESS[name]()

    def using(value: Any) -> Callable[[], Any]:
        return lambda: value

    codes = Codes()
    found = codes.fingerprint(using(value))
    assert found.digest == codes.fingerprint(using(other)).digest
    assert found.current()


def test_annotations_differ_by_what_they_say() -> None:
    annotations: list[Any] = [int | str, int | None, typing.List[int], typing.List[str], list[int], typing.Literal[1]]  # noqa: UP006

    def using(value: Any) -> Callable[[], Any]:
        return lambda: value

    assert len({Codes().fingerprint(using(one)).digest for one in annotations}) == len(annotations)


def test_stores_and_scopes_do_no_harm(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "a") as one, holdfast.open(tmp_path / "b") as other:

        def using(store: Any) -> Callable[[], Any]:
            return lambda: store.get("a")

        codes = Codes()
        assert codes.fingerprint(using(one)).digest == codes.fingerprint(using(other)).digest
        assert codes.fingerprint(using(one.namespace("a"))).current()
