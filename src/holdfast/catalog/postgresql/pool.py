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
from .target import Target

__all__ = ["Pool"]

_MOST = 10  # connections of one process
_SPARE = 60.0  # seconds until a connection that is not needed is closed
_FIRST_PAUSE, _PAUSE = 0.01, 0.5  # seconds between two attempts to connect


class Pool:
    """Links that are free wait in a stack, so that few are used often and the others can go."""

    def __init__(self, target: Target, settings: str, timeout: float) -> None:
        self._target = target
        self._settings = settings
        self._timeout = timeout
        self._free: deque[Link] = deque()
        self._links: set[Link] = set()
        self._waiting = 0
        self._opening = 0
        self._changed = threading.Condition()
        self._closed = False
        self._end = weakref.finalize(self, _close_all, self._links)
        _POOLS.add(self)

    def take(self, *, sound: bool = False) -> Link:
        """A link for this thread alone, until it is given back or discarded.

        With ``sound`` it is one that the server has not ended: what is sent on another one may be lost on the way.

        Raises:
            ClosedError: after :meth:`close`.
            BusyError: all were in use for as long as the time-out.
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
        link.used = time.monotonic()
        free = self._free
        free.append(link)
        if self._waiting:
            with self._changed:
                self._changed.notify()
        if self._closed:
            self._drain()
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
        try:
            link.close()
        except psycopg.Error:
            pass  # it was broken
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
            if link is not None:
                return link
            try:
                return self._open()
            except psycopg.Error as error:
                late = time.monotonic() + pause > end
                if late or not (is_crowded(error) or is_starting(error) or self._served):
                    raise not_connected(error, self._target) from error
            with self._changed:
                self._changed.wait(pause)
            pause = min(2 * pause, _PAUSE)

    _served = False
    """Whether a connection came about before: then the server is only away for a moment, maybe."""

    def _wait(self, end: float) -> Link | None:
        """A link that was given back meanwhile; None: the caller may open one, and has to tell when that is over."""
        with self._changed:
            self._waiting += 1
            try:
                while True:
                    self._refuse_closed()
                    if self._free:
                        try:
                            link = self._free.pop()
                        except IndexError:
                            continue
                        return link
                    if len(self._links) + self._opening < _MOST:
                        self._opening += 1
                        return None
                    left = end - time.monotonic()
                    if left <= 0:
                        raise BusyError(f"all {_MOST} connections to {self._target.where} were in use all the time")
                    self._changed.wait(left)
            finally:
                self._waiting -= 1

    def _open(self) -> Link:
        try:
            link = Link(self._target.parameters, self._settings)
            self._links.add(link)
            self._served = True
        finally:
            with self._changed:
                self._opening -= 1
                self._changed.notify()
        if self._closed:
            self.discard(link)
            self._refuse_closed()
        return link

    # --- the end ------------------------------------------------------------------------------------------------------

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ClosedError("the catalog is closed: open the store again")

    def _drain(self) -> None:
        while self._free:
            try:
                link = self._free.pop()
            except IndexError:
                return
            self.discard(link)

    def close(self) -> None:
        """Close all links that are free; those in use are closed when they are given back."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._drain()

    def leave_to_parent(self) -> None:
        """In a forked child: leave the parent's connections alone, and open new ones when they are needed."""
        self._end.detach()
        for link in self._links:
            link.abandon()
        self._free = deque()
        self._links = set()
        self._waiting = self._opening = 0
        self._changed = threading.Condition()
        self._end = weakref.finalize(self, _close_all, self._links)


def _close_all(links: set[Link]) -> None:
    for link in list(links):
        try:
            link.close()
        except psycopg.Error:
            pass


_POOLS: weakref.WeakSet[Pool] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for pool in list(_POOLS):
        pool.leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)
