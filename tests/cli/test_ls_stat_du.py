"""``holdfast ls``, ``stat`` and ``du``."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

import holdfast

from .running import run


@pytest.fixture
def filled(store: holdfast.Store) -> holdfast.Store:
    flow = store.namespace("prod").workflow("forecast")
    flow.put("limits", {"speed": 3}, tags={"stage": "eval"})
    flow.put("count", 7)
    flow.put_chunks("report.pdf", [b"x" * 2000], content_type="application/pdf", tags={"stage": "final"})
    flow.put("brief", "soon gone", expires=timedelta(days=3, hours=1))
    flow.artifact("run-1").write("a.txt", "hello")
    store.namespace("empty").create()
    return store


def test_the_store_is_a_tree(filled: holdfast.Store, at: list[str]) -> None:
    ended = run("ls", *at)
    size = sum(record.size for record in filled.scope("namespace:prod/workflow:forecast").list())
    assert ended == (
        0,
        "├── namespace:empty  0 records, 0 B\n"
        "└── namespace:prod  0 records, 0 B\n"
        f"    └── workflow:forecast  4 records, {size / 1024:.1f} KB\n"
        "        └── artifact:run-1  1 record, 5 B\n",
        "",
        ended.raw,
    )
    assert run("ls", "/", *at).out == ended.out


def test_a_scope_shows_its_records(filled: holdfast.Store, at: list[str]) -> None:
    lines = run("ls", "namespace:prod/workflow:forecast", *at).out.splitlines()
    assert lines[0] == "└── artifact:run-1  1 record, 5 B"
    assert [line.split()[0] for line in lines[1:]] == ["brief", "count", "limits", "report.pdf"]
    assert len({line.index(" v1") for line in lines[1:]}) == 1  # a column
    words = {line.split()[0]: line for line in lines[1:]}
    assert "ends in 3 d" in words["brief"]
    assert "integer" in words["count"]
    assert "Python value" in words["limits"]
    assert words["limits"].endswith("stage=eval")
    assert "2.0 KB" in words["report.pdf"]
    assert "file, application/pdf" in words["report.pdf"]
    assert all(" v1 " in f"{line} " for line in lines[1:])


def test_what_is_in_memory_is_told(store: holdfast.Store, at: list[str]) -> None:
    scope = store.namespace("prod")
    scope.put("kept", 1)
    scope.put("lent", 1, tier="memory")
    kept, lent = run("ls", "namespace:prod", *at).out.splitlines()
    assert ("in memory" in kept, "integer, in memory" in lent) == (False, True)


def test_long_shows_all(filled: holdfast.Store, at: list[str]) -> None:
    line = run("ls", "namespace:prod/workflow:forecast/report", "-l", *at).out
    record = filled.scope("namespace:prod/workflow:forecast").record("report.pdf")
    for part in (record.digest, "application/pdf", "v1", record.durability, "stage=final"):
        assert part is not None
        assert part in line


def test_recursive_has_each_scope(filled: holdfast.Store, at: list[str]) -> None:
    lines = run("ls", "-R", "namespace:prod", *at).out.splitlines()
    assert [line for line in lines if line.endswith(":")] == [
        "namespace:prod/workflow:forecast:",
        "namespace:prod/workflow:forecast/artifact:run-1:",
    ]
    assert len(lines) == 7
    found = run("ls", "-R", "--keys", *at).out.split()
    flow = "namespace:prod/workflow:forecast"
    keys = ("brief", "count", "limits", "report.pdf")
    assert found == [*(f"{flow}/{key}" for key in keys), f"{flow}/artifact:run-1/a.txt"]


def test_prefix_tag_sort_and_limit(filled: holdfast.Store, at: list[str]) -> None:
    flow = "namespace:prod/workflow:forecast"
    assert run("ls", f"{flow}/li", "--keys", *at).out == "limits\n"
    assert run("ls", flow, "--keys", "--tag", "stage=final", *at).out == "report.pdf\n"
    assert run("ls", "-R", "--tag", "stage=eval", "--keys", *at).out == f"{flow}/limits\n"
    assert run("ls", flow, "--keys", "--tag", "stage=none", *at) == (0, "", "", b"")
    by_size = run("ls", flow, "--keys", "--sort", "-size", *at).out.split()
    assert by_size[0] == "report.pdf"
    limited = run("ls", flow, "--keys", "--limit", "2", *at)
    assert limited.out.split() == ["brief", "count"]
    assert "and more" in limited.err
    exact = run("ls", flow, "--keys", "--limit", "4", *at)
    assert exact.err == ""
    assert run("ls", flow, "--limit", "0", *at).out == ""
    assert run("ls", flow, "--sort", "colour", *at).code == 2
    assert run("ls", flow, "--limit", "-1", *at).code == 2
    assert run("ls", flow, "--tag", "stage", *at).code == 2
    assert run("ls", "namespace:none", *at).code == 3
    assert run("ls", "prod", *at).code == 2


def test_json_is_an_object_a_line(filled: holdfast.Store, at: list[str]) -> None:
    lines = run("ls", "--json", "-R", *at).lines
    scopes = [line["scope"] for line in lines if line["is"] == "scope"]
    flow = "namespace:prod/workflow:forecast"
    assert scopes == ["namespace:empty", "namespace:prod", flow, f"{flow}/artifact:run-1"]
    records = {line["address"]: line for line in lines if line["is"] == "record"}
    assert set(records) == {*(f"{flow}/{key}" for key in ("brief", "count", "limits", "report.pdf")),
                            f"{flow}/artifact:run-1/a.txt"}  # fmt: skip
    assert records[f"{flow}/limits"]["tags"] == {"stage": "eval"}
    assert run("ls", "--json", *at).lines == [line for line in lines if line.get("scope") in scopes[:2]]


def test_names_of_others_do_nothing_to_a_terminal(store: holdfast.Store, at: list[str]) -> None:
    scope = store.namespace("a:b/c%")
    scope.put("k:1/x y", 1, tags={"t": "\x1b]0;title\x07\n"})
    scope.put("\u202eright", 1)
    scope.put("[bold]", 1)
    for words in (["ls"], ["ls", "namespace:a%3Ab%2Fc%25"], ["ls", "namespace:a%3Ab%2Fc%25", "-l"],
                  ["stat", "namespace:a%3Ab%2Fc%25/k%3A1/x y"]):  # fmt: skip
        out = run(*words, *at).out
        assert out
        assert not any(char in out for char in "\x1b\x07\u202e")
    table = run("ls", "namespace:a%3Ab%2Fc%25", *at).out
    assert "k%3A1/x y" in table
    assert "[bold]" in table
    assert "t=\\x1b]0;title\\x07\\n" in table
    assert len(table.splitlines()) == 3
    address = run("ls", "-R", "--keys", *at).out.splitlines()[1]
    assert run("stat", address, "--json", *at).json["key"] == "k:1/x y"


def test_wide_names_stay_aligned(store: holdfast.Store, at: list[str]) -> None:
    store.namespace("p").put("日本", 1)
    store.namespace("p").put("abcdef", 1)
    lines = run("ls", "namespace:p", *at).out.splitlines()
    assert lines[0].startswith("abcdef  8 B")
    assert lines[1].startswith("日本    8 B")


def test_the_tree_folds_many_scopes(store: holdfast.Store, at: list[str]) -> None:
    for number in range(30):
        store.namespace("prod").instance(f"{number:02}").create()
        store.namespace(f"x{number:02}").create()
    lines = run("ls", *at).out.splitlines()
    assert lines[20:22] == ["│   ├── instance:19  0 records, 0 B", "│   └── ..."]
    assert lines[-1] == "└── namespace:x29  0 records, 0 B"
    assert len(run("ls", "namespace:prod", *at).out.splitlines()) == 30
    limited = run("ls", "namespace:prod", "--limit", "5", *at)
    assert len(limited.out.splitlines()) == 5
    assert "and more" in limited.err


def test_many_keys_are_listed_a_page_at_a_time(store: holdfast.Store, at: list[str]) -> None:
    scope = store.namespace("many")
    scope.put_many((f"k{number:05}", number) for number in range(30_000))
    began = time.monotonic()
    first = run("ls", "namespace:many", *at)
    assert time.monotonic() - began < 2  # about 50 ms
    assert len(first.out.splitlines()) == 1000
    assert "raise --limit (it was 1,000)" in first.err
    assert len(run("ls", "namespace:many", "--keys", *at).out.splitlines()) == 30_000


def test_stat_of_a_record(filled: holdfast.Store, at: list[str]) -> None:
    address = "namespace:prod/workflow:forecast/report.pdf"
    record = filled.scope("namespace:prod/workflow:forecast").record("report.pdf")
    found = run("stat", address, "--json", *at).json
    assert found["digest"] == record.digest
    assert found["size"] == 2000
    assert found["storage"] == "catalog"
    text = run("stat", address, *at).out
    assert address in text
    assert "2.0 KB (2,000 bytes)" in text
    assert "catalog" in text
    assert run("stat", f"{address}x", *at).code == 3


def test_stat_of_scopes_and_the_store(filled: holdfast.Store, at: list[str]) -> None:
    filled.scope("namespace:prod/workflow:forecast").artifact("run-1").metadata["note"] = "good"
    found = run("stat", "namespace:prod/workflow:forecast/artifact:run-1", "--json", *at).json
    assert (found["records"], found["metadata"]) == (2, {"note": "good"})
    assert "note=good" in run("stat", "namespace:prod/workflow:forecast/artifact:run-1", *at).out
    assert run("stat", "namespace:prod", "--json", *at).json["scopes"] == 1
    assert run("stat", "--json", *at).json["id"] == filled.id
    assert run("stat", "namespace:none", *at).code == 3


def test_du_adds_up(filled: holdfast.Store, at: list[str]) -> None:
    filled.namespace("big").put_chunks("a", [b"x" * 500_000])
    filled.namespace("big").put_chunks("b", [b"x" * 500_000])  # the same bytes: once on disk
    found = run("du", "--json", *at).json
    scopes = {line["scope"]: (line["records"], line["size"]) for line in found["scopes"]}
    assert scopes["namespace:big"] == (2, 1_000_000)
    assert scopes["namespace:prod"] == scopes["namespace:prod/workflow:forecast"]
    assert scopes["namespace:prod"][0] == 5
    assert found["records"] == 7
    assert found["size"] == 1_000_000 + scopes["namespace:prod"][1]
    folder = Path(filled.config.store)
    assert found["disk"]["catalog"] == sum(path.stat().st_blocks * 512 for path in folder.glob("catalog.sqlite*"))
    assert 500_000 <= found["disk"]["files"] < 600_000
    text = run("du", *at).out
    assert "977 KB  2 records  namespace:big" in text
    assert "on disk:" in text
    one = run("du", "namespace:prod", "--depth", "0", "--json", *at).json
    assert [line["scope"] for line in one["scopes"]] == ["namespace:prod"]
    assert run("du", "namespace:prod/x", *at).code == 2
    assert run("du", "namespace:none", *at).code == 3


def test_a_terminal_without_unicode_is_no_reason_to_fail(store: holdfast.Store, at: list[str]) -> None:
    from .running import process

    store.namespace("日本").put("x", 1)
    ended = process("ls", *at, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert ended.code == 0
    assert "namespace:\\u65e5\\u672c" in ended.out
    assert os.linesep in ended.out


def test_a_prefix_that_names_nothing_is_not_found(filled: holdfast.Store, at: list[str]) -> None:
    for options in ([], ["--keys"], ["--json"]):
        ended = run("ls", "namespace:prod/workflow:forecast/nope", *options, *at)
        assert (ended.code, ended.out) == (3, "")
    assert run("ls", "namespace:prod/workflow:forecast/lim", "--keys", *at).out == "limits\n"
