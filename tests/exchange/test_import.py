"""What was exported comes in equal, record by record; what was altered does not, and nothing of it runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import holdfast

from .hostile import Edited
from .stores import KEYS, Odd, compare, everything, fill


def imported(tmp_path: Path, name: str = "new") -> holdfast.Store:
    return holdfast.open(tmp_path / name)


def test_a_store_comes_back_equal(store: holdfast.Store, tmp_path: Path) -> None:
    fill(store)
    out = store.export_to(tmp_path / "out", key_file=tmp_path / "key")
    told: list[int] = []
    with imported(tmp_path) as new:
        done = new.import_from(tmp_path / "out", key_file=tmp_path / "key", progress=told.append)
        assert (done.records, done.scopes, done.size, done.there) == (out.records, out.scopes, out.size, 0)
        assert (done.problems, done.unsigned, done.left) == ([], 0, 0)
        compare(store, new)
        assert new.verify().fine
        flow = new.namespace("prod").workflow("forecast")
        assert flow.get("object") == Odd("small")
        assert flow.get("large object")[0] == Odd("large")
        assert flow.add("integer").value == -(1 << 63) + 1
        assert flow.put("reborn", "c").version > store.namespace("prod").workflow("forecast").record("reborn").version
        again = new.import_from(tmp_path / "out", key_file=tmp_path / "key")
        assert (again.records, again.there, again.left) == (0, out.records - 2, 2)
    assert sum(told) == out.size


@pytest.mark.parametrize("inline", [0, 1 << 20])
def test_between_stores_that_keep_bytes_in_other_places(store: holdfast.Store, tmp_path: Path, inline: int) -> None:
    fill(store)
    store.export_to(tmp_path / "out", key_file=tmp_path / "key")
    with holdfast.open(tmp_path / "new", inline=inline) as new:
        new.import_from(tmp_path / "out", key_file=tmp_path / "key")
        compare(store, new)
        new.export_to(tmp_path / "back")
    assert (tmp_path / "back/records.jsonl").stat().st_size == (tmp_path / "out/records.jsonl").stat().st_size


def test_shared_bytes_stay_shared(store: holdfast.Store, tmp_path: Path) -> None:
    for name in "abc":
        store.namespace(name).put_chunks("k", [b"x" * 100_000])
    store.export_to(tmp_path / "out")
    with imported(tmp_path) as new:
        new.import_from(tmp_path / "out")
        compare(store, new)
    large = [path for path in (tmp_path / "new/files").rglob("*") if path.is_file() and path.stat().st_size == 100_000]
    assert len(large) == 1


def test_beside_what_is_there(store: holdfast.Store, tmp_path: Path) -> None:
    scope = store.namespace("a")
    scope.put("same", 1)
    scope.put("here", "old")
    scope.put("gone", "back-up")
    store.export_to(tmp_path / "out")
    scope.delete("gone")
    newer = scope.put("here", "new")
    scope.put("more", 1)
    done = store.import_from(tmp_path / "out")
    assert (done.records, done.there, done.newer, done.left) == (1, 1, ["namespace:a/here"], 1)
    assert (scope.get("here"), scope.get("gone"), scope.get("more")) == ("new", "back-up", 1)
    done = store.import_from(tmp_path / "out", replace=True)
    assert (done.records, done.there, done.left) == (1, 2, 0)
    assert scope.get("here") == "old"
    assert scope.record("here").version > newer.version  # versions do not go back
    assert store.import_from(tmp_path / "out").there == 3


def test_without_the_key_pickles_come_unsigned_and_are_signed_later(store: holdfast.Store, tmp_path: Path) -> None:
    scope = store.namespace("a")
    scope.put("small", Odd("x"))
    scope.put("large", [Odd("y"), bytes(100_000)])
    scope.put("plain", 1)
    store.export_to(tmp_path / "out", key_file=tmp_path / "key")
    with imported(tmp_path) as new:
        done = new.import_from(tmp_path / "out")
        assert (done.records, done.unsigned, done.refused) == (3, 2, 0)
        for key in ("small", "large"):
            with pytest.raises(holdfast.SignatureError, match="not signed"):
                new.namespace("a").get(key)
        (tmp_path / "wrong").write_text("ab" * 32)
        with pytest.raises(holdfast.InvalidArgumentError, match="not the key"):
            new.import_from(tmp_path / "out", key_file=tmp_path / "wrong")
        signed = new.import_from(tmp_path / "out", key_file=tmp_path / "key")
        assert (signed.records, signed.there, signed.unsigned) == (2, 1, 0)
        assert new.namespace("a").get("small") == Odd("x")
        assert new.namespace("a").get("large")[0] == Odd("y")
        compare(store, new)
        assert new.import_from(tmp_path / "out", key_file=tmp_path / "key").there == 3
        assert new.gc().records == 0
        assert new.verify().fine


def test_one_key_of_the_environment_on_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_KEY", "12" * 32)
    with holdfast.open(tmp_path / "data") as store, imported(tmp_path) as new:
        store.namespace("a").put("object", Odd("x"))
        store.export_to(tmp_path / "out")
        assert new.import_from(tmp_path / "out").unsigned == 0
        assert new.namespace("a").get("object") == Odd("x")


def test_what_is_no_export_is_one_clear_error(store: holdfast.Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "nothing"):
        with pytest.raises(holdfast.NotFoundError):
            store.import_from(tmp_path / folder)
    with pytest.raises(holdfast.InvalidArgumentError):
        store.import_from(None)  # type: ignore[arg-type]
    store.export_to(tmp_path / "out")
    with pytest.raises(holdfast.NotFoundError, match="no file"):
        store.import_from(tmp_path / "out", key_file=tmp_path / "nothing")
    (tmp_path / "text").write_text("no key")
    with pytest.raises(holdfast.InvalidArgumentError, match="64 hex digits"):
        store.import_from(tmp_path / "out", key_file=tmp_path / "text")


# --- what others made -------------------------------------------------------------------------------------------------


@pytest.fixture
def edited(store: holdfast.Store, tmp_path: Path) -> Edited:
    scope = store.namespace("a")
    scope.create({"p": 1})
    scope.put_chunks("file", [b"F" * 50_000])
    scope.put("number", 7)
    scope.put("object", Odd("x"))
    scope.put("text", "abc", tags={"t": "v"})
    store.namespace("b").put_chunks("small", [b"s"])
    store.export_to(tmp_path / "out", key_file=tmp_path / "key")
    return Edited(tmp_path / "out")


HEADS: dict[str, tuple[Callable[[Edited], None], type[holdfast.HoldfastError], str]] = {
    "newer": (lambda e: e.head(number=3), holdfast.SchemaError, "upgrade holdfast"),
    "far newer": (lambda e: e.head(number=99, scopes={"new": "form"}), holdfast.SchemaError, "format 99"),
    "number": (lambda e: e.head(number="1"), holdfast.DecodeError, "another format"),
    "format": (lambda e: e.head(format="zip"), holdfast.DecodeError, "another format"),
    "unfinished": (lambda e: e.head(complete=False), holdfast.DecodeError, "not finished"),
    "store": (lambda e: e.head(store="xyz"), holdfast.DecodeError, "holdfast-export.json"),
    "manifests": (lambda e: e.head(manifests={}), holdfast.DecodeError, "manifest"),
    "other manifest": (lambda e: e.head(manifests={"../x": ""}), holdfast.DecodeError, "manif"),
    "list": (lambda e: e.write("holdfast-export.json", b"[1]"), holdfast.DecodeError, "holdfast-export.json"),
    "nonsense": (lambda e: e.write("holdfast-export.json", b"\xff{"), holdfast.DecodeError, "holdfast-export.json"),
    "deep": (lambda e: e.write("holdfast-export.json", b"[" * 500_000), holdfast.DecodeError, "holdfast-export.json"),
    "altered": (lambda e: e.write("records.jsonl", b"{}\n"), holdfast.IntegrityError, "records.jsonl"),
    "gone": (lambda e: (e.folder / "scopes.jsonl").unlink(), holdfast.NotFoundError, "scopes.jsonl"),
}  # fmt: skip

LINES: dict[str, Callable[[Edited], None]] = {
    "no JSON": lambda e: e.records(lambda lines: [*lines, b"nonsense"]),
    "empty line": lambda e: e.records(lambda lines: [*lines, b""]),
    "no object": lambda e: e.records(lambda lines: [*lines, b"[]"]),
    "deep": lambda e: e.records(lambda lines: [*lines, (b'{"scope":' + b"[" * 200_000)]),
    "long": lambda e: e.records(lambda lines: [*lines, (b'"' + b"x" * (17 << 20))]),
    "no UTF-8": lambda e: e.records(lambda lines: [*lines, b'{"scope":"\xff"}']),
    "unknown field": lambda e: e.record("text", more=1),
    "no scope": lambda e: e.record("text", scope=""),
    "scope of no form": lambda e: e.record("text", scope="a/b"),
    "scope out of turn": lambda e: e.record("text", scope="namespace:b"),
    "key out of turn": lambda e: e.record("text", key="file"),
    "empty key": lambda e: e.record("text", key=""),
    "surrogate in a key": lambda e: e.record("text", key="\ud800"),
    "control in a key": lambda e: e.record("text", key="x\n"),
    "long key": lambda e: e.record("text", key="x" * 513),
    "version 0": lambda e: e.record("text", version=0),
    "version too high": lambda e: e.record("text", version=1 << 63),
    "version a float": lambda e: e.record("text", version=1.5),
    "time of no year": lambda e: e.record("text", created=1e300),
    "expiry of no year": lambda e: e.record("text", expires=-1e300),
    "negative size": lambda e: e.record("text", size=-1),
    "no digest": lambda e: e.record("text", digest=None),
    "unknown digest": lambda e: e.record("text", digest="md5:00"),
    "digest no hex": lambda e: e.record("text", digest="sha256:zz"),
    "number too large": lambda e: e.record("number", number=1 << 63),
    "number with a digest": lambda e: e.record("number", digest="sha256:00"),
    "no content": lambda e: e.record("text", text=None),
    "two contents": lambda e: e.record("text", base64=""),
    "no base64": lambda e: e.record("text", text=None, base64="%"),
    "tags no text": lambda e: e.record("text", tags={"a": 1}),
    "NUL in a config": lambda e: e.record("text", config='{"a":"\0"}'),
    "NUL in a serializer": lambda e: e.record("text", serializer="a\0"),
    "NUL in an encoding": lambda e: e.record("text", encoding="\n\0\n"),
    "content type": lambda e: e.record("text", content_type="a\nb"),
    "long content type": lambda e: e.record("text", content_type="x" * 1001),
    "config no JSON": lambda e: e.record("text", config="x"),
    "config no object": lambda e: e.record("text", config="[]"),
    "config deep": lambda e: e.record("text", config='{"config":' + "[" * 100_000 + "]" * 100_000 + "}"),
    "config of too many digits": lambda e: e.record("text", config='{"size":' + "9" * 5000 + "}"),
    "config of a negative size": lambda e: e.record("file", config='{"size":-1}'),
    "config with a NUL": lambda e: e.record("text", config='{"a":"\0"}'),
    "long serializer": lambda e: e.record("text", serializer="x" * 1001),
    "encoding with a NUL": lambda e: e.record("text", encoding="a\0"),
    "signature no hex": lambda e: e.record("object", signature="q"),
    "file above": lambda e: e.record("file", file="../secret"),
    "file far above": lambda e: e.record("file", file="files/../../secret"),
    "absolute file": lambda e: e.record("file", file="/etc/passwd"),
    "file of the export itself": lambda e: e.record("file", file="records.jsonl"),
    "folder": lambda e: e.record("file", file="files"),
    "NUL in a file": lambda e: e.record("file", file="files/a\0b"),
    "scope line": lambda e: e.scopes(lambda lines: [b'{"scope":"a","created":1}', *lines]),
    "scope's properties": lambda e: e.scopes(lambda lines: [b'{"scope":"a:b","created":1,"properties":[]}', *lines]),
    "no scopes": lambda e: e.scopes(lambda lines: []),
}  # fmt: skip


@pytest.mark.parametrize("case", HEADS)
def test_a_wrong_head_or_manifest(edited: Edited, tmp_path: Path, case: str) -> None:
    change, kind, text = HEADS[case]
    change(edited)
    with imported(tmp_path) as new:
        with pytest.raises(kind, match=text):
            new.import_from(edited.folder)
        assert everything(new) == {}


@pytest.mark.parametrize("case", LINES)
def test_a_wrong_line_and_nothing_is_imported(edited: Edited, tmp_path: Path, case: str) -> None:
    LINES[case](edited)
    with imported(tmp_path) as new:
        with pytest.raises(holdfast.DecodeError, match=r"line \d+ of .*jsonl"):
            new.import_from(edited.folder)
        assert everything(new) == {}


def _link(edited: Edited, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"F" * 50_000)
    edited.replace("files/namespace=a/file", lambda path: path.symlink_to(tmp_path / "secret"))


def _folder_link(edited: Edited, tmp_path: Path) -> None:
    shutil.move(edited.folder / "files/namespace=a", tmp_path / "elsewhere")
    (edited.folder / "files/namespace=a").symlink_to(tmp_path / "elsewhere")


BYTES: dict[str, tuple[Callable[[Edited, Path], None], str, str]] = {
    "link": (_link, "file", "value_lost"),
    "linked folder": (_folder_link, "file", "value_lost"),
    "pipe": (lambda e, _: e.replace("files/namespace=a/file", os.mkfifo), "file", "value_lost"),
    "folder": (lambda e, _: e.replace("files/namespace=a/file", os.mkdir), "file", "value_lost"),
    "gone": (lambda e, _: e.replace("files/namespace=a/file", lambda path: None), "file", "value_lost"),
    "other": (lambda e, _: e.write("files/namespace=a/file", b"G" * 50_000), "file", "integrity"),
    "fewer": (lambda e, _: e.write("files/namespace=a/file", b"F" * 49_999), "file", "integrity"),
    "more": (lambda e, _: e.write("files/namespace=a/file", b"F" * 50_001), "file", "integrity"),
    "size": (lambda e, _: e.record("file", size=49_999), "file", "integrity"),
    "huge size": (lambda e, _: e.record("file", size=1 << 50), "file", "integrity"),
    "digest": (lambda e, _: e.record("file", digest="blake3:" + "00" * 32), "file", "integrity"),
    "text": (lambda e, _: e.record("text", text="abd"), "text", "integrity"),
    "size of text": (lambda e, _: e.record("text", size=4), "text", "integrity"),
    "signature": (lambda e, _: e.record("object", signature="00" * 40), "object", "signature"),
    "no such signature": (lambda e, _: e.record("text", signature="00" * 40), "text", "signature"),
    "serializer": (lambda e, _: e.record("object", serializer="other.pickle@v1"), "object", "signature"),
    "config": (lambda e, _: e.record("object", config='{"config":1}'), "object", "signature"),
}  # fmt: skip


@pytest.mark.parametrize("case", BYTES)
def test_a_wrong_record_is_told_and_the_others_are_imported(edited: Edited, tmp_path: Path, case: str) -> None:
    change, key, code = BYTES[case]
    change(edited, tmp_path)
    with imported(tmp_path) as new:
        done = new.import_from(edited.folder, key_file=tmp_path / "key")
        assert [(problem.address, problem.code) for problem in done.problems] == [(f"namespace:a/{key}", code)]
        assert (done.refused, done.records) == (1, 4)
        assert set(new.namespace("a")) == {"file", "number", "object", "text"} - {key}
        assert new.verify().fine
        assert new.gc().blobs == 0
    assert not [
        path for path in (tmp_path / "new/files").rglob("*") if path.is_file() and path.stat().st_size == 50_001
    ]


@pytest.mark.parametrize("version", [(1 << 52) + 1, (1 << 63) - 1])
def test_versions_that_no_store_reaches(edited: Edited, tmp_path: Path, version: int) -> None:
    """They come in under a new version: one line of somebody's does not make later back-ups useless."""
    edited.record("number", version=version)
    with imported(tmp_path) as new:
        assert new.import_from(edited.folder).problems == []
        assert new.namespace("a").get("number") == 7
        assert new.namespace("a").put("number", 8).version < 1 << 32
        assert new.import_from(edited.folder, replace=True).records == 1
        again = new.import_from(edited.folder)
        assert (again.records, again.there) == (0, 5)
        assert new.namespace("a").record("number").version < 1 << 32


def test_the_highest_version_that_comes_in(edited: Edited, tmp_path: Path) -> None:
    """What is written above it is in the next back-up, and in a second store."""
    edited.record("number", version=1 << 52)
    with imported(tmp_path) as new:
        new.import_from(edited.folder)
        scope = new.namespace("a")
        assert scope.record("number").version == 1 << 52
        scope.set_policy(history=5)
        for number in (8, 9):
            assert scope.put("number", number).version > 1 << 52
        new.export_to(tmp_path / "back")
        with imported(tmp_path, "restored") as restored:
            done = restored.import_from(tmp_path / "back")
            assert [problem.code for problem in done.problems] == ["decode"]  # 8, which only the history has
            assert restored.namespace("a").get("number") == 9
            assert restored.namespace("a").get("number", version=1 << 52) == 7
        with imported(tmp_path, "second") as second:
            assert new.sync_to(second).problems == []
            assert second.namespace("a").record("number").version == scope.record("number").version


def test_a_pickle_of_another_content_is_not_signed(edited: Edited, tmp_path: Path) -> None:
    """Bytes and digest exchanged together, with the signature of the others: only the signature tells."""
    import base64
    import hashlib
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "pwned"),)

    evil = pickle.dumps(Evil())
    digest = f"sha256:{hashlib.sha256(evil).hexdigest()}"
    edited.record("object", base64=base64.b64encode(evil).decode(), text=None, size=len(evil), digest=digest)
    with imported(tmp_path) as new:
        for options in ({"key_file": tmp_path / "key"}, {}):
            new.import_from(edited.folder, **options)  # type: ignore[arg-type]
            with pytest.raises((holdfast.SignatureError, holdfast.NotFoundError)):
                new.namespace("a").get("object")
        assert new.import_from(edited.folder, key_file=tmp_path / "key").refused == 1
        with pytest.raises(holdfast.SignatureError):
            new.namespace("a").get("object")
    assert not (tmp_path / "pwned").exists()


def test_what_expired_since_is_refused(store: holdfast.Store, tmp_path: Path) -> None:
    from datetime import timedelta

    store.namespace("a").put("k", 1, expires=timedelta(hours=1))
    store.export_to(tmp_path / "out")
    Edited(tmp_path / "out").record("k", expires=1.0)
    with imported(tmp_path) as new:
        assert new.import_from(tmp_path / "out").records == 0
        assert not new.namespace("a").exists("k")


def test_names_of_any_kind_come_back(tmp_path: Path) -> None:
    assert len(KEYS) == len(set(KEYS)) > 25
