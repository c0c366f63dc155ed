"""Several writes, in several scopes, in one commit.

A transaction stands in for the catalog under the scopes that act in it: it answers reads from what was written in it
and else from the catalog, remembers the version of all it read, and keeps the writes back. Bytes of file-sized values
go to the storage at once and are put on disk before the commit, which is one short database transaction.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from .address import Path, format_address
from .catalog.base import (
    ABSENT,
    BUNDLE,
    HEAD,
    Change,
    Committed,
    Delete,
    Edit,
    EntryRow,
    Expect,
    Fence,
    InlineRow,
    Ledger,
    Member,
    MemberRow,
    NewBlob,
    Put,
    Restore,
    Unchanged,
    ValueRow,
    as_ending,
)  # fmt: skip
from .errors import ClosedError, ConflictError, ExistsError, InvalidArgumentError, NotFoundError, ValueLost
from .hashing import NONE
from .kernel import Kernel
from .model import Record, RecordRow
from .navigation import Navigation, S
from .options import check_options
from .reading import make_record, visible_record
from .stopping import go_on
from .writing import CERTAIN, let_go, parts, settle, sync_blobs

__all__ = ["Atomic", "Buffered", "Transaction"]

B = TypeVar("B", NewBlob | int, NewBlob | int | None)
V = TypeVar("V")

_Place = tuple[Path, str]


class Buffered(Ledger):
    """The ledger of one transaction. Not for use from two threads at once."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._catalog = kernel.catalog
        self._rows: dict[_Place, EntryRow | None] = {}  # what this transaction wrote: a row, or None for deleted
        self._read: dict[_Place, int] = {}  # versions that its writes depend on
        self._changes: list[Change] = []
        self._began: dict[Path, int | None] = {}
        self._fence: Fence | None = None
        self._power = False  # a write in it asked to be on disk
        self._blobs: dict[int, ValueRow] = {}  # where the blobs lie that were read here and may be copied
        self._bundles: dict[int, tuple[Member, ...]] = {}  # those written here, under numbers below 0
        self._members: dict[int, MemberRow] = {}  # of bundles that were read here
        self._open = True
        self._process = os.getpid()

    # --- reads: own writes first ------------------------------------------------------------------------------------

    def _current(self, path: Path, key: str) -> EntryRow | None:
        """The visible entry row, noted as read."""
        self._check_open()
        place = (path, key)
        if place in self._rows:
            return self._rows[place]
        row = visible_record(self._kernel, self._catalog.entry(path, key))
        version = ABSENT if row is None else row[2]
        if self._read.setdefault(place, version) != version:
            raise ConflictError(f"{format_address(path, key)} was changed by someone else during this transaction")
        if row is not None:
            self._note_blob(row)
        return row

    def entry(self, path: Path, key: str) -> Sequence[EntryRow]:
        row = self._current(path, key)
        return () if row is None else (row,)

    def record(self, path: Path, key: str) -> Sequence[RecordRow]:
        return [RecordRow._make(row[:HEAD]) for row in self.entry(path, key)]

    def find(self, path: Path, key: str) -> Sequence[tuple[Any, ...]]:
        return [row[HEAD:] for row in self.entry(path, key)]

    def past(self, path: Path, key: str) -> list[EntryRow]:
        self._check_open()
        rows = self._catalog.past(path, key)
        for row in rows:
            self._note_blob(row)
        return rows

    def members(self, blob: int) -> list[MemberRow]:
        self._check_open()
        own = self._bundles.get(blob)
        if own is not None:
            return [self._member(n, member) for n, member in enumerate(own)]
        rows = self._catalog.members(blob)
        self._members.update({row.blob: row for row in rows})
        return rows

    def _member(self, n: int, member: Member) -> MemberRow:
        """A member that this transaction wrote, or that it shares with a bundle that it read."""
        blob, algorithm, digest, size, _ = member
        if isinstance(blob, int):
            return self._members[blob]._replace(n=n)
        return MemberRow(n, algorithm, digest, size, 0, blob.storage, blob.config, 0, *blob[3:])

    def _note_blob(self, row: EntryRow) -> None:
        value = ValueRow._make(row[HEAD:])
        if value.blob is not None:
            self._blobs[value.blob] = value

    def keys(self, path: Path, start: str, end: str | None, limit: int) -> list[str]:
        self._check_open()
        own = {key: row for (scope, key), row in self._rows.items() if scope == path and _within(key, start, end)}
        found = self._catalog.keys(path, start, end, limit + len(own))
        alive = [key for key, row in own.items() if row is not None and self._alive(row)]
        keys = [key for key in found if key not in own] + alive
        return sorted(keys, key=str.encode)[:limit]

    def search(
        self,
        path: Path,
        *,
        start: str = "",
        end: str | None = None,
        tags: Mapping[str, str] | None = None,
        order: str = "key",
        after: RecordRow | None = None,
        limit: int = 1000,
    ) -> list[tuple[Any, ...]]:
        self._check_open()
        own = {key: row for (scope, key), row in self._rows.items() if scope == path and _within(key, start, end)}
        if order != "key" and own:
            raise InvalidArgumentError(
                "inside a transaction that wrote to this scope, lists come in order of keys only"
            )
        found = self._catalog.search(
            path, start=start, end=end, tags=tags, order=order, after=after, limit=limit + len(own)
        )
        for row in found:
            self._read.setdefault((path, row[0]), row[2])
        rows = [row for row in found if row[0] not in own]
        for key, mine in own.items():
            later = after is None or key.encode() > after[0].encode()
            if mine is not None and later and self._alive(mine) and _has_tags(mine[7], tags):
                rows.append(mine[:HEAD])
        if own:
            rows.sort(key=lambda row: str(row[0]).encode())
        return rows[:limit]

    def _alive(self, row: EntryRow) -> bool:
        return row[6] is None or row[6] > self._catalog.now()

    def scope_id(self, path: Path) -> int | None:
        self._check_open()
        if path not in self._began:
            self._began[path] = self._catalog.scope_id(path)
        return self._began[path]

    # --- writes: kept back ------------------------------------------------------------------------------------------

    def put(
        self, path: Path, key: str, row: tuple[Any, ...], power: bool = False, session: str | None = None
    ) -> tuple[int, float, float]:
        self._power = self._power or power
        made = self._put(as_ending(Put(path, key, **InlineRow._make(row)._asdict()), session))
        return ABSENT, made[4], made[5]

    def add(self, path: Path, key: str, amount: int, codec: int, power: bool = False) -> tuple[int, RecordRow]:
        self._power = self._power or power
        row = self._current(path, key)
        if row is None:
            value, tags, expires = amount, None, None
        else:
            data, tags, expires = ValueRow._make(row[HEAD:]).data, row[7], row[6]
            if data.__class__ is not int:
                raise InvalidArgumentError(f"{format_address(path, key)} is no native integer: use update")
            value = data + amount
        if not -(1 << 63) <= value < 1 << 63:
            raise InvalidArgumentError(f"{format_address(path, key)} plus {amount} would leave 64 bits")
        made = self._put(Put(path, key, codec, NONE, None, 8, value, tags=tags, expires=expires))
        return value, RecordRow._make(made[:HEAD])

    def commit(
        self,
        changes: Sequence[Change],
        *,
        began: Mapping[Path, int | None] | None = None,
        fence: Fence | None = None,
        power: bool = False,
    ) -> list[Committed]:
        self._check_open()
        self._power = self._power or power
        for path, number in (began or {}).items():
            self._began.setdefault(path, number)
        if fence is not None:
            if self._fence not in (None, fence):
                raise InvalidArgumentError("one transaction can be protected by one lease only")
            self._fence = fence
        return [self._buffer(change) for change in changes]

    def _buffer(self, change: Change) -> Committed:
        if isinstance(change, Expect):
            self._check_version(change.path, change.key, change.version)
            return Committed(None)
        if change.if_version is not None:
            self._check_version(change.path, change.key, change.if_version)
        if isinstance(change, Put):
            return Committed(RecordRow._make(self._put(change)[:HEAD]))
        if isinstance(change, Restore):
            raise InvalidArgumentError("a copy of another store's record is made by the catalog itself")
        row = self._current(change.path, change.key)
        if row is None:
            raise NotFoundError(f"no record {format_address(change.path, change.key)}")
        if isinstance(change, Delete):
            self._note(change, None)
        else:
            edited = list(row)
            if not isinstance(change.expires, Unchanged):
                edited[6] = edited[HEAD + 2] = change.expires
            if not isinstance(change.tags, Unchanged):
                edited[7] = change.tags
            if not isinstance(change.codec, Unchanged):
                edited[12] = edited[HEAD + 6] = change.codec
            row = tuple(edited)
            self._note(change, row)
        return Committed(RecordRow._make(row[:HEAD]))

    def _note(self, change: Put | Delete | Edit, row: EntryRow | None) -> None:
        """Keep a change back, with the row that it leaves for the reads of this transaction."""
        self._rows[change.path, change.key] = row
        self._changes.append(change._replace(if_version=None))

    def _put(self, change: Put) -> EntryRow:
        self.scope_id(change.path)  # a scope that is dropped from here on takes the whole transaction with it
        before = self._rows.get((change.path, change.key))
        now = self._catalog.now()
        blob = change.blob
        if isinstance(blob, int) and blob in self._bundles:
            change = change._replace(blob=None, members=self._bundles[blob])
        place: Any  # the last nine columns of a value row
        if change.members:
            bundle = -1 - len(self._bundles)
            self._bundles[bundle] = change.members
            place = (bundle, BUNDLE, None, 0, *(None,) * 5)
        elif isinstance(blob, NewBlob):
            place = (None, blob.storage, blob.config, 0, blob.boot, blob.device, blob.inode, blob.mtime, blob.ctime)
        elif blob is not None:
            place = tuple(self._blobs[blob])[10:]
        else:
            place = (None,) * 9
        head = RecordRow(
            change.key, change.tier, ABSENT, 0, before[4] if before else now, now, change.expires, change.tags,
            change.session, change.algorithm, change.digest, change.size, change.codec, change.config, *place[1:4],
        )  # fmt: skip
        tail = (
            change.tier, ABSENT, change.expires, change.algorithm, change.digest, change.size, change.codec,
            change.config, change.signature, change.data, *place,
        )  # fmt: skip
        row = (*head, *tail)
        self._note(change, row)
        return row

    def _check_version(self, path: Path, key: str, expected: int) -> None:
        row = self._current(path, key)
        version = ABSENT if row is None else row[2]
        if version != expected or ((path, key) in self._rows and row is not None):
            where = format_address(path, key)
            if expected == ABSENT:
                raise ExistsError(f"{where} exists already")
            raise ConflictError(f"{where} is at version {version}, not {expected}")

    # --- the end ----------------------------------------------------------------------------------------------------

    def finish(self, *, power: bool) -> list[tuple[Path, Committed]]:
        """Commit all, or raise and change nothing; gives scope and outcome of each put and edit."""
        self._check_open()
        self._open = False
        expects: list[Change] = [Expect(path, key, version) for (path, key), version in self._read.items()]
        puts = [change for change in self._changes if isinstance(change, Put)]
        if not self._changes and not expects:
            return []
        try:
            go_on()
            self._sync(puts)
            go_on()
        except BaseException:
            self._discard(puts)
            raise
        changes = [_on_disk(change) for change in self._changes]
        try:
            done = self._catalog.commit(
                [*expects, *changes], began=self._began, fence=self._fence, power=power or self._power
            )
        except CERTAIN:
            self._discard(puts)
            raise
        pairs = list(zip(changes, done[len(expects) :], strict=True))
        for change, outcome in pairs:
            if isinstance(change, Put):
                settle(self._kernel, change, outcome)
        return [(change.path, outcome) for change, outcome in pairs if not isinstance(change, Delete)]

    def discard(self) -> None:
        """Forget all writes and delete their bytes; in a fork they are left to who began it."""
        if self._open and self._process == os.getpid():
            self._open = False
            self._discard([change for change in self._changes if isinstance(change, Put)])

    def _discard(self, puts: list[Put]) -> None:
        for change in puts:
            let_go(self._kernel, change)

    def _sync(self, puts: list[Put]) -> None:
        blobs = [part.blob for change in puts for part in parts(change)]
        fresh = [blob for blob in blobs if not blob.synced]
        stand = (self._kernel.storage_of(blob.storage).stands(json.loads(blob.config)) for blob in blobs)
        if len(sync_blobs(self._kernel, fresh)) < len(fresh) or not all(stand):
            raise ValueLost("bytes that this transaction wrote are gone from their storage: nothing was committed")

    def _check_open(self) -> None:
        if not self._open:
            raise ClosedError("this transaction has ended: begin another one")
        if self._process != os.getpid():
            raise ClosedError("this transaction belongs to the process that began it: begin another one in the fork")


def _on_disk(change: Change) -> Change:
    if isinstance(change, Put):
        members = tuple([member._replace(blob=_synced(member.blob)) for member in change.members])
        return change._replace(blob=_synced(change.blob), members=members)
    return change


def _synced(blob: B) -> B:
    return blob._replace(synced=True) if isinstance(blob, NewBlob) else blob


def _within(key: str, start: str, end: str | None) -> bool:
    encoded = key.encode()
    return start.encode() <= encoded and (end is None or encoded < end.encode())


def _has_tags(text: str | None, wanted: Mapping[str, str] | None) -> bool:
    tags = json.loads(text) if text else {}
    return all(tags.get(name) == value for name, value in (wanted or {}).items())


class Transaction(Navigation[S]):
    """What ``store.transaction()`` gives: scopes named from it write in its one commit.

    Attributes:
        ledger: what its scopes act through.
        path: ``()``, the root.
    """

    def __init__(self, kernel: Kernel, ledger: Buffered, make: Callable[[Path, Buffered], S]) -> None:
        self._kernel = kernel
        self._make = make
        self.ledger = ledger
        self.path = ()

    def _at(self, path: Path) -> S:
        return self._make(path, self.ledger)


class Atomic(Generic[V]):
    """A ``with`` block that commits all writes made through what it gives, or none.

    Attributes:
        records: after the block, the records of its puts and edits, in their order.
    """

    def __init__(self, kernel: Kernel, make: Callable[[Buffered], V], durability: str | None) -> None:
        self._kernel = kernel
        self._make = make
        self._power = check_options({"durability": durability}, kernel.catalog.now, kernel.power).power
        self._ledger: Buffered | None = None
        self.records: list[Record] = []

    def __enter__(self) -> V:
        if self._ledger is not None:
            raise ClosedError("this transaction was used before: begin another one")
        self._ledger = Buffered(self._kernel)
        return self._make(self._ledger)

    def __exit__(self, kind: object, *how: object) -> None:
        assert self._ledger is not None
        if kind is not None:
            self._ledger.discard()
            return
        for path, done in self._ledger.finish(power=self._power):
            if done.row is not None:
                self.records.append(make_record(self._kernel, path, done.row))
