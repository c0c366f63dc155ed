"""Files: one version for a reader, whole or not at all for a writer, whoever closes it."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.callbacks import Callback

import holdfast
from holdfast.filesystem import HoldfastFileSystem
from tests.kernel.tools import LARGE, blob_files, pattern

AT = "namespace:prod/a.bin"


def leave(manager: Any, work: Callable[[Any], Any]) -> Any:
    """Leave a ``with`` block by an exception, after some work in it; gives what the block was given."""
    with pytest.raises(RuntimeError, match="left"), manager as given:  # noqa: PT012
        work(given)
        raise RuntimeError("left")
    return given


@pytest.mark.parametrize("size", [0, 1, 32_768, 32_769, 3_000_000])
def test_what_is_written_is_read(fs: HoldfastFileSystem, store: holdfast.Store, size: int) -> None:
    data = pattern(size)
    with fs.open(AT, "wb", tags={"a": "b"}, content_type="x/y", expires=timedelta(hours=1)) as file:
        for begin in range(0, size, 70_001):
            assert file.tell() == begin
            file.write(data[begin : begin + 70_001])
        assert not fs.exists(AT)
    record = store.namespace("prod").record("a.bin")
    assert file.record == record
    assert (record.size, record.tags, record.content_type) == (size, {"a": "b"}, "x/y")
    info = fs.info(AT)
    assert info == {
        "name": AT, "type": "file", "size": size, "version": 1, "tags": {"a": "b"}, "content_type": "x/y",
        "digest": record.digest, "serializer": None, "created": record.row.created, "mtime": record.row.updated,
        "expires": record.row.expires,
    }  # fmt: skip
    assert (fs.created(AT), fs.modified(AT)) == (record.created, record.updated)
    assert fs.ukey(AT) == record.digest
    with fs.open(f"holdfast://{AT}") as reader:
        assert reader.read() == data
        assert reader.seek(size // 2) == size // 2
        assert reader.read(10) == data[size // 2 :][:10]
        assert (reader.size, reader.path, reader.details, reader.mode) == (size, AT, info, "rb")
        assert reader.name == f"holdfast://{AT}"
        with pytest.raises(io.UnsupportedOperation):
            reader.write(b"x")
    assert fs.cat(AT) == fs.cat_file(AT) == data
    for start, end in ((0, 5), (3, None), (None, 7), (-5, None), (2, -2), (5, 3), (5, 4), (-9, -5), (10**9, None)):
        assert fs.cat_file(AT, start, end) == data[start:end]
    assert fs.cat_ranges([AT, AT, "namespace:prod/no"], [0, 1, 0], [3, 9, 1])[:2] == [data[:3], data[1:9]]
    assert fs.head(AT, 9) == data[:9]
    assert fs.tail(AT, 9) == data[-9:]
    assert fs.checksum(AT) == fs.checksum(AT)
    assert len(blob_files(store)) == (size > 32_768)


def test_a_reader_stays_with_its_version(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    for first, second in ((b"first", b"second"), (LARGE, LARGE[::-1])):
        fs.pipe(AT, first)
        with fs.open(AT) as reader:
            fs.pipe(AT, second)
            assert fs.cat(AT) == second
            fs.rm(AT)
            store.gc()
            assert reader.read() == first
            with pytest.raises(FileNotFoundError):
                fs.open(AT)


def test_an_exception_discards(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    fs.pipe(AT, b"before")
    for mode, piece in (("wb", LARGE), ("w", "text"), ("ab", LARGE), ("r+b", LARGE), ("wt", "x" * 100_000)):
        file = leave(fs.open(AT, mode), lambda file: file.write(piece))  # noqa: B023
        assert file.closed
        file.close()
    leave(fs.open(AT, "wb", compression="gzip"), lambda file: file.write(LARGE))
    assert fs.cat(AT) == b"before"
    assert fs.info(AT)["version"] == 1
    assert blob_files(store) == []


def test_an_exception_discards_what_others_close(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    """fsspec.open and its kin close all that they opened, and pass no exception on."""
    fs.pipe(AT, b"before")
    url, options = f"holdfast://{AT}", {"store": store}
    for mode, piece, packing in (("wb", LARGE, None), ("w", "x" * 99, None), ("wb", LARGE, "gzip"), ("ab", b"x", None)):
        leave(fsspec.open(url, mode, compression=packing, **options), lambda file: file.write(piece))  # noqa: B023
    table = pa.table({"a": [1, 2]})
    leave(pq.ParquetWriter(AT, table.schema, filesystem=fs), lambda writer: writer.write_table(table))
    with pytest.warns(ResourceWarning, match="is discarded"), pytest.raises(Exception, match="nonsense"):
        pq.write_table(table, AT, filesystem=fs, compression="nonsense")
    assert fs.cat(AT) == b"before"
    assert fs.info(AT)["version"] == 1
    assert blob_files(store) == []


def test_a_close_while_an_exception_is_handled_is_a_close(fs: HoldfastFileSystem) -> None:
    class Report:
        def __enter__(self) -> None:
            pass

        def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
            with fs.open("namespace:prod/report", "w") as report:
                report.write(f"{error!r}")

    file = fs.open(AT, "wb")
    pieces = iter([b"1", b"2"])
    while not file.closed:
        try:
            file.write(next(pieces))
        except StopIteration:
            file.close()
    assert fs.cat(AT) == b"12"
    leave(Report(), lambda given: None)
    assert fs.cat("namespace:prod/report") == b"RuntimeError('left')"


def test_a_forgotten_file_is_discarded(fs: HoldfastFileSystem) -> None:
    for mode in ("wb", "w+b"):
        file = fs.open(AT, mode)
        file.write(b"x")
        with pytest.warns(ResourceWarning, match=f"{AT} was never closed"):
            del file
    assert not fs.exists(AT)
    fs.pipe(AT, LARGE)
    fs.open(AT).read(1)  # no warning, which would be an error here


def test_closing_twice(fs: HoldfastFileSystem) -> None:
    for mode in ("wb", "w", "w+b", "rb", "r"):
        file = fs.open(AT, mode)
        if "w" in mode:
            file.write("x" if mode == "w" else b"x")
        file.close()
        file.close()
    assert fs.info(AT)["version"] == 3


def test_exclusive(fs: HoldfastFileSystem) -> None:
    one, two = fs.open(AT, "xb"), fs.open(AT, "xb")
    one.write(b"one")
    two.write(b"two")
    one.close()
    with pytest.raises(holdfast.ExistsError) as caught:
        two.close()
    assert isinstance(caught.value, FileExistsError)
    assert fs.cat(AT) == b"one"
    for again in (
        lambda: fs.open(AT, "x"),
        lambda: fs.pipe_file(AT, b"", mode="create"),
        lambda: fs.put_file(__file__, AT, mode="create"),
    ):
        with pytest.raises(FileExistsError):
            again()
    assert fs.cat(AT) == b"one"
    with pytest.raises(holdfast.InvalidArgumentError, match="mode must be"):
        fs.pipe_file(AT, b"", mode="append")


def test_appending(fs: HoldfastFileSystem) -> None:
    for size in (0, 10, 100_000):
        path = f"namespace:prod/{size}.log"
        with fs.open(path, "ab", tags={"a": "b"}, expires=timedelta(hours=1)) as file:
            file.write(pattern(size))
        with fs.open(path, "a") as text:
            assert text.buffer.tell() == size
            text.write("é")
        assert fs.cat(path) == pattern(size) + "é".encode()
        assert fs.info(path)["tags"] == {"a": "b"}
        assert fs.info(path)["expires"] is not None
    with fs.open("namespace:prod/a.log", "wb", content_type="x/y") as file:
        file.write(b"1")
    with fs.open("namespace:prod/a.log", "a") as text:
        text.write("2")
    assert fs.info("namespace:prod/a.log")["content_type"] == "x/y"
    one, two = fs.open(path, "ab"), fs.open(path, "ab")
    one.write(b"1")
    two.write(b"2")
    one.close()
    with pytest.raises(holdfast.ConflictError):
        two.close()
    assert fs.tail(path, 1) == b"1"


def test_changing_in_place(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    with pytest.raises(FileNotFoundError):
        fs.open(AT, "r+b")
    for mode in ("x+b", "w+b"):
        with fs.open(AT, mode) as file:
            file.write(LARGE)
            file.seek(10)
            assert file.read(5) == LARGE[10:15]
    with fs.open(AT, "r+b", compression="infer") as file:
        file.seek(50_000)
        file.write(b"middle")
        assert fs.cat(AT) == LARGE
    assert fs.cat(AT) == LARGE[:50_000] + b"middle" + LARGE[50_006:]
    with fs.open(AT, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("one", "1")
    with fs.open(AT, "r+b") as file, zipfile.ZipFile(file, "a") as archive:
        archive.writestr("two", "2")
    with fs.open(AT) as file, zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["one", "two"]
    one = fs.open(AT, "r+b")
    fs.pipe(AT, b"meanwhile")
    with pytest.raises(holdfast.ConflictError):
        one.close()
    assert fs.cat(AT) == b"meanwhile"
    store.gc()
    assert blob_files(store) == []


def test_text_and_compression(fs: HoldfastFileSystem) -> None:
    fs.write_text("namespace:prod/page.html", "é\n", encoding="latin-1", newline="\r\n")
    assert fs.cat("namespace:prod/page.html") == b"\xe9\r\n"
    assert fs.info("namespace:prod/page.html")["content_type"] == "text/html; charset=latin-1"
    assert fs.read_text("namespace:prod/page.html", encoding="latin-1") == "é\n"
    fs.write_text("namespace:prod/t", "aé", encoding="ascii", errors="ignore")
    assert fs.read_text("namespace:prod/t") == "a"
    for name, packing in (("a.gz", "gzip"), ("b.bz2", "infer"), ("c.xz", "infer"), ("d.zip", "zip")):
        path = f"namespace:prod/{name}"
        fs.write_text(path, "é" * 1000, compression=packing)
        assert fs.cat(path) != "é".encode() * 1000
        assert fs.read_text(path, compression=packing) == "é" * 1000
        with fs.open(path, compression=packing) as file:
            assert file.read(2) == "é".encode()
    assert gzip.decompress(fs.cat("namespace:prod/a.gz")) == ("é" * 1000).encode()


def test_values_are_read_as_their_bytes(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    scope = store.namespace("prod")
    for value, data in ((-5, b"-5"), (12345678901, b"12345678901"), ("é", "é".encode()), (b"x", b"x"), (LARGE, LARGE)):
        scope.put("k", value)
        (listed,) = fs.ls("namespace:prod")
        assert listed == fs.info("namespace:prod/k")
        assert listed["size"] == len(data)
        assert listed["serializer"] == scope.record("k").serializer
        assert fs.cat("namespace:prod/k") == data
        with fs.open("namespace:prod/k") as file:
            assert (file.size, file.read()) == (len(data), data)
        assert fs.ukey("namespace:prod/k")
    with fs.open("namespace:prod/k", "ab") as file:
        file.write(b"more")
    assert scope.get("k") == LARGE + b"more"


def test_expired_records_are_not_there(fs: HoldfastFileSystem) -> None:
    fs.pipe_file(AT, b"x", expires=timedelta(milliseconds=20))
    while fs.exists(AT):
        assert fs.find("") in ([AT], [])
    assert fs.ls("namespace:prod") == []
    with pytest.raises(FileNotFoundError):
        fs.cat_file(AT)
    fs.pipe_file(AT, b"y", mode="create")
    assert fs.cat_file(AT) == b"y"


def test_artifacts_are_scopes(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    store.namespace("prod").artifact("run-7").write("notes.txt", "hello")
    assert fs.cat("namespace:prod/artifact:run-7/notes.txt") == b"hello"
    fs.pipe("namespace:prod/artifact:run-7/more.txt", b"more")
    assert list(store.namespace("prod").artifact("run-7")) == ["more.txt", "notes.txt"]


def test_local_files(fs: HoldfastFileSystem, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    (source / "a.csv").write_bytes(LARGE)
    (source / "deep" / "100%.txt").write_text("b")
    seen = Callback()
    fs.put_file(str(source / "a.csv"), "namespace:prod/a.csv", callback=seen, tags={"a": "b"})
    assert (seen.size, seen.value) == (len(LARGE), len(LARGE))
    assert fs.info("namespace:prod/a.csv")["content_type"] == "text/csv"
    assert fs.info("namespace:prod/a.csv")["tags"] == {"a": "b"}
    seen = Callback()
    fs.get_file("namespace:prod/a.csv", str(tmp_path / "b.csv"), callback=seen)
    assert (seen.size, seen.value) == (len(LARGE), len(LARGE))
    assert (tmp_path / "b.csv").read_bytes() == LARGE
    fs.put(str(source), "namespace:prod/workflow:w", recursive=True)
    assert fs.find("namespace:prod/workflow:w") == [
        "namespace:prod/workflow:w/a.csv",
        "namespace:prod/workflow:w/deep/100%.txt",
    ]
    fs.put(f"{source}/deep/", "namespace:prod/workflow:v/", recursive=True)
    fs.get("namespace:prod/", str(target), recursive=True)
    found = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert found == ["a.csv", "workflow:v/100%.txt", "workflow:w/a.csv", "workflow:w/deep/100%.txt"]
    fs.pipe("namespace:evil/a/../../../up", b"x")
    with pytest.raises(ValueError, match=r"outside the destination|no safe path"):
        fs.get("namespace:evil/", str(target / "evil"), recursive=True)
    with pytest.raises(holdfast.InvalidKeyError, match="no safe path"):
        fs.get_file("namespace:evil/a/../../../up", f"{target}/evil/a/../../../up")
    assert not (tmp_path / "up").exists()


ERRORS: dict[str, tuple[Any, type[Exception], type[Exception]]] = {
    "open": (lambda fs: fs.open("namespace:a/no"), FileNotFoundError, holdfast.NotFoundError),
    "cat": (lambda fs: fs.cat("namespace:a/no"), FileNotFoundError, holdfast.NotFoundError),
    "range": (lambda fs: fs.cat_file("namespace:a/no", 0, 1), FileNotFoundError, holdfast.NotFoundError),
    "info": (lambda fs: fs.info("namespace:a/no"), FileNotFoundError, holdfast.NotFoundError),
    "info of a scope": (lambda fs: fs.info("namespace:no"), FileNotFoundError, holdfast.NotFoundError),
    "ls": (lambda fs: fs.ls("namespace:no/a"), FileNotFoundError, holdfast.NotFoundError),
    "created": (lambda fs: fs.created("namespace:a/no"), FileNotFoundError, holdfast.NotFoundError),
    "cp": (lambda fs: fs.cp_file("namespace:a/no", "namespace:a/x"), FileNotFoundError, holdfast.NotFoundError),
    "mv": (lambda fs: fs.mv("namespace:a/no", "namespace:a/x"), FileNotFoundError, holdfast.NotFoundError),
    "rm": (lambda fs: fs.rm("namespace:a/no"), FileNotFoundError, holdfast.NotFoundError),
    "rm_file": (lambda fs: fs.rm_file("namespace:a/no"), FileNotFoundError, holdfast.NotFoundError),
    "rm -r": (lambda fs: fs.rm("namespace:no", recursive=True), FileNotFoundError, holdfast.NotFoundError),
    "rmdir": (lambda fs: fs.rmdir("namespace:no"), FileNotFoundError, holdfast.NotFoundError),
    "mkdir": (lambda fs: fs.mkdir("a:no/b:c", create_parents=False), FileNotFoundError, holdfast.NotFoundError),
    "open a scope": (lambda fs: fs.open("namespace:a"), IsADirectoryError, holdfast.InvalidArgumentError),
    "write a scope": (lambda fs: fs.open("namespace:a", "wb"), IsADirectoryError, holdfast.InvalidArgumentError),
    "pipe a scope": (lambda fs: fs.pipe("namespace:a", b""), IsADirectoryError, holdfast.InvalidArgumentError),
    "open a folder": (lambda fs: fs.open("namespace:a/d"), IsADirectoryError, holdfast.InvalidArgumentError),
    "cat a folder": (lambda fs: fs.cat_file("namespace:a/d"), IsADirectoryError, holdfast.InvalidArgumentError),
    "rm a folder": (lambda fs: fs.rm("namespace:a/d"), IsADirectoryError, holdfast.InvalidArgumentError),
    "rm a scope": (lambda fs: fs.rm("namespace:a"), IsADirectoryError, holdfast.InvalidArgumentError),
    "rm all": (lambda fs: fs.rm("", recursive=True), IsADirectoryError, holdfast.InvalidArgumentError),
    "modified": (lambda fs: fs.modified("namespace:a"), IsADirectoryError, holdfast.InvalidArgumentError),
    "mkdir twice": (lambda fs: fs.mkdir("namespace:a"), FileExistsError, holdfast.ExistsError),
    "mkdir a folder": (lambda fs: fs.mkdir("namespace:a/d"), FileExistsError, holdfast.ExistsError),
    "mkdir a file": (lambda fs: fs.makedirs("namespace:a/f", exist_ok=True), FileExistsError, holdfast.ExistsError),
    "makedirs": (lambda fs: fs.makedirs("namespace:a"), FileExistsError, holdfast.ExistsError),
    "rmdir a file": (lambda fs: fs.rmdir("namespace:a/f"), NotADirectoryError, holdfast.InvalidArgumentError),
    "rmdir full": (lambda fs: fs.rmdir("namespace:a"), OSError, holdfast.ConflictError),
    "rmdir a folder": (lambda fs: fs.rmdir("namespace:a/d"), OSError, holdfast.ConflictError),
    "no scope": (lambda fs: fs.open("frame.parquet"), ValueError, holdfast.InvalidScopeError),
    "no text": (lambda fs: fs.info(5), ValueError, holdfast.InvalidScopeError),
    "mode": (lambda fs: fs.open("namespace:a/f", "a+b"), ValueError, holdfast.InvalidArgumentError),
    "mode +gz": (lambda fs: fs.open("n:a/f", "r+b", compression="gzip"), ValueError, holdfast.InvalidArgumentError),
    "encoding": (lambda fs: fs.open("namespace:a/f", "w", encoding="no"), ValueError, holdfast.InvalidArgumentError),
    "tags to read": (lambda fs: fs.open("namespace:a/f", tags={}), ValueError, holdfast.InvalidArgumentError),
    "option": (lambda fs: fs.open("namespace:a/f", "wb", tag={}), TypeError, TypeError),
    "depth": (lambda fs: fs.find("namespace:a", maxdepth=0), ValueError, holdfast.InvalidArgumentError),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_of_both_trees(fs: HoldfastFileSystem, name: str) -> None:
    fs.pipe({"namespace:a/d/x": b"", "namespace:a/f": b"f"})
    work, theirs, ours = ERRORS[name]
    with pytest.raises(theirs) as caught:
        work(fs)
    assert isinstance(caught.value, ours)
    assert fs.find("") == ["namespace:a/d/x", "namespace:a/f"]
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))


def test_lost_bytes_are_no_missing_file(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    """zarr puts zeros where a chunk is missing."""
    fs.pipe(AT, LARGE)
    (blob,) = blob_files(store)
    blob.unlink()
    for read in (lambda: fs.open(AT), lambda: fs.cat(AT), lambda: fs.cat_file(AT, 0, 1)):
        with pytest.raises(holdfast.ValueLost) as caught:
            read()
        assert not isinstance(caught.value, OSError)
    assert fs.exists(AT)


def test_a_reader_is_picklable(fs: HoldfastFileSystem) -> None:
    fs.pipe(AT, LARGE)
    with fs.open(AT) as file:
        file.seek(5)
        with pickle.loads(pickle.dumps(file)) as again:
            assert again.read(3) == LARGE[5:8]
        frozen = pickle.dumps(file)
    fs.pipe(AT, b"other")
    with pytest.raises(holdfast.ConflictError, match="was replaced"):
        pickle.loads(frozen)
