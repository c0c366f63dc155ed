"""Many processes at once: their histories are checked; a storm of equal values goes over deletes and collections."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from holdfast import BusyError, ConflictError, NotFoundError, Store, objects
from holdfast.catalog.base import Blob
from holdfast.catalog.sqlite import SQLiteCatalog, schema
from holdfast.options import PLAIN
from holdfast.storages.file import FileStorage
from holdfast.testing.processes import in_child
from holdfast.upkeep.collector import _Run as Collector

from .children import Background
from .deeds import Meant, identify, make, open_store
from .histories import Event, Impossible, Notes, check, from_json

STABLE = "namespace:stable"
Work = Callable[[Callable[[], bool]], Any]
"""What a process does, given a function that tells whether to go on."""

COUNTERS = ("count-0", "count-1")
KEYS = tuple(f"k{number}" for number in range(5))
BRIEF = ("session:s0", "session:s1/entity:e")


class Worker:
    """One of the processes."""

    def __init__(self, store: Store, number: int) -> None:
        self.store = store
        self.number = number
        self.random = Random(number)
        self.notes = Notes()
        self._made = 0

    def work(self, deeds: int) -> list[Event]:
        """Do so many random things; gives what was done."""
        weights: list[tuple[int, Callable[[], None]]] = [
            (24, self.put), (30, self.read), (8, self.delete), (8, self.update), (4, self.add), (4, self.swap),
            (8, self.put_briefly), (10, self.read_briefly), (1, self.drop), (1, self.rename),
            (2 * (self.number % 4 == 0), self.collect),
        ]  # fmt: skip
        choices = [what for weight, what in weights for _ in range(weight)]
        for _ in range(deeds):
            self.random.choice(choices)()
        return self.notes.events

    def _meant(self) -> Meant:
        self._made += 1
        number = self.number * 1_000_000 + self._made
        return self.random.choice(("inline", "file", "file", "equal", "equal")), number

    def _put(self, scope: str, key: str, **options: Any) -> None:
        meant = self._meant()

        def work() -> tuple[int, Meant]:
            return self.store.scope(scope).put(key, make(meant), **options).version, meant

        try:
            self.notes.note("write", (scope, key), work)
        except ConflictError:
            pass  # nothing was written

    def _read(self, scope: str, key: str) -> None:
        def work() -> tuple[int | None, Meant | None]:
            try:
                entry = self.store.scope(scope).entry(key, verify=True)
            except NotFoundError as error:
                if type(error) is not NotFoundError:
                    raise
                return None, None
            return entry.version, identify(entry.value)

        self.notes.note("read", (scope, key), work)

    def put(self) -> None:
        self._put(STABLE, self.random.choice(KEYS))

    def read(self) -> None:
        self._read(STABLE, self.random.choice(KEYS + COUNTERS))

    def delete(self) -> None:
        key = self.random.choice(KEYS)

        def work() -> tuple[int | None, Meant | None]:
            record = self.store.scope(STABLE).delete(key, missing_ok=True)
            return (None if record is None else record.version), None

        self.notes.note("delete", (STABLE, key), work)

    def swap(self) -> None:
        key = self.random.choice(KEYS)
        try:
            version = self.store.scope(STABLE).record(key).version
        except NotFoundError:
            return
        self._put(STABLE, key, if_version=version)

    def update(self) -> None:
        def work() -> tuple[int, Meant]:
            entry = self.store.scope(STABLE).update("count-0", lambda number: number + 1, default=0)
            return entry.record.version, ("number", entry.value)

        self.notes.note("write", (STABLE, "count-0"), work)

    def add(self) -> None:
        def work() -> tuple[int, Meant]:
            entry = self.store.scope(STABLE).add("count-1")
            return entry.record.version, ("number", entry.value)

        self.notes.note("write", (STABLE, "count-1"), work)

    def put_briefly(self) -> None:
        self._put(self.random.choice(BRIEF), self.random.choice(KEYS))

    def read_briefly(self) -> None:
        self._read(self.random.choice(BRIEF), self.random.choice(KEYS))

    def _remove(self, scope: str, how: Callable[[], object]) -> None:
        def work() -> tuple[None, None]:
            how()
            return None, None

        self.notes.note("remove", (scope, ""), work)

    def drop(self) -> None:
        scope = self.random.choice(BRIEF)
        try:
            self._remove(scope, self.store.scope(scope).drop)
        except NotFoundError:
            pass  # it was not there

    def rename(self) -> None:
        scope = self.random.choice(BRIEF)
        self._made += 1
        name = f"old-{self.number}-{self._made}"
        try:
            self.notes.note(
                "remove", (scope, ""), lambda: (self.store.scope(scope).rename_scope(name), (None, None))[1]
            )
        except NotFoundError:
            return
        for key in KEYS:  # what is there now must be whole; its versions are of another scope's keys
            try:
                identify(self.store.scope(scope.rpartition(":")[0] + ":" + name).get(key))
            except NotFoundError as error:
                if type(error) is not NotFoundError:
                    raise

    def collect(self) -> None:
        try:
            self.store.gc()
        except BusyError:
            pass  # another one is at it


def working(folder: str, number: int, deeds: int) -> Callable[[Callable[[], bool]], list[Event]]:
    def work(go_on: Callable[[], bool]) -> list[Event]:
        with open_store(folder) as store:
            return Worker(store, number).work(deeds)

    return work


def together(works: list[Work], beside: list[Work]) -> list[Any]:
    """Run processes to their end, and others beside them until then; give what each gave."""
    workers, others = [Background(work) for work in works], [Background(work) for work in beside]
    for worker in workers:
        worker.end(tell=False)
    for other in others:
        other.end()
    return [worker.result() for worker in [*workers, *others]]


def run(folder: Path, processes: int, deeds: int) -> int:
    """Let processes work, and check what they saw; gives the number of events."""
    path = str(folder / "data")
    in_child(lambda: open_store(path).close())
    results = together([working(path, number, deeds) for number in range(processes)], [])
    events = [event for result in results for event in from_json(result)]
    number = check(events)
    for key in COUNTERS:
        writes = [event for event in events if event.where[1] == key and event.kind == "write"]
        counts = [event.meant for event in sorted(writes, key=lambda event: event.version or 0)]
        if counts != [("number", n) for n in range(1, len(counts) + 1)]:
            raise Impossible(f"updates of {key} were lost")
    return number


def test_histories(quick_folder: Path) -> None:
    assert run(quick_folder, processes=8, deeds=150) > 800


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_long_histories(quick_folder: Path) -> None:
    assert run(quick_folder, processes=8, deeds=5_000) > 30_000


# --- a storm of equal values ------------------------------------------------------------------------------------------


def putting_equal(folder: str, number: int, puts: int) -> Callable[[Callable[[], bool]], int]:
    """Puts one of two values, reads it back, deletes it or not."""

    def work(go_on: Callable[[], bool]) -> int:
        with open_store(folder) as store:
            scope, random = store.namespace("storm"), Random(number)
            for _ in range(puts):
                meant = ("equal", random.randrange(2))
                scope.put(f"own-{number}", make(meant))
                assert identify(scope.get(f"own-{number}", verify=True)) == meant
                if random.random() < 0.9:
                    scope.delete(f"own-{number}")
            for key in scope:
                identify(scope.get(key, None, verify=True) or make(("inline", 1)))
        return puts

    return work


def collecting(folder: str) -> Callable[[Callable[[], bool]], int]:
    def work(go_on: Callable[[], bool]) -> int:
        count = 0
        with open_store(folder) as store:
            while go_on():
                store.gc(wait=5)
                count += 1
        return count

    return work


def storm(folder: Path, puts: int) -> None:
    """Equal values come and go beside a collector."""
    path = str(folder / "data")
    in_child(lambda: open_store(path).close())
    counts = together([putting_equal(path, number, puts) for number in range(3)], [collecting(path)])
    assert counts[-1] > 0, "the collector did nothing"


@pytest.fixture
def slow_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that rests between finding out what is garbage and deleting it."""
    real = Collector.blobs

    def delete(self: Any, config: Any) -> None:
        if collector:
            time.sleep(0.003)
        remove(self, config)

    def blobs(self: Any) -> Any:
        collector.append(True)
        try:
            return real(self)
        finally:
            collector.pop()

    collector: list[bool] = []
    remove = FileStorage.delete
    monkeypatch.setattr(Collector, "blobs", blobs)
    monkeypatch.setattr(FileStorage, "delete", delete)


def test_storm_of_equal_values(quick_folder: Path, slow_collector: None) -> None:
    storm(quick_folder, 200)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_long_storm_of_equal_values(quick_folder: Path) -> None:
    storm(quick_folder, 10_000)


# --- the checks see what they are there for: each safeguard taken out must make them fail -----------------------------


def test_planted_no_dying_mark(quick_folder: Path, slow_collector: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def garbage(self: Any, limit: int = 1000) -> list[Blob]:
        rows = self.read("SELECT id,storage,place,algo,hash,bytes FROM blobs WHERE refs=0 LIMIT ?", (limit,))
        return [Blob._make(row) for row in rows]

    def forget(self: Any, ids: list[int]) -> None:
        for id in ids:
            self.write("DELETE FROM blobs WHERE id=? AND refs=0", (id,))

    monkeypatch.setattr(SQLiteCatalog, "garbage", garbage)
    monkeypatch.setattr(SQLiteCatalog, "forget", forget)

    def storms() -> None:
        for _ in range(5):  # on a busy machine one may go by without the collision
            storm(quick_folder, 400)

    with pytest.raises(AssertionError, match="ValueLost"):
        storms()


def test_planted_versions_go_back(quick_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raising = "UPDATE scopes SET floor=OLD.version WHERE id=OLD.scope AND floor<OLD.version;"
    assert raising in schema._TRIGGERS
    monkeypatch.setattr(schema, "_TRIGGERS", schema._TRIGGERS.replace(raising, ""))
    with pytest.raises(Impossible, match=r"came twice|came after"):
        run(quick_folder, processes=3, deeds=200)


def test_planted_lost_updates(quick_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(kernel: Any, ledger: Any, path: Any, key: Any, value: Any, plan: Any = PLAIN) -> Any:
        return objects.put(kernel, ledger, path, key, value, plan._replace(if_version=None))

    monkeypatch.setattr("holdfast.values.put", put)
    with pytest.raises(Impossible, match="lost"):
        run(quick_folder, processes=4, deeds=400)


def test_planted_stale_reads(quick_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, random = SQLiteCatalog.entry, Random(1)
    seen: dict[Any, list[Any]] = {}

    def entry(self: Any, path: Any, key: str) -> Any:
        rows = real(self, path, key)
        if rows and isinstance(rows[0][17 + 9], bytes):  # its value is in the catalog
            seen.setdefault((path, key), []).append(rows)
        return random.choice(seen[path, key]) if (path, key) in seen and random.random() < 0.2 else rows

    monkeypatch.setattr(SQLiteCatalog, "entry", entry)
    with pytest.raises(Impossible):
        run(quick_folder, processes=3, deeds=200)
