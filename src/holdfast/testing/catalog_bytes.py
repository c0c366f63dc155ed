"""The catalog's promises on bytes in storages; see :mod:`holdfast.testing.catalog_suite`."""

from __future__ import annotations

import pytest

from ..catalog.base import Blob, Catalog, Delete, NewBlob, Put, Since, ValueRow, WriteAgain
from ..errors import ConflictError, HoldfastError, NotFoundError, StoreError
from ..model import EPHEMERAL
from .catalog_cases import (
    BOOT,
    FLOW,
    SPACE,
    blob_of,
    collected,
    data_of,
    file_put,
    inline_put,
    put,
    put_file,
    record_of,
    versions,
    wait_past,
)  # fmt: skip

__all__ = ["CollectorTests", "PlaceTests", "RecoveryTests", "SharingTests"]


class SharingTests:
    """When new bytes are taken, and when live ones take their place."""

    def test_new_bytes_are_taken(self, catalog: Catalog) -> None:
        (done,) = catalog.commit([file_put(catalog, "key", b"content", place='"p1"')])
        assert done.taken
        row = ValueRow._make(catalog.find(FLOW, "key")[0])
        assert (row.data, row.storage_config, row.synced, row.boot) == (None, '"p1"', 0, BOOT)
        assert (row.device, row.inode, row.mtime, row.ctime) == (1, 2, 3, 4)
        assert row.storage == catalog.storage_id("test.files@v1", "files")
        record = record_of(catalog, "key")
        assert done.row == record
        assert (record.storage, record.storage_config, record.synced) == (row.storage, '"p1"', 0)

    def test_equal_bytes_are_kept_once(self, catalog: Catalog) -> None:
        first = put_file(catalog, "one", b"equal")
        (done,) = catalog.commit([file_put(catalog, "two", b"equal")])
        assert not done.taken
        assert done.row == record_of(catalog, "two")
        assert ValueRow._make(catalog.find(FLOW, "two")[0]).blob == first.blob
        (done,) = catalog.commit([file_put(catalog, "one", b"equal")])
        assert not done.taken
        catalog.commit([Delete(FLOW, "one")])
        assert collected(catalog) == []
        catalog.commit([Delete(FLOW, "two")])
        assert collected(catalog) == [first.storage_config]

    def test_other_bytes_or_storages_are_not_equal(self, catalog: Catalog) -> None:
        put_file(catalog, "one", b"12345678")

        def equal(key: str = "two") -> Put:
            return file_put(catalog, key, b"12345678")

        for change in (
            file_put(catalog, "two", b"12345679"),
            file_put(catalog, "two", b"12345678", storage="test.other@v1"),
            equal()._replace(size=9),
            equal()._replace(algorithm=2),
            equal()._replace(digest=None, algorithm=0),
            equal("three")._replace(digest=None, algorithm=0),
        ):
            (done,) = catalog.commit([change])
            assert done.taken, change

    def test_unsynced_bytes_do_not_stand_in_for_synced_ones(self, catalog: Catalog) -> None:
        first = put_file(catalog, "one", b"equal")
        (done,) = catalog.commit([file_put(catalog, "two", b"equal", synced=True)])
        assert done.taken
        assert done.row is not None
        assert done.row.synced
        row = put_file(catalog, "three", b"equal")
        assert row.storage_config == done.row.storage_config, "of equal ones the synced is taken"
        assert row.storage_config != first.storage_config

    def test_bytes_of_an_earlier_boot_do_not_stand_in_for_fresh_ones(self, catalog: Catalog) -> None:
        """They may be torn, which nobody has found out yet."""
        put_file(catalog, "one", b"equal", boot="an earlier boot")
        (done,) = catalog.commit([file_put(catalog, "two", b"equal")])
        assert done.taken

    def test_lost_and_dying_bytes_do_not_stand_in(self, catalog: Catalog) -> None:
        lost = put_file(catalog, "one", b"equal")
        catalog.mark_lost(blob_of(lost))
        (done,) = catalog.commit([file_put(catalog, "two", b"equal")])
        assert done.taken
        catalog.commit([Delete(FLOW, "two")])
        assert len(catalog.garbage()) == 2
        (done,) = catalog.commit([file_put(catalog, "three", b"equal")])
        assert done.taken

    def test_a_storage_that_gives_equal_configs(self, catalog: Catalog) -> None:
        first = put_file(catalog, "one", b"equal", place='"hash"')
        (done,) = catalog.commit([file_put(catalog, "two", b"equal", place='"hash"', synced=True)])
        assert done.taken, "the caller would delete the bytes that both have"
        assert done.row is not None
        assert done.row.synced
        with pytest.raises(HoldfastError):
            catalog.commit([file_put(catalog, "three", b"other", place='"hash"')])
        catalog.commit([Delete(FLOW, "one"), Delete(FLOW, "two")])
        (blob,) = catalog.garbage()
        assert blob.id == first.blob
        with pytest.raises(ConflictError):
            catalog.commit([file_put(catalog, "three", b"equal", place='"hash"')])
        catalog.forget([blob.id])
        assert put_file(catalog, "three", b"equal", place='"hash"').blob != blob.id


class PlaceTests:
    """Places that a storage gives again: who wrote there before it was collected is told to write again."""

    def _put(self, catalog: Catalog, key: str, since: Since | None = None, content: bytes = b"equal") -> Put:
        return file_put(catalog, key, content, place='"p1"', synced=True, since=since or catalog.begin())

    def _collect(self, catalog: Catalog) -> None:
        blobs = catalog.garbage()
        assert [blob.config for blob in blobs] == ['"p1"']
        catalog.vacate([blob.id for blob in blobs])
        assert catalog.garbage() == []
        assert catalog.garbage_size() == (0, 0, 0)

    def _gone(self, catalog: Catalog) -> None:
        catalog.commit([self._put(catalog, "one")])
        catalog.commit([Delete(FLOW, "one")])
        self._collect(catalog)

    def test_a_write_that_began_before_is_to_be_done_again(self, catalog: Catalog, other: Catalog) -> None:
        early = self._put(other, "two")
        self._gone(catalog)
        unknown = self._put(catalog, "two")._replace(since=None)
        for change in (early, unknown, early):
            with pytest.raises(WriteAgain):
                other.commit([change])
        assert versions(catalog, "two") == []
        other.commit([self._put(other, "two")])
        other.commit([self._put(catalog, "three", early.since)])
        assert [data_of(catalog, key) for key in ("two", "three")] == ['"p1"', '"p1"']
        assert catalog.known(catalog.storage_id("test.files@v1", "files"), ['"p1"']) == {'"p1"'}
        catalog.commit([Delete(FLOW, "two")])
        assert catalog.garbage() == []
        catalog.commit([Delete(FLOW, "three")])
        self._collect(catalog)

    def test_while_it_dies_as_well(self, catalog: Catalog) -> None:
        catalog.commit([self._put(catalog, "one")])
        catalog.commit([Delete(FLOW, "one")])
        (blob,) = catalog.garbage()
        with pytest.raises(WriteAgain):
            catalog.commit([self._put(catalog, "two")])
        catalog.vacate([blob.id, blob.id + 1])
        catalog.vacate([blob.id])
        catalog.commit([self._put(catalog, "two", content=b"other bytes, after that")])
        assert data_of(catalog, "two") == '"p1"'

    def test_equal_bytes_lie_where_their_storage_says(self, catalog: Catalog) -> None:
        first = self._put(catalog, "one")
        elsewhere = first._replace(key="two", blob=first.blob._replace(config='"p2"'))  # type: ignore[union-attr]
        catalog.commit([first])
        (done,) = catalog.commit([elsewhere._replace(since=catalog.begin())])
        assert done.taken
        assert [data_of(catalog, key) for key in ("one", "two")] == ['"p1"', '"p2"']

    def test_a_live_place_is_not_vacated(self, catalog: Catalog) -> None:
        catalog.commit([self._put(catalog, "one")])
        row = ValueRow._make(catalog.find(FLOW, "one")[0])
        catalog.vacate([blob_of(row)])
        catalog.commit([self._put(catalog, "two")])
        assert ValueRow._make(catalog.find(FLOW, "two")[0]).blob == row.blob

    def test_a_write_of_more_than_a_day_is_to_be_done_again(self, catalog: Catalog) -> None:
        began = catalog.begin()
        with pytest.raises(WriteAgain):
            catalog.commit([self._put(catalog, "one", began._replace(time=began.time - 86401))])
        catalog.commit([self._put(catalog, "one", began._replace(time=began.time - 86300))])

    def test_what_is_abandoned_is_garbage(self, catalog: Catalog) -> None:
        change = self._put(catalog, "one")
        catalog.abandon(change)
        catalog.abandon(change)
        assert catalog.garbage_size() == (0, 1, 5)
        self._collect(catalog)
        catalog.abandon(change)  # written before that, or meanwhile: they may be there
        with pytest.raises(WriteAgain):
            catalog.commit([change])
        self._collect(catalog)
        catalog.abandon(self._put(catalog, "one"))
        catalog.commit([self._put(catalog, "one")])
        assert catalog.garbage() == []
        assert data_of(catalog, "one") == '"p1"'

    def test_what_is_abandoned_while_it_dies_is_collected_again(self, catalog: Catalog) -> None:
        catalog.commit([self._put(catalog, "one")])
        catalog.commit([Delete(FLOW, "one")])
        (blob,) = catalog.garbage()
        catalog.abandon(self._put(catalog, "two"))
        assert [each.id for each in catalog.garbage()] == [blob.id]
        catalog.vacate([blob.id])
        self._collect(catalog)

    def test_what_nobody_needs_makes_way(self, catalog: Catalog) -> None:
        """Its bytes were found, not put, or others are in its place now."""
        found = self._put(catalog, "one")
        catalog.abandon(found._replace(algorithm=0, digest=None, size=0))
        catalog.commit([self._put(catalog, "one")])
        catalog.commit([Delete(FLOW, "one")])
        catalog.commit([self._put(catalog, "two", content=b"others")])
        assert catalog.garbage() == []
        with pytest.raises(StoreError):
            catalog.commit([self._put(catalog, "three")])

    def test_what_is_abandoned_and_needed_stays(self, catalog: Catalog) -> None:
        change = self._put(catalog, "one")
        catalog.abandon(change)
        catalog.commit([self._put(catalog, "two")])
        catalog.abandon(change)
        assert catalog.garbage() == []
        early = self._put(catalog, "three")
        catalog.commit([Delete(FLOW, "two")])
        self._collect(catalog)
        catalog.abandon(self._put(catalog, "four"))
        with pytest.raises(WriteAgain):
            catalog.commit([early])
        self._collect(catalog)


class CollectorTests:
    """Sweeping records and collecting bytes."""

    def test_what_records_need_is_no_garbage(self, catalog: Catalog) -> None:
        for number in range(5):
            put_file(catalog, f"k{number}", b"%d" % number, synced=bool(number % 2))
        put_file(catalog, "memory", b"m", tier=EPHEMERAL, session="memory s")
        assert catalog.garbage() == []
        assert catalog.garbage_size() == (0, 0, 0)

    def test_replaced_and_deleted_bytes_are_garbage(self, catalog: Catalog) -> None:
        rows = [put_file(catalog, key, key.encode(), synced=True) for key in ("replaced", "inlined", "deleted", "kept")]
        put_file(catalog, "replaced", b"new", synced=True)
        put(catalog, "inlined")
        catalog.commit([Delete(FLOW, "deleted")])
        assert catalog.garbage_size() == (0, 3, len(b"replacedinlineddeleted"))
        assert collected(catalog) == sorted(str(row.storage_config) for row in rows[:3])
        assert catalog.garbage_size() == (0, 0, 0)

    def test_garbage_is_given_until_it_is_forgotten(self, catalog: Catalog, other: Catalog) -> None:
        """Those of a collector that died included."""
        rows = [put_file(catalog, f"k{number}", b"%d" % number, synced=True) for number in range(5)]
        catalog.commit([Delete(FLOW, f"k{number}") for number in range(5)])
        first = catalog.garbage(2)
        assert len(first) == 2
        assert isinstance(first[0], Blob)
        assert {blob.id for blob in first} <= {row.blob for row in rows}
        assert {blob.id for blob in other.garbage()} == {row.blob for row in rows}
        blob = other.garbage(1)[0]
        row = next(row for row in rows if row.blob == blob.id)
        assert blob == Blob(
            blob_of(row), row.storage or 0, str(row.storage_config), row.algorithm, row.digest, row.size
        )
        other.forget([blob.id])
        assert blob.id not in {each.id for each in catalog.garbage()}
        catalog.forget([])

    def test_only_dying_bytes_are_forgotten(self, catalog: Catalog) -> None:
        row = put_file(catalog, "key")
        catalog.forget([blob_of(row)])
        assert data_of(catalog, "key") == row.storage_config

    def test_dying_bytes_come_back_to_nobody(self, catalog: Catalog) -> None:
        """Between the mark and the deletion nothing may begin to need them."""
        row = put_file(catalog, "key", b"equal", synced=True)
        catalog.commit([Delete(FLOW, "key")])
        assert catalog.garbage() != []
        with pytest.raises(ConflictError):
            catalog.commit([inline_put(catalog, "copy", b"equal")._replace(data=None, blob=row.blob)])
        (done,) = catalog.commit([file_put(catalog, "again", b"equal", synced=True)])
        assert done.taken

    def test_a_sweep_takes_what_expired(self, catalog: Catalog) -> None:
        moment = catalog.now()
        for number in range(5):
            put(catalog, f"old{number}", expires=moment)
        put_file(catalog, "file", b"old", expires=moment, synced=True)
        put(catalog, "later", expires=moment + 1000)
        put(catalog, "never")
        last = versions(catalog, "old0")[0]
        wait_past(catalog, moment)
        assert catalog.garbage_size() == (6, 1, 3)
        assert catalog.sweep(4) == 4
        assert catalog.sweep(4) == 2
        assert catalog.sweep(4) == 0
        assert catalog.keys(FLOW, "", None, 10) == ["later", "never"]
        assert list(catalog.find(FLOW, "old0")) == []
        assert len(collected(catalog)) == 1
        assert put(catalog, "old0") > last, "versions went back with a sweep"

    def test_a_sweep_takes_what_was_dropped(self, catalog: Catalog) -> None:
        paths = [(*SPACE, ("workflow", str(number))) for number in range(4)]
        for path in paths:
            for key in "abc":
                put(catalog, key, path=path)
        places = [put_file(catalog, "f", b"%d" % number, paths[number]).storage_config for number in range(3)]
        catalog.create_scope((*SPACE, ("workflow", "empty"), ("more", "empty")))
        put(catalog, "stays", path=(("namespace", "other"),))
        catalog.drop_scope(SPACE)
        put(catalog, "a", b"new", path=paths[0])
        assert catalog.garbage_size() == (15, 3, 3)
        done = []
        while count := catalog.sweep(4):
            done.append(count)
        assert (sum(done), max(done)) == (15, 4)
        assert catalog.garbage_size()[0] == 0
        assert collected(catalog) == sorted(map(str, places))
        assert data_of(catalog, "a", paths[0]) == b"new"
        assert data_of(catalog, "stays", (("namespace", "other"),)) == b"value"

    def test_known(self, catalog: Catalog) -> None:
        storage = catalog.storage_id("test.files@v1", "files")
        for name in ("one", "two"):
            put_file(catalog, name, name.encode(), place=f'"{name}"')
        put_file(catalog, "else", b"else", place='"three"', storage="test.other@v1")
        wanted = [f'"{name}"' for name in ("one", "three", "two", "four")]
        assert catalog.known(storage, wanted) == {'"one"', '"two"'}
        assert catalog.known(storage, []) == set()
        assert catalog.known(storage, [str(number) for number in range(3000)]) == set()

    def test_a_barrier_returns(self, catalog: Catalog) -> None:
        put(catalog, "key")
        catalog.barrier()
        catalog.barrier()
        assert data_of(catalog, "key") == b"value"


class RecoveryTests:
    """Bytes that may not be on disk yet: what is kept for their sake, and what comes back when they are lost."""

    def test_unsynced_bytes_by_boot(self, catalog: Catalog) -> None:
        rows = [put_file(catalog, f"k{n}", b"%d" % n, boot=BOOT if n % 2 else "earlier") for n in range(6)]
        put_file(catalog, "synced", b"s", synced=True)
        gone = put_file(catalog, "gone", b"gone")
        catalog.commit([Delete(FLOW, "gone")])
        mine = catalog.unsynced(boot=BOOT, earlier=False)
        assert [blob.id for blob in mine] == [row.blob for row in rows[1::2]]
        assert gone.blob not in {blob.id for blob in mine}
        assert [blob.id for blob in catalog.unsynced(boot=BOOT, earlier=True)] == [row.blob for row in rows[0::2]]
        pages, after = [], 0
        while page := catalog.unsynced(boot=BOOT, earlier=False, after=after, limit=2):
            pages += page
            after = page[-1].id
        assert pages == mine
        catalog.mark_synced([blob.id for blob in mine])
        assert catalog.unsynced(boot=BOOT, earlier=False) == []
        assert record_of(catalog, "k1").synced
        assert not record_of(catalog, "k0").synced

    def test_trust_records_what_was_found(self, catalog: Catalog) -> None:
        row = put_file(catalog, "key", boot="earlier")
        catalog.trust(blob_of(row), NewBlob(row.storage or 0, str(row.storage_config), True, BOOT, 11, 12, 13, 14))
        found = ValueRow._make(catalog.find(FLOW, "key")[0])
        assert found[13:] == (1, BOOT, 11, 12, 13, 14)
        assert catalog.unsynced(boot=BOOT, earlier=True) == []

    def test_what_unsynced_bytes_replaced_is_kept(self, catalog: Catalog) -> None:
        before = put_file(catalog, "key", b"before", synced=True)
        put_file(catalog, "key", b"after")
        assert collected(catalog) == []
        assert len(catalog.record(FLOW, "key")) == 1, "what is kept must not be seen"
        catalog.mark_synced([blob.id for blob in catalog.unsynced(boot=BOOT, earlier=False)])
        assert collected(catalog) == [before.storage_config]

    def test_lost_bytes_bring_the_kept_version_back(self, catalog: Catalog) -> None:
        before = put_file(catalog, "key", b"before", synced=True, tags='{"a":"b"}')
        record = record_of(catalog, "key")
        after = put_file(catalog, "key", b"after")
        assert catalog.mark_lost(blob_of(after)) == 1
        assert record_of(catalog, "key") == record, "it comes back as it was, under its own version"
        assert data_of(catalog, "key") == before.storage_config
        assert collected(catalog) == [after.storage_config]
        assert put(catalog, "key") > after.version, "a version that was seen was given again"
        assert collected(catalog) == [before.storage_config]

    def test_an_inline_value_comes_back(self, catalog: Catalog) -> None:
        put(catalog, "key", b"inline", tags={"a": "b"})
        record = record_of(catalog, "key")
        after = put_file(catalog, "key", b"after")
        assert catalog.mark_lost(blob_of(after)) == 1
        assert record_of(catalog, "key") == record
        assert data_of(catalog, "key") == b"inline"
        put(catalog, "count", 41)
        catalog.mark_lost(blob_of(put_file(catalog, "count", b"file")))
        assert data_of(catalog, "count") == 41

    def test_a_chain_goes_back_to_the_newest_that_is_there(self, catalog: Catalog) -> None:
        rows = [put_file(catalog, "key", b"0", synced=True)]
        rows += [put_file(catalog, "key", b"%d" % number) for number in (1, 2, 3)]
        assert collected(catalog) == []
        catalog.mark_lost(blob_of(rows[3]))
        catalog.mark_lost(blob_of(rows[1]))
        assert data_of(catalog, "key") == rows[2].storage_config
        assert versions(catalog, "key") == [rows[2].version]
        catalog.mark_lost(blob_of(rows[2]))
        assert data_of(catalog, "key") == rows[0].storage_config
        assert collected(catalog) == sorted(str(row.storage_config) for row in rows[1:])
        assert put(catalog, "key") > rows[3].version

    def test_a_chain_is_let_go_up_to_what_is_synced(self, catalog: Catalog) -> None:
        rows = [put_file(catalog, "key", b"0", synced=True)]
        rows += [put_file(catalog, "key", b"%d" % number) for number in (1, 2, 3)]
        catalog.mark_synced([blob_of(rows[2])])
        assert collected(catalog) == sorted(str(row.storage_config) for row in rows[:2])
        catalog.mark_lost(blob_of(rows[3]))
        assert data_of(catalog, "key") == rows[2].storage_config
        assert collected(catalog) == [rows[3].storage_config]

    @pytest.mark.parametrize("way", ["inline", "synced", "trust", "delete", "drop"])
    def test_what_was_kept_is_let_go(self, catalog: Catalog, way: str) -> None:
        rows = [put_file(catalog, "key", b"old", synced=True), put_file(catalog, "key", b"new")]
        if way == "inline":
            put(catalog, "key")
        elif way == "synced":
            put_file(catalog, "key", b"newer", synced=True)
        elif way == "trust":
            blob = NewBlob(rows[1].storage or 0, str(rows[1].storage_config), True, BOOT)
            catalog.trust(blob_of(rows[1]), blob)
        elif way == "delete":
            catalog.commit([Delete(FLOW, "key")])
        else:
            catalog.drop_scope(FLOW)
            assert catalog.sweep() == 1
        gone = rows[:1] if way == "trust" else rows
        assert collected(catalog) == sorted(str(row.storage_config) for row in gone)

    def test_lost_bytes_with_nothing_kept(self, catalog: Catalog) -> None:
        row = put_file(catalog, "key")
        assert catalog.mark_lost(blob_of(row)) == 1
        assert list(catalog.find(FLOW, "key")) == []
        with pytest.raises(NotFoundError):
            catalog.commit([Delete(FLOW, "key")])
        assert put(catalog, "key") > row.version
        assert collected(catalog) == [row.storage_config]
        assert catalog.mark_lost(987654321) == 0

    def test_each_record_of_shared_bytes_goes_back(self, catalog: Catalog) -> None:
        put(catalog, "one", b"first")
        put_file(catalog, "two", b"second", synced=True)
        second = data_of(catalog, "two")
        shared = [put_file(catalog, key, b"equal") for key in ("one", "two", "three")]
        assert len({row.blob for row in shared}) == 1
        assert catalog.mark_lost(blob_of(shared[0])) == 3
        assert (data_of(catalog, "one"), data_of(catalog, "two"), data_of(catalog, "three")) == (b"first", second, None)

    def test_equal_bytes_put_again_while_they_are_unsynced(self, catalog: Catalog) -> None:
        put(catalog, "key", b"inline")
        first = put_file(catalog, "key", b"equal")
        again = put_file(catalog, "key", b"equal")
        assert again.blob == first.blob
        catalog.mark_lost(blob_of(again))
        assert data_of(catalog, "key") == b"inline"
        assert collected(catalog) == [first.storage_config]
        assert put(catalog, "key") > again.version
        assert collected(catalog) == []

    def test_a_rename_leaves_what_is_kept(self, catalog: Catalog) -> None:
        put_file(catalog, "key", b"old", synced=True)
        new = put_file(catalog, "key", b"new")
        catalog.rename_scope(SPACE, "renamed")
        path = (("namespace", "renamed"), FLOW[-1])
        old = data_of(catalog, "key", path)
        assert old == new.storage_config
        catalog.mark_lost(blob_of(new))
        assert data_of(catalog, "key", path) not in (None, old)

    def test_in_memory_nothing_is_kept(self, catalog: Catalog) -> None:
        """Ephemeral bytes end with their session: no sync will ever be recorded."""
        first = put_file(catalog, "key", b"one", tier=EPHEMERAL, session="memory s")
        put_file(catalog, "key", b"two", tier=EPHEMERAL, session="memory s")
        assert collected(catalog) == [first.storage_config]
