"""A store in a folder of the test's own, and a file system on it."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

import holdfast
from holdfast.filesystem import HoldfastFileSystem


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer's own environment names must not reach a test."""
    for name in ("STORE", "STORAGE", "DURABILITY", "INLINE", "TIMEOUT", "KEY"):
        monkeypatch.delenv(f"HOLDFAST_{name}", raising=False)


@pytest.fixture
def store(tmp_path: Path):
    with holdfast.open(tmp_path / "data", timeout=5) as opened:
        yield opened


@pytest.fixture
def fs(store: holdfast.Store) -> HoldfastFileSystem:
    return fsspec.filesystem("holdfast", store=store)
