"""Both native storages pass the suite that ships for backends."""

from __future__ import annotations

import pytest

from holdfast.storages.file import FileStorage
from holdfast.storages.memory import MemoryStorage
from holdfast.testing.storage_suite import StorageSuite


class TestFileStorage(StorageSuite):
    @pytest.fixture
    def storage(self, tmp_path):
        storage = FileStorage(tmp_path / "files")
        yield storage
        storage.close()

    def reopen(self, storage):
        return FileStorage(storage.root)


class TestMemoryStorage(StorageSuite):
    @pytest.fixture
    def storage(self):
        return MemoryStorage()
