"""The contract of a storage, on any medium that holds whole objects under names."""

from __future__ import annotations

import os
import re
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ...errors import ClosedError, InvalidArgumentError, StoreError
from ...payload import Buffer, Payload
from ..base import OCTETS, Abandoned, GetDigest, Storage, Writer, check_size, check_span
from .medium import Medium, Progress
from .together import together
from .writers import LiveWriter, abandoned_writers, owner_mark
from .writing import RemoteWriter, discard

__all__ = ["PATIENCE", "RemoteStorage"]

PATIENCE = 7200.0
"""Seconds after which a writer on another machine that gave no sign of life is taken for dead."""

_CONFIG = re.compile(r"[0-9a-z]{18}/(?:0|[1-9][0-9]{0,18})")
_ASKING = 16  # requests at once that only ask

_storages: weakref.WeakSet[RemoteStorage] = weakref.WeakSet()
_inherited: list[LiveWriter | None] = []


class RemoteStorage(Storage):
    """Bytes as objects ``<writer>/<number>`` of a medium; the config is that name.

    A name is used once, and an object is whole when its config is given. What a write leaves when its process dies is
    found by :meth:`abandoned`. Each medium gives this class a name of its own.

    Args:
        medium: the place.
        owner: whose writers :meth:`abandoned` reports: the id of a store, as several may share a place.
        patience: see :data:`PATIENCE`; at least 60.
        books: where the signs of life of writers are, if not beside the bytes.
    """

    remote = True

    def __init__(
        self, medium: Medium, owner: str = "", patience: float = PATIENCE, books: Medium | None = None
    ) -> None:
        if not 60 <= patience < 1e9:
            raise InvalidArgumentError(f"patience is a number of seconds from 60 on, not {patience!r}")
        self.medium = medium
        self.books = medium if books is None else books
        self.owner = owner
        self.patience = float(patience)
        self._lock = threading.Lock()
        self._writer: LiveWriter | None = None
        self._closed = False
        _storages.add(self)

    # --- writing ----------------------------------------------------------------------------------------------------

    def write(
        self,
        payload: Payload,
        get_digest: GetDigest,
        tags: Mapping[str, str],
        *,
        sync: bool = False,
        progress: Progress | None = None,
    ) -> Any:
        """Write a payload into an object of its own; ``sync`` changes nothing, as what is there is kept.

        ``progress`` is told of bytes as they are sent, where the medium can tell, else at the end.
        """
        buffers, size = payload.buffers, payload.size
        for last in (False, True):
            writer = self._current()
            name = writer.next_name()
            try:
                self.medium.put(name, buffers, size, progress)
            except BaseException:
                discard(self.medium, name)
                raise
            if not writer.lost:
                return name
            discard(self.medium, name)  # the machine slept: others may take what it wrote for garbage
            if last:
                break
        raise StoreError(f"{self.medium.shown} could not be reached for a long time, twice: nothing was written")

    def writer(
        self,
        tags: Mapping[str, str],
        *,
        size: int | None = None,
        content_type: str = OCTETS,
        encoding: str | None = None,
    ) -> Writer:
        """Begin to write a stream. With ``size`` the parts are cut so that they are few enough for the place."""
        check_size(size)
        pid = os.getpid()
        return RemoteWriter(self.medium, self._current(), size, lambda: os.getpid() == pid)

    def _current(self) -> LiveWriter:
        """This process' writer, made when there is none."""
        writer = self._writer
        if writer is None or writer.lost:
            with self._lock:
                if self._closed:
                    raise ClosedError(f"the storage of {self.medium.shown} is closed: open it again")
                writer = self._writer
                if writer is None or writer.lost:
                    writer = self._writer = LiveWriter(self.books, owner_mark(self.owner), self.patience)
        return writer

    def _begin_anew(self) -> None:
        """In a forked child: the writer is the parent's, and its end would wait for a lock that a thread held there."""
        self._lock = threading.Lock()
        _inherited.append(self._writer)
        self._writer = None

    # --- reading ----------------------------------------------------------------------------------------------------

    def read(self, config: Any, *, progress: Progress | None = None) -> Buffer:
        """All bytes of an object; ``progress`` is told of bytes as they come, where the medium can tell."""
        return self.medium.get(self._check(config), progress)

    def read_sized(self, config: Any, size: int) -> Buffer:
        """All bytes of an object that should have ``size``; of a larger one a byte more."""
        return self.medium.get(self._check(config), most=size + 1)

    def read_stream(self, config: Any, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes in pieces of at most 4 MB."""
        name = self._check(config)
        check_span(offset, length)
        return iter(()) if length == 0 else self.medium.stream(name, offset, length)

    def _check(self, config: Any) -> str:
        """Name of the object that a config means."""
        if isinstance(config, str) and _CONFIG.fullmatch(config):
            return config
        raise InvalidArgumentError(f"no remote storage gave the config {config!r}: it must be like '<writer>/<number>'")

    # --- keeping and removing ---------------------------------------------------------------------------------------

    def sync(self, configs: Sequence[Any]) -> list[bool]:
        """For each config, whether its bytes are there; they were kept when their write returned."""
        names = [self._check(config) for config in configs]
        return together([partial(self.medium.exists, name) for name in names], _ASKING)

    def stands(self, config: Any) -> bool:
        """Whether an object is there; nobody is asked while others cannot take this process' writer for dead."""
        writer, name = self._writer, self._check(config)
        mine = writer is not None and name.startswith(f"{writer.writer}/") and not writer.lost
        return mine or self.shares or self.medium.exists(name)

    def delete(self, config: Any) -> None:
        """Remove an object."""
        self.medium.delete(self._check(config))

    def delete_many(self, configs: Sequence[Any]) -> None:
        """Remove objects, several at once."""
        together([partial(self.delete, config) for config in configs], _ASKING)

    def abandoned(self) -> Iterator[Abandoned]:
        """The writers of this storage's owner that have ended or died."""
        yield from abandoned_writers(self.books, owner_mark(self.owner))

    def close(self) -> None:
        """End this storage's writer; reading goes on working.

        Close only when every config that this object gave is committed: others may look through what its writer wrote.
        """
        with self._lock:
            self._closed = True
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.end()
        self.medium.close()


def _after_fork_in_child() -> None:
    for storage in list(_storages):
        storage._begin_anew()


os.register_at_fork(after_in_child=_after_fork_in_child)
