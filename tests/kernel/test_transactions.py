"""Transactions: all or nothing, own writes seen, others' writes noticed."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast import ClosedError, ConflictError, ExistsError, InvalidArgumentError, NotFoundError

from .tools import LARGE, blob_files, everything, facts, pattern

PAST = timedelta(seconds=-1)


def test_all_is_seen_at_once_and_only_after_the_end(store: holdfast.Store) -> None:
    a, b = store.namespace("a"), store.namespace("b").workflow("w")
    a.put("gone", 1)
    with holdfast.open(store.config.store) as second:
        atomic = store.transaction()
        with atomic as inside:
            inside.namespace("a").put("k", 1)
            inside.namespace("b").workflow("w").put("large", LARGE)
            inside.namespace("a").delete("gone")
            b.within(inside).put("array", {"x": np.arange(50_000)})
            for outside in (store, second):
                assert list(outside.namespace("a")) == ["gone"]
                assert not outside.namespace("b").present
        for outside in (store, second):
            assert list(outside.namespace("a")) == ["k"]
            assert outside.namespace("b").workflow("w").get("large") == LARGE
            assert outside.namespace("b").workflow("w").get("array")["x"][9] == 9
    assert [record.key for record in atomic.records] == ["k", "large", "array"]
    assert facts(atomic.records[1]) == facts(b.record("large"))
    assert b.record("large").durability == "power"  # file-sized puts are on disk before the commit


def test_an_exception_leaves_nothing(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("k", LARGE)
    before = everything(store)

    def work() -> None:
        with store.transaction() as inside:
            there = inside.namespace("prod").workflow("forecast")
            there.put("k", 1)
            there.put("large", pattern(200_000))
            there.put_chunks("stream", [LARGE, LARGE])
            there.delete("k")
            there.artifact("run").metadata["a"] = 1
            with there.open("text", "w") as file:
                file.write("x" * 100_000)
            assert len(blob_files(store)) == 4
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert everything(store) == before


def test_own_writes_are_seen_by_every_read(scope: holdfast.Scope) -> None:
    for key, value in (("a", 1), ("b", LARGE), ("c", 3), ("e", 5)):
        scope.put(key, value, tags={"old": "yes"})
    with scope.transaction() as inside:
        inside.put("a", LARGE, tags={"new": "yes"})
        inside.put("d", {"x": np.arange(50_000)}, tags={"new": "yes"})
        inside.delete("c")
        inside.set_tags("e", {"new": "yes"})
        inside.put("hidden", 1, expires=PAST)
        assert inside.get("a") == inside["a"] == inside.entry("a").value == inside.get_bytes("a") == LARGE
        assert inside.get("d")["x"][7] == 7
        assert inside.get("c", None) is None
        with pytest.raises(NotFoundError):
            inside.delete("c")
        assert not inside.exists("hidden")
        assert inside.record("a").tags == {"new": "yes"}
        assert list(inside.keys()) == [record.key for record in inside.list()] == ["a", "b", "d", "e"]
        assert list(inside.keys(limit=2)) == ["a", "b"]
        assert list(inside.keys("d")) == ["d"]
        assert list(inside.keys(start="b", end="e")) == ["b", "d"]
        assert [record.key for record in inside.list(tags={"new": "yes"})] == ["a", "d", "e"]
        assert [record.key for record in inside.list(limit=3)] == ["a", "b", "d"]
        first = next(inside.list(limit=1))
        assert [record.key for record in inside.list(after=first)] == ["b", "d", "e"]
        inside.put("c", 30)
        assert inside.get("c") == 30
        assert inside.add("c", 5).value == 35
        inside.update("c", lambda old: old * 2)
    assert scope.get("c") == 70
    assert list(scope) == ["a", "b", "c", "d", "e"]
    assert scope.record("e").tags == {"new": "yes"}


def test_pages_inside_a_transaction(scope: holdfast.Scope) -> None:
    scope.put_many({f"k{index:05}": index for index in range(0, 2400, 2)})
    with scope.transaction() as inside:
        for index in range(1, 2400, 2):
            inside.put(f"k{index:05}", index)
        for index in range(0, 2400, 10):
            inside.delete(f"k{index:05}")
        expected = [f"k{index:05}" for index in range(2400) if index % 10]
        assert list(inside.keys()) == expected
        assert [record.key for record in inside.list()] == expected
    assert list(scope.keys()) == expected


WATCHED: dict[str, Any] = {
    "get": lambda inside: inside.get("k"),
    "get default": lambda inside: inside.get("missing", None),
    "exists": lambda inside: inside.exists("k"),
    "record": lambda inside: inside.record("k"),
    "entry": lambda inside: inside.entry("k"),
    "list": lambda inside: list(inside.list()),
    "open": lambda inside: inside.open("k", "rb").close(),
    "get_bytes": lambda inside: inside.get_bytes("k"),
    "update": lambda inside: inside.update("k", lambda old: old),
    "touch": lambda inside: inside.touch("k", None),
    "copy": lambda inside: inside.copy("k", "l"),
    "rename": lambda inside: inside.rename("k", "l"),
    "condition": lambda inside: inside.put("missing", 1, if_absent=True),
}


@pytest.mark.parametrize("change", ["put", "put large", "delete", "touch", "again"])
@pytest.mark.parametrize("read", WATCHED)
def test_what_was_read_and_changed_by_others_is_a_conflict(
    store: holdfast.Store, scope: holdfast.Scope, read: str, change: str
) -> None:
    scope.put("k", LARGE)
    key = "missing" if read in ("get default", "condition") else "k"
    atomic = scope.transaction()
    inside = atomic.__enter__()
    WATCHED[read](inside)
    inside.put("result", LARGE[::-1])
    if change == "put" or key == "missing":
        scope.put(key, 1)
    elif change == "put large":
        scope.put(key, LARGE)
    elif change == "touch":
        scope.touch(key, timedelta(days=1))
    else:
        scope.delete(key)
        if change == "again":
            scope.put(key, LARGE)
    before = everything(store)
    with pytest.raises((ConflictError, NotFoundError)):
        atomic.__exit__(None, None, None)
    after = everything(store)
    assert after[: len(before) - 1] == before[: len(before) - 1] or set(map(str, after)) <= set(map(str, before))
    assert not scope.exists("result")
    assert atomic.records == []


def test_blind_writes_do_not_conflict(scope: holdfast.Scope) -> None:
    with scope.transaction() as inside:
        inside.put("k", 1)
        scope.put("k", 2)
    assert scope.get("k") == 1


def test_a_read_that_sees_two_versions_is_told_at_once(scope: holdfast.Scope) -> None:
    scope.put("k", 1)
    atomic = scope.transaction()
    inside = atomic.__enter__()
    inside.get("k")
    scope.put("k", 2)
    with pytest.raises(ConflictError):
        inside.get("k")
    with pytest.raises(ConflictError):
        atomic.__exit__(None, None, None)


def test_a_transaction_that_only_reads(scope: holdfast.Scope) -> None:
    scope.put("k", 1)
    with scope.transaction() as inside:
        assert inside.get("k") == 1
    atomic = scope.transaction()
    with atomic:
        pass
    assert atomic.records == []


def test_update_of_what_changed_outside_does_not_wait(store: holdfast.Store, scope: holdfast.Scope) -> None:
    """No number of attempts could help: what was read in a transaction stays as it was read."""
    scope.put("k", 1)
    began = time.monotonic()
    atomic = scope.transaction()
    inside = atomic.__enter__()
    assert inside.get("k") == 1
    scope.put("k", 2)
    with pytest.raises(ConflictError):
        inside.update("k", lambda n: n + 1)
    assert time.monotonic() - began < 5
    assert scope.get("k") == 2


def test_conditions_inside(scope: holdfast.Scope) -> None:
    version = scope.put("k", 1).version
    with scope.transaction() as inside:
        inside.put("k", 2, if_version=version)
        with pytest.raises(ExistsError):
            inside.put("k", 3, if_absent=True)
        with pytest.raises(ConflictError):
            inside.put("k", 3, if_version=version)
        inside.delete("k")
        inside.put("k", 4, if_absent=True)
        inside.put_many({"m": 1, "n": LARGE}, if_absent=True)
    assert scope.get_many(["k", "m", "n"]) == {"k": 4, "m": 1, "n": LARGE}


def test_after_its_end_nothing_can_be_done_in_it(store: holdfast.Store, scope: holdfast.Scope) -> None:
    atomic = scope.transaction()
    with atomic as inside:
        inside.put("k", 1)
        file = inside.open("late", "wb")
        file.write(LARGE)
    files = len(blob_files(store))
    with pytest.raises(ClosedError):
        file.close()
    for verb in (
        lambda: inside.put("k", 2),
        lambda: inside.put("k", LARGE),
        lambda: inside.get("k"),
        lambda: inside.delete("k"),
        lambda: list(inside),
        lambda: list(inside.list()),
        lambda: inside.put_chunks("k", [LARGE]),
        lambda: inside.add("n"),
        lambda: inside.open("k", "rb"),
        atomic.__enter__,
    ):
        with pytest.raises(ClosedError):
            verb()
    assert scope.get("k") == 1
    assert len(blob_files(store)) == files


def test_equal_values_in_one_transaction_share_their_bytes(store: holdfast.Store, scope: holdfast.Scope) -> None:
    with scope.transaction() as inside:
        for index in range(5):
            inside.put(f"k{index}", LARGE)
    assert len(blob_files(store)) == 1
    for index in range(4):
        scope.delete(f"k{index}")
    store.gc()
    assert scope.get("k4", verify=True) == LARGE
    scope.delete("k4")
    assert store.gc().blobs == 1
    assert blob_files(store) == []


def test_what_replaces_itself_in_a_transaction_leaves_one_file(store: holdfast.Store, scope: holdfast.Scope) -> None:
    with scope.transaction() as inside:
        for index in range(5):
            inside.put("k", pattern(100_000, index))
    assert scope.get("k") == pattern(100_000, 4)
    store.gc()
    assert len(blob_files(store)) == 1
    assert scope.get("k", verify=True) == pattern(100_000, 4)


def test_durability_of_puts_inside(scope: holdfast.Scope) -> None:
    with scope.transaction(durability="power") as inside:
        inside.put("a", 1)
    with scope.transaction() as inside:
        inside.put("b", 1, durability="power")
        inside.put("c", 1)
    with scope.transaction() as inside:
        inside.put("d", 1)
    found = {record.key: record.durability for record in scope.list()}
    assert found == {"a": "power", "b": "power", "c": "power", "d": "process"}


def test_a_lease_inside(store: holdfast.Store, scope: holdfast.Scope) -> None:
    with store.lease("one") as one, store.lease("two") as two:
        with scope.transaction() as inside:
            inside.put("a", LARGE, lease=one)
            inside.put("b", 1, lease=one)
            with pytest.raises(InvalidArgumentError, match="one lease"):
                inside.put("c", pattern(100_000, 3), lease=two)
        assert len(blob_files(store)) == 1
        atomic = scope.transaction()
        inside = atomic.__enter__()
        inside.put("d", LARGE, lease=one)
        one.release()
        with pytest.raises(holdfast.LeaseLost):
            atomic.__exit__(None, None, None)
    assert list(scope) == ["a", "b"]


def test_two_transactions_of_one_read_and_write_do_not_both_commit(scope: holdfast.Scope) -> None:
    scope.put("n", 0)
    first, second = scope.transaction(), scope.transaction()
    one, two = first.__enter__(), second.__enter__()
    one.put("n", one.get("n") + 1)
    two.put("n", two.get("n") + 1)
    first.__exit__(None, None, None)
    with pytest.raises(ConflictError):
        second.__exit__(None, None, None)
    assert scope.get("n") == 1


def test_a_scope_inside_stays_in_its_process(scope: holdfast.Scope) -> None:
    import pickle

    with scope.transaction() as inside, pytest.raises(InvalidArgumentError, match="process"):
        pickle.dumps(inside)


def test_config_of_copied_values_is_kept(scope: holdfast.Scope) -> None:
    scope.put("k", {"x": np.arange(50_000)})
    with scope.transaction() as inside:
        inside.copy("k", "l")
        assert inside.get("l")["x"][5] == 5
    assert json.loads(scope.record("l").row.config or "") == json.loads(scope.record("k").row.config or "")
    assert scope.get("l", verify=True)["x"][5] == 5
