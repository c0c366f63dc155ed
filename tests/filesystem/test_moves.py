"""Copying, moving, making and removing."""

from __future__ import annotations

import threading

import pytest

import holdfast
from holdfast.filesystem import HoldfastFileSystem
from tests.kernel.tools import LARGE, blob_files


def test_copies_and_moves_move_no_bytes(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    fs.pipe_file("namespace:a/x.bin", LARGE, tags={"a": "b"})
    (blob,) = blob_files(store)
    fs.cp_file("namespace:a/x.bin", "namespace:b/workflow:w/y.bin")
    fs.mv("namespace:a/x.bin", "namespace:c/z.bin")
    assert fs.find("") == ["namespace:b/workflow:w/y.bin", "namespace:c/z.bin"]
    fs.pipe_file("namespace:c/other", b"other")
    fs.mv("namespace:c/z.bin", "namespace:c/other")
    fs.mv("namespace:c/other", "holdfast://namespace:c/other/")
    assert fs.cat_file("namespace:c/other") == LARGE
    assert fs.info("namespace:c/other")["tags"] == {"a": "b"}
    assert blob_files(store) == [blob]


def test_a_folder_moves_in_one_commit(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    names = {f"{number:02}/{part}" for number in range(20) for part in "ab"}
    fs.pipe({f"namespace:a/d/{name}": name.encode() for name in names})
    ended = threading.Event()
    seen = set()

    def look() -> None:
        while not ended.is_set():
            seen.add(tuple(sorted({key[0] for key in store.namespace("a")})))

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(5):
        fs.mv("namespace:a/d", "namespace:a/e", recursive=True)
        fs.mv("namespace:a/e", "namespace:a/d")
    ended.set()
    thread.join()
    assert seen <= {("d",), ("e",)}
    assert {name.removeprefix("namespace:a/d/") for name in fs.find("")} == names
    fs.mkdir("namespace:t")
    fs.mv("namespace:a/d", "namespace:t")
    assert fs.isdir("namespace:t/d/00")


def test_a_move_that_fails_moves_nothing(fs: HoldfastFileSystem) -> None:
    fs.pipe({f"namespace:a/d/{number}": b"x" for number in range(5)})
    long = "namespace:b/" + "e" * 511
    with pytest.raises(holdfast.InvalidKeyError):
        fs.mv("namespace:a/d", long, recursive=True)
    assert len(fs.find("namespace:a")) == 5
    assert fs.find("namespace:b") == []


def test_scopes_move(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    fs.pipe({"namespace:a/workflow:w/x": b"1", "namespace:a/y/z": b"2"})
    number = store._kernel.catalog.scope_id((("namespace", "a"),))
    fs.mv("namespace:a", "namespace:b", recursive=True)
    assert fs.find("") == ["namespace:b/workflow:w/x", "namespace:b/y/z"]
    assert store._kernel.catalog.scope_id((("namespace", "b"),)) == number, "it was renamed"
    fs.mv("namespace:b", "namespace:c/deep")
    assert fs.find("") == ["namespace:c/deep/workflow:w/x", "namespace:c/deep/y/z"]
    assert not fs.exists("namespace:b")
    fs.mv("namespace:c/deep", "project:d")
    assert fs.find("") == ["project:d/workflow:w/x", "project:d/y/z"]
    assert store.scope("project", "d").workflow("w").get_bytes("x") == b"1"
    fs.cp("project:d", "project:e", recursive=True)
    assert fs.find("project:e") == ["project:e/workflow:w/x", "project:e/y/z"]
    fs.mv("project:d/y/*", "project:e")
    assert fs.find("project:d") == ["project:d/workflow:w/x"]
    assert fs.cat_file("project:e/z") == b"2"
    fs.mv(["project:e/z", "project:e/workflow:w/x"], ["project:f/1", "project:f/2"])
    assert (fs.find("project:e"), fs.cat_file("project:f/2")) == (["project:e/y/z"], b"1")
    fs.mv(["project:f/1", "project:f/2"], "project:g/d/")
    assert fs.find("project:g") == ["project:g/d/1", "project:g/d/2"]


def test_a_scope_emptied_by_a_move_keeps_what_came_meanwhile(
    fs: HoldfastFileSystem, store: holdfast.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.pipe("namespace:a/x", b"1")
    drop = store._kernel.catalog.drop_scope

    def late(path: holdfast.address.Path, **options: bool) -> None:
        store.namespace("a").put("late", 1)
        drop(path, **options)

    monkeypatch.setattr(store._kernel.catalog, "drop_scope", late)
    fs.mv("namespace:a", "namespace:b/in")
    assert fs.find("") == ["namespace:a/late", "namespace:b/in/x"]


def test_removing(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    names = ["a/1", "a/2", "a/b/3", "c", "d", "workflow:w/e", "workflow:v/artifact:f/g"]
    fs.pipe({f"namespace:p/{name}": b"x" for name in names})
    fs.rm(["namespace:p/c", "holdfast://namespace:p/d"])
    fs.rm("namespace:p/a", recursive=True, maxdepth=1)
    assert fs.find("namespace:p/a") == ["namespace:p/a/b/3"]
    fs.rm("namespace:p/workflow:*", recursive=True)
    assert not store.namespace("p").workflow("v").present
    assert fs.find("") == ["namespace:p/a/b/3"]
    with pytest.raises(FileNotFoundError):
        fs.rm(["namespace:p/a/b/3", "namespace:p/no"])
    assert fs.find("") == ["namespace:p/a/b/3"]
    with pytest.raises(FileNotFoundError):
        fs.rm("namespace:p/no*")
    fs.rm("namespace:p", recursive=True)
    assert store.namespace("p").was_dropped
    assert fs.ls("") == []


def test_removing_at_once(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    """Of two who remove the same folder none fails, and a third sees all of it or nothing."""
    errors: list[Exception] = []

    def remove() -> None:
        try:
            fs.rm("namespace:p/d", recursive=True)
        except FileNotFoundError:
            pass
        except Exception as error:
            errors.append(error)

    for _ in range(5):
        with fs.transaction:
            fs.pipe({f"namespace:p/d/{number}": b"x" for number in range(200)})
        threads = [threading.Thread(target=remove) for _ in range(2)]
        for thread in threads:
            thread.start()
        sizes = set()
        while any(thread.is_alive() for thread in threads):
            sizes.add(len(list(store.namespace("p").keys("d/"))))
        for thread in threads:
            thread.join()
        assert errors == []
        assert sizes <= {0, 200}
        assert fs.find("") == []


def test_folders(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    fs.mkdir("namespace:p/workflow:w")
    assert store.namespace("p").workflow("w").present
    fs.makedirs("namespace:p/workflow:w", exist_ok=True)
    fs.mkdir("namespace:p/workflow:v", create_parents=False)
    fs.mkdir("namespace:p/d")
    assert not fs.exists("namespace:p/d")
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir("namespace:p")
    for name in ("namespace:p/workflow:w", "namespace:p/workflow:v", "namespace:p"):
        fs.rmdir(name)
        assert not fs.exists(name)
    fs.makedirs("namespace:p/workflow:w/instance:i")
    assert fs.isdir("namespace:p/workflow:w/instance:i")


def test_touching(fs: HoldfastFileSystem) -> None:
    fs.touch("namespace:p/a")
    assert fs.cat_file("namespace:p/a") == b""
    fs.pipe_file("namespace:p/a", b"x", tags={"a": "b"})
    before = fs.info("namespace:p/a")
    fs.touch("namespace:p/a", truncate=False)
    after = fs.info("namespace:p/a")
    assert after["mtime"] > before["mtime"]
    assert after["version"] > before["version"]
    assert (after["tags"], after["created"], fs.cat("namespace:p/a")) == ({"a": "b"}, before["created"], b"x")
    fs.touch("namespace:p/a", truncate=True)
    assert fs.cat_file("namespace:p/a") == b""
    fs.touch("namespace:p/new", truncate=False)
    assert fs.size("namespace:p/new") == 0


def test_writers_of_one_path(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    """Each version that is read is one that was written, whole."""
    ended = threading.Event()
    broken: list[bytes] = []

    def read() -> None:
        while not ended.is_set():
            with fs.open("namespace:p/x") as file:
                data = file.read()
            if len(set(data)) != 1 or len(data) != file.size:
                broken.append(data)

    def write(digit: bytes) -> None:
        for size in (10, 50_000, 100_000, 1) * 5:
            with fs.open("namespace:p/x", "wb") as file:
                file.write(digit * size)

    write(b"0")
    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(digit,)) for digit in (b"1", b"2", b"3")]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    reader.join()
    assert broken == []
    assert fs.info("namespace:p/x")["version"] == 80
    store.gc()
    assert blob_files(store) == []
