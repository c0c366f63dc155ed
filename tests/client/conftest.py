"""A store behind a service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import holdfast

from .serving import Behind


@pytest.fixture
def own(tmp_path: Any) -> Iterator[holdfast.Store]:
    """The store as the service has it."""
    with holdfast.open(tmp_path / "store") as store:
        yield store


@pytest.fixture
def url(host: Behind, own: holdfast.Store) -> Iterator[str]:
    """Where it is served."""
    with host.serving(own) as found:
        yield found


@pytest.fixture
def store(url: str, tmp_path: Any) -> Iterator[holdfast.Store]:
    """The store as the client has it."""
    with holdfast.open(url, cache=tmp_path / "copies") as found:
        yield found
