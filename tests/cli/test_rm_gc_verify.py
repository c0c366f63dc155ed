"""``holdfast rm``, ``gc`` and ``verify``."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import holdfast

from .running import COMMAND, environment, run


def test_rm_of_records(store: holdfast.Store, at: list[str]) -> None:
    scope = store.namespace("prod")
    scope.put_many({"a": 1, "b": 2, "c": 3})
    assert run("rm", "namespace:prod/a", *at).out == "removed namespace:prod/a, which was version 1\n"
    ended = run("rm", "namespace:prod/none", "namespace:prod/b", *at)
    assert ended.code == 3
    assert ended.out == "removed namespace:prod/b, which was version 1\n"
    assert ended.err == "error: no record namespace:prod/none\n"
    assert run("rm", "-f", "namespace:prod/none", *at) == (0, "", "", b"")
    assert run("rm", "namespace:prod/c", "--if-version", "9", *at).code == 4
    assert run("rm", "namespace:prod/c", "namespace:prod/b", "--if-version", "9", *at).code == 2
    assert run("rm", "namespace:prod/c", "--if-version", "1", "--json", *at).lines[0]["key"] == "c"
    assert list(scope) == []
    assert run("rm", *at).code == 2


def test_rm_of_a_scope_or_prefix_needs_r(store: holdfast.Store, at: list[str]) -> None:
    scope = store.namespace("prod")
    scope.put_many({"maps/a": 1, "maps/b": 2, "mapsnot": 3})
    scope.artifact("run").write("f", "x")
    for address in ("namespace:prod", "namespace:prod/maps/"):
        ended = run("rm", address, *at)
        assert (ended.code, "-r removes it" in ended.err) == (2, True)
    assert run("rm", "-r", "namespace:prod/maps/", *at).out == "removed 2 records below namespace:prod/maps/\n"
    assert list(scope) == ["mapsnot"]
    assert run("rm", "-r", "namespace:prod/maps/", *at).code == 3
    assert run("rm", "-rf", "namespace:prod/maps/", *at).code == 0
    assert run("rm", "-r", "namespace:prod", "--json", *at).lines == [{"is": "scope", "scope": "namespace:prod"}]
    assert list(store.children()) == []
    assert run("rm", "-r", "namespace:prod", *at).code == 3
    assert run("rm", "-rf", "namespace:prod", *at).code == 0
    assert run("rm", "-r", "/", *at).code == 2


@pytest.mark.parametrize("answer, code, left", [(b"n\n", 1, True), (b"y\n", 0, False), (b"\x04", 1, True)])
def test_rm_asks_on_a_terminal(store: holdfast.Store, at: list[str], answer: bytes, code: int, left: bool) -> None:
    store.namespace("prod").put("x", 1)
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        [*COMMAND, "rm", "-r", "namespace:prod", *at],
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, answer)
    _, errors = started.communicate(timeout=60)
    os.close(ours)
    assert b"Remove all below namespace:prod?" in errors
    assert (started.returncode, store.namespace("prod").exists("x")) == (code, left)


def test_gc_says_what_it_removes(store: holdfast.Store, at: list[str]) -> None:
    scope = store.namespace("prod")
    for key in ("a", "b"):
        scope.put_chunks(key, [os.urandom(100_000)])
        scope.delete(key)
    dry = run("gc", "--dry-run", "--json", *at).json
    assert (dry["blobs"], dry["size"], dry["dry_run"]) == (2, 200_000, True)
    assert run("gc", "-n", *at).out == "would remove 2 unused pieces (195 KB)\n"
    assert run("gc", *at).out == "removed 2 unused pieces (195 KB)\n"
    assert run("gc", *at).out == "nothing to remove\n"
    assert run("gc", "--json", *at).json["blobs"] == 0


def test_gc_beside_another_is_busy(store: holdfast.Store, at: list[str]) -> None:
    with store.lease("holdfast/gc"):
        ended = run("gc", *at)
    assert ended.code == 4
    assert "held by somebody else" in ended.err


def files_of(store: holdfast.Store) -> list[Path]:
    """The stored files, the largest first."""
    found = [path for path in (Path(store.config.store) / "files").rglob("*") if path.is_file()]
    return sorted(found, key=lambda path: -path.stat().st_size)


def flip(path: Path) -> None:
    path.chmod(0o600)
    with open(path, "r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (flip, "integrity"),
    (lambda path: os.truncate(path, 2000), "integrity"),
    (os.unlink, "value_lost"),
]


def test_verify_of_whole_bytes(store: holdfast.Store, at: list[str]) -> None:
    scope = store.namespace("prod")
    scope.put_many({"n": 1, "v": {"a": 1}, "big": os.urandom(100_000)})
    scope.artifact("run").write("f", "x")
    ended = run("verify", *at)
    assert ended.code == 0
    assert ended.out.startswith("verified 4 records, ")
    assert ended.out.endswith(": all as they were put\n")
    assert run("verify", "namespace:prod/big", "--json", *at).json["records"] == 1
    assert run("verify", "namespace:prod/artifact:run", "namespace:prod/b", *at).code == 3
    assert run("verify", "namespace:prod/none/", *at).code == 3
    assert run("verify", "namespace:none", *at).code == 3
    assert run("verify", "none", *at).code == 2


@pytest.mark.parametrize("damage, code", DAMAGES, ids=["flipped", "cut", "gone"])
def test_damage_is_found_and_told(
    store: holdfast.Store, at: list[str], tmp_path: Path, damage: Callable[[Path], object], code: str
) -> None:
    scope = store.namespace("prod")
    scope.put_chunks("bad", [os.urandom(200_000)])
    scope.put_chunks("good", [os.urandom(100_000)])
    scope.put("small", "x")
    damage(files_of(store)[0])
    ended = run("verify", *at)
    assert ended.code == 1
    assert "wrong namespace:prod/bad version 1: " in ended.out
    assert ended.out.endswith(": 1 wrong\n")
    found = run("verify", "--json", *at)
    assert found.code == 1
    assert [(problem["address"], problem["code"]) for problem in found.json["problems"]] == [
        ("namespace:prod/bad", code)
    ]
    assert run("verify", "namespace:prod/good", "namespace:prod/small", *at).code == 0
    (tmp_path / "target").write_text("before")
    for words in (["cat", "namespace:prod/bad"], ["get", "namespace:prod/bad", str(tmp_path / "target")]):
        ended = run(*words, *at)
        assert ended.code == 1
        assert ended.err.startswith("error: ")
    assert (tmp_path / "target").read_text() == "before"
    assert {path.name for path in tmp_path.iterdir()} == {"store", "target"}
