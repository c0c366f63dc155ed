"""Objects of several contents, wherever catalog and bytes are: every verb treats them as it does any value."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import holdfast
from holdfast import StorableDataclass, StorableStream, StorableValue
from holdfast.errors import ConflictError, EncodeError, NotFoundError

from ..storages.authors import FileStorage
from .conftest import ARCHIVE, Open
from .samples import ROWS, Leaf, Odd, Plot, Run, alike, run


def test_an_object_comes_back_as_it_was(open_store: Open) -> None:
    with open_store() as store:
        scope = store.namespace("prod").workflow("forecast")
        record = scope.put("run", run(), tags={"stage": "eval"})
    with open_store() as store:
        scope = store.namespace("prod").workflow("forecast")
        got = scope.get("run")
        assert type(got) is Run
        assert alike(got, run())
        assert got.notes == {"holdfast": ("a", {1, 2}), 5: b"five", "small": got.notes["small"]}
        assert np.array_equal(got.notes["small"], np.arange(3))
        assert [line["n"] for line in got.lines] == list(range(5))
        assert scope.record("run") == record
        assert record.serializer == "holdfast.storable@v1"
        assert record.content_type == "application/vnd.holdfast.storable"
        assert record.size == sum(content.size for content in record.contents.values())
        assert [found.key for found in scope.list(tags={"stage": "eval"})] == ["run"]


def test_each_content_has_its_serializer_and_its_storage(open_store: Open, archive: FileStorage) -> None:
    with open_store() as store:
        scope = store.namespace("prod")
        record = scope.put("run", run())
        contents = scope.contents("run")
        own = None if store._kernel.inline > 1 << 20 else store._kernel.whereabouts(store._kernel.storage_id)[0]
        assert {name: content.serializer for name, content in contents.items()} == {
            "body": "holdfast.value@v1",
            "frame": "holdfast.pandas@v1",
            "table": "holdfast.pandas@v1",
            "leaves/0/array": "holdfast.numpy@v1",
            "by_name/only/array": "holdfast.numpy@v1",
            "plot/points": "holdfast.numpy@v1",
            "odd": "holdfast.pickle@v1",
            "lines": "holdfast.json-lines@v1",
        }
        assert {name: content.storage for name, content in contents.items()} == {
            **dict.fromkeys(contents),
            "frame": own,
            "table": ARCHIVE,
            "leaves/0/array": own,
            "plot/points": own,
        }
        assert [name for name, content in contents.items() if content.stream] == ["lines"]
        assert {name: content._replace(storage_config=None) for name, content in contents.items()} == record.contents
        (file,) = archive.prefix.iterdir()
        assert contents["table"].storage_config in (str(file), f'"{file}"')
        assert scope.contents("run") == contents
        scope.put("plain", 5)
        assert scope.contents("plain") == scope.record("plain").contents


@dataclass
class Body(StorableDataclass, class_id="a0000004"):
    """A field has the name that the plain values have."""

    body: Any
    other: Any = None


def test_contents_of_any_name_size_and_storage_come_back(open_store: Open) -> None:
    with open_store() as store:
        scope = store.namespace("prod")
        scope.put("body", Body(body=np.arange(50), other={1: np.arange(ROWS), "1": np.ones(ROWS)}))
        assert sorted(scope.contents("body")) == ["body", "body_", "other/1", "other/1_"]
        got = scope.get("body")
        assert got.body.tolist() == list(range(50))
        assert (got.other[1].sum(), got.other["1"].sum()) == (np.arange(ROWS).sum(), ROWS)
        scope.put("empty", StorableValue(b"", storage=ARCHIVE))
        assert scope.contents("empty")["item"].storage == ARCHIVE
        assert scope.get("empty").value == b""
        own = store._kernel.storage.name
        if own != "holdfast.inline@v1":
            scope.put("none", StorableValue(b"", storage=own))
            scope.put("nothing", StorableStream([], storage=own))
            assert (scope.get("none").value, list(scope.get("nothing").value_stream)) == (b"", [])


def test_small_objects_are_one_row(open_store: Open, archive: FileStorage) -> None:
    with open_store() as store:
        record = store.namespace("prod").put("leaf", Leaf(name="small", array=np.arange(100)))
        assert record.row.storage is None
        assert not list(archive.prefix.iterdir())
        got = store.namespace("prod").get("leaf")
        assert (got.name, got.array.tolist()) == ("small", list(range(100)))


def test_what_is_read_later_is_read_at_its_first_use(open_here: Open) -> None:
    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("run", run())
        got = scope.get("run")
        assert "not read" not in repr(vars(got)["speed"])
        assert type(vars(got)["frame"]).__name__ == "Unread"
        assert type(vars(got.leaves[0])["array"]).__name__ == "Unread"
        frame = got.frame
        assert got.frame is frame is vars(got)["frame"]
        got.frame = None
        assert got.frame is None


def test_verify_reads_all_of_it(open_store: Open) -> None:
    with open_store() as store:
        scope = store.namespace("prod")
        scope.put("run", run())
        got = scope.get("run", verify=True)
        assert type(vars(got)["frame"]) is pd.DataFrame
        assert alike(got, run())
        assert len(list(got.lines)) == 5
        assert store.verify().fine


def test_update_and_entry(open_store: Open) -> None:
    def faster(old: Any) -> Any:
        old.speed += 1
        return old

    with open_store() as store:
        scope = store.namespace("prod")
        first = scope.put("run", run(lines=None), tags={"a": "b"})
        entry = scope.update("run", faster)
        assert entry.version > first.version
        assert entry.record.tags == {"a": "b"}
        assert scope.entry("run").value.speed == 3.5
        assert alike(scope.get("run"), run(speed=3.5, lines=None))
        with pytest.raises(ConflictError):
            scope.put("run", run(), if_version=first.version)


def test_what_nobody_has_read_is_not_written_again(open_here: Open) -> None:
    """Of an object that was got the unread contents are taken over as they are, bytes and all."""
    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("run", run())
        before = scope.contents("run")
        got = scope.get("run")
        got.speed = 9.0
        scope.put("other", got)
        after = scope.contents("other")
        assert type(vars(got)["frame"]).__name__ == "Unread", "it was not even read"
        for name in ("frame", "leaves/0/array", "plot/points"):
            assert after[name] == before[name]
        assert after["table"] == before["table"], "also in a storage beside"
        scope.delete("run")
        store.gc()
        assert alike(scope.get("other"), run(speed=9.0))
        with store.transaction() as tx:
            inside = tx.namespace("prod")
            changed = inside.get("other")
            changed.speed = 10.0
            inside.put("third", changed)
        assert scope.contents("third")["frame"] == before["frame"]
        assert alike(scope.get("third"), run(speed=10.0))
        assert store.verify().fine


def test_copy_rename_and_delete(open_store: Open, archive: FileStorage) -> None:
    with open_store() as store:
        scope, other = store.namespace("prod"), store.namespace("test")
        scope.put("run", run())
        scope.copy("run", "copy")
        scope.rename("run", "moved", to=other)
        scope.delete("copy")
        store.gc()
        assert alike(other.get("moved"), run())
        other.delete("moved")
        store.gc()
        assert not list(archive.prefix.iterdir()), "bytes are collected"
        assert not scope.exists("copy")


def test_transactions(open_store: Open, archive: FileStorage) -> None:
    with open_store() as store:
        scope = store.namespace("prod")
        with store.transaction() as tx:
            inside = tx.namespace("prod")
            inside.put("run", run())
            assert alike(inside.get("run"), run())
            assert inside.contents("run")["table"].storage == ARCHIVE
            inside.copy("run", "copy")
            inside.put("number", 1)
            assert not scope.exists("run")
        assert alike(scope.get("copy"), run())
        failing = run(table=pd.DataFrame({"other": [1]}))
        with pytest.raises(EncodeError), scope.transaction() as inside:
            inside.put_many([("lost", failing), ("number", holdfast.StorableStream(5))])  # type: ignore[arg-type]
        store.gc()
        assert len(list(archive.prefix.iterdir())) == 1, "bytes of what was not committed are gone"
        assert list(scope) == ["copy", "number", "run"]


def test_put_many_history_and_expiry(open_store: Open) -> None:
    with open_store() as store:
        scope = store.namespace("prod")
        scope.set_policy(history=1)
        records = scope.put_many({"a": run(), "b": Leaf(name="b")})
        assert [record.key for record in records] == ["a", "b"]
        scope.put("a", Leaf(name="now"), expires=timedelta(days=1))
        store.gc()
        assert scope.get("a").name == "now"
        assert alike(scope.get("a", version=records[0].version), run())
        scope.restore("a", records[0].version)
        assert alike(scope.get("a"), run())
        store.namespace("prod").drop()
        with pytest.raises(NotFoundError):
            scope.get("a")


def test_memoized_results(open_here: Open) -> None:
    calls = []
    with open_here() as store:

        @store.memoize(version="1")
        def simulate(speed: float) -> Run:
            calls.append(speed)
            return run(speed=speed, lines=None)

        assert alike(simulate(4.0), run(speed=4.0))
        assert alike(simulate(4.0), run(speed=4.0))
        assert calls == [4.0]


def test_async_programs_get_objects_whole(open_store: Open) -> None:
    """Async programs get objects whole, as nobody may wait for an attribute; streams are asynchronous ones."""

    async def lines() -> Any:
        for n in range(5):
            await asyncio.sleep(0)
            yield {"n": n}

    async def main(store: holdfast.Store) -> None:
        scope = store.namespace("prod").aio
        await scope.put("run", run(lines=lines()))
        got = await scope.get("run")
        assert type(vars(got)["frame"]) is pd.DataFrame
        assert alike(got, run())
        assert [line["n"] async for line in got.lines] == list(range(5))
        entry = await scope.entry("run")
        assert type(vars(entry.value)["frame"]) is pd.DataFrame
        assert (await scope.contents("run"))["table"].storage == ARCHIVE
        await asyncio.gather(*(scope.put(f"many/{n}", run(speed=n, lines=lines())) for n in range(12)))
        assert [(await scope.get(f"many/{n}")).speed for n in range(12)] == list(range(12))
        got.lines = lines()  # those that it came with were read
        await scope.put("again", got)
        assert alike(await scope.get("again"), run())

    with open_store() as store:
        asyncio.run(asyncio.wait_for(main(store), 60))
        got = store.namespace("prod").get("run")
        assert [line["n"] for line in got.lines] == list(range(5))


def test_single_values_and_streams(open_store: Open) -> None:
    with open_store() as store:
        scope = store.namespace("prod")
        value = holdfast.StorableValue(np.arange(ROWS), storage=ARCHIVE, serializer="holdfast.numpy@v1")
        scope.put("value", value)
        scope.put("stream", holdfast.StorableStream(iter([(1, "a"), (2, "b")]), storage=FileStorage))
        assert scope.contents("value")["item"].storage == ARCHIVE
        assert scope.contents("stream")["item"].storage == ARCHIVE
        assert np.array_equal(scope.get("value").value, value.value)
        assert list(scope.get("stream").value_stream) == [(1, "a"), (2, "b")]
        assert holdfast.StorableValue(5) == holdfast.StorableValue(5) != holdfast.StorableValue(6)
        assert repr(holdfast.StorableValue(5)) == "StorableValue(5)"


def test_a_class_with_slots(open_here: Open) -> None:
    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("plot", Plot(title="a", points=np.zeros(ROWS)))
        got = scope.get("plot")
        assert got.points.shape == (ROWS,)
        assert Plot(title="b").points is None, "the class works as before"
        with pytest.raises(AttributeError):
            got.points = None


def test_the_pickle_is_of_the_whole_object(open_here: Open) -> None:
    """An object that was got is pickled with what it has not read yet, and compares and prints by it."""
    import copy
    import dataclasses
    import pickle

    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("run", run(lines=None))
        assert alike(pickle.loads(pickle.dumps(scope.get("run"))), run())
        assert alike(copy.deepcopy(scope.get("run")), run())
        assert alike(copy.copy(scope.get("run")), run())
        assert alike(dataclasses.replace(scope.get("run"), speed=1.0), run(speed=1.0))
        assert dataclasses.asdict(scope.get("run"))["odd"] == Odd(7)
        assert "DataFrame" not in repr(scope.get("run").frame)
        assert f"{ROWS} rows" in repr(scope.get("run"))


def test_other_processes_read_it(open_here: Open, tmp_path: Path) -> None:
    import subprocess
    import sys

    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("run", run(lines=None))
        import pickle

        (tmp_path / "scope").write_bytes(pickle.dumps(scope))
        code = "import pickle,sys; s=pickle.load(open(sys.argv[1],'rb')); import tests.storable.samples as m; "
        code += "print(m.alike(s.get('run'), m.run()))"
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "scope")],
            capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert done.stdout == "True\n", done.stderr
