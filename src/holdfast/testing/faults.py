"""Makes chosen system calls fail, tear, or be the process' last.

::

    faults = Faults(at=7, action="error", number=errno.ENOSPC)
    with interposed(folder, faults):
        scope.put("key", value)          # its seventh call that changes something fails
    faults.calls                         # all calls that were seen, in their order
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any

from .interpose import Call, Perform

__all__ = ["AFTER", "BEFORE", "BETWEEN", "DIES", "FAILS", "Faults", "stages"]

FAILS = ("error", "torn", "late", "short")
"""Ways in which a call can fail: not made at all; half of a write made; made and reported as failed nevertheless (as
after a time-out); and, no failure at all, half of a write made and reported so (only for writes of ``os``)."""

DIES = ("die before", "die after", "die torn")
"""Ways in which the process can be killed at a call: just before it, just after it, with half of a write made."""

BEFORE, BETWEEN, AFTER = "before the bytes", "between bytes and commit", "after the commit"
"""Stages of a put: its bytes are not whole; they are, but no record names them; the record is committed."""

_GROWING = ("write", "allocate", "create", "mkdir")


class Faults:
    """A hook that counts calls, and lets those that it is armed for fail.

    Args:
        at: number of the call, from 0; None for none (it only counts).
        action: one of :data:`FAILS` or :data:`DIES`.
        number: the error number of a failure.
        lasting: all later calls that need space fail too, as on a full disk.
        counts: which calls count; all when it is None.

    Attributes:
        calls: the calls that counted, without their data.
        struck: whether the fault came to pass.
        armed: False: calls are not counted, and do not fail.
    """

    def __init__(
        self,
        at: int | None = None,
        action: str = "error",
        number: int = errno.EIO,
        *,
        lasting: bool = False,
        counts: Callable[[Call], bool] | None = None,
    ) -> None:
        if action not in FAILS + DIES:
            raise ValueError(f"there is no action {action!r}")
        self.at = at
        self.action = action
        self.number = number
        self.lasting = lasting
        self.calls: list[Call] = []
        self.struck = False
        self.armed = True
        self._counts = counts
        self._lock = threading.Lock()

    def __call__(self, call: Call, perform: Perform) -> Any:
        """Make the call, or let it fail."""
        if not self.armed or (self._counts is not None and not self._counts(call)):
            return perform()
        with self._lock:
            number = len(self.calls)
            self.calls.append(call._replace(data=None))
        if self.at is not None and number > self.at and self.lasting and call.verb in _GROWING:
            raise OSError(self.number, os.strerror(self.number))
        if number != self.at:
            return perform()
        self.struck = True
        return self._strike(call, perform)

    def _strike(self, call: Call, perform: Perform) -> Any:
        half = call.size // 2
        if self.action == "short" and call.verb == "write" and call.layer == "os" and half:
            return perform(half)
        if self.action in ("torn", "die torn") and call.verb == "write":
            perform(half)
        elif self.action in ("late", "die after"):
            perform()
        elif self.action == "short":
            return perform()
        if self.action in DIES:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
        raise OSError(self.number, os.strerror(self.number))


def stages(calls: Sequence[Call], *, log: str = "-wal", files: str = "files/") -> list[str]:
    """The stage that a put is in before each of its calls, and at last after all of them.

    A value in the catalog has no bytes of its own: it is before its bytes until they are committed.

    Args:
        calls: all calls of one put, and of what follows it.
        log: how the name of the database's log ends: the last write to it (or sync, with durability "power") before
            something else is done is the commit.
        files: what paths of bytes contain.
    """
    bytes_end = commit_end = 0
    for number, call in enumerate(calls, 1):
        if call.layer == "os" and call.verb == "write" and files in call.path:
            bytes_end = number
    for number, call in enumerate(calls[bytes_end:], bytes_end + 1):
        if call.layer == "sqlite" and call.verb in ("write", "sync") and call.path.endswith(log):
            commit_end = number
        elif call.layer == "os" and commit_end:
            break  # what SQLite writes after that is another commit
    if not bytes_end:
        bytes_end = commit_end
    return [BEFORE if done < bytes_end else BETWEEN if done < commit_end else AFTER for done in range(len(calls) + 1)]
