"""``import holdfast`` loads nothing heavy, and what is imported from elsewhere is declared."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]

HEAVY = {
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "PIL",
    "asyncio",
    "dataclasses",
    "inspect",
    "typer",
    "rich",
    "cloudpickle",
    "fsspec",
}

SCRIPT = """
import sys
before = set(sys.modules)
{statement}
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""


def loaded_by(statement: str, folder: Path) -> set[str]:
    """Top-level modules that a statement loads in a new interpreter."""
    command = [sys.executable, "-c", SCRIPT.format(statement=statement)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_import_is_light(tmp_path: Path) -> None:
    loaded = loaded_by("import holdfast", tmp_path)
    assert "holdfast" in loaded
    assert loaded & HEAVY == set()


def test_a_heavy_import_is_seen(tmp_path: Path) -> None:
    assert loaded_by("import holdfast, dataclasses, asyncio.runners", tmp_path) >= {"dataclasses", "inspect", "asyncio"}


def foreign(paths: Iterable[Path]) -> dict[str, str]:
    """Top-level modules imported by these files that are neither Python's nor ours, each with a place."""
    found: dict[str, str] = {}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            elif (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "importorskip"
            ):
                raise AssertionError(f"{path}:{node.lineno}: a skip would hide a missing dependency")
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names | {"holdfast", "tests", "bench", "conftest"}:
                    found.setdefault(top, f"{path.relative_to(ROOT)}:{node.lineno}")  # type: ignore[attr-defined]
    return found


def declared(*extras: str) -> set[str]:
    """Distributions that the base install and these extras ask for, by normalised name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    names: set[str] = set()
    for line in wanted:
        nested = re.fullmatch(r"holdfast\[(.*)\]", line)
        if nested:
            names |= declared(*nested.group(1).split(","))
        else:
            names.add(normal(re.split(r"[<>=!~\[; ]", line)[0]))
    return names


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def undeclared(paths: Iterable[Path], *extras: str) -> list[str]:
    owners = importlib.metadata.packages_distributions()
    allowed = declared(*extras)
    return [
        f"{place} imports {module}: no dependency of {', '.join(extras)} brings it"
        for module, place in foreign(paths).items()
        if not {normal(name) for name in owners.get(module, [])} & allowed
    ]


def test_what_the_source_imports_is_declared() -> None:
    paths = sorted((ROOT / "src").rglob("*.py"))
    suites = [path for path in paths if "testing" in path.parts]
    assert undeclared([path for path in paths if path not in suites], "all") == []
    assert undeclared(suites, "all", "testing") == []


def test_what_the_tests_import_is_declared() -> None:
    paths = [path for folder in ("tests", "bench") for path in sorted((ROOT / folder).rglob("*.py"))]
    assert undeclared(paths, "test") == []


def test_an_undeclared_import_is_caught() -> None:
    assert "pillow" in declared("test")
    assert "pytest" not in declared("all")
    assert undeclared([Path(__file__).with_name("test_floors.py")], "all")[0].startswith("tests/house/test_floors.py:")
