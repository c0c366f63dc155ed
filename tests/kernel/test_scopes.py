"""Scopes: the tree, and what a put meets when its scope is dropped or renamed under it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import NotFoundError, ScopeDroppedError

from .tools import LARGE, blob_files, pattern, said, start_python, tell


def test_a_scope_comes_into_being_when_it_is_written_to(store: holdfast.Store) -> None:
    below = store.namespace("a").workflow("b").instance("c")
    assert not below.present
    assert list(store.children()) == []
    below.get("k", None)
    below.exists("k")
    list(below.list())
    assert not store.namespace("a").present
    below.put("k", 1)
    assert store.namespace("a").present
    assert [str(scope) for scope in store.children()] == ["namespace:a"]
    assert [str(scope) for scope in store.namespace("a").children()] == ["namespace:a/workflow:b"]
    below.delete("k")
    assert below.present


def test_every_way_of_naming_gives_the_same_scope(store: holdfast.Store) -> None:
    scope = store.namespace("a").workflow("b")
    assert scope == store.scope("namespace:a/workflow:b") == store.scope("namespace", "a").scope("workflow", "b")
    assert scope == store.namespace("a").scope("workflow:b")
    assert hash(scope) == hash(store.scope("namespace:a/workflow:b"))
    assert scope != store.namespace("a")
    assert scope != store.namespace("b").workflow("b")
    assert (scope.kind, scope.name, str(scope)) == ("workflow", "b", "namespace:a/workflow:b")
    assert [
        part.kind for part in (store.workspace("x"), store.entity("x"), store.session("x"), store.instance("x"))
    ] == ["workspace", "entity", "session", "instance"]


def test_kinds_names_and_keys_do_not_mix(store: holdfast.Store) -> None:
    places = [
        store.namespace("a"),
        store.workflow("a"),
        store.namespace("a").workflow("a"),
        store.namespace("a/workflow:a"),
        store.namespace("a").artifact("a").scope,
        store.scope("namespace ", "a"),
    ]
    for index, place in enumerate(places):
        place.put("k", index)
        place.put("a/k", -index)
    assert [place.get("k") for place in places] == list(range(len(places)))
    assert all(list(place) == ["a/k", "k"] for place in places)


def test_children(store: holdfast.Store) -> None:
    names = [f"n{index:04}" for index in range(1100)]
    with store.transaction() as inside:
        for name in names:
            inside.namespace("a").entity(name).put("k", 1)
        inside.namespace("a").workflow("w").put("k", 1)
        inside.namespace("a").scope("alpha", "x").put("k", 1)
    found = list(store.namespace("a").children())
    assert [(scope.kind, scope.name) for scope in found] == [
        ("alpha", "x"),
        *(("entity", name) for name in names),
        ("workflow", "w"),
    ]
    assert [scope.name for scope in store.namespace("a").children("entity")] == names
    assert [scope.name for scope in store.namespace("a").children("alpha")] == ["x"]
    assert list(store.namespace("a").children("none")) == []
    assert list(store.namespace("missing").children()) == []
    with store.transaction() as inside:
        assert [scope.name for scope in inside.children()] == ["a"]


def test_create_and_properties(store: holdfast.Store) -> None:
    scope = store.namespace("a").workflow("b").create({"owner": "Ada", "n": [1, None, {"é": 2.5}]})
    info = scope.info()
    assert info.properties == {"owner": "Ada", "n": [1, None, {"é": 2.5}]}
    assert (info.path, info.kind, info.name) == (scope.path, "workflow", "b")
    assert store.namespace("a").info().properties == {}
    assert scope.create().info() == info
    assert scope.create({"x": 1}).info() == info._replace(properties={"x": 1})
    scope.put("k", 1)
    assert scope.info().properties == {"x": 1}
    moved = scope.rename_scope("c")
    assert moved.info().properties == {"x": 1}
    moved.drop()
    assert moved.create(exist_ok=False).info().properties == {}


def test_rename_takes_all_along_and_leaves_nothing(store: holdfast.Store) -> None:
    top = store.namespace("a")
    top.put("k", 1)
    top.workflow("w").put("large", LARGE)
    top.workflow("w").artifact("run").write("f", b"x")
    moved = top.rename_scope("b")
    assert str(moved) == "namespace:b"
    assert (moved.get("k"), moved.workflow("w").get("large")) == (1, LARGE)
    assert moved.workflow("w").artifact("run").read("f") == b"x"
    for old in (top, top.workflow("w"), top.workflow("w").artifact("run").scope):
        assert not old.present
        assert list(old) == []
        assert not old.was_dropped
    with pytest.raises(NotFoundError):
        top.get("k")
    assert [scope.name for scope in store.children()] == ["b"]
    assert moved.rename_scope("b") == moved
    with pytest.raises(NotFoundError):
        top.rename_scope("a")


def test_versions_grow_on_a_path_whoever_has_it(store: holdfast.Store) -> None:
    """A scope that is renamed away, dropped and made again, or replaced by another one: the path's versions grow."""
    path, seen = store.namespace("a"), []
    for round_ in range(3):
        seen += [path.put("k", value).version for value in (LARGE, 1, 2)]
        path.rename_scope(f"old{round_}")
        seen.append(path.put("k", 3).version)
        path.drop()
        seen.append(path.add("k").record.version)
        path.drop()
        for _ in range(5):
            store.namespace("b").put("k", 1)
        store.namespace("b").rename_scope("a")
        seen.append(path.record("k").version)
        path.delete("k")
    assert seen == sorted(set(seen))


def test_a_drop_of_what_should_be_empty(store: holdfast.Store) -> None:
    top = store.namespace("a")
    top.workflow("w").put("k", 1)
    for scope in (top, top.workflow("w")):
        with pytest.raises(holdfast.ConflictError, match="not empty"):
            scope.drop(only_empty=True)
    assert top.workflow("w").get("k") == 1
    top.workflow("w").delete("k")
    top.workflow("w").drop(only_empty=True)
    top.drop(only_empty=True)
    assert not top.present
    top.drop(only_empty=True, missing_ok=True)


def test_drop_hides_all_at_once(store: holdfast.Store) -> None:
    top = store.namespace("a")
    top.put("k", 1)
    top.workflow("w").put("large", LARGE)
    top.create({"x": 1})
    top.drop()
    for old in (top, top.workflow("w")):
        assert not old.present
        assert old.was_dropped
        assert list(old) == list(old.list()) == []
        assert old.get("k", None) is None
    with pytest.raises(NotFoundError):
        top.drop()
    top.drop(missing_ok=True)
    assert not store.namespace("never").was_dropped
    top.put("new", 1)
    assert not top.was_dropped
    assert top.workflow("w").was_dropped
    assert list(top) == ["new"]
    assert not top.workflow("w").present


# --- races ------------------------------------------------------------------------------------------------------------

MOVES: dict[str, Callable[[Any], Any]] = {
    "drop": lambda scope: scope.drop(),
    "drop above": lambda scope: scope._at(scope.path[:1]).drop(),
    "rename": lambda scope: scope.rename_scope("moved"),
    "rename above": lambda scope: scope._at(scope.path[:1]).rename_scope("moved"),
    "drop and again": lambda scope: (scope.drop(), scope.put("k", "again")),
    "rename and again": lambda scope: (scope.rename_scope("moved"), scope.put("k", "again")),
    "swap": lambda scope: (scope.rename_scope("moved"), _other(scope).rename_scope(scope.name)),
}


def _other(scope: Any) -> Any:
    other = scope._at((*scope.path[:-1], ("workflow", "other")))
    other.put("k", "of the other")
    return other


def _contents(store: holdfast.Store) -> dict[str, Any]:
    found: dict[str, Any] = {}
    waiting: list[Any] = list(store.children())
    for scope in waiting:
        waiting += scope.children()
        found |= {record.address: scope.get(record.key) for record in scope.list()}
    return found


@pytest.mark.parametrize("where", ["same store", "another store"])
@pytest.mark.parametrize("move", MOVES)
def test_a_put_begun_before_a_move_fails_and_one_begun_later_is_anew(
    store: holdfast.Store, scope: holdfast.Scope, move: str, where: str
) -> None:
    first = scope.put("k", "before")
    with holdfast.open(store.config.store) as second:
        mover = scope if where == "same store" else second.namespace("prod").workflow("forecast")
        after: dict[str, Any] = {}

        def pieces() -> Iterator[bytes]:
            yield LARGE
            MOVES[move](mover)
            after.update(_contents(store))
            yield LARGE

        files = len(blob_files(store))
        for attempt in (
            lambda: scope.put_chunks("k", pieces()),
            lambda: scope.put_chunks("other key", pieces()),
        ):
            after.clear()
            with pytest.raises(ScopeDroppedError):
                attempt()
            assert _contents(store) == after
            assert len(blob_files(store)) == files
            later = scope.put("k", LARGE)
            assert later.version > first.version
            assert scope.get("k") == LARGE
            for left in ("moved", "other"):
                store.namespace("prod").workflow(left).drop(missing_ok=True)
                store.namespace("moved").drop(missing_ok=True)
            scope.put("k", "before")
            files = len(blob_files(store))


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("value", [1, LARGE], ids=["inline", "large"])
def test_a_transaction_begun_before_a_move_fails(
    store: holdfast.Store, scope: holdfast.Scope, move: str, value: Any
) -> None:
    scope.put("k", "before")
    files = len(blob_files(store))
    atomic = store.transaction()
    inside = atomic.__enter__()
    inside.namespace("prod").workflow("forecast").put("new", value)
    inside.namespace("elsewhere").put("k", value)
    MOVES[move](scope)
    after = _contents(store)
    with pytest.raises(ScopeDroppedError):
        atomic.__exit__(None, None, None)
    assert _contents(store) == after
    assert len(blob_files(store)) == files


@pytest.mark.parametrize("move", MOVES)
def test_a_file_begun_before_a_move_fails_on_closing(scope: holdfast.Scope, store: holdfast.Store, move: str) -> None:
    scope.put("k", "before")
    files = len(blob_files(store))
    file = scope.open("k", "wb")
    file.write(LARGE * 20)
    MOVES[move](scope)
    after = _contents(store)
    with pytest.raises(ScopeDroppedError):
        file.close()
    assert file.closed
    assert _contents(store) == after
    assert len(blob_files(store)) == files


def test_a_scope_that_did_not_exist_when_a_put_began_is_made(store: holdfast.Store) -> None:
    scope = store.namespace("new")

    def pieces() -> Iterator[bytes]:
        yield LARGE
        scope.put("other", 1)
        yield LARGE

    scope.put_chunks("k", pieces())
    assert list(scope) == ["k", "other"]


def test_a_stale_handle_of_another_store_never_reaches_the_renamed_scope(store: holdfast.Store) -> None:
    with holdfast.open(store.config.store) as second:
        here, there = store.namespace("a"), second.namespace("a")
        for round_ in range(3):
            version = here.put("k", "old").version
            here.put("large", LARGE)
            assert there.get("k") == "old"  # the other store remembers where the scope is
            moved = here.rename_scope(f"b{round_}")
            assert there.get("k", None) is None
            assert not there.exists("large")
            assert list(there) == list(there.list()) == []
            with pytest.raises(NotFoundError):
                there.delete("k")
            with pytest.raises(NotFoundError):
                there.touch("k", None)
            verbs: list[Callable[[], Any]] = [
                lambda: there.put("k", "new").version,
                lambda: there.put("k", pattern(90_000)).version,
                lambda: there.add("n").record.version,
                lambda: there.put("k", "new", if_version=there.record("k").version).version,
                lambda: there.put_many({"k": "new"})[0].version,
            ]
            for verb in verbs:
                assert verb() > version
            assert {record.key for record in moved.list()} == {"k", "large"}
            assert moved.get("k") == "old"
            assert here.get("k") == "new"
            here.drop()


def test_a_stale_handle_of_another_process_never_reaches_the_renamed_scope(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    scope.put("k", "old")
    process = start_python(
        """
        import sys, holdfast
        store = holdfast.open(sys.argv[1])
        scope = store.namespace("a")
        for round in range(4):
            scope.put("k", "old"); scope.add("n")
            assert scope.get("k") == "old"
            print("ready", flush=True)
            sys.stdin.readline()
            assert scope.get("k", None) is None
            if round % 2:
                scope.put("k", "new")
            else:
                scope.add("n", 100)
            print("done", flush=True)
            sys.stdin.readline()
        store.close()
        """,
        str(store.config.store),
    )
    with process:
        for round_ in range(4):
            said(process, "ready")
            number = scope.get("n")
            if round_ < 2:
                moved = scope.rename_scope(f"b{round_}")
            else:
                scope.drop()
            tell(process)
            said(process, "done")
            if round_ < 2:
                assert (moved.get("k"), moved.get("n")) == ("old", number)
            assert list(scope) == (["k"] if round_ % 2 else ["n"])
            assert scope.get("n", 100) == 100
            tell(process)
    assert process.returncode == 0


def test_edits_and_copies_meet_a_drop_as_a_missing_record(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("k", 1)
    with holdfast.open(store.config.store) as second:
        there = second.namespace("prod").workflow("forecast")
        assert there.get("k") == 1
        scope.drop()
        for verb in (there.touch, there.set_tags):
            with pytest.raises(NotFoundError):
                verb("k", None)
        with pytest.raises(NotFoundError):
            there.copy("k", "l")
        with pytest.raises(NotFoundError):
            there.update("k", lambda old: old)


def test_usage(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    assert scope.usage().records == 0
    scope.put("k", b"12345")
    scope.put("large", LARGE)
    scope.workflow("below").put("k", LARGE)
    assert tuple(scope.usage()) == (2, 5, len(LARGE))


def test_a_deep_tree(store: holdfast.Store) -> None:
    scope: Any = store
    for depth in range(30):
        scope = scope.scope("level", str(depth))
    scope.put("k", "deep")
    assert store.find(scope.record("k").address)[0].get("k") == "deep"
    store.scope("level", "0").rename_scope("top")
    assert store.scope(str(scope).replace("level:0/", "level:top/", 1)).get("k") == "deep"
    store.scope("level", "top").drop()
    assert store.gc().records == 1


def test_scopes_in_memory_behave_alike() -> None:
    with holdfast.open("memory:") as store:
        test_rename_takes_all_along_and_leaves_nothing(store)
    with holdfast.open("memory:") as store:
        test_drop_hides_all_at_once(store)
    with holdfast.open("memory:") as store:
        test_versions_grow_on_a_path_whoever_has_it(store)


def test_where_a_scope_was_dropped_nothing_comes_back_after_reopening(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        store.namespace("a").workflow("w").put("k", LARGE)
        version = store.namespace("a").put("k", 1).version
        store.namespace("a").drop()
    with holdfast.open(tmp_path / "data") as store:
        assert list(store.children()) == []
        assert store.namespace("a").was_dropped
        assert store.namespace("a").put("k", 1).version > version
        assert not store.namespace("a").workflow("w").present
        assert store.gc().blobs == 1
