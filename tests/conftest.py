"""Settings for all tests, and what several rooms of them start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from holdfast.testing.postgresql import Server

# The machine decides how long an example takes, so no example fails for its time; pytest-timeout watches the whole.
settings.register_profile("holdfast", deadline=None, print_blob=True)
settings.load_profile("holdfast")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server for all tests of this run; each takes a schema of its own."""
    with Server() as server:
        yield server
