"""One computation for many callers within a process: who comes later waits for the one who began."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from contextvars import ContextVar

__all__ = ["begin", "computing", "end"]

_lock = threading.Lock()
_flights: dict[str, Future[None]] = {}

computing: ContextVar[frozenset[str]] = ContextVar("holdfast_computing", default=frozenset())
"""The calls that are being computed here, one inside the other: who waits for one of these waits for himself."""


def begin(call: str) -> Future[None] | None:
    """None when the caller is to compute this call, and then to :func:`end` it; else what to wait for."""
    with _lock:
        found = _flights.get(call)
        if found is None:
            _flights[call] = Future()
        return found


def end(call: str) -> None:
    """Let those go on who wait for this call: they look whether its result is there."""
    with _lock:
        future = _flights.pop(call, None)
    if future is not None:
        future.set_result(None)


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()
    _flights.clear()  # those who compute stayed with the parent


os.register_at_fork(after_in_child=_after_fork_in_child)
