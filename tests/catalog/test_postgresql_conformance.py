"""The PostgreSQL catalog passes the suite that ships for backends."""

from __future__ import annotations

import itertools

import pytest

from holdfast.catalog.postgresql import PostgreSQLCatalog
from holdfast.testing.catalog_suite import CatalogSuite
from holdfast.testing.postgresql import Server

_numbers = itertools.count()


class TestPostgreSQL(CatalogSuite):
    @pytest.fixture
    def catalog(self, postgresql):
        self.url = f"{postgresql.url()}?schema=suite{next(_numbers)}"
        catalog = PostgreSQLCatalog(self.url)
        yield catalog
        catalog.close()

    def reopen(self, catalog):
        return PostgreSQLCatalog(self.url)


@pytest.mark.long
class TestPostgreSQL16(TestPostgreSQL):
    @pytest.fixture(scope="class")
    @classmethod
    def postgresql(cls):
        with Server(version=16) as server:
            yield server
