"""Artifacts and their files through the Flowdapt face: docs of the original, by behaviour (P7 to P11)."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import ConflictError, EncodeError, InvalidArgumentError, InvalidKeyError, NotFoundError
from holdfast.compat.flowdapt.compute.artifacts import (
    Artifact,
    ArtifactFile,
    check_if_artifact_exists,
    get_artifact,
    list_artifacts,
    new_artifact,
)
from holdfast.compat.flowdapt.compute.resources.workflow.context import (
    WorkflowRunContext,
    get_run_context,
    reset_run_context,
    set_run_context,
)
from holdfast.errors import StoreNotFoundError

from ..kernel.places import set_keys
from .flowdapt_places import PLACES, Where, place_of
from .jobs import environment, python

BIG = bytes(range(256)) * 4096  # a MB, which is no value in the catalog

ILLEGAL: list[Any] = ["a b", "a/b", "../a", "..", ".", "a.b", "a:b", "ä", "a\n", "a\0", "%41", "\ud800", 7, None, b"a"]


@pytest.fixture(params=PLACES)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Where]:
    with place_of(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def artifact(where: Where) -> Artifact:
    return new_artifact("my_artifact", **where)


def names(artifact: Artifact) -> list[str]:
    return [file.name for file in artifact.list_files()]


# --- P7: making, getting, listing -------------------------------------------------------------------------------------


def test_p07_new_get_and_list(where: Where) -> None:
    assert list_artifacts(**where) == []
    first = new_artifact("first", **where)
    assert isinstance(first, Artifact)
    with pytest.raises(FileExistsError, match="first"):
        new_artifact("first", **where)
    first.new_file("kept", "1")
    assert get_artifact("first", **where).get_file("kept").read() == b"1"
    with pytest.raises(FileNotFoundError, match="second"):
        get_artifact("second", **where)
    assert not check_if_artifact_exists("second", **where)
    second = get_artifact("second", create=True, **where)
    assert (second.exists, second.is_empty) == (True, True)
    assert get_artifact("first", create=True, **where).get_file("kept").read() == b"1"
    assert [each.name for each in list_artifacts(**where)] == ["first", "second"]
    assert check_if_artifact_exists("first", **where)


def test_p07_the_class_methods_need_neither_context_nor_store() -> None:
    where = {"protocol": "memory", "base_path": "by-class"}
    made = Artifact.new_artifact("name", namespace="default", **where)
    made.new_file("f", "x")
    with pytest.raises(FileExistsError):
        Artifact.new_artifact("name", namespace="default", **where)
    found = Artifact.get_artifact("name", **where)
    assert found.get_file("f").read() == b"x"
    assert Artifact("name", "default", "memory", "by-class", {}).get_file("f").read() == b"x"
    assert Artifact.does_exist("name", namespace="default", **where)
    assert not Artifact.does_exist("other", namespace="default", **where)
    assert [each.name for each in Artifact.list_artifacts("default", **where)] == ["name"]
    for missing in ({"namespace": "other"}, {"base_path": "elsewhere"}):
        with pytest.raises(FileNotFoundError):
            Artifact.get_artifact("name", **{"namespace": "default", **where, **missing})


def test_p07_each_base_path_is_a_place_of_its_own(tmp_path: Path) -> None:
    for protocol, base in (("memory", "a"), ("memory", "b"), ("memory", ""), ("file", tmp_path / "a")):
        Artifact.new_artifact("same", protocol=protocol, base_path=base).new_file("f", f"{protocol}{base}")
    assert Artifact.get_artifact("same", protocol="memory", base_path="b").get_file("f").read() == b"memoryb"
    assert Artifact.get_artifact("same", protocol="local", base_path=str(tmp_path / "a")).has_file("f")


def test_p07_an_illegal_name_is_a_value_error_and_nothing_is_made(where: Where) -> None:
    for name in ILLEGAL:
        for call in (new_artifact, get_artifact, Artifact.new_artifact, Artifact.get_artifact, Artifact.does_exist):
            with pytest.raises(ValueError, match="letters, digits, _ and - only"):
                call(name, **where)
        with pytest.raises(InvalidArgumentError):
            get_artifact(name, create=True, **where)
    assert list_artifacts(**where) == []


def test_p07_an_empty_name_is_an_assertion_error_and_nothing_is_made(where: Where) -> None:
    for make in (new_artifact, Artifact.new_artifact):
        with pytest.raises(AssertionError, match="empty"):
            make("", **where)
    assert list_artifacts(**where) == []


def test_p07_legal_names_are_kept_as_they_are(where: Where) -> None:
    legal = ["0", "A-b_C", "_", "-", "a" * 200]
    for name in legal:
        new_artifact(name, **where)
    assert sorted(each.name for each in list_artifacts(**where)) == sorted(legal)


def test_p07_a_hostile_namespace_stays_a_namespace(where: Where) -> None:
    for namespace in ("../../etc", "a/b", "namespace:x", "%2F", "ä b"):
        made = Artifact.new_artifact("x", namespace=namespace, **where)
        made.new_file("f", namespace)
        assert made.namespace == namespace
        assert Artifact.get_artifact("x", namespace=namespace, **where).get_file("f").read().decode() == namespace
    with pytest.raises(ValueError, match="scope name"):
        Artifact.new_artifact("x", namespace="a\0b", **where)
    assert Artifact.list_artifacts("default", **where) == []


def test_p07_namespace_and_store_are_those_of_the_context(store: holdfast.Store) -> None:
    with store.context(namespace="prod", workflow="w"):
        new_artifact("a").new_file("f", "1")
        assert get_artifact("a").namespace == "prod"
    assert store.namespace("prod").artifact("a").read("f") == b"1"
    with store.context():
        assert new_artifact("a").namespace == "default"
        token = set_run_context(WorkflowRunContext(namespace="ours", executor="local"))
        try:
            assert new_artifact("b").namespace == "ours"
            assert [each.name for each in list_artifacts()] == ["b"]
            assert [each.name for each in list_artifacts("prod")] == ["a"]
        finally:
            reset_run_context(token)


def test_p07_without_a_store_the_error_says_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for call in (lambda: new_artifact("x"), list_artifacts, lambda: Artifact.get_artifact("x")):
        with pytest.raises(StoreNotFoundError, match="HOLDFAST_STORE"):
            call()
    with pytest.raises(StoreNotFoundError, match=r"s3://bucket/p .*HOLDFAST_STORE.*postgresql://"):
        new_artifact("x", protocol="s3", base_path="bucket/p")
    monkeypatch.setenv("HOLDFAST_STORE", str(tmp_path / "configured"))
    new_artifact("x")
    with holdfast.open(tmp_path / "configured") as store:
        assert store.namespace("default").artifact("x").exists


def test_p07_a_place_that_is_none_says_so(store: holdfast.Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with store.context():
        for protocol, base, words in (
            ("s3", "", "base_path"),
            ("nonsense", "x", "nonsense://"),
            ("file", str(tmp_path / "file"), "a store is a folder"),
            (7, "x", "protocol is text"),
        ):
            with pytest.raises((ValueError, OSError), match=words):
                new_artifact("x", protocol=protocol, base_path=base)  # type: ignore[arg-type]
    assert list(store.children()) == []


def test_p07_a_bucket_has_the_bytes_and_the_current_store_the_names(
    store: holdfast.Store, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    keys = {"key": "testing", "secret": "testing", "client_kwargs": {"region_name": "us-east-1"}}
    where: Where = {"protocol": "s3", "endpoint_url": s3_endpoint, **keys}
    client = boto3.client(
        "s3", endpoint_url=s3_endpoint, region_name="us-east-1", aws_access_key_id="t", aws_secret_access_key="t"
    )
    client.create_bucket(Bucket="flowdapt")
    with store.context():
        one, two = (new_artifact("same", base_path=f"flowdapt/{part}", **where) for part in "ab")
        with one.transaction():
            one.new_file("f", BIG)
            one["of"] = "a"
        assert one.uri == "s3://flowdapt/a/artifacts/default/same"
        assert get_artifact("same", base_path="flowdapt/a", **where).get_file("f").read() == BIG
        assert names(two) == []
        assert list_artifacts() == []
        found = client.list_objects_v2(Bucket="flowdapt")["Contents"]
        assert [each["Size"] for each in found if each["Key"].startswith("a/") and each["Size"] > 1000] == [len(BIG)]
        before = store.config
    assert before.storage is None
    with holdfast.open(before.store) as again:
        again.namespace("default").put("k", BIG)  # goes where the store's own bytes go
        assert again.namespace("default").record("k").contents["value"].storage == "holdfast.file@v1"
    assert len(client.list_objects_v2(Bucket="flowdapt")["Contents"]) == len(found)
    set_keys(monkeypatch)
    assert pickle.loads(pickle.dumps(one)).get_file("f").read() == BIG


def test_p07_any_protocol_of_fsspec(store: holdfast.Store, ftp_port: int) -> None:
    where: Where = {"protocol": "ftp", "base_path": f"writer@127.0.0.1:{ftp_port}/flow", "password": "its-password"}
    with store.context():
        made = new_artifact("x", **where)
        with made.transaction():
            made.new_file("f", BIG)
            made["key"] = "value"
        assert made.uri == f"ftp://writer@127.0.0.1:{ftp_port}/flow/artifacts/default/x"
        found = get_artifact("x", **where)
        assert (found.get_file("f").read(), found["key"], list_artifacts()) == (BIG, "value", [])
        with pytest.raises(holdfast.errors.StoreError, match="credentials"):
            get_artifact("x", **{**where, "password": "wrong"}).new_file("g", BIG)
        get_artifact("x", **where).new_file("g", BIG)
        assert names(made) == ["f", "g"]


# --- P8: an artifact --------------------------------------------------------------------------------------------------


def test_p08_what_an_artifact_says_of_itself(where: Where, tmp_path: Path) -> None:
    made = Artifact.new_artifact("name", namespace="ns", **where)
    base = where.get("base_path", str(tmp_path / "current"))
    assert (made.name, made.namespace, made.exists, made.is_empty) == ("name", "ns", True, True)
    assert made.path == f"{base}/artifacts/ns/name"
    assert made.uri == f"{where.get('protocol', 'file')}://{base}/artifacts/ns/name"
    assert made.uri in repr(made)


def test_p08_files_are_made_found_listed_and_removed(artifact: Artifact) -> None:
    assert not artifact
    file = artifact.new_file("b", content="Hello, World!")
    artifact.new_file("a", b"\0\xff")
    assert bool(artifact)
    assert not artifact.is_empty
    assert [type(each) for each in artifact.list_files()] == [ArtifactFile, ArtifactFile]
    assert names(artifact) == [each.name for each in artifact] == ["a", "b"]
    assert file.read() == artifact.get_file("b").read() == b"Hello, World!"
    assert artifact.has_file("a")
    assert "a" in artifact
    assert "c" not in artifact
    assert not artifact.has_file("c")
    artifact.delete_file("a")
    for call in (artifact.delete_file, artifact.get_file):
        with pytest.raises(FileNotFoundError, match="a"):
            call("a")
    assert names(artifact) == ["b"]


def test_p08_new_file_where_one_is(artifact: Artifact) -> None:
    artifact.new_file("f", "first")
    assert artifact.new_file("f").read() == b"first"
    with pytest.raises(FileExistsError, match="f"):
        artifact.new_file("f", "second", exist_ok=False)
    with pytest.raises(FileExistsError, match="f"):
        artifact.new_file("f", exist_ok=False)
    assert artifact.get_file("f").read() == b"first"
    assert artifact.new_file("f", "second").read() == b"second"
    assert artifact.new_file("g", exist_ok=False).read() == b""
    assert artifact.get_file("h", create=True).read() == b""
    assert artifact.get_file("f", create=True).read() == b"second"
    assert ArtifactFile.new(artifact, "i", "x").read() == b"x"
    with pytest.raises(FileExistsError):
        ArtifactFile.new(artifact, "i", "x")


def test_p08_metadata_is_no_file_but_for_who_asks(artifact: Artifact) -> None:
    artifact["key"] = "value"
    assert artifact.is_empty
    assert not artifact
    assert names(artifact) == []
    assert artifact.has_file(".artifact.json")
    assert [file.name for file in artifact.list_files(include_meta=True)] == [".artifact.json"]


def test_p08_clear_leaves_the_artifact(artifact: Artifact, where: Where) -> None:
    for number in range(3):
        artifact.new_file(str(number), "x")
    artifact["key"] = "value"
    artifact.clear()
    assert (artifact.exists, artifact.is_empty, artifact.metadata) == (True, True, {})
    assert get_artifact("my_artifact", **where).is_empty


def test_p08_after_delete_it_is_gone(artifact: Artifact, where: Where) -> None:
    file, other = artifact.new_file("f", "x"), get_artifact("my_artifact", **where)
    artifact["key"] = "value"
    artifact.delete()
    assert (artifact.exists, artifact.is_empty, bool(artifact)) == (False, True, False)
    assert (other.exists, other.is_empty) == (False, True)
    calls: list[Any] = [
        artifact.list_files, artifact.delete, artifact.clear, lambda: list(artifact), lambda: "f" in artifact,
        lambda: artifact.get_file("f"), lambda: artifact.get_file("f", create=True), lambda: artifact.new_file("f"),
        lambda: artifact.new_file("f", "x"), lambda: artifact.new_file("f", exist_ok=False),
        lambda: artifact.has_file("f"), lambda: artifact.delete_file("f"), lambda: artifact.get_meta("key"),
        lambda: artifact.set_meta("key", 1), lambda: artifact.del_meta("key"), lambda: artifact["key"],
        lambda: artifact.metadata, lambda: artifact.transaction().__enter__(), file.read, file.remove,
        lambda: file.write("x"), lambda: file.open("w"), lambda: file.open("rb"), lambda: other.new_file("g", "x"),
        lambda: artifact.get_file(".artifact.json"),
    ]  # fmt: skip
    for number, call in enumerate(calls):
        with pytest.raises(FileNotFoundError):
            call()
        assert not artifact.exists, number
    assert list_artifacts(**where) == []
    again = new_artifact("my_artifact", **where)
    assert (again.is_empty, again.metadata, artifact.exists) == (True, {}, True)


def test_p08_names_of_files_are_only_names(artifact: Artifact, tmp_path: Path) -> None:
    hostile = ["../../up", "/etc/passwd", "a/b/c", "..", "%2e", "ä b", "C:\\x", "a" * 500, ".artifact.json.old"]
    for name in hostile:
        artifact.new_file(name, name)
    assert sorted(names(artifact)) == sorted(hostile)
    assert [artifact.get_file(name).read().decode() for name in hostile] == hostile
    illegal: list[Any] = ["", "a\0", "\ud800", "a" * 600, 7]
    for name in illegal:
        for call in (artifact.new_file, artifact.has_file, artifact.get_file, artifact.delete_file):
            with pytest.raises(InvalidKeyError):
                call(name)
    assert len(names(artifact)) == len(hostile)


def test_p08_natively_it_is_an_artifact_of_the_namespace(store: holdfast.Store) -> None:
    with store.context():
        made = Artifact.new_artifact("x", namespace="prod")
        made.new_file("a.txt", "text")
        made["key"] = [1]
    native = store.namespace("prod").artifact("x", create=False)
    assert (list(native), native.read("a.txt"), dict(native.metadata)) == (["a.txt"], b"text", {"key": [1]})
    assert native.scope.record("a.txt").content_type == "text/plain; charset=utf-8"
    native.write("b", b"natively")
    assert made.get_file("b").read() == b"natively"


# --- P9: a file -------------------------------------------------------------------------------------------------------


def test_p09_read_and_write(artifact: Artifact) -> None:
    file = artifact.new_file("f", "größer\nlänger\n")
    text = "größer\nlänger\n"
    assert (file.name, file.path, file.artifact) == ("f", f"{artifact.path}/f", artifact)
    assert file.read() == text.encode()
    assert file.read(mode="r") == text
    assert (file.read(2), file.read(3, mode="r"), file.read(0)) == (b"gr", "grö", b"")
    file.write(b"\x80\0")
    assert file.read() == b"\x80\0"
    file.write(BIG)
    assert artifact.get_file("f").read() == BIG
    assert file.read(5) == BIG[:5]
    for empty in ("", b""):
        file.write(empty)
        assert file.read() == b""
    file.write(memoryview(bytearray(b"abc")))  # type: ignore[arg-type]
    assert file.read() == b"abc"


def test_p09_open_is_a_context_manager(artifact: Artifact) -> None:
    file = artifact.new_file("f")
    with file.open("w") as text:
        text.write("línea 1\n")
        assert file.read() == b""  # visible when the block ends
    with file.open() as text:
        assert text.read() == "línea 1\n"
    with file.open("wb") as data:
        data.write(BIG)
        data.write(b"end")
    with file.open("rb") as data:
        data.seek(-3, 2)
        assert data.read() == b"end"
    with pytest.raises(ZeroDivisionError), file.open("wb") as data:  # noqa: PT012
        data.write(b"half")
        raise ZeroDivisionError
    assert file.read() == BIG + b"end"
    for mode in ("", "q", "rw", "a", "r+"):
        with pytest.raises(ValueError, match="mode"):
            file.open(mode)
    with pytest.raises(ValueError, match="'rb' for bytes or 'r' for text"):
        file.read(mode="w")


def test_p09_content_of_another_type_is_a_type_error(artifact: Artifact) -> None:
    for content in (7, ["a"], {"a": 1}, 1.5, object(), True):
        _refuse(artifact, content)


def _refuse(artifact: Artifact, content: Any) -> None:
    file = artifact.new_file("f", "kept")
    calls: list[Any] = [
        lambda: file.write(content), lambda: artifact.new_file("f", content), lambda: artifact.new_file("g", content),
        lambda: artifact.new_file("g", content, exist_ok=False),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(TypeError, match=f"not {type(content).__name__}"):
            call()
    with pytest.raises(TypeError), file.open("w") as opened:
        opened.write(content)
    assert names(artifact) == ["f"]
    assert file.read() == b"kept"


def test_p09_a_file_that_was_removed_is_not_found(artifact: Artifact) -> None:
    file = artifact.new_file("f", "x")
    file.remove()
    for call in (file.remove, file.read, file.open, lambda: file.open("rb"), lambda: ArtifactFile("f", artifact)):
        with pytest.raises(FileNotFoundError, match="f"):
            call()
    assert artifact.is_empty
    file.write("anew")
    assert artifact.get_file("f").read() == b"anew"


def test_p09_handles_go_to_other_processes(store: holdfast.Store, tmp_path: Path) -> None:
    made = Artifact.new_artifact("x", base_path=str(tmp_path / "artifacts"))
    file = made.new_file("f", "1")
    code = "import pickle, sys\na, f = pickle.loads(bytes.fromhex(sys.argv[1]))\nf.write(f.read() * 2); print(a.uri)"
    assert python("-c", code, pickle.dumps((made, file)).hex()).stdout.strip() == made.uri
    assert file.read() == b"11"
    inside = Artifact.new_artifact("x", protocol="memory", base_path="process")
    with pytest.raises(InvalidArgumentError, match="open one in a folder"):
        pickle.dumps(inside)
    with made.transaction(), pytest.raises(InvalidArgumentError, match="stays in its process"):
        pickle.dumps(made)


# --- P10: transactions ------------------------------------------------------------------------------------------------


def test_p10_all_happens_at_the_end(artifact: Artifact, where: Where) -> None:
    artifact.new_file("old", "old")
    artifact.new_file("gone", "x")
    artifact["count"] = 1

    def seen() -> tuple[Any, ...]:  # by somebody else
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(lambda: get_artifact("my_artifact", **where)).result() if where else None
            other = other or Artifact._of(artifact._outside, artifact._place)
            return pool.submit(lambda: (names(other), other.metadata, other.get_file("old").read())).result()

    before = (["gone", "old"], {"count": 1}, b"old")
    with artifact.transaction() as inside:
        assert inside is artifact
        artifact.new_file("big", BIG)
        file = artifact.new_file("small", "1")
        file.write("2")
        artifact.get_file("old").write("new")
        artifact.delete_file("gone")
        artifact["count"] = 2
        artifact.set_meta("more", {"a": None})
        with artifact.new_file("streamed").open("wb") as out:
            out.write(b"abc")
        assert names(artifact) == ["big", "old", "small", "streamed"]
        assert artifact.get_file("small").read() == b"2"
        assert artifact["count"] == 2
        assert artifact.get_file("big").read(4) == BIG[:4]
        assert "gone" not in artifact
        assert seen() == before
    assert seen() == (["big", "old", "small", "streamed"], {"count": 2, "more": {"a": None}}, b"new")
    assert artifact.get_file("big").read() == BIG


def test_p10_a_block_that_raises_changes_nothing(artifact: Artifact) -> None:
    artifact.new_file("old", "old")
    artifact["key"] = 1
    with pytest.raises(ZeroDivisionError), artifact.transaction():  # noqa: PT012
        artifact.new_file("big", BIG)
        artifact.get_file("old").write("new")
        artifact.clear()
        artifact.new_file("other", "x")
        artifact["key"] = 2
        raise ZeroDivisionError
    assert (names(artifact), artifact.metadata, artifact.get_file("old").read()) == (["old"], {"key": 1}, b"old")
    artifact.new_file("after", "x")
    assert names(artifact) == ["after", "old"]


def test_p10_other_handles_and_threads_take_part(artifact: Artifact, where: Where) -> None:
    with pytest.raises(ZeroDivisionError), artifact.transaction():  # noqa: PT012
        get_artifact("my_artifact", **where).new_file("by-handle", "x")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: artifact.new_file(f"by-thread-{number}", BIG[:50_000]), range(8)))
        assert len(names(get_artifact("my_artifact", **where))) == 9
        raise ZeroDivisionError
    assert names(artifact) == []
    with artifact.transaction(), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: artifact.new_file(f"by-thread-{number}", BIG[:50_000]), range(8)))
    assert len(names(artifact)) == 8


def test_p10_a_block_in_a_block_belongs_to_it(artifact: Artifact, where: Where) -> None:
    with artifact.transaction():
        artifact.new_file("outer", "x")
        with get_artifact("my_artifact", **where).transaction() as inner:
            inner.new_file("inner", "x")
        assert names(artifact) == ["inner", "outer"]
    assert names(artifact) == ["inner", "outer"]
    with pytest.raises(ConflictError, match="a block inside"), artifact.transaction():  # noqa: PT012
        artifact.new_file("outer-2", "x")
        try:
            with get_artifact("my_artifact", **where).transaction() as inner:
                inner.new_file("inner-2", "x")
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    assert names(artifact) == ["inner", "outer"]


def test_p10_what_somebody_else_changed_is_a_conflict(artifact: Artifact) -> None:
    artifact["count"] = 1
    other = Artifact._of(artifact._outside, artifact._place)
    with pytest.raises(ConflictError), artifact.transaction():  # noqa: PT012
        artifact["count"] = artifact["count"] + 1
        artifact.new_file("f", "x")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(other.set_meta, "count", 10).result()
    assert (artifact["count"], names(artifact)) == (10, [])


def test_p10_an_artifact_that_is_deleted_meanwhile_takes_the_block_with_it(artifact: Artifact, where: Where) -> None:
    other = Artifact._of(artifact._outside, artifact._place)
    with pytest.raises(ConflictError, match="dropped"), artifact.transaction():  # noqa: PT012
        artifact.new_file("f", "x")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(other.delete).result()
    assert not artifact.exists
    again = new_artifact("my_artifact", **where)
    with pytest.raises(InvalidArgumentError, match="in a transaction"), again.transaction():
        again.delete()
    assert again.exists


KILLED = """
import os, signal, sys
from holdfast.compat.flowdapt.compute.artifacts import get_artifact
artifact = get_artifact("a", protocol="file", base_path=sys.argv[1])
big = bytes(range(256)) * 4096
for number in range(int(sys.argv[2]), 1000):
    with artifact.transaction():
        for part in range(4):
            artifact.new_file(f"part-{part}", number.to_bytes(4, "big") + big)
        artifact["number"] = number
    print(number, flush=True)
"""


def test_p10_a_kill_in_the_middle_leaves_all_or_nothing(tmp_path: Path) -> None:
    made = Artifact.new_artifact("a", protocol="file", base_path=tmp_path / "artifacts")
    last = -1
    for lines in (1, 2, 2, 3, 1):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "artifacts"), str(last + 1)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
        try:
            assert process.stdout is not None
            for _ in range(lines):
                last = int(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        number = made["number"]
        assert number >= last
        assert [int.from_bytes(file.read()[:4], "big") for file in made] == [number] * 4
        assert all(len(file.read()) == 4 + len(BIG) for file in made)
        last = number


# --- P11: metadata ----------------------------------------------------------------------------------------------------


def test_p11_metadata_is_set_got_and_deleted(artifact: Artifact, where: Where) -> None:
    artifact.set_meta("created_by", "my_username")
    artifact["creation_date"] = "2023-05-26"
    assert artifact.get_meta("created_by") == artifact["created_by"] == "my_username"
    assert get_artifact("my_artifact", **where).metadata == {
        "created_by": "my_username", "creation_date": "2023-05-26",
    }  # fmt: skip
    artifact.del_meta("created_by")
    del artifact["creation_date"]
    assert artifact["created_by"] is None
    assert artifact.get_meta("creation_date") is None
    assert artifact.get_meta("creation_date", "none") == "none"
    for call in (artifact.del_meta, artifact.__delitem__):
        with pytest.raises(KeyError, match="created_by"):
            call("created_by")
    assert artifact.metadata == {}


def test_p11_json_values_are_kept_as_they_are(artifact: Artifact) -> None:
    values = {
        "none": None, "true": True, "int": 2**80, "float": 0.1, "text": "ä\0\n", "list": [1, [None, {}]],
        "object": {"a": {"b": [1.5]}}, "": "empty", "a/b:c%": "hostile",
    }  # fmt: skip
    for key, value in values.items():
        artifact[key] = value
    assert artifact.metadata == values
    assert [(type(artifact[key]), artifact[key]) for key in values] == [(type(v), v) for v in values.values()]
    copied = artifact.metadata
    copied["list"].append(1)
    copied["new"] = 1
    assert artifact.metadata == values


def test_p11_what_json_cannot_hold_is_a_type_error(artifact: Artifact) -> None:
    artifact["key"] = "kept"
    for value in ((1, 2), {1: 2}, float("nan"), b"x", object(), {"a"}, "\ud800"):
        with pytest.raises(EncodeError):
            artifact["key"] = value
    with pytest.raises(TypeError):
        artifact.set_meta(7, "x")  # type: ignore[arg-type]
    assert artifact.metadata == {"key": "kept"}


def test_p11_it_shows_as_a_file(artifact: Artifact) -> None:
    file = artifact.get_file(".artifact.json")
    assert json.loads(file.read()) == {}
    artifact["key"] = "ä"
    assert json.loads(file.read()) == json.loads(file.read(mode="r")) == {"key": "ä"}
    with file.open() as text:
        assert json.load(text) == {"key": "ä"}
    file.write('{"other": [1]}')
    assert artifact.metadata == {"other": [1]}
    for wrong in ("[1]", "{", b"\xff", "7", '{"a": NaN}'):
        with pytest.raises(ValueError, match="JSON"):
            file.write(wrong)
    with pytest.raises(InvalidKeyError, match="set_meta"):
        file.open("w")
    with pytest.raises(FileExistsError):
        artifact.new_file(".artifact.json", "{}", exist_ok=False)
    assert artifact.metadata == {"other": [1]}
    file.remove()
    assert artifact.metadata == {}
    assert artifact.exists


def test_p11_threads_lose_no_metadata(artifact: Artifact, where: Where) -> None:
    def work(number: int) -> None:
        mine = Artifact._of(artifact._outside, artifact._place)
        for turn in range(5):
            mine[f"{number}-{turn}"] = turn

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(artifact.metadata) == 20


# --- P13: the context of a run ----------------------------------------------------------------------------------------


def test_p13_outside_of_a_run_there_is_no_context() -> None:
    with pytest.raises(RuntimeError, match="execute_workflow"):
        get_run_context()
    with pytest.raises(InvalidArgumentError):
        get_run_context()


def test_p13_a_context_is_current_until_it_is_reset() -> None:
    outer = WorkflowRunContext(executor="local", input={"a": 1}, config={"b": 2}, run="r", definition="d")
    first = set_run_context(outer)
    try:
        second = set_run_context(inner := WorkflowRunContext(namespace="n", executor="dask"))
        assert get_run_context() is inner
        reset_run_context(second)
        found = get_run_context()
        assert (found.input, found.namespace, found.executor) == ({"a": 1}, "default", "local")
        assert (found.run, found.definition, found.config) == ("r", "d", {"b": 2})
    finally:
        reset_run_context(first)
    with pytest.raises(RuntimeError):
        get_run_context()


def test_not_found_errors_are_of_both_trees(where: Where) -> None:
    with pytest.raises(NotFoundError):
        get_artifact("missing", **where)
    new_artifact("there", **where)
    with pytest.raises(holdfast.ExistsError):
        new_artifact("there", **where)
