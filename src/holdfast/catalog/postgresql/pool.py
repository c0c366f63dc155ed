"""The connections of one catalog in one process: as many as are in use at once, up to a limit."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque

import psycopg

from ...errors import BusyError, ClosedError
from .connection import Link
from .failures import is_crowded, is_starting, not_connected
from .patience import ASK, Patience
from .target import Target

__all__ = ["Pool"]

_MOST = 10  # connections of one process
_SPARE = 60.0  # seconds until a connection that is not needed is closed
_FIRST_PAUSE, _PAUSE = 0.01, 0.5  # seconds between two attempts to connect


class _Opening:
    """Stands for a connection that is just being opened."""


class Pool:
    """Links that are free wait in a stack, so that few are used often and the others can go.

    A link that is in use belongs to who uses it: one that an interrupt takes away from him is collected, and so closed.
    """

    def __init__(self, target: Target, settings: str, timeout: float, patience: Patience) -> None:
        self._target = target
        self._patience = patience
        self._settings = settings
        self._timeout = timeout
        self._free: deque[Link] = deque()
        self._links: weakref.WeakSet[Link] = weakref.WeakSet()
        self._opening: weakref.WeakSet[_Opening] = weakref.WeakSet()
        self._waiting = 0
        self._changed = threading.Condition()
        self._closed = False
        self._served = False  # a connection came about before: then the server may be away for a moment only
        self._end = weakref.finalize(self, _close_all, self._free)
        _POOLS.add(self)

    def take(self, *, sound: bool = False) -> Link:
        """A link for this thread alone, until it is given back or discarded.

        With ``sound`` it is one that the server has not ended: what is sent on another one may be lost on the way.

        Raises:
            ClosedError: after :meth:`close`.
            BusyError: all were in use for as long as the time-out, or as this thread may wait.
            StoreError: no connection came about within the time-out.
        """
        while True:
            try:
                link = self._free.pop()
            except IndexError:
                return self._another()
            if not sound or link.is_alive():
                return link
            self.discard(link)

    def give(self, link: Link) -> None:
        """Give a link back that is in no transaction."""
        if link.cancelled:
            self.discard(link)
            return
        link.used = time.monotonic()
        free = self._free
        free.append(link)
        if self._waiting:
            with self._changed:
                self._changed.notify()
        if self._closed:
            _close_all(free)
        elif len(free) > 1:
            self._trim(link.used - _SPARE)

    def give_after_error(self, link: Link) -> None:
        """Give a link back whose last statement failed or was interrupted, if it is still good."""
        good = False
        try:
            good = link.settle()
        finally:
            if good:
                self.give(link)
            else:
                self.discard(link)

    def discard(self, link: Link) -> None:
        """Close a link that was taken."""
        self._links.discard(link)
        link.close()
        if self._waiting:
            with self._changed:
                self._changed.notify()

    def _trim(self, before: float) -> None:
        try:
            oldest = self._free.popleft()
        except IndexError:
            return
        if oldest.used < before:
            self.discard(oldest)
        else:
            self._free.appendleft(oldest)

    # --- new ones -----------------------------------------------------------------------------------------------------

    def _another(self) -> Link:
        """A new link, or one that is given back when there are enough; again while the server is not there."""
        end, pause = time.monotonic() + self._timeout, _FIRST_PAUSE
        while True:
            link = self._wait(end)
            if isinstance(link, Link):
                return link
            try:
                return self._open(link)
            except psycopg.Error as error:
                late = time.monotonic() + pause > end or self._patience.is_over()
                if late or not (is_crowded(error) or is_starting(error) or self._served):
                    raise not_connected(error, self._target) from error
            del link
            with self._changed:
                self._changed.wait(pause)
            pause = min(2 * pause, _PAUSE)

    def _wait(self, end: float) -> Link | _Opening:
        """A link that was given back meanwhile, or the right to open one."""
        with self._changed:
            self._waiting += 1
            try:
                while True:
                    self._refuse_closed()
                    try:
                        return self._free.pop()
                    except IndexError:
                        pass
                    if len(self._links) + len(self._opening) < _MOST:
                        opening = _Opening()
                        self._opening.add(opening)
                        return opening
                    left = end - time.monotonic()
                    if left <= 0 or self._patience.is_over():
                        raise BusyError(f"all {_MOST} connections to {self._target.where} were in use all the time")
                    self._changed.wait(min(left, _PAUSE if self._patience.haste is None else ASK))
            finally:
                self._waiting -= 1

    def _open(self, opening: _Opening) -> Link:
        try:
            link = Link(self._target.parameters, self._settings, self._patience)
            self._links.add(link)
        finally:
            self._opening.discard(opening)  # an error's traceback may keep it for long
        self._served = True
        if self._closed:
            self.discard(link)
            self._refuse_closed()
        return link

    # --- the end ------------------------------------------------------------------------------------------------------

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ClosedError("the catalog is closed: open the store again")

    def close(self) -> None:
        """Close all links that are free; those in use are closed when they are given back."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        _close_all(self._free)

    def leave_to_parent(self) -> None:
        """In a forked child: leave the parent's connections alone, and open new ones when they are needed."""
        self._end.detach()
        for link in list(self._links):
            link.abandon()
        self._free = deque()
        self._links = weakref.WeakSet()
        self._opening = weakref.WeakSet()
        self._waiting = 0
        self._changed = threading.Condition()
        self._end = weakref.finalize(self, _close_all, self._free)


def _close_all(free: deque[Link]) -> None:
    while free:
        try:
            link = free.pop()
        except IndexError:
            return
        link.close()


_POOLS: weakref.WeakSet[Pool] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for pool in list(_POOLS):
        pool.leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)
