"""The memory of a Dask cluster in the suite of all storages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from holdfast.errors import StoreError
from holdfast.storages.dask import DaskMemory
from holdfast.testing.processes import in_child
from holdfast.testing.storage_suite import StorageSuite, _get, _put


class TestDaskMemory(StorageSuite):
    @pytest.fixture
    def storage(self, dask_client: Any) -> Iterator[DaskMemory]:
        storage = DaskMemory("a-store")
        yield storage
        storage.close()

    def reopen(self, storage: DaskMemory) -> DaskMemory:
        return DaskMemory(storage.owner)

    def test_a_forked_process_never_takes_our_configs(self, storage: Any) -> None:
        """It takes none at all: Dask's clients do not survive a fork, so it is told to make one."""
        before = _put(storage, b"before")

        def child() -> Any:
            for verb in (lambda: _get(storage, before), lambda: _put(storage, b"child"), storage.session):
                with pytest.raises(StoreError, match="forked"):
                    verb()
            return None

        in_child(child)
        assert _get(storage, before) == b"before"
