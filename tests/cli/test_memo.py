"""``holdfast memo``: results of memoized functions, from outside of the programs that keep them."""

from __future__ import annotations

import importlib
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import holdfast

from .running import COMMAND, Ended, environment, process, run

MODEL = """
import datetime
import holdfast

print("model is imported")

FACTOR = 2

@holdfast.memoize
def simulate(speed, load=4, place=None):
    return {"peak": speed * load * FACTOR}

@holdfast.memoize(expires=datetime.timedelta(hours=3))
def forecast(city):
    return city.upper()

class Beam:
    @holdfast.memoize(ignore=["self"])
    def simulate(self, x):
        return x

def plain(x):
    return x
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module in the working directory, with memoized functions."""
    (tmp_path / "model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    yield importlib.import_module("model")
    del sys.modules["model"]


@pytest.fixture
def filled(store: holdfast.Store, model: Any) -> holdfast.Store:
    """Two calls of ``simulate``, one of ``forecast``."""
    with store.context():
        model.simulate(3)
        model.simulate(5, load=1, place=("a", "b"))
        model.forecast("Moab")
    return store


def in_process(code: str, store: holdfast.Store, folder: Path) -> None:
    """Run code as a program of its own, whose store this is."""
    at = environment(HOLDFAST_STORE=os.path.abspath(store.config.store), PYTHONDONTWRITEBYTECODE="1")
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=at, check=True, capture_output=True, timeout=60)


def change(folder: Path, before: str, after: str) -> None:
    text = (folder / "model.py").read_text()
    assert before in text
    (folder / "model.py").write_text(text.replace(before, after))


# --- ls and stats -----------------------------------------------------------------------------------------------------


def test_a_store_without_memoized_functions(store: holdfast.Store, at: list[str]) -> None:
    store.namespace("prod").put("x", 1)
    assert run("memo", "ls", *at)[:3] == (0, "", "nothing is memoized here\n")
    assert run("memo", "stats", *at).out == "0 functions: 0 results, 0 B, 0 expired\n"
    ended = run("memo", "ls", "simulate", *at)
    assert (ended.code, ended.err) == (3, "error: no memoized function simulate: there is none\n")


def test_functions_are_found_anywhere(filled: holdfast.Store, model: Any, at: list[str]) -> None:
    span = filled.workspace("bridges").entity("Span.A1")
    local = span.memoize(model.plain)
    local(7)
    lines = run("memo", "ls", "--json", *at).lines
    assert [(line["function"], line["scope"], line["results"], line["codes"]) for line in lines] == [
        ("model.forecast", "memo:model.forecast", 1, 1),
        ("model.simulate", "memo:model.simulate", 2, 1),
        ("model.plain", "workspace:bridges/entity:Span.A1/memo:model.plain", 1, 1),
    ]
    stored = list(filled.scope("memo:model.simulate").list("call/"))
    assert lines[1]["size"] == sum(record.size for record in stored)
    assert lines[1]["newest"] == max(record.updated for record in stored).isoformat().replace("+00:00", "Z")
    text = run("memo", "ls", *at).out.splitlines()
    assert len(text) == 3
    assert text[1].split()[:3] == ["memo:model.simulate", "2", "results"]
    assert text[1].endswith("newest now  1 code")
    below = run("memo", "ls", "--scope", "workspace:bridges", "--json", *at).lines
    assert below == lines[2:]
    assert run("memo", "ls", "--scope", "workspace:none", *at).code == 3
    assert run("memo", "ls", "--scope", "workspace:bridges/key", *at).code == 2
    limited = run("memo", "ls", "--limit", "2", *at)
    assert len(limited.out.splitlines()) == 2
    assert limited.err == "... and more: raise --limit (it was 2)\n"
    assert run("memo", "ls", "--limit", "3", *at).err == ""


@pytest.mark.parametrize("name", ["model.forecast", "model:forecast", "forecast", "memo:model.forecast"])
def test_a_function_has_its_name_an_end_of_it_or_its_scope(filled: holdfast.Store, at: list[str], name: str) -> None:
    (line,) = run("memo", "ls", name, "--json", *at).lines
    assert line["scope"] == "memo:model.forecast"
    assert run("memo", "stats", name, "--json", *at).json["functions"][0]["function"] == "model.forecast"


def test_calls_show_their_arguments(filled: holdfast.Store, at: list[str]) -> None:
    lines = run("memo", "ls", "model.simulate", "--json", *at).lines
    assert [line["arguments"] for line in lines] == [
        {"speed": "5", "load": "1", "place": "('a', 'b')"},
        {"speed": "3", "load": "4", "place": "None"},
    ]
    for line in lines:
        assert filled.scope(line["scope"]).get(line["key"])["peak"] in (10, 24)
        assert line["key"] == f"call/{line['code']}/{line['call']}"
        assert not line["old"]
    text = run("memo", "ls", "model.simulate", *at).out.splitlines()
    assert text[0].startswith(lines[0]["call"][:8])
    assert f"  code {lines[0]['code'][:8]}" in text[0]
    assert text[0].endswith("  (load=1, place=('a', 'b'), speed=5)")
    limited = run("memo", "ls", "model.simulate", "--limit", "1", *at)
    assert limited.out == text[0] + "\n"
    assert "and more" in limited.err
    (line,) = run("memo", "ls", "forecast", *at).out.splitlines()
    assert "ends in 3 h" in line
    assert line.endswith("(city='Moab')")


def test_an_unclear_name_is_told(filled: holdfast.Store, model: Any, at: list[str]) -> None:
    with filled.context():
        model.Beam().simulate(1)
    for command in (["ls"], ["stats"], ["forget", "--all"]):
        ended = run("memo", *command, "simulate", *at)
        assert ended.code == 2
        assert ended.err == "error: simulate may be model.Beam.simulate, model.simulate: name one of them\n"
        ended = run("memo", *command, "nothing", "--json", *at)
        assert ended.code == 3
        assert "there is model.Beam.simulate, model.forecast, model.simulate" in ended.err
    assert len(run("memo", "ls", "Beam.simulate", *at).out.splitlines()) == 1
    for number in range(12):
        filled.scope("memo", f"f{number:02}").create()
    assert "there is f00, f01, f02, f03, f04, f05, f06, f07, f08, f09 and 5 more" in run("memo", "ls", "no", *at).err


def test_old_code_is_marked_and_forgotten(filled: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    change(tmp_path, "FACTOR = 2", "FACTOR = 3")
    time.sleep(0.01)
    in_process("import model; model.simulate(3)", filled, tmp_path)
    lines = run("memo", "ls", "simulate", "--json", *at).lines
    assert [line["old"] for line in lines] == [False, True, True]
    text = run("memo", "ls", "simulate", *at).out.splitlines()
    assert ["old code" in line for line in text] == [False, True, True]
    assert run("memo", "stats", "simulate", "--json", *at).json["functions"][0]["codes"] == 2
    scope = filled.scope("memo:model.simulate")
    assert len(list(scope.keys("code/"))) == 2
    ended = run("memo", "forget", "simulate", "--stale", "--older-than", "1d", *at)
    assert ended.out == "nothing to forget\n"
    ended = run("memo", "forget", "simulate", "--stale", *at)
    assert ended.out.startswith("forgot 2 results of model.simulate (")
    assert [line["call"] for line in run("memo", "ls", "simulate", "--json", *at).lines] == [lines[0]["call"]]
    assert list(scope.keys("code/")) == [f"code/{lines[0]['code']}"]


def test_one_function_in_many_scopes(store: holdfast.Store, model: Any, at: list[str]) -> None:
    for number in range(3):
        store.workspace("w").entity(str(number)).memoize(model.plain)(number)
    lines = run("memo", "ls", "plain", "--json", *at).lines
    assert {line["scope"] for line in lines} == {f"workspace:w/entity:{number}/memo:model.plain" for number in range(3)}
    assert run("memo", "stats", "plain", "--json", *at).json["results"] == 3
    one = "workspace:w/entity:1/memo:model.plain"
    assert run("memo", "forget", one, "--all", "--json", *at).json == {
        "function": "model.plain",
        "results": 1,
        "size": lines[0]["size"],
    }
    assert run("memo", "ls", "plain", "--scope", "workspace:w/entity:2", "--json", *at).lines[0]["scope"][-1] == "n"
    assert run("memo", "forget", "plain", "--all", "--json", *at).json["results"] == 2


def test_stats_add_up(filled: holdfast.Store, model: Any, at: list[str]) -> None:
    brief = filled.memoize(model.plain, expires=timedelta(seconds=0.05))
    for number in range(4):
        brief(number)
    time.sleep(0.1)
    found = run("memo", "stats", "--json", *at).json
    assert (found["results"], found["expired"]) == (3, 4)
    assert found["size"] == sum(facts["size"] for facts in found["functions"])
    plain = found["functions"][1]
    assert plain["function"] == "model.plain"
    assert (plain["results"], plain["expired"], plain["oldest"], plain["newest"]) == (0, 4, None, None)
    text = run("memo", "stats", *at).out.splitlines()
    assert text[-1].startswith("3 functions: 3 results, ")
    assert text[-1].endswith(" 4 expired")
    assert "oldest now  newest now" in text[0]
    assert run("gc", *at).code == 0
    assert run("memo", "stats", "--json", *at).json["expired"] == 0


def test_names_of_others_do_nothing_to_a_terminal(store: holdfast.Store, at: list[str]) -> None:
    odd = store.scope("memo", "m.\u202ef")
    odd.put("call/1/2", 1, tags={"x": "0 \x1b]0;title\x07"})
    odd.put("call/none", 1)
    for words in (["ls"], ["ls", "m.\u202ef"], ["stats"], ["forget", "m.\u202ef", "--older-than", "1d"]):
        ended = run("memo", *words, *at)
        assert ended.code == 0
        assert not any(char in ended.out for char in "\x1b\x07\u202e")


# --- forget -----------------------------------------------------------------------------------------------------------


def test_forget_one_call(filled: holdfast.Store, model: Any, at: list[str]) -> None:
    first, second = (line["call"] for line in run("memo", "ls", "simulate", "--json", *at).lines)
    ended = run("memo", "forget", "simulate", "--call", first[:8], *at)
    assert ended.out.startswith("forgot 1 result of model.simulate (")
    assert [line["call"] for line in run("memo", "ls", "simulate", "--json", *at).lines] == [second]
    ended = run("memo", "forget", "simulate", "--call", first, *at)
    assert (ended.code, ended.err) == (3, f"error: no calls are named {first}: memo ls shows the names\n")
    with filled.context():
        assert not model.simulate.explain(5, load=1, place=("a", "b"))
        assert model.simulate.explain(3)


def test_an_unclear_call_is_not_forgotten(store: holdfast.Store, model: Any, at: list[str]) -> None:
    memo = store.memoize(model.plain)
    for number in range(17):  # more than there are first digits
        memo(number)
    calls = [line["call"] for line in run("memo", "ls", "plain", "--json", *at).lines]
    digit = next(digit for digit in "0123456789abcdef" if sum(call[0] == digit for call in calls) > 1)
    ended = run("memo", "forget", "plain", "--call", digit, *at)
    assert (ended.code, "calls are named" in ended.err) == (3, True)
    assert memo.stats().entries == 17


def test_forget_by_age_or_all(filled: holdfast.Store, model: Any, at: list[str]) -> None:
    assert run("memo", "forget", "simulate", "--older-than", "1h", *at).out == "nothing to forget\n"
    time.sleep(1)
    with filled.context():
        model.simulate(9)
    assert run("memo", "forget", "simulate", "--older-than", "1s", "--json", *at).json["results"] == 2
    assert run("memo", "forget", "simulate", "--all", "--yes", "--json", *at).json["results"] == 1
    assert list(filled.scope("memo:model.simulate")) == []
    assert run("memo", "ls", "simulate", *at) == (0, "", "no results are stored\n", b"")
    with filled.context():
        assert model.simulate(9) == {"peak": 72}
        assert model.simulate.explain(9)


def test_forget_needs_to_know_what(filled: holdfast.Store, at: list[str]) -> None:
    for options in ([], ["--all", "--stale"], ["--all", "--call", "1"], ["--older-than", "soon"]):
        ended = run("memo", "forget", "simulate", *options, *at)
        assert ended.code == 2, options
    assert "give --all, or only some" in run("memo", "forget", "simulate", *at).err
    assert "--older-than takes a time" in run("memo", "forget", "simulate", "--older-than", "soon", *at).err
    assert run("memo", "stats", "simulate", "--json", *at).json["results"] == 2


@pytest.mark.parametrize("answer, code, left", [(b"n\n", 1, 2), (b"y\n", 0, 0), (b"\x04", 1, 2)])
def test_forget_asks_on_a_terminal(filled: holdfast.Store, at: list[str], answer: bytes, code: int, left: int) -> None:
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        [*COMMAND, "memo", "forget", "simulate", "--all", *at],
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, answer)
    _, errors = started.communicate(timeout=60)
    os.close(ours)
    assert b"Forget 2 results of model.simulate (" in errors
    assert started.returncode == code
    assert run("memo", "stats", "simulate", "--json", *at).json["results"] == left


# --- explain ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, hit",
    [
        (["speed=3"], True),
        (["[3]"], True),
        (["[3, 4]", "place=null"], True),
        (['{"load": 4, "speed": 3}'], True),
        (["[3]", '{"load": 4}', "place=None"], True),
        (["speed=5", "load=1", "place=('a', 'b')"], True),
        (["speed=5", "load=1", 'place=["a", "b"]'], False),
        (["speed=3.0"], False),
        (["speed=3", "load=four"], False),
        (["speed='3'"], False),
    ],
)
def test_explain_of_arguments(filled: holdfast.Store, at: list[str], words: list[str], hit: bool) -> None:
    ended = run("memo", "explain", "model:simulate", *words, *at)
    assert (ended.code, ended.err) == (0 if hit else 5, "")
    assert ended.out.startswith("hit: stored at " if hit else "miss: new arguments\n  argument ")
    found = run("memo", "explain", "model:simulate", *words, "--json", *at)
    assert found.code == ended.code
    assert found.json["hit"] is hit
    assert found.json["record"]["scope"] == "memo:model.simulate"


def test_explain_says_what_changed(filled: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    assert run("memo", "explain", "model:Beam.simulate", "[null, 1]", *at).out == "miss: first call\n"
    change(tmp_path, "FACTOR = 2", "FACTOR = 3")
    ended = process("memo", "explain", "model:simulate", "speed=3", *at, folder=tmp_path)
    assert ended.code == 5
    assert ended.out.startswith("miss: changed code\n")
    assert "FACTOR" in ended.out
    assert ended.err == "model is imported\n"
    (known,) = filled.scope("memo:model.simulate").list("code/")
    filled.scope("memo:model.simulate").delete(known.key)
    ended = process("memo", "explain", "model:simulate", "speed=3", *at, folder=tmp_path)
    assert ended.out == "miss: changed code\n  what that code rested on is not known any more\n"
    change(tmp_path, "FACTOR = 3", "FACTOR = 2  # as it was")
    ended = process("memo", "explain", "model:simulate", "speed=3", "--json", *at, folder=tmp_path)
    assert (ended.code, ended.json["hit"]) == (0, True)


def test_explain_of_a_function_with_a_store_of_its_own(store: holdfast.Store, tmp_path: Path) -> None:
    code = "import holdfast\nstore = holdfast.open('store')\n@store.memoize\ndef own(x):\n    return x\n"
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "own.py").write_text(code)
    in_process("import package.own; package.own.own(1)", store, tmp_path)
    assert process("memo", "explain", "package.own:own", "x=1", folder=tmp_path).code == 0
    assert process("memo", "explain", "package.own:own", "x=2", folder=tmp_path).code == 5


WRONG: list[tuple[list[str], int, str]] = [
    (["model:simulate", "speed=3", "power=1"], 2, "model:simulate does not take these arguments: "),
    (["model:simulate"], 2, "speed"),
    (["model:simulate", "3"], 2, "'3' is no argument: write NAME=VALUE"),
    (["model.simulate"], 2, "missing a required argument: 'speed'"),
    (["model.py:simulate"], 2, "no MODULE:FUNCTION"),
    (["model:simulate", "speed=1", "speed=2"], 2, "speed is given twice"),
    (["model:"], 2, "no MODULE:FUNCTION"),
    (["model:plain"], 2, "model has no memoized function plain"),
    (["model:nothing"], 2, "model has no memoized function nothing"),
    (["nowhere:f"], 1, "nowhere cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
    (["broken:f"], 1, "broken cannot be imported: ZeroDivisionError: division by zero"),
    (["leaves:f"], 1, "leaves cannot be imported: SystemExit: 0"),
]


@pytest.mark.parametrize("words, code, message", WRONG, ids=[" ".join(words) for words, _, _ in WRONG])
def test_explain_of_what_is_not_there(
    filled: holdfast.Store, at: list[str], tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    importlib.invalidate_caches()
    ended = run("memo", "explain", *words, *at)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err


# --- the group --------------------------------------------------------------------------------------------------------


def test_the_store_may_be_named_before(filled: holdfast.Store, at: list[str]) -> None:
    wanted = run("memo", "stats", "--json", *at)
    assert wanted.json["results"] == 3
    assert run(*at, "memo", "stats", "--json") == wanted
    assert run("memo", *at, "stats", "--json") == wanted
    assert run("--store", "nowhere", "memo", *at, "stats", "--json") == wanted
    assert run("memo", "stats", "--store", "nowhere", "--json").code == 3


def test_alone_it_shows_its_help() -> None:
    for words in ([], ["--help"], ["-h"]):
        ended: Ended = run("memo", *words)
        assert ended.code == 0
        for command in ("ls", "explain", "forget", "stats"):
            assert f"│ {command} " in ended.out
