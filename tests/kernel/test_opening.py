"""Opening: where a store can be, and what is said where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

import holdfast
from holdfast import (
    InvalidArgumentError,
    NetworkFilesystemError,
    NotAStoreError,
    OtherHostError,
    ReadOnlyError,
    SchemaError,
    StoreError,
    StoreNotFoundError,
)

from .tools import LARGE, ROOT, file_of, wait_for


def test_open_makes_a_store_for_this_user_only(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "deep" / "data") as store:
        store.namespace("a").put("k", LARGE)
        assert store.config.store == str(tmp_path / "deep" / "data")
    mode = (tmp_path / "deep" / "data").stat().st_mode & 0o777
    assert mode == 0o700


def test_nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreNotFoundError):
        holdfast.open(tmp_path / "missing", create=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreNotFoundError):
        holdfast.open(tmp_path / "empty", create=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreNotFoundError, match="HOLDFAST_STORE"):
        holdfast.open()
    assert sorted(os.listdir(tmp_path)) == ["empty"]
    assert os.listdir(tmp_path / "empty") == []


def test_something_else_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError):
            holdfast.open(path)
    with pytest.raises(NotAStoreError, match="is a file"):
        holdfast.open(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "text"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("text")
    with pytest.raises(NotAStoreError, match=r"thesis\.txt"):
        holdfast.open(tmp_path / "folder")
    assert os.listdir(tmp_path / "folder") == ["thesis.txt"]
    (tmp_path / "taken" / "catalog.sqlite").mkdir(parents=True)
    with pytest.raises(NotAStoreError):
        holdfast.open(tmp_path / "taken")


def test_another_database_is_there(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    connection = apsw.Connection(str(tmp_path / "data" / "catalog.sqlite"))
    connection.execute("CREATE TABLE mine(x)")
    connection.close()
    with pytest.raises(NotAStoreError):
        holdfast.open(tmp_path / "data")


@pytest.mark.parametrize("settings", [
    {"store": ""}, {"store": 5}, {"store": "a\0b"}, {"store": "mysql://x/y"}, {"store": b"data"},
    {"store": "\ud800"}, {"storage": "s3"}, {"storage": 5}, {"durability": "disk"}, {"inline": -1}, {"inline": "x"},
    {"inline": 1 << 40}, {"inline": 1.5}, {"timeout": -1}, {"timeout": "soon"}, {"timeout": float("nan")},
    {"registry": 5}, {"cache": 5}, {"cache": ""}, {"cache_size": -1}, {"storage": "file:///data"},
    {"store": "postgresql://x/y", "storage": "files"}, {"store": "memory:", "storage": "s3://bucket"},
    {"storage": "s3://key:secret@bucket"}, {"storage": "gopher://x/y"}, {"store": "postgresql://x/y?schema=pg_x"},
], ids=repr)  # fmt: skip
def test_bad_settings(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        holdfast.open(**{"store": tmp_path / "data", **settings})
    assert os.listdir(tmp_path) == []


def test_a_newer_schema(tmp_path: Path) -> None:
    holdfast.open(tmp_path / "data").close()
    connection = apsw.Connection(str(tmp_path / "data" / "catalog.sqlite"))
    connection.pragma("user_version", 999)
    connection.close()
    with pytest.raises(SchemaError, match="upgrade"):
        holdfast.open(tmp_path / "data")


@pytest.mark.parametrize("damage", ["random", "truncated", "head", "empty", "table"])
def test_a_damaged_catalog(tmp_path: Path, damage: str) -> None:
    with holdfast.open(tmp_path / "data") as store:
        for index in range(200):
            store.namespace("a").put(f"k{index}", os.urandom(500))
    path = tmp_path / "data" / "catalog.sqlite"
    data = path.read_bytes()
    if damage == "table":
        connection = apsw.Connection(str(path))
        connection.execute("DROP TABLE blobs")
        connection.close()
    else:
        path.write_bytes(
            {
                "random": os.urandom(len(data)),
                "truncated": data[: len(data) // 3],
                "head": os.urandom(100) + data[100:],
                "empty": b"",
            }[damage]
        )
    if damage == "empty":
        with pytest.raises(StoreNotFoundError):
            holdfast.open(tmp_path / "data", create=False)
        return

    def use() -> None:
        with holdfast.open(tmp_path / "data") as store:
            for key in store.namespace("a"):
                store.namespace("a").get(key)
            assert len(list(store.namespace("a"))) == 200, "values vanished without a word"

    with pytest.raises(StoreError):
        use()


def test_a_network_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.storages.places.filesystem_type", lambda path: "nfs4")
    for create in (True, False):
        with pytest.raises(NetworkFilesystemError, match="nfs4"):
            holdfast.open(tmp_path / "data", create=create)
    assert os.listdir(tmp_path) == []


def claim(store: holdfast.Store, seconds: float) -> None:
    catalog: Any = store._kernel.catalog
    catalog.claim("another machine", "another boot", seconds)


def test_another_live_machine_and_its_death(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        store.namespace("a").put("k", np.arange(20_000))
        store.sync()
        assert store.namespace("a").record("k").durability == "power"
        claim(store, 0.5)
    with pytest.raises(OtherHostError, match=r"another machine.*PostgreSQL"):
        holdfast.open(tmp_path / "data")
    time.sleep(0.6)
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        assert scope.record("k").durability == "process"  # nothing is known of this disk
        assert scope.get("k")[7] == 7
        assert scope.record("k").durability == "power"
        catalog: Any = store._kernel.catalog
        assert catalog.machine()[0] != "another machine"


def test_an_adopted_store_trusts_no_file_unread(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        for key, value in (("whole", np.arange(20_000)), ("torn", np.arange(20_000.0)), ("bytes", LARGE)):
            scope.put(key, value)
        torn = [file_of(store, scope.record(key)) for key in ("torn", "bytes")]
        times = [path.stat() for path in torn]
        store.sync()
        claim(store, 0.01)
    for path, before in zip(torn, times, strict=True):
        path.write_bytes(bytes(before.st_size))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    time.sleep(0.05)
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        assert scope.get("whole")[7] == 7
        for key in ("torn", "bytes"):
            with pytest.raises(holdfast.IntegrityError):
                scope.get(key)


def test_an_earlier_boot_goes_back_to_what_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut: the newest bytes were not on disk, and are zeros; the version before them comes back."""
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        first = scope.put("k", LARGE, durability="power")
        second = scope.put("k", LARGE[::-1])
        scope.put("fine", LARGE[1:])
        path = tmp_path / "data" / "files" / second.contents["value"].storage_config
        assert second.durability == "process"
    path.write_bytes(bytes(len(LARGE)))
    monkeypatch.setattr("holdfast.kernel.boot_id", lambda: "a later boot")
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        assert scope.get("k") == LARGE
        assert scope.record("k").version == first.version
        assert scope.get("fine") == LARGE[1:]
        assert scope.put("k", 1).version > second.version


def test_in_a_working_directory_that_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    holdfast.open(tmp_path / "store").close()
    with pytest.raises(InvalidArgumentError, match="was removed: name a full path"):
        holdfast.open("store")


@pytest.mark.parametrize("fate", ["removed", "moved", "another one is there"])
def test_nothing_is_taken_for_a_store_that_is_gone(tmp_path: Path, fate: str) -> None:
    folder = tmp_path / "store"
    calls: list[Any] = [
        lambda scope: scope.put("k", 2),
        lambda scope: scope.put("new", 2),
        lambda scope: scope.put("large", LARGE[1:]),
        lambda scope: scope.put("durable", 2, durability="power"),
        lambda scope: scope.add("n", 1),
        lambda scope: scope.update("k", lambda value: value + 1),
        lambda scope: scope.delete("k"),
        lambda scope: scope.create({"a": "b"}),
        lambda scope: scope.drop(),
        lambda scope: scope.get("k"),
        lambda scope: scope.get("not there", None),
        lambda scope: list(scope.list()),
    ]
    with holdfast.open(folder) as store:
        scope = store.scope("namespace:prod")
        scope.put("k", 1)
        scope.put("n", 1)
        if fate == "moved":
            folder.rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(folder)
        if fate == "another one is there":
            holdfast.open(folder).close()
        time.sleep(0.06)  # it is looked at every 50 ms
        for call in calls:
            with pytest.raises(
                StoreNotFoundError, match="was moved or removed while it was open, and this call did nothing"
            ):
                call(scope)
        with pytest.raises(StoreNotFoundError), scope.transaction() as whole:
            whole.put("k", 3)
    if fate == "moved":
        with holdfast.open(tmp_path / "elsewhere") as store:
            assert [(record.key, record.version) for record in store.scope("namespace:prod").list()] == [
                ("k", 1),
                ("n", 1),
            ]


def test_settings_from_the_environment_and_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    (tmp_path / "holdfast.toml").write_text('store = "here"\ninline = 10\n')
    with holdfast.open() as store:
        assert (store.config.store, store.config.inline) == (str(tmp_path / "here"), 10)
        assert store.namespace("a").put("k", bytes(11)).contents["value"].storage == "holdfast.file@v1"
    monkeypatch.setenv("HOLDFAST_STORE", str(tmp_path / "there"))
    monkeypatch.setenv("HOLDFAST_INLINE", "100")
    with holdfast.open(durability="power") as store:
        assert (store.config.store, store.config.inline) == (str(tmp_path / "there"), 100)
        assert store.namespace("a").put("k", 1).durability == "power"
    (tmp_path / "holdfast.toml").write_text("stores = 5")
    with pytest.raises(InvalidArgumentError, match="stores"):
        holdfast.open()
    (tmp_path / "holdfast.toml").write_text("=")
    with pytest.raises(InvalidArgumentError, match="TOML"):
        holdfast.open()


# --- durability -------------------------------------------------------------------------------------------------------


def test_durability_of_each_kind_of_put(store: holdfast.Store, scope: holdfast.Scope) -> None:
    for value in (1, "text", LARGE):
        assert scope.put("k", value, durability="power").durability == "power"
        assert scope.record("k").durability == "power"
        assert scope.put("k", value if value != LARGE else LARGE[::-1]).durability == "process"
    assert scope.put_chunks("k", [LARGE[5:]], durability="power").durability == "power"
    with scope.open("k", "wb", durability="power") as file:
        file.write(LARGE[6:])
    assert scope.record("k").durability == "power"


def test_bytes_reach_the_disk_in_the_background_and_by_sync(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("k", LARGE)
    wait_for(lambda: scope.record("k").durability == "power", 5)
    scope.put("l", LARGE[::-1])
    assert store.sync() == 1
    assert scope.record("l").durability == "power"
    assert store.sync() == 0


def test_a_background_that_fails_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = holdfast.open(tmp_path / "data")
    store.namespace("a").put("k", LARGE)
    shutil.rmtree(tmp_path / "data")
    keeper = store._kernel._keeper  # type: ignore[attr-defined]
    for _ in range(3):
        keeper.wake()
        assert keeper.turn()
    assert [record.message[:39] for record in caplog.records] == ["the background sync will be tried again"]
    store.close()


def test_a_power_put_of_equal_bytes_does_not_trust_unsynced_ones(scope: holdfast.Scope) -> None:
    assert scope.put("k", LARGE).durability == "process"
    assert scope.put("l", LARGE, durability="power").durability == "power"


def test_a_store_whose_default_is_power(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data", durability="power") as store:
        scope = store.namespace("a")
        assert scope.put("k", 1).durability == "power"
        assert scope.put("k", LARGE).durability == "power"
        assert scope.put("l", 1, durability="process").durability == "process"
        assert scope.touch("l", None).durability == "power"
        with scope.transaction() as inside:
            inside.put("m", 1)
        assert scope.record("m").durability == "power"


# --- users and disks --------------------------------------------------------------------------------------------------


DROP = """
import os, tempfile, holdfast
with tempfile.TemporaryDirectory() as folder, holdfast.open(folder + "/x") as store:
    store.namespace("a").put("k", bytes(100_000))  # all is imported now, wherever the interpreter lies
try:
    holdfast.open("/etc/passwd")
except holdfast.StoreError:
    pass
if not os.getuid():
    os.setgid(65534)
    os.setuid(65534)
"""


def as_nobody(code: str, *arguments: str) -> None:
    """Run a program text as an ordinary user."""
    command = [sys.executable, "-c", DROP + code, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


REFUSED = """
import sys, holdfast
for create in (True, False):
    try:
        holdfast.open(sys.argv[1], create=create)
    except holdfast.ReadOnlyError as error:
        assert sys.argv[1] in str(error), error
    else:
        raise AssertionError("it was opened")
"""


@pytest.mark.parametrize("what", ["folder", "catalog", "unreadable", "parent"])
def test_what_this_user_may_not_write(tmp_path: Path, what: str) -> None:
    place = Path("/var/tmp", f"holdfast-{os.getpid()}-{what}")  # pytest's own folders are closed to other users
    try:
        if what == "parent":
            place.mkdir(mode=0o555)
            as_nobody(REFUSED.replace("(True, False)", "(True,)"), str(place / "data"))
            return
        with holdfast.open(place) as store:
            store.namespace("a").put("k", LARGE)
        for path in (place, *place.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        if what == "folder":
            place.chmod(0o555)
        elif what == "unreadable":
            place.chmod(0o111)
        else:
            (place / "catalog.sqlite").chmod(0o444)
        as_nobody(REFUSED, str(place))
        place.chmod(0o700)
        with holdfast.open(place) as store:
            assert store.namespace("a").get("k") == LARGE
    finally:
        place.chmod(0o700)
        shutil.rmtree(place)


def test_the_errors_are_all_of_one_kind() -> None:
    for error in (NotAStoreError, ReadOnlyError, OtherHostError, SchemaError, StoreNotFoundError):
        assert issubclass(error, (StoreError, OSError))
