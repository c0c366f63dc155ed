"""Calls in haste: they wait for nobody, end soon, and change nothing where they give up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from holdfast.catalog.sqlite import SQLiteCatalog, connection
from holdfast.errors import BusyError, ClosedError, NotFoundError
from holdfast.testing.catalog_cases import FLOW, data_of, inline_put, put


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SQLiteCatalog]:
    made = SQLiteCatalog(tmp_path / "catalog", timeout=10)
    put(made, "key", b"before")
    yield made
    made.close()


@contextmanager
def held(catalog: SQLiteCatalog) -> Iterator[None]:
    """Another connection is in the middle of a write."""
    other = apsw.Connection(str(catalog.path))
    other.execute("BEGIN IMMEDIATE").fetchall()
    try:
        yield
    finally:
        other.execute("COMMIT").fetchall()
        other.close()


def yes() -> bool:
    return True


WRITES: dict[str, Callable[[SQLiteCatalog], Any]] = {
    "put": lambda catalog: put(catalog, "key", b"after"),
    "put of a new scope": lambda catalog: put(catalog, "key", b"after", (("namespace", "new"),)),
    "add": lambda catalog: catalog.add(FLOW, "number", 1, catalog.codec_id(("int", "x/y", None))),  # type: ignore[arg-type]
    "commit": lambda catalog: catalog.commit([inline_put(catalog, "key", b"after")]),
    "create": lambda catalog: catalog.create_scope((("namespace", "new"),)),
    "lease": lambda catalog: catalog.acquire("name", "owner", 10),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_in_haste_waits_for_nobody(catalog: SQLiteCatalog, write: str) -> None:
    with held(catalog):
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(BusyError):
                catalog.impatient(yes, lambda: WRITES[write](catalog))
            assert time.monotonic() - began < 2
        assert catalog.impatient(yes, lambda: data_of(catalog, "key")) == b"before"  # reading waits for no writer
    assert data_of(catalog, "key") == b"before"
    assert catalog.scope((("namespace", "new"),)) is None
    catalog.impatient(yes, lambda: WRITES[write](catalog))


def test_a_write_in_haste_does_not_take_another_s_turn(catalog: SQLiteCatalog) -> None:
    other = SQLiteCatalog(catalog.path, timeout=10)
    gate = other._pool.link().gate
    assert gate is not None
    refused = 0
    for _ in range(200):
        gate.attempt(lambda: None, 1)  # the next two milliseconds are its own
        try:
            catalog.impatient(yes, lambda: put(catalog, "key"))
        except BusyError:
            refused += 1
    assert refused > 0
    time.sleep(0.02)  # until the last turn is over
    catalog.impatient(yes, lambda: put(catalog, "key"))
    other.close()


def test_haste_that_comes_later_ends_the_wait(catalog: SQLiteCatalog) -> None:
    hurry = threading.Event()
    with held(catalog):
        timer = threading.Timer(0.2, hurry.set)
        timer.start()
        began = time.monotonic()
        with pytest.raises(BusyError):
            catalog.impatient(hurry.is_set, lambda: put(catalog, "key", b"after"))
        assert 0.15 < time.monotonic() - began < 5
    assert data_of(catalog, "key") == b"before"
    assert catalog.impatient(hurry.is_set, lambda: put(catalog, "key", b"after")) == 2


def test_a_thread_s_first_call_in_haste_does_not_wait_for_another_opening(catalog: SQLiteCatalog) -> None:
    found: list[Any] = []

    def first() -> None:
        try:
            found.append(catalog.impatient(yes, lambda: data_of(catalog, "key")))
        except BusyError as error:
            found.append(error)

    with connection._OPENING:
        thread = threading.Thread(target=first)
        thread.start()
        thread.join(5)
    assert isinstance(found[0], BusyError)
    thread = threading.Thread(target=first)
    thread.start()
    thread.join(5)
    assert found[1] == b"before"


def test_a_connection_that_cannot_be_opened_at_once_is_not_waited_for(tmp_path: Path) -> None:
    catalog = SQLiteCatalog(tmp_path / "c", timeout=20.0)
    catalog._pool.close()
    other = apsw.Connection(str(tmp_path / "c"))
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE; COMMIT").fetchall()
    began = time.monotonic()
    with pytest.raises(apsw.BusyError):
        catalog._pool._connect(yes)
    assert time.monotonic() - began < 5
    other.close()
    catalog._pool._connect(yes).close()


def test_what_takes_long_is_interrupted_and_only_in_haste(catalog: SQLiteCatalog) -> None:
    catalog.commit([inline_put(catalog, f"{number:05}", tags='{"a":"b"}') for number in range(10_000)])

    def search() -> Any:
        return catalog.search(FLOW, tags={"a": "no"})

    with pytest.raises(BusyError):
        catalog.impatient(yes, search)
    assert search() == []
    assert catalog.impatient(lambda: False, search) == []
    assert len(catalog.impatient(yes, lambda: catalog.search(FLOW, limit=100))) == 100


def test_many_calls_in_haste_are_rarely_interrupted(catalog: SQLiteCatalog) -> None:
    """SQLite counts the steps of all runs of a statement: now and then a short one is stopped, too."""
    stopped = 0
    for _ in range(5000):
        try:
            assert catalog.impatient(yes, lambda: data_of(catalog, "key")) == b"before"
        except BusyError:
            stopped += 1
    assert stopped < 50


def test_errors_pass_and_calls_may_nest(catalog: SQLiteCatalog) -> None:
    with pytest.raises(ZeroDivisionError):
        catalog.impatient(yes, lambda: 1 / 0)
    with pytest.raises(NotFoundError):
        catalog.impatient(yes, lambda: catalog.drop_scope((("namespace", "none"),)))
    with held(catalog), pytest.raises(BusyError):
        catalog.impatient(yes, lambda: catalog.impatient(lambda: False, lambda: 1) and put(catalog, "key"))
    assert not catalog._pool.haste()
    catalog.close()
    with pytest.raises(ClosedError):
        catalog.impatient(yes, lambda: data_of(catalog, "key"))


def test_while_space_is_short_nothing_is_put_in_haste(catalog: SQLiteCatalog) -> None:
    crowd = catalog._pool.crowd
    assert crowd is not None
    crowd.set_short(True)
    with pytest.raises(BusyError):
        catalog.impatient(yes, lambda: put(catalog, "key", b"after"))
    assert data_of(catalog, "key") == b"before"
    put(catalog, "key", b"after")  # which finds that there is space again
    assert not crowd.short


def test_in_memory_another_thread_is_not_waited_for() -> None:
    catalog = SQLiteCatalog(None)
    put(catalog, "key", b"before")
    link = catalog._pool.link()
    leave, inside = threading.Event(), threading.Event()

    def hold() -> None:
        with link.lock:
            inside.set()
            leave.wait(5)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(5)
    with pytest.raises(BusyError):
        catalog.impatient(yes, lambda: data_of(catalog, "key"))
    leave.set()
    thread.join()
    assert catalog.impatient(yes, lambda: data_of(catalog, "key")) == b"before"
    catalog.close()
