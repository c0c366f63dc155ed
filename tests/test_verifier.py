"""``store.verify()``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import holdfast
from holdfast import StorableDataclass
from holdfast.upkeep.verifier import scopes_from


def blob(store: holdfast.Store) -> Path:
    """The largest stored file."""
    found = [path for path in (Path(store.config.store) / "files").rglob("*") if path.is_file()]
    return max(found, key=lambda path: path.stat().st_size)


def test_everything_is_looked_at_once(tmp_path: Path) -> None:
    with holdfast.open(tmp_path) as store:
        scope = store.namespace("a")
        scope.put_chunks("big", [os.urandom(9_000_000)])
        scope.copy("big", "twin")
        scope.workflow("b").put_many({"x": 1, "y": [1, 2], "z": b"q" * 100_000})
        told: list[int] = []
        found = store.verify(progress=told.append)
        assert (found.records, found.fine, found.problems) == (5, True, [])
        assert found.size == sum(record.size for place in (scope, scope.workflow("b")) for record in place.list())
        assert told.count(9_000_000) == 1  # pieces are smaller: the twin's bytes were known by then
        assert sum(told) >= found.size - 8  # a native integer counts 8 and is shorter in text


def test_each_record_on_damaged_bytes_is_told(tmp_path: Path) -> None:
    with holdfast.open(tmp_path) as store:
        scope = store.namespace("a")
        scope.put_chunks("big", [os.urandom(2_000_000)])
        scope.copy("big", "twin")
        scope.put("fine", 1)
        path = blob(store)
        path.chmod(0o600)
        os.truncate(path, 1_999_999)
        found = store.verify()
        assert not found.fine
        assert [(problem.address, problem.version, problem.code) for problem in found.problems] == [
            ("namespace:a/big", 1, "integrity"),
            ("namespace:a/twin", 1, "integrity"),
        ]
        assert found.records == 3


def test_no_code_of_a_value_runs(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return exec, ("raise SystemExit('it ran')",)

    with holdfast.open(tmp_path) as store:
        store.namespace("a").put("trap", Trap())
        assert store.verify().fine
        with pytest.raises(SystemExit):
            store.namespace("a").get("trap")


def test_what_is_named_must_be_there(tmp_path: Path) -> None:
    with holdfast.open(tmp_path) as store:
        store.namespace("a").put_many({"p/x": 1, "p/y": 2, "q": 3})
        assert store.verify(["namespace:a/p/"]).records == 2
        assert store.verify(["namespace:a/q", "namespace:a"]).records == 4
        assert store.verify([]).records == 0
        for address in ("namespace:a/none", "namespace:a/none/", "namespace:none"):
            with pytest.raises(holdfast.NotFoundError):
                store.verify([address])
        with pytest.raises(holdfast.InvalidScopeError):
            store.verify(["q"])


def test_what_changes_meanwhile_is_no_problem(tmp_path: Path) -> None:
    with holdfast.open(tmp_path) as store:
        scope = store.namespace("a")
        for key in ("k1", "k2", "k3"):
            scope.put_chunks(key, [os.urandom(100_000)])

        def meddle(_: int) -> None:
            scope.delete("k2", missing_ok=True)
            scope.put_chunks("k3", [b"new" * 50_000])
            store.gc()

        found = store.verify(progress=meddle)
        assert found.fine
        assert found.records == 2


def test_scopes_come_before_those_below(tmp_path: Path) -> None:
    with holdfast.open(tmp_path) as store:
        for text in ("a:1/b:1", "a:1/b:2/c:1", "a:2"):
            store.scope(text).create()
        assert [str(place) for place in scopes_from(store)][1:] == ["a:1", "a:1/b:1", "a:1/b:2", "a:1/b:2/c:1", "a:2"]
        assert [str(place) for place in scopes_from(store.scope("a:1/b:2"))] == ["a:1/b:2", "a:1/b:2/c:1"]


@dataclass
class Track(StorableDataclass, class_id="7e110001"):
    """An object of two files and a small content."""

    one: np.ndarray
    two: np.ndarray


def test_each_content_of_an_object_is_looked_at(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        scope.set_policy(history=2)
        for number in range(3):
            scope.put("track", Track(one=np.arange(200_000) + number, two=np.arange(10_000) - number))
        scope.copy("track", "twin")
        told: list[int] = []
        found = store.verify(progress=told.append)
        assert (found.records, found.problems) == (4, [])
        assert found.size == sum(told) == scope.record("track").size * 4
        file_of(scope, "two").write_bytes(b"x" * 100)
        file_of(scope, "one").unlink()
        problems = store.verify().problems
        assert [(problem.address, problem.version, problem.code) for problem in problems] == [
            ("namespace:a/track", 3, "value_lost"), ("namespace:a/twin", 1, "value_lost"),
        ]  # fmt: skip
        assert all("Track.one]" in problem.message for problem in problems)


def file_of(scope: holdfast.Scope, name: str) -> Path:
    return Path(scope._kernel.config.store, "files", scope.contents("track")[name].storage_config)


def test_a_damaged_content_of_an_old_version_is_told(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        scope.set_policy(history=1)
        old = scope.put("track", Track(one=np.arange(9_000), two=np.arange(8_000)))
        place = file_of(scope, "two")
        scope.put("track", 1)
        os.truncate(place, 5)
        (problem,) = store.verify().problems
        assert (problem.address, problem.version, problem.code) == ("namespace:a/track", old.version, "integrity")
        assert "Track.two]" in problem.message


def test_an_object_that_changes_meanwhile_is_no_problem(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        for key in ("k1", "k2", "k3"):
            scope.put(key, Track(one=np.arange(9_000) + len(key), two=np.arange(8_000) + ord(key[1])))
        turns = iter(range(1, 100))

        def meddle(_: int) -> None:
            scope.delete("k2", missing_ok=True)
            turn = next(turns)
            if turn < 9:
                scope.put("k3", Track(one=np.arange(9_000) - turn, two=np.arange(8_000) - turn))
            store.gc()

        found = store.verify(progress=meddle)
        assert (found.records, found.problems) == (2, [])
