"""The client passes the suites that ship for backends: its catalog's, and its storage's."""

from __future__ import annotations

from typing import Any

import pytest

import holdfast
from holdfast.catalog.http import HTTPCatalog
from holdfast.signing import Signer
from holdfast.storages.http import HTTPStorage
from holdfast.testing.catalog_suite import CatalogSuite
from holdfast.testing.storage_suite import StorageSuite

from .serving import KEY, storage_at


class TestCatalog(CatalogSuite):
    @pytest.fixture
    def own(self) -> Any:
        with holdfast.open("memory:") as store:
            yield store

    @pytest.fixture
    def catalog(self, url: str) -> Any:
        catalog = HTTPCatalog(url, key=Signer.parse_key(KEY))
        yield catalog
        catalog.close()

    def reopen(self, catalog: Any) -> Any:
        return HTTPCatalog(catalog.url, key=Signer.parse_key(KEY))


for _name in (
    "bundles_beside_the_collector", "versions_grow_past_every_step", "many_processes_at_a_quota",
    "what_expired_makes_room", "what_expired_is_not_kept", "versions_grow_beside_copies_from_elsewhere",
    "many_processes_compare_and_set", "equal_values_beside_the_collector", "many_processes_add_to_one_counter",
    "many_processes_and_a_transfer", "a_listing_is_one_moment", "puts_beside_drops_and_renames",
):  # fmt: skip
    setattr(TestCatalog, f"test_{_name}", None)  # what takes long is in the long run


@pytest.mark.long
class TestCatalogInAFolder(CatalogSuite):
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
