"""Objects whose contents are several files: one commit, no file left behind, and none lost that somebody needs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import fsspec
import numpy as np
import pytest

import holdfast
from holdfast import ConflictError, InvalidArgumentError, NotFoundError, StorableDataclass
from holdfast.storages.file import FileStorage

from .tools import LARGE, blob_files, everything, python

ONE, TWO = np.arange(10_000), np.arange(20_000)


@dataclass
class Track(StorableDataclass, class_id="b0dd1e01"):
    """Two large contents, and a small one beside."""

    name: str
    one: Any = field(default_factory=lambda: ONE)
    two: Any = field(default_factory=lambda: TWO)


def rows(store: holdfast.Store, sql: str) -> list[Any]:
    """What a statement finds in the catalog."""
    connection = apsw.Connection(os.path.join(store.config.store, "catalog.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def alike(found: Any, name: str = "a", one: Any = ONE, two: Any = TWO) -> bool:
    return bool(found.name == name and (found.one == one).all() and (found.two == two).all())


def test_contents_that_are_there_are_not_kept_twice(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("array", ONE)
    scope.put("track", Track(name="a"))
    scope.put("again", Track(name="b"))
    scope.put("both", Track(name="c", one=TWO, two=TWO))
    assert len(blob_files(store)) == 2
    assert rows(store, "SELECT refs FROM blobs WHERE storage<>0 ORDER BY bytes") == [(3,), (4,)]
    scope.delete("array")
    for key in ("track", "again"):
        scope.delete(key)
        assert store.gc().blobs == (key == "again"), "one of them is still needed"
    assert (scope.get("both", verify=True).one == TWO).all()
    scope.delete("both")
    assert store.gc().blobs == 1
    assert (blob_files(store), rows(store, "SELECT * FROM blobs"), rows(store, "SELECT * FROM members")) == ([], [], [])


def _raise(scope: holdfast.Scope) -> None:
    raise ZeroDivisionError


ENDS: dict[str, tuple[Callable[[holdfast.Scope], object], type[BaseException]]] = {
    "exception": (_raise, ZeroDivisionError),
    "conflict": (lambda scope: scope.put("watched", 2), ConflictError),
    "drop": (lambda scope: scope.drop(), ConflictError),
    "closed file gone": (lambda scope: [path.unlink() for path in blob_files_of(scope)], holdfast.ValueLost),  # type: ignore[func-returns-value]
    "quota": (lambda scope: scope.set_policy(max_bytes=1000), holdfast.QuotaExceededError),
}


def blob_files_of(scope: holdfast.Scope) -> list[Path]:
    folder = Path(scope._kernel.config.store, "files")
    return [path for path in folder.glob("*/*") if path.name.isdecimal()]


@pytest.mark.parametrize("end", ENDS)
def test_a_transaction_that_fails_leaves_nothing_of_them(
    store: holdfast.Store, scope: holdfast.Scope, end: str
) -> None:
    scope.put("watched", 1)
    meanwhile, error = ENDS[end]

    def work() -> None:
        with scope.transaction() as inside:
            assert inside.get("watched") == 1
            inside.put("track", Track(name="a"))
            inside.copy("track", "copy")
            inside.rename("copy", "moved")
            assert alike(inside.get("moved"))
            assert inside.get_bytes("moved", content="one") == inside.get_bytes("track", content="one")
            assert len(blob_files(store)) == 2
            meanwhile(scope)

    with pytest.raises(error):
        work()
    assert blob_files(store) == []
    assert not scope.exists("track")


def test_a_transaction_puts_all_contents_on_disk(
    store: holdfast.Store, scope: holdfast.Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = FileStorage.sync
    monkeypatch.setattr(FileStorage, "sync", lambda self, places: (synced.extend(places), real(self, places))[1])  # type: ignore[func-returns-value]
    with (atomic := scope.transaction()) as inside:
        inside.put("track", Track(name="a"))
        inside.copy("track", "copy")
    places = {content.storage_config for content in scope.contents("track").values() if content.storage}
    assert set(synced) == places
    assert len(places) == 2
    assert [record.durability for record in atomic.records] == ["power", "power"]
    assert rows(store, "SELECT refs FROM blobs WHERE storage<>0") == [(2,), (2,)]
    scope.delete("track")
    store.gc()
    assert alike(scope.get("copy", verify=True))


def test_an_object_of_the_catalog_is_copied_and_moved_in_a_transaction(scope: holdfast.Scope) -> None:
    scope.put("track", Track(name="a"))
    with scope.transaction() as inside:
        inside.copy("track", "copy")
        inside.rename("track", "moved")
        assert alike(inside.get("copy"))
        assert alike(inside.get("moved"))
        assert inside.contents("copy") == scope.contents("track")
    assert alike(scope.get("copy"))
    assert alike(scope.get("moved"))
    with pytest.raises(NotFoundError):
        scope.get("track")


def test_durability_is_that_of_the_least_safe_content(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("array", ONE, durability="power")
    assert scope.put("track", Track(name="a")).durability == "process"
    store.sync()
    assert scope.record("track").durability == "power"
    assert scope.put("other", Track(name="b", one=TWO, two=ONE)).durability == "power", "all is there already"
    assert scope.put("third", Track(name="c", one=-ONE), durability="power").durability == "power"


@pytest.mark.parametrize("damage", ["altered", "truncated", "gone"])
def test_equal_contents_mend(store: holdfast.Store, scope: holdfast.Scope, damage: str) -> None:
    scope.put("track", Track(name="a"))
    scope.copy("track", "copy")
    file = blob_files(store)[1]
    if damage == "altered":
        file.write_bytes(b"x" * file.stat().st_size)
    elif damage == "truncated":
        os.truncate(file, 100)
    else:
        file.unlink()
    assert [problem.address for problem in store.verify().problems] == [
        "namespace:prod/workflow:forecast/copy", "namespace:prod/workflow:forecast/track",
    ]  # fmt: skip
    scope.put("again", Track(name="b"))
    for key, name in (("track", "a"), ("copy", "a"), ("again", "b")):
        assert alike(scope.get(key, verify=True), name)
    assert store.verify().fine
    assert len(blob_files(store)) == 2


def test_two_equal_contents_mend_one_file_and_leave_none(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("k", Track(name="a", one=ONE, two=ONE))
    (file,) = blob_files(store)
    file.unlink()
    scope.put("k", Track(name="a", one=ONE, two=ONE))
    assert len(blob_files(store)) == 1
    assert alike(scope.get("k", verify=True), two=ONE)


def test_what_a_killed_writer_wrote_before_its_commit_is_found(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("track", Track(name="a"))
    before = everything_of(store)
    code = """
        import os, signal, sys
        import holdfast
        from holdfast.catalog.sqlite import SQLiteCatalog
        from tests.kernel.test_bundles import TWO, Track
        store = holdfast.open(sys.argv[1])
        def commit(self, changes, **options):
            assert len(changes[0].members) == 2
            os.kill(os.getpid(), signal.SIGKILL)
        SQLiteCatalog.commit = commit
        store.namespace("prod").workflow("forecast").put("track", Track(name="b", one=-TWO, two=-TWO - 1))
    """
    assert python(code, store.config.store, check=False).returncode == -9
    assert len(blob_files(store)) == 4
    assert store.gc().orphans == 2
    assert everything_of(store) == before
    assert alike(scope.get("track"))


def everything_of(store: holdfast.Store) -> list[Any]:
    records = [record.row[:-1] for scope in store.children() for below in scope.children() for record in below.list()]
    return [*records, *map(str, blob_files(store))]


def test_after_a_power_cut_the_version_before_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
        import os, sys
        import holdfast
        from tests.kernel.test_bundles import ONE, Track
        scope = holdfast.open(sys.argv[1]).namespace("a")
        scope.put("track", Track(name="old"), durability="power")
        scope.put("track", Track(name="new", one=-ONE))
        scope.copy("track", "copy")
        print(scope.contents("track")["one"].storage_config, flush=True)
        os._exit(0)
    """
    place = python(code, str(tmp_path / "data")).stdout.strip()
    (tmp_path / "data/files" / place).write_bytes(bytes(100))
    monkeypatch.setattr("holdfast.kernel.boot_id", lambda: "the next one")
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        assert scope.record("track").version == 1
        assert alike(scope.get("track", verify=True), "old")
        assert not scope.exists("copy")
        assert store.verify().fine
        assert scope.put("track", 1).version > 2
        store.gc()
        assert blob_files(store) == []


def test_one_content_is_named(store: holdfast.Store, scope: holdfast.Scope, tmp_path: Path) -> None:
    scope.put("track", Track(name="a"))
    scope.put("value", 5)
    scope.put_chunks("file", [LARGE])
    for look in (
        lambda: scope.get_bytes("track"),
        lambda: list(scope.get_chunks("track")),
        lambda: scope.get_file("track", tmp_path / "out"),
        lambda: scope.open("track", "rb"),
    ):
        with pytest.raises(
            InvalidArgumentError, match=r"track is an object: name one of its contents .* body, one, two"
        ):
            look()
    with pytest.raises(NotFoundError, match="track has no content 'three': it has body, one, two"):
        scope.get_bytes("track", content="three")
    with pytest.raises(NotFoundError, match="value has no content 'one': it has value"):
        scope.get_bytes("value", content="one")
    with pytest.raises(NotFoundError, match="no record"):
        scope.get_bytes("nothing", content="one")
    assert scope.get_bytes("file", content="value") == LARGE
    one = scope.get_bytes("track", content="one")
    assert one.endswith(ONE.tobytes())
    assert b"".join(scope.get_chunks("track", content="one")) == one
    path = scope.get_file("track", tmp_path, content="one")
    assert (Path(path).name, Path(path).read_bytes()) == ("one", one)
    paths = scope.get_dir("", tmp_path / "all")
    assert sorted(os.path.relpath(path, tmp_path / "all") for path in paths) == [
        "file", "track/body", "track/one", "track/two", "value",
    ]  # fmt: skip
    assert (tmp_path / "all/track/one").read_bytes() == one


def test_one_content_for_async_programs(store: holdfast.Store, scope: holdfast.Scope, tmp_path: Path) -> None:
    scope.put("track", Track(name="a"))
    stored = scope.get_bytes("track", content="one")

    async def look() -> None:
        flow = scope.aio
        assert await flow.get_bytes("track", content="one") == stored
        assert b"".join([piece async for piece in flow.get_chunks("track", content="one")]) == stored
        path = await flow.get_file("track", tmp_path / "one", content="one")
        assert Path(path).read_bytes() == stored
        with pytest.raises(InvalidArgumentError, match="body, one, two"):
            await flow.get_bytes("track")
        await store.aio.close()

    asyncio.run(look())


def test_objects_in_fsspec(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("track", Track(name="a"))
    scope.put_chunks("file", [LARGE])
    files = fsspec.filesystem("holdfast", store=store)
    assert sorted(name.rpartition("/")[2] for name in files.ls(str(scope), detail=False)) == ["file", "track"]
    for look in (files.cat_file, files.open, lambda path: files.get_file(path, "/dev/null")):
        with pytest.raises(InvalidArgumentError, match="is an object"):
            look(f"{scope}/track")
    files.mv(f"{scope}/track", f"{scope}/moved")
    assert alike(scope.get("moved"))


def test_a_compressed_content_is_given_unpacked(scope: holdfast.Scope) -> None:
    scope.put("track", Track(name="a", two=np.zeros(50_000, np.int64)), compression="zstd")
    content = scope.record("track").contents["two"]
    assert (content.encoding, content.size < 10_000) == ("zstd", True)
    assert scope.get_bytes("track", content="two").endswith(bytes(400_000))


def test_a_config_that_lies_is_told(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("track", Track(name="a"))
    scope.put("fine", 1)
    store.close()
    connection = apsw.Connection(os.path.join(store.config.store, "catalog.sqlite"))
    lies = (
        ('"member":1', '"member":7', "Track.two"),
        (
            '"member":1',
            '"member":0',
            "other bytes for namespace:prod/workflow:forecast/track [tests.kernel.test_bundles.Track.two]",
        ),
        ('"at":0', '"at":"x"', "a config that Holdfast cannot have written"),
    )
    for old, new, told in lies:
        connection.execute("UPDATE records SET config=replace(config,?1,?2) WHERE key='track'", (old, new))
        assert connection.changes() == 1
        with holdfast.open(store.config.store) as opened:
            (problem,) = opened.verify().problems
            assert problem.address == "namespace:prod/workflow:forecast/track"
            assert told in problem.message
            with pytest.raises(holdfast.HoldfastError):
                opened.namespace("prod").workflow("forecast").get_bytes(
                    "track", content="two" if "1" in old else "body"
                )
        connection.execute("UPDATE records SET config=replace(config,?2,?1) WHERE key='track'", (old, new))
    connection.close()


def test_nothing_changes_for_values_and_files(store: holdfast.Store, scope: holdfast.Scope) -> None:
    """They have no bundle, and no row in its table."""
    scope.put("small", {"a": 1})
    scope.put("array", ONE)
    scope.put_chunks("file", [LARGE])
    assert rows(store, "SELECT count(*) FROM members") == [(0,)]
    assert rows(store, "SELECT count(*) FROM blobs WHERE storage=0") == [(0,)]
    assert everything(store)
