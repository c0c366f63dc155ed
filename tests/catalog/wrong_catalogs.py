"""Catalogs that are wrong in one way each, under the suite. Run by test_catalog_faults.py, which expects them to fail.

Each class names the test that must find its fault.
"""

from __future__ import annotations

import time
from typing import ClassVar

import pytest

from holdfast.catalog.base import Delete, Edit, NewBlob, Put, Restore
from holdfast.catalog.sqlite import SQLiteCatalog
from holdfast.errors import QuotaExceededError
from holdfast.model import RecordRow
from holdfast.testing.catalog_suite import CatalogSuite


class Wrong(CatalogSuite):
    kind: ClassVar[type[SQLiteCatalog]]
    caught_by: ClassVar[str]

    @pytest.fixture
    def catalog(self, tmp_path):
        catalog = self.kind(tmp_path / "catalog.sqlite")
        yield catalog
        SQLiteCatalog.close(catalog)

    def reopen(self, catalog):
        return type(catalog)(catalog.path)


class ForgetsWhatWasExpected(SQLiteCatalog):
    """Puts whatever version is there."""

    def commit(self, changes, **options):
        changes = [change._replace(if_version=None) if isinstance(change, Put) else change for change in changes]
        return super().commit(changes, **options)


class TestForgetsWhatWasExpected(Wrong):
    kind = ForgetsWhatWasExpected
    caught_by = "test_versions_that_were_expected"


class CopiesOverWhatIsNewer(SQLiteCatalog):
    """Takes what comes from elsewhere whatever is there."""

    def commit(self, changes, **options):
        for change in changes:
            if isinstance(change, Restore):
                self.write("DELETE FROM records WHERE key=?", (change.key,))
        return super().commit(changes, **options)


class TestCopiesOverWhatIsNewer(Wrong):
    kind = CopiesOverWhatIsNewer
    caught_by = "test_a_copy_never_goes_back"


class CopiesUnderItsOwnVersion(SQLiteCatalog):
    """Counts a copy as a write of its own."""

    def commit(self, changes, **options):
        return super().commit([change.put if isinstance(change, Restore) else change for change in changes], **options)


class TestCopiesUnderItsOwnVersion(Wrong):
    kind = CopiesUnderItsOwnVersion
    caught_by = "test_a_copy_is_equal_to_the_record"


class LeavesTheCeilingBelowACopy(SQLiteCatalog):
    """Does not know, when a scope is dropped, how high the copies in it were."""

    def drop_scope(self, path, **options):
        self.write("UPDATE scopes SET ceiling=floor+1000")
        super().drop_scope(path, **options)


class TestLeavesTheCeilingBelowACopy(Wrong):
    kind = LeavesTheCeilingBelowACopy
    caught_by = "test_versions_after_the_drop_of_a_copy_are_higher"


class BeginsAgainAfterDelete(SQLiteCatalog):
    """Counts a deleted key's versions from one again."""

    def commit(self, changes, **options):
        done = super().commit(changes, **options)
        if any(isinstance(change, Delete) for change in changes):
            self.write("UPDATE scopes SET floor=0")
        return done


class TestBeginsAgainAfterDelete(Wrong):
    kind = BeginsAgainAfterDelete
    caught_by = "test_versions_grow_through_delete"


class BeginsAgainAfterDrop(SQLiteCatalog):
    """Counts a dropped scope's versions from one again."""

    def drop_scope(self, path, **options):
        super().drop_scope(path, **options)
        self.write("UPDATE store SET floor=0")


class TestBeginsAgainAfterDrop(Wrong):
    kind = BeginsAgainAfterDrop
    caught_by = "test_versions_grow_through_drop"


class OneAfterTheOther(SQLiteCatalog):
    """Commits each change by itself."""

    def commit(self, changes, **options):
        return [done for change in changes for done in super(OneAfterTheOther, self).commit([change], **options)]


class TestOneAfterTheOther(Wrong):
    kind = OneAfterTheOther
    caught_by = "test_a_commit_is_whole_or_not_at_all"


class RemembersScopesForEver(SQLiteCatalog):
    """Goes on under the id that a path once had."""

    ids: ClassVar[dict] = {}

    def find(self, path, key):
        scope = self.ids.setdefault((self.path, path), self.scope_id(path))
        return self.read(
            "SELECT tier,version,expires,algorithm,digest,size,codec,config,signature,data,blob,storage,place,synced,"
            "boot,device,inode,mtime,ctime FROM records LEFT JOIN blobs b ON b.id=blob WHERE scope=? AND key=?",
            (scope, key),
        )


class TestRemembersScopesForEver(Wrong):
    kind = RemembersScopesForEver
    caught_by = "test_a_drop_hides_all_below_at_once"


class DropsWhatIsNotEmpty(SQLiteCatalog):
    """Takes no notice of what is in a scope that is to be dropped if it is empty."""

    def drop_scope(self, path, **options):
        super().drop_scope(path)


class TestDropsWhatIsNotEmpty(Wrong):
    kind = DropsWhatIsNotEmpty
    caught_by = "test_only_an_empty_scope_is_dropped_when_that_is_asked"


class DropsOneScopeOnly(SQLiteCatalog):
    """Leaves what is below a dropped scope, to be found when the scope is made again."""

    def drop_scope(self, path, **options):
        scope = self.scope_id(path)
        below = self.read("SELECT id,kind,name,floor,ceiling,created FROM scopes WHERE parent=?", (scope,))
        super().drop_scope(path, **options)
        self.create_scope(path)
        for row in below:
            self.write("DELETE FROM dropped WHERE scope=?", row[:1])
            self.write(
                "INSERT INTO scopes(id,kind,name,floor,ceiling,created,parent) VALUES(?,?,?,?,?,?,?)",
                (*row, self.scope_id(path)),
            )


class TestDropsOneScopeOnly(Wrong):
    kind = DropsOneScopeOnly
    caught_by = "test_a_drop_hides_all_below_at_once"


class ListsWhatExpired(SQLiteCatalog):
    """Lists all keys that have a row."""

    def keys(self, path, start, end, limit):
        scope = self.scope_id(path)
        rows = self.read(
            "SELECT DISTINCT key FROM records WHERE scope=?1 AND key>=?2 AND (?3 IS NULL OR key<?3) "
            "ORDER BY key LIMIT ?4",
            (scope, start, end, limit),
        )
        return [key for (key,) in rows]


class TestListsWhatExpired(Wrong):
    kind = ListsWhatExpired
    caught_by = "test_what_expired_is_not_listed"


class SortsAsPeopleDo(SQLiteCatalog):
    """Lists without regard to case."""

    def keys(self, path, start, end, limit):
        return sorted(super().keys(path, start, end, 10_000), key=str.casefold)[:limit]


class TestSortsAsPeopleDo(Wrong):
    kind = SortsAsPeopleDo
    caught_by = "test_keys_come_by_bytes_in_pages"


class SkipsEqualOnesAtAPageEnd(SQLiteCatalog):
    """Begins a page after the value that the one before ended with."""

    def search(self, path, *, after=None, order="key", **options):
        column = order.removeprefix("-")
        rows = [RecordRow._make(row) for row in super().search(path, order=order, after=after, **options)]
        if after is not None and column != "key":
            rows = [row for row in rows if getattr(row, column) != getattr(RecordRow._make(after), column)]
        return rows


class TestSkipsEqualOnesAtAPageEnd(Wrong):
    kind = SkipsEqualOnesAtAPageEnd
    caught_by = "test_search_in_each_order_by_pages"


class AddsInTwoSteps(SQLiteCatalog):
    """Reads, adds, and writes."""

    def add(self, path, key, amount, codec, power=False):
        rows = self.find(path, key)
        value = (rows[0][9] if rows and type(rows[0][9]) is int else 0) + amount
        time.sleep(0.0001)
        self.put(path, key, (None, None, 0, None, 8, codec, None, None, value))
        return value, RecordRow._make(self.record(path, key)[0])


class TestAddsInTwoSteps(Wrong):
    kind = AddsInTwoSteps
    caught_by = "test_many_processes_add_to_one_counter"


class CollectsWithoutAMark(SQLiteCatalog):
    """Tells what is garbage, and lets it be taken again meanwhile."""

    def garbage(self, limit=1000, storage=None):
        found = super().garbage(limit, storage)
        self.write("UPDATE blobs SET state=0 WHERE state=1")
        return found


class TestCollectsWithoutAMark(Wrong):
    kind = CollectsWithoutAMark
    caught_by = "test_dying_bytes_come_back_to_nobody"


class KeepsNothing(SQLiteCatalog):
    """Lets a replaced value go while the new one may still be lost."""

    def commit(self, changes, **options):
        done = super().commit(changes, **options)
        self.write("DELETE FROM kept")
        return done


class TestKeepsNothing(Wrong):
    kind = KeepsNothing
    caught_by = "test_lost_bytes_bring_the_kept_version_back"


class KeepsForEver(SQLiteCatalog):
    """Does not let go of what was kept when the new bytes are synced."""

    def mark_synced(self, ids):
        kept = self.read("SELECT * FROM kept")
        super().mark_synced(ids)
        for row in kept:
            self.write(f"INSERT OR IGNORE INTO kept VALUES({','.join('?' * len(row))})", row)


class TestKeepsForEver(Wrong):
    kind = KeepsForEver
    caught_by = "test_what_unsynced_bytes_replaced_is_kept"


class BringsBackUnderANewVersion(SQLiteCatalog):
    """Gives the version that comes back a number of its own."""

    def mark_lost(self, id):
        keys = self.read("SELECT scope,key FROM records WHERE blob=?", (id,))
        done = super().mark_lost(id)
        for row in keys:
            self.write("UPDATE records SET version=version+7 WHERE scope=? AND key=?", row)
        return done


class TestBringsBackUnderANewVersion(Wrong):
    kind = BringsBackUnderANewVersion
    caught_by = "test_lost_bytes_bring_the_kept_version_back"


class SharesBytesThatMayBeLost(SQLiteCatalog):
    """Takes unsynced bytes in place of synced ones."""

    def commit(self, changes, **options):
        def unsynced(change):
            fresh = isinstance(change, Put) and isinstance(change.blob, NewBlob)
            return change._replace(blob=change.blob._replace(synced=False)) if fresh else change

        return super().commit([unsynced(change) for change in changes], **options)


class TestSharesBytesThatMayBeLost(Wrong):
    kind = SharesBytesThatMayBeLost
    caught_by = "test_unsynced_bytes_do_not_stand_in_for_synced_ones"


class IgnoresTheFence(SQLiteCatalog):
    """Commits for whoever once held the lease."""

    def commit(self, changes, *, fence=None, **options):
        return super().commit(changes, **options)


class TestIgnoresTheFence(Wrong):
    kind = IgnoresTheFence
    caught_by = "test_a_fence_is_checked_in_the_commit"


class IgnoresTheDrop(SQLiteCatalog):
    """Commits into a scope that was dropped while the bytes were on their way."""

    def commit(self, changes, *, began=None, **options):
        return super().commit(changes, **options)


class TestIgnoresTheDrop(Wrong):
    kind = IgnoresTheDrop
    caught_by = "test_a_scope_that_was_dropped_or_renamed_in_between"


class GivesATokenTwice(SQLiteCatalog):
    """Forgets, with a lease that was given back, which tokens there were."""

    def release(self, fence):
        super().release(fence)
        self.write("UPDATE store SET token=0")


class TestGivesATokenTwice(Wrong):
    kind = GivesATokenTwice
    caught_by = "test_tokens_grow_with_each_owner"


class EditsInPlace(SQLiteCatalog):
    """Leaves the version as it was when only tags or times change."""

    def commit(self, changes, **options):
        before = [self.record(change.path, change.key) for change in changes]
        done = super().commit(changes, **options)
        for change, rows in zip(changes, before, strict=True):
            if isinstance(change, Edit) and rows:
                self.write("UPDATE records SET version=? WHERE key=?", (rows[0][2], change.key))
        return done


class TestEditsInPlace(Wrong):
    kind = EditsInPlace
    caught_by = "test_an_edit_keeps_the_bytes"


class AcknowledgesEarly(SQLiteCatalog):
    """Writes put values a while after it said that they are there."""

    def put(self, *values, **options):
        waiting = self.__dict__.setdefault("waiting", [])
        waiting.append((values, options))
        if len(waiting) < 3:
            return len(waiting), time.time(), time.time()
        done = [super(AcknowledgesEarly, self).put(*each, **more) for each, more in waiting]
        waiting.clear()
        return done[-1]


class TestAcknowledgesEarly(Wrong):
    kind = AcknowledgesEarly
    caught_by = "test_a_value_is_found_as_it_was_put"


class ForgetsWhatWasThere(SQLiteCatalog):
    """Keeps nothing of a place that was collected, so that who wrote there before is not told."""

    def vacate(self, ids):
        self.forget(ids)


class TestForgetsWhatWasThere(Wrong):
    kind = ForgetsWhatWasThere
    caught_by = "test_a_write_that_began_before_is_to_be_done_again"


class OverrulesTheStorage(SQLiteCatalog):
    """Takes equal bytes that lie elsewhere for those that a storage put where it wanted them."""

    def commit(self, changes, **options):
        changes = [change._replace(since=None) if isinstance(change, Put) else change for change in changes]
        return super().commit(changes, **options)


class TestOverrulesTheStorage(Wrong):
    kind = OverrulesTheStorage
    caught_by = "test_equal_bytes_lie_where_their_storage_says"


class StaysOpen(SQLiteCatalog):
    """Goes on after close."""

    def close(self):
        pass


class TestStaysOpen(Wrong):
    kind = StaysOpen
    caught_by = "test_after_close_every_verb_says_so"


class PutsByTheQuickWay(SQLiteCatalog):
    """Remembers a scope that keeps old versions like any other."""

    def remember(self, found):
        epoch, free, bound = found
        super().remember((epoch, {**free, **{path: scope for path, (scope, _) in bound.items()}}, {}))


class TestPutsByTheQuickWay(Wrong):
    kind = PutsByTheQuickWay
    caught_by = "test_the_newest_ones_are_kept"


class SetsAPolicyInSilence(SQLiteCatalog):
    """Lets processes go on by what they remember of a scope that asks for something now."""

    def set_policy(self, path, policy, before=None):
        done = super().set_policy(path, policy, before)
        self.write("UPDATE store SET epoch=epoch-1")
        return done


class SetsAPolicyOverAnothers(SQLiteCatalog):
    """Takes no notice of what the scope was said to ask for."""

    def set_policy(self, path, policy, before=None):
        return super().set_policy(path, policy)


class TestSetsAPolicyOverAnothers(Wrong):
    kind = SetsAPolicyOverAnothers
    caught_by = "test_a_policy_is_set_in_place_of_the_one_that_was_seen"


class TestSetsAPolicyInSilence(Wrong):
    kind = SetsAPolicyInSilence
    caught_by = "test_what_is_replaced_is_kept_from_the_moment_it_is_asked_for"


class KeepsOldVersionsForEver(SQLiteCatalog):
    """Lets no old version go when there are more than were asked for."""

    def commit(self, changes, **options):
        before = self.read("SELECT * FROM past")
        done = super().commit(changes, **options)
        for row in before:
            self.write(f"INSERT OR IGNORE INTO past VALUES({','.join('?' * len(row))})", row)
        return done


class TestKeepsOldVersionsForEver(Wrong):
    kind = KeepsOldVersionsForEver
    caught_by = "test_the_newest_ones_are_kept"


class ForgetsWithTheKey(SQLiteCatalog):
    """Lets the old versions of a key go when it is deleted."""

    def commit(self, changes, **options):
        done = super().commit(changes, **options)
        for change in changes:
            if isinstance(change, Delete):
                self.write("DELETE FROM past WHERE key=?", (change.key,))
        return done


class TestForgetsWithTheKey(Wrong):
    kind = ForgetsWithTheKey
    caught_by = "test_the_versions_of_a_deleted_key_stay"


class ShowsWhatExpired(SQLiteCatalog):
    """Goes on showing old versions after they expired."""

    def past(self, path, key):
        self.write("UPDATE past SET expires=NULL")
        return super().past(path, key)


class TestShowsWhatExpired(Wrong):
    kind = ShowsWhatExpired
    caught_by = "test_what_expired_is_not_kept"


class ForgetsToLetGo(SQLiteCatalog):
    """Leaves old versions beyond a shorter history where they are, to come back."""

    def set_policy(self, path, policy, before=None):
        done = super().set_policy(path, policy, before)
        self.write("DELETE FROM surplus")
        return done


class TestForgetsToLetGo(Wrong):
    kind = ForgetsToLetGo
    caught_by = "test_a_shorter_history"


class KeepsTheRecordTwice(SQLiteCatalog):
    """Leaves the version that a power cut made the record again among the old ones."""

    def mark_lost(self, id):
        before = self.read("SELECT * FROM past WHERE blob<>?", (id,))
        done = super().mark_lost(id)
        for row in before:
            self.write(f"INSERT OR IGNORE INTO past VALUES({','.join('?' * len(row))})", row)
        return done


class TestKeepsTheRecordTwice(Wrong):
    kind = KeepsTheRecordTwice
    caught_by = "test_a_version_that_is_the_record_again_is_not_kept_twice"


class CountsNoDeletes(SQLiteCatalog):
    """Goes on counting what was deleted."""

    def commit(self, changes, **options):
        done = super().commit(changes, **options)
        for change in changes:
            if isinstance(change, Delete):
                self.write("UPDATE policies SET records=records+1")
        return done


class TestCountsNoDeletes(Wrong):
    kind = CountsNoDeletes
    caught_by = "test_a_quota_below_what_is_there"


class CountsEachChange(SQLiteCatalog):
    """Refuses what is too much for a moment, in the middle of a commit."""

    def commit(self, changes, **options):
        return [done for change in changes for done in super(CountsEachChange, self).commit([change], **options)]


class TestCountsEachChange(Wrong):
    kind = CountsEachChange
    caught_by = "test_what_one_commit_comes_to_counts"


class CountsBeforeItWrites(SQLiteCatalog):
    """Looks how much there is, and then writes: others may do so at the same time."""

    def commit(self, changes, **options):
        if changes and isinstance(changes[0], Put) and (policy := self.policy(changes[0].path)):
            used = self.usage(changes[0].path)
            assert policy.max_records is not None
            assert policy.max_bytes is not None
            if used.records + 1 > policy.max_records or used.size + changes[0].size > policy.max_bytes:
                raise QuotaExceededError("full")
            self.write("UPDATE policies SET max_records=1000000,max_bytes=1000000")
            time.sleep(0.001)
        return super().commit(changes, **options)


class TestCountsBeforeItWrites(Wrong):
    kind = CountsBeforeItWrites
    caught_by = "test_many_processes_at_a_quota"


class CountsWhatExpired(SQLiteCatalog):
    """Has no room while what expired is still there."""

    def commit(self, changes, **options):
        self.write("UPDATE records SET expires=NULL WHERE expires<?", (self.now(),))
        return super().commit(changes, **options)

    def put(self, path, key, row, power=False, session=None):
        self.write("UPDATE records SET expires=NULL WHERE expires<?", (self.now(),))
        return super().put(path, key, row, power, session)


class TestCountsWhatExpired(Wrong):
    kind = CountsWhatExpired
    caught_by = "test_what_expired_makes_room"


FAULTS = [kind for name, kind in dict(globals()).items() if name.startswith("Test")]
