"""How functions are configured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import ClosedError, InvalidArgumentError
from holdfast.flows.functions import Functions
from holdfast.flows.functions.settings import Limits, Service, find

from .acting import World, failing


def test_a_file_of_them(tmp_path: Path) -> None:
    path = tmp_path / "functions.toml"
    path.write_text(
        '[functions."acme/thumb:v1"]\nurl = "http://127.0.0.1:9/x?y=1"\ntimeout = 5\n'
        '[functions.count]\ncommand = ["sh", "count.sh"]\nenvironment = ["A", "B=1"]\n'
        '[functions.line]\ncommand = "cat | wc"\nshell = true\n'
        '[actions]\ndoor = "127.0.0.1:0"\nfolder = "work"\nunpacked = 5\ntimeout = 0.5\n'
    )
    functions = Functions.from_toml(path)
    assert functions._targets["acme/thumb:v1"] == Service("http://127.0.0.1:9/x?y=1", 5.0)
    assert functions._targets["count"] == (("sh", "count.sh"), ("A", "B=1"), str(tmp_path), None)
    assert functions._targets["line"] == (("/bin/sh", "-c", "cat | wc"), (), str(tmp_path), None)
    assert functions._limits == Limits(unpacked=5, timeout=0.5)
    assert functions._folder == str(tmp_path / "work")
    assert [functions.check(name) for name in ("acme/thumb:v1", "count", "line")] == [None] * 3


@pytest.mark.parametrize(
    ("configured", "asked", "found"),
    [
        ("acme/thumb", "acme/thumb", True),
        ("acme/thumb", "acme/thumb:v2", True),
        ("acme/thumb", "acme/thumb@sha256:0123", True),
        ("acme/thumb", "acme/thumb:v2@sha256:0123", True),
        ("acme/thumb:v1", "acme/thumb:v1", True),
        ("acme/thumb:v1", "acme/thumb:v2", False),
        ("acme/thumb:v1", "acme/thumb", False),
        ("acme/thumb", "other/acme/thumb", False),
        ("localhost:5000/iv-getter", "localhost:5000/iv-getter:v1", True),
        ("localhost:5000/iv-getter", "localhost:5000/iv-getter", True),
        ("localhost", "localhost:5000/iv-getter", False),
        ("/services/thumb.yaml", "/services/thumb.yaml", True),
        ("thumb.yaml", "/services/thumb.yaml", False),
        ("acme/thumb", "", False),
    ],
)
def test_d17_names_with_and_without_a_tag(configured: str, asked: str, found: bool) -> None:
    target = Service("http://127.0.0.1:9/", None)
    assert find({configured: target}, asked) == (target if found else None)


def test_the_exact_name_goes_first() -> None:
    one, two = Service("http://127.0.0.1:1/", None), Service("http://127.0.0.1:2/", None)
    targets: dict[str, Any] = {"x": one, "x:v1": two}
    assert [find(targets, name) for name in ("x", "x:v1", "x:v2")] == [one, two, one]


def test_an_unknown_function(world: World) -> None:
    functions = world.functions({"one": {"command": ["true"]}})
    assert functions.check("one") is None
    told = functions.check("acme/two:v1") or ""
    assert '[functions."acme/two:v1"]' in told
    assert "one" in told
    with failing("holdfast.function.unknown", "acme/two:v1"):
        functions.call(world.action("acme/two:v1"))
    assert "none yet" in (Functions.from_settings({}).check("x") or "")


URL, COMMAND, EITHER, NUMBER = "url is", "command is a list", "give either", "Expected `float"

FUNCTIONS: list[tuple[Any, str]] = [
    ([], "functions: Expected `object`"),
    ({"": {"url": "http://x/"}}, "functions"),
    ({" f": {"url": "http://x/"}}, "functions"),
    ({1: {"url": "http://x/"}}, "functions"),
    ({"f": "http://x/"}, "'f': Expected `object`"),
    ({"f": {}}, EITHER),
    ({"f": {"url": "http://x/", "command": ["x"]}}, EITHER),
    ({"f": {"url": "http://x/", "shell": True}}, EITHER),
    ({"f": {"url": "http://x/", "environment": ["A"]}}, EITHER),
    ({"f": {"url": "x"}}, URL),
    ({"f": {"url": "ftp://x/"}}, URL),
    ({"f": {"url": "http:///x"}}, URL),
    ({"f": {"url": "http://x:y/"}}, URL),
    ({"f": {"url": "http://x:0/"}}, URL),
    ({"f": {"url": "http://user:pass@x/"}}, URL),
    ({"f": {"url": "http://x/#y"}}, URL),
    ({"f": {"url": "http://x/ y"}}, URL),
    ({"f": {"url": "http://x/\r\ny"}}, URL),
    ({"f": {"url": "http://[x/"}}, URL),
    ({"f": {"url": ""}}, "'f': Expected `str` matching"),
    ({"f": {"url": 1}}, "'f': Expected `str"),
    ({"f": {"command": ["x"], "env": []}}, "'f': Object contains unknown field `env`"),
    ({"f": {"command": "x y"}}, COMMAND),
    ({"f": {"command": []}}, COMMAND),
    ({"f": {"command": [1]}}, "'f': Expected `str`"),
    ({"f": {"command": ["x", "\0"]}}, "'f': Expected `str` matching"),
    ({"f": {"command": [""]}}, "'f': Expected `str` matching"),
    ({"f": {"command": ["x"], "shell": True}}, COMMAND),
    ({"f": {"command": "", "shell": True}}, "'f': Expected `str` matching"),
    ({"f": {"command": "x", "shell": 1}}, "'f': Expected `bool`"),
    ({"f": {"command": ["x"], "timeout": 0}}, NUMBER),
    ({"f": {"command": ["x"], "timeout": "5"}}, NUMBER),
    ({"f": {"command": ["x"], "timeout": True}}, NUMBER),
    ({"f": {"url": "http://x/", "timeout": float("inf")}}, NUMBER),
    ({"f": {"url": "http://x/", "timeout": float("nan")}}, NUMBER),
    ({"f": {"command": ["x"], "environment": "A"}}, "'f': Expected `array`"),
    ({"f": {"command": ["x"], "environment": ["A B"]}}, "environment has"),
    ({"f": {"command": ["x"], "environment": ["=1"]}}, "environment has"),
    ({"f": {"command": ["x"], "environment": ["DIREKTIV_TEMPDIR=/"]}}, "environment has"),
    ({"f": {"command": ["x"], "environment": ["A=\0"]}}, "'f': Expected `str` matching"),
]


@pytest.mark.parametrize(("settings", "told"), FUNCTIONS)
def test_functions_that_are_not_legal(settings: Any, told: str) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(told)):
        Functions.from_settings(settings)


@pytest.mark.parametrize(
    ("actions", "told"),
    [
        ({"port": 1}, "actions: Object contains unknown field `port`"),
        ({"door": 8889}, "host and a port"),
        ({"door": ":8889"}, "host and a port"),
        ({"door": "localhost"}, "host and a port"),
        ({"door": "x:99999"}, "host and a port"),
        ({"door": "http://x:1"}, "host and a port"),
        ({"folder": ""}, "actions: folder"),
        ({"folder": 1}, "actions: folder"),
        ({"folder": "a\0b"}, "actions: folder"),
        ({"unpacked": 0}, "actions: Expected `int` >= 1 - at `$.unpacked`"),
        ({"entries": 1.5}, "actions: Expected `int`"),
        ({"answer": True}, "actions: Expected `int`"),
        ({"timeout": -1}, "actions: Expected `float`"),
    ],
)
def test_actions_that_are_not_legal(actions: Any, told: str) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(told)):
        Functions.from_settings({}, actions)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "needs tables"),
        ("[function.x]\nurl = 'http://x/'", "needs tables"),
        ("functions = 1", "needs tables"),
        ("actions = 1\n[functions]", "needs tables"),
        ("[functions", "not valid TOML"),
        ("[functions.x]\nurl = 'x'", "function 'x': url is"),
        ("[functions]\n[actions]\ndoor = 1", "host and a port"),
    ],
)
def test_files_that_are_not_legal(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "functions.toml"
    path.write_text(text)
    with pytest.raises(InvalidArgumentError, match=told) as caught:
        Functions.from_toml(path)
    assert str(path) in str(caught.value)
    with pytest.raises(InvalidArgumentError, match="cannot be read"):
        Functions.from_toml(tmp_path / "none.toml")


def test_closed_functions(world: World) -> None:
    functions = world.functions({"f": {"command": ["true"]}})
    with functions:
        functions.call(world.action())
    functions.close()
    with pytest.raises(ClosedError):
        functions.call(world.action())
