"""Opening a catalog in PostgreSQL: what is made, what is refused and in which words, and who may do it."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from holdfast.catalog.postgresql import PostgreSQLCatalog, schema
from holdfast.catalog.postgresql.connection import Link
from holdfast.catalog.postgresql.target import parse_url
from holdfast.errors import (
    InvalidArgumentError,
    NotAStoreError,
    ReadOnlyError,
    SchemaError,
    StoreError,
    StoreNotFoundError,
)
from holdfast.model import POWER
from holdfast.testing.catalog_cases import FLOW, data_of, put, put_bundle, record_of
from holdfast.testing.postgresql import Server
from holdfast.testing.processes import in_child

_numbers = itertools.count()


@pytest.fixture
def admin(postgresql: Server) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgresql.url(), autocommit=True) as connection:
        yield connection


@pytest.fixture
def name() -> str:
    return f"opening{next(_numbers)}"


@pytest.fixture
def url(postgresql: Server, name: str) -> str:
    return f"{postgresql.url()}?schema={name}"


# --- the URL ----------------------------------------------------------------------------------------------------------


def test_a_url_is_read_as_libpq_does() -> None:
    target = parse_url("postgresql://me:p%40ss@db.example:6543/data?schema=a%20b&sslmode=require&connect_timeout=7", 30)
    for key, value in {"user": "me", "password": "p@ss", "host": "db.example", "port": "6543", "dbname": "data",
                       "sslmode": "require", "connect_timeout": "7", "client_encoding": "UTF8"}.items():  # fmt: skip
        assert target.parameters[key] == value
    assert target.schema == "a b"
    assert "p@ss" not in repr(target) + target.where
    assert "db.example:6543" in target.where
    assert parse_url("postgres:///data?host=/run/postgresql", 30).schema == "holdfast"
    several = parse_url("postgresql://me@one:1,two:2/data?target_session_attrs=read-write", 30)
    assert several.parameters["host"] == "one,two"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:secret@h/d",
        "host=h password=secret",
        "postgresql://u:secret word@h/d",
        "postgresql://u:secret@h:port/d",
        "postgresql://u:secret@h/d?nonsense=1",
        "postgresql://u:secret@h/d?schema=",
        "postgresql://u:secret@h/d?schema=pg_mine",
        "postgresql://u:secret@h/d?schema=" + "x" * 64,
        "postgresql://u:secret@h/d?schema=a%00b",
        "postgresql://u:secret%zz@h/d",
        "",
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises((InvalidArgumentError, StoreError)) as caught:
        PostgreSQLCatalog(url, timeout=1)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None or "secret" not in str(caught.value.__cause__)


def test_a_time_out_below_zero(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="timeout"):
        PostgreSQLCatalog(url, timeout=-1)


# --- who does not get in ----------------------------------------------------------------------------------------------


def test_nobody_answers() -> None:
    with pytest.raises(StoreError, match=r"no server answers.*127\.0\.0\.1:9.*start it"):
        PostgreSQLCatalog("postgresql://me:secret@127.0.0.1:9/data", timeout=1)
    with pytest.raises(StoreError, match=r"no server answers.*no\.such\.host\.invalid.*mend host"):
        PostgreSQLCatalog("postgresql://me:secret@no.such.host.invalid/data", timeout=1)


@pytest.mark.parametrize("options", [{"password": "a-wrong-one"}, {"user": "nobody_here"}])
def test_wrong_credentials(postgresql: Server, options: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match="let nobody in: mend user and password") as caught:
        PostgreSQLCatalog(postgresql.url(**options), timeout=1)
    assert not isinstance(caught.value, StoreNotFoundError)
    for secret in ("a-wrong-one", postgresql.password):
        assert secret not in f"{caught.value!s} {caught.value!r} {caught.value.__cause__!s}"


def test_an_unknown_database(postgresql: Server) -> None:
    with pytest.raises(StoreNotFoundError, match=r"create that database.*nothing_here"):
        PostgreSQLCatalog(postgresql.url("nothing_here"), timeout=1)


def test_no_password_is_shown(postgresql: Server, url: str) -> None:
    catalog = PostgreSQLCatalog(url)
    assert postgresql.password not in repr(catalog)
    assert "127.0.0.1" in repr(catalog)
    catalog.close()


def test_without_psycopg() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from holdfast.errors import MissingExtraError\n"
        "try:\n    import holdfast.catalog.postgresql\n"
        "except MissingExtraError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "holdfast[postgresql]"' in done.stdout


# --- what is there ----------------------------------------------------------------------------------------------------


def test_create_and_open_again(url: str) -> None:
    with pytest.raises(StoreNotFoundError, match="create=True"):
        PostgreSQLCatalog(url, create=False)
    catalog = PostgreSQLCatalog(url)
    put(catalog, "key")
    catalog.close()
    again = PostgreSQLCatalog(url, create=False)
    assert data_of(again, "key") == b"value"
    assert (again.store_id, again.signing_key) == (catalog.store_id, catalog.signing_key)
    again.close()


def test_many_make_it_at_once(url: str) -> None:
    def child() -> list[str]:
        catalog = PostgreSQLCatalog(url)
        put(catalog, "key")
        catalog.close()
        return [catalog.store_id, catalog.signing_key.hex()]

    answers: list[list[str]] = []
    threads = [threading.Thread(target=lambda: answers.append(in_child(child))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len({tuple(answer) for answer in answers}) == 1


def test_stores_of_one_database_are_apart(url: str) -> None:
    one, two = PostgreSQLCatalog(url), PostgreSQLCatalog(url + "_b")
    assert one.store_id != two.store_id
    put(one, "key", b"one")
    assert data_of(two, "key") is None
    put(two, "key", b"two")
    one.drop_scope(FLOW)
    assert data_of(two, "key") == b"two"
    one.close()
    two.close()


@pytest.mark.parametrize("odd", ["Upper Case", 'quo"ted', "semi;colon", "ünï", "select", "a.b", "x" * 63, "%41"])
def test_odd_names_of_schemas(postgresql: Server, odd: str) -> None:
    catalog = PostgreSQLCatalog(f"{postgresql.url()}?schema={quote(odd)}")
    put(catalog, "key")
    catalog.commit([])
    catalog.close()
    again = PostgreSQLCatalog(f"{postgresql.url()}?schema={quote(odd)}", create=False)
    assert data_of(again, "key") == b"value"
    again.close()


def test_a_schema_of_something_else(admin: psycopg.Connection, url: str, name: str) -> None:
    admin.execute(f"CREATE SCHEMA {name}")
    admin.execute(f"CREATE TABLE {name}.customers(id int)")
    for create in (True, False):
        with pytest.raises(NotAStoreError, match=r"customers.*new schema"):
            PostgreSQLCatalog(url, create=create)
    admin.execute(f"ALTER TABLE {name}.customers RENAME TO store")
    with pytest.raises(NotAStoreError):
        PostgreSQLCatalog(url)
    admin.execute(f"DROP TABLE {name}.store")
    PostgreSQLCatalog(url).close()  # an empty schema that was made for it


def test_a_newer_schema(admin: psycopg.Connection, url: str, name: str) -> None:
    PostgreSQLCatalog(url).close()
    admin.execute(f"UPDATE {name}.store SET schema=99")
    with pytest.raises(SchemaError, match=r"schema 99.*upgrade holdfast"):
        PostgreSQLCatalog(url)


def test_damage_is_told(admin: psycopg.Connection, url: str, name: str) -> None:
    catalog = PostgreSQLCatalog(url)
    put(catalog, "key")
    admin.execute(f"DROP TABLE {name}.kept")
    with pytest.raises(SchemaError, match=r"no table kept.*restore it"):
        PostgreSQLCatalog(url)
    admin.execute(f"DROP TABLE {name}.records CASCADE")
    for verb in (lambda: put(catalog, "key"), lambda: catalog.find(FLOW, "key"), lambda: catalog.sweep()):
        with pytest.raises(SchemaError, match=r"damaged.*restore it"):
            verb()
    catalog.close()


def test_an_older_schema_is_brought_forward_by_one(
    admin: psycopg.Connection, url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many that open it at once; those that are open go on."""
    old = PostgreSQLCatalog(url)
    put(old, "key")

    def step(link: Link) -> None:
        link.script("ALTER TABLE store ADD COLUMN wish text; UPDATE store SET wish='made once'")

    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, step])

    def child() -> bool:
        catalog = PostgreSQLCatalog(url, create=False)
        put(catalog, "key")
        catalog.close()
        return True

    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(in_child(child))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 4
    assert admin.execute(f"SELECT schema,wish FROM {name}.store").fetchall() == [(len(schema.MIGRATIONS), "made once")]
    put(old, "key", b"by the old one")
    old.close()
    monkeypatch.undo()
    with pytest.raises(SchemaError, match="upgrade holdfast"):
        PostgreSQLCatalog(url)


def test_the_first_schema_is_brought_forward(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
    monkeypatch.setattr(schema, "TABLES", [name for name in schema.TABLES if name != "members"])
    old = PostgreSQLCatalog(url)
    put(old, "key")
    monkeypatch.undo()
    new = PostgreSQLCatalog(url, create=False)
    assert len(put_bundle(new, "key", b"one", b"two")) == 2
    assert [row[1] for row in new.find(FLOW, "key")] == [row[1] for row in old.find(FLOW, "key")]
    put(old, "key", b"by the old one")
    new.mark_synced([])
    assert new.sweep() == 0
    assert len(new.garbage()) == 2
    old.close()
    new.close()


def test_a_migration_that_fails_changes_nothing(
    admin: psycopg.Connection, url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    PostgreSQLCatalog(url).close()

    def step(link: Link) -> None:
        link.script("ALTER TABLE store ADD COLUMN wish text")
        link.script("SELECT no_such_function()")

    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, step])
    with pytest.raises(StoreError):
        PostgreSQLCatalog(url)
    monkeypatch.undo()
    catalog = PostgreSQLCatalog(url)
    assert admin.execute(f"SELECT schema FROM {name}.store").fetchall() == [(len(schema.MIGRATIONS),)]
    put(catalog, "key")
    catalog.close()


# --- rights -----------------------------------------------------------------------------------------------------------


def test_who_may_not_make_a_schema(admin: psycopg.Connection, postgresql: Server, name: str) -> None:
    admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    mine = f"{postgresql.url(user=name, password='secret')}?schema={name}"
    with pytest.raises(ReadOnlyError, match=rf'CREATE SCHEMA "{name}" AUTHORIZATION "{name}"'):
        PostgreSQLCatalog(mine)
    admin.execute(f"CREATE SCHEMA {name} AUTHORIZATION {name}")
    catalog = PostgreSQLCatalog(mine)
    put(catalog, "key")
    catalog.close()


def test_who_may_only_read(admin: psycopg.Connection, postgresql: Server, url: str, name: str) -> None:
    owner = PostgreSQLCatalog(url)
    put(owner, "key")
    admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    admin.execute(f"GRANT USAGE ON SCHEMA {name} TO {name}; GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO {name}")
    mine = f"{postgresql.url(user=name, password='secret')}?schema={name}"
    reader = PostgreSQLCatalog(mine)
    assert data_of(reader, "key") == b"value"
    assert reader.keys(FLOW, "", None, 10) == ["key"]
    for verb in (
        lambda: put(reader, "key"),
        lambda: reader.drop_scope(FLOW),
        reader.sweep,
    ):
        with pytest.raises(ReadOnlyError, match="may not be written"):
            verb()
    reader.close()
    admin.execute(f"ALTER ROLE {name} SET default_transaction_read_only=on")
    admin.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {name} TO {name}")
    admin.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {name} TO {name}")
    reader = PostgreSQLCatalog(mine)
    with pytest.raises(ReadOnlyError, match="may not be written"):
        put(reader, "key")
    reader.close()
    owner.close()


# --- settings ---------------------------------------------------------------------------------------------------------


def test_a_database_that_is_not_in_utf_8(admin: psycopg.Connection, postgresql: Server, name: str) -> None:
    admin.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C' LOCALE_PROVIDER libc")
    with pytest.raises(StoreError, match=r"LATIN1.*ENCODING 'UTF8'"):
        PostgreSQLCatalog(postgresql.url(name))


def test_a_role_with_settings_of_its_own(admin: psycopg.Connection, postgresql: Server, name: str) -> None:
    """What an administrator takes lightly, or strictly, for other programs does not change what is promised."""
    admin.execute(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD 'secret'")
    for setting in (
        "synchronous_commit=off", "default_transaction_isolation='serializable'", "search_path='public'",
        "timezone='Asia/Kolkata'", "bytea_output='escape'", "datestyle='german'", "standard_conforming_strings=off",
        "extra_float_digits=-10", "client_min_messages=debug5",
    ):  # fmt: skip
        admin.execute(f"ALTER ROLE {name} SET {setting}")
    catalog = PostgreSQLCatalog(f"{postgresql.url(user=name, password='secret')}?schema={name}")
    assert catalog.read("SHOW synchronous_commit") == [("on",)]
    assert catalog.read("SHOW transaction_isolation") == [("read committed",)]
    put(catalog, "kéy", b"\\x00\0'", power=True, tags={"a\\": "\\u0000\0"})
    record = record_of(catalog, "kéy")
    assert data_of(catalog, "kéy") == b"\\x00\0'"
    assert record.flags == POWER
    assert abs(record.created - catalog.now()) < 5
    assert [row[0] for row in catalog.search(FLOW, tags={"a\\": "\\u0000\0"})] == ["kéy"]
    catalog.close()


def test_the_time_is_the_server_s(url: str, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = PostgreSQLCatalog(url)

    def distance() -> float:
        ((there,),) = admin.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchall()
        return float(there - catalog.now())

    assert -0.05 < distance() < 0.5
    import time

    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)  # this machine's clock is set
    assert -0.05 < distance() < 0.5
    put(catalog, "key")
    assert abs(record_of(catalog, "key").updated - real()) < 5
    catalog.close()
