"""One commit of several changes, each seeing those before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from secrets import token_hex
from typing import Any, Protocol, TypeVar

from ...address import Path, format_address, format_path
from ...errors import (
    ConflictError,
    ExistsError,
    InvalidArgumentError,
    LeaseLost,
    NotFoundError,
    ScopeDroppedError,
    StoreError,
)
from ...model import POWER, RecordRow
from ..base import ABSENT, HIGHEST, Change, Committed, Delete, Edit, Fence, NewBlob, Put, Restore, Unchanged, WriteAgain
from .engine import Engine, Locks, Session, refuse_root
from .policies import BoundSession

__all__ = ["DAY", "Changes", "conflict"]

DAY = 86400
"""Seconds for which it is known that a place was collected: no write there may take longer."""

T = TypeVar("T")

_Outcome = Callable[[], Committed]

_LIVE, _DYING, _LOST, _GONE = 0, 1, 2, 3

# ?1 digest, ?2 algorithm, ?3 size, ?4 storage, ?5 whether the new bytes are synced, ?6 their boot. Bytes that may not
# be on disk are no substitute for ones that are, nor are those of an earlier boot for fresh ones.
_TAKE_EQUAL = (
    "UPDATE blobs SET refs=refs+1 WHERE id=(SELECT id FROM blobs WHERE hash=?1 AND state=0 AND hash IS NOT NULL "
    "AND algo=?2 AND bytes=?3 AND storage=?4 AND(synced=1 OR(?5=0 AND boot IS NOT DISTINCT FROM ?6))"
    "ORDER BY synced DESC,id LIMIT 1)AND state=0 RETURNING id,place,synced"
)
# State 3: equal bytes were collected there. Such a row has an id of its own, greater than those that there were before,
# which tells whether new bytes were written after that.
_TAKE_AGAIN = (
    "UPDATE blobs SET refs=CASE WHEN state=3 THEN 1 ELSE refs+1 END,algo=?2,hash=?3,bytes=?4,boot=?6,"
    "device=?7,inode=?8,mtime=?9,ctime=?10,synced=CASE WHEN state=0 AND synced=1 THEN 1 ELSE ?5 END,state=0 "
    "WHERE id=?1 AND state=?11 RETURNING storage,place,synced"
)
_TAKE_NEW = (
    "INSERT INTO blobs(storage,place,algo,hash,bytes,refs,synced,boot,device,inode,mtime,ctime)"
    "VALUES(?1,?2,?3,?4,?5,1,?6,?7,?8,?9,?10,?11)RETURNING id"
)

# Storage 0 is none; its place is a name of its own, as each row has.
_MAKE_BUNDLE = "INSERT INTO blobs(storage,place,algo,hash,bytes,refs,synced)VALUES(0,?1,0,NULL,0,1,?2)RETURNING id"


class _Keyed(Protocol):
    @property
    def path(self) -> Path: ...
    @property
    def key(self) -> str: ...


class Changes(Engine):
    """``commit``."""

    def pass_by(self, version: int) -> None:
        """Where all keys count together: have what is counted from now on be above a version that is to be restored."""

    def commit(
        self,
        changes: Sequence[Change],
        *,
        began: Mapping[Path, int | None] | None = None,
        fence: Fence | None = None,
        power: bool = False,
    ) -> list[Committed]:
        """See :meth:`Catalog.commit <holdfast.catalog.base.Catalog.commit>`."""
        for change in changes:
            if isinstance(change, (Put, Restore)):
                refuse_root(change.path, "hold records")
        restored = [change.version for change in changes if isinstance(change, Restore)]
        if restored:
            if not 1 <= min(restored) <= max(restored) <= HIGHEST:
                raise InvalidArgumentError(f"versions from {min(restored)} to {max(restored)}: they are 1 to {HIGHEST}")
            self.pass_by(max(restored))

        def work(session: BoundSession) -> list[_Outcome]:
            if fence is not None:
                _check_fence(session, fence)
            for path, scope in (began or {}).items():
                if scope is not None and session.scope(path) != scope:
                    raise ScopeDroppedError(
                        f"{format_path(path)} was dropped or renamed during this write: begin it again"
                    )
            return [_apply(session, change, power, self.SAME_PLACE) for change in changes]

        locks = Locks(
            keys=[(change.path, change.key) for change in changes],
            look=any(not isinstance(change, Put) or change.if_version is not None for change in changes),
            fence=None if fence is None else fence.name,
        )
        # What only deletes must work on a full disk too.
        spare = not any(isinstance(change, (Put, Restore)) for change in changes)
        return [outcome() for outcome in self.transaction(work, power=power, spare=spare, locks=locks)]


def _apply(session: BoundSession, change: Change, power: bool, same_place: str) -> _Outcome:
    if isinstance(change, Put):
        return _put(session, change, power, same_place)
    if isinstance(change, Restore):
        return _restore(session, change, same_place)
    if isinstance(change, Delete):
        return _delete(session, change)
    if isinstance(change, Edit):
        return _edit(session, change, power)
    _check_version(session, change, session.scope(change.path), change.version)
    return partial(Committed, None)


def _check_fence(session: Session, fence: Fence) -> None:
    held = session.rows(
        "SELECT 1 FROM leases WHERE name=?1 AND token=?2 AND expires>?3", (fence.name, fence.token, session.now)
    )
    if not held:
        raise LeaseLost(f"lease {fence.name!r} is no longer held with token {fence.token}: nothing was committed")


def _check_version(session: Session, change: _Keyed, scope: int | None, version: int | None) -> None:
    """Raise unless the visible version is the one expected; None expects nothing."""
    if version is None:
        return
    found = session.visible(scope, change.key)
    if found != version:
        raise conflict(change, found, version)


def conflict(change: _Keyed, found: int, version: int) -> ConflictError:
    """The error for a key whose visible version is ``found``, 0 for none, and not the one expected."""
    address = format_address(change.path, change.key)
    if version == ABSENT:
        return ExistsError(f"{address} exists already, with version {found}")
    there = f"has version {found}" if found else "does not exist"
    return ConflictError(f"{address} {there}, not version {version}: read it again and retry")


# --- put --------------------------------------------------------------------------------------------------------------


_Content = tuple[int | None, bool, tuple[Any, Any, Any], tuple[bool, ...]]
"""Blob, whether new bytes are needed, storage, place and sync of the blob, and whether its members' are needed."""


def _put(session: Session, put: Put, power: bool, same_place: str) -> _Outcome:
    scope = session.make_scope(put.path)
    _check_version(session, put, scope, put.if_version)
    content = _content(session, put, same_place)
    flags, now = POWER if power else 0, session.now
    made = session.put_row(scope, put.key, put.tier, _values(put, flags, now, content[0]))
    return lambda: _committed(put, *made(), flags, now, content)


def _restore(session: BoundSession, restore: Restore, same_place: str) -> _Outcome:
    put, version, created, updated, flags, past = restore
    scope = session.make_scope(put.path)
    _check_version(session, put, scope, put.if_version)
    if past:
        wanted = session.has_room(scope, put.key, version)
    else:
        wanted = all(record.version < version for record in session.records(scope, put.key))
    if not wanted:
        return partial(Committed, None, taken=False)
    content = _content(session, put, same_place)
    make = session.keep_row if past else session.restore_row
    make(scope, put.key, put.tier, version, created, _values(put, flags, updated, content[0]))
    return lambda: _committed(put, version, created, flags, updated, content)


def _content(session: Session, put: Put, same_place: str) -> _Content:
    """What is put, with a reference to its blob taken."""
    if put.members:
        return _bundle(session, put, same_place)
    if isinstance(put.blob, NewBlob):
        return _take(session, put, put.blob, same_place)
    if put.blob is None:
        return None, True, (None, None, None), ()
    rows = session.rows(
        "UPDATE blobs SET refs=refs+1 WHERE id=?1 AND state=0 RETURNING storage,place,synced", (put.blob,)
    )
    if not rows:
        raise ConflictError(f"the bytes that {format_address(put.path, put.key)} was to share are gone: copy it again")
    return put.blob, True, rows[0], ()


def _bundle(session: Session, put: Put, same_place: str) -> _Content:
    """A new bundle of a put's members, each taken as the blob of a put is, with a reference to the bundle."""
    if put.blob is not None:
        raise InvalidArgumentError(f"{format_address(put.path, put.key)} has a blob and members: it can have either")
    session.hold_blobs(
        [member.digest for member in put.members if member.digest is not None],
        [member.blob for member in put.members if isinstance(member.blob, int)],
    )
    parts = [_content(session, put._replace(members=(), **member._asdict()), same_place) for member in put.members]
    synced, place = min(part[2][2] for part in parts), f'"{token_hex(16)}"'
    ((bundle,),) = session.rows(_MAKE_BUNDLE, (place, synced))
    for n, part in enumerate(parts):
        session.later("INSERT INTO members(bundle,n,blob) VALUES(?1,?2,?3)", (bundle, n, part[0]))
    return bundle, True, (0, place, synced), tuple(part[1] for part in parts)


def _values(put: Put, flags: int, updated: float, blob: int | None) -> tuple[Any, ...]:
    """The values of a row, as :meth:`Session.put_row` has them."""
    return (
        flags, updated, put.expires, put.tags, put.algorithm, put.digest, put.size, put.codec, put.config,
        put.signature, put.data, put.session, blob,
    )  # fmt: skip


def _committed(put: Put, version: int, created: float, flags: int, updated: float, content: _Content) -> Committed:
    _, taken, storage, members = content
    row = RecordRow(
        put.key, put.tier, version, flags, created, updated, put.expires, put.tags, put.session, put.algorithm,
        put.digest, put.size, put.codec, put.config, *storage,
    )  # fmt: skip
    return Committed(row, taken, members)


def _take(session: Session, put: Put, new: NewBlob, same_place: str) -> _Content:
    """A reference to the new bytes or to live ones that equal them."""
    if put.since is not None and session.now - put.since.time > DAY:
        raise WriteAgain(f"{format_address(put.path, put.key)} took more than a day to write: write again, in less")
    there = session.rows(
        f"SELECT id,state,algo,hash,bytes,refs FROM blobs WHERE storage=?1 AND {same_place}", (new.storage, new.config)
    )
    if there:
        return _take_again(session, put, new, *there[0])
    synced = int(new.synced)
    if put.digest is not None and put.since is None:  # else the storage itself says where equal bytes lie
        equal = session.rows(_TAKE_EQUAL, (put.digest, put.algorithm, put.size, new.storage, synced, new.boot))
        if equal:
            blob, place, live_synced = equal[0]
            return blob, False, (new.storage, place, live_synced), ()
    rows = session.rows(
        _TAKE_NEW, (new.storage, new.config, put.algorithm, put.digest, put.size, synced, *new[3:])
    )  # fmt: skip
    return rows[0][0], True, (new.storage, new.config, synced), ()


def _take_again(session: Session, put: Put, new: NewBlob, blob: int, state: int, *known: Any) -> _Content:
    """The storage gave a place that it gave before: the bytes there are the ones just written, and are shared."""
    address = format_address(put.path, put.key)
    *content, refs = known
    if state == _LIVE and refs and content != [put.algorithm, put.digest, put.size]:  # of garbage it may not be known
        raise StoreError(f"the storage put the bytes of {address} in the place of others ({new.config}): it must not")
    rows = None
    if state != _DYING and not (state == _GONE and (put.since is None or blob > put.since.blob)):
        values = (blob, put.algorithm, put.digest, put.size, int(new.synced), *new[3:], state)
        rows = session.rows(_TAKE_AGAIN, values)
    if not rows:
        raise WriteAgain(f"equal bytes were collected at the place where those of {address} were written: write again")
    return blob, True, rows[0], ()


# --- delete and edit --------------------------------------------------------------------------------------------------


def _visible(session: Session, change: _Keyed, tier: int | None, if_version: int | None) -> tuple[int, RecordRow]:
    """Scope and visible record (of that tier, if one is given).

    Raises:
        NotFoundError: there is none.
        ConflictError: the key's visible version is not the one expected.
    """
    scope = session.scope(change.path)
    records = [] if scope is None else session.records(scope, change.key)
    live = [r for r in records if r.expires is None or r.expires > session.now]
    found = [r for r in live if tier is None or r.tier == tier]
    if not found or scope is None:
        raise NotFoundError(f"no record {format_address(change.path, change.key)}")
    _check_version(session, change, scope, if_version)
    return scope, max(found, key=lambda record: record.version)


def _delete(session: Session, delete: Delete) -> _Outcome:
    scope, record = _visible(session, delete, delete.tier, delete.if_version)
    session.delete_rows(scope, delete.key, delete.tier)
    return partial(Committed, record)


def _edit(session: Session, edit: Edit, power: bool) -> _Outcome:
    scope, record = _visible(session, edit, None, edit.if_version)
    record = record._replace(
        flags=POWER if power else 0,
        updated=session.now,
        expires=_or(edit.expires, record.expires),
        tags=_or(edit.tags, record.tags),
        codec=_or(edit.codec, record.codec),
    )
    version = session.edit_row(
        scope, edit.key, record.tier, (record.flags, record.updated, record.expires, record.tags, record.codec)
    )
    return lambda: Committed(record._replace(version=version()))


def _or(value: T | Unchanged, present: T) -> T:
    return present if isinstance(value, Unchanged) else value
