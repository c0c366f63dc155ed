"""Where the memory of this machine and user is, how much it may keep, and whether that folder can be trusted."""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from ...errors import HoldfastError, NetworkFilesystemError, StorageFullError, StoreError
from ..places import boot_id, check_local, host_id

__all__ = [
    "FULL", "choose_base", "default_size", "explain", "explained", "is_private", "machine_and_boot", "make_private",
    "place_name",
]  # fmt: skip

_SHM = "/dev/shm"
_TOO_SMALL = 64 << 20  # what containers have unless they are told: too little to hand values over
_CGROUP = "/sys/fs/cgroup/memory.max"
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of the errors of a file system that has no space left."""


def choose_base(folder: str | None) -> str:
    """The folder in which those of all users are: ``folder``, ``/dev/shm``, or, where that is missing, of 64 MB or
    less, or may not be written, the one for temporary files.

    Raises:
        NetworkFilesystemError: it is not of this machine alone.
        StoreError: it cannot be made.
    """
    if folder is None and _usable():
        return _SHM
    if folder is None:
        import tempfile  # 10 ms that most need not spend

        folder = tempfile.gettempdir()
    base = os.path.abspath(folder)
    try:
        check_local(base)
    except NetworkFilesystemError as error:
        raise NetworkFilesystemError(
            f"{base} is on a network file system, which is no memory of this machine: set memory_folder= to a folder "
            "on a local disk"
        ) from error
    try:
        os.makedirs(base, 0o700, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder {base} could not be made: {error.strerror}; set memory_folder=") from error
    return base


def _usable() -> bool:
    try:
        found = os.statvfs(_SHM)
    except OSError:
        return False
    return found.f_blocks * found.f_frsize > _TOO_SMALL and os.access(_SHM, os.W_OK | os.X_OK)


def default_size(base: str) -> int:
    """Bytes that may be kept: half of what the file system has in all, and of the memory that this process may use."""
    found = os.statvfs(base)
    return min(found.f_blocks * found.f_frsize, _memory()) // 2


def _memory() -> int:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        with open(_CGROUP, encoding="ascii") as file:
            return min(memory, int(file.read()))
    except (OSError, ValueError):  # not there, or "max"
        return memory


def make_private(path: str) -> None:
    """Make a folder that only this user reaches, or check that it is one. FileNotFoundError when the one above is
    missing.

    Raises:
        StoreError: somebody else could read or replace what is in it.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise explain(error, path) from error
    wrong = _what_is_wrong(path)
    if wrong is not None:
        raise StoreError(f"{path} is not used for values in memory: {wrong}; remove it, or set memory_folder=")


def is_private(path: str) -> bool:
    """Whether a folder is there that only this user reaches. OSError as it comes, but for one that is missing."""
    try:
        return _what_is_wrong(path) is None
    except FileNotFoundError:
        return False


def _what_is_wrong(path: str) -> str | None:
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        return "it is no folder" if not stat.S_ISLNK(found.st_mode) else "it is a link"
    if found.st_uid != os.geteuid():
        return f"it belongs to the user with number {found.st_uid}"
    if found.st_mode & 0o077:
        return f"other users may reach it (mode {stat.S_IMODE(found.st_mode):03o})"
    return None


@functools.cache
def machine_and_boot() -> tuple[str, str]:
    """Names of this machine and of this start of it, of 16 digits each."""
    return _digest(host_id()), _digest(boot_id())


def place_name(base: str) -> str:
    """16 digits that two processes of one machine have in common when they share this folder: a container has a
    ``/dev/shm`` of its own, and each user a folder of their own."""
    return _digest(f"{os.geteuid()} {os.stat(base).st_dev} {base}")


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def explain(error: OSError, path: str) -> StoreError:
    """The error of our tree for a failed system call; to be raised ``from`` the original."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in FULL:
        return StorageFullError(
            f"no space is left for {path}, less than memory_size= would allow: free some, or set memory_folder= to a "
            "place that has more; nothing of this write was kept"
        )
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return StoreError(f"{path} could not be opened: {reason}; close some files, or raise the limit (ulimit -n)")
    if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
        return StoreError(f"the file system of {path} has no file locks (flock): set memory_folder= to a local disk")
    return StoreError(f"the memory in {path} failed: {reason}; set memory_folder= to another place")


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Tell an OSError as one of our errors."""
    try:
        yield
    except OSError as error:
        if isinstance(error, HoldfastError):
            raise
        raise explain(error, path) from error
