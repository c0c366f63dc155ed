"""``holdfast put``."""

from __future__ import annotations

import os
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import holdfast

from .running import process, run


def test_a_file_gets_its_type_and_is_shown(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    ended = run("put", "namespace:prod/t", tmp_path / "table.csv", *at)
    record = store.namespace("prod").record("t")
    assert ended == (
        0,
        f"stored namespace:prod/t: version 1, 8 B, {record.digest}\n",
        "",
        ended.raw,
    )
    assert record.content_type == "text/csv"
    assert record.serializer is None


def test_json_is_the_whole_record(store: holdfast.Store, at: list[str]) -> None:
    ended = run("put", "namespace:prod/x", "--value", "[1]", "--tag", "a=1", "--tag", "b=x=y", "--json", *at)
    record = store.namespace("prod").record("x")
    assert ended.json["address"] == "namespace:prod/x"
    assert ended.json["version"] == record.version
    assert ended.json["tags"] == {"a": "1", "b": "x=y"} == dict(record.tags)
    assert datetime.fromisoformat(ended.json["updated"]) == record.updated
    assert ended.json["expires"] is None


@pytest.mark.parametrize(
    "text, value",
    [
        ("3", 3),
        ("-1.5", -1.5),
        ("true", True),
        ("null", None),
        ('"x"', "x"),
        ('{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}),
        (str(1 << 70), 1 << 70),
    ],
)
def test_a_json_value_is_a_python_value(store: holdfast.Store, at: list[str], text: str, value: object) -> None:
    assert run("put", "namespace:prod/x", "--value", text, *at).code == 0
    found = store.namespace("prod").get("x")
    assert found == value
    assert type(found) is type(value)


def test_text_is_a_str_as_it_is(store: holdfast.Store, at: list[str]) -> None:
    assert run("put", "namespace:prod/x", "--text", "3\n", *at).code == 0
    assert store.namespace("prod").get("x") == "3\n"
    assert run("put", "namespace:prod/x", "--text", "", *at).code == 0
    assert store.namespace("prod").get("x") == ""


@pytest.mark.parametrize("text", ["", "{", "{'a': 1}", "NaN", "[Infinity]", "1 2", "[" * 100_000, "9" * 5000])
def test_what_is_no_json_is_refused(store: holdfast.Store, at: list[str], text: str) -> None:
    ended = run("put", "namespace:prod/x", "--value", text, *at)
    assert ended.code == 2
    assert ended.err.startswith("error: --value takes JSON")
    assert ended.err.count("\n") == 1
    assert not store.namespace("prod").exists("x")


@pytest.mark.parametrize("word", [[], ["-"]])
def test_stdin_is_streamed(store: holdfast.Store, at: list[str], word: list[str]) -> None:
    data = os.urandom(3_000_000)
    assert run("put", "namespace:prod/x", *word, *at, input=data).code == 0
    assert store.namespace("prod").get_bytes("x") == data


def test_a_null_device_is_nothing_to_store(store: holdfast.Store, at: list[str]) -> None:
    import subprocess

    from .running import COMMAND, environment

    with open(os.devnull, "rb") as nothing:
        ended = subprocess.run(
            [*COMMAND, "put", "namespace:prod/x", *at],
            stdin=nothing,
            capture_output=True,
            env=environment(),
            check=False,
        )
    assert ended.returncode == 2
    assert b"nothing to store" in ended.stderr
    assert not store.namespace("prod").exists("x")


def test_a_pipe_by_name_is_streamed(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"through a pipe",))
    writer.start()
    assert run("put", "namespace:prod/x", tmp_path / "pipe", *at).code == 0
    writer.join()
    assert store.namespace("prod").get_bytes("x") == b"through a pipe"


def test_a_scope_or_prefix_keeps_the_name(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    assert run("put", "namespace:prod", tmp_path / "a.txt", *at).code == 0
    assert run("put", "namespace:prod/sub/", tmp_path / "a.txt", *at).code == 0
    assert list(store.namespace("prod")) == ["a.txt", "sub/a.txt"]
    assert run("put", "namespace:prod", *at, input=b"x").code == 2
    assert run("put", "namespace:prod", "--value", "1", *at).code == 2


def test_a_folder_is_many_files(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    (tmp_path / "maps/low").mkdir(parents=True)
    (tmp_path / "maps/a").write_text("1")
    (tmp_path / "maps/low/b").write_text("22")
    ended = run("put", "namespace:prod/m", tmp_path / "maps", "--tag", "k=v", *at)
    assert ended.code == 0
    assert ended.err == "2 files, 3 B\n"
    scope = store.namespace("prod")
    assert [(record.key, record.size, dict(record.tags)) for record in scope.list()] == [
        ("m/a", 1, {"k": "v"}),
        ("m/low/b", 2, {"k": "v"}),
    ]
    again = run("put", "namespace:prod/m/", tmp_path / "maps", "--json", *at)
    assert [line["key"] for line in again.lines] == ["m/a", "m/low/b"]
    assert run("put", "namespace:prod/m", tmp_path / "maps", "--if-version", "1", *at).code == 2


def test_options_reach_the_record(store: holdfast.Store, at: list[str]) -> None:
    words = ["--expires", "90s", "--content-type", "text/x-note", "--durability", "power"]
    assert run("put", "namespace:prod/x", *words, *at, input=b"x").code == 0
    record = store.namespace("prod").record("x")
    assert record.content_type == "text/x-note"
    assert record.durability == "power"
    assert record.expires is not None
    assert timedelta(seconds=60) < record.expires - datetime.now(timezone.utc) <= timedelta(seconds=90)


@pytest.mark.parametrize(
    "text, seconds", [("90s", 90), ("15m", 900), ("12h", 43200), ("30d", 2592000), ("2w", 1209600), ("1.5h", 5400)]
)
def test_times_are_understood(store: holdfast.Store, at: list[str], text: str, seconds: float) -> None:
    ended = run("put", "namespace:prod/x", "--value", "1", "--expires", text, "--json", *at)
    left = datetime.fromisoformat(ended.json["expires"]) - datetime.now(timezone.utc)
    assert seconds - 30 < left.total_seconds() <= seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1y", "tomorrow", "9" * 30 + "d", "99999999d"])
def test_other_times_are_refused(store: holdfast.Store, at: list[str], text: str) -> None:
    ended = run("put", "namespace:prod/x", "--value", "1", "--expires", text, *at)
    assert (ended.code, ended.err[:24]) == (2, "error: --expires takes a")
    assert not store.namespace("prod").exists("x")


def test_conditions(store: holdfast.Store, at: list[str]) -> None:
    put = ["put", "namespace:prod/x", "--value"]
    assert run(*put, "1", "--if-absent", *at).code == 0
    assert run(*put, "2", "--if-absent", *at).code == 4
    assert run(*put, "2", "--if-version", "7", *at).code == 4
    assert store.namespace("prod").get("x") == 1
    assert run(*put, "2", "--if-version", "1", *at).code == 0
    assert store.namespace("prod").get("x") == 2


@pytest.mark.parametrize(
    "words",
    [
        ["namespace:prod/x", "--value", "1", "--text", "t"],
        ["namespace:prod/x", "file", "--value", "1"],
        ["x", "--value", "1"],
        ["", "--value", "1"],
        ["namespace:/x", "--value", "1"],
        ["namespace:prod/" + "k" * 513, "--value", "1"],
        ["namespace:prod/a\nb", "--value", "1"],
        ["namespace:prod/x", "--value", "1", "--tag", "novalue"],
        ["namespace:prod/x", "--value", "1", "--tag", "=v"],
        ["namespace:prod/x", "--value", "1", "--durability", "none"],
        ["namespace:prod/x", "--value", "1", "--if-version", "-1"],
        ["namespace:prod/x", "--value", "1", "--if-version", "x"],
        ["namespace:prod/x", "--value", "1", "--content-type", "a\nb"],
    ],
)
def test_bad_calls_are_refused(store: holdfast.Store, at: list[str], words: list[str]) -> None:
    ended = run("put", *words, *at)
    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert list(store.children()) == []


def test_a_missing_file_makes_no_store(tmp_path: Path) -> None:
    ended = run("put", "namespace:prod/x", tmp_path / "none", "--store", tmp_path / "new")
    assert (ended.code, ended.err) == (3, f"error: no file {tmp_path / 'none'}\n")
    assert not (tmp_path / "new").exists()


def test_put_makes_the_store(tmp_path: Path) -> None:
    assert process("put", "namespace:prod/x", "--store", tmp_path / "new", input=b"bytes").code == 0
    with holdfast.open(tmp_path / "new", create=False) as store:
        assert store.namespace("prod").get_bytes("x") == b"bytes"


def test_the_storage_can_be_named(tmp_path: Path) -> None:
    place = ["--store", str(tmp_path / "data"), "--storage", "inline"]
    assert run("put", "namespace:a/k", "--text", "x" * 100_000, *place).code == 0
    with holdfast.open(tmp_path / "data") as store:
        store.export_to(tmp_path / "out")
    assert run("import", tmp_path / "out", "--store", tmp_path / "imported", *place[2:]).code == 0
    assert run("sync", tmp_path / "synced", *place).code == 0
    for name in ("data", "imported", "synced"):
        with holdfast.open(tmp_path / name) as store:
            assert store._kernel.storage.name == "holdfast.inline@v1"
            assert store.namespace("a").get("k") == "x" * 100_000
    ended = run("put", "namespace:a/k", "--text", "x", *place[:3], "nowhere")
    assert ended.code == 2
    assert "storage (argument) must be" in ended.err
