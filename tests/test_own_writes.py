"""Inside a transaction a verb may depend on what the same transaction wrote: nobody else can have changed that."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import holdfast

LARGE = bytes(range(256)) * 400  # above the inline limit


@pytest.fixture
def store(tmp_path: Path):
    with holdfast.open(tmp_path / "data", timeout=2) as opened:
        yield opened


def test_update_after_own_writes(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    with scope.transaction() as inside:
        inside.put("k", 1)
        inside.update("k", lambda number: number + 1)
        assert inside.update("k", lambda number: number * 10).value == 20
    assert scope.get("k") == 20


def test_copy_and_rename_of_own_writes(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    with scope.transaction() as inside:
        inside.put("large", LARGE)
        inside.copy("large", "second")
        inside.rename("large", "third")
        inside.put("small", 1)
        inside.copy("small", "other")
        with pytest.raises(holdfast.ExistsError):
            inside.copy("small", "other")
    assert list(scope) == ["other", "second", "small", "third"]
    assert scope.get("second") == scope.get("third") == LARGE
    assert store.gc().blobs == 0
    assert scope.get("third", verify=True) == LARGE
    for key in list(scope):
        scope.delete(key)
    assert store.gc().blobs == 1


def test_if_absent_sees_own_writes(store: holdfast.Store) -> None:
    with store.namespace("a").transaction() as inside:
        inside.put("k", 1)
        with pytest.raises(holdfast.ExistsError):
            inside.put("k", 2, if_absent=True)


def test_an_artifact_takes_several_entries_of_metadata(store: holdfast.Store) -> None:
    artifact = store.namespace("a").artifact("run")
    with artifact.transaction() as inside:
        inside.metadata["author"] = "Ada"
        inside.metadata["year"] = 1843
        del inside.metadata["year"]
        inside.metadata.merge({"note": "G"})
    assert dict(artifact.metadata) == {"author": "Ada", "note": "G"}


def test_no_file_takes_the_place_of_metadata(store: holdfast.Store, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / ".artifact.json").write_text("{}")
    artifact = store.namespace("a").artifact("run")
    with pytest.raises(holdfast.InvalidKeyError):
        artifact.add_file(tmp_path / "in" / ".artifact.json")
    with pytest.raises(holdfast.InvalidKeyError):
        artifact.add_dir(tmp_path / "in")
    artifact.add_dir(tmp_path / "in", "below/")
    assert artifact.read("below/.artifact.json") == b"{}"


def test_a_store_of_durability_power_deletes_so_too(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "power", durability="power") as store:
        scope = store.namespace("a")
        scope.put("k", 1)
        assert scope.touch("k", None).durability == "power"
        assert scope.copy("k", "l").durability == "power"


def test_a_copy_of_the_store_is_another_store(store: holdfast.Store, tmp_path: Path) -> None:
    scope = store.namespace("a")
    scope.put("k", 1)
    store.close()
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    with holdfast.open(tmp_path / "data") as one, holdfast.open(tmp_path / "copy") as other:
        assert one.id == other.id
        with pytest.raises(holdfast.InvalidArgumentError, match="one store"):
            one.namespace("a").copy("k", "l", to=other.namespace("a"))
        with other.transaction() as tx, pytest.raises(holdfast.InvalidArgumentError, match="another store"):
            one.namespace("a").within(tx)
    with holdfast.open(tmp_path / "data") as one, holdfast.open(tmp_path / "data") as again:
        assert one.namespace("a").copy("k", "l", to=again.namespace("a")).version == 1
