"""VIKTOR's storage: behaviours V1 to V11."""

from __future__ import annotations

import copy
import io
import os
import pickle
import random
import resource
import time
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import InvalidArgumentError, InvalidKeyError, InvalidScopeError, StoreNotFoundError
from holdfast.compat.viktor import Entity, File, Storage
from holdfast.compat.viktor.errors import EntityNotFoundError, MissingFileError

from .jobs import job, python

A1 = Entity(id="A1", entity_type="Span")
A2 = Entity(id="A2", entity_type="Span")
B7 = Entity(id=7, entity_type="Pier")


def test_v01_set_takes_a_file_under_a_key_of_1_to_256_characters(store: holdfast.Store, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"\x00local")
    written = File()
    with written.open() as text:
        text.write("written")
    with store.context(workspace="w", entity=A1):
        given = {
            "text": (File.from_data("é"), "é".encode()),
            "bytes": (File.from_data(b"\xff"), b"\xff"),
            "path": (File.from_path(tmp_path / "local"), b"\x00local"),
            "written": (written, b"written"),
            "k": (File.from_data(""), b""),
            "k" * 256: (File.from_data("long"), b"long"),
            "a/b ü": (File.from_data("odd"), b"odd"),
        }
        for key, (file, _) in given.items():
            assert Storage().set(key, data=file, scope="entity") is None  # type: ignore[func-returns-value]
        Storage().set("again", Storage().get("text", scope="entity"), scope="entity")
        Storage().set("text", File.from_data("new"), scope="entity")
        found = {key: Storage().get(key, scope="entity").getvalue_binary() for key in given}
        assert found == {key: content for key, (_, content) in given.items()} | {"text": b"new"}
        assert Storage().get("again", scope="entity").getvalue() == "é"
        Storage().set("again", Storage().get("again", scope="entity"), scope="entity")
        assert Storage().get("again", scope="entity").getvalue() == "é"
        bad: Any
        for bad in ("k" * 257, "", "a\nb", None, 3, b"k"):
            with pytest.raises(InvalidKeyError):
                Storage().set(bad, File.from_data("x"), scope="entity")
            with pytest.raises(InvalidKeyError):
                Storage().get(bad, scope="entity")
            with pytest.raises(InvalidKeyError):
                Storage().delete(bad, scope="entity")
        with pytest.raises(InvalidKeyError, match="1 to 256 characters, not 257"):
            Storage().set("k" * 257, File.from_data("x"), scope="entity")
        for bad in ("abc", b"abc", None, tmp_path / "local", io.BytesIO()):
            with pytest.raises(InvalidArgumentError, match=r"must be a File, as in File\.from_data"):
                Storage().set("x", bad, scope="entity")
        with pytest.raises(TypeError, match="scope"):
            Storage().set("x", File.from_data("x"))  # type: ignore[call-arg]
    scope = store.workspace("w").entity("Span.A1")
    assert set(scope.keys()) == {*given, "again"}
    assert scope.record("text").serializer is None


def test_v01_a_file_that_fails_half_way_leaves_nothing(store: holdfast.Store, tmp_path: Path) -> None:
    path = tmp_path / "local"
    path.write_bytes(b"1")
    file = File.from_path(path)
    with store.context(workspace="w", entity=A1):
        Storage().set("k", File.from_data("old"), scope="entity")
        path.unlink()
        with pytest.raises(FileNotFoundError):
            Storage().set("k", file, scope="entity")
        assert Storage().get("k", scope="entity").getvalue() == "old"


def test_v02_get_gives_a_file_or_raises_file_not_found(store: holdfast.Store) -> None:
    with store.context(workspace="w", entity=A1):
        Storage().set("k", File.from_data("abc"), scope="entity")
        file = Storage().get("k", scope="entity")
        assert isinstance(file, File)
        assert file.getvalue() == "abc"
        for scope in ("entity", "workspace"):
            with pytest.raises(FileNotFoundError, match="no file workspace:w") as caught:
                Storage().get("none", scope=scope)
            assert type(caught.value) is MissingFileError
            assert isinstance(caught.value, holdfast.NotFoundError)
            assert repr(pickle.loads(pickle.dumps(caught.value))) == repr(caught.value)
        Storage().delete("k", scope="entity")
        with pytest.raises(FileNotFoundError):
            file.open()
        with pytest.raises(FileNotFoundError):
            file.getvalue_binary()


def test_v02_bytes_that_are_lost_are_no_missing_file(store: holdfast.Store) -> None:
    with store.context(workspace="w"):
        Storage().set("k", File.from_data(bytes(100_000)), scope="workspace")
        file = Storage().get("k", scope="workspace")
        place = store.workspace("w").record("k").contents["value"].storage_config
        os.unlink(os.path.join(store.config.store, "files", place))
        for read in (file.getvalue_binary, file.open, file.copy):
            with pytest.raises(holdfast.ValueLost) as caught:
                read()
            assert not isinstance(caught.value, FileNotFoundError)


def test_v03_list_gives_files_by_key(store: holdfast.Store) -> None:
    with store.context(workspace="w", entity=A1):
        assert Storage().list(scope="entity") == {}
        for key in ("data_key_2", "other", "data_key_1", "data_kez"):
            Storage().set(key, File.from_data(f"content of {key}"), scope="entity")
        listed = Storage().list(scope="entity")
        assert type(listed) is dict
        assert list(listed) == ["data_key_1", "data_key_2", "data_kez", "other"]
        assert {key: file.getvalue() for key, file in listed.items()} == {key: f"content of {key}" for key in listed}
        assert list(Storage().list(prefix="data_key_", scope="entity")) == ["data_key_1", "data_key_2"]
        assert Storage().list(prefix="none", scope="entity") == {}
        for key in Storage().list(scope="entity"):
            Storage().delete(key, scope="entity")
        assert Storage().list(scope="entity") == {}
        with pytest.raises(InvalidArgumentError, match="prefix"):
            Storage().list(prefix=3, scope="entity")  # type: ignore[arg-type]


@pytest.mark.long
def test_v03_listing_100_000_keys_reads_no_content(store: holdfast.Store) -> None:
    """1,000 of them are of a MB, a GB in all (of the same bytes, so that the test is quick)."""
    scope = store.workspace("w")
    scope.put_many({f"small/{number:05}": b"x" * 100 for number in range(99_000)})
    first = scope.put("large/000", random.Random(0).randbytes(1 << 20))
    with store.transaction() as tx:
        inside = tx.workspace("w")
        for number in range(1, 1000):
            inside.copy("large/000", f"large/{number:03}")
    with store.context(workspace="w"):
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        before, begin = _io_read(), time.perf_counter()
        listed = Storage().list(scope="workspace")
        seconds, read = time.perf_counter() - begin, _io_read() - before
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
        assert len(listed) == 100_000
        assert read < 100 << 20, f"{read >> 20} MB were read"  # pages of the catalog
        assert grown < 100, f"{grown} MB"
        assert seconds < 20, seconds
        before = _io_read()
        for number in range(200):
            listed[f"large/{number:03}"].getvalue_binary()
        assert _io_read() - before > 200 << 20  # so reading would have been seen
        os.unlink(os.path.join(store.config.store, "files", first.contents["value"].storage_config))
        assert Storage().list(scope="workspace").keys() == listed.keys()
        with pytest.raises(holdfast.ValueLost):
            listed["large/999"].getvalue_binary()


def _io_read() -> int:
    """Bytes that this process has read by system calls."""
    (line,) = [line for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("rchar")]
    return int(line.split()[1])


def test_v04_delete_removes_or_raises_file_not_found(store: holdfast.Store) -> None:
    with store.context(workspace="w", entity=A1):
        Storage().set("k", File.from_data("abc"), scope="entity")
        assert Storage().delete("k", scope="entity") is None  # type: ignore[func-returns-value]
        with pytest.raises(FileNotFoundError):
            Storage().get("k", scope="entity")
        with pytest.raises(FileNotFoundError) as caught:
            Storage().delete("k", scope="entity")
        assert isinstance(caught.value, holdfast.NotFoundError)


def test_v05_the_same_key_on_two_entities_is_two_files(store: holdfast.Store) -> None:
    with store.context(workspace="w", entity=A1):
        Storage().set("entity_data", data=File.from_data("content set by A1"), scope="entity")
    with store.context(workspace="w", entity=A2):
        with pytest.raises(FileNotFoundError):
            Storage().get("entity_data", scope="entity")
        with pytest.raises(FileNotFoundError):
            Storage().delete("entity_data", scope="entity")
        assert Storage().list(scope="entity") == {}
        Storage().set("entity_data", data=File.from_data("content set by A2"), scope="entity")
    for entity, content in ((A1, "content set by A1"), (A2, "content set by A2")):
        with store.context(workspace="w", entity=entity):
            assert Storage().get("entity_data", scope="entity").getvalue() == content
    with store.context(workspace="another", entity=A1), pytest.raises(FileNotFoundError):
        Storage().get("entity_data", scope="entity")


def test_v06_entity_reaches_another_one_of_any_type(store: holdfast.Store) -> None:
    with store.context(workspace="w", entity=A1):
        Storage().set("entity_data", File.from_data("content set by A1"), scope="entity")
    with store.context(workspace="w", entity=B7):
        for name in (A1, "Span.A1"):
            assert Storage().get("entity_data", scope="entity", entity=name).getvalue() == "content set by A1"
            assert list(Storage().list(scope="entity", entity=name)) == ["entity_data"]
        Storage().set("from", File.from_data("Pier"), scope="entity", entity=A1)
        assert Storage().list(scope="entity") == {}
        Storage().delete("entity_data", scope="entity", entity=A1)
    assert list(store.workspace("w").entity("Span.A1")) == ["from"]


def test_v06_a_dropped_entity_raises_and_one_never_written_to_is_empty(store: holdfast.Store) -> None:
    workspace = store.workspace("w")
    with store.context(workspace="w", entity=B7):
        Storage().set("k", File.from_data("x"), scope="entity", entity=A1)
        held = Storage().get("k", scope="entity", entity=A1)
        workspace.entity(A1).drop()
        for call in (
            lambda: Storage().get("k", scope="entity", entity=A1),
            lambda: Storage().list(scope="entity", entity=A1),
            lambda: Storage().delete("k", scope="entity", entity=A1),
            lambda: Storage().set("k", File.from_data("y"), scope="entity", entity=A1),
            held.open,
            held.getvalue_binary,
        ):
            with pytest.raises(EntityNotFoundError, match=r"workspace:w/entity:Span\.A1 was dropped"):
                call()
        assert workspace.entity("Span.A1").was_dropped
        assert Storage().list(scope="entity", entity=A2) == {}
        with pytest.raises(FileNotFoundError):
            Storage().get("k", scope="entity", entity=A2)
        Storage().set("k", File.from_data("z"), scope="entity", entity=A2)
        workspace.entity(A1).create()
        assert Storage().list(scope="entity", entity=A1) == {}
        Storage().set("k", File.from_data("made anew"), scope="entity", entity=A1)
        assert Storage().get("k", scope="entity", entity=A1).getvalue() == "made anew"
        workspace.drop()
        with pytest.raises(EntityNotFoundError):
            Storage().get("k", scope="entity", entity=A2)


def test_v06_a_set_that_began_before_the_drop_writes_nothing(store: holdfast.Store) -> None:
    entity = store.workspace("w").entity(A1)

    class Dropping(File):
        def _pieces(self) -> Any:
            yield b"first"
            entity.drop()
            yield b"second"

    with store.context(workspace="w", entity=A1):
        Storage().set("k", File.from_data("x"), scope="entity")
        with pytest.raises(holdfast.ScopeDroppedError):
            Storage().set("k", Dropping(data=""), scope="entity")
    assert entity.was_dropped


def test_v06_holds_between_two_jobs(tmp_path: Path) -> None:
    data = tmp_path / "jobs"
    job(data, """
        with holdfast.open().context(workspace="w", entity=Entity(id="A1", entity_type="Span")):
            Storage().set("entity_data", data=File.from_data("content set by A1"), scope="entity")
    """)  # fmt: skip
    reads = """
        with holdfast.open().context(workspace="w", entity=Entity(id=7, entity_type="Pier")):
            print(Storage().get("entity_data", scope="entity", entity=Entity(id="A1", entity_type="Span")).getvalue())
    """
    assert job(data, reads) == "content set by A1\n"
    with holdfast.open(data) as store:
        store.workspace("w").entity("Span.A1").drop()
    failing = reads.replace("print(", "\n            try: print(").replace(
        ".getvalue())", ".getvalue())\n            except Exception as error: print(type(error).__name__)"
    )
    assert job(data, failing) == "EntityNotFoundError\n"


def test_v07_a_workspace_is_one_section_for_all_entities(store: holdfast.Store) -> None:
    with store.context(workspace="w", entity=A1):
        Storage().set("workspace_data", data=File.from_data("content set by A1"), scope="workspace")
    with store.context(workspace="w", entity=A2):
        Storage().set("workspace_data", data=File.from_data("content set by A2"), scope="workspace")
    for entity in (A1, A2, B7):
        with store.context(workspace="w", entity=entity):
            assert Storage().get("workspace_data", scope="workspace").getvalue() == "content set by A2"
            with pytest.raises(FileNotFoundError):
                Storage().get("workspace_data", scope="entity")
    with store.context(workspace="v", entity=A1), pytest.raises(FileNotFoundError):
        Storage().get("workspace_data", scope="workspace")


def test_v08_a_session_is_gone_when_it_is_closed(store: holdfast.Store) -> None:
    for name in ("s1", "s2"):
        with store.context(workspace="w", entity=A1, session=name):
            Storage().set("k", File.from_data(name), scope="session")
            Storage().set("k", File.from_data("entity"), scope="entity")
    with store.context(workspace="w", entity=B7, session="s1"):
        assert Storage().get("k", scope="session").getvalue() == "s1"
        store.workspace("w").session("s1").drop()
        with pytest.raises(MissingFileError):
            Storage().get("k", scope="session")
        assert Storage().list(scope="session") == {}
        with store.context(session="s2"):
            assert Storage().get("k", scope="session").getvalue() == "s2"
        assert Storage().get("k", scope="entity", entity=A1).getvalue() == "entity"


def test_v09_what_job_a_stored_job_b_reads(tmp_path: Path) -> None:
    data = tmp_path / "jobs"
    enter = 'with holdfast.open().context(workspace="w", entity="Span.A1", session="s"):\n    '
    for scope in ("entity", "workspace", "session"):
        job(data, f"{enter}Storage().set('result', File.from_data('of job A' * 10_000), scope={scope!r})")
        got = job(data, f"{enter}print(Storage().get('result', scope={scope!r}).getvalue()[:8])")
        assert got == "of job A\n"
    with holdfast.open(data) as store:
        records = [
            record for scope in (store.workspace("w"), *store.workspace("w").children()) for record in scope.list()
        ]
        assert len(records) == 3
        assert {record.expires for record in records} == {None}


def test_v10_an_unknown_scope_and_a_missing_entity_name_the_choices(store: holdfast.Store) -> None:
    calls: list[Any] = [
        lambda **where: Storage().set("k", File.from_data("x"), **where),
        lambda **where: Storage().get("k", **where),
        lambda **where: Storage().delete("k", **where),
        lambda **where: Storage().list(**where),
    ]
    for call in calls:
        with store.context(workspace="w"):
            for scope in ("app", "", None, "Entity", ["entity"]):
                with pytest.raises(InvalidArgumentError, match="'entity', 'workspace', 'session'"):
                    call(scope=scope)
            with pytest.raises(InvalidArgumentError) as caught:
                call(scope="entity")
            for choice in ("context(workspace=..., entity=...)", "entity=Entity(", "'workspace'", "'session'"):
                assert choice in str(caught.value)
            with pytest.raises(InvalidArgumentError, match=r"no session is current.*context\(workspace=..., session"):
                call(scope="session")
            for entity in (7, b"Span.A1", object()):
                with pytest.raises(InvalidArgumentError, match=r"an Entity or a name such as 'Span\.A1'"):
                    call(scope="entity", entity=entity)
            with pytest.raises(InvalidScopeError, match="empty"):
                call(scope="entity", entity="")
            with pytest.raises(InvalidArgumentError, match="goes with scope='entity', not with scope='workspace'"):
                call(scope="workspace", entity=A1)
    assert list(store.children()) == []


def test_v10_without_a_store_the_error_says_how_to_name_one() -> None:
    with pytest.raises(StoreNotFoundError, match="HOLDFAST_STORE"):
        Storage().list(scope="workspace")


def test_v11_the_run_context_names_workspace_entity_and_session(store: holdfast.Store) -> None:
    with store.context(workspace="w", entity=A1, session="s") as scope:
        assert str(scope) == "workspace:w/entity:Span.A1"
        assert [type(name) for _, name in scope.path] == [str, str]
        for section in ("entity", "workspace", "session"):
            Storage().set(section, File.from_data(section), scope=section)
        assert holdfast.get("entity") == b"entity"
        with store.context(entity="Span.A2"):
            Storage().set("entity", File.from_data("of A2"), scope="entity")
            assert Storage().get("session", scope="session").getvalue() == "session"
    workspace = store.workspace("w")
    assert workspace.entity("Span.A1").get("entity") == b"entity"
    assert workspace.entity("Span.A2").get("entity") == b"of A2"
    assert workspace.get("workspace") == b"workspace"
    assert workspace.session("s").get("session") == b"session"


def test_v11_without_a_workspace_it_is_the_default_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_STORE", str(tmp_path / "configured"))
    Storage().set("k", File.from_data("1"), scope="workspace")
    Storage().set("k", File.from_data("2"), scope="entity", entity=A1)
    with holdfast.open(tmp_path / "configured") as store:
        assert store.workspace("default").get("k") == b"1"
        assert store.workspace("default").entity("Span.A1").get("k") == b"2"
        with store.context(namespace="prod", workflow="f"):
            assert Storage().get("k", scope="workspace").getvalue() == "1"


def test_v11_a_job_from_the_shell_names_them_by_variables(tmp_path: Path) -> None:
    code = "for scope in ('entity', 'workspace', 'session'): Storage().set('k', File.from_data(scope), scope=scope)"
    names = {"WORKSPACE": "w", "ENTITY": "Span.A1", "SESSION": "s"}
    job(tmp_path / "data", code, **{f"HOLDFAST_VIKTOR_{kind}": name for kind, name in names.items()})
    with holdfast.open(tmp_path / "data") as store:
        workspace = store.workspace("w")
        found = [workspace.get("k"), workspace.entity("Span.A1").get("k"), workspace.session("s").get("k")]
        assert found == [b"workspace", b"entity", b"session"]


def test_v11_an_entity_is_the_name_of_its_scope() -> None:
    assert (A1.id, A1.entity_type, str(A1), B7.id, str(B7)) == ("A1", "Span", "Span.A1", 7, "Pier.7")
    assert A1 == "Span.A1" == Entity("A1", "Span")
    assert Entity(7, "Pier") == Entity("7", "Pier")
    assert Entity("x.y", "Span") != Entity("y", "Spanx")
    assert repr(B7) == "Entity(id=7, entity_type='Pier')"
    for other in (copy.deepcopy(B7), pickle.loads(pickle.dumps(B7))):
        assert (type(other), other, other.id, other.entity_type) == (Entity, B7, 7, "Pier")
    for id, entity_type in (
        (None, "A"),
        ("", "A"),
        (True, "A"),
        (1.0, "A"),
        (1, "A.b"),
        (1, ""),
        (1, None),
        ("a\n", "A"),
    ):
        with pytest.raises(InvalidArgumentError):
            Entity(id=id, entity_type=entity_type)


PEAK = """
import resource, sys
import holdfast
from holdfast.compat.viktor import File, Storage
size, piece = int(sys.argv[2]), bytes(range(256)) * 4096
with open(sys.argv[1] + "/source", "wb") as file:
    for _ in range(size // len(piece)):
        file.write(piece)
with holdfast.open(sys.argv[1] + "/data") as store, store.context(workspace="w"):
    Storage().set("warm", File.from_data(bytes(3 << 20)), scope="workspace")
    with Storage().get("warm", scope="workspace").open_binary() as file:
        file.read(1 << 20)
    def grown():
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    Storage().set("k", File.from_path(sys.argv[1] + "/source"), scope="workspace")
    with open(sys.argv[1] + "/source", "wb"):
        pass
    stored = grown()
    with Storage().get("k", scope="workspace").open_binary() as file:
        opened = grown()
        file.seek(size // 2 + 7)
        assert file.read(100) == piece[7:107]
        file.seek(0)
        length = 0
        while data := file.read(1 << 20):
            length += len(data)
    with Storage().list(scope="workspace")["k"].open("latin-1") as file:
        file.read(10)
    assert length == size // len(piece) * len(piece)
    assert opened - stored < 8, (stored, opened)
    assert grown() < 64, grown()
"""


def test_v12_a_file_of_300_mb_opens_with_a_few_mb(tmp_path: Path) -> None:
    python("-c", PEAK, tmp_path, 300 << 20)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_v12_a_file_of_5_gb_opens_with_a_few_mb(tmp_path: Path) -> None:
    python("-c", PEAK, tmp_path, 5 << 30, seconds=1000)
