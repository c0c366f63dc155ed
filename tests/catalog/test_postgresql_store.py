"""Stores on PostgreSQL while eight processes write, and while the server is killed under them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import holdfast
from holdfast.catalog.postgresql import statements, values
from holdfast.errors import BusyError, StoreError
from holdfast.testing.postgresql import Server

from ..crash.children import Background
from ..crash.deeds import INLINE, make
from ..crash.histories import Event, Impossible, check, from_json
from ..crash.test_histories import COUNTERS, Worker
from ..kernel.places import set_keys

_numbers = itertools.count()
Open = Callable[[], holdfast.Store]


@pytest.fixture(params=["inline", "s3"])
def opened(request: pytest.FixtureRequest, postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the one store of a test: with all its bytes in the database, or larger ones in a bucket."""
    set_keys(monkeypatch)
    name = f"versions{next(_numbers)}"
    storage = request.param
    if storage == "s3":
        storage = f"s3://bucket/{name}?endpoint={request.getfixturevalue('s3_endpoint')}&region=us-east-1"

    def open_store() -> holdfast.Store:
        return holdfast.open(f"{postgresql.url()}?schema={name}", storage=storage, inline=INLINE, cache="off")

    open_store().close()
    return open_store


# --- versions ---------------------------------------------------------------------------------------------------------


def _together(works: list[Callable[[Callable[[], bool]], Any]]) -> list[Any]:
    workers = [Background(work) for work in works]
    for worker in workers:
        worker.end(tell=False)
    return [worker.result() for worker in workers]


def run(opened: Open, seconds: float, processes: int = 8) -> int:
    """Let processes put, update, swap, delete, make anew, drop, rename and collect for some time, and check what they
    saw; gives the number of events."""

    def working(number: int) -> Callable[[Callable[[], bool]], list[Event]]:
        def work(go_on: Callable[[], bool]) -> list[Event]:
            with opened() as store:
                worker, end = Worker(store, number), time.monotonic() + seconds
                while time.monotonic() < end or (len(worker.notes.events) < 20 and time.monotonic() < end + 30):
                    worker.work(10)
                return worker.notes.events

        return work

    results = _together([working(number) for number in range(processes)])
    events = [event for result in results for event in from_json(result)]
    number = check(events)
    for key in COUNTERS:
        writes = sorted((event.version or 0, event.meant) for event in events if event.where[1:] == (key,)
                        and event.kind == "write")  # fmt: skip
        if [meant for _, meant in writes] != [("number", n) for n in range(1, len(writes) + 1)]:
            raise Impossible(f"updates of {key} were lost")
    return number


@pytest.mark.parametrize("opened", ["inline", pytest.param("s3", marks=pytest.mark.long)], indirect=True)
def test_versions_never_go_back(opened: Open) -> None:
    assert run(opened, 4) > 100


@pytest.mark.long
@pytest.mark.timeout(600)
def test_versions_never_go_back_for_a_minute(opened: Open) -> None:
    assert run(opened, 60) > 1000


@pytest.mark.parametrize("opened", ["inline"], indirect=True)
def test_planted_versions_that_go_back(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = statements.PUT.replace("nextval('versions')", "(nextval('versions')%50+1)")
    assert sql != statements.PUT
    monkeypatch.setattr(values, "PUT", sql)
    with pytest.raises(AssertionError):
        run(opened, 4, processes=3)


# --- a server that is killed ------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


WRITERS = 4
Outcome = list[Any]
"""Of one writer: what each key has at last (None: that is open), counts added and open, errors that it was told."""


def _write(store: holdfast.Store, number: int, go_on: Callable[[], bool]) -> Outcome:
    """Puts, deletes, counts and transactions until it is told to end, through one store that is opened once."""
    scope = store.namespace("shared")
    last: dict[str, tuple[str, int] | str | None] = {}
    counted, open_ended, told, turn = 0, 0, [], 0

    def put(keys: list[str]) -> None:
        meant = ("file" if turn % 3 else "inline", number * 1_000_000 + turn)
        last.update(dict.fromkeys(keys))
        if len(keys) == 1:
            scope.put(keys[0], make(meant))
        else:
            with scope.transaction() as transaction:
                for key in keys:
                    transaction.put(key, make(meant))
        last.update(dict.fromkeys(keys, meant))

    def delete(key: str) -> None:
        last[key] = None
        scope.delete(key, missing_ok=True)
        last[key] = "deleted"

    while go_on() or turn % 20:
        turn += 1
        before = dict(last)
        try:
            if turn % 5 == 0:
                scope.add("count")
                counted += 1
            elif turn % 7 == 0:
                delete(f"{number}/{turn % 4}")
            else:
                put([f"{number}/{turn % 4}"] if turn % 2 else [f"{number}/a", f"{number}/b"])
        except BusyError:
            last = before  # nothing was written
        except StoreError as error:
            told.append(str(error))
            open_ended += turn % 5 == 0
    return [last, counted, open_ended, told]


def test_a_server_that_is_killed_in_the_middle_of_work(server: Server) -> None:
    """Nothing acknowledged is lost, writers are told only what was promised, and go on without opening anew."""
    url = f"{server.url()}?schema=killed"

    def open_store() -> holdfast.Store:
        return holdfast.open(url, inline=INLINE)

    def working(number: int) -> Callable[[Callable[[], bool]], Outcome]:
        def work(go_on: Callable[[], bool]) -> Outcome:
            with open_store() as store:
                return _write(store, number, go_on)

        return work

    open_store().close()
    writers = [Background(working(number)) for number in range(WRITERS)]
    for _ in range(3):
        time.sleep(1)
        server.kill()
        time.sleep(0.2)
        server.start()
    time.sleep(1)
    for writer in writers:
        writer.end()
    results = [writer.result() for writer in writers]
    with open_store() as store:
        scope = store.namespace("shared")
        for number, (last, _, _, told) in enumerate(results):
            assert len(last) == 6
            assert all("whether it was committed is not known" in text for text in told), told
            assert len(told) <= 6
            for key, meant in last.items():
                if meant == "deleted":
                    assert scope.get(key, None) is None, key
                elif meant is not None:
                    assert scope.get(key, verify=True) == make(tuple(meant)), key
            assert scope.get(f"{number}/a") == scope.get(f"{number}/b")
        counted, open_ended = sum(result[1] for result in results), sum(result[2] for result in results)
        assert counted > 0
        assert counted <= scope.get("count") <= counted + open_ended
        assert store.verify().fine
