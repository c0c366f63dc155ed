"""Fingerprints of code: what changes them, through whatever it is reached, and what does not."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from .code_cases import CASES

PRINTS = Path(__file__).with_name("code_prints.py")
Prints = dict[str, tuple[str, dict[str, str]]]
"""By case: digest and parts, these without the name of the package."""


def write(folder: Path, packages: dict[str, dict[str, str]]) -> Path:
    """Each case as a package of the name ``case_...``, for which ``{}`` stands."""
    for case, files in packages.items():
        for name, text in files.items():
            path = folder / f"case_{case}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("{}", f"case_{case}"))
    return folder


def prints(folder: Path, cases: Iterable[str] = CASES, python: str | Path = sys.executable, **env: str) -> Prints:
    """The fingerprints that another process makes of packages in a folder."""
    command = [python, "-B", PRINTS, folder, *(f"case_{case}" for case in cases)]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = {}
    for package, (digest, parts) in json.loads(done.stdout).items():
        names = {name.replace(f"{package}.", ""): text.replace(f"{package}.", "") for name, text in parts.items()}
        found[package.removeprefix("case_")] = digest, names
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("before"), {name: case.files for name, case in CASES.items()})


@pytest.fixture(scope="module")
def before(folder: Path) -> Prints:
    return prints(folder)


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Prints:
    return prints(write(tmp_path_factory.mktemp("after"), {name: case.changed() for name, case in CASES.items()}))


@pytest.mark.parametrize("name", CASES)
def test_a_change_is_seen_and_named(name: str, before: Prints, after: Prints) -> None:
    old, new = before[name][1], after[name][1]
    changed = [part for part in sorted(old.keys() | new.keys()) if old.get(part) != new.get(part)]
    assert changed == sorted(CASES[name].parts)
    assert before[name][0] != after[name][0]


def commented(text: str) -> str:
    lines = [f"{line}  # a comment" if line.endswith((":", ")", "x")) else line for line in text.splitlines()]
    return "# first\n\n\n" + "\n".join(lines) + "\n\ndef not_used():\n    return 'not used'\n"


def documented(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.body.insert(0, ast.Expr(ast.Constant("What it does.")))
    return ast.unparse(ast.fix_missing_locations(tree))


def annotated(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = ast.Constant("Any")
            for argument in node.args.args:
                argument.annotation = ast.Constant("Any")
    return ast.unparse(ast.fix_missing_locations(tree))


@pytest.mark.parametrize("edit", [commented, lambda text: ast.unparse(ast.parse(text)), documented, annotated])
def test_comments_formatting_docstrings_and_annotations_do_not_count(
    edit: Callable[[str], str], before: Prints, tmp_path: Path
) -> None:
    edited = {
        name: {file: edit(text.replace("{}", f"case_{name}")) for file, text in case.files.items()}
        for name, case in CASES.items()
    }
    assert edited["attribute"] != CASES["attribute"].files
    whole = prints(write(tmp_path, edited))
    as_a_whole = {"module_as_a_whole", "names_of_a_module_as_a_whole", "imported_for_its_effect"}
    assert {name for name in CASES if whole[name] != before[name]} <= as_a_whole
