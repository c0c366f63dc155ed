"""Threads of flows, which there may be no more of on this machine: then those that there are do the work."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

__all__ = ["begin_thread"]


def begin_thread(work: Callable[[], object], name: str) -> Thread | None:
    """Do something in a thread of its own; None if there can be no more."""
    thread = Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread
