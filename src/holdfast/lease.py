"""Being the only one: a named lease with an owner, a fencing token and an expiry."""

from __future__ import annotations

import fcntl
import os
import time
from hashlib import sha256
from types import TracebackType

from .catalog.base import Fence
from .errors import BusyError, LeaseLost, ReadOnlyError
from .kernel import Kernel
from .storages.places import machine_id

__all__ = ["Lease"]

_POLL = 0.02  # seconds between two looks at a lease that somebody holds


class Lease:
    """The right to be the only one who does something, until it is released, expires or its owner dies.

    Pass it as ``lease=`` to what must be written by its holder only: such a write commits only while the lease is
    held, checked in the same commit by its fencing token. A dead owner of this machine is noticed at once (it held a
    lock that ended with it), one elsewhere when its lease expires.

    ::

        with store.lease("nightly", seconds=60) as lease:
            scope.put("report", report, lease=lease)
    """

    def __init__(self, kernel: Kernel, name: str, seconds: float, wait: float | None) -> None:
        self._kernel = kernel
        self._seconds = seconds
        self._wait = wait
        self._lock: int | None = None
        self._fence: Fence | None = None
        self.name = name
        self.owner = f"{machine_id()}/{os.getpid()}/{os.urandom(8).hex()}"
        self.expires = 0.0

    @property
    def fence(self) -> Fence:
        """Name and fencing token.

        Raises:
            LeaseLost: the lease is not held.
        """
        if self._fence is None:
            raise LeaseLost(f"lease {self.name!r} is not held: acquire it first")
        return self._fence

    @property
    def token(self) -> int:
        """The fencing token: greater for each new owner of this name."""
        return self.fence.token

    def acquire(self) -> Lease:
        """Take the lease, waiting for its holder as long as was said (None: for ever, 0: not at all).

        Raises:
            BusyError: somebody else held it all the time.
        """
        deadline = None if self._wait is None else time.monotonic() + self._wait
        while not self._try():
            if deadline is not None and time.monotonic() >= deadline:
                raise BusyError(f"lease {self.name!r} is held by somebody else")
            time.sleep(_POLL)
        return self

    def _try(self) -> bool:
        alone = self._flock()
        row = self._kernel.catalog.acquire(self.name, self.owner, self._seconds, force=alone)
        if row.owner != self.owner:
            self._unlock()
            return False
        self._fence = Fence(self.name, row.token)
        self.expires = row.expires
        return True

    def _flock(self) -> bool:
        """Take the lock that shows this machine's processes that we live; True when nobody had it."""
        folder = self._kernel.locks
        if folder is None:
            return False
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            path = os.path.join(folder, sha256(self.name.encode()).hexdigest()[:32])
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ReadOnlyError(f"{folder} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._unlock()
            return False
        return True

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def renew(self, seconds: float | None = None) -> None:
        """Extend the lease from now on.

        Raises:
            LeaseLost: it expired, or somebody else has it.
        """
        self.expires = self._kernel.catalog.renew(self.fence, seconds or self._seconds).expires

    def release(self) -> None:
        """Give the lease back; does nothing when it is not held."""
        fence, self._fence = self._fence, None
        try:
            if fence is not None:
                self._kernel.catalog.release(fence)
        finally:
            self._unlock()

    def __enter__(self) -> Lease:
        return self if self._fence is not None else self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
