"""The catalog's promises on values and records; see :mod:`holdfast.testing.catalog_suite`."""

from __future__ import annotations

import threading
from hashlib import sha256
from typing import Any

import pytest

from ..catalog.base import ABSENT, Catalog, Change, Delete, Edit, Expect, Fence, ValueRow
from ..errors import (
    ConflictError,
    ExistsError,
    InvalidArgumentError,
    InvalidScopeError,
    LeaseLost,
    NotFoundError,
    ScopeDroppedError,
)
from ..model import DURABLE, EPHEMERAL, POWER, RecordRow
from .catalog_cases import (
    FLOW,
    INTEGER,
    PLAIN,
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

__all__ = ["CommitTests", "ListingTests", "ValueTests"]


class ValueTests:
    """``find``, ``put``, ``add`` and what a row says."""

    def test_a_value_is_found_as_it_was_put(self, catalog: Catalog) -> None:
        codec, expires = catalog.codec_id(PLAIN), catalog.now() + 1000
        before = catalog.now()
        digest = sha256(b"\0\xff1").digest()
        version, created, updated = catalog.put(
            FLOW, "kéy/∞", (expires, '{"a":"b"}', 1, digest, 3, codec, '{"c":1}', b"sig", b"\0\xff1")
        )
        assert version >= 1
        assert before <= created <= updated <= catalog.now()
        (row,) = catalog.find(FLOW, "kéy/∞")
        value = ValueRow._make(row)
        assert value[:11] == (
            DURABLE, version, expires, 1, digest, 3, codec, '{"c":1}', b"sig", b"\0\xff1", None
        )  # fmt: skip
        assert value[11:] == (None,) * 8
        wanted = RecordRow(
            "kéy/∞", DURABLE, version, 0, created, updated, expires, '{"a":"b"}', None, 1, digest, 3, codec,
            '{"c":1}', None, None, None,
        )  # fmt: skip
        assert record_of(catalog, "kéy/∞") == wanted
        (entry,) = catalog.entry(FLOW, "kéy/∞")
        assert tuple(entry) == (*wanted, *value)

    def test_what_is_not_there_is_empty(self, catalog: Catalog) -> None:
        put(catalog, "key")
        for path, key in ((FLOW, "other"), (SPACE, "key"), ((*FLOW, ("a", "b")), "key"), ((("a", "b"),), "key")):
            assert list(catalog.find(path, key)) == []
            assert list(catalog.record(path, key)) == []
            assert list(catalog.entry(path, key)) == []

    def test_the_root_holds_no_records(self, catalog: Catalog) -> None:
        with pytest.raises(InvalidScopeError):
            put(catalog, "key", path=())
        with pytest.raises(InvalidScopeError):
            catalog.commit([inline_put(catalog, "key", path=())])
        with pytest.raises(InvalidScopeError):
            catalog.add((), "key", 1, catalog.codec_id(INTEGER))
        assert list(catalog.find((), "key")) == []
        assert catalog.keys((), "", None, 10) == []

    def test_put_replaces_and_keeps_when_it_was_created(self, catalog: Catalog) -> None:
        first = put(catalog, "key", b"one", tags={"a": "b"}, expires=catalog.now() + 99)
        created = record_of(catalog, "key").created
        wait_past(catalog, created)
        second = put(catalog, "key", b"two")
        record = record_of(catalog, "key")
        assert second > first
        assert data_of(catalog, "key") == b"two"
        assert (record.created, record.tags, record.expires) == (created, None, None)
        assert record.updated > created

    def test_an_expired_record_counts_as_gone_when_its_key_is_put(self, catalog: Catalog) -> None:
        moment = catalog.now()
        first = put(catalog, "key", expires=moment)
        wait_past(catalog, moment)
        created = record_of(catalog, "key").created
        wait_past(catalog, created)
        assert put(catalog, "key", b"new") > first
        assert record_of(catalog, "key").created > created

    def test_inline_and_stored_values_take_turns(self, catalog: Catalog) -> None:
        seen = []
        for turn in range(3):
            seen.append(put(catalog, "key", b"inline %d" % turn))
            assert data_of(catalog, "key") == b"inline %d" % turn
            row = put_file(catalog, "key", b"stored %d" % turn)
            seen.append(row.version)
            assert (row.data, row.size) == (None, 8)
            assert row.storage_config == record_of(catalog, "key").storage_config
        assert seen == sorted(set(seen))
        assert len(versions(catalog, "key")) == 1

    def test_power_is_written_in_the_record(self, catalog: Catalog) -> None:
        put(catalog, "key", power=True)
        assert record_of(catalog, "key").flags & POWER
        put(catalog, "key")
        assert not record_of(catalog, "key").flags & POWER
        (done,) = catalog.commit([inline_put(catalog, "key")], power=True)
        assert done.row is not None
        assert done.row.flags & POWER
        (done,) = catalog.commit([Edit(FLOW, "key", tags="{}")], power=True)
        assert record_of(catalog, "key").flags & POWER

    def test_integers_are_added_to(self, catalog: Catalog) -> None:
        codec = catalog.codec_id(INTEGER)
        value, row = catalog.add(FLOW, "count", 3, codec)
        assert (value, row.size, row.codec, row.algorithm, row.digest) == (3, 8, codec, 0, None)
        assert row == record_of(catalog, "count")
        value, later = catalog.add(FLOW, "count", -5, codec)
        assert (value, later.created) == (-2, row.created)
        assert later.version > row.version
        assert later == record_of(catalog, "count")
        assert data_of(catalog, "count") == -2
        put(catalog, "count", 40, tags={"a": "b"}, expires=catalog.now() + 99)
        value, row = catalog.add(FLOW, "count", 2, codec)
        assert (value, row.tags) == (42, '{"a": "b"}')
        assert row == record_of(catalog, "count"), "add changes tags or expiry"

    def test_an_expired_integer_begins_again(self, catalog: Catalog) -> None:
        moment = catalog.now()
        put(catalog, "count", 40, expires=moment)
        wait_past(catalog, moment)
        value, row = catalog.add(FLOW, "count", 2, catalog.codec_id(INTEGER))
        assert (value, row.expires) == (2, None)

    def test_replace_is_done_over_the_expected_version_or_not_at_all(self, catalog: Catalog) -> None:
        codec, now = catalog.codec_id(PLAIN), catalog.now()

        def replace(key: str, version: int) -> tuple[int, float, float] | None:
            row = (now + 99, '{"a":"b"}', 1, sha256(b"new").digest(), 3, codec, None, None, b"new")
            return catalog.replace(FLOW, key, row, version)

        old, file = put(catalog, "old", b"old"), put_file(catalog, "file").version
        expired = put(catalog, "e", expires=now)
        put(catalog, "two")
        catalog.commit([file_put(catalog, "two", tier=EPHEMERAL, session="memory s")])
        wait_past(catalog, now)
        two = max(versions(catalog, "two"))
        for key, version in (("old", old + 1), ("file", file), ("e", expired), ("none", 1), ("two", two)):
            before = list(catalog.entry(FLOW, key))
            assert replace(key, version) is None
            assert list(catalog.entry(FLOW, key)) == before
        created = record_of(catalog, "old").created
        done = replace("old", old)
        if done is None:  # a catalog need not have this way
            return
        record = record_of(catalog, "old")
        assert done == (record.version, created, record.updated)
        assert record.version > old
        assert (record.tags, record.expires, record.size) == ('{"a":"b"}', now + 99, 3)
        assert data_of(catalog, "old") == b"new"
        assert replace("old", old) is None

    def test_what_is_no_integer_is_not_added_to(self, catalog: Catalog) -> None:
        codec = catalog.codec_id(INTEGER)
        put(catalog, "text", b"5")
        put_file(catalog, "file")
        for key in ("text", "file"):
            with pytest.raises(InvalidArgumentError):
                catalog.add(FLOW, key, 1, codec)
        assert data_of(catalog, "text") == b"5"

    def test_sums_stay_within_64_bits(self, catalog: Catalog) -> None:
        codec = catalog.codec_id(INTEGER)
        put(catalog, "most", 2**63 - 1)
        put(catalog, "least", -(2**63))
        version = versions(catalog, "most")
        for key, amount in (("most", 1), ("least", -1), ("new", 2**63), ("new", -(2**70))):
            with pytest.raises(InvalidArgumentError):
                catalog.add(FLOW, key, amount, codec)
        assert (data_of(catalog, "most"), data_of(catalog, "least"), data_of(catalog, "new")) == (
            2**63 - 1,
            -(2**63),
            None,
        )
        assert versions(catalog, "most") == version
        assert catalog.add(FLOW, "most", -1, codec)[0] == 2**63 - 2

    def test_versions_grow_past_every_step(self, catalog: Catalog) -> None:
        last = 0
        for turn in range(2200):
            version = put(catalog, "key", turn)
            assert version > last
            last = version
        assert versions(catalog, "key") == [last]

    def test_two_tiers_share_one_counter(self, catalog: Catalog) -> None:
        first = put(catalog, "key", b"durable")
        (done,) = catalog.commit([file_put(catalog, "key", tier=EPHEMERAL, session="memory s1")])
        assert done.row is not None
        assert (done.row.tier, done.row.session) == (EPHEMERAL, "memory s1")
        assert done.row.version > first
        rows = sorted(ValueRow._make(row).tier for row in catalog.find(FLOW, "key"))
        assert rows == [DURABLE, EPHEMERAL], "an ephemeral put replaced the durable record"
        assert put(catalog, "key", b"again") > done.row.version
        assert len(catalog.record(FLOW, "key")) == 2
        catalog.commit([file_put(catalog, "n", tier=EPHEMERAL, session="memory s1")])
        codec = catalog.codec_id(INTEGER)
        with pytest.raises(InvalidArgumentError):  # what is seen is no integer
            catalog.add(FLOW, "n", 1, codec)

    def test_many_threads_lose_nothing(self, catalog: Catalog) -> None:
        codec, failures = catalog.codec_id(INTEGER), []

        def work(number: int) -> None:
            try:
                for turn in range(40):
                    catalog.add(FLOW, "count", 1, codec)
                    put(catalog, f"{number}/{turn}", b"x")
                    assert data_of(catalog, f"{number}/{turn}") == b"x"
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert data_of(catalog, "count") == 240
        assert len(catalog.keys(FLOW, "", None, 1000)) == 241


class CommitTests:
    """``commit``: all or nothing, versions, what was expected, shared bytes."""

    def test_a_commit_is_whole_or_not_at_all(self, catalog: Catalog) -> None:
        put(catalog, "old", b"old")
        blob = put_file(catalog, "file").blob
        new = (("namespace", "never"),)
        with pytest.raises(NotFoundError):
            catalog.commit(
                [
                    inline_put(catalog, "old", b"new"),
                    inline_put(catalog, "here", path=new),
                    file_put(catalog, "other", b"other", place='"files/lost"'),
                    inline_put(catalog, "copy")._replace(data=None, blob=blob),
                    Delete(FLOW, "file"),
                    Delete(FLOW, "missing"),
                ]
            )
        assert data_of(catalog, "old") == b"old"
        assert catalog.scope(new) is None
        assert catalog.keys(FLOW, "", None, 10) == ["file", "old"]
        assert catalog.known(catalog.storage_id("test.files@v1", "files"), ['"files/lost"']) == set()
        assert put(catalog, "here", path=new) >= 1

    def test_each_change_sees_those_before_it(self, catalog: Catalog) -> None:
        one, two, three, four, five = catalog.commit(
            [
                inline_put(catalog, "key", b"one", if_version=ABSENT),
                Edit(FLOW, "key", tags='{"a":"b"}'),
                Delete(FLOW, "key"),
                Expect(FLOW, "key", ABSENT),
                inline_put(catalog, "key", b"two", if_version=ABSENT),
            ]
        )
        assert one.row is not None
        assert two.row is not None
        assert three.row == two.row
        assert four.row is None
        assert five.row == record_of(catalog, "key")
        assert one.row.version < two.row.version < five.row.version
        assert data_of(catalog, "key") == b"two"
        assert catalog.commit([]) == []

    def test_versions_that_were_expected(self, catalog: Catalog) -> None:
        with pytest.raises(ConflictError):
            catalog.commit([inline_put(catalog, "key", if_version=3)])
        (done,) = catalog.commit([inline_put(catalog, "key", if_version=ABSENT)])
        assert done.row is not None
        version = done.row.version
        made: list[Change] = [
            inline_put(catalog, "key", if_version=ABSENT),
            Expect(FLOW, "key", ABSENT),
            Delete(FLOW, "key", if_version=ABSENT),
        ]
        for change in made:
            with pytest.raises(ExistsError):
                catalog.commit([change])
        others: list[Change] = [
            inline_put(catalog, "key", if_version=version + 1),
            Expect(FLOW, "key", version + 1),
            Delete(FLOW, "key", if_version=version + 1),
            Edit(FLOW, "key", tags="{}", if_version=version + 1),
        ]
        for change in others:
            with pytest.raises(ConflictError) as caught:
                catalog.commit([inline_put(catalog, "other"), change])
            assert not isinstance(caught.value, ExistsError)
        assert catalog.keys(FLOW, "", None, 10) == ["key"]
        assert record_of(catalog, "key") == done.row
        catalog.commit([Expect(FLOW, "key", version), inline_put(catalog, "key", if_version=version)])
        catalog.commit([Expect(FLOW, "other", ABSENT), Expect((("a", "b"),), "key", ABSENT)])

    def test_an_expired_record_is_absent(self, catalog: Catalog) -> None:
        moment = catalog.now()
        version = put(catalog, "key", expires=moment)
        wait_past(catalog, moment)
        for change in (Delete(FLOW, "key"), Edit(FLOW, "key", tags="{}")):
            with pytest.raises(NotFoundError):
                catalog.commit([change])
        with pytest.raises(ConflictError):
            catalog.commit([inline_put(catalog, "key", if_version=version)])
        (done,) = catalog.commit([inline_put(catalog, "key", if_version=ABSENT)])
        assert done.row is not None
        assert done.row.version > version

    def test_the_expected_version_is_the_one_that_is_seen(self, catalog: Catalog) -> None:
        durable = put(catalog, "key")
        (done,) = catalog.commit([file_put(catalog, "key", tier=EPHEMERAL, session="memory s", if_version=durable)])
        assert done.row is not None
        with pytest.raises(ConflictError):
            catalog.commit([inline_put(catalog, "key", if_version=durable)])
        catalog.commit([inline_put(catalog, "key", if_version=done.row.version)])

    def test_delete_takes_both_tiers_or_one(self, catalog: Catalog) -> None:
        def both() -> None:
            put(catalog, "key")
            catalog.commit([file_put(catalog, "key", tier=EPHEMERAL, session="memory s")])

        both()
        (done,) = catalog.commit([Delete(FLOW, "key")])
        assert done.row is not None
        assert done.row.tier == EPHEMERAL
        assert versions(catalog, "key") == []
        both()
        catalog.commit([Delete(FLOW, "key", tier=EPHEMERAL)])
        assert record_of(catalog, "key").tier == DURABLE
        with pytest.raises(NotFoundError):
            catalog.commit([Delete(FLOW, "key", tier=EPHEMERAL)])

    def test_versions_grow_through_delete(self, catalog: Catalog) -> None:
        last = 0
        for turn in range(5):
            version = put(catalog, "key") if turn % 2 else put_file(catalog, "key").version
            assert version > last
            last = version
            catalog.commit([Delete(FLOW, "key")])
        assert catalog.add(FLOW, "key", 1, catalog.codec_id(INTEGER))[1].version > last

    def test_an_edit_keeps_the_bytes(self, catalog: Catalog) -> None:
        put(catalog, "key", b"bytes", tags={"a": "b"})
        before = record_of(catalog, "key")
        other, moment = catalog.codec_id(PLAIN._replace(content_type="text/csv")), catalog.now() + 50
        (done,) = catalog.commit([Edit(FLOW, "key", expires=moment)])
        record = record_of(catalog, "key")
        assert done.row == record
        assert (record.expires, record.tags, record.codec) == (moment, before.tags, before.codec)
        assert record.version > before.version
        assert record.created == before.created
        catalog.commit([Edit(FLOW, "key", tags=None, codec=other)])
        record = record_of(catalog, "key")
        assert (record.expires, record.tags, record.codec) == (moment, None, other)
        assert data_of(catalog, "key") == b"bytes"
        with pytest.raises(NotFoundError):
            catalog.commit([Edit(FLOW, "other", tags=None)])

    def test_a_scope_that_was_dropped_or_renamed_in_between(self, catalog: Catalog) -> None:
        new = (("namespace", "prod"), ("workflow", "new"))
        put(catalog, "key")
        began = {FLOW: catalog.scope_id(FLOW), new: catalog.scope_id(new)}
        assert began[FLOW] is not None
        assert began[new] is None
        put(catalog, "key", path=new)  # made since: nothing that this write could have counted on is gone
        catalog.commit([inline_put(catalog, "key"), inline_put(catalog, "key", path=new)], began=began)
        catalog.drop_scope(FLOW)
        with pytest.raises(ScopeDroppedError):
            catalog.commit([inline_put(catalog, "key")], began=began)
        put(catalog, "key")
        with pytest.raises(ScopeDroppedError):
            catalog.commit([inline_put(catalog, "key")], began=began)
        began = {FLOW: catalog.scope_id(FLOW)}
        catalog.rename_scope(SPACE, "elsewhere")
        with pytest.raises(ScopeDroppedError):
            catalog.commit([inline_put(catalog, "key")], began=began)
        assert catalog.scope(FLOW) is None

    def test_a_fence_is_checked_in_the_commit(self, catalog: Catalog) -> None:
        lease = catalog.acquire("sweeper", "me", 30)
        fence = Fence("sweeper", lease.token)
        catalog.commit([inline_put(catalog, "key", b"mine")], fence=fence)
        catalog.acquire("sweeper", "other", 30, dead="me")
        with pytest.raises(LeaseLost):
            catalog.commit([inline_put(catalog, "key", b"late")], fence=fence)
        with pytest.raises(LeaseLost):
            catalog.commit([inline_put(catalog, "key", b"late")], fence=Fence("nobody", 1))
        short = catalog.acquire("short", "me", 0.01)
        wait_past(catalog, short.expires)
        with pytest.raises(LeaseLost):
            catalog.commit([inline_put(catalog, "key", b"late")], fence=Fence("short", short.token))
        assert data_of(catalog, "key") == b"mine"

    def test_a_copy_shares_the_bytes(self, catalog: Catalog) -> None:
        row = put_file(catalog, "key", b"large", synced=True)
        other = (("namespace", "other"),)
        copy = file_put(catalog, "copy", b"large", path=other)._replace(blob=row.blob)
        (done,) = catalog.commit([copy])
        assert done.row is not None
        assert done.row.storage_config == row.storage_config
        catalog.commit([Delete(FLOW, "key")])
        assert catalog.garbage() == []
        assert data_of(catalog, "copy", other) == row.storage_config
        catalog.commit([Delete(other, "copy")])
        (blob,) = catalog.garbage()
        assert blob.id == row.blob
        with pytest.raises(ConflictError):
            catalog.commit([copy])
        with pytest.raises(ConflictError):
            catalog.commit([copy._replace(blob=987654321)])


class ListingTests:
    """``keys``, ``search`` and ``usage``."""

    def test_keys_come_by_bytes_in_pages(self, catalog: Catalog) -> None:
        names = ["a", "B", "a/b", "a b", "aa", "~", "é", "ｅ", "\U0001f600", "k%", "k_", "K"]
        for name in names:
            put(catalog, name)
        put(catalog, "elsewhere", path=SPACE)
        wanted = sorted(names, key=str.encode)
        assert catalog.keys(FLOW, "", None, 100) == wanted
        pages, start = [], ""
        while page := catalog.keys(FLOW, start, None, 5):
            assert len(page) <= 5
            pages += page
            start = page[-1] + "\0"
        assert pages == wanted
        assert catalog.keys(FLOW, "a", "aa", 100) == ["a", "a b", "a/b"]
        assert catalog.keys(FLOW, "b", "b", 100) == []
        assert catalog.keys((("no", "such"),), "", None, 10) == []
        with pytest.raises(InvalidArgumentError):
            catalog.keys(FLOW, "", None, 0)

    def test_a_key_in_two_tiers_is_listed_once(self, catalog: Catalog) -> None:
        put(catalog, "both")
        catalog.commit([file_put(catalog, "both", tier=EPHEMERAL, session="memory s")])
        catalog.commit([file_put(catalog, "memory", tier=EPHEMERAL, session="memory s")])
        put(catalog, "memory")
        put(catalog, "plain")
        assert catalog.keys(FLOW, "", None, 10) == ["both", "memory", "plain"]
        rows = [RecordRow._make(row) for row in catalog.search(FLOW)]
        assert [(row.key, row.tier) for row in rows] == [("both", 1), ("memory", 0), ("plain", 0)]
        wanted = [row.key for row in sorted(rows, key=lambda row: (-row.version, row.key))]
        assert [row[0] for row in catalog.search(FLOW, order="-version")] == wanted

    def test_what_expired_is_not_listed(self, catalog: Catalog) -> None:
        moment = catalog.now()
        for number in range(6):
            put(catalog, f"k{number}", b"12345", expires=moment if number % 2 else moment + 1000)
        put(catalog, "two", b"below")
        catalog.commit([file_put(catalog, "two", tier=EPHEMERAL, session="memory s", expires=moment)])
        wait_past(catalog, moment)
        wanted = ["k0", "k2", "k4", "two"]
        assert catalog.keys(FLOW, "", None, 10) == wanted
        assert [row[0] for row in catalog.search(FLOW)] == wanted
        assert RecordRow._make(catalog.search(FLOW)[3]).tier == DURABLE
        assert (catalog.usage(FLOW).records, catalog.usage(FLOW, expired=True).records) == (4, 4)
        assert catalog.keys(FLOW, "k", None, 2) == ["k0", "k2"]

    @pytest.mark.parametrize("order", ["key", "created", "updated", "size", "version"])
    @pytest.mark.parametrize("sign", ["", "-"])
    def test_search_in_each_order_by_pages(self, catalog: Catalog, order: str, sign: str) -> None:
        for number in (3, 1, 4, 0, 2):
            put(catalog, f"k{number}", b"x" * (number // 2))
        put(catalog, "k1", b"longer")
        catalog.commit([Edit(FLOW, "k4", tags="{}")])
        everything = [RecordRow._make(row) for row in catalog.search(FLOW)]
        wanted = sorted(everything, key=lambda row: row.key)
        wanted.sort(key=lambda row: getattr(row, order), reverse=bool(sign))
        for limit in (1, 2, 100):
            found: list[RecordRow] = []
            while page := catalog.search(FLOW, order=sign + order, limit=limit, after=found[-1] if found else None):
                assert len(page) <= limit
                found += map(RecordRow._make, page)
            assert found == wanted, f"order {sign}{order}, limit {limit}"

    def test_search_gives_what_record_gives(self, catalog: Catalog) -> None:
        put(catalog, "a", tags={"x": "y"}, expires=catalog.now() + 9)
        put_file(catalog, "b", synced=True)
        put(catalog, "c", 17)
        assert [RecordRow._make(row) for row in catalog.search(FLOW)] == [record_of(catalog, key) for key in "abc"]
        assert [row[0] for row in catalog.search(FLOW, start="b")] == ["b", "c"]
        assert [row[0] for row in catalog.search(FLOW, start="a", end="c", limit=1)] == ["a"]
        assert [row[0] for row in catalog.search(FLOW, start="b", end="c", order="-key")] == ["b"]
        assert catalog.search((("no", "such"),)) == []

    def test_search_by_tags(self, catalog: Catalog) -> None:
        tags: dict[str, dict[str, str]] = {
            "none": {},
            "one": {"stage": "eval"},
            "two": {"stage": "eval", "kind": 'a "b" \\ %_ $.x é'},
            "other": {"stage": "evaluation", "kind": "a"},
            "odd": {"$.\"q'": "1", "": "empty"},
        }
        for key, pairs in tags.items():
            put(catalog, key, tags=pairs)

        def found(wanted: dict[str, str]) -> list[str]:
            return [row[0] for row in catalog.search(FLOW, tags=wanted)]

        for wanted in [{"stage": "eval"}, tags["two"], tags["odd"], {"": "empty"}, {"stage": "x"}, {"eval": "stage"}]:
            assert found(wanted) == sorted(k for k, t in tags.items() if wanted.items() <= t.items()), wanted
        assert len(found({})) == 5
        first = RecordRow._make(catalog.search(FLOW, tags={"stage": "eval"}, limit=1)[0])
        assert [row[0] for row in catalog.search(FLOW, tags={"stage": "eval"}, after=first)] == ["two"]

    def test_search_that_is_not_well_formed(self, catalog: Catalog) -> None:
        bad: list[dict[str, Any]] = [
            {"order": "name"},
            {"order": "--key"},
            {"limit": 0},
            {"order": "key; DROP TABLE x"},
        ]
        for arguments in bad:
            with pytest.raises(InvalidArgumentError):
                catalog.search(FLOW, **arguments)

    def test_usage_is_that_of_one_scope(self, catalog: Catalog) -> None:
        put(catalog, "a", b"12345")
        put(catalog, "n", 7)
        put_file(catalog, "f", b"x" * 50)
        put_file(catalog, "g", b"x" * 50)
        put(catalog, "elsewhere", b"123", path=SPACE)
        assert tuple(catalog.usage(FLOW)) == (4, 13, 100)
        assert tuple(catalog.usage(SPACE)) == (1, 3, 0)
        assert tuple(catalog.usage(FLOW, expired=True)) == (0, 0, 0)
        assert tuple(catalog.usage((("no", "such"),))) == (0, 0, 0)

    def test_a_listing_is_one_moment(self, catalog: Catalog) -> None:
        """Renaming back and forth, every page has all records or, in between, none."""
        for number in range(20):
            put(catalog, f"k{number:02}")
        other = (*FLOW[:-1], ("workflow", "other"))
        stop, failures = threading.Event(), []

        def rename() -> None:
            try:
                while not stop.is_set():
                    catalog.rename_scope(FLOW, "other")
                    catalog.rename_scope(other, FLOW[-1][1])
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=rename)
        thread.start()
        try:
            sizes = {len(read()) for _ in range(150) for read in (
                lambda: catalog.keys(FLOW, "", None, 100), lambda: catalog.search(FLOW), lambda: catalog.search(other),
            )}  # fmt: skip
        finally:
            stop.set()
            thread.join()
        assert failures == []
        assert sizes <= {0, 20}
