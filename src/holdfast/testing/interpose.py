"""Stands before each system call that changes something below a folder, in this process.

A hook is told of each such call before it is made, and makes it, or does not, or makes a part of it::

    def hook(call, perform):
        print(call.layer, call.verb, call.path)
        return perform()

    with interposed(folder, hook):
        ...

Seen are the calls of :mod:`os` (``layer`` is ``"os"``), and those that SQLite makes through its VFS (``"sqlite"``),
also by a process that is forked inside the block. Not seen is what goes through a memory map: of SQLite the index of
its log, which nobody relies on after the death of all processes, or a power cut.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import apsw

__all__ = ["Call", "Hook", "Perform", "interposed"]


class Call(NamedTuple):
    """A call that changes something.

    Attributes:
        layer: ``"os"`` or ``"sqlite"``.
        verb: ``create``, ``write``, ``allocate``, ``truncate``, ``sync``, ``rename``, ``unlink``, ``mkdir``, ``rmdir``.
        path: below the folder, ``""`` for the folder itself.
        offset: where a write or an allocation begins.
        size: bytes written, set aside, or left by a truncation.
        data: what is written, None for the rest.
        target: new path of a rename.
    """

    layer: str
    verb: str
    path: str
    offset: int = 0
    size: int = 0
    data: bytes | None = None
    target: str = ""


Perform = Callable[..., Any]
"""Makes the call and gives its result. For a write: only its first ``size`` bytes, when a number is given."""

Hook = Callable[[Call, Perform], Any]
"""Called in place of each call; what it gives or raises is what the caller gets."""


class _Watch(NamedTuple):
    root: str
    hook: Hook


_watches: list[_Watch] = []
_lock = threading.RLock()


def _find(path: str) -> tuple[_Watch, str] | None:
    for watch in _watches:
        if path == watch.root:
            return watch, ""
        if path.startswith(watch.root + "/"):
            return watch, path[len(watch.root) + 1 :]
    return None


@contextmanager
def interposed(folder: str | os.PathLike[str], hook: Hook) -> Iterator[None]:
    """Call ``hook`` for the calls below ``folder`` during the block; blocks for other folders may be inside.

    Connections that are opened before the block are not seen.
    """
    watch = _Watch(os.path.abspath(folder), hook)
    with _lock:
        if not _watches:
            _install()
        _watches.append(watch)
    try:
        yield
    finally:
        with _lock:
            _watches.remove(watch)
            if not _watches:
                _uninstall()


# --- the calls of os --------------------------------------------------------------------------------------------------

_real: dict[str, Any] = {}
_opened: dict[int, tuple[str, int, int]] = {}  # descriptor: path, device, inode


def _path_of(fd: Any) -> str | None:
    """The path of a descriptor that was opened below a folder, unless the number was used again since."""
    known = _opened.get(fd)
    if known is None:
        return None
    found = os.fstat(fd)
    return known[0] if known[1:] == (found.st_dev, found.st_ino) else None


def _absolute(path: Any) -> str | None:
    return os.path.abspath(os.fsdecode(path)) if isinstance(path, (str, bytes, os.PathLike)) else None


def _ask(path: str | None, verb: str, perform: Perform, **more: Any) -> Any:
    found = None if path is None else _find(path)
    if found is None:
        return perform()
    return found[0].hook(Call("os", verb, found[1], **more), perform)


def _open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    name = _absolute(path) if dir_fd is None else None
    if name is None or _find(name) is None:
        return cast(int, _real["open"](path, flags, mode, dir_fd=dir_fd))

    def perform() -> int:
        fd: int = _real["open"](path, flags, mode)
        found = os.fstat(fd)
        _opened[fd] = (name, found.st_dev, found.st_ino)
        return fd

    if flags & os.O_CREAT and not os.path.lexists(name):
        return cast(int, _ask(name, "create", perform))
    if flags & os.O_TRUNC:
        return cast(int, _ask(name, "truncate", perform))
    return perform()


def _close(fd: int) -> None:
    _opened.pop(fd, None)
    _real["close"](fd)


def _position(fd: int) -> int:
    return os.lseek(fd, 0, os.SEEK_CUR)


def _write(fd: int, data: Any, /) -> int:
    path = _path_of(fd)
    if path is None:
        return cast(int, _real["write"](fd, data))
    content = bytes(data)

    def perform(size: int | None = None) -> int:
        return cast(int, _real["write"](fd, content[:size]))

    return cast(int, _ask(path, "write", perform, offset=_position(fd), size=len(content), data=content))


def _writev(fd: int, buffers: Sequence[Any], /) -> int:
    path = _path_of(fd)
    if path is None:
        return cast(int, _real["writev"](fd, buffers))
    content = b"".join(buffers)

    def perform(size: int | None = None) -> int:
        return cast(int, _real["write"](fd, content[:size]))

    return cast(int, _ask(path, "write", perform, offset=_position(fd), size=len(content), data=content))


def _pwrite(fd: int, data: Any, offset: int, /) -> int:
    path = _path_of(fd)
    if path is None:
        return cast(int, _real["pwrite"](fd, data, offset))
    content = bytes(data)

    def perform(size: int | None = None) -> int:
        return cast(int, _real["pwrite"](fd, content[:size], offset))

    return cast(int, _ask(path, "write", perform, offset=offset, size=len(content), data=content))


def _posix_fallocate(fd: int, offset: int, size: int, /) -> None:
    def perform() -> None:
        _real["posix_fallocate"](fd, offset, size)

    _ask(_path_of(fd), "allocate", perform, offset=offset, size=size)


def _ftruncate(fd: int, size: int, /) -> None:
    _ask(_path_of(fd), "truncate", lambda: _real["ftruncate"](fd, size), size=size)


def _truncate(path: Any, size: int) -> None:
    name = _path_of(path) if isinstance(path, int) else _absolute(path)
    _ask(name, "truncate", lambda: _real["truncate"](path, size), size=size)


def _syncing(name: str) -> Callable[[int], None]:
    def sync(fd: int) -> None:
        _ask(_path_of(fd), "sync", lambda: _real[name](fd))

    return sync


def _renaming(name: str) -> Callable[..., None]:
    def rename(source: Any, target: Any, **folders: Any) -> None:
        before, after = _absolute(source), _absolute(target)
        found = None if after is None else _find(after)
        _ask(before, "rename", lambda: _real[name](source, target, **folders), target=found[1] if found else "")

    return rename


def _naming(name: str, verb: str) -> Callable[..., None]:
    def change(path: Any, *arguments: Any, **more: Any) -> None:
        def perform() -> None:
            _real[name](path, *arguments, **more)

        place = _absolute(path) if more.get("dir_fd") is None else None
        if place is not None and os.path.lexists(place) == (verb == "mkdir"):
            perform()  # it changes nothing, and says so
        else:
            _ask(place, verb, perform)

    return change


_WRAPPERS: dict[str, Any] = {
    "open": _open,
    "close": _close,
    "write": _write,
    "writev": _writev,
    "pwrite": _pwrite,
    "posix_fallocate": _posix_fallocate,
    "ftruncate": _ftruncate,
    "truncate": _truncate,
    "fsync": _syncing("fsync"),
    "fdatasync": _syncing("fdatasync"),
    "rename": _renaming("rename"),
    "replace": _renaming("replace"),
    "unlink": _naming("unlink", "unlink"),
    "remove": _naming("remove", "unlink"),
    "mkdir": _naming("mkdir", "mkdir"),
    "rmdir": _naming("rmdir", "rmdir"),
}


# --- the calls of SQLite ----------------------------------------------------------------------------------------------

_NAME = "holdfast-interposed"
_last = threading.local()  # the error number that a hook raised and that SQLite has not asked for yet
_ERRORS = {"write": "WRITE", "truncate": "TRUNCATE", "sync": "FSYNC", "unlink": "DELETE"}


def _ask_sqlite(path: str, verb: str, perform: Perform, **more: Any) -> Any:
    found = _find(path)
    if found is None:
        return perform()
    try:
        return found[0].hook(Call("sqlite", verb, found[1], **more), perform)
    except OSError as error:
        if isinstance(error, apsw.Error):
            raise
        _last.error = error.errno
        raise _as_sqlite(error, verb) from error


def _as_sqlite(error: OSError, verb: str) -> apsw.Error:
    """What SQLite's own VFS says for an error number: FULL where there is no space for a write, else an I/O error."""
    if verb == "write" and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return apsw.FullError("database or disk is full")
    if verb == "create":
        return apsw.CantOpenError("unable to open database file")
    told = apsw.IOError("disk I/O error")
    told.extendedresult = getattr(apsw, f"SQLITE_IOERR_{_ERRORS[verb]}")  # type: ignore[attr-defined]
    return told


class _File(apsw.VFSFile):
    def __init__(self, base: str, name: Any, flags: list[int], path: str) -> None:
        super().__init__(base, name, flags)
        self._path = path

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        content = bytes(data)

        def perform(size: int | None = None) -> None:
            super(_File, self).xWrite(content[:size], offset)

        _ask_sqlite(self._path, "write", perform, offset=offset, size=len(content), data=content)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        _ask_sqlite(self._path, "truncate", lambda: super(_File, self).xTruncate(newsize), size=newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        _ask_sqlite(self._path, "sync", lambda: super(_File, self).xSync(flags))


class _Vfs(apsw.VFS):
    def __init__(self, base: str) -> None:
        super().__init__(_NAME, base)
        self._base = base

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        path = name if isinstance(name, str) or name is None else name.filename()
        if path is None or _find(path) is None:
            return apsw.VFSFile(self._base, name, flags)

        def perform() -> apsw.VFSFile:
            return _File(self._base, name, flags, path)

        if flags[0] & apsw.SQLITE_OPEN_CREATE and not os.path.lexists(path):
            return cast(apsw.VFSFile, _ask_sqlite(path, "create", perform))
        return perform()

    def xGetLastError(self) -> Any:  # noqa: N802
        number, _last.error = getattr(_last, "error", None), None
        return super().xGetLastError() if number is None else (number, os.strerror(number))

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        def perform() -> None:
            super(_Vfs, self).xDelete(filename, syncdir)

        if os.path.lexists(filename):
            _ask_sqlite(filename, "unlink", perform)
            if syncdir:
                _ask_sqlite(os.path.dirname(filename), "sync", lambda: None)
        else:
            perform()


_vfs: list[_Vfs] = []  # made once and never let go: connections point to it
_base = ""


def _install() -> None:
    global _base
    _base = apsw.vfs_names()[0]
    if not _vfs:
        _vfs.append(_Vfs(_base))
    apsw.set_default_vfs(_NAME)
    for name, wrapper in _WRAPPERS.items():
        if hasattr(os, name):
            _real[name] = getattr(os, name)
            setattr(os, name, wrapper)


def _uninstall() -> None:
    apsw.set_default_vfs(_base)
    for name, function in _real.items():
        setattr(os, name, function)
    _opened.clear()
