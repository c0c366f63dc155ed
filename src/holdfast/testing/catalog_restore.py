"""The catalog's promises on records that are copied from other catalogs; see :mod:`holdfast.testing.catalog_suite`."""

from __future__ import annotations

import pytest

from ..catalog.base import ABSENT, HIGHEST, Catalog, Delete, Edit, Expect, Put, Restore
from ..errors import ConflictError, ExistsError, InvalidArgumentError, InvalidScopeError
from ..model import DURABLE, EPHEMERAL, POWER, RecordRow
from .catalog_cases import (
    FLOW,
    SPACE,
    data_of,
    file_put,
    inline_put,
    put,
    put_file,
    record_of,
    versions,
    wait_past,
)  # fmt: skip

__all__ = ["RestoreTests"]


def _restored(catalog: Catalog, change: Put, version: int, created: float = 1.5, updated: float = 2.5) -> bool:
    """Commit a copy; gives whether it was made."""
    (done,) = catalog.commit([Restore(change, version, created, updated)])
    if done.row is None:
        assert not done.taken
        return False
    assert done.row.version == version
    return True


class RestoreTests:
    """``Restore``: equal records, never back, and higher versions from there on."""

    def test_a_copy_is_equal_to_the_record(self, catalog: Catalog, other: Catalog) -> None:
        put(catalog, "replaced", b"old")
        changes = [
            inline_put(catalog, "small", b"one", tags='{"a":"b"}', expires=4e9),
            inline_put(catalog, "replaced", b"new"),
            file_put(catalog, "file", b"two", place='"p1"', synced=True),
            file_put(catalog, "same bytes", b"two", place='"p2"'),
            inline_put(catalog, "ephemeral", b"three", tier=EPHEMERAL, session="memory s"),
            inline_put(catalog, "number")._replace(data=7, size=8, digest=None, algorithm=0),
        ]
        done = catalog.commit(
            [Restore(change, 70 + place, 100.25, 200.5, POWER) for place, change in enumerate(changes)]
        )
        assert [each.taken for each in done] == [True, True, True, False, True, True]
        for place, (change, each) in enumerate(zip(changes, done, strict=True)):
            row = record_of(other, change.key)
            assert each.row == row
            assert (row.version, row.created, row.updated, row.flags) == (70 + place, 100.25, 200.5, POWER)
            same = ("tier", "expires", "tags", "session", "algorithm", "digest", "size", "codec", "config")
            assert all(getattr(row, name) == getattr(change, name) for name in same)
        assert [data_of(other, change.key) for change in changes] == [b"one", b"new", '"p1"', '"p1"', b"three", 7]

    def test_versions_after_a_copy_are_higher(self, catalog: Catalog, other: Catalog) -> None:
        codec = catalog.codec_id(catalog.codec(inline_put(other, "x").codec))
        for version in (1, 5_000, 40_000_000, HIGHEST):
            assert _restored(catalog, inline_put(catalog, "key", b"%d" % version), version)
            (done,) = other.commit([Edit(FLOW, "key", codec=codec)])
            assert done.row is not None
            given = [version, done.row.version]
            given += [put(catalog, "key"), put(other, "key", power=True), put_file(catalog, "key").version]
            other.commit([Delete(FLOW, "key")])
            given.append(put(catalog, "key"))
            catalog.drop_scope(FLOW)
            given.append(put(other, "key"))
            assert given == sorted(set(given))
            other.drop_scope(FLOW)
            while other.sweep():
                pass

    def test_versions_after_the_drop_of_a_copy_are_higher(self, catalog: Catalog, other: Catalog) -> None:
        for version in (5_000, 200_000):
            assert _restored(catalog, inline_put(catalog, "key"), version)
            catalog.drop_scope(SPACE)
            assert put(other, "key") > version
            assert _restored(other, inline_put(other, "other"), version + 50_000)
            other.commit([Delete(FLOW, "other")])
            assert put(catalog, "other") > version + 50_000

    def test_a_copy_never_goes_back(self, catalog: Catalog) -> None:
        for version in (10, 20):
            assert _restored(catalog, inline_put(catalog, "key", b"%d" % version), version)
        before = catalog.entry(FLOW, "key")
        for version in (20, 19, 1):
            assert not _restored(catalog, inline_put(catalog, "key", b"late"), version)
            assert not _restored(catalog, inline_put(catalog, "key", b"late", tier=EPHEMERAL), version)
            assert not _restored(catalog, file_put(catalog, "key", b"late", place='"late"'), version)
        assert catalog.entry(FLOW, "key") == before
        assert catalog.known(catalog.storage_id("test.files@v1", "files"), ['"late"']) == set()
        assert _restored(catalog, inline_put(catalog, "key", b"21", tier=EPHEMERAL), 21)
        assert not _restored(catalog, inline_put(catalog, "key", b"21"), 21)
        assert data_of(catalog, "key") == b"21"
        catalog.commit([Delete(FLOW, "key", EPHEMERAL)])
        assert versions(catalog, "key") == [20]

    def test_a_copy_does_not_take_the_place_of_an_expired_one_that_is_newer(self, catalog: Catalog) -> None:
        moment = catalog.now() + 0.02
        assert _restored(catalog, inline_put(catalog, "key", expires=moment), 9)
        wait_past(catalog, moment)
        assert not _restored(catalog, inline_put(catalog, "key"), 8)
        assert _restored(catalog, inline_put(catalog, "key", b"new"), 10, created=1.0)
        assert record_of(catalog, "key").created == 1.0

    def test_a_copy_brings_back_what_was_deleted(self, catalog: Catalog) -> None:
        put(catalog, "other")
        assert _restored(catalog, inline_put(catalog, "key", b"first"), 3)
        assert _restored(catalog, inline_put(catalog, "other"), 8)
        catalog.commit([Delete(FLOW, "other"), Delete(FLOW, "key")])
        assert _restored(catalog, inline_put(catalog, "key", b"again"), 3)
        assert data_of(catalog, "key") == b"again"
        assert put(catalog, "key") > 8, "versions that are given grow through it all"
        catalog.drop_scope(SPACE)
        assert _restored(catalog, inline_put(catalog, "key", b"once more"), 2)
        assert put(catalog, "key") > 8

    def test_a_copy_is_one_change_of_several(self, catalog: Catalog) -> None:
        first = put(catalog, "mine", b"1")
        copy = Restore(inline_put(catalog, "copy", b"2"), 50, 1.5, 2.5)
        with pytest.raises(ConflictError):
            catalog.commit([copy, Expect(FLOW, "mine", first + 1)])
        assert data_of(catalog, "copy") is None
        done = catalog.commit(
            [
                copy, inline_put(catalog, "copy", b"3", if_version=50), Expect(FLOW, "mine", first), copy,
                Delete(FLOW, "mine"), Restore(inline_put(catalog, "mine", b"4"), first, 1.5, 2.5),
            ]
        )  # fmt: skip
        assert [each.row is None for each in done] == [False, False, True, True, False, False]
        assert isinstance(done[1].row, RecordRow)
        assert done[1].row.version > 50
        assert (data_of(catalog, "copy"), data_of(catalog, "mine")) == (b"3", b"4")
        assert record_of(catalog, "mine").tier == DURABLE

    def test_a_copy_under_a_condition(self, catalog: Catalog) -> None:
        assert _restored(catalog, inline_put(catalog, "key", if_version=ABSENT), 5)
        with pytest.raises(ExistsError):
            _restored(catalog, inline_put(catalog, "key", if_version=ABSENT), 6)
        with pytest.raises(ConflictError):
            _restored(catalog, inline_put(catalog, "key", if_version=4), 6)
        assert _restored(catalog, inline_put(catalog, "key", if_version=5), 6)

    def test_versions_that_none_can_be(self, catalog: Catalog) -> None:
        for version in (0, -1, HIGHEST + 1):
            with pytest.raises(InvalidArgumentError):
                catalog.commit([inline_put(catalog, "mine"), Restore(inline_put(catalog, "key"), version, 1.5, 2.5)])
        with pytest.raises(InvalidScopeError):
            catalog.commit([Restore(inline_put(catalog, "key", path=()), 1, 1.5, 2.5)])
        assert catalog.keys(FLOW, "", None, 10) == []
