"""What is stopped together: an instance with its subflows, or the calls of one state."""

from __future__ import annotations

from threading import Event, Lock
from weakref import WeakSet

from .failures import Cancelled, Stopped

__all__ = ["CANCELLED", "CLOSING", "Group"]

CANCELLED, CLOSING = "cancelled", "closing"
"""Why something is stopped: somebody cancelled it; or it is to be gone on with later, as its engine closes, or what it
is part of crashed."""


class Group:
    """Stops with the group that it is in.

    Attributes:
        event: set when it is stopped.
        reason: why.
    """

    def __init__(self, outer: Group | None = None) -> None:
        self.event = Event()
        self.reason = ""
        self._inner: WeakSet[Group] = WeakSet()
        self._lock = Lock()
        if outer is not None:
            outer._add(self)

    def _add(self, group: Group) -> None:
        with self._lock:
            self._inner.add(group)
        if self.event.is_set():
            group.stop(self.reason)

    def stop(self, reason: str) -> None:
        """Stop it, and all groups in it."""
        with self._lock:
            self.reason = self.reason or reason
            self.event.set()
            inner = list(self._inner)
        for group in inner:
            group.stop(reason)

    def check(self) -> None:
        """Raise if it was stopped.

        Raises:
            Cancelled, Stopped: by the reason.
        """
        if self.event.is_set():
            raise Cancelled if self.reason == CANCELLED else Stopped
