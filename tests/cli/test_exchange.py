"""``holdfast export``, ``import`` and ``sync``."""

from __future__ import annotations

import json
from pathlib import Path

import holdfast

from .running import run


class Kept:
    """Only a pickle can store it."""


def test_a_store_goes_and_comes_back(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    out, key, new = tmp_path / "out", tmp_path / "key", ["--store", str(tmp_path / "new")]
    store.namespace("a").put("k", 1)
    store.namespace("a").put("object", Kept())
    ended = run("export", out, "--key-file", key, *at)
    assert (ended.code, ended.out.startswith("exported 2 records in 1 scope, ")) == (0, True)
    assert run("export", out, *at).code == 4
    ended = run("import", out, *new)
    assert (ended.code, "1 pickle came unsigned" in ended.err, "--key-file" in ended.err) == (0, True, True)
    assert run("import", out, "--key-file", key, "--json", *new).json["records"] == 1
    ended = run("import", out, "--key-file", key, *new)
    assert (ended.code, ended.out.startswith("imported 0 records, 0 B; 2 there already; in ")) == (0, True)
    store.namespace("a").put("k", 2)
    with holdfast.open(tmp_path / "new") as other:
        assert isinstance(other.namespace("a").get("object"), Kept)
        other.namespace("a").put("more", 1)
        other.namespace("a").put("object", "newer")
    ended = run("sync", tmp_path / "new", "--delete", *at)
    assert (ended.code, "newer there namespace:a/object" in ended.out) == (4, True)
    assert "1 record, 8 B; 0 there already; 1 removed; 1 newer there" in ended.out
    assert run("sync", tmp_path / "new", "--replace", "--json", *at).json["left"] == 0


def test_what_is_wrong_is_listed(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    store.namespace("a").put_chunks("f", [b"bytes"])
    store.namespace("a").put_chunks("g", [b"more"])
    assert run("export", tmp_path / "out", *at).code == 0
    (tmp_path / "out/files/namespace=a/f").write_bytes(b"other")
    ended = run("import", tmp_path / "out", "--store", tmp_path / "new")
    assert (ended.code, "wrong namespace:a/f version 1: " in ended.out) == (1, True)
    ended = run("import", tmp_path / "out", "--store", tmp_path / "new", "--json")
    assert (ended.code, ended.json["problems"][0]["code"], ended.json["there"]) == (1, "integrity", 1)
    ended = run("import", tmp_path / "nothing", "--store", tmp_path / "none", "--json")
    assert (ended.code, json.loads(ended.err)["error"]["code"]) == (3, "not_found")
    assert not (tmp_path / "none").exists()
    assert run("sync", at[1], *at).code == 2
