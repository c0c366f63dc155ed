"""Connections: one a thread, held for as long as the thread lives, left alone after a fork, closed at its end."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import apsw

from ...errors import ClosedError
from .gate import Crowd, Gate

__all__ = ["Link", "Pool"]


class Link:
    """A connection and what goes with it.

    Attributes:
        connection: the apsw connection.
        lock: held around every use of the connection, and for the whole of a transaction: threads may share it (in
            memory), another thread may close it, and a fork waits until nobody is inside SQLite.
        transacting: held for the whole of a transaction: one that is open without it was left by an interrupt.
        gate: where its writes queue; None in memory, where nobody else can be at work.
        pid: the process that opened it; only that one may close it.
    """

    __slots__ = ("__weakref__", "_execute", "connection", "gate", "lock", "pid", "transacting")

    def __init__(self, connection: apsw.Connection, gate: Gate | None) -> None:
        self.connection = connection
        self.gate = gate
        self.lock = threading.RLock()
        self.transacting = threading.Lock()
        self.pid = os.getpid()
        self._execute = connection.cursor().execute

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Run a statement to its end and give its rows; it is committed then, unless a transaction is open.

        A transaction that an interrupt has left open is rolled back first: the statement would become a part of it, and
        never be committed.
        """
        with self.lock:
            if self.connection.in_transaction and not self.transacting.locked():
                self.drop_leftover()
            try:
                return self._execute(sql, values).fetchall()
            except apsw.ThreadingViolationError:
                # The held cursor is at work further up in this thread: a finalizer came in between. Take another.
                return self.connection.execute(sql, values).fetchall()
            except apsw.Error:
                raise
            except BaseException:
                # An interrupt between execute and fetchall: another statement ends the one that is half done, which
                # would keep other writers out.
                with suppress(apsw.Error):
                    self._execute("SELECT 1").fetchall()
                raise

    def drop_leftover(self) -> None:
        """Roll back a transaction that an interrupt has left open; the caller holds the lock, and is in none."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close; waits while another thread's statement or transaction is running.

        When the interpreter ends, threads have stopped with their locks held, and nobody waits for those: a connection
        that one of them was using is left to the system.
        """
        if sys.is_finalizing():
            if not (_OPENING.acquire(blocking=False) and self.lock.acquire(blocking=False)):
                _abandon(self)
                return
            self.connection.close()  # and no lock is given back: this is the only thread that still runs
        else:
            with _OPENING, self.lock:
                self.connection.close()
        if self.gate is not None:
            self.gate.close()


class _End:
    """Lies in a thread's locals and closes the thread's link when they go."""

    def __init__(self, pool: Pool, link: Link) -> None:
        self._pool = weakref.ref(pool)
        self._link = link

    def __del__(self, getpid: Callable[[], int] = os.getpid) -> None:
        if self._link.pid == getpid():  # in a forked child the locals of the parent's threads go too
            pool = self._pool()
            if pool is not None and not sys.is_finalizing():
                pool.discard(self._link)
            self._link.close()


class Pool:
    """The links of one catalog.

    Attributes:
        local: this thread's ``link`` and its bound ``rows``, once :meth:`link` was called; the hot path reads them.
            And its ``haste``, where it has one.
        crowd: what writers of all processes tell one another at the gate; None in memory.
        until: its first item is the moment until which it is somebody's turn to write.
    """

    def __init__(self, connect: Callable[..., apsw.Connection], gate: str | None) -> None:
        self._connect = connect
        self._gate = gate
        self._links: set[Link] = set()
        self._closed = False
        self.local = threading.local()
        self.crowd = None if gate is None else Crowd(gate)
        self.until: Sequence[float] = (0.0,) if self.crowd is None else self.crowd.until
        self._shared = Link(connect(), None) if gate is None else None
        _POOLS.add(self)

    def link(self) -> Link:
        """This thread's link, opened when there is none.

        Raises:
            ClosedError: after :meth:`close`.
        """
        try:
            link: Link = self.local.link
            return link
        except AttributeError:
            pass
        local = self.local
        self._refuse_closed()
        link = self._shared or self._open(local)
        local.link = link
        local.rows = link.rows
        return link

    def haste(self) -> bool:
        """Whether this thread is not to wait."""
        told: Callable[[], bool] = getattr(self.local, "haste", bool)
        return told()

    def has_turn(self) -> bool:
        """Whether writers queue, and it is this thread's turn."""
        gate = self.link().gate
        return gate is not None and gate.has_turn()

    def _open(self, local: threading.local) -> Link:
        opening = _OPENING
        if not opening.acquire(blocking=not self.haste()):
            raise apsw.BusyError("another connection is just being opened")
        try:
            link = Link(self._connect(self.haste), None if self._gate is None else Gate(self._gate, self.crowd))
            self._links.add(link)
        finally:
            opening.release()
        local.end = _End(self, link)
        self._refuse_closed()  # again: close() may have missed this one, then its end closes it
        return link

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ClosedError("the catalog is closed: open the store again")

    def discard(self, link: Link) -> None:
        """Forget a link that is being closed."""
        with _OPENING:
            self._links.discard(link)

    def close(self) -> None:
        """Close all links; threads at work get a ClosedError at their next statement."""
        with _OPENING:
            self._closed = True
            links = self.links()
            self._links.clear()
        self.local = threading.local()
        for link in links:
            link.close()

    def links(self) -> list[Link]:
        """All links that are open."""
        return [*self._links, *((self._shared,) if self._shared is not None else ())]

    def leave_to_parent(self) -> None:
        """In a forked child: leave the parent's connections alone, and open new ones when they are needed.

        Closing them here would undo the parent's file locks as SQLite counts them, or even remove its log. In memory
        the child goes on with its copy.
        """
        for link in self._links:
            _abandon(link)
            if link.gate is not None:
                link.gate.abandon()
        self._links = set()
        if self._shared is None:
            self.local = threading.local()


_OPENING = threading.RLock()
"""Held while a connection is opened or closed."""

_POOLS: weakref.WeakSet[Pool] = weakref.WeakSet()
_ABANDONED: list[Link] = []


def _abandon(link: Link) -> None:
    """Keep connection and cursor for ever, beyond the end of the interpreter: apsw closes what is collected, and
    resetting a statement that another thread of the parent had begun writes into memory that the parent still uses."""
    _ABANDONED.append(link)
    try:
        import ctypes
    except ImportError:  # an interpreter built without it closes them when it ends
        return
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(link))


class _Fork:
    """Forks only while no other thread is inside SQLite: a mutex held there would stay locked in the child for ever."""

    _PATIENCE = 2.0  # seconds; then it is done regardless, as two threads may be waiting for one another

    def __init__(self) -> None:
        self._held: dict[int, list[Any]] = {}

    def before(self) -> None:
        end = time.monotonic() + self._PATIENCE
        held = self._held[threading.get_ident()] = []
        self._take(held, _OPENING, end)
        for pool in list(_POOLS):
            for link in pool.links():
                self._take(held, link.lock, end)

    def _take(self, held: list[Any], lock: Any, end: float) -> None:
        if lock.acquire(timeout=max(0.0, end - time.monotonic())):
            held.append(lock)

    def after_in_parent(self) -> None:
        for lock in self._held.pop(threading.get_ident(), ()):
            lock.release()

    def after_in_child(self) -> None:
        global _OPENING
        held = self._held.pop(threading.get_ident(), [])
        if _OPENING not in held:
            _OPENING = threading.RLock()
        for pool in list(_POOLS):
            pool.leave_to_parent()
        for lock in held:
            lock.release()
        self._held.clear()


_fork = _Fork()
os.register_at_fork(before=_fork.before, after_in_parent=_fork.after_in_parent, after_in_child=_fork.after_in_child)
