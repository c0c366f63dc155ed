"""The folders of actions: private, and removed when their action is done, or at the next start if its process died."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from threading import BoundedSemaphore, Lock
from typing import Any

from ...errors import StoreError
from .orphans import end_commands

__all__ = ["SCOPES_OUT", "Folders"]

SCOPES_OUT = ("instance", "workflow", "namespace")
"""Folders in ``out/``: what a function leaves in one becomes variables of that scope."""

_LOCK = "lock"
_OF_PROCESS = "process-"  # before the names of the folders of processes: all else in the root is not ours
_GONE = "gone-"  # before the names of folders that wait to be removed
_MOST = 8  # of them


class Folders:
    """The folders of the actions of one process, all in one that is locked for as long as it lives.

    A thread removes them: on some disks that takes a millisecond or more for each directory.
    """

    def __init__(self, root: str | None = None) -> None:
        """``root`` is where they are made; by default ``holdfast-functions-UID`` where temporary files are.

        What processes that died left there is removed, and the commands that they ran are ended.
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
        """A new folder with ``out/`` in it, for the block; what is beside it, ``.error`` behind its name, goes with it.

        Raises:
            StoreError: it cannot be made.
        """
        try:
            with self._beginning:
                if not os.path.isdir(self._own):  # there was none yet; or who cleans up there took it away
                    self.close()
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
        gone = os.path.join(os.path.dirname(path), f"{_GONE}{secrets.token_hex(8)}")
        try:
            os.unlink(f"{path}.error")
        except OSError:  # there is none; or it is a folder
            _remove(f"{path}.error")
        with suppress(OSError):  # where the function took it away
            os.rename(path, gone)
        if self._waiting.acquire(blocking=False):
            with suppress(RuntimeError):  # this process is ending
                self._behind.submit(self._remove_one, gone)
                return
            self._waiting.release()
        _remove(gone)

    def _remove_one(self, path: str) -> None:
        try:
            _remove(path)
        finally:
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
            own = os.path.join(self._root, f"{_OF_PROCESS}{secrets.token_hex(8)}")
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
            try:
                yield
            finally:  # of a fork, too, which has the same lock
                fcntl.flock(lock, fcntl.LOCK_UN)

    def _sweep(self) -> None:
        dead: list[tuple[str, FileIO]] = []
        # A folder that may not be looked at is told of when one is to be made.
        with suppress(OSError), self._alone():
            for name in os.listdir(self._root):
                if re.fullmatch(f"{_OF_PROCESS}[0-9a-f]{{16}}", name):
                    with suppress(OSError):
                        self._look(os.path.join(self._root, name), dead)
        for path, lock in dead:
            with lock:
                end_commands(path)
                _remove(path)

    @staticmethod
    def _look(path: str, dead: list[tuple[str, FileIO]]) -> None:
        """Whether nobody holds the folder of a process; then it is locked."""
        try:
            lock = FileIO(os.path.join(path, _LOCK), "r+")
        except FileNotFoundError:
            os.rmdir(path)  # it died before it had one; where there is more, others took the lock away, and it may live
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            dead.append((path, lock))
        except BlockingIOError:
            lock.close()


def _remove(path: str) -> None:
    """Remove a folder with all in it, also where a function took the right to that away. Links are not followed.

    Folders that lie deeper are moved to its top before they are emptied, so that they may be as deep as they like.
    """
    folders = [path]
    for folder in folders:
        _open_up(folder)
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.path)
                    elif folder == path:
                        folders.append(entry.path)
                    else:
                        _open_up(entry.path)  # what is moved has another parent to write down
                        folders.append(os.path.join(path, secrets.token_hex(8)))
                        os.rename(entry.path, folders[-1])
    for folder in reversed(folders):
        with suppress(OSError):
            os.rmdir(folder)


def _open_up(folder: str) -> None:
    with suppress(OSError):  # somebody else's
        os.chmod(folder, 0o700)
