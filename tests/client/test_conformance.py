"""The client passes the suites that ship for backends: its catalog's, and its storage's."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.catalog.http import HTTPCatalog
from holdfast.signing import Signer
from holdfast.storages.http import HTTPStorage
from holdfast.testing.catalog_suite import CatalogSuite
from holdfast.testing.storage_suite import StorageSuite

from .serving import KEY, storage_at


class TestCatalog(CatalogSuite):
    @pytest.fixture
    def catalog(self, url: str) -> Any:
        catalog = HTTPCatalog(url, key=Signer.parse_key(KEY))
        yield catalog
        catalog.close()

    def reopen(self, catalog: Any) -> Any:
        return HTTPCatalog(catalog.url, key=Signer.parse_key(KEY))


class TestStorage(StorageSuite):
    @pytest.fixture
    def storage(self, url: str, own: Any) -> Any:
        storage = storage_at(url, own)
        yield storage
        storage.close()

    def reopen(self, storage: Any) -> Any:
        return HTTPStorage(storage.url)
