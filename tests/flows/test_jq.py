"""``jq(...)`` and the child processes that evaluate it: D7, D13."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from holdfast.flows import expressions
from holdfast.flows.evaluation import children
from holdfast.flows.expressions import Data, template
from holdfast.flows.failures import Failure

from .conftest import Place


def gives(text: Any, data: Any = None) -> Any:
    (found,) = Data({"n": 1, "s": "x", "l": [1, {"a": None}]} if data is None else data).values(template(text))
    return found


@pytest.mark.parametrize(
    "text, value",
    [
        ("jq(.n)", 1),
        ("  jq(.l)  ", [1, {"a": None}]),
        ("jq( .s )", "x"),
        ("a jq(.s) b", "a x b"),
        ("jq(.n)jq(.s)", "1x"),
        ("jq(.l)!", '[1,{"a":null}]!'),
        ("  plain  ", "plain"),
        ("", ""),
        ({"a": ["jq(.n)", {"b": "jq(.s)"}], "jq(.n)": 2}, {"a": [1, {"b": "x"}], "jq(.n)": 2}),
        ('jq("a)b")', "a)b"),
        ('jq("\\(.n + (1))")', "2"),
        ('jq("\\")")', '")'),
        ("jq([.l[] | numbers] # a comment with )\n | length)", 1),
        ("jq({a: (.n)})", {"a": 1}),
        (5, 5),
        (None, None),
        ([True, None, 1.5], [True, None, 1.5]),
        ('jq("é€𝄞")', "é€𝄞"),
        ("jq(def f: .n + 1; f)", 2),
        ("jq(false)", False),
        ("jq([])", []),
    ],
    ids=str,
)
def test_d07_what_jq_gives(text: Any, value: Any) -> None:
    found = gives(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "program",
    [".none", "null", "empty", "1, 2", ".l[]", ".s + 1", "error", "error(\"x\")", ".s | fromjson", "halt", "input",
     "repeat(1)", "range(infinite)", ".[0]", "[limit(3; repeat(1))][]", "$ENV.PATH", "env.HOME"],
)  # fmt: skip
def test_d07_the_result_is_one_value_and_not_null(program: str) -> None:
    with pytest.raises(Failure) as caught:
        gives(f"jq({program})")
    assert caught.value.code == "direktiv.jq.badCommand"
    assert program.split("(")[0] in caught.value.message


def test_d07_numbers_keep_their_digits() -> None:
    data = {"n": 12345678901234567890123, "f": 0.1}
    assert Data(data).values(template("jq(.)")) == [data]
    assert Data(data).values(template("jq(.n) jq(.f)")) == ["12345678901234567890123 0.1"]


def test_d07_there_is_no_environment_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "m.jq").write_text('module {"name": "m"}; def a: 1;')
    assert gives("jq([env, $ENV])") == [{}, {}]
    with pytest.raises(Failure):
        gives(f'jq("{tmp_path}/m" | modulemeta)')
    assert gives("jq([get_search_list])") == [[]]


@pytest.mark.parametrize(
    "program",
    [
        "def f: f; f",
        "[range(1e9)] | length",
        "last(range(1e12))",
        '"x" * 1e9 | length',
        "[limit(1e8; repeat(1))] | add",
    ],
)
def test_what_hangs_or_grows_is_ended_and_the_next_one_runs(program: str) -> None:
    began = time.monotonic()
    with pytest.raises(Failure) as caught:
        Data({}, 0.5).values(template(f"jq({program})"))
    assert caught.value.code == "direktiv.jq.badCommand"
    assert time.monotonic() - began < 20
    assert gives("jq(.n)") == 1


def test_large_data_goes_through() -> None:
    data = {"list": [{"n": n, "text": "x" * 100} for n in range(20_000)]}
    assert gives("jq(.list | length)", data) == 20_000
    assert gives("jq(.list)", data) == data["list"]


def test_deep_data() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    assert gives("jq(.a)", {"a": deep}) == deep
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Failure) as caught:
        gives("jq(.a)", {"a": deep})
    assert caught.value.code == "direktiv.jq.badCommand"


def test_threads_have_children_of_their_own_and_few_are_kept() -> None:
    found: list[Any] = []

    def work(n: int) -> None:
        found.append(gives(f"jq(.n + {n})"))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [n + 1 for n in range(40)]
    assert len(_children(os.getpid())) <= children._MOST


def test_what_one_thread_forgets_another_one_may_be_about_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data, fill = Data({"n": 1}), expressions._fill

    def late(shape: Any, result: Any) -> Any:
        data.forget()
        return fill(shape, result)

    monkeypatch.setattr(expressions, "_fill", late)
    assert data.values(template("jq(.n)")) == [1]


def test_files_of_children_may_have_any_number() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, limits[1]))
    others = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while others[-1] < 1030:
            others.append(os.dup(others[0]))
        asked = children.Children("jq", "jq")
        assert asked.ask([".n"], b'{"n": 1}', 5) == [[1]]
        asked.close()
    finally:
        for other in others:
            os.close(other)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def _children(process: int) -> list[int]:
    found = subprocess.run(
        ["ps", "-ww", "--ppid", str(process), "-o", "pid=,args="], capture_output=True, text=True, check=True
    )
    return [int(line.split()[0]) for line in found.stdout.splitlines() if "child.py jq" in line]


PROGRAM = """
import os, sys, time
from holdfast.flows.expressions import Data, template
print(Data({"n": 1}).values(template("jq(.n)")), flush=True)
if sys.argv[1] == "fork":
    child = os.fork()
    print(Data({"n": 2}).values(template("jq(.n)")), flush=True)
    if child:
        os.waitpid(child, 0)
        print(Data({"n": 3}).values(template("jq(.n)")), flush=True)
    os._exit(0)
if sys.argv[1] == "hang":
    Data({}, 1.5).values(template("jq(last(range(1e15)))"))
time.sleep(60)
"""


def test_children_survive_a_fork() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "fork"], capture_output=True, text=True, timeout=60, check=True
    )
    assert sorted(done.stdout.split()) == ["[1]", "[2]", "[2]", "[3]"]


@pytest.mark.parametrize("what", ["sleep", "hang"])
def test_children_end_with_a_program_that_is_killed(what: str) -> None:
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, what], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    try:
        assert program.stdout.readline() == "[1]\n"
        time.sleep(0.2)
        children = _children(program.pid)
        assert children
    finally:
        program.kill()
        program.communicate()
    end = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_endless_program_fails_its_flow_and_no_other(place: Place) -> None:
    place.engine.limits = place.engine.limits._replace(jq=0.5)
    assert place.code("- id: a\n  type: noop\n  transform: jq(last(range(1e15)))\n") == "direktiv.jq.badCommand"
    assert place.states("- id: a\n  type: noop\n  transform: 'jq({a: 1})'\n") == {"a": 1}


def test_results_are_json_whatever_they_are() -> None:
    value = gives("jq([nan, infinite, -infinite, 1e1000])")
    assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_what_is_looked_up_beforehand_fails_only_who_needs_it(place: Place) -> None:
    """The fields of the next state are evaluated with the transform before it."""
    states = "- {id: a, type: noop, transform: 'jq({n: 1})', transition: b}\n"
    states += "- {id: b, type: noop, transform: 'jq({m: (.n | error)})', catch: [{error: bad, transition: c}]}\n"
    states += "- {id: c, type: noop, log: jq(.error.code), transform: 'jq({n: .n})'}\n"
    assert place.states(states) == {"n": 1}
    assert place.log() == [
        "caught direktiv.jq.badCommand: jq({m: (.n | error)}): 1",
        "direktiv.jq.badCommand",
        "complete",
    ]


def test_what_hangs_in_the_next_state_does_not_fail_this_one(place: Place) -> None:
    place.engine.limits = place.engine.limits._replace(jq=0.5)
    states = "- {id: a, type: noop, transform: 'jq({n: 1})', transition: b}\n"
    states += "- {id: b, type: noop, transform: 'jq(last(range(1e15)))', catch: [{error: bad}]}\n"
    assert place.states(states)["n"] == 1


def test_the_time_is_that_of_each_state(place: Place) -> None:
    states = (
        "- {id: a, type: noop, log: jq(now), transition: b}\n- {id: b, type: delay, duration: PT0.3S, log: jq(now), "
    )
    states += "transition: c}\n- {id: c, type: setter, log: jq(now), transform: 'jq({n: now})', "
    states += "variables: [{key: x, scope: namespace, value: jq(now)}]}\n"
    found = place.states(states)["n"]
    first, second, third = (float(line) for line in place.log()[:3])
    assert first <= second <= third - 0.3
    assert abs(found - third) < 0.1
