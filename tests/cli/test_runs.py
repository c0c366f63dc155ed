"""``holdfast runs``: runs of flows beside those of graphs, looked at and dealt with in one way."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import holdfast
from holdfast import executors

from .flowing import CALLING, COUNTER, FUNCTIONS, begun, instances, until, write
from .running import run

PARENT = "functions: [{id: f, workflow: c.yaml}]\nstates: [{id: a, type: action, action: {function: f}}]\n"


@holdfast.task
def double(number: int) -> int:
    return 2 * number


@pytest.fixture
def three(store: holdfast.Store) -> list[str]:
    """The ids of three runs, the oldest first: of a flow, of a graph, of a flow that failed."""
    prod, dev = store.namespace("prod"), store.namespace("dev")
    prod.flows.register("/counter.yaml", COUNTER)
    prod.flows.run("/counter.yaml", {"by": "me"})
    time.sleep(0.01)  # ids have the time in milliseconds
    with executors.open("threads") as threads:
        dev.run(double(double(1)), executor=threads)
    time.sleep(0.01)
    dev.flows.register("/bad.yaml", "states: [{id: a, type: error, error: no.luck, message: m}]")
    with pytest.raises(holdfast.errors.FlowFailed) as caught:
        dev.flows.run("/bad.yaml")
    return [prod.flows.list()[0].id, dev.runs.get("latest").id, caught.value.instance]


def test_both_kinds_are_listed_the_newest_first(three: list[str], at: list[str]) -> None:
    flow, graph, failed = three
    rows = [line.split("  ") for line in run("runs", "ls", *at).out.splitlines()]
    assert [[cell.strip() for cell in row if cell] for row in rows] == [
        [failed, "failed", "now", "namespace:dev", "/bad.yaml", "no.luck"],
        [graph, "done", "now", "namespace:dev", "2 done"],
        [flow, "complete", "now", "namespace:prod", "/counter.yaml"],
    ] or "s ago" in str(rows)
    found = run("runs", "ls", *at, "--json").lines
    assert [(each["is"], each["id"], each["state"]) for each in found] == [
        ("flow", failed, "failed"), ("graph", graph, "done"), ("flow", flow, "complete"),
    ]  # fmt: skip
    common = {"is", "id", "scope", "state", "begun", "ended"}
    assert all(common <= each.keys() for each in found)
    assert (found[0]["error_code"], found[0]["path"], found[1]["counts"]) == ("no.luck", "/bad.yaml", {"done": 2})
    below = run("runs", "ls", *at, "--scope", "namespace:prod", "--json").lines
    assert [each["id"] for each in below] == [flow]
    limited = run("runs", "ls", *at, "--limit", "1")
    assert limited.out.startswith(failed)
    assert "... and more" in limited.err


def test_a_flow_is_shown(three: list[str], at: list[str]) -> None:
    text = run("runs", "show", three[0][:-1], *at, "--log").out.splitlines()
    assert text[0] == f"{three[0]} complete, namespace:prod"
    assert text[1].startswith("/counter.yaml; begun ")
    assert text[1].endswith("; begun by api")
    assert text[2] == "states a b"
    assert text[3] == 'output {"by": "me", "var": {"x": 1}}'
    assert [line.split(maxsplit=1)[1] for line in text[4:]] == ["a: it is me", "complete"]
    found = run("runs", "show", three[0], *at, "--json", "--log").json
    assert found["output"] == {"by": "me", "var": {"x": 1}}
    assert [(line["level"], line["state"], line["text"]) for line in found["log"]] == [
        ("info", "a", "it is me"), ("info", "", "complete"),
    ]  # fmt: skip
    assert "log" not in run("runs", "show", three[0], *at, "--json").json
    failed = run("runs", "show", "latest", *at).out
    assert f"{three[2]} failed" in failed
    assert "error: no.luck: m\n" in failed


def test_a_graph_has_no_log_and_is_neither_cancelled_nor_resumed(three: list[str], at: list[str]) -> None:
    graph = three[1]
    assert run("runs", "show", graph, *at, "--json").json["nodes"][0]["state"] == "done"
    for words, told in (
        (("show", graph, "--log"), "a run of a graph has no log"),
        (("cancel", graph), "end its program"),
        (("resume", graph), "run its program again"),
    ):
        ended = run("runs", *words, *at)
        assert ended.code == 2
        assert told in ended.err


def test_what_there_is_not(three: list[str], at: list[str]) -> None:
    for words in (("show", "x"), ("cancel", "x"), ("resume", "x"), ("rm", "x")):
        assert run("runs", *words, *at).code == 3
    ended = run("runs", "show", "0", *at)
    assert ended.code == 3
    assert "2 runs have ids that begin with 0: runs ls shows them" in ended.err
    for unnamed in ("show", "cancel", "resume", "rm"):  # where there is one, which nobody named
        ended = run("runs", unnamed, "", *at, "--scope", "namespace:prod")
        assert ended.code == 2
        assert "name a run by its id" in ended.err
    assert run("runs", "cancel", three[0], *at).code == 2
    assert "only one that crashed is resumed" in run("runs", "resume", three[0], *at).err


def test_runs_are_removed(three: list[str], at: list[str], store: holdfast.Store) -> None:
    assert run("runs", "rm", three[2], "latest", *at).out == "removed 1 run\n"
    assert run("runs", "rm", "--older-than", "1d", *at).out == "removed 0 runs\n"
    assert run("runs", "rm", "--older-than", "0s", *at, "--json").json == {"runs": [three[1], three[0]]}
    assert run("runs", "ls", *at).out == ""
    assert store.namespace("prod").workflow("/counter.yaml").get_bytes("x") == b"1"  # what they stored stays


def test_the_latest_is_no_subflow(store: holdfast.Store, at: list[str]) -> None:
    flows = store.namespace("prod").flows
    flows.register("/c.yaml", "states: [{id: a, type: noop}]")
    flows.register("/p.yaml", PARENT)
    flows.run("/p.yaml")
    assert run("runs", "show", "latest", *at, "--json").json["path"] == "/p.yaml"
    assert [each["path"] for each in run("runs", "ls", *at, "--json").lines if each["lineage"]] == ["/c.yaml"]
    marked = [line.endswith("  /c.yaml, a subflow") for line in run("runs", "ls", *at).out.splitlines()]
    assert sorted(marked) == [False, True]


# --- runs of other processes ------------------------------------------------------------------------------------------


def test_one_that_goes_on_is_followed_and_stays(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    write(tmp_path, flow_yaml=CALLING, functions_toml=FUNCTIONS)
    with begun(tmp_path, "run", "flow.yaml", "--functions", "functions.toml", *at) as process:
        until(lambda: (tmp_path / "pid").exists())
        shown = run("runs", "ls", *at).out
        assert "  pending  " in shown
        assert shown.endswith("/flow.yaml  at call\n")
        ended = run("runs", "rm", "latest", *at)
        assert ended.code == 2
        assert "goes on: holdfast runs cancel" in ended.err
        assert run("runs", "rm", "--older-than", "0s", *at).out == "removed 0 runs\n"
        with begun(tmp_path, "runs", "show", "latest", "--follow", "--json", *at) as follower:
            assert follower.stderr is not None
            assert follower.stdout is not None
            assert json.loads(follower.stderr.readline())["text"] == "calling"
            (tmp_path / "go").touch()
            told, out = follower.stderr.read(), follower.stdout.read()
        assert json.loads(out)["output"] == {"said": "gone"}
        assert [json.loads(line)["text"] for line in told.splitlines()] == ["waiting", "complete"]
        assert json.loads(process.communicate(timeout=20)[0]) == {"said": "gone"}


def test_one_that_goes_on_is_cancelled(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    write(tmp_path, flow_yaml=CALLING, functions_toml=FUNCTIONS)
    with begun(tmp_path, "run", "flow.yaml", "--functions", "functions.toml", *at) as process:
        until(lambda: (tmp_path / "pid").exists())
        ended = run("runs", "cancel", "latest", *at, "--json")
        assert (ended.code, ended.json["state"]) == (0, "cancelled")
        assert process.wait(20) == 1
    assert instances(store) == ["cancelled"]


def test_one_that_crashed_is_cancelled(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    write(tmp_path, flow_yaml=CALLING, functions_toml=FUNCTIONS)
    with begun(tmp_path, "run", "flow.yaml", "--functions", "functions.toml", *at) as process:
        until(lambda: (tmp_path / "pid").exists())
        process.kill()
        process.wait(20)
    shown = run("runs", "show", "latest", *at).out
    assert "crashed" in shown
    assert "holdfast runs resume" in shown
    assert run("runs", "cancel", "latest", *at).code == 0
    assert instances(store) == ["cancelled"]
    assert run("runs", "resume", "latest", *at).code == 2
