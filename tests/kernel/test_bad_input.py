"""Bad input of each public call: its error is one of ours and says what is wrong, and nothing is changed by it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast import (
    ConflictError,
    EncodeError,
    ExistsError,
    InvalidArgumentError,
    InvalidKeyError,
    InvalidScopeError,
    LeaseLost,
    NotFoundError,
    NotRegisteredError,
    StoreError,
    UnsupportedValue,
)

from .tools import LARGE, SMALL, everything

Call = Callable[[Any], Any]

ILLEGAL = {
    "empty": "",
    "newline": "a\nb",
    "nul": "\0",
    "delete": "a\x7f",
    "c1": "\x85",
    "surrogate": "a\ud800",
    "long": "k" * 513,
    "bytes": b"k",
    "int": 5,
    "none": None,
}

KEY_CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "put": lambda scope, key: scope.put(key, 1),
    "put large": lambda scope, key: scope.put(key, LARGE),
    "put conditional": lambda scope, key: scope.put(key, 1, if_absent=True),
    "setitem": lambda scope, key: scope.__setitem__(key, 1),
    "put_many": lambda scope, key: scope.put_many([("fine", 1), (key, 1)]),
    "put_chunks": lambda scope, key: scope.put_chunks(key, [b"x"]),
    "open w": lambda scope, key: scope.open(key, "wb"),
    "open r": lambda scope, key: scope.open(key, "rb"),
    "get": lambda scope, key: scope.get(key),
    "get default": lambda scope, key: scope.get(key, None),
    "getitem": lambda scope, key: scope[key],
    "get_many": lambda scope, key: scope.get_many([key]),
    "get_bytes": lambda scope, key: scope.get_bytes(key),
    "get_chunks": lambda scope, key: scope.get_chunks(key),
    "get_file": lambda scope, key: scope.get_file(key, "/nowhere/at/all"),
    "get_file into": lambda scope, key: scope.get_file(key, os.curdir),
    "entry": lambda scope, key: scope.entry(key),
    "record": lambda scope, key: scope.record(key),
    "exists": lambda scope, key: scope.exists(key),
    "delete": lambda scope, key: scope.delete(key, missing_ok=True),
    "delitem": lambda scope, key: scope.__delitem__(key),
    "update": lambda scope, key: scope.update(key, lambda old: 1, default=0),
    "add": lambda scope, key: scope.add(key),
    "touch": lambda scope, key: scope.touch(key, None),
    "set_tags": lambda scope, key: scope.set_tags(key, None),
    "set_content_type": lambda scope, key: scope.set_content_type(key, "a/b"),
    "copy from": lambda scope, key: scope.copy(key, "new"),
    "copy to": lambda scope, key: scope.copy("small", key),
    "rename from": lambda scope, key: scope.rename(key, "new"),
    "rename to": lambda scope, key: scope.rename("small", key),
    "transaction put": lambda scope, key: _in_transaction(scope, lambda inside: inside.put(key, 1)),
    "artifact write": lambda scope, key: scope.artifact("run").write(key, b"x"),
}


def _in_transaction(scope: Any, work: Call) -> None:
    with scope.transaction() as inside:
        inside.put("other", LARGE)
        work(inside)


@pytest.fixture
def settled(scope: holdfast.Scope) -> holdfast.Scope:
    """A scope with something of each kind in it, which must be the same afterwards."""
    scope.create({"owner": "Ada"})
    scope.put("small", SMALL, tags={"stage": "eval"}, expires=timedelta(days=1))
    scope.put("large", LARGE)
    scope.put("number", 5)
    scope.put_chunks("file", [b"lines"])
    scope.artifact("old").write("f.txt", "text")
    scope.artifact("spare").create()
    return scope


@pytest.fixture(autouse=True)
def unchanged(settled: holdfast.Scope, store: holdfast.Store) -> Iterator[None]:
    """Each test of this file: all is afterwards as it was before."""
    before = everything(store)
    assert len(before) > 8
    yield
    assert everything(store) == before


@pytest.mark.parametrize("name", KEY_CALLS)
def test_illegal_keys(settled: holdfast.Scope, name: str) -> None:
    for key in ILLEGAL.values():
        expected: type[Exception] = InvalidKeyError
        if key is None and name in ("copy to", "rename to"):
            expected = InvalidArgumentError  # None means the same key, which is the record itself
        with pytest.raises(expected):
            pytest.fail(f"{key!r} gave {KEY_CALLS[name](settled, key)!r}")


def test_in_with_an_illegal_key(settled: holdfast.Scope) -> None:
    assert 5 not in settled
    with pytest.raises(InvalidKeyError):
        "" in settled  # noqa: B015


@pytest.mark.parametrize("name", ILLEGAL.values(), ids=ILLEGAL)
@pytest.mark.parametrize(
    "call",
    [
        lambda scope, name: scope.namespace(name),
        lambda scope, name: scope.artifact(name),
        lambda scope, name: scope.scope("kind", name),
        lambda scope, name: scope.scope(name, "name"),
        lambda scope, name: scope.rename_scope(name),
    ],
    ids=["namespace", "artifact", "scope name", "scope kind", "rename_scope"],
)
def test_illegal_names_of_scopes(settled: holdfast.Scope, call: Callable[[Any, Any], Any], name: Any) -> None:
    with pytest.raises(InvalidScopeError):
        call(settled, name)


@pytest.mark.parametrize("text", ["", "x", "a:b:c", "a:/b:c", ":b", "a:b//c:d", "a:\n", 5, None, b"a:b"])
def test_illegal_paths_and_addresses(store: holdfast.Store, text: Any) -> None:
    with pytest.raises(InvalidScopeError):
        store.scope(text)
    if text not in ("a:b//c:d",):  # there the key is "/c:d", which is legal
        with pytest.raises(InvalidArgumentError):
            store.find(text)


def test_addresses_without_a_key_or_with_an_illegal_one(store: holdfast.Store) -> None:
    with pytest.raises(InvalidArgumentError, match="no key"):
        store.find("namespace:prod")
    with pytest.raises(InvalidKeyError):
        store.find("namespace:prod/a\nb")


OPTIONS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "tags int": ({"tags": {"a": 1}}, InvalidArgumentError, "strings"),
    "tags key": ({"tags": {1: "a"}}, InvalidArgumentError, "strings"),
    "tags list": ({"tags": ["a"]}, InvalidArgumentError, "strings"),
    "tags text": ({"tags": "a=b"}, InvalidArgumentError, "strings"),
    "tags number": ({"tags": 5}, InvalidArgumentError, "strings"),
    "tags surrogate": ({"tags": {"a": "\ud800"}}, InvalidArgumentError, "strings"),
    "expires naive": ({"expires": datetime(2030, 1, 1)}, InvalidArgumentError, "time zone"),
    "expires number": ({"expires": 60}, InvalidArgumentError, "timedelta"),
    "expires text": ({"expires": "1d"}, InvalidArgumentError, "timedelta"),
    "expires too far": ({"expires": timedelta.max}, InvalidArgumentError, "expires"),
    "expires too early": ({"expires": timedelta.min}, InvalidArgumentError, "expires"),
    "content type int": ({"content_type": 5}, InvalidArgumentError, "content_type"),
    "content type empty": ({"content_type": ""}, InvalidArgumentError, "content_type"),
    "content type long": ({"content_type": "text/" + "x" * 1000}, InvalidArgumentError, "1,000 characters"),
    "content type lines": ({"content_type": "a/b\r\nx: y"}, InvalidArgumentError, "content_type"),
    "content type letters": ({"content_type": "tëxt/csv"}, InvalidArgumentError, "content_type"),
    "durability": ({"durability": "disk"}, InvalidArgumentError, "durability"),
    "durability type": ({"durability": True}, InvalidArgumentError, "durability"),
    "version negative": ({"if_version": -1}, InvalidArgumentError, "if_version"),
    "version text": ({"if_version": "1"}, InvalidArgumentError, "if_version"),
    "version bool": ({"if_version": True}, InvalidArgumentError, "if_version"),
    "version float": ({"if_version": 1.0}, InvalidArgumentError, "if_version"),
    "version huge": ({"if_version": 1 << 70}, InvalidArgumentError, "if_version"),
    "both conditions": ({"if_version": 3, "if_absent": True}, InvalidArgumentError, "exclude"),
    "wrong version": ({"if_version": 999}, ConflictError, "version"),
    "present": ({"if_absent": True}, ExistsError, "exists"),
    "present 0": ({"if_version": 0}, ExistsError, "exists"),
    "lease type": ({"lease": "nightly"}, InvalidArgumentError, "lease"),
    "unknown option": ({"tag": {}}, TypeError, "unexpected option 'tag'"),
}


@pytest.mark.parametrize("value", [SMALL, LARGE, 7], ids=["small", "large", "number"])
@pytest.mark.parametrize("name", OPTIONS)
def test_bad_options_of_put(settled: holdfast.Scope, name: str, value: Any) -> None:
    options, error, words = OPTIONS[name]
    with pytest.raises(error, match=words):
        settled.put("small", value, **options)


def _write_open(scope: Any, local: Path, options: Any) -> None:
    with scope.open("small", "wb", **options) as file:
        file.write(LARGE)


def _write_inside(scope: Any, local: Path, options: Any) -> None:
    with scope.transaction() as inside:
        inside.put("other", LARGE)
        inside.put("small", LARGE, **options)


WRITERS: dict[str, Callable[[Any, Path, Any], Any]] = {
    "put_chunks": lambda scope, local, options: scope.put_chunks("small", [LARGE], **options),
    "put_file": lambda scope, local, options: scope.put_file(local, "small", **options),
    "put_many": lambda scope, local, options: scope.put_many({"new": 1, "small": LARGE}, **options),
    "open": _write_open,
    "transaction": _write_inside,
}


@pytest.mark.parametrize("verb", WRITERS)
@pytest.mark.parametrize("name", OPTIONS)
def test_bad_options_of_other_verbs(settled: holdfast.Scope, tmp_path: Path, name: str, verb: str) -> None:
    options, error, words = OPTIONS[name]
    (tmp_path / "local").write_bytes(LARGE)
    with pytest.raises(error, match=words):
        WRITERS[verb](settled, tmp_path / "local", options)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"serializer": "no.such@v1"}, NotRegisteredError),
        ({"serializer": "holdfast.values@v1"}, NotRegisteredError),
        ({"serializer": ""}, NotRegisteredError),
        ({"serializer": 5}, InvalidArgumentError),
        ({"serializer": ["x"]}, InvalidArgumentError),
        ({"serializer": "holdfast.bytes@v1"}, UnsupportedValue),
        ({"serializer": "holdfast.json@v1"}, EncodeError),
        ({"serializer": "holdfast.numpy@v1"}, UnsupportedValue),
    ],
)
def test_serializers_that_are_not_there_or_refuse(
    settled: holdfast.Scope, options: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        settled.put("small", {1, 2}, **options)


def test_a_serializer_that_is_misspelt_is_told_a_near_one(settled: holdfast.Scope) -> None:
    with pytest.raises(NotRegisteredError, match=r"holdfast\.value@v1"):
        settled.put("small", 1, serializer="holdfast.values@v1")


def test_values_that_cannot_be_stored_are_named(settled: holdfast.Scope) -> None:
    with pytest.raises(EncodeError, match=r"\['lock'\].*lock"):
        settled.put("small", {"fine": 1, "lock": __import__("threading").Lock()})
    with pytest.raises(EncodeError):
        settled.put("large", (x for x in range(3)))


CALLS: dict[str, tuple[Call, type[Exception], str]] = {
    "get a version that is none": (lambda s: s.get("small", version="1"), InvalidArgumentError, "^version must be"),
    "get missing": (lambda s: s.get("missing"), NotFoundError, "no record namespace:prod/workflow:forecast/missing"),
    "getitem missing": (lambda s: s["missing"], KeyError, "missing"),
    "entry missing": (lambda s: s.entry("missing"), NotFoundError, "missing"),
    "record missing": (lambda s: s.record("missing"), NotFoundError, "missing"),
    "delete missing": (lambda s: s.delete("missing"), NotFoundError, "missing"),
    "delitem missing": (lambda s: s.__delitem__("missing"), KeyError, "missing"),
    "delete version": (lambda s: s.delete("small", if_version=999), ConflictError, "version"),
    "delete missing version": (lambda s: s.delete("missing", if_version=3), NotFoundError, "missing"),
    "delete version type": (lambda s: s.delete("small", if_version="1"), InvalidArgumentError, "if_version"),
    "touch version type": (lambda s: s.touch("small", None, if_version=-1), InvalidArgumentError, "if_version"),
    "tags version type": (lambda s: s.set_tags("small", {}, if_version=1.5), InvalidArgumentError, "if_version"),
    "update missing": (lambda s: s.update("missing", lambda old: old), NotFoundError, "missing"),
    "update raises": (lambda s: s.update("number", lambda old: old / 0), ZeroDivisionError, "division"),
    "update no function": (lambda s: s.update("number", 5), InvalidArgumentError, "function"),
    "update to a generator": (lambda s: s.update("small", lambda o: (x for x in o)), EncodeError, "generator"),
    "update version": (lambda s: s.update("small", lambda o: o, if_version=1), InvalidArgumentError, "if_version"),
    "update absent": (lambda s: s.update("small", lambda o: o, if_absent=True), InvalidArgumentError, "if_absent"),
    "add to a dict": (lambda s: s.add("small"), InvalidArgumentError, "integer"),
    "add to a file": (lambda s: s.add("file"), InvalidArgumentError, "integer"),
    "add to large": (lambda s: s.add("large"), InvalidArgumentError, "integer"),
    "add overflow": (lambda s: s.add("number", (1 << 63) - 5), InvalidArgumentError, "64 bits"),
    "add underflow": (lambda s: (s.add("new", -(1 << 63)), s.delete("new"), s.add("number", -(1 << 63) - 6)),
                      InvalidArgumentError, "64 bits"),
    "add text": (lambda s: s.add("number", "1"), InvalidArgumentError, "integer"),
    "add float": (lambda s: s.add("number", 1.0), InvalidArgumentError, "integer"),
    "add bool": (lambda s: s.add("number", True), InvalidArgumentError, "integer"),
    "touch missing": (lambda s: s.touch("missing", None), NotFoundError, "missing"),
    "touch naive": (lambda s: s.touch("small", datetime(2030, 1, 1)), InvalidArgumentError, "time zone"),
    "touch version": (lambda s: s.touch("small", None, if_version=999), ConflictError, "version"),
    "set_tags missing": (lambda s: s.set_tags("missing", {}), NotFoundError, "missing"),
    "set_tags bad": (lambda s: s.set_tags("small", {"a": None}), InvalidArgumentError, "strings"),
    "set_tags version": (lambda s: s.set_tags("small", {}, if_version=999), ConflictError, "version"),
    "content type bad": (lambda s: s.set_content_type("small", "a\nb"), InvalidArgumentError, "content_type"),
    "content type missing": (lambda s: s.set_content_type("missing", "a/b"), NotFoundError, "missing"),
    "copy missing": (lambda s: s.copy("missing", "new"), NotFoundError, "missing"),
    "copy onto": (lambda s: s.copy("small", "large"), ExistsError, "large"),
    "copy itself": (lambda s: s.copy("small", "small", replace=True), InvalidArgumentError, "itself"),
    "copy to nothing": (lambda s: s.copy("small"), InvalidArgumentError, "itself"),
    "copy to text": (lambda s: s.copy("small", to="namespace:x"), InvalidArgumentError, "scope"),
    "rename missing": (lambda s: s.rename("missing", "new"), NotFoundError, "missing"),
    "rename onto": (lambda s: s.rename("small", "large"), ExistsError, "large"),
    "rename itself": (lambda s: s.rename("small", "small"), InvalidArgumentError, "itself"),
    "put_many no pairs": (lambda s: s.put_many(["new", "abc"]), InvalidArgumentError, "pairs"),
    "put_many number": (lambda s: s.put_many(5), InvalidArgumentError, "pairs"),
    "put_many text": (lambda s: s.put_many("ab"), InvalidArgumentError, "pairs"),
    "put_many late": (lambda s: s.put_many([("new", LARGE), ("bad", (x for x in range(3)))]), EncodeError, "generator"),
    "get_many number": (lambda s: s.get_many(5), InvalidArgumentError, "keys"),
    "get_many text": (lambda s: s.get_many("small"), InvalidArgumentError, "keys"),
    "keys prefix": (lambda s: s.keys(5), InvalidArgumentError, "prefix"),
    "keys start": (lambda s: s.keys(start=b"a"), InvalidArgumentError, "start"),
    "keys end": (lambda s: s.keys(end=5), InvalidArgumentError, "end"),
    "keys surrogate": (lambda s: s.keys("\ud800"), InvalidArgumentError, "prefix"),
    "keys limit": (lambda s: s.keys(limit=-1), InvalidArgumentError, "limit"),
    "list prefix": (lambda s: s.list(None), InvalidArgumentError, "prefix"),
    "list order": (lambda s: s.list(order="name"), InvalidArgumentError, "order"),
    "list order type": (lambda s: s.list(order=None), InvalidArgumentError, "order"),
    "list order twice": (lambda s: s.list(order="--key"), InvalidArgumentError, "order"),
    "list tags": (lambda s: s.list(tags=["a"]), InvalidArgumentError, "tags"),
    "list limit": (lambda s: s.list(limit="3"), InvalidArgumentError, "limit"),
    "list limit bool": (lambda s: s.list(limit=True), InvalidArgumentError, "limit"),
    "list after": (lambda s: s.list(after="small"), InvalidArgumentError, "after"),
    "open mode a": (lambda s: s.open("file", "a"), InvalidArgumentError, "mode"),
    "open mode r+": (lambda s: s.open("file", "r+b"), InvalidArgumentError, "mode"),
    "open mode bt": (lambda s: s.open("file", "rbt"), InvalidArgumentError, "mode"),
    "open mode empty": (lambda s: s.open("file", ""), InvalidArgumentError, "mode"),
    "open mode bb": (lambda s: s.open("file", "rbb"), InvalidArgumentError, "mode"),
    "open mode type": (lambda s: s.open("file", 5), InvalidArgumentError, "mode"),
    "open missing": (lambda s: s.open("missing"), NotFoundError, "missing"),
    "open r options": (lambda s: s.open("file", "r", tags={}), InvalidArgumentError, "options"),
    "open encoding": (lambda s: s.open("file", "r", encoding="nonsense"), InvalidArgumentError, "encoding"),
    "open w encoding": (lambda s: s.open("file", "w", encoding="nonsense"), InvalidArgumentError, "encoding"),
    "open newline": (lambda s: s.open("file", "w", newline="x"), InvalidArgumentError, "newline"),
    "chunks of text": (lambda s: s.put_chunks("file", ["text"]), InvalidArgumentError, "str"),
    "chunks late": (lambda s: s.put_chunks("file", [LARGE, None]), InvalidArgumentError, "NoneType"),
    "chunks number": (lambda s: s.put_chunks("file", 5), InvalidArgumentError, "int"),
    "chunks objects": (lambda s: s.put_chunks("file", [np.array([object()])]), InvalidArgumentError, "ndarray"),
    "chunks dates": (lambda s: s.put_chunks("file", [np.zeros(3, "M8[s]")]), InvalidArgumentError, "ndarray"),
    "put_file missing": (lambda s: s.put_file("/no/such/file"), NotFoundError, "/no/such/file"),
    "put_file folder": (lambda s: s.put_file("/usr"), StoreError, "put_dir"),
    "put_file device": (lambda s: s.put_file("/dev/zero", "zero"), StoreError, "regular"),
    "put_file type": (lambda s: s.put_file(5), InvalidArgumentError, "path"),
    "put_dir missing": (lambda s: s.put_dir("/no/such/folder"), NotFoundError, "/no/such/folder"),
    "put_dir file": (lambda s: s.put_dir("/etc/passwd"), NotFoundError, "folder"),
    "get_file missing": (lambda s: s.get_file("missing", "/tmp/never"), NotFoundError, "missing"),
    "get_file nowhere": (lambda s: s.get_file("file", "/no/such/folder/x"), StoreError, "/no/such/folder/x"),
    "get_file type": (lambda s: s.get_file("file", 5), InvalidArgumentError, "path"),
    "get_file no replace": (lambda s: s.get_file("file", "/etc/passwd", replace=False), ExistsError, "exists"),
    "get_dir into a file": (lambda s: s.get_dir("", "/etc/passwd"), StoreError, "/etc/passwd"),
    "create again": (lambda s: s.create(exist_ok=False), ExistsError, "forecast"),
    "create properties": (lambda s: s.create({"a": object()}), InvalidArgumentError, "JSON"),
    "create properties type": (lambda s: s.create(5), InvalidArgumentError, "JSON"),
    "create nan": (lambda s: s.create({"a": float("nan")}), InvalidArgumentError, "JSON"),
    "create surrogate": (lambda s: s.create({"a": "\ud800"}), InvalidArgumentError, "JSON"),
    "info missing": (lambda s: s.workflow("missing").info(), NotFoundError, "missing"),
    "drop missing": (lambda s: s.workflow("missing").drop(), NotFoundError, "missing"),
    "rename scope missing": (lambda s: s.workflow("missing").rename_scope("x"), NotFoundError, "missing"),
    "children kind": (lambda s: list(s.children(5)), InvalidScopeError, "kind"),
    "artifact missing": (lambda s: s.artifact("missing", create=False), NotFoundError, "missing"),
    "artifact read": (lambda s: s.artifact("old").read("missing"), NotFoundError, "missing"),
    "artifact write type": (lambda s: s.artifact("old").write("f.txt", 5), InvalidArgumentError, "int"),
    "artifact create": (lambda s: s.artifact("old").create(), ExistsError, "old"),
    "artifact copy missing": (lambda s: s.artifact("missing").copy("x"), NotFoundError, "missing"),
    "artifact copy onto": (lambda s: s.artifact("old").copy("old"), ExistsError, "old"),
    "artifact drop missing": (lambda s: s.artifact("missing").drop(), NotFoundError, "missing"),
    "artifact metadata file": (lambda s: s.artifact("old").write(".artifact.json", b""), InvalidKeyError, "metadata"),
    "metadata value": (lambda s: s.artifact("old").metadata.__setitem__("a", object()), EncodeError, "object"),
    "metadata key": (lambda s: s.artifact("old").metadata.__setitem__(1, "a"), EncodeError, "int"),
    "metadata missing": (lambda s: s.artifact("old").metadata["x"], KeyError, "x"),
    "metadata delete": (lambda s: s.artifact("old").metadata.__delitem__("x"), KeyError, "x"),
    "transaction durability": (lambda s: s.transaction(durability="x"), InvalidArgumentError, "durability"),
    "nested transaction": (lambda s: _in_transaction(s, lambda t: t.transaction()), InvalidArgumentError, "outside"),
    "drop inside": (lambda s: _in_transaction(s, lambda t: t.drop()), InvalidArgumentError, "outside"),
    "create inside": (lambda s: _in_transaction(s, lambda t: t.create()), InvalidArgumentError, "outside"),
    "rename inside": (lambda s: _in_transaction(s, lambda t: t.rename_scope("x")), InvalidArgumentError, "outside"),
    "order inside": (lambda s: _in_transaction(s, lambda t: list(t.list(order="size"))), InvalidArgumentError, "order"),
    "add inside": (lambda s: _in_transaction(s, lambda t: t.add("small")), InvalidArgumentError, "integer"),
    "add inside overflow": (lambda s: _in_transaction(s, lambda t: t.add("number", (1 << 63) - 1)),
                            InvalidArgumentError, "64 bits"),
    "delete inside": (lambda s: _in_transaction(s, lambda t: t.delete("missing")), NotFoundError, "missing"),
    "version inside": (lambda s: _in_transaction(s, lambda t: t.put("small", 1, if_version=99)), ConflictError, "99"),
    "copy into a transaction": (lambda s: _in_transaction(s, lambda t: s.copy("small", "x", to=t)),
                                InvalidArgumentError, "transaction"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_bad_calls(settled: holdfast.Scope, name: str) -> None:
    call, error, words = CALLS[name]
    with pytest.raises(error, match=words):
        call(settled)


STORE_CALLS: dict[str, tuple[Call, type[Exception], str]] = {
    "root holds no records": (lambda s: s._scope_type(s._kernel, ()), InvalidScopeError, "root"),
    "lease name": (lambda s: s.lease(5), InvalidArgumentError, "name"),
    "lease name empty": (lambda s: s.lease(""), InvalidArgumentError, "name"),
    "lease name surrogate": (lambda s: s.lease("\ud800"), InvalidArgumentError, "name"),
    "lease seconds": (lambda s: s.lease("x", seconds=0), InvalidArgumentError, "seconds"),
    "lease seconds type": (lambda s: s.lease("x", seconds="9"), InvalidArgumentError, "seconds"),
    "lease seconds nan": (lambda s: s.lease("x", seconds=float("nan")), InvalidArgumentError, "seconds"),
    "lease wait": (lambda s: s.lease("x", wait=-1), InvalidArgumentError, "wait"),
    "lease wait type": (lambda s: s.lease("x", wait="1"), InvalidArgumentError, "wait"),
    "lease not held": (lambda s: s.namespace("x").put("k", 1, lease=s.lease("x")), LeaseLost, "not held"),
    "lease not held renew": (lambda s: s.lease("x").renew(), LeaseLost, "not held"),
    "transaction durability": (lambda s: s.transaction(durability=1), InvalidArgumentError, "durability"),
    "gc wait": (lambda s: s.gc(wait="1"), InvalidArgumentError, "wait"),
}


@pytest.mark.parametrize("name", STORE_CALLS)
def test_bad_calls_of_a_store(store: holdfast.Store, name: str) -> None:
    call, error, words = STORE_CALLS[name]
    with pytest.raises(error, match=words):
        call(store)


def test_copy_to_another_store_is_refused(settled: holdfast.Scope, tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "other") as other:
        for verb in (settled.copy, settled.rename):
            with pytest.raises(InvalidArgumentError, match="one store"):
                verb("small", to=other.namespace("x"))
        with pytest.raises(InvalidArgumentError, match="one store"):
            settled.artifact("old").copy("new", to=other.namespace("x"))
        assert everything(other) == []


def test_a_name_that_is_taken(settled: holdfast.Scope) -> None:
    with pytest.raises(ExistsError, match="spare"):
        settled.artifact("old").scope.rename_scope("spare")
    with pytest.raises(ExistsError, match="spare"):
        settled.artifact("old").copy("spare")


def test_a_stream_that_raises(settled: holdfast.Scope) -> None:
    def broken() -> Iterator[bytes]:
        yield LARGE
        yield LARGE
        raise RuntimeError("the source broke")

    for key in ("file", "large", "new"):
        with pytest.raises(RuntimeError, match="broke"):
            settled.put_chunks(key, broken())
        with pytest.raises(RuntimeError, match="broke"):
            _in_transaction(settled, lambda inside: inside.put_chunks(key, broken()))  # noqa: B023


@pytest.mark.parametrize("mode", ["w", "wb", "x", "xb"])
def test_a_file_left_by_an_exception(settled: holdfast.Scope, mode: str) -> None:
    data: Any = LARGE if "b" in mode else LARGE.hex()
    file: Any = settled.open("new", mode)

    def work() -> None:
        with file:
            file.write(data)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        work()
    assert file.closed
    with pytest.raises(ValueError, match="closed"):
        file.write(data)


def test_mode_x_of_a_key_that_exists(settled: holdfast.Scope) -> None:
    for data in (b"", LARGE):
        with pytest.raises(ExistsError), settled.open("file", "xb") as file:
            file.write(data)


def test_a_file_that_was_aborted_stays_away(settled: holdfast.Scope) -> None:
    for mode, data in (("wb", LARGE), ("w", "text")):
        file: Any = settled.open("new", mode)
        file.write(data)
        file.abort()
        file.abort()
        file.close()
        assert file.record is None


def test_a_file_that_is_never_closed_is_discarded_with_a_warning(settled: holdfast.Scope) -> None:
    for mode, data in (("wb", LARGE), ("w", LARGE.hex())):
        file: Any = settled.open("new", mode)
        file.write(data)
        with pytest.warns(ResourceWarning, match="never closed"):
            del file
