"""Being the only one: a named lease with an owner, a fencing token and an expiry.

Who acquires a lease on this machine first holds a lock that its name shares with others, so that two look at it one
after the other, and then a lock of his own for as long as he holds the lease: that lock ends with his process, and so
tells those who wait, at once, that nobody is there any more. Looking at that lock is all that waiting takes.
"""

from __future__ import annotations

import fcntl
import math
import os
import time
import weakref
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from hashlib import sha256
from io import FileIO
from typing import Any
from zlib import crc32

from .address import MAX_NAME, Path, check_key, format_address
from .catalog.base import Fence, LeaseRow
from .errors import BusyError, InvalidArgumentError, InvalidKeyError, LeaseLost, StoreError
from .kernel import Kernel
from .renewal import renew_in_time
from .storages.forking import not_forking
from .storages.places import machine_id

__all__ = ["OWN", "Lease", "bury", "held_by_another", "is_held", "name_in", "shortened"]

OWN = "holdfast/"
"""Before the names of leases that are the library's own, in a scope and in the store."""

_SHORT = 32  # characters, up to which a kind or name of a scope stands as it is where the whole would be too long
_OWNER = "owner-"  # before the names of owners' lock files
_NAMES = 256  # lock files that the names of leases share; these are never removed
_PATIENCE = 1.0  # seconds to let another one look, whose lease may be of another name that shares the lock
_SOON, _POLL, _FAR = (
    0.001,
    0.02,
    0.25,
)  # seconds between two looks: the first, later ones, at most at a holder elsewhere
_LATE = 10  # a waiter asks the catalog so seldom that this part of his waiting may be in vain


class Lease:
    """The right to be the only one who does something, until it is released, expires or its owner dies.

    Pass it as ``lease=`` to what must be written by its holder only: such a write commits only while the lease is
    held, checked in the same commit by its fencing token. A dead owner of this machine is noticed at once (it held a
    lock that ended with it), one elsewhere when its lease expires. With ``renew`` it is renewed in the background for
    as long as it is held.

    ::

        with store.lease("nightly", seconds=60) as lease:
            scope.put("report", report, lease=lease)
    """

    def __init__(self, kernel: Kernel, name: str, seconds: float, wait: float | None, renew: bool = False) -> None:
        self._kernel = kernel
        self._seconds = _duration(seconds)
        self._renews = renew
        self._wait = None if wait is None else _check_wait(wait)
        self._alive: FileIO | None = None  # whose lock says that we live
        self._fence: Fence | None = None
        self.name = _check_name(name)
        self.owner = _new_owner()
        self.expires = 0.0
        _leases.add(self)

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
        with closing(self.attempts()) as pauses:
            for pause in pauses:
                time.sleep(pause)
        return self

    def attempts(self, began: float | None = None) -> Generator[float, None, None]:
        """Take the lease, as :meth:`acquire` does, giving the seconds to let pass before each new look at it. Who has
        waited for it before says since when, by the monotonic clock."""
        began = time.monotonic() if began is None else began
        deadline = None if self._wait is None else began + self._wait
        try:
            while (holder := self._try()) is not None:
                patience = 0.0 if holder.owner else _PATIENCE
                for pause in self._watch(holder, began):
                    if deadline is not None and time.monotonic() >= deadline + patience:
                        raise held_by_another(self.name)
                    yield pause
        except BaseException:
            self._end()
            raise

    def _try(self) -> LeaseRow | None:
        """Take the lease, or give it as somebody else holds it; one of no owner when another is just looking at it."""
        catalog, folder = self._kernel.catalog, self._kernel.locks
        if folder is None:
            row = catalog.acquire(self.name, self.owner, self._seconds)
        else:
            alone = None
            try:  # no context manager: what interrupts that one may keep the lock in its traceback
                alone = _alone(folder, self.name)
                if alone is None:
                    return LeaseRow(self.name, "", 0, 0.0)
                if self._alive is None:
                    self.owner, self._alive = _live(folder)
                row = catalog.acquire(self.name, self.owner, self._seconds)
                if row.owner != self.owner and _is_here(row.owner) and not _lives(_owner_path(folder, row.owner), True):
                    row = catalog.acquire(self.name, self.owner, self._seconds, dead=row.owner)
            finally:
                if alone is not None:
                    alone.close()
        if row.owner != self.owner:
            return row
        self._fence = Fence(self.name, row.token)
        self.expires = row.expires
        if self._renews:
            renew_in_time(self, self._seconds)
        return None

    def _watch(self, held: LeaseRow, began: float) -> Iterator[float]:
        """Pauses until a lease that somebody holds, and that was waited for since ``began``, may be free."""
        catalog, folder, pause = self._kernel.catalog, self._kernel.locks, _SOON
        if not held.owner:
            yield pause
            return
        if folder is None or not _is_here(held.owner):
            yield min(max(_POLL, (time.monotonic() - began) / _LATE), _FAR)
            return
        try:
            file = FileIO(_owner_path(folder, held.owner), "r")
        except FileNotFoundError:
            yield pause
            return
        except OSError as error:
            raise _told(error, folder) from error
        try:
            while catalog.now() < held.expires:
                yield pause
                pause = min(pause * 1.5, _POLL)
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    return
            yield 0.0
        finally:
            file.close()

    def _end(self) -> None:
        """Live no more, as an owner."""
        self._fence = None
        alive, self._alive = self._alive, None
        if alive is not None:
            with suppress(OSError):  # a file that stays is nobody's
                os.unlink(alive.name)  # not by the owner, who may be another one already, as this may be in any thread
            alive.close()

    def __del__(self) -> None:
        # As when the owner dies: else what an interrupt takes away before its block is held until it expires.
        if getattr(self, "_alive", None) is not None:
            self._end()

    def renew(self, seconds: float | None = None) -> None:
        """Extend the lease from now on.

        Raises:
            LeaseLost: it expired, or somebody else has it.
        """
        duration = self._seconds if seconds is None else _duration(seconds)
        fence = self.fence
        try:
            self.expires = self._kernel.catalog.renew(fence, duration).expires
        except LeaseLost:
            if self._fence is fence:  # else it was given back, and maybe taken anew, meanwhile
                self._end()
            raise

    @property
    def held(self) -> bool:
        """Whether it was acquired here and not given back or found lost since; it may have expired."""
        return self._fence is not None

    def release(self) -> None:
        """Give the lease back; does nothing when it is not held, nor in a forked child of the one who holds it."""
        fence = self._fence
        try:
            if fence is not None:
                self._kernel.catalog.release(fence)
        finally:
            self._end()

    def __enter__(self) -> Lease:
        return self if self.held else self.acquire()

    def __exit__(self, *how: object) -> None:
        self.release()


def held_by_another(name: str) -> BusyError:
    """The error for a lease that somebody else held for as long as was to be waited."""
    return BusyError(f"lease {name!r} is held by somebody else: try again later, or with a longer wait")


def name_in(path: Path, what: str) -> str:
    """The name of a lease of the library's own for what lies in a scope: an address there, so that of those who come
    with a token only who may write there takes it. Where that is too long for a name, it is that of the scope as
    :func:`shortened`, or of one above."""
    name = format_address(path, OWN + what)
    if len(name) > MAX_NAME:
        path = shortened(path)
        while len(name := format_address(path, OWN + what)) > MAX_NAME and path:
            path = path[:-1]
    return name


def shortened(path: Path) -> Path:
    """A path with digests in the place of long kinds and names; the same for one that is shortened already."""
    return tuple((_short(kind), _short(name)) for kind, name in path)


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else sha256(text.encode()).hexdigest()[:_SHORT]


def is_held(kernel: Kernel, name: str) -> bool:
    """Whether somebody who lives holds this lease. Looking takes nothing, and keeps nobody from taking it.

    Raises:
        InvalidArgumentError: it is no name of a lease.
    """
    held, folder = kernel.catalog.holder(_check_name(name)), kernel.locks
    if held is None:
        return False
    return folder is None or not _is_here(held.owner) or _lives(_owner_path(folder, held.owner))


def _new_owner() -> str:
    return f"{machine_id()}/{os.getpid()}/{os.urandom(8).hex()}"


_leases: weakref.WeakSet[Lease] = weakref.WeakSet()
_open: weakref.WeakSet[FileIO] = weakref.WeakSet()  # lock files


def _after_fork_in_child() -> None:
    # The parent's locks must end with the parent, whatever its children do.
    for lease in list(_leases):
        lease._alive, lease._fence = None, None
        lease.owner = _new_owner()  # who acquires here is somebody else
    for file in list(_open):  # those of threads that were just acquiring, too
        file.close()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _check_name(name: str) -> str:
    try:
        return check_key(name)
    except InvalidKeyError as error:
        raise InvalidArgumentError(f"the name of a lease is like a key: {error}") from None


def _duration(seconds: Any) -> float:
    if type(seconds) in (int, float) and math.isfinite(seconds) and seconds > 0:
        return float(seconds)
    raise InvalidArgumentError(f"seconds of a lease must be a number above 0, not {seconds!r}")


def _check_wait(wait: Any) -> float:
    if type(wait) in (int, float) and wait >= 0:
        return float(wait)
    raise InvalidArgumentError(f"wait must be a number of seconds from 0 on, or None for ever, not {wait!r}")


def _path(folder: str, text: str, prefix: str = "") -> str:
    return os.path.join(folder, prefix + sha256(text.encode()).hexdigest()[:32])


def _is_here(owner: str) -> bool:
    """Whether an owner is of this machine, so that its lock tells whether it lives."""
    return owner.startswith(machine_id() + "/")


def _owner_path(folder: str, owner: str) -> str:
    return _path(folder, owner, _OWNER)


def _live(folder: str) -> tuple[str, FileIO]:
    """A new owner, and his lock file, locked. No name of one is used twice: who found its owner dead removes the file
    of that name, however late."""
    try:
        while True:
            owner = _new_owner()
            path = _owner_path(folder, owner)
            file = _lock(path, "a+")
            if file is not None:
                if os.path.exists(path):
                    return owner, file
                file.close()  # between its making and its locking it was taken for a dead one's; make another
    except OSError as error:
        raise _told(error, folder) from error


def _told(error: OSError, folder: str, writing: bool = True) -> StoreError:
    from .storages.file.disk import explain  # with ctypes behind it: not needed before something fails

    return explain(error, folder, writing=writing)


def bury(folder: str | None) -> None:
    """Remove the lock files of owners who died before the catalog knew of them; nobody else looks at those again."""
    try:
        names = os.listdir(folder) if folder is not None else []
    except OSError:
        return
    for name in names:
        if name.startswith(_OWNER):
            with suppress(StoreError):  # one that cannot be looked at is in nobody's way
                _lives(os.path.join(folder or "", name), remove=True)


def _lock(path: str, mode: str, how: int = fcntl.LOCK_EX) -> FileIO | None:
    """An open file with its lock taken; None when somebody has it. It is an object, not a number, so that it is closed
    also when an interrupt comes before anybody has it."""
    with not_forking():
        file = FileIO(path, mode)
        _open.add(file)
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BaseException as error:
        file.close()
        if isinstance(error, BlockingIOError):
            return None
        raise
    return file


def _alone(folder: str, name: str) -> FileIO | None:
    """The lock of this name, and of those that share it; None when somebody on this machine is just acquiring one."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        return _lock(_path(folder, f"name {crc32(name.encode()) % _NAMES}"), "a+")
    except OSError as error:
        raise _told(error, folder) from error


def _lives(path: str, remove: bool = False) -> bool:
    """Whether the owner who made this file lives, and so has it locked; ``remove`` removes the file of a dead one. Who
    looks has it in a lock that others who look may have, too."""
    try:
        file = _lock(path, "r", fcntl.LOCK_SH)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _told(error, os.path.dirname(path), writing=False) from error
    if file is None:
        return True
    if remove:
        with suppress(OSError):
            os.unlink(path)  # before the lock is given back: who has just made it then sees that it is gone
    file.close()
    return False
