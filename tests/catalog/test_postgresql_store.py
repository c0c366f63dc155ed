"""A store on a catalog in PostgreSQL behaves as a dict, too."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import holdfast
from holdfast.catalog.postgresql import PostgreSQLCatalog
from holdfast.testing.postgresql import Server
from holdfast.testing.state_machine import Opener, check_store

_numbers = itertools.count()


@pytest.fixture
def opener(postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Opens stores with files in a folder and the catalog in a schema of its own."""
    schemas: dict[str, str] = {}

    def open_catalog(config: Any, create: bool) -> PostgreSQLCatalog:
        schema = schemas.setdefault(config.store, f"store{next(_numbers)}")
        return PostgreSQLCatalog(f"{postgresql.url()}?schema={schema}", create=create, timeout=config.timeout)

    monkeypatch.setattr("holdfast.kernel._open_catalog", open_catalog)
    return lambda folder: holdfast.open(folder, inline=10_000)


def test_a_store_behaves_as_a_dict(opener: Opener) -> None:
    check_store(opener, max_examples=12, stateful_step_count=20)


@pytest.mark.long
def test_at_length(opener: Opener) -> None:
    check_store(opener, max_examples=300, stateful_step_count=50)
