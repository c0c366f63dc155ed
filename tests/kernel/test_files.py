"""Streams, local files and folders, and how little memory they take."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast import ExistsError, InvalidKeyError, StoreError

from .tools import LARGE, blob_files, pattern, python


@pytest.mark.parametrize("size", [0, 1, 32_768, 32_769, 3_000_000])
def test_binary_files(store: holdfast.Store, scope: holdfast.Scope, size: int) -> None:
    data = pattern(size)
    file: Any = scope.open("k", "wb", tags={"a": "b"}, content_type="x/y")
    with file:
        for begin in range(0, size, 70_001):
            assert file.tell() == begin
            assert file.write(data[begin : begin + 70_001]) == len(data[begin : begin + 70_001])
        assert not scope.exists("k")
        assert file.name == "namespace:prod/workflow:forecast/k"
    assert file.record.size == size
    assert (file.record.tags, file.record.content_type, file.record.serializer) == ({"a": "b"}, "x/y", None)
    assert scope.get("k") == scope.get_bytes("k") == b"".join(scope.get_chunks("k")) == data
    with scope.open("k", "rb") as reader:
        assert reader.read() == data
        assert reader.seek(size // 2) == size // 2
        assert reader.read(10) == data[size // 2 :][:10]
        assert reader.readable()
        assert not reader.writable()
        with pytest.raises(io.UnsupportedOperation):
            reader.write(b"x")
    assert len(blob_files(store)) == (size > 32_768)


def test_text_files(scope: holdfast.Scope) -> None:
    with scope.open("k", "w") as file:
        file.write("é\n")
        print("two", file=file)
    assert scope.record("k").content_type == "text/plain; charset=utf-8"
    assert scope.get_bytes("k") == "é\ntwo\n".encode()
    with scope.open("k") as reader:
        assert list(reader) == ["é\n", "two\n"]
    with scope.open("k", "w", encoding="latin-1", newline="\r\n") as file:
        file.write("é\n")
    assert scope.get_bytes("k") == b"\xe9\r\n"
    with scope.open("k", encoding="latin-1") as reader:
        assert reader.read() == "é\n"
    with scope.open("n", "x") as file:
        file.write("x" * 200_000)
    assert scope.get_bytes("n") == b"x" * 200_000


def test_any_bytes_like_chunk(scope: holdfast.Scope) -> None:
    chunks: list[Any] = [
        b"a",
        bytearray(b"b"),
        memoryview(b"cc")[::2],
        np.arange(3, dtype="u1"),
        np.array([[1.0]]),
        np.zeros((0, 3)),
        np.arange(6, dtype="u1").reshape(2, 3).T,
    ]
    scope.put_chunks("k", chunks)
    expected = b"abc\x00\x01\x02" + np.array([[1.0]]).tobytes() + chunks[-1].tobytes()
    assert scope.get_bytes("k") == expected
    reused = bytearray(b"1" * 40_000)

    def same_buffer() -> Any:
        for digit in b"123":
            reused[:] = bytes([digit]) * 40_000
            yield reused

    scope.put_chunks("k", same_buffer())
    assert scope.get_bytes("k") == b"1" * 40_000 + b"2" * 40_000 + b"3" * 40_000


def test_values_can_be_read_as_bytes(scope: holdfast.Scope) -> None:
    for value, text in ((-5, b"-5"), ("é", "é".encode()), (b"x", b"x"), (LARGE, LARGE)):
        scope.put("k", value)
        assert scope.get_bytes("k") == text
        with scope.open("k", "rb") as file:
            assert file.read() == text


def test_local_files(scope: holdfast.Scope, tmp_path: Path) -> None:
    pieces: list[int] = []
    for name, kind in (("a.csv", "text/csv"), ("b.tar.gz", "application/octet-stream"), ("noend", None)):
        path = tmp_path / name
        path.write_bytes(pattern(2_500_000))
        record = scope.put_file(path, progress=pieces.append)
        assert record.key == name
        assert record.content_type == (kind or "application/octet-stream")
    assert sum(pieces) == 3 * 2_500_000
    assert scope.put_file(str(tmp_path / "a.csv"), "k", content_type="x/y", tags={"a": "b"}).content_type == "x/y"
    target = tmp_path / "out"
    target.mkdir()
    assert scope.get_file("a.csv", target) == str(target / "a.csv")
    assert scope.get_file("k", target / "a.csv") == str(target / "a.csv")
    assert (target / "a.csv").read_bytes() == pattern(2_500_000)
    with pytest.raises(ExistsError, match="exists"):
        scope.get_file("k", target / "a.csv", replace=False)
    scope.put("deep/name", b"x")
    assert scope.get_file("deep/name", target) == str(target / "name")
    for key in ("..", "a/..", "a/"):
        scope.put(key, b"evil")
        with pytest.raises(InvalidKeyError):
            scope.get_file(key, target)
    assert sorted(os.listdir(target)) == ["a.csv", "name"]


def test_folders(scope: holdfast.Scope, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "a").write_bytes(LARGE)
    (source / "deep" / "b").write_text("b")
    (source / "link").symlink_to(source / "a")
    (source / "loop").symlink_to(source)
    records = scope.put_dir(source, "in/")
    assert [record.key for record in records] == ["in/a", "in/link", "in/deep/b"]
    paths = scope.get_dir("in/", tmp_path / "out", leave_out=["in/link"])
    assert {os.path.relpath(path, tmp_path / "out") for path in paths} == {"a", "deep/b"}
    assert (tmp_path / "out" / "a").read_bytes() == LARGE
    (source / "broken").symlink_to(source / "nowhere")
    with pytest.raises(holdfast.NotFoundError, match="broken"):
        scope.put_dir(source)


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, scope: holdfast.Scope) -> None:
    """One whose path is longer than the system takes: rights would not keep root out."""
    source = tmp_path / "in"
    source.mkdir()
    (source / "a").write_bytes(b"1")
    fd = os.open(source, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=fd)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    with pytest.raises(StoreError, match="cannot be read: File name too long"):
        scope.put_dir(source)


def test_lists_in_pages(scope: holdfast.Scope) -> None:
    keys = [f"k{index:05}" for index in range(2500)]
    scope.put_many(dict.fromkeys(keys, 1))
    scope.put_many({"é": 1, "😀": 2, "\uffff": 3, "Z": 4})
    assert list(scope.keys("k")) == keys
    assert [record.key for record in scope.list("k")] == keys
    assert list(scope) == sorted([*keys, "é", "😀", "\uffff", "Z"], key=str.encode)
    for limit in (0, 1, 999, 1000, 1001, 2000, 2500, 9999):
        assert list(scope.keys("k", limit=limit)) == keys[:limit]
        assert [record.key for record in scope.list("k", limit=limit)] == keys[:limit]
    assert list(scope.keys(start="k00010", end="k00012")) == ["k00010", "k00011"]
    assert [r.key for r in scope.list("k0001", start="k00015", end="k00018")] == ["k00015", "k00016", "k00017"]
    assert [record.key for record in scope.list("k", order="-key")] == keys[::-1]
    half = next(record for record in scope.list() if record.key == "k01234")
    assert [record.key for record in scope.list("k", after=half)] == keys[1235:]
    listing = scope.list("k")
    next(listing)
    scope.delete("k02400")
    scope.put("k02400x", 1)
    rest = [record.key for record in listing]
    assert "k02400" not in rest
    assert "k02400x" in rest


PEAK = """
import resource, sys, threading
import holdfast
size = int(sys.argv[2])
with holdfast.open(sys.argv[1] + "/data") as store:
    scope = store.namespace("a")
    scope.put("warm", bytes(100_000)); scope.get("warm")
    piece = bytes(range(256)) * 4096
    def stream():
        for _ in range(size // len(piece)):
            yield piece
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scope.put_chunks("chunks", stream())
    with scope.open("file", "wb") as file:
        for data in stream():
            file.write(data)
    length = sum(map(len, scope.get_chunks("chunks")))
    with scope.open("file", "rb") as file:
        while data := file.read(1 << 20):
            length += len(data)
    scope.get_file("chunks", sys.argv[1] + "/local")
    scope.delete("file"); store.gc()
    scope.put_file(sys.argv[1] + "/local")
    assert length == 2 * (size // len(piece)) * len(piece)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 64, f"{grown} MB"
"""


def test_a_stream_of_300_mb_takes_less_than_64_mb(tmp_path: Path) -> None:
    python(PEAK, str(tmp_path), str(300 << 20))


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_stream_of_5_gb_takes_less_than_64_mb(tmp_path: Path) -> None:
    python(PEAK, str(tmp_path), str(5 << 30))


def test_the_content_type_follows_the_keys_ending(store: holdfast.Store, tmp_path: Path) -> None:
    scope = store.namespace("prod")
    with scope.open("page.html", "w") as file:
        file.write("<p>")
    with scope.open("picture.svg", "w") as file:
        file.write("<svg/>")
    with scope.open("notes", "w") as file:
        file.write("x")
    with scope.open("data.bin.zz9", "wb") as file:
        file.write(b"x")
    scope.put_chunks("table.csv", [b"a,b"])
    scope.put_chunks("given.csv", [b"a,b"], content_type="text/plain")
    scope.artifact("run").write("result.json", "{}")
    (tmp_path / "local.csv").write_text("a")
    scope.put_file(tmp_path / "local.csv", "renamed")
    found = {record.key: record.content_type for record in scope.list()}
    assert found == {
        "page.html": "text/html; charset=utf-8",
        "picture.svg": "image/svg+xml",
        "notes": "text/plain; charset=utf-8",
        "data.bin.zz9": "application/octet-stream",
        "table.csv": "text/csv",
        "given.csv": "text/plain",
        "renamed": "text/csv",
    }
    assert scope.artifact("run").scope.record("result.json").content_type == "application/json"
