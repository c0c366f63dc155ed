"""The contract for authors, behaviour by behaviour: specs of a storage whose four methods are coroutines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

import holdfast
from holdfast.errors import InvalidArgumentError, NotRegisteredError, StoreError
from holdfast.storages.asynchronous import AsyncStorage

from .authors import FileStorage, MemoryStorage, SparingFileStorage

LARGE = bytes(range(256)) * 200
LONG = bytes(range(256)) * 16_000


class Noted(FileStorage):
    """Notes what it is called with."""

    def __init__(self, prefix: Any) -> None:
        super().__init__(prefix)
        self.calls: list[tuple[Any, ...]] = []

    async def write_data(self, *arguments: Any) -> Any:
        self.calls.append(("write_data", *arguments))
        return await super().write_data(*arguments)

    async def read_data(self, *arguments: Any) -> bytes:
        self.calls.append(("read_data", *arguments))
        return await super().read_data(*arguments)

    async def write_data_stream(self, *arguments: Any) -> Any:
        stream, get_digest, tags = arguments
        self.calls.append(("write_data_stream", stream, get_digest, tags))
        return await super().write_data_stream(stream, get_digest, tags)

    async def read_data_stream(self, *arguments: Any) -> Any:
        self.calls.append(("read_data_stream", *arguments))
        async for piece in super().read_data_stream(*arguments):
            yield piece


@pytest.fixture
def author(tmp_path: Path) -> Noted:
    return Noted(tmp_path / "bytes")


@pytest.fixture
def scope(tmp_path: Path, author: Noted) -> Iterator[holdfast.Scope]:
    with holdfast.open(tmp_path / "data", storage=author) as store:
        yield store.namespace("prod")


def test_l01_four_methods_are_called_by_position(scope: holdfast.Scope, author: Noted) -> None:
    record = scope.put("blob", LARGE)
    scope.put("stream", LONG)
    assert (record.contents["value"].storage, record.contents["value"].size) == (author.name, len(LARGE))
    assert scope.get("blob") == LARGE
    assert scope.get("stream") == LONG
    assert b"".join(scope.get_chunks("stream")) == LONG
    names = [call[0] for call in author.calls]
    assert names == ["write_data", "write_data_stream", "read_data", "read_data", "read_data_stream"]
    _, data, digest, tags = author.calls[0]
    assert (type(data), data, tags) == (bytes, LARGE, {})
    assert isinstance(digest, dict)


def test_l01_the_published_sample_runs_as_it_is(tmp_path: Path) -> None:
    """Under its own name, with its own small chunks."""
    with holdfast.open(tmp_path / "data", storage=FileStorage(tmp_path / "bytes", chunk=1024)) as store:
        scope = store.namespace("prod")
        scope.put("blob", LARGE)
        with scope.open("file.bin", "wb") as file:
            file.writelines(LONG[start : start + 999] for start in range(0, len(LONG), 999))
        with scope.open("file.bin", "rb") as file:
            assert file.read() == LONG
        assert scope.get("blob") == LARGE
        assert len(list((tmp_path / "bytes").iterdir())) == 2


def test_l02_digests(scope: holdfast.Scope, author: Noted) -> None:
    scope.put("blob", LARGE)
    assert author.calls[0][2] == {
        "content_type": "application/octet-stream",
        "content_encoding": None,
        "content_hash": blake3(LARGE).hexdigest(),
        "content_hash_algorithm": "blake3",
        "content_size": len(LARGE),
    }
    content = scope.record("blob").contents["value"]
    assert author.calls[0][2]["content_hash"] == (content.digest or b"").hex()
    scope.put("text", "grüße" * 10_000)
    assert author.calls[1][2]["content_type"] == "text/plain; charset=utf-8"
    scope.put("typed", LARGE[1:], content_type="image/raw")
    assert author.calls[2][2]["content_type"] == "image/raw"
    scope.put_chunks("table.csv", [LARGE, LARGE])
    assert author.calls[3][2]() == {
        "content_type": "text/csv",
        "content_encoding": None,
        "content_hash": blake3(LARGE * 2).hexdigest(),
        "content_hash_algorithm": "blake3",
        "content_size": 2 * len(LARGE),
        "is_complete": True,
    }


def test_l02_small_pieces_have_sha256(tmp_path: Path, author: Noted) -> None:
    with holdfast.open(tmp_path / "data", storage=author, inline=0) as store:
        store.namespace("prod").put("k", b"abc")
    digest = author.calls[0][2]
    assert (digest["content_hash_algorithm"], digest["content_hash"]) == ("sha256", sha256(b"abc").hexdigest())


class Asking(Noted):
    """Asks for digests in the middle."""

    async def write_data_stream(self, stream: Any, get_digest: Any, tags: Any) -> Any:
        self.seen = [get_digest(allow_incomplete=True)]
        with pytest.raises(ValueError, match="allow_incomplete=True"):
            get_digest()
        first = await anext(stream)
        self.seen.append(get_digest(True))
        assert self.seen[1]["content_hash"] == blake3(first).hexdigest()
        rest = [piece async for piece in stream]
        self.seen.append(get_digest())

        async def again() -> Any:
            for piece in [first, *rest]:
                yield piece

        return await super().write_data_stream(again(), get_digest, tags)


def test_l03_the_digest_of_a_stream(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data", storage=(author := Asking(tmp_path / "bytes"))) as store:
        scope = store.namespace("prod")
        for put in (lambda: scope.put("k", LONG), lambda: scope.put_chunks("k", [LONG])):
            put()
            assert [seen["is_complete"] for seen in author.seen] == [False, False, True]
            assert [seen["content_size"] for seen in author.seen] == [0, 1 << 20, len(LONG)]
            assert author.seen[2]["content_hash"] == blake3(LONG).hexdigest()
            assert scope.get("k") == LONG


class Impatient(FileStorage):
    """Returns before it has all."""

    name = "authors.impatient@v1"
    pieces = 1

    async def write_data_stream(self, stream: Any, get_digest: Any, tags: Any) -> Any:
        for _ in range(self.pieces):
            await anext(stream)
        return "/" + "0" * 64


@pytest.mark.parametrize("pieces", [0, 1, 4])
def test_l03_a_storage_that_returns_early_is_named(tmp_path: Path, pieces: int) -> None:
    author = Impatient(tmp_path / "bytes")
    author.pieces = pieces
    with holdfast.open(tmp_path / "data", storage=author) as store:
        scope = store.namespace("prod")
        with pytest.raises(StoreError, match=r"authors.impatient@v1 returned without having read the stream"):
            scope.put("k", LONG)
        with pytest.raises(StoreError, match=r"authors.impatient@v1 returned without having read the stream"):
            scope.put_chunks("k", (LONG[start : start + 100_000] for start in range(0, len(LONG), 100_000)))
        with pytest.raises(StoreError, match=r"authors.impatient@v1 returned without"), scope.open("k", "wb") as file:
            file.write(LONG)
        assert not scope.exists("k")
        assert store.gc().blobs == 0


@pytest.mark.parametrize("config", ["a", 7, None, True, [1, {"b": None}], {"bucket": "ü", "a": 1.5}, {}])
def test_l04_a_config_is_any_json(tmp_path: Path, config: Any) -> None:
    kept: dict[str, bytes] = {}

    class Anything(MemoryStorage):
        name = "authors.any@v1"

        async def write_data(self, data: bytes, digest: Any, tags: Any) -> Any:
            kept[json.dumps(config, sort_keys=True)] = data
            return config

        async def read_data(self, given: Any) -> bytes:
            assert given == config
            return kept[json.dumps(given, sort_keys=True)]

    with holdfast.open(tmp_path / "data", storage=Anything()) as store:
        store.namespace("prod").put("k", LARGE)
    with holdfast.open(tmp_path / "data", storage=Anything()) as store:
        assert store.namespace("prod").get("k") == LARGE


@pytest.mark.parametrize("config", [b"bytes", {1, 2}, float("nan"), {"a": object()}, {1: 1, "1": 2}])
def test_l04_a_config_that_is_no_json_is_refused(tmp_path: Path, config: Any) -> None:
    class Odd(FileStorage):
        name = "authors.odd@v1"

        async def write_data(self, data: bytes, digest: Any, tags: Any) -> Any:
            return config

    with holdfast.open(tmp_path / "data", storage=Odd(tmp_path / "bytes")) as store:
        with pytest.raises(StoreError, match=r"authors.odd@v1 gave a config that cannot be kept"):
            store.namespace("prod").put("k", LARGE)
        assert not store.namespace("prod").exists("k")


def test_l04_configs_in_words_of_their_own(tmp_path: Path) -> None:
    class Worded(FileStorage):
        name = "authors.worded@v1"

        def serialize_config(self, config: Any) -> str:
            return "file://" + config

        def deserialize_config(self, text: str) -> Any:
            if not text.startswith("file://"):
                raise ValueError("no file:// in front")
            return text.removeprefix("file://")

    with holdfast.open(tmp_path / "data", storage=Worded(tmp_path / "bytes")) as store:
        scope = store.namespace("prod")
        scope.put("k", LARGE)
        assert scope.get("k") == LARGE
        row = store._kernel.catalog.record(scope.path, "k")[0]
        assert json.loads(row.storage_config or "").startswith("file:///")
        with pytest.raises(InvalidArgumentError, match="no file:// in front"):
            store._kernel.storage.read("elsewhere")


def test_l04_a_config_outlives_the_prefix_that_it_was_written_under(tmp_path: Path, author: Noted) -> None:
    with holdfast.open(tmp_path / "data", storage=author) as store:
        store.namespace("prod").put("old", LARGE)
        author.prefix = tmp_path / "elsewhere"
        author.prefix.mkdir()
        store.namespace("prod").put("new", LARGE[1:])
        assert store.namespace("prod").get("old") == LARGE
    with holdfast.open(tmp_path / "data", storage=FileStorage(tmp_path / "third")) as store:
        scope = store.namespace("prod")
        assert (scope.get("old"), scope.get("new")) == (LARGE, LARGE[1:])
        scope.delete("old")
        store.gc()
        assert not list((tmp_path / "bytes").iterdir())


def test_l05_tags_reach_every_write(scope: holdfast.Scope, author: Noted) -> None:
    tags = {"stage": "eval", "größe": "∞"}
    scope.put("blob", LARGE, tags=tags)
    scope.put("stream", LONG, tags=tags)
    scope.put_chunks("chunks", [LARGE, LARGE], tags=tags)
    assert [call[3] for call in author.calls] == [tags] * 3
    assert [record.key for record in scope.list(tags={"stage": "eval"})] == ["blob", "chunks", "stream"]


def test_l06_what_another_storage_wrote_stays_readable(tmp_path: Path) -> None:
    old, new = FileStorage(tmp_path / "old"), SparingFileStorage(tmp_path / "new")
    with holdfast.open(tmp_path / "data", storage=old) as store:
        store.namespace("prod").put("k", LARGE)
    registry = holdfast.Registry(storages=[old])
    with holdfast.open(tmp_path / "data", storage=new, registry=registry) as store:
        scope = store.namespace("prod")
        scope.put("n", LARGE)
        assert (scope.get("k"), scope.get("n")) == (LARGE, LARGE)
        assert (scope.record("k").contents["value"].storage, scope.record("n").contents["value"].storage) == (
            old.name,
            new.name,
        )
    with holdfast.open(tmp_path / "data", storage=new) as store:
        scope = store.namespace("prod")
        with pytest.raises(NotRegisteredError, match=r"authors.file@v1"):
            scope.get("k")
        assert scope.get("n") == LARGE


def test_l06_the_last_one_of_a_name_wins(tmp_path: Path) -> None:
    first, last = FileStorage(tmp_path / "first"), FileStorage(tmp_path / "last")
    registry = holdfast.Registry(storages=[first, last])
    with holdfast.open(tmp_path / "data", storage="authors.file@v1", registry=registry) as store:
        store.namespace("prod").put("k", LARGE)
    assert not list((tmp_path / "first").iterdir())
    assert len(list((tmp_path / "last").iterdir())) == 1


@pytest.mark.parametrize("name", [None, 7, "", "files", "My.files@v1", "my.files"])
def test_l06_a_name_is_permanent_and_looks_like_it(tmp_path: Path, name: Any) -> None:
    kind = type("Named", (FileStorage,), {"name": name})
    with pytest.raises(InvalidArgumentError, match=r"my\.table@v1"):
        holdfast.Registry(storages=[kind])
    with pytest.raises(InvalidArgumentError, match=r"my\.table@v1"):
        holdfast.open(tmp_path / "data", storage=kind(tmp_path / "bytes"))


def test_l06_a_class_that_needs_no_arguments_is_made_by_the_store(tmp_path: Path) -> None:
    class Here(FileStorage):
        name = "authors.here@v1"

        def __init__(self) -> None:
            super().__init__(tmp_path / "bytes")

    registry = holdfast.Registry(storages=[Here])
    with holdfast.open(tmp_path / "data", storage="authors.here@v1", registry=registry) as store:
        store.namespace("prod").put("k", LARGE)
        assert store.namespace("prod").get("k") == LARGE


def test_l07_the_digest_and_tags_are_enough_for_a_router(tmp_path: Path) -> None:
    class Routed(FileStorage):
        """Puts bytes where a function of digest and tags says."""

        name = "authors.routed@v1"

        async def write_data(self, data: bytes, digest: Any, tags: Any) -> Any:
            pointer = {"bucket": tags["team"], "key": f"{digest['content_type']}/{digest['content_hash']}"}
            path = self.prefix / pointer["bucket"] / pointer["key"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return pointer

        async def read_data(self, pointer: Any) -> bytes:
            return (self.prefix / pointer["bucket"] / pointer["key"]).read_bytes()

    with holdfast.open(tmp_path / "data", storage=Routed(tmp_path / "bytes")) as store:
        scope = store.namespace("prod")
        scope.put("k", LARGE, tags={"team": "blue"})
        assert scope.get("k") == LARGE
        (file,) = (path for path in (tmp_path / "bytes").rglob("*") if path.is_file())
        assert file.relative_to(tmp_path / "bytes").parts[:3] == ("blue", "application", "octet-stream")
        row = store._kernel.catalog.record(scope.path, "k")[0]
        assert json.loads(json.loads(row.storage_config or ""))["bucket"] == "blue"


@pytest.mark.parametrize("value", [LARGE, LONG], ids=["blob", "stream"])
def test_l08_each_half_reads_what_the_other_wrote(scope: holdfast.Scope, author: Noted, value: bytes) -> None:
    scope.put("k", value)
    scope.put_chunks("c", [value, b"."])
    for key, expected in (("k", value), ("c", value + b".")):
        assert scope.get(key) == expected
        assert b"".join(scope.get_chunks(key)) == expected
    assert len({call[0] for call in author.calls}) == (4 if value is LARGE else 3)


def test_methods_that_are_missing_are_told_by_python() -> None:
    class Half(AsyncStorage):
        name = "authors.half@v1"

        async def write_data(self, data: bytes, digest: Any, tags: Any, /) -> Any: ...

    with pytest.raises(TypeError, match="abstract"):
        Half()  # type: ignore[abstract]


def test_aio_alike(tmp_path: Path, author: Noted) -> None:
    async def main() -> None:
        async with holdfast.open(tmp_path / "data", storage=author).aio as store:
            scope = store.namespace("prod")
            await scope.put("blob", LARGE, tags={"a": "b"})
            await scope.put("stream", LONG)
            assert await scope.get("blob") == LARGE
            assert await scope.get("stream") == LONG
            assert b"".join([piece async for piece in scope.get_chunks("stream")]) == LONG

    asyncio.run(main())
    names = [call[0] for call in author.calls]
    assert names == ["write_data", "write_data_stream", "read_data", "read_data", "read_data_stream"]
