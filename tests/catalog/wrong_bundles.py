"""Catalogs that are wrong, in one way each, in what they make of records of several pieces of bytes; as
wrong_catalogs.py, and run like it."""

from __future__ import annotations

import time

from holdfast.catalog.base import Blob, NewBlob, Put
from holdfast.catalog.sqlite import SQLiteCatalog
from holdfast.errors import HoldfastError

from .wrong_catalogs import Wrong


class LeavesMembersBehind(SQLiteCatalog):
    """Forgets, with a bundle, to let go of what it held."""

    def sweep(self, limit=1000):
        self.write("DROP TRIGGER IF EXISTS members_deleted")
        return super().sweep(limit)


class TestLeavesMembersBehind(Wrong):
    kind = LeavesMembersBehind
    caught_by = "test_old_versions_keep_their_members"


class SweepsOneBatch(SQLiteCatalog):
    """Leaves bundles that are more than a batch."""

    def sweep(self, limit=1000):
        return super().sweep(limit) if limit > 100 else 0


class TestSweepsOneBatch(Wrong):
    kind = SweepsOneBatch
    caught_by = "test_many_are_swept_in_small_commits"


class CollectsBundles(SQLiteCatalog):
    """Gives bundles to the collector, as if they had bytes, and leaves them alone when it sweeps."""

    def sweep(self, limit=1000):
        self.write("UPDATE blobs SET storage=-1 WHERE storage=0 AND refs=0")
        return super().sweep(limit)


class TestCollectsBundles(Wrong):
    kind = CollectsBundles
    caught_by = "test_members_go_with_their_last_record"


class CountsOneReference(SQLiteCatalog):
    """Thinks that one reference to a blob is enough, however many members it is."""

    def commit(self, changes, **options):
        done = super().commit(changes, **options)
        self.write("UPDATE blobs SET refs=1 WHERE refs>1 AND id IN (SELECT blob FROM members)")
        return done


class TestCountsOneReference(Wrong):
    kind = CountsOneReference
    caught_by = "test_equal_members_are_kept_once"


class TakesNoReferenceForACopy(SQLiteCatalog):
    """Copies a record of several pieces without a word to its bundle."""

    def commit(self, changes, **options):
        done = super().commit(changes, **options)
        for change in changes:
            if isinstance(change, Put) and isinstance(change.blob, int):
                self.write("UPDATE blobs SET refs=refs-1 WHERE id=? AND storage=0 AND refs>1", (change.blob,))
        return done


class TestTakesNoReferenceForACopy(Wrong):
    kind = TakesNoReferenceForACopy
    caught_by = "test_bundles_beside_the_collector"


class SyncsWithTheFirst(SQLiteCatalog):
    """Takes a bundle as on disk when one of its members is."""

    def mark_synced(self, ids):
        super().mark_synced(ids)
        self.write("UPDATE blobs SET synced=1 WHERE storage=0")


class TestSyncsWithTheFirst(Wrong):
    kind = SyncsWithTheFirst
    caught_by = "test_a_bundle_is_synced_with_its_last_member"


class SyncsMembersOnly(SQLiteCatalog):
    """Does not notice that all of a bundle is on disk."""

    def mark_synced(self, ids):
        self.write("DROP TRIGGER IF EXISTS members_synced")
        super().mark_synced(ids)


class TestSyncsMembersOnly(Wrong):
    kind = SyncsMembersOnly
    caught_by = "test_all_at_once"


class ListsBundlesAsUnsynced(SQLiteCatalog):
    """Has bundles put on disk."""

    def unsynced(self, **options):
        rows = self.read("SELECT id,storage,place,algo,hash,bytes FROM blobs WHERE storage=0 AND synced=0")
        return super().unsynced(**options) + [Blob._make(row) for row in rows]


class TestListsBundlesAsUnsynced(Wrong):
    kind = ListsBundlesAsUnsynced
    caught_by = "test_a_bundle_is_synced_with_its_last_member"


class ForgetsThatMembersMayBeLost(SQLiteCatalog):
    """Takes every bundle as on disk from the beginning."""

    def commit(self, changes, **options):
        done = super().commit(changes, **options)
        self.write("UPDATE blobs SET synced=1 WHERE storage=0")
        return done


class TestForgetsThatMembersMayBeLost(Wrong):
    kind = ForgetsThatMembersMayBeLost
    caught_by = "test_what_they_replaced_is_kept_until_then"


class LosesMembersQuietly(SQLiteCatalog):
    """Leaves records that are no longer whole."""

    def mark_lost(self, id):
        members = self.read("SELECT bundle,n,blob FROM members WHERE blob=?", (id,))
        self.write("UPDATE members SET blob=-blob WHERE blob=?", (id,))
        done = super().mark_lost(id)
        for row in members:
            self.write("UPDATE members SET blob=?3 WHERE bundle=?1 AND n=?2", row)
        return done


class TestLosesMembersQuietly(Wrong):
    kind = LosesMembersQuietly
    caught_by = "test_all_that_need_it_are_touched_and_no_others"


class KeepsVersionsThatAreLost(SQLiteCatalog):
    """Leaves old versions that are no longer whole."""

    def mark_lost(self, id):
        self.write("UPDATE past SET blob=-blob")
        done = super().mark_lost(id)
        self.write("UPDATE past SET blob=-blob")
        return done


class TestKeepsVersionsThatAreLost(Wrong):
    kind = KeepsVersionsThatAreLost
    caught_by = "test_kept_and_old_versions_are_lost_with_it"


class KeepsMembersOfNothing(SQLiteCatalog):
    """Takes what it can of a commit that fails."""

    def commit(self, changes, **options):
        try:
            return super().commit(changes, **options)
        except HoldfastError:
            for member in changes[0].members[:1]:
                assert isinstance(member.blob, NewBlob)
                self.write(
                    "INSERT INTO blobs(storage,place,algo,bytes,refs,synced) VALUES(?,?,0,0,1,1)", member.blob[:2]
                )
            raise


class TestKeepsMembersOfNothing(Wrong):
    kind = KeepsMembersOfNothing
    caught_by = "test_all_members_or_nothing"


class GivesThemInAnyOrder(SQLiteCatalog):
    """Gives members in the order of their bytes' rows."""

    def members(self, blob):
        return sorted(super().members(blob), key=lambda row: row.blob)


class TestGivesThemInAnyOrder(Wrong):
    kind = GivesThemInAnyOrder
    caught_by = "test_a_member_that_another_bundle_has"


class TakesAllThatIsNew(SQLiteCatalog):
    """Says of each member that its new bytes are needed."""

    def commit(self, changes, **options):
        done = super().commit(changes, **options)
        return [each._replace(members=(True,) * len(each.members)) for each in done]


class TestTakesAllThatIsNew(Wrong):
    kind = TakesAllThatIsNew
    caught_by = "test_equal_members_are_kept_once"


class ForgetsWhichFilesTheyAre(SQLiteCatalog):
    """Does not tell by what a member's file is known to be the one that was written."""

    def members(self, blob):
        return [row._replace(inode=None) for row in super().members(blob)]


class TestForgetsWhichFilesTheyAre(Wrong):
    kind = ForgetsWhichFilesTheyAre
    caught_by = "test_several_pieces_are_there_as_they_were_put"


class TakesACopyThatIsThere(SQLiteCatalog):
    """Says of a record that has been taken over that the new bytes are needed."""

    def commit(self, changes, **options):
        done = super().commit(changes, **options)
        return [
            each if each.row is not None else each._replace(members=(True,) * len(change.put.members))
            for change, each in zip(changes, done, strict=True)
        ]


class TestTakesACopyThatIsThere(Wrong):
    kind = TakesACopyThatIsThere
    caught_by = "test_a_copy_of_another_catalogs_record"


class ForgetsWhenMembersWereWritten(SQLiteCatalog):
    """Takes members whose place was collected since they were written there."""

    def commit(self, changes, **options):
        def just_now(change):
            return change._replace(members=tuple(each._replace(since=self.begin()) for each in change.members))

        return super().commit([just_now(each) if isinstance(each, Put) else each for each in changes], **options)


class TestForgetsWhenMembersWereWritten(Wrong):
    kind = ForgetsWhenMembersWereWritten
    caught_by = "test_members_at_a_place_that_was_collected_are_to_be_written_again"


class WaitsForAllToBeSynced(SQLiteCatalog):
    """Takes a bundle of members that are on disk as one that may be lost."""

    def commit(self, changes, **options):
        done = super().commit(changes, **options)
        self.write("UPDATE blobs SET synced=0 WHERE storage=0")
        return done


class TestWaitsForAllToBeSynced(Wrong):
    kind = WaitsForAllToBeSynced
    caught_by = "test_what_is_on_disk_when_it_is_put"


class LooksBeforeItMarks(SQLiteCatalog):
    """Looks which bundles wait for other members, and then marks: others may do so at the same time."""

    def mark_synced(self, ids):
        self.write("DROP TRIGGER IF EXISTS members_synced")
        rows = self.read("SELECT bundle,blob FROM members JOIN blobs ON blobs.id=blob WHERE synced=0")
        waiting = {bundle for bundle, blob in rows if blob not in ids}
        time.sleep(0.02)
        super().mark_synced(ids)
        for (bundle,) in self.read("SELECT id FROM blobs WHERE storage=0 AND synced=0"):
            if bundle not in waiting:
                self.write("UPDATE blobs SET synced=1 WHERE id=?", (bundle,))


class TestLooksBeforeItMarks(Wrong):
    kind = LooksBeforeItMarks
    caught_by = "test_two_that_sync_the_last_members_at_once"


class BringsBundlesBackAnew(SQLiteCatalog):
    """Gives the version that comes back for a lost member a number of its own."""

    def mark_lost(self, id):
        keys = self.read("SELECT scope,key FROM records WHERE blob IN (SELECT bundle FROM members WHERE blob=?)", (id,))
        done = super().mark_lost(id)
        for row in keys:
            self.write("UPDATE records SET version=version+7 WHERE scope=? AND key=?", row)
        return done


class TestBringsBundlesBackAnew(Wrong):
    kind = BringsBundlesBackAnew
    caught_by = "test_the_version_before_comes_back"


FAULTS = [kind for name, kind in dict(globals()).items() if name.startswith("Test")]
