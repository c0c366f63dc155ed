"""Places that are no place for a store, and a dry run that tells the truth about what is still named."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import holdfast


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "gs://b", "az://c/d", "git+ssh://x", "mysql://h/db"])
def test_an_address_that_is_no_folder_is_refused(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    known = "only folders, postgresql://, https:// of a service and memory:"
    with pytest.raises(holdfast.InvalidArgumentError, match=known):
        holdfast.open(url)
    assert list(tmp_path.iterdir()) == []


def test_where_no_folder_can_be_made() -> None:
    with pytest.raises(holdfast.StoreError):
        holdfast.open("/proc/holdfast/data")


def test_a_dry_run_counts_the_bytes_of_what_will_go(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        kept, dropped = store.namespace("kept"), store.namespace("dropped")
        for number in range(3):
            dropped.put(str(number), bytes([number]) * 100_000)
        dropped.copy("0", to=kept)
        kept.put("old", b"x" * 50_000, expires=timedelta(milliseconds=1))
        dropped.drop()
        time.sleep(0.01)
        told = store.gc(dry_run=True)
        done = store.gc()
        assert (told.records, told.blobs, told.size) == (done.records, done.blobs, done.size) == (4, 3, 250_000)
        assert kept.get("0") == b"\0" * 100_000


def test_a_store_in_an_open_folder_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    with holdfast.open(folder) as store:
        store.namespace("prod").put("k", b"x" * 100_000)
        for path in folder.rglob("*"):
            assert path.stat().st_mode & 0o077 == 0, f"{path.name} is open to others"


def test_verify_looks_at_the_bytes_that_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from holdfast.storages.file import FileStorage

    made = FileStorage.map

    def other(self: FileStorage, config: object, size: int) -> memoryview:
        view = made(self, config, size)
        view[-1] ^= 1
        return view

    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("prod")
        scope.put("k", np.arange(50_000))
        monkeypatch.setattr(FileStorage, "map", other)
        with pytest.raises(holdfast.IntegrityError):
            scope.get("k", verify=True)
