"""Names, folders and listings."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import holdfast
from holdfast import InvalidKeyError, InvalidScopeError
from holdfast.filesystem import HoldfastFileSystem
from holdfast.filesystem import tree as tree_module
from holdfast.filesystem.names import name_of, place_of, strip

SPELLINGS = {
    "holdfast://namespace:prod/a/b.csv": "namespace:prod/a/b.csv",
    "holdfast:///namespace:prod/a/b.csv": "namespace:prod/a/b.csv",
    "holdfast:/namespace:prod/a/b.csv/": "namespace:prod/a/b.csv",
    "/namespace:prod/a/": "namespace:prod/a",
    "holdfast://namespace%3Aprod/a%2520b/c": "namespace:prod/a%20b/c",
    "namespace%3aprod/work%3Aflow/x": "namespace:prod/work:flow/x",
    "namespace:prod/12%3a30.txt": "namespace:prod/12%3A30.txt",
    "namespace:prod/100%.txt": "namespace:prod/100%.txt",
    "namespace:prod/100%25.txt": "namespace:prod/100%.txt",
    "namespace:prod/a%2525b": "namespace:prod/a%2525b",
    "namespace:a%2fb/x/y%3A": "namespace:a%2Fb/x/y%3A",
    "namespace:prod/*%3A*": "namespace:prod/*%3A*",
    "holdfast:prod/x": "holdfast:prod/x",
    "holdfast://": "",
    "/": "",
    "": "",
    "frame.parquet": "frame.parquet",
    "namespace:a:b/x%25": "namespace:a:b/x%25",
}


@pytest.mark.parametrize("text", SPELLINGS)
def test_one_spelling(text: str) -> None:
    assert strip(text) == SPELLINGS[text]
    assert strip(strip(text)) == strip(text)
    assert HoldfastFileSystem._strip_protocol(text) == SPELLINGS[text]
    assert HoldfastFileSystem._strip_protocol([text]) == [SPELLINGS[text]]


def test_paths(fs: HoldfastFileSystem) -> None:
    path = PurePosixPath("holdfast://namespace:prod/a.txt")
    fs.pipe_file(path, b"x")
    assert fs.cat_file(path) == b"x"
    assert fs.unstrip_protocol("namespace:prod/a.txt") == "holdfast://namespace:prod/a.txt"
    assert fs._parent("holdfast://namespace:prod/a/b") == "namespace:prod/a"
    assert fs._parent("namespace:prod") == ""


KEYS = ["a", "a:b", "100%", "%", "a%3Ab", "a%2525", "é/:", "x:y/z:w", "../..", ".", "a b?*[1]#&", "-", "😀", "a" * 512]


@pytest.mark.parametrize("key", KEYS)
def test_every_key_has_a_name(fs: HoldfastFileSystem, store: holdfast.Store, key: str) -> None:
    name = name_of((("kind", "na/me"),), key)
    assert place_of(name) == ((("kind", "na/me"),), key)
    assert strip(name) == name
    fs.pipe_file(name, b"x")
    assert store.scope("kind", "na/me").get_bytes(key) == b"x"
    assert fs.find("") == [name]
    assert fs.cat_file(f"holdfast:///{name}") == b"x"
    fs.rm_file(name)
    assert fs.find("") == []


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("namespace:prod/a\0b", InvalidKeyError),
        ("namespace:prod/" + "a" * 513, InvalidKeyError),
        ("namespace:prod/\ud800", InvalidKeyError),
        ("namespace:prod/a\nb", InvalidKeyError),
        ("namespace:" + "a" * 513 + "/x", InvalidScopeError),
        ("namespace:/x", InvalidScopeError),
        (":prod/x", InvalidScopeError),
        ("namespace:a:b/x", InvalidScopeError),
        ("../x", InvalidScopeError),
        ("x", InvalidScopeError),
        ("%41/x", InvalidScopeError),
    ],
)
def test_hostile_paths(fs: HoldfastFileSystem, path: str, error: type[Exception]) -> None:
    for verb in (
        "open",
        "info",
        "exists",
        "isdir",
        "isfile",
        "ls",
        "find",
        "cat_file",
        "rm",
        "rm_file",
        "touch",
        "mkdir",
    ):
        with pytest.raises(error):
            getattr(fs, verb)(path)
    with pytest.raises(error):
        fs.pipe_file(path, b"x")
    for pair in ((path, "namespace:a/b"), ("namespace:a/b", path)):
        with pytest.raises((error, FileNotFoundError)):
            fs.mv(*pair)
    assert fs.find("") == []


def test_empty_segments(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    scope = store.namespace("p")
    for key in ("a//b", "a//c//d", "/x", "//y", "z/", "a/", "a//", "m/n"):
        scope.put_chunks(key, [key.encode()])
    shown = ["namespace:p///y", "namespace:p//x", "namespace:p/a//b", "namespace:p/a//c//d", "namespace:p/m/n"]
    assert fs.find("namespace:p") == sorted(shown)
    for name in shown:
        assert fs.cat_file(name).decode() == name.removeprefix("namespace:p/")
    assert fs.ls("namespace:p/z") == []
    assert fs.isdir("namespace:p/z")
    assert fs.ls("namespace:p/a", detail=False) == ["namespace:p/a//b", "namespace:p/a//c"]
    fs.rm("namespace:p/a", recursive=True)
    assert list(scope) == ["//y", "/x", "m/n", "z/"]
    fs.rm("namespace:p/z", recursive=True)
    fs.rm("namespace:p/m", recursive=True)
    assert list(scope) == ["//y", "/x"]


@pytest.fixture
def tree(fs: HoldfastFileSystem) -> HoldfastFileSystem:
    names = ["a.csv", "b.csv", "d/x.csv", "d/e/y.csv", "d-1", "workflow:w/z.csv", "workflow:w/d/z", "artifact:a/f"]
    fs.pipe({f"namespace:p/{name}": name.encode() for name in names})
    fs.mkdir("namespace:q/workflow:empty")
    return fs


def test_listing(tree: HoldfastFileSystem) -> None:
    def names(path: str, **options: Any) -> list[str]:
        return [name.removeprefix("namespace:p/") for name in tree.ls(path, detail=False, **options)]

    assert tree.ls("", detail=False) == ["namespace:p", "namespace:q"]
    assert tree.ls("/") == tree.ls("holdfast://") == [tree.info("namespace:p"), tree.info("namespace:q")]
    assert names("namespace:p") == ["artifact:a", "workflow:w", "a.csv", "b.csv", "d-1", "d"]
    assert names("holdfast://namespace:p/d/") == ["d/e", "d/x.csv"]
    assert names("namespace:p/a.csv") == ["a.csv"]
    assert tree.ls("namespace:q/workflow:empty") == []
    assert tree.info("namespace:p/d") == {"name": "namespace:p/d", "size": 0, "type": "directory"}
    assert [tree.isdir(path) for path in ("", "namespace:p", "namespace:p/d", "namespace:p/a.csv", "n:p")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert [tree.isfile(path) for path in ("", "namespace:p", "namespace:p/d", "namespace:p/a.csv")] == [
        False, False, False, True,
    ]  # fmt: skip
    for path in ("namespace:p", "namespace:p/d", "namespace:p/workflow:w"):
        assert tree.ls(path) == [tree.info(name) for name in tree.ls(path, detail=False)]


def test_find_glob_walk_du(tree: HoldfastFileSystem) -> None:
    everything = tree.find("")
    assert len(everything) == 8
    assert tree.find("namespace:p") == everything
    assert tree.find("namespace:p/a.csv") == ["namespace:p/a.csv"]
    assert tree.find("namespace:no") == []
    assert tree.find("namespace:p", detail=True) == {name: tree.info(name) for name in everything}
    flat = tree.find("namespace:p", maxdepth=1, withdirs=True)
    assert flat == sorted(["namespace:p", *tree.ls("namespace:p", detail=False)])
    assert len(tree.find("", withdirs=True)) == 8 + 8
    assert tree.glob("namespace:p/*.csv") == ["namespace:p/a.csv", "namespace:p/b.csv"]
    assert tree.glob("holdfast://namespace:*/workflow:*") == ["namespace:p/workflow:w", "namespace:q/workflow:empty"]
    assert tree.glob("namespace:p/**/*.csv") == [name for name in everything if name.endswith(".csv")]
    assert tree.glob("*") == ["namespace:p", "namespace:q"]
    assert tree.glob("namespace:p/d/") == ["namespace:p/d"]
    assert tree.glob("namespace:p/?.tsv") == []
    walked = {root: (dirs, files) for root, dirs, files in tree.walk("namespace:p")}
    assert walked["namespace:p/d"] == (["e"], ["x.csv"])
    assert len(walked) == 6
    sizes = {name: len(name.removeprefix("namespace:p/")) for name in everything}
    assert tree.du("namespace:p") == sum(sizes.values())
    assert tree.du("namespace:p", total=False) == sizes
    assert "x.csv" in tree.tree("namespace:p", recursion_limit=3)


def test_a_file_and_a_folder_of_one_name(fs: HoldfastFileSystem) -> None:
    fs.pipe({"namespace:p/a": b"file", "namespace:p/a/b": b"below"})
    assert fs.isfile("namespace:p/a")
    assert fs.cat_file("namespace:p/a") == b"file"
    assert fs.ls("namespace:p/a", detail=False) == ["namespace:p/a/b"]
    assert [(info["name"], info["type"]) for info in fs.ls("namespace:p")] == [
        ("namespace:p/a", "file"),
        ("namespace:p/a", "directory"),
    ]
    assert fs.find("namespace:p") == ["namespace:p/a", "namespace:p/a/b"]
    fs.rm("namespace:p/a")
    assert fs.find("namespace:p") == ["namespace:p/a/b"]
    fs.pipe("namespace:p/a", b"file")
    fs.rm("namespace:p/a", recursive=True)
    assert fs.find("namespace:p") == []


class Counted:
    """Counts the rows that a catalog's searches give."""

    def __init__(self, catalog: Any) -> None:
        self.rows = self.pages = 0
        self._search = catalog.search

    def __call__(self, *args: Any, **options: Any) -> Any:
        found = self._search(*args, **options)
        self.rows += len(found)
        self.pages += 1
        return found


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HoldfastFileSystem]:
    with holdfast.open(tmp_path_factory.mktemp("large") / "data") as store:
        scope = store.namespace("p")
        scope.put_many((f"deep/{number:06}", number) for number in range(20_000))
        scope.put_many((f"wide/{number:04}/{part}", b"") for number in range(2_000) for part in "ab")
        scope.put_many({"a": b"1", "deep.txt": b"2", "z": b"3"})
        yield HoldfastFileSystem(store)


def test_a_folder_is_listed_without_what_is_below_it(
    large: HoldfastFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(large._kernel.catalog)
    monkeypatch.setattr(large._kernel.catalog, "search", counted)
    names = [name.rpartition("/")[2] for name in large.ls("namespace:p", detail=False)]
    assert names == ["a", "deep.txt", "deep", "wide", "z"]
    assert counted.rows < 500
    counted.rows = counted.pages = 0
    assert len(large.ls("namespace:p/wide", detail=False)) == 2_000
    assert counted.rows < 5_000
    assert counted.pages < 50
    counted.rows = 0
    assert large.isdir("namespace:p/deep")
    assert counted.rows == 0
    assert len(large.ls("namespace:p/deep", detail=False)) == 20_000
    assert counted.rows == 20_000


def test_listing_beside_writers(fs: HoldfastFileSystem) -> None:
    """A page that begins behind a key that was removed goes on; what stands all the time is always listed."""
    stands = {f"namespace:p/d/{number:04}": b"x" for number in range(0, 2_000, 2)}
    with fs.transaction:
        fs.pipe(stands)
    ended = threading.Event()

    def disturb() -> None:
        number = 1
        while not ended.is_set():
            path = f"namespace:p/d/{number % 2_000:04}"
            fs.pipe_file(path, b"y")
            fs.rm_file(path)
            number += 2

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            found = fs.ls("namespace:p/d", detail=False)
            assert len(found) == len(set(found))
            assert set(stands) <= set(found)
    finally:
        ended.set()
        thread.join()


SEGMENTS = st.sampled_from(["a", "b", "aa", "a-", "a0", "é", "a:b", "%", ""])
KEYS_OF_SEGMENTS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join).filter(bool)


def children_of(keys: set[str], prefix: str) -> list[tuple[str, str]]:
    """What a folder shows, by another way: an empty segment is joined to the next one."""
    found = set()
    for key in keys:
        if key.startswith(prefix):
            rest = key[len(prefix) :]
            lead = len(rest) - len(rest.lstrip("/"))
            first, slash, _ = rest[lead:].partition("/")
            if first:
                found.add((prefix + rest[:lead] + first, "directory" if slash else "file"))
    return sorted(found)


@settings(max_examples=40)
@given(st.sets(KEYS_OF_SEGMENTS, max_size=25), st.integers(1, 4), st.integers(1, 4))
def test_listings_in_small_pages(keys: set[str], page: int, few: int) -> None:
    with holdfast.open("memory:") as store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_module, "_PAGE", page)
        patch.setattr(tree_module, "_FEW", few)
        place = (("n", "p"),)
        store.scope("n", "p").put_many((key, b"") for key in keys)
        fs = HoldfastFileSystem(store)
        folders, seen = [("n:p", "")] if keys else [], []
        while folders:
            name, prefix = folders.pop()
            expected = [(name_of(place, key), kind) for key, kind in children_of(keys, prefix)]
            assert sorted((info["name"], info["type"]) for info in fs.ls(name)) == sorted(expected)
            folders += [(name_of(place, key), f"{key}/") for key, kind in children_of(keys, prefix) if kind != "file"]
            seen += [each for each, kind in expected if kind == "file"]
        assert fs.find("") == sorted(seen) == sorted(name_of(place, key) for key in keys if not key.endswith("/"))
        assert {fs.info(each)["type"] for each in seen} <= {"file"}
