"""A connection that is waited for only as long as a watch allows."""

from __future__ import annotations

import socket
from contextlib import suppress
from io import RawIOBase
from typing import Any

from .watch import Watch

__all__ = ["Patient"]


class Patient(RawIOBase):
    """A connected socket whose waits end when the watch says so; whoever made the socket closes it."""

    def __init__(self, inner: socket.socket, watch: Watch) -> None:
        super().__init__()
        self._inner, self._watch = inner, watch

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, target: Any, /) -> int:
        while True:
            self._wait()
            with suppress(TimeoutError):
                return self._inner.recv_into(target)

    def write(self, data: Any, /) -> int:
        while True:
            self._wait()
            with suppress(TimeoutError):
                return self._inner.send(data)

    def _wait(self) -> None:
        self._watch.look()
        self._inner.settimeout(max(self._watch.pause(), 0.001))
