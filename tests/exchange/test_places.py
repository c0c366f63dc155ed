"""From any catalog and storage to any other, by an export that is all that is left in between, and by sync."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ..kernel.places import opener_of, set_keys
from .stores import Odd, compare, everything, fill

WAYS = [
    ("sqlite+files", "postgresql+s3"), ("postgresql+s3", "sqlite+files"),
    pytest.param("postgresql+s3", "postgresql+azure", marks=pytest.mark.long),
    ("sqlite+inline", "sqlite+ftp"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_export_and_import(
    source: str, target: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_keys(monkeypatch)
    with opener_of(source, request)(tmp_path / "one") as one:
        fill(one)
        one.export_to(tmp_path / "out", key_file=tmp_path / "key")
        before = everything(one)
    shutil.rmtree(tmp_path / "one", ignore_errors=True)
    with opener_of(target, request)(tmp_path / "two") as two:
        done = two.import_from(tmp_path / "out", key_file=tmp_path / "key")
        assert (done.problems, done.unsigned) == ([], 0)
        assert everything(two) == before
        assert two.namespace("prod").workflow("forecast").get("large object")[0] == Odd("large")
        assert two.verify().fine
        assert two.import_from(tmp_path / "out", key_file=tmp_path / "key").records == 0


@pytest.mark.parametrize(("source", "target"), WAYS[:2])
def test_sync(
    source: str, target: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_keys(monkeypatch)
    with opener_of(source, request)(tmp_path / "one") as one, opener_of(target, request)(tmp_path / "two") as two:
        fill(one)
        done = one.sync_to(two)
        compare(one, two)
        flow = one.namespace("prod").workflow("forecast")
        flow.delete("text")
        flow.put("value", "newer")
        again = one.sync_to(two, delete=True)
        assert (again.records, again.there, again.removed, again.left) == (1, done.records - 2, 1, 0)
        compare(one, two)
        assert two.sync_to(one).there == done.records - 1  # and nothing comes back
