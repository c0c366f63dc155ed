"""What every catalog must do, as tests to inherit.

A backend's own test file is this::

    class TestMyCatalog(CatalogSuite):
        @pytest.fixture
        def catalog(self, tmp_path):
            catalog = MyCatalog(tmp_path / "data")
            yield catalog
            catalog.close()

        def reopen(self, catalog):
            return MyCatalog(catalog.path)

``reopen`` opens the same data a second time, as another process would; a catalog that only its own process can reach
gives itself, and sets ``one_process = True``. Each test begins with an empty catalog.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from ..catalog.base import ABSENT, Catalog, Change, Committed, Delete, Expect, Fence, Policy, Restore
from ..errors import ClosedError, ConflictError, NotFoundError, QuotaExceededError
from ..model import Codec
from .catalog_bundles import BundleTests, LostMemberTests, MemberSyncTests
from .catalog_bytes import CollectorTests, PlaceTests, RecoveryTests, SharingTests
from .catalog_cases import BOOT, FLOW, INTEGER, SPACE, data_of, fill_up, inline_put, put, put_file, versions
from .catalog_policies import HistoryTests, LostHistoryTests, QuotaTests
from .catalog_records import CommitTests, ListingTests, ValueTests
from .catalog_restore import RestoreTests
from .catalog_scopes import LeaseTests, ScopeTests, SharedTests
from .catalog_sessions import SessionTests
from .processes import in_child, killed_child

__all__ = ["CatalogSuite"]


class CatalogSuite(
    ValueTests,
    CommitTests,
    RestoreTests,
    HistoryTests,
    LostHistoryTests,
    QuotaTests,
    ListingTests,
    ScopeTests,
    LeaseTests,
    SessionTests,
    SharedTests,
    SharingTests,
    CollectorTests,
    PlaceTests,
    RecoveryTests,
    BundleTests,
    MemberSyncTests,
    LostMemberTests,
):
    """The promises of :class:`~holdfast.catalog.base.Catalog`, one a test; a subclass gives the catalog.

    Attributes:
        one_process: True when no other process can reach the data; what concerns processes is then not asked.
    """

    one_process: ClassVar[bool] = False

    @pytest.fixture
    def catalog(self) -> Catalog:
        """An empty catalog, closed after the test."""
        raise NotImplementedError("give a fixture named catalog")

    def reopen(self, catalog: Catalog) -> Catalog:
        """A second instance on the same data."""
        raise NotImplementedError("give a method reopen(catalog)")

    @pytest.fixture
    def other(self, catalog: Catalog) -> Iterator[Catalog]:
        """A second instance on the same data, with caches of its own."""
        other = self.reopen(catalog)
        yield other
        if other is not catalog:
            other.close()

    def children(self, catalog: Catalog, count: int, work: Callable[[int, Catalog], Any]) -> list[Any]:
        """What ``work`` gives in each of ``count`` processes at once, each of which opens the data for itself."""
        if self.one_process:
            return _in_threads(count, lambda number: work(number, catalog))

        def run(number: int) -> Any:
            def child() -> Any:
                mine = self.reopen(catalog)
                try:
                    return work(number, mine)
                finally:
                    mine.close()

            return in_child(child)

        return _in_threads(count, run)

    # --- processes ----------------------------------------------------------------------------------------------------

    def test_many_processes_add_to_one_counter(self, catalog: Catalog) -> None:
        def work(number: int, mine: Catalog) -> list[int]:
            codec = mine.codec_id(INTEGER)
            return [mine.add(FLOW, "count", 1, codec)[1].version for _ in range(100)]

        seen = self.children(catalog, 4, work)
        assert data_of(catalog, "count") == 400
        assert sorted(version for one in seen for version in one) == sorted({v for one in seen for v in one})
        assert all(one == sorted(one) for one in seen)

    def test_many_processes_compare_and_set(self, catalog: Catalog) -> None:
        put(catalog, "count", b"0")

        def work(number: int, mine: Catalog) -> int:
            lost = 0
            for _ in range(25):
                while True:
                    row = mine.find(FLOW, "count")[0]
                    value, version = int(bytes(row[9])), row[1]
                    try:
                        mine.commit([inline_put(mine, "count", b"%d" % (value + 1), if_version=version)])
                        break
                    except ConflictError:
                        lost += 1
            return lost

        self.children(catalog, 4, work)
        assert data_of(catalog, "count") == b"100"

    def test_one_of_many_makes_it(self, catalog: Catalog) -> None:
        def work(number: int, mine: Catalog) -> int:
            won = 0
            for turn in range(20):
                try:
                    mine.commit(
                        [inline_put(mine, f"k{turn}", b"%d" % number, path=(("new", str(turn)),), if_version=ABSENT)]
                    )
                    won += 1
                except ConflictError:
                    pass
            return won

        assert sum(self.children(catalog, 4, work)) == 20

    def test_versions_grow_beside_copies_from_elsewhere(self, catalog: Catalog) -> None:
        """Eight processes put, delete and restore the same keys: what is given is always above what was seen."""
        put(catalog, "a")
        put(catalog, "b")

        def work(number: int, mine: Catalog) -> list[tuple[str, int]]:
            given: list[tuple[str, int]] = []
            for turn in range(40):
                key = "ab"[(number + turn) % 2]
                before = max(versions(mine, key), default=0)
                if (number + turn) % 3 == 0:
                    leap = before + 1 + 20_000 * (number % 2) + number
                    change = Restore(inline_put(mine, key, b"copy"), leap, 1.5, 2.5)
                    (done,) = mine.commit([change])
                    before = before if done.row is None else leap
                elif turn % 7 == 0:
                    try:
                        mine.commit([Delete(FLOW, key)])
                    except NotFoundError:
                        pass
                version = put(mine, key) if turn % 2 else _version(mine.commit([inline_put(mine, key)])[0])
                assert version > before, f"{version} was given after {before}"
                given.append((key, version))
            return given

        given = [tuple(pair) for one in self.children(catalog, 8, work) for pair in one]
        assert len(set(given)) == len(given), "a version was given twice"

    def test_many_processes_at_a_quota(self, catalog: Catalog) -> None:
        """Eight of them put and delete: never more than allowed, and the counts are right in the end."""
        most, largest = 20, 300
        catalog.set_policy(FLOW, Policy(2, most, largest))

        def work(number: int, mine: Catalog) -> list[int]:
            outcomes = [0, 0]
            for turn in range(30):
                key, size = f"k{number}.{turn % 6}", 5 + (7 * turn + number) % 20
                changes: list[Change] = [inline_put(mine, key, b"x" * size)]
                if turn % 5 == 4:
                    changes = [Delete(FLOW, row[0]) for row in mine.search(FLOW, limit=2, start=f"k{number}")]
                try:
                    if turn % 2:
                        put(mine, key, b"x" * size)
                    else:
                        mine.commit(changes)
                    outcomes[0] += 1
                except (QuotaExceededError, NotFoundError) as error:
                    outcomes[isinstance(error, QuotaExceededError)] += 1
                used = mine.usage(FLOW)
                assert used.records <= most
                assert used.size <= largest
            return outcomes

        outcomes = self.children(catalog, 8, work)
        assert sum(refused for _, refused in outcomes) > 10, "the quota was never met"
        fill_up(catalog, Policy(2, most, largest))

    def test_many_processes_and_a_transfer(self, catalog: Catalog) -> None:
        """Two keys change together: whoever reads both in one commit sees their sum stay."""
        put(catalog, "a", b"500")
        put(catalog, "b", b"500")

        def work(number: int, mine: Catalog) -> int:
            done = 0
            while done < 25:
                (a,), (b,) = mine.find(FLOW, "a"), mine.find(FLOW, "b")
                amounts = int(a[9]) - number - 1, int(b[9]) + number + 1
                try:
                    mine.commit(
                        [
                            inline_put(mine, "a", b"%d" % amounts[0], if_version=a[1]),
                            inline_put(mine, "b", b"%d" % amounts[1], if_version=b[1]),
                        ]
                    )
                    done += 1
                except ConflictError:
                    continue
            return done

        self.children(catalog, 3, work)
        final = [data_of(catalog, key) for key in "ab"]
        assert final == [b"350", b"650"]

    def test_the_kill_of_a_process_leaves_whole_commits(self, catalog: Catalog) -> None:
        if self.one_process:
            pytest.skip("no other process can reach this catalog, so none can be killed in the middle of a commit")

        def work(report: Callable[[Any], None]) -> None:
            mine = self.reopen(catalog)
            for turn in range(100_000):
                mine.commit([inline_put(mine, "a", b"%d" % turn), inline_put(mine, "b", b"%d" % turn)])
                put(mine, "acknowledged", turn)
                if turn == 20:
                    report(turn)

        reported = killed_child(work)
        assert data_of(catalog, "a") == data_of(catalog, "b")
        acknowledged = data_of(catalog, "acknowledged")
        assert isinstance(acknowledged, int)
        assert acknowledged >= reported
        put(catalog, "a", b"goes on")

    def test_an_inherited_catalog_goes_on_after_a_fork(self, catalog: Catalog) -> None:
        put(catalog, "key", b"parent")

        def child() -> Any:
            assert data_of(catalog, "key") == b"parent"
            for turn in range(20):
                put(catalog, f"child{turn}", b"child")
            return catalog.keys(FLOW, "child", "d", 100)

        keys = in_child(child)
        assert len(keys) == 20
        put(catalog, "after", b"parent")
        assert data_of(catalog, "after") == b"parent"
        if not self.one_process:
            assert catalog.keys(FLOW, "child", "d", 100) == keys

    def test_leases_across_processes(self, catalog: Catalog) -> None:
        def work(number: int, mine: Catalog) -> list[int]:
            tokens: list[int] = []
            while len(tokens) < 5:
                lease = mine.acquire("one", f"owner {number}", 30)
                if lease.owner != f"owner {number}":
                    time.sleep(0.001)
                    continue
                (row,) = mine.find(FLOW, "inside") or [(0, 0)]
                fence = Fence("one", lease.token)
                mine.commit([Expect(FLOW, "inside", row[1]), inline_put(mine, "inside", b"x")], fence=fence)
                tokens.append(lease.token)
                mine.release(fence)
            return tokens

        tokens = [token for one in self.children(catalog, 3, work) for token in one]
        assert len(set(tokens)) == 15

    # --- the collector at work beside writers -------------------------------------------------------------------------

    def test_equal_values_beside_the_collector(self, catalog: Catalog) -> None:
        """A storm of a few equal values, put and deleted, while garbage is collected: no record loses its bytes."""
        stop, failures = threading.Event(), []
        gone: set[str] = set()

        def collect() -> None:
            try:
                while not stop.is_set():
                    blobs = catalog.garbage(10)
                    gone.update(blob.config for blob in blobs)
                    catalog.forget([blob.id for blob in blobs])
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=collect)
        thread.start()
        try:
            for turn in range(150):
                row = put_file(catalog, f"k{turn % 3}", b"%d" % (turn % 2), synced=bool(turn % 5))
                assert row.storage_config not in gone, "a record names bytes that were collected"
        finally:
            stop.set()
            thread.join()
        assert failures == [], failures
        for key in ("k0", "k1", "k2"):
            assert data_of(catalog, key) not in gone

    # --- the end ------------------------------------------------------------------------------------------------------

    def test_after_close_every_verb_says_so(self, catalog: Catalog) -> None:
        put(catalog, "key")
        put_file(catalog, "file")
        codec, fence, change = catalog.codec_id(INTEGER), Fence("name", 1), inline_put(catalog, "key")
        verbs: list[Callable[[], Any]] = [
            lambda: catalog.find(FLOW, "key"), lambda: put(catalog, "key"), lambda: catalog.add(FLOW, "n", 1, codec),
            lambda: catalog.commit([change]), lambda: catalog.record(FLOW, "key"), lambda: catalog.entry(FLOW, "key"),
            lambda: catalog.keys(FLOW, "", None, 1), lambda: catalog.search(FLOW), lambda: catalog.usage(FLOW),
            lambda: catalog.scope_id(FLOW), lambda: catalog.scope(FLOW), lambda: catalog.create_scope(FLOW),
            lambda: catalog.children(SPACE, None, 1), lambda: catalog.rename_scope(FLOW, "x"),
            lambda: catalog.drop_scope(FLOW), lambda: catalog.was_dropped(FLOW),
            lambda: catalog.codec_id(Codec("new", "new")), lambda: catalog.codec(12345),
            lambda: catalog.storage_id("new", "new"), lambda: catalog.storage(12345),
            lambda: catalog.storages(), lambda: catalog.policy(FLOW), lambda: catalog.set_policy(FLOW, None),
            lambda: catalog.past(FLOW, "key"), lambda: catalog.past_keys(FLOW, "", None, 1),
            lambda: catalog.acquire("name", "me", 1), lambda: catalog.renew(fence, 1), lambda: catalog.release(fence),
            lambda: catalog.unsynced(boot=BOOT, earlier=False), lambda: catalog.mark_synced([1]),
            lambda: catalog.mark_lost(1), lambda: catalog.sweep(), lambda: catalog.garbage(),
            lambda: catalog.forget([1]), lambda: catalog.known(1, ["x"]), lambda: catalog.barrier(),
            lambda: catalog.garbage_size(), lambda: catalog.begin(), lambda: catalog.vacate([1]),
            lambda: catalog.members(1),
        ]  # fmt: skip
        catalog.close()
        catalog.close()
        for verb in verbs:
            with pytest.raises(ClosedError):
                verb()

    def test_close_while_threads_are_at_work(self, catalog: Catalog) -> None:
        failures: list[BaseException] = []
        started = threading.Barrier(4)

        def work() -> None:
            try:
                put(catalog, "key")
                started.wait()
                while True:
                    put(catalog, "key")
                    catalog.commit([inline_put(catalog, "key")])
                    catalog.search(FLOW)
            except ClosedError:
                pass
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        started.wait()
        time.sleep(0.02)
        catalog.close()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
        assert failures == [], failures


def _version(done: Committed) -> int:
    assert done.row is not None
    return done.row.version


def _in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    results: dict[int, Any] = {}
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            results[number] = work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [results[number] for number in range(count)]
