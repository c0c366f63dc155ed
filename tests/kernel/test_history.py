"""Old versions of a scope's keys, and limits on what it may hold, as a user has them."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast import InvalidArgumentError, LeaseLost, NotFoundError, Policy, QuotaExceededError, StorageFullError

from .tools import LARGE, blob_files


@pytest.fixture
def scope(store: holdfast.Store) -> holdfast.Scope:
    scope = store.namespace("a")
    scope.set_policy(history=3)
    return scope


def versions(scope: holdfast.Scope, key: str = "k") -> list[int]:
    return [record.version for record in scope.history(key)]


VALUES: dict[str, Any] = {
    "integer": 1, "text": "text", "tuple": {"a": (1, 2)}, "bytes": LARGE, "pickle": complex, "array": np.arange(20_000),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_an_old_value_comes_back_as_it_was(store: holdfast.Store, scope: holdfast.Scope, name: str) -> None:
    """Small ones, pickles, files and arrays, also after a collection."""
    value = VALUES[name]
    first = scope.put("k", value, tags={"a": "b"})
    scope.put("k", b"new" + LARGE)
    scope.put("k", "newest")
    store.gc()
    kept = scope.history("k")[1]
    assert (kept.version, kept.digest, kept.tags, kept.updated) == (1, first.digest, first.tags, first.updated)
    for found in (scope.get("k", version=first.version), scope.get("k", version=first.version, verify=True)):
        assert np.array_equal(found, value) if isinstance(value, np.ndarray) else found == value
    with store.lease("mine") as lease:
        back = scope.restore("k", first.version, lease=lease)
    assert (back.tags, back.digest, back.contents) == (first.tags, first.digest, first.contents)
    assert back.version > first.version
    found = scope.get("k")
    assert np.array_equal(found, value) if isinstance(value, np.ndarray) else found == value
    assert store.verify().problems == []


def test_the_error_says_which_versions_there_are(scope: holdfast.Scope) -> None:
    for number in range(6):
        scope.put("k", number)
    for verb in (lambda: scope.get("k", version=2), lambda: scope.restore("k", 2)):
        with pytest.raises(NotFoundError, match=r"no version 2 of namespace:a/k: there are 6, 5, 4, 3$"):
            verb()
    with pytest.raises(NotFoundError, match=r"no version 1 of namespace:a/other: there are none$"):
        scope.get("other", version=1)
    assert scope.get("k", "default", version=2) == "default"
    assert [scope.get("k", version=version) for version in (6, 5, 4, 3)] == [5, 4, 3, 2]


def test_bad_arguments(store: holdfast.Store, scope: holdfast.Scope) -> None:
    for wrong in ({"history": None}, {"history": -1}, {"max_records": 1.5}, {"max_bytes": "1 GB"}, {"history": True}):
        with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
            scope.set_policy(**wrong)
    assert scope.policy() == Policy(history=3)
    wrong_versions: Any = (-1, 1.5, "1")
    for version in wrong_versions:
        for verb in (lambda: scope.get("k", version=version), lambda: scope.restore("k", version)):  # noqa: B023
            with pytest.raises(InvalidArgumentError):
                verb()
    with store.transaction() as tx, pytest.raises(InvalidArgumentError, match="transaction"):
        tx.namespace("a").set_policy(history=1)


def test_what_is_not_given_stays(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    assert scope.policy() == Policy()
    assert scope.set_policy(history=2, max_records=5) == Policy(2, 5)
    assert scope.set_policy(max_bytes=7) == scope.policy() == Policy(2, 5, 7)
    assert scope.set_policy(history=0, max_records=None) == Policy(0, None, 7)
    assert scope.set_policy(max_bytes=None) == Policy() == scope.policy()
    assert scope.history("k") == []


def test_a_lease_that_is_lost_restores_nothing(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("k", 1)
    scope.put("k", 2)
    lease = store.lease("mine")
    with lease:
        pass
    with pytest.raises((LeaseLost, InvalidArgumentError)):
        scope.restore("k", 1, lease=lease)
    assert scope.get("k") == 2


def test_in_a_transaction(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("k", b"old" + LARGE)
    scope.put("k", 2)
    with store.transaction() as tx:
        inside = tx.namespace("a")
        assert inside.get("k", version=1) == b"old" + LARGE
        inside.restore("k", 1)
        assert inside.get("k") == b"old" + LARGE
        inside.put("other", 1)
        assert scope.get("k") == 2
    assert scope.get("k") == b"old" + LARGE
    assert versions(scope) == [2, 1]
    assert store.verify().problems == []


def test_every_verb_keeps_what_it_replaces(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.set_policy(history=20)
    expected = [scope.put("k", 1)]
    expected.append(scope.add("k").record)
    expected.append(scope.update("k", lambda number: number + 1).record)
    expected.append(scope.touch("k", timedelta(days=1)))
    expected.append(scope.set_tags("k", {"a": "b"}))
    expected.append(scope.put_chunks("k", [LARGE]))
    with scope.open("k", "wb") as file:
        file.write(b"y")
    assert file.record is not None
    expected.append(file.record)
    expected.append(scope.put_many({"k": 5})[0])
    scope.copy("k", "copied")
    scope.rename("k", "renamed")
    assert scope.history("k") == expected[::-1]
    assert scope.history("renamed") == scope.history("copied") == []
    scope.rename("renamed", "k")
    scope.delete("k")
    assert [record.version for record in scope.history("k")][1:] == [record.version for record in expected[::-1]]


def test_memoized_results_under_a_quota(store: holdfast.Store) -> None:
    """Where there is no room for the result, the call still gives it or says so; with room it is kept."""
    calls = []

    @store.memoize(version="1")
    def square(x: int) -> int:
        calls.append(x)
        return x * x

    assert [square(3), square(3)] == [9, 9]
    (scope,) = [scope for scope in store.children() if scope.kind == "memo"]
    for below in [scope, *scope.children()]:
        below.set_policy(history=2, max_records=100)
    assert [square(4), square(4), square(3)] == [16, 16, 9]
    assert calls == [3, 4]


def test_damage_of_an_old_version_is_found(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        scope.set_policy(history=2)
        first = scope.put("k", b"x" * 100_000)
        scope.put("k", 1)
        scope.put("deleted", b"y" * 100_000)
        scope.delete("deleted")
        assert store.verify().records == 3
        for path in (tmp_path / "data" / "files").glob("*/*"):
            if path.name != "lock":
                path.write_bytes(b"z" * 100_000)
        found = [(problem.address, problem.version) for problem in store.verify().problems]
        assert found == [("namespace:a/k", first.version), ("namespace:a/deleted", first.version)]
        with pytest.raises(holdfast.IntegrityError):
            scope.get("k", version=first.version, verify=True)


def test_a_full_scope_leaves_no_bytes_behind(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        scope.set_policy(max_bytes=150_000)
        scope.put("k", b"x" * 100_000)
        for put in (
            lambda: scope.put("other", b"y" * 100_000),
            lambda: scope.put_chunks("other", [b"y" * 100_000]),
            lambda: scope.put_many({"one": b"1" * 40_000, "two": b"2" * 40_000}),
            lambda: scope.put("other", b"small" * 10_001),
        ):
            with pytest.raises(QuotaExceededError, match="namespace:a may have 150,000 bytes, and would have"):
                put()
        assert issubclass(QuotaExceededError, StorageFullError)
        assert list(scope) == ["k"]
        assert len(blob_files(store)) == 1
        scope.put("k", b"y" * 150_000)


def test_a_scope_of_the_same_name_begins_anew(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("k", LARGE)
    scope.put("k", 1)
    scope.drop()
    assert scope.history("k") == []
    assert scope.policy() == Policy()
    scope.put("k", 2)
    assert store.gc().blobs == 1
    assert scope.history("k") == []


def test_two_who_set_a_policy_at_once(scope: holdfast.Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one sets, the other does not take back."""
    set_policy, together = type(scope._kernel.catalog).set_policy, threading.Barrier(2)

    def slow(self: Any, *asked: Any) -> Any:
        with suppress(threading.BrokenBarrierError):
            together.wait(0.3)
        return set_policy(self, *asked)

    monkeypatch.setattr(type(scope._kernel.catalog), "set_policy", slow)
    others = [
        threading.Thread(target=scope.set_policy, kwargs=given) for given in ({"history": 5}, {"max_records": 10})
    ]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert scope.policy() == Policy(history=5, max_records=10)
