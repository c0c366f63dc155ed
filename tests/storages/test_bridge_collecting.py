"""Equal bytes that an author's storage gives one place: whoever deletes them, no record loses its bytes."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.catalog.base import WriteAgain
from holdfast.catalog.sqlite import SQLiteCatalog
from holdfast.errors import ConflictError, ExistsError, StoreError
from holdfast.testing.processes import in_child

from .authors import FileStorage, SparingFileStorage, open_on

LARGE = bytes(range(256)) * 160
LONG = bytes(range(256)) * 16_000


class Interrupted(SparingFileStorage):
    """Does something when a write is over that its caller does not know of yet."""

    after: Callable[[], object] | None = None

    def _now(self) -> None:
        after, self.after = self.after, None
        if after is not None:
            after()

    async def write_data(self, data: bytes, digest: Any, tags: Any) -> Any:
        config = await super().write_data(data, digest, tags)
        self._now()
        return config

    async def write_data_stream(self, stream: Any, get_digest: Any, tags: Any) -> Any:
        config = await super().write_data_stream(stream, get_digest, tags)
        self._now()
        return config


@pytest.fixture
def author(tmp_path: Path) -> Interrupted:
    return Interrupted(tmp_path / "bytes")


@pytest.fixture
def store(tmp_path: Path, author: Interrupted) -> Iterator[holdfast.Store]:
    with open_on(tmp_path / "data", author, timeout=5) as store:
        yield store


@pytest.fixture
def scope(store: holdfast.Store) -> holdfast.Scope:
    return store.namespace("prod")


def bytes_of(author: FileStorage) -> list[str]:
    """The names of all files that there are."""
    return sorted(path.name for path in author.prefix.iterdir())


def collect_elsewhere(author: Interrupted, folder: Path, key: str) -> None:
    """Delete a key, and collect, by another process."""

    def work() -> int:
        with open_on(folder, SparingFileStorage(author.prefix)) as store:
            store.namespace("prod").delete(key)
            return store.gc().blobs

    assert in_child(work) == 1


def given_up(scope: holdfast.Scope, value: bytes) -> None:
    """A transaction that puts a value and comes to nothing."""
    with scope.transaction() as inside:
        inside.put("other", value)
        raise ZeroDivisionError


def test_equal_bytes_are_kept_once_and_collected_at_the_end(
    store: holdfast.Store, scope: holdfast.Scope, author: Interrupted
) -> None:
    for key in ("one", "two"):
        scope.put(key, LARGE)
    scope.put_chunks("three", [LARGE])
    assert len(bytes_of(author)) == 1
    for key in ("one", "two"):
        scope.delete(key)
        assert store.gc().blobs == 0
    assert scope.get("three") == LARGE
    scope.delete("three")
    assert store.gc().blobs == 1
    assert bytes_of(author) == []
    scope.put("one", LARGE)
    assert scope.get("one") == LARGE


@pytest.mark.parametrize("value", [LARGE, LONG], ids=["blob", "stream"])
def test_a_put_while_equal_bytes_are_collected(
    store: holdfast.Store, scope: holdfast.Scope, author: Interrupted, tmp_path: Path, value: bytes
) -> None:
    """It wrote nothing, as the bytes were there; then they went; its record must not point at nothing."""
    scope.put("old", value)
    author.after = lambda: collect_elsewhere(author, tmp_path / "data", "old")
    scope.put("new", value)
    assert scope.get("new") == value
    assert store.gc().blobs == 0
    assert scope.get("new") == value


def test_that_test_can_fail(scope: holdfast.Scope, author: Interrupted, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(SQLiteCatalog, "vacate", SQLiteCatalog.forget)
    with pytest.raises(holdfast.ValueLost):
        test_a_put_while_equal_bytes_are_collected(None, scope, author, tmp_path, LARGE)  # type: ignore[arg-type]


def test_a_file_while_equal_bytes_are_collected(scope: holdfast.Scope, author: Interrupted, tmp_path: Path) -> None:
    """Its bytes went by and cannot be asked for again: the caller is told to write again."""
    scope.put("old", LARGE)
    author.after = lambda: collect_elsewhere(author, tmp_path / "data", "old")
    with pytest.raises(WriteAgain, match="write again"):
        scope.put_chunks("new", [LARGE])
    assert not scope.exists("new")
    scope.put_chunks("new", [LARGE])
    assert scope.get("new") == LARGE


def test_a_put_that_fails_takes_nothing_from_others(
    store: holdfast.Store, scope: holdfast.Scope, author: Interrupted
) -> None:
    scope.put("mine", LARGE)
    with pytest.raises(ExistsError):
        scope.put("mine", LARGE, if_absent=True)
    with pytest.raises(ConflictError):
        scope.put("mine", LARGE, if_version=77)
    with pytest.raises(ExistsError), scope.open("mine", "xb") as file:
        file.write(LARGE)
    with pytest.raises(ZeroDivisionError):
        given_up(scope, LARGE)
    store.gc()
    assert scope.get("mine") == LARGE
    assert len(bytes_of(author)) == 1


def test_what_a_put_that_fails_wrote_is_collected(
    store: holdfast.Store, scope: holdfast.Scope, author: Interrupted
) -> None:
    scope.put("small", 1)
    with pytest.raises(ExistsError):
        scope.put("small", LARGE, if_absent=True)
    with pytest.raises(ZeroDivisionError):
        given_up(scope, LONG)
    assert len(bytes_of(author)) == 2
    assert store.gc().blobs == 2
    assert bytes_of(author) == []


def test_a_transaction_with_equal_bytes(store: holdfast.Store, scope: holdfast.Scope, author: Interrupted) -> None:
    with scope.transaction() as inside:
        inside.put("one", LARGE)
        inside.put("two", LARGE)
        inside.copy("one", "three")
        inside.delete("one")
    store.gc()
    assert (scope.get("two"), scope.get("three")) == (LARGE, LARGE)
    assert len(bytes_of(author)) == 1


def test_a_collector_that_was_away_too_long_deletes_nothing(
    store: holdfast.Store, scope: holdfast.Scope, author: Interrupted, monkeypatch: Any
) -> None:
    """Between the marking and the deleting its lease ends, another one collects, and equal bytes are put again."""
    scope.put("one", LARGE)
    scope.delete("one")
    garbage = SQLiteCatalog.garbage

    def slow(self: SQLiteCatalog, limit: int = 1000) -> Any:
        found = garbage(self, limit)
        if found:
            monkeypatch.setattr(SQLiteCatalog, "garbage", garbage)
            self.write("UPDATE leases SET expires=0")
            assert store.gc().blobs == 1
            scope.put("one", LARGE)
        return found

    monkeypatch.setattr(SQLiteCatalog, "garbage", slow)
    with pytest.raises(holdfast.LeaseLost):
        store.gc()
    assert scope.get("one") == LARGE


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that is not there yet, with the one catalog or the other."""
    if request.param == "sqlite":
        return str(tmp_path / "data")
    return f"{request.getfixturevalue('postgresql').url()}?schema=equal_{secrets.token_hex(4)}"


@pytest.mark.parametrize(
    "where, kind",
    [
        ("sqlite", FileStorage),
        pytest.param("sqlite", SparingFileStorage, marks=pytest.mark.long),
        pytest.param("postgresql", FileStorage, marks=pytest.mark.long),
        ("postgresql", SparingFileStorage),
    ],
    indirect=["where"],
)
def test_many_processes_put_equal_bytes_beside_a_collector(tmp_path: Path, where: str, kind: type[FileStorage]) -> None:
    values = [bytes([number]) * 40_000 for number in range(3)] + [b"\7" * 1_500_000]
    end = time.monotonic() + 4
    enough = tmp_path / "enough"

    def goes_on(done: bool) -> bool:  # a process that began late on a busy machine has its turn, too
        now = time.monotonic()
        return now < end or (now < end + 60 and not (done and enough.exists()))

    def write(name: str) -> list[int]:
        chance, puts, again = random.Random(name), 0, 0
        with open_on(where, kind(tmp_path / "bytes"), timeout=30) as store:
            scope = store.namespace("prod")
            while goes_on(puts > 0):
                key, value = f"{name}{chance.randrange(2)}", chance.choice(values)
                try:
                    if chance.random() < 0.3:
                        scope.put_chunks(key, [value])
                    else:
                        scope.put(key, value)
                except WriteAgain:
                    again += 1
                    continue
                puts += 1
                assert scope.get(key) == value
                if chance.random() < 0.8:
                    scope.delete(key)
        return [puts, again]

    def collect() -> list[int]:
        blobs = 0
        with open_on(where, kind(tmp_path / "bytes")) as store:
            while goes_on(blobs > 3):
                blobs += store.gc(wait=5).blobs
                if blobs > 3:
                    enough.touch()
        return [blobs, 0]

    open_on(where, kind(tmp_path / "bytes")).close()
    outcomes = side_by_side([lambda name=name: write(name) for name in "abcd"] + [collect])
    assert min(puts for puts, _ in outcomes[:-1]) > 0
    assert outcomes[-1][0] > 3, "hardly anything was collected: the test is of no worth"
    with open_on(where, author := kind(tmp_path / "bytes")) as store:
        assert not store.verify().problems
        store.namespace("prod").drop(missing_ok=True)
        store.gc()
        assert bytes_of(author) == []


def side_by_side(works: list[Callable[[], Any]]) -> list[Any]:
    """What each gives in a forked process of its own, all at once."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(in_child, works))


def test_an_author_who_keeps_the_bytes(tmp_path: Path) -> None:
    class Keeping(FileStorage):
        name = "authors.keeping@v1"

        async def delete_data(self, config: Any) -> None:
            await super(FileStorage, self).delete_data(config)

    with open_on(tmp_path / "data", author := Keeping(tmp_path / "bytes")) as store:
        scope = store.namespace("prod")
        scope.put("one", LARGE)
        scope.delete("one")
        assert store.gc().blobs == 1
        assert len(bytes_of(author)) == 1
        scope.put("one", LARGE)
        assert scope.get("one") == LARGE


def test_an_author_who_overwrites_is_told(scope: holdfast.Scope, author: Interrupted, monkeypatch: Any) -> None:
    async def always(data: bytes, digest: Any, tags: Any) -> str:
        path = author.prefix / ("0" * 64)
        path.write_bytes(data)
        return str(path)

    monkeypatch.setattr(author, "write_data", always)
    scope.put("one", LARGE)
    with pytest.raises(StoreError, match="in the place of others"):
        scope.put("two", LARGE[1:])
    assert not scope.exists("two")
    with pytest.raises(holdfast.IntegrityError):
        scope.get("one")


@pytest.mark.parametrize("refused", [False, True])
def test_one_place_under_two_urls(tmp_path: Path, refused: bool) -> None:
    """Bytes that a record names by one URL are not deleted for garbage that names them by another."""

    def opened(url: str) -> holdfast.Store:
        author = SparingFileStorage(tmp_path / "bytes")
        author.url = url  # type: ignore[attr-defined]
        return open_on(tmp_path / "data", author)

    with opened("mine://one") as store:
        store.namespace("prod").put("a", LARGE)
        store.namespace("prod").put("there", b"")
    with opened("mine://one/") as store:
        scope = store.namespace("prod")
        if refused:
            with pytest.raises(ExistsError):
                scope.put("there", LARGE, if_absent=True)
        else:
            scope.put("b", LARGE)
            scope.delete("a")
        store.gc()
        assert scope.get("a" if refused else "b") == LARGE


def test_a_storage_that_is_not_known_keeps_nothing_else_from_being_collected(tmp_path: Path) -> None:
    with open_on(tmp_path / "data", SparingFileStorage(tmp_path / "bytes")) as store:
        store.namespace("prod").put("theirs", LARGE)
        store.namespace("prod").delete("theirs")
    with holdfast.open(tmp_path / "data", storage="files") as store:
        store.namespace("prod").put("ours", LARGE)
        store.namespace("prod").delete("ours")
        with pytest.raises(holdfast.NotRegisteredError):
            store.gc()
        assert store.gc(dry_run=True).blobs == 1
