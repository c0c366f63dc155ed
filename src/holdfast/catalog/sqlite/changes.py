"""One commit of several changes, each seeing those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from ...address import Path, format_address, format_path
from ...errors import ConflictError, ExistsError, LeaseLost, NotFoundError, ScopeDroppedError, StoreError
from ...model import POWER, RecordRow
from ..base import ABSENT, Change, Committed, Delete, Edit, Fence, NewBlob, Put, Unchanged
from .core import Core, Session, refuse_root
from .statements import RECORD, VISIBLE
from .values import put_full

__all__ = ["Changes"]

T = TypeVar("T")

_LIVE, _DYING, _LOST = 0, 1, 2

# ?1 digest, ?2 algorithm, ?3 size, ?4 storage, ?5 whether the new bytes are synced, ?6 their boot. Bytes that may not
# be on disk are no substitute for ones that are, nor are those of an earlier boot for fresh ones.
_EQUAL_BYTES = (
    "SELECT id,place,synced FROM blobs WHERE hash=?1 AND state=0 AND hash IS NOT NULL AND algo=?2 AND bytes=?3 "
    "AND storage=?4 AND(synced=1 OR(?5=0 AND boot IS ?6))ORDER BY synced DESC,id LIMIT 1"
)


class _Keyed(Protocol):
    @property
    def path(self) -> Path: ...
    @property
    def key(self) -> str: ...


class Changes(Core):
    """``commit``."""

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
            if isinstance(change, Put):
                refuse_root(change.path, "hold records")

        def work(session: Session) -> list[Committed]:
            if fence is not None:
                _check_fence(session, fence)
            for path, scope in (began or {}).items():
                if scope is not None and session.scope(path) != scope:
                    raise ScopeDroppedError(
                        f"{format_path(path)} was dropped or renamed during this write: begin it again"
                    )
            return [_apply(session, change, power) for change in changes]

        # What only deletes must work on a full disk too.
        spare = not any(isinstance(change, Put) for change in changes)
        return self.transaction(work, power=power, spare=spare)


def _apply(session: Session, change: Change, power: bool) -> Committed:
    if isinstance(change, Put):
        return _put(session, change, power)
    if isinstance(change, Delete):
        return _delete(session, change)
    if isinstance(change, Edit):
        return _edit(session, change, power)
    _expect(session, change, session.scope(change.path), change.version)
    return Committed(None)


def _check_fence(session: Session, fence: Fence) -> None:
    held = session.rows(
        "SELECT 1 FROM leases WHERE name=? AND token=? AND expires>?",
        (fence.name, fence.token, session.now),
    )
    if not held:
        raise LeaseLost(f"lease {fence.name!r} is no longer held with token {fence.token}: nothing was committed")


def _expect(session: Session, change: _Keyed, scope: int | None, version: int | None) -> None:
    """Raise unless the visible version is the one expected; None expects nothing."""
    if version is None:
        return
    found = session.rows(VISIBLE, (scope, change.key, session.now))[0][0]
    if found == version:
        return
    address = format_address(change.path, change.key)
    if version == ABSENT:
        raise ExistsError(f"{address} exists already, with version {found}")
    there = f"has version {found}" if found else "does not exist"
    raise ConflictError(f"{address} {there}, not version {version}: read it again and retry")


# --- put --------------------------------------------------------------------------------------------------------------


def _put(session: Session, put: Put, power: bool) -> Committed:
    scope = session.make_scope(put.path)
    _expect(session, put, scope, put.if_version)
    blob, taken = None, True
    storage: tuple[Any, Any, Any] = (None, None, None)
    if isinstance(put.blob, NewBlob):
        blob, taken, storage = _take(session, put, put.blob)
    elif put.blob is not None:
        blob = put.blob
        rows = session.rows(
            "UPDATE blobs SET refs=refs+1 WHERE id=? AND state=0 RETURNING storage,place,synced", (blob,)
        )
        if not rows:
            raise ConflictError(
                f"the bytes that {format_address(put.path, put.key)} was to share are gone: copy it again"
            )
        storage = rows[0]
    flags = POWER if power else 0
    version, created = put_full(
        session, scope, put.key, put.tier,
        (flags, session.now, put.expires, put.tags, put.algorithm, put.digest, put.size, put.codec, put.config,
         put.signature, put.data, put.session, blob),
    )  # fmt: skip
    row = RecordRow(
        put.key, put.tier, version, flags, created, session.now, put.expires, put.tags, put.session, put.algorithm,
        put.digest, put.size, put.codec, put.config, *storage,
    )  # fmt: skip
    return Committed(row, taken)


def _take(session: Session, put: Put, new: NewBlob) -> tuple[int, bool, tuple[Any, Any, Any]]:
    """A reference to the new bytes or to live ones that equal them: blob id, whether the new ones are needed, place."""
    same_place = session.rows(
        "SELECT id,state,algo,hash,bytes FROM blobs WHERE storage=? AND place=?", (new.storage, new.config)
    )
    if same_place:
        return _take_again(session, put, new, *same_place[0])
    synced = int(new.synced)
    if put.digest is not None:
        equal = session.rows(_EQUAL_BYTES, (put.digest, put.algorithm, put.size, new.storage, synced, new.boot))
        if equal:
            blob, place, live_synced = equal[0]
            session.rows("UPDATE blobs SET refs=refs+1 WHERE id=?", (blob,))
            return blob, False, (new.storage, place, live_synced)
    rows = session.rows(
        "INSERT INTO blobs(storage,place,algo,hash,bytes,refs,synced,boot,device,inode,mtime,ctime)"
        "VALUES(?,?,?,?,?,1,?,?,?,?,?,?)RETURNING id",
        (new.storage, new.config, put.algorithm, put.digest, put.size, synced, *new[3:]),
    )
    return rows[0][0], True, (new.storage, new.config, synced)


def _take_again(
    session: Session, put: Put, new: NewBlob, blob: int, state: int, algorithm: int, digest: bytes | None, size: int
) -> tuple[int, bool, tuple[Any, Any, Any]]:
    """The storage gave a place that it gave before: the bytes there are the ones just written, and are shared."""
    address = format_address(put.path, put.key)
    if state == _DYING:
        raise ConflictError(
            f"the bytes of {address} are just being collected at the place they were written to: write again"
        )
    if state == _LIVE and (algorithm, digest, size) != (put.algorithm, put.digest, put.size):
        raise StoreError(f"the storage put the bytes of {address} in the place of others ({new.config}): it must not")
    synced = int(new.synced)
    row = session.rows(
        "UPDATE blobs SET refs=refs+1,algo=?2,hash=?3,bytes=?4,boot=?6,device=?7,inode=?8,mtime=?9,ctime=?10,"
        "synced=CASE WHEN state=0 THEN max(synced,?5) ELSE ?5 END,state=0 WHERE id=?1 RETURNING storage,place,synced",
        (blob, put.algorithm, put.digest, put.size, synced, *new[3:]),
    )[0]
    return blob, True, row


# --- delete and edit --------------------------------------------------------------------------------------------------


def _visible(session: Session, change: _Keyed, tier: int | None, if_version: int | None) -> tuple[int, RecordRow]:
    """Scope and visible record (of that tier, if one is given).

    Raises:
        NotFoundError: there is none.
        ConflictError: the key's visible version is not the one expected.
    """
    scope = session.scope(change.path)
    rows = [] if scope is None else session.rows(RECORD, (scope, change.key, session.epoch))
    records = [RecordRow._make(row) for row in rows]
    live = [r for r in records if r.expires is None or r.expires > session.now]
    found = [r for r in live if tier is None or r.tier == tier]
    if not found or scope is None:
        raise NotFoundError(f"no record {format_address(change.path, change.key)}")
    _expect(session, change, scope, if_version)
    return scope, max(found, key=lambda record: record.version)


def _delete(session: Session, delete: Delete) -> Committed:
    scope, record = _visible(session, delete, delete.tier, delete.if_version)
    if delete.tier is None:
        session.rows("DELETE FROM records WHERE scope=? AND key=?", (scope, delete.key))
    else:
        session.rows("DELETE FROM records WHERE scope=? AND key=? AND tier=?", (scope, delete.key, delete.tier))
    return Committed(record)


def _edit(session: Session, edit: Edit, power: bool) -> Committed:
    scope, record = _visible(session, edit, None, edit.if_version)
    flags = POWER if power else 0
    record = record._replace(
        flags=flags,
        updated=session.now,
        expires=_or(edit.expires, record.expires),
        tags=_or(edit.tags, record.tags),
        codec=_or(edit.codec, record.codec),
    )
    version = _next_version(session, scope, edit.key)
    session.rows(
        "UPDATE records SET version=?,flags=?,updated=?,expires=?,tags=?,codec=? WHERE scope=? AND key=? AND tier=?",
        (version, flags, record.updated, record.expires, record.tags, record.codec, scope, edit.key, record.tier),
    )
    return Committed(record._replace(version=version))


def _or(value: T | Unchanged, present: T) -> T:
    return present if isinstance(value, Unchanged) else value


def _next_version(session: Session, scope: int, key: str) -> int:
    session.raise_ceiling(scope, key)
    top: int = session.rows(
        "SELECT max(floor,ifnull((SELECT max(version) FROM records WHERE scope=?1 AND key=?2),0)) "
        "FROM scopes WHERE id=?1",
        (scope, key),
    )[0][0]
    return top + 1
