"""Connections: as few as are needed, left alone by a forked child, whole after an interrupt, gone at the end."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg
import pytest

from holdfast.catalog.postgresql import PostgreSQLCatalog, pool
from holdfast.errors import ClosedError
from holdfast.testing.catalog_cases import FLOW, data_of, inline_put, put, put_file
from holdfast.testing.postgresql import Server
from holdfast.testing.processes import in_child

_numbers = itertools.count()


@pytest.fixture
def url(postgresql: Server) -> str:
    return f"{postgresql.url()}?schema=connections{next(_numbers)}&application_name=tested{next(_numbers)}"


@pytest.fixture
def catalog(url: str) -> Iterator[PostgreSQLCatalog]:
    catalog = PostgreSQLCatalog(url)
    yield catalog
    catalog.close()


@pytest.fixture
def admin(postgresql: Server) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgresql.url(), autocommit=True) as admin:
        yield admin


def sessions(admin: psycopg.Connection, catalog: PostgreSQLCatalog, wanted: int | None = None) -> list[str]:
    """The states of the catalog's sessions on the server; those that were closed need a moment to go."""
    name = catalog._pool._target.parameters["application_name"]
    end = time.monotonic() + 10
    while True:
        rows = admin.execute("SELECT state FROM pg_stat_activity WHERE application_name=%s", (name,)).fetchall()
        if wanted is None or len(rows) == wanted or time.monotonic() > end:
            return [state for (state,) in rows]
        time.sleep(0.01)


def test_threads_share_few_connections(catalog: PostgreSQLCatalog, admin: psycopg.Connection) -> None:
    for _ in range(30):
        thread = threading.Thread(target=put, args=(catalog, "key"))
        thread.start()
        thread.join()
    assert sessions(admin, catalog) == ["idle"]


def test_connections_that_are_not_needed_go(
    catalog: PostgreSQLCatalog, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = [catalog._pool.take() for _ in range(6)]
    for link in links:
        catalog._pool.give(link)
    assert sessions(admin, catalog) == ["idle"] * 6
    monkeypatch.setattr(pool, "_SPARE", 0.05)
    time.sleep(0.1)
    for _ in range(10):
        put(catalog, "key")
    assert sessions(admin, catalog, 1) == ["idle"]


def test_close_closes_all(catalog: PostgreSQLCatalog, admin: psycopg.Connection) -> None:
    busy = catalog._pool.take()
    put(catalog, "key")
    catalog.close()
    assert len(sessions(admin, catalog, 1)) == 1
    assert busy.rows("SELECT 1") == [(1,)], "who is at work comes to an end"
    catalog._pool.give(busy)
    assert sessions(admin, catalog, 0) == []
    with pytest.raises(ClosedError):
        put(catalog, "key")


def test_a_catalog_that_is_forgotten_closes_its_connections(url: str, admin: psycopg.Connection) -> None:
    catalog = PostgreSQLCatalog(url)
    put(catalog, "key")
    name = catalog._pool._target.parameters["application_name"]
    assert sessions(admin, catalog) == ["idle"]
    del catalog
    gc.collect()
    end = time.monotonic() + 10
    while admin.execute("SELECT 1 FROM pg_stat_activity WHERE application_name=%s", (name,)).fetchall():
        assert time.monotonic() < end
        time.sleep(0.01)


# --- forks ------------------------------------------------------------------------------------------------------------


def test_a_forked_child_leaves_the_parents_connection_alone(
    catalog: PostgreSQLCatalog, admin: psycopg.Connection
) -> None:
    """The child ends as a program does, with all its clean-up: the parent's sessions go on."""
    put(catalog, "before")
    link = catalog._pool._free[-1]
    ((parent,),) = link.rows("SELECT pg_backend_pid()")
    child = os.fork()
    if not child:
        status = 1
        try:
            put(catalog, "child", b"child")
            assert data_of(catalog, "before") == b"value"
            catalog.close()
            gc.collect()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert data_of(catalog, "child") == b"child"
    put(catalog, "after")
    assert catalog._pool._free[-1] is link
    assert link.rows("SELECT pg_backend_pid()") == [(parent,)]
    assert sessions(admin, catalog, 1) == ["idle"]


def test_a_child_that_outlives_its_parent_keeps_no_session_of_it(url: str, admin: psycopg.Connection) -> None:
    program = f"""
import os, sys, time
from holdfast.catalog.postgresql import PostgreSQLCatalog
from holdfast.testing.catalog_cases import put
catalog = PostgreSQLCatalog({url!r})
put(catalog, "before")
if os.fork() == 0:
    sys.stdin.read()
    put(catalog, "child")
    sys.exit(0)
print("forked", flush=True)
os.kill(os.getpid(), 9)
"""
    started = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert started.stdin is not None
    assert started.stdout is not None
    assert started.stdout.readline() == b"forked\n"
    started.wait()
    catalog = PostgreSQLCatalog(url)
    assert len(sessions(admin, catalog, 1)) == 1, "only the one that is looking"
    started.stdin.close()
    started.stdout.close()
    end = time.monotonic() + 10
    while data_of(catalog, "child") is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    catalog.close()


@pytest.mark.long
def test_a_fork_while_other_threads_write(catalog: PostgreSQLCatalog) -> None:
    stop, failures = threading.Event(), []

    def work(name: str) -> None:
        try:
            while not stop.is_set():
                catalog.commit([inline_put(catalog, name), inline_put(catalog, f"{name}/2")])
                put(catalog, name)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    try:
        for number in range(10):
            assert in_child(partial(put, catalog, f"child{number}")) >= 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert len(catalog.keys(FLOW, "child", "d", 100)) == 10


# --- what comes in between --------------------------------------------------------------------------------------------


def interrupted_at(number: int, work: Callable[[], object]) -> bool:
    """Call ``work`` and interrupt it after its ``number``-th call of a function; False when it had fewer."""
    calls = itertools.count(1)

    def profile(frame: Any, event: str, argument: object) -> None:
        # Moments at which Python looks for a signal; one that comes while a C function runs is seen when it returns.
        if event in ("call", "c_return") and next(calls) == number:
            raise KeyboardInterrupt

    sys.setprofile(profile)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python tells of those in finalizers
@pytest.mark.parametrize("work", [
    lambda catalog: put(catalog, "work"),
    lambda catalog: catalog.commit([inline_put(catalog, "work"), inline_put(catalog, "work/2")]),
    lambda catalog: catalog.find(FLOW, "work"),
    lambda catalog: put_file(catalog, "work"),
], ids=["put", "commit", "find", "file"])  # fmt: skip
@pytest.mark.long
def test_an_interrupt_at_any_call_leaves_nothing_half_done(
    catalog: PostgreSQLCatalog, admin: psycopg.Connection, url: str, work: Callable[[PostgreSQLCatalog], object]
) -> None:
    other = PostgreSQLCatalog(f"{url}&application_name=other", timeout=1.0)
    put(catalog, "work")
    put(other, "other")
    for number in itertools.count(1):
        interrupted = interrupted_at(number, lambda: work(catalog))
        other.commit([inline_put(other, "work"), inline_put(other, "work/2")])  # nobody holds a lock
        put(catalog, f"after {number}")
        assert other.find(FLOW, f"after {number}"), f"lost after an interrupt at call {number}"
        assert len(catalog._pool._links) <= 3, "connections are left over"
        if not interrupted:
            break
    assert number > 10
    assert set(sessions(admin, catalog)) == {"idle"}
    other.close()


def test_an_interrupt_ends_a_wait(catalog: PostgreSQLCatalog, postgresql: Server) -> None:
    put(catalog, "key")
    with psycopg.connect(postgresql.url()) as hold:
        hold.execute(f"SELECT * FROM {catalog._pool._target.schema}.records FOR UPDATE")
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(0.3, signal.pthread_kill, [main, signal.SIGINT])
        timer.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            put(catalog, "key", b"new")
        assert time.monotonic() - began < 3
    timer.join()
    time.sleep(0.1)
    assert data_of(catalog, "key") == b"value", "the statement was cancelled"


def test_a_finalizer_may_use_the_catalog(catalog: PostgreSQLCatalog) -> None:
    """The garbage collector may run one in the middle of a statement of the same thread."""
    done: list[int] = []

    class Node:
        def __init__(self, number: int) -> None:
            self.me = self
            self.number = number

        def __del__(self) -> None:
            assert data_of(catalog, "key") == b"value"
            done.append(put(catalog, f"n{self.number}"))

    put(catalog, "key")
    for number in range(300):
        put(catalog, f"row{number}", tags={"a": "b"})
    threshold = gc.get_threshold()
    gc.set_threshold(50)
    try:
        for number in range(100):
            Node(number)
            catalog.search(FLOW, limit=100)
            catalog.commit([inline_put(catalog, "other"), inline_put(catalog, "another")])
            catalog.find(FLOW, "key")
    finally:
        gc.set_threshold(*threshold)
        gc.collect()
    assert len(done) == 100
    assert len(catalog.keys(FLOW, "n", "o", 1000)) == 100


def test_a_program_ends_while_a_background_thread_waits(url: str, postgresql: Server) -> None:
    code = f"""
import threading, psycopg, time
from holdfast.catalog.postgresql import PostgreSQLCatalog
from holdfast.testing.catalog_cases import put
catalog = PostgreSQLCatalog({url!r})
put(catalog, "key")
hold = psycopg.connect({postgresql.url()!r})
hold.execute("SELECT * FROM " + catalog._pool._target.schema + ".records FOR UPDATE")
threading.Thread(target=put, args=(catalog, "key"), daemon=True).start()
time.sleep(0.3)
hold.close()
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=30, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_goes_wrong_before_it_is_sent_costs_no_connection(catalog: PostgreSQLCatalog) -> None:
    put(catalog, "key")
    (link,) = catalog._pool._free
    for _ in range(3):
        with pytest.raises(Exception, match="NUL"):
            catalog.commit([inline_put(catalog, "key", session="a\0b")])
        with pytest.raises(Exception, match="NUL"):
            catalog.acquire("a\0b", "me", 1)
        with pytest.raises(Exception, match="64 bits"):
            put(catalog, "key", 2**63)
    assert list(catalog._pool._free) == [link]
    assert put_file(catalog, "file").data is None
