"""A connection that is waited for only as long as a watch allows."""

from __future__ import annotations

import socket
from contextlib import suppress
from io import RawIOBase
from typing import Any

from .watch import Watch

__all__ = ["Patient"]


class Patient(RawIOBase):
    """A connected socket, of which each wait ends where the watch says so; it is closed by who made it."""

    def __init__(self, inner: socket.socket, watch: Watch) -> None:
        super().__init__()
        self._inner, self._watch = inner, watch

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, target: Any, /) -> int:
        """Fill a part of ``target`` with what has come; gives how much, 0 at the end."""
        while True:
            self._wait()
            with suppress(TimeoutError):
                return self._inner.recv_into(target)

    def write(self, data: Any, /) -> int:
        """Send a part of some bytes; gives how much."""
        while True:
            self._wait()
            with suppress(TimeoutError):
                return self._inner.send(data)

    def _wait(self) -> None:
        self._watch.look()
        self._inner.settimeout(max(self._watch.pause(), 0.001))
