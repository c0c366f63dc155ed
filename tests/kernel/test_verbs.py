"""The verbs on one key, in a store in a folder and in one in memory: what they give, and that versions only grow."""

from __future__ import annotations

import pickle
import time
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import ConflictError, ExistsError, InvalidArgumentError, NotFoundError, Registry
from holdfast.payload import Payload
from holdfast.serializers.base import Serializer

from .tools import LARGE, SMALL, blob_files, facts, pattern, wait_for

PAST = timedelta(seconds=-1)
DAY = timedelta(days=1)


@pytest.fixture(params=["folder", "memory", "memory storage"])
def store(request: pytest.FixtureRequest, tmp_path: Path):
    place = "memory:" if request.param == "memory" else tmp_path / "data"
    storage = "memory:" if request.param == "memory storage" else None
    with holdfast.open(place, storage=storage, timeout=5) as opened:
        yield opened


VALUES = {
    "none": None,
    "true": True,
    "text": "é\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "bytes": b"\0\xff",
    "empty bytes": b"",
    "empty text": "",
    "number": -5,
    "big": 1 << 80,
    "least": -(1 << 63),
    "most": (1 << 63) - 1,
    "one more": 1 << 63,
    "float": 0.1,
    "nested": SMALL,
    "set": {1, "a", (2, b"")},
    "dates": [datetime(2024, 5, 6, tzinfo=timezone.utc), timedelta(microseconds=1)],
    "path": Path("a/b"),
    "large bytes": LARGE,
    "large text": LARGE.hex(),
    "large list": list(range(20_000)),
    "large nested": {"x": [LARGE, {"y": LARGE}]},
}


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back_as_they_were(scope: holdfast.Scope, name: str) -> None:
    value = VALUES[name]
    record = scope.put("k", value)
    for found in (scope.get("k"), scope["k"], scope.entry("k").value, scope.get_many(["k"])["k"]):
        assert found == value
        assert type(found) is type(value)
    assert scope.get("k", verify=True) == value
    assert facts(scope.record("k")) == facts(scope.entry("k").record) == facts(record)
    assert record.size == len(scope.get_bytes("k")) or type(value) is int


def test_the_record_of_a_put(scope: holdfast.Scope) -> None:
    before = datetime.now(timezone.utc) - timedelta(milliseconds=1)
    for value in (SMALL, LARGE, 7):
        record = scope.put("k", value, tags={"b": "2", "a": "1"}, expires=DAY, content_type="x/y")
        assert facts(record) == facts(scope.record("k")) == facts(pickle.loads(pickle.dumps(record)))
        assert (record.key, record.path, record.tags) == ("k", scope.path, {"a": "1", "b": "2"})
        assert record.content_type == "x/y"
        assert record.address == "namespace:prod/workflow:forecast/k"
        assert before <= record.created <= record.updated <= datetime.now(timezone.utc)
        assert record.expires is not None
        assert abs((record.expires - record.updated - DAY).total_seconds()) < 1
        assert record.tier == "durable"
        before = record.created


def test_a_missing_key_is_told_or_replaced_by_the_default(scope: holdfast.Scope) -> None:
    with pytest.raises(KeyError, match="namespace:prod/workflow:forecast/k"):
        scope.get("k")
    assert scope.get("k", 5) == 5
    assert scope.get("k", None) is None
    assert not scope.exists("k")
    assert "k" not in scope
    assert scope.get_many(["k", "l"]) == {}
    assert scope.delete("k", missing_ok=True) is None
    scope.put("k", None)
    assert scope.get("k", 5) is None
    assert scope.get_many(["k", "l"]) == {"k": None}


def test_mapping_habits(scope: holdfast.Scope) -> None:
    scope["b"] = 1
    scope["a"] = LARGE
    assert list(scope) == ["a", "b"]
    assert dict(zip(scope, map(scope.get, scope), strict=True)) == {"a": LARGE, "b": 1}
    assert "a" in scope
    del scope["a"]
    assert "a" not in scope
    with pytest.raises(KeyError):
        del scope["a"]
    with pytest.raises(KeyError):
        scope["a"]


def test_versions_grow_by_every_kind_of_write_for_ever(scope: holdfast.Scope) -> None:
    versions = []

    def note(record: holdfast.Record | None) -> None:
        assert record is not None
        versions.append(record.version)

    for _ in range(2):
        note(scope.put("k", 1))
        note(scope.put("k", LARGE))
        note(scope.put("k", 2))
        note(scope.add("k").record)
        note(scope.update("k", lambda old: old + 1).record)
        note(scope.touch("k", DAY))
        note(scope.set_tags("k", {"a": "b"}))
        note(scope.set_content_type("k", "x/y"))
        note(scope.put_chunks("k", [b"x"]))
        note(scope.put_many({"k": 1})[0])
        scope.put("other", 5)
        note(scope.copy("other", "k", replace=True))
        note(scope.rename("other", "k", replace=True))
        scope.delete("k")
        note(scope.put("k", 3, if_absent=True))
        scope.rename("k", "away")
        note(scope.put("k", 3))
        scope.touch("k", PAST)
        note(scope.put("k", 4))
        scope.drop()
        note(scope.put("k", 5))
    assert all(earlier < later for earlier, later in pairwise(versions)), versions


@pytest.mark.parametrize("value", [1, SMALL, LARGE], ids=["number", "small", "large"])
def test_conditions(scope: holdfast.Scope, value: Any) -> None:
    first = scope.put("k", value, if_absent=True)
    with pytest.raises(ExistsError):
        scope.put("k", "other", if_absent=True)
    second = scope.put("k", value, if_version=first.version)
    with pytest.raises(ConflictError) as caught:
        scope.put("k", "other", if_version=first.version)
    assert type(caught.value) is ConflictError
    assert scope.get("k") == value
    with pytest.raises(ConflictError):
        scope.delete("k", if_version=first.version)
    scope.delete("k", if_version=second.version)
    with pytest.raises(ConflictError):
        scope.put("k", value, if_version=second.version)
    assert not scope.exists("k")
    scope.put("k", value, if_version=0)
    scope.touch("k", PAST)
    assert scope.put("k", value, if_absent=True).version > second.version


def test_a_condition_on_edits(scope: holdfast.Scope) -> None:
    first = scope.put("k", 1)
    second = scope.touch("k", DAY, if_version=first.version)
    with pytest.raises(ConflictError):
        scope.touch("k", None, if_version=first.version)
    third = scope.set_tags("k", {"a": "b"}, if_version=second.version)
    with pytest.raises(ConflictError):
        scope.set_tags("k", None, if_version=second.version)
    assert scope.record("k") == third


@pytest.mark.parametrize("value", [5, SMALL, LARGE], ids=["number", "small", "large"])
def test_what_expired_is_hidden_at_once_from_every_verb(scope: holdfast.Scope, value: Any) -> None:
    scope.put("stays", 1)
    puts: list[Any] = [
        lambda: scope.put("k", value, expires=PAST),
        lambda: scope.put("k", value, expires=datetime.now(timezone.utc) - DAY),
        lambda: (scope.put("k", value), scope.touch("k", PAST)),
        lambda: scope.put("k", value, expires=timedelta(milliseconds=20)),
    ]
    for put in puts:
        put()
        time.sleep(0.025)
        assert not scope.exists("k")
        assert scope.get("k", None) is None
        assert scope.get_many(["k"]) == {}
        assert list(scope.keys()) == [record.key for record in scope.list()] == ["stays"]
        for verb in (scope.entry, scope.record, scope.delete, scope.get_bytes, scope.open, scope.copy):
            with pytest.raises(NotFoundError):
                verb("k") if verb != scope.copy else scope.copy("k", "l")
        for edit in (scope.touch, scope.set_tags):
            with pytest.raises(NotFoundError):
                edit("k", None)
        assert scope.update("k", lambda old: old + 1, default=10).value == 11
        scope.delete("k")


def test_the_number_that_expired_begins_anew(scope: holdfast.Scope) -> None:
    for _ in range(3):
        created = scope.add("n", 5).record.created
        scope.touch("n", PAST)
    assert scope.add("n", 2).value == 2
    assert scope.record("n").expires is None
    assert scope.record("n").created > created


def test_touch_lets_a_record_live_on(scope: holdfast.Scope) -> None:
    scope.put("k", LARGE, expires=timedelta(milliseconds=200), tags={"a": "b"})
    record = scope.touch("k", None)
    assert record.expires is None
    time.sleep(0.25)
    assert scope.get("k") == LARGE
    assert scope.record("k").tags == {"a": "b"}


def test_edits_change_one_thing_each(scope: holdfast.Scope) -> None:
    for value in (7, SMALL, LARGE):
        first = scope.put("k", value, tags={"a": "1"}, expires=DAY)
        tagged = scope.set_tags("k", {"b": "2"})
        typed = scope.set_content_type("k", "x/y")
        touched = scope.touch("k", 2 * DAY)
        assert tagged.tags == typed.tags == touched.tags == {"b": "2"}
        assert tagged.expires == typed.expires == first.expires
        assert touched.expires is not None
        assert first.expires is not None
        assert touched.expires > first.expires
        assert typed.content_type == touched.content_type == "x/y"
        assert tagged.content_type == first.content_type
        assert touched.created == first.created
        assert touched.digest == first.digest
        assert scope.get("k") == value
        assert scope.set_tags("k", None).tags == scope.set_tags("k", {}).tags == {}


def test_update(scope: holdfast.Scope) -> None:
    with pytest.raises(NotFoundError):
        scope.update("k", lambda old: old)
    entry = scope.update("k", lambda old: [*old, 1], default=[], tags={"a": "b"}, expires=DAY)
    assert entry.value == [1]
    assert scope.entry("k").record == entry.record
    kept = scope.update("k", lambda old: [*old, LARGE]).record
    assert (kept.tags, kept.expires) == ({"a": "b"}, entry.record.expires)
    changed = scope.update("k", lambda old: len(old), tags=None, expires=None).record
    assert (changed.tags, changed.expires) == ({}, None)
    assert scope.get("k") == 2


def test_update_calls_again_when_somebody_was_faster(scope: holdfast.Scope) -> None:
    seen: list[Any] = []

    def change(old: Any) -> Any:
        if len(seen) < 3:
            scope.put("k", len(seen) if seen else LARGE)
        seen.append(old)
        return [old]

    scope.put("k", "begin")
    assert scope.update("k", change).value == [2]
    assert seen == ["begin", LARGE, 1, 2]
    assert scope.get("k") == [2]


def test_update_begins_from_the_default_when_the_record_goes(scope: holdfast.Scope) -> None:
    seen: list[Any] = []

    def change(old: int) -> int:
        if not seen:
            scope.delete("k")
        seen.append(old)
        return old + 1

    scope.put("k", 10)
    assert scope.update("k", change, default=0).value == 1
    assert seen == [10, 0]


def test_an_update_that_is_always_too_late_gives_up(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "impatient", timeout=0.2) as store:
        scope = store.namespace("a")
        scope.put("k", 0)
        with pytest.raises(ConflictError):
            scope.update("k", lambda old: scope.put("k", old + 1).version)


def test_add(scope: holdfast.Scope) -> None:
    assert scope.add("n").value == 1
    assert scope.add("n", 41).value == scope.get("n") == 42
    assert scope.add("n", -50).value == -8
    assert scope.add("m", (1 << 63) - 1).value == (1 << 63) - 1
    with pytest.raises(InvalidArgumentError, match="64 bits"):
        scope.add("m")
    assert scope.get("m") == (1 << 63) - 1
    scope.put("n", 5, tags={"a": "b"}, expires=DAY)
    record = scope.add("n").record
    assert record == scope.record("n")
    assert record.tags == {"a": "b"}
    assert record.expires is not None
    assert record.size == scope.put("n", 6).size == scope.update("n", lambda old: old + 1).record.size


def test_put_many_is_one_commit(scope: holdfast.Scope) -> None:
    records = scope.put_many([("a", 1), ("b", LARGE), ("a", 2)], tags={"x": "y"})
    assert [record.key for record in records] == ["a", "b", "a"]
    assert list(map(facts, records)) == [facts(scope.record(key)) for key in "aba"]
    assert scope.get_many(["a", "b", "c"]) == {"a": 2, "b": LARGE}
    with pytest.raises(ExistsError):
        scope.put_many({"c": LARGE, "b": 1}, if_absent=True)
    assert list(scope) == ["a", "b"]
    assert scope.put_many({}) == []


def test_copy_and_rename(store: holdfast.Store, scope: holdfast.Scope) -> None:
    other = store.namespace("other")
    for value in (7, SMALL, LARGE, lambda: 5):
        first = scope.put("k", value, tags={"a": "b"}, expires=DAY, content_type="x/y")
        copied = scope.copy("k", "l")
        assert (copied.digest, copied.tags, copied.expires) == (first.digest, first.tags, first.expires)
        assert copied.content_type == "x/y"
        moved = scope.rename("l", to=other)
        assert moved.address == "namespace:other/l"
        assert list(scope) == ["k"]
        found = other.get("l")
        assert value() == found() if callable(value) else value == found
        with pytest.raises(ExistsError):
            scope.copy("k", "l", to=other)
        assert scope.copy("k", "l", to=other, replace=True).version > moved.version
        with pytest.raises(ExistsError):
            scope.rename("k", "l", to=other)
        assert scope.exists("k")
        other.delete("l")


def test_a_copy_outlives_its_source(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("k", LARGE)
    scope.copy("k", "l")
    scope.delete("k")
    store.gc()
    assert scope.get("l", verify=True) == LARGE
    scope.rename("l", "m")
    store.gc()
    assert scope.get("m", verify=True) == LARGE


def test_equal_bytes_are_kept_once(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        for index in range(5):
            scope.put(f"k{index}", LARGE)
            scope.put_chunks(f"f{index}", [LARGE])
        assert len(blob_files(store)) <= 2
        for index in range(4):
            scope.delete(f"k{index}")
        store.gc()
        assert scope.get("k4", verify=True) == LARGE


def test_serializer_by_name(scope: holdfast.Scope) -> None:
    record = scope.put("k", {"a": [1, "é"]}, serializer="holdfast.json@v1")
    assert record.serializer == "holdfast.json@v1"
    assert record.content_type == "application/json"
    assert scope.get_bytes("k") == '{"a":[1,"é"]}'.encode()
    assert scope.get("k") == {"a": [1, "é"]}
    for value in (b"x", LARGE, {"a": {1, 2}}):
        assert scope.put("p", value, serializer="holdfast.pickle@v1").serializer == "holdfast.pickle@v1"
        assert scope.get("p") == value
    assert scope.put("n", 5, serializer="holdfast.int@v1").serializer == "holdfast.int@v1"
    assert scope.get("n") == 5


class Reversed(Serializer):
    """A format with an encoding, which its bytes cannot be read without."""

    name = "test.reversed@v1"
    content_types = ("text/x-reversed",)

    def serialize(self, value: Any) -> Payload:
        return Payload([value.encode()[::-1]], "text/x-reversed", "reversed")

    def deserialize(self, payload: Payload) -> Any:
        assert payload.encoding == "reversed"
        return bytes(payload.buffers[0])[::-1].decode()


def test_a_serializer_of_the_user_keeps_its_content_encoding(tmp_path: Path) -> None:
    registry = Registry([Reversed])
    with holdfast.open(tmp_path / "data", registry=registry) as store:
        scope = store.namespace("a")
        for text in ("small", LARGE.hex()):
            record = scope.put("k", text, serializer="test.reversed@v1")
            assert record.contents["value"].encoding == "reversed"
            assert scope.get("k") == text
            scope.set_content_type("k", "x/y")
            assert scope.get("k") == text
    with holdfast.open(tmp_path / "data") as store:
        assert store.namespace("a").record("k").serializer == "test.reversed@v1"
        with pytest.raises(holdfast.NotRegisteredError, match=r"test\.reversed@v1"):
            store.namespace("a").get("k")


@pytest.mark.parametrize("content_type", ["x/y", "application/octet-stream", "application/json"])
def test_a_content_type_does_not_change_how_a_value_is_read(scope: holdfast.Scope, content_type: str) -> None:
    for name, value in VALUES.items():
        scope.put(name, value, content_type=content_type)
        assert scope.get(name) == value
        assert scope.record(name).content_type == content_type


def test_find_gives_scope_and_key_of_every_address(store: holdfast.Store) -> None:
    for name in ("prod", "a/b:c%", "é ü", "%2F"):
        scope = store.scope("ki:nd/%", name)
        for key in ("k", "a/b", "a:b/c", "%3A", "/", "a//b", "."):
            record = scope.put(key, key)
            found, again = store.find(record.address)
            assert (found, again) == (scope, key)
            assert found.get(again) == key
            assert str(found) == record.scope


def test_lists_show_the_same_as_records(scope: holdfast.Scope) -> None:
    for index in range(5):
        scope.put(f"k{index}", pattern(index * 20_000), tags={"odd": str(index % 2)})
    assert list(map(facts, scope.list())) == [facts(scope.record(key)) for key in scope]


def test_old_bytes_stay_readable_to_who_began_to_read(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put_chunks("k", [pattern(3 << 20)])
    stream = scope.get_chunks("k")
    file = scope.open("k", "rb")
    begin = next(stream)
    scope.put_chunks("k", [pattern(3 << 20, 1)])
    store.gc()
    assert begin + b"".join(stream) == pattern(3 << 20)
    assert file.read() == pattern(3 << 20)
    file.close()


def test_a_stream_that_was_not_begun_reads_what_replaced_it(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put_chunks("k", [LARGE])
    stream = scope.get_chunks("k")
    scope.put_chunks("k", [pattern(90_000, 1)])
    store.sync()
    store.gc()
    assert b"".join(stream) == pattern(90_000, 1)
    stream = scope.get_chunks("k")
    scope.delete("k")
    store.gc()
    with pytest.raises(NotFoundError):
        next(stream)


def test_background_work_changes_no_version(scope: holdfast.Scope) -> None:
    record = scope.put("k", LARGE)
    wait_for(lambda: bool(scope.record("k").row.synced))
    assert scope.record("k").version == record.version
