"""How commands end: exit codes, errors, closed pipes, Ctrl-C, and what a real process shows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest

import holdfast
from holdfast import errors
from holdfast.cli.commands import exit_code

from .running import COMMAND, environment, process, run

READING = [
    ["ls"],
    ["stat"],
    ["du"],
    ["gc"],
    ["verify"],
    ["cat", "namespace:a/b"],
    ["get", "namespace:a/b"],
    ["rm", "namespace:a/b"],
]


@pytest.mark.parametrize("words", READING, ids=[words[0] for words in READING])
def test_nothing_but_put_makes_a_store(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("none", "empty"):
        ended = run(*words, "--store", tmp_path / folder)
        assert ended == (3, "", f"error: no store in {tmp_path / folder}: holdfast put makes one\n", b"")
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_no_store_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run("ls")
    assert ended.code == 3
    assert ended.err.startswith("error: no store is named: give --store FOLDER, set HOLDFAST_STORE")


def test_where_the_store_is_named(store: holdfast.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.namespace("prod").put("x", 1)
    place = store.config.store
    (tmp_path / "deep/er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep/er")
    found = "namespace:prod/x\n"
    assert run("ls", "-R", "--keys", "--store", place).out == found
    assert run("--store", place, "ls", "-R", "--keys").out == found
    assert run("--store", "elsewhere", "ls", "-R", "--keys", "--store", place).out == found
    assert run("ls", "-R", "--keys", env={"HOLDFAST_STORE": place}).out == found
    assert run("--store", place, "ls", "-R", "--keys", env={"HOLDFAST_STORE": "elsewhere"}).out == found
    (tmp_path / "holdfast.toml").write_text('store = "store"\n')
    assert run("ls", "-R", "--keys").out == found
    (tmp_path / "holdfast.toml").write_text("store = 3")
    assert run("ls").code == 2


def test_a_folder_of_other_things_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    ended = run("put", "namespace:a/b", "--value", "1", "--store", tmp_path)
    assert ended.code == 1
    assert "holds other things" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    assert run("put", "namespace:a/b", "--value", "1", "--store", tmp_path / "letter.txt").code == 1


CODES = {
    "NotFoundError": 3,
    "StoreNotFoundError": 3,
    "ValueLost": 1,
    "ConflictError": 4,
    "ExistsError": 4,
    "ScopeDroppedError": 4,
    "LeaseLost": 4,
    "BusyError": 4,
    "InvalidArgumentError": 2,
    "InvalidKeyError": 2,
    "InvalidScopeError": 2,
    "DefinitionError": 2,
}


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_has_its_exit_code(name: str) -> None:
    assert exit_code(getattr(errors, name)("m")) == CODES.get(name, 1)


def test_errors_as_json(store: holdfast.Store, at: list[str]) -> None:
    cases = [
        (["stat", "namespace:a/b"], "not_found", 3),
        (["stat", "b"], "invalid_scope", 2),
        (["ls", "--bogus"], "usage", 2),
        (["cat"], "usage", 2),
        (["rm", "namespace:a/b"], "not_found", 3),
        (["put", "namespace:a/b", "--value", "1", "--if-version", "3"], "conflict", 4),
    ]
    for words, name, code in cases:
        ended = run(*words, "--json", *at)
        told = json.loads(ended.err)["error"]
        assert (ended.code, ended.out, told["code"], told["exit"]) == (code, "", name, code)
        assert told["message"]


@pytest.mark.parametrize("words", [["lss"], ["ls", "--bogus"], ["cat"], ["ls", "a:b", "c:d"], ["--bogus"]])
def test_a_call_that_is_not_well_formed(words: list[str]) -> None:
    ended = run(*words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert "--help" in ended.err


def test_what_nobody_foresaw_is_one_line_too(tmp_path: Path) -> None:
    """A catalog that is no database is such a case, or has an error of its own: never a traceback."""
    (tmp_path / "catalog.sqlite").write_bytes(b"this is no database" * 1000)
    ended = process("ls", "--store", tmp_path)
    assert ended.code == 1
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    debugged = process("ls", "--store", tmp_path, env={"HOLDFAST_DEBUG": "1"})
    assert debugged.code == 1
    assert debugged.err.startswith("Traceback")
    assert debugged.err.endswith(ended.err)


def test_the_console_script_is_there(store: holdfast.Store, at: list[str]) -> None:
    script = Path(sysconfig.get_path("scripts")) / "holdfast"
    ended = subprocess.run([script, "--version"], capture_output=True, text=True, env=environment(), check=True)
    assert ended.stdout == f"holdfast {holdfast.__version__}\n"
    subprocess.run([script, "put", "namespace:a/b", *at], input=b"bytes", env=environment(), check=True)
    shown = subprocess.run([script, "cat", "namespace:a/b", *at], capture_output=True, env=environment(), check=True)
    assert (shown.stdout, shown.stderr) == (b"bytes", b"")


def test_a_closed_pipe_is_quiet(store: holdfast.Store, at: list[str]) -> None:
    store.namespace("a").put_chunks("big", [b"line\n" * 1_000_000])
    store.namespace("a").put_many((f"{number:06}", number) for number in range(30_000))
    for words in (["cat", "namespace:a/big"], ["ls", "namespace:a", "--keys"], ["ls", "namespace:a", "--json"]):
        started = subprocess.Popen(
            [*COMMAND, *words, *at], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        assert started.stdout is not None
        assert started.stderr is not None
        assert len(started.stdout.read(5)) == 5
        started.stdout.close()
        assert started.stderr.read() == b""
        started.stderr.close()
        assert started.wait(timeout=60) == 141


def test_a_full_disk_behind_stdout_is_told(store: holdfast.Store, at: list[str]) -> None:
    store.namespace("a").put("x", 1)
    for words in (["cat", "namespace:a/x"], ["ls", "namespace:a"]):
        with open("/dev/full", "wb") as full:
            ended = subprocess.run(
                [*COMMAND, *words, *at], stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), check=False
            )
        assert (ended.returncode, ended.stderr) == (1, "error: No space left on device\n")


def test_ctrl_c_stores_nothing(store: holdfast.Store, at: list[str]) -> None:
    started = subprocess.Popen(
        [*COMMAND, "put", "namespace:a/x", *at], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert started.stdin is not None
    assert started.stderr is not None
    started.stdin.write(os.urandom(4_000_000))  # more than a pipe holds: when it is through, the put has begun
    started.stdin.flush()
    time.sleep(0.5)  # until it waits for more
    started.send_signal(signal.SIGINT)
    errors_ = started.stderr.read()
    started.stdin.close()
    started.stderr.close()
    assert (started.wait(timeout=60), errors_) == (130, b"interrupted\n")
    assert not store.namespace("a").exists("x")


def test_progress_is_only_for_a_terminal(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    import pty

    with open(tmp_path / "big", "wb") as file:
        file.truncate(64 << 20)
    silent = process("put", "namespace:a/big", tmp_path / "big", *at)
    assert (silent.code, silent.err) == (0, "")
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        [*COMMAND, "get", "namespace:a/big", tmp_path / "out", "--json", *at],
        stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment(TERM="xterm"),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:
        pass  # the other side of a terminal is gone
    os.close(ours)
    out, _ = started.communicate(timeout=60)
    assert json.loads(out) == {"path": str(tmp_path / "out"), "size": 64 << 20}
    assert b"big" in shown
