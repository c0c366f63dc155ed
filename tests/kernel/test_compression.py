"""Compression: what asks for it, what the record says of it, and bytes that only look compressed."""

from __future__ import annotations

import asyncio
import json
import pickle
import random
import tracemalloc
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import lz4.frame
import numpy as np
import pytest
import zstandard
from typer.testing import CliRunner

import holdfast
from holdfast import DecodeError, IntegrityError, InvalidArgumentError, MissingExtraError, SignatureError
from holdfast.cli import app
from holdfast.compression import ENCODINGS, Packer, shrink, unpack, unpacked
from holdfast.hashing import digest_buffers
from holdfast.payload import Payload
from holdfast.serializers.base import Serializer

from .tools import LARGE, blob_files, pattern, python

TEXT = b"the same words again and again, " * 20_000
MIXED = b"".join(pattern(20, seed) + bytes(20) for seed in range(5000))
"""Too much for the catalog, even in half the bytes."""

VALUES: dict[str, Any] = {
    "bytes": TEXT,
    "text": TEXT.decode(),
    "rows": [{"name": "Ada", "at": (i, 2.5)} for i in range(3000)],
    "small rows": ["Ada"] * 300,
    "array": np.arange(200_000) // 7,
    "two": {"a": np.zeros(50_000), "b": np.ones(50_000, "f4"), "c": "c"},
    "pickled": [Fraction(1, 3)] * 1000,
}


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and bool(np.all(left == right))


def of(record: holdfast.Record) -> str | None:
    return record.contents["value"].encoding


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", VALUES)
def test_values_come_back(scope: holdfast.Scope, encoding: str, name: str) -> None:
    value = VALUES[name]
    plain = scope.put("plain", value)
    record = scope.put("k", value, compression=encoding)
    assert (of(plain), of(record)) == (None, encoding)
    assert record.size < plain.size == record.unpacked_size == plain.unpacked_size
    assert (record.content_type, record.serializer) == (plain.content_type, plain.serializer)
    for found in (scope.get("k"), scope.get("k", verify=True), scope.entry("k").value, asyncio.run(scope.aio.get("k"))):
        assert same(value, found)
    assert scope.get_bytes("k") == scope.get_bytes("plain")
    assert scope.record("k").digest == record.digest != plain.digest
    assert facts(scope.update("k", lambda old: old, compression=encoding).record) == facts(record)


def facts(record: holdfast.Record) -> Any:
    return record.digest, record.size, record.contents["value"].serializer_config, of(record)


def test_digest_and_size_are_of_the_stored_bytes(store: holdfast.Store, scope: holdfast.Scope) -> None:
    record = scope.put("k", pattern(50_000).hex(), compression="zstd")
    (file,) = blob_files(store)
    stored = Path(file).read_bytes()
    algorithm, digest = digest_buffers([stored], len(stored))
    assert (record.size, record.row.algorithm, record.row.digest) == (len(stored), algorithm, digest)
    assert zstandard.ZstdDecompressor().decompress(stored) == pattern(50_000).hex().encode()
    assert json.loads(record.row.config or "") == {"size": 100_000}
    assert store.verify().fine
    small = scope.put("small", b"a" * 1_000_000, compression="lz4")
    assert small.row.storage is None
    assert small.size < 32_768  # few enough for the catalog


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_arrays_are_writable_and_nobody_elses(scope: holdfast.Scope, encoding: str) -> None:
    scope.put("k", VALUES["two"], compression=encoding)
    first, second = scope.get("k"), scope.get("k")
    first["a"][:] = 7
    assert second["a"].max() == scope.get("k")["a"].max() == 0


@pytest.mark.parametrize("value", [b"", b"x", "short", {}, 5, -(1 << 70), LARGE, np.frombuffer(LARGE, "u1")])
def test_what_does_not_shrink_by_a_tenth_stays_as_it_is(scope: holdfast.Scope, value: Any) -> None:
    for encoding in ENCODINGS:
        record = scope.put(f"{encoding}/k", value, compression=encoding)
        assert of(record) is None
        assert record.digest == scope.put("plain", value).digest
        assert same(value, scope.get(f"{encoding}/k"))


def test_in_transactions_and_elsewhere(store: holdfast.Store, scope: holdfast.Scope) -> None:
    with store.transaction() as tx:
        inside = scope.within(tx)
        inside.put("a", TEXT, compression="zstd")
        assert inside.get("a") == TEXT
        inside.put_chunks("b", [MIXED], compression="lz4")
        assert inside.get_bytes("b") == MIXED
    assert (of(scope.record("a")), of(scope.record("b"))) == ("zstd", "lz4")
    scope.copy("a", "copy")
    scope.rename("b", "renamed")
    scope.set_content_type("renamed", "text/x-hex")
    assert scope.get("copy") == TEXT
    assert scope.get_bytes("renamed") == MIXED
    assert [of(record) for record in scope.put_many({"x": TEXT, "y": TEXT}, compression="zstd")] == ["zstd"] * 2


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("data", [b"", b"x" * 100, TEXT[:32_768], TEXT, MIXED * 20], ids=len)
def test_files(store: holdfast.Store, scope: holdfast.Scope, tmp_path: Path, encoding: str, data: bytes) -> None:
    with scope.open("open", "wb", compression=encoding) as file:
        for start in range(0, len(data), 70_001):
            file.write(data[start : start + 70_001])
            assert file.tell() == min(len(data), start + 70_001)
    (tmp_path / "local.txt").write_bytes(data)
    records = [
        scope.record("open"),
        scope.put_chunks(
            "chunks", (data[start : start + 999] for start in range(0, len(data), 999)), compression=encoding
        ),
        scope.put_chunks("one", [data], compression=encoding),
        scope.put_file(tmp_path / "local.txt", compression=encoding),
        asyncio.run(scope.aio.put_chunks("aio", pieces(data), compression=encoding)),
    ]
    for record in records:
        assert of(record) == (encoding if data else None)
        assert record.unpacked_size == len(data)
        assert scope.get(record.key) == scope.get_bytes(record.key) == data
        assert b"".join(scope.get_chunks(record.key)) == asyncio.run(scope.aio.get_bytes(record.key)) == data
        assert Path(scope.get_file(record.key, tmp_path / "out")).read_bytes() == data
        with scope.open(record.key, "rb") as reader:
            assert reader.seek(len(data) // 2) == len(data) // 2
            assert reader.read() == data[len(data) // 2 :]
            assert reader.seek(0) == 0
            assert reader.read(10) == data[:10]
            assert not reader.writable()
    assert records[3].content_type == "text/plain"
    assert store.verify().fine


async def pieces(data: bytes) -> Any:
    for start in range(0, len(data), 70_001):
        yield data[start : start + 70_001]


def test_a_stream_is_judged_by_its_beginning(scope: holdfast.Scope) -> None:
    noise = pattern(2_000_000)
    assert of(scope.put_chunks("noise.gz", [noise[:1000], noise[1000:], TEXT], compression="zstd")) is None
    assert of(scope.put_chunks("text", [TEXT, noise], compression="zstd")) == "zstd"
    assert scope.get_bytes("noise.gz") == noise + TEXT
    assert scope.get_bytes("text") == TEXT + noise


def test_a_stream_that_fails_leaves_nothing(store: holdfast.Store, scope: holdfast.Scope) -> None:
    def broken() -> Iterator[bytes]:
        yield MIXED * 10
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="the source is gone"):
        scope.put_chunks("k", broken(), compression="zstd")
    file = scope.open("k", "wb", compression="lz4")
    file.write(MIXED * 100)
    file.abort()
    assert list(scope) == []
    assert blob_files(store) == []


MEMORY = """
import os, resource, sys, holdfast
store = holdfast.open(sys.argv[1])
scope = store.namespace("a")
encoding = sys.argv[2]
piece = b"".join(os.urandom(64) + bytes(64) for _ in range(1 << 13))
scope.put_chunks("warm", [piece] * 40, compression=encoding)
with scope.open("warm", "rb") as file:
    while file.read(1 << 20): pass
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
record = scope.put_chunks("big", (piece for _ in range(300)), compression=encoding)
assert record.contents["value"].encoding == encoding
for _ in scope.get_chunks("big"): pass
with scope.open("big", "rb") as file:
    file.seek(300 << 20 >> 1)
    while file.read(1 << 20): pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_streams_take_little_memory(tmp_path: Path, encoding: str) -> None:
    assert int(python(MEMORY, str(tmp_path / "data"), encoding).stdout) < 24


# --- who asks for it --------------------------------------------------------------------------------------------------


def test_a_handle_has_options_of_its_own(store: holdfast.Store, scope: holdfast.Scope, tmp_path: Path) -> None:
    flow = store.namespace("prod").using(compression="zstd", tags={"stage": "eval"})
    assert flow == store.namespace("prod")
    record = flow.put("k", TEXT)
    assert (of(record), record.tags) == ("zstd", {"stage": "eval"})
    assert of(store.namespace("prod").put("other", TEXT)) is None
    below = flow.workflow("forecast").artifact("run-7")
    assert of(below.write("notes.txt", TEXT)) == "zstd"
    with below.transaction() as inside:
        assert of(inside.write("more.txt", TEXT)) == "zstd"
    with flow.transaction() as inside:
        assert of(inside.put("k", TEXT)) == "zstd"
    record = flow.put("k", TEXT, compression="lz4", tags=None)
    assert (of(record), record.tags) == ("lz4", {})
    assert of(flow.put("k", TEXT, compression="none")) is None
    assert of(flow.put("k", TEXT, compression=None)) is None
    assert of(flow.using(compression="lz4").put("k", TEXT)) == "lz4"
    assert flow.using(compression="lz4").put("k", TEXT).tags == {"stage": "eval"}
    assert flow.update("k", bytes.upper).record.tags == {"stage": "eval"}
    assert flow.update("k", bytes.upper, tags={"a": "b"}).record.tags == {"a": "b"}
    assert of(flow.record("k")) == "zstd"
    assert of(pickle.loads(pickle.dumps(flow)).put("k", TEXT)) == "zstd"
    assert of(asyncio.run(flow.aio.workflow("w").put("k", TEXT))) == "zstd"
    assert of(asyncio.run(store.aio.namespace("a").using(compression="lz4").put("k", TEXT))) == "lz4"
    assert of(next(flow.children("workflow")).put("k", TEXT)) == "zstd"
    assert of(flow.workflow("w").rename_scope("v").put("k", TEXT)) == "zstd"


def test_a_lease_of_a_handle(scope: holdfast.Scope, store: holdfast.Store) -> None:
    lease = store.lease("one")
    guarded = scope.using(lease=lease)
    with pytest.raises(holdfast.LeaseLost):
        guarded.put("k", 1)
    with lease:
        guarded.put("k", 1)


class Squeezed(Serializer):
    name: ClassVar[str] = "test.squeezed@v1"
    types: ClassVar[tuple[str, ...]] = ("builtins.bytes",)
    compression: ClassVar[str | None] = "lz4"

    def serialize(self, value: Any) -> Payload:
        return Payload([value], "text/x-squeezed")

    def deserialize(self, payload: Payload) -> Any:
        assert payload.encoding is None
        return bytes(payload.buffers[0])


class Own(Squeezed):
    """Has an encoding of its own making, by a name that is ours, too."""

    name: ClassVar[str] = "test.own@v1"

    def serialize(self, value: Any) -> Payload:
        return Payload([value[::-1]], "text/x-own", "zstd")

    def deserialize(self, payload: Payload) -> Any:
        assert payload.encoding == "zstd"
        return bytes(payload.buffers[0])[::-1]


class Unknown(Squeezed):
    name: ClassVar[str] = "test.unknown@v1"
    compression: ClassVar[str | None] = "brotli"


def test_a_serializer_has_one(tmp_path: Path) -> None:
    registry = holdfast.Registry([Own, Unknown, Squeezed])
    with holdfast.open(tmp_path / "data", registry=registry) as store:
        scope = store.namespace("a")
        assert of(scope.put("k", TEXT)) == "lz4"
        assert scope.get("k") == TEXT
        assert of(scope.put("k", TEXT, compression="zstd")) == "zstd"
        assert of(scope.put("k", TEXT, compression="none")) is None
        assert scope.put("k", TEXT, serializer="test.own@v1", compression="lz4").size == len(TEXT)
        assert scope.get("k") == TEXT
        assert scope.get_bytes("k") == TEXT[::-1]
        with pytest.raises(InvalidArgumentError, match="compression must be 'zstd', 'lz4' or 'none', not 'brotli'"):
            scope.put("k", TEXT, serializer="test.unknown@v1")


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_STORE", str(tmp_path / "data"))
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_bytes(TEXT)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    run("put", "namespace:prod/", str(folder / "a.txt"), "--compression", "zstd")
    run("put", "namespace:prod/b/", str(folder), "--compression", "lz4")
    run("put", "namespace:prod/v", "--text", TEXT.decode(), "--compression", "lz4")
    for key, encoding in (("a.txt", "zstd"), ("b/a.txt", "lz4"), ("v", "lz4")):
        assert json.loads(run("stat", f"namespace:prod/{key}", "--json"))["encoding"] == encoding
        assert run("cat", f"namespace:prod/{key}") == TEXT.decode()
        run("get", f"namespace:prod/{key}", str(tmp_path / "out"))
        assert (tmp_path / "out").read_bytes() == TEXT
    result = CliRunner().invoke(app, ["put", "namespace:prod/v", "--text", "x", "--compression", "gzip"])
    assert result.exit_code == 2
    assert "compression must be" in result.stderr


# --- what goes wrong --------------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[holdfast.Scope, Any], object]] = {
    "put": lambda scope, name: scope.put("k", TEXT, compression=name),
    "put_chunks": lambda scope, name: scope.put_chunks("k", [TEXT], compression=name),
    "open": lambda scope, name: scope.open("k", "wb", compression=name),
    "using": lambda scope, name: scope.using(compression=name),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["gzip", "ZSTD", "", 3, b"zstd", ["zstd"]])
def test_other_names(scope: holdfast.Scope, call: str, name: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="compression must be"):
        CALLS[call](scope, name)
    assert list(scope) == []
    with pytest.raises(TypeError, match="unexpected option"):
        scope.using(compresion="zstd")  # type: ignore[call-arg]


@pytest.mark.parametrize(("encoding", "module"), [("zstd", "zstandard"), ("lz4", "lz4")])
def test_without_the_library(tmp_path: Path, encoding: str, module: str) -> None:
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("prod")
        scope.put("value", TEXT, compression=encoding)
        scope.put_chunks("file", [TEXT], compression=encoding)
        script = f"""
        import sys, holdfast
        sys.modules[{module!r}] = None
        scope = holdfast.open(sys.argv[1]).namespace("prod")
        for call in (
            lambda: scope.put("new", b"x" * 100, compression={encoding!r}),
            lambda: scope.open("new", "wb", compression={encoding!r}),
            lambda: scope.put_chunks("new", [b"x"], compression={encoding!r}),
            lambda: scope.get("value"),
            lambda: scope.get_bytes("file"),
            lambda: scope.open("file", "rb"),
        ):
            try:
                call()
            except holdfast.MissingExtraError as error:
                assert 'pip install "holdfast[compression]"' in str(error), error
            else:
                raise AssertionError
        scope.put("plain", 1)
        print(*scope)
        """
        assert python(script, str(tmp_path / "data")).stdout.split() == ["file", "plain", "value"]
    assert issubclass(MissingExtraError, ImportError)


def test_torn_bytes_fail_their_digest(store: holdfast.Store, scope: holdfast.Scope, tmp_path: Path) -> None:
    for encoding in ENCODINGS:
        scope.put(f"{encoding}/value", np.frombuffer(MIXED, "u1"), compression=encoding)
        scope.put_chunks(f"{encoding}/file", [MIXED * 3], compression=encoding)
    assert len(blob_files(store)) == 4
    for file in blob_files(store):
        with open(file, "r+b") as stored:
            stored.seek(5000)
            stored.write(b"torn")
    for key in scope:
        for read in (
            scope.get,
            scope.get_bytes,
            lambda key: scope.open(key, "rb"),
            lambda key: scope.get_file(key, tmp_path / "out"),
        ):
            with pytest.raises(IntegrityError):
                read(key)
    assert {problem.code for problem in store.verify().problems} == {"integrity"}
    assert not (tmp_path / "out").exists()


def zstd(data: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)


WIDE = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=27)).compressobj()
HOSTILE = {
    "noise": pattern(500),
    "nothing": b"",
    "cut": zstd(TEXT)[:-4],
    "cut early": zstd(TEXT)[:6],
    "more behind": zstd(TEXT) + b"behind",
    "another encoding": lz4.frame.compress(TEXT),
    "fewer bytes": zstd(TEXT[1:]),
    "one byte more": zstd(TEXT + b"x"),
    "a bomb": zstd(bytes(1 << 30)),
    "too wide a window": WIDE.compress(TEXT) + WIDE.flush(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_under_a_digest_that_holds(name: str) -> None:
    for read in (
        lambda: unpack("zstd", HOSTILE[name], len(TEXT), "a record"),
        lambda: list(unpacked("zstd", [HOSTILE[name][:3], b"", HOSTILE[name][3:]], len(TEXT), "a record")),
    ):
        with pytest.raises(DecodeError, match="of a record"):
            read()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bytes_that_were_changed_anywhere(encoding: str) -> None:
    found = shrink(encoding, [TEXT[:3000], np.arange(500).tobytes()], 7000)
    assert found is not None
    good, chance = b"".join(found[0]), random.Random(1)
    whole = TEXT[:3000] + np.arange(500).tobytes()
    assert unpack(encoding, good, 7000, "it").getvalue() == whole
    for _ in range(3000):
        bad = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        if chance.random() < 0.3:
            del bad[chance.randrange(len(bad)) :]
        try:
            assert (
                len(unpack(encoding, bad, 7000, "it").getvalue()) == 7000
            )  # there is no checksum: that is what digests are for
        except DecodeError:
            pass


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_memory_of_unpacked_bytes(store: holdfast.Store, encoding: str) -> None:
    """As much as they are, once; and what a record only claims takes none."""
    scope, size = store.namespace("a"), 32 << 20
    scope.put_chunks("file", [bytes(size)], compression=encoding)
    tracemalloc.start()
    try:
        assert len(scope.get("file")) == size
        assert tracemalloc.get_traced_memory()[1] < 1.4 * size
        tracemalloc.reset_peak()
        with pytest.raises(DecodeError):
            unpack(encoding, random.Random(1).randbytes(1 << 20), 1 << 33, "a record")
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def test_a_bomb_is_not_taken_into_memory(tmp_path: Path) -> None:
    script = """
    import resource, sys, holdfast
    from holdfast.compression import Packer, unpack, unpacked
    for encoding in ("zstd", "lz4"):
        packer = Packer(encoding)
        bomb = b"".join(piece for _ in range(1 << 9) for piece in packer.pack(bytes(1 << 20))) + packer.flush()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for read in (unpack, lambda *args: list(unpacked(args[0], [args[1]], *args[2:]))):
            for size in (0, 1000, 10 << 20):
                try:
                    read(encoding, bomb, size, "it")
                except holdfast.DecodeError:
                    continue
                raise AssertionError
        try:
            unpack(encoding, b"x" * 100, 1 << 60, "it")
        except holdfast.DecodeError:
            print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    assert max(map(int, python(script, str(tmp_path)).stdout.split())) < 40


def test_an_encoding_of_a_later_version(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("k", TEXT, compression="zstd")
    scope.put_chunks("file", [MIXED], compression="zstd")
    change_catalog(store, "UPDATE codecs SET encoding='br' WHERE encoding='zstd'")
    with holdfast.open(store.config.store) as later:
        scope = later.namespace("prod").workflow("forecast")
        for read in (scope.get, scope.get_bytes, lambda key: scope.open(key, "rb")):
            for key in scope:
                with pytest.raises(DecodeError, match="content encoding 'br', and this version reads zstd, lz4"):
                    read(key)
        assert later.verify().fine


@pytest.mark.parametrize("size", ["-1", '"many"', "null", "1.5", "[]", "true"])
def test_a_record_that_says_nonsense(store: holdfast.Store, scope: holdfast.Scope, size: str) -> None:
    scope.put("k", "text" * 1000, compression="zstd")
    change_catalog(store, "UPDATE records SET config=?", '{"size":' + size + "}")
    for read in (scope.get, scope.get_bytes):
        if size != "null":
            with pytest.raises(IntegrityError, match="before compression"):
                read("k")
    if size == "null":  # then it is the serializer's own encoding, and no text
        with pytest.raises(DecodeError):
            scope.get("k")


def change_catalog(store: holdfast.Store, statement: str, *values: Any) -> None:
    import apsw

    connection = apsw.Connection(f"{store.config.store}/catalog.sqlite")
    connection.execute(statement, values)
    connection.close()


def test_hostile_bytes_in_a_store(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("value", TEXT, compression="zstd")
    scope.put_chunks("file", [TEXT[:30_000]], compression="zstd")
    for stored in HOSTILE.values():
        digest = digest_buffers([stored], len(stored))
        change_catalog(store, "UPDATE records SET data=?,algorithm=?,digest=?,size=?", stored, *digest, len(stored))
        for key in scope:
            for read in (scope.get, scope.get_bytes):
                with pytest.raises(DecodeError):
                    read(key)


def test_the_signature_covers_it(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("k", [Fraction(1, 3)] * 1000, compression="zstd")
    assert scope.get("k")[0] == Fraction(1, 3)
    config = scope.record("k").row.config
    assert config is not None
    change_catalog(store, "UPDATE records SET config=?", config.replace('"size":', '"size":1'))
    with pytest.raises(SignatureError):
        scope.get("k")
    with pytest.raises(DecodeError):
        scope.get("k", trust=True)


def test_packers_take_pieces_of_any_size() -> None:
    for encoding in ENCODINGS:
        packer = Packer(encoding)
        packed = [
            part for start in range(0, len(TEXT), 77_777) for part in packer.pack(memoryview(TEXT)[start:][:77_777])
        ]
        packed.append(packer.flush())
        for step in (1, 1000, 1 << 20):
            stored = b"".join(packed)
            parts = [stored[start : start + step] for start in range(0, len(stored), step)]
            assert b"".join(unpacked(encoding, parts, len(TEXT), "it")) == TEXT
        assert list(unpacked(encoding, [b"".join(Packer(encoding).pack(b"")), Packer(encoding).flush()], 0, "it")) == []


def test_by_address(store: holdfast.Store, scope: holdfast.Scope) -> None:
    fs = fsspec.filesystem("holdfast", store=store, skip_instance_cache=True)
    scope.put_chunks("file", [MIXED], compression="zstd")
    assert fs.info(f"{scope}/file")["size"] == len(MIXED)
    assert fs.cat_file(f"{scope}/file", start=-100) == MIXED[-100:]
    with fs.open(f"{scope}/file", "rb") as file:
        assert file.seek(-5, 2) == len(MIXED) - 5
        assert file.read() == MIXED[-5:]
    fs.pipe_file(f"{scope}/piped", MIXED, compression="lz4")
    assert of(scope.record("piped")) == "lz4"
    with fs.open(f"{scope}/packed.bin", "wb", compression="gzip") as file:  # fsspec's own
        file.write(MIXED)
    assert (of(scope.record("packed.bin")), scope.get_bytes("packed.bin")[:2]) == (None, b"\x1f\x8b")
