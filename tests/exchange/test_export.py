"""The folder that an export makes: read without Holdfast, complete or known not to be, with names for any machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.exchange.names import Names
from tests.docs.pages import DOCS

from .stores import everything, fill

SCRIPT = DOCS / "read_export_without_holdfast.py"


def lines(folder: Path, name: str = "records.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_bytes().splitlines()]


def program(*words: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-I", str(SCRIPT), *map(str, words)], capture_output=True)


def test_every_record_is_there_and_read_without_holdfast(store: holdfast.Store, tmp_path: Path) -> None:
    fill(store)
    told: list[int] = []
    done = store.export_to(tmp_path / "out", progress=told.append)
    there = everything(store)
    wanted = {address: found for address, found in there.items() if isinstance(found, tuple) and len(found) > 2}
    past = [record for found in there.values() if isinstance(found, list) for record in found]
    scopes = sum(isinstance(found, tuple) and len(found) == 2 for found in there.values())
    assert (done.scopes, done.records, done.past, done.refused) == (scopes, len(wanted), len(past), 0)
    assert done.size == sum(line["size"] for line in lines(tmp_path / "out"))
    listed = program(tmp_path / "out")
    assert listed.returncode == 0, listed.stderr
    rows = [line.split("\t") for line in listed.stdout.decode().splitlines()]
    assert {row[0]: int(row[1]) for row in rows} == {address: found[0] for address, found in wanted.items()}
    for address, found in wanted.items():
        assert program(tmp_path / "out", address).stdout == found[-1], address
        break
    placed = [line for line in lines(tmp_path / "out") if "file" in line]
    files = {line["scope"] + "/" + line["key"] + "@" * line.get("past", False): line["file"] for line in placed}
    assert files["namespace:prod/workflow:forecast/large.bin"] == "files/namespace=prod/workflow=forecast/large.bin"
    flow = [name for address, name in files.items() if address.endswith(("ame.bin", "other"))]
    assert len(flow) == 3
    assert len(set(flow)) == 1  # equal bytes are there once
    placed += [content for line in lines(tmp_path / "out") for content in line.get("contents", ()) if "file" in content]
    on_disk = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert on_disk == {*(line["file"] for line in placed), "holdfast-export.json", "scopes.jsonl", "records.jsonl"}
    assert sum(told) == done.size


def test_the_program_sees_what_was_altered(store: holdfast.Store, tmp_path: Path) -> None:
    store.namespace("a").put_chunks("f", [b"some bytes"])
    store.export_to(tmp_path / "out")
    assert program(tmp_path / "out", "namespace:a/f").stdout == b"some bytes"
    (tmp_path / "out/files/namespace=a/f").write_bytes(b"same bytes")
    ended = program(tmp_path / "out")
    assert (ended.returncode, b"are not those that were put" in ended.stderr) == (1, True)
    (tmp_path / "out/scopes.jsonl").write_bytes(b"")
    assert b"scopes.jsonl is not the one" in program(tmp_path / "out").stderr


def test_names_are_safe_on_any_machine(store: holdfast.Store, tmp_path: Path) -> None:
    fill(store)
    store.export_to(tmp_path / "out")
    names = {line["file"] for line in lines(tmp_path / "out") if "file" in line}
    folded = {unicodedata.normalize("NFD", name).casefold() for name in names}
    assert len(folded) == len(names)  # no two differ by case, or by the form of a letter
    folders = {folder for name in folded for folder in map(str, Path(name).parents)}
    assert not folders & folded
    for name in names:
        assert len(name.encode()) <= 200
        for part in name.split("/"):
            assert part not in ("", ".", "..")
            assert not re.search(r'[<>:"\\|?*\0-\x1f]|[. ]$|^ ', part), name
            assert part.split(".")[0].casefold() not in ("con", "prn", "aux", "nul", "com1", "lpt1"), name


@pytest.mark.parametrize("first, second", [("a", "a/b"), ("a/b", "a"), ("a/b", "A"), ("a", "A/b"), ("ß", "SS")])
def test_a_file_and_a_folder_of_one_name_do_not_meet(first: str, second: str) -> None:
    names = Names()
    assert names.give((("k", "n"),), first, None) is not None
    assert names.give((("k", "n"),), second, None) is None
    assert names.give((("k", "n"),), "c", "zstd") == "files/k=n/c.zstd"


@pytest.mark.long
def test_many_names_need_no_more_memory() -> None:
    names = Names()
    given = [names.give((("k", "n"),), f"key {i}", None) for i in range(100_000)]
    assert given.count(None) < 1000
    assert len(set(given) - {None}) == len(given) - given.count(None)


def test_a_folder_that_is_used_is_refused(store: holdfast.Store, tmp_path: Path) -> None:
    store.namespace("a").put("k", 1)
    (tmp_path / "used").mkdir()
    (tmp_path / "used/mine.txt").write_text("x")
    for folder in (tmp_path / "used", tmp_path / "data"):
        with pytest.raises(holdfast.ExistsError, match="name a new folder"):
            store.export_to(folder)
    assert os.listdir(tmp_path / "used") == ["mine.txt"]
    store.export_to(tmp_path / "out")
    with pytest.raises(holdfast.ExistsError, match="complete export"):
        store.export_to(tmp_path / "out")
    (tmp_path / "file").write_text("x")
    with pytest.raises(holdfast.StoreError):
        store.export_to(tmp_path / "file")
    with pytest.raises(holdfast.InvalidArgumentError):
        store.export_to(7)  # type: ignore[arg-type]


def test_links_and_pipes_that_others_put_there(store: holdfast.Store, tmp_path: Path) -> None:
    store.namespace("a").put("k", 1)
    for name, made in (
        ("pipe", os.mkfifo),
        ("link", lambda path: path.symlink_to(tmp_path / "pipe/holdfast-export.json")),
    ):
        (tmp_path / name).mkdir()
        made(tmp_path / name / "holdfast-export.json")
        with pytest.raises(holdfast.ExistsError, match="name a new folder"):
            store.export_to(tmp_path / name)
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "precious").write_text("mine")
    for name in ("holdfast-export.json.new", "scopes.jsonl", "records.jsonl", "files", "objects"):
        (out / name).symlink_to(tmp_path / "precious")
    with pytest.raises(holdfast.ExistsError):
        store.export_to(out)
    head = {"format": "holdfast-export", "number": 1, "store": "0" * 32, "key_id": "", "made": ""}
    (out / "holdfast-export.json").write_text(json.dumps(head))
    assert store.export_to(out).records == 1
    assert (tmp_path / "precious").read_text() == "mine"
    assert not any(path.is_symlink() for path in out.iterdir())


def test_what_an_interrupted_export_left_is_begun_anew(store: holdfast.Store, tmp_path: Path) -> None:
    scope = store.namespace("a")
    for i in range(20):
        scope.put_chunks(f"f{i}", [b"x" * 50_000])

    def stop(size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.export_to(tmp_path / "out", progress=stop)
    ended = program(tmp_path / "out")
    assert (ended.returncode, b"not complete" in ended.stderr) == (1, True)
    scope.delete("f0")
    assert store.export_to(tmp_path / "out").records == 19
    assert program(tmp_path / "out").returncode == 0
    names = {line["file"] for line in lines(tmp_path / "out")}
    assert {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out/files").rglob("*") if p.is_file()} == names


def test_damaged_records_are_told_and_refused(store: holdfast.Store, tmp_path: Path) -> None:
    scope = store.namespace("a")
    scope.put_chunks("good", [b"g" * 50_000])
    scope.put_chunks("lost", [b"l" * 50_000])
    scope.put_chunks("torn", [b"t" * 50_000])
    files = {
        path.read_bytes()[:1]: path for path in (tmp_path / "data/files").rglob("*") if path.stat().st_size == 50_000
    }
    files[b"l"].unlink()
    files[b"t"].write_bytes(b"T" * 50_000)
    done = store.export_to(tmp_path / "out")
    assert (done.records, done.refused) == (1, 2)
    assert {(problem.address, problem.code) for problem in done.problems} == {
        ("namespace:a/lost", "value_lost"), ("namespace:a/torn", "integrity"),
    }  # fmt: skip
    assert [line["key"] for line in lines(tmp_path / "out")] == ["good"]
    assert json.loads((tmp_path / "out/holdfast-export.json").read_bytes())["refused"] == 2
    assert os.listdir(tmp_path / "out/files/namespace=a") == ["good"]


def test_the_key_is_written_beside_never_inside(store: holdfast.Store, tmp_path: Path) -> None:
    store.namespace("a").put("object", object)
    for inside in (tmp_path / "out/key", tmp_path / "out/below/../key"):
        with pytest.raises(holdfast.InvalidArgumentError, match="lies in the export"):
            store.export_to(tmp_path / "out", key_file=inside)
    store.export_to(tmp_path / "out", key_file=tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    key = bytes.fromhex((tmp_path / "key").read_text())
    head = json.loads((tmp_path / "out/holdfast-export.json").read_bytes())
    assert head["key_id"] == hashlib.sha256(b"holdfast key id\0" + key).digest()[:8].hex()
    for path in (tmp_path / "out").rglob("*"):
        text = b"" if path.is_dir() else path.read_bytes()
        assert key not in text
        assert key.hex().encode() not in text
    store.export_to(tmp_path / "again", key_file=tmp_path / "key")  # the same key is there
    (tmp_path / "other").write_text("00" * 32)
    with pytest.raises(holdfast.ExistsError, match="another key"):
        store.export_to(tmp_path / "third", key_file=tmp_path / "other")


def test_what_no_import_would_take_is_left_out(store: holdfast.Store, tmp_path: Path) -> None:
    store.namespace("a").put("k", 1, tags={"long": "x" * (17 << 20)})
    store.namespace("a").put("other", 1)
    done = store.export_to(tmp_path / "out")
    assert (done.records, done.refused) == (1, 1)
    with holdfast.open(tmp_path / "new") as new:
        new.import_from(tmp_path / "out")
        assert list(new.namespace("a").keys()) == ["other"]
