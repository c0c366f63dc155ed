"""Forks of this process, and what must not be half made when one happens."""

from __future__ import annotations

import os
import threading

__all__ = ["not_forking"]

# A fork between opening a lock file and noting it would leave a child with a lock that it does not know of, so
# making locks and forking exclude each other.
_forking = threading.RLock()


def not_forking() -> threading.RLock:
    """To be held while something is made that a forked child must know of in whole or not at all."""
    return _forking


def _after_fork_in_child() -> None:
    global _forking
    _forking = threading.RLock()


os.register_at_fork(
    before=lambda: _forking.acquire() and None,
    after_in_parent=lambda: _forking.release(),
    after_in_child=_after_fork_in_child,
)
