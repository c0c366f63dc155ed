"""Authors' storages, lifted by the bridge, pass the suite that ships for storages of the kernel."""

from __future__ import annotations

import pytest

from holdfast.storages.bridge import lift
from holdfast.testing.storage_suite import StorageSuite

from .authors import FileStorage, MemoryStorage


class TestAuthorsFileStorage(StorageSuite):
    @pytest.fixture
    def storage(self, tmp_path):
        storage = lift(FileStorage(tmp_path / "bytes"))
        yield storage
        storage.close()

    def reopen(self, storage):
        return lift(FileStorage(storage.author.prefix))


class TestAuthorsMemoryStorage(StorageSuite):
    @pytest.fixture
    def storage(self):
        storage = lift(MemoryStorage())
        yield storage
        storage.close()
