"""Reaching the disk, and what an :class:`OSError` means to a caller."""

from __future__ import annotations

import errno
import os
import resource
import stat
import sys

from ...errors import InvalidArgumentError, NotAStoreError, ReadOnlyError, StorageFullError, StoreError, ValueLost

__all__ = ["check_path", "explain", "make_folders", "open_file", "sync_folder", "sync_path", "to_disk"]

_FULL = {errno.ENOSPC, errno.EDQUOT}
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}
_TOO_MANY = {errno.EMFILE, errno.ENFILE}


def explain(error: OSError, path: str, *, writing: bool) -> StoreError:
    """The error of our tree for a failed system call on ``path``; to be raised ``from`` the original."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    number = error.errno
    if number in _FULL:
        what = "no space is left" if number == errno.ENOSPC else "the disk quota is used up"
        return StorageFullError(f"{what} for {path}: free some space; nothing of this write was kept")
    if writing and number in _READ_ONLY:
        return ReadOnlyError(f"{path} may not be written by this user: {reason}")
    if number == errno.ENOTDIR or (number == errno.EEXIST and not os.path.isdir(path)):
        return NotAStoreError(f"{path} is no place for a storage, something else than a folder is there: {reason}")
    if number in _TOO_MANY:
        return StoreError(f"{path} could not be opened: {reason}; {_limit()}")
    return StoreError(f"{'writing' if writing else 'reading'} {path} failed: {reason}")


def _limit() -> str:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f"this process may have {soft} files open: close some, or raise the limit (ulimit -n, at most {hard})"


if sys.platform == "darwin":
    import fcntl

    def to_disk(fd: int) -> None:
        """Return when all of an open file is on the medium."""
        # fsync on macOS only hands the bytes to the drive, which may keep them in its cache
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError as error:  # file systems without it: fsync is all there is
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):
                raise
            os.fsync(fd)

else:

    def to_disk(fd: int) -> None:
        """Return when all of an open file is on the medium."""
        # fsync, not fdatasync: the times must be kept too, they are part of the file's identity. A new file costs
        # one commit of the file system's journal either way.
        os.fsync(fd)


def open_file(path: str) -> int:
    """Open a regular file for reading, and nothing else; OSError as it comes.

    Raises:
        ValueLost: something else was put in its place.
    """
    # Who may write to the folder could else have a reader wait for ever (a pipe), read without an end (a device), or
    # open a file of the catalog and close it (a link), which takes SQLite's locks away from this process.
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise _replaced(path) from error
        raise
    try:
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
    except BaseException:
        os.close(fd)
        raise
    if not regular:
        os.close(fd)
        raise _replaced(path)
    return fd


def _replaced(path: str) -> ValueLost:
    return ValueLost(f"{path} is gone: something that is no regular file was put in its place")


def sync_path(path: str) -> None:
    """Put a file on disk; OSError as it comes.

    Raises:
        ValueLost: something else was put in its place.
    """
    fd = open_file(path)
    try:
        to_disk(fd)
    finally:
        os.close(fd)


def sync_folder(path: str) -> None:
    """Put the names in a folder on disk; OSError as it comes."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        to_disk(fd)
    finally:
        os.close(fd)


def make_folders(path: str) -> None:
    """Make a folder and those above it, each on disk before the next; OSError as it comes."""
    try:
        # Private to the user, as stored values are at least as sensitive as a shell history. The umask can take
        # rights away from this and is never overruled; who wants to share a store gives the rights afterwards.
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        return
    except FileNotFoundError:
        parent = os.path.dirname(path)
        if parent == path or os.path.isdir(parent):  # as in /proc, where nothing can be made
            raise
        make_folders(parent)
        make_folders(path)
        return
    sync_folder(os.path.dirname(path))


def check_path(root: str | os.PathLike[str]) -> str:
    """A folder's path, absolute, so that a later ``chdir`` changes nothing.

    Raises:
        InvalidArgumentError: it is no path.
    """
    try:
        path: object = os.fspath(root)
    except TypeError:
        raise InvalidArgumentError(f"the folder of a storage is a path, not {type(root).__name__}") from None
    if not isinstance(path, str) or not path or "\0" in path:
        raise InvalidArgumentError(f"the folder of a storage is a non-empty text path, not {path!r}")
    return os.path.abspath(path)
