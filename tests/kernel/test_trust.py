"""Which bytes are believed: arrays out of band, hashing once, and no code but from signed records."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast import IntegrityError, SignatureError, ValueLost, hashing
from holdfast.catalog.base import ValueRow
from holdfast.layout import take_apart
from holdfast.model import Codec

from .tools import LARGE, file_of, pattern, python, wait_for

ran: list[str] = []


def run(what: str) -> str:
    ran.append(what)
    return what


class Code:
    """A value whose pickle runs :func:`run` when it is loaded."""

    def __init__(self, what: str = "loaded") -> None:
        self.what = what

    def __reduce__(self) -> Any:
        return run, (self.what,)


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


def code_with_array() -> Any:
    return [Code(), np.arange(50_000)]


# --- arrays -----------------------------------------------------------------------------------------------------------


ARRAYS: dict[str, Callable[[Any], tuple[Any, Callable[[Any], Any]]]] = {
    "alone": lambda a: (a, lambda v: v),
    "in a dict": lambda a: ({"x": [1, (a, "y")]}, lambda v: v["x"][1][0]),
    "in a tuple": lambda a: ((a, a[:1000]), lambda v: v[0]),
    "in an object": lambda a: (Holder(a), lambda v: v.array),
    "twice": lambda a: ([a, {"again": a}], lambda v: v[1]["again"]),
}


class Holder:
    def __init__(self, array: Any) -> None:
        self.array = array


@pytest.mark.parametrize("place", ARRAYS)
def test_arrays_anywhere_are_out_of_band_and_writable_and_the_store_is_not_changed(
    store: holdfast.Store, scope: holdfast.Scope, place: str
) -> None:
    array = np.arange(100_000, dtype="f8").reshape(100, 1000)
    value, find = ARRAYS[place](array)
    record = scope.put("k", value)
    assert json.loads(record.row.config or "{}")["parts"], "the array went in band"
    stored = file_of(store, record).read_bytes()
    for _ in range(2):
        found = find(scope.get("k"))
        assert found.flags.writeable
        assert not found.flags.owndata
        assert np.array_equal(found, array)
        found[:] = -1
        assert np.all(found == -1)
        assert file_of(store, record).read_bytes() == stored
    assert np.array_equal(find(scope.entry("k", verify=True).value), array)


def test_arrays_live_longer_than_their_record_and_their_store(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        scope.put("k", np.arange(100_000))
        found = scope.get("k")
        scope.delete("k")
        store.gc()
    assert np.array_equal(found, np.arange(100_000))
    found += 1


def test_arrays_of_a_storage_without_files_are_writable_too() -> None:
    with holdfast.open("memory:") as store:
        scope = store.namespace("a")
        scope.put("k", {"x": np.arange(50_000)})
        found = scope.get("k")["x"]
        found[:] = 0
        assert np.array_equal(scope.get("k")["x"], np.arange(50_000))


# --- signatures -------------------------------------------------------------------------------------------------------


def row_of(scope: holdfast.Scope, key: str = "k") -> ValueRow:
    (row,) = scope._kernel.catalog.find(scope.path, key)
    return ValueRow._make(row)


def rewrite(scope: holdfast.Scope, key: str = "k", **columns: Any) -> None:
    """Put the same record again by the catalog's own verb, with some columns altered."""
    row = row_of(scope, key)._replace(**columns)
    assert row.data is not None
    scope._kernel.catalog.put(
        scope.path,
        key,
        (None, None, row.algorithm, row.digest, row.size, row.codec, row.config, row.signature, row.data),
    )


def refused(scope: holdfast.Scope, error: type[Exception], *words: str, key: str = "k") -> None:
    for read in (scope.get, scope.entry, lambda key: scope.get(key, verify=True), lambda key: scope.get_many([key])):
        with pytest.raises(error) as caught:
            read(key)
        assert all(word in str(caught.value) for word in words), str(caught.value)
    assert ran == [], "code was run"


def test_a_signed_pickle_loads(scope: holdfast.Scope) -> None:
    scope.put("k", Code())
    assert ran == []
    assert scope.get("k") == "loaded"
    scope.put("large", code_with_array())
    assert scope.get("large")[0] == "loaded"
    assert ran == ["loaded", "loaded"]


def test_unsigned_and_wrongly_signed_pickles_do_not(scope: holdfast.Scope) -> None:
    scope.put("k", Code())
    signature = row_of(scope).signature
    assert signature is not None
    rewrite(scope, signature=None)
    refused(scope, SignatureError, "not signed", "trust=True", "namespace:prod/workflow:forecast/k")
    rewrite(scope, signature=signature[:-1] + bytes([signature[-1] ^ 1]))
    refused(scope, SignatureError, "does not hold")
    rewrite(scope, signature=b"")
    refused(scope, SignatureError)
    rewrite(scope, signature=signature[:8])
    refused(scope, SignatureError)
    assert scope.get("k", trust=True) == "loaded"
    assert ran == ["loaded"]


def test_altered_bytes_of_a_pickle_do_not_load(scope: holdfast.Scope) -> None:
    import hashlib
    import pickle

    scope.put("k", Code())
    good = row_of(scope)
    evil = pickle.dumps(Code("evil"), protocol=5)
    rewrite(scope, data=evil, size=len(evil))
    refused(scope, IntegrityError, "digest")
    rewrite(scope, data=evil, size=len(evil), digest=hashlib.sha256(evil).digest())
    refused(scope, SignatureError, "does not hold")
    rewrite(scope, data=good.data, size=good.size, digest=good.digest, config='{"config":{"x":1}}')
    refused(scope, SignatureError, "does not hold")
    rewrite(scope, config=good.config, algorithm=2)
    refused(scope, IntegrityError)
    rewrite(scope, algorithm=77)
    refused(scope, IntegrityError, "unknown digest")


def test_another_serializers_signature_does_not_hold(scope: holdfast.Scope) -> None:
    """Whoever can make a store keep bytes of his choice must not get them run by naming the pickle serializer."""
    import pickle

    scope.put("k", pickle.dumps(Code("evil")))
    codec = scope._kernel.catalog.codec_id(Codec("holdfast.pickle@v1", "application/x-python-pickle"))
    rewrite(scope, codec=codec)
    refused(scope, SignatureError, "not signed")
    scope.put("signed", Code())
    rewrite(scope, codec=codec, signature=row_of(scope, "signed").signature)
    refused(scope, SignatureError, "does not hold")
    other = scope._kernel.catalog.codec_id(Codec("holdfast.bytes@v1", "application/octet-stream"))
    rewrite(scope, "signed", codec=other)
    assert isinstance(scope.get("signed"), bytes)
    assert ran == []


def test_values_without_code_need_no_signature_and_run_none(scope: holdfast.Scope) -> None:
    import pickle

    scope.put("k", {"a": 1})
    assert row_of(scope).signature is None
    evil = pickle.dumps(Code("evil"))
    import hashlib

    rewrite(scope, data=evil, size=len(evil), digest=hashlib.sha256(evil).digest())
    refused(scope, holdfast.DecodeError)
    with pytest.raises(holdfast.DecodeError):
        scope.get("k", trust=True)
    assert ran == []


def test_another_stores_pickle_does_not_load(scope: holdfast.Scope, tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "other") as other:
        there = other.namespace("prod").workflow("forecast")
        there.put("k", Code("from the other store"))
        row = row_of(there)
    scope.put("k", 1, serializer="holdfast.pickle@v1")
    rewrite(scope, **row._replace(codec=row_of(scope).codec)._asdict())
    refused(scope, SignatureError, "another key")
    assert scope.get("k", trust=True) == "from the other store"


def test_another_store_with_the_same_key_signs_for_itself_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_KEY", "ab" * 32)
    with holdfast.open(tmp_path / "a") as one, holdfast.open(tmp_path / "b") as two:
        scope, there = one.namespace("a"), two.namespace("a")
        there.put("k", Code("other"))
        scope.put("k", Code("own"))
        rewrite(scope, **row_of(there)._replace(codec=row_of(scope).codec)._asdict())
        refused(scope, SignatureError, "does not hold")


def test_the_key_of_the_environment_replaces_that_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with holdfast.open(tmp_path / "data") as store:
        store.namespace("a").put("old", Code())
    monkeypatch.setenv("HOLDFAST_KEY", "01" * 32)
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        scope.put("new", code_with_array())
        assert scope.get("new")[0] == "loaded"
        ran.clear()
        refused(scope, SignatureError, "another key", key="old")
        scope.put("plain", {"a": 1})
        assert scope.get("old", trust=True) == "loaded"
    monkeypatch.delenv("HOLDFAST_KEY")
    ran.clear()
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        refused(scope, SignatureError, "another key", key="new")
        assert scope.get("plain") == {"a": 1}
        assert scope.get("old") == "loaded"
    assert b"\x01" * 32 not in (tmp_path / "data" / "catalog.sqlite").read_bytes()


@pytest.mark.parametrize("key", ["", "zz", "ab" * 31, "ab" * 33, "x" * 64])
def test_a_key_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("HOLDFAST_KEY", key)
    if not key:  # an empty variable is an unset one
        holdfast.open(tmp_path / "data").close()
        return
    with pytest.raises(holdfast.InvalidArgumentError, match="HOLDFAST_KEY"):
        holdfast.open(tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("where", ["head", "padding", "part", "end"])
def test_an_altered_file_of_a_pickle_with_arrays_runs_nothing(
    store: holdfast.Store, scope: holdfast.Scope, where: str
) -> None:
    record = scope.put("k", code_with_array())
    path = file_of(store, record)
    head = json.loads(record.row.config or "")["head"][0]
    first = json.loads(record.row.config or "")["parts"][0][0]
    at = {"head": head // 2, "padding": head, "part": first + 1000, "end": record.size - 1}[where]
    assert where != "padding" or head < first
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0xFF]))
    refused(scope, IntegrityError)
    with pytest.raises(IntegrityError):
        scope.get("k", trust=True)
    assert ran == []


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.pop("head"),
        lambda config: config["head"].__setitem__(0, 1 << 40),
        lambda config: config["head"].__setitem__(0, -1),
        lambda config: config["head"].__setitem__(0, config["head"][0] - 1),
        lambda config: config["parts"].__setitem__(0, [0, 1 << 40]),
        lambda config: config["parts"].__setitem__(0, [-64, 64]),
        lambda config: config["parts"].__setitem__(0, [0, 64]),
        lambda config: config["parts"].append([0, 0]),
        lambda config: config.__setitem__("parts", "x"),
        lambda config: config.__setitem__("config", {"evil": 1}),
    ],
)
def test_an_altered_config_runs_nothing(tmp_path: Path, change: Callable[[Any], Any]) -> None:
    with holdfast.open(tmp_path / "inline", inline=1 << 20) as store:
        scope = store.namespace("a")
        scope.put("k", code_with_array())
        config = json.loads(row_of(scope).config or "")
        change(config)
        rewrite(scope, config=json.dumps(config, separators=(",", ":")))
        refused(scope, holdfast.DecodeError)


@pytest.mark.parametrize("config", ["", "x", "[]", "5", "null", '{"parts":5}', '{"parts":[],"head":5}'])
def test_a_config_that_is_none_of_ours(scope: holdfast.Scope, config: str) -> None:
    for value in ({"a": 1}, np.arange(20), "text"):
        scope.put("k", value)
        rewrite(scope, config=config)
        refused(scope, holdfast.DecodeError)


def test_copy_rename_and_edits_keep_the_signature(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("k", Code())
    scope.put("large", code_with_array())
    scope.set_tags("k", {"a": "b"})
    scope.set_content_type("large", "x/y")
    scope.rename("k", "l", to=store.namespace("other"))
    scope.copy("large", "larger")
    scope.rename_scope("moved")
    moved = store.namespace("prod").workflow("moved")
    assert moved.get("larger")[0] == moved.get("large")[0] == store.namespace("other").get("l") == "loaded"


# --- files on disk ----------------------------------------------------------------------------------------------------


def spoil(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


KINDS: dict[str, Any] = {
    "bytes": LARGE,
    "text": LARGE.hex(),
    "array": np.arange(20_000),
    "nested": {"a": np.arange(20_000)},
    "frozen": [1, LARGE],
}


def readers(scope: holdfast.Scope, target: Path) -> list[Callable[[], Any]]:
    return [
        lambda: scope.get("k"),
        lambda: scope.get("k", verify=True),
        lambda: scope.get("k", None),
        lambda: scope.entry("k"),
        lambda: scope.get_bytes("k"),
        lambda: b"".join(scope.get_chunks("k")),
        lambda: scope.get_file("k", target),
        lambda: scope.open("k", "rb").close(),
        lambda: scope.update("k", lambda old: old),
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["truncated", "longer", "altered", "emptied", "missing", "zeros"])
def test_damaged_files_are_told(
    store: holdfast.Store, scope: holdfast.Scope, tmp_path: Path, kind: str, damage: str
) -> None:
    record = scope.put("k", KINDS[kind])
    path, expected = file_of(store, record), IntegrityError
    if damage == "truncated":
        spoil(path, record.size - 1)
    elif damage == "longer":
        spoil(path, record.size + 1)
    elif damage == "emptied":
        spoil(path, 0)
    elif damage == "zeros":
        path.write_bytes(bytes(record.size))
    elif damage == "altered":
        data = bytearray(path.read_bytes())
        data[record.size // 2] ^= 1
        path.write_bytes(data)
    else:
        path.unlink()
    target = tmp_path / "target"
    target.write_text("before")
    for read in readers(scope, target):
        with pytest.raises(ValueLost if damage == "missing" else expected) as caught:
            read()
        assert "namespace:prod/workflow:forecast/k" in str(caught.value) or damage == "missing"
    assert target.read_text() == "before"
    assert sorted(os.listdir(tmp_path)) == ["data", "target"]
    assert scope.record("k").version == record.version
    assert scope.put("k", 1).version > record.version
    assert scope.get("k") == 1


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The places whose bytes are hashed while reading."""
    places: list[str] = []
    real = hashing.check_digest

    def counting(algorithm: int, digest: bytes | None, chunks: Any, where: str) -> None:
        places.append(where)
        real(algorithm, digest, chunks, where)

    monkeypatch.setattr("holdfast.reading.check_digest", counting)
    return places


def test_an_untouched_file_is_not_hashed_and_a_touched_one_once(
    store: holdfast.Store, scope: holdfast.Scope, hashed: list[str]
) -> None:
    array = np.arange(200_000)
    path = file_of(store, scope.put("k", array))
    for _ in range(3):
        scope.get("k")
        scope.open("k", "rb").close()
    assert hashed == []
    scope.get("k", verify=True)
    assert len(hashed) == 1
    changes: list[Callable[[], Any]] = [
        lambda: os.utime(path, (1, 1)),
        lambda: path.write_bytes(path.read_bytes()),
        lambda: path.chmod(0o400),
        lambda: _replaced(path),
    ]
    for change in changes:
        time.sleep(0.02)  # the clock of the file system ticks more slowly than this one
        change()
        hashed.clear()
        for _ in range(3):
            assert np.array_equal(scope.get("k"), array)
            scope.open("k", "rb").close()
        assert len(hashed) == 1


def _replaced(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


def test_a_second_store_and_a_later_one_do_not_hash_either(
    store: holdfast.Store, scope: holdfast.Scope, hashed: list[str]
) -> None:
    scope.put("k", np.arange(200_000))
    with holdfast.open(store.config.store) as second:
        second.namespace("prod").workflow("forecast").get("k")
    wait_for(lambda: scope.record("k").durability == "power")
    store.close()
    with holdfast.open(store.config.store) as later:
        later.namespace("prod").workflow("forecast").get("k")
    assert hashed == []


def test_bytes_altered_behind_a_restored_mtime_are_noticed(store: holdfast.Store, scope: holdfast.Scope) -> None:
    path = file_of(store, scope.put("k", np.arange(200_000)))
    scope.get("k")
    before = path.stat()
    time.sleep(0.02)
    with path.open("r+b") as file:
        file.seek(500_000)
        file.write(b"evil")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_ino) == (before.st_mtime_ns, before.st_size, before.st_ino)
    with pytest.raises(IntegrityError):
        scope.get("k")
    with pytest.raises(IntegrityError):
        scope.open("k", "rb")


def test_verify_hashes_always(store: holdfast.Store, scope: holdfast.Scope, hashed: list[str]) -> None:
    for value in (np.arange(200_000), LARGE, {"a": np.arange(9_000)}):
        scope.put("k", value)
        for count in range(1, 4):
            hashed.clear()
            scope.get("k", verify=True)
            scope.entry("k", verify=True)
            assert len(hashed) >= 2, count


def test_a_folder_of_files_that_is_away_is_told_apart_from_lost_values(
    store: holdfast.Store, scope: holdfast.Scope
) -> None:
    scope.put("k", LARGE)
    files = Path(store.config.store, "files")
    files.rename(files.with_name("away"))
    with pytest.raises(holdfast.StoreNotFoundError, match="files"):
        scope.get("k")
    files.with_name("away").rename(files)
    assert scope.get("k") == LARGE


def test_a_moved_store_is_read_where_it_is(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        store.namespace("a").put("k", LARGE)
        store.namespace("a").put("array", np.arange(20_000))
        store.namespace("a").put("code", Code())
    (tmp_path / "data").rename(tmp_path / "moved")
    with holdfast.open(tmp_path / "moved") as store:
        assert store.namespace("a").get("k") == LARGE
        assert store.namespace("a").get("array")[19_999] == 19_999
        assert store.namespace("a").get("code") == "loaded"


def test_the_memory_storage_of_another_process_is_lost_and_says_so(tmp_path: Path) -> None:
    python(
        """
        import sys, holdfast
        with holdfast.open(sys.argv[1], storage="memory:") as store:
            store.namespace("a").put("large", bytes(100_000))
            store.namespace("a").put("small", 5)
            assert store.namespace("a").get("large") == bytes(100_000)
        """,
        str(tmp_path / "data"),
    )
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        assert scope.get("small") == 5
        with pytest.raises(ValueLost):
            scope.get("large")
        scope.put("large", pattern(100_000))
        assert scope.get("large") == pattern(100_000)


@pytest.mark.parametrize(
    "changed", [{"head": [1.0, 0, ""]}, {"parts": [[0.0, 8.0]]}, {"parts": [[0, 8.0]]}, {"parts": [[0, None]]}]
)
def test_parts_that_are_no_whole_numbers(changed: dict[str, Any]) -> None:
    config = {"head": [1, 0, ""], "parts": [[0, 8]], **changed}
    with pytest.raises(IntegrityError, match="names parts"):
        take_apart(memoryview(bytes(16)), config, "namespace:a/k")
