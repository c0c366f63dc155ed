"""``with fs.transaction:`` as one transaction of the store: all files of the block in one commit, or none."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from fsspec.transaction import Transaction

from ..address import Path
from ..catalog.base import Ledger
from ..errors import ClosedError, InvalidArgumentError
from ..transaction import Buffered

__all__ = ["FileTransaction"]


class _Shared(Buffered):
    """A ledger for the threads that a library writes its files with."""

    def __init__(self, kernel: Any) -> None:
        self._lock = threading.RLock()
        super().__init__(kernel)


def _one_at_a_time(call: Callable[..., Any]) -> Callable[..., Any]:
    def locked(self: _Shared, *args: Any, **options: Any) -> Any:
        with self._lock:
            return call(self, *args, **options)

    return locked


for _verb in (*Ledger.__abstractmethods__, "replace"):
    setattr(_Shared, _verb, _one_at_a_time(getattr(Buffered, _verb)))


class FileTransaction(Transaction):  # type: ignore[misc]
    """The transaction of a file system: what is read in it includes what was written, moved and removed in it.

    Attributes:
        files: those opened in it to write that still live.
    """

    def __init__(self, fs: Any) -> None:
        self.fs = fs
        self.files: weakref.WeakSet[Any] = weakref.WeakSet()
        self._process = os.getpid()
        self._ledger = _Shared(fs._kernel)

    @property
    def ledger(self) -> Buffered:
        """What its verbs act through; an InvalidArgumentError in a fork of the process that began it."""
        if self._process != os.getpid():
            raise InvalidArgumentError("a transaction stays in the process that began it: begin one in the fork")
        return self._ledger

    def scopes(self, place: Path) -> set[Path]:
        """The scopes directly below one that hold, or have below them, what was written in it."""
        depth = len(place)
        with self._ledger._lock:
            rows = self._ledger._rows.items()
            return {path[: depth + 1] for (path, _), row in rows if row and path[:depth] == place != path}

    def start(self) -> None:
        self._check_open()
        if self.fs._intrans:
            raise InvalidArgumentError("this file system is in a transaction already, which is one commit")
        self.fs._intrans = True

    def complete(self, commit: bool = True) -> None:
        """Commit all, or discard all.

        Raises:
            InvalidArgumentError: a file is still open; nothing is committed.
            ConflictError: what was read in it was changed meanwhile; nothing is committed.
        """
        self._check_open()
        fs, self.fs = self.fs, None
        fs._intrans, fs._transaction = False, None
        if self._process != os.getpid() and not commit:
            return  # what was written is the parent's to discard
        left = [file for file in self.files if not file.closed]
        if commit and not left:
            self.ledger.finish(power=fs._kernel.power)
            return
        for file in left:
            file.abort()
        self.ledger.discard()
        if commit:
            raise InvalidArgumentError(f"{left[0].name} is still open: close it in the transaction. Nothing was stored")

    def _check_open(self) -> None:
        if self.fs is None:
            raise ClosedError("this transaction has ended: take another one from fs.transaction")
