"""Stores of every format that was ever released are read, to the last bit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import OrderedDict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast import StorableStream, StorableValue
from holdfast.catalog.sqlite.schema import MIGRATIONS
from holdfast.registry import BUILT_IN, BUILT_IN_STREAMS
from tests.golden.expected import FAR, LARGE, ODD_KEYS, ODD_SCOPE, values
from tests.golden.make import describe, fill
from tests.golden.objects import BY_NAME, STREAMS, Gauge, Plan, Station, objects
from tests.golden.same import same

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.name for path in GOLDEN.glob("v*") if path.is_dir())


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(name: str, tmp_path: Path):
    shutil.copytree(GOLDEN / name, tmp_path / "data")
    with holdfast.open(tmp_path / "data", create=False) as opened:
        yield opened


def _expected(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return found


def test_there_is_a_golden_store_of_the_present_format() -> None:
    """Made by ``python -m tests.golden.make`` with each change of the catalog's schema."""
    assert NAMES[-1] == f"v{len(MIGRATIONS)}"


def test_every_serializer_is_in_it() -> None:
    known = {None, *BUILT_IN, *BUILT_IN_STREAMS, "holdfast.storable@v1"}
    assert {record["serializer"] for record in _expected(NAMES[-1])} == known


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in (GOLDEN / NAMES[-1]).rglob("*") if path.is_file()) < 1_300_000


def test_every_record_is_as_it_was(store: holdfast.Store, name: str) -> None:
    assert describe(store) == _expected(name)


def test_every_value_is_as_it_was(store: holdfast.Store) -> None:
    golden = store.namespace("golden")
    wrong = [(group, key) for group, key, value in values() if not same(golden.workflow(group).get(key), value)]
    assert wrong == []


def test_every_byte_is_as_it_was(store: holdfast.Store, name: str) -> None:
    found = store.verify()
    assert found.problems == []
    assert found.records == len(_expected(name))


def test_odd_names_are_found(store: holdfast.Store) -> None:
    odd: Any = store
    for kind, part in ODD_SCOPE:
        odd = odd.scope(kind, part)
    assert sorted(odd, key=str.encode) == sorted(ODD_KEYS, key=str.encode)
    for key in ODD_KEYS:
        scope, found = store.find(odd.record(key).address)
        assert (scope, found, scope.get(found)) == (odd, key, key)


def test_records_are_what_they_were(store: holdfast.Store) -> None:
    scope = store.namespace("golden").scope("what", "records")
    assert scope.record("tags").tags == {"stage": "eval", "größe": "", "": "empty name"}
    assert [record.key for record in scope.list(tags={"größe": ""})] == ["tags"]
    assert (scope.get("expires"), scope.record("expires").expires) == ("far in the future", FAR)
    assert not scope.exists("expired")
    assert (scope.get("content type"), scope.record("content type").content_type) == ("<p>", "text/html")
    assert scope.get("json") == {"a": [1, None, "ü"]}
    assert scope.record("power").durability == "power"
    assert scope.get("power/large") == LARGE + b"power"
    assert (scope.get("counter"), scope.record("counter").version) == (-2, 2)
    assert (scope.get("versions"), scope.record("versions").version) == (2, 3)
    assert not scope.exists("deleted")
    assert scope.get("again") == 2
    assert (scope.get("touched"), scope.record("touched").expires) == ((1, 2), None)


def test_files_artifacts_and_scopes_are_what_they_were(store: holdfast.Store) -> None:
    golden = store.namespace("golden")
    files = golden.scope("what", "files")
    assert files.get_bytes("small.csv") == b"a,b\n1,2\n"
    assert files.get_bytes("large.bin") == LARGE + b"stream"
    assert files.get_bytes("empty") == b""
    with files.open("text.txt") as file:
        assert file.read() == "Zürich\n"
    artifact = golden.artifact("run-7", create=False)
    assert dict(artifact.metadata) == {"author": "Ada", "score": 0.93}
    assert {key: artifact.read(key) for key in artifact} == {
        "data/weights.bin": LARGE + b"artifact",
        "notes.txt": b"first try\n",
    }
    assert golden.artifact("empty", create=False).is_empty
    scopes = golden.scope("what", "scopes")
    assert scopes.scope("empty", "with properties").info().properties == {"metres": 42.5, "tags": ["a"]}
    assert scopes.workflow("after").get("k") == "renamed"
    assert not scopes.workflow("before").present
    assert scopes.workflow("dropped").was_dropped
    assert scopes.workflow("dropped and made again").get("k") == 2


def test_compressed_contents_are_what_they_were(tmp_path: Path) -> None:
    """Of formats that had them."""
    for name in NAMES[2:]:
        with holdfast.open(shutil.copytree(GOLDEN / name, tmp_path / name), create=False) as store:
            files = store.namespace("golden").scope("what", "files")
            assert files.get_bytes("small.zstd") == LARGE[:500] * 20
            assert files.get_bytes("large.lz4") == LARGE[:40_000] + bytes(40_000)
            assert same(files.get("value.zstd"), {"zeros": np.zeros(20_000), "same": [1] * 1000})
            assert same(files.get("pickle.lz4"), [OrderedDict(a=1)] * 2000)
            encodings = {record.contents["value"].encoding for record in files.list()}
            assert encodings == {None, "zstd", "lz4"}


def test_objects_and_streams_are_what_they_were(store: holdfast.Store, name: str) -> None:
    scope = store.namespace("golden").scope("what", "objects")
    if not scope.present:
        assert name < "v4", "there are none before"
        return
    for serializer, value in BY_NAME.items():
        assert same(scope.get(f"by name/{serializer}"), value)
    for serializer, items in STREAMS.items():
        with scope.get(f"stream/{serializer}") as found:
            assert same(list(found), items)
    with scope.get("stream/large") as found:
        assert sum(item["n"] for item in found) == 1_000 * 999 // 2
    for key, value in objects().items():
        assert alike(scope.get(f"object/{key}", verify=True), value), key
        assert f"object/{key}" in [record.key for record in scope.list(tags={"key": key})]
    assert alike(scope.get("copy"), objects()["gauge/large"])
    assert not scope.get("object/packed").levels.any()
    kept = scope.scope("what", "kept")
    assert [kept.get("gauge", version=record.version).name for record in kept.history("gauge")] == ["2", "1"]
    scope.delete("object/gauge/large")
    scope.rename("copy", "object/moved")
    kept.delete("gauge")
    kept.set_policy(history=0)
    store.gc()
    assert alike(scope.get("object/moved", verify=True), objects()["gauge/large"])
    assert alike(scope.get("object/station", verify=True), objects()["station"])
    scope.put("object/new", Gauge(name="new", levels=np.arange(5_000.0)))
    assert store.verify().fine


def alike(found: Any, value: Any) -> bool:
    """Whether an object is the one that was put; streams in it are lists in the other."""
    if not isinstance(found, (Gauge, Plan, Station, StorableValue, StorableStream)):
        return same(list(found) if isinstance(found, holdfast.Stream) else found, value)
    if type(found) is not type(value):
        return False
    if isinstance(found, StorableStream):
        return list(found.value_stream) == [1, 2, 3]  # type: ignore[arg-type]
    names = ["value"] if isinstance(found, StorableValue) else list(vars(value))
    pairs = [(getattr(found, name), getattr(value, name)) for name in names]
    return all(
        len(one) == len(other) and all(map(alike, _items(one), _items(other)))
        if type(one) in (list, dict) and type(other) is type(one)
        else alike(one, other)
        for one, other in pairs
    )


def _items(several: Any) -> list[Any]:
    return [*several, *several.values()] if isinstance(several, dict) else several


def test_old_versions_are_what_they_were(store: holdfast.Store, name: str) -> None:
    scope = store.namespace("golden").scope("what", "history")
    if not scope.present:
        assert name < "v3", "there are none before"
        return
    assert scope.policy() == holdfast.Policy(3, 10, 1_000_000)
    assert [record.tags["round"] for record in scope.history("price")] == ["4", "3", "2"]
    assert [scope.get("file", version=record.version) for record in scope.history("file")] == [LARGE + b"power", LARGE]
    (deleted,) = scope.history("deleted")
    assert scope.restore("deleted", deleted.version).version > deleted.version
    assert scope.get("deleted") == ("deleted", 1)
    assert store.gc().blobs == 0
    with pytest.raises(holdfast.QuotaExceededError):
        scope.put("large", b"x" * 1_000_000)


def test_it_goes_on(store: holdfast.Store) -> None:
    """What is written to an old store continues its versions, signatures, references and tokens."""
    golden = store.namespace("golden")
    records = golden.scope("what", "records")
    before = records.record("again").version
    records.delete("again")
    assert records.put("again", 3).version > before
    assert golden.scope("what", "scopes").workflow("dropped").put("k", 1).version > 1
    assert store.lease("golden").acquire().token > 1
    assert same(golden.workflow("pickled").update("ordered", lambda old: old).value["b"], 1)
    shared = golden.workflow("plain")
    for key in list(shared):
        shared.delete(key)
    store.gc()
    assert records.get("same bytes", verify=True) == LARGE
    assert store.verify().fine


def test_the_reader_of_the_documents_reads_it(name: str, tmp_path: Path) -> None:
    script = GOLDEN.parents[1] / "docs" / "read_without_holdfast.py"
    done = subprocess.run([sys.executable, script, GOLDEN / name], capture_output=True, text=True)
    assert done.stderr == ""
    addresses = sorted(line.split("\t")[0] for line in done.stdout.splitlines())
    assert addresses == sorted(record["address"] for record in _expected(name) if not record.get("kept"))


def test_what_is_made_now_is_what_was_made_then(tmp_path: Path) -> None:
    """The list of what a golden store holds is not behind: a new one has the same addresses, versions and sizes."""
    with holdfast.open(tmp_path / "data") as new:
        fill(new)
        told = [(record["address"], record["version"], record["serializer"]) for record in describe(new)]
    assert told == [(record["address"], record["version"], record["serializer"]) for record in _expected(NAMES[-1])]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        ((1,), [1]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (0.0, -0.0),
        ({1}, {True}),
        (np.zeros(2, "<f8"), np.zeros(2, "<f4")),
        ([timedelta(1)], [timedelta(2)]),
    ],
)
def test_what_differs_is_told_apart(one: object, other: object) -> None:
    assert not same(one, other)
