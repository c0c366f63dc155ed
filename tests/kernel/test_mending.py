"""Equal bytes put again mend a blob whose file was damaged, for every record that shares it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import holdfast


def _files(folder: Path) -> list[Path]:
    return [path for path in (folder / "files").rglob("*") if path.is_file() and path.stat().st_size > 100_000]


@pytest.mark.parametrize("damage", ["altered", "truncated", "gone"])
def test_equal_bytes_mend(tmp_path: Path, damage: str) -> None:
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("prod")
        array = np.arange(100_000)
        scope.put("a", array)
        scope.copy("a", "b")
        (file,) = _files(tmp_path / "data")
        if damage == "altered":
            content = bytearray(file.read_bytes())
            content[-1] ^= 1
            file.write_bytes(content)
        elif damage == "truncated":
            os.truncate(file, 100_001)
        else:
            file.unlink()
        with pytest.raises((holdfast.DecodeError, holdfast.ValueLost)):
            scope.get("b")
        scope.put("c", array)
        for key in "abc":
            assert (scope.get(key, verify=True) == array).all()
        store.gc()
        assert len(_files(tmp_path / "data")) == 1
        assert (scope.get("a") == array).all()


def test_an_untouched_blob_keeps_its_place(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("prod")
        array = np.arange(100_000)
        place = scope.put("a", array).contents["value"].storage_config
        assert scope.put("b", array).contents["value"].storage_config == place
        assert len(_files(tmp_path / "data")) == 1
