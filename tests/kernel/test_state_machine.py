"""The shipped state machine holds over our stores, and notices each of several planted faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase

import holdfast
from holdfast import reading
from holdfast.catalog.base import Delete, Put
from holdfast.catalog.sqlite import SQLiteCatalog
from holdfast.files import Files
from holdfast.listing import Listing
from holdfast.model import Record
from holdfast.testing.state_machine import StoreSuite, check_store
from holdfast.transaction import Atomic, Buffered
from holdfast.upkeep import collector
from holdfast.values import Values

Patch = pytest.MonkeyPatch


class TestFolder(StoreSuite):
    def opener(self, folder: str) -> holdfast.Store:
        return holdfast.open(folder)


def test_with_everything_inline_and_on_disk() -> None:
    check_store(
        lambda folder: holdfast.open(folder, inline=1 << 20, durability="power"),
        max_examples=8,
        stateful_step_count=20,
    )


def test_with_everything_in_files() -> None:
    check_store(lambda folder: holdfast.open(folder, inline=0), max_examples=8)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_at_length() -> None:
    check_store(holdfast.open, max_examples=2000, stateful_step_count=50)


# --- planted faults: each is a kernel that is wrong in one way --------------------------------------------------------


def expired_is_visible(patch: Patch) -> None:
    def newest(kernel: Any, rows: Any) -> Any:
        return max(rows, key=lambda row: row[1], default=None)

    patch.setattr("holdfast.reading.newest", newest)


def conditions_are_ignored(patch: Patch) -> None:
    patch.setattr("holdfast.options.Plan.conditional", property(lambda self: False))


def rollback_commits(patch: Patch) -> None:
    leave = Atomic.__exit__
    patch.setattr(Atomic, "__exit__", lambda self, kind, error, trace: leave(self, None, None, None))


def a_commit_checks_no_reads(patch: Patch) -> None:
    finish = Buffered.finish

    def forgetful(self: Any, *, power: bool) -> Any:
        self._read.clear()
        return finish(self, power=power)

    patch.setattr(Buffered, "finish", forgetful)


def drops_are_not_noticed(patch: Patch) -> None:
    commit = SQLiteCatalog.commit

    def blind(self: Any, changes: Any, *, began: Any = None, fence: Any = None, power: bool = False) -> Any:
        return commit(self, changes, began=None, fence=fence, power=power)

    patch.setattr(SQLiteCatalog, "commit", blind)


def versions_begin_anew_after_a_delete(patch: Patch) -> None:
    commit = SQLiteCatalog.commit

    def forgetful(self: Any, changes: Any, **more: Any) -> Any:
        done = commit(self, changes, **more)
        if any(isinstance(change, Delete) for change in changes):
            self.write("UPDATE scopes SET floor=0")
        return done

    patch.setattr(SQLiteCatalog, "commit", forgetful)


def gc_takes_what_is_needed(patch: Patch) -> None:
    collect = collector.collect

    def greedy(kernel: Any, **options: Any) -> Any:
        done = collect(kernel, **options)
        for blob in kernel.catalog.unsynced(boot="", earlier=True) or []:
            kernel.storage.delete(json.loads(blob.config))
        rows = kernel.catalog.read("SELECT place FROM blobs WHERE state=0 LIMIT 1")
        for (place,) in rows:
            kernel.storage.delete(json.loads(place))
        return done

    patch.setattr("holdfast.upkeep.collector.collect", greedy)


def gc_takes_nothing(patch: Patch) -> None:
    patch.setattr(SQLiteCatalog, "sweep", lambda self, limit=1000: 0)


def a_copy_loses_its_tags(patch: Patch) -> None:
    def bare(*arguments: Any, **options: Any) -> Any:
        return Put(*arguments, **options)._replace(tags=None)

    patch.setattr("holdfast.values.Put", bare)


def update_loses_its_expiry(patch: Patch) -> None:
    made = reading.visible_record

    def without(kernel: Any, rows: Any) -> Any:
        row = made(kernel, rows)
        return None if row is None else (*row[:6], None, *row[7:])

    patch.setattr("holdfast.values.visible_record", without)


def a_stale_value_is_served(patch: Patch) -> None:
    get = Values.get
    cache: dict[Any, Any] = {}

    def cached(self: Any, key: str, *arguments: Any, **options: Any) -> Any:
        if (self.path, key, id(self._kernel)) not in cache:
            cache[self.path, key, id(self._kernel)] = get(self, key, *arguments, **options)
        return cache[self.path, key, id(self._kernel)]

    patch.setattr(Values, "get", cached)


def lists_take_the_end_of_a_range_in(patch: Patch) -> None:
    keys = Listing.keys

    def beyond(self: Any, prefix: str = "", **more: Any) -> Any:
        if more.get("end"):
            more["end"] += " "
        return keys(self, prefix, **more)

    patch.setattr(Listing, "keys", beyond)


def pages_begin_with_the_last_record(patch: Patch) -> None:
    search = SQLiteCatalog.search

    def again(self: Any, path: Any, *, after: Any = None, **more: Any) -> Any:
        rows = search(self, path, after=after, **more)
        return rows if after is None else [tuple(after), *rows]

    patch.setattr(SQLiteCatalog, "search", again)


def a_broken_stream_is_stored(patch: Patch) -> None:
    put_chunks = Files.put_chunks

    def lenient(self: Any, key: str, chunks: Any, **options: Any) -> Any:
        taken: list[Any] = []
        try:
            taken.extend(chunks)
        except RuntimeError:
            put_chunks(self, key, taken, **options)
            raise
        return put_chunks(self, key, taken, **options)

    patch.setattr(Files, "put_chunks", lenient)


def an_edit_keeps_the_version(patch: Patch) -> None:
    touch = Values.touch

    def silent(self: Any, key: str, expires: Any, **more: Any) -> Record:
        before = self.record(key)
        touch(self, key, expires, **more)
        return before

    patch.setattr(Values, "touch", silent)


def dropped_scopes_keep_their_children(patch: Patch) -> None:
    def drop(self: Any, path: Any, **options: Any) -> None:
        if self.scope(path) is None:
            raise holdfast.NotFoundError("no scope")
        for row in list(self.search(path)):
            self.commit([Delete(path, row[0])])

    patch.setattr(SQLiteCatalog, "drop_scope", drop)


FAULTS: list[Callable[[Patch], None]] = [
    expired_is_visible,
    conditions_are_ignored,
    rollback_commits,
    a_commit_checks_no_reads,
    drops_are_not_noticed,
    versions_begin_anew_after_a_delete,
    gc_takes_what_is_needed,
    gc_takes_nothing,
    a_copy_loses_its_tags,
    update_loses_its_expiry,
    a_stale_value_is_served,
    lists_take_the_end_of_a_range_in,
    pages_begin_with_the_last_record,
    a_broken_stream_is_stored,
    an_edit_keeps_the_version,
    dropped_scopes_keep_their_children,
]


# Those that random steps soon come upon; the others are looked for in the long run.
QUICK = (a_stale_value_is_served, conditions_are_ignored, gc_takes_nothing, update_loses_its_expiry)


@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, id=fault.__name__, marks=[] if fault in QUICK else pytest.mark.long) for fault in FAULTS],
)
def test_a_planted_fault_is_found(fault: Callable[[Patch], None], monkeypatch: Patch, capsys: Any) -> None:
    fault(monkeypatch)
    with pytest.raises((AssertionError, holdfast.HoldfastError, pytest.fail.Exception, ExceptionGroup)):
        check_store(
            lambda folder: holdfast.open(folder, timeout=1),
            max_examples=1000,  # far more than any of them takes: where the search begins depends on the folder
            phases=[Phase.generate],
            database=None,
            derandomize=True,
        )
