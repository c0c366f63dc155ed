"""Who may be told to give up waits no longer once he is; and where he is told that others were in the way, nothing was
written."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from holdfast.catalog.base import Delete, Edit, Fence
from holdfast.catalog.postgresql import PostgreSQLCatalog, pool
from holdfast.errors import BusyError, ClosedError, NotFoundError, StoreError
from holdfast.testing.catalog_cases import FLOW, INTEGER, data_of, file_put, inline_put, put, put_file
from holdfast.testing.postgresql import Server

_numbers = itertools.count()
NEW = (("namespace", "new"),)
PATIENT = 20.0


@pytest.fixture
def url(postgresql: Server) -> str:
    return f"{postgresql.url()}?schema=haste{next(_numbers)}"


@pytest.fixture
def catalog(url: str) -> Iterator[PostgreSQLCatalog]:
    made = PostgreSQLCatalog(url, timeout=PATIENT)
    put(made, "key", b"before")
    made.add(FLOW, "count", 1, made.codec_id(INTEGER))
    put_file(made, "file", synced=True)
    made.acquire("lease", "me", 3600)
    yield made
    made.close()


def yes() -> bool:
    return True


def _soon(seconds: float = 0.2) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


@contextmanager
def held(catalog: PostgreSQLCatalog) -> Iterator[None]:
    """Another session is in the middle of all that can be locked; who reads waits for nobody."""
    schema = catalog._pool._target.schema
    with psycopg.connect(make_conninfo(**catalog._pool._target.parameters)) as other:
        other.execute(f"SELECT pg_advisory_xact_lock(1213156420,'{schema}.store'::regclass::oid::int)")
        for table in ("store", "records", "blobs", "leases", "codecs", "storages"):
            other.execute(f"LOCK TABLE {schema}.{table} IN EXCLUSIVE MODE")
        yield


def contents(catalog: PostgreSQLCatalog) -> list[Any]:
    """All rows of all tables."""
    tables = ("store", "scopes", "dropped", "marks", "codecs", "storages", "records", "kept", "blobs", "leases")
    return [sorted(catalog.read(f"SELECT t::text FROM {table} t")) for table in tables]


WRITES: dict[str, Callable[[PostgreSQLCatalog], Any]] = {
    "put": lambda catalog: put(catalog, "key", b"after"),
    "put of a new scope": lambda catalog: put(catalog, "key", b"after", NEW),
    "add": lambda catalog: catalog.add(FLOW, "count", 1, catalog.codec_id(INTEGER)),
    "commit": lambda catalog: catalog.commit([inline_put(catalog, "key", b"after"), inline_put(catalog, "more")]),
    "file": lambda catalog: catalog.commit([file_put(catalog, "key", b"after", place="new")]),
    "delete": lambda catalog: catalog.commit([Delete(FLOW, "key")]),
    "edit": lambda catalog: catalog.commit([Edit(FLOW, "key", tags='{"a":"b"}')]),
    "create": lambda catalog: catalog.create_scope(NEW),
    "rename": lambda catalog: catalog.rename_scope(FLOW, "other"),
    "drop": lambda catalog: catalog.drop_scope(FLOW),
    "lease": lambda catalog: catalog.acquire("another", "me", 10),
    "renewal": lambda catalog: catalog.renew(Fence("lease", 1), 7200),
    "release": lambda catalog: catalog.release(Fence("lease", 1)),
}


def at_last(catalog: PostgreSQLCatalog, work: Callable[[], Any]) -> Any:
    """Work in haste, again while the machine is so busy that it takes too long."""
    end = time.monotonic() + 20
    while True:
        try:
            return catalog.impatient(yes, work)
        except BusyError:
            if time.monotonic() > end:
                raise


@pytest.mark.parametrize("write", WRITES)
def test_a_write_in_haste_waits_for_nobody(catalog: PostgreSQLCatalog, write: str) -> None:
    before = contents(catalog)
    with held(catalog):
        for haste in (yes, _soon()):
            began = time.monotonic()
            with pytest.raises(BusyError):
                catalog.impatient(haste, lambda: WRITES[write](catalog))
            assert time.monotonic() - began < 5
        assert at_last(catalog, lambda: data_of(catalog, "key")) == b"before"  # reading waits for no writer
    assert contents(catalog) == before
    assert len(catalog._pool._links) <= 2
    at_last(catalog, lambda: WRITES[write](catalog))
    assert contents(catalog) != before


def test_a_cancel_that_came_too_early_is_sent_again(
    catalog: PostgreSQLCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server forgets the one that comes before the statement."""
    sent: list[float] = []
    cancel = psycopg.Connection.cancel_safe

    def late(connection: psycopg.Connection[Any], **options: Any) -> None:
        sent.append(time.monotonic())
        if len(sent) > 1:
            cancel(connection, **options)

    monkeypatch.setattr(psycopg.Connection, "cancel_safe", late)
    with held(catalog), pytest.raises(BusyError):
        catalog.impatient(yes, lambda: put(catalog, "key", b"after"))
    assert len(sent) == 2


@pytest.mark.parametrize("write", WRITES)
def test_busy_means_that_nothing_was_written(
    catalog: PostgreSQLCatalog, url: str, postgresql: Server, write: str
) -> None:
    """Whatever it was that came in between: the time-out, the server's own limits, an administrator."""
    before = contents(catalog)
    hurried = PostgreSQLCatalog(url, timeout=0.2)
    hurried.codec_id(INTEGER)
    with held(catalog), pytest.raises(BusyError, match="time-out"):
        WRITES[write](hurried)
    links = [hurried._pool.take() for _ in range(10)]
    with pytest.raises(BusyError, match="in use"):
        WRITES[write](hurried)
    for link in links:
        hurried._pool.give(link)
    with held(catalog), psycopg.connect(postgresql.url(), autocommit=True) as admin:
        thread = threading.Thread(target=_cancel_who_waits, args=(admin,))
        thread.start()
        with pytest.raises(BusyError):
            WRITES[write](catalog)
        thread.join()
    assert contents(catalog) == before
    WRITES[write](hurried)
    assert contents(catalog) != before
    hurried.close()


def _cancel_who_waits(admin: psycopg.Connection) -> None:
    sql = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type='Lock'"
    end = time.monotonic() + 20
    while not admin.execute(sql).fetchall():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_write_whose_answer_was_lost_is_not_called_busy(
    catalog: PostgreSQLCatalog, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector's write may be done twice: it was sent, the connection broke, and then there was none to be had."""
    catalog._pool._timeout = 0.3
    links = [catalog._pool.take() for _ in range(9)]
    with held(catalog), psycopg.connect(postgresql.url(), autocommit=True) as admin, ThreadPoolExecutor() as threads:
        done = threads.submit(catalog.forget, [1])
        waiting = "FROM pg_stat_activity WHERE wait_event_type='Lock'"
        while not admin.execute(f"SELECT 1 {waiting}").fetchall():
            time.sleep(0.01)
        monkeypatch.setattr(pool, "_MOST", 9)
        admin.execute(f"SELECT pg_terminate_backend(pid) {waiting}")
        with pytest.raises(StoreError, match="whether it was committed is not known") as caught:
            done.result(20)
        assert not isinstance(caught.value, BusyError)
    for link in links:
        catalog._pool.give(link)


def test_what_takes_long_is_given_up(catalog: PostgreSQLCatalog) -> None:
    """A statement that computes is cancelled on the server, too."""
    began = time.monotonic()
    with pytest.raises(BusyError):
        catalog.impatient(_soon(), lambda: catalog.read("SELECT pg_sleep(30)"))
    assert time.monotonic() - began < 5
    running = "SELECT count(*) FROM pg_stat_activity WHERE query='SELECT pg_sleep(30)' AND state='active'"
    end = time.monotonic() + 5
    while catalog.read(running)[0][0]:
        assert time.monotonic() < end, "the server goes on"
    assert catalog.impatient(lambda: False, lambda: data_of(catalog, "key")) == b"before"


def test_a_connection_is_not_waited_for(catalog: PostgreSQLCatalog) -> None:
    links = [catalog._pool.take() for _ in range(10)]
    for haste in (yes, _soon()):
        began = time.monotonic()
        with pytest.raises(BusyError):
            catalog.impatient(haste, lambda: data_of(catalog, "key"))
        assert time.monotonic() - began < 5
    for link in links:
        catalog._pool.give(link)


def test_a_server_that_is_away_is_not_waited_for() -> None:
    with Server() as server:
        catalog = PostgreSQLCatalog(server.url(), timeout=PATIENT)
        put(catalog, "key")
        server.kill()
        began = time.monotonic()
        with pytest.raises(StoreError):
            catalog.impatient(_soon(), lambda: put(catalog, "key", b"after"))
        assert time.monotonic() - began < 5
        server.start()
        assert data_of(catalog, "key") == b"value"
        catalog.close()


def test_a_commit_is_done_or_given_up(catalog: PostgreSQLCatalog) -> None:
    """Haste that comes at any moment of many writes: who is told that it is done finds it, and no one else."""
    done = busy = 0
    for number in range(60):
        key, end = f"k{number}", time.monotonic() + number * 1e-4
        with held_briefly(catalog):
            try:
                catalog.impatient(lambda end=end: time.monotonic() > end, lambda key=key: put(catalog, key, b"it"))  # type: ignore[misc]
            except BusyError:
                busy += 1
                assert catalog.find(FLOW, key) == []
            else:
                done += 1
                assert data_of(catalog, key) == b"it"
    assert done > 0
    assert busy > 0


@contextmanager
def held_briefly(catalog: PostgreSQLCatalog) -> Iterator[None]:
    """The records are locked for a time that is about that after which a call in haste gives up."""
    ready, seconds = threading.Event(), next(_numbers) % 5 * 0.025

    def hold() -> None:
        with held(catalog):
            ready.set()
            time.sleep(seconds)

    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait(20)
    yield
    thread.join()


def test_a_write_that_the_standby_servers_have_not_seen() -> None:
    """Cancelled while it waits for them, it is committed: neither done as promised nor undone."""
    with Server({"wal_level": "replica", "max_wal_senders": "2"}) as server:
        catalog = PostgreSQLCatalog(server.url(), timeout=PATIENT)
        put(catalog, "key", b"before")
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET synchronous_standby_names='nobody'")
            admin.execute("SELECT pg_reload_conf()")
            time.sleep(1)  # until the server acts by it
        with pytest.raises(StoreError, match="whether it was committed is not known"):
            catalog.impatient(_soon(), lambda: put(catalog, "key", b"after"))
        assert data_of(catalog, "key") == b"after"
        with pytest.raises(StoreError, match="whether it was committed is not known"):
            catalog.impatient(_soon(), lambda: catalog.commit([inline_put(catalog, "a"), inline_put(catalog, "b")]))
        assert catalog.keys(FLOW, "", None, 10) == ["a", "b", "key"]
        catalog.close()


def test_errors_pass_and_calls_may_nest(catalog: PostgreSQLCatalog) -> None:
    with pytest.raises(ZeroDivisionError):
        catalog.impatient(yes, lambda: 1 / 0)
    with pytest.raises(NotFoundError):
        catalog.impatient(yes, lambda: catalog.drop_scope(NEW))
    with held(catalog), pytest.raises(BusyError):
        catalog.impatient(yes, lambda: catalog.impatient(lambda: False, lambda: 1) and put(catalog, "key"))
    assert not catalog._patience.is_over()
    catalog.close()
    with pytest.raises(ClosedError):
        catalog.impatient(yes, lambda: data_of(catalog, "key"))
