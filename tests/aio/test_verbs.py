"""What each verb does, and the error for what it cannot."""

from __future__ import annotations

import asyncio
import contextvars
import pickle
import threading
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from tests.aio.running import awaited, everything, stray_files, trickle

LARGE = bytes(range(256)) * 400


class Point:
    """A value that only pickle can hold."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x

    def __hash__(self) -> int:
        return self.x


VALUES: dict[str, Any] = {
    "int": 7,
    "most": (1 << 63) - 1,
    "big": 1 << 70,
    "huge": 1 << 200_000,
    "none": None,
    "text": "é" * 50,
    "long text": "é" * 16_000,
    "longest text": "x" * 100_000,
    "bytes": b"\0\xff",
    "large": LARGE,
    "nested": {"a": [1, 2.5, None, (b"", {3})], "b": {"c": "é"}, 3: True},
    "numbers": list(range(400)),
    "many": list(range(2000)),
    "many texts": ["é" * 20] * 400,
    "deep": [[[[[[[[[[1]]]]]]]]]],
    "array": np.arange(6),
    "nested array": {"name": "n", "array": np.arange(3)},
    "large array": np.arange(100_000),
    "pickled": Point(3),
    "looks like a name": {"a": "holdfast.numpy@v1"},
}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    return type(one) is type(other) and bool(one == other)


@pytest.mark.parametrize("name", VALUES)
@awaited
async def test_a_value_comes_back_as_it_was(scope: holdfast.Scope, name: str) -> None:
    value, aio = VALUES[name], scope.aio
    for _ in range(2):  # the first time in a thread, where what it needs is imported
        record = await aio.put("k", value)
        assert same(value, await aio.get("k"))
        assert same(value, scope.get("k"))
        entry = await aio.entry("k")
        assert same(value, entry.value)
        assert entry.record.version == record.version
    assert (await aio.record("k")).size == record.size
    assert await aio.exists("k")
    assert same(value, await aio.get("k", verify=True))


@awaited
async def test_what_is_not_there(scope: holdfast.Scope) -> None:
    aio = scope.aio
    for verb in (aio.get, aio.entry, aio.record, aio.get_bytes, aio.delete):
        with pytest.raises(holdfast.NotFoundError, match="no record namespace:prod/workflow:forecast/k"):
            await verb("k")
    assert await aio.get("k", None) is None
    assert not await aio.exists("k")
    assert await aio.delete("k", missing_ok=True) is None
    assert await aio.get_many(["k"]) == {}
    with pytest.raises(holdfast.NotFoundError):
        await everything(aio.get_chunks("k"))
    with pytest.raises(holdfast.NotFoundError):
        await aio.open("k", "rb")
    with pytest.raises(holdfast.NotFoundError):
        await aio.info()


@awaited
async def test_bad_input_has_the_error_of_the_other_colour(scope: holdfast.Scope) -> None:
    aio = scope.aio
    for key in ("", "a\0", 3, None):
        verbs: list[Any] = [aio.get, aio.entry, aio.exists, aio.record, aio.delete, aio.add, partial(aio.put, value=1)]
        for verb in verbs:
            with pytest.raises(holdfast.InvalidKeyError):
                await verb(key)
        with pytest.raises(holdfast.InvalidKeyError):
            aio.get_chunks(key)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected option 'tag'"):
        await aio.put("k", 1, tag={})  # type: ignore[call-arg]
    with pytest.raises(holdfast.InvalidArgumentError, match="tags"):
        await aio.put("k", 1, tags={"a": 1})  # type: ignore[dict-item]
    with pytest.raises(holdfast.InvalidArgumentError, match="limit"):
        aio.keys(limit=-1)
    with pytest.raises(holdfast.InvalidArgumentError, match="order"):
        aio.list(order="colour")
    with pytest.raises(holdfast.InvalidArgumentError, match="several keys"):
        await aio.get_many("k")
    with pytest.raises(holdfast.EncodeError):
        await aio.put("k", threading.Lock())
    with pytest.raises(holdfast.NotRegisteredError):
        await aio.put("k", 1, serializer="no.such@v1")
    with pytest.raises(holdfast.InvalidScopeError):
        aio.scope("", "x")
    with pytest.raises(holdfast.InvalidArgumentError, match="mode"):
        await aio.open("k", "a")
    with pytest.raises(holdfast.InvalidArgumentError, match="copy and rename go to a scope"):
        await aio.copy("k", to="somewhere")  # type: ignore[arg-type]
    assert await everything(aio.keys()) == []


@awaited
async def test_conditions(store: holdfast.Store, scope: holdfast.Scope) -> None:
    aio = scope.aio
    first = await aio.put("k", 1, if_absent=True)
    with pytest.raises(holdfast.ExistsError):
        await aio.put("k", 2, if_absent=True)
    second = await aio.put("k", LARGE, if_version=first.version)
    for value in (1, LARGE):
        with pytest.raises(holdfast.ConflictError):
            await aio.put("k", value, if_version=first.version)
    with pytest.raises(holdfast.ConflictError):
        await aio.delete("k", if_version=first.version)
    assert (await aio.delete("k", if_version=second.version)) is not None
    assert stray_files(store) == []


@awaited
async def test_options_and_edits(scope: holdfast.Scope) -> None:
    aio = scope.aio
    record = await aio.put("k", "v", tags={"a": "1"}, expires=timedelta(days=1), content_type="x/y")
    assert (record.tags, record.content_type, record.expires is None) == ({"a": "1"}, "x/y", False)
    assert (await aio.touch("k", None)).expires is None
    assert (await aio.set_tags("k", {"b": "2"})).tags == {"b": "2"}
    assert (await aio.set_content_type("k", "z/z")).content_type == "z/z"
    assert (await aio.put("p", "v", durability="power")).durability == "power"
    assert await aio.get("gone", 0) == 0
    await aio.put("gone", 1, expires=timedelta(seconds=-1))
    assert not await aio.exists("gone")
    other = scope.namespace("other")
    assert (await aio.copy("k", "k2", to=other.aio)).path == other.path
    assert (await aio.rename("k", "k3", to=other)).key == "k3"
    with pytest.raises(holdfast.ExistsError):
        await other.aio.copy("k2", "k3")
    assert await everything(other.aio.keys()) == ["k2", "k3"]


@awaited
async def test_integers(scope: holdfast.Scope) -> None:
    aio = scope.aio
    assert (await aio.add("n")).value == 1
    assert (await aio.add("n", 41)).value == 42
    await aio.put("text", "x")
    with pytest.raises(holdfast.InvalidArgumentError, match="integer"):
        await aio.add("text")


@awaited
async def test_two_hundred_tasks_count_together(scope: holdfast.Scope) -> None:
    aio = scope.aio
    await asyncio.gather(*(aio.update("n", lambda n: n + 1, default=0) for _ in range(200)))
    assert await aio.get("n") == 200
    await asyncio.gather(*(aio.add("m") for _ in range(200)))
    assert await aio.get("m") == 200


@awaited
async def test_update_takes_a_plain_function(scope: holdfast.Scope) -> None:
    aio = scope.aio

    async def change(value: int) -> int:
        return value + 1

    for wrong in (change, partial(change), lambda value: change(value), lambda value: asyncio.sleep(0)):
        with pytest.raises(holdfast.InvalidArgumentError, match="plain function"):
            await aio.update("n", wrong, default=0)
        with pytest.raises(holdfast.InvalidArgumentError, match="plain function"):
            scope.update("n", wrong, default=0)
    with pytest.raises(holdfast.InvalidArgumentError, match="takes a function"):
        await aio.update("n", 3, default=0)  # type: ignore[arg-type]
    with pytest.raises(holdfast.NotFoundError):
        await aio.update("n", lambda value: value)
    assert not await aio.exists("n")

    def fails(value: int) -> int:
        raise ZeroDivisionError("its own")

    with pytest.raises(ZeroDivisionError, match="its own"):
        await aio.update("n", fails, default=0)


@awaited
async def test_a_function_sees_the_context_of_its_task(store: holdfast.Store) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[Any] = []

    def change(value: str) -> str:
        seen.append((variable.get(), threading.current_thread() is not threading.main_thread()))
        return f"{value}{holdfast.current()}"

    async def task(name: str) -> str:
        variable.set(name)
        with store.context(namespace=name):
            return str((await store.namespace("x").aio.update(name, change, default="")).value)

    assert list(await asyncio.gather(task("a"), task("b"))) == ["namespace:a", "namespace:b"]
    assert sorted(seen) == [("a", True), ("b", True)]


@awaited
async def test_many_values(scope: holdfast.Scope) -> None:
    aio = scope.aio
    records = await aio.put_many({"a": 1, "b": LARGE}, tags={"x": "y"})
    assert [record.key for record in records] == ["a", "b"]
    assert await aio.get_many(["a", "b", "c"]) == {"a": 1, "b": LARGE}
    with pytest.raises(holdfast.ExistsError):
        await aio.put_many({"c": 1, "a": 2}, if_absent=True)
    assert not await aio.exists("c")


@awaited
async def test_listings_come_page_by_page(scope: holdfast.Scope) -> None:
    aio = scope.aio
    await aio.put_many({f"{number:04}": number for number in range(2500)})
    keys = [f"{number:04}" for number in range(2500)]
    assert await everything(aio.keys()) == keys
    assert await everything(aiter(aio)) == keys
    assert await everything(aio.keys("1", start="15", end="16")) == keys[1500:1600]
    assert [record.key async for record in aio.list(order="-key", limit=1001)] == keys[::-1][:1001]
    some = []
    async for key in aio.keys():
        some.append(key)
        if len(some) == 3:
            break
    assert some == keys[:3]
    for number in range(3):
        await aio.scope("part", f"p{number}").put("k", number)
    assert [child.name async for child in aio.children()] == ["p0", "p1", "p2"]
    assert [await child.get("k") async for child in aio.children("part")] == [0, 1, 2]


@awaited
async def test_streams(scope: holdfast.Scope) -> None:
    aio = scope.aio
    pieces: list[Any] = [b"a" * 10, bytearray(b"b" * 50_000), memoryview(b"c" * 400_000), b"", b"d"]
    whole = b"".join(pieces)
    assert (await aio.put_chunks("sync", iter(pieces), content_type="x/y")).content_type == "x/y"
    assert (await aio.put_chunks("async", trickle(pieces))).size == len(whole)
    assert (await aio.put_chunks("few", trickle([b"ab", b"c"]))).size == 3
    assert (await aio.put_chunks("none", trickle([]))).size == 0
    for key in ("sync", "async"):
        assert b"".join([piece async for piece in aio.get_chunks(key)]) == whole
        assert await aio.get_bytes(key) == whole
    assert await everything(aio.get_chunks("none")) == []
    async for _ in aio.get_chunks("sync"):
        break  # and the file is closed

    async def reused() -> Any:
        buffer = bytearray(3)
        for number in range(3):
            buffer[:] = b"%d" % number * 3
            yield buffer

    await aio.put_chunks("reused", reused())
    assert await aio.get("reused") == b"000111222"


@awaited
async def test_a_stream_that_breaks_leaves_nothing(store: holdfast.Store, scope: holdfast.Scope) -> None:
    async def broken() -> Any:
        yield LARGE * 10
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        await scope.aio.put_chunks("k", broken())
    with pytest.raises(holdfast.InvalidArgumentError, match="as bytes"):
        await scope.aio.put_chunks("k", trickle([LARGE * 10, "text"]))
    with pytest.raises(holdfast.InvalidArgumentError, match="iterable of bytes"):
        await scope.aio.put_chunks("k", 3)  # type: ignore[arg-type]
    assert not await scope.aio.exists("k")
    assert stray_files(store) == []


@awaited
async def test_local_files(scope: holdfast.Scope, tmp_path: Path) -> None:
    aio = scope.aio
    source = tmp_path / "in"
    (source / "below").mkdir(parents=True)
    (source / "a.txt").write_bytes(LARGE)
    (source / "below" / "b.csv").write_bytes(b"b")
    moved: list[int] = []
    assert (await aio.put_file(source / "a.txt", progress=moved.append)).content_type == "text/plain"
    assert sum(moved) == len(LARGE)
    assert [record.key for record in await aio.put_dir(source, "d/")] == ["d/a.txt", "d/below/b.csv"]
    assert Path(await aio.get_file("a.txt", tmp_path / "out.txt")).read_bytes() == LARGE
    assert len(await aio.get_dir("d/", tmp_path / "out")) == 2
    assert (tmp_path / "out" / "below" / "b.csv").read_bytes() == b"b"
    with pytest.raises(holdfast.NotFoundError):
        await aio.put_file(tmp_path / "missing")


@awaited
async def test_the_life_of_a_scope(store: holdfast.Store) -> None:
    aio = store.namespace("a").aio
    assert not await aio.present
    assert await aio.create({"x": 1}) == aio
    assert (await aio.info()).properties == {"x": 1}
    with pytest.raises(holdfast.ExistsError):
        await aio.create(exist_ok=False)
    await aio.put("k", 1)
    assert (await aio.usage()).records == 1
    renamed = await aio.rename_scope("b")
    assert (renamed.name, renamed.kind, str(renamed)) == ("b", "namespace", "namespace:b")
    assert await renamed.get("k") == 1
    await renamed.drop()
    assert await renamed.was_dropped
    with pytest.raises(holdfast.NotFoundError):
        await renamed.drop()
    await renamed.drop(missing_ok=True)


@awaited
async def test_artifacts(scope: holdfast.Scope, tmp_path: Path) -> None:
    artifact = scope.aio.artifact("run")
    assert not await artifact.exists
    async with artifact.transaction() as inside:
        await inside.write("notes.txt", "text")
        await inside.metadata.merge({"author": "Ada"})
        assert await inside.metadata["author"] == "Ada"
        assert not await artifact.exists
    assert await artifact.exists
    assert not await artifact.is_empty
    assert await artifact.read_text("notes.txt") == "text"
    assert await artifact.metadata.read() == {"author": "Ada"}
    assert await artifact.metadata.get("none") is None
    with pytest.raises(holdfast.NotFoundError):
        await artifact.metadata["none"]
    async with artifact.open("b", "wb") as file:
        await file.write(b"b")
    assert await everything(aiter(artifact)) == ["b", "notes.txt"]
    assert [record.key async for record in artifact.list("n")] == ["notes.txt"]
    other = await artifact.copy("copy", to=scope.namespace("x").aio)
    assert (other.name, str(other.scope)) == ("copy", f"{scope.namespace('x')}/artifact:copy")
    assert await other.read("b") == b"b"
    await other.metadata.remove("author")
    assert len(await other.download(tmp_path / "out")) == 2
    await other.add_dir(tmp_path / "out", "again/")
    await other.delete("b")
    assert [found.name async for found in scope.aio.artifacts()] == ["run"]
    await artifact.drop()
    assert await (await artifact.create()).is_empty
    with pytest.raises(holdfast.ExistsError):
        await artifact.create()
    with pytest.raises(holdfast.InvalidKeyError, match="metadata"):
        await artifact.write(".artifact.json", b"")


@awaited
async def test_the_store(store: holdfast.Store) -> None:
    aio = store.aio
    assert (aio.id, aio.config) == (store.id, store.config)
    scope, key = aio.find("namespace:a/k")
    await scope.put(key, LARGE)
    assert await aio.sync() == 1
    await scope.delete(key)
    moved: list[int] = []
    assert (await aio.gc(progress=moved.append)).blobs == 1
    assert moved
    await scope.put(key, LARGE)
    assert (await aio.verify()).fine
    assert (await aio.verify("namespace:a/")).records == 1
    assert [child.name async for child in aio.children()] == ["a"]
    with pytest.raises(holdfast.NotFoundError):
        await aio.verify("namespace:none")
    with store.lease("holdfast/gc"):
        with pytest.raises(holdfast.BusyError):
            await aio.gc()
        waiting = asyncio.ensure_future(aio.gc(wait=10))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    assert (await waiting).dry_run is False


@awaited
async def test_after_the_end(tmp_path: Path) -> None:
    store = holdfast.open(tmp_path / "data")
    scope = store.namespace("a")
    async with store.aio as aio:
        await scope.aio.put("k", 1)
        await scope.aio.update("k", lambda n: n + 1)
    assert await asyncio.to_thread(holdfast.open(tmp_path / "data").namespace("a").get, "k") == 2
    verbs: list[Any] = [
        partial(scope.aio.get, "k"), partial(scope.aio.put, "k", 1), partial(scope.aio.put, "k", LARGE), aio.gc
    ]  # fmt: skip
    for verb in verbs:
        with pytest.raises(holdfast.ClosedError):
            await verb()
    await aio.close()


def test_both_colours_are_one_thing(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    assert scope.aio == scope.aio != store.namespace("b").aio
    assert store.aio == store.aio
    assert len({scope.aio, scope.aio, store.aio}) == 2
    assert "namespace:a" in repr(scope.aio)
    again = pickle.loads(pickle.dumps(scope.aio))
    scope.put("k", 1)
    assert asyncio.run(again.get("k")) == 1
    assert pickle.loads(pickle.dumps(store.aio)).id == store.id


def test_a_synchronous_block_has_no_other_colour(scope: holdfast.Scope) -> None:
    with scope.transaction() as inside, pytest.raises(holdfast.InvalidArgumentError, match=r"aio.transaction\(\)"):
        inside.aio  # noqa: B018


@awaited
async def test_old_versions_and_limits(store: holdfast.Store) -> None:
    scope = store.namespace("kept").aio
    assert await scope.set_policy(history=2, max_records=1) == holdfast.Policy(2, 1) == await scope.policy()
    first = await scope.put("k", LARGE)
    await scope.put("k", 2)
    assert [record.version for record in await scope.history("k")] == [first.version]
    assert await scope.get("k", version=first.version) == LARGE
    assert await scope.get("k", "none", version=9) == "none"
    with pytest.raises(holdfast.NotFoundError, match="there are 2, 1"):
        await scope.get("k", version=9)
    assert (await scope.restore("k", first.version)).version == 3
    assert await scope.get("k") == LARGE
    for value in (1, LARGE):
        with pytest.raises(holdfast.QuotaExceededError):
            await scope.put("other", value)
    assert stray_files(store) == []
