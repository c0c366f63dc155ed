"""A directory to a tar.gz that is the same for the same names and bytes: sorted, without times, owners and names of
this machine."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from io import FileIO

from ..failures import Failure
from .codes import OUTPUT
from .room import Room
from .unpacking import DEEPEST

__all__ = ["Skip", "entries", "file_pieces", "opened_file", "opened_folder", "pack", "regular"]

_PIECE = 1 << 18
_BLOCK = 512
_LEVEL = 6
_GZIP = 31  # window bits that ask zlib for the format of gzip, whose header then has no time and no name
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC

Skip = Callable[[str, str], None]
"""What is told of something that is left out: what, and why."""


@contextmanager
def opened_folder(name: str, parent: int | None = None) -> Iterator[int]:
    """A block with the descriptor of a directory in another one, which is no link to one."""
    descriptor = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def regular(name: str, parent: int | None = None) -> FileIO | None:
    """A file that a function left, opened; None for what is no regular file.

    Links are not followed, and what is a pipe keeps nobody waiting.
    """
    descriptor = os.open(name, _OPEN | os.O_NONBLOCK, dir_fd=parent)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return FileIO(descriptor)
    os.close(descriptor)
    return None


@contextmanager
def opened_file(name: str, parent: int, what: str, room: Room) -> Iterator[tuple[FileIO, os.stat_result]]:
    """A block with a regular file in a directory, and what is known of it.

    Raises:
        Failure: it is none any more, or too large.
    """
    file = regular(name, parent)
    if file is None:
        raise _changed(what)
    with file:
        found = os.fstat(file.fileno())
        room.take(found.st_size)
        yield file, found


def file_pieces(file: FileIO, found: os.stat_result, what: str, room: Room) -> Iterator[bytes]:
    """The bytes of a file.

    Raises:
        Failure: they are not those that they were when it was found, or somebody writes them still.
    """
    left = found.st_size
    while left and (piece := file.read(min(left, _PIECE))):
        room.take(0)
        left -= len(piece)
        yield piece
    now = os.fstat(file.fileno())
    if left or (now.st_size, now.st_mtime_ns) != (found.st_size, found.st_mtime_ns):
        raise _changed(what)


def _changed(what: str) -> Failure:
    return Failure(OUTPUT, f"{what} was changed while it was stored")


def entries(folder: int, where: str, room: Room, skip: Skip) -> list[tuple[str, bool]]:
    """Names in a directory, sorted, and whether each is a directory. What is neither file nor directory is told to
    ``skip`` and left out."""
    found = []
    with os.scandir(folder) as names:
        for entry in names:
            room.enter()
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
                found.append((entry.name, stat.S_ISDIR(mode)))
            else:
                skip(f"{where}/{entry.name}", "a symbolic link" if stat.S_ISLNK(mode) else "neither file nor directory")
    return sorted(found, key=lambda entry: os.fsencode(entry[0]))


def pack(folder: int, where: str, room: Room, skip: Skip) -> Iterator[bytes]:
    """A directory as tar.gz, its entries relative to it.

    Args:
        folder: its descriptor.
        where: it is, for messages.
        room: how much it may have.
        skip: is told of what is left out, and why.

    Raises:
        Failure: it is too large or too deep, or changes meanwhile.
    """
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    with closing(_walk(folder, "", where, 0, room, skip)) as pieces:
        for piece in pieces:
            yield packer.compress(piece)
    yield packer.compress(bytes(2 * _BLOCK)) + packer.flush()


def _walk(folder: int, prefix: str, where: str, depth: int, room: Room, skip: Skip) -> Generator[bytes]:
    if depth >= DEEPEST:
        raise Failure(OUTPUT, f"{where} has more than {DEEPEST} directories inside of each other")
    for name, inner in entries(folder, where, room, skip):
        what = f"{where}/{name}"
        if inner:
            yield _head(f"{prefix}{name}/", 0, 0o755, inner)
            with opened_folder(name, folder) as below:
                yield from _walk(below, f"{prefix}{name}/", what, depth + 1, room, skip)
            continue
        with opened_file(name, folder, what, room) as (file, found):
            yield _head(f"{prefix}{name}", found.st_size, 0o755 if found.st_mode & 0o100 else 0o644, inner)
            yield from file_pieces(file, found, what, room)
            yield bytes(-found.st_size % _BLOCK)


def _head(name: str, size: int, mode: int, folder: bool) -> bytes:
    import tarfile

    info = tarfile.TarInfo(name)
    info.size, info.mode = size, mode
    info.type = tarfile.DIRTYPE if folder else tarfile.REGTYPE
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
