"""The same fingerprints in every process: under other hash seeds, other versions of Python and later ones of ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .code_cases import CASES
from .test_code import Prints, prints, write

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("code_keys.json")
STANDARD = [
    name
    for name, case in CASES.items()
    if not any("numpy" in text or "pydantic" in text for text in case.files.values())
]
"""Cases in which no package has a version."""

MINORS = [minor for minor in range(11, 16) if minor != sys.version_info.minor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("cases"), {name: case.files for name, case in CASES.items()})


@pytest.fixture(scope="module")
def expected(folder: Path) -> Prints:
    return prints(folder)


def test_fingerprints_hold_from_version_to_version(expected: Prints) -> None:
    """The table is never changed, only added to: every stored result is found by such digests."""
    table = json.loads(TABLE.read_text())
    assert table.keys() == set(STANDARD)
    assert {name: expected[name][0] for name in STANDARD} == table


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 10))])
def test_hash_seeds_do_not_count(seed: int, folder: Path, expected: Prints) -> None:
    assert prints(folder, PYTHONHASHSEED=str(seed)) == expected


def test_optimized_python_is_the_same(folder: Path, expected: Prints) -> None:
    assert prints(folder, PYTHONOPTIMIZE="1") == expected


def pythons() -> dict[int, str]:
    """Other versions of Python on this machine that run, by their minor number."""
    found = {}
    for minor in MINORS:
        folders = [os.environ.get("PATH", ""), *map(str, Path.home().glob(f".pyenv/versions/3.{minor}.*/bin"))]
        for folder in folders:
            program = shutil.which(f"python3.{minor}", path=folder)
            command = [program or "", "-c", "import sys, venv; print(sys.version_info.minor)"]
            if program and subprocess.run(command, capture_output=True, text=True, check=False).stdout == f"{minor}\n":
                found[minor] = program
                break
    return found


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The programs of environments with this library under those versions."""
    made = {}
    for minor, program in pythons().items():
        folder = tmp_path_factory.mktemp(f"python3{minor}")
        subprocess.run([program, "-m", "venv", "--without-pip", folder], check=True)
        python = folder / "bin" / "python"
        command = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "-q",
            "-c",
            str(ROOT / "constraints.txt"),
        ]
        subprocess.run([*command, str(ROOT)], check=True)
        made[minor] = python
    return made


@pytest.mark.long
@pytest.mark.timeout(300)
def test_other_versions_of_python_give_the_same(folder: Path, expected: Prints, others: dict[int, Path]) -> None:
    if not others:
        pytest.skip("no other version of Python runs here; the table holds under whichever runs the tests")
    for minor, python in others.items():
        found = prints(folder, STANDARD, python)
        assert {name for name in STANDARD if found[name] != expected[name]} == set(), f"Python 3.{minor}"
