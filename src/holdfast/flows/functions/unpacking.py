"""A tar archive to a directory: regular files and directories, in constant memory, and never beside it.

Not by :mod:`tarfile`, which keeps what it saw, and takes headers of any size into memory.
"""

from __future__ import annotations

import os
import stat
from io import FileIO
from typing import BinaryIO, NamedTuple

from ..failures import Failure
from .codes import FILES
from .room import Room

__all__ = ["DEEPEST", "for_folders", "unpack", "write"]

DEEPEST = 100
"""Directories inside of each other, in archives both ways."""

_BLOCK = 512
_PIECE = 1 << 18
_LONGEST = 1 << 16  # bytes of a header that has a name
_FILES = (b"\0", b"0", b"7")
_FOLDER = b"5"
_NAME, _LINK, _PAX, _PAX_OF_ALL = b"L", b"K", b"x", b"g"


class _Header(NamedTuple):
    name: bytes
    kind: bytes
    size: int
    mode: int


def unpack(file: BinaryIO, folder: str, room: Room, permissions: int | None, what: str) -> None:
    """Unpack an archive into a folder that exists and is empty, and read the file to its end.

    Args:
        file: the archive.
        folder: which nobody else writes into meanwhile.
        room: how much it may take.
        permissions: of each file, None for those that the archive says; directories let pass whom they let read.
        what: it is, for messages.

    Raises:
        Failure: it is no archive, too large, or has what is no regular file or directory of its own.
        OSError: it cannot be read or written.
    """
    tree = _Tree(os.fsencode(folder), room, permissions, what)
    name, size = b"", None
    while True:
        block = _exactly(file, _BLOCK, what)
        if not block.strip(b"\0"):
            break
        header = _parse(block, what)
        if header.kind in (_NAME, _LINK, _PAX, _PAX_OF_ALL):
            room.enter()
            if header.size > _LONGEST:
                raise _bad(what, "a name in it is too long")
            text = _exactly(file, _padded(header.size), what)[: header.size]
            if header.kind == _NAME:
                name = text.rstrip(b"\0")
            elif header.kind == _PAX:
                name, size = _pax(text, name, what)
            continue
        tree.add(file, header._replace(name=name or header.name, size=header.size if size is None else size))
        name, size = b"", None
    while piece := file.read(_PIECE):  # what says whether the bytes before are those that were put, lies at the end
        room.take(len(piece))


def _bad(what: str, why: str) -> Failure:
    return Failure(FILES, f"{what} is no archive that can be unpacked: {why}")


def _exactly(file: BinaryIO, size: int, what: str) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise _bad(what, "it is cut short" if data else "it has no end")
    return data


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _parse(block: bytes, what: str) -> _Header:
    sums = sum(block[:148]) + 256 + sum(block[156:])
    if _number(block[148:156], what) != sums:
        raise _bad(what, "it has no header of tar")
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0]
    if prefix and block[257:263] == b"ustar\0":
        name = prefix + b"/" + name
    kind = block[156:157]
    if kind == b"\0" and name.endswith(b"/"):
        kind = _FOLDER
    return _Header(name, kind, _number(block[124:136], what), _number(block[100:108], what))


def _number(field: bytes, what: str) -> int:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    if digits.strip(b"01234567"):
        raise _bad(what, "it has a header with what is no number")
    return int(digits or b"0", 8)


def _pax(text: bytes, name: bytes, what: str) -> tuple[bytes, int | None]:
    """Name and size of the next entry, as an extended header says them."""
    size: int | None = None
    begin = 0
    while begin < len(text):
        digits = text[begin : begin + 8].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        record = text[begin + len(digits) + 1 : begin + length]
        key, equals, value = record.partition(b"=")
        whole = equals and record.endswith(b"\n") and begin + length <= len(text)
        value = value[:-1]
        if not whole or key.startswith(b"GNU.sparse") or (key == b"size" and not (value.isdigit() and len(value) < 20)):
            raise _bad(what, "it has an extended header that is none, or of a sparse file")
        if key == b"path":
            name = value
        elif key == b"size":
            size = int(value)
        begin += length
    return name, size


def for_folders(permissions: int) -> int:
    """The permissions of directories, given those of files: whom they let read, they let pass; the owner, all."""
    return permissions | (permissions & 0o444) >> 2 | 0o700


def write(target: FileIO, piece: bytes) -> None:
    """Write all of a piece to a file without a buffer."""
    view = memoryview(piece)
    while view:
        view = view[target.write(view) :]


class _Tree:
    """The directory that is filled."""

    def __init__(self, root: bytes, room: Room, permissions: int | None, what: str) -> None:
        self._root, self._room, self._permissions, self._what = root, room, permissions, what
        self._last: list[bytes] = []  # the directory that the last entry lies in
        self._mode = 0o755 if permissions is None else for_folders(permissions)

    def add(self, file: BinaryIO, header: _Header) -> None:
        """One entry, with its bytes from the archive."""
        shown = header.name.decode(errors="replace")
        if header.kind not in (*_FILES, _FOLDER):
            raise _bad(self._what, f"{shown} is a link, a device or the like, and no regular file or directory")
        parts = [part for part in header.name.split(b"/") if part not in (b"", b".")]
        if header.name.startswith(b"/") or b".." in parts or b"\0" in header.name:
            raise _bad(self._what, f"{shown} would leave its directory")
        if len(parts) > DEEPEST:
            raise _bad(self._what, f"it has more than {DEEPEST} directories inside of each other")
        self._room.enter()
        try:
            if header.kind == _FOLDER:  # whose size is a hint, without bytes
                self._enter(parts)
            elif not parts:
                raise _bad(self._what, "a file in it has no name")
            else:
                self._enter(parts[:-1])
                self._write(file, header, b"/".join([self._root, *parts]))
        except (FileExistsError, IsADirectoryError, NotADirectoryError):
            raise _bad(self._what, f"{shown} is a file and a directory in it") from None

    def _enter(self, parts: list[bytes]) -> None:
        """Make a directory, and those above it."""
        if parts == self._last:
            return
        path = self._root
        for part in parts:
            path += b"/" + part
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(path).st_mode):
                    raise
                continue
            self._room.enter()
            os.chmod(path, self._mode)
        self._last = parts

    def _write(self, file: BinaryIO, header: _Header, path: bytes) -> None:
        self._room.take(header.size)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileExistsError:  # a later entry of the same name is the one that counts
            os.unlink(path)
            descriptor = os.open(path, flags, 0o600)
        with open(descriptor, "wb", buffering=0) as target:
            left = header.size
            while left:
                piece = _exactly(file, min(left, _PIECE), self._what)
                left -= len(piece)
                write(target, piece)
                self._room.take(0)
            mode = header.mode & 0o777 | 0o600 if self._permissions is None else self._permissions
            os.fchmod(descriptor, mode)
        _exactly(file, _padded(header.size) - header.size, self._what)
