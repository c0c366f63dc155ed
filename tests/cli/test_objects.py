"""The commands that show and give records, for objects of several contents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast import StorableDataclass

from .running import run

ARRAY = np.arange(10_000.0)
RUN = "namespace:prod/run"


@dataclass
class Sample(StorableDataclass, class_id="c1100001"):
    """An object with a content in a file."""

    name: str
    array: Any = None
    ticks: Any = None


@pytest.fixture
def scope(store: holdfast.Store) -> holdfast.Scope:
    scope = store.namespace("prod")
    scope.put("run", Sample(name="ü", array=ARRAY, ticks=iter([1, 2, 3])), tags={"stage": "eval"})
    scope.put("value", {"a": 1})
    return scope


def test_cat_gives_the_bytes_of_one_content(scope: holdfast.Scope, at: list[str]) -> None:
    assert run("cat", RUN, "--content", "array", *at).raw == scope.get_bytes("run", content="array")
    assert run("cat", RUN, "--content", "body", *at).raw == scope.get_bytes("run", content="body")
    assert run("cat", "namespace:prod/value", "--content", "value", *at).raw == scope.get_bytes("value")


def test_without_a_name_the_names_are_told(scope: holdfast.Scope, at: list[str], tmp_path: Path) -> None:
    for command in (["cat", RUN], ["get", RUN, tmp_path / "out"]):
        ended = run(*command, *at)
        assert (ended.code, ended.out) == (2, "")
        assert "namespace:prod/run is an object" in ended.err
        assert "--content" in ended.err
        assert "body, array, ticks" in ended.err
    ended = run("cat", RUN, "--content", "other", *at)
    assert (ended.code, ended.out) == (3, "")
    assert "has no content 'other': it has body, array, ticks" in ended.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--value", "--repr", "--json"])
def test_a_content_is_bytes(scope: holdfast.Scope, at: list[str], option: str) -> None:
    ended = run("cat", RUN, "--content", "array", option, *at)
    assert ended.code == 2
    assert "leave --json, --repr and --value away" in ended.err + ended.out


def test_get_one_or_all(scope: holdfast.Scope, at: list[str], tmp_path: Path) -> None:
    stored = scope.get_bytes("run", content="array")
    assert run("get", RUN, tmp_path / "one", "--content", "array", *at).code == 0
    assert (tmp_path / "one").read_bytes() == stored
    done = run("get", RUN, tmp_path, "--content", "array", "--json", *at)
    assert done.json == {"path": str(tmp_path / "array"), "size": len(stored)}
    done = run("get", "namespace:prod", tmp_path / "all", "--all", *at)
    assert done.code == 0
    found = {str(path.relative_to(tmp_path / "all")) for path in (tmp_path / "all").rglob("*") if path.is_file()}
    assert found == {"run/array", "run/body", "run/ticks", "value"}
    ended = run("get", "namespace:prod", "--all", "--content", "array", *at)
    assert ended.code == 2
    assert "one record" in ended.err


def test_stat_shows_each_content(scope: holdfast.Scope, at: list[str]) -> None:
    facts = run("stat", RUN, "--json", *at).json
    assert facts["class"].endswith("test_objects.Sample")
    assert (facts["class_id"], facts["unpacker"]) == ("c1100001".ljust(32, "0"), "holdfast.dataclass@v1")
    assert list(facts["contents"]) == ["body", "array", "ticks"]
    array, ticks = facts["contents"]["array"], facts["contents"]["ticks"]
    assert (array["serializer"], array["stream"], array["storage"]) == ("holdfast.numpy@v1", False, "holdfast.file@v1")
    assert array["storage_config"] == scope.contents("run")["array"].storage_config
    assert array["digest"].startswith("blake3:")
    assert sum(content["size"] for content in facts["contents"].values()) == facts["size"]
    assert (ticks["stream"], ticks["storage"], ticks["storage_config"]) == (True, "catalog", None)
    text = run("stat", RUN, *at).out
    assert "\narray\n  size " in text
    assert "holdfast.file@v1" in text
    assert "contents" not in run("stat", "namespace:prod/value", "--json", *at).json


def test_ls_names_the_class(scope: holdfast.Scope, at: list[str]) -> None:
    listed = run("ls", "namespace:prod", *at).out.splitlines()
    assert "object, Sample" in next(line for line in listed if line.startswith("run "))
    assert "holdfast.storable@v1" in run("ls", "namespace:prod", "--long", *at).out


def test_verify_names_record_and_content(store: holdfast.Store, scope: holdfast.Scope, at: list[str]) -> None:
    place = scope.contents("run")["array"].storage_config
    Path(store.config.store, "files", place).unlink()
    ended = run("verify", *at)
    assert ended.code == 1
    assert "namespace:prod/run [" in ended.out + ended.err
    assert "Sample.array" in ended.out + ended.err
    facts = run("verify", "--json", *at).json
    assert [(problem["address"], problem["code"]) for problem in facts["problems"]] == [(RUN, "value_lost")]
