"""Connections: one a thread, closed with it, left alone by a forked child; and what comes in between statements."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest

from holdfast.catalog.base import NewBlob
from holdfast.catalog.sqlite import SQLiteCatalog, statements
from holdfast.catalog.sqlite.listing import _KEYS
from holdfast.errors import ClosedError, InvalidArgumentError
from holdfast.testing.catalog_cases import (
    BOOT,
    FLOW,
    INTEGER,
    SPACE,
    data_of,
    inline_put,
    put,
    put_bundle,
    put_file,
    record_of,
    versions,
)
from holdfast.testing.processes import in_child


@pytest.fixture
def catalog(tmp_path: Path):
    catalog = SQLiteCatalog(tmp_path / "catalog.sqlite")
    yield catalog
    catalog.close()


def descriptors(catalog: SQLiteCatalog) -> list[str]:
    """Which of the catalog's files this process has open, once for each time."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
        if target.startswith(str(catalog.path)):
            found.append(target)
    return sorted(found)


def test_a_thread_takes_its_connection_with_it(catalog: SQLiteCatalog) -> None:
    put(catalog, "key")
    seen = []
    for _ in range(30):
        thread = threading.Thread(target=put, args=(catalog, "key"))
        thread.start()
        thread.join()
        seen.append(descriptors(catalog))
    assert seen[-1] == seen[0]


def test_close_closes_all(tmp_path: Path) -> None:
    catalog = SQLiteCatalog(tmp_path / "c")
    ready, leave = threading.Barrier(4), threading.Event()

    def work() -> None:
        put(catalog, "key")
        ready.wait()
        leave.wait()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    ready.wait()
    assert len([name for name in descriptors(catalog) if name == catalog.path]) >= 3
    catalog.close()
    try:
        assert [name for name in descriptors(catalog) if not name.endswith(".gate")] == []
        with pytest.raises(ClosedError):
            put(catalog, "key")
    finally:
        leave.set()
        for thread in threads:
            thread.join()


def test_a_forked_child_leaves_the_parents_connection_alone(catalog: SQLiteCatalog) -> None:
    """The child ends as a program does, with all its clean-up: the parent's locks and log stay."""
    put(catalog, "before")
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
    assert Path(f"{catalog.path}-wal").exists(), "the child removed the parent's log"
    put(catalog, "after")
    assert in_child(lambda: data_of(SQLiteCatalog(catalog.path), "after") == b"value")


def test_a_child_that_ends_like_a_program(tmp_path: Path) -> None:
    """Through the interpreter's own end, while the parent goes on and is then killed: nothing is lost."""
    program = """
import os, sys, signal
from holdfast.catalog.sqlite import SQLiteCatalog
from holdfast.testing.catalog_cases import put
catalog = SQLiteCatalog(sys.argv[1])
put(catalog, "before")
if os.fork() == 0:
    if sys.argv[2] == "used":
        put(catalog, "child")
    sys.exit(0)
os.wait()
put(catalog, "after")
os.kill(os.getpid(), signal.SIGKILL)
"""
    for what in ("used", "unused"):
        path = tmp_path / what
        done = subprocess.run([sys.executable, "-c", program, path, what], capture_output=True, text=True, check=False)
        assert done.returncode == -9, done.stderr
        catalog = SQLiteCatalog(path)
        wanted = ["after", "before", "child"] if what == "used" else ["after", "before"]
        assert catalog.keys(FLOW, "", None, 10) == wanted
        catalog.close()


def test_a_fork_while_other_threads_write(catalog: SQLiteCatalog) -> None:
    stop, failures = threading.Event(), []

    def work(name: str) -> None:
        try:
            while not stop.is_set():
                catalog.commit([inline_put(catalog, name), inline_put(catalog, f"{name}/2")])
                put(catalog, name)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    try:
        for number in range(8):
            assert in_child(partial(put, catalog, f"child{number}")) >= 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert catalog.read("PRAGMA integrity_check") == [("ok",)]
    assert len(catalog.keys(FLOW, "child", "d", 100)) == 8


@pytest.mark.parametrize("memory", [False, True])
def test_a_finalizer_may_use_the_catalog(tmp_path: Path, memory: bool) -> None:
    """The garbage collector may run one in the middle of a statement of the same thread."""
    catalog = SQLiteCatalog(None if memory else tmp_path / "c")
    done: list[int] = []

    class Node:
        def __init__(self, number: int) -> None:
            self.me = self
            self.number = number

        def __del__(self) -> None:
            assert data_of(catalog, "key") == b"value"
            done.append(put(catalog, f"n{self.number}"))

    put(catalog, "key")
    for number in range(1000):
        put(catalog, f"row{number}", tags={"a": "b"})
    threshold = gc.get_threshold()
    gc.set_threshold(50)
    try:
        for number in range(200):
            Node(number)
            catalog.search(FLOW, limit=100)
            catalog.commit([inline_put(catalog, "other"), inline_put(catalog, "another")])
            catalog.find(FLOW, "key")
    finally:
        gc.set_threshold(*threshold)
        gc.collect()
    assert len(done) == 200
    assert len(catalog.keys(FLOW, "n", "o", 1000)) == 200
    catalog.close()


def test_steady_writing_beside_listings_leaves_the_log_small(catalog: SQLiteCatalog) -> None:
    """No statement stays open: then the log begins anew whenever it was copied."""
    for number in range(12_000):
        put(catalog, f"k{number % 500}", b"x" * 3000)
        if number % 50 == 0:
            catalog.search(FLOW, limit=20)
            catalog.keys(FLOW, "", None, 20)
    assert Path(f"{catalog.path}-wal").stat().st_size < 40 << 20


def test_the_barrier_empties_the_log(catalog: SQLiteCatalog) -> None:
    for number in range(500):
        put(catalog, f"k{number}", b"x" * 1000)
    catalog.barrier()
    connection = catalog._pool.link().connection
    put(catalog, "key")
    frames, copied = connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_PASSIVE)
    assert frames < 20
    assert copied == frames


def test_the_hot_put_has_no_trigger_in_it(catalog: SQLiteCatalog) -> None:
    put(catalog, "key")
    connection = catalog._pool.link().connection
    assert connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, -1) == 1

    def programs(sql: str, count: int) -> list[Any]:
        return [row for row in connection.execute("EXPLAIN " + sql, (1,) * count) if row[1] == "Program"]

    assert programs(statements.PUT, 14) == []
    assert programs(statements.ADD, 6) == []
    assert programs(statements.REPLACE_AT, 15) == []
    assert programs(statements.PUT_FULL, 17) != []


def test_the_listings_sort_nothing_and_scan_nothing(catalog: SQLiteCatalog) -> None:
    connection = catalog._pool.link().connection
    texts = {
        "find": (statements.FIND, 3),
        "keys": (_KEYS[False], 5),
        "keys to an end": (_KEYS[True], 6),
        "search": (statements.search_statement("key", False, bounded=True, after=False, tagged=True), 10),
        "search down": (statements.search_statement("key", True, bounded=True, after=False, tagged=False), 10),
    }
    for name, (sql, count) in texts.items():
        plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, (1,) * count)]
        assert not [step for step in plan if "TEMP B-TREE" in step], (name, plan)
        assert not [step for step in plan if step.startswith("SCAN r")], (name, plan)


def test_a_number_beyond_64_bits(catalog: SQLiteCatalog) -> None:
    with pytest.raises(InvalidArgumentError, match="64 bits"):
        put(catalog, "key", 2**63)
    assert data_of(catalog, "key") is None


def test_trust_at_another_place(catalog: SQLiteCatalog) -> None:
    """Bytes that were written again."""
    row = put_file(catalog, "key", boot="earlier")
    assert row.blob is not None
    catalog.trust(row.blob, NewBlob(row.storage or 0, '"new place"', True, BOOT, 1, 2, 3, 4))
    assert data_of(catalog, "key") == '"new place"'


def test_an_adopted_store_trusts_no_file(catalog: SQLiteCatalog) -> None:
    rows = [put_file(catalog, "one", b"1", synced=True), put_file(catalog, "two", b"2")]
    catalog.adopt()
    for key in ("one", "two"):
        assert catalog.find(FLOW, key)[0][13:] == (0, "", None, None, None, None)
    assert catalog.unsynced(boot=BOOT, earlier=True) == []
    assert catalog.unsynced(boot=BOOT, earlier=False) == []
    again = put_file(catalog, "three", b"1")
    assert again.blob != rows[0].blob, "bytes that nobody looked at yet stand in for fresh ones"


def test_an_adopted_bundle_is_trusted_with_its_last_member(catalog: SQLiteCatalog) -> None:
    members = put_bundle(catalog, "key", b"one", b"two", synced=True)
    catalog.adopt()
    for one in members:
        assert record_of(catalog, "key").synced == 0
        catalog.trust(one.blob, NewBlob(one.storage, one.storage_config, True, BOOT))
    assert record_of(catalog, "key").synced == 1


def test_many_scopes_are_remembered_within_bounds(catalog: SQLiteCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.catalog.sql.places._REMEMBERED", 50)
    for number in range(200):
        put(catalog, "key", path=(*SPACE, ("n", str(number))))
        assert len(catalog._known[1]) <= 52
    assert data_of(catalog, "key", (*SPACE, ("n", "0"))) == b"value"


def test_an_integer_is_added_to_from_an_old_version_on(catalog: SQLiteCatalog) -> None:
    """At the scope's ceiling too, where the quick statement has to give way."""
    codec = catalog.codec_id(INTEGER)
    for _ in range(998):
        catalog.add(FLOW, "count", 1, codec)
    seen = [catalog.add(FLOW, "count", 1, codec)[1].version for _ in range(6)]
    assert seen == list(range(seen[0], seen[0] + 6))
    assert versions(catalog, "count") == seen[-1:]


ENDING = """
import sys, threading, time
from holdfast.catalog.sqlite import SQLiteCatalog, connection

catalog = SQLiteCatalog(sys.argv[1])
held = threading.Event()

def hold():
    with {lock}:
        held.set()
        time.sleep(600)

threading.Thread(target=hold, daemon=True).start()
held.wait()
catalog.find((("namespace", "prod"),), "key")
"""


@pytest.mark.parametrize("lock", ["catalog._pool.link() and connection._OPENING", "catalog._pool.link().lock"])
def test_a_program_ends_while_a_background_thread_is_inside(tmp_path: Path, lock: str) -> None:
    code = ENDING.format(lock=lock)
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "c"], timeout=30, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_connection_waits_for_a_process_that_closes_the_catalog(tmp_path: Path) -> None:
    catalog = SQLiteCatalog(tmp_path / "c", timeout=20.0)
    other = apsw.Connection(str(tmp_path / "c"))
    catalog.close()
    catalog = SQLiteCatalog(tmp_path / "c", timeout=20.0)
    catalog._pool.close()  # as between the opening of a store and a thread's first call
    other.close()
    other = apsw.Connection(str(tmp_path / "c"))
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE; COMMIT").fetchall()
    timer = threading.Timer(0.3, other.close)
    timer.start()
    connection = catalog._pool._connect()
    assert connection.execute("SELECT count(*) FROM store").get == 1
    connection.close()
    timer.join()
