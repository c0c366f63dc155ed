"""Copies on the local disk, by digest: a private map of bytes that lie elsewhere."""

from __future__ import annotations

import fcntl
import os
import stat
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from io import FileIO
from typing import NamedTuple

from ...errors import HoldfastError, IntegrityError, InvalidArgumentError, StoreError
from ...hashing import ALGORITHMS, NONE, check_digest, checked
from ...payload import Buffer
from ..base import Identity
from ..mapping import map_private
from ..places import boot_id
from .pins import Pins
from .room import FILLING, SEEN, Room, copies

__all__ = ["CacheUsage", "DiskCache"]


class CacheUsage(NamedTuple):
    """What the copies of a folder take.

    Attributes:
        copies: how many there are.
        size: their bytes.
    """

    copies: int
    size: int


class DiskCache:
    """A folder of copies, each under the digest of its bytes, so that no copy can be out of date.

    Many processes of a machine may share the folder. Their copies together stay within the limit: the least recently
    used ones make room, but none that a process has mapped. Bytes are hashed when they are fetched, and again when the
    file is not known to be the one that was written (touched since, or written before this start of the machine). A
    process that is killed leaves nothing that could be taken for a copy.

    Where the disk is full or the folder cannot be used, there is no copy, and no error: who asked reads from afar.

    Args:
        folder: made when it is not there, for its user alone.
        limit: bytes of all copies together.

    Raises:
        InvalidArgumentError: the limit is no positive number.
        StoreError: the folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str], limit: int) -> None:
        if isinstance(limit, bool) or limit <= 0:
            raise InvalidArgumentError(f"the limit of a cache is a positive number of bytes, not {limit!r}")
        self.folder = os.path.abspath(folder)
        self.limit = limit
        self._boot = boot_id()
        try:
            os.makedirs(self.folder, 0o700, exist_ok=True)
            os.makedirs(f"{self.folder}/{FILLING}", 0o700, exist_ok=True)
            self._pins = Pins.of(f"{self.folder}/pins")
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be a cache: {error.strerror}; name another folder") from error
        self._room = Room(self.folder, limit, self._pins)

    def __repr__(self) -> str:
        return f"DiskCache({self.folder!r}, {self.limit})"

    def map(
        self, algorithm: int, digest: bytes | None, size: int, fetch: Callable[[], Iterable[Buffer]], where: str
    ) -> memoryview | None:
        """A private copy-on-write map of the bytes of a digest, believed.

        Args:
            fetch: gives the bytes in pieces, if they are not here.
            where: what they are, for messages.

        Returns:
            None where no copy is kept: no digest, no bytes, more than the limit, no room, or trouble with the disk.

        Raises:
            IntegrityError: what was fetched does not match the digest, or has another size.
            HoldfastError: what ``fetch`` raises.
        """
        found = self._find(algorithm, digest, size, fetch, where)
        if found is None:
            return None
        fd, byte = found
        try:
            view = map_private(fd, size)
            weakref.finalize(view.obj, self._pins.release, byte).atexit = False
        except OSError:
            self._pins.release(byte)
            return None
        except BaseException:
            self._pins.release(byte)
            raise
        finally:
            os.close(fd)
        return view

    def open(
        self, algorithm: int, digest: bytes | None, size: int, fetch: Callable[[], Iterable[Buffer]], where: str
    ) -> FileIO | None:
        """The same as a seekable, unbuffered file for reading, positioned at the start.

        Returns, Raises: as :meth:`map`.
        """
        found = self._find(algorithm, digest, size, fetch, where)
        if found is None:
            return None
        fd, byte = found
        file = FileIO(fd, "rb")
        weakref.finalize(file, self._pins.release, byte).atexit = False
        return file

    def usage(self) -> CacheUsage:
        """How many copies there are, and their bytes.

        Raises:
            StoreError: the folder cannot be read.
        """
        try:
            sizes = [copy.size for copy in copies(self.folder)]
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be read: {error.strerror}") from error
        return CacheUsage(len(sizes), sum(sizes))

    def clear(self) -> None:
        """Remove all copies that nobody has mapped.

        Raises:
            StoreError: the folder cannot be written.
        """
        try:
            for copy in copies(self.folder):
                if self._pins.remove(copy.name, [copy.path, copy.path + SEEN]):
                    self._room.give_back(copy.size)
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be cleared: {error.strerror}") from error

    # --- finding and filling ----------------------------------------------------------------------------------------

    def _find(
        self, algorithm: int, digest: bytes | None, size: int, fetch: Callable[[], Iterable[Buffer]], where: str
    ) -> tuple[int, int] | None:
        """An open copy that may be believed, with its pin."""
        if algorithm == NONE or algorithm not in ALGORITHMS or not digest or not 0 < size <= self.limit:
            return None
        name = f"{algorithm}-{digest.hex()}-{size}"
        path = f"{self.folder}/{digest.hex()[:2]}/{name}"
        try:
            byte = self._pins.pin(name)
        except OSError:
            return None
        fd: int | None = None
        try:
            for _ in range(3):  # one that was just fetched may be removed again, if a process clears the folder
                fd = self._open(path, algorithm, digest, size)
                if fd is not None:
                    return fd, byte
                if not self._fill(name, path, algorithm, digest, size, fetch, where):
                    return None
            return None
        except HoldfastError:
            raise
        except OSError:
            return None
        finally:
            if fd is None:
                self._pins.release(byte)

    def _open(self, path: str, algorithm: int, digest: bytes, size: int) -> int | None:
        """A copy that is there and may be believed; one that may not is removed."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            identity = _identity(fd)
            seen = f"{self._boot} {' '.join(map(str, identity))}"
            if identity.size != size or not stat.S_ISREG(os.fstat(fd).st_mode):
                raise IntegrityError(f"{path} is no copy of {size} bytes")
            if _read(path + SEEN) != seen:
                check_digest(algorithm, digest, _pieces(fd), path)
                if _identity(fd) != identity:
                    raise IntegrityError(f"{path} is being written to")
                _write(path + SEEN, seen)
            else:
                os.utime(path + SEEN)
        except IntegrityError:  # fetched anew
            os.close(fd)
            with suppress(FileNotFoundError):
                os.unlink(path)
                self._room.give_back(identity.size)
            return None
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _fill(
        self,
        name: str,
        path: str,
        algorithm: int,
        digest: bytes,
        size: int,
        fetch: Callable[[], Iterable[Buffer]],
        where: str,
    ) -> bool:
        """Fetch a copy, unless another thread or process did meanwhile; False when there is no room for it."""
        new = f"{self.folder}/{FILLING}/{name}"
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # a second one waits until the first has it
            if not _is_at(fd, new):
                return True  # it was finished, or given up: look again
            if os.path.exists(path):  # finished between our look and our opening of a new one
                os.unlink(new)
                return True
            taken = False
            try:
                taken = self._room.take(name, size)
                if not taken:
                    os.unlink(new)
                    return False
                self._write(fd, algorithm, digest, size, fetch, where)
                os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
                os.rename(new, path)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(new)
                if taken:
                    self._room.give_back(size)
                raise
            _write(path + SEEN, f"{self._boot} {' '.join(map(str, _identity(fd)))}")
            return True
        finally:
            os.close(fd)

    @staticmethod
    def _write(
        fd: int, algorithm: int, digest: bytes, size: int, fetch: Callable[[], Iterable[Buffer]], where: str
    ) -> None:
        os.ftruncate(fd, 0)
        position = 0
        for piece in checked(algorithm, digest, fetch(), where):
            if position + len(piece) > size:
                raise IntegrityError(f"{where} has more bytes in its storage than its record says, {size}")
            view = memoryview(piece)
            while view:
                done = os.pwrite(fd, view, position)
                position += done
                view = view[done:]
        if position != size:
            raise IntegrityError(f"{where} has {position} bytes in its storage, its record says {size}")


def _identity(fd: int) -> Identity:
    found = os.fstat(fd)
    return Identity(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _is_at(fd: int, path: str) -> bool:
    """Whether an open file still has this name."""
    try:
        there, ours = os.stat(path, follow_symlinks=False), os.fstat(fd)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _pieces(fd: int) -> Iterator[bytes]:
    position = 0
    while piece := os.pread(fd, 1 << 20, position):
        yield piece
        position += len(piece)


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, 1000).decode("ascii", "replace")
    finally:
        os.close(fd)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, text.encode("ascii"))
    finally:
        os.close(fd)
