"""``holdfast runs``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import executors
from holdfast.errors import TaskFailed

from ..cli.running import run
from .samples import add, boom, plain


def lines(*words: str) -> list[Any]:
    return [json.loads(line) for line in run(*words, "--json").out.splitlines()]


def test_runs(scope: holdfast.Scope, threads: executors.Executor, log: Path, tmp_path: Path) -> None:
    at = ("--store", str(tmp_path / "store"))
    assert run("runs", "ls", *at).err == "no runs are recorded here\n"
    scope.run(add(add(1, 2, log).set(name="raw"), 3, log), executor=threads)
    with pytest.raises(TaskFailed):
        scope.run(plain(boom(log)), executor=threads)
    second, first = lines("runs", "ls", *at)
    assert (first["state"], first["counts"], first["scope"]) == ("done", {"done": 2}, str(scope))
    assert (second["state"], second["counts"]) == ("failed", {"failed": 1, "skipped": 1})
    text = run("runs", "ls", *at, "--limit", "1")
    assert text.out.split("  ")[1] == "failed"
    assert text.out.endswith(f"  {scope}  1 skipped, 1 failed\n")
    assert "... and more" in text.err

    shown = run("runs", "show", first["id"][:-2], *at).out.splitlines()
    assert shown[0] == f"{first['id']} done, {scope}"
    assert "threads; reuse inputs; process" in shown[1]
    assert shown[2] == "asked for add_0001"
    assert shown[3].split()[:3] == ["done", "raw", "add"]
    found = json.loads(run("runs", "show", "latest", *at, "--follow", "--json").out)
    assert [(node["name"], node["state"], node["error"]) for node in found["nodes"]] == [
        ("boom_0001", "failed", "ValueError: no such luck"),
        ("plain_0001", "skipped", None),
    ]
    assert run("runs", "show", "2", *at).code == 3
    assert run("runs", "show", "x", *at, "--scope", str(scope)).code == 3

    assert run("runs", "rm", *at).code == 2
    assert run("runs", "rm", *at, "--older-than", "1d").out == "removed 0 runs\n"
    assert run("runs", "rm", *at, second["id"]).out == "removed 1 run\n"
    assert json.loads(run("runs", "rm", *at, "--older-than", "0s", "--json").out) == {"runs": [first["id"]]}
    assert lines("runs", "ls", *at) == []
    assert scope.results.names() == ["add_0001", "raw"]


def test_a_run_that_goes_on_stays(scope: holdfast.Scope, threads: executors.Executor, tmp_path: Path) -> None:
    ended = []

    def watch(status: Any) -> None:
        if not status.done:
            ended.append(run("runs", "rm", "latest", "--store", str(tmp_path / "store")))

    scope.run(plain(1), executor=threads, progress=watch)
    assert ended[0].code == 2
    assert "goes on: end its program, or press Ctrl-C there" in ended[0].err
