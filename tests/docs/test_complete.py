"""The reference pages leave nothing out: errors, commands and their options, serializers, tables of the catalog."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from holdfast import errors
from holdfast.cli import app
from holdfast.cli.commands import exit_code
from holdfast.config import find_config
from holdfast.registry import BUILT_IN, BUILT_IN_STREAMS
from tests.docs.pages import DOCS

ROW = re.compile(
    r"^\| (?P<indent>(?:&nbsp; )*)`(?P<name>\w+)` \| (?:`(?P<builtin>\w+)`)? ?\| "
    r"`(?P<code>\w+)` \| (?P<exit>\d+) \| \S.* \|$",
    re.MULTILINE,
)


def _text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_errors_are_as_the_page_says() -> None:
    rows = {found["name"]: found for found in ROW.finditer(_text("errors.md"))}
    assert set(rows) == set(errors.__all__)
    above = errors.HoldfastError
    for name, row in rows.items():
        kind = getattr(errors, name)
        if not row["indent"]:
            above = kind
        assert issubclass(kind, above)
        assert bool(row["indent"]) == (kind is not above)
        assert kind.code == row["code"]
        assert exit_code(kind("message")) == int(row["exit"]), name
        bases = [base for base in kind.__bases__ if base is not Exception]
        builtins = [base.__name__ for base in bases if not issubclass(base, errors.HoldfastError)]
        assert builtins == ([row["builtin"]] if row["builtin"] else [])


def _commands() -> list[tuple[str, Any]]:
    return [("", get_command(app)), *_below(get_command(app))]


def _below(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """The commands of a group by what is typed for them, those of its groups included."""
    for name, command in sorted(group.commands.items()):
        yield above + name, command
        if hasattr(command, "commands"):
            yield from _below(command, f"{above}{name} ")


def test_there_are_commands() -> None:
    names = {name for name, _ in _commands()}
    assert {"tour", "put", "get", "cat", "ls", "stat", "rm", "du", "gc", "verify", "memo", "memo explain"} <= names


@pytest.mark.parametrize(("name", "command"), _commands(), ids=[name or "holdfast" for name, _ in _commands()])
def test_the_command_line_page_names_everything(name: str, command: Any) -> None:
    text = _text("cli.md")
    if name:
        sections = re.split(r"^###? ", text, flags=re.MULTILINE)
        (section,) = [part for part in sections if part.startswith(f"`{name}`\n")]
    else:
        section = text
    for parameter in command.params:
        for option in [*parameter.opts, *parameter.secondary_opts]:
            if option.startswith("-") and option != "--help":
                assert re.search(rf"`{re.escape(option)}[`\s]", section + text.split("\n## ")[0]), f"{name} {option}"


def test_the_value_page_names_every_serializer() -> None:
    for page in ("value.md", "format.md"):
        assert [name for name in BUILT_IN if f"`{name}`" not in _text(page)] == []
    for page in ("streams.md", "format.md"):
        assert [name for name in BUILT_IN_STREAMS if f"`{name}`" not in _text(page)] == []


def test_the_configuration_page_gives_the_defaults() -> None:
    text = _text("configuration.md")
    config = find_config("data")
    for setting in ("storage", "durability", "inline", "timeout", "cache", "cache_size"):
        value = getattr(config, setting)
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{setting}` ")]
        words = {"storage": "the one that the store", "cache": "~/.cache/holdfast", "cache_size": "10 GB"}
        shown = words.get(setting, shown)
        assert shown in row.split("|")[4], row
        assert f"`HOLDFAST_{setting.upper()}`" in row
