"""The server goes away and comes back: under a pool, in the middle of work, for good."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest

from holdfast.catalog.base import ABSENT, Delete
from holdfast.catalog.postgresql import PostgreSQLCatalog
from holdfast.errors import BusyError, ClosedError, ConflictError, NotFoundError, StoreError
from holdfast.testing.catalog_cases import FLOW, INTEGER, SPACE, data_of, inline_put, put
from holdfast.testing.postgresql import Server
from holdfast.testing.processes import in_child

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server({"max_connections": "20", "superuser_reserved_connections": "1"}) as server:
        yield server


@pytest.fixture
def catalog(server: Server) -> Iterator[PostgreSQLCatalog]:
    catalog = PostgreSQLCatalog(f"{server.url()}?schema=s{time.monotonic_ns()}", timeout=10.0)
    yield catalog
    catalog.close()


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_restart_under_idle_connections_is_not_noticed(server: Server, catalog: PostgreSQLCatalog, way: str) -> None:
    put(catalog, "key")
    links = [catalog._pool.take() for _ in range(4)]
    for link in links:
        catalog._pool.give(link)
    for verb in (
        lambda: put(catalog, "key"),
        lambda: data_of(catalog, "key"),
        lambda: catalog.commit([inline_put(catalog, "a"), inline_put(catalog, "b")]),
        lambda: catalog.search(FLOW),
        lambda: catalog.acquire("lease", "me", 1),
    ):
        getattr(server, way)()
        server.start()
        verb()
    assert data_of(catalog, "b") == b"value"


def test_while_the_server_is_away_calls_wait_for_it(server: Server, catalog: PostgreSQLCatalog) -> None:
    put(catalog, "key")
    server.kill()
    threading.Timer(1.0, server.start).start()
    began = time.monotonic()
    put(catalog, "key", b"later")
    assert 0.9 < time.monotonic() - began < 8
    assert data_of(catalog, "key") == b"later"


def test_a_server_that_stays_away(server: Server, catalog: PostgreSQLCatalog) -> None:
    catalog.timeout = catalog._pool._timeout = 0.5
    put(catalog, "key")
    server.stop()
    try:
        for verb in (lambda: put(catalog, "key"), lambda: catalog.find(FLOW, "key"), lambda: catalog.sweep()):
            began = time.monotonic()
            with pytest.raises(StoreError, match=r"no server answers.*start it") as caught:
                verb()
            assert time.monotonic() - began < 3
            assert not isinstance(caught.value, BusyError)
            assert server.password not in str(caught.value)
    finally:
        server.start()
    assert data_of(catalog, "key") == b"value"


def _break_who_waits(server: Server) -> None:
    """End the session of the catalog that is waiting for a lock, once there is one."""
    with psycopg.connect(server.url(), autocommit=True) as other:
        sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type='Lock'"
        while not other.execute(sql).fetchall():
            time.sleep(0.01)


def test_a_connection_that_breaks_during_a_write(server: Server, catalog: PostgreSQLCatalog) -> None:
    """Nobody can say whether it was committed."""
    put(catalog, "key")
    for verb in (lambda: put(catalog, "key", b"new"), lambda: catalog.commit([Delete(FLOW, "key")])):
        with psycopg.connect(server.url()) as hold, ThreadPoolExecutor() as threads:
            hold.execute(f"SELECT * FROM {catalog._pool._target.schema}.records FOR UPDATE")
            done = threads.submit(verb)
            _break_who_waits(server)
            with pytest.raises(StoreError, match="whether it was committed is not known"):
                done.result()
        assert data_of(catalog, "key") == b"value"


def test_a_connection_that_breaks_before_the_commit(server: Server, catalog: PostgreSQLCatalog) -> None:
    """Then it was not committed, and is done again."""
    put(catalog, "key")
    lock = f"SELECT pg_advisory_xact_lock(1213156420,'{catalog._pool._target.schema}.store'::regclass::oid::int)"
    for verb in (
        lambda: catalog.commit([Delete(FLOW, "key"), inline_put(catalog, "new")]),
        lambda: catalog.acquire("name", "me", 30),
        lambda: catalog.rename_scope(FLOW, "renamed"),
    ):
        with ThreadPoolExecutor() as threads:
            with psycopg.connect(server.url()) as hold:
                hold.execute(lock)
                done = threads.submit(verb)
                _break_who_waits(server)
                time.sleep(0.1)
            done.result()
    renamed = (*SPACE, ("workflow", "renamed"))
    assert catalog.keys(renamed, "", None, 10) == ["new"]


def test_a_server_without_a_connection_to_spare(server: Server, catalog: PostgreSQLCatalog) -> None:
    put(catalog, "key")
    others: list[psycopg.Connection] = []
    try:
        with suppress(psycopg.OperationalError):
            while True:
                others.append(psycopg.connect(server.url()))
        assert data_of(catalog, "key") == b"value"
        with pytest.raises(BusyError, match="max_connections"):
            PostgreSQLCatalog(f"{server.url()}?schema=new", timeout=0.2)
        threading.Timer(0.5, others.pop().close).start()
        PostgreSQLCatalog(f"{server.url()}?schema=new", timeout=10.0).close()
    finally:
        for other in others:
            other.close()


def test_more_threads_than_connections(catalog: PostgreSQLCatalog) -> None:
    codec, failures = catalog.codec_id(INTEGER), []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                catalog.add(FLOW, "count", 1, codec)
                put(catalog, f"{number}/{turn}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert data_of(catalog, "count") == 600
    assert len(catalog._pool._links) <= 10


def test_all_connections_in_use(catalog: PostgreSQLCatalog) -> None:
    catalog.timeout = catalog._pool._timeout = 0.2
    links = [catalog._pool.take() for _ in range(10)]
    with pytest.raises(BusyError, match="in use"):
        put(catalog, "key")
    threading.Timer(0.1, catalog._pool.give, links[:1]).start()
    put(catalog, "key")
    for link in links[1:]:
        catalog._pool.give(link)


WRITERS = 8


def await_keys(catalog: PostgreSQLCatalog, keys: set[str]) -> None:
    """Wait until all are there: each process has opened the catalog, and is at work."""
    end = time.monotonic() + 60
    while not keys <= set(catalog.keys(FLOW, "", None, 100)):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_kill_of_the_server_loses_nothing_that_was_acknowledged(server: Server, catalog: PostgreSQLCatalog) -> None:
    """Eight processes write, delete and commit while the server is killed twice; what each of them was told stands."""
    url = f"{server.url()}?schema={catalog._pool._target.schema}"
    put(catalog, "key")
    results: dict[int, list] = {}
    stop = catalog._pool._target.schema  # a key that tells them to end

    def run(number: int) -> None:
        results[number] = in_child(lambda: _write(url, number, stop))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    await_keys(catalog, {f"{number}/a" for number in range(WRITERS)})
    for _ in range(2):
        time.sleep(1.0)
        server.kill()
        time.sleep(0.1)
        server.start()
    time.sleep(0.5)
    put(catalog, stop)
    for thread in threads:
        thread.join()
    assert len(results) == WRITERS
    unknown = 0
    for number, (last, open_ended, highest, committed) in results.items():
        unknown += len(open_ended)
        for key, version in last.items():
            if key in open_ended:
                continue
            found = catalog.find(FLOW, key)
            if version is None:
                assert found == [], (number, key)
            else:
                assert [row[1] for row in found] == [version], (number, key)
        assert put(catalog, f"{number}/0") > highest
        assert data_of(catalog, f"{number}/a") == data_of(catalog, f"{number}/b")
        if f"{number}/a" not in open_ended:
            assert data_of(catalog, f"{number}/a") == b"%d" % committed
    assert unknown <= 2 * WRITERS


def _write(url: str, number: int, stop: str) -> list:
    """Writes of one process on keys of its own: the last version that each was told to have (None: deleted), keys whose
    last write is open, the highest version, and the last turn that was committed."""
    catalog = PostgreSQLCatalog(url, timeout=20.0)
    last: dict[str, int | None] = {}
    unknown: set[str] = set()
    highest = committed = turn = 0
    while turn % 20 or data_of(catalog, stop) is None:
        turn += 1
        key = f"{number}/{turn % 5}"
        keys = [key]
        try:
            if turn % 7 == 0:
                keys = [f"{number}/a", f"{number}/b"]
                done = catalog.commit([inline_put(catalog, name, b"%d" % turn) for name in keys])
                for name, one in zip(keys, done, strict=True):
                    assert one.row is not None
                    last[name] = one.row.version
                    highest = max(highest, one.row.version)
                committed = turn
            elif turn % 3 == 0 and last.get(key) is not None:
                catalog.commit([Delete(FLOW, key)])
                last[key] = None
            else:
                version = put(catalog, key, b"%d" % turn)
                assert version > highest, "a version went back"
                last[key] = highest = version
            unknown -= set(keys)
        except StoreError as error:
            if "is not known" not in str(error):
                raise
            unknown |= set(keys)
        except NotFoundError:
            assert key in unknown  # the delete that was open had been done
            unknown -= {key}
            last[key] = None
    catalog.close()
    return [last, sorted(unknown), highest, committed]


def test_after_a_kill_of_the_server_keys_are_made_once(server: Server, catalog: PostgreSQLCatalog) -> None:
    """Who is told that he made it, made it; and no one else is told so."""
    url, folder = f"{server.url()}?schema={catalog._pool._target.schema}", server.folder
    put(catalog, "key")

    def work(number: int) -> list[list]:
        mine = PostgreSQLCatalog(url, timeout=20.0)
        put(mine, f"began {number}")
        won, open_ended = [], []
        turn = 0
        while not os.path.exists(f"{folder}/stop"):
            turn += 1
            try:
                mine.commit([inline_put(mine, f"k{turn}", b"%d" % number, if_version=ABSENT)])
                won.append(turn)
            except ConflictError:
                pass
            except StoreError:
                open_ended.append(turn)
        mine.close()
        return [won, open_ended]

    answers: list[list[list]] = []
    threads = [threading.Thread(target=lambda n=n: answers.append(in_child(lambda: work(n)))) for n in range(3)]
    for thread in threads:
        thread.start()
    await_keys(catalog, {f"began {number}" for number in range(3)})
    time.sleep(0.5)
    server.kill()
    server.start()
    time.sleep(0.5)
    with open(f"{folder}/stop", "w"):
        pass
    for thread in threads:
        thread.join()
    os.unlink(f"{folder}/stop")
    won = [turn for made, _ in answers for turn in made]
    assert len(won) == len(set(won)), "two were told that they made the same key"
    open_ended = {turn for _, unknown in answers for turn in unknown}
    there = {int(key[1:]) for key in catalog.keys(FLOW, "k0", "k:", 1_000_000)}
    assert set(won) <= there
    assert there - set(won) <= open_ended


def test_close_ends_those_who_wait(catalog: PostgreSQLCatalog) -> None:
    links = [catalog._pool.take() for _ in range(10)]
    failures: list[BaseException] = []

    def work() -> None:
        try:
            put(catalog, "key")
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.1)
    catalog.close()
    thread.join(5)
    assert [type(error) for error in failures] == [ClosedError]
    for link in links:
        catalog._pool.give(link)
    assert all(link._connection.closed for link in links)
