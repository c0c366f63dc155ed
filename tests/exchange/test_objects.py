"""Objects of several contents on their way: each content a file or a text of its own, with a digest on both sides."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast.exchange.source import StoreSource
from tests.kernel.tools import blob_files

from .hostile import Edited
from .stores import Odd, Sample, compare, everything
from .test_export import lines, program

ARRAY = np.arange(20_000.0)
OBJECT = "namespace:a/object"


@pytest.fixture
def scope(store: holdfast.Store) -> holdfast.Scope:
    scope = store.namespace("a")
    scope.put("object", Sample(name="x", odd=Odd("signed"), array=ARRAY))
    scope.put("other", 1)
    return scope


@pytest.fixture
def edited(store: holdfast.Store, scope: holdfast.Scope, tmp_path: Path) -> Edited:
    store.export_to(tmp_path / "out", key_file=tmp_path / "key")
    return Edited(tmp_path / "out")


def contents(edited: Edited) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = next(line for line in lines(edited.folder) if line["key"] == "object")["contents"]
    return found


def test_each_content_is_plain(store: holdfast.Store, scope: holdfast.Scope, edited: Edited) -> None:
    assert json.loads((edited.folder / "holdfast-export.json").read_bytes())["number"] == 2
    body, odd, array = contents(edited)
    assert [one["name"] for one in (body, odd, array)] == ["body", "odd", "array"]
    assert pickle.loads(base64.b64decode(odd["base64"])) == Odd("signed")
    assert array["file"] == "files/namespace=a/object/array"
    stored = scope.get_bytes("object", content="array")
    assert (edited.folder / array["file"]).read_bytes() == stored == program(edited.folder, OBJECT, "array").stdout
    assert program(edited.folder, OBJECT, "body").stdout == scope.get_bytes("object", content="body")
    assert b"body, odd, array" in program(edited.folder, OBJECT).stderr
    (edited.folder / array["file"]).write_bytes(stored[:-1] + b"x")
    assert program(edited.folder).returncode == 0, "BLAKE3 is not in Python"
    (edited.folder / array["file"]).write_bytes(stored[:-1])
    assert b"the bytes of namespace:a/object are not those" in program(edited.folder).stderr


def test_without_objects_it_is_of_the_first_format(store: holdfast.Store, tmp_path: Path) -> None:
    store.namespace("a").put("k", 1)
    store.export_to(tmp_path / "out")
    assert json.loads((tmp_path / "out/holdfast-export.json").read_bytes())["number"] == 1


def test_they_come_unsigned_and_are_signed_later(store: holdfast.Store, edited: Edited, tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "new") as new:
        done = new.import_from(edited.folder)
        assert (done.records, done.unsigned, done.refused) == (2, 1, 0)
        with pytest.raises(holdfast.SignatureError, match=r"object \[.*Sample.odd\].* not signed"):
            new.namespace("a").get("object").odd  # noqa: B018
        assert new.namespace("a").get_bytes("object", content="array") == store.namespace("a").get_bytes(
            "object", content="array"
        )
        before = blob_files(new)
        signed = new.import_from(edited.folder, key_file=tmp_path / "key")
        assert (signed.records, signed.there, signed.unsigned) == (1, 1, 0)
        assert new.namespace("a").get("object").odd == Odd("signed")
        assert blob_files(new) == before, "the bytes are shared"
        compare(store, new)
        assert new.import_from(edited.folder, key_file=tmp_path / "key").there == 2
        assert (new.gc().blobs, new.verify().problems) == (0, [])


def _content(of: str, /, **changes: Any) -> Callable[[Edited], None]:
    def change(edited: Edited) -> None:
        found = contents(edited)
        for one in found:
            if one["name"] == of:
                one.update(changes)
                for field in [field for field, value in changes.items() if value is None]:
                    del one[field]
        edited.record("object", contents=found)

    return change


LINES: dict[str, Callable[[Edited], None]] = {
    "none": lambda e: e.record("object", contents=[]),
    "one less": lambda e: e.record("object", contents=contents(e)[1:]),
    "one more": lambda e: e.record("object", contents=[*contents(e), {**contents(e)[0], "name": "more"}]),
    "another order": lambda e: e.record("object", contents=contents(e)[::-1]),
    "of no object": lambda e: e.record("other", contents=contents(e)),
    "bytes beside": lambda e: e.record("object", text="x"),
    "size of all": lambda e: e.record("object", size=5),
    "another name": _content("odd", name="other"),
    "another size": _content("odd", size=1),
    "another digest": _content("odd", digest="sha256:" + "0" * 64),
    "another serializer": _content("odd", serializer="holdfast.bytes@v1"),
    "another type": _content("odd", content_type="text/plain"),
    "another encoding": _content("odd", encoding="zstd"),
    "no bytes": _content("odd", base64=None),
    "bytes twice": _content("odd", text="x"),
    "file above": _content("array", file="../secret"),
    "unknown field": _content("odd", more=1),
    "no config": lambda e: e.record("object", config=None),
    "config of nothing": lambda e: e.record("object", config="{}"),
    "config no object": lambda e: e.record("object", config="[1]"),
    "contents no list": lambda e: e.record("object", config='{"object":["a","b","c"],"contents":7}'),
    "contents no objects": lambda e: e.record("object", config='{"object":["a","b","c"],"contents":[7]}'),
}  # fmt: skip


@pytest.mark.parametrize("case", LINES)
def test_a_wrong_line_and_nothing_is_imported(edited: Edited, tmp_path: Path, case: str) -> None:
    LINES[case](edited)
    with holdfast.open(tmp_path / "new") as new:
        with pytest.raises(holdfast.DecodeError, match=r"line \d+ of .*jsonl|namespace:a/object"):
            new.import_from(edited.folder)
        assert everything(new) == {}


def _digest_in_config(edited: Edited) -> None:
    """Bytes and all digests of them exchanged together: only the signature tells."""

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(edited.folder / "pwned"),)

    evil = pickle.dumps(Evil())
    (line,) = (line for line in lines(edited.folder) if line["key"] == "object")
    config = json.loads(line["config"])
    _, odd, _ = config["contents"]
    size = line["size"] + len(evil) - odd["size"]
    old = base64.b64decode(line["contents"][0]["base64"])
    odd.update(size=len(evil), digest=hashlib.sha256(evil).hexdigest())
    told = {"size": len(evil), "digest": f"sha256:{odd['digest']}", "base64": base64.b64encode(evil).decode()}
    _content("odd", **told)(edited)
    digest = f"sha256:{hashlib.sha256(old + evil).hexdigest()}"
    edited.record("object", config=json.dumps(config), size=size, digest=digest)


BYTES: dict[str, tuple[Callable[[Edited], object], str]] = {
    "gone": (lambda e: (e.folder / contents(e)[2]["file"]).unlink(), "value_lost"),
    "others": (lambda e: (e.folder / contents(e)[2]["file"]).write_bytes(b"x" * contents(e)[2]["size"]), "integrity"),
    "fewer": (lambda e: (e.folder / contents(e)[2]["file"]).write_bytes(b""), "integrity"),
    "others in the line": (_content("body", base64="AAAA"), "integrity"),
    "evil": (_digest_in_config, "signature"),
}  # fmt: skip


@pytest.mark.parametrize("case", BYTES)
def test_wrong_bytes_are_told_and_the_others_are_imported(edited: Edited, tmp_path: Path, case: str) -> None:
    change, code = BYTES[case]
    change(edited)
    with holdfast.open(tmp_path / "new") as new:
        done = new.import_from(edited.folder, key_file=tmp_path / "key")
        assert [(problem.address, problem.code) for problem in done.problems] == [(OBJECT, code)]
        if code != "signature":
            assert "[body]" in done.problems[0].message or "array" in done.problems[0].message
        assert (done.records, list(new.namespace("a"))) == (1, ["other"])
        assert blob_files(new) == [], "nothing of it stays"
    assert not (edited.folder / "pwned").exists()


def test_a_damaged_content_is_told_by_an_export(store: holdfast.Store, scope: holdfast.Scope, tmp_path: Path) -> None:
    scope.put("second", Sample(name="y", array=ARRAY * 2))
    blob_files(store)[0].write_bytes(b"x")
    done = store.export_to(tmp_path / "out")
    assert [(problem.address, problem.code) for problem in done.problems] == [(OBJECT, "integrity")]
    assert "Sample.array" in done.problems[0].message
    assert (done.records, done.refused) == (2, 1)


def _replace_while_reading(monkeypatch: pytest.MonkeyPatch, store: holdfast.Store, scope: holdfast.Scope) -> list[int]:
    """Have the object replaced, and its bytes collected, once its first content is read."""
    fetch, turns = StoreSource.fetch, [0]

    def slow(self: StoreSource, path: Any, head: Any) -> Any:
        found = fetch(self, path, head)
        if found is None or head.key != "object" or turns[0] == 2:
            return found
        line, pieces = found

        def first() -> Any:
            yield from pieces[0]
            turns[0] += 1
            scope.put("object", Sample(name="newer", odd=Odd("signed"), array=ARRAY * (1 + turns[0])))
            store.gc()

        return line, [first(), *pieces[1:]]

    monkeypatch.setattr(StoreSource, "fetch", slow)
    return turns


def test_one_that_is_replaced_while_it_is_exported(
    store: holdfast.Store, scope: holdfast.Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = _replace_while_reading(monkeypatch, store, scope)
    done = store.export_to(tmp_path / "out", key_file=tmp_path / "key")
    assert (done.records, done.problems, turns) == (2, [], [2])
    with holdfast.open(tmp_path / "new") as new:
        assert new.import_from(tmp_path / "out", key_file=tmp_path / "key").problems == []
        assert (new.namespace("a").get("object").array == ARRAY * 3).all()


def test_one_that_is_replaced_while_it_is_synchronized(
    store: holdfast.Store, scope: holdfast.Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = _replace_while_reading(monkeypatch, store, scope)
    with holdfast.open(tmp_path / "new") as new:
        done = store.sync_to(new)
        assert (done.records, done.problems, turns) == (2, [], [2])
        compare(store, new)
        assert len(blob_files(new)) == 1, "nothing of the one before is left"


def test_a_store_that_keeps_everything_in_its_catalog(
    store: holdfast.Store, scope: holdfast.Scope, tmp_path: Path
) -> None:
    with holdfast.open(tmp_path / "new", storage="inline") as new:
        done = store.sync_to(new)
        assert (done.records, done.problems) == (2, [])
        got = new.namespace("a").get("object")
        assert ((got.array == ARRAY).all(), got.odd) == (True, Odd("signed"))
        assert {one.storage for one in new.namespace("a").contents("object").values()} == {None}
        assert (store.sync_to(new).there, new.sync_to(store).there) == (2, 2)
        assert new.namespace("a").record("object").digest != scope.record("object").digest
        newer = scope.put("object", Sample(name="z", array=ARRAY))
        assert store.sync_to(new).records == 1
        assert new.namespace("a").record("object").version == newer.version
