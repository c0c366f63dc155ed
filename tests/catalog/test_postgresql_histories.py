"""Eight processes write, delete, drop and read the same keys in PostgreSQL; what they saw is checked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from holdfast.address import Path
from holdfast.catalog.base import ABSENT, Delete, Edit, ValueRow
from holdfast.catalog.postgresql import PostgreSQLCatalog, session, statements, values
from holdfast.errors import ConflictError, NotFoundError
from holdfast.testing.catalog_cases import INTEGER, file_put, inline_put, put
from holdfast.testing.postgresql import Server

from ..crash.children import Background
from ..crash.histories import Event, Impossible, Notes, check, from_json

_numbers = itertools.count()
STABLE: Path = (("namespace", "stable"),)
BRIEF: Path = (("namespace", "x"), ("session", "brief"))
KEYS = ("k0", "k1", "k2", "k3")


class Worker:
    """One of the processes: random verbs of the catalog on a few keys, noted."""

    def __init__(self, catalog: PostgreSQLCatalog, number: int) -> None:
        self.catalog = catalog
        self.number = number
        self.random = Random(number)
        self.notes = Notes()
        self.made = number * 1_000_000

    def work(self, deeds: int) -> list[Event]:
        verbs = [self.put] * 8 + [self.file] * 3 + [self.commit] * 4 + [self.delete] * 4 + [self.read] * 8
        verbs += [self.put_briefly] * 4 + [self.read_briefly] * 4 + [self.add] * 2 + [self.drop, self.sweep]
        for _ in range(deeds):
            self.random.choice(verbs)()
        return self.notes.events

    def _note(self, kind: str, path: Path, key: str, work: Callable[[], tuple[int | None, Any]]) -> None:
        try:
            self.notes.note(kind, (path[-1][1], key), work)
        except (ConflictError, NotFoundError):
            pass  # nothing was done

    def _value(self) -> bytes:
        self.made += 1
        return b"%d" % self.made

    def _put(self, path: Path) -> None:
        value, key = self._value(), self.random.choice(KEYS)
        self._note("write", path, key, lambda: (put(self.catalog, key, value, path), ("number", int(value))))

    def put(self) -> None:
        self._put(STABLE)

    def put_briefly(self) -> None:
        self._put(BRIEF)

    def file(self) -> None:
        value, key = self._value(), self.random.choice(KEYS)

        def work() -> tuple[int, Any]:
            place = value.decode()
            change = file_put(self.catalog, key, value, STABLE, place=place, synced=bool(int(value) % 2))
            (done,) = self.catalog.commit([change])
            assert done.row is not None
            return done.row.version, ("number", int(value))

        self._note("write", STABLE, key, work)

    def commit(self) -> None:
        """Over the version that was just read, or where nothing is; sometimes only the tags."""
        value, key, edit = self._value(), self.random.choice(KEYS), self.random.random() < 0.3
        rows = self.catalog.find(STABLE, key)
        expected = rows[0][1] if rows else ABSENT
        meant = _meant(rows)[1] if rows and edit else int(value)

        def work() -> tuple[int, Any]:
            change: Any = inline_put(self.catalog, key, value, STABLE, if_version=expected)
            if edit:
                change = Edit(STABLE, key, tags=f'{{"a":"{meant}"}}', if_version=expected)
            (done,) = self.catalog.commit([change])
            assert done.row is not None
            return done.row.version, ("number", meant)

        if rows or not edit:
            self._note("write", STABLE, key, work)

    def delete(self) -> None:
        key = self.random.choice(KEYS)

        def work() -> tuple[int, Any]:
            (done,) = self.catalog.commit([Delete(STABLE, key)])
            assert done.row is not None
            return done.row.version, None

        self._note("delete", STABLE, key, work)

    def _read(self, path: Path) -> None:
        key = self.random.choice(KEYS)

        def work() -> tuple[int | None, Any]:
            rows = self.catalog.find(path, key)
            return (rows[0][1], _meant(rows)) if rows else (None, None)

        self._note("read", path, key, work)

    def read(self) -> None:
        self._read(STABLE)

    def read_briefly(self) -> None:
        self._read(BRIEF)

    def add(self) -> None:
        codec = self.catalog.codec_id(INTEGER)

        def work() -> tuple[int, Any]:
            value, row = self.catalog.add(STABLE, "count", 1, codec)
            return row.version, ("number", value)

        self._note("write", STABLE, "count", work)

    def drop(self) -> None:
        def work() -> tuple[None, None]:
            self.catalog.drop_scope(BRIEF)
            return None, None

        self._note("remove", BRIEF, "", work)

    def sweep(self) -> None:
        self.catalog.sweep()
        self.catalog.forget([blob.id for blob in self.catalog.garbage()])


def _meant(rows: Any) -> tuple[str, int]:
    row = ValueRow._make(rows[0])
    return "number", int(row.storage_config if row.data is None else row.data)  # type: ignore[arg-type]


def run(url: str, processes: int, deeds: int) -> int:
    """Let processes work, and check what they saw; gives the number of events."""

    def working(number: int) -> Callable[[Callable[[], bool]], Any]:
        def work(go_on: Callable[[], bool]) -> list[Event]:
            catalog = PostgreSQLCatalog(url)
            try:
                return Worker(catalog, number).work(deeds)
            finally:
                catalog.close()

        return work

    workers = [Background(working(number)) for number in range(processes)]
    for worker in workers:
        worker.end(tell=False)
    events = [event for worker in workers for event in from_json(worker.result())]
    number = check(events)
    counts = sorted((event.version, event.meant) for event in events if event.where[1] == "count")
    if [meant for _, meant in counts] != [("number", n) for n in range(1, len(counts) + 1)]:
        raise Impossible("additions were lost")
    return number


@pytest.fixture
def url(postgresql: Server) -> Iterator[str]:
    url = f"{postgresql.url()}?schema=histories{next(_numbers)}"
    PostgreSQLCatalog(url).close()
    yield url
    catalog = PostgreSQLCatalog(url)
    _check_references(catalog)
    catalog.close()


def _check_references(catalog: PostgreSQLCatalog) -> None:
    """Each blob is counted as often as it is named."""
    wrong = catalog.read(
        "SELECT b.id FROM blobs b WHERE refs<>(SELECT count(*) FROM records WHERE blob=b.id)"
        "+(SELECT count(*) FROM kept WHERE blob=b.id)"
    )
    assert wrong == []
    assert catalog.read("SELECT 1 FROM records r LEFT JOIN blobs b ON b.id=r.blob WHERE r.blob<>coalesce(b.id,0)") == []


def test_histories(url: str) -> None:
    assert run(url, processes=8, deeds=200) > 1000


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_long_histories(url: str) -> None:
    assert run(url, processes=8, deeds=10_000) > 50_000


def test_planted_versions_are_taken_too_early(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lock of the key, a number is taken before the row's turn has come."""
    lock = "CASE WHEN pg_advisory_xact_lock(hashtextextended($2,$1)) IS NOT NULL THEN"
    assert lock in statements.PUT
    monkeypatch.setattr(values, "PUT", statements.PUT.replace(lock, "CASE WHEN pg_sleep(0.001) IS NOT NULL THEN"))
    for name in ("HOLD", "HOLD_KEYS"):
        text = getattr(statements, name)
        for of_keys in ("$5,$6)", "$1,$2)"):
            scopes, keys = of_keys[:-1].split(",")
            text = text.replace(of_keys, f"({scopes}::int8[])[:0],({keys}::text[])[:0])")
        assert text != getattr(statements, name)
        monkeypatch.setattr(session, name, text)

    def until_it_shows() -> None:
        for turn in range(20):
            run(f"{url}_{turn}", processes=6, deeds=150)

    with pytest.raises(AssertionError):  # Impossible, or a process that came upon something impossible
        until_it_shows()
