"""The catalog's promises on what scopes ask for; see :mod:`holdfast.testing.catalog_suite`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ..address import Path
from ..catalog.base import HEAD, Catalog, Change, Delete, Edit, Policy, Restore, ValueRow
from ..errors import InvalidArgumentError, InvalidScopeError, NotFoundError, QuotaExceededError
from ..hashing import NONE
from ..model import EPHEMERAL, RecordRow
from .catalog_cases import (
    FLOW,
    INTEGER,
    SPACE,
    blob_of,
    collected,
    data_of,
    file_put,
    fill_up,
    inline_put,
    put,
    put_file,
    record_of,
    versions,
    wait_past,
)  # fmt: skip

__all__ = ["HistoryTests", "LostHistoryTests", "QuotaTests"]

_Write = Callable[[Catalog, str], Any]


def _replace(catalog: Catalog, key: str) -> None:
    (row,) = catalog.find(FLOW, key)
    value = (None, None, NONE, None, 8, catalog.codec_id(INTEGER), None, None, 3)
    if catalog.replace(FLOW, key, value, row[1]) is None:
        catalog.commit([inline_put(catalog, key, b"3", if_version=row[1])])


_WRITES: dict[str, _Write] = {
    "put": lambda catalog, key: put(catalog, key, b"1"),
    "put with power": lambda catalog, key: put(catalog, key, 1, power=True),
    "add": lambda catalog, key: catalog.add(FLOW, key, 1, catalog.codec_id(INTEGER)),
    "replace": _replace,
    "commit": lambda catalog, key: catalog.commit([inline_put(catalog, key, b"2")]),
    "file": lambda catalog, key: put_file(catalog, key, b"3"),
    "restore": lambda catalog, key: catalog.commit([Restore(inline_put(catalog, key, b"4"), 1_000, 1.5, 2.5)]),
    "edit": lambda catalog, key: catalog.commit([Edit(FLOW, key, tags='{"a":"b"}')]),
    "delete": lambda catalog, key: catalog.commit([Delete(FLOW, key)]),
}
"""Every way to change a record that is there."""


def _past(catalog: Catalog, key: str, path: Path = FLOW) -> list[tuple[int, bytes | int | str | None]]:
    """The versions of a key that are kept, and their bytes or where these lie."""
    rows = [ValueRow._make(row[HEAD:]) for row in catalog.past(path, key)]
    return [(row.version, row.storage_config if row.data is None else row.data) for row in rows]


def _sweep(catalog: Catalog) -> None:
    while catalog.sweep():
        pass


class HistoryTests:
    """Versions that are kept."""

    def test_what_a_scope_asks_for(self, catalog: Catalog, other: Catalog) -> None:
        assert catalog.policy(FLOW) is None
        for policy in (Policy(3, 10, 1_000), Policy(0, None, 7), Policy(history=1), Policy(0, 0, 0), Policy(2**40)):
            catalog.set_policy(FLOW, policy)
            for each in (catalog, other):
                found = each.policy(FLOW)
                assert found is not None
                assert found[1:] == policy[1:]
                assert found.history == policy.history or found.history >= 10_000 < policy.history
        assert catalog.policy(SPACE) is None, "it holds for one scope"
        for nothing in (None, Policy()):
            other.set_policy(FLOW, Policy(1))
            catalog.set_policy(FLOW, nothing)
            assert other.policy(FLOW) is None
        for illegal in (Policy(-1), Policy(0, -1), Policy(0, None, -1), Policy(0, 2**63)):
            with pytest.raises(InvalidArgumentError):
                catalog.set_policy(FLOW, illegal)
        with pytest.raises(InvalidScopeError):
            catalog.set_policy((), Policy(1))
        assert catalog.scope(FLOW) is not None, "it is made"

    def test_a_policy_is_set_in_place_of_the_one_that_was_seen(self, catalog: Catalog, other: Catalog) -> None:
        """Not over what somebody else has set since."""
        assert catalog.set_policy(FLOW, Policy(2), Policy())
        assert not other.set_policy(FLOW, Policy(0, 5), Policy())
        assert not other.set_policy(FLOW, None, Policy(2, 1))
        assert catalog.policy(FLOW) == Policy(2)
        assert other.set_policy(FLOW, Policy(2, 5), Policy(2))
        assert other.set_policy(FLOW, None)
        assert catalog.policy(FLOW) is None

    @pytest.mark.parametrize("write", _WRITES)
    def test_what_is_replaced_is_kept_from_the_moment_it_is_asked_for(
        self, catalog: Catalog, other: Catalog, write: str
    ) -> None:
        """Also by a process that remembers the scope from before, whatever way it takes."""
        put(other, "key", 5, tags={"x": "y"})
        put(other, "other", b"same")
        assert catalog.past(FLOW, "key") == []
        catalog.set_policy(FLOW, Policy(history=3))
        before = list(other.entry(FLOW, "key"))
        _WRITES[write](other, "key")
        assert catalog.past(FLOW, "key") == before
        assert other.past(FLOW, "key") == before
        assert catalog.past(FLOW, "other") == catalog.past(SPACE, "key") == []
        catalog.set_policy(FLOW, None)
        assert other.past(FLOW, "key") == []
        put(other, "other", b"new")
        assert catalog.past(FLOW, "other") == []

    def test_the_newest_ones_are_kept(self, catalog: Catalog) -> None:
        catalog.set_policy(FLOW, Policy(history=2))
        rows = [put_file(catalog, "key", b"%d" % number, synced=True) for number in range(5)]
        assert _past(catalog, "key") == [(row.version, row.storage_config) for row in (rows[3], rows[2])]
        assert collected(catalog) == sorted(str(row.storage_config) for row in rows[:2])
        put(catalog, "key", b"6")
        put(catalog, "key", b"7")
        assert [data for _, data in _past(catalog, "key")] == [b"6", rows[4].storage_config]
        assert collected(catalog) == sorted(str(row.storage_config) for row in rows[2:4])

    def test_bytes_are_shared_with_what_is_kept(self, catalog: Catalog) -> None:
        catalog.set_policy(FLOW, Policy(history=1))
        first = put_file(catalog, "key", b"equal", synced=True)
        put(catalog, "key")
        assert put_file(catalog, "other", b"equal", synced=True).blob == first.blob
        (kept,) = catalog.past(FLOW, "key")
        back = inline_put(catalog, "key")._replace(data=None, blob=ValueRow._make(kept[HEAD:]).blob)
        catalog.commit([Delete(FLOW, "other"), back])
        assert data_of(catalog, "key") == first.storage_config
        assert collected(catalog) == []
        catalog.set_policy(FLOW, None)
        catalog.commit([Delete(FLOW, "key")])
        _sweep(catalog)
        assert collected(catalog) == [first.storage_config]

    def test_the_versions_of_a_deleted_key_stay(self, catalog: Catalog) -> None:
        catalog.set_policy(FLOW, Policy(history=3))
        given = [put(catalog, "key", b"%d" % number) for number in range(2)]
        catalog.commit([Delete(FLOW, "key")])
        assert [version for version, _ in _past(catalog, "key")] == given[::-1]
        given.append(put(catalog, "key"))
        assert given == sorted(set(given))
        put(catalog, "key")
        assert [version for version, _ in _past(catalog, "key")] == given[::-1]

    def test_keys_with_kept_versions_come_by_bytes_in_pages(self, catalog: Catalog) -> None:
        keys = ["A", "a", "a/b", "b", "é", "北"]
        for key in keys:
            put(catalog, key)
        catalog.set_policy(FLOW, Policy(history=3))
        put(catalog, "new")
        for key in keys:
            put(catalog, key)
            catalog.commit([Delete(FLOW, key)])
        found: list[str] = []
        while page := catalog.past_keys(FLOW, found[-1] + "\0" if found else "", None, 2):
            found += page
        assert found == sorted(keys, key=str.encode)
        assert catalog.past_keys(FLOW, "a", "b", 10) == ["a", "a/b"]
        catalog.set_policy(FLOW, Policy(max_records=5))
        assert catalog.past_keys(FLOW, "", None, 10) == []

    def test_what_expired_is_not_kept(self, catalog: Catalog) -> None:
        catalog.set_policy(FLOW, Policy(history=5))
        moment = catalog.now() + 1.0
        put(catalog, "kept", b"until then", expires=moment)
        put(catalog, "kept", b"now")
        put_file(catalog, "replaced", b"1", expires=moment)
        put_file(catalog, "swept", b"2", expires=moment)
        assert [data for _, data in _past(catalog, "kept")] == [b"until then"]
        assert catalog.past_keys(FLOW, "", None, 10) == ["kept"]
        wait_past(catalog, moment)
        assert catalog.past(FLOW, "kept") == []
        assert catalog.past_keys(FLOW, "", None, 10) == []
        put(catalog, "replaced")
        assert catalog.garbage_size()[0] == 2
        assert catalog.sweep() == 2
        assert catalog.past(FLOW, "replaced") == catalog.past(FLOW, "swept") == []
        assert len(collected(catalog)) == 2

    def test_what_is_ephemeral_is_not_kept(self, catalog: Catalog) -> None:
        catalog.set_policy(FLOW, Policy(history=5))
        first = put(catalog, "key", b"durable")
        for _ in range(2):
            catalog.commit([inline_put(catalog, "key", b"ephemeral", tier=EPHEMERAL)])
        assert catalog.past(FLOW, "key") == []
        catalog.commit([Delete(FLOW, "key")])
        assert _past(catalog, "key") == [(first, b"durable")]

    def test_several_versions_in_one_commit(self, catalog: Catalog) -> None:
        catalog.set_policy(FLOW, Policy(history=5))
        put(catalog, "key", b"0")
        done = catalog.commit([inline_put(catalog, "key", b"1"), Delete(FLOW, "key"), inline_put(catalog, "key", b"2")])
        assert [data for _, data in _past(catalog, "key")] == [b"1", b"0"]
        assert done[0].row is not None
        assert _past(catalog, "key")[0][0] == done[0].row.version
        with pytest.raises(NotFoundError):
            catalog.commit([inline_put(catalog, "key", b"3"), Delete(FLOW, "no such")])
        assert [data for _, data in _past(catalog, "key")] == [b"1", b"0"]

    def test_a_drop_lets_all_of_it_go(self, catalog: Catalog, other: Catalog) -> None:
        catalog.set_policy(FLOW, Policy(history=5, max_records=1))
        row = put_file(other, "key")
        put(other, "key")
        other.drop_scope(SPACE)
        assert catalog.past(FLOW, "key") == []
        assert catalog.policy(FLOW) is None
        put(catalog, "key")
        put(catalog, "other")
        assert catalog.past(FLOW, "key") == []
        assert catalog.garbage_size()[0] == 2
        assert catalog.sweep() == 2
        assert catalog.sweep() == 0
        assert collected(catalog) == [row.storage_config]

    def test_a_renamed_scope_keeps_it(self, catalog: Catalog, other: Catalog) -> None:
        new = (*SPACE, ("workflow", "new"))
        put(catalog, "key", path=new)
        catalog.drop_scope(new)
        other.set_policy(FLOW, Policy(history=5, max_records=1))
        for number in range(3):
            put(catalog, "key", b"%d" % number)
        other.rename_scope(FLOW, "new")
        assert catalog.policy(new) == Policy(5, 1)
        assert catalog.policy(FLOW) is None
        assert catalog.past(FLOW, "key") == []
        put(catalog, "key", b"3", path=new)
        found = _past(catalog, "key", new)
        assert [data for _, data in found] == [b"2", b"1", b"0"]
        assert [*versions(catalog, "key", new), *(version for version, _ in found)] == sorted(
            {*versions(catalog, "key", new), *(version for version, _ in found)}, reverse=True
        )
        with pytest.raises(QuotaExceededError):
            put(catalog, "other", path=new)

    def test_a_shorter_history(self, catalog: Catalog, other: Catalog) -> None:
        catalog.set_policy(FLOW, Policy(history=5))
        for key in ("a", "b", "c"):
            for number in range(4):
                put_file(catalog, key, b"%s%d" % (key.encode(), number), synced=True)
        catalog.set_policy(FLOW, Policy(history=2))
        assert [len(other.past(FLOW, key)) for key in "abc"] == [2, 2, 2]
        put(catalog, "c")
        assert catalog.garbage_size()[:2] == (2, 4), "of c there are no more than are wanted"
        assert [catalog.sweep(1) for _ in range(3)] == [1, 1, 0]
        assert len(collected(catalog)) == 4
        assert [len(other.past(FLOW, key)) for key in "abc"] == [2, 2, 2]
        catalog.set_policy(FLOW, None)
        assert other.past(FLOW, "a") == []
        catalog.set_policy(FLOW, Policy(history=5))
        assert other.past(FLOW, "a") == [], "what was let go came back"
        assert len(collected(catalog)) == 6

    def test_versions_that_come_from_elsewhere(self, catalog: Catalog) -> None:
        def past(version: int, data: bytes = b"old", key: str = "key") -> bool:
            change = file_put(catalog, key, data + b"%d" % version, synced=True)
            (done,) = catalog.commit([Restore(change, version, 1.5, 2.5, past=True)])
            assert done.taken == (done.row is not None)
            if done.row is not None:
                assert done.row in [RecordRow._make(row[:HEAD]) for row in catalog.past(FLOW, key)]
                assert (done.row.version, done.row.created, done.row.updated) == (version, 1.5, 2.5)
            return done.row is not None

        put(catalog, "key", b"new")
        assert not past(500), "history was not asked for"
        catalog.set_policy(FLOW, Policy(history=3))
        catalog.commit([Restore(inline_put(catalog, "key", b"new"), 600, 1.5, 2.5)])
        assert not past(600), "that is the record"
        assert past(500)
        assert past(400)
        assert not past(400), "it is there"
        assert past(300)
        assert not past(200), "there are three newer ones"
        assert [version for version, _ in _past(catalog, "key")] == [500, 400, 300]
        assert past(70_000, key="gone")
        assert len(catalog.find(FLOW, "gone")) == 0
        assert put(catalog, "gone") > 70_000
        assert put(catalog, "key") > 600
        assert [version for version, _ in _past(catalog, "key")] == [600, 500, 400]
        places = [place for _, place in _past(catalog, "key")[1:] + _past(catalog, "gone")]
        assert len(collected(catalog)) == 1
        catalog.set_policy(FLOW, None)
        _sweep(catalog)
        assert collected(catalog) == sorted(map(str, places))

    def test_a_version_that_a_copy_makes_the_record_again_is_not_kept_twice(self, catalog: Catalog) -> None:
        catalog.set_policy(FLOW, Policy(history=3))
        first, second = put(catalog, "key", b"1"), put(catalog, "key", b"2")
        catalog.commit([Delete(FLOW, "key")])
        assert [version for version, _ in _past(catalog, "key")] == [second, first]
        catalog.commit([Restore(inline_put(catalog, "key", b"2"), second, 1.5, 2.5)])
        assert [version for version, _ in _past(catalog, "key")] == [first]
        put(catalog, "key")
        assert [version for version, _ in _past(catalog, "key")] == [second, first]


class LostHistoryTests:
    """Kept versions after a power cut."""

    def test_a_version_that_is_the_record_again_is_not_kept_twice(self, catalog: Catalog) -> None:
        catalog.set_policy(FLOW, Policy(history=5))
        rows = [put_file(catalog, "key", b"%d" % number, synced=number == 0) for number in range(3)]
        assert [version for version, _ in _past(catalog, "key")] == [rows[1].version, rows[0].version]
        assert catalog.mark_lost(blob_of(rows[2])) == 1
        assert versions(catalog, "key") == [rows[1].version]
        assert [version for version, _ in _past(catalog, "key")] == [rows[0].version]
        assert catalog.mark_lost(blob_of(rows[1])) == 1
        assert versions(catalog, "key") == [rows[0].version]
        assert catalog.past(FLOW, "key") == []
        assert put(catalog, "key") > rows[2].version
        assert [version for version, _ in _past(catalog, "key")] == [rows[0].version]
        assert collected(catalog) == sorted(str(row.storage_config) for row in rows[1:])

    def test_lost_bytes_are_kept_nowhere(self, catalog: Catalog) -> None:
        catalog.set_policy(FLOW, Policy(history=5))
        lost = put_file(catalog, "key", b"lost")
        put(catalog, "key", b"middle")
        put(catalog, "key", b"now")
        alone = put_file(catalog, "alone", b"also lost")
        assert [blob.id for blob in catalog.unsynced(boot=str(lost.boot), earlier=False)] == [lost.blob, alone.blob]
        assert catalog.mark_lost(blob_of(lost)) == 0
        assert catalog.mark_lost(blob_of(alone)) == 1
        assert [data for _, data in _past(catalog, "key")] == [b"middle"]
        assert catalog.past(FLOW, "alone") == [], "a record without bytes became a version"
        assert catalog.find(FLOW, "alone") == [] or not list(catalog.find(FLOW, "alone"))

    def test_lost_bytes_are_counted(self, catalog: Catalog) -> None:
        policy = Policy(1, 4, 100)
        catalog.set_policy(FLOW, policy)
        put_file(catalog, "back", b"x" * 10, synced=True)
        back, gone = put_file(catalog, "back", b"y" * 50), put_file(catalog, "gone", b"z" * 20)
        catalog.mark_lost(blob_of(back))
        catalog.mark_lost(blob_of(gone))
        assert catalog.usage(FLOW).size == 10
        fill_up(catalog, policy)


def _expiring(catalog: Catalog, moment: float) -> list[Change]:
    return [inline_put(catalog, f"old{number}", b"12345", expires=moment) for number in range(3)]


class QuotaTests:
    """Limits on records and bytes."""

    @pytest.mark.parametrize("write", [name for name in _WRITES if name not in ("edit", "delete")])
    def test_a_full_scope_takes_no_more(self, catalog: Catalog, other: Catalog, write: str) -> None:
        """Also from a process that remembers the scope from before, whatever way it takes."""
        put(other, "key", 5)
        catalog.codec_id(INTEGER)
        catalog.set_policy(FLOW, Policy(max_records=1))
        if write != "replace":
            with pytest.raises(QuotaExceededError, match=r"namespace:prod/workflow:forecast may have 1 records.* 2"):
                _WRITES[write](other, "new")
        _WRITES[write](other, "key")
        assert catalog.keys(FLOW, "", None, 10) == ["key"]
        catalog.set_policy(FLOW, None)
        put(other, "new")

    def test_a_full_scope_takes_no_more_bytes(self, catalog: Catalog) -> None:
        catalog.set_policy(FLOW, Policy(max_bytes=10))
        put(catalog, "a", b"123456")
        put(catalog, "b", b"1234")
        for change in (inline_put(catalog, "a", b"1234567"), inline_put(catalog, "c", b"1"), file_put(catalog, "c")):
            with pytest.raises(QuotaExceededError, match=r"may have 10 bytes, and would have 1[14]: .*max_bytes"):
                catalog.commit([inline_put(catalog, "b", b"4321"), change])
        assert data_of(catalog, "b") == b"1234", "half of it was made"
        put(catalog, "a", b"654321")
        put(catalog, "a", b"1")
        put(catalog, "a", b"12345")
        put(catalog, "empty", b"")
        catalog.commit([Delete(FLOW, "b")])
        put_file(catalog, "c", b"12345")
        assert catalog.usage(FLOW).size == 10

    def test_a_quota_below_what_is_there(self, catalog: Catalog) -> None:
        for key in "abc":
            put(catalog, key, b"12345")
        catalog.set_policy(FLOW, Policy(0, 1, 7))
        put(catalog, "a", b"54321")
        put(catalog, "a", b"5432")
        catalog.commit([Edit(FLOW, "a", tags='{"a":"b"}')])
        for change in (inline_put(catalog, "a", b"54321"), inline_put(catalog, "d", b"")):
            with pytest.raises(QuotaExceededError):
                catalog.commit([change])
        catalog.commit([Delete(FLOW, "b")])
        with pytest.raises(QuotaExceededError):
            put(catalog, "b", b"")
        catalog.commit([Delete(FLOW, "c"), Delete(FLOW, "a")])
        put(catalog, "b", b"1234567")

    def test_what_one_commit_comes_to_counts(self, catalog: Catalog) -> None:
        elsewhere = (("namespace", "elsewhere"),)
        catalog.set_policy(FLOW, Policy(0, 2, 10))
        catalog.set_policy(elsewhere, Policy(0, 1))
        first: list[Change] = [inline_put(catalog, "a", b"12345"), inline_put(catalog, "b", b"12345")]
        catalog.commit([*first, inline_put(catalog, "a", b"", path=elsewhere)])
        catalog.commit([inline_put(catalog, "c", b"12345"), Delete(FLOW, "a")])
        catalog.commit([Delete(FLOW, "b"), inline_put(catalog, "b", b"54321"), inline_put(catalog, "b", b"123")])
        with pytest.raises(QuotaExceededError, match="namespace:elsewhere"):
            catalog.commit([Delete(FLOW, "b"), inline_put(catalog, "d", b"", path=elsewhere)])
        with pytest.raises(QuotaExceededError, match=r"forecast may have 2 records, and would have 3"):
            catalog.commit([Delete(elsewhere, "a"), inline_put(catalog, "d", b"")])
        assert data_of(catalog, "b") == b"123"
        assert data_of(catalog, "a", elsewhere) == b""

    def test_what_expired_makes_room(self, catalog: Catalog) -> None:
        policy = Policy(1, 4, 20)
        catalog.set_policy(FLOW, policy)
        moment = catalog.now() + 1.0
        catalog.commit([*_expiring(catalog, moment), inline_put(catalog, "a", b"1")])
        with pytest.raises(QuotaExceededError):
            put(catalog, "b", b"1")
        wait_past(catalog, moment)
        put(catalog, "b", b"1")
        fill_up(catalog, policy)

    def test_what_expired_is_swept_and_no_longer_counts(self, catalog: Catalog) -> None:
        policy = Policy(0, 6, 40)
        catalog.set_policy(FLOW, policy)
        moment = catalog.now() + 0.02
        catalog.commit([*_expiring(catalog, moment), *_expiring(catalog, moment)])
        put(catalog, "elsewhere", path=SPACE, expires=moment)
        wait_past(catalog, moment)
        put(catalog, "old1", b"again")
        assert catalog.sweep() == 3
        fill_up(catalog, policy)

    def test_all_that_changes_a_scope_is_counted(self, catalog: Catalog, other: Catalog) -> None:
        policy = Policy(2, 12, 300)
        for key in "abcd":
            put(catalog, key, b"before")
        catalog.set_policy(FLOW, policy)
        put_file(catalog, "a", b"x" * 90)
        put(other, "b", b"1")
        other.add(FLOW, "n", 1, other.codec_id(INTEGER))
        catalog.commit([inline_put(catalog, "a", b"e" * 30, tier=EPHEMERAL), Edit(FLOW, "b", tags='{"x":"y"}')])
        other.commit([Delete(FLOW, "c"), Restore(inline_put(other, "e", b"12345"), 900, 1.5, 2.5)])
        other.commit([Restore(inline_put(other, "e", b"123456789"), 899, 1.5, 2.5)])
        catalog.commit([Restore(inline_put(catalog, "e", b"12"), 898, 1.5, 2.5, past=True), Delete(FLOW, "a")])
        moved = bytes(catalog.find(FLOW, "e")[0][9])
        copy = inline_put(catalog, "f", moved)
        catalog.commit([copy, Delete(FLOW, "d")])
        other.rename_scope(FLOW, "renamed")
        new = (*SPACE, ("workflow", "renamed"))
        put(catalog, "b", b"12345", path=new)
        assert catalog.usage(new).records == 4
        fill_up(catalog, policy, new)
        assert record_of(catalog, "b", new).size == 5
