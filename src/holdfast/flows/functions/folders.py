"""The folders of actions: private, and removed when their action is done, or at the next start if its process died."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from threading import BoundedSemaphore, Lock
from typing import Any

from ...errors import StoreError

__all__ = ["SCOPES_OUT", "Folders"]

SCOPES_OUT = ("instance", "workflow", "namespace")
"""Folders in ``out/``: what a function leaves in one becomes variables of that scope."""

_LOCK = "lock"
_GONE = "gone-"  # before the names of folders that wait to be removed
_MOST = 8  # of them


class Folders:
    """The folders of the actions of one process, all in one that is locked for as long as it lives.

    A thread removes them: on some disks that takes a millisecond or more for each directory.
    """

    def __init__(self, root: str | None = None) -> None:
        """``root`` is where they are made; by default ``holdfast-functions-UID`` where temporary files are.

        What processes that died left there is removed.
        """
        self._root = root or os.path.join(tempfile.gettempdir(), f"holdfast-functions-{os.getuid()}")
        self._lock: FileIO | None = None
        self._own = ""
        self._beginning = Lock()
        self._behind: Any = None
        self._waiting = BoundedSemaphore(_MOST)
        if os.path.isdir(self._root):
            self._sweep()

    @contextmanager
    def folder(self) -> Iterator[str]:
        """A new folder with ``out/`` in it, for the block; a file beside it, ``.error`` behind its name, goes with it.

        Raises:
            StoreError: it cannot be made.
        """
        try:
            with self._beginning:
                if self._lock is None:
                    self._begin()
            path = os.path.join(self._own, secrets.token_hex(8))
            for below in ("", "out", *(os.path.join("out", scope) for scope in SCOPES_OUT)):
                os.mkdir(os.path.join(path, below), 0o700)
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"no folder for an action can be made in {self._root}: {error.strerror}") from error
        try:
            yield path
        finally:
            self._let_go(path)

    def _let_go(self, path: str) -> None:
        """Remove a folder: from its path at once; from the disk soon, or now where some wait for that already."""
        gone = os.path.join(self._own, f"{_GONE}{secrets.token_hex(8)}")
        with suppress(OSError):
            os.unlink(f"{path}.error")
        with suppress(OSError):  # where the function took it away
            os.rename(path, gone)
        later = self._waiting.acquire(blocking=False)
        try:
            if later:
                self._behind.submit(self._remove_one, gone)
        except RuntimeError:  # this process is ending
            later = False
        if not later:
            _remove(gone)

    def _remove_one(self, path: str) -> None:
        _remove(path)
        self._waiting.release()

    def close(self) -> None:
        """Remove what is left."""
        lock, self._lock = self._lock, None
        if lock is not None:
            self._behind.shutdown()
            _remove(self._own)
            lock.close()

    # --- several processes --------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with self._alone():
            own = os.path.join(self._root, secrets.token_hex(8))
            os.mkdir(own, 0o700)
            lock = FileIO(os.path.join(own, _LOCK), "x")
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._own, self._lock, self._behind = own, lock, ThreadPoolExecutor(1, "holdfast-folders")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """A block in which no other process makes or looks for the folders of processes."""
        os.makedirs(self._root, mode=0o700, exist_ok=True)
        found = os.lstat(self._root)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise StoreError(
                f"{self._root} is no private folder of this user (mode 0700): remove it, or name another one in "
                "[actions] as folder"
            )
        with FileIO(os.path.join(self._root, _LOCK), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _sweep(self) -> None:
        dead: list[tuple[str, FileIO | None]] = []
        # A folder that may not be looked at is told of when one is to be made.
        with suppress(OSError), self._alone():
            for name in os.listdir(self._root):
                path = os.path.join(self._root, name)
                if name == _LOCK or not stat.S_ISDIR(os.lstat(path).st_mode):
                    continue
                try:
                    lock = FileIO(os.path.join(path, _LOCK), "r+")
                except FileNotFoundError:  # it died before it had one
                    dead.append((path, None))
                    continue
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    dead.append((path, lock))
                except BlockingIOError:
                    lock.close()
        for path, held in dead:
            _remove(path)
            if held is not None:
                held.close()


def _remove(path: str) -> None:
    """Remove a folder with all in it, also where a function took the right to that away. Links are not followed."""
    shutil.rmtree(path, ignore_errors=True)
    if not os.path.lexists(path):
        return
    with suppress(OSError):
        os.chmod(path, 0o700)
    for _, below, _, parent in os.fwalk(path):
        for name in below:
            with suppress(OSError):
                if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                    os.chmod(name, 0o700, dir_fd=parent)
    shutil.rmtree(path, ignore_errors=True)
