"""The catalog's promises on scopes, leases and shared rows; see :mod:`holdfast.testing.catalog_suite`."""

from __future__ import annotations

import threading

import pytest

from ..address import Path
from ..catalog.base import Catalog, Delete, Edit, Fence
from ..errors import (
    ConflictError,
    ExistsError,
    HoldfastError,
    InvalidArgumentError,
    InvalidScopeError,
    LeaseLost,
    NotFoundError,
)
from ..model import Codec, ScopeInfo
from .catalog_cases import FLOW, INTEGER, SPACE, data_of, inline_put, put, put_file, record_of, versions, wait_past

__all__ = ["LeaseTests", "ScopeTests", "SharedTests"]


class ScopeTests:
    """The tree of scopes, and what drop and rename do to versions."""

    def test_a_put_makes_the_scope_and_those_above(self, catalog: Catalog) -> None:
        assert catalog.scope_id(FLOW) is None
        assert catalog.scope(FLOW) is None
        before = catalog.now()
        put(catalog, "key")
        for path in (FLOW, SPACE):
            found = catalog.scope(path)
            assert found is not None
            assert found.path == path
            assert found.properties == {}
            assert before <= found.since <= catalog.now()
        assert catalog.scope_id(FLOW) != catalog.scope_id(SPACE)
        catalog.commit([inline_put(catalog, "key", path=(("a", "b"), ("c", "d")))])
        assert [info.path for info in catalog.children((), None, 10)] == [(("a", "b"),), SPACE]

    def test_many_begin_in_a_scope_at_once(self, catalog: Catalog, other: Catalog) -> None:
        """One makes it; the others find it, and nothing that was done in it meanwhile is lost."""
        codec, found = catalog.codec_id(INTEGER), []

        def work(each: Catalog, path: Path, together: threading.Barrier) -> None:
            together.wait()
            found.append((path, each.add(path, "count", 1, codec)[0]))

        for turn in range(20):
            path, together = (*FLOW, ("turn", str(turn)), ("a", "b")), threading.Barrier(6)
            threads = [threading.Thread(target=work, args=(each, path, together)) for each in (catalog, other) * 3]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(value for where, value in found if where == path) == [1, 2, 3, 4, 5, 6]

    def test_reading_makes_nothing(self, catalog: Catalog) -> None:
        assert list(catalog.find(FLOW, "key")) == []
        assert catalog.search(FLOW) == []
        with pytest.raises(NotFoundError):
            catalog.commit([Delete(FLOW, "key")])
        with pytest.raises(NotFoundError):
            catalog.commit([Edit(FLOW, "key", tags="{}")])
        assert catalog.children((), None, 10) == []

    def test_scopes_are_created_with_properties(self, catalog: Catalog) -> None:
        catalog.create_scope(FLOW, {"a": [1, "é"], "b": None})
        found = catalog.scope(FLOW)
        assert found is not None
        assert found.properties == {"a": [1, "é"], "b": None}
        assert (found.kind, found.name) == FLOW[-1]
        catalog.create_scope(FLOW)
        assert catalog.scope(FLOW) == found, "creating it again without properties changed them"
        with pytest.raises(ExistsError):
            catalog.create_scope(FLOW, {"a": 2}, exist_ok=False)
        assert catalog.scope(FLOW) == found
        catalog.create_scope(FLOW, {"c": 3}, created=1.5)
        assert catalog.children(SPACE, None, 10) == [ScopeInfo(FLOW, 1.5, {"c": 3})]
        catalog.create_scope((*SPACE, ("workflow", "more")), exist_ok=False)
        with pytest.raises(InvalidArgumentError):
            catalog.create_scope(FLOW, {"a": object()})
        with pytest.raises(InvalidScopeError):
            catalog.create_scope(())

    def test_children_come_by_bytes_in_pages(self, catalog: Catalog) -> None:
        pairs = [
            (kind, name) for kind in ("b", "a", "é") for name in ("x", "X", "ü", "a/b", "a:b%", "\U0001f600", "ｅ")
        ]
        for pair in pairs:
            catalog.create_scope((*SPACE, pair, ("deep", "er")))
        wanted = sorted(pairs, key=lambda pair: (pair[0].encode(), pair[1].encode()))
        found, after = [], None
        while page := catalog.children(SPACE, after, 4):
            assert len(page) <= 4
            assert all(info.path[:-1] == SPACE for info in page)
            found += [info.path[-1] for info in page]
            after = found[-1]
        assert found == wanted
        assert catalog.children((("no", "such"),), None, 4) == []

    def test_equal_names_of_other_kinds_or_places_are_others(self, catalog: Catalog) -> None:
        paths = [(("a", "x"),), (("b", "x"),), (("a", "x"), ("a", "x")), (("a", "x/a:x"),), (("a", "x"), ("a", "x/a"))]
        for number, path in enumerate(paths):
            put(catalog, "key", number, path=path)
        assert [data_of(catalog, "key", path) for path in paths] == [0, 1, 2, 3, 4]
        assert len({catalog.scope_id(path) for path in paths}) == 5

    def test_deep_paths(self, catalog: Catalog) -> None:
        path = tuple(("level", str(number)) for number in range(40))
        put(catalog, "key", b"deep", path=path)
        assert data_of(catalog, "key", path) == b"deep"
        catalog.drop_scope(path[:1])
        assert catalog.was_dropped(path)

    def test_a_drop_hides_all_below_at_once(self, catalog: Catalog, other: Catalog) -> None:
        below = (*FLOW, ("instance", "1"))
        for path in (SPACE, FLOW, below):
            put(catalog, "key", path=path)
            assert data_of(other, "key", path) == b"value"
        put(catalog, "key", path=(("namespace", "production"),))
        gone = catalog.scope_id(FLOW)
        catalog.drop_scope(SPACE)
        for each in (catalog, other):
            for path in (SPACE, FLOW, below):
                assert data_of(each, "key", path) is None
                assert each.keys(path, "", None, 10) == []
                assert each.search(path) == []
                assert each.scope(path) is None
                assert each.scope_id(path) is None
                assert each.usage(path).records == 0
                assert each.was_dropped(path)
        assert [info.name for info in catalog.children((), None, 10)] == ["production"]
        put(other, "new", path=FLOW)
        assert other.keys(FLOW, "", None, 10) == ["new"], "a scope made anew shows what was dropped"
        assert catalog.keys(FLOW, "", None, 10) == ["new"]
        assert catalog.scope_id(FLOW) not in (None, gone)
        with pytest.raises(NotFoundError):
            catalog.drop_scope(below)
        with pytest.raises(InvalidScopeError):
            catalog.drop_scope(())

    def test_only_an_empty_scope_is_dropped_when_that_is_asked(self, catalog: Catalog, other: Catalog) -> None:
        put(catalog, "key", path=FLOW)
        for path in (SPACE, FLOW):
            with pytest.raises(ConflictError):
                other.drop_scope(path, only_empty=True)
        assert data_of(catalog, "key", FLOW) is not None
        catalog.commit([Delete(FLOW, "key")])
        put(catalog, "brief", path=FLOW, expires=catalog.now() + 0.01)
        wait_past(catalog, catalog.now() + 0.01)
        for path in (FLOW, SPACE):
            catalog.drop_scope(path, only_empty=True)
            assert other.scope(path) is None
            assert other.was_dropped(path)
            with pytest.raises(NotFoundError):
                catalog.drop_scope(path, only_empty=True)

    def test_versions_grow_through_drop(self, catalog: Catalog, other: Catalog) -> None:
        last = 0
        for turn in range(4):
            for _ in range(3):
                version = put(catalog if turn % 2 else other, "key")
                assert version > last
                last = version
            catalog.drop_scope(FLOW if turn % 2 else SPACE)
            if turn == 2:
                while catalog.sweep():
                    pass
        assert catalog.add(FLOW, "key", 1, catalog.codec_id(INTEGER))[1].version > last

    def test_the_mark_of_a_drop(self, catalog: Catalog) -> None:
        below = (*FLOW, ("instance", "1"))
        assert not catalog.was_dropped(FLOW)
        put(catalog, "key", path=below)
        assert not catalog.was_dropped(FLOW)
        catalog.drop_scope(FLOW)
        assert catalog.was_dropped(FLOW)
        assert catalog.was_dropped(below)
        assert not catalog.was_dropped(SPACE)
        assert not catalog.was_dropped((*FLOW, ("instance", "2")))
        catalog.create_scope(FLOW)
        assert not catalog.was_dropped(FLOW)
        assert catalog.was_dropped(below), "only the scope itself was made again"
        put(catalog, "key", path=below)
        assert not catalog.was_dropped(below)

    def test_a_rename_takes_all_along(self, catalog: Catalog, other: Catalog) -> None:
        below, new = (*FLOW, ("instance", "1")), (*SPACE, ("workflow", "hindcast"))
        put(catalog, "key", b"1")
        put(catalog, "key", b"2", path=below)
        assert data_of(other, "key", below) == b"2"
        catalog.create_scope(FLOW, {"a": 1})
        before = record_of(catalog, "key")
        catalog.rename_scope(FLOW, "hindcast")
        for each in (catalog, other):
            assert (data_of(each, "key"), data_of(each, "key", below)) == (None, None)
            assert data_of(each, "key", new) == b"1"
            assert data_of(each, "key", (*new, ("instance", "1"))) == b"2"
            found = each.scope(new)
            assert found is not None
            assert found.properties == {"a": 1}
            assert each.scope_id(FLOW) is None
            assert not each.was_dropped(FLOW)
        assert record_of(catalog, "key", new) == before
        assert put(catalog, "key", path=new) > before.version

    def test_versions_stay_small_through_many_renames(self, catalog: Catalog) -> None:
        other = (*FLOW[:-1], ("workflow", "other"))
        put(catalog, "key")
        last = 0
        for _ in range(35):
            for old, new in ((FLOW, other), (other, FLOW)):
                catalog.rename_scope(old, new[-1][1])
                (version,) = versions(catalog, "key", new)
                assert version > last
                last = version
        assert put(catalog, "key") > last
        assert last < 1 << 40, "each rename doubles the versions: there are no more after sixty"

    def test_what_cannot_be_renamed(self, catalog: Catalog) -> None:
        put(catalog, "key")
        put(catalog, "key", b"other", path=(*SPACE, ("workflow", "there")))
        with pytest.raises(ExistsError):
            catalog.rename_scope(FLOW, "there")
        with pytest.raises(NotFoundError):
            catalog.rename_scope((("no", "such"),), "x")
        with pytest.raises(InvalidScopeError):
            catalog.rename_scope((), "x")
        for name in ("", "a\nb", "x" * 513):
            with pytest.raises(InvalidScopeError):
                catalog.rename_scope(FLOW, name)
        catalog.rename_scope(FLOW, FLOW[-1][1])
        assert data_of(catalog, "key") == b"value"
        assert data_of(catalog, "key", (*SPACE, ("workflow", "there"))) == b"other"

    def test_versions_grow_through_rename(self, catalog: Catalog, other: Catalog) -> None:
        """Where a scope was, one made anew starts above it; and one that comes to a used name is moved above."""
        below, new = (*FLOW, ("instance", "1")), (*SPACE, ("workflow", "new"))
        low = put(catalog, "key", path=(*new, ("instance", "1")))
        high = [put(catalog, "key", path=below) for _ in range(7)][-1]
        file = put_file(catalog, "file", path=below).version
        assert data_of(other, "key", below) == b"value"
        catalog.drop_scope(FLOW)
        catalog.rename_scope(new, FLOW[-1][1])
        assert versions(catalog, "key", below)[0] > high > low
        assert put(other, "key", path=below) > versions(catalog, "key", below)[0] - 1
        assert put(other, "file", path=below) > file
        seen = [versions(catalog, key, below)[0] for key in ("key", "file")]
        catalog.rename_scope(FLOW, "away")
        assert [put(other, key, path=below) for key in ("key", "file")] > seen
        back = [versions(catalog, key, (*SPACE, ("workflow", "away"), ("instance", "1")))[0] for key in ("key", "file")]
        assert back == seen
        catalog.drop_scope(FLOW)
        catalog.rename_scope((*SPACE, ("workflow", "away")), FLOW[-1][1])
        assert versions(catalog, "key", below)[0] > seen[0]

    def test_puts_beside_drops_and_renames(self, catalog: Catalog, other: Catalog) -> None:
        """A put is whole in the scope that is there, or makes it anew; its versions never go back."""
        failures: list[BaseException] = []
        stop = threading.Event()

        def change() -> None:
            try:
                while not stop.is_set():
                    for verb in (catalog.drop_scope, lambda path: catalog.rename_scope(path, "aside")):
                        try:
                            verb(FLOW)
                        except (NotFoundError, ExistsError):
                            catalog.drop_scope((*SPACE, ("workflow", "aside")))
            except NotFoundError:
                pass
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=change)
        thread.start()
        try:
            last = 0
            for number in range(400):
                version = put(other, "key", number)
                assert version > last
                last = version
        finally:
            stop.set()
            thread.join()
        assert failures == []


class LeaseTests:
    """Leases and their fencing tokens."""

    def test_one_owner_at_a_time(self, catalog: Catalog, other: Catalog) -> None:
        before = catalog.now()
        mine = catalog.acquire("name", "me", 30)
        assert (mine.name, mine.owner) == ("name", "me")
        assert before + 29 < mine.expires <= catalog.now() + 30
        assert other.acquire("name", "you", 30) == mine
        assert catalog.acquire("name", "me", 99) == mine
        assert other.acquire("another", "you", 30).owner == "you"

    def test_who_looks_takes_nothing(self, catalog: Catalog, other: Catalog) -> None:
        assert catalog.holder("name") is None
        mine = catalog.acquire("name", "me", 30)
        assert other.holder("name") == catalog.holder("name") == mine
        assert other.holder("another") is None
        catalog.release(Fence("name", mine.token))
        assert other.holder("name") is None
        wait_past(catalog, catalog.acquire("name", "you", 0.01).expires)
        assert other.holder("name") is None

    def test_tokens_grow_with_each_owner(self, catalog: Catalog, other: Catalog) -> None:
        tokens = [catalog.acquire("name", "me", 30).token]
        catalog.release(Fence("name", tokens[-1]))
        tokens.append(other.acquire("name", "you", 30).token)
        tokens.append(catalog.acquire("name", "me", 0.01, dead="you").token)
        wait_past(catalog, catalog.now() + 0.02)
        tokens.append(other.acquire("name", "you", 30).token)
        assert tokens == sorted(set(tokens))

    def test_renewal(self, catalog: Catalog) -> None:
        lease = catalog.acquire("name", "me", 30)
        renewed = catalog.renew(Fence("name", lease.token), 90)
        assert renewed.token == lease.token
        assert renewed.expires > lease.expires + 50
        assert catalog.acquire("name", "you", 1) == renewed
        taken = catalog.acquire("name", "you", 0.01, dead="me")
        for fence in (Fence("name", lease.token), Fence("other", 1)):
            with pytest.raises(LeaseLost):
                catalog.renew(fence, 30)
        wait_past(catalog, taken.expires)
        with pytest.raises(LeaseLost):
            catalog.renew(Fence("name", taken.token), 30)

    def test_release(self, catalog: Catalog) -> None:
        first = catalog.acquire("name", "me", 30)
        second = catalog.acquire("name", "you", 30, dead="me")
        assert catalog.acquire("name", "them", 30, dead="me") == second, "it is not held by the dead one any more"
        catalog.release(Fence("name", first.token))
        assert catalog.acquire("name", "me", 30) == second, "a lost lease was given back"
        catalog.release(Fence("name", second.token))
        with pytest.raises(LeaseLost):
            catalog.renew(Fence("name", second.token), 30)
        assert catalog.acquire("name", "me", 30).owner == "me"
        catalog.release(Fence("no such", 1))


class SharedTests:
    """Codecs, storages, identity and the end."""

    def test_codecs(self, catalog: Catalog, other: Catalog) -> None:
        codecs = [
            Codec("a@v1", "text/plain"), Codec("a@v1", "text/plain", "gzip"), Codec("a@v1", "text/csv"),
            Codec("b@v1", "text/plain"), Codec(None, "text/plain"), Codec("", "text/plain", ""), Codec("é", "x"),
        ]  # fmt: skip
        ids = [catalog.codec_id(codec) for codec in codecs]
        assert len(set(ids)) == len(codecs)
        for each in (other, catalog):
            assert [each.codec(id) for id in ids] == codecs
            assert [each.codec_id(codec) for codec in codecs] == ids
        with pytest.raises(HoldfastError):
            catalog.codec(max(ids) + 1000)

    def test_storages(self, catalog: Catalog, other: Catalog) -> None:
        before = catalog.storages()  # those that it came with
        first, second = catalog.storage_id("a@v1", "files"), catalog.storage_id("b@v1", "files")
        third = other.storage_id("a@v1", "elsewhere")
        assert len({first, second, third}) == 3
        for each in (other, catalog):
            assert each.storage_id("a@v1", "files") == first
            assert each.storage_id("a@v1", "elsewhere") == third
            assert each.storage(first) == ("a@v1", "files")
            assert each.storage(second) == ("b@v1", "files")
            assert each.storage(third) == ("a@v1", "elsewhere")
            assert each.storages() == sorted([*before, first, second, third])
        with pytest.raises(HoldfastError):
            catalog.storage(first + second + 1000)

    def test_shared_rows_from_many_threads(self, catalog: Catalog, other: Catalog) -> None:
        found: list[tuple[int, int]] = []

        def work(each: Catalog) -> None:
            found.append((each.codec_id(Codec("new", "x")), each.storage_id("new", "x")))

        threads = [threading.Thread(target=work, args=(each,)) for each in (catalog, other) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert len(set(found)) == 1

    def test_a_store_is_the_same_from_wherever_it_is_opened(self, catalog: Catalog, other: Catalog) -> None:
        assert len(catalog.store_id) == 32
        int(catalog.store_id, 16)
        assert len(catalog.signing_key) == 32
        assert len(set(catalog.signing_key)) > 8
        assert (other.store_id, other.signing_key) == (catalog.store_id, catalog.signing_key)
        assert abs(catalog.now() - other.now()) < 1
        version = put(catalog, "key", b"one")
        assert data_of(other, "key") == b"one"
        assert put(other, "key", b"two") > version
        assert data_of(catalog, "key") == b"two"
