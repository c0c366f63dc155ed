"""Who waits for whom: what happens between the look and the write of another, and that it is noticed."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from holdfast.catalog.base import ABSENT, Delete, Fence, Policy, Restore, ValueRow
from holdfast.catalog.postgresql import PostgreSQLCatalog, statements, values
from holdfast.catalog.sql.engine import Locks, Session
from holdfast.catalog.sql.numbers import add_to
from holdfast.errors import BusyError, ConflictError, ExistsError
from holdfast.model import EPHEMERAL
from holdfast.testing.catalog_cases import (
    FLOW,
    INTEGER,
    PLAIN,
    blob_of,
    collected,
    data_of,
    file_put,
    inline_put,
    put,
    put_bundle,
    put_file,
    record_of,
    sweep_all,
    versions,
    wait_past,
)
from holdfast.testing.postgresql import Server

_numbers = itertools.count()


@pytest.fixture
def url(postgresql: Server) -> str:
    return f"{postgresql.url()}?schema=races{next(_numbers)}"


@pytest.fixture
def catalog(url: str) -> Iterator[PostgreSQLCatalog]:
    catalog = PostgreSQLCatalog(url)
    put(catalog, "key")
    yield catalog
    catalog.close()


@pytest.fixture
def other(catalog: PostgreSQLCatalog, url: str) -> Iterator[PostgreSQLCatalog]:
    other = PostgreSQLCatalog(url)
    assert data_of(other, "key") == b"value"
    yield other
    other.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


def scope_of(catalog: PostgreSQLCatalog) -> int:
    scope = catalog.scope_id(FLOW)
    assert scope is not None
    return scope


def commit_version(catalog: PostgreSQLCatalog) -> int:
    (done,) = catalog.commit([inline_put(catalog, "key")])
    assert done.row is not None
    return done.row.version


def wait_for_waiters(catalog: PostgreSQLCatalog, count: int = 1) -> None:
    """Until so many sessions wait for a lock."""
    sql = (
        "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid=l.pid WHERE NOT granted "
        "AND a.datname=current_database()"
    )
    end = time.monotonic() + 20
    while catalog.read(sql)[0][0] < count:
        assert time.monotonic() < end, "nobody waits"
        time.sleep(0.002)


@contextmanager
def open_transaction(catalog: PostgreSQLCatalog, locks: Locks, work: Callable[[Session], Any]) -> Iterator[Future[Any]]:
    """A transaction that has done ``work`` and commits at the end of the block."""
    done, go = threading.Event(), threading.Event()

    def hold(session: Session) -> Any:
        result = work(session)
        session.rows("SELECT 1")  # all that waits is sent
        done.set()
        assert go.wait(20)
        return result

    with ThreadPoolExecutor() as pool:
        future = pool.submit(catalog.transaction, hold, locks=locks)
        assert done.wait(20) or future.result()
        try:
            yield future
        finally:
            go.set()
        future.result()


# --- versions ---------------------------------------------------------------------------------------------------------


def test_a_version_is_taken_when_its_turn_has_come(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, threads: ThreadPoolExecutor
) -> None:
    """Not when the statement begins: it may wait, and others that wait with it may be done before."""
    scope = scope_of(catalog)
    row = (0, catalog.now(), None, None, 0, None, 1, catalog.codec_id(PLAIN), None, None, b"x", None, None)
    with open_transaction(other, Locks([(FLOW, "key")]), lambda s: s.put_row(scope, "key", 0, row)) as held:
        waiting = [threads.submit(put, catalog, "key") for _ in range(3)]
        waiting.append(threads.submit(commit_version, catalog))
        wait_for_waiters(catalog, 4)
    first = held.result()()[0]
    assert min(future.result() for future in waiting) > first
    assert versions(catalog, "key") == [max(future.result() for future in waiting)]


def test_a_deleted_key_is_put_with_a_higher_version(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, threads: ThreadPoolExecutor
) -> None:
    scope, last = scope_of(catalog), versions(catalog, "key")[0]
    with open_transaction(other, Locks([(FLOW, "key")]), lambda s: s.delete_rows(scope, "key", None)):
        waiting = threads.submit(put, catalog, "key")
        wait_for_waiters(catalog)
    assert waiting.result() > last
    assert data_of(catalog, "key") == b"value"


def test_the_sequence_is_moved_past_a_copy_while_nobody_takes_from_it(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, threads: ThreadPoolExecutor
) -> None:
    """Not between the look at the last number and the new one: that would take it back below what was given."""
    far = 1_000_000
    with open_transaction(other, Locks([(FLOW, "key")]), lambda s: None):
        copying = threads.submit(catalog.commit, [Restore(inline_put(catalog, "copy"), far, 1.5, 2.5)])
        wait_for_waiters(catalog)
        other.read("SELECT setval('versions',$1::int8)", (5 * far,))  # as many are given meanwhile
    (done,) = copying.result()
    assert done.row is not None
    assert done.row.version == far
    assert put(catalog, "key") > 5 * far
    assert put(catalog, "copy") > 5 * far


# --- scopes -----------------------------------------------------------------------------------------------------------


class Slow(PostgreSQLCatalog):
    """Lets others come when it holds the store alone, before it changes anything."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.held, self.go = threading.Event(), threading.Event()

    def _leave(self, *arguments: Any, **options: Any) -> None:
        self.held.set()
        assert self.go.wait(20)
        super()._leave(*arguments, **options)


@pytest.fixture
def slow(catalog: PostgreSQLCatalog, url: str) -> Iterator[Slow]:
    slow = Slow(url)
    yield slow
    slow.go.set()
    slow.close()


VERBS: dict[str, Callable[[PostgreSQLCatalog], Any]] = {
    "put": lambda catalog: put(catalog, "key", b"new"),
    "commit": lambda catalog: catalog.commit([inline_put(catalog, "key", b"new")]),
    "file": lambda catalog: put_file(catalog, "key", b"new"),
    "add": lambda catalog: catalog.add(FLOW, "count", 1, catalog.codec_id(INTEGER)),
    "replace": lambda catalog: catalog.replace(
        FLOW, "key", (None, None, 0, None, 1, 1, None, None, b"new"), versions(catalog, "key")[0]
    ),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("change", ["drop", "rename"])
def test_a_write_that_waited_for_a_drop_or_rename(
    catalog: PostgreSQLCatalog, slow: Slow, threads: ThreadPoolExecutor, verb: str, change: str
) -> None:
    """It saw the scope as it began, and would write into what is gone."""
    version = versions(catalog, "key")[0]
    catalog.codec_id(INTEGER)
    changing = (
        threads.submit(slow.drop_scope, FLOW) if change == "drop" else threads.submit(slow.rename_scope, FLOW, "x")
    )
    assert slow.held.wait(20)
    writing = threads.submit(VERBS[verb], catalog)
    wait_for_waiters(catalog)
    slow.go.set()
    changing.result()
    result = writing.result()
    renamed = (*FLOW[:-1], ("workflow", "x"))
    assert data_of(catalog, "key", renamed) == (b"value" if change == "rename" else None)
    if verb == "replace":
        assert result is None
        assert catalog.scope_id(FLOW) is None
    else:
        (key,) = catalog.keys(FLOW, "", None, 10)
        assert versions(catalog, key)[0] > version


def test_the_planted_fault_of_looking_too_early(
    catalog: PostgreSQLCatalog, slow: Slow, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the epoch that the statement sees from its beginning, the write is lost: the test above would see it."""
    assert "epoch()=$3" in statements.PUT
    monkeypatch.setattr(values, "PUT", statements.PUT.replace("epoch()", "(SELECT epoch FROM store WHERE id=1)"))
    changing = threads.submit(slow.drop_scope, FLOW)
    assert slow.held.wait(20)
    writing = threads.submit(put, catalog, "key", b"new")
    wait_for_waiters(catalog)
    slow.go.set()
    changing.result()
    writing.result()
    assert data_of(catalog, "key") is None


def test_a_drop_waits_for_writes_that_have_begun(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, threads: ThreadPoolExecutor
) -> None:
    scope = scope_of(catalog)
    row = (0, catalog.now(), None, None, 0, None, 1, catalog.codec_id(PLAIN), None, None, b"x", None, None)
    with open_transaction(other, Locks([(FLOW, "new")]), lambda s: s.put_row(scope, "new", 0, row)):
        dropping = threads.submit(catalog.drop_scope, FLOW)
        wait_for_waiters(catalog)
        assert not dropping.done()
    dropping.result()
    assert catalog.keys(FLOW, "", None, 10) == []
    assert catalog.garbage_size()[0] == 2


def test_a_scope_is_made_once(catalog: PostgreSQLCatalog, url: str, threads: ThreadPoolExecutor) -> None:
    catalogs = [PostgreSQLCatalog(url) for _ in range(6)]
    for turn in range(10):
        path = (*FLOW, ("turn", str(turn)), ("below", "it"))
        start = threading.Barrier(6)

        def work(mine: PostgreSQLCatalog, number: int, path: Any = path, start: Any = start) -> int:
            start.wait()
            return put(mine, "key", b"%d" % number, path=path)

        made = list(threads.map(work, catalogs, range(6)))
        assert len(set(made)) == 6
        assert versions(catalog, "key", path) == [max(made)]
        assert data_of(catalog, "key", path) == b"%d" % made.index(max(made))
    for mine in catalogs:
        mine.close()


@pytest.mark.parametrize("process", ["another", "this"])
def test_a_scope_that_another_makes_after_the_look(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, process: str
) -> None:
    """No key could be locked in it: all is done again, with the lock; also where a thread of this process made it, and
    remembers it for all."""
    maker = other if process == "another" else catalog
    path = (*FLOW, ("made", "by another"))
    codec, calls = catalog.codec_id(INTEGER), []

    def work(session: Session) -> Callable[[], tuple[int, Any]]:
        calls.append(session)
        if len(calls) == 1:
            put(maker, "count", 5, path=path)
        return add_to(session, path, "count", 1, codec, False)

    value, _ = catalog.transaction(work, locks=Locks([(path, "count")], look=True))()
    assert value == 6
    assert len(calls) == 2


# --- expectations -----------------------------------------------------------------------------------------------------


def test_an_expected_version_that_changes_while_waiting(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, threads: ThreadPoolExecutor
) -> None:
    scope, version = scope_of(catalog), versions(catalog, "key")[0]
    row = (0, catalog.now(), None, None, 0, None, 1, catalog.codec_id(PLAIN), None, None, b"x", None, None)
    replacement = (None, None, 0, None, 1, 1, None, None, b"new")
    with open_transaction(other, Locks([(FLOW, "key"), (FLOW, "new")]),
                          lambda s: [s.put_row(scope, key, 0, row) for key in ("key", "new")]):  # fmt: skip
        waiting: list[Future[Any]] = [
            threads.submit(catalog.commit, [inline_put(catalog, "key", if_version=version)]),
            threads.submit(catalog.commit, [inline_put(catalog, "new", if_version=ABSENT)]),
            threads.submit(catalog.replace, FLOW, "key", replacement, version),
        ]
        wait_for_waiters(catalog, 3)
    with pytest.raises(ConflictError):
        waiting[0].result()
    with pytest.raises(ExistsError):
        waiting[1].result()
    assert waiting[2].result() is None
    assert data_of(catalog, "key") == b"x"


def test_an_ephemeral_record_that_comes_while_waiting(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, threads: ThreadPoolExecutor
) -> None:
    """It is the visible one then: what a replacement or an addition relied on is hidden."""
    integer = catalog.codec_id(INTEGER)
    put(catalog, "count", 5)
    scope, version = scope_of(catalog), versions(catalog, "key")[0]
    row = (0, catalog.now(), None, None, 0, None, 1, catalog.codec_id(PLAIN), None, None, b"x", "session", None)
    replacement = (None, None, 0, None, 1, 1, None, None, b"new")
    with open_transaction(other, Locks([(FLOW, "key"), (FLOW, "count")]),
                          lambda s: [s.put_row(scope, key, EPHEMERAL, row) for key in ("key", "count")]):  # fmt: skip
        replacing = threads.submit(catalog.replace, FLOW, "key", replacement, version)
        adding = threads.submit(catalog.add, FLOW, "count", 1, integer)
        wait_for_waiters(catalog, 2)
    assert replacing.result() is None
    with pytest.raises(Exception, match="not a native integer"):
        adding.result()
    assert [row[9] for row in catalog.find(FLOW, "count") if row[0] == 0] == [5]


def test_a_lease_waits_for_the_commit_it_protects(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, threads: ThreadPoolExecutor
) -> None:
    """Who takes it over knows that nothing of the owner before comes later."""
    lease = other.acquire("sweeper", "me", 30)
    with open_transaction(other, Locks(fence="sweeper"), lambda session: None):
        taking = threads.submit(catalog.acquire, "sweeper", "you", 30, dead="me")
        wait_for_waiters(catalog)
        assert not taking.done()
    taken = taking.result()
    assert taken.owner == "you"
    assert taken.token > lease.token
    with pytest.raises(ConflictError):
        other.commit([inline_put(other, "key")], fence=Fence("sweeper", lease.token))


# --- sweeping and collecting ------------------------------------------------------------------------------------------


def test_a_sweep_leaves_what_is_just_being_put_anew(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, threads: ThreadPoolExecutor
) -> None:
    moment = catalog.now()
    put(catalog, "old", expires=moment)
    put(catalog, "older", expires=moment)
    wait_past(catalog, moment)
    scope = scope_of(catalog)
    row = (0, catalog.now(), None, None, 0, None, 1, catalog.codec_id(PLAIN), None, None, b"x", None, None)
    with open_transaction(other, Locks([(FLOW, "old")]), lambda s: s.put_row(scope, "old", 0, row)):
        assert catalog.sweep() == 1, "it does not wait for the writer"
    assert data_of(catalog, "old") == b"x"
    assert catalog.sweep() == 0
    assert catalog.keys(FLOW, "", None, 10) == ["key", "old"]


def test_a_sweep_goes_on_where_a_writer_let_go_of_what_it_was_about_to(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, threads: ThreadPoolExecutor
) -> None:
    """Of what a shorter history no longer keeps nothing stays, which a longer one would bring back."""
    catalog.set_policy(FLOW, Policy(history=9))
    for number in range(9):
        put(catalog, "key", b"%d" % number)
    catalog.set_policy(FLOW, Policy(history=1))
    two = "DELETE FROM past WHERE id IN (SELECT id FROM past ORDER BY version DESC LIMIT 2 OFFSET 2)"
    with open_transaction(other, Locks([(FLOW, "key")]), lambda s: s.rows(two)):
        swept = threads.submit(catalog.sweep, 5)
        wait_for_waiters(catalog)
    assert swept.result(20) == 3, "two of the five were the writer's"
    sweep_all(catalog)
    assert len(catalog.read("SELECT 1 FROM past")) == 1
    catalog.set_policy(FLOW, Policy(history=9))
    assert len(catalog.past(FLOW, "key")) == 1


def test_a_sweep_leaves_what_a_writer_has_seen_before_it_expired(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, threads: ThreadPoolExecutor
) -> None:
    moment = catalog.now() + 0.2
    put(catalog, "soon", expires=moment)

    def edit(session: Session) -> Callable[[], int]:
        scope = scope_of(catalog)
        (seen,) = session.records(scope, "soon")
        wait_past(catalog, moment)
        assert catalog.sweep() == 0
        return session.edit_row(scope, "soon", 0, (0, catalog.now(), None, None, seen.codec))

    with open_transaction(other, Locks([(FLOW, "soon")], look=True), edit) as edited:
        pass
    assert versions(catalog, "soon") == [edited.result()()]


def test_bytes_that_somebody_is_just_taking_are_no_garbage(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, threads: ThreadPoolExecutor
) -> None:
    row = put_file(catalog, "file", b"equal", synced=True)
    put(catalog, "file")
    take = "UPDATE blobs SET refs=refs+1 WHERE id=?1 AND state=0 RETURNING 1"
    with open_transaction(other, Locks([(FLOW, "copy")]), lambda s: s.rows(take, (row.blob,))):
        assert catalog.garbage() == []
    assert catalog.garbage() == []
    catalog.write("UPDATE blobs SET refs=refs-1 WHERE id=?1", (row.blob,))
    with open_transaction(other, Locks(), lambda s: s.rows("UPDATE blobs SET state=1 WHERE id=?1", (row.blob,))):
        putting = threads.submit(catalog.commit, [file_put(catalog, "again", b"equal", synced=True)])
        wait_for_waiters(catalog)
    (done,) = putting.result()
    assert done.taken, "the bytes that it found were marked as dying while it waited"


def test_an_update_that_comes_too_late_takes_no_lock(catalog: PostgreSQLCatalog, postgresql: Server) -> None:
    """Those in time would wait for it."""
    version = put(catalog, "key")
    put(catalog, "key", b"newer")
    schema = catalog._pool._target.schema
    with psycopg.connect(postgresql.url()) as hold:
        hold.execute(f"SELECT pg_advisory_xact_lock(1213156420,'{schema}.store'::regclass::oid::int)")
        with pytest.raises(ConflictError, match=f"has version {version + 1}, not version {version}"):
            catalog.commit([inline_put(catalog, "key", if_version=version)])
        with pytest.raises(ConflictError, match="does not exist"):
            catalog.commit([inline_put(catalog, "none", if_version=version)])
    assert data_of(catalog, "key") == b"newer"


# --- too long ---------------------------------------------------------------------------------------------------------


def test_who_waits_too_long_is_told(catalog: PostgreSQLCatalog, url: str, postgresql: Server) -> None:
    hasty = PostgreSQLCatalog(url, timeout=0.3)
    put(hasty, "key")
    integer = hasty.codec_id(INTEGER)
    schema = catalog._pool._target.schema
    with psycopg.connect(postgresql.url()) as hold:
        hold.execute(f"SELECT pg_advisory_xact_lock(1213156420,'{schema}.store'::regclass::oid::int)")
        for verb in (
            lambda: put(hasty, "key"),
            lambda: hasty.add(FLOW, "count", 1, integer),
            lambda: hasty.commit([inline_put(hasty, "a"), inline_put(hasty, "b")]),
            lambda: hasty.drop_scope(FLOW),
            lambda: hasty.acquire("name", "me", 1),
        ):
            began = time.monotonic()
            with pytest.raises(BusyError, match="time-out"):
                verb()
            assert 0.2 < time.monotonic() - began < 2
        assert data_of(hasty, "key") == b"value", "who reads waits for nobody"
    assert hasty.keys(FLOW, "", None, 10) == ["key"]
    put(hasty, "key", b"new")
    hasty.close()


def test_nothing_is_settled_while_an_earlier_commit_is_open(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, postgresql: Server, url: str
) -> None:
    """Whoever asks, and whatever other transactions are open."""
    with psycopg.connect(postgresql.url(), autocommit=True) as admin:
        name, schema = f"asker{next(_numbers)}", catalog._pool._target.schema
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
        admin.execute(
            f"GRANT USAGE ON SCHEMA {schema} TO {name}; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {name}"
        )
    asker = PostgreSQLCatalog(url.replace(postgresql.url(), postgresql.url(user=name, password="secret")))
    scope = scope_of(catalog)
    with psycopg.connect(postgresql.url()) as foreign:
        foreign.execute(f"SELECT * FROM {schema}.store")  # open, and idle, all the time
        times: list[float] = []

        def write(session: Any) -> None:
            times.append(session.now)
            row = (0, session.now, None, None, 0, None, 1, catalog.codec_id(PLAIN), None, None, b"x", None, None)
            session.write_put(scope, "slow", 0, row)

        with open_transaction(catalog, Locks([(FLOW, "slow")]), write):
            put(other, "quick")
            assert record_of(other, "quick").updated > times[0]
            for each in (other, asker):
                assert other.now() - 301 < each.settled() < times[0]
        for each in (other, asker):
            assert record_of(other, "quick").updated < each.settled() <= other.now() + 0.1
    asker.close()


def test_a_statement_time_out_of_the_server(catalog: PostgreSQLCatalog, postgresql: Server, url: str) -> None:
    with psycopg.connect(postgresql.url(), autocommit=True) as admin:
        name = f"hurried{next(_numbers)}"
        admin.execute(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD 'secret'")
        admin.execute(f"ALTER ROLE {name} SET statement_timeout='200ms'")
    hurried = PostgreSQLCatalog(url.replace(postgresql.url(), postgresql.url(user=name, password="secret")))
    put(hurried, "key")
    with psycopg.connect(postgresql.url()) as hold:
        hold.execute(f"SELECT * FROM {catalog._pool._target.schema}.records FOR UPDATE")
        with pytest.raises(BusyError):
            put(hurried, "key", b"new")
    assert data_of(hurried, "key") == b"value"
    hurried.close()


def test_writers_that_lock_one_another_try_again(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, threads: ThreadPoolExecutor
) -> None:
    """Two take the same two shared bytes in another order: the server ends one of them, which is then done again."""
    for name in "xy":
        put_file(catalog, name, name.encode(), synced=True)
    meet, deadlocks = threading.Barrier(2), "SELECT deadlocks FROM pg_stat_database WHERE datname=current_database()"
    before = catalog.read(deadlocks)[0][0]
    attempts: list[str] = []

    def work(mine: PostgreSQLCatalog, first: str, second: str) -> None:
        def both(session: Session) -> None:
            attempts.append(first)
            for number, content in enumerate((first, second)):
                row = record_of(mine, content)
                session.rows("UPDATE blobs SET refs=refs+1 WHERE place=?1", (row.storage_config,))
                if number == 0 and len(attempts) <= 2:
                    meet.wait(20)
            # given back in the same transaction: only the order of the locks is of interest
            session.rows("UPDATE blobs SET refs=refs-1 WHERE place IN (?1,?2)",
                         (record_of(mine, first).storage_config, record_of(mine, second).storage_config))  # fmt: skip

        mine.transaction(both, locks=Locks([(FLOW, first + second)]))

    for future in [threads.submit(work, catalog, "x", "y"), threads.submit(work, other, "y", "x")]:
        future.result()
    assert len(attempts) == 3
    end = time.monotonic() + 20
    while catalog.read(deadlocks)[0][0] == before:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert catalog.garbage() == []


# --- bundles ----------------------------------------------------------------------------------------------------------


def test_of_two_that_sync_the_last_members_the_second_sees_both(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, threads: ThreadPoolExecutor
) -> None:
    one, two = put_bundle(catalog, "bundle", b"one", b"two")

    def mark(session: Session) -> None:
        session.rows("UPDATE blobs SET synced=1 WHERE id=?1", (one.blob,))

    with open_transaction(catalog, Locks(), mark):
        second = threads.submit(other.mark_synced, [two.blob])
        wait_for_waiters(catalog)
        assert not record_of(other, "bundle").synced
    second.result()
    assert record_of(catalog, "bundle").synced == 1


def test_a_bundle_that_is_copied_while_it_is_swept(
    catalog: PostgreSQLCatalog, other: PostgreSQLCatalog, threads: ThreadPoolExecutor
) -> None:
    """It is one or the other: the copy has all members, or is told that they are gone."""
    members = put_bundle(catalog, "bundle", b"one", b"two", synced=True)
    row = ValueRow._make(catalog.find(FLOW, "bundle")[0])
    copy = inline_put(catalog, "copy", b"")._replace(blob=row.blob)
    catalog.commit([Delete(FLOW, "bundle")])

    def take(session: Session) -> None:
        session.rows("UPDATE blobs SET refs=refs+1 WHERE id=?1 AND state=0", (row.blob,))

    with open_transaction(catalog, Locks(), take):
        assert other.sweep() == 0, "it is passed over"
        assert other.garbage() == []
    assert catalog.members(blob_of(row)) == members
    catalog.write("UPDATE blobs SET refs=refs-1 WHERE id=?1", (row.blob,))
    assert catalog.sweep() == 0
    with pytest.raises(ConflictError):
        other.commit([copy])
    assert len(catalog.garbage()) == 2


def test_many_writers_of_bundles_with_equal_members(url: str, catalog: PostgreSQLCatalog) -> None:
    """In one order and in the other, beside a collector: all are put, none waits for ever, nothing is left."""
    stop = threading.Event()

    def write(number: int) -> None:
        mine = PostgreSQLCatalog(url)
        for turn in range(30):
            contents = [b"shared %d" % part for part in range(4)]
            rows = put_bundle(mine, f"key{number}", *(contents if number % 2 else contents[::-1]), b"%d" % turn)
            mine.mark_synced([row.blob for row in rows])
            if turn % 5 == 4:
                mine.commit([Delete(FLOW, f"key{number}")])
        mine.close()

    def collect() -> None:
        mine = PostgreSQLCatalog(url)
        while not stop.is_set():
            mine.sweep()
            mine.forget([blob.id for blob in mine.garbage()])
        mine.close()

    began = time.monotonic()
    with ThreadPoolExecutor() as pool:
        collector = pool.submit(collect)
        writers = [pool.submit(write, number) for number in range(3)]
        try:
            for writer in writers:
                writer.result(60)
        finally:
            stop.set()
        collector.result(60)
    assert time.monotonic() - began < 45
    sweep_all(catalog)
    collected(catalog)
    assert catalog.read("SELECT count(*) FROM blobs") == catalog.read("SELECT count(*) FROM members") == [(0,)]
