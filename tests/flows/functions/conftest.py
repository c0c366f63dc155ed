"""A store with an instance, for tests of functions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast

from .acting import World


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[holdfast.Store]:
    """For all tests of a module: each takes a namespace of its own."""
    with holdfast.open(tmp_path_factory.mktemp("functions") / "store") as found:
        yield found


@pytest.fixture
def world(tmp_path: Path, store: holdfast.Store) -> Iterator[World]:
    made = World(tmp_path, store)
    try:
        yield made
    finally:
        made.close()
