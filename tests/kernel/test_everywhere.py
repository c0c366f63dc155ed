"""A store is the same store wherever its catalog and its bytes are."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import holdfast
from holdfast.config import find_config
from holdfast.errors import ConflictError, ExistsError, NotFoundError, QuotaExceededError, StorageFullError
from holdfast.testing.state_machine import check_store

from .places import PLACES, opener_of, set_keys

Patch = pytest.MonkeyPatch
Opener = Callable[..., holdfast.Store]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    set_keys(monkeypatch)
    name: str = request.param
    return name


@pytest.fixture
def opener(place: str, request: pytest.FixtureRequest) -> Opener:
    return opener_of(place, request)


def test_a_store_behaves_as_a_dict(opener: Opener) -> None:
    check_store(opener, max_examples=2, stateful_step_count=12)


@pytest.mark.long
@pytest.mark.timeout(600)  # by a service each verb is a request or some
def test_at_length(opener: Opener) -> None:
    check_store(opener, max_examples=100, stateful_step_count=50)


def test_old_versions_and_limits(opener: Opener, tmp_path: Path) -> None:
    with opener(tmp_path / "data") as store:
        scope = store.namespace("prod").workflow("kept")
        scope.set_policy(history=2, max_records=2)
        values = [np.arange(50_000) + number for number in range(4)]
        versions = [scope.put("array", value).version for value in values]
        scope.put("small", 1)
        store.gc()
        assert [record.version for record in scope.history("array")] == versions[2:0:-1]
        assert np.array_equal(scope.get("array", version=versions[1]), values[1])
        with pytest.raises(NotFoundError):
            scope.get("array", version=versions[0])
        scope.delete("array")
        assert np.array_equal(scope.get("array", version=versions[3]), values[3])
        assert scope.restore("array", versions[3]).version > versions[3]
        assert np.array_equal(scope.get("array", verify=True), values[3])
        with pytest.raises(QuotaExceededError):
            scope.put("third", values[0])
        assert sorted(scope) == ["array", "small"]
        assert store.verify().problems == []


def test_all_that_a_scope_does(opener: Opener, place: str, tmp_path: Path) -> None:
    with opener(tmp_path / "data") as store:
        scope = store.namespace("prod").workflow("forecast")
        array, frame = np.arange(100_000), pd.DataFrame({"x": np.arange(20_000), "y": np.arange(20_000) / 7})
        first = scope.put("array", array, tags={"stage": "eval"})
        assert np.array_equal(scope.get("array"), array)
        scope.get("array")[:] = 0
        assert np.array_equal(scope.get("array", verify=True), array)
        scope.put("frame", frame)
        pd.testing.assert_frame_equal(scope.get("frame"), frame)
        packed = scope.using(compression="zstd")
        assert packed.put("packed/value", frame).contents["value"].encoding == "zstd"
        packed.put_chunks("packed/file", [bytes(50_000), array.tobytes()])
        pd.testing.assert_frame_equal(scope.get("packed/value"), frame)
        with scope.open("packed/file", "rb") as reading:
            assert reading.seek(50_000) == 50_000
            assert reading.read() == array.tobytes()
        assert scope.put("array", array + 1, if_version=first.version).version > first.version
        with pytest.raises(ConflictError):
            scope.put("array", array, if_version=first.version)
        with pytest.raises(ExistsError):
            scope.put("array", array, if_absent=True)
        scope.put("pickled", {"path": Path("x"), "big": "y" * 100_000})
        assert scope.get("pickled")["path"] == Path("x")

        with scope.open("report.bin", "wb") as file:
            for number in range(40):
                file.write(bytes([number]) * 100_000)
        with scope.open("report.bin", "rb") as reading:
            assert reading.seek(3_950_000) == 3_950_000
            assert reading.read(100_001) == bytes([39]) * 50_000
            assert reading.seek(150_000) == 150_000
            assert reading.read(3) == bytes([1]) * 3
        (tmp_path / "copy").mkdir()
        scope.get_file("report.bin", tmp_path / "copy" / "report.bin")
        assert os.path.getsize(tmp_path / "copy" / "report.bin") == 4_000_000
        broken = (bytes(1_000_000 // number) for number in (1, 1, 0))
        with pytest.raises(ZeroDivisionError):
            scope.put_chunks("broken", broken)
        assert not scope.exists("broken")
        scope.put_stream("stream", (array + number for number in range(5)))
        packed.put_stream("packed/rows", ({"row": number} for number in range(30_000)))
        for number, item in enumerate(scope.get("stream")):
            assert np.array_equal(item, array + number)
        assert sum(row["row"] for row in scope.get("packed/rows")) == sum(range(30_000))
        with scope.get("stream", verify=True) as stream:
            next(stream)

        with scope.artifact("run-7").transaction() as artifact:
            artifact.write("model.bin", array.tobytes())
            artifact.write("notes.txt", "short")
            artifact.metadata["accuracy"] = 0.9
        assert sorted(scope.artifact("run-7")) == ["model.bin", "notes.txt"]
        assert scope.artifact("run-7").read("model.bin") == array.tobytes()
        assert scope.update("count", lambda n: n + 1, default=0).value == 1
        assert scope.add("total", 5).value == 5
        with store.lease("nightly", seconds=5) as lease:
            scope.put("report", "written", lease=lease)
        scope.put("soon", array, expires=timedelta(milliseconds=1))
        assert [record.key for record in scope.list(prefix="a")] == ["array"]
        with pytest.raises(NotFoundError):
            scope.get("nothing")
        assert store.verify().problems == []

        @store.memoize
        def double(value: np.ndarray) -> np.ndarray:
            return value * 2

        assert np.array_equal(double(array), array * 2)
        assert np.array_equal(double(array), array * 2)
        assert double.stats().hits == 1

        scope.delete("array")
        assert store.gc().size >= array.nbytes or place.endswith("inline")
        assert store.verify().problems == []
        again = pickle.loads(pickle.dumps(scope)).get("frame")
        pd.testing.assert_frame_equal(again, frame)
    with opener(tmp_path / "data") as store:
        scope = store.namespace("prod").workflow("forecast")
        pd.testing.assert_frame_equal(scope.get("frame"), frame)
        assert scope.get("pickled")["path"] == Path("x")
        scope.drop()
        store.gc()
        assert list(store.children()) == [] or not scope.exists("frame")


def test_what_the_record_says(opener: Opener, place: str, tmp_path: Path) -> None:
    with opener(tmp_path / "data") as store:
        record = store.namespace("a").put("large", bytes(100_000))
        storage = record.contents["value"].storage
        small = store.namespace("a").put("small", b"x").contents["value"].storage
    names = {"files": "file", "s3": "objectstore", "azure": "objectstore", "ftp": "fsspec"}
    name = names.get(place.partition("+")[2])
    assert (storage, small) == (name and f"holdfast.{name}@v1", None)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_too_large_for_a_catalog(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with opener_of(f"{kind}+inline", request)(tmp_path / "data") as store:
        scope = store.namespace("a")
        with pytest.raises(StorageFullError, match="open it with a storage"):
            scope.put_chunks("big", (bytes(1 << 24) for _ in range(17)))
        assert not scope.exists("big")
        scope.put_chunks("large", (bytes([number]) * (1 << 20) for number in range(20)))
        assert sum(map(len, scope.get_chunks("large"))) == 20 << 20


def test_a_store_knows_its_storage(request: pytest.FixtureRequest, monkeypatch: Patch, tmp_path: Path) -> None:
    """Whoever opens it needs no more than its address; another storage is for new bytes."""
    set_keys(monkeypatch)

    def storage_of(scope: holdfast.Scope, key: str) -> str | None:
        return scope.record(key).contents["value"].storage

    with opener_of("sqlite+s3", request)(tmp_path / "data") as store:
        store.namespace("a").put("first", bytes(100_000))
    with holdfast.open(tmp_path / "data", cache="off") as store:
        assert storage_of(store.namespace("a"), "first") == "holdfast.objectstore@v1"
        store.namespace("a").put("second", bytes(100_001))
        assert storage_of(store.namespace("a"), "second") == "holdfast.objectstore@v1"
    with holdfast.open(tmp_path / "data", storage="files") as store:
        store.namespace("a").put("third", bytes(100_002))
        assert storage_of(store.namespace("a"), "third") == "holdfast.file@v1"
        assert store.namespace("a").get("first") == bytes(100_000)
        assert store.gc().blobs == 0
        store.namespace("a").delete("first")
        assert store.gc().blobs == 1


def test_a_storage_goes_with_its_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("holdfast.toml").write_text("store = 'named'\nstorage = 'inline'\n")
    with holdfast.open() as store, holdfast.open("other") as other:
        assert (store.config.storage, other.config.storage) == ("inline", None)
    monkeypatch.setenv("HOLDFAST_STORE", "third")
    with holdfast.open() as store:
        assert store.config.storage is None
    monkeypatch.setenv("HOLDFAST_STORAGE", "inline")
    with holdfast.open() as store, holdfast.open("fourth") as other:
        assert (store.config.storage, other.config.storage) == ("inline", None)


def test_a_password_stays_in_the_process(request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("postgresql")
    with holdfast.open(f"{server.url()}?schema=secret") as store:
        store.namespace("a").put("key", 1)
        for told in (store.config.store, repr(store), repr(store.config), pickle.dumps(store).decode("latin1")):
            assert server.password not in told
        assert pickle.loads(pickle.dumps(store)).namespace("a").get("key") == 1
    for url in ("postgresql://u:secret@h/d?sslpassword=secret&x=1", "postgresql://h/d?x=1&password=secret"):
        assert "secret" not in find_config(url).store
