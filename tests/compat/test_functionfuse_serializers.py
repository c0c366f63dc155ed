"""F8 to F10: persistent serializers and protocols."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

import holdfast
from holdfast.compat.functionfuse import workflow
from holdfast.compat.functionfuse.serializers import FILE_PROTOCOL, S3_PROTOCOL
from holdfast.compat.functionfuse.serializers.daskarray import DaskArraySerializer
from holdfast.compat.functionfuse.storage import storage_factory

from .functionfuse_backends import EVERYWHERE, Backend, Notes, Place, close_below


@pytest.fixture(autouse=True)
def closed(tmp_path: Path) -> Iterator[None]:
    """Nothing stays open in a folder that is removed."""
    yield
    close_below(tmp_path)


def grids(notes: Notes | None = None) -> tuple[Any, Any]:
    """A class that cannot be pickled, and a serializer for it, which notes its calls; they travel by value."""
    note = (lambda word: None) if notes is None else notes.note

    class Grid:
        def __init__(self, cells: list[int]) -> None:
            self.cells = cells

        def __reduce__(self) -> Any:
            raise TypeError("a grid is not to be pickled")

    class GridSerializer:
        name = "grid"
        serializer_class = Grid

        @classmethod
        def pickle(cls, obj: Any, protocols: Mapping[str, Any]) -> Any:
            import json
            import uuid

            filename = f"{uuid.uuid4().hex}.json"
            if "file_protocol" in protocols:
                with protocols["file_protocol"].open(filename, "wb") as file:
                    file.write(json.dumps(obj.cells).encode())
            else:
                s3 = protocols["s3 protocol"]
                with s3["client"].open(s3["folder"] + "/" + filename, "wb") as file:
                    file.write(json.dumps(obj.cells).encode())
            note("pickle")
            return cls.name, ("1.0", filename)

        @classmethod
        def unpickle(cls, persistent_id: Any, protocols: Mapping[str, Any]) -> Any:
            import json

            _, filename = persistent_id
            if "file_protocol" in protocols:
                with protocols["file_protocol"].open(filename, "rb") as file:
                    return Grid(json.loads(file.read()))
            s3 = protocols["s3 protocol"]
            with s3["client"].open(s3["folder"] + "/" + filename, "rb") as file:
                return Grid(json.loads(file.read()))

        @classmethod
        def remove(cls, persistent_id: Any, protocols: Mapping[str, Any]) -> None:
            note("remove")
            if "file_protocol" in protocols:
                protocols["file_protocol"].remove(persistent_id[1])
            else:
                s3 = protocols["s3 protocol"]
                s3["client"].rm_file(s3["folder"] + "/" + persistent_id[1])
                s3["client"].rm(s3["folder"] + "/arrays/" + persistent_id[1], recursive=True)

    return Grid, GridSerializer


@EVERYWHERE
def test_f08_chosen_types_go_out_of_band(backend: Backend, place: Place, tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    kind, serializer = grids(notes)
    storage = place.storage(serializer)

    @dataclass
    class Held:
        grid: Any
        more: int

    @workflow
    def make() -> Any:
        return {"grids": [kind([1, 2]), (kind([3]),)], "held": Held(kind([7]), 5)}

    @workflow
    def total(found: Any) -> int:
        held = found["held"]
        return sum(found["grids"][0].cells) + found["grids"][1][0].cells[0] + held.grid.cells[0] + held.more

    made = make().set_name("made")
    assert backend.run(total(made).set_name("total"), storage=storage) == 18
    assert notes.taken() == ["pickle"] * 3
    found = place.storage(serializer).read_task("flow", "made")
    assert found["grids"][0].cells == [1, 2]
    assert type(found["grids"][1][0]).__name__ == type(found["held"].grid).__name__ == "Grid"
    names = set(storage.scope("flow").contents("made"))
    assert sum(name.endswith(".json") for name in names) == 3
    storage.remove_task("flow", "made")
    assert notes.taken() == ["remove"] * 3
    with pytest.raises(FileNotFoundError):
        storage.read_task("flow", "made")


@EVERYWHERE
def test_f08_without_it_they_are_refused(backend: Backend, place: Place) -> None:
    kind, _ = grids()

    @workflow
    def make() -> Any:
        return [kind([1])]

    with pytest.raises(holdfast.EncodeError, match="not to be pickled") as caught:
        backend.run(make().set_name("made"), storage=place.storage())
    assert "log_nodes()" in caught.value.__notes__[0]
    assert place.storage().list_tasks("flow") == []


def test_f08_removing_a_workflow_removes_what_they_kept(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    kind, serializer = grids(notes)
    storage = storage_factory({"kind": "file", "options": {"path": "storage"}})
    storage.register_persistent_serializers(serializer)

    @workflow
    def make() -> Any:
        return kind([1])

    Backend("local").run(make().set_name("made"), storage=storage)
    storage.remove_workflow("flow")
    assert notes.taken() == ["pickle", "remove"]


def test_f08_bad_input() -> None:
    storage = storage_factory({"kind": "file", "options": {"path": "storage"}})
    with pytest.raises(holdfast.InvalidArgumentError, match="needs a name"):
        storage.register_persistent_serializers(int)


def test_f09_protocols(place: Place) -> None:
    assert (FILE_PROTOCOL, S3_PROTOCOL) == ("file_protocol", "s3 protocol")
    protocols = place.storage().protocols
    if place.kind == "S3":
        assert list(protocols) == [S3_PROTOCOL]
        client, path = protocols[S3_PROTOCOL]["client"], f"{protocols[S3_PROTOCOL]['folder']}/some/file"
        with client.open(path, "wb") as file:
            file.write(b"text")
        assert client.cat(path) == b"text"
        assert client.get_mapper(protocols[S3_PROTOCOL]["folder"])["some/file"] == b"text"
        client.rm(path)
        assert not client.exists(path)
        return
    assert list(protocols) == [FILE_PROTOCOL]
    with protocols[FILE_PROTOCOL].open("some/file", "wb") as file:
        file.write(b"text")
    with place.storage().protocols[FILE_PROTOCOL].open("some/file", "rb") as file:
        assert file.read() == b"text"
    protocols[FILE_PROTOCOL].remove("some/file")
    for call in (
        lambda: protocols[FILE_PROTOCOL].open("some/file", "rb"),
        lambda: protocols[FILE_PROTOCOL].remove("x"),
    ):
        with pytest.raises(FileNotFoundError) as caught:
            call()
        assert isinstance(caught.value, holdfast.NotFoundError)


@EVERYWHERE
def test_f09_a_serializer_is_given_those_of_its_storage(backend: Backend, place: Place) -> None:
    class Told:
        pass

    class ToldSerializer:
        name = "told"
        serializer_class = Told

        @classmethod
        def pickle(cls, obj: Any, protocols: Mapping[str, Any]) -> Any:
            files = protocols.get("file_protocol") or protocols["s3 protocol"]["client"]
            folder = "" if "file_protocol" in protocols else protocols["s3 protocol"]["folder"] + "/"
            with files.open(folder + "a.txt", "w") as file:
                file.write("one")
            with files.open(folder + "b/c.txt", "wb") as file:
                file.write(b"two")
            with files.open(folder + "a.txt", "r") as file:
                assert file.read() == "one"  # what was written can be read at once
            return cls.name, (2, "a.txt")

        @classmethod
        def unpickle(cls, persistent_id: Any, protocols: Mapping[str, Any]) -> Any:
            if "file_protocol" in protocols:
                return [protocols["file_protocol"].open(name, "rb").read() for name in ("a.txt", "b/c.txt")]
            s3 = protocols["s3 protocol"]
            assert sorted(s3["client"].find(s3["folder"])) == [f"{s3['folder']}/a.txt", f"{s3['folder']}/b/c.txt"]
            return [s3["client"].cat(f"{s3['folder']}/{name}") for name in ("a.txt", "b/c.txt")]

        @classmethod
        def remove(cls, persistent_id: Any, protocols: Mapping[str, Any]) -> None:
            assert persistent_id == (2, "a.txt")

    @workflow
    def make() -> Any:
        return [Told()]

    storage = place.storage(ToldSerializer)
    backend.run(make().set_name("made"), storage=storage)
    assert storage.read_task("flow", "made") == [[b"one", b"two"]]
    storage.remove_task("flow", "made")


@EVERYWHERE
def test_f10_dask_arrays(backend: Backend, place: Place) -> None:
    storage = place.storage(DaskArraySerializer)

    @workflow
    def make() -> Any:
        import dask.array as da

        return {"array": da.arange(20_000, chunks=2_000).reshape(100, 200), "deep": [[da.ones((3, 4), chunks=2)]]}

    @workflow
    def total(found: Any) -> int:
        return int(found["array"].sum().compute(scheduler="threads"))

    assert backend.run(total(make().set_name("made")), storage=storage) == 19_999 * 10_000
    found = place.storage(DaskArraySerializer).read_task("flow", "made")
    array = found["array"]
    assert type(array) is da.Array
    assert array.chunks == da.arange(20_000, chunks=2_000).reshape(100, 200).chunks
    assert int(array[50:, 7].sum().compute()) == sum(range(10_007, 20_000, 200))
    np.testing.assert_array_equal(found["deep"][0][0].compute(), np.ones((3, 4)))
    names = list(storage.scope("flow").contents("made"))
    if place.kind == "S3":
        assert sum(".zarr/c/" in name for name in names) == 10 + 4
    else:
        assert sum(name.endswith(".h5") for name in names) == 2


BOUNDED = """
import sys
from holdfast.compat.functionfuse import workflow
from holdfast.compat.functionfuse.backends.builtin.localback import LocalWorkflow
from holdfast.compat.functionfuse.serializers.daskarray import DaskArraySerializer
from holdfast.compat.functionfuse.storage import storage_factory

@workflow
def make():
    import dask.array as da
    return [da.ones(int(sys.argv[1]) << 17, chunks=1_000_000)]

@workflow
def total(found):
    return int(found[0].sum().compute(scheduler="threads", num_workers=2))

storage = storage_factory({"kind": "file", "options": {"path": "storage"}})
storage.register_persistent_serializers(DaskArraySerializer)
flow = LocalWorkflow(total(make().set_name("made")), workflow_name="flow")
flow.set_storage(storage)
assert flow.run() == int(sys.argv[1]) << 17
with open("/proc/self/status") as status:  # ru_maxrss would have what the process had that began this one
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024)
"""


@pytest.mark.parametrize(
    "megabytes, most",
    [(300, 400), pytest.param(4096, 512, marks=[pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(900)])],
)
def test_f10_they_are_never_gathered(megabytes: int, most: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(megabytes)], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < most
