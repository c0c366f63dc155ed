"""Two stores brought together, while others write: what is newer is moved, whole, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.storages.asynchronous import AsyncStorage

from .stores import Odd, compare, everything, fill


@pytest.fixture
def target(tmp_path: Path) -> Iterator[holdfast.Store]:
    with holdfast.open(tmp_path / "target") as opened:
        yield opened


def test_all_is_moved_once_then_only_what_is_newer(store: holdfast.Store, target: holdfast.Store) -> None:
    fill(store)
    first = store.sync_to(target)
    compare(store, target)
    assert target.verify().fine
    assert target.namespace("prod").workflow("forecast").get("object") == Odd("small")
    assert (first.there, first.left, first.problems) == (0, 0, [])
    moved: list[int] = []
    again = store.sync_to(target)
    assert (again.records, again.size, again.there) == (0, 0, first.records)
    flow = store.namespace("prod").workflow("forecast")
    flow.put("text", "newer")
    flow.set_tags("large.bin", {"a": "b"})
    flow.touch("object", timedelta(days=3))
    flow.put("added", 1)
    flow.create({"new": "properties"})
    done = store.sync_to(target, progress=moved.append)
    assert (done.records, done.there) == (4, first.records - 3)
    compare(store, target)


def test_equal_bytes_are_not_moved_again(
    store: holdfast.Store, target: holdfast.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = store.namespace("a")
    scope.put_chunks("a", [b"x" * 100_000])
    store.sync_to(target)
    written: list[object] = []
    storage = target._kernel.storage
    monkeypatch.setattr(storage, "writer", lambda *given, **more: written.append(given))
    scope.copy("a", "b")
    scope.copy("a", to=store.namespace("b"))
    scope.set_tags("a", {"t": "v"})
    assert store.sync_to(target).records == 3
    compare(store, target)
    assert written == []


def test_what_is_gone_is_removed_if_asked(store: holdfast.Store, target: holdfast.Store) -> None:
    scope = store.namespace("a")
    scope.put_many({"keep": 1, "delete": 2})
    scope.workflow("drop").put("k", 1)
    store.sync_to(target)
    scope.delete("delete")
    scope.workflow("drop").drop()
    target.namespace("own").put("k", 1)
    assert store.sync_to(target).removed == 0
    assert set(everything(target)) > set(everything(store))
    assert store.sync_to(target, delete=True).removed == 3
    compare(store, target)
    scope.put("delete", "again")
    store.sync_to(target)
    compare(store, target)


def test_a_newer_record_of_the_target_is_left_and_told(store: holdfast.Store, target: holdfast.Store) -> None:
    scope = store.namespace("a")
    scope.put_many({"x": 1, "y": 1})
    store.sync_to(target)
    theirs = target.namespace("a").put("x", "theirs")
    done = store.sync_to(target)
    assert (done.newer, done.left, done.records) == (["namespace:a/x"], 1, 0)
    assert target.namespace("a").get("x") == "theirs"
    done = store.sync_to(target, replace=True)
    assert (done.left, done.records) == (0, 1)
    assert target.namespace("a").get("x") == 1
    assert target.namespace("a").record("x").version > theirs.version
    assert store.sync_to(target).there == 2
    scope.put("x", "newest")
    assert store.sync_to(target).records == 1
    assert target.namespace("a").get("x") == "newest"


def test_limits_of_a_full_scope(store: holdfast.Store, target: holdfast.Store) -> None:
    scope = store.namespace("a")
    scope.set_policy(history=2, max_records=2)
    scope.put_many({"x": 1, "y": 1})
    store.sync_to(target)
    scope.delete("x")
    scope.put("another", 1)  # before what is gone, in the order of keys
    with pytest.raises(ZeroDivisionError):
        store.sync_to(target, progress=lambda size: 1 // 0)
    assert target.namespace("a").policy() == scope.policy()
    assert store.sync_to(target, delete=True).removed == 1
    compare(store, target)
    with pytest.raises(holdfast.QuotaExceededError):
        target.namespace("a").put("more", 1)


def test_a_version_that_is_hidden_is_passed(store: holdfast.Store, target: holdfast.Store) -> None:
    target.namespace("a").put_many({"k": 1})
    for i in range(5):
        target.namespace("a").put("k", i, expires=timedelta(seconds=-1))
    store.namespace("a").put("k", "visible")
    assert store.sync_to(target).records == 1
    assert target.namespace("a").get("k") == "visible"
    assert store.sync_to(target).there == 1


def test_a_signature_that_does_not_hold_is_not_moved(store: holdfast.Store, target: holdfast.Store) -> None:
    scope = store.namespace("a")
    scope.put("good", Odd("x"))
    scope.put("bad", Odd("y"))
    store._kernel.catalog.transaction(  # type: ignore[attr-defined]
        lambda session: session.rows("UPDATE records SET signature=zeroblob(40) WHERE key='bad'")
    )
    done = store.sync_to(target)
    assert [(problem.address, problem.code) for problem in done.problems] == [("namespace:a/bad", "signature")]
    assert (done.records, done.refused) == (1, 1)
    assert target.namespace("a").get("good") == Odd("x")


def test_what_is_no_other_store_is_refused(store: holdfast.Store, tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as same:
        for wrong in (store, same, str(tmp_path), store.namespace("a")):
            with pytest.raises(holdfast.InvalidArgumentError):
                store.sync_to(wrong)  # type: ignore[arg-type]


def test_a_steady_writer_of_the_source(store: holdfast.Store, target: holdfast.Store) -> None:
    scopes = [store.namespace(name) for name in "abc"]
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            for i in range(30):
                scope = scopes[written % 3]
                scope.put(f"k{i}", written)
                scope.put_chunks(f"f{(i * 7) % 30}", [bytes([written % 256]) * 40_000])
                scope.delete(f"k{(i * 11) % 30}", missing_ok=True)
                scope.put(f"o{i}", Odd(str(written)))
                written += 1
            scopes[written % 3].workflow("w").put("k", written)
            scopes[(written + 1) % 3].workflow("w").drop(missing_ok=True)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(6):
            done = store.sync_to(target, delete=True)
            assert (done.problems, done.left) == ([], 0)
            assert target.verify().fine
    finally:
        stop.set()
        thread.join()
    assert written > 50
    store.sync_to(target, delete=True)
    compare(store, target)


def test_a_writer_of_the_target_loses_nothing(store: holdfast.Store, target: holdfast.Store) -> None:
    for i in range(200):
        store.namespace("a").put(f"k{i}", i)
    seen: list[tuple[str, int]] = []

    def write() -> None:
        seen.extend((f"k{i}", target.namespace("a").put(f"k{i}", f"theirs {i}").version) for i in range(0, 200, 5))

    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(3):
        store.sync_to(target)
    thread.join()
    store.sync_to(target)
    for i in range(200):
        assert target.namespace("a").get(f"k{i}") in (i, f"theirs {i}")
    for key, version in seen:  # versions do not go back
        assert target.namespace("a").record(key).version >= version


async def _in_another_colour(store: holdfast.Store, target: holdfast.Store, folder: Path) -> None:
    done = await store.aio.export_to(folder)
    assert (await target.aio.import_from(folder)).records == done.records
    assert (await store.aio.sync_to(target)).there == done.records
    assert (await store.aio.sync_to(target.aio)).there == done.records  # type: ignore[arg-type]


def test_the_other_colour(store: holdfast.Store, target: holdfast.Store, tmp_path: Path) -> None:
    import asyncio

    store.namespace("a").put("k", 1)
    asyncio.run(_in_another_colour(store, target, tmp_path / "out"))


def test_what_was_written_later_stays_whatever_its_version(store: holdfast.Store, target: holdfast.Store) -> None:
    for number in range(5):
        store.namespace("a").put("k", number)
    target.namespace("a").put("k", "later")
    assert store.sync_to(target).left == 1
    assert target.namespace("a").get("k") == "later"
    store.sync_to(target, replace=True)
    assert target.namespace("a").get("k") == 4


def test_old_versions_of_the_target_stay(store: holdfast.Store, target: holdfast.Store) -> None:
    scope = target.namespace("a")
    scope.set_policy(history=10)
    for number in range(3):
        scope.put("only here", number)
    store.namespace("a").put("k", 1)
    store.sync_to(target)
    assert (len(scope.history("only here")), scope.policy().history) == (2, 10)


class Routed(AsyncStorage):
    """Equal bytes lie once for each team."""

    name = "tests.routed@v1"

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def write_data(self, data: bytes, digest: Any, tags: Any, /) -> str:
        place = f"{tags['team']}/{digest['content_hash']}"
        self.kept[place] = bytes(data)
        return place

    async def read_data(self, place: str, /) -> bytes:
        return self.kept[place]

    async def write_data_stream(self, stream: Any, get_digest: Any, tags: Any, /) -> str:
        whole = b"".join([piece async for piece in stream])
        return await self.write_data(whole, get_digest(), tags)

    async def read_data_stream(self, place: str, /) -> Any:
        yield self.kept[place]

    def teams(self) -> list[str]:
        return sorted(place.partition("/")[0] for place in self.kept)


def test_a_routers_tags_count_for_equal_bytes_too(store: holdfast.Store, tmp_path: Path) -> None:
    scope, value = store.namespace("a"), b"x" * 100_000
    for key, team in (("one", "blue"), ("two", "red"), ("same", "red")):
        scope.put(key, value, tags={"team": team})
    scope.put("object", holdfast.StorableValue(value), tags={"team": "green"})
    router = Routed()
    with holdfast.open(tmp_path / "routed", storage=router) as target:
        store.sync_to(target)
        compare(store, target)
        assert router.teams() == ["blue", "green", "red"]
        scope.set_tags("one", {"team": "white"})
        scope.set_tags("object", {"team": "black"})
        store.sync_to(target)
        compare(store, target)
        assert {"white", "black"} < {*router.teams()}
        there = target.namespace("a")
        places = {key: str(there.contents(key)["value"].storage_config) for key in ("one", "two", "same")}
        assert "white/" in places["one"]
        assert "red/" in places["two"]
        assert places["same"] == places["two"]
