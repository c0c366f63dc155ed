"""The wheel alone, with the base dependencies and nothing else, gives a command that works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(300)  # it downloads the base dependencies when pip has not kept them

OPTIONAL = {"numpy", "pandas", "polars", "pyarrow", "pillow", "pytest", "hypothesis", "diskcache", "joblib"}


def run(command: list[str | Path], folder: Path) -> str:
    """Output of a command that is given none of our own settings; its own words when it fails."""
    env = {
        key: value for key, value in os.environ.items() if not key.startswith(("HOLDFAST_", "PYTHON", "VIRTUAL_ENV"))
    }
    env |= {"NO_COLOR": "1", "COLUMNS": "100"}
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command} ended with {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT], folder)
    (built,) = folder.glob("holdfast-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment that holds the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("alone")
    run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], folder)
    python = folder / "venv" / "bin" / "python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
    run([*pip, "install", "-q", "-c", ROOT / "constraints.txt", wheel], folder)
    return python.parent


def test_the_wheel_holds_the_package_and_no_more(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    source = ROOT / "src" / "holdfast"
    listed = subprocess.run(["git", "ls-files", "-z", "."], cwd=source, capture_output=True, text=True, check=True)
    expected = {f"holdfast/{name}" for name in listed.stdout.split("\0") if name and (source / name).is_file()}
    assert {"holdfast/py.typed", "holdfast/errors.py"} <= expected
    assert expected - set(names) == set()
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"holdfast"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.long
def test_only_the_base_dependencies_come_along(environment: Path, tmp_path: Path) -> None:
    script = "import importlib.metadata as m, json; print(json.dumps([d.name.lower() for d in m.distributions()]))"
    installed = set(json.loads(run([environment / "python", "-c", script], tmp_path)))
    assert installed >= {"holdfast", "apsw", "blake3", "cloudpickle", "msgpack", "rich", "typer"}
    assert installed & OPTIONAL == set()


def test_the_version_is_the_projects(environment: Path, tmp_path: Path) -> None:
    script = "import importlib.metadata as m; print(m.version('holdfast'))"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert run([environment / "python", "-c", script], tmp_path).strip() == project["version"]


def test_help_names_the_commands(environment: Path, tmp_path: Path) -> None:
    text = run([environment / "holdfast", "--help"], tmp_path)
    assert "tour" in text
    assert "Traceback" not in text


def test_the_tour_runs(environment: Path, tmp_path: Path) -> None:
    text = run([environment / "holdfast", "tour"], tmp_path)
    assert len(text.splitlines()) > 10
    assert "Traceback" not in text
