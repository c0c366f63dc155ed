"""F1, F6, F7 and F12: storages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast.compat.functionfuse import workflow
from holdfast.compat.functionfuse.backends.builtin.localback import LocalWorkflow
from holdfast.compat.functionfuse.errors import InvalidPickle
from holdfast.compat.functionfuse.storage import storage_factory
from holdfast.signing import Signer

from .functionfuse_backends import EVERYWHERE, Backend, Place, close_below
from .jobs import python


@pytest.fixture(autouse=True)
def closed(tmp_path: Path) -> Iterator[None]:
    """Nothing stays open in a folder that is removed."""
    yield
    close_below(tmp_path)


def give(value: Any) -> Any:
    """A node that gives something."""

    @workflow
    def given() -> Any:
        return value

    return given()


@EVERYWHERE
def test_f01_every_kind_with_every_backend(backend: Backend, place: Place) -> None:
    first, second = place.storage(), place.storage()
    assert backend.run(give({"a": [1, 2]}).set_name("one"), storage=first) == {"a": [1, 2]}
    assert backend.run(give(np.arange(50_000)).set_name("large"), storage=second)[-1] == 49_999
    assert first.list_tasks(workflow_name="flow") == ["large", "one"]
    assert second.read_task(workflow_name="flow", task_name="one") == {"a": [1, 2]}
    assert int(first.read_task(workflow_name="flow", task_name="large").sum()) == 49_999 * 25_000


def test_f01_a_workflow_is_a_scope(tmp_path: Path) -> None:
    storage = storage_factory({"kind": "file", "options": {"path": "storage"}})
    flow = LocalWorkflow(give(5).set_name("five"), workflow_name="sums")
    flow.set_storage(storage)
    flow.run()
    with holdfast.open(tmp_path / "storage", create=False) as store:
        assert store.workflow("sums").get("five") == 5
        record = store.workflow("sums").record("five")
    assert {"node", "run", "task"} <= set(record.tags)


def test_f01_two_places_in_a_bucket_are_two(tmp_path: Path, s3_endpoint: str) -> None:
    keys = {"key": "tester", "secret": "of-no-worth"}
    ways: list[tuple[str, Any]] = [
        ("one", {"endpoint_url": s3_endpoint, "use_ssl": False, "anon": False}),
        ("other", {"client_kwargs": {"endpoint_url": s3_endpoint, "region_name": "us-east-1"}}),
    ]
    with holdfast.open(tmp_path / "catalog", cache=tmp_path / "copies") as store, store.context():
        both = [
            storage_factory({"kind": "S3", "options": {"path": f"/bucket/{name}-{tmp_path.name}", "s3fs": keys | way}})
            for name, way in ways
        ]
        flow = LocalWorkflow(give(np.arange(50_000)).set_name("large"), workflow_name="flow")
        flow.set_storage(both[0])
        flow.run()
        assert both[0].list_tasks(workflow_name="flow") == ["large"]
        assert both[1].list_tasks(workflow_name="flow") == []
        flow.set_storage(both[1])
        assert len(flow.run()) == len(both[1].read_task("flow", "large")) == 50_000


BAD: dict[str, tuple[Any, str]] = {
    "no mapping": (5, "described by"),
    "an unknown kind": ({"kind": "tape", "options": {"path": "a"}}, "'tape': there are file, ray, S3"),
    "no kind": ({"options": {"path": "a"}}, "there are file, ray, S3"),
    "options that are none": ({"kind": "file", "options": "a"}, "described by"),
    "no path": ({"kind": "file"}, "needs a path"),
    "a path that is none": ({"kind": "file", "options": {"path": 5}}, "needs a path"),
    "an unknown option": (
        {"kind": "file", "options": {"path": "a", "remote": 1}},
        "no option 'remote': there are path",
    ),
    "s3fs that is none": ({"kind": "S3", "options": {"path": "/a/b", "s3fs": "key"}}, "s3fs has options by name"),
}


@pytest.mark.parametrize("name", BAD)
def test_f01_bad_input(name: str) -> None:
    opt, message = BAD[name]
    with pytest.raises(holdfast.InvalidArgumentError, match=message):
        storage_factory(opt)


def test_f01_a_bucket_needs_a_catalog() -> None:
    with pytest.raises(holdfast.StoreNotFoundError, match=r"HOLDFAST_STORE.*postgresql"):
        storage_factory({"kind": "S3", "options": {"path": "/bucket/prefix"}})


@EVERYWHERE
def test_f06_names_come_sorted_by_glob(backend: Backend, place: Place) -> None:
    storage = place.storage()
    nodes = [give(number).set_name(name) for number, name in enumerate(["b", "a2", "a1", "c/d"])]
    backend.run(*nodes, storage=storage)
    assert storage.list_tasks(workflow_name="flow") == ["a1", "a2", "b", "c/d"]
    assert storage.list_tasks(workflow_name="flow", pattern="a*") == ["a1", "a2"]
    assert storage.list_tasks(workflow_name="flow", pattern="[bc]*") == ["b", "c/d"]
    assert storage.list_tasks(workflow_name="flow", pattern="z*") == []
    assert storage.list_tasks(workflow_name="other") == []
    assert storage.read_task(workflow_name="flow", task_name="c/d") == 3


def test_f06_what_is_missing(place: Place) -> None:
    storage = place.storage()
    for name in ("flow", "other"):
        with pytest.raises(FileNotFoundError, match="no result of 'a'"):
            storage.read_task(workflow_name=name, task_name="a")


def test_f06_another_process_sees_them(place: Place, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    flow = LocalWorkflow(give([1, {2}]).set_name("some"), workflow_name="flow")
    flow.set_storage(place.storage())
    flow.run()
    more: dict[str, Any] = {}
    if place.kind == "ray":
        more = request.getfixturevalue("ray_cluster").environment
    elif place.kind == "S3":
        more = {"HOLDFAST_STORE": str(tmp_path / "catalog")}
    code = f"""
from holdfast.compat.functionfuse.storage import storage_factory
storage = storage_factory({{"kind": {place.kind!r}, "options": {place.options!r}}})
print(storage.list_tasks("flow"), storage.read_task("flow", "some"))
"""
    assert python("-c", code, **more).stdout == "['some'] [1, {2}]\n"


@EVERYWHERE
def test_f07_results_are_removed(backend: Backend, place: Place) -> None:
    storage = place.storage()
    backend.run(*(give(name).set_name(name) for name in ("a1", "a2", "b", "c")), storage=storage)
    storage.remove_task("flow", "b")
    storage.remove_task(workflow_name="flow", pattern="a*")
    assert storage.list_tasks("flow") == ["c"]
    storage.remove_task("flow", pattern="z*")  # which are none
    with pytest.raises(FileNotFoundError, match="no result of 'b'"):
        storage.remove_task("flow", "b")
    for wrong in ({}, {"task_name": "c", "pattern": "c"}):
        with pytest.raises(holdfast.InvalidArgumentError, match="a task_name, or a pattern"):
            storage.remove_task("flow", **wrong)
    for _ in range(2):  # the second time there is none
        storage.remove_workflow("flow")
        assert storage.list_tasks("flow") == []


@EVERYWHERE
def test_f07_always_read(backend: Backend, place: Place) -> None:
    """What is handed on is what was stored, so that a change of what was returned is not seen."""
    storage = place.storage()
    assert storage.always_read is False
    storage.always_read = True

    @workflow
    def make() -> Any:
        return np.arange(50_000)

    @workflow
    def change(numbers: Any) -> int:
        numbers = numbers.copy()
        numbers[:] = 0
        return int(numbers.sum())

    @workflow
    def total(numbers: Any, after: Any) -> int:
        return int(numbers.sum())

    made = make().set_name("made")
    assert backend.run(total(made, change(made)), storage=storage) == 49_999 * 25_000


@EVERYWHERE
def test_f07_always_read_of_a_small_one(backend: Backend, place: Place) -> None:
    """What is handed on is what its serializer reads, which need not be what it wrote."""

    class Text(str):
        __slots__ = ()

    class TextSerializer:
        name = "text"
        serializer_class = Text

        @classmethod
        def pickle(cls, obj: Any, protocols: Any) -> Any:
            return cls.name, (1, f"{obj} read back")

        @classmethod
        def unpickle(cls, persistent_id: Any, protocols: Any) -> Any:
            return persistent_id[1]

        @classmethod
        def remove(cls, persistent_id: Any, protocols: Any) -> None:
            pass

    @workflow
    def make() -> Any:
        return [Text("a")]

    @workflow
    def join(found: Any) -> str:
        return "".join(found)

    storage = place.storage(TextSerializer)
    storage.always_read = True
    made = make().set_name("made")
    assert backend.run(join(made).set_name("joined"), made, storage=storage) == ["a read back", ["a read back"]]


@pytest.mark.parametrize("how", ["truncated", "altered", "removed"])
def test_f12_what_was_altered_is_told_and_not_returned(backend: Backend, tmp_path: Path, how: str) -> None:
    storage = storage_factory({"kind": "file", "options": {"path": str(tmp_path / "storage")}})
    node = give({"code": len, "data": "x" * 100_000}).set_name("some")
    backend.run(node, storage=storage)
    files = (tmp_path / "storage" / "files").rglob("*")
    (stored,) = (path for path in files if path.is_file() and path.stat().st_size > 100_000)
    data = bytearray(stored.read_bytes())
    data[50_000] ^= 1
    if how == "removed":
        stored.unlink()
    else:
        stored.write_bytes(data[:50_000] if how == "truncated" else data)
    with pytest.raises(InvalidPickle) as caught:
        storage.read_task("flow", "some")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, holdfast.HoldfastError)

    @workflow
    def size(found: Any) -> int:
        return len(found)

    for wanted in (node, size(node).set_name("size")):
        with pytest.raises(InvalidPickle):
            backend.run(wanted, storage=storage)
    assert storage.list_tasks("flow") == ["some"]


def test_f12_small_ones_are_in_the_catalog_and_signed(tmp_path: Path) -> None:
    storage = storage_factory({"kind": "file", "options": {"path": str(tmp_path / "storage")}})
    flow = LocalWorkflow(give(len).set_name("some"), workflow_name="flow")
    flow.set_storage(storage)
    flow.run()
    assert storage.read_task("flow", "some") is len
    kernel = storage.scope("flow")._kernel
    kernel.signer = Signer(kernel.catalog.store_id, bytes(32))
    with pytest.raises(InvalidPickle, match="signed with another key"):
        storage.read_task("flow", "some")
