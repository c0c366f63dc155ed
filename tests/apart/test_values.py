"""Values of chosen types, anywhere in what is put, go apart and come back."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import holdfast
from holdfast import apart
from holdfast.apart.outgoing import Outgoing
from holdfast.signing import Signer

from .notes import Grid, GridSerializer

GRID = [GridSerializer]


@dataclasses.dataclass
class Report:
    title: str
    grids: dict[str, list[Grid]]


@pytest.fixture(autouse=True)
def no_calls() -> None:
    GridSerializer.calls.clear()


def blobs(folder: Path) -> list[Path]:
    """The files that a store has beside its catalog."""
    return [each for each in (folder / "data" / "files").rglob("*") if each.is_file() and each.name != "lock"]


def put(scope: Any, key: str, value: Any, **more: Any) -> holdfast.Record:
    return apart.put(scope, key, value, serializers=GRID, **more)


def test_wherever_they_are(store: holdfast.Store) -> None:
    scope = store.workflow("flow")
    one, two = Grid([1, 2]), Grid([3])
    report = Report("all", {"a": [one, two], "b": [one]})
    put(scope, "report", (report, {"deep": [[one]]}))
    found, more = scope.get("report")
    assert [grid.cells for grid in found.grids["a"]] == [[1, 2], [3]]
    assert found.grids["b"][0] is found.grids["a"][0] is more["deep"][0][0]  # what was one is one
    assert found.title == "all"
    assert [call for call, _ in GridSerializer.calls].count("pickle") == 2


def test_the_value_itself_and_one_of_a_plain_type(store: holdfast.Store) -> None:
    scope = store.workflow("flow")
    put(scope, "grid", Grid([5]))
    assert scope.get("grid").cells == [5]
    assert set(scope.contents("grid")) == {"value", GridSerializer.calls[0][1]}

    class Texts(GridSerializer):
        name = "texts"
        serializer_class = str  # type: ignore[assignment]

        @classmethod
        def pickle(cls, obj: Any, protocols: Any) -> Any:
            _, persistent_id = super().pickle(Grid([len(obj)]), protocols)
            return cls.name, persistent_id

    apart.put(scope, "text", ["abc"], serializers=[Texts])
    assert apart.get(scope, "text", serializers=[Texts])[0].cells == [3]


def test_what_has_none_of_them_is_put_as_ever(store: holdfast.Store) -> None:
    scope = store.workflow("flow")
    for value in ({"a": [1, 2]}, 5, "text", np.arange(5), None, holdfast):
        written = scope.put("plain", value)
        assert put(scope, "plain", value).serializer == written.serializer
    assert not GridSerializer.calls


def test_in_arrays_and_frames_of_objects(files: holdfast.Store) -> None:
    scope = files.workflow("flow")
    array = np.array([Grid([1]), None], object)
    put(scope, "objects", array)
    put(scope, "frame", pd.DataFrame({"a": array}))
    assert scope.get("objects")[0].cells == [1]
    assert scope.get("frame").a[0].cells == [1]


def test_a_put_that_is_killed_leaves_nothing_to_be_seen(files: holdfast.Store, tmp_path: Path) -> None:
    scope = files.workflow("flow")
    put(scope, "grid", [Grid([1])])
    code = """
import os, signal
import dask.array as da
import holdfast
from holdfast import apart

def die(block):
    if block[0] > 500_000:
        os.kill(os.getpid(), signal.SIGKILL)
    return block

with holdfast.open("data") as store:
    array = da.arange(1_000_000, chunks=100_000)
    apart.put(store.workflow("flow"), "grid", [array, array.map_blocks(die, dtype=array.dtype)])
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path)
    assert done.returncode == -9
    assert scope.get("grid")[0].cells == [1]
    files.gc()
    assert sum(path.stat().st_size for path in blobs(tmp_path)) < 1 << 20


def test_large_arrays_beside_them_are_maps(files: holdfast.Store) -> None:
    scope = files.workflow("flow")
    numbers = np.arange(200_000)
    put(scope, "both", {"grid": Grid([1]), "numbers": numbers})
    found = scope.get("both")
    np.testing.assert_array_equal(found["numbers"], numbers)
    assert found["grid"].cells == [1]
    assert found["numbers"].base is not None


def test_a_subclass_is_another_type(files: holdfast.Store) -> None:
    class Sub(Grid):
        pass

    with pytest.raises(holdfast.EncodeError, match="not to be pickled"):
        put(files.workflow("flow"), "sub", [Sub([1])])


def test_another_process_reads_it_without_being_told(tmp_path: Path, files: holdfast.Store) -> None:
    put(files.workflow("flow"), "grid", [Grid([1, 2])])
    code = """
import holdfast
with holdfast.open("data") as store:
    print(store.workflow("flow").get("grid")[0].cells)
"""
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {[root, f'{root}/src']}\nimport holdfast.apart\n{code}"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout == "[1, 2]\n", done.stderr


def test_a_class_that_is_given_comes_before_the_one_that_wrote(files: holdfast.Store) -> None:
    scope = files.workflow("flow")
    put(scope, "grid", Grid([1]))

    class Other(GridSerializer):
        @classmethod
        def unpickle(cls, persistent_id: Any, protocols: Any) -> Any:
            return "another"

    assert apart.get(scope, "grid", serializers=[Other]) == "another"


def test_all_goes_with_the_record(files: holdfast.Store, tmp_path: Path) -> None:
    scope = files.workflow("flow")

    class Large(GridSerializer):
        @classmethod
        def pickle(cls, obj: Grid, protocols: Any) -> Any:
            with protocols[apart.FILE_PROTOCOL].open("large", "wb") as file:
                file.write(bytes(3 << 20))
            return cls.name, ("1.0", "large")

    def stored() -> int:
        return sum(each.stat().st_size for each in blobs(tmp_path)) >> 20

    apart.put(scope, "grid", Grid([1]), serializers=[Large])
    assert stored() >= 3
    copied = scope.copy("grid", to=store_scope(files))
    apart.delete(scope, "grid", serializers=[Large])
    assert Large.calls == [("remove", "large")]
    assert not scope.exists("grid")
    assert len(store_scope(files).get_bytes("grid", content="large")) == 3 << 20, copied
    store_scope(files).delete("grid")
    files.gc()
    assert stored() < 3


def test_files_are_taken_back_while_they_are_written_and_go_with_the_record(files: holdfast.Store) -> None:
    class Folders(GridSerializer):
        @classmethod
        def pickle(cls, obj: Grid, protocols: Any) -> Any:
            s3 = protocols[apart.S3_PROTOCOL]
            client, folder = s3["client"], s3["folder"]
            for name in ("kept", "one", "many/a", "many/b/c"):
                client.pipe_file(f"{folder}/{name}", b"x")
            client.rm_file(f"{folder}/one")
            client.rm(f"{folder}/many", recursive=True)
            for missing in ("one", "many/a"):
                with pytest.raises(FileNotFoundError):
                    client.rm(f"{folder}/{missing}")
            return cls.name, ("1.0", "kept")

        @classmethod
        def remove(cls, persistent_id: Any, protocols: Any) -> None:
            s3 = protocols[apart.S3_PROTOCOL]
            s3["client"].rm_file(f"{s3['folder']}/{persistent_id[1]}")
            s3["client"].rm(f"{s3['folder']}/{persistent_id[1]}", recursive=True)
            super().calls.append(("remove", persistent_id[1]))

    scope = files.workflow("flow")
    apart.put(scope, "grid", Grid([1]), serializers=[Folders], protocol=apart.S3_PROTOCOL)
    assert [name for name in scope.contents("grid") if name in ("kept", "one", "many/a", "many/b/c")] == ["kept"]
    apart.delete(scope, "grid", serializers=[Folders])
    assert Folders.calls == [("remove", "kept")]
    assert not scope.exists("grid")


def store_scope(store: holdfast.Store) -> Any:
    return store.workflow("other")


@pytest.mark.parametrize("wrong", ["raises", "gives another name", "gives no file name", "leaves a file open"])
def test_a_serializer_that_fails_leaves_nothing(files: holdfast.Store, tmp_path: Path, wrong: str) -> None:
    scope = files.workflow("flow")

    class Wrong(GridSerializer):
        @classmethod
        def pickle(cls, obj: Grid, protocols: Any) -> Any:
            file = protocols[apart.FILE_PROTOCOL].open("some", "wb")
            file.write(bytes(1 << 17))
            if wrong == "leaves a file open":
                return cls.name, ("1.0", "some")
            file.close()
            if wrong == "raises":
                raise RuntimeError("no")
            return ("other" if wrong == "gives another name" else cls.name), ("1.0", 5)

    if wrong == "leaves a file open":
        apart.put(scope, "grid", [Grid([1])], serializers=[Wrong])
        assert len(scope.get_bytes("grid", content="some")) == 1 << 17
        return
    kind: Any = RuntimeError if wrong == "raises" else holdfast.EncodeError
    with pytest.raises(kind):
        apart.put(scope, "grid", [Grid([1])], serializers=[Wrong])
    assert not scope.exists("grid")
    assert blobs(tmp_path) == []


def test_whole_or_not_at_all(files: holdfast.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    scope = files.workflow("flow")
    put(scope, "grid", [Grid([1])])
    monkeypatch.setattr(Outgoing, "_joined", lambda self, thing: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        put(scope, "grid", [Grid([2])])
    monkeypatch.undo()
    assert scope.get("grid")[0].cells == [1]
    with pytest.raises(holdfast.ExistsError):
        put(scope, "grid", [Grid([2])], if_absent=True)
    assert scope.get("grid")[0].cells == [1]


def test_in_a_transaction(files: holdfast.Store) -> None:
    scope = files.workflow("flow")
    with pytest.raises(ZeroDivisionError), scope.transaction() as inside:  # noqa: PT012  the block is what is tested
        put(inside, "grid", [Grid([1])])
        _ = 1 / 0
    assert not scope.exists("grid")
    with scope.transaction() as inside:
        put(inside, "grid", [Grid([1])])
        inside.put("beside", 1)
        assert not scope.exists("grid")
    assert scope.get("grid")[0].cells == [1]


def test_tags_and_versions_are_those_of_any_put(files: holdfast.Store) -> None:
    scope = files.workflow("flow")
    first = put(scope, "grid", [Grid([1])], tags={"stage": "one"})
    assert first.tags == {"stage": "one"}
    assert put(scope, "grid", [Grid([2])], if_version=first.version).version > first.version
    with pytest.raises(holdfast.ConflictError):
        put(scope, "grid", [Grid([3])], if_version=first.version)
    with pytest.raises(holdfast.InvalidArgumentError, match="durable"):
        put(scope, "grid", [Grid([3])], tier="memory")
    assert scope.get("grid")[0].cells == [2]


def test_what_was_altered_is_not_loaded(files: holdfast.Store, tmp_path: Path) -> None:
    scope = files.workflow("flow")
    put(scope, "grid", {"grid": Grid(list(range(20_000))), "more": b"x" * 100_000})
    largest = max(blobs(tmp_path), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[500] ^= 1
    largest.chmod(0o644)
    largest.write_bytes(data)
    with pytest.raises(holdfast.DecodeError):
        scope.get("grid")
    apart.delete(scope, "grid", serializers=GRID)
    assert not scope.exists("grid")


def test_a_record_that_this_store_did_not_sign_runs_no_code(files: holdfast.Store) -> None:
    scope = files.workflow("flow")
    put(scope, "grid", [Grid([1])])
    files._kernel.signer = Signer(files.id, bytes(32))
    with pytest.raises(holdfast.SignatureError):
        scope.get("grid")
    assert ("unpickle", GridSerializer.calls[0][1]) not in GridSerializer.calls


BAD: dict[str, Any] = {
    "an instance": (GridSerializer(), "is a class"),
    "no name": (type("A", (GridSerializer,), {"name": None}), "needs a name"),
    "no type": (type("A", (GridSerializer,), {"serializer_class": "Grid"}), "serializer_class"),
    "no remove": (type("A", (), {"name": "a", "serializer_class": int, "pickle": len, "unpickle": len}), "remove"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_serializer_is_refused(files: holdfast.Store, name: str) -> None:
    given, message = BAD[name]
    with pytest.raises(holdfast.InvalidArgumentError, match=message):
        apart.put(files.workflow("flow"), "x", 1, serializers=[given])
    with pytest.raises(holdfast.InvalidArgumentError, match="protocol must be"):
        apart.put(files.workflow("flow"), "x", [1], protocol="ftp")
