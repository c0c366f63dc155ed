"""Views and copies of values, under a lock that keeps their segments as they are."""

from __future__ import annotations

import os
import resource
import time
import weakref
from collections.abc import Iterator

from ...errors import ValueLost
from ...payload import Buffer
from ...stopping import go_on
from ..mapping import map_private
from .locks import FileLock

__all__ = ["Holds", "pieces", "read_all", "view"]

_MAPPED = 256 << 10  # a view of at least so many bytes is a map; a copy of fewer is quicker, and keeps no file open
_PIECE = 1 << 20
_ONE_READ = 1 << 30
_PAUSE = 0.0001  # seconds until a lock is asked for again that somebody has for a moment


class Holds:
    """The shared locks by which this process keeps values that it has mapped: one for all views of a value."""

    def __init__(self) -> None:
        self._holds: weakref.WeakValueDictionary[str, FileLock] = weakref.WeakValueDictionary()

    def of(self, path: str) -> FileLock:
        """Keep a value as it is while the lock, or a forked child's copy of it, is open. OSError as it comes:
        FileNotFoundError when it is gone."""
        found = self._holds.get(path)
        if found is None or found.fd < 0 or not found.is_at(path):
            found = _hold(path)
            self._holds[path] = found
        _touch(found)
        return found


def _hold(path: str, *, shared: bool = True) -> FileLock:
    """A shared lock on a value; a forked child has it too if it is ``shared``. OSError as it comes: FileNotFoundError
    when it is gone."""
    lock = FileLock(path, os.O_RDONLY, shared=shared)
    while not lock.share():
        # Somebody looks whether it is read, and lets go at once, or took it to write something else into it.
        if not lock.is_at(path):
            break
        go_on()
        time.sleep(_PAUSE)
    if not lock.is_at(path):
        lock.close()
        raise FileNotFoundError(path)
    return lock


def _touch(lock: FileLock) -> None:
    """Note that a value was used now: those that were not for longest make room."""
    now = time.time_ns()
    os.utime(lock.fd, ns=(now, now))


def view(holds: Holds, path: str, start: int, size: int) -> Buffer:
    """``size`` bytes of a segment, writable for this process alone: a map, which keeps the value as it is for
    as long as anybody has it, or a copy where that is small or open files are scarce. OSError as it comes."""
    if size < _MAPPED:
        return read_all(path, start, size)
    kept = holds.of(path)
    if kept.fd > resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4:  # numbers are given lowest first
        return _copy(kept.fd, start, size)
    found = map_private(kept.fd, start + size)
    # What every view of the map refers to; not at exit, as views may live longer.
    weakref.finalize(found.obj, _let_go, kept).atexit = False
    return found[start:] if start else found


def _let_go(kept: FileLock) -> None:
    """Called when no view of a map is left; the lock ends with its last reference, which was this one."""


def read_all(path: str, start: int, size: int) -> bytearray:
    """A copy of ``size`` bytes of a segment. OSError as it comes."""
    lock = _hold(path, shared=False)  # in a child that another thread forks meanwhile nobody would let go of it
    try:
        _touch(lock)
        return _copy(lock.fd, start, size)
    finally:
        lock.close()


def _copy(fd: int, start: int, size: int) -> bytearray:
    whole = bytearray(size)
    with memoryview(whole) as target:
        done = 0
        while done < size:
            go_on()
            count = os.preadv(fd, [target[done : done + _ONE_READ]], start + done)
            if not count:
                raise ValueLost("a value in memory was made shorter by other means than this library")
            done += count
    return whole


def pieces(path: str, start: int, end: int) -> Iterator[bytes]:
    """Some bytes of a segment in pieces of 1 MB; it is kept as it is while this is read. OSError as it comes."""
    lock = _hold(path)
    try:
        _touch(lock)
        while start < end:
            piece = os.pread(lock.fd, min(_PIECE, end - start), start)
            if not piece:
                return
            yield piece
            start += len(piece)
    finally:
        lock.close()
