"""Telling long work to stop: it looks now and then whether anybody still waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Stopped", "go_on", "stoppable", "told"]

T = TypeVar("T")


class Stopped(BaseException):
    """Whoever waited for this work wants it no more; nothing of it is committed."""


class _Here(threading.local):
    told: Callable[[], bool] = bool  # which is False


_here = _Here()


def stoppable(stop: Callable[[], bool], work: Callable[[], T]) -> T:
    """``work()`` in this thread, which ends in :class:`Stopped` once ``stop()`` is true, unless it is committed."""
    before, _here.told = _here.told, stop
    try:
        return work()
    finally:
        _here.told = before


def told() -> bool:
    """Whether this thread is told to stop."""
    return _here.told()


def go_on() -> None:
    """Asked between the pieces of long work, and last before a commit.

    Raises:
        Stopped: this thread is told to stop.
    """
    if told():
        raise Stopped
