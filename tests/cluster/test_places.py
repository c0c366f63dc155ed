"""One bucket by several URLs, and how long a store waits for it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import holdfast
from holdfast.errors import StoreError
from holdfast.testing.ports import free_port

from ..kernel.tools import LARGE, pattern


def test_a_place_under_two_urls(s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts may reach one bucket by different endpoints. Then it is two storages of the store, and what was written by
    one URL is no orphan of the other."""
    plain = f"s3://bucket/{tmp_path.name}?endpoint={s3_endpoint}"
    other = f"{plain}&region=us-east-1"
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    def reopen(url: str) -> holdfast.Store:
        return holdfast.open(tmp_path / "data", storage=url, cache="off")

    for number, url in enumerate((plain, other, plain, other)):
        with reopen(url) as store:
            store.namespace("a").put(f"key-{number}", pattern(100_000, number))
            store.namespace("a").put("gone", LARGE)
            store.namespace("a").delete("gone")
    for url in (plain, other):
        with reopen(url) as store:
            collected = store.gc()
            assert collected.orphans == 0
            assert (store.verify().records, store.verify().problems) == (4, [])


def test_the_time_out_of_a_store_is_that_of_its_bucket(tmp_path: Path) -> None:
    url = f"s3://bucket/x?endpoint=http://127.0.0.1:{free_port()}&region=us-east-1"
    with holdfast.open(tmp_path / "data", storage=url, timeout=1) as store:
        began = time.monotonic()
        with pytest.raises(StoreError, match="could not be reached"):
            store.namespace("a").put("large", LARGE)
        assert time.monotonic() - began < 15, "and not the 30 seconds of a storage by itself"
        assert not store.namespace("a").exists("large")
