"""The catalog's promises on records of several pieces of bytes; see :mod:`holdfast.testing.catalog_suite`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from ..catalog.base import (
    BUNDLE,
    HEAD,
    Catalog,
    Delete,
    Edit,
    Member,
    NewBlob,
    Policy,
    Put,
    Restore,
    ValueRow,
    WriteAgain,
)
from ..errors import ConflictError, HoldfastError, InvalidArgumentError
from .catalog_cases import (
    BOOT,
    FLOW,
    blob_of,
    bundle_put,
    collected,
    data_of,
    file_put,
    inline_put,
    members_of,
    put,
    put_bundle,
    put_file,
    record_of,
    sweep_all,
    wait_past,
)  # fmt: skip

__all__ = ["BundleTests", "LostMemberTests", "MemberSyncTests"]


def _bundle(catalog: Catalog, key: str) -> int:
    return blob_of(ValueRow._make(catalog.find(FLOW, key)[0]))


def _copy(catalog: Catalog, key: str, to: str) -> Put:
    row = ValueRow._make(catalog.find(FLOW, key)[0])
    return Put(FLOW, to, row.codec, row.algorithm, row.digest, row.size, row.data, row.blob, row.config)


def _expire(catalog: Catalog) -> None:
    moment = catalog.now() + 0.01
    catalog.commit([Edit(FLOW, "key", expires=moment)])
    wait_past(catalog, moment)


_WAYS: dict[str, Callable[[Catalog], Any]] = {
    "delete": lambda catalog: catalog.commit([Delete(FLOW, "key")]),
    "inline": lambda catalog: put(catalog, "key"),
    "file": lambda catalog: put_file(catalog, "key", b"other", synced=True),
    "bundle": lambda catalog: put_bundle(catalog, "key", b"other", synced=True),
    "restore": lambda catalog: catalog.commit([Restore(inline_put(catalog, "key"), 10**6, 1.5, 2.5)]),
    "expire": _expire,
    "drop": lambda catalog: catalog.drop_scope(FLOW),
}
"""What lets go of the record under ``key``, by name."""


class BundleTests:
    """Members: taken together, kept as long as a record needs them, and not a moment less."""

    def test_several_pieces_are_there_as_they_were_put(self, catalog: Catalog, other: Catalog) -> None:
        change = bundle_put(catalog, "key", b"one", b"second", data=b"small", places=('"p0"', '"p1"'), config='{"a":1}')
        (done,) = catalog.commit([change])
        assert done.members == (True, True)
        assert done.row == record_of(other, "key")
        row = ValueRow._make(other.find(FLOW, "key")[0])
        assert (row.data, row.config, row.size, row.storage, row.synced) == (b"small", '{"a":1}', 14, BUNDLE, 0)
        found = other.members(blob_of(row))
        assert [(one.n, one.storage_config, one.size) for one in found] == [(0, '"p0"', 3), (1, '"p1"', 6)]
        for one, member in zip(found, change.members, strict=True):
            assert (one.algorithm, one.digest, one.storage) == (member.algorithm, member.digest, _new(member).storage)
            assert one[7:] == (0, BOOT, 1, 2, 3, 4)
        file = put_file(catalog, "file")
        assert catalog.members(blob_of(file)) == catalog.members(987654321) == catalog.members(found[0].blob) == []
        assert catalog.usage(FLOW).size == 18

    def test_equal_members_are_kept_once(self, catalog: Catalog) -> None:
        file = put_file(catalog, "file", b"equal")
        (done,) = catalog.commit([bundle_put(catalog, "key", b"equal", b"own", b"own")])
        assert done.members == (False, True, False)
        members = members_of(catalog, "key")
        assert [one.blob for one in members] == [file.blob, members[1].blob, members[1].blob]
        catalog.commit([Delete(FLOW, "file")])
        sweep_all(catalog)
        assert collected(catalog) == []
        catalog.commit([file_put(catalog, "again", b"own"), Delete(FLOW, "key")])
        assert catalog.garbage_size() == (0, 1, 5)
        sweep_all(catalog)
        assert collected(catalog) == [file.storage_config]
        assert data_of(catalog, "again") == members[1].storage_config

    @pytest.mark.parametrize("way", _WAYS)
    def test_members_go_with_their_last_record(self, catalog: Catalog, way: str) -> None:
        members, expired = put_bundle(catalog, "key", b"one", b"second", synced=True), way in ("expire", "drop")
        bundle = _bundle(catalog, "key")
        catalog.commit([_copy(catalog, "key", "copy")])
        _WAYS[way](catalog)
        if way != "drop":
            assert catalog.garbage_size() == (expired, 0, 0)
            sweep_all(catalog)
            assert collected(catalog) == [], "the copy has them still"
            assert members_of(catalog, "copy") == members
            catalog.commit([Delete(FLOW, "copy")])
            assert catalog.garbage_size() == (0, 2, 9)
        else:
            assert catalog.garbage_size() == (2, 2, 9)
        sweep_all(catalog)
        assert catalog.garbage_size() == (0, 2, 9)
        assert catalog.members(bundle) == []
        blobs = catalog.garbage()
        assert [blob.id for blob in blobs] == [one.blob for one in members]
        catalog.forget([blob.id for blob in blobs])
        assert catalog.garbage() == []
        with pytest.raises(ConflictError):
            catalog.commit([inline_put(catalog, "late")._replace(blob=bundle)])

    def test_many_are_swept_in_small_commits(self, catalog: Catalog) -> None:
        for number in range(7):
            put_bundle(catalog, f"key{number}", b"%d" % number, b"shared by all", synced=True)
        catalog.commit([Delete(FLOW, f"key{number}") for number in range(6)])
        assert catalog.garbage_size() == (0, 6, 6)
        assert catalog.sweep(2) == 0, "no record was left to be removed"
        assert len(collected(catalog)) == 6
        assert len(members_of(catalog, "key6")) == 2

    def test_a_member_that_another_bundle_has(self, catalog: Catalog) -> None:
        first = put_bundle(catalog, "one", b"shared", b"own", synced=True)
        shared = Member(first[0].blob, first[0].algorithm, first[0].digest, first[0].size)
        change = bundle_put(catalog, "two", b"new", synced=True)
        both = change._replace(size=change.size + shared.size, members=(*change.members, shared))
        (done,) = catalog.commit([both])
        assert done.members == (True, True)
        assert done.row is not None
        assert done.row.synced
        assert members_of(catalog, "two")[1][1:] == first[0][1:]
        catalog.commit([Delete(FLOW, "one")])
        sweep_all(catalog)
        assert collected(catalog) == [first[1].storage_config]

    def test_old_versions_keep_their_members(self, catalog: Catalog) -> None:
        catalog.set_policy(FLOW, Policy(history=1))
        places = [[one.storage_config for one in put_bundle(catalog, "key", b"%d" % n, b"x%d" % n)] for n in range(3)]
        catalog.mark_synced([one.blob for one in members_of(catalog, "key")])
        sweep_all(catalog)
        assert collected(catalog) == sorted(places[0])
        (kept,) = catalog.past(FLOW, "key")
        row = ValueRow._make(kept[HEAD:])
        assert [one.storage_config for one in catalog.members(blob_of(row))] == places[1]
        restored = bundle_put(catalog, "gone", b"from elsewhere", synced=True)
        (done,) = catalog.commit([Restore(restored, 3, 1.5, 2.5, past=True)])
        assert done.members == (True,)
        catalog.set_policy(FLOW, None)
        sweep_all(catalog)
        assert collected(catalog) == sorted([*places[1], _new(restored.members[0]).config])

    def test_a_copy_of_another_catalogs_record(self, catalog: Catalog) -> None:
        (done,) = catalog.commit([Restore(bundle_put(catalog, "key", b"one", b"two"), 7, 1.5, 2.5)])
        assert done.row is not None
        assert (done.row.version, done.members) == (7, (True, True))
        (done,) = catalog.commit([Restore(bundle_put(catalog, "key", b"one", b"two"), 7, 1.5, 2.5)])
        assert (done.row, done.taken, any(done.members)) == (None, False, False)
        assert len(members_of(catalog, "key")) == 2

    def test_all_members_or_nothing(self, catalog: Catalog) -> None:
        put_file(catalog, "file", b"others", place='"p1"')
        change = bundle_put(catalog, "key", b"one", b"second", b"third", places=('"p0"', '"p1"', '"p2"'))
        with pytest.raises(HoldfastError):
            catalog.commit([change])
        assert catalog.known(_new(change.members[0]).storage, ['"p0"', '"p1"', '"p2"']) == {'"p1"'}
        assert list(catalog.find(FLOW, "key")) == []
        assert catalog.garbage() == []
        with pytest.raises(InvalidArgumentError):
            catalog.commit([change._replace(blob=blob_of(put_file(catalog, "file", b"more")))])

    def test_members_at_a_place_that_was_collected_are_to_be_written_again(self, catalog: Catalog) -> None:
        def change() -> Put:
            made = bundle_put(catalog, "key", b"one", b"two", places=('"p0"', '"p1"'), synced=True)
            since = catalog.begin()
            return made._replace(members=tuple([member._replace(since=since) for member in made.members]))

        early = change()
        catalog.commit([change()])
        catalog.commit([Delete(FLOW, "key")])
        sweep_all(catalog)
        catalog.vacate([blob.id for blob in catalog.garbage()])
        with pytest.raises(WriteAgain):
            catalog.commit([early])
        catalog.commit([change()])
        assert [one.storage_config for one in members_of(catalog, "key")] == ['"p0"', '"p1"']

    def test_bundles_beside_the_collector(self, catalog: Catalog) -> None:
        """A storm of records with a few equal members, put, copied and deleted, while all that is not needed goes."""
        stop, failures = threading.Event(), []
        gone: set[int] = set()

        def collect() -> None:
            try:
                while not stop.is_set():
                    catalog.sweep(3)
                    blobs = catalog.garbage(5)
                    gone.update(blob.id for blob in blobs)
                    catalog.forget([blob.id for blob in blobs])
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=collect)
        thread.start()
        try:
            for turn in range(60):
                put_bundle(catalog, f"k{turn % 3}", b"%d" % (turn % 2), b"x%d" % (turn % 5), synced=bool(turn % 4))
                catalog.commit([_copy(catalog, f"k{turn % 3}", "copy")])
                if turn % 7 == 6:
                    catalog.commit([Delete(FLOW, "copy")])
                for key in ("k0", "k1", "k2"):
                    if catalog.find(FLOW, key):
                        members = [one.blob for one in members_of(catalog, key)]
                        assert len(members) == 2, "a record's members are gone"
                        assert not gone.intersection(members), "a record names bytes that were collected"
        finally:
            stop.set()
            thread.join()
        assert failures == [], failures


def _new(member: Member) -> NewBlob:
    assert isinstance(member.blob, NewBlob)
    return member.blob


class MemberSyncTests:
    """A bundle is on disk when all that it holds is."""

    def test_a_bundle_is_synced_with_its_last_member(self, catalog: Catalog) -> None:
        old = put_file(catalog, "key", b"old", synced=True)
        members = put_bundle(catalog, "key", b"one", b"two", b"three")
        blobs = catalog.unsynced(boot=BOOT, earlier=False)
        assert [blob.id for blob in blobs] == [one.blob for one in members]
        assert catalog.unsynced(boot="another", earlier=True) == blobs
        catalog.commit([_copy(catalog, "key", "copy")])
        for one in members[:2]:
            catalog.mark_synced([one.blob])
            assert collected(catalog) == []
            assert not record_of(catalog, "key").synced
        catalog.trust(members[2].blob, NewBlob(members[2].storage, members[2].storage_config, True, BOOT))
        assert record_of(catalog, "key").synced
        assert record_of(catalog, "copy").synced
        assert [one.synced for one in members_of(catalog, "key")] == [1, 1, 1]
        assert collected(catalog) == [old.storage_config], "what was kept is let go"
        assert catalog.unsynced(boot="another", earlier=True) == []

    def test_all_at_once(self, catalog: Catalog) -> None:
        members = [*put_bundle(catalog, "one", b"1", b"both"), *put_bundle(catalog, "two", b"both", b"2")]
        catalog.mark_synced([one.blob for one in members])
        assert record_of(catalog, "one").synced
        assert record_of(catalog, "two").synced

    def test_what_is_on_disk_when_it_is_put(self, catalog: Catalog) -> None:
        put_bundle(catalog, "key", b"one", b"two", synced=True)
        assert record_of(catalog, "key").synced
        put_bundle(catalog, "equal", b"one", b"two")
        assert record_of(catalog, "equal").synced, "synced ones stand in"
        put_bundle(catalog, "partly", b"one", b"three")
        assert not record_of(catalog, "partly").synced
        put_bundle(catalog, "fresh", b"three", synced=True)
        assert record_of(catalog, "fresh").synced, "others that may be lost are no substitute"

    def test_what_they_replaced_is_kept_until_then(self, catalog: Catalog) -> None:
        rows = [put_bundle(catalog, "key", b"1", b"a", synced=True)]
        rows += [put_bundle(catalog, "key", b"%d" % number, b"a%d" % number) for number in (2, 3)]
        places = [sorted(one.storage_config for one in members) for members in rows]
        sweep_all(catalog)
        assert collected(catalog) == []
        catalog.mark_synced([one.blob for one in rows[1]])
        sweep_all(catalog)
        assert collected(catalog) == places[0]
        put(catalog, "key", b"inline")
        sweep_all(catalog)
        assert collected(catalog) == sorted(places[1] + places[2])

    def test_two_that_sync_the_last_members_at_once(self, catalog: Catalog, other: Catalog) -> None:
        for turn in range(10):
            members = put_bundle(catalog, f"key{turn}", b"1-%d" % turn, b"2-%d" % turn)
            start = threading.Barrier(2)

            def work(mine: Catalog, blob: int, start: threading.Barrier = start) -> None:
                start.wait()
                mine.mark_synced([blob])

            pairs = zip((catalog, other), members, strict=True)
            threads = [threading.Thread(target=work, args=(mine, one.blob)) for mine, one in pairs]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert record_of(catalog, f"key{turn}").synced


class LostMemberTests:
    """With one of its members a bundle is lost."""

    def test_the_version_before_comes_back(self, catalog: Catalog) -> None:
        first = put_bundle(catalog, "key", b"1", b"a", synced=True)
        version = record_of(catalog, "key").version
        second = put_bundle(catalog, "key", b"2", b"b")
        lost = record_of(catalog, "key").version
        catalog.mark_synced([second[0].blob])
        assert catalog.mark_lost(second[1].blob) == 1
        assert (members_of(catalog, "key"), record_of(catalog, "key").version) == (first, version)
        sweep_all(catalog)
        assert collected(catalog) == sorted(one.storage_config for one in second)
        assert put(catalog, "key") > lost

    def test_all_that_need_it_are_touched_and_no_others(self, catalog: Catalog) -> None:
        put(catalog, "inline", b"before")
        shared = put_bundle(catalog, "inline", b"shared", b"own")[0]
        catalog.commit([_copy(catalog, "inline", "copy")])
        put_bundle(catalog, "second", b"other", b"shared")
        put_file(catalog, "file", b"shared")
        apart = put_bundle(catalog, "apart", b"other", b"own")
        assert catalog.mark_lost(shared.blob) == 4
        assert data_of(catalog, "inline") == b"before"
        assert [list(catalog.find(FLOW, key)) for key in ("copy", "second", "file")] == [[], [], []]
        assert members_of(catalog, "apart") == apart
        sweep_all(catalog)
        assert collected(catalog) == [shared.storage_config]
        (done,) = catalog.commit([bundle_put(catalog, "anew", b"shared", b"own")])
        assert done.members == (True, False), "lost bytes stand in for nothing"

    def test_kept_and_old_versions_are_lost_with_it(self, catalog: Catalog) -> None:
        catalog.set_policy(FLOW, Policy(history=5))
        put(catalog, "key", b"first")
        lost = put_bundle(catalog, "key", b"1", b"a")
        put_bundle(catalog, "key", b"2", b"b")
        assert catalog.mark_lost(lost[0].blob) == 0
        assert len(catalog.past(FLOW, "key")) == 1
        assert catalog.mark_lost(members_of(catalog, "key")[1].blob) == 1
        assert data_of(catalog, "key") == b"first"
        assert catalog.past(FLOW, "key") == []
        assert catalog.mark_lost(lost[0].blob) == 0, "twice is once"
