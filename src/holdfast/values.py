"""The verbs on one key: put, get and what is between them."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Protocol, TypeVar, Unpack

from .address import Path, check_key, format_address
from .catalog.base import (
    ABSENT,
    BUNDLE,
    HEAD,
    Change,
    Delete,
    Edit,
    EntryRow,
    Expect,
    Fence,
    Ledger,
    NewBlob,
    Put,
    ValueRow,
)
from .contents import read_object
from .errors import (
    ConflictError,
    ExistsError,
    HoldfastError,
    InvalidArgumentError,
    LeaseLost,
    NotFoundError,
    StoreError,
    ValueLost,
)
from .kernel import Kernel
from .model import DURABLE, EPHEMERAL, Codec, Content, Entry, Record
from .objects import put
from .options import (
    ON_DISK,
    PLAIN,
    Fenced,
    Plan,
    PutOptions,
    check_content_type,
    check_options,
    check_version,
    expiry,
    fence_of,
    tags_text,
    tier_of,
)
from .reading import load, load_stored, make_record, missing, newest, read_current, seen, visible_record
from .steps import Steps, run

__all__ = ["RAISE", "Target", "Values", "put_of"]

E = TypeVar("E", bound=HoldfastError)
T = TypeVar("T")

RAISE: Any = object()
"""The default of what has none: that nothing is there is an error."""

_NOTHING: Any = object()


class Target(Protocol):
    """A scope, of either colour."""

    path: Path


class Values:
    """Verbs on values by key, in one scope of one store, through the catalog or through a transaction over it.

    Attributes:
        path: ``(kind, name)`` pairs from the root.
    """

    path: Path
    _kernel: Kernel
    _ledger: Ledger
    _defaults: PutOptions | None = None

    def _plan(self, options: PutOptions) -> Plan:
        kernel = self._kernel
        if self._defaults:
            options = {**self._defaults, **options}
        if options:
            return check_options(options, kernel.catalog.now, kernel.power)
        return ON_DISK if kernel.power else PLAIN

    def put(self, key: str, value: Any, **options: Unpack[PutOptions]) -> Record:
        """Store a value under a key, replacing what is there, and give its record.

        Small values lie in the catalog, larger ones in the storage: bytes first, record last. See
        :class:`~holdfast.options.PutOptions` for the options.

        Raises:
            InvalidKeyError, InvalidArgumentError, NotRegisteredError, EncodeError: nothing was written.
            ConflictError: a condition did not hold (ExistsError, LeaseLost), or the scope was dropped meanwhile.
            StorageFullError, BusyError: see the errors.
        """
        plan = self._plan(options)
        return put(self._kernel, self._ledger, self.path, check_key(key), value, plan)

    def get(
        self,
        key: str,
        default: Any = RAISE,
        *,
        verify: bool = False,
        trust: bool = False,
        version: int | None = None,
        tier: str | None = None,
    ) -> Any:
        """The value of a key. Large arrays are private maps of the stored bytes: writable, the store is not changed.

        Args:
            default: given back when there is no such record.
            verify: hash the bytes even where they are known to be untouched.
            trust: load a pickle whose signature does not hold. It can run any code.
            version: give this version, the newest one or one that is kept; None for the newest.
            tier: ``"durable"`` or ``"memory"`` for the value there; None for the newest of both.

        Raises:
            NotFoundError: no such record or version, and no default.
            IntegrityError, SignatureError, DecodeError, ValueLost: the bytes are not what was put.
        """
        if version is not None:
            if tier is not None:
                raise InvalidArgumentError("a version is of one tier: leave tier away")
            return self._get_version(key, version, default, verify, trust)
        kernel, path = self._kernel, self.path
        if tier is not None:
            return run(self._get(key, self._seen(key, tier), default, verify, trust, tier))
        rows = self._ledger.find(path, check_key(key))
        row = rows[0] if len(rows) == 1 and rows[0][2] is None else newest(kernel, rows)
        if row is not None and row[0] == EPHEMERAL and row[9] is not None:
            row = self._seen(key, None)  # of one in a memory, that tells whether it lasts
        if row is not None and row[10] is None:  # its bytes are in the catalog
            return load(kernel, path, key, row, verify, trust)
        return run(self._get(key, row, default, verify, trust))

    def _seen(self, key: str, tier: str | None) -> tuple[Any, ...] | None:
        return seen(self._kernel, self._ledger, self.path, check_key(key), tier_of(tier))

    def _get(
        self, key: str, row: tuple[Any, ...] | None, default: Any, verify: bool, trust: bool, tier: str | None = None
    ) -> Steps[Any]:
        """The value of a row, or of the one that has taken its place meanwhile, or the default."""
        kernel, path = self._kernel, self.path
        while row is not None:
            try:
                return (yield from load_stored(kernel, path, key, row, verify, trust, self._ledger))
            except (ValueLost, StoreError) as error:
                if row[0] == DURABLE and isinstance(error, StoreError):
                    raise
                again = self._seen(key, tier)  # replaced or deleted, and collected, or ended, since the row was read?
                if again == row:
                    raise self._lost(key, row, error) from error.__cause__
                row = again
        if default is RAISE:
            raise missing(path, key, tier)
        return default

    def _lost(self, key: str, row: tuple[Any, ...], error: E) -> E:
        """The error for a value whose bytes cannot be had, which names the durable one, if there is one beside it."""
        there = seen(self._kernel, self._ledger, self.path, key, DURABLE) if row[0] == EPHEMERAL else None
        if there is None:
            return error
        return type(error)(f"{error.message}; version {there[1]} is durable: get it with tier='durable'")

    def _get_version(self, key: str, version: int, default: Any, verify: bool, trust: bool) -> Any:
        def read(row: tuple[Any, ...]) -> Any:
            return load(self._kernel, self.path, key, row[HEAD:], verify, trust, self._ledger)

        try:
            row = self._version(key, version)
        except ValueLost:
            raise
        except NotFoundError:
            if default is RAISE:
                raise
            return default
        return read_current(row, lambda: self._version(key, version), read)

    def _version(self, key: str, version: int) -> EntryRow:
        """The entry row of a version that is the newest one, or kept."""
        check_version(version, "version")
        # Of a key that is durable and in a memory both are there.
        each = (visible_record(self._kernel, [row]) for row in self._ledger.entry(self.path, check_key(key)))
        there = sorted((row for row in each if row is not None), key=lambda row: -row[2])
        known = {row[2] for row in there}
        there += [row for row in self._ledger.past(self.path, key) if row[2] not in known]
        for row in there:
            if row[2] == version:
                return row
        kept = ", ".join(str(row[2]) for row in there) or "none"
        raise NotFoundError(f"no version {version} of {format_address(self.path, key)}: there are {kept}")

    def entry(self, key: str, *, verify: bool = False, trust: bool = False) -> Entry[Any]:
        """The value and its record, from one read; see :meth:`get`."""
        kernel, path = self._kernel, self.path

        def read(row: tuple[Any, ...]) -> Entry[Any]:
            value = load(kernel, path, key, row[HEAD:], verify, trust, self._ledger)
            return Entry(value, make_record(kernel, path, row[:HEAD]))

        row = self._entry(check_key(key))
        try:
            return read_current(row, lambda: self._entry(key), read)
        except ValueLost as error:
            raise self._lost(key, row[HEAD:], error) from error.__cause__

    def _entry(self, key: str) -> tuple[Any, ...]:
        row = visible_record(self._kernel, self._ledger.entry(self.path, key))
        if row is None:
            raise missing(self.path, key)
        return row

    def record(self, key: str, *, tier: str | None = None) -> Record:
        """All about a key but its bytes; of its value in one ``tier``, ``"durable"`` or ``"memory"``, if it is named.

        Raises:
            NotFoundError: no such record.
        """
        rows, wanted = self._ledger.record(self.path, check_key(key)), tier_of(tier)
        row = visible_record(self._kernel, [row for row in rows if wanted in (None, row[1])])
        if row is None:
            raise missing(self.path, key, tier)
        return make_record(self._kernel, self.path, row)

    def contents(self, key: str) -> Mapping[str, Content]:
        """The contents of a record by their names, with where each of them lies.

        Raises:
            NotFoundError: no such record.
        """
        row = self._entry(check_key(key))
        contents = dict(make_record(self._kernel, self.path, row[:HEAD]).contents)
        value = ValueRow._make(row[HEAD:])
        if value.storage == BUNDLE and value.blob is not None:
            places = [json.loads(member.storage_config) for member in self._ledger.members(value.blob)]
            for part in read_object(value.config, format_address(self.path, key))[3]:
                if part.member is not None:
                    contents[part.name] = contents[part.name]._replace(storage_config=places[part.member])
        return contents

    def exists(self, key: str, *, tier: str | None = None) -> bool:
        """Whether the key has a record that did not expire or end with a session; in this ``tier``, ``"durable"`` or
        ``"memory"``, if it is named."""
        return self._seen(key, tier) is not None

    def delete(
        self,
        key: str,
        *,
        if_version: int | None = None,
        missing_ok: bool = False,
        lease: Fenced | None = None,
        tier: str | None = None,
    ) -> Record | None:
        """Remove a key's record and give it; the bytes are collected later. With ``missing_ok`` None for no record.

        A value that is durable and in a memory is gone from both, unless ``tier`` says from which.

        Raises:
            NotFoundError: no such record.
            ConflictError: it is not at ``if_version``, or ``lease`` is not held (LeaseLost).
        """
        change = Delete(self.path, check_key(key), tier_of(tier), check_version(if_version))
        try:
            return self._change(change, lease)
        except KeyError:
            if missing_ok:
                return None
            raise

    def _change(self, change: Change, lease: Fenced | None = None) -> Record:
        self._kernel.sessions.settle()
        (done,) = self._ledger.commit([change], fence=fence_of(lease), power=self._kernel.power)
        assert done.row is not None
        return make_record(self._kernel, self.path, done.row)

    def update(
        self, key: str, change: Callable[[Any], Any], default: Any = RAISE, **options: Unpack[PutOptions]
    ) -> Entry[Any]:
        """Replace a value by ``change(value)``, atomically, and give the new value with its record.

        ``change`` is called again when somebody else wrote in between. Tags and expiry are kept unless they are given.

        Raises:
            NotFoundError: no such record, and no ``default`` to begin from.
            ConflictError: others were faster all the time until the store's time-out; in a transaction, once.
            InvalidArgumentError: ``if_version`` or ``if_absent`` is given.
        """
        if not callable(change):
            raise InvalidArgumentError(f"update takes a function from the old value to the new one, not {change!r}")
        plan = self._plan(options)
        if plan.if_version is not None:
            raise InvalidArgumentError(
                "update sees to versions itself: leave if_version and if_absent away, or use put"
            )
        deadline = time.monotonic() + self._kernel.config.timeout
        kept = tuple(name for name in ("tags", "expires") if name not in {**(self._defaults or {}), **options})
        for attempt in count(1):
            try:
                return self._update(check_key(key), change, default, plan, kept)
            except LeaseLost:
                raise
            except ConflictError:
                if self._ledger is not self._kernel.catalog or time.monotonic() >= deadline:
                    raise  # what a transaction has read stays as it was read: only a new one can go on
            if attempt > 2:  # a first conflict is with what was written before our turn came, which is now
                time.sleep(random.random() * min(0.001 * attempt, 0.02))
        raise AssertionError

    def _update(
        self, key: str, change: Callable[[Any], Any], default: Any, plan: Plan, kept: tuple[str, ...]
    ) -> Entry[Any]:
        kernel, ledger, path = self._kernel, self._ledger, self.path
        row = visible_record(kernel, ledger.entry(path, key))
        if row is None:
            if default is RAISE:
                raise missing(path, key)
            new = _plain(change(default))
            return Entry(new, put(kernel, ledger, path, key, new, plan._replace(if_version=ABSENT)))
        try:
            old = load(kernel, path, key, row[HEAD:], ledger=ledger)
        except ValueLost:  # replaced or deleted, and collected, between the row and its bytes?
            if visible_record(kernel, ledger.entry(path, key)) == row:
                raise
            raise ConflictError(f"{format_address(path, key)} was replaced while it was read") from None
        new = _plain(change(old))
        standing = {"tags": row[7], "expires": row[6]}
        plan = plan._replace(if_version=_expected(row[2]), **{name: standing[name] for name in kept})
        return Entry(new, put(kernel, ledger, path, key, new, plan))

    def add(self, key: str, amount: int = 1) -> Entry[int]:
        """Add to an integer, from 0 when there is none: one statement, never a conflict.

        Raises:
            InvalidArgumentError: the record is no integer of 64 bits, or the sum would be none.
        """
        if type(amount) is not int or not -(1 << 63) <= amount < 1 << 63:
            raise InvalidArgumentError(f"add takes an integer of 64 bits, not {amount!r}")
        kernel = self._kernel
        given = (self.path, check_key(key), amount, kernel.integer, kernel.power)
        try:
            value, row = self._ledger.add(*given)
        except InvalidArgumentError:  # also of a value in memory whose session has ended
            kernel.sessions.settle()
            value, row = self._ledger.add(*given)
        return Entry(value, make_record(self._kernel, self.path, row))

    def get_many(self, keys: Iterable[str], *, trust: bool = False) -> dict[str, Any]:
        """The values of those of the keys that exist."""
        if isinstance(keys, str) or not isinstance(keys, Iterable):
            raise InvalidArgumentError(f"get_many takes several keys, not {keys!r}")
        values = {}
        for key in keys:
            value = self.get(key, _NOTHING, trust=trust)
            if value is not _NOTHING:
                values[key] = value
        return values

    # --- what is known of a record ------------------------------------------------------------------------------------

    def touch(
        self,
        key: str,
        expires: timedelta | datetime | None,
        *,
        if_version: int | None = None,
        lease: Fenced | None = None,
    ) -> Record:
        """Give a record a new expiry (None: never), without rewriting its bytes."""
        when = expiry(expires, self._kernel.catalog.now)
        change = Edit(self.path, check_key(key), expires=when, if_version=check_version(if_version))
        return self._change(change, lease)

    def set_tags(
        self, key: str, tags: Mapping[str, str] | None, *, if_version: int | None = None, lease: Fenced | None = None
    ) -> Record:
        """Replace a record's tags, without rewriting its bytes."""
        change = Edit(self.path, check_key(key), tags=tags_text(tags), if_version=check_version(if_version))
        return self._change(change, lease)

    def set_content_type(self, key: str, content_type: str, *, lease: Fenced | None = None) -> Record:
        """Replace a record's content type, without rewriting its bytes."""
        check_content_type(content_type)
        while True:
            record = self.record(key)
            codec = Codec(record.serializer, content_type, record.encoding)
            expected = _expected(record.version)
            try:
                return self._change(
                    Edit(self.path, key, codec=self._kernel.codec_ids[codec], if_version=expected), lease
                )
            except LeaseLost:
                raise
            except ConflictError:
                continue  # it was written to in between

    # --- elsewhere ----------------------------------------------------------------------------------------------------

    def copy(
        self,
        key: str,
        new_key: str | None = None,
        *,
        to: Target | None = None,
        replace: bool = False,
        lease: Fenced | None = None,
    ) -> Record:
        """Make the same value known under another key, in this scope or in ``to``; no bytes are copied.

        Raises:
            NotFoundError: no such record.
            ExistsError: the new key exists, and ``replace`` is not set.
        """
        return self._repeat(key, new_key, to, replace, fence_of(lease), move=False)

    def rename(
        self,
        key: str,
        new_key: str | None = None,
        *,
        to: Target | None = None,
        replace: bool = False,
        lease: Fenced | None = None,
    ) -> Record:
        """Move a record to another key, in this scope or to ``to``, in one commit; no bytes are copied.

        Raises:
            NotFoundError: no such record.
            ExistsError: the new key exists, and ``replace`` is not set.
        """
        return self._repeat(key, new_key, to, replace, fence_of(lease), move=True)

    def _repeat(
        self, key: str, new_key: str | None, to: Target | None, replace: bool, fence: Fence | None, *, move: bool
    ) -> Record:
        if to is not None:
            self._check_target(to)
        path: Path = self.path if to is None else to.path
        target = check_key(key if new_key is None else new_key)
        if (path, target) == (self.path, check_key(key)):
            raise InvalidArgumentError(f"{format_address(path, key)} is the record itself: name another key or scope")
        while True:
            row = self._entry(key)
            version = _expected(row[2])
            # What moves is the value in each tier; a copy is of what is seen.
            others = [one for one in self._ledger.entry(self.path, key) if move and one[1] != row[1]]
            below = [one for one in others if visible_record(self._kernel, [one])]
            self._kernel.sessions.settle()
            expected = None if replace else ABSENT
            changes: list[Change] = [
                put_of(path, target, one, None if n else expected) for n, one in enumerate((*below, row))
            ]
            if move:
                changes.append(Delete(self.path, key, if_version=version))
            elif version is not None:
                changes.append(Expect(self.path, key, version))
            try:
                done = self._ledger.commit(changes, fence=fence, power=self._kernel.power)
            except (ExistsError, LeaseLost):
                raise
            except ConflictError:
                continue  # the source was written to in between
            made = done[len(below)].row
            assert made is not None
            return make_record(self._kernel, path, made)

    def _check_target(self, to: object) -> None:
        if not isinstance(to, Values):
            raise InvalidArgumentError(f"copy and rename go to a scope of this store, not to {to!r}")
        if not self._kernel.same_store(to._kernel):
            raise InvalidArgumentError("copy and rename stay within one store: use get and put between two")
        if to._ledger is not to._kernel.catalog and to._ledger is not self._ledger:
            raise InvalidArgumentError(f"{to!r} acts in a transaction: name the scope to copy from in it, too")


def _plain(new: Any) -> Any:
    """The new value, which is not still to be awaited."""
    if hasattr(type(new), "__await__"):
        if hasattr(new, "close"):
            new.close()
        raise InvalidArgumentError("update takes a plain function: it is called in the middle of an atomic write")
    return new


def _expected(version: int) -> int | None:
    """The version that a write depending on what was read may expect: any, for what this same transaction wrote."""
    return None if version == ABSENT else version


def put_of(path: Path, key: str, row: EntryRow, if_version: int | None = None) -> Put:
    """A put of what an entry row has, its bytes shared."""
    value = ValueRow._make(row[HEAD:])
    return Put(
        path, key, value.codec, value.algorithm, value.digest, value.size, value.data, _blob(value), value.config,
        value.signature, row[7], row[6], row[1], row[8], if_version,
    )  # fmt: skip


def _blob(value: ValueRow) -> NewBlob | int | None:
    """The bytes of a row for one more record: those that this transaction wrote are no blob of the catalog yet."""
    if value.blob is None and value.storage is not None:
        place = (value.storage, value.storage_config or "", bool(value.synced))
        return NewBlob(*place, value.boot, value.device, value.inode, value.mtime, value.ctime)
    return value.blob
