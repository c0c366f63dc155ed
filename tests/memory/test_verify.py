"""verify, where values are in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast.testing.processes import in_child

ARRAY = np.arange(100_000.0)


def test_both_copies_of_a_key_are_verified(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("prod")
        scope.put("key", ARRAY)
        scope.put("key", ARRAY + 1, tier="memory")
        report = store.verify()
        assert (report.records, report.problems) == (2, [])
        (file,) = (path for path in (tmp_path / "data" / "files").rglob("*") if path.stat().st_size >= ARRAY.nbytes)
        file.chmod(0o600)
        file.write_bytes(bytes(file.stat().st_size))
        (problem,) = store.verify().problems
        assert (problem.address, problem.version, problem.code) == ("namespace:prod/key", 1, "integrity")


def _alter(folder: Path, place: str) -> None:
    import apsw

    apsw.Connection(str(folder / "catalog.sqlite")).execute("UPDATE blobs SET place=?", (place,))


@pytest.mark.parametrize("place", ["{", "5", "null", '"../../../etc/passwd"', '"x"', json.dumps(["a"])])
def test_a_record_that_names_no_place_is_a_problem(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "data"
    with holdfast.open(folder) as store:
        scope = store.namespace("prod")
        scope.put("key", ARRAY, tier="memory")
        scope.put("other", 1)
        in_child(lambda: _alter(folder, place))
        report = store.verify()
        assert [problem.address for problem in report.problems] == ["namespace:prod/key"]
        assert report.records == 2
        with pytest.raises(holdfast.errors.HoldfastError):
            scope.get("key")


def test_a_dask_collection_is_verified(dask_client: Any, tmp_path: Path) -> None:
    import dask.array as da

    others = set(dask_client.list_datasets())
    with holdfast.open(tmp_path / "data", memory="dask") as store:
        scope = store.namespace("prod")
        scope.put("collection", da.arange(1000, chunks=100), tier="memory")
        scope.put("other", 1)
        report = store.verify()
        assert (report.records, report.problems) == (2, [])
        (name,) = set(dask_client.list_datasets()) - others
        dask_client.unpublish_dataset(name)
        assert store.verify().problems == [], "what a memory lost is no damage of the store"
