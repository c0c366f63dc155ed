"""A store in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer's own environment names must not reach a test."""
    for name in ("STORE", "STORAGE", "DURABILITY", "INLINE", "TIMEOUT", "KEY"):
        monkeypatch.delenv(f"HOLDFAST_{name}", raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[holdfast.Store]:
    with holdfast.open(tmp_path / "data", timeout=5) as opened:
        yield opened


@pytest.fixture
def scope(store: holdfast.Store) -> holdfast.Scope:
    return store.namespace("prod").workflow("forecast")
