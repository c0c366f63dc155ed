"""``holdfast get`` and ``holdfast cat``."""

from __future__ import annotations

import base64
import os
import pty
import subprocess
from datetime import date
from pathlib import Path

import pytest

import holdfast

from .running import COMMAND, environment, run


def on_terminal(*words: str) -> tuple[int, bytes, bytes]:
    """Exit code, what a terminal shows and stderr of a command whose stdout is a terminal."""
    ours, theirs = pty.openpty()
    started = subprocess.Popen([*COMMAND, *words], stdout=theirs, stderr=subprocess.PIPE, env=environment())
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:
        pass  # the other side of a terminal is gone
    os.close(ours)
    _, errors = started.communicate(timeout=60)
    return started.returncode, shown, errors


def test_get_writes_the_file_here(
    store: holdfast.Store, at: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.namespace("prod").put_chunks("maps/a.txt", [b"hello"])
    monkeypatch.chdir(tmp_path)
    ended = run("get", "namespace:prod/maps/a.txt", *at)
    assert (ended.code, ended.out) == (0, "wrote ./a.txt: 5 B\n")
    assert Path("a.txt").read_bytes() == b"hello"
    assert run("get", "namespace:prod/maps/a.txt", "b.txt", "--json", *at).json == {"path": "b.txt", "size": 5}
    Path("folder").mkdir()
    assert run("get", "namespace:prod/maps/a.txt", "folder", *at).code == 0
    assert Path("folder/a.txt").read_bytes() == b"hello"


def test_get_of_a_prefix_or_a_scope_writes_a_folder(
    store: holdfast.Store, at: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = store.namespace("prod")
    for key in ("maps/a", "maps/low/b", "other"):
        scope.put_chunks(key, [key.encode()])
    monkeypatch.chdir(tmp_path)
    assert run("get", "namespace:prod/maps/", *at).code == 0
    assert {str(path) for path in Path("maps").rglob("*") if path.is_file()} == {"maps/a", "maps/low/b"}
    ended = run("get", "namespace:prod", "all", "--all", "--json", *at)
    assert [line["path"] for line in ended.lines] == ["all/maps/a", "all/maps/low/b", "all/other"]
    assert Path("all/maps/low/b").read_text() == "maps/low/b"
    assert run("get", "namespace:prod", "--all", *at).code == 0
    assert Path("prod/other").read_text() == "other"
    assert run("get", "namespace:prod/nothing/", *at).code == 3
    assert run("get", "namespace:none", "--all", *at).code == 3
    assert run("get", "namespace:prod", *at).code == 2
    assert run("get", "", "--all", *at).code == 2


@pytest.mark.parametrize("key", ["../evil", "a/../../evil", "a//b", "./x", "a/.."])
def test_a_key_does_not_leave_the_folder(store: holdfast.Store, at: list[str], tmp_path: Path, key: str) -> None:
    store.namespace("prod").put_chunks(key, [b"evil"])
    target = tmp_path / "deep/target"
    target.mkdir(parents=True)
    ended = run("get", "namespace:prod", target, "--all", *at)
    assert ended.code == 2
    assert "no safe path" in ended.err
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "store" not in path.parts] == []


def test_a_scope_name_that_is_no_folder_needs_a_target(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    store.namespace("a/b").put("x", 1)
    store.namespace("..").put("x", 1)
    assert run("get", "namespace:a%2Fb", "--all", *at).code == 2
    assert run("get", "namespace:..", "--all", *at).code == 2
    assert run("get", "namespace:..", tmp_path / "t", "--all", *at).code == 0


def test_keys_that_cannot_be_files_together_are_told(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    for key in ("a", "a/b"):
        store.namespace("prod").put(key, 1)
    ended = run("get", "namespace:prod", tmp_path / "t", "--all", *at)
    assert ended.code == 1
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1


def test_a_target_that_cannot_be_written(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    store.namespace("prod").put("x", "text")
    ended = run("get", "namespace:prod/x", tmp_path / "none/x", *at)
    assert ended.code == 1
    assert "No such file" in ended.err


def test_cat_gives_the_bytes(store: holdfast.Store, at: list[str]) -> None:
    data = os.urandom(100_000)
    store.namespace("prod").put_chunks("x", [data])
    assert run("cat", "namespace:prod/x", *at).raw == data
    store.namespace("prod").put("n", 42)
    assert run("cat", "namespace:prod/n", *at).raw == b"42"
    assert run("cat", "namespace:prod/none", *at).code == 3
    assert run("cat", "namespace:prod", *at).code == 2


@pytest.mark.parametrize(
    "value, text, shown",
    [
        ("line\n", "line\n\n", "'line\\n'\n"),
        (b"abc", "abc\n", "b'abc'\n"),
        (b"\xff", "b'\\xff'\n", "b'\\xff'\n"),
        (3, "3\n", "3\n"),
        (None, "null\n", "None\n"),
        ((1, 2.5), "[\n  1,\n  2.5\n]\n", "(1, 2.5)\n"),
        ({"a": float("inf")}, '{\n  "a": "inf"\n}\n', "{'a': inf}\n"),
        ({1: {2}}, '{\n  "1": [\n    2\n  ]\n}\n', "{1: {2}}\n"),
        (date(2024, 2, 29), "2024-02-29\n", "datetime.date(2024, 2, 29)\n"),
    ],
)
def test_cat_value_is_readable(store: holdfast.Store, at: list[str], value: object, text: str, shown: str) -> None:
    store.namespace("prod").put("x", value)
    assert run("cat", "--value", "namespace:prod/x", *at).out == text
    assert run("cat", "--repr", "namespace:prod/x", *at).out == shown


def test_cat_json(store: holdfast.Store, at: list[str]) -> None:
    scope = store.namespace("prod")
    scope.put("value", {"a": [1, date(2024, 1, 1)], "b": b"\xff"})
    found = run("cat", "namespace:prod/value", "--json", *at).json
    assert found["value"] == {"a": [1, "2024-01-01"], "b": {"base64": base64.b64encode(b"\xff").decode()}}
    assert found["version"] == 1
    scope.put_chunks("file", [b"text"])
    assert run("cat", "namespace:prod/file", "--json", *at).json["text"] == "text"
    scope.put_chunks("file", [b"\x80"])
    assert run("cat", "namespace:prod/file", "--json", *at).json["base64"] == "gA=="


class Custom:
    """A value that only a pickle can hold."""

    def __repr__(self) -> str:
        return "<Custom>"


def test_a_pickle_is_only_loaded_when_it_is_signed(store: holdfast.Store, at: list[str]) -> None:
    store.namespace("prod").put("x", Custom())
    assert run("cat", "--repr", "namespace:prod/x", *at).out == "<Custom>\n"
    ended = run("cat", "--value", "namespace:prod/x", *at, env={"HOLDFAST_KEY": "ab" * 32})
    assert ended.code == 1
    assert ended.out == ""
    assert "is not loaded" in ended.err


def test_binary_stays_off_a_terminal(store: holdfast.Store, at: list[str]) -> None:
    scope = store.namespace("prod")
    scope.put_chunks("binary", [b"\x1b[31m red"])
    code, shown, errors = on_terminal("cat", "namespace:prod/binary", *at)
    assert (code, shown) == (2, b"")
    assert b"is binary" in errors
    code, shown, _ = on_terminal("cat", "--force", "namespace:prod/binary", *at)
    assert (code, shown) == (0, b"\x1b[31m red")
    scope.put("text", "caf\u00e9 \x1b[31m")
    code, shown, _ = on_terminal("cat", "--value", "namespace:prod/text", *at)
    assert (code, shown) == (0, "caf\u00e9 \\x1b[31m\r\n".encode())
