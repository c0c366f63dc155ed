"""What PostgreSQL is touchy about: text, long names, large commits, plans; and settings of the database around it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast.address import MAX_NAME, Path
from holdfast.catalog.base import ABSENT, Delete, Edit, Expect, NewBlob
from holdfast.catalog.postgresql import PostgreSQLCatalog, statements
from holdfast.catalog.postgresql.listing import _KEYS, _SEARCH
from holdfast.errors import ConflictError, InvalidArgumentError
from holdfast.model import Codec, RecordRow
from holdfast.testing.catalog_cases import (
    BOOT,
    FLOW,
    data_of,
    file_put,
    inline_put,
    put,
    put_file,
    record_of,
    versions,
)
from holdfast.testing.postgresql import Server

_numbers = itertools.count()


@pytest.fixture
def catalog(postgresql: Server) -> Iterator[PostgreSQLCatalog]:
    catalog = PostgreSQLCatalog(f"{postgresql.url()}?schema=rows{next(_numbers)}")
    yield catalog
    catalog.close()


# --- text -------------------------------------------------------------------------------------------------------------


def test_text_with_a_nul_is_refused(catalog: PostgreSQLCatalog) -> None:
    """Keys and names have none, and JSON has it as an escape: it would come from a program's error."""
    put(catalog, "key")
    for verb in (
        lambda: catalog.codec_id(Codec("a\0", "text/plain")),
        lambda: catalog.storage_id("a\0", "x"),
        lambda: catalog.acquire("a", "me\0", 1),
        lambda: catalog.commit([file_put(catalog, "key", place="a\0b")]),
        lambda: catalog.known(1, ["a\0"]),
    ):
        with pytest.raises(InvalidArgumentError, match="no NUL character"):
            verb()
    assert data_of(catalog, "key") == b"value"


def test_text_that_is_no_utf_8_is_refused(catalog: PostgreSQLCatalog) -> None:
    with pytest.raises(InvalidArgumentError, match="UTF-8"):
        catalog.codec_id(Codec("a\ud800", "text/plain"))


def test_a_listing_may_begin_anywhere(catalog: PostgreSQLCatalog) -> None:
    """Bounds are not keys: they may have characters that no key has."""
    for key in ("a", "a b", "ab", "b"):
        put(catalog, key)
    for start, end, wanted in [
        ("a\0", None, ["a b", "ab", "b"]),
        ("a\0\0x", "ab\0", ["a b", "ab"]),
        ("\0", "\0", []),
        ("a\x01", "b\x1f", ["a b", "ab", "b"]),
        ("", "\U0010ffff", ["a", "a b", "ab", "b"]),
    ]:
        assert catalog.keys(FLOW, start, end, 10) == wanted
        assert [row[0] for row in catalog.search(FLOW, start=start, end=end)] == wanted


@pytest.mark.parametrize("backslashes", range(5))
def test_tags_with_characters_that_jsonb_has_not(catalog: PostgreSQLCatalog, backslashes: int) -> None:
    slashes = "\\" * backslashes
    values = [f"{slashes}\0", f"{slashes}u0000", f"{slashes}\ue000b", f"{slashes}\ue000", f"{slashes}\0\0u0000\ue000a",
              f"{slashes}", f"\\u0000{slashes}", '"', f"{slashes}\uffff\U0010ffff"]  # fmt: skip
    for number, value in enumerate(values):
        text = json.dumps({"tag": value, value: "key"}, ensure_ascii=bool(number % 2))
        catalog.put(FLOW, f"k{number}", (None, text, 0, None, 1, 1, None, None, b"x"))
    for number, value in enumerate(values):
        for wanted in ({"tag": value}, {value: "key"}, {"tag": value, value: "key"}):
            assert [row[0] for row in catalog.search(FLOW, tags=wanted)] == [f"k{number}"], (value, wanted)
    assert record_of(catalog, "k0").tags == json.dumps({"tag": values[0], values[0]: "key"}, ensure_ascii=False)


def test_the_database_s_own_order_is_of_no_interest(catalog: PostgreSQLCatalog) -> None:
    """A server sorts text as people of its country do, unless it is told otherwise for a column."""
    rows = catalog.read(
        "SELECT c.relname||'.'||a.attname FROM pg_attribute a JOIN pg_class c ON c.oid=attrelid "
        "JOIN pg_collation l ON l.oid=attcollation WHERE relnamespace=current_schema()::regnamespace "
        "AND relkind='r' AND collname='C'"
    )
    ordered = {"scopes.kind", "scopes.name", "marks.path", "records.key", "kept.key", "past.key", "surplus.key"}
    assert {name for (name,) in rows} == ordered
    indexes = catalog.read(
        "SELECT DISTINCT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid=indexrelid, "
        "unnest(indcollation) AS l(oid) WHERE relnamespace=current_schema()::regnamespace "
        "AND l.oid NOT IN (0,'\"C\"'::regcollation)"
    )
    found_only = {"leases_pkey", "records_session"}  # by equality, and from one to the next in whatever order
    assert {name for (name,) in indexes} == found_only


# --- length -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600"])
def test_the_longest_names(catalog: PostgreSQLCatalog, letter: str) -> None:
    """An index of PostgreSQL takes some 2,700 bytes."""
    long = letter * MAX_NAME
    path: Path = tuple((long, f"{number}{long}"[:MAX_NAME]) for number in range(5))
    put(catalog, long, path=path)
    other = (*path[:-1], (long, f"{path[-1][1][:-1]}y"))
    put(catalog, long, b"other", path=other)
    assert data_of(catalog, long, path) == b"value"
    assert catalog.keys(path, "", None, 10) == [long]
    children = [info.path for info in catalog.children(path[:-1], None, 10)]
    assert children == sorted([path, other], key=lambda each: each[-1][1].encode())
    assert [info.path for info in catalog.children(path[:-1], children[0][-1], 10)] == children[1:]
    last = versions(catalog, long, path)[0]
    catalog.drop_scope(path[:2])
    assert catalog.was_dropped(path)
    assert not catalog.was_dropped((*path, ("a", "b")))
    catalog.rename_scope(path[:1], "renamed")
    moved = ((long, "renamed"), *path[1:])
    assert catalog.was_dropped(moved)
    assert not catalog.was_dropped(path)
    assert put(catalog, long, path=path) > last
    assert put(catalog, long, path=moved) > last


def test_long_shared_rows(catalog: PostgreSQLCatalog) -> None:
    long = "text/" + "x" * 20_000
    codec = catalog.codec_id(Codec("a@v1", long))
    assert catalog.codec_id(Codec("a@v1", long + "x")) != codec
    place = json.dumps({"key": "x" * 50_000})
    row = put_file(catalog, "file", place=place)
    storage = row.storage or 0
    assert catalog.known(storage, [place, place + " "]) == {place}
    (done,) = catalog.commit([file_put(catalog, "again", b"file", place=place)])
    assert done.taken
    blob = NewBlob(storage, place + " ", True, BOOT)
    assert row.blob is not None
    catalog.trust(row.blob, blob)
    assert data_of(catalog, "file") == place + " "


def test_a_value_of_many_megabytes(catalog: PostgreSQLCatalog) -> None:
    data = bytes(range(256)) * (1 << 16)  # 16 MB
    put(catalog, "large", data)
    assert data_of(catalog, "large") == data
    catalog.commit([inline_put(catalog, f"l{number}", data) for number in range(3)])
    assert data_of(catalog, "l2") == data


@pytest.mark.long
def test_a_commit_of_many_changes(catalog: PostgreSQLCatalog) -> None:
    """More than the server has locks for; and each sees those before it."""
    count = 12_000
    paths: list[Path] = [(("space", str(number)),) for number in range(3)]
    changes: list[Any] = [
        inline_put(catalog, f"k{number}", b"%d" % number, path=paths[number % 3], if_version=ABSENT)
        for number in range(count)
    ]
    done = catalog.commit(changes)
    rows = [one.row for one in done]
    assert [row.key for row in rows if row] == [f"k{number}" for number in range(count)]
    assert len({row.version for row in rows if row}) == count
    assert sum(catalog.usage(path).records for path in paths) == count
    with pytest.raises(ConflictError):
        catalog.commit([*changes[:1000], inline_put(catalog, "new", path=paths[0])])
    assert data_of(catalog, "new", paths[0]) is None
    catalog.commit([Delete(change.path, change.key) for change in changes])
    assert sum(catalog.usage(path).records for path in paths) == 0


def test_one_key_many_times_in_one_commit(catalog: PostgreSQLCatalog) -> None:
    new: Path = (("new", "scope"),)
    codec = catalog.codec_id(Codec("a", "b"))
    for path in (FLOW, new):
        changes: list[Any] = [
            Expect(path, "key", ABSENT), inline_put(catalog, "key", b"1", path, if_version=ABSENT),
            inline_put(catalog, "key", b"2", path), Edit(path, "key", tags='{"a":"b"}'), Delete(path, "key"),
            Expect(path, "key", ABSENT), file_put(catalog, "key", b"3", path), inline_put(catalog, "key", b"4", path),
            Edit(path, "key", codec=codec),
        ]  # fmt: skip
        done = catalog.commit(changes)
        seen = [one.row.version for one in done if one.row is not None]
        deleted = done[4].row
        assert deleted is not None
        assert (deleted.version, deleted.tags) == (seen[2], '{"a":"b"}')
        assert seen[:3] + seen[4:] == sorted(set(seen))
        assert data_of(catalog, "key", path) == b"4"
        record = record_of(catalog, "key", path)
        assert (record.version, record.codec, record.tags) == (seen[-1], codec, None)
        assert record == done[-1].row


# --- plans ------------------------------------------------------------------------------------------------------------


def _plans(catalog: PostgreSQLCatalog, sql: str, values: tuple[Any, ...]) -> list[str]:
    """The plans of a statement: for these values, and for any."""
    link = catalog._pool.take()
    found = []
    try:
        link.script(f"PREPARE explained AS {sql}")
        literals = ",".join("NULL" if v is None else f"'{v}'" if isinstance(v, str) else str(v) for v in values)
        for mode in ("force_custom_plan", "force_generic_plan"):
            link.script(f"SET plan_cache_mode={mode}")
            rows = link._connection.execute(f"EXPLAIN EXECUTE explained({literals})".encode()).fetchall()
            found.append("\n".join(row[0] for row in rows))
        link.script("DEALLOCATE explained; RESET plan_cache_mode")
    finally:
        catalog._pool.give_after_error(link)
    return found


def _fill(catalog: PostgreSQLCatalog, count: int) -> int:
    put(catalog, "k")
    scope = catalog.scope_id(FLOW)
    assert scope is not None
    if count:
        catalog.write(
            "INSERT INTO records(scope,key,tier,version,flags,created,updated,algorithm,size,codec,data,tags) "
            "SELECT ?1,'key'||(i::int8*7919%?2),0,nextval('versions'),0,1,1,0,100,1,decode('00','hex'),"
            'CASE WHEN i%1000=0 THEN \'{"stage":"eval"}\' END FROM generate_series(1,?2::int) i '
            "ON CONFLICT DO NOTHING",
            (scope, count),
        )
    return scope


@pytest.mark.parametrize("count", [0, 20_000, pytest.param(1_000_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("analyzed", [False, True])
def test_no_listing_sorts_or_scans_all(catalog: PostgreSQLCatalog, count: int, analyzed: bool) -> None:
    """Neither while the server does not know yet how large the tables are, nor when it does."""
    scope, epoch = _fill(catalog, count), catalog.resolve(FLOW)[0]
    link = catalog._pool.take()
    if analyzed:
        for table in ("records", "blobs", "store"):
            link.script(f"ANALYZE {table}")
    catalog._pool.give(link)
    texts: dict[str, tuple[str, tuple[Any, ...]]] = {
        "find": (statements.FIND, (scope, "key5", epoch)),
        "record": (statements.RECORD, (scope, "key5", epoch)),
        "entry": (statements.ENTRY, (scope, "key5", epoch)),
        "keys": (_KEYS(100, bounded=False), (scope, "key5", epoch)),
        "keys to an end": (_KEYS(100, bounded=True), (scope, "key5", epoch, "key7")),
        "search": (_SEARCH("key", False, 100, bounded=False, after=False, tagged=False), (scope, "key5", epoch)),
        "search to an end": (_SEARCH("key", False, 100, bounded=True, after=False, tagged=False),
                             (scope, "key5", epoch, "key7")),
        "search down": (_SEARCH("key", True, 100, bounded=True, after=False, tagged=False),
                        (scope, "", epoch, "key7")),
        "children": (statements.CHILDREN, (scope, "a", "b", epoch, 100)),
    }  # fmt: skip
    for name, (sql, values) in texts.items():
        for plan in _plans(catalog, sql, values):
            assert not re.search(r"-> +(Sort|Seq Scan|Hash|Bitmap)", plan), f"{name}:\n{plan}"
            if name == "keys":
                assert "Index Only Scan" in plan


def test_rare_tags_are_found_by_their_index(catalog: PostgreSQLCatalog) -> None:
    scope, epoch = _fill(catalog, 20_000), catalog.resolve(FLOW)[0]
    catalog.write("ANALYZE records")
    sql = _SEARCH("key", False, 100, bounded=False, after=False, tagged=True)
    plan = _plans(catalog, sql, (scope, "", epoch, '{"stage":"eval"}'))[0]
    assert "records_tags" in plan
    found = [RecordRow._make(row) for row in catalog.search(FLOW, tags={"stage": "eval"}, limit=7)]
    assert len(found) == 7
    more = [RecordRow._make(row) for row in catalog.search(FLOW, tags={"stage": "eval"}, after=found[-1])]
    assert len(more) == 13
    keys = [row.key for row in (*found, *more)]
    assert keys == sorted(set(keys))


def test_frequent_tags_are_found_in_the_order_of_keys(catalog: PostgreSQLCatalog) -> None:
    """A page ends long before all that have them are found, and sorted."""
    scope, epoch = _fill(catalog, 20_000), catalog.resolve(FLOW)[0]
    catalog.write("UPDATE records SET tags='{\"kind\":\"'||version%5||'\"}'")
    catalog.write("ANALYZE records")
    sql = _SEARCH("key", False, 100, bounded=False, after=False, tagged=True)
    plan = _plans(catalog, sql, (scope, "key5", epoch, '{"kind":"2"}'))[0]
    assert not re.search(r"-> +(Sort|Seq Scan|Hash|Bitmap)", plan), plan


def test_an_overwrite_touches_no_index(catalog: PostgreSQLCatalog) -> None:
    """It changes nothing that is indexed: then the row's new version is found from its old one, on the same page."""
    for number in range(300):
        put(catalog, f"key{number % 3}", b"x" * 100, tags={"a": "b"}, expires=1e12)
    catalog.read("SELECT pg_stat_force_next_flush()")
    ((updates, hot),) = catalog.read("SELECT n_tup_upd,n_tup_hot_upd FROM pg_stat_user_tables WHERE relname='records' "
                                     "AND schemaname=current_schema()")  # fmt: skip
    assert updates == 297
    assert hot > 0.9 * updates
