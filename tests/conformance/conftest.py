"""A service that asks for no token, and one that does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .services import Served, served


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("plain") / "store", tokens=False) as found:
        yield found


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("guarded") / "store", tokens=True) as found:
        yield found
