"""The local memory: values in files that processes map, for as long as one of them is there."""

from __future__ import annotations

import errno
import os
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, NamedTuple

from ...errors import ClosedError, HoldfastError, InvalidArgumentError, ValueLost
from ...payload import Buffer, Payload
from ..base import OCTETS, GetDigest, check_size
from ..ephemeral import EphemeralStorage
from .copying import best_start
from .eviction import LASTING, was_evicted
from .place import FULL, choose_base, default_size, explain, explained
from .reading import Holds, pieces, read_all, view
from .room import Room
from .segments import Segment
from .session import SESSION, Attachment, Home, sweep
from .writers import AbandonedFolder, Mark, abandoned_folders, remove_empty
from .writing import SegmentWriter, Writing

__all__ = ["LocalMemory"]

_STORE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SESSION = re.compile(rf"({SESSION})")
_CONFIG = re.compile(rf"({SESSION})/([0-9a-f]{{16}})/([0-9]{{1,18}}-([0-9]{{1,18}})(?:-([0-9]{{1,4}}))?{LASTING}?)")
_STREAM = 1 << 16  # bytes of the segment of a stream of which the size is not known

_memories: weakref.WeakSet[LocalMemory] = weakref.WeakSet()


class _Piece(NamedTuple):
    """A config, taken apart."""

    session: str
    writer: str
    name: str
    size: int
    start: int


class _Here(NamedTuple):
    """The session that this process is attached to, and its segments."""

    attachment: Attachment
    room: Room


class LocalMemory(EphemeralStorage):
    """Values in shared memory of this machine: ``/dev/shm``, or the temporary folder where there is too little.

    The session begins with the first process that uses it, by writing or reading, and ends when the last one that did
    has ended, however it ended. All of them must be of one user. The config is
    ``"<session>/<writer>/<number>-<length>"``, with ``-<start>`` where the value does not begin with its segment.

    Args:
        store: id of the store that it serves.
        size: bytes kept at a time; None for half of what the file system has, and at most half of the memory.
        folder: where, in place of ``/dev/shm``; made when it is not there.

    Raises:
        InvalidArgumentError: an argument is not well formed.
    """

    name: ClassVar[str] = "holdfast.local@v1"
    url: ClassVar[str] = "shm:"
    far: ClassVar[bool] = False
    nearby: ClassVar[str] = "local"

    def __init__(self, store: str, *, size: int | None = None, folder: str | None = None) -> None:
        _check(store, size, folder)
        self._store = store
        self._size = size
        self._folder = folder
        self._base = ""
        self._at: Home | None = None
        self._here: _Here | None = None
        self._marks: list[Mark] = []  # the one that writes now, if any
        self._closed = False
        self._ended: set[str] = set()
        self._lock = threading.Lock()
        self._holds = Holds()
        self._end: weakref.finalize[Any, Any] | None = None
        _memories.add(self)

    def __repr__(self) -> str:
        return f"<LocalMemory of {self._store}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _make, (self._store, self._size, self._folder)

    # --- the session -------------------------------------------------------------------------------------------------

    def session(self) -> str:
        """The session that this process is attached to, which it joins or begins if need be.

        Raises:
            StoreError: the folder is not this user's alone, or cannot be used; the message says why.
        """
        return self._attached().attachment.session

    def alive(self, session: str) -> bool:
        """Whether anybody is attached to that session; True when it is of another machine, container or user."""
        here = self._here
        if here is not None and here.attachment.session == session:
            return True
        if session in self._ended:
            return False
        if not _SESSION.fullmatch(session):
            return True
        try:
            home = self._home()
            machine, boot, place, own = session.split(".")
            if machine != home.machine:
                return True
            lasts = boot == home.boot and (place != home.place or home.lasts(own))
        except OSError:
            return True
        if not lasts:
            self._ended.add(session)  # and never comes back
        return lasts

    @staticmethod
    def sweep(folder: str | None = None) -> int:
        """Remove what processes that were killed left of sessions that have ended; gives of how many stores.

        Raises:
            StoreError: the folder cannot be read or written.
        """
        base = choose_base(folder)
        with explained(base):
            return sweep(base)

    def _home(self) -> Home:
        home = self._at
        if home is None:
            self._base = choose_base(self._folder)
            with explained(self._base):
                home = self._at = Home(self._base, self._store)
        return home

    def _attached(self) -> _Here:
        here = self._here or self._attach(Home.attach)
        assert here is not None
        return here

    def _attach(self, how: Callable[[Home], Attachment | None]) -> _Here | None:
        home = self._home()
        with self._lock, explained(home.folder):
            if self._closed:
                raise ClosedError("this memory is closed: open the store again")
            if self._here is None:
                attachment = how(home)
                if attachment is None:
                    return None
                self._here = _Here(attachment, Room(attachment.folder, self._size or default_size(self._base)))
                self._end = weakref.finalize(self, _leave, self._here, self._marks)
                with suppress(OSError):  # what others were killed with; the next one tries again
                    sweep(self._base)
            return self._here

    def _detach(self, here: _Here) -> None:
        with self._lock:
            if self._here is here:
                self._here = None
                if self._end is not None:
                    self._end()

    def _marked(self, here: _Here) -> Mark:
        """The sign that this process writes to that session; another one in a forked child."""
        marks = self._marks
        if not marks or marks[-1].lock.fd < 0:
            with self._lock:
                if not marks or marks[-1].lock.fd < 0:
                    marks[:] = [Mark(here.room)]
        return marks[-1]

    def close(self) -> None:
        """Leave the session; reading what is left of it goes on working, and so do the views that anybody has.

        Close only when every config that this object gave is committed: others may sweep what it wrote then.
        """
        here = self._here
        self._closed = True
        if here is not None:
            self._detach(here)

    def _after_fork(self) -> None:
        """In a child, which is part of the session as its parent is: another thread may have held a lock."""
        self._lock = threading.Lock()
        if self._here is not None:
            self._here.room.maps.after_fork()

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(
        self,
        payload: Payload,
        get_digest: GetDigest,
        tags: Mapping[str, str],
        *,
        sync: bool = False,
        lasting: bool = False,
    ) -> str:
        """Copy a payload into a segment; ``sync`` changes nothing."""
        size = payload.size

        def fill(segment: Segment, room: Room) -> None:
            segment.fill(payload.buffers, room.maps)
            segment.complete()

        writing = self._writing(size, fill, best_start(payload.buffers), lasting)
        with explained(writing.folder):
            return writing.finish()

    def writer(
        self,
        tags: Mapping[str, str],
        *,
        size: int | None = None,
        content_type: str = OCTETS,
        encoding: str | None = None,
    ) -> SegmentWriter:
        """Begin to write a stream, into a segment for ``size`` bytes, which grows or is cut."""
        check_size(size, 60)
        return SegmentWriter(self._writing(_STREAM if size is None else size, lambda segment, room: None))

    def _writing(
        self, size: int, fill: Callable[[Segment, Room], None], start: int | None = None, lasting: bool = False
    ) -> Writing:
        """A segment for ``size`` bytes, filled; ``start`` is where they should begin."""
        for last in (False, False, True):
            here = self._attached()
            writing = None
            try:
                writing = Writing(here.attachment.session, here.room, self._marked(here), size, start, lasting)
                fill(writing.segment, here.room)
                return writing
            except BaseException as error:
                if writing is not None:
                    writing.discard()
                if not isinstance(error, OSError) or isinstance(error, HoldfastError):
                    raise
                if last or error.errno not in (*FULL, errno.ENOENT):
                    raise explain(error, here.room.folder) from error
                if error.errno == errno.ENOENT:  # somebody removed the folder: what was in it is lost
                    self._detach(here)
                else:
                    with explained(here.room.folder):
                        here.room.make_way(size, lasting)
        raise AssertionError("not reached")

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self, config: Any) -> Buffer:
        """A copy of all bytes."""
        piece = self._piece(config)
        with self._reading(piece) as path:
            return read_all(path, piece.start, piece.size)

    def view(self, config: Any, size: int) -> Sequence[Buffer]:
        """All bytes as one buffer, writable for this process alone: a map, or a copy of what is small."""
        if size < 0:
            raise InvalidArgumentError(f"a size is a number of bytes, not {size}")
        piece = self._piece(config)
        if size > piece.size:
            raise ValueLost(f"the bytes of {config} are {piece.size}, not {size}: it is not what was put")
        with self._reading(piece) as path:
            return [view(self._holds, path, piece.start, size)]

    def read_stream(self, config: Any, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes in pieces of 1 MB; they stay from the first piece on until the iterator is closed."""
        if offset < 0 or (length is not None and length < 0):
            raise InvalidArgumentError(f"offset and length are numbers of bytes, not {offset} and {length}")
        piece = self._piece(config)
        return self._pieces(piece, offset, piece.size if length is None else min(piece.size, offset + length))

    def _pieces(self, piece: _Piece, start: int, end: int) -> Iterator[bytes]:
        with self._reading(piece) as path:
            yield from pieces(path, piece.start + start, piece.start + end)

    @contextmanager
    def _reading(self, piece: _Piece) -> Iterator[str]:
        """The path of a value; errors are told as ours."""
        here = self._here
        if here is None or here.attachment.session != piece.session:
            self._join(piece)
        path = self._path(piece)
        try:
            yield path
        except FileNotFoundError:
            self._look()
            raise self._lost(piece) from None
        except OSError as error:
            if isinstance(error, HoldfastError):
                raise
            raise explain(error, path) from error

    def _join(self, piece: _Piece) -> None:
        """Become part of the session of what is to be read."""
        home = self._home()
        own = piece.session.rpartition(".")[2]
        self._look()
        if piece.session != f"{home.prefix}.{own}" or self._here is not None:
            raise self._lost(piece)
        if not self._closed and self._attach(lambda home: home.join(own)) is None:
            raise self._lost(piece)

    def _look(self) -> None:
        """Leave a session whose folder somebody has removed: others may have begun another one."""
        here = self._here
        if here is not None and not os.path.isdir(here.attachment.folder):
            self._detach(here)

    def _lost(self, piece: _Piece) -> ValueLost:
        config = f"{piece.session}/{piece.writer}/{piece.name}"
        home = self._home()
        machine, boot, place, _ = piece.session.split(".")
        if (machine, boot, place) != (home.machine, home.boot, home.place):
            if machine == home.machine and boot != home.boot:
                return ValueLost(f"the bytes of {config} are gone: the machine was started anew since they were put")
            return ValueLost(
                f"the bytes of {config} cannot be had here: they are in the memory of another machine, container or "
                "user, or in another memory_folder="
            )
        path = self._path(piece)
        with suppress(OSError):
            if was_evicted(os.path.dirname(os.path.dirname(path)), path):
                return ValueLost(
                    f"the bytes of {config} are gone: they had to make room for others; set memory_size= higher, with "
                    "memory_folder= where more space is"
                )
        if not self.alive(piece.session):
            return ValueLost(f"the bytes of {config} are gone: all processes ended that used the memory they were in")
        return ValueLost(f"the bytes of {config} are gone: they were deleted")

    @staticmethod
    def _piece(config: Any) -> _Piece:
        found = _CONFIG.fullmatch(config) if isinstance(config, str) else None
        if found is None:
            raise InvalidArgumentError(f"no local memory gave the config {config!r}")
        return _Piece(found[1], found[2], found[3], int(found[4]), int(found[5] or 0))

    def _path(self, piece: _Piece) -> str:
        return f"{self._home().folder}/{piece.session.rpartition('.')[2]}/{piece.writer}/{piece.name}"

    # --- keeping and removing ----------------------------------------------------------------------------------------

    def delete(self, config: Any) -> None:
        """Take the bytes away; the segment is written again once its last reader let go."""
        piece = self._piece(config)
        home = self._home()
        if not piece.session.startswith(home.prefix):
            return  # of another machine, or place, where it is to be deleted
        path = self._path(piece)
        writer = os.path.dirname(path)
        here = self._here
        ours = here is not None and here.attachment.session == piece.session
        room = here.room if here is not None and ours else Room(os.path.dirname(writer), 0)
        with explained(path), suppress(FileNotFoundError):
            room.free(path)
            if not any(mark.folder == writer for mark in self._marks):
                remove_empty(writer)

    def sync(self, configs: Sequence[Any]) -> list[bool]:
        """For each config, whether its bytes are there; there is no disk."""
        found = [self._piece(config) for config in configs]
        lasting = {session for session in {piece.session for piece in found} if self._is_here(session)}
        return [piece.session in lasting and os.path.lexists(self._path(piece)) for piece in found]

    def _is_here(self, session: str) -> bool:
        return session.startswith(self._home().prefix) and self.alive(session)

    def abandoned(self) -> Iterator[AbandonedFolder]:
        """What writers of the session that lasts left that died; each is locked against other collectors while its
        object lives."""
        home = self._home()
        here = self._here
        with explained(home.folder):
            if here is not None:
                yield from abandoned_folders(here.attachment.session, here.room)
                return
            own = home.lasting()
            if own is not None:
                yield from abandoned_folders(f"{home.prefix}.{own}", Room(f"{home.folder}/{own}", 0))


def _check(store: object, size: object, folder: object) -> None:
    if not isinstance(store, str) or not _STORE.fullmatch(store):
        raise InvalidArgumentError(f"the id of a store is letters, digits, - and _, not {store!r}")
    if size is not None and (not isinstance(size, int) or size <= 0):
        raise InvalidArgumentError(f"memory_size= is a number of bytes, at least 1, not {size!r}")
    if folder is not None and (not isinstance(folder, str) or not folder or "\0" in folder):
        raise InvalidArgumentError(f"memory_folder= is the path of a folder, not {folder!r}")


def _make(store: str, size: int | None, folder: str | None) -> LocalMemory:
    return LocalMemory(store, size=size, folder=folder)


def _leave(here: _Here, marks: list[Mark]) -> None:
    """The end of a memory in this process, which the last one of a session cleans up after."""
    here.room.maps.clear()
    with suppress(OSError):  # what stays is removed by the next that attaches
        for mark in marks:
            mark.end()
        here.attachment.end()


def _after_fork_in_child() -> None:
    for memory in list(_memories):
        memory._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
