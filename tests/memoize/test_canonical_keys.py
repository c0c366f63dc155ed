"""The committed table of keys holds: in this process, under every hash seed, and under every Python that is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from . import samples

ROOT = Path(__file__).parents[2]
PROGRAM = Path(samples.__file__)


def run(command: list[str | Path], folder: Path, **settings: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HOLDFAST_"))}
    result = subprocess.run(command, cwd=folder, env=env | settings, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command} ended with {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def keys() -> dict[str, str]:
    found: dict[str, str] = json.loads(samples.KEYS.read_text(encoding="utf-8"))
    return found


def changed(found: dict[str, str]) -> list[str]:
    known = keys()
    return [name for name, digest in found.items() if known.get(name) != digest]


def test_the_keys_hold_in_this_process() -> None:
    found = samples.digests()
    assert changed(found) == []
    assert found.keys() == keys().keys()


def test_no_two_samples_share_a_key() -> None:
    known = keys()
    same = {"array": "array by columns"}  # which is what they are to show
    assert all(known[first] == known[second] for first, second in same.items())
    assert len(set(known.values())) == len(known) - len(same)
    assert len(known) > 100


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 10), marks=pytest.mark.long)])
def test_the_keys_hold_under_hash_seeds(tmp_path: Path, seeds: range) -> None:
    def under(seed: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run([sys.executable, "-P", PROGRAM], tmp_path, PYTHONHASHSEED=str(seed)))
        return found

    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(under, seeds):
            assert found == keys()


def pythons() -> dict[str, Path]:
    """Other versions of Python from 3.11 on, by version: those on the path, and those that pyenv keeps."""
    names = [f"python3.{minor}" for minor in range(11, 20)]
    places = [Path(folder, name) for folder in os.get_exec_path() for name in names]
    places += sorted(Path.home().glob(".pyenv/versions/*/bin/python"))
    found: dict[str, Path] = {}
    for place in places:
        if place.exists():
            script = "import sys; print('%d.%d' % sys.version_info[:2])"
            done = subprocess.run([place, "-c", script], capture_output=True, text=True, check=False)
            version = done.stdout.strip()
            if done.returncode == 0 and version.startswith("3.") and int(version[2:]) >= 11:
                found.setdefault(version, place)
    found.pop(f"{sys.version_info.major}.{sys.version_info.minor}", None)
    return found


OTHERS = pythons()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT], folder)
    (built,) = folder.glob("holdfast-*.whl")
    return built


@pytest.mark.long
@pytest.mark.timeout(300)  # it downloads the base dependencies when pip has not kept them
@pytest.mark.parametrize("version", OTHERS)
def test_the_keys_hold_under_another_python(version: str, wheel: Path, tmp_path: Path) -> None:
    run([OTHERS[version], "-m", "venv", "--without-pip", tmp_path / "venv"], tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
    run([*pip, "install", "-q", "-c", ROOT / "constraints.txt", wheel], tmp_path)
    found = json.loads(run([python, "-P", PROGRAM], tmp_path))
    assert changed(found) == []
    assert found.keys() >= samples.PLAIN.keys()
