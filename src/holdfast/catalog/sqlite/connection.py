"""Connections: one a thread, held for as long as the thread lives, left alone after a fork, closed at its end."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import apsw

from ...errors import ClosedError
from .gate import Crowd, Gate

__all__ = ["Link", "Pool"]


class Link:
    """A connection and what goes with it.

    Attributes:
        connection: the apsw connection.
        lock: held around every use when threads share the connection (in memory), and around transactions.
        gate: where its writes queue; None in memory, where nobody else can be at work.
        pid: the process that opened it; only that one may close it.
    """

    __slots__ = ("__weakref__", "_execute", "connection", "gate", "lock", "pid")

    def __init__(self, connection: apsw.Connection, gate: Gate | None) -> None:
        self.connection = connection
        self.gate = gate
        self.lock = threading.RLock()
        self.pid = os.getpid()
        self._execute = connection.cursor().execute

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Run a statement to its end and give its rows; it is committed then, unless a transaction is open."""
        try:
            return self._execute(sql, values).fetchall()
        except apsw.ThreadingViolationError:
            # The held cursor is at work further up in this same thread: a finalizer came in between. Take another.
            return self.connection.execute(sql, values).fetchall()

    def close(self) -> None:
        """Close; waits while another thread's statement is running."""
        patience = time.monotonic() + 60
        while True:
            try:
                self.connection.close()
                break
            except apsw.ThreadingViolationError:
                if time.monotonic() > patience:
                    raise
                time.sleep(0.001)
        if self.gate is not None:
            self.gate.close()


class SharedLink(Link):
    """The one connection of a catalog in memory, for all threads."""

    __slots__ = ()

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """As :meth:`Link.rows`, one thread at a time."""
        with self.lock:
            return super().rows(sql, values)


class _End:
    """Lies in a thread's locals and closes the thread's link when they go."""

    def __init__(self, pool: Pool, link: Link) -> None:
        self._pool = weakref.ref(pool)
        self._link = link

    def __del__(self, getpid: Callable[[], int] = os.getpid) -> None:
        if self._link.pid == getpid():  # in a forked child the locals of the parent's threads go too
            pool = self._pool()
            if pool is not None:
                pool.discard(self._link)
            self._link.close()


class Pool:
    """The links of one catalog.

    Attributes:
        local: this thread's ``link`` and its bound ``rows``, once :meth:`link` was called; the hot path reads them.
        until: its first item is the moment until which writers queue at the gate; see :class:`.gate.Crowd`.
    """

    def __init__(self, connect: Callable[[], apsw.Connection], gate: str | None) -> None:
        self._connect = connect
        self._gate = gate
        self._lock = threading.Lock()
        self._links: set[Link] = set()
        self._shared: SharedLink | None = None
        self._closed = False
        self.local = threading.local()
        self._crowd = None if gate is None else Crowd(gate)
        self.until: Sequence[float] = (0.0,) if self._crowd is None else self._crowd.until
        if gate is None:
            self._shared = SharedLink(connect(), None)
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

    def _open(self, local: threading.local) -> Link:
        link = Link(self._connect(), None if self._gate is None else Gate(self._gate, self._crowd))
        with self._lock:
            self._links.add(link)
        local.end = _End(self, link)
        self._refuse_closed()  # again: close() may have missed this one, then its end closes it
        return link

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ClosedError("the catalog is closed: open the store again")

    def discard(self, link: Link) -> None:
        """Forget a link that is being closed."""
        with self._lock:
            self._links.discard(link)

    def close(self) -> None:
        """Close all links; threads at work get a ClosedError at their next statement."""
        with self._lock:
            self._closed = True
            links = list(self._links)
            self._links.clear()
        self.local = threading.local()
        if self._shared is not None:
            with self._shared.lock:
                links.append(self._shared)
        for link in links:
            link.close()

    # --- fork --------------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """In memory: let no statement be half done in the copy."""
        if self._shared is not None:
            self._shared.lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._shared is not None:
            self._shared.lock.release()

    def after_fork_in_child(self) -> None:
        """Leave the parent's connections alone, and open new ones when they are needed.

        Closing them here would undo the parent's file locks as SQLite counts them, or even remove its log.
        """
        if self._shared is not None:
            self._shared.lock.release()
            return
        for link in self._links:
            _abandon(link)
            if link.gate is not None:
                link.gate.abandon()
        self._links = set()
        self._lock = threading.Lock()
        self.local = threading.local()


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


def _each(method: str) -> Callable[[], None]:
    def call() -> None:
        for pool in list(_POOLS):
            getattr(pool, method)()

    return call


os.register_at_fork(
    before=_each("before_fork"),
    after_in_parent=_each("after_fork_in_parent"),
    after_in_child=_each("after_fork_in_child"),
)
