"""What every part of the PostgreSQL catalog stands on: reading, writing, transactions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from ...address import Path
from ...errors import BusyError, HoldfastError, InvalidArgumentError
from ..sql.engine import Locks
from ..sql.places import Places
from .clock import Clock
from .connection import Link, Statement
from .failures import is_passing, is_taken, translated, unknown_outcome
from .opening import open_catalog, settings
from .patience import Patience
from .pool import Pool
from .session import Again, Session, resolving
from .statements import CLOCK, SETTLED
from .target import parse_url

__all__ = ["Core"]

T = TypeVar("T")

_FIRST_PAUSE, _PAUSE = 0.001, 0.1  # seconds before another attempt


class Core(Places):
    """Connections, retries, transactions, and the memory of scope ids."""

    def __init__(self, url: str, *, create: bool = True, timeout: float = 30.0) -> None:
        if timeout < 0:
            raise InvalidArgumentError(f"timeout is {timeout}: it must be 0 or more seconds")
        target = parse_url(url, timeout)
        self.timeout = timeout
        self._where = target.where
        self._patience = Patience()
        self._pool = Pool(target, settings(target.schema, timeout), timeout, self._patience)
        try:
            link = self._pool.take()
            try:
                self.store_id, self.signing_key, _ = open_catalog(link, target, create=create)
            finally:
                self._pool.give_after_error(link)
        except BaseException:
            self._pool.close()
            raise
        self.clock = Clock(lambda: float(self.read(f"SELECT {CLOCK}")[0][0]))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._where}>"

    def now(self) -> float:
        """See :meth:`Catalog.now <holdfast.catalog.base.Catalog.now>`: the server's clock, never ahead of it."""
        return self.clock.now()

    def settled(self) -> float:
        """See :meth:`Catalog.settled <holdfast.catalog.base.Catalog.settled>`: before the oldest open commit began."""
        return float(self.read(SETTLED)[0][0])

    def resolving(self, path: Path) -> Statement:
        """See :meth:`Places.resolving <holdfast.catalog.sql.places.Places.resolving>`."""
        return resolving(path)

    def impatient(self, haste: Callable[[], bool], work: Callable[[], T]) -> T:
        """See :meth:`Catalog.impatient <holdfast.catalog.base.Catalog.impatient>`: the server is told to cancel."""
        patience = self._patience
        before, patience.haste = patience.haste, haste
        try:
            return work()
        finally:
            patience.haste = before

    # --- statements ---------------------------------------------------------------------------------------------------

    def read(self, sql: str, values: tuple[Any, ...] = (), *, once: bool = False) -> list[Any]:
        """See :meth:`Engine.read <holdfast.catalog.sql.engine.Engine.read>`; with ``once`` it is planned for these
        values."""
        sql = sql.replace("?", "$")
        return self.attempt(lambda link: link.rows(sql, values, once=once), reads=True)

    def write(self, sql: str, values: tuple[Any, ...] = (), *, spare: bool = False) -> list[Any]:
        """See :meth:`Engine.write <holdfast.catalog.sql.engine.Engine.write>`."""
        sql = sql.replace("?", "$")
        return self.attempt(lambda link: link.rows(sql, values), twice=True)

    def attempt(self, work: Callable[[Link], T], *, twice: bool = False, reads: bool = False) -> T:
        """Call ``work`` with a link, again where that may help and does no harm; its errors become ours.

        What only ``reads``, or may be done ``twice``, is done again also when the connection broke.
        """
        end = time.monotonic() + self.timeout
        pause = _FIRST_PAUSE
        sound = not (twice or reads)
        broke: BaseException | None = None  # while a write was on its way
        while True:
            try:
                link = self._pool.take(sound=sound)
                try:
                    result = work(link)
                except BaseException as error:
                    sound, lost = True, link.lost
                    self._pool.give_after_error(link)
                    if not isinstance(error, (psycopg.Error, UnicodeEncodeError)):
                        raise
                    if lost and not reads:
                        broke = error
                        if not twice:
                            raise unknown_outcome(error, self._where) from error
                    if not (lost or is_passing(error)) or self._is_late(end - pause):
                        raise translated(error, self._where) from error
                else:
                    self._pool.give(link)
                    return result
            except BusyError as error:
                if broke is None:
                    raise
                raise unknown_outcome(broke, self._where) from error
            time.sleep(pause)
            pause = min(2 * pause, _PAUSE)

    def _is_late(self, end: float) -> bool:
        """Whether there is no time for another attempt."""
        return time.monotonic() > end or self._patience.is_over()

    def transaction(
        self, work: Callable[[Session], T], *, power: bool = False, spare: bool = False, locks: Locks | None = None
    ) -> T:
        """See :meth:`Engine.transaction <holdfast.catalog.sql.engine.Engine.transaction>`: each is on disk here."""
        end = time.monotonic() + self.timeout
        pause = _FIRST_PAUSE
        while True:
            link = self._pool.take(sound=True)
            session: Session | None = None
            try:
                session = Session(link, self._known, locks)
                result = work(session)
                session.commit()
            except BaseException as error:
                lost = link.lost
                self._pool.give_after_error(link)
                self._refuse(error, lost, session, end - pause)
            else:
                self._pool.give(link)
                if session.found or session.bound:
                    self.remember(session.learned())
                return result
            time.sleep(pause)
            pause = min(2 * pause, _PAUSE)

    def _refuse(self, error: BaseException, lost: bool, session: Session | None, end: float) -> None:
        """Raise what a transaction ended by, unless nothing of it was committed and another attempt may help."""
        if isinstance(error, HoldfastError) or not isinstance(error, (psycopg.Error, UnicodeEncodeError, Again)):
            raise error
        if lost and session is not None and session.committing:
            raise unknown_outcome(error, self._where) from error
        if isinstance(error, Again) or lost or is_passing(error) or is_taken(error):
            if not self._is_late(end):
                return
            if isinstance(error, Again):
                raise BusyError(f"{self._where}: other writers were in the way all the time: try again") from error
        raise translated(error, self._where) from error
