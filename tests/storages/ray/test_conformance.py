"""The memory of a Ray cluster passes the suite that ships for backends."""

from __future__ import annotations

import pytest

from holdfast.errors import StoreError
from holdfast.storages.ray import RayMemory
from holdfast.testing.processes import in_child
from holdfast.testing.storage_suite import StorageSuite

from .writing import get, put


class TestRayMemory(StorageSuite):
    @pytest.fixture
    def storage(self, shared):
        storage = RayMemory(shared)
        storage.owner = shared
        yield storage
        storage.close()

    def reopen(self, storage):
        return RayMemory(storage.owner)

    def test_a_forked_process_never_takes_our_configs(self, storage):
        """It does nothing at all: Ray's connection does not go on in it."""
        config = put(storage, b"ours")

        def child():
            said = []
            for verb in (lambda: get(storage, config), lambda: put(storage, b"theirs"), storage.session):
                with pytest.raises(StoreError, match="forked") as told:
                    verb()
                said.append(str(told.value))
            assert storage.alive(storage_session)
            return said

        storage_session = storage.session()
        assert len(in_child(child)) == 3
        assert get(storage, config) == b"ours"
