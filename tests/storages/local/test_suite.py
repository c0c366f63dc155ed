"""The local memory passes the suite that ships for storages."""

from __future__ import annotations

import pytest

from holdfast.storages.local import LocalMemory
from holdfast.testing.storage_suite import StorageSuite


class TestLocalMemory(StorageSuite):
    @pytest.fixture
    def storage(self, tmp_path):
        storage = LocalMemory("suite", folder=str(tmp_path / "memory"))
        yield storage
        storage.close()
        assert list(tmp_path.rglob("holdfast-*")) == [], "the last one left something"

    def reopen(self, storage):
        return LocalMemory("suite", folder=storage._folder)
