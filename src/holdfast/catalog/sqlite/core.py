"""What every part of the SQLite catalog stands on: reading, writing, transactions, and the paths of scopes as ids."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any, ClassVar, TypeVar

import apsw

from ...address import Path, format_path
from ...errors import HoldfastError, InvalidArgumentError, SchemaError, StorageFullError, StoreNotFoundError
from ...model import RecordRow
from ..sql.engine import Locks
from ..sql.places import EPOCH, Found, Known, Places
from ..sql.policies import BoundSession
from .connection import Link, Pool
from .failures import BUSY, from_system, is_full, translated
from .opening import CHECKPOINT, connector, require_library
from .reserve import Reserve
from .statements import EDIT, PUT_FULL, RECORD, RESOLVE_DEEP, RESTORE, VISIBLE, WRITE_PAST, resolve_statement

__all__ = ["Core", "Session"]

T = TypeVar("T")

_LONG = 200_000  # instructions of SQLite's machine: one or two milliseconds
_LOOK = 0.05  # seconds
_FIRST_ROOM, _ROOM = 1_000, 100_000  # versions between a scope's floor and its ceiling, at first and when it is raised
_RESOLVE = [resolve_statement(depth) for depth in range(9)]


class Session(BoundSession):
    """An open transaction: the statements of one commit, and the scopes it looked up or made."""

    EXPIRED = (
        "DELETE FROM records WHERE id IN (SELECT id FROM records INDEXED BY records_expires WHERE expires<=?1 "
        "AND(?3 IS NULL OR scope=?3)LIMIT ?2)RETURNING scope,size"
    )

    def __init__(self, link: Link, known: Known) -> None:
        self.rows = self.later = link.rows
        self.now = time.time()
        self.epoch = self.rows(EPOCH)[0][0]
        super().__init__(known if known[0] == self.epoch else (self.epoch, {}, {}))

    def resolved(self, path: Path) -> Found:
        """See :meth:`BoundSession.resolved <holdfast.catalog.sql.policies.BoundSession.resolved>`."""
        return Found.of(self.rows(*_resolving(path))[0])

    def make_scope(self, path: Path) -> int:
        """The scope's id; it and those above it are made when they are missing."""
        scope = self.scope(path)
        if scope is not None:
            return scope
        if not path:
            return 0
        parent = self.make_scope(path[:-1])
        kind, name = path[-1]
        rows = self.rows(
            "INSERT INTO scopes(parent,kind,name,floor,ceiling,created) "
            "SELECT ?1,?2,?3,floor,floor+?4,?5 FROM store WHERE id=1 RETURNING id",
            (parent, kind, name, _FIRST_ROOM, self.now),
        )
        self.rows("DELETE FROM marks WHERE path=?", (format_path(path),))
        made: int = rows[0][0]
        self.found[path] = made
        return made

    # --- rows of a key ------------------------------------------------------------------------------------------------

    def visible(self, scope: int | None, key: str) -> int:
        """See :meth:`Session.visible <holdfast.catalog.sql.engine.Session.visible>`."""
        version: int = self.rows(VISIBLE, (scope, key, self.now))[0][0]
        return version

    def records(self, scope: int, key: str) -> list[RecordRow]:
        """See :meth:`Session.records <holdfast.catalog.sql.engine.Session.records>`."""
        return [RecordRow._make(row) for row in self.rows(RECORD, (scope, key, self.epoch))]

    def number(self, scope: int, key: str) -> int | None:
        """See :meth:`Session.number <holdfast.catalog.sql.engine.Session.number>`."""
        sql = "SELECT data FROM records WHERE scope=?1 AND key=?2 AND tier=0 AND typeof(data)='integer'"
        rows = self.rows(sql, (scope, key))
        return rows[0][0] if rows else None

    def next_token(self) -> int:
        """See :meth:`Session.next_token <holdfast.catalog.sql.engine.Session.next_token>`."""
        ((token,),) = self.rows("UPDATE store SET token=token+1 RETURNING token")
        return int(token)

    def seen(self, scope: int, version: int) -> None:
        """See :meth:`Session.seen <holdfast.catalog.sql.engine.Session.seen>`."""
        self.rows("UPDATE scopes SET floor=?1 WHERE id=?2 AND floor<?1", (version, scope))

    def write_put(self, scope: int, key: str, tier: int, values: tuple[Any, ...]) -> Callable[[], tuple[int, float]]:
        """See :meth:`BoundSession.write_put <holdfast.catalog.sql.policies.BoundSession.write_put>`."""
        row = (scope, key, self.epoch, *values, tier)
        made: list[tuple[int, float]]
        try:
            made = self.rows(PUT_FULL, row)
        except apsw.ConstraintError:
            self.raise_ceiling(scope, key)
            made = self.rows(PUT_FULL, row)
        return lambda: made[0]

    def write_restore(
        self, scope: int, key: str, tier: int, version: int, created: float, values: tuple[Any, ...]
    ) -> None:
        """See :meth:`BoundSession.write_restore <holdfast.catalog.sql.policies.BoundSession.write_restore>`."""
        self._make_room(scope, version)
        self.rows(RESTORE, (scope, key, version, *values, tier, created))

    def write_past(
        self, scope: int, key: str, tier: int, version: int, created: float, values: tuple[Any, ...]
    ) -> None:
        """See :meth:`BoundSession.write_past <holdfast.catalog.sql.policies.BoundSession.write_past>`."""
        self._make_room(scope, version)
        self.rows(WRITE_PAST, (scope, key, version, *values, tier, created))

    def _make_room(self, scope: int, version: int) -> None:
        self.rows("UPDATE scopes SET ceiling=?2+?3 WHERE id=?1 AND ceiling<=?2", (scope, version, _ROOM))

    def write_edit(self, scope: int, key: str, tier: int, values: tuple[Any, ...]) -> Callable[[], int]:
        """See :meth:`BoundSession.write_edit <holdfast.catalog.sql.policies.BoundSession.write_edit>`."""
        self.raise_ceiling(scope, key)
        made = self.rows(EDIT, (scope, key, self.epoch, tier, *values))
        return lambda: int(made[0][0])

    def write_delete(self, scope: int, key: str, tier: int | None) -> None:
        """See :meth:`BoundSession.write_delete <holdfast.catalog.sql.policies.BoundSession.write_delete>`."""
        self.rows("DELETE FROM records WHERE scope=?1 AND key=?2 AND tier=ifnull(?3,tier)", (scope, key, tier))

    def raise_ceiling(self, scope: int, key: str) -> None:
        """Make room for more versions when this key's next one would be above the scope's ceiling."""
        self.rows(
            "UPDATE scopes SET ceiling=max(ceiling,floor,ifnull((SELECT max(version) FROM records "
            "WHERE scope=?1 AND key=?2),0))+?3 WHERE id=?1 AND ceiling<=max(floor,"
            "ifnull((SELECT max(version) FROM records WHERE scope=?1 AND key=?2),0))",
            (scope, key, _ROOM),
        )


class Core(Places):
    """Connections, retries, transactions and the memory of scope ids."""

    prompt: ClassVar[bool] = True

    def __init__(self, path: str | os.PathLike[str] | None, *, create: bool = True, timeout: float = 30.0) -> None:
        if timeout < 0:
            raise InvalidArgumentError(f"timeout is {timeout}: it must be 0 or more seconds")
        require_library()
        self.path = None if path is None else os.path.abspath(os.fsdecode(path))
        self.timeout = timeout
        self._where = self.path or "the catalog in memory"
        self._looked = 0.0
        self._reserve = Reserve(self.path)
        try:
            self._pool = self._opened(create)
        except OSError as error:
            if isinstance(error, HoldfastError):
                raise
            raise from_system(error, self._where) from error
        self._file = None if self.path is None else _file_at(self.path)
        if self._file is not None:
            self.instance = sha256(repr(self._file).encode()).hexdigest()[:16]
        try:
            self.store_id, self.signing_key = self._identity()
            self.make_reserve()
        except BaseException:
            self._pool.close()
            raise

    def _opened(self, create: bool) -> Pool:
        try:
            connect = connector(self.path, create=create, timeout=self.timeout)
        except StorageFullError:
            if not self._reserve.release():  # even a reader needs some room beside the database
                raise
            connect = connector(self.path, create=create, timeout=self.timeout)
        return Pool(connect, None if self.path is None else self.path + ".gate")

    def look(self, now: float) -> None:
        """Refuse to go on when the file is no longer at its path: what is written into it then, nobody finds again, and
        what is read may be long past.

        Asked of the system every :data:`_LOOK` seconds, as it takes as long as half a put: who writes in the moment of
        a removal may have been a moment before it.

        Raises:
            StoreNotFoundError: the store was moved or removed, or another one is in its place.
        """
        if abs(now - self._looked) > _LOOK and self.path is not None:
            if _file_at(self.path) != self._file:
                raise StoreNotFoundError(
                    f"{self._where} was moved or removed while it was open, and this call did nothing: "
                    "open the store again"
                )
            self._looked = now

    def _identity(self) -> tuple[str, bytes]:
        rows = self.read("SELECT uuid,signing_key FROM store WHERE id=1")
        if not rows:
            raise SchemaError(f"{self._where} is damaged: it does not say which store it is; restore it from a copy")
        store_id, key = rows[0]
        return store_id, key

    # --- statements ---------------------------------------------------------------------------------------------------

    def attempt(self, work: Callable[[Link], T], *, spare: bool = False, reads: bool = False) -> T:
        """Call ``work`` with this thread's link, again while other writers are in the way; its errors become ours.

        What only ``reads`` never queues. With ``spare``, on a full disk: use the room kept for deleting, then what the
        log can give back.
        """
        link = self._pool.link()
        self.look(time.time())
        remedies = 2 if spare else 0
        relieved = False
        while True:
            try:
                result = self._through(link, work, reads)
            except apsw.Error as error:
                if not remedies or not is_full(error, link.connection):
                    raise translated(error, link.connection, self._where) from error
                if self._pool.haste():
                    raise apsw.BusyError("the disk is full: making room takes time") from error
                remedies -= 1
                if self._pool.crowd is not None:
                    self._pool.crowd.set_short(True)
                with link.lock:
                    relieved = self._reserve.relieve(link.connection, CHECKPOINT)
            except OverflowError as error:
                raise InvalidArgumentError(f"a number does not fit in 64 bits: {error}") from error
            except OSError as error:  # the gate file's: StoreErrors are of this kind too
                if isinstance(error, HoldfastError):
                    raise
                raise from_system(error, self._where) from error
            else:
                if relieved:
                    self.make_reserve()
                return result

    def make_reserve(self) -> None:
        """Keep room for deleting; while there is not enough of it, have each put asked whether it leaves some."""
        whole = self._reserve.make()
        if self._pool.crowd is not None:
            self._pool.crowd.set_short(not whole)

    def _through(self, link: Link, work: Callable[[Link], T], reads: bool) -> T:
        if link.gate is None:
            return work(link)
        if reads or not link.gate.crowded() or link.transacting.locked():
            try:
                return work(link)
            except BUSY:
                if self._pool.haste():
                    raise
        elif self._pool.haste():
            raise apsw.BusyError("it is another writer's turn")
        return link.gate.attempt(partial(work, link), self.timeout, self._pool.haste)

    def impatient(self, haste: Callable[[], bool], work: Callable[[], T]) -> T:
        """See :meth:`Catalog.impatient <holdfast.catalog.base.Catalog.impatient>`."""
        local = self._pool.local
        before = getattr(local, "haste", bool)
        local.haste = haste
        try:
            return self._hasty(work) if haste() else work()
        except apsw.Error as error:
            raise translated(error, None, self._where) from error
        finally:
            local.haste = before

    def in_haste(self) -> bool:
        """See :meth:`Catalog.in_haste <holdfast.catalog.base.Catalog.in_haste>`."""
        return self._pool.haste()

    def _hasty(self, work: Callable[[], T]) -> T:
        link = self._pool.link()
        if not link.lock.acquire(blocking=False):  # in memory, where threads share the connection
            raise apsw.BusyError("another thread is at work")
        try:
            link.connection.set_progress_handler(_true, _LONG)  # what takes longer is interrupted
            link.connection.wal_autocheckpoint(0)  # which waits for the disk
            return work()
        finally:
            link.connection.wal_autocheckpoint(CHECKPOINT)
            link.connection.set_progress_handler(None)
            link.lock.release()

    def read(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Rows of one statement that reads."""
        return self.attempt(lambda link: link.rows(sql, values), reads=True)

    def short(self, sql: str, path: Path, key: str) -> list[tuple[Any, ...]]:
        """Rows of a key by one statement on the connection that the thread holds: the short way of reads. An empty
        list says nothing: there is no row, or the long way (:meth:`in_scope`) has to sort out what is in the way."""
        epoch, known, _ = self._known
        scope = known.get(path)
        self.look(time.time())
        if scope is None:
            return []
        try:
            rows: list[tuple[Any, ...]] = self._pool.local.rows(sql, (scope, key, epoch))
        except (AttributeError, apsw.Error):  # a thread's first call, or trouble
            return []
        return rows

    def write(self, sql: str, values: tuple[Any, ...] = (), *, spare: bool = False) -> list[Any]:
        """See :meth:`Engine.write <holdfast.catalog.sql.engine.Engine.write>`."""
        return self.attempt(lambda link: link.rows(sql, values), spare=spare)

    def transaction(
        self, work: Callable[[Session], T], *, power: bool = False, spare: bool = False, locks: Locks | None = None
    ) -> T:
        """See :meth:`Engine.transaction <holdfast.catalog.sql.engine.Engine.transaction>`: each is alone here."""

        def run(link: Link) -> T:
            with link.lock:
                if link.transacting.locked():
                    # A finalizer that came in the middle of a transaction of this thread: be a part of that.
                    return _settled(work, Session(link, self._known))
                link.drop_leftover()
                if power:
                    _synchronous(link, "FULL")
                try:
                    with link.transacting:
                        return self._commit(link, work, spare)
                finally:
                    if power:
                        _synchronous(link, "NORMAL")

        if not spare and self._pool.crowd is not None and self._pool.crowd.short:
            if self._pool.haste():
                raise apsw.BusyError("space is short: looking for more takes time")
            self.make_reserve()  # there may be space again
        return self.attempt(run, spare=spare)

    def _commit(self, link: Link, work: Callable[[Session], T], spare: bool) -> T:
        try:
            link.rows("BEGIN IMMEDIATE")  # inside: an interrupt may come as soon as it is done
            session = Session(link, self._known)
            result = _settled(work, session)
            if not spare and self._pool.crowd is not None and self._pool.crowd.short:
                self._refuse_last_room(link)
            self.look(time.time())
            link.rows("COMMIT")
        except BaseException:
            try:
                if link.connection.in_transaction:
                    link.rows("ROLLBACK")
            except apsw.Error:
                pass  # closed meanwhile, or SQLite rolled back by itself; the first error says why
            raise
        if session.found or session.bound:
            self.remember(session.learned())
        return result

    def _refuse_last_room(self, link: Link) -> None:
        if not self._reserve.leaves_enough(link.connection):
            raise StorageFullError(f"no space left for {self._where} but what deleting needs: nothing was stored")

    def resolving(self, path: Path) -> tuple[str, tuple[str | int, ...]]:
        """See :meth:`Places.resolving <holdfast.catalog.sql.places.Places.resolving>`."""
        return _resolving(path)


def _settled(work: Callable[[Session], T], session: Session) -> T:
    result = work(session)
    session.settle()
    return result


def _file_at(path: str) -> tuple[int, ...]:
    """Which file is there; none and all that cannot be seen are different from every file, and from one another."""
    try:
        found = os.stat(path)
    except OSError:
        return (time.monotonic_ns(),)
    return found.st_dev, found.st_ino


def _true() -> bool:
    return True


def _resolving(path: Path) -> tuple[str, tuple[str | int, ...]]:
    """The statement that gives epoch and id of a path, and its values."""
    depth = len(path)
    if depth < len(_RESOLVE):
        return _RESOLVE[depth], tuple([text for pair in path for text in pair])
    return RESOLVE_DEEP, (json.dumps(path), depth)


def _synchronous(link: Link, level: str) -> None:
    # Not from the statement cache: this pragma acts when it is prepared.
    link.connection.execute(f"PRAGMA synchronous={level}", can_cache=False).fetchall()
