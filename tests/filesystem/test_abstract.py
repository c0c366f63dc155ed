"""fsspec's own suite: its five classes of tests, and the fixtures of its sixth."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest
from fsspec.tests import abstract

import holdfast


class Fixtures(abstract.AbstractFixtures):  # type: ignore[misc]
    """A store, and a scope in it to work in."""

    @pytest.fixture
    def fs(self, tmp_path: Path):
        with holdfast.open(tmp_path / "store", timeout=5) as store:
            yield fsspec.filesystem("holdfast", store=store)

    @pytest.fixture
    def fs_path(self) -> str:
        return "namespace:prod/workflow:forecast"

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False  # below a scope a folder is what keys begin with


class TestCopy(abstract.AbstractCopyTests, Fixtures):  # type: ignore[misc]
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):  # type: ignore[misc]
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):  # type: ignore[misc]
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):  # type: ignore[misc]
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):  # type: ignore[misc]
    pass
