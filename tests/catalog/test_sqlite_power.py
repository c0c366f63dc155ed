"""When the log is put on disk: seen at the calls that SQLite makes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.catalog.base import Delete, Edit
from holdfast.catalog.sqlite import SQLiteCatalog
from holdfast.testing.catalog_cases import FLOW, inline_put, put, put_file
from holdfast.testing.interpose import Call, Perform, interposed

LOG = "c.sqlite-wal"


@pytest.fixture
def synced(tmp_path: Path):
    """A catalog, and a function that tells which files a call puts on disk."""
    seen: list[str] = []

    def hook(call: Call, perform: Perform) -> Any:
        if "sync" in call.verb:
            seen.append(os.path.basename(call.path))
        return perform()

    with interposed(tmp_path, hook):
        catalog = SQLiteCatalog(tmp_path / "c.sqlite")
        put(catalog, "warm")
        put(catalog, "key")

        def watch(work: Callable[[], Any]) -> list[str]:
            seen.clear()
            work()
            return list(seen)

        yield catalog, watch
        catalog.close()


def test_process_durability_waits_for_no_disk(synced: Any) -> None:
    catalog, watch = synced
    for _ in range(2):
        assert watch(lambda: put(catalog, "key")) == []
        assert watch(lambda: catalog.commit([inline_put(catalog, "key"), Edit(FLOW, "key", tags="{}")])) == []
        assert watch(lambda: catalog.commit([Delete(FLOW, "key")])) == []
        # and after one that does wait
        assert watch(lambda: put(catalog, "key", power=True)) == [LOG]


def test_power_has_each_commit_on_disk(synced: Any) -> None:
    catalog, watch = synced
    for _ in range(3):
        assert watch(lambda: put(catalog, "key", power=True)) == [LOG]
        assert watch(lambda: catalog.commit([inline_put(catalog, "key")], power=True)) == [LOG]
        assert watch(lambda: catalog.commit([Edit(FLOW, "key", tags="{}")], power=True)) == [LOG]


def test_a_failed_commit_leaves_the_connection_as_it_was(synced: Any) -> None:
    catalog, watch = synced
    with pytest.raises(Exception, match="version"):
        catalog.commit([inline_put(catalog, "key", if_version=999)], power=True)
    assert watch(lambda: put(catalog, "key")) == []


def test_the_mark_of_garbage_is_on_disk(synced: Any) -> None:
    catalog, watch = synced
    put_file(catalog, "file", synced=True)
    catalog.commit([Delete(FLOW, "file")])
    for _ in range(2):  # the second finds it marked, by a collector that may have died before it was on disk
        assert watch(lambda: catalog.garbage()) == [LOG]
    assert len(catalog.garbage()) == 1


def test_the_barrier_has_all_on_disk_and_copies_it(synced: Any) -> None:
    catalog, watch = synced
    for _ in range(2):
        put(catalog, "key")
        files = watch(lambda: catalog.barrier())
        assert files[0] == LOG
        assert "c.sqlite" in files
