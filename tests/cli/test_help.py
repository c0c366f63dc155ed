"""What the command line says of itself, what it loads, and what a shell completes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import holdfast
from holdfast.cli import app

from .running import environment, process, run

GROUP: Any = typer.main.get_command(app)
SINGLE = [
    "tour", "put", "get", "cat", "ls", "stat", "rm", "du", "gc", "verify", "export", "import", "sync", "run", "serve",
]  # fmt: skip
GROUPS = {
    "memo": ["ls", "explain", "forget", "stats"],
    "runs": ["ls", "show", "resume", "cancel", "rm"],
    "token": ["create", "ls", "revoke"],
}


def test_the_commands_are_all_there() -> None:
    for words in ([], ["--help"], ["-h"]):
        ended = run(*words, env={"COLUMNS": "200"})
        assert ended.code == 0
        assert re.findall(r"│ (\w+)  +[A-Z]", ended.out) == [*SINGLE, *GROUPS]
        for code in ("0", "1", "2", "3", "4", "5", "130", "141"):
            assert re.search(rf"^ +{code}  \w", ended.out, re.M), code


def examples(text: str) -> list[list[str]]:
    """The calls that a help text shows, as words."""
    block = text.partition("Examples:")[2]
    lines = [line.strip() for line in block.splitlines()]
    calls = [part.strip() for line in lines for part in re.split(r"\||&&", line)]
    return [shlex.split(call)[1:] for call in calls if call.startswith("holdfast ")]


def find(words: list[str]) -> tuple[Any, list[str]]:
    """The command that these words call, and what is left of them for it."""
    command, left = GROUP, words
    while hasattr(command, "commands"):
        command, left = command.commands[left[0]], left[1:]
    return command, left


@pytest.mark.parametrize("name", [*SINGLE, *(f"{group} {name}" for group, names in GROUPS.items() for name in names)])
def test_every_command_has_examples_that_parse(name: str) -> None:
    command, _ = find(name.split())
    calls = [find(call) for call in examples(command.help)]
    assert any(called is command for called, _ in calls)
    for called, words in calls:
        called.make_context(called.name, words)
    shown = run(*name.split(), "--help", env={"COLUMNS": "200"})
    assert shown.code == 0
    assert "Examples:" in shown.out
    assert "--json" in shown.out
    assert name == "tour" or "--store" in shown.out


def loaded(*words: str) -> set[str]:
    """The modules that there are after a command."""
    source = """
import sys
from holdfast.cli import main
try:
    main()
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""
    ended = subprocess.run(
        [sys.executable, "-c", source, *words], capture_output=True, text=True, env=environment(), check=True
    )
    return set(ended.stderr.split())


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    at = ["--store", str(tmp_path)]
    for words in (["--help"], ["put", "namespace:a/b", "--value", "1", *at], ["ls", *at]):
        modules = loaded(*words)
        assert "typer" in modules
        assert not modules & {"numpy", "pandas", "polars", "pyarrow", "PIL", "cloudpickle"}


def test_a_call_loads_its_own_command_alone(store: holdfast.Store, at: list[str]) -> None:
    every = {f"holdfast.cli.{name}" for name in ("tour", "put", "cat", "exchange", "run", "serve", "memo", "runs")}
    assert loaded("--help") >= every
    assert loaded("ls", *at) & {"holdfast.cli.ls", *every} == {"holdfast.cli.ls"}


@pytest.mark.parametrize(
    "begun, offered",
    [
        ("", {"namespace:dev", "namespace:prod"}),
        ("namespace:p", {"namespace:prod"}),
        ("namespace:prod/", {"namespace:prod/workflow:w", "namespace:prod/a/b", "namespace:prod/model"}),
        ("namespace:prod/m", {"namespace:prod/model"}),
        ("namespace:prod/w", {"namespace:prod/workflow:w"}),
        ("namespace:prod/a/", {"namespace:prod/a/b"}),
        ("namespace:prod/workflow:w/", {"namespace:prod/workflow:w/k%3A1"}),
        ("nothing", set()),
        ("namespace:prod/%", set()),
    ],
)
def test_a_shell_completes_addresses(store: holdfast.Store, begun: str, offered: set[str]) -> None:
    store.namespace("prod").put_many({"model": 1, "a/b": 2})
    store.namespace("prod").workflow("w").put("k:1", 1)
    store.namespace("dev").create()
    for place in ({"HOLDFAST_STORE": store.config.store}, {}):
        words = "cat" if place else f"cat --store {store.config.store}"
        ended = process(env={**completing(f"{words} {begun}"), **place})
        assert (set(ended.out.split()), ended.err) == (offered, "")


def test_completion_without_a_store_is_silent(tmp_path: Path) -> None:
    ended = process(folder=tmp_path, env=completing("ls n"))
    assert (ended.out.strip(), ended.err) == ("", "")


def completing(words: str) -> dict[str, str]:
    """The environment by which the fish shell asks what these words may go on with."""
    return {
        "_HOLDFAST_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": f"holdfast {words}",
    }
