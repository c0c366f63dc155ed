"""Whole files, streams and spans of a file system, through fsspec."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import copy
from typing import Any, TypeVar

from ...errors import ClosedError, HoldfastError, ReadOnlyError, StoreError, StoreNotFoundError, ValueLost
from ...payload import Buffer
from ..remote import Medium, Progress, Upload
from ..remote.medium import Entry
from .failures import explain
from .pool import Pool

__all__ = ["FileMedium"]

T = TypeVar("T")

_BLOCK = 8 << 20  # what is sent at once, where a file system sends blocks
_PIECE = 4 << 20
_BATCH = 1000

_inherited: list[Any] = []


class FileMedium(Medium):
    """Files of a folder of a file system.

    Args:
        make: makes a file system.
        root: the folder, by the file system's own name for it.
        shown: the URL.
        timeout: seconds in which what fails for a broken connection is done again.
    """

    def __init__(self, make: Callable[[], Any], root: str, shown: str, timeout: float) -> None:
        self.shown = shown
        self._root = root.rstrip("/")
        self._pool = Pool(make, timeout)
        self._brief = Pool(make, 0.0)
        self._folders: set[str] = set()

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _use(self, work: Callable[[Any], T], name: str, *, writing: bool = False) -> T:
        return self._explained(lambda: self._pool.use(work), name, writing)

    def _explained(self, work: Callable[[], T], name: str, writing: bool) -> T:
        try:
            return work()
        except FileNotFoundError as error:
            if not self._is_there(name):
                told = f"{self.shown}/{name} is gone: it was removed by other means than this library"
                raise ValueLost(told) from None
            raise StoreError(f"{self.shown}/{name} is there and cannot be read: {error.__cause__ or error}") from error
        except Exception as error:
            raise explain(error, self.shown, writing=writing) from error

    def _is_there(self, name: str) -> bool:
        """Some protocols tell every trouble as a missing file; and a folder that is not there as a whole does not mean
        that each value in it is lost."""

        def look(system: Any) -> tuple[bool, bool]:
            try:
                return True, bool(system.info(self._path(name)))
            except FileNotFoundError:
                return not self._root.strip("/") or bool(system.isdir(self._root)), False

        try:
            root, there = self._pool.use(look)
        except Exception as error:
            raise explain(error, self.shown, writing=False) from error
        if not root:
            raise StoreNotFoundError(f"{self.shown} is not there: write to it first, or mend the URL")
        return there

    # --- writing ----------------------------------------------------------------------------------------------------

    def _open(self, system: Any, name: str) -> Any:
        folder = self._path(name.partition("/")[0])
        if folder not in self._folders:
            try:
                system.makedirs(folder, exist_ok=True)
            except Exception:
                if not system.isdir(folder):  # else another process made it at this moment
                    raise
            self._folders.add(folder)
        return system.open(self._path(name), "wb", block_size=_BLOCK)

    def put(self, name: str, buffers: Sequence[Buffer], size: int, progress: Progress | None = None) -> None:
        """Write a file of its own; no other has the name, so that nobody sees it before it is whole."""

        def work(system: Any) -> None:
            with self._open(system, name) as file:
                for buffer in buffers:
                    file.write(buffer)

        try:
            self._use(work, name, writing=True)
        except (ValueLost, StoreNotFoundError, ReadOnlyError):
            if not self._folders:
                raise
            self._folders.clear()  # one may have been removed since it was made
            self._use(work, name, writing=True)
        if progress is not None:
            progress(size)

    def upload(self, name: str, size: int | None) -> Upload:
        """Begin a file, through a new connection: one that lay idle may have ended, and that shows when it is too late
        to begin again."""
        pid = os.getpid()
        system, file = self._explained(lambda: self._pool.new(lambda system: self._open(system, name)), name, True)
        return _Upload(self, name, system, file, pid)

    # --- reading ----------------------------------------------------------------------------------------------------

    def get(self, name: str, progress: Progress | None = None, most: int | None = None) -> Buffer:
        """All bytes of a file, or the first ``most``."""
        span = {} if most is None else {"start": 0, "end": most}
        data: bytes = self._use(lambda system: system.cat_file(self._path(name), **span), name)
        if progress is not None:
            progress(len(data))
        return data

    def stream(self, name: str, offset: int, length: int | None) -> Iterator[bytes]:
        """From an open file, where the file system has such; those that ask for span after span by name are read whole,
        into a file without a name on this machine's disk, as the next span could be gone."""
        if length is not None and length <= _PIECE:
            data = self._use(lambda system: self._span(system, name, offset, offset + length), name)
            if data:
                yield data
            return
        pid = os.getpid()
        system, file = self._explained(lambda: self._pool.hold(lambda system: self._source(system, name)), name, False)
        try:
            file.seek(offset)
            while length is None or length > 0:
                piece = file.read(_PIECE if length is None else min(length, _PIECE))
                if not piece:
                    break
                yield bytes(piece)
                if os.getpid() != pid:
                    raise ClosedError("a stream does not go on in a forked process: begin another")
                if length is not None:
                    length -= len(piece)
        except Exception as error:
            raise explain(error, self.shown, writing=False) from error
        finally:
            if os.getpid() == pid:
                with suppress(Exception):  # nothing is lost with it
                    file.close()
            else:
                _inherited.append((file, system))  # freeing it could say goodbye on the parent's connection
        self._pool.give_back(system, pid)

    def _span(self, system: Any, name: str, start: int, end: int) -> bytes:
        path = self._path(name)
        if start >= system.info(path)["size"]:
            return b""
        data: bytes = system.cat_file(path, start=start, end=end)
        return data

    def _source(self, system: Any, name: str) -> Any:
        """An open file that goes on when its name is removed."""
        from fsspec.spec import AbstractBufferedFile

        path = self._path(name)
        file = system.open(path, "rb")
        if not isinstance(file, AbstractBufferedFile):
            return file
        file.close()
        spool = tempfile.NamedTemporaryFile(prefix="holdfast-")  # noqa: SIM115  closed by whoever reads it
        try:
            system.get_file(path, spool.name)
            return open(spool.name, "rb")
        finally:
            spool.close()

    def exists(self, name: str) -> bool:
        """Whether a file is there; StoreNotFoundError if not even the folder of all is."""
        try:
            self._use(lambda system: system.info(self._path(name)), name)
        except ValueLost:
            return False
        return True

    def list(self, folder: str) -> Iterator[list[Entry]]:
        """The files of a folder. The times that file systems tell are of many kinds: none is given."""
        try:
            found = self._use(lambda system: system.ls(self._path(folder), detail=True), folder)
        except ValueLost:
            return
        names = [item["name"].rstrip("/").rpartition("/")[2] for item in found if item["type"] == "file"]
        for start in range(0, len(names), _BATCH):
            yield [Entry(f"{folder}/{name}", None) for name in names[start : start + _BATCH]]

    def delete(self, name: str) -> None:
        """Remove a file."""

        def work(system: Any) -> None:
            try:
                system.rm_file(self._path(name))
            except FileNotFoundError:
                raise
            except Exception:
                system.info(self._path(name))  # raises FileNotFoundError where the protocol has its own error for that
                raise

        with suppress(ValueLost):
            self._use(work, name, writing=True)

    def hasty(self) -> Medium:
        """The same folder, each thing tried once."""
        brief = copy(self)
        brief._pool = self._brief
        return brief

    def close(self) -> None:
        """Let go of connections."""
        self._pool.clear()
        self._brief.clear()


class _Upload(Upload):
    """A file being written, with a file system of its own until it is finished."""

    def __init__(self, medium: FileMedium, name: str, system: Any, file: Any, pid: int) -> None:
        self._medium = medium
        self._name = name
        self._system: Any = system
        self._file: Any = file
        self._pid = pid

    def write(self, piece: Buffer) -> None:
        try:
            self._file.write(piece)
        except Exception as error:
            raise explain(error, self._medium.shown, writing=True) from error

    def finish(self) -> None:
        try:
            self._file.close()
        except Exception as error:
            raise explain(error, self._medium.shown, writing=True) from error
        self._medium._pool.give_back(self._system, self._pid)
        self._file = self._system = None

    def abort(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        if self._pid != os.getpid():
            _inherited.append((file, self._system))  # freeing it would write to the parent's connection
            return
        with suppress(Exception):  # another error is on its way; what stays is found after the writer's end
            file.close()
        with suppress(HoldfastError):
            self._medium.hasty().delete(self._name)
