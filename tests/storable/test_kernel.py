"""What objects ask of the kernel: other registries on an open store, storages beside its own, and ends of all kinds."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast import Registry, StorableStream, StorableValue
from holdfast.catalog.base import WriteAgain
from holdfast.errors import ClosedError, NotRegisteredError
from holdfast.objects import put, put_contents
from holdfast.options import PLAIN
from holdfast.payload import Payload
from holdfast.reading import load
from holdfast.serializers.base import Serializer
from holdfast.steps import run as run_steps

from ..storages.authors import FileStorage
from .conftest import ARCHIVE, Open
from .samples import ROWS, Leaf, Run, alike, run


class Reversed(Serializer):
    """Text from its end."""

    name = "tests.reversed@v1"

    def serialize(self, value: Any) -> Payload:
        return Payload([value[::-1].encode()], "text/plain")

    def deserialize(self, payload: Payload) -> Any:
        return bytes(payload.buffers[0]).decode()[::-1]


class Second(FileStorage):
    """Another storage."""

    name = "tests.second@v1"


def files(tmp_path: Path) -> list[Path]:
    """The files of the store's own storage."""
    return [path for path in (tmp_path / "data" / "files").rglob("*") if path.name.isdigit()]


def test_an_open_store_under_another_registry(open_store: Open, tmp_path: Path, archive: FileStorage) -> None:
    second = Second(tmp_path / "second")
    registry = Registry([Reversed], [second])
    with open_store() as store:
        kernel = store._kernel
        other = kernel.under(registry)
        assert other is kernel.under(Registry([Reversed], [second])), "equal registries, one kernel"
        assert other.catalog is kernel.catalog
        assert other.same_store(kernel)
        path = store.namespace("prod").path
        value = StorableValue("abc" * ROWS, serializer=Reversed, storage=Second)
        put(other, other.catalog, path, "value", value)
        assert len(list(second.prefix.iterdir())) == 1
        (row,) = other.catalog.find(path, "value")
        assert load(other, path, "value", row).value == "abc" * ROWS
        with pytest.raises(NotRegisteredError, match=r"StorableValue\.item.*'tests\.reversed@v1'"):
            store.namespace("prod").get("value")
        with pytest.raises(NotRegisteredError, match=r"no storage is named 'authors\.file@v1'"):
            put(other, other.catalog, path, "archived", StorableValue(1, storage=ARCHIVE))
        store.namespace("prod").put("run", run())
        scope = store.namespace("prod")
        assert type(scope)(other, path).get("run").speed == 2.5
    assert other.closed
    with pytest.raises(ClosedError):
        other.catalog.find(path, "value")


def test_a_kernel_under_another_registry_is_pickled_with_it(open_here: Open, tmp_path: Path) -> None:
    with open_here() as store:
        other = store._kernel.under(Registry([Reversed]))
        scope = holdfast.Scope(other, (("namespace", "prod"),))
        scope.put("text", "abc", serializer="tests.reversed@v1")
        again = pickle.loads(pickle.dumps(scope))
        assert again.get("text") == "abc"
        again._kernel.close()


def test_contents_that_an_unpacker_would_give(open_store: Open) -> None:
    """Who takes objects apart by himself puts the contents as they are."""
    with open_store() as store:
        kernel, scope = store._kernel, store.namespace("prod")
        thing = ("a0000001".ljust(32, "0"), "holdfast.dataclass@v1", "tests.Leaf")
        contents: dict[str, dict[str, Any]] = {
            "body": {"value": {"fields": {"name": "by hand"}, "marked": []}, "storage": ARCHIVE},
            "beside": {"value_stream": iter([1, 2]), "serializer": None},
        }
        record = run_steps(put_contents(kernel, kernel.catalog, scope.path, "leaf", thing, contents, PLAIN))
        assert record.contents["body"].storage == ARCHIVE
        assert scope.get("leaf") == Leaf(name="by hand")


def test_a_storage_of_a_field_is_not_the_store_s_own(open_here: Open, tmp_path: Path, archive: FileStorage) -> None:
    with open_here() as store:
        store.namespace("prod").put("run", run())
    with holdfast.open(tmp_path / "data") as store:  # without storage=
        assert store.namespace("prod").put("large", bytes(100_000)).contents["value"].storage == "holdfast.file@v1"
    registry = Registry(storages=[archive])
    with holdfast.open(tmp_path / "data", storage=ARCHIVE, registry=registry) as store:  # now it is
        scope = store.namespace("prod")
        scope.put("again", run())
        assert scope.contents("again")["table"].storage == scope.contents("again")["frame"].storage == ARCHIVE
        assert alike(scope.get("again"), run())
        assert alike(scope.get("run"), run())
        scope.delete("again")
        store.gc()
        assert alike(scope.get("run"), run()), "though one place is under two numbers"
        assert store.verify().fine


def test_the_catalog_and_the_files_are_storages_too(open_store: Open) -> None:
    large = np.arange(ROWS)
    with open_store() as store:
        scope = store.namespace("prod")
        scope.put("inline", StorableValue(large, storage="holdfast.inline@v1"))
        content = scope.contents("inline")["item"]
        assert content.storage is None
        assert content.size > ROWS
        assert np.array_equal(scope.get("inline").value, large)
        own = store._kernel.storage.name
        scope.put("own", StorableValue(5, storage=own))
        assert scope.get("own").value == 5
        if store._kernel.folder is not None:
            scope.put("files", StorableValue(5, storage="holdfast.file@v1"))
            assert scope.contents("files")["item"].storage == "holdfast.file@v1"
            assert scope.get("files").value == 5


def test_many_small_contents_do_not_swell_the_catalog(open_here: Open) -> None:
    leaves = [Leaf(name=str(n), array=np.full(3000, n)) for n in range(60)]
    with open_here() as store:
        record = store.namespace("prod").put("run", run(leaves=leaves))
        beside = [content for content in record.contents.values() if content.storage is not None]
        within = [content for content in record.contents.values() if content.storage is None]
        assert sum(content.size for content in within) <= 1 << 20
        assert len(beside) >= 20
        assert alike(store.namespace("prod").get("run"), run(leaves=leaves))


# --- ends of all kinds ------------------------------------------------------------------------------------------------


def test_a_place_that_is_being_collected(open_here: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are written again, and streams, which are read once, are an error."""
    with open_here() as store:
        scope, commits = store.namespace("prod"), []
        commit = store._kernel.catalog.commit

        def busy(changes: Any, **options: Any) -> Any:
            commits.append(len(changes[0].members))
            if len(commits) % 2:
                raise WriteAgain("it is being collected")
            return commit(changes, **options)

        monkeypatch.setattr(store._kernel.catalog, "commit", busy)
        scope.put("run", run(lines=None))
        assert commits == [4, 4]
        assert alike(scope.get("run"), run())
        with pytest.raises(WriteAgain):
            scope.put("stream", StorableStream(iter([1]), storage=ARCHIVE))
        assert not scope.exists("stream")


def test_a_failed_write_leaves_no_bytes(open_here: Open, tmp_path: Path, archive: FileStorage) -> None:
    with open_here() as store:
        scope = store.namespace("prod")
        first = scope.put("run", run())
        before = files(tmp_path)
        with pytest.raises(holdfast.ConflictError):
            scope.put("run", run(frame=run().frame * 2, leaves=[], plot=None), if_version=first.version - 1 or 99)
        with pytest.raises(ZeroDivisionError):
            scope.put("run", run(frame=run().frame * 3, lines=(1 // 0 for _ in range(1))))
        assert files(tmp_path) == before
        assert scope.record("run").version == first.version


def test_equal_contents_are_kept_once(open_here: Open, tmp_path: Path) -> None:
    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("a", run())
        before = files(tmp_path)
        scope.put("b", run(speed=1.0))
        assert files(tmp_path) == before
        scope.delete("a")
        store.gc()
        assert alike(scope.get("b"), run(speed=1.0))
        scope.delete("b")
        store.gc()
        assert files(tmp_path) == []


def test_a_cancelled_put_leaves_nothing(open_here: Open, tmp_path: Path) -> None:
    async def stuck() -> Any:
        yield {"n": 1}
        await asyncio.sleep(60)

    async def main(scope: Any) -> None:
        task = asyncio.create_task(scope.put("run", run(lines=stuck())))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not await scope.exists("run")
        await asyncio.gather(*(scope.put(f"k{n}", run(lines=None)) for n in range(3)))

    with open_here() as store:
        scope = store.namespace("prod")
        asyncio.run(asyncio.wait_for(main(scope.aio), 30))
        for key in scope:
            scope.delete(key)
        store.gc()
        assert files(tmp_path) == []
        assert store.verify().fine


def test_an_object_put_with_power_is_on_disk(open_here: Open) -> None:
    with open_here() as store:
        record = store.namespace("prod").put("run", run(), durability="power")
        assert record.durability == "power"
        later = store.namespace("prod").put("other", run(frame=run().frame * 2))
        assert later.durability == "process"
        store.sync()
        assert store.namespace("prod").record("other").durability == "power"


def test_a_serializer_for_all_of_it(open_here: Open) -> None:
    with open_here() as store:
        scope = store.namespace("prod")
        record = scope.put("leaf", Leaf(name="a"), serializer="holdfast.pickle@v1")
        assert list(record.contents) == ["value"]
        assert scope.get("leaf") == Leaf(name="a")


def test_compression_is_of_each_content(open_here: Open) -> None:
    with open_here() as store:
        scope = store.namespace("prod")
        record = scope.put("run", run(lines=({"n": n} for n in range(9999))), compression="zstd", content_type="a/b")
        assert record.content_type == "a/b"
        encodings = {name: content.encoding for name, content in record.contents.items()}
        assert encodings["frame"] == encodings["lines"] == "zstd"
        assert encodings["odd"] is None
        assert alike(scope.get("run"), run())
        assert len(list(scope.get("run").lines)) == 9999
        assert scope.set_content_type("run", "c/d").content_type == "c/d"
        assert type(scope.get("run")) is Run
