"""Modules made for one test, and programs that print what other processes make of them."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from holdfast.memoize import source

__all__ = ["Modules", "modules", "run"]


class Modules:
    """Writes modules into a folder on the path, and imports them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[str] = []

    def write(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.folder / f"{name}.py").write_text(text)
            self.made.append(name)
        importlib.invalidate_caches()

    def __call__(self, **texts: str) -> Any:
        """The first of the modules; one of a name that there was is made anew."""
        for name in texts:
            sys.modules.pop(name, None)
        self.write(**texts)
        found: list[ModuleType] = [importlib.import_module(name) for name in texts]
        return found[0]


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Modules]:
    # As though this process had begun after the files were written.
    monkeypatch.setattr(source, "_STARTED", float("inf"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = Modules(tmp_path)
    yield made
    for name in made.made:
        sys.modules.pop(name, None)


def run(*command: Any, folder: Path, text: str | None = None, **env: str) -> str:
    """What a Python program prints."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **env},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
