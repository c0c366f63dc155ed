"""Writers that meet: who waits, for how long, and what a time-out says."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest

from holdfast.catalog.base import Delete
from holdfast.catalog.sqlite import SQLiteCatalog
from holdfast.catalog.sqlite.gate import Crowd, Gate
from holdfast.errors import BusyError
from holdfast.model import Codec
from holdfast.testing.catalog_cases import FLOW, INTEGER, data_of, inline_put, put, record_of
from holdfast.testing.processes import in_child

pytestmark = pytest.mark.alone


@pytest.fixture
def catalog(tmp_path: Path):
    catalog = SQLiteCatalog(tmp_path / "catalog.sqlite", timeout=0.2)
    put(catalog, "key")
    yield catalog
    catalog.close()


class Holder:
    """A writer that does not let go."""

    def __init__(self, catalog: SQLiteCatalog) -> None:
        self.connection = apsw.Connection(str(catalog.path))

    def __enter__(self) -> Holder:
        self.connection.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.execute("ROLLBACK")
        self.connection.close()


def test_a_writer_that_does_not_let_go(catalog: SQLiteCatalog) -> None:
    codec = catalog.codec_id(INTEGER)
    with Holder(catalog):
        for verb in (
            lambda: put(catalog, "key"),
            lambda: put(catalog, "key", power=True),
            lambda: catalog.add(FLOW, "n", 1, codec),
            lambda: catalog.commit([inline_put(catalog, "key")]),
            lambda: catalog.commit([Delete(FLOW, "key")]),
            lambda: catalog.create_scope((("a", "b"),)),
            lambda: catalog.drop_scope(FLOW),
            lambda: catalog.codec_id(Codec("new", "new")),
            lambda: catalog.acquire("lease", "me", 1),
            lambda: catalog.mark_synced([1]),
            lambda: catalog.barrier(),
            lambda: catalog.sweep(),
        ):
            begin = time.monotonic()
            with pytest.raises(BusyError, match="timeout="):
                verb()
            assert 0.15 < time.monotonic() - begin < 2
        assert data_of(catalog, "key") == b"value", "a writer keeps readers out"
        assert catalog.keys(FLOW, "", None, 10) == ["key"]
    put(catalog, "key", b"after")


def test_no_time_out_tries_once(catalog: SQLiteCatalog) -> None:
    quick = SQLiteCatalog(catalog.path, timeout=0)
    with Holder(catalog):
        begin = time.monotonic()
        with pytest.raises(BusyError):
            put(quick, "key")
        assert time.monotonic() - begin < 0.1
    put(quick, "key")
    quick.close()


def test_a_stopped_process_at_the_gate_stops_nobody_for_ever(catalog: SQLiteCatalog) -> None:
    """It has the gate and does not move; the others' time-outs still hold, and the gate ends with it."""
    path = f"{catalog.path}.gate"
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        file = os.open(path, os.O_RDWR)
        fcntl.flock(file, fcntl.LOCK_EX)
        os.write(writing, b"x")
        signal.pause()
        os._exit(0)
    try:
        os.read(reading, 1)
        os.kill(child, signal.SIGSTOP)
        put(catalog, "free", b"the gate is not touched while the database is free")
        with Holder(catalog):
            begin = time.monotonic()
            with pytest.raises(BusyError):
                put(catalog, "key")
            assert time.monotonic() - begin < 2
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)
    put(catalog, "key")


def test_a_writer_gets_through_when_the_other_is_done(catalog: SQLiteCatalog) -> None:
    patient = SQLiteCatalog(catalog.path, timeout=20)
    holder = Holder(catalog)
    done = threading.Event()

    def work() -> None:
        put(patient, "waited", b"for it")
        done.set()

    with holder:
        thread = threading.Thread(target=work)
        thread.start()
        assert not done.wait(0.3)
    assert done.wait(5)
    thread.join()
    assert data_of(catalog, "waited") == b"for it"
    patient.close()


def test_a_put_that_waited_has_the_time_of_its_commit(catalog: SQLiteCatalog) -> None:
    """So the order of times is that of commits, and who follows the changes of a scope passes none by."""
    patient = SQLiteCatalog(catalog.path, timeout=20)
    row = (None, None, 0, None, 1, catalog.codec_id(INTEGER), None, None, b"x")
    patient.put(FLOW, "key", row)
    with ThreadPoolExecutor() as pool:
        with Holder(catalog):
            done = pool.submit(patient.put, FLOW, "key", row)
            time.sleep(0.3)
            assert not done.done()
            before = time.time()
        assert done.result(5)[2] == record_of(catalog, "key").updated > before
    patient.close()


def test_whoever_comes_to_the_gate_first_has_its_turn(tmp_path: Path) -> None:
    path = str(tmp_path / "gate")
    crowd = Crowd(path)
    waiting, coming = Gate(path, crowd), Gate(path, crowd)
    assert not coming.crowded()

    seen: list[tuple[bool, bool, bool]] = []

    def busy() -> None:
        seen.append((coming.crowded(), waiting.crowded(), waiting.has_turn()))
        raise apsw.BusyError("busy")

    with pytest.raises(apsw.BusyError):
        waiting.attempt(busy, 0.03)
    assert seen[0] == (True, False, True), "nobody was told whose turn it is"
    time.sleep(0.02)
    assert not coming.crowded(), "the turn does not end"
    assert in_child(lambda: Gate(path, crowd).crowded()) is False
    waiting.close()
    coming.close()


def test_a_clock_that_was_set_back_keeps_nobody_in_the_queue(catalog: SQLiteCatalog) -> None:
    gate = catalog._pool.link().gate
    assert gate is not None
    with Holder(catalog), pytest.raises(BusyError):
        put(catalog, "key")
    gate._write(time.time() + 3600, 1.0)
    begin = time.monotonic()
    for number in range(50):
        put(catalog, f"k{number}")
    assert time.monotonic() - begin < 1
    assert catalog._pool.until[0] == 0.0


def test_eight_writers_all_get_their_turn(catalog: SQLiteCatalog) -> None:
    """Loosely: what is promised is measured by the benchmarks, on a machine that does nothing else."""
    waits: list[float] = []
    counts: list[int] = []

    def work(number: int) -> None:
        def child() -> list[float]:
            mine = SQLiteCatalog(catalog.path)
            codec, longest, count = mine.codec_id(INTEGER), 0.0, 0
            put(mine, f"began {number}")
            while len(mine.keys(FLOW, "began ", "began~", 9)) < 8:
                time.sleep(0.01)
            stop = time.monotonic() + 1.5
            while (begin := time.monotonic()) < stop:
                mine.add(FLOW, "count", 1, codec)
                longest = max(longest, time.monotonic() - begin)
                count += 1
            return [longest, count]

        longest, count = in_child(child)
        waits.append(longest)
        counts.append(count)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == 8
    assert data_of(catalog, "count") == sum(counts)
    assert min(counts) > max(counts) / 20
    assert max(waits) < 1.0
