"""The SQLite catalog passes the suite that ships for backends, in a file and in memory."""

from __future__ import annotations

import pytest

from holdfast.catalog.sqlite import SQLiteCatalog
from holdfast.testing.catalog_suite import CatalogSuite


class TestFile(CatalogSuite):
    @pytest.fixture
    def catalog(self, tmp_path):
        catalog = SQLiteCatalog(tmp_path / "catalog.sqlite")
        yield catalog
        catalog.close()

    def reopen(self, catalog):
        return SQLiteCatalog(catalog.path)


class TestMemory(CatalogSuite):
    one_process = True

    @pytest.fixture
    def catalog(self):
        catalog = SQLiteCatalog(None)
        yield catalog
        catalog.close()

    def reopen(self, catalog):
        return catalog
