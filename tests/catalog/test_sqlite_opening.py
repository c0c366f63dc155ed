"""What may be where a catalog is to be opened, what is made there, and how its schema goes forward."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from holdfast.catalog.sqlite import SQLiteCatalog, opening, schema
from holdfast.errors import (
    InvalidArgumentError,
    NotAStoreError,
    ReadOnlyError,
    SchemaError,
    StoreError,
    StoreNotFoundError,
)
from holdfast.testing.catalog_cases import FLOW, data_of, put
from holdfast.testing.processes import in_child


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def made(path: Path) -> Path:
    """A closed catalog with one value."""
    catalog = SQLiteCatalog(path)
    put(catalog, "key")
    catalog.close()
    return path


def test_it_is_made_and_opened_again(path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="create=True"):
        SQLiteCatalog(path, create=False)
    assert not list(path.parent.iterdir())
    first = SQLiteCatalog(path)
    put(first, "key")
    identity = (first.store_id, first.signing_key)
    first.close()
    second = SQLiteCatalog(os.fspath(path), create=False)
    assert (second.store_id, second.signing_key) == identity
    assert data_of(second, "key") == b"value"
    assert second.path == str(path)
    second.close()


def test_two_stores_are_two(tmp_path: Path) -> None:
    one, two, three = SQLiteCatalog(tmp_path / "a"), SQLiteCatalog(tmp_path / "b"), SQLiteCatalog(None)
    assert len({one.store_id, two.store_id, three.store_id}) == 3
    assert len({one.signing_key, two.signing_key, three.signing_key}) == 3
    put(three, "key")
    assert data_of(SQLiteCatalog(None), "key") is None
    for catalog in (one, two, three):
        catalog.close()


def test_a_relative_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    catalog = SQLiteCatalog("file:odd?name#.sqlite")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    put(catalog, "key")
    in_child(lambda: put(catalog, "child"))
    catalog.close()
    assert (tmp_path / "file:odd?name#.sqlite").stat().st_size > 0
    assert not list((tmp_path / "elsewhere").iterdir())


def test_no_folder(path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="folder"):
        SQLiteCatalog(path / "below" / "catalog.sqlite")


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + b"junk" * 500, os.urandom(8192)])
def test_something_else_is_there(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises((NotAStoreError, SchemaError)):
        SQLiteCatalog(path)
    assert path.read_bytes() == content
    path.unlink()
    path.mkdir()
    with pytest.raises(NotAStoreError, match="folder"):
        SQLiteCatalog(path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(NotAStoreError, match="regular"):
        SQLiteCatalog(path)


@pytest.mark.parametrize("statement", ["CREATE TABLE cats(name)", "PRAGMA user_version=1", "PRAGMA application_id=7"])
def test_somebody_elses_database(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA page_size=4096; CREATE TABLE t(a); DROP TABLE t")
    connection.execute(statement)
    connection.close()
    content = path.read_bytes()
    with pytest.raises(NotAStoreError, match="not a Holdfast catalog"):
        SQLiteCatalog(path)
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_catalog_when_asked(path: Path) -> None:
    path.touch()
    with pytest.raises(StoreNotFoundError, match="empty"):
        SQLiteCatalog(path, create=False)
    SQLiteCatalog(path).close()
    SQLiteCatalog(path, create=False).close()


def test_a_catalog_half_made_is_finished(path: Path) -> None:
    """A process that died after it had chosen the log's mode."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    catalog = SQLiteCatalog(path)
    put(catalog, "key")
    catalog.close()


def test_a_newer_schema_names_both_numbers(made: Path) -> None:
    connection = apsw.Connection(str(made))
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(SchemaError, match=rf"\b99\b.*\b{len(schema.MIGRATIONS)}\b"):
        SQLiteCatalog(made)


def test_damage_is_told(made: Path) -> None:
    connection = apsw.Connection(str(made))
    connection.execute("DROP TABLE blobs")
    connection.close()
    with pytest.raises(SchemaError, match="blobs"):
        SQLiteCatalog(made)


def test_torn_pages_are_told(made: Path) -> None:
    catalog = SQLiteCatalog(made)
    for number in range(500):
        put(catalog, f"k{number}", b"x" * 500)
    catalog.close()
    with made.open("r+b") as file:
        file.seek(4096 * 4)
        file.write(b"\xff" * (made.stat().st_size - 4096 * 4))

    def read() -> None:
        catalog = SQLiteCatalog(made)
        try:
            for number in range(500):
                data_of(catalog, f"k{number}")
        finally:
            catalog.close()

    with pytest.raises(StoreError):
        read()


def test_migrations_go_forward_each_whole_or_not(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(connection: apsw.Connection) -> None:
        connection.execute("CREATE TABLE half(a)")
        raise ArithmeticError("in the middle")

    def second(connection: apsw.Connection) -> None:
        connection.execute("CREATE TABLE extra(a)")
        connection.execute("INSERT INTO extra SELECT count(*) FROM records")

    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, failing])
    with pytest.raises(ArithmeticError):
        SQLiteCatalog(made)
    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS[:-1], second])
    catalog = SQLiteCatalog(made)
    assert catalog.read("SELECT a FROM extra") == [(1,)]
    assert catalog.read("PRAGMA user_version") == [(len(schema.MIGRATIONS),)]
    assert data_of(catalog, "key") == b"value"
    with pytest.raises(StoreError, match="half"):
        catalog.read("SELECT a FROM half")
    catalog.close()
    monkeypatch.undo()
    with pytest.raises(SchemaError):
        SQLiteCatalog(made)


def test_many_processes_make_it_at_once(path: Path) -> None:
    program = (
        "import sys; from holdfast.catalog.sqlite import SQLiteCatalog\n"
        "from holdfast.testing.catalog_cases import put\n"
        "c = SQLiteCatalog(sys.argv[1]); put(c, sys.argv[2]); print(c.store_id); c.close()"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program, path, str(number)], stdout=subprocess.PIPE, text=True)
        for number in range(6)
    ]
    found = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 6
    assert len(found) == 1
    catalog = SQLiteCatalog(path)
    assert catalog.keys(FLOW, "", None, 10) == [str(number) for number in range(6)]
    catalog.close()


@pytest.mark.parametrize("what", ["file", "folder", "gate"])
def test_what_may_not_be_written(made: Path, what: str) -> None:
    made.with_name("catalog.sqlite.gate").touch()
    target = {"file": made, "folder": made.parent, "gate": made.with_name("catalog.sqlite.gate")}[what]
    made.parent.chmod(0o777)
    for each in made.parent.iterdir():
        each.chmod(0o666)
    for folder in list(made.parents)[1:-1]:
        if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 1:
            folder.chmod(folder.stat().st_mode | 0o55)
    target.chmod(0o555 if what == "folder" else 0o444)

    def child() -> str:
        if os.getuid() == 0:  # who may do everything meets no such error
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        try:
            SQLiteCatalog(made)
        except ReadOnlyError as error:
            return str(error)
        raise AssertionError("it was opened")

    try:
        assert str(made) in in_child(child)
    finally:
        made.parent.chmod(0o755)


def test_an_old_library_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(StoreError, match=r"3\.51\.2.*3\.51\.3.*apsw"):
        SQLiteCatalog(path)
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.100.0")
    opening.require_library()


def test_a_time_out_below_zero(path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="timeout"):
        SQLiteCatalog(path, timeout=-1)


def test_whose_machine_it_is(made: Path) -> None:
    catalog = SQLiteCatalog(made)
    assert catalog.machine() is None
    before = catalog.now()
    catalog.claim("machine", "boot", 60)
    machine = SQLiteCatalog(made).machine()
    assert machine is not None
    assert machine[:2] == ("machine", "boot")
    assert before + 60 <= machine[2] <= catalog.now() + 60
    catalog.close()


@pytest.mark.parametrize("step", range(4))
def test_a_catalog_that_is_being_made_is_not_taken_for_something_else(tmp_path: Path, step: int) -> None:
    """Somebody else makes the catalog, in one commit, between any two of the reads that look what the file is."""
    path = str(tmp_path / "catalog.sqlite")
    connection = apsw.Connection(path)
    names: list[str] = []

    class Between:
        def pragma(self, name: str) -> object:
            if len(names) == step:
                SQLiteCatalog(path).close()
            names.append(name)
            return connection.pragma(name)

    schema.check(Between(), path)  # type: ignore[arg-type]
    connection.close()
