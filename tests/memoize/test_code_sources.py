"""Fingerprints of code whose source was edited, typed in or is not there, and of programs that run in several ways."""

from __future__ import annotations

import doctest
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from holdfast.memoize.code import Codes

from .code_modules import Modules, modules, run  # noqa: F401

PRINT = "from holdfast.memoize.code import Codes\nprint(Codes().fingerprint({}).digest.hex())\n"


def last(text: str) -> str:
    return text.splitlines()[-1].rpartition(" ")[2]


# --- a file that was edited after it was imported ---------------------------------------------------------------------

EDITED = """
import dataclasses, functools, sys
import helper
def f(x): return helper.h(x), helper.C, helper.D, helper.RATE, helper.wrapped
if __name__ == "__main__":
    old, new = sys.argv[1:]
    path = helper.__file__
    if old:
        text = open(path).read()
        assert text.count(old) == 1
        open(path, "w").write(text.replace(old, new))
    from holdfast.memoize.code import Codes
    print(Codes().fingerprint(f).digest.hex())
"""

HELPER = """
import dataclasses
import kit
RATE = 3
def h(x, y=1):
    return x + 2
class C:
    n = 4
    def m(self):
        return 5
@dataclasses.dataclass(order=True)
class D:
    x: int
@kit.opaque(fast=6)
def wrapped(x):
    return 7
"""

KIT = """
import functools
class Opaque:
    def __init__(self, function, fast):
        functools.update_wrapper(self, function)
        self.__dict__["native"] = object(), fast
    def __call__(self, x):
        return self.__wrapped__(x)
def opaque(fast):
    return lambda function: Opaque(function, fast)
__version__ = "1"
"""

EDITS = [
    ("return x + 2", "return x + 3"),
    ("y=1", "y=2"),
    ("RATE = 3", "RATE = 4"),
    ("n = 4", "n = 5"),
    ("return 5", "return 6"),
    ("order=True", "order=False"),
    ("x: int", "x: str"),
    ("fast=6", "fast=7"),
    ("return 7", "return 8"),
    ("def h(x", "def k(x): pass\ndef h(x"),
]


@pytest.mark.parametrize(
    "old, new",
    [
        pytest.param(*edit, id=edit[0], marks=pytest.mark.long if number % 3 else [])
        for number, edit in enumerate(EDITS)
    ],
)
def test_what_ran_before_an_edit_is_not_taken_for_what_runs_after(old: str, new: str, tmp_path: Path) -> None:
    (tmp_path / "edited.py").write_text(EDITED)
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "kit.py").write_text(KIT)
    path = {"PYTHONPATH": str(tmp_path / "site-packages")}

    def fingerprint(old: str = "", new: str = "") -> str:
        return run("edited.py", old, new, folder=tmp_path, **path)

    before = fingerprint()
    assert fingerprint() == before
    meanwhile = fingerprint(old, new)
    after = fingerprint()
    assert fingerprint() == after
    assert meanwhile != after
    assert (after == before) == new.startswith("def k")


# --- code without source ----------------------------------------------------------------------------------------------

TYPED = """import math
N = 1
def h(x): return math.sqrt(x) + N
class A:
    k: int = 1
    def m(self): return h(1)
def f(x): return h(x), A().m()
"""


def executed(text: str) -> str:
    space: dict[str, Any] = {}
    exec(text, space)
    return Codes().fingerprint(space["f"]).digest.hex()


def test_code_of_exec_is_known_by_what_it_does() -> None:
    digest = executed(TYPED)
    assert executed(TYPED) == digest
    assert executed("\n# moved\n" + TYPED) == digest
    for old, new in [("sqrt", "sin"), ("N = 1", "N = 2"), ("+ N", "- N"), ("h(1)", "h(2)"), ("k: int", "k: str")]:
        assert executed(TYPED.replace(old, new)) != digest
    assert executed(TYPED.replace("k: int = 1", "k: int = 2")) != digest


def test_a_dataclass_of_exec_is_known_by_its_fields() -> None:
    text = "from dataclasses import dataclass, field\n@dataclass\nclass A:\n    x: int = field(default_factory=list)\n"
    text += "def f(): return A\n"
    digest = executed(text)
    assert executed(text) == digest
    assert executed(text.replace("list", "dict")) != digest
    assert executed(text.replace("int", "float")) != digest


def test_functions_in_c_are_known_by_their_name() -> None:
    codes = Codes()
    functions = [math.sqrt, math.sin, len, str.upper, np.add, np.dot, {}.get, {"a": 1}.get, np.random.rand]
    assert len({codes.fingerprint(function).digest for function in functions}) == len(functions)
    assert codes.fingerprint(math.sqrt).parts == {"function (name)": "math.sqrt"}
    assert codes.fingerprint(np.add).parts == {"function (name)": "numpy.add", "numpy": np.__version__}
    import random

    assert codes.fingerprint(random.random).parts == {"function (name)": "random.random"}


def test_a_rewritten_assertion_has_code_of_its_own() -> None:
    def f(x: int) -> int:
        assert x
        return x

    def g(x: int) -> int:
        assert not x
        return x

    codes = Codes()
    assert codes.fingerprint(f).current()
    assert codes.fingerprint(f).digest != codes.fingerprint(g).digest


@pytest.mark.parametrize(
    "command",
    [["-c"], pytest.param(["-"], marks=pytest.mark.long), ["-i"]],
    ids=["-c", "stdin", "prompt"],
)
def test_code_that_is_typed_in(command: list[str], tmp_path: Path) -> None:
    def typed(text: str) -> str:
        if command == ["-c"]:
            return last(run("-c", text, folder=tmp_path))
        if command == ["-i"]:
            text = text.replace("\ndef", "\n\ndef").replace("\nclass", "\n\nclass").replace("\nfrom", "\n\nfrom")
        return last(run(*command, folder=tmp_path, text=text))

    program = TYPED + PRINT.format("f")
    digest = typed(program)
    assert len(digest) == 32
    assert typed(program) == digest
    for old, new in [("sqrt", "sin"), ("N = 1", "N = 2"), ("h(1)", "h(2)")]:
        assert typed(program.replace(old, new)) != digest


def test_examples_in_documents(capsys: pytest.CaptureFixture[str]) -> None:
    def examples(text: str) -> str:
        test = doctest.DocTestParser().get_doctest(
            f">>> def h(x):\n...     return {text}\n>>> def f(x): return h(x)\n"
            ">>> from holdfast.memoize.code import Codes\n>>> print(Codes().fingerprint(f).digest.hex())\n",
            {},
            "name",
            None,
            None,
        )
        said: list[str] = []
        doctest.DocTestRunner(verbose=False).run(test, out=said.append)
        return next(line for text in said for line in reversed(text.split()) if len(line) == 32)

    assert examples("x") == examples("x  # a comment") == examples("(x)")
    assert examples("x") != examples("-x")


# --- notebooks --------------------------------------------------------------------------------------------------------

NOTEBOOK = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in sys.stdin.read().split("# ---\\n"):
    result = shell.run_cell(cell, store_history=True)
    result.raise_error()
"""


def cells(folder: Path, *texts: str) -> list[str]:
    found = run("-c", NOTEBOOK, folder=folder, text="# ---\n".join(texts), IPYTHONDIR=str(folder / "ipython"))
    return [line for line in found.splitlines() if len(line) == 32]


def test_cells_of_a_notebook(tmp_path: Path) -> None:
    use = PRINT.format("f")
    helper = "import numpy as np\nN = 1\ndef h(x):\n    return np.sin(x) + N\n"
    model = "from dataclasses import dataclass\n@dataclass(order=True)\nclass M:\n    x: int = 1\n"
    main = "def f(x):\n    return h(x), M()\n"
    again = "def h(x):\n    return 0\n"
    digest, redefined = cells(tmp_path, helper, model, main, use, again, use)
    assert digest != redefined
    commented = helper.replace("N\n", "N  # a comment\n")
    assert cells(tmp_path, commented, "1 + 1\n", model, "# more\n" + main, use) == [digest]
    for old, new in [("sin", "cos"), ("order=True", "order=False")]:
        changed = [cell.replace(old, new) for cell in (helper, model, main, use)]
        assert cells(tmp_path, *changed) != [digest]
    # A class that was typed twice may be either, so it counts for this notebook only.
    twice = helper, model, model.replace("order=True", "order=False"), main, use
    assert cells(tmp_path, *twice) != cells(tmp_path, *twice)


# --- scripts ----------------------------------------------------------------------------------------------------------

SCRIPT = """
import multiprocessing
N = 1
class A:
    def m(self): return N
def f(x): return A().m() + x
def fingerprint(_=None):
    from holdfast.memoize.code import Codes
    return Codes().fingerprint(f).digest.hex()
if __name__ == "__main__":
    print(fingerprint())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(fingerprint, [0])[0])
"""


def test_a_script_and_the_module_that_it_is_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "package" / "script.py").write_text(SCRIPT)
    found = {
        *run("script.py", folder=tmp_path).splitlines(),
        *run("-m", "script", folder=tmp_path).splitlines(),
        run("-c", "import script; print(script.fingerprint())", folder=tmp_path),
    }
    assert len(found) == 1
    found = {
        *run("-m", "package.script", folder=tmp_path).splitlines(),
        run("-c", "import package.script as s; print(s.fingerprint())", folder=tmp_path),
    }
    assert len(found) == 1


def test_a_script_that_imports_itself_has_both(tmp_path: Path) -> None:
    (tmp_path / "twice.py").write_text(
        "import sys\nN = len(sys.argv) if __name__ == '__main__' else 0\ndef f(x): return N\n"
        "if __name__ == '__main__':\n    import twice\n    def g(x): return f(x), twice.f(x), twice.N, N\n"
        f"    {PRINT.format('g').replace(chr(10), chr(10) + '    ')}"
    )
    one, other = run("twice.py", folder=tmp_path), run("twice.py", "1", folder=tmp_path)
    assert one != other


def test_a_module_that_is_only_imported_when_called(modules: Modules) -> None:  # noqa: F811
    modules.write(later="def h(x): return x\n", broken="1 / 0\n")
    module = modules(
        early="def f(x):\n    from later import h\n    if x:\n        import nowhere, broken\n"
        "        return nowhere.a, broken.b\n    return h(x)\n"
    )
    parts = Codes().fingerprint(module.f).parts
    assert "later.h" in parts
    assert parts["broken (module)"] == parts["nowhere (module)"] == "cannot be imported"
    assert "later" in sys.modules


def test_a_class_that_was_edited_and_reloaded_is_another_one(tmp_path: Path) -> None:
    text = "import dataclasses\n@dataclasses.dataclass(order=True)\nclass D:\n    x: int\ndef f(): return D\n"
    program = (
        "import importlib, pathlib, sys\nfrom holdfast.memoize.code import Codes\ncodes = Codes()\n"
        f"path = pathlib.Path('edited.py')\npath.write_text({text!r})\nsys.path.insert(0, '')\nimport edited\n"
        "one = codes.fingerprint(edited.f).digest\nassert codes.fingerprint(edited.f).digest == one\n"
        f"path.write_text({text.replace('order=True', 'order=False')!r})\nold = edited.D\nimportlib.reload(edited)\n"
        "assert codes.fingerprint(edited.f).digest != one\nedited.D = old\n"
        "assert codes.fingerprint(edited.f).digest == one\n"
    )
    run("-c", program, folder=tmp_path)
