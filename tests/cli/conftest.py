"""A store that the commands of a test find by ``--store``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast


@pytest.fixture
def store(tmp_path: Path) -> Iterator[holdfast.Store]:
    with holdfast.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def at(store: holdfast.Store) -> list[str]:
    """The words that name it."""
    return ["--store", store.config.store]
