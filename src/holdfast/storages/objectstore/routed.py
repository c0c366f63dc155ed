"""A storage whose objects lie where a router says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, cast

from ...errors import ClosedError, InvalidArgumentError, ReadOnlyError, StoreError, ValueLost
from ...hashing import ALGORITHMS, BLAKE3, NONE, hasher
from ...payload import Buffer, Payload
from ..asynchronous import StreamDigest
from ..base import OCTETS, Abandoned, GetDigest, Writer, check_size
from ..remote import Progress, RemoteStorage, together
from ..remote.storage import PATIENCE
from ..remote.writers import AbandonedWriter, LiveWriter
from ..remote.writing import RemoteWriter, discard
from .connection import Bucket, Credentials, parse
from .medium import PART, BucketMedium
from .routers import BOOKS, Pointers, Router, ask, takes_temp

__all__ = ["RoutedStorage"]

_NOTE = ".to"  # ends the name of an object with the pointer to which bytes are about to be written
_LONGEST = 1 << 14  # bytes of such an object; no pointer takes more
_ASKING = 16
_TRIES = 3


class RoutedStorage(RemoteStorage):
    """Bytes as objects that a router places; the config is its pointer: ``{"bucket": …, "key": …}`` on S3,
    ``{"container": …, "blob": …}`` on Azure, ``{"bucket": …, "blob": …}`` on Google.

    The router is called with a :class:`~holdfast.storages.asynchronous.StreamDigest` and the tags of the write. It may
    give one pointer for equal bytes: then they are there once. Bytes never take the place of others: where an object
    with other bytes is, the write fails.

    A router with a parameter ``temp`` is asked with ``temp=True`` for a place in which a stream waits until its digest
    is known; else it waits in the storage's own folder, ``<prefix>/.holdfast``. The server copies it then to its place.

    Before bytes go to a place, the pointer is noted in that folder, so that what a writer leaves that was killed is
    found. Notes stay until the writer has ended and was looked through.

    Args:
        url: as of :class:`~holdfast.storages.objectstore.ObjectStorage`; pointers must lie below its prefix.
        router: ``(digest, tags) -> pointer``; None for a storage that only reads.
        credentials, timeout, owner, patience: as of :class:`~holdfast.storages.objectstore.ObjectStorage`. No two
            stores may share a place: what no record of the one names may be named in the other.

    Raises:
        InvalidArgumentError: a URL or setting that is not legal.
        MissingExtraError: obstore is not installed.
    """

    name: ClassVar[str] = "holdfast.routed@v1"
    shares: ClassVar[bool] = True

    def __init__(
        self,
        url: str,
        router: Router | None = None,
        *,
        credentials: Credentials | None = None,
        timeout: float = 30.0,
        owner: str = "",
        patience: float = PATIENCE,
    ) -> None:
        if not 0 < timeout <= 3600:
            raise InvalidArgumentError(f"timeout is a number of seconds up to an hour, not {timeout!r}")
        if router is not None and not callable(router):
            raise InvalidArgumentError(f"a router is a function (digest, tags) -> pointer, not {router!r}")
        place = parse(url)
        self.url = url
        self.router = router
        self.timeout = timeout
        self._takes_temp = router is not None and takes_temp(router)
        self._pointers = Pointers(place)
        self._folder = f"{place.prefix}/{BOOKS}" if place.prefix else BOOKS
        medium = BucketMedium(Bucket(place._replace(prefix=""), credentials, timeout))
        books = BucketMedium(Bucket(place._replace(prefix=self._folder), credentials, timeout))
        super().__init__(medium, owner, patience, books)

    def __repr__(self) -> str:
        return f"RoutedStorage({self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.url, self.router, self.timeout, self.owner, self.patience)

    @property
    def _objects(self) -> BucketMedium:
        return cast(BucketMedium, self.medium)

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
        """Write a payload where the router says, once its digest is known; ``sync`` changes nothing.

        Raises:
            ReadOnlyError: there is no router.
            InvalidArgumentError: the router raised, gave what is no place below the prefix, or one with other bytes.
        """
        self._routing()
        buffers, size = payload.buffers, payload.size
        digest = get_digest()
        pointer, name = self._route(digest, size, tags, payload.content_type, payload.encoding)

        waiting: list[str] = []

        def create() -> bool:
            if size < PART:
                return self._objects.create(name, buffers, size)
            if not waiting:
                waiting.append(writer.next_name())
                self.books.put(waiting[0], buffers, size, progress)
            return self._objects.copy(f"{self._folder}/{waiting[0]}", name, size)

        for _ in (1, 2):
            writer = self._current()
            try:
                self._place(writer, pointer, create, digest, size, lambda: buffers)
            finally:
                while waiting:
                    discard(self.books, waiting.pop())
            if not writer.lost:  # else what it notes may count no more
                if progress is not None and size < PART:
                    progress(size)
                return pointer
        raise StoreError(f"{self.medium.shown} could not be reached for a long time, twice: nothing was written")

    def writer(
        self,
        tags: Mapping[str, str],
        *,
        size: int | None = None,
        content_type: str = OCTETS,
        encoding: str | None = None,
    ) -> Writer:
        """Begin a stream; up to 8 MB it waits in memory for its end, above in the bucket.

        Raises:
            As :meth:`write`; what is about the final place is told at the end.
        """
        self._routing()
        check_size(size)
        return _Stream(self, self._current(), tags, size, (content_type, encoding))

    def _routing(self) -> Router:
        if self.router is None:
            raise ReadOnlyError(f"{self!r} has no router and only reads: make it with router=")
        return self.router

    def _route(
        self,
        digest: tuple[int, bytes],
        size: int,
        tags: Mapping[str, str],
        content_type: str,
        encoding: str | None,
        *,
        temp: bool = False,
    ) -> tuple[dict[str, Any], str]:
        """Pointer and name that the router gives."""
        algorithm, value = digest
        told = StreamDigest(
            content_type=content_type,
            content_encoding=encoding,
            content_hash=value.hex() if algorithm else "",
            content_hash_algorithm=ALGORITHMS[algorithm] or "",
            content_size=size,
            is_complete=not temp,
        )
        more = {"temp": temp} if self._takes_temp else {}
        return self._pointers.writable(ask(self._routing(), told, tags, **more))

    def _place(
        self,
        writer: LiveWriter,
        pointer: Any,
        create: Callable[[], bool],
        digest: tuple[int, bytes],
        size: int,
        ours: Callable[[], Iterable[Buffer]],
    ) -> None:
        """Have an object with our bytes at a pointer, by making it or because it is there."""
        name, note = self._pointers.name(pointer), ""
        for _ in range(_TRIES):
            try:
                if self._same(name, pointer, digest, size, ours):  # what is others' is never noted
                    return
            except InvalidArgumentError:
                if note:
                    discard(self.books, note)
                raise
            note = note or self._note(writer, pointer)
            if create():
                return
        raise StoreError(f"the object at {pointer} comes and goes: nothing was written")

    def _note(self, writer: LiveWriter, pointer: Any) -> str:
        note, text = writer.next_name() + _NOTE, json.dumps(pointer).encode()
        self.books.put(note, (text,), len(text))
        return note

    def _same(
        self, name: str, pointer: Any, digest: tuple[int, bytes], size: int, ours: Callable[[], Iterable[Buffer]]
    ) -> bool:
        """Whether an object with our bytes is there.

        Raises:
            InvalidArgumentError: it has others.
        """
        there = self._objects.size_of(name)
        if there is None:
            return False
        algorithm, value = digest
        if there == size:
            if algorithm == NONE:
                algorithm, value = BLAKE3, _hashed(BLAKE3, ours())
            try:
                if _hashed(algorithm, self._objects.stream(name, 0, None)) == value:
                    return True
            except ValueLost:
                return False
        raise InvalidArgumentError(
            f"other bytes are at {pointer} already, and are never overwritten: have the router give another place for "
            "other bytes, or remove that object"
        )

    # --- reading and removing ---------------------------------------------------------------------------------------

    def _check(self, config: Any) -> str:
        name = self._pointers.name(config)
        if BOOKS in name.split("/") and not self._is_waiting(name):
            raise InvalidArgumentError(f"{config!r} is among what a storage keeps for itself")
        return name

    def _is_waiting(self, name: str) -> bool:
        """Whether an object is a stream of a writer's that waits for its place."""
        folder, _, rest = name.rpartition(f"{BOOKS}/")
        try:
            super()._check(rest)
        except InvalidArgumentError:
            return False
        return f"{folder}{BOOKS}" == self._folder

    def abandoned(self) -> Iterator[Abandoned]:
        """The writers of this storage's owner that have ended or died."""
        for left in super().abandoned():
            yield _Left(self, cast(AbandonedWriter, left))

    def _waiting_pointer(self, name: str) -> Any:
        return self._pointers.make(f"{self._folder}/{name}")


class _Left(Abandoned):
    """What a dead writer left: streams that waited, and what is at the pointers that it noted."""

    def __init__(self, storage: RoutedStorage, writer: AbandonedWriter) -> None:
        self._storage = storage
        self._left = writer
        self.writer = writer.writer

    def configs(self) -> Iterator[list[Any]]:
        """Pointers, in batches of at most 1,000."""
        for batch in self._left.configs():
            notes = [name for name in batch if name.endswith(_NOTE)]
            found = [self._storage._waiting_pointer(name) for name in batch if not name.endswith(_NOTE)]
            noted = together([partial(self._read, name) for name in notes], _ASKING)
            yield found + [pointer for pointer in noted if pointer is not None]

    def _read(self, note: str) -> Any:
        # Whoever may write to the bucket may have put it there: it tells of no more than a router may give.
        try:
            text = b"".join(self._storage.books.stream(note, 0, _LONGEST))
            return self._storage._pointers.writable(json.loads(text))[0]
        except (ValueError, ValueLost, RecursionError):  # somebody else's, or gone
            return None

    def release(self) -> None:
        """Report this writer no more."""
        for batch in self._left.configs():
            together([partial(self._storage.books.delete, name) for name in batch], _ASKING)
        self._left.release()


def _hashed(algorithm: int, pieces: Iterable[Buffer]) -> bytes:
    state = hasher(algorithm)
    for piece in pieces:
        state.update(piece)
    return state.digest()


def _again(url: str, router: Router | None, timeout: float, owner: str, patience: float) -> RoutedStorage:
    return RoutedStorage(url, router, timeout=timeout, owner=owner, patience=patience)


class _Stream(Writer):
    """A stream that waits, in memory or in the bucket, until the router can be asked for its place."""

    def __init__(
        self,
        storage: RoutedStorage,
        writer: LiveWriter,
        tags: Mapping[str, str],
        size: int | None,
        kind: tuple[str, str | None],
    ) -> None:
        self._storage = storage
        self._writer = writer
        self._tags = dict(tags)
        self._kind = kind
        self._expected = size
        self._size = 0
        self._held: bytearray | None = bytearray()
        self._waiting: RemoteWriter | None = None
        self._name = ""
        self._pid = os.getpid()

    def _begin(self) -> RemoteWriter:
        storage = self._storage
        if not storage._takes_temp:
            waiting = self._writer.next_name()
            self._name = f"{storage._folder}/{waiting}"
        else:
            pointer, self._name = storage._route((NONE, b""), self._size, self._tags, *self._kind, temp=True)
            if storage._objects.size_of(self._name) is not None:
                raise InvalidArgumentError(
                    f"an object is at the temporary place {pointer} already: have the router give a new one each time"
                )
            storage._note(self._writer, pointer)
        return RemoteWriter(storage.medium, self._writer, self._expected, lambda: os.getpid() == self._pid, self._name)

    def _check(self) -> None:
        if self._held is None:
            raise ClosedError("this writer was committed or aborted before: begin another")
        if os.getpid() != self._pid:
            raise ClosedError("a stream does not go on in a forked process: begin another")

    def write(self, data: Buffer) -> None:
        """Append bytes."""
        self._check()
        assert self._held is not None
        if self._waiting is None and len(self._held) + len(data) < PART:
            self._held += data
            self._size += len(data)
            return
        try:
            if self._waiting is None:
                self._waiting = self._begin()
                self._waiting.write(bytes(self._held))
                self._held = bytearray()
            self._waiting.write(data)
        except BaseException:
            self.abort()
            raise
        self._size += len(data)

    def commit(self, get_digest: GetDigest, *, sync: bool = False) -> Any:
        """Finish, have the stream brought to its place, and give the pointer; ``sync`` changes nothing."""
        self._check()
        storage, held, waiting = self._storage, self._held, self._waiting
        assert held is not None
        if waiting is None:
            self._held = None
            return storage.write(Payload([bytes(held)], *self._kind), get_digest, self._tags)
        try:
            waiting.commit(get_digest)
            digest = get_digest()
            pointer, name = storage._route(digest, self._size, self._tags, *self._kind)
            if name == self._name:
                raise InvalidArgumentError(f"the router gave {name!r} as temporary and as final place: mend it")
            storage._place(
                self._writer,
                pointer,
                lambda: storage._objects.copy(self._name, name, self._size),
                digest,
                self._size,
                lambda: storage.medium.stream(self._name, 0, None),
            )
            if self._writer.lost:
                raise StoreError(f"{storage.medium.shown} could not be reached for too long: write this stream again")
        finally:
            self._clear()
        return pointer

    def abort(self) -> None:
        """Discard what was written, unless it is committed."""
        if self._held is not None and os.getpid() == self._pid:
            if self._waiting is not None:
                self._waiting.abort()
            self._clear()
        self._held = None

    def _clear(self) -> None:
        """Remove what waited."""
        self._held = None
        if self._waiting is not None:
            discard(self._storage.medium, self._name)
