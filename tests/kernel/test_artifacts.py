"""Artifacts: files and metadata that go together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import ExistsError, InvalidKeyError, NotFoundError, StoreError

from .tools import LARGE, blob_files, everything


@pytest.fixture
def artifact(scope: holdfast.Scope) -> holdfast.Artifact:
    return scope.artifact("run-7")


@pytest.fixture
def local(tmp_path: Path) -> Path:
    folder = tmp_path / "local"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a.txt").write_text("text")
    (folder / "deep" / "b.csv").write_bytes(LARGE)
    (folder / "deep" / "er" / "empty").touch()
    return folder


FILES = {"a.txt": b"text", "deep/b.csv": LARGE, "deep/er/empty": b""}


def empty(artifact: holdfast.Artifact) -> bool:
    assert bool(artifact) is not artifact.is_empty
    return artifact.is_empty


def contents(artifact: holdfast.Artifact) -> dict[str, bytes]:
    return {name: artifact.read(name) for name in artifact}


def test_life(scope: holdfast.Scope, artifact: holdfast.Artifact) -> None:
    assert not artifact.exists
    assert empty(artifact)
    assert list(scope.artifacts()) == []
    artifact.create()
    assert bool(artifact.exists)
    assert empty(artifact)
    artifact.create(exist_ok=True)
    artifact.write("f.txt", "é")
    artifact.write("large", LARGE, tags={"a": "b"})
    assert not empty(artifact)
    assert list(artifact) == [record.key for record in artifact.list()] == ["f.txt", "large"]
    assert "f.txt" in artifact
    assert "g.txt" not in artifact
    assert artifact.read_text("f.txt") == "é"
    with artifact.open("f.txt") as file:
        assert file.read() == "é"
    with artifact.open("g.txt", "w") as file:
        file.write("x")
    assert [found.name for found in scope.artifacts()] == ["run-7"]
    assert scope.artifact("run-7", create=False) == artifact
    assert hash(scope.artifact("run-7")) == hash(artifact)
    artifact.delete("f.txt")
    assert list(artifact) == ["g.txt", "large"]
    artifact.drop()
    assert not artifact.exists
    assert artifact.scope.was_dropped
    with pytest.raises(NotFoundError):
        artifact.read("large")


def test_metadata_is_a_mapping(artifact: holdfast.Artifact) -> None:
    metadata = artifact.metadata
    assert dict(metadata) == {}
    metadata["author"] = "Ada"
    metadata["numbers"] = [1, 2.5, None, {"é": True}]
    metadata.merge({"author": "Grace", "year": 1952})
    assert dict(metadata) == {"author": "Grace", "numbers": [1, 2.5, None, {"é": True}], "year": 1952}
    assert len(metadata) == 3
    assert metadata.get("missing") is None
    assert "year" in metadata
    assert metadata.pop("year") == 1952
    assert metadata.setdefault("x", 5) == 5
    del metadata["x"]
    metadata.update(a=1)
    assert set(metadata) == {"author", "numbers", "a"}
    assert list(artifact) == []
    assert not artifact
    assert artifact.scope.record(".artifact.json").content_type == "application/json"
    metadata.clear()
    assert dict(metadata) == {}


def test_metadata_survives_the_same_key_from_two_stores(store: holdfast.Store, artifact: holdfast.Artifact) -> None:
    with holdfast.open(store.config.store) as second:
        there = second.find(f"{artifact.scope}/x")[0]
        other = holdfast.Artifact(there)
        for index in range(20):
            (artifact if index % 2 else other).metadata[f"k{index}"] = index
    assert len(artifact.metadata) == 20


def test_folders_in_and_out(artifact: holdfast.Artifact, local: Path, tmp_path: Path) -> None:
    artifact.write("there before", b"x")
    pieces: list[int] = []
    records = artifact.add_dir(local, progress=pieces.append, tags={"a": "b"})
    assert sorted(record.key for record in records) == sorted(FILES)
    assert sum(pieces) == sum(map(len, FILES.values()))
    assert records[0].content_type == "text/plain"
    assert records[0].tags == {"a": "b"}
    assert artifact.add_file(local / "a.txt").key == "a.txt"
    assert artifact.add_file(local / "a.txt", "z/renamed").key == "z/renamed"
    artifact.delete("z/renamed")
    artifact.metadata["x"] = 1
    paths = artifact.download(tmp_path / "out" / "put")
    expected = {**FILES, "there before": b"x"}
    assert {os.path.relpath(path, tmp_path / "out" / "put"): Path(path).read_bytes() for path in paths} == expected
    assert contents(artifact) == expected
    artifact.add_dir(local, "again/")
    assert artifact.read("again/deep/b.csv") == LARGE


def test_a_folder_that_breaks_off_leaves_nothing(
    store: holdfast.Store, artifact: holdfast.Artifact, local: Path
) -> None:
    (local / "z\n").write_text("no key")
    before = everything(store)
    with pytest.raises(InvalidKeyError):
        artifact.add_dir(local)
    assert everything(store) == before
    (local / "z\n").unlink()
    (local / ".artifact.json").write_text("{}")
    with pytest.raises(InvalidKeyError, match="metadata"):
        artifact.add_dir(local)
    with pytest.raises(InvalidKeyError, match="metadata"):
        artifact.add_file(local / ".artifact.json")
    assert everything(store) == before
    (local / ".artifact.json").unlink()
    os.mkfifo(local / "pipe")
    with pytest.raises(StoreError, match="regular"):
        artifact.add_dir(local)
    assert everything(store) == before


def test_downloads_to_where_they_cannot_go(artifact: holdfast.Artifact, tmp_path: Path) -> None:
    artifact.write("a", b"1")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="file"):
        artifact.download(tmp_path / "file")
    artifact.write("a/b", b"2")
    with pytest.raises(StoreError):
        artifact.download(tmp_path / "out")  # "a" is a file and a folder


@pytest.mark.parametrize("name", ["../up", "a/../../b", "/etc/x", "a//b", ".", "a/.", ""])
def test_names_that_leave_the_folder_are_not_written(artifact: holdfast.Artifact, tmp_path: Path, name: str) -> None:
    if name:
        artifact.write(name, b"evil")
        with pytest.raises(InvalidKeyError):
            artifact.download(tmp_path / "in" / "side")
    else:
        with pytest.raises(InvalidKeyError):
            artifact.write(name, b"")
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name in ("in", "side")] == []


def test_transaction(store: holdfast.Store, artifact: holdfast.Artifact, local: Path) -> None:
    with artifact.transaction() as inside:
        inside.write("a", LARGE)
        inside.metadata["n"] = 1
        inside.metadata["m"] = 2
        inside.add_dir(local)
        assert "a" in inside
        assert inside.metadata["n"] == 1
        assert not artifact.exists
    assert dict(artifact.metadata) == {"n": 1, "m": 2}
    assert contents(artifact) == {"a": LARGE, **FILES}
    before = everything(store)

    def work() -> None:
        with artifact.transaction() as inside:
            inside.write("b", LARGE)
            inside.delete("a")
            inside.metadata["n"] = 5
            inside.add_dir(local, "more/")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert everything(store) == before


def test_a_transaction_inside_a_transaction_is_refused(artifact: holdfast.Artifact) -> None:
    with artifact.transaction() as inside, pytest.raises(holdfast.InvalidArgumentError, match="already"):
        inside.transaction()
    assert not artifact.exists


def test_copy(store: holdfast.Store, scope: holdfast.Scope, artifact: holdfast.Artifact) -> None:
    artifact.write("a", LARGE)
    artifact.metadata["x"] = [1]
    files = len(blob_files(store))
    copies = [artifact.copy("second"), artifact.copy("run-7", to=store.namespace("else"))]
    assert len(blob_files(store)) == files
    for copy in copies:
        assert contents(copy) == {"a": LARGE}
        assert dict(copy.metadata) == {"x": [1]}
    artifact.drop()
    store.gc()
    assert copies[1].read("a") == LARGE
    empty = scope.artifact("empty").create()
    assert empty.copy("empty too").exists


def test_two_copies_to_one_name(scope: holdfast.Scope, artifact: holdfast.Artifact, monkeypatch: Any) -> None:
    artifact.write("a", b"1")
    scope.artifact("other").write("b", b"2")
    monkeypatch.setattr(type(scope), "present", property(lambda self: self.name != "target"))
    scope.artifact("other").copy("target")
    artifact.write("b", b"1")
    with pytest.raises(ExistsError):
        artifact.copy("target")
    monkeypatch.undo()
    assert contents(scope.artifact("target")) == {"b": b"2"}


def test_rename_and_list(scope: holdfast.Scope, artifact: holdfast.Artifact) -> None:
    artifact.write("a", LARGE)
    artifact.metadata["x"] = 1
    artifact.scope.rename_scope("other")
    assert not artifact.exists
    moved = scope.artifact("other")
    assert (moved.read("a"), moved.metadata["x"]) == (LARGE, 1)
    assert [record.key for record in moved.list("a")] == ["a"]
    assert list(moved.list("b")) == []
