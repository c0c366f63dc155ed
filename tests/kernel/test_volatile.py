"""A record in memory says that its bytes end with the process."""

from __future__ import annotations

from pathlib import Path

import pytest

import holdfast


@pytest.mark.parametrize("value", ["small", "large" * 20_000])
def test_memory_is_no_disk(value: str, tmp_path: Path) -> None:
    with holdfast.open("memory:", durability="power") as store:
        scope = store.namespace("prod")
        assert scope.put("k", value).durability == "session"
        assert scope.record("k").durability == "session"
        assert [record.durability for record in scope.list()] == ["session"]


def test_a_memory_storage_beside_a_catalog_on_disk(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data", storage="memory:", durability="power") as store:
        scope = store.namespace("prod")
        assert scope.put("small", 1).durability == "power"
        assert scope.put("large", "large" * 20_000).durability == "session"


def test_bytes_that_are_gone_before_the_commit(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("prod")
        scope.put("k", "old")
        inside = scope.transaction()
        inside.__enter__().put("k", "new" * 40_000)
        for path in (tmp_path / "data" / "files").rglob("*"):
            if path.is_file() and path.stat().st_size > 100_000:
                path.unlink()
        with pytest.raises(holdfast.ValueLost):
            inside.__exit__(None, None, None)
        assert scope.get("k") == "old"
