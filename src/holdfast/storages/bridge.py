"""The bridge: an author's coroutines as a storage of the kernel.

The verbs are coroutines (``awaited``): ``aio`` awaits them in its caller's loop, and threads wait for them in a loop of
:mod:`~holdfast.storages.loops`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, NamedTuple, TypeVar

from ..errors import ClosedError, HoldfastError, InvalidArgumentError, StorageFullError, StoreError, ValueLost
from ..hashing import ALGORITHMS, BLAKE3, NONE, digest_buffers, hasher
from ..payload import Buffer, Payload
from .asynchronous import AsyncStorage, Digest, StreamDigest
from .base import OCTETS, GetDigest, Storage, Writer, check_size, check_span
from .loops import Home, here, own_loop, wait

__all__ = ["lift"]

T = TypeVar("T")

_PIECE = 1 << 20  # bytes up to which a payload is written at once, and of the pieces of a larger one or of a stream
_ELSEWHERE = re.compile(r"different (event )?loop|event loop is closed|no running event loop", re.IGNORECASE)


def lift(storage: AsyncStorage) -> Storage:
    """A storage of the kernel, made of an author's."""
    return _Lifted(storage)


# --- what is written --------------------------------------------------------------------------------------------------


class _Kind(NamedTuple):
    """What bytes are."""

    content_type: str
    encoding: str | None

    def digest(self, algorithm: int, digest: bytes, size: int) -> Digest:
        """All that is known of them."""
        return Digest(
            content_type=self.content_type, content_encoding=self.encoding, content_hash=digest.hex(),
            content_hash_algorithm=ALGORITHMS[algorithm] or "", content_size=size,
        )  # fmt: skip


class _Stream:
    """What an author reads a stream from; it is hashed as it passes."""

    def __init__(self, pieces: AsyncIterator[bytes], kind: _Kind) -> None:
        self._pieces = pieces
        self._kind = kind
        self._hash = hasher(BLAKE3)
        self._size = 0
        self.is_complete = False

    def __aiter__(self) -> _Stream:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            self.is_complete = True
            raise
        self._hash.update(piece)
        self._size += len(piece)
        return piece

    def digest(self, allow_incomplete: bool = False) -> StreamDigest:
        """See :class:`~holdfast.storages.asynchronous.GetStreamDigest`."""
        if not (self.is_complete or allow_incomplete):
            raise ValueError(
                "the stream was not read to its end: its digest so far is get_digest(allow_incomplete=True)"
            )
        known = self._kind.digest(BLAKE3, self._hash.digest(), self._size)
        return StreamDigest(**known, is_complete=self.is_complete)


async def _slices(buffers: Sequence[Buffer]) -> AsyncGenerator[bytes]:
    for buffer in buffers:
        view = memoryview(buffer)
        for start in range(0, len(view), _PIECE):
            await asyncio.sleep(0)  # an author who awaits nothing leaves the loop to others nevertheless
            yield bytes(view[start : start + _PIECE])


class _Feed:
    """A stream being written: what is given here is taken by the author's coroutine, a task of this loop."""

    def __init__(self, write: Callable[[_Stream], Coroutine[Any, Any, str]], kind: _Kind) -> None:
        self._held = bytearray()
        self._over = False
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._task = asyncio.get_running_loop().create_task(write(_Stream(self._pieces(), kind)))
        self._task.add_done_callback(self._let_go)

    async def _pieces(self) -> AsyncGenerator[bytes]:
        while (piece := await self._queue.get()) is not None:
            yield piece

    def _let_go(self, task: asyncio.Task[str]) -> None:
        """It has ended: who waits for room goes on, and finds out; else nobody asks for its error any more."""
        while not self._queue.empty():
            self._queue.get_nowait()
        if not task.cancelled():
            task.exception()

    def check(self) -> None:
        """Refuse what comes after the end."""
        if self._over:
            raise ClosedError("this writer was committed or aborted before: begin another")

    def hold(self, data: Buffer) -> bool:
        """Keep what is too little to be handed over; whether it is."""
        self.check()
        little = len(self._held) + len(data) < _PIECE
        if little:
            self._held += data
        return little

    async def _give(self, piece: bytes | None) -> None:
        if not self._task.done():
            await self._queue.put(piece)
        if self._task.done():
            self._task.result()

    async def write(self, data: Buffer) -> None:
        """See :meth:`Writer.write <holdfast.storages.base.Writer.write>`; waits until there is room."""
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            if not self.hold(view[start : start + _PIECE]):
                held, self._held = bytes(self._held), bytearray(view[start : start + _PIECE])
                if held:
                    await self._give(held)

    async def commit(self, get_digest: GetDigest, *, sync: bool = False) -> str:
        """See :meth:`Writer.commit <holdfast.storages.base.Writer.commit>`."""
        self.check()
        self._over = True
        if self._held:
            await self._give(bytes(self._held))
        await self._give(None)
        return await self._task

    def cancel(self) -> None:
        """Have the author's coroutine end."""
        self._over = True
        self._task.cancel()

    async def abort(self) -> None:
        """See :meth:`Writer.abort <holdfast.storages.base.Writer.abort>`."""
        self.cancel()
        await asyncio.wait([self._task])


class _FedWriter(Writer):
    """A feed from threads."""

    def __init__(self, feed: _Feed, home: Home) -> None:
        self.awaited = feed
        self._home = home

    def write(self, data: Buffer) -> None:
        if not self.awaited.hold(data):
            wait(self._home, self.awaited.write(data))

    def commit(self, get_digest: GetDigest, *, sync: bool = False) -> str:
        self.awaited.check()
        return wait(self._home, self.awaited.commit(get_digest, sync=sync))

    def abort(self) -> None:
        if self._home.process == os.getpid() and not self._home.loop.is_closed():
            if asyncio._get_running_loop() is self._home.loop:
                self.awaited.cancel()  # forgotten, and found in the very loop that it would have to wait for
            else:
                wait(self._home, self.awaited.abort())


# --- the storage ------------------------------------------------------------------------------------------------------


def _shown(way: Callable[[object], str], thing: object) -> str:
    """What an author's object looks like, whatever becomes of asking it."""
    try:
        return way(thing)
    except Exception:
        return f"a {type(thing).__name__} that cannot be shown"


@contextmanager
def _plainly(what: str, reading: bool = False) -> Iterator[None]:
    """Errors of an author's code as ours; ``what`` names the storage and what it was to do."""
    try:
        yield
    except (HoldfastError, asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        told = f"{what}: {type(error).__name__}: {_shown(str, error)}"
        if reading and isinstance(error, FileNotFoundError):
            raise ValueLost(f"the bytes are gone: {told}") from error
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(told) from error
        if isinstance(error, RuntimeError) and _ELSEWHERE.search(str(error)):
            told += (
                ". What it uses belongs to another event loop: make its client inside its methods, one for each "
                "running loop, or use it by the verbs of aio in the loop where it was made"
            )
        raise StoreError(told) from error


class _Verbs:
    """The verbs of a storage as coroutines, in whichever loop they are awaited."""

    def __init__(self, storage: AsyncStorage) -> None:
        self._storage = storage
        self._name = f"the storage {storage.name}"

    def _text(self, config: Any) -> str:
        with _plainly(f"{self._name} gave a config that cannot be kept ({_shown(repr, config):.200})"):
            text: object = self._storage.serialize_config(config)
            if not isinstance(text, str):
                raise TypeError(f"serialize_config gave {type(text).__name__}, not str")
            return text

    async def _kept(self, config: Any) -> str:
        """The text of a config; None is one only if it can be read by, else a ``return`` was forgotten."""
        if config is None:
            try:
                self._bytes(await self._storage.read_data(None))
            except Exception as error:
                told = f"gave a config that cannot be kept: None, as without a return, reads nothing ({error!r:.200})"
                raise StoreError(f"{self._name} {told}") from error
        return self._text(config)

    def _config(self, text: object) -> Any:
        try:
            if not isinstance(text, str):
                raise TypeError("not a text")
            return self._storage.deserialize_config(text)
        except Exception as error:
            told = f"{self._name} cannot have given the config {text!r:.200}: {_shown(str, error)}"
            raise InvalidArgumentError(told) from error

    async def write(
        self, payload: Payload, get_digest: GetDigest, tags: Mapping[str, str], *, sync: bool = False
    ) -> str:
        """See :meth:`Storage.write <holdfast.storages.base.Storage.write>`."""
        size, kind = payload.size, _Kind(payload.content_type, payload.encoding)
        if size > _PIECE:
            return await self._write_stream(tags, _Stream(_slices(payload.buffers), kind))
        data, (algorithm, digest) = b"".join(payload.buffers), get_digest()
        if algorithm == NONE:
            algorithm, digest = digest_buffers([data], size)
        with _plainly(f"{self._name} could not write"):
            config = await self._storage.write_data(data, kind.digest(algorithm, digest, size), dict(tags))
        return await self._kept(config)

    async def _write_stream(self, tags: Mapping[str, str], stream: _Stream) -> str:
        with _plainly(f"{self._name} could not write a stream"):
            config = await self._storage.write_data_stream(stream, stream.digest, dict(tags))
        if not stream.is_complete:
            raise StoreError(f"{self._name} returned without having read the stream to its end: nothing is committed")
        return await self._kept(config)

    async def writer(
        self,
        tags: Mapping[str, str],
        *,
        size: int | None = None,
        content_type: str = OCTETS,
        encoding: str | None = None,
    ) -> Writer:
        """See :meth:`Storage.writer <holdfast.storages.base.Storage.writer>`."""
        check_size(size)
        feed = _Feed(lambda stream: self._write_stream(tags, stream), _Kind(content_type, encoding))
        return _FedWriter(feed, Home(asyncio.get_running_loop(), os.getpid()))

    async def read(self, text: Any) -> bytes:
        """See :meth:`Storage.read <holdfast.storages.base.Storage.read>`."""
        config = self._config(text)
        with _plainly(f"{self._name} could not read {text}", reading=True):
            return self._bytes(await self._storage.read_data(config))

    @staticmethod
    def _bytes(data: object) -> bytes:
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"it gave {type(data).__name__}, not bytes")
        return bytes(data)

    async def read_sized(self, text: Any, size: int) -> bytes:
        """See :meth:`Storage.read_sized <holdfast.storages.base.Storage.read_sized>`."""
        return await self.read(text)

    async def read_stream(self, text: Any, offset: int = 0, length: int | None = None) -> AsyncGenerator[bytes]:
        """See :meth:`Storage.read_stream <holdfast.storages.base.Storage.read_stream>`: small pieces are gathered, and
        those before ``offset`` passed over."""
        config = self._config(text)
        check_span(offset, length)
        held, at, end = bytearray(), 0, None if length is None else offset + length
        with _plainly(f"{self._name} could not read {text} as a stream", reading=True):
            pieces = self._storage.read_data_stream(config)
            try:
                async for given in pieces:
                    await asyncio.sleep(0)  # an author who awaits nothing can be interrupted nevertheless
                    piece = self._bytes(given)
                    held += memoryview(piece)[max(offset - at, 0) : None if end is None else max(end - at, 0)]
                    at += len(piece)
                    while len(held) >= _PIECE:
                        yield bytes(held[:_PIECE])
                        del held[:_PIECE]
                    if end is not None and at >= end:
                        break
            finally:
                if hasattr(pieces, "aclose"):
                    await pieces.aclose()
                elif hasattr(pieces, "close"):
                    pieces.close()  # a coroutine, which it should not be: it is awaited no more
        if held:
            yield bytes(held)

    async def delete(self, text: Any) -> None:
        """See :meth:`Storage.delete <holdfast.storages.base.Storage.delete>`."""
        config = self._config(text)
        with suppress(ValueLost), _plainly(f"{self._name} could not delete {text}", reading=True):
            await self._storage.delete_data(config)

    async def is_there(self, text: Any) -> bool:
        """Whether the bytes of a config can be read, as their beginning tells."""
        with suppress(ValueLost):
            await anext(self.read_stream(text, 0, 1), None)
            return True
        return False


class _Lifted(Storage):
    """An author's storage as one of the kernel."""

    shares: ClassVar[bool] = True

    def __init__(self, storage: AsyncStorage) -> None:
        self.name = storage.name  # type: ignore[misc]
        self.ephemeral = storage.ephemeral  # type: ignore[misc]
        self.author = storage
        self.awaited = _Verbs(storage)

    def __repr__(self) -> str:
        return f"<{self.name} by {self.author!r}>"

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return wait(self._home(), coroutine)

    def _home(self) -> Home:
        home = here.home
        if home is not None and home.process == os.getpid():
            return home
        return own_loop.enter(self)

    def write(self, payload: Payload, get_digest: GetDigest, tags: Mapping[str, str], *, sync: bool = False) -> str:
        """See the contract; ``sync`` changes nothing, as what is there is kept."""
        return self._wait(self.awaited.write(payload, get_digest, tags, sync=sync))

    def writer(
        self,
        tags: Mapping[str, str],
        *,
        size: int | None = None,
        content_type: str = OCTETS,
        encoding: str | None = None,
    ) -> Writer:
        """See the contract; ``size`` changes nothing."""
        return self._wait(self.awaited.writer(tags, size=size, content_type=content_type, encoding=encoding))

    def read(self, config: Any) -> bytes:
        """See the contract."""
        return self._wait(self.awaited.read(config))

    def read_stream(self, config: Any, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See the contract."""
        home, pieces = self._home(), self.awaited.read_stream(config, offset, length)

        async def following() -> bytes:
            return await anext(pieces, b"")

        while piece := wait(home, following()):
            yield piece

    def delete(self, config: Any) -> None:
        """See the contract."""
        self._wait(self.awaited.delete(config))

    def sync(self, configs: Sequence[Any]) -> list[bool]:
        """For each config, whether its bytes are there: they were kept when their write returned."""
        return [self._wait(self.awaited.is_there(config)) for config in configs]

    def close(self) -> None:
        """Let the bridge's loop end, if nobody else uses it. What the author's storage holds open is its author's."""
        own_loop.leave(self)
