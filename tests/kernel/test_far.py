"""Reading bytes that lie in a bucket: through the cache or past it, checked, by files of any size."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import holdfast
from bench.measure import peak_growth
from holdfast import IntegrityError, ValueLost
from holdfast.storages.cache import DiskCache

from .places import opener_of, set_keys
from .tools import pattern, python

ARRAY = np.arange(300_000)
BYTES = pattern(5_000_000)


@pytest.fixture
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    set_keys(monkeypatch)
    opened = opener_of("sqlite+s3", request)
    return lambda **settings: opened(tmp_path / "data", **settings)


@pytest.fixture(params=["cache", "off", "too small"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    given: dict[str, dict[str, Any]] = {"cache": {}, "off": {"cache": "off"}, "too small": {"cache_size": 50_000}}
    return given[request.param]


def medium(store: holdfast.Store) -> Any:
    return store._kernel.storage.medium  # type: ignore[attr-defined]


def place(record: holdfast.Record) -> Any:
    return record.contents["value"].storage_config


def readers(scope: holdfast.Scope, folder: Path) -> Iterator[Callable[[str], object]]:
    """Every way to read a record's bytes."""

    def whole(key: str) -> bytes:
        with scope.open(key, "rb") as file:
            return file.read()

    async def awaited(key: str) -> bytes:
        async with scope.aio.open(key, "rb") as file:
            return await file.read()

    fs = fsspec.filesystem("holdfast", store=holdfast.Store(scope._kernel), skip_instance_cache=True)
    yield scope.get
    yield scope.get_bytes
    yield whole
    yield lambda key: Path(scope.get_file(key, folder / "out")).read_bytes()
    yield lambda key: asyncio.run(scope.aio.get(key))
    yield lambda key: asyncio.run(awaited(key))
    yield lambda key: fs.open(f"{scope}/{key}", "rb").read()
    yield lambda key: fs.cat_file(f"{scope}/{key}")


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_files_and_values(
    opener: Callable[..., holdfast.Store], cache: dict[str, Any], compression: str, tmp_path: Path
) -> None:
    with opener(**cache) as store:
        scope = store.namespace("a").using(compression=compression)
        data = BYTES + bytes(len(BYTES))
        scope.put_chunks("file", [data[:100_000], data[100_000:]])
        scope.put("array", ARRAY)
        scope.put("pair", {"a": ARRAY, "b": bytes(100_000)})
        for _ in range(2):
            for read in readers(scope, tmp_path):
                assert read("file") == data
            first = scope.get("array")
            assert np.array_equal(first, ARRAY)
            first[:] = 7
            assert np.array_equal(asyncio.run(scope.aio.get("array", verify=True)), ARRAY)
            assert np.array_equal(scope.get("pair")["a"], ARRAY)
        with scope.open("file", "rb") as file:
            assert file.seekable()
            assert file.seek(-10, io.SEEK_END) == len(data) - 10
            assert file.read() == bytes(10)
            assert file.seek(1_234_567) == 1_234_567
            assert file.read(100) == data[1_234_567:][:100]
            assert not file.writable()
        assert store.verify().fine


def test_what_is_in_the_cache_is_not_fetched_again(opener: Callable[..., holdfast.Store], tmp_path: Path) -> None:
    with opener() as store:
        scope = store.namespace("a")
        records = [scope.put("array", ARRAY), scope.put_chunks("file", [BYTES])]
        small = scope.put("small", b"x" * 40_000)
        held = scope.get("array")
        with scope.open("file", "rb") as file:
            file.read(1)
            for record in records:
                medium(store).delete(place(record))
            assert np.array_equal(scope.get("array"), ARRAY)
            assert scope.get("file") == BYTES
            assert file.read() == BYTES[1:]
        assert held[0] == 0
        for read in (lambda: scope.get("array", verify=True), lambda: scope.get_bytes("file")):
            with pytest.raises(ValueLost):
                read()  # these look at the bytes themselves
        assert {problem.code for problem in store.verify().problems} == {"value_lost"}
        cache = store._kernel.cache
        assert cache is not None
        assert cache.usage().copies == 2
        scope.get("small")
        assert cache.usage() == (3, records[0].size + len(BYTES) + small.size)
        del held


def refusal(read: Callable[[], object]) -> str:
    with pytest.raises(IntegrityError) as told:
        read()
    return str(told.value)


@pytest.mark.long
def test_an_object_that_was_enlarged_is_not_read_whole(opener: Callable[..., holdfast.Store]) -> None:
    larger = b"x" * (40 << 20)
    with opener(cache="off") as store:
        scope, place_of = store.namespace("a"), medium(store)
        for size in (40_000, 9 << 20):
            name = place(scope.put("k", larger[:size]))
            assert scope.get("k") == larger[:size]
            place_of.delete(name)
            place_of.put(name, [larger], len(larger))
            for read in (lambda: scope.get("k"), lambda: asyncio.run(scope.aio.get("k"))):
                told, growth = peak_growth(partial(refusal, read))
                assert f"has {size + 1} bytes or more in its storage" in str(told)
                assert growth < 30 << 20


def test_few_bytes_make_no_files(opener: Callable[..., holdfast.Store]) -> None:
    with opener(inline=0) as store:
        scope = store.namespace("a")
        scope.put("k", b"x" * 10_000)
        assert scope.get("k") == b"x" * 10_000
        assert store._kernel.cache is not None
        assert store._kernel.cache.usage().copies == 0


def test_a_store_in_memory_keeps_no_copies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "copies"))
    with holdfast.open("memory:") as store:
        scope = store.namespace("a")
        scope.put("array", ARRAY)
        scope.put_chunks("file", [BYTES])
        assert np.array_equal(scope.get("array"), ARRAY)
        with scope.open("file", "rb") as file:
            assert file.seek(10) == 10
            assert file.read() == BYTES[10:]
    assert not (tmp_path / "copies").exists()


ALTERED: dict[str, Callable[[bytes], bytes]] = {
    "other bytes": lambda data: b"x" + data[1:],
    "fewer": lambda data: data[:-1],
    "more": lambda data: data + b"x",
    "none": lambda data: b"",
}


@pytest.mark.parametrize("compression", ["none", pytest.param("lz4", marks=pytest.mark.long)])
@pytest.mark.parametrize("altered", ALTERED)
def test_altered_bytes(
    opener: Callable[..., holdfast.Store], cache: dict[str, Any], compression: str, altered: str, tmp_path: Path
) -> None:
    with opener(**cache) as store:
        scope = store.namespace("a").using(compression=compression)
        for record in (scope.put("value", BYTES[:100_000] + bytes(99_999)), scope.put_chunks("file", [BYTES, BYTES])):
            data = bytes(store._kernel.storage.read(place(record)))
            changed = ALTERED[altered](data)
            medium(store).delete(place(record))
            medium(store).put(place(record), [changed], len(changed))
            for read in readers(scope, tmp_path):
                with pytest.raises(IntegrityError, match=f"namespace:a/{record.key}"):
                    read(record.key)
            with pytest.raises(IntegrityError):
                scope.get(record.key, verify=True)
        assert {problem.code for problem in store.verify().problems} == {"integrity"}
        copies = store._kernel.cache
        assert copies is None or copies.usage().copies == 0


def test_lost_bytes(opener: Callable[..., holdfast.Store], cache: dict[str, Any], tmp_path: Path) -> None:
    with opener(**cache) as store:
        scope = store.namespace("a")
        for record in (scope.put("value", BYTES[:200_000]), scope.put_chunks("file", [BYTES])):
            medium(store).delete(place(record))
            for read in readers(scope, tmp_path):
                with pytest.raises(ValueLost, match=f"namespace:a/{record.key}"):
                    read(record.key)


def test_a_cache_that_cannot_be_made(
    opener: Callable[..., holdfast.Store], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "no folder").write_text("")
    with caplog.at_level(logging.WARNING, "holdfast"), opener(cache=str(tmp_path / "no folder")) as store:
        scope = store.namespace("a")
        scope.put("array", ARRAY)
        assert np.array_equal(scope.get("array"), ARRAY)
        assert np.array_equal(scope.get("array"), ARRAY)
    assert len(caplog.records) == 1


MEMORY = """
import os, resource, sys, holdfast
from holdfast.hashing import hasher, BLAKE3
url, cache, folder, compression = sys.argv[1:]
store = holdfast.open(folder, storage=url, cache=cache)
scope = store.namespace("a").using(compression=compression)
piece = os.urandom(1 << 19) + bytes(1 << 19)
def read(key):
    with scope.open(key, "rb") as file:
        file.seek(5 << 20)
        while file.read(1 << 20): pass
scope.put_chunks("warm", [piece] * 12)
read("warm")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
scope.put_chunks("big", (piece for _ in range(120)))
read("big")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize(
    ("how", "compression"),
    [("cache", "none"), *(pytest.param("off", how, marks=pytest.mark.long) for how in ("none", "zstd"))],
)
def test_files_of_any_size_take_little_memory(
    opener: Callable[..., holdfast.Store], tmp_path: Path, how: str, compression: str
) -> None:
    with opener() as store:
        url = store.config.storage or ""
    cache = str(tmp_path / "copies") if how == "cache" else "off"
    assert int(python(MEMORY, url, cache, str(tmp_path / "other"), compression).stdout) < 56


def test_a_cache_may_be_cleared_meanwhile(opener: Callable[..., holdfast.Store], tmp_path: Path) -> None:
    with opener() as store:
        scope = store.namespace("a")
        scope.put("array", ARRAY)
        first = scope.get("array")
        cache = store._kernel.cache
        assert cache is not None
        DiskCache(cache.folder, 10**9).clear()
        assert np.array_equal(first, ARRAY)
        assert np.array_equal(scope.get("array"), ARRAY)
